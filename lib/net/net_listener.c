/* Listeners: accepting within a bound, and the list of what was accepted; see net.h.
 *
 * The object lives until its socket is closed and its last connection is gone, so connections can
 * always report back to it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <sys/socket.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/net_conn.h"

struct net_listener {
    uv_loop_t *loop; /* borrowed */
    uv_tcp_t tcp;
    struct net_listen_config config; /* host is not kept; tls is a reference */
    struct net_conn *connections;    /* live ones, linked */
    size_t count;                    /* of connections */
    size_t unready_count;            /* of them, not ready yet or never */
    size_t buffered;                 /* bytes that wait in them */
    uint64_t noted_ms;               /* of the loop: that they were too many was logged then */
    uint16_t port;
    bool is_closing;
    bool is_tcp_closed;
    void (*on_closed)(void *data);
    void *closed_data;
};

/* --- The end */

static void free_listener(struct net_listener *listener) {
    tls_context_free(listener->config.tls);
    mem_free(listener);
}

/* Tells the user once nothing can call back any more; frees when nothing points here any more. */
static void settle(struct net_listener *listener) {
    if (!listener->is_tcp_closed) {
        return;
    }
    if (listener->unready_count == 0 && listener->on_closed != NULL) {
        void (*on_closed)(void *data) = listener->on_closed;
        listener->on_closed = NULL;
        on_closed(listener->closed_data);
    }
    if (listener->count == 0) {
        free_listener(listener);
    }
}

static void on_tcp_closed(uv_handle_t *handle) {
    struct net_listener *listener = handle->data;
    listener->is_tcp_closed = true;
    settle(listener);
}

void net_listener_close(struct net_listener *listener, void (*on_closed)(void *data), void *data) {
    CHECK(!listener->is_closing);
    listener->is_closing = true;
    listener->on_closed = on_closed;
    listener->closed_data = data;
    uv_close((uv_handle_t *)&listener->tcp, on_tcp_closed);
    for (struct net_conn *conn = listener->connections; conn != NULL; conn = conn->next) {
        if (!conn->was_ready) {
            net_conn_abort(conn, NULL);
        }
    }
}

/* --- Its connections */

static void remember(struct net_listener *listener, struct net_conn *conn) {
    conn->listener = listener;
    conn->next = listener->connections;
    if (conn->next != NULL) {
        conn->next->previous = conn;
    }
    listener->connections = conn;
    listener->count++;
    listener->unready_count++;
}

static void unlink_conn(struct net_listener *listener, struct net_conn *conn) {
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        listener->connections = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    listener->count--;
    listener->buffered -= conn->buffered;
    conn->buffered = 0;
}

static void refuse(struct net_listener *listener, const char *peer, const struct err *why) {
    if (listener->config.on_refused != NULL && !listener->is_closing) {
        listener->config.on_refused(listener->config.data, peer, why);
    }
}

void net__listener_forget(struct net_listener *listener, struct net_conn *conn) {
    unlink_conn(listener, conn);
    if (!conn->was_ready) {
        listener->unready_count--;
        refuse(listener, conn->peer, &conn->why);
    }
    settle(listener);
}

static struct net_conn *largest(const struct net_listener *listener) {
    struct net_conn *most = NULL;
    for (struct net_conn *conn = listener->connections; conn != NULL; conn = conn->next) {
        if (conn->state != NET_CLOSED && (most == NULL || conn->buffered > most->buffered)) {
            most = conn;
        }
    }
    return most;
}

static void note_greedy(struct net_listener *listener, const struct net_conn *greedy,
                        const struct err *why) {
    uint64_t now = uv_now(listener->loop);
    if (listener->noted_ms == 0 || now - listener->noted_ms >= LIMIT_LISTENER_NOTICE_MS) {
        log_warn("net: port %u: %s is closed: %s", listener->port, greedy->peer, why->text);
        listener->noted_ms = now;
    }
}

/* Each connection is bounded by itself, but there are many: who holds most gives way. What a closed
 * one still holds is on its way out and counts no more. */
