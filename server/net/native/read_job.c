/*
 * Steps of reads on the read pool; read_job.h says how.
 *
 *     at home --send--> away (queued, running, posted back) --back()--> at home
 *                          |
 *                       abandoned: back() still comes, without a session
 *
 * The one task travels both ways, so there is no memory to find for the way back. While the job is
 * away, `is_away`, `session` and `loop` stay the loop's; the pool's thread reads `loop` only, which
 * does not change. Everything else of the step is the pool thread's: queue and post are what orders
 * the memory.
 *
 * Bounds: a session has NET_READ_JOB_COUNT_MAX away, each with the output of one step, so what a
 * connection may get beyond its room is so many of them. The sessions together have what the pool
 * holds, and of these only those have an output that run or are on their way back. The jobs that
 * wait for one of the session's own to come back are a list there: each that comes back lets as
 * many go as there are places, and the last one all, since those that go on without the pool bring
 * nothing back that would let the next one go.
 */
#include "server/net/native/read_job.h"

void net_read_job_init(struct net_read_job *job, net_read_job_fn *run, net_read_job_fn *back)
{
    CELLAR_ASSERT(run != NULL && back != NULL);
    *job = (struct net_read_job){.run = run, .back = back};
}

/* Lets waiting steps of the session try again. */
static void waiting_release(struct net_session *session)
{
    uint32_t count = NET_READ_JOB_COUNT_MAX - session->away_count;
    CELLAR_ASSERT(session->away_count < NET_READ_JOB_COUNT_MAX);
    bool is_last = session->away_count == 0;
    for (uint32_t i = 0; is_last || i < count; i++) {
        struct io_list *link = io_list_take(&session->away_waiting);
        if (link == NULL) {
            break;
        }
        io_loop_run_later(session->loop, CELLAR_CONTAINER_OF(link, struct io_work, link));
    }
}

static void session_leave(struct net_read_job *job)
{
    struct net_session *session = job->session;
    CELLAR_ASSERT(session->away_count > 0);
    session->away_count--;
    waiting_release(session);
}

/* On the loop. Not counted as away any more when back() runs, which may send it again. */
static void come_back(struct io_task *task)
{
    struct net_read_job *job = CELLAR_CONTAINER_OF(task, struct net_read_job, task);
    CELLAR_ASSERT(job->is_away);
    job->is_away = false;
    if (job->session != NULL) {
        session_leave(job);
    }
    job->back(job);
}

/* On a thread of the pool. Once posted, the job is not to be touched here. */
static void run_away(struct io_task *task)
{
    struct net_read_job *job = CELLAR_CONTAINER_OF(task, struct net_read_job, task);
    CELLAR_ASSERT(job->output.bytes == 0);
    job->run(job);
    job->task.run = come_back;
    io_loop_post(job->loop, &job->task);
}

bool net_read_job_send(struct net_read_job *job, struct net_session *session, struct io_work *work)
{
    CELLAR_ASSERT(!job->is_away && session->away_count <= NET_READ_JOB_COUNT_MAX);
    if (session->away_count == NET_READ_JOB_COUNT_MAX) {
        if (!io_work_is_queued(work)) {
            io_list_append(&session->away_waiting, &work->link);
        }
        return false;
    }
    cellar_buffer_clear(&job->output);
    job->session = session;
    job->loop = session->loop;
    job->task.run = run_away;
    job->is_away = true;
    session->away_count++;
    if (io_pool_submit(session->context->read_pool, &job->task) != CELLAR_OK) {
        job->is_away = false;
        session->away_count--;
        io_loop_run_soon(session->loop, work);
        return false;
    }
    cellar_counter_add(&session->measures->steps_away, 1);
    return true;
}

void net_read_job_abandon(struct net_read_job *job)
{
    CELLAR_ASSERT(job->is_away && job->session != NULL);
    session_leave(job);
    job->session = NULL;
}

void net_read_job_rest(struct net_read_job *job)
{
    CELLAR_ASSERT(!job->is_away);
    cellar_buffer_fini(&job->output);
}
