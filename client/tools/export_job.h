#ifndef CELLAR_TOOLS_EXPORT_JOB_H
#define CELLAR_TOOLS_EXPORT_JOB_H

#include "client/tools/export_range.h"
#include "client/tools/packing.h"
#include "client/tools/tool.h"

/* One export from its first row to its summary: progress, interrupts, retries. */

/** What to export. Borrowed until it has run; the range moves on. */
struct cellar_export_job_options {
    const char *table;
    const char *path;          /* "-": standard output */
    const char *progress_path; /* NULL: beside the output */
    enum cellar_format format; /* CELLAR_FORMAT_JSONL or CELLAR_FORMAT_CSV */
    enum cellar_packing packing;
    struct cellar_export_range range;
    uint64_t rows_limit;            /* 0: all */
    int64_t patience_us;            /* how long the server may be away */
    const struct cellar_args *args; /* --column and --versions */
    struct cellar_slice words;      /* the options that decide what is written */
};

/** Runs an export, or goes on with one that was stopped. @return CELLAR_OK or what stopped it */
enum cellar_status cellar_export_job_run(struct cellar_tool *tool,
                                         struct cellar_export_job_options *options,
                                         struct cellar_error *error) CELLAR_MUST_USE;

#endif
