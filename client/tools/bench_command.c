/*
 * bench: measures a running server.
 *
 * The command makes a table of its own, loads what the workloads need, runs them one after the
 * other, prints a line for each as it ends, and drops the table. A table that exists already is
 * refused, and nothing but the new table is ever written to. Every answer is checked byte for byte
 * (bench_check.h): a wrong one ends the command with DATA_LOSS, and the table stays for a look.
 *
 * The workloads share the table, so that its rows are loaded once; what one changes the next one
 * knows (struct cellar_bench_state).
 */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "client/tools/bench_process.h"
#include "client/tools/bench_report.h"
#include "client/tools/bench_svg.h"
#include "client/tools/duration.h"
#include "client/tools/tool.h"
#include "common/cell.h"
#include "common/mem.h"

#define TABLE_DEFAULT "cellar-bench"
#define RUNS_MAX 32u /* workloads and loads of a command */
#define LOADS_COUNT 3u
#define RECORDS_A_TIMELINE 100u
#define WIDE_ROWS 10u
#define EVENTS_A_LOAD 50u
#define RATE_MAX 1e9

/* A run of the command. */
struct bench {
    struct cellar_tool *tool;
    struct cellar_bench_target target;
    struct cellar_bench_terms terms;
    struct cellar_bench_result *results; /* RUNS_MAX */
    size_t result_count;
    bool is_loaded[LOADS_COUNT];
    uint32_t batch;
    bool is_json;
    char table[CELLAR_TABLE_NAME_BYTES_MAX]; /* in full */
    struct cellar_buffer text;
};

/* Reads an option that may have decimals. */
static enum cellar_status real_option(const struct cellar_args *args, const char *name, double most,
                                      double *value, struct cellar_error *error)
{
    const char *text = cellar_args_text(args, name);
    char *end;
    CELLAR_ASSERT(most > 0);
    if (text == NULL) {
        return CELLAR_OK;
    }
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number > 0) || number > most) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --%s must be a number above 0, at most %.0f, but got "
                                "'%.64s'",
                                name, most, text);
    }
    *value = number;
    return CELLAR_OK;
}

/* Checks that the words name workloads. Before the table is made: a typing error should cost
 * nothing. */
static enum cellar_status workloads_check(const struct cellar_args *args,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(args->word_count <= RUNS_MAX - LOADS_COUNT);
    for (size_t index = 0; index < args->word_count; index++) {
        if (cellar_bench_workload_find(args->words[index]) == NULL) {
            struct cellar_buffer names = {0};
            enum cellar_status status = CELLAR_OK;
            const struct cellar_bench_workload *at = cellar_bench_workloads;
            for (; status == CELLAR_OK && at->name != NULL; at++) {
                status = cellar_buffer_printf(&names, " %s", at->name);
            }
            (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                   "There is no workload '%.64s'; there are:%.*s",
                                   args->words[index], (int)names.bytes, (const char *)names.data);
            cellar_buffer_fini(&names);
            return CELLAR_INVALID_ARGUMENT;
        }
    }
    return CELLAR_OK;
}

/* Reads the options of the runs. */
static enum cellar_status terms_fill(struct bench *bench, const struct cellar_args *args,
                                     struct cellar_bench_sizes *sizes, struct cellar_error *error)
{
    int64_t connections = 32;
    int64_t records = 100000;
    int64_t batch = 100;
    int64_t seed = 1;
    double seconds = 5;
    double warmup = 0.5;
    CELLAR_TRY(cellar_args_number(args, "connections",
                                  (struct cellar_args_limits){1, CELLAR_BENCH_CONNECTIONS_MAX},
                                  &connections, error));
    CELLAR_TRY(cellar_args_number(args, "records", (struct cellar_args_limits){1, 100000000},
                                  &records, error));
    CELLAR_TRY(
        cellar_args_number(args, "batch", (struct cellar_args_limits){1, 1000}, &batch, error));
    CELLAR_TRY(
        cellar_args_number(args, "seed", (struct cellar_args_limits){0, INT64_MAX}, &seed, error));
    CELLAR_TRY(cellar_args_number(args, "server-pid", (struct cellar_args_limits){1, INT32_MAX},
                                  &bench->target.server_pid, error));
    CELLAR_TRY(real_option(args, "seconds", 86400, &seconds, error));
    CELLAR_TRY(real_option(args, "warmup", 86400, &warmup, error));
    CELLAR_TRY(real_option(args, "rate", RATE_MAX, &bench->terms.rate, error));
    CELLAR_ASSERT(records > 0 && connections > 0);
    bench->batch = (uint32_t)batch;
    bench->terms.connections = (uint32_t)connections;
    bench->terms.measure_us = (int64_t)(seconds * 1e6);
    bench->terms.warmup_us = (int64_t)(warmup * 1e6);
    bench->terms.seed = (uint64_t)seed;
    sizes->record_count = (uint64_t)records;
    sizes->timeline_count = (uint64_t)records / RECORDS_A_TIMELINE + 1;
    sizes->wide_count = WIDE_ROWS;
    return CELLAR_OK;
}

