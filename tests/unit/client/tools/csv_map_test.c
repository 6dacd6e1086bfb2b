/*
 * csv_map: options and header say what each column becomes, mistakes are told before a record is
 * read, and records become keys and cells.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#include "client/lib/mutations.h"
#include "client/tools/csv_map.h"
#include "common/cell.h"

static const struct cellar_option options[] = {
    {"key", "COLUMN", ""},
    {"key-separator", "S", ""},
    {"column", "NAME=cf:q", ""},
    {"type", "NAME=TYPE", ""},
    {"timestamp-column", "NAME", ""},
    {"timestamp-unit", "U", ""},
    {"empty", "skip|store", ""},
    {"no-header", NULL, ""},
    {"columns", "A,B", ""},
    {"delimiter", "C", ""},
    {"family", "cf", ""},
    {NULL, NULL, NULL},
};

/* A map of a header and options, separated by blanks. */
struct stage {
    char text[500];
    char *argv[30];
    struct cellar_args args;
    struct cellar_csv_map map;
    struct cellar_error error;
    enum cellar_status status;
};

/* Reads one line into a reader. */
static enum cellar_status line_read(struct cellar_csv_reader *reader, const char *text)
{
    struct cellar_line line = {.text = cellar_slice_text(text), .number = 1, .has_newline = true};
    bool is_whole = false;
    reader->delimiter = ',';
    reader->record_bytes_max = 100000;
    enum cellar_status status = cellar_csv_line(reader, &line, &is_whole);
    (void)cellar_csv_end(reader);
    return status;
}

static void stage_open(struct stage *stage, const char *words, const char *header)
{
    const struct cellar_option *const lists[] = {options, NULL};
    struct cellar_csv_reader reader = {0};
    int argc = 0;
    memset(stage, 0, sizeof *stage);
    (void)snprintf(stage->text, sizeof stage->text, "%s", words);
    char *rest = stage->text;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        stage->argv[argc++] = word;
    }
    stage->status = cellar_args_parse(lists, argc, stage->argv, &stage->args, &stage->error);
    assert_int_equal(stage->status, CELLAR_OK);
    stage->status = cellar_csv_map_options(&stage->map, &stage->args, &stage->error);
    if (stage->status == CELLAR_OK && stage->map.has_header) {
        assert_int_equal(line_read(&reader, header), CELLAR_OK);
        stage->status = cellar_csv_map_header(&stage->map, &reader, &stage->error);
    } else if (stage->status == CELLAR_OK) {
        stage->status = cellar_csv_map_header(&stage->map, NULL, &stage->error);
    }
    cellar_csv_fini(&reader);
}

static void stage_close(struct stage *stage)
{
    cellar_csv_map_fini(&stage->map);
    cellar_args_fini(&stage->args);
}

/* A record as `key: cf:q@time=value ...`, or what is wrong with it behind a `!`. */
static const char *record_of(struct stage *stage, const char *text)
{
    static char shown[1000];
    struct cellar_csv_reader reader = {0};
    struct cellar_record record = {0};
    struct cellar_error error;
    const struct cellar_csv_defaults defaults = {.timestamp_us = 5000};
    assert_int_equal(line_read(&reader, text), CELLAR_OK);
    enum cellar_status status = cellar_csv_map_key(&stage->map, &reader, &error);
    if (status == CELLAR_OK) {
        assert_int_equal(cellar_record_key(&record, cellar_slice_of(&stage->map.key), NULL),
                         CELLAR_OK);
        status = cellar_csv_map_cells(&stage->map, &reader, &defaults, &record, &error);
    }
    if (status != CELLAR_OK) {
        assert_int_equal(status, CELLAR_INVALID_ARGUMENT);
        (void)snprintf(shown, sizeof shown, "!%s", error.text);
    } else {
        struct cellar_cursor from = cellar_cursor_make(cellar_slice_of(&record.list->body));
        int bytes = snprintf(shown, sizeof shown, "%.*s:", (int)record.key.bytes,
                             (const char *)record.key.data);
        for (uint32_t index = 0; index < record.cell_count; index++) {
            struct cellar_mutation cell;
            assert_int_equal(cellar_mutation_decode(&from, index, &cell, NULL), CELLAR_OK);
            bytes += snprintf(shown + bytes, sizeof shown - (size_t)bytes, " %.*s:%.*s@%d=%.*s",
                              (int)cell.family.bytes, (const char *)cell.family.data,
                              (int)cell.qualifier.bytes, (const char *)cell.qualifier.data,
                              (int)cell.timestamp_us, (int)cell.value.bytes,
                              (const char *)cell.value.data);
        }
    }
    cellar_record_fini(&record);
    cellar_csv_fini(&reader);
    return shown;
}

