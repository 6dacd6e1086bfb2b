/*
 * An LMDB file as a whole: its two meta pages, of which the newer transaction says where the roots
 * are, and its list of free pages, which is held against what the walks of all databases met
 * (check_walk.c). No page may be in use twice, or in use and free.
 *
 * Of a file in use only the meta page of the caller's transaction is read, and no page is counted:
 * LMDB keeps what that transaction can reach, and writes the rest as it likes.
 *
 * Memory: two bits a page of the file, none for one in use. One thread.
 */
#include "server/storage/check_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/storage/check_pages_internal.h"
#include "server/storage/log_files.h"

#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define TREE_BYTES 48u
#define WHY_BYTES_MAX 200u

/* Offsets in a page that holds a meta record, its page header included. */
enum meta_offset {
    META_AT_MAGIC = 16,
    META_AT_VERSION = 20,
    META_AT_ADDRESS = 24,
    META_AT_MAP_BYTES = 32,
    META_AT_FREE_TREE = 40,
    META_AT_MAIN_TREE = 88,
    META_AT_LAST_PAGE = 136,
    META_AT_TRANSACTION = 144
};

void store_check_fault_tell(const struct store_check_pages *pages, struct store_check_fault *fault,
                            const char *format, ...)
{
    char why[WHY_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    CELLAR_ASSERT(pages->fault != NULL);
    fault->why = why;
    pages->fault(pages->context, fault);
}

/* ---- meta pages ------------------------------------------------------------------------------ */

/* LMDB's struct MDB_db, field by field. */
static void tree_read(const uint8_t *from, uint64_t offset, struct store_check_tree *tree)
{
    CELLAR_ASSERT(tree != NULL);
    *tree = (struct store_check_tree){
        .offset = offset,
        .flags = cellar_get_u16le(from + 4),
        .depth = cellar_get_u16le(from + 6),
        .branch_page_count = cellar_get_u64le(from + 8),
        .leaf_page_count = cellar_get_u64le(from + 16),
        .overflow_page_count = cellar_get_u64le(from + 24),
        .entry_count = cellar_get_u64le(from + 32),
        .root = cellar_get_u64le(from + 40),
    };
}

/* The first four bytes are the page size of fixed-size duplicates, which nobody uses here. */
bool store_check_tree_decode(const struct store_check_entry *entry, struct store_check_tree *tree)
{
    if (!entry->is_tree || entry->value.bytes != TREE_BYTES) {
        return false;
    }
    CELLAR_ASSERT(entry->value.data != NULL);
    tree_read(entry->value.data, entry->offset, tree);
    return cellar_get_u32le(entry->value.data) == 0;
}

/* What LMDB looks for in each of the two; NULL when it is there. */
static const char *meta_check(const uint8_t *page, uint64_t number)
{
    CELLAR_ASSERT(number < META_PAGE_COUNT);
    uint64_t transaction_id = cellar_get_u64le(page + META_AT_TRANSACTION);
    if (cellar_get_u64le(page) != number || cellar_get_u16le(page + 10) != STORE_PAGE_META) {
        return "this is no meta page";
    }
    if (cellar_get_u32le(page + META_AT_MAGIC) != META_MAGIC ||
        cellar_get_u32le(page + META_AT_VERSION) != META_VERSION) {
        return "the meta page is not of an LMDB file of this version";
    }
    if (cellar_get_u32le(page + META_AT_FREE_TREE) != PAGE ||
        cellar_get_u64le(page + META_AT_ADDRESS) != 0 ||
        cellar_get_u16le(page + META_AT_FREE_TREE + 4) != TREE_INTEGER_KEY) {
        return "the meta page names another page size or other flags than this server's";
    }
    return (transaction_id & 1) != number ? "the meta page's transaction belongs to the other one"
                                          : NULL;
}

/* Bounds before anything is allocated by these numbers: memory follows the count of pages. */
static enum cellar_status meta_use(struct store_check_pages *pages, const uint8_t *page,
                                   uint64_t offset)
{
    struct store_check_fault fault = {.offset = offset};
    pages->transaction_id = cellar_get_u64le(page + META_AT_TRANSACTION);
    pages->map_bytes = cellar_get_u64le(page + META_AT_MAP_BYTES);
    pages->page_count = cellar_get_u64le(page + META_AT_LAST_PAGE) + 1;
    tree_read(page + META_AT_FREE_TREE, offset + META_AT_FREE_TREE, &pages->free_tree);
    tree_read(page + META_AT_MAIN_TREE, offset + META_AT_MAIN_TREE, &pages->main_tree);
    if (pages->page_count < META_PAGE_COUNT || pages->page_count > pages->map_bytes / PAGE ||
        pages->page_count > STORE_CHECK_PAGE_COUNT_MAX ||
        cellar_get_u32le(page + META_AT_MAIN_TREE) != 0) {
        store_check_fault_tell(pages, &fault,
                               "the meta page says %" PRIu64 " pages in a map of %" PRIu64 " bytes",
                               pages->page_count, pages->map_bytes);
        return CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(pages->page_count > 0);
    return CELLAR_OK;
}

/* Both pages into `bytes`; says what is wrong with either. DATA_LOSS. */
static enum cellar_status metas_load(const struct store_check_pages *pages,
                                     uint8_t bytes[META_PAGE_COUNT * PAGE])
{
    size_t got = 0;
    struct store_check_fault fault = {.offset = 0};
    enum cellar_status status =
        store_file_read(pages->descriptor, 0, bytes, META_PAGE_COUNT * PAGE, &got);
    if (status != CELLAR_OK || got != META_PAGE_COUNT * PAGE) {
        store_check_fault_tell(pages, &fault, "the meta pages cannot be read: %s",
                               status != CELLAR_OK ? strerror(errno) : "the file was cut off");
        return CELLAR_DATA_LOSS;
    }
    for (uint64_t i = 0; i < META_PAGE_COUNT; i++) {
        const char *why = meta_check(bytes + i * PAGE, i);
        if (why != NULL) {
            fault.offset = i * PAGE;
            store_check_fault_tell(pages, &fault, "%s", why);
            status = CELLAR_DATA_LOSS;
        }
    }
    CELLAR_ASSERT(got == META_PAGE_COUNT * PAGE);
    return status;
}

/* Two transactions alternate between the two pages. If they do not follow each other, one of them
 * was not written by the other's successor, and neither can be trusted to be the newest. */
static enum cellar_status metas_read(struct store_check_pages *pages)
{
    uint8_t bytes[META_PAGE_COUNT * PAGE];
    struct store_check_fault fault = {.offset = 0};
    enum cellar_status status = metas_load(pages, bytes);
    if (status != CELLAR_OK) {
        return status;
    }
    uint64_t first = cellar_get_u64le(bytes + META_AT_TRANSACTION);
    uint64_t second = cellar_get_u64le(bytes + PAGE + META_AT_TRANSACTION);
    uint64_t newest = second > first ? PAGE : 0;
    if (first + 1 != second && second + 1 != first) {
        fault.offset = newest;
        store_check_fault_tell(pages, &fault,
                               "the meta pages are of transactions %" PRIu64 " and %" PRIu64
                               ", which do not follow each other",
                               first, second);
        status = CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(newest < sizeof bytes);
    return status == CELLAR_OK ? meta_use(pages, bytes + newest, newest) : status;
}

/* A commit writes the other meta page first and this one with the next commit, so what is read
 * twice alike and names the transaction was not being written meanwhile. */
static enum cellar_status meta_read_live(struct store_check_pages *pages, uint64_t transaction_id)
{
    uint8_t bytes[META_PAGE_COUNT * PAGE];
    uint8_t again[PAGE];
    size_t got = 0;
    uint64_t at = (transaction_id & 1) * PAGE;
    CELLAR_TRY(metas_load(pages, bytes));
    CELLAR_ASSERT(at < sizeof bytes);
    if (store_file_read(pages->descriptor, at, again, sizeof again, &got) != CELLAR_OK ||
        got != sizeof again || memcmp(again, bytes + at, sizeof again) != 0 ||
        cellar_get_u64le(again + META_AT_TRANSACTION) != transaction_id) {
        return CELLAR_ABORTED;
    }
    return meta_use(pages, bytes + at, at);
}

/* The file may be shorter than the meta page says: pages that were given out and taken back in one
 * transaction were never written. */
static enum cellar_status file_open(struct store_check_pages *pages, const char *path)
{
    struct stat facts;
    struct store_check_fault fault = {.offset = 0};
    pages->used = NULL;
    pages->spare = NULL;
    pages->done_count = 0;
    pages->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (pages->descriptor < 0 || fstat(pages->descriptor, &facts) != 0) {
        int code = errno;
        store_check_fault_tell(pages, &fault,
                               code == ENOENT ? "the file is missing (%s)"
                                              : "the file cannot be opened: %s",
                               strerror(code));
        return CELLAR_IO_ERROR;
    }
    pages->file_page_count = (uint64_t)facts.st_size / PAGE;
    CELLAR_ASSERT(pages->used == NULL);
    return CELLAR_OK;
}

enum cellar_status store_check_pages_open_live(struct store_check_pages *pages, const char *path,
                                               uint64_t transaction_id)
{
    CELLAR_TRY(file_open(pages, path));
    CELLAR_TRY(meta_read_live(pages, transaction_id));
    CELLAR_ASSERT(pages->transaction_id == transaction_id);
    pages->bit_count = CELLAR_MIN(pages->page_count, pages->file_page_count);
    return CELLAR_OK;
}

enum cellar_status store_check_pages_open(struct store_check_pages *pages, const char *path)
{
    CELLAR_TRY(file_open(pages, path));
    CELLAR_TRY(metas_read(pages));
    CELLAR_ASSERT(pages->page_count >= META_PAGE_COUNT);
    pages->bit_count = CELLAR_MIN(pages->page_count, pages->file_page_count);
    pages->used = cellar_mem_zalloc(1, (size_t)(pages->bit_count / 8 + 1));
    pages->spare = cellar_mem_zalloc(1, (size_t)(pages->bit_count / 8 + 1));
    return pages->used == NULL || pages->spare == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
}

void store_check_pages_close(struct store_check_pages *pages)
{
    if (pages->descriptor >= 0) {
        (void)close(pages->descriptor);
    }
    pages->descriptor = -1;
    cellar_mem_free(pages->used);
    cellar_mem_free(pages->spare);
    pages->used = NULL;
    pages->spare = NULL;
    CELLAR_ASSERT(pages->descriptor < 0);
}

/* ---- free pages ------------------------------------------------------------------------------ */

/* The free list against the pages in use. */
struct free_check {
    struct store_check_pages *pages;
    uint64_t free_count;   /* in the file */
    uint64_t behind_count; /* behind its end: given out and taken back, never written */
};

/* One page number of the list; NULL when it may stand there. The page is marked as used when it is
 * met as free, so a second mention shows. */
static const char *free_page_check(struct free_check *check, uint64_t number)
{
    struct store_check_pages *pages = check->pages;
    CELLAR_ASSERT(pages->used != NULL);
    if (number < META_PAGE_COUNT || number >= pages->page_count) {
        return "the free list names a page that does not exist";
    }
    if (number >= pages->file_page_count) {
        check->behind_count++;
        return NULL;
    }
    if (store_check_bit_get(pages->used, number)) {
        return "the free list names a page that is in use, or names it twice";
    }
    store_check_bit_set(pages->used, number);
    check->free_count++;
    return NULL;
}

/* An entry: a transaction, its number of pages and the pages, the greatest first. One fault an
 * entry, so that a damaged one does not fill the report. */
static enum cellar_status free_visit(void *context, const struct store_check_entry *entry)
{
    struct free_check *check = context;
    struct store_check_fault fault = {.offset = entry->offset};
    const char *why = NULL;
    uint64_t room = entry->value.bytes / sizeof(uint64_t);
    uint64_t count = room == 0 ? 0 : cellar_get_u64le(entry->value.data);
    CELLAR_ASSERT(check->pages != NULL);
    if (entry->value.bytes % sizeof(uint64_t) != 0 || room == 0 || count > room - 1 ||
        entry->is_tree || cellar_get_u64le(entry->key.data) > check->pages->transaction_id) {
        why = "an entry of the free list is damaged";
    }
    for (uint64_t i = 1; why == NULL && i <= count; i++) {
        uint64_t number = cellar_get_u64le(entry->value.data + i * sizeof(uint64_t));
        why = free_page_check(check, number);
    }
    if (why != NULL) {
        store_check_fault_tell(check->pages, &fault, "%s", why);
    }
    return CELLAR_OK;
}

static enum cellar_status mark_visit(void *context, const struct store_check_entry *entry)
{
    CELLAR_ASSERT(context != NULL && entry->key.bytes > 0);
    return CELLAR_OK;
}

/* The tree of the free list lies in pages itself: they are marked first, since the list must not
 * name them either. Spare pages of overwritten values count as used here. */
enum cellar_status store_check_free_pages(struct store_check_pages *pages, uint64_t *lost_count)
{
    struct free_check check = {.pages = pages};
    struct store_check_walk mark = {.pages = pages,
                                    .tree = &pages->free_tree,
                                    .is_first = true,
                                    .context = &check,
                                    .visit = mark_visit};
    struct store_check_walk list = {
        .pages = pages, .tree = &pages->free_tree, .context = &check, .visit = free_visit};
    *lost_count = 0;
    CELLAR_TRY(store_check_walk(&mark));
    if (mark.fault_count > 0) {
        return CELLAR_OK;
    }
    for (uint64_t i = 0; i < pages->bit_count; i++) {
        if (store_check_bit_get(pages->spare, i) && !store_check_bit_get(pages->used, i)) {
            store_check_bit_set(pages->used, i);
            pages->done_count++;
        }
    }
    uint64_t used_count = pages->done_count + META_PAGE_COUNT;
    CELLAR_TRY(store_check_walk(&list));
    uint64_t behind_count =
        pages->page_count - CELLAR_MIN(pages->page_count, pages->file_page_count);
    CELLAR_ASSERT(pages->page_count >= behind_count);
    uint64_t seen_count = used_count + check.free_count + check.behind_count;
    *lost_count = pages->page_count - CELLAR_MIN(pages->page_count, seen_count);
    if (check.behind_count != behind_count) {
        struct store_check_fault fault = {.offset = 0};
        store_check_fault_tell(pages, &fault,
                               "the file has %" PRIu64 " pages, but the meta page says %" PRIu64,
                               pages->file_page_count, pages->page_count);
    }
    return CELLAR_OK;
}
