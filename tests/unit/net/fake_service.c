/*
 * The fake service; fake_service.h says what it is for. Included, not linked, by the tests of net:
 * the linker then takes these functions and leaves the library's alone.
 *
 * Writes are queued in an array until the test completes them. A read gives `row_count` rows named
 * row-00000000 and up, each with one cell of `value_bytes` bytes, in chunks as the real one would.
 * Administration answers with a fixed table.
 */
#include "tests/unit/net/fake_service.h"

#include <stdio.h>
#include <string.h>

#include "common/segment_cells.h"
#include "common/wire.h"

struct fake_service fake;

struct svc {
    int unused;
};

struct svc_read {
    uint64_t row;
    uint64_t piece;
    uint64_t blob_piece;
    uint64_t rows_limit;
    bool keys_only;
    bool had_empty_chunk;
};

void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    fake.fail_at_row = UINT64_MAX;
    fake.fail_at_piece = UINT64_MAX;
    fake.is_ready = true;
}

static enum cellar_status fake_fail(struct cellar_error *error, enum cellar_status code)
{
    (void)cellar_error_set(error, code, "the fake says %s", cellar_status_text(code));
    error->retry_delay_ms = code == CELLAR_UNAVAILABLE ? 7 : 0;
    return code;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static struct fake_write fake_take_write(void)
{
    CELLAR_ASSERT(fake.write_count > 0);
    struct fake_write write = fake.writes[0];
    fake.write_count--;
    memmove(&fake.writes[0], &fake.writes[1], fake.write_count * sizeof write);
    return write;
}

void fake_complete(enum cellar_status code)
{
    struct fake_write write = fake_take_write();
    struct cellar_error result;
    cellar_error_clear(&result);
    if (code != CELLAR_OK) {
        (void)fake_fail(&result, code);
    }
    write.row_done(write.context, &result);
}

void fake_complete_rows(enum cellar_status code)
{
    struct fake_write write = fake_take_write();
    struct cellar_error error;
    const struct cellar_error **results =
        cellar_mem_zalloc(write.entry_count, sizeof(const struct cellar_error *));
    CELLAR_ASSERT(results != NULL);
    if (code != CELLAR_OK) {
        (void)fake_fail(&error, code);
    }
    for (size_t i = 1; i < write.entry_count; i += 2) {
        results[i] = code == CELLAR_OK ? NULL : &error;
    }
    write.rows_done(write.context, results, write.entry_count);
    cellar_mem_free((void *)(uintptr_t)results);
}

enum cellar_status svc_mutate_row(struct svc *svc, const struct svc_request *request,
                                  const struct svc_row_write *write, struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    if (fake.write_status != CELLAR_OK) {
        return fake_fail(error, fake.write_status);
    }
    CELLAR_ASSERT(fake.write_count < FAKE_WRITE_COUNT_MAX);
    if (write->row.bytes > 0 && fake.write_total < sizeof fake.order - 1) {
        fake.order[fake.write_total] = (char)write->row.data[0];
    }
    fake.token_bytes = write->token.bytes;
    fake.token_start_us = write->token_time.start_us;
    fake.token_life_us = write->token_time.life_us;
    fake.writes[fake.write_count++] =
        (struct fake_write){.row_done = write->done, .context = write->context};
    fake.write_total++;
    return CELLAR_OK;
}

enum cellar_status svc_mutate_rows(struct svc *svc, const struct svc_request *request,
                                   const struct svc_rows_write *write, struct cellar_error *error)
{
    (void)svc;
    struct cellar_cursor from = cellar_cursor_make(write->entries);
    uint32_t count = 0;
    fake.deadline_us = request->deadline_us;
    if (fake.write_status != CELLAR_OK) {
        return fake_fail(error, fake.write_status);
    }
    if (!cellar_wire_get_array(&from, &count)) {
        return fake_fail(error, CELLAR_INVALID_ARGUMENT);
    }
    CELLAR_ASSERT(fake.write_count < FAKE_WRITE_COUNT_MAX);
    fake.writes[fake.write_count++] = (struct fake_write){
        .rows_done = write->done, .context = write->context, .entry_count = count};
    fake.write_total++;
    return CELLAR_OK;
}

/* ---- reads ----------------------------------------------------------------------------------- */

enum cellar_status svc_read_open(struct svc *svc, const struct svc_request *request,
                                 const struct svc_read_options *options, struct svc_read **read,
                                 struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.column_count = options->column_count;
    if (fake.open_status != CELLAR_OK) {
        return fake_fail(error, fake.open_status);
    }
    struct svc_read *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return fake_fail(error, CELLAR_NO_MEMORY);
    }
    made->rows_limit = options->rows_limit > 0 ? (uint64_t)options->rows_limit : UINT64_MAX;
    made->keys_only = options->keys_only;
    fake.open_read_count++;
    *read = made;
    return CELLAR_OK;
}

