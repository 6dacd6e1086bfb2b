/*
 * Reading one row.
 *
 *     storage gives segments (nothing newer touches the row) or merged cells
 *       -> a segment that nothing can hide from and no column restricts: passed on unread
 *       -> else cell by cell: wanted column? hidden by its family's rule? enough versions? ->
 * packed into arrays of about 32 KiB arrays go to the sink until the row has filled the chunk, then
 * into the spool
 *
 * Values in files stay there, open, but middling ones of a row that has many: a row of 256 MiB can
 * hold thousands of them, and must not need as many descriptors. Those go into the spool as cells.
 *
 * GC rules count all versions that the merged row has, before `versions` limits what is sent. The
 * columns wanted are sorted like cells, so one index walks along; a long way to the next one is
 * skipped by a seek, once for each wanted column.
 */
#include "server/tablet/row_reader.h"

#define PACK_BYTES 32768u
#define UNWANTED_RUN_MAX 64u
#define ARRAY32 0xDDu
#define ARRAY32_BYTES 5u
#define MEMORY_KEPT_BYTES_MAX 65536u
#define BLOBS_OPEN_MAX 256u /* of a row; above, those that could be no blobs are copied */

void tablet_row_reader_start(struct tablet_row_reader *reader, const struct tablet_schema *schema,
                             int64_t now_us, uint64_t versions_max, bool keys_only)
{
    CELLAR_ASSERT(tablet_spool_is_drained(&reader->spool));
    reader->schema = schema;
    tablet_gc_filter_init(&reader->filter, schema, now_us);
    reader->wanted = NULL;
    reader->wanted_count = 0;
    reader->versions_max = versions_max;
    reader->keys_only = keys_only;
    reader->is_open = false;
    reader->has_begun = false;
    reader->sink_has_failed = false;
}

void tablet_row_reader_schema_set(struct tablet_row_reader *reader,
                                  const struct tablet_schema *schema)
{
    CELLAR_ASSERT(schema->version >= reader->schema->version);
    reader->schema = schema;
    tablet_gc_filter_init(&reader->filter, schema, reader->filter.now_us);
}

void tablet_row_reader_stop(struct tablet_row_reader *reader)
{
    tablet_spool_reset(&reader->spool);
    if (reader->packed.capacity > MEMORY_KEPT_BYTES_MAX) {
        cellar_buffer_fini(&reader->packed);
    }
    cellar_buffer_fini(&reader->value);
    CELLAR_ASSERT(tablet_spool_is_drained(&reader->spool));
}

