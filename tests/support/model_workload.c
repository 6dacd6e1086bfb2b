/*
 * Random requests against a port, compared with the model.
 *
 * A run draws a table (families with rules, granularity, split keys), a pool of row keys and one of
 * qualifiers, all of them likely to be neighbours: few bytes, many of them 00 and FF, or very long
 * with one long beginning. Each step is a write (one row, several in flight, a batch), before it
 * perhaps a clock step, a restart, or drops of rows and changes of families, and then a read of
 * random shape; from time to time everything is read, forwards and backwards. Behind a drop the
 * next requests like the rows that it took. Requests that must be refused are mixed in.
 *
 * What a step draws depends on the seed and the model only, never on the server, so that a seed
 * repeats it; checkpoints fall where they may. The last requests are kept as text and printed when
 * an answer differs.
 */
#include "tests/support/model_load.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/support/model_draw.h"

#define FULL_STEPS 40u
#define SETTLES_MAX 4u
#define KEYS_MAX 6u
#define RANGES_MAX 4u
#define COLUMNS_MAX 5u
#define CLOCK_START_US INT64_C(1700000000000000)

/* ---- small help ------------------------------------------------------------------------------ */

size_t model_steps(size_t count)
{
    const char *text = getenv("CELLAR_TEST_SCALE");
    uint64_t percent = text == NULL || text[0] == '\0' ? 100 : strtoull(text, NULL, 10);
#if defined(__SANITIZE_ADDRESS__)
    percent = percent / 3;
#elif defined(__SANITIZE_THREAD__)
    percent = percent / 8;
#endif
    uint64_t scaled = count * percent / 100;
    return scaled == 0 ? 1 : (size_t)scaled;
}

void model_clock_start(void)
{
    cellar_clock_fake_set(CLOCK_START_US, 1000000);
}

uint64_t model_load_below(struct model_load *load, uint64_t bound)
{
    return test_random_below(&load->random, bound);
}

bool model_load_one_in(struct model_load *load, uint64_t count)
{
    return model_load_below(load, count) == 0;
}

void *model_load_alloc(struct model_load *load, size_t bytes)
{
    void *memory = cellar_arena_alloc(&load->step, bytes);
    assert_non_null(memory);
    return memory;
}

void model_load_note(struct model_load *load, const char *format, ...)
{
    char *line = load->trail[load->trail_count++ % MODEL_LOAD_TRAIL_LINES];
    int bytes = snprintf(line, MODEL_LOAD_TRAIL_BYTES, "%zu: ", load->step_index);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + bytes, MODEL_LOAD_TRAIL_BYTES - (size_t)bytes, format, arguments);
    va_end(arguments);
}

void model_load_trail_print(const struct model_load *load)
{
    size_t first =
        load->trail_count > MODEL_LOAD_TRAIL_LINES ? load->trail_count - MODEL_LOAD_TRAIL_LINES : 0;
    print_message("%s, seed %llu, step %zu; the last requests:\n", load->options->name,
                  (unsigned long long)load->options->seed, load->step_index);
    for (size_t i = first; i < load->trail_count; i++) {
        print_message("  %s\n", load->trail[i % MODEL_LOAD_TRAIL_LINES]);
    }
}

const char *model_load_show(struct cellar_slice bytes, char *text, size_t text_bytes)
{
    return cellar_bytes_show(bytes, 12, text, text_bytes);
}

void model_load_expect(const struct model_load *load, enum cellar_status expected,
                       enum cellar_status status, const struct cellar_error *error,
                       const char *what)
{
    if (status != expected) {
        model_load_trail_print(load);
        fail_msg("%s: %s expected, got %s: %s", what, cellar_status_text(expected),
                 cellar_status_text(status), status == CELLAR_OK ? "" : error->text);
    }
}

/* ---- pools ----------------------------------------------------------------------------------- */

