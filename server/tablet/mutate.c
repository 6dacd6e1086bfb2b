/*
 * Checking and normalising one row's mutations.
 *
 * Items of a list act one after the other, but a record's tombstones all act before its sets. So a
 * set that a later item of the list deletes or replaces is left out, and so is a tombstone below a
 * later one of its family or row. To find out, the items are sorted by position with the later one
 * first: a row's tombstones, then each family's, each column's, then the column's sets by time. One
 * pass over them keeps, for the current row, family and column, how late the last tombstone was.
 *
 * The sort key is (row tombstones, family, qualifier, column tombstones, timestamp descending,
 * later first); the index in the list, kept in each item, is what "later" means.
 */
#include "server/tablet/mutate.h"

#include <stdlib.h>

#define LIST_PREFIX "Error in field 'Mutation list' : Error in element #%u : "

/* An item with its place in the list; `is_out` when a later one made it void. */
struct ranked_item {
    struct store_item item;
    uint32_t index;
    bool is_out;
};

/* ---- checking -------------------------------------------------------------------------------- */

/* The server's own time is cut to the table's granularity where it is filled in, so it passes here.
 */
static enum cellar_status granularity_check(const struct tablet_schema *schema, int64_t time_us,
                                            uint32_t index, struct cellar_error *error)
{
    CELLAR_ASSERT(time_us >= CELLAR_TIMESTAMP_SERVER);
    if (schema->granularity == CELLAR_GRANULARITY_MICROS || time_us == CELLAR_TIMESTAMP_SERVER ||
        time_us % 1000 == 0) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            LIST_PREFIX "Timestamp granularity mismatch. Expected a multiple of "
                                        "1000 (millisecond granularity), but got %lld",
                            index, (long long)time_us);
}

/* The ends of a range are held to it too: a range that begins between two milliseconds would read
 * as if it meant something. */
static enum cellar_status times_check(const struct tablet_schema *schema,
                                      const struct cellar_mutation *mutation, uint32_t index,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(mutation->kind <= CELLAR_MUTATION_DELETE_ROW);
    if (mutation->kind == CELLAR_MUTATION_SET) {
        return granularity_check(schema, mutation->timestamp_us, index, error);
    }
    if (mutation->kind == CELLAR_MUTATION_DELETE_COLUMN) {
        CELLAR_TRY(granularity_check(schema, mutation->start_us, index, error));
        return granularity_check(schema, mutation->end_us, index, error);
    }
    return CELLAR_OK;
}

static enum store_item_type item_type(enum cellar_mutation_kind kind)
{
    static const enum store_item_type types[] = {
        [CELLAR_MUTATION_SET] = STORE_ITEM_SET,
        [CELLAR_MUTATION_DELETE_COLUMN] = STORE_ITEM_DELETE_COLUMN,
        [CELLAR_MUTATION_DELETE_FAMILY] = STORE_ITEM_DELETE_FAMILY,
        [CELLAR_MUTATION_DELETE_ROW] = STORE_ITEM_DELETE_ROW,
    };
    CELLAR_ASSERT((size_t)kind < CELLAR_ARRAY_COUNT(types));
    return types[kind];
}

/* Fills one item from a checked mutation; an unknown family is noted once. A family that is not
 * there refuses one entry of a batch, a malformed one the whole request: the two must not be mixed,
 * so the first is only noted. */
static void item_fill(const struct tablet_schema *schema, const struct cellar_mutation *mutation,
                      uint32_t index, struct tablet_items *items)
{
    struct store_item *item = &items->items[index];
    *item = (struct store_item){.type = item_type(mutation->kind), .value = mutation->value};
    CELLAR_ASSERT(index < items->count);
    if (mutation->kind == CELLAR_MUTATION_DELETE_ROW) {
        return;
    }
    const struct tablet_family *family = tablet_schema_family(schema, mutation->family);
    if (family == NULL) {
        if (items->family_status == CELLAR_OK) {
            items->family_status = CELLAR_NOT_FOUND;
            items->family_index = index;
        }
        return;
    }
    item->family = family->name;
    item->generation = family->generation;
    item->qualifier = mutation->qualifier;
    if (mutation->kind == CELLAR_MUTATION_SET) {
        item->start_us = mutation->timestamp_us;
        items->has_sets = true;
        items->needs_time = items->needs_time || mutation->timestamp_us == CELLAR_TIMESTAMP_SERVER;
        items->value_bytes_max = CELLAR_MAX(items->value_bytes_max, mutation->value.bytes);
    } else if (mutation->kind == CELLAR_MUTATION_DELETE_COLUMN) {
        item->start_us = mutation->start_us;
        item->end_us = mutation->end_us;
    }
}

