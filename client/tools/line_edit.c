/*
 * The line editor: libedit behind the few calls that a shell needs. Nothing else includes it.
 *
 * While a line is edited Ctrl-C and Ctrl-Z are keys like any other, bound to dropping the line and
 * to suspending, so that no signal arrives in the middle of libedit. Between lines the terminal is
 * as it was, and Ctrl-C is a signal for whoever runs then.
 *
 * Tab asks for candidates, puts in what they have in common, and shows them when nothing is left to
 * put in. What is put in is quoted as the line's words are (words.h), and a word that is whole gets
 * its quote closed and a blank behind it; one that ends in ':', '=' or '/' is to go on.
 */

#include "client/tools/line_edit.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/tools/history.h"
#include "client/tools/words.h"
#include "common/mem.h"

#define LIST_MAX 60u  /* candidates that are shown */
#define LIST_WIDTH 28 /* of a candidate, before what it means */

struct cellar_line_edit {
    EditLine *editor;
    History *history;
    struct cellar_line_edit_options options;
    bool is_cancelled;
    struct cellar_buffer line;
};

/* ---- keys ---------------------------------------------------------------------------------- */

/* The editor that a key was pressed in. */
static struct cellar_line_edit *edit_of(EditLine *editor)
{
    struct cellar_line_edit *edit = NULL;
    (void)el_get(editor, EL_CLIENTDATA, &edit);
    CELLAR_ASSERT(edit != NULL && edit->editor == editor);
    return edit;
}

static char *prompt_get(EditLine *editor)
{
    struct cellar_line_edit *edit = edit_of(editor);
    CELLAR_ASSERT(edit->options.prompt != NULL);
    return (char *)(uintptr_t)edit->options.prompt; /* libedit only reads it */
}

/* Ctrl-C: the line is over and counts for nothing. */
static unsigned char cancel_key(EditLine *editor, int key)
{
    struct cellar_line_edit *edit = edit_of(editor);
    (void)key;
    CELLAR_ASSERT(edit->options.prompt != NULL);
    edit->is_cancelled = true;
    (void)fputs("^C\n", stdout);
    (void)fflush(stdout);
    return CC_NEWLINE;
}

/* Ctrl-Z: suspends the program, as it would without an editor. */
static unsigned char suspend_key(EditLine *editor, int key)
{
    (void)key;
    CELLAR_ASSERT(editor != NULL);
    (void)raise(SIGTSTP); /* libedit gives the terminal back before, and takes it again after */
    return CC_REDISPLAY;
}

/* How many bytes the candidates begin with in common; `count` receives how many there are. */
static size_t common_measure(struct cellar_slice lines, size_t *count)
{
    const uint8_t *first = lines.data;
    size_t common = 0;
    *count = 0;
    while (lines.bytes > 0) {
        const uint8_t *end = memchr(lines.data, '\n', lines.bytes);
        CELLAR_ASSERT(end != NULL);
        size_t line_bytes = (size_t)(end - lines.data);
        const uint8_t *tab = memchr(lines.data, '\t', line_bytes);
        size_t bytes = tab == NULL ? line_bytes : (size_t)(tab - lines.data);
        common = *count == 0 ? bytes : CELLAR_MIN(common, bytes);
        for (size_t index = 0; index < common; index++) {
            if (lines.data[index] != first[index]) {
                common = index;
            }
        }
        ++*count;
        lines = cellar_slice_make(end + 1, lines.bytes - line_bytes - 1);
    }
    return common;
}

/* Shows the candidates below the line. */
static void list_show(struct cellar_slice lines)
{
    size_t count = 0;
    (void)fputs("\n", stdout);
    for (; lines.bytes > 0 && count < LIST_MAX; count++) {
        const uint8_t *end = memchr(lines.data, '\n', lines.bytes);
        CELLAR_ASSERT(end != NULL);
        size_t line_bytes = (size_t)(end - lines.data);
        const uint8_t *tab = memchr(lines.data, '\t', line_bytes);
        int name_bytes = tab == NULL ? (int)line_bytes : (int)(tab - lines.data);
        (void)fprintf(stdout, "  %-*.*s  %.*s\n", LIST_WIDTH, name_bytes, (const char *)lines.data,
                      tab == NULL ? 0 : (int)(end - tab - 1),
                      tab == NULL ? "" : (const char *)tab + 1);
        lines = cellar_slice_make(end + 1, lines.bytes - line_bytes - 1);
    }
    if (lines.bytes > 0) {
        (void)fputs("  ...\n", stdout);
    }
    (void)fflush(stdout);
}