static void pools_draw(struct model_load *load)
{
    size_t family_count = 1 + (size_t)model_load_below(load, MODEL_LOAD_FAMILIES);
    size_t split_count = (size_t)model_load_below(load, CELLAR_ARRAY_COUNT(load->splits) + 1);
    for (size_t i = 0; i < MODEL_LOAD_ROWS; i++) {
        load->rows[i] = model_draw_key(&load->random, &load->arena, 1, 4096);
    }
    for (size_t i = 0; i < MODEL_LOAD_QUALIFIERS; i++) {
        load->qualifiers[i] = model_draw_key(&load->random, &load->arena, 0, 16384);
    }
    for (size_t i = 0; i < family_count; i++) {
        /* Not in the order of their names. */
        load->families[family_count - 1 - i] = (struct svc_family){
            model_load_family_name(i), model_draw_rule(&load->random, &load->arena)};
    }
    for (size_t i = 0; i < split_count; i++) {
        load->splits[i] = load->rows[model_load_below(load, MODEL_LOAD_ROWS)];
    }
    load->table = (struct svc_table){
        .name = cellar_slice_text(load->options->name),
        .granularity =
            model_load_one_in(load, 3) ? CELLAR_GRANULARITY_MICROS : CELLAR_GRANULARITY_MILLIS,
        .families = load->families,
        .family_count = family_count,
        .split_keys = load->splits,
        .split_key_count = split_count,
    };
}

/* ---- draws of both kinds ------------------------------------------------------------------------
 */

struct cellar_slice model_load_row(struct model_load *load)
{
    /* What was dropped is written and read again at once. */
    if (load->dropped_draw_count > 0) {
        size_t first = (size_t)model_load_below(load, MODEL_LOAD_ROWS);
        load->dropped_draw_count--;
        for (size_t i = 0; i < MODEL_LOAD_ROWS; i++) {
            struct cellar_slice row = load->rows[(first + i) % MODEL_LOAD_ROWS];
            if (cellar_slice_has_prefix(row, load->dropped)) {
                return row;
            }
        }
    }
    /* Some rows are liked more than others. */
    uint64_t index = model_load_one_in(load, 2) ? model_load_below(load, 5)
                                                : model_load_below(load, MODEL_LOAD_ROWS);
    return load->rows[index];
}

struct cellar_slice model_load_family_name(size_t index)
{
    static const char *const names[MODEL_LOAD_FAMILIES] = {"a", "a-b", "b", "Z.longer_name"};
    assert_true(index < MODEL_LOAD_FAMILIES);
    return cellar_slice_text(names[index]);
}

struct cellar_slice model_load_family(struct model_load *load)
{
    size_t count = model_family_count(load->model);
    if (count == 0 || model_load_one_in(load, 40)) {
        return model_load_family_name(model_load_below(load, MODEL_LOAD_FAMILIES));
    }
    return model_family_name(load->model, (size_t)model_load_below(load, count));
}

bool model_load_has_family(const struct model_load *load, struct cellar_slice name)
{
    bool is_there = false;
    for (size_t i = 0; i < model_family_count(load->model); i++) {
        is_there = is_there || cellar_slice_equal(model_family_name(load->model, i), name);
    }
    return is_there;
}

int64_t model_load_now(const struct model_load *load)
{
    return model_time(load->model, cellar_clock_real_us());
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* A key of the pool, or one beside it. */
static struct cellar_slice bound_draw(struct model_load *load)
{
    struct cellar_slice row = model_load_row(load);
    if (model_load_one_in(load, 10)) {
        return cellar_slice_make(NULL, 0);
    }
    if (model_load_one_in(load, 4)) {
        return cellar_slice_make(row.data, 1 + (size_t)model_load_below(load, row.bytes));
    }
    if (model_load_one_in(load, 6) && row.bytes < CELLAR_RANGE_BOUND_BYTES_MAX) {
        uint8_t *longer = model_load_alloc(load, row.bytes + 1);
        memcpy(longer, row.data, row.bytes);
        longer[row.bytes] = model_load_one_in(load, 2) ? 0x00 : 0xFF;
        return cellar_slice_make(longer, row.bytes + 1);
    }
    return row;
}

static void range_draw(struct model_load *load, struct model_range *range)
{
    *range = (struct model_range){.start = bound_draw(load),
                                  .end = bound_draw(load),
                                  .start_is_closed = model_load_one_in(load, 2),
                                  .end_is_closed = model_load_one_in(load, 2),
                                  .is_prefix = model_load_one_in(load, 4)};
    if (range->is_prefix) {
        range->start.bytes = CELLAR_MIN(range->start.bytes, CELLAR_ROW_BYTES_MAX);
        return;
    }
    if (!model_range_is_valid(range) && !model_load_one_in(load, 20)) {
        struct cellar_slice start = range->start;
        range->start = range->end;
        range->end = start;
    }
}

static void columns_draw(struct model_load *load, struct svc_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        columns[i] = (struct svc_column){
            .family = model_load_family(load),
            .qualifier = load->qualifiers[model_load_below(load, MODEL_LOAD_QUALIFIERS)],
            .is_family = model_load_one_in(load, 5),
        };
        if (columns[i].is_family) {
            columns[i].qualifier = cellar_slice_make(NULL, 0);
        } else if (model_load_one_in(load, 3)) {
            uint8_t *name = model_load_alloc(load, 8);
            (void)snprintf((char *)name, 8, "w%05llu",
                           (unsigned long long)model_load_below(load, 3000));
            columns[i].qualifier = cellar_slice_make(name, 6);
        }
    }
}

