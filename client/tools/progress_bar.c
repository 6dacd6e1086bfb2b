/*
 * A progress bar:
 *
 *     [========>           ]  42 %  12.3 of 29.0 MB  3.2 MB/s  45123 rows/s  0:05 left  2 refused
 *
 * Bytes are those of the input as it is stored, so that a compressed file has an end; where only a
 * share can be estimated it is shown with a tilde, and where nothing is known there is no bar and
 * no time left. Rates are those of this run. The text is made by a pure function; the line is drawn
 * over the one before five times a second at most, and cut to the terminal's width so that it never
 * wraps. One thread at a time.
 */

#include "client/tools/progress_bar.h"

#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

#define SHOW_US INT64_C(200000)
#define BAR_COLUMNS 20u
#define COLUMNS_DEFAULT 80u
#define COLUMNS_MAX 500u

/* The share that is done, or a negative number. */
static double share_of(const struct cellar_progress_view *view)
{
    CELLAR_ASSERT(view->done_bytes >= 0);
    if (view->total_bytes <= 0) {
        return view->share;
    }
    double share = (double)view->done_bytes / (double)view->total_bytes;
    return CELLAR_MIN(share, 1.0);
}

/* Appends the bar and the share. */
static enum cellar_status bar_put(double share, bool is_guess, struct cellar_buffer *to)
{
    uint32_t filled = (uint32_t)(share * BAR_COLUMNS);
    CELLAR_ASSERT(filled <= BAR_COLUMNS);
    CELLAR_TRY(cellar_buffer_append(to, "[", 1));
    for (uint32_t column = 0; column < BAR_COLUMNS; column++) {
        const char *mark = column < filled ? "=" : (column == filled ? ">" : " ");
        CELLAR_TRY(cellar_buffer_append(to, mark, 1));
    }
    return cellar_buffer_printf(to, "] %s%3d %%  ", is_guess ? "~" : "", (int)(share * 100));
}

/* Appends a time such as 1:02:03 or 0:05. */
static enum cellar_status time_put(double seconds, struct cellar_buffer *to)
{
    int64_t whole = seconds > 359999 ? 359999 : (int64_t)seconds;
    CELLAR_ASSERT(whole >= 0);
    return whole >= 3600
               ? cellar_buffer_printf(to, "%" PRId64 ":%02" PRId64 ":%02" PRId64, whole / 3600,
                                      whole / 60 % 60, whole % 60)
               : cellar_buffer_printf(to, "%" PRId64 ":%02" PRId64, whole / 60, whole % 60);
}

/* Appends everything, however wide. */
static enum cellar_status line_put(const struct cellar_progress_view *view, double seconds,
                                   struct cellar_buffer *to)
{
    double share = share_of(view);
    double megabytes = (double)view->done_bytes / 1e6;
    double before_share = view->total_bytes > 0
                              ? (double)view->before_bytes / (double)view->total_bytes
                              : view->before_share;
    if (share >= 0) {
        CELLAR_TRY(bar_put(share, view->total_bytes <= 0, to));
    }
    CELLAR_TRY(view->total_bytes > 0 ? cellar_buffer_printf(to, "%.1f of %.1f MB", megabytes,
                                                            (double)view->total_bytes / 1e6)
                                     : cellar_buffer_printf(to, "%.1f MB", megabytes));
    CELLAR_ASSERT(seconds > 0);
    CELLAR_TRY(cellar_buffer_printf(to, "  %.1f MB/s  %.0f rows/s",
                                    (double)(view->done_bytes - view->before_bytes) / 1e6 / seconds,
                                    (double)view->row_count / seconds));
    if (share > before_share && share >= 0) {
        CELLAR_TRY(cellar_buffer_append(to, "  ", 2));
        CELLAR_TRY(time_put(seconds * (1 - share) / (share - before_share), to));
        CELLAR_TRY(cellar_buffer_append(to, " left", 5));
    }
    if (view->refused_count > 0) {
        CELLAR_TRY(cellar_buffer_printf(to, "  %" PRIu64 " refused", view->refused_count));
    }
    return view->note == NULL ? CELLAR_OK : cellar_buffer_printf(to, "  %s", view->note);
}

enum cellar_status cellar_progress_text(const struct cellar_progress_view *view,
                                        struct cellar_progress_frame frame,
                                        struct cellar_buffer *to)
{
    size_t before = to->bytes;
    double seconds = (double)CELLAR_MAX(frame.elapsed_us, INT64_C(1)) / 1e6;
    CELLAR_TRY(line_put(view, seconds, to));
    to->bytes = CELLAR_MIN(to->bytes, before + frame.column_count);
    CELLAR_ASSERT(to->bytes >= before);
    return CELLAR_OK;
}

void cellar_progress_bar_start(struct cellar_progress_bar *bar, FILE *to)
{
    struct winsize size = {0};
    int fd = fileno(to);
    CELLAR_ASSERT(to != NULL);
    *bar = (struct cellar_progress_bar){.start_us = cellar_clock_monotonic_us(),
                                        .column_count = COLUMNS_DEFAULT};
    bar->shown_us = bar->start_us;
    if (fd >= 0 && isatty(fd) == 1) {
        bar->to = to;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
            bar->column_count = CELLAR_MIN((uint32_t)size.ws_col, COLUMNS_MAX);
        }
    }
}

void cellar_progress_bar_show(struct cellar_progress_bar *bar,
                              const struct cellar_progress_view *view)
{
    struct cellar_buffer text = {0};
    if (bar->to == NULL) {
        return;
    }
    int64_t now_us = cellar_clock_monotonic_us();
    if (now_us - bar->shown_us < SHOW_US) {
        return;
    }
    CELLAR_ASSERT(bar->column_count > 1);
    /* The last column stays free: some terminals wrap as soon as it is written. */
    struct cellar_progress_frame frame = {.elapsed_us = now_us - bar->start_us,
                                          .column_count = bar->column_count - 1};
    if (cellar_progress_text(view, frame, &text) == CELLAR_OK) {
        (void)fprintf(bar->to, "\r%.*s\033[K", (int)text.bytes, (const char *)text.data);
        (void)fflush(bar->to);
        bar->shown_us = now_us;
        bar->has_line = true;
    }
    cellar_buffer_fini(&text);
}

void cellar_progress_bar_clear(struct cellar_progress_bar *bar)
{
    CELLAR_ASSERT(!bar->has_line || bar->to != NULL);
    if (bar->has_line) {
        (void)fprintf(bar->to, "\r\033[K");
        (void)fflush(bar->to);
        bar->has_line = false;
        bar->shown_us = 0;
    }
}
