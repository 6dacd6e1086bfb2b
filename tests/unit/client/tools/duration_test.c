/*
 * duration: what people write as microseconds, what is written is read back, and nonsense is
 * refused with what it was.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/duration.h"

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1us", 1},
        {"500ms", 500000},
        {"10s", 10000000},
        {"2m", 120000000},
        {"12h", INT64_C(43200000000)},
        {"7d", INT64_C(604800000000)},
        {"1w", INT64_C(604800000000)},
        {"1h30m", INT64_C(5400000000)},
        {"1d1us", INT64_C(86400000001)},
        {"30", 30000000},
        {"0h5s", 5000000},
        {"9223372036854775807us", INT64_MAX},
        {"1w2d3h4m5s6ms7us", INT64_C(788645006007)},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        int64_t us = 0;
        assert_int_equal(cellar_duration_decode(cellar_slice_text(cases[index].text), &us, NULL),
                         CELLAR_OK);
        assert_int_equal(us, cases[index].us);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        "0s",
        "s",
        "-1s",
        "1x",
        "1 s",
        "1s1h",
        "1s1s",
        "1.5s",
        "1s2",
        "1S",
        "+1s",
        "1ns",
        "12 h",
        "9223372036854775808us",
        "106751991168d",
        "1h30",
        "99999999999999999999",
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(texts); index++) {
        struct cellar_error error;
        int64_t us = -5;
        if (cellar_duration_decode(cellar_slice_text(texts[index]), &us, &error) !=
            CELLAR_INVALID_ARGUMENT) {
            fail_msg("'%s' was taken as %lld us", texts[index], (long long)us);
        }
        assert_int_equal(us, -5);
        assert_non_null(strstr(error.text, texts[index]));
    }
}

static void durations_are_written_without_weeks(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1us"},
        {INT64_C(604800000000), "7d"},
        {INT64_C(5400000000), "1h30m"},
        {INT64_C(86400000001), "1d1us"},
        {1001000, "1s1ms"},
        {INT64_MAX, "106751991d4h54s775ms807us"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        char text[CELLAR_DURATION_TEXT_BYTES];
        assert_string_equal(cellar_duration_encode(cases[index].us, text), cases[index].text);
    }
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct test_random random = {test_seed("duration")};
    for (int round = 0; round < 1000; round++) {
        char text[CELLAR_DURATION_TEXT_BYTES];
        int64_t us = (int64_t)(test_random_next(&random) >> (1 + test_random_below(&random, 60)));
        int64_t back = 0;
        if (us > 0) {
            (void)cellar_duration_encode(us, text);
            assert_int_equal(cellar_duration_decode(cellar_slice_text(text), &back, NULL),
                             CELLAR_OK);
            assert_int_equal(back, us);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(durations_are_written_without_weeks),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
