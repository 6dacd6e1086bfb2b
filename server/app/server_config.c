/*
 * cellard's options.
 *
 * The table below is all there is to know about an option: name, kind, bounds, default, help.
 * Bounds that depend on another option, and what the kinds of common/config.h cannot say (an
 * address, a log level), are checked in cellar_server_config_resolve().
 *
 * memory_bytes_max is the whole server's. What arriving requests and waiting answers may hold is
 * taken from it, some more than a quarter and an eighth unless said otherwise; the service gets the
 * rest.
 *
 * A server without authentication that other machines can reach hands its data to anybody, so a
 * listen address that is not loopback needs --insecure beside it.
 */
#include "server/app/server_config.h"

#include <inttypes.h>
#include <unistd.h>

#include "common/clock.h"

#define MIB UINT64_C(1048576)
#define GIB UINT64_C(1073741824)
#define SVC_MEMORY_BYTES_MIN (64 * MIB)
/* So that the longest request, 256 MiB, fits beside others in the default of 1 GiB. */
#define REQUEST_BYTES_EXTRA (8 * MIB)

/* Rows of the table: name, default, bounds where there are any, the value's name in the help, help.
 */
#define ANY_TEXT(option, live, value, shown, text)                                                 \
    {                                                                                              \
        .name = option, .kind = CELLAR_CONFIG_TEXT, .is_live = live, .default_value = value,       \
        .value_name = shown, .help = text                                                          \
    }
#define ANY_NUMBER(option, of_kind, live, value, min, max, shown, text)                            \
    {                                                                                              \
        .name = option, .kind = of_kind, .is_live = live, .default_value = value,                  \
        .number_min = min, .number_max = max, .value_name = shown, .help = text                    \
    }
#define TEXT(option, value, shown, text) ANY_TEXT(option, false, value, shown, text)
#define BYTES(option, value, min, max, text)                                                       \
    ANY_NUMBER(option, CELLAR_CONFIG_BYTES, false, value, min, max, "BYTES", text)
#define COUNT(option, value, min, max, text)                                                       \
    ANY_NUMBER(option, CELLAR_CONFIG_COUNT, false, value, min, max, "N", text)
/* Those that SIGHUP changes in a running server. */
#define LIVE_TEXT(option, value, shown, text) ANY_TEXT(option, true, value, shown, text)
#define LIVE_BYTES(option, value, min, max, text)                                                  \
    ANY_NUMBER(option, CELLAR_CONFIG_BYTES, true, value, min, max, "BYTES", text)
#define LIVE_COUNT(option, value, min, max, text)                                                  \
    ANY_NUMBER(option, CELLAR_CONFIG_COUNT, true, value, min, max, "N", text)
#define LIVE_TIME(option, value, min, max, text)                                                   \
    ANY_NUMBER(option, CELLAR_CONFIG_DURATION, true, value, min, max, "TIME", text)
#define SWITCH(option, value, once, text)                                                          \
    {                                                                                              \
        .name = option, .kind = CELLAR_CONFIG_BOOL, .default_value = value, .is_flag_only = once,  \
        .help = text                                                                               \
    }

