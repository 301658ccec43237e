/* Setting a manifest: from the owner's signed request to the committed entry. See session.h.
 *
 *   API_SET -> confirm (the view is then at least as new as the request) -> compare-and-swap on the
 *   head, looked at here and decided in the log -> owner's signature -> API_NEED, policies ->
 *   BLOB entries, one after the other -> new CA key and certificates -> SET_MANIFEST -> reply
 *
 * Public keys are made and checked here, on the session thread; the entry carries the result, so
 * every replica holds the same key and the same certificate bytes once it is committed. A set that
 * was applied before (its answer was lost) succeeds again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/session.h"
#include "coordinator/session.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

struct upload {
    uint8_t hash[32];
    struct buf policy; /* empty until it arrives */
};

struct set_job {
    struct buf bytes; /* of the request */
    struct set_request request;
    uint8_t transition[32];
    struct manifest manifest;
    struct upload *uploads;
    size_t upload_count;
    size_t arrived;
    size_t proposed;
    size_t upload_bytes;
    bool is_first;
    void (*before_propose)(struct session *s);
};

void session_set_free(struct session *s) {
    struct set_job *job = s->set;
    if (job == NULL) {
        return;
    }
    for (size_t i = 0; i < job->upload_count; i++) {
        buf_deinit(&job->uploads[i].policy);
    }
    mem_free(job->uploads);
    manifest_deinit(&job->manifest);
    buf_deinit(&job->bytes);
    mem_free(job);
    s->set = NULL;
}

const struct set_request *session_set_request(const struct session *s) {
    return &s->set->request;
}

static void fail(struct session *s, const struct err *err) {
    session_set_free(s);
    session_fail(s, err);
}

/* --- The reply */

static void reply_set(struct session *s, const uint8_t transition[32], uint64_t generation,
                      bool already) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct view *v = worker_view(s->worker);
    struct api_set_reply reply = {.generation = generation, .already = already};
    memcpy(reply.transition, transition, sizeof reply.transition);
    reply.root_ca_pem = arena_strndup(&arena, (const char *)v->root_cert.data, v->root_cert.size);
    reply.mesh_ca_pem = arena_strndup(&arena, (const char *)v->mesh_cert.data, v->mesh_cert.size);
    session_set_free(s);
    session_reply(s, API_SET_REPLY, &api_set_reply_type, &reply);
}

static void on_set(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    const struct view *v = worker_view(s->worker);
    if (!is_ok(session_check(reply, &err))) {
        fail(s, &err);
        return;
    }
    /* The view came before this reply; a later set of somebody else may be in it already. */
    const struct outcome *o = &reply->outcome;
    if (v == NULL || v->generation == 0 ||
        (o->duplicate && memcmp(v->head, s->set->transition, 32) != 0)) {
        struct result r =
            err_set(&err, ERR_OUTCOME_UNKNOWN, "the set was applied before; run `contrast verify`");
        (void)r;
        fail(s, &err);
        return;
    }
    reply_set(s, o->duplicate ? v->head : o->transition,
              o->duplicate ? v->generation : o->generation, o->already);
}

/* --- CA material */

struct material {
    struct ca_root root;
    struct ca_mesh mesh;
    struct buf root_key;
    struct buf mesh_key;
    struct secret *workload_secret;
};

static void material_deinit(struct material *m) {
    ca_root_deinit(&m->root);
    ca_mesh_deinit(&m->mesh);
    buf_deinit(&m->root_key);
    buf_deinit(&m->mesh_key);
    secret_free(m->workload_secret);
}

