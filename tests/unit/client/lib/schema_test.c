/*
 * schema: families, rules and split keys are encoded as the server's decoders read them; rules that
 * cannot be encoded and limits are refused and stay in the builder.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/lib/schema.h"
#include "common/cell.h"
#include "common/gc_rule.h"

#define TEXT(text) cellar_text(text)

/* Encodes a schema with one family `f` and decodes its rule. */
static enum cellar_status rule_round(const struct cellar_rule *rule, struct cellar_arena *arena,
                                     struct cellar_gc_rule *decoded)
{
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_msg_create_table_request message = {0};
    struct cellar_buffer families = {0};
    struct cellar_buffer splits = {0};
    struct cellar_error error;
    uint32_t count = 0;
    struct cellar_slice name;
    cellar_schema_family(schema, "f", rule);
    enum cellar_status status = cellar_schema_error(schema, &error);
    if (status == CELLAR_OK) {
        assert_int_equal(cellar_schema_fill(schema, &message, &families, &splits), CELLAR_OK);
        struct cellar_cursor from = cellar_cursor_make(message.families);
        assert_true(cellar_wire_get_array(&from, &count) && count == 1);
        assert_true(cellar_wire_get_array(&from, &count) && count == 2);
        assert_true(cellar_wire_get_text(&from, &name));
        assert_true(cellar_slice_equal(name, cellar_slice_text("f")));
        status = cellar_gc_rule_decode(&from, arena, decoded, &error);
        assert_int_equal(message.split_keys.bytes, 0);
        assert_int_equal(message.granularity, CELLAR_GRANULARITY_MILLIS);
    }
    cellar_buffer_fini(&families);
    cellar_buffer_fini(&splits);
    cellar_schema_free(schema);
    return status;
}

static void rules_are_what_the_server_reads(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    struct cellar_gc_rule decoded;
    const struct cellar_rule leaves[] = {{.kind = CELLAR_RULE_VERSIONS, .amount = 3},
                                         {.kind = CELLAR_RULE_AGE, .amount = 7000}};
    const struct cellar_rule both = {
        .kind = CELLAR_RULE_INTERSECTION, .children = leaves, .child_count = 2};
    const struct cellar_rule either[] = {both, leaves[0]};
    const struct cellar_rule top = {
        .kind = CELLAR_RULE_UNION, .children = either, .child_count = 2};
    assert_int_equal(rule_round(NULL, &arena, &decoded), CELLAR_OK);
    assert_int_equal(decoded.kind, CELLAR_GC_NONE);
    assert_int_equal(rule_round(&leaves[0], &arena, &decoded), CELLAR_OK);
    assert_int_equal(decoded.kind, CELLAR_GC_VERSIONS);
    assert_int_equal(decoded.amount, 3);
    assert_int_equal(rule_round(&top, &arena, &decoded), CELLAR_OK);
    assert_int_equal(decoded.kind, CELLAR_GC_UNION);
    assert_int_equal(decoded.child_count, 2);
    assert_int_equal(decoded.children[0].kind, CELLAR_GC_INTERSECTION);
    assert_int_equal(decoded.children[0].children[1].amount, 7000);
    cellar_arena_fini(&arena);
}

static void rules_that_cannot_be_sent_are_refused(void **state)
{
    (void)state;
    struct cellar_arena arena = {0};
    struct cellar_gc_rule decoded;
    struct cellar_rule chain[30];
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(chain); index++) {
        chain[index] = (struct cellar_rule){
            .kind = CELLAR_RULE_UNION, .children = &chain[index + 1], .child_count = 1};
    }
    chain[29] = (struct cellar_rule){.kind = CELLAR_RULE_VERSIONS, .amount = 1};
    const struct cellar_rule bad[] = {
        chain[0],
        {.kind = (enum cellar_rule_kind)9},
        {.kind = CELLAR_RULE_UNION, .children = NULL, .child_count = 2},
        {.kind = CELLAR_RULE_UNION, .children = chain, .child_count = 100000},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bad); index++) {
        assert_int_equal(rule_round(&bad[index], &arena, &decoded), CELLAR_INVALID_ARGUMENT);
    }
    cellar_arena_fini(&arena);
}

static void splits_and_granularity_are_sent(void **state)
{
    (void)state;
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_msg_create_table_request message = {0};
    struct cellar_buffer families = {0};
    struct cellar_buffer splits = {0};
    cellar_schema_split(schema, TEXT("m"));
    cellar_schema_split(schema, cellar_view_of("\0", 1));
    cellar_schema_granularity(schema, CELLAR_TABLE_MICROS);
    assert_int_equal(cellar_schema_fill(schema, &message, &families, &splits), CELLAR_OK);
    assert_true(cellar_slice_equal(message.families, cellar_slice_make("\x90", 1)));
    assert_true(
        cellar_slice_equal(message.split_keys, cellar_slice_make("\x92\xc4\x01m\xc4\x01\0", 7)));
    assert_int_equal(message.granularity, 2);
    cellar_buffer_fini(&families);
    cellar_buffer_fini(&splits);
    cellar_schema_free(schema);
}

