#ifndef CELLAR_COMMON_MESSAGE_LIST_H
#define CELLAR_COMMON_MESSAGE_LIST_H

/*
 * Every message and field of the native protocol, once: number, kind, name. PROTOCOL.md explains
 * each. Numbers are never used again; 1..31. Field 15 of a request is its time limit.
 */

#define CELLAR_MESSAGE_LIST(X)                                                                     \
    X(ERROR, error)                                                                                \
    X(CREDIT, credit)                                                                              \
    X(EMPTY, empty)                                                                                \
    X(HELLO_REQUEST, hello_request)                                                                \
    X(HELLO_REPLY, hello_reply)                                                                    \
    X(PING_REPLY, ping_reply)                                                                      \
    X(SERVER_INFO_REPLY, server_info_reply)                                                        \
    X(CREATE_TABLE_REQUEST, create_table_request)                                                  \
    X(TABLE_REQUEST, table_request)                                                                \
    X(TABLE_REPLY, table_reply)                                                                    \
    X(LIST_TABLES_REQUEST, list_tables_request)                                                    \
    X(LIST_TABLES_REPLY, list_tables_reply)                                                        \
    X(MUTATE_ROW_REQUEST, mutate_row_request)                                                      \
    X(MUTATE_ROWS_REQUEST, mutate_rows_request)                                                    \
    X(MUTATE_ROWS_REPLY, mutate_rows_reply)                                                        \
    X(READ_ROWS_REQUEST, read_rows_request)                                                        \
    X(READ_ROWS_REPLY, read_rows_reply)                                                            \
    X(MODIFY_FAMILIES_REQUEST, modify_families_request)                                            \
    X(DROP_ROWS_REQUEST, drop_rows_request)                                                        \
    X(PASS_REQUEST, pass_request)                                                                  \
    X(SCRUB_REPLY, scrub_reply)                                                                    \
    X(COMPACT_REPLY, compact_reply)                                                                \
    X(BULK_BEGIN_REQUEST, bulk_begin_request)                                                      \
    X(BULK_BEGIN_REPLY, bulk_begin_reply)                                                          \
    X(BULK_ROWS_REQUEST, bulk_rows_request)                                                        \
    X(BULK_END_REQUEST, bulk_end_request)                                                          \
    X(BULK_COMMIT_REPLY, bulk_commit_reply)

#define CELLAR_MESSAGE_FIELDS_ERROR(F)                                                             \
    F(1, u64, code)                                                                                \
    F(2, text, text)                                                                               \
    F(3, u64, retry_delay_ms)                                                                      \
    F(4, text, endpoint) /* MOVED: where the rows from start to end are served */                  \
    F(5, bytes, start)                                                                             \
    F(6, bytes, end) /* empty: to the table's end */

#define CELLAR_MESSAGE_FIELDS_CREDIT(F) F(1, u64, bytes)

/* DROP_TABLE's, DROP_ROWS's, BULK_ROWS's, BULK_ABORT's and MUTATE_ROW's reply, PING's and
 * SERVER_INFO's request: no field but the time limit. */
#define CELLAR_MESSAGE_FIELDS_EMPTY(F) F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_HELLO_REQUEST(F)                                                     \
    F(1, u64, version_min)                                                                         \
    F(2, u64, version_max)                                                                         \
    F(3, text, client)                                                                             \
    F(4, raw, features)       /* array of str */                                                   \
    F(5, raw, authentication) /* reserved */

#define CELLAR_MESSAGE_FIELDS_HELLO_REPLY(F)                                                       \
    F(1, u64, version)                                                                             \
    F(2, text, server)                                                                             \
    F(3, raw, features) /* array of str */                                                         \
    F(4, u64, frame_bytes_max)                                                                     \
    F(5, u64, request_bytes_max)                                                                   \
    F(6, u64, requests_max) /* in flight on one connection */

#define CELLAR_MESSAGE_FIELDS_PING_REPLY(F) F(1, bool, is_ready)

#define CELLAR_MESSAGE_FIELDS_SERVER_INFO_REPLY(F)                                                 \
    F(1, text, version)                                                                            \
    F(2, u64, uptime_us)                                                                           \
    F(3, text, data_dir)                                                                           \
    F(4, raw, figures) /* array of [name str, number] */

#define CELLAR_MESSAGE_FIELDS_CREATE_TABLE_REQUEST(F)                                              \
    F(1, text, table)                                                                              \
    F(2, raw, families)    /* array of [name, GC rule | nil] */                                    \
    F(3, raw, split_keys)  /* array of bytes */                                                    \
    F(4, u64, granularity) /* 0 and 1 milliseconds, 2 microseconds */                              \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_TABLE_REQUEST(F)                                                     \
    F(1, text, table)                                                                              \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_TABLE_REPLY(F)                                                       \
    F(1, text, name)    /* projects/P/instances/I/tables/T */                                      \
    F(2, raw, families) /* array of [name, GC rule | nil], by name */                              \
    F(3, u64, granularity)                                                                         \
    F(4, raw, tablets) /* array of [start bytes, end bytes, store number] */                       \
    F(5, u64, schema_version)

#define CELLAR_MESSAGE_FIELDS_MODIFY_FAMILIES_REQUEST(F)                                           \
    F(1, text, table)                                                                              \
    F(2, raw, changes) /* array of [0 create | 1 update | 2 drop, name, GC rule | nil] */          \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_DROP_ROWS_REQUEST(F)                                                 \
    F(1, text, table)                                                                              \
    F(2, bytes, prefix)                                                                            \
    F(3, bool, all) /* every row; then without a prefix */                                         \
    F(15, u64, timeout_us)

