#ifndef CELLAR_STORAGE_CHECK_PAGES_H
#define CELLAR_STORAGE_CHECK_PAGES_H

#include "common/buf.h"

/*
 * Reading the pages of an LMDB file with pread(2) alone, believing nothing: for the check of a data
 * directory, which must neither write nor be ended by a damaged page, and for the scrub of a
 * store that is served. Knows LMDB's format on disk (data version 1, 4,096-byte pages, 64 bits);
 * LMDB itself is not called.
 */

#define STORE_CHECK_PAGE_BYTES 4096u
#define STORE_CHECK_TREE_DEPTH_MAX 32u          /* LMDB's own limit */
#define STORE_CHECK_VALUE_BYTES_MAX 16777216u   /* four times the largest log record */
#define STORE_CHECK_PAGE_COUNT_MAX (1ull << 34) /* a map of 64 TiB, the greatest there is */

/** A database of the file. */
struct store_check_tree {
    uint64_t offset; /* in the file, of what describes it */
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_page_count;
    uint64_t leaf_page_count;
    uint64_t overflow_page_count;
    uint64_t entry_count;
    uint64_t root; /* UINT64_MAX: empty */
};

/** Something that is wrong with the pages; borrowed until return. */
struct store_check_fault {
    uint64_t offset;          /* in the file */
    struct cellar_slice low;  /* the keys that cannot be read are at or behind it; empty: from the
                                 first */
    struct cellar_slice high; /* and before it; empty: to the last */
    bool is_key;              /* `low` alone cannot be read */
    bool has_keys;            /* keys are concerned at all */
    const char *why;
};

/** An open file. The caller sets context and fault before store_check_pages_open(). */
struct store_check_pages {
    void *context;
    void (*fault)(void *context, const struct store_check_fault *fault);
    int descriptor;
    uint64_t file_page_count;
    uint64_t page_count; /* that the newest meta page says are in use or free */
    uint64_t map_bytes;
    uint64_t transaction_id;
    struct store_check_tree free_tree; /* LMDB's list of free pages */
    struct store_check_tree main_tree; /* the databases by name */
    uint8_t *used;                     /* a bit a page: met by a first walk; NULL: live */
    uint8_t *spare;                    /* likewise: kept behind a value that grew smaller */
    uint64_t bit_count;
    uint64_t done_count; /* pages met so far, for progress */
};

/** One entry of a database, borrowed until the visit returns. */
struct store_check_entry {
    struct cellar_slice key;
    struct cellar_slice value;
    uint64_t offset; /* in the file, of the node */
    bool is_tree;    /* the value describes a database: store_check_tree_decode() */
};

/** A walk over one database in key order. */
struct store_check_walk {
    struct store_check_pages *pages;
    const struct store_check_tree *tree;
    bool is_first;            /* marks pages as used, tells faults, compares counts; each database
                                 has one such walk, the others step over what is damaged; none on
                                 a live file */
    bool is_told;             /* tells faults, and nothing else of the above */
    struct cellar_slice low;  /* only entries at or behind it; empty: all */
    struct cellar_slice high; /* and before it; empty: all */
    void *context;
    enum cellar_status (*visit)(void *context, const struct store_check_entry *entry);
    struct store_check_tree seen; /* counts */
    uint64_t fault_count;
    uint8_t *memory; /* a page a level */
    struct cellar_buffer value;
};

/**
 * Opens a data.mdb for reading and looks at its meta pages.
 *
 * @return CELLAR_OK; DATA_LOSS (nothing more can be read; faults were told), IO_ERROR (cannot be
 * opened: `fault` was told why), NO_MEMORY
 */
enum cellar_status store_check_pages_open(struct store_check_pages *pages, const char *path)
    CELLAR_MUST_USE;

/**
 * Opens the data.mdb of an environment in use as of one transaction. The caller holds a read
 * transaction of that number for as long as pages are read: LMDB writes no page again that such a
 * one can reach. There are no first walks and no free list then.
 *
 * @return as store_check_pages_open(); ABORTED, nothing told, when the file's meta pages are of
 * other transactions, as when two were committed since: to be tried again with a newer one
 */
enum cellar_status store_check_pages_open_live(struct store_check_pages *pages, const char *path,
                                               uint64_t transaction_id) CELLAR_MUST_USE;

/** Closes the file and frees; also after a failed open. */
void store_check_pages_close(struct store_check_pages *pages);

/** Runs a walk. @return CELLAR_OK whatever is damaged; what `visit` returned, NO_MEMORY */
enum cellar_status store_check_walk(struct store_check_walk *walk) CELLAR_MUST_USE;

/** Reads the description of a database. @return false when it is none */
bool store_check_tree_decode(const struct store_check_entry *entry, struct store_check_tree *tree);

/**
 * Walks the free list and compares it with what the walks met: after the first walks of all
 * databases, when none told a fault.
 *
 * @param lost_count  receives pages that are neither used nor free, which costs space only
 */
enum cellar_status store_check_free_pages(struct store_check_pages *pages, uint64_t *lost_count)
    CELLAR_MUST_USE;

#endif
