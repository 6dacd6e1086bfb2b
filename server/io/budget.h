#ifndef CELLAR_IO_BUDGET_H
#define CELLAR_IO_BUDGET_H

#include <stdatomic.h>

#include "common/base.h"

/*
 * A bound on the bytes that one kind of use holds in the whole server, such as requests that are
 * still arriving. It only counts: who is refused waits and asks again. All functions may be called
 * from any thread.
 */
struct io_budget {
    _Atomic uint64_t bytes; /* taken now; may exceed bytes_max through io_budget_charge() */
    _Atomic uint64_t bytes_max;
};

/** Makes an untouched budget of `bytes_max` > 0 bytes. */
void io_budget_init(struct io_budget *budget, uint64_t bytes_max);

/** Changes the bound; what is taken above it stays taken. @param bytes_max > 0 */
void io_budget_limit_set(struct io_budget *budget, uint64_t bytes_max);

/** The bound. */
uint64_t io_budget_limit(const struct io_budget *budget);

/** Takes `bytes` if they fit now. @return false, with nothing taken, when they do not */
bool io_budget_try(struct io_budget *budget, uint64_t bytes) CELLAR_MUST_USE;

/** Takes `bytes` that are in use already, fit or not. */
void io_budget_charge(struct io_budget *budget, uint64_t bytes);

/** Gives back `bytes` that were taken. */
void io_budget_give(struct io_budget *budget, uint64_t bytes);

/** Bytes taken now. */
uint64_t io_budget_bytes(struct io_budget *budget);

/** Whether nothing more fits. */
bool io_budget_is_spent(struct io_budget *budget);

#endif
