/*
 * Writes: one row or many, checked on the calling thread, ended on the log's.
 *
 *     svc_mutate_row:   check -> payload -> append -> ... durable -> done
 *     svc_mutate_rows:  check all (a malformed entry refuses the request) -> append each -> ... the
 * last one durable -> done
 *
 * A write's memory is one block that lives until its `done`. Many rows share one block; a counter
 * of what is under way, begun at one for the submitting thread, tells who is last.
 */
#include <stdatomic.h>
#include <string.h>

#include "common/sync.h"
#include "server/service/service_internal.h"
#include "server/tablet/append.h"

#define DRAIN_DELAY_MS 1000u
#define RECHECK_COUNT_MAX 100u
#define SCRATCH_BYTES_LARGE 1048576u
#define BULKY_BYTES_MIN 16777216u /* more than a frame: no loop's thread has such an entry */
#define ENTRY_PREFIX "Error in field 'Entry list' : Error in element #%u"

/* What all steps of one submission share. */
struct submit {
    struct svc *svc;
    struct tablet_table *table; /* a reference; NULL until found */
    struct svc_scratch *scratch;
    struct cellar_error *error;
    bool is_mapped;
    int64_t token_now_us; /* when their life was checked */
    int64_t token_expiry_us;
};

/* One row of a request, checked. */
struct entry {
    struct cellar_slice row;
    struct cellar_slice token;          /* data NULL: none */
    struct cellar_slice list;           /* of mutations, MessagePack */
    const struct tablet_schema *schema; /* that the items were checked against */
    struct tablet_items items;
};

/* Counts a request in, unless the server drains. Counted first and taken back if it may not enter:
 * the other way round svc_drain() could see no write and go on while one slips in. */
static enum cellar_status write_enter(struct svc *svc, struct cellar_error *error)
{
    atomic_fetch_add(&svc->write_count, 1);
    if (atomic_load(&svc->is_draining)) {
        atomic_fetch_sub(&svc->write_count, 1);
        enum cellar_status status = cellar_error_set(
            error, CELLAR_UNAVAILABLE, "the server is stopping; try another or later");
        if (error != NULL) {
            error->retry_delay_ms = DRAIN_DELAY_MS;
        }
        return status;
    }
    CELLAR_ASSERT(atomic_load(&svc->write_count) > 0);
    atomic_fetch_add_explicit(&svc->write_total, 1, memory_order_relaxed);
    return CELLAR_OK;
}

/* The last thing that is done for a request: behind it the service may be closed. */
static void write_leave(struct svc *svc)
{
    uint64_t before = atomic_fetch_sub(&svc->write_count, 1);
    CELLAR_ASSERT(before > 0);
}

/* Finds the table and the scratch for a request that was counted in, and the end of its tokens. One
 * time for all tokens of a request, so that its entries end together. */
static enum cellar_status submit_begin(struct submit *submit, const struct svc_request *request,
                                       struct cellar_slice table,
                                       const struct svc_token_time *token_time)
{
    if (token_time != NULL) {
        submit->token_now_us = tablet_db_time(submit->svc->db);
        CELLAR_TRY(svc_token_expiry(token_time, submit->token_now_us, &submit->token_expiry_us,
                                    submit->error));
    }
    submit->scratch = svc_scratch_get();
    if (submit->scratch == NULL) {
        return cellar_error_set(submit->error, CELLAR_NO_MEMORY, "no memory for a write");
    }
    svc_scratch_clear(submit->scratch);
    CELLAR_ASSERT(submit->table == NULL);
    submit->is_mapped = request != NULL && request->is_mapped;
    return svc_table_find(submit->svc, request, table, &submit->table, submit->error);
}

/* Lets go of what a submission held, and of much memory that it took. */
static void submit_end(const struct submit *submit)
{
    struct svc_scratch *scratch = submit->scratch;
    if (scratch != NULL && (scratch->payload.bytes > SCRATCH_BYTES_LARGE ||
                            scratch->arena.total_bytes > SCRATCH_BYTES_LARGE)) {
        svc_scratch_clear(scratch);
    }
    CELLAR_ASSERT(submit->svc != NULL);
    tablet_table_unref(submit->table);
}

