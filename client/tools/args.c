/*
 * Command lines taken apart.
 *
 * A command says which options it has as a table; options of every command come in a second one.
 * Options and words may stand in any order, so that a forgotten option can be added at the end.
 * Nothing is abbreviated: scripts that work today work with every later option. Memory is two lists
 * of pointers into argv, freed with cellar_args_fini().
 */

#include "client/tools/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/tools/nearest.h"
#include "common/mem.h"

/* Finds the option that `text` (without dashes) names up to its end or a '='. */
static const struct cellar_option *option_find(const struct cellar_option *const *options,
                                               const char *text)
{
    size_t bytes = strcspn(text, "=");
    CELLAR_ASSERT(options != NULL);
    for (; *options != NULL; options++) {
        for (const struct cellar_option *at = *options; at->name != NULL; at++) {
            if (strlen(at->name) == bytes && strncmp(at->name, text, bytes) == 0) {
                return at;
            }
        }
    }
    return NULL;
}

/* The error for an option that is not there, with the one that may have been meant. */
static enum cellar_status option_refuse(const struct cellar_option *const *options,
                                        const char *given, struct cellar_error *error)
{
    char name[64];
    CELLAR_ASSERT(strncmp(given, "--", 2) == 0);
    (void)snprintf(name, sizeof name, "%.*s", (int)CELLAR_MIN(strcspn(given + 2, "="), 63u),
                   given + 2);
    struct cellar_nearest nearest = cellar_nearest_start(name);
    for (; *options != NULL; options++) {
        for (const struct cellar_option *at = *options; at->name != NULL; at++) {
            cellar_nearest_add(&nearest, at->name);
        }
    }
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Unknown option %.100s%s%s", given,
                            nearest.name == NULL ? "" : "; did you mean --",
                            nearest.name == NULL ? "" : nearest.name);
}

/* Takes the option at `*index` and its value; moves on to the last argument it used. */
static enum cellar_status option_take(const struct cellar_option *const *options, int argc,
                                      char **argv, int *index, struct cellar_given *given,
                                      struct cellar_error *error)
{
    const char *text = argv[*index] + 2;
    const struct cellar_option *option = option_find(options, text);
    const char *equals = strchr(text, '=');
    CELLAR_ASSERT(*index < argc);
    if (option == NULL) {
        return option_refuse(options, argv[*index], error);
    }
    if (option->value == NULL && equals != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Option --%s takes no value",
                                option->name);
    }
    given->option = option;
    given->value = NULL;
    if (option->value == NULL) {
        return CELLAR_OK;
    }
    if (equals != NULL) {
        given->value = equals + 1;
        return CELLAR_OK;
    }
    if (*index + 1 >= argc) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "Option --%s needs a value, %s",
                                option->name, option->value);
    }
    *index += 1;
    given->value = argv[*index];
    return CELLAR_OK;
}

/* Sorts the arguments into the two lists, which have room for all. */
static enum cellar_status args_sort(const struct cellar_option *const *options, int argc,
                                    char **argv, struct cellar_args *args,
                                    struct cellar_error *error)
{
    bool is_option_over = false;
    CELLAR_ASSERT(args->given_count == 0 && args->word_count == 0);
    for (int index = 0; index < argc; index++) {
        const char *text = argv[index];
        if (!is_option_over && strcmp(text, "--") == 0) {
            is_option_over = true;
        } else if (!is_option_over && strncmp(text, "--", 2) == 0) {
            CELLAR_TRY(
                option_take(options, argc, argv, &index, &args->given[args->given_count], error));
            args->given_count++;
        } else if (!is_option_over && text[0] == '-' && text[1] != '\0') {
            return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                    "Unknown option %.100s; options have two dashes, and behind "
                                    "-- everything is taken as it is",
                                    text);
        } else {
            args->words[args->word_count++] = text;
        }
    }
    return CELLAR_OK;
}

enum cellar_status cellar_args_parse(const struct cellar_option *const *options, int argc,
                                     char **argv, struct cellar_args *args,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(args->given == NULL && args->words == NULL);
    size_t count = argc < 0 ? 0 : (size_t)argc;
    if (count > CELLAR_ARGS_COUNT_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A command may have at most %u arguments, but got %zu",
                                CELLAR_ARGS_COUNT_MAX, count);
    }
    args->given = cellar_mem_zalloc(count + 1, sizeof *args->given);
    args->words = cellar_mem_zalloc(count + 1, sizeof *args->words);
    enum cellar_status status =
        args->given == NULL || args->words == NULL
            ? cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for the arguments")
            : args_sort(options, argc, argv, args, error);
    if (status != CELLAR_OK) {
        cellar_args_fini(args);
    }
    return status;
}

void cellar_args_fini(struct cellar_args *args)
{
    CELLAR_ASSERT(args != NULL);
    cellar_mem_free(args->given);
    cellar_mem_free(args->words);
    memset(args, 0, sizeof *args);
}

/* The last time an option was given, or NULL. */
static const struct cellar_given *given_find(const struct cellar_args *args, const char *name)
{
    CELLAR_ASSERT(name != NULL);
    for (size_t index = args->given_count; index > 0; index--) {
        if (strcmp(args->given[index - 1].option->name, name) == 0) {
            return &args->given[index - 1];
        }
    }
    return NULL;
}

const char *cellar_args_text(const struct cellar_args *args, const char *name)
{
    const struct cellar_given *given = given_find(args, name);
    CELLAR_ASSERT(given == NULL || given->value != NULL);
    return given == NULL ? NULL : given->value;
}

bool cellar_args_has(const struct cellar_args *args, const char *name)
{
    CELLAR_ASSERT(args->given_count == 0 || args->given != NULL);
    return given_find(args, name) != NULL;
}

enum cellar_status cellar_args_number(const struct cellar_args *args, const char *name,
                                      struct cellar_args_limits limits, int64_t *value,
                                      struct cellar_error *error)
{
    const char *text = cellar_args_text(args, name);
    char *end;
    CELLAR_ASSERT(limits.least <= limits.most);
    if (text == NULL) {
        return CELLAR_OK;
    }
    /* strtoll() would also take blanks, a plus sign and other bases. */
    const char *digits = text[0] == '-' ? text + 1 : text;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || errno != 0 || number < limits.least ||
        number > limits.most) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "Option --%s must be a number from %" PRId64 " to %" PRId64
                                ", but got '%.64s'",
                                name, limits.least, limits.most, text);
    }
    *value = number;
    return CELLAR_OK;
}

enum cellar_status cellar_args_join(const struct cellar_args *args, const char *const *left_out,
                                    size_t count, struct cellar_buffer *to)
{
    for (size_t index = 0; index < args->given_count; index++) {
        const struct cellar_given *given = &args->given[index];
        size_t at = 0;
        while (at < count && strcmp(given->option->name, left_out[at]) != 0) {
            at++;
        }
        CELLAR_ASSERT(at <= count);
        if (at == count) {
            CELLAR_TRY(cellar_buffer_printf(to, "%s--%s%s%s", to->bytes == 0 ? "" : " ",
                                            given->option->name, given->value == NULL ? "" : "=",
                                            given->value == NULL ? "" : given->value));
        }
    }
    return CELLAR_OK;
}
