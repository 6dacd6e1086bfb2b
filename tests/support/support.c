/*
 * Helpers of the tests; support.h says what each is for.
 *
 * A scratch folder is made with mkdtemp(3), so parallel tests never meet in one, and taken away
 * with nftw(3), deepest entries first. The loop over failing allocations drives
 * cellar_mem_fail_at(): it asks for a failure after n good allocations, runs the step, and asks
 * whether the failure was met; the first n that is not met ends the loop, as the step then
 * allocates n times at most. Random numbers are splitmix64 (Steele, Lea, Flood 2014): any seed is
 * good, and equal seeds give equal numbers everywhere.
 *
 * Everything here belongs to the thread of the test that calls it.
 */
#include "tests/support/support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/mem.h"

/* A step that allocates more often than this never ends. */
#define TEST_ALLOCATION_COUNT_MAX 100000

void test_temp_dir(char *path, size_t bytes)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] != '/') {
        parent = "/tmp";
    }
    int length = snprintf(path, bytes, "%s/cellar-test-XXXXXX", parent);
    assert_true(length > 0 && (size_t)length < bytes);
    assert_non_null(mkdtemp(path));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void test_remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

size_t test_out_of_memory_loop(enum cellar_status (*run)(void *context), void *context)
{
    for (size_t n = 0; n < TEST_ALLOCATION_COUNT_MAX; n++) {
        (void)cellar_mem_fail_at((int64_t)n);
        enum cellar_status status = run(context);
        bool was_met = cellar_mem_fail_at(-1);
        assert_int_equal(status, was_met ? CELLAR_NO_MEMORY : CELLAR_OK);
        if (!was_met) {
            return n;
        }
    }
    fail_msg("still allocating after %d failures", TEST_ALLOCATION_COUNT_MAX);
    return 0;
}

uint64_t test_seed(const char *name)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    const char *given = getenv("CELLAR_TEST_SEED");
    if (given != NULL && given[0] != '\0') {
        char *end = NULL;
        seed = strtoull(given, &end, 0);
        assert_string_equal(end, "");
    }
    print_message("%s: seed %llu (CELLAR_TEST_SEED=%llu repeats it)\n", name,
                  (unsigned long long)seed, (unsigned long long)seed);
    return seed;
}

uint64_t test_random_next(struct test_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t test_random_below(struct test_random *random, uint64_t bound)
{
    CELLAR_ASSERT(bound > 0);
    return test_random_next(random) % bound;
}

void test_random_bytes(struct test_random *random, void *data, size_t bytes)
{
    uint8_t *at = data;
    while (bytes > 0) {
        uint64_t word = test_random_next(random);
        size_t step = CELLAR_MIN(bytes, sizeof word);
        memcpy(at, &word, step);
        at += step;
        bytes -= step;
    }
}
