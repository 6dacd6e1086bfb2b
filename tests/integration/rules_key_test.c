/*
 * The rules of area KEY: limits of names, keys, qualifiers, values and requests. One test a rule,
 * named after it; the service is called in the process, with lists in wire form.
 */
#include <stdlib.h>

#include "tests/support/model_fixture.h"

/* The rules' own numbers, not the sources'. */
#define ROW_LIMIT 4096u
#define QUALIFIER_LIMIT 16384u
#define INLINE_LIMIT 1048576u
#define VALUE_LIMIT 104857600u

/* Memory of `bytes` equal bytes, freed by the caller. */
static uint8_t *block_new(size_t bytes, uint8_t fill)
{
    uint8_t *block = malloc(bytes);
    assert_non_null(block);
    memset(block, fill, bytes);
    return block;
}

static enum cellar_status key_set(struct model_fixture *fixture, struct cellar_slice row)
{
    const struct cellar_mutation set = model_set("f", "q", 1000, "v");
    return model_fixture_mutate(fixture, "t", row, &set, 1);
}

static enum cellar_status key_read(struct model_fixture *fixture, struct cellar_slice row)
{
    const struct model_read read = {.keys = &row, .key_count = 1};
    return model_fixture_read(fixture, "t", &read);
}

static void r_key_01_row_keys_of_1_to_4096_bytes_of_any_value_are_kept(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *bytes = block_new(ROW_LIMIT, 0);
    for (size_t i = 0; i < ROW_LIMIT; i++) {
        bytes[i] = (uint8_t)i;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t one = (uint8_t)byte;
        struct cellar_slice row = cellar_slice_make(&one, 1);
        assert_int_equal(key_set(fixture, row), CELLAR_OK);
        assert_int_equal(key_read(fixture, row), CELLAR_OK);
        assert_int_equal(fixture->answer.row_count, 1);
        assert_true(cellar_slice_equal(fixture->answer.rows[0].key, row));
    }
    struct cellar_slice longest = cellar_slice_make(bytes, ROW_LIMIT);
    assert_int_equal(key_set(fixture, longest), CELLAR_OK);
    assert_int_equal(key_read(fixture, longest), CELLAR_OK);
    assert_int_equal(fixture->answer.row_count, 1);
    assert_true(cellar_slice_equal(fixture->answer.rows[0].key, longest));
    free(bytes);
}

static void r_key_02_a_row_key_of_4097_bytes_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *bytes = block_new(ROW_LIMIT + 1, 'k');
    struct cellar_slice row = cellar_slice_make(bytes, ROW_LIMIT + 1);
    model_fixture_expect_error(fixture, key_set(fixture, row), CELLAR_INVALID_ARGUMENT, "4097");
    model_fixture_expect_error(fixture, key_read(fixture, row), CELLAR_INVALID_ARGUMENT, "4097");
    model_fixture_expect_all(fixture, "");
    free(bytes);
}

static void r_key_03_an_empty_row_key_is_refused(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_slice row = cellar_slice_text("");
    model_fixture_expect_error(fixture, key_set(fixture, row), CELLAR_INVALID_ARGUMENT,
                               "Row keys must be non-empty");
    model_fixture_expect_error(fixture, key_read(fixture, row), CELLAR_INVALID_ARGUMENT,
                               "Row keys must be non-empty");
}

