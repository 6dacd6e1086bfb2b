#ifndef CELLAR_NET_ROWS_WRITER_H
#define CELLAR_NET_ROWS_WRITER_H

#include "common/buf.h"
#include "server/service/service.h"

/*
 * One part of a read's answer, written row by row behind a message's header: the map `{1: part, 2:
 * rows}` of PROTOCOL.md, "Rows". Counts are not known in front, so their places are left open and
 * filled in. A cell whose value is a blob is a part of its own, which ends with what stands before
 * the value: the value's bytes follow in further frames.
 */

/** A row sink that appends to a buffer; used by one part at a time. */
struct net_rows_writer {
    struct svc_row_sink sink;
    struct cellar_buffer *to;
    size_t rows_at;     /* where the array of rows begins */
    size_t flags_at;    /* of the current row */
    size_t cells_at;    /* where its array of cells arrays begins */
    uint32_t row_count; /* rows and pieces of rows, ended */
    uint32_t cells_count;
    bool has_blob; /* the part is a blob's beginning */
};

/** Begins a part at the end of `to`, which nobody else appends to before the end. CELLAR_NO_MEMORY.
 * */
enum cellar_status net_rows_begin(struct net_rows_writer *writer, struct cellar_buffer *to,
                                  uint64_t part) CELLAR_MUST_USE;

/** Ends the part. */
void net_rows_end(struct net_rows_writer *writer);

#endif
