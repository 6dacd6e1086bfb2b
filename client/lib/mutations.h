#ifndef CELLAR_CLIENT_MUTATIONS_H
#define CELLAR_CLIENT_MUTATIONS_H

#include <cellar/cellar.h>

#include "client/lib/token.h"
#include "common/message.h"
#include "common/mutation.h"

/* The list behind `struct cellar_mutations`. */

struct cellar_mutations {
    struct cellar_buffer body; /* the encoded mutations, without the array's header */
    uint32_t count;
    bool is_idempotent;        /* only sets, each at an explicit time */
    bool has_others;           /* something else than sets */
    struct cellar_error error; /* the first failure; CELLAR_OK when there was none */
};

/** Appends the list as MessagePack, header and mutations; CELLAR_NO_MEMORY. */
enum cellar_status cellar_mutations_encode(const struct cellar_mutations *list,
                                           struct cellar_buffer *to) CELLAR_MUST_USE;

/**
 * As cellar_mutations_encode(), with an explicit time in the place of the server's.
 *
 * @param time_us  >= 0
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_mutations_encode_at(const struct cellar_mutations *list, int64_t time_us,
                                              struct cellar_buffer *to) CELLAR_MUST_USE;

/** The failure a list carries: its own, or CELLAR_NO_MEMORY for NULL. */
enum cellar_status cellar_mutations_error(const struct cellar_mutations *list,
                                          struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Makes a request of the list as safe to send again as can be: with a token, unless it needs none.
 *
 * @param token   receives the token, which the message borrows
 * @param fields  receives where the message has it; untouched without one
 * @return what sending it twice may do
 */
enum cellar_safety cellar_mutations_protect(const struct cellar_mutations *list,
                                            struct cellar_client *client,
                                            struct cellar_msg_mutate_row_request *message,
                                            uint8_t token[CELLAR_TOKEN_BYTES],
                                            struct cellar_token_fields *fields);

/*
 * The public header's borrowed bytes and common's are the same thing under two names, since neither
 * may include the other.
 */

/** A view as a slice. */
static inline struct cellar_slice cellar_view_slice(struct cellar_view view)
{
    return cellar_slice_make(view.data, view.bytes);
}

/** A slice as a view. */
static inline struct cellar_view cellar_slice_view(struct cellar_slice slice)
{
    return cellar_view_of(slice.data, slice.bytes);
}

#endif
