/*
 * memtable: batches from payloads, the order of entries, seeking, facts, readers beside an
 * inserter.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "server/storage/memtable.h"
#include "tests/support/store_fixture.h"

static struct store_batch *batch_of(struct cellar_slice row, const struct store_item *items,
                                    size_t count)
{
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    test_mutation_put(&payload, row, 0, items, count);
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_OK);
    assert_true(cellar_slice_equal(batch->payload, cellar_slice_of(&payload)));
    assert_ptr_not_equal(batch->payload.data, payload.data);
    cellar_buffer_fini(&payload);
    return batch;
}

static void insert(struct store_memtable *memtable, const char *row, struct store_item item,
                   uint64_t lsn)
{
    store_memtable_insert(memtable, batch_of(cellar_slice_text(row), &item, 1), lsn);
}

static void check_key(const struct store_entry *entry, const char *row, const char *family,
                      const char *qualifier, int64_t timestamp_us)
{
    struct cellar_buffer key = {0};
    struct cellar_slice part = cellar_slice_text(qualifier == NULL ? "" : qualifier);
    test_position_make(&key, cellar_slice_text(row), family, qualifier == NULL ? NULL : &part,
                       timestamp_us);
    assert_non_null(entry);
    assert_true(cellar_slice_equal(store_entry_key(entry), cellar_slice_of(&key)));
    test_position_make(&key, cellar_slice_text(row), NULL, NULL, -1);
    assert_true(cellar_slice_equal(store_entry_row(entry), cellar_slice_of(&key)));
    cellar_buffer_fini(&key);
}

/* ---- batches --------------------------------------------------------------------------------- */

static void batch_holds_each_item_at_its_position(void **state)
{
    (void)state;
    const struct store_item items[] = {
        test_delete_row(),
        test_delete_family("f"),
        test_delete_column("f", "q", 5, 9),
        test_set("f", "q", 7, "value"),
        test_set("f", "", 0, ""),
    };
    struct store_batch *batch =
        batch_of(cellar_slice_text("row"), items, CELLAR_ARRAY_COUNT(items));
    assert_int_equal(batch->entry_count, 5);
    assert_true(batch->total_bytes > batch->payload.bytes);
    check_key(batch->entries[0], "row", NULL, NULL, -1);
    check_key(batch->entries[1], "row", "f", NULL, -1);
    check_key(batch->entries[2], "row", "f", "q", -1);
    check_key(batch->entries[3], "row", "f", "q", 7);
    check_key(batch->entries[4], "row", "f", "", 0);
    assert_int_equal(batch->entries[2]->start_us, 5);
    assert_int_equal(batch->entries[2]->end_us, 9);
    assert_int_equal(batch->entries[3]->start_us, 7);
    assert_true(
        cellar_slice_equal(store_entry_value(batch->entries[3]), cellar_slice_text("value")));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(batch->entries[i]->type, items[i].type);
        assert_in_range(batch->entries[i]->height, 1, STORE_MEMTABLE_HEIGHT_MAX);
        assert_int_equal((uintptr_t)batch->entries[i] % 8, 0);
    }
    store_batch_free(batch);
    store_batch_free(NULL);
}

static void largest_position_fits(void **state)
{
    (void)state;
    static uint8_t zeroes[CELLAR_QUALIFIER_BYTES_MAX]; /* every byte is escaped */
    static char family[CELLAR_FAMILY_BYTES_MAX + 1];
    memset(family, 'f', CELLAR_FAMILY_BYTES_MAX);
    struct store_item item = test_set(family, "", 1, "v");
    item.qualifier = cellar_slice_make(zeroes, sizeof zeroes);
    struct store_batch *batch = batch_of(cellar_slice_make(zeroes, CELLAR_ROW_BYTES_MAX), &item, 1);
    assert_int_equal(batch->entries[0]->key_bytes, CELLAR_KEY_BYTES_MAX);
    assert_int_equal(batch->entries[0]->row_key_bytes, CELLAR_KEY_ROW_BYTES_MAX);
    store_batch_free(batch);
}

