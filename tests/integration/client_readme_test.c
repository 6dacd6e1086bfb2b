/*
 * Every program of client/README.md is compiled, linked with the built libraries, and run against a
 * server in the process; it must end with 0 and print the text block that follows it.
 *
 * The README is found beside this file, the libraries beside this program. Where there is no
 * compiler called as CELLAR_TEST_CC or cc, the test is skipped.
 */
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/io/address.h"
#include "tests/support/model_service.h"

#define PROGRAM_COUNT_MAX 16

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZERS "-fsanitize=address,undefined"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZERS "-fsanitize=thread"
#else
#define SANITIZERS ""
#endif

/* A whole file with a NUL behind; freed by the caller. */
static char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0 || feof(file) != 0);
    (void)fclose(file);
    return text;
}

static void file_write(const char *path, const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* Finds the next block that begins with `fence`; its text ends before the closing fence. */
static const char *block_find(const char *text, const char *fence, size_t *bytes)
{
    const char *start = strstr(text, fence);
    if (start == NULL) {
        return NULL;
    }
    start += strlen(fence);
    const char *end = strstr(start, "\n```\n");
    assert_non_null(end);
    *bytes = (size_t)(end + 1 - start);
    return start;
}

/* The folder of this source file's project, and that of the built libraries. A path that the
 * compiler was given relative to the build's folder starts there. */
static void folders_find(char root[512], char libraries[512])
{
    char build[400];
    char source[] = __FILE__;
    char *tests = strstr(source, "tests/integration/");
    assert_non_null(tests);
    *tests = '\0';
    ssize_t bytes = readlink("/proc/self/exe", build, sizeof build - 1);
    assert_true(bytes > 0);
    build[bytes] = '\0';
    char *own_folder = strstr(build, "/tests/integration.");
    assert_non_null(own_folder);
    *own_folder = '\0';
    (void)snprintf(root, 512, "%s%s%.100s", source[0] == '/' ? "" : build,
                   source[0] == '/' ? "" : "/", source);
    (void)snprintf(libraries, 512, "%s/lib", build);
}

/* Compiles and runs one program; `wanted` is what it must print. */
static void program_run(const char *folder, const char *source, size_t source_bytes,
                        const char *wanted, size_t wanted_bytes)
{
    char root[512];
    char libraries[512];
    char path[600];
    char command[4096];
    const char *compiler = getenv("CELLAR_TEST_CC");
    folders_find(root, libraries);
    (void)snprintf(path, sizeof path, "%s/program.c", folder);
    file_write(path, source, source_bytes);
    (void)snprintf(command, sizeof command,
                   "%s -std=c17 -Wall -Wextra -Werror " SANITIZERS " -I%sclient/include "
                   "-o %s/program %s/program.c %s/libcellar_libevent.a %s/libcellar.a -levent_core "
                   "-pthread",
                   compiler == NULL ? "cc" : compiler, root, folder, folder, libraries, libraries);
    if (system(command) != 0) { // NOLINT(cert-env33-c): it is the compiler that is wanted
        fail_msg("%s", command);
    }
    (void)snprintf(command, sizeof command, "%s/program > %s/out", folder, folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
    (void)snprintf(path, sizeof path, "%s/out", folder);
    char *out = file_read(path);
    if (strlen(out) != wanted_bytes || strncmp(out, wanted, wanted_bytes) != 0) {
        fail_msg("printed:\n%s\nwanted:\n%.*s", out, (int)wanted_bytes, wanted);
    }
    free(out);
}

static void the_programs_of_the_readme_print_what_it_shows(void **state)
{
    (void)state;
    struct loopback loopback;
    struct svc_options options;
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    char root[512];
    char libraries[512];
    char path[600];
    unsigned program_count = 0;
    if (system("command -v \"${CELLAR_TEST_CC:-cc}\" >/dev/null") != 0) { // NOLINT(cert-env33-c)
        skip();
    }
    folders_find(root, libraries);
    (void)snprintf(path, sizeof path, "%sclient/README.md", root);
    char *readme = file_read(path);
    model_service_options_init(&options);
    loopback_open(&loopback, &options);
    (void)io_address_show(cellar_server_address(loopback.server), endpoint);
    assert_int_equal(setenv("CELLAR_ENDPOINT", endpoint, 1), 0);
    size_t source_bytes = 0;
    const char *source = block_find(readme, "```c\n", &source_bytes);
    while (source != NULL && program_count < PROGRAM_COUNT_MAX) {
        size_t wanted_bytes = 0;
        const char *wanted = block_find(source + source_bytes, "```text\n", &wanted_bytes);
        assert_non_null(wanted);
        program_run(loopback.folder, source, source_bytes, wanted, wanted_bytes);
        program_count++;
        source = block_find(wanted + wanted_bytes, "```c\n", &source_bytes);
    }
    assert_in_range(program_count, 3, PROGRAM_COUNT_MAX - 1);
    free(readme);
    loopback_close(&loopback);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_programs_of_the_readme_print_what_it_shows),
    };
    return cmocka_run_group_tests_name("client_readme", tests, NULL, NULL);
}
