/* Entries: the commands of the replicated log, and what is derived from them by hashing alone.
 *
 *   0: u8 type    1: u8 version, of the type    2: the body, a wire message (lib/wire)
 *
 * A build knows the types up to its `entry_version`: a member announces it, a cluster uses a type
 * only at a level that every member knows (LEVEL). What is above entry_version ends in FROZEN.
 *
 * A replica id is the first 63 bits of SHA-256 of its SubjectPublicKeyInfo, read big-endian.
 *
 *   cluster id = SHA-256( "contrast-cluster-v1\0" || founder count u32be
 *                         || for each founder, by rising id:
 *                            id u64be || size u32be, name || size u32be, address
 *                            || size u32be, SPKI )
 *   serial     = first 16 bytes of SHA-256( "contrast-serial-v1\0" || cluster id || epoch u64be
 *                                           || issue index u64be ), top bit cleared; were they
 *                all zero, the last would be 1
 *   leaf data  = type u8 || version u8 || log index u64be
 *                || SHA-384( body re-encoded with every secret field empty )
 *
 * Decoding is total and strict: MALFORMED or TOO_LARGE names the field. Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENTRY_H
#define CONTRAST_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/manifest/recovery.h"
#include "lib/wire/wire.h"

#define ENTRY_HEADER_SIZE 2
#define ENTRY_LEAF_SIZE (2 + 8 + 48)
#define ENTRY_SERIAL_SIZE 16
#define ENTRY_EVIDENCE (LIMIT_EVIDENCE + LIMIT_CRL) /* evidence with its endorsements */
#define ENTRY_KEY 512                               /* bytes of a PKCS#8 EC key */
#define ENTRY_SECRET 32
#define ENTRY_TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z, RFC 5280 section 4.1.2.5 */

enum entry_type {
    ENTRY_FOUND = 1,
    ENTRY_BLOB = 2,
    ENTRY_SET_MANIFEST = 3,
    ENTRY_ADMIT = 4,
    ENTRY_RETIRE = 5,
    ENTRY_ISSUE = 6,
    ENTRY_COLLATERAL = 7, /* version 2 */
    ENTRY_LEVEL = 8,
    /* 9 is kept for COSIGN */
    ENTRY_RECOVER = 10,
};

/* The highest version of an entry that this build knows, from 1. */
extern const uint64_t entry_version;
uint8_t entry_version_of(enum entry_type type); /* of this build's types; 0: not known */

/* Who proposed: lets the proposer match results, and lets apply drop a second submission.
 * Sequences of one proposer rise from 1; FOUND and RECOVER have {0, 0}. */
struct entry_request {
    uint64_t proposer; /* replica id */
    uint64_t sequence;
};

/* A replica as FOUND and ADMIT introduce it. */
struct entry_member {
    uint64_t id;           /* entry_replica_id(spki) */
    char *name;            /* pod name, 1..LIMIT_NAME */
    char *address;         /* host:port of its Raft listener */
    char *user_address;    /* host:port of its user API, "" = not known */
    struct span spki;      /* DER */
    uint8_t host_data[32]; /* HOST_DATA of its evidence = policy hash */
    struct span evidence;  /* an encoded evidence message with endorsements */
    uint64_t version;      /* the highest entry version that it knows, as it says itself; from 1 */
};

struct entry_digest {
    uint8_t digest[32];
};

/* First entry on every founder, identical bytes everywhere. */
struct entry_found {
    struct entry_request request;     /* {0, 0} */
    struct wire_list founders;        /* struct entry_member, 1, 3 or 5, by rising id */
    uint8_t cluster[32];              /* entry_cluster_id of the founders */
    int64_t time;                     /* unix seconds */
    struct wire_list simulated_roots; /* struct entry_digest: SHA-256 of the SPKI of every
                                         simulated root that may ever be trusted; rising */
};

struct entry_blob {
    struct entry_request request;
    uint8_t hash[32]; /* SHA-256 of policy */
    struct span policy;
};

