/*
 * The memtable: a skip list whose links are published with release stores, as in LevelDB's, and
 * whose memory comes in one block a mutation (a batch): payload copy, entries, keys. A batch is
 * built before the append lock is taken; the insert only links.
 *
 * Order of two entries: by key bytes, then the greater LSN first; entries of one LSN at one
 * position (two time ranges deleted in a column) keep no order among themselves, which no reader
 * needs.
 *
 * A search goes from entry to entry, and each one is a cache miss. The first bytes of the key stand
 * beside the links, so that a step mostly needs no second one; and entries of a batch that follow
 * each other, like a row's cells, are linked from where the one before was.
 *
 * The height of an entry is drawn with probability 1/4 a level from a generator of the building
 * thread; the pass that counts and the one that fills draw the same heights from the same start.
 */
#include "server/storage/memtable.h"

#include "common/key.h"
#include "common/mem.h"

struct store_memtable {
    struct store_entry *head;   /* of the cells; height STORE_MEMTABLE_HEIGHT_MAX, no key */
    struct store_entry *tokens; /* likewise, of the tokens */
    struct store_batch *batches;
    _Atomic uint32_t references;
    _Atomic uint64_t first_lsn;
    _Atomic uint64_t last_lsn;
    _Atomic uint64_t record_count;
    _Atomic uint64_t entry_count;
    _Atomic uint64_t row_count;
    _Atomic uint64_t bytes;
    _Atomic int64_t server_time_us;
};

/* ---- batches --------------------------------------------------------------------------------- */

static _Thread_local uint64_t height_state;

/* xorshift: three shifts are enough for heights, which nobody can choose from outside, and a
 * generator of each thread needs no lock.  */
static uint8_t height_draw(void)
{
    CELLAR_ASSERT(height_state != 0);
    height_state ^= height_state << 13;
    height_state ^= height_state >> 7;
    height_state ^= height_state << 17;
    uint8_t height = 1;
    for (uint64_t bits = height_state >> 8; (bits & 3) == 0 && height < STORE_MEMTABLE_HEIGHT_MAX;
         bits >>= 2) {
        height++;
    }
    CELLAR_ASSERT(height >= 1);
    return height;
}

