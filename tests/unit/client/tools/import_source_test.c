/*
 * import_source: rows of every format with their lines, what is no row refused with its lines, and
 * an input gone on with at any of its places.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/mutations.h"
#include "client/tools/import_source.h"

static char folder[256];

static int folder_make(void **state)
{
    (void)state;
    test_temp_dir(folder, sizeof folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    test_remove_tree(folder);
    return 0;
}

static const struct cellar_source_options jsonl = {
    .format = CELLAR_IMPORT_JSONL, .family = "f", .timestamp_us = 5000, .has_raw = true};
static const struct cellar_source_options deb822 = {.format = CELLAR_IMPORT_DEB822,
                                                    .family = "f",
                                                    .dependency_family = "d",
                                                    .timestamp_us = 5000,
                                                    .has_raw = true};

static const struct cellar_option csv_options[] = {
    {"key", "COLUMN", ""}, {"family", "cf", ""}, {NULL, NULL, NULL}};
static struct cellar_given csv_given[] = {{&csv_options[0], "id"}, {&csv_options[1], "f"}};
static const struct cellar_args csv_args = {.given = csv_given, .given_count = 2};
static const struct cellar_args no_args = {.given = NULL};
static const struct cellar_source_options csv = {
    .format = CELLAR_IMPORT_CSV, .timestamp_us = 5000, .has_raw = true, .args = &csv_args};
static const struct cellar_source_options csv_cells = {
    .format = CELLAR_IMPORT_CSV, .timestamp_us = 5000, .has_raw = true, .args = &no_args};

/* A source of a file with that text. */
struct stage {
    struct cellar_import_input *input;
    struct cellar_import_source *source;
};

