/*
 * A binary heap of timers.
 *
 * Each timer knows its place in the heap, so that it can be moved or taken out in logarithmic time:
 * most timers are deadlines that never come. The heap borrows its timers and owns nothing but the
 * array. `place` is the index plus one, which makes a zeroed timer one that is in no heap.
 *
 * Invariant: no timer is earlier than the one at half its index. It belongs to one thread at a time
 * and knows no clock.
 */

#include "client/lib/timers.h"

#include <string.h>

#include "common/mem.h"

void cellar_timers_fini(struct cellar_timers *timers)
{
    CELLAR_ASSERT(timers->count <= timers->capacity);
    cellar_mem_free(timers->heap);
    memset(timers, 0, sizeof *timers);
}

/* Puts a timer at an index. */
static void heap_put(struct cellar_timers *timers, uint32_t index, struct cellar_timer *timer)
{
    CELLAR_ASSERT(index < timers->count);
    timers->heap[index] = timer;
    timer->place = index + 1;
}

/* Moves the timer at `index` towards the top while it is earlier than what is above it. */
static void heap_rise(struct cellar_timers *timers, uint32_t index)
{
    struct cellar_timer *timer = timers->heap[index];
    CELLAR_ASSERT(index < timers->count);
    while (index > 0 && timer->at_us < timers->heap[(index - 1) / 2]->at_us) {
        heap_put(timers, index, timers->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_put(timers, index, timer);
}

/* Moves the timer at `index` towards the leaves while one below it is earlier. */
static void heap_sink(struct cellar_timers *timers, uint32_t index)
{
    struct cellar_timer *timer = timers->heap[index];
    CELLAR_ASSERT(index < timers->count);
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->at_us < timers->heap[child]->at_us) {
            child++;
        }
        if (child >= timers->count || timers->heap[child]->at_us >= timer->at_us) {
            break;
        }
        heap_put(timers, index, timers->heap[child]);
        index = child;
    }
    heap_put(timers, index, timer);
}

/* Makes room for one more. */
static enum cellar_status heap_reserve(struct cellar_timers *timers)
{
    CELLAR_ASSERT(timers->count <= timers->capacity);
    if (timers->count < timers->capacity) {
        return CELLAR_OK;
    }
    if (timers->count == CELLAR_TIMERS_COUNT_MAX) {
        return CELLAR_RESOURCE_EXHAUSTED;
    }
    uint32_t capacity = CELLAR_MAX(2 * timers->capacity, 16u);
    struct cellar_timer **heap =
        cellar_mem_realloc(timers->heap, capacity * sizeof(struct cellar_timer *));
    if (heap == NULL) {
        return CELLAR_NO_MEMORY;
    }
    timers->heap = heap;
    timers->capacity = capacity;
    return CELLAR_OK;
}

enum cellar_status cellar_timers_set(struct cellar_timers *timers, struct cellar_timer *timer,
                                     int64_t at_us)
{
    CELLAR_ASSERT(timer->fire != NULL);
    if (timer->place == 0) {
        CELLAR_TRY(heap_reserve(timers));
        timer->at_us = at_us;
        timers->count++;
        heap_put(timers, timers->count - 1, timer);
        heap_rise(timers, timer->place - 1);
        return CELLAR_OK;
    }
    CELLAR_ASSERT(timers->heap[timer->place - 1] == timer);
    timer->at_us = at_us;
    heap_rise(timers, timer->place - 1);
    heap_sink(timers, timer->place - 1);
    return CELLAR_OK;
}

void cellar_timers_remove(struct cellar_timers *timers, struct cellar_timer *timer)
{
    if (timer->place == 0) {
        return;
    }
    uint32_t index = timer->place - 1;
    CELLAR_ASSERT(index < timers->count && timers->heap[index] == timer);
    timer->place = 0;
    struct cellar_timer *last = timers->heap[--timers->count];
    if (last != timer) {
        heap_put(timers, index, last);
        heap_rise(timers, index);
        heap_sink(timers, last->place - 1);
    }
}

struct cellar_timer *cellar_timers_first(const struct cellar_timers *timers)
{
    CELLAR_ASSERT(timers->count <= timers->capacity);
    return timers->count == 0 ? NULL : timers->heap[0];
}

void cellar_timers_run(struct cellar_timers *timers, void *context, int64_t now_us)
{
    struct cellar_timer *timer = cellar_timers_first(timers);
    while (timer != NULL && timer->at_us <= now_us) {
        cellar_timers_remove(timers, timer);
        CELLAR_ASSERT(timer->place == 0);
        timer->fire(timer, context, now_us);
        timer = cellar_timers_first(timers);
    }
}
