/*
 * info: answers about tables and servers as structures, from bodies written by hand: whole ones,
 * ones a newer server would send, malformed ones, and a lack of memory.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/info.h"

#define BODY(text) cellar_slice_make(text, sizeof(text) - 1)

/* {1: "p/t", 2: [["f", nil], ["g", [3, [[1, 2], [2, 5000]]]]], 3: 2, 4: [["", "m", 1],
 * ["m", "", 9]], 5: 7} */
#define TABLE                                                                                      \
    "\x85\x01\xa3p/t\x02\x92\x92\xa1"                                                              \
    "f\xc0\x92\xa1g\x92\x03\x92\x92\x01\x02\x92\x02\xcd\x13\x88\x03\x02\x04\x92\x93\xc4\x00\xc4"   \
    "\x01m\x01\x93\xc4\x01m\xc4\x00\x09\x05\x07"

static void a_table_is_decoded(void **state)
{
    (void)state;
    struct cellar_table_info *info = NULL;
    assert_int_equal(cellar_table_info_decode(BODY(TABLE), &info, NULL), CELLAR_OK);
    assert_string_equal(info->name, "p/t");
    assert_int_equal(info->family_count, 2);
    assert_string_equal(info->families[0].name, "f");
    assert_int_equal(info->families[0].rule.kind, CELLAR_RULE_NONE);
    assert_int_equal(info->families[1].rule.kind, CELLAR_RULE_UNION);
    assert_int_equal(info->families[1].rule.child_count, 2);
    assert_int_equal(info->families[1].rule.children[1].kind, CELLAR_RULE_AGE);
    assert_int_equal(info->families[1].rule.children[1].amount, 5000);
    assert_int_equal(info->granularity, CELLAR_TABLE_MICROS);
    assert_int_equal(info->tablet_count, 2);
    assert_int_equal(info->tablets[0].start.bytes, 0);
    assert_int_equal(info->tablets[0].end.data[0], 'm');
    assert_int_equal(info->tablets[1].store, 9);
    assert_int_equal(info->schema_version, 7);
    cellar_table_info_free(info);
    cellar_table_info_free(NULL);
}

static void an_empty_table_body_is_a_table_of_nothing(void **state)
{
    (void)state;
    struct cellar_table_info *info = NULL;
    assert_int_equal(cellar_table_info_decode(BODY("\x80"), &info, NULL), CELLAR_OK);
    assert_string_equal(info->name, "");
    assert_int_equal(info->family_count, 0);
    assert_int_equal(info->tablet_count, 0);
    assert_int_equal(info->granularity, CELLAR_TABLE_MILLIS);
    cellar_table_info_free(info);
}

static void what_a_newer_server_adds_is_stepped_over(void **state)
{
    (void)state;
    struct cellar_table_info *info = NULL;
    /* {2: [["f", nil, 1, [2]]], 4: [["", "", 1, "x"]], 30: {1: 2}} */
    assert_int_equal(cellar_table_info_decode(BODY("\x83\x02\x91\x94\xa1"
                                                   "f\xc0\x01\x91\x02\x04\x91\x94\xa0\xa0\x01\xa1x"
                                                   "\x1e\x81\x01\x02"),
                                              &info, NULL),
                     CELLAR_OK);
    assert_int_equal(info->family_count, 1);
    assert_int_equal(info->tablet_count, 1);
    cellar_table_info_free(info);
}

static void malformed_tables_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice bodies[] = {
        BODY(""),
        BODY("\x90"),
        BODY("\x81\x02\x01"),
        BODY("\x81\x02\x91\x01"),
        BODY("\x81\x02\x91\x91\xa1"
             "f"),
        BODY("\x81\x02\x91\x92\xa1"
             "f\x01"),
        BODY("\x81\x04\x91\x92\xa0\xa0"),
        BODY("\x81\x04\x91\x93\xa0\xa0\xa0"),
        BODY("\x81\x04\xc0"),
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bodies); index++) {
        struct cellar_table_info *info = NULL;
        struct cellar_error error;
        assert_int_equal(cellar_table_info_decode(bodies[index], &info, &error), CELLAR_IO_ERROR);
        assert_null(info);
        assert_non_null(strstr(error.text, "cannot be read"));
    }
}

