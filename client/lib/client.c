/*
 * The client handle: options checked and filled in, the pool, and the translation of errors.
 *
 * Inside the library failures are `struct cellar_error` and `enum cellar_status` of common; users
 * see `struct cellar_failure` and `enum cellar_code`, whose numbers are the same (asserted below).
 * The translation happens once, in cellar_client_finish(), at the end of each public function.
 *
 * Options are fixed when the client is opened; the pool and the jitter's random numbers have locks
 * of their own. The handle is freed by cellar_client_close(), when nobody uses it any more; what
 * was submitted and has no outcome gets one there.
 */

#include "client/lib/client.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/retry.h"
#include "common/clock.h"
#include "common/mem.h"

#define ENDPOINT_DEFAULT "127.0.0.1:8086"
#define INSTANCE_DEFAULT "default/default"
#define TIMEOUT_US_DEFAULT INT64_C(10000000)
#define CONNECTIONS_DEFAULT 16u
#define CONNECT_ATTEMPTS_DEFAULT 3u
#define ATTEMPTS_DEFAULT 100u
#define SUBMIT_CONNECTIONS_DEFAULT 2u
#define SUBMIT_CALLS_DEFAULT 16384u
#define SUBMIT_CALLS_MAX 1048576u
#define SUBMIT_BYTES_DEFAULT UINT64_C(67108864)

static_assert((int)CELLAR_E_OK == (int)CELLAR_OK &&
                  (int)CELLAR_E_INVALID_ARGUMENT == (int)CELLAR_INVALID_ARGUMENT &&
                  (int)CELLAR_E_NOT_FOUND == (int)CELLAR_NOT_FOUND &&
                  (int)CELLAR_E_ALREADY_EXISTS == (int)CELLAR_ALREADY_EXISTS &&
                  (int)CELLAR_E_FAILED_PRECONDITION == (int)CELLAR_FAILED_PRECONDITION &&
                  (int)CELLAR_E_ABORTED == (int)CELLAR_ABORTED &&
                  (int)CELLAR_E_UNAVAILABLE == (int)CELLAR_UNAVAILABLE &&
                  (int)CELLAR_E_RESOURCE_EXHAUSTED == (int)CELLAR_RESOURCE_EXHAUSTED &&
                  (int)CELLAR_E_DEADLINE_EXCEEDED == (int)CELLAR_DEADLINE_EXCEEDED &&
                  (int)CELLAR_E_OUTCOME_UNKNOWN == (int)CELLAR_OUTCOME_UNKNOWN &&
                  (int)CELLAR_E_PERMISSION_DENIED == (int)CELLAR_PERMISSION_DENIED &&
                  (int)CELLAR_E_UNAUTHENTICATED == (int)CELLAR_UNAUTHENTICATED &&
                  (int)CELLAR_E_DATA_LOSS == (int)CELLAR_DATA_LOSS &&
                  (int)CELLAR_E_UNIMPLEMENTED == (int)CELLAR_UNIMPLEMENTED &&
                  (int)CELLAR_E_CANCELLED == (int)CELLAR_CANCELLED &&
                  (int)CELLAR_E_IO_ERROR == (int)CELLAR_IO_ERROR &&
                  (int)CELLAR_E_NO_MEMORY == (int)CELLAR_NO_MEMORY && CELLAR_STATUS_COUNT == 17,
              "public codes have the protocol's numbers");
static_assert(CELLAR_FAILURE_TEXT_BYTES >= CELLAR_ERROR_TEXT_BYTES_MAX, "no text is cut");

const char *cellar_code_text(enum cellar_code code)
{
    unsigned int number = (unsigned int)code;
    static_assert(CELLAR_E_NO_MEMORY == CELLAR_STATUS_COUNT - 1,
                  "the last code is the last status");
    return number < CELLAR_STATUS_COUNT ? cellar_status_text((enum cellar_status)number)
                                        : "UNKNOWN";
}

