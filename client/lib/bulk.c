/*
 * Bulk loads: rows in key order into an empty table or range, seen all at once.
 *
 *     begin -> rows are packed into a request -> sent when it is large enough ... -> commit
 *                                                                              \-> abort
 *
 * Rows are encoded as they come, in the packed form in which the server keeps them, so that a
 * request is one buffer whose head is written in front of it when it is sent. A large row is a
 * request by itself, and its memory is given back when it is sent. Nothing of a load is
 * sent twice: the server ends it with its connection, and rows that may have been taken cannot be
 * told from rows that were not. So the first failure stays: all later calls return it.
 *
 * The order of keys is checked here, as the request would be refused in which the mistake is met
 * some thousand rows later; everything else is the server's to check. A load belongs to one thread
 * at a time.
 */
#include <cellar/cellar.h>

#include <inttypes.h>

#include "client/lib/call.h"
#include "client/lib/mutations.h"
#include "common/mem.h"
#include "common/segment_cells.h"

#define REQUEST_BYTES 1000000u     /* of rows: with what is around them, one frame */
#define REQUEST_BYTES_MAX 4000000u /* of several rows */
#define ROW_BYTES_MAX (CELLAR_REQUEST_BYTES_MAX - 64u) /* beside what is around the rows */
#define CELL_COUNT_MAX (UINT32_MAX / CELLAR_CELL_ELEMENTS)
#define HEADER_BYTES 5u /* of an array, in its longest form */

struct cellar_bulk {
    struct cellar_client *client;
    uint64_t load;
    uint64_t number;           /* of the next request */
    struct cellar_buffer rows; /* room for the array's head, then rows */
    uint32_t row_count;        /* of them */
    struct cellar_buffer last; /* the last row's key */
    struct cellar_error error; /* the first failure */
    bool is_begun;             /* and neither committed nor aborted */
};

/* ---- requests -------------------------------------------------------------------------------- */

/* Sends a request of the load and takes its answer's body. */
static enum cellar_status request_run(struct cellar_bulk *bulk,
                                      const struct cellar_request *request,
                                      struct cellar_call *call, struct cellar_buffer *reply)
{
    int64_t deadline_us = 0;
    CELLAR_ASSERT(request->safety == CELLAR_SAFETY_WRITE);
    CELLAR_TRY(cellar_call_deadline(bulk->client, call, &deadline_us, &bulk->error));
    enum cellar_status status =
        cellar_call_run(bulk->client, request, deadline_us, reply, &bulk->error);
    CELLAR_ASSERT(status == bulk->error.code);
    return status;
}

static void reply_refuse(struct cellar_bulk *bulk, const char *operation)
{
    CELLAR_ASSERT(operation != NULL);
    (void)cellar_error_set(&bulk->error, CELLAR_IO_ERROR,
                           "The server broke the protocol: %s's answer cannot be read", operation);
}

/* Leaves room for the array's head alone; what a large row took is given back. */
static void rows_clear(struct cellar_bulk *bulk)
{
    if (bulk->rows.capacity > 2 * REQUEST_BYTES_MAX) {
        cellar_buffer_fini(&bulk->rows);
        if (cellar_buffer_reserve(&bulk->rows, HEADER_BYTES) != CELLAR_OK) {
            (void)cellar_error_set(&bulk->error, CELLAR_NO_MEMORY, "No memory for a bulk load");
            return;
        }
    }
    CELLAR_ASSERT(bulk->rows.capacity >= HEADER_BYTES);
    bulk->rows.bytes = HEADER_BYTES;
}

