#ifndef CELLAR_STORAGE_RECORD_H
#define CELLAR_STORAGE_RECORD_H

#include "common/buf.h"
#include "common/cell.h"

/*
 * What a log record holds: FORMAT.md, "Records". A mutation is one row's normalised items,
 * tombstones first, then sets, then at most one token; it is self-contained, so replaying it
 * anywhere gives the same cells. A catalog record holds whole mutations of store 0.
 */

enum store_record_type {
    STORE_RECORD_MUTATION = 1,
    STORE_RECORD_MUTATION_BLOB = 2, /* the reference of a blob that holds a mutation */
    STORE_RECORD_SCHEMA = 3,        /* reserved */
    STORE_RECORD_RANGE_DROP = 4,
    STORE_RECORD_CATALOG = 5,
    STORE_RECORD_EMPTY = 6
};

/** Whether this build replays records of the type. */
static inline bool store_record_type_is_known(unsigned type)
{
    return type == STORE_RECORD_MUTATION || type == STORE_RECORD_MUTATION_BLOB ||
           type == STORE_RECORD_RANGE_DROP || type == STORE_RECORD_CATALOG ||
           type == STORE_RECORD_EMPTY;
}

enum store_item_type {
    STORE_ITEM_DELETE_ROW = 1,
    STORE_ITEM_DELETE_FAMILY = 2,
    STORE_ITEM_DELETE_COLUMN = 3,
    STORE_ITEM_SET = 4,
    STORE_ITEM_SET_BLOB = 5, /* the value is a blob's reference: blob_files.h */
    STORE_ITEM_ADD = 6,      /* reserved: merge of an input */
    STORE_ITEM_MERGE = 7,    /* reserved: merge of a state */
    STORE_ITEM_TOKEN = 8     /* an idempotency token of the mutation: token.h */
};

#define STORE_RECORD_BYTES_MAX 4194304u /* payload; and at most a quarter of a segment */
#define STORE_MUTATION_VERSION 1u
#define STORE_MUTATION_HEADER_BYTES 24u
#define STORE_ITEM_HEADER_BYTES 32u
#define STORE_RANGE_DROP_HEADER_BYTES 8u
#define STORE_TOKEN_BYTES_MIN 8u
#define STORE_TOKEN_BYTES_MAX 128u
#define STORE_TOKEN_OUTCOME_BYTES_MAX 1048576u

/** One item; slices borrow. */
struct store_item {
    enum store_item_type type;
    struct cellar_slice family;    /* empty for DELETE_ROW */
    uint32_t generation;           /* the family's; 0 for DELETE_ROW */
    struct cellar_slice qualifier; /* TOKEN: the token */
    int64_t start_us; /* SET, SET_BLOB: the timestamp; DELETE_COLUMN: the first one deleted; TOKEN:
                         expiry */
    int64_t end_us;   /* DELETE_COLUMN: the first one kept, 0 = none */
    struct cellar_slice value; /* TOKEN: the outcome; SET_BLOB: the reference */
};

/** What stands before a mutation's items. */
struct store_mutation {
    struct cellar_slice row;
    uint32_t schema_version; /* checked against */
    uint32_t item_count;
    int64_t server_time_us; /* given out by the server for this mutation, or 0 */
};

/** A range drop: rows from `start` on, up to and without `end`. */
struct store_range_drop {
    struct cellar_slice start; /* 0..CELLAR_ROW_BYTES_MAX bytes; empty: from the first row */
    struct cellar_slice end;   /* likewise; empty: to the last */
};

/** Appends a range drop's payload. CELLAR_NO_MEMORY. */
enum cellar_status store_range_drop_encode(struct cellar_buffer *to,
                                           const struct store_range_drop *drop) CELLAR_MUST_USE;

/** Reads a range drop's payload, all of it. @return false on damage and on a newer version */
bool store_range_drop_decode(struct cellar_slice payload, struct store_range_drop *drop);

/** Bytes of one item in a payload. */
static inline size_t store_item_bytes(const struct store_item *item)
{
    return STORE_ITEM_HEADER_BYTES + item->family.bytes + item->qualifier.bytes + item->value.bytes;
}

/**
 * Writes the part of a token's key that stands behind its row's position: 00, the token. The key is
 * one, in a memtable and in an environment, so this stands below both.
 *
 * @param to     1 + token.bytes bytes
 * @param token  STORE_TOKEN_BYTES_MIN..STORE_TOKEN_BYTES_MAX bytes; copied
 * @return the first byte behind it
 */
static inline uint8_t *store_token_put(uint8_t *to, struct cellar_slice token)
{
    CELLAR_ASSERT(token.bytes <= STORE_TOKEN_BYTES_MAX);
    *to++ = 0;
    memcpy(to, token.data, token.bytes);
    return to + token.bytes;
}

/** Appends a mutation's head; items follow with store_item_encode(). CELLAR_NO_MEMORY. */
enum cellar_status store_mutation_encode(struct cellar_buffer *to,
                                         const struct store_mutation *mutation) CELLAR_MUST_USE;

/** Appends one item. CELLAR_NO_MEMORY. */
enum cellar_status store_item_encode(struct cellar_buffer *to, const struct store_item *item)
    CELLAR_MUST_USE;

/** Reads a mutation's head. @return false when the bytes are no such head: damage, or a newer
 * version */
bool store_mutation_decode(struct cellar_cursor *from, struct store_mutation *mutation);

/** Reads the next item. @return false on damage and on types that are reserved */
bool store_item_decode(struct cellar_cursor *from, struct store_item *item);

/** Appends the head of a catalog record of `count` mutations; each then follows with
 * store_catalog_put(). CELLAR_NO_MEMORY. */
enum cellar_status store_catalog_begin(struct cellar_buffer *to, uint32_t count) CELLAR_MUST_USE;

/** Appends one whole mutation to a catalog record. CELLAR_NO_MEMORY. */
enum cellar_status store_catalog_put(struct cellar_buffer *to, struct cellar_slice mutation)
    CELLAR_MUST_USE;

/** Reads a catalog record's head. @return false on damage */
bool store_catalog_open(struct cellar_cursor *from, uint32_t *count);

/** Takes the next mutation of a catalog record. @return false on damage */
bool store_catalog_next(struct cellar_cursor *from, struct cellar_slice *mutation);

#endif
