/*
 * Rows out of JSON lines, the form that scan and get print with --format jsonl.
 *
 * A line is one object. Members that are not known are refused rather than dropped: whoever wrote
 * "time" for "timestamp" wants to know. Bytes that are not UTF-8 come as {"b64":".."}. The tree and
 * what is decoded lie in the caller's arena.
 */

#include "client/tools/jsonl.h"

#include "client/tools/base64.h"
#include "client/tools/json.h"
#include "common/cell.h"

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

/* Adds one element of "cells" to the record. */
static enum cellar_status cell_decode(const struct cellar_json *cell,
                                      const struct cellar_jsonl_defaults *defaults,
                                      struct cellar_arena *arena, struct cellar_record *record,
                                      struct cellar_error *error)
{
    static const char *const names[] = {"family", "qualifier", "timestamp", "value", NULL};
    struct cellar_record_cell found = {.timestamp_us = defaults->timestamp_us};
    if (cell->kind != CELLAR_JSON_OBJECT) {
        return refuse(error, "cells", "an array of objects");
    }
    CELLAR_TRY(members_check(cell, names, error));
    CELLAR_TRY(family_get(cell, defaults, arena, &found.family, error));
    CELLAR_TRY(bytes_get(cell, "qualifier", arena, &found.qualifier, error));
    CELLAR_TRY(bytes_get(cell, "value", arena, &found.value, error));
    const struct cellar_json *timestamp = cellar_json_member(cell, "timestamp");
    if (timestamp != NULL && timestamp->kind != CELLAR_JSON_NULL &&
        (timestamp->kind != CELLAR_JSON_NUMBER ||
         !cellar_json_integer(timestamp, &found.timestamp_us) || found.timestamp_us < 0)) {
        return refuse(error, "timestamp", "microseconds since 1970, a whole number >= 0");
    }
    CELLAR_ASSERT(found.timestamp_us >= 0);
    return cellar_record_add(record, &found, error);
}

enum cellar_status cellar_jsonl_decode(struct cellar_slice line,
                                       const struct cellar_jsonl_defaults *defaults,
                                       struct cellar_arena *arena, struct cellar_record *record,
                                       struct cellar_error *error)
{
    static const char *const names[] = {"row", "cells", NULL};
    const struct cellar_json *root = NULL;
    struct cellar_slice key = {NULL, 0};
    CELLAR_ASSERT(defaults->timestamp_us >= 0);
    CELLAR_TRY(cellar_json_read(line, arena, &root, error));
    if (root->kind != CELLAR_JSON_OBJECT) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A line must be an object with \"row\" and \"cells\"");
    }
    CELLAR_TRY(members_check(root, names, error));
    CELLAR_TRY(bytes_get(root, "row", arena, &key, error));
    if (key.bytes == 0 || key.bytes > CELLAR_ROW_BYTES_MAX) {
        return refuse(error, "row", "1 to 4096 bytes");
    }
    CELLAR_TRY(cellar_record_key(record, key, error));
    const struct cellar_json *cells = cellar_json_member(root, "cells");
    if (cells == NULL || cells->kind != CELLAR_JSON_ARRAY || cells->children == NULL) {
        return refuse(error, "cells", "an array of one cell or more");
    }
    for (const struct cellar_json *cell = cells->children; cell != NULL; cell = cell->next) {
        CELLAR_TRY(cell_decode(cell, defaults, arena, record, error));
    }
    return CELLAR_OK;
}
