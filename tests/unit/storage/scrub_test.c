/*
 * scrub: a sound store has nothing told, whatever the slices; every bit of an item is seen with its
 * row and the others are met all the same; what is missing shows in the count; commits between
 * slices, an end in the middle and failing allocations do no harm. The environment stays open
 * throughout, as a served store's does.
 */
#include "server/storage/scrub.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/storage/env_internal.h"
#include "server/storage/segment.h"
#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define ROW_COUNT 120u
#define ITEM_COUNT (ROW_COUNT + ROW_COUNT / 3)
#define WHOLE UINT64_MAX
#define CASE_COUNT 1000u

/* A store of which the scrub sees the environment alone. */
struct fixture {
    char directory[256];
    char path[400];
    struct store store;
    int descriptor; /* of data.mdb, to spoil it behind LMDB's back */
};

/* What a scrub told. */
struct told {
    uint64_t damage_count;
    char row[64]; /* of the first finding with a row; cut */
    char rows_start[64];
    bool has_row;
    bool has_rows;
    char why[256];
    uint64_t item_count;
    bool has_sums;
};

static void fixture_begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    test_disk_fast(true);
    test_temp_dir(fixture->directory, sizeof fixture->directory);
    fixture->store.id = 7;
    fixture->store.generation = 3;
    fixture->store.env = test_env_make(fixture->directory, TEST_MAP_BYTES);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/data.mdb",
                   fixture->store.env->directory);
    fixture->descriptor = open(fixture->path, O_RDWR | O_CLOEXEC);
    assert_true(fixture->descriptor >= 0);
}

static void fixture_end(struct fixture *fixture)
{
    store_env_close(fixture->store.env);
    assert_int_equal(close(fixture->descriptor), 0);
    test_remove_tree(fixture->directory);
}

/* Row `index`: three bytes mostly, up to 3,900 for each fifth. Long ones share beginnings. */
static struct cellar_slice row_make(unsigned index)
{
    static uint8_t bytes[4096];
    memset(bytes, 'r', sizeof bytes);
    bytes[0] = (uint8_t)('a' + index / 26 % 26);
    bytes[1] = (uint8_t)('a' + index % 26);
    size_t count = index % 5 == 0 ? 40 + (index * 131) % 3900 : 3;
    bytes[count - 1] = (uint8_t)('0' + index % 10);
    if (index % 10 == 0) {
        memset(bytes, 'z', 2); /* one beginning of all these */
    }
    return cellar_slice_make(bytes, count);
}

static void rows_put(struct fixture *fixture, unsigned from, unsigned to)
{
    struct store_env_txn txn;
    assert_int_equal(store_env_write_begin(fixture->store.env, &txn), CELLAR_OK);
    for (unsigned i = from; i < to; i++) {
        test_row_put(&txn, row_make(i), false);
        if (i % 3 == 0) {
            test_row_put(&txn, row_make(i), true);
        }
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
}

static void text_copy(char to[64], struct cellar_slice from)
{
    size_t count = CELLAR_MIN(from.bytes, (size_t)63);
    memcpy(to, from.data, count);
    to[count] = '\0';
}

static void find(void *context, enum store_check_severity severity,
                 const struct store_check_place *place, const char *why)
{
    struct told *told = context;
    assert_int_equal(severity, STORE_CHECK_DAMAGE);
    assert_int_equal(place->store_id, 7);
    if (told->damage_count++ == 0) {
        (void)snprintf(told->why, sizeof told->why, "%s", why);
    }
    if (place->has_row && !told->has_row) {
        text_copy(told->row, place->row);
        told->has_row = true;
    }
    if (place->has_rows && !told->has_rows) {
        text_copy(told->rows_start, place->rows_start);
        told->has_rows = true;
    }
}

static enum cellar_status scrub_try(struct fixture *fixture, uint64_t slice_bytes,
                                    struct told *told)
{
    const struct store_check_rows rows = {.context = NULL};
    struct store_scrub scrub;
    bool is_done = false;
    memset(told, 0, sizeof *told);
    enum cellar_status status = store_scrub_init(&scrub, 7, &rows, find, told);
    for (unsigned i = 0; status == CELLAR_OK && !is_done; i++) {
        assert_true(i < 100000);
        status = store_scrub_slice(&scrub, &fixture->store, slice_bytes, &is_done);
    }
    told->item_count = scrub.cells.item_count;
    told->has_sums = scrub.has_sums;
    store_scrub_fini(&scrub);
    return status;
}

static void scrub_run(struct fixture *fixture, uint64_t slice_bytes, struct told *told)
{
    assert_int_equal(scrub_try(fixture, slice_bytes, told), CELLAR_OK);
}

/* ---- sound ----------------------------------------------------------------------------------- */

static void sound_store_has_nothing_told_whatever_the_slices(void **state)
{
    (void)state;
    static const uint64_t slices[] = {1, 200, 5000, WHOLE};
    struct fixture fixture;
    struct told told;
    fixture_begin(&fixture);
    scrub_run(&fixture, WHOLE, &told); /* empty */
    assert_int_equal(told.damage_count, 0);
    assert_true(told.has_sums);
    rows_put(&fixture, 0, ROW_COUNT);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(slices); i++) {
        scrub_run(&fixture, slices[i], &told);
        assert_string_equal(told.why, "");
        assert_int_equal(told.item_count, ITEM_COUNT);
        assert_true(told.has_sums);
    }
    fixture_end(&fixture);
}

