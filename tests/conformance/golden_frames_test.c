/*
 * The native protocol's bytes, held still by the files in golden/. Each file is one exchange:
 *
 *     # comment
 *     > hex       bytes from the client
 *     < hex       bytes from the server
 *
 * and was made by another implementation of MessagePack. Here every line is built from structures
 * and compared byte for byte; then the file's bytes are decoded, compared with those structures by
 * encoding again, and looked into where they carry rows and mutations. PROTOCOL.md, "An exchange in
 * bytes", must show the lines of hello, mutate_row and read_row.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/frame.h"
#include "common/message.h"
#include "common/mutation.h"
#include "common/segment_cells.h"
#include "tests/support/support.h"

#define TEXT(text) cellar_slice_text(text)
#define RAWS 2
#define STEPS_MAX 6
#define LINE_CHARACTERS_MAX 1000

/* A message under construction: its structure, and the raw values it borrows. */
struct draft {
    union {
        struct cellar_msg_error error;
        struct cellar_msg_credit credit;
        struct cellar_msg_hello_request hello_request;
        struct cellar_msg_hello_reply hello_reply;
        struct cellar_msg_ping_reply ping_reply;
        struct cellar_msg_create_table_request create_table;
        struct cellar_msg_table_request table;
        struct cellar_msg_table_reply table_reply;
        struct cellar_msg_modify_families_request modify_families;
        struct cellar_msg_drop_rows_request drop_rows;
        struct cellar_msg_pass_request scrub;
        struct cellar_msg_scrub_reply scrub_reply;
        struct cellar_msg_compact_reply compact_reply;
        struct cellar_msg_bulk_begin_request bulk_begin;
        struct cellar_msg_bulk_begin_reply bulk_begun;
        struct cellar_msg_bulk_rows_request bulk_rows;
        struct cellar_msg_bulk_end_request bulk_end;
        struct cellar_msg_bulk_commit_reply bulk_committed;
        struct cellar_msg_mutate_row_request mutate_row;
        struct cellar_msg_mutate_rows_request mutate_rows;
        struct cellar_msg_mutate_rows_reply mutate_rows_reply;
        struct cellar_msg_read_rows_request read_rows;
        struct cellar_msg_read_rows_reply rows;
    } as;
    struct cellar_buffer raws[RAWS];
};

/* One line of a golden file. */
struct step {
    char side; /* '>' from the client, '<' from the server */
    uint32_t request_id;
    uint16_t operation;
    uint8_t kind;
    const struct cellar_message_type *type; /* NULL: the preface */
    void (*fill)(struct draft *draft);      /* NULL: no field is set */
};

struct exchange {
    const char *file;
    struct step steps[STEPS_MAX];
};

/*
 * Appends values by a format: a digit is the header of an array of so many elements, n nil, 1-byte
 * arguments T and F booleans, i an integer (int), t text, b bytes (const char *).
 */
static void put(struct cellar_buffer *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (const char *at = format; *at != '\0'; at++) {
        enum cellar_status status = CELLAR_OK;
        if (isdigit((unsigned char)*at)) {
            status = cellar_wire_put_array(to, (uint32_t)(*at - '0'));
        } else if (*at == 'n') {
            status = cellar_wire_put_nil(to);
        } else if (*at == 'T' || *at == 'F') {
            status = cellar_wire_put_bool(to, *at == 'T');
        } else if (*at == 'i') {
            status = cellar_wire_put_i64(to, va_arg(arguments, int));
        } else if (*at == 't') {
            status = cellar_wire_put_text(to, TEXT(va_arg(arguments, const char *)));
        } else if (*at == 'b') {
            status = cellar_wire_put_bytes(to, TEXT(va_arg(arguments, const char *)));
        }
        assert_int_equal(status, CELLAR_OK);
    }
    va_end(arguments);
}

static void put_mutation(struct cellar_buffer *to, struct cellar_mutation mutation)
{
    assert_int_equal(cellar_mutation_encode(to, &mutation), CELLAR_OK);
}

/* Appends a row: key, flags, packed cells. */
static void put_row(struct cellar_buffer *to, const char *key, int flags,
                    const struct cellar_cell *cells, uint32_t count)
{
    uint8_t packed[256];
    uint8_t *at = cellar_wire_raw_array(packed, 4 * count);
    for (uint32_t index = 0; index < count; index++) {
        at = cellar_cells_put(at, &cells[index], 1, index == 0 ? NULL : &cells[index - 1], 1);
    }
    put(to, "3bi", key, flags);
    assert_int_equal(cellar_buffer_append(to, packed, (size_t)(at - packed)), CELLAR_OK);
}

