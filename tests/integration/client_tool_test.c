/*
 * The program `cellar` against a whole server in the process: every command does what its help
 * says, prints what it must, and ends with the exit code of its failure; imports write what they
 * can, refuse the rest by line, and change nothing the second time.
 */
#include "tests/support/loopback.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/tool.h"
#include "server/io/address.h"
#include "tests/support/model_service.h"

#define ARGC_MAX 24

/* The server, and what the last run printed. */
struct stage {
    struct loopback loopback;
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    char *out;
    char *err;
};

static struct stage stage;

static int open_stage(void **state)
{
    struct svc_options options;
    (void)state;
    model_service_options_init(&options);
    loopback_open(&stage.loopback, &options);
    (void)io_address_show(cellar_server_address(stage.loopback.server), stage.endpoint);
    return 0;
}

static int close_stage(void **state)
{
    (void)state;
    free(stage.out);
    free(stage.err);
    loopback_close(&stage.loopback);
    return 0;
}

static int run(const char *const *arguments)
{
    char *argv[ARGC_MAX];
    size_t bytes;
    int argc = 0;
    for (; arguments[argc] != NULL; argc++) {
        assert_true(argc < ARGC_MAX - 1);
        argv[argc] = strdup(arguments[argc]);
    }
    argv[argc] = NULL;
    free(stage.out);
    free(stage.err);
    FILE *out = open_memstream(&stage.out, &bytes);
    FILE *err = open_memstream(&stage.err, &bytes);
    char *kept[ARGC_MAX];
    memcpy(kept, argv, sizeof kept); /* the program moves its arguments about */
    int exit_code = cellar_tool_run(argc, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    for (int index = 0; index < argc; index++) {
        free(kept[index]);
    }
    return exit_code;
}

#define RUN(...)                                                                                   \
    run((const char *const[]){"cellar", "--endpoint", stage.endpoint, __VA_ARGS__, NULL})

/* Fails the test unless the last run printed exactly that. */
static void expect_out(const char *wanted)
{
    if (strcmp(stage.out, wanted) != 0) {
        fail_msg("got:\n%s\nwanted:\n%s\nerrors:\n%s", stage.out, wanted, stage.err);
    }
}

static void expect_err(const char *wanted)
{
    if (strstr(stage.err, wanted) == NULL) {
        fail_msg("'%s' does not hold '%s'", stage.err, wanted);
    }
}

static void expect_ok(int exit_code)
{
    if (exit_code != 0) {
        fail_msg("exit code %d: %s", exit_code, stage.err);
    }
    assert_string_equal(stage.err, "");
}

/* A file in the stage's folder. */
static const char *file_of(const char *name, const char *text)
{
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", stage.loopback.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void a_server_is_asked_how_it_is(void **state)
{
    (void)state;
    expect_ok(RUN("ping"));
    expect_out("ready\n");
    expect_ok(RUN("ping", "--ready"));
    expect_ok(RUN("ping", "--format", "json"));
    expect_out("{\"ready\":true}\n");
    expect_ok(RUN("ping", "--format", "csv"));
    expect_out("ready\ntrue\n");
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
    expect_ok(RUN("table", "create", "held", "--family", "f", "--split", "m"));
    expect_ok(RUN("set", "held", "r", "f:q=v"));
    expect_ok(RUN("get", "held", "r"));
    expect_ok(RUN("info"));
    assert_non_null(strstr(stage.out, stage.loopback.data_dir));
    assert_non_null(strstr(stage.out, stage.endpoint));
    assert_null(strstr(stage.out, "\nmore\n")); /* every figure has its place */
    assert_null(strstr(stage.out, "failed"));
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shown); index++) {
        if (strstr(stage.out, shown[index]) == NULL) {
            fail_msg("'%s' is not in\n%s", shown[index], stage.out);
        }
    }
    assert_null(strstr(stage.out, "  in use          0 B\n"));
    expect_ok(RUN("info", "--format", "json", "--interval", "1ms"));
    assert_memory_equal(stage.out, "{\"version\":\"", 12);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(figures); index++) {
        if (strstr(stage.out, figures[index]) == NULL) {
            fail_msg("'%s' is not in\n%s", figures[index], stage.out);
        }
    }
    assert_null(strstr(stage.out, "\"reads\":0,"));
    assert_null(strstr(stage.out, "\"writes\":0,"));
    assert_int_equal(RUN("info", "--interval", "2h"), 2);
    expect_err("--interval may be at most 1h");
    expect_ok(RUN("table", "drop", "held", "--yes"));
}