static void batch_without_items_is_a_record_without_entries(void **state)
{
    (void)state;
    struct store_memtable_facts facts;
    struct store_memtable *memtable = store_memtable_new();
    struct store_batch *batch = batch_of(cellar_slice_text("r"), NULL, 0);
    assert_int_equal(batch->entry_count, 0);
    store_memtable_insert(memtable, batch, 4);
    store_memtable_facts(memtable, &facts);
    assert_int_equal(facts.first_lsn, 4);
    assert_int_equal(facts.record_count, 1);
    assert_int_equal(facts.entry_count, 0);
    store_memtable_unref(memtable);
}

static void catalog_batch_holds_several_rows(void **state)
{
    (void)state;
    struct cellar_buffer payload = {0};
    struct cellar_buffer mutation = {0};
    struct store_batch *batch = NULL;
    static const char *const rows[] = {"b", "a", "c"};
    assert_int_equal(store_catalog_begin(&payload, 3), CELLAR_OK);
    for (size_t i = 0; i < 3; i++) {
        const struct store_item item = test_set("f", rows[i], 1, "v");
        cellar_buffer_clear(&mutation);
        test_mutation_put(&mutation, cellar_slice_text(rows[i]), (int64_t)i * 10, &item, 1);
        assert_int_equal(store_catalog_put(&payload, cellar_slice_of(&mutation)), CELLAR_OK);
    }
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_DATA_LOSS);
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), true, &batch), CELLAR_OK);
    assert_int_equal(batch->entry_count, 3);
    assert_int_equal(batch->server_time_us, 20);
    struct store_memtable *memtable = store_memtable_new();
    store_memtable_insert(memtable, batch, 1);
    const struct store_entry *entry = store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
    check_key(entry, "a", "f", "a", 1);
    check_key(store_entry_next(entry), "b", "f", "b", 1);
    struct store_memtable_facts facts;
    store_memtable_facts(memtable, &facts);
    assert_int_equal(facts.record_count, 1);
    assert_int_equal(facts.row_count, 3);
    store_memtable_unref(memtable);
    cellar_buffer_fini(&mutation);
    cellar_buffer_fini(&payload);
}

static void cut_payloads_are_refused(void **state)
{
    (void)state;
    const struct store_item items[] = {test_delete_column("fam", "q", 1, 2),
                                       test_set("fam", "qualifier", 7, "value")};
    struct cellar_buffer payload = {0};
    struct store_batch *batch = NULL;
    test_mutation_put(&payload, cellar_slice_text("row"), 3, items, 2);
    for (size_t bytes = 0; bytes < payload.bytes; bytes++) {
        uint8_t *cut = malloc(bytes + 1); /* so that the sanitizer sees a read behind it */
        assert_non_null(cut);
        memcpy(cut + 1, payload.data, bytes);
        assert_int_equal(store_batch_new(cellar_slice_make(cut + 1, bytes), false, &batch),
                         CELLAR_DATA_LOSS);
        assert_int_equal(store_batch_new(cellar_slice_make(cut + 1, bytes), true, &batch),
                         CELLAR_DATA_LOSS);
        free(cut);
    }
    assert_int_equal(cellar_buffer_append(&payload, "x", 1), CELLAR_OK); /* too long */
    assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_DATA_LOSS);
    assert_null(batch);
    cellar_buffer_fini(&payload);
}

/* One byte that makes a good payload a bad one. The payload: row "row", then SET fam:q@7=v. */
struct spoilt_byte {
    const char *what;
    size_t offset;
    uint8_t value;
};

