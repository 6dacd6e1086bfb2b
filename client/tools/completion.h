#ifndef CELLAR_TOOLS_COMPLETION_H
#define CELLAR_TOOLS_COMPLETION_H

/* What makes shells ask `cellar complete`. */

/**
 * The script for a shell.
 *
 * @param shell  "bash", "zsh" or "fish"
 * @return static text; NULL for another shell
 */
const char *cellar_completion_script(const char *shell);

#endif