static void tables_are_created_shown_and_dropped(void **state)
{
    (void)state;
    expect_ok(RUN("table", "create", "shown", "--family", "f:max-versions=2:max-age=7d", "--family",
                  "a", "--split", "m", "--split", "\\xff\\x00", "--granularity", "micros"));
    expect_out("created projects/default/instances/default/tables/shown: 2 families, 3 tablets\n");
    assert_int_equal(RUN("table", "create", "shown"), 4);
    expect_err("cellar: ALREADY_EXISTS: ");
    expect_ok(RUN("table", "describe", "shown"));
    assert_non_null(strstr(stage.out, "  granularity  micros\n"));
    assert_non_null(strstr(stage.out, "  family  a  keeps everything\n"));
    assert_non_null(strstr(stage.out, "  family  f  max-versions=2:max-age=7d\n"));
    assert_non_null(strstr(stage.out, "  from \\xff\\x00\n"));
    expect_ok(RUN("--instance", "p/i", "table", "create", "elsewhere", "--family", "f"));
    expect_ok(RUN("table", "ls"));
    expect_out("shown\n");
    expect_ok(RUN("table", "ls", "--instance=p/i", "--format", "jsonl"));
    expect_out("{\"name\":\"projects/p/instances/i/tables/elsewhere\"}\n");
    expect_ok(RUN("table", "drop", "p/i/elsewhere", "--yes"));
    expect_ok(RUN("table", "ls", "--instance", "p/i"));
    expect_out("");
    assert_int_equal(RUN("table", "drop", "p/i/elsewhere", "--yes"), 3);
    assert_int_equal(RUN("table", "describe", "nope"), 3);
    expect_err("cellar: NOT_FOUND: ");
    expect_err("cellar table ls");
    assert_int_equal(RUN("table", "create", "bad name"), 2);
    assert_int_equal(RUN("table", "create", "t", "--split", ""), 2);
    expect_ok(RUN("table", "drop", "shown", "--yes"));
}

static void cells_are_set_read_and_deleted(void **state)
{
    (void)state;
    expect_ok(RUN("table", "create", "cells", "--family", "f", "--family", "g"));
    expect_ok(RUN("set", "cells", "r", "f:q=new", "--timestamp", "2000"));
    expect_out("");
    expect_ok(
        RUN("set", "cells", "r", "f:q=old", "f:=", "g:\\x00\\xff=\\\\", "--timestamp", "1000"));
    expect_ok(RUN("get", "cells", "r", "nope"));
    expect_out("r\n"
               "  f:          @1000  \n"
               "  f:q         @2000  new\n"
               "  f:q         @1000  old\n"
               "  g:\\x00\\xff  @1000  \\x5c\n");
    expect_ok(RUN("get", "cells", "r", "--column", "f:q", "--versions", "1"));
    expect_out("r\n  f:q  @2000  new\n");
    expect_ok(RUN("get", "cells", "r", "--column", "g", "--format", "csv"));
    expect_out("row,family,qualifier,timestamp,value\nr,g,\\x00\\xff,1000,\\x5c\n");
    expect_ok(RUN("get", "cells", "nope"));
    expect_out("");
    expect_ok(RUN("delete", "cells", "r", "f:q"));
    expect_ok(RUN("delete", "cells", "r", "g"));
    expect_ok(RUN("get", "cells", "r", "--format", "jsonl"));
    expect_out("{\"row\":\"r\",\"cells\":[{\"family\":\"f\",\"qualifier\":\"\",\"timestamp\":1000,"
               "\"value\":\"\"}]}\n");
    expect_ok(RUN("delete", "cells", "r", "f:"));
    expect_ok(RUN("set", "cells", "r", "f:q=v"));
    expect_ok(RUN("delete", "cells", "r"));
    expect_ok(RUN("count", "cells"));
    expect_out("0\n");
    assert_int_equal(RUN("set", "cells", "r", "nope:q=v"), 3);
    expect_err("Requested column family not found");
    assert_int_equal(RUN("set", "cells", "r", "f:q=v", "--timestamp", "1"), 2);
    expect_err("multiple of 1000");
    assert_int_equal(RUN("set", "nope", "r", "f:q=v"), 3);
    expect_ok(RUN("table", "drop", "cells", "--yes"));
}

