/* Revival: see revival.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/revival.h"

#include <inttypes.h>
#include <string.h>

#include "lib/crypto/digest.h"
#include "meshca/ca.h"

void revival_position(const struct core *state, struct recovery *r) {
    memcpy(r->cluster, core_cluster(state), sizeof r->cluster);
    r->previous_epoch = core_epoch(state);
    r->generation = core_generation(state);
    memcpy(r->head, core_head(state), sizeof r->head);
    r->index = core_applied_index(state);
    r->ledger_size = merkle_log_size(core_ledger(state));
    merkle_log_root(core_ledger(state), r->ledger_root);
}

static RESULT check_position(const struct recovery *want, const struct core *state,
                             struct err *err) {
    struct recovery is = *want;
    revival_position(state, &is);
    ENSURE(memcmp(is.cluster, want->cluster, sizeof is.cluster) == 0, err, DENIED,
           "the state is of another deployment than its header says");
    ENSURE(is.previous_epoch == want->previous_epoch, err, DENIED,
           "the state is of epoch %" PRIu64 ", its header says %" PRIu64, is.previous_epoch,
           want->previous_epoch);
    ENSURE(is.generation == want->generation && memcmp(is.head, want->head, sizeof is.head) == 0,
           err, DENIED,
           "the state ends in another transition than its header says (generation %" PRIu64
           ", header %" PRIu64 ")",
           is.generation, want->generation);
    ENSURE(is.index == want->index, err, DENIED,
           "the state stands at entry %" PRIu64 ", its header says %" PRIu64, is.index,
           want->index);
    ENSURE(is.ledger_size == want->ledger_size &&
               memcmp(is.ledger_root, want->ledger_root, sizeof is.ledger_root) == 0,
           err, DENIED,
           "the state's ledger (%" PRIu64 " leaves) is not the one that its header names",
           is.ledger_size);
    ENSURE(want->epoch > is.previous_epoch, err, DENIED,
           "epoch %" PRIu64 " is not above %" PRIu64 ", the state's own", want->epoch,
           is.previous_epoch);
    return OK;
}

static bool is_share_owner(const struct revival *in, struct span key) {
    uint8_t digest[32];
    sha256(key, digest);
    for (size_t i = 0; i < in->share_owner_count; i++) {
        if (memcmp(in->share_owners[i], digest, sizeof digest) == 0) {
            return true;
        }
    }
    return false;
}

/* Whoever makes a file may encrypt its key for anybody: only the manifest inside says who owns. */
static RESULT check_share_owners(const struct revival *in, const struct manifest *m,
                                 struct err *err) {
    if (in->recovery->mode == RECOVERY_AUTOMATIC) {
        return OK; /* the shares are the voters'; recovery_verify asks what the manifest permits */
    }
    ENSURE(m->share_owner_count > 0, err, DENIED,
           "the state's manifest names no share owners: nobody may recover it");
    ENSURE(m->share_threshold == in->threshold, err, DENIED,
           "%" PRIu64 " share owners were asked for, the state's manifest demands %zu",
           in->threshold, m->share_threshold);
    ENSURE(m->share_owner_count == in->share_owner_count, err, DENIED,
           "the file names %zu share owners, the state's manifest %zu", in->share_owner_count,
           m->share_owner_count);
    for (size_t i = 0; i < m->share_owner_count; i++) {
        ENSURE(is_share_owner(in, m->share_owners[i]), err, DENIED,
               "share owner %zu of the state's manifest is not among those of the file", i + 1);
    }
    return OK;
}

/* Signed history is public, and so are the owners' keys: whoever has both makes up a state with
 * secrets of their own. What cannot be made up is the key of the root CA that owners verified. */
static RESULT check_root(const struct revival *in, const struct core *state, struct err *err) {
    uint8_t digest[SHA384_SIZE];
    sha384(core_ca(state).root_cert, digest);
    ENSURE(in->root_ca == NULL || memcmp(in->root_ca, digest, sizeof digest) == 0, err, DENIED,
           "the state has another root CA than its header says");
    return OK;
}

