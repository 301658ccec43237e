/* Core, digests: the hash over the whole state.
 *
 *   state hash = SHA-256( summary ), a message with every small part of the state, and digests of
 *   the large ones: of the history a chain over its records, of policies their hashes, of the
 *   ledger its size and root, of the rest SHA-256 over its rows
 *
 * Each digest covers all that a snapshot holds of its part, and nothing else does: states with the
 * same snapshot have the same hash, others have not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/crypto/digest.h"

/* --- Chains */

static void chain(const uint8_t before[32], const struct wire_type *type, const void *message,
                  uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    wire_encode(type, message, &bytes);
    struct span parts[] = {span_of(before, 32), buf_span(&bytes)};
    sha256_parts(parts, 2, out);
}

void core__chain_record(const uint8_t before[32], const struct core_record *r, uint8_t out[32]) {
    struct core_record row = *r;
    row.manifest = span_of(NULL, 0);
    chain(before, &core__record_type, &row, out);
}

void core__chain_recovery(uint8_t chained[32], const struct core_recovery *r) {
    struct core__recovery_row row = {*r, core__list(r->signatures, r->signature_count)};
    chain(chained, &core__recovery_type, &row, chained);
}

/* --- Parts */

/* SHA-256 over the rows, one after the other. */
static void digest_rows(const struct wire_type *type, const void *rows, size_t count,
                        uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    for (size_t i = 0; i < count; i++) {
        wire_encode(type, (const uint8_t *)rows + i * type->size, &bytes);
    }
    sha256(buf_span(&bytes), out);
}

static void digest_blobs(const struct core *c, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    buf_reserve(&bytes, c->blob_count * 32);
    for (size_t i = 0; i < c->blob_count; i++) {
        buf_append(&bytes, c->blobs[i].hash, 32);
    }
    sha256(buf_span(&bytes), out);
}

static void fill(const struct core *c) {
    struct core__digests *d = c->digests;
    if (!d->has_members) {
        digest_rows(&core__member_type, c->members, c->member_count, d->members);
        d->has_members = true;
    }
    if (!d->has_blobs) {
        digest_blobs(c, d->blobs);
        d->has_blobs = true;
    }
    if (!d->has_veks) {
        digest_rows(&core__vek_type, c->veks, c->vek_count, d->veks);
        d->has_veks = true;
    }
    if (!d->has_crls) {
        digest_rows(&core__crl_type, c->crls, c->crl_count, d->crls);
        d->has_crls = true;
    }
}

/* --- The summary */

struct summary {
    uint64_t applied_index;
    uint64_t applied_term;
    int64_t time;
    bool is_founded;
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t level;
    int64_t founding_time;
    struct wire_list founders; /* struct entry_member */
    struct wire_list roots;    /* struct entry_digest */
    uint64_t member_count;     /* this and the next: how many rows the digest is of */
    uint8_t members[32];
    struct wire_list windows; /* struct core__window */
    uint64_t generation;
    uint8_t records[32];
    uint64_t recovery_count;
    uint8_t recoveries[32];
    bool is_checkpoint;
    struct span root_key;
    struct span mesh_key;
    struct span workload_secret;
    uint64_t blob_count;
    uint8_t blobs[32];
    uint64_t ledger_size;
    uint8_t ledger_root[MERKLE_HASH_SIZE];
    uint64_t issued;
    uint64_t vek_count;
    uint8_t veks[32];
    uint64_t crl_count;
    uint8_t crls[32];
    struct wire_list leases; /* struct core__lease */
    uint64_t kds_taken;
    uint64_t kds_since_ms;
};

