/*
 * A scan over a table's row set.
 *
 * State between chunks is a place only: the index of the current range and the key from which
 * (backwards: before which) to go on. Each chunk
 *
 *     becomes a user of the table (a dropped one ends the scan)
 *     sends what is left of a large row from its spool, or else
 *     takes a snapshot of the tablet that holds the place and reads rows until 100 rows, the bytes
 * or 10 ms are reached, going on to the next tablet and range as they end.
 *
 * No snapshot outlives a chunk. A failure after rows were sent is kept and returned by the next
 * call, so that those rows are delivered.
 */
#include "server/tablet/scan.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/storage/map_guard.h"
#include "server/tablet/ahead.h"
#include "server/tablet/row_reader.h"
#include "server/tablet/row_rest.h"

#define CHUNK_ROWS_MAX 100u
#define CHUNK_US_MAX 10000
#define RETRY_DELAY_MS 1000u
#define CLOCK_ROWS 16u               /* rows between two looks at the clock */
#define MEMORY_KEPT_BYTES_MAX 65536u /* of one buffer of an idle scan */

struct tablet_scan {
    struct tablet_db *db;
    struct tablet_table *table; /* NULL: idle */
    const struct cellar_rowset *set;
    uint64_t rows_left; /* UINT64_MAX: no limit */
    bool is_reversed;
    bool is_done;
    size_t range_index; /* of the current range; reversed: one more than it, 0 at the end */
    struct cellar_buffer
        place; /* forwards: the first key not yet read; backwards: the bound before which to read */
    bool place_is_open; /* backwards: the place is the end of the rows (no bound) */
    struct tablet_row_reader reader;
    struct tablet_rest rest;        /* of the last chunk's last row */
    enum cellar_status late_status; /* to be returned by the next call */
    struct cellar_error late_error;
    struct tablet_wanted *wanted;
    struct store_rows rows; /* of the chunk; its memory is kept from one to the next */
    bool has_rows;          /* it was initialised */
    bool may_wait;          /* for the disk, in the next chunk: the thread is there for it */
    struct tablet *found;   /* the tablet that holds the place; NULL: to be looked for */
    struct tablet_ahead ahead;
    const struct tablet *ahead_of; /* whose places it holds; not looked into */
    int64_t left_us;               /* when the last chunk was left; 0: it entered no tablet */
};

/* What one chunk holds. */
struct chunk {
    struct store_snapshot snapshot;
    struct store_rows *rows; /* the scan's */
    struct tablet *tablet;   /* whose snapshot it is; NULL: none */
    struct tablet_watch watch;
    const struct tablet_sink *sink;
    size_t bytes_max;
    size_t bytes;
    uint32_t row_count;
    int64_t deadline_us;
};

/* ---- columns --------------------------------------------------------------------------------- */

static int wanted_order(const void *a, const void *b)
{
    const struct tablet_wanted *left = a;
    const struct tablet_wanted *right = b;
    int order = cellar_slice_compare(left->family, right->family);
    CELLAR_ASSERT(left->family.bytes > 0);
    if (order == 0 && left->is_family != right->is_family) {
        return left->is_family ? -1 : 1;
    }
    return order != 0 ? order : cellar_slice_compare(left->qualifier, right->qualifier);
}

/* Drops what is named twice or lies in a family that is wanted whole. The array is sorted. */
static size_t wanted_reduce(struct tablet_wanted *wanted, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tablet_wanted *last = kept == 0 ? NULL : &wanted[kept - 1];
        bool is_covered =
            last != NULL && cellar_slice_equal(last->family, wanted[i].family) &&
            (last->is_family || cellar_slice_equal(last->qualifier, wanted[i].qualifier));
        if (!is_covered) {
            wanted[kept++] = wanted[i];
        }
    }
    CELLAR_ASSERT(kept <= count);
    return kept;
}

