#ifndef CELLAR_TESTS_SUPPORT_MODEL_H
#define CELLAR_TESTS_SUPPORT_MODEL_H

#include "common/cell.h"
#include "common/gc_rule.h"
#include "common/mem.h"
#include "common/mutation.h"
#include "server/service/service.h"
#include "tests/support/support.h"

/*
 * What a table must answer, worked out the plainest way: rows in a sorted array, each with its
 * cells in a sorted array, mutations applied one after the other, reads as a walk over everything.
 * It shares no code with the server but the words of common/cell.h.
 *
 * Every function fails the running test when there is no memory.
 */

/* ---- answers --------------------------------------------------------------------------------- */

/** Rows as a read gives them, from the model or from a server. Zero-initialised is empty. */
struct model_answer {
    struct cellar_arena arena; /* what the slices point into, unless the giver says otherwise */
    struct model_row *rows;
    size_t row_count;
    size_t row_capacity;
    struct cellar_cell *cells;
    size_t cell_count;
    size_t cell_capacity;
};

struct model_row {
    struct cellar_slice key;
    size_t cell_first; /* index into the answer's cells */
    size_t cell_count;
};

/** Empties an answer and keeps its memory. */
void model_answer_clear(struct model_answer *answer);

/** Frees what an answer holds. */
void model_answer_fini(struct model_answer *answer);

/** Begins a row; the key is borrowed as long as the answer lives. */
void model_answer_row(struct model_answer *answer, struct cellar_slice key);

/** Adds a cell to the last row; its parts are borrowed as long as the answer lives. */
void model_answer_cell(struct model_answer *answer, const struct cellar_cell *cell);

/** Copies bytes into the answer's arena. */
struct cellar_slice model_answer_copy(struct model_answer *answer, struct cellar_slice bytes);

/**
 * Compares two answers.
 *
 * @param text        receives where they differ first, in words; 1 byte at least
 * @return whether they are equal
 */
bool model_answer_equal(const struct model_answer *expected, const struct model_answer *actual,
                        char *text, size_t text_bytes);

/* ---- requests -------------------------------------------------------------------------------- */

/** A range of row keys as clients say it. */
struct model_range {
    struct cellar_slice start; /* empty: from the first row */
    struct cellar_slice end;   /* empty: to the last */
    bool start_is_closed;
    bool end_is_closed;
    bool is_prefix; /* the keys that begin with `start`; the rest is not looked at */
};

/** A read as clients ask for it: the union of keys and ranges, or every row without either. */
struct model_read {
    const struct cellar_slice *keys;
    size_t key_count;
    const struct model_range *ranges;
    size_t range_count;
    const struct svc_column *columns;
    size_t column_count;
    int64_t rows_limit;
    int64_t versions_max;
    bool is_reversed;
    bool keys_only;
};

/** Whether R-RNG-03 and R-RNG-05 allow the range. */
bool model_range_is_valid(const struct model_range *range);

/* ---- the table ------------------------------------------------------------------------------- */

struct model;

/**
 * Makes the model of an empty table.
 *
 * @param table  families, rules and granularity are taken from it; names and the children of rules
 *               are borrowed as long as the model lives
 */
struct model *model_new(const struct svc_table *table);

/** Frees a model; takes NULL. */
void model_free(struct model *model);

/**
 * Applies one row's mutations in list order.
 *
 * @param time_us  the server's time, in the table's granularity
 * @return CELLAR_OK; CELLAR_NOT_FOUND when one names a family that is not there: none is applied
 */
enum cellar_status model_apply(struct model *model, struct cellar_slice row,
                               const struct cellar_mutation *mutations, size_t count,
                               int64_t time_us);

/**
 * Changes families in list order and as a whole.
 *
 * @param changes  names and the children of rules are borrowed as long as the model lives
 * @return CELLAR_OK; CELLAR_ALREADY_EXISTS or CELLAR_NOT_FOUND of the first change that fails: none
 *         is made
 * @source R-TAB-12, R-TAB-13, R-TAB-15
 */
enum cellar_status model_modify_families(struct model *model,
                                         const struct svc_family_change *changes, size_t count);

/** Takes away the rows that begin with a prefix; an empty one takes all. R-TAB-17, R-TAB-19. */
void model_drop_rows(struct model *model, struct cellar_slice prefix);

/** How many families the table has. */
size_t model_family_count(const struct model *model);

/** The name of one of them; `index` < model_family_count(). */
struct cellar_slice model_family_name(const struct model *model, size_t index);

/**
 * Answers a read.
 *
 * @param now_us  the clock for rules of age, in the table's granularity
 * @param answer  cleared first; its slices borrow from the model until the next mutation
 */
void model_read(const struct model *model, const struct model_read *read, int64_t now_us,
                struct model_answer *answer);

/** Marks the cells that rules hide now: the server may remove them from here on. To be called
 * whenever a rule or the clock has changed. */
void model_mark(struct model *model, int64_t now_us);

/** Takes away the cells that were hidden once, would be shown again, and are not in a server's
 * answer. @param all  every row with all its cells, forwards */
void model_settle(struct model *model, const struct model_answer *all, int64_t now_us);

/** A time in the granularity of the model's table. */
int64_t model_time(const struct model *model, int64_t time_us);

size_t model_row_count(const struct model *model);

/** How many cells all rows hold, hidden ones too. */
size_t model_cell_count(const struct model *model);

/** The key of one row; `index` < model_row_count(). */
struct cellar_slice model_row_key(const struct model *model, size_t index);

#endif
