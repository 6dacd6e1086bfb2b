/*
 * Items of an environment, checked in the order of their keys. FORMAT.md, "Keys", "Item",
 * "Segments".
 *
 *     key          [ row, escaped ][ separator ]
 *     before it    the last cell of the row's segment before:   position < separator
 *     in it        cells with rising positions, the first one:  separator <= position
 *
 * An item whose checksum does not fit is told and not looked into; what follows it in the row is
 * not held against it. MULTI and MARKED may be set without need, since a neighbour can lose what
 * made them so, but must not be missing: a reader trusts them when it sends a segment unread.
 */
#include "server/storage/check_cells.h"

#include "common/crc32c.h"
#include "common/mem.h"
#include "server/storage/env_internal.h"
#include "server/storage/record.h"

#define TIMESTAMP_BYTES 8u
#define TOKEN_EXPIRY_BYTES 8u
#define BLOB_ID_BYTES 8u

/* A segment while it is read. */
struct segment_walk {
    struct store_segment segment;
    uint64_t offset;
    struct cellar_slice separator; /* empty: the row's first segment */
    struct store_cell cell;
    size_t position_bytes; /* of the current cell's position; 0: it has none */
    int64_t oldest_us;
    uint32_t cell_count;
};

enum cellar_status store_check_cells_init(struct store_check_cells *cells,
                                          struct store_check_report *report,
                                          const struct store_check_rows *rows,
                                          const struct store_check_place *place)
{
    memset(cells, 0, sizeof *cells);
    cells->report = report;
    cells->rows = rows;
    cells->place = *place;
    cells->last = cellar_mem_alloc(STORE_POSITION_BYTES_MAX);
    cells->position = cellar_mem_alloc(STORE_POSITION_BYTES_MAX);
    CELLAR_ASSERT(place->has_store);
    if (cells->last == NULL || cells->position == NULL) {
        store_check_cells_fini(cells);
        return CELLAR_NO_MEMORY;
    }
    return CELLAR_OK;
}

void store_check_cells_fini(struct store_check_cells *cells)
{
    cellar_mem_free(cells->last);
    cellar_mem_free(cells->position);
    cells->last = NULL;
    cells->position = NULL;
    cellar_buffer_fini(&cells->row_key);
    cellar_buffer_fini(&cells->row);
    CELLAR_ASSERT(cells->row.data == NULL);
}

/* Also from the beginning of a key only, as a bound of a page may be: what is there of the row is
 * given. */
enum cellar_status store_check_row_of(struct cellar_slice key, struct cellar_buffer *row)
{
    cellar_buffer_clear(row);
    CELLAR_TRY(cellar_buffer_reserve(row, key.bytes + 1));
    for (size_t i = 0; i < key.bytes; i++) {
        bool is_escape = key.data[i] == 0;
        if (is_escape && (i + 1 == key.bytes || key.data[i + 1] != 0xFF)) {
            break; /* the row's end, or where the key was cut */
        }
        row->data[row->bytes++] = key.data[i];
        i += is_escape ? 1 : 0;
    }
    CELLAR_ASSERT(row->bytes < row->capacity);
    return CELLAR_OK;
}

/* ---- findings -------------------------------------------------------------------------------- */

/* The place of a row, and of a cell when `cell` is not NULL. Borrows row and cell; findings are
 * printed at once. */
static struct store_check_place place_of(const struct store_check_cells *cells, uint64_t offset,
                                         struct cellar_slice row, const struct store_cell *cell)
{
    struct store_check_place place = cells->place;
    place.offset = offset;
    place.has_offset = true;
    place.row = row;
    place.has_row = true;
    if (cells->rows->place != NULL) {
        cells->rows->place(cells->rows->context, row, &place);
    }
    if (cell != NULL) {
        place.family = cell->cell.family;
        place.qualifier = cell->cell.qualifier;
        place.has_column = true;
    }
    CELLAR_ASSERT(place.has_store);
    return place;
}