static enum cellar_status wanted_make(struct tablet_scan *scan,
                                      const struct tablet_scan_options *options,
                                      struct cellar_error *error)
{
    if (options->column_count == 0) {
        return CELLAR_OK;
    }
    scan->wanted = cellar_mem_zalloc(options->column_count, sizeof *scan->wanted);
    if (scan->wanted == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the columns of a read");
    }
    for (size_t i = 0; i < options->column_count; i++) {
        const struct tablet_column *column = &options->columns[i];
        const struct tablet_family *family =
            tablet_schema_family(scan->reader.schema, column->family);
        if (family == NULL) {
            char text[160];
            return cellar_error_set(error, CELLAR_NOT_FOUND,
                                    "Error in field 'columns' : Error in element #%zu : Requested "
                                    "column family not found: %s",
                                    i, cellar_bytes_show(column->family, 64, text, sizeof text));
        }
        scan->wanted[i] = (struct tablet_wanted){family->name, family->generation,
                                                 column->qualifier, column->is_family};
    }
    qsort(scan->wanted, options->column_count, sizeof scan->wanted[0], wanted_order);
    scan->reader.wanted = scan->wanted;
    scan->reader.wanted_count = wanted_reduce(scan->wanted, options->column_count);
    CELLAR_ASSERT(scan->reader.wanted_count > 0);
    return CELLAR_OK;
}

/* ---- the place ------------------------------------------------------------------------------- */

static const struct cellar_range *range_current(const struct tablet_scan *scan)
{
    size_t index = scan->is_reversed ? scan->range_index - 1 : scan->range_index;
    CELLAR_ASSERT(index < scan->set->count);
    return &scan->set->ranges[index];
}

static enum cellar_status place_set(struct tablet_scan *scan, struct cellar_slice key)
{
    cellar_buffer_clear(&scan->place);
    CELLAR_ASSERT(key.bytes <= CELLAR_RANGE_BOUND_BYTES_MAX + 1);
    return cellar_buffer_append(&scan->place, key.data, key.bytes);
}

/* Puts the place at the start of the current range, or ends the scan behind the last. */
static enum cellar_status range_enter(struct tablet_scan *scan)
{
    bool is_behind =
        scan->is_reversed ? scan->range_index == 0 : scan->range_index == scan->set->count;
    if (is_behind) {
        scan->is_done = true;
        return CELLAR_OK;
    }
    const struct cellar_range *range = range_current(scan);
    scan->place_is_open = scan->is_reversed && range->end.bytes == 0;
    CELLAR_ASSERT(range->end.bytes == 0 || cellar_slice_compare(range->start, range->end) < 0);
    return place_set(scan, scan->is_reversed ? range->end : range->start);
}

static enum cellar_status range_next(struct tablet_scan *scan)
{
    CELLAR_ASSERT(!scan->is_done);
    scan->range_index += scan->is_reversed ? SIZE_MAX : 1; /* minus one backwards */
    return range_enter(scan);
}

/* Moves the place over a row that was read: behind it, or backwards before it. */
static enum cellar_status place_pass(struct tablet_scan *scan, struct cellar_slice row)
{
    static const uint8_t zero = 0;
    CELLAR_TRY(place_set(scan, row));
    scan->place_is_open = false;
    CELLAR_ASSERT(row.bytes > 0);
    return scan->is_reversed ? CELLAR_OK : cellar_buffer_append(&scan->place, &zero, 1);
}

/* Whether the place has left its range, forwards at its end or backwards at its start. */
static bool place_is_behind(const struct tablet_scan *scan)
{
    const struct cellar_range *range = range_current(scan);
    struct cellar_slice place = cellar_slice_of(&scan->place);
    CELLAR_ASSERT(!scan->is_done);
    if (scan->is_reversed) {
        return !scan->place_is_open && cellar_slice_compare(place, range->start) <= 0;
    }
    return range->end.bytes > 0 && cellar_slice_compare(place, range->end) >= 0;
}