void cellar_failure_fill(struct cellar_failure *failure, const struct cellar_error *error,
                         const char *where)
{
    CELLAR_ASSERT((unsigned int)error->code < CELLAR_STATUS_COUNT);
    memset(failure, 0, sizeof *failure);
    if (error->code == CELLAR_OK) {
        return;
    }
    failure->code = (enum cellar_code)error->code;
    failure->is_retryable = cellar_status_is_retryable(error->code);
    failure->retry_delay_ms = error->retry_delay_ms;
    (void)snprintf(failure->text, sizeof failure->text, "%s", error->text);
    (void)snprintf(failure->where, sizeof failure->where, "%s", where);
}

enum cellar_code cellar_client_finish(const struct cellar_client *client, const char *operation,
                                      struct cellar_call *call, const struct cellar_error *error)
{
    char where[CELLAR_FAILURE_WHERE_BYTES];
    CELLAR_ASSERT(operation != NULL);
    if (call != NULL) {
        (void)snprintf(where, sizeof where, "%.32s%s%s", operation, client == NULL ? "" : " at ",
                       client == NULL ? "" : client->endpoint);
        cellar_failure_fill(&call->failure, error, where);
    }
    return (enum cellar_code)error->code;
}

/* An option's number: 0 is the default, otherwise 1 to `most`. */
static enum cellar_status number_option(const char *name, uint32_t seen, uint32_t most,
                                        uint32_t fallback, struct cellar_error *error,
                                        uint32_t *value)
{
    CELLAR_ASSERT(fallback >= 1 && fallback <= most);
    if (seen > most) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option %s must be 1 to %u, or 0 for %u, but got %u", name, most,
                                fallback, seen);
    }
    *value = seen == 0 ? fallback : seen;
    return CELLAR_OK;
}

/* Checks the texts among the options and copies them. */
static enum cellar_status text_options(const struct cellar_options *options,
                                       struct cellar_client *client, struct cellar_address *address,
                                       struct cellar_error *error)
{
    const char *endpoint = options->endpoint == NULL ? ENDPOINT_DEFAULT : options->endpoint;
    const char *instance = options->instance == NULL ? "" : options->instance;
    struct cellar_table_name name;
    CELLAR_TRY(cellar_address_decode(endpoint, address, error));
    CELLAR_ASSERT(strlen(endpoint) < sizeof client->endpoint);
    (void)snprintf(client->endpoint, sizeof client->endpoint, "%s", endpoint);
    CELLAR_TRY(cellar_instance_name_decode(cellar_slice_text(instance), &name, error));
    (void)snprintf(client->instance, sizeof client->instance, "%.*s/%.*s", (int)name.project.bytes,
                   (const char *)name.project.data, (int)name.instance.bytes,
                   (const char *)name.instance.data);
    return CELLAR_OK;
}

