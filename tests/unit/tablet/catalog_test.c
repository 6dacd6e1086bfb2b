/*
 * catalog: its rows in store 0, read back after a restart; rows that are damaged end the start.
 */
#include <stdio.h>

#include "common/log.h"
#include "server/tablet/catalog.h"
#include "server/tablet/db.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

struct rig {
    char parent[256];
    char data_dir[300];
    struct store_engine_options options;
    struct store_engine *engine;
};

/* An engine whose catalog is empty. */
static void rig_begin(struct rig *rig)
{
    struct cellar_error error;
    memset(rig, 0, sizeof *rig);
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(rig->parent, sizeof rig->parent);
    (void)snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent);
    rig->options = (struct store_engine_options){
        .data_dir = rig->data_dir,
        .memory_bytes_max = UINT64_C(256) << 20,
        .memtable_bytes_max = UINT64_C(16) << 20,
        .unapplied_bytes_max = UINT64_C(16) << 20,
        .unapplied_records_max = 100000,
        .store_tokens_max = 1000000,
        .segment_bytes = 64u << 10,
        .map_bytes = TEST_MAP_BYTES,
    };
    cellar_error_clear(&error);
    assert_int_equal(store_engine_open(&rig->options, &rig->engine, &error), CELLAR_OK);
    assert_int_equal(store_engine_start(rig->engine, &error), CELLAR_OK);
}

static void rig_end(struct rig *rig)
{
    store_engine_close(rig->engine);
    test_remove_tree(rig->parent);
}

static const struct tablet_catalog_effect no_effect = {NULL, NULL, false};

static void mark_dropped(void *context, uint64_t lsn)
{
    struct tablet_table *table = context;
    assert_true(lsn > 0);
    atomic_store(&table->is_dropped, true);
}

/* Puts one row, durably; an empty value removes it. */
static void row_put(struct rig *rig, const char *row, struct cellar_slice value)
{
    struct tablet_catalog_change change;
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(tablet_catalog_change_begin(&change, 1), CELLAR_OK);
    assert_int_equal(tablet_catalog_change_row(&change, cellar_slice_text(row), value), CELLAR_OK);
    assert_int_equal(tablet_catalog_change_commit(&change, rig->engine, &no_effect, &error),
                     CELLAR_OK);
    tablet_catalog_change_fini(&change);
}

/* What a reading visited, as text. */
struct visits {
    char text[1000];
    enum cellar_status table_status; /* what the visitor answers for a table */
};

