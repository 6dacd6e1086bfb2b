/*
 * env_guard: environments whose pages are spoilt, or whose file is cut off, while they are used.
 * Whatever the pages say: the process goes on, no item is given that was not put, keys rise.
 *
 * The environment holds rows of all sizes: plain items, some with pages of their own, keys by
 * layers, tokens, and a free list. Bits are flipped in pages of each kind in turn.
 */
#include "server/storage/env_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/check_fixture.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define PAGE 4096u
#define ITEM_COUNT 1500u
#define MAP_BYTES (UINT64_C(16) << 20)
#define ROUND_COUNT 40u /* a kind of page */
#define KEY_BYTES_MAX 900u
#define VALUE_BYTES_MAX 20000u
#define WRITE_COUNT 40u

/* What a lost environment leaves is left on purpose. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:mdb_\n";
}

/* ---- items ----------------------------------------------------------------------------------- */

/* `number` in seven characters, and behind it what makes each tenth key a long one. */
static struct cellar_slice key_make(unsigned number, uint8_t *to)
{
    memset(to, 'k', KEY_BYTES_MAX);
    (void)snprintf((char *)to, 8, "%07u", number);
    to[7] = 'k';
    return cellar_slice_make(to, number % 10 == 3 ? 260 + number % 600 : 8);
}

/* What is put in a turn, 1 or 2; 3 is what the tests write into spoilt environments. */
static struct cellar_slice value_make(unsigned number, uint8_t turn, uint8_t *to)
{
    size_t bytes = number % 50 == 7 ? 5000 + (number * 7) % 12000 : 10 + (number * 13) % 300;
    struct test_random random = {(uint64_t)number * 4 + turn};
    to[0] = turn;
    test_random_bytes(&random, to + 1, bytes - 1);
    return cellar_slice_make(to, bytes);
}

static void item_put(struct store_env_txn *txn, unsigned number, uint8_t turn)
{
    uint8_t key[KEY_BYTES_MAX];
    static uint8_t value[VALUE_BYTES_MAX];
    struct cellar_slice slice = key_make(number, key);
    if (number % 5 == 0) {
        (void)store_env_token_put(txn, slice, value_make(number, turn, value));
    }
    (void)store_env_put(txn, slice, value_make(number, turn, value));
}

static void item_delete(struct store_env_txn *txn, unsigned number)
{
    uint8_t key[KEY_BYTES_MAX];
    (void)store_env_delete(txn, key_make(number, key));
}

/* All items of the first turn, each third again in the second, each seventh deleted; and a free
 * list of many pages. */
static void environment_fill(const char *parent, uint8_t **image, size_t *bytes)
{
    char path[300];
    struct store_env_txn txn;
    struct store_env *env = test_env_make(parent, MAP_BYTES);
    for (uint8_t turn = 1; turn <= 2; turn++) {
        assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
        for (unsigned i = 0; i < ITEM_COUNT; i++) {
            if (turn == 1 || i % 3 == 0) {
                item_put(&txn, i, turn);
            }
            if (turn == 2 && i % 7 == 0) {
                item_delete(&txn, i);
            }
        }
        assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    }
    store_env_close(env);
    (void)snprintf(path, sizeof path, "%s/env/data.mdb", parent);
    *image = test_file_read(path, bytes);
}

/* ---- use ------------------------------------------------------------------------------------- */

struct use {
    struct store_env_txn *txn;
    struct store_env_txn write;
    struct store_env_cursor cursor;
    struct cellar_buffer last;
    struct test_random random;
    bool may_be_new; /* of the third turn */
    uint64_t good_count;
    uint64_t former_count; /* items that were deleted or overwritten since */
    uint64_t bad_count;    /* items whose checksum does not fit */
};

/* The value under the cursor, which its checksum calls sound, is one that was put under the key. A
 * page in whose place damage has put its own former version, still in the file, is sound in itself:
 * only count and sum of the state tell such. */
static void item_expect(struct use *use, struct cellar_slice key, struct cellar_slice value)
{
    uint8_t expected_key[KEY_BYTES_MAX];
    static uint8_t expected[VALUE_BYTES_MAX];
    char digits[8] = {0};
    assert_true(key.bytes >= 8 && value.bytes >= 8);
    memcpy(digits, key.data, 7);
    unsigned number = (unsigned)strtoul(digits, NULL, 10);
    assert_true(cellar_slice_equal(key, key_make(number, expected_key)));
    uint8_t turn = value.data[0];
    assert_in_range(turn, 1, use->may_be_new ? 3 : number % 3 == 0 ? 2 : 1);
    assert_true(cellar_slice_equal(value, value_make(number, turn, expected)));
    bool is_former = turn < 3 && (turn == (number % 3 == 0 ? 1 : 2) || number % 7 == 0);
    use->former_count += is_former && !use->may_be_new ? 1 : 0;
    use->good_count++;
}

