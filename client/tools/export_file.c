/*
 * Where an export goes.
 *
 *     write -> packer -> packed -> NAME.part --finish: end the stream, fsync, rename--> NAME
 *                                      |
 *                    sync: end the stream, fsync; the length is a place to go on from
 *
 * gzip and zstd files may hold many streams one behind the other; a place to go on from is the end
 * of one, so that a part that is cut there unpacks by itself and takes more. NAME that exists is
 * replaced at the end and not before. Two exports to one file are told apart by a lock on the part.
 *
 * Standard output, and a path that is a pipe, a terminal or a device, is written as it is: there is
 * no part, nothing to go on with and nothing to sync. One thread at a time.
 */

#include "client/tools/export_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/progress_file.h"
#include "common/mem.h"

#define WRITE_BYTES 262144u /* packed, gathered before it is written */

struct cellar_export_file {
    const char *path;
    struct cellar_buffer part; /* its name, NUL-terminated; empty: there is none */
    FILE *to;
    bool is_owned; /* `to` is closed here */
    int64_t bytes; /* of the part, with what is not flushed yet */
    bool is_empty; /* nothing was added since the last stream ended */
    struct cellar_packer packer;
    struct cellar_buffer packed;
};

/* The failure of a system call on the output. */
static enum cellar_status failed(const struct cellar_export_file *file, enum cellar_status code,
                                 const char *what, struct cellar_error *error)
{
    char reason[128];
    const char *name = file->part.bytes > 0 ? (const char *)file->part.data : file->path;
    CELLAR_ASSERT(name != NULL);
    return cellar_error_set(error, code, "Cannot %s '%.300s': %s", what, name,
                            strerror_r(errno, reason, sizeof reason));
}

/* Locks, cuts and measures a part that is open. */
static enum cellar_status part_prepare(struct cellar_export_file *file, int fd,
                                       int64_t resume_bytes, struct cellar_error *error)
{
    struct stat status;
    int64_t bytes = CELLAR_MAX(resume_bytes, INT64_C(0));
    CELLAR_ASSERT(fd >= 0);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION, "Another export writes '%.300s'",
                                (const char *)file->part.data);
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < bytes) {
        return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                "'%.300s' is not what the export left there; remove it and the "
                                "progress to begin anew",
                                (const char *)file->part.data);
    }
    if (ftruncate(fd, bytes) != 0 || lseek(fd, bytes, SEEK_SET) != bytes) {
        return failed(file, CELLAR_IO_ERROR, "cut", error);
    }
    file->bytes = bytes;
    return CELLAR_OK;
}

/* Opens the part. */
static enum cellar_status part_open(struct cellar_export_file *file, int64_t resume_bytes,
                                    struct cellar_error *error)
{
    if (cellar_buffer_printf(&file->part, "%s.part%c", file->path, 0) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an export");
    }
    int flags = O_RDWR | O_CLOEXEC | (resume_bytes < 0 ? O_CREAT : 0);
    int fd = open((const char *)file->part.data, flags, 0666);
    if (fd < 0) {
        return failed(
            file, errno == ENOENT && resume_bytes >= 0 ? CELLAR_NOT_FOUND : CELLAR_INVALID_ARGUMENT,
            "open", error);
    }
    enum cellar_status status = part_prepare(file, fd, resume_bytes, error);
    file->to = status == CELLAR_OK ? fdopen(fd, "r+") : NULL;
    file->is_owned = true;
    CELLAR_ASSERT(status == CELLAR_OK || file->to == NULL);
    if (file->to == NULL) {
        (void)close(fd);
        return status != CELLAR_OK
                   ? status
                   : cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an export");
    }
    return CELLAR_OK;
}

/* Opens whatever the path is. */
static enum cellar_status output_open(struct cellar_export_file *file,
                                      const struct cellar_export_file_options *options,
                                      struct cellar_error *error)
{
    struct stat status;
    file->path = options->path;
    if (strcmp(options->path, "-") == 0) {
        CELLAR_ASSERT(options->out != NULL);
        file->to = options->out;
        return CELLAR_OK;
    }
    bool is_there = stat(options->path, &status) == 0;
    if (is_there && S_ISDIR(status.st_mode)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "'%.300s' is a folder",
                                options->path);
    }
    if (!is_there || S_ISREG(status.st_mode)) {
        return part_open(file, options->resume_bytes, error);
    }
    file->to = fopen(options->path, "we");
    file->is_owned = true;
    return file->to != NULL ? CELLAR_OK : failed(file, CELLAR_INVALID_ARGUMENT, "open", error);
}

