/*
 * The builder of reads.
 *
 * Keys, ranges and columns are encoded as they come, each kind into a buffer of its own; the
 * arrays' headers are written when the request is made. Ranges are not joined or sorted here: the
 * server does that for every client. A prefix becomes the range from itself to the first key behind
 * it.
 *
 * The first failure stays in the read and every later function does nothing. A read belongs to one
 * thread at a time; scans copy what they need of it.
 */

#include "client/lib/read.h"

#include <string.h>

#include "client/lib/mutations.h"
#include "common/mem.h"
#include "common/rowset.h"

#define COLUMN_COUNT_MAX 100000u

struct cellar_read *cellar_read_new(void)
{
    struct cellar_read *read = cellar_mem_zalloc(1, sizeof *read);
    CELLAR_ASSERT(read == NULL || read->error.code == CELLAR_OK);
    return read;
}

void cellar_read_free(struct cellar_read *read)
{
    if (read != NULL) {
        CELLAR_ASSERT(read->key_count <= CELLAR_ROWSET_COUNT_MAX);
        cellar_buffer_fini(&read->keys);
        cellar_buffer_fini(&read->ranges);
        cellar_buffer_fini(&read->columns);
        cellar_mem_free(read);
    }
}

/* False for a read that was never made or has failed: adding to it does nothing. */
static bool is_usable(const struct cellar_read *read)
{
    return read != NULL && read->error.code == CELLAR_OK;
}

/* Notes the outcome of adding something. Half of an element may stand in the buffer after a
 * failure; the read is never sent then. */
static void read_note(struct cellar_read *read, enum cellar_status status, uint32_t *count)
{
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    if (status == CELLAR_OK) {
        (*count)++;
    } else {
        (void)cellar_error_set(&read->error, status, "No memory for a read");
    }
}

/* Whether one more key or range fits; notes the failure when it does not. The server's limits, told
 * where the program can see which key was too many. */
static bool rows_check(struct cellar_read *read, size_t bytes)
{
    uint32_t count = read->key_count + read->range_count;
    CELLAR_ASSERT(count <= CELLAR_ROWSET_COUNT_MAX);
    if (count == CELLAR_ROWSET_COUNT_MAX) {
        (void)cellar_error_set(&read->error, CELLAR_INVALID_ARGUMENT,
                               "A read must have at most %u keys and ranges",
                               CELLAR_ROWSET_COUNT_MAX);
        return false;
    }
    if (bytes > CELLAR_REQUEST_BYTES_MAX ||
        read->keys.bytes + read->ranges.bytes > CELLAR_REQUEST_BYTES_MAX - bytes) {
        (void)cellar_error_set(&read->error, CELLAR_INVALID_ARGUMENT,
                               "A read's keys and ranges must have at most %u bytes",
                               CELLAR_REQUEST_BYTES_MAX);
        return false;
    }
    return true;
}

void cellar_read_row(struct cellar_read *read, struct cellar_view key)
{
    if (!is_usable(read) || !rows_check(read, key.bytes)) {
        return;
    }
    CELLAR_ASSERT(key.data != NULL || key.bytes == 0);
    read_note(read, cellar_wire_put_bytes(&read->keys, cellar_view_slice(key)), &read->key_count);
}

/* Appends one bound: its key or nil, and whether it is closed. */
static enum cellar_status bound_put(struct cellar_buffer *to, const struct cellar_bound *bound)
{
    CELLAR_ASSERT(bound->kind <= CELLAR_BOUND_OPEN);
    if (bound->kind == CELLAR_BOUND_NONE) {
        CELLAR_TRY(cellar_wire_put_nil(to));
    } else {
        CELLAR_TRY(cellar_wire_put_bytes(to, cellar_view_slice(bound->key)));
    }
    return cellar_wire_put_bool(to, bound->kind == CELLAR_BOUND_CLOSED);
}

/* Appends [start, is closed, end, is closed]. */
static enum cellar_status range_put(struct cellar_buffer *to, const struct cellar_bound *start,
                                    const struct cellar_bound *end)
{
    CELLAR_ASSERT(start != end);
    CELLAR_TRY(cellar_wire_put_array(to, 4));
    CELLAR_TRY(bound_put(to, start));
    return bound_put(to, end);
}

void cellar_read_range(struct cellar_read *read, struct cellar_bound start, struct cellar_bound end)
{
    if (!is_usable(read) || !rows_check(read, start.key.bytes + end.key.bytes)) {
        return;
    }
    CELLAR_ASSERT(start.kind <= CELLAR_BOUND_OPEN && end.kind <= CELLAR_BOUND_OPEN);
    read_note(read, range_put(&read->ranges, &start, &end), &read->range_count);
}

/* A prefix of FF bytes has no key behind it, so its range has no end. */
void cellar_read_prefix(struct cellar_read *read, struct cellar_view prefix)
{
    uint8_t end[CELLAR_RANGE_BOUND_BYTES_MAX];
    if (!is_usable(read)) {
        return;
    }
    if (prefix.bytes > CELLAR_ROW_BYTES_MAX) {
        (void)cellar_error_set(&read->error, CELLAR_INVALID_ARGUMENT,
                               "A prefix must have at most %u bytes, but got %zu",
                               CELLAR_ROW_BYTES_MAX, prefix.bytes);
        return;
    }
    size_t end_bytes = cellar_prefix_end(cellar_view_slice(prefix), end);
    CELLAR_ASSERT(end_bytes <= prefix.bytes);
    cellar_read_range(read, prefix.bytes == 0 ? cellar_bound_none() : cellar_bound_closed(prefix),
                      end_bytes == 0 ? cellar_bound_none()
                                     : cellar_bound_open(cellar_view_of(end, end_bytes)));
}