static RESULT make_material(struct session *s, struct material *m, int64_t now, struct err *err) {
    const struct view *v = worker_view(s->worker);
    const struct host *host = worker_identity(s->worker)->host;
    if (s->set->is_first) {
        TRY(ca_generate_root(host, now, &m->root, err));
        key_private_der(&m->root.key, &m->root_key);
        m->workload_secret = secret_new(CA_WORKLOAD_SECRET_SIZE);
        host_random(host, secret_data(m->workload_secret), CA_WORKLOAD_SECRET_SIZE);
    } else {
        TRY(ca_root_load(secret_span(v->root_key), buf_span(&v->root_cert), &m->root, err));
    }
    TRY(ca_generate_mesh(host, &m->root, now, &m->mesh, err));
    key_private_der(&m->mesh.key, &m->mesh_key);
    return OK;
}

static void fill_entry(const struct set_job *job, const struct material *m, int64_t now,
                       struct entry_set_manifest *e) {
    *e = (struct entry_set_manifest){
        .manifest = job->request.manifest,
        .generation = job->request.generation,
        .signer = job->request.spki,
        .signature = job->request.signature,
        .mesh_key = buf_span(&m->mesh_key),
        .mesh_cert = buf_span(&m->mesh.mesh_cert),
        .intermediate = buf_span(&m->mesh.intermediate),
        .time = now,
    };
    memcpy(e->previous, job->request.previous, sizeof e->previous);
    if (job->is_first) {
        e->root_key = buf_span(&m->root_key);
        e->root_cert = buf_span(&m->root.cert);
        e->workload_secret = secret_span(m->workload_secret);
    }
}

static RESULT propose_manifest(struct session *s, struct err *err) {
    AUTO(material_deinit)
    struct material m = {0};
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_set_manifest e;
    int64_t now = worker_now(s->worker);
    TRY(make_material(s, &m, now, err));
    fill_entry(s->set, &m, now, &e);
    entry_encode(ENTRY_SET_MANIFEST, &e, &entry);
    return worker_ask(s->worker, CORE_PROPOSE, buf_span(&entry), s, on_set, err);
}

/* --- Policies */

static void on_blob(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (!is_ok(session_check(reply, &err))) {
        fail(s, &err);
        return;
    }
    session_set_propose(s);
}

static RESULT propose_blob(struct session *s, const struct upload *u, struct err *err) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_blob e = {.policy = buf_span(&u->policy)};
    memcpy(e.hash, u->hash, sizeof e.hash);
    entry_encode(ENTRY_BLOB, &e, &entry);
    return worker_ask(s->worker, CORE_PROPOSE, buf_span(&entry), s, on_blob, err);
}

void session_set_propose(struct session *s) {
    struct set_job *job = s->set;
    struct err err;
    struct result r;
    if (job->proposed < job->upload_count) {
        r = propose_blob(s, &job->uploads[job->proposed++], &err);
    } else {
        r = propose_manifest(s, &err);
    }
    if (!is_ok(r)) {
        fail(s, &err);
    }
}

static void all_here(struct session *s) {
    s->phase = SESSION_BUSY;
    if (s->set->before_propose != NULL) {
        s->set->before_propose(s);
    } else {
        session_set_propose(s);
    }
}

static RESULT take_policy(struct set_job *job, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_put_policy put = {0};
    TRY(wire_decode(&api_put_policy_type, body, &arena, &put, err));
    uint8_t hash[32];
    sha256(put.policy, hash);
    job->upload_bytes += put.policy.size;
    ENSURE(job->upload_bytes <= LIMIT_SESSION_UPLOADS, err, TOO_LARGE, "policies over %d bytes",
           LIMIT_SESSION_UPLOADS);
    for (size_t i = 0; i < job->upload_count; i++) {
        struct upload *u = &job->uploads[i];
        if (memcmp(u->hash, hash, sizeof hash) == 0 && u->policy.size == 0 && put.policy.size > 0) {
            buf_append_span(&u->policy, put.policy);
            job->arrived++;
            return OK;
        }
    }
    return err_set(err, ERR_INVALID, "a policy that was not asked for");
}

