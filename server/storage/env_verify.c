/*
 * Pages are looked at before LMDB changes them.
 *
 * LMDB copies a page into memory of its own to change it, and trusts what the page says of its own
 * bounds: a damaged one has it write behind the end of that memory, or give pages out again that
 * are in use. So, once a write transaction begins, and before each put and delete, the pages of the
 * last commit that are about to be changed are held against lmdb_page.h, right in the map:
 *
 *     begin    all of LMDB's two small trees (free pages, databases by name) and of the state; the
 *              lists of free pages, when the environment was opened since they were last looked at
 *     put      the path from the root to the key
 *     delete   the same, and the neighbours with which LMDB may join the pages on it
 *
 * Pages that the transaction has made itself come from sound ones. What is known to be sound is
 * kept for as long as it lasts: numbers of pages, and the range of keys of the last path, so that
 * a checkpoint, which goes in key order, looks at each page once or twice.
 *
 * What this cannot see: pages that are sound in themselves and stand in the wrong place, and lists
 * of free pages that name one in use. The scrub and the check tell those.
 */
#include "common/mem.h"
#include "server/storage/env_internal.h"
#include "server/storage/lmdb_page.h"

#define META_AT_LAST_PAGE 136u
#define META_AT_ID 144u
#define META_AT_FREE_TREE 40u
#define META_AT_MAIN_TREE 88u
#define TREE_BYTES 48u
#define DEPTH_MAX 32u
#define KNOWN_COUNT 256u
#define NO_PAGE UINT64_MAX

struct tree {
    uint64_t root; /* NO_PAGE: empty */
    uint32_t depth;
};

struct store_env_sound {
    const uint8_t *map;
    uint64_t page_count;                        /* of the last commit */
    struct tree trees[STORE_ENV_DBI_COUNT_MAX]; /* likewise, by database */
    uint64_t known[KNOWN_COUNT];                /* numbers of sound pages, by their last bits */
    uint64_t visit_count;                       /* of walks: more than pages is a circle */
    bool must_check_lists;
    bool has_path; /* the last one: */
    bool path_is_wide;
    MDB_dbi path_dbi;
    struct cellar_slice path_low;  /* keys at or behind it; empty: from the first */
    struct cellar_slice path_high; /* and before it; empty: to the last */
};

/* ---- pages ----------------------------------------------------------------------------------- */

static const uint8_t *page_at(const struct store_env_sound *sound, uint64_t number)
{
    CELLAR_ASSERT(number < sound->page_count);
    return sound->map + number * STORE_PAGE_BYTES;
}

static uint32_t node_count_of(const uint8_t *page)
{
    uint32_t lower = cellar_get_u16le(page + 12);
    CELLAR_ASSERT(lower > STORE_PAGE_HEADER_BYTES);
    return (lower - STORE_PAGE_HEADER_BYTES) / 2;
}

/* Leaves: only flags that are set in that database. */
static bool flags_check(const uint8_t *page, uint32_t node_count, bool has_trees)
{
    CELLAR_ASSERT(node_count > 0);
    for (uint32_t i = 0; i < node_count; i++) {
        uint16_t flags = cellar_get_u16le(store_page_node(page, i) + 4);
        if (flags != (has_trees ? STORE_PAGE_NODE_TREE : 0) &&
            (has_trees || flags != STORE_PAGE_NODE_OVERFLOW)) {
            return false;
        }
    }
    return true;
}

static bool page_check(struct store_env_sound *sound, uint64_t number, bool is_leaf, bool has_trees)
{
    uint32_t node_count = 0;
    if (number < 2 || number >= sound->page_count) {
        return false;
    }
    uint64_t *known = &sound->known[number % KNOWN_COUNT];
    const uint8_t *page = page_at(sound, number);
    CELLAR_ASSERT(sound->page_count > 2);
    if (*known == number) {
        return cellar_get_u16le(page + 10) == (is_leaf ? STORE_PAGE_LEAF : STORE_PAGE_BRANCH);
    }
    if (store_page_check(page, number, is_leaf, &node_count) != NULL ||
        (is_leaf && !flags_check(page, node_count, has_trees))) {
        return false;
    }
    *known = number;
    return true;
}

bool store_env_overflow_check(const struct store_env_txn *txn, const MDB_val *value)
{
    const struct store_env_sound *sound = txn->sound;
    uintptr_t at = (uintptr_t)value->mv_data;
    if (sound == NULL || at % STORE_PAGE_BYTES != STORE_PAGE_HEADER_BYTES) {
        return true; /* not at the beginning of a page: inside of a leaf that was looked at */
    }
    uint64_t offset = at - STORE_PAGE_HEADER_BYTES - (uintptr_t)sound->map;
    uint64_t number = offset / STORE_PAGE_BYTES;
    CELLAR_ASSERT(sound->page_count > 0);
    return number >= sound->page_count ||
           store_page_overflow_check(page_at(sound, number), number, value->mv_size,
                                     sound->page_count);
}

