/* Client: see client.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/client/client.h"

#include <inttypes.h>
#include <string.h>

#include "attest/client/recoveries.h"
#include "lib/base/limits.h"

enum client_phase {
    PHASE_CONNECT,
    PHASE_EVIDENCE,
    PHASE_HISTORY,
    PHASE_RECOVERIES, /* of a history above epoch 1 */
    PHASE_OPEN,
};

struct client {
    struct net_conn *conn;
    struct client_calls calls;
    void *data;
    const struct host *clock;
    enum client_phase phase;
    struct attest_verifier verifier;
    struct buf evidence;
    struct client_history *history; /* owned; NULL once taken */
    struct recoveries recoveries;   /* in the history's arena */
    size_t history_bytes;
    bool is_closing;
};

static void fail(struct client *c, const struct err *why) {
    client_abort(c, why);
}

static void ask_history(struct client *c) {
    struct api_history ask = {.from = c->history->count + 1};
    struct err err;
    struct result sent = client_send(c, API_HISTORY, &api_history_type, &ask, &err);
    if (!is_ok(sent)) {
        fail(c, &err);
    }
}

static void ask_recoveries(struct client *c) {
    struct api_recoveries ask = {.from = c->recoveries.count};
    struct err err;
    struct result sent = client_send(c, API_RECOVERIES, &api_recoveries_type, &ask, &err);
    if (!is_ok(sent)) {
        fail(c, &err);
    }
}

static void on_ready(struct net_conn *conn, void *data) {
    struct client *c = data;
    struct attest_request request;
    struct err err;
    net_conn_set_frame_limit(conn, LIMIT_FRAME_BODY);
    attest_verifier_begin(&c->verifier, c->clock, &request);
    c->phase = PHASE_EVIDENCE;
    if (!is_ok(client_send(c, API_ATTEST_REQUEST, &attest_request_type, &request, &err))) {
        fail(c, &err);
    }
}

static RESULT start_history(struct client *c, const struct api_history_reply *page,
                            struct err *err) {
    struct client_history *h = c->history;
    if (h->records == NULL) {
        ENSURE(page->generation <= LIMIT_HISTORY, err, TOO_LARGE,
               "history of %" PRIu64 " manifests", page->generation);
        memcpy(h->cluster, page->cluster, sizeof h->cluster);
        h->epoch = page->epoch;
        h->generation = page->generation;
        h->records = arena_alloc(&h->arena, (page->generation + 1) * sizeof *h->records);
    }
    ENSURE(memcmp(h->cluster, page->cluster, 32) == 0 && h->epoch == page->epoch, err, PROTOCOL,
           "the cluster changed inside one history");
    return OK;
}

static RESULT count_bytes(struct client *c, struct span body, struct err *err) {
    c->history_bytes += body.size;
    ENSURE(c->history_bytes <= LIMIT_CLIENT_HISTORY, err, TOO_LARGE, "history over %d bytes",
           LIMIT_CLIENT_HISTORY);
    return OK;
}

/* A `set` in the middle of the pages makes the last pages longer than the first said: they are cut
 * at the generation that the first page named, and CA certificates are the last page's. */
static RESULT take_page(struct client *c, struct span body, bool *done, struct err *err) {
    struct client_history *h = c->history;
    struct api_history_reply page;
    TRY(count_bytes(c, body, err));
    TRY(wire_decode(&api_history_reply_type, body, &h->arena, &page, err));
    TRY(start_history(c, &page, err));
    ENSURE(page.from == h->count + 1 || page.generation == 0, err, PROTOCOL,
           "history from %" PRIu64 ", asked for %zu", page.from, h->count + 1);
    const struct api_record *records = page.records.items;
    for (size_t i = 0; i < page.records.count && h->count < h->generation; i++) {
        h->records[h->count++] = (struct transition_record){
            .manifest = records[i].manifest,
            .spki = records[i].spki,
            .signature = records[i].signature,
        };
    }
    h->root_ca_pem = page.root_ca_pem;
    h->mesh_ca_pem = page.mesh_ca_pem;
    *done = h->count == h->generation;
    ENSURE(*done || page.records.count > 0, err, PROTOCOL, "history ends early");
    return OK;
}

