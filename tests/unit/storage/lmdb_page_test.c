/*
 * lmdb_page: pages as LMDB writes them are sound, and each kind of damage that would lead LMDB
 * out of a page is told.
 */
#include "server/storage/lmdb_page.h"

#include <string.h>

#include "tests/support/support.h"

#define PAGE STORE_PAGE_BYTES
#define NUMBER 77u

static void u16_put(uint8_t *to, unsigned value)
{
    cellar_put_u16le(to, (uint16_t)value);
}

/* A leaf with two nodes: key "a" with a value of 6 bytes, key "bb" with one in overflow pages.
 * Nodes lie from the page's end down. */
static void leaf_make(uint8_t *page)
{
    memset(page, 0, PAGE);
    cellar_put_u64le(page, NUMBER);
    u16_put(page + 10, STORE_PAGE_LEAF);
    u16_put(page + 12, 16 + 2 * 2);
    u16_put(page + 14, PAGE - 16 - 18);
    u16_put(page + 16, PAGE - 16);
    u16_put(page + 18, PAGE - 16 - 18);
    uint8_t *node = page + PAGE - 16; /* 8 + 1 + 6, and one to be even */
    u16_put(node, 6);
    u16_put(node + 6, 1);
    node[8] = 'a';
    node = page + PAGE - 16 - 18; /* 8 + 2 + 8 */
    u16_put(node, 5000);
    u16_put(node + 4, STORE_PAGE_NODE_OVERFLOW);
    u16_put(node + 6, 2);
    memcpy(node + 8, "bb", 2);
}

static void sound_leaf_gives_its_nodes(void **state)
{
    (void)state;
    uint8_t page[PAGE];
    uint32_t count = 0;
    leaf_make(page);
    assert_null(store_page_check(page, NUMBER, true, &count));
    assert_int_equal(count, 2);
    assert_true(
        cellar_slice_equal(store_page_key(store_page_node(page, 0)), cellar_slice_text("a")));
    assert_true(
        cellar_slice_equal(store_page_key(store_page_node(page, 1)), cellar_slice_text("bb")));
    assert_int_equal(store_page_value_bytes(store_page_node(page, 1)), 5000);
}

static void branch_children_have_48_bits(void **state)
{
    (void)state;
    uint8_t page[PAGE];
    uint32_t count = 0;
    memset(page, 0, PAGE);
    cellar_put_u64le(page, NUMBER);
    u16_put(page + 10, STORE_PAGE_BRANCH);
    u16_put(page + 12, 18);
    u16_put(page + 14, PAGE - 8);
    u16_put(page + 16, PAGE - 8);
    u16_put(page + PAGE - 8, 0x1234);
    u16_put(page + PAGE - 6, 0x5678);
    u16_put(page + PAGE - 4, 0x9ABC);
    assert_null(store_page_check(page, NUMBER, false, &count));
    assert_int_equal(count, 1);
    assert_int_equal(store_page_child(store_page_node(page, 0)), UINT64_C(0x9ABC56781234));
}

static void damage_that_leads_out_of_the_page_is_told(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned value;
    } spots[] = {
        {0, NUMBER + 1},          /* another page's number */
        {10, STORE_PAGE_BRANCH},  /* another kind */
        {12, 16},                 /* no node */
        {12, 21},                 /* half a node's offset */
        {12, PAGE + 100},         /* behind upper */
        {14, 0x8000 + PAGE - 34}, /* behind the page */
        {14, PAGE - 36},          /* a gap before the nodes */
        {16, PAGE - 4},           /* a node's head over the end */
        {16, 40},                 /* in the free space */
        {18, PAGE - 16},          /* two nodes in one place */
        {PAGE - 16, 8},           /* a value over the end */
        {PAGE - 14, 1},           /* one of 64 KiB and more */
        {PAGE - 16 + 6, 500},     /* a key over the end */
        {PAGE - 16 - 18 + 6, 4},  /* a key into the next node */
        {PAGE - 16 - 18 + 4, 0},  /* a value of 5,000 bytes in the page */
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(spots); i++) {
        uint8_t page[PAGE];
        uint32_t count = 99;
        leaf_make(page);
        u16_put(page + spots[i].at, spots[i].value);
        if (store_page_check(page, NUMBER, true, &count) == NULL) {
            fail_msg("spot %zu was not told", i);
        }
        assert_int_equal(count, 99);
    }
}

static void overflow_pages_hold_their_value(void **state)
{
    (void)state;
    uint8_t page[PAGE] = {0};
    cellar_put_u64le(page, NUMBER);
    u16_put(page + 10, STORE_PAGE_OVERFLOW);
    cellar_put_u32le(page + 12, 2);
    assert_true(store_page_overflow_check(page, NUMBER, 5000, 200));
    assert_true(store_page_overflow_check(page, NUMBER, 2 * PAGE - 16, 200));
    assert_true(store_page_overflow_check(page, NUMBER, 10, 200)); /* it was longer once */
    assert_false(store_page_overflow_check(page, NUMBER, 2 * PAGE - 15, 200));
    assert_false(store_page_overflow_check(page, NUMBER, 5000, NUMBER + 1));
    assert_false(store_page_overflow_check(page, NUMBER + 1, 5000, 200));
    u16_put(page + 10, STORE_PAGE_LEAF);
    assert_false(store_page_overflow_check(page, NUMBER, 5000, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_leaf_gives_its_nodes),
        cmocka_unit_test(branch_children_have_48_bits),
        cmocka_unit_test(damage_that_leads_out_of_the_page_is_told),
        cmocka_unit_test(overflow_pages_hold_their_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
