/*
 * Sorting more rows than memory holds.
 *
 *     put ... put      into one block of memory, with a place a row
 *     block is full    its places sorted, the rows written behind the file's end: a run
 *     end, next        the runs and what memory still holds, each in order, are merged
 *
 * An entry is the lengths of key and body and the mark, four bytes each, then the two. Places sort
 * by key, then by where they lie, which is the order in which they were put; and of two runs the
 * earlier one goes first, so that rows of one key keep their order throughout.
 *
 * The file is one, without a name from the start (O_TMPFILE, or unlinked at once), so that nothing
 * is left of it whatever ends the program. Runs are read through windows that share the memory.
 */
#include "client/tools/row_sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define HEAD_BYTES 12u
#define WINDOW_BYTES_MIN 65536u
#define WRITE_BYTES 1048576u

/* A sorted run in the file; entries are read one after the other. */
struct run {
    uint64_t at;  /* of what the window lacks */
    uint64_t end; /* behind the run */
    struct cellar_buffer window;
    size_t used; /* of the window: entries taken */
    struct cellar_sorter_row row;
    bool has_row;
};

struct cellar_row_sorter {
    uint64_t memory_bytes;
    const char *directory;
    int descriptor; /* -1: no file yet */
    struct cellar_buffer block;
    size_t *places; /* of entries in the block */
    size_t place_count;
    size_t place_capacity;
    size_t place_next; /* while taking */
    struct run *runs;
    size_t run_count;
    size_t run_capacity;
    struct run *taken; /* whose row was given last; NULL: one of the block, or none */
    uint64_t file_bytes;
    uint64_t put_bytes;
    bool is_ended;
};

struct cellar_row_sorter *cellar_row_sorter_new(uint64_t memory_bytes, const char *directory)
{
    struct cellar_row_sorter *sorter = cellar_mem_zalloc(1, sizeof *sorter);
    CELLAR_ASSERT(memory_bytes >= CELLAR_SORTER_BYTES_MIN && directory != NULL);
    if (sorter != NULL) {
        sorter->memory_bytes = memory_bytes;
        sorter->directory = directory;
        sorter->descriptor = -1;
    }
    return sorter;
}

void cellar_row_sorter_free(struct cellar_row_sorter *sorter)
{
    if (sorter == NULL) {
        return;
    }
    CELLAR_ASSERT(sorter->run_count <= sorter->run_capacity);
    for (size_t i = 0; i < sorter->run_count; i++) {
        cellar_buffer_fini(&sorter->runs[i].window);
    }
    if (sorter->descriptor >= 0) {
        (void)close(sorter->descriptor);
    }
    cellar_buffer_fini(&sorter->block);
    cellar_mem_free(sorter->places);
    cellar_mem_free(sorter->runs);
    cellar_mem_free(sorter);
}

uint64_t cellar_row_sorter_bytes(const struct cellar_row_sorter *sorter)
{
    CELLAR_ASSERT(sorter->put_bytes >= sorter->block.bytes);
    return sorter->put_bytes;
}

uint64_t cellar_row_sorter_spilled_bytes(const struct cellar_row_sorter *sorter)
{
    CELLAR_ASSERT(sorter->put_bytes >= sorter->file_bytes);
    return sorter->file_bytes;
}

static enum cellar_status refuse_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(HEAD_BYTES == 3 * sizeof(uint32_t));
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for sorting");
}

/* ---- entries --------------------------------------------------------------------------------- */

static struct cellar_sorter_row entry_row(const uint8_t *entry)
{
    size_t key_bytes = cellar_get_u32be(entry);
    size_t body_bytes = cellar_get_u32be(entry + 4);
    CELLAR_ASSERT(key_bytes > 0);
    return (struct cellar_sorter_row){cellar_slice_make(entry + HEAD_BYTES, key_bytes),
                                      cellar_slice_make(entry + HEAD_BYTES + key_bytes, body_bytes),
                                      cellar_get_u32be(entry + 8)};
}