/* Fills a zeroed client from options: what is checked first is what people mistype most. */
static enum cellar_status client_init(const struct cellar_options *options,
                                      struct cellar_client *client, struct cellar_error *error)
{
    struct cellar_address address = {.port = ""};
    uint32_t connections_max = 0;
    CELLAR_ASSERT(client->timeout_us == 0);
    CELLAR_TRY(text_options(options, client, &address, error));
    CELLAR_TRY(number_option("connections_max", options->connections_max,
                             CELLAR_POOL_CONNECTIONS_MAX, CONNECTIONS_DEFAULT, error,
                             &connections_max));
    CELLAR_TRY(number_option("connect_attempts_max", options->connect_attempts_max, UINT32_MAX,
                             CONNECT_ATTEMPTS_DEFAULT, error, &client->connect_attempts_max));
    CELLAR_TRY(number_option("attempts_max", options->attempts_max, UINT32_MAX, ATTEMPTS_DEFAULT,
                             error, &client->attempts_max));
    CELLAR_TRY(number_option("submit_connections_max", options->submit_connections_max,
                             CELLAR_SUBMIT_CONNECTIONS_MAX, SUBMIT_CONNECTIONS_DEFAULT, error,
                             &client->submit_connections_max));
    CELLAR_TRY(number_option("submit_calls_max", options->submit_calls_max, SUBMIT_CALLS_MAX,
                             SUBMIT_CALLS_DEFAULT, error, &client->submit_calls_max));
    client->submit_bytes_max =
        options->submit_bytes_max == 0 ? SUBMIT_BYTES_DEFAULT : options->submit_bytes_max;
    if (options->timeout_us < 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option timeout_us must be >= 0, but got %lld",
                                (long long)options->timeout_us);
    }
    if (options->interrupt_fd < 0) {
        return cellar_error_set(
            error, CELLAR_INVALID_ARGUMENT,
            "Option interrupt_fd must be a descriptor, or 0 for none, but got %d",
            options->interrupt_fd);
    }
    address.interrupt_fd = options->interrupt_fd;
    client->timeout_us = options->timeout_us == 0 ? TIMEOUT_US_DEFAULT : options->timeout_us;
    if (cellar_pool_init(&client->pool, &address, connections_max) != CELLAR_OK) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a client");
    }
    if (cellar_places_init(&client->places, &client->pool) != CELLAR_OK) {
        cellar_pool_fini(&client->pool);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a client");
    }
    return CELLAR_OK;
}

enum cellar_code cellar_client_open(const struct cellar_options *options, struct cellar_call *call,
                                    struct cellar_client **client) CELLAR_NO_THREAD_SAFETY
{
    static const struct cellar_options defaults = {0};
    struct cellar_error error;
    cellar_error_clear(&error);
    CELLAR_ASSERT(client != NULL);
    struct cellar_client *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        (void)cellar_error_set(&error, CELLAR_NO_MEMORY, "No memory for a client");
        return cellar_client_finish(NULL, "open", call, &error);
    }
    if (client_init(options == NULL ? &defaults : options, made, &error) != CELLAR_OK) {
        cellar_mem_free(made);
        return cellar_client_finish(NULL, "open", call, &error);
    }
    cellar_mutex_init(&made->async_lock);
    cellar_mutex_init(&made->random_lock);
    /* Good enough to keep clients apart that fail together; nothing here is a secret. */
    made->random_state = (uint64_t)cellar_clock_real_us() ^ (uint64_t)(uintptr_t)made;
    *client = made;
    return cellar_client_finish(made, "open", call, &error);
}

/* Not checked: no other thread uses the client any more. */
void cellar_client_close(struct cellar_client *client) CELLAR_NO_THREAD_SAFETY
{
    if (client == NULL) {
        return;
    }
    CELLAR_ASSERT(client->timeout_us > 0);
    if (client->async != NULL) {
        client->async_close(client->async);
    }
    cellar_places_fini(&client->places);
    cellar_pool_fini(&client->pool);
    cellar_mutex_fini(&client->async_lock);
    cellar_mutex_fini(&client->random_lock);
    cellar_mem_free(client);
}

uint64_t cellar_client_random(struct cellar_client *client)
{
    CELLAR_ASSERT(client != NULL);
    cellar_mutex_lock(&client->random_lock);
    uint64_t bits = cellar_random_next(&client->random_state);
    cellar_mutex_unlock(&client->random_lock);
    return bits;
}

enum cellar_status cellar_client_table_name(const struct cellar_client *client, const char *table,
                                            char name[CELLAR_TABLE_NAME_BYTES_MAX],
                                            struct cellar_error *error)
{
    CELLAR_ASSERT(table != NULL);
    bool is_bare = strchr(table, '/') == NULL;
    int length = snprintf(name, CELLAR_TABLE_NAME_BYTES_MAX, "%s%s%s",
                          is_bare ? client->instance : "", is_bare ? "/" : "", table);
    if (length < 0 || (size_t)length >= CELLAR_TABLE_NAME_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A table's name must have at most %u bytes, but got %zu",
                                CELLAR_TABLE_NAME_BYTES_MAX - 1, strlen(table));
    }
    return CELLAR_OK;
}
