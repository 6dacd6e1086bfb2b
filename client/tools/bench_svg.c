/*
 * The benchmark's picture.
 *
 *     title
 *     load       |##########                         |  12,345/s
 *     row        |#######################            |  54,321/s
 *     ...
 *     latency
 *     10 ms |                                  ..--
 *      1 ms |                      ...----""""
 *    100 us |____....------""""""""
 *             50 %        90 %        99 %      99.9 %      99.99 %
 *
 * The latency axis is logarithmic; so is the other, in the share of operations that are slower:
 * each step to the right looks at a tenth of those before. Bars and lines of one result have one
 * colour. Ink is the page's own: text and axes are drawn in a colour that follows the reader's
 * light or dark scheme, without a background. Numbers alone go into coordinates, text is escaped.
 * Pure.
 */

#include "client/tools/bench_svg.h"

#include <math.h>
#include <stdio.h>

#include "client/tools/bench_report.h"

#define WIDTH 860.0
#define LEFT 150.0
#define RIGHT 690.0
#define BAR_HEIGHT 20.0
#define TOP 50.0
#define PLOT_HEIGHT 300.0
#define DECADES_MAX 12
#define POINTS 41         /* of a line */
#define NINES_MIN 0.30103 /* of the half */
#define NINES_MAX 4.0

static const char *const colours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1",
                                      "#76b7b2", "#edc948", "#9c755f", "#ff9da7", "#86a33c"};

/* What the picture's axes span. */
struct frame {
    double rate_max;
    double bottom;  /* of the bars */
    int decade_min; /* of the latencies: 10^n nanoseconds */
    int decade_max;
};

/* Appends text with what XML reserves escaped, and control characters left out. */
static enum cellar_status text_put(struct cellar_buffer *to, const char *text)
{
    CELLAR_ASSERT(text != NULL);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '&' || byte == '<' || byte == '>' || byte == '"') {
            CELLAR_TRY(cellar_buffer_printf(to, "&#%u;", (unsigned int)byte));
        } else if (byte >= 0x20 && byte != 0x7f) {
            CELLAR_TRY(cellar_buffer_append(to, text, 1));
        }
    }
    return CELLAR_OK;
}

/* Appends a label; `anchor` is start, middle or end. */
static enum cellar_status label_put(struct cellar_buffer *to, double x, double y,
                                    const char *anchor, const char *text)
{
    CELLAR_ASSERT(anchor[0] != '\0');
    CELLAR_TRY(
        cellar_buffer_printf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor));
    CELLAR_TRY(text_put(to, text));
    return cellar_buffer_append(to, "</text>\n", 8);
}

/* Looks through the results for what the axes must span. */
static struct frame frame_make(const struct cellar_bench_result *results, size_t count)
{
    struct frame frame = {.rate_max = 1, .decade_min = DECADES_MAX, .decade_max = 4};
    for (size_t index = 0; index < count; index++) {
        const struct cellar_bench_histogram *both[] = {&results[index].reads,
                                                       &results[index].writes};
        frame.rate_max = fmax(frame.rate_max, cellar_bench_result_rate(&results[index]));
        for (size_t side = 0; side < 2; side++) {
            if (both[side]->count > 0) {
                double low = (double)cellar_bench_histogram_quantile(both[side], 0.5);
                int first = (int)floor(log10(fmax(low, 1)));
                int last = (int)ceil(log10(fmax((double)both[side]->max, 10)));
                frame.decade_min = CELLAR_MIN(frame.decade_min, first);
                frame.decade_max = CELLAR_MAX(frame.decade_max, last);
            }
        }
    }
    CELLAR_ASSERT(frame.rate_max >= 1);
    frame.decade_min = CELLAR_MIN(frame.decade_min, frame.decade_max - 1);
    frame.bottom = TOP + BAR_HEIGHT * (double)count;
    return frame;
}

/* Draws one bar with its name and number. */
static enum cellar_status bar_put(struct cellar_buffer *to, const struct frame *frame,
                                  const struct cellar_bench_result *result, size_t index)
{
    char text[64];
    double rate = cellar_bench_result_rate(result);
    double y = TOP + BAR_HEIGHT * (double)index;
    double width = (RIGHT - LEFT) * rate / frame->rate_max;
    CELLAR_ASSERT(rate <= frame->rate_max);
    (void)snprintf(text, sizeof text, "%.40s %.16s", result->driver, result->workload);
    CELLAR_TRY(label_put(to, LEFT - 8, y + 14, "end", text));
    CELLAR_TRY(cellar_buffer_printf(
        to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", LEFT,
        y + 2, fmax(width, 1), BAR_HEIGHT - 4, colours[index % CELLAR_ARRAY_COUNT(colours)]));
    double cpu_us = cellar_bench_result_cpu_us(result);
    if (cpu_us < 0) {
        (void)snprintf(text, sizeof text, "%.0f/s", rate);
    } else {
        (void)snprintf(text, sizeof text, "%.0f/s, %.1f us", rate, cpu_us);
    }
    return label_put(to, LEFT + fmax(width, 1) + 6, y + 14, "start", text);
}

