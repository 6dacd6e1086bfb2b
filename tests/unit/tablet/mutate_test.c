/*
 * mutate: what a list is refused for, the server's time, and records that do the same to a row as
 * their list does, item by item.
 */
#include <stdlib.h>

#include "server/tablet/mutate.h"
#include "tests/support/support.h"

#define LIST_ERROR "Error in field 'Mutation list' : Error in element #"
#define MISMATCH                                                                                   \
    "Timestamp granularity mismatch. Expected a multiple of 1000 (millisecond granularity), but "  \
    "got "

#define FAMILY_COUNT 2
#define QUALIFIER_COUNT 3
#define TIME_COUNT 6
#define LIST_COUNT_MAX 12
#define ROUND_COUNT 20000
#define SERVER_SLOT 3

static const char *const family_names[FAMILY_COUNT] = {"f", "g"};
static const char *const qualifiers[QUALIFIER_COUNT] = {"", "q", "qq"};

static struct tablet_schema schema_of(enum cellar_granularity granularity)
{
    static struct tablet_family families[FAMILY_COUNT];
    struct tablet_schema schema = {
        .version = 9, .granularity = granularity, .families = families, .family_count = 2};
    families[0] = (struct tablet_family){.name = cellar_slice_text("g"), .generation = 8};
    families[1] = (struct tablet_family){.name = cellar_slice_text("f"), .generation = 7};
    tablet_schema_finish(&schema, families);
    return schema;
}

static struct cellar_mutation set_of(const char *family, const char *qualifier, int64_t time_us,
                                     const char *value)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                    .family = cellar_slice_text(family),
                                    .qualifier = cellar_slice_text(qualifier),
                                    .timestamp_us = time_us,
                                    .value = cellar_slice_text(value)};
}

static struct cellar_mutation delete_column_of(const char *family, const char *qualifier,
                                               int64_t start_us, int64_t end_us)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_COLUMN,
                                    .family = cellar_slice_text(family),
                                    .qualifier = cellar_slice_text(qualifier),
                                    .start_us = start_us,
                                    .end_us = end_us};
}

static struct cellar_mutation delete_family_of(const char *family)
{
    return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_FAMILY,
                                    .family = cellar_slice_text(family)};
}

static void list_put(struct cellar_buffer *to, const struct cellar_mutation *mutations,
                     size_t count)
{
    cellar_buffer_clear(to);
    assert_int_equal(cellar_wire_put_array(to, (uint32_t)count), CELLAR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cellar_mutation_encode(to, &mutations[i]), CELLAR_OK);
    }
}

/* ---- checking -------------------------------------------------------------------------------- */

/* The status of checking a list. */
static enum cellar_status check(enum cellar_granularity granularity,
                                const struct cellar_mutation *mutations, size_t count,
                                struct cellar_error *error)
{
    struct tablet_schema schema = schema_of(granularity);
    struct cellar_buffer list = {0};
    struct cellar_arena arena = {0};
    struct tablet_items items;
    list_put(&list, mutations, count);
    cellar_error_clear(error);
    enum cellar_status status =
        tablet_items_check(&schema, cellar_slice_of(&list), &arena, &items, error);
    cellar_arena_fini(&arena);
    cellar_buffer_fini(&list);
    return status;
}