/* Walks everything, and looks at some places from both sides. */
static enum cellar_status read_run(void *context)
{
    struct use *use = context;
    struct store_env_cursor *cursor = &use->cursor;
    uint8_t key[KEY_BYTES_MAX];
    CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_make(NULL, 0)));
    while (cursor->is_valid) {
        struct cellar_slice at = cellar_slice_of(&cursor->key);
        assert_true(cellar_slice_compare(cellar_slice_of(&use->last), at) < 0);
        cellar_buffer_clear(&use->last);
        CELLAR_TRY(cellar_buffer_append(&use->last, at.data, at.bytes));
        if (store_env_cursor_check(cursor) == CELLAR_OK) {
            item_expect(use, at, cursor->value);
        } else {
            use->bad_count++;
        }
        CELLAR_TRY(store_env_cursor_next(cursor));
    }
    for (unsigned i = 0; i < 40; i++) {
        struct cellar_slice wanted =
            key_make((unsigned)test_random_below(&use->random, ITEM_COUNT), key);
        CELLAR_TRY(store_env_cursor_seek_before(cursor, wanted));
        if (cursor->is_valid && store_env_cursor_check(cursor) == CELLAR_OK) {
            item_expect(use, cellar_slice_of(&cursor->key), cursor->value);
        }
        CELLAR_TRY(store_env_cursor_seek_floor(cursor, wanted));
    }
    return CELLAR_OK;
}

static enum cellar_status tokens_run(void *context)
{
    struct use *use = context;
    uint8_t key[KEY_BYTES_MAX];
    static uint8_t expected[VALUE_BYTES_MAX];
    for (unsigned i = 0; i < ITEM_COUNT; i += 35) {
        struct cellar_slice value;
        enum cellar_status status = store_env_token_get(use->txn, key_make(i, key), &value);
        if (status == CELLAR_OK && !use->may_be_new) {
            assert_true(cellar_slice_equal(value, value_make(i, i % 3 == 0 ? 2 : 1, expected)));
        }
        CELLAR_TRY(status == CELLAR_NOT_FOUND ? CELLAR_OK : status);
    }
    return CELLAR_OK;
}

/* @return the first failure of both */
static enum cellar_status environment_read(struct store_env *env, struct use *use)
{
    use->txn = NULL;
    CELLAR_TRY(store_env_read_begin(env, &use->txn));
    store_env_cursor_init(&use->cursor, use->txn);
    cellar_buffer_clear(&use->last);
    enum cellar_status status = store_map_guard(read_run, use);
    enum cellar_status tokens = store_map_guard(tokens_run, use);
    store_env_cursor_fini(&use->cursor);
    store_env_read_end(use->txn);
    return status == CELLAR_OK ? tokens : status;
}

static enum cellar_status write_run(void *context)
{
    struct use *use = context;
    for (unsigned i = 0; i < WRITE_COUNT; i++) {
        unsigned number = (unsigned)test_random_below(&use->random, ITEM_COUNT);
        if (test_random_below(&use->random, 3) == 0) {
            for (unsigned j = number; j < number + 8 && j < ITEM_COUNT; j++) {
                item_delete(&use->write, j);
            }
        } else {
            item_put(&use->write, number, 3);
        }
    }
    use->write.state.applied_lsn++;
    return use->write.status;
}

/* What every failure may be here: a damaged free list can look like a full map, or ask for more
 * memory than there is. */
static void status_expect(enum cellar_status status)
{
    if (status != CELLAR_OK && status != CELLAR_DATA_LOSS && status != CELLAR_RESOURCE_EXHAUSTED &&
        status != CELLAR_NO_MEMORY) {
        fail_msg("status %s", cellar_status_text(status));
    }
}

/* Opens, reads, writes, reads. @return whether anything was noticed */
static bool environment_use(const char *parent, struct use *use)
{
    char path[300];
    struct store_env *env = NULL;
    (void)snprintf(path, sizeof path, "%s/env", parent);
    enum cellar_status status = store_env_open(path, &env, NULL);
    status_expect(status);
    if (status != CELLAR_OK) {
        return true;
    }
    use->may_be_new = false;
    use->good_count = 0;
    use->bad_count = 0;
    status = environment_read(env, use);
    status_expect(status);
    enum cellar_status written = store_env_write(env, &use->write, write_run, use);
    status_expect(written);
    use->may_be_new = true;
    status_expect(environment_read(env, use));
    store_env_close(env);
    return status != CELLAR_OK || written != CELLAR_OK || use->bad_count > 0;
}

/* ---- spoiling -------------------------------------------------------------------------------- */

static const char *const kind_names[] = {"meta", "branch", "leaf", "overflow", "free list", "any"};

/* Whether a page is of a kind, by its flags. */
static bool page_is(const uint8_t *image, size_t page, size_t kind)
{
    static const uint16_t flags[] = {8, 1, 2, 4};
    uint64_t newest = cellar_get_u64le(image + 144) > cellar_get_u64le(image + PAGE + 144) ? 0 : 1;
    uint64_t free_root = cellar_get_u64le(image + newest * PAGE + 16 + 24 + 40);
    if (kind == 4) {
        return page == free_root;
    }
    return kind > 4 || cellar_get_u16le(image + page * PAGE + 10) == flags[kind];
}

