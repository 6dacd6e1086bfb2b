/*
 * admin: changes of a table over a real socket to a peer of a few lines. The bodies are what the
 * protocol says; an answer that is lost is not asked for again, since what others wrote meanwhile
 * would go with it; what was not applied is sent again.
 */
#include "tests/unit/client/lib/fake_peer.h"

#include <string.h>

#define BODY(text) cellar_slice_make(text, sizeof(text) - 1)

enum change { MODIFY, DROP_PREFIX, TRUNCATE };

struct script {
    unsigned busy_count; /* requests that are answered with UNAVAILABLE first */
    bool is_lost;        /* no answer comes, and the connection is closed */
    unsigned request_count;
    uint16_t operation; /* of the last request */
    uint8_t body[64];   /* its first bytes, without the time limit at their end */
};

static void serve(struct fake_peer *peer, int fd, unsigned index)
{
    struct script *script = peer->context;
    struct fake_request request = {0};
    (void)index;
    while (fake_receive(fd, &request)) {
        script->request_count++;
        script->operation = request.frame.operation;
        memcpy(script->body, request.body.data,
               CELLAR_MIN(request.body.bytes, sizeof script->body));
        if (script->request_count <= script->busy_count) {
            fake_error(fd, &request, CELLAR_UNAVAILABLE, 1);
        } else if (script->is_lost) {
            break;
        } else {
            fake_reply_empty(fd, &request);
        }
    }
    fake_request_fini(&request);
}

/* Makes one change of table `t` at a peer that follows the script. */
static enum cellar_code change_run(enum change change, struct script *script)
{
    const struct cellar_family_change drop = {CELLAR_FAMILY_DROP, "f", NULL};
    struct fake_peer peer = {.serve = serve, .context = script};
    struct cellar_call call = {0};
    fake_peer_start(&peer);
    struct cellar_client *client = fake_peer_client(&peer, NULL);
    enum cellar_code code =
        change == MODIFY        ? cellar_table_modify_families(client, "t", &drop, 1, &call, NULL)
        : change == DROP_PREFIX ? cellar_rows_drop(client, "t", cellar_text("p\xff"), &call)
                                : cellar_table_truncate(client, "t", &call);
    assert_int_equal(call.failure.code, code);
    assert_true(code == CELLAR_E_OK ||
                strstr(call.failure.where, change == MODIFY ? "MODIFY_FAMILIES" : "DROP_ROWS") !=
                    NULL);
    cellar_client_close(client);
    fake_peer_stop(&peer);
    return code;
}

static void changes_are_sent_as_the_protocol_says(void **state)
{
    (void)state;
    const struct {
        enum change change;
        uint16_t operation;
        struct cellar_slice body;
    } cases[] = {
        {MODIFY, CELLAR_OP_MODIFY_FAMILIES,
         BODY("\x83\x01\xb1"
              "default/default/t\x02\x91\x93\x02\xa1"
              "f\xc0\x0f")},
        {DROP_PREFIX, CELLAR_OP_DROP_ROWS,
         BODY("\x83\x01\xb1"
              "default/default/t\x02\xc4\x02p\xff\x0f")},
        {TRUNCATE, CELLAR_OP_DROP_ROWS,
         BODY("\x83\x01\xb1"
              "default/default/t\x03\xc3\x0f")},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct script script = {0};
        assert_int_equal(change_run(cases[index].change, &script), CELLAR_E_OK);
        assert_int_equal(script.request_count, 1);
        assert_int_equal(script.operation, cases[index].operation);
        assert_memory_equal(script.body, cases[index].body.data, cases[index].body.bytes);
    }
}

static void a_change_whose_answer_is_lost_is_not_sent_again(void **state)
{
    (void)state;
    for (enum change change = MODIFY; change <= TRUNCATE; change++) {
        struct script script = {.is_lost = true};
        assert_int_equal(change_run(change, &script), CELLAR_E_OUTCOME_UNKNOWN);
        assert_int_equal(script.request_count, 1);
    }
}

static void a_change_that_was_not_applied_is_sent_again(void **state)
{
    (void)state;
    for (enum change change = MODIFY; change <= TRUNCATE; change++) {
        struct script script = {.busy_count = 2};
        assert_int_equal(change_run(change, &script), CELLAR_E_OK);
        assert_int_equal(script.request_count, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_sent_as_the_protocol_says),
        cmocka_unit_test(a_change_whose_answer_is_lost_is_not_sent_again),
        cmocka_unit_test(a_change_that_was_not_applied_is_sent_again),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}

#include "tests/unit/client/lib/fake_peer.c"
