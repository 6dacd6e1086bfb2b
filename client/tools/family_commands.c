/*
 * family add, family set, family drop.
 *
 * The families that one command names are one request, so that all of them change or none: a script
 * that fails half way would otherwise leave a table that neither its old nor its new version knows.
 * add and set take families as `table create` does; drop takes names alone, looks and asks first.
 *
 * The texts of all families are kept while the request is made, since a rule's children lie in
 * them. Whether a family exists is not asked before: the server says so, and changes nothing then.
 */

#include <inttypes.h>

#include "client/tools/drop.h"
#include "client/tools/escape.h"
#include "client/tools/family_text.h"
#include "client/tools/table_printer.h"
#include "common/mem.h"

#define FAMILIES_MAX 1000u /* of one request, as the protocol says */

/* The families of one command, in its words' order. */
struct families {
    struct cellar_family_text *texts; /* rules point into them */
    struct cellar_family_change *changes;
    size_t count;
};

/* Both lists go together; either may be NULL after a failure. */
static void families_free(struct families *families)
{
    CELLAR_ASSERT(families->count <= FAMILIES_MAX);
    cellar_mem_free(families->texts);
    cellar_mem_free(families->changes);
}

/* Reads the words behind the table; families_free() also on failure. Every word is read before
 * anything is sent, so a mistake in the last one is found first. */
static enum cellar_status families_read(const struct cellar_args *args,
                                        enum cellar_family_action action, struct families *families,
                                        struct cellar_error *error)
{
    size_t count = args->word_count - 1;
    CELLAR_ASSERT(count >= 1 && count <= FAMILIES_MAX);
    *families = (struct families){
        .texts = cellar_mem_zalloc(count, sizeof *families->texts),
        .changes = cellar_mem_zalloc(count, sizeof *families->changes),
        .count = count,
    };
    if (families->texts == NULL || families->changes == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for %zu families", count);
    }
    for (size_t index = 0; index < count; index++) {
        struct cellar_family_text *text = &families->texts[index];
        CELLAR_TRY(cellar_family_text_decode(args->words[index + 1], text, error));
        families->changes[index] = (struct cellar_family_change){
            .action = action,
            .name = text->name,
            .rule = text->rule.kind == CELLAR_RULE_NONE ? NULL : &text->rule,
        };
    }
    return CELLAR_OK;
}

/* Appends one line about what was done to a table's families. */
static enum cellar_status done_text(enum cellar_family_action action, size_t count,
                                    const struct cellar_table_info *info, struct cellar_buffer *to)
{
    const char *noun = count == 1 ? "family" : "families";
    CELLAR_ASSERT(action != CELLAR_FAMILY_DROP);
    CELLAR_TRY(action == CELLAR_FAMILY_CREATE
                   ? cellar_buffer_printf(to, "added %zu %s to ", count, noun)
                   : cellar_buffer_printf(to, "set the rules of %zu %s of ", count, noun));
    CELLAR_TRY(cellar_escape_encode(cellar_slice_text(info->name), CELLAR_ESCAPE_PLAIN, to));
    return cellar_buffer_printf(to, ", which has %zu\n", info->family_count);
}

/* Prints a table whose families were changed: one line as text, all of it otherwise. */
static enum cellar_status done_print(struct cellar_tool *tool, enum cellar_family_action action,
                                     size_t count, const struct cellar_table_info *info,
                                     struct cellar_error *error)
{
    struct cellar_buffer text = {0};
    CELLAR_ASSERT(info != NULL);
    enum cellar_status status = tool->format == CELLAR_FORMAT_TEXT
                                    ? done_text(action, count, info, &text)
                                    : cellar_table_print(tool->format, info, &text);
    status = cellar_tool_memory(status, error);
    if (status == CELLAR_OK) {
        status = cellar_tool_write(tool, &text, error);
    }
    cellar_buffer_fini(&text);
    return status;
}

/* family add and family set: the same list with another action. */
static enum cellar_status change_run(struct cellar_tool *tool, const struct cellar_args *args,
                                     enum cellar_family_action action, struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct cellar_table_info *info = NULL;
    struct families families = {0};
    CELLAR_ASSERT(args->word_count >= 2);
    enum cellar_status status = families_read(args, action, &families, error);
    if (status == CELLAR_OK &&
        cellar_table_modify_families(tool->client, args->words[0], families.changes, families.count,
                                     &call, &info) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    if (status == CELLAR_OK) {
        status = done_print(tool, action, families.count, info, error);
    }
    cellar_table_info_free(info);
    families_free(&families);
    return status;
}

/* A family that exists is an error and not skipped: its rule may be another than the one given. */
static enum cellar_status add_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    CELLAR_ASSERT(tool->client != NULL);
    return change_run(tool, args, CELLAR_FAMILY_CREATE, error);
}

/* A name without a rule takes the rule away, which is what its text says everywhere else too. */
static enum cellar_status set_run(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    CELLAR_ASSERT(tool->client != NULL);
    return change_run(tool, args, CELLAR_FAMILY_UPDATE, error);
}

/* ---- drop ---------------------------------------------------------------------------------- */

/* A family that is dropped has no rule: whoever gives one meant `family set`. */
static enum cellar_status drop_check(const struct cellar_args *args, struct cellar_error *error)
{
    CELLAR_ASSERT(args->word_count >= 2);
    for (size_t index = 1; index < args->word_count; index++) {
        if (strchr(args->words[index], ':') != NULL) {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "family drop takes names of families alone, but got '%.64s'",
                                    args->words[index]);
        }
    }
    return CELLAR_OK;
}