static void read_draw(struct model_load *load, struct model_read *read)
{
    struct cellar_slice *keys = model_load_alloc(load, KEYS_MAX * sizeof *keys);
    struct model_range *ranges = model_load_alloc(load, RANGES_MAX * sizeof *ranges);
    struct svc_column *columns = model_load_alloc(load, COLUMNS_MAX * sizeof *columns);
    *read = (struct model_read){.keys = keys, .ranges = ranges, .columns = columns};
    uint64_t shape = model_load_below(load, 6);
    read->key_count =
        shape == 0 || shape == 1 || shape == 5 ? 1 + model_load_below(load, KEYS_MAX) : 0;
    read->range_count =
        shape == 2 || shape == 3 || shape == 5 ? 1 + model_load_below(load, RANGES_MAX) : 0;
    for (size_t i = 0; i < read->key_count; i++) {
        keys[i] = model_load_row(load);
    }
    for (size_t i = 0; i < read->range_count; i++) {
        range_draw(load, &ranges[i]);
    }
    read->column_count = model_load_one_in(load, 3) ? 1 + model_load_below(load, COLUMNS_MAX) : 0;
    columns_draw(load, columns, read->column_count);
    read->versions_max = model_load_one_in(load, 3) ? 1 + (int64_t)model_load_below(load, 3) : 0;
    read->rows_limit = model_load_one_in(load, 4) ? 1 + (int64_t)model_load_below(load, 6) : 0;
    read->is_reversed = model_load_one_in(load, 3);
    read->keys_only = model_load_one_in(load, 6);
}

static void read_note(struct model_load *load, const struct model_read *read)
{
    char start[80] = "";
    char end[80] = "";
    if (read->range_count > 0) {
        (void)model_load_show(read->ranges[0].start, start, sizeof start);
        (void)model_load_show(read->ranges[0].end, end, sizeof end);
    }
    model_load_note(
        load,
        "read %zu keys, %zu ranges (first %s to %s, closed %d %d, prefix %d), %zu columns, "
        "versions %lld, limit %lld, reversed %d, keys only %d",
        read->key_count, read->range_count, start, end,
        read->range_count > 0 && read->ranges[0].start_is_closed,
        read->range_count > 0 && read->ranges[0].end_is_closed,
        read->range_count > 0 && read->ranges[0].is_prefix, read->column_count,
        (long long)read->versions_max, (long long)read->rows_limit, read->is_reversed,
        read->keys_only);
}

/* The answers differ: cells that were hidden once may be gone, as the server's whole table tells.
 * Then the read is made again, as more of them may have gone since. */
static void settle(struct model_load *load, const struct model_read *read)
{
    struct cellar_error error;
    const struct model_read all = {0};
    const struct model_port_calls *calls = load->port->calls;
    cellar_error_clear(&error);
    enum cellar_status status =
        calls->read(load->port, load->options->name, &all, &load->actual, &error);
    model_load_expect(load, CELLAR_OK, status, &error, "read of everything");
    model_settle(load->model, &load->actual, cellar_clock_real_us());
    status = calls->read(load->port, load->options->name, read, &load->actual, &error);
    model_load_expect(load, CELLAR_OK, status, &error, "read again");
    model_read(load->model, read, cellar_clock_real_us(), &load->expected);
}

