/*
 * The rules of the areas MUT and BAT: what mutations do, which are refused with which words, and
 * requests of many rows. One test a rule, named after it. Lists that must be refused are tried as
 * the first, a middle and the last element, on a row whose content must not change.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/sync.h"
#include "tests/support/model_fixture.h"
#include "tests/support/model_workload.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIST_ERROR "Error in field 'Mutation list' : Error in element #"

static const char *const families_plain[] = {"f", "g", NULL};

static enum cellar_status one(struct model_fixture *fixture, const char *table,
                              struct cellar_mutation mutation)
{
    return model_fixture_mutate(fixture, table, cellar_slice_text("r"), &mutation, 1);
}

static void all_expect(struct model_fixture *fixture, const char *table, const char *text)
{
    const struct model_read all = {0};
    model_fixture_expect(fixture, table, &all, text);
}

/* ---- sets ------------------------------------------------------------------------------------ */

static void r_mut_01_a_set_replaces_the_value_of_its_cell(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation sets[] = {
        model_set("f", "q", 1000, "first"), model_set("f", "q", 2000, "other"),
        model_set("f", "q", 1000, "second"), model_set("f", "q", 1000, "third")};
    model_fixture_put(fixture, "r", sets, 4);
    model_fixture_expect_all(fixture, "r[f:q@2000=other,f:q@1000=third]");
    model_fixture_set(fixture, "r", "f:q", 1000, "fourth");
    model_fixture_expect_all(fixture, "r[f:q@2000=other,f:q@1000=fourth]");
    model_service_restart(&fixture->service, false);
    model_fixture_set(fixture, "r", "f:q", 2000, "");
    model_fixture_expect_all(fixture, "r[f:q@2000=,f:q@1000=fourth]");
}

static void r_mut_02_minus_one_and_nil_are_the_servers_time(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_buffer list = {0};
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    cellar_clock_fake_set(FIXTURE_CLOCK_US + 1234567, 1000000);
    /* nil, as the encoder writes it, and then -1 in so many words */
    assert_int_equal(one(fixture, "t", model_set("f", "nil", -1, "")), CELLAR_OK);
    assert_int_equal(one(fixture, "u", model_set("f", "nil", -1, "")), CELLAR_OK);
    static const uint8_t minus_one[] = {0x91, 0x95, 0x00, 0xA1, 'f',  0xC4,
                                        0x01, 'm',  0xFF, 0xC4, 0x01, 'v'};
    assert_int_equal(cellar_buffer_append(&list, minus_one, sizeof minus_one), CELLAR_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(model_svc_mutate_wire(fixture->service.svc, i == 0 ? "t" : "u",
                                               cellar_slice_text("r"), cellar_slice_of(&list),
                                               NULL),
                         CELLAR_OK);
    }
    all_expect(fixture, "t", "r[f:m@1700000001234000=v,f:nil@1700000001234000=]");
    all_expect(fixture, "u", "r[f:m@1700000001234567=v,f:nil@1700000001234567=]");
    cellar_buffer_fini(&list);
}

static void r_mut_03_timestamp_0_is_a_cell_at_the_epoch(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_set(fixture, "r", "f:q", 0, "epoch");
    model_fixture_expect_all(fixture, "r[f:q@0=epoch]");
}

static void r_mut_04_a_timestamp_below_minus_one_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation sets[] = {model_set("f", "q", 0, ""), model_set("f", "q", -2, "")};
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    model_fixture_expect_exact(
        fixture, model_fixture_mutate(fixture, "t", cellar_slice_text("r"), sets, 2),
        CELLAR_INVALID_ARGUMENT, LIST_ERROR "1 : Timestamps must be >= -1, but got -2");
    model_fixture_expect_exact(
        fixture, one(fixture, "u", model_set("f", "q", INT64_MIN, "")), CELLAR_INVALID_ARGUMENT,
        LIST_ERROR "0 : Timestamps must be >= -1, but got -9223372036854775808");
    model_fixture_expect_all(fixture, "");
}

