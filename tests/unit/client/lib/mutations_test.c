/*
 * mutations: lists are built as the protocol writes them, checked with the decoder the server uses;
 * failures stay in the list; what MUTATE_ROW sends is seen by a peer.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "client/lib/mutations.h"

#define TEXT(text) cellar_text(text)

/* Decodes a list; returns how many mutations it has. */
static uint32_t list_decode(const struct cellar_mutations *list, struct cellar_mutation *to,
                            struct cellar_buffer *bytes)
{
    struct cellar_error error;
    uint32_t count = 0;
    assert_int_equal(cellar_mutations_encode(list, bytes), CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(bytes));
    assert_int_equal(cellar_mutation_list_decode(&from, &count, &error), CELLAR_OK);
    for (uint32_t index = 0; index < count; index++) {
        if (cellar_mutation_decode(&from, index, &to[index], &error) != CELLAR_OK) {
            fail_msg("%s", error.text);
        }
    }
    assert_ptr_equal(from.at, from.end);
    return count;
}

static void every_mutation_is_what_the_server_reads(void **state)
{
    (void)state;
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_mutation read[8];
    struct cellar_buffer bytes = {0};
    struct cellar_time_range range = {.start_us = 1000, .end_us = 3000};
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    cellar_mutations_set_at(list, "g", cellar_view_of("\0\xff", 2), 0, TEXT(""));
    cellar_mutations_delete_column(list, "f", TEXT(""));
    cellar_mutations_delete_versions(list, "f", TEXT("q"), range);
    cellar_mutations_delete_family(list, "h");
    cellar_mutations_delete_row(list);
    assert_int_equal(cellar_mutations_count(list), 6);
    assert_int_equal(list_decode(list, read, &bytes), 6);
    assert_int_equal(cellar_mutations_bytes(list), bytes.bytes - 1);
    assert_int_equal(read[0].kind, CELLAR_MUTATION_SET);
    assert_int_equal(read[0].timestamp_us, CELLAR_TIMESTAMP_SERVER);
    assert_int_equal(read[0].value.data[0], 'v');
    assert_int_equal(read[1].timestamp_us, 0);
    assert_memory_equal(read[1].qualifier.data, "\0\xff", 2);
    assert_int_equal(read[1].value.bytes, 0);
    assert_int_equal(read[2].kind, CELLAR_MUTATION_DELETE_COLUMN);
    assert_int_equal(read[2].start_us, 0);
    assert_int_equal(read[2].end_us, 0);
    assert_int_equal(read[3].start_us, 1000);
    assert_int_equal(read[3].end_us, 3000);
    assert_int_equal(read[4].kind, CELLAR_MUTATION_DELETE_FAMILY);
    assert_int_equal(read[5].kind, CELLAR_MUTATION_DELETE_ROW);
    cellar_buffer_fini(&bytes);
    cellar_mutations_free(list);
}

static void only_sets_at_explicit_times_may_be_applied_twice(void **state)
{
    (void)state;
    struct cellar_mutations *list = cellar_mutations_new();
    assert_true(list->is_idempotent);
    cellar_mutations_set_at(list, "f", TEXT("q"), 5, TEXT("v"));
    assert_true(list->is_idempotent);
    cellar_mutations_set(list, "f", TEXT("q"), TEXT("v"));
    assert_false(list->is_idempotent);
    cellar_mutations_clear(list);
    assert_true(list->is_idempotent);
    cellar_mutations_set_at(list, "f", TEXT("q"), -1, TEXT("v")); /* the server's time as well */
    assert_false(list->is_idempotent);
    cellar_mutations_clear(list);
    cellar_mutations_delete_column(list, "f", TEXT("q"));
    assert_false(list->is_idempotent);
    cellar_mutations_free(list);
}

static void too_many_mutations_are_refused_and_the_failure_stays(void **state)
{
    (void)state;
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_error error;
    for (uint32_t count = 0; count < CELLAR_MUTATION_COUNT_MAX; count++) {
        cellar_mutations_delete_row(list);
    }
    assert_int_equal(cellar_mutations_error(list, &error), CELLAR_OK);
    cellar_mutations_delete_row(list);
    assert_int_equal(cellar_mutations_error(list, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "limit 100000"));
    assert_int_equal(cellar_mutations_count(list), CELLAR_MUTATION_COUNT_MAX);
    cellar_mutations_clear(list);
    assert_int_equal(cellar_mutations_error(list, &error), CELLAR_OK);
    assert_int_equal(cellar_mutations_count(list), 0);
    cellar_mutations_free(list);
}

