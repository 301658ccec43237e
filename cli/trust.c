/* Trust: see trust.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/trust.h"

#include <string.h>

#include "cli/endorsements.h"
#include "lib/base/file.h"

#define POSITION_FILE_MAX 4096

void trust_deinit(struct trust *t) {
    buf_deinit(&t->bytes);
    manifest_deinit(&t->own);
    manifest_deinit(&t->pinned);
    recoveries_deinit(&t->recoveries);
    arena_deinit(&t->arena);
}

/* ---- loading ---- */

static RESULT load_own(const char *workspace, const char *given, bool is_needed, struct trust *t,
                       struct err *err) {
    struct workspace_path path = {0};
    TRY(workspace_choose(workspace, given, "manifest.json", &path, err));
    struct result r = file_read(path.text, LIMIT_MANIFEST, &t->bytes, err);
    if (r.code == ERR_NOT_FOUND && !is_needed && given == NULL) {
        return OK;
    }
    TRY(r);
    t->has_own = true;
    return err_wrap(manifest_parse(buf_span(&t->bytes), &t->own, err), err, "%s", path.text);
}

static RESULT load_pinned(const char *workspace, struct trust *t, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(workspace_read(workspace, WORKSPACE_FIRST_MANIFEST, LIMIT_MANIFEST, &text, &t->has_pinned,
                       err));
    return !t->has_pinned ? OK
                          : err_wrap(manifest_parse(buf_span(&text), &t->pinned, err), err, "%s/%s",
                                     workspace, WORKSPACE_FIRST_MANIFEST);
}

static RESULT load_last(const char *workspace, struct trust *t, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(workspace_read(workspace, WORKSPACE_POSITION, POSITION_FILE_MAX, &text, &t->has_last, err));
    return !t->has_last ? OK
                        : err_wrap(position_decode(buf_span(&text), &t->last, err), err, "%s/%s",
                                   workspace, WORKSPACE_POSITION);
}

static size_t count_roots(const struct manifest *m) {
    size_t count = 0;
    for (size_t i = 0; i < m->reference_count; i++) {
        count += m->references[i].simulated_root_count;
    }
    return count;
}

static void add_keys(struct trust *t, const struct manifest *m) {
    for (size_t i = 0; i < m->owner_count; i++) {
        memcpy(t->owners[t->owner_count++], m->owner_digests[i], 32);
    }
    for (size_t i = 0; i < m->reference_count; i++) {
        for (size_t k = 0; k < m->references[i].simulated_root_count; k++) {
            memcpy(t->roots[t->root_count++], m->references[i].simulated_roots[k], 32);
        }
    }
}

static RESULT load(const char *workspace, const char *given, bool is_needed, struct trust *t,
                   struct err *err) {
    TRY(load_own(workspace, given, is_needed, t, err));
    TRY(load_pinned(workspace, t, err));
    TRY(load_last(workspace, t, err));
    TRY(recoveries_read(workspace, &t->recoveries, err));
    TRY(workspace_read_cluster(workspace, &t->cluster, err));
    size_t owners = t->own.owner_count + t->pinned.owner_count;
    size_t roots = count_roots(&t->own) + count_roots(&t->pinned);
    t->owners = arena_alloc(&t->arena, (owners + 1) * sizeof *t->owners);
    t->roots = arena_alloc(&t->arena, (roots + 1) * sizeof *t->roots);
    add_keys(t, &t->own);
    add_keys(t, &t->pinned);
    return OK;
}

struct result trust_load(const char *workspace, const char *given, bool is_needed,
                         struct trust *out, struct err *err) {
    struct trust t = {.workspace = workspace};
    struct result r = load(workspace, given, is_needed, &t, err);
    if (is_ok(r)) {
        *out = t;
    } else {
        trust_deinit(&t);
    }
    return r;
}

/* ---- judging ---- */

void remote_deinit(struct remote *r) {
    client_verdict_deinit(&r->verdict);
    arena_deinit(&r->arena);
}

