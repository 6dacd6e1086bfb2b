/*
 * Files of the log, and the few file-system steps that other storage modules share.
 *
 * A segment file is written with zeroes from end to end and synced before its first use: later
 * groups then overwrite blocks that the file system has already allocated, so that fdatasync has no
 * metadata to write. The name is made durable by a sync of the directory.
 *
 * store_log_spare keeps the log thread from waiting for those zeroes: the log asks for a file when
 * the current segment is half full. When the disk is full the spare stays missing and says so; the
 * log thread then waits for a segment to become free, and the engine refuses new sets.
 */
#include "server/storage/log_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define ZERO_BYTES 1048576u
#define RETRY_US 100000

/* A full disk or quota is the one failure that operators can mend while the server runs, so it has
 * its own code. */
static enum cellar_status status_of_errno(int code)
{
    CELLAR_ASSERT(code != 0);
    return code == ENOSPC || code == EDQUOT ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR;
}

static enum cellar_status fail(struct cellar_error *error, const char *what, const char *path)
{
    int code = errno;
    return cellar_error_set(error, status_of_errno(code), "%s %s: %s", what, path, strerror(code));
}

/* pread(2) may return less than asked for (a signal, a file's end); only 0 means the end. */
enum cellar_status store_file_read(int descriptor, uint64_t offset, void *to, size_t bytes,
                                   size_t *got)
{
    size_t done = 0;
    CELLAR_ASSERT(descriptor >= 0);
    while (done < bytes) {
        ssize_t count =
            pread(descriptor, (uint8_t *)to + done, bytes - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return CELLAR_IO_ERROR;
        }
        if (count == 0) {
            break;
        }
        done += (size_t)count;
    }
    *got = done;
    return CELLAR_OK;
}

/* A write of 0 bytes would loop for ever, so it counts as a failure. */
enum cellar_status store_file_write(int descriptor, uint64_t offset, const void *from, size_t bytes)
{
    size_t done = 0;
    CELLAR_ASSERT(descriptor >= 0);
    while (done < bytes) {
        ssize_t count =
            pwrite(descriptor, (const uint8_t *)from + done, bytes - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 ? status_of_errno(errno) : CELLAR_IO_ERROR;
        }
        done += (size_t)count;
    }
    return CELLAR_OK;
}

/* fsync(2) of a file makes its bytes durable, not its name: that stands in the directory. */
enum cellar_status store_directory_sync(const char *path, struct cellar_error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return fail(error, "cannot open the directory", path);
    }
    int result = fsync(descriptor);
    enum cellar_status status =
        result == 0 ? CELLAR_OK : fail(error, "cannot sync the directory", path);
    CELLAR_ASSERT(path[0] != '\0');
    (void)close(descriptor);
    return status;
}

/* Parents are not made: a typing error in --data-dir should be told rather than followed. */
enum cellar_status store_directory_make(const char *path, struct cellar_error *error)
{
    char parent[PATH_MAX];
    struct stat facts;
    if (mkdir(path, STORE_DIRECTORY_MODE) != 0 && errno != EEXIST) {
        return fail(error, "cannot make the directory", path);
    }
    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "%s is in the place of a directory", path);
    }
    int bytes = snprintf(parent, sizeof parent, "%s/..", path);
    CELLAR_ASSERT(bytes > 0);
    if ((size_t)bytes >= sizeof parent) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "the path %s is too long", path);
    }
    return store_directory_sync(parent, error);
}

/* Removes one entry of a directory that is being removed; directories are two levels deep at most
 * (stores/ID/GENERATION). */
static enum cellar_status entry_remove(const char *path, int depth, struct cellar_error *error);

static enum cellar_status directory_empty(const char *path, int depth, struct cellar_error *error)
{
    CELLAR_ASSERT(depth >= 0);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return errno == ENOENT ? CELLAR_OK : fail(error, "cannot open the directory", path);
    }
    enum cellar_status status = CELLAR_OK;
    const struct dirent *entry;
    while (status == CELLAR_OK && (entry = readdir(directory)) != NULL) {
        char inner[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int bytes = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (bytes < 0 || (size_t)bytes >= sizeof inner) {
            status = cellar_error_set(error, CELLAR_IO_ERROR, "the path %s is too long", path);
        } else {
            status = entry_remove(inner, depth - 1, error);
        }
    }
    (void)closedir(directory);
    return status;
}

/* unlink(2) is tried first and tells a directory by its error: no second look that could be out of
 * date. The depth is a guard against following a foreign tree. */
static enum cellar_status entry_remove(const char *path, int depth, struct cellar_error *error)
{
    CELLAR_ASSERT(depth >= -1);
    if (unlink(path) == 0 || errno == ENOENT) {
        return CELLAR_OK;
    }
    if ((errno != EISDIR && errno != EPERM) || depth < 0) {
        return fail(error, "cannot remove", path);
    }
    CELLAR_TRY(directory_empty(path, depth, error));
    return rmdir(path) == 0 || errno == ENOENT ? CELLAR_OK : fail(error, "cannot remove", path);
}

