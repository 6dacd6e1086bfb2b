/*
 * The workloads: YCSB's core workloads A to F (B. Cooper et al., "Benchmarking cloud serving
 * systems with YCSB", 2010) and the operations that a wide-column store is for, one by one.
 *
 * YCSB as it is written there: records of ten fields of 100 bytes, reads of a whole record, updates
 * of one field, Zipf's law with 0.99 over scrambled records (A, B, C, E, F) or the newest first
 * (D), scans of 1 to 100 records (E), a read and a write of one record as one operation (F).
 *
 * A source draws from a seed alone, so that two servers are given the same operations in the same
 * order, but for what depends on when inserts are answered. Pure; one thread.
 */

#include "client/tools/bench_workload.h"

#define THETA 0.99
#define COLUMNS_A_LOAD 500u

const struct cellar_bench_workload cellar_bench_workloads[] = {
    {"get", "reads of one cell", CELLAR_BENCH_UNIFORM, {{CELLAR_BENCH_GET_CELL, .percent = 100}}},
    {"row",
     "reads of a row of ten cells",
     CELLAR_BENCH_UNIFORM,
     {{CELLAR_BENCH_GET_ROW, .percent = 100}}},
    {"put",
     "durable writes of one cell",
     CELLAR_BENCH_UNIFORM,
     {{CELLAR_BENCH_PUT_CELL, .percent = 100}}},
    {"scan",
     "scans of 1 to 100 rows",
     CELLAR_BENCH_UNIFORM,
     {{CELLAR_BENCH_SCAN, .percent = 100, .count_min = 1, .count_max = 100}}},
    {"full-scan",
     "scans of all rows",
     CELLAR_BENCH_UNIFORM,
     {{CELLAR_BENCH_SCAN_ALL, .percent = 100}}},
    {"slice",
     "reads of 50 of the 10,000 columns of a wide row",
     CELLAR_BENCH_UNIFORM,
     {{CELLAR_BENCH_SLICE, .percent = 100, .count_min = 50, .count_max = 50}}},
    {"timeline",
     "80 % appends to a user's events, 20 % reads of the newest 50",
     CELLAR_BENCH_ZIPFIAN,
     {{CELLAR_BENCH_PUT_EVENTS, .percent = 80, .count_min = 1, .count_max = 1},
      {CELLAR_BENCH_NEWEST, .percent = 20, .count_min = 50, .count_max = 50}}},
    {"a",
     "YCSB A: 50 % reads of a row, 50 % updates of a cell",
     CELLAR_BENCH_ZIPFIAN,
     {{CELLAR_BENCH_GET_ROW, .percent = 50}, {CELLAR_BENCH_PUT_CELL, .percent = 50}}},
    {"b",
     "YCSB B: 95 % reads, 5 % updates",
     CELLAR_BENCH_ZIPFIAN,
     {{CELLAR_BENCH_GET_ROW, .percent = 95}, {CELLAR_BENCH_PUT_CELL, .percent = 5}}},
    {"c", "YCSB C: reads", CELLAR_BENCH_ZIPFIAN, {{CELLAR_BENCH_GET_ROW, .percent = 100}}},
    {"d",
     "YCSB D: 95 % reads of the latest, 5 % inserts",
     CELLAR_BENCH_LATEST,
     {{CELLAR_BENCH_GET_ROW, .percent = 95},
      {CELLAR_BENCH_PUT_ROWS, .percent = 5, .count_min = 1, .count_max = 1, .is_insert = true}}},
    {"e",
     "YCSB E: 95 % scans of 1 to 100 rows, 5 % inserts",
     CELLAR_BENCH_ZIPFIAN,
     {{CELLAR_BENCH_SCAN, .percent = 95, .count_min = 1, .count_max = 100},
      {CELLAR_BENCH_PUT_ROWS, .percent = 5, .count_min = 1, .count_max = 1, .is_insert = true}}},
    {"f",
     "YCSB F: 50 % reads, 50 % reads and updates of the same row",
     CELLAR_BENCH_ZIPFIAN,
     {{CELLAR_BENCH_GET_ROW, .percent = 50},
      {CELLAR_BENCH_GET_ROW, .percent = 50, .is_modify = true}}},
    {.name = NULL},
};