/* ---- a chunk --------------------------------------------------------------------------------- */

/* What the watch saw is the tablet's that was read last. */
static void chunk_leave(struct tablet_scan *scan, struct chunk *chunk)
{
    if (chunk->tablet != NULL) {
        int64_t now_us = cellar_clock_monotonic_us();
        scan->left_us = now_us;
        store_snapshot_close(&chunk->snapshot);
        if (tablet_watch_end(&chunk->watch, &chunk->tablet->warmth, now_us,
                             scan->ahead.has_asked)) {
            tablet_db_stall_note(scan->db);
        }
    }
    chunk->tablet = NULL;
    CELLAR_ASSERT(chunk->tablet == NULL);
}

/* The schema of the snapshot. A wanted family that was made anew since is the new
 * one; one that is gone gives nothing. */
static void schema_take(struct tablet_scan *scan, uint64_t lsn)
{
    const struct tablet_schema *schema = tablet_table_schema_at(scan->table, lsn);
    CELLAR_ASSERT(schema->version >= scan->reader.schema->version);
    if (schema == scan->reader.schema) {
        return;
    }
    tablet_row_reader_schema_set(&scan->reader, schema);
    for (size_t i = 0; i < scan->reader.wanted_count; i++) {
        const struct tablet_family *family = tablet_schema_family(schema, scan->wanted[i].family);
        scan->wanted[i].generation =
            family != NULL ? family->generation : scan->wanted[i].generation;
    }
}

/* The tablet that holds the place. */
static struct tablet *tablet_find(const struct tablet_scan *scan)
{
    struct cellar_slice place = cellar_slice_of(&scan->place);
    CELLAR_ASSERT(!scan->is_done);
    return scan->is_reversed
               ? tablet_table_find_before(scan->table,
                                          scan->place_is_open ? cellar_slice_make(NULL, 0) : place)
               : tablet_table_find(scan->table, place);
}

/* Makes the snapshot one of the tablet that holds the place. @param is_fresh  receives whether the
 * cursor must be placed */
static enum cellar_status chunk_enter(struct tablet_scan *scan, struct chunk *chunk, bool *is_fresh)
{
    struct tablet *tablet = scan->found != NULL ? scan->found : tablet_find(scan);
    scan->found = NULL;
    *is_fresh = tablet != chunk->tablet;
    if (!*is_fresh) {
        return CELLAR_OK;
    }
    if (chunk->tablet != NULL) {
        chunk_leave(scan, chunk);
        tablet_watch_begin(&chunk->watch, cellar_clock_monotonic_us(), scan->may_wait);
    }
    if (tablet != scan->ahead_of) {
        tablet_ahead_reset(&scan->ahead);
        scan->ahead_of = tablet;
    }
    CELLAR_ASSERT(tablet->store != NULL);
    CELLAR_TRY(store_engine_snapshot(tablet_db_engine(scan->db), tablet->store, &chunk->snapshot));
    if (scan->has_rows) {
        store_rows_move(&scan->rows, &chunk->snapshot);
    } else {
        store_rows_init(&scan->rows, &chunk->snapshot);
        scan->has_rows = true;
    }
    chunk->tablet = tablet;
    schema_take(scan, chunk->snapshot.lsn);
    return CELLAR_OK;
}

/* Moves the cursor to the first row at or behind the place, or the last before it. Forwards the
 * cursor may stand right before it already. */
static enum cellar_status cursor_place(const struct tablet_scan *scan, struct chunk *chunk,
                                       bool is_fresh, bool is_next)
{
    struct cellar_slice place = cellar_slice_of(&scan->place);
    CELLAR_ASSERT(chunk->tablet != NULL);
    if (scan->is_reversed) {
        return store_rows_seek_before(chunk->rows,
                                      scan->place_is_open ? cellar_slice_make(NULL, 0) : place);
    }
    return is_next && !is_fresh && chunk->rows->has_row ? store_rows_next(chunk->rows)
                                                        : store_rows_seek(chunk->rows, place);
}

