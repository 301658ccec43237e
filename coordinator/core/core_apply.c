/* Core, applying: one function per command. Each checks everything first and changes the state
 * only when nothing can go wrong any more, so a refused entry leaves no trace in it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_rule.h"
#include "coordinator/core/core_state.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

#define LEAF_VALIDITY_DEFAULT_S (24 * 3600)

/* --- Time and ledger */

RESULT core__check_time(int64_t time, struct err *err) {
    ENSURE(time > 0 && time <= ENTRY_TIME_MAX, err, INVALID, "time %lld is out of range",
           (long long)time);
    return OK;
}

void core__advance(struct core *c, int64_t time) {
    if (time > c->time) {
        c->time = time;
    }
}

RESULT core__check_room(const struct core *c, size_t limit, struct err *err) {
    ENSURE(merkle_log_size(&c->ledger) < limit, err, BUSY,
           "the ledger has %zu leaves of %d, no room for this: it never gets smaller, found a new "
           "deployment in time",
           merkle_log_size(&c->ledger), LIMIT_LEDGER);
    return OK;
}

void core__record_leaf(struct core *c, const struct entry *e, uint64_t index) {
    uint8_t data[ENTRY_LEAF_SIZE];
    uint8_t leaf[MERKLE_HASH_SIZE];
    entry_leaf(e, index, data);
    merkle_leaf(SPAN(data), leaf);
    merkle_log_append(&c->ledger, leaf);
}

/* --- FOUND */

static void start(struct core *c, const struct entry_found *f, uint64_t index) {
    const struct entry_member *founders = f->founders.items;
    for (size_t i = 0; i < f->founders.count; i++) {
        c->founders[i] = core__dup_member(&founders[i], false);
        struct core_member row = {core__dup_member(&founders[i], true), index, CORE_MEMBER};
        core__add_member(c, &row);
    }
    c->founder_count = f->founders.count;
    c->root_count = f->simulated_roots.count;
    if (c->root_count > 0) {
        memcpy(c->roots, f->simulated_roots.items, c->root_count * sizeof c->roots[0]);
    }
    memcpy(c->cluster, f->cluster, sizeof c->cluster);
    c->level = core__least_version(founders, f->founders.count);
    c->founding_time = f->time;
    c->is_founded = true;
}

