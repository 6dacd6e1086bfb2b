/*
 * Garbage-collection rules from text, by recursive descent:
 *
 *     expression  =  term { "and" term }  |  term { "or" term }
 *     term        =  "max-versions=" N  |  "max-age=" D  |  "(" expression ")"
 *
 * Neither word binds tighter than the other: where both would stand on one level, parentheses must
 * say what is meant, since a reader's guess would decide which cells are lost.
 *
 * The terms of a level that is not yet whole wait on a stack. When the level ends they are moved
 * behind each other into the nodes, as a rule's children must lie, and the level's one rule takes
 * their place. Pure; any thread.
 */

#include "client/tools/rule_expression.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/duration.h"
#include "common/gc_rule.h"

#define PREFIX_VERSIONS "max-versions="
#define PREFIX_AGE "max-age="
#define NUMBER_BYTES_MAX 32u

/* One text on its way. */
struct parse {
    const char *at;
    struct cellar_rule_nodes *nodes;
    struct cellar_rule waiting[CELLAR_RULE_NODES_MAX]; /* terms of levels that are not whole */
    size_t waiting_count;
    struct cellar_error *error;
};

static enum cellar_status expression_take(struct parse *parse, uint32_t depth,
                                          struct cellar_rule *rule);

/* Reads a count of versions. strtoll(3) would take blanks and signs before the digits and wants a
 * NUL behind them, which the text has somewhere else, if at all. */
static enum cellar_status versions_decode(struct cellar_slice text, int64_t *versions,
                                          struct cellar_error *error)
{
    char number[NUMBER_BYTES_MAX] = "";
    char *end = number;
    long long found = 0;
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    errno = 0;
    if (text.bytes > 0 && text.bytes < sizeof number) {
        memcpy(number, text.data, text.bytes);
        found = strtoll(number, &end, 10);
    }
    if (number[0] < '0' || number[0] > '9' || *end != '\0' || errno != 0 || found < 1) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "max-versions must be a number above 0, but got '%.*s'",
                                (int)CELLAR_MIN(text.bytes, (size_t)64), (const char *)text.data);
    }
    *versions = found;
    return CELLAR_OK;
}

/* What is neither is left to the caller, who knows what else may stand there. */
enum cellar_status cellar_rule_leaf_decode(struct cellar_slice text, struct cellar_rule *rule,
                                           bool *is_leaf, struct cellar_error *error)
{
    static const struct cellar_slice versions = {(const uint8_t *)PREFIX_VERSIONS,
                                                 sizeof PREFIX_VERSIONS - 1};
    static const struct cellar_slice age = {(const uint8_t *)PREFIX_AGE, sizeof PREFIX_AGE - 1};
    bool is_versions = cellar_slice_has_prefix(text, versions);
    *is_leaf = is_versions || cellar_slice_has_prefix(text, age);
    if (!*is_leaf) {
        return CELLAR_OK;
    }
    size_t prefix_bytes = is_versions ? versions.bytes : age.bytes;
    CELLAR_ASSERT(prefix_bytes <= text.bytes);
    struct cellar_slice number =
        cellar_slice_make(text.data + prefix_bytes, text.bytes - prefix_bytes);
    *rule = (struct cellar_rule){.kind = is_versions ? CELLAR_RULE_VERSIONS : CELLAR_RULE_AGE};
    return is_versions ? versions_decode(number, &rule->amount, error)
                       : cellar_duration_decode(number, &rule->amount, error);
}

/* Shows the text from where it stopped making sense, which is shorter to say than a column. */
static enum cellar_status refuse(struct parse *parse, const char *expected)
{
    CELLAR_ASSERT(parse->at != NULL);
    return cellar_error_set(parse->error, CELLAR_INVALID_ARGUMENT,
                            "A gc expression has %s, but got '%.64s'", expected,
                            *parse->at == '\0' ? "its end" : parse->at);
}

static void blanks_skip(struct parse *parse)
{
    parse->at += strspn(parse->at, " \t");
    CELLAR_ASSERT(*parse->at != ' ');
}

