#ifndef CELLAR_COMMON_CELL_H
#define CELLAR_COMMON_CELL_H

#include "common/buf.h"

/*
 * The data model's words and limits: table names, row keys, families, qualifiers, timestamps,
 * values. A cell is found by (row, family, qualifier, timestamp); cells order by row, family and
 * qualifier ascending by unsigned bytes, then timestamp descending.
 */

#define CELLAR_ROW_BYTES_MAX 4096u
#define CELLAR_RANGE_BOUND_BYTES_MAX 4097u
#define CELLAR_FAMILY_BYTES_MAX 64u
#define CELLAR_QUALIFIER_BYTES_MAX 16384u
#define CELLAR_VALUE_BYTES_MAX 104857600u      /* the API's limit, 100 MiB */
#define CELLAR_INLINE_VALUE_BYTES_MAX 1048576u /* the largest that is no blob */
#define CELLAR_BLOB_BYTES 20u                  /* of a reference: FORMAT.md, "Blobs" */
#define CELLAR_MUTATION_COUNT_MAX 100000u
#define CELLAR_REQUEST_BYTES_MAX 268435456u
#define CELLAR_ROW_ANSWER_BYTES_MAX 268435456u
#define CELLAR_TABLE_ID_BYTES_MAX 50u
#define CELLAR_NAME_PART_BYTES_MAX 64u /* a project's or an instance's id */
#define CELLAR_TABLE_NAME_BYTES_MAX 256u
#define CELLAR_TIMESTAMP_SERVER INT64_C(-1) /* "the server's time", in a mutation only */
#define CELLAR_TIMESTAMP_MAX INT64_MAX
#define CELLAR_TIMESTAMP_MILLIS_MAX INT64_C(9223372036854775000)

enum cellar_granularity { CELLAR_GRANULARITY_MILLIS = 1, CELLAR_GRANULARITY_MICROS = 2 };

/** One cell, all parts borrowed. `timestamp_us` >= 0. */
struct cellar_cell {
    struct cellar_slice family;    /* name, 1..64 bytes */
    struct cellar_slice qualifier; /* 0..16384 bytes */
    int64_t timestamp_us;
    struct cellar_slice value;
};

/** A table's full name in three parts, all borrowed. */
struct cellar_table_name {
    struct cellar_slice project;
    struct cellar_slice instance;
    struct cellar_slice table;
};

/**
 * Checks a row key: 1..4096 bytes.
 *
 * @return CELLAR_OK, CELLAR_INVALID_ARGUMENT with `Error in field 'row_key' : Row keys must be
 *         non-empty` or one naming field, limit and size seen
 */
enum cellar_status cellar_row_check(struct cellar_slice row, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Checks a family name: 1..64 of `-_.a-zA-Z0-9`; CELLAR_INVALID_ARGUMENT otherwise (R-KEY-07). */
enum cellar_status cellar_family_check(struct cellar_slice family, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Checks a qualifier: 0..16384 bytes; CELLAR_INVALID_ARGUMENT otherwise (R-KEY-04). */
enum cellar_status cellar_qualifier_check(struct cellar_slice qualifier, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Splits and checks a table's name. Accepted: `t` (project and instance `default`), `P/I/t` and
 * `projects/P/instances/I/tables/t`. Project and instance are 1..64 bytes of `-_.a-zA-Z0-9:` that
 * do not start with `-` or `.`; the table id matches `[_a-zA-Z0-9][-_.a-zA-Z0-9]{0,49}`.
 *
 * @param text   borrowed; the parts point into it or into static storage
 * @return CELLAR_OK or CELLAR_INVALID_ARGUMENT (R-KEY-08, R-INS-06)
 */
enum cellar_status cellar_table_name_decode(struct cellar_slice text,
                                            struct cellar_table_name *name,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Splits and checks `P/I` or `projects/P/instances/I`; empty text means `default/default`. The
 * table part stays empty.
 */
enum cellar_status cellar_instance_name_decode(struct cellar_slice text,
                                               struct cellar_table_name *name,
                                               struct cellar_error *error) CELLAR_MUST_USE;

/** Appends `projects/P/instances/I/tables/T`; CELLAR_NO_MEMORY. */
enum cellar_status cellar_table_name_encode(const struct cellar_table_name *name,
                                            struct cellar_buffer *to) CELLAR_MUST_USE;

/**
 * Shows bytes for people: printable ASCII but backslash as it is, everything else as \xNN, cut with
 * "..." at `bytes_max` source bytes. Always NUL-terminates; `text_bytes` >= 8 is the room.
 *
 * @return `text`
 */
const char *cellar_bytes_show(struct cellar_slice bytes, size_t bytes_max, char *text,
                              size_t text_bytes);

#endif