/* Whether the cursor's row lies in the tablet and the range. */
static bool row_is_inside(const struct tablet_scan *scan, const struct chunk *chunk)
{
    const struct cellar_range *range = range_current(scan);
    struct cellar_slice row = cellar_slice_of(&chunk->rows->row);
    CELLAR_ASSERT(chunk->rows->has_row);
    if (scan->is_reversed) {
        return cellar_slice_compare(row, range->start) >= 0 &&
               cellar_slice_compare(row, chunk->tablet->start) >= 0;
    }
    return (range->end.bytes == 0 || cellar_slice_compare(row, range->end) < 0) &&
           (chunk->tablet->end.bytes == 0 || cellar_slice_compare(row, chunk->tablet->end) < 0);
}

/* No row is left in the tablet within the range: the place moves to the next tablet, or the scan to
 * the next range. */
static enum cellar_status tablet_pass(struct tablet_scan *scan, const struct chunk *chunk)
{
    struct cellar_slice border = scan->is_reversed ? chunk->tablet->start : chunk->tablet->end;
    CELLAR_ASSERT(chunk->tablet != NULL);
    if (border.bytes == 0) {
        return range_next(scan);
    }
    CELLAR_TRY(place_set(scan, border));
    scan->place_is_open = false;
    return place_is_behind(scan) ? range_next(scan) : CELLAR_OK;
}

/* Why a row cannot be read. What other reads hold is back soon: the read may be tried again. */
static const char *row_why(enum cellar_status status)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    if (status == CELLAR_DATA_LOSS) {
        return "stored data is damaged";
    }
    if (status == CELLAR_UNAVAILABLE) {
        return "the server has as many large values and wide rows under way to slow readers as it "
               "can hold";
    }
    return status == CELLAR_RESOURCE_EXHAUSTED
               ? "the disk has no room for a wide row while it is sent"
               : "the row cannot be read";
}

/* Names table and row in the error of a row that cannot be read. */
static enum cellar_status row_fail(const struct tablet_scan *scan, struct cellar_slice row,
                                   enum cellar_status status, struct cellar_error *error)
{
    char text[320];
    CELLAR_ASSERT(status != CELLAR_OK);
    (void)cellar_bytes_show(row, 128, text, sizeof text);
    if (status == CELLAR_FAILED_PRECONDITION) {
        return cellar_error_set(error, status,
                                "row %s is larger than %u bytes and cannot be read in one go; "
                                "restrict the read to fewer columns or versions",
                                text, CELLAR_ROW_ANSWER_BYTES_MAX);
    }
    if (status == CELLAR_DATA_LOSS) {
        cellar_log(CELLAR_LOG_ERROR, "data_loss", "table=%.*s row=\"%s\"",
                   (int)scan->table->name.table.bytes, (const char *)scan->table->name.table.data,
                   text);
    }
    (void)cellar_error_set(error, status, "table %.*s, at or behind row %s: %s",
                           (int)scan->table->name.table.bytes,
                           (const char *)scan->table->name.table.data, text, row_why(status));
    if (error != NULL && status == CELLAR_UNAVAILABLE) {
        error->retry_delay_ms = RETRY_DELAY_MS;
    }
    return status;
}

/* Reads the cursor's row to the sink and moves the place over it. */
static enum cellar_status row_send(struct tablet_scan *scan, struct chunk *chunk)
{
    struct tablet_row_reader *reader = &scan->reader;
    reader->direct_bytes_max =
        chunk->bytes < chunk->bytes_max ? chunk->bytes_max - chunk->bytes : 1;
    CELLAR_TRY(tablet_row_read(reader, chunk->rows, chunk->sink));
    CELLAR_TRY(place_pass(scan, cellar_slice_of(&chunk->rows->row)));
    chunk->bytes += 16 + chunk->rows->row.bytes;
    if (!reader->has_begun) {
        return CELLAR_OK;
    }
    chunk->bytes += reader->sent_bytes;
    chunk->row_count++;
    CELLAR_ASSERT(scan->rows_left > 0);
    scan->rows_left -= scan->rows_left == UINT64_MAX ? 0 : 1;
    return tablet_rest_begin(&scan->rest, &reader->spool, cellar_slice_of(&chunk->rows->row));
}

