/*
 * merge: one row from packed segments and memtables: order, newest write first, tombstones by LSN,
 * visibility, limits, damage.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "server/storage/merge.h"
#include "tests/support/store_fixture.h"

#define TABLE_COUNT 3u
#define TEXT_BYTES 1024u

/* A row's sources: memtables, and packed arrays as its base. */
struct rig {
    struct store_memtable *tables[TABLE_COUNT];
    struct cellar_buffer row_key;
    struct cellar_buffer packed[4];
    size_t packed_count;
    size_t packed_next;
};

static void rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        rig->tables[i] = store_memtable_new();
        assert_non_null(rig->tables[i]);
    }
    test_position_make(&rig->row_key, cellar_slice_text("row"), NULL, NULL, -1);
}

static void rig_end(struct rig *rig)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        store_memtable_unref(rig->tables[i]);
    }
    for (size_t i = 0; i < rig->packed_count; i++) {
        cellar_buffer_fini(&rig->packed[i]);
    }
    cellar_buffer_fini(&rig->row_key);
}

static void rig_insert(struct rig *rig, size_t table, uint64_t lsn, const char *row,
                       const struct store_item *items, size_t count)
{
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    test_mutation_put(&payload, cellar_slice_text(row), 0, items, count);
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_OK);
    store_memtable_insert(rig->tables[table], batch, lsn);
    cellar_buffer_fini(&payload);
}

static void rig_one(struct rig *rig, size_t table, uint64_t lsn, struct store_item item)
{
    rig_insert(rig, table, lsn, "row", &item, 1);
}

/* Adds a base array of cells f:<each letter of `qualifiers`>@5 = base. */
static void rig_base(struct rig *rig, const char *qualifiers)
{
    struct store_cell cells[16];
    struct cellar_buffer value = {0};
    struct store_segment segment;
    size_t count = strlen(qualifiers);
    for (size_t i = 0; i < count; i++) {
        cells[i] = (struct store_cell){.cell = {.family = cellar_slice_text("f"),
                                                .qualifier = cellar_slice_make(qualifiers + i, 1),
                                                .timestamp_us = 5,
                                                .value = cellar_slice_text("base")},
                                       .generation = 1};
    }
    assert_int_equal(store_segment_encode(cells, count, false, &value), CELLAR_OK);
    assert_true(store_segment_decode(cellar_slice_of(&value), &segment));
    struct cellar_buffer *packed = &rig->packed[rig->packed_count++];
    assert_int_equal(cellar_buffer_append(packed, segment.packed.data, segment.packed.bytes),
                     CELLAR_OK);
    cellar_buffer_fini(&value);
}

static enum cellar_status base_next(void *context, struct cellar_slice *packed, bool *has_more)
{
    struct rig *rig = context;
    *has_more = rig->packed_next < rig->packed_count;
    if (*has_more) {
        *packed = cellar_slice_of(&rig->packed[rig->packed_next++]);
    }
    return CELLAR_OK;
}

static bool row_start(struct rig *rig, struct store_merge *merge, uint64_t lsn_max)
{
    const struct store_memtable *tables[TABLE_COUNT];
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        tables[i] = rig->tables[i];
    }
    rig->packed_next = 0;
    store_merge_init(merge, tables, TABLE_COUNT, lsn_max);
    return store_merge_row(merge, cellar_slice_of(&rig->row_key), NULL, base_next, rig);
}

/* Writes the merge's remaining cells as "f:q@5=v " each. */
static enum cellar_status cells_show(struct store_merge *merge, char *text)
{
    struct store_cell cell;
    bool has_cell = true;
    size_t used = 0;
    text[0] = '\0';
    for (;;) {
        CELLAR_TRY(store_merge_next(merge, &cell, &has_cell));
        if (!has_cell) {
            return CELLAR_OK;
        }
        int length = snprintf(
            text + used, TEXT_BYTES - used, "%.*s:%.*s@%lld=%.*s ", (int)cell.cell.family.bytes,
            (const char *)cell.cell.family.data, (int)cell.cell.qualifier.bytes,
            (const char *)cell.cell.qualifier.data, (long long)cell.cell.timestamp_us,
            (int)cell.cell.value.bytes, (const char *)cell.cell.value.data);
        assert_true(length > 0 && used + (size_t)length < TEXT_BYTES);
        used += (size_t)length;
    }
}

