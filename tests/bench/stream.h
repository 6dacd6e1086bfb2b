#ifndef CELLAR_TESTS_BENCH_STREAM_H
#define CELLAR_TESTS_BENCH_STREAM_H

#include "client/tools/bench_driver.h"

/*
 * The bytes of one connection, in and out, for drivers of protocols that the library does not
 * speak. A driver's session begins with one:
 *
 *     struct cellar_bench_session { struct bench_stream stream; ... };
 */

#define BENCH_READ_BYTES 65536u

/** Zero-initialised is empty. */
struct bench_stream {
    struct cellar_buffer in;
    size_t in_start; /* bytes of `in` already taken */
    struct cellar_buffer out;
    size_t out_start; /* bytes of `out` already sent */
};

/** Frees its memory. */
void bench_stream_fini(struct bench_stream *stream);

/** The four functions of a driver that move bytes. */
struct cellar_slice bench_stream_output(const struct cellar_bench_session *session);
void bench_stream_sent(struct cellar_bench_session *session, size_t bytes);
enum cellar_status bench_stream_room(struct cellar_bench_session *session, uint8_t **room,
                                     size_t *bytes) CELLAR_MUST_USE;
void bench_stream_received(struct cellar_bench_session *session, size_t bytes);

/** What was received and is not taken yet. */
struct cellar_slice bench_stream_input(const struct bench_stream *stream);

/** Takes the first `bytes` bytes of the input. */
void bench_stream_take(struct bench_stream *stream, size_t bytes);

/** The failure of an answer that cannot be read. @return CELLAR_IO_ERROR */
enum cellar_status bench_stream_broken(const char *server, struct cellar_slice seen,
                                       struct cellar_error *error);

/** The drivers of this folder. */
extern const struct cellar_bench_driver bench_redis_driver;
extern const struct cellar_bench_driver bench_postgres_driver;
extern const struct cellar_bench_driver bench_memcached_driver;

#endif
