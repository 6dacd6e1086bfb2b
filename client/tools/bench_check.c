/*
 * What was written, and what may be read.
 *
 * A cell's writes are numbered as they are sent. Several may be in flight at once, and which of
 * them the server applies last is not known; so a cell has a floor, the first write of the last
 * group that overlapped in time, known when the group is over. A read may answer with any version
 * from the floor at its sending to the newest one sent at its answer:
 *
 *     writes    3---     5-----         8---
 *                 4----     6--7-----
 *     floor     2      | 3          | 5       | 8
 *
 * That needs no clock, never accuses a server that is right, and finds lost writes, old values and
 * cells that belong elsewhere. In scans the floor counts only when no put was in flight meanwhile.
 *
 * Inserted records are numbered too; those below `inserts_settled` are answered, without a gap.
 * Events of a timeline are numbered from 0; all below `settled` are answered.
 *
 * One thread; pure but for memory.
 */

#include "client/tools/bench_check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/tools/bench_random.h"
#include "common/mem.h"

#define ALL_FIELDS ((1u << CELLAR_BENCH_FIELD_COUNT) - 1)

struct cellar_bench_cell_state {
    uint32_t sent;      /* the newest version sent */
    uint32_t floor;     /* the oldest one that can still be there */
    uint32_t first;     /* of the writes in flight, the first of the group */
    uint32_t in_flight; /* writes */
};

struct cellar_bench_timeline {
    uint32_t sent;
    uint32_t settled;
    uint32_t in_flight;
};

static const struct {
    const char *text;
    bool is_write;
} kinds[CELLAR_BENCH_KIND_COUNT] = {
    [CELLAR_BENCH_PUT_ROWS] = {"put-rows", true},
    [CELLAR_BENCH_PUT_COLUMNS] = {"put-columns", true},
    [CELLAR_BENCH_PUT_EVENTS] = {"put-events", true},
    [CELLAR_BENCH_PUT_CELL] = {"put-cell", true},
    [CELLAR_BENCH_GET_CELL] = {"get-cell", false},
    [CELLAR_BENCH_GET_ROW] = {"get-row", false},
    [CELLAR_BENCH_SCAN] = {"scan", false},
    [CELLAR_BENCH_SCAN_ALL] = {"scan-all", false},
    [CELLAR_BENCH_SLICE] = {"slice", false},
    [CELLAR_BENCH_NEWEST] = {"newest", false},
};

bool cellar_bench_kind_is_write(enum cellar_bench_kind kind)
{
    CELLAR_ASSERT((size_t)kind < CELLAR_BENCH_KIND_COUNT);
    return kinds[kind].is_write;
}

const char *cellar_bench_kind_text(enum cellar_bench_kind kind)
{
    CELLAR_ASSERT((size_t)kind < CELLAR_BENCH_KIND_COUNT);
    return kinds[kind].text;
}

/* Orders numbers for qsort(). */
static int number_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

enum cellar_status cellar_bench_state_init(struct cellar_bench_state *state,
                                           const struct cellar_bench_sizes *sizes,
                                           struct cellar_error *error)
{
    CELLAR_ASSERT(state->cells == NULL && sizes->record_count > 0);
    state->sizes = *sizes;
    state->cells =
        cellar_mem_zalloc(sizes->record_count, CELLAR_BENCH_FIELD_COUNT * sizeof *state->cells);
    state->timelines = cellar_mem_zalloc(sizes->timeline_count, sizeof *state->timelines);
    state->numbers = cellar_mem_zalloc(sizes->record_count, sizeof *state->numbers);
    state->insert_is_done = cellar_mem_zalloc(CELLAR_BENCH_INSERTS_MAX, 1);
    if (state->cells == NULL || state->timelines == NULL || state->numbers == NULL ||
        state->insert_is_done == NULL) {
        cellar_bench_state_fini(state);
        return cellar_error_set(error, CELLAR_NO_MEMORY,
                                "No memory to keep track of %" PRIu64 " records",
                                sizes->record_count);
    }
    for (uint64_t record = 0; record < sizes->record_count; record++) {
        state->numbers[record] = cellar_bench_record_number(record);
    }
    qsort(state->numbers, sizes->record_count, sizeof *state->numbers, number_compare);
    return CELLAR_OK;
}

void cellar_bench_state_fini(struct cellar_bench_state *state)
{
    CELLAR_ASSERT(state != NULL);
    cellar_mem_free(state->cells);
    cellar_mem_free(state->timelines);
    cellar_mem_free(state->numbers);
    cellar_mem_free(state->insert_is_done);
    memset(state, 0, sizeof *state);
}

