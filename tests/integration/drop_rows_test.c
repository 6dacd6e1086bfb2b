/*
 * Drops of rows through the client library: R-TAB-17 to R-TAB-19. Exactly the rows of a prefix go,
 * across tablets, through restarts and crashes; what is written afterwards stays; and writers that
 * run meanwhile lose nothing that they began after the drop's answer.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/loopback.h"
#include "tests/support/model_service.h"

struct fixture {
    struct loopback loopback;
    struct cellar_call call;
};

#define VIEW(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* Keys on both sides of every prefix that is dropped below. */
static const struct cellar_view keys[] = {
    VIEW("a"),          VIEW("a\0"),       VIEW("a\xff"), VIEW("a\xff\xff"), VIEW("ab"),
    VIEW("abc"),        VIEW("abcd"),      VIEW("ac"),    VIEW("b"),         VIEW("user"),
    VIEW("user#"),      VIEW("user#1"),    VIEW("usf"),   VIEW("\xff"),      VIEW("\xff\xff"),
    VIEW("\xff\xff\0"), VIEW("\xff\xffz"),
};

#define KEY_COUNT CELLAR_ARRAY_COUNT(keys)

/* A server with the table `t`: family f, and tablets that begin within prefixes and at them. */
static int setup(void **state)
{
    struct svc_options options;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct cellar_schema *schema = cellar_schema_new();
    assert_non_null(fixture);
    cellar_log_level_set(CELLAR_LOG_WARN);
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    loopback_open(&fixture->loopback, &options);
    cellar_schema_family(schema, "f", NULL);
    cellar_schema_split(schema, cellar_text("ab"));
    cellar_schema_split(schema, cellar_text("abcc"));
    cellar_schema_split(schema, cellar_text("user#"));
    cellar_schema_split(schema, cellar_text("\xff\xff"));
    assert_int_equal(
        cellar_table_create(fixture->loopback.client, "t", schema, &fixture->call, NULL),
        CELLAR_E_OK);
    cellar_schema_free(schema);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    loopback_close(&fixture->loopback);
    free(fixture);
    return 0;
}

static enum cellar_code put(struct cellar_client *client, struct cellar_view row)
{
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", cellar_text("q"), 1000, cellar_text("v"));
    enum cellar_code code = cellar_mutate_row(client, "t", row, list, NULL);
    cellar_mutations_free(list);
    return code;
}

static bool has_prefix(struct cellar_view key, struct cellar_view prefix)
{
    return key.bytes >= prefix.bytes && memcmp(key.data, prefix.data, prefix.bytes) == 0;
}

/* True when the table shows that row. */
static bool is_there(struct fixture *fixture, struct cellar_view key)
{
    struct cellar_rows *rows = NULL;
    assert_int_equal(cellar_get_row(fixture->loopback.client, "t", key, &fixture->call, &rows),
                     CELLAR_E_OK);
    size_t count = cellar_rows_count(rows);
    cellar_rows_free(rows);
    return count == 1;
}

static size_t rows_count(struct fixture *fixture)
{
    struct cellar_read *read = cellar_read_new();
    struct cellar_rows *rows = NULL;
    cellar_read_keys_only(read);
    assert_int_equal(cellar_get(fixture->loopback.client, "t", read, &fixture->call, &rows),
                     CELLAR_E_OK);
    size_t count = cellar_rows_count(rows);
    cellar_rows_free(rows);
    cellar_read_free(read);
    return count;
}

/* The keys that do not begin with the prefix are there, the others are not; by key and by scan. */
static void expect_without(struct fixture *fixture, struct cellar_view prefix)
{
    size_t left = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        bool is_left = !has_prefix(keys[i], prefix);
        if (is_there(fixture, keys[i]) != is_left) {
            fail_msg("key %zu is %s", i, is_left ? "gone" : "there");
        }
        left += is_left ? 1 : 0;
    }
    assert_int_equal(rows_count(fixture), left);
}

static void fill(struct fixture *fixture)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        assert_int_equal(put(fixture->loopback.client, keys[i]), CELLAR_E_OK);
    }
}

/* ---- which rows ------------------------------------------------------------------------------ */

