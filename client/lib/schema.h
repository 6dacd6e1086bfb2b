#ifndef CELLAR_CLIENT_SCHEMA_H
#define CELLAR_CLIENT_SCHEMA_H

#include <cellar/cellar.h>

#include "common/message.h"

/* The builder behind `struct cellar_schema`, and changes of families in their wire form. */

struct cellar_schema {
    struct cellar_buffer families; /* encoded elements, without the arrays' headers */
    struct cellar_buffer splits;
    uint32_t family_count;
    uint32_t split_count;
    enum cellar_table_granularity granularity;
    struct cellar_error error; /* the first failure; CELLAR_OK when there was none */
};

/** The failure a schema carries: its own, or CELLAR_NO_MEMORY for NULL. */
enum cellar_status cellar_schema_error(const struct cellar_schema *schema,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** Appends a CREATE_TABLE body but for its time limit; CELLAR_NO_MEMORY. `families` and `splits`
 * (empty before, freed by the caller) hold what the message borrows. */
enum cellar_status cellar_schema_fill(const struct cellar_schema *schema,
                                      struct cellar_msg_create_table_request *message,
                                      struct cellar_buffer *families, struct cellar_buffer *splits)
    CELLAR_MUST_USE;

/**
 * Appends the array of MODIFY_FAMILIES.
 *
 * @param changes  `count` of them
 * @param to       empty before, freed by the caller also on failure
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming a rule that cannot be encoded, or too many
 *         changes; CELLAR_NO_MEMORY. Whether they make sense is the server's to say.
 */
enum cellar_status cellar_family_changes_put(struct cellar_buffer *to,
                                             const struct cellar_family_change *changes,
                                             size_t count, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
