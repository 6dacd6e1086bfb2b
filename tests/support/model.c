/*
 * The model of a table: sorted arrays, and the rules of the data model written down as plainly as
 * they are said. Deliberately slow and simple, so that it can be checked by reading it.
 *
 * A row's cells stand by family, qualifier, newest first. A mutation list is applied item by item,
 * as if each were a request of its own. A row without cells is not there. GC rules hide cells when
 * a row is read. The server may remove a hidden cell for good at any time (R-GC-08), so a cell that
 * was hidden once is marked: should it be shown again, the server's own answer tells whether it is
 * still there (model_settle()); every other cell is exact. A family that is dropped takes its cells
 * with it, a drop of rows its rows; nothing of them is kept.
 *
 * One thread. The model owns copies of all keys, qualifiers and values; family names are those of
 * the table and of later changes. A cell points to its family, so families do not move.
 */
#include "tests/support/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 16u

struct model_cell {
    const struct svc_family *family;
    uint8_t *qualifier;
    size_t qualifier_bytes;
    int64_t timestamp_us;
    uint8_t *value;
    size_t value_bytes;
    bool was_hidden; /* since it was set; the server may have removed it */
};

struct model_table_row {
    uint8_t *key;
    size_t key_bytes;
    struct model_cell *cells;
    size_t cell_count;
    size_t cell_capacity;
};

struct model {
    enum cellar_granularity granularity;
    struct svc_family *families[FAMILIES_MAX]; /* in no order */
    size_t family_count;
    struct model_table_row *rows;
    size_t row_count;
    size_t row_capacity;
    size_t cell_count;
};

/* Room for one more element of an array. */
static void array_grow(void **array, size_t *capacity, size_t count, size_t element_bytes)
{
    if (count < *capacity) {
        return;
    }
    *capacity = *capacity == 0 ? 8 : *capacity * 2;
    *array = realloc(*array, *capacity * element_bytes);
    assert_non_null(*array);
}

static uint8_t *bytes_copy(struct cellar_slice bytes)
{
    uint8_t *copy = malloc(bytes.bytes + 1);
    assert_non_null(copy);
    if (bytes.bytes > 0) {
        memcpy(copy, bytes.data, bytes.bytes);
    }
    return copy;
}

/* ---- answers --------------------------------------------------------------------------------- */

void model_answer_clear(struct model_answer *answer)
{
    cellar_arena_reset(&answer->arena);
    answer->row_count = 0;
    answer->cell_count = 0;
}

void model_answer_fini(struct model_answer *answer)
{
    cellar_arena_fini(&answer->arena);
    free(answer->rows);
    free(answer->cells);
    memset(answer, 0, sizeof *answer);
}

void model_answer_row(struct model_answer *answer, struct cellar_slice key)
{
    void *rows = answer->rows;
    array_grow(&rows, &answer->row_capacity, answer->row_count, sizeof answer->rows[0]);
    answer->rows = rows;
    answer->rows[answer->row_count++] = (struct model_row){key, answer->cell_count, 0};
}

void model_answer_cell(struct model_answer *answer, const struct cellar_cell *cell)
{
    void *cells = answer->cells;
    assert_true(answer->row_count > 0);
    array_grow(&cells, &answer->cell_capacity, answer->cell_count, sizeof answer->cells[0]);
    answer->cells = cells;
    answer->cells[answer->cell_count++] = *cell;
    answer->rows[answer->row_count - 1].cell_count++;
}

struct cellar_slice model_answer_copy(struct model_answer *answer, struct cellar_slice bytes)
{
    const uint8_t *copy = cellar_arena_copy(&answer->arena, bytes.data, bytes.bytes);
    assert_non_null(copy);
    return cellar_slice_make(copy, bytes.bytes);
}

static bool cells_equal(const struct cellar_cell *a, const struct cellar_cell *b)
{
    return cellar_slice_equal(a->family, b->family) &&
           cellar_slice_equal(a->qualifier, b->qualifier) && a->timestamp_us == b->timestamp_us &&
           cellar_slice_equal(a->value, b->value);
}

