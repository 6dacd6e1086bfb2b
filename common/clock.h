#ifndef CELLAR_COMMON_CLOCK_H
#define CELLAR_COMMON_CLOCK_H

#include "common/base.h"

/*
 * The two clocks, in microseconds. Tests put a fake in place of both for the whole process; it
 * moves only when told to.
 */

/** Wall-clock time since the Unix epoch, microseconds; may jump. Any thread. */
int64_t cellar_clock_real_us(void);

/** Monotonic time, microseconds, from an unnamed start; never goes back. Any thread. */
int64_t cellar_clock_monotonic_us(void);

/**
 * The moment of the machine's CLOCK_MONOTONIC at which `deadline_us` of cellar_clock_monotonic_us()
 * comes, if a fake clock ran on from here; without a fake the same number. Never negative.
 */
int64_t cellar_clock_real_deadline_us(int64_t deadline_us);

/** For tests: both clocks are fake from here and show these values. */
void cellar_clock_fake_set(int64_t real_us, int64_t monotonic_us);

/** For tests: moves both fake clocks by `us`, which may be negative for the real one only. */
void cellar_clock_fake_step(int64_t us);

/** For tests: back to the machine's clocks. */
void cellar_clock_fake_off(void);

#endif
