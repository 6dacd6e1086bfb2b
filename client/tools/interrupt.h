#ifndef CELLAR_TOOLS_INTERRUPT_H
#define CELLAR_TOOLS_INTERRUPT_H

#include "common/base.h"
#include "common/status.h"

/*
 * SIGINT and SIGTERM as a wish to stop, for commands that have something to bring to an end. The
 * first signal is noted; a second one ends the program as it always would.
 *
 * Every function takes NULL as one that never comes, but cellar_interrupt_start().
 */

struct cellar_interrupt;

/**
 * Takes the two signals for itself. Threads started later do not get them either.
 *
 * @param interrupt  receives it; give it back with cellar_interrupt_stop() by the same thread
 * @return CELLAR_OK; CELLAR_NO_MEMORY; CELLAR_RESOURCE_EXHAUSTED without descriptors or threads
 */
enum cellar_status cellar_interrupt_start(struct cellar_interrupt **interrupt,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/** True once a signal came. Any thread. */
bool cellar_interrupt_is_set(struct cellar_interrupt *interrupt);

/** A descriptor that is readable once a signal came, for poll(); -1 for NULL. */
int cellar_interrupt_fd(const struct cellar_interrupt *interrupt);

/** Waits, at most until a signal comes. @return cellar_interrupt_is_set() */
bool cellar_interrupt_pause(struct cellar_interrupt *interrupt, int64_t us);

/** Gives the signals back to the program and frees it. */
void cellar_interrupt_stop(struct cellar_interrupt *interrupt);

#endif
