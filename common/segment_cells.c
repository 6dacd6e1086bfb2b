/*
 * Packed cells, read and written one at a time; the loops that call these are the hottest there are
 * in a scan, so nothing here allocates or copies but the bytes of the cell itself.
 *
 * A reader keeps the cell it stands on: a nil family or qualifier in the next one leaves that part
 * of it as it is. Reading is strict, since the same code tells damage in a store from a good
 * segment: a nil must have something to repeat, a named family is followed by a named qualifier, a
 * family that carries its generation carries one above 1, sizes are within the data model's limits,
 * timestamps are not negative. Order is not checked here.
 *
 * A reader that met damage stays where it is: `left` is above 0 and every further call fails. The
 * caller's bytes must outlive the reader and its cells. Any thread. FORMAT.md, "Segments".
 */

#include "common/segment_cells.h"

#include <string.h>

#define NIL 0xC0u
#define BIN8 0xC4u
#define BIN32 0xC6u
#define EXT8 0xC7u
#define EXT_BLOB 1u
#define EXT_HEAD_BYTES 3u
#define GENERATION_BYTES 5u /* 00 and 4 bytes, behind the name */
#define HEADERS_BYTES_MAX (3u * 5u + 9u)

static_assert(CELLAR_FAMILY_BYTES_MAX + GENERATION_BYTES <= UINT8_MAX, "a family fits a bin 8");

bool cellar_cells_open(struct cellar_cells_reader *reader, struct cellar_slice packed)
{
    CELLAR_ASSERT(packed.bytes == 0 || packed.data != NULL);
    memset(reader, 0, sizeof *reader);
    reader->from = cellar_cursor_make(packed);
    uint32_t element_count;
    if (!cellar_wire_get_array(&reader->from, &element_count)) {
        return false;
    }
    reader->left = element_count / CELLAR_CELL_ELEMENTS;
    return element_count % CELLAR_CELL_ELEMENTS == 0;
}

/* Takes a named family: a str is the name, a bin the name and its generation. */
static bool family_get(struct cellar_cursor *from, struct cellar_slice *family,
                       uint32_t *generation)
{
    bool has_generation = cellar_wire_peek(from) == CELLAR_WIRE_BYTES;
    struct cellar_slice name;
    if (!cellar_wire_get_bytes(from, &name)) {
        return false;
    }
    *generation = 1;
    if (has_generation) {
        if (name.bytes <= GENERATION_BYTES || name.data[name.bytes - GENERATION_BYTES] != 0) {
            return false;
        }
        *generation = cellar_get_u32be(name.data + name.bytes - sizeof *generation);
        name.bytes -= GENERATION_BYTES;
        if (*generation <= 1) {
            return false;
        }
    }
    *family = name;
    CELLAR_ASSERT(*generation >= 1);
    return name.bytes >= 1 && name.bytes <= CELLAR_FAMILY_BYTES_MAX;
}

/* Takes family and qualifier of the next cell; nil leaves what `cell` has. */
static bool column_get(struct cellar_cursor *from, struct cellar_cell *cell, uint32_t *generation,
                       bool *is_named)
{
    bool family_is_named = !cellar_wire_get_nil(from);
    if (family_is_named ? !family_get(from, &cell->family, generation) : cell->family.bytes == 0) {
        return false;
    }
    *is_named = !cellar_wire_get_nil(from);
    if (!*is_named) {
        return !family_is_named;
    }
    CELLAR_ASSERT(cell->family.bytes >= 1);
    return cellar_wire_get_bytes(from, &cell->qualifier) &&
           cell->qualifier.bytes <= CELLAR_QUALIFIER_BYTES_MAX;
}

/* Takes a value: bytes, or the reference of a blob. */
static bool value_get(struct cellar_cursor *from, struct cellar_slice *value, bool *is_blob)
{
    struct cellar_cursor walk = *from;
    struct cellar_slice head;
    CELLAR_ASSERT(from->at <= from->end);
    *is_blob = false;
    if (cellar_wire_get_bytes(from, value)) {
        return true;
    }
    if (!cellar_cursor_take(&walk, EXT_HEAD_BYTES, &head) || head.data[0] != EXT8 ||
        head.data[1] != CELLAR_BLOB_BYTES || head.data[2] != EXT_BLOB ||
        !cellar_cursor_take(&walk, CELLAR_BLOB_BYTES, value)) {
        return false;
    }
    *is_blob = true;
    *from = walk;
    return true;
}

