/*
 * The service: opening and closing the server's data, names, and figures. Operations stand in
 * service_tables.c, service_writes.c and service_reads.c.
 *
 * Rights, limits and deadlines are checked here, before anything else sees a request. While
 * draining, writes are refused and those under way are counted, so that svc_drain() knows when the
 * last has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/service/service_internal.h"

#define MIB UINT64_C(1048576)
#define DRAIN_POLL_NS 1000000
#define LOAD_IDLE_US INT64_C(60000000)
#define WEEK_US INT64_C(604800000000)

void svc_options_init(struct svc_options *options)
{
    CELLAR_ASSERT(options != NULL);
    *options = (struct svc_options){
        .data_dir = "cellar-data",
        .memory_bytes_max = 1024 * MIB,
        .memtable_bytes_max = 64 * MIB,
        .log_unapplied_bytes_max = 128 * MIB,
        .log_unapplied_records_max = 1000000,
        .log_segment_bytes = 64 * MIB,
        .store_map_bytes = 65536 * MIB,
        .store_tokens_max = 1000000,
        .scrub_interval_us = WEEK_US,
        .compact_garbage_percent = 50,
        .compact_interval_us = WEEK_US,
        .compact_bytes_per_second = 64 * MIB,
        .load_idle_us = LOAD_IDLE_US,
        .implicit_instances = true,
    };
}

/* The front ends know no storage header, hence two structures with the same fields. */
static struct store_engine_options engine_options_of(const struct svc_options *options)
{
    CELLAR_ASSERT(options->data_dir != NULL);
    return (struct store_engine_options){
        .data_dir = options->data_dir,
        .memory_bytes_max = options->memory_bytes_max,
        .memtable_bytes_max = options->memtable_bytes_max,
        .unapplied_bytes_max = options->log_unapplied_bytes_max,
        .unapplied_records_max = options->log_unapplied_records_max,
        .segment_bytes = options->log_segment_bytes,
        .map_bytes = options->store_map_bytes,
        .store_tokens_max = options->store_tokens_max,
        .checkpoint_records_max = options->checkpoint_records_max,
    };
}

enum cellar_status svc_options_check(const struct svc_options *options, struct cellar_error *error)
{
    struct store_engine_options engine_options = engine_options_of(options);
    CELLAR_ASSERT(engine_options.data_dir != NULL);
    if (options->compact_garbage_percent > 100) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "compact_garbage must be between 0 and 100, but is %llu",
                                (unsigned long long)options->compact_garbage_percent);
    }
    return store_engine_options_check(&engine_options, error);
}

/* The threads beside the engine's. */
static enum cellar_status helpers_start(struct svc *svc, const struct svc_options *options,
                                        struct cellar_error *error)
{
    const struct svc_compactor_terms terms = {
        {(unsigned)options->compact_garbage_percent, options->compact_interval_us},
        options->compact_bytes_per_second};
    CELLAR_ASSERT(svc->db != NULL);
    CELLAR_TRY(svc_scrubber_start(svc->db, options->scrub_interval_us, &svc->scrubber, error));
    CELLAR_TRY(svc_compactor_start(svc->db, &terms, &svc->compactor, error));
    return svc_loader_start(svc->db, options->load_idle_us, &svc->loader, error);
}

enum cellar_status svc_open(const struct svc_options *options, struct svc **svc,
                            struct cellar_error *error)
{
    struct cellar_error local;
    const struct store_engine_options engine_options = engine_options_of(options);
    struct svc *opened = cellar_mem_zalloc(1, sizeof *opened);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for the service");
    }
    svc_gate_init(&opened->bulky);
    opened->implicit_instances = options->implicit_instances;
    enum cellar_status status =
        tablet_db_open(&engine_options, &opened->db, error != NULL ? error : &local);
    if (status == CELLAR_OK) {
        status = helpers_start(opened, options, error != NULL ? error : &local);
    }
    if (status != CELLAR_OK) {
        svc_compactor_stop(opened->compactor);
        svc_scrubber_stop(opened->scrubber);
        tablet_db_close(opened->db);
        svc_gate_fini(&opened->bulky);
        cellar_mem_free(opened);
        return status;
    }
    CELLAR_ASSERT(opened->scrubber != NULL);
    *svc = opened;
    return CELLAR_OK;
}

