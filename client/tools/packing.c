/*
 * gzip by zlib and zstd by libzstd, behind one pair of functions each way.
 *
 * Both formats allow a file of several streams. Reading goes from one into the next, as gzip and
 * zstd do; writing ends a stream whenever the caller wants a place at which the file may be cut and
 * gone on with (export_file.c). Whoever reads must ask cellar_unpacker_is_whole() at the end of the
 * input: a file that was cut short is found by that alone.
 *
 * zlib's memory comes from common/mem.h; libzstd takes its own, at most the 128 MiB that it allows
 * a window by default. The codes of both libraries end in this file. One thread at a time.
 */

#include "client/tools/packing.h"

#define ZLIB_CONST /* input is only read */

#include <limits.h>
#include <zlib.h>
#include <zstd.h>

#include "common/mem.h"

#define GZIP_WINDOW_BITS 31 /* the largest window, with gzip's header and end */
#define GZIP_LEVEL 6
#define ZSTD_LEVEL 3
#define PACK_BYTES 65536u /* of room for one step */

/* ---- names --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *suffix;
    const char *magic;
    size_t magic_bytes;
} packings[] = {
    [CELLAR_PACKING_NONE] = {"none", "", "", 0},
    [CELLAR_PACKING_GZIP] = {"gzip", ".gz", "\x1f\x8b", 2},
    [CELLAR_PACKING_ZSTD] = {"zstd", ".zst", "\x28\xb5\x2f\xfd", 4},
};

enum cellar_packing cellar_packing_detect(struct cellar_slice first)
{
    for (size_t index = 1; index < CELLAR_ARRAY_COUNT(packings); index++) {
        CELLAR_ASSERT(packings[index].magic_bytes <= CELLAR_PACKING_MAGIC_BYTES);
        if (cellar_slice_has_prefix(
                first, cellar_slice_make(packings[index].magic, packings[index].magic_bytes))) {
            return (enum cellar_packing)index;
        }
    }
    return CELLAR_PACKING_NONE;
}

bool cellar_packing_decode(const char *name, enum cellar_packing *packing)
{
    CELLAR_ASSERT(name != NULL);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(packings); index++) {
        if (strcmp(name, packings[index].name) == 0) {
            *packing = (enum cellar_packing)index;
            return true;
        }
    }
    return false;
}

/* The suffix alone is no name: ".gz" has nothing in it to unpack. */
enum cellar_packing cellar_packing_of_name(const char *name)
{
    size_t bytes = strlen(name);
    for (size_t index = 1; index < CELLAR_ARRAY_COUNT(packings); index++) {
        size_t suffix_bytes = strlen(packings[index].suffix);
        CELLAR_ASSERT(suffix_bytes > 0);
        if (bytes > suffix_bytes &&
            strcmp(name + bytes - suffix_bytes, packings[index].suffix) == 0) {
            return (enum cellar_packing)index;
        }
    }
    return CELLAR_PACKING_NONE;
}

const char *cellar_packing_suffix(enum cellar_packing packing)
{
    CELLAR_ASSERT((size_t)packing < CELLAR_ARRAY_COUNT(packings));
    return packings[packing].suffix;
}

/* ---- zlib's memory ------------------------------------------------------------------------- */

/* Tests can make zlib's allocations fail with this, as all others. */
static void *zlib_alloc(void *context, unsigned int count, unsigned int bytes)
{
    CELLAR_ASSERT(context == NULL);
    return cellar_mem_zalloc(count, bytes);
}

static void zlib_free(void *context, void *pointer)
{
    CELLAR_ASSERT(context == NULL);
    cellar_mem_free(pointer);
}

/* A z_stream that takes its memory from here; NULL without any. */
static z_stream *zlib_new(void)
{
    z_stream *stream = cellar_mem_zalloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->zalloc = zlib_alloc;
        stream->zfree = zlib_free;
        CELLAR_ASSERT(stream->opaque == NULL);
    }
    return stream;
}

/* ---- unpacking ----------------------------------------------------------------------------- */

static enum cellar_status no_memory(struct cellar_error *error)
{
    CELLAR_ASSERT(ZSTD_LEVEL > 0);
    return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for compressed data");
}

static enum cellar_status damaged(struct cellar_error *error, const char *format, const char *what)
{
    CELLAR_ASSERT(format != NULL);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "The %s data is damaged: %.100s",
                            format, what == NULL ? "it breaks the format" : what);
}