/* Sends the rows that are there. The array's head is of one length, whatever the count. */
static void rows_flush(struct cellar_bulk *bulk, struct cellar_call *call)
{
    struct cellar_buffer reply = {0};
    struct cellar_msg_bulk_rows_request message = {
        .load = bulk->load, .number = bulk->number, .rows = cellar_slice_of(&bulk->rows)};
    const struct cellar_request request = {.operation = CELLAR_OP_BULK_ROWS,
                                           .safety = CELLAR_SAFETY_WRITE,
                                           .type = &cellar_msg_bulk_rows_request_type,
                                           .message = &message,
                                           .timeout_us = &message.timeout_us};
    if (bulk->error.code != CELLAR_OK || bulk->row_count == 0) {
        return;
    }
    CELLAR_ASSERT(bulk->rows.bytes > HEADER_BYTES);
    bulk->rows.data[0] = 0xDD; /* array 32 */
    cellar_put_u32be(bulk->rows.data + 1, bulk->row_count);
    if (request_run(bulk, &request, call, &reply) == CELLAR_OK) {
        bulk->number++;
        bulk->row_count = 0;
        rows_clear(bulk);
    }
    cellar_buffer_fini(&reply);
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void begin_run(struct cellar_bulk *bulk, const char *table,
                      const struct cellar_bulk_range *range, struct cellar_call *call)
{
    struct cellar_buffer reply = {0};
    struct cellar_msg_bulk_begin_reply begun;
    struct cellar_msg_bulk_begin_request message = {0};
    const struct cellar_request request = {.operation = CELLAR_OP_BULK_BEGIN,
                                           .safety = CELLAR_SAFETY_WRITE,
                                           .type = &cellar_msg_bulk_begin_request_type,
                                           .message = &message,
                                           .table = &message.table,
                                           .timeout_us = &message.timeout_us};
    if (range != NULL) {
        message.start = cellar_view_slice(range->start);
        message.end = cellar_view_slice(range->end);
    }
    CELLAR_ASSERT(!bulk->is_begun);
    if (cellar_call_table(bulk->client, &request, table, call, &reply, &bulk->error) == CELLAR_OK) {
        if (cellar_message_decode(&cellar_msg_bulk_begin_reply_type, cellar_slice_of(&reply),
                                  &begun, CELLAR_UNKNOWN_SKIP, &bulk->error) != CELLAR_OK) {
            reply_refuse(bulk, "BULK_BEGIN");
        } else {
            bulk->load = begun.load;
            bulk->is_begun = true;
        }
    }
    cellar_buffer_fini(&reply);
}

enum cellar_code cellar_bulk_begin(struct cellar_client *client, const char *table,
                                   const struct cellar_bulk_range *range, struct cellar_call *call,
                                   struct cellar_bulk **bulk)
{
    struct cellar_error error;
    CELLAR_ASSERT(client != NULL && table != NULL);
    cellar_error_clear(&error);
    struct cellar_bulk *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL || cellar_buffer_reserve(&made->rows, HEADER_BYTES) != CELLAR_OK) {
        cellar_mem_free(made);
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a bulk load");
        return cellar_client_finish(client, "BULK_BEGIN", call, &error);
    }
    made->client = client;
    made->rows.bytes = HEADER_BYTES;
    cellar_error_clear(&made->error);
    begin_run(made, table, range, call);
    error = made->error;
    if (error.code == CELLAR_OK) {
        *bulk = made;
    } else {
        cellar_bulk_free(made);
    }
    return cellar_client_finish(client, "BULK_BEGIN", call, &error);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Packs a row behind the others; CELLAR_NO_MEMORY leaves them as they were. */
static enum cellar_status row_pack(struct cellar_buffer *to, struct cellar_slice key,
                                   const struct cellar_bulk_cell *cells, size_t cell_count)
{
    struct cellar_cell previous = {.timestamp_us = 0};
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_bytes(to, key));
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)cell_count * CELLAR_CELL_ELEMENTS));
    for (size_t i = 0; i < cell_count; i++) {
        const struct cellar_cell cell = {cellar_slice_text(cells[i].family),
                                         cellar_view_slice(cells[i].qualifier),
                                         cells[i].timestamp_us, cellar_view_slice(cells[i].value)};
        CELLAR_TRY(cellar_buffer_reserve(to, cellar_cells_bytes_max(&cell)));
        uint8_t *end =
            cellar_cells_put(to->data + to->bytes, &cell, 1, i == 0 ? NULL : &previous, 1);
        to->bytes = (size_t)(end - to->data);
        previous = cell;
    }
    CELLAR_ASSERT(to->bytes <= to->capacity);
    return CELLAR_OK;
}