/* What the log's status says to the client. */
static void result_set(struct cellar_error *result, enum cellar_status status)
{
    cellar_error_clear(result);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_OUTCOME_UNKNOWN ||
                  status == CELLAR_IO_ERROR);
    if (status == CELLAR_OUTCOME_UNKNOWN) {
        (void)cellar_error_set(result, status,
                               "the commit log failed: the write may or may not have been applied");
    } else if (status != CELLAR_OK) {
        (void)cellar_error_set(result, status,
                               "the commit log has failed; the write was not applied");
    }
}

/* Checked items into a payload in the scratch; values and payloads that are too large for the log
 * into files. The server's time is asked for only where a cell needs it. The payload is copied once
 * more into the batch; the scratch is used again by the next entry. */
static enum cellar_status payload_make(struct submit *submit, struct entry *entry,
                                       struct tablet_large *large, struct cellar_error *error)
{
    struct tablet_db *db = submit->svc->db;
    struct cellar_buffer *payload = &submit->scratch->payload;
    int64_t time_us = entry->items.needs_time ? tablet_db_time(db) : 0;
    CELLAR_TRY(tablet_items_settle(entry->schema, &entry->items, time_us, error));
    CELLAR_TRY(tablet_large_values_write(large, &entry->items, error));
    cellar_buffer_clear(payload);
    const struct tablet_record_facts facts = {entry->row, time_us, entry->token,
                                              submit->token_expiry_us};
    if (tablet_items_encode(entry->schema, &entry->items, &facts, payload) != CELLAR_OK) {
        tablet_large_drop(large);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a write");
    }
    CELLAR_ASSERT(payload->bytes > entry->row.bytes);
    return tablet_large_payload_write(large, cellar_slice_of(payload), error);
}

/* Checks an entry's list against the schema of now. */
static enum cellar_status entry_check(const struct submit *submit, struct entry *entry,
                                      struct cellar_error *error)
{
    entry->schema = tablet_table_schema_queued(submit->table);
    CELLAR_ASSERT(entry->schema != NULL); /* the list is a client's, and may be absent */
    return tablet_items_check(entry->schema, entry->list, &submit->scratch->arena, &entry->items,
                              error);
}

/* Into memory, into files, into the log. */
static enum cellar_status entry_put(struct submit *submit, struct entry *entry,
                                    struct tablet_write *write, struct cellar_error *error)
{
    struct tablet_large large;
    tablet_large_init(&large, tablet_db_engine(submit->svc->db), &submit->scratch->arena,
                      submit->is_mapped);
    CELLAR_TRY(payload_make(submit, entry, &large, error));
    const struct tablet_payload payload = {.schema = entry->schema,
                                           .row = entry->row,
                                           .bytes = cellar_slice_of(&submit->scratch->payload),
                                           .large = &large,
                                           .has_sets = entry->items.has_sets,
                                           .token = entry->token,
                                           .token_now_us = submit->token_now_us,
                                           .slab = &submit->scratch->slab};
    CELLAR_ASSERT(payload.bytes.bytes > 0);
    return tablet_append(submit->svc->db, submit->table, &payload, write, error);
}

/* Very many small cells take twice their size until they are appended, so such entries go one after
 * the other, and take nothing while memtables have no room: a pool of threads would need gigabytes
 * for them. They come in requests of many frames alone, on threads that may wait. */
static enum cellar_status entry_try(struct submit *submit, struct entry *entry,
                                    struct tablet_write *write, struct cellar_error *error)
{
    struct svc *svc = submit->svc;
    CELLAR_TRY(tablet_items_family_error(&entry->items, error));
    if (tablet_large_memory_bytes(&entry->items) <= BULKY_BYTES_MIN) {
        return entry_put(submit, entry, write, error);
    }
    CELLAR_ASSERT(write->record.done != NULL);
    svc_gate_enter(&svc->bulky);
    enum cellar_status status = store_engine_check_room(tablet_db_engine(svc->db), error);
    if (status == CELLAR_OK) {
        status = entry_put(submit, entry, write, error);
        svc_scratch_clear_payload(submit->scratch);
    }
    svc_gate_leave(&svc->bulky);
    return status; /* an appended write is the log's, and may be gone */
}

/* A checked row into the log; checked again when the families have changed since. The family's
 * error comes here and not in the check: in a batch it refuses its entry alone; among the checks it
 * would refuse the request. */
