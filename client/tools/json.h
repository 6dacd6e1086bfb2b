#ifndef CELLAR_TOOLS_JSON_H
#define CELLAR_TOOLS_JSON_H

#include "common/buf.h"
#include "common/mem.h"

/*
 * JSON (RFC 8259): a strict reader of one document into a tree, or of one that is too large for a
 * tree step by step.
 */

#define CELLAR_JSON_DEPTH_MAX 32u
#define CELLAR_JSON_MEMBER_COUNT_MAX 1024u /* of one object */

/* What a walk reads into memory at once. */
#define CELLAR_JSON_WALK_VALUES_MAX 4096u
#define CELLAR_JSON_WALK_STRING_BYTES_MAX 268435456u /* as it is written */

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

/**
 * A document that is stepped through, so that memory is bounded whatever its length: containers are
 * entered, and only what stands in them is read into trees. Set text and arena; a copy is a place
 * to go back to.
 */
struct cellar_json_walk {
    struct cellar_slice text;   /* UTF-8; borrowed as long as values are used */
    struct cellar_arena *arena; /* gives values their memory; may be reset between two of them */
    size_t at;
    bool is_first; /* nothing of the container that was entered last has been read */
};

/** Steps into an array or object. @return false, and stays, when something else stands there */
bool cellar_json_walk_enter(struct cellar_json_walk *walk, enum cellar_json_kind kind);

/**
 * Steps to the next child of the innermost container that was entered, or out of it.
 *
 * @param kind      of that container
 * @param name      receives a member's name; of an array nothing. Names that come twice are the
 *                  caller's to refuse
 * @param has_next  receives whether there is one: read it or enter it then
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT, as cellar_json_read(); CELLAR_NO_MEMORY
 */
enum cellar_status cellar_json_walk_next(struct cellar_json_walk *walk, enum cellar_json_kind kind,
                                         struct cellar_slice *name, bool *has_next,
                                         struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Reads the value at the walk's place.
 *
 * @param value  receives it; what hangs below lies in the arena
 * @return as cellar_json_read(); CELLAR_INVALID_ARGUMENT also above CELLAR_JSON_WALK_VALUES_MAX and
 *         CELLAR_JSON_WALK_STRING_BYTES_MAX
 */
enum cellar_status cellar_json_walk_value(struct cellar_json_walk *walk, struct cellar_json *value,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** Checks that nothing stands behind the document; CELLAR_INVALID_ARGUMENT. */
enum cellar_status cellar_json_walk_end(struct cellar_json_walk *walk, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
