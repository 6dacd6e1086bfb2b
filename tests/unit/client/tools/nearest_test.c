/*
 * nearest: the word that a mistyped one may have meant, and none where nothing is near.
 */
#include "tests/support/support.h"

#include "client/tools/nearest.h"

static const char *nearest_of(const char *typed)
{
    static const char *const names[] = {"scan", "set", "get", "count", "delete", "table describe"};
    struct cellar_nearest nearest = cellar_nearest_start(typed);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        cellar_nearest_add(&nearest, names[index]);
    }
    return nearest.name;
}

static void slips_of_fingers_are_understood(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"scna", "scan"},
        {"sacn", "scan"},
        {"scn", "scan"},
        {"scann", "scan"},
        {"cuont", "count"},
        {"delte", "delete"},
        {"dleete", "delete"},
        {"gte", "get"},
        {"scan", "scan"},
        {"remove", NULL},
        {"xyz", NULL},
        {"", NULL},
        {"tabel descrieb", "table describe"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        const char *got = nearest_of(cases[index][0]);
        if (cases[index][1] == NULL) {
            assert_null(got);
        } else {
            assert_non_null(got);
            assert_string_equal(got, cases[index][1]);
        }
    }
}

static void the_first_of_equally_near_names_wins(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("et"), "set");
    assert_string_equal(nearest_of("bet"), "set");
}

static void letters_and_long_words_mean_nothing(void **state)
{
    (void)state;
    char text[300];
    memset(text, 's', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_null(nearest_of("s"));
    assert_null(nearest_of(text));
    assert_null(nearest_of("\x1b[31m\xff"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_of_fingers_are_understood),
        cmocka_unit_test(the_first_of_equally_near_names_wins),
        cmocka_unit_test(letters_and_long_words_mean_nothing),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
