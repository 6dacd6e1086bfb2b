/*
 * check_pages: files that LMDB wrote are sound and hold what was put, every damaged field that LMDB
 * relies on is told with its page, and no bytes end the process.
 */
#include "server/storage/check_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define PAGE STORE_CHECK_PAGE_BYTES
#define ITEM_COUNT 400u

/* An environment's file, as it was made and as it is now. */
struct fixture {
    char directory[256];
    char path[300];
    uint8_t *data;
    size_t bytes;
    uint8_t *sound; /* a copy of data as made */
};

/* What one reading of a file told. */
struct reading {
    struct store_check_pages pages;
    struct store_check_tree cells;
    bool has_cells;
    uint64_t entry_count;
    uint64_t fault_count;
    uint64_t lost_count;
    struct store_check_fault fault; /* the first one */
    char why[256];
};

static size_t item_key(unsigned index, char *key)
{
    return (size_t)snprintf(key, 32, "row-%05u", index);
}

/* Items of many sizes, some overwritten by smaller ones, some removed. */
static void items_put(struct store_env *env, unsigned from, unsigned to, size_t bytes_max)
{
    struct store_env_txn txn;
    uint8_t *value = calloc(1, bytes_max + 1);
    assert_non_null(value);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = from; i < to; i++) {
        char key[32];
        size_t bytes = i % 7 == 0 ? bytes_max : i % 97;
        (void)store_env_put(&txn, cellar_slice_make(key, item_key(i, key)),
                            cellar_slice_make(value, bytes));
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    free(value);
}

static void fixture_begin(struct fixture *fixture)
{
    test_disk_fast(true);
    test_temp_dir(fixture->directory, sizeof fixture->directory);
    struct store_env *env = test_env_make(fixture->directory, TEST_MAP_BYTES);
    items_put(env, 0, ITEM_COUNT, 30000);
    items_put(env, 0, ITEM_COUNT / 2, 9000);
    items_put(env, ITEM_COUNT / 2, ITEM_COUNT, 20000);
    store_env_close(env);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/env/data.mdb", fixture->directory);
    fixture->data = test_file_read(fixture->path, &fixture->bytes);
    fixture->sound = test_file_read(fixture->path, &fixture->bytes);
}

