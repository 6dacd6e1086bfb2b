/*
 * bulk: what is sent to a peer of a few lines: the load's number, rows counted and packed in
 * requests of about a megabyte; what is refused before it is sent; how a load ends, and that its
 * first failure stays.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <stdio.h>
#include <string.h>

#include "common/message.h"
#include "common/wire.h"

/* What the peer was asked, and what it is to refuse. */
struct script {
    unsigned begins;
    unsigned requests;
    unsigned rows;
    unsigned commits;
    unsigned aborts;
    uint64_t number_next;
    uint16_t refused; /* an operation; 0: none */
    bool has_range;
};

static unsigned rows_count(struct cellar_slice rows)
{
    struct cellar_cursor from = cellar_cursor_make(rows);
    uint32_t count = 0;
    CELLAR_ASSERT(cellar_wire_get_array(&from, &count));
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_ASSERT(cellar_wire_skip(&from, NULL));
    }
    CELLAR_ASSERT(from.at == from.end);
    return count;
}

static void note(struct script *script, const struct fake_request *request)
{
    struct cellar_slice body = cellar_slice_of(&request->body);
    struct cellar_msg_bulk_begin_request begin;
    struct cellar_msg_bulk_rows_request rows;
    struct cellar_msg_bulk_end_request end;
    switch (request->frame.operation) {
    case CELLAR_OP_BULK_BEGIN:
        script->begins++;
        CELLAR_ASSERT(cellar_message_decode(&cellar_msg_bulk_begin_request_type, body, &begin,
                                            CELLAR_UNKNOWN_REFUSE, NULL) == CELLAR_OK);
        script->has_range = cellar_slice_equal(begin.start, cellar_slice_text("a")) &&
                            cellar_slice_equal(begin.end, cellar_slice_text("z"));
        return;
    case CELLAR_OP_BULK_ROWS:
        script->requests++;
        CELLAR_ASSERT(cellar_message_decode(&cellar_msg_bulk_rows_request_type, body, &rows,
                                            CELLAR_UNKNOWN_REFUSE, NULL) == CELLAR_OK);
        CELLAR_ASSERT(rows.load == 77 && rows.number == script->number_next++);
        script->rows += rows_count(rows.rows);
        return;
    default:
        CELLAR_ASSERT(cellar_message_decode(&cellar_msg_bulk_end_request_type, body, &end,
                                            CELLAR_UNKNOWN_REFUSE, NULL) == CELLAR_OK);
        CELLAR_ASSERT(end.load == 77);
        script->commits += request->frame.operation == CELLAR_OP_BULK_COMMIT ? 1 : 0;
        script->aborts += request->frame.operation == CELLAR_OP_BULK_ABORT ? 1 : 0;
    }
}

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct script *script = peer->context;
    struct fake_request request = {.frame = {.kind = 0}};
    (void)index;
    while (fake_receive(fd, &request)) {
        note(script, &request);
        if (request.frame.operation == script->refused) {
            fake_error(fd, &request, CELLAR_FAILED_PRECONDITION, 0);
        } else if (request.frame.operation == CELLAR_OP_BULK_BEGIN) {
            fake_send(fd, &request, CELLAR_FRAME_REPLY, cellar_slice_make("\x81\x01\x4d", 3));
        } else if (request.frame.operation == CELLAR_OP_BULK_COMMIT) {
            fake_send(fd, &request, CELLAR_FRAME_REPLY,
                      cellar_slice_make("\x83\x01\x05\x02\x06\x03\x07", 7));
        } else {
            fake_reply_empty(fd, &request);
        }
    }
    fake_request_fini(&request);
}

struct rig {
    struct fake_peer peer;
    struct script script;
    struct cellar_client *client;
    struct cellar_bulk *bulk;
    struct cellar_call call;
};

static void rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->peer.serve = serve;
    rig->peer.context = &rig->script;
    fake_peer_start(&rig->peer);
    rig->client = fake_peer_client(&rig->peer, NULL);
    assert_int_equal(cellar_bulk_begin(rig->client, "t", NULL, &rig->call, &rig->bulk),
                     CELLAR_E_OK);
}

