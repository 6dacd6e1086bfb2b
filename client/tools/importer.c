/*
 * The pipeline of an import.
 *
 *     reader --add--> shard 0: [filling] [sending] --> worker 0 --MUTATE_ROWS-->
 *                     shard 1: [filling] [sending] --> worker 1 --MUTATE_ROWS-->
 *                     ...
 *
 * A row goes to the shard that its key's hash names. The shard's filling batch becomes its sending
 * one when it is full, as soon as the worker has finished the one before; until then the reader
 * waits, so that memory is bounded by two batches a worker. Records of one row pass through one
 * worker, one batch after the other, and never twice in a batch, whose entries have no order: so
 * the later line wins, as it would in a file that is applied line by line.
 *
 * A shard, as the lock sees it:
 *
 *     idle (is_sending false) --reader: filling is full, swap--> busy (is_sending true)
 *     busy --worker: every row accounted for, sending emptied--> idle
 *
 * A batch that the server refuses whole, because one entry is malformed, is sent again row by row:
 * the bad row is found and the others are written. What says "not now" or "unknown" after the
 * library's retries ends the import; what is wrong with a row refuses that row.
 *
 * The lock guards what reader and workers share: states of shards, counts, refusals, the failure.
 * Batches belong to the reader while filling and to the worker while sending.
 */

#include "client/tools/importer.h"

#include <pthread.h>
#include <stdlib.h>

#include "client/tools/escape.h"
#include "client/tools/name_count.h"
#include "common/mem.h"
#include "common/sync.h"

#define BATCH_BYTES_MAX 1048576u
#define BATCH_MUTATIONS_MAX 50000u

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
    struct cellar_import_counts counts CELLAR_GUARDED_BY(lock);
    struct cellar_refusal refusals[CELLAR_IMPORT_REFUSALS_MAX] CELLAR_GUARDED_BY(lock);
    size_t refusal_count CELLAR_GUARDED_BY(lock);
};

/* ---- accounts ------------------------------------------------------------------------------ */

/* Keeps a refusal if it is among the first by line. */
static void refusal_note(struct cellar_importer *importer, uint64_t line, const char *text)
    CELLAR_REQUIRES(importer->lock)
{
    size_t at = importer->refusal_count;
    importer->counts.refused_count++;
    CELLAR_ASSERT(at <= CELLAR_IMPORT_REFUSALS_MAX);
    if (at == CELLAR_IMPORT_REFUSALS_MAX) {
        if (line >= importer->refusals[at - 1].line) {
            return;
        }
        at--;
    } else {
        importer->refusal_count++;
    }
    while (at > 0 && importer->refusals[at - 1].line > line) {
        importer->refusals[at] = importer->refusals[at - 1];
        at--;
    }
    importer->refusals[at].line = line;
    (void)snprintf(importer->refusals[at].text, sizeof importer->refusals[at].text, "%.255s", text);
}

/* Counts a row that was written. */
static void row_note(struct cellar_importer *importer, const struct cellar_record *record)
    CELLAR_REQUIRES(importer->lock)
{
    struct cellar_buffer text = {0};
    importer->counts.row_count++;
    importer->counts.cell_count += record->cell_count;
    importer->counts.value_bytes += record->value_bytes;
    if (importer->options.ledger == NULL) {
        return;
    }
    CELLAR_ASSERT(record->key.bytes > 0);
    if (cellar_escape_encode(cellar_slice_of(&record->key), CELLAR_ESCAPE_PLAIN, &text) ==
        CELLAR_OK) {
        (void)fprintf(importer->options.ledger, "%.*s\n", (int)text.bytes, (const char *)text.data);
    }
    cellar_buffer_fini(&text);
}

/* True when a code speaks of the row and not of the server's state. */
static bool is_refusal(enum cellar_code code)
{
    CELLAR_ASSERT(code != CELLAR_E_OK);
    return code == CELLAR_E_INVALID_ARGUMENT || code == CELLAR_E_NOT_FOUND ||
           code == CELLAR_E_UNIMPLEMENTED || code == CELLAR_E_FAILED_PRECONDITION;
}