static struct stage stage_of(const struct cellar_source_options *options, const char *text)
{
    struct stage stage = {NULL, NULL};
    static char path[300]; /* the input borrows it */
    (void)snprintf(path, sizeof path, "%s/input", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(cellar_import_input_open(path, NULL, &stage.input, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_source_open(options, stage.input, &stage.source, NULL),
                     CELLAR_OK);
    return stage;
}

static void stage_end(struct stage *stage)
{
    cellar_import_source_close(stage->source);
    cellar_import_input_close(stage->input);
}

/* The next outcome in a line: `ROW key cells first..last raw` or `REFUSED why first..last raw`. */
static const char *next_of(struct stage *stage)
{
    static char shown[1000];
    struct cellar_record record = {0};
    struct cellar_error error;
    enum cellar_source_outcome outcome;
    assert_int_equal(cellar_import_source_next(stage->source, &record, &outcome, &error),
                     CELLAR_OK);
    if (outcome == CELLAR_SOURCE_END) {
        (void)snprintf(shown, sizeof shown, "END");
    } else if (outcome == CELLAR_SOURCE_ROW) {
        (void)snprintf(shown, sizeof shown, "ROW %.*s %d %d..%d %.*s", (int)record.key.bytes,
                       (const char *)record.key.data, (int)record.cell_count, (int)record.line,
                       (int)record.line_last, (int)record.raw.bytes, (const char *)record.raw.data);
    } else {
        (void)snprintf(shown, sizeof shown, "REFUSED %.20s %d..%d %.*s", error.text,
                       (int)record.line, (int)record.line_last, (int)record.raw.bytes,
                       (const char *)record.raw.data);
    }
    cellar_record_fini(&record);
    return shown;
}

static void expect_next(struct stage *stage, const char *wanted)
{
    const char *shown = next_of(stage);
    if (strcmp(shown, wanted) != 0) {
        fail_msg("got '%s', wanted '%s'", shown, wanted);
    }
}

#define A "{\"row\":\"a\",\"cells\":[{\"qualifier\":\"q\",\"value\":\"v\"}]}"
#define B "{\"row\":\"b\",\"cells\":[{\"qualifier\":\"q\",\"value\":\"v\"}]}"

static void json_lines_are_rows(void **state)
{
    (void)state;
    struct stage stage = stage_of(&jsonl, A "\n\n \t\r\nbad\n" B);
    expect_next(&stage, "ROW a 1 1..1 " A "\n");
    assert_int_equal(cellar_import_source_place(stage.source).line, 1);
    expect_next(&stage, "REFUSED JSON: a number that  4..4 bad\n");
    assert_int_equal(cellar_import_source_place(stage.source).line, 4);
    expect_next(&stage, "ROW b 1 5..5 " B "\n");
    expect_next(&stage, "END");
    expect_next(&stage, "END");
    stage_end(&stage);
}

/* A line of ten cells of 900000 bytes. */
static struct cellar_buffer large_line(const char *end)
{
    struct cellar_buffer text = {0};
    assert_int_equal(cellar_buffer_printf(&text, A "\n{\"row\":\"l\",\"cells\":["), CELLAR_OK);
    for (int index = 0; index < 10; index++) {
        assert_int_equal(cellar_buffer_printf(&text,
                                              "%s{\"qualifier\":\"%d\",\"value\":\"%0900000d\"}",
                                              index == 0 ? "" : ",", index, 1),
                         CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_printf(&text, "]}%s\n" B, end), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    return text;
}

static void a_large_row_comes_in_parts_and_moves_the_place_with_the_last(void **state)
{
    (void)state;
    struct cellar_buffer text = large_line("");
    struct stage stage = stage_of(&jsonl, (const char *)text.data);
    expect_next(&stage, "ROW a 1 1..1 " A "\n");
    uint64_t cell_count = 0;
    uint64_t value_bytes = 0;
    for (int part = 0; part < 5; part++) {
        struct cellar_record record = {0};
        enum cellar_source_outcome outcome;
        assert_int_equal(cellar_import_source_next(stage.source, &record, &outcome, NULL),
                         CELLAR_OK);
        assert_int_equal(outcome, CELLAR_SOURCE_ROW);
        assert_int_equal(record.line, 2);
        assert_int_equal(record.line_last, 2);
        assert_int_equal(record.is_rest, part > 0);
        assert_int_equal(record.has_more, part < 4);
        assert_int_equal(record.raw.bytes > 0, part == 4);
        assert_int_equal(cellar_import_source_place(stage.source).line, part < 4 ? 1 : 2);
        cell_count += record.cell_count;
        value_bytes += record.value_bytes;
        cellar_record_fini(&record);
    }
    assert_int_equal(cell_count, 10);
    assert_int_equal(value_bytes, 1 + 10 * 900001);
    expect_next(&stage, "ROW b 1 3..3 " B "\n");
    expect_next(&stage, "END");
    stage_end(&stage);
    cellar_buffer_fini(&text);
}

static void a_large_row_that_is_none_is_one_refusal(void **state)
{
    (void)state;
    struct cellar_buffer text = large_line("}");
    struct stage stage = stage_of(&jsonl, (const char *)text.data);
    struct cellar_record record = {0};
    struct cellar_error error;
    enum cellar_source_outcome outcome;
    expect_next(&stage, "ROW a 1 1..1 " A "\n");
    assert_int_equal(cellar_import_source_next(stage.source, &record, &outcome, &error), CELLAR_OK);
    assert_int_equal(outcome, CELLAR_SOURCE_REFUSED);
    assert_non_null(strstr(error.text, "something behind the value"));
    assert_int_equal(record.line, 2);
    assert_true(record.raw.bytes > 9000000);
    cellar_record_fini(&record);
    expect_next(&stage, "ROW b 1 3..3 " B "\n");
    stage_end(&stage);
    cellar_buffer_fini(&text);
}

#define STANZAS                                                                                    \
    "\nPackage: p\nVersion: 1\n\n\n"                                                               \
    "# about q\nPackage: q\nDepends: p,\n r\n\n"                                                   \
    "Version: 3\n\n"                                                                               \
    "Package: p\nbroken\nVersion: 2\n\n"                                                           \
    "Package: p\nVersion: 3"

static void stanzas_are_rows(void **state)
{
    (void)state;
    struct stage stage = stage_of(&deb822, STANZAS);
    expect_next(&stage, "ROW p 2 2..3 Package: p\nVersion: 1\n\n");
    expect_next(&stage, "ROW q 2 7..9 Package: q\nDepends: p,\n r\n\n");
    expect_next(&stage, "REFUSED The stanza has no fi 11..11 Version: 3\n\n");
    expect_next(&stage, "REFUSED A line must be 'Fiel 14..15 Package: p\nbroken\nVersion: 2\n\n");
    expect_next(&stage, "ROW p 2 17..18 Package: p\nVersion: 3\n");
    expect_next(&stage, "END");
    stage_end(&stage);
}

#define CSV                                                                                        \
    "\xef\xbb\xbf\"id\",a\n"                                                                       \
    "1,x\n\n2,\"y\nz\"\n3\n4,\"w\"\"\"\r\n5,"

static void csv_records_are_rows(void **state)
{
    (void)state;
    struct stage stage = stage_of(&csv, CSV);
    assert_true(cellar_slice_equal(cellar_import_source_header(stage.source),
                                   cellar_slice_text("\xef\xbb\xbf\"id\",a\n")));
    assert_int_equal(cellar_import_source_place(stage.source).line, 1);
    expect_next(&stage, "ROW 1 1 2..2 1,x\n");
    expect_next(&stage, "ROW 2 1 4..5 2,\"y\nz\"\n");
    expect_next(&stage, "REFUSED There are 2 columns, 6..6 3\n");
    expect_next(&stage, "ROW 4 1 7..7 4,\"w\"\"\"\r\n");
    expect_next(&stage, "REFUSED All fields that beco 8..8 5,\n");
    expect_next(&stage, "END");
    expect_next(&stage, "END");
    stage_end(&stage);
}

#define CELLS                                                                                      \
    "row,family,qualifier,timestamp,value\n"                                                       \
    "a,f,1,1000,v\na,f,2,,v\na,f,\\,,v\na,f,3,,v\nb,f,1,,v\n\nb,f,2,,v\na,f,4,,v\nb,f,\"1,,v\n"

static void csv_cells_of_a_row_are_written_together(void **state)
{
    (void)state;
    struct stage stage = stage_of(&csv_cells, CELLS);
    expect_next(&stage, "ROW a 2 2..3 a,f,1,1000,v\na,f,2,,v\n");
    assert_int_equal(cellar_import_source_place(stage.source).line, 3);
    expect_next(&stage, "REFUSED Column 'qualifier':  4..4 a,f,\\,,v\n");
    assert_int_equal(cellar_import_source_place(stage.source).line, 4);
    expect_next(&stage, "ROW a 1 5..5 a,f,3,,v\n");
    expect_next(&stage, "ROW b 2 6..8 b,f,1,,v\nb,f,2,,v\n");
    expect_next(&stage, "ROW a 1 9..9 a,f,4,,v\n");
    expect_next(&stage, "REFUSED A quote is not close 10..10 b,f,\"1,,v\n");
    expect_next(&stage, "END");
    stage_end(&stage);
}

static void a_long_row_of_csv_cells_is_cut(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    assert_int_equal(cellar_buffer_printf(&text, "row,family,qualifier,timestamp,value\n"),
                     CELLAR_OK);
    for (int cell = 0; cell < 2500; cell++) {
        assert_int_equal(cellar_buffer_printf(&text, "r,f,%d,,v\n", cell), CELLAR_OK);
    }
    for (int cell = 0; cell < 3; cell++) {
        assert_int_equal(cellar_buffer_printf(&text, "s,f,%d,,%0400000d\n", cell, 7), CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    struct cellar_source_options options = csv_cells;
    options.has_raw = false;
    struct stage stage = stage_of(&options, (const char *)text.data);
    expect_next(&stage, "ROW r 1000 2..1001 ");
    expect_next(&stage, "ROW r 1000 1002..2001 ");
    expect_next(&stage, "ROW r 500 2002..2501 ");
    for (int cell = 0; cell < 3; cell++) {
        expect_next(&stage, cell == 0   ? "ROW s 1 2502..2502 "
                            : cell == 1 ? "ROW s 1 2503..2503 "
                                        : "ROW s 1 2504..2504 ");
    }
    expect_next(&stage, "END");
    stage_end(&stage);
    cellar_buffer_fini(&text);
}

static void csv_without_a_header_is_told(void **state)
{
    (void)state;
    struct cellar_import_input *input = NULL;
    struct cellar_import_source *source = NULL;
    struct cellar_error error;
    assert_int_equal(cellar_import_input_open("/dev/null", NULL, &input, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_source_open(&csv, input, &source, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "The input is empty"));
    cellar_import_input_close(input);
}

/* Everything from a place on, one outcome behind the other. */
static void show_rest(struct stage *stage, char *to, size_t room)
{
    to[0] = '\0';
    const char *shown;
    do {
        shown = next_of(stage);
        (void)strncat(to, shown, room - strlen(to) - 1);
    } while (strcmp(shown, "END") != 0);
}

static void an_input_is_gone_on_with_at_every_place(void **state)
{
    (void)state;
    static const struct {
        const struct cellar_source_options *options;
        const char *text;
    } cases[] = {
        {&jsonl, A "\n\nbad\n" B "\n\n" A}, {&deb822, STANZAS}, {&csv, CSV}, {&csv_cells, CELLS}};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct stage stage = stage_of(cases[index].options, cases[index].text);
        struct cellar_import_place places[10];
        size_t place_count = 0;
        while (strcmp(next_of(&stage), "END") != 0) {
            assert_true(place_count < CELLAR_ARRAY_COUNT(places));
            places[place_count++] = cellar_import_source_place(stage.source);
        }
        stage_end(&stage);
        assert_true(place_count >= 4);
        for (size_t at = 0; at < place_count; at++) {
            char wanted[2000];
            char got[2000];
            stage = stage_of(cases[index].options, cases[index].text);
            for (size_t count = 0; count <= at; count++) {
                (void)next_of(&stage);
            }
            show_rest(&stage, wanted, sizeof wanted);
            stage_end(&stage);
            stage = stage_of(cases[index].options, cases[index].text);
            assert_int_equal(cellar_import_source_skip(stage.source, places[at], NULL), CELLAR_OK);
            show_rest(&stage, got, sizeof got);
            stage_end(&stage);
            assert_string_equal(got, wanted);
        }
        struct cellar_import_place beyond = {.position = 100000, .line = 1000};
        stage = stage_of(cases[index].options, cases[index].text);
        assert_int_equal(cellar_import_source_skip(stage.source, beyond, NULL),
                         CELLAR_FAILED_PRECONDITION);
        stage_end(&stage);
    }
}

static void stanzas_gone_on_with_keep_their_timestamps(void **state)
{
    (void)state;
    struct stage stage = stage_of(&deb822, STANZAS);
    struct cellar_record record = {0};
    struct cellar_mutation mutation;
    enum cellar_source_outcome outcome;
    for (int count = 0; count < 4; count++) {
        (void)next_of(&stage);
    }
    struct cellar_import_place place = cellar_import_source_place(stage.source);
    stage_end(&stage);
    stage = stage_of(&deb822, STANZAS);
    assert_int_equal(cellar_import_source_skip(stage.source, place, NULL), CELLAR_OK);
    assert_int_equal(cellar_import_source_next(stage.source, &record, &outcome, NULL), CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&record.list->body));
    assert_int_equal(cellar_mutation_decode(&from, 0, &mutation, NULL), CELLAR_OK);
    assert_int_equal(mutation.timestamp_us, 6000); /* the second stanza of p that is one */
    cellar_record_fini(&record);
    stage_end(&stage);
}

static enum cellar_status read_some(void *context)
{
    struct cellar_import_input *input = NULL;
    struct cellar_import_source *source = NULL;
    struct cellar_record record = {0};
    enum cellar_source_outcome outcome = CELLAR_SOURCE_ROW;
    static char path[300]; /* the input borrows it */
    (void)snprintf(path, sizeof path, "%s/input", folder);
    enum cellar_status status = cellar_import_input_open(path, NULL, &input, NULL);
    if (status == CELLAR_OK) {
        status = cellar_import_source_open(context, input, &source, NULL);
    }
    while (status == CELLAR_OK && outcome != CELLAR_SOURCE_END) {
        status = cellar_import_source_next(source, &record, &outcome, NULL);
        cellar_record_clear(&record);
    }
    cellar_record_fini(&record);
    cellar_import_source_close(source);
    cellar_import_input_close(input);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct cellar_source_options options = jsonl;
    struct stage stage = stage_of(&options, A "\nbad\n");
    stage_end(&stage);
    assert_true(test_out_of_memory_loop(read_some, &options) >= 5);
    options = deb822;
    stage = stage_of(&options, STANZAS);
    stage_end(&stage);
    assert_true(test_out_of_memory_loop(read_some, &options) >= 5);
    options = csv_cells;
    stage = stage_of(&options, CELLS);
    stage_end(&stage);
    assert_true(test_out_of_memory_loop(read_some, &options) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_are_rows),
        cmocka_unit_test(a_large_row_comes_in_parts_and_moves_the_place_with_the_last),
        cmocka_unit_test(a_large_row_that_is_none_is_one_refusal),
        cmocka_unit_test(stanzas_are_rows),
        cmocka_unit_test(csv_records_are_rows),
        cmocka_unit_test(csv_cells_of_a_row_are_written_together),
        cmocka_unit_test(a_long_row_of_csv_cells_is_cut),
        cmocka_unit_test(csv_without_a_header_is_told),
        cmocka_unit_test(an_input_is_gone_on_with_at_every_place),
        cmocka_unit_test(stanzas_gone_on_with_keep_their_timestamps),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("import_source", tests, folder_make, folder_remove);
}