static void fixture_end(struct fixture *fixture)
{
    free(fixture->data);
    free(fixture->sound);
    test_remove_tree(fixture->directory);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void fault_note(void *context, const struct store_check_fault *fault)
{
    struct reading *reading = context;
    if (reading->fault_count++ == 0) {
        reading->fault = *fault;
        (void)snprintf(reading->why, sizeof reading->why, "%s", fault->why);
    }
}

static enum cellar_status entry_count(void *context, const struct store_check_entry *entry)
{
    struct reading *reading = context;
    assert_true(entry->key.bytes > 0);
    reading->entry_count++;
    return CELLAR_OK;
}

static enum cellar_status walk(struct reading *reading, const struct store_check_tree *tree,
                               enum cellar_status (*visit)(void *,
                                                           const struct store_check_entry *))
{
    struct store_check_walk walk = {.pages = &reading->pages,
                                    .tree = tree,
                                    .is_first = true,
                                    .context = reading,
                                    .visit = visit};
    return store_check_walk(&walk);
}

static enum cellar_status tree_take(void *context, const struct store_check_entry *entry)
{
    struct reading *reading = context;
    struct store_check_tree tree;
    if (!store_check_tree_decode(entry, &tree)) {
        return CELLAR_OK;
    }
    if (cellar_slice_equal(entry->key, cellar_slice_text("cells"))) {
        reading->cells = tree;
        reading->has_cells = true;
        return CELLAR_OK;
    }
    return walk(reading, &tree, entry_count);
}

/* Reads all databases of a file and its free list. */
static enum cellar_status file_read(struct reading *reading, const char *path)
{
    memset(reading, 0, sizeof *reading);
    reading->pages.context = reading;
    reading->pages.fault = fault_note;
    enum cellar_status status = store_check_pages_open(&reading->pages, path);
    if (status == CELLAR_OK) {
        status = walk(reading, &reading->pages.main_tree, tree_take);
    }
    reading->entry_count = 0;
    if (status == CELLAR_OK && reading->has_cells) {
        status = walk(reading, &reading->cells, entry_count);
    }
    if (status == CELLAR_OK && reading->fault_count == 0) {
        status = store_check_free_pages(&reading->pages, &reading->lost_count);
    }
    store_check_pages_close(&reading->pages);
    return status;
}

/* Writes the bytes of now, reads them, and puts the sound ones back. */
static void spoiled_read(struct fixture *fixture, struct reading *reading)
{
    test_file_write(fixture->path, fixture->data, fixture->bytes);
    (void)file_read(reading, fixture->path);
    memcpy(fixture->data, fixture->sound, fixture->bytes);
}

/* The newest meta page. */
static uint8_t *meta_get(struct fixture *fixture)
{
    bool is_second =
        cellar_get_u64le(fixture->data + PAGE + 144) > cellar_get_u64le(fixture->data + 144);
    return fixture->data + (is_second ? PAGE : 0);
}

/* ---- sound files ----------------------------------------------------------------------------- */

static void file_of_lmdb_is_sound(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading reading;
    fixture_begin(&fixture);
    assert_int_equal(file_read(&reading, fixture.path), CELLAR_OK);
    assert_int_equal(reading.fault_count, 0);
    assert_true(reading.has_cells);
    assert_int_equal(reading.entry_count, ITEM_COUNT);
    assert_int_equal(reading.lost_count, 0);
    assert_true(reading.cells.depth >= 2 && reading.cells.overflow_page_count > 100);
    assert_true(reading.pages.free_tree.entry_count > 0);
    fixture_end(&fixture);
}

static enum cellar_status key_keep(void *context, const struct store_check_entry *entry)
{
    struct cellar_buffer *keys = context;
    CELLAR_TRY(cellar_buffer_append(keys, entry->key.data, entry->key.bytes));
    return cellar_buffer_append(keys, " ", 1);
}

static void walk_of_a_range_visits_it_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading reading;
    struct cellar_buffer keys = {0};
    fixture_begin(&fixture);
    assert_int_equal(file_read(&reading, fixture.path), CELLAR_OK);
    assert_int_equal(store_check_pages_open(&reading.pages, fixture.path), CELLAR_OK);
    struct store_check_walk range = {.pages = &reading.pages,
                                     .tree = &reading.cells,
                                     .low = cellar_slice_text("row-00198"),
                                     .high = cellar_slice_text("row-00201"),
                                     .context = &keys,
                                     .visit = key_keep};
    assert_int_equal(store_check_walk(&range), CELLAR_OK);
    assert_int_equal(keys.bytes, 30);
    assert_memory_equal(keys.data, "row-00198 row-00199 row-00200 ", 30);
    assert_true(range.seen.leaf_page_count <= 3);
    store_check_pages_close(&reading.pages);
    cellar_buffer_fini(&keys);
    fixture_end(&fixture);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void damaged_meta_pages_are_told(void **state)
{
    (void)state;
    static const struct {
        size_t offset; /* in the newest meta page */
        const char *why;
    } cases[] = {
        {0, "this is no meta page"},
        {10, "this is no meta page"},
        {16, "not of an LMDB file"},
        {20, "not of an LMDB file"},
        {24, "another page size"},
        {41, "another page size"},
        {44, "another page size"},
        {38, NULL}, /* the map's size: smaller or larger, which the state decides */
        {40 + 6, "depth or root"},
        {88 + 6, "a database"},
        {88 + 32, "a database has"},
        {142, "pages in a map"},
        {144, "belongs to the other one"},
        {145, "do not follow each other"},
    };
    struct fixture fixture;
    struct reading reading;
    fixture_begin(&fixture);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        meta_get(&fixture)[cases[i].offset] ^= 0x01;
        spoiled_read(&fixture, &reading);
        if (cases[i].why != NULL && strstr(reading.why, cases[i].why) == NULL) {
            fail_msg("offset %zu: \"%s\" instead of \"%s\"", cases[i].offset, reading.why,
                     cases[i].why);
        }
    }
    fixture_end(&fixture);
}

/* The root page of the cells, which is a branch. */
static uint8_t *root_get(struct fixture *fixture, const struct reading *sound)
{
    assert_true(sound->cells.root < fixture->bytes / PAGE);
    return fixture->data + sound->cells.root * PAGE;
}

static void damaged_branch_is_told_with_its_keys(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading sound;
    struct reading reading;
    static const struct {
        size_t offset;
        const char *why;
    } cases[] = {
        {0, "carries another number"},     {10, "of another kind"},
        {11, "of another kind"},           {12, "free space are impossible"},
        {13, "free space are impossible"}, {14, "free space are impossible"},
    };
    fixture_begin(&fixture);
    assert_int_equal(file_read(&sound, fixture.path), CELLAR_OK);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        root_get(&fixture, &sound)[cases[i].offset] ^= cases[i].offset == 13 ? 0x40 : 0x01;
        spoiled_read(&fixture, &reading);
        assert_non_null(strstr(reading.why, cases[i].why));
        assert_int_equal(reading.fault.offset, sound.cells.root * PAGE);
        assert_true(reading.fault.has_keys && reading.fault.low.bytes == 0);
    }
    uint8_t *root = root_get(&fixture, &sound);
    uint8_t *node = root + cellar_get_u16le(root + 18); /* of the second child */
    node[8] ^= 0x40;                                    /* its key's first byte */
    spoiled_read(&fixture, &reading);
    assert_true(strstr(reading.why, "order") != NULL || strstr(reading.why, "range") != NULL);
    root = root_get(&fixture, &sound);
    uint16_t second = cellar_get_u16le(root + 18);
    cellar_put_u16le(root + 18, cellar_get_u16le(root + 20));
    cellar_put_u16le(root + 20, second); /* two children changed places */
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "keys are out of order"));
    root = root_get(&fixture, &sound);
    cellar_put_u16le(root + 16, cellar_get_u16le(root + 18)); /* two pointers to one node */
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "overlap or leave gaps"));
    fixture_end(&fixture);
}

