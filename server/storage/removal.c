/*
 * Removing dropped ranges.
 *
 * A range that a record dropped counts as gone from the record on; the checkpoint that applies the
 * record only notes the range as pending (env_pending.c). Here its items go: some thousand a
 * transaction, and with them, in the same transaction, the beginning of the pending range. The
 * pending ranges are read inside that transaction, since a checkpoint may have changed them.
 *
 * A range over all rows goes in one step when LMDB can drop the whole database.
 */
#include "server/storage/removal.h"

#define SLICE_ITEMS_MAX 2000u

enum cellar_status store_range_remove(struct store_env_txn *txn, struct store_env_cursor *cursor,
                                      const struct store_range *range, uint64_t count_max,
                                      struct cellar_buffer *behind, bool *is_done)
{
    struct cellar_slice place = range->start;
    *is_done = false;
    for (uint64_t i = 0; i <= count_max; i++) {
        CELLAR_TRY(store_env_cursor_seek(cursor, place));
        if (!cursor->is_valid || !store_range_has(range, cellar_slice_of(&cursor->key))) {
            *is_done = true;
            return CELLAR_OK;
        }
        cellar_buffer_clear(behind);
        CELLAR_TRY(cellar_buffer_append(behind, cursor->key.data, cursor->key.bytes));
        place = cellar_slice_of(behind);
        if (i < count_max) {
            CELLAR_TRY(store_env_delete(txn, place));
        }
    }
    CELLAR_ASSERT(behind->bytes > 0);
    return CELLAR_OK;
}

static bool is_all(const struct store_range *range)
{
    CELLAR_ASSERT(range->end.bytes == 0 || range->end.data != NULL);
    return range->start.bytes == 0 && range->end.bytes == 0;
}

/* The first pending range loses its beginning, or goes. */
static enum cellar_status slice_remove(struct store_env_txn *txn, uint64_t *item_count)
{
    struct store_env_cursor cursor;
    struct cellar_buffer behind = {0};
    const struct store_range range = txn->pending.ranges[0];
    uint64_t before = txn->state.item_count;
    bool is_done = false;
    enum cellar_status status = CELLAR_OK;
    store_env_cursor_init(&cursor, txn);
    if (is_all(&range)) {
        status = store_env_cells_clear(txn, &is_done);
        before = txn->state.item_count;
    }
    if (status == CELLAR_OK && !is_done) {
        status = store_range_remove(txn, &cursor, &range, SLICE_ITEMS_MAX, &behind, &is_done);
    }
    if (status == CELLAR_OK) {
        const struct store_range gone = {range.start,
                                         is_done ? range.end : cellar_slice_of(&behind)};
        status = store_range_set_cut(&txn->pending, gone);
    }
    if (status == CELLAR_OK) {
        status = store_env_pending_put(txn, &txn->pending);
    }
    CELLAR_ASSERT(before >= txn->state.item_count || status != CELLAR_OK);
    *item_count = before - txn->state.item_count;
    store_env_cursor_fini(&cursor);
    cellar_buffer_fini(&behind);
    return status;
}

enum cellar_status store_pending_remove(struct store *store, uint64_t *item_count)
{
    struct store_env_txn txn;
    *item_count = 0;
    CELLAR_TRY(store_env_write_begin(store->env, &txn));
    enum cellar_status status =
        txn.pending.count == 0 ? CELLAR_NOT_FOUND : slice_remove(&txn, item_count);
    struct store_env_state state = txn.state;
    if (status != CELLAR_OK) {
        store_env_abort(&txn);
    } else {
        status = store_env_commit(&txn);
    }
    if (status == CELLAR_OK || status == CELLAR_NOT_FOUND) {
        store_state_note(store, &state);
        return CELLAR_OK;
    }
    CELLAR_ASSERT(status != CELLAR_NOT_FOUND);
    return status;
}
