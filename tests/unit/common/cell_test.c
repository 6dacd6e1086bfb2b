/*
 * cell: the limits of rows, families and qualifiers, the three forms of a table's name, and bytes
 * shown to people.
 */
#include <string.h>

#include "common/cell.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X64 X50 "xxxxxxxxxxxxxx"

static const uint8_t filler[CELLAR_QUALIFIER_BYTES_MAX + 1];

static void r_key_01_r_key_02_rows_have_1_to_4096_bytes(void **state)
{
    (void)state;
    struct cellar_error error = {0};
    assert_int_equal(cellar_row_check(BYTES("\0"), &error), CELLAR_OK);
    assert_int_equal(cellar_row_check(BYTES("\xff"), NULL), CELLAR_OK);
    assert_int_equal(cellar_row_check(cellar_slice_make(filler, 4096), &error), CELLAR_OK);
    assert_int_equal(cellar_row_check(cellar_slice_make(filler, 4097), &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "Error in field 'row_key' : Row keys must be at most 4096 "
                                    "bytes, but got 4097");
}

static void r_key_03_an_empty_row_is_refused_with_the_exact_text(void **state)
{
    (void)state;
    struct cellar_error error = {0};
    assert_int_equal(cellar_row_check(cellar_slice_make(NULL, 0), &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(error.code, CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "Error in field 'row_key' : Row keys must be non-empty");
}

static void r_key_04_qualifiers_have_0_to_16384_bytes(void **state)
{
    (void)state;
    struct cellar_error error = {0};
    assert_int_equal(cellar_qualifier_check(cellar_slice_make(NULL, 0), &error), CELLAR_OK);
    assert_int_equal(cellar_qualifier_check(cellar_slice_make(filler, 16384), &error), CELLAR_OK);
    assert_int_equal(cellar_qualifier_check(cellar_slice_make(filler, 16385), &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "16384"));
    assert_non_null(strstr(error.text, "16385"));
}

static void r_key_07_family_names_match_their_pattern(void **state)
{
    (void)state;
    const struct cellar_slice good[] = {BYTES("f"), BYTES("-_.aZ09"), BYTES("."), BYTES(X64)};
    const struct cellar_slice bad[] = {BYTES(""),     BYTES("a b"),      BYTES("a:b"),
                                       BYTES("a\0b"), BYTES("\xc3\xa4"), BYTES("a/b"),
                                       BYTES(X64 "x")};
    struct cellar_error error = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(good); index++) {
        assert_int_equal(cellar_family_check(good[index], &error), CELLAR_OK);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bad); index++) {
        assert_int_equal(cellar_family_check(bad[index], &error), CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "Error in field 'family'"));
    }
    assert_int_equal(cellar_family_check(BYTES("a\0b"), &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "'a\\x00b'"));
}

static void r_ins_01_the_three_forms_of_a_table_name_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *full;
    } cases[] = {
        {"t", "projects/default/instances/default/tables/t"},
        {"default/default/t", "projects/default/instances/default/tables/t"},
        {"projects/default/instances/default/tables/t",
         "projects/default/instances/default/tables/t"},
        {"p/i/t", "projects/p/instances/i/tables/t"},
        {"example.com:p/i-1/_t-.x", "projects/example.com:p/instances/i-1/tables/_t-.x"},
        {"projects/a/b", "projects/projects/instances/a/tables/b"},
        {"projects/projects/instances/tables/tables/instances",
         "projects/projects/instances/tables/tables/instances"},
        {X64 "/" X64 "/" X50, "projects/" X64 "/instances/" X64 "/tables/" X50},
    };
    struct cellar_buffer full = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_table_name name;
        struct cellar_error error = {0};
        cellar_buffer_clear(&full);
        assert_int_equal(
            cellar_table_name_decode(cellar_slice_text(cases[index].text), &name, &error),
            CELLAR_OK);
        assert_int_equal(cellar_table_name_encode(&name, &full), CELLAR_OK);
        assert_true(
            cellar_slice_equal(cellar_slice_of(&full), cellar_slice_text(cases[index].full)));
        assert_true(full.bytes <= CELLAR_TABLE_NAME_BYTES_MAX);
    }
    cellar_buffer_fini(&full);
}