static void a_list_too_large_for_any_request_is_refused(void **state)
{
    (void)state;
    struct cellar_mutations *list = cellar_mutations_new();
    struct cellar_error error;
    uint8_t byte = 0;
    cellar_mutations_set(list, "f", TEXT("q"),
                         cellar_view_of(&byte, (size_t)CELLAR_REQUEST_BYTES_MAX + 1));
    assert_int_equal(cellar_mutations_error(list, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "268435456"));
    cellar_mutations_free(list);
}

static void no_list_at_all_is_a_lack_of_memory(void **state)
{
    (void)state;
    struct cellar_client *client = NULL;
    struct cellar_call call = {0};
    cellar_mutations_set(NULL, "f", TEXT("q"), TEXT("v"));
    cellar_mutations_delete_row(NULL);
    cellar_mutations_clear(NULL);
    assert_int_equal(cellar_mutations_count(NULL), 0);
    assert_int_equal(cellar_mutations_bytes(NULL), 0);
    assert_int_equal(cellar_client_open(NULL, NULL, &client), CELLAR_E_OK);
    assert_int_equal(cellar_mutate_row(client, "t", TEXT("r"), NULL, &call), CELLAR_E_NO_MEMORY);
    assert_int_equal(call.failure.code, CELLAR_E_NO_MEMORY);
    cellar_client_close(client);
    cellar_mutations_free(NULL);
}

/* Keeps what MUTATE_ROW sent. */
static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct fake_request *seen = peer->context;
    struct fake_request end = {0};
    (void)index;
    if (fake_receive(fd, seen)) {
        fake_reply_empty(fd, seen);
        (void)fake_receive(fd, &end); /* until the client closes */
    }
    fake_request_fini(&end);
}

static void table_names_are_completed(void **state)
{
    (void)state;
    static const struct {
        const char *instance;
        const char *table;
        const char *sent;
    } cases[] = {
        {NULL, "t", "default/default/t"},
        {"", "t", "default/default/t"},
        {"p/i", "t", "p/i/t"},
        {"projects/p/instances/i", "t", "p/i/t"},
        {"p/i", "other/one/t", "other/one/t"},
        {"p/i", "projects/a/instances/b/tables/t", "projects/a/instances/b/tables/t"},
    };
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct fake_request seen = {0};
        struct fake_peer peer = {.serve = serve, .context = &seen};
        struct cellar_options options = {.instance = cases[index].instance};
        struct cellar_msg_mutate_row_request message;
        fake_peer_start(&peer);
        struct cellar_client *client = fake_peer_client(&peer, &options);
        assert_int_equal(cellar_mutate_row(client, cases[index].table, TEXT("row"), list, NULL),
                         CELLAR_E_OK);
        cellar_client_close(client);
        fake_peer_stop(&peer);
        assert_int_equal(cellar_message_decode(&cellar_msg_mutate_row_request_type,
                                               cellar_slice_of(&seen.body), &message,
                                               CELLAR_UNKNOWN_REFUSE, NULL),
                         CELLAR_OK);
        assert_true(cellar_slice_equal(message.table, cellar_slice_text(cases[index].sent)));
        assert_true(cellar_slice_equal(message.row, cellar_slice_text("row")));
        assert_in_range(message.timeout_us, 9000000, 10000000);
        fake_request_fini(&seen);
    }
    cellar_mutations_free(list);
}

static enum cellar_status build(void *context)
{
    struct cellar_error error;
    (void)context;
    struct cellar_mutations *list = cellar_mutations_new();
    for (int count = 0; count < 40; count++) {
        cellar_mutations_set(list, "family", TEXT("qualifier"), TEXT("some value"));
    }
    enum cellar_status status = cellar_mutations_error(list, &error);
    cellar_mutations_free(list);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(build, NULL) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mutation_is_what_the_server_reads),
        cmocka_unit_test(only_sets_at_explicit_times_may_be_applied_twice),
        cmocka_unit_test(too_many_mutations_are_refused_and_the_failure_stays),
        cmocka_unit_test(a_list_too_large_for_any_request_is_refused),
        cmocka_unit_test(no_list_at_all_is_a_lack_of_memory),
        cmocka_unit_test(table_names_are_completed),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("mutations", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
