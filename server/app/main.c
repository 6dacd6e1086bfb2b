/*
 * cellard: reads its options, runs one server until it is told to stop, stops it.
 *
 * SIGTERM, SIGINT and SIGHUP are blocked in every thread from the start and taken by the main
 * thread with sigtimedwait(2), so that no code runs in a signal handler. SIGHUP reads the settings
 * again (reload.h). The first of the others stops the server in good order; before that begins both
 * get their default action back, so the second one ends the process at once, which the data
 * survives as it survives any kill. SIGPIPE is ignored: sockets say EPIPE. A service manager that
 * wants to know is told of each step, and, if it asked for that, twice a watchdog's time that the
 * loops turn.
 *
 * Standard output has three lines for people when the server is ready; standard error has the log.
 * Exit codes: 0 stopped in good order, 1 could not start, 2 wrong options. With --check-data no
 * server is run: 0 the directory is sound, 1 it is damaged, 2 it cannot be checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/app/notify.h"
#include "server/app/reload.h"
#include "server/tablet/check_data.h"

#define EXIT_STOPPED 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define MMAP_BYTES_MIN (1 << 20)
#define TRIM_BYTES (16 << 20)

extern char **environ;

/* Prints a sentence that may hold paths and settings: what is not plain ASCII as \xNN, so that no
 * terminal obeys it. */
static int complain(int code, const struct cellar_error *error)
{
    CELLAR_ASSERT(error->text[0] != '\0');
    (void)fprintf(stderr, "cellard: ");
    for (const char *at = error->text; *at != '\0'; at++) {
        bool is_plain = *at >= ' ' && *at <= '~';
        (void)fprintf(stderr, is_plain ? "%c" : "\\x%02x", (unsigned char)*at);
    }
    (void)fprintf(stderr, "\n");
    return code;
}

/* A mistake in the settings; others may follow. */
static void report(void *context, const struct cellar_error *error)
{
    CELLAR_ASSERT(context != NULL);
    (void)complain(EXIT_USAGE, error);
}

/* Prints a text that a function appends to a buffer. To standard output: what was asked for is no
 * log. */
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

/* Writes the port number so that a reader sees the whole file or none. Written beside and renamed,
 * as whoever waits for the file reads it the moment it is there. Others may read it, it is no
 * secret. */
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

