/*
 * The main() of a fuzz target outside the fuzz preset: feeds the empty input and then every file of
 * the folders (or the files) on the command line to LLVMFuzzerTestOneInput(), in the order of their
 * names, so that each crash ever found stays a test. A folder that is not there counts as empty: a
 * new target has no corpus yet.
 *
 * Each input lives in a heap block of exactly its size, so that the address sanitizer sees a read
 * past its end. The name is printed before the run: after a crash the last line names the input.
 *
 * One thread; no cmocka. Exit code 0: all inputs ran; 1: one could not be read.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay_file(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t bytes = (size_t)status.st_size;
    uint8_t *data = malloc(bytes);
    size_t got = data == NULL ? 0 : fread(data, 1, bytes, file);
    (void)fclose(file);
    int failed = data == NULL || got != bytes;
    if (!failed) {
        (void)printf("%s (%zu bytes)\n", path, bytes);
        (void)fflush(stdout);
        (void)LLVMFuzzerTestOneInput(data, bytes);
    }
    free(data);
    return failed;
}

static int replay_folder(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    int failed = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        int length = snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof name) {
            failed |= replay_file(name);
        }
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    uint8_t nothing = 0;
    (void)LLVMFuzzerTestOneInput(&nothing, 0);
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) != 0) {
            (void)printf("%s: no corpus yet\n", argv[i]);
            continue;
        }
        failed |= S_ISDIR(status.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
    }
    return failed;
}
