#ifndef CELLAR_TOOLS_IMPORTER_H
#define CELLAR_TOOLS_IMPORTER_H

#include <stdio.h>

#include "client/tools/record.h"

/*
 * Rows in, batches out: many in flight, each row's result accounted for. One thread adds records;
 * workers send them. Records of the same row are written in the order in which they were added.
 */

#define CELLAR_IMPORT_WORKERS_MAX 64u
#define CELLAR_IMPORT_BATCH_ROWS_MAX 10000u
#define CELLAR_IMPORT_REFUSALS_MAX 50u /* told in full; the others are counted */

/** Where to and how. Borrowed until cellar_importer_finish(). */
struct cellar_importer_options {
    struct cellar_client *client;
    const char *table;
    uint32_t worker_count;   /* 1..CELLAR_IMPORT_WORKERS_MAX: batches in flight */
    uint32_t batch_rows_max; /* 1..CELLAR_IMPORT_BATCH_ROWS_MAX */
    FILE *ledger; /* NULL; else gets the key of each row that was answered, a line each */
};

/** A row that was not written, and why. */
struct cellar_refusal {
    uint64_t line;
    char text[256];
};

/** What an import did so far. */
struct cellar_import_counts {
    uint64_t row_count;
    uint64_t cell_count;
    uint64_t value_bytes; /* of keys, qualifiers and values */
    uint64_t refused_count;
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
 * @param record  taken: it comes back empty
 * @return CELLAR_OK; the failure that stopped the import: nothing more is sent
 */
enum cellar_status cellar_importer_add(struct cellar_importer *importer,
                                       struct cellar_record *record, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Counts a row that could not even be read. */
void cellar_importer_refuse(struct cellar_importer *importer, uint64_t line, const char *text);

/** What has been answered so far. Any thread. */
struct cellar_import_counts cellar_importer_counts(struct cellar_importer *importer);

/**
 * Sends what is left and waits for all answers.
 *
 * @return CELLAR_OK, also when rows were refused; the failure that stopped the import
 */
enum cellar_status cellar_importer_finish(struct cellar_importer *importer,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** The refusals with the smallest line numbers, in their order, after finishing. @return how many
 */
size_t cellar_importer_refusals(struct cellar_importer *importer,
                                const struct cellar_refusal **refusals);

/** Frees an importer, ended before if it was not finished; takes NULL. */
void cellar_importer_free(struct cellar_importer *importer);

#endif