uint64_t cellar_bench_state_records(const struct cellar_bench_state *state)
{
    CELLAR_ASSERT(state->inserts_settled <= state->inserts_sent);
    return state->sizes.record_count + state->inserts_settled;
}

/* The state of one field of a loaded record. */
static struct cellar_bench_cell_state *cell_of(const struct cellar_bench_state *state,
                                               uint64_t record, uint32_t field)
{
    CELLAR_ASSERT(record < state->sizes.record_count && field < CELLAR_BENCH_FIELD_COUNT);
    return &state->cells[record * CELLAR_BENCH_FIELD_COUNT + field];
}

/* The place of the first loaded record whose key's number is not below `number`. The order of keys
 * is that of their mixed numbers, not that in which records were made. */
static uint64_t sorted_find(const struct cellar_bench_state *state, uint64_t number)
{
    uint64_t low = 0;
    uint64_t high = state->sizes.record_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (state->numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= state->sizes.record_count);
    return low;
}

/* Numbers what a write writes. A group of writes begins with the first one in flight; which of a
 * group is applied last nobody can say. */
static void write_begin(struct cellar_bench_state *state, struct cellar_bench_op *op)
{
    CELLAR_ASSERT(cellar_bench_kind_is_write(op->kind));
    if (op->kind == CELLAR_BENCH_PUT_CELL) {
        struct cellar_bench_cell_state *cell = cell_of(state, op->record, op->column);
        op->version = ++cell->sent;
        cell->first = cell->in_flight++ == 0 ? op->version : cell->first;
        state->put_count++;
        state->puts_in_flight++;
    } else if (op->kind == CELLAR_BENCH_PUT_EVENTS) {
        struct cellar_bench_timeline *timeline = &state->timelines[op->record];
        op->version = timeline->sent;
        timeline->sent += op->count;
        timeline->in_flight++;
    } else if (op->is_insert) {
        CELLAR_ASSERT(state->inserts_sent - state->inserts_settled < CELLAR_BENCH_INSERTS_MAX);
        op->record = state->sizes.record_count + state->inserts_sent;
        state->insert_is_done[state->inserts_sent++ % CELLAR_BENCH_INSERTS_MAX] = 0;
    }
}

/* Notes what a read must find at least. */
static void read_begin(const struct cellar_bench_state *state, const struct cellar_bench_op *op,
                       struct cellar_bench_check *check)
{
    bool is_loaded = op->record < state->sizes.record_count;
    CELLAR_ASSERT(!cellar_bench_kind_is_write(op->kind));
    if (op->kind == CELLAR_BENCH_SCAN) {
        check->sorted_at = sorted_find(state, cellar_bench_record_number(op->record));
    } else if (op->kind == CELLAR_BENCH_NEWEST) {
        check->sequence_next = state->timelines[op->record].settled;
    } else if (is_loaded && op->kind != CELLAR_BENCH_SLICE && op->kind != CELLAR_BENCH_SCAN_ALL) {
        for (uint32_t field = 0; field < CELLAR_BENCH_FIELD_COUNT; field++) {
            check->floors[field] = cell_of(state, op->record, field)->floor;
        }
    }
}

void cellar_bench_state_begin(struct cellar_bench_state *state, struct cellar_bench_op *op,
                              struct cellar_bench_check *check)
{
    CELLAR_ASSERT((size_t)op->kind < CELLAR_BENCH_KIND_COUNT);
    memset(check, 0, sizeof *check);
    check->state = state;
    check->op = op;
    if (cellar_bench_kind_is_write(op->kind)) {
        write_begin(state, op);
    } else {
        check->put_count = state->put_count;
        check->puts_in_flight = state->puts_in_flight;
        read_begin(state, op, check);
    }
}

/* Notes that a write was answered. Inserts may be answered in any order; what counts as settled has
 * no gap below it. */
static void write_end(struct cellar_bench_state *state, const struct cellar_bench_op *op)
{
    if (op->kind == CELLAR_BENCH_PUT_CELL) {
        struct cellar_bench_cell_state *cell = cell_of(state, op->record, op->column);
        CELLAR_ASSERT(cell->in_flight > 0 && state->puts_in_flight > 0);
        cell->floor = --cell->in_flight == 0 ? cell->first : cell->floor;
        state->puts_in_flight--;
    } else if (op->kind == CELLAR_BENCH_PUT_EVENTS) {
        struct cellar_bench_timeline *timeline = &state->timelines[op->record];
        CELLAR_ASSERT(timeline->in_flight > 0);
        timeline->settled = --timeline->in_flight == 0 ? timeline->sent : timeline->settled;
    } else if (op->is_insert) {
        uint64_t insert = op->record - state->sizes.record_count;
        state->insert_is_done[insert % CELLAR_BENCH_INSERTS_MAX] = 1;
        while (state->inserts_settled < state->inserts_sent &&
               state->insert_is_done[state->inserts_settled % CELLAR_BENCH_INSERTS_MAX] != 0) {
            state->inserts_settled++;
        }
    }
}

