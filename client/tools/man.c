/*
 * cellar(1), and a page a command, in the man macros of man(7).
 *
 * The table of commands gives synopsis, sentences and options; here is only what stands around
 * them. A command's help is text for a terminal: lines that begin with four blanks are examples,
 * empty lines divide paragraphs. roff would take backslashes, dots and quotes at the start of a
 * line and dashes for itself, so every text goes through roff_put(). The pages use the oldest
 * macros only, which groff, mandoc and every other formatter know.
 */

#include "client/tools/man.h"

#include <cellar/cellar.h>

#include "client/tools/help.h"

/* Appends text that is only shown; at the start of a line too. */
static enum cellar_status roff_put(struct cellar_buffer *to, struct cellar_slice text)
{
    for (size_t index = 0; index < text.bytes; index++) {
        char byte = (char)text.data[index];
        bool is_start = to->bytes == 0 || to->data[to->bytes - 1] == '\n';
        CELLAR_ASSERT(byte != '\0');
        if (is_start && (byte == '.' || byte == '\'')) {
            CELLAR_TRY(cellar_buffer_printf(to, "\\&%c", byte));
        } else if (byte == '\\') {
            CELLAR_TRY(cellar_buffer_printf(to, "\\e"));
        } else if (byte == '-') {
            CELLAR_TRY(cellar_buffer_printf(to, "\\-"));
        } else if (byte == '`' || byte == '\'') {
            CELLAR_TRY(cellar_buffer_printf(to, byte == '`' ? "\\(ga" : "\\(aq"));
        } else {
            CELLAR_TRY(cellar_buffer_append(to, &byte, 1));
        }
    }
    return CELLAR_OK;
}

/* Appends a text and ends the line. */
static enum cellar_status line_put(struct cellar_buffer *to, const char *text)
{
    CELLAR_ASSERT(text != NULL);
    CELLAR_TRY(roff_put(to, cellar_slice_text(text)));
    return cellar_buffer_append(to, "\n", 1);
}

/* Appends lines of help: paragraphs, and examples as they are. */
static enum cellar_status prose_put(struct cellar_buffer *to, const char *help)
{
    static const char *const begins[] = {".PP\n", ".PP\n.nf\n.RS\n"};
    static const char *const ends[] = {"", ".RE\n.fi\n"};
    int is_example = -1; /* no paragraph yet */
    while (*help != '\0') {
        size_t bytes = strcspn(help, "\n");
        bool is_indented = strncmp(help, "    ", 4) == 0;
        if (bytes == 0 || (is_example >= 0 && is_example != (int)is_indented)) {
            CELLAR_TRY(cellar_buffer_printf(to, "%s", is_example < 0 ? "" : ends[is_example]));
            is_example = -1;
        }
        if (bytes > 0) {
            size_t indent = is_indented ? 4 : 0;
            CELLAR_TRY(cellar_buffer_printf(to, "%s", is_example < 0 ? begins[is_indented] : ""));
            is_example = is_indented;
            CELLAR_TRY(roff_put(to, cellar_slice_make(help + indent, bytes - indent)));
            CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
        }
        help += bytes;
        help += *help == '\n' ? 1 : 0;
    }
    CELLAR_ASSERT(is_example <= 1);
    return cellar_buffer_printf(to, "%s", is_example < 0 ? "" : ends[is_example]);
}

/* Appends options as a list of tagged paragraphs. */
static enum cellar_status options_put(struct cellar_buffer *to, const struct cellar_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        CELLAR_ASSERT(options->help != NULL);
        CELLAR_TRY(cellar_buffer_printf(to, ".TP\n\\fB"));
        CELLAR_TRY(cellar_buffer_printf(to, "\\-\\-"));
        CELLAR_TRY(roff_put(to, cellar_slice_text(options->name)));
        CELLAR_TRY(cellar_buffer_printf(to, "\\fR"));
        if (options->value != NULL) {
            CELLAR_TRY(cellar_buffer_printf(to, " \\fI"));
            CELLAR_TRY(roff_put(to, cellar_slice_text(options->value)));
            CELLAR_TRY(cellar_buffer_printf(to, "\\fR"));
        }
        CELLAR_TRY(cellar_buffer_append(to, "\n", 1));
        CELLAR_TRY(line_put(to, options->help));
    }
    return CELLAR_OK;
}

/* Appends `cellar VERB words` in bold and plain, and `end`. */
static enum cellar_status synopsis_put(struct cellar_buffer *to,
                                       const struct cellar_command *command, const char *end)
{
    CELLAR_TRY(cellar_buffer_printf(to, "\\fBcellar "));
    CELLAR_TRY(roff_put(to, cellar_slice_text(command->verb)));
    CELLAR_TRY(cellar_buffer_printf(to, "\\fR"));
    if (command->words[0] != '\0') {
        CELLAR_TRY(cellar_buffer_append(to, " ", 1));
        CELLAR_TRY(roff_put(to, cellar_slice_text(command->words)));
    }
    CELLAR_ASSERT(to->bytes > 0);
    return cellar_buffer_printf(to, "%s\n", end);
}

