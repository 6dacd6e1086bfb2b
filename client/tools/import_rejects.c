/*
 * The file of refused lines.
 *
 * It grows in the input's order and is synced before the progress that counts on it is saved. An
 * import that goes on cuts it to the length that its progress names, so that no line is in it twice
 * and none is missing. Without a path every function does nothing. One thread at a time.
 */

#include "client/tools/import_rejects.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The failure of a system call on the file. */
static enum cellar_status failed(const struct cellar_import_rejects *rejects,
                                 enum cellar_status code, const char *what,
                                 struct cellar_error *error)
{
    char reason[128];
    CELLAR_ASSERT(rejects->path != NULL);
    return cellar_error_set(error, code, "Cannot %s '%.300s': %s", what, rejects->path,
                            strerror_r(errno, reason, sizeof reason));
}

/* True when both are the same file. */
static bool is_same(int fd, int other_fd)
{
    struct stat status;
    struct stat other;
    CELLAR_ASSERT(fd >= 0);
    return other_fd >= 0 && fstat(fd, &status) == 0 && fstat(other_fd, &other) == 0 &&
           status.st_dev == other.st_dev && status.st_ino == other.st_ino;
}

/* Checks an open file and cuts it. */
static enum cellar_status file_prepare(struct cellar_import_rejects *rejects, int fd,
                                       struct cellar_import_rejects_terms terms,
                                       struct cellar_error *error)
{
    struct stat status;
    CELLAR_ASSERT(fd >= 0 && terms.bytes >= 0);
    if (is_same(fd, terms.input_fd)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "The rejects cannot go to '%.300s', which is the input",
                                rejects->path);
    }
    if (fstat(fd, &status) != 0) {
        return failed(rejects, CELLAR_INVALID_ARGUMENT, "look at", error);
    }
    if (!S_ISREG(status.st_mode)) {
        return CELLAR_OK; /* a pipe or a terminal takes what comes */
    }
    if (status.st_size < terms.bytes) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "'%.300s' is shorter than the import left it; name another file "
                                "with --rejects",
                                rejects->path);
    }
    return ftruncate(fd, terms.bytes) == 0 && lseek(fd, terms.bytes, SEEK_SET) == terms.bytes
               ? CELLAR_OK
               : failed(rejects, CELLAR_INVALID_ARGUMENT, "cut", error);
}

enum cellar_status cellar_import_rejects_open(struct cellar_import_rejects *rejects,
                                              const char *path,
                                              struct cellar_import_rejects_terms terms,
                                              struct cellar_error *error)
{
    CELLAR_ASSERT(rejects->file == NULL);
    if (path == NULL) {
        return CELLAR_OK;
    }
    rejects->path = path;
    rejects->bytes = terms.bytes;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return failed(rejects, CELLAR_INVALID_ARGUMENT, "open", error);
    }
    enum cellar_status status = file_prepare(rejects, fd, terms, error);
    rejects->file = status == CELLAR_OK ? fdopen(fd, "w") : NULL;
    if (rejects->file == NULL) {
        (void)close(fd);
        return status != CELLAR_OK
                   ? status
                   : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to write rejects");
    }
    return CELLAR_OK;
}

enum cellar_status cellar_import_rejects_write(struct cellar_import_rejects *rejects,
                                               struct cellar_slice lines,
                                               struct cellar_error *error)
{
    if (rejects->file == NULL || lines.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(lines.data != NULL);
    if (fwrite(lines.data, 1, lines.bytes, rejects->file) != lines.bytes) {
        return failed(rejects, CELLAR_IO_ERROR, "write", error);
    }
    rejects->bytes += (int64_t)lines.bytes;
    return CELLAR_OK;
}

enum cellar_status cellar_import_rejects_sync(struct cellar_import_rejects *rejects,
                                              struct cellar_error *error)
{
    if (rejects->file == NULL) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(rejects->bytes >= 0);
    if (fflush(rejects->file) != 0) {
        return failed(rejects, CELLAR_IO_ERROR, "write", error);
    }
    /* What is no file cannot be synced and need not be. */
    return fdatasync(fileno(rejects->file)) == 0 || errno == EINVAL || errno == EROFS
               ? CELLAR_OK
               : failed(rejects, CELLAR_IO_ERROR, "sync", error);
}

void cellar_import_rejects_close(struct cellar_import_rejects *rejects)
{
    CELLAR_ASSERT(rejects != NULL);
    if (rejects->file != NULL) {
        (void)fclose(rejects->file);
        rejects->file = NULL;
    }
}
