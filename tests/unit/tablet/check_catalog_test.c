/*
 * check_catalog: rows put and changed by records, and what tables, stores and the counter can have
 * wrong between them.
 */
#include "server/tablet/check_catalog.h"

#include <string.h>

#include "tests/support/check_fixture.h"

struct fixture {
    struct test_report report;
    struct tablet_check_catalog catalog;
};

static void fixture_begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    test_report_begin(&fixture->report);
    fixture->catalog.report = &fixture->report.report;
}

static void fixture_end(struct fixture *fixture)
{
    tablet_check_catalog_fini(&fixture->catalog);
    test_report_end(&fixture->report);
}

static void row_put(struct fixture *fixture, const char *row, const void *value, size_t bytes)
{
    assert_int_equal(tablet_check_catalog_put(&fixture->catalog, cellar_slice_text(row),
                                              cellar_slice_make(value, bytes)),
                     CELLAR_OK);
}

/* A row of the form {1: number}. */
static void number_put(struct fixture *fixture, const char *row, uint8_t number)
{
    const uint8_t value[] = {0x81, 1, number};
    row_put(fixture, row, value, sizeof value);
}

/* A table of one family, with tablets on stores `first` and, if not 0, `second`. */
static void table_put(struct fixture *fixture, const char *row, uint32_t first, uint32_t second,
                      const struct tablet_family families[2])
{
    struct tablet tablets[] = {{.store_id = first},
                               {.store_id = second, .start = cellar_slice_text("m")}};
    const struct tablet_family usual = {.name = cellar_slice_text("f"), .generation = 1};
    const struct tablet_table table = {
        .schema_opened = {.version = 2,
                          .granularity = CELLAR_GRANULARITY_MILLIS,
                          .families = families == NULL ? &usual : families,
                          .family_count = families == NULL ? 1 : 2},
        .tablets = tablets,
        .tablet_count = second == 0 ? 1 : 2,
    };
    struct cellar_buffer value = {0};
    assert_int_equal(tablet_table_encode(&table, &table.schema_opened, &value), CELLAR_OK);
    row_put(fixture, row, value.data, value.bytes);
    cellar_buffer_fini(&value);
}

/* Stores 1 and 2, a table on both. */
static void usual_put(struct fixture *fixture)
{
    number_put(fixture, "n", 3);
    number_put(fixture, "s/00000001", 1);
    number_put(fixture, "s/00000002", 1);
    row_put(fixture, "i/p/i", "\x80", 1);
    table_put(fixture, "t/p/i/t", 1, 2, NULL);
}

static void load_tells(struct fixture *fixture, uint64_t count, const char *why)
{
    assert_int_equal(tablet_check_catalog_load(&fixture->catalog), CELLAR_OK);
    const char *text = test_report_text(&fixture->report);
    if (fixture->report.report.damage_count != count) {
        fail_msg("not %u problems:\n%s", (unsigned)count, text);
    }
    if (why != NULL) {
        test_report_has(&fixture->report, why);
        assert_true(fixture->catalog.is_damaged);
    }
}

/* ---- rows and records ------------------------------------------------------------------------ */

static void rows_are_sorted_replaced_and_removed(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    row_put(&fixture, "c", "1", 1);
    row_put(&fixture, "a", "2", 1);
    row_put(&fixture, "b", "3", 1);
    row_put(&fixture, "b", "44", 2);
    row_put(&fixture, "c", NULL, 0);
    row_put(&fixture, "d", NULL, 0); /* not there */
    assert_int_equal(fixture.catalog.row_count, 2);
    assert_memory_equal(fixture.catalog.rows[0].row.data, "a", 1);
    assert_memory_equal(fixture.catalog.rows[1].row.data, "b", 1);
    assert_int_equal(fixture.catalog.rows[1].value.bytes, 2);
    fixture_end(&fixture);
}

