#ifndef CELLAR_TOOLS_SERVER_PRINTER_H
#define CELLAR_TOOLS_SERVER_PRINTER_H

#include "client/tools/row_printer.h"

/* What a server says about itself, for people and for programs. */

/** What is printed; everything borrowed. */
struct cellar_server_view {
    const struct cellar_server_info *info;
    const struct cellar_server_info *before; /* an earlier answer, for rates; NULL: none */
    const char *endpoint;
};

/**
 * Appends it: text in groups with units that people read, JSON and CSV with the server's own names
 * and numbers.
 *
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_server_print(enum cellar_format format,
                                       const struct cellar_server_view *view,
                                       struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
