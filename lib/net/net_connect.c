/* Outgoing connections: resolve, then one address after the other, then the handshake; see net.h.
 *
 * A numeric address takes no name service. An attempt that fails closes its socket; on_tcp_closed
 * (net_conn.c) comes back here for the next address. The handshake timer runs over all of it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "lib/net/net_conn.h"

static void on_connected(uv_connect_t *request, int status);

static void fail_connect(struct net_conn *conn, const char *what, int status) {
    struct err err;
    net__conn_note_status(conn, status);
    err_ignore(err_set(&err, ERR_UNAVAILABLE, "%s: %s", what, uv_strerror(status)), "passed on");
    net__conn_fail(conn, &err);
}

/* Ends one attempt: the next address if there is one, else the connection. */
static void end_attempt(struct net_conn *conn, int status) {
    if (conn->address != NULL) {
        net__conn_close_tcp(conn);
    } else {
        fail_connect(conn, "cannot connect", status);
    }
}

static void attempt(struct net_conn *conn, const struct sockaddr *address) {
    net__conn_open_tcp(conn);
    conn->connect.data = conn;
    int status = uv_tcp_connect(&conn->connect, &conn->tcp, address, on_connected);
    if (status == 0) {
        conn->pending++;
    } else {
        end_attempt(conn, status);
    }
}

static void on_connected(uv_connect_t *request, int status) {
    struct net_conn *conn = request->data;
    if (conn->state == NET_CONNECTING && status == 0) {
        net__conn_move(conn, NET_HANDSHAKE);
        net__conn_start(conn);
    } else if (conn->state == NET_CONNECTING) {
        end_attempt(conn, status);
    }
    net__conn_release(conn);
}

void net__connect_next(struct net_conn *conn) {
    struct addrinfo *now = conn->address;
    conn->address = now->ai_next;
    attempt(conn, now->ai_addr);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses) {
    struct net_conn *conn = request->data;
    conn->addresses = addresses;
    if (conn->state == NET_RESOLVING && status == 0) {
        net__conn_move(conn, NET_CONNECTING);
        conn->address = addresses;
        net__connect_next(conn);
    } else if (conn->state == NET_RESOLVING) {
        fail_connect(conn, "name does not resolve", status);
    }
    net__conn_release(conn);
}

static void start_resolving(struct net_conn *conn) {
    char service[8];
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    snprintf(service, sizeof service, "%u", conn->port);
    conn->resolve.data = conn;
    int status =
        uv_getaddrinfo(conn->loop, &conn->resolve, on_resolved, conn->host, service, &hints);
    if (status == 0) {
        conn->pending++;
    } else {
        fail_connect(conn, "name does not resolve", status);
    }
}

static bool start_numeric(struct net_conn *conn) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    if (uv_ip4_addr(conn->host, conn->port, &address.v4) != 0 &&
        uv_ip6_addr(conn->host, conn->port, &address.v6) != 0) {
        return false;
    }
    net__conn_move(conn, NET_CONNECTING);
    attempt(conn, &address.any);
    return true;
}

struct result net_connect(uv_loop_t *loop, const struct net_connect_config *config,
                          struct net_conn **out, struct err *err) {
    size_t size = strlen(config->host);
    ENSURE(size > 0 && size <= LIMIT_ADDRESS, err, INVALID, "host of %zu bytes, want 1..%d", size,
           LIMIT_ADDRESS);
    struct net_conn *conn = NULL;
    TRY(net__conn_new(loop, config->tls, &conn, err));
    memcpy(conn->host, config->host, size + 1);
    conn->port = config->port;
    net__address_format(conn->host, conn->port, conn->peer);
    conn->calls = config->calls;
    conn->data = config->data;
    conn->handshake_ms = config->handshake_ms;
    conn->idle_ms = config->idle_ms;
    if (config->frame_limit > 0) {
        net_conn_set_frame_limit(conn, config->frame_limit);
    }
    if (config->accept_peer != NULL) {
        tls_set_accept_peer(conn->tls, config->accept_peer, config->accept_data);
    }
    net__conn_start_timer(conn);
    if (!start_numeric(conn)) {
        start_resolving(conn);
    }
    *out = conn;
    return OK;
}
