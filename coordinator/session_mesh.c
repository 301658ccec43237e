/* What a session gives to those who proved themselves: certificates, admission, a founder's part.
 * See session.h.
 *
 *   API_CERTIFICATE   evidence of a workload -> ISSUE committed -> leaf signed here -> reply
 *   API_JOIN          evidence of a coordinator -> ADMIT committed -> whom to link to
 *   API_FOUND_PREPARE evidence against the candidate manifest -> PREPARED, own document
 *   API_FOUND_START   evidence again; every founder's document is judged -> started
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/session.h"
#include "attest/snp_product.h"
#include "coordinator/passer.h"
#include "coordinator/session.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

/* --- Certificates */

struct result session_certificate_policy(struct session *s, struct attest_policy *policy,
                                         struct err *err) {
    const struct view *v = worker_view(s->worker);
    ENSURE(v != NULL && v->generation > 0, err, NOT_FOUNDED,
           "this replica has no manifest yet: nobody ran `contrast set`, or it is joining; ask "
           "another one");
    worker_attest_policy(s->worker, &v->manifest, ATTEST_WORKLOAD, ROLE_WORKLOAD, policy);
    return OK;
}

static RESULT fill_claims(const struct snp_report *report, struct ca_claims *claims,
                          struct err *err) {
    memcpy(claims->measurement, report->measurement, sizeof claims->measurement);
    memcpy(claims->host_data, report->host_data, sizeof claims->host_data);
    memcpy(claims->chip_id, report->chip_id, sizeof claims->chip_id);
    struct snp_tcb tcb = {0};
    enum snp_product product = snp_product_of_report(report);
    product =
        product == SNP_PRODUCT_UNKNOWN ? SNP_MILAN : product; /* version 2: Genoa's layout too */
    TRY(snp_tcb_decode(product, report->reported_tcb, &tcb, err));
    claims->tcb_bootloader = tcb.bootloader;
    claims->tcb_tee = tcb.tee;
    claims->tcb_snp = tcb.snp;
    claims->tcb_microcode = tcb.microcode;
    return OK;
}

static RESULT sign_leaf(struct session *s, const struct outcome *o, struct buf *chain,
                        int64_t *not_after, struct err *err) {
    const struct view *v = worker_view(s->worker);
    const struct ca_mesh *mesh = NULL;
    ENSURE(v != NULL && v->generation == o->generation, err, STALE_GENERATION,
           "the manifest changed while the certificate was made: ask again");
    TRY(worker_mesh(s->worker, &mesh, err));
    const struct policy_entry *policy = manifest_find_policy(&v->manifest, s->peer.host_data);
    ENSURE(policy != NULL, err, STALE_GENERATION, "the policy left the manifest: ask again");
    struct ca_claims claims;
    TRY(fill_claims(&s->peer.report, &claims, err));
    struct ca_leaf_spec spec = {
        .spki = s->peer.statement.workload.public_key,
        .sans = policy->sans,
        .san_count = policy->san_count,
        .not_before = o->time - 3600,
        .not_after = o->time + (int64_t)o->validity_s,
        .claims = &claims,
        .workload_secret_id = policy->workload_secret_id,
    };
    memcpy(spec.serial, o->serial, sizeof spec.serial);
    *not_after = spec.not_after;
    return ca_issue_leaf(mesh, &spec, chain, err);
}

