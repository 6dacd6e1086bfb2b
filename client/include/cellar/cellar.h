#ifndef CELLAR_CELLAR_H
#define CELLAR_CELLAR_H

/*
 * The client library of Cellar: the one header a program includes.
 *
 *     struct cellar_client *client;
 *     struct cellar_call call = {0};
 *     if (cellar_client_open(NULL, &call, &client) != CELLAR_E_OK) {
 *         fprintf(stderr, "%s\n", call.failure.text);
 *     }
 *
 * A client is a pool of connections to one server. It may be used by any number of threads at once.
 * A call blocks until it is answered or its time is over; those that end in `_submit` return at
 * once and bring their outcome later. Builders (mutations, batches, reads,
 * schemas), scans and results belong to one thread at a time.
 *
 * Habits that hold everywhere:
 *
 * - A function that can fail returns an `enum cellar_code`. Its last input is a `struct cellar_call
 *   *`, which may be NULL: it brings the call's time limit and takes the failure's details home.
 *   Out parameters are written only on CELLAR_E_OK.
 * - Builders never fail at the place where they are filled: they keep their first failure, and the
 *   call that uses them returns it. Their functions take NULL, so that `..._new()` needs no check.
 * - Bytes are views (`struct cellar_view`): borrowed, never ended by a NUL. What a call is given is
 *   borrowed until it returns; what it gives says how long it lives.
 * - Every `..._free()` takes NULL.
 * - Timestamps and durations are microseconds. Tables of millisecond granularity (the default) want
 *   timestamps that are multiples of 1000.
 * - A call that was not applied because the server could not take it (CELLAR_E_UNAVAILABLE) is sent
 *   again by the library, after the delay that the server asked for, as long as the time limit
 *   allows. Reads are also sent again when their connection breaks before a row was delivered, and
 *   writes of rows until an answer tells what became of them: a write that is not the same when
 *   applied twice carries a token, by which the server knows it again and applies it once. Changes
 *   of tables whose connection breaks end with CELLAR_E_OUTCOME_UNKNOWN.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is declared here is what the shared library exports. */
#pragma GCC visibility push(default)

#define CELLAR_VERSION_TEXT "0.1.0"

/** How a call ended; the numbers are those of the protocol. */
enum cellar_code {
    CELLAR_E_OK = 0,
    CELLAR_E_INVALID_ARGUMENT = 1, /* the request is wrong: field, limit and value are named */
    CELLAR_E_NOT_FOUND = 2,        /* no such table or family */
    CELLAR_E_ALREADY_EXISTS = 3,
    CELLAR_E_FAILED_PRECONDITION = 4, /* also: what answers is not a server of this protocol */
    CELLAR_E_ABORTED = 5,
    CELLAR_E_UNAVAILABLE = 6,        /* not applied; the same call may be made again */
    CELLAR_E_RESOURCE_EXHAUSTED = 7, /* a limit, named in the text; not applied */
    CELLAR_E_DEADLINE_EXCEEDED = 8,  /* a write may or may not have been applied */
    CELLAR_E_OUTCOME_UNKNOWN = 9,    /* the write may or may not have been applied */
    CELLAR_E_PERMISSION_DENIED = 10,
    CELLAR_E_UNAUTHENTICATED = 11,
    CELLAR_E_DATA_LOSS = 12,     /* stored data is damaged */
    CELLAR_E_UNIMPLEMENTED = 13, /* the server does not know this */
    CELLAR_E_CANCELLED = 14,
    CELLAR_E_IO_ERROR = 15, /* storage failed, or the server broke the protocol */
    CELLAR_E_NO_MEMORY = 16 /* here or in the server; not applied */
};

#define CELLAR_FAILURE_TEXT_BYTES 640
#define CELLAR_FAILURE_WHERE_BYTES 320

/** How and where a call failed; zeroed by a call that succeeds. */
struct cellar_failure {
    enum cellar_code code;
    bool is_retryable;                      /* nothing was applied: the same call may follow */
    uint32_t retry_delay_ms;                /* how long to wait before that; 0 = no hint */
    char text[CELLAR_FAILURE_TEXT_BYTES];   /* a sentence for people, NUL-terminated */
    char where[CELLAR_FAILURE_WHERE_BYTES]; /* operation and endpoint, NUL-terminated */
};

/** What one call brings and takes home; `{0}` is the client's time limit. */
struct cellar_call {
    int64_t timeout_us; /* 0 = the client's; > 0 = for this call, retries included */
    struct cellar_failure failure;
};

/** Borrowed bytes; `data` may be NULL only when `bytes` is 0. */
struct cellar_view {
    const uint8_t *data;
    size_t bytes;
};

/** A view of `bytes` bytes at `data`. */
static inline struct cellar_view cellar_view_of(const void *data, size_t bytes)
{
    struct cellar_view view;
    view.data = (const uint8_t *)data;
    view.bytes = bytes;
    return view;
}

/** A view of a NUL-terminated string, without the NUL. */
static inline struct cellar_view cellar_text(const char *text)
{
    return cellar_view_of(text, strlen(text));
}

/**
 * The name of a code, such as "NOT_FOUND".
 *
 * @return static storage; "UNKNOWN" for a number that is not in the enum
 * @thread any
 */
const char *cellar_code_text(enum cellar_code code);

/* ---- the client ---------------------------------------------------------------------------- */

struct cellar_client;

/** How to reach a server; `{0}` (or NULL) takes every default. Text is copied. */
struct cellar_options {
    const char *endpoint;     /* "host:port" or "[v6]:port"; NULL = "127.0.0.1:8086" */
    const char *instance;     /* "PROJECT/INSTANCE" of bare table names; NULL = default/default */
    int64_t timeout_us;       /* of calls that do not say; 0 = 10 s */
    uint32_t connections_max; /* to one server, 1..1024; 0 = 16. An open scan holds one */
    uint32_t connect_attempts_max;   /* tries to connect before UNAVAILABLE; 0 = 3 */
    uint32_t attempts_max;           /* times one call is sent; 1 = never again; 0 = 100 */
    uint32_t submit_connections_max; /* of all submitted calls together, 1..16; 0 = 2; to a server
                                        that was named for some rows 2 at most */
    uint32_t submit_calls_max;       /* submitted calls without an outcome, 1..1048576; 0 = 16384 */
    uint64_t submit_bytes_max;       /* of their requests together; 0 = 64 MiB */
    int interrupt_fd; /* a descriptor of the program's, such as a signalfd: while it can be read,
                         calls that block end with CELLAR_E_CANCELLED, a write that was sent with
                         CELLAR_E_OUTCOME_UNKNOWN, and waits for futures, for room and of writers
                         end early; 0 = none */
};

