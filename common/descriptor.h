#ifndef CELLAR_COMMON_DESCRIPTOR_H
#define CELLAR_COMMON_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How many files and sockets the process may have open, shared out: who can do without one more
 * leaves the last ones to log and stores, without which no write is taken.
 */

/** The process's limit of descriptors; UINT64_MAX when there is none, or it cannot be told. */
uint64_t cellar_descriptor_count_max(void);

/**
 * Whether a descriptor that was just opened is one of the last. The kernel gives the lowest that is
 * free, so then all before it are in use.
 *
 * @param share      the last 1/share of the limit counts,
 * @param count_max  but no more than so many
 */
bool cellar_descriptor_is_reserved(int descriptor, unsigned share, unsigned count_max);

#endif