static void row_check(struct rig *rig, uint64_t lsn_max, const char *expected)
{
    struct store_merge merge;
    char text[TEXT_BYTES];
    (void)row_start(rig, &merge, lsn_max);
    assert_int_equal(cells_show(&merge, text), CELLAR_OK);
    assert_string_equal(text, expected);
    store_merge_fini(&merge);
}

/* ---- order and visibility -------------------------------------------------------------------- */

static void sources_are_merged_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_base(&rig, "bd");
    rig_base(&rig, "fh");
    rig_one(&rig, 0, 1, test_set("f", "c", 5, "0"));
    rig_one(&rig, 1, 2, test_set("f", "a", 5, "1"));
    rig_one(&rig, 2, 3, test_set("f", "z", 5, "2"));
    rig_one(&rig, 2, 4, test_set("e", "z", 5, "2"));
    row_check(&rig, 9,
              "e:z@5=2 f:a@5=1 f:b@5=base f:c@5=0 f:d@5=base f:f@5=base f:h@5=base "
              "f:z@5=2 ");
    rig_end(&rig);
}

static void newest_visible_write_of_a_position_wins(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_base(&rig, "q");
    rig_one(&rig, 0, 2, test_set("f", "q", 5, "two"));
    rig_one(&rig, 1, 4, test_set("f", "q", 5, "four"));
    rig_one(&rig, 1, 6, test_set("f", "q", 5, "six"));
    rig_one(&rig, 2, 8, test_set("f", "q", 5, "eight"));
    row_check(&rig, 1, "f:q@5=base ");
    row_check(&rig, 2, "f:q@5=two ");
    row_check(&rig, 5, "f:q@5=four ");
    row_check(&rig, 7, "f:q@5=six ");
    row_check(&rig, 8, "f:q@5=eight ");
    rig_end(&rig);
}

static void versions_come_newest_first(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_base(&rig, "q");
    rig_one(&rig, 0, 1, test_set("f", "q", 9, "nine"));
    rig_one(&rig, 1, 2, test_set("f", "q", 0, "zero"));
    rig_one(&rig, 0, 3, test_set("f", "q", INT64_MAX, "max"));
    row_check(&rig, 9, "f:q@9223372036854775807=max f:q@9=nine f:q@5=base f:q@0=zero ");
    rig_end(&rig);
}

static void rows_beside_are_left_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct store_merge merge;
    const struct store_item set = test_set("f", "q", 5, "other");
    const struct store_item delete = test_delete_row();
    rig_begin(&rig);
    assert_false(row_start(&rig, &merge, 9));
    store_merge_fini(&merge);
    rig_insert(&rig, 0, 1, "ro", &set, 1);
    rig_insert(&rig, 0, 2, "row2", &set, 1);
    rig_insert(&rig, 1, 3, "ro", &delete, 1);
    assert_false(row_start(&rig, &merge, 9));
    store_merge_fini(&merge);
    rig_base(&rig, "q");
    row_check(&rig, 9, "f:q@5=base ");
    rig_one(&rig, 2, 8, test_set("f", "q", 5, "v"));
    assert_true(row_start(&rig, &merge, 9));
    store_merge_fini(&merge);
    row_check(&rig, 9, "f:q@5=v ");
    rig_end(&rig);
}

/* ---- tombstones ------------------------------------------------------------------------------ */

