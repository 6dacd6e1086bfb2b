/*
 * Addresses: text to sockaddr and back.
 *
 * The text is split at its last colon, so that a bracketed IPv6 address needs no rule of its own
 * but the removal of the brackets; the host is resolved by getaddrinfo(3), the port read here,
 * because getaddrinfo would also take service names and accept what strtol accepts. Only IPv4 and
 * IPv6 come out. Nothing here keeps state; getaddrinfo may block on a name server, so a loop never
 * calls this.
 */
#include "server/io/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define HOST_BYTES_MAX 256u

/* Digits only, 0 to 65535. */
static bool decode_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 5) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    if (value > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

/* The host's part without brackets, into `host` of HOST_BYTES_MAX bytes. */
static bool decode_host(const char *text, size_t length, char *host)
{
    bool has_brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (has_brackets) {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return false;
    }
    if (length == 0 || length >= HOST_BYTES_MAX) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    CELLAR_ASSERT(host[0] != '\0');
    return true;
}

static void set_port(struct io_address *address, uint16_t port)
{
    if (address->native.ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address->native;
        in->sin_port = htons(port);
    } else {
        CELLAR_ASSERT(address->native.ss_family == AF_INET6);
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->native;
        in6->sin6_port = htons(port);
    }
}

enum cellar_status io_address_decode(const char *text, struct io_address *address,
                                     struct cellar_error *error)
{
    CELLAR_ASSERT(text != NULL && address != NULL);
    char host[HOST_BYTES_MAX];
    uint16_t port = 0;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !decode_port(colon + 1, &port) ||
        !decode_host(text, (size_t)(colon - text), host)) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT,
                                "'%s' is not HOST:PORT; give a name, an IPv4 address or an IPv6 "
                                "address in brackets, and a port from 0 to 65535",
                                text);
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host, NULL, &hints, &found);
    if (failure != 0) {
        return cellar_error_set(error, CELLAR_INVALID_ARGUMENT, "cannot find the host of '%s': %s",
                                text, gai_strerror(failure));
    }
    CELLAR_ASSERT(found->ai_addrlen <= sizeof address->native);
    *address = (struct io_address){.native_bytes = found->ai_addrlen};
    memcpy(&address->native, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    set_port(address, port);
    return CELLAR_OK;
}

const char *io_address_show(const struct io_address *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    const void *bytes = NULL;
    if (address->native.ss_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)&address->native)->sin_addr;
    } else {
        CELLAR_ASSERT(address->native.ss_family == AF_INET6);
        bytes = &((const struct sockaddr_in6 *)&address->native)->sin6_addr;
    }
    (void)inet_ntop(address->native.ss_family, bytes, host, sizeof host);
    bool is_6 = address->native.ss_family == AF_INET6;
    (void)snprintf(text, IO_ADDRESS_TEXT_BYTES_MAX, "%s%s%s:%u", is_6 ? "[" : "", host,
                   is_6 ? "]" : "", (unsigned)io_address_port(address));
    return text;
}

bool io_address_is_loopback(const struct io_address *address)
{
    if (address->native.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address->native;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    CELLAR_ASSERT(address->native.ss_family == AF_INET6);
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->native;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

uint16_t io_address_port(const struct io_address *address)
{
    if (address->native.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)&address->native)->sin_port);
    }
    CELLAR_ASSERT(address->native.ss_family == AF_INET6);
    return ntohs(((const struct sockaddr_in6 *)&address->native)->sin6_port);
}
