/*
 * Progress files. One looks like this:
 *
 *     cellar import progress 1
 *     table projects/default/instances/default/tables/t
 *     input_bytes 12345
 *     position 4096
 *     crc 1b2c3d4e
 *
 * Values are escaped as in text output, so that a line is a line; the last one holds the CRC-32C of
 * all before. The file is replaced as a whole: whoever is killed at any moment leaves the old one
 * or the new one, and beside it perhaps a `.tmp` that the next save replaces. A file that does not
 * end in its checksum is refused, never guessed at: going on at a wrong place would lose rows.
 *
 * Errors of the system are told with the file's name. Pure but for save, load and remove.
 */

#include "client/tools/progress_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/tools/escape.h"
#include "common/crc32c.h"
#include "common/mem.h"

#define CRC_LINE_BYTES 13u /* "crc ", eight digits and a newline */

/* Names hold no blank, so the first one ends the name; a value may hold any. */
enum cellar_status cellar_progress_put(struct cellar_progress *progress, const char *name,
                                       struct cellar_slice value)
{
    size_t before = progress->lines.bytes;
    CELLAR_ASSERT(strchr(name, ' ') == NULL && name[0] != '\0');
    enum cellar_status status = cellar_buffer_printf(&progress->lines, "%s ", name);
    if (status == CELLAR_OK) {
        status = cellar_escape_encode(value, CELLAR_ESCAPE_PLAIN, &progress->lines);
    }
    if (status == CELLAR_OK) {
        status = cellar_buffer_append(&progress->lines, "\n", 1);
    }
    if (status != CELLAR_OK) {
        progress->lines.bytes = before;
    }
    return status;
}

enum cellar_status cellar_progress_put_number(struct cellar_progress *progress, const char *name,
                                              int64_t number)
{
    char text[24];
    CELLAR_ASSERT(name != NULL);
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    return cellar_progress_put(progress, name, cellar_slice_text(text));
}

/* Takes the next line apart; false at the end. */
static bool line_next(struct cellar_cursor *from, struct cellar_slice *name,
                      struct cellar_slice *value)
{
    size_t left = cellar_cursor_left(from);
    const uint8_t *newline = left == 0 ? NULL : memchr(from->at, '\n', left);
    if (newline == NULL) {
        return false;
    }
    size_t bytes = (size_t)(newline - from->at);
    const uint8_t *space = memchr(from->at, ' ', bytes);
    size_t name_bytes = space == NULL ? bytes : (size_t)(space - from->at);
    *name = cellar_slice_make(from->at, name_bytes);
    *value = cellar_slice_make(from->at + name_bytes + (space == NULL ? 0 : 1),
                               bytes - name_bytes - (space == NULL ? 0 : 1));
    from->at = newline + 1;
    CELLAR_ASSERT(from->at <= from->end);
    return true;
}

/* Finds a line; its value is still escaped. A file of a dozen lines needs no index. */
static bool line_find(const struct cellar_progress *progress, struct cellar_slice wanted,
                      struct cellar_slice *value)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&progress->lines));
    struct cellar_slice name;
    CELLAR_ASSERT(wanted.bytes > 0);
    while (line_next(&from, &name, value)) {
        if (cellar_slice_equal(name, wanted)) {
            return true;
        }
    }
    return false;
}

bool cellar_progress_get(const struct cellar_progress *progress, const char *name,
                         struct cellar_buffer *value)
{
    struct cellar_slice text;
    CELLAR_ASSERT(value != NULL);
    return line_find(progress, cellar_slice_text(name), &text) &&
           cellar_escape_decode(text, value, NULL) == CELLAR_OK;
}

