/*
 * Which pages of the map are in memory, and reading them ahead of need.
 *
 * The map is opened without the kernel's own reading ahead (MDB_NORDAHEAD): a get needs one page of
 * those around it. A scan of a compacted environment needs them all in order, so it asks for them
 * itself: madvise(MADV_WILLNEED) begins to read and returns.
 *
 * mincore(2) tells the page cache's truth for a file that the caller owns, also of pages that this
 * process never touched; one that is still being read counts as absent.
 */
#include <sys/mman.h>

#include "server/storage/env_internal.h"

#define LOOK_PAGES_MAX 512u /* a call: its answer lies on the stack */

/* A part of the map, in whole pages. */
struct part {
    uint8_t *start;
    size_t bytes;
};

/* Cut to what the file has of the map; empty when it does not begin there. */
static struct part part_make(const struct store_env *env, const void *at, size_t bytes)
{
    struct part part = {.start = NULL, .bytes = 0};
    uintptr_t offset = (uintptr_t)at - env->map.start;
    uint64_t end_max = CELLAR_MIN(store_env_used_bytes(env), env->map.bytes);
    if (env->map.start == 0 || offset >= end_max || bytes == 0) {
        return part;
    }
    uint64_t first = offset / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
    uint64_t end = bytes < end_max - offset ? offset + bytes : end_max;
    CELLAR_ASSERT(end > first);
    part.start = (uint8_t *)(uintptr_t)at - (offset - first);
    part.bytes = (end - first + ENV_PAGE_BYTES - 1) / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
    return part;
}

const uint8_t *store_env_map_start(const struct store_env *env)
{
    CELLAR_ASSERT(env != NULL);
    return (const uint8_t *)env->map.start;
}

bool store_env_is_resident(const struct store_env *env, const void *at, size_t bytes)
{
    unsigned char pages[LOOK_PAGES_MAX];
    struct part part = part_make(env, at, bytes);
    while (part.bytes > 0) {
        size_t look_bytes = CELLAR_MIN(part.bytes, (size_t)LOOK_PAGES_MAX * ENV_PAGE_BYTES);
        if (mincore(part.start, look_bytes, pages) != 0) {
            return true; /* nobody knows: reading will tell */
        }
        for (size_t i = 0; i < look_bytes / ENV_PAGE_BYTES; i++) {
            if ((pages[i] & 1u) == 0) {
                return false;
            }
        }
        part.start += look_bytes;
        part.bytes -= look_bytes;
    }
    CELLAR_ASSERT(part.bytes == 0);
    return true;
}

/* A failure costs time only: the pages are then read when they are needed. */
void store_env_fetch(const struct store_env *env, const void *at, size_t bytes)
{
    struct part part = part_make(env, at, bytes);
    CELLAR_ASSERT(part.bytes % ENV_PAGE_BYTES == 0);
    if (part.bytes > 0) {
        (void)madvise(part.start, part.bytes, MADV_WILLNEED);
    }
}