static void r_tab_17_exactly_the_rows_of_a_prefix_go(void **state)
{
    struct fixture *fixture = *state;
    static const struct cellar_view prefixes[] = {VIEW("a"),      VIEW("ab"),     VIEW("abc"),
                                                  VIEW("a\xff"),  VIEW("a\0"),    VIEW("user#"),
                                                  VIEW("user#1"), VIEW("\xff"),   VIEW("\xff\xff"),
                                                  VIEW("u"),      VIEW("nothing")};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(prefixes); i++) {
        fill(fixture);
        if (i % 2 == 1) {
            loopback_restart(&fixture->loopback, false); /* they are on disk when they go */
        }
        assert_int_equal(
            cellar_rows_drop(fixture->loopback.client, "t", prefixes[i], &fixture->call),
            CELLAR_E_OK);
        expect_without(fixture, prefixes[i]);
        loopback_restart(&fixture->loopback, i % 3 != 0);
        expect_without(fixture, prefixes[i]);
    }
}

static void r_tab_17_what_is_written_afterwards_stays(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned pass = 0; pass < 4; pass++) {
        fill(fixture);
        assert_int_equal(
            cellar_rows_drop(fixture->loopback.client, "t", cellar_text("a"), &fixture->call),
            CELLAR_E_OK);
        assert_int_equal(put(fixture->loopback.client, cellar_text("abc")), CELLAR_E_OK);
        assert_true(is_there(fixture, cellar_text("abc")));
        assert_false(is_there(fixture, cellar_text("ab")));
        loopback_restart(&fixture->loopback, pass % 2 == 0);
        assert_true(is_there(fixture, cellar_text("abc")));
        assert_false(is_there(fixture, cellar_text("ab")));
        assert_true(is_there(fixture, cellar_text("b")));
        loopback_restart(&fixture->loopback, pass % 2 == 1);
        assert_true(is_there(fixture, cellar_text("abc")));
        assert_false(is_there(fixture, cellar_text("abcd")));
    }
}

static void r_tab_18_a_drop_without_a_target_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t long_prefix[4097] = {'a'};
    struct cellar_client *client = fixture->loopback.client;
    fill(fixture);
    assert_int_equal(cellar_rows_drop(client, "t", cellar_text(""), &fixture->call),
                     CELLAR_E_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture->call.failure.text, "to drop all rows, say so with 'all'"));
    assert_int_equal(cellar_rows_drop(client, "t", cellar_view_of(long_prefix, sizeof long_prefix),
                                      &fixture->call),
                     CELLAR_E_INVALID_ARGUMENT);
    assert_non_null(strstr(fixture->call.failure.text, "4097"));
    assert_int_equal(
        cellar_rows_drop(client, "t", cellar_view_of(long_prefix, 4096), &fixture->call),
        CELLAR_E_OK);
    assert_int_equal(cellar_rows_drop(client, "nope", cellar_text("a"), &fixture->call),
                     CELLAR_E_NOT_FOUND);
    assert_int_equal(cellar_table_truncate(client, "nope", &fixture->call), CELLAR_E_NOT_FOUND);
    assert_non_null(
        strstr(fixture->call.failure.text, "projects/default/instances/default/tables/nope"));
    assert_int_equal(rows_count(fixture), KEY_COUNT);
}

static void r_tab_19_truncating_removes_all_rows_and_keeps_the_schema(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_table_info *info = NULL;
    for (unsigned pass = 0; pass < 4; pass++) {
        fill(fixture);
        if (pass % 2 == 1) {
            loopback_restart(&fixture->loopback, false);
        }
        assert_int_equal(cellar_table_truncate(fixture->loopback.client, "t", &fixture->call),
                         CELLAR_E_OK);
        assert_int_equal(rows_count(fixture), 0);
        loopback_restart(&fixture->loopback, pass >= 2);
        assert_int_equal(rows_count(fixture), 0);
        assert_int_equal(
            cellar_table_describe(fixture->loopback.client, "t", &fixture->call, &info),
            CELLAR_E_OK);
        assert_int_equal(info->tablet_count, 5);
        assert_int_equal(info->family_count, 1);
        assert_int_equal(info->schema_version, 1);
        cellar_table_info_free(info);
    }
}

