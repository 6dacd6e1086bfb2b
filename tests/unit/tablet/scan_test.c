/*
 * scan: rows of several tablets in both directions, restricted in every way, large rows in pieces,
 * and scans that end early.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/segment_cells.h"
#include "common/sync.h"
#include "server/tablet/append.h"
#include "server/tablet/scan.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

struct rig {
    char parent[256];
    char data_dir[300];
    struct tablet_db *db;
    struct tablet_table *table; /* tablets from "", "h", "p" */
};

static void rig_begin(struct rig *rig)
{
    struct cellar_error error;
    const struct tablet_family families[] = {{.name = cellar_slice_text("f")},
                                             {.name = cellar_slice_text("g")}};
    const struct cellar_slice splits[] = {cellar_slice_text("h"), cellar_slice_text("p")};
    const struct tablet_spec spec = {
        .name = {cellar_slice_text("p"), cellar_slice_text("i"), cellar_slice_text("t")},
        .granularity = CELLAR_GRANULARITY_MICROS,
        .families = families,
        .family_count = CELLAR_ARRAY_COUNT(families),
        .split_keys = splits,
        .split_key_count = CELLAR_ARRAY_COUNT(splits),
    };
    memset(rig, 0, sizeof *rig);
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(rig->parent, sizeof rig->parent);
    (void)snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent);
    const struct store_engine_options options = {
        .data_dir = rig->data_dir,
        .memory_bytes_max = UINT64_C(256) << 20,
        .memtable_bytes_max = UINT64_C(32) << 20,
        .unapplied_bytes_max = UINT64_C(64) << 20,
        .unapplied_records_max = 100000,
        .store_tokens_max = 1000000,
        .segment_bytes = 1u << 20,
        .map_bytes = TEST_MAP_BYTES,
    };
    cellar_error_clear(&error);
    assert_int_equal(tablet_db_open(&options, &rig->db, &error), CELLAR_OK);
    assert_int_equal(tablet_db_create(rig->db, &spec, &rig->table, &error), CELLAR_OK);
}

static void rig_end(struct rig *rig)
{
    tablet_table_unref(rig->table);
    tablet_db_close(rig->db);
    test_remove_tree(rig->parent);
}

struct waiting_write {
    struct tablet_write write;
    struct cellar_mutex lock;
    struct cellar_cond ended;
    bool is_done;
};

static void waiting_done(struct store_log_record *record, enum cellar_status status)
{
    struct tablet_write *write = CELLAR_CONTAINER_OF(record, struct tablet_write, record);
    struct waiting_write *waiting = CELLAR_CONTAINER_OF(write, struct waiting_write, write);
    assert_int_equal(status, CELLAR_OK);
    cellar_mutex_lock(&waiting->lock);
    waiting->is_done = true;
    cellar_cond_signal(&waiting->ended);
    cellar_mutex_unlock(&waiting->lock);
}

static void items_write(struct rig *rig, const char *row, const struct store_item *items,
                        size_t count)
{
    struct waiting_write waiting = {.write.record.done = waiting_done};
    struct cellar_buffer payload = {0};
    struct cellar_error error;
    cellar_error_clear(&error);
    cellar_mutex_init(&waiting.lock);
    cellar_cond_init(&waiting.ended);
    test_mutation_put(&payload, cellar_slice_text(row), 1, items, count);
    const struct tablet_payload facts = {.schema = tablet_table_schema_queued(rig->table),
                                         .row = cellar_slice_text(row),
                                         .bytes = cellar_slice_of(&payload),
                                         .has_sets = true};
    assert_int_equal(tablet_append(rig->db, rig->table, &facts, &waiting.write, &error), CELLAR_OK);
    cellar_mutex_lock(&waiting.lock);
    while (!waiting.is_done) {
        cellar_cond_wait(&waiting.ended, &waiting.lock);
    }
    cellar_mutex_unlock(&waiting.lock);
    cellar_cond_fini(&waiting.ended);
    cellar_mutex_fini(&waiting.lock);
    cellar_buffer_fini(&payload);
}

