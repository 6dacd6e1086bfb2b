/*
 * A thread pool with a bounded queue.
 *
 * The queue is a singly linked list through the tasks themselves, first in first out, under one
 * mutex; threads wait on one condition. Tasks are long (a sync of the disk, milliseconds), so the
 * mutex is never what counts. Stopping sets a flag and wakes everybody; a thread ends when the flag
 * is set and the queue is empty, so that every task that was taken in also runs: its owner counts
 * on that to be freed.
 */
#include "server/io/pool.h"

#include "common/mem.h"
#include "common/sync.h"
#include "server/io/thread.h"

#define THREAD_COUNT_MAX 64u

struct io_pool {
    struct cellar_mutex lock;
    struct cellar_cond has_work;
    struct io_task *oldest CELLAR_GUARDED_BY(lock);
    struct io_task **newest_next CELLAR_GUARDED_BY(lock); /* where the next task goes */
    uint32_t task_count CELLAR_GUARDED_BY(lock);
    bool is_stopping CELLAR_GUARDED_BY(lock);
    uint32_t task_count_max;
    uint32_t thread_count;
    pthread_t threads[THREAD_COUNT_MAX];
};

/* The next task; NULL when the pool stops. */
static struct io_task *take_task(struct io_pool *pool)
{
    cellar_mutex_lock(&pool->lock);
    while (pool->oldest == NULL && !pool->is_stopping) {
        cellar_cond_wait(&pool->has_work, &pool->lock);
    }
    struct io_task *task = pool->oldest;
    if (task != NULL) {
        CELLAR_ASSERT(pool->task_count > 0);
        pool->oldest = task->next;
        pool->task_count--;
        if (pool->oldest == NULL) {
            pool->newest_next = &pool->oldest;
        }
    }
    cellar_mutex_unlock(&pool->lock);
    return task;
}

static void *run_thread(void *context)
{
    struct io_pool *pool = context;
    cellar_thread_name_set("pool");
    for (struct io_task *task = take_task(pool); task != NULL; task = take_task(pool)) {
        CELLAR_ASSERT(task->run != NULL);
        task->run(task);
    }
    return NULL;
}

static enum cellar_status start_threads(struct io_pool *pool, uint32_t count,
                                        struct cellar_error *error)
{
    CELLAR_ASSERT(pool->thread_count == 0);
    while (pool->thread_count < count) {
        CELLAR_TRY(io_thread_start(&pool->threads[pool->thread_count], run_thread, pool, error));
        pool->thread_count++;
    }
    return CELLAR_OK;
}

/* No other thread knows the pool yet. */
enum cellar_status io_pool_start(uint32_t thread_count, uint32_t task_count_max,
                                 struct io_pool **pool, struct cellar_error *error)
    CELLAR_NO_THREAD_SAFETY
{
    CELLAR_ASSERT(thread_count >= 1 && thread_count <= THREAD_COUNT_MAX);
    CELLAR_ASSERT(task_count_max >= 1);
    struct io_pool *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for a thread pool");
    }
    cellar_mutex_init(&made->lock);
    cellar_cond_init(&made->has_work);
    made->newest_next = &made->oldest;
    made->task_count_max = task_count_max;
    enum cellar_status status = start_threads(made, thread_count, error);
    if (status != CELLAR_OK) {
        io_pool_stop(made);
        io_pool_free(made);
        return status;
    }
    *pool = made;
    return CELLAR_OK;
}

void io_pool_stop(struct io_pool *pool)
{
    CELLAR_ASSERT(pool != NULL);
    cellar_mutex_lock(&pool->lock);
    CELLAR_ASSERT(!pool->is_stopping);
    pool->is_stopping = true;
    cellar_cond_broadcast(&pool->has_work);
    cellar_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        io_thread_join(pool->threads[i]);
    }
}

/* Nobody else knows the pool any more. */
void io_pool_free(struct io_pool *pool) CELLAR_NO_THREAD_SAFETY
{
    if (pool == NULL) {
        return;
    }
    CELLAR_ASSERT(pool->is_stopping && pool->oldest == NULL);
    cellar_cond_fini(&pool->has_work);
    cellar_mutex_fini(&pool->lock);
    cellar_mem_free(pool);
}

enum cellar_status io_pool_submit(struct io_pool *pool, struct io_task *task)
{
    CELLAR_ASSERT(pool != NULL && task->run != NULL);
    enum cellar_status status = CELLAR_UNAVAILABLE;
    cellar_mutex_lock(&pool->lock);
    if (!pool->is_stopping && pool->task_count < pool->task_count_max) {
        task->next = NULL;
        *pool->newest_next = task;
        pool->newest_next = &task->next;
        pool->task_count++;
        cellar_cond_signal(&pool->has_work);
        status = CELLAR_OK;
    }
    cellar_mutex_unlock(&pool->lock);
    return status;
}

uint32_t io_pool_waiting_count(struct io_pool *pool)
{
    cellar_mutex_lock(&pool->lock);
    uint32_t count = pool->task_count;
    cellar_mutex_unlock(&pool->lock);
    CELLAR_ASSERT(count <= pool->task_count_max);
    return count;
}