static void milliseconds_want_multiples_of_1000(void **state)
{
    (void)state;
    const struct {
        struct cellar_mutation mutation;
        const char *text;
    } cases[] = {
        {set_of("f", "q", 1, "v"), LIST_ERROR "1 : " MISMATCH "1"},
        {set_of("f", "q", 1999, "v"), LIST_ERROR "1 : " MISMATCH "1999"},
        {set_of("f", "q", INT64_MAX, "v"), LIST_ERROR "1 : " MISMATCH "9223372036854775807"},
        {set_of("absent", "q", 7, "v"), LIST_ERROR "1 : " MISMATCH "7"},
        {delete_column_of("f", "q", 1001, 0), LIST_ERROR "1 : " MISMATCH "1001"},
        {delete_column_of("f", "q", 1000, 1001), LIST_ERROR "1 : " MISMATCH "1001"},
    };
    struct cellar_error error;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        const struct cellar_mutation list[] = {set_of("f", "q", 1000, "v"), cases[i].mutation};
        assert_int_equal(check(CELLAR_GRANULARITY_MILLIS, list, 2, &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_int_equal(error.code, CELLAR_INVALID_ARGUMENT);
        assert_string_equal(error.text, cases[i].text);
        assert_int_equal(check(CELLAR_GRANULARITY_MICROS, list, 2, &error), CELLAR_OK);
    }
}

static void milliseconds_take_every_multiple_of_1000(void **state)
{
    (void)state;
    const struct cellar_mutation list[] = {
        set_of("f", "q", 0, "v"),
        set_of("f", "q", CELLAR_TIMESTAMP_MILLIS_MAX, "v"),
        set_of("f", "q", CELLAR_TIMESTAMP_SERVER, "v"),
        delete_column_of("f", "q", 0, 0),
        delete_column_of("f", "q", 1000, CELLAR_TIMESTAMP_MILLIS_MAX),
    };
    struct cellar_error error;
    assert_int_equal(check(CELLAR_GRANULARITY_MILLIS, list, CELLAR_ARRAY_COUNT(list), &error),
                     CELLAR_OK);
}

static void the_first_bad_mutation_is_named(void **state)
{
    (void)state;
    const struct cellar_mutation list[] = {set_of("f", "q", 0, "v"), set_of("f", "q", -2, "v"),
                                           set_of("f", "q", 5, "v")};
    struct cellar_error error;
    assert_int_equal(check(CELLAR_GRANULARITY_MILLIS, list, 3, &error), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, LIST_ERROR "1 : Timestamps must be >= -1, but got -2");
    assert_int_equal(check(CELLAR_GRANULARITY_MILLIS, list, 0, &error), CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "No mutations provided");
}

static void the_first_unknown_family_is_noted_and_told_later(void **state)
{
    (void)state;
    struct tablet_schema schema = schema_of(CELLAR_GRANULARITY_MILLIS);
    const struct cellar_mutation mutations[] = {set_of("f", "q", 0, "v"), delete_family_of("fg"),
                                                set_of("e", "q", 0, "v")};
    struct cellar_buffer list = {0};
    struct cellar_arena arena = {0};
    struct tablet_items items;
    struct cellar_error error;
    list_put(&list, mutations, 3);
    assert_int_equal(tablet_items_check(&schema, cellar_slice_of(&list), &arena, &items, &error),
                     CELLAR_OK);
    assert_int_equal(items.count, 3);
    assert_int_equal(items.family_status, CELLAR_NOT_FOUND);
    assert_int_equal(items.family_index, 1);
    assert_int_equal(tablet_items_family_error(&items, &error), CELLAR_NOT_FOUND);
    assert_string_equal(error.text, LIST_ERROR "1 : Requested column family not found");
    list_put(&list, mutations, 1);
    assert_int_equal(tablet_items_check(&schema, cellar_slice_of(&list), &arena, &items, &error),
                     CELLAR_OK);
    assert_int_equal(tablet_items_family_error(&items, &error), CELLAR_OK);
    cellar_arena_fini(&arena);
    cellar_buffer_fini(&list);
}

/* ---- records --------------------------------------------------------------------------------- */

/* Checks and encodes a list for the row "row" at server time 3,999 us. */
static enum cellar_status record_make(enum cellar_granularity granularity,
                                      const struct cellar_buffer *list,
                                      struct cellar_buffer *record, struct cellar_error *error)
{
    struct tablet_schema schema = schema_of(granularity);
    struct cellar_arena arena = {0};
    struct tablet_items items;
    const struct tablet_record_facts facts = {.row = cellar_slice_text("row"),
                                              .server_time_us = SERVER_SLOT * 1000 + 999};
    enum cellar_status status =
        tablet_items_check(&schema, cellar_slice_of(list), &arena, &items, error);
    if (status == CELLAR_OK) {
        status = tablet_items_settle(&schema, &items, facts.server_time_us, error);
    }
    if (status == CELLAR_OK) {
        status = tablet_items_encode(&schema, &items, &facts, record);
    }
    cellar_arena_fini(&arena);
    return status;
}

/* The time that a record has for one set at `time_us`. */
static int64_t time_filled(enum cellar_granularity granularity, int64_t time_us,
                           int64_t *server_time_us)
{
    const struct cellar_mutation set = set_of("f", "q", time_us, "v");
    struct cellar_buffer list = {0};
    struct cellar_buffer record = {0};
    struct store_mutation head;
    struct store_item item;
    list_put(&list, &set, 1);
    assert_int_equal(record_make(granularity, &list, &record, NULL), CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&record));
    assert_true(store_mutation_decode(&from, &head));
    assert_true(store_item_decode(&from, &item));
    assert_int_equal(head.item_count, 1);
    assert_int_equal(head.schema_version, 9);
    assert_true(cellar_slice_equal(head.row, cellar_slice_text("row")));
    assert_int_equal(item.generation, 7);
    *server_time_us = head.server_time_us;
    cellar_buffer_fini(&record);
    cellar_buffer_fini(&list);
    return item.start_us;
}

