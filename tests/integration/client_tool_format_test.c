/*
 * The formats of `cellar import` and `cellar export` against a whole server in the process: what is
 * written is read again as the same cells, and a second import changes nothing.
 */
#include "tests/support/tool_stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STANZAS                                                                                    \
    "Package: b\nVersion: 1\nDepends: a (>= 2),\n c\n\n"                                           \
    "Package: a\nDescription: short\n long\n .\n end\nProvides: x\n\n"                             \
    "# comment\nPackage: b\nVersion: 2\n\n"                                                        \
    "Version: 3\n\n"                                                                               \
    "Package: z\nbroken\n"

static void debian_stanzas_are_imported_twice_and_once_the_same(void **state)
{
    (void)state;
    static const char wanted[] = "a\n"
                                 "  d:Provides     @1500000000123000  x\n"
                                 "  f:Description  @1500000000123000  short\\x0a long\\x0a .\\x0a "
                                 "end\n"
                                 "  f:Package      @1500000000123000  a\n"
                                 "b\n"
                                 "  d:Depends  @1500000000123000  a (>= 2),\\x0a c\n"
                                 "  f:Package  @1500000000124000  b\n"
                                 "  f:Package  @1500000000123000  b\n"
                                 "  f:Version  @1500000000124000  2\n"
                                 "  f:Version  @1500000000123000  1\n";
    const char *path = tool_stage_file("Packages", STANZAS);
    const struct timespec times[2] = {{1500000000, 123456789}, {1500000000, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    tool_expect_ok(
        RUN("table", "create", "debian", "--family", "f", "--family", "d", "--split", "b"));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(
            RUN("import", "debian", path, "--format", "deb822", "--parallel", "3", "--batch", "1"),
            1);
        assert_memory_equal(tool_stage.out, "wrote 3 rows, 8 cells, ", 23);
        tool_expect_err("cellar: line 17 refused: The stanza has no field 'Package'\n");
        tool_expect_err("cellar: line 20 refused: A line must be 'Field: value' or begin with a "
                        "blank\n");
        tool_expect_ok(RUN("scan", "debian"));
        tool_expect_out(wanted);
    }
    tool_expect_ok(RUN("table", "drop", "debian", "--yes"));
}

static void families_and_timestamp_of_an_import_can_be_set(void **state)
{
    (void)state;
    const char *path = tool_stage_file("Packages", "Package: p\nDepends: q\n");
    tool_expect_ok(RUN("table", "create", "set", "--family", "x", "--family", "y"));
    tool_expect_ok(RUN("import", "set", path, "--format", "deb822", "--family", "x",
                       "--dependency-family", "y", "--timestamp", "7000"));
    tool_expect_ok(RUN("scan", "set"));
    tool_expect_out("p\n  x:Package  @7000  p\n  y:Depends  @7000  q\n");
    tool_expect_ok(RUN("table", "drop", "set", "--yes"));
}

static void what_a_scan_prints_is_imported(void **state)
{
    (void)state;
    struct cellar_buffer copy = {0};
    tool_expect_ok(RUN("table", "create", "from", "--family", "f", "--granularity", "micros"));
    tool_expect_ok(RUN("table", "create", "to", "--family", "f", "--granularity", "micros"));
    tool_expect_ok(RUN("set", "from", "\\x00\\xff", "f:\\x80=\\xfe", "f:q=\xc3\xa9\"\\x5c\\x0a"));
    tool_expect_ok(RUN("set", "from", "plain", "f:q="));
    tool_expect_ok(RUN("scan", "from", "--format", "jsonl"));
    assert_int_equal(cellar_buffer_append(&copy, tool_stage.out, strlen(tool_stage.out) + 1),
                     CELLAR_OK);
    tool_expect_ok(RUN("import", "to", tool_stage_file("copy.jsonl", (const char *)copy.data)));
    tool_expect_ok(RUN("scan", "to", "--format", "jsonl"));
    tool_expect_out((const char *)copy.data);
    cellar_buffer_fini(&copy);
    tool_expect_ok(RUN("table", "drop", "from", "--yes"));
    tool_expect_ok(RUN("table", "drop", "to", "--yes"));
}

static void csv_is_imported_by_its_columns_or_as_it_was_printed(void **state)
{
    (void)state;
    char rejects[400];
    struct cellar_buffer copy = {0};
    (void)snprintf(rejects, sizeof rejects, "%s/rejects.csv", tool_stage.loopback.folder);
    tool_expect_ok(RUN("table", "create", "from", "--family", "f", "--granularity", "micros"));
    tool_expect_ok(RUN("table", "create", "to", "--family", "f", "--granularity", "micros"));
    const char *path = tool_stage_file(
        "people.csv", "id,region,name,age\r\n7,eu,\"Ann, \"\"A\"\"\",36\n8,us,Bob,old\n");
    assert_int_equal(RUN("import", "from", path, "--key", "region", "--key", "id", "--type",
                         "age=int64", "--family", "f", "--timestamp", "1000", "--rejects", rejects),
                     1);
    tool_expect_err("cellar: line 3 refused: Column 'age': int64 wants a decimal number");
    assert_string_equal(tool_stage_text("rejects.csv"), "id,region,name,age\r\n8,us,Bob,old\n");
    tool_expect_ok(RUN("scan", "from"));
    tool_expect_out("eu#7\n  f:age   @1000  \\x00\\x00\\x00\\x00\\x00\\x00\\x00$\n"
                    "  f:name  @1000  Ann, \"A\"\n");
    tool_expect_ok(RUN("set", "from", "\\x00\\xff,", "f:\\x80=\\xfe", "f:q=\xc3\xa9\"\\x5c\\x0a"));
    tool_expect_ok(RUN("scan", "from", "--format", "csv"));
    assert_int_equal(cellar_buffer_append(&copy, tool_stage.out, strlen(tool_stage.out) + 1),
                     CELLAR_OK);
    tool_expect_ok(RUN("import", "to", tool_stage_file("copy.csv", (const char *)copy.data)));
    tool_expect_ok(RUN("scan", "to", "--format", "csv"));
    tool_expect_out((const char *)copy.data);
    assert_int_equal(
        RUN("import", "to", tool_stage_file("people.csv", "id,name\n"), "--family", "f"), 2);
    tool_expect_err("Say so with --key COLUMN");
    cellar_buffer_fini(&copy);
    tool_expect_ok(RUN("table", "drop", "from", "--yes"));
    tool_expect_ok(RUN("table", "drop", "to", "--yes"));
}

static void a_table_is_exported_and_read_again(void **state)
{
    (void)state;
    static const char *const names[] = {"out.jsonl", "out.csv.gz", "out.jsonl.zst", "out.csv"};
    char path[400];
    struct cellar_buffer wanted = {0};
    tool_expect_ok(RUN("table", "create", "from", "--family", "f", "--split", "b"));
    for (const char *const *row = (const char *const[]){"a", "b", "\\x00", "ab", NULL};
         *row != NULL; row++) {
        tool_expect_ok(RUN("set", "from", *row, "f:q=old", "--timestamp", "1000"));
        tool_expect_ok(RUN("set", "from", *row, "f:q=\\xfe,\"", "f:r=", "--timestamp", "2000"));
    }
    tool_expect_ok(RUN("scan", "from", "--format", "jsonl"));
    assert_int_equal(cellar_buffer_append(&wanted, tool_stage.out, strlen(tool_stage.out) + 1),
                     CELLAR_OK);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        (void)snprintf(path, sizeof path, "%s/%s", tool_stage.loopback.folder, names[index]);
        tool_expect_ok(RUN("table", "create", "to", "--family", "f"));
        tool_expect_ok(RUN("export", "from", path));
        assert_memory_equal(tool_stage.out, "exported 4 rows, 12 cells, ", 27);
        tool_expect_ok(RUN("import", "to", path));
        tool_expect_ok(RUN("scan", "to", "--format", "jsonl"));
        tool_expect_out((const char *)wanted.data);
        tool_expect_ok(RUN("table", "drop", "to", "--yes"));
    }
    assert_null(tool_stage_text("out.csv.part"));
    assert_null(tool_stage_text("out.csv.progress"));
    assert_int_equal(RUN("export", "from", "--prefix", "a", "--versions", "1", "--column", "f:q",
                         "--limit", "1", "--format", "csv"),
                     0);
    tool_expect_out("row,family,qualifier,timestamp,value\na,f,q,2000,\"\\xfe,\"\"\"\n");
    tool_expect_err("exported 1 rows, 1 cells, ");
    assert_int_equal(RUN("export", "from", "-", "--start", "ab", "--end", "b", "--versions", "1"),
                     0);
    tool_expect_out(
        "{\"row\":\"ab\",\"cells\":[{\"family\":\"f\",\"qualifier\":\"q\",\"timestamp\":2000,"
        "\"value\":{\"b64\":\"/iwi\"}},{\"family\":\"f\",\"qualifier\":\"r\",\"timestamp\":2000,"
        "\"value\":\"\"}]}\n");
    cellar_buffer_fini(&wanted);
    tool_expect_ok(RUN("table", "drop", "from", "--yes"));
}

