#ifndef CELLAR_TESTS_SUPPORT_H
#define CELLAR_TESTS_SUPPORT_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base.h"
#include "common/status.h"

/*
 * What tests share: scratch folders, the loop over failing allocations, and random numbers that can
 * be had again. Every function fails the running test by itself when the machine does not play
 * along.
 */

/**
 * Makes an empty folder under $TMPDIR (or /tmp) that no other test has.
 *
 * @param path   receives its absolute path
 * @param bytes  room in `path`; 256 is plenty
 */
void test_temp_dir(char *path, size_t bytes);

/** Removes a file, or a folder with everything in it; symbolic links are not followed. */
void test_remove_tree(const char *path);

/**
 * Calls `run` again and again with its first, second, third, ... allocation failing, until one call
 * gets through without meeting the failure. A call that meets it must return CELLAR_NO_MEMORY, the
 * last one CELLAR_OK. `run` starts from nothing each time and frees what it made either way.
 *
 * @param run      the step under test; its allocations on this thread count
 * @param context  passed to `run`
 * @return how many calls met a failure: the number of allocations of a good run
 */
size_t test_out_of_memory_loop(enum cellar_status (*run)(void *context), void *context);

/**
 * The seed of a random test: $CELLAR_TEST_SEED (decimal, or hexadecimal with 0x) if it is set, else
 * from the time. Printed, so that a failure can be had again.
 *
 * @param name  what to print it under
 */
uint64_t test_seed(const char *name);

/** A small generator (splitmix64); starts as {seed}. */
struct test_random {
    uint64_t state;
};

/** The next 64 random bits. */
uint64_t test_random_next(struct test_random *random);

/** A number in [0, bound); `bound` > 0. The bias is below 2^-32 for the bounds tests use. */
uint64_t test_random_below(struct test_random *random, uint64_t bound);

/** Fills `data` with random bytes. */
void test_random_bytes(struct test_random *random, void *data, size_t bytes);

#endif
