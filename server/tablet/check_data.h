#ifndef CELLAR_TABLET_CHECK_DATA_H
#define CELLAR_TABLET_CHECK_DATA_H

#include <stdio.h>

#include "common/status.h"

/*
 * The check of a whole data directory that no server uses: reads every byte that matters and names
 * what is damaged. Changes nothing on the disk. server/ARCHITECTURE.md, "Checking a data
 * directory".
 */

struct tablet_check_options {
    const char *data_dir;
    FILE *out;      /* a line a finding, a summary */
    FILE *progress; /* a line written over and over; NULL: none */
    bool is_json;   /* one JSON object a line */
};

/**
 * Checks a data directory.
 *
 * @param damage_count  receives how many problems were named
 * @return CELLAR_OK whatever is damaged; FAILED_PRECONDITION (in use, another version, no data
 * directory), IO_ERROR (cannot be opened), INVALID_ARGUMENT (path), NO_MEMORY
 */
enum cellar_status tablet_check_data(const struct tablet_check_options *options,
                                     uint64_t *damage_count, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