static void r_mut_05_milliseconds_want_multiples_of_1000(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    model_fixture_expect_exact(
        fixture, one(fixture, "t", model_set("f", "q", 1001, "")), CELLAR_INVALID_ARGUMENT,
        LIST_ERROR "0 : Timestamp granularity mismatch. Expected a multiple of 1000 (millisecond "
                   "granularity), but got 1001");
    assert_int_equal(one(fixture, "u", model_set("f", "q", 1001, "")), CELLAR_OK);
    assert_int_equal(one(fixture, "u", model_set("f", "q", 1, "")), CELLAR_OK);
    all_expect(fixture, "t", "");
    all_expect(fixture, "u", "r[f:q@1001=,f:q@1=]");
}

static void r_mut_07_the_largest_timestamps_are_taken(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    assert_int_equal(one(fixture, "t", model_set("f", "q", INT64_C(9223372036854775000), "")),
                     CELLAR_OK);
    assert_int_equal(one(fixture, "u", model_set("f", "q", INT64_MAX, "")), CELLAR_OK);
    model_fixture_expect_error(fixture, one(fixture, "t", model_set("f", "q", INT64_MAX, "")),
                               CELLAR_INVALID_ARGUMENT, "9223372036854775807");
    for (unsigned pass = 0; pass < 2; pass++) {
        all_expect(fixture, "t", "r[f:q@9223372036854775000=]");
        all_expect(fixture, "u", "r[f:q@9223372036854775807=]");
        model_service_restart(&fixture->service, false);
    }
    /* One more, which is no int64. */
    static const uint8_t above[] = {0x91, 0x95, 0x00, 0xA1, 'f', 0xC4, 0x00, 0xCF, 0x80,
                                    0,    0,    0,    0,    0,   0,    0,    0xC4, 0x00};
    enum cellar_status status =
        model_svc_mutate_wire(fixture->service.svc, "u", cellar_slice_text("r"),
                              cellar_slice_make(above, sizeof above), &fixture->error);
    model_fixture_expect_error(fixture, status, CELLAR_INVALID_ARGUMENT, LIST_ERROR "0 : ");
}

/* The newest timestamp of row r's column f:q. */
static int64_t newest(struct model_fixture *fixture, const char *table)
{
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, table, &all), CELLAR_OK);
    assert_true(fixture->answer.cell_count > 0);
    return fixture->answer.cells[0].timestamp_us;
}

static void r_mut_08_server_time_never_goes_back(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    static const char *const tables[] = {"t", "u"};
    for (unsigned i = 0; i < 2; i++) {
        cellar_clock_fake_set(FIXTURE_CLOCK_US + 5000777, 1000000);
        assert_int_equal(one(fixture, tables[i], model_set("f", "q", -1, "")), CELLAR_OK);
        int64_t last_us = newest(fixture, tables[i]);
        for (unsigned pass = 0; pass < 6; pass++) {
            /* The clock is set back; the service is restarted, killed, or neither. */
            cellar_clock_fake_set(FIXTURE_CLOCK_US - 1000000 * (int64_t)pass, 2000000);
            if (pass % 3 != 0) {
                model_service_restart(&fixture->service, pass % 3 == 1);
            }
            assert_int_equal(one(fixture, tables[i], model_delete_row()), CELLAR_OK);
            assert_int_equal(one(fixture, tables[i], model_set("f", "q", -1, "")), CELLAR_OK);
            int64_t now_us = newest(fixture, tables[i]);
            assert_true(now_us >= last_us);
            last_us = now_us;
        }
    }
}

/* ---- deletes --------------------------------------------------------------------------------- */

static void versions_put(struct model_fixture *fixture)
{
    const struct cellar_mutation sets[] = {
        model_set("f", "q", 3000, "3"),  model_set("f", "q", 2000, "2"),
        model_set("f", "q", 1000, "1"),  model_set("f", "q", 0, "0"),
        model_set("f", "q2", 1000, "x"), model_set("g", "q", 1000, "y")};
    model_fixture_put(fixture, "r", sets, COUNT(sets));
}

