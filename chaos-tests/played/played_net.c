/* The network: links, names, listeners and connections; see played_net.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/played/played_net.h"

#include <limits.h>
#include <string.h>

#include "chaos-tests/played/played_loop.h"

#define USER_TIMEOUT_US 5000000 /* NET_USER_TIMEOUT_MS of lib/net */
#define KEEP_ALIVE_US 80000000  /* first probe after 5 s, the second, the last one, 75 s later */
#define SYN_RETRY_US 1000000    /* doubles; tcp_syn_retries 6 of Linux: 127 s in all */
#define SYN_TRIES 7
#define RETRANSMIT_MAX_US 400000 /* after a cut has healed */
#define PIECE_OVERHEAD 66        /* bytes of headers that count on a slow link */
#define LOOKUP_MIN_US 200
#define LOOKUP_SPREAD_US 3000
#define LOOKUP_FAILS_US 5000000  /* a resolver's patience */
#define ADDRESS_BASE 0x0a000000u /* 10.0.0.0 */

struct name {
    struct name *next;
    unsigned *hosts; /* owned */
    size_t count;
    char text[];
};

struct link {
    struct played_link is;
    uint64_t free_us; /* a slow one: when it has sent what it has */
};

struct stage_net {
    struct link *links; /* [from * host_count + to] */
    struct name *names;
    uint64_t lookup_us; /* beyond LOOKUP_MIN_US, at most */
    bool is_name_service_down;
    stage_ring *listeners; /* of each host */
    stage_ring conns;
    uint64_t conn_count; /* ever */
};

static struct link *link_of(unsigned from, unsigned to) {
    struct played *w = stage();
    return &w->net->links[from * w->host_count + to];
}

static bool is_cut(unsigned from, unsigned to) {
    return link_of(from, to)->is.is_cut;
}

static uint64_t draw_delay_us(const struct played_link *l) {
    struct stage_stream *whim = &stage()->whim;
    uint64_t least = (uint64_t)l->delay_min_ms * 1000;
    uint64_t most = (uint64_t)l->delay_max_ms * 1000;
    uint64_t us = 20 + least;
    us += most > least ? stage_stream_below(whim, most - least + 1) : stage_stream_below(whim, 20);
    if (l->stall_permille > 0 && stage_stream_below(whim, 1000) < l->stall_permille) {
        us += stage_stream_below(whim, (uint64_t)l->stall_max_ms * 1000 + 1);
    }
    return us;
}

static uint64_t delay_us(unsigned from, unsigned to) {
    return draw_delay_us(&link_of(from, to)->is);
}

/* --- Queues of pieces */

static void push(struct socket_queue *q, struct socket_piece *piece) {
    piece->next = NULL;
    if (q->last != NULL) {
        q->last->next = piece;
    } else {
        q->first = piece;
    }
    q->last = piece;
    q->size += piece->size - piece->used;
}

static struct socket_piece *pop(struct socket_queue *q) {
    struct socket_piece *piece = q->first;
    q->first = piece->next;
    q->last = q->first == NULL ? NULL : q->last;
    q->size -= piece->size - piece->used;
    return piece;
}

static void drain(struct socket_queue *q) {
    while (q->first != NULL) {
        stage_free(pop(q));
    }
}

/* --- Ends */

struct socket_end *socket_peer(const struct socket_end *end) {
    return &end->conn->ends[end == &end->conn->ends[0] ? 1 : 0];
}

static void tell(struct socket_end *end) {
    if (end->tcp != NULL) {
        loop_handle_ready((uv_handle_t *)end->tcp);
    }
}

static void settle(struct socket_conn *conn) {
    for (int i = 0; i < 2; i++) {
        const struct socket_end *end = &conn->ends[i];
        if (end->process != NULL || end->flying.first != NULL) {
            return;
        }
    }
    for (int i = 0; i < 2; i++) {
        struct socket_end *end = &conn->ends[i];
        stage_cancel(&end->arrival);
        stage_cancel(&end->room);
        stage_cancel(&end->patience);
        drain(&end->in);
    }
    stage_cancel(&conn->syn);
    stage_ring_remove(conn->in_world);
    stage_free(conn);
}

static void detach(struct socket_end *end) {
    stage_ring_remove(end->of_process);
    stage_ring_remove(end->waiting);
    end->process = NULL;
    end->tcp = NULL;
    end->is_open = false;
    drain(&end->in);
    stage_cancel(&end->room);
    stage_cancel(&end->patience);
}