static void server_time_is_filled_in_and_floored(void **state)
{
    (void)state;
    const int64_t floored = SERVER_SLOT * 1000;
    int64_t server_us = -1;
    assert_int_equal(time_filled(CELLAR_GRANULARITY_MILLIS, -1, &server_us), floored);
    assert_int_equal(server_us, floored);
    assert_int_equal(time_filled(CELLAR_GRANULARITY_MICROS, -1, &server_us), floored + 999);
    assert_int_equal(server_us, floored + 999);
    assert_int_equal(time_filled(CELLAR_GRANULARITY_MILLIS, 2000, &server_us), 2000);
    assert_int_equal(server_us, 0);
}

static void minus_one_and_nil_both_mean_the_server(void **state)
{
    (void)state;
    struct cellar_buffer list = {0};
    struct cellar_buffer records[2] = {{0}, {0}};
    static const uint8_t nil[] = {0x91, 0x95, 0x00, 0xA1, 'f',  0xC4,
                                  0x01, 'q',  0xC0, 0xC4, 0x01, 'v'};
    static const uint8_t minus_one[] = {0x91, 0x95, 0x00, 0xA1, 'f',  0xC4,
                                        0x01, 'q',  0xFF, 0xC4, 0x01, 'v'};
    assert_int_equal(cellar_buffer_append(&list, nil, sizeof nil), CELLAR_OK);
    assert_int_equal(record_make(CELLAR_GRANULARITY_MILLIS, &list, &records[0], NULL), CELLAR_OK);
    cellar_buffer_clear(&list);
    assert_int_equal(cellar_buffer_append(&list, minus_one, sizeof minus_one), CELLAR_OK);
    assert_int_equal(record_make(CELLAR_GRANULARITY_MILLIS, &list, &records[1], NULL), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&records[0]), cellar_slice_of(&records[1])));
    cellar_buffer_fini(&records[0]);
    cellar_buffer_fini(&records[1]);
    cellar_buffer_fini(&list);
}

static void a_record_is_as_long_as_its_items(void **state)
{
    (void)state;
    const struct cellar_mutation sets[] = {set_of("f", "q", 1000, "value"),
                                           set_of("g", "", 1000, "v")};
    /* Head and row, then two items. */
    const uint64_t bytes = 24 + 3 + (32 + 1 + 1 + 5) + (32 + 1 + 0 + 1);
    struct cellar_buffer list = {0};
    struct cellar_buffer record = {0};
    struct cellar_error error;
    list_put(&list, sets, 2);
    assert_int_equal(record_make(CELLAR_GRANULARITY_MILLIS, &list, &record, &error), CELLAR_OK);
    assert_int_equal(record.bytes, bytes);
    cellar_buffer_fini(&record);
    cellar_buffer_fini(&list);
}