static void visits_add(struct visits *visits, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void visits_add(struct visits *visits, const char *format, ...)
{
    size_t used = strlen(visits->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(visits->text + used, sizeof visits->text - used, format, arguments);
    va_end(arguments);
}

static enum cellar_status visit_table(void *context, struct tablet_table *table)
{
    struct visits *visits = context;
    visits_add(visits, "t(%.*s/%.*s/%.*s %zu %zu) ", (int)table->name.project.bytes,
               (const char *)table->name.project.data, (int)table->name.instance.bytes,
               (const char *)table->name.instance.data, (int)table->name.table.bytes,
               (const char *)table->name.table.data, table->schema_opened.family_count,
               table->tablet_count);
    tablet_table_unref(table);
    return visits->table_status;
}

static enum cellar_status visit_store(void *context, uint32_t store_id, uint64_t generation)
{
    visits_add(context, "s(%x %llu) ", store_id, (unsigned long long)generation);
    return CELLAR_OK;
}

static enum cellar_status visit_counter(void *context, uint32_t store_id_next)
{
    visits_add(context, "n(%u) ", store_id_next);
    return CELLAR_OK;
}

static enum cellar_status catalog_read(struct rig *rig, struct visits *visits,
                                       struct cellar_error *error)
{
    const struct tablet_catalog_visitor visitor = {visits, visit_table, visit_store, visit_counter};
    visits->text[0] = '\0';
    cellar_error_clear(error);
    return tablet_catalog_read(rig->engine, &visitor, error);
}

/* Text of a literal with zeros in it. */
#define BYTES(literal) cellar_slice_make(literal, sizeof(literal) - 1)

/* {1: version 1, 2: milliseconds, 3: [["f", 1, nil, nil]], 4: [["", store 1]]} */
#define TABLE_SOUND                                                                                \
    "\x84\x01\x01\x02\x01\x03\x91\x94\xa1"                                                         \
    "f\x01\xc0\xc0\x04\x91\x92\xc4\x00\x01"

/* ---- what is sound --------------------------------------------------------------------------- */

static void an_empty_catalog_visits_nothing(void **state)
{
    struct rig rig;
    struct visits visits = {0};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    assert_string_equal(visits.text, "");
    rig_end(&rig);
}

static void table_make(struct tablet_table **made, struct tablet_family *family,
                       struct tablet *tablet)
{
    struct tablet_table *table = tablet_table_new();
    assert_non_null(table);
    *family = (struct tablet_family){.name = cellar_slice_text("f"), .generation = 1};
    *tablet = (struct tablet){.store_id = 7};
    table->name = (struct cellar_table_name){cellar_slice_text("p"), cellar_slice_text("i"),
                                             cellar_slice_text("t")};
    table->schema_opened = (struct tablet_schema){.version = 1,
                                                  .granularity = CELLAR_GRANULARITY_MILLIS,
                                                  .families = family,
                                                  .family_count = 1};
    table->tablets = tablet;
    table->tablet_count = 1;
    *made = table;
}

static enum cellar_status change_make(struct tablet_catalog_change *change,
                                      const struct tablet_table *table, bool is_drop)
{
    CELLAR_TRY(tablet_catalog_change_begin(change, 4));
    CELLAR_TRY(tablet_catalog_change_store(change, 7, is_drop ? 0 : 2));
    CELLAR_TRY(tablet_catalog_change_table(change, table, is_drop ? NULL : &table->schema_opened));
    CELLAR_TRY(tablet_catalog_change_instance(change, &table->name));
    return tablet_catalog_change_counter(change, 8);
}

static void a_change_appears_whole_in_row_order_and_can_be_taken_back(void **state)
{
    struct rig rig;
    struct visits visits = {0};
    struct tablet_catalog_change change;
    struct tablet_table *table = NULL;
    struct tablet_family family;
    struct tablet tablet;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    table_make(&table, &family, &tablet);
    cellar_error_clear(&error);
    assert_int_equal(change_make(&change, table, false), CELLAR_OK);
    assert_int_equal(tablet_catalog_change_commit(&change, rig.engine, &no_effect, &error),
                     CELLAR_OK);
    tablet_catalog_change_fini(&change);
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    assert_string_equal(visits.text, "n(8) s(7 2) t(p/i/t 1 1) ");

    assert_int_equal(change_make(&change, table, true), CELLAR_OK);
    const struct tablet_catalog_effect drop = {mark_dropped, table, true};
    assert_int_equal(tablet_catalog_change_commit(&change, rig.engine, &drop, &error), CELLAR_OK);
    tablet_catalog_change_fini(&change);
    assert_true(table->is_dropped);
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    assert_string_equal(visits.text, "n(8) ");
    tablet_table_unref(table);
    rig_end(&rig);
}

static void a_change_larger_than_a_record_is_refused_with_both_sizes(void **state)
{
    static uint8_t bytes[70000];
    struct rig rig;
    struct visits visits = {0};
    struct tablet_catalog_change change;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    cellar_error_clear(&error);
    assert_int_equal(tablet_catalog_change_begin(&change, 1), CELLAR_OK);
    assert_int_equal(tablet_catalog_change_row(&change, cellar_slice_text("t/p/i/t"),
                                               cellar_slice_make(bytes, sizeof bytes)),
                     CELLAR_OK);
    assert_int_equal(tablet_catalog_change_commit(&change, rig.engine, &no_effect, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "split keys"));
    tablet_catalog_change_fini(&change);
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    assert_string_equal(visits.text, "");
    rig_end(&rig);
}

static void rows_of_later_versions_are_stepped_over(void **state)
{
    struct rig rig;
    struct visits visits = {0};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "a/profile", BYTES("\x01"));
    row_put(&rig, "i/p/i", BYTES("\x80"));
    row_put(&rig, "z", BYTES("\xff"));
    /* A field behind the ones that are known, in a table and in a number. */
    row_put(&rig, "n", BYTES("\x82\x01\x05\x02\xc0"));
    row_put(&rig, "t/p/i/t",
            BYTES("\x85\x01\x01\x02\x01\x03\x90\x04\x91\x92\xc4\x00\x01\x09\x91\xa1x"));
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    assert_string_equal(visits.text, "n(5) t(p/i/t 0 1) ");
    rig_end(&rig);
}

static void a_visitors_failure_ends_the_reading(void **state)
{
    struct rig rig;
    struct visits visits = {.table_status = CELLAR_NO_MEMORY};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "t/p/i/a", BYTES(TABLE_SOUND));
    row_put(&rig, "t/p/i/b", BYTES(TABLE_SOUND));
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_NO_MEMORY);
    assert_string_equal(visits.text, "t(p/i/a 1 1) ");
    rig_end(&rig);
}

