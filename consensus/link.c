/* Link: peers, their connections, dialing and superseding.
 *
 *   struct peer      one per pinned id; `current` is the connection that is up
 *   struct channel   one per net_conn, on a list; `peer` is NULL once superseded or removed, and
 *                    then nothing that comes over it counts
 *
 * The object lives until listener, timers and channels have all closed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "consensus/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/link_notice.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define PEERS_MAX (2 * LIMIT_MEMBERS)
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000
#define PINGS_IN_SILENCE 10

struct channel;

struct peer {
    uv_timer_t redial;
    struct links *links;
    uint64_t id;
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
    struct buf spki;
    uint64_t connection; /* the newest: dialed by us, or said by the peer */
    uint64_t backoff_ms;
    struct channel *current; /* up, or NULL */
    bool is_lost;            /* was up, is down, and on_down has not said that it is gone */
    struct link_notices notices;
};

struct channel {
    struct channel *next;
    struct links *links;
    struct peer *peer; /* NULL: superseded or removed */
    struct net_conn *conn;
    uint64_t connection; /* 0 until the dialer's HELLO came */
    uint64_t heard_ms;   /* loop time of its last frame; since it is up */
    bool is_dialer;
    bool is_told; /* why it ends has been told */
};

struct links {
    uv_loop_t *loop;
    const struct host *host;
    uint64_t id, version;
    uint64_t handshake_ms, hello_ms, silence_ms;
    uint8_t identity[LINK_IDENTITY_SIZE];
    struct link_notices notices; /* of strangers */
    struct links_callbacks calls;
    void *data;
    struct tls_context *server, *client;
    struct net_listener *listener;
    uv_timer_t ping;
    struct peer *peers[PEERS_MAX];
    struct channel *channels;
    size_t handles; /* listener, timers and channels that have not closed */
    bool is_closing;
    void (*on_closed)(void *data);
    void *closed_data;
};

/* --- Life --- */

static void release(struct links *links) {
    CHECK(links->handles > 0);
    if (--links->handles > 0 || !links->is_closing) {
        return;
    }
    void (*on_closed)(void *data) = links->on_closed;
    void *data = links->closed_data;
    tls_context_free(links->server);
    tls_context_free(links->client);
    mem_free(links);
    if (on_closed != NULL) {
        on_closed(data);
    }
}

static struct peer *find_peer(const struct links *links, uint64_t id) {
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (links->peers[i] != NULL && links->peers[i]->id == id) {
            return links->peers[i];
        }
    }
    return NULL;
}

static struct peer *find_peer_by_key(const struct links *links, struct span spki) {
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (links->peers[i] != NULL && span_equal(buf_span(&links->peers[i]->spki), spki)) {
            return links->peers[i];
        }
    }
    return NULL;
}

static struct channel *channel_new(struct links *links, struct peer *peer, bool is_dialer) {
    struct channel *ch = mem_zalloc(sizeof *ch);
    ch->links = links;
    ch->peer = peer;
    ch->is_dialer = is_dialer;
    ch->next = links->channels;
    links->channels = ch;
    links->handles++;
    return ch;
}

static void channel_free(struct channel *ch) {
    struct links *links = ch->links;
    struct channel **at = &links->channels;
    while (*at != ch) {
        at = &(*at)->next;
    }
    *at = ch->next;
    mem_free(ch);
    release(links);
}

/* One line for each kind of trouble, not for each time. `peer` NULL: a stranger. */
static void note(struct links *links, struct peer *peer, const struct err *why) {
    struct link_notices *notices = peer == NULL ? &links->notices : &peer->notices;
    uint64_t held_back = 0;
    char more[64] = "";
    if (!link_notice_is_due(notices, why->code, uv_now(links->loop), &held_back)) {
        return;
    }
    if (held_back > 0) {
        snprintf(more, sizeof more, " (%" PRIu64 " more like it were not logged)", held_back);
    }
    log_warn("link: peer=%" PRIu64 ": %s%s", peer == NULL ? 0 : peer->id, why->text, more);
}

