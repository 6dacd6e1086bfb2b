/*
 * places: requests go where MOVED says, stay there, come back when that place is lost, and end when
 * they are sent in circles. Peers answer for some rows and send others on; a row is a letter.
 */
#include "tests/unit/client/lib/fake_places.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/call.h"
#include "common/cell.h"

#define HOPS_MAX 5u

static void a_row_is_found_where_moved_says_and_stays_there(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    server_start(&home);
    server_start(&other);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &other, "m", "p");
    static const char *const rows[] = {"n", "a", "m", "o", "p", "n"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(rows); index++) {
        assert_int_equal(row_write(client, rows[index], NULL), CELLAR_E_OK);
    }
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&other.peer);
    assert_string_equal(home.rows, "ap");
    assert_string_equal(other.rows, "nmon");
    assert_int_equal(home.moved_count, 1); /* the first time; then it was known */
    assert_int_equal(other.request_count, 4);
}

static void another_table_is_somewhere_else(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    struct cellar_mutations *list = cellar_mutations_new();
    server_start(&home);
    server_start(&other);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &other, "", "");
    assert_int_equal(row_write(client, "n", NULL), CELLAR_E_OK);
    home.target[0] = '\0';
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    assert_int_equal(cellar_mutate_row(client, "u", TEXT("n"), list, NULL), CELLAR_E_OK);
    cellar_mutations_free(list);
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&other.peer);
    assert_string_equal(home.rows, "n");
    assert_string_equal(other.rows, "n");
}

static void what_is_sent_in_circles_ends_with_an_error_that_says_so(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    struct cellar_call call = {0};
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    server_start(&home);
    server_start(&other);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &other, "", "");
    send_on(&other, &home, "a", "z");
    assert_int_equal(row_write(client, "n", &call), CELLAR_E_UNAVAILABLE);
    assert_non_null(strstr(call.failure.text, "sent on from server to server 6 times: not here"));
    assert_int_equal(home.request_count + other.request_count, HOPS_MAX + 1);
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    cellar_batch_add(batch, TEXT("n"), list);
    assert_int_equal(cellar_mutate_rows(client, "t", batch, &call), CELLAR_E_UNAVAILABLE);
    assert_non_null(strstr(call.failure.text, "sent on from server to server 6 times"));
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_UNAVAILABLE);
    assert_int_equal(home.request_count + other.request_count, 2 * (HOPS_MAX + 1));
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&other.peer);
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

static struct cellar_place *pick(struct cellar_places *places, const char *table)
{
    const struct cellar_slice row = cellar_slice_text("n");
    return cellar_places_pick(places, cellar_slice_text(table), &row);
}

/* Closes a pool's idle connection: one in the middle of something is not kept. */
static void connection_end(struct cellar_pool *pool)
{
    struct cellar_sync *sync = NULL;
    uint32_t id;
    assert_int_equal(cellar_pool_take(pool, false, INT64_MAX, &sync, NULL), CELLAR_OK);
    assert_int_equal(cellar_engine_submit(cellar_sync_engine(sync), CELLAR_OP_PING,
                                          cellar_slice_make("\x80", 1), &id, NULL),
                     CELLAR_OK);
    cellar_pool_return(pool, sync);
}

static void a_place_that_cannot_be_reached_is_forgotten(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    server_start(&home);
    server_start(&other);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &other, "m", "p");
    assert_int_equal(row_write(client, "n", NULL), CELLAR_E_OK);
    /* The other ends with its connections, and home takes its rows. */
    struct cellar_place *place = pick(&client->places, "default/default/t");
    assert_non_null(place);
    connection_end(&place->pool);
    cellar_places_release(&client->places, place);
    fake_peer_stop(&other.peer);
    home.target[0] = '\0';
    assert_int_equal(row_write(client, "n", NULL), CELLAR_E_OK);
    assert_int_equal(row_write(client, "o", NULL), CELLAR_E_OK);
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    assert_string_equal(home.rows, "no");
}

