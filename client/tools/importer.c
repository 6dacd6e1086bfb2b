/*
 * The pipeline of an import.
 *
 *     reader --add--> shard 0: [filling] [sending] --> worker 0 --MUTATE_ROWS-->
 *                     shard 1: [filling] [sending] --> worker 1 --MUTATE_ROWS-->
 *                     ...
 *     reader <-settle-- window <---------------------- results
 *
 * A row goes to the shard that its key's hash names. The shard's filling batch becomes its sending
 * one when it is full, as soon as the worker has finished the one before; until then the reader
 * waits, so that memory is bounded by two batches a worker and the window. Records of one row pass
 * through one worker, one batch after the other, and never twice in a batch, whose entries have no
 * order: so the later line wins, as it would in a file that is applied line by line. A row that is
 * too large for one write comes as several records, which for the same reason are written in order.
 *
 * A shard, as the lock sees it:
 *
 *     idle (is_sending false) --reader: filling is full, swap--> busy (is_sending true)
 *     busy --worker: every row accounted for, sending emptied--> idle
 *
 * A batch that the server refuses whole, because one entry is malformed, is sent again row by row:
 * the bad row is found and the others are written. Every cell has a timestamp of its own, so a
 * batch may be sent any number of times: what says "not now" or "unknown" after the library's own
 * retries is sent again until the patience is over or an interrupt comes, and ends the import then;
 * what is wrong with a row refuses that row.
 *
 * The lock guards what reader and workers share: states of shards, the window, the failure. Batches
 * belong to the reader while filling and to the worker while sending.
 */

#include "client/tools/importer.h"

#include <pthread.h>
#include <stdio.h>

#include "client/tools/name_count.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/sync.h"

#define BATCH_BYTES_MAX 1048576u
#define BATCH_MUTATIONS_MAX 50000u
#define WAIT_US INT64_C(100000)
#define ATTEMPT_US_FIRST                                                                           \
    INT64_C(5000000) /* for an answer; doubled when it does not come in time                       \
                      */
#define PAUSE_US INT64_C(200000)
#define WINDOW_BATCHES 4u /* rows in the window: so many batches a worker */

/* Rows that are sent together. */
struct import_batch {
    struct cellar_record *records; /* batch_rows_max of them; the first `count` are in use */
    uint64_t *hashes;              /* of their keys */
    uint32_t count;
    size_t bytes;
    uint64_t cell_count;
};

/* One worker and its two batches. */
struct shard {
    struct cellar_importer *importer;
    pthread_t thread;
    bool has_thread;
    struct import_batch filling;
    struct import_batch sending;
    bool is_old;                  /* the filling batch was there at the last push */
    struct cellar_batch *request; /* the worker's */
    bool is_sending CELLAR_GUARDED_BY(lock);
};

struct cellar_importer {
    struct cellar_importer_options options;
    struct shard *shards;
    struct cellar_mutex lock;
    struct cellar_cond changed; /* is_sending of a shard, or is_ending */
    bool is_ending CELLAR_GUARDED_BY(lock);
    struct cellar_error failure CELLAR_GUARDED_BY(lock); /* CELLAR_OK while all is well */
    struct cellar_import_window window CELLAR_GUARDED_BY(lock);
};

/* ---- accounts ------------------------------------------------------------------------------ */

/* True when a code speaks of the row and not of the server's state. */
static bool is_refusal(enum cellar_code code)
{
    CELLAR_ASSERT(code != CELLAR_E_OK);
    return code == CELLAR_E_INVALID_ARGUMENT || code == CELLAR_E_NOT_FOUND ||
           code == CELLAR_E_UNIMPLEMENTED || code == CELLAR_E_FAILED_PRECONDITION;
}

/* True when the same write may be applied later; all of an import's writes may be sent twice. */
static bool is_for_later(enum cellar_code code)
{
    CELLAR_ASSERT((unsigned int)code < CELLAR_STATUS_COUNT);
    return code == CELLAR_E_UNAVAILABLE || code == CELLAR_E_DEADLINE_EXCEEDED ||
           code == CELLAR_E_OUTCOME_UNKNOWN || code == CELLAR_E_ABORTED;
}

/* Keeps the first failure that ends the import. */
static void failure_note(struct cellar_importer *importer, const struct cellar_failure *failure)
    CELLAR_REQUIRES(importer->lock)
{
    CELLAR_ASSERT(failure->code != CELLAR_E_OK);
    if (importer->failure.code == CELLAR_OK) {
        (void)cellar_error_set(&importer->failure, (enum cellar_status)failure->code, "%s",
                               failure->text);
    }
}

