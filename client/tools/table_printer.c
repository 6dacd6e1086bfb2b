/*
 * Descriptions of tables, in four formats.
 *
 * Text is for people: what is on a line of its own, aligned, keys escaped. JSON has every field
 * under the protocol's names; jsonl is the same on one line, which it is anyway. CSV is a table
 * with one record a family and tablet. A rule is written everywhere as --family takes
 * it, so that a table can be made again from what is printed. Pure; appends to the caller's buffer.
 */

#include "client/tools/table_printer.h"

#include <inttypes.h>

#include "client/tools/escape.h"
#include "client/tools/family_text.h"
#include "client/tools/json_write.h"

/* A view of the public header as the slice that common works with. */
static struct cellar_slice slice_of(struct cellar_view view)
{
    CELLAR_ASSERT(view.data != NULL || view.bytes == 0);
    return cellar_slice_make(view.data, view.bytes);
}

/* The table's id: what stands behind the last slash. */
static const char *short_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    CELLAR_ASSERT(name != NULL);
    return slash == NULL ? name : slash + 1;
}

/* Appends a text that a server gave, as what a terminal shows. */
static enum cellar_status text_put(const char *text, struct cellar_buffer *to)
{
    CELLAR_ASSERT(text != NULL);
    return cellar_escape_encode(cellar_slice_text(text), CELLAR_ESCAPE_PLAIN, to);
}

/* The word that --granularity takes. */
static const char *granularity_name(enum cellar_table_granularity granularity)
{
    CELLAR_ASSERT(granularity == CELLAR_TABLE_MILLIS || granularity == CELLAR_TABLE_MICROS);
    return granularity == CELLAR_TABLE_MICROS ? "micros" : "millis";
}

/* Appends a family and its rule as one line. */
static enum cellar_status family_text(const struct cellar_family_info *family,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(family->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "  family  "));
    CELLAR_TRY(text_put(family->name, to));
    if (family->rule.kind == CELLAR_RULE_NONE) {
        return cellar_buffer_printf(to, "  keeps everything\n");
    }
    CELLAR_TRY(cellar_buffer_append(to, "  ", 2));
    CELLAR_TRY(cellar_rule_text_encode(&family->rule, to));
    return cellar_buffer_append(to, "\n", 1);
}

/* Appends a tablet as one line; a bound that is not there is not shown. */
static enum cellar_status tablet_text(const struct cellar_tablet_info *tablet,
                                      struct cellar_buffer *to)
{
    CELLAR_TRY(cellar_buffer_printf(to, "  tablet  on store %" PRIu64, tablet->store));
    if (tablet->start.bytes > 0) {
        CELLAR_TRY(cellar_buffer_printf(to, "  from "));
        CELLAR_TRY(cellar_escape_encode(slice_of(tablet->start), CELLAR_ESCAPE_PLAIN, to));
    }
    if (tablet->end.bytes > 0) {
        CELLAR_TRY(cellar_buffer_printf(to, "  up to, without, "));
        CELLAR_TRY(cellar_escape_encode(slice_of(tablet->end), CELLAR_ESCAPE_PLAIN, to));
    }
    CELLAR_ASSERT(to->bytes > 0);
    return cellar_buffer_append(to, "\n", 1);
}

/* Appends a table for people. */
static enum cellar_status table_text(const struct cellar_table_info *info, struct cellar_buffer *to)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(text_put(short_name(info->name), to));
    CELLAR_TRY(cellar_buffer_printf(to, "\n  name  "));
    CELLAR_TRY(text_put(info->name, to));
    CELLAR_TRY(cellar_buffer_printf(to, "\n  granularity  %s\n  schema version  %" PRIu64 "\n",
                                    granularity_name(info->granularity), info->schema_version));
    for (size_t index = 0; index < info->family_count; index++) {
        CELLAR_TRY(family_text(&info->families[index], to));
    }
    for (size_t index = 0; index < info->tablet_count; index++) {
        CELLAR_TRY(tablet_text(&info->tablets[index], to));
    }
    return CELLAR_OK;
}

/* Appends a family as an object; its rule is the text that --family takes. */
static enum cellar_status family_json(const struct cellar_family_info *family,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(family->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"name\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, cellar_slice_text(family->name)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"rule\":\""));
    CELLAR_TRY(cellar_rule_text_encode(&family->rule, to));
    return cellar_buffer_printf(to, "\"}");
}

