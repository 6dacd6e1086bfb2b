/*
 * The rest of a read.
 *
 * The rows of the request, keys and ranges as the program gave them, become the sorted and disjoint
 * ranges that the server makes of them too. What is not behind the last row is cut off:
 *
 *     asked for    [a ....... f)     [k]     [p ...... t)
 *     last row                        k
 *     left                                   [p ...... t)       and of a limit what has not come
 *
 * Backwards the same from the other end. A key stays a key, so that the rest of a long list of keys
 * is never longer than the list was. An empty list of rows would ask for every row of the table,
 * which is why "no row is left" is told apart.
 *
 * Pure; a read owns its `resume`.
 */

#include "client/lib/resume.h"

#include <string.h>

#include "common/mem.h"
#include "common/message.h"
#include "common/rowset.h"

/* Encoded elements of the two arrays, and how many. */
struct left {
    struct cellar_buffer keys;
    struct cellar_buffer ranges;
    uint32_t key_count;
    uint32_t range_count;
};

void cellar_resume_fini(struct cellar_resume *resume)
{
    CELLAR_ASSERT(resume->count == 0 || resume->last.bytes > 0);
    cellar_buffer_fini(&resume->last);
    resume->count = 0;
}

enum cellar_status cellar_resume_note(struct cellar_resume *resume, struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0 && resume->count < UINT64_MAX);
    cellar_buffer_clear(&resume->last);
    CELLAR_TRY(cellar_buffer_append(&resume->last, key.data, key.bytes));
    resume->count++;
    return CELLAR_OK;
}

/* Whether `next` is the first key behind `key`. */
static bool is_successor(struct cellar_slice next, struct cellar_slice key)
{
    CELLAR_ASSERT(next.data != NULL || next.bytes == 0);
    return next.bytes == key.bytes + 1 && next.data[key.bytes] == 0 &&
           (key.bytes == 0 || memcmp(next.data, key.data, key.bytes) == 0);
}

/* Cuts off what came; false when nothing is left of the range. */
static bool range_cut(struct cellar_range *range, struct cellar_slice last, bool is_reversed,
                      bool *is_start_open)
{
    bool ends_above = range->end.bytes == 0 || cellar_slice_compare(range->end, last) > 0;
    bool starts_below = cellar_slice_compare(range->start, last) < 0;
    CELLAR_ASSERT(last.bytes > 0);
    *is_start_open = false;
    if (is_reversed) {
        range->end = ends_above ? last : range->end;
        return starts_below;
    }
    if (starts_below || cellar_slice_equal(range->start, last)) {
        range->start = last;
        *is_start_open = true;
        return ends_above && !is_successor(range->end, last);
    }
    return true;
}

/* Appends a bound: its key, or nil for none, and whether it is closed. */
static enum cellar_status bound_put(struct cellar_buffer *to, struct cellar_slice key,
                                    bool is_closed)
{
    CELLAR_ASSERT(key.bytes <= CELLAR_RANGE_BOUND_BYTES_MAX);
    CELLAR_TRY(key.bytes == 0 ? cellar_wire_put_nil(to) : cellar_wire_put_bytes(to, key));
    return cellar_wire_put_bool(to, is_closed);
}

/* Appends what is left of a range to the keys or to the ranges. */
static enum cellar_status left_put(struct left *left, const struct cellar_range *range,
                                   bool is_start_open)
{
    if (!is_start_open && range->start.bytes > 0 && is_successor(range->end, range->start)) {
        left->key_count++;
        return cellar_wire_put_bytes(&left->keys, range->start);
    }
    left->range_count++;
    CELLAR_ASSERT(left->range_count <= CELLAR_ROWSET_COUNT_MAX);
    CELLAR_TRY(cellar_wire_put_array(&left->ranges, 4));
    CELLAR_TRY(bound_put(&left->ranges, range->start, !is_start_open));
    return bound_put(&left->ranges, range->end, false);
}

/* Finds the rows that are left of a request. */
static enum cellar_status left_make(const struct cellar_msg_read_rows_request *message,
                                    struct cellar_slice last, struct cellar_arena *arena,
                                    struct left *left, struct cellar_error *error)
{
    struct cellar_rowset rows;
    enum cellar_status status = CELLAR_OK;
    CELLAR_TRY(cellar_rowset_decode(message->row_keys, message->ranges, arena, &rows, error));
    for (size_t index = 0; status == CELLAR_OK && index < rows.count; index++) {
        bool is_start_open;
        struct cellar_range range = rows.ranges[index];
        if (range_cut(&range, last, message->reversed, &is_start_open)) {
            status = left_put(left, &range, is_start_open);
        }
    }
    CELLAR_ASSERT(left->key_count + left->range_count <= rows.count);
    return status == CELLAR_OK ? CELLAR_OK
                               : cellar_error_set(error, status, "No memory for a read");
}

/* Makes an array of encoded elements in `to`; nothing when there is none. */
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

/* Replaces the body by a message for the rows that are left. */
static enum cellar_status body_replace(struct cellar_buffer *body,
                                       struct cellar_msg_read_rows_request *message,
                                       const struct left *left)
{
    struct cellar_buffer keys = {0};
    struct cellar_buffer ranges = {0};
    struct cellar_buffer made = {0};
    enum cellar_status status = array_make(&keys, &left->keys, left->key_count);
    CELLAR_ASSERT(left->key_count + left->range_count > 0);
    if (status == CELLAR_OK) {
        status = array_make(&ranges, &left->ranges, left->range_count);
    }
    if (status == CELLAR_OK) {
        message->row_keys = cellar_slice_of(&keys);
        message->ranges = cellar_slice_of(&ranges);
        status = cellar_message_encode(&cellar_msg_read_rows_request_type, message, &made);
    }
    if (status == CELLAR_OK) {
        cellar_buffer_fini(body);
        *body = made;
    } else {
        cellar_buffer_fini(&made);
    }
    cellar_buffer_fini(&keys);
    cellar_buffer_fini(&ranges);
    return status;
}

enum cellar_status cellar_resume_body(struct cellar_resume *resume, struct cellar_buffer *body,
                                      uint64_t timeout_us, bool *is_over,
                                      struct cellar_error *error)
{
    struct cellar_msg_read_rows_request message;
    struct cellar_arena arena = {0};
    struct left left = {.key_count = 0};
    CELLAR_ASSERT(resume->count > 0);
    CELLAR_TRY(cellar_message_decode(&cellar_msg_read_rows_request_type, cellar_slice_of(body),
                                     &message, CELLAR_UNKNOWN_REFUSE, error));
    *is_over = message.rows_limit > 0 && resume->count >= (uint64_t)message.rows_limit;
    if (*is_over) {
        return CELLAR_OK;
    }
    message.rows_limit -= message.rows_limit > 0 ? (int64_t)resume->count : 0;
    message.timeout_us = timeout_us;
    message.present = 0; /* what is empty now is left out */
    enum cellar_status status =
        left_make(&message, cellar_slice_of(&resume->last), &arena, &left, error);
    *is_over = status == CELLAR_OK && left.key_count + left.range_count == 0;
    if (status == CELLAR_OK && !*is_over) {
        status = body_replace(body, &message, &left);
        if (status != CELLAR_OK) {
            (void)cellar_error_set(error, status, "No memory for a read");
        } else {
            resume->count = 0;
        }
    }
    cellar_buffer_fini(&left.keys);
    cellar_buffer_fini(&left.ranges);
    cellar_arena_fini(&arena);
    return status;
}
