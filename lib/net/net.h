/* Net: listeners and connections on libuv; a connection is a TCP stream, TLS and frames in one.
 *
 *     net_listen  -> accept -> handshake -> on_ready -> on_frame ... -> on_close
 *     net_connect -> resolve, connect, handshake -> on_ready -> on_frame ... -> on_close
 *
 * A net_conn belongs to this layer: it is alive until on_close returns. on_close comes exactly
 * once, last, and never from inside net_connect, net_send, net_conn_close or net_conn_abort; so
 * these may be called in any callback. Any failure (TLS, a bad frame, a timeout, a full write
 * queue) ends the connection, and on_close says why. An accepted connection that fails before
 * on_ready calls only the listener's on_refused.
 *
 * Writes leave at once when the socket takes them; frames sent inside one on_frame round, or while
 * the socket is full, leave together, in TLS records as full as they get (net_conn_set_gathering:
 * also those of one round of the loop). One thread: everything on the thread of the loop. The
 * process must ignore SIGPIPE (process_harden does).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NET_H
#define CONTRAST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "lib/base/bytes.h"
#include "lib/base/limits.h"
#include "lib/tls/tls.h"
#include "lib/wire/wire.h"

#define NET_ADDRESS_SIZE (LIMIT_ADDRESS + 8) /* bytes, "[address]:port" with the NUL */

struct net_conn;
struct net_listener;

struct net_callbacks {
    /* The handshake is done: frames may be sent, net_conn_tls gives the channel binding. */
    void (*on_ready)(struct net_conn *conn, void *data);
    /* One whole frame; its body is borrowed for the call. Not after net_conn_close or _abort. */
    void (*on_frame)(struct net_conn *conn, void *data, const struct frame *frame);
    /* Last call; why->code is OK if this end closed, CLOSED if the peer did in good order.
     * `conn` is freed afterwards. */
    void (*on_close)(struct net_conn *conn, void *data, const struct err *why);
};

struct net_listen_config {
    const char *host;           /* name or numeric address; copied */
    uint16_t port;              /* 0: any free one, see net_listener_port */
    bool reuse_port;            /* SO_REUSEPORT: one listener a thread */
    struct tls_context *tls;    /* server side; referenced */
    size_t max_connections;     /* live ones; for a further one the slowest handshake is ended, or
                                   it is closed at once when all are ready */
    size_t max_unready;         /* handshakes of one address; for a further one the slowest of
                                   them is ended. 0: only max_connections */
    size_t max_buffered;        /* bytes that wait in all its connections, parts of frames and what
                                   peers do not read; beyond that the one that holds most is ended.
                                   0: only each connection's own bounds */
    uint64_t handshake_ms;      /* from accept to ready */
    uint64_t idle_ms;           /* without a whole frame in or a frame sent; 0: for ever */
    size_t frame_limit;         /* first body limit; 0: LIMIT_FRAME_BODY_UNAUTHENTICATED */
    struct net_callbacks calls; /* all three */
    void *data;                 /* first data of each connection (net_conn_set_data) */
    /* NULL, or: a peer was turned away before on_ready; data is the one above. */
    void (*on_refused)(void *data, const char *peer_address, const struct err *why);
};

/* Binds and listens. CONFIG for a host that does not resolve, UNAVAILABLE naming host:port when it
 * cannot be bound. */
RESULT net_listen(uv_loop_t *loop, const struct net_listen_config *config,
                  struct net_listener **out, struct err *err);
uint16_t net_listener_port(const struct net_listener *listener);
size_t net_listener_connection_count(const struct net_listener *listener);
/* Stops accepting and ends connections that are not ready yet; ready ones live on. on_closed (may
 * be NULL) comes once, later; the listener is gone then. */
void net_listener_close(struct net_listener *listener, void (*on_closed)(void *data), void *data);

struct net_connect_config {
    const char *host; /* name or numeric address; copied */
    uint16_t port;
    struct tls_context *tls;   /* client side; referenced */
    tls_accept_cb accept_peer; /* NULL: the context's; else judges this peer's key */
    void *accept_data;
    uint64_t handshake_ms;      /* from net_connect to ready */
    uint64_t idle_ms;           /* as above */
    size_t frame_limit;         /* as above */
    struct net_callbacks calls; /* all three */
    void *data;
};

/* Starts a connection. All that goes wrong later, on_close tells: UNAVAILABLE naming host:port when
 * nobody answers, TIMEOUT, TLS. The addresses of a name are tried one after the other. */
RESULT net_connect(uv_loop_t *loop, const struct net_connect_config *config, struct net_conn **out,
                   struct err *err);

/* Sends one frame. BUSY when more than LIMIT_CONN_WRITE_QUEUE bytes would wait (the link is then
 * cut), CLOSED on a connection that is closing, PROTOCOL before on_ready. */
RESULT net_send(struct net_conn *conn, uint8_t type, uint16_t request, struct span body,
                struct err *err);
RESULT net_send_message(struct net_conn *conn, uint8_t type, uint16_t request,
                        const struct wire_type *wire_type, const void *message, struct err *err);
/* Not yet taken by the system, frames that are not encrypted yet included. */
size_t net_conn_pending_bytes(const struct net_conn *conn);

/* In good order: what was sent goes out first (for at most LIMIT_CLOSE_MS), then close_notify. */
void net_conn_close(struct net_conn *conn);
/* At once; `why` (may be NULL) is what on_close will say. */
void net_conn_abort(struct net_conn *conn, const struct err *why);

void net_conn_set_data(struct net_conn *conn, void *data);
void *net_conn_data(const struct net_conn *conn);
struct tls *net_conn_tls(struct net_conn *conn);
/* The largest frame body accepted from now on, at most LIMIT_FRAME_BODY. */
void net_conn_set_frame_limit(struct net_conn *conn, size_t bytes);
/* Gathers what is sent in one round of the loop: it leaves right before the loop waits, or earlier
 * when it is much. For few connections with many small frames. */
void net_conn_set_gathering(struct net_conn *conn);
void net_conn_set_idle_timeout(struct net_conn *conn, uint64_t idle_ms); /* 0: none */
const char *net_conn_peer_address(const struct net_conn *conn); /* "192.0.2.1:7443"; borrowed */
/* In on_close: the other end closed or reset the connection, or refused it. False for silence, a
 * bad peer and our own end. Whoever is on the network can make it true: a hint. */
bool net_conn_is_peer_gone(const struct net_conn *conn);

/* "host:port", "192.0.2.1:port" or "[2001:db8::1]:port", port 1..65535. INVALID quotes the text.
 * `host` is without brackets, at most LIMIT_ADDRESS bytes and a NUL. */
RESULT net_address_parse(const char *text, char host[LIMIT_ADDRESS + 1], uint16_t *port,
                         struct err *err);

#endif