/* Strict, as a wrong place would lose rows: nothing may stand behind the digits. */
bool cellar_progress_get_number(const struct cellar_progress *progress, const char *name,
                                int64_t least, int64_t *number)
{
    struct cellar_slice value;
    char text[24];
    char *end;
    CELLAR_ASSERT(number != NULL);
    if (!line_find(progress, cellar_slice_text(name), &value) || value.bytes == 0 ||
        value.bytes >= sizeof text) {
        return false;
    }
    memcpy(text, value.data, value.bytes);
    text[value.bytes] = '\0';
    errno = 0;
    long long found = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || found < least) {
        return false;
    }
    *number = found;
    return true;
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The failure of a system call on a file. */
static enum cellar_status failed(struct cellar_error *error, const char *what, const char *path)
{
    char reason[128];
    CELLAR_ASSERT(what != NULL && path != NULL);
    return cellar_error_set(error, CELLAR_IO_ERROR, "Cannot %s '%.300s': %s", what, path,
                            strerror_r(errno, reason, sizeof reason));
}

/* Best effort: some file systems refuse it, and the file itself is synced. */
void cellar_progress_sync_folder(const char *path)
{
    char *copy = cellar_mem_strdup(path);
    CELLAR_ASSERT(path != NULL);
    if (copy == NULL) {
        return;
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    cellar_mem_free(copy);
}

/* Writes and syncs a new file; false with errno set. close(2) is asked too: on network file systems
 * it is where writing fails. */
static bool file_write(const char *path, struct cellar_slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    size_t written = 0;
    if (fd < 0) {
        return false;
    }
    while (written < bytes.bytes) {
        ssize_t count = write(fd, bytes.data + written, bytes.bytes - written);
        if (count < 0 && errno != EINTR) {
            break;
        }
        written += count > 0 ? (size_t)count : 0;
    }
    CELLAR_ASSERT(written <= bytes.bytes);
    bool is_written = written == bytes.bytes && fsync(fd) == 0;
    int reason = errno;
    bool is_closed = close(fd) == 0;
    if (!is_written) {
        errno = reason;
    }
    return is_written && is_closed;
}

/* Appends the whole file's text: header, lines, checksum. */
static enum cellar_status text_make(const struct cellar_progress *progress, const char *kind,
                                    struct cellar_buffer *text)
{
    CELLAR_ASSERT(text->bytes == 0);
    CELLAR_TRY(cellar_buffer_printf(text, "cellar %s progress 1\n", kind));
    CELLAR_TRY(cellar_buffer_append(text, progress->lines.data, progress->lines.bytes));
    return cellar_buffer_printf(text, "crc %08" PRIx32 "\n",
                                cellar_crc32c(0, text->data, text->bytes));
}

/* The old file stays until the new one is whole on the disk: rename(2) puts one in the place of the
 * other. */
enum cellar_status cellar_progress_save(const struct cellar_progress *progress,
                                        const struct cellar_progress_file *file,
                                        struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    struct cellar_buffer temp = {0};
    enum cellar_status status = text_make(progress, file->kind, &text);
    if (status == CELLAR_OK) {
        status = cellar_buffer_printf(&temp, "%s.tmp%c", file->path, 0);
    }
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    if (status != CELLAR_OK) {
        (void)cellar_error_set(error, status, "No memory to keep the progress");
    } else if (!file_write((const char *)temp.data, cellar_slice_of(&text)) ||
               rename((const char *)temp.data, file->path) != 0) {
        status = failed(error, "write", file->path);
        (void)unlink((const char *)temp.data);
    } else {
        cellar_progress_sync_folder(file->path);
    }
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&temp);
    return status;
}

/* Reads a file of at most CELLAR_PROGRESS_BYTES_MAX bytes. */
static enum cellar_status file_read(int fd, const char *path, struct cellar_buffer *text,
                                    struct cellar_error *error)
{
    ssize_t got = 1;
    CELLAR_ASSERT(fd >= 0);
    while (got > 0 && text->bytes <= CELLAR_PROGRESS_BYTES_MAX) {
        if (cellar_buffer_reserve(text, 4096) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to read '%.300s'", path);
        }
        got = read(fd, text->data + text->bytes, 4096);
        if (got < 0 && errno != EINTR) {
            return failed(error, "read", path);
        }
        text->bytes += got > 0 ? (size_t)got : 0;
        got = got < 0 ? 1 : got;
    }
    return CELLAR_OK;
}

