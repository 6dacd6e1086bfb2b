/*
 * Command lines from any bytes: what is cut must be no longer than the line, a line whose quotes
 * are put around a word gives that word back, and the escapes of an argument, when they are ones,
 * come back from what is printed.
 */
#include <string.h>

#include "client/tools/escape.h"
#include "client/tools/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Puts a word in single quotes and cuts it out again. */
static void quotes_check(const char *word)
{
    struct cellar_buffer line = {0};
    struct cellar_words words = {0};
    enum cellar_status status = cellar_buffer_append(&line, "'", 1);
    for (const char *at = word; status == CELLAR_OK && *at != '\0'; at++) {
        status = *at == '\'' ? cellar_buffer_append(&line, "'\\''", 4)
                             : cellar_buffer_append(&line, at, 1);
    }
    CELLAR_ASSERT(status == CELLAR_OK && cellar_buffer_append(&line, "'", 1) == CELLAR_OK);
    CELLAR_ASSERT(cellar_words_split(cellar_slice_of(&line), &words, NULL) == CELLAR_OK);
    CELLAR_ASSERT(words.argc == 2 && strcmp(words.argv[1], word) == 0);
    cellar_words_fini(&words);
    cellar_buffer_fini(&line);
}

/* Reads the escapes of a word and writes the bytes again. */
static void escapes_check(const char *word)
{
    struct cellar_buffer bytes = {0};
    struct cellar_buffer text = {0};
    struct cellar_buffer again = {0};
    if (cellar_escape_decode(cellar_slice_text(word), &bytes, NULL) == CELLAR_OK) {
        CELLAR_ASSERT(cellar_escape_encode(cellar_slice_of(&bytes), CELLAR_ESCAPE_WORD, &text) ==
                      CELLAR_OK);
        CELLAR_ASSERT(cellar_escape_decode(cellar_slice_of(&text), &again, NULL) == CELLAR_OK);
        CELLAR_ASSERT(cellar_slice_equal(cellar_slice_of(&bytes), cellar_slice_of(&again)));
        CELLAR_ASSERT(cellar_utf8_check(cellar_slice_of(&text)));
    }
    cellar_buffer_fini(&bytes);
    cellar_buffer_fini(&text);
    cellar_buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct cellar_words words = {0};
    struct cellar_error error = {0};
    size_t sum = 0;
    if (cellar_words_split(cellar_slice_make(data, bytes), &words, &error) != CELLAR_OK) {
        CELLAR_ASSERT(error.code == CELLAR_INVALID_ARGUMENT && error.text[0] != '\0');
        return 0;
    }
    for (int index = 1; index < words.argc; index++) {
        sum += strlen(words.argv[index]);
        quotes_check(words.argv[index]);
        escapes_check(words.argv[index]);
    }
    CELLAR_ASSERT(sum <= bytes && words.argv[words.argc] == NULL);
    CELLAR_ASSERT(!words.is_open || words.is_inside);
    cellar_words_fini(&words);
    return 0;
}