static bool chunk_is_full(const struct tablet_scan *scan, const struct chunk *chunk,
                          uint32_t step_count)
{
    CELLAR_ASSERT(step_count > 0);
    return chunk->row_count >= CHUNK_ROWS_MAX || chunk->bytes >= chunk->bytes_max ||
           tablet_rest_is_left(&scan->rest) ||
           (step_count % CLOCK_ROWS == 0 && cellar_clock_monotonic_us() > chunk->deadline_us);
}

/* Whether the next tablet is cold, and this thread not there to wait: the chunk ends before it, so
 * that the next one can be read by another. */
static bool next_is_elsewhere(struct tablet_scan *scan, const struct chunk *chunk)
{
    if (scan->may_wait || scan->is_done) {
        return false;
    }
    struct tablet *next = tablet_find(scan);
    CELLAR_ASSERT(chunk->tablet != NULL);
    return next != chunk->tablet && tablet_warmth_is_cold(&next->warmth, chunk->watch.begun_us);
}

/* Whether the scan reads on behind this row: it is not one row that was asked for. */
static bool wants_more(const struct tablet_scan *scan)
{
    const struct cellar_range *range = range_current(scan);
    CELLAR_ASSERT(scan->rows_left > 0);
    bool is_point = range->end.bytes == range->start.bytes + 1 && range->end.bytes > 0 &&
                    range->end.data[range->end.bytes - 1] == 0;
    return !scan->is_reversed && scan->rows_left > 1 && !is_point;
}

/* Reads rows until the chunk is full or the scan at its end. */
static enum cellar_status chunk_fill(struct tablet_scan *scan, struct chunk *chunk)
{
    bool is_next = false; /* the cursor stands on the row just before the place */
    for (uint32_t step = 1; !scan->is_done; step++) {
        bool is_fresh = false;
        CELLAR_TRY(chunk_enter(scan, chunk, &is_fresh));
        CELLAR_TRY(cursor_place(scan, chunk, is_fresh, is_next));
        is_next = false;
        if (!chunk->rows->has_row || !row_is_inside(scan, chunk)) {
            CELLAR_TRY(tablet_pass(scan, chunk));
            if (next_is_elsewhere(scan, chunk)) {
                break;
            }
        } else {
            if (is_fresh) {
                tablet_ahead_begin(&scan->ahead, chunk->rows, scan->may_wait,
                                   scan->may_wait && wants_more(scan));
            }
            CELLAR_TRY(row_send(scan, chunk));
            is_next = !place_is_behind(scan);
            CELLAR_TRY(is_next ? CELLAR_OK : range_next(scan));
        }
        if (scan->rows_left == 0) {
            scan->is_done = true;
        }
        if (chunk_is_full(scan, chunk, step)) {
            break;
        }
    }
    CELLAR_ASSERT(scan->is_done || chunk->sink != NULL);
    if (!scan->is_done && !scan->is_reversed && chunk->tablet != NULL) {
        tablet_ahead_end(&scan->ahead, chunk->rows, chunk->bytes, scan->may_wait);
    }
    return CELLAR_OK;
}

struct filling {
    struct tablet_scan *scan;
    struct chunk *chunk;
};

static enum cellar_status filling_run(void *context)
{
    const struct filling *filling = context;
    CELLAR_ASSERT(filling->chunk->tablet == NULL);
    return chunk_fill(filling->scan, filling->chunk);
}