static void the_entries_of_a_batch_go_each_to_its_place(void **state)
{
    (void)state;
    struct server home;
    struct server others[2];
    struct cellar_batch *batch = cellar_batch_new();
    struct cellar_mutations *list = cellar_mutations_new();
    server_start(&home);
    server_start(&others[0]);
    server_start(&others[1]);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &others[0], "m", "");
    send_on(&others[0], &others[1], "t", "");
    cellar_mutations_set_at(list, "f", TEXT("q"), 1000, TEXT("v"));
    for (const char *row = "zamtbnus"; *row != '\0'; row++) {
        cellar_batch_add(batch, cellar_view_of(row, 1), list);
    }
    assert_int_equal(cellar_mutate_rows(client, "t", batch, NULL), CELLAR_E_OK);
    assert_int_equal(cellar_batch_failed_count(batch), 1);
    assert_int_equal(cellar_batch_result(batch, 0, NULL), CELLAR_E_NOT_FOUND); /* row z */
    assert_int_equal(home.moved_count + others[0].moved_count, 2);
    /* Once more: every place is known now. */
    assert_int_equal(cellar_mutate_rows(client, "t", batch, NULL), CELLAR_E_OK);
    assert_int_equal(home.moved_count + others[0].moved_count, 2);
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&others[0].peer);
    fake_peer_stop(&others[1].peer);
    assert_string_equal(home.rows, "abab");
    assert_string_equal(others[0].rows, "mnsmns");
    assert_string_equal(others[1].rows, "ztuztu");
    cellar_mutations_free(list);
    cellar_batch_free(batch);
}

static void reads_go_where_their_first_row_is(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    struct cellar_rows *rows = NULL;
    struct cellar_read *reads[3] = {cellar_read_new(), cellar_read_new(), cellar_read_new()};
    server_start(&home);
    server_start(&other);
    home.stock = "r";
    other.stock = "r";
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    send_on(&home, &other, "r", "s");
    cellar_read_row(reads[0], TEXT("r"));
    cellar_read_range(reads[1], cellar_bound_closed(TEXT("r")), cellar_bound_none());
    cellar_read_reverse(reads[2]); /* has no row to be found by, and is sent on each time */
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(reads); index++) {
        assert_int_equal(cellar_get(client, "t", reads[index], NULL, &rows), CELLAR_E_OK);
        assert_int_equal(cellar_rows_count(rows), 1);
        cellar_rows_free(rows);
        cellar_read_free(reads[index]);
        assert_int_equal(home.moved_count, index == 2 ? 2 : 1);
    }
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&other.peer);
    assert_string_equal(other.rows, "rrr");
}

/* Reads all rows that `read` asks for, a letter each, and frees it. */
static enum cellar_code letters_read(struct cellar_client *client, struct cellar_read *read,
                                     char letters[32], struct cellar_call *call)
{
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    size_t count = 0;
    assert_int_equal(cellar_scan_open(client, "t", read, NULL, &scan), CELLAR_E_OK);
    while (cellar_scan_next(scan, &row)) {
        assert_true(count < 31);
        letters[count++] = *(const char *)row.key.data;
    }
    letters[count] = '\0';
    cellar_read_free(read);
    return cellar_scan_close(scan, call);
}

static void a_scan_that_is_sent_on_in_its_middle_goes_on_behind_its_last_row(void **state)
{
    (void)state;
    static const struct {
        bool is_reversed;
        int64_t limit;
        const char *letters;
        const char *home;  /* the rows that each served */
        const char *other; /* from m to before t */
    } cases[] = {
        {false, 0, "abclmnsz", "abclz", "mns"}, {true, 0, "zsnmlcba", "zlcba", "snm"},
        {false, 6, "abclmn", "abcl", "mn"},     {true, 4, "zsnm", "z", "snm"},
        {false, 4, "abcl", "abcl", ""},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct server home;
        struct server other;
        char letters[32];
        struct cellar_read *read = cellar_read_new();
        server_start(&home);
        server_start(&other);
        struct cellar_client *client = fake_peer_client(&home.peer, NULL);
        home.stock = "abclmnsz";
        other.stock = "abclmnsz";
        send_on(&home, &other, "m", "t");
        send_on(&other, &home, "t", "");
        if (cases[index].is_reversed) {
            cellar_read_reverse(read);
            send_on(&other, &home, "", "m");
        }
        cellar_read_limit(read, cases[index].limit);
        assert_int_equal(letters_read(client, read, letters, NULL), CELLAR_E_OK);
        cellar_client_close(client);
        fake_peer_stop(&home.peer);
        fake_peer_stop(&other.peer);
        assert_string_equal(letters, cases[index].letters);
        assert_string_equal(home.rows, cases[index].home);
        assert_string_equal(other.rows, cases[index].other);
    }
}

