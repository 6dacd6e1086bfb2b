/*
 * The benchmark's workloads: equal seeds draw equal operations, mixes and choices have the shape
 * that they are named for, loads write everything once.
 */
#include "client/tools/bench_workload.h"

#include <stdlib.h>

#include "tests/support/support.h"

#define RECORDS 1000u
#define DRAWS 20000u

static struct cellar_bench_state tracked;

static int start(void **state)
{
    static const struct cellar_bench_sizes sizes = {
        .record_count = RECORDS, .timeline_count = 20, .wide_count = 3};
    (void)state;
    return cellar_bench_state_init(&tracked, &sizes, NULL) == CELLAR_OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    cellar_bench_state_fini(&tracked);
    return 0;
}

static void equal_seeds_draw_equal_operations(void **state)
{
    (void)state;
    for (const struct cellar_bench_workload *at = cellar_bench_workloads; at->name != NULL; at++) {
        struct cellar_bench_source first;
        struct cellar_bench_source second;
        struct cellar_bench_op one;
        struct cellar_bench_op two;
        assert_ptr_equal(cellar_bench_workload_find(at->name), at);
        cellar_bench_source_init(&first, at, &tracked, 9);
        cellar_bench_source_init(&second, at, &tracked, 9);
        for (int index = 0; index < 500; index++) {
            assert_true(cellar_bench_source_next(&first, &tracked, &one));
            assert_true(cellar_bench_source_next(&second, &tracked, &two));
            assert_memory_equal(&one, &two, sizeof one);
            assert_true((cellar_bench_workload_kinds(at) & 1u << one.kind) != 0);
        }
    }
    assert_null(cellar_bench_workload_find("nonsense"));
}

/* Draws many operations of a workload and counts those of one kind. */
static uint32_t kind_count(const char *name, enum cellar_bench_kind kind)
{
    struct cellar_bench_source source;
    struct cellar_bench_op op;
    uint32_t count = 0;
    cellar_bench_source_init(&source, cellar_bench_workload_find(name), &tracked, 4);
    for (uint32_t index = 0; index < DRAWS; index++) {
        assert_true(cellar_bench_source_next(&source, &tracked, &op));
        count += op.kind == kind ? 1 : 0;
    }
    return count;
}

static void mixes_have_their_shares(void **state)
{
    (void)state;
    assert_int_equal(kind_count("c", CELLAR_BENCH_GET_ROW), DRAWS);
    assert_in_range(kind_count("a", CELLAR_BENCH_PUT_CELL), DRAWS * 48 / 100, DRAWS * 52 / 100);
    assert_in_range(kind_count("b", CELLAR_BENCH_PUT_CELL), DRAWS * 4 / 100, DRAWS * 6 / 100);
    assert_in_range(kind_count("d", CELLAR_BENCH_PUT_ROWS), DRAWS * 4 / 100, DRAWS * 6 / 100);
    assert_in_range(kind_count("e", CELLAR_BENCH_SCAN), DRAWS * 94 / 100, DRAWS * 96 / 100);
    assert_in_range(kind_count("timeline", CELLAR_BENCH_NEWEST), DRAWS * 18 / 100,
                    DRAWS * 22 / 100);
}

/* How often each record is drawn. */
static uint32_t *records_count(const char *name)
{
    struct cellar_bench_source source;
    struct cellar_bench_op op;
    uint32_t *counts = calloc(RECORDS, sizeof *counts);
    assert_non_null(counts);
    cellar_bench_source_init(&source, cellar_bench_workload_find(name), &tracked, 4);
    for (uint32_t index = 0; index < DRAWS; index++) {
        assert_true(cellar_bench_source_next(&source, &tracked, &op));
        assert_true(op.record < RECORDS && op.column < CELLAR_BENCH_FIELD_COUNT);
        counts[op.record]++;
    }
    return counts;
}

