/* Founding, the part of the replica that the owner asked. See session.h and ARCHITECTURE section 6.
 *
 *   API_PREPARE: prepare here -> own document -> to each configured peer: attested session, both
 *   ways, against the candidate manifest -> API_FOUND_PREPARED -> founder list -> API_PREPARE_REPLY
 *   API_COMMIT: owner's signature over the first transition -> policies -> API_FOUND_START to the
 *   founder with the lowest id -> start here -> API_FOUND_START to the others
 *   -> BLOB and SET_MANIFEST through the new cluster -> API_SET_REPLY
 *
 * Peers that are not there yet are tried again until FOUNDING_MS are over; then the error names
 * each and why. Nothing is founded before the owner's signature is here: until then every part
 * lapses by itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/passer.h"
#include "coordinator/prover.h"
#include "coordinator/session.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

#define FOUNDING_MS 15000      /* for all peers to answer */
#define FOUNDING_RETRY_MS 200  /* before a peer is tried again */
#define FOUNDING_START_MS 5000 /* for founders to confirm that they started */

enum caller_phase {
    CALLER_IDLE,
    CALLER_PREPARING,
    CALLER_PREPARED,
    CALLER_STARTING,
    CALLER_STARTED
};

/* One configured peer. */
struct caller {
    struct founding *founding;
    const struct config_peer *peer;
    struct client *client; /* NULL between two tries */
    enum caller_phase phase;
    bool is_self;
    struct prover prover;
    uint8_t statement_spki_digest[48]; /* of the peer's attested key */
    uint8_t host_data[32];
    struct entry_member member; /* into `arena` */
    struct arena arena;
    char why[256]; /* of the last failure */
};

struct founding {
    struct session *session;
    struct arena arena;
    struct worker *worker; /* outlives the session */
    struct span manifest_bytes;
    struct manifest manifest;
    struct wire_list roots; /* struct entry_digest, into `arena` */
    uint64_t replicas;
    struct entry_member self;
    struct caller callers[LIMIT_MEMBERS];
    size_t caller_count;
    size_t live_clients;
    uv_timer_t timer;
    uint64_t deadline_ms;
    bool is_gathered; /* the founder list went out */
    bool is_over;     /* the session is gone, only clients and timer still close */
    bool is_starting;
    bool awaits_first; /* START went to the founder with the lowest id, and to nobody else */
    bool is_timer_closed;
    struct entry_member founders[LIMIT_VOTERS];
    size_t founder_count;
    uint8_t cluster[32];
    struct buf found; /* the FOUND entry */
};

static void free_if_done(struct founding *f) {
    if (!f->is_over || f->live_clients > 0 || !f->is_timer_closed) {
        return;
    }
    for (size_t i = 0; i < f->caller_count; i++) {
        arena_deinit(&f->callers[i].arena);
    }
    worker_founding_end(f->worker);
    manifest_deinit(&f->manifest);
    buf_deinit(&f->found);
    arena_deinit(&f->arena);
    mem_free(f);
}

static void on_timer_closed(uv_handle_t *handle) {
    struct founding *f = handle->data;
    f->is_timer_closed = true;
    free_if_done(f);
}

void session_founding_free(struct session *s) {
    struct founding *f = s->founding;
    if (f == NULL) {
        return;
    }
    s->founding = NULL;
    f->is_over = true;
    for (size_t i = 0; i < f->caller_count; i++) {
        prover_deinit(&f->callers[i].prover);
        if (f->callers[i].client != NULL) {
            client_close(f->callers[i].client);
        }
    }
    worker_cancel(s->worker, f);
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static void fail(struct founding *f, const struct err *err) {
    struct session *s = f->session;
    session_founding_free(s);
    session_fail(s, err);
}

/* --- The founder list */

static int by_id(const void *a, const void *b) {
    const struct entry_member *x = a;
    const struct entry_member *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int by_digest(const void *a, const void *b) {
    return memcmp(a, b, 32);
}

struct result session_founding_roots(const struct manifest *m, struct arena *arena,
                                     struct wire_list *out, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < m->reference_count; i++) {
        count += m->references[i].simulated_root_count;
    }
    struct entry_digest *roots = arena_alloc(arena, (count + 1) * sizeof *roots);
    size_t n = 0;
    for (size_t i = 0; i < m->reference_count; i++) {
        const struct snp_reference *r = &m->references[i];
        for (size_t k = 0; k < r->simulated_root_count; k++) {
            memcpy(roots[n++].digest, r->simulated_roots[k], 32);
        }
    }
    if (n > 1) {
        qsort(roots, n, sizeof *roots, by_digest);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || memcmp(roots[kept - 1].digest, roots[i].digest, 32) != 0) {
            roots[kept++] = roots[i];
        }
    }
    ENSURE(kept <= LIMIT_REFERENCE_VALUES, err, INVALID,
           "the manifest names %zu simulated roots, limit %d", kept, LIMIT_REFERENCE_VALUES);
    *out = (struct wire_list){kept == 0 ? NULL : roots, kept};
    return OK;
}

