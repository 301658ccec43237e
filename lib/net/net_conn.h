/* Net, inside: the connection object that net_conn.c, net_connect.c and net_listener.c share.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NET_CONN_H
#define CONTRAST_NET_CONN_H

#include <netdb.h>

#include "lib/net/net.h"

#define NET_USER_TIMEOUT_MS 5000 /* unacknowledged data ends a connection, RFC 5482 */
#define NET_KEEPALIVE_S 5
#define NET_BACKLOG 1024
#define NET_KEEP_CAPACITY (64 * 1024)    /* bytes: larger buffers are given back once empty */
#define NET_KEEP_ACCEPTED (8 * 1024)     /* the same, of an accepted one: there may be many */
#define NET_KEEP_GATHERING (1024 * 1024) /* the same, of a connection that gathers */
#define NET_GATHER_MAX (64 * 1024)       /* bytes: then frames leave before the loop waits */

enum net__state {
    NET_RESOLVING,  /* outgoing: the name's addresses are asked for */
    NET_CONNECTING, /* outgoing: one address after the other */
    NET_HANDSHAKE,
    NET_READY,
    NET_DRAINING, /* closed here in good order: the rest goes out, input is thrown away */
    NET_CLOSED,   /* handles are closing; on_close follows */
};

struct net_conn {
    uv_loop_t *loop;               /* borrowed */
    struct net_listener *listener; /* NULL: outgoing */
    struct net_conn *next;         /* of the listener's list */
    struct net_conn *previous;
    int state; /* net__state */
    bool was_ready;
    bool is_tcp_open;  /* tcp was initialized and not closed yet */
    bool is_corked;    /* inside a round of callbacks: output is collected */
    bool is_gathering; /* output is collected until the loop waits */
    bool is_writing;   /* `write` is in flight */
    bool is_shut;      /* uv_shutdown was asked for */
    bool is_peer_gone;
    unsigned pending; /* handles and requests whose last callback is still to come */

    uv_tcp_t tcp;
    uv_timer_t timer;     /* handshake, then idle, then close */
    uv_prepare_t prepare; /* before the loop waits; runs while something is gathered */
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct addrinfo *addresses; /* owned (uv_freeaddrinfo) */
    struct addrinfo *address;   /* the one tried next; inside addresses */

    struct tls *tls;    /* owned */
    struct buf in;      /* plaintext: the start of a frame */
    struct buf frames;  /* plaintext: frames that are not encrypted yet */
    struct buf out;     /* ciphertext not yet given to the system */
    struct buf writing; /* ciphertext of `write` */
    size_t frame_limit; /* bytes */
    size_t buffered;    /* of all four, as the listener counts them */
    uint64_t handshake_ms;
    uint64_t idle_ms;

    struct net_callbacks calls;
    void *data; /* the user's */
    struct err why;
    char host[LIMIT_ADDRESS + 1]; /* outgoing: as configured */
    uint16_t port;
    char peer[NET_ADDRESS_SIZE];
};

/* A connection without a socket; fails only with tls_new. */
RESULT net__conn_new(uv_loop_t *loop, struct tls_context *tls, struct net_conn **out,
                     struct err *err);
/* Starts the timer of handshake_ms. */
void net__conn_start_timer(struct net_conn *conn);
/* The socket is connected: sets its options, reads, and starts the handshake. */
void net__conn_start(struct net_conn *conn);
/* What a system call of libuv says of the other end, before net__conn_fail. */
void net__conn_note_status(struct net_conn *conn, int status);
/* The end, with err->code OK for "closed here"; does nothing the second time. */
void net__conn_fail(struct net_conn *conn, const struct err *why);
void net__conn_open_tcp(struct net_conn *conn);
void net__conn_close_tcp(struct net_conn *conn);
void net__conn_move(struct net_conn *conn, enum net__state state);
/* One pending thing less; the last one of a closed connection ends it. */
void net__conn_release(struct net_conn *conn);

/* The tcp handle of a failed attempt is closed: on to the next address. */
void net__connect_next(struct net_conn *conn);

/* Called last, before conn is freed. */
void net__listener_forget(struct net_listener *listener, struct net_conn *conn);
/* What waits in the connection became more or less. */
void net__listener_count(struct net_listener *listener, struct net_conn *conn);
/* The connection leaves the handshake. */
void net__listener_ready(struct net_listener *listener);

void net__address_format(const char *host, uint16_t port, char out[NET_ADDRESS_SIZE]);
void net__address_of_peer(const uv_tcp_t *tcp, char out[NET_ADDRESS_SIZE]);
uint16_t net__address_port(const struct sockaddr *address);

#endif
