/* Link: mutually authenticated connections to the other replicas, one per peer.
 *
 *   smaller id ── TLS 1.3, both keys pinned ──> larger id
 *      HELLO {identity, id, connection, entry version} ──>
 *                                <── HELLO {identity, id, the same connection, entry version}
 *      up: frames both ways, a PING every second from each side
 *
 * `identity` stands for the cluster in its epoch: SHA-256("contrast-link-v1\0" || cluster id ||
 * epoch u64be). Members of the cluster before a recovery have another one.
 *
 * Only the replica with the smaller id dials, again and again with jittered back-off (20 ms .. 1
 * s), counting its connections to a peer in `connection`. A HELLO with a newer one supersedes the
 * older connection: what still comes from that is dropped (rule R6 of docs/consensus.md). A peer
 * whose key is not pinned is turned away inside the TLS handshake; one of another cluster or epoch,
 * or that says another id than its key's, right after. Frames are bounded by LIMIT_FRAME_BODY, what
 * waits to be sent by LIMIT_CONN_WRITE_QUEUE; a link that exceeds it, or whose peer is silent for
 * LIMIT_LINK_SILENCE_MS, is cut.
 *
 * A connection has LIMIT_HANDSHAKE_MS for the TLS handshake and LIMIT_LINK_HELLO_MS for HELLO. One
 * address has LIMIT_LINK_HALF_OPEN handshakes at a time, one peer LIMIT_LINK_PENDING connections
 * without HELLO, all together LIMIT_LINK_CONNECTIONS; beyond that the oldest gives way. Trouble
 * with a peer is logged once for each kind (link_notice.h), that with strangers likewise.
 *
 * One thread: that of the loop. Callbacks may call everything but links_close's own freeing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LINK_H
#define CONTRAST_LINK_H

#include "consensus/link_frame.h"
#include "lib/base/host.h"
#include "lib/net/net.h"

#define LINK_CLUSTER_ID_SIZE 32
#define LINK_TYPE_FIRST LINK_FRAME_USER_FIRST

struct links;

struct links_callbacks {
    /* One frame of the peer; `body` is borrowed for the call. */
    void (*on_frame)(void *data, uint64_t peer, uint8_t type, struct span body);
    /* Up, or up again over a new connection: node_peer_reset now. `version`: the highest entry
     * version that the peer knows. */
    void (*on_up)(void *data, uint64_t peer, uint64_t version);
    /* Down. `is_gone`: the other end closed or reset the connection, or refuses a new one (then
     * this may come a second time for a link that is down already): its process has ended, as far
     * as anybody on the network can know. False: silence, our own cut, links_remove_peer. */
    void (*on_down)(void *data, uint64_t peer, bool is_gone);
    /* NULL, or: somebody was turned away, or turned us away, or broke the protocol. peer 0: not
     * known who. Each time: whoever dials decides how often, and the log has its line already. */
    void (*on_refused)(void *data, uint64_t peer, const struct err *why);
};

struct links_config {
    uv_loop_t *loop;         /* borrowed until on_closed */
    const struct host *host; /* borrowed: jitter */
    uint64_t id;
    uint8_t cluster[LINK_CLUSTER_ID_SIZE];
    uint64_t epoch;          /* of the cluster: 1, and one more with each recovery */
    uint64_t version;        /* the highest entry version that we know */
    const struct key *key;   /* private; shared */
    struct span certificate; /* DER, of `key`; copied */
    const char *listen_host; /* copied */
    uint16_t listen_port;    /* 0: any free one, see links_port */
    uint64_t handshake_ms;   /* 0: LIMIT_HANDSHAKE_MS */
    uint64_t hello_ms;       /* 0: LIMIT_LINK_HELLO_MS */
    uint64_t silence_ms;     /* 0: LIMIT_LINK_SILENCE_MS; at least 10 */
    struct links_callbacks calls;
    void *data;
};

/* Listens. CONFIG or UNAVAILABLE as net_listen and tls_context_new. */
RESULT links_new(const struct links_config *config, struct links **out, struct err *err);
uint16_t links_port(const struct links *links);
/* Cuts everything; no callback but on_closed (may be NULL) comes after, once; *links is gone then.
 */
void links_close(struct links *links, void (*on_closed)(void *data), void *data);

/* Pins `spki` (DER SubjectPublicKeyInfo, up to LIMIT_SPKI bytes) for this id; dials host:port if
 * our id is the smaller one. The same id again: a changed address is used from the next dial on; a
 * changed key is refused with EXISTS (an id is the hash of its key). INVALID for our own id;
 * TOO_LARGE beyond LIMIT_MEMBERS * 2 peers. */
RESULT links_set_peer(struct links *links, uint64_t id, const char *host, uint16_t port,
                      struct span spki, struct err *err);
/* Forgets the pin and cuts the link, with on_down if it was up. Unknown ids are fine. */
void links_remove_peer(struct links *links, uint64_t id);

/* type >= LINK_TYPE_FIRST. UNAVAILABLE while the link is down; BUSY when its queue is full. */
RESULT links_send(struct links *links, uint64_t peer, uint8_t type, struct span body,
                  struct err *err);
bool links_is_up(const struct links *links, uint64_t peer);

#endif
