/*
 * engine: opening, recovery, appends, checkpoints within budgets, dropped stores, damage that
 * matters, and lives that end by kill -9.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/engine.h"
#include "tests/support/cell_model.h"
#include "tests/support/disk.h"
#include "tests/support/log_fixture.h"

#define STORE_ID 5u

static struct store_engine_options options_of(const char *data_dir)
{
    return (struct store_engine_options){
        .data_dir = data_dir,
        .memory_bytes_max = UINT64_C(256) << 20,
        .memtable_bytes_max = UINT64_C(16) << 20,
        .unapplied_bytes_max = UINT64_C(16) << 20,
        .unapplied_records_max = 100000,
        .store_tokens_max = 1000000,
        .segment_bytes = 1u << 20,
        .map_bytes = TEST_MAP_BYTES,
    };
}

/* An engine with the catalog and one store. */
struct rig {
    char parent[256];
    char data_dir[300];
    struct store_engine_options options;
    struct store_engine *engine;
    struct store *store;
};

static void rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(rig->parent, sizeof rig->parent);
    (void)snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent);
    rig->options = options_of(rig->data_dir);
}

static enum cellar_status rig_try(struct rig *rig, bool is_first, struct cellar_error *error)
{
    enum cellar_status status = store_engine_open(&rig->options, &rig->engine, error);
    if (status == CELLAR_OK && !is_first) {
        status = store_engine_attach(rig->engine, STORE_ID, 1, &rig->store, error);
    }
    if (status == CELLAR_OK) {
        status = store_engine_start(rig->engine, error);
    }
    if (status == CELLAR_OK && is_first) {
        status = store_engine_store_make(rig->engine, STORE_ID, &rig->store, error);
    }
    if (status != CELLAR_OK) {
        store_engine_close(rig->engine);
        rig->engine = NULL;
    }
    return status;
}

static void rig_open(struct rig *rig, bool is_first)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    if (rig_try(rig, is_first, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
}

static void rig_close(struct rig *rig)
{
    store_engine_close(rig->engine);
    rig->engine = NULL;
    rig->store = NULL;
}

static void rig_end(struct rig *rig)
{
    rig_close(rig);
    test_remove_tree(rig->parent);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void record_done(struct store_log_record *record, enum cellar_status status)
{
    (void)status;
    free(record);
}

/* Writes a payload to a store. @return its LSN */
static uint64_t payload_write(struct rig *rig, struct store *store, struct cellar_slice payload)
{
    struct store_batch *batch = NULL;
    struct store_log_record *record = calloc(1, sizeof *record);
    struct store_log *log = store_engine_log(rig->engine);
    CELLAR_ASSERT(record != NULL);
    CELLAR_ASSERT(store_batch_new(payload, false, &batch) == CELLAR_OK);
    record->done = record_done;
    record->entry = (struct store_log_entry){
        .store_id = store->id, .type = STORE_RECORD_MUTATION, .payload = batch->payload};
    store_log_lock(log);
    CELLAR_ASSERT(store_log_check(log) == CELLAR_OK);
    store_engine_append(rig->engine, store, record, batch);
    uint64_t lsn = store_log_next_lsn(log) - 1;
    store_log_unlock(log);
    return lsn;
}

static uint64_t row_write(struct rig *rig, struct store *store, const char *row, int64_t time_us)
{
    struct cellar_buffer payload = {0};
    const struct store_item item = test_set("f", "q", 1, "value");
    test_mutation_put(&payload, cellar_slice_text(row), time_us, &item, 1);
    uint64_t lsn = payload_write(rig, store, cellar_slice_of(&payload));
    cellar_buffer_fini(&payload);
    return lsn;
}

static void durable_await(struct rig *rig, uint64_t lsn)
{
    assert_true(store_log_wait_durable(store_engine_log(rig->engine), lsn));
}

static bool row_is_there(struct rig *rig, struct store *store, const char *row)
{
    struct store_snapshot snapshot;
    struct store_rows rows;
    struct store_piece piece = {.kind = STORE_PIECE_END};
    assert_int_equal(store_engine_snapshot(rig->engine, store, &snapshot), CELLAR_OK);
    store_rows_init(&rows, &snapshot);
    assert_int_equal(store_rows_seek(&rows, cellar_slice_text(row)), CELLAR_OK);
    if (rows.has_row && cellar_slice_equal(cellar_slice_of(&rows.row), cellar_slice_text(row))) {
        assert_int_equal(store_rows_piece(&rows, &piece), CELLAR_OK);
    }
    store_rows_fini(&rows);
    store_snapshot_close(&snapshot);
    return piece.kind != STORE_PIECE_END;
}

static uint64_t figure(struct rig *rig, const char *name)
{
    struct store_figure figures[STORE_FIGURE_COUNT];
    size_t count = store_engine_figures(rig->engine, figures);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(figures[i].name, name) == 0) {
            return figures[i].value;
        }
    }
    fail_msg("no figure %s", name);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void what_is_written_is_there_after_a_clean_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, rig.store, "row", 777));
    durable_await(&rig, row_write(&rig, store_engine_catalog(rig.engine), "meta", 0));
    assert_true(row_is_there(&rig, rig.store, "row"));
    assert_false(row_is_there(&rig, rig.store, "meta"));
    for (int i = 0; i < 3; i++) {
        rig_close(&rig);
        rig_open(&rig, false);
        assert_int_equal(store_engine_server_time(rig.engine), 777);
        assert_true(row_is_there(&rig, rig.store, "row"));
        assert_true(row_is_there(&rig, store_engine_catalog(rig.engine), "meta"));
        assert_int_equal(figure(&rig, "memtable_bytes"), 0); /* checkpointed at the end */
    }
    rig_end(&rig);
}

