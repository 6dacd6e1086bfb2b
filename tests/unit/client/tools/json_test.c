/*
 * json: a document as a tree or step by step, and everything that RFC 8259 does not allow refused
 * with its place.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/json.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)

static const struct cellar_json *read_ok(struct cellar_slice text, struct cellar_arena *arena)
{
    const struct cellar_json *root = NULL;
    struct cellar_error error;
    if (cellar_json_read(text, arena, &root, &error) != CELLAR_OK) {
        fail_msg("%.*s: %s", (int)text.bytes, (const char *)text.data, error.text);
    }
    return root;
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    const struct cellar_json *root = read_ok(
        BYTES(" {\"a\": [1, -2.5e+3, true, false, null], \"b\":{} , \"c\":\"x\"}\r\n\t"), &arena);
    assert_int_equal(root->kind, CELLAR_JSON_OBJECT);
    const struct cellar_json *list = cellar_json_member(root, "a");
    assert_int_equal(list->kind, CELLAR_JSON_ARRAY);
    const struct cellar_json *at = list->children;
    assert_int_equal(at->kind, CELLAR_JSON_NUMBER);
    at = at->next;
    assert_true(cellar_slice_equal(at->text, BYTES("-2.5e+3")));
    at = at->next;
    assert_true(at->kind == CELLAR_JSON_BOOL && at->is_true);
    at = at->next;
    assert_true(at->kind == CELLAR_JSON_BOOL && !at->is_true);
    at = at->next;
    assert_int_equal(at->kind, CELLAR_JSON_NULL);
    assert_null(at->next);
    assert_null(cellar_json_member(root, "b")->children);
    assert_true(cellar_slice_equal(cellar_json_member(root, "c")->text, BYTES("x")));
    assert_null(cellar_json_member(root, "d"));
    cellar_arena_fini(&arena);
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        struct cellar_slice json;
        struct cellar_slice text;
    } cases[] = {
        {{(const uint8_t *)"\"\"", 2}, {(const uint8_t *)"", 0}},
        {{(const uint8_t *)"\"a\\n\\\"\\\\\\/\\b\\f\\r\\t\"", 19},
         {(const uint8_t *)"a\n\"\\/\b\f\r\t", 9}},
        {{(const uint8_t *)"\"\\u0041\\u00e9\\u20AC\"", 20},
         {(const uint8_t *)"A\xc3\xa9\xe2\x82\xac", 6}},
        {{(const uint8_t *)"\"\\ud83d\\ude00\"", 14}, {(const uint8_t *)"\xf0\x9f\x98\x80", 4}},
        {{(const uint8_t *)"\"\\u0000\"", 8}, {(const uint8_t *)"\0", 1}},
        {{(const uint8_t *)"\"\xc3\xa9\"", 4}, {(const uint8_t *)"\xc3\xa9", 2}},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_arena arena = {0};
        const struct cellar_json *root = read_ok(cases[index].json, &arena);
        assert_int_equal(root->kind, CELLAR_JSON_STRING);
        assert_true(cellar_slice_equal(root->text, cases[index].text));
        cellar_arena_fini(&arena);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "nul",
        "nulll",
        "True",
        "tru",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "'a'",
        "\"a",
        "\"\\q\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\t\"",
        "\"a\nb\"",
        "1 2",
        "[] x",
        "// c\n1",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "{\"a\":1,\"a\":2}",
        "[1}",
        "{\"a\":1]",
        "\"\\\"",
        "\\",
        "{\"a\":1,,}",
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_arena arena = {0};
        const struct cellar_json *root = NULL;
        struct cellar_error error;
        if (cellar_json_read(cellar_slice_text(texts[index]), &arena, &root, &error) !=
            CELLAR_INVALID_ARGUMENT) {
            fail_msg("'%s' was taken", texts[index]);
        }
        assert_null(root);
        assert_non_null(strstr(error.text, "at byte"));
        cellar_arena_fini(&arena);
    }
}

static void the_place_of_a_mistake_is_told(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    const struct cellar_json *root = NULL;
    struct cellar_error error;
    assert_int_equal(cellar_json_read(BYTES("{\"a\": nope}"), &arena, &root, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "JSON: no value at byte 7");
    assert_int_equal(cellar_json_read(BYTES("{\"a\":1, \"a\":2}"), &arena, &root, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "comes twice"));
    cellar_arena_fini(&arena);
}

static void nesting_and_members_are_bounded(void **state)
{
    (void)state;
    char text[2 * CELLAR_JSON_DEPTH_MAX + 3];
    struct cellar_arena arena = {0};
    const struct cellar_json *root = NULL;
    struct cellar_error error;
    struct cellar_buffer many = {0};
    memset(text, '[', CELLAR_JSON_DEPTH_MAX);
    memset(text + CELLAR_JSON_DEPTH_MAX, ']', CELLAR_JSON_DEPTH_MAX);
    (void)read_ok(cellar_slice_make(text, (size_t)2 * CELLAR_JSON_DEPTH_MAX), &arena);
    memset(text, '[', CELLAR_JSON_DEPTH_MAX + 1);
    memset(text + CELLAR_JSON_DEPTH_MAX + 1, ']', CELLAR_JSON_DEPTH_MAX + 1);
    assert_int_equal(
        cellar_json_read(cellar_slice_make(text, sizeof text - 1), &arena, &root, &error),
        CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "too deep"));
    assert_int_equal(cellar_buffer_append(&many, "{", 1), CELLAR_OK);
    for (unsigned index = 0; index <= CELLAR_JSON_MEMBER_COUNT_MAX; index++) {
        assert_int_equal(cellar_buffer_printf(&many, "%s\"m%u\":1", index == 0 ? "" : ",", index),
                         CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_append(&many, "}", 1), CELLAR_OK);
    assert_int_equal(cellar_json_read(cellar_slice_of(&many), &arena, &root, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "too many members"));
    cellar_buffer_fini(&many);
    cellar_arena_fini(&arena);
}

static void integers_come_through_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_integer;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_arena arena = {0};
        int64_t value = 0;
        const struct cellar_json *root = read_ok(cellar_slice_text(cases[index].text), &arena);
        assert_int_equal(cellar_json_integer(root, &value), cases[index].is_integer);
        assert_int_equal(value, cases[index].value);
        cellar_arena_fini(&arena);
    }
}

/* What a walk over one container meets: names, and the kinds and texts of values; or what is
 * wrong. */
