/*
 * Server and client library in one process; loopback.h says what each function is for.
 *
 * The server's status codes and the library's have the same numbers, so that a port's callers see
 * one kind. Requests "in flight together" are calls of several threads, one for each row, since the
 * library's calls block and only the writes of one connection keep their order.
 */
#include "tests/support/loopback.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/support/model_service.h"

#define BURST_MAX 64u
#define CHANGES_MAX 8u
#define FAMILY_BYTES (CELLAR_FAMILY_BYTES_MAX + 1)

static struct loopback *loopback_of(struct model_port *port)
{
    return (struct loopback *)(void *)port;
}

static enum cellar_status status_of(enum cellar_code code, const struct cellar_call *call,
                                    struct cellar_error *error)
{
    if (code != CELLAR_E_OK) {
        (void)cellar_error_set(error, (enum cellar_status)code, "%s (%s)", call->failure.text,
                               call->failure.where);
    }
    return (enum cellar_status)code;
}

static const char *family_text(struct cellar_slice name, char *text)
{
    assert_true(name.bytes < FAMILY_BYTES);
    if (name.bytes > 0) {
        memcpy(text, name.data, name.bytes);
    }
    text[name.bytes] = '\0';
    return text;
}

static const char *table_text(struct cellar_slice name, char text[CELLAR_TABLE_NAME_BYTES_MAX + 1])
{
    (void)snprintf(text, CELLAR_TABLE_NAME_BYTES_MAX + 1, "%.*s", (int)name.bytes,
                   (const char *)name.data);
    return text;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* A rule with its children, which the caller frees; rules of tests nest once. */
static struct cellar_rule rule_of(const struct cellar_gc_rule *rule, struct cellar_rule *children)
{
    struct cellar_rule made = {.kind = (enum cellar_rule_kind)rule->kind,
                               .amount = rule->amount,
                               .children = children,
                               .child_count = rule->child_count};
    for (uint32_t i = 0; i < rule->child_count; i++) {
        assert_int_equal(rule->children[i].child_count, 0);
        children[i] = rule_of(&rule->children[i], NULL);
    }
    return made;
}

static enum cellar_status port_create(struct model_port *port, const struct svc_table *table,
                                      struct cellar_error *error)
{
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_rule children[16];
    struct cellar_call call = {0};
    char name[CELLAR_TABLE_NAME_BYTES_MAX + 1];
    char family[FAMILY_BYTES];
    for (size_t i = 0; i < table->family_count; i++) {
        assert_true(table->families[i].rule.child_count <= CELLAR_ARRAY_COUNT(children));
        struct cellar_rule rule = rule_of(&table->families[i].rule, children);
        cellar_schema_family(schema, family_text(table->families[i].name, family), &rule);
    }
    for (size_t i = 0; i < table->split_key_count; i++) {
        cellar_schema_split(schema, loopback_view(table->split_keys[i]));
    }
    if (table->granularity != 0) {
        cellar_schema_granularity(schema, (enum cellar_table_granularity)table->granularity);
    }
    enum cellar_code code = cellar_table_create(loopback_of(port)->client,
                                                table_text(table->name, name), schema, &call, NULL);
    cellar_schema_free(schema);
    return status_of(code, &call, error);
}

static enum cellar_status port_modify_families(struct model_port *port,
                                               const struct svc_family_changes *changes,
                                               struct cellar_error *error)
{
    struct cellar_family_change list[CHANGES_MAX];
    struct cellar_rule rules[CHANGES_MAX];
    struct cellar_rule children[CHANGES_MAX][16];
    struct cellar_call call = {0};
    char names[CHANGES_MAX][FAMILY_BYTES];
    char table[CELLAR_TABLE_NAME_BYTES_MAX + 1];
    assert_true(changes->count <= CHANGES_MAX);
    for (size_t i = 0; i < changes->count; i++) {
        const struct svc_family_change *change = &changes->changes[i];
        rules[i] = rule_of(&change->family.rule, children[i]);
        list[i] = (struct cellar_family_change){
            .action = (enum cellar_family_action)change->action,
            .name = family_text(change->family.name, names[i]),
            .rule = change->action == SVC_FAMILY_DROP ? NULL : &rules[i],
        };
    }
    enum cellar_code code =
        cellar_table_modify_families(loopback_of(port)->client, table_text(changes->table, table),
                                     list, changes->count, &call, NULL);
    return status_of(code, &call, error);
}

static enum cellar_status port_drop_rows(struct model_port *port, const struct svc_rows_drop *drop,
                                         struct cellar_error *error)
{
    struct cellar_client *client = loopback_of(port)->client;
    struct cellar_call call = {0};
    char table[CELLAR_TABLE_NAME_BYTES_MAX + 1];
    (void)table_text(drop->table, table);
    enum cellar_code code =
        drop->is_all ? cellar_table_truncate(client, table, &call)
                     : cellar_rows_drop(client, table, loopback_view(drop->prefix), &call);
    return status_of(code, &call, error);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void mutation_add(struct cellar_mutations *list, const struct cellar_mutation *mutation)
{
    char family[FAMILY_BYTES];
    struct cellar_view qualifier = loopback_view(mutation->qualifier);
    struct cellar_view value = loopback_view(mutation->value);
    (void)family_text(mutation->family, family);
    switch (mutation->kind) {
    case CELLAR_MUTATION_SET:
        if (mutation->timestamp_us == CELLAR_TIMESTAMP_SERVER) {
            cellar_mutations_set(list, family, qualifier, value);
        } else {
            cellar_mutations_set_at(list, family, qualifier, mutation->timestamp_us, value);
        }
        break;
    case CELLAR_MUTATION_DELETE_COLUMN:
        if (mutation->start_us == 0 && mutation->end_us == 0) {
            cellar_mutations_delete_column(list, family, qualifier);
        } else {
            const struct cellar_time_range range = {mutation->start_us, mutation->end_us};
            cellar_mutations_delete_versions(list, family, qualifier, range);
        }
        break;
    case CELLAR_MUTATION_DELETE_FAMILY:
        cellar_mutations_delete_family(list, family);
        break;
    case CELLAR_MUTATION_DELETE_ROW:
        cellar_mutations_delete_row(list);
        break;
    case CELLAR_MUTATION_ADD:
    case CELLAR_MUTATION_MERGE:
        fail_msg("the library has no such mutation");
    }
}

static struct cellar_mutations *list_new(const struct model_entry *entry)
{
    struct cellar_mutations *list = cellar_mutations_new();
    for (size_t i = 0; i < entry->mutation_count; i++) {
        mutation_add(list, &entry->mutations[i]);
    }
    return list;
}

static enum cellar_status port_mutate(struct model_port *port, const char *table,
                                      const struct model_entry *entry, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_mutations *list = list_new(entry);
    enum cellar_code code =
        cellar_mutate_row(loopback_of(port)->client, table, loopback_view(entry->row), list, &call);
    cellar_mutations_free(list);
    return status_of(code, &call, error);
}

static enum cellar_status port_mutate_batch(struct model_port *port, const char *table,
                                            const struct model_entry *entries, size_t count,
                                            struct cellar_error *results,
                                            struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_batch *batch = cellar_batch_new();
    for (size_t i = 0; i < count; i++) {
        struct cellar_mutations *list = list_new(&entries[i]);
        cellar_batch_add(batch, loopback_view(entries[i].row), list);
        cellar_mutations_free(list);
    }
    enum cellar_code code = cellar_mutate_rows(loopback_of(port)->client, table, batch, &call);
    for (size_t i = 0; code == CELLAR_E_OK && i < count; i++) {
        struct cellar_call entry_call = {0};
        cellar_error_clear(&results[i]);
        (void)status_of(cellar_batch_result(batch, i, &entry_call.failure), &entry_call,
                        &results[i]);
    }
    cellar_batch_free(batch);
    return status_of(code, &call, error);
}

/* One thread of a burst: the entries of one row, in order. */
struct burst {
    struct model_port *port;
    const char *table;
    const struct model_entry *entries;
    size_t first; /* the row's first entry */
    size_t count; /* of all entries */
    enum cellar_status status;
    struct cellar_error error;
};

static void *burst_run(void *context)
{
    struct burst *burst = context;
    const struct model_entry *entries = burst->entries;
    for (size_t i = burst->first; i < burst->count; i++) {
        struct cellar_error error;
        cellar_error_clear(&error);
        if (cellar_slice_equal(entries[i].row, entries[burst->first].row) &&
            port_mutate(burst->port, burst->table, &entries[i], &error) != CELLAR_OK &&
            burst->status == CELLAR_OK) {
            burst->status = error.code;
            burst->error = error;
        }
    }
    return NULL;
}

static bool row_came_before(const struct model_entry *entries, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (cellar_slice_equal(entries[i].row, entries[index].row)) {
            return true;
        }
    }
    return false;
}

static enum cellar_status port_mutate_burst(struct model_port *port, const char *table,
                                            const struct model_entry *entries, size_t count,
                                            struct cellar_error *error)
{
    struct burst *bursts = calloc(BURST_MAX, sizeof *bursts);
    pthread_t threads[BURST_MAX];
    size_t thread_count = 0;
    enum cellar_status status = CELLAR_OK;
    assert_true(bursts != NULL && count <= BURST_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!row_came_before(entries, i)) {
            bursts[thread_count] = (struct burst){
                .port = port, .table = table, .entries = entries, .first = i, .count = count};
            assert_int_equal(
                pthread_create(&threads[thread_count], NULL, burst_run, &bursts[thread_count]), 0);
            thread_count++;
        }
    }
    for (size_t i = 0; i < thread_count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (bursts[i].status != CELLAR_OK && status == CELLAR_OK) {
            status = bursts[i].status;
            *error = bursts[i].error;
        }
    }
    free(bursts);
    return status;
}