/* ---- The messages of the golden files ---- */

static void fill_hello_request(struct draft *draft)
{
    draft->as.hello_request = (struct cellar_msg_hello_request){
        .version_min = 1, .version_max = 1, .client = TEXT("demo")};
}

static void fill_hello_reply(struct draft *draft)
{
    draft->as.hello_reply =
        (struct cellar_msg_hello_reply){.version = 1,
                                        .server = TEXT("cellar 0.1.0"),
                                        .frame_bytes_max = CELLAR_FRAME_PAYLOAD_BYTES_MAX,
                                        .request_bytes_max = CELLAR_REQUEST_BYTES_MAX,
                                        .requests_max = 1000};
}

static void fill_ping_reply(struct draft *draft)
{
    draft->as.ping_reply.is_ready = true;
}

/* The families of the table: f keeps everything, g loses what is beyond 3 versions or a day. */
static struct cellar_slice fill_families(struct cellar_buffer *raw)
{
    put(raw, "22tn2t2i22ii2i", "f", "g", 3, 1, 3, 2);
    assert_int_equal(cellar_wire_put_u64(raw, UINT64_C(86400000000)), CELLAR_OK);
    return cellar_slice_of(raw);
}

static void fill_create_table(struct draft *draft)
{
    draft->as.create_table.table = TEXT("t");
    draft->as.create_table.families = fill_families(&draft->raws[0]);
    put(&draft->raws[1], "1b", "m");
    draft->as.create_table.split_keys = cellar_slice_of(&draft->raws[1]);
}

static void fill_table_reply(struct draft *draft)
{
    draft->as.table_reply.name = TEXT("projects/default/instances/default/tables/t");
    draft->as.table_reply.families = fill_families(&draft->raws[0]);
    draft->as.table_reply.granularity = CELLAR_GRANULARITY_MILLIS;
    put(&draft->raws[1], "23bbi3bbi", "", "m", 1, "m", "", 2);
    draft->as.table_reply.tablets = cellar_slice_of(&draft->raws[1]);
    draft->as.table_reply.schema_version = 1;
}

/* h is made, g keeps one version from now on, f goes. */
static void fill_modify_families(struct draft *draft)
{
    put(&draft->raws[0], "33it2ii3it2ii3itn", 0, "h", 2, 3600000, 1, "g", 1, 1, 2, "f");
    draft->as.modify_families.table = TEXT("t");
    draft->as.modify_families.changes = cellar_slice_of(&draft->raws[0]);
}

static void fill_modified_table(struct draft *draft)
{
    fill_table_reply(draft);
    cellar_buffer_clear(&draft->raws[0]);
    put(&draft->raws[0], "22t2ii2t2ii", "g", 1, 1, "h", 2, 3600000);
    draft->as.table_reply.families = cellar_slice_of(&draft->raws[0]);
    draft->as.table_reply.schema_version = 2;
}

static void fill_drop_prefix(struct draft *draft)
{
    draft->as.drop_rows.table = TEXT("t");
    draft->as.drop_rows.prefix = TEXT("user#");
}

static void fill_drop_all(struct draft *draft)
{
    draft->as.drop_rows.table = TEXT("t");
    draft->as.drop_rows.all = true;
    draft->as.drop_rows.timeout_us = 1000000;
}

static void fill_mutate_row(struct draft *draft)
{
    put(&draft->raws[0], "1");
    put_mutation(&draft->raws[0], (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                                           .family = TEXT("f"),
                                                           .qualifier = TEXT("q"),
                                                           .timestamp_us = 1000,
                                                           .value = TEXT("hello")});
    draft->as.mutate_row.table = TEXT("t");
    draft->as.mutate_row.row = TEXT("r1");
    draft->as.mutate_row.mutations = cellar_slice_of(&draft->raws[0]);
}

