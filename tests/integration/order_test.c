/*
 * The order of rows and cells (R-ROW-01, R-ROW-07, R-ROW-10, R-RNG-09): whatever the order in which
 * they were written, rows come by unsigned bytes, forwards and backwards, and a row's cells by
 * family, qualifier, newest first.
 *
 * Keys and qualifiers are the ones that encodings get wrong: bytes 00 and FF alone and in runs,
 * keys that begin with another whole key, 4,096-byte keys that share 4,000 bytes, lengths around
 * the limits at which storage cuts keys. Each cell's value says where the cell belongs, so that
 * order and content are checked together without a model. The same reads run while everything is in
 * memory, half of it, and nothing: before, between and after restarts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

#define TABLE "t"
#define ROWS_MAX 160u
#define QUALIFIERS_MAX 40u
#define RANGE_CHECKS 120u

struct place {
    uint8_t bytes[CELLAR_ROW_BYTES_MAX];
    size_t count;
};

struct world {
    struct model_service service;
    struct test_random random;
    struct place rows[ROWS_MAX]; /* distinct, sorted */
    size_t row_count;
    struct place qualifiers[QUALIFIERS_MAX];
    size_t qualifier_count;
    struct model_answer answer;
};

static const char *const families[] = {"a", "a.b", "a_", "aa", "b"}; /* sorted by bytes */
static const int64_t times_us[] = {INT64_C(9223372036854775000), 5000000, 1000,
                                   0}; /* newest first */

static struct cellar_slice slice_of(const struct place *place)
{
    return cellar_slice_make(place->bytes, place->count);
}

static int place_order(const void *a, const void *b)
{
    return cellar_slice_compare(slice_of(a), slice_of(b));
}

/* Sorts places and drops repeats. */
static size_t places_sort(struct place *places, size_t count)
{
    size_t kept = 0;
    qsort(places, count, sizeof places[0], place_order);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || place_order(&places[kept - 1], &places[i]) != 0) {
            places[kept++] = places[i];
        }
    }
    return kept;
}

/* Short strings over the bytes at both ends. */
static void short_draw(struct world *world, struct place *place, size_t bytes_min)
{
    static const uint8_t letters[] = {0x00, 0x00, 0x01, 0xFF, 0xFF, 0xFE, 'm'};
    place->count = bytes_min + (size_t)test_random_below(&world->random, 6 - bytes_min);
    for (size_t i = 0; i < place->count; i++) {
        place->bytes[i] = letters[test_random_below(&world->random, sizeof letters)];
    }
}

/* Long strings that share 4,000 bytes and differ behind them, or only in length. */
static void long_draw(struct world *world, struct place *place, uint8_t shared)
{
    static const size_t lengths[] = {4096, 4096, 4096, 4095, 4001, 4000, 510, 511, 512, 248,
                                     249,  250,  251,  252,  253,  256,  500, 501, 750};
    struct place tail;
    place->count = lengths[test_random_below(&world->random, CELLAR_ARRAY_COUNT(lengths))];
    memset(place->bytes, shared, place->count);
    short_draw(world, &tail, 0);
    size_t at = place->count > 4000 && test_random_below(&world->random, 2) == 0
                    ? 4000
                    : place->count - tail.count;
    memcpy(place->bytes + at, tail.bytes, CELLAR_MIN(tail.count, place->count - at));
}

static void places_draw(struct world *world)
{
    static const uint8_t shared[] = {'s', 0x00, 0xFF};
    for (size_t i = 0; i < ROWS_MAX; i++) {
        if (i % 3 == 0) {
            uint8_t byte = shared[test_random_below(&world->random, sizeof shared)];
            long_draw(world, &world->rows[i], byte);
        } else {
            short_draw(world, &world->rows[i], 1);
        }
    }
    world->row_count = places_sort(world->rows, ROWS_MAX);
    for (size_t i = 0; i < QUALIFIERS_MAX; i++) {
        if (i % 6 == 0) {
            long_draw(world, &world->qualifiers[i], shared[i % sizeof shared]);
        } else {
            short_draw(world, &world->qualifiers[i], 0);
        }
    }
    world->qualifier_count = places_sort(world->qualifiers, QUALIFIERS_MAX);
}

