#ifndef CELLAR_TESTS_SUPPORT_MODEL_DRAW_H
#define CELLAR_TESTS_SUPPORT_MODEL_DRAW_H

#include "common/gc_rule.h"
#include "common/mem.h"
#include "tests/support/support.h"

/*
 * Keys and rules at random, drawn so that they meet: what random requests are made of.
 */

#define MODEL_RULE_CHILDREN_MAX 3u

/**
 * Draws bytes that like to be the same as others: mostly short and of few letters, many of them 00
 * and FF, now and then very long with one beginning.
 *
 * @param arena      owns them
 * @param bytes_min  0 or 1
 * @param bytes_max  above 4096: now and then 16,384 of them
 */
struct cellar_slice model_draw_key(struct test_random *random, struct cellar_arena *arena,
                                   size_t bytes_min, size_t bytes_max);

/** Draws a garbage-collection rule of any shape, or none. @param arena owns its children */
struct cellar_gc_rule model_draw_rule(struct test_random *random, struct cellar_arena *arena);

#endif
