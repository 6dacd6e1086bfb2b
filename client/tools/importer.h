#ifndef CELLAR_TOOLS_IMPORTER_H
#define CELLAR_TOOLS_IMPORTER_H

#include "client/tools/import_window.h"
#include "client/tools/interrupt.h"
#include "client/tools/record.h"

/*
 * Rows in, batches out: many in flight, each row's result accounted for. One thread adds records;
 * workers send them. Records of the same row are written in the order in which they were added.
 */

#define CELLAR_IMPORT_WORKERS_MAX 64u
#define CELLAR_IMPORT_BATCH_ROWS_MAX 10000u

/** Where to and how. Borrowed until cellar_importer_free(). */
struct cellar_importer_options {
    struct cellar_client *client;
    const char *table;
    uint32_t worker_count;   /* 1..CELLAR_IMPORT_WORKERS_MAX: batches in flight */
    uint32_t batch_rows_max; /* 1..CELLAR_IMPORT_BATCH_ROWS_MAX */
    int64_t patience_us;     /* how long a batch is sent again while the server cannot take it */
    bool is_dry;             /* nothing is sent; every row counts as written */
    struct cellar_interrupt *interrupt; /* ends the patience; may be NULL */
    /**
     * Called by the adding thread several times a second while it waits; false makes it give up
     * waiting. It may call cellar_importer_settle().
     */
    bool (*on_wait)(void *context);
    void *context;
};

struct cellar_importer;

/**
 * Starts the workers.
 *
 * @return CELLAR_OK; CELLAR_NO_MEMORY, CELLAR_RESOURCE_EXHAUSTED when there is no thread
 */
enum cellar_status cellar_importer_start(const struct cellar_importer_options *options,
                                         struct cellar_importer **importer,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Hands a row over; waits while its worker is busy.
 *
 * @param record  taken on success: it comes back empty. Records of a row that has_more follow each
 *                other, the last with the row's lines
 * @param place   behind it in the input; before the row, while it has_more
 * @return CELLAR_OK; CELLAR_CANCELLED when on_wait said so; the failure that stopped the import:
 *         nothing more is sent
 */
enum cellar_status cellar_importer_add(struct cellar_importer *importer,
                                       struct cellar_record *record,
                                       struct cellar_import_place place, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Notes a part of the input that could not even be read, or must not be written.
 *
 * @param record  its lines; comes back empty. Of a row that has_more all that follow are refused,
 *                too, and the last has the row's lines
 * @return CELLAR_OK; CELLAR_CANCELLED when on_wait said so; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_importer_refuse(struct cellar_importer *importer,
                                          struct cellar_record *record,
                                          struct cellar_import_place place,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Settles what is answered from the input's beginning on, see import_window.h.
 *
 * @param counts  moves on
 * @return refusals in the input's order; the caller frees them
 */
struct cellar_refusal *cellar_importer_settle(struct cellar_importer *importer,
                                              struct cellar_import_counts *counts);

/**
 * Sends the rows that have waited for a full batch since the last call, so that what is settled
 * moves on. Does not wait.
 */
void cellar_importer_push(struct cellar_importer *importer);

/**
 * Ends the sending and waits for all answers, calling on_wait meanwhile.
 *
 * @param is_stopped  leaves out what is not in flight yet
 * @return CELLAR_OK, also when rows were refused; CELLAR_CANCELLED; the failure that stopped the
 *         import
 */
enum cellar_status cellar_importer_finish(struct cellar_importer *importer, bool is_stopped,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Frees an importer, ended before if it was not finished; takes NULL. */
void cellar_importer_free(struct cellar_importer *importer);

#endif
