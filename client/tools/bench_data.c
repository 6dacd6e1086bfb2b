/*
 * Keys and values of the benchmark.
 *
 * A record's key is "user" and 20 digits, the mixed record number: records that are inserted one
 * after the other lie anywhere in the table (YCSB's hashed order), and since mixing is one to one
 * the number in a key leads back to its record. An event's key has another 10 digits, which count
 * down, so that the newest event of a timeline is its first row.
 *
 * A value begins with its version, masked; what follows is a random stream that is seeded with cell
 * and version. So a read needs no copy of what was written: the version is taken from the value,
 * and the rest is made again and compared. Pure.
 */

#include "client/tools/bench_data.h"

#include "client/tools/bench_random.h"

#define PREFIX_BYTES 4u
#define NUMBER_DIGITS 20u
#define SEQUENCE_DIGITS 10u
#define VERSION_BYTES 4u
#define FIELD_DIGITS 1u
#define COLUMN_DIGITS 7u

static const char *const prefixes[] = {
    [CELLAR_BENCH_USER] = "user", [CELLAR_BENCH_WIDE] = "wide", [CELLAR_BENCH_TIME] = "time"};

/* Writes a number in `digits` digits, with zeros in front. */
static void digits_put(char *to, uint64_t number, uint32_t digits)
{
    CELLAR_ASSERT(digits <= NUMBER_DIGITS);
    while (digits > 0) {
        to[--digits] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* Reads `digits` digits; false when they are no 64-bit number. */
static bool digits_get(const uint8_t *from, uint32_t digits, uint64_t *number)
{
    uint64_t found = 0;
    CELLAR_ASSERT(digits <= NUMBER_DIGITS);
    for (uint32_t index = 0; index < digits; index++) {
        if (from[index] < '0' || from[index] > '9' || __builtin_mul_overflow(found, 10, &found) ||
            __builtin_add_overflow(found, (uint64_t)(from[index] - '0'), &found)) {
            return false;
        }
    }
    *number = found;
    return true;
}

uint64_t cellar_bench_record_number(uint64_t record)
{
    return cellar_bench_mix(record);
}

size_t cellar_bench_key(enum cellar_bench_space space, uint64_t record,
                        char to[CELLAR_BENCH_KEY_BYTES_MAX])
{
    static_assert(PREFIX_BYTES + NUMBER_DIGITS + SEQUENCE_DIGITS < CELLAR_BENCH_KEY_BYTES_MAX, "");
    CELLAR_ASSERT((size_t)space < CELLAR_ARRAY_COUNT(prefixes));
    memcpy(to, prefixes[space], PREFIX_BYTES);
    digits_put(to + PREFIX_BYTES, cellar_bench_record_number(record), NUMBER_DIGITS);
    to[PREFIX_BYTES + NUMBER_DIGITS] = '\0';
    return PREFIX_BYTES + NUMBER_DIGITS;
}

size_t cellar_bench_event_key(uint64_t timeline, uint32_t sequence,
                              char to[CELLAR_BENCH_KEY_BYTES_MAX])
{
    size_t bytes = cellar_bench_key(CELLAR_BENCH_TIME, timeline, to);
    CELLAR_ASSERT(bytes == PREFIX_BYTES + NUMBER_DIGITS);
    digits_put(to + bytes, UINT32_MAX - sequence, SEQUENCE_DIGITS);
    to[bytes + SEQUENCE_DIGITS] = '\0';
    return bytes + SEQUENCE_DIGITS;
}

bool cellar_bench_key_number(enum cellar_bench_space space, struct cellar_slice key,
                             uint64_t *number)
{
    size_t bytes =
        PREFIX_BYTES + NUMBER_DIGITS + (space == CELLAR_BENCH_TIME ? SEQUENCE_DIGITS : 0);
    CELLAR_ASSERT((size_t)space < CELLAR_ARRAY_COUNT(prefixes));
    return key.bytes == bytes && memcmp(key.data, prefixes[space], PREFIX_BYTES) == 0 &&
           digits_get(key.data + PREFIX_BYTES, NUMBER_DIGITS, number);
}

bool cellar_bench_event_sequence(struct cellar_slice key, uint32_t *sequence)
{
    uint64_t number;
    CELLAR_ASSERT(sequence != NULL);
    if (key.bytes != PREFIX_BYTES + NUMBER_DIGITS + SEQUENCE_DIGITS ||
        !digits_get(key.data + PREFIX_BYTES + NUMBER_DIGITS, SEQUENCE_DIGITS, &number) ||
        number > UINT32_MAX) {
        return false;
    }
    *sequence = UINT32_MAX - (uint32_t)number;
    return true;
}

size_t cellar_bench_column(enum cellar_bench_space space, uint32_t column,
                           char to[CELLAR_BENCH_NAME_BYTES_MAX])
{
    const char *prefix = space == CELLAR_BENCH_USER ? "field" : "c";
    uint32_t digits = space == CELLAR_BENCH_USER ? FIELD_DIGITS : COLUMN_DIGITS;
    size_t prefix_bytes = strlen(prefix);
    CELLAR_ASSERT(column < CELLAR_BENCH_COLUMN_COUNT);
    memcpy(to, prefix, prefix_bytes);
    digits_put(to + prefix_bytes, column, digits);
    to[prefix_bytes + digits] = '\0';
    return prefix_bytes + digits;
}

bool cellar_bench_column_number(enum cellar_bench_space space, struct cellar_slice name,
                                uint32_t *column)
{
    uint64_t number;
    const char *prefix = space == CELLAR_BENCH_USER ? "field" : "c";
    uint32_t digits = space == CELLAR_BENCH_USER ? FIELD_DIGITS : COLUMN_DIGITS;
    size_t prefix_bytes = strlen(prefix);
    CELLAR_ASSERT(column != NULL);
    if (name.bytes != prefix_bytes + digits || memcmp(name.data, prefix, prefix_bytes) != 0 ||
        !digits_get(name.data + prefix_bytes, digits, &number) ||
        number >= CELLAR_BENCH_COLUMN_COUNT) {
        return false;
    }
    *column = (uint32_t)number;
    return true;
}

/* What stands for a cell, whatever its version. */
static uint64_t cell_seed(const struct cellar_bench_cell *cell)
{
    uint64_t place = ((uint64_t)cell->space << 32) | cell->column;
    CELLAR_ASSERT((size_t)cell->space < CELLAR_ARRAY_COUNT(prefixes));
    return cellar_bench_mix(cellar_bench_mix(cell->record + 1) ^ place);
}

/* Writes what stands behind the version. */
static void stream_put(uint64_t seed, uint32_t version, uint8_t *to)
{
    struct cellar_bench_random random = {seed + version};
    static_assert((CELLAR_BENCH_VALUE_BYTES - VERSION_BYTES) % 8 == 0, "whole words");
    CELLAR_ASSERT(to != NULL);
    for (uint32_t at = 0; at < CELLAR_BENCH_VALUE_BYTES - VERSION_BYTES; at += 8) {
        cellar_put_u64le(to + at, cellar_bench_random_next(&random));
    }
}

void cellar_bench_value(const struct cellar_bench_cell *cell, uint8_t to[CELLAR_BENCH_VALUE_BYTES])
{
    uint64_t seed = cell_seed(cell);
    CELLAR_ASSERT(to != NULL);
    cellar_put_u32le(to, cell->version ^ (uint32_t)seed);
    stream_put(seed, cell->version, to + VERSION_BYTES);
}

bool cellar_bench_value_version(struct cellar_bench_cell *cell, struct cellar_slice value)
{
    uint8_t wanted[CELLAR_BENCH_VALUE_BYTES];
    CELLAR_ASSERT(value.data != NULL || value.bytes == 0);
    if (value.bytes != CELLAR_BENCH_VALUE_BYTES) {
        return false;
    }
    uint64_t seed = cell_seed(cell);
    uint32_t version = cellar_get_u32le(value.data) ^ (uint32_t)seed;
    stream_put(seed, version, wanted);
    if (memcmp(wanted, value.data + VERSION_BYTES, sizeof wanted - VERSION_BYTES) != 0) {
        return false;
    }
    cell->version = version;
    return true;
}
