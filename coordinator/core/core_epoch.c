/* Core, levels and epochs: which entries the cluster uses, and the state that goes on after its
 * quorum was lost.
 *
 *   LEVEL    level ──▶ a higher one, which every member knows
 *   RECOVER  checkpoint (mesh CA key absent, takes nothing else) ──▶ epoch, new mesh CA key, the
 *            recipient as the only member
 *
 * Root CA, workload secret, history, policies, ledger, endorsements and the count of certificates
 * stay through a recovery. Signatures of share owners are counted and compared with the manifest
 * here; that they are valid was checked by the session that took them in, and is checked by every
 * client.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/crypto/digest.h"

/* --- LEVEL */

static RESULT check_level(const struct core *c, const struct entry_level *l, struct err *err) {
    AUTO(buf_deinit)
    struct buf names = {0};
    ENSURE(l->level > c->level, err, DENIED, "level %llu, the cluster uses %llu already",
           (unsigned long long)l->level, (unsigned long long)c->level);
    for (size_t i = 0; i < c->member_count; i++) {
        const struct entry_member *m = &c->members[i].member;
        if (m->version < l->level) {
            buf_appendf(&names, "%s%s knows %llu", names.size > 0 ? ", " : "", m->name,
                        (unsigned long long)m->version);
        }
    }
    ENSURE(names.size == 0, err, DENIED, "level %llu: %.700s", (unsigned long long)l->level,
           buf_cstr(&names));
    TRY(core__check_time(l->time, err));
    return core__check_room(c, CORE_LEDGER_ALL, err);
}

