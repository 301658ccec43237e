/* Core state: what core.h hides, shared by core.c (memory, reading), core_apply.c and
 * core_snapshot.c. Every pointer in here is owned by the core unless said otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_STATE_H
#define CONTRAST_CORE_STATE_H

#include "coordinator/core/core.h"
#include "coordinator/core/core_active.h"
#include "coordinator/core/core_history.h"
#include "lib/base/bucket.h"
#include "lib/base/secret.h"

#define CORE_EPOCH 1 /* until the first recovery */
/* Whoever asks for certificates must not take the room of manifests and members, nor members that
 * come and go that of manifests. Each limit leaves what the kinds of entries after it can need. */
#define CORE_LEDGER_ISSUE (LIMIT_LEDGER / 5 * 4)
#define CORE_LEDGER_ADMIT (CORE_LEDGER_RETIRE - 2 * LIMIT_MEMBERS) /* each leaves, and goes */
#define CORE_LEDGER_RETIRE (LIMIT_LEDGER - LIMIT_HISTORY - LIMIT_EPOCHS - UINT8_MAX)
#define CORE_LEDGER_ALL LIMIT_LEDGER /* manifests, recoveries, levels */

#define CORE_FULL_MS 60000  /* advice where the state is full: somebody has to make room first */
#define CORE_SLOT_FREE 0xff /* no request with this sequence was applied */

/* A policy document. */
struct core__blob {
    uint8_t hash[32];
    struct span data;         /* into bytes */
    bool is_named;            /* a manifest of the history names it; derived */
    struct core_bytes *bytes; /* a reference */
};

/* The requests of one member that were applied: slot = sequence % LIMIT_REQUEST_WINDOW holds the
 * wire number of the code, for the sequences highest - LIMIT_REQUEST_WINDOW + 1 .. highest. */
struct core__window {
    uint64_t highest; /* sequence */
    uint8_t codes[LIMIT_REQUEST_WINDOW];
};

/* A permission to ask AMD's key service. */
struct core__lease {
    struct entry_endorsement key;
    uint64_t proposer;
    int64_t until; /* entry time */
};

struct core {
    uint64_t applied_index;
    uint64_t applied_term;
    int64_t time;

    bool is_founded;
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t level; /* of entry versions */
    int64_t founding_time;
    struct entry_member founders[LIMIT_VOTERS]; /* without evidence */
    size_t founder_count;
    struct entry_digest roots[LIMIT_REFERENCE_VALUES];
    size_t root_count;

    struct core_member members[LIMIT_MEMBERS];  /* by rising id */
    struct core__window windows[LIMIT_MEMBERS]; /* windows[i] belongs to members[i] */
    size_t member_count;

    struct core_history *history; /* a reference, as the two below */
    struct core_active *active;   /* of the newest generation; NULL without a manifest */
    struct core_keys *keys;       /* NULL without a manifest */
    bool is_checkpoint;
    bool is_frozen; /* nothing is applied any more; of this process, no part of the state */

    struct core__blob *blobs; /* by rising hash */
    size_t blob_count;
    size_t blob_capacity;
    size_t blob_size; /* bytes of all */

    struct core_vek *veks; /* LIMIT_COLLATERAL_VEKS rows, NULL before the first; oldest first */
    size_t vek_count;
    struct core_crl crls[LIMIT_COLLATERAL_CRLS]; /* by rising key and anchor */
    size_t crl_count;
    struct core__lease leases[LIMIT_KDS_LEASES]; /* oldest first */
    size_t lease_count;
    struct bucket kds; /* on entry time, in ms */

    struct merkle_log ledger;
    uint64_t issued;

    struct core__digests *digests;
};

/* Digests of parts of the state that are large and seldom change: what changes one of them forgets
 * it, core_state_hash fills it in again. Behind a pointer: who only reads may fill in. */
struct core__digests {
    bool has_members, has_blobs, has_veks, has_crls;
    uint8_t members[32], blobs[32], veks[32], crls[32];
};

/* Copies of borrowed bytes on the heap. */
struct span core__dup(struct span s);
void core__free_span(struct span *s);
struct entry_member core__dup_member(const struct entry_member *m, bool with_evidence);
void core__free_member(struct entry_member *m);

/* Index of the member, or of where it belongs; *found says which. */
size_t core__member_index(const struct core *c, uint64_t id, bool *found);
/* Takes `row` over. The table has room and not this id. */
void core__add_member(struct core *c, const struct core_member *row);
void core__remove_member(struct core *c, size_t index);
void core__leave_member(struct core *c, size_t index);

size_t core__blob_index(const struct core *c, const uint8_t hash[32], bool *found);
/* Copies the policy. It is not there yet. */
void core__add_blob(struct core *c, const uint8_t hash[32], struct span policy);
/* The manifest, which is taken over, becomes the active one; its policies are there, and count as
 * named by the history. */
