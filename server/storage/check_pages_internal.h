#ifndef CELLAR_STORAGE_CHECK_PAGES_INTERNAL_H
#define CELLAR_STORAGE_CHECK_PAGES_INTERNAL_H

#include "server/storage/check_pages.h"
#include "server/storage/lmdb_page.h"

/* What check_pages.c (the file, its meta pages, its free list) and check_walk.c (its trees) share;
 * nobody else includes this. */

#define PAGE STORE_CHECK_PAGE_BYTES
#define PAGE_HEADER_BYTES STORE_PAGE_HEADER_BYTES
#define META_PAGE_COUNT 2u

enum tree_flag { TREE_INTEGER_KEY = 8 };

/** Tells a fault; `why` is set to what the format gives. */
void store_check_fault_tell(const struct store_check_pages *pages, struct store_check_fault *fault,
                            const char *format, ...) CELLAR_PRINTF(3, 4);

static inline bool store_check_bit_get(const uint8_t *bits, uint64_t number)
{
    CELLAR_ASSERT(bits != NULL);
    return (bits[number / 8] & 1u << (number % 8)) != 0;
}

static inline void store_check_bit_set(uint8_t *bits, uint64_t number)
{
    CELLAR_ASSERT(bits != NULL);
    bits[number / 8] |= (uint8_t)(1u << (number % 8));
}

#endif
