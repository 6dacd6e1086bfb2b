/*
 * `cellar import` against a whole server in the process: it writes what it can, refuses the rest by
 * line, keeps its place, and says what it could not use.
 */
#include "tests/support/tool_stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROW(key) "{\"row\":\"" key "\",\"cells\":[{\"qualifier\":\"q\",\"value\":\"v\"}]}\n"

static void json_lines_are_imported_and_the_rest_refused_by_line(void **state)
{
    (void)state;
    const char *path =
        tool_stage_file("rows.jsonl", "{\"row\":\"a\",\"cells\":[{\"family\":\"f\","
                                      "\"qualifier\":\"q\",\"timestamp\":1000,\"value\":"
                                      "\"first\"}]}\n"
                                      "\n"
                                      "nonsense\n"
                                      "{\"row\":\"b\",\"cells\":[{\"family\":\"nope\","
                                      "\"qualifier\":\"q\",\"value\":\"v\"}]}\n"
                                      "{\"row\":\"c\",\"cells\":[{\"family\":\"f\","
                                      "\"qualifier\":\"q\",\"timestamp\":1,\"value\":\"v\"}"
                                      "]}\n"
                                      "{\"row\":\"a\",\"cells\":[{\"qualifier\":\"q\","
                                      "\"timestamp\":1000,\"value\":\"second\"}]}");
    tool_expect_ok(RUN("table", "create", "lines", "--family", "f"));
    assert_int_equal(RUN("import", "lines", path, "--family", "f"), 1);
    assert_memory_equal(tool_stage.out, "wrote 2 rows, 2 cells, 15 bytes in ", 35);
    assert_non_null(strstr(tool_stage.out, "; refused 3\n"));
    tool_expect_err("cellar: line 3 refused: JSON: ");
    tool_expect_err(
        "cellar: line 4 refused: Error in field 'Mutation list' : Error in element #0 : "
        "Requested column family not found");
    tool_expect_err(
        "cellar: line 5 refused: Error in field 'Mutation list' : Error in element #0 : "
        "Timestamp granularity mismatch");
    tool_expect_ok(RUN("scan", "lines"));
    tool_expect_out("a\n  f:q  @1000  second\n"); /* the later line of one row wins */
    assert_int_equal(RUN("import", "nope", path), 3);
    assert_string_equal(tool_stage.out, "");
    tool_expect_ok(RUN("table", "drop", "lines", "--yes"));
}

static void many_refusals_are_counted(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    for (int line = 1; line <= 300; line++) {
        assert_int_equal(cellar_buffer_printf(&text, "bad %d\n", line), CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    tool_expect_ok(RUN("table", "create", "refused", "--family", "f"));
    assert_int_equal(
        RUN("import", "refused", tool_stage_file("bad.jsonl", (const char *)text.data)), 1);
    tool_expect_err("cellar: line 1 refused: ");
    tool_expect_err("cellar: line 50 refused: ");
    assert_null(strstr(tool_stage.err, "line 51 "));
    tool_expect_err("cellar: and 250 more refused\n");
    cellar_buffer_fini(&text);
    tool_expect_ok(RUN("table", "drop", "refused", "--yes"));
}

static void an_import_stops_at_too_many_refusals_and_goes_on(void **state)
{
    (void)state;
    char rejects[400];
    const char *path =
        tool_stage_file("some.jsonl", ROW("a") "bad 2\n" ROW("b") "bad 4\nbad 5\n" ROW("c"));
    (void)snprintf(rejects, sizeof rejects, "%s/rejects", tool_stage.loopback.folder);
    tool_expect_ok(RUN("table", "create", "stopped", "--family", "f"));
    assert_int_equal(
        RUN("import", "stopped", path, "--family", "f", "--max-errors", "1", "--rejects", rejects),
        1);
    tool_expect_err("cellar: line 4 refused: ");
    tool_expect_err("cellar: CANCELLED: Stopped by ");
    tool_expect_err("Run the same command again to go on from there.");
    assert_non_null(tool_stage_text("some.jsonl.progress"));
    assert_int_equal(RUN("import", "stopped", path, "--family", "f", "--timestamp", "1000"), 4);
    tool_expect_err("belongs to another import: its options is '--family=f', not '--family=f "
                    "--timestamp=1000'");
    assert_int_equal(
        RUN("import", "stopped", path, "--family", "f", "--max-errors", "3", "--rejects", rejects),
        1);
    assert_memory_equal(tool_stage.out, "wrote 3 rows, 3 cells, ", 23);
    assert_non_null(strstr(tool_stage.out, "; refused 3; "));
    assert_null(tool_stage_text("some.jsonl.progress"));
    assert_string_equal(tool_stage_text("rejects"), "bad 2\nbad 4\nbad 5\n");
    tool_expect_ok(RUN("count", "stopped"));
    tool_expect_out("3\n");
    tool_expect_ok(RUN("scan", "stopped", "--versions", "1", "--format", "csv"));
    char *first = strstr(tool_stage.out, "\na,f,q,");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\na,")); /* one version of it */
    /* All rows have one time, also those of the second run. */
    char time_text[40] = "";
    (void)snprintf(time_text, sizeof time_text, ",f,q,%.16s,v\n", first + strlen("\na,f,q,"));
    for (const char *at = first; at != NULL && at[1] != '\0'; at = strchr(at + 1, '\n')) {
        assert_memory_equal(at + 2, time_text, strlen(time_text));
    }
    tool_expect_ok(RUN("table", "drop", "stopped", "--yes"));
}

static void rejects_may_go_on_in_another_file(void **state)
{
    (void)state;
    char rejects[400];
    const char *path = tool_stage_file("parts.jsonl", "bad 1\nbad 2\nbad 3\n" ROW("a"));
    (void)snprintf(rejects, sizeof rejects, "%s/first", tool_stage.loopback.folder);
    tool_expect_ok(RUN("table", "create", "parts", "--family", "f"));
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--max-errors", "0", "--batch",
                         "1", "--rejects", rejects),
                     1);
    assert_non_null(tool_stage_text("first"));
    size_t bytes = strlen(tool_stage_text("first"));
    assert_true(bytes >= 6 && bytes <= 18);
    assert_int_equal(unlink(rejects), 0);
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--rejects", rejects), 4);
    tool_expect_err("is shorter than the import left it; name another file with --rejects");
    (void)unlink(rejects);
    (void)snprintf(rejects, sizeof rejects, "%s/second", tool_stage.loopback.folder);
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--rejects", rejects), 1);
    assert_non_null(strstr(tool_stage.out, "; refused 3; "));
    assert_int_equal(strlen(tool_stage_text("second")), 18 - bytes);
    tool_expect_ok(RUN("count", "parts"));
    tool_expect_out("1\n");
    tool_expect_ok(RUN("table", "drop", "parts", "--yes"));
}

