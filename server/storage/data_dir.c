/*
 * The data directory's frame: lock, version, first start.
 *
 *     nothing there        -> FORMAT.new is written (a first start has begun), log and catalog are
 * made, FORMAT.new becomes FORMAT FORMAT.new, no FORMAT -> a first start was cut short: nothing was
 * ever served, so log/ and stores/ are removed and it begins again FORMAT               -> its line
 * must be ours anything else        -> refused: it is not ours to fill or to empty
 *
 * The lock is an exclusive flock on LOCK, which the kernel lets go when the process ends in
 * whatever way.
 */
#include "server/storage/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/storage/log_files.h"

static const char format_line[] = "cellar data directory, format 1\n";
static const char format_words[] = "cellar data directory, format ";

static void path_join(const struct store_data_dir *dir, const char *name, char *path)
{
    int bytes = snprintf(path, PATH_MAX, "%s/%s", dir->path, name);
    CELLAR_ASSERT(bytes > 0 && bytes < PATH_MAX);
}

static bool path_exists(const struct store_data_dir *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat facts;
    path_join(dir, name, path);
    CELLAR_ASSERT(path[0] != '\0');
    return stat(path, &facts) == 0;
}

static enum cellar_status fail(struct cellar_error *error, const char *what, const char *path)
{
    int code = errno;
    CELLAR_ASSERT(code != 0);
    return cellar_error_set(
        error, code == ENOSPC || code == EDQUOT ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR,
        "%s %s: %s", what, path, strerror(code));
}

/* @param flags of open(2) flock(2) rather than a file with a process id: nothing is left to clean
 * up after a kill, and two containers on one volume see each other. */
static enum cellar_status lock_take(struct store_data_dir *dir, int flags,
                                    struct cellar_error *error)
{
    char path[PATH_MAX];
    path_join(dir, "LOCK", path);
    int descriptor = open(path, flags | O_CLOEXEC, STORE_FILE_MODE);
    if (descriptor < 0) {
        return fail(error, "cannot open", path);
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int code = errno;
        (void)close(descriptor);
        if (code != EWOULDBLOCK) {
            errno = code;
            return fail(error, "cannot lock", path);
        }
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "the data directory %s is in use by another cellard; stop that one "
                                "or give another directory",
                                dir->path);
    }
    CELLAR_ASSERT(descriptor >= 0);
    dir->lock_descriptor = descriptor;
    return CELLAR_OK;
}

/* Writes a small file and syncs it and the directory. Small, but synced with its name: everything
 * that comes after relies on it. */
static enum cellar_status format_write(const struct store_data_dir *dir, const char *name,
                                       struct cellar_error *error)
{
    char path[PATH_MAX];
    path_join(dir, name, path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, STORE_FILE_MODE);
    if (descriptor < 0) {
        return fail(error, "cannot make", path);
    }
    enum cellar_status status =
        store_file_write(descriptor, 0, format_line, sizeof format_line - 1);
    if (status == CELLAR_OK && fsync(descriptor) != 0) {
        status = CELLAR_IO_ERROR;
    }
    (void)close(descriptor);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "cannot write %s", path);
    }
    CELLAR_ASSERT(dir->lock_descriptor >= 0);
    return store_directory_sync(dir->path, error);
}

/* Compared as a whole line: a number is not parsed, as only one is known. */
static enum cellar_status format_check(const struct store_data_dir *dir, struct cellar_error *error)
{
    char path[PATH_MAX];
    char line[128];
    size_t got = 0;
    path_join(dir, "FORMAT", path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return fail(error, "cannot open", path);
    }
    enum cellar_status status = store_file_read(descriptor, 0, line, sizeof line - 1, &got);
    (void)close(descriptor);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "cannot read %s", path);
    }
    line[got] = '\0';
    CELLAR_ASSERT(got < sizeof line);
    if (strcmp(line, format_line) != 0) {
        line[strcspn(line, "\n")] = '\0';
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "the data directory %s is of another version (its FORMAT says "
                                "\"%.60s\"); start the cellard that wrote it, or give --data-dir "
                                "another directory",
                                dir->path, line);
    }
    return CELLAR_OK;
}

/* Whether the directory holds nothing but what we put there before FORMAT. lost+found is what a
 * fresh file system has at its top. */
static bool is_blank(const struct store_data_dir *dir)
{
    DIR *directory = opendir(dir->path);
    bool is_empty = directory != NULL;
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        is_empty = is_empty &&
                   (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                    strcmp(entry->d_name, "LOCK") == 0 || strcmp(entry->d_name, "lost+found") == 0);
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    CELLAR_ASSERT(directory != NULL || !is_empty);
    return is_empty;
}

