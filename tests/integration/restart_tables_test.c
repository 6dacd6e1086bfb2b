/*
 * Tables that come and go, over restarts and crashes: after each start the catalog lists what was
 * made and not dropped, each table with its families, tablets and rows, and the data directory
 * holds the folders of their stores and nothing else (R-TAB-01, R-TAB-10, R-MUT-20). And tables
 * that are dropped and made again under writers and readers: these meet NOT_FOUND or a whole table.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "tests/support/model_fixture.h"
#include "tests/support/model_workload.h"

#define TABLE_COUNT 6u
#define ROW_COUNT 8u
#define SPLITS_MAX 3u

/* What a table should be. */
struct expected_table {
    bool exists;
    size_t split_count;
    size_t family_count;
    uint32_t rows[ROW_COUNT]; /* the number in the row's value; 0: no row */
};

struct world {
    struct model_service service;
    struct test_random random;
    struct expected_table tables[TABLE_COUNT];
    uint32_t number;
    struct model_answer answer;
};

static const char *const table_names[TABLE_COUNT] = {"t0", "t1", "p/i/t2", "p/i/t3", "t4", "t5"};
static const char *const row_names[ROW_COUNT] = {"a", "c", "f", "h", "m", "p", "x", "z"};
static const char *const split_names[SPLITS_MAX] = {"f", "mm", "y"};

static void create(struct world *world, unsigned index)
{
    static const struct svc_family families[] = {
        {.name = {(const uint8_t *)"f", 1}},
        {.name = {(const uint8_t *)"g", 1}, .rule = {.kind = CELLAR_GC_VERSIONS, .amount = 7}}};
    struct expected_table *expected = &world->tables[index];
    struct cellar_slice splits[SPLITS_MAX];
    struct cellar_error error;
    for (size_t i = 0; i < SPLITS_MAX; i++) {
        splits[i] = cellar_slice_text(split_names[i]);
    }
    *expected = (struct expected_table){
        .exists = true,
        .split_count = (size_t)test_random_below(&world->random, SPLITS_MAX + 1),
        .family_count = 1 + (size_t)test_random_below(&world->random, 2)};
    const struct svc_table table = {.name = cellar_slice_text(table_names[index]),
                                    .families = families,
                                    .family_count = expected->family_count,
                                    .split_keys = splits,
                                    .split_key_count = expected->split_count};
    struct model_port *port = &world->service.port;
    if (port->calls->create(port, &table, &error) != CELLAR_OK) {
        fail_msg("create %s: %s", table_names[index], error.text);
    }
}

static void drop(struct world *world, unsigned index)
{
    assert_int_equal(
        svc_drop_table(world->service.svc, NULL, cellar_slice_text(table_names[index]), NULL),
        CELLAR_OK);
    world->tables[index].exists = false;
}

static void put(struct world *world, unsigned index)
{
    size_t row = (size_t)test_random_below(&world->random, ROW_COUNT);
    bool is_delete = test_random_below(&world->random, 5) == 0;
    char value[16];
    (void)snprintf(value, sizeof value, "%u", ++world->number);
    const struct cellar_mutation mutation =
        is_delete ? model_delete_row() : model_set("f", "q", 0, value);
    const struct model_entry entry = {cellar_slice_text(row_names[row]), &mutation, 1};
    assert_int_equal(model_svc_mutate(world->service.svc, table_names[index], &entry, NULL),
                     CELLAR_OK);
    world->tables[index].rows[row] = is_delete ? 0 : world->number;
}

/* ---- checking -------------------------------------------------------------------------------- */

static void rows_check(struct world *world, unsigned index)
{
    const struct model_read all = {0};
    size_t count = 0;
    assert_int_equal(
        model_svc_read(world->service.svc, table_names[index], &all, 131072, &world->answer, NULL),
        CELLAR_OK);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char value[16];
        if (world->tables[index].rows[i] == 0) {
            continue;
        }
        assert_true(count < world->answer.row_count);
        const struct model_row *row = &world->answer.rows[count++];
        assert_true(cellar_slice_equal(row->key, cellar_slice_text(row_names[i])));
        (void)snprintf(value, sizeof value, "%u", world->tables[index].rows[i]);
        assert_true(cellar_slice_equal(world->answer.cells[row->cell_first].value,
                                       cellar_slice_text(value)));
    }
    assert_int_equal(count, world->answer.row_count);
}

static void table_check(struct world *world, unsigned index)
{
    const struct expected_table *expected = &world->tables[index];
    struct cellar_arena arena = {0};
    struct svc_table table;
    enum cellar_status status = svc_describe_table(
        world->service.svc, NULL, cellar_slice_text(table_names[index]), &arena, &table, NULL);
    assert_int_equal(status, expected->exists ? CELLAR_OK : CELLAR_NOT_FOUND);
    if (expected->exists) {
        assert_int_equal(table.family_count, expected->family_count);
        assert_int_equal(table.tablet_count, expected->split_count + 1);
        assert_true(expected->family_count == 1 || table.families[1].rule.amount == 7);
        rows_check(world, index);
    }
    cellar_arena_fini(&arena);
}

