/*
 * Two buffers, each taken from its front. What was taken is moved away when room for more is asked
 * for, so that slices of the input live until then. The session's first member is the stream.
 */

#include "tests/bench/stream.h"

#include "common/cell.h"

/* The stream that a session begins with. */
static struct bench_stream *stream_of(struct cellar_bench_session *session)
{
    CELLAR_ASSERT(session != NULL);
    return (struct bench_stream *)(void *)session;
}

void bench_stream_fini(struct bench_stream *stream)
{
    CELLAR_ASSERT(stream != NULL);
    cellar_buffer_fini(&stream->in);
    cellar_buffer_fini(&stream->out);
}

struct cellar_slice bench_stream_output(const struct cellar_bench_session *session)
{
    const struct bench_stream *stream = (const struct bench_stream *)(const void *)session;
    CELLAR_ASSERT(stream->out_start <= stream->out.bytes);
    return cellar_slice_make(stream->out.data + stream->out_start,
                             stream->out.bytes - stream->out_start);
}

void bench_stream_sent(struct cellar_bench_session *session, size_t bytes)
{
    struct bench_stream *stream = stream_of(session);
    CELLAR_ASSERT(bytes <= stream->out.bytes - stream->out_start);
    stream->out_start += bytes;
    if (stream->out_start == stream->out.bytes) {
        stream->out_start = 0;
        cellar_buffer_clear(&stream->out);
    }
}

enum cellar_status bench_stream_room(struct cellar_bench_session *session, uint8_t **room,
                                     size_t *bytes)
{
    struct bench_stream *stream = stream_of(session);
    CELLAR_ASSERT(stream->in_start <= stream->in.bytes);
    cellar_buffer_consume(&stream->in, stream->in_start);
    stream->in_start = 0;
    CELLAR_TRY(cellar_buffer_reserve(&stream->in, BENCH_READ_BYTES));
    *room = stream->in.data + stream->in.bytes;
    *bytes = stream->in.capacity - stream->in.bytes;
    return CELLAR_OK;
}

void bench_stream_received(struct cellar_bench_session *session, size_t bytes)
{
    struct bench_stream *stream = stream_of(session);
    CELLAR_ASSERT(bytes <= stream->in.capacity - stream->in.bytes);
    stream->in.bytes += bytes;
}

struct cellar_slice bench_stream_input(const struct bench_stream *stream)
{
    CELLAR_ASSERT(stream->in_start <= stream->in.bytes);
    return cellar_slice_make(stream->in.data + stream->in_start,
                             stream->in.bytes - stream->in_start);
}

void bench_stream_take(struct bench_stream *stream, size_t bytes)
{
    CELLAR_ASSERT(bytes <= stream->in.bytes - stream->in_start);
    stream->in_start += bytes;
}

enum cellar_status bench_stream_broken(const char *server, struct cellar_slice seen,
                                       struct cellar_error *error)
{
    char shown[256];
    CELLAR_ASSERT(server != NULL);
    return cellar_error_set(error, CELLAR_IO_ERROR, "%s gave an answer that was not due: %s",
                            server, cellar_bytes_show(seen, 60, shown, sizeof shown));
}