static void impossible_payloads_are_refused(void **state)
{
    (void)state;
    const size_t item = STORE_MUTATION_HEADER_BYTES + 3;
    const size_t family = item + STORE_ITEM_HEADER_BYTES;
    const struct spoilt_byte cases[] = {
        {"version", 0, 2},
        {"version 0", 0, 0},
        {"flags", 1, 1},
        {"empty row", 2, 0},
        {"row of 4,097 bytes", 3, 0x10},
        {"server time below 0", 15, 0x80},
        {"two items", 16, 2},
        {"no items, bytes left", 16, 0},
        {"2^24 items", 19, 1},
        {"item type 0", item, 0},
        {"reserved item type", item, STORE_ITEM_ADD},
        {"unknown item type", item, 9},
        {"empty family", item + 1, 0},
        {"family of 65 bytes", item + 1, 65},
        {"qualifier beyond the end", item + 2, 200},
        {"value beyond the end", item + 7, 0xff},
        {"timestamp below 0", item + 23, 0x80},
        {"family with a zero byte", family + 1, 0},
    };
    const struct store_item set = test_set("fam", "q", 7, "v");
    struct cellar_buffer payload = {0};
    test_mutation_put(&payload, cellar_slice_text("row"), 3, &set, 1);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct store_batch *batch = NULL;
        uint8_t before = payload.data[cases[i].offset];
        payload.data[cases[i].offset] = cases[i].value;
        print_message("    %s\n", cases[i].what);
        assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch),
                         CELLAR_DATA_LOSS);
        assert_null(batch);
        payload.data[cases[i].offset] = before;
    }
    cellar_buffer_fini(&payload);
}

static void tombstones_with_values_are_refused(void **state)
{
    (void)state;
    struct store_item items[6];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        items[i] = test_set("f", "q", 1, "v");
    }
    items[0].type = STORE_ITEM_DELETE_ROW; /* with family, qualifier and value */
    items[1].type = STORE_ITEM_DELETE_FAMILY;
    items[2].type = STORE_ITEM_DELETE_COLUMN; /* with a value */
    items[3] = test_delete_column("f", "q", -1, 0);
    items[4] = test_delete_column("f", "q", 0, -1);
    items[5] = test_delete_column("f", "q", 9, 9);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(items); i++) {
        struct cellar_buffer payload = {0};
        struct store_batch *batch = NULL;
        test_mutation_put(&payload, cellar_slice_text("r"), 0, &items[i], 1);
        print_message("    %zu\n", i);
        assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch),
                         CELLAR_DATA_LOSS);
        cellar_buffer_fini(&payload);
    }
}

/* Takes a batch apart: whatever was accepted must have sound positions. */
static void batch_check(const struct store_batch *batch)
{
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        const struct store_entry *entry = batch->entries[i];
        struct cellar_slice family;
        struct cellar_slice qualifier;
        uint32_t generation = 0;
        int64_t timestamp_us = 0;
        assert_int_equal(cellar_key_escaped_span(store_entry_key(entry)), entry->row_key_bytes);
        if (entry->type == STORE_ITEM_SET) {
            struct cellar_slice key = store_entry_key(entry);
            struct cellar_slice rest = cellar_slice_make(key.data + entry->row_key_bytes,
                                                         key.bytes - entry->row_key_bytes);
            assert_true(cellar_key_split(rest, &family, &generation, &qualifier, &timestamp_us));
            assert_int_equal(timestamp_us, entry->start_us);
        }
    }
}

static void spoilt_payloads_are_refused_or_sound(void **state)
{
    (void)state;
    struct test_random random = {test_seed("memtable")};
    const struct store_item items[] = {
        test_delete_row(), test_delete_family("fam"), test_delete_column("fam", "q", 1, 2),
        test_set("fam", "qualifier", 7, "value"), test_set("g", "", 0, "")};
    struct cellar_buffer payload = {0};
    test_mutation_put(&payload, cellar_slice_text("row"), 3, items, CELLAR_ARRAY_COUNT(items));
    for (int round = 0; round < 8000; round++) {
        struct store_batch *batch = NULL;
        uint8_t *spoilt = malloc(payload.bytes);
        assert_non_null(spoilt);
        memcpy(spoilt, payload.data, payload.bytes);
        for (uint64_t i = test_random_below(&random, 3); i < 4; i++) {
            spoilt[test_random_below(&random, payload.bytes)] =
                (uint8_t)test_random_below(&random, test_random_below(&random, 2) == 0 ? 9 : 256);
        }
        enum cellar_status status =
            store_batch_new(cellar_slice_make(spoilt, payload.bytes), round % 4 == 0, &batch);
        assert_true(status == CELLAR_OK || status == CELLAR_DATA_LOSS);
        if (status == CELLAR_OK) {
            batch_check(batch);
        }
        store_batch_free(batch);
        free(spoilt);
    }
    cellar_buffer_fini(&payload);
}

