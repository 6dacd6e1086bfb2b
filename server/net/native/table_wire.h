#ifndef CELLAR_NET_NATIVE_TABLE_WIRE_H
#define CELLAR_NET_NATIVE_TABLE_WIRE_H

#include "server/service/service.h"

/* Tables, families and split keys between the native protocol and the service: PROTOCOL.md,
 * "Operations". */

/**
 * Decodes an array of [name, rule] into a table's families.
 *
 * @param raw    the field's value; empty is none; names borrow from it
 * @param arena  gives the memory of the array and of rules
 * @return CELLAR_OK; INVALID_ARGUMENT naming field and element; NO_MEMORY
 */
enum cellar_status net_families_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                       struct svc_table *table, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Decodes an array of bytes into a table's split keys, as net_families_decode(). */
enum cellar_status net_split_keys_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                         struct svc_table *table, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Decodes an array of [action, name, rule] into changes of families; without a rule, the last
 * element may be absent.
 *
 * @param raw      the field's value; empty is none; names borrow from it
 * @param changes  receives them, in order; memory of `arena`
 * @return as net_families_decode()
 */
enum cellar_status net_changes_decode(struct cellar_slice raw, struct cellar_arena *arena,
                                      struct svc_family_changes *changes,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/** Appends the TABLE body of a described table. NO_MEMORY. */
enum cellar_status net_table_encode(const struct svc_table *table, struct cellar_buffer *to,
                                    struct cellar_error *error) CELLAR_MUST_USE;

#endif