static void a_dry_import_checks_everything_and_writes_nothing(void **state)
{
    (void)state;
    const char *path =
        tool_stage_file("dry.jsonl", ROW("a") "bad 2\n"
                                              "{\"row\":\"b\",\"cells\":[{\"family\":\"nope\","
                                              "\"qualifier\":\"q\",\"value\":\"v\"}]}\n"
                                              "{\"row\":\"c\",\"cells\":[{\"qualifier\":\"q\","
                                              "\"timestamp\":1,\"value\":\"v\"}]}\n");
    tool_expect_ok(RUN("table", "create", "dry", "--family", "f"));
    assert_int_equal(RUN("import", "dry", path, "--family", "f", "--dry-run"), 1);
    assert_memory_equal(tool_stage.out, "would write 1 rows, 1 cells, ", 29);
    tool_expect_err("cellar: line 2 refused: JSON");
    tool_expect_err("cellar: line 3 refused: The table has no family 'nope'");
    tool_expect_err("cellar: line 4 refused: The table wants timestamps in whole milliseconds");
    assert_int_equal(RUN("import", "dry", path, "--family", "f", "--dry-run", "--report", "json"),
                     1);
    assert_memory_equal(tool_stage.out,
                        "{\"dry_run\":true,\"rows\":1,\"cells\":1,\"bytes\":3,\"refused\":3,"
                        "\"rows_before\":0,\"seconds\":0.",
                        79);
    assert_int_equal(RUN("import", "dry", path, "--family", "f", "--dry-run", "--report", "csv"),
                     1);
    assert_memory_equal(tool_stage.out,
                        "dry_run,rows,cells,bytes,refused,rows_before,seconds\n"
                        "true,1,1,3,3,0,0.",
                        70);
    assert_int_equal(RUN("import", "dry", path, "--family", "f", "--report", "xml"), 2);
    tool_expect_err("Option --report must be text, json, jsonl or csv, but got 'xml'");
    assert_int_equal(RUN("import", "dry", path, "--dry-run", "--format", "json"), 2);
    tool_expect_err("--report names the format of the summary");
    assert_null(tool_stage_text("dry.jsonl.progress"));
    tool_expect_ok(RUN("count", "dry"));
    tool_expect_out("0\n");
    tool_expect_ok(RUN("table", "drop", "dry", "--yes"));
}