static enum cellar_status entry_append(struct submit *submit, struct entry *entry,
                                       struct tablet_write *write, struct cellar_error *error)
{
    enum cellar_status status = entry_try(submit, entry, write, error);
    for (unsigned i = 0; status == CELLAR_ABORTED && i < RECHECK_COUNT_MAX; i++) {
        CELLAR_TRY(entry_check(submit, entry, error));
        status = entry_try(submit, entry, write, error);
    }
    CELLAR_ASSERT(entry->schema != NULL);
    return status != CELLAR_ABORTED
               ? status
               : cellar_error_set(error, CELLAR_UNAVAILABLE,
                                  "the table's families change too fast; try again");
}

/* How a write ended. One that repeats another by its token says nothing about that one when it
 * fails itself. */
static enum cellar_status write_status(const struct tablet_write *write, enum cellar_status status)
{
    CELLAR_ASSERT(write->record.done != NULL);
    return status != CELLAR_OK && write->is_repeat ? CELLAR_OUTCOME_UNKNOWN : status;
}

/* ---- one row --------------------------------------------------------------------------------- */

struct row_write {
    struct tablet_write write;
    struct svc *svc;
    svc_done_fn *done;
    void *context;
};

/* On the log's thread. `done` and its context lie in the block, which goes behind it; leaving comes
 * last, as it lets a drain go on. */
static void row_done(struct store_log_record *record, enum cellar_status status)
{
    struct tablet_write *write = CELLAR_CONTAINER_OF(record, struct tablet_write, record);
    struct row_write *row = CELLAR_CONTAINER_OF(write, struct row_write, write);
    struct svc *svc = row->svc;
    struct cellar_error result;
    result_set(&result, write_status(write, status));
    row->done(row->context, &result);
    cellar_mem_free(row);
    CELLAR_ASSERT(svc != NULL);
    write_leave(svc);
}

static enum cellar_status row_submit(struct submit *submit, const struct svc_row_write *write,
                                     struct row_write *queued)
{
    struct entry entry = {.row = write->row, .token = write->token, .list = write->mutations};
    CELLAR_TRY(cellar_row_check(write->row, submit->error));
    CELLAR_TRY(svc_token_check(write->token, submit->error));
    CELLAR_ASSERT(write->row.bytes > 0);
    CELLAR_TRY(entry_check(submit, &entry, submit->error));
    return entry_append(submit, &entry, &queued->write, submit->error);
}

/* The block is allocated before the service is entered: a refusal for want of memory need not leave
 * again. */
enum cellar_status svc_mutate_row(struct svc *svc, const struct svc_request *request,
                                  const struct svc_row_write *write, struct cellar_error *error)
{
    struct submit submit = {.svc = svc, .error = error};
    struct row_write *queued = cellar_mem_alloc(sizeof *queued);
    CELLAR_ASSERT(write->done != NULL);
    if (queued == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a write");
    }
    *queued = (struct row_write){.svc = svc, .done = write->done, .context = write->context};
    queued->write.record.done = row_done;
    enum cellar_status status = write_enter(svc, error);
    if (status == CELLAR_OK) {
        bool has_token = write->token.data != NULL;
        status =
            submit_begin(&submit, request, write->table, has_token ? &write->token_time : NULL);
        if (status == CELLAR_OK) {
            status = row_submit(&submit, write, queued);
        }
        if (status != CELLAR_OK) {
            write_leave(svc);
        }
    }
    if (status != CELLAR_OK) {
        cellar_mem_free(queued);
    }
    submit_end(&submit);
    return status;
}

/* ---- many rows ------------------------------------------------------------------------------- */

struct entry_write {
    struct tablet_write write;
    struct rows_write *rows;
};

struct rows_write {
    struct svc *svc;
    svc_batch_done_fn *done;
    void *context;
    _Atomic uint32_t left; /* entries under way, and one for the submitting thread */
    uint32_t count;
    const struct cellar_error **results; /* NULL: applied; each error its own block of memory */
    struct entry_write entries[];
};

/* What an entry says when there is no memory to say more. */
static const struct cellar_error entry_no_memory = {
    .code = CELLAR_OUTCOME_UNKNOWN,
    .text = "no memory to tell what became of the entry",
};

