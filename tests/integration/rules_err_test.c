/*
 * The rules of area ERR: which status says what, and what holds after an error. One test a rule,
 * named after it.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/support/model_fixture.h"
#include "tests/support/model_workload.h"

static enum cellar_status set(struct model_fixture *fixture, const char *row, const char *value)
{
    const struct cellar_mutation mutation = model_set("f", "q", 1000, value);
    return model_fixture_mutate(fixture, "t", cellar_slice_text(row), &mutation, 1);
}

static void never_done(void *context, const struct cellar_error *result)
{
    (void)context;
    (void)result;
    fail_msg("done was called for a refused write");
}

static void batch_never_done(void *context, const struct cellar_error *const *results, size_t count)
{
    (void)context;
    (void)results;
    (void)count;
    fail_msg("done was called for a refused batch");
}

/* A list of one set of f:q@0 in wire form. */
static const uint8_t set_list[] = {0x91, 0x95, 0x00, 0xA1, 'f',  0xC4,
                                   0x01, 'q',  0x00, 0xC4, 0x01, 'v'};

static void r_err_02_a_draining_service_answers_unavailable_with_a_delay(void **state)
{
    struct model_fixture *fixture = *state;
    const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                        .row = cellar_slice_text("r"),
                                        .mutations = cellar_slice_make(set_list, sizeof set_list),
                                        .done = never_done};
    assert_int_equal(set(fixture, "before", "v"), CELLAR_OK);
    svc_drain(fixture->service.svc);
    enum cellar_status status = svc_mutate_row(fixture->service.svc, NULL, &write, &fixture->error);
    assert_int_equal(status, CELLAR_UNAVAILABLE);
    assert_true(fixture->error.retry_delay_ms > 0);
    assert_false(svc_is_ready(fixture->service.svc));
    model_fixture_expect_all(fixture, "before[f:q@1000=v]");
}

static void checkpoints_await(struct svc *svc)
{
    for (unsigned i = 0; i < 5000 && model_svc_figure(svc, "memtable_bytes") > 0; i++) {
        (void)usleep(1000);
    }
}

/* Writes large cells to many rows until a limit is met. @return how many rows were written */
static unsigned fill(struct model_fixture *fixture, unsigned count_max, bool awaits_checkpoints)
{
    static char value[20001];
    char row[16];
    memset(value, 'x', sizeof value - 1);
    for (unsigned i = 0; i < count_max; i++) {
        (void)snprintf(row, sizeof row, "r%04u", i);
        enum cellar_status status = set(fixture, row, value);
        if (status != CELLAR_OK) {
            model_fixture_expect_error(fixture, status, CELLAR_RESOURCE_EXHAUSTED,
                                       "store_map_bytes");
            return i;
        }
        if (awaits_checkpoints) {
            checkpoints_await(fixture->service.svc);
        }
    }
    fail_msg("no limit in %u rows", count_max);
    return 0;
}

static struct model_fixture *small_map_new(void)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.store_map_bytes = UINT64_C(2) << 20;
    options.log_segment_bytes = UINT64_C(1) << 20;
    options.checkpoint_records_max = 1;
    return model_fixture_new(&options);
}

static void rows_delete(struct model_fixture *fixture, unsigned count)
{
    char row[16];
    for (unsigned i = 0; i < count; i++) {
        const struct cellar_mutation delete = model_delete_row();
        (void)snprintf(row, sizeof row, "r%04u", i);
        assert_int_equal(model_fixture_mutate(fixture, "t", cellar_slice_text(row), &delete, 1),
                         CELLAR_OK);
    }
}

static void r_err_03_a_full_map_refuses_sets_by_name_and_lets_deletes_and_reads_go_on(void **state)
{
    (void)state;
    struct model_fixture *fixture = small_map_new();
    unsigned count = fill(fixture, 2000, true);
    const struct model_read all = {.keys_only = true};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.row_count, count);
    rows_delete(fixture, count);
    model_fixture_expect_all(fixture, "");
    model_service_restart(&fixture->service, true);
    model_fixture_expect_all(fixture, "");
    assert_int_equal(model_svc_figure(fixture->service.svc, "checkpoint_failures"), 0);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