static void break_end(struct socket_end *end, int status) {
    if (end->process != NULL && end->status == 0) {
        end->status = status;
        end->is_open = false;
        stage_cancel(&end->patience);
        drain(&end->flying);
        stage_cancel(&end->arrival);
        tell(end);
    }
}

/* Neither data nor acknowledgements get through, or there is nobody to send any. */
static bool is_broken(const struct socket_end *end) {
    const struct socket_end *peer = socket_peer(end);
    return is_cut(end->host, peer->host) || is_cut(peer->host, end->host) || peer->is_vanished;
}

/* How long this end will believe in the connection. */
static void arm_patience(struct socket_end *end) {
    bool is_owed = end->flying.first != NULL || end->is_lost;
    if (end->is_open && is_broken(end)) {
        stage_set_earlier(&end->patience,
                          stage()->now_us + (is_owed ? USER_TIMEOUT_US : KEEP_ALIVE_US));
    }
}

static void on_patience(struct stage_event *event) {
    struct socket_end *end = event->data;
    const struct socket_end *peer = socket_peer(end);
    stage_note(end->conn->number, 10);
    if (!is_broken(end)) {
        return;
    }
    bool is_answered = peer->is_vanished && !stage()->hosts[peer->host].is_down &&
                       !is_cut(end->host, peer->host) && !is_cut(peer->host, end->host);
    break_end(end, is_answered ? UV_ECONNRESET : UV_ETIMEDOUT);
    settle(end->conn);
}

/* --- What flies */

static void schedule(struct socket_end *end) {
    if (end->flying.first != NULL && !end->is_stalled) {
        stage_set(&end->arrival, end->flying.first->arrives_us);
    }
}

static void fly(struct socket_end *end, struct socket_piece *piece) {
    struct played *w = stage();
    struct link *link = link_of(end->host, socket_peer(end)->host);
    uint64_t start = w->now_us;
    if (link->is.bytes_per_ms > 0) {
        start = link->free_us > start ? link->free_us : start;
        start += (piece->size + PIECE_OVERHEAD) * 1000 / link->is.bytes_per_ms;
        link->free_us = start;
    }
    piece->arrives_us = start + draw_delay_us(&link->is);
    if (piece->arrives_us <= end->last_arrival_us) {
        piece->arrives_us = end->last_arrival_us + 1;
    }
    end->last_arrival_us = piece->arrives_us;
    bool is_first = end->flying.first == NULL;
    push(&end->flying, piece);
    if (is_first) {
        end->is_stalled = false;
        schedule(end);
    }
    arm_patience(end);
}

static struct socket_piece *new_piece(int kind, const void *data, size_t size) {
    struct socket_piece *piece = stage_alloc(sizeof *piece + size);
    piece->kind = kind == PIECE_DATA ? PIECE_DATA : kind == PIECE_FIN ? PIECE_FIN : PIECE_RST;
    piece->size = size;
    if (size > 0) {
        memcpy(piece->data, data, size);
    }
    return piece;
}

static void send_reset(struct socket_end *from) {
    fly(from, new_piece(PIECE_RST, NULL, 0));
}

/* At an end that is gone: what comes for it is answered with RST, unless nobody is there. */
static void arrive_at_none(struct socket_end *from, struct socket_end *to,
                           const struct socket_piece *piece) {
    if (to->is_vanished && stage()->hosts[to->host].is_down) {
        from->is_lost = true;
        arm_patience(from);
    } else if (piece->kind != PIECE_RST && from->process != NULL && from->status == 0) {
        send_reset(to);
    }
}

static void arrive(struct socket_end *from, struct socket_end *to, struct socket_piece *piece) {
    stage_note(from->conn->number, (uint64_t)piece->kind + 11);
    if (to->process == NULL || to->status != 0) {
        arrive_at_none(from, to, piece);
        stage_free(piece);
        return;
    }
    if (piece->kind == PIECE_DATA) {
        stage_note_bytes(piece->data, piece->size);
        push(&to->in, piece);
        tell(to);
        return;
    }
    if (piece->kind == PIECE_FIN) {
        to->is_eof = true;
        tell(to);
    } else {
        break_end(to, UV_ECONNRESET);
    }
    stage_free(piece);
}

