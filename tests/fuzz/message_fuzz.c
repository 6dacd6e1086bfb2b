/*
 * Everything that comes inside a frame, from any bytes. The first byte picks what the others are:
 *
 *     00 to 7F   a body of the message type of that number, modulo the number of types
 *     80         a mutation list
 *     81         a row set: 2 bytes length of the keys' array, that array, the ranges' array
 *     82         packed cells
 *     83         what stands behind the row of a stored key
 *
 * What decodes must encode and decode again to the same, and what a decoder promises of its result
 * is asserted here.
 */
#include <string.h>

#include "common/key.h"
#include "common/message.h"
#include "common/mutation.h"
#include "common/rowset.h"
#include "common/segment_cells.h"

#define STRUCT_BYTES_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct cellar_message_type *const types[] = {
#define TYPE(NAME, name) &cellar_msg_##name##_type,
    CELLAR_MESSAGE_LIST(TYPE)
#undef TYPE
};

/* Room for any message. */
union message {
    uint64_t alignment;
    uint8_t bytes[STRUCT_BYTES_MAX];
};

static void message_check(const struct cellar_message_type *type, struct cellar_slice body)
{
    union message message;
    struct cellar_error error = {0};
    struct cellar_buffer once = {0};
    struct cellar_buffer twice = {0};
    CELLAR_ASSERT(type->struct_bytes <= sizeof message);
    enum cellar_status strict =
        cellar_message_decode(type, body, &message, CELLAR_UNKNOWN_REFUSE, &error);
    CELLAR_ASSERT(strict == CELLAR_OK || error.text[0] != '\0');
    enum cellar_status status =
        cellar_message_decode(type, body, &message, CELLAR_UNKNOWN_SKIP, &error);
    CELLAR_ASSERT(strict != CELLAR_OK || status == CELLAR_OK);
    if (status == CELLAR_OK) {
        status = cellar_message_encode(type, &message, &once);
        CELLAR_ASSERT(status == CELLAR_OK);
        status = cellar_message_decode(type, cellar_slice_of(&once), &message,
                                       CELLAR_UNKNOWN_REFUSE, &error);
        CELLAR_ASSERT(status == CELLAR_OK);
        status = cellar_message_encode(type, &message, &twice);
        CELLAR_ASSERT(status == CELLAR_OK);
        CELLAR_ASSERT(cellar_slice_equal(cellar_slice_of(&once), cellar_slice_of(&twice)));
    }
    cellar_buffer_fini(&once);
    cellar_buffer_fini(&twice);
}

static void mutation_check(const struct cellar_mutation *mutation)
{
    struct cellar_buffer encoded = {0};
    struct cellar_mutation again;
    enum cellar_status status = cellar_mutation_encode(&encoded, mutation);
    CELLAR_ASSERT(status == CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&encoded));
    status = cellar_mutation_decode(&from, 0, &again, NULL);
    CELLAR_ASSERT(status == CELLAR_OK && from.at == from.end);
    CELLAR_ASSERT(again.kind == mutation->kind);
    CELLAR_ASSERT(again.timestamp_us == mutation->timestamp_us);
    CELLAR_ASSERT(again.start_us == mutation->start_us && again.end_us == mutation->end_us);
    CELLAR_ASSERT(cellar_slice_equal(again.family, mutation->family));
    CELLAR_ASSERT(cellar_slice_equal(again.qualifier, mutation->qualifier));
    CELLAR_ASSERT(cellar_slice_equal(again.value, mutation->value));
    cellar_buffer_fini(&encoded);
}

static void mutations_check(struct cellar_slice list)
{
    struct cellar_cursor from = cellar_cursor_make(list);
    struct cellar_error error = {0};
    struct cellar_mutation mutation;
    uint32_t count = 0;
    if (cellar_mutation_list_decode(&from, &count, &error) != CELLAR_OK) {
        CELLAR_ASSERT(error.code == CELLAR_INVALID_ARGUMENT);
        return;
    }
    CELLAR_ASSERT(count >= 1 && count <= CELLAR_MUTATION_COUNT_MAX);
    for (uint32_t index = 0; index < count; index++) {
        if (cellar_mutation_decode(&from, index, &mutation, &error) != CELLAR_OK) {
            CELLAR_ASSERT(strncmp(error.text, "Error in field 'Mutation list'", 30) == 0);
            return;
        }
        mutation_check(&mutation);
    }
}