/* FORMAT.new says "this is ours, but nothing was ever served from it", and with it log/ and stores/
 * may be removed. Without it nothing is. By its name alone: power may have been lost before its
 * bytes were on the disk, so they are written again, as it will be FORMAT. */
static enum cellar_status first_start(struct store_data_dir *dir, struct cellar_error *error)
{
    char path[PATH_MAX];
    if (!path_exists(dir, "FORMAT.new") && !is_blank(dir)) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "%s is not empty and no data directory (it has no FORMAT "
                                "file); give --data-dir a new or empty directory",
                                dir->path);
    }
    CELLAR_TRY(format_write(dir, "FORMAT.new", error));
    CELLAR_TRY(store_directory_remove(dir->log_path, error));
    path_join(dir, "stores", path);
    CELLAR_TRY(store_directory_remove(path, error));
    CELLAR_TRY(store_directory_make(dir->log_path, error));
    CELLAR_TRY(store_directory_make(path, error));
    dir->is_new = true;
    CELLAR_ASSERT(!path_exists(dir, "FORMAT"));
    return CELLAR_OK;
}

/* Sets the paths; nothing is held yet. */
static enum cellar_status path_set(const char *path, struct store_data_dir *dir,
                                   struct cellar_error *error)
{
    memset(dir, 0, sizeof *dir);
    dir->lock_descriptor = -1;
    CELLAR_ASSERT(path != NULL);
    if (path[0] == '\0' || strlen(path) >= sizeof dir->path) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "the data directory's path must have 1 to %zu bytes, not %zu",
                                sizeof dir->path - 1, strlen(path));
    }
    memcpy(dir->path, path, strlen(path) + 1);
    path_join(dir, "log", dir->log_path);
    return CELLAR_OK;
}

/* The lock comes before any look inside: what is found there is another server's while that runs.
 */
enum cellar_status store_data_dir_open(const char *path, struct store_data_dir *dir,
                                       struct cellar_error *error)
{
    struct stat facts;
    CELLAR_TRY(path_set(path, dir, error));
    if (stat(path, &facts) == 0 && !S_ISDIR(facts.st_mode)) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "%s is not a directory; give --data-dir a directory", path);
    }
    CELLAR_TRY(store_directory_make(path, error));
    CELLAR_TRY(lock_take(dir, O_RDWR | O_CREAT, error));
    enum cellar_status status =
        path_exists(dir, "FORMAT") ? format_check(dir, error) : first_start(dir, error);
    if (status != CELLAR_OK) {
        store_data_dir_close(dir);
    }
    CELLAR_ASSERT(status != CELLAR_OK || dir->lock_descriptor >= 0);
    return status;
}

/* What FORMAT says: ours, another version, or nothing that any cellard wrote. */
static enum cellar_status format_look(const struct store_data_dir *dir,
                                      enum store_data_dir_kind *kind, struct cellar_error *error)
{
    char path[PATH_MAX];
    char line[sizeof format_line + 16];
    size_t got = 0;
    path_join(dir, "FORMAT", path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    *kind = STORE_DATA_DIR_DAMAGED;
    if (descriptor < 0 && errno == ENOENT) {
        return CELLAR_OK;
    }
    if (descriptor < 0) {
        return fail(error, "cannot open", path);
    }
    enum cellar_status status = store_file_read(descriptor, 0, line, sizeof line - 1, &got);
    (void)close(descriptor);
    if (status != CELLAR_OK) {
        return cellar_error_set(error, status, "cannot read %s", path);
    }
    line[got] = '\0';
    size_t words = sizeof format_words - 1;
    size_t digits = got > words ? strspn(line + words, "0123456789") : 0;
    bool is_format = strncmp(line, format_words, words) == 0 && digits > 0 &&
                     strcmp(line + words + digits, "\n") == 0;
    CELLAR_ASSERT(got < sizeof line);
    if (strcmp(line, format_line) == 0) {
        *kind = STORE_DATA_DIR_WHOLE;
    }
    return is_format && *kind != STORE_DATA_DIR_WHOLE ? format_check(dir, error) : CELLAR_OK;
}

/* Nothing is made, so a read-only copy will do, which mostly has a LOCK file as well. */
enum cellar_status store_data_dir_inspect(const char *path, struct store_data_dir *dir,
                                          enum store_data_dir_kind *kind, bool *has_lock,
                                          struct cellar_error *error)
{
    struct stat facts;
    CELLAR_TRY(path_set(path, dir, error));
    if (stat(path, &facts) != 0) {
        return fail(error, "cannot open the data directory", path);
    }
    *has_lock = path_exists(dir, "LOCK");
    if (!path_exists(dir, "FORMAT") && !path_exists(dir, "FORMAT.new") &&
        !path_exists(dir, "log") && !path_exists(dir, "stores")) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "%s is no data directory: it has no FORMAT file", path);
    }
    if (*has_lock) {
        CELLAR_TRY(lock_take(dir, O_RDONLY, error));
    }
    bool is_unfinished = path_exists(dir, "FORMAT.new") && !path_exists(dir, "FORMAT");
    *kind = STORE_DATA_DIR_UNFINISHED;
    enum cellar_status status = is_unfinished ? CELLAR_OK : format_look(dir, kind, error);
    if (status != CELLAR_OK) {
        store_data_dir_close(dir);
    }
    CELLAR_ASSERT(status == CELLAR_OK || dir->lock_descriptor < 0);
    return status;
}

