#ifndef CELLAR_CLIENT_INFO_H
#define CELLAR_CLIENT_INFO_H

#include <cellar/cellar.h>

#include "common/message.h"

/* Answers of the table and server operations as structures that the program owns. */

/**
 * Decodes a TABLE.
 *
 * @param info  receives it; free it with cellar_table_info_free()
 * @return CELLAR_OK; CELLAR_IO_ERROR for what breaks the protocol; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_table_info_decode(struct cellar_slice body,
                                            struct cellar_table_info **info,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/** Decodes SERVER_INFO's reply, as cellar_table_info_decode(). */
enum cellar_status cellar_server_info_decode(struct cellar_slice body,
                                             struct cellar_server_info **info,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** An empty list of tables; NULL without memory. Free it with cellar_table_list_free(). */
struct cellar_table_list *cellar_table_list_new(void);

/**
 * Decodes one page of LIST_TABLES and adds its names to the list.
 *
 * @param next_page  receives the token of the next page, empty at the end; borrows from `body`
 * @return as cellar_table_info_decode()
 */
enum cellar_status cellar_table_list_add(struct cellar_table_list *list, struct cellar_slice body,
                                         struct cellar_slice *next_page, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