static enum cellar_status row_refuse(struct cellar_bulk *bulk, uint64_t bytes)
{
    CELLAR_ASSERT(bytes > ROW_BYTES_MAX);
    return cellar_error_set(&bulk->error, CELLAR_INVALID_ARGUMENT,
                            "A row of a bulk load may have at most %u bytes, but has %" PRIu64
                            " at least",
                            ROW_BYTES_MAX, bytes);
}

/* What would make cells impossible to encode; a row that is too large by its values alone is not
 * copied to see it. */
static enum cellar_status cells_check(struct cellar_bulk *bulk,
                                      const struct cellar_bulk_cell *cells, size_t cell_count)
{
    struct cellar_error *error = &bulk->error;
    uint64_t bytes = 0;
    for (size_t i = 0; i < cell_count; i++) {
        CELLAR_ASSERT(cells[i].family != NULL);
        CELLAR_TRY(cellar_family_check(cellar_slice_text(cells[i].family), error));
        CELLAR_TRY(cellar_qualifier_check(cellar_view_slice(cells[i].qualifier), error));
        if (cells[i].value.bytes > CELLAR_VALUE_BYTES_MAX) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "A value may have at most %u bytes, but has %zu",
                                    CELLAR_VALUE_BYTES_MAX, cells[i].value.bytes);
        }
        if (cells[i].timestamp_us < 0) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "Timestamps of a bulk load must be >= 0, but got %" PRId64,
                                    cells[i].timestamp_us);
        }
        bytes += cells[i].value.bytes;
    }
    return bytes <= ROW_BYTES_MAX ? CELLAR_OK : row_refuse(bulk, bytes);
}

/* What would make the row impossible to encode, and the order of keys. */
static enum cellar_status row_check(struct cellar_bulk *bulk, struct cellar_slice key,
                                    const struct cellar_bulk_cell *cells, size_t cell_count)
{
    struct cellar_error *error = &bulk->error;
    CELLAR_TRY(cellar_row_check(key, error));
    if (bulk->last.bytes > 0 && cellar_slice_compare(cellar_slice_of(&bulk->last), key) >= 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The rows of a bulk load must come in the order of their keys, "
                                "each once");
    }
    if (cell_count == 0 || cell_count > CELL_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A row of a bulk load must have 1 to %u cells, but has %zu",
                                CELL_COUNT_MAX, cell_count);
    }
    return cells_check(bulk, cells, cell_count);
}

static void row_add(struct cellar_bulk *bulk, struct cellar_slice key,
                    const struct cellar_bulk_cell *cells, size_t cell_count)
{
    size_t bytes = bulk->rows.bytes;
    cellar_buffer_clear(&bulk->last);
    CELLAR_ASSERT(bulk->is_begun && bytes >= HEADER_BYTES);
    if (cellar_buffer_append(&bulk->last, key.data, key.bytes) != CELLAR_OK ||
        row_pack(&bulk->rows, key, cells, cell_count) != CELLAR_OK) {
        bulk->rows.bytes = bytes;
        (void)cellar_error_set(&bulk->error, CELLAR_NO_MEMORY, "No memory for a row");
        return;
    }
    if (bulk->rows.bytes - bytes > ROW_BYTES_MAX) {
        (void)row_refuse(bulk, bulk->rows.bytes - bytes);
        return;
    }
    bulk->row_count++;
}

/* What a row takes, about and at most. */
static uint64_t row_bytes_max(struct cellar_slice key, const struct cellar_bulk_cell *cells,
                              size_t cell_count)
{
    uint64_t bytes = key.bytes;
    for (size_t i = 0; i < cell_count; i++) {
        const struct cellar_cell cell = {cellar_slice_text(cells[i].family),
                                         cellar_view_slice(cells[i].qualifier),
                                         cells[i].timestamp_us, cellar_view_slice(cells[i].value)};
        bytes += cellar_cells_bytes_max(&cell);
    }
    CELLAR_ASSERT(bytes > 0);
    return bytes;
}