static void what_is_cancelled_is_not_in_the_record(void **state)
{
    (void)state;
    const struct cellar_mutation mutations[] = {set_of("f", "q", 1000, "value"),
                                                set_of("f", "q", 1000, "v"),
                                                delete_column_of("f", "q", 0, 0),
                                                {.kind = CELLAR_MUTATION_DELETE_ROW}};
    struct cellar_buffer list = {0};
    struct cellar_buffer record = {0};
    list_put(&list, mutations, 4);
    assert_int_equal(record_make(CELLAR_GRANULARITY_MILLIS, &list, &record, NULL), CELLAR_OK);
    assert_int_equal(record.bytes, 24 + 3 + 32);
    cellar_buffer_fini(&record);
    cellar_buffer_fini(&list);
}

/* ---- normalising against a plain model ------------------------------------------------------- */

/* A row: the value's byte of every cell there can be, 0 where there is none. */
struct row {
    uint8_t cells[FAMILY_COUNT][QUALIFIER_COUNT][TIME_COUNT];
};

static size_t text_index(const char *const *texts, size_t count, struct cellar_slice text)
{
    for (size_t i = 0; i < count; i++) {
        if (cellar_slice_equal(cellar_slice_text(texts[i]), text)) {
            return i;
        }
    }
    fail_msg("a name that was never given");
    return 0;
}

static void row_delete_column(struct row *row, size_t family, size_t qualifier, int64_t start_us,
                              int64_t end_us)
{
    for (size_t i = 0; i < TIME_COUNT; i++) {
        int64_t time_us = (int64_t)i * 1000;
        if (time_us >= start_us && (end_us == 0 || time_us < end_us)) {
            row->cells[family][qualifier][i] = 0;
        }
    }
}

static void row_apply_mutation(struct row *row, const struct cellar_mutation *mutation)
{
    if (mutation->kind == CELLAR_MUTATION_DELETE_ROW) {
        memset(row, 0, sizeof *row);
        return;
    }
    size_t family = text_index(family_names, FAMILY_COUNT, mutation->family);
    if (mutation->kind == CELLAR_MUTATION_DELETE_FAMILY) {
        memset(row->cells[family], 0, sizeof row->cells[family]);
        return;
    }
    size_t qualifier = text_index(qualifiers, QUALIFIER_COUNT, mutation->qualifier);
    if (mutation->kind == CELLAR_MUTATION_DELETE_COLUMN) {
        row_delete_column(row, family, qualifier, mutation->start_us, mutation->end_us);
        return;
    }
    int64_t slot = mutation->timestamp_us == CELLAR_TIMESTAMP_SERVER
                       ? SERVER_SLOT
                       : mutation->timestamp_us / 1000;
    row->cells[family][qualifier][slot] = mutation->value.data[0];
}

static void row_apply_item(struct row *row, const struct store_item *item)
{
    if (item->type == STORE_ITEM_DELETE_ROW) {
        memset(row, 0, sizeof *row);
        return;
    }
    size_t family = text_index(family_names, FAMILY_COUNT, item->family);
    assert_int_equal(item->generation, 7 + family);
    if (item->type == STORE_ITEM_DELETE_FAMILY) {
        memset(row->cells[family], 0, sizeof row->cells[family]);
        return;
    }
    size_t qualifier = text_index(qualifiers, QUALIFIER_COUNT, item->qualifier);
    if (item->type == STORE_ITEM_DELETE_COLUMN) {
        row_delete_column(row, family, qualifier, item->start_us, item->end_us);
        return;
    }
    assert_int_equal(item->type, STORE_ITEM_SET);
    assert_true(item->start_us % 1000 == 0 && item->start_us / 1000 < TIME_COUNT);
    row->cells[family][qualifier][item->start_us / 1000] = item->value.data[0];
}

/* Whether two sets stand in cell order, and are not of the same cell. */
static bool sets_are_in_order(const struct store_item *a, const struct store_item *b)
{
    int order = cellar_slice_compare(a->family, b->family);
    order = order != 0 ? order : cellar_slice_compare(a->qualifier, b->qualifier);
    return order < 0 || (order == 0 && a->start_us > b->start_us);
}

