/*
 * jsonl: lines as rows, what a line may leave out, and every mistake refused by its name; record:
 * the limits of a row.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/mutations.h"
#include "client/tools/jsonl.h"
#include "client/tools/row_printer.h"

/* A line, decoded into a record; the record is freed by the caller. */
static enum cellar_status decode(const char *line, const char *family, struct cellar_record *record,
                                 struct cellar_error *error)
{
    struct cellar_jsonl_defaults defaults = {.family = family, .timestamp_us = 5000};
    struct cellar_arena arena = {0};
    struct cellar_jsonl_rest rest = {0};
    memset(record, 0, sizeof *record);
    enum cellar_status status =
        cellar_jsonl_decode(cellar_slice_text(line), &defaults, &arena, record, &rest, error);
    assert_true(status != CELLAR_OK || !rest.has_more);
    cellar_jsonl_rest_fini(&rest);
    cellar_arena_fini(&arena);
    return status;
}

/* The record's mutations, which borrow from it. */
static uint32_t mutations_of(const struct cellar_record *record, struct cellar_mutation *to,
                             uint32_t most)
{
    /* The list holds the mutations one behind the other, without an array's header. */
    uint32_t count = (uint32_t)cellar_mutations_count(record->list);
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&record->list->body));
    assert_true(count <= most);
    for (uint32_t index = 0; index < count; index++) {
        assert_int_equal(cellar_mutation_decode(&from, index, &to[index], NULL), CELLAR_OK);
        assert_int_equal(to[index].kind, CELLAR_MUTATION_SET);
    }
    return count;
}

static void a_line_is_a_row(void **state)
{
    (void)state;
    struct cellar_record record;
    struct cellar_mutation cells[4];
    assert_int_equal(
        decode("{\"row\":\"r\",\"cells\":[{\"family\":\"f\",\"qualifier\":\"q\",\"timestamp\":7000,"
               "\"value\":\"v\"},{\"value\":{\"b64\":\"/w==\"},\"qualifier\":{\"b64\":\"AAE=\"},"
               "\"family\":\"g\"}]}",
               NULL, &record, NULL),
        CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&record.key), cellar_slice_text("r")));
    assert_int_equal(record.cell_count, 2);
    assert_int_equal(record.value_bytes, 1 + 2 + 3);
    assert_int_equal(mutations_of(&record, cells, 4), 2);
    assert_int_equal(cells[0].timestamp_us, 7000);
    assert_true(cellar_slice_equal(cells[0].value, cellar_slice_text("v")));
    assert_true(cellar_slice_equal(cells[1].family, cellar_slice_text("g")));
    assert_true(cellar_slice_equal(cells[1].qualifier, cellar_slice_make("\0\1", 2)));
    assert_true(cellar_slice_equal(cells[1].value, cellar_slice_make("\xff", 1)));
    assert_int_equal(cells[1].timestamp_us, 5000); /* of the import */
    cellar_record_fini(&record);
}

static void family_and_timestamp_may_be_left_out_or_null(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"row\":\"r\",\"cells\":[{\"qualifier\":\"\",\"value\":\"\"}]}",
        "{\"row\":\"r\",\"cells\":[{\"family\":null,\"qualifier\":\"\",\"timestamp\":null,"
        "\"value\":\"\"}]}",
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(lines); index++) {
        struct cellar_record record;
        struct cellar_mutation cells[1];
        struct cellar_error error;
        assert_int_equal(decode(lines[index], "def", &record, NULL), CELLAR_OK);
        assert_int_equal(mutations_of(&record, cells, 1), 1);
        assert_true(cellar_slice_equal(cells[0].family, cellar_slice_text("def")));
        assert_int_equal(cells[0].timestamp_us, 5000);
        cellar_record_fini(&record);
        assert_int_equal(decode(lines[index], NULL, &record, &error), CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "--family"));
        cellar_record_fini(&record);
    }
}

#define CELL(members) "{\"row\":\"r\",\"cells\":[{" members "}]}"