static void what_would_go_is_said_and_nothing_goes(void **state)
{
    (void)state;
    expect_ok(RUN("table", "create", "dry", "--family", "f", "--family", "g", "--split", "m"));
    expect_ok(RUN("set", "dry", "r\\x1b", "f:a=1", "f:b=2", "g:c=3", "--timestamp", "0"));
    expect_ok(RUN("delete", "dry", "r\\x1b", "--dry-run"));
    expect_out("would delete 3 cells of row r\\x1b\n");
    expect_ok(RUN("delete", "dry", "r\\x1b", "f", "--dry-run"));
    expect_out("would delete 2 cells of row r\\x1b\n");
    expect_ok(RUN("delete", "dry", "r\\x1b", "g:c", "--dry-run"));
    expect_out("would delete 1 cell of row r\\x1b\n");
    expect_ok(RUN("delete", "dry", "nope", "--dry-run"));
    expect_out("would delete 0 cells of row nope\n");
    assert_int_equal(RUN("delete", "dry", "r", "x:c", "--dry-run"), 3);
    expect_err("Table 'dry' has no family 'x'");
    assert_int_equal(RUN("delete", "nope", "r", "--dry-run"), 3);
    expect_ok(RUN("table", "drop", "dry", "--dry-run"));
    expect_out("would drop projects/default/instances/default/tables/dry: 2 families, 2 tablets, "
               "1 row\n");
    expect_ok(RUN("table", "drop", "dry", "--dry-run", "--yes"));
    assert_int_equal(RUN("table", "drop", "nope", "--dry-run"), 3);
    assert_int_equal(RUN("table", "drop", "dry"), 2);
    expect_err("'table drop' needs --yes where there is no terminal");
    expect_ok(RUN("count", "dry"));
    expect_out("1\n");
    expect_ok(RUN("scan", "dry"));
    assert_non_null(strstr(stage.out, "f:b  @0  2\n"));
    expect_ok(RUN("table", "drop", "dry", "--yes"));
    assert_int_equal(RUN("count", "dry"), 3);
}

static void scans_are_cut_turned_and_limited(void **state)
{
    (void)state;
    expect_ok(RUN("table", "create", "scanned", "--family", "f", "--split", "b"));
    static const char *const keys[] = {"a", "aa", "ab", "b", "\\xff"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(keys); index++) {
        expect_ok(RUN("set", "scanned", keys[index], "f:q=v", "--timestamp", "0"));
    }
    expect_ok(RUN("scan", "scanned", "--keys-only"));
    expect_out("a\naa\nab\nb\n\\xff\n");
    expect_ok(RUN("scan", "scanned", "--keys-only", "--reverse", "--limit", "2"));
    expect_out("\\xff\nb\n");
    expect_ok(RUN("scan", "scanned", "--keys-only", "--prefix", "a"));
    expect_out("a\naa\nab\n");
    expect_ok(RUN("scan", "scanned", "--keys-only", "--prefix", "\\xff", "--format", "csv"));
    expect_out("row\n\\xff\n");
    expect_ok(RUN("scan", "scanned", "--keys-only", "--start", "aa", "--end", "b"));
    expect_out("aa\nab\n");
    expect_ok(RUN("scan", "scanned", "--limit", "1"));
    expect_out("a\n  f:q  @0  v\n");
    expect_ok(RUN("scan", "scanned", "--column", "f:other"));
    expect_out("");
    expect_ok(RUN("scan", "scanned", "--prefix", "zz", "--format", "json"));
    expect_out("[]\n");
    expect_ok(RUN("count", "scanned", "--prefix", "a", "--format", "json"));
    expect_out("{\"rows\":3}\n");
    assert_int_equal(RUN("scan", "scanned", "--start", "b", "--end", "a"), 2);
    expect_err("start_key must be less than end_key");
    assert_int_equal(RUN("scan", "nope"), 3);
    expect_ok(RUN("table", "drop", "scanned", "--yes"));
}