/* A record of two changes: one row put by an item, one removed. */
static void record_make(struct cellar_buffer *to, const struct store_item *item,
                        const char *removed)
{
    struct cellar_buffer bytes = {0};
    struct store_mutation mutation = {.row = cellar_slice_text("put"), .item_count = 1};
    const struct store_item removal = {.type = STORE_ITEM_DELETE_ROW};
    assert_int_equal(store_catalog_begin(to, 2), CELLAR_OK);
    assert_int_equal(store_mutation_encode(&bytes, &mutation), CELLAR_OK);
    assert_int_equal(store_item_encode(&bytes, item), CELLAR_OK);
    assert_int_equal(store_catalog_put(to, cellar_slice_of(&bytes)), CELLAR_OK);
    cellar_buffer_clear(&bytes);
    mutation.row = cellar_slice_text(removed);
    assert_int_equal(store_mutation_encode(&bytes, &mutation), CELLAR_OK);
    assert_int_equal(store_item_encode(&bytes, &removal), CELLAR_OK);
    assert_int_equal(store_catalog_put(to, cellar_slice_of(&bytes)), CELLAR_OK);
    cellar_buffer_fini(&bytes);
}

static struct store_item catalog_set(void)
{
    return (struct store_item){.type = STORE_ITEM_SET,
                               .family = cellar_slice_text("c"),
                               .generation = 1,
                               .value = cellar_slice_text("new")};
}

static void record_puts_and_removes_rows(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cellar_buffer record = {0};
    const struct store_item item = catalog_set();
    const char *why = NULL;
    fixture_begin(&fixture);
    row_put(&fixture, "gone", "1", 1);
    record_make(&record, &item, "gone");
    assert_int_equal(tablet_check_catalog_apply(&fixture.catalog, cellar_slice_of(&record), &why),
                     CELLAR_OK);
    assert_null(why);
    assert_int_equal(fixture.catalog.row_count, 1);
    assert_memory_equal(fixture.catalog.rows[0].row.data, "put", 3);
    assert_memory_equal(fixture.catalog.rows[0].value.data, "new", 3);
    assert_false(fixture.catalog.is_damaged);
    for (size_t bytes = 0; bytes < record.bytes; bytes++) {
        assert_int_equal(tablet_check_catalog_apply(&fixture.catalog,
                                                    cellar_slice_make(record.data, bytes), &why),
                         CELLAR_OK);
        assert_non_null(why);
    }
    assert_true(fixture.catalog.is_damaged);
    cellar_buffer_fini(&record);
    fixture_end(&fixture);
}

static void record_of_other_cells_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    struct store_item items[5];
    fixture_begin(&fixture);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        items[i] = catalog_set();
    }
    items[0].family = cellar_slice_text("d");
    items[1].generation = 2;
    items[2].qualifier = cellar_slice_text("q");
    items[3].start_us = 1000;
    items[4].value.bytes = 0;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        struct cellar_buffer record = {0};
        const char *why = NULL;
        record_make(&record, &items[i], "x");
        assert_int_equal(
            tablet_check_catalog_apply(&fixture.catalog, cellar_slice_of(&record), &why),
            CELLAR_OK);
        assert_non_null(why);
        cellar_buffer_fini(&record);
    }
    fixture_end(&fixture);
}

/* ---- what must fit together ------------------------------------------------------------------ */

static void sound_catalog_has_tables_and_stores(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    usual_put(&fixture);
    load_tells(&fixture, 0, NULL);
    assert_false(fixture.catalog.is_damaged);
    assert_int_equal(fixture.catalog.table_count, 1);
    assert_int_equal(fixture.catalog.store_count, 2);
    assert_int_equal(fixture.catalog.store_id_next, 3);
    const struct tablet_check_store *store = tablet_check_catalog_find(&fixture.catalog, 2);
    assert_non_null(store);
    assert_ptr_equal(store->table, fixture.catalog.tables[0]);
    assert_memory_equal(store->tablet->start.data, "m", 1);
    assert_null(tablet_check_catalog_find(&fixture.catalog, 3));
    fixture_end(&fixture);
}

static void rows_that_cannot_be_read_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        const char *value;
        const char *why;
        uint64_t count;
    } cases[] = {
        {"t/p/i/u", "\x80", "row \"t/p/i/u\": the row's value cannot be read", 1},
        {"t/p/i", "\x80", "row \"t/p/i\": the row's value cannot be read", 1},
        {"s/0000000g", "\x80", "row \"s/0000000g\": the row's value cannot be read", 1},
        {"s/00000001", "x", "row \"s/00000001\": the row's value cannot be read", 2},
        {"n", "\xc0", "row \"n\": the row's value cannot be read", 3},
        {"i/p/j", "\x01", "row \"i/p/j\": the row's value cannot be read", 1},
        {"z", "\x80", "row \"z\": the catalog has a row of an unknown kind", 1},
        {"x/y/z", "\x80", "row \"x/y/z\": the catalog has a row of an unknown kind", 1},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct fixture fixture;
        fixture_begin(&fixture);
        usual_put(&fixture);
        row_put(&fixture, cases[i].row, cases[i].value, 1);
        load_tells(&fixture, cases[i].count, cases[i].why);
        fixture_end(&fixture);
    }
}

