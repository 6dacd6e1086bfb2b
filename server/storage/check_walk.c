/*
 * The trees of an LMDB file, read page by page.
 *
 *     branch      nodes (child page, first key of the child); the first key counts as minus
 * infinity leaf        nodes (key, value), or (key, first of the overflow pages that hold the
 * value)
 *
 * Each page is held against what LMDB relies on: its own number, its kind, which the tree's depth
 * fixes, the bounds of its free space, nodes that fill the rest exactly, keys that rise and lie
 * between those of the parent. No page may be met twice. So a page that LMDB would follow into
 * nowhere, or into the wrong place, is told, with the range of keys behind it, and stepped over.
 *
 * Memory: a page a level and one value. The recursion is as deep as the tree says, 32 levels at
 * most.
 */
#include <inttypes.h>

#include "common/mem.h"
#include "server/storage/check_pages_internal.h"
#include "server/storage/log_files.h"

#define KEY_BYTES_MAX 511u
#define NO_PAGE UINT64_MAX

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

static bool is_told(const struct store_check_walk *walk)
{
    CELLAR_ASSERT(!walk->is_first || walk->pages->used != NULL);
    return walk->is_first || walk->is_told;
}

/* LMDB's two orders that occur here: bytes, and for the free list numbers of the machine. */
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

/* Only behind page_check(): until then a node's offset may point anywhere. */
static const uint8_t *node_at(const struct visited *page, uint32_t index)
{
    CELLAR_ASSERT(index < page->node_count);
    return store_page_node(page->bytes, index);
}

static struct cellar_slice node_key(const struct visited *page, uint32_t index)
{
    const uint8_t *node = node_at(page, index);
    CELLAR_ASSERT(node < page->bytes + PAGE);
    return store_page_key(node);
}

/* Header and nodes; NULL when LMDB may walk the page. */
static const char *page_check(const struct store_check_walk *walk, struct visited *page)
{
    bool is_leaf = page->level + 1u == walk->tree->depth;
    CELLAR_ASSERT(page->level < walk->tree->depth);
    return store_page_check(page->bytes, page->number, is_leaf, &page->node_count);
}

/* Keys rise and lie within the page's bounds; NULL when so. The first key of a branch is never
 * looked at by LMDB, so it may be anything. */
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

/* Told by one walk only; those for single layers would tell it again. */
static void page_fault(struct store_check_walk *walk, const struct visited *page, const char *why)
{
    struct store_check_fault fault = {
        .offset = page->named_at, .low = page->low, .high = page->high, .has_keys = true};
    walk->fault_count++;
    if (page->number < walk->pages->bit_count) {
        fault.offset = page->number * PAGE;
    }
    CELLAR_ASSERT(why != NULL);
    if (is_told(walk)) {
        store_check_fault_tell(walk->pages, &fault, "page %" PRIu64 ": %s", page->number, why);
    }
}

/* Reads a page and marks it as used; NULL when that went well. A page that is used twice would be
 * changed by both its users, so the second one is refused. */
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
    if (walk->is_first && store_check_bit_get(pages->used, number)) {
        return "the page is used twice";
    }
    if (walk->is_first) {
        store_check_bit_set(pages->used, number);
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
        if (number + i >= pages->bit_count || store_check_bit_get(pages->used, number + i)) {
            return false;
        }
        store_check_bit_set(pages->used, number + i);
        pages->done_count++;
    }
    for (uint64_t i = needed; i < count && number + i < pages->bit_count; i++) {
        store_check_bit_set(pages->spare, number + i);
    }
    return true;
}

/* Reads the overflow pages of a value into walk->value. DATA_LOSS with *why, NO_MEMORY. The count
 * that the first page names may be more than the value needs now, never less. */
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
    if (!store_page_overflow_check(head, number, bytes, walk->pages->page_count) ||
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
        .is_tree = flags == STORE_PAGE_NODE_TREE,
    };
    const uint8_t *data = entry.key.data + entry.key.bytes;
    entry.value = cellar_slice_make(data, store_page_value_bytes(node));
    if (flags == STORE_PAGE_NODE_OVERFLOW) {
        status = overflow_read(walk, cellar_get_u64le(data), store_page_value_bytes(node), &why);
        entry.value = cellar_slice_of(&walk->value);
    } else if (flags != (walk->tree == &walk->pages->main_tree ? STORE_PAGE_NODE_TREE : 0)) {
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
    if (is_told(walk)) {
        store_check_fault_tell(walk->pages, &fault, "page %" PRIu64 ": %s", page->number, why);
    }
    return CELLAR_OK;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Whether keys in [low, high) can be among those that were asked for. Empty bounds are none. Pages
 * that are left out are not read, so their damage is not seen by this walk; the first one sees all.
 */
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

/* A damaged page ends its own subtree and nothing else. */
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
            .number = store_page_child(node_at(&page, i)),
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

/* Compares what a whole walk without faults has met with what the file says of the database. Only
 * where nothing else was wrong: a page that could not be read makes every count too small. */
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
        store_check_fault_tell(
            walk->pages, &fault,
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
        if (is_told(walk)) {
            store_check_fault_tell(walk->pages, &fault,
                                   "a database has impossible flags, depth or root");
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