/* Cut from a slab, and freed in any order with those of the heap. */
static void batch_of_a_slab_holds_the_same(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    struct store_memtable *memtable = store_memtable_new();
    struct cellar_buffer payload = {0};
    for (uint32_t i = 1; i <= 200; i++) {
        struct store_batch *batch = NULL;
        const struct store_item item = test_set("f", "q", i, "value");
        cellar_buffer_clear(&payload);
        test_mutation_put(&payload, cellar_slice_text("row"), 0, &item, 1);
        assert_int_equal(
            store_batch_new_in(cellar_slice_of(&payload), &slab, i % 3 == 0 ? 2 : 1, &batch),
            CELLAR_OK);
        assert_true((batch->chunk == NULL) == (i % 3 == 0));
        assert_true(cellar_slice_equal(batch->payload, cellar_slice_of(&payload)));
        check_key(batch->entries[0], "row", "f", "q", i);
        if (i % 5 == 0) {
            store_batch_free(batch);
        } else {
            store_memtable_insert(memtable, batch, i);
        }
    }
    cellar_buffer_fini(&payload);
    store_slab_fini(&slab);
    assert_non_null(store_memtable_seek(memtable, cellar_slice_make(NULL, 0)));
    store_memtable_unref(memtable);
}

static enum cellar_status batch_run(void *context)
{
    const struct store_item items[] = {test_set("f", "q", 1, "v"), test_set("f", "q", 2, "v")};
    struct store_batch *batch = NULL;
    (void)context;
    struct cellar_buffer payload = {0};
    struct store_mutation mutation = {.row = cellar_slice_text("r"), .item_count = 2};
    enum cellar_status status = store_mutation_encode(&payload, &mutation);
    for (size_t i = 0; i < 2 && status == CELLAR_OK; i++) {
        status = store_item_encode(&payload, &items[i]);
    }
    if (status == CELLAR_OK) {
        status = store_batch_new(cellar_slice_of(&payload), false, &batch);
    }
    store_batch_free(batch);
    cellar_buffer_fini(&payload);
    return status;
}

static enum cellar_status memtable_run(void *context)
{
    (void)context;
    struct store_memtable *memtable = store_memtable_new();
    if (memtable == NULL) {
        return CELLAR_NO_MEMORY;
    }
    store_memtable_unref(memtable);
    return CELLAR_OK;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(batch_run, NULL) >= 2);
    assert_true(test_out_of_memory_loop(memtable_run, NULL) >= 1);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void newest_write_of_a_position_comes_first(void **state)
{
    (void)state;
    struct store_memtable *memtable = store_memtable_new();
    for (uint64_t lsn = 1; lsn <= 20; lsn++) {
        insert(memtable, "r", test_set("f", "q", 5, "v"), lsn);
    }
    const struct store_entry *entry = store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
    for (uint64_t lsn = 20; lsn >= 1; lsn--) {
        check_key(entry, "r", "f", "q", 5);
        assert_int_equal(entry->lsn, lsn);
        entry = store_entry_next(entry);
    }
    assert_null(entry);
    store_memtable_unref(memtable);
}

