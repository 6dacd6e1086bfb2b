#ifndef CELLAR_TABLET_ROW_READER_H
#define CELLAR_TABLET_ROW_READER_H

#include "server/storage/rows.h"
#include "server/tablet/gc.h"
#include "server/tablet/row_spool.h"
#include "server/tablet/sink.h"

/*
 * One row from storage to the sink: which cells are wanted (columns), which are hidden (GC rules),
 * how many versions; packed again, or passed on as stored when nothing can be hidden.
 */

/** A wanted column with its family looked up, sorted by position, without what a whole family
 * covers. */
struct tablet_wanted {
    struct cellar_slice family;
    uint32_t generation;
    struct cellar_slice qualifier;
    bool is_family;
};

struct tablet_row_reader {
    /* of the scan */
    const struct tablet_schema *schema;
    const struct tablet_wanted *wanted;
    size_t wanted_count; /* 0: all */
    uint64_t versions_max;
    bool keys_only;
    struct store_filter filter;      /* by the schema's rules, with one clock value a request */
    const struct store_blobs *blobs; /* where references lead */
    size_t direct_bytes_max; /* of one row, sent in the chunk that reads it; the rest is spooled */

    /* of the row */
    const struct tablet_sink *sink;
    struct cellar_slice row;
    size_t wanted_index;
    size_t skipped_index;  /* the wanted column that a skip has gone to already, plus one */
    unsigned unwanted_run; /* cells in a row that were not wanted */
    uint64_t version_kept;
    bool has_begun;       /* the row has been begun in the sink, or that was tried */
    bool is_open;         /* ... and has not been ended */
    bool sink_has_failed; /* the sink's own failure: it is not called again */
    uint64_t row_bytes;   /* packed, sent and spooled, blobs too */
    uint64_t sent_bytes;  /* of them, to the sink */

    /* packing */
    struct cellar_buffer packed;
    uint32_t packed_count;
    struct store_cell packed_last;
    struct cellar_buffer value; /* of a blob that is packed */
    struct tablet_spool spool;
};

/** Prepares a zeroed or stopped reader for the rows of one scan, without columns; spool and columns
 * are then set by the caller. @param now_us  the request's one value of the clock */
void tablet_row_reader_start(struct tablet_row_reader *reader, const struct tablet_schema *schema,
                             int64_t now_us, uint64_t versions_max, bool keys_only);

/** Goes on by a newer schema, between two rows. */
void tablet_row_reader_schema_set(struct tablet_row_reader *reader,
                                  const struct tablet_schema *schema);

/** Ends a scan's use; a little memory is kept for the next. */
void tablet_row_reader_stop(struct tablet_row_reader *reader);

/** Frees what a reader holds. */
void tablet_row_reader_fini(struct tablet_row_reader *reader);

/**
 * Reads the cursor's current row whole: what fits goes to the sink, what does not, and what follows
 * the first blob, into the spool.
 *
 * @return CELLAR_OK, with has_begun telling whether any cell survived; FAILED_PRECONDITION (over
 * 256 MiB), DATA_LOSS, IO_ERROR, RESOURCE_EXHAUSTED, UNAVAILABLE, NO_MEMORY, or the sink's
 */
enum cellar_status tablet_row_read(struct tablet_row_reader *reader, struct store_rows *rows,
                                   const struct tablet_sink *sink) CELLAR_MUST_USE;

#endif
