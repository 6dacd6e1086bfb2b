/*
 * check_log: a log that ended well or was torn is sound; gaps are told with file and offset, as
 * damage only when a store needs them; files are opened for reading and left as they were.
 */
#include "server/storage/check_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

struct fixture {
    struct store_data_dir dir;
    struct test_report report;
    struct test_log_files files;
    uint64_t record_count;
    uint64_t last_lsn;
};

/* A log of `count` records of `bytes`, all of them in groups of their own, ended well. */
static void fixture_begin(struct fixture *fixture, uint64_t count, size_t bytes)
{
    char directory[256];
    memset(fixture, 0, sizeof *fixture);
    test_disk_fast(true);
    test_temp_dir(directory, sizeof directory);
    (void)snprintf(fixture->dir.path, sizeof fixture->dir.path, "%s", directory);
    (void)snprintf(fixture->dir.log_path, sizeof fixture->dir.log_path, "%s/log", directory);
    assert_int_equal(mkdir(fixture->dir.log_path, 0700), 0);
    if (count > 0) {
        struct store_log *log = test_log_begin(fixture->dir.log_path, TEST_LOG_SEGMENT_BYTES, 0);
        test_log_append_many(log, 1, bytes, count);
        store_log_close(log);
        test_log_files_load(fixture->dir.log_path, &fixture->files);
    }
    test_report_begin(&fixture->report);
}

static void fixture_end(struct fixture *fixture)
{
    test_report_end(&fixture->report);
    test_log_files_free(&fixture->files);
    test_remove_tree(fixture->dir.path);
}

static enum cellar_status record_note(void *context, const struct store_log_entry *entry)
{
    struct fixture *fixture = context;
    fixture->record_count++;
    fixture->last_lsn = entry->lsn;
    return CELLAR_OK;
}

/* Opens, reads twice, judges gaps. @return how many problems were told */
static uint64_t check_run(struct fixture *fixture, uint64_t needed_lsn)
{
    struct store_check_log log;
    uint64_t before = fixture->report.report.damage_count;
    fixture->record_count = 0;
    assert_int_equal(store_check_log_open(&log, &fixture->report.report, &fixture->dir), CELLAR_OK);
    assert_int_equal(store_check_log_read(&log, true, record_note, fixture), CELLAR_OK);
    uint64_t record_count = fixture->record_count;
    assert_int_equal(store_check_log_read(&log, false, record_note, fixture), CELLAR_OK);
    assert_int_equal(fixture->record_count, 2 * record_count);
    uint64_t damage_count = fixture->report.report.damage_count;
    bool has_gap = store_check_log_has_gap(&log, needed_lsn);
    store_check_log_gaps(&log, needed_lsn);
    assert_int_equal(has_gap, fixture->report.report.damage_count > damage_count);
    store_check_log_close(&log);
    fixture->record_count = record_count;
    return fixture->report.report.damage_count - before;
}

static void sound_log_is_counted(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 40, 5000);
    assert_int_equal(check_run(&fixture, 0), 0);
    assert_string_equal(test_report_text(&fixture.report), "");
    assert_int_equal(fixture.record_count, 41);
    assert_int_equal(fixture.last_lsn, 41);
    const struct store_check_counts *counts = &fixture.report.report.counts;
    assert_int_equal(counts->record_count, 41);
    assert_int_equal(counts->group_count, 41);
    assert_true(counts->segment_count >= 3);
    fixture_end(&fixture);
}

static void end_and_low_water_are_known(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_check_log log;
    fixture_begin(&fixture, 5, 100);
    assert_int_equal(store_check_log_open(&log, &fixture.report.report, &fixture.dir), CELLAR_OK);
    assert_int_equal(store_check_log_end(&log), 6);
    assert_int_equal(store_check_log_low_water(&log), 0);
    store_check_log_close(&log);
    assert_int_equal(store_check_log_end(&log), UINT64_MAX);
    assert_int_equal(store_check_log_low_water(&log), 0);
    fixture_end(&fixture);
}

