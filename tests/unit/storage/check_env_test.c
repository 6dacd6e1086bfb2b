/*
 * check_env: environments that stores wrote are sound; what their state, databases and layers can
 * have wrong is named, each case made with LMDB's own calls, so that the pages stay sound.
 */
#include "server/storage/check_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/storage/env_internal.h"
#include "server/storage/log_files.h"
#include "server/storage/token.h"
#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define STORE_ID 7u
#define GENERATION 3u

/* A data directory with one store's environment. */
struct fixture {
    char directory[256];
    char path[320];
    struct store_env *env; /* while it is open */
    struct test_report report;
    struct store_check_env_options options;
    uint8_t log_id[STORE_LOG_ID_BYTES];
};

static void fixture_begin(struct fixture *fixture)
{
    struct store_env_state state = {.store_id = STORE_ID,
                                    .generation = GENERATION,
                                    .log_id = {1, 2, 3},
                                    .applied_lsn = 50,
                                    .layer_next = 1,
                                    .map_bytes = TEST_MAP_BYTES};
    char parent[300];
    memset(fixture, 0, sizeof *fixture);
    test_disk_fast(true);
    test_temp_dir(fixture->directory, sizeof fixture->directory);
    (void)snprintf(parent, sizeof parent, "%s/stores", fixture->directory);
    assert_int_equal(store_directory_make(parent, NULL), CELLAR_OK);
    (void)snprintf(parent, sizeof parent, "%s/stores/%u", fixture->directory, STORE_ID);
    assert_int_equal(store_directory_make(parent, NULL), CELLAR_OK);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/%u", parent, GENERATION);
    assert_int_equal(store_env_create(fixture->path, &state, NULL), CELLAR_OK);
    assert_int_equal(store_env_open(fixture->path, &fixture->env, NULL), CELLAR_OK);
    memcpy(fixture->log_id, state.log_id, sizeof fixture->log_id);
    fixture->options = (struct store_check_env_options){.data_dir = fixture->directory,
                                                        .store_id = STORE_ID,
                                                        .generation = GENERATION,
                                                        .log_id = fixture->log_id,
                                                        .end_lsn = 50};
    test_report_begin(&fixture->report);
}

static void fixture_end(struct fixture *fixture)
{
    store_env_close(fixture->env);
    test_report_end(&fixture->report);
    test_remove_tree(fixture->directory);
}

/* Checks while the environment is open, which LMDB allows as long as nobody writes. */
static bool check_run(struct fixture *fixture, struct store_env_state *state)
{
    bool has_state = false;
    assert_int_equal(store_check_env(&fixture->report.report, &fixture->options, state, &has_state),
                     CELLAR_OK);
    return has_state;
}

/* Fails unless the check tells exactly so many problems and, if given, `why`. */
static void check_tells(struct fixture *fixture, uint64_t count, const char *why)
{
    struct store_env_state state;
    uint64_t before = fixture->report.report.damage_count;
    (void)check_run(fixture, &state);
    const char *text = test_report_text(&fixture->report);
    if (fixture->report.report.damage_count - before != count) {
        fail_msg("not %u problems:\n%s", (unsigned)count, text);
    }
    if (why != NULL) {
        test_report_has(&fixture->report, why);
    }
}

/* Rows of 1 to 4,000 bytes, each third with a token: keys of up to 17 layers. */
static void rows_put(struct fixture *fixture, unsigned count)
{
    static uint8_t bytes[4096];
    struct store_env_txn txn;
    assert_int_equal(store_env_write_begin(fixture->env, &txn), CELLAR_OK);
    memset(bytes, 'r', sizeof bytes);
    for (unsigned i = 0; i < count; i++) {
        size_t size = i % 5 == 0 ? 40 + (i * 131) % 3900 : 3;
        bytes[0] = (uint8_t)('a' + i / 26 % 26);
        bytes[1] = (uint8_t)('a' + i % 26);
        test_row_put(&txn, cellar_slice_make(bytes, size), false);
        if (i % 3 == 0) {
            test_row_put(&txn, cellar_slice_make(bytes, size), true);
        }
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
}

/* ---- sound ----------------------------------------------------------------------------------- */

static void sound_environment_has_nothing_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_env_state got;
    fixture_begin(&fixture);
    check_tells(&fixture, 0, NULL); /* empty */
    rows_put(&fixture, 300);
    check_tells(&fixture, 0, NULL);
    assert_true(check_run(&fixture, &got));
    assert_int_equal(got.applied_lsn, 50);
    assert_int_equal(got.item_count, 400);
    assert_int_equal(fixture.report.report.note_count, 0);
    assert_int_equal(fixture.report.report.counts.row_count, 600);
    assert_int_equal(fixture.report.report.counts.token_count, 200);
    assert_int_equal(fixture.report.report.counts.store_count, 3);
    fixture_end(&fixture);
}