/* SCRUB and COMPACT. */
#define CELLAR_MESSAGE_FIELDS_PASS_REQUEST(F)                                                      \
    F(1, text, table) /* empty: everything */                                                      \
    F(2, u64, action) /* 0 start, 1 status, 2 cancel */                                            \
    F(3, u64, bytes_per_second)                                                                    \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_SCRUB_REPLY(F)                                                       \
    F(1, u64, state) /* 0 none, 1 runs, 2 ended, 3 cancelled */                                    \
    F(2, u64, pass)                                                                                \
    F(3, bool, background)                                                                         \
    F(4, text, table) /* empty: everything */                                                      \
    F(5, u64, items)                                                                               \
    F(6, u64, items_total)                                                                         \
    F(7, u64, bytes)                                                                               \
    F(8, u64, started_us) /* since 1970 */                                                         \
    F(9, u64, ended_us)                                                                            \
    F(10, u64, problem_count)                                                                      \
    F(11, raw, problems) /* array of [table, tablet start, tablet end, 0 | 1 row | 2 rows,         \
                            rows start, rows end, text] */

#define CELLAR_MESSAGE_FIELDS_COMPACT_REPLY(F)                                                     \
    F(1, u64, state) /* 0 none, 1 runs, 2 ended, 3 cancelled, 4 failed, 5 abandoned */             \
    F(2, u64, pass)                                                                                \
    F(3, bool, background)                                                                         \
    F(4, text, table) /* empty: all */                                                             \
    F(5, u64, items)                                                                               \
    F(6, u64, items_total)                                                                         \
    F(7, u64, bytes)                                                                               \
    F(8, u64, started_us) /* since 1970 */                                                         \
    F(9, u64, ended_us)                                                                            \
    F(10, u64, tablets)                                                                            \
    F(11, u64, tablets_total)                                                                      \
    F(12, u64, abandoned)                                                                          \
    F(13, text, why)

#define CELLAR_MESSAGE_FIELDS_BULK_BEGIN_REQUEST(F)                                                \
    F(1, text, table)                                                                              \
    F(2, bytes, start) /* empty: from the first row */                                             \
    F(3, bytes, end)   /* behind the last row; empty: no bound */                                  \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_BULK_BEGIN_REPLY(F) F(1, u64, load)

#define CELLAR_MESSAGE_FIELDS_BULK_ROWS_REQUEST(F)                                                 \
    F(1, u64, load)                                                                                \
    F(2, u64, number) /* 0, 1, 2 ... */                                                            \
    F(3, raw, rows)   /* array of [key bytes, array of packed cells] */                            \
    F(15, u64, timeout_us)

/* BULK_COMMIT and BULK_ABORT. */
#define CELLAR_MESSAGE_FIELDS_BULK_END_REQUEST(F)                                                  \
    F(1, u64, load)                                                                                \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_BULK_COMMIT_REPLY(F)                                                 \
    F(1, u64, rows)                                                                                \
    F(2, u64, cells)                                                                               \
    F(3, u64, bytes) /* of keys, qualifiers and values */

#define CELLAR_MESSAGE_FIELDS_LIST_TABLES_REQUEST(F)                                               \
    F(1, text, instance)                                                                           \
    F(2, i64, page_size)                                                                           \
    F(3, bytes, page_token)                                                                        \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_LIST_TABLES_REPLY(F)                                                 \
    F(1, raw, names) /* array of str, sorted */                                                    \
    F(2, bytes, next_page_token)

#define CELLAR_MESSAGE_FIELDS_MUTATE_ROW_REQUEST(F)                                                \
    F(1, text, table)                                                                              \
    F(2, bytes, row)                                                                               \
    F(3, raw, mutations)                                                                           \
    F(4, bytes, token)                                                                             \
    F(5, u64, token_start_us) /* since 1970; absent: on arrival */                                 \
    F(6, u64, token_life_us)  /* absent: 15 minutes */                                             \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_MUTATE_ROWS_REQUEST(F)                                               \
    F(1, text, table)                                                                              \
    F(2, raw, entries) /* array of [row bytes, mutations] or [..., token bytes | nil] */           \
    F(3, u64, token_start_us)                                                                      \
    F(4, u64, token_life_us)                                                                       \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_MUTATE_ROWS_REPLY(F)                                                 \
    F(1, raw, results) /* array, one an entry in its order: 0, or [code, text, retry delay ms] */

#define CELLAR_MESSAGE_FIELDS_READ_ROWS_REQUEST(F)                                                 \
    F(1, text, table)                                                                              \
    F(2, raw, row_keys)                                                                            \
    F(3, raw, ranges)                                                                              \
    F(4, i64, rows_limit) /* 0: no limit */                                                        \
    F(5, bool, reversed)                                                                           \
    F(6, raw, columns)      /* array of [family, qualifier | nil]; absent: all */                  \
    F(7, i64, versions)     /* newest N of each column; 0: all */                                  \
    F(8, raw, filter)       /* reserved */                                                         \
    F(9, u64, credit_bytes) /* absent: 1 MiB */                                                    \
    F(10, bool, keys_only)                                                                         \
    F(15, u64, timeout_us)

#define CELLAR_MESSAGE_FIELDS_READ_ROWS_REPLY(F)                                                   \
    F(1, u64, part) /* 0, 1, 2 ... */                                                              \
    F(2, raw, rows) /* array of [key bytes, flags, array of packed cells] */

#endif
