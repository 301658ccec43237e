/* Core, snapshots: the whole state as one wire message.
 *
 * Loading trusts nothing: it rebuilds the state piece by piece through the functions and rules that
 * applying uses, so that what comes out is a state that some log could have led to, but for owners'
 * signatures and evidence, which the joiner checks where public-key work is allowed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

#define SNAPSHOT_VERSION 3
static const uint8_t magic[8] = {'c', 'o', 'n', 't', 'r', 'a', 's', 't'};

/* Lists and spans are borrowed: from the core when saving, from an arena when loading. */
struct snapshot {
    uint8_t magic[8];
    uint8_t version;
    uint64_t applied_index;
    uint64_t applied_term;
    int64_t time;
    bool is_founded;
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t level;
    int64_t founding_time;
    struct wire_list founders;   /* struct entry_member */
    struct wire_list roots;      /* struct entry_digest */
    struct wire_list members;    /* struct core_member */
    struct wire_list windows;    /* struct core__window, one per member */
    struct wire_list records;    /* struct core_record */
    struct wire_list recoveries; /* struct core__recovery_row */
    bool is_checkpoint;
    struct span root_key;
    struct span mesh_key;
    struct span workload_secret;
    struct wire_list blobs; /* struct core__blob */
    struct span ledger;     /* leaf hashes */
    uint64_t issued;
    struct wire_list veks;   /* struct core_vek */
    struct wire_list crls;   /* struct core_crl */
    struct wire_list leases; /* struct core__lease */
    uint64_t kds_taken;      /* of the bucket */
    uint64_t kds_since_ms;
};

/* --- Tables, in wire order */

static const struct wire_field row_fields[] = {
    WIRE_MSG(struct core_member, member, &entry_member_type),
    WIRE_U64(struct core_member, admitted_index),
    WIRE_U8(struct core_member, state),
};
const struct wire_type core__member_type = WIRE_TYPE(struct core_member, row_fields);

static const struct wire_field window_fields[] = {
    WIRE_U64(struct core__window, highest),
    WIRE_FIXED(struct core__window, codes),
};
const struct wire_type core__window_type = WIRE_TYPE(struct core__window, window_fields);

static const struct wire_field record_fields[] = {
    WIRE_U64(struct core_record, generation),
    WIRE_U64(struct core_record, index),
    WIRE_I64(struct core_record, time),
    WIRE_BYTES(struct core_record, manifest, LIMIT_MANIFEST_SET),
    WIRE_BYTES(struct core_record, signer, LIMIT_SPKI),
    WIRE_BYTES(struct core_record, signature, LIMIT_SIGNATURE),
    WIRE_FIXED(struct core_record, transition),
    WIRE_BYTES(struct core_record, mesh_cert, LIMIT_PEM),
    WIRE_BYTES(struct core_record, intermediate, LIMIT_PEM),
    WIRE_BYTES(struct core_record, root_cert, LIMIT_PEM),
};
const struct wire_type core__record_type = WIRE_TYPE(struct core_record, record_fields);

static const struct wire_field blob_fields[] = {
    WIRE_FIXED(struct core__blob, hash),
    WIRE_BYTES(struct core__blob, data, LIMIT_POLICY),
};
static const struct wire_type blob_type = WIRE_TYPE(struct core__blob, blob_fields);

static const struct wire_field recovery_fields[] = {
    WIRE_FIXED(struct core__recovery_row, r.recovery.cluster),
    WIRE_U64(struct core__recovery_row, r.recovery.epoch),
    WIRE_U64(struct core__recovery_row, r.recovery.previous_epoch),
    WIRE_U8(struct core__recovery_row, r.recovery.mode),
    WIRE_U64(struct core__recovery_row, r.recovery.generation),
    WIRE_FIXED(struct core__recovery_row, r.recovery.head),
    WIRE_U64(struct core__recovery_row, r.recovery.index),
    WIRE_U64(struct core__recovery_row, r.recovery.ledger_size),
    WIRE_FIXED(struct core__recovery_row, r.recovery.ledger_root),
    WIRE_FIXED(struct core__recovery_row, r.recovery.recipient),
    WIRE_LIST(struct core__recovery_row, signatures, LIMIT_SHARE_OWNERS,
              &entry_recovery_signature_type),
    WIRE_U64(struct core__recovery_row, r.index),
    WIRE_I64(struct core__recovery_row, r.time),
};
const struct wire_type core__recovery_type = WIRE_TYPE(struct core__recovery_row, recovery_fields);