static void log_need_not_be_known(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    fixture.options.log_id = NULL;
    fixture.options.end_lsn = UINT64_MAX;
    check_tells(&fixture, 0, NULL);
    fixture_end(&fixture);
}

/* ---- state ----------------------------------------------------------------------------------- */

static void state_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    fixture.options.end_lsn = 49;
    check_tells(&fixture, 1,
                "lsn 50: the store has applied record 50, but the commit log ends at 49");
    fixture.options.end_lsn = 50;
    fixture.log_id[0] ^= 1;
    check_tells(&fixture, 1, "belongs to another commit log");
    fixture_end(&fixture);
}

/* What a write transaction may leave wrong in the state. */
static void state_of_another_store_is_told(void **state)
{
    (void)state;
    static const struct {
        size_t offset; /* in the struct */
        const char *why;
    } cases[] = {
        {offsetof(struct store_env_state, store_id), "of another store or generation"},
        {offsetof(struct store_env_state, generation), "of another store or generation"},
        {offsetof(struct store_env_state, map_bytes), "different sizes of the map"},
        {offsetof(struct store_env_state, item_count), "its last checkpoint says 10"},
        {offsetof(struct store_env_state, item_crc_sum), "the sums of their checksums differ"},
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    rows_put(&fixture, 8);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct store_env_txn txn;
        uint8_t *field = (uint8_t *)&txn.state + cases[i].offset;
        for (int turn = 0; turn < 2; turn++) {
            assert_int_equal(store_env_write_begin(fixture.env, &txn), CELLAR_OK);
            *field ^= 0x01;
            assert_int_equal(store_env_commit(&txn), CELLAR_OK);
            check_tells(&fixture, turn == 0 ? 1 : 0, turn == 0 ? cases[i].why : NULL);
        }
    }
    fixture_end(&fixture);
}

/* ---- databases and layers, spoiled by LMDB's own calls ----------------------------------------
 */

