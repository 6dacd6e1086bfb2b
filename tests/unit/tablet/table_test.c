/*
 * table: catalog values there and back, damaged ones, the tablet of a row, who holds a table.
 */
#include <stdlib.h>

#include "server/tablet/table.h"
#include "tests/support/support.h"

static const struct cellar_gc_rule rule_leaves[] = {{.kind = CELLAR_GC_VERSIONS, .amount = 3},
                                                    {.kind = CELLAR_GC_AGE, .amount = 5000}};
static const struct cellar_gc_rule rule_union = {
    .kind = CELLAR_GC_UNION, .children = rule_leaves, .child_count = 2};

/* A table over the given arrays, which stay the caller's. */
static struct tablet_table *table_of(struct tablet_family *families, size_t family_count,
                                     struct tablet *tablets, size_t tablet_count)
{
    struct tablet_table *table = tablet_table_new();
    assert_non_null(table);
    table->schema_opened.version = 5;
    table->schema_opened.granularity = CELLAR_GRANULARITY_MICROS;
    table->schema_opened.families = families;
    table->schema_opened.family_count = family_count;
    tablet_schema_finish(&table->schema_opened, families);
    table->tablets = tablets;
    table->tablet_count = tablet_count;
    return table;
}

/* The catalog value of a table with two tablets and, if asked for, two families with rules. */
static void value_make(struct cellar_buffer *to, bool has_families)
{
    struct tablet_family families[] = {
        {.name = cellar_slice_text("g"), .generation = 300, .rule = rule_union},
        {.name = cellar_slice_text("f"), .generation = 1, .rule = rule_leaves[0]}};
    struct tablet tablets[] = {{.store_id = 5},
                               {.start = cellar_slice_text("m"), .store_id = UINT32_MAX}};
    struct tablet_table *table = table_of(families, has_families ? 2 : 0, tablets, 2);
    cellar_buffer_clear(to);
    assert_int_equal(tablet_table_encode(table, &table->schema_opened, to), CELLAR_OK);
    tablet_table_unref(table);
}

/* The status of decoding; every tablet of a table that came out well can be found. */
static enum cellar_status decode(struct cellar_slice value)
{
    struct tablet_table *table = tablet_table_new();
    assert_non_null(table);
    enum cellar_status status = tablet_table_decode(table, value);
    for (size_t i = 0; status == CELLAR_OK && i < table->tablet_count; i++) {
        assert_ptr_equal(tablet_table_find(table, table->tablets[i].start), &table->tablets[i]);
    }
    tablet_table_unref(table);
    return status;
}

static void value_has_the_documented_bytes(void **state)
{
    (void)state;
    static const uint8_t golden[] = {0x84, 0x01, 0x05, 0x02, 0x02, /* version 5, micros */
                                     0x03, 0x91, 0x94, 0xA1, 'f',  0x07,
                                     0x92, 0x01, 0x03, 0xC0,             /* f, 7, 3 versions */
                                     0x04, 0x92, 0x92, 0xC4, 0x00, 0x09, /* from "": store 9 */
                                     0x92, 0xC4, 0x01, 'm',  0x08};      /* from "m": store 8 */
    struct tablet_family families[] = {
        {.name = cellar_slice_text("f"), .generation = 7, .rule = rule_leaves[0]}};
    struct tablet tablets[] = {{.end = cellar_slice_text("m"), .store_id = 9},
                               {.start = cellar_slice_text("m"), .store_id = 8}};
    struct tablet_table *table = table_of(families, 1, tablets, 2);
    struct cellar_buffer value = {0};
    assert_int_equal(tablet_table_encode(table, &table->schema_opened, &value), CELLAR_OK);
    assert_int_equal(value.bytes, sizeof golden);
    assert_memory_equal(value.data, golden, sizeof golden);
    cellar_buffer_fini(&value);
    tablet_table_unref(table);
}

