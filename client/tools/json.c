/*
 * A strict JSON reader.
 *
 * The reader goes down by recursion, bounded by CELLAR_JSON_DEPTH_MAX, and builds a tree in the
 * caller's arena, which dies with it. It accepts exactly RFC 8259: no comments, no trailing commas,
 * no leading zeros, no bytes that are not UTF-8, no lone surrogates, and no member twice in an
 * object, since each of these is a mistake of whoever wrote the file. Numbers stay text: nothing
 * here goes through floating point, so that timestamps of 64 bits come through whole.
 */

#include "client/tools/json.h"

#include "client/tools/escape.h"

/* One document being read. */
struct reader {
    const uint8_t *start;
    struct cellar_cursor from;
    struct cellar_arena *arena;
    struct cellar_error *error;
    size_t values_left;      /* that may still be read */
    size_t string_bytes_max; /* of one string, as it is written */
};

static enum cellar_status value_read(struct reader *reader, struct cellar_json *value,
                                     uint32_t depth);

/* The failure at the reader's place. Bytes are counted from 1, as editors do it. */
static enum cellar_status wrong(const struct reader *reader, const char *what)
{
    CELLAR_ASSERT(reader->from.at >= reader->start);
    return cellar_error_set(reader->error, CELLAR_INVALID_ARGUMENT, "JSON: %s at byte %zu", what,
                            (size_t)(reader->from.at - reader->start) + 1);
}

/* The failure for want of memory; it has no place in the document. */
static enum cellar_status no_memory(const struct reader *reader)
{
    CELLAR_ASSERT(reader->arena != NULL);
    return cellar_error_set(reader->error, CELLAR_NO_MEMORY, "No memory to read JSON");
}

/* Steps over the four bytes that JSON calls whitespace. Byte order marks and other blanks of
 * Unicode are none of JSON's. */
static void space_skip(struct reader *reader)
{
    CELLAR_ASSERT(reader->from.at <= reader->from.end);
    while (reader->from.at < reader->from.end &&
           (*reader->from.at == ' ' || *reader->from.at == '\t' || *reader->from.at == '\n' ||
            *reader->from.at == '\r')) {
        reader->from.at++;
    }
}

/* The next byte, or 0 at the end (a 0 byte is no JSON either). */
static uint8_t peek(const struct reader *reader)
{
    CELLAR_ASSERT(reader->from.at <= reader->from.end);
    return reader->from.at < reader->from.end ? *reader->from.at : 0;
}

/* Takes `literal` if it stands there. What follows is not looked at: "trueish" fails at the next
 * token, where a comma is missing. */
static bool literal_take(struct reader *reader, const char *literal)
{
    struct cellar_slice left =
        cellar_slice_make(reader->from.at, cellar_cursor_left(&reader->from));
    struct cellar_slice wanted = cellar_slice_text(literal);
    CELLAR_ASSERT(wanted.bytes > 0);
    if (!cellar_slice_has_prefix(left, wanted)) {
        return false;
    }
    reader->from.at += wanted.bytes;
    return true;
}

/* Takes four hexadecimal digits. */
static bool hex4_take(struct reader *reader, uint32_t *code)
{
    uint32_t found = 0;
    CELLAR_ASSERT(code != NULL);
    for (uint32_t index = 0; index < 4; index++) {
        uint8_t digit = peek(reader);
        uint8_t lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') {
            found = found << 4 | (uint32_t)(digit - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            found = found << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
        reader->from.at++;
    }
    *code = found;
    return true;
}

/* Writes a code point as UTF-8; returns the first byte behind it. The caller has room: an escape is
 * never shorter than what it stands for. */
static uint8_t *utf8_put(uint8_t *to, uint32_t code)
{
    CELLAR_ASSERT(code <= 0x10ffff);
    if (code < 0x80) {
        *to++ = (uint8_t)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (uint8_t)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *to++ = (uint8_t)(0xe0 | code >> 12);
        } else {
            *to++ = (uint8_t)(0xf0 | code >> 18);
            *to++ = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        }
        *to++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    }
    *to++ = (uint8_t)(0x80 | (code & 0x3f));
    return to;
}

/* Takes what stands behind \u, with a second half where it is a surrogate. A lone half of a pair
 * names no character and could not be written as UTF-8 again, so it is refused. */
static bool unicode_take(struct reader *reader, uint32_t *code)
{
    uint32_t low;
    if (!hex4_take(reader, code)) {
        return false;
    }
    if (*code < 0xd800 || *code > 0xdfff) {
        return true;
    }
    if (*code > 0xdbff || !literal_take(reader, "\\u") || !hex4_take(reader, &low) ||
        low < 0xdc00 || low > 0xdfff) {
        return false;
    }
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    CELLAR_ASSERT(*code >= 0x10000);
    return true;
}

