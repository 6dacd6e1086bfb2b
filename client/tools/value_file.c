/* The content of a file as a cell's value. A pipe has no size to ask for: it is read until it is
 * too long. */
#include "client/tools/value_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cell.h"

#define READ_BYTES 1048576u

static enum cellar_status content_read(FILE *file, const char *path, struct cellar_buffer *value,
                                       struct cellar_error *error)
{
    size_t got = 1;
    CELLAR_ASSERT(value->bytes == 0);
    while (got > 0) {
        if (cellar_buffer_reserve(value, READ_BYTES) != CELLAR_OK) {
            return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for '%.200s'", path);
        }
        got = fread(value->data + value->bytes, 1, READ_BYTES, file);
        value->bytes += got;
        if (value->bytes > CELLAR_VALUE_BYTES_MAX) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "A value may have at most %u bytes, but '%.200s' has more",
                                    CELLAR_VALUE_BYTES_MAX, path);
        }
    }
    return ferror(file) == 0 ? CELLAR_OK
                             : cellar_error_set(error, CELLAR_IO_ERROR, "Cannot read '%.200s': %s",
                                                path, strerror(errno));
}

enum cellar_status cellar_value_file_read(const char *path, struct cellar_buffer *value,
                                          struct cellar_error *error)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "rbe");
    cellar_buffer_clear(value);
    if (file == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Cannot open '%.200s': %s", path,
                                strerror(errno));
    }
    enum cellar_status status = content_read(file, path, value, error);
    CELLAR_ASSERT(status != CELLAR_OK || value->bytes <= CELLAR_VALUE_BYTES_MAX);
    if (!is_input) {
        (void)fclose(file);
    }
    return status;
}