/* Puts in the bytes that are missing; a word that is whole is closed. */
static unsigned char text_insert(struct cellar_line_edit *edit, struct cellar_slice text,
                                 char quote, bool is_whole)
{
    struct cellar_buffer more = {0};
    enum cellar_status status = cellar_words_quote(text, quote, &more);
    if (status == CELLAR_OK && is_whole && quote != 0) {
        status = cellar_buffer_append(&more, &quote, 1);
    }
    if (status == CELLAR_OK && is_whole) {
        status = cellar_buffer_append(&more, " ", 1);
    }
    bool is_some =
        status == CELLAR_OK && more.bytes > 0 && cellar_buffer_append(&more, "", 1) == CELLAR_OK;
    bool is_done = is_some && el_insertstr(edit->editor, (const char *)more.data) == 0;
    CELLAR_ASSERT(!is_done || more.bytes > 1);
    cellar_buffer_fini(&more);
    return is_done ? CC_REFRESH : CC_ERROR;
}

/* Puts in what the candidates have in common behind what was typed, or shows them. */
static unsigned char candidates_use(struct cellar_line_edit *edit,
                                    const struct cellar_line_candidates *found)
{
    struct cellar_slice lines = cellar_slice_of(&found->lines);
    size_t count;
    size_t common = common_measure(lines, &count);
    if (count == 0) {
        return CC_ERROR;
    }
    CELLAR_ASSERT(common >= found->typed);
    /* Two characters of several bytes may begin alike: only whole ones are put in. */
    while (common > found->typed && (lines.data[common] & 0xc0) == 0x80) {
        common--;
    }
    if (count > 1 && common == found->typed) {
        list_show(lines);
        return CC_REDISPLAY;
    }
    uint8_t last = common == 0 ? ':' : lines.data[common - 1];
    bool is_whole = count == 1 && last != ':' && last != '=' && last != '/';
    return text_insert(edit, cellar_slice_make(lines.data + found->typed, common - found->typed),
                       found->quote, is_whole);
}

/* Tab: completes the word at the cursor. */
static unsigned char complete_key(EditLine *editor, int key)
{
    struct cellar_line_edit *edit = edit_of(editor);
    struct cellar_line_candidates found = {0};
    struct cellar_buffer before = {0};
    const LineInfo *info = el_line(editor);
    unsigned char answer = CC_ERROR;
    (void)key;
    CELLAR_ASSERT(info->cursor >= info->buffer);
    if (cellar_buffer_append(&before, info->buffer, (size_t)(info->cursor - info->buffer)) ==
            CELLAR_OK &&
        cellar_buffer_append(&before, "", 1) == CELLAR_OK &&
        edit->options.complete(edit->options.context, (const char *)before.data, &found) ==
            CELLAR_OK) {
        answer = candidates_use(edit, &found);
    }
    cellar_buffer_fini(&before);
    cellar_buffer_fini(&found.lines);
    return answer;
}

/* ---- the editor ---------------------------------------------------------------------------- */