static void r_mut_09_delete_from_column_removes_its_range_and_nothing_else(void **state)
{
    struct model_fixture *fixture = *state;
    static const struct {
        int64_t start_us;
        int64_t end_us;
        const char *left;
    } cases[] = {
        {0, 0, "r[f:q2@1000=x,g:q@1000=y]"},
        {0, 1000, "r[f:q@3000=3,f:q@2000=2,f:q@1000=1,f:q2@1000=x,g:q@1000=y]"},
        {1000, 3000, "r[f:q@3000=3,f:q@0=0,f:q2@1000=x,g:q@1000=y]"},
        {2000, 0, "r[f:q@1000=1,f:q@0=0,f:q2@1000=x,g:q@1000=y]"},
        {3000, INT64_C(9223372036854775000),
         "r[f:q@2000=2,f:q@1000=1,f:q@0=0,f:q2@1000=x,g:q@1000=y]"},
        {4000, 0, "r[f:q@3000=3,f:q@2000=2,f:q@1000=1,f:q@0=0,f:q2@1000=x,g:q@1000=y]"},
    };
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        size_t index = i / 2;
        versions_put(fixture);
        if (i % 2 == 1) {
            model_service_restart(&fixture->service, false); /* what is deleted is on disk */
        }
        assert_int_equal(
            one(fixture, "t",
                model_delete_column("f", "q", cases[index].start_us, cases[index].end_us)),
            CELLAR_OK);
        model_fixture_expect_all(fixture, cases[index].left);
        if (i % 2 == 1) {
            model_service_restart(&fixture->service, false);
            model_fixture_expect_all(fixture, cases[index].left);
        }
    }
}

static void r_mut_10_bad_time_ranges_are_refused(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_table(fixture, "u", CELLAR_GRANULARITY_MICROS, families_plain, NULL);
    static const int64_t bad[][2] = {
        {1000, 1000}, {2000, 1000},          {-1000, 0}, {0, -1000}, {-1, 0},
        {0, -1},      {INT64_MIN, INT64_MIN}};
    versions_put(fixture);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct cellar_mutation delete = model_delete_column("f", "q", bad[i][0], bad[i][1]);
        model_fixture_expect_error(fixture, one(fixture, "t", delete), CELLAR_INVALID_ARGUMENT,
                                   LIST_ERROR "0 : ");
        model_fixture_expect_error(fixture, one(fixture, "u", delete), CELLAR_INVALID_ARGUMENT,
                                   LIST_ERROR "0 : ");
    }
    model_fixture_expect_error(fixture, one(fixture, "t", model_delete_column("f", "q", 1, 0)),
                               CELLAR_INVALID_ARGUMENT, "granularity");
    model_fixture_expect_error(fixture, one(fixture, "t", model_delete_column("f", "q", 0, 1500)),
                               CELLAR_INVALID_ARGUMENT, "granularity");
    assert_int_equal(one(fixture, "u", model_delete_column("f", "q", 1, 2)), CELLAR_OK);
    model_fixture_expect_all(fixture,
                             "r[f:q@3000=3,f:q@2000=2,f:q@1000=1,f:q@0=0,f:q2@1000=x,g:q@1000=y]");
}

static void r_mut_11_delete_from_family_and_row(void **state)
{
    struct model_fixture *fixture = *state;
    for (unsigned pass = 0; pass < 2; pass++) {
        versions_put(fixture);
        model_fixture_set(fixture, "s", "f:q", 1000, "other row");
        if (pass == 1) {
            model_service_restart(&fixture->service, false);
        }
        assert_int_equal(one(fixture, "t", model_delete_family("f")), CELLAR_OK);
        model_fixture_expect_all(fixture, "r[g:q@1000=y] s[f:q@1000=other row]");
        assert_int_equal(one(fixture, "t", model_delete_row()), CELLAR_OK);
        model_fixture_expect_all(fixture, "s[f:q@1000=other row]");
    }
}