void net__listener_count(struct net_listener *listener, struct net_conn *conn) {
    size_t most = listener->config.max_buffered;
    size_t now = conn->state == NET_CLOSED ? 0 : conn->in.size + net_conn_pending_bytes(conn);
    listener->buffered += now - conn->buffered; /* also when it is less: modulo 2^64 */
    conn->buffered = now;
    while (most > 0 && listener->buffered > most) {
        struct net_conn *greedy = largest(listener);
        CHECK(greedy != NULL);
        struct err err;
        err_ignore(err_set(&err, ERR_BUSY,
                           "over %zu bytes wait in all connections, %zu of them in this one", most,
                           greedy->buffered),
                   "reported to on_close");
        note_greedy(listener, greedy, &err);
        net__conn_fail(greedy, &err);
        listener->buffered -= greedy->buffered;
        greedy->buffered = 0;
    }
}

void net__listener_ready(struct net_listener *listener) {
    listener->unready_count--;
}

/* --- Accepting */

static void on_surplus_closed(uv_handle_t *handle) {
    mem_free(handle);
}

/* Takes the connection off the queue of the system and ends it: left there, it would look alive. */
static void turn_away(struct net_listener *listener) {
    char peer[NET_ADDRESS_SIZE] = "?";
    uv_tcp_t *surplus = mem_zalloc(sizeof *surplus);
    CHECK(uv_tcp_init(listener->loop, surplus) == 0);
    if (uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)surplus) == 0) {
        net__address_of_peer(surplus, peer);
    }
    uv_close((uv_handle_t *)surplus, on_surplus_closed);
    struct err err;
    err_ignore(err_set(&err, ERR_BUSY, "over %zu connections", listener->config.max_connections),
               "reported to on_refused");
    refuse(listener, peer, &err);
}

/* Of the same host: "address:port" up to the last colon. */
static bool is_neighbour(const struct net_conn *a, const struct net_conn *b) {
    const char *end = strrchr(a->peer, ':');
    size_t size = end == NULL ? 0 : (size_t)(end - a->peer) + 1;
    return size > 0 && strncmp(a->peer, b->peer, size) == 0 && strchr(b->peer + size, ':') == NULL;
}

/* The connection that has been in its handshake for longest, of the address of `like` unless that
 * is NULL; NULL when all are ready. New ones stand at the head of the list. */
static struct net_conn *oldest_unready(const struct net_listener *listener,
                                       const struct net_conn *like, size_t *count) {
    struct net_conn *oldest = NULL;
    *count = 0;
    for (struct net_conn *conn = listener->connections; conn != NULL; conn = conn->next) {
        if (conn->state == NET_HANDSHAKE && (like == NULL || is_neighbour(like, conn))) {
            oldest = conn;
            *count += 1;
        }
    }
    return oldest;
}

/* Full: whoever holds places without a handshake must not keep others out, so the slowest one
 * makes room; it counts until its handles are closed, hence the second bound. False when there is
 * none. */
static bool make_room(struct net_listener *listener) {
    size_t most = listener->config.max_connections;
    size_t count = 0;
    struct net_conn *slow =
        listener->count < 2 * most ? oldest_unready(listener, NULL, &count) : NULL;
    if (slow == NULL) {
        return false;
    }
    struct err err;
    err_ignore(err_set(&err, ERR_BUSY, "over %zu connections, and no handshake yet", most),
               "reported to on_refused");
    net__conn_fail(slow, &err);
    return true;
}

/* One address must not use up the places of all. */
static void limit_address(struct net_listener *listener, const struct net_conn *newest) {
    size_t most = listener->config.max_unready;
    size_t count = 0;
    struct net_conn *slow = most > 0 ? oldest_unready(listener, newest, &count) : NULL;
    if (slow != NULL && count > most) {
        struct err err;
        err_ignore(err_set(&err, ERR_BUSY, "over %zu handshakes of one address", most),
                   "reported to on_refused");
        net__conn_fail(slow, &err);
    }
}

