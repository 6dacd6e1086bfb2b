/*
 * man: pages whose text no formatter takes for commands of its own; that they format without a
 * warning is for tests/system/completion_test.py.
 */
#include "tests/support/support.h"

#include <string.h>

#include "client/tools/man.h"

static const struct cellar_option options[] = {
    {"in-file", "FILE|-", "'quoted', with -dashes- and \\n"},
    {"yes", NULL, ".starts with a dot"},
    {NULL, NULL, NULL},
};

static const struct cellar_command command = {
    .verb = "odd verb",
    .words = "T 'ROW'",
    .summary = ".Does `odd` things",
    .help = "    odd --in-file x \\\n"
            "        'y'\n"
            "First line\n"
            ".second line\n"
            "\n"
            "Third\\x41.\n"
            "    .example\n",
    .options = options,
};

static void odd_text_stays_text(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        ".TH cellar-odd-verb 1 \"\" \"cellar ",
        ".SH NAME\ncellar\\-odd\\-verb \\- .Does \\(gaodd\\(ga things\n.SH SYNOPSIS\n",
        "\n\\fBcellar odd verb\\fR T \\(aqROW\\(aq [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
        "\\&.Does \\(gaodd\\(ga things.\n"
        ".PP\n.nf\n.RS\nodd \\-\\-in\\-file x \\e\n    \\(aqy\\(aq\n.RE\n.fi\n"
        ".PP\nFirst line\n\\&.second line\n.PP\nThird\\ex41.\n"
        ".PP\n.nf\n.RS\n\\&.example\n.RE\n.fi\n"
        ".TP\n\\fB\\-\\-in\\-file\\fR \\fIFILE|\\-\\fR\n"
        "\\&'quoted\\(aq, with \\-dashes\\- and \\en\n"
        ".TP\n\\fB\\-\\-yes\\fR\n\\&.starts with a dot\n",
        "\n.SH EXIT STATUS\n.TP\n.B 0\nok\n",
    };
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_man_put(&command, &to), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&to, "", 1), CELLAR_OK);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(wanted); index++) {
        if (strstr((const char *)to.data, wanted[index]) == NULL) {
            fail_msg("%s\nis not in\n%s", wanted[index], (const char *)to.data);
        }
    }
    cellar_buffer_fini(&to);
}

static void the_page_of_all_has_every_command(void **state)
{
    (void)state;
    struct cellar_buffer to = {0};
    assert_int_equal(cellar_man_put(NULL, &to), CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&to, "", 1), CELLAR_OK);
    const char *page = (const char *)to.data;
    assert_memory_equal(page, ".TH CELLAR 1 ", 13);
    assert_non_null(strstr(page, "\n.SS \\fBcellar table create\\fR T "));
    assert_non_null(strstr(page, "\n.SS \\fBcellar ping\\fR\n"));
    assert_null(strstr(page, "\n.SS \\fBcellar complete\\fR"));
    assert_non_null(strstr(page, "\n.B CELLAR_ENDPOINT\n"));
    cellar_buffer_fini(&to);
}

static enum cellar_status put(void *context)
{
    struct cellar_buffer to = {0};
    enum cellar_status status = cellar_man_put(context, &to);
    cellar_buffer_fini(&to);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(put, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_text_stays_text),
        cmocka_unit_test(the_page_of_all_has_every_command),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("man", tests, NULL, NULL);
}
