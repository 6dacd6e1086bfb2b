/*
 * load_rows: what a load takes and in what order it takes it, what it refuses with which words, and
 * that it is refused whole.
 */
#include <stdio.h>

#include "server/tablet/load_rows.h"
#include "tests/support/load_wire.h"

/* Families a (generation 1) and b (generation 7). */
static const struct tablet_schema *schema_make(enum cellar_granularity granularity)
{
    static struct tablet_family families[2];
    static struct tablet_schema schema;
    families[0] = (struct tablet_family){.name = cellar_slice_text("a"), .generation = 1};
    families[1] = (struct tablet_family){.name = cellar_slice_text("b"), .generation = 7};
    schema = (struct tablet_schema){
        .version = 7, .granularity = granularity, .families = families, .family_count = 2};
    tablet_schema_finish(&schema, families);
    return &schema;
}

struct taken {
    struct cellar_buffer wire;
    struct cellar_arena arena;
    struct tablet_load_rows rows;
    struct cellar_error error;
};

static enum cellar_status decode(struct taken *taken, const struct tablet_load_bounds *bounds)
{
    cellar_error_clear(&taken->error);
    return tablet_load_rows_decode(schema_make(CELLAR_GRANULARITY_MILLIS), bounds,
                                   cellar_slice_of(&taken->wire), &taken->arena, &taken->rows,
                                   &taken->error);
}

static void taken_end(struct taken *taken)
{
    cellar_buffer_fini(&taken->wire);
    cellar_arena_fini(&taken->arena);
    memset(taken, 0, sizeof *taken);
}

/* What some of the rows give to storage, as text. */
static const char *given(struct taken *taken, size_t first, size_t count)
{
    static char text[256];
    struct tablet_load_source source;
    struct cellar_slice key;
    struct store_cell cell;
    size_t bytes = 0;
    tablet_load_source_init(&source, &taken->rows, first, count);
    while (source.base.row_next(&source.base, &key)) {
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%.*s ", (int)key.bytes,
                                  (const char *)key.data);
        while (source.base.cell_next(&source.base, &cell)) {
            assert_false(cell.is_blob);
            bytes += (size_t)snprintf(
                text + bytes, sizeof text - bytes, "%.*s%u=%.*s ", (int)cell.cell.family.bytes,
                (const char *)cell.cell.family.data, cell.generation, (int)cell.cell.value.bytes,
                (const char *)cell.cell.value.data);
        }
        assert_true(bytes < sizeof text);
    }
    assert_false(source.base.row_next(&source.base, &key));
    return text;
}

static void rows_become_cells_with_the_generations_of_their_families(void **state)
{
    (void)state;
    struct taken taken = {0};
    const struct tablet_load_bounds bounds = {.start = cellar_slice_text("k")};
    const struct cellar_cell cells[] = {
        test_load_cell("a", "q", 2000, "new"), test_load_cell("a", "q", 1000, "old"),
        test_load_cell("a", "r", 9000, ""), test_load_cell("b", "", 0, "x")};
    assert_int_equal(cellar_wire_put_array(&taken.wire, 2), CELLAR_OK);
    test_load_row_put(&taken.wire, cellar_slice_text("k"), cells, 4);
    test_load_row_put(&taken.wire, cellar_slice_text("k2"), cells, 1);
    assert_int_equal(decode(&taken, &bounds), CELLAR_OK);
    assert_int_equal(taken.rows.row_count, 2);
    assert_int_equal(taken.rows.cell_count, 5);
    assert_int_equal(taken.rows.byte_count, 1 + 2 + 4 + 3 + 3 + 1 + 3);
    assert_int_equal(taken.rows.value_bytes_max, 3);
    assert_string_equal(given(&taken, 0, 2), "k a1=new a1=old a1= b7=x k2 a1=new ");
    assert_string_equal(given(&taken, 1, 1), "k2 a1=new ");
    taken_end(&taken);
}

/* One row; the cells are given one by one. */
struct refusal {
    const char *key;
    struct cellar_cell cells[2];
    size_t cell_count;
    enum cellar_status status;
    const char *text;
};

static void what_storage_could_not_take_is_refused_by_name(void **state)
{
    (void)state;
    static uint8_t large[CELLAR_VALUE_BYTES_MAX + 1];
    static char long_name[65];
    memset(long_name, 'n', 64);
    struct cellar_cell large_cell = test_load_cell("a", "q", 0, "");
    large_cell.value = cellar_slice_make(large, sizeof large);
    const struct refusal refusals[] = {
        {"", {test_load_cell("a", "", 0, "")}, 1, CELLAR_INVALID_ARGUMENT, "non-empty"},
        {"j", {test_load_cell("a", "", 0, "")}, 1, CELLAR_INVALID_ARGUMENT, "keys must rise"},
        {"i", {test_load_cell("a", "", 0, "")}, 1, CELLAR_INVALID_ARGUMENT, "keys must rise"},
        {"p", {test_load_cell("a", "", 0, "")}, 1, CELLAR_INVALID_ARGUMENT, "outside"},
        {"q", {test_load_cell("a", "", 0, "")}, 1, CELLAR_INVALID_ARGUMENT, "outside"},
        {"k", {test_load_cell("a", "", 0, "")}, 0, CELLAR_INVALID_ARGUMENT, "one at least"},
        {"k", {test_load_cell("c", "", 0, "")}, 1, CELLAR_NOT_FOUND, "family not found"},
        {"k", {test_load_cell(long_name, "", 0, "")}, 1, CELLAR_NOT_FOUND, "family not found"},
        {"k", {test_load_cell("a", "", 1500, "")}, 1, CELLAR_INVALID_ARGUMENT, "granularity"},
        {"k", {large_cell}, 1, CELLAR_INVALID_ARGUMENT, "more than 100 MiB"},
        {"k",
         {test_load_cell("a", "q", 0, "1"), test_load_cell("a", "q", 0, "2")},
         2,
         CELLAR_INVALID_ARGUMENT,
         "(k) : a cell comes twice"},
        {"k",
         {test_load_cell("a", "q", 0, ""), test_load_cell("a", "q", 1000, "")},
         2,
         CELLAR_INVALID_ARGUMENT,
         "in order of family"},
        {"k",
         {test_load_cell("a", "r", 0, ""), test_load_cell("a", "q", 0, "")},
         2,
         CELLAR_INVALID_ARGUMENT,
         "in order of family"},
        {"k",
         {test_load_cell("b", "", 0, ""), test_load_cell("a", "", 0, "")},
         2,
         CELLAR_INVALID_ARGUMENT,
         "in order of family"},
    };
    const struct tablet_load_bounds bounds = {cellar_slice_text("a"), cellar_slice_text("p"),
                                              cellar_slice_text("j")};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refusals); i++) {
        struct taken taken = {0};
        const struct refusal *refusal = &refusals[i];
        assert_int_equal(cellar_wire_put_array(&taken.wire, 1), CELLAR_OK);
        test_load_row_put(&taken.wire, cellar_slice_text(refusal->key), refusal->cells,
                          refusal->cell_count);
        assert_int_equal(decode(&taken, &bounds), refusal->status);
        assert_non_null(strstr(taken.error.text, refusal->text));
        taken_end(&taken);
    }
}