/* Whoever speaks here has proved nothing: it cannot make this end say "denied". */
static RESULT error_of_stranger(const struct frame *frame, struct err *err) {
    struct result r = client_error(frame, err);
    enum err_class class = err_class_of(r.code);
    if (class == ERR_CLASS_DENIED || class == ERR_CLASS_OPERATOR) {
        struct err cause = *err;
        return err_set(err, ERR_UNVERIFIABLE, "no evidence, but an error: %s: %.900s",
                       err_name(cause.code), cause.text);
    }
    return r;
}

static void become_open(struct client *c) {
    c->phase = PHASE_OPEN;
    c->calls.on_open(c, c->data);
}

static RESULT recoveries_step(struct client *c, const struct frame *frame, struct err *err) {
    ENSURE(frame->type == API_RECOVERIES_REPLY, err, PROTOCOL, "frame %u in place of recoveries",
           frame->type);
    bool done = false;
    TRY(count_bytes(c, frame->body, err));
    TRY(recoveries_take(&c->recoveries, frame->body, &c->history->arena, &done, err));
    if (!done) {
        ask_recoveries(c);
        return OK;
    }
    c->history->recoveries = c->recoveries.items;
    c->history->recovery_count = c->recoveries.count;
    become_open(c);
    return OK;
}

static RESULT history_step(struct client *c, const struct frame *frame, struct err *err) {
    ENSURE(frame->type == API_HISTORY_REPLY, err, PROTOCOL, "frame %u in place of the history",
           frame->type);
    bool done = false;
    TRY(take_page(c, frame->body, &done, err));
    if (!done) {
        ask_history(c);
    } else if (c->history->generation > 0 && c->history->epoch > 1) {
        c->phase = PHASE_RECOVERIES;
        ask_recoveries(c);
    } else {
        become_open(c);
    }
    return OK;
}

static RESULT open_step(struct client *c, const struct frame *frame, struct err *err) {
    if (frame->type == API_ERROR) {
        return error_of_stranger(frame, err);
    }
    if (c->phase == PHASE_EVIDENCE) {
        ENSURE(frame->type == API_EVIDENCE, err, PROTOCOL, "frame %u in place of evidence",
               frame->type);
        buf_append_span(&c->evidence, frame->body);
        c->phase = PHASE_HISTORY;
        ask_history(c);
        return OK;
    }
    return c->phase == PHASE_HISTORY ? history_step(c, frame, err) : recoveries_step(c, frame, err);
}

static void on_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct client *c = data;
    (void)conn;
    if (c->is_closing) {
        return;
    }
    if (c->phase == PHASE_OPEN) {
        c->calls.on_frame(c, c->data, frame);
        return;
    }
    struct err err;
    struct result r = open_step(c, frame, &err);
    if (!is_ok(r)) {
        fail(c, &err);
    }
}

static void on_close(struct net_conn *conn, void *data, const struct err *why) {
    struct client *c = data;
    (void)conn;
    c->calls.on_close(c, c->data, why);
    client_history_free(c->history);
    buf_deinit(&c->evidence);
    mem_free(c);
}

struct result client_open(uv_loop_t *loop, const struct client_config *config, struct client **out,
                          struct err *err) {
    struct client *c = mem_zalloc(sizeof *c);
    c->calls = config->calls;
    c->data = config->data;
    c->clock = config->clock;
    c->history = mem_zalloc(sizeof *c->history);
    struct net_connect_config connect = {
        .host = config->host,
        .port = config->port,
        .tls = config->tls,
        .handshake_ms = config->timeout_ms,
        .idle_ms = config->timeout_ms,
        .calls = {on_ready, on_frame, on_close},
        .data = c,
    };
    struct result r = net_connect(loop, &connect, &c->conn, err);
    if (!is_ok(r)) {
        client_history_free(c->history);
        mem_free(c);
        return r;
    }
    *out = c;
    return OK;
}

void client_close(struct client *c) {
    c->is_closing = true;
    net_conn_close(c->conn);
}

void client_abort(struct client *c, const struct err *why) {
    c->is_closing = true;
    net_conn_abort(c->conn, why);
}