static void fill_mutate_row_token(struct draft *draft)
{
    put(&draft->raws[0], "15itbnb", 0, "f", "q", "hello");
    draft->as.mutate_row.table = TEXT("t");
    draft->as.mutate_row.row = TEXT("r1");
    draft->as.mutate_row.mutations = cellar_slice_of(&draft->raws[0]);
    draft->as.mutate_row.token = TEXT("0123456789abcdef");
    draft->as.mutate_row.token_start_us = UINT64_C(1700000000000000);
    draft->as.mutate_row.token_life_us = 70000000;
}

static void fill_mutate_rows(struct draft *draft)
{
    struct cellar_buffer *raw = &draft->raws[0];
    put(raw, "32b2", "r1");
    put_mutation(raw, (struct cellar_mutation){.kind = CELLAR_MUTATION_SET,
                                               .family = TEXT("f"),
                                               .qualifier = TEXT("q"),
                                               .timestamp_us = CELLAR_TIMESTAMP_SERVER,
                                               .value = cellar_slice_make("\0\xff", 2)});
    put_mutation(raw, (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_COLUMN,
                                               .family = TEXT("g"),
                                               .qualifier = TEXT("old"),
                                               .end_us = 5000});
    put(raw, "2b1", "r2");
    put_mutation(
        raw, (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_FAMILY, .family = TEXT("x")});
    put(raw, "2b1", "r3");
    put_mutation(raw, (struct cellar_mutation){.kind = CELLAR_MUTATION_DELETE_ROW});
    draft->as.mutate_rows.table = TEXT("t");
    draft->as.mutate_rows.entries = cellar_slice_of(raw);
    draft->as.mutate_rows.timeout_us = 2000000;
}

static void fill_mutate_rows_reply(struct draft *draft)
{
    put(&draft->raws[0], "3i3itii", 0, CELLAR_NOT_FOUND, "Requested column family not found: x", 0,
        0);
    draft->as.mutate_rows_reply.results = cellar_slice_of(&draft->raws[0]);
}

static void fill_read_row(struct draft *draft)
{
    put(&draft->raws[0], "1b", "r1");
    draft->as.read_rows.table = TEXT("t");
    draft->as.read_rows.row_keys = cellar_slice_of(&draft->raws[0]);
}

static void fill_one_row(struct draft *draft)
{
    const struct cellar_cell cell = {TEXT("f"), TEXT("q"), 1000, TEXT("hello")};
    put(&draft->raws[0], "1");
    put_row(&draft->raws[0], "r1", 0, &cell, 1);
    draft->as.rows.rows = cellar_slice_of(&draft->raws[0]);
}

static void fill_read_rows(struct draft *draft)
{
    put(&draft->raws[0], "14bTnF", "r1");
    put(&draft->raws[1], "22tn2tb", "f", "g", "a");
    draft->as.read_rows.table = TEXT("t");
    draft->as.read_rows.ranges = cellar_slice_of(&draft->raws[0]);
    draft->as.read_rows.rows_limit = 2;
    draft->as.read_rows.columns = cellar_slice_of(&draft->raws[1]);
    draft->as.read_rows.versions = 2;
    draft->as.read_rows.timeout_us = 5000000;
}

static void fill_two_rows(struct draft *draft)
{
    const struct cellar_cell first[] = {
        {TEXT("f"), TEXT("q"), 2000, TEXT("new")},
        {TEXT("f"), TEXT("q"), 1000, TEXT("old")},
        {TEXT("f"), TEXT("r"), 0, TEXT("")},
        {TEXT("g"), TEXT("a"), 70000, cellar_slice_make("\0", 1)},
    };
    const struct cellar_cell second = {TEXT("f"), TEXT("q"), 1000, TEXT("x")};
    put(&draft->raws[0], "2");
    put_row(&draft->raws[0], "r1", 0, first, CELLAR_ARRAY_COUNT(first));
    put_row(&draft->raws[0], "r2", 0, &second, 1);
    draft->as.rows.rows = cellar_slice_of(&draft->raws[0]);
}

static void fill_read_with_credit(struct draft *draft)
{
    draft->as.read_rows.table = TEXT("t");
    draft->as.read_rows.credit_bytes = 1;
}

static void fill_first_piece(struct draft *draft)
{
    const struct cellar_cell cell = {TEXT("f"), TEXT("q"), 2000, TEXT("new")};
    put(&draft->raws[0], "1");
    put_row(&draft->raws[0], "r1", 1, &cell, 1);
    draft->as.rows.rows = cellar_slice_of(&draft->raws[0]);
}

