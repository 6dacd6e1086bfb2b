#ifndef CELLAR_TOOLS_TRANSFER_H
#define CELLAR_TOOLS_TRANSFER_H

#include "client/tools/args.h"

/* What import and export read from a command line before each goes its own way. */

/** A format of the file. */
struct cellar_transfer_format {
    const char *name;   /* as --format takes it */
    const char *suffix; /* of files that hold it; NULL: only --format says so */
};

/** A direction: what its command line may say. Constant. */
struct cellar_transfer_kind {
    const struct cellar_transfer_format *formats; /* the first is the default */
    size_t format_count;
    const char *formats_text;          /* their names in a sentence: "jsonl or csv" */
    const char *const *manner_options; /* its own that do not decide what becomes of the data */
    size_t manner_count;
};

/** What was said. Texts borrow from the arguments; zero-initialised is empty. */
struct cellar_transfer {
    const char *table;
    const char *path;          /* "-": standard input or output */
    const char *progress_path; /* NULL: beside the file */
    size_t format;             /* index into the kind's */
    int64_t patience_us;       /* >= 1: how long the server may be away; --timeout */
    /** The options that decide what becomes of the data: a progress file belongs to them. */
    struct cellar_buffer words;
};

/**
 * Reads table, file, --format, --timeout and --progress, and joins the words.
 *
 * @param args      one word, the table, or two; borrowed as long as `transfer` is used
 * @param transfer  empty before; free it with cellar_transfer_fini() whatever comes back
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the option; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_transfer_read(const struct cellar_transfer_kind *kind,
                                        const struct cellar_args *args,
                                        struct cellar_transfer *transfer,
                                        struct cellar_error *error) CELLAR_MUST_USE;

/** Frees the words. */
void cellar_transfer_fini(struct cellar_transfer *transfer);

#endif