static void tombstones_hide_what_is_older(void **state)
{
    (void)state;
    static const struct {
        int kind; /* 0: row, 1: family, 2: column, 3: column with a range */
        const char *before;
        const char *after;
    } cases[] = {
        {0, "e:x@5=old f:p@5=base f:q@5=old f:q@3=old g:x@5=old ", "f:q@5=new "},
        {1, "e:x@5=old f:p@5=base f:q@5=old f:q@3=old g:x@5=old ",
         "e:x@5=old f:q@5=new g:x@5=old "},
        {2, "e:x@5=old f:p@5=base f:q@5=old f:q@3=old g:x@5=old ",
         "e:x@5=old f:p@5=base f:q@5=new g:x@5=old "},
        {3, "e:x@5=old f:p@5=base f:q@5=old f:q@3=old g:x@5=old ",
         "e:x@5=old f:p@5=base f:q@5=new f:q@3=old g:x@5=old "},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct rig rig;
        const struct store_item tombstones[] = {test_delete_row(), test_delete_family("f"),
                                                test_delete_column("f", "q", 0, 0),
                                                test_delete_column("f", "q", 4, 6)};
        const struct store_item both[] = {tombstones[cases[i].kind], test_set("f", "q", 5, "new")};
        rig_begin(&rig);
        rig_base(&rig, "pq");
        rig_one(&rig, 2, 1, test_set("f", "q", 5, "old"));
        rig_one(&rig, 1, 2, test_set("f", "q", 3, "old"));
        rig_one(&rig, 0, 3, test_set("e", "x", 5, "old"));
        rig_one(&rig, 2, 4, test_set("g", "x", 5, "old"));
        rig_insert(&rig, 1, 7, "row", both, 2); /* the record's own set stays */
        row_check(&rig, 6, cases[i].before);
        row_check(&rig, 7, cases[i].after);
        rig_end(&rig);
    }
}

static void write_behind_a_tombstone_is_visible_whatever_its_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_base(&rig, "q");
    rig_one(&rig, 0, 5, test_delete_row());
    rig_one(&rig, 1, 6, test_set("f", "q", 1, "later"));
    row_check(&rig, 5, "");
    row_check(&rig, 6, "f:q@1=later ");
    rig_one(&rig, 2, 7, test_delete_column("f", "q", 0, 1)); /* 1 is the first kept */
    row_check(&rig, 7, "f:q@1=later ");
    rig_one(&rig, 2, 8, test_delete_column("f", "q", 1, 2));
    row_check(&rig, 8, "");
    rig_end(&rig);
}

static void tombstone_stays_in_its_scope(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_one(&rig, 0, 1, test_set("f", "q", 5, "v"));
    rig_one(&rig, 0, 2, test_set("f", "qq", 5, "v"));
    rig_one(&rig, 0, 3, test_set("f", "", 5, "v"));
    rig_one(&rig, 0, 4, test_set("ff", "q", 5, "v"));
    rig_one(&rig, 0, 5, test_set("f-", "q", 5, "v"));
    struct store_item other = test_delete_family("f");
    other.generation = 2;
    rig_one(&rig, 1, 6, other);
    row_check(&rig, 9, "f:@5=v f:q@5=v f:qq@5=v f-:q@5=v ff:q@5=v ");
    rig_one(&rig, 1, 7, test_delete_column("f", "q", 0, 0));
    row_check(&rig, 9, "f:@5=v f:qq@5=v f-:q@5=v ff:q@5=v ");
    rig_one(&rig, 1, 8, test_delete_column("f", "", 0, 0));
    row_check(&rig, 9, "f:qq@5=v f-:q@5=v ff:q@5=v ");
    rig_one(&rig, 1, 9, test_delete_family("f"));
    row_check(&rig, 9, "f-:q@5=v ff:q@5=v ");
    rig_end(&rig);
}

