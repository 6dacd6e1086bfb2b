/*
 * Rows on their way into the output buffer.
 *
 * The service calls the sink with packed cells that are exactly what goes on the wire, so a row is
 * its key, a byte of flags and copies of those arrays. Both arrays around them are written in the
 * widest form (DD and 4 bytes), whose count can be filled in without moving what follows; any
 * MessagePack reader takes it. Flags fit in one byte.
 *
 *     82  01 part  02 DD rows  { 93  key  flags  DD arrays  { packed cells } }
 *
 * Places are kept as offsets, since the buffer moves when it grows. PROTOCOL.md, "Rows".
 */
#include "server/net/native/rows_writer.h"

#include <string.h>

#include "common/cell.h"
#include "common/wire.h"

#define ARRAY_HEAD_BYTES 5u
#define FLAG_HAS_MORE 1u
#define FLAG_IS_CONTINUED 2u
/* 93, the key's bin head and bytes, flags, and the head of the cells. */
#define ROW_HEAD_BYTES_MAX (1u + 5u + CELLAR_ROW_BYTES_MAX + 1u + ARRAY_HEAD_BYTES)

/* Leaves room for an array's head. */
static uint8_t *skip_array_head(uint8_t *at)
{
    CELLAR_ASSERT(at != NULL);
    *at = 0xDD;
    return at + ARRAY_HEAD_BYTES;
}

/* Fills in what skip_array_head() left open. */
static void fill_array_head(struct net_rows_writer *writer, size_t head_at, uint32_t count)
{
    CELLAR_ASSERT(head_at + ARRAY_HEAD_BYTES <= writer->to->bytes);
    CELLAR_ASSERT(writer->to->data[head_at] == 0xDD);
    cellar_put_u32be(writer->to->data + head_at + 1, count);
}

/* `flags_at` is not 0 from here to row_end(). */
static enum cellar_status row_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                    bool is_continued)
{
    struct net_rows_writer *writer = CELLAR_CONTAINER_OF(sink, struct net_rows_writer, sink);
    struct cellar_buffer *to = writer->to;
    CELLAR_ASSERT(writer->flags_at == 0);
    CELLAR_ASSERT(row.bytes >= 1 && row.bytes <= CELLAR_ROW_BYTES_MAX);
    CELLAR_TRY(cellar_buffer_reserve(to, ROW_HEAD_BYTES_MAX));
    uint8_t *at = to->data + to->bytes;
    *at = 0x93;
    at = cellar_wire_raw_bytes(at + 1, row);
    writer->flags_at = (size_t)(at - to->data);
    *at = is_continued ? FLAG_IS_CONTINUED : 0;
    writer->cells_at = writer->flags_at + 1;
    at = skip_array_head(at + 1);
    to->bytes = (size_t)(at - to->data);
    CELLAR_ASSERT(to->bytes <= to->capacity);
    writer->cells_count = 0;
    return CELLAR_OK;
}

/* A row's cells come in one or many arrays; each names its first column itself. */
static enum cellar_status row_cells(struct svc_row_sink *sink, struct cellar_slice packed)
{
    struct net_rows_writer *writer = CELLAR_CONTAINER_OF(sink, struct net_rows_writer, sink);
    CELLAR_ASSERT(writer->flags_at != 0);
    CELLAR_ASSERT(packed.bytes > 0);
    CELLAR_TRY(cellar_buffer_append(writer->to, packed.data, packed.bytes));
    writer->cells_count++;
    return CELLAR_OK;
}

static enum cellar_status row_end(struct svc_row_sink *sink, bool has_more)
{
    struct net_rows_writer *writer = CELLAR_CONTAINER_OF(sink, struct net_rows_writer, sink);
    CELLAR_ASSERT(writer->flags_at != 0);
    fill_array_head(writer, writer->cells_at, writer->cells_count);
    if (has_more) {
        writer->to->data[writer->flags_at] |= FLAG_HAS_MORE;
    }
    writer->flags_at = 0;
    writer->row_count++;
    CELLAR_ASSERT(writer->row_count > 0);
    return CELLAR_OK;
}

/* A row's piece of one array of one cell; all counts are known. */
static enum cellar_status row_blob(struct svc_row_sink *sink, struct cellar_slice row,
                                   bool has_more, struct cellar_slice before)
{
    struct net_rows_writer *writer = CELLAR_CONTAINER_OF(sink, struct net_rows_writer, sink);
    CELLAR_ASSERT(writer->row_count == 0 && !writer->has_blob);
    CELLAR_TRY(row_begin(sink, row, true));
    CELLAR_TRY(row_cells(sink, before));
    CELLAR_TRY(row_end(sink, has_more));
    writer->has_blob = true;
    return CELLAR_OK;
}

enum cellar_status net_rows_begin(struct net_rows_writer *writer, struct cellar_buffer *to,
                                  uint64_t part)
{
    CELLAR_ASSERT(to->bytes > 0); /* a message's header, so that no offset below is 0 */
    *writer = (struct net_rows_writer){
        .sink = {.row_begin = row_begin, .cells = row_cells, .row_end = row_end, .blob = row_blob},
        .to = to};
    CELLAR_TRY(cellar_buffer_reserve(to, 3 + 9 + ARRAY_HEAD_BYTES));
    uint8_t *at = to->data + to->bytes;
    *at++ = 0x82;
    *at++ = 1;
    at = cellar_wire_raw_u64(at, part);
    *at++ = 2;
    writer->rows_at = (size_t)(at - to->data);
    at = skip_array_head(at);
    to->bytes = (size_t)(at - to->data);
    return CELLAR_OK;
}

void net_rows_end(struct net_rows_writer *writer)
{
    CELLAR_ASSERT(writer->flags_at == 0);
    fill_array_head(writer, writer->rows_at, writer->row_count);
}
