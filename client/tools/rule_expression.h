#ifndef CELLAR_TOOLS_RULE_EXPRESSION_H
#define CELLAR_TOOLS_RULE_EXPRESSION_H

#include <cellar/cellar.h>

#include "common/buf.h"

/* Garbage-collection rules as people write them: max-versions=3 and (max-age=7d or ...). */

#define CELLAR_RULE_NODES_MAX 64u /* more than the protocol's 500 bytes of a rule have use for */

/** Where the children of a rule lie; does not move while the rule is used. */
struct cellar_rule_nodes {
    struct cellar_rule nodes[CELLAR_RULE_NODES_MAX];
    size_t count;
};

/**
 * Reads `max-versions=N` or `max-age=D`.
 *
 * @param is_leaf  receives false when the text is neither; then nothing else happens
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what is wrong with the number
 */
enum cellar_status cellar_rule_leaf_decode(struct cellar_slice text, struct cellar_rule *rule,
                                           bool *is_leaf, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Reads an expression: leaves joined by `and` (a cell goes when all let it go) or by `or` (when any
 * does), with parentheses wherever the two meet.
 *
 * @param text   NUL-terminated
 * @param nodes  holds what `rule` points at
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what was expected and seen
 */
enum cellar_status cellar_rule_expression_decode(const char *text, struct cellar_rule_nodes *nodes,
                                                 struct cellar_rule *rule,
                                                 struct cellar_error *error) CELLAR_MUST_USE;

#endif