/* Appends what a command does and its options. */
static enum cellar_status command_put(struct cellar_buffer *to,
                                      const struct cellar_command *command)
{
    CELLAR_ASSERT(command->summary != NULL);
    CELLAR_TRY(roff_put(to, cellar_slice_text(command->summary)));
    CELLAR_TRY(cellar_buffer_printf(to, ".\n"));
    CELLAR_TRY(prose_put(to, command->help));
    CELLAR_TRY(options_put(to, command->options));
    return options_put(to, command->has_format ? cellar_format_options : NULL);
}

/* Appends every command under a heading of its own. */
static enum cellar_status commands_put(struct cellar_buffer *to)
{
    CELLAR_TRY(cellar_buffer_printf(to, ".SH COMMANDS\n"));
    for (const struct cellar_command_group *group = cellar_command_groups; group->title != NULL;
         group++) {
        for (const struct cellar_command *at = group->commands; at->verb != NULL; at++) {
            CELLAR_ASSERT(at->run != NULL);
            if (at->is_hidden) {
                continue;
            }
            CELLAR_TRY(cellar_buffer_printf(to, ".SS "));
            CELLAR_TRY(synopsis_put(to, at, ""));
            CELLAR_TRY(command_put(to, at));
        }
    }
    return CELLAR_OK;
}

/* Appends what every page has at its end. */
static enum cellar_status tail_put(struct cellar_buffer *to)
{
    CELLAR_TRY(cellar_buffer_printf(to, ".SH EXIT STATUS\n"));
    for (const struct cellar_exit_text *at = cellar_exit_texts; at->text != NULL; at++) {
        CELLAR_ASSERT(at->code >= 0);
        CELLAR_TRY(cellar_buffer_printf(to, ".TP\n.B %d\n", at->code));
        CELLAR_TRY(line_put(to, at->text));
    }
    CELLAR_TRY(cellar_buffer_printf(to, ".SH ENVIRONMENT\n"));
    for (const struct cellar_option *at = cellar_environment; at->name != NULL; at++) {
        CELLAR_TRY(cellar_buffer_printf(to, ".TP\n.B "));
        CELLAR_TRY(line_put(to, at->name));
        CELLAR_TRY(line_put(to, at->help));
    }
    return CELLAR_OK;
}

/* cellar(1): everything. */
static enum cellar_status page_all(struct cellar_buffer *to)
{
    CELLAR_ASSERT(to->bytes == 0);
    CELLAR_TRY(cellar_buffer_printf(
        to,
        ".TH CELLAR 1 \"\" \"cellar %s\" \"User Commands\"\n.SH NAME\n"
        "cellar \\- read and write the tables of a Cellar server\n.SH SYNOPSIS\n"
        "\\fBcellar\\fR [\\fIoptions\\fR] \\fIverb\\fR [\\fIwords and options\\fR]\n"
        ".SH DESCRIPTION\n",
        CELLAR_VERSION_TEXT));
    CELLAR_TRY(prose_put(to, cellar_help_intro));
    CELLAR_TRY(prose_put(to, cellar_help_bytes));
    CELLAR_TRY(commands_put(to));
    CELLAR_TRY(cellar_buffer_printf(to, ".SH OPTIONS OF EVERY COMMAND\n"));
    CELLAR_TRY(options_put(to, cellar_global_options));
    CELLAR_TRY(tail_put(to));
    return cellar_buffer_printf(to, ".SH SEE ALSO\n.BR cellard (1)\n");
}

/* cellar-VERB(1): one command. */
static enum cellar_status page_one(const struct cellar_command *command, struct cellar_buffer *to)
{
    char name[64];
    (void)snprintf(name, sizeof name, "cellar-%s", command->verb);
    char *space = strchr(name, ' ');
    if (space != NULL) {
        *space = '-';
    }
    CELLAR_ASSERT(to->bytes == 0);
    CELLAR_TRY(cellar_buffer_printf(to, ".TH %s 1 \"\" \"cellar %s\" \"User Commands\"\n.SH NAME\n",
                                    name, CELLAR_VERSION_TEXT));
    CELLAR_TRY(roff_put(to, cellar_slice_text(name)));
    CELLAR_TRY(cellar_buffer_printf(to, " \\- "));
    CELLAR_TRY(line_put(to, command->summary));
    CELLAR_TRY(cellar_buffer_printf(to, ".SH SYNOPSIS\n"));
    CELLAR_TRY(synopsis_put(to, command, " [\\fIoptions\\fR]"));
    CELLAR_TRY(cellar_buffer_printf(to, ".SH DESCRIPTION\n"));
    CELLAR_TRY(command_put(to, command));
    CELLAR_TRY(cellar_buffer_printf(to, ".SH OPTIONS OF EVERY COMMAND\n"));
    CELLAR_TRY(options_put(to, cellar_global_options));
    CELLAR_TRY(tail_put(to));
    return cellar_buffer_printf(to, ".SH SEE ALSO\n.BR cellar (1)\n");
}

enum cellar_status cellar_man_put(const struct cellar_command *command, struct cellar_buffer *to)
{
    CELLAR_ASSERT(to != NULL);
    return command == NULL ? page_all(to) : page_one(command, to);
}
