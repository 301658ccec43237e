/* Reading requests of a session: history, policies, status. See session.h.
 *
 * History and policies come from the worker's view: what is current is said by the attested
 * statement alone, which a quorum confirmed after the client's nonce arrived.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/snp_product.h"
#include "coordinator/session.h"
#include "lib/base/limits.h"

#define PAGE_BYTES (LIMIT_FRAME_BODY - 2 * LIMIT_PEM - 4096) /* of records in one reply */

static char *text_of(struct arena *arena, const struct buf *pem) {
    return arena_strndup(arena, (const char *)pem->data, pem->size);
}

/* Records from `from` on, as many as fit; the first always does (LIMIT_MANIFEST_SET). */
static void fill_page(const struct view *v, uint64_t from, struct arena *arena,
                      struct api_history_reply *out) {
    struct api_record *items = arena_alloc(arena, (v->generation + 1) * sizeof *items);
    size_t count = 0;
    size_t bytes = 0;
    for (uint64_t g = from; g <= v->generation; g++) {
        const struct core_record *r = &v->records[g - 1];
        bytes += r->manifest.size + r->signer.size + r->signature.size + 32;
        if (count > 0 && bytes > PAGE_BYTES) {
            break;
        }
        items[count++] = (struct api_record){r->manifest, r->signer, r->signature};
    }
    memcpy(out->cluster, v->cluster, sizeof out->cluster);
    out->epoch = v->epoch;
    out->generation = v->generation;
    out->records = (struct wire_list){count == 0 ? NULL : items, count};
    if (v->generation > 0) {
        out->root_ca_pem = text_of(arena, &v->root_cert);
        out->mesh_ca_pem = text_of(arena, &v->mesh_cert);
    }
}

void session_history(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_history ask;
    struct err err;
    struct result r = wire_decode(&api_history_type, buf_span(&s->request), &arena, &ask, &err);
    if (is_ok(r) && ask.from == 0) {
        r = err_set(&err, ERR_MALFORMED, "history: generations count from 1");
    }
    if (!session_try(s, r, &err)) {
        return;
    }
    struct api_history_reply reply = {.from = ask.from};
    const struct view *v = worker_view(s->worker);
    if (v != NULL) {
        fill_page(v, ask.from, &arena, &reply);
    }
    session_reply(s, API_HISTORY_REPLY, &api_history_reply_type, &reply);
}

void session_policy(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_policy ask;
    struct err err;
    struct result r = wire_decode(&api_policy_type, buf_span(&s->request), &arena, &ask, &err);
    const struct view *v = worker_view(s->worker);
    struct api_policy_reply reply = {{0}};
    if (is_ok(r)) {
        reply.policy = v == NULL ? (struct span){0} : view_policy(v, ask.hash);
        r = reply.policy.size > 0
                ? OK
                : err_set(&err, ERR_NOT_FOUND, "no policy of the active manifest has this hash");
    }
    if (session_try(s, r, &err)) {
        session_reply(s, API_POLICY_REPLY, &api_policy_reply_type, &reply);
    }
}

/* --- Recoveries */

static size_t size_of(const struct core_recovery *r) {
    size_t bytes = 256; /* the fixed fields */
    for (size_t i = 0; i < r->signature_count; i++) {
        bytes += r->signatures[i].key.size + r->signatures[i].signature.size + 16;
    }
    return bytes;
}

static void fill_recovery(const struct core_recovery *r, struct arena *arena,
                          struct api_recovery *out) {
    const struct recovery *q = &r->recovery;
    struct api_recovery_signature *s = arena_alloc(arena, (r->signature_count + 1) * sizeof *s);
    for (size_t i = 0; i < r->signature_count; i++) {
        s[i] = (struct api_recovery_signature){r->signatures[i].key, r->signatures[i].signature};
    }
    *out = (struct api_recovery){
        .epoch = q->epoch,
        .previous_epoch = q->previous_epoch,
        .mode = q->mode,
        .generation = q->generation,
        .index = q->index,
        .ledger_size = q->ledger_size,
        .signatures = {r->signature_count == 0 ? NULL : s, r->signature_count},
    };
    memcpy(out->cluster, q->cluster, sizeof out->cluster);
    memcpy(out->head, q->head, sizeof out->head);
    memcpy(out->ledger_root, q->ledger_root, sizeof out->ledger_root);
    memcpy(out->recipient, q->recipient, sizeof out->recipient);
}

static void fill_recoveries(const struct view *v, uint64_t from, struct arena *arena,
                            struct api_recoveries_reply *out) {
    struct api_recovery *items = arena_alloc(arena, (v->recovery_count + 1) * sizeof *items);
    size_t count = 0;
    size_t bytes = 0;
    for (uint64_t i = from; i < v->recovery_count; i++) {
        bytes += size_of(&v->recoveries[i]);
        if (count > 0 && bytes > PAGE_BYTES) {
            break;
        }
        fill_recovery(&v->recoveries[i], arena, &items[count++]);
    }
    out->count = v->recovery_count;
    out->items = (struct wire_list){count == 0 ? NULL : items, count};
}

void session_recoveries(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recoveries ask;
    struct err err;
    struct result r = wire_decode(&api_recoveries_type, buf_span(&s->request), &arena, &ask, &err);
    if (!session_try(s, r, &err)) {
        return;
    }
    struct api_recoveries_reply reply = {.from = ask.from};
    const struct view *v = worker_view(s->worker);
    if (v != NULL) {
        fill_recoveries(v, ask.from, &arena, &reply);
    }
    session_reply(s, API_RECOVERIES_REPLY, &api_recoveries_reply_type, &reply);
}

/* --- Status */

/* What a member's evidence in the log shows; judged when it was admitted. */
static void fill_evidence(const struct core_member *m, struct arena *arena,
                          struct api_member *out) {
    struct evidence e;
    struct snp_report report;
    if (!is_ok(wire_decode(&evidence_type, m->member.evidence, arena, &e, NULL)) ||
        !is_ok(snp_report_parse(e.report, &report, NULL, NULL))) {
        return;
    }
    const char *product = snp_product_name(snp_product_of_report(&report));
    out->product = arena_strndup(arena, product, strlen(product));
    memcpy(out->measurement, report.measurement, sizeof out->measurement);
    memcpy(out->chip_id, report.chip_id, sizeof out->chip_id);
    memcpy(out->tcb, report.reported_tcb, sizeof out->tcb);
}

static void fill_members(const struct view *v, struct arena *arena,
                         struct api_status_reply *status) {
    struct api_member *members = status->members.items;
    for (size_t i = 0; v != NULL && i < status->members.count; i++) {
        for (size_t k = 0; k < v->member_count; k++) {
            if (v->members[k].member.id == members[i].id) {
                members[i].version = v->members[k].member.version;
                fill_evidence(&v->members[k], arena, &members[i]);
            }
        }
    }
}

static void on_status(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (!session_try(s, session_check(reply, &err), &err)) {
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_status_reply status;
    struct result r =
        wire_decode(&api_status_reply_type, buf_span(&reply->bytes), &arena, &status, &err);
    if (session_try(s, r, &err)) {
        fill_members(worker_view(s->worker), &arena, &status);
        session_reply(s, API_STATUS_REPLY, &api_status_reply_type, &status);
    }
}

void session_status(struct session *s) {
    struct err err;
    struct result r = worker_ask(s->worker, CORE_STATUS, (struct span){0}, s, on_status, &err);
    session_try(s, r, &err);
}
