/*
 * Layered settings.
 *
 * Every value goes through config_set(), whichever layer it comes from: it is checked against the
 * option's kind and bounds, and stored unless a stronger layer has spoken already. So the layers
 * may be read in any order, and a program reads flags and environment first to learn which file to
 * read. A weaker layer's value is checked even where it is not used: an error in a file should not
 * wait for the day when a flag is left out.
 *
 * Who wants to hear of everything that is wrong gives a function for it: what is wrong is then
 * passed over, and counted. Errors name the place as the user wrote it: `--name`, `CELLAR_NAME` or
 * `file:line: name`. Values are copied into the arena and live as long as the settings.
 *
 * Files are read whole, up to FILE_BYTES_MAX; names in them may have `_` for `-`. No state but the
 * structure; nothing but cellar_config_read_file() does I/O.
 */
#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX 1048576u
#define NAME_BYTES_MAX 64u
#define HELP_COLUMN 34

static const char environment_prefix[] = "CELLAR_";

static const char *const origin_texts[] = {"default", "file", "environment", "flag"};

/* Where a value was written, for errors. */
struct place {
    enum cellar_config_origin origin;
    const char *file;
    uint32_t line;
};

struct unit {
    const char *text;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},     {"k", 1024},    {"m", 1048576},    {"g", 1073741824},
    {"K", 1024}, {"M", 1048576}, {"G", 1073741824},
};

static const struct unit duration_units[] = {
    {"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000},
};

static const struct unit no_units[] = {{"", 1}};

static const char *const kind_texts[] = {
    [CELLAR_CONFIG_TEXT] = "text",
    [CELLAR_CONFIG_BYTES] = "a number of bytes: digits, and k, m or g",
    [CELLAR_CONFIG_COUNT] = "a number: digits only",
    [CELLAR_CONFIG_BOOL] = "true or false",
    [CELLAR_CONFIG_DURATION] = "a time: digits, and us, ms, s, m, h or d",
};

/* ---- values ---------------------------------------------------------------------------------- */

/* Digits, then one of the units, and nothing else: no sign, no blank, no fraction. A zero may stand
 * without its unit, since 0 of anything is the same. Overflow is refused, in the digits as in the
 * product. */
static bool decode_number(const char *text, const struct unit *units, size_t unit_count,
                          uint64_t *number)
{
    uint64_t value = 0;
    const char *at = text;
    CELLAR_ASSERT(text != NULL && unit_count > 0);
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return false;
        }
    }
    bool is_zero = at != text && value == 0 && *at == '\0';
    for (size_t i = 0; i < unit_count && at != text && !is_zero; i++) {
        if (strcmp(at, units[i].text) == 0) {
            return !__builtin_mul_overflow(value, units[i].factor, number);
        }
    }
    *number = 0;
    return is_zero;
}

/* The words that people try first, all in lower case; index 0 of the table is false. */
static bool decode_bool(const char *text, uint64_t *number)
{
    static const char *const texts[2][4] = {{"false", "no", "off", "0"},
                                            {"true", "yes", "on", "1"}};
    CELLAR_ASSERT(text != NULL);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 4; j++) {
            if (strcmp(text, texts[i][j]) == 0) {
                *number = i;
                return true;
            }
        }
    }
    return false;
}

/* A text is legal whatever it says; whoever reads it (an address, a path) checks it and refuses
 * with cellar_config_refuse(). */
static bool decode_value(const struct cellar_config_option *option, const char *text,
                         uint64_t *number)
{
    CELLAR_ASSERT(option != NULL);
    *number = 0;
    switch (option->kind) {
    case CELLAR_CONFIG_TEXT:
        return true;
    case CELLAR_CONFIG_BYTES:
        return decode_number(text, byte_units, CELLAR_ARRAY_COUNT(byte_units), number);
    case CELLAR_CONFIG_COUNT:
        return decode_number(text, no_units, CELLAR_ARRAY_COUNT(no_units), number);
    case CELLAR_CONFIG_BOOL:
        return decode_bool(text, number);
    case CELLAR_CONFIG_DURATION:
        return decode_number(text, duration_units, CELLAR_ARRAY_COUNT(duration_units), number);
    }
    return false;
}

/* ---- names and places ------------------------------------------------------------------------ */

