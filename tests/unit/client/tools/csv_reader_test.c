/*
 * csv_reader: RFC 4180 to the letter, any bytes, every mistake refused with the rest of the input
 * still read, and records bounded in bytes and fields.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/tools/csv_reader.h"

#define RECORD_BYTES_MAX 1000u

/* Appends the fields of the reader's record as [a][b], or what is wrong as !. */
static void show(const struct cellar_csv_reader *reader, struct cellar_buffer *to)
{
    assert_int_equal(cellar_buffer_printf(to, "%d", (int)reader->line), CELLAR_OK);
    if (reader->error.code != CELLAR_OK) {
        assert_int_equal(reader->error.code, CELLAR_INVALID_ARGUMENT);
        assert_int_equal(cellar_buffer_printf(to, "!"), CELLAR_OK);
    }
    for (size_t index = 0; reader->error.code == CELLAR_OK && index < reader->field_count;
         index++) {
        struct cellar_slice field = cellar_csv_field_at(reader, index);
        assert_int_equal(cellar_buffer_append(to, "[", 1), CELLAR_OK);
        assert_int_equal(cellar_buffer_append(to, field.data, field.bytes), CELLAR_OK);
        assert_int_equal(cellar_buffer_append(to, "]", 1), CELLAR_OK);
    }
}

/* Reads all records of a text; each line is given in memory of its own. */
static enum cellar_status read_all(struct cellar_csv_reader *reader, struct cellar_slice text,
                                   struct cellar_buffer *to)
{
    uint64_t number = 0;
    size_t at = 0;
    while (at < text.bytes) {
        const uint8_t *newline = memchr(text.data + at, '\n', text.bytes - at);
        size_t bytes = newline == NULL ? text.bytes - at : (size_t)(newline - text.data) - at;
        uint8_t *copy = test_malloc(bytes + 1);
        bool is_whole = false;
        memcpy(copy, text.data + at, bytes);
        struct cellar_line line = {.text = cellar_slice_make(copy, bytes),
                                   .has_newline = newline != NULL,
                                   .number = ++number};
        enum cellar_status status = cellar_csv_line(reader, &line, &is_whole);
        test_free(copy);
        if (status != CELLAR_OK) {
            return status;
        }
        if (is_whole) {
            show(reader, to);
            cellar_csv_clear(reader);
        }
        at += bytes + 1;
    }
    if (cellar_csv_end(reader)) {
        show(reader, to);
    }
    return CELLAR_OK;
}