static void table_comes_back_as_it_was(void **state)
{
    (void)state;
    struct cellar_buffer value = {0};
    struct cellar_buffer again = {0};
    value_make(&value, true);
    struct tablet_table *table = tablet_table_new();
    assert_non_null(table);
    assert_int_equal(tablet_table_decode(table, cellar_slice_of(&value)), CELLAR_OK);
    assert_int_equal(tablet_table_encode(table, &table->schema_opened, &again), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&value), cellar_slice_of(&again)));
    /* Nothing may point into the value. */
    memset(value.data, 0xAA, value.bytes);
    assert_int_equal(table->schema_opened.version, 5);
    assert_int_equal(table->schema_opened.granularity, CELLAR_GRANULARITY_MICROS);
    assert_int_equal(table->schema_opened.family_count, 2);
    assert_true(table->schema_opened.has_version_rule);
    assert_int_equal(table->schema_opened.age_us_min, 5000);
    const struct tablet_family *family =
        tablet_schema_family(&table->schema_opened, cellar_slice_text("g"));
    assert_non_null(family);
    assert_int_equal(family->generation, 300);
    assert_int_equal(family->rule.kind, CELLAR_GC_UNION);
    assert_int_equal(family->rule.child_count, 2);
    assert_int_equal(table->tablet_count, 2);
    assert_int_equal(table->tablets[0].start.bytes, 0);
    assert_true(cellar_slice_equal(table->tablets[0].end, cellar_slice_text("m")));
    assert_true(cellar_slice_equal(table->tablets[1].start, cellar_slice_text("m")));
    assert_int_equal(table->tablets[1].end.bytes, 0);
    assert_int_equal(table->tablets[0].store_id, 5);
    assert_true(table->tablets[1].store_id == UINT32_MAX);
    assert_null(table->tablets[0].store);
    tablet_table_unref(table);
    cellar_buffer_fini(&again);
    cellar_buffer_fini(&value);
}

static void fields_of_later_versions_are_stepped_over(void **state)
{
    (void)state;
    static const uint8_t more[] = {0x05, 0xC3, 0x0A, 0x92, 0x01, 0xA1, 'x'};
    struct cellar_buffer value = {0};
    value_make(&value, true);
    value.data[0] = 0x86;
    assert_int_equal(cellar_buffer_append(&value, more, sizeof more), CELLAR_OK);
    assert_int_equal(decode(cellar_slice_of(&value)), CELLAR_OK);
    cellar_buffer_fini(&value);
}

static void a_dropped_first_family_is_remembered(void **state)
{
    (void)state;
    static const uint8_t tail[] = {0x08, 0xC3};
    struct tablet_family families[] = {{.name = cellar_slice_text("f"), .generation = 4}};
    struct tablet tablet = {.store_id = 1};
    struct tablet_table *table = table_of(families, 1, &tablet, 1);
    struct tablet_table *read = tablet_table_new();
    struct cellar_buffer value = {0};
    table->schema_opened.has_dropped = true;
    assert_int_equal(tablet_table_encode(table, &table->schema_opened, &value), CELLAR_OK);
    assert_memory_equal(value.data + value.bytes - sizeof tail, tail, sizeof tail);
    assert_int_equal(tablet_table_decode(read, cellar_slice_of(&value)), CELLAR_OK);
    assert_true(read->schema_opened.has_dropped);
    cellar_buffer_fini(&value);
    tablet_table_unref(read);
    tablet_table_unref(table);
}

static void values_cut_anywhere_give_data_loss(void **state)
{
    (void)state;
    struct cellar_buffer value = {0};
    value_make(&value, false);
    for (size_t bytes = 0; bytes < value.bytes; bytes++) {
        assert_int_equal(decode(cellar_slice_make(value.data, bytes)), CELLAR_DATA_LOSS);
    }
    assert_int_equal(decode(cellar_slice_of(&value)), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&value, "\xC0", 1), CELLAR_OK);
    assert_int_equal(decode(cellar_slice_of(&value)), CELLAR_DATA_LOSS);
    cellar_buffer_fini(&value);
}

