/* The table of calls: found by id, also where ids share a bucket; events reach every call, and a
 * call may leave while it is told. */
#include "tests/support/support.h"

#include <string.h>

#include "server/net/native/call.h"

static struct net_calls table;
static int told_count;

static void leave(struct net_call *call)
{
    told_count++;
    net_calls_remove(&table, call);
}

static void count_tick(struct net_call *call, int64_t now_us)
{
    assert_int_equal(now_us, 77);
    told_count += call->request_id != 0 ? 1 : 0;
}

static const struct net_call_type leaving = {.ended = leave, .gone = leave, .tick = count_tick};
static const struct net_call_type silent = {.cancel = NULL};

static struct net_session *const session = (struct net_session *)&table;

static void setup_table(void)
{
    memset(&table, 0, sizeof table);
    net_calls_init(&table);
    told_count = 0;
}

static void add(struct net_call *call, const struct net_call_type *type, uint32_t id)
{
    *call = (struct net_call){.type = type, .session = session, .request_id = id};
    net_calls_add(&table, call);
}

static void calls_are_found_by_id_until_they_are_removed(void **state)
{
    (void)state;
    static const uint32_t ids[] = {1, 257, 513, 2, UINT32_MAX};
    struct net_call calls[5];
    setup_table();
    for (size_t i = 0; i < 5; i++) {
        assert_null(net_calls_find(&table, ids[i]));
        add(&calls[i], &silent, ids[i]);
    }
    net_calls_remove(&table, &calls[1]);
    for (size_t i = 0; i < 5; i++) {
        assert_ptr_equal(net_calls_find(&table, ids[i]), i == 1 ? NULL : &calls[i]);
    }
    assert_int_equal(table.count, 4);
}

static void calls_may_leave_while_they_are_told(void **state)
{
    (void)state;
    for (int event = 0; event < 2; event++) {
        struct net_call calls[4];
        setup_table();
        for (size_t i = 0; i < 4; i++) {
            add(&calls[i], i == 2 ? &silent : &leaving, (uint32_t)(256 * i + 7));
        }
        if (event == 0) {
            net_calls_ended(&table);
        } else {
            net_calls_gone(&table);
        }
        assert_int_equal(told_count, 3);
        assert_int_equal(table.count, 1);
        assert_ptr_equal(net_calls_find(&table, 519), &calls[2]);
    }
}

static void calls_are_told_the_time(void **state)
{
    (void)state;
    struct net_call calls[2];
    setup_table();
    add(&calls[0], &leaving, 1);
    add(&calls[1], &silent, 2);
    net_calls_tick(&table, 77);
    assert_int_equal(told_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_found_by_id_until_they_are_removed),
        cmocka_unit_test(calls_may_leave_while_they_are_told),
        cmocka_unit_test(calls_are_told_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
