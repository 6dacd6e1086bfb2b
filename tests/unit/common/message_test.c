/*
 * message: bodies of every type through the one encoder and decoder. The tables are checked for
 * what the code relies on, each type goes through with random values, and refusals name message and
 * field.
 */
#include <string.h>

#include "common/mem.h"
#include "common/message.h"
#include "tests/support/support.h"

#define BYTES(text) cellar_slice_make(text, sizeof(text) - 1)
#define STRUCT_BYTES_MAX 512
#define ROUNDS 200

static const struct cellar_message_type *const types[] = {
#define TYPE(NAME, name) &cellar_msg_##name##_type,
    CELLAR_MESSAGE_LIST(TYPE)
#undef TYPE
};

/* Room for a message of any type. */
union any {
    struct cellar_msg_error error;
    struct cellar_msg_read_rows_request read_rows;
    uint32_t present;
    uint8_t bytes[STRUCT_BYTES_MAX];
};

static void tables_are_in_ascending_order_and_inside_their_structures(void **state)
{
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(types); index++) {
        const struct cellar_message_type *type = types[index];
        size_t offset_min = sizeof(uint32_t);
        unsigned number_min = 1;
        assert_true(type->struct_bytes <= STRUCT_BYTES_MAX);
        assert_true(type->field_count >= 1);
        for (uint32_t field = 0; field < type->field_count; field++) {
            assert_in_range(type->fields[field].number, number_min, 31);
            assert_in_range(type->fields[field].offset, offset_min, type->struct_bytes - 1);
            number_min = type->fields[field].number + 1u;
            offset_min = type->fields[field].offset + 1u;
        }
    }
}

static void the_table_of_a_message_is_its_list(void **state)
{
    (void)state;
    const struct cellar_message_type *type = &cellar_msg_list_tables_request_type;
    assert_string_equal(type->name, "list_tables_request");
    assert_int_equal(type->field_count, 4);
    assert_string_equal(type->fields[2].name, "page_token");
    assert_int_equal(type->fields[2].number, 3);
    assert_int_equal(type->fields[2].kind, CELLAR_FIELD_BYTES);
    assert_int_equal(type->fields[2].offset,
                     offsetof(struct cellar_msg_list_tables_request, page_token));
    assert_int_equal(type->fields[3].number, 15);
}

/* A slice of random length inside `pool`; RAW ones are whole values. */
static struct cellar_slice random_slice(struct test_random *random, uint8_t kind)
{
    static const char pool[64] = "some bytes that a message carries";
    static const char raw[] = "\x92\x01\x81\xa1x\xc0";
    return kind == CELLAR_FIELD_RAW ? BYTES(raw)
                                    : cellar_slice_make(pool, test_random_below(random, 64));
}

static void random_field(struct test_random *random, const struct cellar_message_field *field,
                         union any *message)
{
    void *at = message->bytes + field->offset;
    message->present |= UINT32_C(1) << field->number;
    if (field->kind == CELLAR_FIELD_BOOL) {
        *(bool *)at = test_random_below(random, 2) == 0;
    } else if (field->kind == CELLAR_FIELD_U64 || field->kind == CELLAR_FIELD_I64) {
        *(uint64_t *)at = test_random_next(random) >> test_random_below(random, 64);
    } else {
        *(struct cellar_slice *)at = random_slice(random, field->kind);
    }
}

static void assert_same_field(const struct cellar_message_field *field, const union any *a,
                              const union any *b)
{
    const void *left = a->bytes + field->offset;
    const void *right = b->bytes + field->offset;
    assert_int_equal(a->present >> field->number & 1u, b->present >> field->number & 1u);
    if (field->kind == CELLAR_FIELD_BOOL) {
        assert_int_equal(*(const bool *)left, *(const bool *)right);
    } else if (field->kind == CELLAR_FIELD_U64 || field->kind == CELLAR_FIELD_I64) {
        assert_memory_equal(left, right, sizeof(uint64_t));
    } else {
        assert_true(cellar_slice_equal(*(const struct cellar_slice *)left,
                                       *(const struct cellar_slice *)right));
    }
}

static void every_type_comes_back_unchanged(void **state)
{
    (void)state;
    struct test_random random = {test_seed("messages")};
    struct cellar_buffer body = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(types) * ROUNDS; index++) {
        const struct cellar_message_type *type = types[index % CELLAR_ARRAY_COUNT(types)];
        union any sent = {.bytes = {0}};
        union any got;
        memset(&got, 0xEE, sizeof got);
        for (uint32_t field = 0; field < type->field_count; field++) {
            if (test_random_below(&random, 3) != 0) {
                random_field(&random, &type->fields[field], &sent);
            }
        }
        cellar_buffer_clear(&body);
        assert_int_equal(cellar_message_encode(type, &sent, &body), CELLAR_OK);
        assert_int_equal(
            cellar_message_decode(type, cellar_slice_of(&body), &got, CELLAR_UNKNOWN_REFUSE, NULL),
            CELLAR_OK);
        assert_int_equal(got.present, sent.present);
        for (uint32_t field = 0; field < type->field_count; field++) {
            assert_same_field(&type->fields[field], &sent, &got);
        }
    }
    cellar_buffer_fini(&body);
}