static void fill_credit(struct draft *draft)
{
    draft->as.credit.bytes = 65536;
}

static void fill_last_piece(struct draft *draft)
{
    const struct cellar_cell cell = {TEXT("f"), TEXT("q"), 1000, TEXT("old")};
    put(&draft->raws[0], "1");
    put_row(&draft->raws[0], "r1", 2, &cell, 1);
    draft->as.rows.part = 1;
    draft->as.rows.rows = cellar_slice_of(&draft->raws[0]);
}

static void fill_describe_table(struct draft *draft)
{
    draft->as.table.table = TEXT("nope");
}

static void fill_not_found(struct draft *draft)
{
    draft->as.error.code = CELLAR_NOT_FOUND;
    draft->as.error.text = TEXT("Table not found: projects/default/instances/default/tables/nope");
}

static void fill_drop_table(struct draft *draft)
{
    draft->as.table.table = TEXT("t");
    draft->as.table.timeout_us = 1000000;
}

static void fill_unavailable(struct draft *draft)
{
    draft->as.error = (struct cellar_msg_error){
        .code = CELLAR_UNAVAILABLE, .text = TEXT("The server is busy"), .retry_delay_ms = 100};
}

static void fill_moved(struct draft *draft)
{
    draft->as.error = (struct cellar_msg_error){.code = CELLAR_UNAVAILABLE,
                                                .text = TEXT("Served elsewhere"),
                                                .endpoint = TEXT("10.0.0.2:8086"),
                                                .start = TEXT("r"),
                                                .end = TEXT("s")};
}

static void fill_moved_end(struct draft *draft)
{
    draft->as.error = (struct cellar_msg_error){
        .code = CELLAR_UNAVAILABLE, .endpoint = TEXT("[::1]:8087"), .start = TEXT("s")};
}

#define FULL_TABLE "projects/default/instances/default/tables/t"

static void fill_scrub(struct draft *draft)
{
    draft->as.scrub =
        (struct cellar_msg_pass_request){.table = TEXT("t"), .bytes_per_second = 1000000};
}

static void fill_scrub_running(struct draft *draft)
{
    draft->as.scrub_reply =
        (struct cellar_msg_scrub_reply){.state = 1,
                                        .pass = 4,
                                        .table = TEXT(FULL_TABLE),
                                        .items_total = 500,
                                        .started_us = UINT64_C(1700000000000000)};
}

static void fill_scrub_status(struct draft *draft)
{
    draft->as.scrub.action = 1;
}

static void fill_scrub_ended(struct draft *draft)
{
    struct cellar_buffer *problems = &draft->raws[0];
    put(problems, "27tbbibbt", FULL_TABLE, "", "m", 1, "b", "", "the item's checksum does not fit");
    put(problems, "7tbbibbt", FULL_TABLE, "", "m", 2, "c", "",
        "cells: page 5: the page carries another number");
    fill_scrub_running(draft);
    draft->as.scrub_reply.state = 2;
    draft->as.scrub_reply.items = 500;
    draft->as.scrub_reply.bytes = 40000;
    draft->as.scrub_reply.ended_us = UINT64_C(1700000000040000);
    draft->as.scrub_reply.problem_count = 2;
    draft->as.scrub_reply.problems = cellar_slice_of(problems);
}

static void fill_compact_failed(struct draft *draft)
{
    draft->as.compact_reply =
        (struct cellar_msg_compact_reply){.state = 4,
                                          .pass = 2,
                                          .table = TEXT(FULL_TABLE),
                                          .items = 40,
                                          .items_total = 500,
                                          .bytes = 4000,
                                          .started_us = UINT64_C(1700000000000000),
                                          .ended_us = UINT64_C(1700000000040000),
                                          .tablets = 1,
                                          .tablets_total = 3,
                                          .why = TEXT("the disk is full")};
}

static void fill_bulk_begin(struct draft *draft)
{
    draft->as.bulk_begin.table = TEXT("t");
    draft->as.bulk_begin.start = TEXT("r");
    draft->as.bulk_begin.end = TEXT("s");
}

static void fill_bulk_begun(struct draft *draft)
{
    draft->as.bulk_begun.load = 500;
}