static void tell_refused(struct links *links, struct peer *peer, const struct err *why) {
    note(links, peer, why);
    if (!links->is_closing && links->calls.on_refused != NULL) {
        links->calls.on_refused(links->data, peer == NULL ? 0 : peer->id, why);
    }
}

/* --- Up and down --- */

static void tell_down(struct peer *peer, bool is_gone) {
    peer->is_lost = !is_gone;
    peer->links->calls.on_down(peer->links->data, peer->id, is_gone);
}

/* From now on nothing that this channel brings counts (rule R6). */
static void detach(struct channel *ch, const struct err *why, bool is_gone) {
    struct peer *peer = ch->peer;
    struct links *links = ch->links;
    ch->peer = NULL;
    if (ch->conn != NULL) {
        net_conn_abort(ch->conn, why);
    }
    if (peer != NULL && peer->current == ch) {
        peer->current = NULL;
        if (!links->is_closing) {
            tell_down(peer, is_gone);
        }
    } else if (peer != NULL && peer->is_lost && is_gone && !links->is_closing) {
        tell_down(peer, true);
    }
}

static void send_hello(struct channel *ch) {
    struct link_hello hello = {
        .id = ch->links->id, .connection = ch->connection, .version = ch->links->version};
    memcpy(hello.identity, ch->links->identity, sizeof hello.identity);
    err_ignore(net_send_message(ch->conn, LINK_FRAME_HELLO, 0, &link_hello_type, &hello, NULL),
               "on_close tells");
}

static void come_up(struct channel *ch, const struct link_hello *hello) {
    struct peer *peer = ch->peer;
    struct links *links = ch->links;
    const struct err superseded = {.code = ERR_CLOSED, .text = "superseded by a newer connection"};
    uint64_t id = peer->id;
    if (!ch->is_dialer) {
        ch->connection = peer->connection = hello->connection;
        if (peer->current != NULL) {
            detach(peer->current, &superseded, false);
        }
        if (find_peer(links, id) != peer) {
            return; /* on_down removed the peer */
        }
        send_hello(ch);
    }
    peer->current = ch;
    peer->is_lost = false;
    peer->backoff_ms = BACKOFF_MIN_MS;
    ch->heard_ms = uv_now(links->loop);
    net_conn_set_idle_timeout(ch->conn, 0); /* on_ping judges its silence */
    net_conn_set_frame_limit(ch->conn, LIMIT_FRAME_BODY);
    net_conn_set_gathering(ch->conn);
    links->calls.on_up(links->data, id, hello->version);
}

static RESULT receive_hello(struct channel *ch, struct span body, struct err *err) {
    struct link_hello hello;
    struct link_expected want = {.identity = ch->links->identity,
                                 .id = ch->peer->id,
                                 .connection =
                                     ch->is_dialer ? ch->connection : ch->peer->connection,
                                 .is_dialer = ch->is_dialer};
    TRY(link_frame_parse_hello(body, &hello, err));
    TRY(link_frame_check_hello(&hello, &want, err));
    come_up(ch, &hello);
    return OK;
}

static RESULT receive(struct channel *ch, const struct frame *frame, struct err *err) {
    struct links *links = ch->links;
    TRY(link_frame_check(frame, ch->peer->current == ch, err));
    ch->heard_ms = uv_now(links->loop);
    if (frame->type == LINK_FRAME_HELLO) {
        return receive_hello(ch, frame->body, err);
    }
    if (frame->type >= LINK_FRAME_USER_FIRST) {
        links->calls.on_frame(links->data, ch->peer->id, frame->type, frame->body);
    }
    return OK;
}

/* The end of a connection that its peer brought about. */
static void condemn(struct channel *ch, const struct err *why) {
    ch->is_told = true;
    tell_refused(ch->links, ch->peer, why);
    if (ch->conn != NULL) {
        net_conn_abort(ch->conn, why);
    }
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct channel *ch = data;
    struct err err;
    (void)conn;
    if (ch->peer == NULL || ch->links->is_closing) {
        return; /* late bytes of an old connection (rule R6) */
    }
    if (!is_ok(receive(ch, frame, &err))) {
        condemn(ch, &err);
    }
}