/* Rows a, g, h, o, p, z, two in each tablet, each with f:q at 2 and 1, f:r and g:q at 1. */
static void rows_write(struct rig *rig)
{
    static const char *const rows[] = {"z", "a", "h", "g", "p", "o"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(rows); i++) {
        const struct store_item items[] = {
            test_set("f", "q", 2, "new"),
            test_set("f", "q", 1, "old"),
            test_set("f", "r", 1, "r"),
            test_set("g", "q", 1, "g"),
        };
        items_write(rig, rows[i], items, CELLAR_ARRAY_COUNT(items));
    }
}

/* ---- a sink ---------------------------------------------------------------------------------- */

/* Writes down what comes: `row[cells]`, a cell as f:q@time; checks the order of the calls. */
struct sink {
    char text[4096];
    uint64_t value_bytes;
    uint64_t value_sum;
    unsigned piece_count;
    unsigned fail_at; /* the call that fails, from 1; 0: none */
    unsigned call_count;
    bool is_inside;
    bool is_open; /* the row goes on in another piece */
    bool has_cells;
    bool has_blob; /* the rest of a cell is to be read */
    bool blob_has_more;
    struct cellar_buffer blob; /* that cell, packed */
};

static void sink_add(struct sink *sink, struct cellar_slice bytes)
{
    size_t used = strlen(sink->text);
    assert_true(used + bytes.bytes < sizeof sink->text);
    memcpy(sink->text + used, bytes.data, bytes.bytes);
    sink->text[used + bytes.bytes] = '\0';
}

static enum cellar_status sink_call(struct sink *sink)
{
    return ++sink->call_count == sink->fail_at ? CELLAR_IO_ERROR : CELLAR_OK;
}

static enum cellar_status sink_row_begin(void *context, struct cellar_slice row, bool is_continued)
{
    struct sink *sink = context;
    CELLAR_TRY(sink_call(sink));
    assert_false(sink->is_inside);
    assert_int_equal(is_continued, sink->is_open);
    sink->is_inside = true;
    sink->piece_count++;
    if (!is_continued) {
        sink_add(sink, row);
        sink_add(sink, cellar_slice_text("["));
    }
    return CELLAR_OK;
}

static enum cellar_status sink_cells(void *context, struct cellar_slice packed)
{
    struct sink *sink = context;
    struct cellar_cells_reader reader;
    CELLAR_TRY(sink_call(sink));
    assert_true(sink->is_inside);
    assert_true(cellar_cells_open(&reader, packed));
    while (cellar_cells_next(&reader)) {
        char time[32];
        const struct cellar_cell *cell = &reader.cell;
        sink->value_bytes += cell->value.bytes;
        for (size_t i = 0; i < cell->value.bytes; i++) {
            sink->value_sum = sink->value_sum * 31 + cell->value.data[i];
        }
        (void)snprintf(time, sizeof time, "@%lld ", (long long)cell->timestamp_us);
        if (cell->value.bytes < 100) {
            sink_add(sink, cell->family);
            sink_add(sink, cellar_slice_text(":"));
            sink_add(sink, cell->qualifier);
            sink_add(sink, cellar_slice_text(time));
        }
    }
    assert_true(cellar_cells_is_done(&reader));
    sink->has_cells = true;
    return CELLAR_OK;
}

static enum cellar_status sink_row_end(void *context, bool has_more)
{
    struct sink *sink = context;
    CELLAR_TRY(sink_call(sink));
    assert_true(sink->is_inside);
    sink->is_inside = false;
    sink->is_open = has_more;
    if (!has_more) {
        sink_add(sink, cellar_slice_text("]"));
    }
    return CELLAR_OK;
}

static enum cellar_status sink_blob(void *context, struct cellar_slice row, bool has_more,
                                    struct cellar_slice before)
{
    struct sink *sink = context;
    CELLAR_TRY(sink_row_begin(context, row, true));
    sink->has_blob = true;
    sink->blob_has_more = has_more;
    cellar_buffer_clear(&sink->blob);
    return cellar_buffer_append(&sink->blob, before.data, before.bytes);
}

static struct tablet_sink sink_of(struct sink *sink)
{
    return (struct tablet_sink){.context = sink,
                                .row_begin = sink_row_begin,
                                .cells = sink_cells,
                                .row_end = sink_row_end,
                                .blob = sink_blob};
}

