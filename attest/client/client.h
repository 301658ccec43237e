/* Client: the connecting end of an attested session, for the CLI, the initializer and replicas that
 * found or join a cluster.
 *
 *   client_open -> TLS -> API_ATTEST_REQUEST -> API_EVIDENCE (kept) -> API_HISTORY, all pages
 *     -> API_RECOVERIES, all pages, where the epoch is above 1
 *     -> on_open: client_judge against what the caller trusts
 *     -> client_send ... on_frame ... -> client_close -> on_close
 *
 * Until client_judge has accepted, nothing the server said is true. The evidence is judged when the
 * history is there, because the manifest that says what a Coordinator must look like may come with
 * it: the chain of signatures first, from keys that the caller names, then the evidence against the
 * newest manifest of that chain, then the statement against both (cluster, head, CA certificates).
 *
 * One thread, the loop's. The server's words are bounded by lib/wire and LIMIT_CLIENT_HISTORY.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CLIENT_H
#define CONTRAST_CLIENT_H

#include "attest/session.h"
#include "lib/manifest/transition.h"
#include "lib/net/net.h"
#include "lib/wire/api.h"

/* What the server presented. Spans into `arena`. */
struct client_history {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation; /* 0 = no manifest */
    struct transition_record *records;
    size_t count;
    struct transition_recovery *recoveries; /* by rising epoch; asked for when `epoch` is above 1 */
    size_t recovery_count;
    char *root_ca_pem;
    char *mesh_ca_pem;
    struct arena arena;
};

struct client;
struct client_calls {
    /* Evidence and history are in hand; nothing is judged yet. */
    void (*on_open)(struct client *c, void *data);
    /* A frame after that, API_ERROR and API_ATTEST_REQUEST included. */
    void (*on_frame)(struct client *c, void *data, const struct frame *frame);
    /* Once and last, never from inside client_open or client_close. The client is freed then. */
    void (*on_close)(struct client *c, void *data, const struct err *why);
};

struct client_config {
    const char *host;
    uint16_t port;
    struct tls_context *tls; /* client side; referenced */
    const struct host *clock;
    uint64_t timeout_ms; /* for connection and handshake, then between two frames */
    struct client_calls calls;
    void *data;
};

RESULT client_open(uv_loop_t *loop, const struct client_config *config, struct client **out,
                   struct err *err);
void client_close(struct client *c);
/* Closes because of `why`, which on_close will say. */
void client_abort(struct client *c, const struct err *why);

RESULT client_send(struct client *c, uint8_t type, const struct wire_type *wire_type,
                   const void *message, struct err *err);
/* Bytes that are encoded already. */
RESULT client_send_bytes(struct client *c, uint8_t type, struct span body, struct err *err);

/* Bytes that the system has not taken yet (net_conn_pending_bytes). */
size_t client_pending_bytes(const struct client *c);

/* Lives as long as the client. */
const struct client_history *client_history(const struct client *c);
/* Inside on_close: takes the history over, at the address that client_history gave, so that what
 * was judged outlives the connection. */
struct client_history *client_take_history(struct client *c);
void client_history_free(struct client_history *h); /* accepts NULL */
/* As transition_verify_chain takes it; borrows from `h`. */
struct transition_history client_history_chain(const struct client_history *h);
/* The connection's binding, to make evidence of one's own. */
struct attest_channel client_channel(struct client *c);
/* The raw evidence message of the server, to keep beside a verdict. */
struct span client_evidence(const struct client *c);

/* What the caller trusts. All borrowed. */
struct client_trust {
    /* Exactly one of the two: the manifest that the server must satisfy (set before it is active,
     * or one's own); or, NULL, the newest manifest of the server's chain. */
    const struct manifest *manifest;
    /* Whose keys may have signed the first transition: digests of owner keys. */
    const uint8_t (*owner_digests)[32];
    size_t owner_count;
    const uint8_t (*permitted_roots)[32]; /* simulated roots that may be trusted at all */
    size_t permitted_root_count;
    const struct span *crls; /* own revocation lists (DER), besides the evidence's */
    size_t crl_count;
    /* The highest epoch that the caller has ever verified of `cluster_seen`, 0 = none: a server of
     * that cluster that proves a lower one is ROLLBACK. cluster_seen NULL: of any cluster. */
    uint64_t epoch_seen;
    const uint8_t *cluster_seen; /* [32] */
    bool must_have_manifest;     /* a server without one is NOT_FOUNDED */
    int64_t at;                  /* unix seconds */
    /* Gets what the server's host did not hand out; as in struct attest_policy. */
    RESULT(*endorse)
    (void *data, const struct snp_options *options, struct snp_evidence *evidence,
     struct snp_report *report, struct verdict *verdict, struct err *err);
    void *endorser;
};

/* The outcome. Zeroed is valid; deinit in every case. */
struct client_verdict {
    struct manifest latest; /* the newest manifest of the chain, when there is one */
    bool has_latest;
    uint8_t head[32];
    uint64_t epoch; /* of the chain; 0 without a manifest */
    struct attest_peer peer;
};
void client_verdict_deinit(struct client_verdict *v);

/* Judges chain, evidence and statement, once for each client. Errors of transition_verify_chain and
 * attest_verifier_finish, DIFFERS when the statement does not say what the session shows, ROLLBACK
 * for an epoch below trust->epoch_seen, STALE_GENERATION when it changed meanwhile; NOT_FOUND
 * and so on as documented there. The server's claim to be current is peer.statement's. */
RESULT client_judge(struct client *c, const struct client_trust *trust, struct client_verdict *out,
                    struct err *err);

/* Turns an API_ERROR frame into *err: code, text, and the verdict's fields appended. A peer proves
 * nothing by a number: codes of class PROOF become PROTOCOL. Before on_open, when nobody knows who
 * speaks, a code of class DENIED or OPERATOR becomes UNVERIFIABLE, too. */
RESULT client_error(const struct frame *frame, struct err *err);

#endif