static void absent_fields_are_zero(void **state)
{
    (void)state;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(types); index++) {
        static const union any zero;
        union any got;
        memset(&got, 0xEE, sizeof got);
        assert_int_equal(
            cellar_message_decode(types[index], BYTES("\x80"), &got, CELLAR_UNKNOWN_REFUSE, NULL),
            CELLAR_OK);
        assert_memory_equal(&got, &zero, types[index]->struct_bytes);
    }
}

static void fields_with_a_value_are_sent_without_being_marked(void **state)
{
    (void)state;
    struct cellar_buffer body = {0};
    struct cellar_msg_read_rows_request request = {
        .table = BYTES("t"), .rows_limit = -1, .keys_only = true, .credit_bytes = 300};
    assert_int_equal(cellar_message_encode(&cellar_msg_read_rows_request_type, &request, &body),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&body),
                                   BYTES("\x84\1\xa1t\4\xff\x09\xcd\x01\x2c\x0a\xc3")));
    cellar_buffer_fini(&body);
}

static void zero_fields_are_sent_when_marked(void **state)
{
    (void)state;
    struct cellar_buffer body = {0};
    struct cellar_msg_error error = {.present = 1u << 1 | 1u << 2};
    struct cellar_msg_ping_reply reply = {.present = 1u << 1};
    assert_int_equal(cellar_message_encode(&cellar_msg_error_type, &error, &body), CELLAR_OK);
    assert_int_equal(cellar_message_encode(&cellar_msg_ping_reply_type, &reply, &body), CELLAR_OK);
    assert_true(cellar_slice_equal(cellar_slice_of(&body), BYTES("\x82\1\0\2\xa0\x81\1\xc2")));
    cellar_buffer_fini(&body);
}