static void fill_bulk_rows(struct draft *draft)
{
    put(&draft->raws[0], "22b8tbibnnib2b4tbib", "r1", "f", "q", 2000, "new", 1000, "old", "r2", "f",
        "", 1000, "x");
    draft->as.bulk_rows.load = 500;
    draft->as.bulk_rows.rows = cellar_slice_of(&draft->raws[0]);
}

static void fill_bulk_end(struct draft *draft)
{
    draft->as.bulk_end.load = 500;
    draft->as.bulk_end.timeout_us = 60000000;
}

static void fill_bulk_committed(struct draft *draft)
{
    draft->as.bulk_committed =
        (struct cellar_msg_bulk_commit_reply){.rows = 2, .cells = 3, .bytes = 13};
}

static void fill_bad_frame(struct draft *draft)
{
    draft->as.error.code = CELLAR_INVALID_ARGUMENT;
    draft->as.error.text = TEXT("Frame kind must be 1 to 7, but got 9");
}

#define REQUEST(id, operation, message, fill)                                                      \
    {                                                                                              \
        '>', id, CELLAR_OP_##operation, CELLAR_FRAME_REQUEST, &cellar_msg_##message##_type, fill   \
    }
#define ANSWER(kind, id, operation, message, fill)                                                 \
    {                                                                                              \
        '<', id, CELLAR_OP_##operation, CELLAR_FRAME_##kind, &cellar_msg_##message##_type, fill    \
    }

static const struct exchange exchanges[] = {
    {"hello",
     {{.side = '>'},
      REQUEST(1, HELLO, hello_request, fill_hello_request),
      ANSWER(REPLY, 1, HELLO, hello_reply, fill_hello_reply)}},
    {"ping", {REQUEST(2, PING, empty, NULL), ANSWER(REPLY, 2, PING, ping_reply, fill_ping_reply)}},
    {"create_table",
     {REQUEST(3, CREATE_TABLE, create_table_request, fill_create_table),
      ANSWER(REPLY, 3, CREATE_TABLE, table_reply, fill_table_reply)}},
    {"modify_families",
     {REQUEST(15, MODIFY_FAMILIES, modify_families_request, fill_modify_families),
      ANSWER(REPLY, 15, MODIFY_FAMILIES, table_reply, fill_modified_table)}},
    {"drop_rows",
     {REQUEST(16, DROP_ROWS, drop_rows_request, fill_drop_prefix),
      ANSWER(REPLY, 16, DROP_ROWS, empty, NULL),
      REQUEST(17, DROP_ROWS, drop_rows_request, fill_drop_all),
      ANSWER(REPLY, 17, DROP_ROWS, empty, NULL)}},
    {"scrub",
     {REQUEST(18, SCRUB, pass_request, fill_scrub),
      ANSWER(REPLY, 18, SCRUB, scrub_reply, fill_scrub_running),
      REQUEST(19, SCRUB, pass_request, fill_scrub_status),
      ANSWER(REPLY, 19, SCRUB, scrub_reply, fill_scrub_ended)}},
    {"compact",
     {REQUEST(20, COMPACT, pass_request, fill_scrub),
      ANSWER(REPLY, 20, COMPACT, compact_reply, fill_compact_failed)}},
    {"bulk",
     {REQUEST(21, BULK_BEGIN, bulk_begin_request, fill_bulk_begin),
      ANSWER(REPLY, 21, BULK_BEGIN, bulk_begin_reply, fill_bulk_begun),
      REQUEST(22, BULK_ROWS, bulk_rows_request, fill_bulk_rows),
      ANSWER(REPLY, 22, BULK_ROWS, empty, NULL),
      REQUEST(23, BULK_COMMIT, bulk_end_request, fill_bulk_end),
      ANSWER(REPLY, 23, BULK_COMMIT, bulk_commit_reply, fill_bulk_committed)}},
    {"mutate_row",
     {REQUEST(4, MUTATE_ROW, mutate_row_request, fill_mutate_row),
      ANSWER(REPLY, 4, MUTATE_ROW, empty, NULL)}},
    {"mutate_row_token",
     {REQUEST(12, MUTATE_ROW, mutate_row_request, fill_mutate_row_token),
      ANSWER(REPLY, 12, MUTATE_ROW, empty, NULL)}},
    {"mutate_rows",
     {REQUEST(5, MUTATE_ROWS, mutate_rows_request, fill_mutate_rows),
      ANSWER(REPLY, 5, MUTATE_ROWS, mutate_rows_reply, fill_mutate_rows_reply)}},
    {"read_row",
     {REQUEST(6, READ_ROWS, read_rows_request, fill_read_row),
      ANSWER(REPLY, 6, READ_ROWS, read_rows_reply, fill_one_row)}},
    {"read_rows",
     {REQUEST(7, READ_ROWS, read_rows_request, fill_read_rows),
      ANSWER(REPLY, 7, READ_ROWS, read_rows_reply, fill_two_rows)}},
    {"credit",
     {REQUEST(8, READ_ROWS, read_rows_request, fill_read_with_credit),
      ANSWER(PART, 8, READ_ROWS, read_rows_reply, fill_first_piece),
      {'>', 8, CELLAR_OP_NONE, CELLAR_FRAME_CREDIT, &cellar_msg_credit_type, fill_credit},
      ANSWER(REPLY, 8, READ_ROWS, read_rows_reply, fill_last_piece)}},
    {"error",
     {REQUEST(9, DESCRIBE_TABLE, table_request, fill_describe_table),
      ANSWER(ERROR, 9, DESCRIBE_TABLE, error, fill_not_found),
      REQUEST(10, DROP_TABLE, table_request, fill_drop_table),
      ANSWER(ERROR, 10, DROP_TABLE, error, fill_unavailable),
      ANSWER(ERROR, 0, NONE, error, fill_bad_frame)}},
    {"moved",
     {REQUEST(13, MUTATE_ROW, mutate_row_request, fill_mutate_row),
      ANSWER(ERROR, 13, MUTATE_ROW, error, fill_moved),
      REQUEST(14, READ_ROWS, read_rows_request, fill_read_row),
      ANSWER(ERROR, 14, READ_ROWS, error, fill_moved_end)}},
};