static void expect_bytes(struct cellar_slice text, uint8_t delimiter, struct cellar_slice wanted)
{
    struct cellar_csv_reader reader = {.delimiter = delimiter,
                                       .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_buffer shown = {0};
    assert_int_equal(read_all(&reader, text, &shown), CELLAR_OK);
    if (!cellar_slice_equal(cellar_slice_of(&shown), wanted)) {
        fail_msg("'%.*s': got '%.*s', wanted '%.*s'", (int)text.bytes, (const char *)text.data,
                 (int)shown.bytes, (const char *)shown.data, (int)wanted.bytes,
                 (const char *)wanted.data);
    }
    cellar_buffer_fini(&shown);
    cellar_csv_fini(&reader);
}

static void expect(const char *text, const char *wanted)
{
    expect_bytes(cellar_slice_text(text), ',', cellar_slice_text(wanted));
}

static void records_are_read_by_the_letter(void **state)
{
    (void)state;
    expect("a,b,c\nd,e,f\n", "1[a][b][c]2[d][e][f]");
    expect("a,b", "1[a][b]");
    expect("a,b\r\nc,d\r\n", "1[a][b]2[c][d]");
    expect(",\n", "1[][]");
    expect(",,", "1[][][]");
    expect("\"\"\n", "1[]");
    expect("\"a,b\",\"c\"\"d\",\"\"\"\"\n", "1[a,b][c\"d][\"]");
    expect("\"a\nb\",c\nd\n", "1[a\nb][c]3[d]");
    expect("\"a\r\nb\r\"\r\n", "1[a\r\nb\r]");
    expect("\"\n\n\n\"\nx\n", "1[\n\n\n]5[x]");
    expect(" a , b \n", "1[ a ][ b ]");
    expect("\r\n\na\n", "123[a]"); /* empty lines are records without fields */
    expect("a\rb\n", "1[a\rb]");
}

static void mistakes_are_refused_and_the_next_line_is_read(void **state)
{
    (void)state;
    expect("a\"b\nc\n", "1!2[c]");
    expect("\"a\"b\nc\n", "1!2[c]");
    expect("\"a\" ,b\nc\n", "1!2[c]");
    expect("x,\"a\nb\"c,\"\nd\n", "1!3[d]");
    expect("\"never closed\nc\n", "1!");
    expect("a,\"", "1!");
}

static void any_byte_is_data_and_any_delimiter_will_do(void **state)
{
    (void)state;
    uint8_t text[600];
    uint8_t wanted[600] = "1[";
    size_t bytes = 0;
    size_t wanted_bytes = 2;
    text[bytes++] = '"';
    for (int byte = 0; byte < 256; byte++) {
        text[bytes++] = (uint8_t)byte;
        wanted[wanted_bytes++] = (uint8_t)byte;
        if (byte == '"') {
            text[bytes++] = '"';
        }
    }
    text[bytes++] = '"';
    wanted[wanted_bytes++] = ']';
    expect_bytes(cellar_slice_make(text, bytes), ',', cellar_slice_make(wanted, wanted_bytes));
    expect_bytes(cellar_slice_text("a,b;c\n"), ';', cellar_slice_text("1[a,b][c]"));
    expect_bytes(cellar_slice_text("a\tb\n"), '\t', cellar_slice_text("1[a][b]"));
    expect_bytes(cellar_slice_make("a\0b", 3), '\0', cellar_slice_text("1[a][b]"));
}

static void records_are_bounded(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    assert_int_equal(cellar_buffer_printf(&text, "%0*d\n%0*d\nx\n\"", RECORD_BYTES_MAX, 7,
                                          RECORD_BYTES_MAX + 1, 7),
                     CELLAR_OK);
    for (int line = 0; line < 1200; line++) {
        assert_int_equal(cellar_buffer_append(&text, "\n", 1), CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_append(&text, "y\n", 2), CELLAR_OK);
    struct cellar_csv_reader reader = {.delimiter = ',', .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_buffer shown = {0};
    assert_int_equal(read_all(&reader, cellar_slice_of(&text), &shown), CELLAR_OK);
    assert_true(shown.bytes > 1020);
    assert_memory_equal(shown.data + 1003, "2!3[x]4!", 8);
    assert_memory_equal(shown.data + shown.bytes - 3, "[y]", 3);
    assert_true(reader.text.capacity <= 4 * RECORD_BYTES_MAX);
    cellar_buffer_fini(&shown);
    cellar_csv_fini(&reader);
    cellar_buffer_clear(&text);
    for (uint32_t field = 0; field < CELLAR_CSV_FIELD_COUNT_MAX; field++) {
        assert_int_equal(cellar_buffer_append(&text, ",", 1), CELLAR_OK);
    }
    expect_bytes(cellar_slice_of(&text), ',', cellar_slice_text("1!"));
    cellar_buffer_fini(&text);
}

static void lines_that_are_too_long_are_refused(void **state)
{
    (void)state;
    struct cellar_csv_reader reader = {.delimiter = ',', .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_line line = {.number = 1, .is_too_long = true, .has_newline = true};
    bool is_whole = false;
    assert_int_equal(cellar_csv_line(&reader, &line, &is_whole), CELLAR_OK);
    assert_true(is_whole);
    assert_int_equal(reader.error.code, CELLAR_INVALID_ARGUMENT);
    cellar_csv_clear(&reader);
    struct cellar_line open = {
        .number = 2, .text = cellar_slice_text("\"open"), .has_newline = true};
    assert_int_equal(cellar_csv_line(&reader, &open, &is_whole), CELLAR_OK);
    assert_false(is_whole);
    line.number = 3;
    assert_int_equal(cellar_csv_line(&reader, &line, &is_whole), CELLAR_OK);
    assert_true(is_whole);
    assert_int_equal(reader.error.code, CELLAR_INVALID_ARGUMENT);
    cellar_csv_fini(&reader);
}

static enum cellar_status read_some(void *context)
{
    struct cellar_csv_reader reader = {.delimiter = ',', .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_line line = {.number = 1, .has_newline = true};
    bool is_whole = false;
    line.text = cellar_slice_text(context);
    enum cellar_status status = cellar_csv_line(&reader, &line, &is_whole);
    cellar_csv_fini(&reader);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    char text[] = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,\"s\"\"";
    assert_true(test_out_of_memory_loop(read_some, text) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_by_the_letter),
        cmocka_unit_test(mistakes_are_refused_and_the_next_line_is_read),
        cmocka_unit_test(any_byte_is_data_and_any_delimiter_will_do),
        cmocka_unit_test(records_are_bounded),
        cmocka_unit_test(lines_that_are_too_long_are_refused),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("csv_reader", tests, NULL, NULL);
}
