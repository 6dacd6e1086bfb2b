/*
 * check_data: whole directories, as a server leaves them when it stops and when it is killed;
 * records and rows that do not fit their tables; what may not be checked, and what cannot be.
 *
 * A child process writes each directory and ends without closing anything, as a killed server does.
 */
#include "server/tablet/check_data.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "server/tablet/db.h"
#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

struct fixture {
    char parent[256];
    char data_dir[300];
    struct test_report report;
};

/* What a child does with an open server. */
typedef void work_fn(struct tablet_db *db);

static void fixture_begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(fixture->parent, sizeof fixture->parent);
    (void)snprintf(fixture->data_dir, sizeof fixture->data_dir, "%s/data", fixture->parent);
    test_report_begin(&fixture->report);
}

static void fixture_end(struct fixture *fixture)
{
    test_report_end(&fixture->report);
    test_remove_tree(fixture->parent);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void table_make(struct tablet_db *db, const char *name)
{
    const struct tablet_family family = {.name = cellar_slice_text("f")};
    const struct cellar_slice split = cellar_slice_text("m");
    const struct tablet_spec spec = {
        .name = {cellar_slice_text("p"), cellar_slice_text("i"), cellar_slice_text(name)},
        .granularity = CELLAR_GRANULARITY_MILLIS,
        .families = &family,
        .family_count = 1,
        .split_keys = &split,
        .split_key_count = 1,
    };
    struct tablet_table *made = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status = tablet_db_create(db, &spec, &made, &error);
    CELLAR_ASSERT(status == CELLAR_OK);
    tablet_table_unref(made);
}

static void record_done(struct store_log_record *record, enum cellar_status status)
{
    CELLAR_ASSERT(status == CELLAR_OK);
    free(record);
}

/* Appends a record as it is, whatever it holds; waits until it is durable. */
static void record_put(struct tablet_db *db, uint32_t store_id, uint8_t type,
                       struct cellar_slice payload)
{
    struct store_engine *engine = tablet_db_engine(db);
    struct store_log *log = store_engine_log(engine);
    struct store_log_record *record = calloc(1, sizeof *record);
    CELLAR_ASSERT(record != NULL);
    record->done = record_done;
    record->entry =
        (struct store_log_entry){.store_id = store_id, .type = type, .payload = payload};
    struct store_batch *batch = NULL;
    if (store_batch_new(payload, false, &batch) == CELLAR_OK) {
        record->entry.payload = batch->payload;
    }
    store_log_lock(log);
    uint64_t lsn = store_log_next_lsn(log);
    if (batch != NULL) {
        store_engine_append(engine, store_engine_find(engine, store_id), record, batch);
    } else {
        (void)store_log_append(log, record);
    }
    store_log_unlock(log);
    bool is_durable = store_log_wait_durable(log, lsn);
    CELLAR_ASSERT(is_durable);
}

static void row_put(struct tablet_db *db, uint32_t store_id, const char *row, const char *family,
                    int64_t timestamp_us)
{
    struct cellar_buffer payload = {0};
    const struct store_item item = test_set(family, "q", timestamp_us, "value");
    test_mutation_put(&payload, cellar_slice_text(row), 0, &item, 1);
    record_put(db, store_id, STORE_RECORD_MUTATION, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
}

/* Runs a server in a child that then stops in good order, or just ends. */
static void server_run(struct fixture *fixture, work_fn *work, bool is_stopped)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct store_engine_options options = {
            .data_dir = fixture->data_dir,
            .memory_bytes_max = UINT64_C(256) << 20,
            .memtable_bytes_max = UINT64_C(16) << 20,
            .unapplied_bytes_max = UINT64_C(16) << 20,
            .unapplied_records_max = 100000,
            .store_tokens_max = 1000,
            .segment_bytes = 64u << 10,
            .map_bytes = TEST_MAP_BYTES,
        };
        struct tablet_db *db = NULL;
        struct cellar_error error;
        cellar_error_clear(&error);
        if (tablet_db_open(&options, &db, &error) != CELLAR_OK) {
            _exit(2);
        }
        work(db);
        if (is_stopped) {
            tablet_db_close(db);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- the check ------------------------------------------------------------------------------- */

static enum cellar_status check_try(struct fixture *fixture, uint64_t *damage_count,
                                    struct cellar_error *error)
{
    const struct tablet_check_options options = {.data_dir = fixture->data_dir,
                                                 .out = fixture->report.report.out};
    cellar_error_clear(error);
    return tablet_check_data(&options, damage_count, error);
}

/* Fails unless the check tells exactly so many problems and, if given, `why`. */
static void check_tells(struct fixture *fixture, uint64_t count, const char *why)
{
    struct cellar_error error;
    uint64_t damage_count = 0;
    assert_int_equal(check_try(fixture, &damage_count, &error), CELLAR_OK);
    if (damage_count != count) {
        fail_msg("not %u problems:\n%s", (unsigned)count, test_report_text(&fixture->report));
    }
    if (why != NULL) {
        test_report_has(&fixture->report, why);
    }
}

static void path_of(const struct fixture *fixture, const char *name, char *path)
{
    (void)snprintf(path, 400, "%s/%s", fixture->data_dir, name);
}

/* ---- sound ----------------------------------------------------------------------------------- */

static void work_sound(struct tablet_db *db)
{
    table_make(db, "t");
    row_put(db, 1, "a", "f", 1000);
    row_put(db, 2, "m", "f", 1000);
    row_put(db, 2, "z", "f", 2000);
}

static void killed_and_stopped_servers_leave_sound_directories(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, false);
    check_tells(&fixture, 0, "\nOK\n");
    test_report_has(&fixture.report, "checked: tables 1 stores 2 rows 0 ");
    test_report_has(&fixture.report, " unapplied_records 4 "); /* the table and three rows */
    fixture_end(&fixture);
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, true);
    check_tells(&fixture, 0, "\nOK\n");
    test_report_has(&fixture.report, " unapplied_records 0 ");
    test_report_has(&fixture.report, " notes 0 ");
    fixture_end(&fixture);
}

/* ---- what does not fit the tables ------------------------------------------------------------ */

static void work_misfits(struct tablet_db *db)
{
    work_sound(db);
    row_put(db, 1, "n", "f", 1000);
    row_put(db, 2, "l", "f", 1000);
    row_put(db, 1, "b", "x", 1000);
    row_put(db, 1, "c", "f", 1001);
}

static void rows_and_cells_that_fit_no_table_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    for (int is_stopped = 0; is_stopped < 2; is_stopped++) {
        const char *file = is_stopped != 0 ? "stores/1/1/data.mdb offset" : "log/00000001.log";
        char line[160];
        fixture_begin(&fixture);
        server_run(&fixture, work_misfits, is_stopped != 0);
        check_tells(&fixture, 4, "store 1 table p/i/t tablet \"\" to \"m\" row \"n\"");
        (void)snprintf(line, sizeof line, "damage: %s", file);
        test_report_has(&fixture.report, line);
        test_report_has(&fixture.report, "the row lies outside its tablet's range");
        test_report_has(&fixture.report, "tablet \"m\" to \"\" row \"l\"");
        test_report_has(&fixture.report, ": the table has no such family");
        test_report_has(&fixture.report, ": the timestamp is finer than the table's granularity");
        fixture_end(&fixture);
    }
}

