/*
 * Tables in memory and their catalog values.
 *
 * A catalog value is a MessagePack map, field number -> value:
 *
 *     1 schema version   2 granularity   3 families [[name, generation, rule, value type], ...]   4
 * tablets [[start, store], ...] 5 deletion protection   6 the counter of drops and schema changes
 * (5 to 7 are reserved)   8 whether a family that was made with the table has been dropped
 *
 * The tablets' ends follow from the next one's start. Values of fields that are not known are
 * stepped over, since a field is only added where an older server may ignore it; anything else
 * raises the data directory's version.
 */
#include "server/tablet/table.h"

#include "common/clock.h"
#include "server/tablet/gc.h"

enum field {
    FIELD_VERSION = 1,
    FIELD_GRANULARITY = 2,
    FIELD_FAMILIES = 3,
    FIELD_TABLETS = 4,
    FIELD_HAS_DROPPED = 8
};

/* What the table's stores need not keep, by the schema that is durable. What rules it has were
 * acknowledged, or are about to be, so what they hide may go; and the families of all cells that
 * storage asks about were made by records before theirs, so a family that it lacks is gone. */
static void source_open(const struct store_filter_source *source, uint64_t durable_lsn,
                        struct store_filter *filter)
{
    const struct tablet_table *table = source->context;
    CELLAR_ASSERT(filter->source == NULL);
    filter->source = source;
    tablet_gc_filter_init(filter, tablet_table_schema_at(table, durable_lsn),
                          cellar_clock_real_us());
}

struct tablet_table *tablet_table_new(void)
{
    struct tablet_table *table = cellar_mem_zalloc(1, sizeof *table);
    if (table != NULL) {
        atomic_store(&table->references, 1);
        table->gc = (struct store_filter_source){.context = table,
                                                 .open = source_open,
                                                 .hides = tablet_gc_hides,
                                                 .may_hide = tablet_gc_may_hide};
    }
    CELLAR_ASSERT(table == NULL || table->users == 0);
    return table;
}

void tablet_table_ref(struct tablet_table *table)
{
    uint32_t before = atomic_fetch_add(&table->references, 1);
    CELLAR_ASSERT(before > 0);
}

void tablet_table_unref(struct tablet_table *table)
{
    if (table == NULL || atomic_fetch_sub(&table->references, 1) > 1) {
        return;
    }
    CELLAR_ASSERT(atomic_load(&table->users) == 0);
    while (table->schemas_changed != NULL) {
        struct tablet_schema *before = table->schemas_changed->before;
        tablet_schema_free(table->schemas_changed);
        table->schemas_changed = before;
    }
    cellar_arena_fini(&table->arena);
    cellar_mem_free(table);
}

bool tablet_table_enter(struct tablet_table *table)
{
    atomic_fetch_add(&table->users, 1);
    if (atomic_load(&table->is_dropped)) {
        tablet_table_leave(table);
        return false;
    }
    CELLAR_ASSERT(table->tablet_count > 0);
    return true;
}

void tablet_table_leave(struct tablet_table *table)
{
    uint32_t before = atomic_fetch_sub(&table->users, 1);
    CELLAR_ASSERT(before > 0);
}