static void on_arrival(struct stage_event *event) {
    struct socket_end *end = event->data;
    struct socket_end *peer = socket_peer(end);
    if (is_cut(end->host, peer->host)) {
        end->is_stalled = true;
        arm_patience(end);
        return;
    }
    struct socket_piece *piece = pop(&end->flying);
    schedule(end);
    arrive(end, peer, piece);
    if (end->flying.first == NULL && !is_broken(end)) {
        stage_cancel(&end->patience);
    }
    settle(end->conn);
}

static void on_room(struct stage_event *event) {
    struct socket_end *end = event->data;
    struct socket_end *peer = socket_peer(end);
    if (is_cut(peer->host, end->host)) { /* the next probe asks again */
        stage_set(event, stage()->now_us + RETRANSMIT_MAX_US);
        return;
    }
    stage_note(end->conn->number, 14);
    tell(end);
}

size_t socket_room(const struct socket_end *end) {
    size_t full = end->flying.size + socket_peer(end)->in.size;
    return full < SOCKET_WINDOW ? SOCKET_WINDOW - full : 0;
}

void socket_send(struct socket_end *end, const void *data, size_t size) {
    CHECK(size <= socket_room(end) && end->is_open && !end->is_shut);
    fly(end, new_piece(PIECE_DATA, data, size));
}

size_t socket_read(struct socket_end *end, void *out, size_t size) {
    size_t at = 0;
    while (at < size && end->in.first != NULL) {
        struct socket_piece *piece = end->in.first;
        size_t n = piece->size - piece->used < size - at ? piece->size - piece->used : size - at;
        memcpy((uint8_t *)out + at, piece->data + piece->used, n);
        at += n;
        piece->used += n;
        end->in.size -= n;
        if (piece->used == piece->size) {
            stage_free(pop(&end->in));
        }
    }
    struct socket_end *peer = socket_peer(end);
    if (peer->wants_room && at > 0) {
        stage_set_earlier(&peer->room, stage()->now_us + delay_us(end->host, peer->host));
    }
    return at;
}

void socket_shut(struct socket_end *end) {
    if (end->is_open && !end->is_shut) {
        end->is_shut = true;
        fly(end, new_piece(PIECE_FIN, NULL, 0));
    }
}

void socket_close(struct socket_end *end) {
    struct socket_conn *conn = end->conn;
    bool is_half_made = !end->is_open && end->status == 0 && socket_peer(end)->process != NULL;
    if (is_half_made || (end->is_open && end->in.size > 0)) {
        send_reset(end);
    } else if (end->is_open) {
        socket_shut(end);
    }
    detach(end);
    settle(conn);
}

/* --- Connecting */

static void init_end(struct socket_conn *conn, int i, struct socket_address at) {
    struct socket_end *end = &conn->ends[i];
    end->conn = conn;
    end->host = at.host;
    end->address = at.address;
    end->port = at.port;
    end->arrival = (struct stage_event){.call = on_arrival, .data = end};
    end->room = (struct stage_event){.call = on_room, .data = end};
    end->patience = (struct stage_event){.call = on_patience, .data = end};
    stage_ring_init(end->of_process);
    stage_ring_init(end->waiting);
}

static void adopt(struct socket_end *end, struct played_process *p, uv_tcp_t *tcp) {
    end->process = p;
    end->tcp = tcp;
    stage_ring_append(p->sockets, end->of_process);
}

/* One of those that listen on the port: several threads may (SO_REUSEPORT). */
static struct socket_listener *find_listener(unsigned host, uint16_t port) {
    struct played *w = stage();
    void **ring = w->net->listeners[host];
    struct socket_listener *found = NULL;
    uint64_t count = 0;
    for (void **at = ring[0]; at != ring; at = at[0]) {
        struct socket_listener *listener = STAGE_OF(struct socket_listener, of_host, at);
        if (listener->port == port && stage_stream_below(&w->whim, ++count) == 0) {
            found = listener;
        }
    }
    return found;
}

static void answer(struct socket_conn *conn, int status) {
    conn->is_answered = true;
    conn->answer = status;
    unsigned from = conn->ends[1].host;
    uint64_t wait = from < stage()->host_count ? delay_us(from, conn->ends[0].host) : 1;
    stage_set(&conn->syn, stage()->now_us + wait);
}

static void lose_syn(struct socket_conn *conn) {
    uint64_t wait = (uint64_t)SYN_RETRY_US << conn->tries;
    conn->tries++;
    if (conn->tries > SYN_TRIES) {
        conn->is_answered = true;
        conn->answer = UV_ETIMEDOUT;
        wait = 0;
    }
    stage_set(&conn->syn, stage()->now_us + wait);
}