/* A slice a row, and a commit before each: what is written behind the place is met. */
static void commits_between_slices_are_no_damage(void **state)
{
    (void)state;
    const struct store_check_rows rows = {.context = NULL};
    struct fixture fixture;
    struct store_scrub scrub;
    struct told told = {.damage_count = 0};
    bool is_done = false;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    assert_int_equal(store_scrub_init(&scrub, 7, &rows, find, &told), CELLAR_OK);
    for (unsigned i = 0; !is_done; i++) {
        assert_int_equal(store_scrub_slice(&scrub, &fixture.store, 1, &is_done), CELLAR_OK);
        if (i % 7 == 0 && i < 210) {
            rows_put(&fixture, ROW_COUNT + i / 7, ROW_COUNT + i / 7 + 1);
        }
    }
    assert_string_equal(told.why, "");
    assert_false(scrub.has_sums);
    assert_true(scrub.cells.item_count > ITEM_COUNT);
    assert_int_equal(scrub.item_count_left < ITEM_COUNT, true);
    store_scrub_fini(&scrub);
    fixture_end(&fixture);
}

static void scrub_may_end_in_the_middle(void **state)
{
    (void)state;
    const struct store_check_rows rows = {.context = NULL};
    struct fixture fixture;
    struct store_scrub scrub;
    struct told told = {.damage_count = 0};
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    for (unsigned count = 0; count < 40; count += 3) {
        bool is_done = false;
        assert_int_equal(store_scrub_init(&scrub, 7, &rows, find, &told), CELLAR_OK);
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(store_scrub_slice(&scrub, &fixture.store, 1, &is_done), CELLAR_OK);
            assert_false(is_done);
        }
        assert_int_equal(scrub.cells.item_count, count);
        assert_true(count == 0 || scrub.item_count_left == ITEM_COUNT - count);
        store_scrub_fini(&scrub);
    }
    assert_int_equal(told.damage_count, 0);
    fixture_end(&fixture);
}

/* ---- bits ------------------------------------------------------------------------------------ */

static void bit_flip(struct fixture *fixture, uint64_t offset, unsigned bit)
{
    uint8_t byte = 0;
    assert_int_equal(pread(fixture->descriptor, &byte, 1, (off_t)offset), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fixture->descriptor, &byte, 1, (off_t)offset), 1);
}

/* Where the bytes of a key stand in the file, with a value behind them. A page that was split keeps
 * old copies in its free space, where a bit matters to nobody. */
static uint64_t item_find(struct fixture *fixture, const char *key, size_t key_bytes)
{
    struct told told = {.damage_count = 0};
    size_t bytes = 0;
    uint8_t *data = test_file_read(fixture->path, &bytes);
    uint8_t *found = data;
    uint64_t offset = 0;
    while (told.damage_count == 0) {
        found = memmem(found + 1, bytes - (size_t)(found + 1 - data), key, key_bytes);
        assert_non_null(found);
        offset = (uint64_t)(found - data);
        bit_flip(fixture, offset + key_bytes, 0);
        scrub_run(fixture, WHOLE, &told);
        bit_flip(fixture, offset + key_bytes, 0);
    }
    free(data);
    return offset;
}

