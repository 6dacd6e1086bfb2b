/*
 * check_report: findings as lines and as JSON, escapes, the limit of a scope, the summary.
 */
#include "server/storage/check_report.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "tests/support/check_fixture.h"

static struct store_check_place place_full(void)
{
    return (struct store_check_place){
        .file = "stores/3/1/data.mdb",
        .offset = 8192,
        .has_offset = true,
        .store_id = 3,
        .has_store = true,
        .table = cellar_slice_text("p/i/t"),
        .tablet_start = cellar_slice_text("a"),
        .tablet_end = cellar_slice_text("m\x7f"),
        .has_tablet = true,
        .row = cellar_slice_make("x\0\"\\\xff", 5),
        .has_row = true,
        .family = cellar_slice_text("f"),
        .qualifier = cellar_slice_text("q"),
        .has_column = true,
        .first_lsn = 7,
        .last_lsn = 9,
    };
}

static void finding_says_where_and_why(void **state)
{
    (void)state;
    struct test_report report;
    struct store_check_place place = place_full();
    test_report_begin(&report);
    store_check_find(&report.report, STORE_CHECK_DAMAGE, &place, "the number is %d", 5);
    assert_string_equal(
        test_report_text(&report),
        "damage: stores/3/1/data.mdb offset 8192 store 3 table p/i/t tablet \"a\" to \"m\\x7f\" "
        "row \"x\\x00\\x22\\x5c\\xff\" column \"f:q\" lsn 7 to 9: the number is 5\n");
    assert_int_equal(report.report.damage_count, 1);
    test_report_end(&report);
}

static void json_finding_has_the_same_fields(void **state)
{
    (void)state;
    struct test_report report;
    struct store_check_place place = place_full();
    test_report_begin(&report);
    report.report.is_json = true;
    place.has_row = false;
    place.has_rows = true;
    place.rows_start = cellar_slice_text("b");
    store_check_find(&report.report, STORE_CHECK_NOTE, &place, "it \"is\" so");
    assert_string_equal(
        test_report_text(&report),
        "{\"severity\":\"note\",\"file\":\"stores/3/1/data.mdb\",\"offset\":8192,\"store\":3,"
        "\"table\":\"p/i/t\",\"tablet_start\":\"a\",\"tablet_end\":\"m\\\\x7f\","
        "\"rows_start\":\"b\",\"rows_end\":\"\",\"family\":\"f\",\"qualifier\":\"q\","
        "\"first_lsn\":7,\"last_lsn\":9,\"why\":\"it \\\\x22is\\\\x22 so\"}\n");
    assert_int_equal(report.report.damage_count, 0);
    assert_int_equal(report.report.note_count, 1);
    test_report_end(&report);
}

static void what_is_not_known_is_not_said(void **state)
{
    (void)state;
    struct test_report report;
    struct store_check_place place = {.first_lsn = 4, .last_lsn = 4, .file = "log/1"};
    test_report_begin(&report);
    store_check_find(&report.report, STORE_CHECK_NOTE, NULL, "alone");
    store_check_find(&report.report, STORE_CHECK_NOTE, &place, "one");
    assert_string_equal(test_report_text(&report), "note: alone\nnote: log/1 lsn 4: one\n");
    test_report_end(&report);
}

static void findings_above_the_limit_are_counted(void **state)
{
    (void)state;
    struct test_report report;
    test_report_begin(&report);
    store_check_scope_begin(&report.report);
    for (unsigned i = 0; i < STORE_CHECK_FINDING_COUNT_MAX + 12; i++) {
        store_check_find(&report.report, STORE_CHECK_DAMAGE, NULL, "number %u", i);
    }
    store_check_scope_end(&report.report);
    test_report_has(&report, "number 999\n");
    assert_null(strstr(report.text, "number 1000\n"));
    test_report_has(&report, "note: 12 further findings here are counted only\n");
    assert_int_equal(report.report.damage_count, STORE_CHECK_FINDING_COUNT_MAX + 12);
    store_check_scope_begin(&report.report);
    store_check_find(&report.report, STORE_CHECK_DAMAGE, NULL, "of the next scope");
    test_report_has(&report, "of the next scope");
    test_report_end(&report);
}

static void summary_ends_with_ok_or_the_number_of_problems(void **state)
{
    (void)state;
    struct test_report report;
    test_report_begin(&report);
    report.report.counts.row_count = 5;
    store_check_report_end(&report.report);
    test_report_has(&report, "checked: tables 0 stores 0 rows 5 items 0 ");
    test_report_has(&report, " problems 0\nOK\n");
    report.report.damage_count = 1;
    store_check_report_end(&report.report);
    test_report_has(&report, "\n1 problem\n");
    report.report.damage_count = 2;
    store_check_report_end(&report.report);
    test_report_has(&report, "\n2 problems\n");
    report.report.is_json = true;
    store_check_report_end(&report.report);
    test_report_has(&report, "{\"tables\":0,\"stores\":0,\"rows\":5,");
    test_report_has(&report, "\"problems\":2}\n");
    test_report_end(&report);
}

static void progress_is_wiped_before_a_finding(void **state)
{
    (void)state;
    struct test_report report;
    struct test_report line;
    test_report_begin(&report);
    test_report_begin(&line);
    cellar_clock_fake_set(1000000, 1000000);
    store_check_progress(&report.report, "nothing", 0, 0); /* nobody looks */
    report.report.progress = line.report.out;
    store_check_progress(&report.report, "log", 3 << 20, 8 << 20);
    store_check_progress(&report.report, "log", 4 << 20, 8 << 20); /* too soon */
    test_report_has(&line, "\r\033[Kchecking log: 3 of 8 MiB");
    assert_null(strstr(line.text, "4 of 8"));
    store_check_find(&report.report, STORE_CHECK_NOTE, NULL, "found");
    cellar_clock_fake_off();
    assert_string_equal(test_report_text(&line), "\r\033[Kchecking log: 3 of 8 MiB\r\033[K");
    assert_string_equal(test_report_text(&report), "note: found\n");
    test_report_end(&line);
    test_report_end(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finding_says_where_and_why),
        cmocka_unit_test(json_finding_has_the_same_fields),
        cmocka_unit_test(what_is_not_known_is_not_said),
        cmocka_unit_test(findings_above_the_limit_are_counted),
        cmocka_unit_test(summary_ends_with_ok_or_the_number_of_problems),
        cmocka_unit_test(progress_is_wiped_before_a_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
