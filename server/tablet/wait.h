#ifndef CELLAR_TABLET_WAIT_H
#define CELLAR_TABLET_WAIT_H

#include "common/sync.h"
#include "server/storage/log.h"

/* Waiting for records to become durable, on a thread that may block. */

/** The records of one change. */
struct tablet_wait {
    struct cellar_mutex lock;
    struct cellar_cond changed;
    size_t left CELLAR_GUARDED_BY(lock);
    enum cellar_status status CELLAR_GUARDED_BY(lock); /* the first failure */
};

/** One of them; the caller's memory until tablet_wait_end() has returned. */
struct tablet_wait_record {
    struct store_log_record record;
    struct tablet_wait *wait;
};

void tablet_wait_begin(struct tablet_wait *wait);

/** Readies a record for its append; once it is appended its end is awaited. */
void tablet_wait_add(struct tablet_wait *wait, struct tablet_wait_record *record);

/** Waits for all. @return CELLAR_OK (durable), OUTCOME_UNKNOWN, IO_ERROR (not written) */
enum cellar_status tablet_wait_end(struct tablet_wait *wait) CELLAR_MUST_USE;

#endif
