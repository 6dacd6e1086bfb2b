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

/* A source that reads a descriptor. */
static enum cellar_status fd_read(void *context, uint8_t *to, size_t room, size_t *got,
                                  struct cellar_error *error)
{
    ssize_t bytes = read(*(const int *)context, to, room);
    if (bytes < 0) {
        return cellar_error_set(error, CELLAR_IO_ERROR, "cannot read");
    }
    *got = (size_t)bytes;
    return CELLAR_OK;
}

/* A reader of a descriptor that lives as long as the reader. */
static struct cellar_line_reader reader_of(int *fd, size_t bytes_max)
{
    return (struct cellar_line_reader){.source = {.read = fd_read, .context = fd},
                                       .bytes_max = bytes_max};
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
    (void)close(*(int *)reader->source.context);
    cellar_line_reader_fini(reader);
}

static void lines_come_with_their_numbers(void **state)
{
    (void)state;
    int reader_fd = file_of("one\n\n\r\nlast", 11);
    struct cellar_line_reader reader = reader_of(&reader_fd, 10);
    expect_line(&reader, 1, "one");
    expect_line(&reader, 2, "");
    expect_line(&reader, 3, "\r");
    expect_line(&reader, 4, "last");
    expect_end(&reader);
}

static void a_newline_at_the_end_begins_no_line(void **state)
{
    (void)state;
    int reader_fd = file_of("a\n", 2);
    struct cellar_line_reader reader = reader_of(&reader_fd, 10);
    expect_line(&reader, 1, "a");
    expect_end(&reader);
    int empty_fd = file_of("", 0);
    struct cellar_line_reader empty = reader_of(&empty_fd, 10);
    expect_end(&empty);
}

static void lines_that_are_too_long_are_stepped_over(void **state)
{
    (void)state;
    static char text[300000];
    memset(text, 'x', sizeof text);
    memcpy(text, "12345\n123456\nok\n", 16);
    memcpy(text + 299997, "\nz", 2); /* a line of 299,981 bytes, then "zx" */
    int reader_fd = file_of(text, sizeof text);
    struct cellar_line_reader reader = reader_of(&reader_fd, 5);
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
    int reader_fd = file_of(text, sizeof text);
    struct cellar_line_reader reader = reader_of(&reader_fd, 100);
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
    int reader_fd = fds[0];
    struct cellar_line_reader reader = reader_of(&reader_fd, 1000000);
    assert_int_equal(write(fds[1], "a\nb", 3), 3);
    expect_line(&reader, 1, "a");
    assert_int_equal(write(fds[1], "c\nd", 3), 3);
    expect_line(&reader, 2, "bc");
    (void)close(fds[1]);
    expect_line(&reader, 3, "d");
    expect_end(&reader);
    text[sizeof text - 1] = '\n';
    int large_fd = file_of(text, sizeof text);
    struct cellar_line_reader large = reader_of(&large_fd, 1000000);
    text[sizeof text - 1] = '\0';
    expect_line(&large, 1, text);
    expect_end(&large);
}

static void a_descriptor_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    int reader_fd = -1;
    struct cellar_line_reader reader = reader_of(&reader_fd, 10);
    struct cellar_line line;
    struct cellar_error error;
    bool has_line;
    assert_int_equal(cellar_line_reader_next(&reader, &line, &has_line, &error), CELLAR_IO_ERROR);
    assert_string_equal(error.text, "cannot read");
    cellar_line_reader_fini(&reader);
}

static void a_reader_goes_on_behind_a_line(void **state)
{
    (void)state;
    static char text[200000];
    memset(text, 'x', sizeof text);
    memcpy(text, "one\ntwo\n", 8);
    memcpy(text + 150000, "\nthree\nfour", 11);
    memset(text + 150011, '\n', 1);
    int fd = file_of(text, 150012);
    struct cellar_line_reader reader = reader_of(&fd, 1000000);
    expect_line(&reader, 1, "one");
    assert_int_equal(reader.position, 4);
    assert_int_equal(cellar_line_reader_skip(&reader, 150001, 3, NULL), CELLAR_OK);
    expect_line(&reader, 4, "three");
    assert_int_equal(reader.position, 150007);
    assert_int_equal(cellar_line_reader_skip(&reader, 150007, 4, NULL), CELLAR_OK);
    expect_line(&reader, 5, "four");
    assert_int_equal(cellar_line_reader_skip(&reader, 150013, 6, NULL), CELLAR_FAILED_PRECONDITION);
    (void)close(fd);
    cellar_line_reader_fini(&reader);
}

static void the_position_counts_what_is_stepped_over(void **state)
{
    (void)state;
    static char text[200001];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    int fd = file_of(text, sizeof text);
    struct cellar_line_reader reader = reader_of(&fd, 100);
    expect_line(&reader, 1, NULL);
    assert_int_equal(reader.position, sizeof text);
    expect_end(&reader);
}

static enum cellar_status read_all(void *context)
{
    int reader_fd = *(const int *)context;
    struct cellar_line_reader reader = reader_of(&reader_fd, 1000000);
    struct cellar_line line;
    bool has_line = true;
    enum cellar_status status = CELLAR_OK;
    assert_int_equal(lseek(reader_fd, 0, SEEK_SET), 0);
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
        cmocka_unit_test(a_reader_goes_on_behind_a_line),
        cmocka_unit_test(the_position_counts_what_is_stepped_over),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("line_reader", tests, NULL, NULL);
}
