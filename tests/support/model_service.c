/*
 * The service as a port; model_service.h says what each function is for.
 *
 * Writes are awaited on a condition that the log's thread signals. A read's chunks come with sizes
 * drawn at random, so that rows are cut into pieces at every place. The copy of a data directory
 * compares the two meta pages of each LMDB file before and after: where they did not change no
 * commit ended meanwhile, so all pages that they reach were the same throughout, and the copy is
 * what a kill at that moment leaves (pages of a commit under way may be in it; nothing names them).
 */
#include "tests/support/model_service.h"

#include "server/tablet/check_data.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/segment_cells.h"
#include "common/sync.h"
#include "server/service/service_internal.h"

#define COPY_TRIES_MAX 1000
#define META_BYTES 8192u
#define WRITE_TRIES_MAX 2000
#define SHARED_MEMORY "/dev/shm"
#define SHARED_MEMORY_FREE_BYTES (UINT64_C(3) << 30)

/* ---- wire forms ------------------------------------------------------------------------------ */

void model_mutations_encode(const struct model_entry *entry, struct cellar_buffer *to)
{
    assert_int_equal(cellar_wire_put_array(to, (uint32_t)entry->mutation_count), CELLAR_OK);
    for (size_t i = 0; i < entry->mutation_count; i++) {
        assert_int_equal(cellar_mutation_encode(to, &entry->mutations[i]), CELLAR_OK);
    }
}

void model_entries_encode(const struct model_entry *entries, size_t count, struct cellar_buffer *to)
{
    assert_int_equal(cellar_wire_put_array(to, (uint32_t)count), CELLAR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cellar_wire_put_array(to, 2), CELLAR_OK);
        assert_int_equal(cellar_wire_put_bytes(to, entries[i].row), CELLAR_OK);
        model_mutations_encode(&entries[i], to);
    }
}

/* A bound; an empty one is said in one of the two ways at random. */
static void bound_put(struct cellar_buffer *to, struct cellar_slice bound, bool is_closed)
{
    if (bound.bytes == 0 && is_closed) {
        assert_int_equal(cellar_wire_put_nil(to), CELLAR_OK);
    } else {
        assert_int_equal(cellar_wire_put_bytes(to, bound), CELLAR_OK);
    }
    assert_int_equal(cellar_wire_put_bool(to, is_closed), CELLAR_OK);
}

static void range_put(struct cellar_buffer *to, const struct model_range *range)
{
    uint8_t end[CELLAR_RANGE_BOUND_BYTES_MAX];
    assert_int_equal(cellar_wire_put_array(to, 4), CELLAR_OK);
    if (range->is_prefix) {
        size_t end_bytes = cellar_prefix_end(range->start, end);
        bound_put(to, range->start, true);
        bound_put(to, cellar_slice_make(end, end_bytes), false);
    } else {
        bound_put(to, range->start, range->start_is_closed);
        bound_put(to, range->end, range->end_is_closed);
    }
}

