/* Machine room: the security processors of a simulated world's hosts, and AMD's key service.
 *
 *   machine_room_new(hosts)                      one machine a host, all of one simulated root
 *   machine_room_pod(host, identity)  -> spec    a guest; give the spec as CONTRAST_ISSUER
 *   machine_room_port(host)           -> port    how the host treats requests for reports, now
 *   machine_room_kds(room)            -> service how the key service answers, now
 *
 * The programs use attest/issuer.c, attest/attester.c, attest/endorse/kds.c and fetcher.c as they
 * are: what is played is the driver behind "unix:" and the transport below the key service
 * (room_issuer.c, played_kds.c). So every report, certificate and lie goes through the product's
 * own parsers and proofs. Waiting is uv_cond_timedwait: virtual time where libuv is played.
 *
 * There is one room at a time in a program; its machines are made once and stay (room_stock.h).
 * machine_room_new allocates what lives longer than a process: call it from outside of simulated
 * ones.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MACHINE_ROOM_H
#define CONTRAST_MACHINE_ROOM_H

#include "attest/issuer.h"
#include "attest/snp_report.h"
#include "chaos-tests/played/room_stock.h"

#define MACHINE_ROOM_EPOCH_S INT64_C(1775000000) /* 2026-03-31: a time at which all is valid */
#define MACHINE_ROOM_KDS_URL "http://kds.room"
#define MACHINE_ROOM_SPEC_SIZE 32
#define MACHINE_ROOM_PODS 4096 /* in one room */

struct machine_room;

/* What a guest is. Zeroed but for host_data: a good one of the room's image. */
struct pod_identity {
    uint8_t host_data[32];     /* SHA-256 of its runtime policy */
    uint8_t measurement[48];   /* zeros: the room's image */
    uint64_t policy;           /* SNP_POLICY_ bits; 0: SMT and the reserved one */
    uint32_t vmpl;             /* of the report */
    enum room_machine machine; /* which one signs, in the place of the host's own */
    bool has_false_signature;  /* a bit of every signature is changed */
};

enum room_port_mode {
    ROOM_PORT_ANSWERS,
    ROOM_PORT_BUSY,     /* throttles */
    ROOM_PORT_REFUSES,  /* UNAVAILABLE at once */
    ROOM_PORT_SILENT,   /* answers nobody, until the mode changes */
    ROOM_PORT_LOST,     /* the guest's message sequence is gone: LOST */
    ROOM_PORT_STALE,    /* hands out the first report that it ever made for this pod */
    ROOM_PORT_GARBAGE,  /* bytes that are no report */
    ROOM_PORT_BAD_TABLE /* a good report with a damaged certificate table */
};

/* Read at every request; change at will. */
struct room_port {
    _Atomic enum room_port_mode mode;
    _Atomic uint64_t latency_ms;      /* of one report or key; 5 to begin with */
    _Atomic bool has_no_certificates; /* the host hands out the report alone */
    _Atomic uint64_t requests;        /* for reports and keys, so far */
};

enum room_kds_mode {
    ROOM_KDS_UP,
    ROOM_KDS_DOWN,       /* no connection */
    ROOM_KDS_SILENT,     /* nothing until the client's limit */
    ROOM_KDS_THROTTLES,  /* 429, Retry-After: retry_after_s */
    ROOM_KDS_FAILS,      /* 500 */
    ROOM_KDS_UNKNOWN,    /* 404 for everything */
    ROOM_KDS_OTHER_CHIP, /* a genuine certificate, of another chip */
    ROOM_KDS_ROGUE,      /* certificates, lists and chains of another root */
    ROOM_KDS_GARBAGE,    /* 200 and bytes without meaning */
    ROOM_KDS_TOO_MUCH,   /* 200 and more than any limit */
};

struct room_kds {
    _Atomic enum room_kds_mode mode;
    uint64_t latency_ms;                      /* 50 to begin with */
    uint64_t retry_after_s;                   /* 10 to begin with */
    unsigned list_number;                     /* of the list that it serves; 2 to begin with */
    bool revokes;                             /* its lists revoke the room's authorities */
    uint64_t requests;                        /* that reached it */
    uint64_t chip_requests[ROOM_STOCK_HOSTS]; /* for a VCEK of the host's own chip */
};

/* Once in a program that then forks for each seed: makes all machines and lists, and lets OpenSSL
 * and what is remembered of it (played_keys.h) see them. Changes nothing but what seeds cost. */
void machine_room_warm_up(unsigned host_count);

/* Hosts 0..host_count - 1; at most ROOM_STOCK_HOSTS. CHECKs that there is no other room. */
struct machine_room *machine_room_new(unsigned host_count);
void machine_room_free(struct machine_room *room); /* accepts NULL */

struct room_port *machine_room_port(struct machine_room *room, unsigned host);
struct room_kds *machine_room_kds(struct machine_room *room);

/* A guest on this host, for good: `spec` is what its program gets as CONTRAST_ISSUER. */
void machine_room_pod(struct machine_room *room, unsigned host, const struct pod_identity *pod,
                      char spec[MACHINE_ROOM_SPEC_SIZE]);

/* What such a guest would get from its processor at once, whatever the port's mode: for attackers
 * that do without our programs. */
RESULT machine_room_report(struct machine_room *room, const char *spec,
                           const uint8_t report_data[ISSUER_DATA_SIZE], struct issuer_evidence *out,
                           struct err *err);

/* --- Manifests */

struct room_policy {
    uint8_t hash[32];
    bool is_coordinator;
    const char *san;       /* one name */
    const char *secret_id; /* WorkloadSecretID; NULL: none */
};

/* Zeroed is valid: nobody may update it, nobody holds a share. */
struct room_manifest {
    const struct room_policy *policies;
    size_t policy_count;
    const uint8_t (*owner_digests)[32];
    size_t owner_count;
    const struct span *share_owners; /* PKCS#1 */
    size_t share_owner_count;
    size_t share_threshold; /* 0: what the format says */
    bool has_auto_recovery;
    const char *crl; /* "require", "grace:48"; NULL: not demanded */
};

/* The digest of the root, for CONTRAST_PERMITTED_ROOTS and --trust-root. */
void machine_room_root(uint8_t out[32]);
/* A manifest that the room's good pods satisfy: reference values for both products with the chips
 * of all hosts. Appended. */
void machine_room_manifest(const struct machine_room *room, const struct room_manifest *manifest,
                           struct buf *json);

/* Pairs for share owners, RSA-4096, always the same: 0 and 1. key_deinit when done. */
#define MACHINE_ROOM_SHARE_OWNERS 2
void machine_room_share_owner(unsigned index, struct key *out);

/* --- For room_issuer.c and played_kds.c */

struct machine_room *machine_room__current(void); /* NULL: there is none */
struct room_pod;
/* NULL when no pod has this number. */
struct room_pod *machine_room__pod(struct machine_room *room, const char *number);
struct room_port *machine_room__port_of(struct room_pod *pod);
/* Report and certificate table, as the driver of an issuer gives them. */
RESULT machine_room__make(struct room_pod *pod, const uint8_t report_data[ISSUER_DATA_SIZE],
                          struct buf *report, struct buf *table, struct err *err);
void machine_room__derive(struct room_pod *pod, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                          uint8_t response[ISSUER_KEY_RESPONSE_SIZE]);
unsigned machine_room__host_count(const struct machine_room *room);

#endif
