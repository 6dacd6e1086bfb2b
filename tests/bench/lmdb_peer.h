#ifndef CELLAR_TESTS_BENCH_LMDB_PEER_H
#define CELLAR_TESTS_BENCH_LMDB_PEER_H

#include "client/tools/bench_loop.h"

/* LMDB in this process, each put committed and synced: what durable writes cost without a log. */

struct lmdb_peer;

/** Opens an environment in an empty directory; free it with lmdb_peer_close(). */
enum cellar_status lmdb_peer_open(const char *directory, struct lmdb_peer **peer,
                                  struct cellar_error *error) CELLAR_MUST_USE;

/** Closes it; takes NULL. */
void lmdb_peer_close(struct lmdb_peer *peer);

/** Loads every cell of the records, an item each, in a few commits. */
enum cellar_status lmdb_peer_load(struct lmdb_peer *peer, const struct cellar_bench_sizes *sizes,
                                  struct cellar_bench_result *result, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Puts random cells, each in a commit of its own, one after the other, for the measured time. */
enum cellar_status lmdb_peer_put(struct lmdb_peer *peer, const struct cellar_bench_terms *terms,
                                 struct cellar_bench_result *result, struct cellar_error *error)
    CELLAR_MUST_USE;

#endif
