#ifndef CELLAR_STORAGE_BLOB_FILES_H
#define CELLAR_STORAGE_BLOB_FILES_H

#include "common/buf.h"
#include "common/status.h"
#include "common/sync.h"
#include "server/storage/log_segment.h"

/*
 * Blobs: large values as files of their own, in one folder that belongs to the commit log. A file
 * is whole and synced, with its name, before a record names it, and never changes afterwards. It is
 * read piece by piece, each with a checksum. FORMAT.md, "Blobs".
 *
 * An id is never used for two blobs that some record or environment may name.
 */

#define STORE_BLOB_PIECE_BYTES 262144u
#define STORE_BLOB_HEADER_BYTES 64u
#define STORE_BLOB_REFERENCE_BYTES 20u
#define STORE_BLOB_BYTES_MAX UINT64_C(1073741824)

/** What a record, a memtable and a segment hold in place of the value. */
struct store_blob {
    uint64_t id;    /* above 0 */
    uint64_t bytes; /* of the value, 1..STORE_BLOB_BYTES_MAX */
    uint32_t crc;   /* of the pieces' checksums */
};

/** What a walk over blobs calls. Its failure ends the walk. */
typedef enum cellar_status store_blob_visit_fn(void *context, uint64_t id);

/** Writes a reference: id 8, length 8, CRC 4. @param to STORE_BLOB_REFERENCE_BYTES bytes */
void store_blob_encode(uint8_t *to, const struct store_blob *blob);

/** Reads a reference of exactly STORE_BLOB_REFERENCE_BYTES. @return false on damage */
bool store_blob_decode(struct cellar_slice from, struct store_blob *blob);

/** The folder. */
struct store_blobs;

/**
 * Opens the folder and lists what is in it.
 *
 * @param directory  made when it is missing; copied
 * @param log_id     STORE_LOG_ID_BYTES, of the log that it belongs to; copied
 * @return CELLAR_OK, IO_ERROR, RESOURCE_EXHAUSTED, NO_MEMORY
 */
enum cellar_status store_blobs_open(const char *directory, const uint8_t *log_id,
                                    struct store_blobs **blobs, struct cellar_error *error)
    CELLAR_MUST_USE;

/** The same for reading alone: nothing is made or removed. A folder that is missing is an empty
 * one. */
enum cellar_status store_blobs_open_read(const char *directory, const uint8_t *log_id,
                                         struct store_blobs **blobs, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Removes what was retired and frees; takes NULL. */
void store_blobs_close(struct store_blobs *blobs);

/* ---- clean-up at a start --------------------------------------------------------------------- */

/** Notes that a record or an environment names a blob. Between open and sweep, by one thread;
 * nothing afterwards. @return false when there was no such file at the open */
bool store_blobs_name(struct store_blobs *blobs, uint64_t id);

/** Calls `visit` for the files that were there at the open and were not named. As `visit`. */
enum cellar_status store_blobs_unnamed(const struct store_blobs *blobs, store_blob_visit_fn *visit,
                                       void *context) CELLAR_MUST_USE;

/** Names all that were there at the open. As above. */
void store_blobs_name_all(struct store_blobs *blobs);

/** Removes the files that were there at the open and were not named, once. @return how many */
size_t store_blobs_sweep(struct store_blobs *blobs);

/* ---- writing --------------------------------------------------------------------------------- */

/**
 * Writes a value into a file of its own: durable, name and bytes, at return. Blocks.
 *
 * @param value      1..STORE_BLOB_BYTES_MAX bytes; borrowed
 * @param is_mapped  the value lies in the map of a file, whose pages are let go on the way
 * @param blob       receives what names it
 * @return CELLAR_OK; RESOURCE_EXHAUSTED (disk full), IO_ERROR, NO_MEMORY: no file is left, or one
 *         that the next start removes
 * @thread any
 */
enum cellar_status store_blobs_write(struct store_blobs *blobs, struct cellar_slice value,
                                     bool is_mapped, struct store_blob *blob) CELLAR_MUST_USE;

/** Removes the file of a blob that nothing names; what fails is left to the next start. Any thread.
 */
void store_blobs_remove(struct store_blobs *blobs, uint64_t id);

/** Blobs to be removed together; whoever hands them over made both with cellar_mem. */
struct store_blob_batch {
    struct store_blob_batch *next; /* the folder's */
    uint64_t *ids;
    size_t count;
};

/** Takes blobs that nothing names any more, to be removed by the next store_blobs_reap(): does not
 * block. Any thread. */
void store_blobs_retire(struct store_blobs *blobs, struct store_blob_batch *batch);

/** Removes the files of all blobs that were retired. Any thread that may block. */
void store_blobs_reap(struct store_blobs *blobs);

/* ---- reading --------------------------------------------------------------------------------- */

/** A file that is read from its beginning; it stays readable when its name goes. One thread. */
struct store_blob_reader {
    struct store_blob blob;
    int descriptor; /* -1: closed */
    uint64_t at;    /* bytes of the value that were read */
    uint32_t crc;   /* over the checksums of the pieces read */
};

/**
 * Opens a blob.
 *
 * @param reader  receives the open file, to be closed; untouched on failure
 * @return CELLAR_OK; DATA_LOSS (no such file, or not the one that the reference speaks of);
 *         IO_ERROR
 */
enum cellar_status store_blob_open(const struct store_blobs *blobs, const struct store_blob *blob,
                                   struct store_blob_reader *reader) CELLAR_MUST_USE;

/**
 * Appends the next piece to a buffer, which is as it was on failure.
 *
 * @param to  receives 1..STORE_BLOB_PIECE_BYTES bytes more; nothing at the end
 * @return CELLAR_OK, DATA_LOSS (checksum, a file cut off), IO_ERROR, NO_MEMORY
 */
enum cellar_status store_blob_next(struct store_blob_reader *reader, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** Whether everything was read. */
static inline bool store_blob_is_done(const struct store_blob_reader *reader)
{
    return reader->at == reader->blob.bytes;
}

/** Closes the file; a closed reader may be closed again. */
void store_blob_close(struct store_blob_reader *reader);

/**
 * Appends all of a blob to a buffer, which is as it was on failure.
 *
 * @return CELLAR_OK; as store_blob_open() and store_blob_next()
 */
enum cellar_status store_blob_read(const struct store_blobs *blobs, const struct store_blob *blob,
                                   struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