static void r_mut_12_mutations_apply_in_list_order(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation set = model_set("f", "q", 1000, "v");
    const struct cellar_mutation deletes[] = {model_delete_row(), model_delete_family("f"),
                                              model_delete_column("f", "q", 0, 0),
                                              model_delete_column("f", "q", 1000, 2000)};
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < COUNT(deletes); i++) {
            const struct cellar_mutation first[] = {deletes[i], set};
            const struct cellar_mutation last[] = {set, deletes[i]};
            const struct cellar_mutation around[] = {set, deletes[i], set, deletes[i], set};
            model_fixture_put(fixture, "r", first, 2);
            model_fixture_expect_all(fixture, "r[f:q@1000=v]");
            model_fixture_put(fixture, "r", last, 2);
            model_fixture_expect_all(fixture, "");
            model_fixture_put(fixture, "r", around, 5);
            model_fixture_expect_all(fixture, "r[f:q@1000=v]");
        }
        model_service_restart(&fixture->service, pass == 0);
        model_fixture_expect_all(fixture, "r[f:q@1000=v]");
    }
}

static void r_mut_13_a_set_after_a_delete_is_visible_whatever_its_timestamp(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation deletes[] = {model_delete_row(), model_delete_family("f"),
                                              model_delete_column("f", "q", 0, 0)};
    for (size_t i = 0; i < COUNT(deletes); i++) {
        model_fixture_set(fixture, "r", "f:q", 5000, "old");
        assert_int_equal(one(fixture, "t", deletes[i]), CELLAR_OK);
        model_fixture_set(fixture, "r", "f:q", 0, "late");
        model_fixture_expect_all(fixture, "r[f:q@0=late]");
        model_service_restart(&fixture->service, i == 0);
        model_fixture_expect_all(fixture, "r[f:q@0=late]");
        assert_int_equal(one(fixture, "t", model_delete_row()), CELLAR_OK);
    }
}

