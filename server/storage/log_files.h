#ifndef CELLAR_STORAGE_LOG_FILES_H
#define CELLAR_STORAGE_LOG_FILES_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/status.h"
#include "common/sync.h"

/*
 * The files under the log's segments: whole-range reads and writes, creation with zeroes that are
 * on the disk before the file is used, and a thread that makes the next file before the log needs
 * it.
 */

/*
 * Whoever may read a data directory may read every table, so what the server makes in it is for its
 * own user alone, whatever the umask; it can only take away more. Names that were there before keep
 * their mode: the top directory may be the operator's, a mounted volume open to all.
 */
#define STORE_DIRECTORY_MODE 0700
#define STORE_FILE_MODE 0600

/** A segment file, open for reading and writing. */
struct store_log_file {
    int descriptor;
    uint64_t index; /* its name: %08u.log */
};

/** Reads exactly `bytes` at `offset`; *got tells how many there were before the end of the file.
 * IO_ERROR. */
enum cellar_status store_file_read(int descriptor, uint64_t offset, void *to, size_t bytes,
                                   size_t *got) CELLAR_MUST_USE;

/** Writes all `bytes` at `offset`. RESOURCE_EXHAUSTED (disk full), IO_ERROR. */
enum cellar_status store_file_write(int descriptor, uint64_t offset, const void *from, size_t bytes)
    CELLAR_MUST_USE;

/** Makes a directory of STORE_DIRECTORY_MODE if it is missing and syncs its parent in either case:
 * a start that was cut short may have made it. RESOURCE_EXHAUSTED, IO_ERROR. */
enum cellar_status store_directory_make(const char *path, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Syncs a directory, so that names made or removed in it stay so. IO_ERROR. */
enum cellar_status store_directory_sync(const char *path, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Removes a directory with the plain files and directories in it; what is missing is fine.
 * IO_ERROR. */
enum cellar_status store_directory_remove(const char *path, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Opens the segment file `index` of `directory`. IO_ERROR. */
enum cellar_status store_log_file_open(const char *directory, uint64_t index,
                                       struct store_log_file *file, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The same for reading only. IO_ERROR. */
enum cellar_status store_log_file_open_read(const char *directory, uint64_t index,
                                            struct store_log_file *file, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Makes a segment file of `bytes` zeroes, file and name on the disk at return; a file of that name
 * is replaced. RESOURCE_EXHAUSTED, IO_ERROR. */
enum cellar_status store_log_file_create(const char *directory, uint64_t index, uint64_t bytes,
                                         struct store_log_file *file, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Closes and removes the file. */
void store_log_file_remove(const char *directory, struct store_log_file *file);

/** Makes one file ahead of need, on a thread of its own. */
struct store_log_spare {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    const char *directory;
    uint64_t segment_bytes;
    pthread_t thread;
    bool is_started;
    bool is_stopping CELLAR_GUARDED_BY(lock);
    bool is_wanted CELLAR_GUARDED_BY(lock);
    bool has_file CELLAR_GUARDED_BY(lock);
    _Atomic bool has_failed; /* the last try did, for lack of space most likely */
    uint64_t index_next CELLAR_GUARDED_BY(lock);
    struct store_log_file file CELLAR_GUARDED_BY(lock);
};

/** Starts the thread. @param index_next the first file index that no file has. NO_MEMORY. */
enum cellar_status store_log_spare_start(struct store_log_spare *spare, const char *directory,
                                         uint64_t segment_bytes, uint64_t index_next)
    CELLAR_MUST_USE;

/** Asks for a file, if there is none yet; returns at once. */
void store_log_spare_request(struct store_log_spare *spare);

/** Waits up to `wait_us` for the file and gives it away. @return false when there is none yet */
bool store_log_spare_take(struct store_log_spare *spare, int64_t wait_us,
                          struct store_log_file *file);

/** True after a failed try to make the wanted file, until one succeeds. */
bool store_log_spare_has_failed(const struct store_log_spare *spare);

/** Stops the thread, closes a file not taken (it stays, for the next run). */
void store_log_spare_stop(struct store_log_spare *spare);

#endif