static RESULT admit(struct net_listener *listener, struct err *err) {
    const struct net_listen_config *config = &listener->config;
    struct net_conn *conn = NULL;
    TRY(net__conn_new(listener->loop, config->tls, &conn, err));
    conn->state = NET_HANDSHAKE;
    conn->calls = config->calls;
    conn->data = config->data;
    conn->handshake_ms = config->handshake_ms;
    conn->idle_ms = config->idle_ms;
    if (config->frame_limit > 0) {
        net_conn_set_frame_limit(conn, config->frame_limit);
    }
    remember(listener, conn);
    net__conn_open_tcp(conn);
    int status = uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)&conn->tcp);
    if (status < 0) {
        struct result r = err_set(err, ERR_IO, "accept: %s", uv_strerror(status));
        net__conn_fail(conn, err);
        return r;
    }
    net__address_of_peer(&conn->tcp, conn->peer);
    limit_address(listener, conn);
    net__conn_start_timer(conn);
    net__conn_start(conn);
    return OK;
}

static void on_connection(uv_stream_t *stream, int status) {
    struct net_listener *listener = stream->data;
    struct err err;
    if (status < 0) {
        log_warn("net: port %u: accept: %s", listener->port, uv_strerror(status));
    } else if (listener->count >= listener->config.max_connections && !make_room(listener)) {
        turn_away(listener);
    } else if (!is_ok(admit(listener, &err))) {
        log_warn("net: port %u: %s", listener->port, err.text);
    }
}

/* --- Listening */

static RESULT set_reuse_port(struct net_listener *listener, struct err *err) {
    uv_os_fd_t fd = -1;
    int yes = 1;
    bool is_set = uv_fileno((uv_handle_t *)&listener->tcp, &fd) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0;
    ENSURE(is_set, err, UNAVAILABLE, "SO_REUSEPORT is refused");
    return OK;
}

static RESULT read_port(struct net_listener *listener, struct err *err) {
    struct sockaddr_storage storage = {0};
    int size = sizeof storage;
    struct sockaddr *address = (struct sockaddr *)&storage;
    ENSURE(uv_tcp_getsockname(&listener->tcp, address, &size) == 0, err, UNAVAILABLE, "no port");
    listener->port = net__address_port(address);
    return OK;
}

static RESULT bind_tcp(struct net_listener *listener, const struct sockaddr *address,
                       struct err *err) {
    if (listener->config.reuse_port) {
        TRY(set_reuse_port(listener, err));
    }
    int status = uv_tcp_bind(&listener->tcp, address, 0);
    if (status == 0) {
        status = uv_listen((uv_stream_t *)&listener->tcp, NET_BACKLOG, on_connection);
    }
    ENSURE(status == 0, err, UNAVAILABLE, "cannot listen: %s", uv_strerror(status));
    return read_port(listener, err);
}

/* The addresses of the configured host, the caller's (uv_freeaddrinfo); NULL if there are none. */
static struct addrinfo *resolve(uv_loop_t *loop, const struct net_listen_config *config) {
    char service[8];
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_protocol = IPPROTO_TCP};
    uv_getaddrinfo_t request;
    snprintf(service, sizeof service, "%u", config->port);
    int status = uv_getaddrinfo(loop, &request, NULL, config->host, service, &hints);
    return status == 0 ? request.addrinfo : NULL;
}

static struct net_listener *new_listener(uv_loop_t *loop, const struct net_listen_config *config,
                                         int family) {
    struct net_listener *listener = mem_zalloc(sizeof *listener);
    listener->loop = loop;
    listener->config = *config;
    listener->config.host = NULL;
    tls_context_ref(config->tls);
    CHECK(uv_tcp_init_ex(loop, &listener->tcp, (unsigned)family) == 0);
    listener->tcp.data = listener;
    return listener;
}

struct result net_listen(uv_loop_t *loop, const struct net_listen_config *config,
                         struct net_listener **out, struct err *err) {
    char text[NET_ADDRESS_SIZE];
    net__address_format(config->host, config->port, text);
    struct addrinfo *addresses = resolve(loop, config);
    ENSURE(addresses != NULL, err, CONFIG, "%s: cannot listen: the name does not resolve", text);
    struct net_listener *listener = new_listener(loop, config, addresses->ai_family);
    struct result r = bind_tcp(listener, addresses->ai_addr, err);
    uv_freeaddrinfo(addresses);
    if (!is_ok(r)) {
        net_listener_close(listener, NULL, NULL);
        return err_wrap(r, err, "%s", text);
    }
    *out = listener;
    return OK;
}

uint16_t net_listener_port(const struct net_listener *listener) {
    return listener->port;
}

size_t net_listener_connection_count(const struct net_listener *listener) {
    return listener->count;
}
