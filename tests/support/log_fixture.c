/*
 * Helpers of the log's tests; log_fixture.h says what each is for.
 *
 * A payload is a stream of random numbers that starts from (life, LSN), so a replay can be checked
 * without keeping what was written. Segment files are found and read without the code under test,
 * but for the decoders of log_segment.h, which have a test of their own.
 */
#include "tests/support/log_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "server/storage/record.h"

void test_log_payload(uint64_t life, uint64_t lsn, uint8_t *to, size_t bytes)
{
    struct test_random random = {life * 1000003 + lsn};
    test_random_bytes(&random, to, bytes);
}

struct store_log *test_log_begin(const char *directory, uint64_t segment_bytes,
                                 uint64_t low_water_lsn)
{
    struct store_log *log = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    if (store_log_open(directory, segment_bytes, &log, &error) != CELLAR_OK) {
        fail_msg("store_log_open: %s", error.text);
    }
    if (store_log_start(log, low_water_lsn, &error) != CELLAR_OK) {
        fail_msg("store_log_start: %s", error.text);
    }
    return log;
}

void test_log_open_gives(const char *directory, enum cellar_status status)
{
    struct store_log *log = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    assert_int_equal(store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, &error), status);
    if (status != CELLAR_OK) {
        assert_null(log);
        assert_true(status == CELLAR_NO_MEMORY || error.text[0] != '\0');
        assert_true(status == CELLAR_NO_MEMORY || error.code == status);
    }
    store_log_close(log);
}

/* ---- appends --------------------------------------------------------------------------------- */

/* An append that somebody waits for. */
struct waited {
    struct store_log_record record;
    struct cellar_mutex lock;
    struct cellar_cond changed;
    bool is_done;
    enum cellar_status status;
};

static void waited_done(struct store_log_record *record, enum cellar_status status)
{
    struct waited *waited = CELLAR_CONTAINER_OF(record, struct waited, record);
    cellar_mutex_lock(&waited->lock);
    waited->is_done = true;
    waited->status = status;
    cellar_cond_signal(&waited->changed);
    cellar_mutex_unlock(&waited->lock);
}

uint64_t test_log_append(struct store_log *log, uint64_t life, size_t bytes,
                         enum cellar_status *status)
{
    struct waited waited = {.record = {.done = waited_done}};
    uint8_t *payload = malloc(bytes + 1);
    assert_non_null(payload);
    cellar_mutex_init(&waited.lock);
    cellar_cond_init(&waited.changed);
    store_log_lock(log);
    *status = store_log_check(log);
    uint64_t lsn = store_log_next_lsn(log);
    if (*status == CELLAR_OK) {
        test_log_payload(life, lsn, payload, bytes);
        waited.record.entry =
            (struct store_log_entry){.store_id = (uint32_t)(lsn % 7),
                                     .type = STORE_RECORD_MUTATION,
                                     .payload = cellar_slice_make(payload, bytes)};
        assert_int_equal(store_log_append(log, &waited.record), lsn);
    }
    store_log_unlock(log);
    if (*status == CELLAR_OK) {
        cellar_mutex_lock(&waited.lock);
        while (!waited.is_done) {
            cellar_cond_wait(&waited.changed, &waited.lock);
        }
        cellar_mutex_unlock(&waited.lock);
        *status = waited.status;
    }
    cellar_cond_fini(&waited.changed);
    cellar_mutex_fini(&waited.lock);
    free(payload);
    return lsn;
}

void test_log_append_many(struct store_log *log, uint64_t life, size_t bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        enum cellar_status status = CELLAR_OK;
        uint64_t lsn = test_log_append(log, life, bytes, &status);
        assert_int_equal(status, CELLAR_OK);
        assert_true(store_log_durable_lsn(log) >= lsn);
    }
}

static void together_done(struct store_log_record *record, enum cellar_status status)
{
    (void)record;
    CELLAR_ASSERT(status == CELLAR_OK);
}