/* ---- reads ----------------------------------------------------------------------------------- */

static struct cellar_bound bound_of(struct cellar_slice key, bool is_closed)
{
    if (key.bytes == 0 && is_closed) {
        return cellar_bound_none();
    }
    return is_closed ? cellar_bound_closed(loopback_view(key))
                     : cellar_bound_open(loopback_view(key));
}

static struct cellar_read *read_new(const struct model_read *from)
{
    struct cellar_read *read = cellar_read_new();
    char family[FAMILY_BYTES];
    for (size_t i = 0; i < from->key_count; i++) {
        cellar_read_row(read, loopback_view(from->keys[i]));
    }
    for (size_t i = 0; i < from->range_count; i++) {
        const struct model_range *range = &from->ranges[i];
        if (range->is_prefix) {
            cellar_read_prefix(read, loopback_view(range->start));
        } else {
            cellar_read_range(read, bound_of(range->start, range->start_is_closed),
                              bound_of(range->end, range->end_is_closed));
        }
    }
    for (size_t i = 0; i < from->column_count; i++) {
        (void)family_text(from->columns[i].family, family);
        if (from->columns[i].is_family) {
            cellar_read_family(read, family);
        } else {
            cellar_read_column(read, family, loopback_view(from->columns[i].qualifier));
        }
    }
    cellar_read_versions(read, from->versions_max);
    cellar_read_limit(read, from->rows_limit);
    if (from->is_reversed) {
        cellar_read_reverse(read);
    }
    if (from->keys_only) {
        cellar_read_keys_only(read);
    }
    return read;
}