enum cellar_status model_rowset_make(const struct model_read *read, struct cellar_arena *arena,
                                     struct cellar_rowset *set, struct cellar_error *error)
{
    struct cellar_buffer keys = {0};
    struct cellar_buffer ranges = {0};
    assert_int_equal(cellar_wire_put_array(&keys, (uint32_t)read->key_count), CELLAR_OK);
    for (size_t i = 0; i < read->key_count; i++) {
        assert_int_equal(cellar_wire_put_bytes(&keys, read->keys[i]), CELLAR_OK);
    }
    assert_int_equal(cellar_wire_put_array(&ranges, (uint32_t)read->range_count), CELLAR_OK);
    for (size_t i = 0; i < read->range_count; i++) {
        range_put(&ranges, &read->ranges[i]);
    }
    /* The set borrows from both, so they move to the arena. */
    const uint8_t *own_keys = cellar_arena_copy(arena, keys.data, keys.bytes);
    const uint8_t *own_ranges = cellar_arena_copy(arena, ranges.data, ranges.bytes);
    assert_true(own_keys != NULL && own_ranges != NULL);
    enum cellar_status status =
        cellar_rowset_decode(cellar_slice_make(own_keys, keys.bytes),
                             cellar_slice_make(own_ranges, ranges.bytes), arena, set, error);
    cellar_buffer_fini(&keys);
    cellar_buffer_fini(&ranges);
    return status;
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* Requests under way and the first that failed. */
struct waiter {
    struct cellar_mutex lock;
    struct cellar_cond ended;
    size_t left;
    struct cellar_error first;    /* failure of a single-row request */
    struct cellar_error *results; /* of a batch */
};

static void waiter_init(struct waiter *waiter, size_t count)
{
    cellar_mutex_init(&waiter->lock);
    cellar_cond_init(&waiter->ended);
    waiter->left = count;
    waiter->results = NULL;
    cellar_error_clear(&waiter->first);
}

static void waiter_count_down(struct waiter *waiter, const struct cellar_error *result)
{
    cellar_mutex_lock(&waiter->lock);
    if (result != NULL && result->code != CELLAR_OK && waiter->first.code == CELLAR_OK) {
        waiter->first = *result;
    }
    waiter->left--;
    cellar_cond_broadcast(&waiter->ended);
    cellar_mutex_unlock(&waiter->lock);
}

/* Waits for all, ends the waiter. @return the first failure's code */
static enum cellar_status waiter_wait(struct waiter *waiter, struct cellar_error *error)
{
    cellar_mutex_lock(&waiter->lock);
    while (waiter->left > 0) {
        cellar_cond_wait(&waiter->ended, &waiter->lock);
    }
    cellar_mutex_unlock(&waiter->lock);
    cellar_mutex_fini(&waiter->lock);
    cellar_cond_fini(&waiter->ended);
    if (waiter->first.code != CELLAR_OK && error != NULL) {
        *error = waiter->first;
    }
    return waiter->first.code;
}

static void row_done(void *context, const struct cellar_error *result)
{
    waiter_count_down(context, result);
}

static void batch_done(void *context, const struct cellar_error *const *results, size_t count)
{
    struct waiter *waiter = context;
    for (size_t i = 0; i < count; i++) {
        cellar_error_clear(&waiter->results[i]);
        if (results[i] != NULL) {
            waiter->results[i] = *results[i];
        }
    }
    waiter_count_down(waiter, NULL);
}

/* Gives a checkpoint a moment. */
static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
}

/* Queues one row; refusals that ask to come again are followed. */
static enum cellar_status row_start(struct svc *svc, const struct svc_row_write *write,
                                    struct cellar_error *error)
{
    enum cellar_status status = CELLAR_UNAVAILABLE;
    for (int i = 0; status == CELLAR_UNAVAILABLE && i < WRITE_TRIES_MAX; i++) {
        if (i > 0) {
            pause_shortly();
        }
        status = svc_mutate_row(svc, NULL, write, error);
    }
    return status;
}

enum cellar_status model_svc_write(struct svc *svc, const struct svc_row_write *write,
                                   struct cellar_error *error)
{
    struct waiter waiter;
    struct svc_row_write awaited = *write;
    waiter_init(&waiter, 1);
    awaited.done = row_done;
    awaited.context = &waiter;
    enum cellar_status status = row_start(svc, &awaited, error);
    if (status != CELLAR_OK) {
        waiter.left = 0;
    }
    enum cellar_status ended = waiter_wait(&waiter, error);
    return status != CELLAR_OK ? status : ended;
}

enum cellar_status model_svc_mutate_wire(struct svc *svc, const char *table,
                                         struct cellar_slice row, struct cellar_slice list,
                                         struct cellar_error *error)
{
    const struct svc_row_write write = {
        .table = cellar_slice_text(table), .row = row, .mutations = list};
    return model_svc_write(svc, &write, error);
}

enum cellar_status model_svc_mutate(struct svc *svc, const char *table,
                                    const struct model_entry *entry, struct cellar_error *error)
{
    struct cellar_buffer list = {0};
    model_mutations_encode(entry, &list);
    enum cellar_status status =
        model_svc_mutate_wire(svc, table, entry->row, cellar_slice_of(&list), error);
    cellar_buffer_fini(&list);
    return status;
}