/* The history was verified: this only derives the transitions of every generation again. */
static RESULT fill_heads(struct remote *r, struct err *err) {
    const struct client_history *h = r->history;
    struct transition_history chain = client_history_chain(h);
    struct transition t = {.generation = 1};
    memcpy(t.cluster, h->cluster, sizeof t.cluster);
    r->heads = arena_alloc(&r->arena, (h->count + 1) * sizeof *r->heads);
    for (size_t i = 0; i < h->count; i++) {
        AUTO(manifest_deinit)
        struct manifest m = {0};
        TRY(manifest_parse(h->records[i].manifest, &m, err));
        t.epoch = transition_epoch_of(&chain, t.generation);
        memcpy(t.manifest_hash, m.hash, sizeof t.manifest_hash);
        manifest_policies_hash(&m, t.policies_hash);
        transition_hash(&t, r->heads[i]);
        memcpy(t.previous, r->heads[i], sizeof t.previous);
        t.generation++;
    }
    return OK;
}

static void fill_position(struct remote *r) {
    const struct replica_statement *s = remote_statement(r);
    struct position *p = &r->position;
    *p = (struct position){
        .epoch = s->epoch,
        .ledger_size = s->ledger_size,
        .is_confirmed = s->has_confirmed,
        .confirmed_index = s->confirmed_index,
        .generation = r->history->generation,
    };
    memcpy(p->cluster, s->cluster, sizeof p->cluster);
    memcpy(p->ledger_root, s->ledger_root, sizeof p->ledger_root);
    memcpy(p->head, r->verdict.head, sizeof p->head);
}

/* A replica without a manifest may be a new member that still joins: it proves nothing. */
static RESULT compare(const struct trust *t, const struct remote *r, struct err *err) {
    if (r->history->generation == 0) {
        return OK;
    }
    ENSURE(!t->cluster.is_known || memcmp(t->cluster.id, r->position.cluster, 32) == 0, err,
           DIFFERS,
           "this is another cluster than the one in %s; use another --workspace for another "
           "deployment",
           WORKSPACE_CLUSTER);
    TRY(recoveries_check_seen(&t->recoveries, r->history->recoveries, r->history->recovery_count,
                              err));
    return t->has_last
               ? position_compare(&t->last, &r->position, (const uint8_t(*)[32])r->heads, err)
               : OK;
}

/* What a replica's host did not hand out, and what the replica does not have yet. */
struct endorser {
    const char *workspace;
    struct endorsements own;
};

static RESULT endorse(void *data, const struct snp_options *options, struct snp_evidence *evidence,
                      struct snp_report *report, struct verdict *verdict, struct err *err) {
    struct endorser *e = data;
    return endorsements_complete(e->workspace, options, evidence, &e->own, report, verdict, err);
}

static RESULT judge(const struct trust *t, struct dial *d, enum trust_by by, struct remote *r,
                    struct err *err) {
    r->history = dial_history(d);
    const struct manifest *own = t->has_own ? &t->own : t->has_pinned ? &t->pinned : NULL;
    bool is_by_own = by == TRUST_BY_OWN || r->history->generation == 0;
    struct endorser endorser = {.workspace = t->workspace};
    uint64_t seen = t->cluster.is_known ? recoveries_seen(&t->recoveries, t->cluster.id) : 0;
    if (t->has_last && t->last.epoch > seen) {
        seen = t->last.epoch;
    }
    struct client_trust how = {
        .manifest = is_by_own ? own : NULL,
        .owner_digests = (const uint8_t(*)[32])t->owners,
        .owner_count = t->owner_count,
        .permitted_roots = (const uint8_t(*)[32])t->roots,
        .permitted_root_count = t->root_count,
        .epoch_seen = seen,
        .cluster_seen = t->cluster.is_known ? t->cluster.id : NULL,
        .at = host_unix_s(&host_system),
        .endorse = endorse,
        .endorser = &endorser,
    };
    struct result judged = client_judge(dial_client(d), &how, &r->verdict, err);
    endorsements_deinit(&endorser.own);
    TRY(judged);
    TRY(fill_heads(r, err));
    fill_position(r);
    return compare(t, r, err);
}

struct result trust_judge(const struct trust *t, struct dial *d, enum trust_by by,
                          struct remote *out, struct err *err) {
    struct result r = judge(t, d, by, out, err);
    return is_ok(r) ? r : err_wrap(r, err, "%s", dial_text(d));
}

struct result trust_remember_epochs(struct trust *t, const struct remote *r, struct err *err) {
    const struct client_history *h = r->history;
    if (h->recovery_count == 0 || recoveries_seen(&t->recoveries, h->cluster) >= h->epoch) {
        return OK;
    }
    recoveries_add_seen(&t->recoveries, h->recoveries, h->recovery_count);
    return recoveries_write(t->workspace, &t->recoveries, err);
}