/**
 * Makes a client. Nothing is connected yet: the first call does that.
 *
 * @param options  borrowed until return; NULL = every default
 * @param client   receives the client; close it with cellar_client_close()
 * @return CELLAR_E_OK; CELLAR_E_INVALID_ARGUMENT naming the option; CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_client_open(const struct cellar_options *options, struct cellar_call *call,
                                    struct cellar_client **client);

/**
 * Closes all connections and frees the client. No call may be running and every scan must have been
 * closed before.
 *
 * @param client  may be NULL
 */
void cellar_client_close(struct cellar_client *client);

/**
 * Asks whether the server answers and whether it is ready to serve.
 *
 * @param is_ready  receives false while the server starts or drains
 * @return CELLAR_E_OK when it answered; CELLAR_E_UNAVAILABLE when it cannot be reached;
 *         CELLAR_E_DEADLINE_EXCEEDED; CELLAR_E_FAILED_PRECONDITION when it speaks another protocol
 * @thread any
 */
enum cellar_code cellar_ping(struct cellar_client *client, struct cellar_call *call,
                             bool *is_ready);

/** One of the server's figures, such as "log_bytes". */
struct cellar_figure {
    const char *name;
    int64_t value;
};

/** What a server says about itself. */
struct cellar_server_info {
    const char *version;
    const char *data_dir;
    uint64_t uptime_us;
    const struct cellar_figure *figures; /* in the server's order */
    size_t figure_count;
};

/**
 * Asks the server for its version, its data directory and its figures.
 *
 * @param info  receives one block of memory; free it with cellar_server_info_free()
 * @return CELLAR_E_OK, or as cellar_ping(), CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_server_info_get(struct cellar_client *client, struct cellar_call *call,
                                        struct cellar_server_info **info);

/** Frees what cellar_server_info_get() gave. */
void cellar_server_info_free(struct cellar_server_info *info);

/* ---- scrubs -------------------------------------------------------------------------------- */

/** How the latest scrub stands. */
enum cellar_scrub_state {
    CELLAR_SCRUB_NONE = 0, /* there was none since the server started */
    CELLAR_SCRUB_RUNNING = 1,
    CELLAR_SCRUB_ENDED = 2,
    CELLAR_SCRUB_CANCELLED = 3
};

/** What a problem's keys say. */
enum cellar_scrub_place {
    CELLAR_SCRUB_NOWHERE = 0, /* nothing: it concerns no row, or all */
    CELLAR_SCRUB_ROW = 1,     /* `start` is the row's key, or how it begins */
    CELLAR_SCRUB_ROWS = 2     /* rows from `start` to `end`; an empty end is the last row */
};

/** Something that is damaged. */
struct cellar_scrub_problem {
    const char *table; /* full name; empty: the server's catalog */
    struct cellar_view tablet_start;
    struct cellar_view tablet_end; /* empty: the last row */
    enum cellar_scrub_place place;
    struct cellar_view start;
    struct cellar_view end;
    const char *why; /* a sentence without a period */
};

/** How far a scrub is, or how it ended. */
struct cellar_scrub_info {
    enum cellar_scrub_state state;
    uint64_t pass;      /* rises by one with each scrub of a server's run */
    bool is_background; /* the server began it by itself */
    const char *table;  /* full name; empty: everything */
    uint64_t item_count;
    uint64_t item_count_total; /* about */
    uint64_t byte_count;       /* of keys and values */
    uint64_t started_us;       /* since 1970 */
    uint64_t ended_us;         /* 0: it runs */
    uint64_t problem_count;
    const struct cellar_scrub_problem *problems; /* the first ones; the others are counted */
    size_t problem_count_listed;
};

/**
 * Has the server check everything on its disk of one table, or all it has, while it serves it. Does
 * not wait for the end: ask with cellar_scrub_status().
 *
 * @param table             NULL: everything
 * @param bytes_per_second  so fast at most, 1,024 at least; 0: 64 MiB
 * @param info              receives one block of memory; free it with cellar_scrub_info_free()
 * @return CELLAR_E_OK; CELLAR_E_FAILED_PRECONDITION when one runs; CELLAR_E_NOT_FOUND (table),
 *         CELLAR_E_INVALID_ARGUMENT, or as cellar_table_drop()
 * @thread any
 */
enum cellar_code cellar_scrub_start(struct cellar_client *client, const char *table,
                                    uint64_t bytes_per_second, struct cellar_call *call,
                                    struct cellar_scrub_info **info);

/** Asks how the latest scrub stands; otherwise as cellar_server_info_get(). @thread any */
enum cellar_code cellar_scrub_status(struct cellar_client *client, struct cellar_call *call,
                                     struct cellar_scrub_info **info);

/** Has the scrub that runs end soon; otherwise as cellar_scrub_status(). @thread any */
enum cellar_code cellar_scrub_cancel(struct cellar_client *client, struct cellar_call *call,
                                     struct cellar_scrub_info **info);

/** Frees what a scrub's call gave. Takes NULL. */
void cellar_scrub_info_free(struct cellar_scrub_info *info);

/* ---- compactions --------------------------------------------------------------------------- */

/** How the latest compaction stands. */
enum cellar_compact_state {
    CELLAR_COMPACT_NONE = 0, /* there was none since the server started */
    CELLAR_COMPACT_RUNNING = 1,
    CELLAR_COMPACT_ENDED = 2,
    CELLAR_COMPACT_CANCELLED = 3,
    CELLAR_COMPACT_FAILED = 4,   /* `why` tells; some tablets are as they were */
    CELLAR_COMPACT_ABANDONED = 5 /* the server's end cut off the last one; none has begun since */
};

/** How far a compaction is, or how it ended. */
struct cellar_compact_info {
    enum cellar_compact_state state;
    uint64_t pass;      /* rises by one with each compaction of a server's run */
    bool is_background; /* the server began it by itself */
    const char *table;  /* full name; empty: all */
    uint64_t tablet_count;
    uint64_t tablet_count_total;
    uint64_t item_count;
    uint64_t item_count_total; /* about */
    uint64_t byte_count;       /* of keys and values, written */
    uint64_t started_us;       /* since 1970 */
    uint64_t ended_us;         /* 0: it runs */
    uint64_t abandoned_count;  /* tablets whose compaction the server's last end cut off */
    const char *why;           /* FAILED: a sentence without a period */
};