enum cellar_status model_svc_batch_wire(struct svc *svc, const char *table,
                                        struct cellar_slice entries, struct cellar_error *results,
                                        struct cellar_error *error)
{
    struct waiter waiter;
    waiter_init(&waiter, 1);
    waiter.results = results;
    const struct svc_rows_write write = {
        cellar_slice_text(table), entries, batch_done, &waiter, {0, 0}};
    enum cellar_status status = svc_mutate_rows(svc, NULL, &write, error);
    if (status != CELLAR_OK) {
        waiter.left = 0;
    }
    (void)waiter_wait(&waiter, NULL);
    return status;
}

/* ---- reads ----------------------------------------------------------------------------------- */

struct gather {
    struct svc_row_sink sink; /* first */
    struct model_answer *answer;
    bool is_open;                /* a row ended with more to come */
    bool has_blob;               /* the rest of a cell is to be read */
    struct cellar_buffer packed; /* of that cell */
};

static enum cellar_status gather_begin(struct svc_row_sink *sink, struct cellar_slice row,
                                       bool is_continued)
{
    struct gather *gather = (struct gather *)(void *)sink;
    struct model_answer *answer = gather->answer;
    assert_int_equal(is_continued, gather->is_open);
    if (is_continued) {
        assert_true(cellar_slice_equal(answer->rows[answer->row_count - 1].key, row));
    } else {
        model_answer_row(answer, model_answer_copy(answer, row));
    }
    return CELLAR_OK;
}

static enum cellar_status gather_cells(struct svc_row_sink *sink, struct cellar_slice packed)
{
    struct gather *gather = (struct gather *)(void *)sink;
    struct cellar_cells_reader reader;
    struct cellar_slice own = model_answer_copy(gather->answer, packed);
    assert_true(cellar_cells_open(&reader, own));
    while (cellar_cells_next(&reader)) {
        assert_int_equal(reader.generation, 1);
        model_answer_cell(gather->answer, &reader.cell);
    }
    assert_true(cellar_cells_is_done(&reader));
    return CELLAR_OK;
}

static enum cellar_status gather_blob(struct svc_row_sink *sink, struct cellar_slice row,
                                      bool has_more, struct cellar_slice before)
{
    struct gather *gather = (struct gather *)(void *)sink;
    assert_false(gather->has_blob);
    assert_int_equal(gather_begin(sink, row, true), CELLAR_OK);
    gather->is_open = has_more;
    gather->has_blob = true;
    cellar_buffer_clear(&gather->packed);
    return cellar_buffer_append(&gather->packed, before.data, before.bytes);
}

/* The rest of a cell. */
static enum cellar_status blob_run(struct svc_read *read, struct gather *gather,
                                   struct cellar_error *error)
{
    bool is_done = false;
    while (!is_done) {
        enum cellar_status status = svc_read_blob(read, &gather->packed, &is_done, error);
        if (status != CELLAR_OK) {
            return status;
        }
    }
    gather->has_blob = false;
    return gather_cells(&gather->sink, cellar_slice_of(&gather->packed));
}

static enum cellar_status gather_end(struct svc_row_sink *sink, bool has_more)
{
    struct gather *gather = (struct gather *)(void *)sink;
    gather->is_open = has_more;
    return CELLAR_OK;
}

static enum cellar_status read_run(struct svc_read *read, struct gather *gather, size_t chunk_bytes,
                                   struct cellar_error *error)
{
    bool is_done = false;
    while (!is_done) {
        enum cellar_status status =
            svc_read_next(read, &gather->sink, chunk_bytes, &is_done, error);
        if (status == CELLAR_OK && gather->has_blob) {
            status = blob_run(read, gather, error);
        }
        if (status != CELLAR_OK) {
            return status;
        }
    }
    assert_false(gather->is_open);
    return CELLAR_OK;
}