/* Copies a name with each '-' as `dash` and, if asked, in upper case. */
static void copy_name(const char *name, char dash, bool is_upper, char *to)
{
    size_t length = strlen(name);
    CELLAR_ASSERT(length < NAME_BYTES_MAX);
    for (size_t i = 0; i < length; i++) {
        bool is_letter = name[i] >= 'a' && name[i] <= 'z';
        to[i] = name[i] == '-' ? dash : name[i];
        if (is_upper && is_letter) {
            to[i] = (char)(name[i] - 'a' + 'A');
        }
    }
    to[length] = '\0';
}

/* The option of that name, '_' counting as '-' when `is_loose`; NULL when there is none. */
static const struct cellar_config_option *find_option(const struct cellar_config *config,
                                                      struct cellar_slice name, bool is_loose)
{
    char loose[NAME_BYTES_MAX];
    CELLAR_ASSERT(config->options != NULL);
    for (size_t i = 0; i < config->option_count; i++) {
        struct cellar_slice exact = cellar_slice_text(config->options[i].name);
        copy_name(config->options[i].name, '_', false, loose);
        if (cellar_slice_equal(name, exact) ||
            (is_loose && cellar_slice_equal(name, cellar_slice_text(loose)))) {
            return &config->options[i];
        }
    }
    return NULL;
}

/* Values stand in the order of the options, so an option's place is its value's. */
static struct cellar_config_value *value_of(const struct cellar_config *config,
                                            const struct cellar_config_option *option)
{
    size_t index = (size_t)(option - config->options);
    CELLAR_ASSERT(index < config->option_count);
    return &config->values[index];
}

/* Puts the place of a value before an error's text. The name is written as it is in that place, so
 * that searching for it finds the line to change. */
static enum cellar_status refuse_at(const struct cellar_config_option *option,
                                    const struct place *place, struct cellar_error *error)
{
    char name[NAME_BYTES_MAX];
    CELLAR_ASSERT(place->line == 0 || place->file != NULL);
    switch (place->origin) {
    case CELLAR_CONFIG_DEFAULT:
        copy_name(option->name, '_', false, name);
        cellar_error_prefix(error, "%s", name);
        break;
    case CELLAR_CONFIG_FLAG:
        cellar_error_prefix(error, "--%s", option->name);
        break;
    case CELLAR_CONFIG_ENVIRONMENT:
        copy_name(option->name, '_', true, name);
        cellar_error_prefix(error, "%s%s", environment_prefix, name);
        break;
    case CELLAR_CONFIG_FILE:
        copy_name(option->name, '_', false, name);
        cellar_error_prefix(error, "%s:%" PRIu32 ": %s", place->file, place->line, name);
        break;
    }
    return CELLAR_INVALID_ARGUMENT;
}

/* For mistakes that only several settings together make, or that the system tells (an address in
 * use): the place is that of the value that counts. */
enum cellar_status cellar_config_refuse(const struct cellar_config *config, const char *name,
                                        struct cellar_error *error)
{
    const struct cellar_config_value *value = cellar_config_get(config, name);
    struct place place = {.origin = value->origin, .file = config->file, .line = value->line};
    CELLAR_ASSERT(value->origin != CELLAR_CONFIG_FILE || config->file != NULL);
    return refuse_at(&config->options[value - config->values], &place, error);
}

/* Only what the user wrote is passed over. Without memory there is no going on. */
enum cellar_status cellar_config_note(struct cellar_config *config, enum cellar_status status,
                                      const struct cellar_error *error)
{
    CELLAR_ASSERT(config != NULL && error != NULL);
    if (status != CELLAR_INVALID_ARGUMENT || config->report == NULL) {
        return status;
    }
    config->error_count++;
    config->report(config->report_context, error);
    return CELLAR_OK;
}

/* Bounds of 0 and 0 are none: an option of which only 0 were legal would be no option. */
static enum cellar_status check_value(const struct cellar_config_option *option, const char *text,
                                      const struct place *place, uint64_t *number,
                                      struct cellar_error *error)
{
    if (!decode_value(option, text, number)) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "'%s' is not %s", text,
                               kind_texts[option->kind]);
        return refuse_at(option, place, error);
    }
    bool has_bounds = option->number_min != 0 || option->number_max != 0;
    CELLAR_ASSERT(option->number_min <= option->number_max);
    if (has_bounds && (*number < option->number_min || *number > option->number_max)) {
        (void)cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                               "%" PRIu64 " is out of bounds; it must be %" PRIu64 " to %" PRIu64,
                               *number, option->number_min, option->number_max);
        return refuse_at(option, place, error);
    }
    return CELLAR_OK;
}