static void a_scan_that_makes_progress_may_be_sent_on_often(void **state)
{
    (void)state;
    struct server home;
    struct server other;
    struct cellar_rows *rows = NULL;
    struct cellar_read *read = cellar_read_new();
    server_start(&home);
    server_start(&other);
    struct cellar_options options = {.attempts_max = 4};
    struct cellar_client *client = fake_peer_client(&home.peer, &options);
    /* Each serves one more row, then sends what is left to the other: 12 rows, 12 hops. */
    home.stock = "abcdefghijkl";
    other.stock = "abcdefghijkl";
    home.rows_max = 1;
    other.rows_max = 1;
    send_on(&home, &other, "", "");
    send_on(&other, &home, "", "");
    assert_int_equal(cellar_get(client, "t", read, NULL, &rows), CELLAR_E_OK);
    assert_int_equal(cellar_rows_count(rows), 12);
    cellar_rows_free(rows);
    cellar_read_free(read);
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
    fake_peer_stop(&other.peer);
    assert_string_equal(home.rows, "acegik");
    assert_string_equal(other.rows, "bdfhjl");
}

static void a_scan_that_is_sent_on_to_nowhere_ends_with_the_rows_so_far(void **state)
{
    (void)state;
    struct server home;
    struct cellar_call call = {0};
    char letters[32];
    server_start(&home);
    struct cellar_client *client = fake_peer_client(&home.peer, NULL);
    home.stock = "amz";
    home.start = "m";
    home.end = "";
    (void)snprintf(home.target, sizeof home.target, "127.0.0.1:0x");
    assert_int_equal(letters_read(client, cellar_read_new(), letters, &call), CELLAR_E_IO_ERROR);
    assert_string_equal(letters, "a");
    assert_non_null(strstr(call.failure.text, "sent the request on"));
    cellar_client_close(client);
    fake_peer_stop(&home.peer);
}

static void a_moved_that_makes_no_sense_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *start;
        const char *end;
        const char *text;
    } cases[] = {
        {"nowhere", "a", "z", "endpoint must be host:port"},
        {"[::1", "a", "z", "endpoint must be host:port"},
        {"127.0.0.1:1", "z", "a", "range of rows that is none"},
        {"127.0.0.1:1", "n", "n", "range of rows that is none"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct server home;
        struct cellar_call call = {0};
        struct cellar_client *client = NULL;
        server_start(&home);
        client = fake_peer_client(&home.peer, NULL);
        (void)snprintf(home.target, sizeof home.target, "%s", cases[index].target);
        home.start = "";
        home.end = "";
        /* is_moved() and what is sent are to differ here. */
        struct cellar_buffer body = {0};
        struct cellar_error error;
        struct cellar_msg_error message = {.code = CELLAR_UNAVAILABLE,
                                           .endpoint = cellar_slice_text(cases[index].target),
                                           .start = cellar_slice_text(cases[index].start),
                                           .end = cellar_slice_text(cases[index].end)};
        assert_int_equal(cellar_message_encode(&cellar_msg_error_type, &message, &body), CELLAR_OK);
        assert_int_equal(
            cellar_call_refused(client, cellar_slice_text("t"), cellar_slice_of(&body), &error),
            CELLAR_ATTEMPT_ANSWERED);
        assert_int_equal(error.code, CELLAR_IO_ERROR);
        assert_non_null(strstr(error.text, cases[index].text));
        cellar_buffer_fini(&body);
        if (index < 2) {
            assert_int_equal(row_write(client, "n", &call), CELLAR_E_IO_ERROR);
        }
        cellar_client_close(client);
        fake_peer_stop(&home.peer);
    }
}

