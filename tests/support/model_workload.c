/*
 * Random requests against a port, compared with the model.
 *
 * A run draws a table (families with rules, granularity, split keys), a pool of row keys and one of
 * qualifiers, all of them likely to be neighbours: few bytes, many of them 00 and FF, or very long
 * with one long beginning. Each step is a write (one row, several in flight, a batch), a clock step
 * or a restart, and then a read of random shape; from time to time everything is read, forwards
 * and backwards. Requests that must be refused are mixed in.
 *
 * What a step draws depends on the seed and the model only, never on the server, so that a seed
 * repeats it; checkpoints fall where they may. The last requests are kept as text and printed when
 * an answer differs.
 */
#include "tests/support/model_workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

#define ROW_POOL 28u
#define QUALIFIER_POOL 14u
#define FAMILY_POOL 4u
#define ENTRIES_MAX 24u
#define RANGES_MAX 4u
#define KEYS_MAX 6u
#define COLUMNS_MAX 5u
#define MUTATIONS_MAX 2100u
#define TRAIL_COUNT 40u
#define TRAIL_BYTES 240u
#define CELLS_MAX 12000u
#define VALUE_BLOCK_BYTES (1u << 21)
#define FULL_STEPS 40u
#define CLOCK_START_US INT64_C(1700000000000000)

struct workload {
    const struct model_workload_options *options;
    struct model_port *port;
    struct test_random random;
    struct model *model;
    struct svc_table table;
    struct svc_family families[FAMILY_POOL];
    struct cellar_gc_rule rules[FAMILY_POOL][3]; /* children */
    struct cellar_slice splits[4];
    struct cellar_slice rows[ROW_POOL];
    struct cellar_slice qualifiers[QUALIFIER_POOL];
    struct cellar_arena arena; /* of the pools */
    struct cellar_arena step;  /* of one step */
    uint8_t *values;
    struct model_answer expected;
    struct model_answer actual;
    size_t step_index;
    char trail[TRAIL_COUNT][TRAIL_BYTES];
    size_t trail_count;
};

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

static uint64_t below(struct workload *load, uint64_t bound)
{
    return test_random_below(&load->random, bound);
}

static bool one_in(struct workload *load, uint64_t count)
{
    return below(load, count) == 0;
}

static void *step_alloc(struct workload *load, size_t bytes)
{
    void *memory = cellar_arena_alloc(&load->step, bytes);
    assert_non_null(memory);
    return memory;
}

static const uint8_t *step_copy(struct workload *load, struct cellar_slice bytes)
{
    const uint8_t *copy = cellar_arena_copy(&load->step, bytes.data, bytes.bytes);
    assert_non_null(copy);
    return copy;
}

/* A line of the trail; the oldest goes. */
static CELLAR_PRINTF(2, 3) void note(struct workload *load, const char *format, ...)
{
    char *line = load->trail[load->trail_count++ % TRAIL_COUNT];
    int bytes = snprintf(line, TRAIL_BYTES, "%zu: ", load->step_index);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + bytes, TRAIL_BYTES - (size_t)bytes, format, arguments);
    va_end(arguments);
}

static void trail_print(const struct workload *load)
{
    size_t first = load->trail_count > TRAIL_COUNT ? load->trail_count - TRAIL_COUNT : 0;
    print_message("%s, seed %llu, step %zu; the last requests:\n", load->options->name,
                  (unsigned long long)load->options->seed, load->step_index);
    for (size_t i = first; i < load->trail_count; i++) {
        print_message("  %s\n", load->trail[i % TRAIL_COUNT]);
    }
}

