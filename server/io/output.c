/*
 * Bytes on their way out; output.h says what for.
 *
 * Sending takes from the front by moving `sent` forward. The bytes behind it are moved down only
 * when more than half of the buffer is sent, so each byte is moved at most about once. A buffer
 * that has been sent in full is kept for the next turn unless it grew large, so that a stream of
 * parts does not ask the heap for each; io_output_trim(), about once a second, frees what an idle
 * connection holds.
 */
#include "server/io/output.h"

#include <errno.h>
#include <sys/socket.h>

#define KEEP_BYTES 524288u

size_t io_output_waiting(const struct io_output *output)
{
    CELLAR_ASSERT(output->sent <= output->bytes.bytes);
    return output->bytes.bytes - output->sent;
}

/* Forgets what the socket took. */
static void take_sent(struct io_output *output, size_t sent)
{
    output->sent += sent;
    CELLAR_ASSERT(output->sent <= output->bytes.bytes);
    if (output->sent == output->bytes.bytes) {
        cellar_buffer_clear(&output->bytes);
        output->sent = 0;
        if (output->bytes.capacity > KEEP_BYTES) {
            io_output_clear(output);
        }
    } else if (output->sent > output->bytes.bytes / 2) {
        cellar_buffer_consume(&output->bytes, output->sent);
        output->sent = 0;
    }
}

enum cellar_status io_output_send(struct io_output *output, int fd, size_t *sent_bytes)
{
    CELLAR_ASSERT(fd >= 0);
    size_t waiting = io_output_waiting(output);
    *sent_bytes = 0;
    if (waiting == 0) {
        return CELLAR_OK;
    }
    ssize_t sent =
        send(fd, output->bytes.data + output->sent, waiting, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR ? CELLAR_OK : CELLAR_IO_ERROR;
    }
    take_sent(output, (size_t)sent);
    *sent_bytes = (size_t)sent;
    return CELLAR_OK;
}

void io_output_settle(struct io_output *output)
{
    CELLAR_ASSERT(output->budget != NULL);
    uint64_t owed = output->bytes.capacity;
    if (owed > output->charged_bytes) {
        io_budget_charge(output->budget, owed - output->charged_bytes);
    } else if (owed < output->charged_bytes) {
        io_budget_give(output->budget, output->charged_bytes - owed);
    }
    output->charged_bytes = owed;
}

void io_output_trim(struct io_output *output)
{
    CELLAR_ASSERT(output->budget != NULL);
    if (io_output_waiting(output) == 0 && output->bytes.capacity > 0) {
        io_output_clear(output);
    }
}

void io_output_clear(struct io_output *output)
{
    cellar_buffer_fini(&output->bytes);
    output->sent = 0;
    io_output_settle(output);
    CELLAR_ASSERT(output->charged_bytes == 0);
}