static const struct wire_field summary_fields[] = {
    WIRE_U64(struct summary, applied_index),
    WIRE_U64(struct summary, applied_term),
    WIRE_I64(struct summary, time),
    WIRE_BOOL(struct summary, is_founded),
    WIRE_FIXED(struct summary, cluster),
    WIRE_U64(struct summary, epoch),
    WIRE_U64(struct summary, level),
    WIRE_I64(struct summary, founding_time),
    WIRE_LIST(struct summary, founders, LIMIT_VOTERS, &entry_member_type),
    WIRE_LIST(struct summary, roots, LIMIT_REFERENCE_VALUES, &entry_digest_type),
    WIRE_U64(struct summary, member_count),
    WIRE_FIXED(struct summary, members),
    WIRE_LIST(struct summary, windows, LIMIT_MEMBERS, &core__window_type),
    WIRE_U64(struct summary, generation),
    WIRE_FIXED(struct summary, records),
    WIRE_U64(struct summary, recovery_count),
    WIRE_FIXED(struct summary, recoveries),
    WIRE_BOOL(struct summary, is_checkpoint),
    WIRE_BYTES(struct summary, root_key, ENTRY_KEY),
    WIRE_BYTES(struct summary, mesh_key, ENTRY_KEY),
    WIRE_BYTES(struct summary, workload_secret, ENTRY_SECRET),
    WIRE_U64(struct summary, blob_count),
    WIRE_FIXED(struct summary, blobs),
    WIRE_U64(struct summary, ledger_size),
    WIRE_FIXED(struct summary, ledger_root),
    WIRE_U64(struct summary, issued),
    WIRE_U64(struct summary, vek_count),
    WIRE_FIXED(struct summary, veks),
    WIRE_U64(struct summary, crl_count),
    WIRE_FIXED(struct summary, crls),
    WIRE_LIST(struct summary, leases, LIMIT_KDS_LEASES, &core__lease_type),
    WIRE_U64(struct summary, kds_taken),
    WIRE_U64(struct summary, kds_since_ms),
};
static const struct wire_type summary_type = WIRE_TYPE(struct summary, summary_fields);

static void add_history(const struct core *c, struct summary *s) {
    const struct core_history *h = c->history;
    s->generation = h->count;
    if (h->count > 0) {
        memcpy(s->records, h->chain[h->count - 1], sizeof s->records);
    }
    s->recovery_count = h->recovery_count;
    memcpy(s->recoveries, h->recovery_chain, sizeof s->recoveries);
}

static void add_digests(const struct core *c, struct summary *s) {
    fill(c);
    s->member_count = c->member_count;
    memcpy(s->members, c->digests->members, sizeof s->members);
    s->blob_count = c->blob_count;
    memcpy(s->blobs, c->digests->blobs, sizeof s->blobs);
    s->vek_count = c->vek_count;
    memcpy(s->veks, c->digests->veks, sizeof s->veks);
    s->crl_count = c->crl_count;
    memcpy(s->crls, c->digests->crls, sizeof s->crls);
    s->ledger_size = merkle_log_size(&c->ledger);
    merkle_log_root(&c->ledger, s->ledger_root);
}

void core_state_hash(const struct core *c, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core_ca ca = core_ca(c);
    struct summary s = {
        .applied_index = c->applied_index,
        .applied_term = c->applied_term,
        .time = c->time,
        .is_founded = c->is_founded,
        .epoch = c->epoch,
        .level = c->level,
        .founding_time = c->founding_time,
        .founders = core__list(c->founders, c->founder_count),
        .roots = core__list(c->roots, c->root_count),
        .windows = core__list(c->windows, c->member_count),
        .is_checkpoint = c->is_checkpoint,
        .root_key = ca.root_key,
        .mesh_key = ca.mesh_key,
        .workload_secret = ca.workload_secret,
        .issued = c->issued,
        .leases = core__list(c->leases, c->lease_count),
        .kds_taken = c->kds.taken,
        .kds_since_ms = c->kds.since_ms,
    };
    memcpy(s.cluster, c->cluster, sizeof s.cluster);
    add_history(c, &s);
    add_digests(c, &s);
    wire_encode(&summary_type, &s, &bytes);
    sha256(buf_span(&bytes), out);
}
