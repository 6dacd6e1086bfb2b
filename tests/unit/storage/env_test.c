/*
 * env: making, opening and reopening environments; the state they keep; files that are cut, spoilt
 * or of another version.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "tests/support/disk.h"
#include "tests/support/store_fixture.h"

#define PAGE 4096u

static void directory_make(char *path, size_t bytes)
{
    test_disk_fast(true);
    test_temp_dir(path, bytes);
}

static void path_of(const char *parent, const char *name, char *path, size_t bytes)
{
    assert_true((size_t)snprintf(path, bytes, "%s/env/%s", parent, name) < bytes);
}

static struct store_env *env_open(const char *parent)
{
    char path[300];
    struct store_env *env = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    path_of(parent, "", path, sizeof path);
    if (store_env_open(path, &env, &error) != CELLAR_OK) {
        fail_msg("store_env_open: %s", error.text);
    }
    return env;
}

static void open_gives(const char *parent, enum cellar_status status)
{
    char path[300];
    struct store_env *env = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    path_of(parent, "", path, sizeof path);
    assert_int_equal(store_env_open(path, &env, &error), status);
    assert_null(env);
    assert_int_equal(error.code, status);
    assert_true(error.text[0] != '\0');
}

static struct store_env_state state_of(struct store_env *env)
{
    struct store_env_txn *txn = NULL;
    assert_int_equal(store_env_read_begin(env, &txn), CELLAR_OK);
    struct store_env_state state = txn->state;
    store_env_read_end(txn);
    return state;
}

/* Puts `count` items k00000, k00001, ... with values of `bytes` bytes. */
static void items_put(struct store_env *env, unsigned count, size_t bytes)
{
    struct store_env_txn txn;
    uint8_t *value = malloc(bytes + 1);
    assert_non_null(value);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%05u", i);
        memset(value, (int)(i % 251), bytes);
        assert_int_equal(
            store_env_put(&txn, cellar_slice_text(key), cellar_slice_make(value, bytes)),
            CELLAR_OK);
    }
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    free(value);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void new_environment_has_its_state_and_no_item(void **state)
{
    (void)state;
    char parent[256];
    uint64_t count = 1;
    bool is_exact = false;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    struct store_env_state found = state_of(env);
    assert_int_equal(found.store_id, 7);
    assert_int_equal(found.generation, 3);
    assert_int_equal(found.log_id[2], 3);
    assert_int_equal(found.applied_lsn, 0);
    assert_int_equal(found.item_count, 0);
    assert_int_equal(found.layer_next, 1);
    assert_int_equal(found.map_bytes, TEST_MAP_BYTES);
    assert_int_equal(test_env_walk(env, &count, &is_exact), CELLAR_OK);
    assert_int_equal(count, 0);
    assert_true(is_exact);
    assert_in_range(store_env_used_percent(env), 0, 1);
    store_env_close(env);
    store_env_close(NULL);
    test_remove_tree(parent);
}

static void create_replaces_what_was_there(void **state)
{
    (void)state;
    char parent[256];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 100, 10);
    store_env_close(env);
    env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(state_of(env).item_count, 0);
    store_env_close(env);
    test_remove_tree(parent);
}

static void state_survives_with_what_was_committed(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn txn;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    txn.state.applied_lsn = 77;
    txn.state.server_time_us = 123456789;
    (void)store_env_put(&txn, cellar_slice_text("key"), cellar_slice_text("value"));
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    txn.state.applied_lsn = 99;
    (void)store_env_put(&txn, cellar_slice_text("other"), cellar_slice_text("value"));
    store_env_abort(&txn);
    for (int i = 0; i < 2; i++) {
        struct store_env_state found = state_of(env);
        assert_int_equal(found.applied_lsn, 77);
        assert_int_equal(found.server_time_us, 123456789);
        assert_int_equal(found.item_count, 1);
        assert_int_equal(found.map_bytes, TEST_MAP_BYTES);
        store_env_close(env);
        env = env_open(parent);
    }
    store_env_close(env);
    test_remove_tree(parent);
}

