#ifndef CELLAR_TOOLS_BENCH_PROCESS_H
#define CELLAR_TOOLS_BENCH_PROCESS_H

#include "common/base.h"

/* What a process costs the machine, from /proc. */

/**
 * The processor time, user and system, that a process, its descendants and those of their children
 * that have ended took so far; to within the system's tick (10 ms).
 *
 * @param pid     > 0
 * @param cpu_us  receives microseconds
 * @return false when there is no such process, or it cannot be read
 */
bool cellar_bench_process_cpu_us(int64_t pid, int64_t *cpu_us);

/** The processor time that this process took so far, microseconds. */
int64_t cellar_bench_own_cpu_us(void);

/**
 * The process that listens on a TCP port of this machine.
 *
 * @param pid  receives it
 * @return false when none does, or it belongs to a user whose processes cannot be read
 */
bool cellar_bench_process_find(uint16_t port, int64_t *pid);

#endif