/* As many descriptors as the system lets us have: a connection is one. The soft limit is 1024 on
 * most systems, for programs that use select(2), which this one does not. */
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
static void set_signals(sigset_t *signals)
{
    (void)sigemptyset(signals);
    (void)sigaddset(signals, SIGTERM);
    (void)sigaddset(signals, SIGINT);
    (void)sigaddset(signals, SIGHUP);
    int failure = pthread_sigmask(SIG_BLOCK, signals, NULL);
    CELLAR_ASSERT(failure == 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Also after a reload, which ends by being ready again. */
static void tell_ready(const struct cellar_notify *notify, const struct cellar_server *server)
{
    char endpoint[IO_ADDRESS_TEXT_BYTES_MAX];
    (void)io_address_show(cellar_server_address(server), endpoint);
    CELLAR_ASSERT(endpoint[0] != '\0');
    cellar_notify_send(notify, "READY=1\nSTATUS=Serving on %s\n", endpoint);
}

/* The next signal; 0 when it is time for a sign of life. */
static int wait_for_signal(const sigset_t *signals, int64_t watchdog_us)
{
    int64_t wait_us = watchdog_us / 2;
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_nsec = (long)(wait_us % 1000000) * 1000};
    int number = sigtimedwait(signals, NULL, watchdog_us > 0 ? &wait : NULL);
    CELLAR_ASSERT(number > 0 || errno == EAGAIN || errno == EINTR);
    return number > 0 ? number : 0;
}

static void reload_settings(struct cellar_reload *reload, struct cellar_server *server,
                            const struct cellar_notify *notify)
{
    int64_t now_us = cellar_clock_monotonic_us();
    CELLAR_ASSERT(now_us > 0);
    cellar_notify_send(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", now_us);
    (void)cellar_reload_run(reload, server);
    tell_ready(notify, server);
}

/* Until it is told to stop; from here on the next such signal ends the process. A sign of life is
 * sent only while all loops turn: a server of which one thread is stuck should be restarted by
 * whoever watches it. The second SIGTERM has its default action from here on. */
static void serve(struct cellar_server *server, struct cellar_reload *reload,
                  const struct cellar_notify *notify, const sigset_t *signals)
{
    struct cellar_error error;
    int number = 0;
    CELLAR_ASSERT(server != NULL);
    while (number != SIGTERM && number != SIGINT) {
        number = wait_for_signal(signals, notify->watchdog_us);
        if (number == SIGHUP) {
            reload_settings(reload, server, notify);
        }
        if (notify->watchdog_us > 0 && cellar_server_check_loops(server, &error) == CELLAR_OK) {
            cellar_notify_send(notify, "WATCHDOG=1\n");
        }
    }
    cellar_log(CELLAR_LOG_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
    cellar_notify_send(notify, "STOPPING=1\nSTATUS=Finishing requests and writing data\n");
    sigset_t stop = *signals;
    (void)sigdelset(&stop, SIGHUP);
    (void)pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
}

/* Tells everybody who wants to know that the server serves. The port file comes first: its reader
 * may connect before the lines for people are out. */
static enum cellar_status announce(const struct cellar_server *server,
                                   const struct cellar_server_config *config,
                                   const struct cellar_notify *notify, struct cellar_error *error)
{
    uint16_t port = io_address_port(cellar_server_address(server));
    CELLAR_ASSERT(port != 0);
    if (config->port_file[0] != '\0') {
        CELLAR_TRY(write_port_file(config->port_file, port, error));
    }
    cellar_log(CELLAR_LOG_INFO, "ready", "port=%u", (unsigned)port);
    greet(server, config);
    tell_ready(notify, server);
    return CELLAR_OK;
}

/* cellar_server_stop() takes NULL and a server that started half way, so there is one way to the
 * end. */
static int run(const struct cellar_server_config *config, struct cellar_reload *reload)
{
    struct cellar_server *server = NULL;
    struct cellar_notify notify;
    struct cellar_error error;
    sigset_t signals;
    const char *file = reload->started->file;
    cellar_log_level_set(config->log_level);
    set_signals(&signals);
    raise_descriptor_limit();
    cellar_notify_open(&notify);
    cellar_log(CELLAR_LOG_INFO, "starting", "version=%s pid=%ld data_dir=\"%s\" config=\"%s\"",
               CELLAR_SERVER_VERSION, (long)getpid(), config->svc.data_dir,
               file != NULL ? file : "");
    cellar_notify_send(&notify, "STATUS=Recovering data\n");
    enum cellar_status status = cellar_server_start(config, &server, &error);
    if (status == CELLAR_OK) {
        status = announce(server, config, &notify, &error);
    }
    if (status == CELLAR_OK) {
        serve(server, reload, &notify, &signals);
    }
    cellar_server_stop(server);
    cellar_log(CELLAR_LOG_INFO, "stopped", "status=%s", cellar_status_text(status));
    cellar_notify_close(&notify);
    CELLAR_ASSERT(status == CELLAR_OK || error.code == status);
    return status == CELLAR_OK ? EXIT_STOPPED : complain(EXIT_FAILED, &error);
}

/* --check-data: findings on standard output, a line of progress on a terminal. */
static int check_data(const struct cellar_config *settings)
{
    struct cellar_error error;
    uint64_t damage_count = 0;
    const char *format = cellar_config_text(settings, "format");
    const struct tablet_check_options options = {
        .data_dir = cellar_config_text(settings, "check-data"),
        .out = stdout,
        .progress = isatty(STDERR_FILENO) ? stderr : NULL,
        .is_json = strcmp(format, "json") == 0,
    };
    cellar_error_clear(&error);
    if (!options.is_json && strcmp(format, "text") != 0) {
        (void)cellar_error_set(&error, CELLAR_INVALID_ARGUMENT,
                               "format: '%.64s' is not text or json", format);
        return complain(EXIT_USAGE, &error);
    }
    raise_descriptor_limit();
    if (tablet_check_data(&options, &damage_count, &error) != CELLAR_OK) {
        return complain(EXIT_USAGE, &error);
    }
    CELLAR_ASSERT(options.data_dir[0] != '\0');
    return damage_count == 0 ? EXIT_STOPPED : EXIT_FAILED;
}

/* What one run of the program was asked to do instead of serving. False: nothing. Before the
 * settings are resolved: help is wanted most by those whose settings are wrong. */
static bool answer_asked(const struct cellar_config *settings, int *code)
{
    CELLAR_ASSERT(settings->values != NULL);
    if (cellar_config_bool(settings, "help")) {
        *code = print(settings, "usage: cellard [OPTIONS]\n\n", cellar_config_help);
        return true;
    }
    if (cellar_config_bool(settings, "version")) {
        (void)printf("cellard %s\n", CELLAR_SERVER_VERSION);
        *code = EXIT_STOPPED;
        return true;
    }
    if (cellar_config_text(settings, "check-data")[0] != '\0') {
        *code = check_data(settings);
        return true;
    }
    return false;
}

/* Reads all layers and what they mean together. Every mistake is told. */
static int read_settings(struct cellar_config *settings, int count, char **arguments)
{
    struct cellar_error error;
    settings->report = report;
    settings->report_context = settings;
    if (cellar_server_config_read(settings, count, arguments, environ, &error) != CELLAR_OK) {
        return complain(EXIT_FAILED, &error);
    }
    CELLAR_ASSERT(settings->values != NULL);
    return EXIT_STOPPED;
}

/* All mistakes have been told by now; one is enough not to start. */
static int resolve_and_run(struct cellar_config *settings, int count, char **arguments)
{
    struct cellar_server_config config;
    struct cellar_error error;
    if (cellar_server_config_resolve(settings, &config, &error) != CELLAR_OK) {
        return complain(EXIT_FAILED, &error);
    }
    if (settings->error_count > 0) {
        return EXIT_USAGE;
    }
    if (cellar_config_bool(settings, "check-config")) {
        (void)printf("cellard: the settings are ok\n");
        return EXIT_STOPPED;
    }
    if (cellar_config_bool(settings, "print-config")) {
        return print(settings, "", cellar_config_print);
    }
    struct cellar_reload reload = {count,   arguments,        environ,         settings,
                                   &config, config.log_level, {.values = NULL}};
    int code = run(&config, &reload);
    cellar_reload_fini(&reload);
    CELLAR_ASSERT(code == EXIT_STOPPED || code == EXIT_FAILED);
    return code;
}

static int read_and_run(struct cellar_config *settings, int count, char **arguments)
{
    int code = read_settings(settings, count, arguments);
    CELLAR_ASSERT(code == EXIT_STOPPED || code == EXIT_FAILED);
    if (code != EXIT_STOPPED || (settings->error_count == 0 && answer_asked(settings, &code))) {
        return code;
    }
    return resolve_and_run(settings, count, arguments);
}

/* LMDB takes two tables of some MiB for each environment that it opens and touches little of them,
 * which costs nothing as long as they are mapped and come as zeroes. glibc would stop to map them
 * once one has been freed, and clear them in its heap: half a gigabyte for 256 open stores. */
static void memory_prepare(void)
{
    static_assert(MMAP_BYTES_MIN > 0 && TRIM_BYTES > 0, "0 would turn it off");
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES_MIN); /* other allocators know neither */
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}

int main(int count, char **arguments)
{
    struct cellar_config settings;
    memory_prepare();
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
