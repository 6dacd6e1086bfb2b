/*
 * row spool: pieces come back as they went in, from memory and from a file; emptying it, how many
 * files there may be, failures.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/mem.h"
#include "server/tablet/row_spool.h"
#include "tests/support/support.h"

#define LENGTH_BYTES 4u
#define PIECE_BYTES_MAX 1500000u

static uint8_t source[TABLET_SPOOL_MEMORY_BYTES_MAX + 16];

static char directory[256];

static int directory_begin(void **state)
{
    (void)state;
    struct test_random random = {1};
    test_temp_dir(directory, sizeof directory);
    test_random_bytes(&random, source, sizeof source);
    return 0;
}

static int directory_end(void **state)
{
    (void)state;
    /* Its files had no names, so that the folder is empty. */
    return rmdir(directory);
}

static enum cellar_status put(struct tablet_spool *spool, size_t bytes)
{
    return tablet_spool_put(spool, cellar_slice_make(source, bytes));
}

/* Takes one piece, which must be `bytes` bytes of the source from `offset`. */
static void take(struct tablet_spool *spool, size_t offset, size_t bytes)
{
    struct tablet_spool_piece piece;
    assert_false(tablet_spool_is_drained(spool));
    assert_false(tablet_spool_next_is_blob(spool));
    assert_int_equal(tablet_spool_get(spool, &piece), CELLAR_OK);
    assert_null(piece.blob);
    assert_int_equal(piece.bytes.bytes, bytes);
    assert_int_equal(memcmp(piece.bytes.data, source + offset, bytes), 0);
}

static void take_end(struct tablet_spool *spool)
{
    assert_true(tablet_spool_is_drained(spool));
    assert_false(tablet_spool_next_is_blob(spool));
}

static void an_empty_spool_is_drained(void **state)
{
    (void)state;
    struct tablet_spool spool;
    tablet_spool_init(&spool, directory);
    take_end(&spool);
    tablet_spool_reset(&spool);
    take_end(&spool);
    tablet_spool_fini(&spool);
}

static void small_pieces_stay_in_memory(void **state)
{
    (void)state;
    struct tablet_spool spool;
    tablet_spool_init(&spool, "/nonexistent");
    for (size_t i = 1; i <= 1000; i++) {
        assert_int_equal(put(&spool, i), CELLAR_OK);
    }
    assert_true(spool.descriptor < 0);
    assert_int_equal(spool.total_bytes, 1000 * LENGTH_BYTES + 1000 * 1001 / 2);
    for (size_t i = 1; i <= 1000; i++) {
        take(&spool, 0, i);
    }
    take_end(&spool);
    take_end(&spool);
    tablet_spool_fini(&spool);
}

static void the_byte_above_the_limit_makes_a_file(void **state)
{
    (void)state;
    const size_t bytes = TABLET_SPOOL_MEMORY_BYTES_MAX - LENGTH_BYTES;
    struct tablet_spool spool;
    tablet_spool_init(&spool, directory);
    assert_int_equal(put(&spool, bytes), CELLAR_OK);
    assert_true(spool.descriptor < 0);
    take(&spool, 0, bytes);
    take_end(&spool);
    tablet_spool_reset(&spool);
    assert_int_equal(put(&spool, bytes + 1), CELLAR_OK);
    assert_true(spool.descriptor >= 0);
    assert_true(spool.memory.bytes < TABLET_SPOOL_MEMORY_BYTES_MAX);
    take(&spool, 0, bytes + 1);
    take_end(&spool);
    tablet_spool_fini(&spool);
}

static void many_pieces_come_back_from_a_file_in_order(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct test_random random = {test_seed("row_spool")};
    struct tablet_spool spool;
    size_t offsets[COUNT];
    size_t sizes[COUNT];
    uint64_t total = 0;
    tablet_spool_init(&spool, directory);
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = 1 + (size_t)test_random_below(&random, i % 5 == 0 ? PIECE_BYTES_MAX : 20000);
        offsets[i] = (size_t)test_random_below(&random, sizeof source - sizes[i]);
        assert_int_equal(tablet_spool_put(&spool, cellar_slice_make(source + offsets[i], sizes[i])),
                         CELLAR_OK);
        total += LENGTH_BYTES + sizes[i];
        assert_int_equal(spool.total_bytes, total);
        if (spool.descriptor >= 0) {
            /* Behind a file, no more than what is gathered stays in memory. */
            assert_true(spool.memory.bytes <= 1048576);
        }
    }
    assert_true(spool.descriptor >= 0);
    for (size_t i = 0; i < COUNT; i++) {
        take(&spool, offsets[i], sizes[i]);
    }
    take_end(&spool);
    tablet_spool_fini(&spool);
}

