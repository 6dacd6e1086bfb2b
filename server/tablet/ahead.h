#ifndef CELLAR_TABLET_AHEAD_H
#define CELLAR_TABLET_AHEAD_H

#include "server/storage/rows.h"

/*
 * How a forward scan finds the pages of its next chunks in memory: where the rows of a chunk lie
 * one behind the other in the file, as they do after a compaction, the next ones lie behind them.
 * On a thread that may wait they are asked for; elsewhere it is only seen in time that they are not
 * there.
 */

/** Of one scan. Zeroed, it is ready. */
struct tablet_ahead {
    const uint8_t *first;     /* where the chunk's first row lies; NULL: not known */
    const uint8_t *front;     /* the furthest place that was read in the window */
    const uint8_t *asked_end; /* up to there pages were asked for */
    size_t window_bytes;      /* so far ahead they are asked for; 0: not, all are in memory */
    bool has_asked;           /* in this chunk */
    bool is_cold;             /* the next chunk may have to wait */
};

/** Forgets places: another tablet, or another direction. */
void tablet_ahead_reset(struct tablet_ahead *ahead);

/**
 * The chunk's first row in a tablet has been found and not read.
 *
 * @param may_wait    on a thread that may wait
 * @param wants_more  other rows are to follow
 */
void tablet_ahead_begin(struct tablet_ahead *ahead, const struct store_rows *rows, bool may_wait,
                        bool wants_more);

/** The chunk is full, and the scan goes on. @param bytes  that it has read, about */
void tablet_ahead_end(struct tablet_ahead *ahead, const struct store_rows *rows, size_t bytes,
                      bool may_wait);

#endif
