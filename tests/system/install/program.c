/*
 * A program that knows nothing but the installed header: it makes a table of the name it is given,
 * writes a row and reads it back. It prints what it read, or the failure, which is its exit code.
 */
#include <cellar/cellar.h>
#include <stdio.h>
#include <stdlib.h>

/* Writes `value` to the one cell of the table's one row. */
static enum cellar_code row_write(struct cellar_client *client, const char *table,
                                  const char *value, struct cellar_call *call)
{
    struct cellar_mutations *list = cellar_mutations_new();
    cellar_mutations_set_at(list, "f", cellar_text("q"), 1000, cellar_text(value));
    enum cellar_code code = cellar_mutate_row(client, table, cellar_text("row"), list, call);
    cellar_mutations_free(list);
    return code;
}

/* Makes the table, writes and reads. */
static enum cellar_code table_use(struct cellar_client *client, const char *table,
                                  struct cellar_call *call)
{
    struct cellar_schema *schema = cellar_schema_new();
    struct cellar_rows *rows = NULL;
    cellar_schema_family(schema, "f", NULL);
    enum cellar_code code = cellar_table_create(client, table, schema, call, NULL);
    cellar_schema_free(schema);
    if (code == CELLAR_E_OK) {
        code = row_write(client, table, "written in C", call);
    }
    if (code == CELLAR_E_OK) {
        code = cellar_get_row(client, table, cellar_text("row"), call, &rows);
    }
    if (code == CELLAR_E_OK && cellar_rows_count(rows) == 1) {
        struct cellar_view value = cellar_rows_at(rows, 0)->cells[0].value;
        printf("%.*s\n", (int)value.bytes, (const char *)value.data);
    }
    cellar_rows_free(rows);
    return code;
}

int main(int argument_count, char **arguments)
{
    struct cellar_options options = {.endpoint = getenv("CELLAR_ENDPOINT")};
    struct cellar_call call = {.timeout_us = 60000000};
    struct cellar_client *client = NULL;
    if (argument_count != 2) {
        return 100;
    }
    enum cellar_code code = cellar_client_open(&options, &call, &client);
    if (code == CELLAR_E_OK) {
        code = table_use(client, arguments[1], &call);
    }
    if (code != CELLAR_E_OK) {
        fprintf(stderr, "%s: %s\n", call.failure.where, call.failure.text);
    }
    cellar_client_close(client);
    return (int)code;
}