/* Takes an escape, behind its backslash, and writes what it stands for. The end of the document
 * stands for no escape. */
static bool escape_take(struct reader *reader, uint8_t **to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    uint8_t name = peek(reader);
    static_assert(sizeof names == sizeof bytes, "an escape and its byte");
    if (name == 0) {
        return false;
    }
    reader->from.at++;
    if (name == 'u') {
        uint32_t code;
        if (!unicode_take(reader, &code)) {
            return false;
        }
        *to = utf8_put(*to, code);
        return true;
    }
    const char *found = strchr(names, name);
    if (found == NULL) {
        return false;
    }
    CELLAR_ASSERT(found - names < (ptrdiff_t)sizeof bytes - 1);
    *(*to)++ = (uint8_t)bytes[found - names];
    return true;
}

/* Finds the end of a string: its closing quote, or NULL. A byte behind a backslash is stepped over
 * whatever it is; whether it may stand there is escape_take()'s to say. */
static const uint8_t *string_end(const struct reader *reader, bool *has_escape)
{
    *has_escape = false;
    for (const uint8_t *at = reader->from.at; at < reader->from.end; at++) {
        if (*at == '"') {
            return at;
        }
        if (*at == '\\') {
            *has_escape = true;
            at++;
        }
    }
    CELLAR_ASSERT(reader->from.at <= reader->from.end);
    return NULL;
}

/* Reads a string with escapes into the arena; decoded it is never longer. */
static enum cellar_status string_decode(struct reader *reader, const uint8_t *end,
                                        struct cellar_slice *text)
{
    uint8_t *copy = cellar_arena_alloc(reader->arena, (size_t)(end - reader->from.at));
    if (copy == NULL) {
        return no_memory(reader);
    }
    uint8_t *to = copy;
    while (reader->from.at < end) {
        if (*reader->from.at != '\\') {
            *to++ = *reader->from.at++;
            continue;
        }
        reader->from.at++;
        if (!escape_take(reader, &to)) {
            return wrong(reader, "an escape that is none");
        }
    }
    CELLAR_ASSERT(reader->from.at == end);
    *text = cellar_slice_make(copy, (size_t)(to - copy));
    return CELLAR_OK;
}

/* Reads a string; without escapes it stays where it lies in the document. UTF-8 is checked on the
 * raw bytes: an escape can only add characters that are whole. */
static enum cellar_status string_read(struct reader *reader, struct cellar_slice *text)
{
    bool has_escape;
    CELLAR_ASSERT(peek(reader) == '"');
    reader->from.at++;
    const uint8_t *start = reader->from.at;
    const uint8_t *end = string_end(reader, &has_escape);
    if (end == NULL) {
        return wrong(reader, "a string without an end");
    }
    if ((size_t)(end - start) > reader->string_bytes_max) {
        return wrong(reader, "a string that is too long");
    }
    struct cellar_slice raw = cellar_slice_make(start, (size_t)(end - start));
    for (const uint8_t *at = start; at < end; at++) {
        if (*at < 0x20) {
            reader->from.at = at;
            return wrong(reader, "a control character in a string");
        }
    }
    if (!cellar_utf8_check(raw)) {
        return wrong(reader, "a string that is not UTF-8");
    }
    *text = raw;
    if (has_escape) {
        CELLAR_TRY(string_decode(reader, end, text));
    }
    reader->from.at = end + 1;
    return CELLAR_OK;
}

/* Takes decimal digits; false when there is none. */
static bool digits_take(struct reader *reader)
{
    const uint8_t *start = reader->from.at;
    while (peek(reader) >= '0' && peek(reader) <= '9') {
        reader->from.at++;
    }
    CELLAR_ASSERT(reader->from.at >= start);
    return reader->from.at > start;
}

/* Reads a number by the grammar, and keeps it as text. Leading zeros need no rule of their own:
 * behind "0" the number is at its end, and a digit there is no JSON. */
static enum cellar_status number_read(struct reader *reader, struct cellar_slice *text)
{
    /* number = [ "-" ] ( "0" / digits ) [ "." digits ] [ "e" [ "+" / "-" ] digits ] */
    const uint8_t *start = reader->from.at;
    (void)literal_take(reader, "-");
    bool is_whole = literal_take(reader, "0") || digits_take(reader);
    if (is_whole && literal_take(reader, ".")) {
        is_whole = digits_take(reader);
    }
    if (is_whole && (literal_take(reader, "e") || literal_take(reader, "E"))) {
        if (!literal_take(reader, "+")) {
            (void)literal_take(reader, "-");
        }
        is_whole = digits_take(reader);
    }
    if (!is_whole) {
        return wrong(reader, "a number that is none");
    }
    CELLAR_ASSERT(reader->from.at > start);
    *text = cellar_slice_make(start, (size_t)(reader->from.at - start));
    return CELLAR_OK;
}

