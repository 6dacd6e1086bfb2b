#ifndef CELLAR_STORAGE_LMDB_PAGE_H
#define CELLAR_STORAGE_LMDB_PAGE_H

#include "common/buf.h"

/*
 * One page of an LMDB file in memory: its header, its nodes, and whether they are what LMDB relies
 * on without looking. LMDB's format on disk (data version 1, 4,096-byte pages, 64 bits).
 *
 *     number 8 | unused 2 | kind 2 | lower 2 | upper 2 | offsets of nodes 2 each ... free ... nodes
 *     node: value's length 4 | flags 2 | key's length 2 | key | value   (a branch: child 6, key's
 *           length 2, key; a value that lies in overflow pages: the first one's number)
 *     overflow: number 8 | unused 2 | kind 2 | count of pages 4 | value
 */

#define STORE_PAGE_BYTES 4096u
#define STORE_PAGE_HEADER_BYTES 16u
#define STORE_PAGE_NODE_BYTES 8u

enum store_page_kind {
    STORE_PAGE_BRANCH = 1,
    STORE_PAGE_LEAF = 2,
    STORE_PAGE_OVERFLOW = 4,
    STORE_PAGE_META = 8
};

enum store_page_node_flag {
    STORE_PAGE_NODE_OVERFLOW = 1, /* the value lies in overflow pages */
    STORE_PAGE_NODE_TREE = 2      /* the value describes a database */
};

/**
 * Holds a page of a tree against what LMDB takes for granted: its own number, its kind, the bounds
 * of its free space, and nodes that fill the rest exactly.
 *
 * @param bytes       STORE_PAGE_BYTES of them
 * @param node_count  receives the count of nodes, at least 1; untouched when the page is damaged
 * @return NULL; why LMDB may not walk the page
 */
const char *store_page_check(const uint8_t *bytes, uint64_t number, bool is_leaf,
                             uint32_t *node_count);

/** Whether overflow pages of that number hold a value of that length, inside of a map of
 * `page_count` pages. There may be more of them than it needs now, never less. */
bool store_page_overflow_check(const uint8_t *bytes, uint64_t number, uint64_t value_bytes,
                               uint64_t page_count);

/** A node of a page that was checked. */
static inline const uint8_t *store_page_node(const uint8_t *bytes, uint32_t index)
{
    return bytes + cellar_get_u16le(bytes + STORE_PAGE_HEADER_BYTES + 2 * (size_t)index);
}

/** A node's key, borrowed from the page. */
static inline struct cellar_slice store_page_key(const uint8_t *node)
{
    return cellar_slice_make(node + STORE_PAGE_NODE_BYTES, cellar_get_u16le(node + 6));
}

/** The length of a leaf node's value, wherever it lies. */
static inline uint32_t store_page_value_bytes(const uint8_t *node)
{
    return cellar_get_u16le(node) | (uint32_t)cellar_get_u16le(node + 2) << 16;
}

/** A branch keeps the page's number where a leaf has the value's length and flags: 48 bits. */
static inline uint64_t store_page_child(const uint8_t *node)
{
    return store_page_value_bytes(node) | (uint64_t)cellar_get_u16le(node + 4) << 32;
}

#endif