static void r_key_04_qualifiers_of_0_to_16384_bytes_are_kept_and_longer_ones_refused(void **state)
{
    struct model_fixture *fixture = *state;
    uint8_t *bytes = block_new(QUALIFIER_LIMIT + 1, 0);
    for (size_t i = 0; i < QUALIFIER_LIMIT; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    struct cellar_mutation sets[2] = {model_set("f", "", 1000, "v"), model_set("f", "", 1000, "w")};
    sets[1].qualifier = cellar_slice_make(bytes, QUALIFIER_LIMIT);
    model_fixture_put(fixture, "r", sets, 2);
    model_service_restart(&fixture->service, false);
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
    assert_int_equal(fixture->answer.cell_count, 2);
    assert_int_equal(fixture->answer.cells[0].qualifier.bytes, 0);
    assert_true(cellar_slice_equal(fixture->answer.cells[1].qualifier, sets[1].qualifier));
    sets[0].qualifier = cellar_slice_make(bytes, QUALIFIER_LIMIT + 1);
    model_fixture_expect_error(fixture,
                               model_fixture_mutate(fixture, "t", cellar_slice_text("s"), sets, 1),
                               CELLAR_INVALID_ARGUMENT, "16385");
    free(bytes);
}

static void r_key_05_an_empty_value_is_a_cell(void **state)
{
    struct model_fixture *fixture = *state;
    model_fixture_set(fixture, "r", "f:q", 1000, "");
    model_fixture_expect_all(fixture, "r[f:q@1000=]");
    model_service_restart(&fixture->service, false);
    model_fixture_expect_all(fixture, "r[f:q@1000=]");
}

static void r_key_06_values_up_to_100_mib_are_kept_and_above_refused(void **state)
{
    static const size_t sizes[] = {INLINE_LIMIT, INLINE_LIMIT + 1, VALUE_LIMIT};
    struct model_fixture *fixture = *state;
    uint8_t *bytes = calloc(1, VALUE_LIMIT + 1);
    struct cellar_mutation set = model_set("f", "q", 1000, "");
    const struct model_read all = {0};
    assert_non_null(bytes);
    bytes[INLINE_LIMIT] = 7;
    bytes[VALUE_LIMIT - 1] = 8;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(sizes); i++) {
        set.value = cellar_slice_make(bytes, sizes[i]);
        model_fixture_put(fixture, "r", &set, 1);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(model_fixture_read(fixture, "t", &all), CELLAR_OK);
            assert_int_equal(fixture->answer.cell_count, 1);
            assert_true(cellar_slice_equal(fixture->answer.cells[0].value, set.value));
            model_service_restart(&fixture->service, pass == 0);
        }
    }
    set.value = cellar_slice_make(bytes, VALUE_LIMIT + 1);
    model_fixture_expect_error(fixture,
                               model_fixture_mutate(fixture, "t", cellar_slice_text("r"), &set, 1),
                               CELLAR_INVALID_ARGUMENT, "104857601");
    free(bytes);
}

static enum cellar_status table_create(struct model_fixture *fixture, struct cellar_slice name,
                                       struct cellar_slice family)
{
    const struct svc_family families[] = {{.name = cellar_slice_text("ok")}, {.name = family}};
    const struct svc_table table = {.name = name, .families = families, .family_count = 2};
    struct model_port *port = &fixture->service.port;
    cellar_error_clear(&fixture->error);
    return port->calls->create(port, &table, &fixture->error);
}

/* A family's or table's name may have none of these. */
static const char bad_bytes[] = " !\"#$%&'()*+,:;<=>?@[\\]^`{|}~\x01\x7f\x80\xff";

static void r_key_07_family_names_are_checked_and_a_bad_one_creates_nothing(void **state)
{
    struct model_fixture *fixture = *state;
    char name[66];
    memset(name, 'x', sizeof name);
    struct cellar_slice table = cellar_slice_text("u");
    for (size_t i = 0; i < sizeof bad_bytes; i++) { /* the NUL too */
        const char text[3] = {'a', bad_bytes[i], 'b'};
        enum cellar_status status = table_create(fixture, table, cellar_slice_make(text, 3));
        model_fixture_expect_error(fixture, status, CELLAR_INVALID_ARGUMENT, "amily");
    }
    model_fixture_expect_error(fixture, table_create(fixture, table, cellar_slice_make(name, 65)),
                               CELLAR_INVALID_ARGUMENT, "65");
    model_fixture_expect_error(fixture, table_create(fixture, table, cellar_slice_text("")),
                               CELLAR_INVALID_ARGUMENT, "amily");
    model_fixture_expect_error(fixture, table_create(fixture, table, cellar_slice_text("a/b")),
                               CELLAR_INVALID_ARGUMENT, "amily");
    const struct model_read all = {0};
    assert_int_equal(model_fixture_read(fixture, "u", &all), CELLAR_NOT_FOUND);
    assert_int_equal(table_create(fixture, table, cellar_slice_make(name, 64)), CELLAR_OK);
    assert_int_equal(table_create(fixture, cellar_slice_text("v"), cellar_slice_text("-_.aZ09")),
                     CELLAR_OK);
}

