/*
 * db: tables made, found, listed, dropped and made again, what the catalog keeps over a restart,
 * and writes that meet a drop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sync.h"
#include "server/tablet/append.h"
#include "server/tablet/mutate.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

struct rig {
    char parent[256];
    char data_dir[300];
    struct tablet_db *db;
};

static enum cellar_status rig_try(struct rig *rig, struct cellar_error *error)
{
    const struct store_engine_options options = {
        .data_dir = rig->data_dir,
        .memory_bytes_max = UINT64_C(256) << 20,
        .memtable_bytes_max = UINT64_C(16) << 20,
        .unapplied_bytes_max = UINT64_C(16) << 20,
        .unapplied_records_max = 100000,
        .store_tokens_max = 1000000,
        .segment_bytes = 64u << 10,
        .map_bytes = TEST_MAP_BYTES,
    };
    cellar_error_clear(error);
    return tablet_db_open(&options, &rig->db, error);
}

static void rig_open(struct rig *rig)
{
    struct cellar_error error;
    if (rig_try(rig, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
}

static void rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    test_disk_fast(true);
    cellar_log_level_set(CELLAR_LOG_ERROR);
    test_temp_dir(rig->parent, sizeof rig->parent);
    (void)snprintf(rig->data_dir, sizeof rig->data_dir, "%s/data", rig->parent);
    rig_open(rig);
}

static void rig_reopen(struct rig *rig)
{
    tablet_db_close(rig->db);
    rig->db = NULL;
    rig_open(rig);
}

static void rig_end(struct rig *rig)
{
    tablet_db_close(rig->db);
    test_remove_tree(rig->parent);
}

static bool store_folder_exists(const struct rig *rig, uint32_t store_id)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/stores/%u", rig->data_dir, store_id);
    return access(path, F_OK) == 0;
}

static struct cellar_table_name name_of(const char *instance, const char *table)
{
    return (struct cellar_table_name){cellar_slice_text("p"), cellar_slice_text(instance),
                                      cellar_slice_text(table)};
}

static enum cellar_status create_in(struct rig *rig, const char *instance, const char *name,
                                    size_t split_count, struct cellar_error *error)
{
    const struct tablet_family families[] = {
        {.name = cellar_slice_text("g"), .rule = {.kind = CELLAR_GC_VERSIONS, .amount = 3}},
        {.name = cellar_slice_text("f")},
    };
    const struct cellar_slice splits[] = {cellar_slice_text("h"), cellar_slice_text("p")};
    const struct tablet_spec spec = {
        .name = name_of(instance, name),
        .granularity = CELLAR_GRANULARITY_MICROS,
        .families = families,
        .family_count = CELLAR_ARRAY_COUNT(families),
        .split_keys = splits,
        .split_key_count = split_count,
    };
    struct tablet_table *made = NULL;
    cellar_error_clear(error);
    enum cellar_status status = tablet_db_create(rig->db, &spec, &made, error);
    tablet_table_unref(made);
    return status;
}

static void create(struct rig *rig, const char *name, size_t split_count)
{
    struct cellar_error error;
    if (create_in(rig, "i", name, split_count, &error) != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
}

static enum cellar_status drop(struct rig *rig, const char *name, struct cellar_error *error)
{
    const struct cellar_table_name full = name_of("i", name);
    cellar_error_clear(error);
    return tablet_db_drop(rig->db, &full, error);
}

static enum cellar_status find(struct rig *rig, const char *name, struct tablet_table **table,
                               struct cellar_error *error)
{
    const struct cellar_table_name full = name_of("i", name);
    cellar_error_clear(error);
    *table = NULL;
    return tablet_db_find(rig->db, &full, table, error);
}

/* The first store of a table; 0: there is no such table. */
static uint32_t store_of(struct rig *rig, const char *name)
{
    struct tablet_table *table = NULL;
    struct cellar_error error;
    if (find(rig, name, &table, &error) != CELLAR_OK) {
        return 0;
    }
    uint32_t store_id = table->tablets[0].store_id;
    tablet_table_unref(table);
    return store_id;
}

