/*
 * Blob files.
 *
 *     header 64 | piece | CRC 4 | piece | CRC 4 | ...
 *
 * A file is made under its own name, which nothing knows yet; the pieces are written first and the
 * header last, then the file is synced and after it the folder. So whoever holds a reference finds
 * a whole file, and a file without a reference may be in any state: the sweep of the next start
 * removes it unread.
 *
 * Every piece's CRC covers blob and place, so that a piece of another file is never taken for one
 * of this. The CRC of the reference is over those CRCs in order: it stands in the header, which is
 * looked at before the first piece is given out, and is held against them at the end.
 *
 * Dirty pages are written back while the value is taken, some megabytes at a time: one sync at the
 * end would keep the device, and with it the log's next group, busy for all of them at once.
 *
 * Ids come from the clock and never go back within a run; one that is found on the disk is never
 * given out again. The list of the open serves the sweep and is freed by it. Files are read by any
 * thread; what changes is under the lock. FORMAT.md, "Blobs".
 */
#include "server/storage/blob_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/storage/log_files.h"

#define BLOB_VERSION 1u
#define CRC_BYTES 4u
#define WRITE_BACK_BYTES 4194304u
#define SUFFIX ".blob"
#define NAME_DIGITS 16u

static const char magic[8] = {'C', 'E', 'L', 'L', 'A', 'R', 'B', 'L'};

/* A file that was there at the open. */
struct found {
    uint64_t id;
    bool is_named;
};

struct store_blobs {
    char directory[PATH_MAX];
    uint8_t log_id[STORE_LOG_ID_BYTES];
    struct found *found; /* by id; NULL once swept */
    size_t found_count;
    size_t found_capacity;
    struct cellar_mutex lock;
    uint64_t last_id CELLAR_GUARDED_BY(lock);
    struct store_blob_batch *retired CELLAR_GUARDED_BY(lock);
};

/* ---- references ------------------------------------------------------------------------------ */

void store_blob_encode(uint8_t *to, const struct store_blob *blob)
{
    CELLAR_ASSERT(blob->id > 0 && blob->bytes > 0);
    cellar_put_u64le(to, blob->id);
    cellar_put_u64le(to + 8, blob->bytes);
    cellar_put_u32le(to + 16, blob->crc);
}

bool store_blob_decode(struct cellar_slice from, struct store_blob *blob)
{
    if (from.bytes != STORE_BLOB_REFERENCE_BYTES) {
        return false;
    }
    CELLAR_ASSERT(from.data != NULL);
    blob->id = cellar_get_u64le(from.data);
    blob->bytes = cellar_get_u64le(from.data + 8);
    blob->crc = cellar_get_u32le(from.data + 16);
    return blob->id > 0 && blob->bytes > 0 && blob->bytes <= STORE_BLOB_BYTES_MAX;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void path_of(const struct store_blobs *blobs, uint64_t id, char *path)
{
    int bytes = snprintf(path, PATH_MAX, "%s/%016" PRIx64 SUFFIX, blobs->directory, id);
    CELLAR_ASSERT(bytes > 0 && bytes < PATH_MAX);
}

/* Only names that path_of() makes: what somebody put aside in the folder is left alone. */
static bool name_parse(const char *name, uint64_t *id)
{
    char *end = NULL;
    if (strlen(name) != NAME_DIGITS + sizeof SUFFIX - 1 ||
        strspn(name, "0123456789abcdef") != NAME_DIGITS ||
        strcmp(name + NAME_DIGITS, SUFFIX) != 0) {
        return false;
    }
    *id = strtoull(name, &end, 16);
    CELLAR_ASSERT(end == name + NAME_DIGITS);
    return *id > 0;
}

static enum cellar_status found_add(struct store_blobs *blobs, uint64_t id)
{
    if (blobs->found_count == blobs->found_capacity) {
        size_t capacity = blobs->found_capacity == 0 ? 64 : blobs->found_capacity * 2;
        void *grown = cellar_mem_realloc(blobs->found, capacity * sizeof *blobs->found);
        if (grown == NULL) {
            return CELLAR_NO_MEMORY;
        }
        blobs->found = grown;
        blobs->found_capacity = capacity;
    }
    CELLAR_ASSERT(blobs->found_count < blobs->found_capacity);
    blobs->found[blobs->found_count++] = (struct found){.id = id};
    return CELLAR_OK;
}

static int found_order(const void *a, const void *b)
{
    uint64_t left = ((const struct found *)a)->id;
    uint64_t right = ((const struct found *)b)->id;
    CELLAR_ASSERT(left > 0 && right > 0);
    return left < right ? -1 : (left > right ? 1 : 0);
}

static enum cellar_status files_list(struct store_blobs *blobs, struct cellar_error *error)
{
    DIR *directory = opendir(blobs->directory);
    enum cellar_status status = CELLAR_OK;
    const struct dirent *entry;
    if (directory == NULL && errno == ENOENT) {
        return CELLAR_OK;
    }
    if (directory == NULL) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "cannot open the directory %s: %s",
                                blobs->directory, strerror(errno));
    }
    while (status == CELLAR_OK && (entry = readdir(directory)) != NULL) {
        uint64_t id = 0;
        if (name_parse(entry->d_name, &id)) {
            status = found_add(blobs, id);
        }
    }
    (void)closedir(directory);
    if (blobs->found_count > 0) {
        qsort(blobs->found, blobs->found_count, sizeof blobs->found[0], found_order);
    }
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    return status == CELLAR_OK
               ? status
               : cellar_error_set(error, status, "no memory for the list of %s", blobs->directory);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The clock keeps ids of this run apart from those of earlier ones whose files are gone by now;
 * where it was set back, the files that are there do. */
