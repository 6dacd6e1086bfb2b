/*
 * A file or pipe as a stream of unpacked bytes.
 *
 *     read() -> block -> unpacker -> the caller's room
 *
 * The first block is filled when the input is opened: its first bytes say how the input is packed,
 * and a checksum over its head tells this input from another one of the same size (progress files
 * name it). For that a file gives 64 KiB, a pipe 4 KiB, or all it has.
 *
 * Waiting for bytes ends when the interrupt comes, so that an import whose input says nothing can
 * be stopped. Skipping seeks in a plain file and unpacks and drops everywhere else. Errors name the
 * file. One thread at a time.
 */

#include "client/tools/import_input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/mem.h"

#define BLOCK_BYTES 65536u
#define HEAD_BYTES_PIPE 4096u

static_assert(HEAD_BYTES_PIPE >= CELLAR_PACKING_MAGIC_BYTES, "the head shows the packing");

struct cellar_import_input {
    struct cellar_import_input_info info;
    struct cellar_interrupt *interrupt;
    const char *path; /* borrowed */
    int fd;
    bool is_end;               /* read() came to it */
    struct cellar_cursor left; /* of the block */
    int64_t read_bytes;
    struct cellar_unpacker unpacker;
    uint8_t block[BLOCK_BYTES];
};

/* Waits until the descriptor can be read without waiting. */
static enum cellar_status input_wait(struct cellar_import_input *input, struct cellar_error *error)
{
    struct pollfd polls[2] = {{.fd = input->fd, .events = POLLIN},
                              {.fd = cellar_interrupt_fd(input->interrupt), .events = POLLIN}};
    CELLAR_ASSERT(input->fd >= 0);
    while (poll(polls, CELLAR_ARRAY_COUNT(polls), -1) < 0 && errno == EINTR) {
    }
    return cellar_interrupt_is_set(input->interrupt)
               ? cellar_error_set(error, CELLAR_CANCELLED, "Interrupted")
               : CELLAR_OK;
}

/* Reads into the block behind its first `filled` bytes until it holds `wanted` bytes. */
static enum cellar_status block_fill(struct cellar_import_input *input, size_t filled,
                                     size_t wanted, struct cellar_error *error)
{
    char reason[128];
    CELLAR_ASSERT(filled < wanted && wanted <= BLOCK_BYTES);
    while (filled < wanted && !input->is_end) {
        CELLAR_TRY(input_wait(input, error));
        ssize_t got = read(input->fd, input->block + filled, BLOCK_BYTES - filled);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got < 0) {
            return cellar_error_set(error, CELLAR_IO_ERROR,
                                    "Cannot read '%.200s' at byte %" PRId64 ": %s", input->path,
                                    input->read_bytes, strerror_r(errno, reason, sizeof reason));
        }
        input->is_end = got == 0;
        input->read_bytes += got;
        filled += (size_t)got;
    }
    input->left = cellar_cursor_make(cellar_slice_make(input->block, filled));
    return CELLAR_OK;
}

/* Opens the descriptor and finds out what it is. */
static enum cellar_status file_open(struct cellar_import_input *input, struct cellar_error *error)
{
    struct stat status;
    char reason[128];
    CELLAR_ASSERT(input->path != NULL);
    input->info.is_stdin = strcmp(input->path, "-") == 0;
    input->fd = input->info.is_stdin ? STDIN_FILENO : open(input->path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0 || fstat(input->fd, &status) != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Cannot open '%.200s': %s",
                                input->path, strerror_r(errno, reason, sizeof reason));
    }
    if (S_ISDIR(status.st_mode)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "'%.200s' is a folder",
                                input->path);
    }
    bool is_file = S_ISREG(status.st_mode);
    input->info.bytes = is_file ? (int64_t)status.st_size : -1;
    input->info.mtime_us =
        is_file && !input->info.is_stdin
            ? (int64_t)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000
            : -1;
    return CELLAR_OK;
}

/* Reads the head and prepares to unpack. */
static enum cellar_status head_read(struct cellar_import_input *input, struct cellar_error *error)
{
    size_t wanted = input->info.bytes >= 0 ? BLOCK_BYTES : HEAD_BYTES_PIPE;
    CELLAR_TRY(block_fill(input, 0, wanted, error));
    size_t bytes = cellar_cursor_left(&input->left);
    CELLAR_ASSERT(bytes <= BLOCK_BYTES);
    input->info.head_crc = cellar_crc32c(0, input->block, CELLAR_MIN(bytes, wanted));
    input->info.packing = cellar_packing_detect(cellar_slice_make(input->block, bytes));
    return cellar_unpacker_init(&input->unpacker, input->info.packing, error);
}

