#ifndef CELLAR_TOOLS_FAMILY_TEXT_H
#define CELLAR_TOOLS_FAMILY_TEXT_H

#include <cellar/cellar.h>

#include "client/tools/rule_expression.h"
#include "common/cell.h"

/* Families and their rules as arguments: cf[:max-versions=N][:max-age=7d] or cf:gc=EXPR. */

/** A family as it was written; does not move, since `rule` points into it. */
struct cellar_family_text {
    char name[CELLAR_FAMILY_BYTES_MAX + 1];
    struct cellar_rule rule;
    struct cellar_rule parts[2];
    struct cellar_rule_nodes nodes; /* of an expression */
};

/**
 * Reads one family. Of two rules, either one removes a cell; an expression says it itself, to the
 * end of the text.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT naming what was expected and seen
 */
enum cellar_status cellar_family_text_decode(const char *text, struct cellar_family_text *family,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/** Appends a rule: "max-versions=3:max-age=7d" where arguments can say it, nothing for no rule,
 * otherwise "gc=" and an expression of `and`, `or` and parentheses. CELLAR_NO_MEMORY. */
enum cellar_status cellar_rule_text_encode(const struct cellar_rule *rule, struct cellar_buffer *to)
    CELLAR_MUST_USE;

#endif
