/*
 * crc32c: the vectors of RFC 3720 (B.4), and the instruction against the table.
 */
#include <string.h>

#include "common/crc32c.h"
#include "tests/support/support.h"

static void the_check_value_and_the_vectors_of_rfc_3720_hold(void **state)
{
    (void)state;
    uint8_t zeroes[32] = {0};
    uint8_t ones[32];
    uint8_t up[32];
    uint8_t down[32];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof up; i++) {
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    const struct {
        const void *data;
        size_t bytes;
        uint32_t crc;
    } cases[] = {
        {"123456789", 9, 0xe3069283}, {"a", 1, 0xc1d04330}, {zeroes, 32, 0x8a9136aa},
        {ones, 32, 0x62a8ab43},       {up, 32, 0x46dd794e}, {down, 32, 0x113fdb5c},
    };
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(cases); i++) {
        assert_int_equal(cellar_crc32c(0, cases[i].data, cases[i].bytes), cases[i].crc);
        assert_int_equal(cellar_crc32c_portable(0, cases[i].data, cases[i].bytes), cases[i].crc);
    }
}

static void no_bytes_leave_the_value_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(cellar_crc32c(0, NULL, 0), 0);
    assert_int_equal(cellar_crc32c(0xe3069283, NULL, 0), 0xe3069283);
    assert_int_equal(cellar_crc32c_portable(0x12345678, "", 0), 0x12345678);
}

static void pieces_give_the_value_of_the_whole(void **state)
{
    (void)state;
    struct test_random random = {test_seed("crc32c")};
    uint8_t data[100];
    test_random_bytes(&random, data, sizeof data);
    uint32_t whole = cellar_crc32c(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint32_t first = cellar_crc32c(0, data, cut);
        assert_int_equal(cellar_crc32c(first, data + cut, sizeof data - cut), whole);
    }
}

static void instruction_and_table_agree_at_every_length_and_alignment(void **state)
{
    (void)state;
    struct test_random random = {test_seed("crc32c")};
    uint8_t data[80];
    test_random_bytes(&random, data, sizeof data);
    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t bytes = 0; bytes + offset <= sizeof data; bytes++) {
            uint32_t before = (uint32_t)test_random_next(&random);
            assert_int_equal(cellar_crc32c(before, data + offset, bytes),
                             cellar_crc32c_portable(before, data + offset, bytes));
        }
    }
}

/* Long inputs are cut into three runs, of every length up to 1,024 bytes. */
static void instruction_and_table_agree_on_long_inputs(void **state)
{
    (void)state;
    static uint8_t data[7000];
    struct test_random random = {test_seed("crc32c")};
    test_random_bytes(&random, data, sizeof data);
    for (size_t bytes = 80; bytes + 8 <= sizeof data; bytes += 1 + test_random_below(&random, 7)) {
        const uint8_t *at = data + test_random_below(&random, 8);
        uint32_t before = (uint32_t)test_random_next(&random);
        assert_int_equal(cellar_crc32c(before, at, bytes),
                         cellar_crc32c_portable(before, at, bytes));
    }
}

static void every_flipped_bit_changes_the_value(void **state)
{
    (void)state;
    uint8_t data[64] = {1, 2, 3};
    uint32_t good = cellar_crc32c(0, data, sizeof data);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] = (uint8_t)(data[bit / 8] ^ (1u << (bit % 8)));
        assert_int_not_equal(cellar_crc32c(0, data, sizeof data), good);
        data[bit / 8] = (uint8_t)(data[bit / 8] ^ (1u << (bit % 8)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_and_the_vectors_of_rfc_3720_hold),
        cmocka_unit_test(no_bytes_leave_the_value_as_it_is),
        cmocka_unit_test(pieces_give_the_value_of_the_whole),
        cmocka_unit_test(instruction_and_table_agree_at_every_length_and_alignment),
        cmocka_unit_test(instruction_and_table_agree_on_long_inputs),
        cmocka_unit_test(every_flipped_bit_changes_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