struct result client_send(struct client *c, uint8_t type, const struct wire_type *wire_type,
                          const void *message, struct err *err) {
    return net_send_message(c->conn, type, 0, wire_type, message, err);
}

struct result client_send_bytes(struct client *c, uint8_t type, struct span body, struct err *err) {
    return net_send(c->conn, type, 0, body, err);
}

size_t client_pending_bytes(const struct client *c) {
    return net_conn_pending_bytes(c->conn);
}

const struct client_history *client_history(const struct client *c) {
    return c->history;
}

struct client_history *client_take_history(struct client *c) {
    struct client_history *h = c->history;
    c->history = NULL;
    return h;
}

void client_history_free(struct client_history *h) {
    if (h != NULL) {
        arena_deinit(&h->arena);
        mem_free(h);
    }
}

struct transition_history client_history_chain(const struct client_history *h) {
    struct transition_history chain = {
        .records = h->records,
        .count = h->count,
        .recoveries = h->recoveries,
        .recovery_count = h->recovery_count,
    };
    memcpy(chain.cluster, h->cluster, sizeof chain.cluster);
    return chain;
}

struct attest_channel client_channel(struct client *c) {
    return attest_channel_of_tls(net_conn_tls(c->conn));
}

struct span client_evidence(const struct client *c) {
    return buf_span(&c->evidence);
}

/* --- Judging */

void client_verdict_deinit(struct client_verdict *v) {
    manifest_deinit(&v->latest);
    attest_peer_deinit(&v->peer);
}

static RESULT judge_chain(const struct client *c, const struct client_trust *trust,
                          struct client_verdict *out, struct err *err) {
    const struct client_history *h = c->history;
    if (h->generation == 0) {
        ENSURE(!trust->must_have_manifest, err, NOT_FOUNDED,
               "the Coordinator has no manifest yet: run `contrast set`");
        return OK;
    }
    struct manifest owners = {.owner_count = trust->owner_count};
    union {
        const uint8_t (*in)[32];
        uint8_t (*out)[32];
    } digests = {trust->owner_digests};
    owners.owner_digests = digests.out; /* read only */
    struct transition_history chain = client_history_chain(h);
    TRY(err_wrap(
        transition_verify_chain(&chain, &owners, &out->latest, out->head, &out->epoch, err), err,
        "manifest history"));
    out->has_latest = true;
    return OK;
}

static RESULT check_pem(const char *name, const char *pem, const uint8_t digest[48],
                        struct err *err) {
    uint8_t actual[48];
    sha384(span_str(pem), actual);
    ENSURE(memcmp(actual, digest, sizeof actual) == 0, err, DIFFERS,
           "the %s certificate is not the one that the Coordinator attested", name);
    return OK;
}

/* The recoveries prove the epoch, the statement attests it, the first page only claims it. What is
 * below an epoch that the caller has seen was superseded: its quorum came back, or never left. */
static RESULT judge_epoch(const struct client_history *h, const struct client_trust *trust,
                          const struct client_verdict *v, struct err *err) {
    uint64_t attested = v->peer.statement.replica.epoch;
    uint64_t highest = attested > v->epoch ? attested : v->epoch;
    bool is_of_seen =
        trust->cluster_seen == NULL || memcmp(trust->cluster_seen, h->cluster, 32) == 0;
    ENSURE(!is_of_seen || highest >= trust->epoch_seen, err, ROLLBACK,
           "the Coordinator is at epoch %" PRIu64 ", and epoch %" PRIu64
           " of this cluster was seen before: the cluster was recovered, and this replica belongs "
           "to what came before",
           highest, trust->epoch_seen);
    ENSURE(v->epoch == h->epoch, err, DIFFERS,
           "the Coordinator says epoch %" PRIu64 ", its recoveries lead to %" PRIu64, h->epoch,
           v->epoch);
    ENSURE(attested <= v->epoch, err, DIFFERS, "epoch %" PRIu64 " attested, %" PRIu64 " shown",
           attested, v->epoch);
    ENSURE(attested == v->epoch, err, STALE_GENERATION,
           "the cluster was recovered while its history was read (epoch %" PRIu64
           " attested, %" PRIu64 " shown): try again",
           attested, v->epoch);
    return OK;
}