/* ---- Files ---- */

/* Opens a file whose path is given from this file's folder. */
static FILE *open_beside(const char *path)
{
    char full[1024];
    const char *slash = strrchr(__FILE__, '/');
    assert_non_null(slash);
    int length = snprintf(full, sizeof full, "%.*s/%s", (int)(slash - __FILE__), __FILE__, path);
    assert_true(length > 0 && (size_t)length < sizeof full);
    FILE *file = fopen(full, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", full);
    }
    return file;
}

static int hex_digit(char character)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = character == '\0' ? NULL : strchr(digits, tolower(character));
    return found == NULL ? -1 : (int)(found - digits);
}

/* Appends the bytes of a hex text, in which single blanks may stand; stops at anything else. */
static void hex_append(struct cellar_buffer *to, const char *text)
{
    while (hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0) {
        uint8_t byte = (uint8_t)(hex_digit(text[0]) * 16 + hex_digit(text[1]));
        assert_int_equal(cellar_buffer_append(to, &byte, 1), CELLAR_OK);
        text += text[2] == ' ' ? 3 : 2;
    }
}

/* Reads the next frame's line of a golden file; returns its side, or 0 at the end. */
static char line_read(FILE *file, struct cellar_buffer *bytes)
{
    char line[LINE_CHARACTERS_MAX];
    cellar_buffer_clear(bytes);
    while (fgets(line, sizeof line, file) != NULL) {
        size_t length = strlen(line);
        assert_true(length >= 2 && line[length - 1] == '\n');
        if (line[0] != '#') {
            hex_append(bytes, line + 2);
            assert_int_equal(length, 2 + 2 * bytes->bytes + 1);
            return line[0];
        }
    }
    return '\0';
}

/* ---- Tests ---- */

/* Builds the bytes of a step. */
static void step_encode(const struct step *step, struct cellar_buffer *to)
{
    struct draft draft = {.raws = {{0}}};
    struct cellar_buffer body = {0};
    if (step->type == NULL) {
        assert_int_equal(cellar_buffer_append(to, cellar_preface, sizeof cellar_preface),
                         CELLAR_OK);
        return;
    }
    if (step->fill != NULL) {
        step->fill(&draft);
    }
    const struct cellar_frame frame = {
        .request_id = step->request_id, .operation = step->operation, .kind = step->kind};
    assert_int_equal(cellar_message_encode(step->type, &draft.as, &body), CELLAR_OK);
    assert_int_equal(cellar_frame_append(to, &frame, cellar_slice_of(&body)), CELLAR_OK);
    cellar_buffer_fini(&body);
    for (size_t index = 0; index < RAWS; index++) {
        cellar_buffer_fini(&draft.raws[index]);
    }
}

