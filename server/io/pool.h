#ifndef CELLAR_IO_POOL_H
#define CELLAR_IO_POOL_H

#include "common/status.h"
#include "server/io/loop.h"

/*
 * A few threads that run tasks which wait for the disk or compute long, so that loops never do. The
 * queue is bounded; who meets it full tells his client to come back.
 */

struct io_pool;

/** Makes a pool and starts its threads; signals are left to other threads.
 *
 * @param thread_count    1..64
 * @param task_count_max  how many tasks may wait, >= 1
 * @return CELLAR_OK, CELLAR_NO_MEMORY, CELLAR_RESOURCE_EXHAUSTED (no thread)
 */
enum cellar_status io_pool_start(uint32_t thread_count, uint32_t task_count_max,
                                 struct io_pool **pool, struct cellar_error *error) CELLAR_MUST_USE;

/** Runs what was submitted and ends the threads; what is submitted later is refused. Once, before
 * io_pool_free(). */
void io_pool_stop(struct io_pool *pool);

/** Frees a stopped pool; takes NULL. */
void io_pool_free(struct io_pool *pool);

/**
 * Queues a task, which one of the threads will run. Any thread; does not wait.
 *
 * @param task  its `run` is set; the pool's until `run` begins
 * @return CELLAR_OK; CELLAR_UNAVAILABLE when the queue is full or the pool stops: the task
 *         will not run
 */
enum cellar_status io_pool_submit(struct io_pool *pool, struct io_task *task) CELLAR_MUST_USE;

/** How many tasks wait for a thread. Any thread. */
uint32_t io_pool_waiting_count(struct io_pool *pool);

#endif