static struct cellar_slice slice_copy(struct model_answer *answer, struct cellar_view view)
{
    return model_answer_copy(answer, cellar_slice_make(view.data, view.bytes));
}

static void row_take(struct model_answer *answer, const struct cellar_row *row)
{
    model_answer_row(answer, slice_copy(answer, row->key));
    for (size_t i = 0; i < row->cell_count; i++) {
        const struct cellar_row_cell *from = &row->cells[i];
        const struct cellar_cell cell = {slice_copy(answer, from->family),
                                         slice_copy(answer, from->qualifier), from->timestamp_us,
                                         slice_copy(answer, from->value)};
        model_answer_cell(answer, &cell);
    }
}

/* By a scan or by a get, as the port's coin says. */
static enum cellar_code read_run(struct loopback *loopback, const char *table,
                                 const struct cellar_read *read, struct model_answer *answer,
                                 struct cellar_call *call)
{
    struct cellar_scan *scan = NULL;
    struct cellar_rows *rows = NULL;
    struct cellar_row row;
    if (test_random_below(&loopback->port.random, 2) == 0) {
        enum cellar_code code = cellar_get(loopback->client, table, read, call, &rows);
        for (size_t i = 0; code == CELLAR_E_OK && i < cellar_rows_count(rows); i++) {
            row_take(answer, cellar_rows_at(rows, i));
        }
        cellar_rows_free(rows);
        return code;
    }
    enum cellar_code code = cellar_scan_open(loopback->client, table, read, call, &scan);
    if (code != CELLAR_E_OK) {
        return code;
    }
    while (cellar_scan_next(scan, &row)) {
        row_take(answer, &row);
    }
    return cellar_scan_close(scan, call);
}

