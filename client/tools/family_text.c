/*
 * Families with their garbage-collection rules, between arguments and rule trees.
 *
 * An argument can give a number of versions, an age, or both; both make a union of the two. Any
 * other tree is an expression behind `gc=`, both ways. The key `type` is known by name, to be
 * refused as what this build does not have. Pure; any thread.
 */

#include "client/tools/family_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/tools/duration.h"

#define PREFIX_VERSIONS "max-versions="
#define PREFIX_AGE "max-age="
#define EXPRESSION_MARK ":gc="

/* Reads one `key=value` behind the family's name. */
static enum cellar_status part_decode(const char *text, struct cellar_rule *part,
                                      struct cellar_error *error)
{
    bool is_leaf = false;
    CELLAR_ASSERT(part != NULL);
    CELLAR_TRY(cellar_rule_leaf_decode(cellar_slice_text(text), part, &is_leaf, error));
    if (is_leaf) {
        return CELLAR_OK;
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                            strncmp(text, "type=", 5) == 0
                                ? "This build does not have '%.64s' for families"
                                : "A family takes max-versions=N and max-age=D, or gc= and an "
                                  "expression alone, but got '%.64s'",
                            text);
}

/* Joins the parts that were given to one rule. */
static void rule_make(struct cellar_family_text *family, size_t part_count)
{
    CELLAR_ASSERT(part_count <= CELLAR_ARRAY_COUNT(family->parts));
    if (part_count == 2) {
        family->rule = (struct cellar_rule){
            .kind = CELLAR_RULE_UNION, .children = family->parts, .child_count = part_count};
    } else if (part_count == 1) {
        family->rule = family->parts[0];
    }
}

enum cellar_status cellar_family_text_decode(const char *text, struct cellar_family_text *family,
                                             struct cellar_error *error)
{
    char copy[256];
    size_t part_count = 0;
    memset(family, 0, sizeof *family);
    size_t name_bytes = strcspn(text, ":");
    bool is_expression = strncmp(text + name_bytes, EXPRESSION_MARK, strlen(EXPRESSION_MARK)) == 0;
    if (name_bytes == 0 || name_bytes > CELLAR_FAMILY_BYTES_MAX ||
        (!is_expression && strlen(text) >= sizeof copy)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A family must be written NAME[:max-versions=N][:max-age=D] or "
                                "NAME:gc=EXPR with a name of 1 to %u bytes, but got '%.200s'",
                                CELLAR_FAMILY_BYTES_MAX, text);
    }
    memcpy(family->name, text, name_bytes);
    if (is_expression) {
        return cellar_rule_expression_decode(text + name_bytes + strlen(EXPRESSION_MARK),
                                             &family->nodes, &family->rule, error);
    }
    (void)snprintf(copy, sizeof copy, "%s", text + name_bytes);
    /* Each turn cuts one part off by a NUL in the place of its colon, and puts the colon back. */
    char *at = copy;
    while (*at == ':') {
        char *part = at + 1;
        struct cellar_rule rule = {.kind = CELLAR_RULE_NONE};
        at = part + strcspn(part, ":");
        bool has_more = *at == ':';
        *at = '\0';
        CELLAR_TRY(part_decode(part, &rule, error));
        if (part_count == 2 || (part_count == 1 && family->parts[0].kind == rule.kind)) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "A family takes max-versions and max-age once each, but got "
                                    "'%.200s'",
                                    text);
        }
        family->parts[part_count++] = rule;
        *at = has_more ? ':' : '\0';
    }
    CELLAR_ASSERT(*at == '\0');
    rule_make(family, part_count);
    return CELLAR_OK;
}

/* Appends a rule that is one number. */
static enum cellar_status leaf_put(const struct cellar_rule *rule, struct cellar_buffer *to)
{
    char text[CELLAR_DURATION_TEXT_BYTES];
    CELLAR_ASSERT(rule->child_count == 0);
    switch (rule->kind) {
    case CELLAR_RULE_VERSIONS:
        return cellar_buffer_printf(to, PREFIX_VERSIONS "%" PRId64, rule->amount);
    case CELLAR_RULE_AGE:
        return cellar_buffer_printf(to, PREFIX_AGE "%s",
                                    cellar_duration_encode(CELLAR_MAX(rule->amount, 0), text));
    case CELLAR_RULE_NONE:
    case CELLAR_RULE_UNION:
    case CELLAR_RULE_INTERSECTION:
        break;
    }
    return cellar_buffer_printf(to, "never");
}

/* Appends a rule as an expression; the library bounds how deep it is. */
static enum cellar_status expression_put(const struct cellar_rule *rule, bool is_inner,
                                         struct cellar_buffer *to)
{
    if (rule->child_count == 0) {
        return leaf_put(rule, to);
    }
    CELLAR_ASSERT(rule->kind == CELLAR_RULE_UNION || rule->kind == CELLAR_RULE_INTERSECTION);
    const char *word = rule->kind == CELLAR_RULE_UNION ? " or " : " and ";
    CELLAR_TRY(cellar_buffer_printf(to, "%s", is_inner ? "(" : ""));
    for (size_t index = 0; index < rule->child_count; index++) {
        CELLAR_TRY(cellar_buffer_printf(to, "%s", index == 0 ? "" : word));
        CELLAR_TRY(expression_put(&rule->children[index], true, to));
    }
    return cellar_buffer_printf(to, "%s", is_inner ? ")" : "");
}

enum cellar_status cellar_rule_text_encode(const struct cellar_rule *rule, struct cellar_buffer *to)
{
    CELLAR_ASSERT(rule != NULL);
    if (rule->kind == CELLAR_RULE_NONE) {
        return CELLAR_OK;
    }
    if (rule->child_count == 0) {
        return leaf_put(rule, to);
    }
    bool is_argument = rule->kind == CELLAR_RULE_UNION && rule->child_count == 2 &&
                       rule->children[0].kind != rule->children[1].kind &&
                       rule->children[0].child_count + rule->children[1].child_count == 0;
    if (is_argument) {
        CELLAR_TRY(leaf_put(&rule->children[0], to));
        CELLAR_TRY(cellar_buffer_append(to, ":", 1));
        return leaf_put(&rule->children[1], to);
    }
    CELLAR_TRY(cellar_buffer_append(to, &EXPRESSION_MARK[1], strlen(EXPRESSION_MARK) - 1));
    return expression_put(rule, false, to);
}