/* Reads the rest of a cell whose beginning the sink has got. */
static enum cellar_status blob_take(struct tablet_scan *scan, struct sink *sink,
                                    struct cellar_error *error)
{
    bool is_done = false;
    while (!is_done) {
        CELLAR_TRY(tablet_scan_blob(scan, &sink->blob, &is_done, error));
    }
    sink->has_blob = false;
    CELLAR_TRY(sink_cells(sink, cellar_slice_of(&sink->blob)));
    cellar_buffer_fini(&sink->blob);
    return sink_row_end(sink, sink->blob_has_more);
}

static struct cellar_range every_range[1];
static const struct cellar_rowset every_row = {every_range, 1};

static enum cellar_status scan_open(struct tablet_db *db, struct tablet_table *table,
                                    const struct tablet_scan_options *options,
                                    struct tablet_scan **scan, struct cellar_error *error)
{
    struct tablet_scan *made = tablet_scan_new();
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = tablet_scan_start(made, db, table, options, error);
    if (status != CELLAR_OK) {
        tablet_scan_free(made);
        return status;
    }
    *scan = made;
    return CELLAR_OK;
}

/* Runs a whole scan with chunks of some size. */
static enum cellar_status scan_run(struct rig *rig, const struct tablet_scan_options *options,
                                   size_t bytes_max, struct sink *sink, struct cellar_error *error)
{
    struct tablet_scan *scan = NULL;
    const struct tablet_sink inner = sink_of(sink);
    bool is_done = false;
    cellar_error_clear(error);
    CELLAR_TRY(scan_open(rig->db, rig->table, options, &scan, error));
    enum cellar_status status = CELLAR_OK;
    while (status == CELLAR_OK && !is_done) {
        status = tablet_scan_next(scan, &inner, bytes_max, &is_done, error);
        if (status == CELLAR_OK && sink->has_blob) {
            status = blob_take(scan, sink, error);
        }
    }
    cellar_buffer_fini(&sink->blob);
    tablet_scan_free(scan);
    return status;
}

/* Scans with chunks of several sizes; each must give `expected`. */
static void scan_check(struct rig *rig, const struct tablet_scan_options *options,
                       const char *expected)
{
    static const size_t sizes[] = {1, 30, 200, 1u << 20};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        struct sink sink = {0};
        struct cellar_error error;
        struct tablet_scan_options own = *options;
        own.rows = own.rows == NULL ? &every_row : own.rows;
        if (scan_run(rig, &own, sizes[i], &sink, &error) != CELLAR_OK) {
            fail_msg("%s", error.text);
        }
        assert_string_equal(sink.text, expected);
        assert_false(sink.is_inside || sink.is_open);
    }
}

/* ---- cold and warm ------------------------------------------------------------------------- */

/* Asks as the front end does, before each chunk. @return how many chunks were cold */
static uint32_t cold_chunks(struct rig *rig, const struct tablet_scan_options *options,
                            int64_t now_us, const char *expected)
{
    struct tablet_scan *scan = NULL;
    struct sink sink = {0};
    struct cellar_error error;
    const struct tablet_sink inner = sink_of(&sink);
    uint32_t count = 0;
    bool is_done = false;
    assert_int_equal(scan_open(rig->db, rig->table, options, &scan, &error), CELLAR_OK);
    while (!is_done) {
        count += tablet_scan_is_cold(scan, now_us) ? 1 : 0;
        assert_int_equal(tablet_scan_next(scan, &inner, 1, &is_done, &error), CELLAR_OK);
    }
    assert_string_equal(sink.text, expected);
    tablet_scan_free(scan);
    return count;
}