struct entry_set_manifest {
    struct entry_request request;
    struct span manifest; /* exact bytes */
    uint8_t previous[32]; /* transition expected at the head; zero for the first */
    uint64_t generation;  /* expected: head's + 1 */
    struct span signer;   /* SPKI of the owner who signed */
    struct span signature;
    struct span mesh_key;        /* secret: PKCS#8 DER */
    struct span mesh_cert;       /* PEM */
    struct span intermediate;    /* PEM */
    struct span root_key;        /* secret: PKCS#8 DER; empty = keep the root */
    struct span root_cert;       /* PEM; empty exactly when root_key is */
    struct span workload_secret; /* secret: 32 bytes in the first set, empty later */
    int64_t time;                /* unix seconds */
};

struct entry_admit {
    struct entry_request request;
    struct entry_member member;
    uint64_t replaces; /* id of the member whose name it takes over, or 0 */
    int64_t time;
};

enum entry_retire_reason {
    RETIRE_ASKED = 1,   /* it said that it will go: member -> leaving */
    RETIRE_DEAD = 2,    /* failed a quorum-confirmed liveness check: member -> leaving */
    RETIRE_REMOVED = 3, /* left the Raft configuration: the row of a leaving member goes */
    RETIRE_OWNER = 4,   /* an owner wants it to go, and signed that: member -> leaving */
};

struct entry_retire {
    struct entry_request request;
    uint64_t id;
    uint8_t reason;        /* enum entry_retire_reason */
    struct span signer;    /* RETIRE_OWNER: SPKI of the owner; else empty */
    struct span signature; /* RETIRE_OWNER: of entry_retire_signed_bytes; else empty */
    int64_t time;
};

struct entry_issue_request {
    struct span spki; /* of the workload, DER */
    uint8_t policy_hash[32];
    uint8_t evidence_digest[48]; /* SHA-384 of the evidence that the proposer verified */
    uint64_t validity_s;         /* 0 = default; at most LIMIT_LEAF_VALIDITY_S */
};

struct entry_issue {
    struct entry_request request;
    uint64_t generation;       /* that the proposer verified against */
    struct wire_list requests; /* struct entry_issue_request, 1..LIMIT_ISSUE_BATCH */
    int64_t time;
};

/* What an endorsement is of: a VCEK has a chip and a TCB, a revocation list has neither (zeros). */
struct entry_endorsement {
    uint8_t product;     /* enum snp_product, not UNKNOWN */
    uint8_t signing;     /* 0: VCEK and ASK, 1: VLEK and ASVK; a chip's is 0 */
    uint8_t chip_id[64]; /* CHIP_ID as in the report */
    uint8_t tcb[8];      /* REPORTED_TCB as in the report */
};

enum entry_collateral_kind {
    COLLATERAL_VEK = 1,   /* a VCEK for everyone to use */
    COLLATERAL_CRL = 2,   /* AMD's revocation list, newer than the one before */
    COLLATERAL_FETCH = 3, /* may the proposer ask AMD's key service for this key? */
};

/* Endorsements are no leaves of the ledger: they decide nothing. Whoever uses a certificate or a
 * list proves its chain up to a root that the owner permitted, each time; a wrong one is refused,
 * a missing one is fetched again. The ledger is of what happened to the cluster. */
struct entry_collateral {
    struct entry_request request;
    uint8_t kind; /* enum entry_collateral_kind */
    struct entry_endorsement key;
    struct span der;       /* VEK, CRL; else empty, as what follows */
    struct span authority; /* VEK below a root that is not AMD's: its ASK, DER */
    struct span root;      /* and its ARK; AMD's own are built in */
    uint8_t anchor[32];    /* CRL: SHA-256 of the SubjectPublicKeyInfo of the ARK that signed it */
    uint64_t number;       /* CRL: CRLNumber */
    int64_t this_update;   /* CRL: unix seconds */
    int64_t next_update;   /* CRL: unix seconds */
    int64_t time;
};