enum cellar_status svc_limits_set(struct svc *svc, const struct svc_limits *limits,
                                  struct cellar_error *error)
{
    const struct store_engine_limits engine_limits = {limits->memtable_bytes_max,
                                                      limits->log_unapplied_bytes_max,
                                                      limits->log_unapplied_records_max};
    CELLAR_ASSERT(svc->db != NULL);
    CELLAR_TRY(store_engine_limits_set(tablet_db_engine(svc->db), &engine_limits, error));
    svc_scrubber_interval_set(svc->scrubber, limits->scrub_interval_us);
    const struct svc_compactor_terms terms = {
        {(unsigned)limits->compact_garbage_percent, limits->compact_interval_us},
        limits->compact_bytes_per_second};
    svc_compactor_terms_set(svc->compactor, &terms);
    return CELLAR_OK;
}

/* Polling, since it happens once in the life of a server: a condition variable would cost every
 * write something. */
void svc_drain(struct svc *svc)
{
    const struct timespec pause = {.tv_nsec = DRAIN_POLL_NS};
    atomic_store(&svc->is_draining, true);
    while (atomic_load(&svc->write_count) > 0) {
        (void)nanosleep(&pause, NULL);
    }
    CELLAR_ASSERT(atomic_load(&svc->is_draining));
}

void svc_close(struct svc *svc)
{
    if (svc == NULL) {
        return;
    }
    CELLAR_ASSERT(atomic_load(&svc->write_count) == 0);
    svc_loader_stop(svc->loader);
    svc_compactor_stop(svc->compactor);
    svc_scrubber_stop(svc->scrubber);
    tablet_db_close(svc->db);
    svc_gate_fini(&svc->bulky);
    cellar_mem_free(svc);
}

/* The moment was fixed when the request came, so a request that waited in a queue too long is not
 * begun. */
enum cellar_status svc_deadline_check(const struct svc_request *request, struct cellar_error *error)
{
    if (request == NULL || request->deadline_us == 0) {
        return CELLAR_OK;
    }
    int64_t late_us = cellar_clock_monotonic_us() - request->deadline_us;
    CELLAR_ASSERT(request->deadline_us > 0);
    return late_us < 0 ? CELLAR_OK
                       : cellar_error_set(error, CELLAR_DEADLINE_EXCEEDED,
                                          "the deadline passed %lld us ago; nothing was done",
                                          (long long)late_us);
}

enum cellar_status svc_table_find(struct svc *svc, const struct svc_request *request,
                                  struct cellar_slice name, struct tablet_table **table,
                                  struct cellar_error *error)
{
    struct cellar_table_name parts;
    CELLAR_TRY(svc_deadline_check(request, error));
    CELLAR_TRY(cellar_table_name_decode(name, &parts, error));
    CELLAR_ASSERT(parts.table.bytes > 0);
    return tablet_db_find(svc->db, &parts, table, error);
}

/* The memory of the process that is in RAM; 0 when the system does not say. statm counts pages; its
 * second number is what is in memory. */
