#ifndef CELLAR_CLIENT_LOOKUP_H
#define CELLAR_CLIENT_LOOKUP_H

#include "client/lib/address.h"

/* A host's addresses without waiting for them. */

struct addrinfo;
struct cellar_lookup;

/** Told that a lookup is over; called on a thread of its own. */
typedef void cellar_lookup_wake(void *context);

/**
 * Starts to look a host up. A number is known at once; a name takes a thread that ends by itself.
 *
 * @param address  copied
 * @param wake     called once when the addresses of a name are there, unless it was given up before
 * @param lookup   receives the lookup; end it with cellar_lookup_free()
 * @return CELLAR_OK; CELLAR_NO_MEMORY; CELLAR_UNAVAILABLE when no thread can be made
 */
enum cellar_status cellar_lookup_start(const struct cellar_address *address,
                                       cellar_lookup_wake *wake, void *context,
                                       struct cellar_lookup **lookup) CELLAR_MUST_USE;

/**
 * Looks whether the addresses are there.
 *
 * @param list   receives them in the system's order once *is_done; they live as long as the lookup
 * @param error  may be NULL
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT for a name that does not exist; CELLAR_UNAVAILABLE
 */
enum cellar_status cellar_lookup_get(struct cellar_lookup *lookup, bool *is_done,
                                     const struct addrinfo **list, struct cellar_error *error)
    CELLAR_MUST_USE;

/** Frees a lookup, finished or not; takes NULL. `wake` is not called any more. */
void cellar_lookup_free(struct cellar_lookup *lookup);

#endif
