/*
 * The heap, behind one door, and arenas on top of it.
 *
 * Every allocation of the program passes mem_may_allocate(), which a test can close for one
 * allocation: each thread has its own countdown, so that a test fails its own allocations and not
 * those of a thread beside it. This countdown is the only state of this file; outside tests it
 * stays at "never fails".
 *
 *     arena -> newest block -> older -> ... -> NULL       a block: header | given out | free
 *
 * An arena gives out memory from its newest block and adds a block, twice as large as the last one
 * up to ARENA_BLOCK_BYTES_MAX, when that is full. A request that would fill an ordinary block gets
 * a block of its own, placed behind the newest so that what is free there stays in use. A reset
 * keeps one block, but not one above ARENA_BLOCK_BYTES_MAX: an idle arena must not hold on to a
 * large value. Under the address sanitizer what is not given out is poisoned, so that a use after a
 * reset or past an allocation's end is seen.
 *
 * Heap functions: any thread. An arena: one thread at a time; its owner ends it.
 */
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(MEM_HAS_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

#define ARENA_ALIGNMENT 16u
#define ARENA_BLOCK_BYTES_DEFAULT 4096u
#define ARENA_BLOCK_BYTES_MAX (256u * 1024u)
#define MEM_BYTES_MAX ((size_t)PTRDIFF_MAX)
/* glibc's calloc() does not look into the thread's cache, which holds blocks up to this size. */
#define ZALLOC_SMALL_BYTES_MAX 1024u

/* The failure that a test has asked for, one for each thread. */
static _Thread_local struct {
    int64_t countdown; /* how many allocations succeed before one fails; negative: none fails */
    bool has_failed;
} mem_fault = {.countdown = -1};

/* Sizes above PTRDIFF_MAX are refused here, for arenas too, since differences of pointers into such
 * a block would overflow. */
static bool mem_may_allocate(size_t bytes)
{
    CELLAR_ASSERT(mem_fault.countdown >= -1);
    if (CELLAR_LIKELY(mem_fault.countdown < 0)) {
        return bytes <= MEM_BYTES_MAX;
    }
    if (mem_fault.countdown > 0) {
        mem_fault.countdown--;
        return bytes <= MEM_BYTES_MAX;
    }
    mem_fault.countdown = -1;
    mem_fault.has_failed = true;
    return false;
}

bool cellar_mem_fail_at(int64_t countdown)
{
    CELLAR_ASSERT(mem_fault.countdown >= -1);
    bool has_failed = mem_fault.has_failed;
    mem_fault.has_failed = false;
    mem_fault.countdown = countdown < 0 ? -1 : countdown;
    return has_failed;
}

/* malloc(0) may answer NULL, which callers could not tell from a failure; one byte is asked for
 * instead. */
void *cellar_mem_alloc(size_t bytes)
{
    if (!mem_may_allocate(bytes)) {
        return NULL;
    }
    return malloc(bytes == 0 ? 1 : bytes);
}

/* The product is checked: `count` often comes from a message. */
void *cellar_mem_zalloc(size_t count, size_t bytes)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, bytes, &total) || !mem_may_allocate(total)) {
        return NULL;
    }
    if (total > ZALLOC_SMALL_BYTES_MAX) {
        return calloc(1, total);
    }
    void *memory = malloc(total == 0 ? 1 : total);
    if (memory != NULL) {
        memset(memory, 0, total);
    }
    return memory;
}

void *cellar_mem_realloc(void *pointer, size_t bytes)
{
    if (!mem_may_allocate(bytes)) {
        return NULL;
    }
    return realloc(pointer, bytes == 0 ? 1 : bytes);
}

char *cellar_mem_strdup(const char *text)
{
    CELLAR_ASSERT(text != NULL);
    size_t bytes = strlen(text) + 1;
    char *copy = cellar_mem_alloc(bytes);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text, bytes);
    return copy;
}

/* The allocator's own free(), so that what a library has allocated with malloc() may come here too.
 */
void cellar_mem_free(void *pointer)
{
    free(pointer);
}

void cellar_mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* 0: nothing was there to be given back */
#endif
}

struct cellar_arena_block {
    struct cellar_arena_block *older;
    size_t bytes; /* of the whole block, this header included */
    size_t used;  /* header included, a multiple of ARENA_ALIGNMENT; <= bytes */
};

#define ARENA_HEADER_BYTES 32u
static_assert(sizeof(struct cellar_arena_block) <= ARENA_HEADER_BYTES, "the header has its room");
static_assert(ARENA_HEADER_BYTES % ARENA_ALIGNMENT == 0, "what follows the header is aligned");
static_assert(_Alignof(max_align_t) >= ARENA_ALIGNMENT, "malloc aligns blocks well enough");

/* The `bytes` bytes at the front of what is free, given out as `wanted`; NULL when they do not fit.
 */
static void *arena_block_take(struct cellar_arena_block *block, size_t bytes, size_t wanted)
{
    CELLAR_ASSERT(wanted <= bytes);
    if (block->bytes - block->used < bytes) {
        return NULL;
    }
    uint8_t *taken = (uint8_t *)block + block->used;
    block->used += bytes;
    CELLAR_ASSERT(block->used <= block->bytes);
    ASAN_UNPOISON_MEMORY_REGION(taken, wanted);
    return taken;
}