/* A cell in words: its place, its value's length and beginning. */
static void cell_show(const struct cellar_cell *cell, char *text, size_t text_bytes)
{
    char family[80];
    char qualifier[120];
    char value[60];
    if (cell == NULL) {
        (void)snprintf(text, text_bytes, "nothing");
        return;
    }
    (void)snprintf(text, text_bytes, "%s:%s (%zu bytes) @%lld = %zu bytes %s",
                   cellar_bytes_show(cell->family, 64, family, sizeof family),
                   cellar_bytes_show(cell->qualifier, 24, qualifier, sizeof qualifier),
                   cell->qualifier.bytes, (long long)cell->timestamp_us, cell->value.bytes,
                   cellar_bytes_show(cell->value, 10, value, sizeof value));
}

static bool rows_equal(const struct model_answer *expected, const struct model_answer *actual,
                       size_t index, char *text, size_t text_bytes)
{
    const struct model_row *left = &expected->rows[index];
    const struct model_row *right = &actual->rows[index];
    char key[200];
    char cells[2][400];
    size_t count = CELLAR_MAX(left->cell_count, right->cell_count);
    for (size_t i = 0; i < count; i++) {
        const struct cellar_cell *a =
            i < left->cell_count ? &expected->cells[left->cell_first + i] : NULL;
        const struct cellar_cell *b =
            i < right->cell_count ? &actual->cells[right->cell_first + i] : NULL;
        if (a != NULL && b != NULL && cells_equal(a, b)) {
            continue;
        }
        cell_show(a, cells[0], sizeof cells[0]);
        cell_show(b, cells[1], sizeof cells[1]);
        (void)snprintf(text, text_bytes,
                       "row #%zu %s (%zu bytes): %zu cells expected, %zu got; cell #%zu: expected "
                       "%s, got %s",
                       index, cellar_bytes_show(left->key, 40, key, sizeof key), left->key.bytes,
                       left->cell_count, right->cell_count, i, cells[0], cells[1]);
        return false;
    }
    return true;
}

