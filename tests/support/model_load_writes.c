/*
 * The requests of random workloads that change a table: writes, drops of rows, changes of families.
 * Each is applied to the model first, which says how the server must answer.
 *
 * A write is one row's list, several in flight together, or a batch. Behind a drop the next draws
 * like the rows that it took, and a family that is dropped often comes back in the same request.
 */
#include <stdio.h>

#include "common/clock.h"
#include "tests/support/model_draw.h"
#include "tests/support/model_load.h"

#define ENTRIES_MAX 24u
#define CHANGES_MAX 4u
#define MUTATIONS_MAX 2100u
#define CELLS_MAX 12000u

static const uint8_t *step_copy(struct model_load *load, struct cellar_slice bytes)
{
    const uint8_t *copy = cellar_arena_copy(&load->step, bytes.data, bytes.bytes);
    assert_non_null(copy);
    return copy;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static int64_t time_draw(struct model_load *load)
{
    bool is_millis = load->table.granularity == CELLAR_GRANULARITY_MILLIS;
    int64_t unit = is_millis ? 1000 : 1;
    switch (model_load_below(load, 8)) {
    case 0:
        return 0;
    case 1:
        return is_millis ? CELLAR_TIMESTAMP_MILLIS_MAX : CELLAR_TIMESTAMP_MAX;
    case 2:
    case 3:
        return model_load_now(load) - unit * (int64_t)model_load_below(load, 30);
    case 4:
        return model_load_now(load) + unit * (int64_t)model_load_below(load, 3);
    default:
        return unit * (int64_t)model_load_below(load, 6);
    }
}

static struct cellar_slice value_draw(struct model_load *load, size_t bytes_max)
{
    static const size_t lengths[] = {0,   0,    1,    5,    20,   20,   100, 900,
                                     950, 1000, 2047, 2048, 2049, 4100, 9000};
    size_t bytes = lengths[model_load_below(load, CELLAR_ARRAY_COUNT(lengths))];
    if (model_load_one_in(load, 40)) {
        bytes = (size_t)model_load_below(load, 300000);
    } else if (model_load_one_in(load, 300)) {
        bytes = CELLAR_INLINE_VALUE_BYTES_MAX + (model_load_one_in(load, 2) ? 12345 : 0);
    }
    bytes = CELLAR_MIN(bytes, CELLAR_MIN(bytes_max, load->options->value_bytes_max));
    return cellar_slice_make(load->values + model_load_below(load, MODEL_LOAD_VALUE_BYTES - bytes),
                             bytes);
}

static void set_draw(struct model_load *load, struct cellar_mutation *mutation, size_t bytes_max)
{
    *mutation = (struct cellar_mutation){
        .kind = CELLAR_MUTATION_SET,
        .family = model_load_family(load),
        .qualifier = load->qualifiers[model_load_below(load, MODEL_LOAD_QUALIFIERS)],
        .timestamp_us = model_load_one_in(load, 4) ? CELLAR_TIMESTAMP_SERVER : time_draw(load),
        .value = value_draw(load, bytes_max),
    };
}

static void delete_draw(struct model_load *load, struct cellar_mutation *mutation)
{
    uint64_t kind = model_load_below(load, 10);
    *mutation = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
    if (kind == 0) {
        return;
    }
    mutation->family = model_load_family(load);
    if (kind < 3) {
        mutation->kind = CELLAR_MUTATION_DELETE_FAMILY;
        return;
    }
    mutation->kind = CELLAR_MUTATION_DELETE_COLUMN;
    mutation->qualifier = load->qualifiers[model_load_below(load, MODEL_LOAD_QUALIFIERS)];
    if (model_load_one_in(load, 3)) {
        return; /* all times */
    }
    mutation->start_us = time_draw(load);
    mutation->end_us = model_load_one_in(load, 3) ? 0 : time_draw(load);
    if (mutation->end_us != 0 && mutation->end_us < mutation->start_us) {
        int64_t start_us = mutation->start_us;
        mutation->start_us = mutation->end_us;
        mutation->end_us = start_us;
    }
    if (mutation->start_us == mutation->end_us) {
        mutation->end_us = 0;
    }
}

/* Many columns in one list: fresh ones, or every third of them deleted. */
static size_t wide_draw(struct model_load *load, struct cellar_mutation *mutations)
{
    size_t count = 1 + (size_t)model_load_below(load, load->options->wide_columns_max);
    struct cellar_slice family = model_load_family(load);
    uint64_t first = model_load_below(load, 2000);
    uint64_t stride = 1 + model_load_below(load, 3);
    bool is_delete = model_load_one_in(load, 4);
    int64_t timestamp_us = time_draw(load);
    for (size_t i = 0; i < count; i++) {
        uint8_t *name = model_load_alloc(load, 8);
        (void)snprintf((char *)name, 8, "w%05llu", (unsigned long long)(first + i * stride));
        mutations[i] = (struct cellar_mutation){
            .kind = is_delete ? CELLAR_MUTATION_DELETE_COLUMN : CELLAR_MUTATION_SET,
            .family = family,
            .qualifier = cellar_slice_make(name, 6),
            .timestamp_us = is_delete ? 0 : timestamp_us,
            .value = is_delete ? cellar_slice_make(NULL, 0) : value_draw(load, 20),
        };
    }
    return count;
}

static size_t mutation_bytes(const struct cellar_mutation *mutation)
{
    return 48 + mutation->family.bytes + mutation->qualifier.bytes + mutation->value.bytes;
}

static void entry_note(struct model_load *load, const char *what, const struct model_entry *entry)
{
    static const char *const kinds[] = {"set", "delete_column", "delete_family", "delete_row"};
    const struct cellar_mutation *first = &entry->mutations[0];
    char row[80];
    char qualifier[80];
    model_load_note(
        load, "%s row %s (%zu bytes), %zu mutations, first %s %.*s:%s @%lld [%lld, %lld) %zu bytes",
        what, model_load_show(entry->row, row, sizeof row), entry->row.bytes, entry->mutation_count,
        kinds[first->kind], (int)first->family.bytes, (const char *)first->family.data,
        model_load_show(first->qualifier, qualifier, sizeof qualifier),
        (long long)first->timestamp_us, (long long)first->start_us, (long long)first->end_us,
        first->value.bytes);
}

static void entry_draw(struct model_load *load, struct model_entry *entry, bool may_be_wide)
{
    size_t left = load->options->record_bytes_max;
    bool is_full = model_cell_count(load->model) > CELLS_MAX;
    size_t count = model_load_one_in(load, 3) ? 1 : 1 + (size_t)model_load_below(load, 12);
    struct cellar_mutation *mutations =
        model_load_alloc(load, MUTATIONS_MAX * sizeof(struct cellar_mutation));
    entry->row = model_load_row(load);
    entry->mutations = mutations;
    left -= entry->row.bytes;
    if (is_full && model_row_count(load->model) > 0) {
        /* A copy: the model frees its own with the row. */
        struct cellar_slice key = model_row_key(
            load->model, (size_t)model_load_below(load, model_row_count(load->model)));
        entry->row = cellar_slice_make(step_copy(load, key), key.bytes);
        mutations[0] = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
        entry->mutation_count = 1;
        return;
    }
    if (may_be_wide && model_load_one_in(load, 12)) {
        entry->mutation_count = wide_draw(load, mutations);
        return;
    }
    entry->mutation_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct cellar_mutation *mutation = &mutations[i];
        if (model_load_one_in(load, 4)) {
            delete_draw(load, mutation);
        } else {
            set_draw(load, mutation, left / 2);
        }
        if (mutation_bytes(mutation) > left) {
            break;
        }
        left -= mutation_bytes(mutation);
        entry->mutation_count++;
    }
    if (entry->mutation_count == 0) {
        mutations[0] = (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
        entry->mutation_count = 1;
    }
}

/* Draws the entries of one request. @return how many */
static size_t entries_draw(struct model_load *load, struct model_entry *entries, size_t count,
                           bool are_distinct)
{
    for (size_t i = 0; i < count; i++) {
        bool is_repeated = true;
        for (int tries = 0; is_repeated && tries < 100; tries++) {
            entry_draw(load, &entries[i], i == 0);
            is_repeated = false;
            for (size_t j = 0; are_distinct && j < i; j++) {
                is_repeated |= cellar_slice_equal(entries[i].row, entries[j].row);
            }
        }
        if (is_repeated) {
            return i;
        }
    }
    return count;
}

void model_load_write(struct model_load *load)
{
    static const char *const names[] = {"mutate", "burst", "batch"};
    const struct model_port_calls *calls = load->port->calls;
    const char *table = load->options->name;
    struct cellar_error results[ENTRIES_MAX];
    enum cellar_status expected[ENTRIES_MAX];
    struct cellar_error error;
    struct model_entry entries[ENTRIES_MAX];
    uint64_t way = model_load_one_in(load, 3) ? 1 + model_load_below(load, 2) : 0;
    enum cellar_status first = CELLAR_OK; /* failure */
    enum cellar_status status = CELLAR_OK;
    cellar_error_clear(&error);
    /* Entries of a batch may come in any order: one a row. */
    size_t count = way == 0 ? 1 : 1 + (size_t)model_load_below(load, ENTRIES_MAX);
    count = entries_draw(load, entries, count, way == 2);
    for (size_t i = 0; i < count; i++) {
        entry_note(load, names[way], &entries[i]);
        expected[i] = model_apply(load->model, entries[i].row, entries[i].mutations,
                                  entries[i].mutation_count, model_load_now(load));
        first = first == CELLAR_OK ? expected[i] : first;
    }
    if (way == 0) {
        status = calls->mutate(load->port, table, &entries[0], &error);
    } else if (way == 1) {
        status = calls->mutate_burst(load->port, table, entries, count, &error);
    } else {
        status = calls->mutate_batch(load->port, table, entries, count, results, &error);
        for (size_t i = 0; status == CELLAR_OK && i < count; i++) {
            model_load_expect(load, expected[i], results[i].code, &results[i], "entry of a batch");
        }
    }
    model_load_expect(load, way == 2 ? CELLAR_OK : first, status, &error, names[way]);
}

/* ---- drops and changes of families ----------------------------------------------------------- */

/* A prefix of a row of the pool, most often one byte, or of no row. */
static struct cellar_slice prefix_draw(struct model_load *load)
{
    struct cellar_slice row = load->rows[model_load_below(load, MODEL_LOAD_ROWS)];
    if (model_load_one_in(load, 8) && row.bytes < CELLAR_ROW_BYTES_MAX) {
        uint8_t *longer = model_load_alloc(load, row.bytes + 1);
        memcpy(longer, row.data, row.bytes);
        longer[row.bytes] = model_load_one_in(load, 2) ? 0x00 : 0xFF;
        return cellar_slice_make(longer, row.bytes + 1);
    }
    return cellar_slice_make(
        row.data, model_load_one_in(load, 2) ? 1 : 1 + (size_t)model_load_below(load, row.bytes));
}

static void rows_drop(struct model_load *load)
{
    struct svc_rows_drop drop = {.table = load->table.name, .is_all = model_load_one_in(load, 8)};
    struct cellar_error error;
    char prefix[80] = "(all)";
    bool is_void = !drop.is_all && model_load_one_in(load, 20); /* R-TAB-18 */
    cellar_error_clear(&error);
    if (!drop.is_all && !is_void) {
        drop.prefix = prefix_draw(load);
        (void)model_load_show(drop.prefix, prefix, sizeof prefix);
    }
    model_load_note(load, "drop %s (%zu bytes)%s", prefix, drop.prefix.bytes,
                    is_void ? ", refused" : "");
    enum cellar_status status = load->port->calls->drop_rows(load->port, &drop, &error);
    model_load_expect(load, is_void ? CELLAR_INVALID_ARGUMENT : CELLAR_OK, status, &error, "drop");
    if (!is_void) {
        model_drop_rows(load->model, drop.prefix);
        const uint8_t *kept = cellar_arena_copy(&load->arena, drop.prefix.data, drop.prefix.bytes);
        assert_non_null(kept);
        load->dropped = cellar_slice_make(kept, drop.prefix.bytes);
        load->dropped_draw_count = (size_t)model_load_below(load, 12);
    }
}

/* One change, which the families as they are mostly allow. */
static struct svc_family_change change_draw(struct model_load *load, struct cellar_slice name)
{
    struct svc_family_change change = {.action = SVC_FAMILY_CREATE, .family = {.name = name}};
    if (model_load_one_in(load, 8)) {
        change.action = (enum svc_family_action)model_load_below(load, 3);
    } else if (model_load_has_family(load, name)) {
        change.action = model_load_one_in(load, 2) ? SVC_FAMILY_UPDATE : SVC_FAMILY_DROP;
    }
    if (change.action != SVC_FAMILY_DROP) {
        change.family.rule = model_draw_rule(&load->random, &load->arena);
    }
    return change;
}

static void families_change(struct model_load *load)
{
    struct svc_family_change changes[CHANGES_MAX];
    struct svc_family_changes request = {.table = load->table.name, .changes = changes};
    struct cellar_error error;
    cellar_error_clear(&error);
    size_t count = 1 + (size_t)model_load_below(load, CHANGES_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        struct cellar_slice name =
            model_load_family_name(model_load_below(load, MODEL_LOAD_FAMILIES));
        changes[request.count++] = change_draw(load, name);
        if (changes[i].action == SVC_FAMILY_DROP && model_load_one_in(load, 2) && i + 1 == count) {
            /* Back at once, and empty. */
            changes[request.count++] = (struct svc_family_change){
                .action = SVC_FAMILY_CREATE,
                .family = {name, model_draw_rule(&load->random, &load->arena)}};
        }
    }
    enum cellar_status expected = model_modify_families(load->model, changes, request.count);
    model_mark(load->model, cellar_clock_real_us());
    for (size_t i = 0; i < request.count; i++) {
        static const char *const actions[] = {"create", "update", "drop"};
        model_load_note(load, "change %zu of %zu: %s %.*s, %s", i + 1, request.count,
                        actions[changes[i].action], (int)changes[i].family.name.bytes,
                        (const char *)changes[i].family.name.data, cellar_status_text(expected));
    }
    enum cellar_status status = load->port->calls->modify_families(load->port, &request, &error);
    model_load_expect(load, expected, status, &error, "change of families");
}

void model_load_change(struct model_load *load)
{
    do {
        if (model_load_one_in(load, 3)) {
            families_change(load);
        } else {
            rows_drop(load);
        }
    } while (model_load_one_in(load, 3));
}
