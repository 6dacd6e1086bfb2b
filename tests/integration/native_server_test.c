/*
 * A whole server in the process, spoken to over loopback: what is written is read, by other
 * connections and after a restart; several servers live side by side; many clients at once lose
 * nothing; a server that stops in the middle of traffic answers or closes, and keeps what it
 * acknowledged. The client here is a blocking socket and the frames of common.
 */
#include "tests/support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/frame.h"
#include "common/message.h"
#include "server/app/server.h"

#define WRITER_COUNT 6
#define WRITE_COUNT 150

/* ---- a server -------------------------------------------------------------------------------- */

struct instance {
    char folder[256];
    struct cellar_server *server;
};

static void start(struct instance *instance)
{
    struct cellar_error error;
    struct cellar_server_config config = {
        .listen = "127.0.0.1:0",
        .port_file = "",
        .loop_count = 2,
        .connection_count_max = 100,
        .request_bytes_max_total = 16u << 20,
        .answer_bytes_max_total = 16u << 20,
        .drain_us = 5000000,
        .log_level = CELLAR_LOG_WARN,
    };
    cellar_log_level_set(CELLAR_LOG_WARN);
    svc_options_init(&config.svc);
    config.svc.data_dir = instance->folder;
    config.svc.log_segment_bytes = 1u << 20;
    config.svc.store_map_bytes = 64u << 20;
    config.svc.checkpoint_records_max = 200;
    assert_int_equal(io_address_decode(config.listen, &config.address, &error), CELLAR_OK);
    enum cellar_status status = cellar_server_start(&config, &instance->server, &error);
    if (status != CELLAR_OK) {
        fail_msg("%s", error.text);
    }
}

static void create(struct instance *instance)
{
    test_temp_dir(instance->folder, sizeof instance->folder);
    start(instance);
}

static void stop(struct instance *instance)
{
    cellar_server_stop(instance->server);
    instance->server = NULL;
}

static void destroy(struct instance *instance)
{
    if (instance->server != NULL) {
        stop(instance);
    }
    test_remove_tree(instance->folder);
}

/* ---- a client; it asserts with CELLAR_ASSERT, since it also runs in threads ------------------ */

struct client {
    int fd;
    struct cellar_buffer body; /* of the answer received last */
};

