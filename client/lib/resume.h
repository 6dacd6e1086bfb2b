#ifndef CELLAR_CLIENT_RESUME_H
#define CELLAR_CLIENT_RESUME_H

#include "common/buf.h"
#include "common/status.h"

/*
 * What is left of a READ_ROWS some of whose rows came: the request that asks for the rest of them.
 * PROTOCOL.md, "MOVED".
 */

/** The rows that came since a request was made; zero-initialised is none. One thread at a time. */
struct cellar_resume {
    struct cellar_buffer last; /* the key of the last one */
    uint64_t count;
};

/** Frees its memory; no row came again. */
void cellar_resume_fini(struct cellar_resume *resume);

/**
 * Notes a whole row.
 *
 * @param key  copied
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_resume_note(struct cellar_resume *resume, struct cellar_slice key)
    CELLAR_MUST_USE;

/**
 * Makes of a request the one for the rows behind the last that came, or before it when they come
 * backwards; from then on none came of that. Anything but rows, limit and time is as it was.
 *
 * @param resume      at least one row came
 * @param body        READ_ROWS, encoded; replaced when rows are left
 * @param timeout_us  the new one's time limit; 0 = none
 * @param is_over     receives whether no row is left: then there is nothing to ask for
 * @return CELLAR_OK; CELLAR_NO_MEMORY; CELLAR_INVALID_ARGUMENT for a request that no server should
 *         have answered: the body is as it was
 */
enum cellar_status cellar_resume_body(struct cellar_resume *resume, struct cellar_buffer *body,
                                      uint64_t timeout_us, bool *is_over,
                                      struct cellar_error *error) CELLAR_MUST_USE;

#endif