/* Takes one term: a leaf, or an expression in parentheses. */
static enum cellar_status term_take(struct parse *parse, uint32_t depth, struct cellar_rule *rule)
{
    bool is_leaf = false;
    blanks_skip(parse);
    if (*parse->at == '(') {
        parse->at++;
        CELLAR_TRY(expression_take(parse, depth + 1, rule));
        if (*parse->at != ')') {
            return refuse(parse, "a ')' for each '('");
        }
        parse->at++;
        return CELLAR_OK;
    }
    size_t bytes = strcspn(parse->at, " \t()");
    CELLAR_TRY(
        cellar_rule_leaf_decode(cellar_slice_make(parse->at, bytes), rule, &is_leaf, parse->error));
    if (!is_leaf) {
        return refuse(parse, "max-versions=N, max-age=D or a '(' here");
    }
    CELLAR_ASSERT(bytes > 0);
    parse->at += bytes;
    return CELLAR_OK;
}

/* Takes `and` or `or` if one is next; otherwise the level ends. A word that only begins so, as in
 * "order", is none, and the caller meets it where no term may stand. */
static enum cellar_rule_kind joint_take(struct parse *parse)
{
    blanks_skip(parse);
    size_t bytes = strcspn(parse->at, " \t()");
    bool is_and = bytes == 3 && strncmp(parse->at, "and", bytes) == 0;
    bool is_or = bytes == 2 && strncmp(parse->at, "or", bytes) == 0;
    CELLAR_ASSERT(!(is_and && is_or));
    parse->at += is_and || is_or ? bytes : 0;
    return is_and ? CELLAR_RULE_INTERSECTION : is_or ? CELLAR_RULE_UNION : CELLAR_RULE_NONE;
}

/* Makes one rule of the terms that wait from `first` on. A level of one term is that term: a union
 * of one child would be another rule to the server, though it hides the same. */
static void level_end(struct parse *parse, size_t first, enum cellar_rule_kind kind,
                      struct cellar_rule *rule)
{
    size_t count = parse->waiting_count - first;
    struct cellar_rule *children = &parse->nodes->nodes[parse->nodes->count];
    CELLAR_ASSERT(count >= 1);
    *rule = parse->waiting[first];
    if (count > 1) {
        CELLAR_ASSERT(parse->nodes->count + count <= CELLAR_RULE_NODES_MAX);
        memcpy(children, &parse->waiting[first], count * sizeof *children);
        parse->nodes->count += count;
        *rule = (struct cellar_rule){.kind = kind, .children = children, .child_count = count};
    }
    parse->waiting_count = first;
}

/* Takes a level, up to its ')' or the text's end. Nodes and waiting terms have one limit together:
 * whatever waits becomes a node later, so there is always room for it. */
static enum cellar_status expression_take(struct parse *parse, uint32_t depth,
                                          struct cellar_rule *rule)
{
    size_t first = parse->waiting_count;
    enum cellar_rule_kind kind = CELLAR_RULE_NONE;
    enum cellar_rule_kind joint = CELLAR_RULE_NONE;
    if (depth > CELLAR_GC_RULE_DEPTH_MAX) {
        return refuse(parse, "fewer parentheses in each other");
    }
    do {
        struct cellar_rule term = {.kind = CELLAR_RULE_NONE};
        CELLAR_TRY(term_take(parse, depth, &term));
        if (parse->nodes->count + parse->waiting_count == CELLAR_RULE_NODES_MAX) {
            return refuse(parse, "fewer terms");
        }
        parse->waiting[parse->waiting_count++] = term;
        joint = joint_take(parse);
        if (kind != CELLAR_RULE_NONE && joint != CELLAR_RULE_NONE && joint != kind) {
            return refuse(parse, "parentheses where 'and' and 'or' meet");
        }
        kind = joint == CELLAR_RULE_NONE ? kind : joint;
    } while (joint != CELLAR_RULE_NONE);
    CELLAR_ASSERT(parse->waiting_count > first);
    level_end(parse, first, kind, rule);
    return CELLAR_OK;
}

enum cellar_status cellar_rule_expression_decode(const char *text, struct cellar_rule_nodes *nodes,
                                                 struct cellar_rule *rule,
                                                 struct cellar_error *error)
{
    struct parse parse = {.at = text, .nodes = nodes, .error = error};
    CELLAR_ASSERT(text != NULL);
    nodes->count = 0;
    CELLAR_TRY(expression_take(&parse, 1, rule));
    return *parse.at == '\0' ? CELLAR_OK : refuse(&parse, "'and' or 'or' between terms");
}