static void columns_become_key_timestamp_and_cells(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        const char *header;
        const char *record;
        const char *wanted;
    } cases[] = {
        {"--key id --family f", "id,a,b", "1,x,y", "1: f:a@5000=x f:b@5000=y"},
        {"--key b --family f", "id,a,b", "1,x,y", "y: f:id@5000=1 f:a@5000=x"},
        {"--key b --key id --family f", "id,a,b", "1,x,y", "y#1: f:a@5000=x"},
        {"--key b --key id --key-separator \\x2d\\x2d --family f", "id,a,b", "1,x,y",
         "y--1: f:a@5000=x"},
        {"--key id --column a=g:other", "id,a,b", "1,x,y", "1: g:other@5000=x"},
        {"--key id --column a=g", "id,a,b", "1,x,y", "1: g:a@5000=x"},
        {"--key id --column a=g: --family f", "id,a,b", "1,x,y", "1: g:@5000=x f:b@5000=y"},
        {"--key id --column id=f:id", "id,a,b", "1,x,y", "1: f:id@5000=1"},
        {"--key id --timestamp-column a --family f", "id,a,b", "1,7000,y", "1: f:b@7000=y"},
        {"--key id --timestamp-column a --timestamp-unit ms --family f", "id,a,b", "1,7,y",
         "1: f:b@7000=y"},
        {"--key id --timestamp-column a --family f", "id,a,b", "1,,y", "1: f:b@5000=y"},
        {"--key id --family f", "id,a,b", "1,,y", "1: f:b@5000=y"},
        {"--key id --family f --empty store", "id,a,b", "1,,y", "1: f:a@5000= f:b@5000=y"},
        {"--key id --family f --type id=hex --type a=base64", "id,a,b", "4142,eHk=,y",
         "AB: f:a@5000=xy f:b@5000=y"},
        {"--no-header --columns id,a,\"b\" --key id --family f", "", "1,x,y",
         "1: f:a@5000=x f:b@5000=y"},
        {"", "row,family,qualifier,timestamp,value", "\\x61,f,q\\x3a,7000,\\x76\\\\",
         "a: f:q:@7000=v\\"},
        {"", "row,family,qualifier,timestamp,value", "a,f,,,", "a: f:@5000="},
        {"--key row --family f", "row,family,qualifier,timestamp,value", "\\x61,1,2,3,4",
         "\\x61: f:family@5000=1 f:qualifier@5000=2 f:timestamp@5000=3 f:value@5000=4"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct stage stage;
        stage_open(&stage, cases[index].words, cases[index].header);
        if (stage.status != CELLAR_OK) {
            fail_msg("'%s': %s", cases[index].words, stage.error.text);
        }
        const char *shown = record_of(&stage, cases[index].record);
        if (strcmp(shown, cases[index].wanted) != 0) {
            fail_msg("'%s' '%s': got '%s', wanted '%s'", cases[index].words, cases[index].record,
                     shown, cases[index].wanted);
        }
        stage_close(&stage);
    }
}

static void options_that_do_not_fit_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        const char *header;
        const char *why;
    } cases[] = {
        {"--family f", "id,a", "Say so with --key COLUMN"},
        {"--key x --family f", "id,a", "Option --key: there is no column 'x'"},
        {"--key id", "id,a", "No column becomes a cell"},
        {"--key id --column a", "id,a", "Option --column must be NAME=cf:q, but got 'a'"},
        {"--key id --column x=f:q", "id,a", "Option --column: there is no column 'x'"},
        {"--key id --column a=:q", "id,a", "family"},
        {"--key id --family f --type a=int32", "id,a", "'int32' is not one of text, int64"},
        {"--key id --family f --type x=int64", "id,a", "Option --type: there is no column 'x'"},
        {"--key id --timestamp-column x --family f", "id,a", "there is no column 'x'"},
        {"--key id --family f --timestamp-unit h", "id,a", "must be us, ms or s"},
        {"--key id --family f --empty null", "id,a", "must be skip or store"},
        {"--key id --family f", "id,a,a", "Two columns have the name 'a'"},
        {"--key id --family f", "id,\"a", "The columns have no names"},
        {"--key id --family f --columns id,a", "id,a", "--columns needs --no-header"},
        {"--key id --family f --no-header", "", "--no-header needs --columns"},
        {"--key id --family f --no-header --columns a\"b", "", "The columns have no names"},
        {"--key id --family f --delimiter ab", "id,a", "--delimiter must be one byte"},
        {"--key id --family f --delimiter \"", "id,a", "--delimiter must be one byte"},
        {"--key id --family f --delimiter \\x0a", "id,a", "--delimiter must be one byte"},
    };
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        struct stage stage;
        stage_open(&stage, cases[index].words, cases[index].header);
        if (stage.status != CELLAR_INVALID_ARGUMENT ||
            strstr(stage.error.text, cases[index].why) == NULL) {
            fail_msg("'%s': status %d, '%s'", cases[index].words, (int)stage.status,
                     stage.error.text);
        }
        stage_close(&stage);
    }
}

