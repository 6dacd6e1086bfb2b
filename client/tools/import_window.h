#ifndef CELLAR_TOOLS_IMPORT_WINDOW_H
#define CELLAR_TOOLS_IMPORT_WINDOW_H

#include "common/buf.h"

/*
 * The rows between what has been read and what is settled: they are read in order and answered in
 * any; what lies before the first that is not answered is settled, and a place to go on from.
 */

#define CELLAR_WINDOW_RAW_BYTES_MAX 67108864u /* of lines that are kept; one more may exceed it */

/** A part of the input that was not written, and why; on the heap. */
struct cellar_refusal {
    struct cellar_refusal *next;
    uint64_t line;
    uint64_t line_last;
    struct cellar_buffer raw; /* the lines as they stand in the input; empty when not wanted */
    char text[256];
};

/** A place in the input, behind a row. */
struct cellar_import_place {
    uint64_t position; /* bytes, unpacked */
    uint64_t line;
};

/** Sums of what is settled. */
struct cellar_import_counts {
    struct cellar_import_place place;
    uint64_t row_count; /* written */
    uint64_t cell_count;
    uint64_t value_bytes; /* of keys, qualifiers and values */
    uint64_t refused_count;
};

/** What is added. A row too large for one write is several entries, one behind the other. */
struct cellar_window_item {
    struct cellar_import_place
        place;        /* behind it; of a part that is not the last, before the row */
    size_t raw_bytes; /* of its lines, where they are kept */
    bool has_more;    /* the row goes on in the next entry */
};

struct cellar_window_entry;

/** Fields belong to the .c; zero-initialised is before cellar_window_init(). */
struct cellar_import_window {
    struct cellar_window_entry *entries; /* a ring */
    uint64_t capacity;
    uint64_t first;   /* sequence number of the oldest that is not settled */
    uint64_t next;    /* of the next to be added */
    size_t raw_bytes; /* of all entries */
    /* The row of which some entries were settled, and the first of them that was refused. */
    uint64_t row_cell_count;
    uint64_t row_value_bytes;
    struct cellar_refusal *row_refusal;
};

/** Makes room for `capacity` rows; CELLAR_NO_MEMORY. */
enum cellar_status cellar_window_init(struct cellar_import_window *window, uint64_t capacity)
    CELLAR_MUST_USE;

/** Frees it with the refusals that it holds. */
void cellar_window_fini(struct cellar_import_window *window);

/** True when nothing can be added until something is settled. */
bool cellar_window_is_full(const struct cellar_import_window *window);

/** Adds a row, or a part of one. @return its sequence number */
uint64_t cellar_window_add(struct cellar_import_window *window,
                           const struct cellar_window_item *item);

/** Keeps the lines of a row with its last part, should a part before be refused; the buffer comes
 * back empty. */
void cellar_window_keep_take(struct cellar_import_window *window, uint64_t sequence,
                             struct cellar_buffer *raw);

/** Notes that a row, or a part of one, was written. */
void cellar_window_written(struct cellar_import_window *window, uint64_t sequence,
                           uint64_t cell_count, uint64_t value_bytes);

/** Notes that a row, or a part of one, was refused; the window takes the refusal. */
void cellar_window_refused_take(struct cellar_import_window *window, uint64_t sequence,
                                struct cellar_refusal *refusal);

/**
 * Settles the rows in front that are answered. A row of which a part was refused is refused, once,
 * with the reason of the first such part; its cells are not counted.
 *
 * @param counts  what is settled is added, and the place moves
 * @return the refusals among them in the input's order, or NULL; the caller frees each one
 */
struct cellar_refusal *cellar_window_settle(struct cellar_import_window *window,
                                            struct cellar_import_counts *counts);

/** A refusal without lines; NULL without memory. */
struct cellar_refusal *cellar_refusal_new(const char *text);

/** Frees one; takes NULL. */
void cellar_refusal_free(struct cellar_refusal *refusal);

#endif
