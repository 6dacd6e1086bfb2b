/*
 * http1: heads of requests, whole, cut anywhere, wrong in every way that is told apart, and the
 * heads of answers.
 */
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "server/net/web/http1.h"
#include "tests/support/support.h"

#define HOST "Host: x\r\n"

struct head_case {
    const char *text;
    unsigned status;
    enum web_method method;
    const char *path;
    bool has_body;
    bool stays_open;
};

static const struct head_case good_cases[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_GET, "/", false, true},
    {"HEAD /metrics?a=1?b HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_HEAD, "/metrics", false, true},
    {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\n", 200, WEB_METHOD_OTHER, "/x", true,
     true},
    {"get / HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_OTHER, "/", false, true},
    {"GET / HTTP/1.1\n" HOST "\n", 200, WEB_METHOD_GET, "/", false, true},
    {"\r\n\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_GET, "/", false, true},
    {"GET / HTTP/1.0\r\n\r\n", 200, WEB_METHOD_GET, "/", false, false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200, WEB_METHOD_GET, "/", false, true},
    {"GET / HTTP/1.1\r\n" HOST "connection:  foo ,\tCLOSE \r\n\r\n", 200, WEB_METHOD_GET, "/",
     false, false},
    {"GET / HTTP/1.9\r\nhost:\r\nX: a:b\tc\r\n\r\n", 200, WEB_METHOD_GET, "/", false, true},
    {"GET http://a.b:80/healthz HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_GET, "/healthz", false,
     true},
    {"GET http://a.b HTTP/1.1\r\n" HOST "\r\n", 200, WEB_METHOD_GET, "/", false, true},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 000\r\n\r\n", 200, WEB_METHOD_GET, "/", false,
     true},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 200, WEB_METHOD_GET, "/", true,
     true},
};

static void check_good(const struct head_case *test)
{
    struct web_request request;
    size_t head_bytes = 0;
    struct cellar_slice whole = cellar_slice_text(test->text);
    for (size_t length = 0; length < whole.bytes; length++) {
        unsigned early =
            web_request_decode(cellar_slice_make(whole.data, length), &request, &head_bytes);
        if (early != 0) {
            fail_msg("'%s' cut to %zu bytes: %u", test->text, length, early);
        }
    }
    if (web_request_decode(whole, &request, &head_bytes) != 200) {
        fail_msg("refused: '%s'", test->text);
    }
    assert_int_equal(head_bytes, whole.bytes);
    assert_int_equal(request.method, test->method);
    assert_int_equal(request.path.bytes, strlen(test->path));
    assert_memory_equal(request.path.data, test->path, request.path.bytes);
    assert_int_equal(request.has_body, test->has_body);
    assert_int_equal(request.stays_open, test->stays_open);
}

static void a_head_is_understood_once_it_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(good_cases); i++) {
        check_good(&good_cases[i]);
    }
}

static void a_head_ends_where_the_next_request_begins(void **state)
{
    (void)state;
    static const char text[] = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n";
    struct web_request request;
    size_t head_bytes = 0;
    assert_int_equal(web_request_decode(cellar_slice_text(text), &request, &head_bytes), 200);
    assert_string_equal(text + head_bytes, "GET /b HTTP/1.1\r\n");
}

static const struct head_case bad_cases[] = {
    {.text = "GET / HTTP/1.1\r\n\r\n", .status = 400}, /* no host */
    {.text = "GET / HTTP/1.1\r\n" HOST HOST "\r\n", .status = 400},
    {.text = "GET / HTTP/2.0\r\n" HOST "\r\n", .status = 505},
    {.text = "GET / HTTP/1.11\r\n" HOST "\r\n", .status = 505},
    {.text = "GET / HTTP/1.\r\n" HOST "\r\n", .status = 505},
    {.text = "GET / FTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "GET /\r\n" HOST "\r\n", .status = 400},
    {.text = "GET  / HTTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "GET x HTTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "GET * HTTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "G@T / HTTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "GET / HTTP/1.1 \r\n" HOST "\r\n", .status = 505},
    {.text = "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "a\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "a : b\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "a: b\r\n folded\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "a: b\rc\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "a: b\x7f\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", .status = 400},
    {.text = "GET / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", .status = 400},
};

static void a_head_that_is_wrong_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CELLAR_ARRAY_COUNT(bad_cases); i++) {
        struct web_request request;
        size_t head_bytes = 0;
        unsigned status =
            web_request_decode(cellar_slice_text(bad_cases[i].text), &request, &head_bytes);
        if (status != bad_cases[i].status) {
            fail_msg("case %zu '%s': %u", i, bad_cases[i].text, status);
        }
    }
}