static void r_err_03_what_was_deleted_from_a_full_map_is_room_again(void **state)
{
    (void)state;
    struct model_fixture *fixture = small_map_new();
    rows_delete(fixture, fill(fixture, 2000, true));
    checkpoints_await(fixture->service.svc);
    assert_int_equal(set(fixture, "again", "v"), CELLAR_OK);
    model_fixture_expect_all(fixture, "again[f:q@1000=v]");
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

static void r_err_03_sets_that_wait_for_a_checkpoint_do_not_overrun_the_map(void **state)
{
    (void)state;
    struct model_fixture *fixture = small_map_new();
    rows_delete(fixture, fill(fixture, 400, false));
    model_fixture_expect_all(fixture, "");
    checkpoints_await(fixture->service.svc);
    assert_int_equal(model_svc_figure(fixture->service.svc, "checkpoint_failures"), 0);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

static void r_err_05_a_deadline_that_passed_on_arrival_leaves_nothing(void **state)
{
    struct model_fixture *fixture = *state;
    const struct svc_row_write write = {.table = cellar_slice_text("t"),
                                        .row = cellar_slice_text("r"),
                                        .mutations = cellar_slice_make(set_list, sizeof set_list),
                                        .done = never_done};
    static const uint8_t entries[] = {0x91, 0x92, 0xC4, 0x01, 'r',  0x91, 0x95, 0x00, 0xA1,
                                      'f',  0xC4, 0x01, 'q',  0x00, 0xC4, 0x01, 'v'};
    const struct svc_rows_write writes = {.table = cellar_slice_text("t"),
                                          .entries = cellar_slice_make(entries, sizeof entries),
                                          .done = batch_never_done};
    cellar_clock_fake_set(FIXTURE_CLOCK_US, 5000000);
    for (int64_t deadline_us = 1; deadline_us <= 5000000; deadline_us += 4999999) {
        const struct svc_request late = {.deadline_us = deadline_us};
        assert_int_equal(svc_mutate_row(fixture->service.svc, &late, &write, &fixture->error),
                         CELLAR_DEADLINE_EXCEEDED);
        assert_int_equal(svc_mutate_rows(fixture->service.svc, &late, &writes, &fixture->error),
                         CELLAR_DEADLINE_EXCEEDED);
    }
    model_fixture_expect_all(fixture, "");
}

static enum cellar_status sink_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                     bool is_continued)
{
    (void)sink;
    (void)row;
    (void)is_continued;
    return CELLAR_OK;
}

static enum cellar_status sink_cells(struct svc_row_sink *sink, struct cellar_slice packed)
{
    (void)sink;
    (void)packed;
    return CELLAR_OK;
}

static enum cellar_status sink_end(struct svc_row_sink *sink, bool has_more)
{
    (void)sink;
    (void)has_more;
    return CELLAR_OK;
}

static void r_err_05_a_deadline_ends_a_scan_between_its_chunks(void **state)
{
    struct model_fixture *fixture = *state;
    struct svc_row_sink sink = {.row_begin = sink_begin, .cells = sink_cells, .row_end = sink_end};
    struct cellar_arena arena = {0};
    struct cellar_rowset rows;
    struct svc_read *read = NULL;
    const struct model_read all = {0};
    const struct svc_request request = {.deadline_us = 2000000};
    bool is_done = false;
    assert_int_equal(set(fixture, "a", "v"), CELLAR_OK);
    assert_int_equal(set(fixture, "b", "v"), CELLAR_OK);
    assert_int_equal(model_rowset_make(&all, &arena, &rows, NULL), CELLAR_OK);
    const struct svc_read_options options = {.table = cellar_slice_text("t"), .rows = &rows};
    assert_int_equal(svc_read_open(fixture->service.svc, &request, &options, &read, NULL),
                     CELLAR_OK);
    assert_int_equal(svc_read_next(read, &sink, 1, &is_done, NULL), CELLAR_OK);
    assert_false(is_done);
    cellar_clock_fake_step(1000000);
    assert_int_equal(svc_read_next(read, &sink, 1, &is_done, NULL), CELLAR_DEADLINE_EXCEEDED);
    svc_read_close(read);
    cellar_arena_fini(&arena);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* nftw(3) passes no context. */
static const char *damage_marker;
static unsigned damage_count;

/* Flips a bit of the marker wherever an environment holds it. */
static int damage_visit(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)place;
    if (type != FTW_F || strstr(path, "data.mdb") == NULL) {
        return 0;
    }
    size_t bytes = (size_t)status->st_size;
    uint8_t *all = malloc(bytes + 1);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(all != NULL && file >= 0);
    assert_int_equal(pread(file, all, bytes, 0), (ssize_t)bytes);
    size_t marker_bytes = strlen(damage_marker);
    for (size_t i = 0; i + marker_bytes <= bytes; i++) {
        if (memcmp(all + i, damage_marker, marker_bytes) == 0) {
            const uint8_t flipped = (uint8_t)(damage_marker[0] ^ 0x10);
            assert_int_equal(pwrite(file, &flipped, 1, (off_t)i), 1);
            damage_count++;
        }
    }
    free(all);
    assert_int_equal(close(file), 0);
    return 0;
}

/* Writes the rows a, `bad row` and c, and damages the one in the middle on disk. */
static void damage(struct model_fixture *fixture)
{
    assert_int_equal(set(fixture, "a", "v"), CELLAR_OK);
    assert_int_equal(set(fixture, "bad row", "<a value to be found>"), CELLAR_OK);
    assert_int_equal(set(fixture, "c", "v"), CELLAR_OK);
    fixture->service.is_damaged = true;
    svc_drain(fixture->service.svc);
    svc_close(fixture->service.svc);
    damage_marker = "<a value to be found>";
    damage_count = 0;
    assert_int_equal(nftw(fixture->service.data_dir, damage_visit, 16, FTW_PHYS), 0);
    assert_int_not_equal(damage_count, 0);
    assert_int_equal(svc_open(&fixture->service.options, &fixture->service.svc, &fixture->error),
                     CELLAR_OK);
}

static void r_err_06_a_damaged_item_is_data_loss_by_name_and_others_stay_readable(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_slice keys[2] = {cellar_slice_text("bad row")};
    struct model_read read = {.keys = keys, .key_count = 1};
    damage(fixture);
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read), CELLAR_DATA_LOSS,
                               "bad row");
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read), CELLAR_DATA_LOSS,
                               "table t");
    for (unsigned i = 0; i < 2; i++) {
        /* What comes before it in a scan is delivered, from either side. */
        const struct model_read all = {.is_reversed = i == 1};
        assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_DATA_LOSS);
        assert_int_equal(fixture->answer.row_count, 1);
        assert_int_equal(fixture->answer.rows[0].key.data[0], i == 0 ? 'a' : 'c');
    }
    keys[0] = cellar_slice_text("a");
    keys[1] = cellar_slice_text("c");
    read.key_count = 2;
    model_fixture_expect(fixture, "t", &read, "a[f:q@1000=v] c[f:q@1000=v]");
    assert_int_equal(set(fixture, "d", "w"), CELLAR_OK);
}

