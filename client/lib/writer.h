#ifndef CELLAR_CLIENT_WRITER_H
#define CELLAR_CLIENT_WRITER_H

#include "client/lib/async.h"
#include "client/lib/gate.h"
#include "client/lib/token.h"

/* What is behind `struct cellar_writer`: rows, the tables they go to, and who owns which of it. */

/** Where a row is, from its admission on. */
enum cellar_writer_place {
    CELLAR_WRITER_INBOX,  /* added, not yet seen by the driver */
    CELLAR_WRITER_HELD,   /* waits for an older row of its key */
    CELLAR_WRITER_OPEN,   /* waits for a request with room */
    CELLAR_WRITER_SENT,   /* in a request */
    CELLAR_WRITER_PAUSED, /* waits for the moment to go again */
    CELLAR_WRITER_ENDED
};

struct cellar_writer_row;

/** Rows in order; zero-initialised is empty. */
struct cellar_writer_list {
    struct cellar_writer_row *first;
    struct cellar_writer_row *last;
};

/** One table that rows go to; lives as long as the writer. */
struct cellar_writer_table {
    struct cellar_writer_table *next;
    struct cellar_writer_list open; /* the driver's */
    char name[CELLAR_TABLE_NAME_BYTES_MAX];
};

/** One row that has no result yet. */
struct cellar_writer_row {
    struct cellar_writer *writer;
    struct cellar_writer_table *table;
    struct cellar_writer_row *next; /* in the inbox, an open list or a request */
    struct cellar_writer_row *previous;
    struct cellar_writer_row *newer; /* of all rows that were admitted */
    struct cellar_writer_row *older;
    struct cellar_writer_row *after; /* of the rows of its key */
    struct cellar_writer_row *before;
    struct cellar_writer_row *bucket_next; /* in the map, which has the last row of each key */
    struct cellar_timer timer;             /* PAUSED: its next attempt; else its deadline */
    struct cellar_retry retry;             /* its deadline is that of the row */
    uint64_t sequence;
    uint64_t hash; /* of table and key */
    void *context;
    struct cellar_buffer entry; /* encoded key and mutations */
    size_t key_start;           /* of the key's bytes in it */
    uint32_t key_bytes;
    uint32_t mutation_count;
    enum cellar_writer_place place;
    bool is_alone; /* a request with others was refused whole: it goes by itself */
    bool has_token;
    uint8_t token[CELLAR_TOKEN_BYTES];
};

/** The last row of each key; zero-initialised is empty and grows as it can. */
struct cellar_writer_map {
    struct cellar_writer_row **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
};

struct cellar_writer_request;

/** Locked fields are for both sides; the rest is fixed, or the driver's where it says so. */
struct cellar_writer {
    struct cellar_client *client;
    struct cellar_async *async;
    struct cellar_writer_options options; /* filled in */
    struct cellar_async_task task;        /* runs cellar_writer_run() */

    struct cellar_mutex lock;
    struct cellar_gate changed;
    struct cellar_writer_list inbox CELLAR_GUARDED_BY(lock);
    struct cellar_writer_table *tables CELLAR_GUARDED_BY(lock);
    uint32_t table_count CELLAR_GUARDED_BY(lock);
    uint32_t inbox_rows CELLAR_GUARDED_BY(lock);
    uint64_t inbox_bytes CELLAR_GUARDED_BY(lock);
    uint64_t pending_bytes CELLAR_GUARDED_BY(lock);
    uint64_t pending_rows CELLAR_GUARDED_BY(lock);
    uint64_t added CELLAR_GUARDED_BY(lock);       /* the last sequence that was given */
    uint64_t ended_below CELLAR_GUARDED_BY(lock); /* every older row has had its result */
    uint64_t failed CELLAR_GUARDED_BY(lock);
    struct cellar_failure first_failure CELLAR_GUARDED_BY(lock);
    int64_t last_time_us CELLAR_GUARDED_BY(lock); /* the newest time that a cell got */
    bool is_posted CELLAR_GUARDED_BY(lock);
    bool is_due CELLAR_GUARDED_BY(lock); /* the inbox waits no longer */
    bool is_closing CELLAR_GUARDED_BY(lock);
    bool is_aborting CELLAR_GUARDED_BY(lock);
    bool is_leaving CELLAR_GUARDED_BY(lock);
    bool has_left CELLAR_GUARDED_BY(lock); /* the driver does not know the writer any more */

    struct cellar_core *core; /* the driver's from here on */
    struct cellar_writer_map map;
    struct cellar_writer_row *oldest;
    struct cellar_writer_row *newest;
    struct cellar_writer_request *requests;
    uint32_t request_count;
    uint64_t admitted;               /* the newest sequence seen */
    struct cellar_timer inbox_timer; /* when the inbox has waited long enough */
    struct cellar_timer pump_timer;  /* when rows have come to the open lists */
    bool leaves_later;               /* as soon as the last request has ended */
    bool has_reached;                /* the server answered once: outages are waited out */
};

/** Appends a row that is in no list. */
static inline void cellar_writer_append(struct cellar_writer_list *list,
                                        struct cellar_writer_row *row)
{
    CELLAR_ASSERT(row->next == NULL && row->previous == NULL);
    row->previous = list->last;
    *(list->last == NULL ? &list->first : &list->last->next) = row;
    list->last = row;
}

/** Takes a row out of the list it is in. */
static inline void cellar_writer_remove(struct cellar_writer_list *list,
                                        struct cellar_writer_row *row)
{
    CELLAR_ASSERT(list->first == row || row->previous != NULL);
    *(row->previous == NULL ? &list->first : &row->previous->next) = row->next;
    *(row->next == NULL ? &list->last : &row->next->previous) = row->previous;
    row->next = NULL;
    row->previous = NULL;
}

/** A row's key. */
static inline struct cellar_slice cellar_writer_key(const struct cellar_writer_row *row)
{
    return cellar_slice_make(row->entry.data + row->key_start, row->key_bytes);
}

/** What a row counts as while it has no result. */
static inline uint64_t cellar_writer_row_bytes(const struct cellar_writer_row *row)
{
    return row->entry.bytes + sizeof *row;
}

/** Frees a row that is nowhere. */
void cellar_writer_row_free(struct cellar_writer_row *row);

/** The last row of the same key, or NULL. */
struct cellar_writer_row *cellar_writer_map_get(const struct cellar_writer_map *map,
                                                const struct cellar_writer_row *like);

/** Makes a row the last of its key; there is none in the map. False without memory. */
bool cellar_writer_map_add(struct cellar_writer_map *map, struct cellar_writer_row *row)
    CELLAR_MUST_USE;

/** Puts `by`, of the same key, in the place of a row; NULL takes the key out. */
void cellar_writer_map_replace(struct cellar_writer_map *map, struct cellar_writer_row *row,
                               struct cellar_writer_row *by);

/** The hash of a table's name and a key. */
uint64_t cellar_writer_hash(const char *table, struct cellar_slice key);

/** Frees the map's memory; rows are borrowed. */
void cellar_writer_map_fini(struct cellar_writer_map *map);

/** The driver's side of the writer: what its task runs. */
void cellar_writer_run(struct cellar_async_task *task, struct cellar_core *core, int64_t now_us);

/** Ends every row without a result, CANCELLED, where no driver runs any more; or on its thread. */
void cellar_writer_abort(struct cellar_writer *writer, int64_t now_us);

/** Lets go of the core, on the driver's thread or when there is none; every row has ended. */
void cellar_writer_leave(struct cellar_writer *writer);

#endif
