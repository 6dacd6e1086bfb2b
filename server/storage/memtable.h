#ifndef CELLAR_STORAGE_MEMTABLE_H
#define CELLAR_STORAGE_MEMTABLE_H

#include <stdatomic.h>

#include "common/buf.h"
#include "server/storage/record.h"

/*
 * The writes of a store that LMDB does not have yet: a skip list of entries ordered by cell
 * position (common/key.h), newest LSN first.
 *
 * Thread safety:
 *   1. One thread at a time inserts (the append lock); any number read meanwhile without a lock.
 *   2. An entry never changes and never goes while the memtable lives. Readers hold a reference.
 *   3. Whether an entry is visible is the reader's business: it compares LSNs with its snapshot.
 *
 * Tombstones stand at the position they cover, which sorts before every cell under it: a row's at
 * the row's part alone, a family's at row and family, a column's at row, family and qualifier.
 *
 * Tokens are a list of their own, by row and token, so that readers of cells never meet them.
 */

#define STORE_MEMTABLE_HEIGHT_MAX 12u

/** One entry. Key bytes follow the links. */
struct store_entry {
    uint64_t lsn;
    int64_t
        start_us;   /* DELETE_COLUMN: first timestamp deleted; SET: the timestamp; TOKEN: expiry */
    int64_t end_us; /* DELETE_COLUMN: first one kept, 0 = none */
    const uint8_t *value;
    uint32_t value_bytes;
    uint32_t key_bytes;
    uint16_t row_key_bytes; /* of the key: the row's part */
    uint8_t type;           /* enum store_item_type */
    uint8_t height;
    uint8_t family_bytes;     /* of the family's name; 0: the key has none */
    uint16_t qualifier_bytes; /* plain */
    uint64_t key_head;        /* the key's first 8 bytes as a number that sorts like them */
    _Atomic(struct store_entry *) next[];
};

/** The entry's whole position. */
static inline struct cellar_slice store_entry_key(const struct store_entry *entry)
{
    return cellar_slice_make(&entry->next[entry->height], entry->key_bytes);
}

/** The row's part of the position. */
static inline struct cellar_slice store_entry_row(const struct store_entry *entry)
{
    return cellar_slice_make(&entry->next[entry->height], entry->row_key_bytes);
}

static inline struct cellar_slice store_entry_value(const struct store_entry *entry)
{
    return cellar_slice_make(entry->value, entry->value_bytes);
}

/** One mutation's entries with a copy of its payload, made before any lock is taken, given to a
 * memtable with the insert. */
struct store_batch {
    struct store_batch *next;    /* the memtable's list */
    struct cellar_slice payload; /* what the log record holds; lives as long as the batch */
    struct store_entry **entries;
    uint32_t entry_count;
    size_t total_bytes; /* of memory */
    int64_t server_time_us;
    int64_t token_expiry_us; /* 0: no token */
};

/**
 * Builds a batch from a record's payload, which is checked in full.
 *
 * @param payload  a mutation (record.h), copied
 * @param is_catalog  the payload is a catalog record: several mutations
 * @return CELLAR_OK; CELLAR_DATA_LOSS (no such payload); CELLAR_NO_MEMORY
 */
enum cellar_status store_batch_new(struct cellar_slice payload, bool is_catalog,
                                   struct store_batch **batch) CELLAR_MUST_USE;

/** Frees a batch that no memtable took; takes NULL. */
void store_batch_free(struct store_batch *batch);

struct store_memtable;

/** An empty memtable with one reference; NULL without memory. */
struct store_memtable *store_memtable_new(void) CELLAR_MUST_USE;

/** Adds a reference. Any thread that holds one. */
void store_memtable_ref(struct store_memtable *memtable);

/** Drops a reference; the last one frees it with its batches. Takes NULL. */
void store_memtable_unref(struct store_memtable *memtable);

/** Inserts a batch, which the memtable owns from here. @param lsn above all before it. Under the
 * append lock; allocates nothing. */
void store_memtable_insert(struct store_memtable *memtable, struct store_batch *batch,
                           uint64_t lsn);

/** What a memtable holds; the counts only grow. Any thread; exact under the append lock. */
struct store_memtable_facts {
    uint64_t first_lsn; /* 0: empty */
    uint64_t last_lsn;
    uint64_t record_count;
    uint64_t entry_count;
    uint64_t row_count; /* distinct rows, and tokens: what a checkpoint finds a page for */
    uint64_t bytes;
    int64_t server_time_us; /* the greatest given out */
};

void store_memtable_facts(const struct store_memtable *memtable,
                          struct store_memtable_facts *facts);

/** The first entry at or behind `key`, or NULL. Any thread. */
const struct store_entry *store_memtable_seek(const struct store_memtable *memtable,
                                              struct cellar_slice key);

/** The first entry behind all that stand at `key`, or NULL. Any thread. */
const struct store_entry *store_memtable_seek_behind(const struct store_memtable *memtable,
                                                     struct cellar_slice key);

/** The last entry before `key`, or NULL; an empty `key` asks for the very last. Any thread. */
const struct store_entry *store_memtable_seek_before(const struct store_memtable *memtable,
                                                     struct cellar_slice key);

/** The newest entry of a token (token.h, "key"), or NULL. Any thread. */
const struct store_entry *store_memtable_token(const struct store_memtable *memtable,
                                               struct cellar_slice key);

/** The first of all token entries, or NULL; store_entry_next() goes on. Any thread. */
const struct store_entry *store_memtable_token_first(const struct store_memtable *memtable);

/** The entry behind, or NULL. Any thread. */
static inline const struct store_entry *store_entry_next(const struct store_entry *entry)
{
    return atomic_load_explicit(&((struct store_entry *)(uintptr_t)entry)->next[0],
                                memory_order_acquire);
}

#endif