static void tablets_are_cold_until_steps_were_clean_and_again_after_a_pause(void **state)
{
    (void)state;
    struct rig rig;
    const struct tablet_scan_options forwards = {.rows = &every_row, .keys_only = true};
    const struct tablet_scan_options backwards = {
        .rows = &every_row, .keys_only = true, .is_reversed = true};
    rig_begin(&rig);
    rows_write(&rig);
    cellar_clock_fake_set(INT64_C(1700000000000000), 1000000);
    assert_int_equal(tablet_db_cold_count(rig.db), 3);
    uint32_t cold_count = 0;
    for (uint32_t i = 0; i < TABLET_CLEAN_COUNT_MIN; i++) {
        cold_count += cold_chunks(&rig, &forwards, 1000000, "a[]g[]h[]o[]p[]z[]");
    }
    assert_true(cold_count >= TABLET_CLEAN_COUNT_MIN);
    assert_int_equal(tablet_db_cold_count(rig.db), 0);
    assert_int_equal(cold_chunks(&rig, &forwards, 1000000, "a[]g[]h[]o[]p[]z[]"), 0);
    assert_int_equal(cold_chunks(&rig, &backwards, 1000000, "z[]p[]o[]h[]g[]a[]"), 0);
    assert_int_equal(tablet_db_stall_count(rig.db), 0);
    cellar_clock_fake_step(TABLET_WARM_US);
    assert_int_equal(tablet_db_cold_count(rig.db), 3);
    assert_true(cold_chunks(&rig, &forwards, 1000000 + TABLET_WARM_US, "a[]g[]h[]o[]p[]z[]") >= 3);
    assert_int_equal(tablet_db_cold_count(rig.db), 0);
    cellar_clock_fake_off();
    rig_end(&rig);
}

/* ---- which rows ------------------------------------------------------------------------------ */

static void a_scan_crosses_tablets_in_both_directions(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    scan_check(&rig, &(struct tablet_scan_options){.keys_only = true}, "a[]g[]h[]o[]p[]z[]");
    scan_check(&rig, &(struct tablet_scan_options){.keys_only = true, .is_reversed = true},
               "z[]p[]o[]h[]g[]a[]");
    rig_end(&rig);
}

static void a_limit_counts_rows_over_tablets(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    scan_check(&rig, &(struct tablet_scan_options){.keys_only = true, .rows_limit = 3},
               "a[]g[]h[]");
    scan_check(
        &rig,
        &(struct tablet_scan_options){.keys_only = true, .rows_limit = 3, .is_reversed = true},
        "z[]p[]o[]");
    scan_check(&rig, &(struct tablet_scan_options){.keys_only = true, .rows_limit = 6},
               "a[]g[]h[]o[]p[]z[]");
    rig_end(&rig);
}

static void ranges_and_keys_choose_rows_across_the_borders_of_tablets(void **state)
{
    struct rig rig;
    struct cellar_range ranges[] = {
        {cellar_slice_text("a"), cellar_slice_make("a", 2)}, /* the key a */
        {cellar_slice_text("g"), cellar_slice_text("p")},
        {cellar_slice_text("q"), cellar_slice_text("z")},
    };
    const struct cellar_rowset set = {ranges, CELLAR_ARRAY_COUNT(ranges)};
    const struct cellar_rowset none = {ranges, 0};
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    scan_check(&rig, &(struct tablet_scan_options){.rows = &set, .keys_only = true},
               "a[]g[]h[]o[]");
    scan_check(&rig,
               &(struct tablet_scan_options){.rows = &set, .keys_only = true, .is_reversed = true},
               "o[]h[]g[]a[]");
    scan_check(&rig, &(struct tablet_scan_options){.rows = &none}, "");
    scan_check(&rig, &(struct tablet_scan_options){.rows = &none, .is_reversed = true}, "");
    rig_end(&rig);
}

/* Makes an item's value a blob of so many bytes `letter`, which the item borrows as `reference`. */
static void blob_make(struct rig *rig, struct store_item *item, uint8_t *reference, size_t bytes)
{
    struct store_blob blob = {0};
    uint8_t *value = malloc(bytes);
    assert_non_null(value);
    memset(value, 'v', bytes);
    assert_int_equal(store_blobs_write(store_engine_blobs(tablet_db_engine(rig->db)),
                                       cellar_slice_make(value, bytes), false, &blob),
                     CELLAR_OK);
    free(value);
    store_blob_encode(reference, &blob);
    item->type = STORE_ITEM_SET_BLOB;
    item->value = cellar_slice_make(reference, STORE_BLOB_REFERENCE_BYTES);
}

/* A value with a file of its own comes in its place among the cells: from a memtable and from a
 * segment, first in its row, in the middle, and last. */
