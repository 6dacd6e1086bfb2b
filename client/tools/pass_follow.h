#ifndef CELLAR_TOOLS_PASS_FOLLOW_H
#define CELLAR_TOOLS_PASS_FOLLOW_H

#include "client/tools/tool.h"

/* What commands share that start a pass of the server's over its data, a scrub or a compaction, and
 * follow it to its end. The pass goes on when the program does not. */

/** How such a command speaks. */
struct cellar_pass_kind {
    const char *noun;                  /* "scrub" */
    const char *const *start_options;  /* that only a start takes; NULL ends them */
    const char *start_options_refused; /* the text when one stands beside --status or --cancel */
};

/** Checks --status, --cancel and the table against each other. INVALID_ARGUMENT. */
enum cellar_status cellar_pass_words_check(const struct cellar_pass_kind *kind,
                                           const struct cellar_args *args,
                                           struct cellar_error *error) CELLAR_MUST_USE;

/** How far a pass is. */
struct cellar_pass_view {
    uint64_t pass; /* its number */
    bool is_running;
    uint64_t item_count;
    uint64_t item_count_total;
    uint64_t byte_count;
};

/** A pass that was started. */
struct cellar_pass_watch {
    const struct cellar_pass_kind *kind;
    void *context;
    /** Asks the server again. */
    enum cellar_status (*ask)(struct cellar_tool *tool, void *context, struct cellar_error *error);
    /** What it said last. */
    struct cellar_pass_view (*view)(const void *context);
};

/** Asks until the pass has ended, with a bar on a terminal. ABORTED when another one has begun; as
 * `ask`. */
enum cellar_status cellar_pass_follow(struct cellar_tool *tool,
                                      const struct cellar_pass_watch *watch,
                                      struct cellar_error *error) CELLAR_MUST_USE;

#endif
