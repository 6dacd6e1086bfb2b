#ifndef CELLAR_TESTS_SUPPORT_CELL_MODEL_H
#define CELLAR_TESTS_SUPPORT_CELL_MODEL_H

#include "server/storage/rows.h"
#include "tests/support/store_fixture.h"

/*
 * A store as a plain table: few rows, columns and timestamps, all of them awkward, and the history
 * of random mutations over them. The table can be had as it was after any LSN, and a store's
 * snapshot is held against it.
 */

#define MODEL_ROW_COUNT 12u
#define MODEL_FAMILY_COUNT 4u
#define MODEL_QUALIFIER_COUNT 12u
#define MODEL_COLUMN_COUNT (MODEL_FAMILY_COUNT * MODEL_QUALIFIER_COUNT)
#define MODEL_TIME_COUNT 6u
#define MODEL_MUTATION_COUNT_MAX 20000u

/** A place of the table: the write that stands there. */
struct model_cell {
    uint64_t lsn; /* 0: no cell */
    uint32_t value_bytes;
};

/** The whole table; rows, columns and timestamps in ascending order. */
struct model_table {
    struct model_cell cells[MODEL_ROW_COUNT][MODEL_COLUMN_COUNT][MODEL_TIME_COUNT];
};

struct cell_model {
    struct test_random random;
    struct cellar_buffer payloads[MODEL_MUTATION_COUNT_MAX]; /* by LSN; empty: another's record */
    bool is_drop[MODEL_MUTATION_COUNT_MAX];                  /* a range drop, else a mutation */
    uint64_t lsn;                                            /* the last one */
    uint64_t table_lsn;                                      /* what `table` shows */
    struct model_table table;                                /* for model_at() */
    uint32_t value_bytes_max;
};

/** The model of the process, empty, seeded; values have up to `value_bytes_max` bytes. */
struct cell_model *model_begin(const char *name, uint32_t value_bytes_max);

/** Frees the history. */
void model_end(struct cell_model *model);

/** Keys and names by index, in ascending order. */
struct cellar_slice model_row(size_t index);
const char *model_family(size_t index);
uint32_t model_generation(size_t index);
struct cellar_slice model_qualifier(size_t index);

/** Makes a random mutation of one row, or now and then a drop of a range of rows, the record `lsn`,
 * which is above all before. @return its payload */
struct cellar_slice model_mutate(struct cell_model *model, uint64_t lsn);

/** The type of the record `lsn`. */
enum store_record_type model_type(const struct cell_model *model, uint64_t lsn);

/** The same for a mutation made by the test: its payload is copied. */
void model_note(struct cell_model *model, uint64_t lsn, struct cellar_slice payload);

/** Forgets what is above `lsn`: a crash took it. */
void model_cut(struct cell_model *model, uint64_t lsn);

/** The table as it is after the record `lsn`; valid until the next call. */
const struct model_table *model_at(struct cell_model *model, uint64_t lsn);

/** Whether a row has any cell. */
bool model_row_is_there(const struct model_table *table, size_t row);

/** Reads the current row of `rows` to its end and fails the test unless it is that row of the
 * table. */
void model_row_check(const struct model_table *table, size_t row, struct store_rows *rows);

/** Reads all rows of a snapshot, forwards and backwards, and fails the test unless they are the
 * table's at the snapshot's LSN. */
void model_check(struct cell_model *model, struct store_snapshot *snapshot);

/** Takes a snapshot of a store and checks it. */
void model_store_check(struct cell_model *model, struct store *store, uint64_t durable_lsn);

#endif
