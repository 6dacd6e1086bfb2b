#ifndef CELLAR_TABLET_SCAN_H
#define CELLAR_TABLET_SCAN_H

#include "common/rowset.h"
#include "server/tablet/db.h"
#include "server/tablet/sink.h"

/*
 * Reading rows: a row set over a table's tablets, forwards or backwards, in chunks with a fresh
 * snapshot each, restricted by columns and versions, GC rules applied to every row. A row is always
 * read inside one snapshot.
 */

/** One family or column that a scan is restricted to. */
struct tablet_column {
    struct cellar_slice family;
    struct cellar_slice qualifier;
    bool is_family;
};

struct tablet_scan_options {
    const struct cellar_rowset *rows; /* borrowed until close */
    uint64_t rows_limit;              /* 0: none */
    uint64_t versions_max;            /* 0: all */
    bool is_reversed;
    bool keys_only;
    const struct tablet_column *columns; /* borrowed until close; any order */
    size_t column_count;                 /* 0: all */
};

struct tablet_scan;

/** An idle scan; NULL without memory. */
struct tablet_scan *tablet_scan_new(void) CELLAR_MUST_USE;

/** Starts an idle scan. @param table a reference is taken. NOT_FOUND (a family), NO_MEMORY: it is
 * idle still. */
enum cellar_status tablet_scan_start(struct tablet_scan *scan, struct tablet_db *db,
                                     struct tablet_table *table,
                                     const struct tablet_scan_options *options,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Sends the next chunk.
 *
 * @param bytes_max  about so many bytes of packed cells
 * @param is_done    receives true when nothing follows
 * @return CELLAR_OK; NOT_FOUND (dropped), FAILED_PRECONDITION (a row over 256 MiB), DATA_LOSS
 * naming table and row, UNAVAILABLE (too much held for other reads), IO_ERROR, RESOURCE_EXHAUSTED
 * (disk full), NO_MEMORY, or what the sink returned
 */
enum cellar_status tablet_scan_next(struct tablet_scan *scan, const struct tablet_sink *sink,
                                    size_t bytes_max, bool *is_done, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Appends the next piece of the blob whose cell was sent last. The caller goes on until it is done,
 * before the next chunk.
 *
 * @param to       receives at most STORE_BLOB_PIECE_BYTES more
 * @param is_done  receives whether that was the last piece
 * @return CELLAR_OK; DATA_LOSS naming table and row, IO_ERROR, NO_MEMORY: the scan is at its end
 */
enum cellar_status tablet_scan_blob(struct tablet_scan *scan, struct cellar_buffer *to,
                                    bool *is_done, struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Whether the next chunk or piece may wait for the disk: its tablet is cold (warmth.h), the pages
 * that come next are not in memory, or it is read from a file. The next call goes by the answer:
 * after a yes it is to come from a thread that may wait, and reads ahead.
 *
 * @param now_us  monotonic, or a little older
 */
bool tablet_scan_is_cold(struct tablet_scan *scan, int64_t now_us);

/** When the last chunk was left, monotonic; 0: it read nothing. To save another look at the clock.
 */
int64_t tablet_scan_left_us(const struct tablet_scan *scan);

/** Ends a scan, which is idle again and keeps a little memory for the next one. Nothing for an idle
 * one. */
void tablet_scan_stop(struct tablet_scan *scan);

/** Stops and frees; takes NULL. */
void tablet_scan_free(struct tablet_scan *scan);

#endif
