/*
 * service_load, loader, and the load of tablet and storage below: rows are seen at the commit, in
 * two tablets at once, beside rows and writers that were there; what has rows is refused; loads
 * that nobody goes on with leave nothing behind; crashes before and behind the commit.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/service/loader.h"
#include "server/service/service_internal.h"
#include "server/tablet/compact.h"
#include "tests/support/load_wire.h"
#include "tests/support/model_service.h"

#define BATCH_ROWS 100u
#define VALUE_BYTES 700u
#define ROW_COUNT 3000u

static int owner; /* its address is a connection's */

/* A table of two tablets whose memtables are written down often. */
static void service_open(struct model_service *service, int64_t idle_us)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.checkpoint_records_max = 50;
    options.load_idle_us = idle_us;
    model_service_open(service, &options);
    model_svc_load_table_make(service->svc, "row001500");
}

static uint64_t load_begin(struct svc *svc, const char *start, const char *end)
{
    uint64_t id = 0;
    struct cellar_error error;
    const struct svc_load_range range = {cellar_slice_text("t"), cellar_slice_text(start),
                                         cellar_slice_text(end)};
    cellar_error_clear(&error);
    assert_int_equal(svc_load_begin(svc, NULL, &range, &owner, &id, &error), CELLAR_OK);
    assert_true(id > 0);
    return id;
}

static enum cellar_status begin_fails(struct svc *svc, const char *start, const char *end,
                                      struct cellar_error *error)
{
    uint64_t id = 0;
    const struct svc_load_range range = {cellar_slice_text("t"), cellar_slice_text(start),
                                         cellar_slice_text(end)};
    cellar_error_clear(error);
    enum cellar_status status = svc_load_begin(svc, NULL, &range, &owner, &id, error);
    assert_int_equal(id, 0);
    return status;
}

/* Rows `first` up to `end`: one cell in f at 2000, and in every third row a hidden one at 1000. */
static enum cellar_status rows_send(struct svc *svc, uint64_t id, uint64_t number, unsigned first,
                                    unsigned end, struct cellar_error *error)
{
    struct cellar_buffer wire = {0};
    char value[VALUE_BYTES + 1];
    assert_int_equal(cellar_wire_put_array(&wire, end - first), CELLAR_OK);
    for (unsigned i = first; i < end; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "row%06u", i);
        memset(value, (int)('a' + i % 26), VALUE_BYTES);
        value[VALUE_BYTES] = '\0';
        const struct cellar_cell cells[] = {test_load_cell("f", "q", 2000, value),
                                            test_load_cell("f", "q", 1000, "hidden"),
                                            test_load_cell("g", "q", 1000, "kept")};
        test_load_row_put(&wire, cellar_slice_text(key), cells, i % 3 == 0 ? 3 : 1);
    }
    const struct svc_load_rows rows = {id, number, cellar_slice_of(&wire), &owner, false};
    cellar_error_clear(error);
    enum cellar_status status = svc_load_rows(svc, NULL, &rows, error);
    cellar_buffer_fini(&wire);
    return status;
}

/* All rows from `first` to `end`, from batch `number` on. @return the next number */
static uint64_t rows_load(struct svc *svc, uint64_t id, uint64_t number, unsigned first,
                          unsigned end)
{
    struct cellar_error error;
    for (unsigned i = first; i < end; i += BATCH_ROWS) {
        assert_int_equal(rows_send(svc, id, number++, i, CELLAR_MIN(i + BATCH_ROWS, end), &error),
                         CELLAR_OK);
    }
    return number;
}

static void commit(struct svc *svc, uint64_t id, uint64_t row_count)
{
    struct svc_load_counts counts = {0};
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(svc_load_commit(svc, NULL, id, &counts, &error), CELLAR_OK);
    assert_int_equal(counts.row_count, row_count);
}

static void row_write(struct svc *svc, const char *row, const char *value)
{
    struct cellar_error error;
    const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_SET,
                                             .family = cellar_slice_text("g"),
                                             .qualifier = cellar_slice_text("w"),
                                             .timestamp_us = 5000,
                                             .value = cellar_slice_text(value)};
    const struct model_entry entry = {
        .row = cellar_slice_text(row), .mutations = &mutation, .mutation_count = 1};
    assert_int_equal(model_svc_mutate(svc, "t", &entry, &error), CELLAR_OK);
}