enum cellar_status model_svc_read(struct svc *svc, const char *table, const struct model_read *read,
                                  size_t chunk_bytes, struct model_answer *answer,
                                  struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct cellar_rowset set;
    struct svc_read *opened = NULL;
    struct gather gather = {.sink = {.row_begin = gather_begin,
                                     .cells = gather_cells,
                                     .row_end = gather_end,
                                     .blob = gather_blob},
                            .answer = answer};
    model_answer_clear(answer);
    enum cellar_status status = model_rowset_make(read, &arena, &set, error);
    if (status == CELLAR_OK) {
        const struct svc_read_options options = {.table = cellar_slice_text(table),
                                                 .rows = &set,
                                                 .rows_limit = read->rows_limit,
                                                 .is_reversed = read->is_reversed,
                                                 .keys_only = read->keys_only,
                                                 .columns = read->columns,
                                                 .column_count = read->column_count,
                                                 .versions_max = read->versions_max};
        status = svc_read_open(svc, NULL, &options, &opened, error);
    }
    if (status == CELLAR_OK) {
        status = read_run(opened, &gather, chunk_bytes, error);
    }
    if (gather.is_open) {
        answer->row_count--; /* a client holds back what has not ended */
    }
    svc_read_close(opened);
    cellar_buffer_fini(&gather.packed);
    cellar_arena_fini(&arena);
    return status;
}

enum cellar_status model_svc_modify(struct svc *svc, const struct svc_family_changes *changes,
                                    struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct svc_table made;
    enum cellar_status status = svc_modify_families(svc, NULL, changes, &arena, &made, error);
    cellar_arena_fini(&arena);
    return status;
}

uint64_t model_svc_figure(struct svc *svc, const char *name)
{
    struct svc_figure figures[SVC_FIGURE_COUNT_MAX];
    size_t count = svc_figures(svc, figures);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(figures[i].name, name) == 0) {
            return figures[i].value;
        }
    }
    fail_msg("the service has no figure %s", name);
    return 0;
}

/* ---- the port -------------------------------------------------------------------------------- */

static struct model_service *service_of(struct model_port *port)
{
    return (struct model_service *)(void *)port;
}

static enum cellar_status port_create(struct model_port *port, const struct svc_table *table,
                                      struct cellar_error *error)
{
    struct cellar_arena arena = {0};
    struct svc_table made;
    enum cellar_status status =
        svc_create_table(service_of(port)->svc, NULL, table, &arena, &made, error);
    cellar_arena_fini(&arena);
    return status;
}

static enum cellar_status port_mutate(struct model_port *port, const char *table,
                                      const struct model_entry *entry, struct cellar_error *error)
{
    return model_svc_mutate(service_of(port)->svc, table, entry, error);
}

static enum cellar_status port_mutate_batch(struct model_port *port, const char *table,
                                            const struct model_entry *entries, size_t count,
                                            struct cellar_error *results,
                                            struct cellar_error *error)
{
    struct cellar_buffer list = {0};
    model_entries_encode(entries, count, &list);
    enum cellar_status status =
        model_svc_batch_wire(service_of(port)->svc, table, cellar_slice_of(&list), results, error);
    cellar_buffer_fini(&list);
    return status;
}

static enum cellar_status port_mutate_burst(struct model_port *port, const char *table,
                                            const struct model_entry *entries, size_t count,
                                            struct cellar_error *error)
{
    struct cellar_buffer list = {0};
    struct waiter waiter;
    waiter_init(&waiter, count);
    for (size_t i = 0; i < count; i++) {
        struct cellar_error refusal;
        cellar_error_clear(&refusal);
        cellar_buffer_clear(&list);
        model_mutations_encode(&entries[i], &list);
        const struct svc_row_write write = {.table = cellar_slice_text(table),
                                            .row = entries[i].row,
                                            .mutations = cellar_slice_of(&list),
                                            .done = row_done,
                                            .context = &waiter};
        enum cellar_status status = row_start(service_of(port)->svc, &write, &refusal);
        if (status != CELLAR_OK) {
            waiter_count_down(&waiter, &refusal);
        }
    }
    cellar_buffer_fini(&list);
    return waiter_wait(&waiter, error);
}