bool model_answer_equal(const struct model_answer *expected, const struct model_answer *actual,
                        char *text, size_t text_bytes)
{
    static const struct cellar_slice nothing = {(const uint8_t *)"(end)", 5};
    size_t count = CELLAR_MAX(expected->row_count, actual->row_count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        struct cellar_slice a = i < expected->row_count ? expected->rows[i].key : nothing;
        struct cellar_slice b = i < actual->row_count ? actual->rows[i].key : nothing;
        if (i >= expected->row_count || i >= actual->row_count || !cellar_slice_equal(a, b)) {
            char keys[2][200];
            (void)snprintf(text, text_bytes,
                           "%zu rows expected, %zu got; row #%zu: expected %s (%zu bytes), got %s "
                           "(%zu bytes)",
                           expected->row_count, actual->row_count, i,
                           cellar_bytes_show(a, 40, keys[0], sizeof keys[0]), a.bytes,
                           cellar_bytes_show(b, 40, keys[1], sizeof keys[1]), b.bytes);
            return false;
        }
        if (!rows_equal(expected, actual, i, text, text_bytes)) {
            return false;
        }
    }
    return true;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

bool model_range_is_valid(const struct model_range *range)
{
    if (range->is_prefix || range->start.bytes == 0 || range->end.bytes == 0) {
        return true;
    }
    int order = cellar_slice_compare(range->start, range->end);
    bool is_successor = range->end.bytes == range->start.bytes + 1 &&
                        range->end.data[range->start.bytes] == 0 &&
                        cellar_slice_has_prefix(range->end, range->start);
    if (order == 0) {
        return range->start_is_closed && range->end_is_closed;
    }
    return order < 0 && (!is_successor || range->start_is_closed || range->end_is_closed);
}

static bool range_has(const struct model_range *range, struct cellar_slice key)
{
    if (range->is_prefix) {
        return cellar_slice_has_prefix(key, range->start);
    }
    int start = range->start.bytes == 0 ? 1 : cellar_slice_compare(key, range->start);
    int end = range->end.bytes == 0 ? -1 : cellar_slice_compare(key, range->end);
    return (start > 0 || (start == 0 && range->start_is_closed)) &&
           (end < 0 || (end == 0 && range->end_is_closed));
}

static bool read_has_row(const struct model_read *read, struct cellar_slice key)
{
    bool has_row = read->key_count == 0 && read->range_count == 0;
    for (size_t i = 0; i < read->key_count && !has_row; i++) {
        has_row = cellar_slice_equal(read->keys[i], key);
    }
    for (size_t i = 0; i < read->range_count && !has_row; i++) {
        has_row = range_has(&read->ranges[i], key);
    }
    return has_row;
}

static bool read_has_column(const struct model_read *read, const struct cellar_cell *cell)
{
    bool has_column = read->column_count == 0;
    for (size_t i = 0; i < read->column_count && !has_column; i++) {
        const struct svc_column *column = &read->columns[i];
        has_column = cellar_slice_equal(column->family, cell->family) &&
                     (column->is_family || cellar_slice_equal(column->qualifier, cell->qualifier));
    }
    return has_column;
}

/* ---- families -------------------------------------------------------------------------------- */

static void family_add(struct model *model, const struct svc_family *family)
{
    struct svc_family *added = malloc(sizeof *added);
    assert_non_null(added);
    assert_true(model->family_count < FAMILIES_MAX);
    *added = *family;
    model->families[model->family_count++] = added;
}

/* The place of a family, or the count. */
static size_t family_find(const struct model *model, struct cellar_slice name)
{
    size_t index = 0;
    while (index < model->family_count && !cellar_slice_equal(model->families[index]->name, name)) {
        index++;
    }
    return index;
}

size_t model_family_count(const struct model *model)
{
    return model->family_count;
}

struct cellar_slice model_family_name(const struct model *model, size_t index)
{
    assert_true(index < model->family_count);
    return model->families[index]->name;
}

struct model *model_new(const struct svc_table *table)
{
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->granularity = table->granularity;
    for (size_t i = 0; i < table->family_count; i++) {
        family_add(model, &table->families[i]);
    }
    return model;
}

/* ---- rows and cells -------------------------------------------------------------------------- */

static void row_fini(struct model *model, struct model_table_row *row)
{
    for (size_t i = 0; i < row->cell_count; i++) {
        free(row->cells[i].qualifier);
        free(row->cells[i].value);
    }
    model->cell_count -= row->cell_count;
    free(row->cells);
    free(row->key);
}

void model_free(struct model *model)
{
    if (model == NULL) {
        return;
    }
    for (size_t i = 0; i < model->family_count; i++) {
        free(model->families[i]);
    }
    for (size_t i = 0; i < model->row_count; i++) {
        row_fini(model, &model->rows[i]);
    }
    free(model->rows);
    free(model);
}

static struct cellar_slice row_key(const struct model_table_row *row)
{
    return cellar_slice_make(row->key, row->key_bytes);
}

/* The index of the row, or where it would stand. */
static size_t row_find(const struct model *model, struct cellar_slice key, bool *is_there)
{
    size_t low = 0;
    size_t high = model->row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cellar_slice_compare(row_key(&model->rows[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *is_there = low < model->row_count && cellar_slice_equal(row_key(&model->rows[low]), key);
    return low;
}

static void cell_parts(const struct model_cell *cell, struct cellar_cell *parts)
{
    parts->family = cell->family->name;
    parts->qualifier = cellar_slice_make(cell->qualifier, cell->qualifier_bytes);
    parts->timestamp_us = cell->timestamp_us;
    parts->value = cellar_slice_make(cell->value, cell->value_bytes);
}

/* The order of cells: family, qualifier, newest first. */
static int cell_order(const struct cellar_cell *a, const struct cellar_cell *b)
{
    int order = cellar_slice_compare(a->family, b->family);
    order = order != 0 ? order : cellar_slice_compare(a->qualifier, b->qualifier);
    if (order != 0 || a->timestamp_us == b->timestamp_us) {
        return order;
    }
    return a->timestamp_us > b->timestamp_us ? -1 : 1;
}

static size_t cell_find(const struct model_table_row *row, const struct cellar_cell *sought,
                        bool *is_there)
{
    size_t low = 0;
    size_t high = row->cell_count;
    *is_there = false;
    while (low < high && !*is_there) {
        size_t middle = (low + high) / 2;
        struct cellar_cell parts;
        cell_parts(&row->cells[middle], &parts);
        int order = cell_order(&parts, sought);
        *is_there = order == 0;
        low = order < 0 ? middle + 1 : (order == 0 ? middle : low);
        high = order > 0 ? middle : high;
    }
    return low;
}

static void cell_set(struct model *model, struct model_table_row *row,
                     const struct cellar_cell *cell)
{
    bool is_there = false;
    size_t index = cell_find(row, cell, &is_there);
    if (!is_there) {
        void *cells = row->cells;
        array_grow(&cells, &row->cell_capacity, row->cell_count, sizeof row->cells[0]);
        row->cells = cells;
        memmove(&row->cells[index + 1], &row->cells[index],
                (row->cell_count - index) * sizeof row->cells[0]);
        row->cells[index] =
            (struct model_cell){.family = model->families[family_find(model, cell->family)],
                                .qualifier = bytes_copy(cell->qualifier),
                                .qualifier_bytes = cell->qualifier.bytes,
                                .timestamp_us = cell->timestamp_us};
        row->cell_count++;
        model->cell_count++;
    }
    free(row->cells[index].value);
    row->cells[index].value = bytes_copy(cell->value);
    row->cells[index].value_bytes = cell->value.bytes;
    row->cells[index].was_hidden = false;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* R-GC-02 to R-GC-04. */
static bool rule_hides(const struct cellar_gc_rule *rule, size_t newer_count, int64_t timestamp_us,
                       int64_t now_us)
{
    size_t hiding_count = 0;
    switch (rule->kind) {
    case CELLAR_GC_NONE:
        return false;
    case CELLAR_GC_VERSIONS:
        return newer_count >= (size_t)rule->amount;
    case CELLAR_GC_AGE:
        return timestamp_us < now_us && now_us - timestamp_us > rule->amount;
    case CELLAR_GC_UNION:
    case CELLAR_GC_INTERSECTION:
        break;
    }
    for (uint32_t i = 0; i < rule->child_count; i++) {
        hiding_count += rule_hides(&rule->children[i], newer_count, timestamp_us, now_us) ? 1 : 0;
    }
    return rule->kind == CELLAR_GC_UNION ? hiding_count > 0 : hiding_count == rule->child_count;
}

/* Walks the cells of a row and tells of each whether its rule hides it. Those that `leaves_out`
 * says true of are taken away, and count for nothing. */
static void row_walk(struct model *model, struct model_table_row *row, int64_t now_us,
                     bool (*leaves_out)(struct model_cell *cell, const struct cellar_cell *parts,
                                        bool is_hidden, void *context),
                     void *context)
{
    size_t kept = 0;
    size_t newer_count = 0;
    for (size_t i = 0; i < row->cell_count; i++) {
        struct model_cell *cell = &row->cells[i];
        struct cellar_cell parts;
        struct cellar_cell before;
        cell_parts(cell, &parts);
        if (kept > 0) {
            cell_parts(&row->cells[kept - 1], &before);
        }
        bool is_new = kept == 0 || !cellar_slice_equal(before.family, parts.family) ||
                      !cellar_slice_equal(before.qualifier, parts.qualifier);
        newer_count = is_new ? 0 : newer_count + 1;
        bool is_hidden = rule_hides(&cell->family->rule, newer_count, parts.timestamp_us, now_us);
        if (leaves_out(cell, &parts, is_hidden, context)) {
            free(cell->qualifier);
            free(cell->value);
            model->cell_count--;
            newer_count = is_new ? 0 : newer_count - 1;
        } else {
            row->cells[kept++] = *cell;
        }
    }
    row->cell_count = kept;
}

static bool cell_mark(struct model_cell *cell, const struct cellar_cell *parts, bool is_hidden,
                      void *context)
{
    (void)parts;
    (void)context;
    cell->was_hidden = cell->was_hidden || is_hidden;
    return false;
}

void model_mark(struct model *model, int64_t now_us)
{
    for (size_t i = 0; i < model->row_count; i++) {
        row_walk(model, &model->rows[i], now_us, cell_mark, NULL);
    }
}

/* The cells that a server showed of a row. */
struct shown {
    const struct cellar_cell *cells;
    size_t count;
};

static bool cell_settle(struct model_cell *cell, const struct cellar_cell *parts, bool is_hidden,
                        void *context)
{
    const struct shown *shown = context;
    bool is_shown = false;
    for (size_t i = 0; i < shown->count && !is_shown; i++) {
        is_shown = cell_order(&shown->cells[i], parts) == 0;
    }
    return cell->was_hidden && !is_hidden && !is_shown;
}

/* ---- mutations ------------------------------------------------------------------------------- */

static bool is_deleted(const struct cellar_mutation *mutation, const struct cellar_cell *cell)
{
    switch (mutation->kind) {
    case CELLAR_MUTATION_DELETE_ROW:
        return true;
    case CELLAR_MUTATION_DELETE_FAMILY:
        return cellar_slice_equal(cell->family, mutation->family);
    case CELLAR_MUTATION_DELETE_COLUMN:
        return cellar_slice_equal(cell->family, mutation->family) &&
               cellar_slice_equal(cell->qualifier, mutation->qualifier) &&
               cell->timestamp_us >= mutation->start_us &&
               (mutation->end_us == 0 || cell->timestamp_us < mutation->end_us);
    case CELLAR_MUTATION_SET:
    case CELLAR_MUTATION_ADD:
    case CELLAR_MUTATION_MERGE:
        break;
    }
    return false;
}

static void cells_delete(struct model *model, struct model_table_row *row,
                         const struct cellar_mutation *mutation)
{
    size_t kept = 0;
    for (size_t i = 0; i < row->cell_count; i++) {
        struct cellar_cell parts;
        cell_parts(&row->cells[i], &parts);
        if (is_deleted(mutation, &parts)) {
            free(row->cells[i].qualifier);
            free(row->cells[i].value);
            model->cell_count--;
        } else {
            row->cells[kept++] = row->cells[i];
        }
    }
    row->cell_count = kept;
}

/* Takes away the rows that are empty. */
static void rows_sweep(struct model *model)
{
    size_t kept = 0;
    for (size_t i = 0; i < model->row_count; i++) {
        if (model->rows[i].cell_count == 0) {
            row_fini(model, &model->rows[i]);
        } else {
            model->rows[kept++] = model->rows[i];
        }
    }
    model->row_count = kept;
}

/* The row, made when it is not there. */
static struct model_table_row *row_ensure(struct model *model, struct cellar_slice key)
{
    bool is_there = false;
    size_t index = row_find(model, key, &is_there);
    if (!is_there) {
        void *rows = model->rows;
        array_grow(&rows, &model->row_capacity, model->row_count, sizeof model->rows[0]);
        model->rows = rows;
        memmove(&model->rows[index + 1], &model->rows[index],
                (model->row_count - index) * sizeof model->rows[0]);
        model->rows[index] =
            (struct model_table_row){.key = bytes_copy(key), .key_bytes = key.bytes};
        model->row_count++;
    }
    return &model->rows[index];
}

enum cellar_status model_apply(struct model *model, struct cellar_slice row,
                               const struct cellar_mutation *mutations, size_t count,
                               int64_t time_us)
{
    for (size_t i = 0; i < count; i++) {
        if (mutations[i].kind != CELLAR_MUTATION_DELETE_ROW &&
            family_find(model, mutations[i].family) == model->family_count) {
            return CELLAR_NOT_FOUND;
        }
    }
    struct model_table_row *at = row_ensure(model, row);
    for (size_t i = 0; i < count; i++) {
        const struct cellar_mutation *mutation = &mutations[i];
        if (mutation->kind != CELLAR_MUTATION_SET) {
            cells_delete(model, at, mutation);
            continue;
        }
        bool is_server_time = mutation->timestamp_us == CELLAR_TIMESTAMP_SERVER;
        const struct cellar_cell cell = {mutation->family, mutation->qualifier,
                                         is_server_time ? time_us : mutation->timestamp_us,
                                         mutation->value};
        cell_set(model, at, &cell);
    }
    /* The clock may be further on than a time in milliseconds tells. */
    row_walk(model, at, time_us + (model->granularity == CELLAR_GRANULARITY_MILLIS ? 999 : 0),
             cell_mark, NULL);
    rows_sweep(model);
    return CELLAR_OK;
}

void model_settle(struct model *model, const struct model_answer *all, int64_t now_us)
{
    size_t at = 0;
    for (size_t i = 0; i < model->row_count; i++) {
        struct model_table_row *row = &model->rows[i];
        struct shown shown = {NULL, 0};
        while (at < all->row_count && cellar_slice_compare(all->rows[at].key, row_key(row)) < 0) {
            at++;
        }
        if (at < all->row_count && cellar_slice_equal(all->rows[at].key, row_key(row))) {
            shown = (struct shown){&all->cells[all->rows[at].cell_first], all->rows[at].cell_count};
        }
        row_walk(model, row, now_us, cell_settle, &shown);
    }
    rows_sweep(model);
}

/* ---- drops and changes of families ----------------------------------------------------------- */

void model_drop_rows(struct model *model, struct cellar_slice prefix)
{
    const struct cellar_mutation all = {.kind = CELLAR_MUTATION_DELETE_ROW};
    for (size_t i = 0; i < model->row_count; i++) {
        if (cellar_slice_has_prefix(row_key(&model->rows[i]), prefix)) {
            cells_delete(model, &model->rows[i], &all);
        }
    }
    rows_sweep(model);
}

/* What the list would meet, from names alone. */
static enum cellar_status changes_check(const struct model *model,
                                        const struct svc_family_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct cellar_slice name = changes[i].family.name;
        bool is_there = family_find(model, name) < model->family_count;
        for (size_t j = 0; j < i; j++) {
            if (cellar_slice_equal(changes[j].family.name, name)) {
                is_there = changes[j].action != SVC_FAMILY_DROP;
            }
        }
        if (is_there == (changes[i].action == SVC_FAMILY_CREATE)) {
            return is_there ? CELLAR_ALREADY_EXISTS : CELLAR_NOT_FOUND;
        }
    }
    return CELLAR_OK;
}

static void family_drop(struct model *model, size_t index)
{
    const struct cellar_mutation cells = {.kind = CELLAR_MUTATION_DELETE_FAMILY,
                                          .family = model->families[index]->name};
    for (size_t i = 0; i < model->row_count; i++) {
        cells_delete(model, &model->rows[i], &cells);
    }
    rows_sweep(model);
    free(model->families[index]);
    model->families[index] = model->families[--model->family_count];
}

enum cellar_status model_modify_families(struct model *model,
                                         const struct svc_family_change *changes, size_t count)
{
    enum cellar_status status = changes_check(model, changes, count);
    for (size_t i = 0; status == CELLAR_OK && i < count; i++) {
        size_t index = family_find(model, changes[i].family.name);
        switch (changes[i].action) {
        case SVC_FAMILY_CREATE:
            family_add(model, &changes[i].family);
            break;
        case SVC_FAMILY_UPDATE:
            model->families[index]->rule = changes[i].family.rule;
            break;
        case SVC_FAMILY_DROP:
            family_drop(model, index);
            break;
        }
    }
    return status;
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* Adds what a read shows of a row. @return whether it shows anything */
static bool row_read(const struct model_table_row *row, const struct model_read *read,
                     int64_t now_us, struct model_answer *answer)
{
    bool is_shown = false;
    size_t newer_count = 0;
    size_t shown_count = 0;
    struct cellar_cell before = {0};
    for (size_t i = 0; i < row->cell_count; i++) {
        struct cellar_cell cell;
        cell_parts(&row->cells[i], &cell);
        bool is_new = i == 0 || !cellar_slice_equal(before.family, cell.family) ||
                      !cellar_slice_equal(before.qualifier, cell.qualifier);
        newer_count = is_new ? 0 : newer_count + 1;
        shown_count = is_new ? 0 : shown_count;
        before = cell;
        if (rule_hides(&row->cells[i].family->rule, newer_count, cell.timestamp_us, now_us) ||
            !read_has_column(read, &cell) ||
            (read->versions_max > 0 && shown_count == (size_t)read->versions_max)) {
            continue;
        }
        if (!is_shown) {
            model_answer_row(answer, row_key(row));
        }
        is_shown = true;
        shown_count++;
        if (!read->keys_only) {
            model_answer_cell(answer, &cell);
        }
    }
    return is_shown;
}

void model_read(const struct model *model, const struct model_read *read, int64_t now_us,
                struct model_answer *answer)
{
    int64_t shown_count = 0;
    model_answer_clear(answer);
    for (size_t i = 0; i < model->row_count; i++) {
        size_t index = read->is_reversed ? model->row_count - 1 - i : i;
        const struct model_table_row *row = &model->rows[index];
        if (!read_has_row(read, row_key(row))) {
            continue;
        }
        shown_count += row_read(row, read, now_us, answer) ? 1 : 0;
        if (read->rows_limit > 0 && shown_count == read->rows_limit) {
            return;
        }
    }
}

int64_t model_time(const struct model *model, int64_t time_us)
{
    return model->granularity == CELLAR_GRANULARITY_MICROS ? time_us : time_us - time_us % 1000;
}

size_t model_row_count(const struct model *model)
{
    return model->row_count;
}

size_t model_cell_count(const struct model *model)
{
    return model->cell_count;
}

struct cellar_slice model_row_key(const struct model *model, size_t index)
{
    assert_true(index < model->row_count);
    return row_key(&model->rows[index]);
}