/* Reads a member's name and its colon; refuses a name that is in the object already. Of a member
 * that comes twice one would be lost without a word. The walk is quadratic, hence the bound on
 * members. */
static enum cellar_status name_read(struct reader *reader, const struct cellar_json *object,
                                    struct cellar_slice *name)
{
    if (peek(reader) != '"') {
        return wrong(reader, "a member without a name");
    }
    uint32_t member_count = 0;
    CELLAR_TRY(string_read(reader, name));
    for (const struct cellar_json *at = object->children; at != NULL; at = at->next) {
        if (cellar_slice_equal(at->name, *name)) {
            return wrong(reader, "a member that comes twice");
        }
        if (++member_count == CELLAR_JSON_MEMBER_COUNT_MAX) {
            return wrong(reader, "too many members in an object");
        }
    }
    CELLAR_ASSERT(object->kind == CELLAR_JSON_OBJECT);
    space_skip(reader);
    return literal_take(reader, ":") ? CELLAR_OK : wrong(reader, "a ':' is missing");
}

/* Reads the children of an array or object, behind its opening bracket. Children are linked in
 * their order; a child is linked when it is whole, so a failure leaves no half one in the tree. */
static enum cellar_status children_read(struct reader *reader, struct cellar_json *parent,
                                        uint32_t depth)
{
    const char *close = parent->kind == CELLAR_JSON_OBJECT ? "}" : "]";
    const struct cellar_json **tail = &parent->children;
    CELLAR_ASSERT(parent->kind >= CELLAR_JSON_ARRAY);
    space_skip(reader);
    if (literal_take(reader, close)) {
        return CELLAR_OK;
    }
    for (;;) {
        if (reader->values_left == 0) {
            return wrong(reader, "too many values");
        }
        reader->values_left--;
        struct cellar_json *child = cellar_arena_alloc(reader->arena, sizeof *child);
        if (child == NULL) {
            return no_memory(reader);
        }
        memset(child, 0, sizeof *child);
        space_skip(reader);
        if (parent->kind == CELLAR_JSON_OBJECT) {
            CELLAR_TRY(name_read(reader, parent, &child->name));
        }
        CELLAR_TRY(value_read(reader, child, depth + 1));
        *tail = child;
        tail = &child->next;
        space_skip(reader);
        if (literal_take(reader, close)) {
            return CELLAR_OK;
        }
        if (!literal_take(reader, ",")) {
            return wrong(reader, "a ',' or a closing bracket is missing");
        }
    }
}

/* Reads any value into `value`, which is zeroed; `depth` counts open brackets. The first byte tells
 * the kind; what begins like none of them is read as a number and fails as one. */
static enum cellar_status value_read(struct reader *reader, struct cellar_json *value,
                                     uint32_t depth)
{
    space_skip(reader);
    CELLAR_ASSERT(value->children == NULL);
    switch (peek(reader)) {
    case '{':
    case '[':
        if (depth > CELLAR_JSON_DEPTH_MAX) {
            return wrong(reader, "nesting that is too deep");
        }
        value->kind = peek(reader) == '{' ? CELLAR_JSON_OBJECT : CELLAR_JSON_ARRAY;
        reader->from.at++;
        return children_read(reader, value, depth);
    case '"':
        value->kind = CELLAR_JSON_STRING;
        return string_read(reader, &value->text);
    case 't':
    case 'f':
        value->kind = CELLAR_JSON_BOOL;
        value->is_true = peek(reader) == 't';
        return literal_take(reader, value->is_true ? "true" : "false") ? CELLAR_OK
                                                                       : wrong(reader, "no value");
    case 'n':
        return literal_take(reader, "null") ? CELLAR_OK : wrong(reader, "no value");
    default:
        value->kind = CELLAR_JSON_NUMBER;
        return number_read(reader, &value->text);
    }
}

/* `text` must live as long as the tree, whose strings lie in it where they have no escapes. */
enum cellar_status cellar_json_read(struct cellar_slice text, struct cellar_arena *arena,
                                    const struct cellar_json **root, struct cellar_error *error)
{
    struct reader reader = {.start = text.data,
                            .from = cellar_cursor_make(text),
                            .arena = arena,
                            .error = error,
                            .values_left = SIZE_MAX,
                            .string_bytes_max = SIZE_MAX};
    CELLAR_ASSERT(root != NULL);
    struct cellar_json *value = cellar_arena_alloc(arena, sizeof *value);
    if (value == NULL) {
        return no_memory(&reader);
    }
    memset(value, 0, sizeof *value);
    CELLAR_TRY(value_read(&reader, value, 1));
    space_skip(&reader);
    if (reader.from.at != reader.from.end) {
        return wrong(&reader, "something behind the value");
    }
    *root = value;
    return CELLAR_OK;
}

