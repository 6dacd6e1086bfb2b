#ifndef CELLAR_TOOLS_IMPORT_JOB_H
#define CELLAR_TOOLS_IMPORT_JOB_H

#include "client/tools/import_bulk.h"
#include "client/tools/import_source.h"
#include "client/tools/importer.h"
#include "client/tools/tool.h"

/* One import from its input to its summary: progress, rejects, interrupts. */

#define CELLAR_IMPORT_TOLD_MAX 50u /* refusals that are told in full; the others are counted */

/** What to import. Borrowed until it has run; the job sets what it finds out by itself. */
struct cellar_import_job_options {
    struct cellar_source_options source;     /* timestamp_us -1: not given */
    struct cellar_importer_options importer; /* interrupt and on_wait are the job's */
    const char *path;                        /* "-": standard input */
    uint64_t errors_max;                     /* more refusals than that end the import */
    const char *rejects_path;                /* NULL: refused lines are not kept */
    const char *progress_path;               /* NULL: beside the input; of standard input none */
    enum cellar_format report_format;        /* of the summary */
    struct cellar_slice words;               /* the options that decide what becomes of the input */
    bool is_bulk; /* by one bulk load; then the importer is dry, and only checks and counts */
    struct cellar_import_bulk_options bulk; /* its how; the rest is the job's */
};

/**
 * Runs an import, goes on with one that was stopped, or only checks the input.
 *
 * @return CELLAR_OK, also when rows were refused (tool->has_refused); else what stopped it
 */
enum cellar_status cellar_import_job_run(struct cellar_tool *tool,
                                         struct cellar_import_job_options *options,
                                         struct cellar_error *error) CELLAR_MUST_USE;

#endif