/* A refusal with the lines of a record, which loses them; NULL without memory. */
static struct cellar_refusal *refusal_of(struct cellar_record *record, const char *text)
{
    struct cellar_refusal *refusal = cellar_refusal_new(text);
    CELLAR_ASSERT(record->line > 0 && record->line <= record->line_last);
    if (refusal != NULL) {
        refusal->line = record->line;
        refusal->line_last = record->line_last;
        refusal->raw = record->raw;
        record->raw = (struct cellar_buffer){0};
    }
    return refusal;
}

/* Accounts for one row's result. */
static void result_note(struct cellar_importer *importer, struct cellar_record *record,
                        const struct cellar_failure *failure)
{
    bool is_refused = failure->code != CELLAR_E_OK && is_refusal(failure->code);
    struct cellar_refusal *refusal = is_refused ? refusal_of(record, failure->text) : NULL;
    CELLAR_ASSERT(record->line > 0);
    cellar_mutex_lock(&importer->lock);
    if (failure->code == CELLAR_E_OK) {
        if (record->is_rest && !record->has_more) {
            cellar_window_keep_take(&importer->window, record->sequence, &record->raw);
        }
        cellar_window_written(&importer->window, record->sequence, record->cell_count,
                              record->value_bytes);
    } else if (refusal != NULL) {
        cellar_window_refused_take(&importer->window, record->sequence, refusal);
    } else if (is_refused && importer->failure.code == CELLAR_OK) {
        (void)cellar_error_set(&importer->failure, CELLAR_NO_MEMORY, "No memory for an import");
    } else if (!is_refused) {
        failure_note(importer, failure);
    }
    cellar_mutex_unlock(&importer->lock);
}

/* True once something ended the import: nothing is sent any more. */
static bool has_failed(struct cellar_importer *importer)
{
    CELLAR_ASSERT(importer != NULL);
    cellar_mutex_lock(&importer->lock);
    bool is_failed = importer->failure.code != CELLAR_OK;
    cellar_mutex_unlock(&importer->lock);
    return is_failed;
}

struct cellar_refusal *cellar_importer_settle(struct cellar_importer *importer,
                                              struct cellar_import_counts *counts)
{
    CELLAR_ASSERT(importer != NULL);
    cellar_mutex_lock(&importer->lock);
    struct cellar_refusal *refusals = cellar_window_settle(&importer->window, counts);
    cellar_mutex_unlock(&importer->lock);
    return refusals;
}

/* ---- workers ------------------------------------------------------------------------------- */

/* The key of a record, as the library takes it. */
static struct cellar_view key_of(const struct cellar_record *record)
{
    CELLAR_ASSERT(record->key.bytes > 0);
    return cellar_view_of(record->key.data, record->key.bytes);
}

/* The attempts of one request. */
struct attempts {
    int64_t timeout_us; /* of the next one */
    int64_t end_us;     /* monotonic: when the patience is over */
};

/* The first attempt of a request. */
static struct attempts attempts_start(const struct cellar_importer *importer)
{
    int64_t patience_us = importer->options.patience_us;
    CELLAR_ASSERT(patience_us > 0);
    return (struct attempts){.timeout_us = CELLAR_MIN(ATTEMPT_US_FIRST, patience_us),
                             .end_us = cellar_clock_monotonic_us() + patience_us};
}

/* After an attempt: true to make another one, having waited before it. */
static bool attempt_again(struct cellar_importer *importer, struct attempts *attempts,
                          enum cellar_code code)
{
    if (!is_for_later(code) || has_failed(importer) ||
        cellar_interrupt_pause(importer->options.interrupt, PAUSE_US)) {
        return false;
    }
    int64_t left_us = attempts->end_us - cellar_clock_monotonic_us();
    CELLAR_ASSERT(attempts->timeout_us > 0);
    if (code == CELLAR_E_DEADLINE_EXCEEDED) {
        attempts->timeout_us *= 2; /* a slow server must not be asked the same thing for ever */
    }
    attempts->timeout_us = CELLAR_MIN(attempts->timeout_us, left_us);
    return left_us > 0;
}

