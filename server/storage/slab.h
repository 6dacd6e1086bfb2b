#ifndef CELLAR_STORAGE_SLAB_H
#define CELLAR_STORAGE_SLAB_H

#include "common/base.h"

/*
 * Memory for batches, cut by a submitting thread from large chunks instead of asked of the heap one
 * by one. A chunk holds batches of one store only: they go when its memtable is written down, all
 * about together, so that a chunk is not kept by a few of another store that is seldom written.
 */

#define STORE_SLAB_CHUNK_BYTES_MAX 2097152u
#define STORE_SLAB_BLOCK_BYTES_MAX 65536u

struct store_slab_chunk;

/** Where a thread cuts from; zero-initialised. One thread. */
struct store_slab {
    struct store_slab_chunk *chunk; /* the one under way, with a reference, or NULL */
    uint8_t *at;
    uint8_t *end;
    size_t chunk_bytes;   /* of the chunk under way */
    uint32_t owner;       /* the store it is for */
    uint32_t other_count; /* blocks for other stores since the last one for the owner */
};

/**
 * Cuts a block for a batch of a store.
 *
 * @param owner  the store's id; only how memory is shared depends on it
 * @param chunk  receives the chunk, with a reference for the block
 * @return `bytes` bytes, aligned to 16, not cleared; NULL: take it from the heap, for it is large,
 *         of another store than the blocks before, or there is no memory for a chunk
 */
void *store_slab_take(struct store_slab *slab, uint32_t owner, size_t bytes,
                      struct store_slab_chunk **chunk);

/** Drops a block's reference; the last one of a chunk frees it. Any thread. */
void store_slab_chunk_unref(struct store_slab_chunk *chunk);

/** Gives up the chunk under way; blocks live on. */
void store_slab_fini(struct store_slab *slab);

#endif