/* Between two streams, as before the first: an empty input is whole. */
enum cellar_status cellar_unpacker_init(struct cellar_unpacker *unpacker,
                                        enum cellar_packing packing, struct cellar_error *error)
{
    CELLAR_ASSERT(unpacker->stream == NULL);
    unpacker->packing = packing;
    unpacker->is_between = true;
    if (packing == CELLAR_PACKING_NONE) {
        return CELLAR_OK;
    }
    if (packing == CELLAR_PACKING_ZSTD) {
        unpacker->stream = ZSTD_createDStream();
        return unpacker->stream == NULL ? no_memory(error) : CELLAR_OK;
    }
    z_stream *stream = zlib_new();
    if (stream == NULL || inflateInit2(stream, GZIP_WINDOW_BITS) != Z_OK) {
        cellar_mem_free(stream);
        return no_memory(error);
    }
    unpacker->stream = stream;
    return CELLAR_OK;
}

/* A step of what is not packed. */
static void plain_step(struct cellar_cursor *from, uint8_t *to, size_t room, size_t *made)
{
    size_t bytes = CELLAR_MIN(room, cellar_cursor_left(from));
    CELLAR_ASSERT(room > 0);
    memcpy(to, from->at, bytes);
    from->at += bytes;
    *made = bytes;
}

/* A step of gzip: within one member, or over the border to the next. The step goes on over empty
 * members until it has made something or the input ends, so a caller that gets nothing may read on.
 */
static enum cellar_status gzip_step(struct cellar_unpacker *unpacker, struct cellar_cursor *from,
                                    uint8_t *to, size_t room, size_t *made,
                                    struct cellar_error *error)
{
    z_stream *stream = unpacker->stream;
    *made = 0;
    while (*made == 0 && cellar_cursor_left(from) > 0) {
        stream->next_in = from->at;
        stream->avail_in = (unsigned int)CELLAR_MIN(cellar_cursor_left(from), (size_t)INT_MAX);
        stream->next_out = to;
        stream->avail_out = (unsigned int)CELLAR_MIN(room, (size_t)INT_MAX);
        int code = inflate(stream, Z_NO_FLUSH);
        CELLAR_ASSERT(stream->next_in >= from->at && stream->next_in <= from->end);
        from->at = stream->next_in;
        *made = (size_t)(stream->next_out - to);
        unpacker->is_between = code == Z_STREAM_END;
        if (code == Z_STREAM_END) {
            (void)inflateReset(stream);
        } else if (code == Z_MEM_ERROR) {
            return no_memory(error);
        } else if (code != Z_OK && code != Z_BUF_ERROR) {
            return damaged(error, "gzip", code == Z_NEED_DICT ? NULL : stream->msg);
        }
    }
    return CELLAR_OK;
}

/* A step of zstd, which goes over borders by itself. */
static enum cellar_status zstd_step(struct cellar_unpacker *unpacker, struct cellar_cursor *from,
                                    uint8_t *to, size_t room, size_t *made,
                                    struct cellar_error *error)
{
    ZSTD_outBuffer out = {.dst = to, .size = room, .pos = 0};
    CELLAR_ASSERT(unpacker->stream != NULL);
    /* At the end of a frame libzstd wants to be asked once more before it is certain of it. */
    bool is_asked = false;
    while (out.pos == 0 && (cellar_cursor_left(from) > 0 || !is_asked)) {
        ZSTD_inBuffer in = {.src = from->at, .size = cellar_cursor_left(from), .pos = 0};
        if (in.size == 0 && unpacker->is_between) {
            break;
        }
        is_asked = in.size == 0;
        size_t code = ZSTD_decompressStream(unpacker->stream, &out, &in);
        if (ZSTD_isError(code)) {
            return damaged(error, "zstd", ZSTD_getErrorName(code));
        }
        from->at += in.pos;
        unpacker->is_between = code == 0;
    }
    *made = out.pos;
    return CELLAR_OK;
}

enum cellar_status cellar_unpacker_step(struct cellar_unpacker *unpacker,
                                        struct cellar_cursor *from, uint8_t *to, size_t room,
                                        size_t *made, struct cellar_error *error)
{
    CELLAR_ASSERT(room > 0);
    switch (unpacker->packing) {
    case CELLAR_PACKING_NONE:
        plain_step(from, to, room, made);
        return CELLAR_OK;
    case CELLAR_PACKING_GZIP:
        return gzip_step(unpacker, from, to, room, made, error);
    case CELLAR_PACKING_ZSTD:
        return zstd_step(unpacker, from, to, room, made, error);
    }
    return CELLAR_OK;
}

/* Plain data has no end that could be missing. */
bool cellar_unpacker_is_whole(const struct cellar_unpacker *unpacker)
{
    CELLAR_ASSERT(unpacker->packing == CELLAR_PACKING_NONE || unpacker->stream != NULL);
    return unpacker->packing == CELLAR_PACKING_NONE || unpacker->is_between;
}