static void r_mut_14_deleting_nothing_is_ok_and_makes_no_row(void **state)
{
    struct model_fixture *fixture = *state;
    const struct model_read keys = {.keys_only = true};
    assert_int_equal(one(fixture, "t", model_delete_row()), CELLAR_OK);
    assert_int_equal(one(fixture, "t", model_delete_family("g")), CELLAR_OK);
    assert_int_equal(one(fixture, "t", model_delete_column("f", "none", 0, 1000)), CELLAR_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        model_fixture_expect_all(fixture, "");
        model_fixture_expect(fixture, "t", &keys, "");
        model_service_restart(&fixture->service, pass == 0);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void r_mut_15_an_unknown_family_is_not_found(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation unknown[] = {model_set("h", "q", 1000, ""),
                                              model_delete_family("h"),
                                              model_delete_column("h", "q", 0, 0)};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        model_fixture_expect_error(fixture, one(fixture, "t", unknown[i]), CELLAR_NOT_FOUND,
                                   "Requested column family not found");
    }
    model_fixture_expect_all(fixture, "");
}

static void r_mut_16_a_refused_list_changes_nothing(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *huge = calloc(1, CELLAR_VALUE_BYTES_MAX + 1); /* not touched: zero pages */
    struct cellar_mutation large = model_set("f", "q", 1000, "");
    assert_non_null(huge);
    large.value = cellar_slice_make(huge, CELLAR_VALUE_BYTES_MAX + 1);
    const struct cellar_mutation bad[] = {model_set("nope", "q", 1000, ""),
                                          model_set("f", "q", -7, ""),
                                          model_set("f", "q", 7, ""),
                                          model_delete_family("nope"),
                                          model_delete_column("f", "q", 2000, 1000),
                                          large};
    model_fixture_set(fixture, "r", "f:q", 1000, "v");
    for (size_t i = 0; i < COUNT(bad) * 3; i++) {
        struct cellar_mutation list[] = {model_delete_row(), model_set("g", "q", 0, "w"),
                                         model_delete_family("f"), model_delete_row()};
        list[(i % 3) * 3 / 2] = bad[i / 3]; /* first, middle, last */
        assert_int_not_equal(model_fixture_mutate(fixture, "t", cellar_slice_text("r"), list, 4),
                             CELLAR_OK);
        model_fixture_expect_all(fixture, "r[f:q@1000=v]");
    }
    free(huge);
}

static void wire_refuse(struct model_fixture *fixture, const void *list, size_t bytes,
                        enum cellar_status code, const char *part)
{
    enum cellar_status status =
        model_svc_mutate_wire(fixture->service.svc, "t", cellar_slice_text("r"),
                              cellar_slice_make(list, bytes), &fixture->error);
    model_fixture_expect_error(fixture, status, code, part);
}

static void r_mut_17_lists_without_mutations_and_mutations_without_kind_are_refused(void **state)
{
    struct model_fixture *fixture = *state;
    static const uint8_t empty[] = {0x90};
    static const uint8_t without_kind[] = {0x92, 0x91, 0x03, 0x90};
    static const uint8_t nil_kind[] = {0x92, 0x91, 0x03, 0x91, 0xC0};
    static const uint8_t unknown_kind[] = {0x91, 0x91, 0x63};
    enum cellar_status status =
        model_svc_mutate_wire(fixture->service.svc, "t", cellar_slice_text("r"),
                              cellar_slice_make(empty, 1), &fixture->error);
    model_fixture_expect_exact(fixture, status, CELLAR_INVALID_ARGUMENT, "No mutations provided");
    wire_refuse(fixture, without_kind, sizeof without_kind, CELLAR_INVALID_ARGUMENT,
                LIST_ERROR "1 : ");
    wire_refuse(fixture, nil_kind, sizeof nil_kind, CELLAR_INVALID_ARGUMENT, LIST_ERROR "1 : ");
    wire_refuse(fixture, unknown_kind, sizeof unknown_kind, CELLAR_UNIMPLEMENTED,
                LIST_ERROR "0 : ");
}

/* ---- two writers, and a crash ---------------------------------------------------------------- */

struct racer {
    struct model_fixture *fixture;
    const char *value;
    size_t count;
    _Atomic uint32_t failures;
};

static void *racer_run(void *context)
{
    struct racer *racer = context;
    const struct cellar_mutation list[] = {model_delete_row(), model_set("f", "a", 0, racer->value),
                                           model_set("g", "b", 0, racer->value),
                                           model_set("f", racer->value, 0, "")};
    const struct model_entry entry = {cellar_slice_text("r"), list, 4};
    for (size_t i = 0; i < racer->count; i++) {
        if (model_svc_mutate(racer->fixture->service.svc, "t", &entry, NULL) != CELLAR_OK) {
            atomic_fetch_add(&racer->failures, 1);
        }
    }
    return NULL;
}

static void r_mut_19_two_concurrent_lists_leave_one_or_the_other(void **state)
{
    struct model_fixture *fixture = *state;
    struct racer racers[2] = {{.fixture = fixture, .value = "x", .count = model_steps(50)},
                              {.fixture = fixture, .value = "y", .count = model_steps(50)}};
    pthread_t threads[2];
    const struct model_read all = {0};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, racer_run, &racers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&racers[i].failures), 0);
    }
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    bool is_x = fixture->answer.cells[0].value.data[0] == 'x';
    model_fixture_expect_all(fixture,
                             is_x ? "r[f:a@0=x,f:x@0=,g:b@0=x]" : "r[f:a@0=y,f:y@0=,g:b@0=y]");
}

static void r_mut_20_an_acknowledged_write_is_there_after_a_crash(void **state)
{
    struct model_fixture *fixture = *state;
    char row[8];
    const struct model_read all = {.keys_only = true};
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(row, sizeof row, "r%02u", i);
        model_fixture_set(fixture, row, "f:q", 1000, row);
        if (i % 4 == 0) {
            model_service_restart(&fixture->service, true);
        }
        assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
        assert_int_equal(fixture->answer.row_count, i + 1);
    }
}