static void rig_end(struct rig *rig)
{
    cellar_bulk_free(rig->bulk);
    cellar_client_close(rig->client);
    fake_peer_stop(&rig->peer);
}

static enum cellar_code row(struct rig *rig, const char *key, size_t value_bytes)
{
    static uint8_t value[3999990];
    const struct cellar_bulk_cell cells[] = {
        {"f", cellar_view_of("q", 1), 2000, cellar_view_of(value, value_bytes)},
        {"f", cellar_view_of("q", 1), 1000, cellar_view_of("old", 3)}};
    assert_true(value_bytes <= sizeof value);
    return cellar_bulk_row(rig->bulk, cellar_view_of(key, strlen(key)), cells, 2, &rig->call);
}

static void rows_go_in_requests_of_about_a_megabyte(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_bulk_counts counts = {0};
    rig_begin(&rig);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%05u", i);
        assert_int_equal(row(&rig, key, 100000), CELLAR_E_OK);
    }
    assert_int_equal(rig.script.rows, 100 / 10 * 10);
    assert_int_equal(row(&rig, "1", 3), CELLAR_E_OK);
    assert_int_equal(cellar_bulk_commit(rig.bulk, &rig.call, &counts), CELLAR_E_OK);
    assert_int_equal(rig.script.rows, 101);
    assert_int_equal(rig.script.requests, 11);
    assert_int_equal(rig.script.commits, 1);
    assert_int_equal(counts.row_count, 5);
    assert_int_equal(counts.byte_count, 7);
    rig_end(&rig);
    assert_int_equal(rig.script.aborts, 0);
}

static void a_large_row_is_a_request_by_itself(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_bulk_counts counts = {0};
    rig_begin(&rig);
    assert_int_equal(row(&rig, "a", 3), CELLAR_E_OK);
    assert_int_equal(rig.script.requests, 0);
    assert_int_equal(row(&rig, "b", 3999990), CELLAR_E_OK);
    assert_int_equal(rig.script.requests, 2);
    assert_int_equal(rig.script.rows, 2);
    assert_int_equal(row(&rig, "c", 900000), CELLAR_E_OK);
    assert_int_equal(row(&rig, "d", 900000), CELLAR_E_OK);
    assert_int_equal(rig.script.requests, 3);
    assert_int_equal(cellar_bulk_commit(rig.bulk, &rig.call, &counts), CELLAR_E_OK);
    assert_int_equal(rig.script.rows, 4);
    rig_end(&rig);
}

/* The values are not there: they must not be looked at. */
static void what_is_too_large_is_refused_before_it_is_copied(void **state)
{
    (void)state;
    static const struct {
        size_t value_bytes;
        size_t cell_count;
        const char *text;
    } cases[] = {
        {100u * 1024 * 1024 + 1, 1, "at most 104857600 bytes, but has 104857601"},
        {100u * 1024 * 1024, 3, "at most 268435392 bytes, but has 314572800"},
        {128u * 1024 * 1024, 2, "at most 104857600 bytes"},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct rig rig;
        struct cellar_bulk_cell cells[3];
        for (size_t at = 0; at < CELLAR_ARRAY_COUNT(cells); at++) {
            cells[at] = (struct cellar_bulk_cell){"f", cellar_view_of("", 0), 9000 - (int64_t)at,
                                                  cellar_view_of("", cases[i].value_bytes)};
        }
        rig_begin(&rig);
        assert_int_equal(cellar_bulk_row(rig.bulk, cellar_view_of("a", 1), cells,
                                         cases[i].cell_count, &rig.call),
                         CELLAR_E_INVALID_ARGUMENT);
        assert_non_null(strstr(rig.call.failure.text, cases[i].text));
        rig_end(&rig);
        assert_int_equal(rig.script.rows, 0);
    }
}

