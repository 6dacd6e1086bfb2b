#ifndef CELLAR_TESTS_SUPPORT_STORE_FIXTURE_H
#define CELLAR_TESTS_SUPPORT_STORE_FIXTURE_H

#include "common/key.h"
#include "server/storage/env.h"
#include "server/storage/record.h"
#include "server/storage/store.h"
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

/** Puts a row of one cell, whose value is the row's key, or a token of that row. */
void test_row_put(struct store_env_txn *txn, struct cellar_slice row, bool is_token);

/** One write transaction with one put. */
enum cellar_status test_env_put(struct store_env *env, struct cellar_slice key,
                                struct cellar_slice value);

/** Looks up one key with a cursor. @return NOT_FOUND, DATA_LOSS ...; `value` is copied into `to` */
enum cellar_status test_env_get(struct store_env *env, struct cellar_slice key,
                                struct cellar_buffer *to);

/** Walks all items in a read transaction: their count, the sum of their checksums, and whether both
 * are what the state says. */
enum cellar_status test_env_walk(struct store_env *env, uint64_t *item_count, bool *is_exact);

/** A log and one store over it, in a folder of their own. */
struct test_rig {
    char directory[256];
    char env_path[300];
    char log_path[300];
    struct store_log *log;
    struct store *store;
};

void test_rig_begin(struct test_rig *rig, uint64_t map_bytes);
void test_rig_end(struct test_rig *rig);

/** Closes the store and opens it again, without what was in its memtables. */
void test_rig_reopen(struct test_rig *rig);

/** The LSN that the next write gets, unless the log writes an empty record first. */
uint64_t test_rig_next_lsn(struct test_rig *rig);

/** Appends a mutation's payload to the log and inserts it into the store; fails the test unless it
 * got the LSN. */
void test_rig_write(struct test_rig *rig, uint64_t lsn, struct cellar_slice payload);

/** The same for a mutation's or a range drop's payload. */
void test_rig_append(struct test_rig *rig, uint64_t lsn, enum store_record_type type,
                     struct cellar_slice payload);

/** Inserts a payload into the store only, as a replay does. */
void test_rig_replay(struct test_rig *rig, uint64_t lsn, enum store_record_type type,
                     struct cellar_slice payload);

/** Freezes the active memtable. @return whether there was something to freeze and nothing frozen */
bool test_rig_freeze(struct test_rig *rig);

/** Freezes and checkpoints. @return the first failure */
enum cellar_status test_rig_checkpoint(struct test_rig *rig);

#endif