static void table_make(struct world *world)
{
    struct svc_family all[CELLAR_ARRAY_COUNT(families)] = {0};
    struct cellar_slice splits[3];
    struct cellar_arena arena = {0};
    struct svc_table made;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(families); i++) {
        all[i].name = cellar_slice_text(families[CELLAR_ARRAY_COUNT(families) - 1 - i]);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(splits); i++) {
        splits[i] = slice_of(&world->rows[test_random_below(&world->random, world->row_count)]);
    }
    const struct svc_table table = {.name = cellar_slice_text(TABLE),
                                    .families = all,
                                    .family_count = CELLAR_ARRAY_COUNT(all),
                                    .split_keys = splits,
                                    .split_key_count = CELLAR_ARRAY_COUNT(splits)};
    assert_int_equal(svc_create_table(world->service.svc, NULL, &table, &arena, &made, NULL),
                     CELLAR_OK);
    cellar_arena_fini(&arena);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What a cell's value says: its place by numbers. */
static void value_make(char *text, size_t bytes, size_t row, size_t family, size_t qualifier,
                       size_t time)
{
    (void)snprintf(text, bytes, "%zu/%zu/%zu/%zu", row, family, qualifier, time);
}

/* Row r has the cells (f, q, t) with (r + f + q + t) % 3 == 0, and (0, 0, 0). */
static bool cell_exists(size_t row, size_t family, size_t qualifier, size_t time)
{
    return (row + family + qualifier + time) % 3 == 0 || family + qualifier + time == 0;
}

static void row_write(struct world *world, size_t row)
{
    size_t place_count =
        CELLAR_ARRAY_COUNT(families) * world->qualifier_count * CELLAR_ARRAY_COUNT(times_us);
    struct cellar_mutation *mutations = calloc(place_count, sizeof *mutations);
    char(*values)[32] = calloc(place_count, sizeof *values);
    struct cellar_error error;
    size_t count = 0;
    assert_true(mutations != NULL && values != NULL);
    for (size_t i = 0; i < place_count; i++) {
        /* A prime above all counts here: this walks all places in disorder. */
        size_t at = (i * 7919) % place_count;
        size_t time = at % CELLAR_ARRAY_COUNT(times_us);
        size_t family = at / CELLAR_ARRAY_COUNT(times_us) % CELLAR_ARRAY_COUNT(families);
        size_t qualifier = at / CELLAR_ARRAY_COUNT(times_us) / CELLAR_ARRAY_COUNT(families);
        if (!cell_exists(row, family, qualifier, time)) {
            continue;
        }
        value_make(values[count], sizeof values[count], row, family, qualifier, time);
        mutations[count] =
            (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                     .family = cellar_slice_text(families[family]),
                                     .qualifier = slice_of(&world->qualifiers[qualifier]),
                                     .timestamp_us = times_us[time],
                                     .value = cellar_slice_text(values[count])};
        count++;
    }
    const struct model_entry entry = {slice_of(&world->rows[row]), mutations, count};
    enum cellar_status status = model_svc_mutate(world->service.svc, TABLE, &entry, &error);
    if (status != CELLAR_OK) {
        fail_msg("%s: %s", cellar_status_text(status), error.text);
    }
    free(mutations);
    free(values);
}

