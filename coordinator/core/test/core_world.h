/* World: a small deployment for tests of the core: three founders, an owner, four policies, and
 * builders for every command. Keys are bytes without meaning: applying does no public-key work.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_WORLD_H
#define CONTRAST_CORE_WORLD_H

#include "coordinator/core/core.h"

#define WORLD_FOUNDERS 3
#define WORLD_POLICIES 4 /* 0: coordinator, 1: second coordinator, 2 and 3: workloads */
#define WORLD_TIME INT64_C(1795000000)

#define WORLD_SHARE_OWNERS 3

/* core_state_hash after world_start with founders of version 1 and one COLLATERAL: the same
 * wherever and however the core is built. */
#define WORLD_LEVEL_1_HASH "e877443b2687a389658dbf34ff8ceacc3a4f614ee882d0f629e56690db49bee7"

enum world_key { WORLD_ROOT_KEY = 1, WORLD_MESH_KEY = 2, WORLD_SECRET = 3 };

struct world {
    struct arena arena; /* of everything below */
    struct core *core;
    struct buf log; /* every entry applied: size u32be, bytes */
    struct core_result result;
    struct entry_member founders[WORLD_FOUNDERS];
    struct span policies[WORLD_POLICIES];
    uint8_t hashes[WORLD_POLICIES][32];
    uint64_t index;    /* of the last entry */
    uint64_t sequence; /* of the first founder's last request */
    int64_t time;
    const char *more; /* further members of the manifests that world_set makes, or "" */
};

void world_init(struct world *w);
void world_deinit(struct world *w);

/* Byte `at` of the key material of `generation`; the test can look for it without holding it. */
uint8_t world_key_byte(enum world_key key, uint64_t generation, size_t at);

struct entry_member world_member(struct world *w, unsigned number, const char *name,
                                 unsigned policy);
struct entry_request world_request(struct world *w); /* the next of the first founder */

struct entry_found world_found(struct world *w);
struct entry_blob world_blob(struct world *w, unsigned policy);
/* What follows the head: a manifest naming the policies of `mask` (bit 0 = policy 0), told apart
 * by `number`. */
struct entry_set_manifest world_set(struct world *w, unsigned mask, unsigned number);
struct entry_admit world_admit(struct world *w, unsigned number, const char *name,
                               uint64_t replaces);
struct entry_retire world_retire(struct world *w, uint64_t id, enum entry_retire_reason reason);
struct entry_level world_level(struct world *w, uint64_t level);
struct entry_issue world_issue(struct world *w, size_t count, unsigned policy);
/* A VCEK of chip `chip` (from 1), told apart from others of it by `edition`. */
struct entry_collateral world_vek(struct world *w, unsigned chip, const char *edition);
struct entry_collateral world_crl(struct world *w, uint64_t number, const char *edition);
struct entry_collateral world_fetch(struct world *w, unsigned chip); /* 0: the list */
/* A manifest text; `owner` as in WorkloadOwnerKeyDigests, NULL = none; `more` members, or "". */
struct span world_manifest(struct world *w, unsigned mask, unsigned number, const char *owner,
                           const char *more);
struct span world_owner(void); /* SPKI */

/* From now on manifests name the first `count` share owners, `threshold` of them (0: not said), and
 * permit an automatic recovery. */
void world_share(struct world *w, unsigned count, unsigned threshold, bool automatic);
struct span world_share_owner(struct world *w, unsigned number); /* PKCS#1 DER */
/* The state becomes its own checkpoint. */
void world_checkpoint(struct world *w);
/* The recovery of the present state under the next epoch, signed by the first `signers` share
 * owners; the recipient is the first founder, or for other modes than SURVIVOR a new replica. */
struct entry_recover world_recover(struct world *w, enum recovery_mode mode, unsigned signers);

/* Encodes and applies; the result is in w->result. */
enum err_code world_apply(struct world *w, enum entry_type type, const void *body);
enum err_code world_apply_bytes(struct world *w, struct span entry);
/* FOUND, all policies, a first manifest with all of them. */
void world_start(struct world *w);

#endif