static void files_of_an_import_that_cannot_be_used_are_told(void **state)
{
    (void)state;
    char path[400];
    tool_expect_ok(RUN("table", "create", "files", "--family", "f"));
    (void)snprintf(path, sizeof path, "%s", tool_stage_file("input.jsonl", ROW("a")));
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--rejects", path), 2);
    tool_expect_err("which is the input");
    assert_string_equal(tool_stage_text("input.jsonl"), ROW("a"));
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--progress", "/nowhere/at/all"),
                     1);
    tool_expect_err("Cannot write '/nowhere/at/all': No such file or directory");
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--rejects", "/nowhere/at/all"),
                     2);
    (void)tool_stage_file("input.jsonl.progress", "something else\n");
    assert_int_equal(RUN("import", "files", path, "--family", "f"), 4);
    tool_expect_err("is not the whole progress of an import");
    tool_expect_ok(RUN("count", "files"));
    tool_expect_out("0\n");
    tool_expect_ok(RUN("table", "drop", "files", "--yes"));
}

/* Adds a row of `count` cells of `bytes` bytes each, the last in a family of its own. */
static void row_put(struct cellar_buffer *to, const char *key, unsigned count, int bytes,
                    const char *last_family)
{
    assert_int_equal(cellar_buffer_printf(to, "{\"row\":\"%s\",\"cells\":[", key), CELLAR_OK);
    for (unsigned index = 0; index < count; index++) {
        assert_int_equal(
            cellar_buffer_printf(to,
                                 "%s{\"family\":\"%s\",\"qualifier\":\"%06u\",\"timestamp\":0,"
                                 "\"value\":\"%0*d\"}",
                                 index == 0 ? "" : ",", index + 1 == count ? last_family : "f",
                                 index, bytes, 1),
            CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_printf(to, "]}\n"), CELLAR_OK);
}

static void rows_too_large_for_one_write_are_written_in_several(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    row_put(&text, "bytes", 12, 1000000, "f");
    row_put(&text, "cells", 100001, 1, "f");
    row_put(&text, "ok", 1, 1, "f");
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    tool_expect_ok(RUN("table", "create", "wide", "--family", "f"));
    const char *path = tool_stage_file("wide.jsonl", (const char *)text.data);
    tool_expect_ok(RUN("import", "wide", path, "--dry-run"));
    assert_memory_equal(tool_stage.out, "would write 3 rows, 100014 cells, 12700098 bytes", 48);
    tool_expect_ok(RUN("import", "wide", path, "--batch", "1", "--parallel", "1"));
    assert_memory_equal(tool_stage.out, "wrote 3 rows, 100014 cells, 12700098 bytes", 42);
    tool_expect_ok(RUN("scan", "wide", "--format", "jsonl"));
    tool_expect_out((const char *)text.data);
    cellar_buffer_fini(&text);
    tool_expect_ok(RUN("table", "drop", "wide", "--yes"));
}

static void a_large_row_with_a_mistake_is_refused_once_and_not_begun(void **state)
{
    (void)state;
    char rejects[400];
    struct cellar_buffer text = {0};
    struct cellar_buffer wanted = {0};
    row_put(&wanted, "large", 12, 1000000, "nope");
    assert_int_equal(cellar_buffer_printf(&text, ROW("before") "%.*s" ROW("behind"),
                                          (int)wanted.bytes, (const char *)wanted.data),
                     CELLAR_OK);
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    (void)snprintf(rejects, sizeof rejects, "%s/large", tool_stage.loopback.folder);
    tool_expect_ok(RUN("table", "create", "large", "--family", "f"));
    assert_int_equal(RUN("import", "large", tool_stage_file("large.jsonl", (const char *)text.data),
                         "--family", "f", "--rejects", rejects),
                     1);
    tool_expect_err("cellar: line 2 refused: The table has no family 'nope'\n");
    assert_null(strstr(tool_stage.err, "more refused"));
    assert_memory_equal(tool_stage.out, "wrote 2 rows, 2 cells, ", 23);
    assert_non_null(strstr(tool_stage.out, "; refused 1\n"));
    struct stat file;
    assert_int_equal(stat(rejects, &file), 0);
    assert_int_equal(file.st_size, wanted.bytes);
    tool_expect_ok(RUN("scan", "large", "--keys-only"));
    tool_expect_out("before\nbehind\n");
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&wanted);
    tool_expect_ok(RUN("table", "drop", "large", "--yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_are_imported_and_the_rest_refused_by_line),
        cmocka_unit_test(many_refusals_are_counted),
        cmocka_unit_test(an_import_stops_at_too_many_refusals_and_goes_on),
        cmocka_unit_test(rejects_may_go_on_in_another_file),
        cmocka_unit_test(a_dry_import_checks_everything_and_writes_nothing),
        cmocka_unit_test(files_of_an_import_that_cannot_be_used_are_told),
        cmocka_unit_test(rows_too_large_for_one_write_are_written_in_several),
        cmocka_unit_test(a_large_row_with_a_mistake_is_refused_once_and_not_begun),
    };
    return cmocka_run_group_tests_name("client_tool_import", tests, tool_stage_open,
                                       tool_stage_close);
}
