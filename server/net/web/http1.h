#ifndef CELLAR_WEB_HTTP1_H
#define CELLAR_WEB_HTTP1_H

#include "common/buf.h"

/*
 * As much of HTTP/1.1 (RFC 9112) as pages to look at need: the head of a request, and the head of
 * an answer. Pure: no socket, no clock, no memory of its own.
 */

#define WEB_HEAD_BYTES_MAX 8192u /* request line and headers */

enum web_method { WEB_METHOD_GET, WEB_METHOD_HEAD, WEB_METHOD_OTHER };

/** A request's head; slices borrow from the input. */
struct web_request {
    enum web_method method;
    struct cellar_slice path; /* as it was sent, without query; begins with '/' */
    bool has_body;
    bool stays_open; /* the client wants to ask again on this connection */
};

/**
 * Reads the head of a request.
 *
 * @param input       what has come, from the request's first byte on
 * @param request     receives the request on 200
 * @param head_bytes  receives the length of the head on 200
 * @return 200; 0 when the head is not complete; else the status to refuse it with: 400, 431, 505,
 *         after which nothing behind it can be understood
 */
unsigned web_request_decode(struct cellar_slice input, struct web_request *request,
                            size_t *head_bytes);

/** What an answer's head says. */
struct web_answer {
    unsigned status;          /* one that web_status_text() knows */
    const char *content_type; /* static */
    size_t body_bytes;
    int64_t real_us; /* wall-clock time, for Date */
    bool stays_open;
};

/** Appends an answer's head with its empty line. CELLAR_NO_MEMORY appends nothing. */
enum cellar_status web_answer_encode(const struct web_answer *answer, struct cellar_buffer *to)
    CELLAR_MUST_USE;

/** The reason phrase of a status that this server sends; static. */
const char *web_status_text(unsigned status);

#endif
