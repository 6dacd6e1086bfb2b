/*
 * slab: blocks that do not touch each other, chunks of one owner each, when the heap is used
 * instead, and chunks that live as long as their blocks (which the asan preset watches).
 */
#include <string.h>

#include "common/mem.h"
#include "server/storage/slab.h"
#include "tests/support/store_fixture.h"

#define BLOCK_COUNT_MAX 4096u
#define OTHER_BLOCKS 64u

struct block {
    uint8_t *data;
    size_t bytes;
    struct store_slab_chunk *chunk;
};

static struct block take(struct store_slab *slab, uint32_t owner, size_t bytes)
{
    struct block block = {.bytes = bytes};
    block.data = store_slab_take(slab, owner, bytes, &block.chunk);
    assert_true((block.data == NULL) == (block.chunk == NULL));
    return block;
}

static void give(struct block block)
{
    assert_non_null(block.chunk);
    store_slab_chunk_unref(block.chunk);
}

static void blocks_are_aligned_and_do_not_touch(void **state)
{
    (void)state;
    static struct block blocks[BLOCK_COUNT_MAX];
    struct store_slab slab = {.chunk = NULL};
    for (size_t i = 0; i < BLOCK_COUNT_MAX; i++) {
        blocks[i] = take(&slab, 7, 1 + i * 31 % 3000);
        assert_non_null(blocks[i].data);
        assert_int_equal((uintptr_t)blocks[i].data % 16, 0);
        memset(blocks[i].data, (int)(i % 251), blocks[i].bytes);
    }
    assert_ptr_not_equal(blocks[0].chunk, blocks[BLOCK_COUNT_MAX - 1].chunk);
    store_slab_fini(&slab);
    for (size_t i = 0; i < BLOCK_COUNT_MAX; i++) {
        for (size_t at = 0; at < blocks[i].bytes; at++) {
            assert_int_equal(blocks[i].data[at], i % 251);
        }
        give(blocks[i]);
    }
}

/* Each chunk of an owner is twice as large as the one before, up to the greatest. */
static void chunks_grow(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    size_t largest = 0;
    for (size_t taken = 0; taken < 4 * (size_t)STORE_SLAB_CHUNK_BYTES_MAX; taken += 1024) {
        size_t before = slab.chunk_bytes;
        struct block block = take(&slab, 1, 1024);
        give(block);
        assert_true(slab.chunk_bytes == before || before == 0 || slab.chunk_bytes == 2 * before);
        largest = CELLAR_MAX(largest, slab.chunk_bytes);
    }
    assert_int_equal(largest, STORE_SLAB_CHUNK_BYTES_MAX);
    store_slab_fini(&slab);
}

static void a_chunk_is_of_one_owner(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    give(take(&slab, 1, 100));
    for (unsigned i = 0; i < 4 * OTHER_BLOCKS; i++) {
        assert_null(take(&slab, 2, 100).data);
        give(take(&slab, 1, 100));
    }
    store_slab_fini(&slab);
}

static void many_blocks_in_a_row_make_another_owner(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    struct block first = take(&slab, 1, 100);
    for (unsigned i = 1; i < OTHER_BLOCKS; i++) {
        assert_null(take(&slab, 2, 100).data);
    }
    struct block second = take(&slab, 2, 100);
    assert_ptr_not_equal(second.chunk, first.chunk);
    assert_null(take(&slab, 1, 100).data);
    first.data[0] = 1; /* the chunk that was given up lives on */
    give(first);
    give(second);
    store_slab_fini(&slab);
}

static void large_blocks_come_from_the_heap(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    assert_null(take(&slab, 1, STORE_SLAB_BLOCK_BYTES_MAX + 1).data);
    assert_null(take(&slab, 1, STORE_SLAB_BLOCK_BYTES_MAX).data); /* of a small chunk */
    for (size_t taken = 0; taken < STORE_SLAB_CHUNK_BYTES_MAX; taken += 2048) {
        give(take(&slab, 1, 2048));
    }
    give(take(&slab, 1, STORE_SLAB_BLOCK_BYTES_MAX));
    store_slab_fini(&slab);
}

static void without_memory_the_slab_stays_as_it_is(void **state)
{
    (void)state;
    struct store_slab slab = {.chunk = NULL};
    assert_false(cellar_mem_fail_at(0));
    assert_null(take(&slab, 1, 100).data);
    assert_true(cellar_mem_fail_at(-1));
    struct block block = take(&slab, 1, 100);
    assert_non_null(block.data);
    struct store_slab_chunk *chunk = slab.chunk;
    assert_false(cellar_mem_fail_at(0));
    while (slab.chunk == chunk) {
        struct block next = take(&slab, 1, 1000);
        if (next.data == NULL) {
            break;
        }
        give(next);
    }
    assert_true(cellar_mem_fail_at(-1));
    assert_ptr_equal(slab.chunk, chunk);
    give(take(&slab, 1, 1000));
    assert_ptr_not_equal(slab.chunk, chunk);
    give(block);
    store_slab_fini(&slab);
    store_slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_do_not_touch),
        cmocka_unit_test(chunks_grow),
        cmocka_unit_test(a_chunk_is_of_one_owner),
        cmocka_unit_test(many_blocks_in_a_row_make_another_owner),
        cmocka_unit_test(large_blocks_come_from_the_heap),
        cmocka_unit_test(without_memory_the_slab_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
