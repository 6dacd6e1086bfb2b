#ifndef CELLAR_TESTS_SUPPORT_MODEL_WORKLOAD_H
#define CELLAR_TESTS_SUPPORT_MODEL_WORKLOAD_H

#include "tests/support/model_port.h"

/*
 * Random requests to one table, each compared with the model.
 */

struct model_workload_options {
    const char *name;          /* of the table, and in messages */
    uint64_t seed;             /* equal seeds make equal requests */
    size_t step_count;         /* how many steps; model_steps() scales it */
    size_t record_bytes_max;   /* how large one row's mutations may get */
    size_t value_bytes_max;    /* how large one value may get */
    size_t wide_columns_max;   /* columns that one request may set */
    size_t restart_step_count; /* about so many steps between two restarts; 0: none */
    size_t change_step_count;  /* likewise between drops of rows or changes of families */
    bool has_crashes;          /* restarts are crashes or orderly at random */
};

/** Makes a table of random shape, runs the steps and compares. The test fails at the first
 * difference, with the last requests printed. The process has the fake clock. */
void model_workload_run(struct model_port *port, const struct model_workload_options *options);

/** Scales a number of steps by $CELLAR_TEST_SCALE (percent, default 100), and down for sanitizers.
 */
size_t model_steps(size_t count);

/** Sets the fake clock to a day in 2023, at the monotonic time of a machine that just started. */
void model_clock_start(void);

#endif
