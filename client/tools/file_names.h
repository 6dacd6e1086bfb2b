#ifndef CELLAR_TOOLS_FILE_NAMES_H
#define CELLAR_TOOLS_FILE_NAMES_H

#include "common/buf.h"

/* Names of files, as far as one was typed. */

#define CELLAR_FILE_NAMES_COUNT_MAX 10000u

/** What was typed, and what may stand there. */
struct cellar_file_names {
    const char *typed;          /* a path, NUL-terminated; "" is the current folder */
    struct cellar_slice before; /* what stands before each name in its line, such as "--rejects=" */
    bool is_folders;            /* folders only */
};

/**
 * Appends what a path may become: a line each, in the order of their bytes, the whole path, a
 * folder with a '/' behind it. Names that begin with a dot are offered where one was typed. A name
 * that a terminal would obey or hide, or that is not UTF-8, is not offered, and neither is anything
 * of a folder that cannot be read or where more than CELLAR_FILE_NAMES_COUNT_MAX names fit.
 *
 * @param to  receives the lines; CELLAR_NO_MEMORY leaves some of them
 */
enum cellar_status cellar_file_names_offer(const struct cellar_file_names *names,
                                           struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
