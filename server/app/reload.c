/*
 * SIGHUP: new settings for a running server.
 *
 * The command line and the environment are those of the start, so what can have changed is the
 * file. All layers are read into fresh settings and checked as at a start; any mistake, each one a
 * line in the log, ends it there and the old settings stay.
 *
 * Then option by option what is wanted is held against what runs: for a live option that is what
 * was applied last, for any other one what the server was started with. The service's limits come
 * first, as they are the only ones that can still be refused; nothing was changed then.
 *
 * Memory was divided at the start between requests, answers and the service, so the two budgets may
 * trade memory between them and shrink, but not grow beyond what both had.
 */
#include "server/app/reload.h"

#include <inttypes.h>
#include <string.h>

#define NAME_BYTES_MAX 64u

static void report(void *context, const struct cellar_error *error)
{
    CELLAR_ASSERT(context != NULL);
    cellar_log(CELLAR_LOG_ERROR, "config_error", "text=\"%s\"", error->text);
}

/* Whether the budgets of requests and answers can be had without a restart. */
static bool budgets_fit(const struct cellar_server_config *started,
                        const struct cellar_server_config *wanted)
{
    uint64_t total = started->svc.memory_bytes_max + started->request_bytes_max_total +
                     started->answer_bytes_max_total;
    uint64_t total_wanted = wanted->svc.memory_bytes_max + wanted->request_bytes_max_total +
                            wanted->answer_bytes_max_total;
    CELLAR_ASSERT(total > 0);
    return total == total_wanted && wanted->svc.memory_bytes_max >= started->svc.memory_bytes_max;
}

static bool is_budget(const struct cellar_config_option *option)
{
    CELLAR_ASSERT(option->name != NULL);
    return strcmp(option->name, "request-bytes-max-total") == 0 ||
           strcmp(option->name, "answer-bytes-max-total") == 0;
}

/* The option's name as files and --print-config have it. */
static void copy_name(const char *name, char *to)
{
    size_t length = strlen(name);
    CELLAR_ASSERT(length < NAME_BYTES_MAX);
    for (size_t i = 0; i <= length; i++) {
        to[i] = name[i] == '-' ? '_' : name[i];
    }
}

/* Puts the value that stays in use into the new settings, for the next time. */
static void keep_value(struct cellar_config *settings, size_t index,
                       const struct cellar_config_value *running)
{
    const char *text =
        cellar_arena_copy(&settings->arena, running->text, strlen(running->text) + 1);
    CELLAR_ASSERT(index < settings->option_count);
    if (text != NULL) { /* else the log is wrong about it, next time */
        settings->values[index] = *running;
        settings->values[index].text = text;
    }
}

/* Logs what differs. Returns how many live options do. */
static uint32_t log_changes(const struct cellar_reload *reload, struct cellar_config *wanted,
                            bool has_budgets, uint32_t *restart_count)
{
    const struct cellar_config *latest =
        reload->latest.values != NULL ? &reload->latest : reload->started;
    uint32_t changed_count = 0;
    CELLAR_ASSERT(wanted->option_count == latest->option_count);
    for (size_t i = 0; i < wanted->option_count; i++) {
        const struct cellar_config_option *option = &wanted->options[i];
        bool is_live = option->is_live && (has_budgets || !is_budget(option));
        const struct cellar_config_value *value =
            &(option->is_live ? latest : reload->started)->values[i];
        const char *running = value->text;
        const char *text = wanted->values[i].text;
        if (option->is_flag_only || strcmp(running, text) == 0) {
            continue;
        }
        char name[NAME_BYTES_MAX];
        copy_name(option->name, name);
        changed_count += is_live ? 1 : 0;
        *restart_count += is_live ? 0 : 1;
        cellar_log(is_live ? CELLAR_LOG_INFO : CELLAR_LOG_WARN,
                   is_live ? "config_changed" : "config_needs_restart",
                   "setting=%s running=\"%s\" wanted=\"%s\"", name, running, text);
        if (option->is_live && !is_live) {
            keep_value(wanted, i, value);
        }
    }
    return changed_count;
}

/* Reads and checks. @param config  receives what the settings mean */
static enum cellar_status read_all(const struct cellar_reload *reload,
                                   struct cellar_config *settings,
                                   struct cellar_server_config *config)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    settings->report = report;
    settings->report_context = settings;
    enum cellar_status status = cellar_server_config_read(
        settings, reload->count, reload->arguments, reload->environment, &error);
    if (status == CELLAR_OK) {
        status = cellar_server_config_resolve(settings, config, &error);
    }
    if (status != CELLAR_OK) {
        report(settings, &error);
        settings->error_count++;
    }
    CELLAR_ASSERT(status == CELLAR_OK || settings->error_count > 0);
    return settings->error_count == 0 ? CELLAR_OK : CELLAR_INVALID_ARGUMENT;
}

/* Applies settings that are right. */
static enum cellar_status apply(struct cellar_reload *reload, struct cellar_server *server,
                                struct cellar_config *settings, struct cellar_server_config *config)
{
    struct cellar_error error;
    uint32_t restart_count = 0;
    bool has_budgets = budgets_fit(reload->started_config, config);
    if (!has_budgets) {
        config->request_bytes_max_total = 0;
        config->answer_bytes_max_total = 0;
    }
    cellar_error_clear(&error);
    enum cellar_status status = cellar_server_reconfigure(server, config, &error);
    if (status != CELLAR_OK) {
        report(reload, &error);
        return status;
    }
    /* Who asks for fewer lines, or for more, is told what changed either way. */
    cellar_log_level_set(CELLAR_MIN(reload->log_level, config->log_level));
    uint32_t changed_count = log_changes(reload, settings, has_budgets, &restart_count);
    cellar_log(CELLAR_LOG_INFO, "config_reloaded", "changed=%" PRIu32 " need_restart=%" PRIu32,
               changed_count, restart_count);
    cellar_log_level_set(config->log_level);
    reload->log_level = config->log_level;
    CELLAR_ASSERT(changed_count + restart_count <= settings->option_count);
    return CELLAR_OK;
}

bool cellar_reload_run(struct cellar_reload *reload, struct cellar_server *server)
{
    struct cellar_config settings;
    struct cellar_server_config config;
    CELLAR_ASSERT(reload->started != NULL && server != NULL);
    enum cellar_status status =
        cellar_config_init(&settings, reload->started->options, reload->started->option_count);
    if (status == CELLAR_OK) {
        status = read_all(reload, &settings, &config);
    }
    if (status == CELLAR_OK) {
        status = apply(reload, server, &settings, &config);
    }
    if (status != CELLAR_OK) {
        cellar_log(CELLAR_LOG_ERROR, "config_reload_failed", "action=\"the old settings stay\"");
        cellar_config_fini(&settings);
        return false;
    }
    cellar_config_fini(&reload->latest);
    reload->latest = settings;
    return true;
}

void cellar_reload_fini(struct cellar_reload *reload)
{
    CELLAR_ASSERT(reload != NULL);
    cellar_config_fini(&reload->latest);
}
