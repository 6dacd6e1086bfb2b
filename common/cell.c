/*
 * Names and sizes of the data model: what is a row key, a family, a qualifier, a table's name.
 *
 * Each check answers a request's field and says in its error which field, which limit and which
 * value it saw; a name is shown through cellar_bytes_show(), since it may hold any bytes. The same
 * checks serve every front end and the client library, so a text is written once.
 *
 * A table's name has a short form (t), a middle one (P/I/t) and the long one of the cloud's API
 * (projects/P/instances/I/tables/t). All three become three slices; a part that the short form does
 * not have is `default`, in static storage. How many parts there are between the slashes tells the
 * forms apart, so "projects/a/b" is table b of project `projects`.
 *
 * Nothing here allocates but cellar_table_name_encode(); no state; any thread.
 */

#include "common/cell.h"

#include <string.h>

#define PART_COUNT_MAX 6u
#define SHOWN_BYTES_MAX 64u
#define SHOWN_TEXT_BYTES (4u * SHOWN_BYTES_MAX + 4u)

enum cellar_status cellar_row_check(struct cellar_slice row, struct cellar_error *error)
{
    if (row.bytes == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'row_key' : Row keys must be non-empty");
    }
    if (row.bytes > CELLAR_ROW_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'row_key' : Row keys must be at most %u bytes, "
                                "but got %zu",
                                CELLAR_ROW_BYTES_MAX, row.bytes);
    }
    CELLAR_ASSERT(row.data != NULL);
    return CELLAR_OK;
}

/* Whether the byte is a letter, a digit or one of - _ . */
static bool byte_is_plain(uint8_t byte)
{
    bool is_letter = (uint8_t)((byte | 0x20) - 'a') < 26;
    bool is_digit = (uint8_t)(byte - '0') < 10;
    return is_letter || is_digit || byte == '-' || byte == '_' || byte == '.';
}

/* True when every byte is plain or, where `may_colon`, a colon. */
static bool name_is_plain(struct cellar_slice name, bool may_colon)
{
    CELLAR_ASSERT(name.bytes == 0 || name.data != NULL);
    for (size_t index = 0; index < name.bytes; index++) {
        uint8_t byte = name.data[index];
        if (!byte_is_plain(byte) && !(may_colon && byte == ':')) {
            return false;
        }
    }
    return true;
}

enum cellar_status cellar_family_check(struct cellar_slice family, struct cellar_error *error)
{
    if (family.bytes == 0 || family.bytes > CELLAR_FAMILY_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'family' : Family names must have 1 to %u "
                                "characters, but got %zu",
                                CELLAR_FAMILY_BYTES_MAX, family.bytes);
    }
    if (!name_is_plain(family, false)) {
        char shown[SHOWN_TEXT_BYTES];
        return cellar_error_set(
            error, CELLAR_INVALID_ARGUMENT,
            "Error in field 'family' : Family names must match [-_.a-zA-Z0-9]+, but got '%s'",
            cellar_bytes_show(family, SHOWN_BYTES_MAX, shown, sizeof shown));
    }
    CELLAR_ASSERT(memchr(family.data, 0, family.bytes) == NULL);
    return CELLAR_OK;
}

enum cellar_status cellar_qualifier_check(struct cellar_slice qualifier, struct cellar_error *error)
{
    CELLAR_ASSERT(qualifier.bytes == 0 || qualifier.data != NULL);
    if (qualifier.bytes > CELLAR_QUALIFIER_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'column_qualifier' : Column qualifiers must be "
                                "at most %u bytes, but got %zu",
                                CELLAR_QUALIFIER_BYTES_MAX, qualifier.bytes);
    }
    return CELLAR_OK;
}

/* A project's or an instance's id. */
static bool id_is_valid(struct cellar_slice id)
{
    CELLAR_ASSERT(id.bytes == 0 || id.data != NULL);
    return id.bytes >= 1 && id.bytes <= CELLAR_NAME_PART_BYTES_MAX && id.data[0] != '-' &&
           id.data[0] != '.' && name_is_plain(id, true);
}

static bool table_id_is_valid(struct cellar_slice id)
{
    CELLAR_ASSERT(id.bytes == 0 || id.data != NULL);
    return id.bytes >= 1 && id.bytes <= CELLAR_TABLE_ID_BYTES_MAX && id.data[0] != '-' &&
           id.data[0] != '.' && name_is_plain(id, false);
}

/* Cuts a text at its slashes. Returns the number of parts, 0 when there are too many. */
static size_t parts_split(struct cellar_slice text, struct cellar_slice parts[PART_COUNT_MAX])
{
    const uint8_t *at = text.data;
    size_t left = text.bytes;
    for (size_t count = 0; count < PART_COUNT_MAX; count++) {
        const uint8_t *slash = left == 0 ? NULL : memchr(at, '/', left);
        if (slash == NULL) {
            parts[count] = cellar_slice_make(at, left);
            return count + 1;
        }
        parts[count] = cellar_slice_make(at, (size_t)(slash - at));
        left -= parts[count].bytes + 1;
        at = slash + 1;
        CELLAR_ASSERT(left < text.bytes);
    }
    return 0;
}

static bool part_is(struct cellar_slice part, const char *text)
{
    CELLAR_ASSERT(text != NULL);
    return cellar_slice_equal(part, cellar_slice_text(text));
}