/**
 * Has the server write a table's data, or that of all tables, anew: in the order of keys, without
 * what is deleted or hidden by rules, while it is read and written. Does not wait for the end: ask
 * with cellar_compact_status().
 *
 * @param table             NULL: all
 * @param bytes_per_second  written so fast at most, 1,024 at least; 0: no limit
 * @param info              receives one block of memory; free it with cellar_compact_info_free()
 * @return CELLAR_E_OK; CELLAR_E_FAILED_PRECONDITION when one runs; CELLAR_E_NOT_FOUND (table),
 *         CELLAR_E_INVALID_ARGUMENT, or as cellar_table_drop()
 * @thread any
 */
enum cellar_code cellar_compact_start(struct cellar_client *client, const char *table,
                                      uint64_t bytes_per_second, struct cellar_call *call,
                                      struct cellar_compact_info **info);

/** Asks how the latest compaction stands; otherwise as cellar_server_info_get(). @thread any */
enum cellar_code cellar_compact_status(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_compact_info **info);

/** Has the compaction that runs end soon; otherwise as cellar_compact_status(). @thread any */
enum cellar_code cellar_compact_cancel(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_compact_info **info);

/** Frees what a compaction's call gave. Takes NULL. */
void cellar_compact_info_free(struct cellar_compact_info *info);

/* ---- tables -------------------------------------------------------------------------------- */

/*
 * A table is named `t` (in the client's instance), `PROJECT/INSTANCE/t`, or in full
 * `projects/PROJECT/instances/INSTANCE/tables/t`.
 */

enum cellar_rule_kind {
    CELLAR_RULE_NONE = 0,        /* keep everything */
    CELLAR_RULE_VERSIONS = 1,    /* keep the newest `amount` versions of each column */
    CELLAR_RULE_AGE = 2,         /* keep cells not older than `amount` microseconds */
    CELLAR_RULE_UNION = 3,       /* a cell goes when any child lets it go */
    CELLAR_RULE_INTERSECTION = 4 /* a cell goes when all children let it go */
};

/** A garbage-collection rule: which cells of a family go. A tree, at most 20 deep. */
struct cellar_rule {
    enum cellar_rule_kind kind;
    int64_t amount;                     /* VERSIONS: >= 1; AGE: microseconds, >= 1000 */
    const struct cellar_rule *children; /* UNION, INTERSECTION */
    size_t child_count;                 /* UNION, INTERSECTION: >= 1 */
};

enum cellar_table_granularity {
    CELLAR_TABLE_MILLIS = 1, /* timestamps are multiples of 1000; the default */
    CELLAR_TABLE_MICROS = 2
};

struct cellar_schema;

/** An empty schema to fill; NULL without memory. Free it with cellar_schema_free(). */
struct cellar_schema *cellar_schema_new(void);

/** Frees a schema. */
void cellar_schema_free(struct cellar_schema *schema);

/**
 * Adds a column family.
 *
 * @param name  1..64 of `-_.a-zA-Z0-9`
 * @param rule  copied; NULL = keep everything
 */
void cellar_schema_family(struct cellar_schema *schema, const char *name,
                          const struct cellar_rule *rule);

/** Adds a row key at which the table is cut into tablets from the start; any order, not empty. */
void cellar_schema_split(struct cellar_schema *schema, struct cellar_view key);

/** Sets the granularity of the table's timestamps, which is fixed at creation. */
void cellar_schema_granularity(struct cellar_schema *schema,
                               enum cellar_table_granularity granularity);

/** A family of a table that exists. */
struct cellar_family_info {
    const char *name;
    struct cellar_rule rule;
};

/** A contiguous range of a table's rows: start <= key < end; an empty end is the table's end. */
struct cellar_tablet_info {
    struct cellar_view start;
    struct cellar_view end;
    uint64_t store; /* the number of the store that holds it */
};

/** A table that exists. */
struct cellar_table_info {
    const char *name;                          /* in full */
    const struct cellar_family_info *families; /* by name */
    size_t family_count;
    const struct cellar_tablet_info *tablets; /* in key order */
    size_t tablet_count;
    enum cellar_table_granularity granularity;
    uint64_t schema_version;
};

/** Frees what cellar_table_create(), cellar_table_describe() and cellar_table_modify_families()
 * gave. */
void cellar_table_info_free(struct cellar_table_info *info);

/**
 * Creates a table.
 *
 * @param schema  as filled; NULL is CELLAR_E_NO_MEMORY, what cellar_schema_new() met
 * @param info    may be NULL; else receives the table, freed with cellar_table_info_free()
 * @return CELLAR_E_OK; CELLAR_E_ALREADY_EXISTS; CELLAR_E_INVALID_ARGUMENT;
 *         CELLAR_E_RESOURCE_EXHAUSTED; CELLAR_E_OUTCOME_UNKNOWN when the connection broke;
 *         CELLAR_E_UNAVAILABLE, CELLAR_E_DEADLINE_EXCEEDED, CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_table_create(struct cellar_client *client, const char *table,
                                     const struct cellar_schema *schema, struct cellar_call *call,
                                     struct cellar_table_info **info);

/**
 * Describes a table.
 *
 * @param info  receives it; free it with cellar_table_info_free()
 * @return CELLAR_E_OK; CELLAR_E_NOT_FOUND; CELLAR_E_INVALID_ARGUMENT (the name);
 *         CELLAR_E_UNAVAILABLE, CELLAR_E_DEADLINE_EXCEEDED, CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_table_describe(struct cellar_client *client, const char *table,
                                       struct cellar_call *call, struct cellar_table_info **info);

/**
 * Drops a table with all its rows.
 *
 * @return as cellar_table_describe(), and CELLAR_E_OUTCOME_UNKNOWN when the connection broke
 * @thread any
 */
enum cellar_code cellar_table_drop(struct cellar_client *client, const char *table,
                                   struct cellar_call *call);

/** What becomes of a family; the numbers are those of the protocol. */
enum cellar_family_action {
    CELLAR_FAMILY_CREATE = 0, /* CELLAR_E_ALREADY_EXISTS where there is one of the name */
    CELLAR_FAMILY_UPDATE = 1, /* gives it the rule in the place of its own */
    CELLAR_FAMILY_DROP = 2 /* with all its cells, for ever: one of the name that is created later,
                              even by the same call, is empty */
};