static void read_transaction_keeps_its_snapshot(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn *old = NULL;
    struct store_env_txn *new = NULL;
    struct store_env_cursor cursor;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 50, 10);
    assert_int_equal(store_env_read_begin(env, &old), CELLAR_OK);
    items_put(env, 100, 20);
    assert_int_equal(store_env_read_begin(env, &new), CELLAR_OK);
    assert_int_equal(old->state.item_count, 50);
    assert_int_equal(new->state.item_count, 100);
    struct store_env_txn *txns[] = {old, new};
    for (size_t i = 0; i < 2; i++) {
        size_t count = 0;
        store_env_cursor_init(&cursor, txns[i]);
        enum cellar_status status = store_env_cursor_seek(&cursor, cellar_slice_make(NULL, 0));
        for (; status == CELLAR_OK && cursor.is_valid; status = store_env_cursor_next(&cursor)) {
            assert_int_equal(cursor.value.bytes, i == 0 ? 10 : 20);
            count++;
        }
        assert_int_equal(status, CELLAR_OK);
        assert_int_equal(count, i == 0 ? 50 : 100);
        store_env_cursor_fini(&cursor);
        store_env_read_end(txns[i]);
    }
    store_env_read_end(NULL);
    store_env_close(env);
    test_remove_tree(parent);
}

static void many_readers_at_once_have_their_own_transactions(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn *txns[50];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(txns); i++) {
            assert_int_equal(store_env_read_begin(env, &txns[i]), CELLAR_OK);
            assert_true(i == 0 || txns[i] != txns[i - 1]);
        }
        for (size_t i = 0; i < CELLAR_ARRAY_COUNT(txns); i++) {
            store_env_read_end(txns[i]);
        }
    }
    store_env_close(env);
    test_remove_tree(parent);
}

/* ---- reopening ------------------------------------------------------------------------------- */

static struct {
    struct store_env *env;
    _Atomic bool is_over;
    _Atomic uint64_t error_count;
    _Atomic uint64_t walk_count;
} crowd;

static void *reader_run(void *context)
{
    (void)context;
    do {
        uint64_t count = 0;
        bool is_exact = false;
        if (test_env_walk(crowd.env, &count, &is_exact) != CELLAR_OK || !is_exact ||
            count % 10 != 0) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
        (void)store_env_used_percent(crowd.env);
        atomic_fetch_add(&crowd.walk_count, 1);
    } while (!atomic_load(&crowd.is_over));
    return NULL;
}

static void reopening_does_not_disturb_readers(void **state)
{
    (void)state;
    char parent[256];
    pthread_t threads[3];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    crowd.env = env;
    atomic_store(&crowd.is_over, false);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, NULL), 0);
    }
    for (unsigned i = 1; i <= 60; i++) {
        items_put(env, i * 10, 100);
        assert_true(store_env_retained_bytes(env) > 0);
        store_env_park(env);
        assert_int_equal(store_env_retained_bytes(env), 0);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.error_count), 0);
    assert_true(atomic_load(&crowd.walk_count) > 0);
    assert_int_equal(state_of(env).item_count, 600);
    store_env_close(env);
    test_remove_tree(parent);
}

/* ---- readers beside commits ------------------------------------------------------------------ */

#define COMMIT_COUNT 6000u

/* Reads the item that each commit writes; the state must be of the same commit. */
static void *state_reader_run(void *context)
{
    (void)context;
    do {
        struct store_env_txn *txn = NULL;
        struct store_env_cursor cursor;
        if (store_env_read_begin(crowd.env, &txn) != CELLAR_OK) {
            atomic_fetch_add(&crowd.error_count, 1);
            continue;
        }
        store_env_cursor_init(&cursor, txn);
        if (store_env_cursor_seek(&cursor, cellar_slice_text("lsn")) != CELLAR_OK ||
            !cursor.is_valid || cellar_get_u64le(cursor.value.data) != txn->state.applied_lsn) {
            atomic_fetch_add(&crowd.error_count, 1);
        }
        store_env_cursor_fini(&cursor);
        store_env_read_end(txn);
        atomic_fetch_add(&crowd.walk_count, 1);
    } while (!atomic_load(&crowd.is_over));
    return NULL;
}

