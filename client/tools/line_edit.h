#ifndef CELLAR_TOOLS_LINE_EDIT_H
#define CELLAR_TOOLS_LINE_EDIT_H

#include "common/buf.h"

/* Lines typed on a terminal, with a prompt, keys to edit, a history and completion. */

struct cellar_line_edit;

/** What the last word of a line may become. */
struct cellar_line_candidates {
    struct cellar_buffer
        lines;    /* as those of cellar_complete(): whole words, no quotes around them */
    size_t typed; /* how many bytes of each are there already */
    char quote;   /* that is open at the cursor, or 0 */
};

/** What the editor asks for and shows. */
struct cellar_line_edit_options {
    const char *prompt; /* borrowed as long as the editor lives */
    /**
     * Says what the last word of a line may become.
     *
     * @param line   NUL-terminated, up to the cursor
     * @param found  zeroed before; the editor frees the lines
     */
    enum cellar_status (*complete)(void *context, const char *line,
                                   struct cellar_line_candidates *found);
    void *context;
};

/** How reading a line ended. */
enum cellar_line_end {
    CELLAR_LINE_READ,
    CELLAR_LINE_CANCELLED, /* Ctrl-C: what was typed counts for nothing */
    CELLAR_LINE_OVER       /* Ctrl-D on an empty line, or the terminal is gone */
};

/**
 * Opens the editor on standard input and output. ~/.editrc binds keys.
 *
 * @param edit  receives it; close it with cellar_line_edit_close()
 * @return CELLAR_OK; CELLAR_NO_MEMORY also when the terminal cannot be used
 */
enum cellar_status cellar_line_edit_open(const struct cellar_line_edit_options *options,
                                         struct cellar_line_edit **edit) CELLAR_MUST_USE;

/** Makes a line known to the arrow keys. */
void cellar_line_edit_remember(struct cellar_line_edit *edit, const char *line);

/**
 * Reads a line.
 *
 * @param line  receives it without its end, NUL-terminated; borrowed until the next call
 */
enum cellar_line_end cellar_line_edit_read(struct cellar_line_edit *edit, const char **line);

/** Gives the terminal back as it was; takes NULL. */
void cellar_line_edit_close(struct cellar_line_edit *edit);

#endif
