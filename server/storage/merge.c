/*
 * Merging one row.
 *
 * Sources: each memtable's entries of the row, in position order and newest first; the base's
 * cells, in position order. Each step takes the smallest position of all sources; at one position
 * the memtable entry with the greatest visible LSN wins and the others are stepped over, the base's
 * cell with them.
 *
 * Tombstones sort before what they cover, so they are met first: the row's at the row's key, a
 * family's before its cells, a column's before its versions. What they say is kept until the
 * position leaves their scope: `family` and `column` are the position parts they speak of. A
 * tombstone of LSN T hides entries of LSN < T and every base cell in its scope. The sets of the
 * same record have LSN T and stay. A range drop is a tombstone of each of its rows, looked up when
 * the row begins.
 *
 * One thread; owns only the two growing buffers.
 */
#include "server/storage/merge.h"

#include "common/mem.h"

#define STEPS_MAX 4u
#define FAMILY_TAIL_BYTES 5u   /* 00 and the generation */
#define QUALIFIER_END_BYTES 2u /* 00 01 */
#define TIMESTAMP_BYTES 8u

void store_merge_init(struct store_merge *merge, const struct store_memtable *const *memtables,
                      size_t memtable_count, uint64_t lsn_max)
{
    merge->column_deletes = NULL;
    merge->column_delete_capacity = 0;
    merge->base_position = (struct cellar_buffer){0};
    store_merge_move(merge, memtables, memtable_count, lsn_max);
}

void store_merge_move(struct store_merge *merge, const struct store_memtable *const *memtables,
                      size_t memtable_count, uint64_t lsn_max)
{
    CELLAR_ASSERT(memtable_count <= STORE_MEMTABLE_COUNT_MAX);
    merge->row_key = cellar_slice_make(NULL, 0);
    merge->limit = cellar_slice_make(NULL, 0);
    merge->row_lsn = 0;
    merge->family_lsn = 0;
    merge->family = cellar_slice_make(NULL, 0);
    merge->column = cellar_slice_make(NULL, 0);
    merge->column_delete_count = 0;
    merge->base_next = NULL;
    merge->base_context = NULL;
    merge->base_is_open = false;
    merge->base_has_cell = false;
    for (size_t i = 0; i < memtable_count; i++) {
        merge->memtables[i] = memtables[i];
    }
    merge->memtable_count = memtable_count;
    merge->lsn_max = lsn_max;
}

