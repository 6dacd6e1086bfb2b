#ifndef CELLAR_STORAGE_MAP_GUARD_H
#define CELLAR_STORAGE_MAP_GUARD_H

#include <stdatomic.h>

#include "common/base.h"
#include "common/status.h"

/*
 * Surviving damage in files that are mapped into memory.
 *
 * A mapped page that the disk cannot give, or that lies behind the end of a file that was cut off,
 * ends a process with SIGBUS; a damaged page that leads LMDB astray may end it with SIGSEGV, or by
 * one of LMDB's assertions. What touches a map therefore runs inside a guard: such a fault leaves
 * the guarded work at once, marks the map as damaged and comes out as DATA_LOSS.
 *
 *     store_map_add()        once LMDB has mapped the file, and its address is known
 *     store_map_guard()      around everything between the begin and the end of a transaction
 *     store_map_remove()     before LMDB unmaps it
 *     store_map_call_...()   around calls of LMDB
 *
 * A fault elsewhere, or without a guard, is a bug and ends the process as ever, with its core.
 */

#define STORE_MAP_COUNT_MAX 4096u

/** One mapped file, in its owner's memory. Zeroed, with a name, it is ready. */
struct store_map {
    const char *name;        /* of the file or its folder, for the log; borrowed */
    uintptr_t start;         /* 0: not mapped, or not known where */
    uint64_t bytes;          /* of address space, which the file may not fill */
    uint32_t slot;           /* in the table of maps */
    _Atomic bool is_damaged; /* a fault was met in it; for good */
    _Atomic bool was_told;   /* the log has it */
};

/** Has faults in maps caught from now on. Does nothing when they are already; what other handlers
 * were there gets the other faults. Any thread. */
void store_map_guard_install(void);

/** Makes the range known. @return false when STORE_MAP_COUNT_MAX are: a fault in it is not caught
 * then. Any thread. */
bool store_map_add(struct store_map *map, uintptr_t start, uint64_t bytes);

/** Forgets the range; nothing touches it any more. Nothing for one that is not known. */
void store_map_remove(struct store_map *map);

/** Whether `bytes` bytes at `data` do not run out of the map; also when they do not begin in it. */
static inline bool store_map_holds(const struct store_map *map, const void *data, size_t bytes)
{
    uintptr_t at = (uintptr_t)data - map->start;
    return at >= map->bytes || bytes <= map->bytes - at;
}

typedef enum cellar_status store_map_work(void *context);

/** The map whose pages LMDB is following; NULL: none. */
extern _Thread_local struct store_map *store_map_followed;

/** From here to store_map_call_end() LMDB runs: any fault, wherever, counts as one in `map`, as a
 * damaged page can lead it to any address. Not nested. */
static inline void store_map_call_begin(struct store_map *map)
{
    store_map_followed = map;
}

static inline void store_map_call_end(void)
{
    store_map_followed = NULL;
}

/**
 * Runs work that reads maps.
 *
 * A fault leaves the work where it stands: it may hold no lock and no memory that only its own
 * frames know, wherever it touches a map. What it has told others through memory stays told.
 * Guards may be nested; a fault ends the innermost. About 50 instructions.
 *
 * @return what the work returned; DATA_LOSS when a fault ended it
 */
enum cellar_status store_map_guard(store_map_work *work, void *context) CELLAR_MUST_USE;

/** Ends the innermost guard's work as a fault in `map` would, from inside of it. Returns when there
 * is no guard. */
void store_map_guard_break(struct store_map *map, const char *why);

#endif
