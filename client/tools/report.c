/*
 * What a command did, or would do, for programs to read.
 *
 * As text each command says it in a sentence of its own; everything else is the same list of
 * fields, so that a figure has one name in all formats. JSON and JSON lines are the same, one
 * object on a line. The list stands in the caller; printing appends to a buffer first, so that
 * what comes out is whole or nothing.
 */

#include "client/tools/report.h"

#include <inttypes.h>

#include "client/tools/json_write.h"

/* Appends a field's value, not its bytes. */
static enum cellar_status figure_put(const struct cellar_report_field *field,
                                     struct cellar_buffer *to)
{
    CELLAR_ASSERT(field->kind != CELLAR_REPORT_BYTES);
    if (field->kind == CELLAR_REPORT_BOOL) {
        return cellar_buffer_printf(to, "%s", field->number != 0 ? "true" : "false");
    }
    if (field->kind == CELLAR_REPORT_MICROS) {
        return cellar_buffer_printf(to, "%" PRIu64 ".%03" PRIu64, field->number / 1000000,
                                    field->number / 1000 % 1000);
    }
    return cellar_buffer_printf(to, "%" PRIu64, field->number);
}

/* Appends fields as one object. */
static enum cellar_status json_put(const struct cellar_report_field *fields, size_t count,
                                   struct cellar_buffer *to)
{
    CELLAR_ASSERT(count > 0);
    for (size_t index = 0; index < count; index++) {
        CELLAR_TRY(
            cellar_buffer_printf(to, "%c\"%s\":", index == 0 ? '{' : ',', fields[index].name));
        CELLAR_TRY(fields[index].kind == CELLAR_REPORT_BYTES
                       ? cellar_json_put_bytes(to, fields[index].bytes)
                       : figure_put(&fields[index], to));
    }
    return cellar_buffer_append(to, "}\n", 2);
}

/* Appends fields as a header and a record. */
static enum cellar_status csv_put(const struct cellar_report_field *fields, size_t count,
                                  struct cellar_buffer *to)
{
    CELLAR_ASSERT(count > 0);
    for (size_t index = 0; index < count; index++) {
        CELLAR_TRY(cellar_buffer_printf(to, "%s%s", index == 0 ? "" : ",", fields[index].name));
    }
    CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    for (size_t index = 0; index < count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(fields[index].kind == CELLAR_REPORT_BYTES
                       ? cellar_csv_put(to, fields[index].bytes)
                       : figure_put(&fields[index], to));
    }
    return cellar_buffer_append(to, "\n", 1);
}

enum cellar_status cellar_report_put(enum cellar_format format,
                                     const struct cellar_report_field *fields, size_t count,
                                     struct cellar_buffer *to)
{
    CELLAR_ASSERT(format != CELLAR_FORMAT_TEXT);
    return format == CELLAR_FORMAT_CSV ? csv_put(fields, count, to) : json_put(fields, count, to);
}

enum cellar_status cellar_report_print(struct cellar_tool *tool, enum cellar_format format,
                                       const struct cellar_report_field *fields, size_t count,
                                       struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(tool->out != NULL);
    enum cellar_status status =
        cellar_tool_memory(cellar_report_put(format, fields, count, &text), error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}
