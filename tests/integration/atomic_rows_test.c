/*
 * Rows are seen whole (R-ROW-11, R-ROW-12, R-MUT-19): writers alternate {all cells A} and {delete
 * the row, all cells B} while gets, scans and reversed scans run and every few records are
 * checkpointed.
 *
 * The k-th write of a row puts k into the value of each of its cells, so one number says what the
 * whole row must be:
 *
 *     k even:  the cells B with k                           (the delete took everything else)
 *     k odd:   the cells B with k - 1, the cells A with k
 *
 * A reader takes the greatest number in a row and compares the row with that. It also never sees a
 * row go back, nor one that is older than what was acknowledged before the read began. Shared rows
 * have two writers that only do the second kind of write: all cells are of one writer's one write.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/sync.h"
#include "tests/support/model_service.h"
#include "tests/support/model_workload.h"

#define TABLE "t"
#define ROW_COUNT 6u
#define SHARED_ROW_COUNT 2u
#define WIDE_CELLS 2000u
#define SMALL_CELLS 3u
#define SHARED_CELLS 300u
#define WRITES_MIN 4u

struct row_state {
    char key[8];
    uint32_t cell_count; /* of A, and of B */
    _Atomic uint64_t acknowledged;
};

struct world {
    struct svc *svc;
    struct row_state rows[ROW_COUNT];
    struct row_state shared[SHARED_ROW_COUNT];
    size_t write_count; /* of one writer */
    _Atomic uint32_t writers_left;
    _Atomic bool has_failed;
    struct cellar_mutex lock;
    char failure[400] CELLAR_GUARDED_BY(lock);
};

struct writer {
    struct world *world;
    struct row_state *row;
    uint64_t number; /* of a shared row's writer: 1 or 2 */
};

struct reader {
    struct world *world;
    uint64_t seed;
    bool is_get;
    bool is_reversed;
    uint64_t seen[ROW_COUNT];
    uint64_t read_count;
};