/** One change of a table's families. */
struct cellar_family_change {
    enum cellar_family_action action;
    const char *name;               /* 1..64 of `-_.a-zA-Z0-9` */
    const struct cellar_rule *rule; /* NULL = keep everything; of a drop, NULL */
};

/**
 * Changes a table's families, in order and as a whole: when one change fails, none is made. Reads
 * and writes go on meanwhile. Not sent again when its answer is lost, as cells that others wrote
 * since could go by a second drop.
 *
 * @param changes       1..1000 of them; borrowed until return
 * @param info          may be NULL; else receives the table as it is then, freed with
 *                      cellar_table_info_free()
 * @return CELLAR_E_OK; CELLAR_E_NOT_FOUND (table; family to update or drop);
 *         CELLAR_E_ALREADY_EXISTS; CELLAR_E_INVALID_ARGUMENT; CELLAR_E_OUTCOME_UNKNOWN when the
 *         connection broke; CELLAR_E_UNAVAILABLE, CELLAR_E_DEADLINE_EXCEEDED, CELLAR_E_IO_ERROR,
 *         CELLAR_E_NO_MEMORY
 * @thread any
 * @source PROTOCOL.md, "Changes of families"
 */
enum cellar_code cellar_table_modify_families(struct cellar_client *client, const char *table,
                                              const struct cellar_family_change *changes,
                                              size_t change_count, struct cellar_call *call,
                                              struct cellar_table_info **info);

/**
 * Drops the rows whose keys begin with a prefix; what the table is stays as it is. After
 * CELLAR_E_OK no read sees them as they were, and what is written to them from then on is kept. Not
 * sent again when its answer is lost, as rows that were written since would go too.
 *
 * @param prefix  1..4096 bytes; all rows go by cellar_table_truncate() alone
 * @return as cellar_table_drop(), and CELLAR_E_IO_ERROR
 * @thread any
 * @source PROTOCOL.md, "Dropping rows"
 */
enum cellar_code cellar_rows_drop(struct cellar_client *client, const char *table,
                                  struct cellar_view prefix, struct cellar_call *call);

/**
 * Drops all rows of a table and keeps the table, as cellar_rows_drop().
 *
 * @thread any
 */
enum cellar_code cellar_table_truncate(struct cellar_client *client, const char *table,
                                       struct cellar_call *call);

/** The tables of an instance. */
struct cellar_table_list {
    const char *const *names; /* in full, sorted */
    size_t count;
};

/**
 * Lists all tables of the client's instance.
 *
 * @param list  receives them; free it with cellar_table_list_free()
 * @return CELLAR_E_OK; CELLAR_E_INVALID_ARGUMENT; CELLAR_E_UNAVAILABLE,
 *         CELLAR_E_DEADLINE_EXCEEDED, CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_table_list_get(struct cellar_client *client, struct cellar_call *call,
                                       struct cellar_table_list **list);

/** Frees what cellar_table_list_get() gave. */
void cellar_table_list_free(struct cellar_table_list *list);

/* ---- writing ------------------------------------------------------------------------------- */

/*
 * A mutation list changes one row, in order and as a whole: 1 to 100,000 mutations. Row keys have 1
 * to 4096 bytes, qualifiers up to 16 KiB, a value and the whole list as much as the server takes.
 */
struct cellar_mutations;

/** An empty list; NULL without memory. Free it with cellar_mutations_free(). */
struct cellar_mutations *cellar_mutations_new(void);

/** Frees a list. */
void cellar_mutations_free(struct cellar_mutations *list);

/** Empties a list, forgets its failure and keeps its memory for the next row. */
void cellar_mutations_clear(struct cellar_mutations *list);

/** How many mutations the list holds. */
size_t cellar_mutations_count(const struct cellar_mutations *list);

/** How many bytes the list takes in a request. */
size_t cellar_mutations_bytes(const struct cellar_mutations *list);

/** Sets a cell at the server's time. */
void cellar_mutations_set(struct cellar_mutations *list, const char *family,
                          struct cellar_view qualifier, struct cellar_view value);

/**
 * Sets a cell at an explicit time, replacing the value of an equal column and timestamp.
 *
 * @param timestamp_us  microseconds since 1970, >= 0
 */
void cellar_mutations_set_at(struct cellar_mutations *list, const char *family,
                             struct cellar_view qualifier, int64_t timestamp_us,
                             struct cellar_view value);

/** Deletes all cells of a column. */
void cellar_mutations_delete_column(struct cellar_mutations *list, const char *family,
                                    struct cellar_view qualifier);

/** The times start <= t < end in microseconds; an end of 0 is no end. */
struct cellar_time_range {
    int64_t start_us;
    int64_t end_us;
};

/** Deletes a column's cells whose timestamp lies in the range. */
void cellar_mutations_delete_versions(struct cellar_mutations *list, const char *family,
                                      struct cellar_view qualifier, struct cellar_time_range range);

/** Deletes the row's cells of one family. */
void cellar_mutations_delete_family(struct cellar_mutations *list, const char *family);

/** Deletes the row. */
void cellar_mutations_delete_row(struct cellar_mutations *list);

/**
 * Applies a mutation list to one row. After CELLAR_E_OK it is durable and every read sees it.
 *
 * @param row   1..4096 bytes
 * @param list  as filled; NULL is CELLAR_E_NO_MEMORY, what cellar_mutations_new() met
 * @return CELLAR_E_OK; CELLAR_E_NOT_FOUND (table or family); CELLAR_E_INVALID_ARGUMENT;
 *         CELLAR_E_RESOURCE_EXHAUSTED (a limit, or the server's disk; named);
 *         CELLAR_E_OUTCOME_UNKNOWN, CELLAR_E_DEADLINE_EXCEEDED: it may have been applied;
 *         CELLAR_E_UNAVAILABLE, CELLAR_E_IO_ERROR, CELLAR_E_NO_MEMORY: it was not
 * @thread any
 */
enum cellar_code cellar_mutate_row(struct cellar_client *client, const char *table,
                                   struct cellar_view row, const struct cellar_mutations *list,
                                   struct cellar_call *call);

/*
 * A batch: mutation lists for many rows in one request, 100,000 mutations together at most. Entries
 * are independent of each other and each has a result of its own.
 */
struct cellar_batch;

/** An empty batch; NULL without memory. Free it with cellar_batch_free(). */
struct cellar_batch *cellar_batch_new(void);