/* Bytes that no client of ours would send. */
static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *text;
    } cases[] = {
        {"", 0, "must be an array"},
        {"\xC0", 1, "must be an array"},
        {"\x90", 1, "must be an array"},
        {"\x91\x91\xC4\x01k", 5, "must be [key, cells]"},
        {"\x91\x92\xC4\x01k\xC0", 6, "packed cells"},
        {"\x91\x92\xC4\x01k\x93\xA1"
         "a\xC4\x00\x00",
         11, "packed cells"},
        {"\x91\x92\xC4\x01k\x94\xA1"
         "a\xC4\x00\xFF\xC4\x00",
         13, "timestamp >= 0"},
        {"\x91\x92\xC4\x01k\x94\xC0\xC0\x00\xC4\x00", 11, "a cell must be"},
        /* A family's generation, and a blob's reference: forms of segments only. */
        {"\x91\x92\xC4\x01k\x94\xC4\x06"
         "a\0\0\0\0\x07\xC4\x00\x00\xC4\x00",
         19, "a family is a name"},
        {"\x91\x92\xC4\x01k\x94\xA1"
         "a\xC4\x00\x00\xC4\x00\x00",
         14, "bytes behind the array"},
    };
    const struct tablet_load_bounds bounds = {.start = cellar_slice_make(NULL, 0)};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        struct taken taken = {0};
        assert_int_equal(cellar_buffer_append(&taken.wire, cases[i].bytes, cases[i].count),
                         CELLAR_OK);
        assert_int_equal(decode(&taken, &bounds), CELLAR_INVALID_ARGUMENT);
        assert_non_null(strstr(taken.error.text, cases[i].text));
        taken_end(&taken);
    }
}

/* Rows with twenty values of a megabyte each. */
static void a_request_above_the_limit_may_have_one_row(void **state)
{
    (void)state;
    static uint8_t large[1000000];
    const struct tablet_load_bounds bounds = {.start = cellar_slice_make(NULL, 0)};
    struct cellar_cell cells[20];
    for (int i = 0; i < 20; i++) {
        cells[i] = test_load_cell("a", "q", (20 - i) * 1000, "");
        cells[i].value = cellar_slice_make(large, sizeof large);
    }
    for (uint32_t count = 1; count <= 2; count++) {
        struct taken taken = {0};
        assert_int_equal(cellar_wire_put_array(&taken.wire, count), CELLAR_OK);
        test_load_row_put(&taken.wire, cellar_slice_text("k"), cells, 20);
        if (count == 1) {
            assert_true(taken.wire.bytes > TABLET_LOAD_BYTES_MAX);
            assert_int_equal(decode(&taken, &bounds), CELLAR_OK);
            assert_int_equal(taken.rows.cell_count, 20);
        } else {
            test_load_row_put(&taken.wire, cellar_slice_text("l"), cells, 1);
            assert_int_equal(decode(&taken, &bounds), CELLAR_INVALID_ARGUMENT);
            assert_non_null(strstr(taken.error.text, "at most 16777216 bytes of several rows"));
        }
        taken_end(&taken);
    }
}

static enum cellar_status decode_once(void *context)
{
    struct taken *taken = context;
    const struct tablet_load_bounds bounds = {.start = cellar_slice_make(NULL, 0)};
    cellar_arena_fini(&taken->arena);
    return decode(taken, &bounds);
}

static void without_memory_nothing_is_taken(void **state)
{
    (void)state;
    struct taken taken = {0};
    const struct cellar_cell cell = test_load_cell("a", "q", 0, "v");
    assert_int_equal(cellar_wire_put_array(&taken.wire, 200), CELLAR_OK);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%05u", i);
        test_load_row_put(&taken.wire, cellar_slice_text(key), &cell, 1);
    }
    assert_true(test_out_of_memory_loop(decode_once, &taken) > 0);
    assert_int_equal(taken.rows.row_count, 200);
    taken_end(&taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_cells_with_the_generations_of_their_families),
        cmocka_unit_test(what_storage_could_not_take_is_refused_by_name),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(a_request_above_the_limit_may_have_one_row),
        cmocka_unit_test(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
