/*
 * engine_blobs: what a start keeps and removes, and what goes with a store or its old generation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/compaction.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define STORE_ID 5u

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
    assert_true(snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent) > 0);
    rig->options = (struct store_engine_options){
        .data_dir = rig->data_dir,
        .memory_bytes_max = UINT64_C(256) << 20,
        .memtable_bytes_max = UINT64_C(16) << 20,
        .unapplied_bytes_max = UINT64_C(16) << 20,
        .unapplied_records_max = 100000,
        .store_tokens_max = 1000000,
        .segment_bytes = 1u << 20,
        .map_bytes = TEST_MAP_BYTES,
    };
}

static void rig_open(struct rig *rig, bool is_first)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    if (store_engine_open(&rig->options, &rig->engine, &error) != CELLAR_OK ||
        (!is_first &&
         store_engine_attach(rig->engine, STORE_ID, 1, &rig->store, &error) != CELLAR_OK) ||
        store_engine_start(rig->engine, &error) != CELLAR_OK ||
        (is_first &&
         store_engine_store_make(rig->engine, STORE_ID, &rig->store, &error) != CELLAR_OK)) {
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

static struct store_blob blob_make(struct rig *rig)
{
    struct store_blob blob = {0};
    assert_int_equal(store_blobs_write(store_engine_blobs(rig->engine), cellar_slice_text("large"),
                                       false, &blob),
                     CELLAR_OK);
    return blob;
}

static bool file_is_there(struct rig *rig, const struct store_blob *blob)
{
    struct store_blob_reader reader;
    store_blobs_reap(store_engine_blobs(rig->engine));
    enum cellar_status status = store_blob_open(store_engine_blobs(rig->engine), blob, &reader);
    assert_true(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
    if (status == CELLAR_OK) {
        store_blob_close(&reader);
    }
    return status == CELLAR_OK;
}

static void record_done(struct store_log_record *record, enum cellar_status status)
{
    (void)status;
    free(record);
}

/* Sets a cell to a blob's reference; durable at return. */
static void reference_write(struct rig *rig, const char *row, const struct store_blob *blob)
{
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    struct store_item item = test_set("f", "q", 7, "");
    struct store_log *log = store_engine_log(rig->engine);
    struct store_log_record *record = calloc(1, sizeof *record);
    store_blob_encode(bytes, blob);
    item.type = STORE_ITEM_SET_BLOB;
    item.value = cellar_slice_make(bytes, sizeof bytes);
    test_mutation_put(&payload, cellar_slice_text(row), 0, &item, 1);
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_OK);
    assert_non_null(record);
    record->done = record_done;
    record->entry = (struct store_log_entry){
        .store_id = STORE_ID, .type = STORE_RECORD_MUTATION, .payload = batch->payload};
    store_log_lock(log);
    uint64_t lsn = store_log_next_lsn(log);
    store_engine_append(rig->engine, rig->store, record, batch);
    store_log_unlock(log);
    assert_true(store_log_wait_durable(log, lsn));
    cellar_buffer_fini(&payload);
}

/* Drops all rows; durable at return. */
static void rows_drop(struct rig *rig)
{
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    const struct store_range_drop drop = {.start = {NULL, 0}};
    struct store_log *log = store_engine_log(rig->engine);
    struct store_log_record *record = calloc(1, sizeof *record);
    assert_non_null(record);
    assert_int_equal(store_range_drop_encode(&payload, &drop), CELLAR_OK);
    assert_int_equal(store_batch_new_drop(cellar_slice_of(&payload), &batch), CELLAR_OK);
    record->done = record_done;
    record->entry = (struct store_log_entry){
        .store_id = STORE_ID, .type = STORE_RECORD_RANGE_DROP, .payload = batch->payload};
    store_log_lock(log);
    uint64_t lsn = store_log_next_lsn(log);
    store_engine_append(rig->engine, rig->store, record, batch);
    store_log_unlock(log);
    assert_true(store_log_wait_durable(log, lsn));
    cellar_buffer_fini(&payload);
}

static void checkpoint(struct rig *rig)
{
    assert_int_equal(store_engine_checkpoint_all(rig->engine), CELLAR_OK);
}

/* ---- starts ---------------------------------------------------------------------------------- */

/* What a life leaves that ends without a close. */
struct left {
    struct store_blob listed;   /* in the environment */
    struct store_blob recorded; /* in the log only */
    struct store_blob orphan;   /* nobody got to name it */
};