void session_put_policy(struct session *s, struct span body) {
    struct err err;
    struct result r = take_policy(s->set, body, &err);
    if (!is_ok(r)) {
        s->phase = SESSION_BUSY;
        fail(s, &err);
    } else if (s->set->arrived == s->set->upload_count) {
        all_here(s);
    }
}

static void ask_policies(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct set_job *job = s->set;
    struct api_hash *hashes = arena_alloc(&arena, (job->upload_count + 1) * sizeof *hashes);
    for (size_t i = 0; i < job->upload_count; i++) {
        memcpy(hashes[i].hash, job->uploads[i].hash, 32);
    }
    struct api_need need = {{job->upload_count == 0 ? NULL : hashes, job->upload_count}};
    err_ignore(net_send_message(s->conn, API_NEED, s->request_id, &api_need_type, &need, NULL),
               "a connection that cannot be written to closes by itself");
    s->phase = SESSION_AWAIT_POLICIES;
    if (job->upload_count == 0) {
        all_here(s);
    }
}

static void list_missing(struct session *s) {
    struct set_job *job = s->set;
    const struct view *v = worker_view(s->worker);
    job->uploads = mem_calloc(job->manifest.policy_count, sizeof *job->uploads);
    for (size_t i = 0; i < job->manifest.policy_count; i++) {
        const uint8_t *hash = job->manifest.policies[i].hash;
        if (v == NULL || view_policy(v, hash).size == 0) {
            memcpy(job->uploads[job->upload_count++].hash, hash, 32);
        }
    }
}

/* --- The request */

static struct span keep(struct buf *bytes, struct span s) {
    size_t at = bytes->size;
    buf_append_span(bytes, s);
    return span_of(bytes->data + at, s.size);
}

static void keep_request(struct set_job *job, const struct set_request *r) {
    buf_reserve(&job->bytes, r->manifest.size + r->spki.size + r->signature.size);
    job->request = *r;
    job->request.manifest = keep(&job->bytes, r->manifest);
    job->request.spki = keep(&job->bytes, r->spki);
    job->request.signature = keep(&job->bytes, r->signature);
}

static RESULT check_signature(struct set_job *job, const uint8_t cluster[32], uint64_t epoch,
                              const struct manifest *authority, struct err *err) {
    struct transition t = {.epoch = epoch, .generation = job->request.generation};
    memcpy(t.cluster, cluster, sizeof t.cluster);
    memcpy(t.previous, job->request.previous, sizeof t.previous);
    memcpy(t.manifest_hash, job->manifest.hash, sizeof t.manifest_hash);
    manifest_policies_hash(&job->manifest, t.policies_hash);
    transition_hash(&t, job->transition);
    return transition_verify(job->transition, job->request.spki, job->request.signature,
                             authority == NULL ? &job->manifest : authority, err);
}

/* A founder's document answers the digest of the first manifest, a joiner's the cluster id. */
static void find_nonce(const struct view *v, const struct core_member *m,
                       uint8_t nonce[ATTEST_NONCE_SIZE]) {
    if (m->admitted_index <= 1) {
        sha256(v->records[0].manifest, nonce);
    } else {
        memcpy(nonce, v->cluster, sizeof v->cluster);
    }
}

static RESULT check_member(struct session *s, const struct core_member *m, struct err *err) {
    uint8_t nonce[ATTEST_NONCE_SIZE];
    struct attest_policy policy;
    struct attest_peer peer = {0};
    find_nonce(worker_view(s->worker), m, nonce);
    worker_attest_policy(s->worker, &s->set->manifest, ATTEST_REPLICA, ROLE_COORDINATOR, &policy);
    struct result r = attest_document_verify(nonce, m->member.evidence, &policy, &peer, err);
    attest_peer_deinit(&peer);
    return r;
}

/* Every current member, standbys too, must satisfy the manifest that is to become active
 * (ARCHITECTURE section 5): else a restart would find nobody who may let it in. The evidence of the
 * admission is judged again; applying the entry looks at the policy hashes alone. */