static bool is_reachable(const struct socket_conn *conn) {
    unsigned from = conn->ends[0].host;
    unsigned to = conn->ends[1].host;
    return to < stage()->host_count && !stage()->hosts[to].is_down && !is_cut(from, to) &&
           !is_cut(to, from);
}

static void arrive_syn(struct socket_conn *conn) {
    struct socket_end *end = &conn->ends[1];
    struct socket_listener *listener =
        is_reachable(conn) ? find_listener(end->host, end->port) : NULL;
    if (!is_reachable(conn) ||
        (listener != NULL && listener->waiting_count >= SOCKET_BACKLOG_MAX)) {
        lose_syn(conn);
    } else if (listener == NULL) {
        answer(conn, UV_ECONNREFUSED);
    } else {
        adopt(end, listener->process, NULL);
        end->is_open = true;
        stage_ring_append(listener->waiting, end->waiting);
        listener->waiting_count++;
        loop_handle_ready((uv_handle_t *)listener->tcp);
        answer(conn, 0);
    }
}

static void on_syn(struct stage_event *event) {
    struct socket_conn *conn = event->data;
    struct socket_end *end = &conn->ends[0];
    stage_note(conn->number, 15);
    if (!conn->is_answered) {
        arrive_syn(conn);
        return;
    }
    if (end->process == NULL) {
        return;
    }
    if (conn->answer == 0) {
        end->is_open = end->status == 0;
        arm_patience(end);
    } else {
        end->status = conn->answer;
    }
    tell(end);
}

struct socket_end *socket_connect(uv_tcp_t *tcp, struct socket_address to) {
    struct played *w = stage();
    struct played_process *p = loop_of(tcp->loop)->process;
    struct stage_host *own = &w->hosts[p->host];
    struct socket_conn *conn = stage_alloc(sizeof *conn);
    conn->number = ++w->net->conn_count;
    conn->syn = (struct stage_event){.call = on_syn, .data = conn};
    own->next_port = own->next_port < 60999 ? (uint16_t)(own->next_port + 1) : 32768;
    bool is_loopback = to.address >> 24 == 127;
    uint32_t address = is_loopback ? to.address : net_address_of_host(p->host);
    init_end(conn, 0, (struct socket_address){p->host, address, own->next_port});
    init_end(conn, 1, to);
    stage_ring_append(w->net->conns, conn->in_world);
    adopt(&conn->ends[0], p, tcp);
    uint64_t wait = to.host < w->host_count ? delay_us(p->host, to.host) : 1;
    stage_set(&conn->syn, w->now_us + wait);
    return &conn->ends[0];
}

struct socket_end *socket_accept(struct socket_listener *listener, uv_tcp_t *tcp) {
    if (stage_ring_is_empty(listener->waiting)) {
        return NULL;
    }
    struct socket_end *end = STAGE_OF(struct socket_end, waiting, listener->waiting[0]);
    stage_ring_remove(end->waiting);
    listener->waiting_count--;
    end->tcp = tcp;
    tell(end);
    return end;
}

/* --- Listening */

static bool is_in_use(unsigned host, uint16_t port, bool is_shared) {
    void **ring = stage()->net->listeners[host];
    for (void **at = ring[0]; at != ring; at = at[0]) {
        const struct socket_listener *other = STAGE_OF(struct socket_listener, of_host, at);
        if (other->port == port && !(is_shared && other->is_shared)) {
            return true;
        }
    }
    return false;
}

int socket_listen(uv_tcp_t *tcp, uint16_t port, struct socket_listener **out) {
    struct played *w = stage();
    struct played_process *p = loop_of(tcp->loop)->process;
    struct stage_host *own = &w->hosts[p->host];
    if (port == 0) {
        own->next_port = own->next_port < 60999 ? (uint16_t)(own->next_port + 1) : 32768;
        port = own->next_port;
    }
    bool is_shared = tcp->delayed_error == 1;
    if (is_in_use(p->host, port, is_shared)) {
        return UV_EADDRINUSE;
    }
    struct socket_listener *listener = stage_alloc(sizeof *listener);
    listener->process = p;
    listener->tcp = tcp;
    listener->port = port;
    listener->is_shared = is_shared;
    stage_ring_init(listener->waiting);
    stage_ring_append(p->listeners, listener->of_process);
    stage_ring_append(w->net->listeners[p->host], listener->of_host);
    *out = listener;
    return 0;
}