static struct cellar_arena_block *arena_block_new(size_t bytes)
{
    CELLAR_ASSERT(bytes >= ARENA_HEADER_BYTES);
    struct cellar_arena_block *block = cellar_mem_alloc(bytes);
    if (block == NULL) {
        return NULL;
    }
    block->older = NULL;
    block->bytes = bytes;
    block->used = ARENA_HEADER_BYTES;
    ASAN_POISON_MEMORY_REGION((uint8_t *)block + block->used, bytes - block->used);
    return block;
}

static void arena_block_free(struct cellar_arena_block *block)
{
    CELLAR_ASSERT(block->used >= ARENA_HEADER_BYTES && block->used <= block->bytes);
    ASAN_UNPOISON_MEMORY_REGION(block, block->bytes);
    cellar_mem_free(block);
}

/* Adds a block that has `bytes` free bytes at least; NULL without memory. */
static struct cellar_arena_block *arena_grow(struct cellar_arena *arena, size_t bytes)
{
    CELLAR_ASSERT(bytes > 0 && bytes % ARENA_ALIGNMENT == 0);
    size_t block_bytes = arena->block_bytes;
    if (block_bytes == 0) {
        block_bytes = ARENA_BLOCK_BYTES_DEFAULT;
    }
    bool is_ordinary = bytes + ARENA_HEADER_BYTES <= block_bytes;
    struct cellar_arena_block *block =
        arena_block_new(is_ordinary ? block_bytes : bytes + ARENA_HEADER_BYTES);
    if (block == NULL) {
        return NULL;
    }
    arena->total_bytes += block->bytes;
    if (is_ordinary) {
        arena->block_bytes =
            CELLAR_MAX(block_bytes, CELLAR_MIN(block_bytes * 2, ARENA_BLOCK_BYTES_MAX));
    }
    if (is_ordinary || arena->newest == NULL) {
        block->older = arena->newest;
        arena->newest = block;
    } else {
        block->older = arena->newest->older;
        arena->newest->older = block;
    }
    return block;
}

/* What is rounded away is poisoned under the address sanitizer, so that a write one byte past an
 * allocation is seen even where the next one is not given out yet. */
void *cellar_arena_alloc(struct cellar_arena *arena, size_t bytes)
{
    CELLAR_ASSERT(arena != NULL);
    if (bytes > MEM_BYTES_MAX - ARENA_HEADER_BYTES - ARENA_ALIGNMENT) {
        return NULL;
    }
    size_t rounded =
        (CELLAR_MAX(bytes, (size_t)1) + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (arena->newest != NULL) {
        void *taken = arena_block_take(arena->newest, rounded, bytes);
        if (taken != NULL) {
            return taken;
        }
    }
    struct cellar_arena_block *block = arena_grow(arena, rounded);
    return block == NULL ? NULL : arena_block_take(block, rounded, bytes);
}

void *cellar_arena_copy(struct cellar_arena *arena, const void *data, size_t bytes)
{
    CELLAR_ASSERT(data != NULL || bytes == 0);
    void *copy = cellar_arena_alloc(arena, bytes);
    if (copy != NULL && bytes > 0) {
        memcpy(copy, data, bytes);
    }
    return copy;
}

char *cellar_arena_text(struct cellar_arena *arena, const void *data, size_t bytes)
{
    CELLAR_ASSERT(data != NULL || bytes == 0);
    char *copy = cellar_arena_alloc(arena, bytes + 1);
    if (copy != NULL) {
        if (bytes > 0) {
            memcpy(copy, data, bytes);
        }
        copy[bytes] = '\0';
    }
    return copy;
}

/* The newest block is the largest of the ordinary ones, so a reset arena soon fits its use in one
 * block and allocates no more: requests of one connection settle there. */
void cellar_arena_reset(struct cellar_arena *arena)
{
    CELLAR_ASSERT(arena != NULL);
    struct cellar_arena_block *kept = arena->newest;
    if (kept == NULL) {
        return;
    }
    struct cellar_arena_block *older = kept->older;
    kept->older = NULL;
    if (kept->bytes > CELLAR_MAX(arena->block_bytes, ARENA_BLOCK_BYTES_MAX)) {
        kept->older = older;
        older = kept;
        kept = NULL;
    }
    arena->newest = kept;
    arena->total_bytes = 0;
    if (kept != NULL) {
        kept->used = ARENA_HEADER_BYTES;
        arena->total_bytes = kept->bytes;
        ASAN_POISON_MEMORY_REGION((uint8_t *)kept + kept->used, kept->bytes - kept->used);
    }
    while (older != NULL) {
        struct cellar_arena_block *next = older->older;
        arena_block_free(older);
        older = next;
    }
}

void cellar_arena_fini(struct cellar_arena *arena)
{
    CELLAR_ASSERT(arena != NULL);
    while (arena->newest != NULL) {
        struct cellar_arena_block *block = arena->newest;
        arena->newest = block->older;
        arena_block_free(block);
    }
    arena->total_bytes = 0;
}