static void mistakes_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *why;
    } cases[] = {
        {"", "JSON"},
        {"[1]", "must be an object"},
        {"{}", "\"row\" must be"},
        {"{\"row\":1,\"cells\":[]}", "\"row\" must be a string"},
        {"{\"row\":\"\",\"cells\":[]}", "1 to 4096 bytes"},
        {"{\"row\":{\"b64\":\"\"},\"cells\":[]}", "1 to 4096 bytes"},
        {"{\"row\":{\"b64\":\"?\"},\"cells\":[]}", "base64"},
        {"{\"row\":{},\"cells\":[]}", "\"row\" must be"},
        {"{\"row\":{\"b64\":\"AA==\",\"x\":1},\"cells\":[]}", "\"row\" must be"},
        {"{\"row\":{\"b64\":1},\"cells\":[]}", "\"row\" must be"},
        {"{\"row\":\"r\"}", "\"cells\" must be"},
        {"{\"row\":\"r\",\"cells\":{}}", "\"cells\" must be"},
        {"{\"row\":\"r\",\"cells\":[]}", "one cell or more"},
        {"{\"row\":\"r\",\"cells\":[1]}", "array of objects"},
        {"{\"row\":\"r\",\"cells\":[],\"more\":1}", "Unknown member \"more\""},
        {"{\"row\":\"r\",\"row\":\"r\",\"cells\":[]}", "The member \"row\" comes twice"},
        {"{\"cells\":[],\"row\":\"r\",\"cells\":[]}", "The member \"cells\" comes twice"},
        {"{\"row\":\"r\",\"cells\":[]} x", "something behind the value"},
        {CELL("\"qualifier\":\"q\""), "\"value\" must be"},
        {CELL("\"value\":\"v\""), "\"qualifier\" must be"},
        {CELL("\"family\":\"\",\"qualifier\":\"q\",\"value\":\"v\""), "\"family\" must be"},
        {CELL("\"family\":\"a\\u0000b\",\"qualifier\":\"q\",\"value\":\"v\""),
         "\"family\" must be"},
        {CELL("\"family\":{\"b64\":\"AA==\"},\"qualifier\":\"q\",\"value\":\"v\""),
         "\"family\" must be"},
        {CELL("\"qualifier\":\"q\",\"value\":\"v\",\"time\":1"), "Unknown member \"time\""},
        {CELL("\"qualifier\":\"q\",\"value\":\"v\",\"timestamp\":-1"), "\"timestamp\" must be"},
        {CELL("\"qualifier\":\"q\",\"value\":\"v\",\"timestamp\":1.5"), "\"timestamp\" must be"},
        {CELL("\"qualifier\":\"q\",\"value\":\"v\",\"timestamp\":\"1\""), "\"timestamp\" must be"},
        {CELL("\"qualifier\":\"q\",\"value\":\"v\",\"timestamp\":9223372036854775808"),
         "\"timestamp\" must be"},
        {CELL("\"qualifier\":\"q\",\"value\":7"), "\"value\" must be a string"},
        {CELL("\"qualifier\":\"q\",\"value\":null"), "\"value\" must be a string"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_record record;
        struct cellar_error error;
        enum cellar_status status = decode(cases[index].line, "f", &record, &error);
        if (status != CELLAR_INVALID_ARGUMENT || strstr(error.text, cases[index].why) == NULL) {
            fail_msg("'%s': status %d, '%s'", cases[index].line, (int)status, error.text);
        }
        cellar_record_fini(&record);
    }
}

static void a_key_has_at_most_4096_bytes(void **state)
{
    (void)state;
    char line[4200];
    struct cellar_record record;
    for (int bytes = 4096; bytes <= 4097; bytes++) {
        (void)snprintf(line, sizeof line,
                       "{\"row\":\"%0*d\",\"cells\":[{\"qualifier\":\"q\",\"value\":\"v\"}]}",
                       bytes, 1);
        assert_int_equal(decode(line, "f", &record, NULL),
                         bytes == 4096 ? CELLAR_OK : CELLAR_INVALID_ARGUMENT);
        cellar_record_fini(&record);
    }
}

static void what_the_printer_writes_is_read(void **state)
{
    (void)state;
    const struct cellar_row_cell cells[] = {
        {cellar_text("f"), cellar_view_of("\0\xff q", 4), 0, cellar_text("text\n\"")},
        {cellar_text("g"), cellar_text(""), INT64_MAX, cellar_view_of("\x80", 1)},
    };
    const struct cellar_row row = {cellar_view_of("\xfe", 1), cells, 2};
    struct cellar_buffer line = {0};
    struct cellar_row_printer printer = {.format = CELLAR_FORMAT_JSONL, .to = &line};
    struct cellar_record record;
    struct cellar_mutation read[2];
    assert_int_equal(cellar_row_printer_row(&printer, &row), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&line, "", 1), CELLAR_OK);
    assert_int_equal(decode((const char *)line.data, NULL, &record, NULL), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&record.key), cellar_slice_make("\xfe", 1)));
    assert_int_equal(mutations_of(&record, read, 2), 2);
    for (size_t index = 0; index < 2; index++) {
        assert_true(cellar_slice_equal(read[index].family, cellar_view_slice(cells[index].family)));
        assert_true(
            cellar_slice_equal(read[index].qualifier, cellar_view_slice(cells[index].qualifier)));
        assert_true(cellar_slice_equal(read[index].value, cellar_view_slice(cells[index].value)));
        assert_int_equal(read[index].timestamp_us, cells[index].timestamp_us);
    }
    cellar_record_fini(&record);
    cellar_buffer_fini(&line);
}