static void assert_same_bytes(const char *where, const struct cellar_buffer *built,
                              const struct cellar_buffer *golden)
{
    if (!cellar_slice_equal(cellar_slice_of(built), cellar_slice_of(golden))) {
        fail_msg("%s: built %zu bytes, %zu are in the file, and they differ", where, built->bytes,
                 golden->bytes);
    }
}

/* Calls `check` for each step with the bytes that the golden file has for it. */
static void for_each_step(void (*check)(const char *where, const struct step *step,
                                        const struct cellar_buffer *golden))
{
    struct cellar_buffer golden = {0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(exchanges); index++) {
        const struct exchange *exchange = &exchanges[index];
        char where[64];
        (void)snprintf(where, sizeof where, "golden/%s.hex", exchange->file);
        FILE *file = open_beside(where);
        for (size_t step = 0; step < STEPS_MAX && exchange->steps[step].side != '\0'; step++) {
            (void)snprintf(where, sizeof where, "%s, frame %zu", exchange->file, step + 1);
            assert_int_equal(line_read(file, &golden), exchange->steps[step].side);
            check(where, &exchange->steps[step], &golden);
        }
        assert_int_equal(line_read(file, &golden), '\0');
        assert_int_equal(fclose(file), 0);
    }
    cellar_buffer_fini(&golden);
}

static void check_encoded(const char *where, const struct step *step,
                          const struct cellar_buffer *golden)
{
    struct cellar_buffer built = {0};
    step_encode(step, &built);
    assert_same_bytes(where, &built, golden);
    cellar_buffer_fini(&built);
}

static void structures_encode_to_the_golden_bytes(void **state)
{
    (void)state;
    for_each_step(check_encoded);
}

/* Splits golden bytes into the frame and its payload. */
static struct cellar_slice frame_split(const struct cellar_buffer *golden,
                                       struct cellar_frame *frame)
{
    assert_true(golden->bytes >= CELLAR_FRAME_HEADER_BYTES);
    assert_int_equal(cellar_frame_decode(golden->data, frame, NULL), CELLAR_OK);
    assert_int_equal(golden->bytes, CELLAR_FRAME_HEADER_BYTES + frame->payload_bytes);
    return cellar_slice_make(golden->data + CELLAR_FRAME_HEADER_BYTES, frame->payload_bytes);
}

static void check_decoded(const char *where, const struct step *step,
                          const struct cellar_buffer *golden)
{
    struct cellar_frame frame;
    struct draft draft;
    struct cellar_buffer again = {0};
    if (step->type == NULL) {
        return;
    }
    struct cellar_slice body = frame_split(golden, &frame);
    assert_int_equal(frame.request_id, step->request_id);
    assert_int_equal(frame.operation, step->operation);
    assert_int_equal(frame.kind, step->kind);
    assert_false(frame.has_more);
    assert_int_equal(
        cellar_message_decode(step->type, body, &draft.as, CELLAR_UNKNOWN_REFUSE, NULL), CELLAR_OK);
    assert_int_equal(cellar_message_encode(step->type, &draft.as, &again), CELLAR_OK);
    struct cellar_buffer payload = {.data = golden->data + CELLAR_FRAME_HEADER_BYTES,
                                    .bytes = body.bytes};
    assert_same_bytes(where, &again, &payload);
    cellar_buffer_fini(&again);
}

static void golden_bytes_decode_and_encode_to_themselves(void **state)
{
    (void)state;
    for_each_step(check_decoded);
}