static size_t align8(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

/* The first 8 bytes, those that are missing as zeros: different heads sort like their keys. */
static uint64_t key_head(struct cellar_slice key)
{
    uint8_t bytes[8] = {0};
    CELLAR_ASSERT(key.bytes == 0 || key.data != NULL);
    if (key.bytes > 0) {
        memcpy(bytes, key.data, CELLAR_MIN(key.bytes, sizeof bytes));
    }
    return cellar_get_u64be(bytes);
}

/* Must say to the byte what entry_fill() writes: store_batch_new() asserts that both passes end at
 * the same place. */
static size_t item_key_bytes(const struct store_mutation *mutation, const struct store_item *item)
{
    size_t bytes = cellar_key_escaped_bytes(mutation->row);
    if (item->type == STORE_ITEM_DELETE_ROW) {
        return bytes;
    }
    if (item->type == STORE_ITEM_TOKEN) {
        return bytes + 1 + item->qualifier.bytes;
    }
    bytes += item->family.bytes + 5;
    if (item->type == STORE_ITEM_DELETE_FAMILY) {
        return bytes;
    }
    bytes += cellar_key_escaped_bytes(item->qualifier);
    return item->type == STORE_ITEM_DELETE_COLUMN ? bytes : bytes + 8;
}

/* Key behind the links, links behind the fields: one block, aligned for the next entry. */
static size_t entry_bytes(uint8_t height, size_t key_bytes)
{
    CELLAR_ASSERT(height >= 1 && height <= STORE_MEMTABLE_HEIGHT_MAX);
    return align8(sizeof(struct store_entry) + height * sizeof(struct store_entry *) + key_bytes);
}

/* What the building of a batch counts in its first pass and fills in its second. */
struct batch_build {
    size_t bytes; /* of entries */
    uint32_t entry_count;
    uint8_t *at; /* second pass: where the next entry goes */
    struct store_batch *batch;
};

/* The value is not copied: it lies in the batch's own copy of the payload, which lives as long. */
static void entry_fill(struct batch_build *build, const struct store_mutation *mutation,
                       const struct store_item *item)
{
    struct store_entry *entry = (struct store_entry *)(void *)build->at;
    entry->height = height_draw();
    entry->type = (uint8_t)item->type;
    entry->start_us = item->start_us;
    entry->end_us = item->end_us;
    entry->value = item->value.data;
    entry->value_bytes = (uint32_t)item->value.bytes;
    entry->family_bytes = (uint8_t)item->family.bytes;
    entry->qualifier_bytes = (uint16_t)item->qualifier.bytes;
    uint8_t *key = (uint8_t *)(uintptr_t)&entry->next[entry->height];
    uint8_t *end = cellar_key_put_escaped(key, mutation->row);
    entry->row_key_bytes = (uint16_t)(end - key);
    if (item->type == STORE_ITEM_TOKEN) {
        end = store_token_put(end, item->qualifier);
    } else if (item->type != STORE_ITEM_DELETE_ROW) {
        end = cellar_key_put_family(end, item->family, item->generation);
    }
    if (item->type == STORE_ITEM_DELETE_COLUMN || item->type == STORE_ITEM_SET) {
        end = cellar_key_put_escaped(end, item->qualifier);
    }
    if (item->type == STORE_ITEM_SET) {
        end = cellar_key_put_timestamp(end, item->start_us);
    }
    entry->key_bytes = (uint32_t)(end - key);
    entry->key_head = key_head(cellar_slice_make(key, entry->key_bytes));
    build->at += entry_bytes(entry->height, entry->key_bytes);
    CELLAR_ASSERT(build->entry_count < build->batch->entry_count);
    build->batch->entries[build->entry_count++] = entry;
}

/* One mutation's items, counted (no batch yet) or filled. */
static bool build_mutation(struct batch_build *build, struct cellar_slice payload)
{
    struct cellar_cursor from = cellar_cursor_make(payload);
    struct store_mutation mutation;
    struct store_item item;
    if (!store_mutation_decode(&from, &mutation)) {
        return false;
    }
    for (uint32_t i = 0; i < mutation.item_count; i++) {
        if (!store_item_decode(&from, &item)) {
            return false;
        }
        if (item.type == STORE_ITEM_TOKEN && build->batch != NULL) {
            build->batch->token_expiry_us = item.start_us;
        }
        if (build->batch == NULL) {
            build->bytes += entry_bytes(height_draw(), item_key_bytes(&mutation, &item));
            build->entry_count++;
        } else {
            entry_fill(build, &mutation, &item);
        }
    }
    if (build->batch != NULL) {
        build->batch->server_time_us =
            CELLAR_MAX(build->batch->server_time_us, mutation.server_time_us);
    }
    CELLAR_ASSERT(from.at <= from.end);
    return from.at == from.end;
}

/* From here on the payload is known to be sound; in the second pass it cannot fail any more. */
static bool build_payload(struct batch_build *build, struct cellar_slice payload, bool is_catalog)
{
    if (!is_catalog) {
        return build_mutation(build, payload);
    }
    struct cellar_cursor from = cellar_cursor_make(payload);
    uint32_t count = 0;
    if (!store_catalog_open(&from, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cellar_slice mutation;
        if (!store_catalog_next(&from, &mutation) || !build_mutation(build, mutation)) {
            return false;
        }
    }
    CELLAR_ASSERT(count > 0);
    return from.at == from.end;
}

/* Two passes over the payload, one allocation: the first counts, the second fills. Both draw the
 * same heights, as the generator is set back in between. The caller's payload is read in the first
 * pass only, its copy in the second, as the entries point into it. */
enum cellar_status store_batch_new(struct cellar_slice payload, bool is_catalog,
                                   struct store_batch **batch)
{
    struct batch_build build = {0};
    if (height_state == 0) {
        height_state = (uint64_t)(uintptr_t)&height_state | 1;
    }
    uint64_t heights_start = height_state;
    if (!build_payload(&build, payload, is_catalog)) {
        return CELLAR_DATA_LOSS;
    }
    size_t head = align8(sizeof(struct store_batch)) +
                  align8(build.entry_count * sizeof(struct store_entry *));
    size_t total = head + align8(payload.bytes) + build.bytes;
    uint8_t *memory = cellar_mem_alloc(total);
    if (memory == NULL) {
        return CELLAR_NO_MEMORY;
    }
    struct store_batch *made = (struct store_batch *)(void *)memory;
    memset(made, 0, sizeof *made);
    made->entries = (struct store_entry **)(void *)(memory + align8(sizeof *made));
    made->entry_count = build.entry_count;
    made->total_bytes = total;
    memcpy(memory + head, payload.data, payload.bytes);
    made->payload = cellar_slice_make(memory + head, payload.bytes);
    struct batch_build fill = {.batch = made, .at = memory + head + align8(payload.bytes)};
    height_state = heights_start;
    bool is_built = build_payload(&fill, made->payload, is_catalog);
    CELLAR_ASSERT(is_built && fill.at == memory + total);
    *batch = made;
    return CELLAR_OK;
}

/* One block holds all of it. */
void store_batch_free(struct store_batch *batch)
{
    cellar_mem_free(batch);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Both heads in one block, of full height and without a key: a search may begin at any level. */
struct store_memtable *store_memtable_new(void)
{
    struct store_memtable *memtable = cellar_mem_zalloc(1, sizeof *memtable);
    size_t bytes = entry_bytes(STORE_MEMTABLE_HEIGHT_MAX, 0);
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

/* What is looked for. */
struct target {
    struct cellar_slice key;
    uint64_t head;
    uint64_t lsn;
};

static struct target target_make(struct cellar_slice key, uint64_t lsn)
{
    CELLAR_ASSERT(key.bytes <= CELLAR_KEY_BYTES_MAX);
    return (struct target){key, key_head(key), lsn};
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

/* Acquire, paired with the release in entry_insert(): who sees an entry sees its key and links too.
 */
static struct store_entry *link_load(const struct store_entry *entry, unsigned level)
{
    CELLAR_ASSERT(level < entry->height);
    return atomic_load_explicit(&((struct store_entry *)(uintptr_t)entry)->next[level],
                                memory_order_acquire);
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
        while (next != NULL && next != bound && entry_compare(next, target) < 0) {
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
    const struct target target = {store_entry_key(entry), entry->key_head, lsn};
    bool is_token = entry->type == STORE_ITEM_TOKEN;
    struct store_entry *head = is_token ? memtable->tokens : memtable->head;
    struct place place;
    entry->lsn = lsn;
    if (is_token || !finger_points(finger, &target, &place)) {
        place = find_place(head, &target, finger->path);
    }
    bool row_is_known = !is_token && ((place.before != head && rows_equal(place.before, entry)) ||
                                      (place.behind != NULL && rows_equal(place.behind, entry)));
    for (unsigned level = 0; level < entry->height; level++) {
        struct store_entry *before = finger->path[level];
        atomic_store_explicit(&entry->next[level], link_load(before, level), memory_order_relaxed);
        atomic_store_explicit(&before->next[level], entry, memory_order_release);
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
    batch->next = memtable->batches;
    memtable->batches = batch;
    if (counter_get(&memtable->first_lsn) == 0) {
        counter_set(&memtable->first_lsn, lsn);
    }
    counter_set(&memtable->last_lsn, lsn);
    counter_set(&memtable->record_count, counter_get(&memtable->record_count) + 1);
    counter_set(&memtable->entry_count, counter_get(&memtable->entry_count) + batch->entry_count);
    counter_set(&memtable->bytes, counter_get(&memtable->bytes) + batch->total_bytes);
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
    facts->bytes = counter_get(&memtable->bytes);
    facts->server_time_us = atomic_load_explicit(&memtable->server_time_us, memory_order_relaxed);
}

const struct store_entry *store_memtable_seek(const struct store_memtable *memtable,
                                              struct cellar_slice key)
{
    /* LSNs sort descending at one position, so (key, greatest LSN) lies before all entries of the
     * key. */
    const struct target target = target_make(key, UINT64_MAX);
    struct place place = find_place(memtable->head, &target, NULL);
    CELLAR_ASSERT(place.before != NULL);
    return place.behind;
}

const struct store_entry *store_memtable_seek_behind(const struct store_memtable *memtable,
                                                     struct cellar_slice key)
{
    /* (key, LSN 0) lies behind all entries of the key, since an entry's LSN is above 0. */
    const struct target target = target_make(key, 0);
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
    const struct target target = target_make(key, UINT64_MAX);
    const struct store_entry *found =
        key.bytes == 0 ? find_last(memtable) : find_place(memtable->head, &target, NULL).before;
    CELLAR_ASSERT(found != NULL);
    return found == memtable->head ? NULL : found;
}

/* The greatest LSN sorts first, so the first entry of the key is the newest. */
const struct store_entry *store_memtable_token(const struct store_memtable *memtable,
                                               struct cellar_slice key)
{
    const struct target target = target_make(key, UINT64_MAX);
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