/* Reads table, format and server. A server on this machine is found by its port, so that its
 * processor time can be told too. */
static enum cellar_status target_fill(struct bench *bench, const struct cellar_args *args,
                                      struct cellar_error *error)
{
    const char *table = cellar_args_text(args, "table");
    const char *instance = cellar_args_text(args, "instance");
    const char *format = cellar_args_text(args, "format");
    const char *name = table == NULL ? TABLE_DEFAULT : table;
    struct cellar_table_name parts;
    bool is_bare = strchr(name, '/') == NULL;
    int bytes = snprintf(bench->table, sizeof bench->table, "%s%s%s",
                         is_bare && instance != NULL ? instance : "",
                         is_bare && instance != NULL ? "/" : "", name);
    if (bytes < 0 || (size_t)bytes >= sizeof bench->table) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "The table's name is too long");
    }
    CELLAR_TRY(cellar_table_name_decode(cellar_slice_text(bench->table), &parts, error));
    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --format must be text or json, but got '%.64s'", format);
    }
    bench->is_json = format != NULL && strcmp(format, "json") == 0;
    bench->target.driver = &cellar_bench_cellar_driver;
    bench->target.table = bench->table;
    CELLAR_TRY(cellar_address_decode(bench->tool->endpoint, &bench->target.address, error));
    CELLAR_ASSERT(bench->target.server_pid >= 0);
    bool is_local = strcmp(bench->target.address.host, "127.0.0.1") == 0 ||
                    strcmp(bench->target.address.host, "localhost") == 0 ||
                    strcmp(bench->target.address.host, "::1") == 0;
    if (is_local && bench->target.server_pid == 0) {
        (void)cellar_bench_process_find((uint16_t)strtoul(bench->target.address.port, NULL, 10),
                                        &bench->target.server_pid);
    }
    return CELLAR_OK;
}

/* Makes the table. That the name is free is the server's to say: between a look and a create
 * somebody could be faster. */
static enum cellar_status table_create(struct bench *bench, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_rule newest = {.kind = CELLAR_RULE_VERSIONS, .amount = 1};
    CELLAR_ASSERT(bench->tool->client != NULL);
    cellar_schema_family(schema, CELLAR_BENCH_FAMILY, &newest);
    enum cellar_code code =
        cellar_table_create(bench->tool->client, bench->table, schema, &call, NULL);
    cellar_schema_free(schema);
    if (code == CELLAR_E_ALREADY_EXISTS) {
        return cellar_error_set(error, CELLAR_ALREADY_EXISTS,
                                "The table %s is there already, and the benchmark writes to no "
                                "table that it did not make: give --table another name",
                                bench->table);
    }
    return code == CELLAR_E_OK ? CELLAR_OK : cellar_tool_call_error(&call, error);
}

/* Prints what has been reported so far. */
static enum cellar_status text_flush(struct bench *bench, enum cellar_status status,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(bench->tool->out != NULL);
    CELLAR_TRY(cellar_tool_memory(status, error));
    CELLAR_TRY(cellar_tool_write(bench->tool, &bench->text, error));
    return fflush(bench->tool->out) == 0
               ? CELLAR_OK
               : cellar_error_set(error, CELLAR_IO_ERROR, "Cannot write the output");
}

/* Reports a result, after a comma where it is not the first. Printed as each run ends, and flushed:
 * whoever interrupts a long measurement keeps what there is. */
