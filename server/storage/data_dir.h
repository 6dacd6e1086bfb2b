#ifndef CELLAR_STORAGE_DATA_DIR_H
#define CELLAR_STORAGE_DATA_DIR_H

#include <limits.h>

#include "common/status.h"

/*
 * The data directory: who holds it, which version it is of, and where things lie in it. FORMAT.md,
 * "The data directory".
 *
 *     FORMAT          one line: "cellar data directory, format 1"
 *     LOCK            locked while a server runs
 *     log/            the commit log's segments
 *     stores/ID/GENERATION/   one LMDB environment each
 *     blobs/          large values
 */

struct store_data_dir {
    char path[PATH_MAX - 64];
    char log_path[PATH_MAX];
    int lock_descriptor; /* -1: not held */
    bool is_new;         /* there was nothing: the caller makes log and catalog, then calls
                            store_data_dir_commit() */
};

/**
 * Makes the directory when it is missing, locks it and checks its version. What an unfinished first
 * start left behind is removed.
 *
 * @return CELLAR_OK; FAILED_PRECONDITION (locked by another process, another version, no data
 * directory but not empty), IO_ERROR, INVALID_ARGUMENT (path too long or empty),
 * RESOURCE_EXHAUSTED; nothing is held after a failure
 */
enum cellar_status store_data_dir_open(const char *path, struct store_data_dir *dir,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** What a directory looks like to somebody who only reads. */
enum store_data_dir_kind {
    STORE_DATA_DIR_WHOLE,      /* FORMAT is there and ours */
    STORE_DATA_DIR_UNFINISHED, /* a first start was cut short: nothing was ever served */
    STORE_DATA_DIR_DAMAGED     /* log/ or stores/ are there, but FORMAT is missing or damaged */
};

/**
 * Locks the directory for reading only: makes, changes and removes nothing.
 *
 * @param has_lock  receives whether there is a LOCK file; without one nothing is locked
 * @return CELLAR_OK; FAILED_PRECONDITION (locked by another process, another version, no data
 * directory), IO_ERROR, INVALID_ARGUMENT (path too long or empty); nothing is held after a failure
 */
enum cellar_status store_data_dir_inspect(const char *path, struct store_data_dir *dir,
                                          enum store_data_dir_kind *kind, bool *has_lock,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Ends a first start: writes FORMAT, durable at return. */
enum cellar_status store_data_dir_commit(struct store_data_dir *dir, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Writes the path of the blobs' folder. @param path  PATH_MAX bytes */
void store_data_dir_blobs(const struct store_data_dir *dir, char *path);

/** Lets the directory go. */
void store_data_dir_close(struct store_data_dir *dir);

/** The path of a generation's folder. @param path PATH_MAX bytes */
void store_data_dir_generation(const struct store_data_dir *dir, uint32_t store_id,
                               uint64_t generation, char *path);

/** Makes stores/ID, durable at return. */
enum cellar_status store_data_dir_store_make(const struct store_data_dir *dir, uint32_t store_id,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Removes stores/ID with all generations. */
enum cellar_status store_data_dir_store_remove(const struct store_data_dir *dir, uint32_t store_id,
                                               struct cellar_error *error) CELLAR_MUST_USE;

/** What stores/ holds: calls `visit` for each ID/GENERATION found; it may remove them. */
typedef enum cellar_status store_generation_fn(void *context, uint32_t store_id,
                                               uint64_t generation);

enum cellar_status store_data_dir_walk(const struct store_data_dir *dir, store_generation_fn *visit,
                                       void *context, struct cellar_error *error) CELLAR_MUST_USE;

#endif