RESULT core__apply_level(struct core *c, const struct entry *e, struct core_result *out,
                         struct err *err) {
    TRY(check_level(c, &e->level, err));
    c->level = e->level.level;
    core__advance(c, e->level.time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- RECOVER: what holds for one in an entry and in a snapshot */

static bool is_share_owner(const struct manifest *m, struct span key) {
    for (size_t i = 0; i < m->share_owner_count; i++) {
        if (span_equal(m->share_owners[i], key)) {
            return true;
        }
    }
    return false;
}

static RESULT check_owners(const struct recovery_signature *signatures, size_t count,
                           const struct manifest *authority, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        ENSURE(is_share_owner(authority, signatures[i].key), err, SIGNATURE,
               "signature %zu is by nobody whom the manifest names as a share owner", i);
        ENSURE(signatures[i].signature.size > 0, err, SIGNATURE, "signature %zu is empty", i);
        for (size_t j = 0; j < i; j++) {
            ENSURE(!span_equal(signatures[j].key, signatures[i].key), err, SIGNATURE,
                   "one share owner signed twice");
        }
    }
    ENSURE(count >= authority->share_threshold, err, SIGNATURE,
           "%zu share owners signed, %zu are needed", count, authority->share_threshold);
    return OK;
}

static RESULT check_mode(const struct core_recovery *r, const struct manifest *authority,
                         struct err *err) {
    switch (r->recovery.mode) {
    case RECOVERY_SURVIVOR:
    case RECOVERY_CHECKPOINT:
        ENSURE(authority->share_threshold > 0, err, DENIED, "the manifest names no share owners");
        return check_owners(r->signatures, r->signature_count, authority, err);
    case RECOVERY_AUTOMATIC:
        ENSURE(authority->auto_recovery, err, DENIED,
               "the manifest does not permit a recovery without share owners");
        ENSURE(r->signature_count == 0, err, INVALID, "an automatic recovery with signatures");
        return OK;
    default:
        return err_set(err, ERR_INVALID, "unknown mode %u", r->recovery.mode);
    }
}

RESULT core__check_recovery(const struct core *c, const struct core_recovery *r, struct err *err) {
    const struct recovery *q = &r->recovery;
    ENSURE(c->history->recovery_count < LIMIT_EPOCHS, err, TOO_LARGE,
           "the cluster was recovered %d times, no more fit its history", LIMIT_EPOCHS);
    ENSURE(memcmp(q->cluster, c->cluster, sizeof q->cluster) == 0, err, DIFFERS,
           "another cluster's recovery");
    ENSURE(q->previous_epoch == c->epoch, err, DIFFERS, "previous epoch %llu, this state has %llu",
           (unsigned long long)q->previous_epoch, (unsigned long long)c->epoch);
    ENSURE(q->epoch > c->epoch && q->epoch <= INT64_MAX, err, DENIED,
           "epoch %llu does not follow epoch %llu", (unsigned long long)q->epoch,
           (unsigned long long)c->epoch);
    ENSURE(q->generation == c->history->count, err, DIFFERS, "generation %llu, this state has %zu",
           (unsigned long long)q->generation, c->history->count);
    ENSURE(memcmp(q->head, core_head(c), sizeof q->head) == 0, err, DIFFERS,
           "another head than this state's");
    return check_mode(r, &c->active->manifest, err);
}

void core__add_recovery(struct core *c, const struct core_recovery *r) {
    core_history_add_recovery(&c->history, r);
    c->epoch = r->recovery.epoch;
}

/* --- RECOVER: the entry */

static struct core_recovery recovery_of(const struct core *c, const struct entry_recover *e,
                                        uint64_t index) {
    struct core_recovery r = {
        .recovery = {.epoch = e->epoch,
                     .previous_epoch = e->previous_epoch,
                     .mode = e->mode,
                     .generation = e->generation,
                     .index = e->index,
                     .ledger_size = e->ledger_size},
        .signatures = e->signatures.items,
        .signature_count = e->signatures.count,
        .index = index,
        .time = e->time > c->time ? e->time : c->time,
    };
    memcpy(r.recovery.cluster, c->cluster, sizeof r.recovery.cluster);
    memcpy(r.recovery.head, e->head, sizeof r.recovery.head);
    memcpy(r.recovery.ledger_root, e->ledger_root, sizeof r.recovery.ledger_root);
    sha256(e->recipient.spki, r.recovery.recipient);
    return r;
}

static RESULT check_position(const struct core *c, const struct entry_recover *e, struct err *err) {
    uint8_t root[MERKLE_HASH_SIZE];
    ENSURE(e->index == c->applied_index, err, DIFFERS, "index %llu, this state has %llu",
           (unsigned long long)e->index, (unsigned long long)c->applied_index);
    ENSURE(e->ledger_size == merkle_log_size(&c->ledger), err, DIFFERS,
           "ledger of %llu leaves, this state's has %zu", (unsigned long long)e->ledger_size,
           merkle_log_size(&c->ledger));
    merkle_log_root(&c->ledger, root);
    ENSURE(memcmp(root, e->ledger_root, sizeof root) == 0, err, DIFFERS,
           "another ledger than this state's");
    return OK;
}

static RESULT check_recipient(const struct core *c, const struct entry_recover *e,
                              struct err *err) {
    const struct entry_member *m = &e->recipient;
    TRY(entry_member_check(m, err));
    const struct policy_entry *policy = manifest_find_policy(&c->active->manifest, m->host_data);
    ENSURE(policy != NULL && policy->role == ROLE_COORDINATOR, err, DENIED,
           "recipient %s: its host data has not role coordinator in the manifest", m->name);
    ENSURE(e->mode != RECOVERY_SURVIVOR || core_find_member(c, m->id) != NULL, err, DENIED,
           "recipient %s is no survivor: it is not among the members", m->name);
    return core__check_version(c, m, err);
}

static RESULT check_recover(const struct core *c, const struct entry_recover *e,
                            const struct core_recovery *r, struct err *err) {
    ENSURE(c->is_checkpoint, err, DENIED, "this cluster lives: there is nothing to recover");
    ENSURE(e->request.proposer == 0 && e->request.sequence == 0, err, INVALID,
           "a recovery has no proposer");
    TRY(check_position(c, e, err));
    TRY(core__check_recovery(c, r, err));
    TRY(check_recipient(c, e, err));
    ENSURE(e->mesh_key.size > 0 && e->mesh_cert.size > 0 && e->intermediate.size > 0, err, INVALID,
           "mesh CA key or certificates are missing");
    TRY(core__check_time(e->time, err));
    return core__check_room(c, CORE_LEDGER_ALL, err);
}

RESULT core__apply_recover(struct core *c, const struct entry *e, struct core_result *out,
                           struct err *err) {
    const struct entry_recover *v = &e->recover;
    struct core_recovery r = recovery_of(c, v, out->index);
    TRY(check_recover(c, v, &r, err));
    core__add_recovery(c, &r);
    core__renew_mesh(c, v->mesh_key, v->mesh_cert, v->intermediate);
    while (c->member_count > 0) {
        core__remove_member(c, c->member_count - 1);
    }
    struct core_member row = {core__dup_member(&v->recipient, true), out->index, CORE_MEMBER};
    core__add_member(c, &row);
    c->lease_count = 0;
    c->is_checkpoint = false;
    core__advance(c, v->time);
    core__record_leaf(c, e, out->index);
    return OK;
}

/* --- Loading */

RESULT core__load_recovery(struct core *c, const struct core_recovery *r, struct err *err) {
    const struct recovery *q = &r->recovery;
    const struct core_record *record = &c->history->records[c->history->count - 1];
    const struct core_recovery *last =
        c->history->recovery_count == 0 ? NULL
                                        : &c->history->recoveries[c->history->recovery_count - 1];
    uint8_t root[MERKLE_HASH_SIZE];
    TRY(core__check_recovery(c, r, err));
    ENSURE(q->index >= record->index && (last == NULL || q->index >= last->index) &&
               r->index > q->index && r->index <= c->applied_index,
           err, MALFORMED, "index does not rise");
    ENSURE(r->time >= record->time && (last == NULL || r->time >= last->time) && r->time <= c->time,
           err, MALFORMED, "time goes back");
    ENSURE(q->ledger_size < merkle_log_size(&c->ledger) &&
               (last == NULL || q->ledger_size > last->recovery.ledger_size),
           err, MALFORMED, "ledger does not grow");
    merkle_log_root_at(&c->ledger, q->ledger_size, root);
    ENSURE(memcmp(root, q->ledger_root, sizeof root) == 0, err, MALFORMED,
           "the ledger does not have its root");
    core__add_recovery(c, r);
    return OK;
}