/* ---- beside others --------------------------------------------------------------------------- */

/* Writes row after row of a prefix; numbers are published as they begin and end. */
struct writer {
    struct cellar_client *client;
    _Atomic bool is_over;
    _Atomic unsigned begun; /* rows whose write was begun */
    _Atomic unsigned ended; /* rows whose write was acknowledged */
    enum cellar_code failed;
};

static struct cellar_view row_name(char text[16], unsigned number)
{
    int bytes = snprintf(text, 16, "w%c%06u", number % 2 == 0 ? 'a' : 'z', number);
    return cellar_view_of(text, (size_t)bytes);
}

static void *writer_run(void *context)
{
    struct writer *writer = context;
    char text[16];
    for (unsigned number = 0; !atomic_load(&writer->is_over); number++) {
        atomic_store(&writer->begun, number + 1);
        enum cellar_code code = put(writer->client, row_name(text, number));
        if (code != CELLAR_E_OK) {
            writer->failed = code;
            break;
        }
        atomic_store(&writer->ended, number + 1);
    }
    return NULL;
}

static void writes_that_begin_after_the_answer_are_kept(void **state)
{
    struct fixture *fixture = *state;
    struct writer writer = {.client = fixture->loopback.client};
    pthread_t thread;
    char text[16];
    unsigned gone = 0; /* rows below were acknowledged before the last drop */
    unsigned kept = 0; /* rows from here on were begun after it */
    assert_int_equal(put(fixture->loopback.client, cellar_text("x")), CELLAR_E_OK);
    assert_int_equal(pthread_create(&thread, NULL, writer_run, &writer), 0);
    for (unsigned round = 0; round < 20 || gone < 100; round++) {
        assert_true(round < 1000000);
        gone = atomic_load(&writer.ended);
        assert_int_equal(
            cellar_rows_drop(fixture->loopback.client, "t", cellar_text("w"), &fixture->call),
            CELLAR_E_OK);
        kept = atomic_load(&writer.begun);
    }
    while (atomic_load(&writer.ended) < kept + 20) {
        (void)is_there(fixture, cellar_text("x")); /* the writer goes on meanwhile */
    }
    atomic_store(&writer.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(writer.failed, CELLAR_E_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned number = 0; number < atomic_load(&writer.ended); number++) {
            bool is_shown = is_there(fixture, row_name(text, number));
            if ((number < gone && is_shown) || (number >= kept && !is_shown)) {
                fail_msg("row %u is %s; gone below %u, kept from %u", number,
                         is_shown ? "there" : "gone", gone, kept);
            }
        }
        assert_true(is_there(fixture, cellar_text("x")));
        loopback_restart(&fixture->loopback, true);
    }
}

static void a_scan_goes_on_while_its_rows_are_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    size_t count = 0;
    struct cellar_read *read = cellar_read_new();
    fill(fixture);
    assert_int_equal(cellar_scan_open(fixture->loopback.client, "t", read, &fixture->call, &scan),
                     CELLAR_E_OK);
    assert_true(cellar_scan_next(scan, &row));
    assert_int_equal(cellar_table_truncate(fixture->loopback.client, "t", &fixture->call),
                     CELLAR_E_OK);
    while (cellar_scan_next(scan, &row)) {
        count++;
    }
    assert_int_equal(cellar_scan_close(scan, &fixture->call), CELLAR_E_OK);
    assert_in_range(count, 0, KEY_COUNT - 1);
    assert_int_equal(rows_count(fixture), 0);
    cellar_read_free(read);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(r_tab_17_exactly_the_rows_of_a_prefix_go),
        TEST(r_tab_17_what_is_written_afterwards_stays),
        TEST(r_tab_18_a_drop_without_a_target_changes_nothing),
        TEST(r_tab_19_truncating_removes_all_rows_and_keeps_the_schema),
        TEST(writes_that_begin_after_the_answer_are_kept),
        TEST(a_scan_goes_on_while_its_rows_are_dropped),
    };
    return cmocka_run_group_tests_name("drop_rows", tests, NULL, NULL);
}
