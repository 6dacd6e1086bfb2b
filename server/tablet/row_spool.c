/*
 * A spool is a queue of byte pieces, each behind its length. While all fits into 8 MiB it stays in
 * memory; then everything goes to a file, memory only gathers a megabyte at a time before it is
 * written behind. Reading begins after the last put.
 *
 * At most TABLET_SPOOL_FILE_COUNT_MAX files exist in the process; one more is refused, so that wide
 * rows cannot fill the disk.
 */
#include "server/tablet/row_spool.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "server/storage/log_files.h"

#define GATHER_BYTES 1048576u
#define LENGTH_BYTES 4u

static _Atomic unsigned
    file_count; /* spool files that exist: a limit of the process, not state of a row */

void tablet_spool_init(struct tablet_spool *spool, const char *directory)
{
    memset(spool, 0, sizeof *spool);
    spool->directory = directory;
    spool->descriptor = -1;
    CELLAR_ASSERT(directory != NULL);
}

void tablet_spool_reset(struct tablet_spool *spool)
{
    if (spool->descriptor >= 0) {
        (void)close(spool->descriptor);
        unsigned before = atomic_fetch_sub(&file_count, 1);
        CELLAR_ASSERT(before > 0);
    }
    spool->descriptor = -1;
    spool->file_bytes = 0;
    spool->read_offset = 0;
    spool->total_bytes = 0;
    if (spool->memory.capacity > GATHER_BYTES) {
        cellar_buffer_fini(&spool->memory);
    }
    if (spool->piece.capacity > GATHER_BYTES) {
        cellar_buffer_fini(&spool->piece);
    }
    cellar_buffer_clear(&spool->memory);
}

void tablet_spool_fini(struct tablet_spool *spool)
{
    tablet_spool_reset(spool);
    cellar_buffer_fini(&spool->memory);
    cellar_buffer_fini(&spool->piece);
    CELLAR_ASSERT(spool->descriptor < 0);
}

static enum cellar_status file_make(struct tablet_spool *spool)
{
    if (atomic_fetch_add(&file_count, 1) >= TABLET_SPOOL_FILE_COUNT_MAX) {
        atomic_fetch_sub(&file_count, 1);
        return CELLAR_RESOURCE_EXHAUSTED;
    }
    spool->descriptor = open(spool->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (spool->descriptor < 0) {
        atomic_fetch_sub(&file_count, 1);
        return CELLAR_IO_ERROR;
    }
    CELLAR_ASSERT(spool->file_bytes == 0);
    return CELLAR_OK;
}

/* Writes what is in memory behind the file's end. */
static enum cellar_status memory_flush(struct tablet_spool *spool)
{
    CELLAR_ASSERT(spool->descriptor >= 0);
    CELLAR_TRY(store_file_write(spool->descriptor, spool->file_bytes, spool->memory.data,
                                spool->memory.bytes));
    spool->file_bytes += spool->memory.bytes;
    cellar_buffer_fini(&spool->memory);
    return CELLAR_OK;
}

enum cellar_status tablet_spool_put(struct tablet_spool *spool, struct cellar_slice piece)
{
    uint8_t length[LENGTH_BYTES];
    CELLAR_ASSERT(spool->read_offset == 0 && piece.bytes <= UINT32_MAX);
    cellar_put_u32le(length, (uint32_t)piece.bytes);
    CELLAR_TRY(cellar_buffer_reserve(&spool->memory, sizeof length + piece.bytes));
    CELLAR_TRY(cellar_buffer_append(&spool->memory, length, sizeof length));
    CELLAR_TRY(cellar_buffer_append(&spool->memory, piece.data, piece.bytes));
    spool->total_bytes += sizeof length + piece.bytes;
    if (spool->descriptor < 0 && spool->memory.bytes > TABLET_SPOOL_MEMORY_BYTES_MAX) {
        CELLAR_TRY(file_make(spool));
    }
    return spool->descriptor >= 0 && spool->memory.bytes > GATHER_BYTES ? memory_flush(spool)
                                                                        : CELLAR_OK;
}

static enum cellar_status file_get(struct tablet_spool *spool, struct cellar_slice *piece)
{
    uint8_t length[LENGTH_BYTES];
    size_t got = 0;
    CELLAR_TRY(store_file_read(spool->descriptor, spool->read_offset, length, sizeof length, &got));
    size_t bytes = got == sizeof length ? cellar_get_u32le(length) : 0;
    cellar_buffer_clear(&spool->piece);
    CELLAR_TRY(cellar_buffer_reserve(&spool->piece, bytes));
    CELLAR_TRY(store_file_read(spool->descriptor, spool->read_offset + sizeof length,
                               spool->piece.data, bytes, &got));
    if (got != bytes || bytes == 0) {
        return CELLAR_IO_ERROR;
    }
    CELLAR_ASSERT(spool->read_offset < spool->total_bytes);
    spool->read_offset += sizeof length + bytes;
    *piece = cellar_slice_make(spool->piece.data, bytes);
    return CELLAR_OK;
}

enum cellar_status tablet_spool_get(struct tablet_spool *spool, struct cellar_slice *piece,
                                    bool *has_piece)
{
    *has_piece = !tablet_spool_is_drained(spool);
    if (!*has_piece) {
        return CELLAR_OK;
    }
    if (spool->descriptor >= 0) {
        CELLAR_TRY(spool->memory.bytes > 0 ? memory_flush(spool) : CELLAR_OK);
        return file_get(spool, piece);
    }
    const uint8_t *at = spool->memory.data + spool->read_offset;
    size_t bytes = cellar_get_u32le(at);
    CELLAR_ASSERT(spool->read_offset + LENGTH_BYTES + bytes <= spool->memory.bytes);
    *piece = cellar_slice_make(at + LENGTH_BYTES, bytes);
    spool->read_offset += LENGTH_BYTES + bytes;
    return CELLAR_OK;
}

bool tablet_spool_is_drained(const struct tablet_spool *spool)
{
    CELLAR_ASSERT(spool->read_offset <= spool->total_bytes);
    return spool->read_offset == spool->total_bytes;
}