void test_log_append_together(struct store_log *log, uint64_t life, size_t bytes, size_t count)
{
    struct store_log_record *records = calloc(count, sizeof *records);
    uint8_t *payloads = malloc(count * bytes + 1);
    uint64_t lsn = 0;
    assert_non_null(records);
    assert_non_null(payloads);
    store_log_lock(log);
    assert_int_equal(store_log_check(log), CELLAR_OK);
    for (size_t i = 0; i < count; i++) {
        uint8_t *payload = payloads + i * bytes;
        lsn = store_log_next_lsn(log);
        test_log_payload(life, lsn, payload, bytes);
        records[i].entry = (struct store_log_entry){.store_id = (uint32_t)(lsn % 7),
                                                    .type = STORE_RECORD_MUTATION,
                                                    .payload = cellar_slice_make(payload, bytes)};
        records[i].done = together_done;
        assert_int_equal(store_log_append(log, &records[i]), lsn);
    }
    store_log_unlock(log);
    assert_true(store_log_wait_durable(log, lsn));
    /* The records are the log's until their ends; a further append ends behind them all. */
    test_log_append_many(log, life, 0, 1);
    free(payloads);
    free(records);
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void trace_push(struct test_log_trace *trace, const struct test_log_event *event)
{
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity == 0 ? 256 : trace->capacity * 2;
        trace->events = realloc(trace->events, trace->capacity * sizeof *trace->events);
        assert_non_null(trace->events);
    }
    trace->events[trace->count++] = *event;
}

static enum cellar_status trace_record(void *context, const struct store_log_entry *entry)
{
    struct test_log_event event = {
        .first_lsn = entry->lsn,
        .last_lsn = entry->lsn,
        .store_id = entry->store_id,
        .type = entry->type,
        .bytes = entry->payload.bytes,
        .crc = cellar_crc32c(0, entry->payload.data, entry->payload.bytes),
    };
    trace_push(context, &event);
    return CELLAR_OK;
}

static enum cellar_status trace_gap(void *context, uint64_t first_lsn, uint64_t last_lsn)
{
    struct test_log_trace *trace = context;
    struct test_log_event event = {.is_gap = true, .first_lsn = first_lsn, .last_lsn = last_lsn};
    trace_push(trace, &event);
    return trace->needed_lsn > 0 && last_lsn >= trace->needed_lsn ? CELLAR_DATA_LOSS : CELLAR_OK;
}

enum cellar_status test_log_replay(struct store_log *log, struct test_log_trace *trace)
{
    struct cellar_error error;
    struct store_log_visitor visitor = {.context = trace, .record = trace_record, .gap = trace_gap};
    cellar_error_clear(&error);
    trace->count = 0;
    return store_log_replay(log, &visitor, &error);
}

uint64_t test_log_read(const char *directory, struct test_log_trace *trace)
{
    struct store_log *log = NULL;
    struct cellar_error error;
    cellar_error_clear(&error);
    if (store_log_open(directory, TEST_LOG_SEGMENT_BYTES, &log, &error) != CELLAR_OK) {
        fail_msg("store_log_open: %s", error.text);
    }
    assert_int_equal(test_log_replay(log, trace), CELLAR_OK);
    uint64_t lsn = store_log_recovered_lsn(log);
    store_log_close(log);
    return lsn;
}

void test_log_trace_fini(struct test_log_trace *trace)
{
    free(trace->events);
    *trace = (struct test_log_trace){0};
}

const struct test_log_event *test_log_trace_find(const struct test_log_trace *trace, uint64_t lsn)
{
    for (size_t i = 0; i < trace->count; i++) {
        if (trace->events[i].first_lsn <= lsn && lsn <= trace->events[i].last_lsn) {
            return &trace->events[i];
        }
    }
    return NULL;
}

static void event_check(const struct test_log_event *event, uint64_t life, uint64_t lsn)
{
    static uint8_t payload[STORE_RECORD_BYTES_MAX];
    assert_int_equal(event->first_lsn, lsn);
    if (event->type == STORE_RECORD_EMPTY) {
        assert_int_equal(event->bytes, 0);
        return;
    }
    assert_int_equal(event->type, STORE_RECORD_MUTATION);
    assert_int_equal(event->store_id, lsn % 7);
    test_log_payload(life, lsn, payload, event->bytes);
    assert_int_equal(event->crc, cellar_crc32c(0, payload, event->bytes));
}