/** Frees a batch. */
void cellar_batch_free(struct cellar_batch *batch);

/** Empties a batch, forgets its failure and results, and keeps its memory. */
void cellar_batch_clear(struct cellar_batch *batch);

/** Adds a row; both are copied, so that `list` can be cleared and filled again. */
void cellar_batch_add(struct cellar_batch *batch, struct cellar_view row,
                      const struct cellar_mutations *list);

/** How many rows were added. */
size_t cellar_batch_count(const struct cellar_batch *batch);

/** How many mutations the rows have together. */
size_t cellar_batch_mutation_count(const struct cellar_batch *batch);

/** How many bytes the rows take in a request. */
size_t cellar_batch_bytes(const struct cellar_batch *batch);

/**
 * Sends a batch. Entries that the server could not take (CELLAR_E_UNAVAILABLE) are sent again.
 *
 * @param batch  receives a result for every entry
 * @return CELLAR_E_OK when every entry was answered, also when some failed: look at
 *         cellar_batch_failed_count(); otherwise as cellar_mutate_row(), and entries without an
 *         answer have that failure as their result
 * @thread any, one for each batch
 */
enum cellar_code cellar_mutate_rows(struct cellar_client *client, const char *table,
                                    struct cellar_batch *batch, struct cellar_call *call);

/** How many entries of a sent batch failed. */
size_t cellar_batch_failed_count(const struct cellar_batch *batch);

/**
 * How one entry of a sent batch ended.
 *
 * @param index    < cellar_batch_count()
 * @param failure  may be NULL; receives the details (`where` names the entry)
 * @return the entry's code; CELLAR_E_FAILED_PRECONDITION for a batch that was not sent
 */
enum cellar_code cellar_batch_result(const struct cellar_batch *batch, size_t index,
                                     struct cellar_failure *failure);

/* ---- bulk loads ----------------------------------------------------------------------------- */

/*
 * A bulk load brings many rows into an empty table, or a range of rows that has none, in the order
 * of their keys. Each byte is written about once, and readers see all rows in one moment, at the
 * commit. A load belongs to one thread at a time; its client may be used by others meanwhile. The
 * server gives up a load when its connection is lost, or when a minute passes without a row sent.
 */

/** A load under way; keeps its first failure, which all later calls return. */
struct cellar_bulk;

/** The rows from `start` up to and without `end`; empty: no bound. */
struct cellar_bulk_range {
    struct cellar_view start;
    struct cellar_view end;
};

/** A cell of a load. */
struct cellar_bulk_cell {
    const char *family; /* NUL-terminated */
    struct cellar_view qualifier;
    int64_t timestamp_us;     /* >= 0 */
    struct cellar_view value; /* at most 100 MiB */
};

/** What a load was. */
struct cellar_bulk_counts {
    uint64_t row_count;
    uint64_t cell_count;
    uint64_t byte_count; /* of keys, qualifiers and values */
};

/**
 * Begins a load.
 *
 * @param range  NULL: the whole table
 * @param bulk   receives the load; end it with cellar_bulk_commit() or cellar_bulk_abort(), and
 *               free it with cellar_bulk_free()
 * @return CELLAR_E_OK; CELLAR_E_FAILED_PRECONDITION (the range has rows; the table has a load),
 *         CELLAR_E_RESOURCE_EXHAUSTED (the server has as many loads as it takes),
 *         CELLAR_E_NOT_FOUND (table), or as cellar_table_drop()
 */
enum cellar_code cellar_bulk_begin(struct cellar_client *client, const char *table,
                                   const struct cellar_bulk_range *range, struct cellar_call *call,
                                   struct cellar_bulk **bulk);

/**
 * Adds a row; sends those that are there when they are about 1 MB. May wait for the server then.
 * A larger row takes three times its size of memory while it is sent.
 *
 * @param key    behind that of the row before; 1 to 4096 bytes, borrowed as are the cells
 * @param cells  1 or more in order of family, qualifier, newest first, none twice; of a row 256 MiB
 * @return CELLAR_E_OK; CELLAR_E_INVALID_ARGUMENT (order, limits), CELLAR_E_NOT_FOUND (a family),
 *         CELLAR_E_FAILED_PRECONDITION (a row of the range was written meanwhile),
 *         CELLAR_E_OUTCOME_UNKNOWN (the connection was lost; the load is, too), or as
 *         cellar_mutate_row(): the load can only be aborted
 */
enum cellar_code cellar_bulk_row(struct cellar_bulk *bulk, struct cellar_view key,
                                 const struct cellar_bulk_cell *cells, size_t cell_count,
                                 struct cellar_call *call);

/**
 * Sends the last rows and makes all of them visible and durable. Give it a timeout for as long as
 * the server may need to sync what it has built.
 *
 * @param counts  untouched on failure
 * @return CELLAR_E_OK; CELLAR_E_OUTCOME_UNKNOWN (all rows are there, or none); as cellar_bulk_row()
 *         otherwise, and nothing was loaded
 */
enum cellar_code cellar_bulk_commit(struct cellar_bulk *bulk, struct cellar_call *call,
                                    struct cellar_bulk_counts *counts);

/** Ends a load without effect, also one that has failed. */
enum cellar_code cellar_bulk_abort(struct cellar_bulk *bulk, struct cellar_call *call);

/** Aborts a load that was not ended, and frees it. Takes NULL. */
void cellar_bulk_free(struct cellar_bulk *bulk);

/* ---- reading ------------------------------------------------------------------------------- */

/*
 * What to read: the union of the rows and ranges that were added, or every row when none was; of
 * these the columns that were added, or all.
 */
struct cellar_read;

enum cellar_bound_kind { CELLAR_BOUND_NONE = 0, CELLAR_BOUND_CLOSED = 1, CELLAR_BOUND_OPEN = 2 };

/** One end of a range of row keys. */
struct cellar_bound {
    enum cellar_bound_kind kind;
    struct cellar_view key;
};

/** No bound: from the first row, or to the last. */
static inline struct cellar_bound cellar_bound_none(void)
{
    struct cellar_bound bound;
    bound.kind = CELLAR_BOUND_NONE;
    bound.key = cellar_view_of(NULL, 0);
    return bound;
}

/** A bound that the range includes. */
static inline struct cellar_bound cellar_bound_closed(struct cellar_view key)
{
    struct cellar_bound bound;
    bound.kind = CELLAR_BOUND_CLOSED;
    bound.key = key;
    return bound;
}