static const char *walk_of(const char *text, enum cellar_json_kind kind)
{
    static char shown[200];
    struct cellar_arena arena = {0};
    struct cellar_json_walk walk = {.text = cellar_slice_text(text), .arena = &arena};
    struct cellar_error error;
    struct cellar_slice name = cellar_slice_text("");
    struct cellar_json value;
    size_t at = 0;
    bool has_next = cellar_json_walk_enter(&walk, kind);
    cellar_error_clear(&error);
    shown[0] = '\0';
    if (!has_next) {
        return "not entered";
    }
    while (has_next && error.code == CELLAR_OK) {
        if (cellar_json_walk_next(&walk, kind, &name, &has_next, &error) != CELLAR_OK ||
            !has_next || cellar_json_walk_value(&walk, &value, &error) != CELLAR_OK) {
            break;
        }
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%.*s=%d:%.*s ", (int)name.bytes,
                               (const char *)name.data, (int)value.kind, (int)value.text.bytes,
                               (const char *)value.text.data);
        assert_true(at < sizeof shown);
        cellar_arena_reset(&arena);
    }
    if (error.code != CELLAR_OK || cellar_json_walk_end(&walk, &error) != CELLAR_OK) {
        (void)snprintf(shown + at, sizeof shown - at, "%s", error.text);
    }
    cellar_arena_fini(&arena);
    return shown;
}

static void a_document_is_stepped_through(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cellar_json_kind kind;
        const char *wanted;
    } cases[] = {
        {" { \"a\" : 1 , \"b\":\"x\\u0041\" } ", CELLAR_JSON_OBJECT, "a=2:1 b=3:xA "},
        {"[1,\"x\",[2],{}]", CELLAR_JSON_ARRAY, "=2:1 =3:x =4: =5: "},
        {"[]", CELLAR_JSON_ARRAY, ""},
        {"{}", CELLAR_JSON_OBJECT, ""},
        {"[]", CELLAR_JSON_OBJECT, "not entered"},
        {"", CELLAR_JSON_OBJECT, "not entered"},
        {"[1 2]", CELLAR_JSON_ARRAY, "=2:1 JSON: a ',' or a closing bracket is missing at byte 4"},
        {"[,1]", CELLAR_JSON_ARRAY, "JSON: a number that is none at byte 2"},
        {"[1,]", CELLAR_JSON_ARRAY, "=2:1 JSON: a number that is none at byte 4"},
        {"[1", CELLAR_JSON_ARRAY, "=2:1 JSON: a ',' or a closing bracket is missing at byte 3"},
        {"[1}", CELLAR_JSON_ARRAY, "=2:1 JSON: a ',' or a closing bracket is missing at byte 3"},
        {"{1:2}", CELLAR_JSON_OBJECT, "JSON: a member without a name at byte 2"},
        {"{\"a\" 2}", CELLAR_JSON_OBJECT, "JSON: a ':' is missing at byte 6"},
        {"[1] 2", CELLAR_JSON_ARRAY, "=2:1 JSON: something behind the value at byte 5"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        assert_string_equal(walk_of(cases[index].text, cases[index].kind), cases[index].wanted);
    }
}

