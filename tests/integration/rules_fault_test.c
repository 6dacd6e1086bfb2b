/*
 * What holds after the disk failed (R-ERR-04, R-ERR-07, R-BAT-05). The program's own fdatasync()
 * stands in front of the C library's and fails for the commit log, or for the environments, while a
 * test wants it to; nothing else is faked.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/model_fixture.h"

#define UNKNOWN "the write may or may not have been applied"

static _Atomic bool log_fails;
static _Atomic bool store_fails;

static bool descriptor_is(int descriptor, const char *part)
{
    char link[64];
    char path[512];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes < 0 ? 0 : bytes] = '\0';
    return strstr(path, part) != NULL;
}

/** In place of the C library's. */
int fdatasync(int descriptor)
{
    bool fails = (atomic_load(&log_fails) && descriptor_is(descriptor, "/log/")) ||
                 (atomic_load(&store_fails) && descriptor_is(descriptor, "/data.mdb"));
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, descriptor);
}

/* The disk is sound at the start of each test, whatever the one before left. */
static int setup(void **state)
{
    atomic_store(&log_fails, false);
    atomic_store(&store_fails, false);
    return model_fixture_setup(state);
}

/* The log's disk fails from the next group on. A log that was just opened writes no empty group on
 * its own, so the next group is the caller's. */
static void log_fail(struct model_fixture *fixture)
{
    model_service_restart(&fixture->service, false);
    atomic_store(&log_fails, true);
}

static enum cellar_status set(struct model_fixture *fixture, const char *row)
{
    const struct cellar_mutation mutation = model_set("f", "q", 1000, "v");
    return model_fixture_mutate(fixture, "t", cellar_slice_text(row), &mutation, 1);
}

/* Row `a` and nothing but rows of `others`. */
static void sound_rows_expect(struct model_fixture *fixture, const char *others)
{
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_not_equal(fixture->answer.row_count, 0);
    for (size_t i = 0; i < fixture->answer.row_count; i++) {
        char letter = (char)fixture->answer.rows[i].key.data[0];
        assert_true(i == 0 ? letter == 'a' : strchr(others, letter) != NULL);
        assert_int_equal(fixture->answer.rows[i].cell_count, 1);
    }
}

static void r_err_04_r_err_07_nothing_is_acknowledged_after_the_log_failed(void **state)
{
    struct model_fixture *fixture = *state;
    assert_int_equal(set(fixture, "a"), CELLAR_OK);
    log_fail(fixture);
    model_fixture_expect_error(fixture, set(fixture, "b"), CELLAR_OUTCOME_UNKNOWN, UNKNOWN);
    atomic_store(&log_fails, false);
    for (unsigned i = 0; i < 3; i++) {
        model_fixture_expect_error(fixture, set(fixture, "c"), CELLAR_IO_ERROR, "commit log");
    }
    sound_rows_expect(fixture, "b");
    assert_false(svc_is_ready(fixture->service.svc));
    assert_int_equal(model_svc_figure(fixture->service.svc, "log_has_failed"), 1);
    model_service_restart(&fixture->service, false);
    assert_true(svc_is_ready(fixture->service.svc));
    sound_rows_expect(fixture, "b");
    assert_int_equal(set(fixture, "d"), CELLAR_OK);
    sound_rows_expect(fixture, "bd");
}

static enum cellar_status set_with_token(struct model_fixture *fixture, const char *row)
{
    struct cellar_buffer list = {0};
    const struct cellar_mutation mutation = model_set("f", "q", -1, "v");
    const struct model_entry entry = {cellar_slice_text(row), &mutation, 1};
    model_mutations_encode(&entry, &list);
    const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                        .row = entry.row,
                                        .mutations = cellar_slice_of(&list),
                                        .token = cellar_slice_text("the-token")};
    enum cellar_status status = model_svc_write(fixture->service.svc, &write, &fixture->error);
    cellar_buffer_fini(&list);
    return status;
}