/** A bound that the range excludes. */
static inline struct cellar_bound cellar_bound_open(struct cellar_view key)
{
    struct cellar_bound bound;
    bound.kind = CELLAR_BOUND_OPEN;
    bound.key = key;
    return bound;
}

/** A read of every row; NULL without memory. Free it with cellar_read_free(). */
struct cellar_read *cellar_read_new(void);

/** Frees a read. */
void cellar_read_free(struct cellar_read *read);

/** Adds one row by its key; copied. */
void cellar_read_row(struct cellar_read *read, struct cellar_view key);

/** Adds the rows between two bounds; copied. */
void cellar_read_range(struct cellar_read *read, struct cellar_bound start,
                       struct cellar_bound end);

/** Adds the rows whose keys begin with `prefix`; an empty one is every row. Copied. */
void cellar_read_prefix(struct cellar_read *read, struct cellar_view prefix);

/** Restricts the answer to a family, and to others that are added. */
void cellar_read_family(struct cellar_read *read, const char *family);

/** Restricts the answer to a column, and to others that are added. */
void cellar_read_column(struct cellar_read *read, const char *family, struct cellar_view qualifier);

/** Gives only the newest `versions` cells of each column; 0 = all. */
void cellar_read_versions(struct cellar_read *read, int64_t versions);

/** Ends the read after `rows` rows; 0 = no limit. */
void cellar_read_limit(struct cellar_read *read, int64_t rows);

/** Gives the rows by descending key. */
void cellar_read_reverse(struct cellar_read *read);

/** Gives keys without cells. */
void cellar_read_keys_only(struct cellar_read *read);

/** One cell of an answer. */
struct cellar_row_cell {
    struct cellar_view family;
    struct cellar_view qualifier;
    int64_t timestamp_us;
    struct cellar_view value;
};

/** One row of an answer; cells by family, qualifier, newest first. */
struct cellar_row {
    struct cellar_view key;
    const struct cellar_row_cell *cells;
    size_t cell_count;
};

/*
 * A scan: rows as they come, a few megabytes at a time whatever the table's size.
 *
 *     while (cellar_scan_next(scan, &row)) {
 *         ...
 *     }
 *     code = cellar_scan_close(scan, &call);
 */
struct cellar_scan;

/**
 * Starts a scan, which holds one of the client's connections until it is closed. Where its rows are
 * served by several servers it goes from one to the next.
 *
 * @param read  borrowed until return; NULL is CELLAR_E_NO_MEMORY, what cellar_read_new() met
 * @param call  `timeout_us` > 0 bounds the whole scan; 0 leaves the scan unbounded and lets each
 *              wait for the server last no longer than the client's time limit
 * @param scan  receives the scan; close it with cellar_scan_close()
 * @return CELLAR_E_OK; CELLAR_E_INVALID_ARGUMENT; CELLAR_E_NO_MEMORY. What the server has to say
 *         comes from cellar_scan_close()
 * @thread any, one for each scan
 */
enum cellar_code cellar_scan_open(struct cellar_client *client, const char *table,
                                  const struct cellar_read *read, struct cellar_call *call,
                                  struct cellar_scan **scan);

/**
 * Waits for the next row.
 *
 * @param row  receives the row; its memory lives until the next call with this scan
 * @return false at the end or on failure: cellar_scan_close() tells which
 */
bool cellar_scan_next(struct cellar_scan *scan, struct cellar_row *row);

/**
 * Ends a scan, finished or not, and frees it.
 *
 * @param scan  may be NULL: CELLAR_E_OK
 * @param call  may be NULL; receives the failure that ended the scan
 * @return CELLAR_E_OK when every row came or the scan was closed early; CELLAR_E_NOT_FOUND (table
 *         or family), CELLAR_E_INVALID_ARGUMENT, CELLAR_E_FAILED_PRECONDITION (a row above 256
 *         MiB), CELLAR_E_DATA_LOSS, CELLAR_E_DEADLINE_EXCEEDED, CELLAR_E_UNAVAILABLE,
 *         CELLAR_E_IO_ERROR, CELLAR_E_NO_MEMORY: the rows given so far are whole and right
 */
enum cellar_code cellar_scan_close(struct cellar_scan *scan, struct cellar_call *call);

/* Rows read to the end and kept in memory. */
struct cellar_rows;

/**
 * Reads all rows that `read` asks for into memory.
 *
 * @param rows  receives 0 or more rows, 256 MiB together at most; free them with
 *              cellar_rows_free()
 * @return CELLAR_E_OK, also when there is no such row; as cellar_scan_close(), and
 *         CELLAR_E_RESOURCE_EXHAUSTED when the rows are larger: use a scan
 * @thread any
 */
enum cellar_code cellar_get(struct cellar_client *client, const char *table,
                            const struct cellar_read *read, struct cellar_call *call,
                            struct cellar_rows **rows);

/** As cellar_get(), for one row with all its cells. */
enum cellar_code cellar_get_row(struct cellar_client *client, const char *table,
                                struct cellar_view key, struct cellar_call *call,
                                struct cellar_rows **rows);

/** How many rows there are. */
size_t cellar_rows_count(const struct cellar_rows *rows);

/** One row; `index` < cellar_rows_count(). It lives as long as `rows`. */
const struct cellar_row *cellar_rows_at(const struct cellar_rows *rows, size_t index);

/** Frees rows. */
void cellar_rows_free(struct cellar_rows *rows);

/* ---- calls that do not wait ---------------------------------------------------------------- */

/*
 * A submitted call returns at once and has exactly one outcome, within its time limit. The outcome
 * comes through a callback, or through a future that the program waits for:
 *
 *     struct cellar_future *future = NULL;
 *     if (cellar_get_row_submit(client, "users", key, NULL, &future) == CELLAR_E_OK) {
 *         ...
 *         (void)cellar_future_wait(future, -1);
 *         if (cellar_future_result(future, NULL) == CELLAR_E_OK) {
 *             struct cellar_rows *rows = cellar_future_take_rows(future);
 *
 * Any thread submits. Submitted calls share a few connections of their own, on each of which many
 * are in flight; a thread that the client makes on first use looks after these, or the program's
 * own event loop does (cellar_loop_attach()). Callbacks run on that thread: they must not block,
 * may submit further calls, and must not close the client. What a submission is given is copied,
 * but for batches.
 *
 * Submitted calls overtake each other, also when they write the same row: who needs an order
 * submits the next one when he has the outcome of the one before. Failed calls are sent again by
 * the same rules as those that block, and go where a server sends them on to; a get or scan goes on
 * behind its last row there.
 */
