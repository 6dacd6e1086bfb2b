#ifndef CELLAR_TOOLS_WORDS_H
#define CELLAR_TOOLS_WORDS_H

#include "common/buf.h"

/* A line that somebody typed, cut into the words of a command. */

#define CELLAR_LINE_BYTES_MAX (16u << 20)

/** Zero-initialised is empty; freed with cellar_words_fini(). */
struct cellar_words {
    char **argv;    /* `count` words and a NULL, the place before them free: argv[0] is "cellar" */
    int argc;       /* with argv[0] */
    bool is_open;   /* a quote is not closed */
    char quote;     /* that one, or 0 */
    bool is_inside; /* the line ends in a word, not behind one */
    char *text;     /* what argv points into */
};

/**
 * Cuts a line. Blanks end a word; '..' and ".." keep them; a backslash takes the meaning from a
 * blank, a quote and a '#' behind it; every other escape (\xNN, \\) stays for the command, also
 * within quotes. A '#' where a word could begin ends the line.
 *
 * @param words  zeroed before; freed by the caller on success only
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT for a NUL or a line above CELLAR_LINE_BYTES_MAX;
 *         CELLAR_NO_MEMORY
 */
enum cellar_status cellar_words_split(struct cellar_slice line, struct cellar_words *words,
                                      struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Appends text so that it goes on with the word in which a line ends: cutting the longer line gives
 * the longer word.
 *
 * @param text   without NUL
 * @param quote  that is open there, or 0; it stays open. What is there does not end in a backslash
 *               that is open
 * @return CELLAR_OK; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_words_quote(struct cellar_slice text, char quote,
                                      struct cellar_buffer *to) CELLAR_MUST_USE;

/** Frees the words. */
void cellar_words_fini(struct cellar_words *words);

#endif
