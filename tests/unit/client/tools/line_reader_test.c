/*
 * line_reader: lines out of a pipe however they arrive, with and without a last newline, and lines
 * that are too long stepped over without losing count.
 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client/tools/line_reader.h"

/* A file that holds `text`, open at its start. */
static int file_of(const char *text, size_t bytes)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), bytes);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void expect_line(struct cellar_line_reader *reader, uint64_t number, const char *text)
{
    struct cellar_line line;
    bool has_line = false;
    assert_int_equal(cellar_line_reader_next(reader, &line, &has_line, NULL), CELLAR_OK);
    assert_true(has_line);
    assert_int_equal(line.number, number);
    assert_int_equal(line.is_too_long, text == NULL);
    if (text != NULL && !cellar_slice_equal(line.text, cellar_slice_text(text))) {
        fail_msg("line %d is '%.*s', not '%s'", (int)number, (int)line.text.bytes,
                 (const char *)line.text.data, text);
    }
}

static void expect_end(struct cellar_line_reader *reader)
{
    struct cellar_line line;
    bool has_line = true;
    for (int count = 0; count < 2; count++) {
        assert_int_equal(cellar_line_reader_next(reader, &line, &has_line, NULL), CELLAR_OK);
        assert_false(has_line);
    }
    (void)close(reader->fd);
    cellar_line_reader_fini(reader);
}

static void lines_come_with_their_numbers(void **state)
{
    (void)state;
    struct cellar_line_reader reader = {.fd = file_of("one\n\n\r\nlast", 11), .bytes_max = 10};
    expect_line(&reader, 1, "one");
    expect_line(&reader, 2, "");
    expect_line(&reader, 3, "\r");
    expect_line(&reader, 4, "last");
    expect_end(&reader);
}

static void a_newline_at_the_end_begins_no_line(void **state)
{
    (void)state;
    struct cellar_line_reader reader = {.fd = file_of("a\n", 2), .bytes_max = 10};
    expect_line(&reader, 1, "a");
    expect_end(&reader);
    struct cellar_line_reader empty = {.fd = file_of("", 0), .bytes_max = 10};
    expect_end(&empty);
}

static void lines_that_are_too_long_are_stepped_over(void **state)
{
    (void)state;
    static char text[300000];
    memset(text, 'x', sizeof text);
    memcpy(text, "12345\n123456\nok\n", 16);
    memcpy(text + 299997, "\nz", 2); /* a line of 299,981 bytes, then "zx" */
    struct cellar_line_reader reader = {.fd = file_of(text, sizeof text), .bytes_max = 5};
    expect_line(&reader, 1, "12345");
    expect_line(&reader, 2, NULL);
    expect_line(&reader, 3, "ok");
    expect_line(&reader, 4, NULL);
    expect_line(&reader, 5, "zx");
    assert_true(reader.data.capacity < 200000);
    expect_end(&reader);
}

static void a_long_line_at_the_end_is_told(void **state)
{
    (void)state;
    static char text[200000];
    memset(text, 'x', sizeof text);
    struct cellar_line_reader reader = {.fd = file_of(text, sizeof text), .bytes_max = 100};
    expect_line(&reader, 1, NULL);
    expect_end(&reader);
}

static void lines_that_arrive_in_pieces_are_whole(void **state)
{
    (void)state;
    int fds[2];
    static char text[150000];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(pipe(fds), 0);
    struct cellar_line_reader reader = {.fd = fds[0], .bytes_max = 1000000};
    assert_int_equal(write(fds[1], "a\nb", 3), 3);
    expect_line(&reader, 1, "a");
    assert_int_equal(write(fds[1], "c\nd", 3), 3);
    expect_line(&reader, 2, "bc");
    (void)close(fds[1]);
    expect_line(&reader, 3, "d");
    expect_end(&reader);
    text[sizeof text - 1] = '\n';
    struct cellar_line_reader large = {.fd = file_of(text, sizeof text), .bytes_max = 1000000};
    text[sizeof text - 1] = '\0';
    expect_line(&large, 1, text);
    expect_end(&large);
}

static void a_descriptor_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct cellar_line_reader reader = {.fd = -1, .bytes_max = 10};
    struct cellar_line line;
    struct cellar_error error;
    bool has_line;
    assert_int_equal(cellar_line_reader_next(&reader, &line, &has_line, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "behind line 0"));
    cellar_line_reader_fini(&reader);
}

static enum cellar_status read_all(void *context)
{
    struct cellar_line_reader reader = {.fd = *(const int *)context, .bytes_max = 1000000};
    struct cellar_line line;
    bool has_line = true;
    enum cellar_status status = CELLAR_OK;
    assert_int_equal(lseek(reader.fd, 0, SEEK_SET), 0);
    while (status == CELLAR_OK && has_line) {
        status = cellar_line_reader_next(&reader, &line, &has_line, NULL);
    }
    cellar_line_reader_fini(&reader);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    static char text[150000];
    memset(text, 'y', sizeof text);
    int fd = file_of(text, sizeof text);
    assert_true(test_out_of_memory_loop(read_all, &fd) >= 2);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_with_their_numbers),
        cmocka_unit_test(a_newline_at_the_end_begins_no_line),
        cmocka_unit_test(lines_that_are_too_long_are_stepped_over),
        cmocka_unit_test(a_long_line_at_the_end_is_told),
        cmocka_unit_test(lines_that_arrive_in_pieces_are_whole),
        cmocka_unit_test(a_descriptor_that_cannot_be_read_is_told),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("line_reader", tests, NULL, NULL);
}