static void a_server_is_decoded_but_for_numbers_that_are_none(void **state)
{
    (void)state;
    struct cellar_server_info *info = NULL;
    /* {1: "1.2", 2: 99, 3: "/d", 4: [["a", 1], ["b", 1.5 (a float)], ["c", -3, "more"]]} */
    assert_int_equal(
        cellar_server_info_decode(BODY("\x84\x01\xa3\x31.2\x02\x63\x03\xa2/d\x04\x93\x92\xa1"
                                       "a\x01\x92\xa1"
                                       "b\xcb\x3f\xf8\0\0\0\0\0\0\x93\xa1"
                                       "c\xfd\xa4more"),
                                  &info, NULL),
        CELLAR_OK);
    assert_string_equal(info->version, "1.2");
    assert_int_equal(info->uptime_us, 99);
    assert_string_equal(info->data_dir, "/d");
    assert_int_equal(info->figure_count, 2);
    assert_string_equal(info->figures[1].name, "c");
    assert_int_equal(info->figures[1].value, -3);
    cellar_server_info_free(info);
    cellar_server_info_free(NULL);
}

static void malformed_servers_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice bodies[] = {
        BODY("\x90"),
        BODY("\x81\x04\x01"),
        BODY("\x81\x04\x91\x01"),
        BODY("\x81\x04\x91\x91\xa1"
             "a"),
        BODY("\x81\x04\x91\x92\x01\x01"),
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bodies); index++) {
        struct cellar_server_info *info = NULL;
        assert_int_equal(cellar_server_info_decode(bodies[index], &info, NULL), CELLAR_IO_ERROR);
        assert_null(info);
    }
}

static void pages_of_tables_come_together(void **state)
{
    (void)state;
    struct cellar_table_list *list = cellar_table_list_new();
    struct cellar_slice next = {NULL, 0};
    assert_int_equal(cellar_table_list_add(list,
                                           BODY("\x82\x01\x92\xa1"
                                                "a\xa1"
                                                "b\x02\xc4\x01t"),
                                           &next, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(next, BODY("t")));
    assert_int_equal(cellar_table_list_add(list, BODY("\x80"), &next, NULL), CELLAR_OK);
    assert_int_equal(next.bytes, 0);
    assert_int_equal(cellar_table_list_add(list, BODY("\x81\x01\x91\x01"), &next, NULL),
                     CELLAR_IO_ERROR);
    assert_int_equal(cellar_table_list_add(list, BODY("\x81\x01\x01"), &next, NULL),
                     CELLAR_IO_ERROR);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->names[1], "b");
    cellar_table_list_free(list);
    cellar_table_list_free(NULL);
}

static enum cellar_status decode_table(void *context)
{
    struct cellar_table_info *info = NULL;
    (void)context;
    enum cellar_status status = cellar_table_info_decode(BODY(TABLE), &info, NULL);
    cellar_table_info_free(info);
    return status;
}

static enum cellar_status decode_server(void *context)
{
    struct cellar_server_info *info = NULL;
    (void)context;
    enum cellar_status status = cellar_server_info_decode(BODY("\x81\x04\x91\x92\xa1"
                                                               "a\x01"),
                                                          &info, NULL);
    cellar_server_info_free(info);
    return status;
}

static enum cellar_status decode_list(void *context)
{
    struct cellar_slice next;
    (void)context;
    struct cellar_table_list *list = cellar_table_list_new();
    enum cellar_status status = list == NULL ? CELLAR_NO_MEMORY
                                             : cellar_table_list_add(list,
                                                                     BODY("\x81\x01\x91\xa1"
                                                                          "a"),
                                                                     &next, NULL);
    cellar_table_list_free(list);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(decode_table, NULL) >= 2);
    assert_true(test_out_of_memory_loop(decode_server, NULL) >= 2);
    assert_true(test_out_of_memory_loop(decode_list, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_decoded),
        cmocka_unit_test(an_empty_table_body_is_a_table_of_nothing),
        cmocka_unit_test(what_a_newer_server_adds_is_stepped_over),
        cmocka_unit_test(malformed_tables_are_refused),
        cmocka_unit_test(a_server_is_decoded_but_for_numbers_that_are_none),
        cmocka_unit_test(malformed_servers_are_refused),
        cmocka_unit_test(pages_of_tables_come_together),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}