/* The table ids of instance p/i behind `after`, joined by spaces. */
static void list(struct rig *rig, const char *after, size_t count_max, char *text, size_t bytes,
                 bool *has_more)
{
    struct tablet_table *tables[8];
    const struct cellar_table_name instance = name_of("i", "");
    assert_true(count_max <= CELLAR_ARRAY_COUNT(tables));
    size_t count =
        tablet_db_list(rig->db, &instance, cellar_slice_text(after), count_max, tables, has_more);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, bytes - used, "%s%.*s", i > 0 ? " " : "",
                       (int)tables[i]->name.table.bytes, (const char *)tables[i]->name.table.data);
        tablet_table_unref(tables[i]);
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void a_table_that_was_made_is_found_with_sorted_families_and_tablets(void **state)
{
    struct rig rig;
    struct tablet_table *table = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 2);
    assert_int_equal(find(&rig, "t", &table, &error), CELLAR_OK);
    assert_int_equal(table->schema_opened.family_count, 2);
    assert_true(cellar_slice_equal(table->schema_opened.families[0].name, cellar_slice_text("f")));
    assert_true(cellar_slice_equal(table->schema_opened.families[1].name, cellar_slice_text("g")));
    assert_true(table->schema_opened.has_version_rule);
    assert_int_equal(table->tablet_count, 3);
    assert_int_equal(table->tablets[0].start.bytes, 0);
    assert_true(cellar_slice_equal(table->tablets[0].end, cellar_slice_text("h")));
    assert_true(cellar_slice_equal(table->tablets[1].start, cellar_slice_text("h")));
    assert_true(cellar_slice_equal(table->tablets[2].start, cellar_slice_text("p")));
    assert_int_equal(table->tablets[2].end.bytes, 0);
    for (size_t i = 0; i < table->tablet_count; i++) {
        assert_non_null(table->tablets[i].store);
        assert_true(store_folder_exists(&rig, table->tablets[i].store_id));
    }
    tablet_table_unref(table);
    rig_end(&rig);
}

static void a_table_that_exists_cannot_be_made_again(void **state)
{
    struct rig rig;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 0);
    assert_int_equal(create_in(&rig, "i", "t", 0, &error), CELLAR_ALREADY_EXISTS);
    assert_non_null(strstr(error.text, "t"));
    assert_int_equal(tablet_db_count(rig.db), 1);
    /* The same id in another instance is another table. */
    assert_int_equal(create_in(&rig, "j", "t", 0, &error), CELLAR_OK);
    assert_int_equal(tablet_db_count(rig.db), 2);
    rig_end(&rig);
}

static void an_unknown_table_is_named_in_full(void **state)
{
    struct rig rig;
    struct tablet_table *table = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    assert_int_equal(find(&rig, "none", &table, &error), CELLAR_NOT_FOUND);
    assert_string_equal(error.text, "Table not found: projects/p/instances/i/tables/none");
    assert_int_equal(drop(&rig, "none", &error), CELLAR_NOT_FOUND);
    assert_string_equal(error.text, "Table not found: projects/p/instances/i/tables/none");
    rig_end(&rig);
}

static void tables_of_one_instance_are_listed_in_order_by_pages(void **state)
{
    struct rig rig;
    struct cellar_error error;
    char text[100];
    bool has_more = false;
    (void)state;
    rig_begin(&rig);
    create(&rig, "c", 0);
    create(&rig, "a", 0);
    create(&rig, "b", 0);
    assert_int_equal(create_in(&rig, "h", "x", 0, &error), CELLAR_OK);
    assert_int_equal(create_in(&rig, "j", "y", 0, &error), CELLAR_OK);
    list(&rig, "", 8, text, sizeof text, &has_more);
    assert_string_equal(text, "a b c");
    assert_false(has_more);
    list(&rig, "", 2, text, sizeof text, &has_more);
    assert_string_equal(text, "a b");
    assert_true(has_more);
    list(&rig, "b", 2, text, sizeof text, &has_more);
    assert_string_equal(text, "c");
    assert_false(has_more);
    list(&rig, "aa", 1, text, sizeof text, &has_more); /* no table, but a place */
    assert_string_equal(text, "b");
    assert_true(has_more);
    list(&rig, "", 0, text, sizeof text, &has_more);
    assert_string_equal(text, "");
    assert_true(has_more);
    list(&rig, "c", 0, text, sizeof text, &has_more);
    assert_false(has_more);
    rig_end(&rig);
}

static void a_dropped_table_is_gone_with_its_folders_and_its_holders_see_it(void **state)
{
    struct rig rig;
    struct tablet_table *table = NULL;
    struct tablet_table *again = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 2);
    assert_int_equal(find(&rig, "t", &table, &error), CELLAR_OK);
    assert_int_equal(drop(&rig, "t", &error), CELLAR_OK);
    assert_false(tablet_table_enter(table));
    assert_int_equal(find(&rig, "t", &again, &error), CELLAR_NOT_FOUND);
    assert_int_equal(drop(&rig, "t", &error), CELLAR_NOT_FOUND);
    assert_int_equal(tablet_db_count(rig.db), 0);
    for (size_t i = 0; i < table->tablet_count; i++) {
        assert_false(store_folder_exists(&rig, table->tablets[i].store_id));
    }
    tablet_table_unref(table);
    rig_end(&rig);
}

/* ---- restarts -------------------------------------------------------------------------------- */

