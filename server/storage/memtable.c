/*
 * The memtable: a skip list whose links are published with release stores, as in LevelDB's. Its
 * memory comes with the batches, which are built before the append lock is taken; the insert only
 * links their entries.
 *
 * Order of two entries: by key bytes, then the greater LSN first; entries of one LSN at one
 * position (two time ranges deleted in a column) keep no order among themselves, which no reader
 * needs.
 *
 * A search goes from entry to entry, and each one is a cache miss. So a link carries the head of
 * the key that it leads to: a search that stops there does not touch that entry. The head stands in
 * the entry, too, so that a step mostly needs no second miss for the key; and entries of a batch
 * that follow each other, like a row's cells, are linked from where the one before was. Heads are 8
 * bytes, counted from behind what the rows of the memtable before had in common ("user", or a
 * tenant's name): there keys differ.
 *
 * An insert stores a link's head before it releases the pointer. A reader loads the pointer first,
 * so what it sees as head is the pointer's or that of an entry inserted between: not greater. When
 * that head is beyond what is looked for, the pointer's entry is so, too; else the entry decides.
 */
#include "server/storage/memtable.h"

#include "common/key.h"
#include "common/mem.h"

struct store_memtable {
    struct store_entry *head;   /* of the cells; height STORE_MEMTABLE_HEIGHT_MAX, no key */
    struct store_entry *tokens; /* likewise, of the tokens */
    struct store_batch *batches;
    _Atomic(const struct store_drop *) drops; /* newest first */
    _Atomic uint32_t references;
    _Atomic uint64_t first_lsn;
    _Atomic uint64_t last_lsn;
    _Atomic uint64_t record_count;
    _Atomic uint64_t entry_count;
    _Atomic uint64_t row_count;
    _Atomic uint64_t drop_count;
    _Atomic uint64_t blob_count;
    _Atomic uint64_t bytes;
    _Atomic uint64_t payload_bytes;
    _Atomic int64_t server_time_us;
    uint32_t prefix_bytes; /* set before the first insert */
    uint8_t prefix[STORE_MEMTABLE_PREFIX_BYTES_MAX];
};

#define PREFIX_ENTRIES_MIN 256u /* fewer say little about the keys to come */

/* Both heads in one block, of full height and without a key: a search may begin at any level. */
struct store_memtable *store_memtable_new(void)
{
    struct store_memtable *memtable = cellar_mem_zalloc(1, sizeof *memtable);
    size_t bytes = store_entry_bytes(STORE_MEMTABLE_HEIGHT_MAX, 0);
    if (memtable == NULL) {
        return NULL;
    }
    memtable->head = cellar_mem_zalloc(2, bytes);
    if (memtable->head == NULL) {
        cellar_mem_free(memtable);
        return NULL;
    }
    memtable->tokens = (struct store_entry *)(void *)((uint8_t *)memtable->head + bytes);
    memtable->head->height = STORE_MEMTABLE_HEIGHT_MAX;
    memtable->tokens->height = STORE_MEMTABLE_HEIGHT_MAX;
    atomic_store(&memtable->references, 1);
    CELLAR_ASSERT(memtable->batches == NULL);
    return memtable;
}

/* Relaxed: who adds a reference holds one already. */
void store_memtable_ref(struct store_memtable *memtable)
{
    uint32_t before = atomic_fetch_add_explicit(&memtable->references, 1, memory_order_relaxed);
    CELLAR_ASSERT(before > 0);
}

/* Release on each, acquire on the last: whatever readers did with entries lies before the freeing.
 */
void store_memtable_unref(struct store_memtable *memtable)
{
    if (memtable == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&memtable->references, 1, memory_order_acq_rel);
    CELLAR_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    while (memtable->batches != NULL) {
        struct store_batch *next = memtable->batches->next;
        store_batch_free(memtable->batches);
        memtable->batches = next;
    }
    cellar_mem_free(memtable->head);
    cellar_mem_free(memtable);
}

/* ---- heads ----------------------------------------------------------------------------------- */

/* The 8 bytes behind the memtable's prefix, those that are missing as zeros; a key without the
 * prefix has the smallest or the greatest head. Different heads sort like their keys. */
static uint64_t key_head(const struct store_memtable *memtable, struct cellar_slice key)
{
    uint8_t bytes[8] = {0};
    size_t prefix_bytes = memtable->prefix_bytes;
    size_t shared_bytes = CELLAR_MIN(key.bytes, prefix_bytes);
    CELLAR_ASSERT(key.bytes == 0 || key.data != NULL);
    int order = shared_bytes == 0 ? 0 : memcmp(key.data, memtable->prefix, shared_bytes);
    if (order != 0 || key.bytes <= prefix_bytes) {
        return order > 0 ? UINT64_MAX : 0;
    }
    memcpy(bytes, key.data + prefix_bytes, CELLAR_MIN(key.bytes - prefix_bytes, sizeof bytes));
    return cellar_get_u64be(bytes);
}

