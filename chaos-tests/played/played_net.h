/* The network, inside: connections as pairs of ends, with what is on its way between them.
 *
 *     end 0 (who connected)  --- pieces in order --->  end 1 (who was connected to)
 *                            <--- pieces in order ---
 *
 * A piece is what one write gave (bytes), a FIN or an RST. It arrives after the link's delay, never
 * before the one ahead of it; on a cut link it waits. Nothing gets lost while both ends live. An
 * end may have SOCKET_WINDOW bytes under way or unread at the peer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_NET_H
#define CONTRAST_PLAYED_NET_H

#include "chaos-tests/played/played_stage.h"

#define SOCKET_WINDOW (256 * 1024) /* bytes */
#define SOCKET_BACKLOG_MAX 1024

struct socket_piece {
    struct socket_piece *next;
    uint64_t arrives_us;
    enum { PIECE_DATA, PIECE_FIN, PIECE_RST } kind;
    size_t size;
    size_t used; /* of them, read */
    uint8_t data[];
};

struct socket_queue {
    struct socket_piece *first;
    struct socket_piece *last;
    size_t size; /* bytes of data that are left in it */
};

struct socket_conn;

struct socket_end {
    struct socket_conn *conn;
    struct played_process *process; /* NULL: gone */
    stage_ring of_process;
    stage_ring waiting; /* in a listener's queue until it is accepted */
    unsigned host;
    uint32_t address; /* as the other end sees it */
    uint16_t port;
    uv_tcp_t *tcp;              /* NULL: not accepted yet, or gone */
    bool is_open;               /* connected, and this end has not closed it */
    bool is_vanished;           /* its host lost power: nobody answers */
    bool is_shut;               /* its FIN is on the way */
    bool is_eof;                /* the peer's FIN is here */
    bool wants_room;            /* a write waits for the window */
    bool is_lost;               /* what it sent fell on a host without power */
    int status;                 /* a negative errno once the connection is broken */
    struct socket_queue in;     /* here, unread */
    struct socket_queue flying; /* sent by this end, not there yet */
    uint64_t last_arrival_us;
    bool is_stalled;             /* the first that flies waits at a cut */
    struct stage_event arrival;  /* of the first that flies */
    struct stage_event room;     /* the peer's window update is here */
    struct stage_event patience; /* the user timeout, or keep-alive's */
};

struct socket_conn {
    stage_ring in_world;
    uint64_t number;
    struct socket_end ends[2];
    struct stage_event syn; /* or its answer */
    bool is_answered;
    int answer;     /* status for who connects */
    unsigned tries; /* SYNs that got lost */
};

struct socket_listener {
    stage_ring of_process;
    stage_ring of_host;
    struct played_process *process;
    uv_tcp_t *tcp; /* borrowed */
    uint16_t port;
    bool is_shared;     /* SO_REUSEPORT */
    stage_ring waiting; /* struct socket_end.waiting */
    size_t waiting_count;
};

struct socket_address {
    unsigned host; /* UINT_MAX: nobody has it */
    uint32_t address;
    uint16_t port;
};

/* UV_EADDRINUSE when somebody on the host listens there, unless both said SO_REUSEPORT; port 0: a
 * free one. */
int socket_listen(uv_tcp_t *tcp, uint16_t port, struct socket_listener **out);
void socket_listener_close(struct socket_listener *listener);
/* tcp_ready is due for `tcp` when it is answered. */
struct socket_end *socket_connect(uv_tcp_t *tcp, struct socket_address to);
struct socket_end *socket_accept(struct socket_listener *listener, uv_tcp_t *tcp); /* or NULL */
size_t socket_room(const struct socket_end *end); /* bytes that may be sent now */
void socket_send(struct socket_end *end, const void *data, size_t size);
size_t socket_read(struct socket_end *end, void *out, size_t size);
void socket_shut(struct socket_end *end);
/* FIN, or RST where something was unread. `end` must not be used afterwards. */
void socket_close(struct socket_end *end);
struct socket_end *socket_peer(const struct socket_end *end);

/* Addresses of a name, at most `most`, in any order; 0: it does not resolve. */
size_t net_resolve(const char *name, unsigned *hosts, size_t most);
bool net_is_name_service_down(void);
uint64_t net_lookup_us(void); /* how long the name service takes this time */
unsigned net_host_of_address(uint32_t v4, unsigned own_host);
uint32_t net_address_of_host(unsigned host);

#endif