const struct cellar_bench_workload *cellar_bench_workload_find(const char *name)
{
    const struct cellar_bench_workload *at = cellar_bench_workloads;
    CELLAR_ASSERT(name != NULL);
    while (at->name != NULL && strcmp(at->name, name) != 0) {
        at++;
    }
    return at->name == NULL ? NULL : at;
}

uint32_t cellar_bench_workload_kinds(const struct cellar_bench_workload *workload)
{
    uint32_t kinds = 0;
    for (uint32_t index = 0; index < CELLAR_BENCH_PARTS_MAX; index++) {
        const struct cellar_bench_part *part = &workload->parts[index];
        if (part->percent > 0) {
            kinds |= 1u << part->kind | (part->is_modify ? 1u << CELLAR_BENCH_PUT_CELL : 0);
        }
    }
    CELLAR_ASSERT(kinds != 0);
    return kinds;
}

enum cellar_bench_load cellar_bench_workload_load(const struct cellar_bench_workload *workload)
{
    enum cellar_bench_kind kind = workload->parts[0].kind;
    CELLAR_ASSERT(workload->parts[0].percent > 0);
    return kind == CELLAR_BENCH_SLICE        ? CELLAR_BENCH_LOAD_WIDE
           : kind == CELLAR_BENCH_PUT_EVENTS ? CELLAR_BENCH_LOAD_TIMELINES
                                             : CELLAR_BENCH_LOAD_RECORDS;
}

/* How many rows of the workload's kind there are to choose from. */
static uint64_t choice_count(const struct cellar_bench_source *source,
                             const struct cellar_bench_state *state)
{
    CELLAR_ASSERT(source->workload != NULL);
    switch (source->load) {
    case CELLAR_BENCH_LOAD_WIDE:
        return source->sizes.wide_count;
    case CELLAR_BENCH_LOAD_TIMELINES:
        return source->sizes.timeline_count;
    case CELLAR_BENCH_LOAD_RECORDS:
        break;
    }
    return source->workload->choice == CELLAR_BENCH_LATEST ? cellar_bench_state_records(state)
                                                           : source->sizes.record_count;
}

void cellar_bench_source_init(struct cellar_bench_source *source,
                              const struct cellar_bench_workload *workload,
                              const struct cellar_bench_state *state, uint64_t seed)
{
    CELLAR_ASSERT(workload->name != NULL);
    *source = (struct cellar_bench_source){.workload = workload,
                                           .load = cellar_bench_workload_load(workload),
                                           .sizes = state->sizes,
                                           .random = {seed}};
    if (workload->choice != CELLAR_BENCH_UNIFORM) {
        cellar_bench_zipf_init(&source->zipf, choice_count(source, state), THETA);
    }
}

void cellar_bench_source_init_load(struct cellar_bench_source *source, enum cellar_bench_load load,
                                   const struct cellar_bench_sizes *sizes, uint32_t batch)
{
    CELLAR_ASSERT(batch > 0);
    *source = (struct cellar_bench_source){.load = load, .sizes = *sizes, .batch = batch};
}

/* Chooses a record, wide row or timeline. */
static uint64_t record_choose(struct cellar_bench_source *source,
                              const struct cellar_bench_state *state)
{
    uint64_t count = choice_count(source, state);
    CELLAR_ASSERT(count > 0);
    if (source->workload->choice == CELLAR_BENCH_UNIFORM) {
        return cellar_bench_random_below(&source->random, count);
    }
    if (count > source->zipf.count) {
        cellar_bench_zipf_grow(&source->zipf, count);
    }
    uint64_t rank = cellar_bench_zipf_next(&source->zipf, &source->random);
    return source->workload->choice == CELLAR_BENCH_LATEST ? count - 1 - rank
                                                           : cellar_bench_mix(rank + 1) % count;
}