static RESULT check_members(struct session *s, struct err *err) {
    AUTO(buf_deinit)
    struct buf names = {0};
    const struct view *v = worker_view(s->worker);
    struct err first = {.code = ERR_OK};
    for (size_t i = 0; i < v->member_count; i++) {
        const struct core_member *m = &v->members[i];
        struct err why;
        if (m->state == CORE_MEMBER && !is_ok(check_member(s, m, &why))) {
            first = names.size == 0 ? why : first;
            buf_appendf(&names, "%s%s", names.size == 0 ? "" : ", ", m->member.name);
        }
    }
    ENSURE(names.size == 0, err, DENIED,
           "members that do not satisfy this manifest: %.320s; keep them in it, or run `contrast "
           "members retire NAME` for each first (the first one: %.400s)",
           buf_cstr(&names), first.text);
    return OK;
}

void session_set_start(struct session *s, const struct set_request *request,
                       const uint8_t cluster[32], uint64_t epoch, const struct manifest *authority,
                       void (*before_propose)(struct session *s)) {
    session_set_free(s);
    struct set_job *job = mem_zalloc(sizeof *job);
    s->set = job;
    job->is_first = request->generation == 1;
    job->before_propose = before_propose;
    keep_request(job, request);
    struct err err;
    struct result r = manifest_parse(job->request.manifest, &job->manifest, &err);
    r = is_ok(r) ? check_signature(job, cluster, epoch, authority, &err) : r;
    r = is_ok(r) && !job->is_first ? check_members(s, &err) : r;
    if (!is_ok(r)) {
        fail(s, &err);
        return;
    }
    list_missing(s);
    ask_policies(s);
}

static bool is_active(const struct view *v, struct span manifest) {
    return span_equal(v->records[v->generation - 1].manifest, manifest);
}

/* Judges the request by the view of now; true when it goes on. */
static RESULT check_head(const struct view *v, const struct api_set *set, struct err *err) {
    /* The first manifest comes with the founding alone: only there is its signer held against the
     * owners of the replicas' environments before it reaches the log. */
    ENSURE(v != NULL && v->generation > 0, err, NOT_FOUNDED,
           "no manifest is set yet: the first `contrast set` founds the cluster");
    if (memcmp(set->previous, v->head, 32) == 0) {
        return OK;
    }
    char head[65];
    hex_encode(SPAN(v->head), head);
    return err_set(err, ERR_CHANGED,
                   "changed since you looked: the active transition is %s (generation %llu); run "
                   "`contrast verify`, look at what changed, then set again",
                   head, (unsigned long long)v->generation);
}

static void on_confirmed(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_set set = {0};
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? wire_decode(&api_set_type, buf_span(&s->request), &arena, &set, &err) : r;
    if (!session_try(s, r, &err)) {
        return;
    }
    const struct view *v = worker_view(s->worker);
    if (v != NULL && v->generation > 0 && is_active(v, set.manifest)) {
        reply_set(s, v->head, v->generation, true);
        return;
    }
    if (!session_try(s, check_head(v, &set, &err), &err)) {
        return;
    }
    CHECK(v != NULL); /* checked with the head */
    struct set_request request = {.manifest = set.manifest,
                                  .generation = v->generation + 1,
                                  .spki = set.spki,
                                  .signature = set.signature};
    memcpy(request.previous, set.previous, sizeof request.previous);
    session_set_start(s, &request, v->cluster, v->epoch, &v->manifest, NULL);
}

void session_set(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_set set;
    struct err err;
    struct result r = wire_decode(&api_set_type, buf_span(&s->request), &arena, &set, &err);
    if (session_try(s, r, &err)) {
        r = worker_ask(s->worker, CORE_CONFIRM, (struct span){0}, s, on_confirmed, &err);
        session_try(s, r, &err);
    }
}