static void read_check(struct model_load *load, const struct model_read *read)
{
    struct cellar_error error;
    char text[1600];
    bool is_valid = true;
    cellar_error_clear(&error);
    read_note(load, read);
    for (size_t i = 0; i < read->range_count; i++) {
        is_valid = is_valid && model_range_is_valid(&read->ranges[i]);
    }
    enum cellar_status status =
        load->port->calls->read(load->port, load->options->name, read, &load->actual, &error);
    if (!is_valid) {
        if (status != CELLAR_INVALID_ARGUMENT) {
            model_load_trail_print(load);
            fail_msg("a range that must be refused ended with %s", cellar_status_text(status));
        }
        return;
    }
    for (size_t i = 0; i < read->column_count; i++) {
        if (!model_load_has_family(load, read->columns[i].family)) {
            model_load_expect(load, CELLAR_NOT_FOUND, status, &error,
                              "read of a family that is not");
            return;
        }
    }
    model_load_expect(load, CELLAR_OK, status, &error, "read");
    model_read(load->model, read, cellar_clock_real_us(), &load->expected);
    for (unsigned i = 0; i < SETTLES_MAX; i++) {
        if (model_answer_equal(&load->expected, &load->actual, text, sizeof text)) {
            return;
        }
        settle(load, read);
    }
    model_load_trail_print(load);
    fail_msg("%s", text);
}

static void full_check(struct model_load *load)
{
    struct model_read read = {0};
    read_check(load, &read);
    read.is_reversed = true;
    read_check(load, &read);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void clock_step(struct model_load *load)
{
    static const int64_t steps_us[] = {1000, 1000, 2000, 5000, 30000, 11000000};
    int64_t step_us = steps_us[model_load_below(load, CELLAR_ARRAY_COUNT(steps_us))];
    if (load->table.granularity == CELLAR_GRANULARITY_MICROS) {
        step_us += (int64_t)model_load_below(load, 1000);
    }
    cellar_clock_fake_step(step_us);
    model_mark(load->model, cellar_clock_real_us());
    model_load_note(load, "clock + %lld us", (long long)step_us);
}

static void restart_step(struct model_load *load)
{
    bool is_crash = load->options->has_crashes && model_load_one_in(load, 2);
    model_load_note(load, is_crash ? "crash" : "restart");
    load->port->calls->restart(load->port, is_crash);
    full_check(load);
}

static void step_run(struct model_load *load)
{
    const struct model_workload_options *options = load->options;
    cellar_arena_reset(&load->step);
    if (model_load_one_in(load, 6)) {
        clock_step(load);
    }
    if (options->restart_step_count > 0 && model_load_one_in(load, options->restart_step_count)) {
        restart_step(load);
    }
    if (options->change_step_count > 0 && model_load_one_in(load, options->change_step_count)) {
        model_load_change(load);
    }
    model_load_write(load);
    for (uint64_t i = model_load_below(load, 3); i > 0; i--) {
        struct model_read read;
        read_draw(load, &read);
        read_check(load, &read);
    }
    if (load->step_index % FULL_STEPS == 0) {
        full_check(load);
    }
}

void model_workload_run(struct model_port *port, const struct model_workload_options *options)
{
    struct model_load *load = calloc(1, sizeof *load);
    struct cellar_error error;
    assert_non_null(load);
    cellar_error_clear(&error);
    load->options = options;
    load->port = port;
    load->random.state = options->seed;
    port->random.state = options->seed + 1;
    load->values = malloc(MODEL_LOAD_VALUE_BYTES);
    assert_non_null(load->values);
    test_random_bytes(&load->random, load->values, MODEL_LOAD_VALUE_BYTES);
    pools_draw(load);
    load->model = model_new(&load->table);
    model_load_expect(load, CELLAR_OK, port->calls->create(port, &load->table, &error), &error,
                      "create");
    for (load->step_index = 1; load->step_index <= options->step_count; load->step_index++) {
        step_run(load);
    }
    full_check(load);
    model_free(load->model);
    model_answer_fini(&load->expected);
    model_answer_fini(&load->actual);
    cellar_arena_fini(&load->arena);
    cellar_arena_fini(&load->step);
    free(load->values);
    free(load);
}
