/* Session, the peer's evidence: asked for, completed where its host gave no certificates, judged.
 * See session.h.
 *
 *   API_ATTEST_REQUEST -> API_EVIDENCE -> judged -> accepted -> the request is served
 *                                          |  ^
 *          a certificate or a list lacks   v  |   at most COMPLETIONS_MAX times
 *                                        CORE_ENDORSE (endorser.h), bounded in time
 *
 * What is false without any certificate is denied before one is looked for (attest/session.c), so
 * it costs AMD's key service nothing. Who could not be verified is told when to try again; the
 * search goes on, so that the next try is served.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "coordinator/asker.h"
#include "coordinator/completion.h"
#include "coordinator/session.h"

#define COMPLETIONS_MAX 2 /* the certificate, then the list */

void session_ask_evidence(struct session *s) {
    struct attest_request request;
    attest_verifier_begin(&s->verifier, worker_identity(s->worker)->host, &request);
    s->phase = SESSION_AWAIT_EVIDENCE;
    session_send(s, API_ATTEST_REQUEST, &attest_request_type, &request);
}

/* --- What lacks */

/* Fills the keys to ask for: those of the certificate, or the list's. 0: nothing would help. */
static size_t find_lacking(const struct session *s, struct completion *c,
                           struct entry_endorsement keys[2]) {
    const char *code = s->peer.verdict.code;
    if (strcmp(code, "SNP-VEK-MISSING") == 0 && !c->has_vek) {
        memcpy(keys, c->keys, sizeof c->keys);
        return c->key_count;
    }
    if (strncmp(code, "SNP-CRL-", 8) == 0) { /* none, an old one, or the host made one up */
        completion_authorities(c);
        keys[0] = c->list;
        return c->list.product == SNP_PRODUCT_UNKNOWN ? 0 : 1;
    }
    return 0;
}

static void fail_lacking(struct session *s, const struct letter *reply) {
    struct verdict *v = &s->peer.verdict;
    struct err err;
    const char *why = reply->text == NULL ? err_text(reply->code) : reply->text;
    struct result r = err_set(&err, ERR_UNVERIFIABLE, "%s: %s: %.500s", v->code, v->field, why);
    (void)r;
    err_advise(&err, reply->retry_ms == 0 ? LIMIT_ENDORSE_MS : reply->retry_ms);
    snprintf(v->remedy, sizeof v->remedy, "%.300s; try again, or %.120s", why,
             "give the replicas the file (CONTRAST_ENDORSEMENTS)");
    session_fail_verdict(s, &err, v);
}

static void on_endorsed(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct buf completed = {0};
    struct entry entry;
    if (reply->code != ERR_OK) {
        fail_lacking(s, reply);
        return;
    }
    if (reply->bytes.size > 0) { /* a certificate; a list is among the worker's */
        CHECK(is_ok(entry_decode(buf_span(&reply->bytes), &arena, &entry, NULL)));
        const struct entry_collateral *e = &entry.collateral;
        struct core_vek vek = {e->key, e->der, e->authority, e->root};
        CHECK(is_ok(
            completion_fill(buf_span(&s->evidence), &vek, (struct span){0}, &completed, NULL)));
        buf_clear(&s->evidence);
        buf_append_span(&s->evidence, buf_span(&completed));
        buf_deinit(&completed);
    }
    session_judge(s);
}

static RESULT ask_endorser(struct session *s, const struct entry_endorsement *keys, size_t count,
                           struct err *err) {
    uint8_t bytes[ENDORSER_KEYS * sizeof keys[0] + ENDORSER_SOURCE_SIZE];
    size_t size = count * sizeof keys[0];
    memcpy(bytes, keys, size);
    asker_parse(net_conn_peer_address(s->conn), bytes + size);
    return worker_ask(s->worker, CORE_ENDORSE, span_of(bytes, size + ENDORSER_SOURCE_SIZE), s,
                      on_endorsed, err);
}

/* True when the request goes on later. */
static bool complete(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    struct entry_endorsement keys[2];
    struct err err;
    if (s->completions >= COMPLETIONS_MAX ||
        !is_ok(completion_read(buf_span(&s->evidence), &arena, &c, NULL))) {
        return false;
    }
    size_t count = find_lacking(s, &c, keys);
    s->completions++;
    return count > 0 && is_ok(ask_endorser(s, keys, count, &err));
}

/* --- Verdict */

/* A certificate that proved a peer will prove it to everyone, also while AMD cannot be asked. */
static void learn(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    if (!is_ok(completion_read(buf_span(&s->evidence), &arena, &c, NULL)) || !c.has_vek ||
        c.key_count == 0) {
        return;
    }
    if (c.key_count > 1 || s->peer.verdict.simulated) {
        completion_authorities(&c);
    }
    struct entry_collateral e = {.kind = COLLATERAL_VEK, .key = c.keys[0], .der = c.vek};
    for (size_t i = 1; i < c.key_count; i++) {
        e.key = c.keys[i].product == c.list.product ? c.keys[i] : e.key;
    }
    bool is_named = c.key_count == 1 || e.key.product == c.list.product;
    if (s->peer.verdict.simulated) {
        e.authority = c.authority;
        e.root = c.root;
    }
    if (is_named && (e.authority.size == 0) == (e.root.size == 0)) {
        worker_learn(s->worker, &e);
    }
}

void session_judge(struct session *s) {
    struct attest_verifier verifier = s->verifier; /* the nonce counts until a verdict is there */
    struct attest_channel channel = attest_channel_of_tls(net_conn_tls(s->conn));
    struct attest_policy policy;
    struct err err;
    if (s->is_closed) {
        return;
    }
    attest_peer_deinit(&s->peer);
    s->peer = (struct attest_peer){0};
    if (!session_try(s, session_policy_of(s, &policy, &err), &err)) {
        return;
    }
    struct result r = attest_verifier_finish(&verifier, &channel, buf_span(&s->evidence), &policy,
                                             &s->peer, &err);
    if (r.code == ERR_UNVERIFIABLE && complete(s)) {
        return;
    }
    s->verifier = (struct attest_verifier){0};
    if (!is_ok(r)) {
        session_fail_verdict(s, &err, &s->peer.verdict);
        return;
    }
    s->is_peer_known = true;
    learn(s);
    session_serve(s);
}

void session_take_evidence(struct session *s, struct span evidence) {
    s->phase = SESSION_BUSY;
    s->completions = 0;
    buf_clear(&s->evidence);
    buf_append_span(&s->evidence, evidence);
    session_judge(s);
}

struct result session_complete_document(const struct session *s, struct span document,
                                        struct buf *out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion of_session;
    struct completion of_document;
    TRY(completion_read(buf_span(&s->evidence), &arena, &of_session, err));
    TRY(completion_read(document, &arena, &of_document, err));
    if (of_document.has_vek || !of_session.has_vek) {
        buf_append_span(out, document);
        return OK;
    }
    completion_authorities(&of_session);
    struct core_vek vek = {
        .der = of_session.vek, .authority = of_session.authority, .root = of_session.root};
    return completion_fill(document, &vek, (struct span){0}, out, err);
}
