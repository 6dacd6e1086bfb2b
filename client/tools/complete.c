/*
 * Completion from the table of commands.
 *
 * The words before the last are walked as args.c would take them: options with their values, then
 * the verb, then its words. What the last word may be follows from where it stands, and from the
 * table's own wording of that place:
 *
 *     text|json      one of these            FILE     a file's name
 *     T              a table                 DIR      a folder's name
 *     cf, cf[:q]     a family                cf:q     a family and its colon
 *     VERB           a command               others   nothing that is known
 *
 * so that a command which is described for people is completed without another word about it. A
 * server is asked for tables and families within TIMEOUT_US, once a key. Whatever it answers, only
 * names of harmless letters are offered: they end up on a command line.
 */

#include "client/tools/complete.h"

#include <stdlib.h>

#define TIMEOUT_US 300000
#define VERB_WORDS_MAX 2

/* Where the last word stands. */
struct place {
    struct cellar_tool *tool;
    const struct cellar_command *command; /* NULL until its verb is there */
    const struct cellar_option *pending;  /* the last word is this option's value */
    const char *verb[VERB_WORDS_MAX];     /* words before the command was found */
    int verb_words;
    size_t position; /* how many words of the command's own stand before the last */
    bool is_over;    /* behind -- */
    const char *table;
    const char *endpoint;
    const char *instance;
    const char *current;        /* the last word */
    struct cellar_slice before; /* what of it stays: "--format=" */
    struct cellar_buffer *to;
};

/* ---- candidates ---------------------------------------------------------------------------- */

/* True for a word that no shell takes apart. */
static bool is_harmless(struct cellar_slice word)
{
    for (size_t index = 0; index < word.bytes; index++) {
        uint8_t byte = word.data[index];
        if (byte >= 0x80 || byte == 0 ||
            strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:=/", byte) ==
                NULL) {
            return false;
        }
    }
    CELLAR_ASSERT(word.data != NULL || word.bytes == 0);
    return word.bytes > 0;
}

/* Offers a word, with `end` behind it, if what was typed is its beginning. */
static enum cellar_status offer(const struct place *place, struct cellar_slice word,
                                const char *end, const char *help)
{
    struct cellar_slice typed = cellar_slice_text(place->current + place->before.bytes);
    CELLAR_ASSERT(place->before.bytes <= strlen(place->current));
    if (!is_harmless(word) || !cellar_slice_has_prefix(word, typed)) {
        return CELLAR_OK;
    }
    CELLAR_TRY(cellar_buffer_append(place->to, place->before.data, place->before.bytes));
    CELLAR_TRY(cellar_buffer_append(place->to, word.data, word.bytes));
    return cellar_buffer_printf(place->to, "%s%s%s\n", end, help == NULL ? "" : "\t",
                                help == NULL ? "" : help);
}

/* Offers the parts of "text|json"; a dash alone is not worth a key. */
static enum cellar_status choices_offer(const struct place *place, struct cellar_slice choices)
{
    while (choices.bytes > 0) {
        const uint8_t *bar = memchr(choices.data, '|', choices.bytes);
        size_t bytes = bar == NULL ? choices.bytes : (size_t)(bar - choices.data);
        CELLAR_ASSERT(bytes <= choices.bytes);
        if (bytes > 1) {
            CELLAR_TRY(offer(place, cellar_slice_make(choices.data, bytes), "", NULL));
        }
        bytes = CELLAR_MIN(bytes + 1, choices.bytes);
        choices = cellar_slice_make(choices.data + bytes, choices.bytes - bytes);
    }
    return CELLAR_OK;
}

/* Offers options of a list, the ones with a value with an end that waits for it. */
static enum cellar_status options_offer(const struct place *place,
                                        const struct cellar_option *options)
{
    char name[64] = "--";
    for (; options != NULL && options->name != NULL; options++) {
        int bytes = snprintf(name, sizeof name, "--%s", options->name);
        CELLAR_ASSERT(bytes > 2 && (size_t)bytes < sizeof name);
        CELLAR_TRY(offer(place, cellar_slice_make(name, (size_t)bytes), "", options->help));
    }
    return CELLAR_OK;
}

/* Offers what may follow the words of a verb that are there. */
static enum cellar_status verbs_offer(const struct place *place)
{
    const char *last = "";
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        for (const struct cellar_command *at = group->commands; at->verb != NULL; at++) {
            size_t first_bytes = strcspn(at->verb, " ");
            bool is_pair = at->verb[first_bytes] != '\0';
            CELLAR_ASSERT(first_bytes > 0);
            if (at->is_hidden) {
                continue;
            }
            if (place->verb_words == 0 && !(is_pair && strncmp(last, at->verb, first_bytes) == 0)) {
                CELLAR_TRY(offer(place, cellar_slice_make(at->verb, first_bytes), "",
                                 is_pair ? group->title : at->summary));
            } else if (place->verb_words == 1 && is_pair && strlen(place->verb[0]) == first_bytes &&
                       strncmp(at->verb, place->verb[0], first_bytes) == 0) {
                CELLAR_TRY(
                    offer(place, cellar_slice_text(at->verb + first_bytes + 1), "", at->summary));
            }
            last = at->verb;
        }
    }
    return CELLAR_OK;
}

