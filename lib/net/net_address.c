/* Addresses: "host:port" text to and from its parts; see net.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "lib/net/net_conn.h"

#define PORT_DIGITS 5

static bool parse_port(const char *text, uint16_t *port) {
    size_t size = strspn(text, "0123456789");
    if (size == 0 || size > PORT_DIGITS || text[size] != '\0' || text[0] == '0') {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool is_host(struct span host) {
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= 0x20 || host.data[i] >= 0x7f || strchr("[]/@%", host.data[i]) != NULL) {
            return false;
        }
    }
    return host.size > 0;
}

struct result net_address_parse(const char *text, char host[LIMIT_ADDRESS + 1], uint16_t *port,
                                struct err *err) {
    bool is_bracketed = text[0] == '[';
    const char *start = is_bracketed ? text + 1 : text;
    const char *end = is_bracketed ? strchr(text, ']') : strchr(text, ':');
    const char *colon = is_bracketed && end != NULL ? end + 1 : end;
    ENSURE(end != NULL && *colon == ':', err, INVALID,
           "address \"%.300s\": no port, want host:port or [IPv6]:port", text);
    ENSURE(is_bracketed || strchr(colon + 1, ':') == NULL, err, INVALID,
           "address \"%.300s\": an IPv6 address needs brackets, as in [::1]:7443", text);
    struct span name = span_of(start, (size_t)(end - start));
    ENSURE(name.size <= LIMIT_ADDRESS, err, INVALID,
           "address \"%.40s...\": host of %zu bytes, "
           "limit %d",
           text, name.size, LIMIT_ADDRESS);
    ENSURE(is_host(name), err, INVALID, "address \"%.300s\": no good host", text);
    struct sockaddr_in6 v6;
    char copy[LIMIT_ADDRESS + 1] = "";
    memcpy(copy, name.data, name.size);
    ENSURE(!is_bracketed || uv_ip6_addr(copy, 0, &v6) == 0, err, INVALID,
           "address \"%.300s\": no IPv6 address in the brackets", text);
    uint16_t number = 0;
    ENSURE(parse_port(colon + 1, &number), err, INVALID,
           "address \"%.300s\": port is not a number from 1 to 65535", text);
    memcpy(host, copy, name.size + 1);
    *port = number;
    return OK;
}

void net__address_format(const char *host, uint16_t port, char out[NET_ADDRESS_SIZE]) {
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(out, NET_ADDRESS_SIZE, "%s%.*s%s:%u", is_v6 ? "[" : "", LIMIT_ADDRESS - 2, host,
             is_v6 ? "]" : "", port);
}

void net__address_of_peer(const uv_tcp_t *tcp, char out[NET_ADDRESS_SIZE]) {
    struct sockaddr_storage storage = {0};
    struct sockaddr *address = (struct sockaddr *)&storage;
    int size = sizeof storage;
    char host[64] = "?";
    uint16_t port = 0;
    if (uv_tcp_getpeername(tcp, address, &size) == 0 &&
        uv_ip_name(address, host, sizeof host) == 0) {
        port = net__address_port(address);
    }
    net__address_format(host, port, out);
}

uint16_t net__address_port(const struct sockaddr *address) {
    struct sockaddr_storage storage = {0};
    if (address->sa_family == AF_INET6) {
        memcpy(&storage, address, sizeof(struct sockaddr_in6));
        return ntohs(((struct sockaddr_in6 *)&storage)->sin6_port);
    }
    memcpy(&storage, address, sizeof(struct sockaddr_in));
    return ntohs(((struct sockaddr_in *)&storage)->sin_port);
}