/* ---- what is damaged ------------------------------------------------------------------------- */

static void malformed_rows_are_data_loss(void **state)
{
    const struct {
        const char *row;
        struct cellar_slice value;
    } cases[] = {
        {"n", BYTES("\x80")},                         /* no field */
        {"n", BYTES("\x81\x01\x00")},                 /* zero */
        {"n", BYTES("\x81\x02\x05")},                 /* another field */
        {"n", BYTES("\x05")},                         /* no map */
        {"n", BYTES("\x81\x01")},                     /* cut */
        {"n", BYTES("\x81\x01\xcf\0\0\0\1\0\0\0\0")}, /* 2^32 */
        {"s/00000001", BYTES("\x81\x01\x00")},        /* generation 0 */
        {"s/0000000g", BYTES("\x81\x01\x01")},        /* no number */
        {"t/p/i", BYTES(TABLE_SOUND)},                /* no table id */
        {"t/p/i/", BYTES(TABLE_SOUND)},
        {"t//i/t", BYTES(TABLE_SOUND)},
        {"t/p//t", BYTES(TABLE_SOUND)},
        {"t/p/i/t", BYTES("\x90")},                                         /* no map */
        {"t/p/i/t", BYTES("\x80")},                                         /* nothing in it */
        {"t/p/i/t", BYTES(TABLE_SOUND "\x00")},                             /* a byte too many */
        {"t/p/i/t", BYTES("\x81\xa1x\x01")},                                /* a field by name */
        {"t/p/i/t", BYTES("\x83\x01\x01\x02\x01\x03\x90")},                 /* no tablets */
        {"t/p/i/t", BYTES("\x84\x01\x01\x02\x01\x03\x90\x04\x90")},         /* zero tablets */
        {"t/p/i/t", BYTES("\x82\x02\x01\x04\x91\x92\xc4\x00\x01")},         /* no version */
        {"t/p/i/t", BYTES("\x82\x01\x01\x04\x91\x92\xc4\x00\x01")},         /* no granularity */
        {"t/p/i/t", BYTES("\x83\x01\x00\x02\x01\x04\x91\x92\xc4\x00\x01")}, /* version 0 */
        {"t/p/i/t", BYTES("\x83\x01\x01\x02\x03\x04\x91\x92\xc4\x00\x01")}, /* granularity 3 */
        {"t/p/i/t", BYTES("\x83\x01\x01\x02\x01\x04\x91\x92\xc4\x00\x00")}, /* store 0 */
        {"t/p/i/t", BYTES("\x83\x01\x01\x02\x01\x04\x91\x91\xc4\x00")},     /* no store */
        {"t/p/i/t", BYTES("\x81\x03\x01")},                                 /* families no list */
        {"t/p/i/t", BYTES("\x81\x03\xcd\x03\xe9")},                         /* 1001 families */
        {"t/p/i/t", BYTES("\x81\x03\x91\x93\xa1"
                          "f\x01\xc0")}, /* three parts */
        {"t/p/i/t", BYTES("\x81\x03\x91\x94\xa1"
                          "f\x00\xc0\xc0")}, /* generation 0 */
        {"t/p/i/t", BYTES("\x81\x03\x91\x94\xa1"
                          "f\x01\xc0")}, /* cut */
    };
    struct rig rig;
    struct visits visits = {0};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        row_put(&rig, cases[i].row, cases[i].value);
        enum cellar_status status = catalog_read(&rig, &visits, &error);
        if (status != CELLAR_DATA_LOSS) {
            fail_msg("case %zu, row %s: status %d", i, cases[i].row, (int)status);
        }
        assert_non_null(strstr(error.text, "catalog"));
        row_put(&rig, cases[i].row, cellar_slice_make(NULL, 0));
    }
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_OK);
    rig_end(&rig);
}

