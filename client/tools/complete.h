#ifndef CELLAR_TOOLS_COMPLETE_H
#define CELLAR_TOOLS_COMPLETE_H

#include "client/tools/tool.h"

/* What may come next on a command line; for shells, and for cellar's own. */

/** A line, the only one then, that says that names of files, or of folders, may stand here: shells
 * find these themselves, cellar's own with file_names.h. */
#define CELLAR_COMPLETE_FILES "@files"
#define CELLAR_COMPLETE_FOLDERS "@folders"

/**
 * Appends what the last word may become: a line each, the whole word, then where there is one a tab
 * and what it means. Names of tables and families are asked of the server, for a third of a second
 * at most; without an answer there are none. Only words that need no quotes in any shell are given.
 *
 * @param tool   its client is used when it has one; else one is opened for the line's endpoint
 * @param words  `count` >= 1 words behind "cellar", the last one as far as it was typed
 * @param to     receives the lines; CELLAR_NO_MEMORY leaves some of them
 */
enum cellar_status cellar_complete(struct cellar_tool *tool, const char *const *words, size_t count,
                                   struct cellar_buffer *to) CELLAR_MUST_USE;

#endif