static void rows_of_later_kinds_are_fine(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    usual_put(&fixture);
    row_put(&fixture, "p/x", "\x80", 1);
    row_put(&fixture, "u/x", "\x80", 1);
    row_put(&fixture, "a/x", "\x80", 1);
    load_tells(&fixture, 0, NULL);
    fixture_end(&fixture);
}

static void tablets_and_stores_must_match(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    usual_put(&fixture);
    table_put(&fixture, "t/p/i/u", 2, 0, NULL);
    load_tells(&fixture, 1, "the table u has a tablet on store 2, as another tablet has");
    fixture_end(&fixture);
    fixture_begin(&fixture);
    usual_put(&fixture);
    table_put(&fixture, "t/p/i/u", 9, 0, NULL);
    load_tells(&fixture, 1, "has a tablet on store 9, which the catalog does not name");
    fixture_end(&fixture);
    fixture_begin(&fixture);
    usual_put(&fixture);
    table_put(&fixture, "t/p/i/t", 1, 0, NULL);
    load_tells(&fixture, 1, NULL);
    test_report_has(&fixture.report,
                    "store 2: the catalog names the store, but no tablet is on it");
    fixture_end(&fixture);
}

static void counter_must_be_above_all_stores(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    usual_put(&fixture);
    number_put(&fixture, "n", 2);
    load_tells(&fixture, 1, "the counter of store ids is missing or not above all of them");
    fixture_end(&fixture);
    fixture_begin(&fixture);
    usual_put(&fixture);
    row_put(&fixture, "n", NULL, 0);
    load_tells(&fixture, 2, "the counter of store ids is missing or not above all of them");
    fixture_end(&fixture);
}

static void families_must_be_possible(void **state)
{
    (void)state;
    static const struct {
        const char *names[2];
        uint32_t generation;
        const char *why;
    } cases[] = {
        {{"f", "g"}, 2, NULL},
        {{"f", "g"}, 3, "a later generation than the schema's version"},
        {{"f", "a/b"}, 1, "a name that none may have"},
        {{"f", "f"}, 1, "a family is there twice"},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct fixture fixture;
        const struct tablet_family families[] = {
            {.name = cellar_slice_text(cases[i].names[0]), .generation = 1},
            {.name = cellar_slice_text(cases[i].names[1]), .generation = cases[i].generation}};
        fixture_begin(&fixture);
        usual_put(&fixture);
        table_put(&fixture, "t/p/i/t", 1, 2, families);
        load_tells(&fixture, cases[i].why == NULL ? 0 : 1, cases[i].why);
        fixture_end(&fixture);
    }
}

static enum cellar_status memory_run(void *context)
{
    struct test_report report;
    struct tablet_check_catalog catalog = {0};
    const struct tablet_check_catalog *from = context;
    enum cellar_status status = CELLAR_OK;
    test_report_begin(&report);
    catalog.report = &report.report;
    for (size_t i = 0; i < from->row_count && status == CELLAR_OK; i++) {
        status = tablet_check_catalog_put(&catalog, from->rows[i].row, from->rows[i].value);
    }
    if (status == CELLAR_OK) {
        status = tablet_check_catalog_load(&catalog);
    }
    assert_int_equal(report.report.damage_count, 0);
    tablet_check_catalog_fini(&catalog);
    test_report_end(&report);
    return status;
}

static void out_of_memory_is_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    usual_put(&fixture);
    assert_true(test_out_of_memory_loop(memory_run, &fixture.catalog) >= 5);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sorted_replaced_and_removed),
        cmocka_unit_test(record_puts_and_removes_rows),
        cmocka_unit_test(record_of_other_cells_is_refused),
        cmocka_unit_test(sound_catalog_has_tables_and_stores),
        cmocka_unit_test(rows_that_cannot_be_read_are_told),
        cmocka_unit_test(rows_of_later_kinds_are_fine),
        cmocka_unit_test(tablets_and_stores_must_match),
        cmocka_unit_test(counter_must_be_above_all_stores),
        cmocka_unit_test(families_must_be_possible),
        cmocka_unit_test(out_of_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