static void commit_lsn(struct store_env *env)
{
    uint8_t value[8];
    struct store_env_txn txn;
    assert_int_equal(store_env_write_begin(env, &txn), CELLAR_OK);
    cellar_put_u64le(value, ++txn.state.applied_lsn);
    assert_int_equal(store_env_put(&txn, cellar_slice_text("lsn"), cellar_slice_make(value, 8)),
                     CELLAR_OK);
    assert_int_equal(store_env_commit(&txn), CELLAR_OK);
}

static void a_reader_has_the_state_of_what_it_reads(void **state)
{
    (void)state;
    char parent[256];
    pthread_t threads[6];
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    memset(&crowd, 0, sizeof crowd);
    crowd.env = env;
    commit_lsn(env);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, state_reader_run, NULL), 0);
    }
    for (unsigned i = 0; i < COMMIT_COUNT; i++) {
        commit_lsn(env);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.error_count), 0);
    assert_true(atomic_load(&crowd.walk_count) > 0);
    store_env_close(env);
    test_remove_tree(parent);
}

static void a_parked_environment_opens_when_it_is_needed(void **state)
{
    (void)state;
    char parent[256];
    struct store_env_txn *reader = NULL;
    _Atomic uint32_t open_count = 0;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    store_env_count_by(env, &open_count);
    assert_int_equal(open_count, 1);
    items_put(env, 10, 10);
    assert_false(store_env_park_idle(env)); /* it was used */
    assert_int_equal(store_env_read_begin(env, &reader), CELLAR_OK);
    (void)store_env_park_idle(env);
    assert_false(store_env_park_idle(env)); /* it is in use */
    store_env_read_end(reader);
    assert_true(store_env_park_idle(env));
    assert_false(store_env_is_open(env));
    assert_int_equal(open_count, 0);
    assert_true(store_env_used_bytes(env) > 0); /* what is known stays known */
    assert_int_equal(state_of(env).item_count, 10);
    assert_true(store_env_is_open(env));
    assert_int_equal(open_count, 1);
    store_env_park(env);
    items_put(env, 20, 10);
    assert_int_equal(state_of(env).item_count, 20);
    store_env_close(env);
    assert_int_equal(open_count, 0);
    test_remove_tree(parent);
}

static void environment_that_cannot_reopen_fails_calls(void **state)
{
    (void)state;
    char parent[256];
    char data[300];
    char moved[300];
    struct store_env_txn *reader = NULL;
    struct store_env_txn writer;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 10, 10);
    path_of(parent, "", data, sizeof data);
    (void)snprintf(moved, sizeof moved, "%s/moved", parent);
    data[strlen(data) - 1] = '\0';
    assert_int_equal(rename(data, moved), 0);
    store_env_park(env);
    assert_int_equal(store_env_wake(env), CELLAR_IO_ERROR);
    assert_int_equal(store_env_read_begin(env, &reader), CELLAR_IO_ERROR);
    assert_int_equal(store_env_write_begin(env, &writer), CELLAR_IO_ERROR);
    assert_int_equal(store_env_used_percent(env), 0);
    assert_int_equal(rename(moved, data), 0);
    assert_int_equal(store_env_wake(env), CELLAR_OK);
    assert_int_equal(state_of(env).item_count, 10);
    store_env_close(env);
    test_remove_tree(parent);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* The data file in memory. */
struct image {
    char path[300];
    uint8_t *data;
    size_t bytes;
};

static void image_load(const char *parent, struct image *image)
{
    struct stat facts;
    path_of(parent, "data.mdb", image->path, sizeof image->path);
    int descriptor = open(image->path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(fstat(descriptor, &facts), 0);
    image->bytes = (size_t)facts.st_size;
    image->data = malloc(image->bytes);
    assert_non_null(image->data);
    assert_int_equal(pread(descriptor, image->data, image->bytes, 0), image->bytes);
    (void)close(descriptor);
}

static void image_store(const struct image *image, size_t bytes)
{
    int descriptor = open(image->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, image->data, bytes, 0), bytes);
    (void)close(descriptor);
}

static void missing_file_is_data_loss(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    directory_make(parent, sizeof parent);
    store_env_close(test_env_make(parent, TEST_MAP_BYTES));
    path_of(parent, "data.mdb", path, sizeof path);
    assert_int_equal(unlink(path), 0);
    open_gives(parent, CELLAR_DATA_LOSS);
    path_of(parent, "", path, sizeof path);
    test_remove_tree(path);
    open_gives(parent, CELLAR_DATA_LOSS);
    test_remove_tree(parent);
}

