/*
 * Pages of an LMDB file, read one by one.
 *
 *     page 0, 1   meta pages: the newer of two transactions says where the two roots are
 *     branch      nodes (child page, first key of the child); the first key counts as minus
 * infinity leaf        nodes (key, value), or (key, first of the overflow pages that hold the
 * value)
 *
 * Each page is held against what LMDB relies on: its own number, its kind, which the tree's depth
 * fixes, the bounds of its free space, nodes that fill the rest exactly, keys that rise and lie
 * between those of the parent. No page may be met twice. So a page that LMDB would follow into
 * nowhere, or into the wrong place, is told, with the range of keys behind it, and stepped over.
 *
 * Memory: a page a level, one value, one bit a page of the file. The recursion is as deep as the
 * tree says, 32 levels at most.
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
#include "server/storage/log_files.h"

#define PAGE STORE_CHECK_PAGE_BYTES
#define PAGE_HEADER_BYTES 16u
#define META_PAGE_COUNT 2u
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define TREE_BYTES 48u
#define NODE_HEADER_BYTES 8u
#define KEY_BYTES_MAX 511u
#define NO_PAGE UINT64_MAX
#define WHY_BYTES_MAX 200u

enum page_flag { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum node_flag { NODE_OVERFLOW = 1, NODE_TREE = 2 };
enum tree_flag { TREE_INTEGER_KEY = 8 };

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

static void fault_tell(const struct store_check_pages *pages, struct store_check_fault *fault,
                       const char *format, ...) CELLAR_PRINTF(3, 4);

static void fault_tell(const struct store_check_pages *pages, struct store_check_fault *fault,
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
    if (cellar_get_u64le(page) != number || cellar_get_u16le(page + 10) != PAGE_META) {
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
        fault_tell(pages, &fault,
                   "the meta page says %" PRIu64 " pages in a map of %" PRIu64 " bytes",
                   pages->page_count, pages->map_bytes);
        return CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(pages->page_count > 0);
    return CELLAR_OK;
}

static enum cellar_status metas_read(struct store_check_pages *pages)
{
    uint8_t bytes[META_PAGE_COUNT * PAGE];
    size_t got = 0;
    struct store_check_fault fault = {.offset = 0};
    enum cellar_status status = store_file_read(pages->descriptor, 0, bytes, sizeof bytes, &got);
    if (status != CELLAR_OK || got != sizeof bytes) {
        fault_tell(pages, &fault, "the meta pages cannot be read: %s",
                   status != CELLAR_OK ? strerror(errno) : "the file was cut off");
        return CELLAR_DATA_LOSS;
    }
    for (uint64_t i = 0; i < META_PAGE_COUNT; i++) {
        const char *why = meta_check(bytes + i * PAGE, i);
        if (why != NULL) {
            fault.offset = i * PAGE;
            fault_tell(pages, &fault, "%s", why);
            status = CELLAR_DATA_LOSS;
        }
    }
    uint64_t first = cellar_get_u64le(bytes + META_AT_TRANSACTION);
    uint64_t second = cellar_get_u64le(bytes + PAGE + META_AT_TRANSACTION);
    uint64_t newest = second > first ? PAGE : 0;
    if (status == CELLAR_OK && first + 1 != second && second + 1 != first) {
        fault.offset = newest;
        fault_tell(pages, &fault,
                   "the meta pages are of transactions %" PRIu64 " and %" PRIu64
                   ", which do not follow each other",
                   first, second);
        status = CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(newest < sizeof bytes);
    return status == CELLAR_OK ? meta_use(pages, bytes + newest, newest) : status;
}

enum cellar_status store_check_pages_open(struct store_check_pages *pages, const char *path)
{
    struct stat facts;
    struct store_check_fault fault = {.offset = 0};
    pages->used = NULL;
    pages->spare = NULL;
    pages->done_count = 0;
    pages->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (pages->descriptor < 0 || fstat(pages->descriptor, &facts) != 0) {
        int code = errno;
        fault_tell(pages, &fault,
                   code == ENOENT ? "the file is missing (%s)" : "the file cannot be opened: %s",
                   strerror(code));
        return CELLAR_IO_ERROR;
    }
    pages->file_page_count = (uint64_t)facts.st_size / PAGE;
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

/* ---- bits -------------------------------------------------------------------------------- */

static bool bit_get(const uint8_t *bits, uint64_t number)
{
    CELLAR_ASSERT(bits != NULL);
    return (bits[number / 8] & 1u << (number % 8)) != 0;
}

static void bit_set(uint8_t *bits, uint64_t number)
{
    CELLAR_ASSERT(bits != NULL);
    bits[number / 8] |= (uint8_t)(1u << (number % 8));
}