const struct cellar_json *cellar_json_member(const struct cellar_json *object, const char *name)
{
    CELLAR_ASSERT(object->kind == CELLAR_JSON_OBJECT);
    for (const struct cellar_json *at = object->children; at != NULL; at = at->next) {
        if (cellar_slice_equal(at->name, cellar_slice_text(name))) {
            return at;
        }
    }
    return NULL;
}

/* A fraction or an exponent is no integer here, not even 1e3: whoever writes timestamps writes them
 * out. */
bool cellar_json_integer(const struct cellar_json *value, int64_t *integer)
{
    CELLAR_ASSERT(value->kind == CELLAR_JSON_NUMBER);
    struct cellar_slice text = value->text;
    bool is_negative = text.data[0] == '-';
    int64_t found = 0;
    for (size_t index = is_negative ? 1 : 0; index < text.bytes; index++) {
        uint8_t digit = text.data[index];
        if (digit < '0' || digit > '9' || __builtin_mul_overflow(found, 10, &found) ||
            __builtin_sub_overflow(found, digit - '0', &found)) {
            return false;
        }
    }
    if (!is_negative && found == INT64_MIN) {
        return false;
    }
    *integer = is_negative ? found : -found; /* summed below zero, where there is one more */
    return true;
}

/* ---- step by step -------------------------------------------------------------------------- */

/* A reader at the place of a walk, with the bounds of one. */
static struct reader walk_reader(const struct cellar_json_walk *walk, struct cellar_error *error)
{
    CELLAR_ASSERT(walk->at <= walk->text.bytes);
    struct reader reader = {.start = walk->text.data,
                            .from = cellar_cursor_make(walk->text),
                            .arena = walk->arena,
                            .error = error,
                            .values_left = CELLAR_JSON_WALK_VALUES_MAX,
                            .string_bytes_max = CELLAR_JSON_WALK_STRING_BYTES_MAX};
    reader.from.at += walk->at;
    return reader;
}

/* Moves the walk to where its reader came. */
static void walk_move(struct cellar_json_walk *walk, const struct reader *reader)
{
    size_t at = walk->text.bytes - cellar_cursor_left(&reader->from);
    CELLAR_ASSERT(at >= walk->at);
    walk->at = at;
}

bool cellar_json_walk_enter(struct cellar_json_walk *walk, enum cellar_json_kind kind)
{
    struct reader reader = walk_reader(walk, NULL);
    CELLAR_ASSERT(kind == CELLAR_JSON_ARRAY || kind == CELLAR_JSON_OBJECT);
    space_skip(&reader);
    bool is_entered = literal_take(&reader, kind == CELLAR_JSON_OBJECT ? "{" : "[");
    walk_move(walk, &reader);
    walk->is_first = is_entered;
    return is_entered;
}

enum cellar_status cellar_json_walk_next(struct cellar_json_walk *walk, enum cellar_json_kind kind,
                                         struct cellar_slice *name, bool *has_next,
                                         struct cellar_error *error)
{
    struct reader reader = walk_reader(walk, error);
    const struct cellar_json object = {.kind = CELLAR_JSON_OBJECT};
    CELLAR_ASSERT(kind == CELLAR_JSON_ARRAY || kind == CELLAR_JSON_OBJECT);
    space_skip(&reader);
    *has_next = !literal_take(&reader, kind == CELLAR_JSON_OBJECT ? "}" : "]");
    if (*has_next && !walk->is_first && !literal_take(&reader, ",")) {
        return wrong(&reader, "a ',' or a closing bracket is missing");
    }
    if (*has_next && kind == CELLAR_JSON_OBJECT) {
        space_skip(&reader);
        CELLAR_TRY(name_read(&reader, &object, name));
    }
    walk->is_first = false;
    walk_move(walk, &reader);
    return CELLAR_OK;
}

enum cellar_status cellar_json_walk_value(struct cellar_json_walk *walk, struct cellar_json *value,
                                          struct cellar_error *error)
{
    struct reader reader = walk_reader(walk, error);
    CELLAR_ASSERT(walk->arena != NULL);
    memset(value, 0, sizeof *value);
    CELLAR_TRY(value_read(&reader, value, 1));
    walk_move(walk, &reader);
    return CELLAR_OK;
}

enum cellar_status cellar_json_walk_end(struct cellar_json_walk *walk, struct cellar_error *error)
{
    struct reader reader = walk_reader(walk, error);
    space_skip(&reader);
    CELLAR_ASSERT(reader.from.at <= reader.from.end);
    return reader.from.at == reader.from.end ? CELLAR_OK
                                             : wrong(&reader, "something behind the value");
}
