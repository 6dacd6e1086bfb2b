#ifndef CELLAR_TABLET_ROW_SPOOL_H
#define CELLAR_TABLET_ROW_SPOOL_H

#include "common/buf.h"

/*
 * The rest of a row that is larger than one chunk: arrays of packed cells kept from one snapshot
 * until they are sent, in memory up to a limit, beyond it in an unlinked file of the data
 * directory. Written first, then read once.
 */

#define TABLET_SPOOL_MEMORY_BYTES_MAX 8388608u
#define TABLET_SPOOL_FILE_COUNT_MAX 16u

struct tablet_spool {
    struct cellar_buffer memory; /* [u32 length][bytes] ...; before the file it is all there is,
                                    then the unwritten end */
    struct cellar_buffer piece;  /* what was read from the file last */
    const char *directory;       /* for the file; borrowed */
    int descriptor;              /* -1: no file */
    uint64_t file_bytes;
    uint64_t read_offset; /* in the file, or in memory when there is none */
    uint64_t total_bytes;
};

/** Prepares an empty spool. */
void tablet_spool_init(struct tablet_spool *spool, const char *directory);

/** Empties it and closes its file; usable again. */
void tablet_spool_reset(struct tablet_spool *spool);

/** Frees all. */
void tablet_spool_fini(struct tablet_spool *spool);

/** Adds one piece, copied. NO_MEMORY, IO_ERROR, RESOURCE_EXHAUSTED (disk full, or too many spool
 * files at once). */
enum cellar_status tablet_spool_put(struct tablet_spool *spool, struct cellar_slice piece)
    CELLAR_MUST_USE;

/** Takes the next piece; borrowed until the next call. `*has_piece` false at the end. IO_ERROR,
 * NO_MEMORY. */
enum cellar_status tablet_spool_get(struct tablet_spool *spool, struct cellar_slice *piece,
                                    bool *has_piece) CELLAR_MUST_USE;

/** True when every piece was taken. */
bool tablet_spool_is_drained(const struct tablet_spool *spool);

#endif
