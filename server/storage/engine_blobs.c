/*
 * The engine's blobs: the clean-up of a start, and what goes with a store.
 *
 * A start fixes the set of names once, when the log is replayed and before anything is served: what
 * the environments list and what the records above their applied LSNs name. Files that were there
 * at the open and are not in that set are removed; those that are made from then on are not looked
 * at. `tests/models/blobs.pml` has the reasons.
 *
 * A file that is named and missing does not end the start: its cell says so when it is read, and
 * the rest is served.
 */
#include <inttypes.h>

#include "common/log.h"
#include "common/mem.h"
#include "server/storage/engine_internal.h"

enum cellar_status store_engine_blobs_open(struct store_engine *engine, struct cellar_error *error)
{
    char path[PATH_MAX];
    CELLAR_ASSERT(engine->log != NULL && engine->blobs == NULL);
    store_data_dir_blobs(&engine->dir, path);
    return store_blobs_open(path, store_log_id(engine->log), &engine->blobs, error);
}

/* What a walk of names works with. */
struct naming {
    struct store_blobs *blobs;
    uint32_t store_id;
};

static enum cellar_status blob_name(void *context, uint64_t id)
{
    const struct naming *naming = context;
    CELLAR_ASSERT(id > 0);
    if (!store_blobs_name(naming->blobs, id)) {
        cellar_log(CELLAR_LOG_ERROR, "blob_missing", "store=%u blob=%016" PRIx64, naming->store_id,
                   id);
    }
    return CELLAR_OK;
}

/* A list that cannot be read may name any file: all of them are kept, and the store is served as
 * far as it can be. */
void store_engine_blobs_name(struct store_engine *engine, struct store *store)
{
    struct naming naming = {engine->blobs, store->id};
    CELLAR_ASSERT(!engine->is_started);
    enum cellar_status status = store_blobs_listed(store, blob_name, &naming);
    if (status != CELLAR_OK) {
        store_blobs_name_all(engine->blobs);
        cellar_log(CELLAR_LOG_ERROR, "blobs_kept", "store=%u status=%s", store->id,
                   cellar_status_text(status));
    }
}

void store_engine_blobs_replayed(struct store_engine *engine) CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(!engine->is_started);
    for (size_t i = 0; i < engine->store_count; i++) {
        struct naming naming = {engine->blobs, engine->stores[i]->id};
        enum cellar_status status = store_blobs_recorded(engine->stores[i], blob_name, &naming);
        CELLAR_ASSERT(status == CELLAR_OK); /* as blob_name() does not fail */
    }
}

/* ---- a mutation in a blob -------------------------------------------------------------------- */

enum cellar_status store_engine_blobs_batch(struct store_engine *engine,
                                            struct cellar_slice reference,
                                            struct store_batch **batch)
{
    struct store_blob blob;
    struct cellar_buffer payload = {0};
    CELLAR_ASSERT(!engine->is_started);
    if (!store_blob_decode(reference, &blob)) {
        return CELLAR_DATA_LOSS;
    }
    enum cellar_status status = store_blob_read(engine->blobs, &blob, &payload);
    if (status == CELLAR_OK) {
        status = store_batch_new_blob(cellar_slice_of(&payload), reference, batch);
    }
    cellar_buffer_fini(&payload);
    return status;
}

/* ---- clean-up ---------------------------------------------------------------------------------
 */

void store_engine_blobs_sweep(struct store_engine *engine)
{
    CELLAR_ASSERT(engine->is_started);
    size_t count = store_blobs_sweep(engine->blobs);
    if (count > 0) {
        cellar_log(CELLAR_LOG_INFO, "blobs_swept", "count=%zu", count);
    }
}

/* ---- with a store ---------------------------------------------------------------------------- */

static enum cellar_status id_keep(void *context, uint64_t id)
{
    CELLAR_ASSERT(id > 0);
    return cellar_buffer_append(context, &id, sizeof id);
}

/* What cannot be listed now is swept by the next start. */
void store_engine_blobs_take(struct store *store, struct cellar_buffer *ids)
{
    enum cellar_status status = store_blobs_listed(store, id_keep, ids);
    if (status == CELLAR_OK) {
        status = store_blobs_recorded(store, id_keep, ids);
    }
    CELLAR_ASSERT(ids->bytes % sizeof(uint64_t) == 0);
    if (status != CELLAR_OK) {
        cellar_log(CELLAR_LOG_WARN, "blobs_kept", "store=%u status=%s", store->id,
                   cellar_status_text(status));
    }
}

void store_engine_blobs_remove(struct store_engine *engine, struct cellar_buffer *ids)
{
    for (size_t at = 0; at < ids->bytes; at += sizeof(uint64_t)) {
        uint64_t id = 0;
        memcpy(&id, ids->data + at, sizeof id);
        CELLAR_ASSERT(id > 0);
        store_blobs_remove(engine->blobs, id);
    }
    cellar_buffer_fini(ids);
}