/* clang-format off */
const struct cellar_config_option cellar_server_options[] = {
    TEXT("listen", "127.0.0.1:8086", "HOST:PORT", "where to serve; port 0 takes a free one"),
    TEXT("port-file", "", "FILE", "write the port number there once ready"),
    TEXT("data-dir", "./cellar-data", "DIR", "where the data lives; made if it does not exist"),
    SWITCH("insecure", "false", false,
           "allow other machines to connect, without encryption or authentication"),
    COUNT("workers", "0", 0, CELLAR_SERVER_LOOP_COUNT_MAX,
          "threads that serve connections; 0 is three for four cores"),
    LIVE_COUNT("connections-max", "4096", 1, 1000000, "connections at once; more are closed"),
    BYTES("memory-bytes-max", "1g", 128 * MIB, 1024 * GIB, "memory of the whole server"),
    LIVE_BYTES("request-bytes-max-total", "0", 0, 256 * GIB,
          "memory of arriving requests, all connections; 0 is a quarter of memory"),
    LIVE_BYTES("answer-bytes-max-total", "0", 0, 256 * GIB,
          "memory of answers waiting to be sent; 0 is an eighth of memory"),
    LIVE_BYTES("memtable-bytes-max", "64m", MIB, 1024 * GIB,
          "memory of writes that are not in the stores yet"),
    LIVE_BYTES("log-unapplied-bytes-max", "128m", MIB, 1024 * GIB,
          "log that a restart has to replay, in bytes"),
    LIVE_COUNT("log-unapplied-records-max", "1000000", 100, INT64_MAX,
          "log that a restart has to replay, in records"),
    BYTES("log-segment-bytes", "16m", 65536, GIB, "size of a file of the log"),
    BYTES("store-map-bytes", "64g", MIB, 65536 * GIB,
          "how large a store may become; for stores made from now on"),
    COUNT("store-tokens-max", "1000000", 1, 100000000,
          "live idempotency tokens of one store"),
    COUNT("checkpoint-records-max", "0", 0, INT64_MAX,
          "checkpoint a store after this many records; 0 is never for that reason"),
    SWITCH("implicit-instances", "true", false,
           "creating a table creates its project and instance"),
    LIVE_TIME("drain-timeout", "5s", 0, UINT64_C(86400000000),
         "how long requests in flight may take to finish when the server stops"),
    LIVE_TIME("scrub-interval", "7d", 0, UINT64_C(31536000000000),
         "how often everything on disk is checked in the background; 0 is never"),
    LIVE_COUNT("compact-garbage", "50", 0, 100,
          "percent of a tablet's file without data that make a compaction due; 0 is never"),
    LIVE_TIME("compact-interval", "7d", 0, UINT64_C(31536000000000),
         "how often a tablet is compacted where something may be gone; 0 is never"),
    LIVE_BYTES("compact-rate", "64m", 0, 1024 * GIB,
          "bytes a second that due compactions write; 0 is no limit"),
    LIVE_TEXT("log-level", "info", "LEVEL", "debug, info, warn or error"),
    TEXT("config", "", "FILE", "read settings from there: lines of key = value"),
    SWITCH("print-config", "false", true,
           "print all settings and where each comes from, then exit"),
    SWITCH("check-config", "false", true,
           "check all settings, say what is wrong with them and where, then exit"),
    {.name = "check-data", .kind = CELLAR_CONFIG_TEXT, .is_flag_only = true, .default_value = "",
     .value_name = "DIR",
     .help = "check a data directory that no server uses, then exit: 0 sound, 1 damaged"},
    {.name = "format", .kind = CELLAR_CONFIG_TEXT, .is_flag_only = true, .default_value = "text",
     .value_name = "FORMAT", .help = "how --check-data says what it finds: text or json"},
    SWITCH("version", "false", true, "print the version, then exit"),
    SWITCH("help", "false", true, "print this, then exit"),
};
/* clang-format on */

const size_t cellar_server_option_count = CELLAR_ARRAY_COUNT(cellar_server_options);

enum cellar_status cellar_server_config_read(struct cellar_config *settings, int count,
                                             char *const *arguments, char *const *environment,
                                             struct cellar_error *error)
{
    CELLAR_ASSERT(settings->options == cellar_server_options);
    CELLAR_TRY(cellar_config_read_flags(settings, count, arguments, error));
    CELLAR_TRY(cellar_config_read_environment(settings, environment, error));
    const char *file = cellar_config_text(settings, "config");
    CELLAR_ASSERT(file != NULL);
    return file[0] == '\0' ? CELLAR_OK : cellar_config_read_file(settings, file, error);
}

static enum cellar_status resolve_address(const struct cellar_config *settings,
                                          struct cellar_server_config *config,
                                          struct cellar_error *error)
{
    config->listen = cellar_config_text(settings, "listen");
    config->port_file = cellar_config_text(settings, "port-file");
    if (io_address_decode(config->listen, &config->address, error) != CELLAR_OK) {
        return cellar_config_refuse(settings, "listen", error);
    }
    bool is_open = cellar_config_bool(settings, "insecure");
    CELLAR_ASSERT(config->listen[0] != '\0');
    if (!is_open && !io_address_is_loopback(&config->address)) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                               "other machines can reach %s, and this server has no encryption or "
                               "authentication yet; listen on 127.0.0.1, or say --insecure if the "
                               "network around it is private",
                               config->listen);
        return cellar_config_refuse(settings, "listen", error);
    }
    return CELLAR_OK;
}

static enum cellar_status resolve_log_level(const struct cellar_config *settings,
                                            struct cellar_server_config *config,
                                            struct cellar_error *error)
{
    const char *text = cellar_config_text(settings, "log-level");
    CELLAR_ASSERT(text != NULL);
    if (!cellar_log_level_decode(text, &config->log_level)) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                               "'%s' is not debug, info, warn or error", text);
        return cellar_config_refuse(settings, "log-level", error);
    }
    return CELLAR_OK;
}

