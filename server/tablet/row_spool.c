/*
 * A spool is a queue of byte pieces, each behind its length, whose highest bit marks one that a
 * blob follows. While all fits into 8 MiB it stays in
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

#include "common/descriptor.h"
#include "server/storage/log_files.h"

#define GATHER_BYTES 1048576u
#define LENGTH_BYTES 4u
#define BLOB_MARK 0x80000000u
#define DESCRIPTORS_SHARE 8u          /* one of so many is for log and stores, */
#define DESCRIPTORS_RESERVED_MAX 128u /* but no more than so many */

/* Spool files, and blobs open: limits of the process, not state of a row. */
static _Atomic unsigned file_count;
static _Atomic unsigned blob_count;

void tablet_spool_init(struct tablet_spool *spool, const char *directory)
{
    memset(spool, 0, sizeof *spool);
    spool->directory = directory;
    spool->descriptor = -1;
    CELLAR_ASSERT(directory != NULL);
}

size_t tablet_spool_blob_count(const struct tablet_spool *spool)
{
    CELLAR_ASSERT(spool->blobs.bytes % sizeof(struct store_blob_reader) == 0);
    return spool->blobs.bytes / sizeof(struct store_blob_reader);
}

static struct store_blob_reader *blob_at(const struct tablet_spool *spool, size_t index)
{
    CELLAR_ASSERT(index < tablet_spool_blob_count(spool));
    return (struct store_blob_reader *)(void *)spool->blobs.data + index;
}

/* Closes all blobs. */
static void blobs_close(struct tablet_spool *spool)
{
    size_t count = tablet_spool_blob_count(spool);
    for (size_t i = 0; i < count; i++) {
        store_blob_close(blob_at(spool, i));
    }
    unsigned before = atomic_fetch_sub(&blob_count, (unsigned)count);
    CELLAR_ASSERT(before >= count);
    spool->blob_next = 0;
    cellar_buffer_fini(&spool->blobs);
}

void tablet_spool_reset(struct tablet_spool *spool)
{
    if (spool->blobs.bytes > 0) {
        blobs_close(spool);
    }
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
    cellar_buffer_fini(&spool->blobs);
    CELLAR_ASSERT(spool->descriptor < 0);
}

