/*
 * A family that is being created, seen from beside: as soon as a write to it is acknowledged a read
 * shows it, although the request that creates the family may not have been answered yet.
 *
 * Round after round the test's thread drops the family, lets another thread create it again, writes
 * until the family is there, and reads at once.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

struct shared {
    struct model_service service;
    unsigned round_count;
    _Atomic unsigned asked;    /* rounds in which the family may be created */
    _Atomic unsigned answered; /* rounds in which it was */
};

static enum cellar_status change(struct shared *shared, enum svc_family_action action)
{
    const struct svc_family_change g = {action, {.name = cellar_slice_text("g")}};
    const struct svc_family_changes changes = {cellar_slice_text("t"), &g, 1};
    struct cellar_error error;
    return model_svc_modify(shared->service.svc, &changes, &error);
}

static void *creator_run(void *context)
{
    struct shared *shared = context;
    for (unsigned round = 1; round <= shared->round_count; round++) {
        while (atomic_load(&shared->asked) < round) {
            (void)sched_yield();
        }
        CELLAR_ASSERT(change(shared, SVC_FAMILY_CREATE) == CELLAR_OK);
        atomic_store(&shared->answered, round);
    }
    return NULL;
}

static enum cellar_status write_one(struct shared *shared)
{
    const struct cellar_mutation set = {.kind = CELLAR_MUTATION_SET,
                                        .family = cellar_slice_text("g"),
                                        .timestamp_us = 1000,
                                        .value = cellar_slice_text("v")};
    const struct model_entry entry = {cellar_slice_text("r"), &set, 1};
    struct cellar_error error;
    return model_svc_mutate(shared->service.svc, "t", &entry, &error);
}

/* How many rows a read of the whole table, or of the family, shows. */
static size_t rows_count(struct shared *shared, size_t column_count)
{
    const struct svc_column g = {.family = cellar_slice_text("g"), .is_family = true};
    const struct model_read read = {.columns = &g, .column_count = column_count};
    struct model_answer answer = {0};
    struct cellar_error error;
    enum cellar_status status =
        model_svc_read(shared->service.svc, "t", &read, 131072, &answer, &error);
    if (status != CELLAR_OK) {
        fail_msg("read: %s: %s", cellar_status_text(status), error.text);
    }
    size_t count = answer.row_count;
    model_answer_fini(&answer);
    return count;
}

static void r_row_12_a_write_to_a_family_that_is_being_created_is_seen_at_once(void **state)
{
    static struct shared shared;
    const struct svc_family g = {.name = cellar_slice_text("g")};
    const struct svc_table table = {
        .name = cellar_slice_text("t"), .families = &g, .family_count = 1};
    struct model_port *port = &shared.service.port;
    struct cellar_error error;
    pthread_t creator;
    unsigned early_count = 0; /* rounds with a read before the creation's answer */
    (void)state;
    shared.round_count = (unsigned)model_steps(600);
    model_service_open_small(&shared.service);
    assert_int_equal(port->calls->create(port, &table, &error), CELLAR_OK);
    assert_int_equal(pthread_create(&creator, NULL, creator_run, &shared), 0);
    for (unsigned round = 1; round <= shared.round_count; round++) {
        assert_int_equal(change(&shared, SVC_FAMILY_DROP), CELLAR_OK);
        assert_int_equal(rows_count(&shared, 0), 0);
        enum cellar_status status = CELLAR_NOT_FOUND;
        atomic_store(&shared.asked, round);
        while (status == CELLAR_NOT_FOUND) {
            status = write_one(&shared);
        }
        assert_int_equal(status, CELLAR_OK);
        size_t count = rows_count(&shared, round % 2);
        bool is_early = atomic_load(&shared.answered) < round;
        if (count != 1) {
            fail_msg("round %u: the write was acknowledged, and a read that began then shows "
                     "nothing; the creation %s answered when it ended",
                     round, is_early ? "was not" : "was");
        }
        early_count += is_early ? 1 : 0;
        while (atomic_load(&shared.answered) < round) {
            (void)sched_yield();
        }
    }
    assert_int_equal(pthread_join(creator, NULL), 0);
    print_message("%u of %u reads came before the creation's answer\n", early_count,
                  shared.round_count);
    model_service_close(&shared.service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_row_12_a_write_to_a_family_that_is_being_created_is_seen_at_once),
    };
    return cmocka_run_group_tests_name("new_family", tests, NULL, NULL);
}