struct result session_check_owner(const struct session *s, const struct manifest *m,
                                  struct err *err) {
    const struct config *config = worker_identity(s->worker)->config;
    for (size_t i = 0; i < config->owner_count; i++) {
        if (manifest_has_owner(m, config->owner_digests[i])) {
            return OK;
        }
    }
    return err_set(err, ERR_SIGNATURE,
                   "the manifest names no owner key that the Coordinator's own environment names "
                   "(CONTRAST_OWNER_KEY_DIGESTS)");
}

static RESULT check_signer(const struct session *s, struct span spki, struct err *err) {
    const struct config *config = worker_identity(s->worker)->config;
    uint8_t digest[32];
    sha256(spki, digest);
    for (size_t i = 0; i < config->owner_count; i++) {
        if (memcmp(digest, config->owner_digests[i], 32) == 0) {
            return OK;
        }
    }
    return err_set(err, ERR_SIGNATURE,
                   "the signer is not an owner that the Coordinator's own environment names "
                   "(CONTRAST_OWNER_KEY_DIGESTS)");
}

struct result session_check_founding(const struct session *s, const uint8_t cluster[32],
                                     const struct manifest *m, struct span spki,
                                     struct span signature, struct err *err) {
    struct transition t = {.epoch = 1, .generation = 1};
    uint8_t hash[32];
    TRY(check_signer(s, spki, err));
    memcpy(t.cluster, cluster, sizeof t.cluster);
    memcpy(t.manifest_hash, m->hash, sizeof t.manifest_hash);
    manifest_policies_hash(m, t.policies_hash);
    transition_hash(&t, hash);
    return transition_verify(hash, spki, signature, m, err);
}

static void reply_prepared(struct founding *f) {
    struct session *s = f->session;
    struct api_founder items[LIMIT_VOTERS];
    for (size_t i = 0; i < f->founder_count; i++) {
        items[i] = (struct api_founder){f->founders[i].id, f->founders[i].name,
                                        f->founders[i].address, f->founders[i].spki};
    }
    struct api_prepare_reply reply = {.founders = {items, f->founder_count}};
    memcpy(reply.cluster, f->cluster, sizeof reply.cluster);
    session_reply(s, API_PREPARE_REPLY, &api_prepare_reply_type, &reply);
}

/* The list is whole: sort it, derive the cluster id, write the record. */
static void gather(struct founding *f) {
    f->is_gathered = true;
    uv_timer_stop(&f->timer);
    f->founders[f->founder_count++] = f->self;
    for (size_t i = 0; i < f->caller_count; i++) {
        if (f->callers[i].phase == CALLER_PREPARED && f->founder_count < f->replicas) {
            f->founders[f->founder_count++] = f->callers[i].member;
        }
    }
    qsort(f->founders, f->founder_count, sizeof f->founders[0], by_id);
    struct entry_found found = {.founders = {f->founders, f->founder_count},
                                .time = worker_now(f->session->worker),
                                .simulated_roots = f->roots};
    entry_cluster_id(f->founders, f->founder_count, f->cluster);
    memcpy(found.cluster, f->cluster, sizeof found.cluster);
    entry_encode(ENTRY_FOUND, &found, &f->found);
    reply_prepared(f);
}

static size_t prepared_count(const struct founding *f) {
    size_t count = 0;
    for (size_t i = 0; i < f->caller_count; i++) {
        count += f->callers[i].phase == CALLER_PREPARED ? 1 : 0;
    }
    return count;
}

static void check_gathered(struct founding *f) {
    if (!f->is_gathered && !f->is_over && f->self.id != 0 && prepared_count(f) + 1 >= f->replicas) {
        gather(f);
    }
}

/* --- One peer: its evidence, ours, its part */

static void drop(struct caller *c, const struct err *why) {
    snprintf(c->why, sizeof c->why, "%.255s", why->text);
    client_abort(c->client, why);
}