/* Divides the memory between requests, answers and the service. */
static enum cellar_status resolve_memory(const struct cellar_config *settings,
                                         struct cellar_server_config *config,
                                         struct cellar_error *error)
{
    uint64_t total = cellar_config_number(settings, "memory-bytes-max");
    uint64_t requests = cellar_config_number(settings, "request-bytes-max-total");
    uint64_t answers = cellar_config_number(settings, "answer-bytes-max-total");
    requests = requests != 0 ? requests : total / 4 + REQUEST_BYTES_EXTRA;
    answers = answers != 0 ? answers : total / 8;
    if (requests < 4 * MIB || answers < 4 * MIB) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "request_bytes_max_total and answer_bytes_max_total must be at "
                                "least 4m, but are %" PRIu64 " and %" PRIu64,
                                requests, answers);
    }
    if (requests + answers + SVC_MEMORY_BYTES_MIN > total) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "request_bytes_max_total (%" PRIu64
                                ") and answer_bytes_max_total (%" PRIu64
                                ") must leave 64m of memory_bytes_max (%" PRIu64 ")",
                                requests, answers, total);
    }
    config->request_bytes_max_total = requests;
    config->answer_bytes_max_total = answers;
    config->svc.memory_bytes_max = total - requests - answers;
    CELLAR_ASSERT(config->svc.memory_bytes_max >= SVC_MEMORY_BYTES_MIN);
    return CELLAR_OK;
}

static void resolve_svc(const struct cellar_config *settings, struct svc_options *options)
{
    CELLAR_ASSERT(options->memory_bytes_max > 0);
    options->data_dir = cellar_config_text(settings, "data-dir");
    options->memtable_bytes_max = cellar_config_number(settings, "memtable-bytes-max");
    options->log_unapplied_bytes_max = cellar_config_number(settings, "log-unapplied-bytes-max");
    options->log_unapplied_records_max =
        cellar_config_number(settings, "log-unapplied-records-max");
    options->log_segment_bytes = cellar_config_number(settings, "log-segment-bytes");
    options->store_map_bytes = cellar_config_number(settings, "store-map-bytes");
    options->store_tokens_max = cellar_config_number(settings, "store-tokens-max");
    options->checkpoint_records_max = cellar_config_number(settings, "checkpoint-records-max");
    options->scrub_interval_us = (int64_t)cellar_config_number(settings, "scrub-interval");
    options->compact_garbage_percent = cellar_config_number(settings, "compact-garbage");
    options->compact_interval_us = (int64_t)cellar_config_number(settings, "compact-interval");
    options->compact_bytes_per_second = cellar_config_number(settings, "compact-rate");
    options->implicit_instances = cellar_config_bool(settings, "implicit-instances");
}

/* A quarter of the cores is left for the log, checkpoints and the kernel's network. Where there are
 * two, one loop that wakes up for many requests at once beats two that wake up for half as many. */
static uint32_t resolve_loop_count(const struct cellar_config *settings)
{
    uint64_t count = cellar_config_number(settings, "workers");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (count == 0 && cores > 0) {
        count = (uint64_t)cores * 3 / 4;
    }
    count = CELLAR_MIN(CELLAR_MAX(count, UINT64_C(1)), CELLAR_SERVER_LOOP_COUNT_MAX);
    CELLAR_ASSERT(count >= 1);
    return (uint32_t)count;
}

enum cellar_status cellar_server_config_resolve(struct cellar_config *settings,
                                                struct cellar_server_config *config,
                                                struct cellar_error *error)
{
    struct cellar_server_config resolved = {.listen = NULL};
    CELLAR_ASSERT(config != NULL);
    svc_options_init(&resolved.svc);
    enum cellar_status status = resolve_log_level(settings, &resolved, error);
    CELLAR_TRY(cellar_config_note(settings, status, error));
    status = resolve_memory(settings, &resolved, error);
    CELLAR_TRY(cellar_config_note(settings, status, error));
    status = resolve_address(settings, &resolved, error);
    CELLAR_TRY(cellar_config_note(settings, status, error));
    resolve_svc(settings, &resolved.svc);
    status = svc_options_check(&resolved.svc, error);
    CELLAR_TRY(cellar_config_note(settings, status, error));
    resolved.drain_us = (int64_t)cellar_config_number(settings, "drain-timeout");
    resolved.loop_count = resolve_loop_count(settings);
    resolved.connection_count_max = (uint32_t)cellar_config_number(settings, "connections-max");
    *config = resolved;
    return CELLAR_OK;
}