static void a_range_is_named_and_a_refused_begin_gives_no_load(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_bulk *other = NULL;
    const struct cellar_bulk_range range = {cellar_view_of("a", 1), cellar_view_of("z", 1)};
    rig_begin(&rig);
    assert_false(rig.script.has_range);
    assert_int_equal(cellar_bulk_begin(rig.client, "t", &range, &rig.call, &other), CELLAR_E_OK);
    assert_true(rig.script.has_range);
    cellar_bulk_free(other);
    assert_int_equal(rig.script.aborts, 1);
    other = NULL;
    rig.script.refused = CELLAR_OP_BULK_BEGIN;
    assert_int_equal(cellar_bulk_begin(rig.client, "t", NULL, &rig.call, &other),
                     CELLAR_E_FAILED_PRECONDITION);
    assert_null(other);
    rig_end(&rig);
    cellar_bulk_free(NULL);
}

static void what_cannot_be_sent_is_refused_and_stays(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *family;
        int64_t timestamp_us;
        size_t cell_count;
        const char *text;
    } cases[] = {
        {"", "f", 0, 1, "non-empty"},
        {"b", "f", 0, 1, "in the order of their keys"},
        {"a", "f", 0, 1, "in the order of their keys"},
        {"c", "f", 0, 0, "1 to 1073741823 cells"},
        {"c", "f f", 0, 1, "amil"},
        {"c", "f", -1, 1, ">= 0, but got -1"},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct rig rig;
        struct cellar_bulk_counts counts = {0};
        const struct cellar_bulk_cell cell = {cases[i].family, cellar_view_of("", 0),
                                              cases[i].timestamp_us, cellar_view_of("", 0)};
        rig_begin(&rig);
        assert_int_equal(row(&rig, "b", 1), CELLAR_E_OK);
        assert_int_equal(cellar_bulk_row(rig.bulk,
                                         cellar_view_of(cases[i].key, strlen(cases[i].key)), &cell,
                                         cases[i].cell_count, &rig.call),
                         CELLAR_E_INVALID_ARGUMENT);
        assert_non_null(strstr(rig.call.failure.text, cases[i].text));
        assert_int_equal(row(&rig, "d", 1), CELLAR_E_INVALID_ARGUMENT);
        assert_int_equal(cellar_bulk_commit(rig.bulk, &rig.call, &counts),
                         CELLAR_E_INVALID_ARGUMENT);
        rig_end(&rig);
        assert_int_equal(rig.script.rows + rig.script.commits, 0);
        assert_int_equal(rig.script.aborts, 1);
    }
}

static void a_failure_on_the_server_stays_too(void **state)
{
    (void)state;
    struct rig rig;
    struct cellar_bulk_counts counts = {0};
    rig_begin(&rig);
    rig.script.refused = CELLAR_OP_BULK_ROWS;
    for (unsigned i = 0; i < 9; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%05u", i);
        assert_int_equal(row(&rig, key, 110000), CELLAR_E_OK);
    }
    assert_int_equal(row(&rig, "1", 110000), CELLAR_E_FAILED_PRECONDITION);
    assert_int_equal(cellar_bulk_commit(rig.bulk, &rig.call, &counts),
                     CELLAR_E_FAILED_PRECONDITION);
    assert_int_equal(cellar_bulk_abort(rig.bulk, &rig.call), CELLAR_E_OK);
    assert_int_equal(cellar_bulk_abort(rig.bulk, &rig.call), CELLAR_E_OK);
    rig_end(&rig);
    assert_int_equal(rig.script.commits, 0);
    assert_int_equal(rig.script.aborts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_go_in_requests_of_about_a_megabyte),
        cmocka_unit_test(a_large_row_is_a_request_by_itself),
        cmocka_unit_test(what_is_too_large_is_refused_before_it_is_copied),
        cmocka_unit_test(a_range_is_named_and_a_refused_begin_gives_no_load),
        cmocka_unit_test(what_cannot_be_sent_is_refused_and_stays),
        cmocka_unit_test(a_failure_on_the_server_stays_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