/* Writes the rows whose number leaves `remainder`, in disorder. */
static void rows_write(struct world *world, size_t remainder)
{
    size_t *order = calloc(world->row_count, sizeof *order);
    assert_non_null(order);
    for (size_t i = 0; i < world->row_count; i++) {
        size_t j = (size_t)test_random_below(&world->random, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < world->row_count; i++) {
        if (order[i] % 2 == remainder) {
            row_write(world, order[i]);
        }
    }
    free(order);
}

/* ---- checking -------------------------------------------------------------------------------- */

static void row_check(const struct world *world, const struct model_row *row, size_t number)
{
    size_t at = row->cell_first;
    char value[32];
    assert_true(cellar_slice_equal(row->key, slice_of(&world->rows[number])));
    for (size_t f = 0; f < CELLAR_ARRAY_COUNT(families); f++) {
        for (size_t q = 0; q < world->qualifier_count; q++) {
            for (size_t t = 0; t < CELLAR_ARRAY_COUNT(times_us); t++) {
                if (!cell_exists(number, f, q, t)) {
                    continue;
                }
                assert_true(at < row->cell_first + row->cell_count);
                const struct cellar_cell *cell = &world->answer.cells[at++];
                assert_true(cellar_slice_equal(cell->family, cellar_slice_text(families[f])));
                assert_true(cellar_slice_equal(cell->qualifier, slice_of(&world->qualifiers[q])));
                assert_int_equal(cell->timestamp_us, times_us[t]);
                value_make(value, sizeof value, number, f, q, t);
                assert_true(cellar_slice_equal(cell->value, cellar_slice_text(value)));
            }
        }
    }
    assert_int_equal(at, row->cell_first + row->cell_count);
}

static void read_run(struct world *world, const struct model_read *read)
{
    static const size_t chunk_bytes[] = {1, 3000, 100000};
    struct cellar_error error;
    size_t chunk = chunk_bytes[test_random_below(&world->random, CELLAR_ARRAY_COUNT(chunk_bytes))];
    enum cellar_status status =
        model_svc_read(world->service.svc, TABLE, read, chunk, &world->answer, &error);
    if (status != CELLAR_OK) {
        fail_msg("%s: %s", cellar_status_text(status), error.text);
    }
}

/* Reads the rows [first, end) one way and compares; `step` 2 expects every second row only. */
static void range_check(struct world *world, const struct model_read *read, size_t first,
                        size_t end, size_t step, bool has_cells)
{
    size_t count = 0;
    read_run(world, read);
    for (size_t i = first; i < end; i++) {
        size_t number = read->is_reversed ? end - 1 - (i - first) : i;
        if (number % step != 0) {
            continue;
        }
        assert_true(count < world->answer.row_count);
        const struct model_row *row = &world->answer.rows[count++];
        if (has_cells) {
            row_check(world, row, number);
        } else {
            assert_true(cellar_slice_equal(row->key, slice_of(&world->rows[number])));
        }
    }
    assert_int_equal(count, world->answer.row_count);
}

/* Ranges between any two keys, with keys only: order and bounds, not cells. */
static void ranges_check(struct world *world, size_t step)
{
    for (size_t i = 0; i < model_steps(RANGE_CHECKS); i++) {
        size_t a = (size_t)test_random_below(&world->random, world->row_count);
        size_t b = (size_t)test_random_below(&world->random, world->row_count);
        const struct model_range range = {.start = slice_of(&world->rows[CELLAR_MIN(a, b)]),
                                          .end = slice_of(&world->rows[CELLAR_MAX(a, b)]),
                                          .start_is_closed = test_random_below(&world->random, 2),
                                          .end_is_closed = test_random_below(&world->random, 2)};
        if (!model_range_is_valid(&range)) {
            continue;
        }
        const struct model_read read = {.ranges = &range,
                                        .range_count = 1,
                                        .keys_only = true,
                                        .is_reversed = test_random_below(&world->random, 2)};
        range_check(world, &read, CELLAR_MIN(a, b) + (range.start_is_closed ? 0 : 1),
                    CELLAR_MAX(a, b) + (range.end_is_closed ? 1 : 0), step, false);
    }
}

static void all_check(struct world *world, size_t step)
{
    struct model_read read = {0};
    range_check(world, &read, 0, world->row_count, step, true);
    read.is_reversed = true;
    range_check(world, &read, 0, world->row_count, step, true);
    ranges_check(world, step);
}

static void
r_row_01_r_row_07_r_row_10_r_rng_09_order_is_by_bytes_in_memory_and_on_disk(void **state)
{
    (void)state;
    struct svc_options options;
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->random.state = test_seed("order");
    model_service_options_init(&options);
    model_service_open(&world->service, &options);
    places_draw(world);
    table_make(world);
    rows_write(world, 0);
    all_check(world, 2); /* in the memtable */
    model_service_restart(&world->service, false);
    all_check(world, 2); /* in LMDB */
    rows_write(world, 1);
    all_check(world, 1); /* half and half */
    model_service_restart(&world->service, true);
    all_check(world, 1); /* replayed over LMDB */
    model_service_restart(&world->service, false);
    all_check(world, 1);
    model_answer_fini(&world->answer);
    model_service_close(&world->service);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            r_row_01_r_row_07_r_row_10_r_rng_09_order_is_by_bytes_in_memory_and_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