static void a_head_has_at_most_8_kib(void **state)
{
    (void)state;
    static uint8_t text[WEB_HEAD_BYTES_MAX + 8];
    struct web_request request;
    size_t head_bytes = 0;
    static const char start[] = "GET / HTTP/1.1\r\n" HOST "Filler: ";
    memset(text, 'x', sizeof text);
    memcpy(text, start, sizeof start - 1);
    assert_int_equal(
        web_request_decode(cellar_slice_make(text, WEB_HEAD_BYTES_MAX - 1), &request, &head_bytes),
        0);
    assert_int_equal(
        web_request_decode(cellar_slice_make(text, WEB_HEAD_BYTES_MAX), &request, &head_bytes),
        431);
    memcpy(text + WEB_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(
        web_request_decode(cellar_slice_make(text, sizeof text), &request, &head_bytes), 200);
    assert_int_equal(head_bytes, WEB_HEAD_BYTES_MAX);
    memset(text, '\n', sizeof text);
    assert_int_equal(
        web_request_decode(cellar_slice_make(text, sizeof text), &request, &head_bytes), 431);
}

static void any_bytes_are_refused_or_waited_for(void **state)
{
    (void)state;
    struct test_random random = {test_seed("http1")};
    static const char *const words[] = {
        "GET ",     "/",  " HTTP/1.1", "\r\n",  "\n",   "Host:",   "a: b", "\r", "Content-Length:",
        "HTTP/1.0", "\t", ",",         "close", "HEAD", "http://", "?"};
    for (int i = 0; i < 20000; i++) {
        struct cellar_buffer text = {0};
        struct web_request request;
        size_t head_bytes = 0;
        for (uint64_t j = test_random_below(&random, 20); j > 0; j--) {
            uint8_t byte = (uint8_t)test_random_next(&random);
            const char *word = words[test_random_below(&random, CELLAR_ARRAY_COUNT(words))];
            bool is_byte = test_random_below(&random, 8) == 0;
            assert_int_equal(cellar_buffer_append(&text, is_byte ? (const void *)&byte : word,
                                                  is_byte ? 1 : strlen(word)),
                             CELLAR_OK);
        }
        unsigned status = web_request_decode(cellar_slice_of(&text), &request, &head_bytes);
        assert_true(status == 0 || status == 200 || status == 400 || status == 505);
        assert_true(status != 200 || (head_bytes <= text.bytes && request.path.bytes > 0));
        cellar_buffer_fini(&text);
    }
}

static void an_answer_says_what_follows(void **state)
{
    (void)state;
    struct cellar_buffer text = {0};
    struct web_answer answer = {.status = 200,
                                .content_type = "text/plain",
                                .body_bytes = 12,
                                .real_us = INT64_C(784111777123456),
                                .stays_open = true};
    assert_int_equal(web_answer_encode(&answer, &text), CELLAR_OK);
    answer.status = 405;
    answer.stays_open = false;
    assert_int_equal(web_answer_encode(&answer, &text), CELLAR_OK);
    static const char expected[] =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
        "Content-Length: 12\r\nCache-Control: no-store\r\n\r\n"
        "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: text/plain\r\nContent-Length: 12\r\nCache-Control: no-store\r\n"
        "Allow: GET, HEAD\r\nConnection: close\r\n\r\n";
    assert_int_equal(text.bytes, sizeof expected - 1);
    assert_memory_equal(text.data, expected, sizeof expected - 1);
    cellar_buffer_fini(&text);
}

static enum cellar_status encode_once(void *context)
{
    struct cellar_buffer text = {0};
    struct web_answer answer = {.status = 503, .content_type = "text/plain"};
    (void)context;
    enum cellar_status status = web_answer_encode(&answer, &text);
    assert_true(status == CELLAR_OK || text.bytes == 0);
    cellar_buffer_fini(&text);
    return status;
}

static void an_answer_without_memory_is_not_begun(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(encode_once, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_understood_once_it_is_whole),
        cmocka_unit_test(a_head_ends_where_the_next_request_begins),
        cmocka_unit_test(a_head_that_is_wrong_is_refused),
        cmocka_unit_test(a_head_has_at_most_8_kib),
        cmocka_unit_test(any_bytes_are_refused_or_waited_for),
        cmocka_unit_test(an_answer_says_what_follows),
        cmocka_unit_test(an_answer_without_memory_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
