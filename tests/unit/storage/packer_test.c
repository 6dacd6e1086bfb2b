/*
 * packer: segments put and appended. What comes out is what went in, whatever the sizes; appended
 * pages get full; a key that is not behind all others is refused.
 */
#include <stdio.h>

#include "server/storage/packer.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define MAP_BYTES (UINT64_C(64) << 20)
#define PAGE_BYTES 4096u

struct rig {
    char directory[256];
    struct store_env *env;
    struct store_env_txn txn;
    struct store_page_fill fill;
    struct store_packer packer;
};

static void rig_begin(struct rig *rig, bool appends)
{
    memset(rig, 0, sizeof *rig);
    test_disk_fast(true);
    test_temp_dir(rig->directory, sizeof rig->directory);
    rig->env = test_env_make(rig->directory, MAP_BYTES);
    assert_int_equal(store_env_write_begin(rig->env, &rig->txn), CELLAR_OK);
    rig->packer.txn = &rig->txn;
    rig->packer.fill = appends ? &rig->fill : NULL;
}

static void rig_end(struct rig *rig)
{
    store_packer_fini(&rig->packer);
    store_env_close(rig->env);
    test_remove_tree(rig->directory);
}

/* Writes a row of `count` cells with values of `value_bytes`. */
static void row_pack(struct rig *rig, const char *row, unsigned count, size_t value_bytes)
{
    static uint8_t value[5000];
    char names[64][24];
    struct cellar_buffer key = {0};
    assert_true(count <= CELLAR_ARRAY_COUNT(names) && value_bytes <= sizeof value);
    test_position_make(&key, cellar_slice_text(row), NULL, NULL, -1);
    store_packer_begin(&rig->packer, cellar_slice_of(&key));
    assert_int_equal(store_packer_set(&rig->packer.out_key, cellar_slice_of(&key)), CELLAR_OK);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof names[i], "column%04u", i);
        const struct store_cell cell = {{cellar_slice_text("f"), cellar_slice_text(names[i]), 1000,
                                         cellar_slice_make(value, value_bytes)},
                                        1,
                                        false};
        assert_int_equal(store_packer_add(&rig->packer, &cell), CELLAR_OK);
    }
    assert_int_equal(store_packer_flush(&rig->packer), CELLAR_OK);
    cellar_buffer_fini(&key);
}

/* All cells of the environment, and its segments. */
static unsigned cells_count(struct rig *rig, unsigned *segment_count)
{
    struct store_env_txn *txn = NULL;
    struct store_env_cursor cursor;
    unsigned count = 0;
    *segment_count = 0;
    assert_int_equal(store_env_read_begin(rig->env, &txn), CELLAR_OK);
    store_env_cursor_init(&cursor, txn);
    assert_int_equal(store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0)), CELLAR_OK);
    while (cursor.is_valid) {
        struct store_segment segment;
        assert_int_equal(store_env_cursor_check(&cursor), CELLAR_OK);
        assert_true(store_segment_decode(cursor.value, &segment));
        count += segment.cell_count;
        (*segment_count)++;
        assert_int_equal(store_env_cursor_next(&cursor), CELLAR_OK);
    }
    store_env_cursor_fini(&cursor);
    store_env_read_end(txn);
    return count;
}

static void pages_that_are_appended_get_full(void **state)
{
    (void)state;
    static const struct {
        unsigned cells;
        size_t value_bytes;
        unsigned percent_max; /* of file to data */
    } cases[] = {{10, 100, 125}, {1, 450, 115}, {40, 100, 115}, {12, 110, 120}, {3, 900, 135}};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct rig rig;
        unsigned segments = 0;
        rig_begin(&rig, true);
        uint64_t before = store_env_used_bytes(rig.env);
        for (unsigned row = 0; row < 2000; row++) {
            char name[24];
            (void)snprintf(name, sizeof name, "row%06u", row);
            row_pack(&rig, name, cases[i].cells, cases[i].value_bytes);
        }
        assert_int_equal(store_env_commit(&rig.txn), CELLAR_OK);
        uint64_t data = 2000 * (9 + (uint64_t)cases[i].cells * (1 + 10 + 8 + cases[i].value_bytes));
        uint64_t used = store_env_used_bytes(rig.env) - before;
        assert_in_range(used * 100 / data, 100, cases[i].percent_max);
        assert_int_equal(cells_count(&rig, &segments), 2000 * cases[i].cells);
        rig_end(&rig);
    }
}

static void segments_that_are_put_stay_small(void **state)
{
    (void)state;
    struct rig rig;
    unsigned segments = 0;
    rig_begin(&rig, false);
    row_pack(&rig, "b", 40, 100);
    row_pack(&rig, "a", 1, 5000);
    assert_int_equal(store_env_commit(&rig.txn), CELLAR_OK);
    assert_int_equal(cells_count(&rig, &segments), 41);
    assert_in_range(segments, 6, 8);
    rig_end(&rig);
}

static void a_key_before_the_last_cannot_be_appended(void **state)
{
    (void)state;
    struct rig rig;
    const struct cellar_slice value = cellar_slice_text("value");
    rig_begin(&rig, true);
    assert_int_equal(store_env_append(&rig.txn, cellar_slice_text("b"), value), CELLAR_OK);
    assert_int_equal(store_env_append(&rig.txn, cellar_slice_text("a"), value), CELLAR_DATA_LOSS);
    assert_int_equal(store_env_commit(&rig.txn), CELLAR_DATA_LOSS);
    rig_end(&rig);
}

/* The reckoning is LMDB's: what does not fit a page begins the next one. */
static void room_is_reckoned_as_lmdb_does(void **state)
{
    (void)state;
    struct store_page_fill fill = {0};
    store_page_add(&fill, 10, 990); /* 8 + 10 + 4 + 990 + 2 */
    assert_int_equal(fill.room, PAGE_BYTES - 16 - 1014);
    assert_true(store_page_takes(&fill, 10, 990));
    store_page_add(&fill, 10, 990);
    store_page_add(&fill, 10, 990);
    store_page_add(&fill, 10, 990);
    assert_int_equal(fill.room, PAGE_BYTES - 16 - 4 * 1014);
    store_page_add(&fill, 10, 990);
    assert_int_equal(fill.room, PAGE_BYTES - 16 - 1014);
    store_page_add(&fill, 10, 100000); /* pages of its own: a number in the leaf */
    assert_int_equal(fill.room, PAGE_BYTES - 16 - 1014 - 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_are_appended_get_full),
        cmocka_unit_test(segments_that_are_put_stay_small),
        cmocka_unit_test(a_key_before_the_last_cannot_be_appended),
        cmocka_unit_test(room_is_reckoned_as_lmdb_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