static void values_cut_in_a_family_give_data_loss(void **state)
{
    (void)state;
    struct cellar_buffer value = {0};
    value_make(&value, true);
    for (size_t bytes = 0; bytes < value.bytes; bytes++) {
        assert_int_equal(decode(cellar_slice_make(value.data, bytes)), CELLAR_DATA_LOSS);
    }
    cellar_buffer_fini(&value);
}

static void values_that_no_table_has_give_data_loss(void **state)
{
    (void)state;
    /* In order: no map, no field, no number; a field missing, then each with a value it cannot
     * have. */
    static const struct {
        size_t bytes;
        uint8_t value[24];
    } cases[] = {
        {1, {0xC0}},
        {1, {0x80}},
        {3, {0x81, 0xC0, 0x01}},
        {10, {0x83, 1, 1, 2, 1, 4, 0x91, 0x92, 0xC4, 0}},
        {7, {0x83, 1, 1, 2, 1, 3, 0x90}},
        {11, {0x83, 2, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {11, {0x83, 1, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {13, {0x84, 1, 0, 2, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {13, {0x84, 1, 1, 2, 0, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {13, {0x84, 1, 1, 2, 3, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {13, {0x84, 1, 1, 2, 1, 3, 0xC0, 4, 0x91, 0x92, 0xC4, 0, 1}},
        {9, {0x84, 1, 1, 2, 1, 3, 0x90, 4, 0x90}},
        {13, {0x84, 1, 1, 2, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 0}},
        {12, {0x84, 1, 1, 2, 1, 3, 0x90, 4, 0x91, 0x91, 0xC4, 0}},
        {18, {0x84, 1, 1, 2, 1, 3, 0x91, 0x94, 0xA1, 'f', 0, 0xC0, 0xC0, 4, 0x91, 0x92, 0xC4, 0}},
    };
    static const uint8_t good[] = {0x84, 1, 1, 2, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 0, 1};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(decode(cellar_slice_make(cases[i].value, cases[i].bytes)),
                         CELLAR_DATA_LOSS);
    }
    assert_int_equal(decode(cellar_slice_make(good, sizeof good)), CELLAR_OK);
}

static void rules_that_cannot_be_give_data_loss(void **state)
{
    (void)state;
    static const uint8_t no_versions[] = {0x84, 1, 1, 2,    1, 3,    0x91, 0x94, 0xA1, 'f', 1,
                                          0x92, 1, 0, 0xC0, 4, 0x91, 0x92, 0xC4, 0,    1};
    assert_int_equal(decode(cellar_slice_make(no_versions, sizeof no_versions)), CELLAR_DATA_LOSS);
}

static void tablets_with_gaps_or_out_of_order_give_data_loss(void **state)
{
    (void)state;
    static const uint8_t no_first[] = {0x84, 1, 1, 2, 1, 3, 0x90, 4, 0x91, 0x92, 0xC4, 1, 'm', 1};
    static const uint8_t unordered[] = {0x84, 1,    1,    2,    1, 3,    0x90, 4,
                                        0x93, 0x92, 0xC4, 0,    1, 0x92, 0xC4, 1,
                                        'n',  2,    0x92, 0xC4, 1, 'm',  3};
    assert_int_equal(decode(cellar_slice_make(no_first, sizeof no_first)), CELLAR_DATA_LOSS);
    assert_int_equal(decode(cellar_slice_make(unordered, sizeof unordered)), CELLAR_DATA_LOSS);
}

static void garbage_gives_data_loss_or_a_table(void **state)
{
    (void)state;
    struct test_random random = {test_seed("table")};
    struct cellar_buffer value = {0};
    for (int round = 0; round < 20000; round++) {
        value_make(&value, true);
        if (round % 4 == 0) {
            test_random_bytes(&random, value.data, value.bytes);
        }
        size_t flips = 1 + (size_t)test_random_below(&random, 3);
        for (size_t i = 0; i < flips; i++) {
            value.data[test_random_below(&random, value.bytes)] =
                (uint8_t)test_random_next(&random);
        }
        enum cellar_status status = decode(cellar_slice_of(&value));
        assert_true(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
    }
    cellar_buffer_fini(&value);
}

/* ---- lookup ---------------------------------------------------------------------------------- */

static void rows_are_found_at_and_between_split_keys(void **state)
{
    (void)state;
    struct tablet tablets[] = {{.end = cellar_slice_text("b")},
                               {.start = cellar_slice_text("b"), .end = cellar_slice_text("bb")},
                               {.start = cellar_slice_text("bb"), .end = cellar_slice_text("m")},
                               {.start = cellar_slice_text("m")}};
    struct tablet_table *table = table_of(NULL, 0, tablets, 4);
    const struct {
        struct cellar_slice row;
        size_t of;     /* the tablet that holds it */
        size_t before; /* the one that holds the rows before it */
    } cases[] = {
        {cellar_slice_make("\0", 1), 0, 0},  {cellar_slice_text("a"), 0, 0},
        {cellar_slice_text("a\xFF"), 0, 0},  {cellar_slice_text("b"), 1, 0},
        {cellar_slice_make("b\0", 2), 1, 1}, {cellar_slice_text("ba"), 1, 1},
        {cellar_slice_text("bb"), 2, 1},     {cellar_slice_make("bb\0", 3), 2, 2},
        {cellar_slice_text("l\xFF"), 2, 2},  {cellar_slice_text("m"), 3, 2},
        {cellar_slice_make("m\0", 2), 3, 3}, {cellar_slice_text("\xFF\xFF"), 3, 3},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_ptr_equal(tablet_table_find(table, cases[i].row), &tablets[cases[i].of]);
        assert_ptr_equal(tablet_table_find_before(table, cases[i].row), &tablets[cases[i].before]);
    }
    assert_ptr_equal(tablet_table_find(table, cellar_slice_make("", 0)), &tablets[0]);
    assert_ptr_equal(tablet_table_find_before(table, cellar_slice_make("", 0)), &tablets[3]);
    tablet_table_unref(table);
}

static void one_tablet_holds_all_rows(void **state)
{
    (void)state;
    struct tablet tablet = {.store_id = 1};
    struct tablet_table *table = table_of(NULL, 0, &tablet, 1);
    assert_ptr_equal(tablet_table_find(table, cellar_slice_text("row")), &tablet);
    assert_ptr_equal(tablet_table_find_before(table, cellar_slice_text("row")), &tablet);
    assert_ptr_equal(tablet_table_find_before(table, cellar_slice_make("", 0)), &tablet);
    tablet_table_unref(table);
}

static void every_row_is_in_exactly_the_tablet_found(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static uint8_t keys[COUNT][2];
    static struct tablet tablets[COUNT];
    struct test_random random = {test_seed("lookup")};
    for (size_t i = 1; i < COUNT; i++) { /* ascending two-byte keys with gaps */
        uint16_t key = (uint16_t)(i * 200 + test_random_below(&random, 200));
        cellar_put_u16be(keys[i], key);
        tablets[i].start = cellar_slice_make(keys[i], 2);
        tablets[i - 1].end = tablets[i].start;
    }
    struct tablet_table *table = table_of(NULL, 0, tablets, COUNT);
    for (uint32_t number = 0; number <= UINT16_MAX; number++) {
        uint8_t bytes[2];
        cellar_put_u16be(bytes, (uint16_t)number);
        struct cellar_slice row = cellar_slice_make(bytes, 2);
        const struct tablet *of = tablet_table_find(table, row);
        assert_true(cellar_slice_compare(of->start, row) <= 0);
        assert_true(of->end.bytes == 0 || cellar_slice_compare(row, of->end) < 0);
        const struct tablet *before = tablet_table_find_before(table, row);
        assert_true(cellar_slice_compare(before->start, row) < 0);
        assert_true(before->end.bytes == 0 || cellar_slice_compare(row, before->end) <= 0);
    }
    tablet_table_unref(table);
}

/* ---- names and holders ----------------------------------------------------------------------- */

static struct cellar_table_name name_of(const char *project, const char *instance,
                                        const char *table)
{
    return (struct cellar_table_name){cellar_slice_text(project), cellar_slice_text(instance),
                                      cellar_slice_text(table)};
}

static void names_order_by_project_then_instance_then_table(void **state)
{
    (void)state;
    const struct cellar_table_name names[] = {name_of("a", "b", "c"), name_of("a", "b", "cc"),
                                              name_of("a", "c", "a"), name_of("aa", "a", "a"),
                                              name_of("b", "a", "a")};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(names); i++) {
        for (size_t j = 0; j < CELLAR_ARRAY_COUNT(names); j++) {
            int order = tablet_name_compare(&names[i], &names[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void a_dropped_table_takes_no_more_users(void **state)
{
    (void)state;
    struct tablet tablet = {.store_id = 1};
    struct tablet_table *table = table_of(NULL, 0, &tablet, 1);
    tablet_table_ref(table);
    assert_true(tablet_table_enter(table));
    assert_int_equal(atomic_load(&table->users), 1);
    atomic_store(&table->is_dropped, true);
    assert_false(tablet_table_enter(table));
    assert_int_equal(atomic_load(&table->users), 1);
    tablet_table_leave(table);
    assert_int_equal(atomic_load(&table->users), 0);
    tablet_table_unref(table);
    assert_int_equal(atomic_load(&table->references), 1);
    tablet_table_unref(table);
    tablet_table_unref(NULL);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum cellar_status encode_run(void *context)
{
    struct cellar_buffer value = {0};
    const struct tablet_table *table = context;
    enum cellar_status status = tablet_table_encode(table, &table->schema_opened, &value);
    cellar_buffer_fini(&value);
    return status;
}

static enum cellar_status decode_run(void *context)
{
    const struct cellar_buffer *value = context;
    struct tablet_table *table = tablet_table_new();
    if (table == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = tablet_table_decode(table, cellar_slice_of(value));
    tablet_table_unref(table);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static uint8_t keys[COUNT][60]; /* enough for several blocks of memory */
    static struct tablet tablets[COUNT];
    struct tablet_family families[] = {
        {.name = cellar_slice_text("f"), .generation = 1, .rule = rule_union}};
    for (size_t i = 0; i < COUNT; i++) {
        cellar_put_u16be(keys[i], (uint16_t)i);
        tablets[i].start = cellar_slice_make(keys[i], i == 0 ? 0 : sizeof keys[i]);
        tablets[i].store_id = 1 + (uint32_t)i;
    }
    struct tablet_table *table = table_of(families, 1, tablets, COUNT);
    struct cellar_buffer value = {0};
    assert_true(test_out_of_memory_loop(encode_run, table) >= 1);
    assert_int_equal(tablet_table_encode(table, &table->schema_opened, &value), CELLAR_OK);
    assert_true(test_out_of_memory_loop(decode_run, &value) >= 3);
    cellar_buffer_fini(&value);
    tablet_table_unref(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_has_the_documented_bytes),
        cmocka_unit_test(table_comes_back_as_it_was),
        cmocka_unit_test(fields_of_later_versions_are_stepped_over),
        cmocka_unit_test(a_dropped_first_family_is_remembered),
        cmocka_unit_test(values_cut_anywhere_give_data_loss),
        cmocka_unit_test(values_cut_in_a_family_give_data_loss),
        cmocka_unit_test(values_that_no_table_has_give_data_loss),
        cmocka_unit_test(rules_that_cannot_be_give_data_loss),
        cmocka_unit_test(tablets_with_gaps_or_out_of_order_give_data_loss),
        cmocka_unit_test(garbage_gives_data_loss_or_a_table),
        cmocka_unit_test(rows_are_found_at_and_between_split_keys),
        cmocka_unit_test(one_tablet_holds_all_rows),
        cmocka_unit_test(every_row_is_in_exactly_the_tablet_found),
        cmocka_unit_test(names_order_by_project_then_instance_then_table),
        cmocka_unit_test(a_dropped_table_takes_no_more_users),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
