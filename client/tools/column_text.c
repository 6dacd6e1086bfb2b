/*
 * `cf`, `cf:q` and `cf:q=VALUE` taken apart.
 *
 * The first colon ends the family, the first '=' behind it the qualifier; what a qualifier needs of
 * these is written as an escape, as the text output does. Escapes are undone after the cuts.
 * Whether a family's name is allowed is the server's to say. Pure; the caller owns the buffers.
 */

#include "client/tools/column_text.h"

#include "client/tools/escape.h"

const char *cellar_column_text_family(const struct cellar_column_text *column)
{
    CELLAR_ASSERT(column->family.bytes < column->family.capacity);
    return (const char *)column->family.data;
}

void cellar_column_text_fini(struct cellar_column_text *column)
{
    CELLAR_ASSERT(column != NULL);
    cellar_buffer_fini(&column->family);
    cellar_buffer_fini(&column->qualifier);
    cellar_buffer_fini(&column->value);
    column->has_qualifier = false;
}

/* Sets the family and its NUL; empties the rest. */
static enum cellar_status family_set(struct cellar_column_text *column, struct cellar_slice family,
                                     const char *text, struct cellar_error *error)
{
    cellar_buffer_clear(&column->family);
    cellar_buffer_clear(&column->qualifier);
    cellar_buffer_clear(&column->value);
    column->has_qualifier = false;
    if (family.bytes == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A column must be written family:qualifier, but got '%.200s'",
                                text);
    }
    if (cellar_buffer_reserve(&column->family, family.bytes + 1) != CELLAR_OK ||
        cellar_buffer_append(&column->family, family.data, family.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an argument");
    }
    CELLAR_ASSERT(column->family.capacity > column->family.bytes);
    column->family.data[column->family.bytes] = '\0';
    return CELLAR_OK;
}

enum cellar_status cellar_column_text_decode(const char *text, struct cellar_column_text *column,
                                             struct cellar_error *error)
{
    const char *colon = strchr(text, ':');
    size_t family_bytes = colon == NULL ? strlen(text) : (size_t)(colon - text);
    CELLAR_TRY(family_set(column, cellar_slice_make(text, family_bytes), text, error));
    if (colon == NULL) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(*colon == ':');
    column->has_qualifier = true;
    return cellar_escape_decode(cellar_slice_text(colon + 1), &column->qualifier, error);
}

enum cellar_status cellar_cell_text_decode(const char *text, struct cellar_column_text *column,
                                           struct cellar_error *error)
{
    const char *colon = strchr(text, ':');
    const char *equals = colon == NULL ? NULL : strchr(colon, '=');
    if (equals == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A cell must be written family:qualifier=VALUE, but got '%.200s'",
                                text);
    }
    CELLAR_ASSERT(colon < equals);
    CELLAR_TRY(family_set(column, cellar_slice_make(text, (size_t)(colon - text)), text, error));
    column->has_qualifier = true;
    CELLAR_TRY(cellar_escape_decode(cellar_slice_make(colon + 1, (size_t)(equals - colon - 1)),
                                    &column->qualifier, error));
    return cellar_escape_decode(cellar_slice_text(equals + 1), &column->value, error);
}