/* ---- one page -------------------------------------------------------------------------------- */

/* A page of a tree while it is walked. */
struct visited {
    uint64_t number;
    uint64_t named_at; /* offset in the file of what led to it */
    uint32_t level;
    const uint8_t *bytes;
    struct cellar_slice low;
    struct cellar_slice high;
    uint32_t node_count;
};

static int key_compare(const struct store_check_tree *tree, struct cellar_slice a,
                       struct cellar_slice b)
{
    if ((tree->flags & TREE_INTEGER_KEY) == 0) {
        return cellar_slice_compare(a, b);
    }
    CELLAR_ASSERT(a.bytes >= 8 && b.bytes >= 8);
    uint64_t left = cellar_get_u64le(a.data);
    uint64_t right = cellar_get_u64le(b.data);
    return left < right ? -1 : (left > right ? 1 : 0);
}

static const uint8_t *node_at(const struct visited *page, uint32_t index)
{
    CELLAR_ASSERT(index < page->node_count);
    return page->bytes + cellar_get_u16le(page->bytes + PAGE_HEADER_BYTES + 2 * (size_t)index);
}

static struct cellar_slice node_key(const struct visited *page, uint32_t index)
{
    const uint8_t *node = node_at(page, index);
    CELLAR_ASSERT(node < page->bytes + PAGE);
    return cellar_slice_make(node + NODE_HEADER_BYTES, cellar_get_u16le(node + 6));
}

static uint32_t node_value_bytes(const uint8_t *node)
{
    CELLAR_ASSERT(node != NULL);
    return cellar_get_u16le(node) | (uint32_t)cellar_get_u16le(node + 2) << 16;
}

static uint64_t node_child(const uint8_t *node)
{
    CELLAR_ASSERT(node != NULL);
    return node_value_bytes(node) | (uint64_t)cellar_get_u16le(node + 4) << 32;
}

/* Bytes that a node takes, or 0 when it does not fit into the page. */
static uint32_t node_span(const struct visited *page, uint32_t index, bool is_leaf)
{
    uint32_t at = cellar_get_u16le(page->bytes + PAGE_HEADER_BYTES + 2 * (size_t)index);
    uint32_t upper = cellar_get_u16le(page->bytes + 14);
    if (at < upper || at % 2 != 0 || at > PAGE - NODE_HEADER_BYTES) {
        return 0;
    }
    const uint8_t *node = page->bytes + at;
    uint64_t bytes = NODE_HEADER_BYTES + (uint64_t)cellar_get_u16le(node + 6);
    if (is_leaf) {
        bool is_outside = (cellar_get_u16le(node + 4) & NODE_OVERFLOW) != 0;
        bytes += is_outside ? sizeof(uint64_t) : node_value_bytes(node);
    }
    bytes += bytes & 1;
    CELLAR_ASSERT(bytes >= NODE_HEADER_BYTES);
    return bytes <= PAGE - at ? (uint32_t)bytes : 0;
}

/* Whether the nodes fill the page from `upper` to its end, each in a place of its own. */
static const char *nodes_check(const struct visited *page, uint32_t upper, bool is_leaf)
{
    uint16_t spans[PAGE / 2] = {0}; /* of the node that begins there */
    uint32_t met_count = 0;
    CELLAR_ASSERT(page->node_count > 0);
    for (uint32_t i = 0; i < page->node_count; i++) {
        uint32_t span = node_span(page, i, is_leaf);
        if (span == 0) {
            return "an entry reaches out of the page";
        }
        spans[cellar_get_u16le(page->bytes + PAGE_HEADER_BYTES + 2 * (size_t)i) / 2] =
            (uint16_t)span;
    }
    uint32_t at = upper;
    while (at < PAGE && spans[at / 2] > 0) {
        at += spans[at / 2];
        met_count++;
    }
    return at == PAGE && met_count == page->node_count ? NULL
                                                       : "the page's entries overlap or leave gaps";
}

/* Header and nodes; NULL when LMDB may walk the page. */
static const char *page_check(const struct store_check_walk *walk, struct visited *page)
{
    bool is_leaf = page->level + 1u == walk->tree->depth;
    uint32_t lower = cellar_get_u16le(page->bytes + 12);
    uint32_t upper = cellar_get_u16le(page->bytes + 14);
    CELLAR_ASSERT(page->level < walk->tree->depth);
    if (cellar_get_u64le(page->bytes) != page->number) {
        return "the page carries another number";
    }
    if (cellar_get_u16le(page->bytes + 10) != (is_leaf ? PAGE_LEAF : PAGE_BRANCH)) {
        return "the page is of another kind";
    }
    if (lower <= PAGE_HEADER_BYTES || lower > upper || upper > PAGE || lower % 2 != 0 ||
        upper % 2 != 0) {
        return "the bounds of the page's free space are impossible";
    }
    page->node_count = (lower - PAGE_HEADER_BYTES) / 2;
    return nodes_check(page, upper, is_leaf);
}

