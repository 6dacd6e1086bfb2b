/*
 * MessagePack with bounds, as far as the protocol and the stored cells need it.
 *
 * Writing: the raw writers put bytes where the caller made room and cannot fail; the others make
 * room in a buffer first and then call them. Each value takes the shortest form there is, so equal
 * values are equal bytes.
 *
 * Reading: head_get() takes a value's first byte and the number behind it - an integer, a length, a
 * count - for all forms alike, from the table `forms` where the first byte alone does not say it.
 * Readers work on a copy of the cursor and write it back on success, so that a failure moves
 * nothing. Counts are compared with the bytes that are left before anybody allocates or loops by
 * them. cellar_wire_skip() keeps the open containers in an array instead of recursing.
 *
 * No state, no allocation but the caller's buffer, any thread. PROTOCOL.md, "Frames"; the
 * MessagePack specification for the forms.
 */

#include "common/wire.h"

#include <string.h>

#define NIL 0xC0u
#define UNUSED_BYTE 0xC1u
#define BIN8 0xC4u
#define UINT64 0xCFu
#define NUMBER_BYTES_MAX 9u /* first byte and 8 */
#define LENGTH_BYTES_MAX 5u

/* What the first bytes C0 to DF begin. */
struct form {
    uint8_t kind;        /* enum cellar_wire_kind */
    uint8_t width;       /* bytes of the number behind the first byte: 0, 1, 2, 4 or 8 */
    uint8_t extra_bytes; /* bytes of the value besides the number, or besides what it counts */
};

static const struct form forms[32] = {
    {CELLAR_WIRE_NIL, 0, 0},     {CELLAR_WIRE_OTHER, 0, 0},   {CELLAR_WIRE_BOOL, 0, 0},
    {CELLAR_WIRE_BOOL, 0, 0},    {CELLAR_WIRE_BYTES, 1, 0},   {CELLAR_WIRE_BYTES, 2, 0},
    {CELLAR_WIRE_BYTES, 4, 0},   {CELLAR_WIRE_OTHER, 1, 1},   {CELLAR_WIRE_OTHER, 2, 1},
    {CELLAR_WIRE_OTHER, 4, 1},   {CELLAR_WIRE_OTHER, 0, 4},   {CELLAR_WIRE_OTHER, 0, 8},
    {CELLAR_WIRE_INTEGER, 1, 0}, {CELLAR_WIRE_INTEGER, 2, 0}, {CELLAR_WIRE_INTEGER, 4, 0},
    {CELLAR_WIRE_INTEGER, 8, 0}, {CELLAR_WIRE_INTEGER, 1, 0}, {CELLAR_WIRE_INTEGER, 2, 0},
    {CELLAR_WIRE_INTEGER, 4, 0}, {CELLAR_WIRE_INTEGER, 8, 0}, {CELLAR_WIRE_OTHER, 0, 2},
    {CELLAR_WIRE_OTHER, 0, 3},   {CELLAR_WIRE_OTHER, 0, 5},   {CELLAR_WIRE_OTHER, 0, 9},
    {CELLAR_WIRE_OTHER, 0, 17},  {CELLAR_WIRE_TEXT, 1, 0},    {CELLAR_WIRE_TEXT, 2, 0},
    {CELLAR_WIRE_TEXT, 4, 0},    {CELLAR_WIRE_ARRAY, 2, 0},   {CELLAR_WIRE_ARRAY, 4, 0},
    {CELLAR_WIRE_MAP, 2, 0},     {CELLAR_WIRE_MAP, 4, 0},
};

/* A value's beginning: what it is and its number. */
struct head {
    enum cellar_wire_kind kind;
    bool is_negative; /* an INTEGER below 0; `number` holds it in two's complement */
    uint64_t
        number; /* the integer; the length in bytes; the elements of an array, pairs of a map */
};

/* ---- Writing ---- */

/* Writes `number` big-endian in the narrowest of 1, 2 and 4 bytes; `first` is the 1-byte form's. */
static uint8_t *length_put(uint8_t *to, uint8_t first, uint32_t number)
{
    CELLAR_ASSERT(first >= NIL);
    if (number <= UINT8_MAX) {
        to[0] = first;
        to[1] = (uint8_t)number;
        return to + 2;
    }
    if (number <= UINT16_MAX) {
        to[0] = (uint8_t)(first + 1);
        cellar_put_u16be(to + 1, (uint16_t)number);
        return to + 3;
    }
    to[0] = (uint8_t)(first + 2);
    cellar_put_u32be(to + 1, number);
    return to + 5;
}

