/*
 * Idempotency tokens: their keys, their records in an environment, their count.
 *
 * A record in the database `tokens` is an item like those of cells (CRC, long keys by layers):
 * expiry, then the outcome. It is looked up by key; nothing finds it by expiry. Expired records are
 * removed by a sweep that each checkpoint continues, at a cost in proportion to what it writes.
 *
 * The count must be exact at the limit without looking at the disk, so it is kept by slots of
 * expiry: a ring of 64 slots of 16 seconds spans more than the longest life. A slot that passes
 * takes its tokens out of the count, removed or not.
 *
 * Damage to a record must never let a write be applied twice: a look-up that meets it fails with
 * DATA_LOSS instead of "not there".
 */
#include "server/storage/token.h"

#include "common/key.h"
#include "server/storage/map_guard.h"

#define EXPIRY_BYTES 8u
#define SWEEP_PER_RECORD 4u
#define SWEEP_MIN 64u

struct cellar_slice store_token_key(uint8_t *to, struct cellar_slice row, struct cellar_slice token)
{
    CELLAR_ASSERT(row.bytes <= CELLAR_ROW_BYTES_MAX);
    CELLAR_ASSERT(token.bytes <= STORE_TOKEN_BYTES_MAX);
    uint8_t *end = store_token_put(cellar_key_put_escaped(to, row), token);
    return cellar_slice_make(to, (size_t)(end - to));
}

/* ---- the count ------------------------------------------------------------------------------- */

static int64_t slot_of(int64_t time_us)
{
    CELLAR_ASSERT(time_us >= 0);
    return time_us / STORE_TOKEN_SLOT_US;
}

void store_token_count_add(struct store_token_count *count, int64_t expiry_us)
{
    int64_t slot = CELLAR_MIN(slot_of(expiry_us), count->slot + STORE_TOKEN_SLOT_COUNT - 1);
    if (slot < count->slot) {
        return;
    }
    count->slots[slot % STORE_TOKEN_SLOT_COUNT]++;
    count->live++;
    CELLAR_ASSERT(count->live > 0);
}

uint64_t store_token_count_live(struct store_token_count *count, int64_t now_us)
{
    int64_t slot = slot_of(now_us);
    for (uint32_t i = 0; i < STORE_TOKEN_SLOT_COUNT && count->slot < slot; i++) {
        uint32_t *passed = &count->slots[count->slot % STORE_TOKEN_SLOT_COUNT];
        CELLAR_ASSERT(count->live >= *passed);
        count->live -= *passed;
        *passed = 0;
        count->slot++;
    }
    count->slot = CELLAR_MAX(count->slot, slot);
    return count->live;
}

/* The expiry that a record's value names; 0 when it is none. */
static int64_t expiry_of(struct cellar_slice value)
{
    if (value.bytes < EXPIRY_BYTES) {
        return 0;
    }
    int64_t expiry_us = (int64_t)cellar_get_u64le(value.data);
    CELLAR_ASSERT(value.data != NULL);
    return CELLAR_MAX(expiry_us, (int64_t)0);
}

struct token_walk {
    struct store_token_count *count;
    struct store_env_txn *txn;
    struct store_env_cursor cursor;
};

static enum cellar_status walk_run(void *context)
{
    struct token_walk *walk = context;
    CELLAR_TRY(store_env_cursor_init_tokens(&walk->cursor, walk->txn));
    CELLAR_TRY(store_env_cursor_seek(&walk->cursor, cellar_slice_make(NULL, 0)));
    while (walk->cursor.is_valid) {
        if (store_env_cursor_check(&walk->cursor) == CELLAR_OK) {
            store_token_count_add(walk->count, expiry_of(walk->cursor.value));
        }
        CELLAR_TRY(store_env_cursor_next(&walk->cursor));
    }
    CELLAR_ASSERT(walk->count->slot > 0);
    return CELLAR_OK;
}

enum cellar_status store_token_count_load(struct store_token_count *count,
                                          struct store_env_txn *txn, int64_t now_us)
{
    struct token_walk walk = {.count = count, .txn = txn};
    (void)store_token_count_live(count, now_us);
    enum cellar_status status = store_map_guard(walk_run, &walk);
    store_env_cursor_fini(&walk.cursor);
    CELLAR_ASSERT(count->slot > 0);
    return status;
}

/* ---- looking up ------------------------------------------------------------------------------ */

