/*
 * A parser of Debian control data, after deb822(5):
 *
 *     Package: lmdb-utils            a field begins in the first column
 *     Description: Lightning DB      blanks around it on this line are no part of the value
 *      LMDB is an ultra-fast, ...    a line that begins with a blank goes on with the value
 *     # a comment                    is stepped over
 *                                    an empty line, or one of blanks, ends the stanza
 *
 * A value with continuation lines keeps them as they are, each behind a newline, with its leading
 * blank: the value printed behind its name is the source again. Since only the last field can go
 * on, all texts lie in one buffer and a value grows at its end.
 *
 * A field that comes twice (in any case of letters), a name with bytes that no name has, a first
 * line that is a continuation, or a stanza above the limits make the stanza malformed: it is read
 * to its end, and its first failure kept with its line. Pure.
 */

#include "client/tools/deb822.h"

#include <stdio.h>
#include <strings.h>

#include "common/mem.h"

struct cellar_deb822_field {
    size_t name_start;
    size_t name_bytes;
    size_t value_start;
    size_t value_bytes;
};

void cellar_deb822_clear(struct cellar_deb822 *stanza)
{
    CELLAR_ASSERT(stanza->field_count <= stanza->field_capacity);
    cellar_buffer_clear(&stanza->text);
    stanza->field_count = 0;
    stanza->line = 0;
    stanza->error_line = 0;
    cellar_error_clear(&stanza->error);
}

void cellar_deb822_fini(struct cellar_deb822 *stanza)
{
    CELLAR_ASSERT(stanza->field_count <= stanza->field_capacity);
    cellar_buffer_fini(&stanza->text);
    cellar_mem_free(stanza->fields);
    memset(stanza, 0, sizeof *stanza);
}

void cellar_deb822_field(const struct cellar_deb822 *stanza, size_t index,
                         struct cellar_slice *name, struct cellar_slice *value)
{
    CELLAR_ASSERT(index < stanza->field_count);
    const struct cellar_deb822_field *field = &stanza->fields[index];
    *name = cellar_slice_make(stanza->text.data + field->name_start, field->name_bytes);
    *value = cellar_slice_make(stanza->text.data + field->value_start, field->value_bytes);
}

