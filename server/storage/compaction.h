#ifndef CELLAR_STORAGE_COMPACTION_H
#define CELLAR_STORAGE_COMPACTION_H

#include "server/storage/engine.h"
#include "server/storage/packer.h"

/*
 * Compaction: a store copied in key order into a new generation, while it is written and read.
 *
 *     begin     everything so far is checkpointed; an empty generation with that applied LSN
 *     step      a chunk is copied; checkpoints between the steps go to both generations
 *     seal      the rest: tokens, sync; no checkpoint from here to the end
 *     swap      in the hold of the append lock that queues the catalog's record
 *     end       the record is durable: the old generation goes with its last reader
 *
 * or, instead of swap and end, abandon. One thread drives a compaction. Between the calls the store
 * may be dropped; then abandon is all that is left.
 */

/** Where a load is. One that only compacts is behind a range that is empty, so to speak. */
enum store_load_phase {
    STORE_LOAD_BEHIND, /* what the old generation has is copied, to its end */
    STORE_LOAD_BEFORE, /* likewise, to the range's start */
    STORE_LOAD_IN      /* rows come from elsewhere */
};

struct store_compaction {
    struct store_engine *engine;
    uint32_t store_id;
    uint64_t generation;
    struct store_env *env;   /* the new generation's; after the swap the old one's */
    uint64_t old_generation; /* after the swap; 0 before */
    struct store_view *view; /* for the swap */

    /* What has been copied: the rows before `row`, or before `place` when `row` is empty. */
    struct cellar_buffer place; /* the key where the copy goes on */
    struct cellar_buffer row;   /* the row's part of a row that is copied in part; or empty */
    bool row_is_whole;          /* the next row is copied in one chunk, however long */
    bool has_all_cells;
    enum store_load_phase phase;
    struct cellar_buffer range_start; /* of a load, as keys begin; empty: no bound */
    struct cellar_buffer range_end;
    bool is_sealed;            /* the store stays claimed */
    enum cellar_status status; /* why it cannot go on; set by a checkpoint too */

    struct store_filter filter;
    struct store_packer packer;
    struct store_page_fill fill;

    struct cellar_buffer blobs_taken; /* ids of what was loaded: store_compaction_blobs_take() */
    uint64_t *blobs_gone;             /* what the new generation does not name; when sealed */
    size_t blob_gone_count;

    uint64_t item_count;       /* read so far */
    uint64_t item_count_total; /* when it began */
    uint64_t byte_count;       /* written so far, of keys and values */
    uint8_t held[STORE_FILTER_HELD_BYTES];
};

/**
 * Checkpoints a store and begins its compaction. Blocks.
 *
 * @param store  not compacted already; the caller keeps it from being dropped during each call
 * @return CELLAR_OK; FAILED_PRECONDITION (one runs), RESOURCE_EXHAUSTED, IO_ERROR, DATA_LOSS,
 *         NO_MEMORY: nothing has begun
 */