static void row_damage(struct store_check_cells *cells, uint64_t offset,
                       const struct store_cell *cell, const char *why)
{
    struct store_check_place place = place_of(cells, offset, cellar_slice_of(&cells->row), cell);
    CELLAR_ASSERT(why != NULL);
    store_check_find(cells->report, STORE_CHECK_DAMAGE, &place, "%s", why);
}

/* The order across the hole is not known, so it is not held against what comes next. */
enum cellar_status store_check_cells_damage(struct store_check_cells *cells,
                                            struct cellar_slice key, uint64_t offset,
                                            const char *why)
{
    struct cellar_buffer row = {0};
    CELLAR_ASSERT(why != NULL);
    cells->last_bytes = 0;
    cells->has_hole = true;
    enum cellar_status status = store_check_row_of(key, &row);
    if (status == CELLAR_OK) {
        struct store_check_place place = place_of(cells, offset, cellar_slice_of(&row), NULL);
        store_check_find(cells->report, STORE_CHECK_DAMAGE, &place, "%s", why);
    }
    cellar_buffer_fini(&row);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Begins a row. Keys rise, so a row that has begun has ended the one before. */
static enum cellar_status row_begin(struct store_check_cells *cells, struct cellar_slice row_key)
{
    cellar_buffer_clear(&cells->row_key);
    cellar_buffer_clear(&cells->row);
    CELLAR_TRY(cellar_buffer_append(&cells->row_key, row_key.data, row_key.bytes));
    CELLAR_TRY(cellar_buffer_reserve(&cells->row, row_key.bytes));
    cells->row.bytes = cellar_key_unescape(row_key, cells->row.data);
    cells->last_bytes = 0;
    cells->last_is_multi = false;
    cells->report->counts.row_count++;
    CELLAR_ASSERT(cells->row.bytes <= row_key.bytes);
    return CELLAR_OK;
}

/* Takes the item's row; says what is wrong with it. @param rest receives what stands behind it A
 * row whose first segment is missing is damage only where nothing before it was lost anyway. */
static enum cellar_status row_take(struct store_check_cells *cells, struct cellar_slice key,
                                   uint64_t offset, struct cellar_slice *rest)
{
    size_t span = cellar_key_escaped_span(key);
    struct cellar_slice row_key = cellar_slice_make(key.data, span);
    *rest = cellar_slice_make(key.data + span, key.bytes - span);
    if (span <= 2 || span > CELLAR_KEY_ROW_BYTES_MAX) {
        CELLAR_TRY(store_check_cells_damage(cells, key, offset, "the key names no row"));
        return CELLAR_NOT_FOUND;
    }
    if (cellar_slice_equal(row_key, cellar_slice_of(&cells->row_key))) {
        return CELLAR_OK;
    }
    CELLAR_TRY(row_begin(cells, row_key));
    const char *why = NULL;
    if (cells->row.bytes > CELLAR_ROW_BYTES_MAX) {
        why = "the row key is longer than any may be";
    } else if (rest->bytes > 0 && !cells->has_hole) {
        why = "the row's first segment is missing";
    } else if (cells->rows->row != NULL) {
        why = cells->rows->row(cells->rows->context, cellar_slice_of(&cells->row));
    }
    if (why != NULL) {
        row_damage(cells, offset, NULL, why);
    }
    CELLAR_ASSERT(cells->row_key.bytes > 2);
    return CELLAR_OK;
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* Whether two positions differ in the timestamp alone. The timestamp is the last part of a position
 * and has a fixed length. */
static bool is_same_column(struct cellar_slice a, struct cellar_slice b)
{
    CELLAR_ASSERT(a.bytes > TIMESTAMP_BYTES);
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes - TIMESTAMP_BYTES) == 0;
}

/* Holds the cell's position against the one before and the segment's key; NULL when it may stand
 * there. These are what a reader relies on when it searches by separators and passes segments on
 * unread. */
static const char *position_check(struct store_check_cells *cells, struct segment_walk *walk)
{
    walk->position_bytes = store_cell_position(&walk->cell, cells->position);
    struct cellar_slice position = cellar_slice_make(cells->position, walk->position_bytes);
    struct cellar_slice last = cellar_slice_make(cells->last, cells->last_bytes);
    bool is_multi = (walk->segment.flags & STORE_SEGMENT_MULTI) != 0;
    bool is_first = walk->cell_count == 0;
    if (is_first && cellar_slice_compare(walk->separator, position) > 0) {
        return "the segment's key lies behind its first cell";
    }
    if (last.bytes > 0 && is_first && cellar_slice_compare(last, walk->separator) >= 0) {
        return "the segment's key does not lie behind the segment before";
    }
    if (last.bytes > 0 && cellar_slice_compare(last, position) >= 0) {
        return "cells are out of order";
    }
    if (last.bytes > 0 && is_same_column(position, last) &&
        (!is_multi || (is_first && !cells->last_is_multi))) {
        return "a segment does not say that a column has several versions";
    }
    CELLAR_ASSERT(position.bytes <= STORE_POSITION_BYTES_MAX);
    return NULL;
}

/* The position becomes the last one. Two buffers that change places: no position is copied. */
static void position_keep(struct store_check_cells *cells, const struct segment_walk *walk)
{
    uint8_t *free_memory = cells->last;
    CELLAR_ASSERT(free_memory != cells->position);
    cells->last_bytes = walk->position_bytes;
    cells->last = cells->position;
    cells->position = free_memory;
}

/* A set that differs in one id or length has another sum, but for chance. */
static void blob_add(struct store_check_blobs *blobs, const struct store_blob *blob)
{
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
    CELLAR_ASSERT(blob->id > 0);
    store_blob_encode(bytes, blob);
    blobs->count++;
    blobs->sum += cellar_crc32c(0, bytes, sizeof bytes) + (blob->id << 32);
}

/* The reference in a cell's value; says what is wrong with it. */
static const char *reference_check(struct store_check_cells *cells, const struct segment_walk *walk)
{
    const uint8_t flags = STORE_SEGMENT_MARKED | STORE_SEGMENT_BLOBS;
    struct store_blob blob;
    CELLAR_ASSERT(walk->cell.is_blob);
    if (!store_blob_decode(walk->cell.cell.value, &blob)) {
        return "the reference to a blob is damaged";
    }
    blob_add(&cells->named, &blob);
    if ((walk->segment.flags & flags) != flags) {
        return "the segment does not say that it holds a reference to a blob";
    }
    return cells->files == NULL ? NULL : store_check_files_blob(cells->files, &blob, NULL);
}

/* One cell; NULL when it is sound. The position is noted also for a cell that is wrong, so that one
 * mistake is told once. */
static const char *cell_check(struct store_check_cells *cells, struct segment_walk *walk,
                              const struct cellar_cells_reader *reader)
{
    walk->cell = (struct store_cell){
        .cell = reader->cell, .generation = reader->generation, .is_blob = reader->is_blob};
    walk->oldest_us = CELLAR_MIN(walk->oldest_us, reader->cell.timestamp_us);
    walk->position_bytes = 0;
    if (memchr(reader->cell.family.data, 0, reader->cell.family.bytes) != NULL) {
        return "the family's name holds a zero byte";
    }
    CELLAR_ASSERT(reader->cell.family.bytes > 0);
    const char *why = position_check(cells, walk);
    if (why == NULL && reader->generation > 1 &&
        (walk->segment.flags & STORE_SEGMENT_MARKED) == 0) {
        why = "the segment does not say that it holds a later generation of a family";
    }
    if (why == NULL && reader->is_blob) {
        why = reference_check(cells, walk);
    }
    if (why == NULL && cells->rows->cell != NULL) {
        why = cells->rows->cell(cells->rows->context, cellar_slice_of(&cells->row), &walk->cell);
    }
    return why;
}

/* All cells of a segment; says what is wrong with them. The head says how many cells there are and
 * how old the oldest is; readers trust both. */
static void segment_walk_run(struct store_check_cells *cells, struct segment_walk *walk)
{
    struct cellar_cells_reader reader;
    if (!cellar_cells_open(&reader, walk->segment.packed)) {
        row_damage(cells, walk->offset, NULL, "the segment's cells cannot be read");
        cells->last_bytes = 0;
        return;
    }
    while (cellar_cells_next(&reader)) {
        const char *why = cell_check(cells, walk, &reader);
        if (why != NULL) {
            row_damage(cells, walk->offset, &walk->cell, why);
        }
        position_keep(cells, walk);
        walk->cell_count++;
    }
    cells->report->counts.cell_count += walk->cell_count;
    CELLAR_ASSERT(walk->cell_count <= UINT16_MAX);
    if (!cellar_cells_is_done(&reader) || walk->cell_count != walk->segment.cell_count) {
        row_damage(cells, walk->offset, NULL, "the segment's cells cannot be read to their end");
        cells->last_bytes = 0;
    } else if (walk->oldest_us != walk->segment.oldest_us) {
        row_damage(cells, walk->offset, NULL, "the segment names another oldest timestamp");
    }
}

static void segment_check(struct store_check_cells *cells, struct cellar_slice value,
                          struct cellar_slice separator, uint64_t offset)
{
    const uint8_t known = STORE_SEGMENT_MULTI | STORE_SEGMENT_MARKED | STORE_SEGMENT_BLOBS;
    struct segment_walk walk = {.offset = offset, .separator = separator, .oldest_us = INT64_MAX};
    if (!store_segment_decode(value, &walk.segment) ||
        (walk.segment.flags & (uint8_t)~known) != 0) {
        row_damage(cells, offset, NULL,
                   "the segment is of another version, or its head is damaged");
        cells->last_bytes = 0;
        return;
    }
    cells->report->counts.cell_bytes += walk.segment.packed.bytes;
    segment_walk_run(cells, &walk);
    CELLAR_ASSERT(walk.segment.cell_count > 0);
    cells->last_is_multi = (walk.segment.flags & STORE_SEGMENT_MULTI) != 0;
}

/* Counts an item and holds it against its checksum. @param rest receives what stands behind that
 * @return CELLAR_OK; NOT_FOUND (damage, which was said), NO_MEMORY Count and sum take damaged items
 * too: the state counted them when they were whole. */
static enum cellar_status item_open(struct store_check_cells *cells, struct cellar_slice key,
                                    struct cellar_slice value, uint64_t offset,
                                    struct cellar_slice *rest)
{
    CELLAR_ASSERT(key.bytes > 0);
    if (value.bytes < STORE_ENV_ITEM_HEAD_BYTES) {
        CELLAR_TRY(store_check_cells_damage(cells, key, offset, "the item is too short"));
        return CELLAR_NOT_FOUND;
    }
    *rest = cellar_slice_make(value.data + STORE_ENV_ITEM_HEAD_BYTES,
                              value.bytes - STORE_ENV_ITEM_HEAD_BYTES);
    uint32_t crc = cellar_get_u32le(value.data);
    cells->item_count++;
    cells->crc_sum += crc;
    if (store_env_item_crc(key, *rest) != crc) {
        CELLAR_TRY(
            store_check_cells_damage(cells, key, offset, "the item's checksum does not fit"));
        return CELLAR_NOT_FOUND;
    }
    return CELLAR_OK;
}

enum cellar_status store_check_cells_item(struct store_check_cells *cells, struct cellar_slice key,
                                          struct cellar_slice value, uint64_t offset)
{
    struct cellar_slice rest;
    struct cellar_slice separator;
    cells->report->counts.item_count++;
    enum cellar_status status = item_open(cells, key, value, offset, &rest);
    if (status == CELLAR_OK) {
        status = row_take(cells, key, offset, &separator);
    }
    if (status == CELLAR_OK) {
        segment_check(cells, rest, separator, offset);
        cells->has_hole = false;
    }
    CELLAR_ASSERT(key.bytes > 0);
    return status == CELLAR_NOT_FOUND ? CELLAR_OK : status;
}

/* What is wrong with a token's item, NULL when nothing; cells->row is its row. */
static const char *token_check(const struct store_check_cells *cells, struct cellar_slice token,
                               struct cellar_slice rest)
{
    CELLAR_ASSERT(token.bytes == 0 || token.data != NULL);
    if (token.bytes < 1 + STORE_TOKEN_BYTES_MIN || token.bytes > 1 + STORE_TOKEN_BYTES_MAX ||
        token.data[0] != 0) {
        return "the key names no token";
    }
    if (rest.bytes < TOKEN_EXPIRY_BYTES || (int64_t)cellar_get_u64le(rest.data) <= 0 ||
        rest.bytes > TOKEN_EXPIRY_BYTES + STORE_TOKEN_OUTCOME_BYTES_MAX) {
        return "the token's record is damaged";
    }
    return cells->rows->row == NULL
               ? NULL
               : cells->rows->row(cells->rows->context, cellar_slice_of(&cells->row));
}

/* A token's row need not have any cell: its mutation may have deleted them all. */
enum cellar_status store_check_cells_token(struct store_check_cells *cells, struct cellar_slice key,
                                           struct cellar_slice value, uint64_t offset)
{
    struct cellar_slice rest;
    cells->report->counts.token_count++;
    enum cellar_status status = item_open(cells, key, value, offset, &rest);
    if (status != CELLAR_OK) {
        return status == CELLAR_NOT_FOUND ? CELLAR_OK : status;
    }
    size_t span = cellar_key_escaped_span(key);
    CELLAR_TRY(store_check_row_of(cellar_slice_make(key.data, span), &cells->row));
    const char *why =
        span <= 2 || cells->row.bytes > CELLAR_ROW_BYTES_MAX
            ? "the key names no row"
            : token_check(cells, cellar_slice_make(key.data + span, key.bytes - span), rest);
    if (why != NULL) {
        row_damage(cells, offset, NULL, why);
    }
    CELLAR_ASSERT(cells->report->counts.token_count > 0);
    return CELLAR_OK;
}

enum cellar_status store_check_cells_blob(struct store_check_cells *cells, struct cellar_slice key,
                                          struct cellar_slice value, uint64_t offset)
{
    uint8_t bytes[STORE_BLOB_REFERENCE_BYTES];
    struct cellar_slice rest;
    struct store_blob blob;
    enum cellar_status status = item_open(cells, key, value, offset, &rest);
    if (status != CELLAR_OK) {
        return status == CELLAR_NOT_FOUND ? CELLAR_OK : status;
    }
    bool is_sound = key.bytes == BLOB_ID_BYTES && rest.bytes == sizeof bytes - BLOB_ID_BYTES;
    if (is_sound) {
        cellar_put_u64le(bytes, cellar_get_u64be(key.data));
        memcpy(bytes + BLOB_ID_BYTES, rest.data, rest.bytes);
        is_sound = store_blob_decode(cellar_slice_make(bytes, sizeof bytes), &blob);
    }
    if (!is_sound) {
        row_damage(cells, offset, NULL, "an item of the list of blobs is damaged");
        return CELLAR_OK;
    }
    blob_add(&cells->listed, &blob);
    CELLAR_ASSERT(cells->listed.count > 0);
    return CELLAR_OK;
}

bool store_check_blobs_fit(const struct store_check_cells *cells)
{
    return cells->named.count == cells->listed.count && cells->named.sum == cells->listed.sum;
}