/* length_put() serves numbers too: MessagePack gives the forms of 1, 2 and 4 bytes consecutive
 * first bytes each time, from CC for unsigned integers, from C4 for bytes, from D9 for texts. */
uint8_t *cellar_wire_raw_u64(uint8_t *to, uint64_t value)
{
    CELLAR_ASSERT(to != NULL);
    if (value < 0x80) {
        *to = (uint8_t)value;
        return to + 1;
    }
    if (value <= UINT32_MAX) {
        return length_put(to, 0xCC, (uint32_t)value);
    }
    *to = 0xCF;
    cellar_put_u64be(to + 1, value);
    return to + 9;
}

/* A negative integer in its shortest form. */
static uint8_t *raw_negative(uint8_t *to, int64_t value)
{
    CELLAR_ASSERT(value < 0);
    if (value >= -32) {
        *to = (uint8_t)value;
        return to + 1;
    }
    if (value >= INT8_MIN) {
        to[0] = 0xD0;
        to[1] = (uint8_t)value;
        return to + 2;
    }
    if (value >= INT16_MIN) {
        *to = 0xD1;
        cellar_put_u16be(to + 1, (uint16_t)value);
        return to + 3;
    }
    if (value >= INT32_MIN) {
        *to = 0xD2;
        cellar_put_u32be(to + 1, (uint32_t)value);
        return to + 5;
    }
    *to = 0xD3;
    cellar_put_u64be(to + 1, (uint64_t)value);
    return to + 9;
}

/* The bytes of a value behind its header. */
static uint8_t *raw_body(uint8_t *to, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes == 0 || value.data != NULL);
    if (value.bytes > 0) {
        memcpy(to, value.data, value.bytes);
    }
    return to + value.bytes;
}

/* A text is not looked at: whether it is UTF-8 is the business of who made it, and of the peer that
 * shows it. */
uint8_t *cellar_wire_raw_text(uint8_t *to, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes <= UINT32_MAX);
    if (value.bytes < 32) {
        *to = (uint8_t)(0xA0 | value.bytes);
        return raw_body(to + 1, value);
    }
    return raw_body(length_put(to, 0xD9, (uint32_t)value.bytes), value);
}

/* Bytes have no short form in one byte as texts have: `bin` begins at two. */
uint8_t *cellar_wire_raw_bytes(uint8_t *to, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes <= UINT32_MAX);
    return raw_body(length_put(to, 0xC4, (uint32_t)value.bytes), value);
}

/* A container's header: `fixed` is the first byte of the form for up to 15, `wide` that of 16 bits.
 */
static uint8_t *count_put(uint8_t *to, uint8_t fixed, uint8_t wide, uint32_t count)
{
    CELLAR_ASSERT(to != NULL);
    if (count < 16) {
        *to = (uint8_t)(fixed | count);
        return to + 1;
    }
    if (count <= UINT16_MAX) {
        *to = wide;
        cellar_put_u16be(to + 1, (uint16_t)count);
        return to + 3;
    }
    *to = (uint8_t)(wide + 1);
    cellar_put_u32be(to + 1, count);
    return to + 5;
}

uint8_t *cellar_wire_raw_array(uint8_t *to, uint32_t count)
{
    CELLAR_ASSERT(to != NULL);
    return count_put(to, 0x90, 0xDC, count);
}

/* The first free byte of a buffer that was made roomy, and the opposite: what was written counts.
 */
static uint8_t *buffer_end(struct cellar_buffer *to)
{
    CELLAR_ASSERT(to->bytes < to->capacity);
    return to->data + to->bytes;
}

/* The end may not stand where it began: each value has one byte at least. Past the capacity it
 * cannot stand either, as the reserve before asked for the largest form. */
static void buffer_commit(struct cellar_buffer *to, const uint8_t *end)
{
    CELLAR_ASSERT(end > to->data + to->bytes && end <= to->data + to->capacity);
    to->bytes = (size_t)(end - to->data);
}

enum cellar_status cellar_wire_put_nil(struct cellar_buffer *to)
{
    CELLAR_ASSERT(to != NULL);
    return cellar_buffer_append(to, &(uint8_t){NIL}, 1);
}

