#ifndef CELLAR_TESTS_SUPPORT_COMPACTOR_H
#define CELLAR_TESTS_SUPPORT_COMPACTOR_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/tablet/db.h"
#include "tests/support/support.h"

/*
 * A thread that compacts all tablets again and again, in chunks of random size, and gives up one
 * compaction in some. The test fails when one ends otherwise than well, by the thread's own wish,
 * or because the table was dropped.
 */

struct test_compactor {
    struct tablet_db *db;
    pthread_t thread;
    struct test_random random;
    bool is_cancelling; /* the compaction that runs is to be given up */
    atomic_bool is_stopping;
    atomic_bool is_paused;
    atomic_bool is_parked; /* stands still, perhaps between two chunks */
    atomic_uint done_count;
    atomic_uint cancelled_count;
};

/** Starts the thread. @param compactor  zeroed, or stopped: then its counts go on; not moved until
 * the stop */
void test_compactor_start(struct test_compactor *compactor, struct tablet_db *db, uint64_t seed);

/** Has it stand still between two chunks, or two compactions, and waits until it does. */
void test_compactor_pause(struct test_compactor *compactor);

/** Gives up what runs and ends the thread; also while it stands still. */
void test_compactor_stop(struct test_compactor *compactor);

#endif
