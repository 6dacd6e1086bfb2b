#ifndef CELLAR_TESTS_SUPPORT_MODEL_FIXTURE_H
#define CELLAR_TESTS_SUPPORT_MODEL_FIXTURE_H

#include "tests/support/model_service.h"

/*
 * A service with a table, and short ways to write, read and compare: for tests of one rule each.
 *
 * Answers are compared as text: rows `key[family:qualifier@timestamp=value ...]` joined by blanks,
 * bytes outside of printable ASCII as \xNN, cells joined by commas:
 *
 *     r1[f:q@2000=new,f:q@1000=old] r2[g:@0=]
 *
 * The clock is the fake one. Table `t` has the families f and g without rules, milliseconds and
 * one tablet; model_fixture_table() makes others.
 */

#define FIXTURE_CLOCK_US INT64_C(1700000000000000)

struct model_fixture {
    struct model_service service;
    struct cellar_error error; /* of the last call that failed */
    struct model_answer answer;
    struct cellar_buffer text;
};

/** cmocka's setup and teardown: *state is the fixture. The first one's log takes records of 256
 * KiB, the second one's of 4 MiB. */
int model_fixture_setup(void **state);
int model_fixture_setup_large(void **state);
int model_fixture_teardown(void **state);

/** The same with other options; `data_dir` is set here. */
struct model_fixture *model_fixture_new(const struct svc_options *options);

/** Makes a table with families and split keys given as text, each list ended by NULL or absent. */
void model_fixture_table(struct model_fixture *fixture, const char *name,
                         enum cellar_granularity granularity, const char *const *families,
                         const char *const *split_keys);

/** Mutations from text; slices borrow from the arguments. */
struct cellar_mutation model_set(const char *family, const char *qualifier, int64_t timestamp_us,
                                 const char *value);
struct cellar_mutation model_delete_column(const char *family, const char *qualifier,
                                           int64_t start_us, int64_t end_us);
struct cellar_mutation model_delete_family(const char *family);
struct cellar_mutation model_delete_row(void);

/** Applies mutations to a row of `table`; a failure is kept in fixture->error. */
enum cellar_status model_fixture_mutate(struct model_fixture *fixture, const char *table,
                                        struct cellar_slice row,
                                        const struct cellar_mutation *mutations, size_t count);

/** As above for a row of `t` named by text, which must succeed. */
void model_fixture_put(struct model_fixture *fixture, const char *row,
                       const struct cellar_mutation *mutations, size_t count);

/** One set, which must succeed. */
void model_fixture_set(struct model_fixture *fixture, const char *row, const char *column,
                       int64_t timestamp_us, const char *value);

/** Reads; a failure is kept in fixture->error, rows in fixture->answer. */
enum cellar_status model_fixture_read(struct model_fixture *fixture, const char *table,
                                      const struct model_read *read);

/** Reads and compares with the text above; the test fails when they differ. */
void model_fixture_expect(struct model_fixture *fixture, const char *table,
                          const struct model_read *read, const char *text);

/** All rows of `t`. */
void model_fixture_expect_all(struct model_fixture *fixture, const char *text);

/** The last failure was this code and its text holds `part`. */
void model_fixture_expect_error(const struct model_fixture *fixture, enum cellar_status status,
                                enum cellar_status code, const char *part);

/** The last failure was this code with exactly this text. */
void model_fixture_expect_exact(const struct model_fixture *fixture, enum cellar_status status,
                                enum cellar_status code, const char *text);

#endif
