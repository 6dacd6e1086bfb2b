#ifndef CELLAR_IO_SNIFF_H
#define CELLAR_IO_SNIFF_H

#include "common/buf.h"
#include "server/io/conn.h"

/*
 * One port serves several protocols; the first bytes of a connection tell which. PROTOCOL.md,
 * "Connection".
 */

#define IO_SNIFF_US_MAX 5000000 /* how long the first bytes may take */

enum io_sniff_result {
    IO_SNIFF_MORE,   /* too few bytes to tell */
    IO_SNIFF_NATIVE, /* the native protocol's 8 bytes */
    IO_SNIFF_TLS,    /* a TLS handshake record */
    IO_SNIFF_HTTP2,  /* the connection preface of HTTP/2 */
    IO_SNIFF_HTTP1,  /* a method of HTTP/1 */
    IO_SNIFF_UNKNOWN
};

/** Tells a protocol by its first bytes; at most 8 decide. Pure. */
enum io_sniff_result io_sniff(struct cellar_slice input);

/** The front end of one protocol. */
struct io_sniff_front {
    /** Takes over a connection: sets its handler, which gets the input from the first byte on, or
     * closes it. NULL: there are as many such connections as may be. */
    void (*take)(struct io_conn *conn, void *context);
    void *context;
};

/** The protocols that a server speaks. */
struct io_sniff_fronts {
    struct io_sniff_front native;
    struct io_sniff_front http;
};

/** The first handler of a connection; its context is a const struct io_sniff_fronts that outlives
 * the connection. The connection's deadline is to be IO_SNIFF_US_MAX from now. */
extern const struct io_conn_handler io_sniff_handler;

#endif
