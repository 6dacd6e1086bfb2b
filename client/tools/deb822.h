#ifndef CELLAR_TOOLS_DEB822_H
#define CELLAR_TOOLS_DEB822_H

#include "common/buf.h"

/*
 * Debian's control data (deb822): stanzas of `Field: value` lines, ended by an empty line. Feed it
 * line by line.
 */

#define CELLAR_DEB822_BYTES_MAX 8388608u /* of a stanza */
#define CELLAR_DEB822_FIELD_COUNT_MAX 10000u

struct cellar_deb822_field;

/** One stanza being read; zero-initialised is before the first. Fields belong to the .c. */
struct cellar_deb822 {
    struct cellar_buffer text; /* names and values of the fields, one behind the other */
    struct cellar_deb822_field *fields;
    size_t field_count;
    size_t field_capacity;
    uint64_t line;             /* of the stanza's first line; 0 = none has begun */
    struct cellar_error error; /* the first thing wrong with the stanza; CELLAR_OK if nothing */
    uint64_t error_line;       /* where that is */
};

/**
 * Takes one line. A stanza that is malformed is read to its end and keeps its first failure.
 *
 * @param text      without its newline
 * @param number    its number
 * @param has_ended receives true when the line ended a stanza: use it, then cellar_deb822_clear()
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_deb822_line(struct cellar_deb822 *stanza, struct cellar_slice text,
                                      uint64_t number, bool *has_ended) CELLAR_MUST_USE;

/** Notes that a line of the stanza could not be read. */
void cellar_deb822_refuse(struct cellar_deb822 *stanza, uint64_t number, const char *what);

/**
 * One field, in the stanza's order. The value is what stands behind the colon without the blanks
 * around it; each continuation line follows behind a newline, as it stands in the file.
 *
 * @param index  < field_count
 */
void cellar_deb822_field(const struct cellar_deb822 *stanza, size_t index,
                         struct cellar_slice *name, struct cellar_slice *value);

/** Finds a field by its name, in any case; false when there is none. */
bool cellar_deb822_find(const struct cellar_deb822 *stanza, const char *name,
                        struct cellar_slice *value);

/** Makes it ready for the next stanza; keeps its memory. */
void cellar_deb822_clear(struct cellar_deb822 *stanza);

/** Frees its memory; it is before its first stanza again. */
void cellar_deb822_fini(struct cellar_deb822 *stanza);

#endif