/* Where a share of operations stands: the more nines, the further to the right. */
static double share_x(double nines)
{
    CELLAR_ASSERT(nines >= 0);
    return LEFT + (RIGHT - LEFT) * (nines - NINES_MIN) / (NINES_MAX - NINES_MIN);
}

/* Where a latency stands. */
static double latency_y(const struct frame *frame, double ns)
{
    double decades = (double)(frame->decade_max - frame->decade_min);
    double share = (log10(fmax(ns, 1)) - (double)frame->decade_min) / decades;
    CELLAR_ASSERT(decades > 0);
    return frame->bottom + 50 + PLOT_HEIGHT * (1 - fmin(fmax(share, 0), 1));
}

/* Draws the grid of the latencies. */
static enum cellar_status grid_put(struct cellar_buffer *to, const struct frame *frame)
{
    static const char *const decades[] = {"1 ns",   "10 ns", "100 ns", "1 us",   "10 us",
                                          "100 us", "1 ms",  "10 ms",  "100 ms", "1 s",
                                          "10 s",   "100 s", "1000 s"};
    static const char *const shares[] = {"50 %", "90 %", "99 %", "99.9 %", "99.99 %"};
    CELLAR_TRY(
        label_put(to, LEFT, frame->bottom + 38, "start", "latency by percentile (writes dashed)"));
    for (int decade = frame->decade_min; decade <= frame->decade_max; decade++) {
        double y = latency_y(frame, pow(10, decade));
        CELLAR_ASSERT(decade >= 0);
        CELLAR_TRY(cellar_buffer_printf(to, "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/>\n", LEFT, y,
                                        RIGHT));
        CELLAR_TRY(label_put(to, LEFT - 8, y + 4, "end",
                             decades[CELLAR_MIN((size_t)decade, CELLAR_ARRAY_COUNT(decades) - 1)]));
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shares); index++) {
        double x = share_x(index == 0 ? NINES_MIN : (double)index);
        double y = frame->bottom + 50;
        CELLAR_TRY(cellar_buffer_printf(to, "<path class=\"g\" d=\"M%.1f %.1fV%.1f\"/>\n", x, y,
                                        y + PLOT_HEIGHT));
        CELLAR_TRY(label_put(to, x, y + PLOT_HEIGHT + 18, "middle", shares[index]));
    }
    return CELLAR_OK;
}

/* Draws one line. It ends where fewer operations are left than one. */
static enum cellar_status line_put(struct cellar_buffer *to, const struct frame *frame,
                                   const struct cellar_bench_histogram *histogram,
                                   const char *colour, bool is_write)
{
    if (histogram->count == 0) {
        return CELLAR_OK;
    }
    double last = fmin(NINES_MAX, fmax(NINES_MIN, log10((double)histogram->count)));
    CELLAR_ASSERT(last >= NINES_MIN);
    CELLAR_TRY(cellar_buffer_printf(to, "<path class=\"l\" stroke=\"%s\"%s d=\"", colour,
                                    is_write ? " stroke-dasharray=\"5 4\"" : ""));
    for (int point = 0; point < POINTS; point++) {
        double nines = NINES_MIN + (last - NINES_MIN) * point / (POINTS - 1);
        double ns = (double)cellar_bench_histogram_quantile(histogram, 1 - pow(10, -nines));
        CELLAR_TRY(cellar_buffer_printf(to, "%s%.1f %.1f", point == 0 ? "M" : "L", share_x(nines),
                                        latency_y(frame, ns)));
    }
    return cellar_buffer_append(to, "\"/>\n", 4);
}

/* The document's head: its size, and ink that follows the reader's scheme. */
static enum cellar_status head_put(struct cellar_buffer *to, const struct frame *frame,
                                   const char *title)
{
    double height = frame->bottom + PLOT_HEIGHT + 90;
    CELLAR_ASSERT(height > 0);
    CELLAR_TRY(cellar_buffer_printf(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
        "height=\"%.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<style>text{fill:#333}.g{stroke:#999;stroke-opacity:.4;fill:none}"
        ".l{fill:none;stroke-width:1.8}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>\n<title>",
        WIDTH, height, WIDTH, height));
    CELLAR_TRY(text_put(to, title));
    CELLAR_TRY(cellar_buffer_append(to, "</title>\n", 9));
    CELLAR_TRY(label_put(to, LEFT, 22, "start", title));
    return label_put(to, LEFT, 40, "start", "operations a second, server's processor time each");
}

enum cellar_status cellar_bench_svg(const struct cellar_bench_result *results, size_t count,
                                    const char *title, struct cellar_buffer *to)
{
    struct frame frame = frame_make(results, count);
    CELLAR_ASSERT(results != NULL || count == 0);
    CELLAR_TRY(head_put(to, &frame, title));
    for (size_t index = 0; index < count; index++) {
        CELLAR_TRY(bar_put(to, &frame, &results[index], index));
    }
    CELLAR_TRY(grid_put(to, &frame));
    for (size_t index = 0; index < count; index++) {
        const char *colour = colours[index % CELLAR_ARRAY_COUNT(colours)];
        CELLAR_TRY(line_put(to, &frame, &results[index].reads, colour, false));
        CELLAR_TRY(line_put(to, &frame, &results[index].writes, colour, true));
    }
    return cellar_buffer_append(to, "</svg>\n", 7);
}