/* Key, checksum, head, cells: each bit of an item is seen, its row named or a range that it lies
 * in, and with the value's bits every other item is met. */
static void each_bit_of_an_item_is_told_with_its_row(void **state)
{
    (void)state;
    const char key[] = "ce6\0\1"; /* of row 56; behind it: CRC 4, head 12, packed cell */
    struct fixture fixture;
    struct told told;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    uint64_t offset = item_find(&fixture, key, sizeof key - 1);
    for (unsigned i = 0; i < (5 + 4 + 12 + 8) * 8; i++) {
        bit_flip(&fixture, offset + i / 8, i % 8);
        scrub_run(&fixture, i % 2 == 0 ? 1000 : WHOLE, &told);
        if (told.damage_count == 0 || (!told.has_row && !told.has_rows)) {
            fail_msg("byte %u bit %u: %u findings, '%s'", i / 8, i % 8, (unsigned)told.damage_count,
                     told.why);
        }
        if (i / 8 >= 5) {
            assert_string_equal(told.row, "ce6");
            assert_int_equal(told.item_count, ITEM_COUNT);
        }
        bit_flip(&fixture, offset + i / 8, i % 8);
    }
    scrub_run(&fixture, WHOLE, &told);
    assert_int_equal(told.damage_count, 0);
    fixture_end(&fixture);
}

/* Pages that LMDB itself reads when a transaction begins: the databases' names and the state. */
static bool is_lmdbs_own(const uint8_t *page)
{
    return memmem(page, ENV_PAGE_BYTES, "tokens", 6) != NULL ||
           (memmem(page, ENV_PAGE_BYTES, "state", 5) != NULL && cellar_get_u16le(page + 10) == 2);
}

/* Bits anywhere in the pages of cells, layers and tokens: no scrub is ended by them, and what it
 * does not tell has changed nothing that is read. */
static void bits_anywhere_are_told_or_harmless(void **state)
{
    (void)state;
    struct fixture fixture;
    struct told told;
    size_t bytes = 0;
    unsigned told_count = 0;
    struct test_random random = {1};
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    uint8_t *data = test_file_read(fixture.path, &bytes);
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        uint64_t offset =
            2 * ENV_PAGE_BYTES + test_random_below(&random, bytes - 2 * ENV_PAGE_BYTES);
        unsigned bit = (unsigned)test_random_below(&random, 8);
        if (is_lmdbs_own(data + offset / ENV_PAGE_BYTES * ENV_PAGE_BYTES)) {
            continue;
        }
        bit_flip(&fixture, offset, bit);
        scrub_run(&fixture, i % 2 == 0 ? 3000 : WHOLE, &told);
        told_count += told.damage_count > 0 ? 1 : 0;
        if (told.damage_count == 0) {
            assert_int_equal(told.item_count, ITEM_COUNT);
            assert_true(told.has_sums);
        }
        bit_flip(&fixture, offset, bit);
    }
    assert_true(told_count > CASE_COUNT / 4);
    free(data);
    fixture_end(&fixture);
}

/* A page that cannot be walked costs its own rows only, and its range is told once. */
static void damaged_page_costs_its_own_rows(void **state)
{
    (void)state;
    static const uint64_t slices[] = {1, WHOLE};
    struct fixture fixture;
    struct told told;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    uint64_t page = item_find(&fixture, "bc8\0\1", 5) / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
    bit_flip(&fixture, page, 3); /* its number */
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(slices); i++) {
        scrub_run(&fixture, slices[i], &told);
        assert_int_equal(told.damage_count, 1);
        assert_true(told.has_rows);
        assert_non_null(strstr(told.why, "the page carries another number"));
        assert_true(told.item_count > 20 && told.item_count < ITEM_COUNT);
        assert_false(told.has_sums);
    }
    fixture_end(&fixture);
}

static void damaged_meta_page_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct told told;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    for (uint64_t page = 0; page < 2; page++) {
        bit_flip(&fixture, page * ENV_PAGE_BYTES + 20, 4); /* the version */
        scrub_run(&fixture, WHOLE, &told);
        assert_int_equal(told.damage_count, 1);
        assert_non_null(strstr(told.why, "file: the meta page is not of an LMDB file"));
        bit_flip(&fixture, page * ENV_PAGE_BYTES + 20, 4);
    }
    fixture_end(&fixture);
}