static const char *show(struct cellar_slice bytes, char *text, size_t text_bytes)
{
    return cellar_bytes_show(bytes, 12, text, text_bytes);
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* Bytes that like to be the same: short, of few letters; now and then very long with one beginning.
 */
static struct cellar_slice key_draw(struct workload *load, size_t bytes_min, size_t bytes_max)
{
    static const uint8_t letters[] = {0x00, 0x01, 0xFF, 0xFE, 'a', 'b'};
    static const size_t lengths[] = {4000, 4001, 4094, 4095, 4096, 250, 251, 249, 500, 120};
    uint8_t bytes[16400];
    size_t count = bytes_min + (size_t)below(load, 5 - bytes_min);
    if (one_in(load, 3)) {
        count = lengths[below(load, CELLAR_ARRAY_COUNT(lengths))];
        memset(bytes, one_in(load, 3) ? 0x00 : 'p', count);
        size_t tail = (size_t)below(load, 8);
        for (size_t i = count - tail; i < count; i++) {
            bytes[i] = letters[below(load, sizeof letters)];
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            bytes[i] = letters[below(load, sizeof letters)];
        }
    }
    if (bytes_max > 4096 && one_in(load, 12)) {
        count = 16384;
        memset(bytes, 'q', count);
        bytes[count - 1] = letters[below(load, sizeof letters)];
    }
    const uint8_t *copy = cellar_arena_copy(&load->arena, bytes, count);
    assert_non_null(copy);
    return cellar_slice_make(copy, count);
}

static struct cellar_gc_rule rule_leaf(struct workload *load)
{
    static const int64_t ages_us[] = {1000, 3000, 20000, 10000000};
    if (one_in(load, 2)) {
        return (struct cellar_gc_rule){.kind = CELLAR_GC_VERSIONS,
                                       .amount = 1 + (int64_t)below(load, 3)};
    }
    return (struct cellar_gc_rule){.kind = CELLAR_GC_AGE,
                                   .amount = ages_us[below(load, CELLAR_ARRAY_COUNT(ages_us))]};
}

static struct cellar_gc_rule rule_draw(struct workload *load, struct cellar_gc_rule *children)
{
    uint64_t shape = below(load, 6);
    if (shape < 2) {
        return (struct cellar_gc_rule){.kind = CELLAR_GC_NONE};
    }
    if (shape < 4) {
        return rule_leaf(load);
    }
    uint32_t count = 1 + (uint32_t)below(load, 3);
    for (uint32_t i = 0; i < count; i++) {
        children[i] = rule_leaf(load);
    }
    return (struct cellar_gc_rule){.kind = shape == 4 ? CELLAR_GC_UNION : CELLAR_GC_INTERSECTION,
                                   .children = children,
                                   .child_count = count};
}

static void pools_draw(struct workload *load)
{
    static const char *const names[FAMILY_POOL] = {"a", "a-b", "b", "Z.longer_name"};
    size_t family_count = 1 + (size_t)below(load, FAMILY_POOL);
    size_t split_count = (size_t)below(load, CELLAR_ARRAY_COUNT(load->splits) + 1);
    for (size_t i = 0; i < ROW_POOL; i++) {
        load->rows[i] = key_draw(load, 1, 4096);
    }
    for (size_t i = 0; i < QUALIFIER_POOL; i++) {
        load->qualifiers[i] = key_draw(load, 0, 16384);
    }
    for (size_t i = 0; i < family_count; i++) {
        /* Not in the order of their names. */
        load->families[family_count - 1 - i] =
            (struct svc_family){cellar_slice_text(names[i]), rule_draw(load, load->rules[i])};
    }
    for (size_t i = 0; i < split_count; i++) {
        load->splits[i] = load->rows[below(load, ROW_POOL)];
    }
    load->table = (struct svc_table){
        .name = cellar_slice_text(load->options->name),
        .granularity = one_in(load, 3) ? CELLAR_GRANULARITY_MICROS : CELLAR_GRANULARITY_MILLIS,
        .families = load->families,
        .family_count = family_count,
        .split_keys = load->splits,
        .split_key_count = split_count,
    };
}

/* ---- writes ---------------------------------------------------------------------------------- */

static struct cellar_slice row_draw(struct workload *load)
{
    /* Some rows are liked more than others. */
    uint64_t index = one_in(load, 2) ? below(load, 5) : below(load, ROW_POOL);
    return load->rows[index];
}

static int64_t now(const struct workload *load)
{
    return model_time(load->model, cellar_clock_real_us());
}

static int64_t time_draw(struct workload *load)
{
    bool is_millis = load->table.granularity == CELLAR_GRANULARITY_MILLIS;
    int64_t unit = is_millis ? 1000 : 1;
    switch (below(load, 8)) {
    case 0:
        return 0;
    case 1:
        return is_millis ? CELLAR_TIMESTAMP_MILLIS_MAX : CELLAR_TIMESTAMP_MAX;
    case 2:
    case 3:
        return now(load) - unit * (int64_t)below(load, 30);
    case 4:
        return now(load) + unit * (int64_t)below(load, 3);
    default:
        return unit * (int64_t)below(load, 6);
    }
}

static struct cellar_slice value_draw(struct workload *load, size_t bytes_max)
{
    static const size_t lengths[] = {0,   0,    1,    5,    20,   20,   100, 900,
                                     950, 1000, 2047, 2048, 2049, 4100, 9000};
    size_t bytes = lengths[below(load, CELLAR_ARRAY_COUNT(lengths))];
    if (one_in(load, 40)) {
        bytes = (size_t)below(load, 300000);
    } else if (one_in(load, 300)) {
        bytes = CELLAR_INLINE_VALUE_BYTES_MAX;
    }
    bytes = CELLAR_MIN(bytes, CELLAR_MIN(bytes_max, load->options->value_bytes_max));
    return cellar_slice_make(load->values + below(load, VALUE_BLOCK_BYTES - bytes), bytes);
}

static void set_draw(struct workload *load, struct cellar_mutation *mutation, size_t bytes_max)
{
    *mutation = (struct cellar_mutation){
        .kind = CELLAR_MUTATION_SET,
        .family = load->families[below(load, load->table.family_count)].name,
        .qualifier = load->qualifiers[below(load, QUALIFIER_POOL)],
        .timestamp_us = one_in(load, 4) ? CELLAR_TIMESTAMP_SERVER : time_draw(load),
        .value = value_draw(load, bytes_max),
    };
}

static void delete_draw(struct workload *load, struct cellar_mutation *mutation)
{
    uint64_t kind = below(load, 10);
    *mutation = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
    if (kind == 0) {
        return;
    }
    mutation->family = load->families[below(load, load->table.family_count)].name;
    if (kind < 3) {
        mutation->kind = CELLAR_MUTATION_DELETE_FAMILY;
        return;
    }
    mutation->kind = CELLAR_MUTATION_DELETE_COLUMN;
    mutation->qualifier = load->qualifiers[below(load, QUALIFIER_POOL)];
    if (one_in(load, 3)) {
        return; /* all times */
    }
    mutation->start_us = time_draw(load);
    mutation->end_us = one_in(load, 3) ? 0 : time_draw(load);
    if (mutation->end_us != 0 && mutation->end_us < mutation->start_us) {
        int64_t start_us = mutation->start_us;
        mutation->start_us = mutation->end_us;
        mutation->end_us = start_us;
    }
    if (mutation->start_us == mutation->end_us) {
        mutation->end_us = 0;
    }
}

/* Many columns in one list: fresh ones, or every third of them deleted. */
static size_t wide_draw(struct workload *load, struct cellar_mutation *mutations)
{
    size_t count = 1 + (size_t)below(load, load->options->wide_columns_max);
    struct cellar_slice family = load->families[below(load, load->table.family_count)].name;
    uint64_t first = below(load, 2000);
    uint64_t stride = 1 + below(load, 3);
    bool is_delete = one_in(load, 4);
    int64_t timestamp_us = time_draw(load);
    for (size_t i = 0; i < count; i++) {
        uint8_t *name = step_alloc(load, 8);
        (void)snprintf((char *)name, 8, "w%05llu", (unsigned long long)(first + i * stride));
        mutations[i] = (struct cellar_mutation){
            .kind = is_delete ? CELLAR_MUTATION_DELETE_COLUMN : CELLAR_MUTATION_SET,
            .family = family,
            .qualifier = cellar_slice_make(name, 6),
            .timestamp_us = is_delete ? 0 : timestamp_us,
            .value = is_delete ? cellar_slice_make(NULL, 0) : value_draw(load, 20),
        };
    }
    return count;
}

static size_t mutation_bytes(const struct cellar_mutation *mutation)
{
    return 48 + mutation->family.bytes + mutation->qualifier.bytes + mutation->value.bytes;
}

static void entry_note(struct workload *load, const char *what, const struct model_entry *entry)
{
    static const char *const kinds[] = {"set", "delete_column", "delete_family", "delete_row"};
    const struct cellar_mutation *first = &entry->mutations[0];
    char row[80];
    char qualifier[80];
    note(load,
         "%s row %s (%zu bytes), %zu mutations, first %s %.*s:%s @%lld [%lld, %lld) %zu bytes",
         what, show(entry->row, row, sizeof row), entry->row.bytes, entry->mutation_count,
         kinds[first->kind], (int)first->family.bytes, (const char *)first->family.data,
         show(first->qualifier, qualifier, sizeof qualifier), (long long)first->timestamp_us,
         (long long)first->start_us, (long long)first->end_us, first->value.bytes);
}

static void entry_draw(struct workload *load, struct model_entry *entry, bool may_be_wide)
{
    size_t left = load->options->record_bytes_max;
    bool is_full = model_cell_count(load->model) > CELLS_MAX;
    size_t count = one_in(load, 3) ? 1 : 1 + (size_t)below(load, 12);
    struct cellar_mutation *mutations =
        step_alloc(load, MUTATIONS_MAX * sizeof(struct cellar_mutation));
    entry->row = row_draw(load);
    entry->mutations = mutations;
    left -= entry->row.bytes;
    if (is_full && model_row_count(load->model) > 0) {
        /* A copy: the model frees its own with the row. */
        struct cellar_slice key =
            model_row_key(load->model, (size_t)below(load, model_row_count(load->model)));
        entry->row = cellar_slice_make(step_copy(load, key), key.bytes);
        mutations[0] = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
        entry->mutation_count = 1;
        return;
    }
    if (may_be_wide && one_in(load, 12)) {
        entry->mutation_count = wide_draw(load, mutations);
        return;
    }
    entry->mutation_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct cellar_mutation *mutation = &mutations[i];
        if (one_in(load, 4)) {
            delete_draw(load, mutation);
        } else {
            set_draw(load, mutation, left / 2);
        }
        if (mutation_bytes(mutation) > left) {
            break;
        }
        left -= mutation_bytes(mutation);
        entry->mutation_count++;
    }
    if (entry->mutation_count == 0) {
        mutations[0] = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
        entry->mutation_count = 1;
    }
}

