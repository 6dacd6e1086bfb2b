#ifndef CELLAR_TOOLS_PROGRESS_BAR_H
#define CELLAR_TOOLS_PROGRESS_BAR_H

#include <stdio.h>

#include "common/buf.h"

/* A line on a terminal that shows how far a long command is; nothing anywhere else. */

/** How far it is. */
struct cellar_progress_view {
    int64_t done_bytes;
    int64_t total_bytes;  /* -1: not known */
    double share;         /* 0..1 when total_bytes is not known but a share is; else < 0 */
    int64_t before_bytes; /* done by earlier runs; the rates do not count them */
    double before_share;
    uint64_t row_count; /* of this run */
    uint64_t refused_count;
    const char *note; /* what it waits for, or NULL */
};

/** A bar; zero-initialised shows nothing. */
struct cellar_progress_bar {
    FILE *to; /* NULL: nothing is shown */
    int64_t start_us;
    int64_t shown_us;
    bool has_line; /* one stands on the terminal */
    uint32_t column_count;
};

/** Begins; `to` is used if it is a terminal. */
void cellar_progress_bar_start(struct cellar_progress_bar *bar, FILE *to);

/** Shows the line anew when the last time was long enough ago. */
void cellar_progress_bar_show(struct cellar_progress_bar *bar,
                              const struct cellar_progress_view *view);

/** Takes the line away, so that other things can be printed. */
void cellar_progress_bar_clear(struct cellar_progress_bar *bar);

/** How long a command has run, and how wide the line may be. */
struct cellar_progress_frame {
    int64_t elapsed_us;
    uint32_t column_count;
};

/**
 * Appends the line, at most `column_count` characters of ASCII; CELLAR_NO_MEMORY.
 */
enum cellar_status cellar_progress_text(const struct cellar_progress_view *view,
                                        struct cellar_progress_frame frame,
                                        struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
