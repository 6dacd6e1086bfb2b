#ifndef CELLAR_TOOLS_BENCH_WORKLOAD_H
#define CELLAR_TOOLS_BENCH_WORKLOAD_H

#include "client/tools/bench_check.h"
#include "client/tools/bench_random.h"

/* What the benchmark does: named mixes of operations, and a source that draws them. */

#define CELLAR_BENCH_PARTS_MAX 2u

enum cellar_bench_choice {
    CELLAR_BENCH_UNIFORM,
    CELLAR_BENCH_ZIPFIAN, /* 0.99, hot records anywhere in the table */
    CELLAR_BENCH_LATEST   /* 0.99, the newest inserts are the hottest */
};

/** One kind of operation in a mix. */
struct cellar_bench_part {
    enum cellar_bench_kind kind;
    uint32_t percent;
    uint32_t count_min; /* rows, columns or events of one operation, */
    uint32_t count_max; /* chosen evenly from here to there; 0: it has no count */
    bool is_modify;
    bool is_insert;
};

/** A mix of operations. */
struct cellar_bench_workload {
    const char *name;
    const char *summary;
    enum cellar_bench_choice choice; /* of records, and which */
    struct cellar_bench_part parts[CELLAR_BENCH_PARTS_MAX];
};

/** All workloads, ended by one without a name. */
extern const struct cellar_bench_workload cellar_bench_workloads[];

/** Finds a workload by its name; NULL when there is none. */
const struct cellar_bench_workload *cellar_bench_workload_find(const char *name);

/** The kinds of operations of a workload, as bits 1 << kind. */
uint32_t cellar_bench_workload_kinds(const struct cellar_bench_workload *workload);

/** What is to be loaded before a workload can run. */
enum cellar_bench_load {
    CELLAR_BENCH_LOAD_RECORDS,
    CELLAR_BENCH_LOAD_WIDE,
    CELLAR_BENCH_LOAD_TIMELINES
};

/** What a workload reads or changes, and so needs loaded. */
enum cellar_bench_load cellar_bench_workload_load(const struct cellar_bench_workload *workload);

/** Draws operations: of a workload without end, or the load of one kind of rows once. */
struct cellar_bench_source {
    const struct cellar_bench_workload *workload; /* NULL: a load */
    enum cellar_bench_load load;
    struct cellar_bench_sizes sizes;
    uint32_t batch; /* rows, or events, of an operation of a load */
    uint64_t next;  /* the next row of a load */
    uint32_t next_column;
    struct cellar_bench_random random;
    struct cellar_bench_zipf zipf;
};

/**
 * Prepares to draw a workload's operations.
 *
 * @param state  what is there to be read
 * @param seed   equal seeds draw equal operations
 */
void cellar_bench_source_init(struct cellar_bench_source *source,
                              const struct cellar_bench_workload *workload,
                              const struct cellar_bench_state *state, uint64_t seed);

/** Prepares to load all rows of one kind, in operations of `batch` rows or events. */
void cellar_bench_source_init_load(struct cellar_bench_source *source, enum cellar_bench_load load,
                                   const struct cellar_bench_sizes *sizes, uint32_t batch);

/** Draws the next operation; false when a load is over. */
bool cellar_bench_source_next(struct cellar_bench_source *source,
                              const struct cellar_bench_state *state, struct cellar_bench_op *op);

#endif