static void catalog_is_readable_before_the_start(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, store_engine_catalog(rig.engine), "meta", 0));
    rig_close(&rig);
    assert_int_equal(store_engine_open(&rig.options, &rig.engine, NULL), CELLAR_OK);
    assert_true(row_is_there(&rig, store_engine_catalog(rig.engine), "meta"));
    rig_end(&rig); /* never started */
}

static void options_have_bounds(void **state)
{
    (void)state;
    struct cellar_error error;
    struct store_engine_options options = options_of("data");
    assert_int_equal(store_engine_options_check(&options, &error), CELLAR_OK);
    static const struct {
        size_t offset;
        uint64_t value;
    } cases[] = {
        {offsetof(struct store_engine_options, memory_bytes_max), 1},
        {offsetof(struct store_engine_options, memtable_bytes_max), 65535},
        {offsetof(struct store_engine_options, memtable_bytes_max), UINT64_MAX},
        {offsetof(struct store_engine_options, unapplied_bytes_max), 0},
        {offsetof(struct store_engine_options, unapplied_records_max), 99},
        {offsetof(struct store_engine_options, segment_bytes), 65535},
        {offsetof(struct store_engine_options, segment_bytes), 65537},
        {offsetof(struct store_engine_options, segment_bytes), (1u << 30) + 65536},
        {offsetof(struct store_engine_options, map_bytes), 4096},
        {offsetof(struct store_engine_options, map_bytes), (1u << 20) + 1},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        options = options_of("data");
        memcpy((char *)&options + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        cellar_error_clear(&error);
        assert_int_equal(store_engine_options_check(&options, &error), CELLAR_INVALID_ARGUMENT);
        assert_true(error.text[0] != '\0');
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void budgets_make_checkpoints_and_move_the_low_water(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig.options.checkpoint_records_max = 20;
    rig.options.segment_bytes = 65536;
    rig_open(&rig, true);
    for (unsigned i = 0; i < 2000; i++) {
        char row[16];
        (void)snprintf(row, sizeof row, "r%05u", i);
        uint64_t lsn = row_write(&rig, rig.store, row, 0);
        if (i % 10 == 9) {
            durable_await(&rig, lsn);
        }
    }
    while (figure(&rig, "checkpoints") < 3 || figure(&rig, "log_low_water_lsn") < 500) {
        durable_await(&rig, row_write(&rig, rig.store, "more", 0));
        (void)sched_yield();
    }
    assert_int_equal(figure(&rig, "checkpoint_failures"), 0);
    assert_int_equal(store_engine_checkpoint_all(rig.engine), CELLAR_OK);
    for (unsigned i = 0; i < 2000; i += 37) {
        char row[16];
        (void)snprintf(row, sizeof row, "r%05u", i);
        assert_true(row_is_there(&rig, rig.store, row));
    }
    rig_end(&rig);
}

/* The keepers look once a second by themselves; they compare with the fake clock, which must not
 * pass a minute before they have looked. */
static void a_memtable_that_nobody_writes_to_is_written_down(void **state)
{
    (void)state;
    struct rig rig;
    cellar_clock_fake_set(1700000000000000, 1000000);
    rig_begin(&rig);
    rig_open(&rig, true);
    (void)row_write(&rig, store_engine_catalog(rig.engine), "small", 0);
    for (unsigned i = 0; figure(&rig, "memtable_bytes") < 100000; i++) {
        char row[16];
        (void)snprintf(row, sizeof row, "r%05u", i);
        (void)row_write(&rig, rig.store, row, 0);
    }
    assert_int_equal(figure(&rig, "checkpoints"), 0);
    while (figure(&rig, "checkpoints") == 0) {
        cellar_clock_fake_step(1);
        (void)sched_yield();
    }
    assert_int_equal(figure(&rig, "checkpoints"), 1);
    assert_true(figure(&rig, "memtable_bytes") < 65536); /* the small one stays */
    assert_true(figure(&rig, "memtable_bytes") > 0);
    cellar_clock_fake_off();
    rig_end(&rig);
}

static void checkpoint_of_everything_empties_the_memtables(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    (void)row_write(&rig, store_engine_catalog(rig.engine), "meta", 0);
    uint64_t lsn = row_write(&rig, rig.store, "row", 0);
    assert_true(figure(&rig, "memtable_bytes") > 0);
    assert_int_equal(store_engine_checkpoint_all(rig.engine), CELLAR_OK);
    assert_int_equal(figure(&rig, "memtable_bytes"), 0);
    assert_int_equal(figure(&rig, "checkpoints"), 2);
    assert_true(figure(&rig, "log_low_water_lsn") >= lsn);
    assert_int_equal(atomic_load(&rig.store->applied_lsn), lsn);
    rig_end(&rig);
}

static void writes_are_refused_over_twice_the_budget(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_error error;
    rig_begin(&rig);
    rig.options.memtable_bytes_max = 65536;
    rig_open(&rig, true);
    cellar_error_clear(&error);
    enum cellar_status status = CELLAR_OK;
    for (unsigned i = 0; i < 200000 && status == CELLAR_OK; i++) {
        status = store_engine_admit(rig.engine, rig.store, true, &error);
        if (status == CELLAR_OK) {
            (void)row_write(&rig, rig.store, "row", 0);
        }
    }
    assert_int_equal(status, CELLAR_UNAVAILABLE);
    assert_true(error.retry_delay_ms > 0 && error.text[0] != '\0');
    while (store_engine_admit(rig.engine, rig.store, true, &error) == CELLAR_UNAVAILABLE) {
        (void)sched_yield(); /* until the keepers have caught up */
    }
    rig_end(&rig);
}

static void failed_log_refuses_writes_and_serves_reads(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_error error;
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    test_disk_fail_syncs(0, EIO);
    uint64_t lsn = row_write(&rig, rig.store, "lost", 0);
    assert_false(store_log_wait_durable(store_engine_log(rig.engine), lsn));
    test_disk_fail_syncs(-1, 0);
    cellar_error_clear(&error);
    assert_int_equal(store_engine_admit(rig.engine, rig.store, false, &error), CELLAR_IO_ERROR);
    assert_true(error.text[0] != '\0');
    assert_int_equal(figure(&rig, "log_has_failed"), 1);
    assert_true(row_is_there(&rig, rig.store, "row"));
    assert_false(row_is_there(&rig, rig.store, "lost")); /* never acknowledged */
    rig_close(&rig);
    rig_open(&rig, false);
    assert_true(row_is_there(&rig, rig.store, "row"));
    rig_end(&rig);
}

/* ---- stores come and go ---------------------------------------------------------------------- */

static void dropped_store_leaves_no_folder_and_holds_no_log(void **state)
{
    (void)state;
    struct rig rig;
    struct store *other = NULL;
    char path[400];
    rig_begin(&rig);
    rig_open(&rig, true);
    assert_int_equal(store_engine_store_make(rig.engine, 9, &other, NULL), CELLAR_OK);
    uint64_t lsn = row_write(&rig, other, "row", 0);
    durable_await(&rig, lsn);
    assert_ptr_equal(store_engine_find(rig.engine, 9), other);
    store_engine_store_drop(rig.engine, other);
    assert_null(store_engine_find(rig.engine, 9));
    (void)snprintf(path, sizeof path, "%s/stores/9", rig.data_dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(figure(&rig, "memtable_bytes"), 0);
    assert_true(figure(&rig, "log_low_water_lsn") >= lsn);
    assert_int_equal(figure(&rig, "stores"), 2);
    rig_end(&rig);
}

static void stores_nobody_names_are_removed_at_start(void **state)
{
    (void)state;
    struct rig rig;
    struct store *other = NULL;
    char path[400];
    rig_begin(&rig);
    rig_open(&rig, true);
    assert_int_equal(store_engine_store_make(rig.engine, 9, &other, NULL), CELLAR_OK);
    (void)row_write(&rig, other, "row", 0);
    durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/stores/9", rig.data_dir);
    assert_int_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/stores/%u/2", rig.data_dir, STORE_ID);
    assert_int_equal(mkdir(path, 0700), 0); /* a generation that was never named */
    rig_open(&rig, false);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/stores/9", rig.data_dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(row_is_there(&rig, rig.store, "row"));
    assert_int_equal(figure(&rig, "compactions_abandoned"), 1); /* store 9 had none */
    rig_close(&rig);
    rig_open(&rig, false);
    assert_int_equal(figure(&rig, "compactions_abandoned"), 0); /* told once */
    rig_end(&rig);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void start_gives(struct rig *rig, enum cellar_status status)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(rig_try(rig, false, &error), status);
    assert_true(error.text[0] != '\0');
    rig->engine = NULL;
}

static void lost_log_under_an_applied_store_is_data_loss(void **state)
{
    (void)state;
    struct rig rig;
    struct test_log_files files = {.count = 0};
    char path[400];
    rig_begin(&rig);
    rig_open(&rig, true);
    for (int i = 0; i < 20; i++) {
        durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    }
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/log", rig.data_dir);
    test_log_files_load(path, &files);
    for (size_t i = 0; i < files.count; i++) { /* the tail of every segment from its groups on */
        struct test_log_file *file = &files.items[i];
        if (file->has_header) {
            memset(file->data + file->header.alignment, 0, file->bytes - file->header.alignment);
            test_log_file_store(file, file->bytes);
        }
    }
    start_gives(&rig, CELLAR_DATA_LOSS);
    test_log_files_free(&files);
    test_remove_tree(rig.parent);
}

static void log_of_another_directory_is_data_loss(void **state)
{
    (void)state;
    struct rig rig;
    struct test_log_files files = {.count = 0};
    char path[400];
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/log", rig.data_dir);
    test_log_files_load(path, &files);
    for (size_t i = 0; i < files.count; i++) {
        assert_int_equal(unlink(files.items[i].path), 0);
    }
    start_gives(&rig, CELLAR_DATA_LOSS);
    test_log_files_free(&files);
    test_remove_tree(rig.parent);
}

static void missing_environment_is_data_loss(void **state)
{
    (void)state;
    struct rig rig;
    char path[400];
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/stores/%u/1/data.mdb", rig.data_dir, STORE_ID);
    assert_int_equal(unlink(path), 0);
    start_gives(&rig, CELLAR_DATA_LOSS);
    test_remove_tree(rig.parent);
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

#define LIFE_COUNT 6u
#define LIFE_RECORDS 300u

/* What a life tells the one that watches it. */
struct told {
    _Atomic uint64_t recovered_lsn;
    _Atomic uint64_t acknowledged_lsn;
    uint64_t life_of[MODEL_MUTATION_COUNT_MAX]; /* of each LSN of the store, 0: not the store's */
};

static struct told *told;

static void life_done(struct store_log_record *record, enum cellar_status status)
{
    if (status == CELLAR_OK) {
        atomic_store(&told->acknowledged_lsn, record->entry.lsn);
    }
    free(record);
}

/* The mutation that a life wrote under an LSN: the same whenever it is made. */
static struct cellar_slice life_mutation(struct cell_model *model, uint64_t seed, uint64_t lsn)
{
    model->random.state = seed + told->life_of[lsn] * 1000003 + lsn * 7919;
    return model_mutate(model, lsn);
}

/* Builds the history up to an LSN. */
static void history_make(struct cell_model *model, uint64_t seed, uint64_t end_lsn)
{
    for (uint64_t lsn = 1; lsn <= end_lsn; lsn++) {
        if (told->life_of[lsn] > 0) {
            (void)life_mutation(model, seed, lsn);
        }
    }
}

/* One record under the LSN that comes next. */
static void life_write(struct rig *rig, struct cell_model *model, uint64_t seed, uint64_t life)
{
    struct store_log *log = store_engine_log(rig->engine);
    struct store_log_record *record = calloc(1, sizeof *record);
    struct store_batch *batch = NULL;
    CELLAR_ASSERT(record != NULL);
    store_log_lock(log);
    uint64_t lsn = store_log_next_lsn(log);
    told->life_of[lsn] = life;
    struct cellar_slice payload = life_mutation(model, seed, lsn);
    enum store_record_type type = model_type(model, lsn);
    enum cellar_status status = type == STORE_RECORD_RANGE_DROP
                                    ? store_batch_new_drop(payload, &batch)
                                    : store_batch_new(payload, false, &batch);
    CELLAR_ASSERT(status == CELLAR_OK);
    record->done = life_done;
    record->entry = (struct store_log_entry){
        .store_id = STORE_ID, .type = (uint8_t)type, .payload = batch->payload};
    store_engine_append(rig->engine, rig->store, record, batch);
    store_log_unlock(log);
}

/* A whole life in the child: recovers, checks everything, writes until it is killed. */
static void life_live(struct rig *rig, struct cell_model *model, uint64_t seed, uint64_t life)
{
    rig_open(rig, life == 1);
    struct store_log *log = store_engine_log(rig->engine);
    uint64_t recovered_lsn = store_log_recovered_lsn(log);
    if (recovered_lsn < atomic_load(&told->acknowledged_lsn)) {
        fail_msg("acknowledged records are lost");
    }
    for (uint64_t lsn = recovered_lsn + 1; lsn < MODEL_MUTATION_COUNT_MAX; lsn++) {
        told->life_of[lsn] = 0;
    }
    history_make(model, seed, recovered_lsn);
    struct store_snapshot snapshot;
    assert_int_equal(store_engine_snapshot(rig->engine, rig->store, &snapshot), CELLAR_OK);
    model_check(model, &snapshot);
    store_snapshot_close(&snapshot);
    atomic_store(&told->acknowledged_lsn, recovered_lsn);
    atomic_store(&told->recovered_lsn, recovered_lsn + 1);
    for (uint64_t i = 0; i < LIFE_RECORDS; i++) {
        life_write(rig, model, seed, life);
        while (recovered_lsn + i > atomic_load(&told->acknowledged_lsn) + 20) {
            (void)sched_yield();
        }
    }
    for (;;) {
        (void)pause();
    }
}

static void killed_lives_lose_nothing_acknowledged(void **state)
{
    (void)state;
    struct rig rig;
    struct cell_model *model = model_begin("engine", 500);
    uint64_t seed = model->random.state;
    struct test_random random = {seed + 1};
    rig_begin(&rig);
    rig.options.checkpoint_records_max = 15;
    rig.options.segment_bytes = 65536;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    for (uint64_t life = 1; life <= LIFE_COUNT; life++) {
        atomic_store(&told->recovered_lsn, 0);
        uint64_t target = 1 + test_random_below(&random, LIFE_RECORDS - 30);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            life_live(&rig, model, seed, life);
        }
        int result = 0;
        pid_t ended = 0;
        while (ended == 0 && (atomic_load(&told->recovered_lsn) == 0 ||
                              atomic_load(&told->acknowledged_lsn) + 1 <
                                  atomic_load(&told->recovered_lsn) + target)) {
            (void)sched_yield();
            ended = waitpid(child, &result, WNOHANG);
        }
        assert_int_equal(ended, 0); /* it did not end by itself */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL);
    }
    rig_open(&rig, false);
    history_make(model, seed, store_log_recovered_lsn(store_engine_log(rig.engine)));
    struct store_snapshot snapshot;
    assert_int_equal(store_engine_snapshot(rig.engine, rig.store, &snapshot), CELLAR_OK);
    model_check(model, &snapshot);
    store_snapshot_close(&snapshot);
    (void)munmap(told, sizeof *told);
    rig_end(&rig);
    model_end(model);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    durable_await(&rig, row_write(&rig, rig.store, "row", 0));
    rig_close(&rig);
    bool was_met = true;
    for (int64_t n = 0; was_met; n++) { /* closing may do without memory, so it is left out */
        (void)cellar_mem_fail_at(n);
        enum cellar_status status = rig_try(&rig, false, NULL);
        was_met = cellar_mem_fail_at(-1);
        assert_int_equal(status, was_met ? CELLAR_NO_MEMORY : CELLAR_OK);
        rig_close(&rig);
    }
    rig_open(&rig, false);
    assert_true(row_is_there(&rig, rig.store, "row"));
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_there_after_a_clean_end),
        cmocka_unit_test(catalog_is_readable_before_the_start),
        cmocka_unit_test(options_have_bounds),
        cmocka_unit_test(budgets_make_checkpoints_and_move_the_low_water),
        cmocka_unit_test(a_memtable_that_nobody_writes_to_is_written_down),
        cmocka_unit_test(checkpoint_of_everything_empties_the_memtables),
        cmocka_unit_test(writes_are_refused_over_twice_the_budget),
        cmocka_unit_test(failed_log_refuses_writes_and_serves_reads),
        cmocka_unit_test(dropped_store_leaves_no_folder_and_holds_no_log),
        cmocka_unit_test(stores_nobody_names_are_removed_at_start),
        cmocka_unit_test(lost_log_under_an_applied_store_is_data_loss),
        cmocka_unit_test(log_of_another_directory_is_data_loss),
        cmocka_unit_test(missing_environment_is_data_loss),
        cmocka_unit_test(killed_lives_lose_nothing_acknowledged),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