static enum cellar_status port_read(struct model_port *port, const char *table,
                                    const struct model_read *from, struct model_answer *answer,
                                    struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_read *read = read_new(from);
    model_answer_clear(answer);
    enum cellar_code code = read_run(loopback_of(port), table, read, answer, &call);
    cellar_read_free(read);
    return status_of(code, &call, error);
}

/* ---- the server ------------------------------------------------------------------------------ */

struct cellar_client *loopback_client(struct loopback *loopback)
{
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    struct cellar_options options = {
        .endpoint = io_address_show(cellar_server_address(loopback->server), endpoint)};
    struct cellar_call call = {0};
    struct cellar_client *client = NULL;
    if (cellar_client_open(&options, &call, &client) != CELLAR_E_OK) {
        fail_msg("cellar_client_open: %s", call.failure.text);
    }
    return client;
}

static void server_start(struct loopback *loopback)
{
    struct cellar_error error;
    struct cellar_server_config config = {
        .listen = "127.0.0.1:0",
        .port_file = "",
        .loop_count = 2,
        .connection_count_max = 100,
        .request_bytes_max_total = 64u << 20,
        .answer_bytes_max_total = 64u << 20,
        .drain_us = 5000000,
        .log_level = CELLAR_LOG_WARN,
        .svc = loopback->options,
    };
    config.svc.data_dir = loopback->data_dir;
    assert_int_equal(io_address_decode(config.listen, &config.address, &error), CELLAR_OK);
    if (cellar_server_start(&config, &loopback->server, &error) != CELLAR_OK) {
        fail_msg("cellar_server_start: %s", error.text);
    }
    loopback->client = loopback_client(loopback);
}

static void server_stop(struct loopback *loopback)
{
    cellar_client_close(loopback->client);
    cellar_server_stop(loopback->server);
    loopback->client = NULL;
    loopback->server = NULL;
}

void loopback_restart(struct loopback *loopback, bool is_crash)
{
    char copy[300];
    if (is_crash) {
        (void)snprintf(copy, sizeof copy, "%.250s/copy%u", loopback->folder,
                       loopback->copy_count++);
        model_data_copy(loopback->data_dir, copy);
    }
    server_stop(loopback);
    if (is_crash) {
        test_remove_tree(loopback->data_dir);
        memcpy(loopback->data_dir, copy, sizeof copy);
    }
    server_start(loopback);
}

static void port_restart(struct model_port *port, bool is_crash)
{
    loopback_restart(loopback_of(port), is_crash);
}

void loopback_open(struct loopback *loopback, const struct svc_options *options)
{
    static const struct model_port_calls calls = {
        .create = port_create,
        .mutate = port_mutate,
        .mutate_batch = port_mutate_batch,
        .mutate_burst = port_mutate_burst,
        .modify_families = port_modify_families,
        .drop_rows = port_drop_rows,
        .read = port_read,
        .restart = port_restart,
    };
    memset(loopback, 0, sizeof *loopback);
    loopback->port.calls = &calls;
    loopback->options = *options;
    cellar_log_level_set(CELLAR_LOG_WARN);
    model_temp_dir(loopback->folder, sizeof loopback->folder);
    (void)snprintf(loopback->data_dir, sizeof loopback->data_dir, "%s/data", loopback->folder);
    server_start(loopback);
}

void loopback_close(struct loopback *loopback)
{
    server_stop(loopback);
    test_remove_tree(loopback->folder);
}

/* ---- groups of tests ------------------------------------------------------------------------- */

struct loopback loopback_group;

void loopback_table(struct loopback *loopback, const char *name,
                    enum cellar_table_granularity granularity)
{
    struct cellar_call call = {0};
    struct cellar_schema *schema = cellar_schema_new();
    cellar_schema_family(schema, "f", NULL);
    cellar_schema_granularity(schema, granularity);
    if (cellar_table_create(loopback->client, name, schema, &call, NULL) != CELLAR_E_OK) {
        fail_msg("%s", call.failure.text);
    }
    cellar_schema_free(schema);
}

int loopback_group_open(void **state)
{
    struct svc_options options;
    (void)state;
    model_service_options_init(&options);
    loopback_open(&loopback_group, &options);
    loopback_table(&loopback_group, "t", CELLAR_TABLE_MILLIS);
    return 0;
}

int loopback_group_close(void **state)
{
    (void)state;
    loopback_close(&loopback_group);
    return 0;
}
