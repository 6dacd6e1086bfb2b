/*
 * The options of commands that read: columns, versions, and bytes of row keys.
 *
 * They become a `struct cellar_read`, which keeps its first failure; what is malformed is told here
 * with the option's name. Pure.
 */

#include "client/tools/select.h"

#include "client/tools/column_text.h"
#include "client/tools/escape.h"

/* Adds one --column to a read. */
static enum cellar_status column_add(struct cellar_read *read, const char *text,
                                     struct cellar_error *error)
{
    struct cellar_column_text column = {0};
    CELLAR_ASSERT(text != NULL);
    enum cellar_status status = cellar_column_text_decode(text, &column, error);
    if (status == CELLAR_OK && column.has_qualifier) {
        cellar_read_column(read, cellar_column_text_family(&column),
                           cellar_view_of(column.qualifier.data, column.qualifier.bytes));
    } else if (status == CELLAR_OK) {
        cellar_read_family(read, cellar_column_text_family(&column));
    }
    cellar_column_text_fini(&column);
    return status;
}

enum cellar_status cellar_select_cells(const struct cellar_args *args, struct cellar_read *read,
                                       struct cellar_error *error)
{
    static const struct cellar_args_limits limits = {.least = 1, .most = INT32_MAX};
    int64_t versions = 0;
    CELLAR_ASSERT(args->word_count >= 1);
    for (size_t index = 0; index < args->given_count; index++) {
        if (strcmp(args->given[index].option->name, "column") == 0) {
            CELLAR_TRY(column_add(read, args->given[index].value, error));
        }
    }
    CELLAR_TRY(cellar_args_number(args, "versions", limits, &versions, error));
    cellar_read_versions(read, versions);
    if (cellar_args_has(args, "keys-only")) {
        cellar_read_keys_only(read);
    }
    return CELLAR_OK;
}

enum cellar_status cellar_select_bytes(const struct cellar_args *args, const char *name,
                                       struct cellar_buffer *to, bool *is_given,
                                       struct cellar_error *error)
{
    const char *text = cellar_args_text(args, name);
    CELLAR_ASSERT(to->bytes == 0);
    *is_given = text != NULL;
    return text == NULL ? CELLAR_OK : cellar_escape_decode(cellar_slice_text(text), to, error);
}
