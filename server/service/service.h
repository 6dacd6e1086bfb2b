#ifndef CELLAR_SERVICE_SERVICE_H
#define CELLAR_SERVICE_SERVICE_H

#include "common/cell.h"
#include "common/gc_rule.h"
#include "common/mem.h"
#include "common/metric.h"
#include "common/rowset.h"

/*
 * The operations, whatever the front end. A front end decodes bytes into the structs here, calls,
 * and encodes what comes back; it includes no header of tablet or storage.
 *
 * Three manners of call:
 *   - reads (svc_read_*) run on the calling thread, one bounded chunk a call, from one thread to
 *     the next if need be; opened and closed by the same one, they cost least;
 *   - writes (svc_mutate_*) are checked and queued on the calling thread and end in one call of
 *     `done` on a thread of the log, never inside the submitting call;
 *   - administration and server start and stop (svc_create_table ...) wait for the disk: never call
 *     them on a loop thread.
 * All functions may be called from any thread at once, but one read belongs to one thread at a
 * time.
 */

struct svc;
struct svc_read;

/** Settings of one server; all sizes in bytes. svc_options_init() gives the defaults. */
struct svc_options {
    const char *data_dir;               /* made when it does not exist */
    uint64_t memory_bytes_max;          /* default 1 GiB, at least 64 MiB */
    uint64_t memtable_bytes_max;        /* default 64 MiB */
    uint64_t log_unapplied_bytes_max;   /* default 128 MiB */
    uint64_t log_unapplied_records_max; /* default 1,000,000 */
    uint64_t log_segment_bytes;         /* default 64 MiB; 64 KiB to 1 GiB */
    uint64_t store_map_bytes;           /* default 64 GiB; for stores made from now on */
    uint64_t store_tokens_max;       /* live idempotency tokens of one store; default 1,000,000 */
    uint64_t checkpoint_records_max; /* freeze a store's memtable after this many records;
                                        0 = never for that reason (tests) */
    int64_t scrub_interval_us; /* between two scrubs of everything; default a week; 0 = none */
    uint64_t compact_garbage_percent; /* of a tablet's file without data that makes a compaction
                                         due, 0..100; default 50; 0 = never for that reason */
    int64_t compact_interval_us; /* between two compactions of a tablet where something may be gone;
                                    default a week; 0 = never for that reason */
    uint64_t compact_bytes_per_second; /* of compactions that were due; default 64 MiB; 0 = no
                                          limit */
    int64_t load_idle_us;    /* a bulk load is abandoned when no request comes for so long; default
                                a minute */
    bool implicit_instances; /* default true */
};

void svc_options_init(struct svc_options *options);

/** Whether svc_open() would take the numbers. INVALID_ARGUMENT naming the option, its bounds and
 * the value. */