enum cellar_status store_compaction_begin(struct store_engine *engine, struct store *store,
                                          struct store_compaction **compaction,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Copies a chunk. Checkpoints of the store wait for it.
 *
 * @param bytes_max  of the chunk, about
 * @param is_done    receives whether all cells are copied
 * @return CELLAR_OK; as above, and the failure of a checkpoint: it has to be abandoned
 */
enum cellar_status store_compaction_step(struct store_compaction *compaction, struct store *store,
                                         uint64_t bytes_max, bool *is_done) CELLAR_MUST_USE;

/** Syncs what is written so far, so that the seal has little left to do. IO_ERROR. */
enum cellar_status store_compaction_sync(struct store_compaction *compaction) CELLAR_MUST_USE;

/** Makes the new generation whole and durable, and keeps checkpoints off until
 * store_compaction_end() or store_compaction_abandon(). Errors as above. */
enum cellar_status store_compaction_seal(struct store_compaction *compaction, struct store *store)
    CELLAR_MUST_USE;

/** Makes the new generation the live one. With the append lock. */
void store_compaction_swap(struct store_compaction *compaction, struct store *store);

/** After the swap: lets checkpoints go on, waits for the last reader of the old generation, closes
 * it, and frees. @param is_durable  the catalog's record is: the old files go, too */
void store_compaction_end(struct store_compaction *compaction, struct store *store,
                          bool is_durable);

/** Ends it without effect and removes its files; frees. Takes a NULL compaction. @param store  NULL
 * when it has been dropped */
void store_compaction_abandon(struct store_compaction *compaction, struct store *store);

/* ---- loading --------------------------------------------------------------------------------- */

/*
 * A load is a compaction with a second source: within a range of rows in which the old generation
 * has nothing, rows come from elsewhere, in key order.
 *
 *     begin, load_begin    step ... is_done    rows_add ...    load_end    step ... is_done    seal
 *
 * What is written meanwhile to a row that has been passed is newer than what was loaded; a row that
 * has not been passed and that a checkpoint brings ends the load.
 */

/** Rows that are loaded, one after the other, each with one cell at least, in order; whoever has
 * them fills this in. What keys and cells borrow lives until all rows are added. */
struct store_load_source {
    /** Goes to the next row. @return false behind the last; `key` is untouched then */
    bool (*row_next)(struct store_load_source *source, struct cellar_slice *key);
    /** Gives the row's next cell; the value of a blob is its reference. @return false behind the
     * last; `cell` is untouched then */
    bool (*cell_next)(struct store_load_source *source, struct store_cell *cell);
};

/** Makes a compaction that has just begun a load of the rows from `start` up to and without `end`;
 * empty: no bound. NO_MEMORY: it has to be abandoned. */
enum cellar_status store_compaction_load_begin(struct store_compaction *compaction,
                                               struct store *store, struct cellar_slice start,
                                               struct cellar_slice end) CELLAR_MUST_USE;

/**
 * Adds rows: in strict key order, behind those that were added before, in the range, which is
 * reached. Checkpoints of the store wait for it.
 *
 * @param source  one row at least
 * @return CELLAR_OK; FAILED_PRECONDITION (the store has rows in what is left of the range), and as
 *         store_compaction_step(): it has to be abandoned
 */
enum cellar_status store_compaction_rows_add(struct store_compaction *compaction,
                                             struct store *store, struct store_load_source *source)
    CELLAR_MUST_USE;

/**
 * Takes blobs that rows name which are added afterwards. They are whole and synced. What the new
 * generation does not name in the end goes with the old one, and all of them with a load that is
 * abandoned.
 *
 * @return CELLAR_OK; NO_MEMORY: they are not taken
 */
enum cellar_status store_compaction_blobs_take(struct store_compaction *compaction,
                                               const uint64_t *ids, size_t count) CELLAR_MUST_USE;

/** No more rows come: the steps that follow copy what lies behind the range. Errors as above. */
enum cellar_status store_compaction_load_end(struct store_compaction *compaction,
                                             struct store *store) CELLAR_MUST_USE;

/* ---- copying --------------------------------------------------------------------------------- */

/** Copies cells from the place on, about so many bytes, and moves the place. On a claimed store. As
 * store_compaction_step(). */
enum cellar_status store_compaction_cells_copy(struct store_compaction *compaction,
                                               struct store *store, uint64_t bytes_max)
    CELLAR_MUST_USE;

/** Copies the tokens that have not expired and finds the blobs that only the old generation names,
 * when all cells are copied. Likewise. */
enum cellar_status store_compaction_rest_copy(struct store_compaction *compaction,
                                              struct store *store) CELLAR_MUST_USE;

/** Adds rows; without a source, passes the rest of the range. On a claimed store, errors as
 * store_compaction_rows_add(). */
enum cellar_status store_compaction_rows_copy(struct store_compaction *compaction,
                                              struct store *store, struct store_load_source *source)
    CELLAR_MUST_USE;

/* ---- whether there is something to gain ------------------------------------------------------ */

/** What a store's file holds beside its data. */
struct store_garbage {
    unsigned percent; /* of the file: free pages, and room in others; 0 for a small one */
    bool
        has_changed; /* a quarter of the data was written since the last compaction, or the start */
    int64_t made_us; /* when the generation was made, since 1970; 0: not known */
};

/** Looks, at no cost: nothing is read. Any thread that keeps the store from being dropped. */
void store_garbage_look(struct store *store, struct store_garbage *garbage);

/* ---- what checkpoints do --------------------------------------------------------------------- */

/** Whether rows at or behind a row's part are not copied yet, so that a checkpoint leaves them
 * out. */
bool store_compaction_lacks(const struct store_compaction *compaction, struct cellar_slice row_key);

/** The copied part of a range. @return false when there is none */
bool store_compaction_cut(const struct store_compaction *compaction, struct store_range *range);

/** The row that is copied in part has changed: it is to be copied again, as a whole. The caller
 * removes what was copied of it. */
void store_compaction_row_redo(struct store_compaction *compaction);

#endif
