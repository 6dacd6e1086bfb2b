/*
 * Table administration: requests are decoded on the pool, run there, and answered on the loop; what
 * is malformed is refused with the element's place; a lost connection loses nothing but the answer.
 */
#include "tests/unit/net/session_harness.h"

#include <string.h>

#include "common/clock.h"
#include "tests/unit/net/fake_service.h"

/* Turns until something was answered; the answer comes from another thread. */
static void wait_for_answer(struct harness *harness)
{
    while (io_conn_output_bytes(harness->conn) == harness->output_at) {
        io_loop_turn(harness->loop, true);
    }
}

static void create(struct harness *harness, uint32_t id,
                   struct cellar_msg_create_table_request message)
{
    harness_request(harness, id, CELLAR_OP_CREATE_TABLE, &cellar_msg_create_table_request_type,
                    &message);
    wait_for_answer(harness);
}

static void table_request(struct harness *harness, uint32_t id, uint16_t operation)
{
    struct cellar_msg_table_request message = {.table = cellar_slice_text("t")};
    harness_request(harness, id, operation, &cellar_msg_table_request_type, &message);
    wait_for_answer(harness);
}

static void modify(struct harness *harness, uint32_t id, struct cellar_slice changes)
{
    const struct cellar_msg_modify_families_request message = {
        .table = cellar_slice_text("t"), .changes = changes, .timeout_us = 1};
    harness_request(harness, id, CELLAR_OP_MODIFY_FAMILIES,
                    &cellar_msg_modify_families_request_type, &message);
    wait_for_answer(harness);
}

static void drop_rows(struct harness *harness, uint32_t id, const char *prefix, bool is_all)
{
    const struct cellar_msg_drop_rows_request message = {
        .table = cellar_slice_text("t"), .prefix = cellar_slice_text(prefix), .all = is_all};
    harness_request(harness, id, CELLAR_OP_DROP_ROWS, &cellar_msg_drop_rows_request_type, &message);
    wait_for_answer(harness);
}

static void scrub(struct harness *harness, uint32_t id, struct cellar_msg_pass_request message)
{
    harness_request(harness, id, CELLAR_OP_SCRUB, &cellar_msg_pass_request_type, &message);
    wait_for_answer(harness);
}

static void expect_table(struct harness *harness, uint32_t id)
{
    struct cellar_msg_table_reply reply;
    struct harness_frame frame = harness_expect(harness, id, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_table_reply_type, frame.payload, &reply,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(reply.name, cellar_slice_text("t")));
    assert_int_equal(reply.granularity, 1);
    assert_int_equal(reply.schema_version, 1);
    static const char families[] = "\x91\x92\xa2"
                                   "cf\x92\x01\x03";
    static const char tablets[] = "\x91\x93\xc4\x00\xc4\x00\x09";
    assert_true(cellar_slice_equal(reply.families, cellar_slice_text(families)));
    assert_true(cellar_slice_equal(reply.tablets, cellar_slice_make(tablets, sizeof tablets - 1)));
}

static void table_is_created_and_described(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    struct cellar_msg_create_table_request message = {
        .table = cellar_slice_text("t"),
        .families = cellar_slice_text("\x92\x92\xa2"
                                      "cf\x92\x01\x03\x92\xa1g\xc0"),
        .split_keys = cellar_slice_text("\x92\xc4\x01m\xa1n"),
        .granularity = 2,
    };
    create(&harness, 2, message);
    expect_table(&harness, 2);
    assert_int_equal(fake.table.family_count, 2);
    assert_int_equal(fake.table.split_key_count, 2);
    assert_int_equal(fake.table.granularity, CELLAR_GRANULARITY_MICROS);
    table_request(&harness, 3, CELLAR_OP_DESCRIBE_TABLE);
    expect_table(&harness, 3);
    harness_close(&harness);
}