static void status_check(const struct workload *load, enum cellar_status status,
                         const struct cellar_error *error, const char *what)
{
    if (status != CELLAR_OK) {
        trail_print(load);
        fail_msg("%s: %s: %s", what, cellar_status_text(status), error->text);
    }
}

static void write_step(struct workload *load)
{
    static const char *const names[] = {"mutate", "burst", "batch"};
    struct cellar_error results[ENTRIES_MAX];
    struct cellar_error error;
    struct model_entry entries[ENTRIES_MAX];
    uint64_t way = one_in(load, 3) ? 1 + below(load, 2) : 0;
    size_t count = way == 0 ? 1 : 1 + (size_t)below(load, ENTRIES_MAX);
    enum cellar_status status = CELLAR_OK;
    cellar_error_clear(&error);
    for (size_t i = 0; i < count; i++) {
        bool is_repeated = true;
        /* Entries of a batch may come in any order: one a row. */
        for (int tries = 0; is_repeated && tries < 100; tries++) {
            entry_draw(load, &entries[i], i == 0);
            is_repeated = false;
            for (size_t j = 0; way == 2 && j < i; j++) {
                is_repeated |= cellar_slice_equal(entries[i].row, entries[j].row);
            }
        }
        count = is_repeated ? i : count;
    }
    for (size_t i = 0; i < count; i++) {
        entry_note(load, names[way], &entries[i]);
        model_apply(load->model, entries[i].row, entries[i].mutations, entries[i].mutation_count,
                    now(load));
    }
    const struct model_port_calls *calls = load->port->calls;
    if (way == 0) {
        status = calls->mutate(load->port, load->options->name, &entries[0], &error);
    } else if (way == 1) {
        status = calls->mutate_burst(load->port, load->options->name, entries, count, &error);
    } else {
        status =
            calls->mutate_batch(load->port, load->options->name, entries, count, results, &error);
        for (size_t i = 0; status == CELLAR_OK && i < count; i++) {
            status_check(load, results[i].code, &results[i], "entry of a batch");
        }
    }
    status_check(load, status, &error, names[way]);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* A key of the pool, or one beside it. */
static struct cellar_slice bound_draw(struct workload *load)
{
    struct cellar_slice row = row_draw(load);
    if (one_in(load, 10)) {
        return cellar_slice_make(NULL, 0);
    }
    if (one_in(load, 4)) {
        return cellar_slice_make(row.data, 1 + (size_t)below(load, row.bytes));
    }
    if (one_in(load, 6) && row.bytes < CELLAR_RANGE_BOUND_BYTES_MAX) {
        uint8_t *longer = step_alloc(load, row.bytes + 1);
        memcpy(longer, row.data, row.bytes);
        longer[row.bytes] = one_in(load, 2) ? 0x00 : 0xFF;
        return cellar_slice_make(longer, row.bytes + 1);
    }
    return row;
}

static void range_draw(struct workload *load, struct model_range *range)
{
    *range = (struct model_range){.start = bound_draw(load),
                                  .end = bound_draw(load),
                                  .start_is_closed = one_in(load, 2),
                                  .end_is_closed = one_in(load, 2),
                                  .is_prefix = one_in(load, 4)};
    if (range->is_prefix) {
        range->start.bytes = CELLAR_MIN(range->start.bytes, CELLAR_ROW_BYTES_MAX);
        return;
    }
    if (!model_range_is_valid(range) && !one_in(load, 20)) {
        struct cellar_slice start = range->start;
        range->start = range->end;
        range->end = start;
    }
}

static void columns_draw(struct workload *load, struct svc_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        columns[i] = (struct svc_column){
            .family = load->families[below(load, load->table.family_count)].name,
            .qualifier = load->qualifiers[below(load, QUALIFIER_POOL)],
            .is_family = one_in(load, 5),
        };
        if (columns[i].is_family) {
            columns[i].qualifier = cellar_slice_make(NULL, 0);
        } else if (one_in(load, 3)) {
            uint8_t *name = step_alloc(load, 8);
            (void)snprintf((char *)name, 8, "w%05llu", (unsigned long long)below(load, 3000));
            columns[i].qualifier = cellar_slice_make(name, 6);
        }
    }
}