void cellar_unpacker_fini(struct cellar_unpacker *unpacker)
{
    if (unpacker->packing == CELLAR_PACKING_ZSTD) {
        (void)ZSTD_freeDStream(unpacker->stream);
    } else if (unpacker->stream != NULL) {
        (void)inflateEnd(unpacker->stream);
        cellar_mem_free(unpacker->stream);
    }
    CELLAR_ASSERT(unpacker->packing != CELLAR_PACKING_NONE || unpacker->stream == NULL);
    memset(unpacker, 0, sizeof *unpacker);
}

/* ---- packing ------------------------------------------------------------------------------- */

/* zstd's checksum is off by default; gzip always has one. A file that was damaged later must show
 * it. */
enum cellar_status cellar_packer_init(struct cellar_packer *packer, enum cellar_packing packing,
                                      struct cellar_error *error)
{
    CELLAR_ASSERT(packer->stream == NULL);
    packer->packing = packing;
    if (packing == CELLAR_PACKING_NONE) {
        return CELLAR_OK;
    }
    if (packing == CELLAR_PACKING_ZSTD) {
        packer->stream = ZSTD_createCCtx();
        bool is_ready =
            packer->stream != NULL &&
            !ZSTD_isError(
                ZSTD_CCtx_setParameter(packer->stream, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(packer->stream, ZSTD_c_checksumFlag, 1));
        return is_ready ? CELLAR_OK : no_memory(error);
    }
    z_stream *stream = zlib_new();
    if (stream == NULL || deflateInit2(stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
                                       Z_DEFAULT_STRATEGY) != Z_OK) {
        cellar_mem_free(stream);
        return no_memory(error);
    }
    packer->stream = stream;
    return CELLAR_OK;
}

/* Packs by zlib; the input of one call is far below its 4 GiB. */
static enum cellar_status gzip_pack(struct cellar_packer *packer, struct cellar_slice bytes,
                                    bool is_end, struct cellar_buffer *to)
{
    z_stream *stream = packer->stream;
    int code = Z_OK;
    CELLAR_ASSERT(bytes.bytes <= INT_MAX);
    stream->next_in = bytes.data;
    stream->avail_in = (unsigned int)bytes.bytes;
    do {
        CELLAR_TRY(cellar_buffer_reserve(to, PACK_BYTES));
        stream->next_out = to->data + to->bytes;
        stream->avail_out = PACK_BYTES;
        code = deflate(stream, is_end ? Z_FINISH : Z_NO_FLUSH);
        CELLAR_ASSERT(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR);
        to->bytes += PACK_BYTES - stream->avail_out;
    } while (is_end ? code != Z_STREAM_END : stream->avail_in > 0 || stream->avail_out == 0);
    if (is_end) {
        (void)deflateReset(stream);
    }
    return CELLAR_OK;
}

/* Packs by libzstd. What is left tells whether the end has been written out whole. */
static enum cellar_status zstd_pack(struct cellar_packer *packer, struct cellar_slice bytes,
                                    bool is_end, struct cellar_buffer *to)
{
    ZSTD_inBuffer in = {.src = bytes.data, .size = bytes.bytes, .pos = 0};
    size_t left;
    CELLAR_ASSERT(packer->stream != NULL);
    do {
        CELLAR_TRY(cellar_buffer_reserve(to, PACK_BYTES));
        ZSTD_outBuffer out = {.dst = to->data + to->bytes, .size = PACK_BYTES, .pos = 0};
        left =
            ZSTD_compressStream2(packer->stream, &out, &in, is_end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) {
            return CELLAR_NO_MEMORY; /* the only failure that packing can meet */
        }
        to->bytes += out.pos;
    } while (is_end ? left > 0 : in.pos < in.size);
    return CELLAR_OK;
}

enum cellar_status cellar_packer_step(struct cellar_packer *packer, struct cellar_slice bytes,
                                      bool is_end, struct cellar_buffer *to,
                                      struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(to != NULL);
    switch (packer->packing) {
    case CELLAR_PACKING_NONE:
        status = cellar_buffer_append(to, bytes.data, bytes.bytes);
        break;
    case CELLAR_PACKING_GZIP:
        status = gzip_pack(packer, bytes, is_end, to);
        break;
    case CELLAR_PACKING_ZSTD:
        status = zstd_pack(packer, bytes, is_end, to);
        break;
    }
    return status == CELLAR_OK ? status : no_memory(error);
}

void cellar_packer_fini(struct cellar_packer *packer)
{
    if (packer->packing == CELLAR_PACKING_ZSTD) {
        (void)ZSTD_freeCCtx(packer->stream);
    } else if (packer->stream != NULL) {
        (void)deflateEnd(packer->stream);
        cellar_mem_free(packer->stream);
    }
    CELLAR_ASSERT(packer->packing != CELLAR_PACKING_NONE || packer->stream == NULL);
    memset(packer, 0, sizeof *packer);
}