static void tombstones_come_before_what_they_cover(void **state)
{
    (void)state;
    struct store_memtable *memtable = store_memtable_new();
    insert(memtable, "r", test_set("f", "q", 5, "v"), 1);
    insert(memtable, "r", test_set("f", "q", 6, "v"), 2);
    insert(memtable, "r", test_set("f", "", 6, "v"), 3);
    insert(memtable, "q", test_set("z", "z", 6, "v"), 4);
    insert(memtable, "r", test_delete_column("f", "q", 0, 0), 5);
    insert(memtable, "r", test_delete_family("f"), 6);
    insert(memtable, "r", test_delete_row(), 7);
    static const uint64_t lsns[] = {4, 7, 6, 3, 5, 2, 1};
    const struct store_entry *entry = store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(lsns); i++) {
        assert_non_null(entry);
        assert_int_equal(entry->lsn, lsns[i]);
        entry = store_entry_next(entry);
    }
    assert_null(entry);
    store_memtable_unref(memtable);
}

static void empty_memtable_has_nothing(void **state)
{
    (void)state;
    struct store_memtable_facts facts;
    struct store_memtable *memtable = store_memtable_new();
    assert_null(store_memtable_seek(memtable, cellar_slice_make(NULL, 0)));
    assert_null(store_memtable_seek(memtable, cellar_slice_text("x")));
    assert_null(store_memtable_seek_before(memtable, cellar_slice_make(NULL, 0)));
    assert_null(store_memtable_seek_before(memtable, cellar_slice_text("x")));
    store_memtable_facts(memtable, &facts);
    assert_int_equal(facts.first_lsn, 0);
    assert_int_equal(facts.last_lsn, 0);
    assert_int_equal(facts.row_count, 0);
    store_memtable_ref(memtable);
    store_memtable_unref(memtable);
    store_memtable_unref(memtable);
    store_memtable_unref(NULL);
}

static void facts_tell_what_was_inserted(void **state)
{
    (void)state;
    struct store_memtable_facts facts;
    struct store_memtable *memtable = store_memtable_new();
    uint64_t bytes = 0;
    uint64_t payload_bytes = 0;
    static const char *const rows[] = {"b", "a", "b", "c", "a", "b"};
    static const int64_t times[] = {5, 0, 9, 7, 0, 1};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(rows); i++) {
        const struct store_item items[] = {test_set("f", "x", (int64_t)i, "v"),
                                           test_delete_family("g")};
        struct cellar_buffer payload = {0};
        struct store_batch *batch = NULL;
        test_mutation_put(&payload, cellar_slice_text(rows[i]), times[i], items, 2);
        assert_int_equal(store_batch_new(cellar_slice_of(&payload), false, &batch), CELLAR_OK);
        bytes += batch->total_bytes;
        payload_bytes += payload.bytes;
        store_memtable_insert(memtable, batch, 10 + i * 3);
        cellar_buffer_fini(&payload);
    }
    store_memtable_facts(memtable, &facts);
    assert_int_equal(facts.first_lsn, 10);
    assert_int_equal(facts.last_lsn, 25);
    assert_int_equal(facts.record_count, 6);
    assert_int_equal(facts.entry_count, 12);
    assert_int_equal(facts.row_count, 3);
    assert_int_equal(facts.bytes, bytes);
    assert_int_equal(facts.payload_bytes, payload_bytes);
    assert_int_equal(facts.server_time_us, 9);
    store_memtable_unref(memtable);
}

/* ---- against a sorted model ------------------------------------------------------------------ */

#define MODEL_COUNT 3000u

struct model_entry {
    uint8_t *key;
    size_t bytes;
    uint64_t lsn;
};

static int model_order(const void *a, const void *b)
{
    const struct model_entry *left = a;
    const struct model_entry *right = b;
    int order = cellar_slice_compare(cellar_slice_make(left->key, left->bytes),
                                     cellar_slice_make(right->key, right->bytes));
    if (order != 0) {
        return order;
    }
    return left->lsn > right->lsn ? -1 : 1;
}

