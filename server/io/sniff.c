/*
 * Telling protocols apart by a connection's first bytes.
 *
 * A table holds what each protocol begins with; no entry is the beginning of another one, so the
 * answer never changes once it is known, and with 8 bytes, the longest entry, it is always known.
 * Until then the connection waits, for IO_SNIFF_US_MAX at most: the deadline that it was made with,
 * after which it is closed without a word, since nobody knows which protocol's words to use.
 *
 * What is not served yet, TLS and HTTP/2, is closed; each refusal is counted and logged
 * (traffic.h).
 */
#include "server/io/sniff.h"

#include "common/frame.h"

#define SNIFF_BYTES_MAX 8u

struct beginning {
    uint8_t byte_count;
    const char *bytes;
    enum io_sniff_result result;
};

static const struct beginning beginnings[] = {
    {8,
     "\x93"
     "CELLAR\n",
     IO_SNIFF_NATIVE},
    {2, "\x16\x03", IO_SNIFF_TLS},
    {4, "PRI ", IO_SNIFF_HTTP2},
    {4, "GET ", IO_SNIFF_HTTP1},
    {5, "HEAD ", IO_SNIFF_HTTP1},
    {5, "POST ", IO_SNIFF_HTTP1},
    {4, "PUT ", IO_SNIFF_HTTP1},
    {7, "DELETE ", IO_SNIFF_HTTP1},
    {8, "OPTIONS ", IO_SNIFF_HTTP1},
    {6, "PATCH ", IO_SNIFF_HTTP1},
    {8, "CONNECT ", IO_SNIFF_HTTP1},
    {6, "TRACE ", IO_SNIFF_HTTP1},
};

static_assert(CELLAR_PREFACE_BYTES == SNIFF_BYTES_MAX, "the table holds the whole preface");

enum io_sniff_result io_sniff(struct cellar_slice input)
{
    CELLAR_ASSERT(input.data != NULL || input.bytes == 0);
    bool may_match = false;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(beginnings); i++) {
        size_t length = beginnings[i].byte_count;
        CELLAR_ASSERT(length <= SNIFF_BYTES_MAX);
        struct cellar_slice whole = cellar_slice_make(beginnings[i].bytes, length);
        if (cellar_slice_has_prefix(input, whole)) {
            return beginnings[i].result;
        }
        may_match = may_match || cellar_slice_has_prefix(whole, input);
    }
    return may_match ? IO_SNIFF_MORE : IO_SNIFF_UNKNOWN;
}

static void refuse(struct io_conn *conn, enum io_refusal reason)
{
    CELLAR_ASSERT((size_t)reason < IO_REFUSAL_COUNT);
    io_traffic_refuse(io_loop_traffic(io_conn_loop(conn)), reason);
    io_conn_close(conn);
}

static void hand_over(struct io_conn *conn, const struct io_sniff_front *front,
                      enum io_protocol protocol)
{
    CELLAR_ASSERT(protocol != IO_PROTOCOL_NEW);
    if (front->take == NULL) {
        refuse(conn, IO_REFUSED_LIMIT);
        return;
    }
    io_conn_deadline_set(conn, 0);
    io_conn_protocol_set(conn, protocol);
    front->take(conn, front->context);
}

/* Takes nothing: the protocol's own handler gets the input from its first byte on. */
static size_t on_input(struct io_conn *conn, void *context, struct cellar_slice input)
{
    const struct io_sniff_fronts *fronts = context;
    CELLAR_ASSERT(input.bytes > 0);
    switch (io_sniff(input)) {
    case IO_SNIFF_MORE:
        io_conn_want(conn, input.bytes + 1);
        break;
    case IO_SNIFF_NATIVE:
        hand_over(conn, &fronts->native, IO_PROTOCOL_NATIVE);
        break;
    case IO_SNIFF_HTTP1:
        hand_over(conn, &fronts->http, IO_PROTOCOL_HTTP);
        break;
    case IO_SNIFF_TLS:
        refuse(conn, IO_REFUSED_TLS);
        break;
    case IO_SNIFF_HTTP2:
        refuse(conn, IO_REFUSED_HTTP2);
        break;
    case IO_SNIFF_UNKNOWN:
        refuse(conn, IO_REFUSED_UNKNOWN);
        break;
    }
    return 0;
}

static void on_expired(struct io_conn *conn, void *context)
{
    CELLAR_ASSERT(context != NULL);
    refuse(conn, IO_REFUSED_SILENT);
}

/* It may be about to ask whether the server is ready; nobody waits for it. */
static void on_drain(struct io_conn *conn, void *context)
{
    CELLAR_ASSERT(context != NULL);
    io_conn_retire(conn);
}

const struct io_conn_handler io_sniff_handler = {
    .input = on_input, .expired = on_expired, .drain = on_drain};
