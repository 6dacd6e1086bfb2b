/*
 * mem: the heap hook and arenas.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "tests/support/support.h"

static void empty_allocations_give_distinct_pointers(void **state)
{
    (void)state;
    void *a = cellar_mem_alloc(0);
    void *b = cellar_mem_zalloc(0, 8);
    void *c = cellar_mem_realloc(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(b, c);
    cellar_mem_free(a);
    cellar_mem_free(b);
    cellar_mem_free(c);
    cellar_mem_free(NULL);
}

static void zalloc_gives_zeroes(void **state)
{
    (void)state;
    static const uint8_t zeroes[300];
    uint8_t *data = cellar_mem_zalloc(3, 100);
    assert_non_null(data);
    assert_memory_equal(data, zeroes, sizeof zeroes);
    cellar_mem_free(data);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_null(cellar_mem_alloc(SIZE_MAX));
    assert_null(cellar_mem_zalloc(SIZE_MAX / 2, 3));
    assert_null(cellar_mem_zalloc(SIZE_MAX, 1));
    assert_null(cellar_mem_realloc(NULL, SIZE_MAX));
    struct cellar_arena arena = {0};
    assert_null(cellar_arena_alloc(&arena, SIZE_MAX));
    assert_null(cellar_arena_alloc(&arena, SIZE_MAX - 15));
    assert_int_equal(arena.total_bytes, 0);
}

static void realloc_keeps_what_fits(void **state)
{
    (void)state;
    char *text = cellar_mem_strdup("some text");
    assert_non_null(text);
    text = cellar_mem_realloc(text, 10000);
    assert_non_null(text);
    assert_string_equal(text, "some text");
    cellar_mem_free(text);
}

static void failed_realloc_leaves_the_memory_valid(void **state)
{
    (void)state;
    char *text = cellar_mem_strdup("some text");
    assert_non_null(text);
    (void)cellar_mem_fail_at(0);
    assert_null(cellar_mem_realloc(text, 10000));
    assert_true(cellar_mem_fail_at(-1));
    assert_string_equal(text, "some text");
    cellar_mem_free(text);
}

static void the_asked_allocation_fails_once(void **state)
{
    (void)state;
    (void)cellar_mem_fail_at(2);
    void *first = cellar_mem_alloc(1);
    void *second = cellar_mem_zalloc(1, 1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(cellar_mem_strdup("third"));
    void *fourth = cellar_mem_alloc(1);
    assert_non_null(fourth);
    assert_true(cellar_mem_fail_at(-1));
    assert_false(cellar_mem_fail_at(-1));
    cellar_mem_free(first);
    cellar_mem_free(second);
    cellar_mem_free(fourth);
}

static void a_failure_that_is_called_off_does_not_happen(void **state)
{
    (void)state;
    (void)cellar_mem_fail_at(0);
    assert_false(cellar_mem_fail_at(-1));
    void *data = cellar_mem_alloc(1);
    assert_non_null(data);
    cellar_mem_free(data);
}

static void *allocate_in_thread(void *unused)
{
    (void)unused;
    return cellar_mem_alloc(1);
}

static void a_failure_waits_for_its_own_thread(void **state)
{
    (void)state;
    (void)cellar_mem_fail_at(0);
    pthread_t thread;
    void *data = NULL;
    assert_int_equal(pthread_create(&thread, NULL, allocate_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &data), 0);
    assert_non_null(data);
    assert_null(cellar_mem_alloc(1));
    assert_true(cellar_mem_fail_at(-1));
    cellar_mem_free(data);
}

static void arena_memory_is_aligned_and_does_not_overlap(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    struct test_random random = {test_seed("arena")};
    uint8_t *pieces[400];
    size_t bytes[400];
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(pieces); i++) {
        bytes[i] = test_random_below(&random, i % 50 == 0 ? 20000 : 200);
        pieces[i] = cellar_arena_alloc(&arena, bytes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), bytes[i]);
    }
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(pieces); i++) {
        for (size_t k = 0; k < bytes[i]; k++) {
            assert_int_equal(pieces[i][k], i & 0xff);
        }
    }
    cellar_arena_fini(&arena);
    assert_int_equal(arena.total_bytes, 0);
}

static void arena_copies_are_equal_and_never_null(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    char *copy = cellar_arena_copy(&arena, "abc", 4);
    assert_non_null(copy);
    assert_string_equal(copy, "abc");
    assert_non_null(cellar_arena_copy(&arena, NULL, 0));
    assert_string_equal(cellar_arena_text(&arena, "abcdef", 3), "abc");
    assert_string_equal(cellar_arena_text(&arena, NULL, 0), "");
    cellar_arena_fini(&arena);
}

static void arena_counts_what_its_blocks_hold(void **state)
{
    (void)state;
    struct cellar_arena arena = {.block_bytes = 1024};
    assert_non_null(cellar_arena_alloc(&arena, 10));
    assert_int_equal(arena.total_bytes, 1024);
    assert_non_null(cellar_arena_alloc(&arena, 100000));
    assert_in_range(arena.total_bytes, 101024, 101024 + 64);
    cellar_arena_fini(&arena);
    assert_int_equal(arena.total_bytes, 0);
}

static void large_request_does_not_waste_the_current_block(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    uint8_t *first = cellar_arena_alloc(&arena, 16);
    assert_non_null(cellar_arena_alloc(&arena, 1000000));
    uint8_t *second = cellar_arena_alloc(&arena, 16);
    assert_ptr_equal(second, first + 16);
    cellar_arena_fini(&arena);
}

static void reset_keeps_one_block_and_uses_it_again(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    for (int i = 0; i < 100; i++) {
        assert_non_null(cellar_arena_alloc(&arena, 1000));
    }
    size_t full_bytes = arena.total_bytes;
    cellar_arena_reset(&arena);
    assert_true(arena.total_bytes > 0 && arena.total_bytes < full_bytes);
    (void)cellar_mem_fail_at(0);
    assert_non_null(cellar_arena_alloc(&arena, 1000));
    assert_false(cellar_mem_fail_at(-1));
    cellar_arena_fini(&arena);
}

static void reset_does_not_hold_on_to_a_large_value(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    assert_non_null(cellar_arena_alloc(&arena, 10u << 20));
    cellar_arena_reset(&arena);
    assert_int_equal(arena.total_bytes, 0);
    cellar_arena_reset(&arena);
    assert_non_null(cellar_arena_alloc(&arena, 1));
    cellar_arena_fini(&arena);
}

static enum cellar_status fill_arena(void *context)
{
    struct cellar_arena *arena = context;
    enum cellar_status status = CELLAR_OK;
    for (size_t i = 0; i < 20 && status == CELLAR_OK; i++) {
        size_t before = arena->total_bytes;
        if (cellar_arena_alloc(arena, 3000) == NULL) {
            assert_int_equal(arena->total_bytes, before);
            status = CELLAR_NO_MEMORY;
        }
    }
    cellar_arena_fini(arena);
    return status;
}

static void arena_without_memory_stays_whole(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    assert_true(test_out_of_memory_loop(fill_arena, &arena) > 1);
}

/* Bytes of anonymous memory that the kernel has given to this process. */
static uint64_t anonymous_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "RssAnon: %llu", &kib);
    }
    (void)fclose(file);
    assert_true(kib > 0);
    return kib * 1024;
}

