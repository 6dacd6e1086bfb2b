/*
 * The program `cellar` against a whole server in the process: every command on the server, tables
 * and cells does what its help says, prints what it must, and ends with the exit code of its
 * failure. Imports and exports have tests of their own.
 */
#include "tests/support/tool_stage.h"

#include <stdio.h>
#include <string.h>

static void a_server_is_asked_how_it_is(void **state)
{
    (void)state;
    tool_expect_ok(RUN("ping"));
    tool_expect_out("ready\n");
    tool_expect_ok(RUN("ping", "--ready"));
    tool_expect_ok(RUN("ping", "--format", "json"));
    tool_expect_out("{\"ready\":true}\n");
    tool_expect_ok(RUN("ping", "--format", "csv"));
    tool_expect_out("ready\ntrue\n");
}

static void a_server_tells_what_it_holds_and_does(void **state)
{
    (void)state;
    static const char *const shown[] = {
        "\n  version         ",    "\n  up for          ",    "\n  tables          1\n",
        "\n  tablets         2\n", "\n  stores          3\n", "\n  on disk         ",
        "\n  durable up to   ",    "\n  segments        1\n", "\n  writes now      ",
        "\n  in use          ",    "\n  limit           ",    "\n  memtables       ",
        "\n  reads           ",    "\n  writes          "};
    static const char *const figures[] = {"\"tables\":1",
                                          "\"tablets\":2",
                                          "\"log_bytes\":",
                                          "\"store_bytes\":",
                                          "\"memory_resident_bytes\":",
                                          "\"reads\":",
                                          "\"writes\":",
                                          "\"per_second\":{"};
    tool_expect_ok(RUN("table", "create", "held", "--family", "f", "--split", "m"));
    tool_expect_ok(RUN("set", "held", "r", "f:q=v"));
    tool_expect_ok(RUN("get", "held", "r"));
    tool_expect_ok(RUN("info"));
    assert_non_null(strstr(tool_stage.out, tool_stage.loopback.data_dir));
    assert_non_null(strstr(tool_stage.out, tool_stage.endpoint));
    assert_null(strstr(tool_stage.out, "\nmore\n")); /* every figure has its place */
    assert_null(strstr(tool_stage.out, "failed"));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shown); index++) {
        if (strstr(tool_stage.out, shown[index]) == NULL) {
            fail_msg("'%s' is not in\n%s", shown[index], tool_stage.out);
        }
    }
    assert_null(strstr(tool_stage.out, "  in use          0 B\n"));
    tool_expect_ok(RUN("info", "--format", "json", "--interval", "1ms"));
    assert_memory_equal(tool_stage.out, "{\"version\":\"", 12);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(figures); index++) {
        if (strstr(tool_stage.out, figures[index]) == NULL) {
            fail_msg("'%s' is not in\n%s", figures[index], tool_stage.out);
        }
    }
    assert_null(strstr(tool_stage.out, "\"reads\":0,"));
    assert_null(strstr(tool_stage.out, "\"writes\":0,"));
    assert_int_equal(RUN("info", "--interval", "2h"), 2);
    tool_expect_err("--interval may be at most 1h");
    tool_expect_ok(RUN("table", "drop", "held", "--yes"));
}

static void tables_are_created_shown_and_dropped(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "shown", "--family", "f:max-versions=2:max-age=7d",
                       "--family", "a", "--split", "m", "--split", "\\xff\\x00", "--granularity",
                       "micros"));
    tool_expect_out(
        "created projects/default/instances/default/tables/shown: 2 families, 3 tablets\n");
    assert_int_equal(RUN("table", "create", "shown"), 4);
    tool_expect_err("cellar: ALREADY_EXISTS: ");
    tool_expect_ok(RUN("table", "describe", "shown"));
    assert_non_null(strstr(tool_stage.out, "  granularity  micros\n"));
    assert_non_null(strstr(tool_stage.out, "  family  a  keeps everything\n"));
    assert_non_null(strstr(tool_stage.out, "  family  f  max-versions=2:max-age=7d\n"));
    assert_non_null(strstr(tool_stage.out, "  from \\xff\\x00\n"));
    tool_expect_ok(RUN("--instance", "p/i", "table", "create", "elsewhere", "--family", "f"));
    tool_expect_ok(RUN("table", "ls"));
    tool_expect_out("shown\n");
    tool_expect_ok(RUN("table", "ls", "--instance=p/i", "--format", "jsonl"));
    tool_expect_out("{\"name\":\"projects/p/instances/i/tables/elsewhere\"}\n");
    tool_expect_ok(RUN("table", "drop", "p/i/elsewhere", "--yes"));
    tool_expect_ok(RUN("table", "ls", "--instance", "p/i"));
    tool_expect_out("");
    assert_int_equal(RUN("table", "drop", "p/i/elsewhere", "--yes"), 3);
    assert_int_equal(RUN("table", "describe", "nope"), 3);
    tool_expect_err("cellar: NOT_FOUND: ");
    tool_expect_err("cellar table ls");
    assert_int_equal(RUN("table", "create", "bad name"), 2);
    assert_int_equal(RUN("table", "create", "t", "--split", ""), 2);
    tool_expect_ok(RUN("table", "drop", "shown", "--yes"));
}