static void choices_have_their_shapes(void **state)
{
    uint32_t greatest = 0;
    uint32_t *even = records_count("row");
    uint32_t *zipfian = records_count("c");
    uint32_t *latest = records_count("d");
    (void)state;
    for (uint32_t record = 0; record < RECORDS; record++) {
        assert_true(even[record] < 60); /* 20 each */
        greatest = CELLAR_MAX(greatest, zipfian[record]);
    }
    assert_true(greatest > DRAWS / 10); /* the hottest of 1,000 has a share of 13 % */
    assert_true(zipfian[0] < greatest); /* and is not the first one */
    assert_true(latest[RECORDS - 1] > DRAWS / 10);
    free(even);
    free(zipfian);
    free(latest);
}

static void scans_have_1_to_100_rows_and_slices_fit(void **state)
{
    struct cellar_bench_source source;
    struct cellar_bench_op op;
    uint32_t least = 1000;
    uint32_t most = 0;
    (void)state;
    cellar_bench_source_init(&source, cellar_bench_workload_find("scan"), &tracked, 4);
    for (uint32_t index = 0; index < DRAWS; index++) {
        assert_true(cellar_bench_source_next(&source, &tracked, &op));
        least = CELLAR_MIN(least, op.count);
        most = CELLAR_MAX(most, op.count);
    }
    assert_int_equal(least, 1);
    assert_int_equal(most, 100);
    cellar_bench_source_init(&source, cellar_bench_workload_find("slice"), &tracked, 4);
    for (uint32_t index = 0; index < DRAWS; index++) {
        assert_true(cellar_bench_source_next(&source, &tracked, &op));
        assert_true(op.count == 50 && op.record < 3);
        assert_true(op.column + op.count <= CELLAR_BENCH_COLUMN_COUNT);
    }
}

static void the_latest_follow_the_inserts(void **state)
{
    struct cellar_bench_source source;
    struct cellar_bench_op op;
    struct cellar_bench_check check;
    bool is_new_read = false;
    (void)state;
    cellar_bench_source_init(&source, cellar_bench_workload_find("d"), &tracked, 4);
    for (uint32_t index = 0; index < DRAWS; index++) {
        assert_true(cellar_bench_source_next(&source, &tracked, &op));
        if (op.is_insert) {
            cellar_bench_state_begin(&tracked, &op, &check);
            assert_int_equal(cellar_bench_state_end(&tracked, &check, NULL), CELLAR_OK);
        } else {
            assert_true(op.record < cellar_bench_state_records(&tracked));
            is_new_read = is_new_read || op.record >= RECORDS;
        }
    }
    assert_true(is_new_read);
}

static void a_load_writes_everything_once(void **state)
{
    static const struct {
        enum cellar_bench_load load;
        uint64_t wanted;
    } cases[] = {{CELLAR_BENCH_LOAD_RECORDS, RECORDS},
                 {CELLAR_BENCH_LOAD_WIDE, UINT64_C(3) * CELLAR_BENCH_COLUMN_COUNT},
                 {CELLAR_BENCH_LOAD_TIMELINES, 20 * 7}};
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_bench_source source;
        struct cellar_bench_op op;
        uint64_t written = 0;
        uint64_t next = 0;
        cellar_bench_source_init_load(&source, cases[index].load, &tracked.sizes, 7);
        while (cellar_bench_source_next(&source, &tracked, &op)) {
            assert_true(op.count >= 1 && !op.is_insert);
            if (op.kind == CELLAR_BENCH_PUT_ROWS) {
                assert_int_equal(op.record, next);
                next += op.count;
            } else if (op.kind == CELLAR_BENCH_PUT_COLUMNS) {
                assert_int_equal(op.record * CELLAR_BENCH_COLUMN_COUNT + op.column, written);
            } else {
                assert_int_equal(op.record, next++);
            }
            written += op.count;
        }
        assert_int_equal(written, cases[index].wanted);
        assert_false(cellar_bench_source_next(&source, &tracked, &op));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(equal_seeds_draw_equal_operations), TEST(mixes_have_their_shares),
        TEST(choices_have_their_shapes),         TEST(scans_have_1_to_100_rows_and_slices_fit),
        TEST(the_latest_follow_the_inserts),     TEST(a_load_writes_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