/* The one door of all layers. A later flag replaces an earlier one, as users expect who append to a
 * command line; that a file says something twice is refused in read_line(). The copy stays in the
 * arena also when it is not used: settings are few. */
static enum cellar_status config_set(struct cellar_config *config,
                                     const struct cellar_config_option *option,
                                     struct cellar_slice text, const struct place *place,
                                     struct cellar_error *error)
{
    struct cellar_config_value *value = value_of(config, option);
    uint64_t number = 0;
    char *copy = cellar_arena_text(&config->arena, text.data, text.bytes);
    if (copy == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for settings");
    }
    CELLAR_TRY(check_value(option, copy, place, &number, error));
    if (place->origin >= value->origin) {
        *value = (struct cellar_config_value){
            .text = copy, .number = number, .origin = place->origin, .line = place->line};
    }
    CELLAR_ASSERT(value->text != NULL);
    return CELLAR_OK;
}

/* A default that does not decode is a mistake of ours, so it is asserted; bounds may leave it out
 * on purpose (0 for "a quarter of the memory"). */
enum cellar_status cellar_config_init(struct cellar_config *config,
                                      const struct cellar_config_option *options,
                                      size_t option_count)
{
    CELLAR_ASSERT(options != NULL && option_count > 0);
    *config = (struct cellar_config){.options = options, .option_count = option_count};
    config->values = cellar_arena_alloc(&config->arena, option_count * sizeof *config->values);
    if (config->values == NULL) {
        return CELLAR_NO_MEMORY;
    }
    for (size_t i = 0; i < option_count; i++) {
        uint64_t number = 0;
        bool is_legal = decode_value(&options[i], options[i].default_value, &number);
        CELLAR_ASSERT(is_legal);
        config->values[i] = (struct cellar_config_value){
            .text = options[i].default_value, .number = number, .origin = CELLAR_CONFIG_DEFAULT};
    }
    return CELLAR_OK;
}

void cellar_config_fini(struct cellar_config *config)
{
    CELLAR_ASSERT(config != NULL);
    cellar_arena_fini(&config->arena);
    config->values = NULL;
}

/* ---- command line ---------------------------------------------------------------------------- */

/* Takes the option at `arguments[*index]` and, where it needs one, the value behind it. */
static enum cellar_status read_flag(struct cellar_config *config, int count, char *const *arguments,
                                    int *index, struct cellar_error *error)
{
    static const struct place place = {.origin = CELLAR_CONFIG_FLAG};
    const char *argument = arguments[*index];
    CELLAR_ASSERT(argument != NULL);
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'%s' is not an option; --help lists them", argument);
    }
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct cellar_config_option *option =
        find_option(config, cellar_slice_make(name, length), false);
    if (option == NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "there is no option --%.*s; --help lists them", (int)length, name);
    }
    if (equals != NULL) {
        return config_set(config, option, cellar_slice_text(equals + 1), &place, error);
    }
    if (option->kind == CELLAR_CONFIG_BOOL) {
        return config_set(config, option, cellar_slice_text("true"), &place, error);
    }
    if (*index + 1 >= count) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "--%s needs a value: --%s %s",
                                option->name, option->name, option->value_name);
    }
    *index += 1;
    return config_set(config, option, cellar_slice_text(arguments[*index]), &place, error);
}

enum cellar_status cellar_config_read_flags(struct cellar_config *config, int count,
                                            char *const *arguments, struct cellar_error *error)
{
    CELLAR_ASSERT(config->values != NULL);
    for (int index = 1; index < count; index++) {
        enum cellar_status status = read_flag(config, count, arguments, &index, error);
        CELLAR_TRY(cellar_config_note(config, status, error));
    }
    return CELLAR_OK;
}

/* ---- environment ----------------------------------------------------------------------------- */

/* Options are looked up in the environment, not the other way round: a variable that begins with
 * CELLAR_ and names no option may belong to another program (CELLAR_ENDPOINT is the tool's). An
 * empty variable counts as not set, which is how scripts unset one for a command. */