static void the_catalog_survives_a_restart(void **state)
{
    struct rig rig;
    struct tablet_table *table = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    create(&rig, "kept", 2);
    create(&rig, "dropped", 1);
    uint32_t kept = store_of(&rig, "kept");
    uint32_t dropped = store_of(&rig, "dropped");
    assert_int_equal(drop(&rig, "dropped", &error), CELLAR_OK);
    for (int i = 0; i < 2; i++) {
        rig_reopen(&rig);
        assert_int_equal(tablet_db_count(rig.db), 1);
        assert_int_equal(store_of(&rig, "kept"), kept);
        assert_int_equal(store_of(&rig, "dropped"), 0);
        assert_false(store_folder_exists(&rig, dropped));
        assert_int_equal(find(&rig, "kept", &table, &error), CELLAR_OK);
        assert_int_equal(table->schema_opened.granularity, CELLAR_GRANULARITY_MICROS);
        assert_int_equal(table->schema_opened.family_count, 2);
        assert_int_equal(table->schema_opened.families[1].rule.kind, CELLAR_GC_VERSIONS);
        assert_int_equal(table->schema_opened.families[1].rule.amount, 3);
        assert_int_equal(table->tablet_count, 3);
        assert_true(cellar_slice_equal(table->tablets[1].end, cellar_slice_text("p")));
        tablet_table_unref(table);
    }
    rig_end(&rig);
}

static void store_ids_are_never_used_again(void **state)
{
    struct rig rig;
    struct cellar_error error;
    uint32_t last = 0;
    (void)state;
    rig_begin(&rig);
    for (int i = 0; i < 4; i++) {
        create(&rig, "t", 1);
        uint32_t store_id = store_of(&rig, "t");
        assert_true(store_id > last);
        last = store_id + 1; /* two tablets */
        assert_int_equal(drop(&rig, "t", &error), CELLAR_OK);
        if (i % 2 == 1) {
            rig_reopen(&rig);
        }
    }
    rig_end(&rig);
}

static void many_tables_are_kept_in_order_while_some_go(void **state)
{
    struct rig rig;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    for (int i = 0; i < 20; i++) { /* more than the map has room for at first */
        char name[16];
        (void)snprintf(name, sizeof name, "t%02d", i * 7 % 20);
        create(&rig, name, 0);
    }
    for (int i = 0; i < 20; i += 2) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%02d", i);
        assert_int_equal(drop(&rig, name, &error), CELLAR_OK);
    }
    rig_reopen(&rig);
    assert_int_equal(tablet_db_count(rig.db), 10);
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%02d", i);
        assert_int_equal(store_of(&rig, name) != 0, i % 2);
    }
    rig_end(&rig);
}

static void a_folder_that_no_catalog_row_names_goes_at_the_next_start(void **state)
{
    struct rig rig;
    char command[900];
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 0);
    uint32_t store_id = store_of(&rig, "t");
    (void)snprintf(command, sizeof command, "cp -r %s/stores/%u %s/stores/77", rig.data_dir,
                   store_id, rig.data_dir);
    tablet_db_close(rig.db);
    rig.db = NULL;
    assert_int_equal(system(command), 0); /* as a create that was killed before its record */
    rig_open(&rig);
    assert_false(store_folder_exists(&rig, 77));
    assert_int_equal(store_of(&rig, "t"), store_id);
    rig_end(&rig);
}

/* ---- time and writes ------------------------------------------------------------------------- */