/* --- Dialing: the smaller id --- */

static void dial(struct peer *peer);

static void on_redial(uv_timer_t *timer) {
    dial(timer->data);
}

/* Between half and all of a delay that doubles. */
static void schedule_redial(struct peer *peer) {
    uint64_t half = peer->backoff_ms / 2;
    uint64_t delay = half + host_random_below(peer->links->host, half + 1);
    peer->backoff_ms *= 2;
    if (peer->backoff_ms > BACKOFF_MAX_MS) {
        peer->backoff_ms = BACKOFF_MAX_MS;
    }
    CHECK(uv_timer_start(&peer->redial, on_redial, delay, 0) == 0);
}

static void on_dialed(struct net_conn *conn, void *data) {
    struct channel *ch = data;
    (void)conn;
    if (ch->peer != NULL) {
        send_hello(ch);
    }
}

/* Silence before HELLO, what TLS or the framing say, a queue that the peer does not empty: not the
 * ends that every life has. */
static bool is_trouble(const struct channel *ch, const struct err *why) {
    bool was_up = ch->peer->current == ch;
    return err_class_of(why->code) == ERR_CLASS_PEER || why->code == ERR_BUSY ||
           (why->code == ERR_TIMEOUT && !was_up);
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct channel *ch = data;
    struct links *links = ch->links;
    struct peer *peer = ch->peer;
    ch->conn = NULL;
    if (peer != NULL && !ch->is_told && is_trouble(ch, why)) {
        tell_refused(links, peer, why);
        peer = ch->peer; /* NULL if that removed it */
    } else if (peer != NULL && !ch->is_told && why->code == ERR_UNAVAILABLE) {
        note(links, peer, why);
    }
    detach(ch, NULL, net_conn_is_peer_gone(conn));
    if (peer != NULL && ch->is_dialer && !links->is_closing && find_peer(links, peer->id) == peer) {
        schedule_redial(peer);
    }
    channel_free(ch);
}

static bool is_pinned_peer(void *data, struct span spki) {
    const struct channel *ch = data;
    return ch->peer != NULL && span_equal(buf_span(&ch->peer->spki), spki);
}

static void dial(struct peer *peer) {
    struct links *links = peer->links;
    struct channel *ch = channel_new(links, peer, true);
    struct err err;
    ch->connection = ++peer->connection;
    struct net_connect_config config = {.host = peer->host,
                                        .port = peer->port,
                                        .tls = links->client,
                                        .accept_peer = is_pinned_peer,
                                        .accept_data = ch,
                                        .handshake_ms = links->handshake_ms,
                                        .idle_ms = links->hello_ms,
                                        .calls = {on_dialed, on_frame, on_close},
                                        .data = ch};
    if (!is_ok(net_connect(links->loop, &config, &ch->conn, &err))) {
        note(links, peer, &err);
        schedule_redial(peer);
        channel_free(ch);
    }
}

/* --- Accepting: the larger id --- */

static bool is_pinned_anywhere(void *data, struct span spki) {
    const struct links *links = data;
    const struct peer *peer = links->is_closing ? NULL : find_peer_by_key(links, spki);
    return peer != NULL && peer->id < links->id;
}

/* A peer with a good key that opens connections and says nothing: the oldest gives way. */
static void limit_pending(struct links *links, const struct peer *peer) {
    struct channel *oldest = NULL; /* new ones stand at the head */
    size_t count = 0;
    for (struct channel *ch = links->channels; ch != NULL; ch = ch->next) {
        if (ch->peer == peer && ch != peer->current && !ch->is_told) {
            oldest = ch;
            count++;
        }
    }
    if (count > LIMIT_LINK_PENDING) {
        struct err err;
        err_ignore(err_set(&err, ERR_BUSY, "over %d connections without HELLO", LIMIT_LINK_PENDING),
                   "told below");
        condemn(oldest, &err);
    }
}