/* Accounts for one row's result. */
static void result_note(struct cellar_importer *importer, const struct cellar_record *record,
                        const struct cellar_failure *failure)
{
    cellar_mutex_lock(&importer->lock);
    CELLAR_ASSERT(record->line > 0);
    if (failure->code == CELLAR_E_OK) {
        row_note(importer, record);
    } else if (is_refusal(failure->code)) {
        refusal_note(importer, record->line, failure->text);
    } else if (importer->failure.code == CELLAR_OK) {
        (void)cellar_error_set(&importer->failure, (enum cellar_status)failure->code, "%s",
                               failure->text);
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

void cellar_importer_refuse(struct cellar_importer *importer, uint64_t line, const char *text)
{
    CELLAR_ASSERT(line > 0);
    cellar_mutex_lock(&importer->lock);
    refusal_note(importer, line, text);
    cellar_mutex_unlock(&importer->lock);
}

struct cellar_import_counts cellar_importer_counts(struct cellar_importer *importer)
{
    CELLAR_ASSERT(importer != NULL);
    cellar_mutex_lock(&importer->lock);
    struct cellar_import_counts counts = importer->counts;
    cellar_mutex_unlock(&importer->lock);
    return counts;
}

/* ---- workers ------------------------------------------------------------------------------- */

/* The key of a record, as the library takes it. */
static struct cellar_view key_of(const struct cellar_record *record)
{
    CELLAR_ASSERT(record->key.bytes > 0);
    return cellar_view_of(record->key.data, record->key.bytes);
}

/* Sends the rows of a batch one by one. */
static void rows_send(struct shard *shard)
{
    const struct cellar_importer_options *options = &shard->importer->options;
    CELLAR_ASSERT(shard->sending.count > 0);
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        const struct cellar_record *record = &shard->sending.records[index];
        struct cellar_call call = {0};
        if (has_failed(shard->importer)) {
            return;
        }
        (void)cellar_mutate_row(options->client, options->table, key_of(record), record->list,
                                &call);
        result_note(shard->importer, record, &call.failure);
    }
}

/* Sends a batch and accounts for its rows. */
static void batch_send(struct shard *shard)
{
    const struct cellar_importer_options *options = &shard->importer->options;
    struct cellar_call call = {0};
    CELLAR_ASSERT(shard->sending.count > 0);
    cellar_batch_clear(shard->request);
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        cellar_batch_add(shard->request, key_of(&shard->sending.records[index]),
                         shard->sending.records[index].list);
    }
    enum cellar_code code =
        cellar_mutate_rows(options->client, options->table, shard->request, &call);
    if (code == CELLAR_E_INVALID_ARGUMENT || code == CELLAR_E_UNIMPLEMENTED) {
        rows_send(shard);
        return;
    }
    if (code == CELLAR_E_NOT_FOUND) { /* the table: no row is at fault */
        cellar_mutex_lock(&shard->importer->lock);
        (void)cellar_error_set(&shard->importer->failure, CELLAR_NOT_FOUND, "%s",
                               call.failure.text);
        cellar_mutex_unlock(&shard->importer->lock);
        return;
    }
    for (uint32_t index = 0; index < shard->sending.count; index++) {
        struct cellar_failure failure;
        (void)cellar_batch_result(shard->request, index, &failure);
        result_note(shard->importer, &shard->sending.records[index], &failure);
    }
    if (options->ledger != NULL) {
        (void)fflush(options->ledger);
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

/* Makes the filling batch the sending one, once the worker is free. */
static void shard_flush(struct shard *shard)
{
    struct cellar_importer *importer = shard->importer;
    if (shard->filling.count == 0) {
        return;
    }
    cellar_mutex_lock(&importer->lock);
    while (shard->is_sending) {
        cellar_cond_wait(&importer->changed, &importer->lock);
    }
    CELLAR_ASSERT(shard->sending.count == 0);
    struct import_batch empty = shard->sending;
    shard->sending = shard->filling;
    shard->filling = empty;
    shard->is_sending = true;
    cellar_cond_broadcast(&importer->changed);
    cellar_mutex_unlock(&importer->lock);
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

enum cellar_status cellar_importer_add(struct cellar_importer *importer,
                                       struct cellar_record *record, struct cellar_error *error)
{
    uint64_t hash = cellar_name_hash(cellar_slice_of(&record->key));
    struct shard *shard = &importer->shards[(hash >> 32) % importer->options.worker_count];
    size_t bytes = record->key.bytes + cellar_mutations_bytes(record->list);
    CELLAR_ASSERT(record->cell_count > 0 && record->line > 0);
    cellar_mutex_lock(&importer->lock);
    *error = importer->failure;
    cellar_mutex_unlock(&importer->lock);
    if (error->code != CELLAR_OK) {
        return error->code;
    }
    struct import_batch *batch = &shard->filling;
    /*
     * A batch is sent before it is full when it holds this row already, since its entries have no
     * order, or would become too large. Two keys of one hash only cost a batch that is sent early.
     */
    if (batch_has(batch, hash) || batch->bytes + bytes > BATCH_BYTES_MAX ||
        batch->cell_count + record->cell_count > BATCH_MUTATIONS_MAX) {
        shard_flush(shard);
    }
    CELLAR_ASSERT(batch->count < importer->options.batch_rows_max);
    /* The records change places, so that the memory of old rows serves new ones. */
    struct cellar_record empty = batch->records[batch->count];
    batch->records[batch->count] = *record;
    batch->hashes[batch->count++] = hash;
    batch->bytes += bytes;
    batch->cell_count += record->cell_count;
    *record = empty;
    if (batch->count == importer->options.batch_rows_max) {
        shard_flush(shard);
    }
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

enum cellar_status cellar_importer_finish(struct cellar_importer *importer,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(importer != NULL);
    for (uint32_t index = 0; index < importer->options.worker_count; index++) {
        CELLAR_ASSERT(importer->shards[index].has_thread);
        shard_flush(&importer->shards[index]);
    }
    workers_stop(importer);
    cellar_mutex_lock(&importer->lock);
    *error = importer->failure;
    cellar_mutex_unlock(&importer->lock);
    return error->code;
}

/* The workers have ended. */
size_t cellar_importer_refusals(struct cellar_importer *importer,
                                const struct cellar_refusal **refusals) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(importer->is_ending);
    *refusals = importer->refusals;
    return importer->refusal_count;
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
    if (made->shards == NULL) {
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