/* Keeps the first failure: asserting is the main thread's. */
static CELLAR_PRINTF(2, 3) void fail_note(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    cellar_mutex_lock(&world->lock);
    if (!atomic_exchange(&world->has_failed, true)) {
        (void)vsnprintf(world->failure, sizeof world->failure, format, arguments);
    }
    cellar_mutex_unlock(&world->lock);
    va_end(arguments);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Room for the texts of one list. */
struct list {
    struct cellar_mutation mutations[WIDE_CELLS + 1];
    char qualifiers[WIDE_CELLS][16];
    char value[24];
    size_t count;
};

static void list_fill(struct list *list, char kind, uint32_t cell_count, uint64_t number)
{
    list->count = 0;
    (void)snprintf(list->value, sizeof list->value, "%020" PRIu64, number);
    if (kind == 'b') {
        list->mutations[list->count++] =
            (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
    }
    for (uint32_t i = 0; i < cell_count; i++) {
        (void)snprintf(list->qualifiers[i], sizeof list->qualifiers[i], "%04" PRIu32 "%c", i, kind);
        list->mutations[list->count++] =
            (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                     .family = cellar_slice_text(i % 2 == 0 ? "f" : "g"),
                                     .qualifier = cellar_slice_text(list->qualifiers[i]),
                                     .timestamp_us = 1000,
                                     .value = cellar_slice_text(list->value)};
    }
}

static bool list_send(struct world *world, struct row_state *row, const struct list *list)
{
    struct cellar_error error;
    const struct model_entry entry = {cellar_slice_text(row->key), list->mutations, list->count};
    cellar_error_clear(&error);
    enum cellar_status status = model_svc_mutate(world->svc, TABLE, &entry, &error);
    if (status != CELLAR_OK) {
        fail_note(world, "write: %s: %s", cellar_status_text(status), error.text);
    }
    return status == CELLAR_OK;
}

static void *writer_run(void *context)
{
    struct writer *writer = context;
    struct world *world = writer->world;
    struct list *list = cellar_mem_zalloc(1, sizeof *list);
    for (uint64_t k = 0; list != NULL && k < world->write_count; k++) {
        if (atomic_load(&world->has_failed)) {
            break;
        }
        bool is_shared = writer->number > 0;
        list_fill(list, is_shared || k % 2 == 0 ? 'b' : 'a', writer->row->cell_count,
                  is_shared ? 2 * k + writer->number : k);
        if (!list_send(world, writer->row, list)) {
            break;
        }
        if (!is_shared) {
            atomic_store(&writer->row->acknowledged, k);
        }
    }
    cellar_mem_free(list);
    (void)atomic_fetch_sub(&world->writers_left, 1);
    return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool value_number(struct cellar_slice value, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < value.bytes; i++) {
        *number = *number * 10 + (uint64_t)(value.data[i] - '0');
    }
    return value.bytes == 20;
}

/* Whether a row is what one number makes of it. @return the number, UINT64_MAX for a torn row */
static uint64_t row_judge(const struct model_answer *answer, const struct model_row *row,
                          uint32_t cell_count, bool is_shared)
{
    uint64_t greatest = 0;
    uint32_t counts[2] = {0, 0}; /* of A, of B */
    uint64_t number = 0;
    for (size_t i = 0; i < row->cell_count; i++) {
        if (!value_number(answer->cells[row->cell_first + i].value, &number)) {
            return UINT64_MAX;
        }
        greatest = CELLAR_MAX(greatest, number);
    }
    bool has_a = !is_shared && greatest % 2 == 1;
    for (size_t i = 0; i < row->cell_count; i++) {
        const struct cellar_cell *cell = &answer->cells[row->cell_first + i];
        bool is_b = cell->qualifier.data[cell->qualifier.bytes - 1] == 'b';
        (void)value_number(cell->value, &number);
        if (number != greatest - (has_a && is_b ? 1 : 0)) {
            return UINT64_MAX;
        }
        counts[is_b ? 1 : 0]++;
    }
    return counts[1] == cell_count && counts[0] == (has_a ? cell_count : 0) ? greatest : UINT64_MAX;
}

static void answer_judge(struct reader *reader, const struct model_answer *answer,
                         const uint64_t *acknowledged)
{
    struct world *world = reader->world;
    size_t expected_count = reader->is_get ? 2 : ROW_COUNT + SHARED_ROW_COUNT;
    if (answer->row_count != expected_count) {
        fail_note(world, "%zu of %zu rows came", answer->row_count, expected_count);
    }
    for (size_t i = 0; i < answer->row_count; i++) {
        const struct model_row *row = &answer->rows[i];
        bool is_shared = row->key.data[0] == 's';
        size_t index = (size_t)(row->key.data[1] - '0');
        const struct row_state *state = is_shared ? &world->shared[index] : &world->rows[index];
        uint64_t number = row_judge(answer, row, state->cell_count, is_shared);
        if (number == UINT64_MAX) {
            fail_note(world, "row %s with %zu cells is torn (%s)", state->key, row->cell_count,
                      reader->is_get ? "get" : (reader->is_reversed ? "reversed scan" : "scan"));
        } else if (!is_shared && number < acknowledged[index]) {
            fail_note(world, "row %s shows write %" PRIu64 ", but %" PRIu64 " was acknowledged",
                      state->key, number, acknowledged[index]);
        } else if (!is_shared && number < reader->seen[index]) {
            fail_note(world, "row %s went back from write %" PRIu64 " to %" PRIu64, state->key,
                      reader->seen[index], number);
        } else if (!is_shared) {
            reader->seen[index] = number;
        }
    }
}

/* One get of a few rows, or one scan of all. */
static bool read_once(struct reader *reader, struct test_random *random,
                      struct model_answer *answer)
{
    static const size_t chunk_bytes[] = {100, 4096, 20000, 131072};
    struct world *world = reader->world;
    uint64_t acknowledged[ROW_COUNT];
    struct cellar_slice keys[2];
    struct cellar_error error;
    struct model_read read = {.is_reversed = reader->is_reversed};
    cellar_error_clear(&error);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        acknowledged[i] = atomic_load(&world->rows[i].acknowledged);
    }
    if (reader->is_get) {
        keys[0] = cellar_slice_text(world->rows[test_random_below(random, ROW_COUNT)].key);
        keys[1] = cellar_slice_text(world->shared[test_random_below(random, SHARED_ROW_COUNT)].key);
        read.keys = keys;
        read.key_count = 2;
    }
    size_t chunk = chunk_bytes[test_random_below(random, CELLAR_ARRAY_COUNT(chunk_bytes))];
    enum cellar_status status = model_svc_read(world->svc, TABLE, &read, chunk, answer, &error);
    if (status != CELLAR_OK) {
        fail_note(world, "read: %s: %s", cellar_status_text(status), error.text);
        return false;
    }
    answer_judge(reader, answer, acknowledged);
    reader->read_count++;
    return true;
}

static void *reader_run(void *context)
{
    struct reader *reader = context;
    struct test_random random = {reader->seed};
    struct model_answer answer = {0};
    while (atomic_load(&reader->world->writers_left) > 0 &&
           !atomic_load(&reader->world->has_failed)) {
        if (!read_once(reader, &random, &answer)) {
            break;
        }
    }
    model_answer_fini(&answer);
    return NULL;
}

/* ---- the test -------------------------------------------------------------------------------- */

static void table_make(struct svc *svc)
{
    const struct svc_family families[] = {{.name = cellar_slice_text("f")},
                                          {.name = cellar_slice_text("g")}};
    const struct cellar_slice split = cellar_slice_text("r3");
    const struct svc_table table = {.name = cellar_slice_text(TABLE),
                                    .families = families,
                                    .family_count = 2,
                                    .split_keys = &split,
                                    .split_key_count = 1};
    struct cellar_arena arena = {0};
    struct svc_table made;
    assert_int_equal(svc_create_table(svc, NULL, &table, &arena, &made, NULL), CELLAR_OK);
    cellar_arena_fini(&arena);
}

/* The first write of each row, so that a missing row is a torn one too. */
static void rows_make(struct world *world)
{
    struct list *list = cellar_mem_zalloc(1, sizeof *list);
    assert_non_null(list);
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        (void)snprintf(world->rows[i].key, sizeof world->rows[i].key, "r%u", i);
        world->rows[i].cell_count = i % 3 == 1 ? WIDE_CELLS : SMALL_CELLS;
        list_fill(list, 'b', world->rows[i].cell_count, 0);
        assert_true(list_send(world, &world->rows[i], list));
    }
    for (unsigned i = 0; i < SHARED_ROW_COUNT; i++) {
        (void)snprintf(world->shared[i].key, sizeof world->shared[i].key, "s%u", i);
        world->shared[i].cell_count = i == 0 ? SMALL_CELLS : SHARED_CELLS;
        list_fill(list, 'b', world->shared[i].cell_count, 0);
        assert_true(list_send(world, &world->shared[i], list));
    }
    cellar_mem_free(list);
}

