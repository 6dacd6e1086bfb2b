/*
 * scrub: what is sent to a peer of a few lines, and what becomes of its answers; malformed ones are
 * refused whole.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#include "common/message.h"

#define BODY(text) cellar_slice_make(text, sizeof(text) - 1)

enum ask { START_TABLE, START_ALL, STATUS, CANCEL };

static enum cellar_code ask_run(enum ask ask, struct fake_answer *script,
                                struct cellar_scrub_info **info)
{
    struct fake_peer peer = {.serve = fake_answer_serve, .context = script};
    struct cellar_call call = {0};
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    enum cellar_code code = ask == START_TABLE ? cellar_scrub_start(client, "t", 5000, &call, info)
                            : ask == START_ALL ? cellar_scrub_start(client, NULL, 0, &call, info)
                            : ask == STATUS    ? cellar_scrub_status(client, &call, info)
                                               : cellar_scrub_cancel(client, &call, info);
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
        struct cellar_scrub_info *info = NULL;
        assert_int_equal(ask_run(ask, &script, &info), CELLAR_E_OK);
        assert_int_equal(script.operation, CELLAR_OP_SCRUB);
        assert_memory_equal(script.body, bodies[ask].data, bodies[ask].bytes);
        assert_int_equal(info->state, CELLAR_SCRUB_RUNNING);
        assert_int_equal(info->pass, 7);
        assert_string_equal(info->table, "");
        assert_int_equal(info->problem_count_listed, 0);
        cellar_scrub_info_free(info);
    }
}

static void problems_are_given_with_their_place(void **state)
{
    (void)state;
    struct fake_answer script = {
        .answer = BODY("\x84\x01\x02\x04\xa1t\x0a\x05\x0b\x93"
                       "\x97\xa0\xc4\x00\xc4\x00\x00\xc4\x00\xc4\x00\xa4lost"
                       "\x97\xa1t\xc4\x00\xc4\x01m\x01\xc4\x02"
                       "a\x00\xc4\x00\xa1w"
                       "\x98\xa1t\xc4\x01m\xc4\x00\x02\xc4\x01n\xc4\x01o\xa1w\xc0")};
    struct cellar_scrub_info *info = NULL;
    assert_int_equal(ask_run(STATUS, &script, &info), CELLAR_E_OK);
    assert_int_equal(info->state, CELLAR_SCRUB_ENDED);
    assert_int_equal(info->problem_count, 5);
    assert_int_equal(info->problem_count_listed, 3);
    assert_string_equal(info->problems[0].table, "");
    assert_string_equal(info->problems[0].why, "lost");
    assert_int_equal(info->problems[0].place, CELLAR_SCRUB_NOWHERE);
    assert_int_equal(info->problems[1].place, CELLAR_SCRUB_ROW);
    assert_int_equal(info->problems[1].start.bytes, 2);
    assert_memory_equal(info->problems[1].start.data, "a\0", 2);
    assert_memory_equal(info->problems[1].tablet_end.data, "m", 1);
    assert_int_equal(info->problems[2].place, CELLAR_SCRUB_ROWS);
    assert_memory_equal(info->problems[2].end.data, "o", 1);
    cellar_scrub_info_free(info);
    cellar_scrub_info_free(NULL);
}

static void answers_that_break_the_protocol_are_refused(void **state)
{
    (void)state;
    const struct cellar_slice answers[] = {
        BODY("\x81\x01\x04"),                                             /* a state that is none */
        BODY("\x81\x01\xa1x"),                                            /* no number */
        BODY("\x81\x0b\x01"),                                             /* no array */
        BODY("\x81\x0b\x91\x01"),                                         /* no problem */
        BODY("\x81\x0b\x91\x96\xa0\xc4\x00\xc4\x00\x00\xc4\x00\xc4\x00"), /* too short */
        BODY("\x81\x0b\x91\x97\x01\xc4\x00\xc4\x00\x00\xc4\x00\xc4\x00\xa0"),
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(answers); i++) {
        struct fake_answer script = {.answer = answers[i]};
        struct cellar_scrub_info *info = NULL;
        assert_int_equal(ask_run(STATUS, &script, &info), CELLAR_E_IO_ERROR);
        assert_null(info);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_sent_as_the_protocol_says),
        cmocka_unit_test(problems_are_given_with_their_place),
        cmocka_unit_test(answers_that_break_the_protocol_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