enum cellar_status cellar_wire_put_bool(struct cellar_buffer *to, bool value)
{
    CELLAR_ASSERT(to != NULL);
    return cellar_buffer_append(to, &(uint8_t){value ? 0xC3 : 0xC2}, 1);
}

/* Room for the longest form, although most numbers take one byte: one comparison costs less than
 * finding out the width first, and what is left over serves the next value. */
enum cellar_status cellar_wire_put_u64(struct cellar_buffer *to, uint64_t value)
{
    CELLAR_TRY(cellar_buffer_reserve(to, NUMBER_BYTES_MAX));
    buffer_commit(to, cellar_wire_raw_u64(buffer_end(to), value));
    return CELLAR_OK;
}

/* Numbers from 0 up take the unsigned forms, as MessagePack's other writers do it, so that equal
 * numbers are equal bytes whoever wrote them. */
enum cellar_status cellar_wire_put_i64(struct cellar_buffer *to, int64_t value)
{
    if (value >= 0) {
        return cellar_wire_put_u64(to, (uint64_t)value);
    }
    CELLAR_TRY(cellar_buffer_reserve(to, NUMBER_BYTES_MAX));
    buffer_commit(to, raw_negative(buffer_end(to), value));
    return CELLAR_OK;
}

enum cellar_status cellar_wire_put_text(struct cellar_buffer *to, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes <= UINT32_MAX);
    CELLAR_TRY(cellar_buffer_reserve(to, LENGTH_BYTES_MAX + value.bytes));
    buffer_commit(to, cellar_wire_raw_text(buffer_end(to), value));
    return CELLAR_OK;
}

enum cellar_status cellar_wire_put_bytes(struct cellar_buffer *to, struct cellar_slice value)
{
    CELLAR_ASSERT(value.bytes <= UINT32_MAX);
    CELLAR_TRY(cellar_buffer_reserve(to, LENGTH_BYTES_MAX + value.bytes));
    buffer_commit(to, cellar_wire_raw_bytes(buffer_end(to), value));
    return CELLAR_OK;
}

enum cellar_status cellar_wire_put_array(struct cellar_buffer *to, uint32_t count)
{
    CELLAR_TRY(cellar_buffer_reserve(to, LENGTH_BYTES_MAX));
    buffer_commit(to, cellar_wire_raw_array(buffer_end(to), count));
    return CELLAR_OK;
}

enum cellar_status cellar_wire_put_map(struct cellar_buffer *to, uint32_t count)
{
    CELLAR_TRY(cellar_buffer_reserve(to, LENGTH_BYTES_MAX));
    buffer_commit(to, count_put(buffer_end(to), 0x80, 0xDE, count));
    return CELLAR_OK;
}

/* ---- Reading ---- */

/* The form of a first byte in C0 to DF. */
static const struct form *form_of(uint8_t first)
{
    CELLAR_ASSERT(first >= 0xC0 && first < 0xE0);
    return &forms[first - 0xC0u];
}

enum cellar_wire_kind cellar_wire_peek(const struct cellar_cursor *from)
{
    CELLAR_ASSERT(from->at <= from->end);
    if (from->at == from->end) {
        return CELLAR_WIRE_END;
    }
    uint8_t first = *from->at;
    if (first < 0x80 || first >= 0xE0) {
        return CELLAR_WIRE_INTEGER;
    }
    if (first < 0xA0) {
        return first < 0x90 ? CELLAR_WIRE_MAP : CELLAR_WIRE_ARRAY;
    }
    return first < 0xC0 ? CELLAR_WIRE_TEXT : (enum cellar_wire_kind)form_of(first)->kind;
}

/* A big-endian number of `width` bytes; 0 of none. */
static uint64_t number_at(const uint8_t *at, uint8_t width)
{
    switch (width) {
    case 1:
        return *at;
    case 2:
        return cellar_get_u16be(at);
    case 4:
        return cellar_get_u32be(at);
    case 8:
        return cellar_get_u64be(at);
    default:
        CELLAR_ASSERT(width == 0);
        return 0;
    }
}

/* Makes a signed integer of `width` bytes one of 64 bits. */
static void head_sign(struct head *head, uint8_t width)
{
    CELLAR_ASSERT(width >= 1 && width <= 8);
    unsigned shift = 64u - 8u * width;
    int64_t value = (int64_t)(head->number << shift) >> shift;
    head->is_negative = value < 0;
    head->number = (uint64_t)value;
}