static void json_lines_are_imported_and_the_rest_refused_by_line(void **state)
{
    (void)state;
    const char *path = file_of("rows.jsonl", "{\"row\":\"a\",\"cells\":[{\"family\":\"f\","
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
    expect_ok(RUN("table", "create", "lines", "--family", "f"));
    assert_int_equal(RUN("import", "lines", path, "--family", "f"), 1);
    assert_memory_equal(stage.out, "wrote 2 rows, 2 cells, 15 bytes in ", 35);
    assert_non_null(strstr(stage.out, "; refused 3\n"));
    expect_err("cellar: line 3 refused: JSON: ");
    expect_err("cellar: line 4 refused: Error in field 'Mutation list' : Error in element #0 : "
               "Requested column family not found");
    expect_err("cellar: line 5 refused: Error in field 'Mutation list' : Error in element #0 : "
               "Timestamp granularity mismatch");
    expect_ok(RUN("scan", "lines"));
    expect_out("a\n  f:q  @1000  second\n"); /* the later line of one row wins */
    assert_int_equal(RUN("import", "nope", path), 3);
    assert_string_equal(stage.out, "");
    expect_ok(RUN("table", "drop", "lines", "--yes"));
}

static void many_refusals_are_counted(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    for (int line = 1; line <= 300; line++) {
        assert_int_equal(cellar_buffer_printf(&text, "bad %d\n", line), CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_append(&text, "", 1), CELLAR_OK);
    expect_ok(RUN("table", "create", "refused", "--family", "f"));
    assert_int_equal(RUN("import", "refused", file_of("bad.jsonl", (const char *)text.data)), 1);
    expect_err("cellar: line 1 refused: ");
    expect_err("cellar: line 50 refused: ");
    assert_null(strstr(stage.err, "line 51 "));
    expect_err("cellar: and 250 more refused\n");
    cellar_buffer_fini(&text);
    expect_ok(RUN("table", "drop", "refused", "--yes"));
}

/* Everything in a file of the stage's folder. */
static char *text_of(const char *name)
{
    char path[400];
    static char text[4096];
    (void)snprintf(path, sizeof path, "%s/%s", stage.loopback.folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    text[bytes] = '\0';
    (void)fclose(file);
    return text;
}

#define ROW(key) "{\"row\":\"" key "\",\"cells\":[{\"qualifier\":\"q\",\"value\":\"v\"}]}\n"

static void an_import_stops_at_too_many_refusals_and_goes_on(void **state)
{
    (void)state;
    char rejects[400];
    const char *path = file_of("some.jsonl", ROW("a") "bad 2\n" ROW("b") "bad 4\nbad 5\n" ROW("c"));
    (void)snprintf(rejects, sizeof rejects, "%s/rejects", stage.loopback.folder);
    expect_ok(RUN("table", "create", "stopped", "--family", "f"));
    assert_int_equal(
        RUN("import", "stopped", path, "--family", "f", "--max-errors", "1", "--rejects", rejects),
        1);
    expect_err("cellar: line 4 refused: ");
    expect_err("cellar: CANCELLED: Stopped by ");
    expect_err("Run the same command again to go on from there.");
    assert_non_null(text_of("some.jsonl.progress"));
    assert_int_equal(RUN("import", "stopped", path, "--family", "f", "--timestamp", "1000"), 4);
    expect_err("belongs to another import: its options is '--family=f', not '--family=f "
               "--timestamp=1000'");
    assert_int_equal(
        RUN("import", "stopped", path, "--family", "f", "--max-errors", "3", "--rejects", rejects),
        1);
    assert_memory_equal(stage.out, "wrote 3 rows, 3 cells, ", 23);
    assert_non_null(strstr(stage.out, "; refused 3; "));
    assert_null(text_of("some.jsonl.progress"));
    assert_string_equal(text_of("rejects"), "bad 2\nbad 4\nbad 5\n");
    expect_ok(RUN("count", "stopped"));
    expect_out("3\n");
    expect_ok(RUN("scan", "stopped", "--versions", "1", "--format", "csv"));
    char *first = strstr(stage.out, "\na,f,q,");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\na,")); /* one version of it */
    /* All rows have one time, also those of the second run. */
    char time_text[40] = "";
    (void)snprintf(time_text, sizeof time_text, ",f,q,%.16s,v\n", first + strlen("\na,f,q,"));
    for (const char *at = first; at != NULL && at[1] != '\0'; at = strchr(at + 1, '\n')) {
        assert_memory_equal(at + 2, time_text, strlen(time_text));
    }
    expect_ok(RUN("table", "drop", "stopped", "--yes"));
}

static void rejects_may_go_on_in_another_file(void **state)
{
    (void)state;
    char rejects[400];
    const char *path = file_of("parts.jsonl", "bad 1\nbad 2\nbad 3\n" ROW("a"));
    (void)snprintf(rejects, sizeof rejects, "%s/first", stage.loopback.folder);
    expect_ok(RUN("table", "create", "parts", "--family", "f"));
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--max-errors", "0", "--batch",
                         "1", "--rejects", rejects),
                     1);
    assert_non_null(text_of("first"));
    size_t bytes = strlen(text_of("first"));
    assert_true(bytes >= 6 && bytes <= 18);
    assert_int_equal(unlink(rejects), 0);
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--rejects", rejects), 4);
    expect_err("is shorter than the import left it; name another file with --rejects");
    (void)unlink(rejects);
    (void)snprintf(rejects, sizeof rejects, "%s/second", stage.loopback.folder);
    assert_int_equal(RUN("import", "parts", path, "--family", "f", "--rejects", rejects), 1);
    assert_non_null(strstr(stage.out, "; refused 3; "));
    assert_int_equal(strlen(text_of("second")), 18 - bytes);
    expect_ok(RUN("count", "parts"));
    expect_out("1\n");
    expect_ok(RUN("table", "drop", "parts", "--yes"));
}

static void a_dry_import_checks_everything_and_writes_nothing(void **state)
{
    (void)state;
    const char *path =
        file_of("dry.jsonl", ROW("a") "bad 2\n"
                                      "{\"row\":\"b\",\"cells\":[{\"family\":\"nope\","
                                      "\"qualifier\":\"q\",\"value\":\"v\"}]}\n"
                                      "{\"row\":\"c\",\"cells\":[{\"qualifier\":\"q\","
                                      "\"timestamp\":1,\"value\":\"v\"}]}\n");
    expect_ok(RUN("table", "create", "dry", "--family", "f"));
    assert_int_equal(RUN("import", "dry", path, "--family", "f", "--dry-run"), 1);
    assert_memory_equal(stage.out, "would write 1 rows, 1 cells, ", 29);
    expect_err("cellar: line 2 refused: JSON");
    expect_err("cellar: line 3 refused: The table has no family 'nope'");
    expect_err("cellar: line 4 refused: The table wants timestamps in whole milliseconds");
    assert_null(text_of("dry.jsonl.progress"));
    expect_ok(RUN("count", "dry"));
    expect_out("0\n");
    expect_ok(RUN("table", "drop", "dry", "--yes"));
}

static void files_of_an_import_that_cannot_be_used_are_told(void **state)
{
    (void)state;
    char path[400];
    expect_ok(RUN("table", "create", "files", "--family", "f"));
    (void)snprintf(path, sizeof path, "%s", file_of("input.jsonl", ROW("a")));
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--rejects", path), 2);
    expect_err("which is the input");
    assert_string_equal(text_of("input.jsonl"), ROW("a"));
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--progress", "/nowhere/at/all"),
                     1);
    expect_err("Cannot write '/nowhere/at/all': No such file or directory");
    assert_int_equal(RUN("import", "files", path, "--family", "f", "--rejects", "/nowhere/at/all"),
                     2);
    (void)file_of("input.jsonl.progress", "something else\n");
    assert_int_equal(RUN("import", "files", path, "--family", "f"), 4);
    expect_err("is not the whole progress of an import");
    expect_ok(RUN("count", "files"));
    expect_out("0\n");
    expect_ok(RUN("table", "drop", "files", "--yes"));
}

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
    const char *path = file_of("Packages", STANZAS);
    const struct timespec times[2] = {{1500000000, 123456789}, {1500000000, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    expect_ok(RUN("table", "create", "debian", "--family", "f", "--family", "d", "--split", "b"));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(
            RUN("import", "debian", path, "--format", "deb822", "--parallel", "3", "--batch", "1"),
            1);
        assert_memory_equal(stage.out, "wrote 3 rows, 8 cells, ", 23);
        expect_err("cellar: line 17 refused: The stanza has no field 'Package'\n");
        expect_err("cellar: line 20 refused: A line must be 'Field: value' or begin with a "
                   "blank\n");
        expect_ok(RUN("scan", "debian"));
        expect_out(wanted);
    }
    expect_ok(RUN("table", "drop", "debian", "--yes"));
}