static void r_key_08_r_ins_06_other_table_names_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice bad[] = {
        BYTES(""),
        BYTES("-t"),
        BYTES(".t"),
        BYTES("t t"),
        BYTES("t\0"),
        BYTES("t:t"),
        BYTES("\xc3\xa4"),
        BYTES(X50 "x"),
        BYTES("i/t"),
        BYTES("/i/t"),
        BYTES("p//t"),
        BYTES("p/i/"),
        BYTES("-p/i/t"),
        BYTES("p/.i/t"),
        BYTES(X64 "x/i/t"),
        BYTES("p/" X64 "x/t"),
        BYTES("projects/p/instances/i"),
        BYTES("projects/p/instances/i/tables"),
        BYTES("projects/p/instances/i/tables/"),
        BYTES("Projects/p/instances/i/tables/t"),
        BYTES("projects/p/instance/i/tables/t"),
        BYTES("projects/p/instances/i/table/t"),
        BYTES("projects/p/instances/i/tables/t/"),
        BYTES("projects/p/instances/i/tables/t/u"),
        BYTES("/projects/p/instances/i/tables/t"),
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bad); index++) {
        struct cellar_table_name name = {.table = BYTES("untouched")};
        struct cellar_error error = {0};
        assert_int_equal(cellar_table_name_decode(bad[index], &name, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_int_equal(name.table.bytes, 9);
        assert_non_null(strstr(error.text, "Error in field 'table'"));
    }
}

static void a_refused_table_name_is_shown_with_its_length(void **state)
{
    (void)state;
    struct cellar_table_name name;
    struct cellar_error error = {0};
    assert_int_equal(cellar_table_name_decode(cellar_slice_make(filler, 300), &name, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "\\x00..."));
    assert_non_null(strstr(error.text, "(300 bytes)"));
}

static void r_ins_06_instance_names_have_three_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *project;
        const char *instance;
    } good[] = {{"", "default", "default"},
                {"p/i", "p", "i"},
                {"projects/p/instances/i", "p", "i"},
                {"example.com:p/i", "example.com:p", "i"}};
    static const char *const bad[] = {"i",      "p/",    "/i",
                                      "/",      "p/i/t", "projects/p/instances/",
                                      "-p/i",   "p/-i",  "projects/p/instance/i",
                                      "a/b/c/d"};
    struct cellar_table_name name;
    struct cellar_error error = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(good); index++) {
        assert_int_equal(
            cellar_instance_name_decode(cellar_slice_text(good[index].text), &name, &error),
            CELLAR_OK);
        assert_true(cellar_slice_equal(name.project, cellar_slice_text(good[index].project)));
        assert_true(cellar_slice_equal(name.instance, cellar_slice_text(good[index].instance)));
        assert_int_equal(name.table.bytes, 0);
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bad); index++) {
        assert_int_equal(cellar_instance_name_decode(cellar_slice_text(bad[index]), &name, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "Error in field 'instance'"));
    }
}

static void bytes_are_shown_as_people_can_read_them(void **state)
{
    (void)state;
    char text[64];
    const struct {
        struct cellar_slice bytes;
        size_t bytes_max;
        size_t room;
        const char *shown;
    } cases[] = {
        {BYTES(""), 10, 64, ""},
        {cellar_slice_make(NULL, 0), 10, 64, ""},
        {BYTES("row#1 ~"), 10, 64, "row#1 ~"},
        {BYTES("a\\b"), 10, 64, "a\\x5cb"},
        {BYTES("\x00\x1f\x7f\xff"), 10, 64, "\\x00\\x1f\\x7f\\xff"},
        {BYTES("abcdef"), 3, 64, "abc..."},
        {BYTES("abcdef"), 0, 64, "..."},
        {BYTES("abcdefg"), 10, 8, "abcdefg"},
        {BYTES("abcdefgh"), 10, 8, "abcd..."},
        {BYTES("abc\0"), 10, 8, "abc\\x00"},
        {BYTES("abcd\0"), 10, 8, "abcd..."},
        {BYTES("\0\0"), 10, 8, "\\x00..."},
        {BYTES("abcdefghi"), 7, 8, "abcd..."},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        memset(text, '#', sizeof text);
        const char *shown =
            cellar_bytes_show(cases[index].bytes, cases[index].bytes_max, text, cases[index].room);
        assert_ptr_equal(shown, text);
        assert_string_equal(shown, cases[index].shown);
        assert_true(cases[index].room == sizeof text || text[cases[index].room] == '#');
    }
}

/* Encodes a name into a new buffer. */
static enum cellar_status encode_name(void *context)
{
    struct cellar_buffer buffer = {0};
    enum cellar_status status = cellar_table_name_encode(context, &buffer);
    assert_true(status == CELLAR_OK || buffer.bytes == 0);
    cellar_buffer_fini(&buffer);
    return status;
}

static void without_memory_no_name_is_appended(void **state)
{
    (void)state;
    struct cellar_table_name name;
    assert_int_equal(cellar_table_name_decode(BYTES(X64 "/" X64 "/" X50), &name, NULL), CELLAR_OK);
    assert_true(test_out_of_memory_loop(encode_name, &name) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_key_01_r_key_02_rows_have_1_to_4096_bytes),
        cmocka_unit_test(r_key_03_an_empty_row_is_refused_with_the_exact_text),
        cmocka_unit_test(r_key_04_qualifiers_have_0_to_16384_bytes),
        cmocka_unit_test(r_key_07_family_names_match_their_pattern),
        cmocka_unit_test(r_ins_01_the_three_forms_of_a_table_name_are_split),
        cmocka_unit_test(r_key_08_r_ins_06_other_table_names_are_refused),
        cmocka_unit_test(a_refused_table_name_is_shown_with_its_length),
        cmocka_unit_test(r_ins_06_instance_names_have_three_forms),
        cmocka_unit_test(bytes_are_shown_as_people_can_read_them),
        cmocka_unit_test(without_memory_no_name_is_appended),
    };
    return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}