/* rename(2) is atomic: a start finds FORMAT or FORMAT.new, never half of either. */
enum cellar_status store_data_dir_commit(struct store_data_dir *dir, struct cellar_error *error)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    CELLAR_ASSERT(dir->is_new);
    path_join(dir, "FORMAT.new", from);
    path_join(dir, "FORMAT", to);
    if (rename(from, to) != 0) {
        return fail(error, "cannot rename", from);
    }
    CELLAR_TRY(store_directory_sync(dir->path, error));
    dir->is_new = false;
    return CELLAR_OK;
}

void store_data_dir_blobs(const struct store_data_dir *dir, char *path)
{
    CELLAR_ASSERT(dir->path[0] != '\0');
    path_join(dir, "blobs", path);
}

void store_data_dir_close(struct store_data_dir *dir)
{
    if (dir->lock_descriptor >= 0) {
        (void)close(dir->lock_descriptor);
    }
    dir->lock_descriptor = -1;
    CELLAR_ASSERT(dir->lock_descriptor < 0);
}

void store_data_dir_generation(const struct store_data_dir *dir, uint32_t store_id,
                               uint64_t generation, char *path)
{
    int bytes = snprintf(path, PATH_MAX, "%s/stores/%u/%llu", dir->path, store_id,
                         (unsigned long long)generation);
    CELLAR_ASSERT(bytes > 0 && bytes < PATH_MAX);
}

enum cellar_status store_data_dir_store_make(const struct store_data_dir *dir, uint32_t store_id,
                                             struct cellar_error *error)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/stores/%u", dir->path, store_id);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof path);
    return store_directory_make(path, error);
}

enum cellar_status store_data_dir_store_remove(const struct store_data_dir *dir, uint32_t store_id,
                                               struct cellar_error *error)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/stores/%u", dir->path, store_id);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof path);
    return store_directory_remove(path, error);
}

/* A whole decimal number as a name; false for anything else. Only what is a number from end to end:
 * "1.old", which somebody put aside, is not store 1. */
static bool name_number(const char *name, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(name, &end, 10);
    CELLAR_ASSERT(end != NULL);
    *number = value;
    return name[0] >= '0' && name[0] <= '9' && *end == '\0' && errno == 0;
}

/* A folder without generations is visited once, as generation 0, so that it can be removed. */
static enum cellar_status store_walk(const struct store_data_dir *dir, uint32_t store_id,
                                     store_generation_fn *visit, void *context)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/stores/%u", dir->path, store_id);
    CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof path);
    DIR *directory = opendir(path);
    enum cellar_status status = CELLAR_OK;
    bool is_empty = true;
    const struct dirent *entry;
    while (directory != NULL && status == CELLAR_OK && (entry = readdir(directory)) != NULL) {
        uint64_t generation = 0;
        if (name_number(entry->d_name, &generation)) {
            is_empty = false;
            status = visit(context, store_id, generation);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return is_empty && status == CELLAR_OK ? visit(context, store_id, 0) : status;
}

enum cellar_status store_data_dir_walk(const struct store_data_dir *dir, store_generation_fn *visit,
                                       void *context, struct cellar_error *error)
{
    char path[PATH_MAX];
    path_join(dir, "stores", path);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return fail(error, "cannot open the directory", path);
    }
    enum cellar_status status = CELLAR_OK;
    const struct dirent *entry;
    while (status == CELLAR_OK && (entry = readdir(directory)) != NULL) {
        uint64_t store_id = 0;
        if (name_number(entry->d_name, &store_id) && store_id <= UINT32_MAX) {
            status = store_walk(dir, (uint32_t)store_id, visit, context);
        }
    }
    CELLAR_ASSERT(directory != NULL);
    (void)closedir(directory);
    return status;
}
