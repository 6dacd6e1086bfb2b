#ifndef CELLAR_TABLET_MUTATE_H
#define CELLAR_TABLET_MUTATE_H

#include "common/mem.h"
#include "common/mutation.h"
#include "server/storage/record.h"
#include "server/tablet/schema.h"

/*
 * From a mutation list on the wire to the payload of one log record: checked in full, times filled
 * in, normalised, so that later items have cancelled earlier ones and the record holds tombstones
 * first, then sets in cell order. Pure.
 */

/** A checked list. */
struct tablet_items {
    struct store_item *items; /* in list order; in the arena */
    uint32_t count;
    bool has_sets;
    bool needs_time;                  /* some timestamp is the server's */
    size_t value_bytes_max;           /* of the largest value set */
    enum cellar_status family_status; /* CELLAR_NOT_FOUND when a family is unknown ... */
    uint32_t family_index;            /* ... that of this mutation */
};

/**
 * Checks a list against a schema.
 *
 * @param list   the MessagePack list
 * @return CELLAR_OK, with an unknown family noted in `items` only; INVALID_ARGUMENT, UNIMPLEMENTED
 * as cellar_mutation_decode(), and for timestamps that are not in the table's granularity
 * (R-MUT-05, R-MUT-10); NO_MEMORY
 */
enum cellar_status tablet_items_check(const struct tablet_schema *schema, struct cellar_slice list,
                                      struct cellar_arena *arena, struct tablet_items *items,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/** The error of an unknown family: CELLAR_NOT_FOUND, or CELLAR_OK when there is none. */
enum cellar_status tablet_items_family_error(const struct tablet_items *items,
                                             struct cellar_error *error);

/**
 * Fills in the server's time and normalises: what a later item makes void goes, tombstones come
 * first, then sets in cell order.
 *
 * @param items           checked; of a known family each
 * @param server_time_us  for this mutation; read where items->needs_time
 * @return CELLAR_OK; NO_MEMORY
 */
enum cellar_status tablet_items_settle(const struct tablet_schema *schema,
                                       struct tablet_items *items, int64_t server_time_us,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** What a record holds besides its items. */
struct tablet_record_facts {
    struct cellar_slice row;
    int64_t server_time_us;    /* as the items were settled with */
    struct cellar_slice token; /* idempotency token; empty: none */
    int64_t token_expiry_us;
};

/** Appends the record's payload. @param items  settled. @return CELLAR_OK; NO_MEMORY */
enum cellar_status tablet_items_encode(const struct tablet_schema *schema,
                                       const struct tablet_items *items,
                                       const struct tablet_record_facts *facts,
                                       struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