/* Everything is looked at before anything is applied. Slices go on lying in the request;
 * tablet_items_encode() copies them. */
enum cellar_status tablet_items_check(const struct tablet_schema *schema, struct cellar_slice list,
                                      struct cellar_arena *arena, struct tablet_items *items,
                                      struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(list);
    memset(items, 0, sizeof *items);
    CELLAR_TRY(cellar_mutation_list_decode(&from, &items->count, error));
    items->items = cellar_arena_alloc(arena, items->count * sizeof *items->items);
    if (items->items == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %u mutations",
                                items->count);
    }
    for (uint32_t i = 0; i < items->count; i++) {
        struct cellar_mutation mutation;
        CELLAR_TRY(cellar_mutation_decode(&from, i, &mutation, error));
        CELLAR_TRY(times_check(schema, &mutation, i, error));
        item_fill(schema, &mutation, i, items);
    }
    CELLAR_ASSERT(items->count > 0);
    return CELLAR_OK;
}

enum cellar_status tablet_items_family_error(const struct tablet_items *items,
                                             struct cellar_error *error)
{
    if (items->family_status == CELLAR_OK) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(items->family_index < items->count);
    return cellar_error_set(error, items->family_status,
                            LIST_PREFIX "Requested column family not found", items->family_index);
}

/* ---- normalising ----------------------------------------------------------------------------- */

static int number_order(int64_t a, int64_t b)
{
    return a < b ? -1 : (a > b ? 1 : 0);
}

/* Where an item sorts within its column: column tombstones before sets. The deeper an item, the
 * smaller what it speaks of. */
static int item_depth(const struct store_item *item)
{
    static const int depths[] = {
        [STORE_ITEM_DELETE_ROW] = 0,
        [STORE_ITEM_DELETE_FAMILY] = 1,
        [STORE_ITEM_DELETE_COLUMN] = 2,
        [STORE_ITEM_SET] = 3,
    };
    CELLAR_ASSERT((size_t)item->type < CELLAR_ARRAY_COUNT(depths));
    return depths[item->type];
}

/* Tombstones of a scope sort before everything in it; later ones first. A family's tombstone sorts
 * before its columns without having a qualifier: depths are compared first where one of the two is
 * of depth 1. The last comparison makes the order total, so that qsort(3), which is not stable,
 * gives one result. */
static int ranked_order(const void *a, const void *b)
{
    const struct ranked_item *left = a;
    const struct ranked_item *right = b;
    int left_depth = item_depth(&left->item);
    int right_depth = item_depth(&right->item);
    int order = 0;
    if (left_depth == 0 || right_depth == 0) {
        order = number_order(left_depth, right_depth);
    } else {
        order = cellar_slice_compare(left->item.family, right->item.family);
        if (order == 0 && (left_depth == 1 || right_depth == 1)) {
            order = number_order(left_depth, right_depth);
        } else if (order == 0) {
            order = cellar_slice_compare(left->item.qualifier, right->item.qualifier);
            order = order != 0 ? order : number_order(left_depth, right_depth);
            if (order == 0 && left_depth == 3) {
                order = number_order(right->item.start_us, left->item.start_us);
            }
        }
    }
    CELLAR_ASSERT(left == right || left->index != right->index);
    return order != 0 ? order : number_order(right->index, left->index);
}

/* How late the newest tombstone over the current scope was: index + 1, 0 for none. */
struct scope {
    uint32_t row_end;
    uint32_t family_end;
    const struct ranked_item *family; /* any item of the current family */
    const struct ranked_item *column; /* any item of the current column */
    const struct ranked_item *set;    /* the set before, in the current column */
};

