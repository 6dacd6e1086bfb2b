#ifndef CELLAR_TOOLS_TABLE_PRINTER_H
#define CELLAR_TOOLS_TABLE_PRINTER_H

#include "client/tools/row_printer.h"

/* Tables, in the formats of row_printer.h. */

/** Appends a table's description; CELLAR_NO_MEMORY. */
enum cellar_status cellar_table_print(enum cellar_format format,
                                      const struct cellar_table_info *info,
                                      struct cellar_buffer *to) CELLAR_MUST_USE;

/** Appends the names of tables, as text without project and instance; CELLAR_NO_MEMORY. */
enum cellar_status cellar_table_list_print(enum cellar_format format,
                                           const struct cellar_table_list *list,
                                           struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