enum cellar_status cellar_config_read_environment(struct cellar_config *config,
                                                  char *const *environment,
                                                  struct cellar_error *error)
{
    static const struct place place = {.origin = CELLAR_CONFIG_ENVIRONMENT};
    CELLAR_ASSERT(config->values != NULL && environment != NULL);
    for (size_t i = 0; i < config->option_count; i++) {
        const struct cellar_config_option *option = &config->options[i];
        char name[sizeof environment_prefix + NAME_BYTES_MAX];
        memcpy(name, environment_prefix, sizeof environment_prefix);
        copy_name(option->name, '_', true, name + sizeof environment_prefix - 1);
        size_t length = strlen(name);
        for (char *const *at = environment; *at != NULL && !option->is_flag_only; at++) {
            bool is_this = strncmp(*at, name, length) == 0 && (*at)[length] == '=';
            if (is_this && (*at)[length + 1] != '\0') {
                struct cellar_slice text = cellar_slice_text(*at + length + 1);
                enum cellar_status status = config_set(config, option, text, &place, error);
                CELLAR_TRY(cellar_config_note(config, status, error));
            }
        }
    }
    return CELLAR_OK;
}

/* ---- file ------------------------------------------------------------------------------------ */

static bool is_blank(uint8_t byte)
{
    CELLAR_ASSERT(byte != '\n');
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct cellar_slice trim(struct cellar_slice text)
{
    while (text.bytes > 0 && is_blank(text.data[0])) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1])) {
        text.bytes--;
    }
    CELLAR_ASSERT(text.bytes == 0 || !is_blank(text.data[0]));
    return text;
}

/* The line without its comment and the blanks around it. A '#' inside a word is part of it: paths
 * and texts may have some. */
static struct cellar_slice strip(struct cellar_slice line)
{
    CELLAR_ASSERT(line.data != NULL);
    for (size_t i = 0; i < line.bytes; i++) {
        bool is_start = i == 0 || is_blank(line.data[i - 1]);
        if (line.data[i] == '#' && is_start) {
            line.bytes = i;
        }
    }
    return trim(line);
}

static enum cellar_status refuse_line(const struct place *place, const char *what,
                                      struct cellar_slice shown, struct cellar_error *error)
{
    CELLAR_ASSERT(place->line >= 1);
    return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "%s:%" PRIu32 ": %s '%.*s'",
                            place->file, place->line, what, (int)CELLAR_MIN(shown.bytes, 80u),
                            (const char *)shown.data);
}

/* One line of a file. Twice the same key is refused although the last could win: in a long file the
 * first is the one that was forgotten, and nobody would see why a change has no effect. */
static enum cellar_status read_line(struct cellar_config *config, struct cellar_slice line,
                                    const struct place *place, struct cellar_error *error)
{
    struct cellar_slice text = strip(line);
    if (text.bytes == 0) {
        return CELLAR_OK;
    }
    const uint8_t *equals = memchr(text.data, '=', text.bytes);
    if (equals == NULL || memchr(text.data, '\0', text.bytes) != NULL) {
        return refuse_line(place, "expected key = value, but got", text, error);
    }
    size_t key_bytes = (size_t)(equals - text.data);
    struct cellar_slice key = trim(cellar_slice_make(text.data, key_bytes));
    struct cellar_slice value = trim(cellar_slice_make(equals + 1, text.bytes - key_bytes - 1));
    const struct cellar_config_option *option = find_option(config, key, true);
    if (option == NULL || option->is_flag_only) {
        return refuse_line(place, "there is no setting", key, error);
    }
    const struct cellar_config_value *before = value_of(config, option);
    if (before->origin == CELLAR_CONFIG_FILE) {
        return refuse_line(place, "this setting comes twice:", key, error);
    }
    CELLAR_ASSERT(value.data != NULL);
    return config_set(config, option, value, place, error);
}

/* The whole file in one piece: what is read is then one moment's content, not half of an old and
 * half of a new file. One byte less than the buffer is the limit, so that a full buffer means
 * "larger". */
static enum cellar_status load_file(struct cellar_config *config, const char *path,
                                    struct cellar_slice *content, struct cellar_error *error)
{
    enum cellar_status status = CELLAR_OK;
    size_t bytes = 0;
    uint8_t *data = cellar_arena_alloc(&config->arena, FILE_BYTES_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    if (fd >= 0 && data != NULL) {
        do {
            got = read(fd, data + bytes, FILE_BYTES_MAX - bytes);
            bytes += got > 0 ? (size_t)got : 0;
        } while (got > 0 && bytes < FILE_BYTES_MAX);
    }
    if (data == NULL) {
        status = cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for settings");
    } else if (got < 0) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "cannot read %s: %s", path,
                                  strerror(errno));
    } else if (bytes == FILE_BYTES_MAX) {
        status = cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                  "%s is larger than %u bytes, the most a settings file may be",
                                  path, FILE_BYTES_MAX);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    CELLAR_ASSERT(status != CELLAR_OK || data != NULL);
    *content = cellar_slice_make(data, bytes);
    return status;
}

