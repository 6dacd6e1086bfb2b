#ifndef CELLAR_TABLET_LARGE_H
#define CELLAR_TABLET_LARGE_H

#include "server/storage/engine.h"
#include "server/tablet/mutate.h"

/*
 * What of one row's mutation is too large for a log record: values, each of which becomes a blob
 * that the record names, or the payload as a whole. The files are written and synced before the
 * record is queued; where it is not, they go again.
 *
 *     tablet_large_init
 *     tablet_large_values_write     settled items -> items that tablet_items_encode() takes
 *     tablet_large_payload_write    for a payload that is too large all the same
 *     tablet_append                 took the record: its blobs belong to the store
 *     tablet_large_drop             it did not
 */

/** The files of one mutation. */
struct tablet_large {
    struct store_engine *engine;
    struct cellar_arena *arena;
    bool is_mapped; /* the request lies in a file's map: blob_files.h */
    uint64_t *ids;  /* of files that are written; in the arena */
    uint32_t count; /* of them */
    uint32_t capacity;
    uint8_t *reference; /* of the payload's blob, in the arena; NULL: none */
};

/** Prepares for one mutation. @param arena  outlives it, as the items do */
static inline void tablet_large_init(struct tablet_large *large, struct store_engine *engine,
                                     struct cellar_arena *arena, bool is_mapped)
{
    *large = (struct tablet_large){.engine = engine, .arena = arena, .is_mapped = is_mapped};
}

/** The largest value that goes into a record in any case; a larger one becomes a blob. */
uint64_t tablet_large_value_bytes(const struct store_engine *engine);

/** Bytes of a mutation that no file takes from memory: those of small values and names. A large one
 * is in memory twice, as payload and as batch, until it is appended. */
uint64_t tablet_large_memory_bytes(const struct tablet_items *items);

/**
 * Writes the values that are too large into files, and puts references in their place. Blocks on
 * the disk when there are any.
 *
 * @param items  settled
 * @return CELLAR_OK; RESOURCE_EXHAUSTED (the disk, named), IO_ERROR, NO_MEMORY: what was written is
 *         removed again
 * @thread any
 */
enum cellar_status tablet_large_values_write(struct tablet_large *large, struct tablet_items *items,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Writes one value into a file, whatever its size; for a mutation that is none. @param reference
 * receives what names it, in the arena. Errors likewise, but what was written before stays */
enum cellar_status tablet_large_value_write(struct tablet_large *large, struct cellar_slice value,
                                            uint8_t **reference, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Writes a payload into a file when it is larger than a record may be; `large->reference` then
 * names it. Errors likewise. */
enum cellar_status tablet_large_payload_write(struct tablet_large *large,
                                              struct cellar_slice payload,
                                              struct cellar_error *error) CELLAR_MUST_USE;

/** Removes what was written: no record names it. Takes NULL. */
void tablet_large_drop(struct tablet_large *large);

#endif
