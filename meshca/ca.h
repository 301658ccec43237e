/* CA: the two certificate authorities of a cluster, leaf certificates, workload secrets.
 *
 *   root CA        P-384, self-signed         CN system:coordinator:root
 *   intermediate   mesh key, signed by root   CN system:coordinator:intermediate
 *   mesh CA        P-256, self-signed         same subject and key as the intermediate
 *   leaf           requester's key            signed by the mesh key: verifies against either
 *
 * The certificate bytes of root, mesh CA and intermediate are made once, by the replica that
 * proposes a manifest, and travel with the keys in the log entry: every replica shows the same
 * bytes. Leaves are signed by the serving replica after their ISSUE entry was applied.
 * Profile: upstream Contrast's, with authority and subject key identifiers added (RFC 5280
 * sections 4.2.1.1 and 4.2.1.2).
 *
 * Keys are never printed and never written; struct ca_root and struct ca_mesh own theirs.
 * Failure: MALFORMED for keys and certificates that do not parse or do not belong together,
 * INVALID for a leaf that no certificate can express. No clock, no I/O: time is an argument.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CA_H
#define CONTRAST_CA_H

#include <stdbool.h>

#include "lib/base/bytes.h"
#include "lib/base/host.h"
#include "lib/crypto/key.h"

#define CA_SERIAL_SIZE 16          /* bytes */
#define CA_WORKLOAD_SECRET_SIZE 32 /* bytes */

/* Zeroed is valid for deinit in both. */
struct ca_root {
    struct key key;  /* P-384 */
    struct buf cert; /* PEM */
};

struct ca_mesh {
    struct key key;          /* P-256 */
    struct buf mesh_cert;    /* PEM, self-signed */
    struct buf intermediate; /* PEM, signed by the root */
};

void ca_root_deinit(struct ca_root *r);
void ca_mesh_deinit(struct ca_mesh *m);

/* New key and certificate(s), valid from `now` (unix seconds) - 1 h to + 10 years. Serial numbers
 * come from host_random; keys from libcrypto. Private keys as DER: key_private_der(&out->key). */
RESULT ca_generate_root(const struct host *host, int64_t now, struct ca_root *out, struct err *err);
RESULT ca_generate_mesh(const struct host *host, const struct ca_root *root, int64_t now,
                        struct ca_mesh *out, struct err *err);

/* From what the replicated state holds: PKCS#8 DER and PEM. MALFORMED unless each certificate
 * carries the public half of its key. */
RESULT ca_root_load(struct span key_der, struct span cert_pem, struct ca_root *out,
                    struct err *err);
RESULT ca_mesh_load(struct span key_der, struct span mesh_pem, struct span intermediate_pem,
                    struct ca_mesh *out, struct err *err);

/* What the evidence said, as extensions of the leaf under upstream's arc 1.3.9901.2.1. */
struct ca_claims {
    uint8_t measurement[48];
    uint8_t host_data[32];
    uint8_t chip_id[64];
    uint8_t tcb_bootloader; /* REPORTED_TCB */
    uint8_t tcb_tee;
    uint8_t tcb_snp;
    uint8_t tcb_microcode;
};

/* All borrowed. */
struct ca_leaf_spec {
    struct span spki;  /* DER SubjectPublicKeyInfo of the requester */
    char *const *sans; /* IP address if it parses, URI if it has a scheme, else DNS */
    size_t san_count;
    uint8_t serial[CA_SERIAL_SIZE]; /* big-endian, positive: entry_serial */
    int64_t not_before;             /* unix seconds; entry time - 1 h */
    int64_t not_after;              /* unix seconds; entry time + 24 h by default */
    const struct ca_claims *claims;
    const char *workload_secret_id; /* extension 1.3.9901.3.1; NULL or "" = none */
};

/* Appends the leaf and the intermediate, PEM, to `chain`. The subject's CN is the first DNS SAN
 * of at most 64 bytes (RFC 5280 ub-common-name), "workload" without one. */
RESULT ca_issue_leaf(const struct ca_mesh *mesh, const struct ca_leaf_spec *spec, struct buf *chain,
                     struct err *err);

/* HKDF-SHA-256(root secret, no salt, "contrast-workload-secret-v1\0" || id): the same for the life
 * of the cluster, whatever manifests and CA keys come and go. `out` is secret: wipe it. */
void ca_workload_secret(struct span root_secret, const char *id,
                        uint8_t out[CA_WORKLOAD_SECRET_SIZE]);

#endif