static void read_draw(struct workload *load, struct model_read *read)
{
    struct cellar_slice *keys = step_alloc(load, KEYS_MAX * sizeof *keys);
    struct model_range *ranges = step_alloc(load, RANGES_MAX * sizeof *ranges);
    struct svc_column *columns = step_alloc(load, COLUMNS_MAX * sizeof *columns);
    *read = (struct model_read){.keys = keys, .ranges = ranges, .columns = columns};
    uint64_t shape = below(load, 6);
    read->key_count = shape == 0 || shape == 1 || shape == 5 ? 1 + below(load, KEYS_MAX) : 0;
    read->range_count = shape == 2 || shape == 3 || shape == 5 ? 1 + below(load, RANGES_MAX) : 0;
    for (size_t i = 0; i < read->key_count; i++) {
        keys[i] = row_draw(load);
    }
    for (size_t i = 0; i < read->range_count; i++) {
        range_draw(load, &ranges[i]);
    }
    read->column_count = one_in(load, 3) ? 1 + below(load, COLUMNS_MAX) : 0;
    columns_draw(load, columns, read->column_count);
    read->versions_max = one_in(load, 3) ? 1 + (int64_t)below(load, 3) : 0;
    read->rows_limit = one_in(load, 4) ? 1 + (int64_t)below(load, 6) : 0;
    read->is_reversed = one_in(load, 3);
    read->keys_only = one_in(load, 6);
}