static void a_reset_forgets_what_is_left_and_can_be_filled_again(void **state)
{
    (void)state;
    struct tablet_spool spool;
    tablet_spool_init(&spool, directory);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 10; i++) {
            assert_int_equal(put(&spool, 1000000 + i), CELLAR_OK);
        }
        take(&spool, 0, 1000000);
        tablet_spool_reset(&spool);
        assert_true(spool.descriptor < 0);
        take_end(&spool);
        assert_int_equal(tablet_spool_put(&spool, cellar_slice_make(source + 7, 5)), CELLAR_OK);
        assert_int_equal(spool.total_bytes, LENGTH_BYTES + 5);
        take(&spool, 7, 5);
        take_end(&spool);
        tablet_spool_reset(&spool);
    }
    tablet_spool_fini(&spool);
}

static void one_file_too_many_is_refused_until_another_goes(void **state)
{
    (void)state;
    struct tablet_spool spools[TABLET_SPOOL_FILE_COUNT_MAX];
    struct tablet_spool extra;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(spools); i++) {
        tablet_spool_init(&spools[i], directory);
        assert_int_equal(put(&spools[i], TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_OK);
        assert_true(spools[i].descriptor >= 0);
    }
    tablet_spool_init(&extra, directory);
    for (int i = 0; i < 3; i++) { /* a refusal takes no place, and a small row needs none */
        assert_int_equal(put(&extra, TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_UNAVAILABLE);
        tablet_spool_reset(&extra);
        assert_int_equal(put(&extra, 100), CELLAR_OK);
        take(&extra, 0, 100);
        tablet_spool_reset(&extra);
    }
    tablet_spool_reset(&spools[3]);
    assert_int_equal(put(&extra, TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_OK);
    take(&extra, 0, TABLET_SPOOL_MEMORY_BYTES_MAX);
    assert_int_equal(put(&spools[3], TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_UNAVAILABLE);
    tablet_spool_fini(&extra);
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(spools); i++) {
        tablet_spool_fini(&spools[i]);
    }
}

static void a_file_that_cannot_be_made_is_told_and_takes_no_place(void **state)
{
    (void)state;
    struct tablet_spool spool;
    char absent[300];
    (void)snprintf(absent, sizeof absent, "%s/absent", directory);
    tablet_spool_init(&spool, absent);
    for (size_t i = 0; i <= TABLET_SPOOL_FILE_COUNT_MAX; i++) {
        assert_int_equal(put(&spool, TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_IO_ERROR);
        tablet_spool_reset(&spool);
    }
    tablet_spool_fini(&spool);
    tablet_spool_init(&spool, directory);
    assert_int_equal(put(&spool, TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_OK);
    tablet_spool_fini(&spool);
}

static void a_file_that_was_cut_is_an_io_error(void **state)
{
    (void)state;
    struct tablet_spool spool;
    struct tablet_spool_piece piece;
    tablet_spool_init(&spool, directory);
    assert_int_equal(put(&spool, TABLET_SPOOL_MEMORY_BYTES_MAX), CELLAR_OK);
    assert_int_equal(ftruncate(spool.descriptor, 1000), 0);
    assert_int_equal(tablet_spool_get(&spool, &piece), CELLAR_IO_ERROR);
    assert_int_equal(ftruncate(spool.descriptor, 2), 0);
    assert_int_equal(tablet_spool_get(&spool, &piece), CELLAR_IO_ERROR);
    tablet_spool_fini(&spool);
}

/* Puts and takes two pieces of `*context` bytes each. */
static enum cellar_status spool_run(void *context)
{
    const size_t *bytes = context;
    struct tablet_spool spool;
    struct tablet_spool_piece piece;
    tablet_spool_init(&spool, directory);
    enum cellar_status status = put(&spool, *bytes);
    if (status == CELLAR_OK) {
        status = put(&spool, *bytes);
    }
    while (status == CELLAR_OK && !tablet_spool_is_drained(&spool)) {
        status = tablet_spool_get(&spool, &piece);
    }
    tablet_spool_fini(&spool);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    size_t in_memory = 100000;
    size_t in_file = 5000000;
    assert_int_equal(test_out_of_memory_loop(spool_run, &in_memory), 2);
    assert_int_equal(test_out_of_memory_loop(spool_run, &in_file), 3);
}

/* A process that may have few descriptors, and a blob to open. */
struct scarcity {
    struct store_blobs *blobs;
    struct store_blob blob;
    struct rlimit before;
};

static void scarcity_begin(struct scarcity *scarcity, rlim_t limit)
{
    static const uint8_t log_id[STORE_LOG_ID_BYTES] = {1};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/blobs", directory);
    assert_int_equal(store_blobs_open(path, log_id, &scarcity->blobs, NULL), CELLAR_OK);
    assert_int_equal(store_blobs_write(scarcity->blobs, cellar_slice_make(source, PIECE_BYTES_MAX),
                                       false, &scarcity->blob),
                     CELLAR_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &scarcity->before), 0);
    const struct rlimit few = {limit, scarcity->before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static enum cellar_status blob_put(const struct scarcity *scarcity, struct tablet_spool *spool)
{
    return tablet_spool_put_blob(spool, cellar_slice_text("head"), scarcity->blobs,
                                 &scarcity->blob);
}

static void scarcity_end(struct scarcity *scarcity)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &scarcity->before), 0);
    store_blobs_close(scarcity->blobs);
}

static void blobs_leave_half_of_the_descriptors(void **state)
{
    enum { LIMIT = 100 };
    struct scarcity scarcity;
    struct tablet_spool spool;
    (void)state;
    scarcity_begin(&scarcity, LIMIT);
    tablet_spool_init(&spool, directory);
    for (unsigned i = 0; i < LIMIT / 2; i++) {
        assert_int_equal(blob_put(&scarcity, &spool), CELLAR_OK);
    }
    assert_int_equal(blob_put(&scarcity, &spool), CELLAR_UNAVAILABLE);
    tablet_spool_fini(&spool);
    scarcity_end(&scarcity);
}

static void blobs_leave_the_last_descriptors(void **state)
{
    enum { LIMIT = 160 };
    struct scarcity scarcity;
    struct tablet_spool spool;
    int taken[LIMIT];
    unsigned count = 0;
    (void)state;
    scarcity_begin(&scarcity, LIMIT);
    do { /* as connections would, to the last eighth */
        taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(taken[count] >= 0);
    } while (taken[count++] < LIMIT - LIMIT / 8);
    tablet_spool_init(&spool, directory);
    assert_int_equal(blob_put(&scarcity, &spool), CELLAR_UNAVAILABLE);
    tablet_spool_fini(&spool);
    while (count > 0) {
        (void)close(taken[--count]);
    }
    tablet_spool_init(&spool, directory);
    assert_int_equal(blob_put(&scarcity, &spool), CELLAR_OK);
    tablet_spool_fini(&spool);
    scarcity_end(&scarcity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_spool_is_drained),
        cmocka_unit_test(small_pieces_stay_in_memory),
        cmocka_unit_test(the_byte_above_the_limit_makes_a_file),
        cmocka_unit_test(many_pieces_come_back_from_a_file_in_order),
        cmocka_unit_test(a_reset_forgets_what_is_left_and_can_be_filled_again),
        cmocka_unit_test(one_file_too_many_is_refused_until_another_goes),
        cmocka_unit_test(a_file_that_cannot_be_made_is_told_and_takes_no_place),
        cmocka_unit_test(a_file_that_was_cut_is_an_io_error),
        cmocka_unit_test(out_of_memory_is_told),
        cmocka_unit_test(blobs_leave_half_of_the_descriptors),
        cmocka_unit_test(blobs_leave_the_last_descriptors),
    };
    return cmocka_run_group_tests(tests, directory_begin, directory_end);
}