static void records_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const char mapped[] = "--key id --timestamp-column t --family f --type a=int64";
    static const struct {
        const char *words;
        const char *record;
        const char *why;
    } cases[] = {
        {mapped, "1,2", "There are 3 columns, but this record has 2 fields"},
        {mapped, "1,2,3,4", "this record has 4 fields"},
        {mapped, ",7,3", "A row key must have 1 to 4096 bytes, but got 0"},
        {mapped, "1,7,x", "Column 'a': int64 wants a decimal number"},
        {mapped, "1,7.5,3", "A timestamp must be a whole number >= 0, but got '7.5'"},
        {mapped, "1,-7,3", "A timestamp must be"},
        {mapped, "1,7,", "All fields that become cells are empty"},
    };
    static const struct {
        const char *record;
        const char *why;
    } cells[] = {
        {"a,f,q,1000", "There are 5 columns, but this record has 4 fields"},
        {",f,q,1000,v", "A row key must have"},
        {"a,,q,1000,v", "Column 'family'"},
        {"a,f\\x00g,q,1000,v", "Column 'family'"},
        {"a,f,\\,1000,v", "Column 'qualifier'"},
        {"\\xg0,f,q,1000,v", "Column 'row'"},
        {"a,f,q,1000,\\", "Column 'value'"},
        {"a,f,q,now,v", "A timestamp must be"},
    };
    struct stage stage;
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cases); index++) {
        stage_open(&stage, cases[index].words, "id,t,a");
        assert_int_equal(stage.status, CELLAR_OK);
        const char *shown = record_of(&stage, cases[index].record);
        if (shown[0] != '!' || strstr(shown, cases[index].why) == NULL) {
            fail_msg("'%s': %s", cases[index].record, shown);
        }
        stage_close(&stage);
    }
    stage_open(&stage, "", "row,family,qualifier,timestamp,value");
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(cells); index++) {
        const char *shown = record_of(&stage, cells[index].record);
        if (shown[0] != '!' || strstr(shown, cells[index].why) == NULL) {
            fail_msg("'%s': %s", cells[index].record, shown);
        }
    }
    stage_close(&stage);
}

static enum cellar_status map_some(void *context)
{
    struct stage *stage = context;
    struct cellar_csv_map map = {0};
    struct cellar_csv_reader reader = {0};
    struct cellar_record record = {0};
    const struct cellar_csv_defaults defaults = {.timestamp_us = 5000};
    enum cellar_status status = cellar_csv_map_options(&map, &stage->args, NULL);
    if (status == CELLAR_OK) {
        status = cellar_csv_map_header(&map, NULL, NULL);
    }
    if (status == CELLAR_OK) {
        status = line_read(&reader, "1,x,y");
    }
    if (status == CELLAR_OK) {
        status = cellar_csv_map_key(&map, &reader, NULL);
    }
    if (status == CELLAR_OK) {
        status = cellar_csv_map_cells(&map, &reader, &defaults, &record, NULL);
    }
    cellar_record_fini(&record);
    cellar_csv_fini(&reader);
    cellar_csv_map_fini(&map);
    return status;
}

static void a_lack_of_memory_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, "--no-header --columns a,b,c --key a --key b --column c=f:q --delimiter ;",
               "");
    assert_int_equal(stage.status, CELLAR_OK);
    assert_true(test_out_of_memory_loop(map_some, &stage) >= 10);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_become_key_timestamp_and_cells),
        cmocka_unit_test(options_that_do_not_fit_are_told),
        cmocka_unit_test(records_that_do_not_fit_are_refused),
        cmocka_unit_test(a_lack_of_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("csv_map", tests, NULL, NULL);
}