static void rowset_check(struct cellar_slice input)
{
    struct cellar_cursor from = cellar_cursor_make(input);
    struct cellar_arena arena = {0};
    struct cellar_rowset set;
    struct cellar_slice keys;
    uint16_t key_bytes;
    if (!cellar_cursor_u16le(&from, &key_bytes) || !cellar_cursor_take(&from, key_bytes, &keys)) {
        return;
    }
    struct cellar_slice ranges = cellar_slice_make(from.at, cellar_cursor_left(&from));
    if (cellar_rowset_decode(keys, ranges, &arena, &set, NULL) == CELLAR_OK) {
        CELLAR_ASSERT(set.count >= 1);
        for (size_t index = 0; index < set.count; index++) {
            const struct cellar_range *range = &set.ranges[index];
            bool is_last = index + 1 == set.count;
            CELLAR_ASSERT(range->end.bytes > 0 || is_last);
            CELLAR_ASSERT(range->end.bytes == 0 ||
                          cellar_slice_compare(range->start, range->end) < 0);
            CELLAR_ASSERT(is_last || cellar_slice_compare(range->end, range[1].start) < 0);
        }
    }
    cellar_arena_fini(&arena);
}

/* Appends a cell behind `previous`. */
static void cell_append(struct cellar_buffer *to, const struct cellar_cells_reader *reader,
                        const struct cellar_cells_reader *previous)
{
    size_t bytes_max = cellar_cells_bytes_max(&reader->cell);
    enum cellar_status status = cellar_buffer_reserve(to, bytes_max);
    CELLAR_ASSERT(status == CELLAR_OK);
    uint8_t *end = cellar_cells_put(to->data + to->bytes, &reader->cell, reader->generation,
                                    previous == NULL ? NULL : &previous->cell,
                                    previous == NULL ? 0 : previous->generation);
    size_t bytes = (size_t)(end - (to->data + to->bytes));
    CELLAR_ASSERT(bytes <= bytes_max);
    to->bytes += bytes;
}

/* Reads cells, packs them again and reads those beside them. */
static void cells_check(struct cellar_slice packed)
{
    struct cellar_cells_reader reader;
    struct cellar_cells_reader again;
    struct cellar_cells_reader previous = {0};
    struct cellar_buffer copy = {0};
    if (!cellar_cells_open(&reader, packed)) {
        return;
    }
    uint32_t count = reader.left;
    enum cellar_status status = cellar_wire_put_array(&copy, 4 * count);
    CELLAR_ASSERT(status == CELLAR_OK);
    while (cellar_cells_next(&reader)) {
        cell_append(&copy, &reader, reader.left + 1 == count ? NULL : &previous);
        previous = reader;
    }
    if (cellar_cells_is_done(&reader)) {
        bool is_open =
            cellar_cells_open(&reader, packed) && cellar_cells_open(&again, cellar_slice_of(&copy));
        CELLAR_ASSERT(is_open);
        while (cellar_cells_next(&reader)) {
            bool has_next = cellar_cells_next(&again);
            CELLAR_ASSERT(has_next && reader.generation == again.generation);
            CELLAR_ASSERT(reader.cell.timestamp_us == again.cell.timestamp_us);
            CELLAR_ASSERT(cellar_slice_equal(reader.cell.family, again.cell.family));
            CELLAR_ASSERT(cellar_slice_equal(reader.cell.qualifier, again.cell.qualifier));
            CELLAR_ASSERT(cellar_slice_equal(reader.cell.value, again.cell.value));
        }
        CELLAR_ASSERT(cellar_cells_is_done(&again));
    }
    cellar_buffer_fini(&copy);
}

static void key_check(struct cellar_slice rest)
{
    static uint8_t plain[CELLAR_KEY_QUALIFIER_BYTES_MAX];
    static uint8_t again[CELLAR_KEY_BYTES_MAX];
    struct cellar_slice family;
    struct cellar_slice qualifier;
    uint32_t generation;
    int64_t timestamp_us;
    if (!cellar_key_split(rest, &family, &generation, &qualifier, &timestamp_us)) {
        return;
    }
    struct cellar_slice bytes = cellar_slice_make(plain, cellar_key_unescape(qualifier, plain));
    uint8_t *at = cellar_key_put_family(again, family, generation);
    at = cellar_key_put_escaped(at, bytes);
    at = cellar_key_put_timestamp(at, timestamp_us);
    CELLAR_ASSERT(cellar_slice_equal(rest, cellar_slice_make(again, (size_t)(at - again))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    struct cellar_slice input = cellar_slice_make(data + 1, bytes - 1);
    if (data[0] < 0x80) {
        message_check(types[data[0] % CELLAR_ARRAY_COUNT(types)], input);
    } else if (data[0] == 0x80) {
        mutations_check(input);
    } else if (data[0] == 0x81) {
        rowset_check(input);
    } else if (data[0] == 0x82) {
        cells_check(input);
    } else if (data[0] == 0x83) {
        key_check(input);
    }
    return 0;
}