static void tables_are_listed_and_dropped(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_list_tables_request list = {.page_size = 3};
    struct cellar_msg_list_tables_reply reply;
    fake_reset();
    harness_open_greeted(&harness);
    harness_request(&harness, 2, CELLAR_OP_LIST_TABLES, &cellar_msg_list_tables_request_type,
                    &list);
    wait_for_answer(&harness);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(cellar_message_decode(&cellar_msg_list_tables_reply_type, frame.payload,
                                           &reply, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(reply.names,
                                   cellar_slice_text("\x91\xbfprojects/p/instances/i/tables/t")));
    table_request(&harness, 3, CELLAR_OP_DROP_TABLE);
    frame = harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    assert_true(cellar_slice_equal(frame.payload, cellar_slice_text("\x80")));
    harness_close(&harness);
}

#define CHANGES(bytes) cellar_slice_make(bytes, sizeof(bytes) - 1)

static void changes_of_families_keep_their_order(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    modify(&harness, 2, CHANGES("\x93\x93\x00\xa1g\x92\x01\x05\x92\x01\xa1h\x93\x02\xa2xy\xc0"));
    expect_table(&harness, 2);
    assert_int_equal(fake.change_count, 3);
    assert_int_equal(fake.changes[0].action, SVC_FAMILY_CREATE);
    assert_int_equal(fake.changes[0].family.rule.amount, 5);
    assert_int_equal(fake.changes[1].action, SVC_FAMILY_UPDATE);
    assert_int_equal(fake.changes[1].family.rule.kind, CELLAR_GC_NONE);
    assert_int_equal(fake.changes[2].action, SVC_FAMILY_DROP);
    assert_int_equal(fake.changes[2].family.name.bytes, 2);
    modify(&harness, 3, CHANGES("\x90"));
    expect_table(&harness, 3); /* the real service refuses it */
    assert_int_equal(fake.change_count, 0);
    harness_close(&harness);
}

static void malformed_changes_are_refused_with_their_place(void **state)
{
    (void)state;
    const struct {
        struct cellar_slice changes;
        const char *text;
    } cases[] = {
        {CHANGES("\x01"), "'changes' : expected an array"},
        {CHANGES("\x91\x01"), "element #0: expected [action, name, rule]"},
        {CHANGES("\x91\x91\x00"), "element #0: expected [action, name, rule]"},
        {CHANGES("\x91\x94\x00\xa1g\xc0\xc0"), "element #0: expected [action, name, rule]"},
        {CHANGES("\x92\x92\x00\xa1g\x92\xa1g\x00"), "element #1: expected"},
        {CHANGES("\x91\x92\x00\x07"), "element #0: expected"},
        {CHANGES("\x91\x92\x03\xa1g"), "or 2 (drop), but is 3"},
        {CHANGES("\x91\x92\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1g"), "but is 4294967296"},
        {CHANGES("\x91\x93\x00\xa1g\x92\x01\x00"), "max_num_versions"},
    };
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        modify(&harness, 2 + i, cases[i].changes);
        harness_expect_error(&harness, 2 + i, CELLAR_INVALID_ARGUMENT, cases[i].text);
    }
    harness_close(&harness);
}

static void rows_are_dropped_by_prefix_or_all(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    drop_rows(&harness, 2, "user#", false);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_true(cellar_slice_equal(frame.payload, cellar_slice_text("\x80")));
    assert_int_equal(fake.prefix_bytes, 5);
    assert_false(fake.is_drop_of_all);
    drop_rows(&harness, 3, "", true);
    (void)harness_expect(&harness, 3, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.prefix_bytes, 0);
    assert_true(fake.is_drop_of_all);
    harness_close(&harness);
}

struct create_case {
    const char *families;
    size_t family_bytes;
    const char *split_keys;
    size_t split_key_bytes;
    const char *text;
};

#define CREATE(families, split_keys, text)                                                         \
    {                                                                                              \
        families, sizeof(families) - 1, split_keys, sizeof(split_keys) - 1, text                   \
    }

static const struct create_case create_cases[] = {
    CREATE("\x01", "\x90", "'families' : expected an array"),
    CREATE("\x91\x01", "\x90", "element #0 : expected [name, rule]"),
    CREATE("\x91\x90", "\x90", "element #0"),
    CREATE("\x91\x92\x01\xc0", "\x90", "element #0"),
    CREATE("\x91\x92\xa1"
           "f\x92\x01\x00",
           "\x90", "max_num_versions"),
    CREATE("\xcd\x00\x01", "\x90", "'families' : expected an array"),
    CREATE("\x90", "\x01", "'split_keys' : expected an array"),
    CREATE("\x90", "\x92\xc4\x01k\x05", "element #1 : expected bytes"),
};