void store_memtable_prefix_set(struct store_memtable *memtable, const struct store_memtable *before)
{
    const struct store_entry *first = store_memtable_seek(before, cellar_slice_make(NULL, 0));
    CELLAR_ASSERT(atomic_load(&memtable->first_lsn) == 0);
    if (atomic_load(&before->entry_count) < PREFIX_ENTRIES_MIN || first == NULL) {
        memtable->prefix_bytes = before->prefix_bytes;
        memcpy(memtable->prefix, before->prefix, before->prefix_bytes);
        return;
    }
    struct cellar_slice least = store_entry_row(first);
    struct cellar_slice most =
        store_entry_row(store_memtable_seek_before(before, cellar_slice_make(NULL, 0)));
    size_t bytes_max = CELLAR_MIN(CELLAR_MIN(least.bytes, most.bytes), sizeof memtable->prefix);
    uint32_t bytes = 0;
    while (bytes < bytes_max && least.data[bytes] == most.data[bytes]) {
        bytes++;
    }
    memcpy(memtable->prefix, least.data, bytes);
    memtable->prefix_bytes = bytes;
}

/* What is looked for. */
struct target {
    struct cellar_slice key;
    uint64_t head;
    uint64_t lsn;
};

static struct target target_make(const struct store_memtable *memtable, struct cellar_slice key,
                                 uint64_t lsn)
{
    CELLAR_ASSERT(key.bytes <= CELLAR_KEY_BYTES_MAX);
    return (struct target){key, key_head(memtable, key), lsn};
}

/* < 0 when the entry lies before the target: a smaller key, or the same key and a greater LSN. */
static int entry_compare(const struct store_entry *entry, const struct target *target)
{
    if (entry->key_head != target->head) {
        return entry->key_head < target->head ? -1 : 1;
    }
    int order = cellar_slice_compare(store_entry_key(entry), target->key);
    if (order != 0) {
        return order;
    }
    return entry->lsn > target->lsn ? -1 : (entry->lsn < target->lsn ? 1 : 0);
}

/* Acquire, paired with the release in link_insert(): who sees an entry sees its key and links too.
 */
static struct store_entry *link_load(const struct store_entry *entry, unsigned level)
{
    CELLAR_ASSERT(level < entry->height);
    return atomic_load_explicit(&((struct store_entry *)(uintptr_t)entry)->next[level].to,
                                memory_order_acquire);
}

/* The head of a link whose pointer has been loaded. */
static uint64_t link_head(const struct store_entry *entry, unsigned level)
{
    CELLAR_ASSERT(level < entry->height);
    return atomic_load_explicit(&((struct store_entry *)(uintptr_t)entry)->next[level].head,
                                memory_order_relaxed);
}

/* Puts an entry behind another on one level. */
static void link_insert(struct store_entry *before, struct store_entry *entry, unsigned level)
{
    struct store_link *from = &before->next[level];
    struct store_link *link = &entry->next[level];
    CELLAR_ASSERT(level < before->height && level < entry->height);
    atomic_store_explicit(&link->head, link_head(before, level), memory_order_relaxed);
    atomic_store_explicit(&link->to, link_load(before, level), memory_order_relaxed);
    atomic_store_explicit(&from->head, entry->key_head, memory_order_relaxed);
    atomic_store_explicit(&from->to, entry, memory_order_release);
}

/* The two entries between which a target has its place. */
struct place {
    struct store_entry *before; /* the head when there is none */
    struct store_entry *behind; /* NULL when there is none */
};

/*
 * Finds the place of a target; `path` (may be NULL) receives the entry before it on every level.
 * `behind` is what was compared, not what a second look at `before` would find: an insert may have
 * come between the two meanwhile.
 */
static struct place find_place(struct store_entry *head, const struct target *target,
                               struct store_entry **path)
{
    struct place place = {head, NULL};
    const struct store_entry *bound = NULL; /* known to lie at or behind the place */
    for (unsigned level = STORE_MEMTABLE_HEIGHT_MAX; level-- > 0;) {
        struct store_entry *next = link_load(place.before, level);
        while (next != NULL && next != bound && link_head(place.before, level) <= target->head &&
               entry_compare(next, target) < 0) {
            place.before = next;
            next = link_load(place.before, level);
        }
        place.behind = next;
        bound = next;
        if (path != NULL) {
            path[level] = place.before;
        }
    }
    CELLAR_ASSERT(place.before != place.behind);
    return place;
}

static bool rows_equal(const struct store_entry *a, const struct store_entry *b)
{
    CELLAR_ASSERT(a != b);
    return cellar_slice_equal(store_entry_row(a), store_entry_row(b));
}

