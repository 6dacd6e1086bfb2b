/*
 * Garbage-collection rules: bytes to tree, tree to bytes, and whether a rule hides a cell.
 *
 * Decoding walks the MessagePack value once and never reads past CELLAR_GC_RULE_BYTES_MAX of it: a
 * child takes at least one byte, so a list that names more children than that is refused before its
 * memory is asked for, and the depth is counted down on the way. What comes out satisfies R-GC-10
 * to R-GC-12: only the outermost rule may be "keep everything", counts are at least 1, ages at
 * least a millisecond. Encoding and hiding may rely on that and assert it.
 *
 * A union hides what any child hides, an intersection what all children hide (R-GC-04). Everything
 * here is pure; the tree belongs to the arena that decoding was given.
 */
#include "common/gc_rule.h"

#include <inttypes.h>

#define AGE_US_MIN INT64_C(1000)

/* What all levels of one decoding share. */
struct decoding {
    struct cellar_cursor *from;
    const uint8_t *start;
    struct cellar_arena *arena;
    struct cellar_error *error;
};

static enum cellar_status decode_node(struct decoding *decoding, uint32_t depth_left,
                                      struct cellar_gc_rule *rule);

static enum cellar_status refuse_size(struct decoding *decoding, uint64_t bytes)
{
    CELLAR_ASSERT(bytes > CELLAR_GC_RULE_BYTES_MAX);
    return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                            "Error in field 'gc_rule' : a rule takes at most %u bytes, this one at "
                            "least %" PRIu64,
                            CELLAR_GC_RULE_BYTES_MAX, bytes);
}

static enum cellar_status refuse_form(struct decoding *decoding, const char *expected)
{
    CELLAR_ASSERT(decoding->from->at >= decoding->start);
    return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                            "Error in field 'gc_rule' : expected %s at byte %zu", expected,
                            (size_t)(decoding->from->at - decoding->start));
}

/* The bounds are Bigtable's, as are the texts: its users know them. */
static enum cellar_status check_amount(struct decoding *decoding, const struct cellar_gc_rule *rule)
{
    CELLAR_ASSERT(rule->kind == CELLAR_GC_VERSIONS || rule->kind == CELLAR_GC_AGE);
    if (rule->kind == CELLAR_GC_VERSIONS && rule->amount < 1) {
        return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : max_num_versions must be at least 1, "
                                "but got %" PRId64,
                                rule->amount);
    }
    if (rule->kind == CELLAR_GC_AGE && rule->amount < AGE_US_MIN) {
        return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : max_age must be at least %" PRId64
                                " microseconds, but got %" PRId64,
                                AGE_US_MIN, rule->amount);
    }
    return CELLAR_OK;
}

/* The children of a union or intersection; the cursor stands before their array. A child that is
 * "keep everything" is refused: in a union it would say nothing, in an intersection it would
 * silently switch off the rules beside it. */
static enum cellar_status decode_children(struct decoding *decoding, uint32_t depth_left,
                                          struct cellar_gc_rule *rule)
{
    CELLAR_ASSERT(depth_left > 0);
    uint32_t count = 0;
    if (!cellar_wire_get_array(decoding->from, &count)) {
        return refuse_form(decoding, "an array of rules");
    }
    if (count == 0) {
        return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : a union or an intersection needs at "
                                "least 1 rule, but got 0");
    }
    if (count > CELLAR_GC_RULE_BYTES_MAX) {
        return refuse_size(decoding, count);
    }
    struct cellar_gc_rule *children =
        cellar_arena_alloc(decoding->arena, count * sizeof(struct cellar_gc_rule));
    if (children == NULL) {
        return cellar_error_set(decoding->error, CELLAR_NO_MEMORY, "no memory for a GC rule");
    }
    for (uint32_t i = 0; i < count; i++) {
        CELLAR_TRY(decode_node(decoding, depth_left - 1, &children[i]));
        if (children[i].kind == CELLAR_GC_NONE) {
            return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                    "Error in field 'gc_rule' : rule #%" PRIu32
                                    " of a union or an intersection is empty",
                                    i);
        }
    }
    rule->children = children;
    rule->child_count = count;
    return CELLAR_OK;
}

static enum cellar_status decode_kind(struct decoding *decoding, struct cellar_gc_rule *rule)
{
    CELLAR_ASSERT(rule->kind == CELLAR_GC_NONE);
    uint32_t count = 0;
    uint64_t kind = 0;
    if (!cellar_wire_get_array(decoding->from, &count) || count != 2) {
        return refuse_form(decoding, "nil or an array of 2 elements");
    }
    if (!cellar_wire_get_u64(decoding->from, &kind)) {
        return refuse_form(decoding, "the kind, a number");
    }
    if (kind < CELLAR_GC_VERSIONS || kind > CELLAR_GC_INTERSECTION) {
        return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : the kind is 1 to 4, but got %" PRIu64,
                                kind);
    }
    rule->kind = (enum cellar_gc_kind)kind;
    return CELLAR_OK;
}

/* One rule with all below it. The size is checked behind each node rather than once at the end, so
 * that a long message is given up as soon as it is over the limit. */
