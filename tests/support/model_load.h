#ifndef CELLAR_TESTS_SUPPORT_MODEL_LOAD_H
#define CELLAR_TESTS_SUPPORT_MODEL_LOAD_H

#include "tests/support/model_workload.h"

/*
 * A random workload under way, shared by the two files that make it: model_workload.c draws the
 * table, the reads and the run; model_load_writes.c what changes the table.
 */

#define MODEL_LOAD_ROWS 28u
#define MODEL_LOAD_QUALIFIERS 14u
#define MODEL_LOAD_FAMILIES 4u
#define MODEL_LOAD_TRAIL_LINES 40u
#define MODEL_LOAD_TRAIL_BYTES 240u
#define MODEL_LOAD_VALUE_BYTES (1u << 21)

struct model_load {
    const struct model_workload_options *options;
    struct model_port *port;
    struct test_random random;
    struct model *model;
    struct svc_table table; /* as it was made; its families change */
    struct svc_family families[MODEL_LOAD_FAMILIES];
    struct cellar_slice splits[4];
    struct cellar_slice rows[MODEL_LOAD_ROWS];
    struct cellar_slice qualifiers[MODEL_LOAD_QUALIFIERS];
    struct cellar_slice dropped; /* the prefix of the last drop of rows, and ... */
    size_t dropped_draw_count;   /* ... how many rows are still to be drawn from it */
    struct cellar_arena arena;   /* of the pools and of all that the model borrows */
    struct cellar_arena step;    /* of one step */
    uint8_t *values;             /* values are pieces of these bytes */
    struct model_answer expected;
    struct model_answer actual;
    size_t step_index;
    char trail[MODEL_LOAD_TRAIL_LINES][MODEL_LOAD_TRAIL_BYTES]; /* the last requests, as text */
    size_t trail_count;
};

/** A number below `bound`, which is not 0. */
uint64_t model_load_below(struct model_load *load, uint64_t bound);

/** True once in `count` times. */
bool model_load_one_in(struct model_load *load, uint64_t count);

/** Memory that lives as long as the step. */
void *model_load_alloc(struct model_load *load, size_t bytes);

/** A row of the pool; behind a drop often one that it took. */
struct cellar_slice model_load_row(struct model_load *load);

/** The name of a family, in static storage: `index` < MODEL_LOAD_FAMILIES. */
struct cellar_slice model_load_family_name(size_t index);

/** One of the table's families; now and then any name, which may be one that was dropped. */
struct cellar_slice model_load_family(struct model_load *load);

/** Whether the table has the family now. */
bool model_load_has_family(const struct model_load *load, struct cellar_slice name);

/** The server's time in the table's granularity. */
int64_t model_load_now(const struct model_load *load);

/** Adds a line to the trail, which is printed when the test fails. */
void model_load_note(struct model_load *load, const char *format, ...) CELLAR_PRINTF(2, 3);

/** The first bytes of a key as text, for the trail. */
const char *model_load_show(struct cellar_slice bytes, char *text, size_t text_bytes);

/** Prints seed, step and trail. */
void model_load_trail_print(const struct model_load *load);

/** Fails the test unless a call ended as the model says. */
void model_load_expect(const struct model_load *load, enum cellar_status expected,
                       enum cellar_status status, const struct cellar_error *error,
                       const char *what);

/** Draws a write (one row, several in flight, a batch), makes it and checks its answers. */
void model_load_write(struct model_load *load);

/** Draws drops of rows and changes of families, one to a few in a row, and makes them. */
void model_load_change(struct model_load *load);

#endif
