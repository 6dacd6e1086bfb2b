/*
 * A scrub's status as SCRUB answers it. PROTOCOL.md, "Scrubs".
 *
 * Findings name rows by their keys, which are bytes: how they are shown is the client's business.
 * What kind of place a finding has stands beside the keys, since an empty key may mean the first
 * row, the last, or none.
 */
#include "server/net/native/scrub_wire.h"

#include "common/message.h"

#define PROBLEM_FIELD_COUNT 7u

enum problem_place { PLACE_NONE, PLACE_ROW, PLACE_ROWS };

static enum cellar_status problem_put(struct cellar_buffer *to,
                                      const struct svc_scrub_problem *problem)
{
    CELLAR_ASSERT(!problem->has_row || !problem->has_rows);
    enum problem_place place = problem->has_row    ? PLACE_ROW
                               : problem->has_rows ? PLACE_ROWS
                                                   : PLACE_NONE;
    CELLAR_TRY(cellar_wire_put_array(to, PROBLEM_FIELD_COUNT));
    CELLAR_TRY(cellar_wire_put_text(to, problem->table));
    CELLAR_TRY(cellar_wire_put_bytes(to, problem->tablet_start));
    CELLAR_TRY(cellar_wire_put_bytes(to, problem->tablet_end));
    CELLAR_TRY(cellar_wire_put_u64(to, place));
    CELLAR_TRY(cellar_wire_put_bytes(to, problem->rows_start));
    CELLAR_TRY(cellar_wire_put_bytes(to, problem->rows_end));
    return cellar_wire_put_text(to, problem->why);
}

static enum cellar_status problems_put(struct cellar_buffer *to,
                                       const struct svc_scrub_status *status)
{
    CELLAR_ASSERT(status->problem_count_listed <= SVC_SCRUB_PROBLEM_COUNT_MAX);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)status->problem_count_listed));
    for (size_t i = 0; i < status->problem_count_listed; i++) {
        CELLAR_TRY(problem_put(to, &status->problems[i]));
    }
    return CELLAR_OK;
}

enum cellar_status net_scrub_encode(const struct svc_scrub_status *status, struct cellar_buffer *to,
                                    struct cellar_error *error)
{
    struct cellar_buffer problems = {0};
    struct cellar_msg_scrub_reply reply = {
        .state = status->state,
        .pass = status->pass,
        .background = status->is_background,
        .table = status->table,
        .items = status->item_count,
        .items_total = status->item_count_total,
        .bytes = status->byte_count,
        .started_us = (uint64_t)CELLAR_MAX(status->started_us, INT64_C(0)),
        .ended_us = (uint64_t)CELLAR_MAX(status->ended_us, INT64_C(0)),
        .problem_count = status->problem_count,
    };
    enum cellar_status result = problems_put(&problems, status);
    if (result == CELLAR_OK) {
        reply.problems = cellar_slice_of(&problems);
        result = cellar_message_encode(&cellar_msg_scrub_reply_type, &reply, to);
    }
    cellar_buffer_fini(&problems);
    CELLAR_ASSERT(result == CELLAR_OK || result == CELLAR_NO_MEMORY);
    return result == CELLAR_OK
               ? CELLAR_OK
               : cellar_error_set(error, result, "No memory for an administrative request");
}
