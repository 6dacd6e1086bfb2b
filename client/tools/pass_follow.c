/*
 * Following a pass: its status is asked for some times a second.
 */
#include "client/tools/pass_follow.h"

#include <poll.h>

#include "client/tools/progress_bar.h"

#define POLL_MS 100

enum cellar_status cellar_pass_words_check(const struct cellar_pass_kind *kind,
                                           const struct cellar_args *args,
                                           struct cellar_error *error)
{
    bool has_status = cellar_args_has(args, "status");
    bool has_cancel = cellar_args_has(args, "cancel");
    CELLAR_ASSERT(args->word_count <= 1);
    if (has_status && has_cancel) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "--status and --cancel cannot be given together");
    }
    if (!has_status && !has_cancel) {
        return CELLAR_OK;
    }
    for (const char *const *option = kind->start_options; *option != NULL; option++) {
        if (cellar_args_has(args, *option)) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s",
                                    kind->start_options_refused);
        }
    }
    return args->word_count == 0
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "--status and --cancel take no table: there is one %s at most",
                                  kind->noun);
}

static void bar_show(struct cellar_progress_bar *bar, const struct cellar_pass_view *view)
{
    uint64_t total = CELLAR_MAX(view->item_count_total, UINT64_C(1));
    const struct cellar_progress_view shown = {
        .done_bytes = (int64_t)view->byte_count,
        .total_bytes = -1,
        .share = (double)CELLAR_MIN(view->item_count, total) / (double)total,
    };
    CELLAR_ASSERT(shown.share <= 1.0);
    cellar_progress_bar_show(bar, &shown);
}

enum cellar_status cellar_pass_follow(struct cellar_tool *tool,
                                      const struct cellar_pass_watch *watch,
                                      struct cellar_error *error)
{
    struct cellar_progress_bar bar = {.to = NULL};
    struct cellar_pass_view view = watch->view(watch->context);
    uint64_t pass = view.pass;
    struct pollfd entry = {.fd = tool->interrupt_fd, .events = POLLIN};
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(pass > 0);
    cellar_progress_bar_start(&bar, tool->err);
    while (status == CELLAR_OK && view.pass <= pass && view.is_running) {
        bar_show(&bar, &view);
        (void)poll(&entry, entry.fd > 0 ? 1 : 0, POLL_MS);
        status = watch->ask(tool, watch->context, error);
        view = watch->view(watch->context);
    }
    cellar_progress_bar_clear(&bar);
    return status != CELLAR_OK || view.pass == pass
               ? status
               : cellar_error_set(error, CELLAR_ABORTED,
                                  "Another %s has begun, so how this one ended is not known",
                                  watch->kind->noun);
}