/* By name; a table has few families and this is asked once each. */
static bool has_family(const struct cellar_table_info *table, const char *family)
{
    bool is_there = false;
    CELLAR_ASSERT(family != NULL);
    for (size_t index = 0; index < table->family_count; index++) {
        is_there = is_there || strcmp(table->families[index].name, family) == 0;
    }
    return is_there;
}

/* Appends "families f, g of TABLE, which have cells in 12 rows". */
static enum cellar_status drop_say(const struct cellar_args *args, const struct cellar_sight *sight,
                                   uint64_t row_count, struct cellar_buffer *to)
{
    bool is_one = args->word_count == 2;
    CELLAR_TRY(cellar_buffer_printf(to, is_one ? "family" : "families"));
    for (size_t index = 1; index < args->word_count; index++) {
        CELLAR_ASSERT(has_family(sight->table, args->words[index]));
        CELLAR_TRY(cellar_buffer_printf(to, "%s %s", index == 1 ? "" : ",", args->words[index]));
    }
    CELLAR_TRY(cellar_buffer_printf(to, " of "));
    CELLAR_TRY(
        cellar_escape_encode(cellar_slice_text(sight->table->name), CELLAR_ESCAPE_PROSE, to));
    CELLAR_TRY(cellar_buffer_printf(to, ", which %s cells in ", is_one ? "has" : "have"));
    return cellar_rows_say(row_count, to);
}

/* Looks at families: that they are there, and how many rows have cells in them. One that is not
 * there is refused as the drop would be, so that a dry run fails where the run would. */
static enum cellar_status drop_look(struct cellar_tool *tool, const struct cellar_args *args,
                                    struct cellar_sight *sight, struct cellar_error *error)
{
    uint64_t count = 0;
    struct cellar_read *read = cellar_read_new();
    enum cellar_status status = CELLAR_OK;
    CELLAR_ASSERT(args->word_count >= 2);
    for (size_t index = 1; status == CELLAR_OK && index < args->word_count; index++) {
        cellar_read_family(read, args->words[index]);
        if (!has_family(sight->table, args->words[index])) {
            status =
                cellar_error_set(error, CELLAR_NOT_FOUND, "Table '%.100s' has no family '%.64s'",
                                 args->words[0], args->words[index]);
        }
    }
    cellar_sight_add(
        sight, (struct cellar_report_field){.name = "families", .number = args->word_count - 1});
    if (status == CELLAR_OK) {
        status = cellar_sight_count(tool, args->words[0], read, sight, &count, error);
    }
    if (status == CELLAR_OK) {
        status = cellar_tool_memory(drop_say(args, sight, count, &sight->text), error);
    }
    cellar_read_free(read);
    return status;
}

/* The table as it is then is not asked for: a drop is silent. */
static enum cellar_status drop_go(struct cellar_tool *tool, const struct cellar_args *args,
                                  struct cellar_error *error)
{
    struct cellar_call call = {0};
    struct families families = {0};
    CELLAR_ASSERT(tool->client != NULL);
    enum cellar_status status = families_read(args, CELLAR_FAMILY_DROP, &families, error);
    if (status == CELLAR_OK &&
        cellar_table_modify_families(tool->client, args->words[0], families.changes, families.count,
                                     &call, NULL) != CELLAR_E_OK) {
        status = cellar_tool_call_error(&call, error);
    }
    families_free(&families);
    return status;
}

static enum cellar_status drop_run(struct cellar_tool *tool, const struct cellar_args *args,
                                   struct cellar_error *error)
{
    static const struct cellar_drop drop = {.check = drop_check, .look = drop_look, .go = drop_go};
    CELLAR_ASSERT(args->word_count >= 2);
    return cellar_drop_run(tool, args, &drop, error);
}

static const struct cellar_option drop_options[] = {
    CELLAR_DROP_OPTIONS,
    {NULL, NULL, NULL},
};

const struct cellar_command cellar_family_commands[] = {
    {.verb = "family add",
     .words = "T NAME[:max-versions=N][:max-age=D] ...",
     .summary = "Adds column families to a table, all or none",
     .help =
         "    cellar family add packages d:max-versions=1 'e:gc=max-versions=9 and max-age=7d'\n"
         "\n"
         "The table may be in use. Rules are written as for `table create`. With --format, the\n"
         "table as it is then is printed as `table describe` does.\n",
     .word_count_min = 2,
     .word_count_max = FAMILIES_MAX + 1,
     .has_format = true,
     .run = add_run},
    {.verb = "family set",
     .words = "T cf[:max-versions=N][:max-age=D] ...",
     .summary = "Gives column families other rules, all or none",
     .help =
         "    cellar family set packages f:max-versions=3:max-age=7d d\n"
         "\n"
         "The rule takes the place of the one before; a name alone keeps everything. Rules are\n"
         "written as for `table create`.\n",
     .word_count_min = 2,
     .word_count_max = FAMILIES_MAX + 1,
     .has_format = true,
     .run = set_run},
    {.verb = "family drop",
     .words = "T cf ...",
     .summary = "Drops column families with all their cells, all or none",
     .help =
         "    cellar family drop packages d --dry-run\n"
         "\n"
         "There is no way back: asks as `table drop` does, and prints nothing. A family that is\n"
         "added again under the name is empty. --format is that of --dry-run: dry_run, name,\n"
         "families, rows that have cells in them (10000 at most) and has_more_rows.\n",
     .options = drop_options,
     .word_count_min = 2,
     .word_count_max = FAMILIES_MAX + 1,
     .has_format = true,
     .run = drop_run},
    {.verb = NULL},
};
