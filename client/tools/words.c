/*
 * The tokenizer of command lines: of the shell, of its scripts, and of what a shell completes.
 *
 *      'it''s'  "a b"  a\ b  key\x00\\        # a comment
 *
 * Only what would cut a word is taken away here. The escapes that commands know, \xNN and \\, pass
 * through in and outside of quotes, so that a line means the same whether it is typed here or, in
 * single quotes, into another shell. Memory is two blocks whose sizes follow from the line's, since
 * no word grows. Quoting is the way back, for what completion puts behind a word. Pure.
 */

#include "client/tools/words.h"

#include "common/mem.h"

/* Where cutting stands. */
struct cutter {
    struct cellar_slice left;
    char *to;
    char quote; /* that is open, or 0 */
};

/* What separates words. */
static bool is_blank(uint8_t byte)
{
    CELLAR_ASSERT(byte != 0);
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Moves on by some bytes. */
static void step(struct cutter *cutter, size_t bytes)
{
    CELLAR_ASSERT(bytes <= cutter->left.bytes);
    cutter->left = cellar_slice_make(cutter->left.data + bytes, cutter->left.bytes - bytes);
}

/* Takes the backslash at the start of what is left, and what belongs to it. */
static void backslash_take(struct cutter *cutter)
{
    uint8_t next = cutter->left.bytes < 2 ? 0 : cutter->left.data[1];
    bool is_plain = next == '"' || (cutter->quote == 0 &&
                                    (next == '\'' || next == '#' || (next != 0 && is_blank(next))));
    CELLAR_ASSERT(cutter->left.data[0] == '\\');
    if (!is_plain) {
        *cutter->to++ = '\\';
    }
    if (next != 0) {
        *cutter->to++ = (char)next;
    }
    step(cutter, next == 0 ? 1 : 2);
}

/* Takes the word at the start of what is left, up to a blank or the end. */
static void word_take(struct cutter *cutter)
{
    CELLAR_ASSERT(cutter->quote == 0);
    while (cutter->left.bytes > 0) {
        uint8_t byte = cutter->left.data[0];
        if (cutter->quote == 0 && is_blank(byte)) {
            return;
        }
        if (byte == '\\' && cutter->quote != '\'') {
            backslash_take(cutter);
            continue;
        }
        if (cutter->quote != 0 ? byte == (uint8_t)cutter->quote : byte == '\'' || byte == '"') {
            cutter->quote = cutter->quote == 0 ? (char)byte : 0;
        } else {
            *cutter->to++ = (char)byte;
        }
        step(cutter, 1);
    }
}

/* Cuts a line for which there is room. */
static void line_cut(struct cellar_slice line, struct cellar_words *words)
{
    struct cutter cutter = {.left = line, .to = words->text + strlen(words->text) + 1};
    CELLAR_ASSERT(words->argc == 1);
    for (;;) {
        while (cutter.left.bytes > 0 && is_blank(cutter.left.data[0])) {
            step(&cutter, 1);
        }
        if (cutter.left.bytes == 0 || cutter.left.data[0] == '#') {
            return;
        }
        words->argv[words->argc++] = cutter.to;
        word_take(&cutter);
        *cutter.to++ = '\0';
        words->is_open = cutter.quote != 0;
        words->quote = cutter.quote;
        words->is_inside = cutter.left.bytes == 0;
    }
}

enum cellar_status cellar_words_split(struct cellar_slice line, struct cellar_words *words,
                                      struct cellar_error *error)
{
    static const char program[] = "cellar";
    CELLAR_ASSERT(words->argv == NULL && words->text == NULL);
    if (line.bytes > CELLAR_LINE_BYTES_MAX) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A line may have at most %u bytes, but this one has %zu",
                                CELLAR_LINE_BYTES_MAX, line.bytes);
    }
    if (line.bytes > 0 && memchr(line.data, 0, line.bytes) != NULL) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "A line holds a NUL; write \\x00 for it");
    }
    words->text = cellar_mem_zalloc(sizeof program + line.bytes + 2, 1);
    words->argv = cellar_mem_zalloc(line.bytes / 2 + 3, sizeof *words->argv);
    if (words->text == NULL || words->argv == NULL) {
        cellar_words_fini(words);
        return cellar_error_set(error, CELLAR_NO_MEMORY, "No memory for a line");
    }
    memcpy(words->text, program, sizeof program);
    words->argv[0] = words->text;
    words->argc = 1;
    line_cut(line, words);
    return CELLAR_OK;
}

/* What stands for a byte where that quote is open; NULL: the byte itself. */
static const char *quoted(uint8_t byte, char quote)
{
    static const struct {
        uint8_t byte;
        const char *text;
    } table[] = {{' ', "\\ "},   {'\t', "\\\t"}, {'\n', "\\\n"},
                 {'\r', "\\\r"}, {'\'', "\\'"},  {'#', "\\#"}};
    CELLAR_ASSERT(byte != 0);
    if (quote == '\'') {
        return byte == '\'' ? "'\\''" : NULL;
    }
    if (byte == '\\') { /* one that takes no meaning away and is not doubled stands in '..' */
        return quote == '"' ? "\"'\\'\"" : "'\\'";
    }
    if (byte == '"') {
        return "\\\"";
    }
    if (quote == '"') {
        return NULL;
    }
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(table); index++) {
        if (table[index].byte == byte) {
            return table[index].text;
        }
    }
    return NULL;
}

enum cellar_status cellar_words_quote(struct cellar_slice text, char quote,
                                      struct cellar_buffer *to)
{
    CELLAR_ASSERT(quote == 0 || quote == '\'' || quote == '"');
    for (size_t index = 0; index < text.bytes; index++) {
        const char *other = quoted(text.data[index], quote);
        CELLAR_TRY(other == NULL ? cellar_buffer_append(to, &text.data[index], 1)
                                 : cellar_buffer_append(to, other, strlen(other)));
    }
    return CELLAR_OK;
}

void cellar_words_fini(struct cellar_words *words)
{
    CELLAR_ASSERT(words != NULL);
    cellar_mem_free(words->text);
    cellar_mem_free(words->argv);
    memset(words, 0, sizeof *words);
}