struct cellar_future;

/** How a call is submitted; `{0}` (or NULL): with the client's time limit, for a future. */
struct cellar_submit {
    int64_t timeout_us; /* 0 = the client's; > 0 = for this call, retries included */
    /** Called once with the outcome, never from inside the submitting call; the future is borrowed
     * until it returns. NULL: the future tells. */
    void (*done)(void *context, struct cellar_future *future);
    void *context;
    bool waits_for_room; /* when too much is submitted already: wait, within the time limit */
    struct cellar_failure failure; /* receives why nothing was submitted */
};

/*
 * All functions below submit a call. In common they have:
 *
 * @param submit  may be NULL
 * @param future  receives the call's future, to be freed with cellar_future_free(); may be NULL
 *                when `submit` has a callback
 * @return CELLAR_E_OK: the outcome will come. Otherwise nothing was submitted and no callback will
 *         be called: CELLAR_E_INVALID_ARGUMENT; CELLAR_E_RESOURCE_EXHAUSTED when too many calls or
 *         bytes have no outcome yet (with `waits_for_room`, which is ignored in a callback:
 *         CELLAR_E_DEADLINE_EXCEEDED when that lasted too long); CELLAR_E_UNAVAILABLE when no
 *         thread can be made; CELLAR_E_CANCELLED while the client is being closed, or when
 *         interrupt_fd ended the wait for room; CELLAR_E_NO_MEMORY
 * @thread any
 */

/** Submits cellar_ping(); cellar_future_is_ready() has the answer. */
enum cellar_code cellar_ping_submit(struct cellar_client *client, struct cellar_submit *submit,
                                    struct cellar_future **future);

/** Submits cellar_mutate_row(). */
enum cellar_code cellar_mutate_row_submit(struct cellar_client *client, const char *table,
                                          struct cellar_view row,
                                          const struct cellar_mutations *list,
                                          struct cellar_submit *submit,
                                          struct cellar_future **future);

/** Submits cellar_mutate_rows(). The batch belongs to the call until its outcome: it must not be
 * touched before, and then has the results. */
enum cellar_code cellar_mutate_rows_submit(struct cellar_client *client, const char *table,
                                           struct cellar_batch *batch, struct cellar_submit *submit,
                                           struct cellar_future **future);

/** Submits cellar_get(); cellar_future_take_rows() has the rows. */
enum cellar_code cellar_get_submit(struct cellar_client *client, const char *table,
                                   const struct cellar_read *read, struct cellar_submit *submit,
                                   struct cellar_future **future);

/** Submits cellar_get_row(). */
enum cellar_code cellar_get_row_submit(struct cellar_client *client, const char *table,
                                       struct cellar_view key, struct cellar_submit *submit,
                                       struct cellar_future **future);

/** Who takes the rows of a submitted scan. */
struct cellar_row_taker {
    /** Called with each row, which lives until it returns; false ends the scan, with CELLAR_E_OK.
     * While it runs no other row comes: the server waits when it is slow. */
    bool (*take)(void *context, const struct cellar_row *row);
    void *context;
};

/**
 * Submits a scan: its rows come through `taker`, then the outcome comes, as cellar_scan_close()
 * tells it.
 *
 * @param taker   copied
 * @param submit  a `timeout_us` > 0 bounds the whole scan; 0 leaves it unbounded and lets each wait
 *                for the server last no longer than the client's time limit
 */
enum cellar_code cellar_scan_submit(struct cellar_client *client, const char *table,
                                    const struct cellar_read *read,
                                    const struct cellar_row_taker *taker,
                                    struct cellar_submit *submit, struct cellar_future **future);

/**
 * Waits until a call has its outcome, and its callback has returned. Not for callbacks, nor for the
 * thread of an event loop that drives the client.
 *
 * @param timeout_us  how long at most; < 0 = for ever, which lasts as long as the call's time limit
 * @return true when it has it; false when the time passed or the client's interrupt_fd ended the
 *         wait: the call goes on
 * @thread any
 */
bool cellar_future_wait(struct cellar_future *future, int64_t timeout_us);

/** Whether a call has its outcome. Any thread. */
bool cellar_future_done(struct cellar_future *future);

/**
 * How a call ended.
 *
 * @param failure  may be NULL; receives the details
 * @return what the blocking call would return; CELLAR_E_FAILED_PRECONDITION before the outcome
 * @thread any
 */
enum cellar_code cellar_future_result(struct cellar_future *future, struct cellar_failure *failure);

/** What cellar_ping() would say; false before the outcome. Any thread. */
bool cellar_future_is_ready(struct cellar_future *future);

/** Takes the rows of a get that ended well, once; NULL otherwise. Free them with
 * cellar_rows_free(). Any thread. */
struct cellar_rows *cellar_future_take_rows(struct cellar_future *future);

/**
 * Asks to end a call early, with CELLAR_E_CANCELLED. A write that is in flight goes on and ends as
 * ever, as does a call that ends meanwhile. Not for a future whose client was closed.
 *
 * @thread any
 */
void cellar_future_cancel(struct cellar_future *future);

/** Frees a future; a call without an outcome goes on, and its callback is called. Takes NULL. */
void cellar_future_free(struct cellar_future *future);

/** How the connections of a client are. */
struct cellar_health {
    uint32_t connection_count; /* of submitted calls: open and usable */
    uint32_t in_flight_count;  /* submitted calls that are with the server */
    uint32_t waiting_count;    /* submitted calls that wait for a connection or another attempt */
    uint32_t pool_connection_count; /* of blocking calls and scans */
    int64_t failure_age_us;         /* since a connection of submitted calls failed; -1 = never */
    struct cellar_failure last_failure; /* how */
};

/** Tells how the connections are, as of a moment ago; sends nothing. Any thread. */
void cellar_client_health(struct cellar_client *client, struct cellar_health *health);

/*
 * A program that has an event loop can drive submitted calls with it, instead of the client's
 * thread. For libevent see cellar/libevent.h; for others, this is what a loop does:
 */

#define CELLAR_LOOP_READ 1
#define CELLAR_LOOP_WRITE 2