/* Finds a field by its name in any case. */
static bool name_find(const struct cellar_deb822 *stanza, struct cellar_slice wanted,
                      struct cellar_slice *value)
{
    for (size_t index = 0; index < stanza->field_count; index++) {
        struct cellar_slice name;
        cellar_deb822_field(stanza, index, &name, value);
        CELLAR_ASSERT(name.bytes > 0);
        if (name.bytes == wanted.bytes &&
            strncasecmp((const char *)name.data, (const char *)wanted.data, name.bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool cellar_deb822_find(const struct cellar_deb822 *stanza, const char *name,
                        struct cellar_slice *value)
{
    CELLAR_ASSERT(name != NULL);
    return name_find(stanza, cellar_slice_text(name), value);
}

void cellar_deb822_refuse(struct cellar_deb822 *stanza, uint64_t number, const char *what)
{
    CELLAR_ASSERT(number > 0);
    if (stanza->line == 0) {
        stanza->line = number;
    }
    if (stanza->error.code == CELLAR_OK) {
        (void)cellar_error_set(&stanza->error, CELLAR_INVALID_ARGUMENT, "%s", what);
        stanza->error_line = number;
    }
}

/* What deb822(5) calls whitespace inside a line. */
static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The text without the blanks at its end. */
static struct cellar_slice trim_end(struct cellar_slice text)
{
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    return text;
}

/* The text without the blanks at its start. */
static struct cellar_slice trim_start(struct cellar_slice text)
{
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text = cellar_slice_make(text.data + 1, text.bytes - 1);
    }
    CELLAR_ASSERT(text.bytes == 0 || !is_blank(text.data[0]));
    return text;
}

/* The length of the field name at the start of a line, or 0 when there is none. */
static size_t name_measure(struct cellar_slice text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && text.data[bytes] > 0x20 && text.data[bytes] < 0x7f &&
           text.data[bytes] != ':') {
        bytes++;
    }
    CELLAR_ASSERT(bytes <= text.bytes);
    bool has_colon = bytes < text.bytes && text.data[bytes] == ':';
    return bytes > 0 && has_colon && text.data[0] != '-' ? bytes : 0;
}

/* Makes room for one more field. */
static enum cellar_status fields_reserve(struct cellar_deb822 *stanza)
{
    CELLAR_ASSERT(stanza->field_count <= stanza->field_capacity);
    if (stanza->field_count < stanza->field_capacity) {
        return CELLAR_OK;
    }
    size_t capacity = CELLAR_MAX(2 * stanza->field_capacity, (size_t)32);
    struct cellar_deb822_field *fields =
        cellar_mem_realloc(stanza->fields, capacity * sizeof *fields);
    if (fields == NULL) {
        return CELLAR_NO_MEMORY;
    }
    stanza->fields = fields;
    stanza->field_capacity = capacity;
    return CELLAR_OK;
}

/* Takes a line that begins a field. */
static enum cellar_status field_begin(struct cellar_deb822 *stanza, struct cellar_slice text,
                                      uint64_t number)
{
    struct cellar_slice other;
    size_t name_bytes = name_measure(text);
    struct cellar_slice name = cellar_slice_make(text.data, name_bytes);
    if (name_bytes == 0) {
        cellar_deb822_refuse(stanza, number, "A line must be 'Field: value' or begin with a blank");
        return CELLAR_OK;
    }
    if (name_find(stanza, name, &other)) {
        char what[100];
        (void)snprintf(what, sizeof what, "The field '%.*s' comes twice",
                       (int)CELLAR_MIN(name.bytes, 60u), (const char *)name.data);
        cellar_deb822_refuse(stanza, number, what);
        return CELLAR_OK;
    }
    if (stanza->field_count == CELLAR_DEB822_FIELD_COUNT_MAX) {
        cellar_deb822_refuse(stanza, number, "A stanza may have at most 10000 fields");
        return CELLAR_OK;
    }
    struct cellar_slice value = trim_end(
        trim_start(cellar_slice_make(text.data + name_bytes + 1, text.bytes - name_bytes - 1)));
    CELLAR_TRY(fields_reserve(stanza));
    CELLAR_TRY(cellar_buffer_reserve(&stanza->text, name.bytes + value.bytes));
    CELLAR_TRY(cellar_buffer_append(&stanza->text, name.data, name.bytes));
    CELLAR_TRY(cellar_buffer_append(&stanza->text, value.data, value.bytes));
    CELLAR_ASSERT(stanza->text.bytes >= name.bytes + value.bytes);
    stanza->fields[stanza->field_count++] =
        (struct cellar_deb822_field){.name_start = stanza->text.bytes - value.bytes - name.bytes,
                                     .name_bytes = name.bytes,
                                     .value_start = stanza->text.bytes - value.bytes,
                                     .value_bytes = value.bytes};
    return CELLAR_OK;
}

/* Takes a line that goes on with the last field. */
static enum cellar_status field_continue(struct cellar_deb822 *stanza, struct cellar_slice text,
                                         uint64_t number)
{
    if (stanza->field_count == 0) {
        cellar_deb822_refuse(stanza, number,
                             "A line that begins with a blank goes on with nothing");
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_reserve(&stanza->text, text.bytes + 1));
    CELLAR_TRY(cellar_buffer_append(&stanza->text, "\n", 1));
    CELLAR_TRY(cellar_buffer_append(&stanza->text, text.data, text.bytes));
    struct cellar_deb822_field *field = &stanza->fields[stanza->field_count - 1];
    field->value_bytes += text.bytes + 1;
    CELLAR_ASSERT(field->value_start + field->value_bytes == stanza->text.bytes);
    return CELLAR_OK;
}

enum cellar_status cellar_deb822_line(struct cellar_deb822 *stanza, struct cellar_slice text,
                                      uint64_t number, bool *has_ended)
{
    CELLAR_ASSERT(number > 0);
    *has_ended = false;
    if (trim_start(text).bytes == 0) {
        *has_ended = stanza->line != 0;
        return CELLAR_OK;
    }
    if (text.data[0] == '#') {
        return CELLAR_OK;
    }
    if (stanza->line == 0) {
        stanza->line = number;
    }
    if (stanza->text.bytes + text.bytes + 1 > CELLAR_DEB822_BYTES_MAX) {
        cellar_deb822_refuse(stanza, number, "A stanza may have at most 8388608 bytes");
    }
    if (stanza->error.code != CELLAR_OK) {
        return CELLAR_OK;
    }
    return is_blank(text.data[0]) ? field_continue(stanza, text, number)
                                  : field_begin(stanza, text, number);
}
