/*
 * Heads of HTTP/1.1 requests and answers, after RFC 9112.
 *
 * A head is read line by line once its empty line is there; until then nothing of it is judged but
 * its length. A line may end in CR LF or, as the standard allows, in LF alone; any other control
 * byte but the tab refuses the request. Bodies are never read: a head that announces one is marked,
 * and the connection ends behind the answer, as the next request cannot be told from the body.
 *
 * What is not understood is refused rather than guessed: folded headers, blanks before a colon, a
 * length that is no number, two hosts or none. Of the headers only Host, Content-Length,
 * Transfer-Encoding and Connection count. Loops are bounded by WEB_HEAD_BYTES_MAX.
 */
#include "server/net/web/http1.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

struct status_text {
    unsigned status;
    const char *text;
};

static const struct status_text status_texts[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

/* What the headers said. */
struct facts {
    unsigned host_count;
    bool is_version_0; /* HTTP/1.0 */
    bool has_body;
    bool says_close;
    bool says_keep_alive;
};

const char *web_status_text(unsigned status)
{
    const char *text = NULL;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(status_texts); i++) {
        text = status_texts[i].status == status ? status_texts[i].text : text;
    }
    CELLAR_ASSERT(text != NULL);
    return text;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The bytes of names and methods. */
static bool is_token_byte(uint8_t byte)
{
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return is_letter || is_digit(byte) || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

/* Methods and names of headers; an empty one is none. */
static bool is_token(struct cellar_slice text)
{
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    for (size_t i = 0; i < text.bytes; i++) {
        if (!is_token_byte(text.data[i])) {
            return false;
        }
    }
    return text.bytes > 0;
}

/* Names of headers and their words are the same in any case. */
static bool is_word(struct cellar_slice text, const char *word)
{
    CELLAR_ASSERT(word[0] != '\0');
    size_t length = strlen(word);
    return text.bytes == length && strncasecmp((const char *)text.data, word, length) == 0;
}

/* Blanks and tabs only: RFC 9112 calls nothing else optional white space. */
static struct cellar_slice trim(struct cellar_slice text)
{
    CELLAR_ASSERT(text.bytes == 0 || text.data != NULL);
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = cellar_slice_make(text.data + 1, text.bytes - 1);
    }
    while (text.bytes > 0 &&
           (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t')) {
        text.bytes--;
    }
    return text;
}

/* Takes what stands before the first `mark`, and the mark; everything when there is none. */
static struct cellar_slice take_until(struct cellar_slice *text, char mark)
{
    const uint8_t *found = text->bytes > 0 ? memchr(text->data, mark, text->bytes) : NULL;
    size_t length = found != NULL ? (size_t)(found - text->data) : text->bytes;
    struct cellar_slice taken = cellar_slice_make(text->data, length);
    size_t step = found != NULL ? length + 1 : length;
    CELLAR_ASSERT(step <= text->bytes);
    *text = cellar_slice_make(text->data + step, text->bytes - step);
    return taken;
}

/* ---- the request line ------------------------------------------------------------------------ */

/* `/path?query`, or `http://host/path?query` as proxies send it. */
static bool decode_target(struct cellar_slice target, struct cellar_slice *path)
{
    CELLAR_ASSERT(path != NULL);
    static const char scheme[] = "http://";
    size_t length = sizeof scheme - 1;
    if (target.bytes > length && is_word(cellar_slice_make(target.data, length), scheme)) {
        target = cellar_slice_make(target.data + length, target.bytes - length);
        const uint8_t *slash = memchr(target.data, '/', target.bytes);
        if (slash == NULL) {
            *path = cellar_slice_text("/");
            return true;
        }
        target = cellar_slice_make(slash, target.bytes - (size_t)(slash - target.data));
    }
    *path = take_until(&target, '?');
    return path->bytes > 0 && path->data[0] == '/';
}

/* A line of another protocol is answered with 400, one of another version of this one with 505.
 * Three words exactly: the rest of the line is the version.
 */
static unsigned decode_request_line(struct cellar_slice line, struct web_request *request,
                                    struct facts *facts)
{
    static const char protocol[] = "HTTP/1.";
    struct cellar_slice method = take_until(&line, ' ');
    struct cellar_slice target = take_until(&line, ' ');
    if (!is_token(method) || !decode_target(target, &request->path)) {
        return 400;
    }
    if (!cellar_slice_has_prefix(line, cellar_slice_text("HTTP/"))) {
        return 400;
    }
    if (line.bytes != sizeof protocol || !is_digit(line.data[sizeof protocol - 1]) ||
        memcmp(line.data, protocol, sizeof protocol - 1) != 0) {
        return 505;
    }
    facts->is_version_0 = line.data[sizeof protocol - 1] == '0';
    bool is_get = cellar_slice_equal(method, cellar_slice_text("GET"));
    bool is_head = cellar_slice_equal(method, cellar_slice_text("HEAD"));
    request->method = is_get ? WEB_METHOD_GET : (is_head ? WEB_METHOD_HEAD : WEB_METHOD_OTHER);
    CELLAR_ASSERT(request->path.bytes > 0);
    return 200;
}

/* ---- headers --------------------------------------------------------------------------------- */

/* False: it is no number. Its size does not matter, only whether it is 0: no body is ever read. */
static bool decode_length(struct cellar_slice value, struct facts *facts)
{
    CELLAR_ASSERT(value.bytes <= WEB_HEAD_BYTES_MAX);
    for (size_t i = 0; i < value.bytes; i++) {
        if (!is_digit(value.data[i])) {
            return false;
        }
        facts->has_body = facts->has_body || value.data[i] != '0';
    }
    return value.bytes > 0;
}

static void decode_connection(struct cellar_slice value, struct facts *facts)
{
    CELLAR_ASSERT(value.bytes <= WEB_HEAD_BYTES_MAX);
    while (value.bytes > 0) {
        struct cellar_slice word = trim(take_until(&value, ','));
        facts->says_close = facts->says_close || is_word(word, "close");
        facts->says_keep_alive = facts->says_keep_alive || is_word(word, "keep-alive");
    }
}

/* False: it cannot be understood. A blank before the colon makes the name no token, and so refuses
 * it: proxies have been led astray by such names. */
static bool decode_header(struct cellar_slice line, struct facts *facts)
{
    if (memchr(line.data, ':', line.bytes) == NULL) {
        return false;
    }
    struct cellar_slice name = take_until(&line, ':');
    struct cellar_slice value = trim(line);
    if (!is_token(name)) {
        return false;
    }
    if (is_word(name, "content-length")) {
        return decode_length(value, facts);
    }
    if (is_word(name, "connection")) {
        decode_connection(value, facts);
    }
    facts->has_body = facts->has_body || is_word(name, "transfer-encoding");
    facts->host_count += is_word(name, "host") ? 1 : 0;
    CELLAR_ASSERT(facts->host_count <= WEB_HEAD_BYTES_MAX);
    return true;
}

/* ---- the head -------------------------------------------------------------------------------- */

/* Takes a line and what ends it. False: its end has not come. */
static bool take_line(struct cellar_slice *rest, struct cellar_slice *line)
{
    CELLAR_ASSERT(rest->bytes <= WEB_HEAD_BYTES_MAX);
    if (rest->bytes == 0 || memchr(rest->data, '\n', rest->bytes) == NULL) {
        return false;
    }
    *line = take_until(rest, '\n');
    if (line->bytes > 0 && line->data[line->bytes - 1] == '\r') {
        line->bytes--;
    }
    return true;
}

/* Finds the empty line. Returns the length of the head, or 0 when it is not complete. Empty lines
 * before a request are part of it. */
static size_t find_end(struct cellar_slice input)
{
    struct cellar_slice rest = input;
    struct cellar_slice line;
    bool has_begun = false;
    while (take_line(&rest, &line)) {
        if (line.bytes == 0 && has_begun) {
            return input.bytes - rest.bytes;
        }
        has_begun = has_begun || line.bytes > 0;
    }
    CELLAR_ASSERT(rest.bytes <= input.bytes);
    return 0;
}

/* A NUL or a lone CR inside a line can make two readers see two different requests. */
static bool has_control_bytes(struct cellar_slice line)
{
    CELLAR_ASSERT(line.bytes <= WEB_HEAD_BYTES_MAX);
    for (size_t i = 0; i < line.bytes; i++) {
        uint8_t byte = line.data[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return true;
        }
    }
    return false;
}

/* The first line that is not empty is the request's, the others are headers, to the first mistake.
 */
static unsigned decode_lines(struct cellar_slice head, struct web_request *request,
                             struct facts *facts)
{
    struct cellar_slice line = {NULL, 0};
    while (line.bytes == 0) {
        bool is_there = take_line(&head, &line);
        CELLAR_ASSERT(is_there);
    }
    unsigned status = has_control_bytes(line) ? 400 : decode_request_line(line, request, facts);
    while (status == 200 && take_line(&head, &line) && line.bytes > 0) {
        if (has_control_bytes(line) || !decode_header(line, facts)) {
            status = 400;
        }
    }
    return status;
}

/* 0: more must come. Nothing is written unless the answer is 200. Of HTTP/1.0 no Host is asked, and
 * its connections close unless the client says otherwise. */
unsigned web_request_decode(struct cellar_slice input, struct web_request *request,
                            size_t *head_bytes)
{
    struct cellar_slice seen =
        cellar_slice_make(input.data, CELLAR_MIN(input.bytes, (size_t)WEB_HEAD_BYTES_MAX));
    struct web_request found = {.method = WEB_METHOD_OTHER};
    struct facts facts = {0};
    size_t length = find_end(seen);
    if (length == 0) {
        return input.bytes < WEB_HEAD_BYTES_MAX ? 0 : 431;
    }
    unsigned status = decode_lines(cellar_slice_make(input.data, length), &found, &facts);
    if (status != 200) {
        return status;
    }
    if (facts.host_count > 1 || (facts.host_count == 0 && !facts.is_version_0)) {
        return 400;
    }
    found.has_body = facts.has_body;
    found.stays_open =
        facts.is_version_0 ? facts.says_keep_alive && !facts.says_close : !facts.says_close;
    CELLAR_ASSERT(length <= input.bytes);
    *request = found;
    *head_bytes = length;
    return 200;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Every answer has its length, so that a connection can go on behind it; and no page of this server
 * is worth a cache. */
enum cellar_status web_answer_encode(const struct web_answer *answer, struct cellar_buffer *to)
{
    time_t seconds = (time_t)(answer->real_us / 1000000);
    struct tm parts = {0};
    char date[64];
    const struct tm *found = gmtime_r(&seconds, &parts);
    CELLAR_ASSERT(found == &parts && answer->real_us >= 0);
    size_t date_bytes = strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    CELLAR_ASSERT(date_bytes > 0);
    return cellar_buffer_printf(to,
                                "HTTP/1.1 %u %s\r\n"
                                "Date: %s\r\n"
                                "Content-Type: %s\r\n"
                                "Content-Length: %zu\r\n"
                                "Cache-Control: no-store\r\n"
                                "%s%s\r\n",
                                answer->status, web_status_text(answer->status), date,
                                answer->content_type, answer->body_bytes,
                                answer->status == 405 ? "Allow: GET, HEAD\r\n" : "",
                                answer->stays_open ? "" : "Connection: close\r\n");
}
