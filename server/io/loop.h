#ifndef CELLAR_IO_LOOP_H
#define CELLAR_IO_LOOP_H

#include "common/status.h"
#include "server/io/list.h"
#include "server/io/traffic.h"

/*
 * An event loop: one thread, the sockets it owns, and what other threads hand it. A loop goes in
 * turns. One turn waits for sockets and runs their callbacks, then what was posted, then the work
 * that was put off to this turn, and last what was to be done once at the end of the turn, such as
 * sending everything that the turn wrote.
 */

struct event_base;
struct io_loop;

#define IO_LOOP_SCRATCH_BYTES 262144u

/** A thing to run once on a loop's thread (or a pool's), in the owner's memory. Free to be used
 * again or freed from the moment `run` begins. */
struct io_task {
    struct io_task *next; /* the queue's */
    void (*run)(struct io_task *task);
};

/** A thing to run on the loop's own thread, later; put in a queue by the thread itself. */
struct io_work {
    struct io_list link;
    void (*run)(struct io_work *work);
};

/** What lives on a loop until the loop stops: connections. */
struct io_member {
    struct io_list link;
    bool is_expected; /* counted, and not added yet */
    bool is_retired;
    /** Called about once a second with the loop's time. */
    void (*tick)(struct io_member *member, int64_t now_us);
    /** Asks the member to finish what it has begun and then to leave. */
    void (*drain)(struct io_member *member);
    /** The loop ends: the member leaves at the end of this turn at the latest. */
    void (*stop)(struct io_member *member);
};

/** Makes a loop that does not run. CELLAR_NO_MEMORY, CELLAR_IO_ERROR (no descriptors). */
enum cellar_status io_loop_new(struct io_loop **loop, struct cellar_error *error) CELLAR_MUST_USE;

/** Frees a loop that does not run and has no member; takes NULL. */
void io_loop_free(struct io_loop *loop);

/** Starts the loop's thread; signals are left to other threads. CELLAR_RESOURCE_EXHAUSTED. */
enum cellar_status io_loop_start(struct io_loop *loop, struct cellar_error *error) CELLAR_MUST_USE;

/** Asks all members to finish and leave. Any thread; returns at once. */
void io_loop_drain(struct io_loop *loop);

/** Runs what was posted, stops all members and ends the thread; returns when it has ended. Posts
 * that come later are not run. Any other thread, once, after io_loop_start(). */
void io_loop_stop(struct io_loop *loop);

/** Runs `task` on the loop's thread, in the order of posting. Any thread, never blocks, never
 * fails; a burst of posts wakes the loop once. The task is the loop's until it runs. */
void io_loop_post(struct io_loop *loop, struct io_task *task);

/**
 * Runs one turn on the calling thread, which is the loop's for the time of the call.
 *
 * @param may_block  wait for a socket or a post when there is nothing to do
 */
void io_loop_turn(struct io_loop *loop, bool may_block);

/** Makes a work that is in no queue. */
void io_work_init(struct io_work *work, void (*run)(struct io_work *work));

/** Whether the work is in a queue. Loop thread. */
bool io_work_is_queued(const struct io_work *work);

/** Takes the work out of its queue, if it is in one. Loop thread. */
void io_work_cancel(struct io_work *work);

/** Runs the work in the next pass over put-off work, of this turn or the next; a turn ends early
 * when it takes long, and goes on where it was. Nothing if it is queued already. Loop thread. */
void io_loop_run_later(struct io_loop *loop, struct io_work *work);

/** Runs the work at the end of this turn, once. Nothing if it is queued already. Loop thread. */
void io_loop_run_at_end(struct io_loop *loop, struct io_work *work);

/** Runs the work some 10 ms later: for what waits for a budget. Loop thread. */
void io_loop_run_soon(struct io_loop *loop, struct io_work *work);

/** Counts a member that is on its way to the loop and will be added there. Any thread, once. */
void io_loop_member_expect(struct io_loop *loop, struct io_member *member);

/** Adds a member, which was expected or not. Loop thread. */
void io_loop_member_add(struct io_loop *loop, struct io_member *member);

/** Takes a member out. Loop thread. */
void io_loop_member_remove(struct io_loop *loop, struct io_member *member);

/** Says that the member has nothing left to do that a stopping server should wait for: it is
 * counted no more. Loop thread, once. */
void io_loop_member_retire(struct io_loop *loop, struct io_member *member);

/** How many members there are, and are expected, that have not retired. Any thread. */
uint32_t io_loop_member_count(struct io_loop *loop);

/** Monotonic microseconds at the start of the turn. Loop thread. */
int64_t io_loop_now_us(const struct io_loop *loop);

/** Whether this turn has gone on for so long, counted from the first question, that what can wait
 * for the next one should. Loop thread. */
bool io_loop_is_late(struct io_loop *loop);

/** What the loop's thread counts; any thread may read it. */
struct io_traffic *io_loop_traffic(struct io_loop *loop);

/** When the loop's last turn ended, monotonic microseconds: an idle one turns once a second. Any
 * thread. */
int64_t io_loop_turned_us(struct io_loop *loop);

/** libevent's side of the loop, for the modules of io. Loop thread. */
struct event_base *io_loop_base(struct io_loop *loop);

/** IO_LOOP_SCRATCH_BYTES bytes to read a socket into, for the time of one callback. Loop thread. */
uint8_t *io_loop_scratch(struct io_loop *loop);

#endif