static void r_err_06_other_rows_are_still_checkpointed_beside_a_damaged_item(void **state)
{
    (void)state;
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = UINT64_C(1) << 20;
    options.checkpoint_records_max = 1;
    struct model_fixture *fixture = model_fixture_new(&options);
    damage(fixture);
    struct svc *svc = fixture->service.svc;
    uint64_t before = model_svc_figure(svc, "checkpoints");
    assert_int_equal(set(fixture, "a", "new"), CELLAR_OK);
    assert_int_equal(set(fixture, "c", "new"), CELLAR_OK);
    for (unsigned i = 0; i < 1000 && model_svc_figure(svc, "checkpoints") == before &&
                         model_svc_figure(svc, "checkpoint_failures") == 0;
         i++) {
        (void)usleep(5000);
    }
    assert_int_equal(model_svc_figure(svc, "checkpoint_failures"), 0);
    assert_true(model_svc_figure(svc, "checkpoints") > before);
    assert_int_equal(model_fixture_teardown((void **)&fixture), 0);
}

/* ---- refusals and their words ---------------------------------------------------------------- */

/* A list in wire form and how it must be refused. */
struct refusal {
    const char *list;
    size_t bytes;
    enum cellar_status code;
    const char *text; /* the beginning of the error's */
};

#define LIST "Error in field 'Mutation list' : Error in element #"
#define WIRE(bytes) bytes, sizeof bytes - 1

