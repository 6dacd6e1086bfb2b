#ifndef CELLAR_STORAGE_BATCH_H
#define CELLAR_STORAGE_BATCH_H

#include <stdatomic.h>

#include "common/buf.h"
#include "server/storage/range.h"
#include "server/storage/record.h"
#include "server/storage/slab.h"

/*
 * A batch: one mutation as entries that a memtable links in. The thread that got the mutation
 * builds it before it takes a lock; from the insert on it belongs to the memtable, and no byte of
 * it but links and LSN changes again.
 */

#define STORE_MEMTABLE_HEIGHT_MAX 16u

/** A link to the entry that follows on a level. `head` is that entry's key_head, or already that of
 * one inserted before it: never greater. */
struct store_link {
    _Atomic(struct store_entry *) to; /* NULL: none follows */
    _Atomic uint64_t head;            /* means nothing without `to` */
};

/** One entry. Key bytes follow the links. */
struct store_entry {
    uint64_t lsn;
    int64_t start_us; /* DELETE_COLUMN: first timestamp deleted; SET, SET_BLOB: the timestamp;
                         TOKEN: expiry */
    int64_t end_us;   /* DELETE_COLUMN: first one kept, 0 = none */
    const uint8_t *value;
    uint32_t value_bytes;
    uint32_t key_bytes;
    uint16_t row_key_bytes; /* of the key: the row's part */
    uint8_t type;           /* enum store_item_type */
    uint8_t height;
    uint8_t family_bytes;     /* of the family's name; 0: the key has none */
    uint16_t qualifier_bytes; /* plain */
    uint64_t key_head;        /* 8 bytes of the key as a number that sorts like it */
    struct store_link next[];
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

/** The memory of an entry with so many links and bytes of key. @return a multiple of 8 */
size_t store_entry_bytes(uint8_t height, size_t key_bytes);

/** A range of rows dropped: hides every cell of them with a smaller LSN, and what LMDB holds. */
struct store_drop {
    const struct store_drop *next; /* the one inserted before, or NULL */
    uint64_t lsn;
    struct store_range range; /* of row positions */
};

/** One mutation's entries with a copy of its payload, made before any lock is taken, given to a
 * memtable with the insert. */
struct store_batch {
    struct store_batch *next;      /* the memtable's list */
    struct cellar_slice payload;   /* a copy of its own, which entries point into */
    struct cellar_slice reference; /* of the blob that holds the payload; empty: the record does */
    struct store_entry **entries;
    uint32_t entry_count;
    uint32_t blob_count; /* named by entries, and by the record itself */
    size_t total_bytes;  /* of memory */
    int64_t server_time_us;
    int64_t token_expiry_us;        /* 0: no token */
    struct store_drop *drop;        /* of a range drop, which has no entries; else NULL */
    struct store_slab_chunk *chunk; /* that it is cut from; NULL: a block of the heap */
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

/**
 * Builds the batch of a mutation, cut from a slab where that may be.
 *
 * @param slab  the calling thread's, or NULL: from the heap
 * @param store_id  the store that it will probably go to; only memory depends on it
 * @return as store_batch_new()
 */
enum cellar_status store_batch_new_in(struct cellar_slice payload, struct store_slab *slab,
                                      uint32_t store_id, struct store_batch **batch)
    CELLAR_MUST_USE;

/**
 * Builds the batch of a mutation whose record names a blob that holds the payload.
 *
 * @param reference  STORE_BLOB_REFERENCE_BYTES, of that blob; copied
 * @return as store_batch_new()
 */
enum cellar_status store_batch_new_blob(struct cellar_slice payload, struct cellar_slice reference,
                                        struct store_batch **batch) CELLAR_MUST_USE;

/**
 * Builds the batch of a range drop.
 *
 * @param payload  record.h; copied
 * @return as store_batch_new()
 */
enum cellar_status store_batch_new_drop(struct cellar_slice payload, struct store_batch **batch)
    CELLAR_MUST_USE;

/** What the log record of a batch holds; lives as long as the batch. */
static inline struct cellar_slice store_batch_record(const struct store_batch *batch)
{
    return batch->reference.bytes > 0 ? batch->reference : batch->payload;
}

/** Frees a batch that no memtable took; takes NULL. */
void store_batch_free(struct store_batch *batch);

/** The entry behind, or NULL. Any thread. */
static inline const struct store_entry *store_entry_next(const struct store_entry *entry)
{
    return atomic_load_explicit(&((struct store_entry *)(uintptr_t)entry)->next[0].to,
                                memory_order_acquire);
}

#endif