/* Appends [family, qualifier], or [family, nil] for the whole family. */
static enum cellar_status column_put(struct cellar_buffer *to, const char *family,
                                     const struct cellar_view *qualifier)
{
    CELLAR_ASSERT(family != NULL);
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(family)));
    if (qualifier == NULL) {
        return cellar_wire_put_nil(to);
    }
    return cellar_wire_put_bytes(to, cellar_view_slice(*qualifier));
}

/* Adds a family (qualifier NULL) or a column, up to the limit. */
static void column_add(struct cellar_read *read, const char *family,
                       const struct cellar_view *qualifier)
{
    if (!is_usable(read)) {
        return;
    }
    CELLAR_ASSERT(read->column_count <= COLUMN_COUNT_MAX);
    if (read->column_count == COLUMN_COUNT_MAX) {
        (void)cellar_error_set(&read->error, CELLAR_INVALID_ARGUMENT,
                               "A read must name at most %u families and columns",
                               COLUMN_COUNT_MAX);
        return;
    }
    read_note(read, column_put(&read->columns, family, qualifier), &read->column_count);
}

void cellar_read_family(struct cellar_read *read, const char *family)
{
    CELLAR_ASSERT(family != NULL);
    column_add(read, family, NULL);
}

void cellar_read_column(struct cellar_read *read, const char *family, struct cellar_view qualifier)
{
    CELLAR_ASSERT(family != NULL);
    column_add(read, family, &qualifier);
}

void cellar_read_versions(struct cellar_read *read, int64_t versions)
{
    if (read != NULL) {
        read->versions = versions;
    }
}

void cellar_read_limit(struct cellar_read *read, int64_t rows)
{
    if (read != NULL) {
        read->rows_limit = rows;
    }
}

void cellar_read_reverse(struct cellar_read *read)
{
    if (read != NULL) {
        read->is_reversed = true;
    }
}

void cellar_read_keys_only(struct cellar_read *read)
{
    if (read != NULL) {
        read->is_keys_only = true;
    }
}

enum cellar_status cellar_read_error(const struct cellar_read *read, struct cellar_error *error)
{
    CELLAR_ASSERT(error != NULL);
    if (read == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a read");
    }
    *error = read->error;
    return error->code;
}

/* The first key or bound is enough to find a server that knows the rest; a backward read begins
 * elsewhere, and asks anyone. */
bool cellar_read_place(const struct cellar_read *read, struct cellar_slice *row)
{
    CELLAR_ASSERT(read->error.code == CELLAR_OK);
    if (read->is_reversed) {
        return false;
    }
    if (read->key_count > 0) {
        struct cellar_cursor keys = cellar_cursor_make(cellar_slice_of(&read->keys));
        return cellar_wire_get_bytes(&keys, row);
    }
    uint32_t count;
    struct cellar_cursor ranges = cellar_cursor_make(cellar_slice_of(&read->ranges));
    return read->range_count > 0 && cellar_wire_get_array(&ranges, &count) &&
           cellar_wire_get_bytes(&ranges, row);
}

/* Makes an array of encoded elements in `to` (empty before); nothing when there is none. */
static enum cellar_status array_make(struct cellar_buffer *to, const struct cellar_buffer *elements,
                                     uint32_t count)
{
    CELLAR_ASSERT(to->bytes == 0);
    if (count == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_wire_put_array(to, count));
    return cellar_buffer_append(to, elements->data, elements->bytes);
}

/* Headers come last, as only now the counts are known; the read can be used again. */
enum cellar_status cellar_read_encode(const struct cellar_read *read,
                                      const struct cellar_read_terms *terms,
                                      struct cellar_buffer *to)
{
    struct cellar_buffer keys = {0};
    struct cellar_buffer ranges = {0};
    struct cellar_buffer columns = {0};
    CELLAR_ASSERT(read->error.code == CELLAR_OK);
    enum cellar_status status = array_make(&keys, &read->keys, read->key_count);
    if (status == CELLAR_OK) {
        status = array_make(&ranges, &read->ranges, read->range_count);
    }
    if (status == CELLAR_OK) {
        status = array_make(&columns, &read->columns, read->column_count);
    }
    if (status == CELLAR_OK) {
        struct cellar_msg_read_rows_request message = {.table = terms->table,
                                                       .row_keys = cellar_slice_of(&keys),
                                                       .ranges = cellar_slice_of(&ranges),
                                                       .rows_limit = read->rows_limit,
                                                       .reversed = read->is_reversed,
                                                       .columns = cellar_slice_of(&columns),
                                                       .versions = read->versions,
                                                       .credit_bytes = terms->credit_bytes,
                                                       .keys_only = read->is_keys_only,
                                                       .timeout_us = terms->timeout_us};
        status = cellar_message_encode(&cellar_msg_read_rows_request_type, &message, to);
    }
    cellar_buffer_fini(&keys);
    cellar_buffer_fini(&ranges);
    cellar_buffer_fini(&columns);
    return status;
}