/* Fills the chunk inside a guard: what is read and sent lies in the map. A fault leaves the sink
 * behind the last bytes that it took, and the snapshot open. */
static enum cellar_status chunk_fill_guarded(struct tablet_scan *scan, struct chunk *chunk)
{
    struct filling filling = {scan, chunk};
    CELLAR_ASSERT(chunk->row_count == 0);
    return store_map_guard(filling_run, &filling);
}

/* Sends more of a large row. */
static enum cellar_status rest_send(struct tablet_scan *scan, struct chunk *chunk)
{
    CELLAR_ASSERT(chunk->row_count == 0);
    CELLAR_TRY(tablet_rest_send(&scan->rest, chunk->sink, chunk->bytes_max));
    chunk->row_count++; /* behind a failure nothing goes out with this chunk */
    return CELLAR_OK;
}

enum cellar_status tablet_scan_blob(struct tablet_scan *scan, struct cellar_buffer *to,
                                    bool *is_done, struct cellar_error *error)
{
    CELLAR_ASSERT(scan->rest.blob != NULL);
    enum cellar_status status = tablet_rest_blob(&scan->rest, to, is_done);
    return status == CELLAR_OK ? status
                               : row_fail(scan, cellar_slice_of(&scan->rest.row), status, error);
}

/* The tablet is kept for the chunk, so looking for it costs nothing. It lives as long as the table;
 * its store may not, and is not looked at. */
bool tablet_scan_is_cold(struct tablet_scan *scan, int64_t now_us)
{
    bool is_cold = scan->ahead.is_cold || tablet_rest_is_in_file(&scan->rest);
    scan->found = NULL;
    if (!is_cold && !scan->is_done) {
        scan->found = tablet_find(scan);
        is_cold = tablet_warmth_is_cold(&scan->found->warmth, now_us);
    }
    scan->may_wait = is_cold;
    CELLAR_ASSERT(now_us >= 0);
    return is_cold;
}

/* ---- the scan -------------------------------------------------------------------------------- */

struct tablet_scan *tablet_scan_new(void)
{
    struct tablet_scan *scan = cellar_mem_zalloc(1, sizeof *scan);
    if (scan != NULL) {
        tablet_spool_init(&scan->reader.spool, ""); /* until a start names one */
    }
    CELLAR_ASSERT(scan == NULL || scan->table == NULL);
    return scan;
}

enum cellar_status tablet_scan_start(struct tablet_scan *scan, struct tablet_db *db,
                                     struct tablet_table *table,
                                     const struct tablet_scan_options *options,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(scan->table == NULL && scan->wanted == NULL);
    tablet_table_ref(table);
    scan->db = db;
    scan->table = table;
    scan->set = options->rows;
    scan->rows_left = options->rows_limit == 0 ? UINT64_MAX : options->rows_limit;
    scan->is_reversed = options->is_reversed;
    scan->is_done = false;
    scan->late_status = CELLAR_OK;
    scan->range_index = options->is_reversed ? options->rows->count : 0;
    tablet_row_reader_start(&scan->reader, tablet_db_schema(db, table), tablet_db_time(db),
                            options->versions_max, options->keys_only);
    scan->reader.spool.directory = store_engine_data_dir(tablet_db_engine(db));
    scan->reader.blobs = store_engine_blobs(tablet_db_engine(db));
    scan->may_wait = false;
    scan->found = NULL;
    scan->ahead.is_cold = false;
    scan->ahead_of = NULL;
    enum cellar_status status = wanted_make(scan, options, error);
    if (status == CELLAR_OK && range_enter(scan) != CELLAR_OK) {
        status = cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a read");
    }
    if (status != CELLAR_OK) {
        tablet_scan_stop(scan);
    }
    return status;
}

