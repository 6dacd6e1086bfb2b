#ifndef CELLAR_COMMON_MEM_H
#define CELLAR_COMMON_MEM_H

#include "common/base.h"

/*
 * The one door to the heap, which tests can close: cellar_mem_fail_at() makes the n-th allocation
 * from now fail once. And arenas: memory that is given out piecewise and dies in one call.
 */

/** Allocates `bytes` (0 is allowed and gives a pointer to free); NULL when there is none. Any
 * thread. */
void *cellar_mem_alloc(size_t bytes) CELLAR_MUST_USE;

/** Allocates `count * bytes` zeroed bytes; NULL when there is none or the product overflows. */
void *cellar_mem_zalloc(size_t count, size_t bytes) CELLAR_MUST_USE;

/** Grows or shrinks; on failure returns NULL and `pointer` stays valid. `pointer` may be NULL. */
void *cellar_mem_realloc(void *pointer, size_t bytes) CELLAR_MUST_USE;

/** Copies a NUL-terminated string to the heap; NULL when there is no memory. */
char *cellar_mem_strdup(const char *text) CELLAR_MUST_USE;

/** Frees what the functions above gave; takes NULL. */
void cellar_mem_free(void *pointer);

/**
 * Gives the kernel back what was freed and lies between what is in use. Allocators keep that for
 * what comes next; after hundreds of megabytes in small pieces that is memory which nobody has.
 * Takes milliseconds for each gigabyte, while allocations wait: after large work only.
 *
 * @thread any
 * @source malloc_trim(3); does nothing where the C library is not glibc
 */
void cellar_mem_trim(void);

/**
 * For tests: the allocation after `countdown` successful ones of this thread fails (0 = the next),
 * once; a negative number turns failing off.
 *
 * @return whether the failure asked for before has happened since it was asked for
 */
bool cellar_mem_fail_at(int64_t countdown);

struct cellar_arena_block;

/** An arena; zero-initialised is empty and ready. One thread at a time. */
struct cellar_arena {
    struct cellar_arena_block *newest;
    size_t block_bytes; /* size of the next ordinary block; 0 = default 4096 */
    size_t total_bytes; /* what all blocks hold, for budgets */
};

/** Gives `bytes` aligned to 16, uninitialised, living until reset or fini; NULL without memory. */
void *cellar_arena_alloc(struct cellar_arena *arena, size_t bytes) CELLAR_MUST_USE;

/** Copies `bytes` bytes into the arena (non-NULL also for 0 bytes); NULL without memory. */
void *cellar_arena_copy(struct cellar_arena *arena, const void *data, size_t bytes) CELLAR_MUST_USE;

/** Copies `bytes` bytes of text into the arena with a NUL behind; NULL without memory. */
char *cellar_arena_text(struct cellar_arena *arena, const void *data, size_t bytes) CELLAR_MUST_USE;

/** Takes all memory back, keeping one block for the next use. */
void cellar_arena_reset(struct cellar_arena *arena);

/** Frees everything; the arena is empty and usable again. */
void cellar_arena_fini(struct cellar_arena *arena);

#endif
