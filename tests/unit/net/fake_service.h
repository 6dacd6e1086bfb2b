#ifndef CELLAR_TESTS_FAKE_SERVICE_H
#define CELLAR_TESTS_FAKE_SERVICE_H

#include "common/base.h"
#include "server/service/service.h"

/*
 * A service that does what a test says, in the place of the real one: include fake_service.c in the
 * test's file, and its svc_ functions are linked instead of the library's. One thread, but for what
 * administration and cold reads call on their pools.
 */

#define FAKE_WRITE_COUNT_MAX 4096u

/** A write that was queued and not yet completed. */
struct fake_write {
    svc_done_fn *row_done;
    svc_batch_done_fn *rows_done;
    void *context;
    size_t entry_count;
};

/** What the fake does, and what was asked of it. */
struct fake_service {
    /* writes */
    enum cellar_status write_status; /* of the submitting calls */
    struct fake_write writes[FAKE_WRITE_COUNT_MAX];
    size_t write_count;         /* queued and not completed */
    _Atomic size_t write_total; /* ever queued; the last thing that is changed */
    char order[4096];           /* first bytes of the row keys, in the order of submission */
    /* reads */
    enum cellar_status open_status;
    uint64_t row_count;        /* rows of every read */
    size_t value_bytes;        /* of each row's one cell */
    uint64_t piece_count;      /* pieces a row comes in; 0 is 1 */
    uint64_t blob_piece_count; /* each row's cell is a blob of so many pieces, "piece"; 0: none */
    uint64_t fail_at_piece;    /* svc_read_blob() fails before this one; UINT64_MAX: never */
    uint64_t fail_at_row;      /* svc_read_next() fails before this row; UINT64_MAX: never */
    bool is_empty_chunk_first; /* the first chunk holds no row */
    bool is_cold;              /* reads say that their next step may wait for the disk */
    void (*before_next)(void); /* called first by svc_read_next(), on its thread; NULL: not */
    size_t open_read_count;
    _Atomic size_t next_count; /* calls of svc_read_next() */
    size_t column_count;
    int64_t deadline_us;
    size_t token_bytes; /* of the last row's write */
    int64_t token_start_us;
    int64_t token_life_us;
    /* administration and server */
    enum cellar_status admin_status;
    struct svc_table table;              /* as last asked for; slices are not to be used */
    struct svc_family_change changes[4]; /* likewise */
    size_t change_count;
    size_t prefix_bytes; /* of the last drop of rows */
    bool is_drop_of_all;
    struct svc_compact_request compact;
    struct svc_load_range load_range;
    _Atomic uint64_t load_number; /* of the last rows */
    size_t load_bytes;            /* of them */
    const void *_Atomic load_owner;
    const void *released_owner;     /* whose loads were to end last */
    struct svc_scrub_request scrub; /* the last one */
    bool is_ready;
};

extern struct fake_service fake;

/** Everything as it was at the start. */
void fake_reset(void);

/** Completes the oldest queued write with that code, as the log would. */
void fake_complete(enum cellar_status code);

/** Completes the oldest queued many-row write; every second entry fails with `code`. */
void fake_complete_rows(enum cellar_status code);

#endif