/* Inserts a random set and notes its position. */
static void model_insert(struct store_memtable *memtable, struct test_random *random,
                         struct model_entry *entry, uint64_t lsn)
{
    static const char *const families[] = {"f", "fa", "f-"};
    uint8_t row[40];
    uint8_t qualifier[40];
    struct cellar_buffer key = {0};
    struct cellar_slice row_slice =
        cellar_slice_make(row, test_random_key(random, row, sizeof row));
    struct cellar_slice part =
        cellar_slice_make(qualifier, test_random_key(random, qualifier, sizeof qualifier) - 1);
    const char *family = families[test_random_below(random, 3)];
    int64_t timestamp_us = (int64_t)test_random_below(random, 3);
    struct store_item item = test_set(family, "", timestamp_us, "v");
    item.qualifier = part;
    store_memtable_insert(memtable, batch_of(row_slice, &item, 1), lsn);
    test_position_make(&key, row_slice, family, &part, timestamp_us);
    entry->key = key.data;
    entry->bytes = key.bytes;
    entry->lsn = lsn;
}

static bool model_equal(const struct store_entry *entry, const struct model_entry *model)
{
    return entry != NULL && entry->lsn == model->lsn &&
           cellar_slice_equal(store_entry_key(entry), cellar_slice_make(model->key, model->bytes));
}

/* The index of the first model entry at or behind a key. */
static size_t model_seek(const struct model_entry *model, struct cellar_slice key)
{
    size_t low = 0;
    size_t high = MODEL_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cellar_slice_compare(cellar_slice_make(model[middle].key, model[middle].bytes), key) <
            0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void seek_check(const struct store_memtable *memtable, const struct model_entry *model,
                       struct cellar_slice key)
{
    size_t index = model_seek(model, key);
    const struct store_entry *entry = store_memtable_seek(memtable, key);
    assert_true(index == MODEL_COUNT ? entry == NULL : model_equal(entry, &model[index]));
    if (key.bytes > 0) {
        entry = store_memtable_seek_before(memtable, key);
        assert_true(index == 0 ? entry == NULL : model_equal(entry, &model[index - 1]));
    }
}

/* Inserts random entries and holds the whole list, and every search, against the model. */
static void random_entries_check(struct store_memtable *memtable, struct test_random *random)
{
    static struct model_entry model[MODEL_COUNT];
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        model_insert(memtable, random, &model[i], i + 1);
    }
    qsort(model, MODEL_COUNT, sizeof model[0], model_order);
    const struct store_entry *entry = store_memtable_seek(memtable, cellar_slice_make(NULL, 0));
    size_t row_count = 0;
    const struct store_entry *before = NULL;
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        assert_true(model_equal(entry, &model[i]));
        row_count +=
            before == NULL || !cellar_slice_equal(store_entry_row(before), store_entry_row(entry));
        before = entry;
        entry = store_entry_next(entry);
    }
    assert_null(entry);
    assert_true(model_equal(store_memtable_seek_before(memtable, cellar_slice_make(NULL, 0)),
                            &model[MODEL_COUNT - 1]));
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        uint8_t other[60];
        seek_check(memtable, model, cellar_slice_make(model[i].key, model[i].bytes));
        seek_check(memtable, model, cellar_slice_make(model[i].key, model[i].bytes - 1));
        seek_check(memtable, model,
                   cellar_slice_make(other, test_random_key(random, other, sizeof other)));
    }
    struct store_memtable_facts facts;
    store_memtable_facts(memtable, &facts);
    assert_int_equal(facts.row_count, row_count);
    store_memtable_unref(memtable);
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        cellar_mem_free(model[i].key);
    }
}

static void random_entries_stand_in_order(void **state)
{
    (void)state;
    struct test_random random = {test_seed("memtable")};
    random_entries_check(store_memtable_new(), &random);
}

/* The rows of a memtable that share `prefix`, for the one that comes after it. */
static struct store_memtable *shared_rows_make(const char *prefix, unsigned row_count)
{
    char row[64];
    struct store_memtable *memtable = store_memtable_new();
    for (unsigned i = 0; i < row_count; i++) {
        assert_true((size_t)snprintf(row, sizeof row, "%s%u", prefix, i) < sizeof row);
        insert(memtable, row, test_set("f", "q", 1, "v"), i + 1);
    }
    return memtable;
}