/** What a client asks a loop for. All but `wake` is called on the loop's thread. */
struct cellar_loop {
    void *context;
    /** From now on calls cellar_loop_ready() when `fd` is ready for one of `events`, for as long as
     * it is; 0 = forget it. Replaces what was asked before. false: there is no memory for it. */
    bool (*watch)(void *context, int fd, int events);
    /** Calls cellar_loop_turn() once after `delay_us`; < 0 = not. Replaces what was asked before.
     */
    void (*timer)(void *context, int64_t delay_us);
    /** Calls cellar_loop_turn() soon; called on any thread. */
    void (*wake)(void *context);
};

/**
 * Lets an event loop drive the submitted calls of a client, before the first of them.
 *
 * @param loop  copied; what it points at stays until cellar_loop_detach()
 * @return CELLAR_E_OK; CELLAR_E_FAILED_PRECONDITION when a call was submitted or a loop attached
 *         before; CELLAR_E_NO_MEMORY
 */
enum cellar_code cellar_loop_attach(struct cellar_client *client, const struct cellar_loop *loop,
                                    struct cellar_call *call);

/** A watched socket is ready. On the loop's thread. */
void cellar_loop_ready(struct cellar_client *client, int fd, int events);

/** The timer came, or `wake` was called. On the loop's thread. */
void cellar_loop_turn(struct cellar_client *client);

/** Ends all submitted calls, CELLAR_E_CANCELLED, and lets go of the loop, before the client is
 * closed. On the loop's thread, not in a callback. */
void cellar_loop_detach(struct cellar_client *client);

/* ---- a writer ------------------------------------------------------------------------------ */

/*
 * A writer takes rows one by one and sends them together: requests of many rows, several in flight,
 * each row with one result of its own. It is the way to write much.
 *
 * Rows go each to its server, where there are several.
 *
 * Rows of one key are applied in the order in which they were added, also when one of them is sent
 * again. A cell without a timestamp gets the client's time when it is added, which never goes back
 * within a writer; so a row of nothing but sets can be repeated without harm, and is, until its
 * time is over. A row with deletes carries a token by which the server applies it once. A row
 * whose key another writer writes as well is not ordered against that one's: a set that is
 * repeated may then bring a cell back which the other deleted in between.
 *
 * Close writers before their client.
 */
struct cellar_writer;

/** How one row of a writer ended. */
struct cellar_written {
    const char *table;                    /* in full */
    struct cellar_view row;               /* its key */
    void *context;                        /* as it was added with */
    const struct cellar_failure *failure; /* its code is CELLAR_E_OK when the row is durable */
};

/** How a writer works; `{0}` (or NULL) takes every default. */
struct cellar_writer_options {
    /** Called once for each row that was added, never from inside the call that adds it, on the
     * thread that looks after submitted calls; what it is given lives until it returns. It must not
     * block, and may add rows. NULL = failures are only counted. */
    void (*done)(void *context, const struct cellar_written *written);
    void *context;
    uint32_t rows_max;          /* of one request, 1..100000; 0 = 1000 */
    uint32_t requests_max;      /* in flight, 1..256; 0 = 8 */
    uint64_t bytes_max;         /* of one request; 0 = 1 MiB. A larger row goes alone */
    uint64_t pending_bytes_max; /* of rows without a result; 0 = 64 MiB */
    int64_t delay_us_max;       /* how long a row waits for others; 0 = 10 ms */
    int64_t timeout_us;         /* of each row, from when it is added; 0 = the client's */
    enum cellar_table_granularity granularity; /* of the times it gives; 0 = CELLAR_TABLE_MILLIS,
                                                  which is right for every table */
};

/**
 * Opens a writer.
 *
 * @param options  borrowed until return; NULL = every default
 * @param writer   receives it; close it with cellar_writer_close()
 * @return CELLAR_E_OK; CELLAR_E_INVALID_ARGUMENT naming the option; CELLAR_E_UNAVAILABLE when no
 *         thread can be made; CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_writer_open(struct cellar_client *client,
                                    const struct cellar_writer_options *options,
                                    struct cellar_call *call, struct cellar_writer **writer);

/**
 * Adds a row to what is to be written, and waits for room while pending_bytes_max is reached.
 *
 * @param row      1..4096 bytes; copied, as `list` is
 * @param context  comes with the result
 * @param call     its time limit is that of the wait for room
 * @return CELLAR_E_OK: the row will have a result. Otherwise it was not added and has none:
 *         CELLAR_E_INVALID_ARGUMENT; CELLAR_E_DEADLINE_EXCEEDED without room in time;
 *         CELLAR_E_RESOURCE_EXHAUSTED without room in a callback, which cannot wait, and for more
 *         than 1024 tables; CELLAR_E_CANCELLED while the writer is closed, or when the client's
 *         interrupt_fd ended the wait; CELLAR_E_NO_MEMORY
 * @thread any
 */
enum cellar_code cellar_writer_add(struct cellar_writer *writer, const char *table,
                                   struct cellar_view row, const struct cellar_mutations *list,
                                   void *context, struct cellar_call *call);

/**
 * Sends what was added at once and waits until each row of it has its result.
 *
 * @param call  bounds the wait; `timeout_us` 0 = the rows' own time limits do
 * @return CELLAR_E_OK, whatever the results are; CELLAR_E_DEADLINE_EXCEEDED; CELLAR_E_CANCELLED
 *         when the client's interrupt_fd ended the wait; CELLAR_E_FAILED_PRECONDITION on the
 *         thread that would have to do it
 * @thread any but that of callbacks and of an attached loop
 */
enum cellar_code cellar_writer_flush(struct cellar_writer *writer, struct cellar_call *call);

/** How many rows were added, and of these had a result, and a failure. Any pointer may be NULL. */
void cellar_writer_counts(struct cellar_writer *writer, uint64_t *added, uint64_t *ended,
                          uint64_t *failed);

/**
 * Flushes and frees a writer. When it returns every row has had its result: when the time limit
 * passes, or the client's interrupt_fd can be read, the rest is cancelled (CELLAR_E_CANCELLED; rows
 * that are with the server may end CELLAR_E_OUTCOME_UNKNOWN). Nobody else may use the writer any
 * more.
 *
 * On the thread of an attached loop it does not wait: what has no result is cancelled.
 *
 * @param writer  may be NULL: CELLAR_E_OK
 * @return CELLAR_E_OK when no row that it took ever failed; otherwise the first failure of one;
 *         CELLAR_E_FAILED_PRECONDITION in a callback: the writer stays open
 */
enum cellar_code cellar_writer_close(struct cellar_writer *writer, struct cellar_call *call);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