static void on_unproven(void *data, const struct err *why) {
    drop(data, why);
}

static void on_peer_open(struct client *client, void *data) {
    struct caller *c = data;
    struct founding *f = c->founding;
    if (f->is_over) { /* and the session gone */
        client_close(client);
        return;
    }
    struct session *s = f->session;
    struct client_trust trust;
    worker_client_trust(s->worker, &f->manifest, &trust);
    struct client_verdict verdict = {0};
    struct err err;
    struct result r = OK;
    prover_init(&c->prover, s->worker, client, on_unproven, c);
    if (client_history(client)->generation > 0) {
        r = err_set(&err, ERR_FOUNDED, "belongs to a cluster already");
    }
    r = is_ok(r) ? client_judge(client, &trust, &verdict, &err) : r;
    if (is_ok(r)) {
        c->is_self = verdict.peer.statement.replica.replica_id == worker_identity(s->worker)->id;
        memcpy(c->statement_spki_digest, verdict.peer.spki_sha384, 48);
        memcpy(c->host_data, verdict.peer.host_data, 32);
        struct api_found_prepare ask = {f->manifest_bytes, f->replicas};
        r = c->is_self
                ? err_set(&err, ERR_CANCELED, "is this replica itself")
                : client_send(client, API_FOUND_PREPARE, &api_found_prepare_type, &ask, &err);
    } else if (verdict.peer.verdict.code[0] != 0 &&
               strcmp(verdict.peer.verdict.code, "ATTEST-REFLECTION") == 0) {
        c->is_self = true;
    }
    client_verdict_deinit(&verdict);
    if (!is_ok(r)) {
        drop(c, &err);
    }
}

/* Names that resolve to one replica must not make it two founders. */
static RESULT check_new(const struct caller *c, uint64_t id, struct err *err) {
    const struct founding *f = c->founding;
    for (size_t i = 0; i < f->caller_count; i++) {
        const struct caller *other = &f->callers[i];
        ENSURE(other == c || other->phase < CALLER_PREPARED || other->member.id != id, err, EXISTS,
               "is the same replica as %s:%u", other->peer->host, other->peer->port);
    }
    return OK;
}

/* The key is the connection's, and the document that will stand in the record is of that key. */
static RESULT check_prepared(const struct caller *c, const struct api_found_prepared *p,
                             struct err *err) {
    uint8_t digest[48];
    struct attest_policy policy;
    struct attest_peer peer = {0};
    sha384(p->spki, digest);
    ENSURE(memcmp(digest, c->statement_spki_digest, 48) == 0, err, DENIED,
           "names another key than it attested");
    worker_attest_policy(c->founding->worker, &c->founding->manifest, ATTEST_REPLICA,
                         ROLE_COORDINATOR, &policy);
    struct result r =
        attest_document_verify(c->founding->manifest.hash, p->evidence, &policy, &peer, err);
    if (is_ok(r) && (memcmp(digest, peer.spki_sha384, 48) != 0 ||
                     memcmp(peer.host_data, c->host_data, 32) != 0)) {
        r = err_set(err, ERR_DENIED, "the evidence is of another key or policy");
    }
    attest_peer_deinit(&peer);
    TRY(r);
    return check_new(c, p->id, err);
}

static RESULT take_prepared(struct caller *c, const struct frame *frame, struct err *err) {
    struct api_found_prepared p;
    TRY(wire_decode(&api_found_prepared_type, frame->body, &c->arena, &p, err));
    TRY(check_prepared(c, &p, err));
    char none[] = "";
    c->member = (struct entry_member){.id = p.id,
                                      .name = p.name,
                                      .address = p.address,
                                      .user_address = arena_strndup(&c->arena, none, 0),
                                      .spki = p.spki,
                                      .evidence = p.evidence,
                                      .version = p.version};
    memcpy(c->member.host_data, c->host_data, 32);
    TRY(entry_member_check(&c->member, err));
    c->phase = CALLER_PREPARED;
    return OK;
}

static void check_started(struct founding *f);
static void start_self(struct session *s);

static RESULT peer_frame(struct caller *c, const struct frame *frame, struct err *err) {
    switch (frame->type) {
    case API_ATTEST_REQUEST:
        return prover_answer(&c->prover, frame, err);
    case API_FOUND_PREPARED:
        ENSURE(c->phase == CALLER_PREPARING, err, PROTOCOL, "frame out of turn");
        TRY(take_prepared(c, frame, err));
        check_gathered(c->founding);
        return OK;
    case API_FOUND_STARTED:
        ENSURE(c->phase == CALLER_STARTING, err, PROTOCOL, "frame out of turn");
        c->phase = CALLER_STARTED;
        if (c->founding->awaits_first) {
            c->founding->awaits_first = false;
            start_self(c->founding->session);
            return OK;
        }
        check_started(c->founding);
        return OK;
    default:
        return client_error(frame, err);
    }
}

