/* Core: the replicated state machine. Command in, state and result out.
 *
 * Every replica applies the same entries in the same order and holds the same state: founding
 * record, manifest history, recoveries, CA material, policies, members, level, endorsements,
 * ledger, issue counter, time. Applying is total and deterministic: no I/O, no clock, no
 * randomness, no public-key work. An entry that is malformed or not allowed changes nothing but
 * `applied` (and the proposer's window of sequences) and says why in its result.
 *
 * Versions: an entry above the cluster's level is refused by everybody (DENIED), whether or not a
 * replica could read it. One that the level allows and this build does not know changes nothing at
 * all: FROZEN, must_freeze; and so does every entry after it, so that none is ever left out.
 *
 * Epochs: RECOVER is the only command that a checkpoint (core_load_checkpoint) takes, and no other
 * state takes it. So it is the first command of a new log.
 *
 *     core_apply(core, index, term, entry, &result);
 *     if (result.request.proposer == own_id) answer whoever waits for result.request.sequence
 *
 * What public keys must say was checked before: signatures of owners by the serving replica's
 * session thread and by every client; evidence by the leader and by each member for itself.
 *
 * One thread. Secrets lie in struct secret; core_save is the one way out for them, into a buf that
 * wipes itself, bound for another attested member.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_H
#define CONTRAST_CORE_H

#include "coordinator/core/entry.h"
#include "lib/base/bytes.h"
#include "lib/crypto/merkle.h"
#include "lib/manifest/manifest.h"
#include "lib/manifest/recovery.h"

struct core;
struct core_history; /* core_history.h */
struct core_active;  /* core_active.h */
struct core_keys;

struct core *core_new(void);    /* not founded, nothing applied */
void core_free(struct core *c); /* wipes; accepts NULL */

/* --- Applying */

struct core_issued {
    enum err_code code; /* OK, NOT_FOUND (policy not in the manifest) or INVALID (validity, key) */
    uint64_t index;     /* issue index, from 1; 0 unless OK */
    uint8_t serial[ENTRY_SERIAL_SIZE];
    uint64_t validity_s; /* granted: default put in */
};

struct core_result {
    uint64_t index; /* of the log */
    bool decoded;   /* type and request below are known */
    enum entry_type type;
    struct entry_request request;
    enum err_code code; /* OK = applied, or known to be applied */
    char text[ERR_TEXT_SIZE];
    bool duplicate;      /* this request was applied before: `code` is that of the first time, the
                            fields below are empty */
    bool already;        /* SET_MANIFEST: the head is this very manifest, nothing changed;
                            COLLATERAL: these very bytes, or for FETCH any, are there */
    uint64_t generation; /* after the entry */
    uint8_t transition[32]; /* head after the entry */
    int64_t time;           /* entry time: never goes back */
    size_t issued_count;    /* ISSUE: one per request, in order */
    struct core_issued issued[LIMIT_ISSUE_BATCH];
    bool crls_changed; /* COLLATERAL: core_crls are others than before */
    uint64_t wait_ms;  /* COLLATERAL, kind FETCH, refused by BUSY or EXISTS, and whatever else a
                          limit refuses with BUSY: ask again then */
    bool must_freeze;  /* with code FROZEN: nothing changed, `applied` included */
};

/* `index` rises from call to call (gaps are the log's own entries): else the driver is broken,
 * CHECK. Codes: MALFORMED and TOO_LARGE (bytes), NOT_FOUNDED, FOUNDED, CHANGED, STALE_GENERATION,
 * MANIFEST, DENIED, SIGNATURE, NOT_FOUND, EXISTS, INVALID, BUSY (state is at a limit),
 * TOO_LARGE (the history is full), FROZEN (above), CANCELED (request older than the window of
 * remembered ones). */
void core_apply(struct core *c, uint64_t index, uint64_t term, struct span entry,
                struct core_result *out);

/* --- Reading. What is returned belongs to the core and lives until the next core_apply. */

uint64_t core_applied_index(const struct core *c); /* 0 = nothing */
uint64_t core_applied_term(const struct core *c);
/* Unix seconds, 0 before founding. The newest time that an entry brought: nothing in here guards it
 * from above, a leader refuses proposals that run ahead of its clock. */
int64_t core_time(const struct core *c);
/* The version of entries up to which the cluster uses them: first the least of the founders',
 * later what LEVEL raised it to. 0 before founding. */
uint64_t core_level(const struct core *c);
/* Whether entries of this type may be proposed: the level allows them, and this build knows them.
 */
bool core_uses(const struct core *c, enum entry_type type);
/* A checkpoint: whole but for the mesh CA key, waits for RECOVER. */
bool core_is_checkpoint(const struct core *c);

bool core_is_founded(const struct core *c);
const uint8_t *core_cluster(const struct core *c); /* 32 bytes, zero before founding */
uint64_t core_epoch(const struct core *c);         /* 1, later the last recovery's */
int64_t core_founding_time(const struct core *c);
/* The founder list as the cluster id hashes it, by rising id, without evidence. */
const struct entry_member *core_founders(const struct core *c, size_t *count);
const struct entry_digest *core_simulated_roots(const struct core *c, size_t *count);

/* One generation of the history. */
struct core_record {
    uint64_t generation;  /* 1, 2, ... */
    uint64_t index;       /* of the log */
    int64_t time;         /* unix seconds */
    struct span manifest; /* exact bytes */
    struct span signer;   /* SPKI */
    struct span signature;
    uint8_t transition[32];
    struct span mesh_cert;    /* PEM */
    struct span intermediate; /* PEM */
    struct span root_cert;    /* PEM, valid at that generation */
};