static RESULT apply_found(struct core *c, const struct entry *e, struct core_result *out,
                          struct err *err) {
    const struct entry_found *f = &e->found;
    ENSURE(!c->is_founded, err, FOUNDED, "the cluster is founded already");
    ENSURE(f->request.proposer == 0 && f->request.sequence == 0, err, INVALID,
           "a founding entry has no proposer");
    TRY(core__check_founders(f->founders.items, f->founders.count, err));
    TRY(core__check_digests(f->simulated_roots.items, f->simulated_roots.count, err));
    TRY(core__check_time(f->time, err));
    uint8_t cluster[32];
    entry_cluster_id(f->founders.items, f->founders.count, cluster);
    ENSURE(memcmp(cluster, f->cluster, sizeof cluster) == 0, err, INVALID,
           "the cluster id is not that of the founders");
    start(c, f, out->index);
    core__advance(c, f->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- BLOB */

static RESULT apply_blob(struct core *c, const struct entry *e, struct core_result *out,
                         struct err *err) {
    const struct entry_blob *b = &e->blob;
    uint8_t hash[32];
    sha256(b->policy, hash);
    ENSURE(b->policy.size > 0, err, INVALID, "the policy is empty");
    ENSURE(memcmp(hash, b->hash, sizeof hash) == 0, err, INVALID,
           "the policy does not have the hash that is given");
    bool found = false;
    (void)core__blob_index(c, hash, &found);
    out->already = found;
    if (found) {
        return OK;
    }
    ENSURE(c->blob_count < LIMIT_BLOBS && b->policy.size <= LIMIT_BLOB_BYTES - c->blob_size, err,
           BUSY, "%zu policies take %zu bytes, no room", c->blob_count, c->blob_size);
    core__add_blob(c, hash, b->policy);
    return OK;
}

/* --- SET_MANIFEST */

static bool is_head(const struct core *c, struct span manifest) {
    return c->history->count > 0 &&
           span_equal(c->history->records[c->history->count - 1].manifest, manifest);
}

static RESULT check_head(const struct core *c, const struct entry_set_manifest *s,
                         struct err *err) {
    if (core_rule_is_off(CORE_RULE_SWAP)) {
        return OK;
    }
    ENSURE(memcmp(s->previous, core_head(c), sizeof s->previous) == 0, err, CHANGED,
           "the manifest changed meanwhile: generation %zu is active", c->history->count);
    ENSURE(s->generation == c->history->count + 1, err, CHANGED,
           "generation %llu cannot follow generation %zu", (unsigned long long)s->generation,
           c->history->count);
    return OK;
}

static RESULT check_material(const struct core *c, const struct entry_set_manifest *s,
                             struct err *err) {
    bool is_first = c->history->count == 0;
    ENSURE(s->mesh_key.size > 0 && s->mesh_cert.size > 0 && s->intermediate.size > 0, err, INVALID,
           "mesh CA key or certificates are missing");
    ENSURE((s->root_key.size == 0) == (s->root_cert.size == 0), err, INVALID,
           "root CA key and certificate come together or not at all");
    ENSURE(!is_first || s->root_key.size > 0, err, INVALID,
           "the first manifest comes without a root CA");
    ENSURE(s->workload_secret.size == (is_first ? ENTRY_SECRET : 0), err, INVALID,
           "workload secret is %zu bytes, want %d", s->workload_secret.size,
           is_first ? ENTRY_SECRET : 0);
    return core__check_time(s->time, err);
}

static RESULT adopt(struct core *c, const struct entry *e, struct core_record *r,
                    struct manifest *m, struct err *err) {
    const struct entry_set_manifest *s = &e->set_manifest;
    TRY(manifest_parse(s->manifest, m, err));
    TRY(core__check_next(c, r, m, r->transition, err));
    TRY(core__check_members(c, m, err));
    core_history_add(&c->history, r);
    core__activate(c, m);
    core__drop_blobs(c);
    bool is_kept = core_rule_is_off(CORE_RULE_MESH_KEY) && c->history->count > 1;
    core__set_keys(c, s->root_key, is_kept ? core_ca(c).mesh_key : s->mesh_key, s->workload_secret);
    return OK;
}

static RESULT apply_set_manifest(struct core *c, const struct entry *e, struct core_result *out,
                                 struct err *err) {
    const struct entry_set_manifest *s = &e->set_manifest;
    if (is_head(c, s->manifest)) {
        out->already = true;
        return OK;
    }
    TRY(check_head(c, s, err));
    TRY(check_material(c, s, err));
    TRY(core__check_room(c, CORE_LEDGER_ALL, err));
    struct core_record r = {
        .generation = s->generation,
        .index = out->index,
        .time = s->time > c->time ? s->time : c->time,
        .manifest = s->manifest,
        .signer = s->signer,
        .signature = s->signature,
        .mesh_cert = s->mesh_cert,
        .intermediate = s->intermediate,
        .root_cert = s->root_cert.size > 0 ? s->root_cert : core_ca(c).root_cert,
    };
    AUTO(manifest_deinit)
    struct manifest m = {0};
    TRY(adopt(c, e, &r, &m, err));
    core__advance(c, s->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- ADMIT and RETIRE */

static const struct core_member *find_name(const struct core *c, const char *name) {
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].state == CORE_MEMBER && strcmp(c->members[i].member.name, name) == 0) {
            return &c->members[i];
        }
    }
    return NULL;
}

static RESULT check_name(const struct core *c, const struct entry_admit *a, struct err *err) {
    const struct core_member *old = core_find_member(c, a->replaces);
    ENSURE(a->replaces == 0 || (old != NULL && strcmp(old->member.name, a->member.name) == 0), err,
           INVALID, "member %s does not take over a name from member %016llx", a->member.name,
           (unsigned long long)a->replaces);
    const struct core_member *holder = find_name(c, a->member.name);
    ENSURE(holder == NULL || holder == old, err, EXISTS, "the name %s belongs to member %016llx",
           a->member.name, holder == NULL ? 0ULL : (unsigned long long)holder->member.id);
    return OK;
}

static RESULT check_admit(const struct core *c, const struct entry_admit *a, struct err *err) {
    ENSURE(c->history->count > 0, err, NOT_FOUNDED, "no manifest is set: nothing to judge by");
    TRY(entry_member_check(&a->member, err));
    TRY(core__check_time(a->time, err));
    ENSURE(core_find_member(c, a->member.id) == NULL, err, EXISTS,
           "member %016llx is admitted already", (unsigned long long)a->member.id);
    const struct policy_entry *policy =
        manifest_find_policy(&c->active->manifest, a->member.host_data);
    ENSURE(policy != NULL && policy->role == ROLE_COORDINATOR, err, DENIED,
           "member %s: its host data has not role coordinator in the manifest", a->member.name);
    TRY(core__check_version(c, &a->member, err));
    TRY(check_name(c, a, err));
    ENSURE(c->member_count < LIMIT_MEMBERS, err, BUSY, "%d members, no room", LIMIT_MEMBERS);
    return core__check_room(c, CORE_LEDGER_ADMIT, err);
}

static RESULT apply_admit(struct core *c, const struct entry *e, struct core_result *out,
                          struct err *err) {
    const struct entry_admit *a = &e->admit;
    TRY(check_admit(c, a, err));
    bool found = false;
    size_t old = core__member_index(c, a->replaces, &found);
    if (found) {
        core__leave_member(c, old);
    }
    struct core_member row = {core__dup_member(&a->member, true), out->index, CORE_MEMBER};
    core__add_member(c, &row);
    core__advance(c, a->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* What the signature says was checked by the session that took it in; here only who signed. */
static RESULT check_retire_owner(const struct core *c, const struct entry_retire *t,
                                 struct err *err) {
    if (t->reason != RETIRE_OWNER) {
        ENSURE(t->signer.size + t->signature.size == 0, err, INVALID,
               "a signature where no owner asks");
        return OK;
    }
    ENSURE(c->history->count > 0, err, NOT_FOUNDED, "no manifest is set: nobody is an owner");
    return core__check_owner(&c->active->manifest, c->history->count, t->signer, t->signature, err);
}

static RESULT check_retire(const struct core *c, const struct entry_retire *t, struct err *err) {
    const struct core_member *m = core_find_member(c, t->id);
    ENSURE(t->reason >= RETIRE_ASKED && t->reason <= RETIRE_OWNER, err, INVALID,
           "unknown reason %u to retire a member", t->reason);
    TRY(check_retire_owner(c, t, err));
    ENSURE(m != NULL, err, NOT_FOUND, "member %016llx is not known", (unsigned long long)t->id);
    ENSURE(t->reason != RETIRE_REMOVED || m->state == CORE_LEAVING, err, INVALID,
           "member %s is not leaving", m->member.name);
    ENSURE(t->reason != RETIRE_REMOVED || c->member_count > 1, err, INVALID,
           "member %s is the only one", m->member.name);
    TRY(core__check_time(t->time, err));
    return core__check_room(c, CORE_LEDGER_RETIRE, err);
}

static RESULT apply_retire(struct core *c, const struct entry *e, struct core_result *out,
                           struct err *err) {
    const struct entry_retire *t = &e->retire;
    TRY(check_retire(c, t, err));
    bool found = false;
    size_t at = core__member_index(c, t->id, &found);
    if (t->reason == RETIRE_REMOVED) {
        core__remove_member(c, at);
    } else if (c->members[at].state == CORE_LEAVING) {
        out->already = true;
        return OK;
    } else {
        core__leave_member(c, at);
    }
    core__advance(c, t->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- ISSUE */

static RESULT check_request(const struct core *c, const struct entry_issue_request *r,
                            struct err *err) {
    ENSURE(manifest_find_policy(&c->active->manifest, r->policy_hash) != NULL, err, NOT_FOUND,
           "the policy is not in the manifest");
    ENSURE(r->spki.size > 0, err, INVALID, "no public key");
    ENSURE(r->validity_s <= LIMIT_LEAF_VALIDITY_S, err, INVALID, "validity of %llu s, limit %d s",
           (unsigned long long)r->validity_s, LIMIT_LEAF_VALIDITY_S);
    return OK;
}

static void issue(struct core *c, const struct entry_issue_request *r, struct core_issued *out) {
    out->index = ++c->issued;
    out->validity_s = r->validity_s == 0 ? LEAF_VALIDITY_DEFAULT_S : r->validity_s;
    entry_serial(c->cluster, c->epoch, out->index, out->serial);
}

/* Each request stands for itself; the entry fails only when all of them do, with the last one's
 * reason. */
static RESULT apply_issue(struct core *c, const struct entry *e, struct core_result *out,
                          struct err *err) {
    const struct entry_issue *s = &e->issue;
    const struct entry_issue_request *requests = s->requests.items;
    ENSURE(c->history->count > 0, err, NOT_FOUNDED, "no manifest is set");
    ENSURE(s->generation == c->history->count || core_rule_is_off(CORE_RULE_FENCE), err,
           STALE_GENERATION, "verified against generation %llu, active is %zu",
           (unsigned long long)s->generation, c->history->count);
    ENSURE(s->requests.count > 0, err, INVALID, "no requests");
    TRY(core__check_time(s->time, err));
    TRY(core__check_room(c, CORE_LEDGER_ISSUE, err));
    struct result worst = OK;
    bool any = false;
    for (size_t i = 0; i < s->requests.count; i++) {
        struct result r = check_request(c, &requests[i], err);
        out->issued[i].code = r.code;
        if (is_ok(r)) {
            issue(c, &requests[i], &out->issued[i]);
            any = true;
        } else {
            worst = err_wrap(r, err, "request %zu", i);
        }
    }
    out->issued_count = s->requests.count;
    if (!any) {
        return worst;
    }
    core__advance(c, s->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- Requests that come twice */

static RESULT check_window(const struct core *c, const struct entry_request *q,
                           struct core_result *out, struct err *err) {
    bool found = false;
    size_t at = core__member_index(c, q->proposer, &found);
    ENSURE(found, err, DENIED, "proposer %016llx is not a member", (unsigned long long)q->proposer);
    ENSURE(q->sequence > 0, err, INVALID, "sequence 0");
    const struct core__window *w = &c->windows[at];
    if (q->sequence > w->highest || core_rule_is_off(CORE_RULE_ONCE)) {
        return OK;
    }
    ENSURE(w->highest - q->sequence < LIMIT_REQUEST_WINDOW, err, CANCELED,
           "request %llu is too old, newest is %llu", (unsigned long long)q->sequence,
           (unsigned long long)w->highest);
    uint8_t code = w->codes[q->sequence % LIMIT_REQUEST_WINDOW];
    out->duplicate = code != CORE_SLOT_FREE;
    if (!out->duplicate || code == ERR_OK) {
        return OK;
    }
    return err_set(err, err_from_wire(code), "this request was refused before");
}

/* Sequences that were jumped over are free. */
static void slide(struct core__window *w, uint64_t to) {
    uint64_t gap = to - w->highest;
    if (gap > LIMIT_REQUEST_WINDOW) {
        gap = LIMIT_REQUEST_WINDOW;
    }
    for (uint64_t i = 0; i < gap; i++) {
        w->codes[(to - i) % LIMIT_REQUEST_WINDOW] = CORE_SLOT_FREE;
    }
    w->highest = to;
}

static void remember(struct core *c, const struct entry_request *q, enum err_code code) {
    bool found = false;
    size_t at = core__member_index(c, q->proposer, &found);
    if (!found) { /* it removed itself */
        return;
    }
    struct core__window *w = &c->windows[at];
    if (q->sequence > w->highest) {
        slide(w, q->sequence);
    }
    w->codes[q->sequence % LIMIT_REQUEST_WINDOW] = (uint8_t)code;
}

/* --- All of them */

static RESULT dispatch(struct core *c, const struct entry *e, struct core_result *out,
                       struct err *err) {
    switch (e->type) {
    case ENTRY_FOUND:
        return apply_found(c, e, out, err);
    case ENTRY_BLOB:
        return apply_blob(c, e, out, err);
    case ENTRY_SET_MANIFEST:
        return apply_set_manifest(c, e, out, err);
    case ENTRY_ADMIT:
        return apply_admit(c, e, out, err);
    case ENTRY_RETIRE:
        return apply_retire(c, e, out, err);
    case ENTRY_ISSUE:
        return apply_issue(c, e, out, err);
    case ENTRY_COLLATERAL:
        return core__apply_collateral(c, &e->collateral, out, err);
    case ENTRY_LEVEL:
        return core__apply_level(c, e, out, err);
    case ENTRY_RECOVER:
        break; /* has no proposer */
    }
    return err_set(err, ERR_MALFORMED, "unknown entry type");
}

static RESULT apply_once(struct core *c, const struct entry *e, struct core_result *out,
                         struct err *err) {
    if (e->type == ENTRY_FOUND) {
        return apply_found(c, e, out, err);
    }
    ENSURE(c->is_founded, err, NOT_FOUNDED, "%s before the cluster is founded",
           entry_type_name(e->type));
    if (e->type == ENTRY_RECOVER) {
        return core__apply_recover(c, e, out, err);
    }
    ENSURE(!c->is_checkpoint, err, INVALID, "a checkpoint takes nothing but RECOVER");
    TRY(check_window(c, &e->request, out, err));
    if (out->duplicate) {
        return OK;
    }
    struct result r = dispatch(c, e, out, err);
    remember(c, &e->request, r.code);
    return r;
}

/* What the cluster does not use yet is refused by all, also by those who could read it. They do not
 * remember the request: the others could not. */
static RESULT decode_and_apply(struct core *c, struct span entry, struct core_result *out,
                               struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry e = {0};
    struct result r = entry_decode(entry, &arena, &e, err);
    if (is_ok(r)) {
        out->decoded = true;
        out->type = e.type;
        out->request = e.request;
    }
    uint64_t level = c->is_founded ? c->level : 1;
    ENSURE(entry_version_in(entry) <= level, err, DENIED,
           "entry of version %u, the cluster uses versions up to %llu", entry_version_in(entry),
           (unsigned long long)level);
    c->is_frozen = r.code == ERR_FROZEN;
    TRY(r);
    return err_wrap(apply_once(c, &e, out, err), err, "%s", entry_type_name(e.type));
}

void core_apply(struct core *c, uint64_t index, uint64_t term, struct span entry,
                struct core_result *out) {
    CHECK(index > c->applied_index);
    struct err err = {.code = ERR_OK};
    *out = (struct core_result){.index = index};
    struct result r = c->is_frozen ? err_set(&err, ERR_FROZEN, "an entry before this is not known")
                                   : decode_and_apply(c, entry, out, &err);
    out->must_freeze = c->is_frozen;
    if (!c->is_frozen) {
        c->applied_index = index;
        c->applied_term = term;
    }
    out->code = r.code;
    if (r.code == ERR_BUSY && out->wait_ms == 0) {
        out->wait_ms = CORE_FULL_MS;
    }
    if (!is_ok(r)) {
        memcpy(out->text, err.text, sizeof out->text);
    }
    out->generation = core_generation(c);
    memcpy(out->transition, core_head(c), sizeof out->transition);
    out->time = c->time;
}
