/*
 * Rows out of JSON lines, the form that scan and get print with --format jsonl.
 *
 * A line is one object. Members that are not known are refused rather than dropped: whoever wrote
 * "time" for "timestamp" wants to know. Bytes that are not UTF-8 come as {"b64":".."}.
 *
 * A line may be as long as a row is large, so it is never a tree as a whole: it is walked, a cell
 * is read, goes into the record, and its memory serves the next one. When the cells turn out to be
 * too many for one write, what was added is dropped and the walk begins again:
 *
 *     adding --a cell has no room--> checking --end of line--> parts, each filled from where the
 *       |                               |                      last one ended
 *       +--end of line: one record      +--wrong: nothing is written of the row
 */

#include "client/tools/jsonl.h"

#include "client/tools/base64.h"
#include "common/cell.h"

/* A line being read. */
struct line {
    const struct cellar_jsonl_defaults *defaults;
    struct cellar_record *record;
    struct cellar_json_walk walk;
    struct cellar_json_walk cells; /* before the first of them */
    bool has_row;
    bool has_cells;
    bool is_split; /* cells are checked and not added */
    struct cellar_error *error;
};

/* The failure for a member that is not what it must be. */
static enum cellar_status refuse(struct cellar_error *error, const char *name, const char *wanted)
{
    CELLAR_ASSERT(name != NULL && wanted != NULL);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "\"%s\" must be %s", name, wanted);
}

/* Checks that an object has no other members than these. */
static enum cellar_status members_check(const struct cellar_json *object, const char *const *names,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(object->kind == CELLAR_JSON_OBJECT);
    for (const struct cellar_json *at = object->children; at != NULL; at = at->next) {
        const char *const *name = names;
        while (*name != NULL && !cellar_slice_equal(at->name, cellar_slice_text(*name))) {
            name++;
        }
        if (*name == NULL) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Unknown member \"%.*s\"",
                                    (int)CELLAR_MIN(at->name.bytes, 100u),
                                    (const char *)at->name.data);
        }
    }
    return CELLAR_OK;
}

/* Decodes base64 into the arena. */
static enum cellar_status base64_get(struct cellar_slice text, struct cellar_arena *arena,
                                     struct cellar_slice *bytes)
{
    struct cellar_buffer decoded = {0};
    enum cellar_status status = cellar_base64_decode(text, &decoded);
    if (status == CELLAR_OK) {
        void *copy = cellar_arena_copy(arena, decoded.data, decoded.bytes);
        *bytes = cellar_slice_make(copy, decoded.bytes);
        status = copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    }
    cellar_buffer_fini(&decoded);
    CELLAR_ASSERT(status != CELLAR_OK || bytes->data != NULL);
    return status;
}

/* Takes a member that is bytes: a string or {"b64":".."}. */
static enum cellar_status bytes_get(const struct cellar_json *object, const char *name,
                                    struct cellar_arena *arena, struct cellar_slice *bytes,
                                    struct cellar_error *error)
{
    /* `text` becomes the string to read: the member itself, or what stands behind "b64". */
    const struct cellar_json *value = cellar_json_member(object, name);
    const struct cellar_json *text = value;
    CELLAR_ASSERT(bytes != NULL);
    if (value != NULL && value->kind == CELLAR_JSON_STRING) {
        *bytes = value->text;
        return CELLAR_OK;
    }
    if (value != NULL && value->kind == CELLAR_JSON_OBJECT) {
        text = cellar_json_member(value, "b64");
    }
    if (text == NULL || text->kind != CELLAR_JSON_STRING || value->children->next != NULL) {
        return refuse(error, name, "a string or {\"b64\":\"..\"}");
    }
    enum cellar_status status = base64_get(text->text, arena, bytes);
    if (status == CELLAR_INVALID_ARGUMENT) {
        return refuse(error, name, "base64 with padding inside {\"b64\":\"..\"}");
    }
    return status == CELLAR_OK
               ? status
               : cellar_error_set(error, status, "No memory for the member \"%s\"", name);
}