static void exports_that_cannot_be_are_told(void **state)
{
    (void)state;
    char path[400];
    (void)snprintf(path, sizeof path, "%s", tool_stage_file("old.jsonl", "old\n"));
    tool_expect_ok(RUN("table", "create", "some", "--family", "f"));
    assert_int_equal(RUN("export", "nope", path), 3);
    assert_int_equal(RUN("export", "some", "--column", "nope"), 3);
    assert_int_equal(RUN("export", "some", "--column", "nope", path), 3);
    assert_null(tool_stage_text("old.jsonl.part"));
    assert_null(tool_stage_text("old.jsonl.progress"));
    assert_string_equal(tool_stage_text("old.jsonl"), "old\n");
    assert_int_equal(RUN("export", "some", path, "--format", "xml"), 2);
    assert_int_equal(RUN("export", "some", path, "--compress", "xz"), 2);
    assert_int_equal(RUN("export", "some", path, "--start", "b", "--end", "a"), 2);
    assert_int_equal(RUN("export", "some", path, "--prefix", "b", "--end", "a"), 2);
    assert_int_equal(RUN("export", "some", "/nowhere/at/all"), 2);
    assert_int_equal(RUN("export", "some", "/dev/full"), 0); /* there is nothing to write */
    tool_expect_ok(RUN("set", "some", "r", "f:q=v"));
    assert_int_equal(RUN("export", "some", "/dev/full"), 1);
    tool_expect_err("Cannot write '/dev/full': No space left on device");
    tool_expect_ok(RUN("table", "drop", "some", "--yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debian_stanzas_are_imported_twice_and_once_the_same),
        cmocka_unit_test(families_and_timestamp_of_an_import_can_be_set),
        cmocka_unit_test(what_a_scan_prints_is_imported),
        cmocka_unit_test(csv_is_imported_by_its_columns_or_as_it_was_printed),
        cmocka_unit_test(a_table_is_exported_and_read_again),
        cmocka_unit_test(exports_that_cannot_be_are_told),
    };
    return cmocka_run_group_tests_name("client_tool_format", tests, tool_stage_open,
                                       tool_stage_close);
}
