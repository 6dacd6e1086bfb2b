/*
 * The program `cellar` against a whole server in the process: changes of families, and what takes
 * away many rows. Terminals and the programs as they are built are drop_verbs_test.py's.
 */
#include "tests/support/tool_stage.h"

#include <string.h>

#define FULL "projects/default/instances/default/tables/"

static void families_are_added_set_and_dropped(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "fam", "--family", "f"));
    tool_expect_ok(RUN("family", "add", "fam", "g", "h:gc=max-versions=2 and max-age=1d"));
    tool_expect_out("added 2 families to " FULL "fam, which has 3\n");
    tool_expect_ok(RUN("family", "set", "fam", "f:max-versions=1"));
    tool_expect_out("set the rules of 1 family of " FULL "fam, which has 3\n");
    tool_expect_ok(RUN("table", "describe", "fam"));
    assert_non_null(strstr(tool_stage.out, "  family  f  max-versions=1\n"));
    assert_non_null(strstr(tool_stage.out, "  family  h  gc=max-versions=2 and max-age=1d\n"));
    assert_int_equal(RUN("family", "add", "fam", "i", "f"), 4);
    assert_int_equal(RUN("family", "set", "fam", "i"), 3);
    assert_int_equal(RUN("family", "add", "fam", "i", "j:max-versions=x"), 2);
    tool_expect_ok(RUN("set", "fam", "r", "f:q=v", "g:q=v"));
    tool_expect_ok(RUN("family", "drop", "fam", "g", "h", "--dry-run"));
    tool_expect_out("would drop families g, h of " FULL "fam, which have cells in 1 row\n");
    assert_int_equal(RUN("family", "drop", "fam", "g", "nope", "--dry-run"), 3);
    tool_expect_err("Table 'fam' has no family 'nope'");
    assert_int_equal(RUN("family", "drop", "fam", "g"), 2);
    tool_expect_ok(RUN("family", "drop", "fam", "g", "h", "--yes"));
    tool_expect_out("");
    tool_expect_ok(RUN("family", "set", "fam", "f", "--format", "json"));
    assert_non_null(strstr(tool_stage.out, "\"families\":[{\"name\":\"f\","));
    tool_expect_ok(RUN("table", "drop", "fam", "--yes"));
}

static void rows_go_by_prefix_or_all(void **state)
{
    (void)state;
    static const char *const rows[] = {"a", "ab", "b", "\\xff\\x00"};
    tool_expect_ok(RUN("table", "create", "rows", "--family", "f", "--split", "ab"));
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(rows); i++) {
        tool_expect_ok(RUN("set", "rows", rows[i], "f:q=v"));
    }
    tool_expect_ok(RUN("drop-rows", "rows", "--prefix", "\\xff", "--dry-run", "--format", "json"));
    tool_expect_out("{\"dry_run\":true,\"name\":\"" FULL "rows\",\"prefix\":{\"b64\":\"/w==\"},"
                    "\"rows\":1,\"has_more_rows\":false}\n");
    tool_expect_ok(RUN("drop-rows", "rows", "--prefix", "a", "--dry-run", "--format", "csv"));
    tool_expect_out("dry_run,name,prefix,rows,has_more_rows\ntrue," FULL "rows,a,2,false\n");
    assert_int_equal(RUN("drop-rows", "rows", "--prefix", "a"), 2);
    tool_expect_err("'drop-rows' needs --yes where there is no terminal");
    assert_int_equal(RUN("drop-rows", "nope", "--prefix", "a", "--dry-run"), 3);
    tool_expect_ok(RUN("drop-rows", "rows", "--prefix", "a", "--yes"));
    tool_expect_ok(RUN("scan", "rows", "--keys-only"));
    tool_expect_out("b\n\\xff\\x00\n");
    tool_expect_ok(RUN("table", "truncate", "rows", "--dry-run"));
    tool_expect_out("would drop all rows of " FULL "rows: 2 rows\n");
    tool_expect_ok(RUN("table", "truncate", "rows", "--yes"));
    tool_expect_ok(RUN("count", "rows"));
    tool_expect_out("0\n");
    assert_int_equal(RUN("table", "truncate", "nope", "--yes"), 3);
    tool_expect_ok(RUN("table", "drop", "rows", "--yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_added_set_and_dropped),
        cmocka_unit_test(rows_go_by_prefix_or_all),
    };
    return cmocka_run_group_tests_name("client_tool_change", tests, tool_stage_open,
                                       tool_stage_close);
}
