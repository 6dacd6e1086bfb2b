/*
 * compact: what is sent to a peer of a few lines, and what becomes of its answers; malformed ones
 * are refused whole.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "common/message.h"

#define BODY(text) cellar_slice_make(text, sizeof(text) - 1)

enum ask { START_TABLE, START_ALL, STATUS, CANCEL };

static enum cellar_code ask_run(enum ask ask, struct fake_answer *script,
                                struct cellar_compact_info **info)
{
    struct fake_peer peer = {.serve = fake_answer_serve, .context = script};
    struct cellar_call call = {0};
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    enum cellar_code code = ask == START_TABLE
                                ? cellar_compact_start(client, "t", 5000, &call, info)
                            : ask == START_ALL ? cellar_compact_start(client, NULL, 0, &call, info)
                            : ask == STATUS    ? cellar_compact_status(client, &call, info)
                                               : cellar_compact_cancel(client, &call, info);
    assert_int_equal(call.failure.code, code);
    cellar_client_close(client);
    fake_peer_stop(&peer);
    return code;
}

static void requests_are_sent_as_the_protocol_says(void **state)
{
    (void)state;
    const struct cellar_slice bodies[] = {
        BODY("\x83\x01\xb1"
             "default/default/t\x03\xcd\x13\x88\x0f"),
        BODY("\x81\x0f"),
        BODY("\x82\x02\x01\x0f"),
        BODY("\x82\x02\x02\x0f"),
    };
    for (unsigned ask = START_TABLE; ask <= CANCEL; ask++) {
        struct fake_answer script = {.answer = BODY("\x82\x01\x01\x02\x07")};
        struct cellar_compact_info *info = NULL;
        assert_int_equal(ask_run(ask, &script, &info), CELLAR_E_OK);
        assert_int_equal(script.operation, CELLAR_OP_COMPACT);
        assert_memory_equal(script.body, bodies[ask].data, bodies[ask].bytes);
        assert_int_equal(info->state, CELLAR_COMPACT_RUNNING);
        assert_int_equal(info->pass, 7);
        assert_string_equal(info->table, "");
        assert_string_equal(info->why, "");
        cellar_compact_info_free(info);
    }
}

static void all_that_the_server_tells_is_given(void **state)
{
    (void)state;
    struct fake_answer script = {.answer =
                                     BODY("\x8e\x01\x04\x02\x07\x03\xc3\x04\xa1t\x05\x01\x06\x02"
                                          "\x07\x03\x08\x04\x09\x05\x0a\x06\x0b\x08\x0c\x09\x0d"
                                          "\xa4"
                                          "full\x20\x01")};
    struct cellar_compact_info *info = NULL;
    assert_int_equal(ask_run(STATUS, &script, &info), CELLAR_E_OK);
    assert_int_equal(info->state, CELLAR_COMPACT_FAILED);
    assert_true(info->is_background);
    assert_string_equal(info->table, "t");
    assert_int_equal(info->item_count, 1);
    assert_int_equal(info->item_count_total, 2);
    assert_int_equal(info->byte_count, 3);
    assert_int_equal(info->started_us, 4);
    assert_int_equal(info->ended_us, 5);
    assert_int_equal(info->tablet_count, 6);
    assert_int_equal(info->tablet_count_total, 8);
    assert_int_equal(info->abandoned_count, 9);
    assert_string_equal(info->why, "full");
    cellar_compact_info_free(info);
    cellar_compact_info_free(NULL);
}

static void answers_that_break_the_protocol_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice answers[] = {
        BODY("\x81\x01\x06"),  /* a state that is none */
        BODY("\x81\x01\xa1x"), /* no number */
        BODY("\x81\x0d\x01"),  /* no text */
        BODY("\x91\x01"),      /* no map */
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(answers); i++) {
        struct fake_answer script = {.answer = answers[i]};
        struct cellar_compact_info *info = NULL;
        assert_int_equal(ask_run(STATUS, &script, &info), CELLAR_E_IO_ERROR);
        assert_null(info);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_sent_as_the_protocol_says),
        cmocka_unit_test(all_that_the_server_tells_is_given),
        cmocka_unit_test(answers_that_break_the_protocol_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
