#ifndef CELLAR_TOOLS_VALUE_FILE_H
#define CELLAR_TOOLS_VALUE_FILE_H

#include "common/buf.h"

/**
 * Reads a file whose content becomes a cell's value.
 *
 * @param path   `-` is standard input
 * @param value  emptied before
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT (no such file, larger than a value may be),
 *         CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status cellar_value_file_read(const char *path, struct cellar_buffer *value,
                                          struct cellar_error *error) CELLAR_MUST_USE;

#endif