static void
r_err_08_r_err_09_malformed_mutations_are_refused_in_the_form_of_field_errors(void **state)
{
    struct model_fixture *fixture = *state;
    static const struct refusal refusals[] = {
        {WIRE("\x90"), CELLAR_INVALID_ARGUMENT, "No mutations provided"},
        {WIRE("\xC0"), CELLAR_INVALID_ARGUMENT, "Error in field 'Mutation list' : "},
        {WIRE("\x80"), CELLAR_INVALID_ARGUMENT, "Error in field 'Mutation list' : "},
        {WIRE("\x91\xC0"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x91\xA1x"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x91\xFF"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x92\x03\xC0"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x92\x91\x03\x91\x02"), CELLAR_INVALID_ARGUMENT, LIST "1 : "},
        {WIRE("\x91\x92\x02\x05"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x92\x02\xA0"), CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x92\x02\xA3yes"), CELLAR_NOT_FOUND, LIST "0 : Requested column family not"},
        {WIRE("\x91\x95\x00\xA1"
              "f\x07\x00\xC4\x00"),
         CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x95\x00\xA1"
              "f\xC4\x00\xA1x\xC4\x00"),
         CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x95\x00\xA1"
              "f\xC4\x00\xCB\x3F\xF0\x00\x00\x00\x00\x00\x00\xC4\x00"),
         CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x95\x00\xA1"
              "f\xC4\x00\x00\x09"),
         CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x95\x01\xA1"
              "f\xC4\x00\xC0\xFF"),
         CELLAR_INVALID_ARGUMENT, LIST "0 : "},
        {WIRE("\x91\x91\x04"), CELLAR_UNIMPLEMENTED, LIST "0 : "},
        {WIRE("\x91\x91\x05"), CELLAR_UNIMPLEMENTED, LIST "0 : "},
        {WIRE("\x91\x91\xCD\x12\x34"), CELLAR_UNIMPLEMENTED, LIST "0 : "},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        enum cellar_status status = model_svc_mutate_wire(
            fixture->service.svc, "t", cellar_slice_text("r"),
            cellar_slice_make(refusal->list, refusal->bytes), &fixture->error);
        if (status != refusal->code || strstr(fixture->error.text, refusal->text) == NULL) {
            fail_msg("refusal %zu: %s: %s", i, cellar_status_text(status), fixture->error.text);
        }
    }
    model_fixture_expect_all(fixture, "");
}

static void r_err_08_reads_with_bad_numbers_and_families_are_refused(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *bytes = calloc(1, 16384 + 1);
    struct svc_column columns[2] = {{.family = cellar_slice_text("f"), .is_family = true},
                                    {.family = cellar_slice_text("no"), .is_family = true}};
    struct model_read read = {.versions_max = -1};
    assert_non_null(bytes);
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT, "Error in field 'versions' : ");
    read = (struct model_read){.rows_limit = -5};
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT, "Error in field 'rows_limit' : ");
    read = (struct model_read){.columns = columns, .column_count = 2};
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read), CELLAR_NOT_FOUND,
                               "Error in field 'columns' : Error in element #1 : Requested column "
                               "family not found");
    columns[1] = (struct svc_column){.family = cellar_slice_text("f"),
                                     .qualifier = cellar_slice_make(bytes, 16384 + 1)};
    model_fixture_expect_error(fixture, model_fixture_read(fixture, "t", &read),
                               CELLAR_INVALID_ARGUMENT,
                               "Error in field 'columns' : Error in element #1");
    free(bytes);
}