/* Takes the family: a name without NUL bytes, NUL-terminated in the arena. */
static enum cellar_status family_get(const struct cellar_json *cell,
                                     const struct cellar_jsonl_defaults *defaults,
                                     struct cellar_arena *arena, const char **family,
                                     struct cellar_error *error)
{
    const struct cellar_json *value = cellar_json_member(cell, "family");
    if (value == NULL || value->kind == CELLAR_JSON_NULL) {
        *family = defaults->family;
        return *family != NULL ? CELLAR_OK
                               : refuse(error, "family", "given, in the cell or by --family");
    }
    if (value->kind != CELLAR_JSON_STRING || value->text.bytes == 0 ||
        value->text.bytes > CELLAR_FAMILY_BYTES_MAX ||
        memchr(value->text.data, '\0', value->text.bytes) != NULL) {
        return refuse(error, "family", "a name of 1 to 64 bytes");
    }
    char *copy = cellar_arena_alloc(arena, value->text.bytes + 1);
    if (copy == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a family");
    }
    memcpy(copy, value->text.data, value->text.bytes);
    copy[value->text.bytes] = '\0';
    CELLAR_ASSERT(strlen(copy) == value->text.bytes);
    *family = copy;
    return CELLAR_OK;
}

/* Reads one element of "cells"; what it holds lies in the line or the arena. */
static enum cellar_status cell_decode(const struct cellar_json *cell,
                                      const struct cellar_jsonl_defaults *defaults,
                                      struct cellar_arena *arena, struct cellar_record_cell *found,
                                      struct cellar_error *error)
{
    static const char *const names[] = {"family", "qualifier", "timestamp", "value", NULL};
    *found = (struct cellar_record_cell){.timestamp_us = defaults->timestamp_us};
    if (cell->kind != CELLAR_JSON_OBJECT) {
        return refuse(error, "cells", "an array of objects");
    }
    CELLAR_TRY(members_check(cell, names, error));
    CELLAR_TRY(family_get(cell, defaults, arena, &found->family, error));
    CELLAR_TRY(bytes_get(cell, "qualifier", arena, &found->qualifier, error));
    CELLAR_TRY(bytes_get(cell, "value", arena, &found->value, error));
    const struct cellar_json *timestamp = cellar_json_member(cell, "timestamp");
    if (timestamp != NULL && timestamp->kind != CELLAR_JSON_NULL &&
        (timestamp->kind != CELLAR_JSON_NUMBER ||
         !cellar_json_integer(timestamp, &found->timestamp_us) || found->timestamp_us < 0)) {
        return refuse(error, "timestamp", "microseconds since 1970, a whole number >= 0");
    }
    CELLAR_ASSERT(found->timestamp_us >= 0);
    return CELLAR_OK;
}

/* Steps to the next cell of a walk and reads it. */
static enum cellar_status cell_next(struct cellar_json_walk *walk,
                                    const struct cellar_jsonl_defaults *defaults,
                                    struct cellar_record_cell *cell, bool *has_cell,
                                    struct cellar_error *error)
{
    struct cellar_json value;
    cellar_arena_reset(walk->arena); /* the cell before was copied */
    CELLAR_TRY(cellar_json_walk_next(walk, CELLAR_JSON_ARRAY, NULL, has_cell, error));
    if (!*has_cell) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_json_walk_value(walk, &value, error));
    CELLAR_ASSERT(walk->at <= walk->text.bytes);
    return cell_decode(&value, defaults, walk->arena, cell, error);
}

/* Takes the member "row". */
static enum cellar_status row_take(struct line *line)
{
    struct cellar_json holder = {.kind = CELLAR_JSON_OBJECT};
    struct cellar_json value;
    struct cellar_slice key = {NULL, 0};
    CELLAR_TRY(cellar_json_walk_value(&line->walk, &value, line->error));
    value.name = cellar_slice_text("row");
    holder.children = &value;
    CELLAR_TRY(bytes_get(&holder, "row", line->walk.arena, &key, line->error));
    if (key.bytes == 0 || key.bytes > CELLAR_ROW_BYTES_MAX) {
        return refuse(line->error, "row", "1 to 4096 bytes");
    }
    CELLAR_ASSERT(!line->has_row);
    line->has_row = true;
    return cellar_record_key(line->record, key, line->error);
}

/* Takes the member "cells": into the record, or, when that has no room for all, checked only. */
static enum cellar_status cells_take(struct line *line)
{
    struct cellar_record_cell cell;
    bool has_cell = false;
    if (!cellar_json_walk_enter(&line->walk, CELLAR_JSON_ARRAY)) {
        return refuse(line->error, "cells", "an array of one cell or more");
    }
    CELLAR_ASSERT(!line->has_cells);
    line->cells = line->walk;
    for (;;) {
        CELLAR_TRY(cell_next(&line->walk, line->defaults, &cell, &has_cell, line->error));
        if (!has_cell) {
            return CELLAR_OK;
        }
        line->has_cells = true;
        if (line->is_split) {
            CELLAR_TRY(cellar_record_check(line->defaults->table, &cell, line->error));
        } else if (line->record->cell_count > 0 &&
                   !cellar_record_has_room(line->record, &cell, CELLAR_RECORD_SPLIT_BYTES_MAX)) {
            cellar_record_clear_cells(line->record);
            line->is_split = true;
            line->walk = line->cells;
        } else {
            CELLAR_TRY(cellar_record_add(line->record, &cell, line->error));
        }
    }
}