enum cellar_code cellar_bulk_row(struct cellar_bulk *bulk, struct cellar_view key,
                                 const struct cellar_bulk_cell *cells, size_t cell_count,
                                 struct cellar_call *call)
{
    struct cellar_slice row = cellar_view_slice(key);
    CELLAR_ASSERT(bulk != NULL && bulk->is_begun);
    CELLAR_ASSERT(cells != NULL || cell_count == 0);
    if (bulk->error.code == CELLAR_OK && row_check(bulk, row, cells, cell_count) == CELLAR_OK) {
        if (bulk->rows.bytes + row_bytes_max(row, cells, cell_count) > REQUEST_BYTES_MAX) {
            rows_flush(bulk, call);
        }
        if (bulk->error.code == CELLAR_OK) {
            row_add(bulk, row, cells, cell_count);
        }
        if (bulk->rows.bytes >= REQUEST_BYTES) {
            rows_flush(bulk, call);
        }
    }
    return cellar_client_finish(bulk->client, "BULK_ROWS", call, &bulk->error);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* COMMIT or ABORT. */
static void end_run(struct cellar_bulk *bulk, uint16_t operation, struct cellar_call *call,
                    struct cellar_buffer *reply)
{
    struct cellar_msg_bulk_end_request message = {.load = bulk->load};
    const struct cellar_request request = {.operation = operation,
                                           .safety = CELLAR_SAFETY_WRITE,
                                           .type = &cellar_msg_bulk_end_request_type,
                                           .message = &message,
                                           .timeout_us = &message.timeout_us};
    CELLAR_ASSERT(bulk->is_begun);
    bulk->is_begun = false;
    (void)request_run(bulk, &request, call, reply);
}

enum cellar_code cellar_bulk_commit(struct cellar_bulk *bulk, struct cellar_call *call,
                                    struct cellar_bulk_counts *counts)
{
    struct cellar_buffer reply = {0};
    struct cellar_msg_bulk_commit_reply committed;
    CELLAR_ASSERT(bulk != NULL && bulk->is_begun && counts != NULL);
    rows_flush(bulk, call);
    if (bulk->error.code == CELLAR_OK) {
        end_run(bulk, CELLAR_OP_BULK_COMMIT, call, &reply);
    }
    if (bulk->error.code == CELLAR_OK) {
        if (cellar_message_decode(&cellar_msg_bulk_commit_reply_type, cellar_slice_of(&reply),
                                  &committed, CELLAR_UNKNOWN_SKIP, &bulk->error) != CELLAR_OK) {
            reply_refuse(bulk, "BULK_COMMIT");
        } else {
            *counts = (struct cellar_bulk_counts){committed.rows, committed.cells, committed.bytes};
        }
    }
    cellar_buffer_fini(&reply);
    return cellar_client_finish(bulk->client, "BULK_COMMIT", call, &bulk->error);
}

enum cellar_code cellar_bulk_abort(struct cellar_bulk *bulk, struct cellar_call *call)
{
    struct cellar_buffer reply = {0};
    CELLAR_ASSERT(bulk != NULL);
    cellar_error_clear(&bulk->error);
    if (bulk->is_begun) {
        end_run(bulk, CELLAR_OP_BULK_ABORT, call, &reply);
    }
    if (bulk->error.code == CELLAR_NOT_FOUND) {
        cellar_error_clear(&bulk->error); /* its failure has ended it already */
    }
    cellar_buffer_fini(&reply);
    return cellar_client_finish(bulk->client, "BULK_ABORT", call, &bulk->error);
}

void cellar_bulk_free(struct cellar_bulk *bulk)
{
    if (bulk == NULL) {
        return;
    }
    struct cellar_call call = {0};
    if (bulk->is_begun && cellar_bulk_abort(bulk, &call) != CELLAR_E_OK) {
        CELLAR_ASSERT(!bulk->is_begun); /* the server ends it when nobody goes on */
    }
    cellar_buffer_fini(&bulk->rows);
    cellar_buffer_fini(&bulk->last);
    cellar_mem_free(bulk);
}