enum cellar_status cellar_import_input_open(const char *path, struct cellar_interrupt *interrupt,
                                            struct cellar_import_input **input,
                                            struct cellar_error *error)
{
    struct cellar_import_input *made = cellar_mem_zalloc(1, sizeof *made);
    CELLAR_ASSERT(path != NULL);
    if (made == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory to read '%.200s'", path);
    }
    made->fd = -1;
    made->path = path;
    made->interrupt = interrupt;
    enum cellar_status status = file_open(made, error);
    if (status == CELLAR_OK) {
        status = head_read(made, error);
    }
    if (status != CELLAR_OK) {
        cellar_import_input_close(made);
        return status;
    }
    *input = made;
    return CELLAR_OK;
}

void cellar_import_input_watch(struct cellar_import_input *input,
                               struct cellar_interrupt *interrupt)
{
    CELLAR_ASSERT(input != NULL);
    input->interrupt = interrupt;
}

const struct cellar_import_input_info *
cellar_import_input_info(const struct cellar_import_input *input)
{
    CELLAR_ASSERT(input != NULL);
    return &input->info;
}

enum cellar_status cellar_import_input_read(void *context, uint8_t *to, size_t room, size_t *got,
                                            struct cellar_error *error)
{
    struct cellar_import_input *input = context;
    CELLAR_ASSERT(room > 0);
    for (;;) {
        CELLAR_TRY(cellar_unpacker_step(&input->unpacker, &input->left, to, room, got, error));
        if (*got > 0) {
            return CELLAR_OK;
        }
        if (input->is_end && !cellar_unpacker_is_whole(&input->unpacker)) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "'%.200s' ends in the middle of its compressed data",
                                    input->path);
        }
        if (input->is_end) {
            return CELLAR_OK;
        }
        CELLAR_TRY(block_fill(input, 0, 1, error));
    }
}

/* Steps over bytes by reading and dropping them. */
static enum cellar_status bytes_drop(struct cellar_import_input *input, uint64_t bytes,
                                     struct cellar_error *error)
{
    uint8_t dropped[4096];
    while (bytes > 0) {
        size_t got;
        CELLAR_TRY(cellar_import_input_read(
            input, dropped, (size_t)CELLAR_MIN(bytes, (uint64_t)sizeof dropped), &got, error));
        CELLAR_ASSERT(got <= bytes);
        if (got == 0) {
            return cellar_error_set(error, CELLAR_FAILED_PRECONDITION,
                                    "'%.200s' ends before the place where the import is to go on",
                                    input->path);
        }
        bytes -= got;
    }
    return CELLAR_OK;
}

enum cellar_status cellar_import_input_skip(void *context, uint64_t bytes,
                                            struct cellar_error *error)
{
    struct cellar_import_input *input = context;
    size_t left = cellar_cursor_left(&input->left);
    bool is_seekable = input->info.packing == CELLAR_PACKING_NONE && input->info.bytes >= 0;
    if (!is_seekable || bytes <= left) {
        return bytes_drop(input, bytes, error);
    }
    CELLAR_ASSERT(input->read_bytes >= 0);
    uint64_t further = bytes - left;
    if (further > (uint64_t)(CELLAR_MAX(input->info.bytes - input->read_bytes, 0)) ||
        lseek(input->fd, (off_t)further, SEEK_CUR) < 0) {
        return bytes_drop(input, bytes, error);
    }
    input->read_bytes += (int64_t)further;
    input->left = cellar_cursor_make(cellar_slice_make(input->block, 0));
    return CELLAR_OK;
}

int64_t cellar_import_input_used_bytes(const struct cellar_import_input *input)
{
    int64_t left = (int64_t)cellar_cursor_left(&input->left);
    CELLAR_ASSERT(left <= input->read_bytes);
    return input->read_bytes - left;
}

int cellar_import_input_fd(const struct cellar_import_input *input)
{
    CELLAR_ASSERT(input->fd >= 0);
    return input->fd;
}

void cellar_import_input_close(struct cellar_import_input *input)
{
    if (input == NULL) {
        return;
    }
    CELLAR_ASSERT(input->path != NULL);
    if (input->fd >= 0 && !input->info.is_stdin) {
        (void)close(input->fd);
    }
    cellar_unpacker_fini(&input->unpacker);
    cellar_mem_free(input);
}