/* ---- many rows in one request ---------------------------------------------------------------- */

#define ENTRIES_MAX 8u

static enum cellar_status batch(struct model_fixture *fixture, const char *table,
                                const struct model_entry *entries, size_t count,
                                struct cellar_error *results)
{
    struct model_port *port = &fixture->service.port;
    cellar_error_clear(&fixture->error);
    return port->calls->mutate_batch(port, table, entries, count, results, &fixture->error);
}

static struct model_entry entry_make(const char *row, const struct cellar_mutation *mutations,
                                     size_t count)
{
    return (struct model_entry){cellar_slice_text(row), mutations, count};
}

static void r_bat_01_r_bat_02_r_bat_03_entries_fail_and_succeed_each_for_itself(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[ENTRIES_MAX];
    const struct cellar_mutation good[] = {model_set("f", "q", 1000, "v")};
    const struct cellar_mutation more[] = {model_set("f", "z", 1000, "w")};
    const struct cellar_mutation bad[] = {model_set("f", "y", 1000, "no"),
                                          model_set("nope", "q", 1000, "no")};
    const struct model_entry entries[] = {entry_make("b", bad, 2), entry_make("a", good, 1),
                                          entry_make("a", bad, 2), entry_make("c", good, 1),
                                          entry_make("a", more, 1)};
    assert_int_equal(batch(fixture, "t", entries, 5, results), CELLAR_OK);
    for (size_t i = 0; i < 5; i++) {
        bool is_bad = i == 0 || i == 2;
        assert_int_equal(results[i].code, is_bad ? CELLAR_NOT_FOUND : CELLAR_OK);
        assert_true(!is_bad ||
                    strstr(results[i].text, "Requested column family not found") != NULL);
    }
    model_fixture_expect_all(fixture, "a[f:q@1000=v,f:z@1000=w] c[f:q@1000=v]");
}

static void r_bat_01_a_batch_in_which_every_entry_fails_ends_ok(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[ENTRIES_MAX];
    const struct cellar_mutation bad[] = {model_delete_family("nope")};
    const struct model_entry entries[] = {entry_make("a", bad, 1), entry_make("b", bad, 1)};
    assert_int_equal(batch(fixture, "t", entries, 2, results), CELLAR_OK);
    assert_int_equal(results[0].code, CELLAR_NOT_FOUND);
    assert_int_equal(results[1].code, CELLAR_NOT_FOUND);
}

/* Refuses a batch of good entries and a bad one, with this text or one that begins so. */
static void batch_refuse(struct model_fixture *fixture, struct model_entry bad, bool is_exact,
                         const char *text)
{
    struct cellar_error results[ENTRIES_MAX];
    const struct cellar_mutation good[] = {model_set("f", "q", 1000, "no")};
    const struct model_entry entries[] = {entry_make("a", good, 1), bad, entry_make("c", good, 1)};
    enum cellar_status code = CELLAR_INVALID_ARGUMENT;
    enum cellar_status status = batch(fixture, "t", entries, 3, results);
    if (is_exact) {
        model_fixture_expect_exact(fixture, status, code, text);
    } else {
        model_fixture_expect_error(fixture, status, code, text);
    }
    assert_true(strncmp(fixture->error.text, text, strlen(text)) == 0);
    model_fixture_expect_all(fixture, "");
}

#define ENTRY_ERROR "Error in field 'Entry list' : Error in element #1 : "

static void r_bat_06_a_bad_timestamp_refuses_the_whole_request(void **state)
{
    struct model_fixture *fixture = *state;
    const struct cellar_mutation below[] = {model_delete_row(), model_set("f", "q", -3, "")};
    const struct cellar_mutation crooked[] = {model_set("f", "q", 12, "")};
    batch_refuse(fixture, entry_make("b", below, 2), true,
                 ENTRY_ERROR LIST_ERROR "1 : Timestamps must be >= -1, but got -3");
    batch_refuse(fixture, entry_make("b", crooked, 1), true,
                 ENTRY_ERROR LIST_ERROR
                 "0 : Timestamp granularity mismatch. Expected a multiple of 1000 (millisecond "
                 "granularity), but got 12");
}

