/*
 * Compactions without end. Chunks are small, so that many checkpoints fall between two of them; now
 * and then one is large, so that rows are copied whole.
 */
#include "tests/support/compactor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/tablet/compact.h"

#define PAUSE_NS 200000
#define CANCEL_ONE_IN 400u

static void park(struct test_compactor *compactor)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    while (atomic_load(&compactor->is_paused) && !atomic_load(&compactor->is_stopping)) {
        atomic_store(&compactor->is_parked, true);
        (void)nanosleep(&pause, NULL);
    }
    atomic_store(&compactor->is_parked, false);
}

static bool watch(void *context, const struct tablet_compact_progress *progress)
{
    struct test_compactor *compactor = context;
    (void)progress;
    park(compactor);
    compactor->is_cancelling = test_random_below(&compactor->random, CANCEL_ONE_IN) == 0;
    return !compactor->is_cancelling && !atomic_load(&compactor->is_stopping);
}

/* A thread cannot fail a test by cmocka's means. */
static void end_check(struct test_compactor *compactor, enum cellar_status status,
                      const struct cellar_error *error)
{
    bool may_cancel = compactor->is_cancelling || atomic_load(&compactor->is_stopping);
    if (status == CELLAR_OK) {
        atomic_fetch_add(&compactor->done_count, 1);
    } else if (status == CELLAR_CANCELLED && may_cancel) {
        atomic_fetch_add(&compactor->cancelled_count, 1);
    } else if (status != CELLAR_NOT_FOUND) {
        (void)fprintf(stderr, "a compaction ended with %s: %s\n", cellar_status_text(status),
                      error->text);
        abort();
    }
}

static void table_compact(struct test_compactor *compactor, struct tablet_table *table)
{
    for (size_t i = 0; i < table->tablet_count && !atomic_load(&compactor->is_stopping); i++) {
        struct cellar_error error;
        uint64_t chunk_bytes = 1 + test_random_below(&compactor->random, 20000);
        if (test_random_below(&compactor->random, 4) == 0) {
            chunk_bytes *= 100;
        }
        compactor->is_cancelling = false;
        cellar_error_clear(&error);
        const struct tablet_compact_options options = {chunk_bytes, watch, compactor};
        end_check(compactor, tablet_compact(compactor->db, table, i, &options, &error), &error);
        park(compactor);
    }
}

static void *run(void *context)
{
    struct test_compactor *compactor = context;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct tablet_table *table = NULL;
    while (!atomic_load(&compactor->is_stopping)) {
        park(compactor);
        struct tablet_table *next =
            tablet_db_next(compactor->db, table == NULL ? NULL : &table->name);
        tablet_table_unref(table);
        table = next;
        if (table != NULL) {
            table_compact(compactor, table);
        } else {
            (void)nanosleep(&pause, NULL);
        }
    }
    tablet_table_unref(table);
    return NULL;
}

void test_compactor_start(struct test_compactor *compactor, struct tablet_db *db, uint64_t seed)
{
    unsigned done_count = atomic_load(&compactor->done_count);
    unsigned cancelled_count = atomic_load(&compactor->cancelled_count);
    *compactor = (struct test_compactor){
        .db = db, .random = {seed}, .done_count = done_count, .cancelled_count = cancelled_count};
    int result = pthread_create(&compactor->thread, NULL, run, compactor);
    assert_int_equal(result, 0);
}

void test_compactor_pause(struct test_compactor *compactor)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    atomic_store(&compactor->is_paused, true);
    while (!atomic_load(&compactor->is_parked)) {
        (void)nanosleep(&pause, NULL);
    }
}

void test_compactor_stop(struct test_compactor *compactor)
{
    atomic_store(&compactor->is_stopping, true);
    int result = pthread_join(compactor->thread, NULL);
    assert_int_equal(result, 0);
}
