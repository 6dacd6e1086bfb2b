/*
 * Wall-clock and monotonic time, with a fake for tests.
 *
 * The fake is one switch for the whole process, as threads of the server under test read it too: a
 * test sets both clocks, steps them, and turns the fake off at its end. The three atomics are the
 * only state here; while the switch is off, which it is outside tests, one relaxed load stands
 * before the call of clock_gettime(2). A thread that reads during a step sees each clock before or
 * after it.
 *
 * Any thread.
 */
#include "common/clock.h"

#include <stdatomic.h>
#include <time.h>

static struct {
    atomic_bool is_on;
    _Atomic int64_t real_us;
    _Atomic int64_t monotonic_us;
} clock_fake;

static int64_t clock_read_us(clockid_t id)
{
    struct timespec now;
    int error = clock_gettime(id, &now);
    CELLAR_ASSERT(error == 0);
    CELLAR_ASSERT(now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t cellar_clock_real_us(void)
{
    if (CELLAR_UNLIKELY(atomic_load_explicit(&clock_fake.is_on, memory_order_relaxed))) {
        return atomic_load(&clock_fake.real_us);
    }
    return clock_read_us(CLOCK_REALTIME);
}

int64_t cellar_clock_monotonic_us(void)
{
    if (CELLAR_UNLIKELY(atomic_load_explicit(&clock_fake.is_on, memory_order_relaxed))) {
        return atomic_load(&clock_fake.monotonic_us);
    }
    return clock_read_us(CLOCK_MONOTONIC);
}

/* A condition of the system knows no fake time: what is left by the fake clock is added to the real
 * one. */
int64_t cellar_clock_real_deadline_us(int64_t deadline_us)
{
    CELLAR_ASSERT(deadline_us >= 0);
    if (CELLAR_UNLIKELY(atomic_load_explicit(&clock_fake.is_on, memory_order_relaxed))) {
        int64_t left_us = deadline_us - atomic_load(&clock_fake.monotonic_us);
        int64_t now_us = clock_read_us(CLOCK_MONOTONIC);
        return left_us < INT64_MAX - now_us ? CELLAR_MAX(now_us + left_us, (int64_t)0) : INT64_MAX;
    }
    return deadline_us;
}

void cellar_clock_fake_set(int64_t real_us, int64_t monotonic_us)
{
    CELLAR_ASSERT(monotonic_us >= 0);
    atomic_store(&clock_fake.real_us, real_us);
    atomic_store(&clock_fake.monotonic_us, monotonic_us);
    atomic_store(&clock_fake.is_on, true);
}

/* Steps back move the wall clock alone, as on a real machine. */
void cellar_clock_fake_step(int64_t us)
{
    CELLAR_ASSERT(atomic_load(&clock_fake.is_on));
    atomic_fetch_add(&clock_fake.real_us, us);
    if (us > 0) {
        atomic_fetch_add(&clock_fake.monotonic_us, us);
    }
}

void cellar_clock_fake_off(void)
{
    atomic_store(&clock_fake.is_on, false);
}