/* ---- what LMDB's own calls can leave wrong --------------------------------------------------- */

static void raw_put(struct fixture *fixture, struct cellar_slice key, struct cellar_slice value)
{
    MDB_txn *txn = NULL;
    MDB_val raw_key = {key.bytes, (void *)(uintptr_t)key.data};
    MDB_val raw_value = {value.bytes, (void *)(uintptr_t)value.data};
    struct store_env *env = fixture->store.env;
    assert_int_equal(mdb_txn_begin(env->native, NULL, 0, &txn), 0);
    assert_int_equal(value.data == NULL ? mdb_del(txn, env->cells_dbi, &raw_key, NULL)
                                        : mdb_put(txn, env->cells_dbi, &raw_key, &raw_value, 0),
                     0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void item_that_is_gone_is_told_by_count_and_sum(void **state)
{
    (void)state;
    struct fixture fixture;
    struct told told;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, 8);
    raw_put(&fixture, cellar_slice_make("ab1\0\1", 5), cellar_slice_make(NULL, 0));
    scrub_run(&fixture, 1, &told);
    assert_true(told.has_sums);
    assert_int_equal(told.damage_count, 1);
    assert_non_null(strstr(told.why, "has 10 items, its last checkpoint says 11"));
    fixture_end(&fixture);
}

static void mark_that_leads_nowhere_is_told_with_the_beginning_of_its_row(void **state)
{
    (void)state;
    struct fixture fixture;
    struct told told;
    struct env_raw_key raw;
    uint8_t row[300];
    uint8_t value[12] = {0};
    memset(row, 'x', sizeof row);
    struct store_env_txn txn;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, 20);
    assert_int_equal(store_env_write_begin(fixture.store.env, &txn), CELLAR_OK);
    test_row_put(&txn, cellar_slice_make(row, sizeof row), false);
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    store_env_raw_key_make(&raw, 0, cellar_slice_make(row, STORE_ENV_KEY_PART_MAX), true);
    struct cellar_slice key = cellar_slice_make(raw.bytes, raw.count);
    raw_put(&fixture, key, cellar_slice_make(value, sizeof value));
    scrub_run(&fixture, 1, &told);
    assert_int_equal(told.damage_count, 2); /* the mark, the count */
    assert_string_equal(told.why, "the checksum of a long key's mark does not fit");
    assert_int_equal(strncmp(told.row, "xxx", 3), 0);
    cellar_put_u64le(value + 4, 777);
    cellar_put_u32le(value, store_env_item_crc(key, cellar_slice_make(value + 4, 8)));
    raw_put(&fixture, key, cellar_slice_make(value, sizeof value));
    scrub_run(&fixture, WHOLE, &told);
    assert_int_equal(told.damage_count, 2);
    assert_string_equal(told.why, "the layer of a long key's mark is empty");
    fixture_end(&fixture);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum cellar_status out_of_memory_run(void *context)
{
    struct told told;
    enum cellar_status status = scrub_try(context, 2000, &told);
    assert_true(status != CELLAR_OK || told.item_count == ITEM_COUNT);
    assert_int_equal(told.damage_count, 0);
    return status;
}

static void out_of_memory_is_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    rows_put(&fixture, 0, ROW_COUNT);
    assert_true(test_out_of_memory_loop(out_of_memory_run, &fixture) >= 10);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_store_has_nothing_told_whatever_the_slices),
        cmocka_unit_test(commits_between_slices_are_no_damage),
        cmocka_unit_test(scrub_may_end_in_the_middle),
        cmocka_unit_test(each_bit_of_an_item_is_told_with_its_row),
        cmocka_unit_test(bits_anywhere_are_told_or_harmless),
        cmocka_unit_test(damaged_page_costs_its_own_rows),
        cmocka_unit_test(damaged_meta_page_is_told),
        cmocka_unit_test(item_that_is_gone_is_told_by_count_and_sum),
        cmocka_unit_test(mark_that_leads_nowhere_is_told_with_the_beginning_of_its_row),
        cmocka_unit_test(out_of_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