static void a_walk_reads_bounded_values(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    struct cellar_buffer text = {0};
    struct cellar_error error;
    struct cellar_json value;
    for (size_t count = CELLAR_JSON_WALK_VALUES_MAX; count <= CELLAR_JSON_WALK_VALUES_MAX + 1;
         count++) {
        cellar_buffer_clear(&text);
        for (size_t index = 0; index < count; index++) {
            assert_int_equal(cellar_buffer_append(&text, index == 0 ? "[0" : ",0", 2), CELLAR_OK);
        }
        assert_int_equal(cellar_buffer_append(&text, "]", 1), CELLAR_OK);
        struct cellar_json_walk walk = {.text = cellar_slice_of(&text), .arena = &arena};
        bool is_fitting = count == CELLAR_JSON_WALK_VALUES_MAX;
        assert_int_equal(cellar_json_walk_value(&walk, &value, &error),
                         is_fitting ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        assert_true(is_fitting || strstr(error.text, "too many values") != NULL);
    }
    for (size_t more = 0; more <= 1; more++) {
        size_t bytes = CELLAR_JSON_WALK_STRING_BYTES_MAX + more;
        cellar_buffer_clear(&text);
        assert_int_equal(cellar_buffer_reserve(&text, bytes + 2), CELLAR_OK);
        memset(text.data, 'x', bytes + 2);
        text.data[0] = text.data[bytes + 1] = '"';
        text.bytes = bytes + 2;
        struct cellar_json_walk walk = {.text = cellar_slice_of(&text), .arena = &arena};
        assert_int_equal(cellar_json_walk_value(&walk, &value, &error),
                         more == 0 ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        assert_true(more == 0 || strstr(error.text, "a string that is too long") != NULL);
    }
    cellar_buffer_fini(&text);
    cellar_arena_fini(&arena);
}

static void random_changes_do_no_harm(void **state)
{
    (void)state;
    static const char sample[] =
        "{\"row\":\"r\\u0041\",\"cells\":[{\"a\":{\"b64\":\"AA==\"}},1.5e3]}";
    struct test_random random = {test_seed("json changes")};
    for (int round = 0; round < 3000; round++) {
        char text[sizeof sample];
        struct cellar_arena arena = {0};
        const struct cellar_json *root = NULL;
        memcpy(text, sample, sizeof sample);
        for (int count = 0; count < 3; count++) {
            text[test_random_below(&random, sizeof sample - 1)] =
                "{}[]\",:\\u0e-tfn\xff\n"[test_random_below(&random, 18)];
        }
        enum cellar_status status =
            cellar_json_read(cellar_slice_make(text, test_random_below(&random, sizeof sample)),
                             &arena, &root, NULL);
        assert_true(status == CELLAR_OK || status == CELLAR_INVALID_ARGUMENT);
        cellar_arena_fini(&arena);
    }
}

static enum cellar_status read_some(void *context)
{
    struct cellar_arena arena = {.block_bytes = 64};
    const struct cellar_json *root = NULL;
    (void)context;
    enum cellar_status status = cellar_json_read(
        BYTES("{\"name\":[1,2,3,\"an escaped string \\u0041\",[],[],[]]}"), &arena, &root, NULL);
    cellar_arena_fini(&arena);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(read_some, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(the_place_of_a_mistake_is_told),
        cmocka_unit_test(nesting_and_members_are_bounded),
        cmocka_unit_test(integers_come_through_whole),
        cmocka_unit_test(a_document_is_stepped_through),
        cmocka_unit_test(a_walk_reads_bounded_values),
        cmocka_unit_test(random_changes_do_no_harm),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