static const struct wire_field vek_fields[] = {
    WIRE_MSG(struct core_vek, key, &entry_endorsement_type),
    WIRE_BYTES(struct core_vek, der, LIMIT_CERT),
    WIRE_BYTES(struct core_vek, authority, LIMIT_CERT),
    WIRE_BYTES(struct core_vek, root, LIMIT_CERT),
};
const struct wire_type core__vek_type = WIRE_TYPE(struct core_vek, vek_fields);

static const struct wire_field crl_fields[] = {
    WIRE_MSG(struct core_crl, key, &entry_endorsement_type),
    WIRE_FIXED(struct core_crl, anchor),
    WIRE_BYTES(struct core_crl, der, LIMIT_CRL),
    WIRE_U64(struct core_crl, number),
    WIRE_I64(struct core_crl, this_update),
    WIRE_I64(struct core_crl, next_update),
    WIRE_I64(struct core_crl, seen),
};
const struct wire_type core__crl_type = WIRE_TYPE(struct core_crl, crl_fields);

static const struct wire_field lease_fields[] = {
    WIRE_MSG(struct core__lease, key, &entry_endorsement_type),
    WIRE_U64(struct core__lease, proposer),
    WIRE_I64(struct core__lease, until),
};
const struct wire_type core__lease_type = WIRE_TYPE(struct core__lease, lease_fields);

static const struct wire_field snapshot_fields[] = {
    WIRE_FIXED(struct snapshot, magic),
    WIRE_U8(struct snapshot, version),
    WIRE_U64(struct snapshot, applied_index),
    WIRE_U64(struct snapshot, applied_term),
    WIRE_I64(struct snapshot, time),
    WIRE_BOOL(struct snapshot, is_founded),
    WIRE_FIXED(struct snapshot, cluster),
    WIRE_U64(struct snapshot, epoch),
    WIRE_U64(struct snapshot, level),
    WIRE_I64(struct snapshot, founding_time),
    WIRE_LIST(struct snapshot, founders, LIMIT_VOTERS, &entry_member_type),
    WIRE_LIST(struct snapshot, roots, LIMIT_REFERENCE_VALUES, &entry_digest_type),
    WIRE_LIST(struct snapshot, members, LIMIT_MEMBERS, &core__member_type),
    WIRE_LIST(struct snapshot, windows, LIMIT_MEMBERS, &core__window_type),
    WIRE_LIST(struct snapshot, records, LIMIT_HISTORY, &core__record_type),
    WIRE_LIST(struct snapshot, recoveries, LIMIT_EPOCHS, &core__recovery_type),
    WIRE_BOOL(struct snapshot, is_checkpoint),
    WIRE_BYTES(struct snapshot, root_key, ENTRY_KEY),
    WIRE_BYTES(struct snapshot, mesh_key, ENTRY_KEY),
    WIRE_BYTES(struct snapshot, workload_secret, ENTRY_SECRET),
    WIRE_LIST(struct snapshot, blobs, LIMIT_BLOBS, &blob_type),
    WIRE_BYTES(struct snapshot, ledger, (size_t)LIMIT_LEDGER *MERKLE_HASH_SIZE),
    WIRE_U64(struct snapshot, issued),
    WIRE_LIST(struct snapshot, veks, LIMIT_COLLATERAL_VEKS, &core__vek_type),
    WIRE_LIST(struct snapshot, crls, LIMIT_COLLATERAL_CRLS, &core__crl_type),
    WIRE_LIST(struct snapshot, leases, LIMIT_KDS_LEASES, &core__lease_type),
    WIRE_U64(struct snapshot, kds_taken),
    WIRE_U64(struct snapshot, kds_since_ms),
};
static const struct wire_type snapshot_type = WIRE_TYPE(struct snapshot, snapshot_fields);

/* --- Saving */

struct wire_list core__list(const void *items, size_t count) {
    return (struct wire_list){(void *)(uintptr_t)items, count};
}

