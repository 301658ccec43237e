/* Statements: what an attester says about itself under its report.
 *
 *   workload   the public key to be certified
 *   replica    which cluster and epoch, who it is, how far its log and ledger are, which manifest
 *              and CA certificates it serves, and whether a quorum confirmed it after the nonce
 *
 * A statement is signed only through a leaf (leaf.h): its bytes count, so they travel as encoded
 * and are decoded by whoever verified them. A replica's id is the first 63 bits of SHA-256 of its
 * public key; decoding refuses any other.
 *
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_STATEMENT_H
#define CONTRAST_STATEMENT_H

#include "attest/leaf.h"
#include "lib/wire/wire.h"

struct workload_statement {
    struct span public_key; /* DER SubjectPublicKeyInfo, to be certified */
};

/* The numbers are on the wire. docs/ARCHITECTURE.md, "States of a replica", has the edges. */
enum replica_state {
    REPLICA_EMPTY = 0,      /* belongs to no cluster */
    REPLICA_PREPARED = 1,   /* offered itself as a founder */
    REPLICA_JOINING = 2,    /* admitted, in no configuration yet */
    REPLICA_VOTER = 3,      /* caught up, votes */
    REPLICA_LEAVING = 4,    /* asked to go */
    REPLICA_FROZEN = 5,     /* neither votes nor applies; keeps memory */
    REPLICA_FOUNDER = 6,    /* started, no manifest is committed yet */
    REPLICA_LEARNER = 7,    /* in the configuration, catching up */
    REPLICA_STANDBY = 8,    /* caught up, takes over when a voter goes */
    REPLICA_RECOVERING = 9, /* begins a new epoch */
    REPLICA_GONE = 10,      /* its life is over: the process ends */
    REPLICA_STATE_COUNT,
};
const char *replica_state_name(enum replica_state state); /* "empty", ... */
/* It holds a log of the cluster and takes part. */
static inline bool replica_state_is_member(enum replica_state s) {
    return s == REPLICA_FOUNDER || s == REPLICA_LEARNER || s == REPLICA_VOTER ||
           s == REPLICA_STANDBY || s == REPLICA_LEAVING;
}

struct replica_statement {
    uint8_t cluster[32]; /* zero before it belongs to one, as everything below but id and key */
    uint64_t epoch;
    uint64_t replica_id;
    struct span public_key; /* DER SubjectPublicKeyInfo: the replica's identity */
    uint64_t term;
    uint64_t commit_index;
    uint64_t ledger_size; /* leaves */
    uint8_t ledger_root[48];
    uint8_t head[32]; /* newest transition */
    uint64_t generation;
    uint8_t root_ca_digest[48]; /* SHA-384 of the PEM bytes */
    uint8_t mesh_ca_digest[48];
    uint8_t state; /* enum replica_state */
    bool has_confirmed;
    uint64_t confirmed_index; /* 0 unless has_confirmed: commit index of a quorum round that began
                                 after the nonce arrived */
};

extern const struct wire_type workload_statement_type;
extern const struct wire_type replica_statement_type;

/* First 63 bits of SHA-256 of the DER SubjectPublicKeyInfo, big-endian; 1 where that is 0. */
uint64_t statement_replica_id(struct span public_key);

/* MALFORMED: not the message, not one valid public key, or (replica) an id that is not the key's,
 * an unknown state, a confirmed index without has_confirmed or above commit_index. What *out points
 * to lies in the arena. */
RESULT workload_statement_decode(struct span bytes, struct arena *arena,
                                 struct workload_statement *out, struct err *err);
RESULT replica_statement_decode(struct span bytes, struct arena *arena,
                                struct replica_statement *out, struct err *err);

/* A statement of either kind. */
struct statement {
    enum attest_kind kind;
    union {
        struct workload_statement workload;
        struct replica_statement replica;
    };
};
RESULT statement_decode(enum attest_kind kind, struct span bytes, struct arena *arena,
                        struct statement *out, struct err *err);
/* The public key that it names; borrowed. */
struct span statement_public_key(const struct statement *s);

#endif