/* Sends the rows of a batch one by one. */
static void rows_send(struct shard *shard)
{
    const struct cellar_importer_options *options = &shard->importer->options;
    CELLAR_ASSERT(shard->sending.count > 0);
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        struct cellar_record *record = &shard->sending.records[index];
        struct attempts attempts = attempts_start(shard->importer);
        struct cellar_call call = {0};
        if (has_failed(shard->importer)) {
            return;
        }
        do {
            call.timeout_us = attempts.timeout_us;
            (void)cellar_mutate_row(options->client, options->table, key_of(record), record->list,
                                    &call);
        } while (attempt_again(shard->importer, &attempts, call.failure.code));
        result_note(shard->importer, record, &call.failure);
    }
}

/* The code that decides whether a sent batch is sent again: one of those that ask for it, if any
 * entry has one. */
static enum cellar_code batch_code(const struct shard *shard, enum cellar_code code)
{
    CELLAR_ASSERT(shard->sending.count > 0);
    if (code != CELLAR_E_OK || cellar_batch_failed_count(shard->request) == 0) {
        return code;
    }
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        enum cellar_code entry_code = cellar_batch_result(shard->request, index, NULL);
        if (is_for_later(entry_code)) {
            return entry_code;
        }
    }
    return code;
}

/* Sends a batch and accounts for its rows. */
static void batch_send(struct shard *shard)
{
    const struct cellar_importer_options *options = &shard->importer->options;
    struct attempts attempts = attempts_start(shard->importer);
    struct cellar_call call = {0};
    enum cellar_code code;
    CELLAR_ASSERT(shard->sending.count > 0);
    do {
        cellar_batch_clear(shard->request);
        for (uint32_t index = 0; index < shard->sending.count; index++) {
            cellar_batch_add(shard->request, key_of(&shard->sending.records[index]),
                             shard->sending.records[index].list);
        }
        call.timeout_us = attempts.timeout_us;
        code = cellar_mutate_rows(options->client, options->table, shard->request, &call);
    } while (attempt_again(shard->importer, &attempts, batch_code(shard, code)));
    if (code == CELLAR_E_INVALID_ARGUMENT || code == CELLAR_E_UNIMPLEMENTED) {
        rows_send(shard);
        return;
    }
    if (code == CELLAR_E_NOT_FOUND) { /* the table: no row is at fault */
        cellar_mutex_lock(&shard->importer->lock);
        failure_note(shard->importer, &call.failure);
        cellar_mutex_unlock(&shard->importer->lock);
        return;
    }
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        struct cellar_failure failure;
        (void)cellar_batch_result(shard->request, index, &failure);
        result_note(shard->importer, &shard->sending.records[index], &failure);
    }
}

/* Empties a batch whose rows were answered; the records keep their memory. */
static void batch_empty(struct import_batch *batch)
{
    for (uint32_t index = 0; index < batch->count; index++) {
        CELLAR_ASSERT(batch->records[index].line > 0);
        cellar_record_clear(&batch->records[index]);
    }
    batch->count = 0;
    batch->bytes = 0;
    batch->cell_count = 0;
}

/* Waits for a batch; false when there will be none. */
static bool batch_wait(struct shard *shard)
{
    struct cellar_importer *importer = shard->importer;
    cellar_mutex_lock(&importer->lock);
    while (!shard->is_sending && !importer->is_ending) {
        cellar_cond_wait(&importer->changed, &importer->lock);
    }
    bool has_batch = shard->is_sending;
    cellar_mutex_unlock(&importer->lock);
    CELLAR_ASSERT(!has_batch || shard->sending.count > 0);
    return has_batch;
}

/* A worker: sends its shard's batches until the import ends. */
static void *worker_main(void *argument)
{
    struct shard *shard = argument;
    struct cellar_importer *importer = shard->importer;
    while (batch_wait(shard)) {
        if (!has_failed(importer)) {
            batch_send(shard);
        }
        batch_empty(&shard->sending);
        cellar_mutex_lock(&importer->lock);
        CELLAR_ASSERT(shard->is_sending);
        shard->is_sending = false;
        cellar_cond_broadcast(&importer->changed);
        cellar_mutex_unlock(&importer->lock);
    }
    return NULL;
}

/* ---- the reader's side --------------------------------------------------------------------- */