enum cellar_status svc_options_check(const struct svc_options *options, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Opens (or makes) the data directory, recovers it, and starts the log and checkpoint threads.
 *
 * @param options  borrowed until return
 * @param error    says what, where and what to do: locked, of another version, damaged, not
 *                 writable, a bad option
 * @return CELLAR_OK, CELLAR_INVALID_ARGUMENT, CELLAR_FAILED_PRECONDITION (locked, other version),
 *         CELLAR_DATA_LOSS, CELLAR_IO_ERROR, CELLAR_NO_MEMORY
 */
enum cellar_status svc_open(const struct svc_options *options, struct svc **svc,
                            struct cellar_error *error) CELLAR_MUST_USE;

/** The settings that may change while the service runs; as in svc_options. */
struct svc_limits {
    uint64_t memtable_bytes_max;
    uint64_t log_unapplied_bytes_max;
    uint64_t log_unapplied_records_max;
    int64_t scrub_interval_us;
    uint64_t compact_garbage_percent;
    int64_t compact_interval_us;
    uint64_t compact_bytes_per_second;
};

/**
 * Changes settings of a running service. Any thread.
 *
 * @return CELLAR_OK; INVALID_ARGUMENT naming the setting, its bounds and the value: nothing changed
 */
enum cellar_status svc_limits_set(struct svc *svc, const struct svc_limits *limits,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** From here on writes answer UNAVAILABLE; queued ones finish. Returns when the last `done` has
 * been called. Any thread, once. */
void svc_drain(struct svc *svc);

/** Checkpoints, stops the threads and frees all. No read may be open; svc_drain() came before.
 * Takes NULL. */
void svc_close(struct svc *svc);

/** What all calls of one request share. */
struct svc_request {
    int64_t deadline_us; /* monotonic; 0 = none. One that has passed: CELLAR_DEADLINE_EXCEEDED,
                            nothing applied */
    bool is_mapped;      /* its body lies in the map of a file; of writes */
};

/* ---- tables ---------------------------------------------------------------------------------- */

struct svc_family {
    struct cellar_slice name;
    struct cellar_gc_rule rule; /* kind CELLAR_GC_NONE: keeps everything */
};

struct svc_tablet {
    struct cellar_slice start; /* empty: the first row */
    struct cellar_slice end;   /* empty: the last */
    uint64_t store_id;
};

/** A table, as asked for and as described. */
struct svc_table {
    struct cellar_slice name; /* asked: any form cellar_table_name_decode() takes; described: the
                                 full name */
    enum cellar_granularity granularity; /* asked: 0 means milliseconds */
    const struct svc_family *families;   /* described: sorted by name */
    size_t family_count;
    const struct cellar_slice *split_keys; /* asked only; any order, repeats allowed */
    size_t split_key_count;
    const struct svc_tablet *tablets; /* described only */
    size_t tablet_count;
    uint32_t schema_version; /* described only */
};

/** Creates a table and describes it into `made` (memory: `arena`). ALREADY_EXISTS,
 * INVALID_ARGUMENT, NOT_FOUND (instance), RESOURCE_EXHAUSTED, IO_ERROR. Blocks. */
enum cellar_status svc_create_table(struct svc *svc, const struct svc_request *request,
                                    const struct svc_table *table, struct cellar_arena *arena,
                                    struct svc_table *made, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Describes a table; memory from `arena`. NOT_FOUND, INVALID_ARGUMENT. Does not block. */
enum cellar_status svc_describe_table(struct svc *svc, const struct svc_request *request,
                                      struct cellar_slice name, struct cellar_arena *arena,
                                      struct svc_table *table, struct cellar_error *error)
    CELLAR_MUST_USE;

#define SVC_FAMILY_CHANGE_COUNT_MAX 1000u

enum svc_family_action { SVC_FAMILY_CREATE, SVC_FAMILY_UPDATE, SVC_FAMILY_DROP };

/** One change of a table's families. */
struct svc_family_change {
    enum svc_family_action action; /* any number: it is checked */
    struct svc_family family;      /* a drop has no rule */
};

/** What MODIFY_FAMILIES asks for; everything is borrowed until the call returns. */
struct svc_family_changes {
    struct cellar_slice table; /* name in any form */
    const struct svc_family_change *changes;
    size_t count; /* 1..SVC_FAMILY_CHANGE_COUNT_MAX, else INVALID_ARGUMENT */
};

/**
 * Changes a table's families, in order and as a whole, and describes the table into `made` (memory:
 * `arena`); durable at return. Blocks.
 *
 * @return CELLAR_OK; INVALID_ARGUMENT, NOT_FOUND (table; family to update or drop), ALREADY_EXISTS
 *         (family to create), IO_ERROR, DEADLINE_EXCEEDED: nothing changed; OUTCOME_UNKNOWN;
 *         NO_MEMORY, also when the families were changed and only the description found none
 * @source RULES.md, R-TAB-12 to R-TAB-14; PROTOCOL.md, "Changes of families"
 */
enum cellar_status svc_modify_families(struct svc *svc, const struct svc_request *request,
                                       const struct svc_family_changes *changes,
                                       struct cellar_arena *arena, struct svc_table *made,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** Which rows DROP_ROWS removes: exactly one of the two targets is given. */
struct svc_rows_drop {
    struct cellar_slice table;  /* name in any form */
    struct cellar_slice prefix; /* 1..4096 bytes; without data when is_all */
    bool is_all;
};

/**
 * Drops the rows that begin with a prefix, or all; durable at return. Blocks.
 *
 * @return CELLAR_OK; INVALID_ARGUMENT, NOT_FOUND (table), UNAVAILABLE, IO_ERROR, NO_MEMORY,
 *         DEADLINE_EXCEEDED: nothing was dropped; OUTCOME_UNKNOWN
 * @source RULES.md, R-TAB-17 to R-TAB-19; PROTOCOL.md, "Dropping rows"
 */
enum cellar_status svc_drop_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_rows_drop *drop, struct cellar_error *error)
    CELLAR_MUST_USE;

/** One page of table names. */
struct svc_table_names {
    const struct cellar_slice *names; /* full names, sorted */
    size_t count;
    struct cellar_slice next_page_token; /* empty: no more */
};

/** Which tables to list. */
struct svc_page {
    struct cellar_slice instance;   /* empty: default/default */
    int64_t page_size;              /* 0 = all; negative is refused */
    struct cellar_slice page_token; /* empty, or a token of the page before */
};

/** Lists the tables of an instance. INVALID_ARGUMENT also for a foreign token. */
enum cellar_status svc_list_tables(struct svc *svc, const struct svc_request *request,
                                   const struct svc_page *page, struct cellar_arena *arena,
                                   struct svc_table_names *names, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Drops a table; durable at return. NOT_FOUND, INVALID_ARGUMENT, IO_ERROR. Blocks. */
enum cellar_status svc_drop_table(struct svc *svc, const struct svc_request *request,
                                  struct cellar_slice name, struct cellar_error *error)
    CELLAR_MUST_USE;

/* ---- writes ---------------------------------------------------------------------------------- */

/** The end of one write: CELLAR_OK or the error, borrowed for the call. Runs on a log thread; must
 * not block. */
typedef void svc_done_fn(void *context, const struct cellar_error *result);

/** How long tokens are remembered. */
struct svc_token_time {
    int64_t start_us; /* when the client sent the request first, since 1970; 0: now */
    int64_t life_us;  /* from then on, 15 minutes at most; 0: 15 minutes */
};

/** One row's mutations; everything is borrowed until the submitting call returns. */
struct svc_row_write {
    struct cellar_slice table; /* name in any form */
    struct cellar_slice row;
    struct cellar_slice mutations; /* the MessagePack list of mutation.h */
    svc_done_fn *done;
    void *context;
    struct cellar_slice token; /* 8 to 128 bytes: a repetition is applied once and gets the first
                                  outcome again; data NULL: none */
    struct svc_token_time token_time;
};

/**
 * Checks and queues one row's mutations.
 *
 * @param write  write->done is called once, later, when CELLAR_OK is returned; never otherwise
 * @return CELLAR_OK: queued. OUTCOME_UNKNOWN: its token is known, but the log has failed. Else
 *         nothing was applied and `error` says why: INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED,
 *         FAILED_PRECONDITION (the token's time is over), UNAVAILABLE, RESOURCE_EXHAUSTED,
 *         DEADLINE_EXCEEDED, DATA_LOSS, IO_ERROR, NO_MEMORY
 */
enum cellar_status svc_mutate_row(struct svc *svc, const struct svc_request *request,
                                  const struct svc_row_write *write, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The end of a many-row write: `results` has one element an entry, in order; borrowed for the
 * call. It may come before the submitting call returns, when no entry was queued. */
typedef void svc_batch_done_fn(void *context, const struct cellar_error *const *results,
                               size_t count);

/** Many rows' mutations; borrowed as above. */
struct svc_rows_write {
    struct cellar_slice table;
    struct cellar_slice entries; /* the MessagePack array of [row, mutations] and [row, mutations,
                                    token | nil] */
    svc_batch_done_fn *done;
    void *context;
    struct svc_token_time token_time; /* of all entries' tokens */
};

/**
 * Checks and queues many rows' mutations.
 *
 * @return as svc_mutate_row(); OK also when entries fail each for itself; a malformed entry refuses
 *         all (R-BAT-06 to 08)
 */
enum cellar_status svc_mutate_rows(struct svc *svc, const struct svc_request *request,
                                   const struct svc_rows_write *write, struct cellar_error *error)
    CELLAR_MUST_USE;

/* ---- reads ----------------------------------------------------------------------------------- */

/** Restricts a read to a family or one of its columns. */
struct svc_column {
    struct cellar_slice family;
    struct cellar_slice qualifier;
    bool is_family; /* the whole family; qualifier is empty */
};

struct svc_read_options {
    struct cellar_slice table;
    const struct cellar_rowset *rows; /* borrowed until svc_read_close() */
    int64_t rows_limit;               /* 0 = none; negative is refused */
    bool is_reversed;
    bool keys_only;
    const struct svc_column *columns; /* borrowed until svc_read_close() */
    size_t column_count;              /* 0 = all */
    int64_t versions_max;             /* newest N of each column; 0 = all; negative is refused */
};

/**
 * Where a read puts its rows. Calls come as row_begin, cells (none when keys only), row_end. A row
 * that is larger than what one svc_read_next() may return comes in pieces over several calls:
 * row_end says that more follow, the next row_begin that it continues. A sink that returns an error
 * ends the read with it.
 */
struct svc_row_sink {
    enum cellar_status (*row_begin)(struct svc_row_sink *sink, struct cellar_slice row,
                                    bool is_continued);
    /** `packed`: an array as segment_cells.h describes, bare family names only; borrowed for the
     * call */
    enum cellar_status (*cells)(struct svc_row_sink *sink, struct cellar_slice packed);
    enum cellar_status (*row_end)(struct svc_row_sink *sink, bool has_more);
    /** A row's piece, all of it: one array of one cell, without the cell's value, which follows by
     * svc_read_blob(). Comes first in its chunk, and ends it. The row was begun before. */
    enum cellar_status (*blob)(struct svc_row_sink *sink, struct cellar_slice row, bool has_more,
                               struct cellar_slice before);
};

/** Starts a read: checks everything, reads no row. INVALID_ARGUMENT, NOT_FOUND, DEADLINE_EXCEEDED,
 * NO_MEMORY. */
enum cellar_status svc_read_open(struct svc *svc, const struct svc_request *request,
                                 const struct svc_read_options *options, struct svc_read **read,
                                 struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Sends the next chunk into `sink`: about `bytes_max` bytes, 100 rows or 10 ms, whichever comes
 * first, and at least one row or piece unless the read is at its end, all rows looked at were
 * deleted, or what comes next may have to wait for the disk.
 *
 * @param is_done  receives true when nothing follows
 * @return CELLAR_OK; FAILED_PRECONDITION (a row over 256 MiB), NOT_FOUND (the table was dropped),
 *         DATA_LOSS, DEADLINE_EXCEEDED, UNAVAILABLE (too much held for other reads), IO_ERROR,
 *         RESOURCE_EXHAUSTED, NO_MEMORY; after an error only svc_read_close() is allowed
 */
enum cellar_status svc_read_next(struct svc_read *read, struct svc_row_sink *sink, size_t bytes_max,
                                 bool *is_done, struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Appends the next piece of a blob that the sink has got the beginning of. Until it is done no
 * chunk is asked for.
 *
 * @param to       receives some 256 KiB more
 * @param is_done  receives whether that was all
 * @return CELLAR_OK; DATA_LOSS, DEADLINE_EXCEEDED, IO_ERROR, NO_MEMORY: as above
 */
enum cellar_status svc_read_blob(struct svc_read *read, struct cellar_buffer *to, bool *is_done,
                                 struct cellar_error *error) CELLAR_MUST_USE;

/** Whether the next chunk or piece may wait for the disk, as far as can be told without reading it:
 * then call for it on a thread that may. @param now_us  monotonic, or a little older */
bool svc_read_is_cold(struct svc_read *read, int64_t now_us);

/** When the last chunk was read to its end, monotonic; 0: not known. */
int64_t svc_read_ended_us(const struct svc_read *read);

/** Ends a read; takes NULL. */
void svc_read_close(struct svc_read *read);

/* ---- scrubs ---------------------------------------------------------------------------------- */

#define SVC_SCRUB_PROBLEM_COUNT_MAX 48u               /* so many of the longest keys fit a frame */
#define SVC_SCRUB_BYTES_PER_SECOND UINT64_C(67108864) /* unless a request says otherwise */

enum svc_scrub_action { SVC_SCRUB_START, SVC_SCRUB_STATUS, SVC_SCRUB_CANCEL };

/** What SCRUB asks for. */
struct svc_scrub_request {
    enum svc_scrub_action action; /* any number: it is checked */
    struct cellar_slice table;    /* START: name in any form; empty: everything, the catalog too */
    uint64_t bytes_per_second;    /* START: so fast at most; 0: SVC_SCRUB_BYTES_PER_SECOND */
};

enum svc_scrub_state {
    SVC_SCRUB_NONE, /* since the server started */
    SVC_SCRUB_RUNNING,
    SVC_SCRUB_ENDED,
    SVC_SCRUB_CANCELLED
};

/** One finding; damage, but for a store that could not be read for want of memory. */
struct svc_scrub_problem {
    struct cellar_slice table; /* full name; empty: the catalog */
    struct cellar_slice tablet_start;
    struct cellar_slice tablet_end; /* empty: to the last row */
    bool has_row;
    bool has_rows;                  /* a range of rows: the damage lies somewhere in it */
    struct cellar_slice rows_start; /* has_row: the row's key, or the beginning of it */
    struct cellar_slice rows_end;   /* empty: to the last row */
    struct cellar_slice why;        /* a sentence without a period */
};

/** How far the latest scrub is, or how it ended. */
struct svc_scrub_status {
    enum svc_scrub_state state;
    uint64_t pass;             /* counted from 1 at the server's start */
    bool is_background;        /* by its interval, not by command */
    struct cellar_slice table; /* full name; empty: everything */
    uint64_t item_count;
    uint64_t item_count_total; /* about: stores change meanwhile */
    uint64_t byte_count;       /* of keys and values */
    int64_t started_us;        /* since 1970 */
    int64_t ended_us;          /* 0: it runs */
    uint64_t problem_count;
    const struct svc_scrub_problem *problems; /* the first ones */
    size_t problem_count_listed; /* at most SVC_SCRUB_PROBLEM_COUNT_MAX; the others are counted */
};

/**
 * Starts a scrub, or tells about the latest one, or has it end; a scrub reads everything that is on
 * the disk of a table, or of all, and names what is damaged. Does not wait for it. A scrub by
 * command takes the place of one by interval.
 *
 * @param status  receives how far it is, at the answer; memory of `arena`
 * @return CELLAR_OK; INVALID_ARGUMENT, NOT_FOUND (table), FAILED_PRECONDITION (START: one by
 * command runs), NO_MEMORY, DEADLINE_EXCEEDED
 * @source PROTOCOL.md, "Scrubs"
 */
enum cellar_status svc_scrub(struct svc *svc, const struct svc_request *request,
                             const struct svc_scrub_request *scrub, struct cellar_arena *arena,
                             struct svc_scrub_status *status, struct cellar_error *error)
    CELLAR_MUST_USE;

/* ---- compactions ----------------------------------------------------------------------------- */

enum svc_compact_action { SVC_COMPACT_START, SVC_COMPACT_STATUS, SVC_COMPACT_CANCEL };

/** What COMPACT asks for. */
struct svc_compact_request {
    enum svc_compact_action action; /* any number: it is checked */
    struct cellar_slice table;      /* START: name in any form; empty: all tables */
    uint64_t bytes_per_second;      /* START: written so fast at most; 0: no limit */
};

enum svc_compact_state {
    SVC_COMPACT_NONE, /* since the server started */
    SVC_COMPACT_RUNNING,
    SVC_COMPACT_ENDED,
    SVC_COMPACT_CANCELLED,
    SVC_COMPACT_FAILED,   /* `why` tells; some tablets are as they were */
    SVC_COMPACT_ABANDONED /* the server's end cut off the last one, and none has begun since */
};

/** How far the latest compaction is, or how it ended. */
struct svc_compact_status {
    enum svc_compact_state state;
    uint64_t pass;             /* counted from 1 at the server's start */
    bool is_background;        /* because it was due, not by command */
    struct cellar_slice table; /* full name; empty: all */
    uint64_t tablet_count;     /* compacted */
    uint64_t tablet_count_total;
    uint64_t item_count; /* read */
    uint64_t item_count_total;
    uint64_t byte_count;      /* of keys and values, written */
    int64_t started_us;       /* since 1970 */
    int64_t ended_us;         /* 0: it runs */
    uint64_t abandoned_count; /* tablets whose compaction the server's last end cut off */
    struct cellar_slice why;  /* FAILED: a sentence without a period */
};

/**
 * Starts a compaction, or tells about the latest one, or has it end; a compaction writes tablets
 * anew, in key order and without what is deleted or hidden by rules, while reads and writes go on.
 * Does not wait for it. A compaction by command takes the place of one that was due.
 *
 * @param status  receives how far it is, at the answer; memory of `arena`
 * @return CELLAR_OK; INVALID_ARGUMENT, NOT_FOUND (table), FAILED_PRECONDITION (START: one by
 * command runs), NO_MEMORY, DEADLINE_EXCEEDED
 * @source PROTOCOL.md, "Compactions"
 */
enum cellar_status svc_compact(struct svc *svc, const struct svc_request *request,
                               const struct svc_compact_request *compact,
                               struct cellar_arena *arena, struct svc_compact_status *status,
                               struct cellar_error *error) CELLAR_MUST_USE;

/* ---- bulk loads ------------------------------------------------------------------------------ */

/** Where a load goes: a range of rows that has none. */
struct svc_load_range {
    struct cellar_slice table; /* name in any form */
    struct cellar_slice start; /* row key of at most 4096 bytes; empty: from the first row */
    struct cellar_slice end;   /* behind the last row, greater than start; empty: no bound */
};

/** Rows of a load. */
struct svc_load_rows {
    uint64_t id;              /* of the load */
    uint64_t number;          /* counted from 0 in each load */
    struct cellar_slice rows; /* MessagePack: array of [key, packed cells], keys in strict order,
                                 behind those that came before; at most 16 MiB, or one row */
    const void *owner;        /* whose the load is from now on */
    bool is_mapped;           /* the rows lie in the map of a file */
};

/** What a load was. */
struct svc_load_counts {
    uint64_t row_count;
    uint64_t cell_count;
    uint64_t byte_count; /* of keys, qualifiers and values */
};

/**
 * Begins a bulk load: rows in key order into a range without rows, by the way that compactions
 * take, and seen by readers in one moment, at the commit. Blocks, as all of these do but
 * svc_loads_release() and svc_loads_cease().
 *
 * @param owner  who it belongs to, such as a connection: svc_loads_release()
 * @param id     receives its number, greater than 0
 * @return CELLAR_OK; INVALID_ARGUMENT, NOT_FOUND (table), FAILED_PRECONDITION (the range has a row;
 *         the table has a load), RESOURCE_EXHAUSTED (too many loads), UNAVAILABLE, DATA_LOSS,
 *         IO_ERROR, NO_MEMORY, DEADLINE_EXCEEDED
 * @source PROTOCOL.md, "Bulk loads"
 */
enum cellar_status svc_load_begin(struct svc *svc, const struct svc_request *request,
                                  const struct svc_load_range *range, const void *owner,
                                  uint64_t *id, struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Takes rows. Input that is refused changes nothing, and the load goes on; any other failure but
 * DEADLINE_EXCEEDED ends it without effect.
 *
 * @return CELLAR_OK; NOT_FOUND (load, table, or a family), INVALID_ARGUMENT naming
 *         the row, FAILED_PRECONDITION (number; a request works on the load; a row of the
 *         range was written meanwhile), CANCELLED, RESOURCE_EXHAUSTED, DATA_LOSS, IO_ERROR,
 *         NO_MEMORY, DEADLINE_EXCEEDED
 */
enum cellar_status svc_load_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_load_rows *rows, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Makes all rows of a load visible in one moment, durable at return, and ends it. As above;
 * OUTCOME_UNKNOWN when the log failed: all of them may be there behind a restart, or none. */
enum cellar_status svc_load_commit(struct svc *svc, const struct svc_request *request, uint64_t id,
                                   struct svc_load_counts *counts, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Ends a load without effect. NOT_FOUND (load), FAILED_PRECONDITION (a request works on it). */
enum cellar_status svc_load_abort(struct svc *svc, const struct svc_request *request, uint64_t id,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** Has the loads of an owner end, soon. Any thread. */
void svc_loads_release(struct svc *svc, const void *owner);

/** Has all loads end, soon, and takes no more: the server is about to stop. Any thread. */
void svc_loads_cease(struct svc *svc);

/* ---- the server ------------------------------------------------------------------------------ */

/** One named number about the server, for `info` and metrics. */
struct svc_figure {
    const char *name; /* static, lower_case with its unit last */
    uint64_t value;
};

#define SVC_FIGURE_COUNT_MAX 64u

/** Fills at most SVC_FIGURE_COUNT_MAX figures. @return how many */
size_t svc_figures(struct svc *svc, struct svc_figure *figures);

/**
 * Whether the disk does what it is asked. Any thread.
 *
 * @return CELLAR_OK; IO_ERROR naming what has failed and what to do
 */
enum cellar_status svc_health(struct svc *svc, struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Whether writes are taken now. Any thread.
 *
 * @return CELLAR_OK; UNAVAILABLE (draining); IO_ERROR (log or store has failed);
 *         RESOURCE_EXHAUSTED (the disk is below its reserve: only deletes are taken)
 */
enum cellar_status svc_readiness(struct svc *svc, struct cellar_error *error) CELLAR_MUST_USE;

/** Whether svc_readiness() is CELLAR_OK. */
bool svc_is_ready(struct svc *svc);

/** Shows the metrics of tables, writes, log and stores. Any thread. */
void svc_show(struct svc *svc, struct cellar_metric_page *page);

#endif