static void kind_spoil(const char *parent, const uint8_t *image, size_t bytes, size_t kind,
                       struct use *use)
{
    char path[300];
    uint8_t *spoilt = malloc(bytes);
    unsigned noticed = 0;
    assert_non_null(spoilt);
    (void)snprintf(path, sizeof path, "%s/env/data.mdb", parent);
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        memcpy(spoilt, image, bytes);
        uint64_t pages = 1 + test_random_below(&use->random, 3);
        for (uint64_t i = 0; i < pages;) {
            size_t page = (size_t)test_random_below(&use->random, bytes / PAGE);
            if (!page_is(image, page, kind)) {
                continue;
            }
            i++;
            /* Mostly where the structure is: at the beginning. */
            bool is_head = test_random_below(&use->random, 2) == 0;
            uint64_t bits = 1 + test_random_below(&use->random, 4);
            for (uint64_t j = 0; j < bits; j++) {
                uint64_t bit = test_random_below(&use->random, (is_head ? 160 : PAGE) * 8);
                spoilt[page * PAGE + bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
        test_file_write(path, spoilt, bytes);
        noticed += environment_use(parent, use) ? 1 : 0;
    }
    print_message("%s: %u of %u noticed; %llu items of former pages\n", kind_names[kind], noticed,
                  ROUND_COUNT, (unsigned long long)use->former_count);
    use->former_count = 0;
    free(spoilt);
}

static void spoilt_pages_of_every_kind_end_nothing(void **state)
{
    (void)state;
    char parent[256];
    uint8_t *image = NULL;
    size_t bytes = 0;
    struct use use = {.random = {test_seed("env_guard")}};
    test_disk_fast(true);
    test_temp_dir(parent, sizeof parent);
    environment_fill(parent, &image, &bytes);
    store_map_guard_install();
    assert_false(environment_use(parent, &use)); /* sound as it is */
    assert_true(use.good_count > ITEM_COUNT);
    for (size_t kind = 0; kind < CELLAR_ARRAY_COUNT(kind_names); kind++) {
        kind_spoil(parent, image, bytes, kind, &use);
    }
    cellar_buffer_fini(&use.last);
    free(image);
    test_remove_tree(parent);
}

/* ---- files cut off --------------------------------------------------------------------------- */

/* An open environment whose file then loses all pages from `page` on. */
static struct store_env *environment_cut(char *parent, size_t parent_bytes, size_t page)
{
    char path[300];
    uint8_t *image = NULL;
    size_t bytes = 0;
    struct store_env *env = NULL;
    test_disk_fast(true);
    test_temp_dir(parent, parent_bytes);
    environment_fill(parent, &image, &bytes);
    free(image);
    store_map_guard_install();
    (void)snprintf(path, sizeof path, "%s/env", parent);
    assert_int_equal(store_env_open(path, &env, NULL), CELLAR_OK);
    (void)snprintf(path, sizeof path, "%s/env/data.mdb", parent);
    assert_int_equal(truncate(path, (off_t)(page * PAGE)), 0);
    return env;
}

static void file_cut_while_it_is_read_is_data_loss_for_good(void **state)
{
    (void)state;
    for (size_t page = 0; page < 200; page += 40) {
        char parent[256];
        struct use use = {.random = {page}};
        struct store_env *env = environment_cut(parent, sizeof parent, page);
        assert_false(store_env_is_damaged(env));
        assert_int_equal(environment_read(env, &use), CELLAR_DATA_LOSS);
        assert_true(store_env_is_damaged(env));
        struct store_env_txn *reader = NULL;
        assert_int_equal(store_env_read_begin(env, &reader), CELLAR_DATA_LOSS);
        assert_int_equal(store_env_write(env, &use.write, write_run, &use), CELLAR_DATA_LOSS);
        store_env_park(env);
        assert_int_equal(store_env_wake(env), CELLAR_DATA_LOSS);
        cellar_buffer_fini(&use.last);
        store_env_close(env);
        test_remove_tree(parent);
    }
}

static void file_cut_while_it_is_written_loses_the_environment(void **state)
{
    (void)state;
    char parent[256];
    char other[256];
    struct use use = {.random = {7}};
    struct store_env *env = environment_cut(parent, sizeof parent, 2);
    struct store_env *sound = environment_cut(other, sizeof other, 1000);
    assert_int_equal(store_env_write(env, &use.write, write_run, &use), CELLAR_DATA_LOSS);
    assert_true(store_env_is_damaged(env));
    assert_int_equal(store_env_write(env, &use.write, write_run, &use), CELLAR_DATA_LOSS);
    assert_int_equal(environment_read(env, &use), CELLAR_DATA_LOSS);
    assert_int_equal(store_env_write(sound, &use.write, write_run, &use), CELLAR_OK);
    use.may_be_new = true;
    assert_int_equal(environment_read(sound, &use), CELLAR_OK);
    store_env_close(env);
    store_env_close(sound);
    cellar_buffer_fini(&use.last);
    test_remove_tree(parent);
    test_remove_tree(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_cut_while_it_is_read_is_data_loss_for_good),
        cmocka_unit_test(file_cut_while_it_is_written_loses_the_environment),
        cmocka_unit_test(spoilt_pages_of_every_kind_end_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