static enum cellar_status result_report(struct bench *bench, struct cellar_error *error)
{
    const struct cellar_bench_result *result = &bench->results[bench->result_count];
    enum cellar_status status = CELLAR_OK;
    if (bench->is_json) {
        status =
            cellar_buffer_printf(&bench->text, "%s\n    ", bench->result_count == 0 ? "" : ",");
        if (status == CELLAR_OK) {
            status = cellar_bench_report_json(result, &bench->text);
        }
    } else {
        status = cellar_bench_report_text(result, &bench->text);
    }
    bench->result_count++;
    CELLAR_ASSERT(bench->result_count <= RUNS_MAX);
    return text_flush(bench, status, error);
}

/* Loads what a workload needs, unless it is there. */
static enum cellar_status load_ensure(struct bench *bench, enum cellar_bench_load load,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT((size_t)load < LOADS_COUNT);
    if (bench->is_loaded[load]) {
        return CELLAR_OK;
    }
    uint32_t batch = load == CELLAR_BENCH_LOAD_TIMELINES ? EVENTS_A_LOAD : bench->batch;
    CELLAR_TRY(cellar_bench_load(&bench->target, load, &bench->terms, batch,
                                 &bench->results[bench->result_count], error));
    bench->is_loaded[load] = true;
    return result_report(bench, error);
}

/* Runs one workload. */
static enum cellar_status workload_run(struct bench *bench,
                                       const struct cellar_bench_workload *workload,
                                       struct cellar_error *error)
{
    CELLAR_ASSERT(bench->result_count < RUNS_MAX);
    CELLAR_TRY(load_ensure(bench, cellar_bench_workload_load(workload), error));
    if (bench->results[bench->result_count - 1].is_interrupted) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_bench_run(&bench->target, workload, &bench->terms,
                                &bench->results[bench->result_count], error));
    return result_report(bench, error);
}

/* Runs all workloads that were asked for; get, row, put and scan when none was. */
static enum cellar_status workloads_run(struct bench *bench, const struct cellar_args *args,
                                        struct cellar_error *error)
{
    static const char *const usual[] = {"get", "row", "put", "scan"};
    const char *const *names = args->word_count == 0 ? usual : args->words;
    size_t count = args->word_count == 0 ? CELLAR_ARRAY_COUNT(usual) : args->word_count;
    CELLAR_ASSERT(count + LOADS_COUNT <= RUNS_MAX);
    enum cellar_status status =
        bench->is_json ? cellar_buffer_printf(&bench->text,
                                              "{\"endpoint\":\"%s\",\"server_pid\":%" PRId64
                                              ",\"records\":%" PRIu64 ",\"results\":[",
                                              bench->tool->endpoint, bench->target.server_pid,
                                              bench->target.state.sizes.record_count)
                       : cellar_bench_report_head(&bench->text);
    CELLAR_TRY(text_flush(bench, status, error));
    for (size_t index = 0; index < count; index++) {
        const struct cellar_bench_workload *workload = cellar_bench_workload_find(names[index]);
        CELLAR_TRY(workload_run(bench, workload, error));
        if (bench->results[bench->result_count - 1].is_interrupted) {
            return cellar_error_set(error, CELLAR_CANCELLED,
                                    "Interrupted; the last line is of a shorter run");
        }
    }
    return bench->is_json
               ? text_flush(bench, cellar_buffer_append(&bench->text, "\n]}\n", 4), error)
               : CELLAR_OK;
}

/* Writes the picture of all results, if one is wanted. */
static enum cellar_status picture_write(struct bench *bench, const struct cellar_args *args,
                                        struct cellar_error *error)
{
    const char *path = cellar_args_text(args, "svg");
    struct cellar_buffer text = {0};
    char title[320];
    if (path == NULL) {
        return CELLAR_OK;
    }
    (void)snprintf(title, sizeof title, "cellar bench: %.200s, %u connections",
                   bench->tool->endpoint, bench->terms.connections);
    CELLAR_ASSERT(bench->result_count <= RUNS_MAX);
    enum cellar_status status = cellar_tool_memory(
        cellar_bench_svg(bench->results, bench->result_count, title, &text), error);
    FILE *file = status == CELLAR_OK ? fopen(path, "we") : NULL;
    if (status == CELLAR_OK && file == NULL) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Cannot write %.200s", path);
    }
    if (file != NULL) {
        bool is_written = fwrite(text.data, 1, text.bytes, file) == text.bytes;
        if (fclose(file) != 0 || !is_written) {
            status = cellar_error_set(error, CELLAR_IO_ERROR, "Cannot write %.200s", path);
        }
    }
    cellar_buffer_fini(&text);
    return status;
}

