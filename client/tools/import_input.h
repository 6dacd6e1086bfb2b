#ifndef CELLAR_TOOLS_IMPORT_INPUT_H
#define CELLAR_TOOLS_IMPORT_INPUT_H

#include "client/tools/interrupt.h"
#include "client/tools/packing.h"

/* The bytes of a file or of standard input, unpacked on the way. */

struct cellar_import_input;

/** What an input is. */
struct cellar_import_input_info {
    bool is_stdin;
    int64_t bytes;    /* of the file, packed as it is; -1: not known */
    int64_t mtime_us; /* of a file; of anything else -1 */
    enum cellar_packing packing;
    uint32_t head_crc; /* CRC-32C of the first 64 KiB; where the size is not known, of 4 KiB */
};

/**
 * Opens a file, or standard input for "-", and looks at its first bytes.
 *
 * @param path       borrowed as long as the input is open
 * @param interrupt  ends every wait for bytes; may be NULL; borrowed as long
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT when it cannot be opened or is a folder;
 *         CELLAR_IO_ERROR, CELLAR_CANCELLED, CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_input_open(const char *path, struct cellar_interrupt *interrupt,
                                            struct cellar_import_input **input,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/** Ends every later wait for bytes when the interrupt comes; borrowed as long as the input is open.
 */
void cellar_import_input_watch(struct cellar_import_input *input,
                               struct cellar_interrupt *interrupt);

/** What it is; as long as it is open. */
const struct cellar_import_input_info *
cellar_import_input_info(const struct cellar_import_input *input);

/**
 * Reads unpacked bytes; a cellar_line_source's function.
 *
 * @param input  a struct cellar_import_input
 * @param got    receives 1..room, or 0 at the end
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT (packed data that is damaged or ends too early),
 *         CELLAR_IO_ERROR; CELLAR_CANCELLED after an interrupt; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_import_input_read(void *input, uint8_t *to, size_t room, size_t *got,
                                            struct cellar_error *error) CELLAR_MUST_USE;

/** Steps over unpacked bytes, which must be there; as cellar_import_input_read(). */
enum cellar_status cellar_import_input_skip(void *input, uint64_t bytes, struct cellar_error *error)
    CELLAR_MUST_USE;

/** How many bytes of the file, packed as it is, were used. */
int64_t cellar_import_input_used_bytes(const struct cellar_import_input *input);

/** Its descriptor, borrowed, to tell whether another one is the same file. */
int cellar_import_input_fd(const struct cellar_import_input *input);

/** Closes it; takes NULL. */
void cellar_import_input_close(struct cellar_import_input *input);

#endif