/* From now on the cluster uses entries up to version `level`. */
struct entry_level {
    struct entry_request request;
    uint64_t level; /* above the present one, no higher than what any member knows */
    int64_t time;
};

/* The state that it names goes on under a new epoch, with the recipient as its only member. */
struct entry_recover {
    struct entry_request request; /* {0, 0} */
    uint64_t epoch;
    uint64_t previous_epoch;
    uint8_t mode;         /* enum recovery_mode */
    uint64_t generation;  /* this and the next four: of the state */
    uint8_t head[32];     /* its newest transition */
    uint64_t index;       /* applied, of the log */
    uint64_t ledger_size; /* leaves */
    uint8_t ledger_root[48];
    struct entry_member recipient; /* whose key the owners signed for */
    struct wire_list signatures;   /* struct recovery_signature */
    struct span mesh_key;          /* secret: PKCS#8 DER, new */
    struct span mesh_cert;         /* PEM */
    struct span intermediate;      /* PEM */
    int64_t time;                  /* unix seconds */
};

struct entry {
    enum entry_type type;
    union {
        struct entry_request request; /* first member of every body */
        struct entry_found found;
        struct entry_blob blob;
        struct entry_set_manifest set_manifest;
        struct entry_admit admit;
        struct entry_retire retire;
        struct entry_issue issue;
        struct entry_collateral collateral;
        struct entry_level level;
        struct entry_recover recover;
    };
};

extern const struct wire_type entry_member_type; /* also used by founding and snapshots */
extern const struct wire_type entry_digest_type;
extern const struct wire_type entry_endorsement_type;
extern const struct wire_type entry_found_type;
extern const struct wire_type entry_recovery_signature_type;

const char *entry_type_name(enum entry_type type); /* "FOUND" ... */

/* Appends header and body. `body` is the struct of this type; a field over its limit is a bug. */
void entry_encode(enum entry_type type, const void *body, struct buf *out);

/* The version in the header, without a look at the rest; 0 when there is no header. */
uint8_t entry_version_in(struct span bytes);

/* What *out points to lies in `arena`. FROZEN: its version is above entry_version; MALFORMED: it is
 * not the version of the type. */
RESULT entry_decode(struct span bytes, struct arena *arena, struct entry *out, struct err *err);

/* For what never leaves the process: letters between its threads have the form of entries, and may
 * be of a version that this build does not let into the log. */
RESULT entry_decode_own(struct span bytes, struct arena *arena, struct entry *out, struct err *err);

/* ENTRY_LEAF_SIZE bytes: what the ledger hashes for this entry at this log index. */
void entry_leaf(const struct entry *e, uint64_t index, uint8_t out[ENTRY_LEAF_SIZE]);

uint64_t entry_replica_id(struct span spki);
/* `founders` by rising id. */
void entry_cluster_id(const struct entry_member *founders, size_t count, uint8_t out[32]);
void entry_serial(const uint8_t cluster[32], uint64_t epoch, uint64_t issue_index,
                  uint8_t out[ENTRY_SERIAL_SIZE]);

/* Appends what an owner signs so that member `id` has to go:
 * "contrast-retire-v1\0" || cluster[32] || epoch u64be || id u64be. */
void entry_retire_signed_bytes(const uint8_t cluster[32], uint64_t epoch, uint64_t id,
                               struct buf *out);

/* INVALID names what is wrong: no entry version, id does not belong to the key, name or address
 * empty or with characters that a pod name or an address cannot have, zero host data, no evidence.
 */
RESULT entry_member_check(const struct entry_member *m, struct err *err);

/* INVALID: no product, or a chip where none can be. A key with a chip is a VCEK's, one without is
 * a list's. */
RESULT entry_endorsement_check(const struct entry_endorsement *key, struct err *err);
bool entry_endorsement_is_list(const struct entry_endorsement *key);
bool entry_endorsement_same(const struct entry_endorsement *a, const struct entry_endorsement *b);

#endif
