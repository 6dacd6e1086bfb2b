/*
 * From the fields of a CSV record to the cells of a row.
 *
 *     header   id,when,name,age      --key id --timestamp-column when --family cf --type age=int64
 *              |  |    |    +---- cf:age, 8 bytes
 *              |  |    +--------- cf:name
 *              |  +-------------- the timestamp of both
 *              +----------------- the row's key
 *
 * Options name columns; they are resolved once, when the header is known, so that a mistake is told
 * before anything is sent. Each column then has its parts: in the key, the timestamp, the cell it
 * becomes, its type. A column without any part is left out, which is what the absence of --family
 * asks for; that no column becomes a cell is a mistake.
 *
 * Where the header is that of `scan --format csv` and `export`, and no option says otherwise, a
 * record is one cell and all of its bytes are escaped as in text output. Pure.
 */

#include "client/tools/csv_map.h"

#include <stdlib.h>

#include "client/tools/column_text.h"
#include "client/tools/escape.h"
#include "common/cell.h"
#include "common/mem.h"

#define COLUMNS_BYTES_MAX 1048576u

static const char *const cell_columns[] = {"row", "family", "qualifier", "timestamp", "value"};

/* Options that only CSV has; --family belongs to others too. */
static const char *const csv_options[] = {
    "delimiter", "no-header",        "columns",        "key",  "key-separator", "column",
    "type",      "timestamp-column", "timestamp-unit", "empty"};

struct cellar_csv_column {
    struct cellar_buffer name;
    bool is_time;
    bool is_cell;
    enum cellar_csv_type type;
    const char *family;               /* of a cell; borrowed from the arguments or `target` */
    struct cellar_column_text target; /* of --column */
};

/* Other formats refuse these, and name the one that was given. */
const char *cellar_csv_option_given(const struct cellar_args *args)
{
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(csv_options); index++) {
        CELLAR_ASSERT(csv_options[index] != NULL);
        if (cellar_args_has(args, csv_options[index])) {
            return csv_options[index];
        }
    }
    return NULL;
}

void cellar_csv_map_fini(struct cellar_csv_map *map)
{
    for (size_t index = 0; index < map->column_count; index++) {
        CELLAR_ASSERT(map->columns != NULL);
        cellar_buffer_fini(&map->columns[index].name);
        cellar_column_text_fini(&map->columns[index].target);
    }
    cellar_mem_free(map->columns);
    map->columns = NULL;
    map->column_count = 0;
    cellar_buffer_fini(&map->key_separator);
    cellar_buffer_fini(&map->key);
    cellar_buffer_fini(&map->value);
    cellar_buffer_fini(&map->family_text);
    cellar_buffer_fini(&map->qualifier);
}

static enum cellar_status no_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(CELLAR_ARRAY_COUNT(cell_columns) == 5);
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for CSV");
}

/* ---- options ------------------------------------------------------------------------------- */

/* Reads --delimiter: one byte, escaped or not. */
static enum cellar_status delimiter_get(struct cellar_csv_map *map, struct cellar_error *error)
{
    const char *text = cellar_args_text(map->args, "delimiter");
    struct cellar_buffer bytes = {0};
    map->delimiter = ',';
    if (text == NULL) {
        return CELLAR_OK;
    }
    enum cellar_status status = strcmp(text, "\\t") == 0
                                    ? cellar_buffer_append(&bytes, "\t", 1)
                                    : cellar_escape_decode(cellar_slice_text(text), &bytes, error);
    if (status == CELLAR_OK && (bytes.bytes != 1 || bytes.data[0] == '"' || bytes.data[0] == '\n' ||
                                bytes.data[0] == '\r')) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --delimiter must be one byte, such as ; or \\t, and no "
                                  "quote or line end, but got '%.64s'",
                                  text);
    }
    CELLAR_ASSERT(status != CELLAR_OK || bytes.bytes == 1);
    map->delimiter = status == CELLAR_OK ? bytes.data[0] : map->delimiter;
    cellar_buffer_fini(&bytes);
    return status;
}