/* Fills project and instance, with `default` where the name has none. */
static struct cellar_table_name name_make(const struct cellar_slice *project,
                                          const struct cellar_slice *instance)
{
    struct cellar_slice standard = cellar_slice_text("default");
    struct cellar_table_name name = {.project = project == NULL ? standard : *project,
                                     .instance = instance == NULL ? standard : *instance};
    CELLAR_ASSERT(name.table.bytes == 0);
    return name;
}

/* The refusal of a name; `forms` says what would have been one. */
static enum cellar_status name_refuse(struct cellar_error *error, const char *field,
                                      const char *forms, struct cellar_slice text)
{
    CELLAR_ASSERT(forms != NULL);
    char shown[SHOWN_TEXT_BYTES];
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            "Error in field '%s' : must be %s, but got '%s' (%zu bytes)", field,
                            forms, cellar_bytes_show(text, SHOWN_BYTES_MAX, shown, sizeof shown),
                            text.bytes);
}

enum cellar_status cellar_table_name_decode(struct cellar_slice text,
                                            struct cellar_table_name *name,
                                            struct cellar_error *error)
{
    CELLAR_ASSERT(name != NULL);
    struct cellar_slice parts[PART_COUNT_MAX];
    size_t count = parts_split(text, parts);
    struct cellar_table_name found = name_make(NULL, NULL);
    bool is_valid = false;
    if (count == 1) {
        is_valid = true;
    } else if (count == 3) {
        found = name_make(&parts[0], &parts[1]);
        is_valid = true;
    } else if (count == 6) {
        found = name_make(&parts[1], &parts[3]);
        is_valid = part_is(parts[0], "projects") && part_is(parts[2], "instances") &&
                   part_is(parts[4], "tables");
    }
    /* Most names are a table's alone, and "default" needs no check. */
    bool has_ids = count != 1;
    if (!is_valid || (has_ids && (!id_is_valid(found.project) || !id_is_valid(found.instance))) ||
        !table_id_is_valid(parts[count - 1])) {
        return name_refuse(error, "table",
                           "TABLE, PROJECT/INSTANCE/TABLE or "
                           "projects/PROJECT/instances/INSTANCE/tables/TABLE with a table id of 1 "
                           "to 50 characters matching [_a-zA-Z0-9][-_.a-zA-Z0-9]*",
                           text);
    }
    found.table = parts[count - 1];
    CELLAR_ASSERT(found.table.bytes >= 1);
    *name = found;
    return CELLAR_OK;
}

enum cellar_status cellar_instance_name_decode(struct cellar_slice text,
                                               struct cellar_table_name *name,
                                               struct cellar_error *error)
{
    CELLAR_ASSERT(name != NULL);
    struct cellar_slice parts[PART_COUNT_MAX];
    size_t count = parts_split(text, parts);
    struct cellar_table_name found = name_make(NULL, NULL);
    bool is_valid = text.bytes == 0;
    if (count == 2) {
        found = name_make(&parts[0], &parts[1]);
        is_valid = true;
    } else if (count == 4) {
        found = name_make(&parts[1], &parts[3]);
        is_valid = part_is(parts[0], "projects") && part_is(parts[2], "instances");
    }
    if (!is_valid || !id_is_valid(found.project) || !id_is_valid(found.instance)) {
        return name_refuse(error, "instance",
                           "empty, PROJECT/INSTANCE or projects/PROJECT/instances/INSTANCE", text);
    }
    CELLAR_ASSERT(found.table.bytes == 0);
    *name = found;
    return CELLAR_OK;
}

enum cellar_status cellar_table_name_encode(const struct cellar_table_name *name,
                                            struct cellar_buffer *to)
{
    CELLAR_ASSERT(name->project.bytes > 0 && name->instance.bytes > 0);
    CELLAR_ASSERT(name->table.bytes > 0);
    return cellar_buffer_printf(to, "projects/%.*s/instances/%.*s/tables/%.*s",
                                (int)name->project.bytes, (const char *)name->project.data,
                                (int)name->instance.bytes, (const char *)name->instance.data,
                                (int)name->table.bytes, (const char *)name->table.data);
}

/* Writes one byte as people read it, 1 or 4 characters; returns how many. */
static size_t byte_show(uint8_t byte, char text[4])
{
    static const char digits[] = "0123456789abcdef";
    if (byte >= 0x20 && byte < 0x7F && byte != '\\') {
        text[0] = (char)byte;
        return 1;
    }
    CELLAR_ASSERT(byte >> 4 < 16);
    text[0] = '\\';
    text[1] = 'x';
    text[2] = digits[byte >> 4];
    text[3] = digits[byte & 15];
    return 4;
}

const char *cellar_bytes_show(struct cellar_slice bytes, size_t bytes_max, char *text,
                              size_t text_bytes)
{
    static const char dots[] = "...";
    CELLAR_ASSERT(text_bytes >= 8);
    size_t at = 0;
    size_t cut = 0; /* the last place where the dots have room */
    size_t shown_count = CELLAR_MIN(bytes.bytes, bytes_max);
    bool is_cut = shown_count < bytes.bytes;
    for (size_t index = 0; index < shown_count; index++) {
        char shown[4];
        size_t width = byte_show(bytes.data[index], shown);
        if (at + width >= text_bytes) {
            is_cut = true;
            break;
        }
        memcpy(text + at, shown, width);
        at += width;
        cut = at + sizeof dots <= text_bytes ? at : cut;
    }
    if (is_cut) {
        memcpy(text + cut, dots, sizeof dots);
        return text;
    }
    CELLAR_ASSERT(at < text_bytes);
    text[at] = '\0';
    return text;
}