enum cellar_status cellar_export_file_open(const struct cellar_export_file_options *options,
                                           struct cellar_export_file **file,
                                           struct cellar_error *error)
{
    struct cellar_export_file *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(options->path != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an export");
    }
    made->is_empty = true;
    enum cellar_status status = output_open(made, options, error);
    if (status == CELLAR_OK) {
        status = cellar_packer_init(&made->packer, options->packing, error);
    }
    if (status != CELLAR_OK) {
        cellar_export_file_close(made);
        return status;
    }
    *file = made;
    return CELLAR_OK;
}

bool cellar_export_file_is_resumable(const struct cellar_export_file *file)
{
    CELLAR_ASSERT(file->to != NULL);
    return file->part.bytes > 0;
}

/* Writes what is packed. */
static enum cellar_status packed_write(struct cellar_export_file *file, struct cellar_error *error)
{
    size_t bytes = file->packed.bytes;
    CELLAR_ASSERT(file->to != NULL);
    if (bytes > 0 && fwrite(file->packed.data, 1, bytes, file->to) != bytes) {
        return failed(file, CELLAR_IO_ERROR, "write", error);
    }
    file->bytes += (int64_t)bytes;
    cellar_buffer_clear(&file->packed);
    return CELLAR_OK;
}

enum cellar_status cellar_export_file_write(struct cellar_export_file *file,
                                            struct cellar_slice bytes, struct cellar_error *error)
{
    if (bytes.bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(bytes.data != NULL);
    file->is_empty = false;
    CELLAR_TRY(cellar_packer_step(&file->packer, bytes, false, &file->packed, error));
    return file->packed.bytes < WRITE_BYTES ? CELLAR_OK : packed_write(file, error);
}

/* Ends the stream and hands everything to the system. */
static enum cellar_status stream_end(struct cellar_export_file *file, struct cellar_error *error)
{
    if (!file->is_empty) {
        CELLAR_TRY(cellar_packer_step(&file->packer, cellar_slice_make(NULL, 0), true,
                                      &file->packed, error));
        file->is_empty = true;
    }
    CELLAR_TRY(packed_write(file, error));
    CELLAR_ASSERT(file->packed.bytes == 0);
    return fflush(file->to) == 0 ? CELLAR_OK : failed(file, CELLAR_IO_ERROR, "write", error);
}

enum cellar_status cellar_export_file_sync(struct cellar_export_file *file, int64_t *bytes,
                                           struct cellar_error *error)
{
    CELLAR_TRY(stream_end(file, error));
    CELLAR_ASSERT(cellar_export_file_is_resumable(file));
    if (fsync(fileno(file->to)) != 0) {
        return failed(file, CELLAR_IO_ERROR, "sync", error);
    }
    *bytes = file->bytes;
    return CELLAR_OK;
}

enum cellar_status cellar_export_file_finish(struct cellar_export_file *file,
                                             struct cellar_error *error)
{
    int64_t bytes = 0;
    if (file->bytes == 0 && file->packed.bytes == 0) {
        file->is_empty = false; /* nothing at all is a stream of nothing */
    }
    if (!cellar_export_file_is_resumable(file)) {
        return stream_end(file, error);
    }
    CELLAR_TRY(cellar_export_file_sync(file, &bytes, error));
    CELLAR_ASSERT(bytes >= 0);
    if (rename((const char *)file->part.data, file->path) != 0) {
        return failed(file, CELLAR_IO_ERROR, "rename", error);
    }
    cellar_progress_sync_folder(file->path);
    return CELLAR_OK;
}

void cellar_export_file_discard(struct cellar_export_file *file)
{
    CELLAR_ASSERT(file->path != NULL);
    if (file->part.bytes > 0) {
        (void)unlink((const char *)file->part.data);
    }
}

void cellar_export_file_close(struct cellar_export_file *file)
{
    if (file == NULL) {
        return;
    }
    CELLAR_ASSERT(file->path != NULL);
    if (file->is_owned && file->to != NULL) {
        (void)fclose(file->to);
    }
    cellar_packer_fini(&file->packer);
    cellar_buffer_fini(&file->packed);
    cellar_buffer_fini(&file->part);
    cellar_mem_free(file);
}
