#ifndef CELLAR_TOOLS_JSON_H
#define CELLAR_TOOLS_JSON_H

#include "common/buf.h"
#include "common/mem.h"

/* JSON (RFC 8259): a strict reader of one document into a tree, and a writer of its strings. */

#define CELLAR_JSON_DEPTH_MAX 32u
#define CELLAR_JSON_MEMBER_COUNT_MAX 1024u /* of one object */

enum cellar_json_kind {
    CELLAR_JSON_NULL,
    CELLAR_JSON_BOOL,
    CELLAR_JSON_NUMBER,
    CELLAR_JSON_STRING,
    CELLAR_JSON_ARRAY,
    CELLAR_JSON_OBJECT
};

/** One value; all in the arena that reading was given, texts without escapes may lie in the input.
 */
struct cellar_json {
    enum cellar_json_kind kind;
    bool is_true;                       /* BOOL */
    struct cellar_slice text;           /* STRING: UTF-8, decoded; NUMBER: as it was written */
    struct cellar_slice name;           /* of an object's member; decoded */
    const struct cellar_json *children; /* ARRAY, OBJECT: the first; in the document's order */
    const struct cellar_json *next;     /* of the same parent */
};

/**
 * Reads a whole document.
 *
 * @param text   UTF-8; borrowed as long as the tree is used
 * @param arena  gives the memory
 * @param root   receives the tree
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what is wrong and at which byte (syntax, a
 *         member twice or too many, bytes that are not UTF-8, nesting above CELLAR_JSON_DEPTH_MAX);
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_json_read(struct cellar_slice text, struct cellar_arena *arena,
                                    const struct cellar_json **root, struct cellar_error *error)
    CELLAR_MUST_USE;

/** An object's member of that name, or NULL. */
const struct cellar_json *cellar_json_member(const struct cellar_json *object, const char *name);

/** Reads a NUMBER that is an integer of 64 bits in plain digits; false when it is not. */
bool cellar_json_integer(const struct cellar_json *value, int64_t *integer);

/** Appends a JSON string with its quotes; `text` is UTF-8. CELLAR_NO_MEMORY. */
enum cellar_status cellar_json_put_string(struct cellar_buffer *to, struct cellar_slice text)
    CELLAR_MUST_USE;

/** Appends bytes: a string where they are UTF-8, otherwise {"b64":".."}. CELLAR_NO_MEMORY. */
enum cellar_status cellar_json_put_bytes(struct cellar_buffer *to, struct cellar_slice bytes)
    CELLAR_MUST_USE;

#endif