static void reply_certificate(struct session *s, const struct outcome *o, const struct buf *chain,
                              int64_t not_after) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct view *v = worker_view(s->worker);
    const struct policy_entry *policy = manifest_find_policy(&v->manifest, s->peer.host_data);
    struct api_certificate_reply reply = {
        .chain_pem = arena_strndup(&arena, (const char *)chain->data, chain->size),
        .mesh_ca_pem = arena_strndup(&arena, (const char *)v->mesh_cert.data, v->mesh_cert.size),
        .root_ca_pem = arena_strndup(&arena, (const char *)v->root_cert.data, v->root_cert.size),
        .generation = o->generation,
        .issue_index = o->issue_index,
        .not_after = not_after,
    };
    memcpy(reply.serial, o->serial, sizeof reply.serial);
    uint8_t secret[CA_WORKLOAD_SECRET_SIZE];
    if (policy->workload_secret_id[0] != 0) {
        ca_workload_secret(secret_span(v->workload_secret), policy->workload_secret_id, secret);
        reply.workload_secret = SPAN(secret);
    }
    session_reply(s, API_CERTIFICATE_REPLY, &api_certificate_reply_type, &reply);
    mem_wipe(secret, sizeof secret);
}

static void on_issued(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(buf_deinit)
    struct buf chain = {0};
    struct err err;
    int64_t not_after = 0;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? sign_leaf(s, &reply->outcome, &chain, &not_after, &err) : r;
    if (session_try(s, r, &err)) {
        reply_certificate(s, &reply->outcome, &chain, not_after);
    }
}

void session_certificate(struct session *s) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_issue_request request = {.spki = s->peer.statement.workload.public_key};
    memcpy(request.policy_hash, s->peer.host_data, sizeof request.policy_hash);
    memcpy(request.evidence_digest, s->peer.evidence_digest, sizeof request.evidence_digest);
    struct entry_issue e = {
        .generation = worker_view(s->worker)->generation,
        .requests = {&request, 1},
        .time = worker_now(s->worker),
    };
    entry_encode(ENTRY_ISSUE, &e, &entry);
    struct err err;
    struct result r = worker_ask(s->worker, CORE_ISSUE, buf_span(&entry), s, on_issued, &err);
    session_try(s, r, &err);
}

/* --- Admission */

struct result session_join_policy(struct session *s, struct attest_policy *policy,
                                  struct err *err) {
    const struct view *v = worker_view(s->worker);
    ENSURE(v != NULL && v->generation > 0, err, NOT_FOUNDED, "no manifest is set yet");
    worker_attest_policy(s->worker, &v->manifest, ATTEST_REPLICA, ROLE_COORDINATOR, policy);
    return OK;
}

/* The session's TLS key is the identity that is admitted, and the document says the same: the Raft
 * links will be authenticated by the key that this evidence signed. */
static RESULT check_document(struct session *s, struct span document,
                             const uint8_t nonce[ATTEST_NONCE_SIZE],
                             const struct attest_policy *policy, struct err *err) {
    struct attest_peer peer = {0};
    const struct span key = s->peer.statement.replica.public_key;
    uint8_t digest[48];
    sha384(key, digest);
    struct result r = attest_document_verify(nonce, document, policy, &peer, err);
    if (is_ok(r) && (memcmp(digest, s->peer.spki_sha384, sizeof digest) != 0 ||
                     !span_equal(peer.statement.replica.public_key, key))) {
        r = err_set(err, ERR_DENIED, "the evidence names another key than the connection's");
    }
    attest_peer_deinit(&peer);
    return r;
}

static RESULT make_admit(struct session *s, struct buf *entry, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf document = {0};
    struct api_join join;
    struct attest_policy policy;
    const struct view *v = worker_view(s->worker);
    TRY(wire_decode(&api_join_type, buf_span(&s->request), &arena, &join, err));
    TRY(session_join_policy(s, &policy, err));
    TRY(session_complete_document(s, join.evidence, &document, err));
    TRY(check_document(s, buf_span(&document), v->cluster, &policy, err));
    char none[] = "";
    struct entry_admit e = {
        .member = {.id = s->peer.statement.replica.replica_id,
                   .name = join.name,
                   .address = join.address,
                   .user_address = none,
                   .spki = s->peer.statement.replica.public_key,
                   .evidence = buf_span(&document),
                   .version = join.version},
        .time = worker_now(s->worker),
    };
    memcpy(e.member.host_data, s->peer.host_data, sizeof e.member.host_data);
    TRY(entry_member_check(&e.member, err));
    entry_encode(ENTRY_ADMIT, &e, entry);
    return OK;
}