static void a_malformed_rule_in_a_row_is_data_loss(void **state)
{
    struct rig rig;
    struct visits visits = {0};
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "t/p/i/t",
            BYTES("\x81\x03\x91\x94\xa1"
                  "f\x01\x92\x09\x01\xc0"));
    assert_int_equal(catalog_read(&rig, &visits, &error), CELLAR_DATA_LOSS);
    rig_end(&rig);
}

/* Closes the engine and starts a database on its data. */
static enum cellar_status db_try(struct rig *rig, struct cellar_error *error)
{
    struct tablet_db *db = NULL;
    store_engine_close(rig->engine);
    rig->engine = NULL;
    cellar_error_clear(error);
    enum cellar_status status = tablet_db_open(&rig->options, &db, error);
    tablet_db_close(db);
    return status;
}

static void a_server_does_not_start_on_a_damaged_row(void **state)
{
    struct rig rig;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "t/p/i/t", BYTES("\x90"));
    assert_int_equal(db_try(&rig, &error), CELLAR_DATA_LOSS);
    assert_non_null(strstr(error.text, "catalog"));
    rig_end(&rig);
}

static void a_server_does_not_start_when_a_table_has_no_store(void **state)
{
    struct rig rig;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "t/p/i/t", BYTES(TABLE_SOUND));
    assert_int_equal(db_try(&rig, &error), CELLAR_DATA_LOSS);
    assert_non_null(strstr(error.text, "store 1"));
    rig_end(&rig);
}

static void a_server_does_not_start_when_two_tables_have_one_store(void **state)
{
    struct rig rig;
    struct store *store = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    cellar_error_clear(&error);
    assert_int_equal(store_engine_store_make(rig.engine, 1, &store, &error), CELLAR_OK);
    row_put(&rig, "s/00000001", BYTES("\x81\x01\x01"));
    row_put(&rig, "t/p/i/a", BYTES(TABLE_SOUND));
    row_put(&rig, "t/p/i/b", BYTES(TABLE_SOUND));
    assert_int_equal(db_try(&rig, &error), CELLAR_DATA_LOSS);
    assert_non_null(strstr(error.text, "table b"));
    rig_end(&rig);
}

/* ---- without memory -------------------------------------------------------------------------- */

static enum cellar_status change_once(void *context)
{
    struct tablet_catalog_change change;
    enum cellar_status status = change_make(&change, context, false);
    tablet_catalog_change_fini(&change);
    return status;
}

static void a_change_without_memory_can_be_freed(void **state)
{
    struct tablet_table *table = NULL;
    struct tablet_family family;
    struct tablet tablet;
    (void)state;
    table_make(&table, &family, &tablet);
    assert_true(test_out_of_memory_loop(change_once, table) > 2);
    tablet_table_unref(table);
}

static enum cellar_status read_once(void *context)
{
    struct visits visits = {0};
    struct cellar_error error;
    return catalog_read(context, &visits, &error);
}

static void a_reading_without_memory_is_not_taken_for_damage(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    row_put(&rig, "t/p/i/t", BYTES(TABLE_SOUND));
    assert_true(test_out_of_memory_loop(read_once, &rig) > 2);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_catalog_visits_nothing),
        cmocka_unit_test(a_change_appears_whole_in_row_order_and_can_be_taken_back),
        cmocka_unit_test(a_change_larger_than_a_record_is_refused_with_both_sizes),
        cmocka_unit_test(rows_of_later_versions_are_stepped_over),
        cmocka_unit_test(a_visitors_failure_ends_the_reading),
        cmocka_unit_test(malformed_rows_are_data_loss),
        cmocka_unit_test(a_malformed_rule_in_a_row_is_data_loss),
        cmocka_unit_test(a_server_does_not_start_on_a_damaged_row),
        cmocka_unit_test(a_server_does_not_start_when_a_table_has_no_store),
        cmocka_unit_test(a_server_does_not_start_when_two_tables_have_one_store),
        cmocka_unit_test(a_change_without_memory_can_be_freed),
        cmocka_unit_test(a_reading_without_memory_is_not_taken_for_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