/* Waits a little for a change; false when the reader is to give up. */
static bool change_wait(struct cellar_importer *importer) CELLAR_REQUIRES(importer->lock)
{
    (void)cellar_cond_timedwait(&importer->changed, &importer->lock,
                                cellar_clock_monotonic_us() + WAIT_US);
    if (importer->options.on_wait == NULL) {
        return true;
    }
    cellar_mutex_unlock(&importer->lock);
    bool is_going_on = importer->options.on_wait(importer->options.context);
    cellar_mutex_lock(&importer->lock);
    return is_going_on;
}

/* Makes the filling batch the sending one of a worker that is free. */
static void shard_swap(struct cellar_importer *importer, struct shard *shard)
    CELLAR_REQUIRES(importer->lock)
{
    struct import_batch empty = shard->sending;
    CELLAR_ASSERT(!shard->is_sending && shard->sending.count == 0);
    shard->sending = shard->filling;
    shard->filling = empty;
    shard->is_sending = true;
    shard->is_old = false;
    cellar_cond_broadcast(&importer->changed);
}

/* Makes the filling batch the sending one, once the worker is free; false when on_wait ended it. */
static bool shard_flush(struct shard *shard)
{
    struct cellar_importer *importer = shard->importer;
    bool is_going_on = true;
    if (shard->filling.count == 0) {
        return true;
    }
    cellar_mutex_lock(&importer->lock);
    /* on_wait may push this very batch. */
    while (shard->is_sending && shard->filling.count > 0 && is_going_on) {
        is_going_on = change_wait(importer);
    }
    if (!shard->is_sending && shard->filling.count > 0) {
        shard_swap(importer, shard);
    }
    cellar_mutex_unlock(&importer->lock);
    CELLAR_ASSERT(!is_going_on || shard->filling.count == 0);
    return is_going_on;
}

void cellar_importer_push(struct cellar_importer *importer)
{
    cellar_mutex_lock(&importer->lock);
    for (uint32_t index = 0; index < importer->options.worker_count; index++) {
        struct shard *shard = &importer->shards[index];
        CELLAR_ASSERT(shard->importer == importer);
        if (shard->filling.count > 0 && shard->is_old && !shard->is_sending) {
            shard_swap(importer, shard);
        }
        shard->is_old = shard->filling.count > 0;
    }
    cellar_mutex_unlock(&importer->lock);
}

/* Sends everything that is there; false when on_wait ended it. */
static bool shards_flush(struct cellar_importer *importer)
{
    bool is_going_on = true;
    CELLAR_ASSERT(importer->shards != NULL);
    for (uint32_t index = 0; is_going_on && index < importer->options.worker_count; index++) {
        is_going_on = shard_flush(&importer->shards[index]);
    }
    return is_going_on;
}

/* Waits until the window has room; only on_wait settles, so one that does not is waited for. */
static enum cellar_status room_wait(struct cellar_importer *importer, struct cellar_error *error)
{
    cellar_mutex_lock(&importer->lock);
    bool is_full = cellar_window_is_full(&importer->window);
    cellar_mutex_unlock(&importer->lock);
    /* The oldest row may stand in a batch that is not full. */
    bool is_going_on = !is_full || shards_flush(importer);
    cellar_mutex_lock(&importer->lock);
    CELLAR_ASSERT(importer->options.on_wait != NULL || !is_full);
    while (is_going_on && importer->failure.code == CELLAR_OK &&
           cellar_window_is_full(&importer->window)) {
        is_going_on = change_wait(importer);
    }
    *error = importer->failure;
    cellar_mutex_unlock(&importer->lock);
    return error->code != CELLAR_OK || is_going_on
               ? error->code
               : cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
}

/* True when the batch holds a row of that hash. */
static bool batch_has(const struct import_batch *batch, uint64_t hash)
{
    CELLAR_ASSERT(batch->count <= CELLAR_IMPORT_BATCH_ROWS_MAX);
    for (uint32_t index = 0; index < batch->count; index++) {
        if (batch->hashes[index] == hash) {
            return true;
        }
    }
    return false;
}

/* Puts a record into a batch that has room; the records change places, so that the memory of old
 * rows serves new ones. */
static void batch_put(struct import_batch *batch, struct cellar_record *record, uint64_t hash)
{
    struct cellar_record empty = batch->records[batch->count];
    batch->bytes += record->key.bytes + cellar_mutations_bytes(record->list);
    batch->cell_count += record->cell_count;
    batch->records[batch->count] = *record;
    batch->hashes[batch->count++] = hash;
    CELLAR_ASSERT(empty.cell_count == 0);
    *record = empty;
}