static void save_lists(const struct core *c, struct snapshot *s) {
    s->founders = core__list(c->founders, c->founder_count);
    s->roots = core__list(c->roots, c->root_count);
    s->members = core__list(c->members, c->member_count);
    s->windows = core__list(c->windows, c->member_count);
    s->records = core__list(c->history->records, c->history->count);
    s->blobs = core__list(c->blobs, c->blob_count);
    s->veks = core__list(c->veks, c->vek_count);
    s->crls = core__list(c->crls, c->crl_count);
    s->leases = core__list(c->leases, c->lease_count);
}

/* What the large parts take and some for the others: the buffer grows no more, so nothing is copied
 * and wiped on the way. */
static size_t estimate(const struct core *c) {
    size_t size = c->history->size + c->blob_size + merkle_log_size(&c->ledger) * MERKLE_HASH_SIZE +
                  c->blob_count * 64 + c->history->count * 256 + c->vek_count * (size_t)LIMIT_CERT +
                  4096;
    for (size_t i = 0; i < c->member_count; i++) {
        size += c->members[i].member.evidence.size + sizeof c->windows[i] + 1024;
    }
    return size;
}

static void save(const struct core *c, bool is_checkpoint, struct buf *out) {
    struct core_ca ca = core_ca(c);
    struct core__recovery_row *recoveries =
        mem_calloc(c->history->recovery_count, sizeof *recoveries);
    size_t leaves = merkle_log_size(&c->ledger);
    struct snapshot s = {
        .version = SNAPSHOT_VERSION,
        .applied_index = c->applied_index,
        .applied_term = c->applied_term,
        .time = c->time,
        .is_founded = c->is_founded,
        .epoch = c->epoch,
        .level = c->level,
        .founding_time = c->founding_time,
        .root_key = ca.root_key,
        .is_checkpoint = is_checkpoint,
        .mesh_key = is_checkpoint ? span_of(NULL, 0) : ca.mesh_key,
        .workload_secret = ca.workload_secret,
        .issued = c->issued,
        .kds_taken = c->kds.taken,
        .kds_since_ms = c->kds.since_ms,
    };
    memcpy(s.magic, magic, sizeof s.magic);
    memcpy(s.cluster, c->cluster, sizeof s.cluster);
    if (leaves > 0) {
        s.ledger = span_of(merkle_log_leaf(&c->ledger, 0), leaves * MERKLE_HASH_SIZE);
    }
    save_lists(c, &s);
    for (size_t i = 0; i < c->history->recovery_count; i++) {
        const struct core_recovery *r = &c->history->recoveries[i];
        recoveries[i] =
            (struct core__recovery_row){*r, core__list(r->signatures, r->signature_count)};
    }
    s.recoveries = core__list(recoveries, c->history->recovery_count);
    buf_reserve(out, estimate(c));
    wire_encode(&snapshot_type, &s, out);
    mem_free(recoveries);
}

void core_save(const struct core *c, struct buf *out) {
    save(c, c->is_checkpoint, out);
}

void core_save_checkpoint(const struct core *c, struct buf *out) {
    CHECK(c->history->count > 0);
    save(c, true, out);
}

/* --- Loading */

static RESULT load_scalars(struct core *c, const struct snapshot *s, struct err *err) {
    ENSURE(memcmp(s->magic, magic, sizeof magic) == 0, err, MALFORMED, "not a snapshot");
    ENSURE(s->version == SNAPSHOT_VERSION, err, MALFORMED, "version %u, want %d", s->version,
           SNAPSHOT_VERSION);
    ENSURE(s->time <= ENTRY_TIME_MAX && s->founding_time <= s->time, err, MALFORMED,
           "times do not fit");
    c->applied_index = s->applied_index;
    c->applied_term = s->applied_term;
    c->time = s->time;
    c->is_founded = s->is_founded;
    c->founding_time = s->founding_time;
    c->level = s->level;
    c->issued = s->issued;
    memcpy(c->cluster, s->cluster, sizeof c->cluster);
    return OK;
}