static void on_peer_frame(struct client *client, void *data, const struct frame *frame) {
    struct caller *c = data;
    struct err err;
    (void)client;
    if (!c->founding->is_over && !is_ok(peer_frame(c, frame, &err))) {
        drop(c, &err);
    }
}

/* A refusal is certain: it began with another record. Whatever else happened, it may have begun
 * with this one, and passes it on then (passer.h). */
static void fail_first(struct founding *f, const struct caller *c, const struct err *why) {
    struct err err;
    enum err_code code = why->code == ERR_FOUNDED ? ERR_FOUNDED : ERR_UNAVAILABLE;
    err_ignore(err_set(&err, code, "founder %s did not start: %.255s", c->member.name, why->text),
               "told to who asked");
    f->awaits_first = false;
    session_set_free(f->session);
    fail(f, &err);
}

static void on_peer_close(struct client *client, void *data, const struct err *why) {
    struct caller *c = data;
    struct founding *f = c->founding;
    (void)client;
    f->live_clients--;
    c->client = NULL;
    if (f->is_over) {
        free_if_done(f);
        return;
    }
    prover_deinit(&c->prover);
    snprintf(c->why, sizeof c->why, "%.255s", why->text);
    log_debug("founding: %s:%u: %s", c->peer->host, c->peer->port, why->text);
    if (f->awaits_first && c->phase == CALLER_STARTING) {
        fail_first(f, c, why);
        return;
    }
    if (!f->is_gathered) {
        c->phase = CALLER_IDLE; /* the timer tries again */
        arena_deinit(&c->arena);
        c->arena = (struct arena){0};
    }
}

static void call(struct caller *c) {
    struct session *s = c->founding->session;
    struct client_config config = {
        .host = c->peer->host,
        .port = c->peer->port,
        .tls = worker_identity(s->worker)->client_tls,
        .clock = worker_identity(s->worker)->host,
        .timeout_ms = 2 * FOUNDING_MS,
        .calls = {on_peer_open, on_peer_frame, on_peer_close},
        .data = c,
    };
    struct err err;
    if (is_ok(client_open(worker_loop(s->worker), &config, &c->client, &err))) {
        c->phase = CALLER_PREPARING;
        c->founding->live_clients++;
    } else {
        snprintf(c->why, sizeof c->why, "%.255s", err.text);
    }
}

/* --- Time */

static void fail_gathering(struct founding *f) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct err err;
    buf_appendf(&text, "found %zu of %" PRIu64 " replicas;", prepared_count(f) + 1, f->replicas);
    for (size_t i = 0; i < f->caller_count && text.size < 700; i++) {
        const struct caller *c = &f->callers[i];
        if (c->phase != CALLER_PREPARED && !c->is_self) {
            buf_appendf(&text, " %s:%u: %s;", c->peer->host, c->peer->port,
                        c->why[0] == 0 ? "no answer" : c->why);
        }
    }
    buf_append_str(&text, " see CONTRAST_PEERS, or found with fewer --replicas");
    struct result r = err_set(&err, ERR_UNAVAILABLE, "%s", buf_cstr(&text));
    (void)r;
    fail(f, &err);
}

/* The first founder says nothing: its connection ends, and with it this founding. */
static void give_up_first(struct founding *f) {
    for (size_t i = 0; i < f->caller_count; i++) {
        if (f->callers[i].phase == CALLER_STARTING && f->callers[i].client != NULL) {
            struct err why;
            err_ignore(err_set(&why, ERR_TIMEOUT, "no answer in time"), "why it ends");
            client_abort(f->callers[i].client, &why);
        }
    }
}

static void on_timer(uv_timer_t *timer) {
    struct founding *f = timer->data;
    if (f->awaits_first) {
        give_up_first(f);
        return;
    }
    if (f->is_starting) {
        f->is_starting = false;
        session_set_propose(f->session); /* a majority is enough; the log decides */
        return;
    }
    if (host_monotonic_ms(worker_identity(f->session->worker)->host) >= f->deadline_ms) {
        fail_gathering(f);
        return;
    }
    for (size_t i = 0; i < f->caller_count; i++) {
        if (f->callers[i].phase == CALLER_IDLE && !f->callers[i].is_self) {
            call(&f->callers[i]);
        }
    }
}