/* Where the entry inserted last stands: the entries before what follows it, on every level. */
struct finger {
    struct store_entry *last; /* NULL: nothing was inserted */
    struct store_entry *path[STORE_MEMTABLE_HEIGHT_MAX];
};

/* Whether a target has its place right behind the finger's entry. All that lies behind that entry
 * on a higher level lies at or behind its next one, which is looked at. */
static bool finger_points(const struct finger *finger, const struct target *target,
                          struct place *place)
{
    if (finger->last == NULL || entry_compare(finger->last, target) >= 0) {
        return false;
    }
    struct store_entry *next = link_load(finger->last, 0);
    if (next != NULL && entry_compare(next, target) <= 0) {
        return false;
    }
    CELLAR_ASSERT(next != finger->last);
    *place = (struct place){finger->last, next};
    return true;
}

/* An entry is complete before the first store that makes it reachable, and becomes so from the
 * bottom level up: a reader finds it on no level or on those that are linked already, and level 0
 * is enough to be found. Whether its row is new is seen from its two neighbours, since rows stand
 * together. */
static void entry_insert(struct store_memtable *memtable, struct store_entry *entry, uint64_t lsn,
                         struct finger *finger)
{
    const struct target target = target_make(memtable, store_entry_key(entry), lsn);
    bool is_token = entry->type == STORE_ITEM_TOKEN;
    struct store_entry *head = is_token ? memtable->tokens : memtable->head;
    struct place place;
    entry->lsn = lsn;
    entry->key_head = target.head;
    if (is_token || !finger_points(finger, &target, &place)) {
        place = find_place(head, &target, finger->path);
    }
    bool row_is_known = !is_token && ((place.before != head && rows_equal(place.before, entry)) ||
                                      (place.behind != NULL && rows_equal(place.behind, entry)));
    for (unsigned level = 0; level < entry->height; level++) {
        struct store_entry *before = finger->path[level];
        link_insert(before, entry, level);
        finger->path[level] = entry;
    }
    finger->last = is_token ? NULL : entry;
    if (!row_is_known) {
        atomic_fetch_add_explicit(&memtable->row_count, 1, memory_order_relaxed);
    }
    CELLAR_ASSERT(entry->height >= 1);
}

/* A counter that one thread writes and others read. A plain load and store: only the thread with
 * the append lock writes. */
static void counter_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static uint64_t counter_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Complete before it can be reached, as an entry is. */
static void drop_insert(struct store_memtable *memtable, struct store_drop *drop, uint64_t lsn)
{
    CELLAR_ASSERT(drop->next == NULL && lsn > 0);
    drop->lsn = lsn;
    drop->next = atomic_load_explicit(&memtable->drops, memory_order_relaxed);
    atomic_store_explicit(&memtable->drops, drop, memory_order_release);
    counter_set(&memtable->drop_count, counter_get(&memtable->drop_count) + 1);
}

const struct store_drop *store_memtable_drops(const struct store_memtable *memtable)
{
    return atomic_load_explicit(&memtable->drops, memory_order_acquire);
}

uint64_t store_memtable_drop_lsn(const struct store_memtable *memtable, struct cellar_slice key,
                                 uint64_t lsn_max)
{
    CELLAR_ASSERT(key.bytes > 0);
    for (const struct store_drop *drop = store_memtable_drops(memtable); drop != NULL;
         drop = drop->next) {
        if (drop->lsn <= lsn_max && store_range_has(&drop->range, key)) {
            return drop->lsn;
        }
    }
    return 0;
}

static enum cellar_status reference_visit(struct cellar_slice reference, store_blob_visit_fn *visit,
                                          void *context)
{
    struct store_blob blob;
    bool is_sound = store_blob_decode(reference, &blob);
    CELLAR_ASSERT(is_sound); /* as the record was when the batch was built */
    return visit(context, blob.id);
}

/* By batches: entries that other ones replaced are found too. */
enum cellar_status store_memtable_blobs(const struct store_memtable *memtable,
                                        store_blob_visit_fn *visit, void *context)
{
    if (counter_get(&memtable->blob_count) == 0) {
        return CELLAR_OK;
    }
    for (const struct store_batch *batch = memtable->batches; batch != NULL; batch = batch->next) {
        if (batch->reference.bytes > 0) {
            CELLAR_TRY(reference_visit(batch->reference, visit, context));
        }
        for (uint32_t i = 0; batch->blob_count > 0 && i < batch->entry_count; i++) {
            if (batch->entries[i]->type == STORE_ITEM_SET_BLOB) {
                CELLAR_TRY(reference_visit(store_entry_value(batch->entries[i]), visit, context));
            }
        }
    }
    return CELLAR_OK;
}

/* Visible at once to whoever looks, but readers leave out what lies above their snapshot's LSN, and
 * this one is above all of those. Counters come after the entries, so a reader never counts what it
 * cannot find. */
