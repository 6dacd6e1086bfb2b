#ifndef CELLAR_TABLET_ROW_SPOOL_H
#define CELLAR_TABLET_ROW_SPOOL_H

#include "server/storage/blob_files.h"

/*
 * The rest of a row that is larger than one chunk: arrays of packed cells kept from one snapshot
 * until they are sent, in memory up to a limit, beyond it in an unlinked file of the data
 * directory. A cell whose value is a blob is kept as what stands before the value, and the open
 * file, which stays readable when the blob's name goes. Written first, then read once.
 */

#define TABLET_SPOOL_MEMORY_BYTES_MAX 8388608u
#define TABLET_SPOOL_FILE_COUNT_MAX 16u
#define TABLET_SPOOL_BLOB_COUNT_MAX                                                                \
    1024u /* open at once, of all spools; fewer with few descriptors */

/** What was put. */
struct tablet_spool_piece {
    struct cellar_slice bytes;      /* packed cells; or what stands before a blob's value */
    struct store_blob_reader *blob; /* whose bytes follow; the spool's until the next call */
};

struct tablet_spool {
    struct cellar_buffer memory; /* [u32 length][bytes] ...; before the file it is all there is,
                                    then the unwritten end */
    struct cellar_buffer piece;  /* what was read from the file last */
    const char *directory;       /* for the file; borrowed */
    int descriptor;              /* -1: no file */
    uint64_t file_bytes;
    uint64_t read_offset; /* in the file, or in memory when there is none */
    uint64_t total_bytes;
    struct cellar_buffer blobs; /* struct store_blob_reader, in the order of their pieces */
    size_t blob_next;           /* the index of the next one */
};

/** Prepares an empty spool. */
void tablet_spool_init(struct tablet_spool *spool, const char *directory);

/** Empties it and closes its file; usable again. */
void tablet_spool_reset(struct tablet_spool *spool);

/** Frees all. */
void tablet_spool_fini(struct tablet_spool *spool);

/** Adds one piece, copied. NO_MEMORY, IO_ERROR, RESOURCE_EXHAUSTED (disk full), UNAVAILABLE (too
 * many spool files at once). */
enum cellar_status tablet_spool_put(struct tablet_spool *spool, struct cellar_slice piece)
    CELLAR_MUST_USE;

/**
 * Opens a blob and adds it with what stands before its value, copied.
 *
 * @return CELLAR_OK; as tablet_spool_put(), UNAVAILABLE also for
 * TABLET_SPOOL_BLOB_COUNT_MAX blobs that are open, half of the descriptors that the process may
 * have, or when only the last eighth of them is free; DATA_LOSS (no such file)
 */
enum cellar_status tablet_spool_put_blob(struct tablet_spool *spool, struct cellar_slice before,
                                         const struct store_blobs *blobs,
                                         const struct store_blob *blob) CELLAR_MUST_USE;

/** How many blobs were put since it was empty: their files are open. */
size_t tablet_spool_blob_count(const struct tablet_spool *spool);

/** Whether the next piece is a blob's; false at the end. */
bool tablet_spool_next_is_blob(struct tablet_spool *spool);

/** Takes the next piece; borrowed until the next call. There is one. IO_ERROR, NO_MEMORY. */
enum cellar_status tablet_spool_get(struct tablet_spool *spool, struct tablet_spool_piece *piece)
    CELLAR_MUST_USE;

/** True when every piece was taken. */
bool tablet_spool_is_drained(const struct tablet_spool *spool);

#endif