static void work_strange_records(struct tablet_db *db)
{
    work_sound(db);
    record_put(db, 1, STORE_RECORD_SCHEMA, cellar_slice_text("reserved"));
    record_put(db, 1, STORE_RECORD_RANGE_DROP, cellar_slice_text("no range"));
    record_put(db, 1, STORE_RECORD_MUTATION, cellar_slice_text("no mutation"));
    record_put(db, 0, STORE_RECORD_CATALOG, cellar_slice_text("no change"));
    record_put(db, 99, STORE_RECORD_MUTATION, cellar_slice_text("of a dropped table"));
}

static void records_that_cannot_be_read_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    server_run(&fixture, work_strange_records, false);
    check_tells(&fixture, 5, ": the record is of a type that this cellard does not know");
    test_report_has(&fixture.report, "store 1 lsn ");
    test_report_has(&fixture.report, ": the record's mutation cannot be read");
    test_report_has(&fixture.report, ": the record's range drop cannot be read");
    test_report_has(&fixture.report, ": the record holds no change of the catalog");
    fixture_end(&fixture);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void store_that_is_gone_is_told_with_its_table(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[400];
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, true);
    path_of(&fixture, "stores/2/1/data.mdb", path);
    assert_int_equal(unlink(path), 0);
    check_tells(&fixture, 1,
                "damage: stores/2/1/data.mdb offset 0 store 2 table p/i/t tablet \"m\" to \"\": "
                "file: the file is missing");
    fixture_end(&fixture);
}