/* Applies a record as it stands, tombstones first; returns its item count. */
static uint32_t row_apply_record(struct row *row, const struct cellar_buffer *record)
{
    struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(record));
    struct store_mutation head;
    struct store_item item;
    struct store_item before = {.type = STORE_ITEM_DELETE_ROW};
    assert_true(store_mutation_decode(&from, &head));
    for (uint32_t i = 0; i < head.item_count; i++) {
        assert_true(store_item_decode(&from, &item));
        if (before.type == STORE_ITEM_SET) {
            assert_int_equal(item.type, STORE_ITEM_SET);
            assert_true(sets_are_in_order(&before, &item));
        }
        row_apply_item(row, &item);
        before = item;
    }
    assert_int_equal(cellar_cursor_left(&from), 0);
    return head.item_count;
}

static struct cellar_mutation random_mutation(struct test_random *random, char *value)
{
    const char *family = family_names[test_random_below(random, FAMILY_COUNT)];
    const char *qualifier = qualifiers[test_random_below(random, QUALIFIER_COUNT)];
    uint64_t dice = test_random_below(random, 20);
    if (dice == 0) {
        return (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW};
    }
    if (dice <= 2) {
        return delete_family_of(family);
    }
    if (dice <= 8) {
        int64_t start = (int64_t)test_random_below(random, TIME_COUNT);
        int64_t length = (int64_t)test_random_below(random, 3);
        return delete_column_of(family, qualifier, start * 1000,
                                length == 0 ? 0 : (start + length) * 1000);
    }
    int64_t slot = (int64_t)test_random_below(random, TIME_COUNT + 1) - 1;
    return set_of(family, qualifier, slot < 0 ? CELLAR_TIMESTAMP_SERVER : slot * 1000, value);
}

static void records_do_to_a_row_what_their_lists_do(void **state)
{
    (void)state;
    struct test_random random = {test_seed("mutate")};
    struct cellar_buffer list = {0};
    struct cellar_buffer record = {0};
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct cellar_mutation mutations[LIST_COUNT_MAX];
        char values[LIST_COUNT_MAX][2];
        struct row by_list;
        size_t count = 1 + (size_t)test_random_below(&random, LIST_COUNT_MAX);
        memset(&by_list, test_random_below(&random, 3) == 0 ? 0 : 'x', sizeof by_list);
        struct row by_record = by_list;
        for (size_t i = 0; i < count; i++) {
            values[i][0] = (char)('A' + i);
            values[i][1] = '\0';
            mutations[i] = random_mutation(&random, values[i]);
            row_apply_mutation(&by_list, &mutations[i]);
        }
        list_put(&list, mutations, count);
        cellar_buffer_clear(&record);
        assert_int_equal(record_make(CELLAR_GRANULARITY_MILLIS, &list, &record, NULL), CELLAR_OK);
        uint32_t item_count = row_apply_record(&by_record, &record);
        assert_in_range(item_count, 1, count);
        assert_memory_equal(&by_record, &by_list, sizeof by_list);
    }
    cellar_buffer_fini(&record);
    cellar_buffer_fini(&list);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum cellar_status record_run(void *context)
{
    struct cellar_buffer record = {0};
    enum cellar_status status = record_make(CELLAR_GRANULARITY_MILLIS, context, &record, NULL);
    cellar_buffer_fini(&record);
    return status;
}

static void out_of_memory_is_told(void **state)
{
    (void)state;
    static char value[10000];
    memset(value, 'v', sizeof value - 1);
    const struct cellar_mutation mutations[] = {set_of("f", "q", 0, value),
                                                delete_column_of("f", "q", 1000, 0)};
    struct cellar_buffer list = {0};
    list_put(&list, mutations, 2);
    /* The items, the sort, the record and its growth. */
    assert_int_equal(test_out_of_memory_loop(record_run, &list), 5);
    cellar_buffer_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(milliseconds_want_multiples_of_1000),
        cmocka_unit_test(milliseconds_take_every_multiple_of_1000),
        cmocka_unit_test(the_first_bad_mutation_is_named),
        cmocka_unit_test(the_first_unknown_family_is_noted_and_told_later),
        cmocka_unit_test(server_time_is_filled_in_and_floored),
        cmocka_unit_test(minus_one_and_nil_both_mean_the_server),
        cmocka_unit_test(a_record_is_as_long_as_its_items),
        cmocka_unit_test(what_is_cancelled_is_not_in_the_record),
        cmocka_unit_test(records_do_to_a_row_what_their_lists_do),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