void socket_listener_close(struct socket_listener *listener) {
    while (!stage_ring_is_empty(listener->waiting)) {
        struct socket_end *end = STAGE_OF(struct socket_end, waiting, listener->waiting[0]);
        stage_ring_remove(end->waiting);
        if (end->is_open) {
            send_reset(end);
        }
        struct socket_conn *conn = end->conn;
        detach(end);
        settle(conn);
    }
    stage_ring_remove(listener->of_process);
    stage_ring_remove(listener->of_host);
    stage_free(listener);
}

/* Without power: no FIN, no RST; what was sent and not there yet is gone with it. */
static void vanish(struct socket_end *end) {
    struct socket_conn *conn = end->conn;
    struct socket_end *peer = socket_peer(end);
    drain(&end->flying);
    stage_cancel(&end->arrival);
    detach(end);
    end->is_vanished = true;
    peer->is_lost = peer->flying.first != NULL;
    arm_patience(peer);
    settle(conn);
}

void net_process_end(struct played_process *p) {
    while (!stage_ring_is_empty(p->listeners)) {
        struct socket_listener *l = STAGE_OF(struct socket_listener, of_process, p->listeners[0]);
        if (p->is_power_off) {
            while (!stage_ring_is_empty(l->waiting)) {
                vanish(STAGE_OF(struct socket_end, waiting, l->waiting[0]));
            }
        }
        socket_listener_close(l);
    }
    while (!stage_ring_is_empty(p->sockets)) {
        struct socket_end *end = STAGE_OF(struct socket_end, of_process, p->sockets[0]);
        if (p->is_power_off) {
            vanish(end);
        } else {
            socket_close(end);
        }
    }
}

/* The host is back and knows nothing of old connections: who still sends gets an RST. */
void net_host_up(struct played *w, unsigned host) {
    void **ring = w->net->conns;
    for (void **at = ring[0]; at != ring; at = at[0]) {
        struct socket_conn *conn = STAGE_OF(struct socket_conn, in_world, at);
        for (int i = 0; i < 2; i++) {
            struct socket_end *end = &conn->ends[i];
            struct socket_end *peer = &conn->ends[1 - i];
            if (end->host == host && end->is_vanished && peer->is_open && peer->is_lost) {
                send_reset(end);
            }
        }
    }
}

/* --- Links */

static void for_link(unsigned from, unsigned to, void (*call)(struct socket_end *end)) {
    void **ring = stage()->net->conns;
    for (void **at = ring[0], **next; at != ring; at = next) {
        next = at[0];
        struct socket_conn *conn = STAGE_OF(struct socket_conn, in_world, at);
        for (int i = 0; i < 2; i++) {
            if (conn->ends[i].host == from && conn->ends[1 - i].host == to) {
                call(&conn->ends[i]);
            }
        }
    }
}

static void on_cut(struct socket_end *end) {
    arm_patience(end);
    arm_patience(socket_peer(end));
}

static void on_heal(struct socket_end *end) {
    struct played *w = stage();
    struct socket_end *peer = socket_peer(end);
    if (end->is_stalled) {
        uint64_t wait = delay_us(end->host, peer->host);
        wait += stage_stream_below(&w->whim, RETRANSMIT_MAX_US);
        end->is_stalled = false;
        if (end->flying.first != NULL) {
            end->flying.first->arrives_us = w->now_us + wait;
        }
        schedule(end);
    }
    if (!is_broken(end)) {
        stage_cancel(&end->patience);
        stage_cancel(&peer->patience);
    }
}

void played_link_set(struct played *w, unsigned from, unsigned to, const struct played_link *l) {
    CHECK(from < w->host_count && to < w->host_count && l->delay_max_ms >= l->delay_min_ms);
    bool was_cut = is_cut(from, to);
    link_of(from, to)->is = *l;
    if (l->is_cut && !was_cut) {
        stage_say("cut %u -> %u", from, to);
        for_link(from, to, on_cut);
    } else if (!l->is_cut && was_cut) {
        stage_say("healed %u -> %u", from, to);
        for_link(from, to, on_heal);
    }
}

struct played_link played_link_get(const struct played *w, unsigned from, unsigned to) {
    CHECK(from < w->host_count && to < w->host_count);
    return link_of(from, to)->is;
}