/* ---- checking ------------------------------------------------------------------------------ */

/* The failure of a check: what was read, and what is wrong with it. */
static enum cellar_status wrong(const struct cellar_bench_check *check, const char *what,
                                struct cellar_error *error)
{
    char key[CELLAR_BENCH_KEY_BYTES_MAX];
    enum cellar_bench_kind kind = check->op->kind;
    enum cellar_bench_space space = kind == CELLAR_BENCH_SLICE    ? CELLAR_BENCH_WIDE
                                    : kind == CELLAR_BENCH_NEWEST ? CELLAR_BENCH_TIME
                                                                  : CELLAR_BENCH_USER;
    CELLAR_ASSERT(what != NULL);
    (void)cellar_bench_key(space, check->row_count > 0 ? check->record : check->op->record, key);
    return cellar_error_set(error, CELLAR_DATA_LOSS,
                            "A read (%s) was answered wrongly: at row %s, %s",
                            cellar_bench_kind_text(kind), key, what);
}

/* How many cells each row of the answer must have. */
static uint32_t cells_wanted(const struct cellar_bench_op *op)
{
    CELLAR_ASSERT(!cellar_bench_kind_is_write(op->kind));
    if (op->kind == CELLAR_BENCH_GET_CELL) {
        return 1;
    }
    return op->kind == CELLAR_BENCH_SLICE ? op->count : CELLAR_BENCH_FIELD_COUNT;
}

/* Checks that the row before the next, or the last one, is whole. */
static enum cellar_status row_finish(const struct cellar_bench_check *check,
                                     struct cellar_error *error)
{
    if (check->row_count == 0 || check->op->kind == CELLAR_BENCH_NEWEST) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(check->cells_seen <= CELLAR_BENCH_COLUMN_COUNT);
    return check->cells_seen == cells_wanted(check->op) ? CELLAR_OK
                                                        : wrong(check, "cells are missing", error);
}

/* Checks that a scan's next row is a record, in order, and none was left out. */
static enum cellar_status scan_row(struct cellar_bench_check *check, uint64_t number,
                                   struct cellar_error *error)
{
    const struct cellar_bench_state *state = check->state;
    const struct cellar_bench_sizes *sizes = &state->sizes;
    bool is_end = check->sorted_at == sizes->record_count;
    uint64_t record = cellar_bench_unmix(number);
    if (record >= sizes->record_count + state->inserts_sent) {
        return wrong(check, "the next row was never written", error);
    }
    if (check->row_count > 0 && number <= check->number) {
        return wrong(check, "the next row is not behind it", error);
    }
    if (!is_end && number > state->numbers[check->sorted_at]) {
        return wrong(check, "the row behind it is missing", error);
    }
    if (record < sizes->record_count) {
        CELLAR_ASSERT(is_end || number <= state->numbers[check->sorted_at]);
        if (is_end || number != state->numbers[check->sorted_at]) {
            return wrong(check, "a row before the first one asked for came", error);
        }
        check->sorted_at++;
    }
    check->record = record;
    return CELLAR_OK;
}

enum cellar_status cellar_bench_check_row(struct cellar_bench_check *check, struct cellar_slice key,
                                          struct cellar_error *error)
{
    const struct cellar_bench_op *op = check->op;
    bool is_scan = op->kind == CELLAR_BENCH_SCAN || op->kind == CELLAR_BENCH_SCAN_ALL;
    uint64_t number;
    CELLAR_TRY(row_finish(check, error));
    CELLAR_ASSERT(op->kind != CELLAR_BENCH_NEWEST);
    if (!cellar_bench_key_number(
            op->kind == CELLAR_BENCH_SLICE ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER, key, &number)) {
        return wrong(check, "a row that is none of the benchmark's came", error);
    }
    if (is_scan) {
        CELLAR_TRY(scan_row(check, number, error));
    } else if (check->row_count > 0 || number != cellar_bench_record_number(op->record)) {
        return wrong(check, "another row came", error);
    } else {
        check->record = op->record;
    }
    check->number = number;
    check->row_count++;
    check->cells_seen = 0;
    check->fields_seen = 0;
    return CELLAR_OK;
}

/* Whether a field of a record may have that version now. A scan reads a cell some time after it was
 * sent, so only a quiet time makes its floor certain. */