static void families_and_timestamp_of_an_import_can_be_set(void **state)
{
    (void)state;
    const char *path = file_of("Packages", "Package: p\nDepends: q\n");
    expect_ok(RUN("table", "create", "set", "--family", "x", "--family", "y"));
    expect_ok(RUN("import", "set", path, "--format", "deb822", "--family", "x",
                  "--dependency-family", "y", "--timestamp", "7000"));
    expect_ok(RUN("scan", "set"));
    expect_out("p\n  x:Package  @7000  p\n  y:Depends  @7000  q\n");
    expect_ok(RUN("table", "drop", "set", "--yes"));
}

static void what_a_scan_prints_is_imported(void **state)
{
    (void)state;
    struct cellar_buffer copy = {0};
    expect_ok(RUN("table", "create", "from", "--family", "f", "--granularity", "micros"));
    expect_ok(RUN("table", "create", "to", "--family", "f", "--granularity", "micros"));
    expect_ok(RUN("set", "from", "\\x00\\xff", "f:\\x80=\\xfe", "f:q=\xc3\xa9\"\\x5c\\x0a"));
    expect_ok(RUN("set", "from", "plain", "f:q="));
    expect_ok(RUN("scan", "from", "--format", "jsonl"));
    assert_int_equal(cellar_buffer_append(&copy, stage.out, strlen(stage.out) + 1), CELLAR_OK);
    expect_ok(RUN("import", "to", file_of("copy.jsonl", (const char *)copy.data)));
    expect_ok(RUN("scan", "to", "--format", "jsonl"));
    expect_out((const char *)copy.data);
    cellar_buffer_fini(&copy);
    expect_ok(RUN("table", "drop", "from", "--yes"));
    expect_ok(RUN("table", "drop", "to", "--yes"));
}