/* Reads --timestamp-unit. */
static enum cellar_status unit_get(struct cellar_csv_map *map, struct cellar_error *error)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}};
    const char *text = cellar_args_text(map->args, "timestamp-unit");
    map->time_unit_us = 1;
    for (size_t index = 0; text != NULL; index++) {
        if (index == CELLAR_ARRAY_COUNT(units)) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "Option --timestamp-unit must be us, ms or s, but got '%.64s'",
                                    text);
        }
        if (strcmp(text, units[index].name) == 0) {
            map->time_unit_us = units[index].us;
            break;
        }
    }
    CELLAR_ASSERT(map->time_unit_us > 0);
    return CELLAR_OK;
}

enum cellar_status cellar_csv_map_options(struct cellar_csv_map *map,
                                          const struct cellar_args *args,
                                          struct cellar_error *error)
{
    const char *empty = cellar_args_text(args, "empty");
    const char *separator = cellar_args_text(args, "key-separator");
    CELLAR_ASSERT(map->columns == NULL);
    map->args = args;
    map->family = cellar_args_text(args, "family");
    map->has_header = !cellar_args_has(args, "no-header");
    map->is_empty_kept = empty != NULL && strcmp(empty, "store") == 0;
    if (empty != NULL && !map->is_empty_kept && strcmp(empty, "skip") != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --empty must be skip or store, but got '%.64s'", empty);
    }
    if (map->has_header == cellar_args_has(args, "columns")) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                map->has_header ? "Option --columns needs --no-header"
                                                : "Option --no-header needs --columns");
    }
    CELLAR_TRY(delimiter_get(map, error));
    CELLAR_TRY(unit_get(map, error));
    enum cellar_status status = cellar_escape_decode(
        cellar_slice_text(separator == NULL ? "#" : separator), &map->key_separator, error);
    return status;
}

/* ---- the header ---------------------------------------------------------------------------- */

/* The column of that name, or NULL. */
static struct cellar_csv_column *column_find(const struct cellar_csv_map *map,
                                             struct cellar_slice name)
{
    for (size_t index = 0; index < map->column_count; index++) {
        CELLAR_ASSERT(map->columns != NULL);
        if (cellar_slice_equal(cellar_slice_of(&map->columns[index].name), name)) {
            return &map->columns[index];
        }
    }
    return NULL;
}

/* Finds the column that an option names, or says that there is none. Said before anything is sent,
 * with the option that has the typing error. */
static enum cellar_status column_get(const struct cellar_csv_map *map, const char *option,
                                     struct cellar_slice name, struct cellar_csv_column **column,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(option != NULL);
    *column = column_find(map, name);
    return *column != NULL
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "Option --%s: there is no column '%.*s'", option,
                                  (int)CELLAR_MIN(name.bytes, 100u), (const char *)name.data);
}

/* Takes the names of the columns from a record. Two columns of one name could not be told apart by
 * any option. */
static enum cellar_status names_take(struct cellar_csv_map *map,
                                     const struct cellar_csv_reader *header,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(map->columns == NULL);
    if (header->error.code != CELLAR_OK || header->field_count == 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "The columns have no names: %s",
                                header->error.code == CELLAR_OK ? "the header is empty"
                                                                : header->error.text);
    }
    map->columns = cellar_mem_zalloc(header->field_count, sizeof *map->columns);
    if (map->columns == NULL) {
        return no_memory(error);
    }
    for (size_t index = 0; index < header->field_count; index++) {
        struct cellar_slice name = cellar_csv_field_at(header, index);
        if (column_find(map, name) != NULL) {
            return cellar_error_set(
                error, CELLAR_INVALID_ARGUMENT, "Two columns have the name '%.*s'",
                (int)CELLAR_MIN(name.bytes, 100u), name.bytes == 0 ? "" : (const char *)name.data);
        }
        if (cellar_buffer_append(&map->columns[index].name, name.data, name.bytes) != CELLAR_OK) {
            return no_memory(error);
        }
        map->column_count++;
    }
    return CELLAR_OK;
}

/* Takes the names of the columns from --columns, which is a record itself. */
static enum cellar_status names_given(struct cellar_csv_map *map, struct cellar_error *error)
{
    struct cellar_csv_reader reader = {.delimiter = ',', .record_bytes_max = COLUMNS_BYTES_MAX};
    struct cellar_line line = {.text = cellar_slice_text(cellar_args_text(map->args, "columns")),
                               .number = 1};
    bool is_whole = false;
    enum cellar_status status = cellar_csv_line(&reader, &line, &is_whole);
    CELLAR_ASSERT(!map->has_header);
    if (status == CELLAR_OK) {
        (void)cellar_csv_end(&reader);
        status = names_take(map, &reader, error);
    } else {
        (void)no_memory(error);
    }
    cellar_csv_fini(&reader);
    return status;
}

