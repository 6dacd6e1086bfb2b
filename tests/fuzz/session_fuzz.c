/*
 * Bytes as a client could send them, into a session with the fake service.
 *
 * The first byte of the input says how the rest is cut into pieces, so that frames end anywhere;
 * the connection is greeted when its lowest bit is set, so that what follows reaches the
 * operations. After each piece the loop turns, queued writes complete with changing codes, and the
 * output is checked to be whole frames and thrown away. At the end everything must be gone: the
 * harness asserts that no byte of the budgets is left taken.
 */
#include "tests/unit/net/session_harness.h"

#include "common/log.h"
#include "tests/unit/net/fake_service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const enum cellar_status codes[] = {CELLAR_OK, CELLAR_NOT_FOUND, CELLAR_UNAVAILABLE};

static void complete_writes(void)
{
    while (fake.write_count > 0) {
        enum cellar_status code = codes[fake.write_total % CELLAR_ARRAY_COUNT(codes)];
        if (fake.writes[0].row_done != NULL) {
            fake_complete(code);
        } else {
            fake_complete_rows(code);
        }
    }
}

static void drop_output(struct harness *harness)
{
    struct harness_frame frame;
    while (harness_take(harness, &frame)) {
        CELLAR_ASSERT(frame.head.kind != CELLAR_FRAME_REQUEST);
    }
}

/* False: the session has ended. */
static bool feed_piece(struct harness *harness, const uint8_t *data, size_t bytes)
{
    harness_feed(harness, data, bytes);
    drop_output(harness);
    complete_writes();
    harness_turn(harness);
    return io_loop_member_count(harness->loop) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct harness harness;
    if (bytes == 0) {
        return 0;
    }
    cellar_log_level_set(CELLAR_LOG_ERROR);
    fake_reset();
    fake.row_count = data[0];
    fake.value_bytes = (size_t)data[0] * 40;
    fake.piece_count = data[0] % 5;
    if ((data[0] & 1) != 0) {
        harness_open_greeted(&harness);
    } else {
        harness_open(&harness);
    }
    size_t step = 1 + (size_t)(data[0] >> 1) * 3;
    bool is_alive = true;
    for (size_t at = 1; at < bytes && is_alive; at += step) {
        is_alive = feed_piece(&harness, data + at, CELLAR_MIN(step, bytes - at));
    }
    complete_writes();
    harness_close(&harness);
    return 0;
}

#include "tests/unit/net/fake_service.c"
#include "tests/unit/net/session_harness.c"