/* Scopes end by a change of name: the items are sorted, so a name does not come again. */
static void scope_enter(struct scope *scope, const struct ranked_item *ranked)
{
    CELLAR_ASSERT(ranked->item.type != STORE_ITEM_DELETE_ROW);
    if (scope->family == NULL ||
        !cellar_slice_equal(scope->family->item.family, ranked->item.family)) {
        scope->family = ranked;
        scope->family_end = 0;
        scope->column = NULL;
    }
    if (ranked->item.type == STORE_ITEM_DELETE_FAMILY) {
        return;
    }
    if (scope->column == NULL ||
        !cellar_slice_equal(scope->column->item.qualifier, ranked->item.qualifier)) {
        scope->column = ranked;
        scope->set = NULL;
    }
}

/* Marks what a later item makes void, in sorted order. Of two sets of one cell the later came first
 * in the sort, so the second one met is the one that is replaced. */
static void item_judge(struct scope *scope, struct ranked_item *ranked)
{
    if (ranked->item.type == STORE_ITEM_DELETE_ROW) {
        ranked->is_out = scope->row_end > 0;
        scope->row_end = CELLAR_MAX(scope->row_end, ranked->index + 1);
        return;
    }
    scope_enter(scope, ranked);
    bool is_covered = ranked->index < scope->row_end || ranked->index < scope->family_end;
    CELLAR_ASSERT(scope->family != NULL);
    if (ranked->item.type == STORE_ITEM_DELETE_FAMILY) {
        ranked->is_out = is_covered;
        scope->family_end = CELLAR_MAX(scope->family_end, ranked->index + 1);
        return;
    }
    if (ranked->item.type == STORE_ITEM_DELETE_COLUMN) {
        ranked->is_out = is_covered;
        return;
    }
    /* A later set of the same cell came first. */
    bool is_replaced = scope->set != NULL && scope->set->item.start_us == ranked->item.start_us;
    ranked->is_out = is_covered || is_replaced;
    scope->set = ranked;
}

/* The first position at or behind `at` that no delete has covered yet. Union and find with
 * shortened paths: each set is stepped over once, however many deletes cover it. Fifty thousand
 * deletes over as many sets, which a list may hold, would else be thousands of millions of steps.
 */
static uint32_t uncovered_find(uint32_t *next, uint32_t at)
{
    uint32_t found = at;
    while (next[found] != found) {
        found = next[found];
    }
    while (next[at] != found) {
        uint32_t step = next[at];
        next[at] = found;
        at = step;
    }
    CELLAR_ASSERT(next[found] == found);
    return found;
}

/* The number of sets, by descending timestamp, whose timestamp is at or above `time_us`. */
static uint32_t sets_from(const struct ranked_item *sets, uint32_t count, int64_t time_us)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sets[middle].item.start_us >= time_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CELLAR_ASSERT(low <= count);
    return low;
}

/* Marks the sets of one column that a later delete of the column covers. The deletes come later
 * first, so the first to cover a set is the latest that does; covered sets are stepped over from
 * then on. A set that is later than the delete stays, but is stepped over too: all deletes that
 * follow are earlier still. */
static void column_judge(const struct ranked_item *deletes, uint32_t delete_count,
                         struct ranked_item *sets, uint32_t set_count, uint32_t *next)
{
    CELLAR_ASSERT(delete_count > 0 && set_count > 0);
    for (uint32_t i = 0; i <= set_count; i++) {
        next[i] = i;
    }
    for (uint32_t i = 0; i < delete_count; i++) {
        const struct store_item *range = &deletes[i].item;
        uint32_t end = sets_from(sets, set_count, range->start_us);
        uint32_t at = range->end_us == 0 ? 0 : sets_from(sets, set_count, range->end_us);
        for (at = uncovered_find(next, at); at < end; at = uncovered_find(next, at)) {
            sets[at].is_out = sets[at].is_out || sets[at].index < deletes[i].index;
            next[at] = at + 1;
        }
    }
}

static bool columns_equal(const struct ranked_item *a, const struct ranked_item *b)
{
    CELLAR_ASSERT(a != NULL && b != NULL);
    return item_depth(&b->item) >= 2 && cellar_slice_equal(a->item.qualifier, b->item.qualifier) &&
           cellar_slice_equal(a->item.family, b->item.family);
}

/* Judges every column that has both deletes and sets, which stand side by side in sorted order.
 * Deletes without sets need no judging: two tombstones over one another do no harm. */