static void threads_run(struct world *world, uint64_t seed)
{
    pthread_t threads[ROW_COUNT + 2 * SHARED_ROW_COUNT + 4];
    struct writer writers[ROW_COUNT + 2 * SHARED_ROW_COUNT];
    struct reader readers[4] = {{.is_get = true},
                                {.is_reversed = false},
                                {.is_reversed = true},
                                {.is_get = true, .is_reversed = true}};
    size_t writer_count = CELLAR_ARRAY_COUNT(writers);
    size_t count = 0;
    atomic_store(&world->writers_left, (uint32_t)writer_count);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(readers); i++) {
        readers[i].world = world;
        readers[i].seed = seed + i;
        assert_int_equal(pthread_create(&threads[count++], NULL, reader_run, &readers[i]), 0);
    }
    for (size_t i = 0; i < writer_count; i++) {
        bool is_shared = i >= ROW_COUNT;
        size_t index = is_shared ? (i - ROW_COUNT) / 2 : i;
        writers[i] = (struct writer){.world = world,
                                     .row = is_shared ? &world->shared[index] : &world->rows[index],
                                     .number = is_shared ? 1 + (i - ROW_COUNT) % 2 : 0};
        assert_int_equal(pthread_create(&threads[count++], NULL, writer_run, &writers[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(readers); i++) {
        assert_true(atomic_load(&world->has_failed) || readers[i].read_count > 0);
    }
}

/* Runs the world, and looks at it once more after a restart. */
static void world_run(const char *name, uint64_t checkpoint_records_max)
{
    struct model_service service;
    struct svc_options options;
    struct world *world = cellar_mem_zalloc(1, sizeof *world);
    struct model_answer answer = {0};
    assert_non_null(world);
    uint64_t seed = test_seed(name);
    model_service_options_init(&options);
    options.checkpoint_records_max = checkpoint_records_max;
    model_service_open(&service, &options);
    cellar_mutex_init(&world->lock);
    world->svc = service.svc;
    world->write_count = CELLAR_MAX(model_steps(200), WRITES_MIN);
    table_make(service.svc);
    rows_make(world);
    threads_run(world, seed);
    if (atomic_load(&world->has_failed)) {
        fail_msg("%s", world->failure);
    }
    assert_true(model_svc_figure(service.svc, "checkpoints") > 0);
    model_service_restart(&service, true);
    const struct model_read all = {0};
    assert_int_equal(model_svc_read(service.svc, TABLE, &all, 131072, &answer, NULL), CELLAR_OK);
    assert_int_equal(answer.row_count, ROW_COUNT + SHARED_ROW_COUNT);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        assert_int_equal(row_judge(&answer, &answer.rows[i], world->rows[i].cell_count, false),
                         world->write_count - 1);
    }
    model_answer_fini(&answer);
    cellar_mutex_fini(&world->lock);
    cellar_mem_free(world);
    model_service_close(&service);
}

static void
r_row_11_r_row_12_r_mut_19_rows_are_whole_while_each_record_is_checkpointed(void **state)
{
    (void)state;
    world_run("atomic rows, each record", 1);
}

static void r_row_11_r_row_12_r_mut_19_rows_are_whole_while_checkpoints_run(void **state)
{
    (void)state;
    world_run("atomic rows", 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            r_row_11_r_row_12_r_mut_19_rows_are_whole_while_each_record_is_checkpointed),
        cmocka_unit_test(r_row_11_r_row_12_r_mut_19_rows_are_whole_while_checkpoints_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