static void fields_are_taken_in_any_order_and_integer_form(void **state)
{
    (void)state;
    struct cellar_msg_error error;
    assert_int_equal(cellar_message_decode(&cellar_msg_error_type,
                                           BYTES("\xdf\0\0\0\2\xcd\0\3\xd0\7\xcc\2\xc4\2hi"),
                                           &error, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(error.present, 1u << 3 | 1u << 2);
    assert_int_equal(error.retry_delay_ms, 7);
    assert_true(cellar_slice_equal(error.text, BYTES("hi")));
}

static void a_raw_field_is_one_value_as_it_stands(void **state)
{
    (void)state;
    struct cellar_msg_mutate_row_request request;
    assert_int_equal(cellar_message_decode(&cellar_msg_mutate_row_request_type,
                                           BYTES("\x83\1\xa1t\3\x91\x91\3\2\xc4\1r"), &request,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(request.mutations, BYTES("\x91\x91\3")));
    assert_true(cellar_slice_equal(request.row, BYTES("r")));
}

static void changes_of_tables_carry_their_targets(void **state)
{
    (void)state;
    struct cellar_msg_modify_families_request change;
    struct cellar_msg_drop_rows_request drop;
    struct cellar_error error = {0};
    assert_int_equal(cellar_message_decode(&cellar_msg_modify_families_request_type,
                                           BYTES("\x82\1\xa1t\2\x91\x93\2\xa1"
                                                 "f\xc0"),
                                           &change, CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(change.changes, BYTES("\x91\x93\2\xa1"
                                                         "f\xc0")));
    assert_int_equal(cellar_message_decode(&cellar_msg_drop_rows_request_type,
                                           BYTES("\x84\1\xa1t\2\xc4\1p\3\xc3\x0f\7"), &drop,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_true(cellar_slice_equal(drop.prefix, BYTES("p")) && drop.all);
    assert_int_equal(drop.timeout_us, 7);
    assert_int_equal(cellar_message_decode(&cellar_msg_drop_rows_request_type, BYTES("\x81\3\1"),
                                           &drop, CELLAR_UNKNOWN_REFUSE, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "drop_rows_request: field 3 (all) must be a boolean");
}

static void bodies_that_are_wrong_are_refused_by_message_and_field(void **state)
{
    (void)state;
    const struct {
        struct cellar_slice body;
        const char *text;
    } cases[] = {
        {{NULL, 0}, "read_rows_request must be a map"},
        {BYTES("\xc0"), "read_rows_request must be a map"},
        {BYTES("\x91\1"), "read_rows_request must be a map"},
        {BYTES("\x82\1\xa0"), "read_rows_request must be a map"},
        {BYTES("\x81\xa1x\1"), "read_rows_request: field numbers must be integers >= 0"},
        {BYTES("\x81\xff\1"), "read_rows_request: field numbers must be integers >= 0"},
        {BYTES("\x81\1\5"), "read_rows_request: field 1 (table) must be text"},
        {BYTES("\x81\1\xc0"), "read_rows_request: field 1 (table) must be text"},
        {BYTES("\x81\1\xa5t"), "read_rows_request: field 1 (table) must be text"},
        {BYTES("\x81\4\xa1x"), "read_rows_request: field 4 (rows_limit) must be an integer of 64 "
                               "bits"},
        {BYTES("\x81\x09\xff"),
         "read_rows_request: field 9 (credit_bytes) must be an integer >= 0"},
        {BYTES("\x81\5\1"), "read_rows_request: field 5 (reversed) must be a boolean"},
        {BYTES("\x81\2\xc1"),
         "read_rows_request: field 2 (row_keys) must be one well-formed value"},
        {BYTES("\x82\5\xc3\5\xc3"), "read_rows_request: field 5 (reversed) comes twice"},
        {BYTES("\x81\5\xc3\5"), "read_rows_request: 1 bytes behind the map"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct cellar_msg_read_rows_request request;
        struct cellar_error error = {0};
        assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type,
                                               cases[index].body, &request, CELLAR_UNKNOWN_REFUSE,
                                               &error),
                         CELLAR_INVALID_ARGUMENT);
        assert_string_equal(error.text, cases[index].text);
    }
}

static void a_server_refuses_unknown_fields_and_a_client_steps_over_them(void **state)
{
    (void)state;
    const struct cellar_slice bodies[] = {BYTES("\x82\x0b\x92\1\x81\2\3\1\5"),
                                          BYTES("\x82\0\0\1\5"),
                                          BYTES("\x82\xcd\x01\x01\xca\0\0\0\0\1\5")};
    static const char *const texts[] = {"error has no field 11", "error has no field 0",
                                        "error has no field 257"};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(bodies); index++) {
        struct cellar_msg_error message;
        struct cellar_error error = {0};
        assert_int_equal(cellar_message_decode(&cellar_msg_error_type, bodies[index], &message,
                                               CELLAR_UNKNOWN_REFUSE, &error),
                         CELLAR_UNIMPLEMENTED);
        assert_string_equal(error.text, texts[index]);
        assert_int_equal(cellar_message_decode(&cellar_msg_error_type, bodies[index], &message,
                                               CELLAR_UNKNOWN_SKIP, &error),
                         CELLAR_OK);
        assert_int_equal(message.code, 5);
        assert_int_equal(message.present, 1u << 1);
    }
    struct cellar_msg_error message;
    struct cellar_error error = {0};
    assert_int_equal(cellar_message_decode(&cellar_msg_error_type, BYTES("\x81\x0b\xc1"), &message,
                                           CELLAR_UNKNOWN_SKIP, &error),
                     CELLAR_INVALID_ARGUMENT);
    assert_string_equal(error.text, "error: field 11 must be one well-formed value");
}

static void every_cut_of_a_body_is_refused(void **state)
{
    (void)state;
    struct cellar_slice body = BYTES("\x86\1\xa1t\2\x91\xc4\1k\4\5\5\xc3\x0a\xc3\x0f\xcd\3\xe8");
    struct cellar_msg_read_rows_request request;
    assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type, body, &request,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    assert_int_equal(request.timeout_us, 1000);
    for (size_t cut = 0; cut < body.bytes; cut++) {
        assert_int_equal(cellar_message_decode(&cellar_msg_read_rows_request_type,
                                               cellar_slice_make(body.data, cut), &request,
                                               CELLAR_UNKNOWN_REFUSE, NULL),
                         CELLAR_INVALID_ARGUMENT);
    }
}

/* Encodes a message of every kind of field into a new buffer. */
static enum cellar_status encode_one(void *context)
{
    static const char pool[20000];
    const struct cellar_msg_read_rows_request request = {.table = cellar_slice_make(pool, 100),
                                                         .row_keys = cellar_slice_make(pool, 10000),
                                                         .rows_limit = 5,
                                                         .reversed = true,
                                                         .filter =
                                                             cellar_slice_make(pool, sizeof pool)};
    struct cellar_buffer body = {0};
    (void)context;
    enum cellar_status status =
        cellar_message_encode(&cellar_msg_read_rows_request_type, &request, &body);
    assert_true(status == CELLAR_OK || body.bytes == 0);
    cellar_buffer_fini(&body);
    return status;
}

static void without_memory_no_part_of_a_body_is_appended(void **state)
{
    (void)state;
    assert_true(test_out_of_memory_loop(encode_one, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_in_ascending_order_and_inside_their_structures),
        cmocka_unit_test(the_table_of_a_message_is_its_list),
        cmocka_unit_test(every_type_comes_back_unchanged),
        cmocka_unit_test(absent_fields_are_zero),
        cmocka_unit_test(fields_with_a_value_are_sent_without_being_marked),
        cmocka_unit_test(zero_fields_are_sent_when_marked),
        cmocka_unit_test(fields_are_taken_in_any_order_and_integer_form),
        cmocka_unit_test(a_raw_field_is_one_value_as_it_stands),
        cmocka_unit_test(changes_of_tables_carry_their_targets),
        cmocka_unit_test(bodies_that_are_wrong_are_refused_by_message_and_field),
        cmocka_unit_test(a_server_refuses_unknown_fields_and_a_client_steps_over_them),
        cmocka_unit_test(every_cut_of_a_body_is_refused),
        cmocka_unit_test(without_memory_no_part_of_a_body_is_appended),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