void core__activate(struct core *c, struct manifest *m);
/* Drops every blob that no manifest of the history names. */
void core__drop_blobs(struct core *c);

/* A new mesh CA key, and its certificates in the newest record. */
void core__renew_mesh(struct core *c, struct span key, struct span mesh_cert,
                      struct span intermediate);
/* Empty keys but the mesh key stay as they are. */
void core__set_keys(struct core *c, struct span root_key, struct span mesh_key,
                    struct span workload_secret);

/* --- Endorsements (core_collateral.c) */

RESULT core__apply_collateral(struct core *c, const struct entry_collateral *e,
                              struct core_result *out, struct err *err);
void core__free_collateral(struct core *c);
/* `to` is a plain copy of `c`: gives it rows of its own. */
void core__copy_collateral(struct core *to, const struct core *c);
/* For loading: each row is checked, copied and put where the saved state had it. MALFORMED. */
RESULT core__load_vek(struct core *c, const struct core_vek *row, struct err *err);
RESULT core__load_crl(struct core *c, const struct core_crl *row, struct err *err);
RESULT core__load_lease(struct core *c, const struct core__lease *row, struct err *err);
RESULT core__load_kds(struct core *c, uint64_t taken, uint64_t since_ms, struct err *err);

/* --- Levels and epochs (core_epoch.c) */

RESULT core__apply_level(struct core *c, const struct entry *e, struct core_result *out,
                         struct err *err);
RESULT core__apply_recover(struct core *c, const struct entry *e, struct core_result *out,
                           struct err *err);
/* The next recovery after those of `c`, at its head: epochs, owners who signed, their number. */
RESULT core__check_recovery(const struct core *c, const struct core_recovery *r, struct err *err);
/* Copies what `r` points to; the epoch is the recovery's. */
void core__add_recovery(struct core *c, const struct core_recovery *r);
/* For loading: behind the record of its generation, with the ledger whole. MALFORMED too. */
RESULT core__load_recovery(struct core *c, const struct core_recovery *r, struct err *err);

/* --- Messages of a snapshot and digests of its parts (core_snapshot.c, core_digest.c) */

/* struct core_recovery, as one message. */
struct core__recovery_row {
    struct core_recovery r;
    struct wire_list signatures; /* struct recovery_signature */
};

extern const struct wire_type core__member_type;   /* struct core_member */
extern const struct wire_type core__window_type;   /* struct core__window */
extern const struct wire_type core__record_type;   /* struct core_record */
extern const struct wire_type core__recovery_type; /* struct core__recovery_row */
extern const struct wire_type core__vek_type;      /* struct core_vek */
extern const struct wire_type core__crl_type;      /* struct core_crl */
extern const struct wire_type core__lease_type;    /* struct core__lease */

/* A list for the encoder, which only reads. */
struct wire_list core__list(const void *items, size_t count);

/* out = SHA-256( before || the message ); `out` may be `before`. Of a record, the manifest enters
 * through the transition, which hashes it. */
void core__chain_record(const uint8_t before[32], const struct core_record *r, uint8_t out[32]);
void core__chain_recovery(uint8_t chain[32], const struct core_recovery *r);

/* --- Rules that applying and loading share */

/* BUSY when the ledger has `limit` leaves or more. */
RESULT core__check_room(const struct core *c, size_t limit, struct err *err);
/* One leaf for this entry. */
void core__record_leaf(struct core *c, const struct entry *e, uint64_t index);

/* Never back. The leader keeps its proposals from running ahead of the voters' clocks. */
void core__advance(struct core *c, int64_t time);
RESULT core__check_time(int64_t time, struct err *err);

/* Founders: 1, 3 or 5, checked each, rising ids, names used once. */
RESULT core__check_founders(const struct entry_member *founders, size_t count, struct err *err);
RESULT core__check_digests(const struct entry_digest *digests, size_t count, struct err *err);
/* The next record after those of `c`: owners, simulated roots, policies, share owners, size. `m` is
 * the record's parsed manifest; its transition is computed into `transition`. */
RESULT core__check_next(const struct core *c, const struct core_record *r, const struct manifest *m,
                        uint8_t transition[32], struct err *err);
/* SIGNATURE unless `authority`, the manifest of `generation`, names the signer as an owner. */
RESULT core__check_owner(const struct manifest *authority, uint64_t generation, struct span signer,
                         struct span signature, struct err *err);
/* The highest version that all of them know; count > 0. */
uint64_t core__least_version(const struct entry_member *members, size_t count);
/* DENIED with both numbers when the member does not know what the cluster uses. */
RESULT core__check_version(const struct core *c, const struct entry_member *m, struct err *err);
/* DENIED with the names of members whose host data lacks role coordinator in `m`. */
RESULT core__check_members(const struct core *c, const struct manifest *m, struct err *err);

#endif