static void on_accepted(struct net_conn *conn, void *data) {
    struct links *links = data;
    AUTO(buf_deinit)
    struct buf spki = {0};
    tls_peer_spki(net_conn_tls(conn), &spki);
    struct peer *peer = links->is_closing ? NULL : find_peer_by_key(links, buf_span(&spki));
    struct channel *ch = channel_new(links, peer, false);
    ch->conn = conn;
    net_conn_set_data(conn, ch);
    if (peer == NULL) { /* removed since the handshake judged its key */
        net_conn_abort(conn, NULL);
    } else {
        limit_pending(links, peer);
    }
}

static void on_listener_refused(void *data, const char *address, const struct err *why) {
    struct err err;
    err_ignore(err_set(&err, why->code, "%s: %s", address, why->text), "told below");
    tell_refused(data, NULL, &err);
}

/* --- Open, close, peers --- */

/* TCP tells when nothing arrives there; only this tells that nobody reads it. */
static void judge_silence(struct peer *peer) {
    struct links *links = peer->links;
    struct channel *ch = peer->current;
    uint64_t silent_ms = uv_now(links->loop) - ch->heard_ms;
    if (silent_ms >= links->silence_ms) {
        struct err err;
        err_ignore(err_set(&err, ERR_TIMEOUT, "silent for %" PRIu64 " ms", silent_ms),
                   "told below");
        condemn(ch, &err);
    }
}

static void on_ping(uv_timer_t *timer) {
    struct links *links = timer->data;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = links->peers[i];
        if (peer != NULL && peer->current != NULL) {
            err_ignore(net_send(peer->current->conn, LINK_FRAME_PING, 0, span_of(NULL, 0), NULL),
                       "on_close tells");
            judge_silence(peer);
        }
    }
}

static RESULT open_tls(struct links *links, const struct links_config *config, struct err *err) {
    struct tls_config tls = {.is_server = true,
                             .key = config->key,
                             .certificate = config->certificate,
                             .require_peer_certificate = true,
                             .accept_peer = is_pinned_anywhere,
                             .data = links};
    TRY(tls_context_new(&tls, &links->server, err));
    tls.is_server = false;
    tls.accept_peer = NULL; /* each dial brings its own */
    return tls_context_new(&tls, &links->client, err);
}

static RESULT start_listening(struct links *links, const struct links_config *config,
                              struct err *err) {
    struct net_listen_config listen = {.host = config->listen_host,
                                       .port = config->listen_port,
                                       .tls = links->server,
                                       .max_connections = LIMIT_LINK_CONNECTIONS,
                                       .max_unready = LIMIT_LINK_HALF_OPEN,
                                       .handshake_ms = links->handshake_ms,
                                       .idle_ms = links->hello_ms,
                                       .calls = {on_accepted, on_frame, on_close},
                                       .data = links,
                                       .on_refused = on_listener_refused};
    return net_listen(links->loop, &listen, &links->listener, err);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
    return value == 0 ? otherwise : value;
}

RESULT links_new(const struct links_config *config, struct links **out, struct err *err) {
    struct links *links = mem_zalloc(sizeof *links);
    links->loop = config->loop;
    links->host = config->host;
    links->id = config->id;
    links->version = config->version;
    link_frame_identity(config->cluster, config->epoch, links->identity);
    links->handshake_ms = or_default(config->handshake_ms, LIMIT_HANDSHAKE_MS);
    links->hello_ms = or_default(config->hello_ms, LIMIT_LINK_HELLO_MS);
    links->silence_ms = or_default(config->silence_ms, LIMIT_LINK_SILENCE_MS);
    links->calls = config->calls;
    links->data = config->data;
    struct result r = open_tls(links, config, err);
    if (is_ok(r)) {
        r = start_listening(links, config, err);
    }
    if (!is_ok(r)) {
        tls_context_free(links->server);
        tls_context_free(links->client);
        mem_free(links);
        return err_wrap(r, err, "raft links");
    }
    CHECK(uv_timer_init(links->loop, &links->ping) == 0);
    links->ping.data = links;
    uint64_t ping_ms = links->silence_ms / PINGS_IN_SILENCE;
    CHECK(uv_timer_start(&links->ping, on_ping, ping_ms, ping_ms) == 0);
    links->handles = 2; /* listener and timer */
    *out = links;
    return OK;
}

