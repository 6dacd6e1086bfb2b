#ifndef CELLAR_TESTS_FAKE_PLACES_H
#define CELLAR_TESTS_FAKE_PLACES_H

#include "tests/unit/client/lib/fake_peer.h"

/*
 * Peers that answer for some rows and send others on with MOVED; a row is a letter. Include
 * fake_places.c at the end of the test.
 */

#define TEXT(text) cellar_text(text)

/** A server that serves all rows but those from `start` to before `end`, an empty end being the
 * table's. */
struct server {
    struct fake_peer peer;
    char target[64]; /* where those are; empty = nowhere else */
    const char *start;
    const char *end;
    unsigned request_count;
    unsigned moved_count;
    unsigned lose_count; /* so many requests are not answered, but their connections closed */
    unsigned moved_max;  /* after so many it serves every row; 0 = without end */
    const struct server *friends[2]; /* NULL, or it sends requests on to them by chance, now and */
    struct test_random random;       /* then loses one, and breaks reads off after some rows */
    const char *stock;               /* the rows that reads find, a letter each, in order */
    uint64_t rows_max; /* of one read that is sent on afterwards; 0: by `start` and `end` */
    char rows[64];     /* the rows it served */
};

/** Starts a server that serves every row and has none in stock. */
void server_start(struct server *server);

/** From here on a server sends rows on to another. */
void send_on(struct server *server, const struct server *to, const char *start, const char *end);

/** Writes one row, which is the same when applied twice, with a call that blocks. */
enum cellar_code row_write(struct cellar_client *client, const char *row, struct cellar_call *call);

#endif