static bool version_is_possible(const struct cellar_bench_check *check, uint32_t field,
                                uint32_t version)
{
    const struct cellar_bench_state *state = check->state;
    if (check->record >= state->sizes.record_count) {
        return version == 0;
    }
    const struct cellar_bench_cell_state *cell = cell_of(state, check->record, field);
    bool is_one =
        check->op->kind == CELLAR_BENCH_GET_CELL || check->op->kind == CELLAR_BENCH_GET_ROW;
    bool is_quiet = check->puts_in_flight == 0 && check->put_count == state->put_count;
    uint32_t floor = is_one ? check->floors[field] : is_quiet ? cell->floor : 0;
    CELLAR_ASSERT(floor <= cell->sent);
    return version >= floor && version <= cell->sent;
}

enum cellar_status cellar_bench_check_cell(struct cellar_bench_check *check, uint32_t column,
                                           struct cellar_slice value, struct cellar_error *error)
{
    const struct cellar_bench_op *op = check->op;
    bool is_slice = op->kind == CELLAR_BENCH_SLICE;
    struct cellar_bench_cell cell = {.space = is_slice ? CELLAR_BENCH_WIDE : CELLAR_BENCH_USER,
                                     .record = check->record,
                                     .column = column};
    CELLAR_ASSERT(check->row_count > 0);
    if (is_slice
            ? column != op->column + check->cells_seen
            : column >= CELLAR_BENCH_FIELD_COUNT || (check->fields_seen & (1u << column)) != 0 ||
                  (op->kind == CELLAR_BENCH_GET_CELL && column != op->column)) {
        return wrong(check, "a cell that is not due came", error);
    }
    if (!cellar_bench_value_version(&cell, value)) {
        return wrong(check, "a value was never written", error);
    }
    if (is_slice ? cell.version != 0 : !version_is_possible(check, column, cell.version)) {
        return wrong(check, "a value is older or newer than it can be", error);
    }
    check->cells_seen++;
    check->fields_seen |= is_slice ? 0 : 1u << column;
    return CELLAR_OK;
}

enum cellar_status cellar_bench_check_event(struct cellar_bench_check *check, uint32_t sequence,
                                            struct cellar_slice value, struct cellar_error *error)
{
    const struct cellar_bench_timeline *timeline = &check->state->timelines[check->op->record];
    struct cellar_bench_cell cell = {.space = CELLAR_BENCH_TIME, .record = check->op->record};
    CELLAR_ASSERT(check->op->kind == CELLAR_BENCH_NEWEST);
    if (sequence >= timeline->sent || (check->row_count > 0 && sequence >= check->number)) {
        return wrong(check, "an event that is not due came", error);
    }
    if (sequence < check->sequence_next && sequence + 1 != check->sequence_next) {
        return wrong(check, "an event is missing", error);
    }
    if (!cellar_bench_value_version(&cell, value) || cell.version != sequence) {
        return wrong(check, "an event's value was never written", error);
    }
    check->sequence_next = CELLAR_MIN(check->sequence_next, sequence);
    check->record = check->op->record;
    check->number = sequence;
    check->row_count++;
    return CELLAR_OK;
}

/* Checks that all rows came that must have. */
static enum cellar_status rows_finish(const struct cellar_bench_check *check,
                                      struct cellar_error *error)
{
    const struct cellar_bench_op *op = check->op;
    bool is_whole = check->row_count == 1;
    if (op->kind == CELLAR_BENCH_SCAN || op->kind == CELLAR_BENCH_SCAN_ALL) {
        bool is_end = check->sorted_at == check->state->sizes.record_count;
        is_whole = is_end || (op->kind == CELLAR_BENCH_SCAN && check->row_count == op->count);
    } else if (op->kind == CELLAR_BENCH_NEWEST) {
        is_whole = check->row_count == op->count || check->sequence_next == 0;
    }
    CELLAR_ASSERT(!cellar_bench_kind_is_write(op->kind));
    if (check->row_count > op->count && op->count > 0 && op->kind != CELLAR_BENCH_SLICE) {
        return wrong(check, "more rows came than were asked for", error);
    }
    return is_whole ? CELLAR_OK : wrong(check, "rows are missing", error);
}

enum cellar_status cellar_bench_state_end(struct cellar_bench_state *state,
                                          struct cellar_bench_check *check,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(check->state == state);
    if (cellar_bench_kind_is_write(check->op->kind)) {
        write_end(state, check->op);
        return CELLAR_OK;
    }
    CELLAR_TRY(row_finish(check, error));
    return rows_finish(check, error);
}
