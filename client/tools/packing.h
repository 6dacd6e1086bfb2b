#ifndef CELLAR_TOOLS_PACKING_H
#define CELLAR_TOOLS_PACKING_H

#include "common/buf.h"

/* Compressed streams, gzip (RFC 1952) and zstd (RFC 8878): unpacking and packing, bytes in and
 * bytes out. Both know streams that stand one behind the other, as `cat a.gz b.gz` makes them. */

enum cellar_packing { CELLAR_PACKING_NONE, CELLAR_PACKING_GZIP, CELLAR_PACKING_ZSTD };

#define CELLAR_PACKING_MAGIC_BYTES 4u /* what cellar_packing_detect() wants to see */

/** What the first bytes of a file say; fewer than CELLAR_PACKING_MAGIC_BYTES are a whole file. */
enum cellar_packing cellar_packing_detect(struct cellar_slice first);

/** Finds a packing by its name, "gzip" or "zstd"; false for any other. */
bool cellar_packing_decode(const char *name, enum cellar_packing *packing);

/** What the end of a file's name says: .gz, .zst, anything else. */
enum cellar_packing cellar_packing_of_name(const char *name);

/** The end of a file's name that says so: "", ".gz", ".zst". */
const char *cellar_packing_suffix(enum cellar_packing packing);

/** A stream being unpacked; zero-initialised is CELLAR_PACKING_NONE, which copies. */
struct cellar_unpacker {
    enum cellar_packing packing;
    void *stream;    /* of the library that unpacks */
    bool is_between; /* at a place where the input may end */
};

/** Makes it ready; CELLAR_NO_MEMORY. */
enum cellar_status cellar_unpacker_init(struct cellar_unpacker *unpacker,
                                        enum cellar_packing packing, struct cellar_error *error)
    CELLAR_MUST_USE;

/**
 * Takes from `from` and writes to `to` until one of them is used up.
 *
 * @param from  moved over what was taken
 * @param to    room for `room` > 0 bytes
 * @param made  receives how many bytes were written; 0 asks for more input
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when the data is damaged; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_unpacker_step(struct cellar_unpacker *unpacker,
                                        struct cellar_cursor *from, uint8_t *to, size_t room,
                                        size_t *made, struct cellar_error *error) CELLAR_MUST_USE;

/** True when no stream is half unpacked: the input may end here. */
bool cellar_unpacker_is_whole(const struct cellar_unpacker *unpacker);

/** Frees its memory. */
void cellar_unpacker_fini(struct cellar_unpacker *unpacker);

/** A stream being packed; zero-initialised is CELLAR_PACKING_NONE, which copies. */
struct cellar_packer {
    enum cellar_packing packing;
    void *stream;
};

/** Makes it ready; CELLAR_NO_MEMORY. */
enum cellar_status cellar_packer_init(struct cellar_packer *packer, enum cellar_packing packing,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Packs `bytes` and appends to `to` what is ready.
 *
 * @param is_end  ends the stream: what is in `to` then unpacks by itself, and the next call begins
 *                another stream
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_packer_step(struct cellar_packer *packer, struct cellar_slice bytes,
                                      bool is_end, struct cellar_buffer *to,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/** Frees its memory. */
void cellar_packer_fini(struct cellar_packer *packer);

#endif