/* Keys rise and lie within the page's bounds; NULL when so. */
static const char *keys_check(const struct store_check_walk *walk, const struct visited *page)
{
    bool is_leaf = page->level + 1u == walk->tree->depth;
    bool is_integer = (walk->tree->flags & TREE_INTEGER_KEY) != 0;
    struct cellar_slice before = page->low;
    CELLAR_ASSERT(page->node_count > 0);
    for (uint32_t i = is_leaf ? 0 : 1; i < page->node_count; i++) {
        struct cellar_slice key = node_key(page, i);
        if (key.bytes == 0 || key.bytes > KEY_BYTES_MAX || (is_integer && key.bytes != 8)) {
            return "a key has an impossible length";
        }
        int order = before.bytes == 0 ? -1 : key_compare(walk->tree, before, key);
        bool is_bound = before.data == page->low.data;
        if (order > 0 || (order == 0 && !(is_bound && is_leaf))) {
            return "keys are out of order";
        }
        before = key;
    }
    bool is_within = page->high.bytes == 0 || before.bytes == 0 ||
                     key_compare(walk->tree, before, page->high) < 0;
    return is_within ? NULL : "keys lie behind the page's range";
}

static void page_fault(struct store_check_walk *walk, const struct visited *page, const char *why)
{
    struct store_check_fault fault = {
        .offset = page->named_at, .low = page->low, .high = page->high, .has_keys = true};
    walk->fault_count++;
    if (page->number < walk->pages->bit_count) {
        fault.offset = page->number * PAGE;
    }
    CELLAR_ASSERT(why != NULL);
    if (walk->is_first) {
        fault_tell(walk->pages, &fault, "page %" PRIu64 ": %s", page->number, why);
    }
}

/* Reads a page and marks it as used; NULL when that went well. */
static const char *page_read(struct store_check_walk *walk, uint64_t number, uint8_t *to)
{
    struct store_check_pages *pages = walk->pages;
    size_t got = 0;
    if (number < META_PAGE_COUNT || number >= pages->page_count) {
        return "there is no page of that number";
    }
    if (number >= pages->file_page_count) {
        return "the page lies behind the file's end";
    }
    if (walk->is_first && bit_get(pages->used, number)) {
        return "the page is used twice";
    }
    if (walk->is_first) {
        bit_set(pages->used, number);
        pages->done_count++;
    }
    CELLAR_ASSERT(to != NULL);
    if (store_file_read(pages->descriptor, number * PAGE, to, PAGE, &got) != CELLAR_OK) {
        return "the page cannot be read from the disk";
    }
    return got == PAGE ? NULL : "the page lies behind the file's end";
}

/* ---- values ---------------------------------------------------------------------------------- */

/*
 * Marks the overflow pages behind the first one. A value that was overwritten by a smaller one
 * keeps its pages: those are spare, so that a damaged count of them blames no other row.
 */
static bool overflow_mark(struct store_check_pages *pages, uint64_t number, uint64_t needed,
                          uint64_t count)
{
    CELLAR_ASSERT(needed <= count);
    for (uint64_t i = 1; i < needed; i++) {
        if (number + i >= pages->bit_count || bit_get(pages->used, number + i)) {
            return false;
        }
        bit_set(pages->used, number + i);
        pages->done_count++;
    }
    for (uint64_t i = needed; i < count && number + i < pages->bit_count; i++) {
        bit_set(pages->spare, number + i);
    }
    return true;
}