static void csv_is_imported_by_its_columns_or_as_it_was_printed(void **state)
{
    (void)state;
    char rejects[400];
    struct cellar_buffer copy = {0};
    (void)snprintf(rejects, sizeof rejects, "%s/rejects.csv", stage.loopback.folder);
    expect_ok(RUN("table", "create", "from", "--family", "f", "--granularity", "micros"));
    expect_ok(RUN("table", "create", "to", "--family", "f", "--granularity", "micros"));
    const char *path =
        file_of("people.csv", "id,region,name,age\r\n7,eu,\"Ann, \"\"A\"\"\",36\n8,us,Bob,old\n");
    assert_int_equal(RUN("import", "from", path, "--key", "region", "--key", "id", "--type",
                         "age=int64", "--family", "f", "--timestamp", "1000", "--rejects", rejects),
                     1);
    expect_err("cellar: line 3 refused: Column 'age': int64 wants a decimal number");
    assert_string_equal(text_of("rejects.csv"), "id,region,name,age\r\n8,us,Bob,old\n");
    expect_ok(RUN("scan", "from"));
    expect_out("eu#7\n  f:age   @1000  \\x00\\x00\\x00\\x00\\x00\\x00\\x00$\n"
               "  f:name  @1000  Ann, \"A\"\n");
    expect_ok(RUN("set", "from", "\\x00\\xff,", "f:\\x80=\\xfe", "f:q=\xc3\xa9\"\\x5c\\x0a"));
    expect_ok(RUN("scan", "from", "--format", "csv"));
    assert_int_equal(cellar_buffer_append(&copy, stage.out, strlen(stage.out) + 1), CELLAR_OK);
    expect_ok(RUN("import", "to", file_of("copy.csv", (const char *)copy.data)));
    expect_ok(RUN("scan", "to", "--format", "csv"));
    expect_out((const char *)copy.data);
    assert_int_equal(RUN("import", "to", file_of("people.csv", "id,name\n"), "--family", "f"), 2);
    expect_err("Say so with --key COLUMN");
    cellar_buffer_fini(&copy);
    expect_ok(RUN("table", "drop", "from", "--yes"));
    expect_ok(RUN("table", "drop", "to", "--yes"));
}

