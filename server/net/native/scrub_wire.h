#ifndef CELLAR_NET_NATIVE_SCRUB_WIRE_H
#define CELLAR_NET_NATIVE_SCRUB_WIRE_H

#include "server/service/service.h"

/* A scrub's status between the service and the native protocol: PROTOCOL.md, "Scrubs". */

/** Appends SCRUB's reply. NO_MEMORY. */
enum cellar_status net_scrub_encode(const struct svc_scrub_status *status, struct cellar_buffer *to,
                                    struct cellar_error *error) CELLAR_MUST_USE;

#endif
