/* Session: the serving end of one connection of the user API or the mesh API.
 *
 *   IDLE --request--> BUSY --reply or error--> IDLE
 *     |                 ^
 *     '--request that needs the peer's evidence--> AWAIT_EVIDENCE --accepted--'
 *     '--signed set with unknown policies--------> AWAIT_POLICIES --all here--'
 *
 * One request at a time: another one meanwhile breaks the protocol and ends the connection. A
 * request that fails is answered by API_ERROR with code, text and the verdict's fields; the
 * connection stays. Everything here runs on a worker's thread; what the peer sent is copied before
 * the thread is left.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_COORDINATOR_SESSION_H
#define CONTRAST_COORDINATOR_SESSION_H

#include "attest/session.h"
#include "coordinator/worker.h"
#include "lib/wire/api.h"

extern const struct net_callbacks session_user_calls;
extern const struct net_callbacks session_mesh_calls;

enum session_phase { SESSION_IDLE, SESSION_BUSY, SESSION_AWAIT_EVIDENCE, SESSION_AWAIT_POLICIES };

struct set_job;
struct founding;
struct scout;
struct sealed_file;

struct session {
    struct worker *worker;
    struct net_conn *conn;
    bool is_mesh;
    bool is_closed;
    enum session_phase phase;
    uint8_t request_type;
    uint16_t request_id;
    struct buf request;          /* body of the request that is served */
    struct attest_request asked; /* by the peer */
    struct attest_verifier verifier;
    struct buf evidence;     /* the peer's, completed where it lacked certificates */
    unsigned completions;    /* of it, so far */
    struct attest_peer peer; /* the peer's evidence, once accepted */
    bool is_peer_known;
    struct manifest candidate;  /* FOUND_PREPARE: what the peer was judged by */
    bool is_first_start;        /* FOUND_START: this replica had not started before */
    struct set_job *set;        /* session_set.c */
    struct founding *founding;  /* session_found.c */
    struct scout *scout;        /* session_recover.c: peers are being asked */
    struct sealed_file *sealed; /* session_checkpoint.c: what is being fetched */
};

/* Ends the request: one reply, back to IDLE. */
void session_reply(struct session *s, uint8_t type, const struct wire_type *wire_type,
                   const void *message);
void session_fail(struct session *s, const struct err *err);
/* With the fields of a verdict. */
void session_fail_verdict(struct session *s, const struct err *err, const struct verdict *verdict);
/* Fails the request unless `r` is OK; returns whether it is. */
bool session_try(struct session *s, struct result r, const struct err *err);
/* Turns a failed reply of the core thread into *err; OK when it did not fail. */
RESULT session_check(const struct letter *reply, struct err *err);

/* A frame of the request that is served. */
void session_send(struct session *s, uint8_t type, const struct wire_type *wire_type,
                  const void *message);
/* What the request's peer is judged by; the request's work. */
RESULT session_policy_of(struct session *s, struct attest_policy *policy, struct err *err);
void session_serve(struct session *s);

/* --- session_evidence.c */

void session_ask_evidence(struct session *s);
/* Judges it, now or when what it lacks is here; then serves the request, or fails it. */
void session_take_evidence(struct session *s, struct span evidence);
void session_judge(struct session *s);
/* Appends a document of the peer's, with the certificates that proved its session where the
 * document has none: what is kept in the log is judged again when AMD cannot be asked. */
RESULT session_complete_document(const struct session *s, struct span document, struct buf *out,
                                 struct err *err);

/* The handlers: each answers exactly once, now or later. The request is in s->request. */
void session_attest(struct session *s);  /* API_ATTEST_REQUEST */
void session_history(struct session *s); /* session_read.c */
void session_policy(struct session *s);
void session_status(struct session *s);
void session_recoveries(struct session *s);
void session_checkpoint(struct session *s); /* session_checkpoint.c */
void session_checkpoint_free(struct session *s);
void session_retire(struct session *s);  /* session_retire.c */
void session_recover(struct session *s); /* session_recover.c */
void session_recover_data(struct session *s);
void session_recover_show(struct session *s);
void session_recover_give(struct session *s);
void session_set(struct session *s); /* session_set.c */
void session_put_policy(struct session *s, struct span body);
void session_set_free(struct session *s);
void session_prepare(struct session *s); /* session_found.c */
void session_commit(struct session *s);
void session_founding_free(struct session *s);
/* With the peer's evidence: first what it is judged by, then the work. */
RESULT session_certificate_policy(struct session *s, struct attest_policy *policy,
                                  struct err *err); /* session_mesh.c */
void session_certificate(struct session *s);
RESULT session_join_policy(struct session *s, struct attest_policy *policy, struct err *err);
void session_join(struct session *s);
RESULT session_found_prepare_policy(struct session *s, struct attest_policy *policy,
                                    struct err *err);
void session_found_prepare(struct session *s);
RESULT session_found_start_policy(struct session *s, struct attest_policy *policy, struct err *err);
void session_found_start(struct session *s);
void session_restart_look(struct session *s); /* session_restart.c */
RESULT session_restart_policy(struct session *s, struct attest_policy *policy, struct err *err);
void session_restart_give(struct session *s);

/* --- session_found.c, also for the founders that are asked */

/* The simulated roots that a manifest names, rising, each once: what FOUND fixes for ever. INVALID
 * over LIMIT_REFERENCE_VALUES. In the arena. */
RESULT session_founding_roots(const struct manifest *m, struct arena *arena, struct wire_list *out,
                              struct err *err);
/* SIGNATURE unless the manifest names an owner whom this replica's own environment names: nobody
 * else could sign its founding. */
RESULT session_check_owner(const struct session *s, const struct manifest *m, struct err *err);

/* SIGNATURE unless this replica's own environment names the signer, and the signature is the
 * signer's over the first transition of this cluster. */
RESULT session_check_founding(const struct session *s, const uint8_t cluster[32],
                              const struct manifest *m, struct span spki, struct span signature,
                              struct err *err);

/* --- session_set.c, also for founding */

/* A signed manifest on its way into the log. All copied. */
struct set_request {
    struct span manifest;
    uint8_t previous[32];
    uint64_t generation;
    struct span spki;
    struct span signature;
};
/* Checks the signature by `authority` over the transition in this cluster, asks the client for the
 * policies that the active manifest does not have, then proposes. Answers the request. */
void session_set_start(struct session *s, const struct set_request *request,
                       const uint8_t cluster[32], uint64_t epoch, const struct manifest *authority,
                       void (*before_propose)(struct session *s));
/* The request that is under way. */
const struct set_request *session_set_request(const struct session *s);
/* Goes on after before_propose did its work. */
void session_set_propose(struct session *s);

#endif
