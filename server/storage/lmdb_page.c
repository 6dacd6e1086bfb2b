/*
 * Whether LMDB may walk and change a page: for the readers of files that believe nothing
 * (check_pages.c), and before LMDB changes pages in memory (env_verify.c), which on a damaged one
 * writes behind the end of its own memory. Pure functions.
 */
#include "server/storage/lmdb_page.h"

/* Bytes that a node takes, or 0 when it does not fit into the page. Rounded up to an even number,
 * as LMDB places nodes. */
static uint32_t node_span(const uint8_t *bytes, uint32_t index, bool is_leaf)
{
    uint32_t at = cellar_get_u16le(bytes + STORE_PAGE_HEADER_BYTES + 2 * (size_t)index);
    uint32_t upper = cellar_get_u16le(bytes + 14);
    if (at < upper || at % 2 != 0 || at > STORE_PAGE_BYTES - STORE_PAGE_NODE_BYTES) {
        return 0;
    }
    const uint8_t *node = bytes + at;
    uint64_t span = STORE_PAGE_NODE_BYTES + (uint64_t)cellar_get_u16le(node + 6);
    if (is_leaf) {
        bool is_outside = (cellar_get_u16le(node + 4) & STORE_PAGE_NODE_OVERFLOW) != 0;
        span += is_outside ? sizeof(uint64_t) : store_page_value_bytes(node);
    }
    span += span & 1;
    CELLAR_ASSERT(span >= STORE_PAGE_NODE_BYTES);
    return span <= STORE_PAGE_BYTES - at ? (uint32_t)span : 0;
}

/* Whether the nodes fill the page from `upper` to its end, each in a place of its own. Each node
 * marks where it begins; a walk from the lowest one to the page's end must step on every mark and
 * miss none. */
static const char *nodes_check(const uint8_t *bytes, uint32_t node_count, bool is_leaf)
{
    uint16_t spans[STORE_PAGE_BYTES / 2] = {0}; /* of the node that begins there */
    uint32_t met_count = 0;
    CELLAR_ASSERT(node_count > 0);
    for (uint32_t i = 0; i < node_count; i++) {
        uint32_t span = node_span(bytes, i, is_leaf);
        if (span == 0) {
            return "an entry reaches out of the page";
        }
        spans[cellar_get_u16le(bytes + STORE_PAGE_HEADER_BYTES + 2 * (size_t)i) / 2] =
            (uint16_t)span;
    }
    uint32_t at = cellar_get_u16le(bytes + 14);
    while (at < STORE_PAGE_BYTES && spans[at / 2] > 0) {
        at += spans[at / 2];
        met_count++;
    }
    return at == STORE_PAGE_BYTES && met_count == node_count
               ? NULL
               : "the page's entries overlap or leave gaps";
}

const char *store_page_check(const uint8_t *bytes, uint64_t number, bool is_leaf,
                             uint32_t *node_count)
{
    uint32_t lower = cellar_get_u16le(bytes + 12);
    uint32_t upper = cellar_get_u16le(bytes + 14);
    if (cellar_get_u64le(bytes) != number) {
        return "the page carries another number";
    }
    if (cellar_get_u16le(bytes + 10) != (is_leaf ? STORE_PAGE_LEAF : STORE_PAGE_BRANCH)) {
        return "the page is of another kind";
    }
    if (lower <= STORE_PAGE_HEADER_BYTES || lower > upper || upper > STORE_PAGE_BYTES ||
        lower % 2 != 0 || upper % 2 != 0) {
        return "the bounds of the page's free space are impossible";
    }
    uint32_t count = (lower - STORE_PAGE_HEADER_BYTES) / 2;
    const char *why = nodes_check(bytes, count, is_leaf);
    CELLAR_ASSERT(count > 0);
    *node_count = why == NULL ? count : *node_count;
    return why;
}

bool store_page_overflow_check(const uint8_t *bytes, uint64_t number, uint64_t value_bytes,
                               uint64_t page_count)
{
    uint64_t needed = (STORE_PAGE_HEADER_BYTES - 1u + value_bytes) / STORE_PAGE_BYTES + 1;
    uint64_t count = cellar_get_u32le(bytes + 12);
    CELLAR_ASSERT(number < page_count);
    return cellar_get_u64le(bytes) == number &&
           cellar_get_u16le(bytes + 10) == STORE_PAGE_OVERFLOW && count >= needed &&
           count <= page_count - number;
}