/* --- API_PREPARE */

static void on_own_document(void *owner, const struct letter *reply) {
    struct founding *f = owner;
    const struct server_identity *self = worker_identity(f->session->worker);
    struct err err;
    if (!is_ok(session_check(reply, &err))) {
        fail(f, &err);
        return;
    }
    struct span evidence = buf_span(&reply->bytes);
    struct attest_policy policy;
    struct attest_peer peer = {0};
    worker_attest_policy(f->session->worker, &f->manifest, ATTEST_REPLICA, ROLE_COORDINATOR,
                         &policy);
    struct result r = attest_document_verify(f->manifest.hash, evidence, &policy, &peer, &err);
    if (!is_ok(r)) { /* this very replica does not satisfy the manifest: say so with the verdict */
        struct session *s = f->session;
        session_founding_free(s);
        session_fail_verdict(s, &err, &peer.verdict);
        attest_peer_deinit(&peer);
        return;
    }
    const char *copy = arena_strndup(&f->arena, (const char *)evidence.data, evidence.size);
    f->self = (struct entry_member){
        .id = self->id,
        .name = arena_strndup(&f->arena, self->config->name, strlen(self->config->name)),
        .address = arena_strndup(&f->arena, self->config->address, strlen(self->config->address)),
        .user_address = arena_strndup(&f->arena, "", 0),
        .spki = buf_span(&self->spki),
        .evidence = span_of(copy, evidence.size),
        .version = entry_version,
    };
    memcpy(f->self.host_data, peer.host_data, 32);
    attest_peer_deinit(&peer);
    check_gathered(f);
}

static void on_self_prepared(void *owner, const struct letter *reply) {
    struct founding *f = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? worker_document(f->session->worker, f->manifest.hash, &reply->position, f,
                                   on_own_document, &err)
                 : r;
    if (!is_ok(r)) {
        fail(f, &err);
        return;
    }
    for (size_t i = 0; f->replicas > 1 && i < f->caller_count; i++) {
        call(&f->callers[i]);
    }
}

static RESULT read_prepare(struct session *s, struct founding *f, struct err *err) {
    struct api_prepare ask;
    const struct view *v = worker_view(s->worker);
    ENSURE(v == NULL || !v->is_founded, err, FOUNDED,
           "this replica belongs to a cluster already: set the manifest there, or name replicas "
           "of the new deployment");
    TRY(wire_decode(&api_prepare_type, buf_span(&s->request), &f->arena, &ask, err));
    ENSURE(ask.replicas == 1 || ask.replicas == 3 || ask.replicas == 5, err, INVALID,
           "%" PRIu64 " replicas: want 1, 3 or 5", ask.replicas);
    f->manifest_bytes = ask.manifest;
    f->replicas = ask.replicas;
    TRY(manifest_parse(ask.manifest, &f->manifest, err));
    TRY(session_check_owner(s, &f->manifest, err));
    return session_founding_roots(&f->manifest, &f->arena, &f->roots, err);
}

void session_prepare(struct session *s) {
    struct err err;
    session_founding_free(s);
    if (!session_try(s, worker_founding_begin(s->worker, &err), &err)) {
        return;
    }
    struct founding *f = mem_zalloc(sizeof *f);
    const struct server_identity *self = worker_identity(s->worker);
    f->session = s;
    f->worker = s->worker;
    f->deadline_ms = host_monotonic_ms(self->host) + FOUNDING_MS;
    uv_timer_init(worker_loop(s->worker), &f->timer);
    f->timer.data = f;
    s->founding = f;
    for (size_t i = 0; i < self->config->peer_count; i++) {
        f->callers[f->caller_count++] =
            (struct caller){.founding = f, .peer = &self->config->peers[i]};
    }
    struct result r = read_prepare(s, f, &err);
    r = is_ok(r) ? worker_ask(s->worker, CORE_PREPARE, (struct span){0}, f, on_self_prepared, &err)
                 : r;
    if (!is_ok(r)) {
        fail(f, &err);
        return;
    }
    uv_timer_start(&f->timer, on_timer, FOUNDING_RETRY_MS, FOUNDING_RETRY_MS);
}

/* --- API_COMMIT */