bool cellar_cells_next(struct cellar_cells_reader *reader)
{
    if (reader->left == 0) {
        return false;
    }
    struct cellar_cursor from = reader->from;
    struct cellar_cell cell = reader->cell;
    uint32_t generation = reader->generation;
    bool column_is_new;
    bool is_blob;
    if (!column_get(&from, &cell, &generation, &column_is_new) ||
        !cellar_wire_get_i64(&from, &cell.timestamp_us) || cell.timestamp_us < 0 ||
        !value_get(&from, &cell.value, &is_blob)) {
        return false;
    }
    CELLAR_ASSERT(from.at <= from.end);
    CELLAR_ASSERT(cell.family.bytes >= 1 && generation >= 1);
    reader->from = from;
    reader->left--;
    reader->generation = generation;
    reader->column_is_new = column_is_new;
    reader->is_blob = is_blob;
    reader->cell = cell;
    return true;
}

bool cellar_cells_is_done(const struct cellar_cells_reader *reader)
{
    CELLAR_ASSERT(reader->from.at <= reader->from.end);
    return reader->left == 0 && reader->from.at == reader->from.end;
}

size_t cellar_cells_bytes_max(const struct cellar_cell *cell)
{
    CELLAR_ASSERT(cell->family.bytes <= CELLAR_FAMILY_BYTES_MAX);
    return HEADERS_BYTES_MAX + cell->family.bytes + GENERATION_BYTES + cell->qualifier.bytes +
           cell->value.bytes;
}

/* Writes a named family. */
static uint8_t *family_put(uint8_t *to, struct cellar_slice name, uint32_t generation)
{
    CELLAR_ASSERT(name.bytes >= 1 && name.bytes <= CELLAR_FAMILY_BYTES_MAX);
    if (generation <= 1) {
        return cellar_wire_raw_text(to, name);
    }
    *to++ = BIN8;
    *to++ = (uint8_t)(name.bytes + GENERATION_BYTES);
    memcpy(to, name.data, name.bytes);
    to += name.bytes;
    *to++ = 0;
    cellar_put_u32be(to, generation);
    return to + sizeof generation;
}

/* Writes a reference in place of the value. */
static uint8_t *blob_put(uint8_t *to, struct cellar_slice reference)
{
    CELLAR_ASSERT(reference.bytes == CELLAR_BLOB_BYTES);
    *to++ = EXT8;
    *to++ = CELLAR_BLOB_BYTES;
    *to++ = EXT_BLOB;
    memcpy(to, reference.data, CELLAR_BLOB_BYTES);
    return to + CELLAR_BLOB_BYTES;
}

/* Writes what stands before a cell's value. */
static uint8_t *head_put(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                         const struct cellar_cell *previous, uint32_t previous_generation)
{
    CELLAR_ASSERT(cell->timestamp_us >= 0);
    CELLAR_ASSERT(generation >= 1);
    CELLAR_ASSERT(cell->qualifier.bytes <= CELLAR_QUALIFIER_BYTES_MAX);
    bool is_same_family = previous != NULL && generation == previous_generation &&
                          cellar_slice_equal(cell->family, previous->family);
    if (is_same_family) {
        *to++ = NIL;
    } else {
        to = family_put(to, cell->family, generation);
    }
    if (is_same_family && cellar_slice_equal(cell->qualifier, previous->qualifier)) {
        *to++ = NIL;
    } else {
        to = cellar_wire_raw_bytes(to, cell->qualifier);
    }
    return cellar_wire_raw_u64(to, (uint64_t)cell->timestamp_us);
}

uint8_t *cellar_cells_put(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                          const struct cellar_cell *previous, uint32_t previous_generation)
{
    to = head_put(to, cell, generation, previous, previous_generation);
    return cellar_wire_raw_bytes(to, cell->value);
}

uint8_t *cellar_cells_put_head(uint8_t *to, const struct cellar_cell *cell, uint32_t value_bytes)
{
    to = head_put(to, cell, 1, NULL, 1);
    *to++ = BIN32;
    cellar_put_u32be(to, value_bytes);
    CELLAR_ASSERT(value_bytes > 0);
    return to + sizeof value_bytes;
}

uint8_t *cellar_cells_put_blob(uint8_t *to, const struct cellar_cell *cell, uint32_t generation,
                               const struct cellar_cell *previous, uint32_t previous_generation)
{
    to = head_put(to, cell, generation, previous, previous_generation);
    return blob_put(to, cell->value);
}