static void table_with_malformed_parts_is_refused_with_their_place(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < CELLAR_ARRAY_COUNT(create_cases); i++) {
        const struct create_case *test = &create_cases[i];
        struct cellar_msg_create_table_request message = {
            .table = cellar_slice_text("t"),
            .families = cellar_slice_make(test->families, test->family_bytes),
            .split_keys = cellar_slice_make(test->split_keys, test->split_key_bytes),
        };
        create(&harness, 2 + i, message);
        harness_expect_error(&harness, 2 + i, CELLAR_INVALID_ARGUMENT, test->text);
    }
    struct cellar_msg_create_table_request message = {.table = cellar_slice_text("t"),
                                                      .granularity = 3};
    create(&harness, 100, message);
    harness_expect_error(&harness, 100, CELLAR_INVALID_ARGUMENT, "but got 3");
    harness_close(&harness);
}

static void a_compaction_is_asked_for_and_told(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_compact_reply reply;
    const struct cellar_msg_pass_request message = {
        .table = cellar_slice_text("t"), .action = 7, .bytes_per_second = 4096};
    fake_reset();
    harness_open_greeted(&harness);
    harness_request(&harness, 2, CELLAR_OP_COMPACT, &cellar_msg_pass_request_type, &message);
    wait_for_answer(&harness);
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.compact.action, SVC_COMPACT_CANCEL + 1);
    assert_int_equal(fake.compact.bytes_per_second, 4096);
    assert_int_equal(fake.compact.table.bytes, 1);
    assert_int_equal(cellar_message_decode(&cellar_msg_compact_reply_type, frame.payload, &reply,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(reply.state, 4);
    assert_int_equal(reply.tablets, 1);
    assert_int_equal(reply.tablets_total, 2);
    assert_int_equal(reply.items_total, 6);
    assert_int_equal(reply.abandoned, 4);
    assert_true(cellar_slice_equal(reply.why, cellar_slice_text("full")));
    harness_close(&harness);
}

static void scrub_is_asked_for_and_told(void **state)
{
    (void)state;
    static const char problems[] = "\x93\x97\xa0\xc4\0\xc4\0\0\xc4\0\xc4\0\xa4lost"
                                   "\x97\xa1t\xc4\0\xc4\1m\1\xc4\1"
                                   "a\xc4\0\xa3"
                                   "bad"
                                   "\x97\xa1t\xc4\1m\xc4\0\2\xc4\1n\xc4\1o\xa5worse";
    struct harness harness;
    struct cellar_msg_scrub_reply reply;
    fake_reset();
    harness_open_greeted(&harness);
    scrub(&harness, 2,
          (struct cellar_msg_pass_request){.table = cellar_slice_text("t"),
                                           .bytes_per_second = 4096});
    struct harness_frame frame = harness_expect(&harness, 2, CELLAR_FRAME_REPLY);
    assert_int_equal(fake.scrub.action, SVC_SCRUB_START);
    assert_int_equal(fake.scrub.bytes_per_second, 4096);
    assert_int_equal(fake.scrub.table.bytes, 1);
    assert_int_equal(cellar_message_decode(&cellar_msg_scrub_reply_type, frame.payload, &reply,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(reply.state, 2);
    assert_int_equal(reply.pass, 3);
    assert_true(reply.background);
    assert_true(cellar_slice_equal(reply.table, cellar_slice_text("t")));
    assert_int_equal(reply.items, 5);
    assert_int_equal(reply.items_total, 6);
    assert_int_equal(reply.bytes, 700);
    assert_int_equal(reply.started_us, 8);
    assert_int_equal(reply.ended_us, 9);
    assert_int_equal(reply.problem_count, 70);
    assert_true(
        cellar_slice_equal(reply.problems, cellar_slice_make(problems, sizeof problems - 1)));
    scrub(&harness, 3, (struct cellar_msg_pass_request){.action = UINT64_C(0x100000002)});
    assert_int_equal(fake.scrub.action, 3); /* cut to what the service refuses */
    harness_close(&harness);
}

static void errors_of_the_service_are_answered_for_every_operation(void **state)
{
    (void)state;
    static const uint16_t operations[] = {CELLAR_OP_DESCRIBE_TABLE, CELLAR_OP_DROP_TABLE};
    struct harness harness;
    struct cellar_msg_create_table_request create_message = {.table = cellar_slice_text("t")};
    struct cellar_msg_list_tables_request list = {.page_size = -1};
    fake_reset();
    fake.admin_status = CELLAR_FAILED_PRECONDITION;
    harness_open_greeted(&harness);
    for (uint32_t i = 0; i < 2; i++) {
        table_request(&harness, 2 + i, operations[i]);
        harness_expect_error(&harness, 2 + i, CELLAR_FAILED_PRECONDITION, "the fake says");
    }
    create(&harness, 10, create_message);
    harness_expect_error(&harness, 10, CELLAR_FAILED_PRECONDITION, "the fake says");
    harness_request(&harness, 11, CELLAR_OP_LIST_TABLES, &cellar_msg_list_tables_request_type,
                    &list);
    wait_for_answer(&harness);
    harness_expect_error(&harness, 11, CELLAR_FAILED_PRECONDITION, "the fake says");
    modify(&harness, 12, cellar_slice_text("\x90"));
    harness_expect_error(&harness, 12, CELLAR_FAILED_PRECONDITION, "the fake says");
    drop_rows(&harness, 13, "p", false);
    harness_expect_error(&harness, 13, CELLAR_FAILED_PRECONDITION, "the fake says");
    scrub(&harness, 14, (struct cellar_msg_pass_request){.action = 1});
    harness_expect_error(&harness, 14, CELLAR_FAILED_PRECONDITION, "the fake says");
    harness_close(&harness);
}

static void request_counts_its_time_limit_from_arrival(void **state)
{
    (void)state;
    cellar_clock_fake_set(1000000, 1000000);
    struct harness harness;
    struct cellar_msg_create_table_request message = {.table = cellar_slice_text("t"),
                                                      .timeout_us = 250};
    fake_reset();
    harness_open_greeted(&harness);
    create(&harness, 2, message);
    expect_table(&harness, 2);
    assert_int_equal(fake.deadline_us, 1000250);
    message.timeout_us = UINT64_MAX;
    create(&harness, 3, message);
    assert_int_equal(fake.deadline_us, INT64_MAX);
    harness_close(&harness);
    cellar_clock_fake_off();
}

static void request_survives_its_connection(void **state)
{
    (void)state;
    struct harness harness;
    struct cellar_msg_table_request message = {.table = cellar_slice_text("t")};
    fake_reset();
    harness_open_greeted(&harness);
    harness_request(&harness, 2, CELLAR_OP_DROP_TABLE, &cellar_msg_table_request_type, &message);
    io_conn_abort(harness.conn);
    io_loop_turn(harness.loop, false);
    harness_close(&harness);
}

static void request_is_refused_when_the_budget_is_spent(void **state)
{
    (void)state;
    struct harness harness;
    fake_reset();
    harness_open_greeted(&harness);
    io_budget_charge(&harness.request_budget, 8u * 1048576u);
    table_request(&harness, 2, CELLAR_OP_DROP_TABLE);
    harness_expect_error(&harness, 2, CELLAR_UNAVAILABLE, "no room");
    io_budget_give(&harness.request_budget, 8u * 1048576u);
    harness_close(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_created_and_described),
        cmocka_unit_test(tables_are_listed_and_dropped),
        cmocka_unit_test(changes_of_families_keep_their_order),
        cmocka_unit_test(malformed_changes_are_refused_with_their_place),
        cmocka_unit_test(rows_are_dropped_by_prefix_or_all),
        cmocka_unit_test(table_with_malformed_parts_is_refused_with_their_place),
        cmocka_unit_test(scrub_is_asked_for_and_told),
        cmocka_unit_test(a_compaction_is_asked_for_and_told),
        cmocka_unit_test(errors_of_the_service_are_answered_for_every_operation),
        cmocka_unit_test(request_counts_its_time_limit_from_arrival),
        cmocka_unit_test(request_survives_its_connection),
        cmocka_unit_test(request_is_refused_when_the_budget_is_spent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