/* Keeps an entry's error. An error that cannot be kept is told as unknown: to say nothing would
 * call it applied. */
static void entry_fail(struct rows_write *rows, size_t index, const struct cellar_error *error)
{
    struct cellar_error *kept = cellar_mem_alloc(sizeof *kept);
    CELLAR_ASSERT(index < rows->count && error->code != CELLAR_OK);
    if (kept != NULL) {
        *kept = *error;
    }
    rows->results[index] = kept != NULL ? kept : &entry_no_memory;
}

static void rows_write_free(struct rows_write *rows)
{
    CELLAR_ASSERT(rows == NULL || atomic_load(&rows->left) == 0 || rows->results == NULL);
    for (uint32_t i = 0; rows != NULL && rows->results != NULL && i < rows->count; i++) {
        if (rows->results[i] != &entry_no_memory) {
            cellar_mem_free((void *)(uintptr_t)rows->results[i]);
        }
    }
    cellar_mem_free(rows == NULL ? NULL : (void *)(uintptr_t)rows->results);
    cellar_mem_free(rows);
}

/* Counts what became of each row, before its client can hear of it. */
static void entries_count(const struct rows_write *rows)
{
    struct cellar_counter *totals = rows->svc->entry_totals;
    uint64_t failed_count = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->results[i] != NULL) {
            cellar_counter_add_shared(&totals[rows->results[i]->code], 1);
            failed_count++;
        }
    }
    CELLAR_ASSERT(failed_count <= rows->count);
    cellar_counter_add_shared(&totals[CELLAR_OK], rows->count - failed_count);
}

/* Entries end in any order and on any thread; whoever takes the count to zero tells the results. */
static void rows_release(struct rows_write *rows)
{
    if (atomic_fetch_sub(&rows->left, 1) > 1) {
        return;
    }
    struct svc *svc = rows->svc;
    CELLAR_ASSERT(rows->done != NULL);
    entries_count(rows);
    rows->done(rows->context, rows->results, rows->count);
    rows_write_free(rows);
    write_leave(svc);
}

static void entry_done(struct store_log_record *record, enum cellar_status status)
{
    struct tablet_write *write = CELLAR_CONTAINER_OF(record, struct tablet_write, record);
    struct entry_write *entry = CELLAR_CONTAINER_OF(write, struct entry_write, write);
    struct rows_write *rows = entry->rows;
    size_t index = (size_t)(entry - rows->entries);
    CELLAR_ASSERT(index < rows->count);
    if (status != CELLAR_OK) {
        struct cellar_error result;
        result_set(&result, write_status(write, status));
        entry_fail(rows, index, &result);
    }
    rows_release(rows);
}

/* Reads the token of an entry that has three parts. */
static enum cellar_status entry_token(struct cellar_cursor *from, struct entry *entry,
                                      struct cellar_error *error)
{
    if (cellar_wire_get_nil(from)) {
        return CELLAR_OK;
    }
    CELLAR_ASSERT(entry->token.data == NULL);
    if (!cellar_wire_get_bytes(from, &entry->token)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'token' : must be bytes or nil");
    }
    return svc_token_check(entry->token, error);
}

/* Reads [row, mutations] or [row, mutations, token] and checks its form. The form is checked for
 * all entries before any is applied, so here the request can still be refused whole. */
static enum cellar_status entry_decode(const struct submit *submit, struct cellar_cursor *from,
                                       struct entry *entry)
{
    struct cellar_error *error = submit->error;
    uint32_t parts = 0;
    entry->token = cellar_slice_make(NULL, 0);
    if (!cellar_wire_get_array(from, &parts) || parts < 2 || parts > 3 ||
        !cellar_wire_get_bytes(from, &entry->row) || !cellar_wire_skip(from, &entry->list)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "must be [row, mutations] or [row, mutations, token]");
    }
    if (parts == 3) {
        CELLAR_TRY(entry_token(from, entry, error));
    }
    CELLAR_TRY(cellar_row_check(entry->row, error));
    CELLAR_ASSERT(entry->row.bytes > 0);
    return entry_check(submit, entry, error);
}