static void r_key_08_table_ids_are_checked(void **state)
{
    struct model_fixture *fixture = *state;
    char name[52];
    struct cellar_slice family = cellar_slice_text("f");
    memset(name, 'x', sizeof name);
    static const char *const refused[] = {"", "-a", ".a", "a/b/", "/", "p/i/", "p//t", "//t"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(refused); i++) {
        assert_int_equal(table_create(fixture, cellar_slice_text(refused[i]), family),
                         CELLAR_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof bad_bytes; i++) {
        const char text[3] = {'a', bad_bytes[i], 'b'};
        assert_int_equal(table_create(fixture, cellar_slice_make(text, 3), family),
                         CELLAR_INVALID_ARGUMENT);
    }
    assert_int_equal(table_create(fixture, cellar_slice_make(name, 51), family),
                     CELLAR_INVALID_ARGUMENT);
    static const char *const accepted[] = {"_", "9", "a-_.Z", "T"};
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(accepted); i++) {
        assert_int_equal(table_create(fixture, cellar_slice_text(accepted[i]), family), CELLAR_OK);
    }
    assert_int_equal(table_create(fixture, cellar_slice_make(name, 50), family), CELLAR_OK);
}

/* A list of `count` deletes of the row in wire form: 2 bytes each. */
static void deletes_encode(struct cellar_buffer *to, uint32_t count)
{
    assert_int_equal(cellar_wire_put_array(to, count), CELLAR_OK);
    assert_int_equal(cellar_buffer_reserve(to, 2 * (size_t)count), CELLAR_OK);
    for (uint32_t i = 0; i < count; i++) {
        to->data[to->bytes++] = 0x91;
        to->data[to->bytes++] = 0x03;
    }
}

static void r_key_09_a_list_has_100000_mutations_at_most(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_buffer list = {0};
    struct cellar_slice row = cellar_slice_text("r");
    model_fixture_set(fixture, "r", "f:q", 1000, "v");
    deletes_encode(&list, 100001);
    enum cellar_status status = model_svc_mutate_wire(fixture->service.svc, "t", row,
                                                      cellar_slice_of(&list), &fixture->error);
    model_fixture_expect_exact(fixture, status, CELLAR_INVALID_ARGUMENT,
                               "Too many mutations: 100001 provided; limit 100000");
    model_fixture_expect_all(fixture, "r[f:q@1000=v]");
    cellar_buffer_clear(&list);
    deletes_encode(&list, 100000);
    status = model_svc_mutate_wire(fixture->service.svc, "t", row, cellar_slice_of(&list),
                                   &fixture->error);
    assert_int_equal(status, CELLAR_OK);
    model_fixture_expect_all(fixture, "");
    cellar_buffer_fini(&list);
}

static void r_key_10_a_batch_has_100000_mutations_at_most(void **state)
{
    struct model_fixture *fixture = *state;
    struct cellar_buffer entries = {0};
    struct cellar_error results[3];
    model_fixture_set(fixture, "r", "f:q", 1000, "v");
    for (uint32_t extra = 0; extra < 2; extra++) {
        cellar_buffer_clear(&entries);
        assert_int_equal(cellar_wire_put_array(&entries, 3), CELLAR_OK);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(cellar_wire_put_array(&entries, 2), CELLAR_OK);
            assert_int_equal(cellar_wire_put_bytes(&entries, cellar_slice_text("r")), CELLAR_OK);
            deletes_encode(&entries, i < 2 ? 40000 : 20001 - extra);
        }
        enum cellar_status status = model_svc_batch_wire(
            fixture->service.svc, "t", cellar_slice_of(&entries), results, &fixture->error);
        if (extra == 0) {
            model_fixture_expect_exact(fixture, status, CELLAR_INVALID_ARGUMENT,
                                       "Too many mutations: 100001 provided; limit 100000");
            model_fixture_expect_all(fixture, "r[f:q@1000=v]");
        } else {
            assert_int_equal(status, CELLAR_OK);
            model_fixture_expect_all(fixture, "");
        }
    }
    cellar_buffer_fini(&entries);
}

#define RULE(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, model_fixture_setup_large, model_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(r_key_01_row_keys_of_1_to_4096_bytes_of_any_value_are_kept),
        RULE(r_key_02_a_row_key_of_4097_bytes_is_refused),
        RULE(r_key_03_an_empty_row_key_is_refused),
        RULE(r_key_04_qualifiers_of_0_to_16384_bytes_are_kept_and_longer_ones_refused),
        RULE(r_key_05_an_empty_value_is_a_cell),
        RULE(r_key_06_values_up_to_100_mib_are_kept_and_above_refused),
        RULE(r_key_07_family_names_are_checked_and_a_bad_one_creates_nothing),
        RULE(r_key_08_table_ids_are_checked),
        RULE(r_key_09_a_list_has_100000_mutations_at_most),
        RULE(r_key_10_a_batch_has_100000_mutations_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
