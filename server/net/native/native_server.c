/*
 * The operations that speak of the server itself.
 *
 * HELLO opens a session. The client names the range of protocol versions that it speaks; this
 * server speaks one, and a range without it ends the connection, since nothing that follows could
 * be understood. Features are names; none exists yet, so the answer's list is empty whatever the
 * client offers. Authentication is a reserved field: a client that sends it expects it to count, so
 * it is refused, not ignored.
 *
 * PING and SERVER_INFO look at counters only and answer on the loop. PROTOCOL.md, section 3.
 */
#include "server/net/native/native_server.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"

#define FIELD_AUTHENTICATION 5u

/* Names that this server does not know are no mistake; anything but names is. */
static enum cellar_status check_features(struct cellar_slice features, struct cellar_error *error)
{
    struct cellar_cursor from = cellar_cursor_make(features);
    struct cellar_slice name;
    uint32_t count = 0;
    if (features.bytes == 0) {
        return CELLAR_OK;
    }
    bool is_right = cellar_wire_get_array(&from, &count);
    for (uint32_t i = 0; is_right && i < count; i++) {
        is_right = cellar_wire_get_text(&from, &name);
    }
    if (!is_right) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "hello_request: field 4 (features) must be an array of text");
    }
    CELLAR_ASSERT(from.at <= from.end);
    return CELLAR_OK;
}

/* Everything that can be wrong with a HELLO. */
static enum cellar_status check_hello(const struct net_request *request, struct cellar_error *error)
{
    struct cellar_msg_hello_request hello;
    CELLAR_TRY(cellar_message_decode(&cellar_msg_hello_request_type, request->body, &hello,
                                     CELLAR_UNKNOWN_REFUSE, error));
    if ((hello.present & (1u << FIELD_AUTHENTICATION)) != 0) {
        return cellar_error_set(error, CELLAR_UNIMPLEMENTED,
                                "hello_request: this server has no authentication (field %u)",
                                FIELD_AUTHENTICATION);
    }
    if (hello.version_min > hello.version_max) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "hello_request: version_min %" PRIu64
                                " is above version_max %" PRIu64,
                                hello.version_min, hello.version_max);
    }
    if (hello.version_min > NET_VERSION || hello.version_max < NET_VERSION) {
        return cellar_error_set(error, CELLAR_UNIMPLEMENTED,
                                "This server speaks version %u of the protocol, the client "
                                "%" PRIu64 " to %" PRIu64,
                                NET_VERSION, hello.version_min, hello.version_max);
    }
    CELLAR_ASSERT(hello.version_max >= 1);
    return check_features(hello.features, error);
}

void net_server_hello(struct net_session *session, const struct net_request *request)
{
    static const uint8_t no_features = 0x90;
    const struct net_context *context = net_session_context(session);
    struct cellar_error error;
    if (check_hello(request, &error) != CELLAR_OK) {
        net_session_fail(session, request->id, request->operation, &error);
        return;
    }
    if (!net_session_open(session)) {
        (void)cellar_error_set(&error, CELLAR_FAILED_PRECONDITION,
                               "HELLO was answered on this connection before");
        net_reply_error(session, request->id, request->operation, &error);
        return;
    }
    char server[64];
    int length = snprintf(server, sizeof server, "cellard %s", context->version);
    CELLAR_ASSERT(length > 0 && (size_t)length < sizeof server);
    struct cellar_msg_hello_reply reply = {
        .version = NET_VERSION,
        .server = cellar_slice_text(server),
        .features = cellar_slice_make(&no_features, 1),
        .frame_bytes_max = CELLAR_FRAME_PAYLOAD_BYTES_MAX,
        .request_bytes_max = context->request_bytes_max,
        .requests_max = NET_REQUEST_COUNT_MAX,
    };
    net_reply_message(session, request, &cellar_msg_hello_reply_type, &reply);
}

/* Decodes a body that has no field but the time limit, which these operations cannot miss. False:
 * the error was answered. */
static bool decode_empty(struct net_session *session, const struct net_request *request)
{
    struct cellar_msg_empty empty;
    struct cellar_error error;
    CELLAR_ASSERT(request->id != 0);
    if (cellar_message_decode(&cellar_msg_empty_type, request->body, &empty, CELLAR_UNKNOWN_REFUSE,
                              &error) != CELLAR_OK) {
        net_reply_error(session, request->id, request->operation, &error);
        return false;
    }
    return true;
}

void net_server_ping(struct net_session *session, const struct net_request *request)
{
    CELLAR_ASSERT(request->operation == CELLAR_OP_PING);
    if (!decode_empty(session, request)) {
        return;
    }
    struct cellar_msg_ping_reply reply = {.is_ready =
                                              svc_is_ready(net_session_context(session)->svc)};
    net_reply_message(session, request, &cellar_msg_ping_reply_type, &reply);
}

/* Appends the array of [name, number]. */
static enum cellar_status put_figures(struct cellar_buffer *to, const struct svc_figure *figures,
                                      size_t count)
{
    CELLAR_ASSERT(count <= SVC_FIGURE_COUNT_MAX);
    CELLAR_TRY(cellar_wire_put_array(to, (uint32_t)count));
    for (size_t i = 0; i < count; i++) {
        CELLAR_TRY(cellar_wire_put_array(to, 2));
        CELLAR_TRY(cellar_wire_put_text(to, cellar_slice_text(figures[i].name)));
        CELLAR_TRY(cellar_wire_put_u64(to, figures[i].value));
    }
    return CELLAR_OK;
}

void net_server_info(struct net_session *session, const struct net_request *request)
{
    const struct net_context *context = net_session_context(session);
    struct cellar_buffer array = {0};
    struct svc_figure figures[SVC_FIGURE_COUNT_MAX];
    CELLAR_ASSERT(request->operation == CELLAR_OP_SERVER_INFO);
    if (!decode_empty(session, request)) {
        return;
    }
    size_t count = svc_figures(context->svc, figures);
    if (put_figures(&array, figures, count) != CELLAR_OK) {
        struct cellar_error error;
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for the figures");
        net_reply_error(session, request->id, request->operation, &error);
    } else {
        struct cellar_msg_server_info_reply reply = {
            .version = cellar_slice_text(context->version),
            .uptime_us = (uint64_t)(cellar_clock_monotonic_us() - context->started_us),
            .data_dir = cellar_slice_text(context->data_dir),
            .figures = cellar_slice_of(&array),
        };
        net_reply_message(session, request, &cellar_msg_server_info_reply_type, &reply);
    }
    cellar_buffer_fini(&array);
}