static bool send_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int fd, uint8_t *to, size_t bytes)
{
    return bytes == 0 || recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

static bool client_send(struct client *client, uint32_t id, uint16_t operation,
                        const struct cellar_message_type *type, const void *message)
{
    struct cellar_buffer body = {0};
    struct cellar_buffer bytes = {0};
    struct cellar_frame frame = {
        .request_id = id, .operation = operation, .kind = CELLAR_FRAME_REQUEST};
    enum cellar_status status = cellar_message_encode(type, message, &body);
    CELLAR_ASSERT(status == CELLAR_OK);
    status = cellar_frame_append(&bytes, &frame, cellar_slice_of(&body));
    CELLAR_ASSERT(status == CELLAR_OK);
    bool is_sent = send_all(client->fd, bytes.data, bytes.bytes);
    cellar_buffer_fini(&body);
    cellar_buffer_fini(&bytes);
    return is_sent;
}

/* The next frame, its payload in client->body. False: the connection has ended. */
static bool client_receive(struct client *client, struct cellar_frame *frame)
{
    uint8_t header[CELLAR_FRAME_HEADER_BYTES];
    struct cellar_error error;
    if (!receive_all(client->fd, header, sizeof header)) {
        return false;
    }
    enum cellar_status status = cellar_frame_decode(header, frame, &error);
    CELLAR_ASSERT(status == CELLAR_OK);
    cellar_buffer_clear(&client->body);
    status = cellar_buffer_reserve(&client->body, frame->payload_bytes);
    CELLAR_ASSERT(status == CELLAR_OK);
    client->body.bytes = frame->payload_bytes;
    return receive_all(client->fd, client->body.data, frame->payload_bytes);
}

/* False: the server takes no connections any more. */
static bool client_try_open(struct client *client, const struct io_address *address)
{
    struct cellar_msg_hello_request hello = {.version_min = 1, .version_max = 1};
    struct cellar_frame frame;
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return connect(client->fd, (const struct sockaddr *)&address->native, address->native_bytes) ==
               0 &&
           send_all(client->fd, cellar_preface, CELLAR_PREFACE_BYTES) &&
           client_send(client, 1, CELLAR_OP_HELLO, &cellar_msg_hello_request_type, &hello) &&
           client_receive(client, &frame) && frame.kind == CELLAR_FRAME_REPLY;
}

static void client_open(struct client *client, const struct cellar_server *server)
{
    bool is_open = client_try_open(client, cellar_server_address(server));
    CELLAR_ASSERT(is_open);
}

static void client_close(struct client *client)
{
    (void)close(client->fd);
    cellar_buffer_fini(&client->body);
}

static void client_create_table(struct client *client)
{
    struct cellar_msg_create_table_request message = {.table = cellar_slice_text("t"),
                                                      .families = cellar_slice_text("\x91\x92\xa1"
                                                                                    "f\xc0")};
    struct cellar_frame frame;
    bool is_good = client_send(client, 2, CELLAR_OP_CREATE_TABLE,
                               &cellar_msg_create_table_request_type, &message) &&
                   client_receive(client, &frame);
    CELLAR_ASSERT(is_good && frame.kind == CELLAR_FRAME_REPLY);
}

static bool client_send_write(struct client *client, uint32_t id, const char *row)
{
    struct cellar_msg_mutate_row_request message = {
        .table = cellar_slice_text("t"),
        .row = cellar_slice_text(row),
        .mutations = cellar_slice_make("\x91\x95\x00\xa1"
                                       "f\xc4\x01q\x00\xc4\x01v",
                                       12),
    };
    return client_send(client, id, CELLAR_OP_MUTATE_ROW, &cellar_msg_mutate_row_request_type,
                       &message);
}

/* How many rows the table has. */
static size_t client_count_rows(struct client *client)
{
    struct cellar_msg_read_rows_request message = {
        .table = cellar_slice_text("t"), .keys_only = true, .credit_bytes = 1u << 30};
    struct cellar_msg_read_rows_reply reply;
    struct cellar_frame frame = {.kind = CELLAR_FRAME_PART};
    size_t total = 0;
    bool is_good =
        client_send(client, 3, CELLAR_OP_READ_ROWS, &cellar_msg_read_rows_request_type, &message);
    while (is_good && frame.kind == CELLAR_FRAME_PART) {
        uint32_t count = 0;
        is_good =
            client_receive(client, &frame) && frame.kind != CELLAR_FRAME_ERROR &&
            cellar_message_decode(&cellar_msg_read_rows_reply_type, cellar_slice_of(&client->body),
                                  &reply, CELLAR_UNKNOWN_SKIP, NULL) == CELLAR_OK;
        struct cellar_cursor from = cellar_cursor_make(reply.rows);
        is_good = is_good && cellar_wire_get_array(&from, &count);
        total += count;
    }
    CELLAR_ASSERT(is_good);
    return total;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void server_keeps_what_it_acknowledged_over_a_restart(void **state)
{
    (void)state;
    struct instance instance;
    struct client client;
    struct cellar_frame frame;
    create(&instance);
    client_open(&client, instance.server);
    client_create_table(&client);
    for (uint32_t i = 0; i < 500; i++) {
        char row[32];
        (void)snprintf(row, sizeof row, "row%05u", i);
        assert_true(client_send_write(&client, 10 + i, row));
    }
    for (uint32_t i = 0; i < 500; i++) {
        assert_true(client_receive(&client, &frame));
        assert_int_equal(frame.kind, CELLAR_FRAME_REPLY);
    }
    assert_int_equal(client_count_rows(&client), 500);
    client_close(&client);
    for (int i = 0; i < 2; i++) {
        stop(&instance);
        start(&instance);
        client_open(&client, instance.server);
        assert_int_equal(client_count_rows(&client), 500);
        client_close(&client);
    }
    destroy(&instance);
}

static void servers_live_side_by_side(void **state)
{
    (void)state;
    struct instance instances[2];
    struct client clients[2];
    struct cellar_frame frame;
    for (size_t i = 0; i < 2; i++) {
        create(&instances[i]);
        client_open(&clients[i], instances[i].server);
        client_create_table(&clients[i]);
    }
    assert_true(client_send_write(&clients[0], 10, "only in the first"));
    assert_true(client_receive(&clients[0], &frame));
    assert_int_equal(client_count_rows(&clients[0]), 1);
    assert_int_equal(client_count_rows(&clients[1]), 0);
    for (size_t i = 0; i < 2; i++) {
        client_close(&clients[i]);
        destroy(&instances[i]);
    }
}

static void server_that_cannot_start_says_why_and_leaves_nothing(void **state)
{
    (void)state;
    struct instance instance;
    struct cellar_error error;
    struct cellar_server *second = NULL;
    create(&instance);
    struct cellar_server_config config = {
        .listen = "taken",
        .port_file = "",
        .loop_count = 1,
        .connection_count_max = 1,
        .request_bytes_max_total = 16u << 20,
        .answer_bytes_max_total = 16u << 20,
        .drain_us = 5000000,
        .address = *cellar_server_address(instance.server),
    };
    svc_options_init(&config.svc);
    config.svc.data_dir = "/no/such/folder";
    assert_int_equal(cellar_server_start(&config, &second, &error), CELLAR_IO_ERROR);
    assert_non_null(strstr(error.text, "--listen"));
    assert_int_equal(io_address_decode("127.0.0.1:0", &config.address, &error), CELLAR_OK);
    config.svc.data_dir = instance.folder; /* in use */
    assert_int_not_equal(cellar_server_start(&config, &second, &error), CELLAR_OK);
    assert_null(second);
    destroy(&instance);
}

struct writer {
    pthread_t thread;
    struct io_address address; /* a thread may begin when the server is gone */
    uint32_t number;
    uint32_t answered;
    bool may_be_cut_off;
};

/* Writes one row after the other until all are answered or the connection ends. */
static void *write_rows(void *context)
{
    struct writer *writer = context;
    struct client client;
    struct cellar_frame frame = {.kind = CELLAR_FRAME_REPLY};
    bool is_connected = client_try_open(&client, &writer->address);
    for (uint32_t i = 0; i < WRITE_COUNT && is_connected; i++) {
        char row[32];
        (void)snprintf(row, sizeof row, "w%u-%05u", writer->number, i);
        is_connected = client_send_write(&client, 10 + i, row) && client_receive(&client, &frame);
        is_connected = is_connected && frame.kind == CELLAR_FRAME_REPLY;
        writer->answered += is_connected ? 1 : 0;
    }
    CELLAR_ASSERT(is_connected || writer->may_be_cut_off);
    client_close(&client);
    return NULL;
}

static void start_writers(struct writer *writers, const struct cellar_server *server,
                          bool may_be_cut_off)
{
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        writers[i] = (struct writer){.address = *cellar_server_address(server),
                                     .number = i,
                                     .may_be_cut_off = may_be_cut_off};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_rows, &writers[i]), 0);
    }
}

