/* A part of rows, byte by byte: places are filled in, flags are set, and no memory is an error. */
#include "tests/support/support.h"

#include <string.h>

#include "server/net/native/rows_writer.h"

static const struct cellar_slice packed = {(const uint8_t *)"\x94\xa1"
                                                            "f\xc4\x01q\x01\xc4\x01v",
                                           10};

static enum cellar_status write_rows(struct cellar_buffer *to)
{
    struct net_rows_writer writer;
    CELLAR_TRY(cellar_buffer_append(to, "header", 6));
    CELLAR_TRY(net_rows_begin(&writer, to, 200));
    struct svc_row_sink *sink = &writer.sink;
    CELLAR_TRY(sink->row_begin(sink, cellar_slice_text("a"), true));
    CELLAR_TRY(sink->cells(sink, packed));
    CELLAR_TRY(sink->cells(sink, packed));
    CELLAR_TRY(sink->row_end(sink, false));
    CELLAR_TRY(sink->row_begin(sink, cellar_slice_text("b"), false));
    CELLAR_TRY(sink->row_end(sink, true));
    net_rows_end(&writer);
    CELLAR_ASSERT(writer.row_count == 2);
    return CELLAR_OK;
}

static void rows_are_written_as_the_protocol_says(void **state)
{
    (void)state;
    static const char expected[] = "header"
                                   "\x82\x01\xcc\xc8\x02\xdd\x00\x00\x00\x02"
                                   "\x93\xc4\x01"
                                   "a\x02\xdd\x00\x00\x00\x02"
                                   "\x94\xa1"
                                   "f\xc4\x01q\x01\xc4\x01v"
                                   "\x94\xa1"
                                   "f\xc4\x01q\x01\xc4\x01v"
                                   "\x93\xc4\x01"
                                   "b\x01\xdd\x00\x00\x00\x00";
    struct cellar_buffer to = {0};
    assert_int_equal(write_rows(&to), CELLAR_OK);
    assert_int_equal(to.bytes, sizeof expected - 1);
    assert_memory_equal(to.data, expected, to.bytes);
    cellar_buffer_fini(&to);
}

static void rows_with_the_longest_key_fit(void **state)
{
    (void)state;
    static uint8_t key[CELLAR_ROW_BYTES_MAX];
    struct cellar_buffer to = {0};
    struct net_rows_writer writer;
    assert_int_equal(cellar_buffer_append(&to, "x", 1), CELLAR_OK);
    assert_int_equal(net_rows_begin(&writer, &to, 0), CELLAR_OK);
    struct svc_row_sink *sink = &writer.sink;
    for (int i = 0; i < 100; i++) {
        struct cellar_slice row = cellar_slice_make(key, sizeof key);
        assert_int_equal(sink->row_begin(sink, row, false), CELLAR_OK);
        assert_int_equal(sink->row_end(sink, false), CELLAR_OK);
    }
    net_rows_end(&writer);
    assert_true(to.bytes > 100 * sizeof key);
    cellar_buffer_fini(&to);
}

static enum cellar_status write_and_free(void *context)
{
    (void)context;
    struct cellar_buffer to = {0};
    enum cellar_status status = write_rows(&to);
    cellar_buffer_fini(&to);
    return status;
}

static void rows_survive_every_failing_allocation(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(write_and_free, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_written_as_the_protocol_says),
        cmocka_unit_test(rows_with_the_longest_key_fit),
        cmocka_unit_test(rows_survive_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