static enum cellar_status fake_send_cells(struct svc_row_sink *sink)
{
    uint8_t *bytes = cellar_mem_zalloc(1, fake.value_bytes + 64);
    if (bytes == NULL) {
        return CELLAR_NO_MEMORY;
    }
    uint8_t *at = cellar_wire_raw_array(bytes, 4);
    at = cellar_wire_raw_text(at, cellar_slice_text("f"));
    at = cellar_wire_raw_bytes(at, cellar_slice_text("q"));
    at = cellar_wire_raw_u64(at, 1000);
    struct cellar_slice value = cellar_slice_make(bytes + fake.value_bytes, 0);
    at = cellar_wire_raw_bytes(at, value);
    if (fake.value_bytes > 0) {
        at[-2] = 0xC6; /* bin 32 of value_bytes zeros */
        cellar_put_u32be(at - 1, (uint32_t)fake.value_bytes);
        at += 3 + fake.value_bytes;
    }
    enum cellar_status status = sink->cells(sink, cellar_slice_make(bytes, (size_t)(at - bytes)));
    cellar_mem_free(bytes);
    return status;
}

/* One row, or one piece of it. */
static enum cellar_status fake_send_row(struct svc_read *read, struct svc_row_sink *sink)
{
    char key[32];
    uint64_t pieces = fake.piece_count == 0 ? 1 : fake.piece_count;
    int length = snprintf(key, sizeof key, "row-%08llu", (unsigned long long)read->row);
    CELLAR_ASSERT(length > 0);
    CELLAR_TRY(sink->row_begin(sink, cellar_slice_make(key, (size_t)length), read->piece > 0));
    if (!read->keys_only) {
        CELLAR_TRY(fake_send_cells(sink));
    }
    bool has_more = read->piece + 1 < pieces;
    CELLAR_TRY(sink->row_end(sink, has_more));
    read->piece = has_more ? read->piece + 1 : 0;
    read->row += has_more ? 0 : 1;
    return CELLAR_OK;
}

/* A row whose one cell is a blob: begun in one chunk, the cell's beginning in the next. */
static enum cellar_status fake_send_blob(struct svc_read *read, struct svc_row_sink *sink)
{
    /* ["f", "q", 1, 5 bytes a piece] in an array */
    uint8_t before[] = {0xDD, 0, 0, 0, 4, 0xA1, 'f', 0xC4, 1, 'q', 1, 0xC6, 0, 0, 0, 0};
    const struct cellar_slice row = cellar_slice_text("row");
    if (read->piece == 0) {
        read->piece = 1;
        CELLAR_TRY(sink->row_begin(sink, row, false));
        return sink->row_end(sink, true);
    }
    cellar_put_u32be(before + sizeof before - 4, (uint32_t)fake.blob_piece_count * 5);
    read->piece = 0;
    read->row++;
    read->blob_piece = 0;
    return sink->blob(sink, row, false, cellar_slice_make(before, sizeof before));
}

enum cellar_status svc_read_blob(struct svc_read *read, struct cellar_buffer *to, bool *is_done,
                                 struct cellar_error *error)
{
    CELLAR_ASSERT(read->blob_piece < fake.blob_piece_count);
    *is_done = false;
    if (read->blob_piece == fake.fail_at_piece) {
        return fake_fail(error, CELLAR_DATA_LOSS);
    }
    *is_done = ++read->blob_piece == fake.blob_piece_count;
    return cellar_buffer_append(to, "piece", 5);
}

