/* Worker: one session thread. It owns its loop, its listeners, its connections and its copy of the
 * view; it talks to the core thread and to the attester by letters alone.
 *
 *   client -> session -> op -> letter -> core thread | attester -> letter -> op -> session ->
 * client
 *
 * An op is one request that leaves the thread. Its owner may die first: then the answer is dropped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WORKER_H
#define CONTRAST_WORKER_H

#include "attest/attester.h"
#include "attest/leaf.h"
#include "coordinator/config.h"
#include "coordinator/lists.h"
#include "coordinator/mailbox.h"
#include "coordinator/view.h"
#include "lib/base/host.h"
#include "lib/net/net.h"
#include "meshca/ca.h"

/* Letters to the core thread; `bytes` as said. */
enum core_letter {
    CORE_PROPOSE,      /* an entry */
    CORE_ADMIT,        /* an ADMIT entry */
    CORE_ISSUE,        /* an ISSUE entry with one request */
    CORE_CONFIRM,      /* nothing */
    CORE_POSITION,     /* nothing: where this replica stands, without asking a quorum */
    CORE_STATUS,       /* nothing */
    CORE_PREPARE,      /* nothing */
    CORE_FOUND,        /* a FOUND entry */
    CORE_JOIN,         /* generation u64be, epoch u64be, head[32], struct api_join_reply */
    CORE_JUDGED,       /* id u64be: this member's evidence holds (code OK) or not (text says why) */
    CORE_CHAIN,        /* the whole history holds (code OK) or not (text says why) */
    CORE_WAITS,        /* text: why this replica has not joined yet; no reply */
    CORE_ENDORSE,      /* struct entry_endorsement, 1 or 2: what to find; for a client then its
                          address (asker.h); the reply's bytes are a
                          COLLATERAL entry with the certificate, or empty for a list */
    CORE_LEARN,        /* a COLLATERAL entry: a certificate that proved a peer; no reply */
    CORE_FETCHED,      /* the same, of AMD's key service (endorse_source.h) */
    CORE_FETCH_FAILED, /* struct entry_endorsement; code, text, retry_ms */
    CORE_CHECKPOINT,   /* nothing; the reply's bytes: struct core_extract, core_save_checkpoint */
    CORE_SURVEY,       /* nothing; the same with the log's tail applied: what a survivor holds */
    CORE_RECOVER,      /* size u64be of a state, the state, a RECOVER entry */
    CORE_SUPERSEDED,   /* epoch u64be, hash of a recovery[32]: seen in a verified history */
};

/* Where a state stands that the core thread hands out. Only between threads: as it lies in memory.
 * Of `position`, what is not of the state (epoch, mode, recipient) is zero. */
struct core_extract {
    struct recovery position;
    uint64_t last_term; /* of its last entry */
    int64_t time;       /* unix seconds, as the cluster counts them */
};

/* Letters to a worker. */
enum worker_letter {
    WORKER_REPLY, /* to the op `ticket` */
    WORKER_VIEW,
    WORKER_LISTS,
    WORKER_JUDGE, /* id u64be, nonce[32], evidence document of a member */
    WORKER_CHAIN, /* nothing: judge the whole history of the view */
    WORKER_STOP,
};

/* What the threads share for reading, set before they start. */
struct server_identity {
    const struct config *config;
    const struct host *host;
    struct key key;  /* P-256: TLS on every port, and the replica's identity */
    struct buf spki; /* DER */
    uint64_t id;
    struct tls_context *server_tls; /* sessions; a client certificate is demanded */
    struct tls_context *client_tls;
    struct attester *attester;
    struct snp_cache *cache;      /* of the peers' certificate chains; for all threads */
    struct recovery_desk *desk;   /* recovery sessions; for all threads */
    struct restart_desk *restart; /* restart without people; for all threads */
    struct restart_store *store;  /* its files; NULL where no folder is set */
};

struct worker;
struct op;
typedef void (*op_cb)(void *owner, const struct letter *reply);

/* Starts the thread. `core` is where its letters go. The first worker also joins the cluster, or
 * restarts it. */
RESULT worker_start(unsigned index, const struct server_identity *identity, struct mailbox *core,
                    struct worker **out, struct err *err);
/* Asks it to end, waits, wipes its secrets. The process ends next: its sockets end with that. */
void worker_stop(struct worker *w);
/* For the core thread; never refused for want of room: the answers of a worker are as many as its
 * ops (LIMIT_PENDING_REQUESTS), views and members to judge as many as the entries that change them.
 */
void worker_post(struct worker *w, struct letter *l);

/* --- For what runs on the worker's thread */

const struct server_identity *worker_identity(const struct worker *w);
uv_loop_t *worker_loop(struct worker *w);
struct view *worker_view(struct worker *w);         /* borrowed; NULL before founding */
struct lists *worker_lists(const struct worker *w); /* borrowed; NULL = none yet */
/* The mesh CA of the view: loaded once a generation. */
RESULT worker_mesh(struct worker *w, const struct ca_mesh **out, struct err *err);

/* Sends a letter to the core thread; `done(owner, reply)` is called once, later, unless the owner
 * cancels. BUSY when the core thread is overloaded or LIMIT_PENDING_REQUESTS ops wait. */
RESULT worker_ask(struct worker *w, enum core_letter kind, struct span bytes, void *owner,
                  op_cb done, struct err *err);
/* Attests one leaf; the reply's bytes are the encoded evidence message, with what this replica's
 * host did not hand out (supplement.h). */
RESULT worker_attest(struct worker *w, const uint8_t leaf[ATTEST_LEAF_SIZE], enum attest_kind kind,
                     struct span statement, void *owner, op_cb done, struct err *err);
/* Gives the cluster a certificate that proved a peer; what was given before costs nothing. */
void worker_learn(struct worker *w, const struct entry_collateral *c);
/* Why this replica has not joined yet: for its status. */
void worker_waits(struct worker *w, const char *why);
/* Drops the answers of all ops of this owner. */
void worker_cancel(struct worker *w, const void *owner);

/* One more founding on this thread: anybody may ask for one. BUSY beyond LIMIT_FOUNDINGS. */
RESULT worker_founding_begin(struct worker *w, struct err *err);
void worker_founding_end(struct worker *w);

/* The replica's statement at a position, encoded. */
void worker_statement(const struct worker *w, const struct position *position, struct buf *out);
/* An evidence document over `nonce` at the position of an empty or any other state. */
RESULT worker_document(struct worker *w, const uint8_t nonce[ATTEST_NONCE_SIZE],
                       const struct position *position, void *owner, op_cb done, struct err *err);
/* The reference policy for a peer against this manifest, at now. */
struct attest_policy;
void worker_attest_policy(const struct worker *w, const struct manifest *manifest,
                          enum attest_kind kind, enum policy_role role, struct attest_policy *out);
/* What a server is trusted by that this replica connects to: `manifest` as in struct client_trust.
 */
struct client_trust;
void worker_client_trust(const struct worker *w, const struct manifest *manifest,
                         struct client_trust *out);
int64_t worker_now(const struct worker *w); /* unix seconds to judge certificates at */

#endif
