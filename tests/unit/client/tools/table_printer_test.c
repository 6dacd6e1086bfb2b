/*
 * table_printer: a table and a list of tables in four formats, compared with the text
 * they must be.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/escape.h"
#include "client/tools/table_printer.h"

static const struct cellar_rule both[] = {{.kind = CELLAR_RULE_VERSIONS, .amount = 3},
                                          {.kind = CELLAR_RULE_AGE, .amount = 3600000000}};
static const struct cellar_family_info families[] = {
    {"d", {.kind = CELLAR_RULE_NONE}},
    {"f", {.kind = CELLAR_RULE_UNION, .children = both, .child_count = 2}},
};
static const struct cellar_tablet_info tablets[] = {
    {{NULL, 0}, {(const uint8_t *)"m\xff", 2}, 1},
    {{(const uint8_t *)"m\xff", 2}, {NULL, 0}, 12},
};
static const struct cellar_table_info table = {.name = "projects/p/instances/i/tables/t",
                                               .families = families,
                                               .family_count = 2,
                                               .tablets = tablets,
                                               .tablet_count = 2,
                                               .granularity = CELLAR_TABLE_MICROS,
                                               .schema_version = 7};

static void expect(const struct cellar_buffer *to, const char *wanted)
{
    if (!cellar_slice_equal(cellar_slice_of(to), cellar_slice_text(wanted))) {
        fail_msg("got:\n%.*s\nwanted:\n%s", (int)to->bytes, (const char *)to->data, wanted);
    }
}

static void a_table_is_printed(void **state)
{
    (void)state;
    static const char json[] =
        "{\"name\":\"projects/p/instances/i/tables/t\",\"granularity\":\"micros\","
        "\"schema_version\":7,\"families\":[{\"name\":\"d\",\"rule\":\"\"},"
        "{\"name\":\"f\",\"rule\":\"max-versions=3:max-age=1h\"}],"
        "\"tablets\":[{\"start\":\"\",\"end\":{\"b64\":\"bf8=\"},\"store\":1},"
        "{\"start\":{\"b64\":\"bf8=\"},\"end\":\"\",\"store\":12}]}\n";
    static const char *const wanted[] = {
        [CELLAR_FORMAT_TEXT] = "t\n"
                               "  name  projects/p/instances/i/tables/t\n"
                               "  granularity  micros\n"
                               "  schema version  7\n"
                               "  family  d  keeps everything\n"
                               "  family  f  max-versions=3:max-age=1h\n"
                               "  tablet  on store 1  up to, without, m\\xff\n"
                               "  tablet  on store 12  from m\\xff\n",
        [CELLAR_FORMAT_JSON] = json,
        [CELLAR_FORMAT_JSONL] = json,
        [CELLAR_FORMAT_CSV] = "kind,name,rule,start,end,store\n"
                              "family,d,,,,\n"
                              "family,f,max-versions=3:max-age=1h,,,\n"
                              "tablet,,,,m\\xff,1\n"
                              "tablet,,,m\\xff,,12\n",
    };
    for (size_t format = 0; format < CELLAR_ARRAY_COUNT(wanted); format++) {
        struct cellar_buffer to = {0};
        assert_int_equal(cellar_table_print((enum cellar_format)format, &table, &to), CELLAR_OK);
        expect(&to, wanted[format]);
        cellar_buffer_fini(&to);
    }
}

static void tables_are_listed(void **state)
{
    (void)state;
    static const char *const names[] = {"projects/p/instances/i/tables/a",
                                        "projects/p/instances/i/tables/b"};
    const struct cellar_table_list list = {.names = names, .count = 2};
    static const char *const wanted[] = {
        [CELLAR_FORMAT_TEXT] = "a\nb\n",
        [CELLAR_FORMAT_JSON] =
            "[\"projects/p/instances/i/tables/a\",\"projects/p/instances/i/tables/b\"]\n",
        [CELLAR_FORMAT_JSONL] = "{\"name\":\"projects/p/instances/i/tables/a\"}\n"
                                "{\"name\":\"projects/p/instances/i/tables/b\"}\n",
        [CELLAR_FORMAT_CSV] = "name\nprojects/p/instances/i/tables/a\n"
                              "projects/p/instances/i/tables/b\n",
    };
    static const char *const empty[] = {"", "[]\n", "", "name\n"};
    for (size_t format = 0; format < CELLAR_ARRAY_COUNT(wanted); format++) {
        struct cellar_buffer to = {0};
        const struct cellar_table_list none = {0};
        assert_int_equal(cellar_table_list_print((enum cellar_format)format, &list, &to),
                         CELLAR_OK);
        expect(&to, wanted[format]);
        cellar_buffer_clear(&to);
        assert_int_equal(cellar_table_list_print((enum cellar_format)format, &none, &to),
                         CELLAR_OK);
        expect(&to, empty[format]);
        cellar_buffer_fini(&to);
    }
}

/* A server may be anybody's: what it says must not command the terminal. */
static void names_of_a_hostile_server_are_shown_only(void **state)
{
    (void)state;
    static const char *const names[] = {"p/\x1b]0;title\a\xc2\x9b\xff"};
    static const struct cellar_family_info family = {.name = "\x1b[2J\xe2\x80\xae"};
    const struct cellar_table_list list = {.names = names, .count = 1};
    const struct cellar_table_info evil = {.name = names[0],
                                           .families = &family,
                                           .family_count = 1,
                                           .granularity = CELLAR_TABLE_MICROS};
    for (enum cellar_format format = CELLAR_FORMAT_TEXT; format <= CELLAR_FORMAT_CSV; format++) {
        struct cellar_buffer to = {0};
        uint32_t code;
        assert_int_equal(cellar_table_list_print(format, &list, &to), CELLAR_OK);
        assert_int_equal(cellar_table_print(format, &evil, &to), CELLAR_OK);
        for (size_t at = 0; at < to.bytes;) {
            size_t length = cellar_utf8_next(cellar_slice_make(to.data + at, to.bytes - at), &code);
            assert_true(length > 0);
            assert_true(code == '\n' || !cellar_escape_is_hidden(code));
            at += length;
        }
        cellar_buffer_fini(&to);
    }
}

static enum cellar_status print(void *context)
{
    struct cellar_buffer to = {0};
    enum cellar_status status =
        cellar_table_print(*(const enum cellar_format *)context, &table, &to);
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    for (enum cellar_format format = CELLAR_FORMAT_TEXT; format <= CELLAR_FORMAT_CSV; format++) {
        assert_true(test_out_of_memory_loop(print, &format) >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_printed),
        cmocka_unit_test(tables_are_listed),
        cmocka_unit_test(names_of_a_hostile_server_are_shown_only),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("table_printer", tests, NULL, NULL);
}