static void stores_of_a_damaged_catalog_are_checked_without_it(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[400];
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, true);
    path_of(&fixture, "stores/0/1/data.mdb", path);
    assert_int_equal(truncate(path, 100), 0);
    check_tells(&fixture, 1, "damage: stores/0/1/data.mdb offset 0 store 0 table (catalog)");
    test_report_has(&fixture.report, "note: stores/1/1: what is left of the damaged catalog");
    test_report_has(&fixture.report, "note: stores/2/1: what is left of the damaged catalog");
    test_report_has(&fixture.report, "checked: tables 0 stores 2 rows 3 ");
    path_of(&fixture, "stores/2/1/data.mdb", path);
    assert_int_equal(truncate(path, 100), 0);
    check_tells(&fixture, 2, "damage: stores/2/1/data.mdb offset 0 store 2");
    fixture_end(&fixture);
}

static void leftovers_are_notes(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[400];
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, true);
    path_of(&fixture, "stores/9", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(&fixture, "stores/1/4", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(&fixture, "mine", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(&fixture, "LOCK", path);
    assert_int_equal(unlink(path), 0);
    check_tells(&fixture, 0, "note: stores/9: leftover");
    test_report_has(&fixture.report, "note: stores/1/4: leftover");
    test_report_has(&fixture.report, "note: mine: no part of a data directory");
    test_report_has(&fixture.report, "note: LOCK: the file is missing");
    fixture_end(&fixture);
}

static void damaged_format_is_told_and_the_rest_checked(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[400];
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, true);
    path_of(&fixture, "FORMAT", path);
    assert_int_equal(unlink(path), 0);
    check_tells(&fixture, 1, "damage: FORMAT: the file is missing or damaged");
    test_report_has(&fixture.report, "checked: tables 1 stores 2 rows 3 ");
    fixture_end(&fixture);
}

/* ---- not checked ----------------------------------------------------------------------------- */

static void what_cannot_be_checked_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_error error;
    uint64_t damage_count = 0;
    char path[400];
    fixture_begin(&fixture);
    assert_int_equal(check_try(&fixture, &damage_count, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "cannot open the data directory"));
    server_run(&fixture, work_sound, true);
    path_of(&fixture, "FORMAT", path);
    test_file_write(path, (const uint8_t *)"cellar data directory, format 8\n", 32);
    assert_int_equal(check_try(&fixture, &damage_count, &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "is of another version"));
    assert_string_equal(test_report_text(&fixture.report), "");
    fixture_end(&fixture);
}

static void unfinished_first_start_is_a_note(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[400];
    fixture_begin(&fixture);
    assert_int_equal(mkdir(fixture.data_dir, 0700), 0);
    path_of(&fixture, "FORMAT.new", path);
    test_file_write(path, (const uint8_t *)"x", 1);
    check_tells(&fixture, 0, "note: FORMAT.new: a first start was cut short");
    fixture_end(&fixture);
}

static enum cellar_status memory_run(void *context)
{
    uint64_t damage_count = 0;
    struct cellar_error error;
    enum cellar_status status = check_try(context, &damage_count, &error);
    assert_int_equal(damage_count, 0);
    return status;
}

static void out_of_memory_is_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    server_run(&fixture, work_sound, false);
    assert_true(test_out_of_memory_loop(memory_run, &fixture) >= 20);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_and_stopped_servers_leave_sound_directories),
        cmocka_unit_test(rows_and_cells_that_fit_no_table_are_told),
        cmocka_unit_test(records_that_cannot_be_read_are_told),
        cmocka_unit_test(store_that_is_gone_is_told_with_its_table),
        cmocka_unit_test(stores_of_a_damaged_catalog_are_checked_without_it),
        cmocka_unit_test(leftovers_are_notes),
        cmocka_unit_test(damaged_format_is_told_and_the_rest_checked),
        cmocka_unit_test(what_cannot_be_checked_is_refused),
        cmocka_unit_test(unfinished_first_start_is_a_note),
        cmocka_unit_test(out_of_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