enum cellar_status svc_read_next(struct svc_read *read, struct svc_row_sink *sink, size_t bytes_max,
                                 bool *is_done, struct cellar_error *error)
{
    size_t bytes = 0;
    if (fake.before_next != NULL) {
        fake.before_next();
    }
    uint64_t rows = CELLAR_MIN(fake.row_count, read->rows_limit);
    fake.next_count++;
    *is_done = false;
    if (fake.is_empty_chunk_first && !read->had_empty_chunk) {
        read->had_empty_chunk = true;
        return CELLAR_OK;
    }
    if (fake.blob_piece_count > 0 && read->row < rows) {
        return fake_send_blob(read, sink);
    }
    for (int i = 0; i < 100 && read->row < rows && bytes < bytes_max; i++) {
        if (read->row == fake.fail_at_row) {
            return fake_fail(error, CELLAR_DATA_LOSS);
        }
        enum cellar_status status = fake_send_row(read, sink);
        if (status != CELLAR_OK) {
            return status;
        }
        bytes += fake.value_bytes + 20;
        if (read->piece > 0) {
            break;
        }
    }
    *is_done = read->row >= rows;
    return CELLAR_OK;
}

bool svc_read_is_cold(struct svc_read *read, int64_t now_us)
{
    CELLAR_ASSERT(read != NULL && now_us >= 0);
    return fake.is_cold;
}

int64_t svc_read_ended_us(const struct svc_read *read)
{
    CELLAR_ASSERT(read != NULL);
    return 0;
}

void svc_read_close(struct svc_read *read)
{
    if (read != NULL) {
        CELLAR_ASSERT(fake.open_read_count > 0);
        fake.open_read_count--;
        cellar_mem_free(read);
    }
}

/* ---- administration and server --------------------------------------------------------------- */

static enum cellar_status fake_describe(struct cellar_slice name, struct cellar_arena *arena,
                                        struct svc_table *table, struct cellar_error *error)
{
    static const struct svc_family families[1] = {
        {.name = {(const uint8_t *)"cf", 2}, .rule = {.kind = CELLAR_GC_VERSIONS, .amount = 3}}};
    static const struct svc_tablet tablets[1] = {{.store_id = 9}};
    if (fake.admin_status != CELLAR_OK) {
        return fake_fail(error, fake.admin_status);
    }
    const void *copy = cellar_arena_copy(arena, name.data, name.bytes);
    if (copy == NULL) {
        return fake_fail(error, CELLAR_NO_MEMORY);
    }
    *table = (struct svc_table){
        .name = cellar_slice_make(copy, name.bytes),
        .granularity = CELLAR_GRANULARITY_MILLIS,
        .families = families,
        .family_count = 1,
        .tablets = tablets,
        .tablet_count = 1,
        .schema_version = 1,
    };
    return CELLAR_OK;
}

enum cellar_status svc_create_table(struct svc *svc, const struct svc_request *request,
                                    const struct svc_table *table, struct cellar_arena *arena,
                                    struct svc_table *made, struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.table = *table;
    return fake_describe(table->name, arena, made, error);
}

enum cellar_status svc_describe_table(struct svc *svc, const struct svc_request *request,
                                      struct cellar_slice name, struct cellar_arena *arena,
                                      struct svc_table *table, struct cellar_error *error)
{
    (void)svc;
    (void)request;
    return fake_describe(name, arena, table, error);
}

enum cellar_status svc_list_tables(struct svc *svc, const struct svc_request *request,
                                   const struct svc_page *page, struct cellar_arena *arena,
                                   struct svc_table_names *names, struct cellar_error *error)
{
    static const struct cellar_slice one[1] = {
        {(const uint8_t *)"projects/p/instances/i/tables/t", 31}};
    (void)svc;
    (void)request;
    (void)page;
    (void)arena;
    if (fake.admin_status != CELLAR_OK) {
        return fake_fail(error, fake.admin_status);
    }
    *names = (struct svc_table_names){.names = one, .count = 1};
    return CELLAR_OK;
}