static void ids_begin(struct store_blobs *blobs) CELLAR_NO_THREAD_SAFETY
{
    int64_t now_us = cellar_clock_real_us();
    uint64_t newest = blobs->found_count > 0 ? blobs->found[blobs->found_count - 1].id : 0;
    uint64_t now = now_us > 0 ? (uint64_t)now_us : 1;
    blobs->last_id = CELLAR_MAX(newest, now);
    CELLAR_ASSERT(blobs->last_id > 0 && blobs->last_id < UINT64_MAX);
}

static enum cellar_status folder_open(const char *directory, const uint8_t *log_id,
                                      struct store_blobs **blobs, struct cellar_error *error)
{
    size_t bytes = strlen(directory);
    struct store_blobs *opened = cellar_mem_zalloc(1, sizeof *opened);
    if (opened == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for %s", directory);
    }
    CELLAR_ASSERT(bytes > 0 && bytes + NAME_DIGITS + sizeof SUFFIX + 1 < sizeof opened->directory);
    memcpy(opened->directory, directory, bytes + 1);
    memcpy(opened->log_id, log_id, sizeof opened->log_id);
    cellar_mutex_init(&opened->lock);
    enum cellar_status status = files_list(opened, error);
    if (status != CELLAR_OK) {
        store_blobs_close(opened);
        return status;
    }
    ids_begin(opened);
    *blobs = opened;
    return CELLAR_OK;
}

enum cellar_status store_blobs_open(const char *directory, const uint8_t *log_id,
                                    struct store_blobs **blobs, struct cellar_error *error)
{
    CELLAR_ASSERT(directory[0] != '\0');
    CELLAR_TRY(store_directory_make(directory, error));
    return folder_open(directory, log_id, blobs, error);
}

enum cellar_status store_blobs_open_read(const char *directory, const uint8_t *log_id,
                                         struct store_blobs **blobs, struct cellar_error *error)
{
    CELLAR_ASSERT(log_id != NULL);
    return folder_open(directory, log_id, blobs, error);
}

void store_blobs_close(struct store_blobs *blobs)
{
    if (blobs == NULL) {
        return;
    }
    CELLAR_ASSERT(blobs->found_count <= blobs->found_capacity);
    store_blobs_reap(blobs);
    cellar_mutex_fini(&blobs->lock);
    cellar_mem_free(blobs->found);
    cellar_mem_free(blobs);
}

/* ---- clean-up at a start --------------------------------------------------------------------- */

bool store_blobs_name(struct store_blobs *blobs, uint64_t id)
{
    const struct found wanted = {.id = id};
    CELLAR_ASSERT(id > 0);
    struct found *found = blobs->found_count == 0
                              ? NULL
                              : bsearch(&wanted, blobs->found, blobs->found_count,
                                        sizeof blobs->found[0], found_order);
    if (found != NULL) {
        found->is_named = true;
    }
    return found != NULL;
}