static void the_servers_time_never_goes_back(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    int64_t last_us = tablet_db_time(rig.db);
    for (int i = 0; i < 1000; i++) {
        int64_t now_us = tablet_db_time(rig.db);
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    rig_reopen(&rig);
    assert_true(tablet_db_time(rig.db) >= last_us);
    rig_end(&rig);
}

/* A write that can be waited for. */
struct waiting_write {
    struct tablet_write write;
    struct cellar_mutex lock;
    struct cellar_cond ended;
    bool is_done;
    enum cellar_status status;
};

static void waiting_done(struct store_log_record *record, enum cellar_status status)
{
    struct tablet_write *write = CELLAR_CONTAINER_OF(record, struct tablet_write, record);
    struct waiting_write *waiting = CELLAR_CONTAINER_OF(write, struct waiting_write, write);
    cellar_mutex_lock(&waiting->lock);
    waiting->is_done = true;
    waiting->status = status;
    cellar_cond_signal(&waiting->ended);
    cellar_mutex_unlock(&waiting->lock);
}

static enum cellar_status row_write(struct rig *rig, struct tablet_table *table, const char *row,
                                    struct cellar_error *error)
{
    struct waiting_write waiting = {.write.record.done = waiting_done};
    struct cellar_buffer payload = {0};
    const struct store_item item = test_set("f", "q", 1, "value");
    cellar_error_clear(error);
    cellar_mutex_init(&waiting.lock);
    cellar_cond_init(&waiting.ended);
    test_mutation_put(&payload, cellar_slice_text(row), 1, &item, 1);
    const struct tablet_payload facts = {.schema = tablet_table_schema_queued(table),
                                         .row = cellar_slice_text(row),
                                         .bytes = cellar_slice_of(&payload),
                                         .has_sets = true};
    enum cellar_status status = tablet_append(rig->db, table, &facts, &waiting.write, error);
    if (status == CELLAR_OK) {
        cellar_mutex_lock(&waiting.lock);
        while (!waiting.is_done) {
            cellar_cond_wait(&waiting.ended, &waiting.lock);
        }
        cellar_mutex_unlock(&waiting.lock);
        status = waiting.status;
    }
    cellar_cond_fini(&waiting.ended);
    cellar_mutex_fini(&waiting.lock);
    cellar_buffer_fini(&payload);
    return status;
}

static void a_write_into_a_dropped_table_is_refused(void **state)
{
    struct rig rig;
    struct tablet_table *table = NULL;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 2);
    assert_int_equal(find(&rig, "t", &table, &error), CELLAR_OK);
    assert_int_equal(row_write(&rig, table, "a", &error), CELLAR_OK);
    assert_int_equal(row_write(&rig, table, "z", &error), CELLAR_OK);
    assert_int_equal(drop(&rig, "t", &error), CELLAR_OK);
    create(&rig, "t", 2); /* the name lives again, but this is another table */
    assert_int_equal(row_write(&rig, table, "a", &error), CELLAR_NOT_FOUND);
    assert_string_equal(error.text, "Table not found: projects/p/instances/i/tables/t");
    tablet_table_unref(table);
    rig_reopen(&rig); /* records of dropped stores are stepped over */
    assert_int_equal(tablet_db_count(rig.db), 1);
    rig_end(&rig);
}

/* ---- without memory -------------------------------------------------------------------------- */

static enum cellar_status create_once(void *context)
{
    struct cellar_error error;
    enum cellar_status status = create_in(context, "i", "t", 1, &error);
    return status;
}

static void a_create_without_memory_makes_nothing_and_can_be_tried_again(void **state)
{
    struct rig rig;
    struct cellar_error error;
    (void)state;
    rig_begin(&rig);
    assert_true(test_out_of_memory_loop(create_once, &rig) > 5);
    assert_int_equal(tablet_db_count(rig.db), 1);
    rig_reopen(&rig);
    assert_int_equal(tablet_db_count(rig.db), 1);
    assert_true(store_folder_exists(&rig, store_of(&rig, "t")));
    assert_int_equal(drop(&rig, "t", &error), CELLAR_OK);
    rig_end(&rig);
}

static enum cellar_status drop_once(void *context)
{
    struct cellar_error error;
    return drop(context, "t", &error);
}

static void a_drop_without_memory_leaves_the_table(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 1);
    assert_true(test_out_of_memory_loop(drop_once, &rig) > 2);
    assert_int_equal(tablet_db_count(rig.db), 0);
    rig_end(&rig);
}

static enum cellar_status open_once(void *context)
{
    struct rig *rig = context;
    struct cellar_error error;
    return rig_try(rig, &error);
}

static void a_start_without_memory_says_so_and_leaves_the_data(void **state)
{
    struct rig rig;
    (void)state;
    rig_begin(&rig);
    create(&rig, "t", 1);
    tablet_db_close(rig.db);
    rig.db = NULL;
    assert_true(test_out_of_memory_loop(open_once, &rig) > 5);
    assert_int_equal(tablet_db_count(rig.db), 1);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_was_made_is_found_with_sorted_families_and_tablets),
        cmocka_unit_test(a_table_that_exists_cannot_be_made_again),
        cmocka_unit_test(an_unknown_table_is_named_in_full),
        cmocka_unit_test(tables_of_one_instance_are_listed_in_order_by_pages),
        cmocka_unit_test(a_dropped_table_is_gone_with_its_folders_and_its_holders_see_it),
        cmocka_unit_test(the_catalog_survives_a_restart),
        cmocka_unit_test(store_ids_are_never_used_again),
        cmocka_unit_test(many_tables_are_kept_in_order_while_some_go),
        cmocka_unit_test(a_folder_that_no_catalog_row_names_goes_at_the_next_start),
        cmocka_unit_test(the_servers_time_never_goes_back),
        cmocka_unit_test(a_write_into_a_dropped_table_is_refused),
        cmocka_unit_test(a_create_without_memory_makes_nothing_and_can_be_tried_again),
        cmocka_unit_test(a_drop_without_memory_leaves_the_table),
        cmocka_unit_test(a_start_without_memory_says_so_and_leaves_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