static uint64_t resident_bytes(void)
{
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    const char *second = fgets(text, sizeof text, file) != NULL ? strchr(text, ' ') : NULL;
    (void)fclose(file);
    CELLAR_ASSERT(second == NULL || second[0] == ' ');
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The names are what `cellar info` and programs show; they stay as they are. */
size_t svc_figures(struct svc *svc, struct svc_figure *figures)
{
    struct store_figure storage[STORE_FIGURE_COUNT];
    size_t count = store_engine_figures(tablet_db_engine(svc->db), storage);
    for (size_t i = 0; i < count; i++) {
        figures[i] = (struct svc_figure){storage[i].name, storage[i].value};
    }
    figures[count++] = (struct svc_figure){"tables", tablet_db_count(svc->db)};
    figures[count++] = (struct svc_figure){"tablets", tablet_db_tablet_count(svc->db)};
    figures[count++] = (struct svc_figure){"reads", atomic_load(&svc->read_total)};
    figures[count++] = (struct svc_figure){"writes", atomic_load(&svc->write_total)};
    figures[count++] = (struct svc_figure){"writes_in_flight", atomic_load(&svc->write_count)};
    figures[count++] = (struct svc_figure){"memory_resident_bytes", resident_bytes()};
    CELLAR_ASSERT(count <= SVC_FIGURE_COUNT_MAX);
    return count;
}

enum cellar_status svc_health(struct svc *svc, struct cellar_error *error)
{
    CELLAR_ASSERT(svc->db != NULL);
    enum cellar_status status = store_engine_check(tablet_db_engine(svc->db), error);
    if (status == CELLAR_RESOURCE_EXHAUSTED) {
        cellar_error_clear(error); /* a full disk is no fault of the process */
        return CELLAR_OK;
    }
    return status;
}

enum cellar_status svc_readiness(struct svc *svc, struct cellar_error *error)
{
    CELLAR_ASSERT(svc->db != NULL);
    if (atomic_load(&svc->is_draining)) {
        return cellar_error_set(error, CELLAR_UNAVAILABLE, "the server is stopping");
    }
    return store_engine_check(tablet_db_engine(svc->db), error);
}

bool svc_is_ready(struct svc *svc)
{
    struct cellar_error error;
    CELLAR_ASSERT(svc->db != NULL);
    return svc_readiness(svc, &error) == CELLAR_OK;
}

/* Failed entries, by code, beside those that were applied: the request that had them counts as OK,
 * as it was answered, and would hide them. */
static void entries_show(const struct svc *svc, struct cellar_metric_page *page)
{
    char labels[64];
    cellar_metric_begin(page, CELLAR_METRIC_COUNTER, "cellar_batch_entries_total",
                        "Rows of MUTATE_ROWS requests that ran, by how each row ended.");
    for (size_t code = 0; code < CELLAR_STATUS_COUNT; code++) {
        uint64_t total = cellar_counter_get(&svc->entry_totals[code]);
        if (total > 0 || code == CELLAR_OK) {
            int bytes = snprintf(labels, sizeof labels, "code=\"%s\"",
                                 cellar_status_text((enum cellar_status)code));
            CELLAR_ASSERT(bytes > 0 && (size_t)bytes < sizeof labels);
            cellar_metric_put(page, labels, total);
        }
    }
}

void svc_show(struct svc *svc, struct cellar_metric_page *page)
{
    CELLAR_ASSERT(svc->db != NULL);
    cellar_metric_gauge(page, "cellar_tables", "Tables.", tablet_db_count(svc->db));
    cellar_metric_gauge(page, "cellar_tablets", "Tablets of all tables.",
                        tablet_db_tablet_count(svc->db));
    cellar_metric_gauge(page, "cellar_tablets_cold",
                        "Tablets whose reads may have to wait for the disk.",
                        tablet_db_cold_count(svc->db));
    cellar_metric_counter(page, "cellar_read_stalls_total",
                          "Steps of reads that waited for the disk on an event loop.",
                          tablet_db_stall_count(svc->db));
    cellar_metric_gauge(page, "cellar_writes_in_flight", "Write requests that wait for the log.",
                        atomic_load(&svc->write_count));
    entries_show(svc, page);
    svc_scrubber_show(svc->scrubber, page);
    svc_compactor_show(svc->compactor, page);
    svc_loader_show(svc->loader, page);
    store_engine_show(tablet_db_engine(svc->db), page);
}
