/*
 * Completion of file names, for a shell of our own: real shells do it themselves.
 *
 * What was typed is cut behind its last '/': the folder is read, and each name in it that begins
 * like the rest is a candidate. Links are followed, so that one to a folder is a folder. Names come
 * from whoever may write to the folder and end up on a terminal and a command line: only those that
 * are shown as they are get there, and quoting them is the caller's (words.h).
 */

#include "client/tools/file_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "client/tools/escape.h"
#include "common/mem.h"

/* Names that were found. */
struct found {
    char **names; /* each on the heap, a folder's with its '/' */
    size_t count;
    size_t capacity;
};

/* True for a name that a terminal shows as it is. */
static bool is_plain(const char *name)
{
    struct cellar_slice left = cellar_slice_text(name);
    CELLAR_ASSERT(left.bytes > 0);
    while (left.bytes > 0) {
        uint32_t code;
        size_t bytes = cellar_utf8_next(left, &code);
        if (bytes == 0 || cellar_escape_is_hidden(code)) {
            return false;
        }
        left = cellar_slice_make(left.data + bytes, left.bytes - bytes);
    }
    return true;
}

/* True for a name that what was typed may become. */
static bool is_wanted(const char *name, const char *typed)
{
    CELLAR_ASSERT(name[0] != '\0');
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    return (name[0] != '.' || typed[0] == '.') && strncmp(name, typed, strlen(typed)) == 0 &&
           is_plain(name);
}

/* Keeps a name, with a '/' behind it if it is a folder's. */
static enum cellar_status name_add(struct found *found, const char *name, bool is_folder)
{
    size_t bytes = strlen(name);
    CELLAR_ASSERT(found->count <= found->capacity);
    if (found->count == found->capacity) {
        size_t capacity = CELLAR_MAX(found->capacity * 2, (size_t)16);
        char **names = cellar_mem_realloc(found->names, capacity * sizeof *names);
        if (names == NULL) {
            return CELLAR_NO_MEMORY;
        }
        found->names = names;
        found->capacity = capacity;
    }
    char *copy = cellar_mem_zalloc(bytes + 2, 1);
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    memcpy(copy, name, bytes + 1); /* one more zero stands behind it */
    copy[bytes] = is_folder ? '/' : '\0';
    found->names[found->count++] = copy;
    return CELLAR_OK;
}

/* Reads a folder's names that begin with `typed`; forgets them all when there are too many. */
static enum cellar_status folder_read(const struct cellar_file_names *names, DIR *folder,
                                      const char *typed, struct found *found)
{
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        struct stat status;
        if (!is_wanted(entry->d_name, typed)) {
            continue;
        }
        bool is_folder =
            fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
        if (names->is_folders && !is_folder) {
            continue;
        }
        CELLAR_TRY(name_add(found, entry->d_name, is_folder));
        CELLAR_ASSERT(found->count > 0);
        if (found->count > CELLAR_FILE_NAMES_COUNT_MAX) {
            return CELLAR_RESOURCE_EXHAUSTED;
        }
    }
    return CELLAR_OK;
}

static int names_order(const void *left, const void *right)
{
    const char *const *first = left;
    const char *const *second = right;
    CELLAR_ASSERT(*first != NULL && *second != NULL);
    return strcmp(*first, *second);
}

/* Appends the names, sorted, each behind what stands before it. */
static enum cellar_status names_put(const struct cellar_file_names *names, size_t folder_bytes,
                                    struct found *found, struct cellar_buffer *to)
{
    if (found->count > 0) {
        qsort(found->names, found->count, sizeof *found->names, names_order);
    }
    for (size_t index = 0; index < found->count; index++) {
        const char *name = found->names[index];
        CELLAR_ASSERT(strchr(name, '\n') == NULL);
        CELLAR_TRY(cellar_buffer_append(to, names->before.data, names->before.bytes));
        CELLAR_TRY(cellar_buffer_append(to, names->typed, folder_bytes));
        CELLAR_TRY(cellar_buffer_append(to, name, strlen(name)));
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

/* Opens the folder that the first bytes of a path name, "." if there are none; NULL if it cannot.
 */
static enum cellar_status folder_open(const char *path, size_t bytes, DIR **folder)
{
    struct cellar_buffer name = {0};
    *folder = NULL;
    enum cellar_status status =
        bytes == 0 ? cellar_buffer_append(&name, ".", 1) : cellar_buffer_append(&name, path, bytes);
    status = status == CELLAR_OK ? cellar_buffer_append(&name, "", 1) : status;
    if (status == CELLAR_OK) {
        *folder = opendir((const char *)name.data);
    }
    CELLAR_ASSERT(status == CELLAR_OK || *folder == NULL);
    cellar_buffer_fini(&name);
    return status;
}

enum cellar_status cellar_file_names_offer(const struct cellar_file_names *names,
                                           struct cellar_buffer *to)
{
    const char *slash = strrchr(names->typed, '/');
    size_t folder_bytes = slash == NULL ? 0 : (size_t)(slash + 1 - names->typed);
    struct found found = {0};
    DIR *folder = NULL;
    CELLAR_ASSERT(folder_bytes <= strlen(names->typed));
    CELLAR_TRY(folder_open(names->typed, folder_bytes, &folder));
    if (folder == NULL) {
        return CELLAR_OK;
    }
    enum cellar_status status = folder_read(names, folder, names->typed + folder_bytes, &found);
    (void)closedir(folder);
    if (status == CELLAR_OK) {
        status = names_put(names, folder_bytes, &found, to);
    }
    for (size_t index = 0; index < found.count; index++) {
        cellar_mem_free(found.names[index]);
    }
    cellar_mem_free(found.names);
    return status == CELLAR_RESOURCE_EXHAUSTED ? CELLAR_OK : status;
}