/* The folders of stores are those of the catalog and of the tablets that exist. */
static void folders_check(const struct world *world)
{
    char path[400];
    size_t found = 0;
    size_t expected = 1;
    (void)snprintf(path, sizeof path, "%s/stores", world->service.data_dir);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        found += entry->d_name[0] != '.' ? 1 : 0;
    }
    assert_int_equal(closedir(folder), 0);
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        expected += world->tables[i].exists ? world->tables[i].split_count + 1 : 0;
    }
    assert_int_equal(found, expected);
}

static void world_check(struct world *world)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        table_check(world, i);
        count += world->tables[i].exists ? 1 : 0;
    }
    assert_int_equal(model_svc_figure(world->service.svc, "tables"), count);
    folders_check(world);
}

static void step(struct world *world)
{
    unsigned index = (unsigned)test_random_below(&world->random, TABLE_COUNT);
    uint64_t what = test_random_below(&world->random, 40);
    if (what < 2) {
        model_service_restart(&world->service, what == 1);
        world_check(world);
    } else if (!world->tables[index].exists) {
        create(world, index);
    } else if (what < 6) {
        drop(world, index);
    } else {
        put(world, index);
    }
}

static void run(const char *name, const struct svc_options *options)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->random.state = test_seed(name);
    model_service_open(&world->service, options);
    for (size_t i = 0; i < model_steps(700); i++) {
        step(world);
    }
    world_check(world);
    model_answer_fini(&world->answer);
    model_service_close(&world->service);
    free(world);
}

static void r_tab_01_r_tab_10_r_mut_20_tables_outlast_restarts_and_crashes(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    run("tables", &options);
}

static void
r_tab_01_r_tab_10_r_mut_20_tables_outlast_them_with_tiny_segments_and_checkpoints(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = 65536;
    options.log_unapplied_bytes_max = 65536;
    options.checkpoint_records_max = 3;
    run("tables, tiny segments", &options);
}

/* ---- drops under load ------------------------------------------------------------------------ */

struct load {
    struct svc *svc;
    _Atomic bool is_over;
    _Atomic uint32_t refusals; /* NOT_FOUND */
    _Atomic uint32_t successes;
    _Atomic int failure; /* another status */
};

static void status_note(struct load *load, enum cellar_status status)
{
    if (status == CELLAR_OK) {
        atomic_fetch_add(&load->successes, 1);
    } else if (status == CELLAR_NOT_FOUND) {
        atomic_fetch_add(&load->refusals, 1);
    } else {
        atomic_store(&load->failure, (int)status);
    }
}

static void *load_write(void *context)
{
    struct load *load = context;
    const struct cellar_mutation sets[] = {model_set("f", "a", 0, "v"),
                                           model_set("f", "b", 0, "v")};
    const char *const *rows = row_names;
    for (size_t i = 0; !atomic_load(&load->is_over); i++) {
        const struct model_entry entry = {cellar_slice_text(rows[i % ROW_COUNT]), sets, 2};
        status_note(load, model_svc_mutate(load->svc, "t", &entry, NULL));
    }
    return NULL;
}

static void *load_read(void *context)
{
    struct load *load = context;
    struct model_answer answer = {0};
    for (size_t i = 0; !atomic_load(&load->is_over); i++) {
        const struct model_read all = {.is_reversed = i % 2 == 1};
        enum cellar_status status = model_svc_read(load->svc, "t", &all, 30, &answer, NULL);
        status_note(load, status);
        for (size_t j = 0; status == CELLAR_OK && j < answer.row_count; j++) {
            if (answer.rows[j].cell_count != 2) {
                atomic_store(&load->failure, CELLAR_DATA_LOSS);
            }
        }
    }
    model_answer_fini(&answer);
    return NULL;
}

static void r_tab_10_tables_are_dropped_and_made_again_under_writers_and_readers(void **state)
{
    (void)state;
    struct svc_options options;
    static const char *const families[] = {"f", NULL};
    static const char *const splits[] = {"f", "p", NULL};
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    options.checkpoint_records_max = 4;
    struct model_fixture *fixture = model_fixture_new(&options);
    cellar_clock_fake_off();
    struct load load = {.svc = fixture->service.svc};
    pthread_t threads[4];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, i % 2 == 0 ? load_write : load_read, &load), 0);
    }
    for (size_t i = 0; i < CELLAR_MAX(model_steps(40), 5u); i++) {
        assert_int_equal(svc_drop_table(fixture->service.svc, NULL, cellar_slice_text("t"), NULL),
                         CELLAR_OK);
        model_fixture_table(fixture, "t", 0, families, i % 2 == 0 ? splits : NULL);
        /* Some requests meet the table before it goes again. */
        uint32_t successes = atomic_load(&load.successes);
        for (unsigned j = 0; j < 2000 && atomic_load(&load.successes) < successes + 20; j++) {
            const struct timespec pause = {.tv_nsec = 500000};
            (void)nanosleep(&pause, NULL);
        }
    }
    atomic_store(&load.is_over, true);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&load.failure), CELLAR_OK);
    assert_int_not_equal(atomic_load(&load.successes), 0);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_tab_01_r_tab_10_r_mut_20_tables_outlast_restarts_and_crashes),
        cmocka_unit_test(
            r_tab_01_r_tab_10_r_mut_20_tables_outlast_them_with_tiny_segments_and_checkpoints),
        cmocka_unit_test(r_tab_10_tables_are_dropped_and_made_again_under_writers_and_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