/* Appends a tablet as an object; an absent bound is the empty string, as on the wire. */
static enum cellar_status tablet_json(const struct cellar_tablet_info *tablet,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(tablet != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"start\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(tablet->start)));
    CELLAR_TRY(cellar_buffer_printf(to, ",\"end\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, slice_of(tablet->end)));
    return cellar_buffer_printf(to, ",\"store\":%" PRIu64 "}", tablet->store);
}

/* Appends a table as one object on one line. */
static enum cellar_status table_json(const struct cellar_table_info *info, struct cellar_buffer *to)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "{\"name\":"));
    CELLAR_TRY(cellar_json_put_bytes(to, cellar_slice_text(info->name)));
    CELLAR_TRY(cellar_buffer_printf(
        to, ",\"granularity\":\"%s\",\"schema_version\":%" PRIu64 ",\"families\":[",
        granularity_name(info->granularity), info->schema_version));
    for (size_t index = 0; index < info->family_count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(family_json(&info->families[index], to));
    }
    CELLAR_TRY(cellar_buffer_printf(to, "],\"tablets\":["));
    for (size_t index = 0; index < info->tablet_count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(tablet_json(&info->tablets[index], to));
    }
    return cellar_buffer_printf(to, "]}\n");
}

/* Appends a table as records of two kinds, families and tablets. */
static enum cellar_status table_csv(const struct cellar_table_info *info, struct cellar_buffer *to)
{
    CELLAR_ASSERT(info->name != NULL);
    CELLAR_TRY(cellar_buffer_printf(to, "kind,name,rule,start,end,store\n"));
    for (size_t index = 0; index < info->family_count; index++) {
        CELLAR_TRY(cellar_buffer_printf(to, "family,"));
        CELLAR_TRY(cellar_csv_put(to, cellar_slice_text(info->families[index].name)));
        CELLAR_TRY(cellar_buffer_append(to, ",", 1));
        CELLAR_TRY(cellar_rule_text_encode(&info->families[index].rule, to));
        CELLAR_TRY(cellar_buffer_printf(to, ",,,\n"));
    }
    for (size_t index = 0; index < info->tablet_count; index++) {
        const struct cellar_tablet_info *tablet = &info->tablets[index];
        CELLAR_TRY(cellar_buffer_printf(to, "tablet,,,"));
        CELLAR_TRY(cellar_csv_put(to, slice_of(tablet->start)));
        CELLAR_TRY(cellar_buffer_append(to, ",", 1));
        CELLAR_TRY(cellar_csv_put(to, slice_of(tablet->end)));
        CELLAR_TRY(cellar_buffer_printf(to, ",%" PRIu64 "\n", tablet->store));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_table_print(enum cellar_format format,
                                      const struct cellar_table_info *info,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(info != NULL);
    switch (format) {
    case CELLAR_FORMAT_TEXT:
        return table_text(info, to);
    case CELLAR_FORMAT_JSON:
    case CELLAR_FORMAT_JSONL:
        return table_json(info, to);
    case CELLAR_FORMAT_CSV:
        return table_csv(info, to);
    }
    return CELLAR_OK;
}

/* Appends the names as one JSON array. */
static enum cellar_status names_json(const struct cellar_table_list *list, struct cellar_buffer *to)
{
    CELLAR_TRY(cellar_buffer_append(to, "[", 1));
    for (size_t index = 0; index < list->count; index++) {
        CELLAR_TRY(cellar_buffer_append(to, ",", index == 0 ? 0 : 1));
        CELLAR_TRY(cellar_json_put_bytes(to, cellar_slice_text(list->names[index])));
    }
    CELLAR_ASSERT(to->bytes > 0);
    return cellar_buffer_append(to, "]\n", 2);
}

enum cellar_status cellar_table_list_print(enum cellar_format format,
                                           const struct cellar_table_list *list,
                                           struct cellar_buffer *to)
{
    CELLAR_ASSERT(list->count == 0 || list->names != NULL);
    if (format == CELLAR_FORMAT_JSON) {
        return names_json(list, to);
    }
    if (format == CELLAR_FORMAT_CSV) {
        CELLAR_TRY(cellar_buffer_printf(to, "name\n"));
    }
    for (size_t index = 0; index < list->count; index++) {
        struct cellar_slice name = cellar_slice_text(list->names[index]);
        if (format == CELLAR_FORMAT_JSONL) {
            CELLAR_TRY(cellar_buffer_printf(to, "{\"name\":"));
            CELLAR_TRY(cellar_json_put_bytes(to, name));
            CELLAR_TRY(cellar_buffer_append(to, "}", 1));
        } else if (format == CELLAR_FORMAT_CSV) {
            CELLAR_TRY(cellar_csv_put(to, name));
        } else {
            CELLAR_TRY(text_put(short_name(list->names[index]), to));
        }
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}