/* Splits the value of an option at its first '='. The first '=', since a qualifier may hold others.
 */
static enum cellar_status pair_split(const struct cellar_given *given, struct cellar_slice *name,
                                     const char **value, struct cellar_error *error)
{
    const char *sign = strchr(given->value, '=');
    CELLAR_ASSERT(given->option != NULL);
    if (sign == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --%s must be %s, but got '%.100s'", given->option->name,
                                given->option->value, given->value);
    }
    *name = cellar_slice_make(given->value, (size_t)(sign - given->value));
    *value = sign + 1;
    return CELLAR_OK;
}

/* Applies one --column. */
static enum cellar_status target_apply(struct cellar_csv_map *map, const struct cellar_given *given,
                                       struct cellar_error *error)
{
    struct cellar_csv_column *column;
    struct cellar_slice name = {NULL, 0};
    const char *value = "";
    CELLAR_TRY(pair_split(given, &name, &value, error));
    CELLAR_TRY(column_get(map, given->option->name, name, &column, error));
    CELLAR_TRY(cellar_column_text_decode(value, &column->target, error));
    column->is_cell = true;
    column->family = cellar_column_text_family(&column->target);
    CELLAR_ASSERT(column->family != NULL);
    if (!column->target.has_qualifier &&
        cellar_buffer_append(&column->target.qualifier, name.data, name.bytes) != CELLAR_OK) {
        return no_memory(error);
    }
    return CELLAR_OK;
}

/* Applies one option to the columns. */
static enum cellar_status option_apply(struct cellar_csv_map *map, const struct cellar_given *given,
                                       struct cellar_error *error)
{
    const char *option = given->option->name;
    struct cellar_csv_column *column;
    struct cellar_slice name = {NULL, 0};
    const char *value = "";
    CELLAR_ASSERT(map->column_count > 0);
    if (strcmp(option, "key") == 0) {
        return column_get(map, option, cellar_slice_text(given->value), &column, error);
    }
    if (strcmp(option, "timestamp-column") == 0) {
        CELLAR_TRY(column_get(map, option, cellar_slice_text(given->value), &column, error));
        column->is_time = true;
        return CELLAR_OK;
    }
    if (strcmp(option, "column") == 0) {
        return target_apply(map, given, error);
    }
    if (strcmp(option, "type") == 0) {
        CELLAR_TRY(pair_split(given, &name, &value, error));
        CELLAR_TRY(column_get(map, option, name, &column, error));
        return cellar_csv_type_decode(cellar_slice_text(value), &column->type)
                   ? CELLAR_OK
                   : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                      "Option --type: '%.64s' is not one of " CELLAR_CSV_TYPE_NAMES,
                                      value);
    }
    return CELLAR_OK;
}

/* True for a column that is a part of the key. A walk over a few arguments, for the header only. */
static bool is_in_key(const struct cellar_csv_map *map, const struct cellar_csv_column *column)
{
    for (size_t index = 0; index < map->args->given_count; index++) {
        const struct cellar_given *given = &map->args->given[index];
        CELLAR_ASSERT(given->option != NULL);
        if (strcmp(given->option->name, "key") == 0 &&
            cellar_slice_equal(cellar_slice_text(given->value), cellar_slice_of(&column->name))) {
            return true;
        }
    }
    return false;
}

/* Gives the rest of the columns to the family, if there is one. */
static enum cellar_status rest_apply(struct cellar_csv_map *map, struct cellar_error *error)
{
    bool has_cell = false;
    for (size_t index = 0; index < map->column_count; index++) {
        struct cellar_csv_column *column = &map->columns[index];
        if (map->family != NULL && !column->is_cell && !column->is_time &&
            !is_in_key(map, column)) {
            column->is_cell = true;
            column->family = map->family;
            if (cellar_buffer_append(&column->target.qualifier, column->name.data,
                                     column->name.bytes) != CELLAR_OK) {
                return no_memory(error);
            }
        }
        CELLAR_ASSERT(!column->is_cell || column->family != NULL);
        has_cell = has_cell || column->is_cell;
    }
    return has_cell
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "No column becomes a cell; say which with --column NAME=cf:q "
                                  "or --family cf");
}