static void values_in_files_are_sent_in_their_place(void **state)
{
    uint8_t references[3][STORE_BLOB_REFERENCE_BYTES];
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    struct store_item items[] = {test_set("f", "o", 1, "1"), test_set("f", "p", 1, ""),
                                 test_set("f", "q", 1, ""), test_set("f", "r", 1, "2")};
    struct store_item alone = test_set("f", "q", 1, "");
    blob_make(&rig, &alone, references[0], 1);
    blob_make(&rig, &items[1], references[1], 300);
    blob_make(&rig, &items[2], references[2], STORE_BLOB_PIECE_BYTES + 7);
    items_write(&rig, "a", &alone, 1);
    items_write(&rig, "b", items, CELLAR_ARRAY_COUNT(items));
    for (unsigned i = 0; i < 2; i++) {
        struct sink sink = {0};
        struct cellar_error error;
        const struct tablet_scan_options options = {.rows = &every_row};
        assert_int_equal(scan_run(&rig, &options, 1u << 20, &sink, &error), CELLAR_OK);
        assert_string_equal(sink.text, "a[f:q@1 ]b[f:o@1 f:r@1 ]"); /* short values only */
        assert_int_equal(sink.value_bytes, 1 + 1 + 300 + STORE_BLOB_PIECE_BYTES + 7 + 1);
        scan_check(&rig, &(struct tablet_scan_options){.keys_only = true}, "a[]b[]");
        scan_check(&rig, &(struct tablet_scan_options){.is_reversed = true, .rows_limit = 2},
                   "b[f:o@1 f:r@1 ]a[f:q@1 ]");
        assert_int_equal(store_engine_checkpoint_all(tablet_db_engine(rig.db)), CELLAR_OK);
    }
    rig_end(&rig);
}

/* A damaged file ends the read and names the row; nothing of the value passes for it. */
static void a_damaged_file_ends_the_read_with_its_row(void **state)
{
    uint8_t reference[STORE_BLOB_REFERENCE_BYTES];
    struct rig rig;
    struct sink sink = {0};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    struct store_item item = test_set("f", "q", 1, "");
    blob_make(&rig, &item, reference, 100);
    items_write(&rig, "a", &item, 1);
    reference[8] ^= 1; /* of the length */
    items_write(&rig, "b", &item, 1);
    const struct tablet_scan_options options = {.rows = &every_row};
    assert_int_equal(scan_run(&rig, &options, 1u << 20, &sink, &error), CELLAR_DATA_LOSS);
    assert_non_null(strstr(error.text, "row b"));
    assert_string_equal(sink.text, "a[]b[");
    rig_end(&rig);
}

/* ---- which cells ----------------------------------------------------------------------------- */

static void columns_families_and_versions_restrict_cells(void **state)
{
    struct rig rig;
    struct cellar_range range = {cellar_slice_text("h"), cellar_slice_make("h", 2)};
    const struct cellar_rowset set = {&range, 1};
    const struct tablet_column columns[] = {
        {cellar_slice_text("g"), cellar_slice_text("q"), false},
        {cellar_slice_text("f"), cellar_slice_text("r"), false},
        {cellar_slice_text("g"), cellar_slice_text("q"), false}, /* named twice */
    };
    const struct tablet_column family[] = {
        {cellar_slice_text("f"), cellar_slice_text("q"), false}, /* in the family */
        {cellar_slice_text("f"), cellar_slice_make(NULL, 0), true},
    };
    const struct tablet_column absent[] = {
        {cellar_slice_text("g"), cellar_slice_text("none"), false}};
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    scan_check(&rig, &(struct tablet_scan_options){.rows = &set}, "h[f:q@2 f:q@1 f:r@1 g:q@1 ]");
    scan_check(&rig, &(struct tablet_scan_options){.rows = &set, .versions_max = 1},
               "h[f:q@2 f:r@1 g:q@1 ]");
    scan_check(&rig,
               &(struct tablet_scan_options){.rows = &set, .columns = columns, .column_count = 3},
               "h[f:r@1 g:q@1 ]");
    scan_check(&rig,
               &(struct tablet_scan_options){.rows = &set, .columns = family, .column_count = 2},
               "h[f:q@2 f:q@1 f:r@1 ]");
    scan_check(&rig, &(struct tablet_scan_options){.columns = absent, .column_count = 1}, "");
    rig_end(&rig);
}