static size_t entry_bytes(const uint8_t *entry)
{
    CELLAR_ASSERT(entry != NULL);
    return HEAD_BYTES + (size_t)cellar_get_u32be(entry) + cellar_get_u32be(entry + 4);
}

/* For qsort_r(3): of equal keys the one that was put first. */
static int place_order(const void *a, const void *b, void *context)
{
    const struct cellar_row_sorter *sorter = context;
    size_t left = *(const size_t *)a;
    size_t right = *(const size_t *)b;
    int order = cellar_slice_compare(entry_row(sorter->block.data + left).key,
                                     entry_row(sorter->block.data + right).key);
    CELLAR_ASSERT(left != right || a == b);
    return order != 0 ? order : (left < right ? -1 : (left > right ? 1 : 0));
}

static void places_sort(struct cellar_row_sorter *sorter)
{
    CELLAR_ASSERT(sorter->place_count <= sorter->place_capacity);
    if (sorter->place_count > 1) {
        qsort_r(sorter->places, sorter->place_count, sizeof *sorter->places, place_order, sorter);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum cellar_status file_failed(const struct cellar_row_sorter *sorter,
                                      struct cellar_error *error)
{
    int number = errno;
    char reason[128] = "";
    const char *text = strerror_r(number, reason, sizeof reason);
    CELLAR_ASSERT(number != 0);
    return cellar_error_set(
        error, number == ENOSPC || number == EDQUOT ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR,
        "Sorting needs a file in %.200s (--tmp-dir, TMPDIR): %.80s", sorter->directory, text);
}

static enum cellar_status file_open(struct cellar_row_sorter *sorter, struct cellar_error *error)
{
    char path[4096];
    if (sorter->descriptor >= 0) {
        return CELLAR_OK;
    }
    sorter->descriptor = open(sorter->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (sorter->descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        int bytes = snprintf(path, sizeof path, "%s/cellar-sort-XXXXXX", sorter->directory);
        CELLAR_ASSERT(bytes > 0);
        sorter->descriptor = (size_t)bytes < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
        if (sorter->descriptor >= 0) {
            (void)unlink(path);
        }
    }
    return sorter->descriptor >= 0 ? CELLAR_OK : file_failed(sorter, error);
}

static enum cellar_status file_write(struct cellar_row_sorter *sorter, struct cellar_slice bytes,
                                     struct cellar_error *error)
{
    size_t done = 0;
    while (done < bytes.bytes) {
        ssize_t count = pwrite(sorter->descriptor, bytes.data + done, bytes.bytes - done,
                               (off_t)sorter->file_bytes);
        if (count < 0 && errno != EINTR) {
            return file_failed(sorter, error);
        }
        CELLAR_ASSERT(count <= (ssize_t)(bytes.bytes - done));
        done += count > 0 ? (size_t)count : 0;
        sorter->file_bytes += count > 0 ? (uint64_t)count : 0;
    }
    return CELLAR_OK;
}

static enum cellar_status run_new(struct cellar_row_sorter *sorter, struct run **run,
                                  struct cellar_error *error)
{
    if (sorter->run_count == sorter->run_capacity) {
        size_t capacity = sorter->run_capacity == 0 ? 16 : 2 * sorter->run_capacity;
        void *grown = cellar_mem_realloc(sorter->runs, capacity * sizeof *sorter->runs);
        if (grown == NULL) {
            return refuse_memory(error);
        }
        sorter->runs = grown;
        sorter->run_capacity = capacity;
    }
    *run = &sorter->runs[sorter->run_count++];
    **run = (struct run){.at = sorter->file_bytes};
    CELLAR_ASSERT(sorter->run_count <= sorter->run_capacity);
    return CELLAR_OK;
}

/* Writes what memory holds as a run, through a buffer, as entries lie here and there. */
static enum cellar_status block_spill(struct cellar_row_sorter *sorter, struct cellar_error *error)
{
    struct cellar_buffer out = {0};
    struct run *run = NULL;
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(sorter->place_count > 0);
    CELLAR_TRY(file_open(sorter, error));
    CELLAR_TRY(run_new(sorter, &run, error));
    CELLAR_ASSERT(run != NULL);
    places_sort(sorter);
    for (size_t i = 0; status == CELLAR_OK && i < sorter->place_count; i++) {
        const uint8_t *entry = sorter->block.data + sorter->places[i];
        if (cellar_buffer_append(&out, entry, entry_bytes(entry)) != CELLAR_OK) {
            status = refuse_memory(error);
        } else if (out.bytes >= WRITE_BYTES || i + 1 == sorter->place_count) {
            status = file_write(sorter, cellar_slice_of(&out), error);
            cellar_buffer_clear(&out);
        }
    }
    run->end = sorter->file_bytes;
    cellar_buffer_fini(&out);
    cellar_buffer_clear(&sorter->block);
    sorter->place_count = 0;
    return status;
}

/* ---- putting --------------------------------------------------------------------------------- */

static enum cellar_status place_add(struct cellar_row_sorter *sorter, struct cellar_error *error)
{
    if (sorter->place_count == sorter->place_capacity) {
        size_t capacity = sorter->place_capacity == 0 ? 1024 : 2 * sorter->place_capacity;
        void *grown = cellar_mem_realloc(sorter->places, capacity * sizeof *sorter->places);
        if (grown == NULL) {
            return refuse_memory(error);
        }
        sorter->places = grown;
        sorter->place_capacity = capacity;
    }
    sorter->places[sorter->place_count++] = sorter->block.bytes;
    CELLAR_ASSERT(sorter->place_count <= sorter->place_capacity);
    return CELLAR_OK;
}

enum cellar_status cellar_row_sorter_put(struct cellar_row_sorter *sorter,
                                         const struct cellar_sorter_row *row,
                                         struct cellar_error *error)
{
    uint8_t head[HEAD_BYTES];
    size_t bytes = HEAD_BYTES + row->key.bytes + row->body.bytes;
    uint64_t held = sorter->block.bytes + sorter->place_count * sizeof *sorter->places;
    CELLAR_ASSERT(!sorter->is_ended && row->key.bytes > 0);
    CELLAR_ASSERT(row->key.bytes <= UINT32_MAX && row->body.bytes <= UINT32_MAX);
    if (sorter->place_count > 0 && held + bytes > sorter->memory_bytes) {
        CELLAR_TRY(block_spill(sorter, error));
    }
    cellar_put_u32be(head, (uint32_t)row->key.bytes);
    cellar_put_u32be(head + 4, (uint32_t)row->body.bytes);
    cellar_put_u32be(head + 8, row->mark);
    if (cellar_buffer_reserve(&sorter->block, bytes) != CELLAR_OK) {
        return refuse_memory(error);
    }
    CELLAR_TRY(place_add(sorter, error));
    if (cellar_buffer_append(&sorter->block, head, sizeof head) != CELLAR_OK ||
        cellar_buffer_append(&sorter->block, row->key.data, row->key.bytes) != CELLAR_OK ||
        cellar_buffer_append(&sorter->block, row->body.data, row->body.bytes) != CELLAR_OK) {
        return refuse_memory(error);
    }
    sorter->put_bytes += bytes;
    return CELLAR_OK;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Has at least `bytes` bytes behind the entries taken in the window. */
static enum cellar_status window_fill(struct cellar_row_sorter *sorter, struct run *run,
                                      size_t bytes, struct cellar_error *error)
{
    struct cellar_buffer *window = &run->window;
    size_t share = (size_t)(sorter->memory_bytes / (sorter->run_count + 1));
    size_t kept = window->bytes - run->used;
    if (kept >= bytes) {
        return CELLAR_OK;
    }
    if (kept > 0) {
        memmove(window->data, window->data + run->used, kept);
    }
    window->bytes = kept;
    run->used = 0;
    size_t wanted = CELLAR_MAX(CELLAR_MAX(bytes, share), (size_t)WINDOW_BYTES_MIN);
    size_t more = (size_t)CELLAR_MIN((uint64_t)(wanted - kept), run->end - run->at);
    if (cellar_buffer_reserve(window, more) != CELLAR_OK) {
        return refuse_memory(error);
    }
    while (more > 0) {
        ssize_t count =
            pread(sorter->descriptor, window->data + window->bytes, more, (off_t)run->at);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            errno = count == 0 ? EIO : errno; /* a file of ours that was cut */
            return file_failed(sorter, error);
        }
        size_t got = count > 0 ? (size_t)count : 0;
        window->bytes += got;
        run->at += got;
        more -= got;
    }
    CELLAR_ASSERT(window->bytes >= bytes);
    return CELLAR_OK;
}

/* Moves a run to its next row. */
static enum cellar_status run_next(struct cellar_row_sorter *sorter, struct run *run,
                                   struct cellar_error *error)
{
    run->has_row = run->used < run->window.bytes || run->at < run->end;
    if (!run->has_row) {
        cellar_buffer_fini(&run->window);
        return CELLAR_OK;
    }
    CELLAR_TRY(window_fill(sorter, run, HEAD_BYTES, error));
    size_t bytes = entry_bytes(run->window.data + run->used);
    CELLAR_TRY(window_fill(sorter, run, bytes, error));
    run->row = entry_row(run->window.data + run->used);
    run->used += bytes;
    CELLAR_ASSERT(run->used <= run->window.bytes);
    return CELLAR_OK;
}

/* What memory holds becomes a run when there are others, as windows need its place. */
enum cellar_status cellar_row_sorter_end(struct cellar_row_sorter *sorter,
                                         struct cellar_error *error)
{
    CELLAR_ASSERT(!sorter->is_ended);
    sorter->is_ended = true;
    if (sorter->run_count == 0) {
        places_sort(sorter);
        return CELLAR_OK;
    }
    if (sorter->place_count > 0) {
        CELLAR_TRY(block_spill(sorter, error));
    }
    cellar_buffer_fini(&sorter->block);
    for (size_t i = 0; i < sorter->run_count; i++) {
        CELLAR_TRY(run_next(sorter, &sorter->runs[i], error));
    }
    return CELLAR_OK;
}

/* The run with the smallest key; of equal ones the earliest. Runs are few: memory for each is not
 * small. */
static struct run *run_smallest(struct cellar_row_sorter *sorter)
{
    struct run *smallest = NULL;
    CELLAR_ASSERT(sorter->is_ended);
    for (size_t i = 0; i < sorter->run_count; i++) {
        struct run *run = &sorter->runs[i];
        if (run->has_row &&
            (smallest == NULL || cellar_slice_compare(run->row.key, smallest->row.key) < 0)) {
            smallest = run;
        }
    }
    return smallest;
}

enum cellar_status cellar_row_sorter_next(struct cellar_row_sorter *sorter,
                                          struct cellar_sorter_row *row, bool *has_row,
                                          struct cellar_error *error)
{
    CELLAR_ASSERT(sorter->is_ended);
    if (sorter->run_count == 0) {
        *has_row = sorter->place_next < sorter->place_count;
        if (*has_row) {
            *row = entry_row(sorter->block.data + sorter->places[sorter->place_next++]);
        }
        return CELLAR_OK;
    }
    if (sorter->taken != NULL) {
        CELLAR_TRY(run_next(sorter, sorter->taken, error));
    }
    sorter->taken = run_smallest(sorter);
    *has_row = sorter->taken != NULL;
    if (*has_row) {
        *row = sorter->taken->row;
    }
    return CELLAR_OK;
}