enum cellar_status store_directory_remove(const char *path, struct cellar_error *error)
{
    CELLAR_ASSERT(path[0] != '\0');
    return entry_remove(path, 3, error);
}

/* Numbers with leading zeroes list in order. The number is only a slot: which segment lies in it,
 * its header says. */
static enum cellar_status file_path(const char *directory, uint64_t index, char *path,
                                    struct cellar_error *error)
{
    int bytes = snprintf(path, PATH_MAX, "%s/%08llu.log", directory, (unsigned long long)index);
    CELLAR_ASSERT(bytes > 0);
    if (bytes >= PATH_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "the path %s is too long",
                                directory);
    }
    return CELLAR_OK;
}

/* @param flags  of open(2) */
static enum cellar_status file_open(const char *directory, uint64_t index, int flags,
                                    struct store_log_file *file, struct cellar_error *error)
{
    char path[PATH_MAX];
    CELLAR_TRY(file_path(directory, index, path, error));
    int descriptor = open(path, flags | O_CLOEXEC);
    if (descriptor < 0) {
        return fail(error, "cannot open the log segment", path);
    }
    CELLAR_ASSERT(index > 0);
    file->descriptor = descriptor;
    file->index = index;
    return CELLAR_OK;
}

enum cellar_status store_log_file_open(const char *directory, uint64_t index,
                                       struct store_log_file *file, struct cellar_error *error)
{
    CELLAR_ASSERT(file != NULL);
    return file_open(directory, index, O_RDWR, file, error);
}

enum cellar_status store_log_file_open_read(const char *directory, uint64_t index,
                                            struct store_log_file *file, struct cellar_error *error)
{
    CELLAR_ASSERT(file != NULL);
    return file_open(directory, index, O_RDONLY, file, error);
}

/* Real zeroes, not fallocate(2): that reserves blocks but marks them unwritten, so that the first
 * group into each would have metadata to sync after all. */
static enum cellar_status zeroes_write(int descriptor, uint64_t bytes)
{
    uint8_t *zeroes = cellar_mem_zalloc(1, ZERO_BYTES);
    if (zeroes == NULL) {
        return CELLAR_NO_MEMORY;
    }
    enum cellar_status status = CELLAR_OK;
    for (uint64_t done = 0; done < bytes && status == CELLAR_OK;) {
        size_t piece = (size_t)CELLAR_MIN(bytes - done, (uint64_t)ZERO_BYTES);
        status = store_file_write(descriptor, done, zeroes, piece);
        done += piece;
    }
    CELLAR_ASSERT(bytes > 0);
    cellar_mem_free(zeroes);
    return status;
}

/* Whether the file system says that so many bytes fit; true when it does not tell. Filling a file
 * until the disk is full would take from the stores, for a moment, what they are still to have. */
static bool has_room(const char *directory, uint64_t bytes)
{
    struct statvfs facts;
    CELLAR_ASSERT(bytes > 0);
    return statvfs(directory, &facts) != 0 || (uint64_t)facts.f_bavail * facts.f_frsize >= bytes;
}

/* On failure the name is removed again: a half-filled file of the right name would be in the way of
 * the next try. A file that a crash left half filled is truncated here. */
enum cellar_status store_log_file_create(const char *directory, uint64_t index, uint64_t bytes,
                                         struct store_log_file *file, struct cellar_error *error)
{
    char path[PATH_MAX];
    CELLAR_TRY(file_path(directory, index, path, error));
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, STORE_FILE_MODE);
    if (descriptor < 0) {
        return fail(error, "cannot make the log segment", path);
    }
    enum cellar_status status =
        has_room(directory, bytes) ? zeroes_write(descriptor, bytes) : CELLAR_RESOURCE_EXHAUSTED;
    if (status == CELLAR_OK && fsync(descriptor) != 0) {
        status = status_of_errno(errno);
    }
    if (status == CELLAR_OK) {
        status = store_directory_sync(directory, error);
    }
    if (status != CELLAR_OK) {
        (void)unlink(path);
        (void)close(descriptor);
        return cellar_error_set(error, status, "cannot fill the log segment %s with %llu bytes: %s",
                                path, (unsigned long long)bytes,
                                status == CELLAR_RESOURCE_EXHAUSTED ? "the disk is full"
                                                                    : "writing failed");
    }
    CELLAR_ASSERT(index > 0);
    file->descriptor = descriptor;
    file->index = index;
    return CELLAR_OK;
}

/* The result of unlink(2) does not matter: a file that stays is found at the next start, and is
 * free then. */
void store_log_file_remove(const char *directory, struct store_log_file *file)
{
    char path[PATH_MAX];
    CELLAR_ASSERT(file->descriptor >= 0);
    (void)close(file->descriptor);
    file->descriptor = -1;
    if (file_path(directory, file->index, path, NULL) == CELLAR_OK) {
        (void)unlink(path);
    }
}