/* Makes the table, runs, and drops the table unless its contents are wanted. After a wrong answer
 * the table is the evidence, so it stays. */
static enum cellar_status table_run(struct bench *bench, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    struct cellar_call call = {0};
    CELLAR_TRY(table_create(bench, error));
    enum cellar_status status = workloads_run(bench, args, error);
    if (status == CELLAR_OK) {
        status = picture_write(bench, args, error);
    }
    if (cellar_args_has(args, "keep") || status == CELLAR_DATA_LOSS) {
        return status;
    }
    CELLAR_ASSERT(bench->tool->client != NULL);
    if (cellar_table_drop(bench->tool->client, bench->table, &call) != CELLAR_E_OK &&
        status == CELLAR_OK) {
        return cellar_tool_call_error(&call, error);
    }
    return status;
}

static enum cellar_status bench_run(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_error *error)
{
    struct bench bench = {.tool = tool};
    struct cellar_bench_sizes sizes;
    CELLAR_TRY(workloads_check(args, error));
    CELLAR_TRY(terms_fill(&bench, args, &sizes, error));
    CELLAR_TRY(target_fill(&bench, args, error));
    CELLAR_TRY(cellar_interrupt_start(&bench.target.interrupt, error));
    bench.results = cellar_mem_zalloc(RUNS_MAX, sizeof *bench.results);
    enum cellar_status status =
        bench.results == NULL ? cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for results")
                              : cellar_bench_state_init(&bench.target.state, &sizes, error);
    if (status == CELLAR_OK) {
        status = table_run(&bench, args, error);
    }
    CELLAR_ASSERT(bench.result_count <= RUNS_MAX);
    cellar_interrupt_stop(bench.target.interrupt);
    cellar_bench_state_fini(&bench.target.state);
    cellar_mem_free(bench.results);
    cellar_buffer_fini(&bench.text);
    return status;
}

static const struct cellar_option bench_options[] = {
    {"connections", "N", "with one operation in flight each; default 32"},
    {"rate", "R", "operations a second, sent on time whatever the answers; default: no pause"},
    {"records", "N", "rows of ten 100-byte cells; default 100000"},
    {"seconds", "S", "each workload is measured; default 5"},
    {"warmup", "S", "each workload runs before that; default 0.5"},
    {"batch", "N", "rows of a request while loading; default 100"},
    {"table", "T", "the name of the table to make; default " TABLE_DEFAULT},
    {"keep", NULL, "leave the table there"},
    {"seed", "N", "of the random choices; default 1"},
    {"server-pid", "PID", "whose processor time counts; default: who listens, if it is here"},
    {"svg", "FILE", "write a picture of the results, too"},
    {"format", "text|json", "how results are printed; default text"},
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_bench_commands[] = {
    {.verb = "bench",
     .words = "[WORKLOAD ...]",
     .summary = "Measures the server with a table of its own",
     .help = "    cellar bench                      get row put scan, five seconds each\n"
             "    cellar bench a b c d e f          YCSB's workloads\n"
             "    cellar bench row --rate 5000      latency at a given load\n"
             "    cellar bench c --batch 1          loads as YCSB does, a row a request\n"
             "\n"
             "Workloads: get, row (of ten cells), put, scan (1 to 100 rows), full-scan, slice (50\n"
             "columns of 10,000), timeline (80 % appends, 20 % reads of the newest 50), a to f\n"
             "(YCSB). Rows are loaded first. Every answer is checked byte for byte. Latency is\n"
             "counted from when an operation was due; `server us` and `row us` are the server's\n"
             "processor time an operation and a row.\n",
     .options = bench_options,
     .word_count_min = 0,
     .word_count_max = RUNS_MAX - LOADS_COUNT,
     .run = bench_run},
    {.verb = NULL},
};