/* Adds to the window; for a dry import that is all. */
static void window_add(struct cellar_importer *importer, struct cellar_record *record,
                       struct cellar_import_place place)
{
    const struct cellar_window_item item = {
        .place = place, .raw_bytes = record->raw.bytes, .has_more = record->has_more};
    cellar_mutex_lock(&importer->lock);
    record->sequence = cellar_window_add(&importer->window, &item);
    if (importer->options.is_dry) {
        cellar_window_written(&importer->window, record->sequence, record->cell_count,
                              record->value_bytes);
    }
    cellar_mutex_unlock(&importer->lock);
    CELLAR_ASSERT(record->line > 0);
}

enum cellar_status cellar_importer_add(struct cellar_importer *importer,
                                       struct cellar_record *record,
                                       struct cellar_import_place place, struct cellar_error *error)
{
    uint64_t hash = cellar_name_hash(cellar_slice_of(&record->key));
    struct shard *shard = &importer->shards[(hash >> 32) % importer->options.worker_count];
    size_t bytes = record->key.bytes + cellar_mutations_bytes(record->list);
    struct import_batch *batch = &shard->filling;
    CELLAR_ASSERT(record->cell_count > 0 && record->line > 0);
    CELLAR_TRY(room_wait(importer, error));
    if (importer->options.is_dry) {
        window_add(importer, record, place);
        cellar_record_clear(record);
        return CELLAR_OK;
    }
    /*
     * A batch is sent before it is full when it holds this row already, since its entries have no
     * order, or would become too large. Two keys of one hash only cost a batch that is sent early.
     */
    bool is_full = batch->count == importer->options.batch_rows_max || batch_has(batch, hash) ||
                   batch->bytes + bytes > BATCH_BYTES_MAX ||
                   batch->cell_count + record->cell_count > BATCH_MUTATIONS_MAX;
    if (is_full && !shard_flush(shard)) {
        return cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
    }
    window_add(importer, record, place);
    batch_put(batch, record, hash);
    return batch->count < importer->options.batch_rows_max || shard_flush(shard)
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
}

enum cellar_status cellar_importer_refuse(struct cellar_importer *importer,
                                          struct cellar_record *record,
                                          struct cellar_import_place place,
                                          struct cellar_error *error)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%.255s", error->text);
    CELLAR_TRY(room_wait(importer, error));
    const struct cellar_window_item item = {
        .place = place, .raw_bytes = record->raw.bytes, .has_more = record->has_more};
    struct cellar_refusal *refusal = refusal_of(record, text);
    CELLAR_ASSERT(record->line > 0 && (!record->has_more || item.raw_bytes == 0));
    if (refusal == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    cellar_mutex_lock(&importer->lock);
    uint64_t sequence = cellar_window_add(&importer->window, &item);
    cellar_window_refused_take(&importer->window, sequence, refusal);
    cellar_mutex_unlock(&importer->lock);
    cellar_record_clear(record);
    return CELLAR_OK;
}

/* Ends the workers, each behind the batch it has. */
static void workers_stop(struct cellar_importer *importer)
{
    cellar_mutex_lock(&importer->lock);
    importer->is_ending = true;
    cellar_cond_broadcast(&importer->changed);
    cellar_mutex_unlock(&importer->lock);
    CELLAR_ASSERT(importer->shards != NULL);
    for (uint32_t index = 0; index < importer->options.worker_count; index++) {
        if (importer->shards[index].has_thread) {
            (void)pthread_join(importer->shards[index].thread, NULL);
            importer->shards[index].has_thread = false;
        }
    }
}

/* Waits until no batch is in flight. */
static void workers_wait(struct cellar_importer *importer)
{
    cellar_mutex_lock(&importer->lock);
    for (uint32_t index = 0; index < importer->options.worker_count; index++) {
        CELLAR_ASSERT(importer->shards[index].importer == importer);
        while (importer->shards[index].is_sending) {
            (void)change_wait(importer);
        }
    }
    cellar_mutex_unlock(&importer->lock);
}

enum cellar_status cellar_importer_finish(struct cellar_importer *importer, bool is_stopped,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(importer != NULL);
    bool is_going_on = is_stopped || shards_flush(importer);
    workers_wait(importer);
    workers_stop(importer);
    cellar_mutex_lock(&importer->lock);
    *error = importer->failure;
    cellar_mutex_unlock(&importer->lock);
    return error->code != CELLAR_OK || is_going_on
               ? error->code
               : cellar_error_set(error, CELLAR_CANCELLED, "Interrupted");
}