static bool is_founder(const struct founding *f, const struct caller *c) {
    for (size_t i = 0; i < f->founder_count; i++) {
        if (f->founders[i].id == c->member.id) {
            return c->phase >= CALLER_PREPARED;
        }
    }
    return false;
}

static void check_started(struct founding *f) {
    size_t started = 1;
    for (size_t i = 0; i < f->caller_count; i++) {
        started += f->callers[i].phase == CALLER_STARTED ? 1 : 0;
    }
    if (f->is_starting && started == f->founder_count) {
        f->is_starting = false;
        uv_timer_stop(&f->timer);
        session_set_propose(f->session);
    }
}

static void send_start(struct founding *f) {
    const struct set_request *set = session_set_request(f->session);
    struct api_found_start start = {buf_span(&f->found), f->manifest_bytes, set->spki,
                                    set->signature};
    struct err err;
    passer_start(f->worker, &start);
    for (size_t i = 0; i < f->caller_count; i++) {
        struct caller *c = &f->callers[i];
        if (is_founder(f, c) && c->client != NULL && c->phase == CALLER_PREPARED) {
            c->phase = CALLER_STARTING;
            if (!is_ok(
                    client_send(c->client, API_FOUND_START, &api_found_start_type, &start, &err))) {
                drop(c, &err);
            }
        }
    }
}

static void on_self_started(void *owner, const struct letter *reply) {
    struct founding *f = owner;
    struct session *s = f->session;
    struct err err;
    if (!is_ok(session_check(reply, &err))) {
        session_set_free(s);
        fail(f, &err);
        return;
    }
    send_start(f);
    f->is_starting = true;
    uv_timer_start(&f->timer, on_timer, FOUNDING_START_MS, 0);
    check_started(f);
}

/* This replica; where it may not start (its preparation lapsed) nothing is passed on. */
static void start_self(struct session *s) {
    struct founding *f = s->founding;
    struct err err;
    struct result r =
        worker_ask(s->worker, CORE_FOUND, buf_span(&f->found), f, on_self_started, &err);
    if (!is_ok(r)) {
        session_set_free(s);
        fail(f, &err);
    }
}

/* Signature checked, policies here: now the cluster begins. Of every list the founder with the
 * lowest id starts before anybody else, and it starts once: two foundings that were prepared at the
 * same moment have the same list, so the same cluster id, but only one of them begins. */
static void start_cluster(struct session *s) {
    struct founding *f = s->founding;
    const struct set_request *set = session_set_request(s);
    struct api_found_start start = {buf_span(&f->found), f->manifest_bytes, set->spki,
                                    set->signature};
    struct err err;
    if (f->founders[0].id == f->self.id) {
        start_self(s);
        return;
    }
    for (size_t i = 0; i < f->caller_count; i++) {
        struct caller *c = &f->callers[i];
        if (c->phase == CALLER_PREPARED && c->member.id == f->founders[0].id && c->client != NULL) {
            struct result r =
                client_send(c->client, API_FOUND_START, &api_found_start_type, &start, &err);
            if (is_ok(r)) {
                c->phase = CALLER_STARTING;
                f->awaits_first = true;
                uv_timer_start(&f->timer, on_timer, FOUNDING_START_MS, 0);
                return;
            }
        }
    }
    err_ignore(err_set(&err, ERR_UNAVAILABLE, "founder %s is gone", f->founders[0].name),
               "told to who asked");
    session_set_free(s);
    fail(f, &err);
}

static RESULT check_commit(const struct session *s, const struct api_commit *c, struct err *err) {
    const struct founding *f = s->founding;
    ENSURE(f != NULL && f->is_gathered, err, PROTOCOL, "nothing was prepared on this connection");
    ENSURE(memcmp(c->cluster, f->cluster, 32) == 0, err, DIFFERS,
           "the cluster id is not the one that was prepared");
    ENSURE(span_equal(c->manifest, f->manifest_bytes), err, DIFFERS,
           "the manifest is not the one that was prepared");
    return session_check_founding(s, f->cluster, &f->manifest, c->spki, c->signature, err);
}

void session_commit(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_commit c;
    struct err err;
    struct result r = wire_decode(&api_commit_type, buf_span(&s->request), &arena, &c, &err);
    r = is_ok(r) ? check_commit(s, &c, &err) : r;
    if (!session_try(s, r, &err)) {
        return;
    }
    struct set_request request = {
        .manifest = c.manifest, .generation = 1, .spki = c.spki, .signature = c.signature};
    session_set_start(s, &request, s->founding->cluster, 1, NULL, start_cluster);
}
