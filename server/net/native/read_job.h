#ifndef CELLAR_NET_READ_JOB_H
#define CELLAR_NET_READ_JOB_H

#include "server/net/native/session.h"

/*
 * One step of a read, run by a thread of the read pool because it may wait for the disk:
 *
 *     loop    net_read_job_send()   what the step needs is the pool's from here on
 *     pool    run(job)              appends whole messages to job->output
 *     loop    back(job)             takes them over, and sends the job again or ends it
 *
 * A job that is away cannot be stopped, so neither it nor what its step uses is freed before it is
 * back. Its session may go meanwhile: who ends the call calls net_read_job_abandon() first.
 */

struct net_read_job;

typedef void net_read_job_fn(struct net_read_job *job);

/** A step's way to the pool and back, in the memory of what reads. The same one goes for each step.
 */
struct net_read_job {
    struct io_task task;
    struct io_loop *loop;
    struct net_session *session; /* NULL: abandoned; the loop's */
    net_read_job_fn *run;
    net_read_job_fn *back;
    struct cellar_buffer output; /* run()'s while away, then back()'s, which may take it */
    bool is_away;                /* the loop's */
};

/**
 * Makes a job that is not away.
 *
 * @param run   called on a thread of the pool; appends to job->output, which is empty
 * @param back  called on the loop when it has run; job->session is NULL if it was abandoned. It may
 *              send the job again, or free it after net_read_job_rest()
 */
void net_read_job_init(struct net_read_job *job, net_read_job_fn *run, net_read_job_fn *back);

/**
 * Hands the step to the read pool. Loop thread; does not wait.
 *
 * @param session  whose loop gets it back
 * @param work     run later when the step cannot go now, since the pool has as many as it can hold,
 *                 or NET_READ_JOB_COUNT_MAX of the session are away; it tries again then
 * @return whether it went
 */
bool net_read_job_send(struct net_read_job *job, struct net_session *session, struct io_work *work);

/** Says that the session is not to be touched when the job is back. Loop thread, while it is away.
 */
void net_read_job_abandon(struct net_read_job *job);

/** Frees the memory of the output: nothing more comes, or not soon. It is not away. */
void net_read_job_rest(struct net_read_job *job);

#endif