/* ---- whole trees ----------------------------------------------------------------------------- */

typedef bool node_visit(struct store_env_sound *sound, const struct store_env *env,
                        const uint8_t *node);

struct walk {
    struct store_env_sound *sound;
    const struct store_env *env;
    bool has_trees;
    node_visit *visit; /* NULL: pages only */
};

/* Recursion as deep as the tree. */
static bool tree_walk(const struct walk *walk, uint64_t number, uint32_t depth)
{
    bool is_leaf = depth == 1;
    struct store_env_sound *sound = walk->sound;
    if (sound->visit_count++ > sound->page_count ||
        !page_check(sound, number, is_leaf, walk->has_trees)) {
        return false;
    }
    const uint8_t *page = page_at(sound, number);
    uint32_t node_count = node_count_of(page);
    CELLAR_ASSERT(depth >= 1 && depth <= DEPTH_MAX);
    for (uint32_t i = 0; i < node_count; i++) {
        const uint8_t *node = store_page_node(page, i);
        bool is_good = is_leaf ? walk->visit == NULL || walk->visit(sound, walk->env, node)
                               : tree_walk(walk, store_page_child(node), depth - 1);
        if (!is_good) {
            return false;
        }
    }
    return true;
}

static bool tree_check(const struct walk *walk, const struct tree *tree)
{
    if (tree->root == NO_PAGE) {
        return true;
    }
    CELLAR_ASSERT(walk->sound != NULL);
    return tree->depth >= 1 && tree->depth <= DEPTH_MAX && tree_walk(walk, tree->root, tree->depth);
}

static struct tree tree_decode(const uint8_t *bytes)
{
    CELLAR_ASSERT(bytes != NULL);
    return (struct tree){.root = cellar_get_u64le(bytes + 40),
                         .depth = cellar_get_u16le(bytes + 6)};
}

/* A list of free pages: their count, then their numbers, the greatest first. */
static bool list_check(const struct store_env_sound *sound, const uint8_t *list, uint64_t bytes)
{
    uint64_t room = bytes / sizeof(uint64_t);
    uint64_t count = room == 0 ? 0 : cellar_get_u64le(list);
    uint64_t last = sound->page_count;
    CELLAR_ASSERT(list != NULL);
    if (room == 0 || count > room - 1) {
        return false;
    }
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number = cellar_get_u64le(list + i * sizeof number);
        if (number < 2 || number >= last) {
            return false;
        }
        last = number;
    }
    return true;
}

static bool list_visit(struct store_env_sound *sound, const struct store_env *env,
                       const uint8_t *node)
{
    struct cellar_slice key = store_page_key(node);
    const uint8_t *list = key.data + key.bytes;
    uint64_t bytes = store_page_value_bytes(node);
    (void)env;
    if (key.bytes != sizeof(uint64_t)) {
        return false;
    }
    if ((cellar_get_u16le(node + 4) & STORE_PAGE_NODE_OVERFLOW) != 0) {
        uint64_t number = cellar_get_u64le(list);
        if (number < 2 || number >= sound->page_count ||
            !store_page_overflow_check(page_at(sound, number), number, bytes, sound->page_count)) {
            return false;
        }
        list = page_at(sound, number) + STORE_PAGE_HEADER_BYTES;
    }
    CELLAR_ASSERT(list != NULL);
    return !sound->must_check_lists || list_check(sound, list, bytes);
}