/* Checks header and checksum and keeps the lines between them. The checksum is compared as a text,
 * in the form in which it is written. */
static bool text_take(struct cellar_slice text, const char *kind, struct cellar_progress *progress,
                      enum cellar_status *status)
{
    char header[64];
    char crc[CRC_LINE_BYTES + 1];
    int header_bytes = snprintf(header, sizeof header, "cellar %s progress 1\n", kind);
    CELLAR_ASSERT(header_bytes > 0 && (size_t)header_bytes < sizeof header);
    if (text.bytes < (size_t)header_bytes + CRC_LINE_BYTES ||
        text.bytes > CELLAR_PROGRESS_BYTES_MAX ||
        !cellar_slice_has_prefix(text, cellar_slice_text(header))) {
        return false;
    }
    size_t body_bytes = text.bytes - CRC_LINE_BYTES;
    (void)snprintf(crc, sizeof crc, "crc %08" PRIx32 "\n", cellar_crc32c(0, text.data, body_bytes));
    if (memcmp(text.data + body_bytes, crc, CRC_LINE_BYTES) != 0) {
        return false;
    }
    *status = cellar_buffer_append(&progress->lines, text.data + header_bytes,
                                   body_bytes - (size_t)header_bytes);
    return true;
}

enum cellar_status cellar_progress_load(const struct cellar_progress_file *file,
                                        struct cellar_progress *progress, bool *is_there,
                                        struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    CELLAR_ASSERT(progress->lines.bytes == 0);
    *is_there = false;
    if (fd < 0) {
        return errno == ENOENT ? CELLAR_OK : failed(error, "open", file->path);
    }
    enum cellar_status status = file_read(fd, file->path, &text, error);
    (void)close(fd);
    if (status == CELLAR_OK && !text_take(cellar_slice_of(&text), file->kind, progress, &status)) {
        status = cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                  "'%.300s' is not the whole progress of an %s of this version; "
                                  "remove it to begin anew, or name another with --progress",
                                  file->path, file->kind);
    } else if (status == CELLAR_NO_MEMORY) {
        (void)cellar_error_set(error, status, "No memory to read '%.300s'", file->path);
    }
    cellar_buffer_fini(&text);
    *is_there = status == CELLAR_OK;
    return status;
}

/* The first line that differs is named, with both values, so that one sees which option was
 * another. */
enum cellar_status cellar_progress_check(const struct cellar_progress *progress,
                                         const struct cellar_progress *identity,
                                         const struct cellar_progress_file *file,
                                         struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&identity->lines));
    struct cellar_slice name;
    struct cellar_slice wanted;
    while (line_next(&from, &name, &wanted)) {
        struct cellar_slice found = {NULL, 0};
        bool is_there = line_find(progress, name, &found);
        CELLAR_ASSERT(name.bytes > 0);
        if (!is_there || !cellar_slice_equal(found, wanted)) {
            return cellar_error_set(
                error, CELLAR_FAILED_PRECONDITION,
                "'%.200s' belongs to another %s: its %.*s is '%.*s', not '%.*s'; remove it to "
                "begin anew, or name another with --progress",
                file->path, file->kind, (int)name.bytes, (const char *)name.data,
                (int)CELLAR_MIN(found.bytes, 100u),
                found.data == NULL ? "" : (const char *)found.data,
                (int)CELLAR_MIN(wanted.bytes, 100u), (const char *)wanted.data);
        }
    }
    return CELLAR_OK;
}

void cellar_progress_remove(const struct cellar_progress_file *file)
{
    CELLAR_ASSERT(file->path != NULL);
    if (unlink(file->path) == 0) {
        cellar_progress_sync_folder(file->path);
    }
}

void cellar_progress_fini(struct cellar_progress *progress)
{
    CELLAR_ASSERT(progress != NULL);
    cellar_buffer_fini(&progress->lines);
}
