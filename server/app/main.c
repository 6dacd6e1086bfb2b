/*
 * cellard: reads its options, runs one server until it is told to stop, stops it.
 *
 * SIGTERM and SIGINT are blocked in every thread from the start and taken by the main thread with
 * sigwait(3), so that no code runs in a signal handler. The first one stops the server in good
 * order; before that begins both get their default action back, so the second one ends the process
 * at once, which the data survives as it survives any kill. SIGPIPE is ignored: sockets say EPIPE.
 *
 * Standard output has three lines for people when the server is ready; standard error has the log.
 * Exit codes: 0 stopped in good order, 1 could not start, 2 wrong options.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/app/server.h"

#define EXIT_STOPPED 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

extern char **environ;

static int complain(int code, const struct cellar_error *error)
{
    CELLAR_ASSERT(error->text[0] != '\0');
    (void)fprintf(stderr, "cellard: %s\n", error->text);
    return code;
}

/* Prints a text that a function appends to a buffer. */
static int print(const struct cellar_config *settings, const char *before,
                 enum cellar_status (*append)(const struct cellar_config *settings,
                                              struct cellar_buffer *to))
{
    struct cellar_buffer text = {0};
    enum cellar_status status = append(settings, &text);
    CELLAR_ASSERT(status == CELLAR_OK || status == CELLAR_NO_MEMORY);
    if (status == CELLAR_OK) {
        (void)printf("%s%.*s", before, (int)text.bytes, (const char *)text.data);
    }
    cellar_buffer_fini(&text);
    return status == CELLAR_OK ? EXIT_STOPPED : EXIT_FAILED;
}

/* Writes the port number so that a reader sees the whole file or none. */
static enum cellar_status write_port_file(const char *path, uint16_t port,
                                          struct cellar_error *error)
{
    char temporary[PATH_MAX];
    char text[16];
    int length = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    int text_bytes = snprintf(text, sizeof text, "%u\n", (unsigned)port);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "port_file: the path is too long");
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool is_written = fd >= 0 && write(fd, text, (size_t)text_bytes) == text_bytes;
    if (fd >= 0) {
        is_written = close(fd) == 0 && is_written;
    }
    if (!is_written || rename(temporary, path) != 0) {
        (void)cellar_error_set(error, CELLAR_IO_ERROR, "cannot write the port file %s: %s", path,
                               strerror(errno));
        (void)unlink(temporary);
        return CELLAR_IO_ERROR;
    }
    CELLAR_ASSERT(port != 0);
    return CELLAR_OK;
}

/* The three lines for people: where, with which data, and what to try next. */
static void greet(const struct cellar_server *server, const struct cellar_server_config *config)
{
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    char path[PATH_MAX];
    (void)io_address_show(cellar_server_address(server), endpoint);
    const char *data_dir = realpath(config->svc.data_dir, path);
    bool is_default = strcmp(endpoint, "127.0.0.1:8086") == 0;
    CELLAR_ASSERT(endpoint[0] != '\0');
    (void)printf("cellard %s serves on %s\n", CELLAR_SERVER_VERSION, endpoint);
    (void)printf("data directory: %s\n", data_dir != NULL ? data_dir : config->svc.data_dir);
    if (is_default) {
        (void)printf("next: cellar ping\n");
    } else {
        (void)printf("next: cellar ping --endpoint %s\n", endpoint);
    }
    (void)fflush(stdout);
}

/* As many descriptors as the system lets us have: a connection is one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    CELLAR_ASSERT(limit.rlim_cur > 0);
}

/* Before any thread is started, so that all of them inherit the mask. */
static void set_stop_signals(sigset_t *stop)
{
    (void)sigemptyset(stop);
    (void)sigaddset(stop, SIGTERM);
    (void)sigaddset(stop, SIGINT);
    int failure = pthread_sigmask(SIG_BLOCK, stop, NULL);
    CELLAR_ASSERT(failure == 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Until the first signal; from here on the next one ends the process. */
static void wait_for_stop(const sigset_t *stop)
{
    int number = 0;
    int failure = sigwait(stop, &number);
    CELLAR_ASSERT(failure == 0);
    cellar_log(CELLAR_LOG_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
    (void)pthread_sigmask(SIG_UNBLOCK, stop, NULL);
}

static int run(const struct cellar_server_config *config)
{
    struct cellar_server *server = NULL;
    struct cellar_error error;
    sigset_t stop;
    cellar_log_level_set(config->log_level);
    set_stop_signals(&stop);
    raise_descriptor_limit();
    if (cellar_server_start(config, &server, &error) != CELLAR_OK) {
        return complain(EXIT_FAILED, &error);
    }
    uint16_t port = io_address_port(cellar_server_address(server));
    if (config->port_file[0] != '\0' &&
        write_port_file(config->port_file, port, &error) != CELLAR_OK) {
        cellar_server_stop(server);
        return complain(EXIT_FAILED, &error);
    }
    greet(server, config);
    wait_for_stop(&stop);
    cellar_server_stop(server);
    cellar_log(CELLAR_LOG_INFO, "stopped", "port=%u", (unsigned)port);
    return EXIT_STOPPED;
}

static int read_and_run(struct cellar_config *settings, int count, char **arguments)
{
    struct cellar_server_config config;
    struct cellar_error error;
    CELLAR_ASSERT(settings->values != NULL);
    if (cellar_server_config_read(settings, count, arguments, environ, &error) != CELLAR_OK) {
        return complain(EXIT_USAGE, &error);
    }
    if (cellar_config_bool(settings, "help")) {
        return print(settings, "usage: cellard [OPTIONS]\n\n", cellar_config_help);
    }
    if (cellar_config_bool(settings, "version")) {
        (void)printf("cellard %s\n", CELLAR_SERVER_VERSION);
        return EXIT_STOPPED;
    }
    if (cellar_server_config_resolve(settings, &config, &error) != CELLAR_OK) {
        return complain(EXIT_USAGE, &error);
    }
    if (cellar_config_bool(settings, "print-config")) {
        return print(settings, "", cellar_config_print);
    }
    return run(&config);
}

int main(int count, char **arguments)
{
    struct cellar_config settings;
    if (cellar_config_init(&settings, cellar_server_options, cellar_server_option_count) !=
        CELLAR_OK) {
        (void)fprintf(stderr, "cellard: no memory for settings\n");
        return EXIT_FAILED;
    }
    int code = read_and_run(&settings, count, arguments);
    cellar_config_fini(&settings);
    CELLAR_ASSERT(code >= EXIT_STOPPED && code <= EXIT_USAGE);
    return code;
}