struct tablet *tablet_table_find(const struct tablet_table *table, struct cellar_slice row)
{
    size_t low = 0;
    size_t high = table->tablet_count;
    CELLAR_ASSERT(table->tablet_count > 0);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (cellar_slice_compare(table->tablets[middle].start, row) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &table->tablets[low];
}

struct tablet *tablet_table_find_before(const struct tablet_table *table, struct cellar_slice bound)
{
    if (bound.bytes == 0) {
        return &table->tablets[table->tablet_count - 1];
    }
    struct tablet *found = tablet_table_find(table, bound);
    CELLAR_ASSERT(found >= table->tablets);
    return cellar_slice_equal(found->start, bound) ? found - 1 : found;
}

enum cellar_status tablet_name_not_found(const struct cellar_table_name *name,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(name->table.bytes > 0);
    return cellar_error_set(
        error, CELLAR_NOT_FOUND, "Table not found: projects/%.*s/instances/%.*s/tables/%.*s",
        (int)name->project.bytes, (const char *)name->project.data, (int)name->instance.bytes,
        (const char *)name->instance.data, (int)name->table.bytes, (const char *)name->table.data);
}

enum cellar_status tablet_name_full(const struct cellar_table_name *name,
                                    struct cellar_arena *arena, struct cellar_slice *to)
{
    struct cellar_buffer buffer = {0};
    enum cellar_status status = cellar_table_name_encode(name, &buffer);
    if (status == CELLAR_OK) {
        const uint8_t *copy = cellar_arena_copy(arena, buffer.data, buffer.bytes);
        *to = cellar_slice_make(copy, buffer.bytes);
        status = copy == NULL ? CELLAR_NO_MEMORY : CELLAR_OK;
    }
    CELLAR_ASSERT(name->table.bytes > 0);
    cellar_buffer_fini(&buffer);
    return status;
}

int tablet_name_compare(const struct cellar_table_name *a, const struct cellar_table_name *b)
{
    int order = cellar_slice_compare(a->project, b->project);
    if (order == 0) {
        order = cellar_slice_compare(a->instance, b->instance);
    }
    CELLAR_ASSERT(a != NULL && b != NULL);
    return order != 0 ? order : cellar_slice_compare(a->table, b->table);
}

const struct tablet_schema *tablet_table_schema_at(const struct tablet_table *table, uint64_t lsn)
{
    const struct tablet_schema *schema = tablet_table_schema_queued(table);
    while (schema != &table->schema_opened && schema->lsn > lsn) {
        schema = schema->before != NULL ? schema->before : &table->schema_opened;
    }
    CELLAR_ASSERT(schema->lsn <= lsn);
    return schema;
}

/* ---- catalog values -------------------------------------------------------------------------- */

static enum cellar_status families_encode(const struct tablet_schema *schema,
                                          struct cellar_buffer *to)
{
    CELLAR_ASSERT(schema->family_count <= TABLET_FAMILY_COUNT_MAX);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)schema->family_count));
    for (size_t i = 0; i < schema->family_count; i++) {
        const struct tablet_family *family = &schema->families[i];
        CELLAR_TRY(cellar_wire_put_array(to, 4));
        CELLAR_TRY(cellar_wire_put_text(to, family->name));
        CELLAR_TRY(cellar_wire_put_u64(to, family->generation));
        CELLAR_TRY(cellar_gc_rule_encode(&family->rule, to));
        CELLAR_TRY(cellar_wire_put_nil(to)); /* value type: raw bytes */
    }
    return CELLAR_OK;
}

static enum cellar_status tablets_encode(const struct tablet_table *table, struct cellar_buffer *to)
{
    CELLAR_ASSERT(table->tablet_count > 0);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)table->tablet_count));
    for (size_t i = 0; i < table->tablet_count; i++) {
        CELLAR_TRY(cellar_wire_put_array(to, 2));
        CELLAR_TRY(cellar_wire_put_bytes(to, table->tablets[i].start));
        CELLAR_TRY(cellar_wire_put_u64(to, table->tablets[i].store_id));
    }
    return CELLAR_OK;
}

/* Numbered fields, so that a later version can add some and this one steps over them. */
enum cellar_status tablet_table_encode(const struct tablet_table *table,
                                       const struct tablet_schema *schema, struct cellar_buffer *to)
{
    CELLAR_ASSERT(schema->version > 0);
    CELLAR_TRY(cellar_wire_put_map(to, schema->has_dropped ? 5 : 4));
    CELLAR_TRY(cellar_wire_put_u64(to, FIELD_VERSION));
    CELLAR_TRY(cellar_wire_put_u64(to, schema->version));
    CELLAR_TRY(cellar_wire_put_u64(to, FIELD_GRANULARITY));
    CELLAR_TRY(cellar_wire_put_u64(to, schema->granularity));
    CELLAR_TRY(cellar_wire_put_u64(to, FIELD_FAMILIES));
    CELLAR_TRY(families_encode(schema, to));
    CELLAR_TRY(cellar_wire_put_u64(to, FIELD_TABLETS));
    CELLAR_TRY(tablets_encode(table, to));
    if (!schema->has_dropped) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_wire_put_u64(to, FIELD_HAS_DROPPED));
    return cellar_wire_put_bool(to, true);
}

static enum cellar_status slice_keep(struct tablet_table *table, struct cellar_slice *slice)
{
    const uint8_t *copy = cellar_arena_copy(&table->arena, slice->data, slice->bytes);
    if (copy == NULL) {
        return CELLAR_NO_MEMORY;
    }
    CELLAR_ASSERT(slice->bytes == 0 || slice->data != NULL);
    slice->data = copy;
    return CELLAR_OK;
}

static enum cellar_status family_decode(struct tablet_table *table, struct cellar_cursor *from,
                                        struct tablet_family *family)
{
    uint32_t parts = 0;
    uint64_t generation = 0;
    if (!cellar_wire_get_array(from, &parts) || parts != 4 ||
        !cellar_wire_get_text(from, &family->name) || !cellar_wire_get_u64(from, &generation) ||
        generation == 0 || generation > UINT32_MAX) {
        return CELLAR_DATA_LOSS;
    }
    family->generation = (uint32_t)generation;
    CELLAR_TRY(slice_keep(table, &family->name));
    enum cellar_status status = cellar_gc_rule_decode(from, &table->arena, &family->rule, NULL);
    CELLAR_ASSERT(family->generation > 0);
    if (status != CELLAR_OK) {
        return status == CELLAR_NO_MEMORY ? status : CELLAR_DATA_LOSS;
    }
    return cellar_wire_skip(from, NULL) ? CELLAR_OK : CELLAR_DATA_LOSS;
}

