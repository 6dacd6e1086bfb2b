#ifndef CELLAR_IO_ADDRESS_H
#define CELLAR_IO_ADDRESS_H

#include <sys/socket.h>

#include "common/status.h"

/* Where to listen: HOST:PORT as people write it, and as the kernel takes it. */

#define IO_ADDRESS_TEXT_BYTES_MAX 128u

struct io_address {
    struct sockaddr_storage native;
    socklen_t native_bytes;
};

/**
 * Reads `HOST:PORT`: a name, an IPv4 address, or an IPv6 address in brackets; port 0..65535. A name
 * is looked up, which may block, and its first address is taken.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what is wrong with the text
 */
enum cellar_status io_address_decode(const char *text, struct io_address *address,
                                     struct cellar_error *error) CELLAR_MUST_USE;

/** Writes `HOST:PORT` with a numeric host; `text` has room for IO_ADDRESS_TEXT_BYTES_MAX. @return
 * text */
const char *io_address_show(const struct io_address *address, char *text);

/** Whether only this machine can reach it: 127.0.0.0/8 or ::1. */
bool io_address_is_loopback(const struct io_address *address);

/** The port, 0..65535. */
uint16_t io_address_port(const struct io_address *address);

#endif