/* Lines are counted from 1, as editors count them. A file that cannot be read is a mistake in the
 * settings like any other, and told among them. */
enum cellar_status cellar_config_read_file(struct cellar_config *config, const char *path,
                                           struct cellar_error *error)
{
    struct cellar_slice rest;
    struct place place = {.origin = CELLAR_CONFIG_FILE, .file = path};
    CELLAR_ASSERT(config->values != NULL && path != NULL);
    config->file = cellar_arena_copy(&config->arena, path, strlen(path) + 1);
    if (config->file == NULL) {
        return cellar_error_set(error, CELLAR_NO_MEMORY, "no memory for settings");
    }
    enum cellar_status loaded = load_file(config, path, &rest, error);
    if (loaded != CELLAR_OK) {
        return cellar_config_note(config, loaded, error);
    }
    while (rest.bytes > 0) {
        const uint8_t *newline = memchr(rest.data, '\n', rest.bytes);
        size_t length = newline != NULL ? (size_t)(newline - rest.data) : rest.bytes;
        place.line++;
        enum cellar_status status =
            read_line(config, cellar_slice_make(rest.data, length), &place, error);
        CELLAR_TRY(cellar_config_note(config, status, error));
        size_t step = newline != NULL ? length + 1 : length;
        rest = cellar_slice_make(rest.data + step, rest.bytes - step);
    }
    return CELLAR_OK;
}

/* ---- what settings say ----------------------------------------------------------------------- */

const struct cellar_config_value *cellar_config_get(const struct cellar_config *config,
                                                    const char *name)
{
    const struct cellar_config_option *option = find_option(config, cellar_slice_text(name), false);
    CELLAR_ASSERT(option != NULL);
    return value_of(config, option);
}

uint64_t cellar_config_number(const struct cellar_config *config, const char *name)
{
    CELLAR_ASSERT(name != NULL);
    return cellar_config_get(config, name)->number;
}

bool cellar_config_bool(const struct cellar_config *config, const char *name)
{
    const struct cellar_config_value *value = cellar_config_get(config, name);
    CELLAR_ASSERT(value->number <= 1);
    return value->number == 1;
}

const char *cellar_config_text(const struct cellar_config *config, const char *name)
{
    CELLAR_ASSERT(name != NULL);
    return cellar_config_get(config, name)->text;
}

/* In the form of a file, so that the output of one server can be the settings of the next; the
 * comment says where each value is from. */
enum cellar_status cellar_config_print(const struct cellar_config *config, struct cellar_buffer *to)
{
    CELLAR_ASSERT(to != NULL);
    for (size_t i = 0; i < config->option_count; i++) {
        const struct cellar_config_value *value = &config->values[i];
        char name[NAME_BYTES_MAX];
        if (config->options[i].is_flag_only) {
            continue;
        }
        copy_name(config->options[i].name, '_', false, name);
        CELLAR_TRY(cellar_buffer_printf(to, "%s = %s # %s", name, value->text,
                                        origin_texts[value->origin]));
        if (value->origin == CELLAR_CONFIG_FILE) {
            CELLAR_TRY(cellar_buffer_printf(to, " %s:%" PRIu32, config->file, value->line));
        }
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}

enum cellar_status cellar_config_help(const struct cellar_config *config, struct cellar_buffer *to)
{
    CELLAR_ASSERT(to != NULL);
    for (size_t i = 0; i < config->option_count; i++) {
        const struct cellar_config_option *option = &config->options[i];
        char left[NAME_BYTES_MAX + 32];
        int length = snprintf(left, sizeof left, "  --%s%s%s", option->name,
                              option->value_name != NULL ? " " : "",
                              option->value_name != NULL ? option->value_name : "");
        CELLAR_ASSERT(length > 0 && (size_t)length < sizeof left);
        CELLAR_TRY(cellar_buffer_printf(to, "%-*s%s", HELP_COLUMN, left, option->help));
        if (!option->is_flag_only && option->default_value[0] != '\0') {
            CELLAR_TRY(cellar_buffer_printf(to, " (default %s)", option->default_value));
        }
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
    }
    return CELLAR_OK;
}