/* ---- what the server knows ----------------------------------------------------------------- */

/* The tool's client, or one for the line's endpoint; NULL when there is none to be had. */
static struct cellar_client *client_take(const struct place *place)
{
    const char *environment = getenv("CELLAR_ENDPOINT");
    bool has_environment = environment != NULL && environment[0] != '\0';
    const struct cellar_options options = {.endpoint = place->endpoint != NULL ? place->endpoint
                                                       : has_environment       ? environment
                                                                         : CELLAR_ENDPOINT_DEFAULT,
                                           .instance = place->instance,
                                           .timeout_us = TIMEOUT_US,
                                           .connections_max = 1,
                                           .connect_attempts_max = 1,
                                           .attempts_max = 1};
    struct cellar_client *client = NULL;
    CELLAR_ASSERT(place->tool != NULL);
    if (place->tool->client != NULL && place->endpoint == NULL && place->instance == NULL) {
        return place->tool->client;
    }
    return cellar_client_open(&options, NULL, &client) == CELLAR_E_OK ? client : NULL;
}

/* Gives back what client_take() gave. */
static void client_return(const struct place *place, struct cellar_client *client)
{
    CELLAR_ASSERT(client != NULL);
    if (client != place->tool->client) {
        cellar_client_close(client);
    }
}

/* Offers the instance's tables. */
static enum cellar_status tables_offer(const struct place *place)
{
    struct cellar_call call = {.timeout_us = TIMEOUT_US};
    struct cellar_table_list *list = NULL;
    enum cellar_status status = CELLAR_OK;
    struct cellar_client *client = client_take(place);
    if (client == NULL) {
        return CELLAR_OK;
    }
    if (cellar_table_list_get(client, &call, &list) == CELLAR_E_OK) {
        for (size_t index = 0; status == CELLAR_OK && index < list->count; index++) {
            const char *slash = strrchr(list->names[index], '/');
            const char *name = slash == NULL ? list->names[index] : slash + 1;
            status = offer(place, cellar_slice_text(name), "", NULL);
        }
    }
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    cellar_table_list_free(list);
    client_return(place, client);
    return status;
}

/* Offers the families of the line's table, with `end` behind each. */
static enum cellar_status families_offer(const struct place *place, const char *end)
{
    struct cellar_call call = {.timeout_us = TIMEOUT_US};
    struct cellar_table_info *info = NULL;
    enum cellar_status status = CELLAR_OK;
    struct cellar_client *client = place->table == NULL ? NULL : client_take(place);
    if (client == NULL) {
        return CELLAR_OK;
    }
    if (cellar_table_describe(client, place->table, &call, &info) == CELLAR_E_OK) {
        for (size_t index = 0; status == CELLAR_OK && index < info->family_count; index++) {
            status = offer(place, cellar_slice_text(info->families[index].name), end, NULL);
        }
    }
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    cellar_table_info_free(info);
    client_return(place, client);
    return status;
}

/* ---- what a place wants -------------------------------------------------------------------- */

/* Offers what the table's wording of a place, such as "T" or "cf[:q]", asks for. */
static enum cellar_status wording_offer(const struct place *place, struct cellar_slice wording)
{
    bool is_choice = wording.bytes > 0 && memchr(wording.data, '|', wording.bytes) != NULL;
    CELLAR_ASSERT(wording.data != NULL);
    if (cellar_slice_equal(wording, cellar_slice_text("T"))) {
        return tables_offer(place);
    }
    if (cellar_slice_has_prefix(wording, cellar_slice_text("FILE"))) {
        return cellar_buffer_printf(place->to, "%s\n", CELLAR_COMPLETE_FILES);
    }
    if (cellar_slice_equal(wording, cellar_slice_text("DIR"))) {
        return cellar_buffer_printf(place->to, "%s\n", CELLAR_COMPLETE_FOLDERS);
    }
    if (cellar_slice_has_prefix(wording, cellar_slice_text("cf:"))) {
        return families_offer(place, ":");
    }
    if (cellar_slice_has_prefix(wording, cellar_slice_text("cf"))) {
        return families_offer(place, "");
    }
    return is_choice ? choices_offer(place, wording) : CELLAR_OK;
}

/* The wording of a command's n-th word, without brackets around it; empty when there is none. */
static struct cellar_slice wording_at(const struct cellar_command *command, size_t position)
{
    const char *at = command->words;
    struct cellar_slice found = cellar_slice_text("");
    CELLAR_ASSERT(at != NULL);
    for (size_t index = 0; *at != '\0' && strncmp(at, "--", 2) != 0; index++) {
        size_t bytes = strcspn(at, " ");
        if (strncmp(at, "...", 3) == 0) { /* the word before, as often as wanted */
            return found;
        }
        bool is_optional = *at == '[' && at[bytes - 1] == ']';
        found = is_optional ? cellar_slice_make(at + 1, bytes - 2) : cellar_slice_make(at, bytes);
        if (index == position) {
            return found;
        }
        at += bytes;
        at += *at == ' ' ? 1 : 0;
    }
    return cellar_slice_text("");
}