static enum cellar_status families_decode(struct tablet_table *table, struct cellar_cursor *from)
{
    uint32_t count = 0;
    if (!cellar_wire_get_array(from, &count) || count > TABLET_FAMILY_COUNT_MAX) {
        return CELLAR_DATA_LOSS;
    }
    struct tablet_family *families =
        cellar_arena_alloc(&table->arena, (count + 1) * sizeof *families);
    if (families == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(family_decode(table, from, &families[i]));
    }
    table->schema_opened.families = families;
    table->schema_opened.family_count = count;
    tablet_schema_finish(&table->schema_opened, families);
    CELLAR_ASSERT(table->schema_opened.family_count == count);
    return CELLAR_OK;
}

/* Only starts are stored: an end is the next one's start, so a value cannot describe a gap. The
 * order is checked, since routing searches it by halves. */
static enum cellar_status tablets_decode(struct tablet_table *table, struct cellar_cursor *from)
{
    uint32_t count = 0;
    if (!cellar_wire_get_array(from, &count) || count == 0 || count > TABLET_SPLIT_COUNT_MAX + 1) {
        return CELLAR_DATA_LOSS;
    }
    struct tablet *tablets = cellar_arena_alloc(&table->arena, count * sizeof *tablets);
    if (tablets == NULL) {
        return CELLAR_NO_MEMORY;
    }
    memset(tablets, 0, count * sizeof *tablets);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t parts = 0;
        uint64_t store_id = 0;
        if (!cellar_wire_get_array(from, &parts) || parts != 2 ||
            !cellar_wire_get_bytes(from, &tablets[i].start) ||
            !cellar_wire_get_u64(from, &store_id) || store_id == 0 || store_id > UINT32_MAX) {
            return CELLAR_DATA_LOSS;
        }
        tablets[i].store_id = (uint32_t)store_id;
        tablet_warmth_init(&tablets[i].warmth);
        CELLAR_TRY(slice_keep(table, &tablets[i].start));
        bool is_ordered = i == 0 ? tablets[0].start.bytes == 0
                                 : cellar_slice_compare(tablets[i - 1].start, tablets[i].start) < 0;
        if (!is_ordered) {
            return CELLAR_DATA_LOSS;
        }
        if (i > 0) {
            tablets[i - 1].end = tablets[i].start;
        }
    }
    CELLAR_ASSERT(count > 0);
    table->tablets = tablets;
    table->tablet_count = count;
    return CELLAR_OK;
}

/* A field that a newer version added is stepped over, not refused. */
static enum cellar_status field_decode(struct tablet_table *table, uint64_t number,
                                       struct cellar_cursor *from)
{
    uint64_t value = 0;
    CELLAR_ASSERT(from->at <= from->end);
    switch (number) {
    case FIELD_VERSION:
        if (!cellar_wire_get_u64(from, &value) || value == 0 || value > UINT32_MAX) {
            return CELLAR_DATA_LOSS;
        }
        table->schema_opened.version = (uint32_t)value;
        return CELLAR_OK;
    case FIELD_GRANULARITY:
        if (!cellar_wire_get_u64(from, &value) || value < CELLAR_GRANULARITY_MILLIS ||
            value > CELLAR_GRANULARITY_MICROS) {
            return CELLAR_DATA_LOSS;
        }
        table->schema_opened.granularity = (enum cellar_granularity)value;
        return CELLAR_OK;
    case FIELD_FAMILIES:
        return families_decode(table, from);
    case FIELD_TABLETS:
        return tablets_decode(table, from);
    case FIELD_HAS_DROPPED:
        return cellar_wire_get_bool(from, &table->schema_opened.has_dropped) ? CELLAR_OK
                                                                             : CELLAR_DATA_LOSS;
    default:
        return cellar_wire_skip(from, NULL) ? CELLAR_OK : CELLAR_DATA_LOSS;
    }
}

/* Every field must have come: a table without tablets or granularity would answer reads wrongly. */
enum cellar_status tablet_table_decode(struct tablet_table *table, struct cellar_slice value)
{
    struct cellar_cursor from = cellar_cursor_make(value);
    uint32_t count = 0;
    if (!cellar_wire_get_map(&from, &count)) {
        return CELLAR_DATA_LOSS;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = 0;
        if (!cellar_wire_get_u64(&from, &number)) {
            return CELLAR_DATA_LOSS;
        }
        CELLAR_TRY(field_decode(table, number, &from));
    }
    CELLAR_ASSERT(from.at <= from.end);
    bool is_whole = from.at == from.end && table->schema_opened.version > 0 &&
                    table->schema_opened.granularity != 0 && table->tablet_count > 0;
    return is_whole ? CELLAR_OK : CELLAR_DATA_LOSS;
}