static void a_table_is_exported_and_read_again(void **state)
{
    (void)state;
    static const char *const names[] = {"out.jsonl", "out.csv.gz", "out.jsonl.zst", "out.csv"};
    char path[400];
    struct cellar_buffer wanted = {0};
    expect_ok(RUN("table", "create", "from", "--family", "f", "--split", "b"));
    for (const char *const *row = (const char *const[]){"a", "b", "\\x00", "ab", NULL};
         *row != NULL; row++) {
        expect_ok(RUN("set", "from", *row, "f:q=old", "--timestamp", "1000"));
        expect_ok(RUN("set", "from", *row, "f:q=\\xfe,\"", "f:r=", "--timestamp", "2000"));
    }
    expect_ok(RUN("scan", "from", "--format", "jsonl"));
    assert_int_equal(cellar_buffer_append(&wanted, stage.out, strlen(stage.out) + 1), CELLAR_OK);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(names); index++) {
        (void)snprintf(path, sizeof path, "%s/%s", stage.loopback.folder, names[index]);
        expect_ok(RUN("table", "create", "to", "--family", "f"));
        expect_ok(RUN("export", "from", path));
        assert_memory_equal(stage.out, "exported 4 rows, 12 cells, ", 27);
        expect_ok(RUN("import", "to", path));
        expect_ok(RUN("scan", "to", "--format", "jsonl"));
        expect_out((const char *)wanted.data);
        expect_ok(RUN("table", "drop", "to", "--yes"));
    }
    assert_null(text_of("out.csv.part"));
    assert_null(text_of("out.csv.progress"));
    assert_int_equal(RUN("export", "from", "--prefix", "a", "--versions", "1", "--column", "f:q",
                         "--limit", "1", "--format", "csv"),
                     0);
    expect_out("row,family,qualifier,timestamp,value\na,f,q,2000,\"\\xfe,\"\"\"\n");
    expect_err("exported 1 rows, 1 cells, ");
    assert_int_equal(RUN("export", "from", "-", "--start", "ab", "--end", "b", "--versions", "1"),
                     0);
    expect_out(
        "{\"row\":\"ab\",\"cells\":[{\"family\":\"f\",\"qualifier\":\"q\",\"timestamp\":2000,"
        "\"value\":{\"b64\":\"/iwi\"}},{\"family\":\"f\",\"qualifier\":\"r\",\"timestamp\":2000,"
        "\"value\":\"\"}]}\n");
    cellar_buffer_fini(&wanted);
    expect_ok(RUN("table", "drop", "from", "--yes"));
}

