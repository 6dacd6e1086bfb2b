/*
 * The half of a command line that import and export have in common.
 *
 * Both move a table's rows between a server and a file, wait for a server that restarts, and keep
 * their place in a progress file. That file belongs to one command: the options are joined here
 * into the text that is compared, without those that only say how the work is done, which may
 * change between two runs. Nothing is opened here. Pure.
 */

#include "client/tools/transfer.h"

#include <string.h>

#include "client/tools/duration.h"
#include "client/tools/packing.h"

#define PATIENCE_US_DEFAULT INT64_C(60000000)

/* Options of both that do not decide what becomes of the data. */
static const char *const manner_options[] = {"endpoint", "instance", "timeout", "progress", "help"};

#define MANNER_MAX 16u

/* True when a name, without the suffix of a packing, ends with `suffix`. */
static bool has_suffix(const char *path, const char *suffix)
{
    size_t bytes = strlen(path) - strlen(cellar_packing_suffix(cellar_packing_of_name(path)));
    size_t suffix_bytes = strlen(suffix);
    CELLAR_ASSERT(suffix_bytes > 0);
    return bytes > suffix_bytes && strncmp(path + bytes - suffix_bytes, suffix, suffix_bytes) == 0;
}

/* Reads --format, else the file's name. */
static enum cellar_status format_get(const struct cellar_transfer_kind *kind,
                                     const struct cellar_args *args,
                                     struct cellar_transfer *transfer, struct cellar_error *error)
{
    const char *name = cellar_args_text(args, "format");
    CELLAR_ASSERT(kind->format_count > 0 && transfer->path != NULL);
    for (size_t index = 0; index < kind->format_count; index++) {
        const char *suffix = kind->formats[index].suffix;
        if (name != NULL ? strcmp(name, kind->formats[index].name) == 0
                         : suffix != NULL && has_suffix(transfer->path, suffix)) {
            transfer->format = index;
            return CELLAR_OK;
        }
    }
    transfer->format = 0;
    return name == NULL ? CELLAR_OK
                        : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                           "Option --format must be %s, but got '%.64s'",
                                           kind->formats_text, name);
}

/* Reads --timeout. */
static enum cellar_status patience_get(const struct cellar_args *args, int64_t *patience_us,
                                       struct cellar_error *error)
{
    const char *timeout = cellar_args_text(args, "timeout");
    *patience_us = PATIENCE_US_DEFAULT;
    if (timeout != NULL) {
        CELLAR_TRY(cellar_duration_decode(cellar_slice_text(timeout), patience_us, error));
    }
    CELLAR_ASSERT(*patience_us >= 1);
    return CELLAR_OK;
}

/* Joins the options that decide what becomes of the data. */
static enum cellar_status words_join(const struct cellar_transfer_kind *kind,
                                     const struct cellar_args *args, struct cellar_buffer *words)
{
    const char *left_out[MANNER_MAX];
    size_t count = 0;
    CELLAR_ASSERT(kind->manner_count + CELLAR_ARRAY_COUNT(manner_options) <= MANNER_MAX);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(manner_options); index++) {
        left_out[count++] = manner_options[index];
    }
    for (size_t index = 0; index < kind->manner_count; index++) {
        left_out[count++] = kind->manner_options[index];
    }
    return cellar_args_join(args, left_out, count, words);
}

enum cellar_status cellar_transfer_read(const struct cellar_transfer_kind *kind,
                                        const struct cellar_args *args,
                                        struct cellar_transfer *transfer,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(args->word_count == 1 || args->word_count == 2);
    transfer->table = args->words[0];
    transfer->path = args->word_count == 1 ? "-" : args->words[1];
    transfer->progress_path = cellar_args_text(args, "progress");
    CELLAR_TRY(format_get(kind, args, transfer, error));
    CELLAR_TRY(patience_get(args, &transfer->patience_us, error));
    return words_join(kind, args, &transfer->words) == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the options");
}

void cellar_transfer_fini(struct cellar_transfer *transfer)
{
    CELLAR_ASSERT(transfer != NULL);
    cellar_buffer_fini(&transfer->words);
}