/* Keeps a failure for the next call when rows go out with this one. */
static enum cellar_status failure_defer(struct tablet_scan *scan, const struct chunk *chunk,
                                        enum cellar_status status, struct cellar_error *error)
{
    CELLAR_ASSERT(status != CELLAR_OK);
    bool has_row = chunk->tablet != NULL && chunk->rows->has_row;
    struct cellar_slice row =
        has_row ? cellar_slice_of(&chunk->rows->row) : cellar_slice_of(&scan->place);
    (void)row_fail(scan, row, status, &scan->late_error);
    scan->late_status = status;
    if (chunk->row_count == 0 || scan->reader.sink_has_failed) {
        if (error != NULL) {
            *error = scan->late_error;
        }
        return status;
    }
    if (!scan->reader.is_open) {
        return CELLAR_OK;
    }
    scan->reader.is_open = false;
    /* The sink is in the middle of a row: end the piece, the client will hold it back. */
    return chunk->sink->row_end(chunk->sink->context, true);
}

enum cellar_status tablet_scan_next(struct tablet_scan *scan, const struct tablet_sink *sink,
                                    size_t bytes_max, bool *is_done, struct cellar_error *error)
{
    struct chunk chunk;
    chunk.rows = &scan->rows;
    chunk.tablet = NULL;
    chunk.sink = sink;
    chunk.bytes_max = bytes_max;
    chunk.bytes = 0;
    chunk.row_count = 0;
    int64_t now_us = cellar_clock_monotonic_us();
    chunk.deadline_us = now_us + CHUNK_US_MAX;
    tablet_watch_begin(&chunk.watch, now_us, scan->may_wait);
    scan->left_us = 0;
    *is_done = false;
    if (scan->late_status != CELLAR_OK) {
        if (error != NULL) {
            *error = scan->late_error;
        }
        return scan->late_status;
    }
    if (!tablet_table_enter(scan->table)) {
        return cellar_error_set(error, CELLAR_NOT_FOUND, "Table not found: %.*s was dropped",
                                (int)scan->table->name.table.bytes,
                                (const char *)scan->table->name.table.data);
    }
    bool has_rest = tablet_rest_is_left(&scan->rest);
    CELLAR_ASSERT(bytes_max > 0);
    scan->reader.is_open = false;
    enum cellar_status status =
        has_rest ? rest_send(scan, &chunk) : chunk_fill_guarded(scan, &chunk);
    if (status != CELLAR_OK) {
        status = failure_defer(scan, &chunk, status, error);
    }
    chunk_leave(scan, &chunk);
    tablet_table_leave(scan->table);
    *is_done = status == CELLAR_OK && scan->late_status == CELLAR_OK && scan->is_done &&
               !tablet_rest_is_left(&scan->rest);
    return status;
}

int64_t tablet_scan_left_us(const struct tablet_scan *scan)
{
    CELLAR_ASSERT(scan->left_us >= 0);
    return scan->left_us;
}

void tablet_scan_stop(struct tablet_scan *scan)
{
    if (scan->table == NULL) {
        return;
    }
    tablet_rest_end(&scan->rest);
    tablet_row_reader_stop(&scan->reader);
    tablet_table_unref(scan->table);
    scan->table = NULL;
    cellar_mem_free(scan->wanted);
    scan->wanted = NULL;
    if (scan->place.capacity > MEMORY_KEPT_BYTES_MAX) {
        cellar_buffer_fini(&scan->place);
    }
    if (scan->has_rows && scan->rows.scratch.capacity > MEMORY_KEPT_BYTES_MAX) {
        store_rows_fini(&scan->rows);
        scan->has_rows = false;
    }
    CELLAR_ASSERT(scan->wanted == NULL);
}

void tablet_scan_free(struct tablet_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    tablet_scan_stop(scan);
    CELLAR_ASSERT(scan->table == NULL);
    tablet_row_reader_fini(&scan->reader);
    if (scan->has_rows) {
        store_rows_fini(&scan->rows);
    }
    cellar_buffer_fini(&scan->place);
    cellar_mem_free(scan);
}
