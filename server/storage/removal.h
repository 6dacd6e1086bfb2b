#ifndef CELLAR_STORAGE_REMOVAL_H
#define CELLAR_STORAGE_REMOVAL_H

#include "server/storage/store.h"

/* Removing what dropped ranges left in an environment: in slices in the background, or at once by a
 * checkpoint that cannot leave it. */

/**
 * Removes items of a range in a write transaction, from its start on.
 *
 * @param cursor     over the transaction's cells; moved
 * @param count_max  at most so many items
 * @param behind     emptied first; receives the key from which the rest goes on
 * @param is_done    receives whether nothing is left
 * @return as store_env_cursor_seek() and store_env_delete()
 */
enum cellar_status store_range_remove(struct store_env_txn *txn, struct store_env_cursor *cursor,
                                      const struct store_range *range, uint64_t count_max,
                                      struct cellar_buffer *behind, bool *is_done) CELLAR_MUST_USE;

/**
 * Removes a slice of what is pending in a store, in one durable transaction. The caller is the
 * store's only writer.
 *
 * @param item_count  receives how many items went; all at once counts as 0
 * @return CELLAR_OK, also when nothing was pending; RESOURCE_EXHAUSTED, IO_ERROR, DATA_LOSS,
 *         NO_MEMORY: nothing changed
 */
enum cellar_status store_pending_remove(struct store *store, uint64_t *item_count) CELLAR_MUST_USE;

#endif