static void cells_are_set_read_and_deleted(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "cells", "--family", "f", "--family", "g"));
    tool_expect_ok(RUN("set", "cells", "r", "f:q=new", "--timestamp", "2000"));
    tool_expect_out("");
    tool_expect_ok(
        RUN("set", "cells", "r", "f:q=old", "f:=", "g:\\x00\\xff=\\\\", "--timestamp", "1000"));
    tool_expect_ok(RUN("get", "cells", "r", "nope"));
    tool_expect_out("r\n"
                    "  f:          @1000  \n"
                    "  f:q         @2000  new\n"
                    "  f:q         @1000  old\n"
                    "  g:\\x00\\xff  @1000  \\x5c\n");
    tool_expect_ok(RUN("get", "cells", "r", "--column", "f:q", "--versions", "1"));
    tool_expect_out("r\n  f:q  @2000  new\n");
    tool_expect_ok(RUN("get", "cells", "r", "--column", "g", "--format", "csv"));
    tool_expect_out("row,family,qualifier,timestamp,value\nr,g,\\x00\\xff,1000,\\x5c\n");
    tool_expect_ok(RUN("get", "cells", "nope"));
    tool_expect_out("");
    tool_expect_ok(RUN("delete", "cells", "r", "f:q"));
    tool_expect_ok(RUN("delete", "cells", "r", "g"));
    tool_expect_ok(RUN("get", "cells", "r", "--format", "jsonl"));
    tool_expect_out(
        "{\"row\":\"r\",\"cells\":[{\"family\":\"f\",\"qualifier\":\"\",\"timestamp\":1000,"
        "\"value\":\"\"}]}\n");
    tool_expect_ok(RUN("delete", "cells", "r", "f:"));
    tool_expect_ok(RUN("set", "cells", "r", "f:q=v"));
    tool_expect_ok(RUN("delete", "cells", "r"));
    tool_expect_ok(RUN("count", "cells"));
    tool_expect_out("0\n");
    assert_int_equal(RUN("set", "cells", "r", "nope:q=v"), 3);
    tool_expect_err("Requested column family not found");
    assert_int_equal(RUN("set", "cells", "r", "f:q=v", "--timestamp", "1"), 2);
    tool_expect_err("multiple of 1000");
    assert_int_equal(RUN("set", "nope", "r", "f:q=v"), 3);
    tool_expect_ok(RUN("table", "drop", "cells", "--yes"));
}

static void values_come_from_files_and_go_to_them(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "files", "--family", "f"));
    char from[300];
    (void)snprintf(from, sizeof from, "f:q=%s", tool_stage_file("value", "line\none=\\x00\n"));
    tool_expect_ok(RUN("set", "files", "r", "f:a=1", "--from", from));
    tool_expect_ok(RUN("get", "files", "r", "--column", "f:q", "--raw"));
    tool_expect_out("line\none=\\x00\n");
    tool_expect_ok(RUN("get", "files", "r", "--column", "f:a", "--raw"));
    tool_expect_out("1");
    assert_int_equal(RUN("get", "files", "r", "--column", "f:nope", "--raw"), 3);
    tool_expect_err("There is no such cell");
    assert_int_equal(RUN("get", "files", "r", "--raw"), 2);
    tool_expect_err("one --column cf:q");
    assert_int_equal(RUN("set", "files", "r"), 2);
    tool_expect_err("No cells to set");
    assert_int_equal(RUN("set", "files", "r", "--from", "f:q=/no such file"), 2);
    tool_expect_err("Cannot open '/no such file'");
    tool_expect_ok(RUN("table", "drop", "files", "--yes"));
}