/* ---- garbage --------------------------------------------------------------------------------- */

/* A good list with some of its bytes changed, cut or doubled. */
static size_t garbage_make(struct test_random *random, const struct cellar_buffer *good,
                           uint8_t *to, size_t bytes_max)
{
    size_t bytes = CELLAR_MIN(good->bytes, bytes_max);
    memcpy(to, good->data, bytes);
    for (uint64_t i = 1 + test_random_below(random, 4); i > 0; i--) {
        size_t at = (size_t)test_random_below(random, bytes);
        switch (test_random_below(random, 4)) {
        case 0:
            to[at] = (uint8_t)test_random_next(random);
            break;
        case 1:
            to[at] ^= (uint8_t)(1u << test_random_below(random, 8));
            break;
        case 2:
            bytes = CELLAR_MAX(at, 1u);
            break;
        default:
            memmove(to + at, to + at / 2, bytes - at);
            break;
        }
    }
    return bytes;
}

static void r_err_10_no_list_ends_the_process_or_tears_a_row(void **state)
{
    struct model_fixture *fixture = *state;
    struct test_random random = {test_seed("garbage")};
    struct cellar_buffer list = {0};
    struct cellar_buffer entries = {0};
    struct cellar_error results[300];
    uint8_t bytes[400];
    const struct cellar_mutation mutations[] = {model_set("f", "q", 5000, "value"),
                                                model_delete_column("f", "z", 1000, 9000),
                                                model_delete_family("g"),
                                                model_set("g", "", -1, ""),
                                                model_delete_row(),
                                                model_set("f", "end", 0, "x")};
    const struct model_entry entry = {cellar_slice_text("r"), mutations,
                                      CELLAR_ARRAY_COUNT(mutations)};
    const struct model_entry both[] = {entry, {cellar_slice_text("s"), mutations, 2}};
    const struct model_read all = {0};
    model_mutations_encode(&entry, &list);
    model_entries_encode(both, 2, &entries);
    for (size_t i = 0; i < model_steps(4000); i++) {
        bool is_batch = test_random_below(&random, 2) == 0;
        size_t count = garbage_make(&random, is_batch ? &entries : &list, bytes, sizeof bytes);
        struct cellar_slice garbage = cellar_slice_make(bytes, count);
        enum cellar_status status =
            is_batch
                ? model_svc_batch_wire(fixture->service.svc, "t", garbage, results, &fixture->error)
                : model_svc_mutate_wire(fixture->service.svc, "t", cellar_slice_text("r"), garbage,
                                        &fixture->error);
        assert_true(status == CELLAR_OK || status == CELLAR_INVALID_ARGUMENT ||
                    status == CELLAR_NOT_FOUND || status == CELLAR_UNIMPLEMENTED);
    }
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    model_service_restart(&fixture->service, true);
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    cellar_buffer_fini(&list);
    cellar_buffer_fini(&entries);
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_err_02_a_draining_service_answers_unavailable_with_a_delay),
        cmocka_unit_test(r_err_03_a_full_map_refuses_sets_by_name_and_lets_deletes_and_reads_go_on),
        cmocka_unit_test(r_err_03_what_was_deleted_from_a_full_map_is_room_again),
        cmocka_unit_test(r_err_03_sets_that_wait_for_a_checkpoint_do_not_overrun_the_map),
        RULE(r_err_05_a_deadline_that_passed_on_arrival_leaves_nothing),
        RULE(r_err_05_a_deadline_ends_a_scan_between_its_chunks),
        RULE(r_err_06_a_damaged_item_is_data_loss_by_name_and_others_stay_readable),
        cmocka_unit_test(r_err_06_other_rows_are_still_checkpointed_beside_a_damaged_item),
        RULE(r_err_08_r_err_09_malformed_mutations_are_refused_in_the_form_of_field_errors),
        RULE(r_err_08_reads_with_bad_numbers_and_families_are_refused),
        RULE(r_err_10_no_list_ends_the_process_or_tears_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