void store_memtable_insert(struct store_memtable *memtable, struct store_batch *batch, uint64_t lsn)
{
    CELLAR_ASSERT(lsn > counter_get(&memtable->last_lsn));
    struct finger finger = {.last = NULL};
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        entry_insert(memtable, batch->entries[i], lsn, &finger);
    }
    if (batch->drop != NULL) {
        drop_insert(memtable, batch->drop, lsn);
    }
    if (batch->blob_count > 0) {
        counter_set(&memtable->blob_count, counter_get(&memtable->blob_count) + batch->blob_count);
    }
    batch->next = memtable->batches;
    memtable->batches = batch;
    if (counter_get(&memtable->first_lsn) == 0) {
        counter_set(&memtable->first_lsn, lsn);
    }
    counter_set(&memtable->last_lsn, lsn);
    counter_set(&memtable->record_count, counter_get(&memtable->record_count) + 1);
    counter_set(&memtable->entry_count, counter_get(&memtable->entry_count) + batch->entry_count);
    counter_set(&memtable->bytes, counter_get(&memtable->bytes) + batch->total_bytes);
    counter_set(&memtable->payload_bytes,
                counter_get(&memtable->payload_bytes) + batch->payload.bytes);
    int64_t time_us = atomic_load_explicit(&memtable->server_time_us, memory_order_relaxed);
    atomic_store_explicit(&memtable->server_time_us, CELLAR_MAX(time_us, batch->server_time_us),
                          memory_order_relaxed);
}

void store_memtable_facts(const struct store_memtable *memtable, struct store_memtable_facts *facts)
{
    CELLAR_ASSERT(facts != NULL);
    facts->first_lsn = counter_get(&memtable->first_lsn);
    facts->last_lsn = counter_get(&memtable->last_lsn);
    facts->record_count = counter_get(&memtable->record_count);
    facts->entry_count = counter_get(&memtable->entry_count);
    facts->row_count = counter_get(&memtable->row_count);
    facts->drop_count = counter_get(&memtable->drop_count);
    facts->blob_count = counter_get(&memtable->blob_count);
    facts->bytes = counter_get(&memtable->bytes);
    facts->payload_bytes = counter_get(&memtable->payload_bytes);
    facts->server_time_us = atomic_load_explicit(&memtable->server_time_us, memory_order_relaxed);
}

const struct store_entry *store_memtable_seek(const struct store_memtable *memtable,
                                              struct cellar_slice key)
{
    /* LSNs sort descending at one position, so (key, greatest LSN) lies before all entries of the
     * key. */
    const struct target target = target_make(memtable, key, UINT64_MAX);
    struct place place = find_place(memtable->head, &target, NULL);
    CELLAR_ASSERT(place.before != NULL);
    return place.behind;
}

const struct store_entry *store_memtable_seek_behind(const struct store_memtable *memtable,
                                                     struct cellar_slice key)
{
    /* (key, LSN 0) lies behind all entries of the key, since an entry's LSN is above 0. */
    const struct target target = target_make(memtable, key, 0);
    struct place place = find_place(memtable->head, &target, NULL);
    CELLAR_ASSERT(place.before != NULL);
    return place.behind;
}

/* Along each level to its end, then one level down: as many steps as a search. */
static const struct store_entry *find_last(const struct store_memtable *memtable)
{
    const struct store_entry *at = memtable->head;
    for (unsigned level = STORE_MEMTABLE_HEIGHT_MAX; level-- > 0;) {
        for (const struct store_entry *next = link_load(at, level); next != NULL;
             next = link_load(at, level)) {
            at = next;
        }
    }
    CELLAR_ASSERT(at != NULL);
    return at;
}

/* There are no links back; the search for the key's place passes the entry before it anyway. */
const struct store_entry *store_memtable_seek_before(const struct store_memtable *memtable,
                                                     struct cellar_slice key)
{
    const struct target target = target_make(memtable, key, UINT64_MAX);
    const struct store_entry *found =
        key.bytes == 0 ? find_last(memtable) : find_place(memtable->head, &target, NULL).before;
    CELLAR_ASSERT(found != NULL);
    return found == memtable->head ? NULL : found;
}

/* The greatest LSN sorts first, so the first entry of the key is the newest. */
const struct store_entry *store_memtable_token(const struct store_memtable *memtable,
                                               struct cellar_slice key)
{
    const struct target target = target_make(memtable, key, UINT64_MAX);
    struct place place = find_place(memtable->tokens, &target, NULL);
    CELLAR_ASSERT(key.bytes > 0);
    return place.behind != NULL && cellar_slice_equal(store_entry_key(place.behind), key)
               ? place.behind
               : NULL;
}

const struct store_entry *store_memtable_token_first(const struct store_memtable *memtable)
{
    return link_load(memtable->tokens, 0);
}