void store_merge_fini(struct store_merge *merge)
{
    cellar_mem_free(merge->column_deletes);
    merge->column_deletes = NULL;
    merge->column_delete_capacity = 0;
    cellar_buffer_fini(&merge->base_position);
    CELLAR_ASSERT(merge->base_position.data == NULL);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* The entry itself when it is of the row and visible, else the next one that is. */
static const struct store_entry *entry_visible(const struct store_merge *merge,
                                               const struct store_entry *entry)
{
    while (entry != NULL) {
        if (!cellar_slice_equal(store_entry_row(entry), merge->row_key)) {
            return NULL;
        }
        if (entry->lsn <= merge->lsn_max) {
            return entry;
        }
        entry = store_entry_next(entry);
    }
    CELLAR_ASSERT(merge->row_key.bytes > 0);
    return NULL;
}

static void entry_step(struct store_merge *merge, size_t table)
{
    CELLAR_ASSERT(merge->at[table] != NULL);
    merge->at[table] = entry_visible(merge, store_entry_next(merge->at[table]));
}

/* The position behind the row's part. */
static struct cellar_slice entry_position(const struct store_entry *entry)
{
    struct cellar_slice key = store_entry_key(entry);
    CELLAR_ASSERT(key.bytes >= entry->row_key_bytes);
    return cellar_slice_make(key.data + entry->row_key_bytes, key.bytes - entry->row_key_bytes);
}

/* The memtable whose next entry comes first: smallest key, then greatest LSN. @return
 * memtable_count when there is none */
static size_t table_first(const struct store_merge *merge)
{
    size_t first = merge->memtable_count;
    for (size_t i = 0; i < merge->memtable_count; i++) {
        if (merge->at[i] == NULL) {
            continue;
        }
        if (first == merge->memtable_count) {
            first = i;
            continue;
        }
        int order =
            cellar_slice_compare(store_entry_key(merge->at[i]), store_entry_key(merge->at[first]));
        if (order < 0 || (order == 0 && merge->at[i]->lsn > merge->at[first]->lsn)) {
            first = i;
        }
    }
    CELLAR_ASSERT(first <= merge->memtable_count);
    return first;
}

const struct store_entry *store_merge_peek(const struct store_merge *merge)
{
    size_t first = table_first(merge);
    CELLAR_ASSERT(first <= STORE_MEMTABLE_COUNT_MAX);
    return first == merge->memtable_count ? NULL : merge->at[first];
}

/* ---- tombstones ------------------------------------------------------------------------------ */

static enum cellar_status column_delete_add(struct store_merge *merge,
                                            const struct store_entry *entry)
{
    struct cellar_slice column = entry_position(entry);
    if (!cellar_slice_equal(merge->column, column)) {
        merge->column = column;
        merge->column_delete_count = 0;
    }
    if (merge->column_delete_count == merge->column_delete_capacity) {
        size_t capacity =
            merge->column_delete_capacity == 0 ? 8 : merge->column_delete_capacity * 2;
        void *grown =
            cellar_mem_realloc(merge->column_deletes, capacity * sizeof *merge->column_deletes);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        merge->column_deletes = grown;
        merge->column_delete_capacity = capacity;
    }
    CELLAR_ASSERT(entry->type == STORE_ITEM_DELETE_COLUMN);
    merge->column_deletes[merge->column_delete_count++] =
        (struct store_column_delete){entry->start_us, entry->end_us, entry->lsn};
    return CELLAR_OK;
}

static enum cellar_status tombstone_note(struct store_merge *merge, const struct store_entry *entry)
{
    CELLAR_ASSERT(entry->lsn > 0);
    if (entry->type == STORE_ITEM_DELETE_ROW) {
        merge->row_lsn = CELLAR_MAX(merge->row_lsn, entry->lsn);
        return CELLAR_OK;
    }
    if (entry->type == STORE_ITEM_DELETE_COLUMN) {
        return column_delete_add(merge, entry);
    }
    struct cellar_slice family = entry_position(entry);
    if (!cellar_slice_equal(merge->family, family)) {
        merge->family = family;
        merge->family_lsn = 0;
    }
    merge->family_lsn = CELLAR_MAX(merge->family_lsn, entry->lsn);
    return CELLAR_OK;
}

/* Whether a tombstone hides what stands at a position with that LSN (0: the base). */
static bool is_hidden(const struct store_merge *merge, struct cellar_slice position,
                      int64_t timestamp_us, uint64_t lsn)
{
    CELLAR_ASSERT(position.bytes > 8);
    if (lsn < merge->row_lsn) {
        return true;
    }
    if (lsn < merge->family_lsn && cellar_slice_has_prefix(position, merge->family)) {
        return true;
    }
    if (merge->column_delete_count == 0 || position.bytes != merge->column.bytes + 8 ||
        !cellar_slice_has_prefix(position, merge->column)) {
        return false;
    }
    for (size_t i = 0; i < merge->column_delete_count; i++) {
        const struct store_column_delete *delete = &merge->column_deletes[i];
        if (lsn < delete->lsn && timestamp_us >= delete->start_us &&
            (delete->end_us == 0 || timestamp_us < delete->end_us)) {
            return true;
        }
    }
    return false;
}

/* Whether `key` lies under or before the position part `scope` of this row. */
static bool key_is_within(const struct store_merge *merge, struct cellar_slice key,
                          struct cellar_slice scope)
{
    CELLAR_ASSERT(cellar_slice_has_prefix(key, merge->row_key));
    struct cellar_slice position =
        cellar_slice_make(key.data + merge->row_key.bytes, key.bytes - merge->row_key.bytes);
    position.bytes = CELLAR_MIN(position.bytes, scope.bytes);
    return cellar_slice_compare(position, scope) <= 0;
}

bool store_merge_covers(const struct store_merge *merge, struct cellar_slice key)
{
    CELLAR_ASSERT(merge->row_key.bytes > 0);
    return merge->row_lsn > 0 ||
           (merge->family_lsn > 0 && key_is_within(merge, key, merge->family)) ||
           (merge->column_delete_count > 0 && key_is_within(merge, key, merge->column));
}

/* ---- base ------------------------------------------------------------------------------------ */

/* Loads the base's next cell and its position, if it has none loaded. */
static enum cellar_status base_load(struct store_merge *merge)
{
    while (!merge->base_has_cell && merge->base_next != NULL) {
        struct cellar_slice packed;
        bool has_more = false;
        if (merge->base_is_open) {
            if (cellar_cells_next(&merge->base)) {
                merge->base_has_cell = true;
                break;
            }
            if (!cellar_cells_is_done(&merge->base)) {
                return CELLAR_DATA_LOSS;
            }
            merge->base_is_open = false;
        }
        CELLAR_TRY(merge->base_next(merge->base_context, &packed, &has_more));
        if (!has_more) {
            merge->base_next = NULL;
            return CELLAR_OK;
        }
        if (!cellar_cells_open(&merge->base, packed)) {
            return CELLAR_DATA_LOSS;
        }
        merge->base_is_open = true;
    }
    if (!merge->base_has_cell) {
        return CELLAR_OK;
    }
    struct store_cell cell = {.cell = merge->base.cell, .generation = merge->base.generation};
    cellar_buffer_clear(&merge->base_position);
    CELLAR_TRY(cellar_buffer_reserve(&merge->base_position,
                                     cell.cell.family.bytes + 2 * cell.cell.qualifier.bytes + 16));
    merge->base_position.bytes = store_cell_position(&cell, merge->base_position.data);
    CELLAR_ASSERT(merge->base_position.bytes <= merge->base_position.capacity);
    return CELLAR_OK;
}

/* ---- the merge ------------------------------------------------------------------------------- */

bool store_merge_row(struct store_merge *merge, struct cellar_slice row_key,
                     const struct store_entry *const *first, store_merge_base_fn *base_next,
                     void *base_context)
{
    bool has_entries = false;
    uint64_t drop_lsn = 0;
    CELLAR_ASSERT(row_key.bytes >= 3);
    merge->row_key = row_key;
    merge->limit = cellar_slice_make(NULL, 0);
    merge->row_lsn = 0;
    merge->family_lsn = 0;
    merge->family = cellar_slice_make(NULL, 0);
    merge->column = cellar_slice_make(NULL, 0);
    merge->column_delete_count = 0;
    merge->base_next = base_next;
    merge->base_context = base_context;
    merge->base_is_open = false;
    merge->base_has_cell = false;
    for (size_t i = 0; i < merge->memtable_count; i++) {
        merge->at[i] = entry_visible(
            merge, first != NULL ? first[i] : store_memtable_seek(merge->memtables[i], row_key));
        has_entries = has_entries || merge->at[i] != NULL;
        drop_lsn = store_memtable_drop_lsn(merge->memtables[i], row_key, merge->lsn_max);
        merge->row_lsn = CELLAR_MAX(merge->row_lsn, drop_lsn);
    }
    return has_entries;
}

void store_merge_base_hide(struct store_merge *merge)
{
    CELLAR_ASSERT(merge->row_key.bytes > 0);
    merge->row_lsn = CELLAR_MAX(merge->row_lsn, UINT64_C(1));
}

void store_merge_base_set(struct store_merge *merge, store_merge_base_fn *base_next,
                          void *base_context, struct cellar_slice limit)
{
    CELLAR_ASSERT(merge->row_key.bytes > 0);
    merge->base_next = base_next;
    merge->base_context = base_context;
    merge->base_is_open = false;
    merge->base_has_cell = false;
    merge->limit = limit;
}

/* Moves one memtable over the entries at a key: by steps while they are few, else by a seek, since
 * a hot cell may have thousands. */
static void table_leave(struct store_merge *merge, size_t table, struct cellar_slice key)
{
    CELLAR_ASSERT(key.bytes > 0);
    for (unsigned steps = 0;
         merge->at[table] != NULL && cellar_slice_equal(store_entry_key(merge->at[table]), key);
         steps++) {
        if (steps == STEPS_MAX) {
            merge->at[table] =
                entry_visible(merge, store_memtable_seek_behind(merge->memtables[table], key));
            return;
        }
        entry_step(merge, table);
    }
}

/* Steps every memtable over the entries at the key of `entry`: the winner has been taken. */
static void position_leave(struct store_merge *merge, const struct store_entry *entry)
{
    struct cellar_slice key = store_entry_key(entry);
    CELLAR_ASSERT(key.bytes > 0);
    for (size_t i = 0; i < merge->memtable_count; i++) {
        if (merge->at[i] == entry) {
            entry_step(merge, i);
        }
        table_leave(merge, i, key);
    }
}

static bool entry_is_cell(const struct store_entry *entry)
{
    CELLAR_ASSERT(entry->type != STORE_ITEM_TOKEN);
    return entry->type == STORE_ITEM_SET || entry->type == STORE_ITEM_SET_BLOB;
}

/*
 * Fills `cell` from an entry, whose key is
 *
 *     row's part | family, 00, generation | qualifier, escaped, 00 01 | ~timestamp
 *
 * A qualifier without zeros stands in the key as it is; another one is taken from the record, which
 * holds the plain bytes right before the value.
 */
static void entry_cell(const struct store_entry *entry, struct store_cell *cell)
{
    struct cellar_slice position = entry_position(entry);
    const uint8_t *behind = position.data + entry->family_bytes + FAMILY_TAIL_BYTES;
    size_t escaped_bytes = position.bytes - entry->family_bytes - FAMILY_TAIL_BYTES -
                           QUALIFIER_END_BYTES - TIMESTAMP_BYTES;
    size_t plain_bytes = entry->qualifier_bytes;
    CELLAR_ASSERT(entry_is_cell(entry) && escaped_bytes >= plain_bytes);
    cell->cell.family = cellar_slice_make(position.data, entry->family_bytes);
    cell->generation = cellar_get_u32be(position.data + entry->family_bytes + 1);
    cell->cell.qualifier = cellar_slice_make(
        escaped_bytes == plain_bytes ? behind : entry->value - plain_bytes, plain_bytes);
    cell->cell.timestamp_us = entry->start_us;
    cell->cell.value = store_entry_value(entry);
    cell->is_blob = entry->type == STORE_ITEM_SET_BLOB;
}

static bool base_comes_first(const struct store_merge *merge, const struct store_entry *entry,
                             bool *is_same)
{
    *is_same = false;
    if (!merge->base_has_cell) {
        return false;
    }
    if (entry == NULL) {
        return true;
    }
    int order = cellar_slice_compare(cellar_slice_of(&merge->base_position), entry_position(entry));
    CELLAR_ASSERT(merge->base_position.bytes > 0);
    *is_same = order == 0;
    return order < 0;
}

/* Takes the entry that comes first. @param taken receives whether `cell` was filled */
static enum cellar_status entry_take(struct store_merge *merge, const struct store_entry *entry,
                                     struct store_cell *cell, bool *taken)
{
    *taken = false;
    CELLAR_ASSERT(entry->lsn <= merge->lsn_max);
    if (!entry_is_cell(entry)) {
        enum cellar_status status = tombstone_note(merge, entry);
        entry_step(merge, table_first(merge));
        return status;
    }
    entry_cell(entry, cell);
    *taken = !is_hidden(merge, entry_position(entry), cell->cell.timestamp_us, entry->lsn);
    position_leave(merge, entry);
    return CELLAR_OK;
}

enum cellar_status store_merge_next(struct store_merge *merge, struct store_cell *cell,
                                    bool *has_cell)
{
    *has_cell = false;
    CELLAR_ASSERT(merge->row_key.bytes > 0);
    for (;;) {
        bool is_same = false;
        CELLAR_TRY(base_load(merge));
        const struct store_entry *entry = store_merge_peek(merge);
        if (entry != NULL && merge->limit.bytes > 0 &&
            cellar_slice_compare(store_entry_key(entry), merge->limit) >= 0) {
            entry = NULL;
        }
        if (entry == NULL && !merge->base_has_cell) {
            return CELLAR_OK;
        }
        if (base_comes_first(merge, entry, &is_same)) {
            merge->base_has_cell = false;
            if (!is_hidden(merge, cellar_slice_of(&merge->base_position),
                           merge->base.cell.timestamp_us, 0)) {
                cell->cell = merge->base.cell;
                cell->generation = merge->base.generation;
                cell->is_blob = merge->base.is_blob;
                *has_cell = true;
                return CELLAR_OK;
            }
            continue;
        }
        if (is_same) {
            merge->base_has_cell = false; /* a newer write stands at its position */
        }
        CELLAR_TRY(entry_take(merge, entry, cell, has_cell));
        if (*has_cell) {
            return CELLAR_OK;
        }
    }
}

/* Moves one memtable to the first entry at or behind `key`, taking note of the tombstones at
 * `family_key` on the way. */
static enum cellar_status table_skip(struct store_merge *merge, size_t table,
                                     struct cellar_slice family_key, struct cellar_slice key)
{
    if (merge->at[table] == NULL ||
        cellar_slice_compare(store_entry_key(merge->at[table]), key) >= 0) {
        return CELLAR_OK;
    }
    const struct store_memtable *memtable = merge->memtables[table];
    const struct store_entry *entry =
        entry_visible(merge, store_memtable_seek(memtable, family_key));
    while (entry != NULL && cellar_slice_equal(store_entry_key(entry), family_key)) {
        CELLAR_TRY(tombstone_note(merge, entry));
        entry = entry_visible(merge, store_entry_next(entry));
    }
    CELLAR_ASSERT(cellar_slice_has_prefix(key, family_key));
    merge->at[table] = entry_visible(merge, store_memtable_seek(memtable, key));
    return CELLAR_OK;
}

/* Tombstones of the whole row stand at its first position, which a skip must not pass over. */
static enum cellar_status row_tombstones_note(struct store_merge *merge)
{
    for (size_t i = 0; i < merge->memtable_count; i++) {
        while (merge->at[i] != NULL && merge->at[i]->type == STORE_ITEM_DELETE_ROW) {
            CELLAR_TRY(tombstone_note(merge, merge->at[i]));
            entry_step(merge, i);
        }
    }
    CELLAR_ASSERT(merge->memtable_count <= STORE_MEMTABLE_COUNT_MAX);
    return CELLAR_OK;
}

enum cellar_status store_merge_skip(struct store_merge *merge, struct cellar_slice family,
                                    uint32_t generation, const struct cellar_slice *qualifier,
                                    store_merge_base_fn *base_next, void *base_context)
{
    struct cellar_buffer key = {0};
    size_t qualifier_bytes = qualifier == NULL ? 0 : 2 * qualifier->bytes + 2;
    CELLAR_TRY(row_tombstones_note(merge));
    CELLAR_TRY(cellar_buffer_reserve(&key, merge->row_key.bytes + CELLAR_KEY_FAMILY_BYTES_MAX +
                                               qualifier_bytes));
    memcpy(key.data, merge->row_key.data, merge->row_key.bytes);
    uint8_t *position = key.data + merge->row_key.bytes;
    size_t family_bytes = store_column_position(family, generation, NULL, position);
    size_t position_bytes = store_column_position(family, generation, qualifier, position);
    key.bytes = merge->row_key.bytes + position_bytes;
    enum cellar_status status = CELLAR_OK;
    for (size_t i = 0; i < merge->memtable_count && status == CELLAR_OK; i++) {
        status =
            table_skip(merge, i, cellar_slice_make(key.data, merge->row_key.bytes + family_bytes),
                       cellar_slice_of(&key));
    }
    store_merge_base_set(merge, base_next, base_context, merge->limit);
    if (status == CELLAR_OK) {
        status = base_load(merge);
    }
    struct cellar_slice target = cellar_slice_make(position, position_bytes);
    while (status == CELLAR_OK && merge->base_has_cell &&
           cellar_slice_compare(cellar_slice_of(&merge->base_position), target) < 0) {
        merge->base_has_cell = false;
        status = base_load(merge);
    }
    cellar_buffer_fini(&key);
    return status;
}