void test_log_trace_check(const struct test_log_trace *trace, uint64_t life, uint64_t first_lsn,
                          uint64_t last_lsn, uint64_t gap_first, uint64_t gap_last)
{
    uint64_t lsn = first_lsn;
    for (size_t i = 0; i < trace->count; i++) {
        const struct test_log_event *event = &trace->events[i];
        if (event->is_gap) {
            assert_true(gap_first > 0);
            assert_int_equal(event->first_lsn, gap_first);
            assert_int_equal(event->last_lsn, gap_last);
            gap_first = 0;
        } else {
            event_check(event, life, lsn);
        }
        lsn = event->last_lsn + 1;
    }
    assert_int_equal(gap_first, 0);
    assert_int_equal(lsn, last_lsn + 1);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_load(struct test_log_file *file)
{
    struct stat facts;
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(fstat(descriptor, &facts), 0);
    file->bytes = (size_t)facts.st_size;
    file->data = malloc(file->bytes + 1);
    assert_non_null(file->data);
    assert_int_equal(pread(descriptor, file->data, file->bytes, 0), file->bytes);
    (void)close(descriptor);
    file->has_header = file->bytes >= STORE_LOG_HEADER_BYTES &&
                       store_log_header_decode(file->data, &file->header) == CELLAR_OK;
    if (!file->has_header) {
        memset(&file->header, 0, sizeof file->header);
    }
}

static int file_order(const void *a, const void *b)
{
    uint64_t left = ((const struct test_log_file *)a)->header.number;
    uint64_t right = ((const struct test_log_file *)b)->header.number;
    return left < right ? -1 : (left > right ? 1 : 0);
}

void test_log_files_load(const char *directory, struct test_log_files *files)
{
    DIR *folder = opendir(directory);
    assert_non_null(folder);
    files->count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        size_t bytes = strlen(entry->d_name);
        if (bytes != 12 || strcmp(entry->d_name + 8, ".log") != 0) {
            continue;
        }
        assert_true(files->count < CELLAR_ARRAY_COUNT(files->items));
        struct test_log_file *file = &files->items[files->count++];
        *file = (struct test_log_file){.path = ""};
        (void)snprintf(file->path, sizeof file->path, "%s/%s", directory, entry->d_name);
        file_load(file);
    }
    (void)closedir(folder);
    qsort(files->items, files->count, sizeof files->items[0], file_order);
}

void test_log_files_free(struct test_log_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].data);
    }
    files->count = 0;
}

void test_log_file_store(const struct test_log_file *file, size_t bytes)
{
    int descriptor = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, file->data, bytes, 0), bytes);
    assert_int_equal(close(descriptor), 0);
}

void test_log_file_head(struct test_log_file *file)
{
    assert_true(file->bytes >= STORE_LOG_HEADER_BYTES);
    store_log_header_encode(&file->header, file->data);
}

void test_log_version_set(struct test_log_file *file, uint32_t version)
{
    cellar_put_u32le(file->data + 8, version);
    cellar_put_u32le(file->data + STORE_LOG_HEADER_BYTES - 4,
                     cellar_crc32c(0, file->data, STORE_LOG_HEADER_BYTES - 4));
    test_log_file_store(file, file->bytes);
}

static bool group_find_in(const struct test_log_file *file, uint64_t lsn,
                          struct store_log_group *group)
{
    if (!file->has_header) {
        return false;
    }
    struct cellar_slice whole = cellar_slice_make(file->data, file->bytes);
    for (uint64_t at = file->header.alignment; at < file->bytes; at += file->header.alignment) {
        if (store_log_group_decode(whole, at, file->header.incarnation, group) &&
            group->first_lsn <= lsn && lsn < group->first_lsn + group->record_count) {
            return true;
        }
    }
    return false;
}

size_t test_log_group_find(const struct test_log_files *files, uint64_t lsn,
                           struct store_log_group *group)
{
    for (size_t i = files->count; i-- > 0;) {
        if (group_find_in(&files->items[i], lsn, group)) {
            return i;
        }
    }
    fail_msg("no group holds LSN %llu", (unsigned long long)lsn);
    return 0;
}

void test_log_group_spoil(struct test_log_files *files, uint64_t lsn)
{
    struct store_log_group group;
    struct test_log_file *file = &files->items[test_log_group_find(files, lsn, &group)];
    file->data[group.offset + group.bytes.bytes / 2] ^= 0x40;
    test_log_file_store(file, file->bytes);
}
