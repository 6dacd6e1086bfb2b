/*
 * The window of a scan that runs over pages which are not in memory.
 *
 *     file    ... rows of this chunk | asked for, on their way | not asked for ...
 *                                    ^ last                    ^ asked_end
 *                                    <------- window_bytes ---------->
 *
 * When less than half of the window is left, it is filled up again, and doubled up to its bound: a
 * scan that ends early has not read much for nothing, and one that goes on keeps the disk busy with
 * long requests. Where a whole filling turns out to be in memory already there is nothing to ask
 * for, and the scan goes on where it likes.
 *
 * LMDB fills a page that was freed wherever it lies, so even a compacted file has a row out of
 * order now and then: a place in or a little behind the window changes nothing.
 *
 * Rows that lie here and there in the file, as random writes leave them, are not read ahead: what
 * lies behind them is not what comes next.
 */
#include "server/tablet/ahead.h"

#define WINDOW_BYTES_MIN 262144u
#define WINDOW_BYTES_MAX 16777216u
#define BEGIN_BYTES 131072u      /* about a chunk: asked for with its first row */
#define WHOLE_BYTES_MAX 4194304u /* a file so small is asked for whole: soon it is warm */
#define SPREAD_MAX 4u            /* times its bytes a chunk may lie over */

void tablet_ahead_reset(struct tablet_ahead *ahead)
{
    *ahead = (struct tablet_ahead){.first = NULL};
    CELLAR_ASSERT(!ahead->is_cold);
}

/* Asks for a part of the map, unless it is in memory. */
static void part_ask(struct tablet_ahead *ahead, const struct store_env *env, const uint8_t *start,
                     size_t bytes)
{
    CELLAR_ASSERT(bytes > 0);
    if (start != NULL && !store_env_is_resident(env, start, bytes)) {
        store_env_fetch(env, start, bytes);
        ahead->has_asked = true;
    }
}

void tablet_ahead_begin(struct tablet_ahead *ahead, const struct store_rows *rows, bool may_wait,
                        bool wants_more)
{
    const struct store_env *env = rows->snapshot->txn->env;
    uint64_t used_bytes = store_env_used_bytes(env);
    ahead->first = store_rows_place(rows);
    ahead->has_asked = false;
    if (may_wait && used_bytes > 0 && used_bytes <= WHOLE_BYTES_MAX) {
        part_ask(ahead, env, store_env_map_start(env), used_bytes);
    } else if (may_wait && wants_more && ahead->window_bytes == 0) {
        part_ask(ahead, env, ahead->first, BEGIN_BYTES);
    }
    CELLAR_ASSERT(may_wait || !ahead->has_asked);
}

/* Whether a place is one of those that the window has come by or lies over. */
static bool window_holds(const struct tablet_ahead *ahead, const uint8_t *place)
{
    uintptr_t end = (uintptr_t)ahead->asked_end;
    CELLAR_ASSERT(ahead->asked_end != NULL || ahead->window_bytes == 0);
    return ahead->window_bytes > 0 && (uintptr_t)place <= end &&
           end - (uintptr_t)place <= 2 * (uintptr_t)WINDOW_BYTES_MAX;
}

/* Fills the window up, unless it is half full still. */
static void window_fill(struct tablet_ahead *ahead, const struct store_env *env,
                        const uint8_t *place)
{
    if (!window_holds(ahead, place)) {
        ahead->front = place;
        ahead->asked_end = place;
    }
    ahead->front = place > ahead->front ? place : ahead->front;
    size_t left_bytes = (size_t)(ahead->asked_end - ahead->front);
    if (ahead->window_bytes > 0 && left_bytes >= ahead->window_bytes / 2) {
        ahead->has_asked = true; /* what this chunk read was asked for, too */
        return;
    }
    size_t window_bytes =
        CELLAR_MIN(CELLAR_MAX(ahead->window_bytes * 2, WINDOW_BYTES_MIN), WINDOW_BYTES_MAX);
    size_t more_bytes = window_bytes - left_bytes;
    CELLAR_ASSERT(more_bytes > 0);
    if (store_env_is_resident(env, ahead->asked_end, more_bytes)) {
        ahead->window_bytes = 0;
        return;
    }
    store_env_fetch(env, ahead->asked_end, more_bytes);
    ahead->has_asked = true;
    ahead->asked_end += more_bytes;
    ahead->window_bytes = window_bytes;
}

void tablet_ahead_end(struct tablet_ahead *ahead, const struct store_rows *rows, size_t bytes,
                      bool may_wait)
{
    const struct store_env *env = rows->snapshot->txn->env;
    const uint8_t *first = ahead->first;
    bytes = CELLAR_MIN(bytes, (size_t)WINDOW_BYTES_MIN); /* a row larger than a chunk */
    const uint8_t *last = store_rows_place(rows);
    bool is_forward = first != NULL && last != NULL && last > first &&
                      (size_t)(last - first) <= SPREAD_MAX * bytes + BEGIN_BYTES;
    if (!is_forward && !(last != NULL && window_holds(ahead, last))) {
        ahead->window_bytes = 0;
        ahead->is_cold = false;
        return;
    }
    if (!may_wait) {
        ahead->is_cold = !store_env_is_resident(env, last, bytes);
        return;
    }
    window_fill(ahead, env, last);
    ahead->is_cold = ahead->window_bytes > 0;
    CELLAR_ASSERT(!ahead->is_cold || ahead->asked_end >= last);
}
