#ifndef CELLAR_TESTS_SUPPORT_STORE_FIXTURE_H
#define CELLAR_TESTS_SUPPORT_STORE_FIXTURE_H

#include "common/key.h"
#include "server/storage/env.h"
#include "server/storage/record.h"
#include "tests/support/support.h"

/*
 * What the tests of records, memtables, environments and stores share.
 */

/** Short ways to write an item; texts become slices. */
struct store_item test_set(const char *family, const char *qualifier, int64_t timestamp_us,
                           const char *value);
struct store_item test_delete_row(void);
struct store_item test_delete_family(const char *family);
struct store_item test_delete_column(const char *family, const char *qualifier, int64_t start_us,
                                     int64_t end_us);

/** Appends a whole mutation to `to`; the test fails without memory. */
void test_mutation_put(struct cellar_buffer *to, struct cellar_slice row, int64_t server_time_us,
                       const struct store_item *items, size_t count);

/** Sets `to` to the position of a row, of a family in it, of a column, of a cell: parts behind a
 * NULL family or qualifier, or a timestamp below 0, are left out. */
void test_position_make(struct cellar_buffer *to, struct cellar_slice row, const char *family,
                        const struct cellar_slice *qualifier, int64_t timestamp_us);

/** A row key that tests like: 1..`bytes_max` bytes, mostly short, often of 00, 01 and FF, often
 * like others before it. @return its bytes */
size_t test_random_key(struct test_random *random, uint8_t *to, size_t bytes_max);

#define TEST_MAP_BYTES (UINT64_C(64) << 20)

/** Makes an environment of store 7, generation 3, in a new folder below `parent` and opens it. */
struct store_env *test_env_make(const char *parent, uint64_t map_bytes);

/** One write transaction with one put. */
enum cellar_status test_env_put(struct store_env *env, struct cellar_slice key,
                                struct cellar_slice value);

/** Looks up one key with a cursor. @return NOT_FOUND, DATA_LOSS ...; `value` is copied into `to` */
enum cellar_status test_env_get(struct store_env *env, struct cellar_slice key,
                                struct cellar_buffer *to);

/** Walks all items in a read transaction: their count, the sum of their checksums, and whether both
 * are what the state says. */
enum cellar_status test_env_walk(struct store_env *env, uint64_t *item_count, bool *is_exact);

#endif