static void columns_judge(struct ranked_item *ranked, uint32_t count, uint32_t *next)
{
    uint32_t first = 0;
    while (first < count) {
        if (ranked[first].item.type != STORE_ITEM_DELETE_COLUMN) {
            first++;
            continue;
        }
        uint32_t sets = first;
        while (sets < count && ranked[sets].item.type == STORE_ITEM_DELETE_COLUMN &&
               columns_equal(&ranked[first], &ranked[sets])) {
            sets++;
        }
        uint32_t end = sets;
        while (end < count && columns_equal(&ranked[first], &ranked[end])) {
            end++;
        }
        if (end > sets) {
            column_judge(&ranked[first], sets - first, &ranked[sets], end - sets, next);
        }
        CELLAR_ASSERT(end > first);
        first = end;
    }
}

/* Sorts and judges; the kept items return to `items`, tombstones first. Something is always kept:
 * of all items the last one in the list is void to nobody. */
static void items_normalise(struct tablet_items *items, struct ranked_item *ranked, uint32_t *next)
{
    struct scope scope = {0};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < items->count; i++) {
        ranked[i] = (struct ranked_item){.item = items->items[i], .index = i};
    }
    qsort(ranked, items->count, sizeof ranked[0], ranked_order);
    for (uint32_t i = 0; i < items->count; i++) {
        item_judge(&scope, &ranked[i]);
    }
    columns_judge(ranked, items->count, next);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < items->count; i++) {
            bool is_set = ranked[i].item.type == STORE_ITEM_SET;
            if (!ranked[i].is_out && is_set == (pass == 1)) {
                items->items[kept++] = ranked[i].item;
            }
        }
    }
    CELLAR_ASSERT(kept > 0 && kept <= items->count);
    items->count = kept;
}

/* One item is in order already, which is most writes, and costs nothing here. */
static enum cellar_status items_sort(struct tablet_items *items, struct cellar_error *error)
{
    if (items->count == 1) {
        return CELLAR_OK;
    }
    struct ranked_item *ranked = cellar_mem_alloc(items->count * sizeof *ranked);
    uint32_t *next = cellar_mem_alloc((items->count + 1) * sizeof *next);
    enum cellar_status status = ranked == NULL || next == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    if (status == CELLAR_OK) {
        items_normalise(items, ranked, next);
    } else {
        (void)cellar_error_set(error, status, "no memory for %u mutations", items->count);
    }
    CELLAR_ASSERT(items->count >= 1);
    cellar_mem_free(next);
    cellar_mem_free(ranked);
    return status;
}

/* The item of a record's token. Its outcome is empty: what was applied was a plain mutation. */
static struct store_item token_item(const struct tablet_record_facts *facts)
{
    CELLAR_ASSERT(facts->token.bytes == 0 || facts->token_expiry_us > 0);
    return (struct store_item){
        .type = STORE_ITEM_TOKEN, .qualifier = facts->token, .start_us = facts->token_expiry_us};
}

enum cellar_status tablet_items_settle(const struct tablet_schema *schema,
                                       struct tablet_items *items, int64_t server_time_us,
                                       struct cellar_error *error)
{
    int64_t time_us = tablet_schema_time(schema, server_time_us);
    CELLAR_ASSERT(items->family_status == CELLAR_OK);
    for (uint32_t i = 0; items->needs_time && i < items->count; i++) {
        if (items->items[i].type == STORE_ITEM_SET &&
            items->items[i].start_us == CELLAR_TIMESTAMP_SERVER) {
            items->items[i].start_us = time_us;
        }
    }
    return items_sort(items, error);
}

enum cellar_status tablet_items_encode(const struct tablet_schema *schema,
                                       const struct tablet_items *items,
                                       const struct tablet_record_facts *facts,
                                       struct cellar_buffer *to)
{
    struct store_mutation mutation = {
        .row = facts->row,
        .schema_version = schema->version,
        .item_count = items->count + (facts->token.bytes > 0 ? 1 : 0),
        .server_time_us = items->needs_time ? tablet_schema_time(schema, facts->server_time_us) : 0,
    };
    CELLAR_ASSERT(items->count > 0);
    CELLAR_TRY(store_mutation_encode(to, &mutation));
    for (uint32_t i = 0; i < items->count; i++) {
        CELLAR_TRY(store_item_encode(to, &items->items[i]));
    }
    const struct store_item token = token_item(facts);
    return facts->token.bytes > 0 ? store_item_encode(to, &token) : CELLAR_OK;
}