/* Takes everything of a line. */
static enum cellar_status line_take(struct line *line)
{
    struct cellar_slice name = {NULL, 0};
    bool has_member = true;
    if (!cellar_json_walk_enter(&line->walk, CELLAR_JSON_OBJECT)) {
        struct cellar_json other;
        CELLAR_TRY(cellar_json_walk_value(&line->walk, &other, line->error));
        return cellar_error_set(line->error, CELLAR_INVALID_ARGUMENT,
                                "A line must be an object with \"row\" and \"cells\"");
    }
    for (;;) {
        CELLAR_TRY(cellar_json_walk_next(&line->walk, CELLAR_JSON_OBJECT, &name, &has_member,
                                         line->error));
        if (!has_member) {
            break;
        }
        bool is_row = cellar_slice_equal(name, cellar_slice_text("row"));
        if (!is_row && !cellar_slice_equal(name, cellar_slice_text("cells"))) {
            return cellar_error_set(line->error, CELLAR_INVALID_ARGUMENT, "Unknown member \"%.*s\"",
                                    (int)CELLAR_MIN(name.bytes, 100u), (const char *)name.data);
        }
        if (is_row ? line->has_row : line->cells.text.data != NULL) {
            return cellar_error_set(line->error, CELLAR_INVALID_ARGUMENT,
                                    "The member \"%s\" comes twice", is_row ? "row" : "cells");
        }
        CELLAR_TRY(is_row ? row_take(line) : cells_take(line));
    }
    CELLAR_TRY(cellar_json_walk_end(&line->walk, line->error));
    if (!line->has_row) {
        return refuse(line->error, "row", "a string or {\"b64\":\"..\"}");
    }
    CELLAR_ASSERT(line->record->key.bytes > 0);
    return line->has_cells ? CELLAR_OK
                           : refuse(line->error, "cells", "an array of one cell or more");
}

enum cellar_status cellar_jsonl_rest_decode(struct cellar_jsonl_rest *rest,
                                            const struct cellar_jsonl_defaults *defaults,
                                            struct cellar_record *record,
                                            struct cellar_error *error)
{
    struct cellar_record_cell cell;
    bool has_cell = true;
    CELLAR_ASSERT(rest->has_more && record->cell_count == 0);
    CELLAR_TRY(cellar_record_key(record, cellar_slice_of(&rest->key), error));
    for (;;) {
        struct cellar_json_walk before = rest->cells;
        CELLAR_TRY(cell_next(&rest->cells, defaults, &cell, &has_cell, error));
        if (!has_cell) {
            break;
        }
        if (record->cell_count > 0 &&
            !cellar_record_has_room(record, &cell, CELLAR_RECORD_PART_BYTES_MAX)) {
            rest->cells = before;
            break;
        }
        CELLAR_TRY(cellar_record_add(record, &cell, error));
    }
    CELLAR_ASSERT(record->cell_count > 0);
    rest->has_more = has_cell;
    record->has_more = has_cell;
    return CELLAR_OK;
}

enum cellar_status cellar_jsonl_decode(struct cellar_slice text,
                                       const struct cellar_jsonl_defaults *defaults,
                                       struct cellar_arena *arena, struct cellar_record *record,
                                       struct cellar_jsonl_rest *rest, struct cellar_error *error)
{
    struct line line = {.defaults = defaults,
                        .record = record,
                        .walk = {.text = text, .arena = arena},
                        .error = error};
    CELLAR_ASSERT(defaults->timestamp_us >= 0 && !rest->has_more);
    CELLAR_TRY(line_take(&line));
    if (!line.is_split) {
        return CELLAR_OK;
    }
    cellar_buffer_clear(&rest->key);
    if (cellar_buffer_append(&rest->key, record->key.data, record->key.bytes) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row");
    }
    rest->cells = line.cells;
    rest->has_more = true;
    return cellar_jsonl_rest_decode(rest, defaults, record, error);
}

void cellar_jsonl_rest_fini(struct cellar_jsonl_rest *rest)
{
    CELLAR_ASSERT(rest != NULL);
    cellar_buffer_fini(&rest->key);
    memset(rest, 0, sizeof *rest);
}
