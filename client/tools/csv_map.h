#ifndef CELLAR_TOOLS_CSV_MAP_H
#define CELLAR_TOOLS_CSV_MAP_H

#include "client/tools/args.h"
#include "client/tools/csv_reader.h"
#include "client/tools/csv_value.h"
#include "client/tools/record.h"

/*
 * What the columns of CSV become: a row key, a timestamp, cells. Or, where the header is the one
 * that scan and export write, a cell a record.
 */

struct cellar_csv_column;

/** Zero-initialised is before cellar_csv_map_options(); fields belong to the .c, but for the first
 * three. */
struct cellar_csv_map {
    uint8_t delimiter;
    bool has_header; /* the first record names the columns; else they were given */
    bool is_cells;   /* after cellar_csv_map_header(): a cell a record */
    const struct cellar_args *args;
    struct cellar_csv_column *columns;
    size_t column_count;
    struct cellar_buffer key_separator;
    int64_t time_unit_us;
    bool is_empty_kept;
    const char *family;
    struct cellar_buffer key; /* of the record that was decoded last */
    struct cellar_buffer value;
    struct cellar_buffer family_text; /* of a cell, NUL-terminated */
    struct cellar_buffer qualifier;
};

/** What a cell gets that has none of its own. */
struct cellar_csv_defaults {
    int64_t timestamp_us;
};

/**
 * Reads the options of CSV: --delimiter, --no-header, --columns, --key, --key-separator, --column,
 * --family, --type, --timestamp-column, --timestamp-unit, --empty.
 *
 * @param args  borrowed as long as the map is used
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming the option; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_csv_map_options(struct cellar_csv_map *map,
                                          const struct cellar_args *args,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** The first option that belongs to CSV alone and was given, or NULL. */
const char *cellar_csv_option_given(const struct cellar_args *args);

/**
 * Says what each column becomes.
 *
 * @param header  the whole record that names the columns; NULL where they were given
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT: a column that is missing, named twice, or becomes
 *         nothing that fits; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_csv_map_header(struct cellar_csv_map *map,
                                         const struct cellar_csv_reader *header,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Decodes the key of a record into `map->key`.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what is wrong; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_csv_map_key(struct cellar_csv_map *map,
                                      const struct cellar_csv_reader *from,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Adds the cells of a record to a row whose key is set. One cell at most where `is_cells` is true;
 * then a failure leaves the row as it was.
 *
 * @return as cellar_csv_map_key(), and as cellar_record_add()
 */
enum cellar_status cellar_csv_map_cells(struct cellar_csv_map *map,
                                        const struct cellar_csv_reader *from,
                                        const struct cellar_csv_defaults *defaults,
                                        struct cellar_record *record, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Frees its memory. */
void cellar_csv_map_fini(struct cellar_csv_map *map);

#endif