/* True when the columns are those that scan and export write, and no option maps them. Any option
 * that maps a column says that the file only looks like an export. */
static bool is_cell_form(const struct cellar_csv_map *map)
{
    if (map->column_count != CELLAR_ARRAY_COUNT(cell_columns) || map->family != NULL ||
        cellar_args_has(map->args, "key") || cellar_args_has(map->args, "column") ||
        cellar_args_has(map->args, "type") || cellar_args_has(map->args, "timestamp-column")) {
        return false;
    }
    for (size_t index = 0; index < map->column_count; index++) {
        CELLAR_ASSERT(map->columns != NULL);
        if (!cellar_slice_equal(cellar_slice_of(&map->columns[index].name),
                                cellar_slice_text(cell_columns[index]))) {
            return false;
        }
    }
    return true;
}

enum cellar_status cellar_csv_map_header(struct cellar_csv_map *map,
                                         const struct cellar_csv_reader *header,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(map->args != NULL && (header != NULL) == map->has_header);
    CELLAR_TRY(header == NULL ? names_given(map, error) : names_take(map, header, error));
    map->is_cells = is_cell_form(map);
    if (map->is_cells) {
        return CELLAR_OK;
    }
    if (!cellar_args_has(map->args, "key")) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Which column is the row's key? Say so with --key COLUMN");
    }
    for (size_t index = 0; index < map->args->given_count; index++) {
        CELLAR_TRY(option_apply(map, &map->args->given[index], error));
    }
    return rest_apply(map, error);
}

/* ---- records ------------------------------------------------------------------------------- */

/* Decodes one field into a buffer; an error names the column. */
static enum cellar_status field_decode(const struct cellar_csv_map *map,
                                       const struct cellar_csv_reader *from, size_t index,
                                       enum cellar_csv_type type, struct cellar_buffer *to,
                                       struct cellar_error *error)
{
    struct cellar_error why;
    const struct cellar_buffer *name = &map->columns[index].name;
    enum cellar_status status =
        cellar_csv_value_decode(cellar_csv_field_at(from, index), type, to, &why);
    CELLAR_ASSERT(index < map->column_count);
    return status == CELLAR_OK ? status
                               : cellar_error_set(error, status, "Column '%.*s': %s",
                                                  (int)CELLAR_MIN(name->bytes, 100u),
                                                  (const char *)name->data, why.text);
}

/* Appends the columns of --key in their order. */
static enum cellar_status key_join(struct cellar_csv_map *map, const struct cellar_csv_reader *from,
                                   struct cellar_error *error)
{
    bool is_first = true;
    for (size_t index = 0; index < map->args->given_count; index++) {
        const struct cellar_given *given = &map->args->given[index];
        if (strcmp(given->option->name, "key") != 0) {
            continue;
        }
        const struct cellar_csv_column *column = column_find(map, cellar_slice_text(given->value));
        CELLAR_ASSERT(column != NULL);
        if (!is_first && cellar_buffer_append(&map->key, map->key_separator.data,
                                              map->key_separator.bytes) != CELLAR_OK) {
            return no_memory(error);
        }
        is_first = false;
        CELLAR_TRY(field_decode(map, from, (size_t)(column - map->columns), column->type, &map->key,
                                error));
    }
    return CELLAR_OK;
}

/* Records of another length are refused rather than filled up: a stray delimiter would move every
 * value by one column. */
enum cellar_status cellar_csv_map_key(struct cellar_csv_map *map,
                                      const struct cellar_csv_reader *from,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(map->columns != NULL);
    cellar_buffer_clear(&map->key);
    if (from->field_count != map->column_count) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "There are %zu columns, but this record has %zu field%s",
                                map->column_count, from->field_count,
                                from->field_count == 1 ? "" : "s");
    }
    CELLAR_TRY(map->is_cells ? field_decode(map, from, 0, CELLAR_CSV_ESCAPED, &map->key, error)
                             : key_join(map, from, error));
    return map->key.bytes >= 1 && map->key.bytes <= CELLAR_ROW_BYTES_MAX
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "A row key must have 1 to %u bytes, but got %zu",
                                  CELLAR_ROW_BYTES_MAX, map->key.bytes);
}