static void a_row_is_bounded_in_cells_and_bytes(void **state)
{
    (void)state;
    static char value[1048576];
    struct cellar_record record = {0};
    struct cellar_error error;
    struct cellar_record_cell cell = {.family = "f", .qualifier = cellar_slice_text("q")};
    assert_int_equal(cellar_record_key(&record, cellar_slice_text("r"), &error), CELLAR_OK);
    for (uint32_t count = 0; count < CELLAR_RECORD_CELL_COUNT_MAX; count++) {
        assert_int_equal(cellar_record_add(&record, &cell, &error), CELLAR_OK);
    }
    assert_int_equal(cellar_record_add(&record, &cell, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 100000 cells"));
    cellar_record_clear(&record);
    assert_int_equal(record.cell_count, 0);
    cell.value = cellar_slice_make(value, sizeof value);
    for (unsigned i = 0; i < CELLAR_RECORD_BYTES_MAX / sizeof value - 1; i++) {
        assert_int_equal(cellar_record_add(&record, &cell, &error), CELLAR_OK);
    }
    assert_int_equal(cellar_record_add(&record, &cell, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 267386880 bytes"));
    cellar_record_fini(&record);
}

/* A row of `count` cells, whose i-th has the qualifier i and a value of `bytes` bytes; `row` stands
 * before or behind the cells. */
static struct cellar_buffer row_line(unsigned count, size_t bytes, bool is_row_last,
                                     const char *last_family)
{
    struct cellar_buffer line = {0};
    const char *row = "\"row\":\"r\"";
    assert_int_equal(cellar_buffer_printf(&line, "{%s\"cells\":[", is_row_last ? "" : row),
                     CELLAR_OK);
    if (!is_row_last) { /* the comma between the members */
        line.bytes -= strlen("\"cells\":[");
        assert_int_equal(cellar_buffer_printf(&line, ",\"cells\":["), CELLAR_OK);
    }
    for (unsigned index = 0; index < count; index++) {
        assert_int_equal(cellar_buffer_printf(
                             &line, "%s{\"family\":\"%s\",\"qualifier\":\"%u\",\"value\":\"",
                             index == 0 ? "" : ",", index + 1 == count ? last_family : "f", index),
                         CELLAR_OK);
        assert_int_equal(cellar_buffer_reserve(&line, bytes), CELLAR_OK);
        memset(line.data + line.bytes, 'v', bytes);
        line.bytes += bytes;
        assert_int_equal(cellar_buffer_append(&line, "\"}", 2), CELLAR_OK);
    }
    assert_int_equal(
        cellar_buffer_printf(&line, "]%s%s}", is_row_last ? "," : "", is_row_last ? row : ""),
        CELLAR_OK);
    return line;
}

/* Decodes a line in as many records as it takes; checks each, and that the cells come in order. */
static unsigned parts_of(struct cellar_slice line, unsigned cell_count)
{
    static struct cellar_mutation cells[CELLAR_RECORD_CELL_COUNT_MAX];
    struct cellar_jsonl_defaults defaults = {.timestamp_us = 5000};
    struct cellar_arena arena = {0};
    struct cellar_jsonl_rest rest = {0};
    struct cellar_record record = {0};
    struct cellar_error error;
    unsigned part_count = 0;
    unsigned next = 0;
    enum cellar_status status =
        cellar_jsonl_decode(line, &defaults, &arena, &record, &rest, &error);
    for (;;) {
        if (status != CELLAR_OK) {
            fail_msg("part %u: %s", part_count, error.text);
        }
        part_count++;
        assert_true(cellar_slice_equal(cellar_slice_of(&record.key), cellar_slice_text("r")));
        uint32_t count = mutations_of(&record, cells, CELLAR_RECORD_CELL_COUNT_MAX);
        for (uint32_t index = 0; index < count; index++) {
            char name[20];
            (void)snprintf(name, sizeof name, "%u", next++);
            assert_true(cellar_slice_equal(cells[index].qualifier, cellar_slice_text(name)));
        }
        assert_int_equal(record.has_more, rest.has_more);
        assert_true(count == 1 ||
                    cellar_mutations_bytes(record.list) <= (part_count == 1 && !record.has_more
                                                                ? CELLAR_RECORD_SPLIT_BYTES_MAX
                                                                : CELLAR_RECORD_PART_BYTES_MAX));
        if (!rest.has_more) {
            break;
        }
        cellar_record_clear(&record);
        status = cellar_jsonl_rest_decode(&rest, &defaults, &record, &error);
    }
    assert_int_equal(next, cell_count);
    cellar_record_fini(&record);
    cellar_jsonl_rest_fini(&rest);
    cellar_arena_fini(&arena);
    return part_count;
}

static void a_row_that_is_too_large_for_one_write_comes_in_parts(void **state)
{
    (void)state;
    static const struct {
        unsigned cell_count;
        size_t value_bytes;
        unsigned part_count;
    } cases[] = {
        {3, 1048576, 1}, {4, 1048576, 4}, {10, 900000, 5},
        {90000, 0, 1},   {100001, 0, 2},  {2, 5000000, 2},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        for (int is_row_last = 0; is_row_last <= 1; is_row_last++) {
            struct cellar_buffer line =
                row_line(cases[index].cell_count, cases[index].value_bytes, is_row_last == 1, "f");
            assert_int_equal(parts_of(cellar_slice_of(&line), cases[index].cell_count),
                             cases[index].part_count);
            cellar_buffer_fini(&line);
        }
    }
}

static void a_row_in_parts_is_checked_before_the_first_of_them(void **state)
{
    (void)state;
    struct cellar_family_info family = {.name = "f"};
    const struct cellar_table_info table = {.families = &family, .family_count = 1};
    struct cellar_jsonl_defaults defaults = {.timestamp_us = 5000, .table = &table};
    struct cellar_arena arena = {0};
    struct cellar_jsonl_rest rest = {0};
    struct cellar_record record = {0};
    struct cellar_error error;
    struct cellar_buffer line = row_line(10, 900000, false, "nope");
    assert_int_equal(
        cellar_jsonl_decode(cellar_slice_of(&line), &defaults, &arena, &record, &rest, &error),
        CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "The table has no family 'nope'");
    assert_false(rest.has_more);
    cellar_record_clear(&record);
    cellar_buffer_fini(&line);
    line = row_line(10, 900000, false, "f");
    line.bytes--; /* without its bracket */
    assert_int_equal(
        cellar_jsonl_decode(cellar_slice_of(&line), &defaults, &arena, &record, &rest, &error),
        CELLAR_INVALID_ARGUMENT);
    assert_false(rest.has_more);
    cellar_record_clear(&record);
    cellar_buffer_fini(&line);
    uint8_t *value = calloc(1, CELLAR_VALUE_BYTES_MAX + 1); /* not touched: zero pages */
    const struct cellar_record_cell cell = {
        .family = "f", .value = cellar_slice_make(value, CELLAR_VALUE_BYTES_MAX + 1)};
    assert_non_null(value);
    assert_int_equal(cellar_record_check(&table, &cell, &error), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "A value may have at most 104857600 bytes, but got 104857601");
    free(value);
    cellar_record_fini(&record);
    cellar_jsonl_rest_fini(&rest);
    cellar_arena_fini(&arena);
}

static enum cellar_status decode_some(void *context)
{
    struct cellar_record record;
    (void)context;
    enum cellar_status status = decode("{\"row\":\"r\",\"cells\":[{\"family\":\"f\",\"qualifier\":"
                                       "{\"b64\":\"AA==\"},\"value\":\"\\u0041\"}]}",
                                       NULL, &record, NULL);
    cellar_record_fini(&record);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(decode_some, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_row),
        cmocka_unit_test(family_and_timestamp_may_be_left_out_or_null),
        cmocka_unit_test(mistakes_are_refused_by_name),
        cmocka_unit_test(a_key_has_at_most_4096_bytes),
        cmocka_unit_test(what_the_printer_writes_is_read),
        cmocka_unit_test(a_row_is_bounded_in_cells_and_bytes),
        cmocka_unit_test(a_row_that_is_too_large_for_one_write_comes_in_parts),
        cmocka_unit_test(a_row_in_parts_is_checked_before_the_first_of_them),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("jsonl", tests, NULL, NULL);
}