/* A state before founding holds nothing. */
static RESULT check_empty(const struct snapshot *s, struct err *err) {
    size_t sizes = s->founders.count + s->roots.count + s->members.count + s->windows.count +
                   s->records.count + s->recoveries.count + s->blobs.count + s->root_key.size +
                   s->mesh_key.size + s->workload_secret.size + s->ledger.size + s->veks.count +
                   s->crls.count + s->leases.count;
    ENSURE(sizes == 0 && s->kds_taken == 0 && s->kds_since_ms == 0 && s->issued == 0 &&
               !s->is_checkpoint && s->epoch == CORE_EPOCH && s->time == 0 && s->level == 0 &&
               s->founding_time == 0 && span_is_zero(SPAN(s->cluster)),
           err, MALFORMED, "state without a founding");
    return OK;
}

/* The rules for founders, who are kept without evidence. */
static RESULT check_founders(const struct snapshot *s, struct err *err) {
    static const uint8_t any = 0;
    const struct entry_member *founders = s->founders.items;
    struct entry_member rows[LIMIT_VOTERS];
    for (size_t i = 0; i < s->founders.count; i++) {
        ENSURE(founders[i].evidence.size == 0, err, MALFORMED, "a founder with evidence");
        rows[i] = founders[i];
        rows[i].evidence = span_of(&any, 1);
    }
    TRY(core__check_founders(rows, s->founders.count, err));
    ENSURE(s->level >= core__least_version(rows, s->founders.count), err, MALFORMED,
           "level %llu, founded with a higher one", (unsigned long long)s->level);
    uint8_t cluster[32];
    entry_cluster_id(founders, s->founders.count, cluster);
    ENSURE(memcmp(cluster, s->cluster, sizeof cluster) == 0, err, MALFORMED,
           "the cluster id is not that of the founders");
    return OK;
}

static RESULT load_founding(struct core *c, const struct snapshot *s, struct err *err) {
    TRY(check_founders(s, err));
    ENSURE(s->founding_time > 0 && s->applied_index > 0, err, MALFORMED,
           "a founding without time or index");
    TRY(core__check_digests(s->roots.items, s->roots.count, err));
    const struct entry_member *founders = s->founders.items;
    for (size_t i = 0; i < s->founders.count; i++) {
        c->founders[c->founder_count++] = core__dup_member(&founders[i], false);
    }
    c->root_count = s->roots.count;
    if (c->root_count > 0) {
        memcpy(c->roots, s->roots.items, c->root_count * sizeof c->roots[0]);
    }
    return OK;
}

static RESULT check_row(const struct core *c, const struct core_member *row, struct err *err) {
    TRY(entry_member_check(&row->member, err));
    TRY(core__check_version(c, &row->member, err));
    ENSURE(row->state == CORE_MEMBER || row->state == CORE_LEAVING, err, MALFORMED,
           "member %s: state %u", row->member.name, row->state);
    ENSURE(row->admitted_index <= c->applied_index, err, MALFORMED,
           "member %s is from a later index", row->member.name);
    ENSURE(c->member_count == 0 || c->members[c->member_count - 1].member.id < row->member.id, err,
           MALFORMED, "members are not in the order of their ids");
    for (size_t i = 0; i < c->member_count; i++) {
        const struct core_member *other = &c->members[i];
        ENSURE(other->state != CORE_MEMBER || row->state != CORE_MEMBER ||
                   strcmp(other->member.name, row->member.name) != 0,
               err, MALFORMED, "two members have the name %s", row->member.name);
    }
    return OK;
}

/* What remember() of core_apply.c can have left: codes that exist, none before the first request.
 */
static RESULT check_window(const struct core__window *w, struct err *err) {
    bool is_used = false;
    for (size_t i = 0; i < LIMIT_REQUEST_WINDOW; i++) {
        uint8_t code = w->codes[i];
        is_used = is_used || code != CORE_SLOT_FREE;
        ENSURE(code == CORE_SLOT_FREE || code == ERR_INTERNAL ||
                   err_from_wire(code) != ERR_INTERNAL,
               err, MALFORMED, "a request with the unknown code %u", code);
    }
    bool has_highest = w->codes[w->highest % LIMIT_REQUEST_WINDOW] != CORE_SLOT_FREE;
    ENSURE(w->highest > 0 ? has_highest : !is_used, err, MALFORMED,
           "requests and their highest do not fit");
    return OK;
}