/* Takes the head of a value whose first byte, already taken, is in C0 to DF. C1 is the one byte
 * that begins no value: the specification never uses it, so it marks damage. */
static bool head_get_wide(struct cellar_cursor *from, uint8_t first, struct head *head)
{
    const struct form *form = form_of(first);
    struct cellar_slice number;
    if (first == UNUSED_BYTE || !cellar_cursor_take(from, form->width, &number)) {
        return false;
    }
    head->kind = (enum cellar_wire_kind)form->kind;
    head->number = number_at(number.data, form->width) + form->extra_bytes;
    if (first >= 0xD0 && first <= 0xD3) {
        head_sign(head, form->width);
    } else if (head->kind == CELLAR_WIRE_BOOL) {
        head->number = first & 1u;
    }
    return true;
}

/* Takes the head of any value; the cursor may have moved on failure. */
static inline bool head_get(struct cellar_cursor *from, struct head *head)
{
    CELLAR_ASSERT(from->at <= from->end);
    uint8_t first;
    if (!cellar_cursor_u8(from, &first)) {
        return false;
    }
    head->is_negative = false;
    if (first < 0x80) {
        head->kind = CELLAR_WIRE_INTEGER;
        head->number = first;
        return true;
    }
    if (first < 0xA0) {
        head->kind = first < 0x90 ? CELLAR_WIRE_MAP : CELLAR_WIRE_ARRAY;
        head->number = first & 0x0Fu;
        return true;
    }
    if (first < 0xC0) {
        head->kind = CELLAR_WIRE_TEXT;
        head->number = first & 0x1Fu;
        return true;
    }
    if (first < 0xE0) {
        return head_get_wide(from, first, head);
    }
    head->kind = CELLAR_WIRE_INTEGER;
    head->is_negative = true;
    head->number = (uint64_t)(int64_t)(int8_t)first;
    return true;
}

/* An optional value is read by trying nil first: false says only that something else stands here,
 * and nothing has moved. */
bool cellar_wire_get_nil(struct cellar_cursor *from)
{
    CELLAR_ASSERT(from->at <= from->end);
    if (from->at == from->end || *from->at != NIL) {
        return false;
    }
    from->at++;
    return true;
}

/* The last bit tells C2 from C3; peek has already said that it is one of these. */
bool cellar_wire_get_bool(struct cellar_cursor *from, bool *value)
{
    if (cellar_wire_peek(from) != CELLAR_WIRE_BOOL) {
        return false;
    }
    *value = (*from->at & 1u) != 0;
    from->at++;
    return true;
}

/* Any width is taken, also one that is wider than the number needs: other writers may not choose
 * the shortest form, and a number is no less clear for it. */
bool cellar_wire_get_u64(struct cellar_cursor *from, uint64_t *value)
{
    struct cellar_cursor at = *from;
    struct head head;
    if (!head_get(&at, &head) || head.kind != CELLAR_WIRE_INTEGER || head.is_negative) {
        return false;
    }
    CELLAR_ASSERT(at.at <= at.end);
    *value = head.number;
    *from = at;
    return true;
}

/* Times of cells are most of what is read here, and all of them are of one form; they go past the
 * table. */
bool cellar_wire_get_i64(struct cellar_cursor *from, int64_t *value)
{
    struct cellar_cursor at = *from;
    struct head head;
    if (cellar_cursor_left(from) >= NUMBER_BYTES_MAX && from->at[0] == UINT64 &&
        from->at[1] < 0x80) { /* a time of today */
        *value = (int64_t)cellar_get_u64be(from->at + 1);
        from->at += NUMBER_BYTES_MAX;
        return true;
    }
    if (!head_get(&at, &head) || head.kind != CELLAR_WIRE_INTEGER) {
        return false;
    }
    if (!head.is_negative && head.number > (uint64_t)INT64_MAX) {
        return false;
    }
    *value = (int64_t)head.number;
    CELLAR_ASSERT(head.is_negative == (*value < 0));
    *from = at;
    return true;
}

/* The commonest form of bytes, a bin of at most 255, without the way through the table of forms. */
static inline bool short_bin_get(struct cellar_cursor *from, struct cellar_slice *value)
{
    size_t left = (size_t)(from->end - from->at);
    if (left < 2 || from->at[0] != BIN8 || left - 2 < from->at[1]) {
        return false;
    }
    *value = cellar_slice_make(from->at + 2, from->at[1]);
    from->at += 2 + value->bytes;
    return true;
}