static void reply_join(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct view *v = worker_view(s->worker);
    struct api_founder *items = arena_alloc(&arena, (v->member_count + 1) * sizeof *items);
    for (size_t i = 0; i < v->member_count; i++) {
        const struct entry_member *m = &v->members[i].member;
        items[i] = (struct api_founder){m->id, m->name, m->address, m->spki};
    }
    struct api_join_reply join = {buf_span(&v->found), {items, v->member_count}};
    session_reply(s, API_JOIN_REPLY, &api_join_reply_type, &join);
}

static void on_admitted(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (session_try(s, session_check(reply, &err), &err)) {
        reply_join(s);
    }
}

/* A founder that the founding record never reached, or a newcomer whose admission was committed and
 * whose answer was lost. Who asks to join has started no node, so it never voted nor acknowledged
 * an entry under this key (rule 1): it may take the place that is its own. */
static bool is_member(const struct session *s) {
    const struct view *v = worker_view(s->worker);
    uint8_t state = s->peer.statement.replica.state;
    if (state != REPLICA_EMPTY && state != REPLICA_PREPARED) {
        return false;
    }
    for (size_t i = 0; i < v->member_count; i++) {
        if (v->members[i].state == CORE_MEMBER &&
            v->members[i].member.id == s->peer.statement.replica.replica_id &&
            span_equal(v->members[i].member.spki, s->peer.statement.replica.public_key)) {
            return true;
        }
    }
    return false;
}

void session_join(struct session *s) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct err err;
    struct result r = make_admit(s, &entry, &err);
    if (is_ok(r) && is_member(s)) {
        reply_join(s);
        return;
    }
    r = is_ok(r) ? worker_ask(s->worker, CORE_ADMIT, buf_span(&entry), s, on_admitted, &err) : r;
    session_try(s, r, &err);
}

/* --- Founding, the part of a founder that was asked by another */

struct result session_found_prepare_policy(struct session *s, struct attest_policy *policy,
                                           struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_found_prepare prepare;
    const struct view *v = worker_view(s->worker);
    ENSURE(v == NULL || !v->is_founded, err, FOUNDED, "this replica belongs to a cluster already");
    TRY(wire_decode(&api_found_prepare_type, buf_span(&s->request), &arena, &prepare, err));
    manifest_deinit(&s->candidate);
    s->candidate = (struct manifest){0};
    TRY(err_wrap(manifest_parse(prepare.manifest, &s->candidate, err), err, "candidate manifest"));
    TRY(session_check_owner(s, &s->candidate, err));
    worker_attest_policy(s->worker, &s->candidate, ATTEST_REPLICA, ROLE_COORDINATOR, policy);
    return OK;
}

static void on_document(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (!session_try(s, session_check(reply, &err), &err)) {
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct server_identity *self = worker_identity(s->worker);
    const struct config *config = self->config;
    struct api_found_prepared prepared = {
        .id = self->id,
        .name = arena_strndup(&arena, config->name, strlen(config->name)),
        .address = arena_strndup(&arena, config->address, strlen(config->address)),
        .spki = buf_span(&self->spki),
        .version = entry_version,
        .evidence = buf_span(&reply->bytes),
    };
    session_reply(s, API_FOUND_PREPARED, &api_found_prepared_type, &prepared);
}

static void on_prepared(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r)
            ? worker_document(s->worker, s->candidate.hash, &reply->position, s, on_document, &err)
            : r;
    session_try(s, r, &err);
}

void session_found_prepare(struct session *s) {
    struct err err;
    struct result r = worker_ask(s->worker, CORE_PREPARE, (struct span){0}, s, on_prepared, &err);
    session_try(s, r, &err);
}

