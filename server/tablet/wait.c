/*
 * A count of records under way, a condition, the first failure. The log's thread calls `done` in
 * the order of the records; the waiting thread may free everything as soon as the lock is given
 * back after the last one, hence the signal under it.
 */
#include "server/tablet/wait.h"

void tablet_wait_begin(struct tablet_wait *wait) CELLAR_NO_THREAD_SAFETY
{
    cellar_mutex_init(&wait->lock);
    cellar_cond_init(&wait->changed);
    wait->left = 0;
    wait->status = CELLAR_OK;
    CELLAR_ASSERT(wait->left == 0);
}

static void left_take(struct tablet_wait *wait, enum cellar_status status)
{
    cellar_mutex_lock(&wait->lock);
    CELLAR_ASSERT(wait->left > 0);
    wait->left--;
    wait->status = wait->status == CELLAR_OK ? status : wait->status;
    if (wait->left == 0) {
        cellar_cond_signal(&wait->changed);
    }
    cellar_mutex_unlock(&wait->lock);
}

static void record_done(struct store_log_record *record, enum cellar_status status)
{
    struct tablet_wait_record *ended =
        CELLAR_CONTAINER_OF(record, struct tablet_wait_record, record);
    CELLAR_ASSERT(ended->wait != NULL);
    left_take(ended->wait, status);
}

void tablet_wait_add(struct tablet_wait *wait, struct tablet_wait_record *record)
{
    CELLAR_ASSERT(wait != NULL);
    record->wait = wait;
    record->record.done = record_done;
    cellar_mutex_lock(&wait->lock);
    wait->left++;
    cellar_mutex_unlock(&wait->lock);
}

enum cellar_status tablet_wait_end(struct tablet_wait *wait)
{
    cellar_mutex_lock(&wait->lock);
    while (wait->left > 0) {
        cellar_cond_wait(&wait->changed, &wait->lock);
    }
    enum cellar_status status = wait->status;
    cellar_mutex_unlock(&wait->lock);
    cellar_cond_fini(&wait->changed);
    cellar_mutex_fini(&wait->lock);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_OUTCOME_UNKNOWN ||
                  status == CELLAR_IO_ERROR);
    return status;
}