static RESULT load_members(struct core *c, const struct snapshot *s, struct err *err) {
    const struct core_member *rows = s->members.items;
    const struct core__window *windows = s->windows.items;
    ENSURE(s->members.count > 0 && s->members.count == s->windows.count, err, MALFORMED,
           "%zu members, %zu windows", s->members.count, s->windows.count);
    for (size_t i = 0; i < s->members.count; i++) {
        TRY(check_row(c, &rows[i], err));
        TRY(check_window(&windows[i], err));
        struct core_member row = rows[i];
        row.member = core__dup_member(&rows[i].member, true);
        core__add_member(c, &row);
        c->windows[i] = windows[i];
    }
    return OK;
}

static RESULT load_blobs(struct core *c, const struct snapshot *s, struct err *err) {
    const struct core__blob *blobs = s->blobs.items;
    for (size_t i = 0; i < s->blobs.count; i++) {
        uint8_t hash[32];
        sha256(blobs[i].data, hash);
        ENSURE(memcmp(hash, blobs[i].hash, sizeof hash) == 0, err, MALFORMED,
               "policy %zu does not have its hash", i);
        ENSURE(i == 0 || memcmp(blobs[i - 1].hash, hash, sizeof hash) < 0, err, MALFORMED,
               "policies are not in rising order");
        ENSURE(blobs[i].data.size > 0 && blobs[i].data.size <= LIMIT_BLOB_BYTES - c->blob_size, err,
               TOO_LARGE, "policies over %d bytes", LIMIT_BLOB_BYTES);
        core__add_blob(c, hash, blobs[i].data);
    }
    return OK;
}

static RESULT check_record(const struct core *c, const struct core_record *r, struct err *err) {
    const struct core_record *last =
        c->history->count == 0 ? NULL : &c->history->records[c->history->count - 1];
    ENSURE(r->generation == c->history->count + 1, err, MALFORMED, "wrong number");
    ENSURE(r->index <= c->applied_index && (last == NULL || r->index > last->index), err, MALFORMED,
           "index does not rise");
    ENSURE(r->time <= c->time && (last == NULL || r->time >= last->time), err, MALFORMED,
           "time goes back");
    const struct core_recovery *recovery =
        c->history->recovery_count == 0 ? NULL
                                        : &c->history->recoveries[c->history->recovery_count - 1];
    ENSURE(recovery == NULL || (r->index > recovery->index && r->time >= recovery->time), err,
           MALFORMED, "it is from before the last recovery");
    ENSURE(r->mesh_cert.size > 0 && r->intermediate.size > 0 && r->root_cert.size > 0, err,
           MALFORMED, "no CA certificates");
    return OK;
}

static RESULT load_record(struct core *c, const struct core_record *r, struct err *err) {
    AUTO(manifest_deinit)
    struct manifest m = {0};
    uint8_t transition[32];
    TRY(check_record(c, r, err));
    TRY(manifest_parse(r->manifest, &m, err));
    TRY(core__check_next(c, r, &m, transition, err));
    ENSURE(memcmp(transition, r->transition, sizeof transition) == 0, err, MALFORMED,
           "transition does not follow from the one before");
    core_history_add(&c->history, r);
    core__activate(c, &m);
    return OK;
}

/* Those at the newest generation so far: *next goes past them. */
static RESULT load_recoveries(struct core *c, const struct snapshot *s, size_t *next,
                              struct err *err) {
    const struct core__recovery_row *rows = s->recoveries.items;
    while (*next < s->recoveries.count && rows[*next].r.recovery.generation == c->history->count) {
        struct core_recovery r = rows[*next].r;
        r.signatures = rows[*next].signatures.items;
        r.signature_count = rows[*next].signatures.count;
        TRY(err_wrap(core__load_recovery(c, &r, err), err, "recovery %zu", *next));
        (*next)++;
    }
    return OK;
}