static void check_mutations(const char *where, const struct step *step,
                            const struct cellar_buffer *golden)
{
    struct cellar_frame frame;
    struct cellar_msg_mutate_row_request request;
    uint32_t count;
    struct cellar_mutation mutation;
    (void)where;
    if (step->operation != CELLAR_OP_MUTATE_ROW || step->side != '>') {
        return;
    }
    assert_int_equal(cellar_message_decode(step->type, frame_split(golden, &frame), &request,
                                           CELLAR_UNKNOWN_REFUSE, NULL),
                     CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(request.mutations);
    assert_int_equal(cellar_mutation_list_decode(&from, &count, NULL), CELLAR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(cellar_mutation_decode(&from, 0, &mutation, NULL), CELLAR_OK);
    assert_true(cellar_slice_equal(mutation.value, TEXT("hello")));
    assert_int_equal(mutation.timestamp_us,
                     request.token.bytes > 0 ? CELLAR_TIMESTAMP_SERVER : 1000);
    assert_int_equal(cellar_cursor_left(&from), 0);
}

static void the_golden_mutation_sets_the_documented_cell(void **state)
{
    (void)state;
    for_each_step(check_mutations);
}

static void check_rows(const char *where, const struct step *step,
                       const struct cellar_buffer *golden)
{
    struct cellar_frame frame;
    struct cellar_msg_read_rows_reply reply;
    uint32_t row_count;
    (void)where;
    if (step->fill != fill_two_rows) {
        return;
    }
    assert_int_equal(cellar_message_decode(step->type, frame_split(golden, &frame), &reply,
                                           CELLAR_UNKNOWN_SKIP, NULL),
                     CELLAR_OK);
    struct cellar_cursor from = cellar_cursor_make(reply.rows);
    assert_true(cellar_wire_get_array(&from, &row_count));
    assert_int_equal(row_count, 2);
    for (uint32_t index = 0; index < row_count; index++) {
        struct cellar_cells_reader reader;
        struct cellar_slice key = {0};
        struct cellar_slice cells = {0};
        uint32_t parts = 0;
        uint64_t flags = 1;
        uint32_t cell_count = 0;
        assert_true(cellar_wire_get_array(&from, &parts) && parts == 3);
        assert_true(cellar_wire_get_bytes(&from, &key));
        assert_true(cellar_slice_equal(key, TEXT(index == 0 ? "r1" : "r2")));
        assert_true(cellar_wire_get_u64(&from, &flags) && flags == 0);
        assert_true(cellar_wire_skip(&from, &cells));
        assert_true(cellar_cells_open(&reader, cells));
        while (cellar_cells_next(&reader)) {
            cell_count++;
        }
        assert_true(cellar_cells_is_done(&reader));
        assert_int_equal(cell_count, index == 0 ? 4 : 1);
    }
    assert_int_equal(cellar_cursor_left(&from), 0);
}

static void the_golden_rows_have_the_documented_cells(void **state)
{
    (void)state;
    for_each_step(check_rows);
}

/* Collects the bytes that the documentation's example shows, both sides in their order. */
static void document_read(struct cellar_buffer *bytes)
{
    char line[LINE_CHARACTERS_MAX];
    bool is_inside = false;
    FILE *file = open_beside("../../common/PROTOCOL.md");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "## ", 3) == 0) {
            is_inside = strncmp(line, "## 8. ", 6) == 0;
        }
        bool is_marked = strncmp(line, "> ", 2) == 0 || strncmp(line, "< ", 2) == 0;
        if (is_inside && (is_marked || strncmp(line, "  ", 2) == 0)) {
            hex_append(bytes, line + 2);
        }
    }
    assert_int_equal(fclose(file), 0);
}

static void the_documents_example_is_made_of_golden_exchanges(void **state)
{
    (void)state;
    static const char *const shown[] = {"golden/hello.hex", "golden/mutate_row.hex",
                                        "golden/read_row.hex"};
    struct cellar_buffer documented = {0};
    struct cellar_buffer expected = {0};
    struct cellar_buffer line = {0};
    document_read(&documented);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(shown); index++) {
        FILE *file = open_beside(shown[index]);
        while (line_read(file, &line) != '\0') {
            assert_int_equal(cellar_buffer_append(&expected, line.data, line.bytes), CELLAR_OK);
        }
        assert_int_equal(fclose(file), 0);
    }
    assert_same_bytes("PROTOCOL.md, section 8", &documented, &expected);
    cellar_buffer_fini(&documented);
    cellar_buffer_fini(&expected);
    cellar_buffer_fini(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_encode_to_the_golden_bytes),
        cmocka_unit_test(golden_bytes_decode_and_encode_to_themselves),
        cmocka_unit_test(the_golden_mutation_sets_the_documented_cell),
        cmocka_unit_test(the_golden_rows_have_the_documented_cells),
        cmocka_unit_test(the_documents_example_is_made_of_golden_exchanges),
    };
    return cmocka_run_group_tests_name("golden frames", tests, NULL, NULL);
}
