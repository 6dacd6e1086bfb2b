#ifndef CELLAR_STORAGE_TOKEN_H
#define CELLAR_STORAGE_TOKEN_H

#include "server/storage/env.h"
#include "server/storage/memtable.h"

/*
 * Idempotency tokens of a store: {row, token} -> {expiry, outcome}. A token is an item of the log
 * record that it protects, an entry of the memtable beside the record's cells, and goes to the
 * environment's `tokens` database in the same checkpoint. So it is there exactly when what it
 * protects is. FORMAT.md, "Tokens".
 *
 * A token's key is its row's position and what store_token_put() writes behind it.
 */

#define STORE_TOKEN_KEY_BYTES_MAX (CELLAR_KEY_ROW_BYTES_MAX + 1u + STORE_TOKEN_BYTES_MAX)
#define STORE_TOKEN_WINDOW_US INT64_C(900000000) /* so long a token may live */
#define STORE_TOKEN_SLOT_US INT64_C(16000000)
#define STORE_TOKEN_SLOT_COUNT 64u

/** Writes a whole key. @param to STORE_TOKEN_KEY_BYTES_MAX bytes. @return the key, in `to` */
struct cellar_slice store_token_key(uint8_t *to, struct cellar_slice row,
                                    struct cellar_slice token);

/** How many tokens of a store are live, counted by the time of their expiry in slots of 16 s; an
 * expired one counts until its slot has passed. */
struct store_token_count {
    uint32_t slots[STORE_TOKEN_SLOT_COUNT];
    int64_t slot; /* the first that has not passed */
    uint64_t live;
};

/** Counts a token, unless its slot has passed. One thread at a time (the append lock). */
void store_token_count_add(struct store_token_count *count, int64_t expiry_us);

/** Lets slots pass. @return the live tokens at `now_us`. One thread at a time, as above. */
uint64_t store_token_count_live(struct store_token_count *count, int64_t now_us);

/** Counts what an environment holds and has not expired. Damaged records are left out: the scrub
 * names them. IO_ERROR, NO_MEMORY, DATA_LOSS (of the database itself). */
enum cellar_status store_token_count_load(struct store_token_count *count,
                                          struct store_env_txn *txn, int64_t now_us)
    CELLAR_MUST_USE;

/** Finds a token in an environment. @return CELLAR_OK when it is there and not expired, NOT_FOUND;
 * DATA_LOSS, IO_ERROR */
enum cellar_status store_token_get(struct store_env_txn *txn, struct cellar_slice key,
                                   int64_t now_us) CELLAR_MUST_USE;

/** Whether a token's item has not expired. @param value  behind the CRC */
bool store_token_is_live(struct cellar_slice value, int64_t now_us);

/** Whether a memtable holds the token, not expired. @return the LSN of its record, or 0 */
uint64_t store_token_lsn(const struct store_memtable *memtable, struct cellar_slice key,
                         int64_t now_us);

/**
 * Writes a memtable's tokens in its checkpoint's transaction and removes expired ones: a sweep goes
 * on from `sweep` through the database, four records for each one written and some more, so that
 * expired records stay fewer than half of the live ones.
 *
 * @param sweep  where the sweep of the last checkpoint ended; empty at first
 * @return CELLAR_OK; the transaction's first failure otherwise
 */
enum cellar_status store_tokens_write(struct store_env_txn *txn,
                                      const struct store_memtable *memtable, int64_t now_us,
                                      struct cellar_buffer *sweep) CELLAR_MUST_USE;

#endif