static void an_unknown_family_is_refused_with_its_index(void **state)
{
    struct rig rig;
    struct tablet_scan *scan = NULL;
    struct cellar_error error;
    const struct tablet_column columns[] = {
        {cellar_slice_text("f"), cellar_slice_make(NULL, 0), true},
        {cellar_slice_text("x"), cellar_slice_make(NULL, 0), true},
    };
    const struct tablet_scan_options options = {
        .rows = &every_row, .columns = columns, .column_count = 2};
    (void)state;
    rig_begin(&rig);
    cellar_error_clear(&error);
    assert_int_equal(scan_open(rig.db, rig.table, &options, &scan, &error), CELLAR_NOT_FOUND);
    assert_null(scan);
    assert_non_null(strstr(error.text, "element #1 "));
    rig_end(&rig);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_drop_ends_a_scan_with_not_found(void **state)
{
    struct rig rig;
    struct tablet_scan *scan = NULL;
    struct sink sink = {0};
    struct cellar_error error;
    bool is_done = false;
    const struct tablet_sink inner = sink_of(&sink);
    const struct tablet_scan_options options = {.rows = &every_row, .keys_only = true};
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    cellar_error_clear(&error);
    assert_int_equal(scan_open(rig.db, rig.table, &options, &scan, &error), CELLAR_OK);
    assert_int_equal(tablet_scan_next(scan, &inner, 1, &is_done, &error), CELLAR_OK);
    assert_false(is_done);
    assert_string_equal(sink.text, "a[]");
    assert_int_equal(tablet_db_drop(rig.db, &rig.table->name, &error), CELLAR_OK);
    assert_int_equal(tablet_scan_next(scan, &inner, 1, &is_done, &error), CELLAR_NOT_FOUND);
    assert_non_null(strstr(error.text, "dropped"));
    assert_false(is_done);
    assert_string_equal(sink.text, "a[]");
    tablet_scan_free(scan);
    rig_end(&rig);
}

static void a_sink_that_fails_ends_the_scan_with_its_status(void **state)
{
    struct rig rig;
    const struct tablet_scan_options options = {.rows = &every_row};
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    for (unsigned fail_at = 1; fail_at <= 18; fail_at++) { /* six rows, three calls each */
        struct sink sink = {.fail_at = fail_at};
        struct cellar_error error;
        assert_int_equal(scan_run(&rig, &options, 1u << 20, &sink, &error), CELLAR_IO_ERROR);
        assert_int_equal(error.code, CELLAR_IO_ERROR);
    }
    rig_end(&rig);
}

/* ---- large rows ------------------------------------------------------------------------------ */

/* A row of `count` values of 40000 bytes. @return the sum that the sink must get */
static uint64_t large_row_write(struct rig *rig, const char *row, unsigned count)
{
    char *value = malloc(40001);
    uint64_t sum = 0;
    assert_non_null(value);
    for (unsigned i = 0; i < count; i++) {
        char qualifier[16];
        (void)snprintf(qualifier, sizeof qualifier, "q%05u", i);
        for (size_t j = 0; j < 40000; j++) {
            value[j] = (char)('a' + (i * 7 + j) % 26);
            sum = sum * 31 + (uint8_t)value[j];
        }
        value[40000] = '\0';
        const struct store_item item = test_set("f", qualifier, 1, value);
        items_write(rig, row, &item, 1);
    }
    free(value);
    return sum;
}

static void large_row_check(unsigned count, bool is_reversed)
{
    struct rig rig;
    struct sink sink = {0};
    struct cellar_error error;
    const struct tablet_scan_options options = {.rows = &every_row, .is_reversed = is_reversed};
    rig_begin(&rig);
    const struct store_item small = test_set("f", "q", 1, "v");
    items_write(&rig, "g", &small, 1);
    items_write(&rig, "i", &small, 1);
    uint64_t sum = large_row_write(&rig, "h", count);
    if (scan_run(&rig, &options, 131072, &sink, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
    assert_string_equal(sink.text, is_reversed ? "i[f:q@1 ]h[]g[f:q@1 ]" : "g[f:q@1 ]h[]i[f:q@1 ]");
    assert_int_equal(sink.value_bytes, (uint64_t)count * 40000 + 2);
    assert_true(sink.piece_count > 3 + count / 5);
    memset(&sink, 0, sizeof sink);
    struct cellar_range range = {cellar_slice_text("h"), cellar_slice_make("h", 2)};
    const struct cellar_rowset set = {&range, 1};
    const struct tablet_scan_options one = {.rows = &set, .is_reversed = is_reversed};
    assert_int_equal(scan_run(&rig, &one, 131072, &sink, &error), CELLAR_OK);
    assert_true(sink.value_sum == sum);
    rig_end(&rig);
}

static void a_row_larger_than_a_chunk_comes_in_pieces(void **state)
{
    (void)state;
    large_row_check(20, false);
    large_row_check(20, true);
}

static void a_row_larger_than_memory_may_hold_goes_through_a_file(void **state)
{
    (void)state;
    large_row_check(250, false); /* 10 MB; the spool keeps 8 MiB in memory */
}

static void a_large_row_is_one_snapshot_even_when_the_row_changes(void **state)
{
    struct rig rig;
    struct tablet_scan *scan = NULL;
    struct sink sink = {0};
    struct cellar_error error;
    bool is_done = false;
    const struct tablet_sink inner = sink_of(&sink);
    const struct tablet_scan_options options = {.rows = &every_row};
    (void)state;
    rig_begin(&rig);
    uint64_t sum = large_row_write(&rig, "h", 10);
    cellar_error_clear(&error);
    assert_int_equal(scan_open(rig.db, rig.table, &options, &scan, &error), CELLAR_OK);
    while (!sink.is_open) { /* a chunk ends before a cold tablet */
        assert_int_equal(tablet_scan_next(scan, &inner, 50000, &is_done, &error), CELLAR_OK);
    }
    const struct store_item gone = test_delete_row();
    items_write(&rig, "h", &gone, 1);
    while (!is_done) {
        assert_int_equal(tablet_scan_next(scan, &inner, 50000, &is_done, &error), CELLAR_OK);
    }
    assert_true(sink.value_sum == sum);
    assert_false(sink.is_open);
    tablet_scan_free(scan);
    scan_check(&rig, &options, "");
    rig_end(&rig);
}

/* ---- without memory -------------------------------------------------------------------------- */

static enum cellar_status scan_once(void *context)
{
    struct sink sink = {0};
    struct cellar_error error;
    const struct tablet_column columns[] = {
        {cellar_slice_text("f"), cellar_slice_text("q"), false}};
    const struct tablet_scan_options options = {
        .rows = &every_row, .columns = columns, .column_count = 1};
    return scan_run(context, &options, 1u << 20, &sink, &error);
}

static void a_scan_without_memory_never_ends_a_row_twice(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    rows_write(&rig);
    assert_true(test_out_of_memory_loop(scan_once, &rig) > 3);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tablets_are_cold_until_steps_were_clean_and_again_after_a_pause),
        cmocka_unit_test(a_scan_crosses_tablets_in_both_directions),
        cmocka_unit_test(a_limit_counts_rows_over_tablets),
        cmocka_unit_test(ranges_and_keys_choose_rows_across_the_borders_of_tablets),
        cmocka_unit_test(values_in_files_are_sent_in_their_place),
        cmocka_unit_test(a_damaged_file_ends_the_read_with_its_row),
        cmocka_unit_test(columns_families_and_versions_restrict_cells),
        cmocka_unit_test(an_unknown_family_is_refused_with_its_index),
        cmocka_unit_test(a_drop_ends_a_scan_with_not_found),
        cmocka_unit_test(a_sink_that_fails_ends_the_scan_with_its_status),
        cmocka_unit_test(a_row_larger_than_a_chunk_comes_in_pieces),
        cmocka_unit_test(a_row_larger_than_memory_may_hold_goes_through_a_file),
        cmocka_unit_test(a_large_row_is_one_snapshot_even_when_the_row_changes),
        cmocka_unit_test(a_scan_without_memory_never_ends_a_row_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
