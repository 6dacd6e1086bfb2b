#ifndef CELLAR_TOOLS_BENCH_DATA_H
#define CELLAR_TOOLS_BENCH_DATA_H

#include "common/buf.h"

/*
 * The benchmark's data: keys and values that follow from numbers, so that whatever a server answers
 * can be made again and compared. Three kinds of rows, in one table:
 *
 *     user...  10 fields of 100 bytes: YCSB's records, in an order of keys that looks random
 *     wide...  10,000 columns of 100 bytes
 *     time...  one event of 100 bytes; a timeline is a range of such rows, newest first
 */

#define CELLAR_BENCH_FIELD_COUNT 10u
#define CELLAR_BENCH_COLUMN_COUNT 10000u /* of a wide row */
#define CELLAR_BENCH_VALUE_BYTES 100u
#define CELLAR_BENCH_KEY_BYTES_MAX 40u  /* with a NUL */
#define CELLAR_BENCH_NAME_BYTES_MAX 16u /* of a column, with a NUL */

enum cellar_bench_space { CELLAR_BENCH_USER, CELLAR_BENCH_WIDE, CELLAR_BENCH_TIME };

/** Where a cell is, and which of the values that it has had in turn. */
struct cellar_bench_cell {
    enum cellar_bench_space space;
    uint32_t column;  /* field or column; 0 of an event */
    uint64_t record;  /* number of the record, wide row or timeline */
    uint32_t version; /* 0, 1, 2 ...; of an event its number in the timeline */
};

/** Writes the key of a record, wide row or (the common start of) a timeline. @return its length */
size_t cellar_bench_key(enum cellar_bench_space space, uint64_t record,
                        char to[CELLAR_BENCH_KEY_BYTES_MAX]);

/** Writes the key of one event of a timeline; newer ones sort first. @return its length */
size_t cellar_bench_event_key(uint64_t timeline, uint32_t sequence,
                              char to[CELLAR_BENCH_KEY_BYTES_MAX]);

/** Reads the number in a key of that space; keys sort as their numbers. False: not such a key. */
bool cellar_bench_key_number(enum cellar_bench_space space, struct cellar_slice key,
                             uint64_t *number);

/** The number that the key of a record has. */
uint64_t cellar_bench_record_number(uint64_t record);

/** Reads the sequence number at the end of an event's key; false when it is none. */
bool cellar_bench_event_sequence(struct cellar_slice key, uint32_t *sequence);

/** Writes the name of a field ("field3") or column ("c0000042"). @return its length */
size_t cellar_bench_column(enum cellar_bench_space space, uint32_t column,
                           char to[CELLAR_BENCH_NAME_BYTES_MAX]);

/** Reads such a name; false when it is none. */
bool cellar_bench_column_number(enum cellar_bench_space space, struct cellar_slice name,
                                uint32_t *column);

/** Writes a cell's value: 100 bytes that do not compress. */
void cellar_bench_value(const struct cellar_bench_cell *cell, uint8_t to[CELLAR_BENCH_VALUE_BYTES]);

/**
 * Finds out which of a cell's values this is.
 *
 * @param cell  its version is written
 * @return false when it is none of them: any other length or byte
 */
bool cellar_bench_value_version(struct cellar_bench_cell *cell, struct cellar_slice value);

#endif