/* Notes the databases by their handles. */
static bool name_visit(struct store_env_sound *sound, const struct store_env *env,
                       const uint8_t *node)
{
    const struct {
        const char *name;
        MDB_dbi dbi;
    } databases[] = {{"state", env->state_dbi},
                     {"cells", env->cells_dbi},
                     {"layers", env->layers_dbi},
                     {"tokens", env->tokens_dbi},
                     {"blobs", env->blobs_dbi}};
    struct cellar_slice key = store_page_key(node);
    if (store_page_value_bytes(node) != TREE_BYTES) {
        return false;
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(databases); i++) {
        if (cellar_slice_equal(key, cellar_slice_text(databases[i].name))) {
            CELLAR_ASSERT(databases[i].dbi < STORE_ENV_DBI_COUNT_MAX);
            sound->trees[databases[i].dbi] = tree_decode(key.data + key.bytes);
        }
    }
    return true;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static bool small_trees_check(struct store_env_sound *sound, const struct store_env *env,
                              const uint8_t *meta)
{
    const struct walk lists = {sound, env, false, list_visit};
    const struct walk names = {sound, env, true, name_visit};
    const struct walk pages = {sound, env, false, NULL};
    struct tree free_tree = tree_decode(meta + META_AT_FREE_TREE);
    struct tree main_tree = tree_decode(meta + META_AT_MAIN_TREE);
    CELLAR_ASSERT(env->state_dbi < STORE_ENV_DBI_COUNT_MAX);
    return tree_check(&lists, &free_tree) && tree_check(&names, &main_tree) &&
           tree_check(&pages, &sound->trees[env->state_dbi]);
}

enum cellar_status store_env_verify_begin(struct store_env_txn *txn)
{
    struct store_env *env = txn->env;
    uint64_t id = mdb_txn_id(txn->txn) - 1; /* of the last commit */
    CELLAR_ASSERT(txn->is_write && txn->sound == NULL);
    if (env->map.start == 0) {
        return CELLAR_OK; /* not known where it is */
    }
    struct store_env_sound *sound = cellar_mem_zalloc(1, sizeof *sound);
    if (sound == NULL) {
        return CELLAR_NO_MEMORY;
    }
    txn->sound = sound;
    sound->map = (const uint8_t *)env->map.start;
    const uint8_t *meta = sound->map + (id & 1) * STORE_PAGE_BYTES;
    sound->page_count = cellar_get_u64le(meta + META_AT_LAST_PAGE) + 1;
    sound->must_check_lists = !env->are_lists_checked;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sound->trees); i++) {
        sound->trees[i].root = NO_PAGE;
    }
    if (cellar_get_u64le(meta + META_AT_ID) != id || sound->page_count < 3 ||
        sound->page_count > env->map.bytes / STORE_PAGE_BYTES ||
        !small_trees_check(sound, env, meta)) {
        return CELLAR_DATA_LOSS;
    }
    env->are_lists_checked = true;
    return CELLAR_OK;
}

void store_env_verify_end(struct store_env_txn *txn)
{
    CELLAR_ASSERT(txn->is_write);
    cellar_mem_free(txn->sound);
    txn->sound = NULL;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* The child whose keys a key belongs to: the last one whose first key is not greater. The first
 * node of a branch stands for all smaller keys, whatever it says. */
static uint32_t child_find(const uint8_t *page, uint32_t node_count, struct cellar_slice key)
{
    uint32_t low = 0;
    uint32_t high = node_count;
    CELLAR_ASSERT(node_count > 0);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        struct cellar_slice at = store_page_key(store_page_node(page, middle));
        if (cellar_slice_compare(at, key) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool path_is_known(const struct store_env_sound *sound, MDB_dbi dbi, struct cellar_slice key,
                          bool is_wide)
{
    CELLAR_ASSERT(key.bytes > 0);
    return sound->has_path && sound->path_dbi == dbi && (sound->path_is_wide || !is_wide) &&
           cellar_slice_compare(sound->path_low, key) <= 0 &&
           (sound->path_high.bytes == 0 || cellar_slice_compare(key, sound->path_high) < 0);
}

/* A child of a branch, and its neighbours; the range of keys narrows to the child's. */
static bool child_check(struct store_env_sound *sound, const uint8_t *page, uint32_t index,
                        bool is_leaf)
{
    uint32_t node_count = node_count_of(page);
    uint32_t first = sound->path_is_wide && index > 0 ? index - 1 : index;
    uint32_t last = sound->path_is_wide && index + 1 < node_count ? index + 1 : index;
    CELLAR_ASSERT(index < node_count);
    for (uint32_t i = first; i <= last; i++) {
        if (!page_check(sound, store_page_child(store_page_node(page, i)), is_leaf, false)) {
            return false;
        }
    }
    if (index > 0) {
        sound->path_low = store_page_key(store_page_node(page, index));
    }
    if (index + 1 < node_count) {
        sound->path_high = store_page_key(store_page_node(page, index + 1));
    }
    return true;
}

bool store_env_path_check(struct store_env_txn *txn, MDB_dbi dbi, const struct env_raw_key *raw,
                          bool is_wide)
{
    struct store_env_sound *sound = txn->sound;
    struct cellar_slice key = cellar_slice_make(raw->bytes, raw->count);
    CELLAR_ASSERT(txn->is_write && dbi < STORE_ENV_DBI_COUNT_MAX);
    if (sound == NULL || sound->trees[dbi].root == NO_PAGE ||
        path_is_known(sound, dbi, key, is_wide)) {
        return true;
    }
    uint32_t depth = sound->trees[dbi].depth;
    uint64_t number = sound->trees[dbi].root;
    sound->has_path = false;
    sound->path_is_wide = is_wide;
    sound->path_dbi = dbi;
    sound->path_low = cellar_slice_make(NULL, 0);
    sound->path_high = cellar_slice_make(NULL, 0);
    if (depth < 1 || depth > DEPTH_MAX || !page_check(sound, number, depth == 1, false)) {
        return false;
    }
    for (; depth > 1; depth--) {
        const uint8_t *page = page_at(sound, number);
        uint32_t index = child_find(page, node_count_of(page), key);
        if (!child_check(sound, page, index, depth == 2)) {
            return false;
        }
        number = store_page_child(store_page_node(page, index));
    }
    sound->has_path = true;
    return true;
}