static enum cellar_status port_modify_families(struct model_port *port,
                                               const struct svc_family_changes *changes,
                                               struct cellar_error *error)
{
    return model_svc_modify(service_of(port)->svc, changes, error);
}

static enum cellar_status port_drop_rows(struct model_port *port, const struct svc_rows_drop *drop,
                                         struct cellar_error *error)
{
    return svc_drop_rows(service_of(port)->svc, NULL, drop, error);
}

static enum cellar_status port_read(struct model_port *port, const char *table,
                                    const struct model_read *read, struct model_answer *answer,
                                    struct cellar_error *error)
{
    static const size_t chunk_bytes[] = {1, 40, 700, 5000, 131072, 1048576};
    uint64_t index = test_random_below(&port->random, CELLAR_ARRAY_COUNT(chunk_bytes));
    return model_svc_read(service_of(port)->svc, table, read, chunk_bytes[index], answer, error);
}

static void port_restart(struct model_port *port, bool is_crash)
{
    model_service_restart(service_of(port), is_crash);
}

/* ---- the service ----------------------------------------------------------------------------- */

void model_service_options_init(struct svc_options *options)
{
    svc_options_init(options);
    options->store_map_bytes = UINT64_C(256) << 20;
    options->log_segment_bytes = UINT64_C(8) << 20;
}

void model_temp_dir(char *path, size_t bytes)
{
    struct statvfs facts;
    bool has_room = statvfs(SHARED_MEMORY, &facts) == 0 &&
                    (uint64_t)facts.f_bavail * facts.f_frsize >= SHARED_MEMORY_FREE_BYTES;
    (void)snprintf(path, bytes, "%s/cellar-test-XXXXXX", SHARED_MEMORY);
    if (!has_room || mkdtemp(path) == NULL) {
        test_temp_dir(path, bytes);
    }
}

static void svc_open_checked(struct model_service *service)
{
    struct cellar_error error;
    cellar_error_clear(&error);
    service->options.data_dir = service->data_dir;
    enum cellar_status status = svc_open(&service->options, &service->svc, &error);
    if (status != CELLAR_OK) {
        fail_msg("svc_open: %s: %s", cellar_status_text(status), error.text);
    }
    if (service->has_compactor) {
        test_compactor_start(&service->compactor, service->svc->db, service->port.random.state);
    }
}

void model_service_compact(struct model_service *service)
{
    assert_false(service->has_compactor);
    service->has_compactor = true;
    test_compactor_start(&service->compactor, service->svc->db, service->port.random.state);
}

void model_service_open(struct model_service *service, const struct svc_options *options)
{
    static const struct model_port_calls calls = {
        .create = port_create,
        .mutate = port_mutate,
        .mutate_batch = port_mutate_batch,
        .mutate_burst = port_mutate_burst,
        .modify_families = port_modify_families,
        .drop_rows = port_drop_rows,
        .read = port_read,
        .restart = port_restart,
    };
    memset(service, 0, sizeof *service);
    service->port.calls = &calls;
    service->options = *options;
    cellar_log_level_set(CELLAR_LOG_WARN);
    model_temp_dir(service->folder, sizeof service->folder);
    (void)snprintf(service->data_dir, sizeof service->data_dir, "%s/data", service->folder);
    svc_open_checked(service);
}

void model_service_open_small(struct model_service *service)
{
    struct svc_options options;
    model_service_options_init(&options);
    options.log_segment_bytes = 1u << 20;
    model_service_open(service, &options);
}

void model_service_open_table(struct model_service *service)
{
    struct cellar_arena arena = {0};
    struct cellar_error error;
    struct svc_table made;
    const struct svc_family family = {.name = cellar_slice_text("f")};
    const struct svc_table table = {
        .name = cellar_slice_text("t"), .families = &family, .family_count = 1};
    model_service_open_small(service);
    assert_int_equal(svc_create_table(service->svc, NULL, &table, &arena, &made, &error),
                     CELLAR_OK);
    cellar_arena_fini(&arena);
}

static void svc_stop(struct model_service *service)
{
    if (service->has_compactor) {
        test_compactor_stop(&service->compactor);
    }
    svc_drain(service->svc);
    svc_close(service->svc);
    service->svc = NULL;
}