/* Chooses which part of the mix comes next. */
static const struct cellar_bench_part *part_choose(struct cellar_bench_source *source,
                                                   const struct cellar_bench_state *state)
{
    const struct cellar_bench_part *parts = source->workload->parts;
    uint64_t inserts_in_flight = state->inserts_sent - state->inserts_settled;
    CELLAR_ASSERT(parts[0].percent + parts[1].percent == 100);
    /* An insert that is not answered for long holds back the others rather than their count. */
    if (parts[1].percent == 0 ||
        (parts[1].is_insert && inserts_in_flight + 1 >= CELLAR_BENCH_INSERTS_MAX)) {
        return &parts[0];
    }
    return &parts[cellar_bench_random_below(&source->random, 100) < parts[0].percent ? 0 : 1];
}

/* Draws an operation of the workload. */
static void workload_next(struct cellar_bench_source *source,
                          const struct cellar_bench_state *state, struct cellar_bench_op *op)
{
    const struct cellar_bench_part *part = part_choose(source, state);
    struct cellar_bench_random *random = &source->random;
    CELLAR_ASSERT(part->count_min <= part->count_max);
    op->kind = part->kind;
    op->is_modify = part->is_modify;
    op->is_insert = part->is_insert;
    op->record = part->is_insert ? 0 : record_choose(source, state);
    op->count = part->count_min +
                (uint32_t)cellar_bench_random_below(random, part->count_max - part->count_min + 1);
    if (part->kind == CELLAR_BENCH_SLICE) {
        op->column =
            (uint32_t)cellar_bench_random_below(random, CELLAR_BENCH_COLUMN_COUNT - op->count + 1);
    } else if (part->kind == CELLAR_BENCH_GET_CELL || part->kind == CELLAR_BENCH_PUT_CELL ||
               part->is_modify) {
        op->column = (uint32_t)cellar_bench_random_below(random, CELLAR_BENCH_FIELD_COUNT);
    }
}

/* The next piece of a load; false at its end. */
static bool load_next(struct cellar_bench_source *source, struct cellar_bench_op *op)
{
    const struct cellar_bench_sizes *sizes = &source->sizes;
    CELLAR_ASSERT(source->batch > 0);
    op->record = source->next;
    switch (source->load) {
    case CELLAR_BENCH_LOAD_RECORDS:
        op->kind = CELLAR_BENCH_PUT_ROWS;
        op->count = (uint32_t)CELLAR_MIN((uint64_t)source->batch, sizes->record_count - op->record);
        source->next += op->count;
        return op->count > 0;
    case CELLAR_BENCH_LOAD_TIMELINES:
        op->kind = CELLAR_BENCH_PUT_EVENTS;
        op->count = source->batch;
        return source->next++ < sizes->timeline_count;
    case CELLAR_BENCH_LOAD_WIDE:
        break;
    }
    op->kind = CELLAR_BENCH_PUT_COLUMNS;
    op->column = source->next_column;
    op->count = COLUMNS_A_LOAD;
    source->next_column += op->count;
    if (source->next_column >= CELLAR_BENCH_COLUMN_COUNT) {
        source->next_column = 0;
        source->next++;
    }
    static_assert(CELLAR_BENCH_COLUMN_COUNT % COLUMNS_A_LOAD == 0, "whole pieces");
    return op->record < sizes->wide_count;
}

bool cellar_bench_source_next(struct cellar_bench_source *source,
                              const struct cellar_bench_state *state, struct cellar_bench_op *op)
{
    CELLAR_ASSERT(source->workload != NULL || source->batch > 0);
    memset(op, 0, sizeof *op);
    if (source->workload == NULL) {
        return load_next(source, op);
    }
    workload_next(source, state, op);
    return true;
}