/* Makes the wanted file without the lock; the fields it reads do not change while it is wanted. The
 * lock is free meanwhile, since filling 16 MiB takes a while and the log thread only wants to know
 * whether it is done. */
static void spare_make(struct store_log_spare *spare, uint64_t index)
{
    struct store_log_file file = {-1, 0};
    struct cellar_error error;
    cellar_error_clear(&error);
    enum cellar_status status =
        store_log_file_create(spare->directory, index, spare->segment_bytes, &file, &error);
    if (status != CELLAR_OK && !atomic_load(&spare->has_failed)) {
        cellar_log(CELLAR_LOG_ERROR, "log_segment_failed", "error=\"%s\"", error.text);
    }
    cellar_mutex_lock(&spare->lock);
    if (status == CELLAR_OK) {
        spare->file = file;
        spare->has_file = true;
        spare->is_wanted = false;
        spare->index_next++;
    }
    atomic_store(&spare->has_failed, status != CELLAR_OK);
    cellar_cond_broadcast(&spare->changed);
    cellar_mutex_unlock(&spare->lock);
    CELLAR_ASSERT(status != CELLAR_OK || file.descriptor >= 0);
}

/* After a failure a file is tried again every tenth of a second while it is wanted: space may be
 * back. The wait can be ended by the stop. */
static void *spare_run(void *context)
{
    struct store_log_spare *spare = context;
    cellar_thread_name_set("log-segments");
    cellar_mutex_lock(&spare->lock);
    while (!spare->is_stopping) {
        if (!spare->is_wanted || spare->has_file) {
            cellar_cond_wait(&spare->changed, &spare->lock);
            continue;
        }
        if (atomic_load(&spare->has_failed)) {
            (void)cellar_cond_timedwait(&spare->changed, &spare->lock,
                                        cellar_clock_monotonic_us() + RETRY_US);
        }
        uint64_t index = spare->index_next;
        cellar_mutex_unlock(&spare->lock);
        spare_make(spare, index);
        cellar_mutex_lock(&spare->lock);
    }
    cellar_mutex_unlock(&spare->lock);
    CELLAR_ASSERT(spare->is_started);
    return NULL;
}

/* No lock is needed before there is a thread. */
enum cellar_status store_log_spare_start(struct store_log_spare *spare, const char *directory,
                                         uint64_t segment_bytes, uint64_t index_next)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(!spare->is_started);
    cellar_mutex_init(&spare->lock);
    cellar_cond_init(&spare->changed);
    spare->directory = directory;
    spare->segment_bytes = segment_bytes;
    spare->index_next = index_next;
    spare->is_started = true;
    if (pthread_create(&spare->thread, NULL, spare_run, spare) != 0) {
        spare->is_started = false;
        return CELLAR_NO_MEMORY;
    }
    return CELLAR_OK;
}

void store_log_spare_request(struct store_log_spare *spare)
{
    cellar_mutex_lock(&spare->lock);
    CELLAR_ASSERT(!spare->is_stopping);
    if (!spare->has_file && !spare->is_wanted) {
        spare->is_wanted = true;
        cellar_cond_broadcast(&spare->changed);
    }
    cellar_mutex_unlock(&spare->lock);
}

/* One wait, not a loop: the caller looks for freed segments between two tries. */
bool store_log_spare_take(struct store_log_spare *spare, int64_t wait_us,
                          struct store_log_file *file)
{
    cellar_mutex_lock(&spare->lock);
    if (!spare->has_file && wait_us > 0) {
        (void)cellar_cond_timedwait(&spare->changed, &spare->lock,
                                    cellar_clock_monotonic_us() + wait_us);
    }
    bool has_file = spare->has_file;
    if (has_file) {
        *file = spare->file;
        spare->has_file = false;
    }
    cellar_mutex_unlock(&spare->lock);
    CELLAR_ASSERT(!has_file || file->descriptor >= 0);
    return has_file;
}

/* After a failure the file stays wanted until there is one. */
bool store_log_spare_has_failed(const struct store_log_spare *spare)
{
    return atomic_load_explicit(&spare->has_failed, memory_order_relaxed);
}

/* A file that was made and not taken stays in the directory: the next start finds it without a
 * valid header and counts it as free. */
void store_log_spare_stop(struct store_log_spare *spare) CELLAR_NO_THREAD_SAFETY
{
    if (!spare->is_started) {
        return;
    }
    cellar_mutex_lock(&spare->lock);
    spare->is_stopping = true;
    cellar_cond_broadcast(&spare->changed);
    cellar_mutex_unlock(&spare->lock);
    int result = pthread_join(spare->thread, NULL);
    CELLAR_ASSERT(result == 0);
    if (spare->has_file) {
        (void)close(spare->file.descriptor);
    }
    cellar_cond_fini(&spare->changed);
    cellar_mutex_fini(&spare->lock);
    spare->is_started = false;
}
