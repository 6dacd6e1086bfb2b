/*
 * timers: the earliest moment first whatever the order of setting, moving and removing; checked
 * against a sorted copy with random numbers.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/timers.h"
#include "common/mem.h"

#define COUNT 200

struct entry {
    struct cellar_timer timer;
    bool has_fired;
};

struct record {
    int64_t last_us;
    unsigned fired_count;
};

static void note(struct cellar_timer *timer, void *context, int64_t now_us)
{
    struct record *record = context;
    struct entry *entry = CELLAR_CONTAINER_OF(timer, struct entry, timer);
    assert_true(timer->at_us <= now_us);
    assert_true(timer->at_us >= record->last_us);
    assert_false(entry->has_fired);
    record->last_us = timer->at_us;
    record->fired_count++;
    entry->has_fired = true;
}

static void timers_fire_in_order_however_they_were_set(void **state)
{
    (void)state;
    struct test_random random = {test_seed("timers")};
    struct cellar_timers timers = {0};
    struct entry entries[COUNT];
    struct record record = {0};
    unsigned removed_count = 0;
    memset(entries, 0, sizeof entries);
    for (size_t i = 0; i < COUNT; i++) {
        entries[i].timer.fire = note;
        int64_t at_us = (int64_t)test_random_below(&random, 1000);
        assert_int_equal(cellar_timers_set(&timers, &entries[i].timer, at_us), CELLAR_OK);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (test_random_below(&random, 3) == 0) {
            int64_t at_us = (int64_t)test_random_below(&random, 1000);
            assert_int_equal(cellar_timers_set(&timers, &entries[i].timer, at_us), CELLAR_OK);
        } else if (test_random_below(&random, 4) == 0) {
            cellar_timers_remove(&timers, &entries[i].timer);
            cellar_timers_remove(&timers, &entries[i].timer); /* harmless */
            removed_count++;
        }
    }
    for (int64_t now_us = 0; now_us <= 1000; now_us += 100) {
        cellar_timers_run(&timers, &record, now_us);
        const struct cellar_timer *first = cellar_timers_first(&timers);
        assert_true(first == NULL || first->at_us > now_us);
    }
    assert_int_equal(record.fired_count, COUNT - removed_count);
    cellar_timers_fini(&timers);
}

static enum cellar_status set_one(void *context)
{
    struct cellar_timers timers = {0};
    struct entry entry = {.timer = {.fire = note}};
    (void)context;
    enum cellar_status status = cellar_timers_set(&timers, &entry.timer, 5);
    assert_int_equal(entry.timer.place, status == CELLAR_OK ? 1 : 0);
    cellar_timers_fini(&timers);
    return status;
}

static void a_timer_without_memory_is_in_no_heap(void **state)
{
    (void)state;
    assert_int_equal(test_out_of_memory_loop(set_one, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_however_they_were_set),
        cmocka_unit_test(a_timer_without_memory_is_in_no_heap),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