static RESULT read_start(struct session *s, struct arena *arena, struct api_found_start *start,
                         struct err *err) {
    TRY(wire_decode(&api_found_start_type, buf_span(&s->request), arena, start, err));
    manifest_deinit(&s->candidate);
    s->candidate = (struct manifest){0};
    return err_wrap(manifest_parse(start->manifest, &s->candidate, err), err, "candidate manifest");
}

/* The record is brought by one of its founders, and fixes the roots that the manifest names. */
static RESULT check_record(struct session *s, const struct entry_found *found, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct wire_list roots = {0};
    const struct entry_member *founders = found->founders.items;
    bool is_founder = false;
    for (size_t i = 0; i < found->founders.count; i++) {
        uint8_t digest[48];
        sha384(founders[i].spki, digest);
        is_founder = is_founder || memcmp(digest, s->peer.spki_sha384, sizeof digest) == 0;
    }
    ENSURE(is_founder, err, DENIED, "the record is brought by somebody whom it does not name");
    TRY(session_founding_roots(&s->candidate, &arena, &roots, err));
    ENSURE(span_equal(span_of(roots.items, roots.count * sizeof(struct entry_digest)),
                      span_of(found->simulated_roots.items,
                              found->simulated_roots.count * sizeof(struct entry_digest))),
           err, DENIED, "the record's simulated roots are not those of the manifest");
    return OK;
}

/* Whoever brings the record must satisfy the manifest that comes with it. That this replica
 * prepared for that very manifest is shown by its own document in the record (check_founders). */
struct result session_found_start_policy(struct session *s, struct attest_policy *policy,
                                         struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_found_start start;
    TRY(read_start(s, &arena, &start, err));
    worker_attest_policy(s->worker, &s->candidate, ATTEST_REPLICA, ROLE_COORDINATOR, policy);
    return OK;
}

/* Every founder's document is judged here against the candidate manifest: this replica will open
 * links to them on that ground, not on the word of the one that asked. */
static RESULT check_founders(struct session *s, const struct entry_found *found,
                             const struct attest_policy *policy, struct err *err) {
    const struct entry_member *founders = found->founders.items;
    for (size_t i = 0; i < found->founders.count; i++) {
        struct attest_peer peer = {0};
        struct result r =
            attest_document_verify(s->candidate.hash, founders[i].evidence, policy, &peer, err);
        if (is_ok(r) && (!span_equal(peer.statement.replica.public_key, founders[i].spki) ||
                         memcmp(peer.host_data, founders[i].host_data, 32) != 0)) {
            r = err_set(err, ERR_DENIED, "the evidence names another key or policy");
        }
        attest_peer_deinit(&peer);
        TRY(err_wrap(r, err, "founder %s", founders[i].name));
    }
    return OK;
}

static void on_started(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_found_start start = {0};
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? read_start(s, &arena, &start, &err) : r;
    if (session_try(s, r, &err)) {
        struct api_empty started = {0};
        if (s->is_first_start) {
            passer_start(s->worker, &start);
        }
        session_reply(s, API_FOUND_STARTED, &api_empty_type, &started);
    }
}

static RESULT start_found(struct session *s, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_found_start start;
    struct entry entry;
    struct attest_policy policy;
    TRY(read_start(s, &arena, &start, err));
    TRY(entry_decode(start.found, &arena, &entry, err));
    ENSURE(entry.type == ENTRY_FOUND, err, INVALID, "not a founding record");
    worker_attest_policy(s->worker, &s->candidate, ATTEST_REPLICA, ROLE_COORDINATOR, &policy);
    TRY(session_check_founding(s, entry.found.cluster, &s->candidate, start.spki, start.signature,
                               err));
    TRY(check_record(s, &entry.found, err));
    TRY(check_founders(s, &entry.found, &policy, err));
    const struct view *v = worker_view(s->worker);
    s->is_first_start = v == NULL || !v->is_founded;
    return worker_ask(s->worker, CORE_FOUND, start.found, s, on_started, err);
}

void session_found_start(struct session *s) {
    struct err err;
    session_try(s, start_found(s, &err), &err);
}
