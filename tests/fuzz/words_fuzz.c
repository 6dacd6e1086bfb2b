/*
 * Command lines from any bytes: what is cut must be no longer than the line, a word
 * that is quoted comes back, and the escapes of an argument, when they are ones,
 * come back from what is printed.
 */
#include <string.h>

#include "client/tools/escape.h"
#include "client/tools/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Quotes a word behind the beginning of one, in each state of quotes, and cuts both out again. */
static void quotes_check(const char *word)
{
    static const char quotes[] = {'\'', '"', 0};
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(quotes); index++) {
        size_t quote_bytes = quotes[index] == 0 ? 0 : 1;
        struct cellar_buffer line = {0};
        struct cellar_words words = {0};
        CELLAR_ASSERT(cellar_buffer_append(&line, &quotes[index], quote_bytes) == CELLAR_OK);
        CELLAR_ASSERT(cellar_buffer_append(&line, "a", 1) == CELLAR_OK);
        CELLAR_ASSERT(cellar_words_quote(cellar_slice_text(word), quotes[index], &line) ==
                      CELLAR_OK);
        CELLAR_ASSERT(cellar_words_split(cellar_slice_of(&line), &words, NULL) == CELLAR_OK);
        CELLAR_ASSERT(words.argc == 2 && words.quote == quotes[index]);
        CELLAR_ASSERT(words.argv[1][0] == 'a' && strcmp(words.argv[1] + 1, word) == 0);
        cellar_words_fini(&words);
        cellar_buffer_fini(&line);
    }
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