void played_link_default(struct played *w, const struct played_link *l) {
    for (unsigned from = 0; from < w->host_count; from++) {
        for (unsigned to = 0; to < w->host_count; to++) {
            struct played_link one = from == to ? (struct played_link){0} : *l;
            played_link_set(w, from, to, &one);
        }
    }
}

static void on_reset(struct socket_end *end) {
    break_end(end, UV_ECONNRESET);
}

void played_link_reset(struct played *w, unsigned a, unsigned b) {
    CHECK(a < w->host_count && b < w->host_count);
    for_link(a, b, on_reset);
    for_link(b, a, on_reset);
}

/* --- Names */

static struct name *find_name(const char *text) {
    struct name *name = stage()->net->names;
    while (name != NULL && strcmp(name->text, text) != 0) {
        name = name->next;
    }
    return name;
}

void played_name_add(struct played *w, const char *text, unsigned host) {
    CHECK(host < w->host_count);
    struct name *name = find_name(text);
    if (name == NULL) {
        size_t size = strlen(text) + 1;
        name = stage_alloc(sizeof *name + size);
        memcpy(name->text, text, size);
        name->next = w->net->names;
        w->net->names = name;
    }
    unsigned *more = stage_alloc((name->count + 1) * sizeof *more);
    if (name->count > 0) {
        memcpy(more, name->hosts, name->count * sizeof *more);
    }
    stage_free(name->hosts);
    name->hosts = more;
    more[name->count++] = host;
}

void played_name(struct played *w, const char *text, unsigned host) {
    struct name *name = find_name(text);
    if (name != NULL) {
        name->count = 0;
    }
    if (host != UINT_MAX) {
        played_name_add(w, text, host);
    }
}

void played_name_service(struct played *w, uint64_t most_ms, bool is_down) {
    w->net->lookup_us = most_ms * 1000;
    w->net->is_name_service_down = is_down;
}

bool net_is_name_service_down(void) {
    return stage()->net->is_name_service_down;
}

size_t net_resolve(const char *text, unsigned *hosts, size_t most) {
    const struct name *name = find_name(text);
    size_t count = 0;
    for (size_t i = 0; name != NULL && i < name->count && count < most; i++) {
        size_t at = (size_t)stage_stream_below(&stage()->whim, count + 1);
        hosts[count] = hosts[at];
        hosts[at] = name->hosts[i];
        count++;
    }
    return count;
}

uint64_t net_lookup_us(void) {
    const struct stage_net *net = stage()->net;
    uint64_t least = net->is_name_service_down ? LOOKUP_FAILS_US : LOOKUP_MIN_US;
    uint64_t spread = net->lookup_us > 0 ? net->lookup_us : LOOKUP_SPREAD_US;
    return least + stage_stream_below(&stage()->whim, spread);
}

unsigned net_host_of_address(uint32_t v4, unsigned own_host) {
    if (v4 >> 24 == 127) {
        return own_host;
    }
    uint32_t number = v4 - ADDRESS_BASE - 1;
    return number < stage()->host_count ? (unsigned)number : UINT_MAX;
}

uint32_t net_address_of_host(unsigned host) {
    return ADDRESS_BASE + host + 1;
}

/* --- The world */

void net_world_init(struct played *w) {
    struct stage_net *net = stage_alloc(sizeof *net);
    w->net = net;
    net->links = stage_alloc((size_t)w->host_count * w->host_count * sizeof *net->links);
    net->listeners = stage_alloc(w->host_count * sizeof *net->listeners);
    stage_ring_init(net->conns);
    for (unsigned i = 0; i < w->host_count; i++) {
        stage_ring_init(net->listeners[i]);
    }
}

static void free_conn(struct socket_conn *conn) {
    for (int i = 0; i < 2; i++) {
        CHECK(conn->ends[i].process == NULL);
        drain(&conn->ends[i].flying);
    }
    settle(conn);
}

void net_world_deinit(struct played *w) {
    struct stage_net *net = w->net;
    while (!stage_ring_is_empty(net->conns)) {
        free_conn(STAGE_OF(struct socket_conn, in_world, net->conns[0]));
    }
    while (net->names != NULL) {
        struct name *next = net->names->next;
        stage_free(net->names->hosts);
        stage_free(net->names);
        net->names = next;
    }
    stage_free(net->listeners);
    stage_free(net->links);
    stage_free(net);
}