static void child_that_leads_nowhere_is_told_and_stepped_over(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading sound;
    struct reading reading;
    fixture_begin(&fixture);
    assert_int_equal(file_read(&sound, fixture.path), CELLAR_OK);
    uint8_t *root = root_get(&fixture, &sound);
    uint32_t at = cellar_get_u16le(root + 18);
    cellar_put_u32le(root + at, 0x7FFFFFFF);
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "there is no page of that number"));
    assert_int_equal(reading.fault.offset, sound.cells.root * PAGE + at);
    assert_int_equal(reading.fault_count, 1);
    assert_true(reading.entry_count > 0 && reading.entry_count < ITEM_COUNT);
    root = root_get(&fixture, &sound);
    cellar_put_u32le(root + at, (uint32_t)sound.cells.root); /* to the root itself */
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "used twice"));
    fixture_end(&fixture);
}

static void file_cut_off_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading reading;
    fixture_begin(&fixture);
    for (size_t bytes = 0; bytes < fixture.bytes; bytes += fixture.bytes / 13 + 100) {
        test_file_write(fixture.path, fixture.sound, bytes);
        (void)file_read(&reading, fixture.path);
        assert_true(reading.fault_count > 0);
    }
    assert_int_equal(unlink(fixture.path), 0);
    assert_int_equal(file_read(&reading, fixture.path), CELLAR_IO_ERROR);
    assert_non_null(strstr(reading.why, "is missing"));
    fixture_end(&fixture);
}

static void free_list_is_held_against_the_pages_in_use(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading sound;
    struct reading reading;
    fixture_begin(&fixture);
    assert_int_equal(file_read(&sound, fixture.path), CELLAR_OK);
    uint64_t root = sound.pages.free_tree.root;
    assert_int_equal(sound.pages.free_tree.depth, 1);
    const uint8_t *page = fixture.data + root * PAGE;
    size_t at = root * PAGE + cellar_get_u16le(page + 16) + 8 + 8; /* behind header and key */
    bool is_outside = (page[cellar_get_u16le(page + 16) + 4] & 1) != 0;
    at = is_outside ? cellar_get_u64le(fixture.data + at) * PAGE + 16 : at;
    assert_true(cellar_get_u64le(fixture.data + at) > 0);
    cellar_put_u64le(fixture.data + at + 8, sound.cells.root);
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "names a page that is in use"));
    cellar_put_u64le(fixture.data + at + 8, UINT64_C(1) << 40);
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "names a page that does not exist"));
    cellar_put_u64le(fixture.data + at, UINT64_C(1) << 50);
    spoiled_read(&fixture, &reading);
    assert_non_null(strstr(reading.why, "an entry of the free list is damaged"));
    cellar_put_u64le(fixture.data + at, cellar_get_u64le(fixture.data + at) - 1);
    spoiled_read(&fixture, &reading);
    assert_int_equal(reading.fault_count, 0);
    assert_int_equal(reading.lost_count, 1);
    fixture_end(&fixture);
}

static void no_bytes_end_the_process(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reading reading;
    struct test_random random = {test_seed("check_pages")};
    fixture_begin(&fixture);
    for (unsigned round = 0; round < 60; round++) {
        size_t count = 1 + (size_t)test_random_below(&random, 400);
        for (size_t i = 0; i < count; i++) {
            size_t page = (size_t)test_random_below(&random, fixture.bytes / PAGE);
            size_t at = page * PAGE + (size_t)test_random_below(&random, 64);
            fixture.data[at] ^= (uint8_t)(1u << test_random_below(&random, 8));
        }
        spoiled_read(&fixture, &reading);
        assert_true(count < 300 || reading.fault_count > 0);
    }
    fixture_end(&fixture);
}

static enum cellar_status read_run(void *context)
{
    struct reading reading;
    return file_read(&reading, context);
}

static void out_of_memory_leaves_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture);
    assert_true(test_out_of_memory_loop(read_run, fixture.path) >= 5);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_of_lmdb_is_sound),
        cmocka_unit_test(walk_of_a_range_visits_it_alone),
        cmocka_unit_test(damaged_meta_pages_are_told),
        cmocka_unit_test(damaged_branch_is_told_with_its_keys),
        cmocka_unit_test(child_that_leads_nowhere_is_told_and_stepped_over),
        cmocka_unit_test(file_cut_off_is_told),
        cmocka_unit_test(free_list_is_held_against_the_pages_in_use),
        cmocka_unit_test(no_bytes_end_the_process),
        cmocka_unit_test(out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
