#ifndef CELLAR_STORAGE_MEMTABLE_H
#define CELLAR_STORAGE_MEMTABLE_H

#include "server/storage/batch.h"
#include "server/storage/blob_files.h"

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
 * Range drops are a short list beside the entries: a reader asks it once a row.
 *
 * Tokens are a list of their own, by row and token, so that readers of cells never meet them.
 */

#define STORE_MEMTABLE_PREFIX_BYTES_MAX 64u

struct store_memtable;

/** An empty memtable with one reference; NULL without memory. */
struct store_memtable *store_memtable_new(void) CELLAR_MUST_USE;

/** Tells a new memtable which bytes its keys will probably begin with: what the rows of the one
 * before it have in common. Only speed depends on it. Before the first insert, under the append
 * lock. */
void store_memtable_prefix_set(struct store_memtable *memtable,
                               const struct store_memtable *before);

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
    uint64_t row_count;     /* distinct rows, and tokens: what a checkpoint finds a page for */
    uint64_t drop_count;    /* ranges dropped */
    uint64_t blob_count;    /* blobs named by its records */
    uint64_t bytes;         /* of memory */
    uint64_t payload_bytes; /* of records: about what a checkpoint adds to the environment */
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

/** The range drops, newest first, or NULL; they stay as long as the memtable. Any thread. */
const struct store_drop *store_memtable_drops(const struct store_memtable *memtable);

/** The greatest LSN, at most `lsn_max`, of a range drop that covers a key; 0 when there is none.
 * Any thread. */
uint64_t store_memtable_drop_lsn(const struct store_memtable *memtable, struct cellar_slice key,
                                 uint64_t lsn_max);

/** Calls `visit` for each blob that a record of the memtable names, until one call fails. Nobody
 * inserts meanwhile. @return CELLAR_OK, or what `visit` returned */
enum cellar_status store_memtable_blobs(const struct store_memtable *memtable,
                                        store_blob_visit_fn *visit, void *context) CELLAR_MUST_USE;

/** The newest entry of a token (token.h, "key"), or NULL. Any thread. */
const struct store_entry *store_memtable_token(const struct store_memtable *memtable,
                                               struct cellar_slice key);

/** The first of all token entries, or NULL; store_entry_next() goes on. Any thread. */
const struct store_entry *store_memtable_token_first(const struct store_memtable *memtable);

#endif