/* Reads the overflow pages of a value into walk->value. DATA_LOSS with *why, NO_MEMORY. */
static enum cellar_status overflow_read(struct store_check_walk *walk, uint64_t number,
                                        uint32_t bytes, const char **why)
{
    uint8_t head[PAGE];
    uint64_t needed = (PAGE_HEADER_BYTES - 1u + (uint64_t)bytes) / PAGE + 1;
    size_t got = 0;
    *why = page_read(walk, number, head);
    if (*why != NULL) {
        return CELLAR_DATA_LOSS;
    }
    uint64_t count = cellar_get_u32le(head + 12);
    *why = "the value's overflow pages are damaged";
    if (cellar_get_u64le(head) != number || cellar_get_u16le(head + 10) != PAGE_OVERFLOW ||
        count < needed || count > walk->pages->page_count - number ||
        bytes > STORE_CHECK_VALUE_BYTES_MAX) {
        return CELLAR_DATA_LOSS;
    }
    walk->seen.overflow_page_count += count;
    if (walk->is_first && !overflow_mark(walk->pages, number, needed, count)) {
        return CELLAR_DATA_LOSS;
    }
    cellar_buffer_clear(&walk->value);
    CELLAR_TRY(cellar_buffer_reserve(&walk->value, (size_t)bytes + 1));
    enum cellar_status status = store_file_read(
        walk->pages->descriptor, number * PAGE + PAGE_HEADER_BYTES, walk->value.data, bytes, &got);
    walk->value.bytes = bytes;
    CELLAR_ASSERT(walk->value.bytes < walk->value.capacity);
    return status == CELLAR_OK && got == bytes ? CELLAR_OK : CELLAR_DATA_LOSS;
}