/* Opens and walks in a process of its own, which the cut file may end. @return its status, or -1
 * when a signal ended it */
static int walk_apart(const char *parent)
{
    char path[300];
    path_of(parent, "", path, sizeof path);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGBUS, SIG_DFL); /* cmocka's own handler would go on with the next test */
        (void)signal(SIGSEGV, SIG_DFL);
        struct store_env *env = NULL;
        uint64_t count = 0;
        bool is_exact = false;
        enum cellar_status status = store_env_open(path, &env, NULL);
        if (status == CELLAR_OK) {
            status = test_env_walk(env, &count, &is_exact);
        }
        _exit(status == CELLAR_OK && !is_exact ? 100 : (int)status);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void file_cut_before_its_roots_is_refused_at_open(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 500, 100); /* the roots come last in the file */
    store_env_close(env);
    image_load(parent, &image);
    assert_int_equal(walk_apart(parent), CELLAR_OK);
    for (size_t bytes = 0; bytes < image.bytes; bytes += bytes < 3 * PAGE ? 1024 : PAGE) {
        image_store(&image, bytes);
        assert_int_equal(walk_apart(parent), CELLAR_DATA_LOSS);
    }
    free(image.data);
    test_remove_tree(parent);
}

static void spoilt_meta_pages_are_data_loss_or_the_state_before(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 50, 100);
    items_put(env, 60, 100);
    store_env_close(env);
    image_load(parent, &image);
    memset(image.data, 0, 2 * PAGE);
    image_store(&image, image.bytes);
    open_gives(parent, CELLAR_DATA_LOSS);
    memset(image.data, 0xA5, 2 * PAGE);
    image_store(&image, image.bytes);
    open_gives(parent, CELLAR_DATA_LOSS);
    free(image.data);
    test_remove_tree(parent);
}

/* Where the state record stands in the file: found by the log's id in it. */
static size_t state_find(const struct image *image)
{
    static const uint8_t id[STORE_LOG_ID_BYTES] = {1, 2, 3};
    struct cellar_slice whole = cellar_slice_make(image->data, image->bytes);
    size_t found = 0;
    for (size_t at = 24; at + 104 <= whole.bytes; at++) {
        if (memcmp(whole.data + at, id, sizeof id) == 0 &&
            cellar_get_u32le(whole.data + at - 24) == cellar_crc32c(0, whole.data + at - 20, 100)) {
            found = at - 24;
            break;
        }
    }
    assert_true(found > 0);
    return found;
}

/* Every copy of the state record in the file: old ones may stand in free pages. */
static void states_change(struct image *image, size_t offset, uint8_t mask, bool is_sealed)
{
    static const uint8_t id[STORE_LOG_ID_BYTES] = {1, 2, 3};
    for (size_t at = 24; at + 80 <= image->bytes; at++) {
        if (memcmp(image->data + at, id, sizeof id) == 0) {
            uint8_t *record = image->data + at - 24;
            record[offset] ^= mask;
            if (is_sealed) {
                cellar_put_u32le(record, cellar_crc32c(0, record + 4, 100));
            }
        }
    }
}

static void spoilt_state_is_data_loss(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    directory_make(parent, sizeof parent);
    store_env_close(test_env_make(parent, TEST_MAP_BYTES));
    image_load(parent, &image);
    (void)state_find(&image);
    static const size_t offsets[] = {0, 3, 4, 8, 16, 40, 48, 56, 64, 72, 80, 100};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(offsets); i++) {
        states_change(&image, offsets[i], 0x04, false);
        image_store(&image, image.bytes);
        open_gives(parent, CELLAR_DATA_LOSS);
        states_change(&image, offsets[i], 0x04, false);
    }
    image_store(&image, image.bytes);
    store_env_close(env_open(parent));
    free(image.data);
    test_remove_tree(parent);
}

static void another_version_is_refused(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    directory_make(parent, sizeof parent);
    store_env_close(test_env_make(parent, TEST_MAP_BYTES));
    image_load(parent, &image);
    states_change(&image, 4, STORE_ENV_FORMAT_VERSION ^ 9, true);
    image_store(&image, image.bytes);
    open_gives(parent, CELLAR_FAILED_PRECONDITION);
    free(image.data);
    test_remove_tree(parent);
}

