/* Half-sent requests: the body grows whole, within its limit and the budget; a refused one holds
 * nothing. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#include "server/net/native/join.h"

static struct io_budget files;

static struct net_join *join_new(const char *directory, struct io_budget *budget,
                                 uint64_t bytes_max)
{
    io_budget_init(&files, 100000000);
    return net_join_new(&(struct net_join_limits){.memory_budget = budget,
                                                  .file_budget = &files,
                                                  .directory = directory,
                                                  .memory_bytes_max = NET_JOIN_MEMORY_BYTES_MAX,
                                                  .bytes_max = bytes_max});
}

static void join_appends_and_counts_against_the_budget(void **state)
{
    (void)state;
    struct io_budget budget;
    struct cellar_error error;
    io_budget_init(&budget, 1000000);
    struct net_join *join = join_new("/tmp", &budget, 200000);
    assert_non_null(join);
    assert_int_equal(net_join_append(join, cellar_slice_text("abc"), &error), CELLAR_OK);
    assert_int_equal(net_join_append(join, cellar_slice_text(""), &error), CELLAR_OK);
    assert_int_equal(net_join_append(join, cellar_slice_text("def"), &error), CELLAR_OK);
    assert_memory_equal(join->body.data, "abcdef", 6);
    assert_int_equal(io_budget_bytes(&budget), 65536);
    net_join_free(join);
    assert_int_equal(io_budget_bytes(&budget), 0);
}

static void join_says_when_a_request_is_too_long(void **state)
{
    (void)state;
    struct io_budget budget;
    struct cellar_error error;
    io_budget_init(&budget, 1000000);
    struct net_join *join = join_new("/tmp", &budget, 5);
    assert_int_equal(net_join_append(join, cellar_slice_text("abcde"), &error), CELLAR_OK);
    assert_int_equal(net_join_append(join, cellar_slice_text("f"), &error),
                     CELLAR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "at most 5 bytes"));
    assert_non_null(strstr(error.text, "at least 6"));
    net_join_refuse(join);
    assert_int_equal(io_budget_bytes(&budget), 0);
    assert_true(join->is_refused);
    net_join_free(join);
}

static void join_waits_for_the_budget_and_takes_the_same_payload_later(void **state)
{
    (void)state;
    struct io_budget budget;
    struct cellar_error error;
    io_budget_init(&budget, 100000);
    io_budget_charge(&budget, 50000);
    struct net_join *join = join_new("/tmp", &budget, 100000);
    assert_int_equal(net_join_append(join, cellar_slice_text("abc"), &error), CELLAR_UNAVAILABLE);
    assert_true(error.retry_delay_ms > 0);
    assert_int_equal(join->body.bytes, 0);
    io_budget_give(&budget, 50000);
    assert_int_equal(net_join_append(join, cellar_slice_text("abc"), &error), CELLAR_OK);
    net_join_free(join);
}

/* Above some megabytes the body is a file's map, whole and in order. */
static void join_keeps_a_large_body_in_a_file(void **state)
{
    (void)state;
    const size_t piece_bytes = 1000000;
    struct io_budget budget;
    struct cellar_error error;
    struct cellar_slice body;
    uint8_t *piece = malloc(piece_bytes);
    assert_non_null(piece);
    io_budget_init(&budget, 10000000);
    struct net_join *join = join_new("/tmp", &budget, 9000000);
    for (unsigned i = 0; i < 9; i++) {
        memset(piece, (int)i, piece_bytes);
        assert_int_equal(net_join_append(join, cellar_slice_make(piece, piece_bytes), &error),
                         CELLAR_OK);
        assert_int_equal(join->body.bytes > 0, i < 4);
    }
    assert_int_equal(net_join_append(join, cellar_slice_make(piece, 1), &error),
                     CELLAR_RESOURCE_EXHAUSTED);
    assert_int_equal(io_budget_bytes(&budget), 0);
    assert_int_equal(io_budget_bytes(&files), 9000000);
    assert_int_equal(net_join_body(join, &body, &error), CELLAR_OK);
    assert_true(net_join_is_mapped(join));
    assert_int_equal(body.bytes, 9 * piece_bytes);
    for (size_t at = 0; at < body.bytes; at += piece_bytes / 2) {
        assert_int_equal(body.data[at], at / piece_bytes);
    }
    net_join_free(join);
    assert_int_equal(io_budget_bytes(&files), 0);
    free(piece);
}

static void join_says_when_there_is_no_folder_for_a_large_body(void **state)
{
    (void)state;
    struct io_budget budget;
    struct cellar_error error;
    io_budget_init(&budget, 10000000);
    struct net_join *join = join_new("/no such folder", &budget, 9000000);
    uint8_t *piece = calloc(1, NET_JOIN_MEMORY_BYTES_MAX + 1);
    assert_non_null(piece);
    assert_int_equal(
        net_join_append(join, cellar_slice_make(piece, NET_JOIN_MEMORY_BYTES_MAX + 1), &error),
        CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "/no such folder"));
    net_join_refuse(join);
    assert_int_equal(io_budget_bytes(&budget), 0);
    net_join_free(join);
    free(piece);
}

static enum cellar_status make_and_append(void *context)
{
    struct io_budget *budget = context;
    struct cellar_error error;
    struct net_join *join = join_new("/tmp", budget, 1000);
    if (join == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = net_join_append(join, cellar_slice_text("abc"), &error);
    net_join_free(join);
    assert_int_equal(io_budget_bytes(budget), 0);
    return status;
}

static void join_survives_every_failing_allocation(void **state)
{
    (void)state;
    struct io_budget budget;
    io_budget_init(&budget, 1000000);
    assert_int_equal(test_out_of_memory_loop(make_and_append, &budget), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_appends_and_counts_against_the_budget),
        cmocka_unit_test(join_says_when_a_request_is_too_long),
        cmocka_unit_test(join_waits_for_the_budget_and_takes_the_same_payload_later),
        cmocka_unit_test(join_keeps_a_large_body_in_a_file),
        cmocka_unit_test(join_says_when_there_is_no_folder_for_a_large_body),
        cmocka_unit_test(join_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