/* An option by its name, up to the end or a '=', of those that are known at the place. */
static const struct cellar_option *option_at(const struct place *place, const char *name)
{
    size_t bytes = strcspn(name, "=");
    const struct cellar_option *const lists[] = {
        place->command == NULL ? NULL : place->command->options,
        place->command != NULL && place->command->has_format ? cellar_format_options : NULL,
        cellar_global_options};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(lists); index++) {
        for (const struct cellar_option *at = lists[index]; at != NULL && at->name != NULL; at++) {
            CELLAR_ASSERT(at->name[0] != '\0');
            if (strlen(at->name) == bytes && strncmp(at->name, name, bytes) == 0) {
                return at;
            }
        }
    }
    return NULL;
}

/* Notes the value of an option that says where to ask. */
static void value_note(struct place *place, const struct cellar_option *option, const char *value)
{
    CELLAR_ASSERT(option->value != NULL);
    if (strcmp(option->name, "endpoint") == 0) {
        place->endpoint = value;
    } else if (strcmp(option->name, "instance") == 0) {
        place->instance = value;
    }
}

/* Steps over one word that is no option. */
static void plain_step(struct place *place, const char *word)
{
    int verb_words;
    if (place->command == NULL) {
        if (place->verb_words < VERB_WORDS_MAX) {
            place->verb[place->verb_words++] = word;
        }
        place->command = cellar_command_find(place->verb_words, place->verb, &verb_words);
        return;
    }
    CELLAR_ASSERT(place->verb_words > 0);
    if (cellar_slice_equal(wording_at(place->command, place->position), cellar_slice_text("T"))) {
        place->table = word;
    }
    place->position++;
}

/* Steps over one word before the last. */
static void word_step(struct place *place, const char *word)
{
    CELLAR_ASSERT(word != NULL);
    if (place->pending != NULL) {
        value_note(place, place->pending, word);
        place->pending = NULL;
    } else if (!place->is_over && strcmp(word, "--") == 0) {
        place->is_over = true;
    } else if (!place->is_over && strncmp(word, "--", 2) == 0) {
        const struct cellar_option *option = option_at(place, word + 2);
        const char *equals = strchr(word, '=');
        if (option != NULL && option->value != NULL && equals != NULL) {
            value_note(place, option, equals + 1);
        } else if (option != NULL && option->value != NULL) {
            place->pending = option;
        }
    } else {
        plain_step(place, word);
    }
}

/* Offers options, or the value of the one that stands before a '='. */
static enum cellar_status dashes_offer(struct place *place)
{
    const char *equals = strchr(place->current, '=');
    CELLAR_ASSERT(place->current[0] == '-');
    if (equals == NULL) {
        if (place->command != NULL) {
            CELLAR_TRY(options_offer(place, place->command->options));
            CELLAR_TRY(
                options_offer(place, place->command->has_format ? cellar_format_options : NULL));
        }
        return options_offer(place, cellar_global_options);
    }
    const struct cellar_option *option =
        strncmp(place->current, "--", 2) == 0 ? option_at(place, place->current + 2) : NULL;
    if (option == NULL || option->value == NULL) {
        return CELLAR_OK;
    }
    place->before = cellar_slice_make(place->current, (size_t)(equals + 1 - place->current));
    return wording_offer(place, cellar_slice_text(option->value));
}

enum cellar_status cellar_complete(struct cellar_tool *tool, const char *const *words, size_t count,
                                   struct cellar_buffer *to)
{
    CELLAR_ASSERT(count >= 1);
    struct place place = {
        .tool = tool, .current = words[count - 1], .before = cellar_slice_text(""), .to = to};
    for (size_t index = 0; index + 1 < count; index++) {
        word_step(&place, words[index]);
    }
    if (place.pending != NULL) {
        return wording_offer(&place, cellar_slice_text(place.pending->value));
    }
    if (!place.is_over && place.current[0] == '-') {
        return dashes_offer(&place);
    }
    if (place.command == NULL) {
        return verbs_offer(&place);
    }
    struct cellar_slice wording = wording_at(place.command, place.position);
    if (cellar_slice_equal(wording_at(place.command, 0), cellar_slice_text("VERB"))) {
        struct place inner = {
            .tool = tool, .current = place.current, .before = cellar_slice_text(""), .to = to};
        for (size_t index = count - 1 - place.position; index + 1 < count; index++) {
            word_step(&inner, words[index]);
        }
        return inner.command == NULL ? verbs_offer(&inner) : CELLAR_OK;
    }
    return wording_offer(&place, wording);
}