/* Numbers that no sound state has, under a good checksum. */
static void impossible_state_is_data_loss(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    directory_make(parent, sizeof parent);
    store_env_close(test_env_make(parent, TEST_MAP_BYTES));
    image_load(parent, &image);
    states_change(&image, 72, 1, true); /* the next layer is 0 */
    image_store(&image, image.bytes);
    open_gives(parent, CELLAR_DATA_LOSS);
    free(image.data);
    test_remove_tree(parent);
}

/* Stores the image with one bit of an item flipped, counted from its key's first byte, wherever a
 * copy stands: pages hold remains of earlier ones. */
static void item_flip(struct image *image, unsigned number, size_t bit)
{
    size_t places[64];
    size_t count = 0;
    char key[16];
    uint8_t value[64];
    (void)snprintf(key, sizeof key, "k%05u", number);
    memset(value, (int)(number % 251), sizeof value);
    for (size_t at = 0; at + 74 <= image->bytes && count < CELLAR_ARRAY_COUNT(places); at++) {
        if (memcmp(image->data + at, key, 6) == 0 &&
            memcmp(image->data + at + 10, value, sizeof value) == 0) {
            places[count++] = at + bit / 8;
        }
    }
    assert_in_range(count, 1, CELLAR_ARRAY_COUNT(places) - 1);
    for (size_t i = 0; i < count; i++) {
        image->data[places[i]] ^= (uint8_t)(1u << bit % 8);
    }
    image_store(image, image->bytes);
    for (size_t i = 0; i < count; i++) {
        image->data[places[i]] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Flips single bits of values and of their checksums, one after the other. */
static void flipped_bits_of_items_are_noticed(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    struct test_random random = {test_seed("env")};
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 200, 64);
    store_env_close(env);
    image_load(parent, &image);
    for (int round = 0; round < 30; round++) {
        char key[16];
        struct cellar_buffer value = {0};
        unsigned number = (unsigned)test_random_below(&random, 200);
        (void)snprintf(key, sizeof key, "k%05u", number);
        item_flip(&image, number, 6 * 8 + (size_t)test_random_below(&random, (4 + 64) * 8));
        env = env_open(parent);
        assert_int_equal(test_env_get(env, cellar_slice_text(key), &value), CELLAR_DATA_LOSS);
        uint64_t count = 0;
        bool is_exact = false;
        assert_int_equal(test_env_walk(env, &count, &is_exact), CELLAR_DATA_LOSS);
        store_env_close(env);
        cellar_buffer_fini(&value);
    }
    free(image.data);
    test_remove_tree(parent);
}

/* Flips bits of keys: what is found may be less, but never another value, and the counts tell. */
static void flipped_bits_of_keys_give_no_wrong_value(void **state)
{
    (void)state;
    char parent[256];
    struct image image;
    struct test_random random = {test_seed("env")};
    directory_make(parent, sizeof parent);
    struct store_env *env = test_env_make(parent, TEST_MAP_BYTES);
    items_put(env, 200, 64);
    store_env_close(env);
    image_load(parent, &image);
    for (int round = 0; round < 30; round++) {
        char key[16];
        struct cellar_buffer value = {0};
        item_flip(&image, (unsigned)test_random_below(&random, 200),
                  (size_t)test_random_below(&random, 6 * 8));
        env = env_open(parent);
        for (unsigned i = 0; i < 200; i++) {
            (void)snprintf(key, sizeof key, "k%05u", i);
            enum cellar_status status = test_env_get(env, cellar_slice_text(key), &value);
            assert_true(status == CELLAR_OK || status == CELLAR_DATA_LOSS ||
                        status == CELLAR_NOT_FOUND);
            assert_true(status != CELLAR_OK || (value.bytes == 64 && value.data[0] == i % 251));
        }
        uint64_t count = 0;
        bool is_exact = false;
        enum cellar_status status = test_env_walk(env, &count, &is_exact);
        assert_true(status == CELLAR_DATA_LOSS || !is_exact);
        store_env_close(env);
        cellar_buffer_fini(&value);
    }
    free(image.data);
    test_remove_tree(parent);
}

/* ---- memory and disk ------------------------------------------------------------------------- */

static enum cellar_status life_run(void *context)
{
    const char *path = context;
    struct store_env *env = NULL;
    struct store_env_txn *txn = NULL;
    struct store_env_state state = {
        .store_id = 7, .generation = 3, .layer_next = 1, .map_bytes = TEST_MAP_BYTES};
    enum cellar_status status = store_env_create(path, &state, NULL);
    if (status == CELLAR_OK) {
        status = store_env_open(path, &env, NULL);
    }
    if (status == CELLAR_OK) {
        status = store_env_read_begin(env, &txn);
    }
    store_env_read_end(txn);
    store_env_close(env);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    directory_make(parent, sizeof parent);
    path_of(parent, "", path, sizeof path);
    path[strlen(path) - 1] = '\0';
    assert_true(test_out_of_memory_loop(life_run, path) >= 3);
    test_remove_tree(parent);
}

static void create_says_what_failed(void **state)
{
    (void)state;
    char parent[256];
    char path[300];
    struct cellar_error error;
    struct store_env_state found = {
        .store_id = 7, .generation = 3, .layer_next = 1, .map_bytes = TEST_MAP_BYTES};
    directory_make(parent, sizeof parent);
    path_of(parent, "", path, sizeof path);
    path[strlen(path) - 1] = '\0';
    for (int64_t good = 0; good < 3; good++) {
        cellar_error_clear(&error);
        test_disk_fail_syncs(good, EIO);
        assert_int_equal(store_env_create(path, &found, &error), CELLAR_IO_ERROR);
        test_disk_fail_syncs(-1, 0);
        assert_true(error.text[0] != '\0');
    }
    (void)snprintf(path, sizeof path, "%s/none/env", parent);
    assert_int_equal(store_env_create(path, &found, &error), CELLAR_IO_ERROR);
    test_remove_tree(parent);
}

static void every_code_of_lmdb_has_a_status(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum cellar_status status;
    } cases[] = {
        {MDB_SUCCESS, CELLAR_OK},
        {MDB_NOTFOUND, CELLAR_NOT_FOUND},
        {MDB_MAP_FULL, CELLAR_RESOURCE_EXHAUSTED},
        {MDB_READERS_FULL, CELLAR_RESOURCE_EXHAUSTED},
        {MDB_TXN_FULL, CELLAR_RESOURCE_EXHAUSTED},
        {ENOSPC, CELLAR_RESOURCE_EXHAUSTED},
        {ENOMEM, CELLAR_NO_MEMORY},
        {MDB_CORRUPTED, CELLAR_DATA_LOSS},
        {MDB_PAGE_NOTFOUND, CELLAR_DATA_LOSS},
        {MDB_INVALID, CELLAR_DATA_LOSS},
        {MDB_VERSION_MISMATCH, CELLAR_FAILED_PRECONDITION},
        {MDB_PANIC, CELLAR_IO_ERROR},
        {EIO, CELLAR_IO_ERROR},
        {EACCES, CELLAR_IO_ERROR},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(store_env_status(cases[i].code), cases[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_environment_has_its_state_and_no_item),
        cmocka_unit_test(create_replaces_what_was_there),
        cmocka_unit_test(state_survives_with_what_was_committed),
        cmocka_unit_test(read_transaction_keeps_its_snapshot),
        cmocka_unit_test(many_readers_at_once_have_their_own_transactions),
        cmocka_unit_test(reopening_does_not_disturb_readers),
        cmocka_unit_test(a_reader_has_the_state_of_what_it_reads),
        cmocka_unit_test(a_parked_environment_opens_when_it_is_needed),
        cmocka_unit_test(environment_that_cannot_reopen_fails_calls),
        cmocka_unit_test(missing_file_is_data_loss),
        cmocka_unit_test(file_cut_before_its_roots_is_refused_at_open),
        cmocka_unit_test(spoilt_meta_pages_are_data_loss_or_the_state_before),
        cmocka_unit_test(spoilt_state_is_data_loss),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(impossible_state_is_data_loss),
        cmocka_unit_test(flipped_bits_of_items_are_noticed),
        cmocka_unit_test(flipped_bits_of_keys_give_no_wrong_value),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(create_says_what_failed),
        cmocka_unit_test(every_code_of_lmdb_has_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
