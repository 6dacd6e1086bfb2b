#ifndef CELLAR_CLIENT_GATE_H
#define CELLAR_CLIENT_GATE_H

#include "common/sync.h"

/*
 * A condition whose waits end too when the client's interrupt_fd can be read, as the waits of
 * blocking calls for their server do.
 */

/** Why a wait ended. */
enum cellar_gate_end {
    CELLAR_GATE_WOKEN, /* or without a reason: look at what is waited for and wait again */
    CELLAR_GATE_LATE,
    CELLAR_GATE_INTERRUPTED
};

/** One thread that waits, on its stack; zero-initialised but for `wake_fd`, -1. */
struct cellar_gate_waiter {
    struct cellar_gate_waiter *next;
    int wake_fd; /* an eventfd; -1 = none yet */
    bool is_woken;
};

/** In the caller's storage; fields are guarded by the caller's mutex. */
struct cellar_gate {
    struct cellar_cond cond;
    int interrupt_fd; /* the program's; 0 = none */
    struct cellar_gate_waiter *waiters;
};

/** Makes a gate; `interrupt_fd` 0 makes it a condition and no more. */
void cellar_gate_init(struct cellar_gate *gate, int interrupt_fd);

/** Ends a gate that nobody waits at. */
void cellar_gate_fini(struct cellar_gate *gate);

/**
 * Lets `mutex` go, waits, and holds `mutex` again.
 *
 * @param waiter       the thread's, for all waits of one loop; cellar_gate_leave() ends it
 * @param deadline_us  of cellar_clock_monotonic_us(); INT64_MAX = none
 * @return why it ended; the caller looks at what it waits for in any case
 */
enum cellar_gate_end cellar_gate_wait(struct cellar_gate *gate, struct cellar_mutex *mutex,
                                      struct cellar_gate_waiter *waiter, int64_t deadline_us)
    CELLAR_REQUIRES(mutex);

/** Ends a waiter, with the mutex held. */
void cellar_gate_leave(struct cellar_gate *gate, struct cellar_gate_waiter *waiter);

/** Wakes every waiter, with the mutex held. */
void cellar_gate_broadcast(struct cellar_gate *gate);

#endif
