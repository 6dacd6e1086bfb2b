#ifndef CELLAR_TOOLS_CSV_READER_H
#define CELLAR_TOOLS_CSV_READER_H

#include "client/tools/line_reader.h"

/*
 * Records of CSV (RFC 4180), of any bytes. Feed it line by line: a field in quotes may hold line
 * ends.
 */

#define CELLAR_CSV_FIELD_COUNT_MAX 100000u

struct cellar_csv_field;

/** One record being read; zero-initialised but for the first two is before the first. */
struct cellar_csv_reader {
    uint8_t delimiter;       /* between fields; no quote, CR or LF */
    size_t record_bytes_max; /* of the fields of a record together */
    struct cellar_buffer text;
    struct cellar_csv_field *fields;
    size_t field_count;
    size_t field_capacity;
    bool is_open;              /* the record goes on with the next line */
    uint64_t line;             /* of the record's first line; 0: none has begun */
    struct cellar_error error; /* what is wrong with the record; CELLAR_OK if nothing */
};

/**
 * Takes one line. A record that is malformed ends with the line where that is seen.
 *
 * @param is_whole  receives true when the line ended a record: use it, then cellar_csv_clear(). An
 *                  empty line is a record without fields
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_csv_line(struct cellar_csv_reader *reader, const struct cellar_line *line,
                                   bool *is_whole) CELLAR_MUST_USE;

/** Ends the input: a record that is open is one with an error. @return whether there is one */
bool cellar_csv_end(struct cellar_csv_reader *reader);

/** One field; `index` < field_count. Lives until the next line or clear. */
struct cellar_slice cellar_csv_field_at(const struct cellar_csv_reader *reader, size_t index);

/** Makes it ready for the next record; keeps its memory. */
void cellar_csv_clear(struct cellar_csv_reader *reader);

/** Frees its memory. */
void cellar_csv_fini(struct cellar_csv_reader *reader);

#endif