/* ---- making and freeing -------------------------------------------------------------------- */

/* Makes room for the rows of a batch; false without memory. */
static bool batch_init(struct import_batch *batch, uint32_t rows_max)
{
    CELLAR_ASSERT(batch->records == NULL);
    batch->records = cellar_mem_zalloc(rows_max, sizeof *batch->records);
    batch->hashes = cellar_mem_zalloc(rows_max, sizeof *batch->hashes);
    return batch->records != NULL && batch->hashes != NULL;
}

/* Frees a batch, also one that batch_init() left half made. */
static void batch_fini(struct import_batch *batch, uint32_t rows_max)
{
    for (uint32_t index = 0; batch->records != NULL && index < rows_max; index++) {
        cellar_record_fini(&batch->records[index]);
    }
    CELLAR_ASSERT(batch->count <= rows_max);
    cellar_mem_free(batch->records);
    cellar_mem_free(batch->hashes);
}

/* Frees the shards, whose workers have ended. */
static void shards_free(struct cellar_importer *importer)
{
    uint32_t rows_max = importer->options.batch_rows_max;
    for (uint32_t index = 0; index < importer->options.worker_count; index++) {
        struct shard *shard = &importer->shards[index];
        CELLAR_ASSERT(!shard->has_thread);
        batch_fini(&shard->filling, rows_max);
        batch_fini(&shard->sending, rows_max);
        cellar_batch_free(shard->request);
    }
    cellar_mem_free(importer->shards);
}

/* Makes the window before any worker is there; false without memory. */
static bool window_init(struct cellar_importer *importer) CELLAR_NO_THREAD_SAFETY
{
    const struct cellar_importer_options *options = &importer->options;
    uint64_t rows = (uint64_t)options->worker_count * options->batch_rows_max * WINDOW_BATCHES;
    CELLAR_ASSERT(rows > 0);
    return cellar_window_init(&importer->window, rows) == CELLAR_OK;
}

/* Frees the window when no worker is there any more. */
static void window_fini(struct cellar_importer *importer) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(importer->shards == NULL || importer->is_ending);
    cellar_window_fini(&importer->window);
}

void cellar_importer_free(struct cellar_importer *importer)
{
    if (importer == NULL) {
        return;
    }
    CELLAR_ASSERT(importer->options.worker_count >= 1);
    if (importer->shards != NULL) {
        workers_stop(importer);
        shards_free(importer);
    }
    window_fini(importer);
    cellar_cond_fini(&importer->changed);
    cellar_mutex_fini(&importer->lock);
    cellar_mem_free(importer);
}

/* Makes a shard and starts its worker. */
static enum cellar_status shard_start(struct cellar_importer *importer, struct shard *shard,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(!shard->has_thread);
    shard->importer = importer;
    shard->request = cellar_batch_new();
    if (shard->request == NULL || !batch_init(&shard->filling, importer->options.batch_rows_max) ||
        !batch_init(&shard->sending, importer->options.batch_rows_max)) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    if (pthread_create(&shard->thread, NULL, worker_main, shard) != 0) {
        return cellar_error_set(error, CELLAR_RESOURCE_EXHAUSTED,
                                "No thread for an import; try a smaller --parallel");
    }
    shard->has_thread = true;
    return CELLAR_OK;
}

enum cellar_status cellar_importer_start(const struct cellar_importer_options *options,
                                         struct cellar_importer **importer,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(options->worker_count >= 1 && options->worker_count <= CELLAR_IMPORT_WORKERS_MAX);
    CELLAR_ASSERT(options->batch_rows_max >= 1 &&
                  options->batch_rows_max <= CELLAR_IMPORT_BATCH_ROWS_MAX);
    struct cellar_importer *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    made->options = *options;
    cellar_mutex_init(&made->lock);
    cellar_cond_init(&made->changed);
    made->shards = cellar_mem_zalloc(options->worker_count, sizeof *made->shards);
    if (made->shards == NULL || !window_init(made)) {
        cellar_importer_free(made);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for an import");
    }
    enum cellar_status status = CELLAR_OK;
    for (uint32_t index = 0; status == CELLAR_OK && index < options->worker_count; index++) {
        status = shard_start(made, &made->shards[index], error);
    }
    if (status != CELLAR_OK) {
        cellar_importer_free(made);
        return status;
    }
    *importer = made;
    return CELLAR_OK;
}
