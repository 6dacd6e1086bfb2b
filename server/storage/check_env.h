#ifndef CELLAR_STORAGE_CHECK_ENV_H
#define CELLAR_STORAGE_CHECK_ENV_H

#include "server/storage/check_blobs.h"
#include "server/storage/check_report.h"
#include "server/storage/env.h"
#include "server/storage/segment.h"

/*
 * The check of one environment on disk: its pages, its state, each item's checksum and place, each
 * segment and cell. FORMAT.md, "Environments", "Segments". Reads with pread(2), maps nothing,
 * changes nothing.
 */

/** What those above storage know of a store's rows; each may be NULL. */
struct store_check_rows {
    void *context;
    /** Whether the row may be here. @return NULL, or why not */
    const char *(*row)(void *context, struct cellar_slice row);
    /** Whether the cell may be. @return NULL, or why not */
    const char *(*cell)(void *context, struct cellar_slice row, const struct store_cell *cell);
    /** Names what a row belongs to. @param row may be empty: the store as a whole */
    void (*place)(void *context, struct cellar_slice row, struct store_check_place *place);
};

struct store_check_env_options {
    const char *data_dir; /* path of the data directory */
    uint32_t store_id;
    uint64_t generation;
    const uint8_t *log_id; /* of the commit log; NULL: not known */
    uint64_t end_lsn;      /* the log's last; UINT64_MAX: not known */
    struct store_check_rows rows;
    struct store_check_files *files; /* reads the blobs that cells name; NULL: nobody */
};

/**
 * Checks an environment; says what is wrong to the report, in a scope of its own.
 *
 * @param state      receives the state
 * @param has_state  receives whether it could be read
 * @return CELLAR_OK whatever is damaged; NO_MEMORY
 */
enum cellar_status store_check_env(struct store_check_report *report,
                                   const struct store_check_env_options *options,
                                   struct store_env_state *state, bool *has_state) CELLAR_MUST_USE;

#endif