static void exports_that_cannot_be_are_told(void **state)
{
    (void)state;
    char path[400];
    (void)snprintf(path, sizeof path, "%s", file_of("old.jsonl", "old\n"));
    expect_ok(RUN("table", "create", "some", "--family", "f"));
    assert_int_equal(RUN("export", "nope", path), 3);
    assert_int_equal(RUN("export", "some", "--column", "nope"), 3);
    assert_int_equal(RUN("export", "some", "--column", "nope", path), 3);
    assert_null(text_of("old.jsonl.part"));
    assert_null(text_of("old.jsonl.progress"));
    assert_string_equal(text_of("old.jsonl"), "old\n");
    assert_int_equal(RUN("export", "some", path, "--format", "xml"), 2);
    assert_int_equal(RUN("export", "some", path, "--compress", "xz"), 2);
    assert_int_equal(RUN("export", "some", path, "--start", "b", "--end", "a"), 2);
    assert_int_equal(RUN("export", "some", path, "--prefix", "b", "--end", "a"), 2);
    assert_int_equal(RUN("export", "some", "/nowhere/at/all"), 2);
    assert_int_equal(RUN("export", "some", "/dev/full"), 0); /* there is nothing to write */
    expect_ok(RUN("set", "some", "r", "f:q=v"));
    assert_int_equal(RUN("export", "some", "/dev/full"), 1);
    expect_err("Cannot write '/dev/full': No space left on device");
    expect_ok(RUN("table", "drop", "some", "--yes"));
}

static void rows_too_large_for_one_write_are_refused_by_line(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    assert_int_equal(cellar_buffer_printf(&text, "{\"row\":\"wide\",\"cells\":["), CELLAR_OK);
    for (int index = 0; index < 100001; index++) {
        assert_int_equal(cellar_buffer_printf(&text,
                                              "%s{\"qualifier\":\"%d\",\"timestamp\":0,\"value\":"
                                              "\"\"}",
                                              index == 0 ? "" : ",", index),
                         CELLAR_OK);
    }
    assert_int_equal(cellar_buffer_printf(&text,
                                          "]}\n{\"row\":\"ok\",\"cells\":[{\"qualifier\":"
                                          "\"q\",\"timestamp\":0,\"value\":\"\"}]}\n%c",
                                          0),
                     CELLAR_OK);
    expect_ok(RUN("table", "create", "wide", "--family", "f"));
    assert_int_equal(
        RUN("import", "wide", file_of("wide.jsonl", (const char *)text.data), "--family", "f"), 1);
    expect_err("cellar: line 1 refused: A row may have at most 100000 cells in one write");
    expect_ok(RUN("count", "wide"));
    expect_out("1\n");
    cellar_buffer_fini(&text);
    expect_ok(RUN("table", "drop", "wide", "--yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_asked_how_it_is),
        cmocka_unit_test(a_server_tells_what_it_holds_and_does),
        cmocka_unit_test(tables_are_created_shown_and_dropped),
        cmocka_unit_test(cells_are_set_read_and_deleted),
        cmocka_unit_test(what_would_go_is_said_and_nothing_goes),
        cmocka_unit_test(scans_are_cut_turned_and_limited),
        cmocka_unit_test(json_lines_are_imported_and_the_rest_refused_by_line),
        cmocka_unit_test(many_refusals_are_counted),
        cmocka_unit_test(an_import_stops_at_too_many_refusals_and_goes_on),
        cmocka_unit_test(rejects_may_go_on_in_another_file),
        cmocka_unit_test(a_dry_import_checks_everything_and_writes_nothing),
        cmocka_unit_test(files_of_an_import_that_cannot_be_used_are_told),
        cmocka_unit_test(debian_stanzas_are_imported_twice_and_once_the_same),
        cmocka_unit_test(families_and_timestamp_of_an_import_can_be_set),
        cmocka_unit_test(what_a_scan_prints_is_imported),
        cmocka_unit_test(csv_is_imported_by_its_columns_or_as_it_was_printed),
        cmocka_unit_test(a_table_is_exported_and_read_again),
        cmocka_unit_test(exports_that_cannot_be_are_told),
        cmocka_unit_test(rows_too_large_for_one_write_are_refused_by_line),
    };
    return cmocka_run_group_tests_name("client_tool", tests, open_stage, close_stage);
}
