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

/* One transaction's work, and what it leaves to be freed. */
struct slice {
    struct store_env_txn txn;
    struct store_env_cursor cursor;
    struct cellar_buffer behind;
    uint64_t item_count;
    struct store *store;
    struct store_parting parting;
};

/* The first pending range loses its beginning, or goes. */
static enum cellar_status slice_remove(struct slice *slice)
{
    struct store_env_txn *txn = &slice->txn;
    const struct store_range range = txn->pending.ranges[0];
    uint64_t before = txn->state.item_count;
    bool is_done = false;
    store_env_cursor_init(&slice->cursor, txn);
    if (is_all(&range)) {
        CELLAR_TRY(store_env_cells_clear(txn, &is_done));
        before = txn->state.item_count;
    }
    if (!is_done) {
        CELLAR_TRY(store_range_remove(txn, &slice->cursor, &range, SLICE_ITEMS_MAX, &slice->behind,
                                      &is_done));
    }
    const struct store_range gone = {range.start,
                                     is_done ? range.end : cellar_slice_of(&slice->behind)};
    CELLAR_TRY(store_range_set_cut(&txn->pending, gone));
    CELLAR_TRY(store_env_pending_put(txn, &txn->pending));
    CELLAR_ASSERT(before >= txn->state.item_count);
    slice->item_count = before - txn->state.item_count;
    return CELLAR_OK;
}

static enum cellar_status slice_run(void *context)
{
    struct slice *slice = context;
    CELLAR_ASSERT(slice->txn.is_write);
    CELLAR_TRY(slice->txn.pending.count == 0 ? CELLAR_NOT_FOUND : slice_remove(slice));
    return store_parting_make(slice->store, &slice->txn, &slice->parting);
}

enum cellar_status store_pending_remove(struct store *store, uint64_t *item_count)
{
    struct slice slice = {.store = store};
    enum cellar_status status = store_env_write(store->env, &slice.txn, slice_run, &slice);
    cellar_buffer_fini(&slice.cursor.key);
    cellar_buffer_fini(&slice.behind);
    store_parting_end(store, &slice.parting, status == CELLAR_OK);
    CELLAR_ASSERT(status != CELLAR_OK || !slice.txn.is_open);
    *item_count = status == CELLAR_OK ? slice.item_count : 0;
    if (status == CELLAR_OK || status == CELLAR_NOT_FOUND) {
        store_state_note(store, &slice.txn.state);
        return CELLAR_OK;
    }
    return status;
}