static RESULT load_records(struct core *c, const struct snapshot *s, struct err *err) {
    const struct core_record *records = s->records.items;
    size_t next = 0;
    for (size_t i = 0; i < s->records.count; i++) {
        TRY(err_wrap(load_record(c, &records[i], err), err, "generation %zu", i + 1));
        TRY(load_recoveries(c, s, &next, err));
    }
    ENSURE(next == s->recoveries.count, err, MALFORMED,
           "recovery %zu is of no generation, or of an earlier one than the recovery before", next);
    ENSURE(c->epoch == s->epoch, err, MALFORMED, "epoch %llu, the last recovery's is %llu",
           (unsigned long long)s->epoch, (unsigned long long)c->epoch);
    return c->history->count > 0 ? core__check_members(c, &c->active->manifest, err) : OK;
}

static RESULT load_keys(struct core *c, const struct snapshot *s, struct err *err) {
    if (s->records.count == 0) {
        ENSURE(s->root_key.size + s->mesh_key.size + s->workload_secret.size == 0 &&
                   !s->is_checkpoint,
               err, MALFORMED, "keys, or a checkpoint, without a manifest");
        return OK;
    }
    ENSURE(s->root_key.size > 0 && s->workload_secret.size == ENTRY_SECRET, err, MALFORMED,
           "keys are missing");
    ENSURE((s->mesh_key.size == 0) == s->is_checkpoint, err, MALFORMED,
           s->is_checkpoint ? "a checkpoint with the mesh CA key" : "the mesh CA key is missing");
    c->is_checkpoint = s->is_checkpoint;
    core__set_keys(c, s->root_key, s->mesh_key, s->workload_secret);
    return OK;
}

static RESULT load_ledger(struct core *c, struct span leaves, struct err *err) {
    ENSURE(leaves.size > 0 && leaves.size % MERKLE_HASH_SIZE == 0, err, MALFORMED,
           "ledger of %zu bytes", leaves.size);
    for (size_t at = 0; at < leaves.size; at += MERKLE_HASH_SIZE) {
        merkle_log_append(&c->ledger, leaves.data + at);
    }
    return OK;
}

static RESULT load_collateral(struct core *c, const struct snapshot *s, struct err *err) {
    const struct core_vek *veks = s->veks.items;
    for (size_t i = 0; i < s->veks.count; i++) {
        TRY(core__load_vek(c, &veks[i], err));
    }
    const struct core_crl *crls = s->crls.items;
    for (size_t i = 0; i < s->crls.count; i++) {
        TRY(core__load_crl(c, &crls[i], err));
    }
    const struct core__lease *leases = s->leases.items;
    for (size_t i = 0; i < s->leases.count; i++) {
        TRY(core__load_lease(c, &leases[i], err));
    }
    return core__load_kds(c, s->kds_taken, s->kds_since_ms, err);
}

static RESULT load_state(struct core *c, const struct snapshot *s, struct err *err) {
    TRY(load_scalars(c, s, err));
    if (!s->is_founded) {
        return check_empty(s, err);
    }
    TRY(load_founding(c, s, err));
    TRY(load_members(c, s, err));
    TRY(load_blobs(c, s, err));
    TRY(load_keys(c, s, err));
    TRY(load_ledger(c, s->ledger, err));
    TRY(load_collateral(c, s, err));
    return load_records(c, s, err);
}

RESULT core_load(struct span bytes, struct core **out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct snapshot s;
    ENSURE(bytes.size <= LIMIT_SNAPSHOT, err, TOO_LARGE, "snapshot of %zu bytes, limit %d",
           bytes.size, LIMIT_SNAPSHOT);
    TRY(wire_decode(&snapshot_type, bytes, &arena, &s, err));
    struct core *c = core_new();
    struct result r = load_state(c, &s, err);
    if (!is_ok(r)) {
        core_free(c);
        return err_wrap(r, err, "snapshot");
    }
    *out = c;
    return OK;
}

RESULT core_load_checkpoint(struct span bytes, struct core **out, struct err *err) {
    struct core *c = NULL;
    TRY(core_load(bytes, &c, err));
    CHECK(c != NULL);
    if (!c->is_checkpoint) {
        core_free(c);
        return err_set(err, ERR_INVALID,
                       "snapshot: the state of a cluster that lives, want a "
                       "checkpoint");
    }
    *out = c;
    return OK;
}
