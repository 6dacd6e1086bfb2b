#ifndef CELLAR_TOOLS_HISTORY_H
#define CELLAR_TOOLS_HISTORY_H

#include "common/buf.h"

/* The lines that were typed into a shell, in a file that only its owner can read. */

#define CELLAR_HISTORY_LINES_MAX 1000u

struct cellar_history;

/**
 * Where the file is: `option`, else $CELLAR_HISTFILE, else cellar/history in $XDG_STATE_HOME, else
 * .cellar_history in $HOME. A name that is given and empty, and a user without a home, mean none.
 *
 * @param option  NULL when there was none
 * @param path    receives the path and a NUL; left empty for none
 * @return CELLAR_OK or CELLAR_NO_MEMORY
 */
enum cellar_status cellar_history_path(const char *option, struct cellar_buffer *path)
    CELLAR_MUST_USE;

/**
 * Opens the file and reads its last CELLAR_HISTORY_LINES_MAX lines. A file that is not there is
 * made with mode 0600, its folder with 0700; one that others can read is closed to them; a long one
 * is cut.
 *
 * @param history  receives it; close it with cellar_history_close()
 * @return CELLAR_OK; CELLAR_IO_ERROR naming the file and the reason; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_history_open(const char *path, struct cellar_history **history,
                                       struct cellar_error *error) CELLAR_MUST_USE;

/** The next line that was in the file, the oldest first, without its end; false behind the last.
 * Borrowed until the next call. */
bool cellar_history_next(struct cellar_history *history, const char **line);

/**
 * Appends a line at once, so that it is kept whatever comes. Lines that begin with a blank, that
 * are empty, that are equal to the one before or that hold a line end are not kept. Takes NULL as
 * history.
 *
 * @return true when it is worth remembering
 */
bool cellar_history_add(struct cellar_history *history, const char *line);

/** Closes the file; takes NULL. */
void cellar_history_close(struct cellar_history *history);

#endif
