/* Server, inside: what server.c and server_links.c share. Core thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SERVER_INTERNAL_H
#define CONTRAST_SERVER_INTERNAL_H

#include <uv.h>
#include "attest/attester.h"
#include "attest/snp_cache.h"
#include "consensus/link.h"
#include "coordinator/completion.h"
#include "coordinator/endorse_source.h"
#include "coordinator/endorser.h"
#include "coordinator/recovery_core.h"
#include "coordinator/recovery_desk.h"
#include "coordinator/rejudge.h"
#include "coordinator/replica.h"
#include "coordinator/worker.h"
#include "lib/base/log.h"
#include "lib/crypto/cert.h"

#define SERVER_WORKERS 64

struct server {
    const struct config *config;
    struct server_identity identity;
    struct issuer *issuer;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    struct mailbox *box;
    struct replica *replica;
    struct endorser *endorser;
    struct endorse_source *source;
    struct links *links;    /* NULL until a cluster is known */
    uint64_t links_epoch;   /* they belong to */
    uint64_t leader_ms;     /* a leader was known then */
    struct buf certificate; /* DER, self-signed, of the identity key */
    struct worker *workers[SERVER_WORKERS];
    unsigned worker_count;
    uint64_t wanted[LIMIT_MEMBERS]; /* peers that the replica wants linked */
    size_t wanted_count;
    uint64_t judged[LIMIT_MEMBERS]; /* peers whose evidence this process judged, or was judged */
    size_t judged_count;
    char waits[512];          /* why it has not joined yet */
    bool is_joiner;           /* of a cluster that others began, in this epoch */
    bool is_chain_asked;      /* its history is being judged, or was */
    struct rejudge undecided; /* peers whose evidence could not be verified yet */
    bool is_leaving;          /* a signal came */
    bool is_gone;
    struct err why;
};

void server__arm(struct server *s); /* the timer, to what is due next */

/* server_links.c */
void server__send(void *data, uint64_t peer, uint8_t type, struct span body);
void server__peers(void *data, const uint8_t cluster[32], const struct replica_peer *peers,
                   size_t count);
void server__take_judgement(struct server *s, const struct letter *l);
void server__judge_again(struct server *s);
void server__take_chain(struct server *s, const struct letter *l);

#endif