static void r_bat_07_an_entry_over_a_limit_refuses_the_whole_request(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *bytes = calloc(1, 104857600 + 1);
    struct cellar_mutation good[] = {model_set("f", "q", 1000, "no")};
    struct cellar_mutation bad[] = {model_set("f", "q", 1000, "no")};
    assert_non_null(bytes);
    batch_refuse(fixture, entry_make("b", NULL, 0), true, ENTRY_ERROR "No mutations provided");
    batch_refuse(fixture, entry_make("", good, 1), false, ENTRY_ERROR);
    struct model_entry entry = {cellar_slice_make(bytes, 4096 + 1), good, 1};
    batch_refuse(fixture, entry, false, ENTRY_ERROR);
    bad[0].qualifier = cellar_slice_make(bytes, 16384 + 1);
    batch_refuse(fixture, entry_make("b", bad, 1), false, ENTRY_ERROR);
    bad[0] = good[0];
    bad[0].value = cellar_slice_make(bytes, 104857600 + 1);
    batch_refuse(fixture, entry_make("b", bad, 1), false, ENTRY_ERROR);
    free(bytes);
}

static void r_bat_08_no_entries_and_unknown_tables_are_refused(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_error results[ENTRIES_MAX];
    const struct cellar_mutation good[] = {model_set("f", "q", 1000, "no")};
    const struct model_entry entry = entry_make("a", good, 1);
    model_fixture_expect_error(fixture, batch(fixture, "t", NULL, 0, results),
                               CELLAR_INVALID_ARGUMENT, "entries");
    model_fixture_expect_error(fixture, batch(fixture, "nope", &entry, 1, results),
                               CELLAR_NOT_FOUND, "projects/default/instances/default/tables/nope");
    model_fixture_expect_all(fixture, "");
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_mut_01_a_set_replaces_the_value_of_its_cell),
        RULE(r_mut_02_minus_one_and_nil_are_the_servers_time),
        RULE(r_mut_03_timestamp_0_is_a_cell_at_the_epoch),
        RULE(r_mut_04_a_timestamp_below_minus_one_is_refused),
        RULE(r_mut_05_milliseconds_want_multiples_of_1000),
        RULE(r_mut_07_the_largest_timestamps_are_taken),
        RULE(r_mut_08_server_time_never_goes_back),
        RULE(r_mut_09_delete_from_column_removes_its_range_and_nothing_else),
        RULE(r_mut_10_bad_time_ranges_are_refused),
        RULE(r_mut_11_delete_from_family_and_row),
        RULE(r_mut_12_mutations_apply_in_list_order),
        RULE(r_mut_13_a_set_after_a_delete_is_visible_whatever_its_timestamp),
        RULE(r_mut_14_deleting_nothing_is_ok_and_makes_no_row),
        RULE(r_mut_15_an_unknown_family_is_not_found),
        RULE(r_mut_16_a_refused_list_changes_nothing),
        RULE(r_mut_17_lists_without_mutations_and_mutations_without_kind_are_refused),
        RULE(r_mut_19_two_concurrent_lists_leave_one_or_the_other),
        RULE(r_mut_20_an_acknowledged_write_is_there_after_a_crash),
        RULE(r_bat_01_r_bat_02_r_bat_03_entries_fail_and_succeed_each_for_itself),
        RULE(r_bat_01_a_batch_in_which_every_entry_fails_ends_ok),
        RULE(r_bat_06_a_bad_timestamp_refuses_the_whole_request),
        RULE(r_bat_07_an_entry_over_a_limit_refuses_the_whole_request),
        RULE(r_bat_08_no_entries_and_unknown_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