static void order_holds_whatever_the_rows_before_had_in_common(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"a", "ab", "\x01\xff", "aaaaaaaaaaaa", "zzz", "bab", ""};
    struct test_random random = {test_seed("memtable prefix")};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(prefixes); i++) {
        struct store_memtable *before = shared_rows_make(prefixes[i], 300);
        struct store_memtable *memtable = store_memtable_new();
        struct store_memtable *small = store_memtable_new();
        store_memtable_prefix_set(small, before); /* hands the prefix on: it has too few rows */
        store_memtable_prefix_set(memtable, small);
        random_entries_check(memtable, &random);
        store_memtable_unref(small);
        store_memtable_unref(before);
    }
}

static void a_memtable_of_one_long_row_gives_a_prefix_that_fits(void **state)
{
    (void)state;
    char row[301];
    struct test_random random = {test_seed("memtable long prefix")};
    struct store_memtable *before = store_memtable_new();
    struct store_memtable *memtable = store_memtable_new();
    memset(row, 'a', sizeof row - 1);
    row[sizeof row - 1] = '\0';
    for (unsigned i = 0; i < 300; i++) {
        insert(before, row, test_set("f", "q", i, "v"), i + 1);
    }
    store_memtable_prefix_set(memtable, before);
    random_entries_check(memtable, &random);
    store_memtable_unref(before);
}

/* ---- readers beside an inserter -------------------------------------------------------------- */

#define READER_COUNT 2u
#define CROWD_INSERT_COUNT 6000u

static struct {
    struct store_memtable *memtable;
    _Atomic bool is_over;
    _Atomic uint64_t inserted_lsn; /* this and all before are to be seen */
    _Atomic uint64_t error_count;
} crowd;

/* Walks all: in order, and nothing missing that was inserted before. */
static void *walk_run(void *context)
{
    (void)context;
    do {
        uint64_t inserted_lsn = atomic_load(&crowd.inserted_lsn);
        uint64_t seen = 0;
        const struct store_entry *before = NULL;
        for (const struct store_entry *entry =
                 store_memtable_seek(crowd.memtable, cellar_slice_make(NULL, 0));
             entry != NULL; entry = store_entry_next(entry)) {
            seen += entry->lsn <= inserted_lsn;
            if (before != NULL) {
                int order = cellar_slice_compare(store_entry_key(before), store_entry_key(entry));
                if (order > 0 || (order == 0 && before->lsn <= entry->lsn)) {
                    atomic_fetch_add(&crowd.error_count, 1);
                }
            }
            before = entry;
        }
        if (seen != inserted_lsn) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
    } while (!atomic_load(&crowd.is_over));
    return NULL;
}

static void *seek_run(void *context)
{
    struct test_random random = {*(const uint64_t *)context};
    do {
        uint8_t row[4];
        struct cellar_buffer key = {0};
        size_t bytes = test_random_key(&random, row, sizeof row);
        struct cellar_slice part = {0};
        test_position_make(&key, cellar_slice_make(row, bytes), NULL, &part, -1);
        struct cellar_slice bound = cellar_slice_of(&key);
        const struct store_entry *entry = store_memtable_seek(crowd.memtable, bound);
        const struct store_entry *before = store_memtable_seek_before(crowd.memtable, bound);
        if ((entry != NULL && cellar_slice_compare(store_entry_key(entry), bound) < 0) ||
            (before != NULL && cellar_slice_compare(store_entry_key(before), bound) >= 0)) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
        cellar_buffer_fini(&key);
    } while (!atomic_load(&crowd.is_over));
    return NULL;
}

static void crowd_begin(void)
{
    crowd.memtable = store_memtable_new();
    assert_non_null(crowd.memtable);
    atomic_store(&crowd.is_over, false);
    atomic_store(&crowd.inserted_lsn, 0);
    atomic_store(&crowd.error_count, 0);
}