/* Keys, prompt and history of an editor that was made. */
static bool editor_setup(struct cellar_line_edit *edit)
{
    HistEvent event;
    CELLAR_ASSERT(edit->editor != NULL && edit->history != NULL);
    return history(edit->history, &event, H_SETSIZE, (int)CELLAR_HISTORY_LINES_MAX) >= 0 &&
           history(edit->history, &event, H_SETUNIQUE, 1) >= 0 &&
           el_set(edit->editor, EL_CLIENTDATA, edit) == 0 &&
           el_set(edit->editor, EL_PROMPT, prompt_get) == 0 &&
           el_set(edit->editor, EL_EDITOR, "emacs") == 0 &&
           el_set(edit->editor, EL_HIST, history, edit->history) == 0 &&
           el_set(edit->editor, EL_ADDFN, "cellar-complete", "complete a word", complete_key) ==
               0 &&
           el_set(edit->editor, EL_ADDFN, "cellar-suspend", "suspend the program", suspend_key) ==
               0 &&
           el_set(edit->editor, EL_ADDFN, "cellar-cancel", "drop the line", cancel_key) == 0;
}

/* Binds the keys that this program needs, after the user's own. */
static void editor_bind(struct cellar_line_edit *edit)
{
    static const char *const keys[][2] = {
        {"^I", "cellar-complete"}, {"^C", "cellar-cancel"}, {"^Z", "cellar-suspend"}};
    CELLAR_ASSERT(edit->editor != NULL);
    (void)el_set(edit->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(edit->editor, NULL); /* ~/.editrc, when there is one */
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(keys); index++) {
        (void)el_set(edit->editor, EL_BIND, keys[index][0], keys[index][1], NULL);
    }
    (void)el_set(edit->editor, EL_SETTY, "-d", "-isig", NULL); /* while editing they are keys */
    (void)el_set(edit->editor, EL_SIGNAL, 1);
}

enum cellar_status cellar_line_edit_open(const struct cellar_line_edit_options *options,
                                         struct cellar_line_edit **edit)
{
    CELLAR_ASSERT(options->prompt != NULL && options->complete != NULL);
    struct cellar_line_edit *made = cellar_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return CELLAR_NO_MEMORY;
    }
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        (void)setlocale(LC_CTYPE, "C.UTF-8"); /* keys and values are UTF-8 if they are text */
    }
    made->options = *options;
    made->history = history_init();
    made->editor = el_init("cellar", stdin, stdout, stderr);
    if (made->history == NULL || made->editor == NULL || !editor_setup(made)) {
        cellar_line_edit_close(made);
        return CELLAR_NO_MEMORY;
    }
    editor_bind(made);
    *edit = made;
    return CELLAR_OK;
}

void cellar_line_edit_remember(struct cellar_line_edit *edit, const char *line)
{
    HistEvent event;
    CELLAR_ASSERT(line != NULL);
    (void)history(edit->history, &event, H_ENTER, line);
}

enum cellar_line_end cellar_line_edit_read(struct cellar_line_edit *edit, const char **line)
{
    int bytes = 0;
    edit->is_cancelled = false;
    /* Before the prompt is seen: what is typed at once would else be the terminal's own to read. */
    (void)el_set(edit->editor, EL_PREP_TERM, 1);
    const char *got = el_gets(edit->editor, &bytes);
    CELLAR_ASSERT(got != NULL || bytes <= 0);
    if (edit->is_cancelled) {
        el_reset(edit->editor);
        return CELLAR_LINE_CANCELLED;
    }
    if (got == NULL) {
        return CELLAR_LINE_OVER;
    }
    while (bytes > 0 && (got[bytes - 1] == '\n' || got[bytes - 1] == '\r')) {
        bytes--;
    }
    cellar_buffer_clear(&edit->line);
    if (cellar_buffer_append(&edit->line, got, (size_t)bytes) != CELLAR_OK ||
        cellar_buffer_append(&edit->line, "", 1) != CELLAR_OK) {
        return CELLAR_LINE_OVER;
    }
    *line = (const char *)edit->line.data;
    return CELLAR_LINE_READ;
}

void cellar_line_edit_close(struct cellar_line_edit *edit)
{
    if (edit == NULL) {
        return;
    }
    CELLAR_ASSERT(edit->options.prompt != NULL);
    if (edit->editor != NULL) {
        el_end(edit->editor);
    }
    if (edit->history != NULL) {
        history_end(edit->history);
    }
    cellar_buffer_fini(&edit->line);
    cellar_mem_free(edit);
}
