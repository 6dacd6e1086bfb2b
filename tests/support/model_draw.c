/*
 * Keys and rules at random; model_draw.h says what they are like. What is drawn depends on the
 * random numbers alone, so that a seed repeats it. A test's memory is never short: when it is, the
 * test fails.
 */
#include "tests/support/model_draw.h"

static uint8_t letter_draw(struct test_random *random)
{
    static const uint8_t letters[] = {0x00, 0x01, 0xFF, 0xFE, 'a', 'b'};
    return letters[test_random_below(random, sizeof letters)];
}

struct cellar_slice model_draw_key(struct test_random *random, struct cellar_arena *arena,
                                   size_t bytes_min, size_t bytes_max)
{
    /* Around the places where storage cuts keys into layers, and around the longest row key. */
    static const size_t lengths[] = {4000, 4001, 4094, 4095, 4096, 250, 251, 249, 500, 120};
    uint8_t bytes[16400];
    size_t count = bytes_min + (size_t)test_random_below(random, 5 - bytes_min);
    size_t same_count = 0; /* bytes at the beginning that many keys share */
    if (test_random_below(random, 3) == 0) {
        count = lengths[test_random_below(random, CELLAR_ARRAY_COUNT(lengths))];
        memset(bytes, test_random_below(random, 3) == 0 ? 0x00 : 'p', count);
        same_count = count - (size_t)test_random_below(random, 8);
    }
    for (size_t i = same_count; i < count; i++) {
        bytes[i] = letter_draw(random);
    }
    if (bytes_max > 4096 && test_random_below(random, 12) == 0) {
        count = 16384;
        memset(bytes, 'q', count);
        bytes[count - 1] = letter_draw(random);
    }
    const uint8_t *copy = cellar_arena_copy(arena, bytes, count);
    assert_non_null(copy);
    return cellar_slice_make(copy, count);
}

static struct cellar_gc_rule rule_leaf(struct test_random *random)
{
    static const int64_t ages_us[] = {1000, 3000, 20000, 10000000};
    if (test_random_below(random, 2) == 0) {
        return (struct cellar_gc_rule){.kind = CELLAR_GC_VERSIONS,
                                       .amount = 1 + (int64_t)test_random_below(random, 3)};
    }
    return (struct cellar_gc_rule){
        .kind = CELLAR_GC_AGE,
        .amount = ages_us[test_random_below(random, CELLAR_ARRAY_COUNT(ages_us))]};
}

struct cellar_gc_rule model_draw_rule(struct test_random *random, struct cellar_arena *arena)
{
    uint64_t shape = test_random_below(random, 6);
    if (shape < 2) {
        return (struct cellar_gc_rule){.kind = CELLAR_GC_NONE};
    }
    if (shape < 4) {
        return rule_leaf(random);
    }
    uint32_t count = 1 + (uint32_t)test_random_below(random, MODEL_RULE_CHILDREN_MAX);
    struct cellar_gc_rule *children = cellar_arena_alloc(arena, count * sizeof *children);
    assert_non_null(children);
    for (uint32_t i = 0; i < count; i++) {
        children[i] = rule_leaf(random);
    }
    return (struct cellar_gc_rule){.kind = shape == 4 ? CELLAR_GC_UNION : CELLAR_GC_INTERSECTION,
                                   .children = children,
                                   .child_count = count};
}