static void gap_is_damage_when_it_is_needed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_log_group group;
    char where[128];
    fixture_begin(&fixture, 20, 300);
    test_log_group_spoil(&fixture.files, 7);
    size_t index = test_log_group_find(&fixture.files, 6, &group);
    (void)snprintf(
        where, sizeof where, "%s offset %llu lsn 7: records cannot be read",
        strstr(fixture.files.items[index].path, "log/"),
        (unsigned long long)store_log_align(group.offset + group.bytes.bytes,
                                            fixture.files.items[index].header.alignment));
    assert_int_equal(check_run(&fixture, 6), 1);
    test_report_has(&fixture.report, "damage: ");
    test_report_has(&fixture.report, where);
    assert_int_equal(fixture.record_count, 20);
    assert_int_equal(check_run(&fixture, 7), 0);
    test_report_has(&fixture.report, "note: ");
    test_report_has(&fixture.report, "nobody needs them");
    fixture_end(&fixture);
}

static void neighbouring_gaps_are_one_and_others_are_apart(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 60, 3000);
    test_log_group_spoil(&fixture.files, 10);
    test_log_group_spoil(&fixture.files, 11);
    test_log_group_spoil(&fixture.files, 50);
    assert_int_equal(check_run(&fixture, 0), 2);
    test_report_has(&fixture.report, "lsn 10 to 11: ");
    test_report_has(&fixture.report, "lsn 50: ");
    fixture_end(&fixture);
}

static void torn_end_is_a_note(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_log_group group;
    fixture_begin(&fixture, 9, 300);
    size_t index = test_log_group_find(&fixture.files, 10, &group);
    struct test_log_file *file = &fixture.files.items[index];
    file->data[group.offset + group.bytes.bytes - 1] ^= 1;
    test_log_file_store(file, file->bytes);
    assert_int_equal(check_run(&fixture, 0), 0);
    test_report_has(&fixture.report, "note: ");
    test_report_has(&fixture.report, " lsn 10: torn end: ");
    assert_int_equal(fixture.record_count, 9);
    fixture_end(&fixture);
}

static void segments_that_are_gone_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 60, 3000);
    assert_true(fixture.files.count >= 3);
    const struct test_log_file *oldest = NULL;
    for (size_t i = 0; i < fixture.files.count && oldest == NULL; i++) {
        oldest = fixture.files.items[i].has_header ? &fixture.files.items[i] : NULL;
    }
    assert_non_null(oldest);
    assert_int_equal(unlink(oldest->path), 0);
    assert_int_equal(check_run(&fixture, 0), 1);
    test_report_has(&fixture.report, "damage: log lsn 1 to ");
    for (size_t i = 0; i < fixture.files.count; i++) {
        (void)unlink(fixture.files.items[i].path);
    }
    assert_int_equal(check_run(&fixture, 0), 1);
    test_report_has(&fixture.report, "no segment of the log is there");
    fixture_end(&fixture);
}

static void log_that_recovery_refuses_is_one_problem(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 5, 100);
    struct test_log_file *last = &fixture.files.items[fixture.files.count - 1];
    test_log_file_store(last, 700);
    assert_int_equal(check_run(&fixture, 0), 1);
    test_report_has(&fixture.report, "was cut off at 700 of 65536 bytes");
    test_log_version_set(last, 9);
    assert_int_equal(check_run(&fixture, 0), 1);
    test_report_has(&fixture.report, "is of another format version");
    fixture_end(&fixture);
}

static void missing_directory_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 0, 0);
    assert_int_equal(rmdir(fixture.dir.log_path), 0);
    assert_int_equal(check_run(&fixture, 0), 1);
    test_report_has(&fixture.report, "damage: log: cannot open the directory");
    fixture_end(&fixture);
}