enum cellar_status store_token_get(struct store_env_txn *txn, struct cellar_slice key,
                                   int64_t now_us)
{
    struct cellar_slice value;
    CELLAR_ASSERT(key.bytes > 0);
    CELLAR_TRY(store_env_token_get(txn, key, &value));
    int64_t expiry_us = expiry_of(value);
    if (expiry_us == 0) {
        return CELLAR_DATA_LOSS;
    }
    return expiry_us >= now_us ? CELLAR_OK : CELLAR_NOT_FOUND;
}

bool store_token_is_live(struct cellar_slice value, int64_t now_us)
{
    CELLAR_ASSERT(now_us >= 0);
    return expiry_of(value) >= now_us;
}

uint64_t store_token_lsn(const struct store_memtable *memtable, struct cellar_slice key,
                         int64_t now_us)
{
    const struct store_entry *entry = store_memtable_token(memtable, key);
    CELLAR_ASSERT(entry == NULL || entry->lsn > 0);
    return entry != NULL && entry->start_us >= now_us ? entry->lsn : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum cellar_status record_put(struct store_env_txn *txn, const struct store_entry *entry,
                                     struct cellar_buffer *value)
{
    uint8_t expiry[EXPIRY_BYTES];
    cellar_put_u64le(expiry, (uint64_t)entry->start_us);
    cellar_buffer_clear(value);
    CELLAR_TRY(cellar_buffer_append(value, expiry, sizeof expiry));
    CELLAR_TRY(cellar_buffer_append(value, entry->value, entry->value_bytes));
    CELLAR_ASSERT(entry->type == STORE_ITEM_TOKEN);
    return store_env_token_put(txn, store_entry_key(entry), cellar_slice_of(value));
}

/* Puts the newest entry of each key that has not expired. */
static enum cellar_status entries_put(struct store_env_txn *txn,
                                      const struct store_memtable *memtable, int64_t now_us,
                                      uint64_t *put_count)
{
    struct cellar_buffer value = {0};
    enum cellar_status status = CELLAR_OK;
    const struct store_entry *newest = NULL;
    for (const struct store_entry *entry = store_memtable_token_first(memtable);
         entry != NULL && status == CELLAR_OK; entry = store_entry_next(entry)) {
        bool is_newest =
            newest == NULL || !cellar_slice_equal(store_entry_key(newest), store_entry_key(entry));
        newest = is_newest ? entry : newest;
        if (is_newest && entry->start_us >= now_us) {
            status = record_put(txn, entry, &value);
            (*put_count)++;
        }
    }
    CELLAR_ASSERT(newest != NULL || *put_count == 0);
    cellar_buffer_fini(&value);
    return status;
}

static enum cellar_status sweep_run(struct store_env_cursor *cursor, int64_t now_us,
                                    uint64_t record_count, struct cellar_buffer *sweep)
{
    CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(sweep)));
    for (uint64_t i = 0; i < record_count && cursor->is_valid; i++) {
        if (expiry_of(cursor->value) >= now_us || store_env_cursor_check(cursor) != CELLAR_OK) {
            CELLAR_TRY(store_env_cursor_next(cursor));
            continue;
        }
        cellar_buffer_clear(sweep);
        CELLAR_TRY(cellar_buffer_append(sweep, cursor->key.data, cursor->key.bytes));
        CELLAR_TRY(store_env_token_delete(cursor->txn, cellar_slice_of(sweep)));
        CELLAR_TRY(store_env_cursor_seek(cursor, cellar_slice_of(sweep)));
    }
    cellar_buffer_clear(sweep);
    CELLAR_ASSERT(sweep->bytes == 0);
    return cursor->is_valid ? cellar_buffer_append(sweep, cursor->key.data, cursor->key.bytes)
                            : CELLAR_OK;
}

enum cellar_status store_tokens_write(struct store_env_txn *txn,
                                      const struct store_memtable *memtable, int64_t now_us,
                                      struct cellar_buffer *sweep)
{
    struct store_env_cursor cursor;
    uint64_t put_count = 0;
    CELLAR_ASSERT(txn->is_write);
    CELLAR_TRY(entries_put(txn, memtable, now_us, &put_count));
    CELLAR_TRY(store_env_cursor_init_tokens(&cursor, txn));
    enum cellar_status status =
        sweep_run(&cursor, now_us, SWEEP_MIN + SWEEP_PER_RECORD * put_count, sweep);
    store_env_cursor_fini(&cursor);
    return status;
}