static void limits_are_refused_and_the_first_failure_stays(void **state)
{
    (void)state;
    struct cellar_error error;
    uint8_t key[CELLAR_ROW_BYTES_MAX + 1] = {0};
    struct cellar_schema *schema = cellar_schema_new();
    cellar_schema_split(schema, cellar_view_of(key, sizeof key));
    assert_int_equal(cellar_schema_error(schema, &error), CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 4096 bytes, but got 4097"));
    cellar_schema_family(schema, "f", NULL);
    assert_int_equal(schema->family_count, 0);
    cellar_schema_free(schema);
    schema = cellar_schema_new();
    for (int count = 0; count <= 10000; count++) {
        cellar_schema_family(schema, "f", NULL);
    }
    assert_int_equal(cellar_schema_error(schema, &error), CELLAR_INVALID_ARGUMENT);
    cellar_schema_free(schema);
    assert_int_equal(cellar_schema_error(NULL, &error), CELLAR_NO_MEMORY);
    cellar_schema_family(NULL, "f", NULL);
    cellar_schema_split(NULL, TEXT("m"));
    cellar_schema_granularity(NULL, CELLAR_TABLE_MILLIS);
    cellar_schema_free(NULL);
}

static void changes_are_what_the_server_reads(void **state)
{
    (void)state;
    static const char expected[] =
        "\x93\x93\x00\xa1g\x92\x01\x05\x93\x01\xa1h\xc0\x93\x02\xa1i\xc0";
    const struct cellar_rule five = {.kind = CELLAR_RULE_VERSIONS, .amount = 5};
    const struct cellar_family_change changes[] = {{CELLAR_FAMILY_CREATE, "g", &five},
                                                   {CELLAR_FAMILY_UPDATE, "h", NULL},
                                                   {CELLAR_FAMILY_DROP, "i", NULL}};
    struct cellar_buffer encoded = {0};
    assert_int_equal(cellar_family_changes_put(&encoded, changes, 3, NULL), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&encoded),
                                   cellar_slice_make(expected, sizeof expected - 1)));
    cellar_buffer_clear(&encoded);
    assert_int_equal(cellar_family_changes_put(&encoded, NULL, 0, NULL), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&encoded), cellar_slice_text("\x90")));
    cellar_buffer_fini(&encoded);
}

static void changes_that_cannot_be_sent_are_refused(void **state)
{
    (void)state;
    const struct cellar_rule bad = {.kind = CELLAR_RULE_UNION, .child_count = 2};
    const struct cellar_family_change changes[] = {{CELLAR_FAMILY_UPDATE, "h", NULL},
                                                   {CELLAR_FAMILY_CREATE, "g", &bad}};
    struct cellar_buffer encoded = {0};
    struct cellar_error error;
    assert_int_equal(cellar_family_changes_put(&encoded, changes, 2, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "The rule of family 'g'"));
    cellar_buffer_clear(&encoded);
    assert_int_equal(cellar_family_changes_put(&encoded, changes, 10001, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 10000 changes of families, but got 10001"));
    cellar_buffer_fini(&encoded);
}

static enum cellar_status build_changes(void *context)
{
    const struct cellar_family_change change = {CELLAR_FAMILY_DROP, "f", NULL};
    struct cellar_buffer encoded = {0};
    struct cellar_error error;
    (void)context;
    enum cellar_status status = cellar_family_changes_put(&encoded, &change, 1, &error);
    cellar_buffer_fini(&encoded);
    return status;
}

static enum cellar_status build(void *context)
{
    struct cellar_error error;
    struct cellar_msg_create_table_request message = {0};
    struct cellar_buffer families = {0};
    struct cellar_buffer splits = {0};
    (void)context;
    struct cellar_schema *schema = cellar_schema_new();
    cellar_schema_family(schema, "f", NULL);
    cellar_schema_split(schema, TEXT("m"));
    enum cellar_status status = cellar_schema_error(schema, &error);
    if (status == CELLAR_OK) {
        status = cellar_schema_fill(schema, &message, &families, &splits);
    }
    cellar_buffer_fini(&families);
    cellar_buffer_fini(&splits);
    cellar_schema_free(schema);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(build, NULL) >= 5);
    assert_true(test_out_of_memory_loop(build_changes, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_what_the_server_reads),
        cmocka_unit_test(rules_that_cannot_be_sent_are_refused),
        cmocka_unit_test(splits_and_granularity_are_sent),
        cmocka_unit_test(limits_are_refused_and_the_first_failure_stays),
        cmocka_unit_test(changes_are_what_the_server_reads),
        cmocka_unit_test(changes_that_cannot_be_sent_are_refused),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