static void other_files_and_torn_headers_are_notes(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[PATH_MAX + 16];
    uint8_t noise[4096];
    fixture_begin(&fixture, 5, 100);
    memset(noise, 0x5A, sizeof noise);
    (void)snprintf(path, sizeof path, "%s/00000077.log", fixture.dir.log_path);
    test_file_write(path, noise, sizeof noise);
    (void)snprintf(path, sizeof path, "%s/00000078.log", fixture.dir.log_path);
    test_file_write(path, noise, 100);
    (void)snprintf(path, sizeof path, "%s/notes.txt", fixture.dir.log_path);
    test_file_write(path, noise, 1);
    assert_int_equal(check_run(&fixture, 0), 0);
    test_report_has(&fixture.report,
                    "note: log/00000077.log offset 0: the segment's header cannot");
    test_report_has(&fixture.report,
                    "note: log/00000078.log offset 0: the segment's header cannot");
    test_report_has(&fixture.report, "note: log/notes.txt: no file of the log");
    assert_int_equal(fixture.report.report.note_count, 3);
    fixture_end(&fixture);
}

static void reading_writes_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 5, 100);
    struct stat before;
    struct stat after;
    const char *path = fixture.files.items[fixture.files.count - 1].path;
    assert_int_equal(stat(path, &before), 0);
    uint64_t write_count = 0;
    uint64_t write_count_after = 0;
    uint64_t sync_count = 0;
    test_disk_counts(&write_count, &sync_count);
    assert_int_equal(check_run(&fixture, 0), 0);
    test_disk_counts(&write_count_after, &sync_count);
    assert_int_equal(write_count_after, write_count);
    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    fixture_end(&fixture);
}

/* ---- records --------------------------------------------------------------------------------- */

static enum cellar_status place_check(void *context, const struct store_log_entry *entry)
{
    const struct store_check_log *log = context;
    char file[STORE_CHECK_FILE_BYTES_MAX];
    struct store_check_place place;
    store_check_log_place(log, entry->lsn, file, &place);
    assert_string_equal(place.file, "log/00000001.log");
    assert_int_equal(place.first_lsn, entry->lsn);
    assert_int_equal(place.offset % STORE_LOG_ALIGNMENT_MIN, 0);
    return entry->lsn == 3 ? CELLAR_CANCELLED : CELLAR_OK;
}

static void record_that_ends_the_reading_knows_its_place(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_check_log log;
    fixture_begin(&fixture, 5, 100);
    assert_int_equal(store_check_log_open(&log, &fixture.report.report, &fixture.dir), CELLAR_OK);
    assert_int_equal(store_check_log_read(&log, true, place_check, &log), CELLAR_CANCELLED);
    assert_int_equal(fixture.report.report.damage_count, 0);
    store_check_log_close(&log);
    fixture_end(&fixture);
}

static enum cellar_status memory_run(void *context)
{
    struct fixture *fixture = context;
    struct store_check_log log;
    enum cellar_status status = store_check_log_open(&log, &fixture->report.report, &fixture->dir);
    if (status == CELLAR_OK) {
        status = store_check_log_read(&log, true, record_note, fixture);
    }
    store_check_log_close(&log);
    return status;
}

static void out_of_memory_is_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, 30, 3000);
    assert_true(test_out_of_memory_loop(memory_run, &fixture) >= 4);
    assert_int_equal(fixture.report.report.damage_count, 0);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_log_is_counted),
        cmocka_unit_test(end_and_low_water_are_known),
        cmocka_unit_test(gap_is_damage_when_it_is_needed),
        cmocka_unit_test(neighbouring_gaps_are_one_and_others_are_apart),
        cmocka_unit_test(torn_end_is_a_note),
        cmocka_unit_test(segments_that_are_gone_are_told),
        cmocka_unit_test(log_that_recovery_refuses_is_one_problem),
        cmocka_unit_test(missing_directory_is_told),
        cmocka_unit_test(other_files_and_torn_headers_are_notes),
        cmocka_unit_test(reading_writes_nothing),
        cmocka_unit_test(record_that_ends_the_reading_knows_its_place),
        cmocka_unit_test(out_of_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