static void rows_read(struct svc *svc, struct model_answer *answer)
{
    struct cellar_error error;
    const struct model_read read = {0};
    memset(answer, 0, sizeof *answer);
    assert_int_equal(model_svc_read(svc, "t", &read, 100000, answer, &error), CELLAR_OK);
}

static void counts_are(struct svc *svc, size_t row_count, size_t cell_count)
{
    struct model_answer answer;
    rows_read(svc, &answer);
    assert_int_equal(answer.row_count, row_count);
    assert_int_equal(answer.cell_count, cell_count);
    model_answer_fini(&answer);
}

/* What rows_send() loaded from 0 up to `end`, which rules do not hide. */
static size_t cells_of(unsigned end)
{
    return end + (end + 2) / 3;
}

static bool has_generation(const struct model_service *service, unsigned store, unsigned generation)
{
    char path[400];
    struct stat facts;
    (void)snprintf(path, sizeof path, "%s/stores/%u/%u/data.mdb", service->data_dir, store,
                   generation);
    return stat(path, &facts) == 0;
}

static void wait_until_gone(struct svc *svc, uint64_t id)
{
    struct cellar_error error;
    enum cellar_status status = CELLAR_FAILED_PRECONDITION;
    uint64_t number = UINT64_MAX; /* never the next one, so that nothing is taken */
    while (status != CELLAR_NOT_FOUND) {
        status = rows_send(svc, id, number, 0, 1, &error);
        (void)sched_yield();
    }
    /* The table takes another load when the files of this one are gone. */
    const struct svc_load_range range = {cellar_slice_text("t"), cellar_slice_text("a"),
                                         cellar_slice_text("b")};
    uint64_t next = 0;
    while (svc_load_begin(svc, NULL, &range, &owner, &next, &error) != CELLAR_OK) {
        (void)sched_yield();
    }
    status = svc_load_abort(svc, NULL, next, &error);
    assert_int_not_equal(status, CELLAR_INVALID_ARGUMENT); /* it may be idle too long already */
}

/* ---- the good way ---------------------------------------------------------------------------- */

static void a_load_is_seen_at_its_commit_in_both_tablets(void **state)
{
    (void)state;
    struct model_service service;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    row_write(svc, "a", "in front");
    row_write(svc, "z", "behind");
    uint64_t id = load_begin(svc, "row", "rox");
    rows_load(svc, id, 0, 0, ROW_COUNT);
    counts_are(svc, 2, 2);
    commit(svc, id, ROW_COUNT);
    counts_are(svc, ROW_COUNT + 2, cells_of(ROW_COUNT) + 2);
    assert_true(has_generation(&service, 1, 2) && has_generation(&service, 2, 2));
    assert_false(has_generation(&service, 1, 1) || has_generation(&service, 2, 1));
    model_service_restart(&service, false);
    counts_are(service.svc, ROW_COUNT + 2, cells_of(ROW_COUNT) + 2);
    model_service_restart(&service, true);
    counts_are(service.svc, ROW_COUNT + 2, cells_of(ROW_COUNT) + 2);
    /* The table is as any other from here on. */
    const struct svc_rows_drop drop = {.table = cellar_slice_text("t"), .is_all = true};
    assert_int_equal(svc_drop_rows(service.svc, NULL, &drop, NULL), CELLAR_OK);
    id = load_begin(service.svc, "", "");
    rows_load(service.svc, id, 0, 0, 10);
    commit(service.svc, id, 10);
    counts_are(service.svc, 10, cells_of(10));
    model_service_close(&service);
}