enum cellar_status store_blobs_unnamed(const struct store_blobs *blobs, store_blob_visit_fn *visit,
                                       void *context)
{
    for (size_t i = 0; i < blobs->found_count; i++) {
        CELLAR_ASSERT(blobs->found[i].id > 0);
        if (!blobs->found[i].is_named) {
            CELLAR_TRY(visit(context, blobs->found[i].id));
        }
    }
    return CELLAR_OK;
}

void store_blobs_name_all(struct store_blobs *blobs)
{
    for (size_t i = 0; i < blobs->found_count; i++) {
        CELLAR_ASSERT(blobs->found[i].id > 0);
        blobs->found[i].is_named = true;
    }
}

size_t store_blobs_sweep(struct store_blobs *blobs)
{
    size_t removed_count = 0;
    for (size_t i = 0; i < blobs->found_count; i++) {
        if (!blobs->found[i].is_named) {
            store_blobs_remove(blobs, blobs->found[i].id);
            removed_count++;
        }
    }
    CELLAR_ASSERT(removed_count <= blobs->found_count);
    cellar_mem_free(blobs->found);
    blobs->found = NULL;
    blobs->found_count = 0;
    blobs->found_capacity = 0;
    return removed_count;
}

/* The name's removal is not synced: one that a power loss brings back is nobody's at the next
 * start. */
void store_blobs_remove(struct store_blobs *blobs, uint64_t id)
{
    char path[PATH_MAX];
    CELLAR_ASSERT(id > 0);
    path_of(blobs, id, path);
    if (unlink(path) != 0 && errno != ENOENT) {
        cellar_log(CELLAR_LOG_WARN, "blob_remove_failed", "path=\"%s\" error=\"%s\"", path,
                   strerror(errno));
    }
}

void store_blobs_retire(struct store_blobs *blobs, struct store_blob_batch *batch)
{
    CELLAR_ASSERT(batch->count == 0 || batch->ids != NULL);
    cellar_mutex_lock(&blobs->lock);
    batch->next = blobs->retired;
    blobs->retired = batch;
    cellar_mutex_unlock(&blobs->lock);
}

