#ifndef CELLAR_TESTS_SUPPORT_CHECK_FIXTURE_H
#define CELLAR_TESTS_SUPPORT_CHECK_FIXTURE_H

#include "server/storage/check_report.h"
#include "tests/support/support.h"

/*
 * What the tests of the offline check share: a report that is written into memory, and bytes of
 * files to spoil.
 */

struct test_report {
    struct store_check_report report;
    char *text; /* what was printed so far, after test_report_text() */
    size_t bytes;
};

/** Starts an empty report in the form of lines. */
void test_report_begin(struct test_report *report);

/** All that was printed; valid until the next print. */
const char *test_report_text(struct test_report *report);

/** Fails the test unless the text holds `part`. */
void test_report_has(struct test_report *report, const char *part);

void test_report_end(struct test_report *report);

/** Reads a file whole; freed with free(). */
uint8_t *test_file_read(const char *path, size_t *bytes);

/** Makes a file of exactly these bytes. */
void test_file_write(const char *path, const uint8_t *data, size_t bytes);

#endif