/* Every 64th piece stays, so that the heap's end cannot move. */
static void trimmed_memory_goes_back_from_between_what_is_kept(void **state)
{
    enum { PIECES = 16384, PIECE_BYTES = 8192, KEPT_STEP = 64 };
    (void)state;
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* another allocator, which has its own ways */
#endif
    void **pieces = cellar_mem_zalloc(PIECES, sizeof *pieces);
    assert_non_null(pieces);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = cellar_mem_alloc(PIECE_BYTES);
        assert_non_null(pieces[i]);
        memset(pieces[i], 1, PIECE_BYTES);
    }
    for (size_t i = 0; i < PIECES; i++) {
        if (i % KEPT_STEP != KEPT_STEP - 1) {
            cellar_mem_free(pieces[i]);
        }
    }
    uint64_t before = anonymous_bytes();
    cellar_mem_trim();
    uint64_t after = anonymous_bytes();
    assert_true(before > (uint64_t)PIECES * PIECE_BYTES / 2);
    assert_true(after < before / 4);
    for (size_t i = KEPT_STEP - 1; i < PIECES; i += KEPT_STEP) {
        assert_int_equal(*(const uint8_t *)pieces[i], 1);
        cellar_mem_free(pieces[i]);
    }
    cellar_mem_free(pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_allocations_give_distinct_pointers),
        cmocka_unit_test(zalloc_gives_zeroes),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(realloc_keeps_what_fits),
        cmocka_unit_test(failed_realloc_leaves_the_memory_valid),
        cmocka_unit_test(the_asked_allocation_fails_once),
        cmocka_unit_test(a_failure_that_is_called_off_does_not_happen),
        cmocka_unit_test(a_failure_waits_for_its_own_thread),
        cmocka_unit_test(arena_memory_is_aligned_and_does_not_overlap),
        cmocka_unit_test(arena_copies_are_equal_and_never_null),
        cmocka_unit_test(arena_counts_what_its_blocks_hold),
        cmocka_unit_test(large_request_does_not_waste_the_current_block),
        cmocka_unit_test(reset_keeps_one_block_and_uses_it_again),
        cmocka_unit_test(reset_does_not_hold_on_to_a_large_value),
        cmocka_unit_test(arena_without_memory_stays_whole),
        cmocka_unit_test(trimmed_memory_goes_back_from_between_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