/* Twenty megabytes of cells: several transactions, as no checkpoint may see. */
static void a_row_of_any_size_is_loaded_whole(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_buffer wire = {0};
    struct cellar_error error;
    struct model_answer answer;
    enum { CELL_COUNT = 4000, CELL_BYTES = 5000 };
    static char value[CELL_BYTES + 1];
    static char names[CELL_COUNT][8];
    static struct cellar_cell cells[CELL_COUNT];
    memset(value, 'v', CELL_BYTES);
    for (unsigned i = 0; i < CELL_COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "q%05u", i);
        cells[i] = test_load_cell("g", names[i], 1000, value);
    }
    service_open(&service, 60000000);
    uint64_t id = load_begin(service.svc, "", "");
    assert_int_equal(cellar_wire_put_array(&wire, 1), CELLAR_OK);
    test_load_row_put(&wire, cellar_slice_text("row000001"), cells, CELL_COUNT);
    const struct svc_load_rows rows = {id, 0, cellar_slice_of(&wire), &owner, false};
    assert_int_equal(svc_load_rows(service.svc, NULL, &rows, &error), CELLAR_OK);
    row_write(service.svc, "row000001", "above it"); /* the row is passed */
    rows_load(service.svc, id, 1, 2, 10);
    commit(service.svc, id, 9);
    rows_read(service.svc, &answer);
    assert_int_equal(answer.row_count, 9);
    assert_int_equal(answer.rows[0].cell_count, CELL_COUNT + 1);
    for (unsigned i = 0; i < CELL_COUNT; i++) {
        assert_true(cellar_slice_equal(answer.cells[i].qualifier, cellar_slice_text(names[i])));
        assert_int_equal(answer.cells[i].value.bytes, CELL_BYTES);
    }
    model_answer_fini(&answer);
    cellar_buffer_fini(&wire);
    model_service_close(&service);
}

static void a_load_without_rows_changes_nothing(void **state)
{
    (void)state;
    struct model_service service;
    service_open(&service, 60000000);
    commit(service.svc, load_begin(service.svc, "", ""), 0);
    counts_are(service.svc, 0, 0);
    assert_true(has_generation(&service, 1, 1));
    model_service_close(&service);
}

/* Every row is changed right behind its load, so that checkpoints bring the changes into both
 * generations, and some remain above. */