static void read_note(struct workload *load, const struct model_read *read)
{
    char start[80] = "";
    char end[80] = "";
    if (read->range_count > 0) {
        (void)show(read->ranges[0].start, start, sizeof start);
        (void)show(read->ranges[0].end, end, sizeof end);
    }
    note(load,
         "read %zu keys, %zu ranges (first %s to %s, closed %d %d, prefix %d), %zu columns, "
         "versions %lld, limit %lld, reversed %d, keys only %d",
         read->key_count, read->range_count, start, end,
         read->range_count > 0 && read->ranges[0].start_is_closed,
         read->range_count > 0 && read->ranges[0].end_is_closed,
         read->range_count > 0 && read->ranges[0].is_prefix, read->column_count,
         (long long)read->versions_max, (long long)read->rows_limit, read->is_reversed,
         read->keys_only);
}

static void read_check(struct workload *load, const struct model_read *read)
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
            trail_print(load);
            fail_msg("a range that must be refused ended with %s", cellar_status_text(status));
        }
        return;
    }
    status_check(load, status, &error, "read");
    model_read(load->model, read, cellar_clock_real_us(), &load->expected);
    if (!model_answer_equal(&load->expected, &load->actual, text, sizeof text)) {
        trail_print(load);
        fail_msg("%s", text);
    }
}