void store_blobs_reap(struct store_blobs *blobs)
{
    cellar_mutex_lock(&blobs->lock);
    struct store_blob_batch *batch = blobs->retired;
    blobs->retired = NULL;
    cellar_mutex_unlock(&blobs->lock);
    while (batch != NULL) {
        struct store_blob_batch *next = batch->next;
        for (size_t i = 0; i < batch->count; i++) {
            store_blobs_remove(blobs, batch->ids[i]);
        }
        CELLAR_ASSERT(next != batch);
        cellar_mem_free(batch->ids);
        cellar_mem_free(batch);
        batch = next;
    }
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Over blob, place and bytes. */
static uint32_t piece_crc(uint64_t id, uint64_t at, struct cellar_slice piece)
{
    uint8_t place[16];
    CELLAR_ASSERT(piece.bytes > 0 && piece.bytes <= STORE_BLOB_PIECE_BYTES);
    cellar_put_u64le(place, id);
    cellar_put_u64le(place + 8, at);
    return cellar_crc32c(cellar_crc32c(0, place, sizeof place), piece.data, piece.bytes);
}

/* Adds a piece's checksum to that of the whole. */
static uint32_t crc_add(uint32_t crc, uint32_t piece)
{
    uint8_t bytes[CRC_BYTES];
    static_assert(sizeof piece == CRC_BYTES, "a checksum as it is stored");
    cellar_put_u32le(bytes, piece);
    return cellar_crc32c(crc, bytes, sizeof bytes);
}

/* Where in the file the piece with the value's byte `at` begins. */
static uint64_t piece_offset(uint64_t at)
{
    CELLAR_ASSERT(at % STORE_BLOB_PIECE_BYTES == 0);
    return STORE_BLOB_HEADER_BYTES +
           at / STORE_BLOB_PIECE_BYTES * (STORE_BLOB_PIECE_BYTES + CRC_BYTES);
}

static void header_make(const struct store_blobs *blobs, const struct store_blob *blob,
                        uint8_t *header)
{
    memset(header, 0, STORE_BLOB_HEADER_BYTES);
    memcpy(header, magic, sizeof magic);
    cellar_put_u32le(header + 8, BLOB_VERSION);
    cellar_put_u32le(header + 12, STORE_BLOB_PIECE_BYTES);
    memcpy(header + 16, blobs->log_id, STORE_LOG_ID_BYTES);
    store_blob_encode(header + 32, blob);
    cellar_put_u32le(header + 60, cellar_crc32c(0, header, 60));
    CELLAR_ASSERT(header[0] == (uint8_t)magic[0]);
}

/* ---- writing --------------------------------------------------------------------------------- */

static uint64_t id_take(struct store_blobs *blobs)
{
    cellar_mutex_lock(&blobs->lock);
    uint64_t id = ++blobs->last_id;
    cellar_mutex_unlock(&blobs->lock);
    CELLAR_ASSERT(id > 0);
    return id;
}

static enum cellar_status piece_write(int descriptor, struct store_blob *blob, uint64_t at,
                                      struct cellar_slice piece)
{
    uint8_t bytes[CRC_BYTES];
    uint64_t offset = piece_offset(at);
    uint32_t crc = piece_crc(blob->id, at, piece);
    CELLAR_ASSERT(at + piece.bytes <= blob->bytes);
    cellar_put_u32le(bytes, crc);
    blob->crc = crc_add(blob->crc, crc);
    CELLAR_TRY(store_file_write(descriptor, offset, piece.data, piece.bytes));
    return store_file_write(descriptor, offset + piece.bytes, bytes, sizeof bytes);
}

/* What a failed sync says: file systems may find out only there that the disk is full. */
static enum cellar_status sync_status(void)
{
    CELLAR_ASSERT(errno != 0);
    return errno == ENOSPC || errno == EDQUOT ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR;
}

/* Lets go of the whole pages of a piece of a mapped value: what was copied is not needed again, and
 * a page that is comes back from its file. */
static void pages_release(struct cellar_slice value, uint64_t at, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = ((uintptr_t)value.data + at) / page * page;
    uintptr_t end = ((uintptr_t)value.data + at + bytes) / page * page;
    CELLAR_ASSERT(start <= end && at + bytes <= value.bytes);
    if (end > start) {
        (void)madvise((void *)start, end - start, MADV_DONTNEED); /* saves memory, no more */
    }
}

/* A sync that fails says so once only: such a file is given up and never synced again. */
static enum cellar_status file_fill(const struct store_blobs *blobs, int descriptor,
                                    struct cellar_slice value, bool is_mapped,
                                    struct store_blob *blob)
{
    uint8_t header[STORE_BLOB_HEADER_BYTES];
    for (uint64_t at = 0; at < value.bytes; at += STORE_BLOB_PIECE_BYTES) {
        size_t bytes =
            (size_t)CELLAR_MIN((uint64_t)value.bytes - at, (uint64_t)STORE_BLOB_PIECE_BYTES);
        CELLAR_TRY(piece_write(descriptor, blob, at, cellar_slice_make(value.data + at, bytes)));
        if ((at + bytes) % WRITE_BACK_BYTES == 0 && fdatasync(descriptor) != 0) {
            return sync_status();
        }
        if (is_mapped) {
            pages_release(value, at, bytes);
        }
    }
    header_make(blobs, blob, header);
    CELLAR_TRY(store_file_write(descriptor, 0, header, sizeof header));
    CELLAR_ASSERT(blob->bytes == value.bytes);
    return fsync(descriptor) == 0 ? CELLAR_OK : sync_status();
}

/* O_EXCL: a file that is there under the id is somebody's, whatever the clock says. */
enum cellar_status store_blobs_write(struct store_blobs *blobs, struct cellar_slice value,
                                     bool is_mapped, struct store_blob *blob)
{
    char path[PATH_MAX];
    struct store_blob made = {.id = id_take(blobs), .bytes = value.bytes};
    CELLAR_ASSERT(value.bytes > 0 && value.bytes <= STORE_BLOB_BYTES_MAX);
    path_of(blobs, made.id, path);
    int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, STORE_FILE_MODE);
    if (descriptor < 0) {
        return errno == ENOSPC || errno == EDQUOT ? CELLAR_RESOURCE_EXHAUSTED : CELLAR_IO_ERROR;
    }
    enum cellar_status status = file_fill(blobs, descriptor, value, is_mapped, &made);
    if (status == CELLAR_OK) {
        status = store_directory_sync(blobs->directory, NULL);
    }
    (void)close(descriptor);
    if (status != CELLAR_OK) {
        store_blobs_remove(blobs, made.id);
        return status;
    }
    *blob = made;
    return CELLAR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Whether the header is byte for byte the one that was written for the reference: log, id, length
 * and checksum are in it. */
static enum cellar_status header_check(const struct store_blobs *blobs, int descriptor,
                                       const struct store_blob *blob)
{
    uint8_t wanted[STORE_BLOB_HEADER_BYTES];
    uint8_t found[STORE_BLOB_HEADER_BYTES];
    size_t got = 0;
    CELLAR_ASSERT(descriptor >= 0);
    header_make(blobs, blob, wanted);
    CELLAR_TRY(store_file_read(descriptor, 0, found, sizeof found, &got));
    return got == sizeof found && memcmp(wanted, found, sizeof found) == 0 ? CELLAR_OK
                                                                           : CELLAR_DATA_LOSS;
}

enum cellar_status store_blob_open(const struct store_blobs *blobs, const struct store_blob *blob,
                                   struct store_blob_reader *reader)
{
    char path[PATH_MAX];
    CELLAR_ASSERT(blob->id > 0);
    path_of(blobs, blob->id, path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == ENOENT ? CELLAR_DATA_LOSS : CELLAR_IO_ERROR;
    }
    enum cellar_status status = header_check(blobs, descriptor, blob);
    if (status != CELLAR_OK) {
        (void)close(descriptor);
        return status;
    }
    *reader = (struct store_blob_reader){.blob = *blob, .descriptor = descriptor};
    return CELLAR_OK;
}

enum cellar_status store_blob_next(struct store_blob_reader *reader, struct cellar_buffer *to)
{
    uint64_t left = reader->blob.bytes - reader->at;
    size_t bytes = (size_t)CELLAR_MIN(left, (uint64_t)STORE_BLOB_PIECE_BYTES);
    size_t got = 0;
    CELLAR_ASSERT(reader->descriptor >= 0);
    if (bytes == 0) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_reserve(to, bytes + CRC_BYTES));
    uint8_t *piece = to->data + to->bytes;
    CELLAR_TRY(store_file_read(reader->descriptor, piece_offset(reader->at), piece,
                               bytes + CRC_BYTES, &got));
    uint32_t crc = piece_crc(reader->blob.id, reader->at, cellar_slice_make(piece, bytes));
    uint32_t whole = crc_add(reader->crc, crc);
    bool is_last = bytes == left;
    if (got != bytes + CRC_BYTES || cellar_get_u32le(piece + bytes) != crc ||
        (is_last && whole != reader->blob.crc)) {
        return CELLAR_DATA_LOSS;
    }
    reader->at += bytes;
    reader->crc = whole;
    to->bytes += bytes;
    return CELLAR_OK;
}

void store_blob_close(struct store_blob_reader *reader)
{
    CELLAR_ASSERT(reader->at <= reader->blob.bytes);
    if (reader->descriptor >= 0) {
        (void)close(reader->descriptor);
    }
    reader->descriptor = -1;
}

enum cellar_status store_blob_read(const struct store_blobs *blobs, const struct store_blob *blob,
                                   struct cellar_buffer *to)
{
    struct store_blob_reader reader;
    size_t before = to->bytes;
    CELLAR_TRY(store_blob_open(blobs, blob, &reader));
    enum cellar_status status = cellar_buffer_reserve(to, (size_t)blob->bytes + CRC_BYTES);
    while (status == CELLAR_OK && !store_blob_is_done(&reader)) {
        status = store_blob_next(&reader, to);
    }
    store_blob_close(&reader);
    to->bytes = status == CELLAR_OK ? to->bytes : before;
    CELLAR_ASSERT(to->bytes == before || to->bytes == before + blob->bytes);
    return status;
}