static void what_is_written_behind_a_load_is_newer_than_it(void **state)
{
    (void)state;
    struct model_service service;
    struct model_answer answer;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    uint64_t id = load_begin(svc, "", "");
    uint64_t number = 0;
    for (unsigned i = 0; i < 500; i += 5) {
        struct cellar_error error;
        char row[32];
        assert_int_equal(rows_send(svc, id, number++, i, i + 5, &error), CELLAR_OK);
        (void)snprintf(row, sizeof row, "row%06u", i + 1);
        row_write(svc, row, "newer");
        (void)snprintf(row, sizeof row, "row%06u", i + 2);
        const struct cellar_mutation mutation = {.kind = CELLAR_MUTATION_DELETE_ROW};
        const struct model_entry entry = {
            .row = cellar_slice_text(row), .mutations = &mutation, .mutation_count = 1};
        assert_int_equal(model_svc_mutate(svc, "t", &entry, &error), CELLAR_OK);
        (void)snprintf(row, sizeof row, "row%06u+", i + 3);
        row_write(svc, row, "between");
    }
    commit(svc, id, 500);
    rows_read(svc, &answer);
    assert_int_equal(answer.row_count, 500);
    size_t newer = 0;
    for (size_t i = 0; i < answer.cell_count; i++) {
        newer += cellar_slice_equal(answer.cells[i].value, cellar_slice_text("newer")) ? 1 : 0;
    }
    assert_int_equal(newer, 100);
    size_t cell_count = answer.cell_count;
    model_answer_fini(&answer);
    model_service_restart(&service, true);
    counts_are(service.svc, 500, cell_count);
    model_service_close(&service);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void requests_are_checked(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    char key[4098];
    struct svc_load_counts counts;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_int_equal(begin_fails(svc, "b", "a", &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(begin_fails(svc, "b", "b", &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(begin_fails(svc, key, "", &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "'start'"));
    assert_int_equal(begin_fails(svc, "", key, &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(rows_send(svc, 77, 0, 0, 1, &error), CELLAR_NOT_FOUND);
    assert_int_equal(rows_send(svc, 0, 0, 0, 1, &error), CELLAR_NOT_FOUND);
    assert_int_equal(svc_load_commit(svc, NULL, 77, &counts, &error), CELLAR_NOT_FOUND);
    assert_int_equal(svc_load_abort(svc, NULL, 77, &error), CELLAR_NOT_FOUND);
    uint64_t id = load_begin(svc, "row", "rox");
    assert_int_equal(rows_send(svc, id, 1, 0, 1, &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "expects rows number 0"));
    /* What is refused changes nothing, and the load goes on. */
    assert_int_equal(rows_send(svc, id, 0, 100, 200, &error), CELLAR_OK);
    assert_int_equal(rows_send(svc, id, 1, 199, 300, &error), CELLAR_INVALID_ARGUMENT);
    assert_int_equal(rows_send(svc, id, 1, 200, 300, &error), CELLAR_OK);
    commit(svc, id, 200);
    counts_are(svc, 200, 200 + 66);
    model_service_close(&service);
}

static void a_range_with_rows_is_refused(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    row_write(svc, "row002000", "there"); /* of the second tablet */
    assert_int_equal(begin_fails(svc, "", "", &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "there is row row002000"));
    assert_int_equal(begin_fails(svc, "row002000", "row0020000", &error),
                     CELLAR_FAILED_PRECONDITION);
    uint64_t id = load_begin(svc, "row0020000", "");
    assert_int_equal(svc_load_abort(svc, NULL, id, &error), CELLAR_OK);
    id = load_begin(svc, "", "row002000");
    rows_load(svc, id, 0, 0, 2000);
    commit(svc, id, 2000);
    counts_are(svc, 2001, cells_of(2000) + 1);
    model_service_close(&service);
}

/* Enough rows ahead of the load that a checkpoint brings them. */
static void a_row_written_ahead_of_a_load_ends_it(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    uint64_t id = load_begin(svc, "", "");
    uint64_t number = rows_load(svc, id, 0, 0, 200);
    for (unsigned i = 0; i < 400; i++) {
        row_write(svc, "row001000", "ahead");
    }
    enum cellar_status status = CELLAR_OK;
    unsigned first = 200;
    while (status == CELLAR_OK && first < 900) {
        status = rows_send(svc, id, number++, first, first + 10, &error);
        first += 10;
    }
    assert_int_equal(status, CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "was written while it ran"));
    wait_until_gone(svc, id);
    counts_are(svc, 1, 1);
    assert_false(has_generation(&service, 1, 2));
    model_service_close(&service);
}

static void a_table_has_one_load_and_what_would_cross_it_waits(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    struct svc_load_counts counts;
    const struct svc_rows_drop drop = {.table = cellar_slice_text("t"), .is_all = true};
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    uint64_t id = load_begin(svc, "", "");
    uint64_t number = rows_load(svc, id, 0, 0, 300);
    assert_int_equal(begin_fails(svc, "x", "", &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "runs already"));
    assert_int_equal(svc_drop_rows(svc, NULL, &drop, &error), CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "bulk load"));
    struct tablet_table *table = tablet_db_next(svc->db, NULL);
    const struct tablet_compact_options options = {1, NULL, NULL};
    const struct tablet_compact_terms terms = {.age_us = 1};
    assert_int_equal(tablet_compact(svc->db, table, 1, &options, &error),
                     CELLAR_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "bulk load"));
    assert_false(tablet_compact_is_due(table, 0, &terms));
    tablet_table_unref(table);
    /* A drop of the table ends the load. */
    assert_int_equal(svc_drop_table(svc, NULL, cellar_slice_text("t"), &error), CELLAR_OK);
    assert_int_equal(rows_send(svc, id, number, 300, 301, &error), CELLAR_NOT_FOUND);
    assert_non_null(strstr(error.text, "Table not found"));
    assert_int_equal(svc_load_commit(svc, NULL, id, &counts, &error), CELLAR_NOT_FOUND);
    model_svc_load_table_make(svc, "row001500");
    counts_are(svc, 0, 0);
    id = load_begin(svc, "", "");
    rows_load(svc, id, 0, 0, 100);
    assert_int_equal(svc_drop_table(svc, NULL, cellar_slice_text("t"), &error), CELLAR_OK);
    assert_int_equal(svc_load_commit(svc, NULL, id, &counts, &error), CELLAR_NOT_FOUND);
    model_service_close(&service);
}

static void the_server_takes_a_few_loads_at_a_time(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    uint64_t id = 0;
    service_open(&service, 60000000);
    struct svc *svc = service.svc;
    for (unsigned i = 0; i <= SVC_LOAD_COUNT_MAX; i++) {
        char name[8];
        struct svc_table made;
        struct cellar_arena arena = {0};
        (void)snprintf(name, sizeof name, "t%u", i);
        const struct svc_table table = {.name = cellar_slice_text(name)};
        const struct svc_load_range range = {.table = cellar_slice_text(name)};
        assert_int_equal(svc_create_table(svc, NULL, &table, &arena, &made, NULL), CELLAR_OK);
        cellar_arena_fini(&arena);
        assert_int_equal(svc_load_begin(svc, NULL, &range, &owner, &id, &error),
                         i < SVC_LOAD_COUNT_MAX ? CELLAR_OK : CELLAR_RESOURCE_EXHAUSTED);
    }
    assert_int_equal(svc_load_abort(svc, NULL, id, &error), CELLAR_OK);
    (void)load_begin(svc, "", "");
    model_service_close(&service); /* the stop ends them */
}

/* ---- loads that nobody goes on with ---------------------------------------------------------- */

static void an_abort_a_lost_owner_and_idle_time_leave_nothing(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    service_open(&service, 60000000);
    uint64_t id = load_begin(service.svc, "", "");
    rows_load(service.svc, id, 0, 0, ROW_COUNT);
    assert_true(has_generation(&service, 1, 2) && has_generation(&service, 2, 2));
    assert_int_equal(svc_load_abort(service.svc, NULL, id, &error), CELLAR_OK);
    assert_false(has_generation(&service, 1, 2) || has_generation(&service, 2, 2));
    id = load_begin(service.svc, "", "");
    rows_load(service.svc, id, 0, 0, ROW_COUNT);
    svc_loads_release(service.svc, &service); /* another's */
    assert_true(rows_send(service.svc, id, UINT64_MAX, 0, 1, &error) == CELLAR_FAILED_PRECONDITION);
    svc_loads_release(service.svc, &owner);
    wait_until_gone(service.svc, id);
    assert_false(has_generation(&service, 1, 2) || has_generation(&service, 2, 2));
    counts_are(service.svc, 0, 0);
    model_service_close(&service);
    service_open(&service, 1);
    id = load_begin(service.svc, "", "");
    wait_until_gone(service.svc, id);
    counts_are(service.svc, 0, 0);
    model_service_close(&service);
}

static void a_stop_ends_loads_and_takes_no_more(void **state)
{
    (void)state;
    struct model_service service;
    struct cellar_error error;
    struct svc_load_counts counts;
    service_open(&service, 60000000);
    uint64_t id = load_begin(service.svc, "", "");
    rows_load(service.svc, id, 0, 0, 300);
    svc_loads_cease(service.svc);
    assert_int_equal(svc_load_commit(service.svc, NULL, id, &counts, &error), CELLAR_NOT_FOUND);
    assert_int_equal(begin_fails(service.svc, "", "", &error), CELLAR_UNAVAILABLE);
    model_service_restart(&service, false);
    counts_are(service.svc, 0, 0);
    model_service_close(&service);
}

static void a_crash_in_the_middle_leaves_nothing(void **state)
{
    (void)state;
    struct model_service service;
    service_open(&service, 60000000);
    row_write(service.svc, "a", "in front");
    uint64_t id = load_begin(service.svc, "b", "");
    rows_load(service.svc, id, 0, 0, ROW_COUNT);
    row_write(service.svc, "row000007", "beside");
    model_service_restart(&service, true);
    counts_are(service.svc, 2, 2);
    assert_false(has_generation(&service, 1, 2) || has_generation(&service, 2, 2));
    model_service_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_seen_at_its_commit_in_both_tablets),
        cmocka_unit_test(a_row_of_any_size_is_loaded_whole),
        cmocka_unit_test(a_load_without_rows_changes_nothing),
        cmocka_unit_test(what_is_written_behind_a_load_is_newer_than_it),
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(a_range_with_rows_is_refused),
        cmocka_unit_test(a_row_written_ahead_of_a_load_ends_it),
        cmocka_unit_test(a_table_has_one_load_and_what_would_cross_it_waits),
        cmocka_unit_test(the_server_takes_a_few_loads_at_a_time),
        cmocka_unit_test(an_abort_a_lost_owner_and_idle_time_leave_nothing),
        cmocka_unit_test(a_stop_ends_loads_and_takes_no_more),
        cmocka_unit_test(a_crash_in_the_middle_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
