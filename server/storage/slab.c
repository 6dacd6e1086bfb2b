/*
 * Slabs: a thread cuts blocks from the chunk under way, one behind the other, and gives none back;
 * each block holds a reference, and the last to go frees the chunk.
 *
 * Why not the heap: a put costs two trips to it, the second one on the keeper's thread, and the
 * entries of a memtable lie on as many small pages as it has. A search for an entry's place is a
 * dozen cache misses, each with a miss of the address translation on top; chunks of the greatest
 * size ask the kernel for a page of 2 MiB, which the translation holds.
 *
 * What that may cost is bounded. A chunk's owner is one store. Blocks for others come from the heap
 * until there have been OTHERS_MAX of them in a row: then the chunk is given up for one of theirs.
 * The first chunk of an owner is small, each next one twice as large, so what is given up unused is
 * at most what the owner had used; so it is with large pages, which come with the largest chunks
 * only.
 */
#include "server/storage/slab.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "common/mem.h"

#define CHUNK_BYTES_MIN 16384u
#define LARGE_PAGE_BYTES 2097152u
#define OTHERS_MAX 64u
#define BLOCK_ALIGNMENT 16u

/* Stands at the chunk's start. */
struct store_slab_chunk {
    void *memory; /* of the heap; begins before the chunk, which is aligned */
    _Atomic uint32_t references;
};

static size_t align_up(size_t bytes, size_t alignment)
{
    CELLAR_ASSERT((alignment & (alignment - 1)) == 0);
    return (bytes + alignment - 1) & ~(alignment - 1);
}

/* The heap maps what is so large, and pages of it that are not touched cost nothing: the part
 * before an aligned chunk and behind it is never more than addresses. That the kernel refuses large
 * pages is no failure. */
static struct store_slab_chunk *chunk_new(size_t bytes)
{
    bool is_large = bytes >= STORE_SLAB_CHUNK_BYTES_MAX;
    uint8_t *memory = cellar_mem_alloc(is_large ? bytes + LARGE_PAGE_BYTES : bytes);
    if (memory == NULL) {
        return NULL;
    }
    uint8_t *start = memory;
    if (is_large) {
        uintptr_t address = (uintptr_t)memory;
        start += align_up(address, LARGE_PAGE_BYTES) - address;
        (void)madvise(start, bytes, MADV_HUGEPAGE);
    }
    struct store_slab_chunk *chunk = (struct store_slab_chunk *)(void *)start;
    chunk->memory = memory;
    atomic_init(&chunk->references, 1);
    CELLAR_ASSERT((uintptr_t)start % BLOCK_ALIGNMENT == 0);
    return chunk;
}

/* Release on each, acquire on the last: what was done with a block lies before the freeing. */
void store_slab_chunk_unref(struct store_slab_chunk *chunk)
{
    uint32_t before = atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel);
    CELLAR_ASSERT(before > 0);
    if (before == 1) {
        cellar_mem_free(chunk->memory);
    }
}

void store_slab_fini(struct store_slab *slab)
{
    if (slab->chunk != NULL) {
        CELLAR_ASSERT(slab->at <= slab->end);
        store_slab_chunk_unref(slab->chunk);
    }
    *slab = (struct store_slab){.chunk = NULL};
}

/* Whether the next block is the owner's, who may become another one here. */
static bool owner_is(struct store_slab *slab, uint32_t owner)
{
    if (slab->chunk != NULL && slab->owner != owner) {
        slab->other_count++;
        if (slab->other_count < OTHERS_MAX) {
            return false;
        }
        store_slab_fini(slab);
    }
    slab->owner = owner;
    slab->other_count = 0;
    CELLAR_ASSERT(slab->chunk == NULL || slab->owner == owner);
    return true;
}

/* Begins the next chunk of the owner. A block that would take much of it goes to the heap: what is
 * left over at a chunk's end is a quarter at most. */
static bool chunk_begin(struct store_slab *slab, size_t block_bytes)
{
    size_t bytes = slab->chunk == NULL
                       ? CHUNK_BYTES_MIN
                       : CELLAR_MIN(2 * slab->chunk_bytes, (size_t)STORE_SLAB_CHUNK_BYTES_MAX);
    struct store_slab_chunk *chunk = block_bytes <= bytes / 4 ? chunk_new(bytes) : NULL;
    if (chunk == NULL) {
        return false;
    }
    if (slab->chunk != NULL) {
        store_slab_chunk_unref(slab->chunk);
    }
    slab->chunk = chunk;
    slab->chunk_bytes = bytes;
    slab->at = (uint8_t *)chunk + align_up(sizeof *chunk, BLOCK_ALIGNMENT);
    slab->end = (uint8_t *)chunk + bytes;
    CELLAR_ASSERT(slab->at + block_bytes <= slab->end);
    return true;
}

/* Relaxed: the slab holds a reference of its own. */
void *store_slab_take(struct store_slab *slab, uint32_t owner, size_t bytes,
                      struct store_slab_chunk **chunk)
{
    size_t taken = align_up(bytes, BLOCK_ALIGNMENT);
    CELLAR_ASSERT(bytes > 0);
    if (bytes > STORE_SLAB_BLOCK_BYTES_MAX || !owner_is(slab, owner)) {
        return NULL;
    }
    bool has_room = slab->chunk != NULL && (size_t)(slab->end - slab->at) >= taken;
    if (!has_room && !chunk_begin(slab, taken)) {
        return NULL;
    }
    uint8_t *block = slab->at;
    slab->at += taken;
    (void)atomic_fetch_add_explicit(&slab->chunk->references, 1, memory_order_relaxed);
    *chunk = slab->chunk;
    return block;
}