/* Takes a MOVED of all rows of a table to a port of this machine. */
static enum cellar_status moved_take(struct cellar_places *places, const char *table, unsigned port,
                                     struct cellar_error *error)
{
    char target[32];
    struct cellar_buffer body = {0};
    bool is_taken = false;
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", port);
    struct cellar_msg_error message = {.code = CELLAR_UNAVAILABLE,
                                       .endpoint = cellar_slice_text(target)};
    enum cellar_status status = cellar_message_encode(&cellar_msg_error_type, &message, &body);
    if (status == CELLAR_OK) {
        status = cellar_places_moved(places, cellar_slice_text(table), cellar_slice_of(&body),
                                     &is_taken, error);
    }
    assert_int_equal(is_taken, status == CELLAR_OK);
    cellar_buffer_fini(&body);
    return status;
}

static void places_are_bounded_and_those_in_use_stay(void **state)
{
    (void)state;
    struct cellar_address address = {.host = "127.0.0.1", .port = "1"};
    struct cellar_pool home;
    struct cellar_places places;
    struct cellar_place *held[CELLAR_PLACES_MAX];
    struct cellar_error error;
    char table[16];
    assert_int_equal(cellar_pool_init(&home, &address, 1), CELLAR_OK);
    assert_int_equal(cellar_places_init(&places, &home), CELLAR_OK);
    assert_null(pick(&places, "t0"));
    for (unsigned index = 0; index < CELLAR_PLACES_MAX; index++) {
        (void)snprintf(table, sizeof table, "t%u", index);
        assert_int_equal(moved_take(&places, table, 100 + index, &error), CELLAR_OK);
        held[index] = pick(&places, table);
        assert_non_null(held[index]);
    }
    assert_int_equal(moved_take(&places, "more", 99, &error), CELLAR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "too many servers"));
    assert_int_equal(moved_take(&places, "more", 105, &error), CELLAR_OK); /* one that is there */
    assert_int_equal(moved_take(&places, "home", 1, &error), CELLAR_OK);
    assert_null(pick(&places, "home"));
    cellar_places_release(&places, held[7]);
    cellar_places_release(&places, held[9]);
    assert_int_equal(moved_take(&places, "more", 99, &error), CELLAR_OK); /* in the place of t7's */
    assert_null(pick(&places, "t7"));
    held[7] = pick(&places, "more");
    assert_string_equal(held[7]->pool.address.port, "99");
    held[9] = pick(&places, "t9");
    assert_string_equal(held[9]->pool.address.port, "109");
    for (unsigned index = 0; index < CELLAR_PLACES_MAX; index++) {
        cellar_places_release(&places, held[index]);
    }
    cellar_places_fini(&places);
    cellar_pool_fini(&home);
}

static enum cellar_status learn(void *context)
{
    struct cellar_places places;
    struct cellar_error error;
    enum cellar_status status = cellar_places_init(&places, context);
    if (status == CELLAR_OK) {
        status = moved_take(&places, "t", 100, &error);
        struct cellar_place *place = pick(&places, "t");
        assert_true((place != NULL) == (status == CELLAR_OK));
        cellar_places_release(&places, place);
        cellar_places_fini(&places);
    }
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct cellar_address address = {.host = "127.0.0.1", .port = "1"};
    struct cellar_pool home;
    assert_int_equal(cellar_pool_init(&home, &address, 1), CELLAR_OK);
    assert_true(test_out_of_memory_loop(learn, &home) >= 4);
    cellar_pool_fini(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_found_where_moved_says_and_stays_there),
        cmocka_unit_test(another_table_is_somewhere_else),
        cmocka_unit_test(what_is_sent_in_circles_ends_with_an_error_that_says_so),
        cmocka_unit_test(a_place_that_cannot_be_reached_is_forgotten),
        cmocka_unit_test(the_entries_of_a_batch_go_each_to_its_place),
        cmocka_unit_test(reads_go_where_their_first_row_is),
        cmocka_unit_test(a_scan_that_is_sent_on_in_its_middle_goes_on_behind_its_last_row),
        cmocka_unit_test(a_scan_that_makes_progress_may_be_sent_on_often),
        cmocka_unit_test(a_scan_that_is_sent_on_to_nowhere_ends_with_the_rows_so_far),
        cmocka_unit_test(a_moved_that_makes_no_sense_is_told),
        cmocka_unit_test(places_are_bounded_and_those_in_use_stay),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_places.c"