static enum cellar_status decode_node(struct decoding *decoding, uint32_t depth_left,
                                      struct cellar_gc_rule *rule)
{
    CELLAR_ASSERT(depth_left <= CELLAR_GC_RULE_DEPTH_MAX);
    *rule = (struct cellar_gc_rule){.kind = CELLAR_GC_NONE};
    if (depth_left == 0) {
        return cellar_error_set(decoding->error, CELLAR_INVALID_ARGUMENT,
                                "Error in field 'gc_rule' : rules nest at most %u deep",
                                CELLAR_GC_RULE_DEPTH_MAX);
    }
    if (!cellar_wire_get_nil(decoding->from)) {
        CELLAR_TRY(decode_kind(decoding, rule));
        if (rule->kind == CELLAR_GC_UNION || rule->kind == CELLAR_GC_INTERSECTION) {
            CELLAR_TRY(decode_children(decoding, depth_left, rule));
        } else if (!cellar_wire_get_i64(decoding->from, &rule->amount)) {
            return refuse_form(decoding, "a count or an age, a number");
        } else {
            CELLAR_TRY(check_amount(decoding, rule));
        }
    }
    size_t bytes = (size_t)(decoding->from->at - decoding->start);
    return bytes > CELLAR_GC_RULE_BYTES_MAX ? refuse_size(decoding, bytes) : CELLAR_OK;
}

enum cellar_status cellar_gc_rule_decode(struct cellar_cursor *from, struct cellar_arena *arena,
                                         struct cellar_gc_rule *rule, struct cellar_error *error)
{
    CELLAR_ASSERT(from != NULL && from->at <= from->end);
    CELLAR_ASSERT(arena != NULL && rule != NULL);
    struct decoding decoding = {.from = from, .start = from->at, .arena = arena, .error = error};
    struct cellar_gc_rule decoded;
    CELLAR_TRY(decode_node(&decoding, CELLAR_GC_RULE_DEPTH_MAX, &decoded));
    *rule = decoded;
    return CELLAR_OK;
}

/* Recursion is as deep as the rule, which decoding has bounded; the assertion would find a tree
 * that a program built by hand. */
static enum cellar_status encode_node(const struct cellar_gc_rule *rule, uint32_t depth_left,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(depth_left > 0);
    if (rule->kind == CELLAR_GC_NONE) {
        return cellar_wire_put_nil(to);
    }
    CELLAR_TRY(cellar_wire_put_array(to, 2));
    CELLAR_TRY(cellar_wire_put_u64(to, (uint64_t)rule->kind));
    if (rule->kind == CELLAR_GC_VERSIONS || rule->kind == CELLAR_GC_AGE) {
        CELLAR_ASSERT(rule->amount >= 1);
        return cellar_wire_put_i64(to, rule->amount);
    }
    CELLAR_ASSERT(rule->child_count >= 1);
    CELLAR_TRY(cellar_wire_put_array(to, rule->child_count));
    for (uint32_t i = 0; i < rule->child_count; i++) {
        CELLAR_TRY(encode_node(&rule->children[i], depth_left - 1, to));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_gc_rule_encode(const struct cellar_gc_rule *rule,
                                         struct cellar_buffer *to)
{
    CELLAR_ASSERT(rule != NULL);
    CELLAR_ASSERT(to != NULL);
    size_t bytes_before = to->bytes;
    enum cellar_status status = encode_node(rule, CELLAR_GC_RULE_DEPTH_MAX, to);
    if (status != CELLAR_OK) {
        to->bytes = bytes_before;
    }
    return status;
}

static bool any_child_hides(const struct cellar_gc_rule *rule, uint64_t version_index,
                            int64_t timestamp_us, int64_t now_us)
{
    CELLAR_ASSERT(rule->kind == CELLAR_GC_UNION && rule->children != NULL);
    for (uint32_t i = 0; i < rule->child_count; i++) {
        if (cellar_gc_rule_hides(&rule->children[i], version_index, timestamp_us, now_us)) {
            return true;
        }
    }
    return false;
}

static bool all_children_hide(const struct cellar_gc_rule *rule, uint64_t version_index,
                              int64_t timestamp_us, int64_t now_us)
{
    CELLAR_ASSERT(rule->kind == CELLAR_GC_INTERSECTION && rule->children != NULL);
    for (uint32_t i = 0; i < rule->child_count; i++) {
        if (!cellar_gc_rule_hides(&rule->children[i], version_index, timestamp_us, now_us)) {
            return false;
        }
    }
    return true;
}

/* Called for each cell that a read or a checkpoint meets; version_index counts from 0 at the
 * newest, so "keep 3" hides index 3 and all behind it. */
bool cellar_gc_rule_hides(const struct cellar_gc_rule *rule, uint64_t version_index,
                          int64_t timestamp_us, int64_t now_us)
{
    CELLAR_ASSERT(rule != NULL);
    switch (rule->kind) {
    case CELLAR_GC_NONE:
        return false;
    case CELLAR_GC_VERSIONS:
        CELLAR_ASSERT(rule->amount >= 1);
        return version_index >= (uint64_t)rule->amount;
    case CELLAR_GC_AGE:
        /* Unsigned, so that no pair of times overflows the difference. */
        return now_us > timestamp_us &&
               (uint64_t)now_us - (uint64_t)timestamp_us > (uint64_t)rule->amount;
    case CELLAR_GC_UNION:
        CELLAR_ASSERT(rule->child_count >= 1);
        return any_child_hides(rule, version_index, timestamp_us, now_us);
    case CELLAR_GC_INTERSECTION:
        CELLAR_ASSERT(rule->child_count >= 1);
        return all_children_hide(rule, version_index, timestamp_us, now_us);
    }
    return false;
}
