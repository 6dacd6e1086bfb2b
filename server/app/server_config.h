#ifndef CELLAR_APP_SERVER_CONFIG_H
#define CELLAR_APP_SERVER_CONFIG_H

#include "common/config.h"
#include "common/log.h"
#include "server/io/address.h"
#include "server/service/service.h"

#define CELLAR_SERVER_VERSION "0.1.0"
#define CELLAR_SERVER_LOOP_COUNT_MAX 64u

/** What cellard was asked to do. Texts are borrowed from the cellar_config it was read from. */
struct cellar_server_config {
    const char *listen; /* as given */
    struct io_address address;
    const char *port_file; /* "" = none */
    uint32_t loop_count;
    uint32_t connection_count_max;
    uint64_t request_bytes_max_total; /* requests that are arriving or kept, all connections */
    uint64_t answer_bytes_max_total;  /* answers that wait to be sent, all connections */
    int64_t drain_us;                 /* for requests in flight when the server stops */
    enum cellar_log_level log_level;
    struct svc_options svc;
};

/** The table of cellard's options, for cellar_config_init(). */
extern const struct cellar_config_option cellar_server_options[];
extern const size_t cellar_server_option_count;

/**
 * Reads command line, environment and, where one is named, the file into `settings`.
 *
 * @param settings  made with cellar_server_options
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what is wrong where; CELLAR_NO_MEMORY
 */
enum cellar_status cellar_server_config_read(struct cellar_config *settings, int count,
                                             char *const *arguments, char *const *environment,
                                             struct cellar_error *error) CELLAR_MUST_USE;

/**
 * Turns settings into what the server is started with, and checks what concerns more than one
 * option. Looks the listen address up, which may block.
 *
 * @return CELLAR_OK; CELLAR_INVALID_ARGUMENT saying what is wrong and what to do. Where the
 * settings report errors, OK with some: settings->error_count tells, and `config` is of no use then
 */
enum cellar_status cellar_server_config_resolve(struct cellar_config *settings,
                                                struct cellar_server_config *config,
                                                struct cellar_error *error) CELLAR_MUST_USE;

#endif