static enum cellar_status entry_visit(struct store_check_walk *walk, const struct visited *page,
                                      uint32_t index)
{
    const uint8_t *node = node_at(page, index);
    uint16_t flags = cellar_get_u16le(node + 4);
    const char *why = "the entry has flags that nobody sets";
    enum cellar_status status = CELLAR_OK;
    struct store_check_entry entry = {
        .key = node_key(page, index),
        .offset = page->number * PAGE + (uint64_t)(node - page->bytes),
        .is_tree = flags == NODE_TREE,
    };
    const uint8_t *data = entry.key.data + entry.key.bytes;
    entry.value = cellar_slice_make(data, node_value_bytes(node));
    if (flags == NODE_OVERFLOW) {
        status = overflow_read(walk, cellar_get_u64le(data), node_value_bytes(node), &why);
        entry.value = cellar_slice_of(&walk->value);
    } else if (flags != (walk->tree == &walk->pages->main_tree ? NODE_TREE : 0)) {
        status = CELLAR_DATA_LOSS;
    }
    CELLAR_ASSERT(entry.key.bytes > 0);
    walk->seen.entry_count++;
    if (status != CELLAR_DATA_LOSS) {
        return status == CELLAR_OK ? walk->visit(walk->context, &entry) : status;
    }
    struct store_check_fault fault = {
        .offset = entry.offset, .low = entry.key, .is_key = true, .has_keys = true};
    walk->fault_count++;
    if (walk->is_first) {
        fault_tell(walk->pages, &fault, "page %" PRIu64 ": %s", page->number, why);
    }
    return CELLAR_OK;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Whether keys in [low, high) can be among those that were asked for. */
static bool is_asked(const struct store_check_walk *walk, struct cellar_slice low,
                     struct cellar_slice high)
{
    CELLAR_ASSERT(walk->tree != NULL);
    bool is_before =
        walk->low.bytes > 0 && high.bytes > 0 && key_compare(walk->tree, high, walk->low) <= 0;
    bool is_behind =
        walk->high.bytes > 0 && low.bytes > 0 && key_compare(walk->tree, low, walk->high) >= 0;
    return !is_before && !is_behind;
}

static enum cellar_status leaf_walk(struct store_check_walk *walk, const struct visited *page)
{
    walk->seen.leaf_page_count++;
    CELLAR_ASSERT(page->node_count > 0);
    for (uint32_t i = 0; i < page->node_count; i++) {
        struct cellar_slice key = node_key(page, i);
        bool is_before = walk->low.bytes > 0 && key_compare(walk->tree, key, walk->low) < 0;
        bool is_behind = walk->high.bytes > 0 && key_compare(walk->tree, key, walk->high) >= 0;
        if (!is_before && !is_behind) {
            CELLAR_TRY(entry_visit(walk, page, i));
        }
    }
    return CELLAR_OK;
}

static enum cellar_status page_walk(struct store_check_walk *walk, struct visited page)
{
    uint8_t *bytes = walk->memory + (size_t)page.level * PAGE;
    const char *why = page_read(walk, page.number, bytes);
    page.bytes = bytes;
    why = why != NULL ? why : page_check(walk, &page);
    why = why != NULL ? why : keys_check(walk, &page);
    if (why != NULL) {
        page_fault(walk, &page, why);
        return CELLAR_OK;
    }
    CELLAR_ASSERT(page.level < STORE_CHECK_TREE_DEPTH_MAX);
    if (page.level + 1u == walk->tree->depth) {
        return leaf_walk(walk, &page);
    }
    walk->seen.branch_page_count++;
    for (uint32_t i = 0; i < page.node_count; i++) {
        struct visited child = {
            .number = node_child(node_at(&page, i)),
            .named_at = page.number * PAGE + (uint64_t)(node_at(&page, i) - bytes),
            .level = page.level + 1,
            .low = i == 0 ? page.low : node_key(&page, i),
            .high = i + 1 < page.node_count ? node_key(&page, i + 1) : page.high,
        };
        if (is_asked(walk, child.low, child.high)) {
            CELLAR_TRY(page_walk(walk, child));
        }
    }
    return CELLAR_OK;
}

/* Compares what a whole walk without faults has met with what the file says of the database. */
static void counts_check(struct store_check_walk *walk)
{
    const struct store_check_tree *tree = walk->tree;
    const struct store_check_tree *seen = &walk->seen;
    struct store_check_fault fault = {.offset = tree->offset, .has_keys = true};
    CELLAR_ASSERT(walk->is_first);
    if (walk->fault_count == 0 && (tree->entry_count != seen->entry_count ||
                                   tree->branch_page_count != seen->branch_page_count ||
                                   tree->leaf_page_count != seen->leaf_page_count ||
                                   tree->overflow_page_count != seen->overflow_page_count)) {
        walk->fault_count++;
        fault_tell(walk->pages, &fault,
                   "a database has %" PRIu64 " entries in %" PRIu64 " + %" PRIu64 " + %" PRIu64
                   " pages, but says %" PRIu64 " in %" PRIu64 " + %" PRIu64 " + %" PRIu64,
                   seen->entry_count, seen->branch_page_count, seen->leaf_page_count,
                   seen->overflow_page_count, tree->entry_count, tree->branch_page_count,
                   tree->leaf_page_count, tree->overflow_page_count);
    }
}

/* The kinds of databases that there are; a tree has a depth exactly when it has a root. */
static bool tree_is_sound(const struct store_check_walk *walk)
{
    const struct store_check_tree *tree = walk->tree;
    bool is_free_list = tree == &walk->pages->free_tree;
    CELLAR_ASSERT(tree != NULL);
    return tree->flags == (is_free_list ? TREE_INTEGER_KEY : 0) &&
           tree->depth <= STORE_CHECK_TREE_DEPTH_MAX &&
           (tree->depth == 0) == (tree->root == NO_PAGE);
}

enum cellar_status store_check_walk(struct store_check_walk *walk)
{
    const struct store_check_tree *tree = walk->tree;
    struct store_check_fault fault = {.offset = tree->offset, .has_keys = true};
    memset(&walk->seen, 0, sizeof walk->seen);
    walk->fault_count = 0;
    if (!tree_is_sound(walk)) {
        walk->fault_count++;
        if (walk->is_first) {
            fault_tell(walk->pages, &fault, "a database has impossible flags, depth or root");
        }
        return CELLAR_OK;
    }
    enum cellar_status status = CELLAR_OK;
    if (tree->root != NO_PAGE) {
        walk->memory = cellar_mem_alloc((size_t)tree->depth * PAGE);
        status =
            walk->memory == NULL
                ? CELLAR_NO_MEMORY
                : page_walk(walk, (struct visited){.number = tree->root, .named_at = tree->offset});
        cellar_mem_free(walk->memory);
        walk->memory = NULL;
        cellar_buffer_fini(&walk->value);
    }
    if (walk->is_first && status == CELLAR_OK) {
        counts_check(walk);
    }
    CELLAR_ASSERT(walk->memory == NULL);
    return status;
}

/* ---- free pages ------------------------------------------------------------------------------ */

/* The free list against the pages in use. */
struct free_check {
    struct store_check_pages *pages;
    uint64_t free_count;   /* in the file */
    uint64_t behind_count; /* behind its end: given out and taken back, never written */
};

/* One page number of the list; NULL when it may stand there. */
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
    if (bit_get(pages->used, number)) {
        return "the free list names a page that is in use, or names it twice";
    }
    bit_set(pages->used, number);
    check->free_count++;
    return NULL;
}

/* An entry: a transaction, its number of pages and the pages, the greatest first. */
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
        fault_tell(check->pages, &fault, "%s", why);
    }
    return CELLAR_OK;
}

static enum cellar_status mark_visit(void *context, const struct store_check_entry *entry)
{
    CELLAR_ASSERT(context != NULL && entry->key.bytes > 0);
    return CELLAR_OK;
}

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
        if (bit_get(pages->spare, i) && !bit_get(pages->used, i)) {
            bit_set(pages->used, i);
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
        fault_tell(pages, &fault, "the file has %" PRIu64 " pages, but the meta page says %" PRIu64,
                   pages->file_page_count, pages->page_count);
    }
    return CELLAR_OK;
}