static void fill_history(const struct core *state, struct arena *arena,
                         struct transition_history *out) {
    const struct core_record *records = core_records(state, &out->count);
    const struct core_recovery *recoveries = core_recoveries(state, &out->recovery_count);
    struct transition_record *to = arena_alloc(arena, (out->count + 1) * sizeof *to);
    struct transition_recovery *also = arena_alloc(arena, (out->recovery_count + 1) * sizeof *also);
    for (size_t i = 0; i < out->count; i++) {
        to[i] = (struct transition_record){records[i].manifest, records[i].signer,
                                           records[i].signature};
    }
    for (size_t i = 0; i < out->recovery_count; i++) {
        also[i] = (struct transition_recovery){recoveries[i].recovery, recoveries[i].signatures,
                                               recoveries[i].signature_count};
    }
    memcpy(out->cluster, core_cluster(state), sizeof out->cluster);
    out->records = to;
    out->recoveries = also;
}

static RESULT check_history(const struct revival *in, const struct core *state, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct transition_history history;
    union {
        const uint8_t (*in)[32];
        uint8_t (*out)[32];
    } digests = {in->owner_digests};
    struct manifest trusted = {.owner_digests = digests.out, .owner_count = in->owner_count};
    struct manifest latest = {0};
    uint8_t head[32];
    uint64_t epoch = 0;
    fill_history(state, &arena, &history);
    struct result r = transition_verify_chain(&history, &trusted, &latest, head, &epoch, err);
    manifest_deinit(&latest);
    TRY(err_wrap(r, err,
                 "the state's history, from the owners that this replica's environment names "
                 "(CONTRAST_OWNER_KEY_DIGESTS)"));
    ENSURE(memcmp(head, core_head(state), sizeof head) == 0 && epoch == core_epoch(state), err,
           DENIED, "the state's history ends elsewhere than the state");
    return OK;
}

struct result revival_check(const struct revival *in, const struct core *state, struct err *err) {
    const struct manifest *manifest = core_manifest(state);
    uint8_t recipient[32];
    sha256(in->spki, recipient);
    ENSURE(memcmp(in->recovery->recipient, recipient, sizeof recipient) == 0, err, DENIED,
           "the recovery is for another replica's key");
    ENSURE(manifest != NULL, err, DENIED, "the state has no manifest: there is nothing to recover");
    TRY(check_position(in->recovery, state, err));
    TRY(check_share_owners(in, manifest, err));
    TRY(check_root(in, state, err));
    TRY(check_history(in, state, err));
    return recovery_verify(in->recovery, in->signatures, in->signature_count, manifest, err);
}

static RESULT make_mesh(const struct core *state, const struct host *host, int64_t now,
                        struct ca_mesh *out, struct err *err) {
    struct core_ca ca = core_ca(state);
    struct ca_root root = {0};
    TRY(err_wrap(ca_root_load(ca.root_key, ca.root_cert, &root, err), err, "the state's root CA"));
    struct result r = ca_generate_mesh(host, &root, now, out, err);
    ca_root_deinit(&root);
    return r;
}

static void fill_entry(const struct revival *in, const struct entry_member *self,
                       struct recovery_signature *signatures, struct entry_recover *e) {
    const struct recovery *r = in->recovery;
    *e = (struct entry_recover){
        .epoch = r->epoch,
        .previous_epoch = r->previous_epoch,
        .mode = r->mode,
        .generation = r->generation,
        .index = r->index,
        .ledger_size = r->ledger_size,
        .recipient = *self,
        .signatures = {in->signature_count == 0 ? NULL : signatures, in->signature_count},
    };
    memcpy(e->head, r->head, sizeof e->head);
    memcpy(e->ledger_root, r->ledger_root, sizeof e->ledger_root);
}

struct result revival_encode(const struct revival *in, const struct core *state,
                             const struct entry_member *self, const struct host *host, int64_t now,
                             struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf key = {0};
    AUTO(ca_mesh_deinit)
    struct ca_mesh mesh = {0};
    struct recovery_signature signatures[LIMIT_SHARE_OWNERS];
    struct entry_recover e;
    ENSURE(in->signature_count <= LIMIT_SHARE_OWNERS, err, TOO_LARGE, "%zu signatures",
           in->signature_count);
    now = core_time(state) > now ? core_time(state) : now;
    TRY(make_mesh(state, host, now, &mesh, err));
    key_private_der(&mesh.key, &key);
    memcpy(signatures, in->signatures, in->signature_count * sizeof signatures[0]);
    fill_entry(in, self, signatures, &e);
    e.mesh_key = buf_span(&key);
    e.mesh_cert = buf_span(&mesh.mesh_cert);
    e.intermediate = buf_span(&mesh.intermediate);
    e.time = now;
    entry_encode(ENTRY_RECOVER, &e, out);
    return OK;
}