uint16_t links_port(const struct links *links) {
    return net_listener_port(links->listener);
}

static void on_peer_closed(uv_handle_t *timer) {
    struct peer *peer = timer->data;
    struct links *links = peer->links;
    buf_deinit(&peer->spki);
    mem_free(peer);
    release(links);
}

static void remove_peer(struct links *links, size_t at) {
    struct peer *peer = links->peers[at];
    const struct err removed = {.code = ERR_CLOSED, .text = "the peer was removed"};
    links->peers[at] = NULL;
    for (struct channel *ch = links->channels; ch != NULL; ch = ch->next) {
        if (ch->peer == peer) {
            detach(ch, &removed, false);
        }
    }
    uv_close((uv_handle_t *)&peer->redial, on_peer_closed);
}

void links_remove_peer(struct links *links, uint64_t id) {
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (links->peers[i] != NULL && links->peers[i]->id == id) {
            remove_peer(links, i);
            return;
        }
    }
}

static void on_listener_closed(void *data) {
    release(data);
}

static void on_ping_closed(uv_handle_t *timer) {
    release(timer->data);
}

void links_close(struct links *links, void (*on_closed)(void *data), void *data) {
    CHECK(!links->is_closing);
    links->is_closing = true;
    links->on_closed = on_closed;
    links->closed_data = data;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (links->peers[i] != NULL) {
            remove_peer(links, i);
        }
    }
    uv_close((uv_handle_t *)&links->ping, on_ping_closed);
    net_listener_close(links->listener, on_listener_closed, links);
}

static RESULT add_peer(struct links *links, uint64_t id, struct span spki, struct peer **out,
                       struct err *err) {
    ENSURE(find_peer_by_key(links, spki) == NULL, err, EXISTS, "another peer has this key");
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (links->peers[i] == NULL) {
            struct peer *peer = links->peers[i] = *out = mem_zalloc(sizeof *peer);
            peer->links = links;
            peer->id = id;
            peer->backoff_ms = BACKOFF_MIN_MS;
            buf_append_span(&peer->spki, spki);
            CHECK(uv_timer_init(links->loop, &peer->redial) == 0);
            peer->redial.data = peer;
            links->handles++;
            return OK;
        }
    }
    return err_set(err, ERR_TOO_LARGE, "%d peers already", PEERS_MAX);
}

RESULT links_set_peer(struct links *links, uint64_t id, const char *host, uint16_t port,
                      struct span spki, struct err *err) {
    ENSURE(id != 0 && id != links->id, err, INVALID, "peer id %" PRIu64, id);
    ENSURE(strlen(host) <= LIMIT_ADDRESS && spki.size > 0 && spki.size <= LIMIT_SPKI, err, INVALID,
           "address or key of peer %" PRIu64 " is too long", id);
    struct peer *peer = find_peer(links, id);
    bool is_new = peer == NULL;
    if (is_new) {
        TRY(add_peer(links, id, spki, &peer, err));
        CHECK(peer != NULL);
    }
    ENSURE(span_equal(buf_span(&peer->spki), spki), err, EXISTS,
           "peer %" PRIu64 " is pinned with another key", id);
    snprintf(peer->host, sizeof peer->host, "%s", host);
    peer->port = port;
    if (is_new && links->id < id) {
        CHECK(uv_timer_start(&peer->redial, on_redial, 0, 0) == 0);
    }
    return OK;
}

RESULT links_send(struct links *links, uint64_t id, uint8_t type, struct span body,
                  struct err *err) {
    CHECK(type >= LINK_TYPE_FIRST);
    const struct peer *peer = find_peer(links, id);
    ENSURE(peer != NULL && peer->current != NULL, err, UNAVAILABLE, "no link to %" PRIu64, id);
    return net_send(peer->current->conn, type, 0, body, err);
}

bool links_is_up(const struct links *links, uint64_t id) {
    const struct peer *peer = find_peer(links, id);
    return peer != NULL && peer->current != NULL;
}