static size_t join_writers(struct writer *writers)
{
    size_t answered = 0;
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        answered += writers[i].answered;
    }
    return answered;
}

static void server_serves_many_clients_at_once(void **state)
{
    (void)state;
    struct instance instance;
    struct client client;
    struct writer writers[WRITER_COUNT];
    create(&instance);
    client_open(&client, instance.server);
    client_create_table(&client);
    start_writers(writers, instance.server, false);
    for (int i = 0; i < 10; i++) {
        (void)client_count_rows(&client);
    }
    assert_int_equal(join_writers(writers), WRITER_COUNT * WRITE_COUNT);
    assert_int_equal(client_count_rows(&client), WRITER_COUNT * WRITE_COUNT);
    client_close(&client);
    destroy(&instance);
}

static void server_stops_in_the_middle_of_traffic_and_keeps_its_word(void **state)
{
    (void)state;
    struct instance instance;
    struct client client;
    struct writer writers[WRITER_COUNT];
    create(&instance);
    client_open(&client, instance.server);
    client_create_table(&client);
    start_writers(writers, instance.server, true);
    (void)client_count_rows(&client); /* some time passes */
    stop(&instance);
    client_close(&client);
    size_t answered = join_writers(writers);
    start(&instance);
    client_open(&client, instance.server);
    assert_true(client_count_rows(&client) >= answered);
    client_close(&client);
    destroy(&instance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_keeps_what_it_acknowledged_over_a_restart),
        cmocka_unit_test(servers_live_side_by_side),
        cmocka_unit_test(server_that_cannot_start_says_why_and_leaves_nothing),
        cmocka_unit_test(server_serves_many_clients_at_once),
        cmocka_unit_test(server_stops_in_the_middle_of_traffic_and_keeps_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