static void what_would_go_is_said_and_nothing_goes(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "dry", "--family", "f", "--family", "g", "--split", "m"));
    tool_expect_ok(RUN("set", "dry", "r\\x1b", "f:a=1", "f:b=2", "g:c=3", "--timestamp", "0"));
    tool_expect_ok(RUN("delete", "dry", "r\\x1b", "--dry-run"));
    tool_expect_out("would delete 3 cells of row r\\x1b\n");
    tool_expect_ok(RUN("delete", "dry", "r\\x1b", "f", "--dry-run"));
    tool_expect_out("would delete 2 cells of row r\\x1b\n");
    tool_expect_ok(RUN("delete", "dry", "r\\x1b", "g:c", "--dry-run"));
    tool_expect_out("would delete 1 cell of row r\\x1b\n");
    tool_expect_ok(RUN("delete", "dry", "nope", "--dry-run"));
    tool_expect_out("would delete 0 cells of row nope\n");
    assert_int_equal(RUN("delete", "dry", "r", "x:c", "--dry-run"), 3);
    tool_expect_err("Table 'dry' has no family 'x'");
    assert_int_equal(RUN("delete", "nope", "r", "--dry-run"), 3);
    tool_expect_ok(RUN("table", "drop", "dry", "--dry-run"));
    tool_expect_out(
        "would drop projects/default/instances/default/tables/dry: 2 families, 2 tablets, "
        "1 row\n");
    tool_expect_ok(RUN("table", "drop", "dry", "--dry-run", "--yes"));
    assert_int_equal(RUN("table", "drop", "nope", "--dry-run"), 3);
    tool_expect_ok(RUN("table", "drop", "dry", "--dry-run", "--format", "json"));
    tool_expect_out("{\"dry_run\":true,\"name\":\"projects/default/instances/default/tables/dry\","
                    "\"families\":2,\"tablets\":2,\"rows\":1,\"has_more_rows\":false}\n");
    tool_expect_ok(RUN("table", "drop", "dry", "--dry-run", "--format", "csv"));
    tool_expect_out("dry_run,name,families,tablets,rows,has_more_rows\n"
                    "true,projects/default/instances/default/tables/dry,2,2,1,false\n");
    tool_expect_ok(RUN("delete", "dry", "r\\x1b", "f", "--dry-run", "--format", "jsonl"));
    tool_expect_out("{\"dry_run\":true,\"row\":\"r\\u001b\",\"cells\":2}\n");
    tool_expect_ok(RUN("delete", "dry", "\\xff", "--dry-run", "--format", "json"));
    tool_expect_out("{\"dry_run\":true,\"row\":{\"b64\":\"/w==\"},\"cells\":0}\n");
    assert_int_equal(RUN("delete", "dry", "r", "--dry-run", "--format", "xml"), 2);
    assert_int_equal(RUN("table", "drop", "dry"), 2);
    tool_expect_err("'table drop' needs --yes where there is no terminal");
    tool_expect_ok(RUN("count", "dry"));
    tool_expect_out("1\n");
    tool_expect_ok(RUN("scan", "dry"));
    assert_non_null(strstr(tool_stage.out, "f:b  @0  2\n"));
    tool_expect_ok(RUN("table", "drop", "dry", "--yes"));
    assert_int_equal(RUN("count", "dry"), 3);
}

static void scans_are_cut_turned_and_limited(void **state)
{
    (void)state;
    tool_expect_ok(RUN("table", "create", "scanned", "--family", "f", "--split", "b"));
    static const char *const keys[] = {"a", "aa", "ab", "b", "\\xff"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(keys); index++) {
        tool_expect_ok(RUN("set", "scanned", keys[index], "f:q=v", "--timestamp", "0"));
    }
    tool_expect_ok(RUN("scan", "scanned", "--keys-only"));
    tool_expect_out("a\naa\nab\nb\n\\xff\n");
    tool_expect_ok(RUN("scan", "scanned", "--keys-only", "--reverse", "--limit", "2"));
    tool_expect_out("\\xff\nb\n");
    tool_expect_ok(RUN("scan", "scanned", "--keys-only", "--prefix", "a"));
    tool_expect_out("a\naa\nab\n");
    tool_expect_ok(RUN("scan", "scanned", "--keys-only", "--prefix", "\\xff", "--format", "csv"));
    tool_expect_out("row\n\\xff\n");
    tool_expect_ok(RUN("scan", "scanned", "--keys-only", "--start", "aa", "--end", "b"));
    tool_expect_out("aa\nab\n");
    tool_expect_ok(RUN("scan", "scanned", "--limit", "1"));
    tool_expect_out("a\n  f:q  @0  v\n");
    tool_expect_ok(RUN("scan", "scanned", "--column", "f:other"));
    tool_expect_out("");
    tool_expect_ok(RUN("scan", "scanned", "--prefix", "zz", "--format", "json"));
    tool_expect_out("[]\n");
    tool_expect_ok(RUN("count", "scanned", "--prefix", "a", "--format", "json"));
    tool_expect_out("{\"rows\":3}\n");
    assert_int_equal(RUN("scan", "scanned", "--start", "b", "--end", "a"), 2);
    tool_expect_err("start_key must be less than end_key");
    assert_int_equal(RUN("scan", "nope"), 3);
    tool_expect_ok(RUN("table", "drop", "scanned", "--yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_asked_how_it_is),
        cmocka_unit_test(a_server_tells_what_it_holds_and_does),
        cmocka_unit_test(tables_are_created_shown_and_dropped),
        cmocka_unit_test(cells_are_set_read_and_deleted),
        cmocka_unit_test(values_come_from_files_and_go_to_them),
        cmocka_unit_test(what_would_go_is_said_and_nothing_goes),
        cmocka_unit_test(scans_are_cut_turned_and_limited),
    };
    return cmocka_run_group_tests_name("client_tool", tests, tool_stage_open, tool_stage_close);
}