/* Reads a timestamp in the unit of the options; an empty one leaves the default. */
static enum cellar_status time_decode(const struct cellar_csv_map *map, struct cellar_slice text,
                                      int64_t *timestamp_us, struct cellar_error *error)
{
    int64_t number = 0;
    CELLAR_ASSERT(map->time_unit_us > 0);
    if (text.bytes == 0) {
        return CELLAR_OK;
    }
    if (!cellar_csv_integer(text, &number) || number < 0 ||
        number > INT64_MAX / map->time_unit_us) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A timestamp must be a whole number >= 0, but got '%.*s'",
                                (int)CELLAR_MIN(text.bytes, 60u), (const char *)text.data);
    }
    *timestamp_us = number * map->time_unit_us;
    return CELLAR_OK;
}

/* Adds the one cell of a record of the form that scan and export write. */
static enum cellar_status cell_add(struct cellar_csv_map *map, const struct cellar_csv_reader *from,
                                   struct cellar_record_cell *cell, struct cellar_record *record,
                                   struct cellar_error *error)
{
    cellar_buffer_clear(&map->family_text);
    cellar_buffer_clear(&map->qualifier);
    cellar_buffer_clear(&map->value);
    CELLAR_TRY(field_decode(map, from, 1, CELLAR_CSV_ESCAPED, &map->family_text, error));
    size_t bytes = map->family_text.bytes;
    if (bytes == 0 || bytes > CELLAR_FAMILY_BYTES_MAX ||
        memchr(map->family_text.data, '\0', bytes) != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Column 'family': it must be a name of 1 to 64 bytes");
    }
    if (cellar_buffer_append(&map->family_text, "", 1) != CELLAR_OK) {
        return no_memory(error);
    }
    CELLAR_TRY(field_decode(map, from, 2, CELLAR_CSV_ESCAPED, &map->qualifier, error));
    CELLAR_TRY(time_decode(map, cellar_csv_field_at(from, 3), &cell->timestamp_us, error));
    CELLAR_TRY(field_decode(map, from, 4, CELLAR_CSV_ESCAPED, &map->value, error));
    cell->family = (const char *)map->family_text.data;
    cell->qualifier = cellar_slice_of(&map->qualifier);
    cell->value = cellar_slice_of(&map->value);
    CELLAR_ASSERT(cell->timestamp_us >= 0);
    return cellar_record_add(record, cell, error);
}

/* The timestamp of a record: that of its column, if it has one. */
static enum cellar_status record_time(const struct cellar_csv_map *map,
                                      const struct cellar_csv_reader *from, int64_t *timestamp_us,
                                      struct cellar_error *error)
{
    for (size_t index = 0; index < map->column_count; index++) {
        if (map->columns[index].is_time) {
            return time_decode(map, cellar_csv_field_at(from, index), timestamp_us, error);
        }
    }
    CELLAR_ASSERT(*timestamp_us >= 0);
    return CELLAR_OK;
}

/* A row of which nothing is stored is told: with a wrong option it would be every row of the file.
 */
enum cellar_status cellar_csv_map_cells(struct cellar_csv_map *map,
                                        const struct cellar_csv_reader *from,
                                        const struct cellar_csv_defaults *defaults,
                                        struct cellar_record *record, struct cellar_error *error)
{
    struct cellar_record_cell cell = {.timestamp_us = defaults->timestamp_us};
    CELLAR_ASSERT(from->field_count == map->column_count);
    if (map->is_cells) {
        return cell_add(map, from, &cell, record, error);
    }
    CELLAR_TRY(record_time(map, from, &cell.timestamp_us, error));
    for (size_t index = 0; index < map->column_count; index++) {
        const struct cellar_csv_column *column = &map->columns[index];
        if (!column->is_cell ||
            (cellar_csv_field_at(from, index).bytes == 0 && !map->is_empty_kept)) {
            continue;
        }
        cellar_buffer_clear(&map->value);
        CELLAR_TRY(field_decode(map, from, index, column->type, &map->value, error));
        cell.family = column->family;
        cell.qualifier = cellar_slice_of(&column->target.qualifier);
        cell.value = cellar_slice_of(&map->value);
        CELLAR_TRY(cellar_record_add(record, &cell, error));
    }
    return record->cell_count > 0
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "All fields that become cells are empty (--empty store keeps "
                                  "them)");
}