static void readers_see_order_and_all_that_was_there(void **state)
{
    (void)state;
    pthread_t threads[2 * READER_COUNT];
    uint64_t seeds[READER_COUNT];
    struct test_random random = {test_seed("memtable")};
    crowd_begin();
    for (size_t i = 0; i < READER_COUNT; i++) {
        seeds[i] = test_random_next(&random);
        assert_int_equal(pthread_create(&threads[2 * i], NULL, walk_run, NULL), 0);
        assert_int_equal(pthread_create(&threads[2 * i + 1], NULL, seek_run, &seeds[i]), 0);
    }
    for (uint64_t lsn = 1; lsn <= CROWD_INSERT_COUNT; lsn++) {
        uint8_t row[4];
        size_t bytes = test_random_key(&random, row, sizeof row);
        const struct store_item item = test_set("f", "q", (int64_t)(lsn % 3), "v");
        store_memtable_insert(crowd.memtable, batch_of(cellar_slice_make(row, bytes), &item, 1),
                              lsn);
        atomic_store(&crowd.inserted_lsn, lsn);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < 2 * READER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.error_count), 0);
    store_memtable_unref(crowd.memtable);
}

/* Seeks one key again and again while entries are put right before it. */
static void *edge_run(void *context)
{
    struct cellar_buffer key = {0};
    (void)context;
    test_position_make(&key, cellar_slice_text("z"), NULL, NULL, -1);
    do {
        const struct store_entry *entry =
            store_memtable_seek(crowd.memtable, cellar_slice_of(&key));
        if (entry == NULL ||
            cellar_slice_compare(store_entry_key(entry), cellar_slice_of(&key)) < 0) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
    } while (!atomic_load(&crowd.is_over));
    cellar_buffer_fini(&key);
    return NULL;
}

static void seek_is_not_misled_by_an_insert_before_its_key(void **state)
{
    (void)state;
    pthread_t threads[READER_COUNT];
    crowd_begin();
    insert(crowd.memtable, "z", test_set("f", "q", 1, "v"), 1);
    for (size_t i = 0; i < READER_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, edge_run, NULL), 0);
    }
    static struct store_batch *batches[200];
    uint32_t row = 0;
    for (int round = 0; round < 150; round++) {
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(batches); i++) {
            uint8_t name[5] = {'y'};
            const struct store_item item = test_set("f", "q", 1, "v");
            cellar_put_u32be(name + 1, row++);
            batches[i] = batch_of(cellar_slice_make(name, sizeof name), &item, 1);
        }
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(batches); i++) {
            store_memtable_insert(crowd.memtable, batches[i],
                                  2 + (uint64_t)round * CELLAR_ARRAY_COUNT(batches) + i);
        }
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < READER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.error_count), 0);
    store_memtable_unref(crowd.memtable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_holds_each_item_at_its_position),
        cmocka_unit_test(largest_position_fits),
        cmocka_unit_test(batch_without_items_is_a_record_without_entries),
        cmocka_unit_test(catalog_batch_holds_several_rows),
        cmocka_unit_test(cut_payloads_are_refused),
        cmocka_unit_test(impossible_payloads_are_refused),
        cmocka_unit_test(tombstones_with_values_are_refused),
        cmocka_unit_test(spoilt_payloads_are_refused_or_sound),
        cmocka_unit_test(batch_of_a_slab_holds_the_same),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(newest_write_of_a_position_comes_first),
        cmocka_unit_test(tombstones_come_before_what_they_cover),
        cmocka_unit_test(empty_memtable_has_nothing),
        cmocka_unit_test(facts_tell_what_was_inserted),
        cmocka_unit_test(random_entries_stand_in_order),
        cmocka_unit_test(order_holds_whatever_the_rows_before_had_in_common),
        cmocka_unit_test(a_memtable_of_one_long_row_gives_a_prefix_that_fits),
        cmocka_unit_test(readers_see_order_and_all_that_was_there),
        cmocka_unit_test(seek_is_not_misled_by_an_insert_before_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