void tablet_row_reader_fini(struct tablet_row_reader *reader)
{
    cellar_buffer_fini(&reader->packed);
    cellar_buffer_fini(&reader->value);
    tablet_spool_fini(&reader->spool);
    CELLAR_ASSERT(reader->packed.data == NULL);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Notes a failure of the sink, which then is not called again. */
static enum cellar_status sink_result(struct tablet_row_reader *reader, enum cellar_status status)
{
    CELLAR_ASSERT(!reader->sink_has_failed);
    reader->sink_has_failed = status != CELLAR_OK;
    return status;
}

static enum cellar_status row_begin(struct tablet_row_reader *reader)
{
    if (reader->has_begun) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(reader->row.bytes > 0);
    reader->has_begun = true;
    CELLAR_TRY(
        sink_result(reader, reader->sink->row_begin(reader->sink->context, reader->row, false)));
    reader->is_open = true;
    return CELLAR_OK;
}

/* One array of packed cells to the sink, or behind the chunk's limit into the spool. */
static enum cellar_status array_send(struct tablet_row_reader *reader, struct cellar_slice packed)
{
    CELLAR_ASSERT(packed.bytes > 0);
    CELLAR_TRY(row_begin(reader));
    bool is_direct =
        reader->row_bytes == 0 || (reader->row_bytes + packed.bytes <= reader->direct_bytes_max &&
                                   reader->spool.total_bytes == 0);
    reader->row_bytes += packed.bytes;
    if (reader->row_bytes > CELLAR_ROW_ANSWER_BYTES_MAX) {
        return CELLAR_FAILED_PRECONDITION;
    }
    if (!is_direct) {
        return tablet_spool_put(&reader->spool, packed);
    }
    reader->sent_bytes += packed.bytes;
    return sink_result(reader, reader->sink->cells(reader->sink->context, packed));
}

static enum cellar_status pack_flush(struct tablet_row_reader *reader)
{
    if (reader->packed_count == 0) {
        return CELLAR_OK;
    }
    reader->packed.data[0] = ARRAY32;
    cellar_put_u32be(reader->packed.data + 1, reader->packed_count * 4);
    reader->packed_count = 0;
    CELLAR_ASSERT(reader->packed.bytes > ARRAY32_BYTES);
    return array_send(reader, cellar_slice_of(&reader->packed));
}

static enum cellar_status pack_add(struct tablet_row_reader *reader, const struct store_cell *cell)
{
    struct cellar_buffer *packed = &reader->packed;
    size_t room = cellar_cells_bytes_max(&cell->cell) + ARRAY32_BYTES;
    if (reader->packed_count > 0 && packed->bytes + room > PACK_BYTES) {
        CELLAR_TRY(pack_flush(reader));
    }
    if (reader->packed_count == 0) {
        cellar_buffer_clear(packed);
        CELLAR_TRY(cellar_buffer_reserve(packed, room));
        packed->bytes = ARRAY32_BYTES;
    }
    CELLAR_TRY(cellar_buffer_reserve(packed, room));
    /* Generations never leave the server: both are given as bare names. */
    const struct cellar_cell *previous =
        reader->packed_count == 0 ? NULL : &reader->packed_last.cell;
    uint8_t *end = cellar_cells_put(packed->data + packed->bytes, &cell->cell, 1, previous, 1);
    packed->bytes = (size_t)(end - packed->data);
    CELLAR_ASSERT(packed->bytes <= packed->capacity);
    reader->packed_last = *cell;
    reader->packed_count++;
    return CELLAR_OK;
}

/* Packs a cell with its blob's value. */
static enum cellar_status blob_copy(struct tablet_row_reader *reader, const struct store_cell *cell,
                                    const struct store_blob *blob)
{
    struct store_cell whole = *cell;
    CELLAR_ASSERT(blob->bytes <= CELLAR_INLINE_VALUE_BYTES_MAX);
    cellar_buffer_clear(&reader->value);
    CELLAR_TRY(store_blob_read(reader->blobs, blob, &reader->value));
    whole.cell.value = cellar_slice_of(&reader->value);
    whole.is_blob = false;
    return pack_add(reader, &whole);
}

/* Keeps a cell's blob in the spool, opened while the snapshot keeps its file: an array of one cell,
 * whose value the file has. */
static enum cellar_status blob_open(struct tablet_row_reader *reader, const struct store_cell *cell,
                                    const struct store_blob *blob)
{
    CELLAR_TRY(pack_flush(reader));
    CELLAR_TRY(row_begin(reader));
    reader->row_bytes += blob->bytes;
    if (reader->row_bytes > CELLAR_ROW_ANSWER_BYTES_MAX) {
        return CELLAR_FAILED_PRECONDITION;
    }
    struct cellar_buffer *packed = &reader->packed;
    cellar_buffer_clear(packed);
    CELLAR_TRY(cellar_buffer_reserve(packed, cellar_cells_bytes_max(&cell->cell) + ARRAY32_BYTES));
    packed->data[0] = ARRAY32;
    cellar_put_u32be(packed->data + 1, CELLAR_CELL_ELEMENTS);
    uint8_t *end =
        cellar_cells_put_head(packed->data + ARRAY32_BYTES, &cell->cell, (uint32_t)blob->bytes);
    packed->bytes = (size_t)(end - packed->data);
    CELLAR_ASSERT(packed->bytes <= packed->capacity);
    return tablet_spool_put_blob(&reader->spool, cellar_slice_of(packed), reader->blobs, blob);
}

static enum cellar_status blob_add(struct tablet_row_reader *reader, const struct store_cell *cell)
{
    struct store_blob blob;
    if (!store_blob_decode(cell->cell.value, &blob) || blob.bytes > UINT32_MAX) {
        return CELLAR_DATA_LOSS;
    }
    bool is_copied = blob.bytes <= CELLAR_INLINE_VALUE_BYTES_MAX &&
                     tablet_spool_blob_count(&reader->spool) >= BLOBS_OPEN_MAX;
    CELLAR_ASSERT(cell->is_blob && blob.bytes > 0);
    return is_copied ? blob_copy(reader, cell, &blob) : blob_open(reader, cell, &blob);
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* < 0 when the cell lies before the wanted column, 0 in it, > 0 behind it. */
static int wanted_compare(const struct store_cell *cell, const struct tablet_wanted *wanted)
{
    int order = cellar_slice_compare(cell->cell.family, wanted->family);
    if (order == 0 && cell->generation != wanted->generation) {
        order = cell->generation < wanted->generation ? -1 : 1;
    }
    CELLAR_ASSERT(wanted->family.bytes > 0);
    if (order != 0 || wanted->is_family) {
        return order;
    }
    return cellar_slice_compare(cell->cell.qualifier, wanted->qualifier);
}

static bool cell_is_wanted(struct tablet_row_reader *reader, const struct store_cell *cell)
{
    CELLAR_ASSERT(cell->cell.family.bytes > 0);
    if (reader->wanted_count == 0) {
        return true;
    }
    while (reader->wanted_index < reader->wanted_count) {
        int order = wanted_compare(cell, &reader->wanted[reader->wanted_index]);
        if (order <= 0) {
            return order == 0;
        }
        reader->wanted_index++;
    }
    return false;
}

/* Whether the cell stays after its family's rule and the limit of versions. Counts it. */
static bool cell_is_kept(struct tablet_row_reader *reader, const struct store_cell *cell)
{
    bool is_hidden = tablet_gc_hides(&reader->filter, cell);
    if (reader->filter.version_index == 1) {
        reader->version_kept = 0; /* a column has begun */
    }
    CELLAR_ASSERT(reader->filter.version_index > 0);
    return !is_hidden &&
           (reader->versions_max == 0 || reader->version_kept++ < reader->versions_max);
}

static enum cellar_status cell_take(struct tablet_row_reader *reader, const struct store_cell *cell)
{
    if (!cell_is_wanted(reader, cell)) {
        reader->unwanted_run++;
        return CELLAR_OK;
    }
    reader->unwanted_run = 0;
    if (!cell_is_kept(reader, cell)) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(reader->sink != NULL);
    if (reader->keys_only) {
        return row_begin(reader);
    }
    return cell->is_blob ? blob_add(reader, cell) : pack_add(reader, cell);
}

/* Whether nothing of the row can matter any more. */
static bool row_is_settled(const struct tablet_row_reader *reader)
{
    CELLAR_ASSERT(reader->wanted_index <= reader->wanted_count);
    return (reader->keys_only && reader->has_begun) ||
           (reader->wanted_count > 0 && reader->wanted_index == reader->wanted_count);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Whether every cell of a segment is sent: nothing restricts columns, no family may be gone, no
 * rule can hide, no version is too many. */
static bool segment_is_plain(const struct tablet_row_reader *reader,
                             const struct store_segment *segment)
{
    bool has_versions = reader->versions_max > 0 && (segment->flags & STORE_SEGMENT_MULTI) != 0;
    CELLAR_ASSERT(segment->cell_count > 0);
    return reader->wanted_count == 0 && !has_versions &&
           !tablet_gc_may_hide(&reader->filter, segment);
}

static enum cellar_status segment_take(struct tablet_row_reader *reader,
                                       const struct store_segment *segment)
{
    struct cellar_cells_reader cells;
    if (segment_is_plain(reader, segment)) {
        store_filter_begin(&reader->filter);
        CELLAR_TRY(pack_flush(reader));
        return reader->keys_only ? row_begin(reader) : array_send(reader, segment->packed);
    }
    if (!cellar_cells_open(&cells, segment->packed)) {
        return CELLAR_DATA_LOSS;
    }
    while (cellar_cells_next(&cells)) {
        struct store_cell cell = {cells.cell, cells.generation, cells.is_blob};
        CELLAR_TRY(cell_take(reader, &cell));
        if (row_is_settled(reader)) {
            return CELLAR_OK;
        }
    }
    CELLAR_ASSERT(reader->schema != NULL);
    return cellar_cells_is_done(&cells) ? CELLAR_OK : CELLAR_DATA_LOSS;
}

/* ---- the row --------------------------------------------------------------------------------- */

/* Seeks to the next wanted column when the way there has been long, or a segment ended before it;
 * once for each. */
static enum cellar_status wanted_skip(struct tablet_row_reader *reader, struct store_rows *rows,
                                      bool is_segment)
{
    size_t index = reader->wanted_index;
    bool is_far =
        reader->unwanted_run > UNWANTED_RUN_MAX || (is_segment && reader->unwanted_run > 0);
    if (reader->wanted_count == 0 || index == reader->wanted_count || !is_far ||
        reader->skipped_index == index + 1) {
        return CELLAR_OK;
    }
    const struct tablet_wanted *wanted = &reader->wanted[index];
    CELLAR_ASSERT(index < reader->wanted_count);
    reader->skipped_index = index + 1;
    reader->unwanted_run = 0;
    return store_rows_skip(rows, wanted->family, wanted->generation,
                           wanted->is_family ? NULL : &wanted->qualifier);
}

static void row_start(struct tablet_row_reader *reader, const struct store_rows *rows,
                      const struct tablet_sink *sink)
{
    reader->sink = sink;
    reader->row = cellar_slice_of(&rows->row);
    reader->wanted_index = 0;
    reader->skipped_index = 0;
    reader->unwanted_run = 0;
    store_filter_begin(&reader->filter);
    reader->has_begun = false;
    reader->is_open = false;
    reader->row_bytes = 0;
    reader->sent_bytes = 0;
    reader->packed_count = 0;
    CELLAR_ASSERT(tablet_spool_is_drained(&reader->spool));
}

enum cellar_status tablet_row_read(struct tablet_row_reader *reader, struct store_rows *rows,
                                   const struct tablet_sink *sink)
{
    struct store_piece piece;
    row_start(reader, rows, sink);
    for (;;) {
        CELLAR_TRY(store_rows_piece(rows, &piece));
        if (piece.kind == STORE_PIECE_END) {
            break;
        }
        bool is_segment = piece.kind == STORE_PIECE_SEGMENT;
        CELLAR_TRY(is_segment ? segment_take(reader, &piece.segment)
                              : cell_take(reader, &piece.cell));
        if (row_is_settled(reader)) {
            break;
        }
        CELLAR_TRY(wanted_skip(reader, rows, is_segment));
    }
    CELLAR_TRY(pack_flush(reader));
    if (!reader->has_begun) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(reader->is_open);
    reader->is_open = false;
    return sink_result(reader,
                       sink->row_end(sink->context, !tablet_spool_is_drained(&reader->spool)));
}