/* What a stopped server leaves is whole, and no file of a large value is left without a name. */
static void data_check(const struct model_service *service)
{
    char *text = NULL;
    size_t bytes = 0;
    uint64_t damage_count = 0;
    struct cellar_error error;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    const struct tablet_check_options options = {.data_dir = service->data_dir, .out = out};
    cellar_error_clear(&error);
    enum cellar_status status = tablet_check_data(&options, &damage_count, &error);
    assert_int_equal(fclose(out), 0);
    if (status != CELLAR_OK || damage_count > 0 || strstr(text, ".blob: leftover") != NULL) {
        fail_msg("%s: %s%s", service->data_dir, error.text, text);
    }
    free(text);
}

void model_service_close(struct model_service *service)
{
    svc_stop(service);
    if (!service->is_damaged) {
        data_check(service);
    }
    test_remove_tree(service->folder);
}

void model_service_restart(struct model_service *service, bool is_crash)
{
    char copy[300];
    if (!is_crash) {
        svc_stop(service);
        svc_open_checked(service);
        return;
    }
    (void)snprintf(copy, sizeof copy, "%.250s/copy%u", service->folder, service->copy_count++);
    if (service->has_compactor) {
        test_compactor_pause(&service->compactor);
    }
    model_data_copy(service->data_dir, copy);
    svc_stop(service);
    test_remove_tree(service->data_dir);
    memcpy(service->data_dir, copy, sizeof copy);
    svc_open_checked(service);
}

/* ---- copies of a data directory -------------------------------------------------------------- */

/* nftw(3) passes no context. */
static const char *copy_from;
static const char *copy_to;
static uint64_t meta_sum;

static bool is_environment(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 9 && strcmp(path + bytes - 9, "/data.mdb") == 0;
}

/* Adds the meta pages of an environment to a sum that tells changes. */
static int meta_visit(const char *path, const struct stat *status, int type, struct FTW *place)
{
    uint8_t pages[META_BYTES];
    (void)status;
    (void)place;
    if (type != FTW_F || !is_environment(path)) {
        return 0;
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t bytes = fread(pages, 1, sizeof pages, file);
    (void)fclose(file);
    for (size_t i = 0; i < bytes; i++) {
        meta_sum = (meta_sum ^ pages[i]) * UINT64_C(0x100000001b3);
    }
    return 0;
}

static void file_copy(const char *from, const char *to)
{
    static uint8_t block[1u << 20];
    FILE *source = fopen(from, "rb");
    FILE *target = fopen(to, "wb");
    assert_true(source != NULL && target != NULL);
    for (size_t bytes = fread(block, 1, sizeof block, source); bytes > 0;
         bytes = fread(block, 1, sizeof block, source)) {
        assert_int_equal(fwrite(block, 1, bytes, target), bytes);
    }
    (void)fclose(source);
    assert_int_equal(fclose(target), 0);
}

static int copy_visit(const char *path, const struct stat *status, int type, struct FTW *place)
{
    char to[700];
    (void)status;
    (void)place;
    (void)snprintf(to, sizeof to, "%s%s", copy_to, path + strlen(copy_from));
    if (type == FTW_D) {
        assert_int_equal(mkdir(to, 0700), 0);
    } else if (type == FTW_F) {
        file_copy(path, to);
    }
    return 0;
}

static uint64_t metas_sum(const char *path)
{
    meta_sum = UINT64_C(0xcbf29ce484222325);
    assert_int_equal(nftw(path, meta_visit, 16, FTW_PHYS), 0);
    return meta_sum;
}

void model_data_copy(const char *from, const char *to)
{
    for (int i = 0; i < COPY_TRIES_MAX; i++) {
        uint64_t before = metas_sum(from);
        copy_from = from;
        copy_to = to;
        assert_int_equal(nftw(from, copy_visit, 16, FTW_PHYS), 0);
        if (metas_sum(from) == before) {
            return;
        }
        test_remove_tree(to);
        pause_shortly();
    }
    fail_msg("checkpoints do not come to rest");
}