uint64_t core_generation(const struct core *c); /* 0 = no manifest */
const uint8_t *core_head(const struct core *c); /* transition, 32 bytes, zero without one */
const struct manifest *core_manifest(const struct core *c); /* newest; NULL without one */
const struct core_record *core_records(const struct core *c, size_t *count); /* oldest first */
/* The policy with this hash: data NULL when there is none. */
struct span core_blob(const struct core *c, const uint8_t hash[32]);

/* Key material and certificates in force; sizes 0 without a manifest. */
struct core_ca {
    struct span root_key;        /* secret, PKCS#8 DER */
    struct span root_cert;       /* PEM */
    struct span mesh_key;        /* secret, PKCS#8 DER */
    struct span mesh_cert;       /* PEM */
    struct span intermediate;    /* PEM */
    struct span workload_secret; /* secret, 32 bytes */
};
struct core_ca core_ca(const struct core *c);

/* A recovery, and who signed it. */
struct core_recovery {
    struct recovery recovery;
    const struct recovery_signature *signatures; /* as in the entry; none when automatic */
    size_t signature_count;
    uint64_t index; /* of the log */
    int64_t time;   /* unix seconds */
};

/* By rising epoch, at most LIMIT_EPOCHS. Generation n was set in the epoch of the last recovery
 * whose generation is below n, or in 1. */
const struct core_recovery *core_recoveries(const struct core *c, size_t *count);

enum core_member_state { CORE_MEMBER = 1, CORE_LEAVING = 2 };

struct core_member {
    struct entry_member member;
    uint64_t admitted_index; /* of the log */
    uint8_t state;           /* enum core_member_state */
};

const struct core_member *core_members(const struct core *c, size_t *count);   /* by rising id */
const struct core_member *core_find_member(const struct core *c, uint64_t id); /* or NULL */

const struct merkle_log *core_ledger(const struct core *c);
uint64_t core_issue_count(const struct core *c);

/* A VCEK as it was stored. */
struct core_vek {
    struct entry_endorsement key;
    struct span der;
    struct span authority; /* ASK and ARK, DER; empty below AMD's own roots */
    struct span root;
};

/* A revocation list. Of one product, signing key and root there may be several: a list gives way
 * only to one that is no older, by number and by date, and revokes all that it revokes. */
struct core_crl {
    struct entry_endorsement key;
    uint8_t anchor[32]; /* SHA-256 of the root's SubjectPublicKeyInfo */
    struct span der;
    uint64_t number;
    int64_t this_update; /* unix seconds, as all below */
    int64_t next_update;
    int64_t seen; /* entry time at which it was last stored, also again */
};

/* NULL when none is known. Replicas propose only what they verified; who uses it verifies again. */
const struct core_vek *core_find_vek(const struct core *c, const struct entry_endorsement *key);
const struct core_vek *core_veks(const struct core *c, size_t *count); /* oldest first */
const struct core_crl *core_crls(const struct core *c, size_t *count); /* by key and root */
/* Whether `old` is not needed beside `by`: of the same key and root, no newer by number nor by
 * date, and what it revokes `by` revokes, too. So no list can hide another one's revocation, also
 * where AMD numbers VCEK and VLEK lists apart and a service gives one for the other. */
bool core_crl_outdates(const struct core_crl *by, const struct core_crl *old);

/* --- Divergence alarm and snapshots */

/* SHA-256 over the whole state, part by part: two states have the same one exactly when core_save
 * writes the same bytes for them. Large parts (history, policies, ledger, certificates) enter by
 * digests that are kept as they change, so this costs well below a millisecond however large the
 * state is. Not for publication: members compare it among themselves. */
void core_state_hash(const struct core *c, uint8_t out[32]);

/* Appends the whole state; canonical: equal states give equal bytes. SECRET bytes. */
void core_save(const struct core *c, struct buf *out);

/* A new core from core_save's bytes. Everything is bounded and checked against itself (hash chain,
 * blobs, ids, order): MALFORMED, TOO_LARGE or MANIFEST says what. Signatures are the joiner's to
 * check, with transition_verify_chain. */
RESULT core_load(struct span bytes, struct core **out, struct err *err);

/* As core_save, but without the mesh CA key: what is sealed for share owners, and what the state
 * of a survivor goes through before it is recovered. SECRET bytes all the same. There is a
 * manifest. */
void core_save_checkpoint(const struct core *c, struct buf *out);
/* As core_load, for core_save_checkpoint's bytes alone (INVALID for another state's). The new core
 * refuses every command but RECOVER with INVALID. core_load takes them, too: a joiner may get the
 * state from which its cluster was recovered, and the RECOVER entry behind it. */
RESULT core_load_checkpoint(struct span bytes, struct core **out, struct err *err);

/* A second core of the same state. What never changes (manifests, policies, certificates) is
 * shared by reference, so this costs about what the ledger and the members' rows do. */
struct core *core_copy(const struct core *c);

/* What a view needs of the state, as a counted object that does not change any more: one reference
 * more, to be let go of from any thread. NULL without a manifest, but for the history. */
struct core_history *core_share_history(const struct core *c);
struct core_active *core_share_active(const struct core *c);
struct core_keys *core_share_keys(const struct core *c);

#endif