static void life_run(struct rig *rig, struct left *left)
{
    rig_open(rig, true);
    left->listed = blob_make(rig);
    reference_write(rig, "a", &left->listed);
    checkpoint(rig);
    left->recorded = blob_make(rig);
    reference_write(rig, "b", &left->recorded);
    left->orphan = blob_make(rig);
}

static void start_after_a_kill_keeps_what_is_named(void **state)
{
    (void)state;
    struct rig rig;
    int status = 0;
    struct left *left =
        mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(left != MAP_FAILED);
    rig_begin(&rig);
    pid_t child = fork();
    if (child == 0) {
        life_run(&rig, left);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (unsigned life = 0; life < 3; life++) {
        rig_open(&rig, false);
        assert_true(file_is_there(&rig, &left->listed));
        assert_true(file_is_there(&rig, &left->recorded));
        assert_false(file_is_there(&rig, &left->orphan));
        rig_close(&rig);
    }
    (void)munmap(left, sizeof *left);
    rig_end(&rig);
}

/* ---- what goes with a store ------------------------------------------------------------------ */

static void dropped_store_takes_its_blobs_along(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    struct store_blob listed = blob_make(&rig);
    reference_write(&rig, "a", &listed);
    checkpoint(&rig);
    struct store_blob recorded = blob_make(&rig);
    reference_write(&rig, "b", &recorded);
    assert_true(file_is_there(&rig, &listed));
    store_engine_store_drop(rig.engine, rig.store);
    assert_false(file_is_there(&rig, &listed));
    assert_false(file_is_there(&rig, &recorded));
    rig_end(&rig);
}

/* A keeper removes by itself what a checkpoint let go. */
static void replaced_blob_goes_at_a_clean_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    struct store_blob first = blob_make(&rig);
    struct store_blob second = blob_make(&rig);
    reference_write(&rig, "a", &first);
    checkpoint(&rig);
    reference_write(&rig, "a", &second);
    rig_close(&rig);
    rig_open(&rig, false);
    assert_false(file_is_there(&rig, &first));
    assert_true(file_is_there(&rig, &second));
    rig_end(&rig);
}

/* ---- compactions ----------------------------------------------------------------------------- */

static enum cellar_status id_count(void *context, uint64_t id)
{
    size_t *count = context;
    assert_true(id > 0);
    ++*count;
    return CELLAR_OK;
}

static size_t listed_count(struct rig *rig)
{
    size_t count = 0;
    assert_int_equal(store_blobs_listed(rig->store, id_count, &count), CELLAR_OK);
    return count;
}

static struct store_compaction *compaction_begin(struct rig *rig)
{
    struct store_compaction *compaction = NULL;
    assert_int_equal(store_compaction_begin(rig->engine, rig->store, &compaction, NULL), CELLAR_OK);
    return compaction;
}

static void compaction_copy(struct rig *rig, struct store_compaction *compaction)
{
    bool is_done = false;
    while (!is_done) {
        assert_int_equal(store_compaction_step(compaction, rig->store, 64, &is_done), CELLAR_OK);
    }
}

static void compaction_swap(struct rig *rig, struct store_compaction *compaction)
{
    struct store_log *log = store_engine_log(rig->engine);
    assert_int_equal(store_compaction_seal(compaction, rig->store), CELLAR_OK);
    store_log_lock(log);
    store_compaction_swap(compaction, rig->store);
    store_log_unlock(log);
}

static void filter_open(const struct store_filter_source *source, uint64_t durable_lsn,
                        struct store_filter *filter)
{
    assert_true(durable_lsn > 0);
    filter->source = source;
}

static bool filter_hides(struct store_filter *filter, const struct store_cell *cell)
{
    (void)filter;
    (void)cell;
    return true;
}

static bool filter_hides_none(struct store_filter *filter, const struct store_cell *cell)
{
    (void)filter;
    (void)cell;
    return false;
}

static bool filter_may_hide(const struct store_filter *filter, const struct store_segment *segment)
{
    (void)filter;
    (void)segment;
    return true;
}