static enum cellar_status file_make(struct tablet_spool *spool)
{
    if (atomic_fetch_add(&file_count, 1) >= TABLET_SPOOL_FILE_COUNT_MAX) {
        atomic_fetch_sub(&file_count, 1);
        return CELLAR_UNAVAILABLE;
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

static enum cellar_status piece_put(struct tablet_spool *spool, struct cellar_slice piece,
                                    uint32_t mark)
{
    uint8_t length[LENGTH_BYTES];
    CELLAR_ASSERT(spool->read_offset == 0 && piece.bytes < BLOB_MARK);
    cellar_put_u32le(length, (uint32_t)piece.bytes | mark);
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

enum cellar_status tablet_spool_put(struct tablet_spool *spool, struct cellar_slice piece)
{
    CELLAR_ASSERT(piece.bytes > 0);
    return piece_put(spool, piece, 0);
}

/* How many blobs may be open: half of the descriptors at most, as the other half is for what serves
 * everybody: log, stores, connections. */
static unsigned blob_count_max(void)
{
    uint64_t half = cellar_descriptor_count_max() / 2;
    CELLAR_ASSERT(half > 0);
    return (unsigned)CELLAR_MIN(half, (uint64_t)TABLET_SPOOL_BLOB_COUNT_MAX);
}

/* The room for the reader comes first: an open file is never without an owner. */
enum cellar_status tablet_spool_put_blob(struct tablet_spool *spool, struct cellar_slice before,
                                         const struct store_blobs *blobs,
                                         const struct store_blob *blob)
{
    CELLAR_ASSERT(blobs != NULL && before.bytes > 0);
    CELLAR_TRY(cellar_buffer_reserve(&spool->blobs, sizeof(struct store_blob_reader)));
    if (atomic_fetch_add(&blob_count, 1) >= blob_count_max()) {
        atomic_fetch_sub(&blob_count, 1);
        return CELLAR_UNAVAILABLE;
    }
    spool->blobs.bytes += sizeof(struct store_blob_reader);
    struct store_blob_reader *reader = blob_at(spool, tablet_spool_blob_count(spool) - 1);
    reader->descriptor = -1;
    reader->at = 0;
    reader->blob = *blob;
    CELLAR_TRY(store_blob_open(blobs, blob, reader));
    if (cellar_descriptor_is_reserved(reader->descriptor, DESCRIPTORS_SHARE,
                                      DESCRIPTORS_RESERVED_MAX)) {
        return CELLAR_UNAVAILABLE;
    }
    return piece_put(spool, before, BLOB_MARK);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The length of the file's next piece, with its mark. */
static enum cellar_status length_get(const struct tablet_spool *spool, uint32_t *length)
{
    uint8_t bytes[LENGTH_BYTES];
    size_t got = 0;
    CELLAR_ASSERT(spool->descriptor >= 0);
    CELLAR_TRY(store_file_read(spool->descriptor, spool->read_offset, bytes, sizeof bytes, &got));
    *length = got == sizeof bytes ? cellar_get_u32le(bytes) : 0;
    return *length == 0 ? CELLAR_IO_ERROR : CELLAR_OK;
}

static enum cellar_status file_get(struct tablet_spool *spool, uint32_t *length,
                                   struct cellar_slice *bytes)
{
    size_t got = 0;
    CELLAR_TRY(length_get(spool, length));
    size_t wanted = *length & ~BLOB_MARK;
    cellar_buffer_clear(&spool->piece);
    CELLAR_TRY(cellar_buffer_reserve(&spool->piece, wanted));
    CELLAR_TRY(store_file_read(spool->descriptor, spool->read_offset + LENGTH_BYTES,
                               spool->piece.data, wanted, &got));
    if (got != wanted) {
        return CELLAR_IO_ERROR;
    }
    CELLAR_ASSERT(spool->read_offset < spool->total_bytes);
    *bytes = cellar_slice_make(spool->piece.data, wanted);
    return CELLAR_OK;
}

enum cellar_status tablet_spool_get(struct tablet_spool *spool, struct tablet_spool_piece *piece)
{
    uint32_t length = 0;
    CELLAR_ASSERT(!tablet_spool_is_drained(spool));
    if (spool->descriptor >= 0) {
        CELLAR_TRY(spool->memory.bytes > 0 ? memory_flush(spool) : CELLAR_OK);
        CELLAR_TRY(file_get(spool, &length, &piece->bytes));
    } else {
        const uint8_t *at = spool->memory.data + spool->read_offset;
        length = cellar_get_u32le(at);
        piece->bytes = cellar_slice_make(at + LENGTH_BYTES, length & ~BLOB_MARK);
    }
    spool->read_offset += LENGTH_BYTES + piece->bytes.bytes;
    CELLAR_ASSERT(spool->read_offset <= spool->total_bytes);
    piece->blob = (length & BLOB_MARK) != 0 ? blob_at(spool, spool->blob_next++) : NULL;
    return CELLAR_OK;
}

/* A failure to look shows when the piece is taken. */
bool tablet_spool_next_is_blob(struct tablet_spool *spool)
{
    uint32_t length = 0;
    CELLAR_ASSERT(spool->blob_next <= tablet_spool_blob_count(spool));
    if (tablet_spool_is_drained(spool) || spool->blob_next == tablet_spool_blob_count(spool)) {
        return false;
    }
    if (spool->descriptor < 0) {
        length = cellar_get_u32le(spool->memory.data + spool->read_offset);
    } else if ((spool->memory.bytes > 0 && memory_flush(spool) != CELLAR_OK) ||
               length_get(spool, &length) != CELLAR_OK) {
        return false;
    }
    return (length & BLOB_MARK) != 0;
}

bool tablet_spool_is_drained(const struct tablet_spool *spool)
{
    CELLAR_ASSERT(spool->read_offset <= spool->total_bytes);
    return spool->read_offset == spool->total_bytes;
}