static void many_ranges_of_a_column_add_up(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    for (int64_t i = 0; i < 60; i++) {
        rig_one(&rig, 0, (uint64_t)i + 1, test_set("f", "q", i, "v"));
    }
    for (int64_t i = 0; i < 60; i++) { /* all but 30 */
        if (i != 30) {
            rig_one(&rig, 1, (uint64_t)i + 100, test_delete_column("f", "q", i, i + 1));
        }
    }
    row_check(&rig, 999, "f:q@30=v ");
    rig_end(&rig);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void base_may_be_set_again_with_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    struct store_merge merge;
    struct cellar_buffer limit = {0};
    char text[TEXT_BYTES];
    struct cellar_slice qualifier = cellar_slice_text("m");
    rig_begin(&rig);
    rig_base(&rig, "bd");
    rig_base(&rig, "np");
    rig_one(&rig, 0, 1, test_set("f", "c", 5, "v"));
    rig_one(&rig, 0, 2, test_set("f", "o", 5, "v"));
    rig_one(&rig, 0, 3, test_delete_family("f"));
    rig_one(&rig, 0, 4, test_set("f", "o", 5, "new"));
    test_position_make(&limit, cellar_slice_text("row"), "f", &qualifier, -1);
    (void)row_start(&rig, &merge, 9);
    rig.packed_count = 1;
    store_merge_base_set(&merge, base_next, &rig, cellar_slice_of(&limit));
    assert_int_equal(cells_show(&merge, text), CELLAR_OK);
    assert_string_equal(text, "");
    assert_true(store_merge_covers(&merge, cellar_slice_of(&limit)));
    const struct store_entry *entry = store_merge_peek(&merge);
    assert_non_null(entry);
    assert_int_equal(entry->lsn, 4);
    rig.packed_count = 2;
    store_merge_base_set(&merge, base_next, &rig, cellar_slice_make(NULL, 0));
    assert_int_equal(cells_show(&merge, text), CELLAR_OK);
    assert_string_equal(text, "f:o@5=new "); /* the family's tombstone stays in force */
    assert_null(store_merge_peek(&merge));
    test_position_make(&limit, cellar_slice_text("row"), "g", NULL, -1);
    assert_false(store_merge_covers(&merge, cellar_slice_of(&limit)));
    cellar_buffer_fini(&limit);
    store_merge_fini(&merge);
    rig_end(&rig);
}

/* ---- damage and memory ----------------------------------------------------------------------- */

static void damaged_base_is_data_loss(void **state)
{
    (void)state;
    struct rig rig;
    char text[TEXT_BYTES];
    rig_begin(&rig);
    rig_base(&rig, "abcd");
    struct cellar_buffer *packed = &rig.packed[0];
    size_t bytes = packed->bytes;
    for (packed->bytes = 1; packed->bytes < bytes; packed->bytes++) {
        struct store_merge merge;
        (void)row_start(&rig, &merge, 9);
        assert_int_equal(cells_show(&merge, text), CELLAR_DATA_LOSS);
        store_merge_fini(&merge);
    }
    packed->data[0] = 0xC1; /* not an array */
    struct store_merge merge;
    (void)row_start(&rig, &merge, 9);
    assert_int_equal(cells_show(&merge, text), CELLAR_DATA_LOSS);
    store_merge_fini(&merge);
    rig_end(&rig);
}

static enum cellar_status merge_run(void *context)
{
    struct rig *rig = context;
    struct store_merge merge;
    char text[TEXT_BYTES];
    struct cellar_slice qualifier = cellar_slice_text("b");
    (void)row_start(rig, &merge, 99);
    enum cellar_status status =
        store_merge_skip(&merge, cellar_slice_text("f"), 1, &qualifier, base_next, rig);
    if (status == CELLAR_OK) {
        status = cells_show(&merge, text);
    }
    store_merge_fini(&merge);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig_base(&rig, "abcd");
    for (uint64_t i = 1; i < 20; i++) {
        rig_one(&rig, 0, i, test_delete_column("f", "c", (int64_t)i, (int64_t)i + 1));
    }
    assert_true(test_out_of_memory_loop(merge_run, &rig) >= 3);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_are_merged_in_order),
        cmocka_unit_test(newest_visible_write_of_a_position_wins),
        cmocka_unit_test(versions_come_newest_first),
        cmocka_unit_test(rows_beside_are_left_alone),
        cmocka_unit_test(tombstones_hide_what_is_older),
        cmocka_unit_test(write_behind_a_tombstone_is_visible_whatever_its_time),
        cmocka_unit_test(tombstone_stays_in_its_scope),
        cmocka_unit_test(many_ranges_of_a_column_add_up),
        cmocka_unit_test(base_may_be_set_again_with_a_limit),
        cmocka_unit_test(damaged_base_is_data_loss),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