static void r_tok_05_r_err_04_a_repetition_after_the_log_failed_is_unknown_too(void **state)
{
    struct model_fixture *fixture = *state;
    assert_int_equal(set_with_token(fixture, "a"), CELLAR_OK);
    log_fail(fixture);
    for (unsigned i = 0; i < 2; i++) {
        model_fixture_expect_error(fixture, set_with_token(fixture, "b"), CELLAR_OUTCOME_UNKNOWN,
                                   UNKNOWN);
    }
    model_fixture_expect_error(fixture, set_with_token(fixture, "a"), CELLAR_OUTCOME_UNKNOWN,
                               UNKNOWN);
    model_fixture_expect_error(fixture, set_with_token(fixture, "c"), CELLAR_IO_ERROR,
                               "commit log");
    atomic_store(&log_fails, false);
    model_service_restart(&fixture->service, false);
    assert_int_equal(set_with_token(fixture, "a"), CELLAR_OK);
    assert_int_equal(set_with_token(fixture, "b"), CELLAR_OK);
    sound_rows_expect(fixture, "b");
}

static void r_bat_05_r_err_04_a_failed_log_fails_each_entry_with_its_status(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[3];
    const struct cellar_mutation good = model_set("f", "q", 1000, "v");
    const struct cellar_mutation unknown = model_set("nope", "q", 1000, "v");
    const struct model_entry entries[] = {{cellar_slice_text("b"), &good, 1},
                                          {cellar_slice_text("c"), &unknown, 1},
                                          {cellar_slice_text("d"), &good, 1}};
    struct model_port *port = &fixture->service.port;
    assert_int_equal(set(fixture, "a"), CELLAR_OK);
    log_fail(fixture);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(port->calls->mutate_batch(port, "t", entries, 3, results, &fixture->error),
                         CELLAR_OK);
        assert_int_equal(results[1].code, CELLAR_NOT_FOUND);
        for (unsigned j = 0; j < 3; j += 2) {
            /* Entries that were queued behind the failure may know that they were not applied. */
            bool is_unknown = results[j].code == CELLAR_OUTCOME_UNKNOWN;
            assert_true(is_unknown || results[j].code == CELLAR_IO_ERROR);
            assert_true(!is_unknown || strstr(results[j].text, UNKNOWN) != NULL);
            assert_true(i == 0 || !is_unknown);
        }
        assert_true(i == 1 || results[0].code == CELLAR_OUTCOME_UNKNOWN);
    }
    atomic_store(&log_fails, false);
    sound_rows_expect(fixture, "bd");
    model_service_restart(&fixture->service, false);
    sound_rows_expect(fixture, "bd");
}

static void r_err_07_nothing_is_acknowledged_after_a_store_failed(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    options.checkpoint_records_max = 1;
    struct model_fixture *fixture = model_fixture_new(&options);
    struct svc *svc = fixture->service.svc;
    assert_int_equal(set(fixture, "a"), CELLAR_OK);
    atomic_store(&store_fails, true);
    assert_int_equal(set(fixture, "b"), CELLAR_OK); /* the log has it */
    for (unsigned i = 0; i < 5000 && model_svc_figure(svc, "checkpoint_failures") == 0; i++) {
        (void)usleep(1000);
    }
    assert_int_not_equal(model_svc_figure(svc, "checkpoint_failures"), 0);
    model_fixture_expect_error(fixture, set(fixture, "c"), CELLAR_IO_ERROR, "store");
    sound_rows_expect(fixture, "b");
    assert_false(svc_is_ready(svc));
    atomic_store(&store_fails, false);
    model_service_restart(&fixture->service, false);
    assert_true(svc_is_ready(fixture->service.svc));
    assert_int_equal(set(fixture, "d"), CELLAR_OK);
    model_fixture_expect_all(fixture, "a[f:q@1000=v] b[f:q@1000=v] d[f:q@1000=v]");
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

#define RULE(test) cmocka_unit_test_setup_teardown(test, setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_err_04_r_err_07_nothing_is_acknowledged_after_the_log_failed),
        RULE(r_tok_05_r_err_04_a_repetition_after_the_log_failed_is_unknown_too),
        RULE(r_bat_05_r_err_04_a_failed_log_fails_each_entry_with_its_status),
        cmocka_unit_test(r_err_07_nothing_is_acknowledged_after_a_store_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
