/*
 * Rows kept in memory: a scan read to its end, for programs that want a few rows at once.
 *
 * Each row is copied into one arena, which bounds the whole: a read that would take more than
 * ROWS_BYTES_MAX fails, and tells to scan instead. The list of rows itself grows by doubling. All
 * memory goes with cellar_rows_free(); rows do not change, so any thread may read them.
 */

#include "client/lib/rows.h"

#include <string.h>

#include "client/lib/client.h"
#include "common/mem.h"

#define ROWS_BYTES_MAX CELLAR_ROW_ANSWER_BYTES_MAX

struct cellar_rows {
    struct cellar_arena arena;
    struct cellar_row *rows;
    size_t count;
    size_t capacity;
};

struct cellar_rows *cellar_rows_new(void)
{
    struct cellar_rows *rows = cellar_mem_zalloc(1, sizeof *rows);
    CELLAR_ASSERT(rows == NULL || rows->count == 0);
    return rows;
}

void cellar_rows_free(struct cellar_rows *rows)
{
    if (rows != NULL) {
        CELLAR_ASSERT(rows->count <= rows->capacity);
        cellar_arena_fini(&rows->arena);
        cellar_mem_free(rows->rows);
        cellar_mem_free(rows);
    }
}

size_t cellar_rows_count(const struct cellar_rows *rows)
{
    CELLAR_ASSERT(rows != NULL);
    return rows->count;
}

const struct cellar_row *cellar_rows_at(const struct cellar_rows *rows, size_t index)
{
    CELLAR_ASSERT(rows != NULL && index < rows->count);
    return &rows->rows[index];
}

/* Copies a view into the arena; false without memory. */
static bool view_copy(struct cellar_arena *arena, struct cellar_view from, struct cellar_view *to)
{
    CELLAR_ASSERT(from.data != NULL || from.bytes == 0);
    void *copy = cellar_arena_copy(arena, from.data, from.bytes);
    *to = cellar_view_of(copy, from.bytes);
    return copy != NULL;
}

/* Copies a row's cells; the family of the cell before is shared. */
static bool cells_copy(struct cellar_arena *arena, const struct cellar_row *from,
                       struct cellar_row_cell *to)
{
    struct cellar_view family = cellar_view_of(NULL, 0);
    CELLAR_ASSERT(to != NULL);
    for (size_t index = 0; index < from->cell_count; index++) {
        const struct cellar_row_cell *cell = &from->cells[index];
        bool is_same = family.bytes == cell->family.bytes && family.bytes > 0 &&
                       memcmp(family.data, cell->family.data, family.bytes) == 0;
        if (!is_same && !view_copy(arena, cell->family, &family)) {
            return false;
        }
        to[index].family = family;
        to[index].timestamp_us = cell->timestamp_us;
        if (!view_copy(arena, cell->qualifier, &to[index].qualifier) ||
            !view_copy(arena, cell->value, &to[index].value)) {
            return false;
        }
    }
    return true;
}

enum cellar_status cellar_rows_add(struct cellar_rows *rows, const struct cellar_row *row,
                                   struct cellar_error *error)
{
    CELLAR_ASSERT(rows->count <= rows->capacity);
    /* Checked before a row is added: the limit may be passed by one row, never by two. */
    if (rows->arena.total_bytes > ROWS_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "The rows read at once must have at most %u bytes; scan them "
                                "instead",
                                ROWS_BYTES_MAX);
    }
    if (rows->count == rows->capacity) {
        size_t capacity = CELLAR_MAX(2 * rows->capacity, (size_t)4);
        struct cellar_row *list = cellar_mem_realloc(rows->rows, capacity * sizeof *list);
        if (list == NULL) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for rows");
        }
        rows->rows = list;
        rows->capacity = capacity;
    }
    struct cellar_row *copy = &rows->rows[rows->count];
    struct cellar_row_cell *cells =
        cellar_arena_alloc(&rows->arena, row->cell_count * sizeof *cells);
    if (cells == NULL || !view_copy(&rows->arena, row->key, &copy->key) ||
        !cells_copy(&rows->arena, row, cells)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a row of %zu cells",
                                row->cell_count);
    }
    copy->cells = cells;
    copy->cell_count = row->cell_count;
    rows->count++;
    return CELLAR_OK;
}

enum cellar_code cellar_get(struct cellar_client *client, const char *table,
                            const struct cellar_read *read, struct cellar_call *call,
                            struct cellar_rows **rows)
{
    struct cellar_scan *scan = NULL;
    struct cellar_row row;
    struct cellar_error error;
    CELLAR_ASSERT(rows != NULL);
    cellar_error_clear(&error);
    struct cellar_rows *made = cellar_rows_new();
    if (made == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for rows");
        return cellar_client_finish(client, "READ_ROWS", call, &error);
    }
    enum cellar_code code = cellar_scan_open(client, table, read, call, &scan);
    if (code == CELLAR_E_OK) {
        enum cellar_status status = CELLAR_OK;
        while (status == CELLAR_OK && cellar_scan_next(scan, &row)) {
            status = cellar_rows_add(made, &row, &error);
        }
        code = cellar_scan_close(scan, call);
    }
    if (code == CELLAR_E_OK && error.code != CELLAR_OK) {
        code = cellar_client_finish(client, "READ_ROWS", call, &error);
    }
    if (code == CELLAR_E_OK) {
        *rows = made;
    } else {
        cellar_rows_free(made);
    }
    return code;
}

enum cellar_code cellar_get_row(struct cellar_client *client, const char *table,
                                struct cellar_view key, struct cellar_call *call,
                                struct cellar_rows **rows)
{
    struct cellar_read *read = cellar_read_new();
    CELLAR_ASSERT(rows != NULL);
    cellar_read_row(read, key);
    enum cellar_code code = cellar_get(client, table, read, call, rows);
    cellar_read_free(read);
    return code;
}
