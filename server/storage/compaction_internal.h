#ifndef CELLAR_STORAGE_COMPACTION_INTERNAL_H
#define CELLAR_STORAGE_COMPACTION_INTERNAL_H

#include "server/storage/compaction.h"

/* What copying and loading share; nothing else includes this. */

/** One chunk: what is done inside one transaction on each generation. */
struct store_chunk {
    struct store_compaction *compaction;
    const struct store *store;
    struct store_env_txn *from;
    struct store_env_txn to;
    struct store_env_cursor cursor; /* of the old generation */
    uint64_t bytes_max;             /* written by it, about */
    uint64_t bytes_before;
    struct store_load_source *source; /* of a load; borrowed */
    bool is_done;                     /* it has no more rows */
    enum cellar_status (*copy)(struct store_chunk *chunk);
};

/** Whether enough is written by it. */
static inline bool store_chunk_is_full(const struct store_chunk *chunk)
{
    CELLAR_ASSERT(chunk->compaction->byte_count >= chunk->bytes_before);
    return chunk->compaction->byte_count - chunk->bytes_before >= chunk->bytes_max;
}

/**
 * Runs `copy` between a transaction on each generation, on a claimed store. A fault in the old one
 * loses the new one too, which is in the middle of a transaction; it will be abandoned.
 *
 * @return what `copy` returned, or the failure of a transaction
 */
enum cellar_status store_chunk_run(struct store_chunk *chunk) CELLAR_MUST_USE;

#endif