static void full_check(struct workload *load)
{
    struct model_read read = {0};
    read_check(load, &read);
    read.is_reversed = true;
    read_check(load, &read);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void clock_step(struct workload *load)
{
    static const int64_t steps_us[] = {1000, 1000, 2000, 5000, 30000, 11000000};
    int64_t step_us = steps_us[below(load, CELLAR_ARRAY_COUNT(steps_us))];
    if (load->table.granularity == CELLAR_GRANULARITY_MICROS) {
        step_us += (int64_t)below(load, 1000);
    }
    cellar_clock_fake_step(step_us);
    note(load, "clock + %lld us", (long long)step_us);
}

static void restart_step(struct workload *load)
{
    bool is_crash = load->options->has_crashes && one_in(load, 2);
    note(load, is_crash ? "crash" : "restart");
    load->port->calls->restart(load->port, is_crash);
    full_check(load);
}

static void step_run(struct workload *load)
{
    const struct model_workload_options *options = load->options;
    cellar_arena_reset(&load->step);
    if (one_in(load, 6)) {
        clock_step(load);
    }
    if (options->restart_step_count > 0 && one_in(load, options->restart_step_count)) {
        restart_step(load);
    }
    write_step(load);
    for (uint64_t i = below(load, 3); i > 0; i--) {
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
    struct workload *load = calloc(1, sizeof *load);
    struct cellar_error error;
    assert_non_null(load);
    cellar_error_clear(&error);
    load->options = options;
    load->port = port;
    load->random.state = options->seed;
    port->random.state = options->seed + 1;
    load->values = malloc(VALUE_BLOCK_BYTES);
    assert_non_null(load->values);
    test_random_bytes(&load->random, load->values, VALUE_BLOCK_BYTES);
    pools_draw(load);
    load->model = model_new(&load->table);
    status_check(load, port->calls->create(port, &load->table, &error), &error, "create");
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
