/*
 * The history file of the shell.
 *
 * One line a command, as it was typed; values may be secrets, so nobody but the owner may read it.
 * Lines are appended one by one with O_APPEND: several shells share a file without harm, and a
 * crash loses nothing. When the file has grown beyond FILE_BYTES_MAX, opening cuts it to its last
 * half, from a line's start. What cannot be written is not reported: a history is a comfort.
 */

#include "client/tools/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

struct cellar_history {
    int fd;
    struct cellar_buffer text; /* what was in the file, a NUL for each line end */
    size_t next;               /* where the next line begins in it */
    struct cellar_buffer last; /* the line that was added last */
};

enum cellar_status cellar_history_path(const char *option, struct cellar_buffer *path)
{
    const char *given = option != NULL ? option : getenv("CELLAR_HISTFILE");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    CELLAR_ASSERT(path->bytes == 0);
    if (given != NULL) {
        return given[0] == '\0' ? CELLAR_OK : cellar_buffer_printf(path, "%s%c", given, 0);
    }
    if (state != NULL && state[0] == '/') {
        return cellar_buffer_printf(path, "%s/cellar/history%c", state, 0);
    }
    return home == NULL || home[0] != '/'
               ? CELLAR_OK
               : cellar_buffer_printf(path, "%s/.cellar_history%c", home, 0);
}

/* Makes the last folder of a path, when the ones before are there. */
static void folder_make(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    CELLAR_ASSERT(path[0] != '\0');
    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof folder) {
        return;
    }
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    (void)mkdir(folder, 0700); /* whether it worked is seen at the file */
}

/* Reads what is in the file; more than FILE_BYTES_MAX only its end. */
static enum cellar_status text_read(struct cellar_history *history, off_t file_bytes)
{
    off_t at = file_bytes > (off_t)FILE_BYTES_MAX ? file_bytes - (off_t)(FILE_BYTES_MAX / 2) : 0;
    bool is_cut = at > 0;
    CELLAR_ASSERT(file_bytes >= 0);
    CELLAR_TRY(cellar_buffer_reserve(&history->text, FILE_BYTES_MAX));
    while (history->text.bytes < FILE_BYTES_MAX) {
        ssize_t got = pread(history->fd, history->text.data + history->text.bytes,
                            FILE_BYTES_MAX - history->text.bytes, at);
        if (got <= 0) {
            break;
        }
        history->text.bytes += (size_t)got;
        at += got;
    }
    if (is_cut) { /* the first line is most likely half of one */
        const uint8_t *end = memchr(history->text.data, '\n', history->text.bytes);
        cellar_buffer_consume(&history->text,
                              end == NULL ? 0 : (size_t)(end + 1 - history->text.data));
        if (ftruncate(history->fd, 0) == 0) {
            ssize_t written = write(history->fd, history->text.data, history->text.bytes);
            (void)written;
        }
    }
    return CELLAR_OK;
}

/* Turns line ends into NULs and steps over all but the last lines. */
static enum cellar_status lines_cut(struct cellar_history *history)
{
    size_t count = 0;
    struct cellar_buffer *text = &history->text;
    if (text->bytes > 0 && text->data[text->bytes - 1] != '\n') {
        CELLAR_TRY(cellar_buffer_append(text, "\n", 1));
    }
    for (size_t index = text->bytes; index > 0; index--) {
        if (text->data[index - 1] != '\n') {
            continue;
        }
        if (count++ == CELLAR_HISTORY_LINES_MAX) {
            history->next = index;
            count--;
            break;
        }
    }
    CELLAR_ASSERT(count <= CELLAR_HISTORY_LINES_MAX);
    for (size_t index = history->next; index < text->bytes; index++) {
        text->data[index] = text->data[index] == '\n' ? '\0' : text->data[index];
    }
    return CELLAR_OK;
}

/* Opens the file for its owner only; false with errno. */
static bool file_open(struct cellar_history *history, const char *path, off_t *file_bytes)
{
    struct stat facts;
    CELLAR_ASSERT(history->fd < 0);
    history->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
    if (history->fd < 0 || fstat(history->fd, &facts) != 0) {
        return false;
    }
    if (!S_ISREG(facts.st_mode)) {
        errno = EINVAL;
        return false;
    }
    *file_bytes = facts.st_size;
    return (facts.st_mode & 0077) == 0 || fchmod(history->fd, 0600) == 0;
}

enum cellar_status cellar_history_open(const char *path, struct cellar_history **history,
                                       struct cellar_error *error)
{
    off_t file_bytes = 0;
    char reason[128];
    CELLAR_ASSERT(path != NULL);
    struct cellar_history *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the history");
    }
    made->fd = -1;
    folder_make(path);
    enum cellar_status status = CELLAR_OK;
    if (!file_open(made, path, &file_bytes)) {
        int code = errno;
        status = cellar_error_set(error, CELLAR_IO_ERROR, "Cannot keep the history in '%.200s': %s",
                                  path, strerror_r(code, reason, sizeof reason));
    } else if (text_read(made, file_bytes) != CELLAR_OK || lines_cut(made) != CELLAR_OK) {
        status = cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the history");
    }
    if (status != CELLAR_OK) {
        cellar_history_close(made);
        return status;
    }
    *history = made;
    return CELLAR_OK;
}

bool cellar_history_next(struct cellar_history *history, const char **line)
{
    CELLAR_ASSERT(history->next <= history->text.bytes);
    if (history->next == history->text.bytes) {
        return false;
    }
    *line = (const char *)history->text.data + history->next;
    history->next += strlen(*line) + 1;
    /* A NUL within a line cuts it; the rest is a line of its own, which does no harm. */
    return true;
}

bool cellar_history_add(struct cellar_history *history, const char *line)
{
    size_t bytes = strlen(line);
    CELLAR_ASSERT(line != NULL);
    if (bytes == 0 || line[0] == ' ' || line[0] == '\t' || strpbrk(line, "\n\r") != NULL) {
        return false;
    }
    if (history == NULL) {
        return true;
    }
    if (cellar_slice_equal(cellar_slice_of(&history->last), cellar_slice_make(line, bytes))) {
        return false;
    }
    cellar_buffer_clear(&history->last);
    if (cellar_buffer_append(&history->last, line, bytes) == CELLAR_OK &&
        cellar_buffer_append(&history->last, "\n", 1) == CELLAR_OK) {
        ssize_t written = write(history->fd, history->last.data, history->last.bytes);
        (void)written;
        history->last.bytes = bytes;
    }
    return true;
}

void cellar_history_close(struct cellar_history *history)
{
    if (history == NULL) {
        return;
    }
    CELLAR_ASSERT(history->fd >= -1);
    if (history->fd >= 0) {
        (void)close(history->fd);
    }
    cellar_buffer_fini(&history->text);
    cellar_buffer_fini(&history->last);
    cellar_mem_free(history);
}