static void raw_put(struct fixture *fixture, MDB_dbi dbi, struct cellar_slice key,
                    struct cellar_slice value)
{
    MDB_txn *txn = NULL;
    MDB_val raw_key = {key.bytes, (void *)(uintptr_t)key.data};
    MDB_val raw_value = {value.bytes, (void *)(uintptr_t)value.data};
    assert_int_equal(mdb_txn_begin(fixture->env->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, dbi, &raw_key, &raw_value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void raw_delete(struct fixture *fixture, MDB_dbi dbi, struct cellar_slice key)
{
    MDB_txn *txn = NULL;
    MDB_val raw_key = {key.bytes, (void *)(uintptr_t)key.data};
    assert_int_equal(mdb_txn_begin(fixture->env->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_del(txn, dbi, &raw_key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

/* A row whose key takes one layer; `raw` receives its mark's key. */
static void long_row_put(struct fixture *fixture, struct env_raw_key *raw)
{
    static uint8_t row[300];
    struct store_env_txn txn;
    memset(row, 'x', sizeof row);
    assert_int_equal(store_env_write_begin(fixture->env, &txn), CELLAR_OK);
    test_row_put(&txn, cellar_slice_make(row, sizeof row), false);
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    store_env_raw_key_make(raw, 0, cellar_slice_make(row, STORE_ENV_KEY_PART_MAX), true);
}

static void missing_and_unknown_databases_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    fixture_begin(&fixture);
    assert_int_equal(mdb_txn_begin(fixture.env->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, fixture.env->tokens_dbi, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    check_tells(&fixture, 1, "the database tokens is missing");
    assert_int_equal(mdb_txn_begin(fixture.env->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "others", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    check_tells(&fixture, 2, "a database of an unknown name");
    assert_int_equal(mdb_txn_begin(fixture.env->native, NULL, 0, &txn), 0);
    assert_int_equal(mdb_drop(txn, fixture.env->layers_dbi, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    check_tells(&fixture, 3, "the database layers is missing");
    fixture_end(&fixture);
}

/* The first place of some bytes in the file of an open environment. */
static void file_spoil(struct fixture *fixture, const char *bytes, size_t behind)
{
    char file[400];
    size_t size = 0;
    (void)snprintf(file, sizeof file, "%s/data.mdb", fixture->path);
    store_env_close(fixture->env);
    fixture->env = NULL;
    uint8_t *data = test_file_read(file, &size);
    for (size_t page = 2 * ENV_PAGE_BYTES; page < size; page += ENV_PAGE_BYTES) {
        uint8_t *found = memmem(data + page, ENV_PAGE_BYTES, bytes, strlen(bytes));
        if (found != NULL) {
            found[strlen(bytes) + behind] ^= 0x80;
        }
    }
    test_file_write(file, data, size);
    free(data);
}

static void damaged_descriptions_of_databases_are_told(void **state)
{
    (void)state;
    static const char *const names[] = {"cells", "layers", "tokens"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(names); i++) {
        struct fixture fixture;
        fixture_begin(&fixture);
        file_spoil(&fixture, names[i], 1);
        check_tells(&fixture, 2, "what describes a database is damaged"); /* and that it is gone */
        fixture_end(&fixture);
    }
}

static void missing_or_strange_state_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_env_state got;
    fixture_begin(&fixture);
    raw_put(&fixture, fixture.env->state_dbi, cellar_slice_text("more"), cellar_slice_text("x"));
    check_tells(&fixture, 1, "an entry of an unknown name");
    raw_delete(&fixture, fixture.env->state_dbi, cellar_slice_text("more"));
    raw_put(&fixture, fixture.env->state_dbi, cellar_slice_text("state"), cellar_slice_text("x"));
    check_tells(&fixture, 1, "it is no state record");
    raw_delete(&fixture, fixture.env->state_dbi, cellar_slice_text("state"));
    check_tells(&fixture, 1, "the state record is missing");
    assert_false(check_run(&fixture, &got));
    fixture_end(&fixture);
}

static void dropped_ranges_are_sound_or_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_env_txn txn;
    struct store_range_set set = {0};
    const struct store_range range = {cellar_slice_make("a\0\1", 3), cellar_slice_make("b\0\1", 3)};
    fixture_begin(&fixture);
    rows_put(&fixture, 8);
    assert_int_equal(store_range_set_add(&set, range), CELLAR_OK);
    assert_int_equal(store_env_write_begin(fixture.env, &txn), CELLAR_OK);
    assert_int_equal(store_env_pending_put(&txn, &set), CELLAR_OK);
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    store_range_set_fini(&set);
    check_tells(&fixture, 0, NULL);
    raw_put(&fixture, fixture.env->state_dbi, cellar_slice_text("pending"), cellar_slice_text("x"));
    check_tells(&fixture, 1, "the record of dropped ranges is damaged");
    raw_delete(&fixture, fixture.env->state_dbi, cellar_slice_text("pending"));
    check_tells(&fixture, 1, "the state and the record of dropped ranges do not fit");
    fixture_end(&fixture);
}

static void items_that_are_gone_are_told_by_count_and_sum(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    rows_put(&fixture, 8);
    raw_delete(&fixture, fixture.env->cells_dbi, cellar_slice_make("abr\0\1", 5));
    check_tells(&fixture, 1, "the environment has 10 items, its last checkpoint says 11");
    fixture_end(&fixture);
}

static void layers_that_nobody_leads_to_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct env_raw_key raw;
    fixture_begin(&fixture);
    long_row_put(&fixture, &raw);
    check_tells(&fixture, 0, NULL);
    raw_put(&fixture, fixture.env->layers_dbi, cellar_slice_make("\0\0\0\0\0\0\0\x09rest", 12),
            cellar_slice_text("value"));
    check_tells(&fixture, 2, "an entry belongs to a layer that was never given out");
    test_report_has(&fixture.report, "no mark leads to 1 entries of the layers");
    fixture_end(&fixture);
}

static void marks_that_lead_nowhere_are_told_with_the_beginning_of_their_row(void **state)
{
    (void)state;
    struct fixture fixture;
    struct env_raw_key raw;
    uint8_t value[12] = {0};
    fixture_begin(&fixture);
    long_row_put(&fixture, &raw);
    struct cellar_slice key = cellar_slice_make(raw.bytes, raw.count);
    raw_put(&fixture, fixture.env->cells_dbi, key, cellar_slice_make(value, sizeof value));
    check_tells(&fixture, 3, "row \"xxx"); /* the mark, its layer, the count */
    test_report_has(&fixture.report, "the checksum of a long key's mark does not fit");
    cellar_put_u64le(value + 4, 77);
    cellar_put_u32le(value, store_env_item_crc(key, cellar_slice_make(value + 4, 8)));
    raw_put(&fixture, fixture.env->cells_dbi, key, cellar_slice_make(value, sizeof value));
    check_tells(&fixture, 3, "the layer of a long key's mark is empty");
    fixture_end(&fixture);
}

static void marks_in_a_circle_end_the_walk(void **state)
{
    (void)state;
    struct fixture fixture;
    struct env_raw_key raw;
    struct env_raw_key inner;
    uint8_t value[12] = {0};
    uint8_t part[STORE_ENV_KEY_PART_MAX];
    fixture_begin(&fixture);
    long_row_put(&fixture, &raw);
    memset(part, 'y', sizeof part);
    store_env_raw_key_make(&inner, 1, cellar_slice_make(part, sizeof part), true);
    struct cellar_slice key = cellar_slice_make(inner.bytes, inner.count);
    cellar_put_u64le(value + 4, 1); /* layer 1 leads to itself */
    cellar_put_u32le(value, store_env_item_crc(key, cellar_slice_make(value + 4, 8)));
    raw_put(&fixture, fixture.env->layers_dbi, key, cellar_slice_make(value, sizeof value));
    struct store_env_state got;
    (void)check_run(&fixture, &got);
    test_report_has(&fixture.report, "the marks of long keys lead in circles");
    fixture_end(&fixture);
}

static void keys_of_impossible_length_are_told(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t key[300];
    fixture_begin(&fixture);
    memset(key, 'k', sizeof key);
    raw_put(&fixture, fixture.env->cells_dbi, cellar_slice_make(key, sizeof key),
            cellar_slice_text("value"));
    check_tells(&fixture, 1, "the key has an impossible length");
    fixture_end(&fixture);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void missing_file_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    char file[400];
    fixture_begin(&fixture);
    store_env_close(fixture.env);
    fixture.env = NULL;
    (void)snprintf(file, sizeof file, "%s/data.mdb", fixture.path);
    assert_int_equal(unlink(file), 0);
    check_tells(&fixture, 1,
                "damage: stores/7/3/data.mdb offset 0 store 7: file: the file is missing");
    fixture_end(&fixture);
}

static enum cellar_status out_of_memory_run(void *context)
{
    struct fixture *fixture = context;
    struct store_env_state got;
    bool has_state = false;
    return store_check_env(&fixture->report.report, &fixture->options, &got, &has_state);
}

static void out_of_memory_is_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    rows_put(&fixture, 20);
    assert_true(test_out_of_memory_loop(out_of_memory_run, &fixture) >= 10);
    assert_int_equal(fixture.report.report.damage_count, 0);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_environment_has_nothing_told),
        cmocka_unit_test(log_need_not_be_known),
        cmocka_unit_test(state_that_does_not_fit_is_told),
        cmocka_unit_test(state_of_another_store_is_told),
        cmocka_unit_test(missing_and_unknown_databases_are_told),
        cmocka_unit_test(damaged_descriptions_of_databases_are_told),
        cmocka_unit_test(missing_or_strange_state_is_told),
        cmocka_unit_test(dropped_ranges_are_sound_or_told),
        cmocka_unit_test(items_that_are_gone_are_told_by_count_and_sum),
        cmocka_unit_test(layers_that_nobody_leads_to_are_told),
        cmocka_unit_test(marks_that_lead_nowhere_are_told_with_the_beginning_of_their_row),
        cmocka_unit_test(marks_in_a_circle_end_the_walk),
        cmocka_unit_test(keys_of_impossible_length_are_told),
        cmocka_unit_test(missing_file_is_told),
        cmocka_unit_test(out_of_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