enum cellar_status svc_drop_table(struct svc *svc, const struct svc_request *request,
                                  struct cellar_slice name, struct cellar_error *error)
{
    (void)svc;
    (void)request;
    (void)name;
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_modify_families(struct svc *svc, const struct svc_request *request,
                                       const struct svc_family_changes *changes,
                                       struct cellar_arena *arena, struct svc_table *made,
                                       struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.change_count = changes->count;
    for (size_t i = 0; i < CELLAR_MIN(changes->count, CELLAR_ARRAY_COUNT(fake.changes)); i++) {
        fake.changes[i] = changes->changes[i];
    }
    return fake_describe(changes->table, arena, made, error);
}

enum cellar_status svc_drop_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_rows_drop *drop, struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.prefix_bytes = drop->prefix.bytes;
    fake.is_drop_of_all = drop->is_all;
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_compact(struct svc *svc, const struct svc_request *request,
                               const struct svc_compact_request *compact,
                               struct cellar_arena *arena, struct svc_compact_status *status,
                               struct cellar_error *error)
{
    (void)svc;
    (void)arena;
    fake.deadline_us = request->deadline_us;
    fake.compact = *compact;
    *status = (struct svc_compact_status){.state = SVC_COMPACT_FAILED,
                                          .pass = 3,
                                          .is_background = true,
                                          .table = cellar_slice_text("t"),
                                          .tablet_count = 1,
                                          .tablet_count_total = 2,
                                          .item_count = 5,
                                          .item_count_total = 6,
                                          .byte_count = 700,
                                          .started_us = 8,
                                          .ended_us = 9,
                                          .abandoned_count = 4,
                                          .why = cellar_slice_text("full")};
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_load_begin(struct svc *svc, const struct svc_request *request,
                                  const struct svc_load_range *range, const void *owner,
                                  uint64_t *id, struct cellar_error *error)
{
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.load_range = *range;
    fake.load_owner = owner;
    *id = 77;
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_load_rows(struct svc *svc, const struct svc_request *request,
                                 const struct svc_load_rows *rows, struct cellar_error *error)
{
    (void)svc;
    (void)request;
    fake.load_number = rows->id == 77 ? rows->number : UINT64_MAX;
    fake.load_bytes = rows->rows.bytes;
    fake.load_owner = rows->owner;
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_load_commit(struct svc *svc, const struct svc_request *request, uint64_t id,
                                   struct svc_load_counts *counts, struct cellar_error *error)
{
    (void)svc;
    (void)request;
    *counts = (struct svc_load_counts){id, id + 1, id + 2};
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

enum cellar_status svc_load_abort(struct svc *svc, const struct svc_request *request, uint64_t id,
                                  struct cellar_error *error)
{
    (void)svc;
    (void)request;
    fake.load_number = id;
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

void svc_loads_release(struct svc *svc, const void *owner)
{
    (void)svc;
    fake.released_owner = owner;
}

enum cellar_status svc_scrub(struct svc *svc, const struct svc_request *request,
                             const struct svc_scrub_request *scrub, struct cellar_arena *arena,
                             struct svc_scrub_status *status, struct cellar_error *error)
{
    const struct svc_scrub_problem problems[] = {
        {.table = {NULL, 0}, .why = cellar_slice_text("lost")},
        {.table = cellar_slice_text("t"),
         .tablet_end = cellar_slice_text("m"),
         .has_row = true,
         .rows_start = cellar_slice_text("a"),
         .why = cellar_slice_text("bad")},
        {.table = cellar_slice_text("t"),
         .tablet_start = cellar_slice_text("m"),
         .has_rows = true,
         .rows_start = cellar_slice_text("n"),
         .rows_end = cellar_slice_text("o"),
         .why = cellar_slice_text("worse")},
    };
    (void)svc;
    fake.deadline_us = request->deadline_us;
    fake.scrub = *scrub;
    *status =
        (struct svc_scrub_status){.state = SVC_SCRUB_ENDED,
                                  .pass = 3,
                                  .is_background = true,
                                  .table = cellar_slice_text("t"),
                                  .item_count = 5,
                                  .item_count_total = 6,
                                  .byte_count = 700,
                                  .started_us = 8,
                                  .ended_us = 9,
                                  .problem_count = 70,
                                  .problems = cellar_arena_copy(arena, problems, sizeof problems),
                                  .problem_count_listed = CELLAR_ARRAY_COUNT(problems)};
    return fake.admin_status == CELLAR_OK ? CELLAR_OK : fake_fail(error, fake.admin_status);
}

size_t svc_figures(struct svc *svc, struct svc_figure *figures)
{
    (void)svc;
    figures[0] = (struct svc_figure){.name = "writes_count", .value = fake.write_total};
    return 1;
}

bool svc_is_ready(struct svc *svc)
{
    (void)svc;
    return fake.is_ready;
}
