/*
 * CSV of any bytes: the first is the delimiter, the rest a file. It is read as the import reads it,
 * line by line. A record that is read must come back the same when it is written with every field
 * in quotes; one that is refused must say why; fields stay inside the limits; and the number of
 * lines that records take is the number there are.
 */
#include <string.h>

#include "client/tools/csv_reader.h"

#define RECORD_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Reads the rest of a text line by line until a record is whole. @return bytes taken */
static size_t record_read(struct cellar_csv_reader *reader, struct cellar_slice text,
                          uint64_t *number, bool *is_whole)
{
    size_t at = 0;
    *is_whole = false;
    while (at < text.bytes && !*is_whole) {
        const uint8_t *newline = memchr(text.data + at, '\n', text.bytes - at);
        size_t end = newline == NULL ? text.bytes : (size_t)(newline - text.data);
        struct cellar_line line = {.text = cellar_slice_make(text.data + at, end - at),
                                   .has_newline = newline != NULL,
                                   .number = ++*number};
        if (cellar_csv_line(reader, &line, is_whole) != CELLAR_OK) {
            return text.bytes;
        }
        at = end + (newline != NULL ? 1 : 0);
    }
    *is_whole = *is_whole || cellar_csv_end(reader);
    return at;
}

/* Appends a field in quotes. */
static bool quoted_put(struct cellar_buffer *to, struct cellar_slice field)
{
    bool is_done = cellar_buffer_append(to, "\"", 1) == CELLAR_OK;
    for (size_t index = 0; is_done && index < field.bytes; index++) {
        size_t times = field.data[index] == '"' ? 2 : 1;
        for (size_t count = 0; is_done && count < times; count++) {
            is_done = cellar_buffer_append(to, &field.data[index], 1) == CELLAR_OK;
        }
    }
    return is_done && cellar_buffer_append(to, "\"", 1) == CELLAR_OK;
}

/* Writes a record and reads it again. */
static void record_check(const struct cellar_csv_reader *reader)
{
    struct cellar_csv_reader again = {.delimiter = reader->delimiter,
                                      .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_buffer text = {0};
    uint64_t number = 0;
    size_t field_bytes = 0;
    bool is_written = true;
    bool is_whole;
    for (size_t index = 0; is_written && index < reader->field_count; index++) {
        struct cellar_slice field = cellar_csv_field_at(reader, index);
        field_bytes += field.bytes;
        is_written =
            (index == 0 || cellar_buffer_append(&text, &reader->delimiter, 1) == CELLAR_OK) &&
            quoted_put(&text, field);
    }
    CELLAR_ASSERT(field_bytes <= RECORD_BYTES_MAX);
    if (is_written && cellar_buffer_append(&text, "\n", 1) == CELLAR_OK) {
        size_t taken = record_read(&again, cellar_slice_of(&text), &number, &is_whole);
        CELLAR_ASSERT(taken == text.bytes && is_whole && again.error.code == CELLAR_OK);
        CELLAR_ASSERT(again.field_count == reader->field_count);
        for (size_t index = 0; index < again.field_count; index++) {
            CELLAR_ASSERT(cellar_slice_equal(cellar_csv_field_at(&again, index),
                                             cellar_csv_field_at(reader, index)));
        }
    }
    cellar_csv_fini(&again);
    cellar_buffer_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint64_t number = 0;
    if (bytes == 0 || data[0] == '"' || data[0] == '\n' || data[0] == '\r') {
        return 0;
    }
    struct cellar_csv_reader reader = {.delimiter = data[0], .record_bytes_max = RECORD_BYTES_MAX};
    struct cellar_slice rest = cellar_slice_make(data + 1, bytes - 1);
    while (rest.bytes > 0) {
        bool is_whole;
        uint64_t before = number;
        size_t taken = record_read(&reader, rest, &number, &is_whole);
        CELLAR_ASSERT(taken > 0 && taken <= rest.bytes && is_whole);
        CELLAR_ASSERT(reader.line == before + 1);
        if (reader.error.code != CELLAR_OK) {
            CELLAR_ASSERT(reader.error.code == CELLAR_INVALID_ARGUMENT);
            CELLAR_ASSERT(reader.error.text[0] != '\0');
        } else if (reader.field_count > 0) {
            record_check(&reader);
        }
        cellar_csv_clear(&reader);
        rest = cellar_slice_make(rest.data + taken, rest.bytes - taken);
    }
    cellar_csv_fini(&reader);
    return 0;
}