/* Segments that are passed on as they are, and such that are packed anew. */
static void references_carry(const struct store_filter_source *source)
{
    struct rig rig;
    struct store_blob blobs[8];
    char row[8];
    rig_begin(&rig);
    rig_open(&rig, true);
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(blobs); i++) {
        assert_true(snprintf(row, sizeof row, "r%u", i) > 0);
        blobs[i] = blob_make(&rig);
        reference_write(&rig, row, &blobs[i]);
    }
    atomic_store(&rig.store->filters, source);
    struct store_compaction *compaction = compaction_begin(&rig);
    compaction_copy(&rig, compaction);
    struct store_blob late = blob_make(&rig);
    reference_write(&rig, "r3", &late); /* a checkpoint writes it to both generations */
    checkpoint(&rig);
    compaction_swap(&rig, compaction);
    store_compaction_end(compaction, rig.store, true);
    assert_int_equal(listed_count(&rig), CELLAR_ARRAY_COUNT(blobs));
    assert_true(file_is_there(&rig, &late));
    for (unsigned i = 0; i < CELLAR_ARRAY_COUNT(blobs); i++) {
        assert_int_equal(file_is_there(&rig, &blobs[i]), i != 3);
    }
    rig_end(&rig);
}

static void compaction_carries_references_and_their_list(void **state)
{
    (void)state;
    static const struct store_filter_source source = {
        .open = filter_open, .hides = filter_hides_none, .may_hide = filter_may_hide};
    references_carry(NULL);
    references_carry(&source);
}

/* A rule hides every cell: the old generation alone names the blob, and while it may still be the
 * live one after a power loss, the file stays. */
static void blob_that_is_not_copied_goes_with_the_old_generation(void **state)
{
    (void)state;
    static const struct store_filter_source source = {
        .open = filter_open, .hides = filter_hides, .may_hide = filter_may_hide};
    for (unsigned is_durable = 0; is_durable < 2; is_durable++) {
        struct rig rig;
        rig_begin(&rig);
        rig_open(&rig, true);
        struct store_blob blob = blob_make(&rig);
        reference_write(&rig, "a", &blob);
        checkpoint(&rig);
        atomic_store(&rig.store->filters, &source);
        struct store_compaction *compaction = compaction_begin(&rig);
        compaction_copy(&rig, compaction);
        compaction_swap(&rig, compaction);
        assert_true(file_is_there(&rig, &blob));
        store_compaction_end(compaction, rig.store, is_durable == 1);
        assert_int_equal(listed_count(&rig), 0);
        assert_int_equal(file_is_there(&rig, &blob), is_durable == 0);
        rig_end(&rig);
    }
}

/* Lets keepers, which look once a second, have some time. */
static void pause_ms(int64_t ms)
{
    struct cellar_mutex lock;
    struct cellar_cond never;
    cellar_mutex_init(&lock);
    cellar_cond_init(&never);
    cellar_mutex_lock(&lock);
    (void)cellar_cond_timedwait(&never, &lock, cellar_clock_monotonic_us() + ms * 1000);
    cellar_mutex_unlock(&lock);
    cellar_cond_fini(&never);
    cellar_mutex_fini(&lock);
}

/* Rows that a drop hides are removed behind a compaction, not beside it: until then both
 * generations may have them, and their files. */
static void dropped_rows_keep_their_blobs_while_a_compaction_runs(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_open(&rig, true);
    struct store_blob blob = blob_make(&rig);
    reference_write(&rig, "a", &blob);
    checkpoint(&rig);
    struct store_compaction *compaction = compaction_begin(&rig);
    compaction_copy(&rig, compaction);
    rows_drop(&rig);
    checkpoint(&rig);
    for (unsigned i = 0; i < 150; i++) {
        pause_ms(10);
        assert_true(file_is_there(&rig, &blob));
    }
    compaction_swap(&rig, compaction);
    store_compaction_end(compaction, rig.store, true);
    for (unsigned i = 0; i < 5000 && file_is_there(&rig, &blob); i++) {
        pause_ms(1);
    }
    assert_false(file_is_there(&rig, &blob));
    assert_int_equal(listed_count(&rig), 0);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_after_a_kill_keeps_what_is_named),
        cmocka_unit_test(dropped_store_takes_its_blobs_along),
        cmocka_unit_test(replaced_blob_goes_at_a_clean_end),
        cmocka_unit_test(blob_that_is_not_copied_goes_with_the_old_generation),
        cmocka_unit_test(compaction_carries_references_and_their_list),
        cmocka_unit_test(dropped_rows_keep_their_blobs_while_a_compaction_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