/* The statement is what the report signs: it must name the history and certificates shown. A `set`
 * between evidence and history makes the history longer: then one asks again. */
static RESULT judge_statement(const struct client *c, const struct client_trust *trust,
                              const struct client_verdict *v, struct err *err) {
    const struct client_history *h = c->history;
    const struct replica_statement *s = &v->peer.statement.replica;
    static const uint8_t none[32];
    ENSURE(memcmp(s->cluster, none, 32) != 0 || h->generation == 0, err, STALE_GENERATION,
           "the Coordinator joined its cluster while it was read: try again");
    ENSURE(memcmp(s->cluster, h->cluster, 32) == 0 || h->generation == 0, err, DIFFERS,
           "the history is of another cluster than the Coordinator attested");
    if (h->generation == 0) {
        ENSURE(s->generation == 0, err, DIFFERS,
               "the Coordinator attested generation %" PRIu64 " and shows no history",
               s->generation);
        return OK;
    }
    TRY(judge_epoch(h, trust, v, err));
    ENSURE(s->generation <= h->generation, err, DIFFERS,
           "the Coordinator attested generation %" PRIu64 " and shows %" PRIu64, s->generation,
           h->generation);
    ENSURE(s->generation < h->generation || memcmp(s->head, v->head, 32) == 0, err, DIFFERS,
           "the history ends in another transition than the Coordinator attested");
    ENSURE(s->generation == h->generation, err, STALE_GENERATION,
           "the manifest changed while it was read (generation %" PRIu64 " attested, %" PRIu64
           " shown): try again",
           s->generation, h->generation);
    TRY(check_pem("root CA", h->root_ca_pem, s->root_ca_digest, err));
    return check_pem("mesh CA", h->mesh_ca_pem, s->mesh_ca_digest, err);
}

struct result client_judge(struct client *c, const struct client_trust *trust,
                           struct client_verdict *out, struct err *err) {
    TRY(judge_chain(c, trust, out, err));
    const struct manifest *manifest = trust->manifest;
    if (manifest == NULL && out->has_latest) {
        manifest = &out->latest;
    }
    ENSURE(manifest != NULL, err, NOT_FOUNDED, "no manifest to judge the Coordinator by");
    struct attest_policy policy = {
        .kinds = ATTEST_KIND_BIT(ATTEST_REPLICA),
        .manifest = manifest,
        .role = ROLE_COORDINATOR,
        .extra_roots = trust->permitted_roots,
        .extra_root_count = trust->permitted_root_count,
        .crls = trust->crls,
        .crl_count = trust->crl_count,
        .at = trust->at,
        .endorse = trust->endorse,
        .endorser = trust->endorser,
    };
    struct attest_channel channel = client_channel(c);
    TRY(err_wrap(attest_verifier_finish(&c->verifier, &channel, buf_span(&c->evidence), &policy,
                                        &out->peer, err),
                 err, "Coordinator's evidence"));
    return judge_statement(c, trust, out, err);
}

static RESULT set_error(const struct api_error *e, enum err_code code, struct err *err) {
    if (e->verdict_code[0] == 0 || strstr(e->text, e->verdict_code) != NULL) {
        return err_set(err, code, "%s",
                       e->text); /* with the verdict in it, as verdict_deny writes */
    }
    return err_set(err, code, "%s [%s %s: expected %s, actual %s; %s]", e->text, e->verdict_code,
                   e->field, e->expected, e->actual, e->remedy);
}

struct result client_error(const struct frame *frame, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_error e;
    ENSURE(frame->type == API_ERROR, err, PROTOCOL, "unexpected frame %u", frame->type);
    TRY(wire_decode(&api_error_type, frame->body, &arena, &e, err));
    enum err_code code = err_from_wire((unsigned)(e.code & 0xffff));
    code = code == ERR_OK ? ERR_INTERNAL : code;
    code = err_class_of(code) == ERR_CLASS_PROOF ? ERR_PROTOCOL : code;
    code = code == ERR_LOST ? ERR_UNAVAILABLE : code; /* its loss, not ours */
    struct result r = set_error(&e, code, err);
    err_advise(err, e.retry_after_ms);
    return r;
}