/* Text is taken where bytes are wanted: people who write keys by hand in other languages send
 * texts, and the bytes are the same. */
bool cellar_wire_get_bytes(struct cellar_cursor *from, struct cellar_slice *value)
{
    struct cellar_cursor at = *from;
    struct head head;
    if (short_bin_get(from, value)) {
        return true;
    }
    if (!head_get(&at, &head) ||
        (head.kind != CELLAR_WIRE_TEXT && head.kind != CELLAR_WIRE_BYTES) ||
        !cellar_cursor_take(&at, head.number, value)) {
        return false;
    }
    CELLAR_ASSERT(at.at <= at.end);
    *from = at;
    return true;
}

bool cellar_wire_get_text(struct cellar_cursor *from, struct cellar_slice *value)
{
    return cellar_wire_get_bytes(from, value);
}

/* Takes the header of a container whose elements take `element_bytes` each at least. So a header
 * cannot make its reader allocate or loop for more than what was sent: 5 bytes that announce four
 * thousand million elements are refused right here. */
static bool count_get(struct cellar_cursor *from, enum cellar_wire_kind kind, size_t element_bytes,
                      uint32_t *count)
{
    CELLAR_ASSERT(element_bytes >= 1);
    struct cellar_cursor at = *from;
    struct head head;
    if (!head_get(&at, &head) || head.kind != kind ||
        head.number > cellar_cursor_left(&at) / element_bytes) {
        return false;
    }
    CELLAR_ASSERT(head.number <= UINT32_MAX);
    *count = (uint32_t)head.number;
    *from = at;
    return true;
}

bool cellar_wire_get_array(struct cellar_cursor *from, uint32_t *count)
{
    return count_get(from, CELLAR_WIRE_ARRAY, 1, count);
}

bool cellar_wire_get_map(struct cellar_cursor *from, uint32_t *count)
{
    return count_get(from, CELLAR_WIRE_MAP, 2, count);
}

/* Steps over a value but for the elements of a container, whose number goes to `inside`. A map's
 * pairs count twice. What is inside is compared with the bytes left, as count_get() does it. */
static bool skip_one(struct cellar_cursor *from, uint64_t *inside)
{
    struct head head;
    *inside = 0;
    if (!head_get(from, &head)) {
        return false;
    }
    switch (head.kind) {
    case CELLAR_WIRE_NIL:
    case CELLAR_WIRE_BOOL:
    case CELLAR_WIRE_INTEGER:
        return true;
    case CELLAR_WIRE_ARRAY:
        *inside = head.number;
        return *inside <= cellar_cursor_left(from);
    case CELLAR_WIRE_MAP:
        *inside = 2 * head.number;
        return *inside <= cellar_cursor_left(from);
    case CELLAR_WIRE_TEXT:
    case CELLAR_WIRE_BYTES:
    case CELLAR_WIRE_OTHER: {
        struct cellar_slice body;
        return cellar_cursor_take(from, head.number, &body);
    }
    case CELLAR_WIRE_END:
        break;
    }
    CELLAR_ASSERT(head.kind != CELLAR_WIRE_END);
    return false;
}

/* Depth is bounded by CELLAR_WIRE_DEPTH_MAX, work by the bytes: each turn of the loop takes one
 * byte at least. A container is done when its count of elements to come is 0; that may close
 * several at once, which the inner loop does. */
bool cellar_wire_skip(struct cellar_cursor *from, struct cellar_slice *value)
{
    uint64_t left[CELLAR_WIRE_DEPTH_MAX]; /* elements still to come of each open container */
    size_t depth = 0;
    struct cellar_cursor at = *from;
    for (;;) {
        uint64_t inside;
        if (!skip_one(&at, &inside)) {
            return false;
        }
        if (inside > 0) {
            if (depth == CELLAR_WIRE_DEPTH_MAX) {
                return false;
            }
            left[depth++] = inside;
        }
        while (depth > 0 && left[depth - 1] == 0) {
            depth--;
        }
        if (depth == 0) {
            break;
        }
        left[depth - 1]--;
    }
    CELLAR_ASSERT(at.at > from->at && at.at <= from->end);
    if (value != NULL) {
        *value = cellar_slice_make(from->at, (size_t)(at.at - from->at));
    }
    *from = at;
    return true;
}