static enum cellar_status sum_check(uint64_t sum, struct cellar_error *error)
{
    CELLAR_ASSERT(sum > 0);
    return sum <= CELLAR_MUTATION_COUNT_MAX
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Too many mutations: %llu provided; limit %u",
                                  (unsigned long long)sum, CELLAR_MUTATION_COUNT_MAX);
}

/* Checks every entry before anything is applied (R-BAT-06 to 08, R-KEY-10). */
static enum cellar_status entries_check(const struct submit *submit, struct cellar_slice list,
                                        struct entry **entries, uint32_t *count)
{
    struct cellar_error *error = submit->error;
    struct cellar_cursor from = cellar_cursor_make(list);
    uint64_t sum = 0;
    if (!cellar_wire_get_array(&from, count) || *count == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'entries' : No entries provided");
    }
    if (*count > CELLAR_MUTATION_COUNT_MAX) {
        return sum_check(*count, error); /* each has one mutation at least */
    }
    *entries = cellar_arena_alloc(&submit->scratch->arena, *count * sizeof **entries);
    if (*entries == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %u entries", *count);
    }
    for (uint32_t i = 0; i < *count; i++) {
        enum cellar_status status = entry_decode(submit, &from, &(*entries)[i]);
        if (status != CELLAR_OK) {
            cellar_error_prefix(error, ENTRY_PREFIX " ", i);
            return status;
        }
        sum += (*entries)[i].items.count;
    }
    CELLAR_ASSERT(sum >= *count);
    return sum_check(sum, error);
}

/* Queues one checked entry, or notes why it was refused. */
static void entry_submit(struct submit *submit, struct entry *entry, struct rows_write *rows,
                         uint32_t index)
{
    struct entry_write *write = &rows->entries[index];
    struct cellar_error result;
    write->rows = rows;
    write->write.record.done = entry_done;
    cellar_error_clear(&result);
    CELLAR_ASSERT(index < rows->count);
    atomic_fetch_add(&rows->left, 1);
    enum cellar_status status = entry_append(submit, entry, &write->write, &result);
    if (status != CELLAR_OK) {
        result.code = status;
        entry_fail(rows, index, &result);
        atomic_fetch_sub(&rows->left, 1); /* the submitting thread's one is left */
    }
}

static enum cellar_status rows_write_new(struct svc *svc, uint32_t count, struct rows_write **rows,
                                         struct cellar_error *error)
{
    struct rows_write *made =
        cellar_mem_zalloc(1, sizeof *made + count * sizeof(struct entry_write));
    if (made != NULL) {
        made->results = cellar_mem_zalloc(count, sizeof(const struct cellar_error *));
    }
    if (made == NULL || made->results == NULL) {
        rows_write_free(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %u entries", count);
    }
    CELLAR_ASSERT(count > 0);
    made->svc = svc;
    made->count = count;
    atomic_store(&made->left, 1);
    *rows = made;
    return CELLAR_OK;
}

/* Appended one by one, each in its own hold of the append lock: other writers come in between, and
 * a batch is no transaction. */
static enum cellar_status rows_submit(struct submit *submit, const struct svc_rows_write *write)
{
    struct entry *entries = NULL;
    struct rows_write *rows = NULL;
    uint32_t count = 0;
    CELLAR_TRY(entries_check(submit, write->entries, &entries, &count));
    CELLAR_TRY(rows_write_new(submit->svc, count, &rows, submit->error));
    CELLAR_ASSERT(entries != NULL && rows != NULL);
    rows->done = write->done;
    rows->context = write->context;
    for (uint32_t i = 0; i < count; i++) {
        entry_submit(submit, &entries[i], rows, i);
    }
    rows_release(rows);
    return CELLAR_OK;
}

enum cellar_status svc_mutate_rows(struct svc *svc, const struct svc_request *request,
                                   const struct svc_rows_write *write, struct cellar_error *error)
{
    struct submit submit = {.svc = svc, .error = error};
    CELLAR_ASSERT(write->done != NULL);
    CELLAR_TRY(write_enter(svc, error));
    enum cellar_status status = submit_begin(&submit, request, write->table, &write->token_time);
    if (status == CELLAR_OK) {
        status = rows_submit(&submit, write);
    }
    if (status != CELLAR_OK) {
        write_leave(svc);
    }
    submit_end(&submit);
    return status;
}
