/* Leaf: what one attestation says, as one hash, and how hashes become REPORT_DATA.
 *
 *   leaf        = SHA-384( 0x00 || "contrast-attest-leaf-v1\0" || purpose u8 || side u8 || kind u8
 *                          || nonce[32] || exporter[32] || SHA-384(SPKI)[48]
 *                          || SHA-384(statement)[48] )
 *   node        = SHA-384( 0x01 || left || right )           merkle.h, 1..1024 leaves
 *   REPORT_DATA = SHA-512( "contrast-attest-root-v1\0" || leaf count u32be || root[48] )
 *
 *   purpose   session 1, document 2: only a session authorizes anything
 *   side      of the attester in TLS: client 1, server 2
 *   kind      of the attester: replica 1, workload 2
 *   exporter  each end's own reading of the TLS exporter "EXPORTER-contrast-attest"
 *   SPKI      DER SubjectPublicKeyInfo of the attester's TLS key
 *
 * A document is not tied to a channel (HTTP, joins, bundles): its exporter is 32 zero bytes, its
 * side is server, and its SPKI is the public key that the statement names.
 *
 * No interface here takes an exporter value, or a side, for a session: both come from an
 * attest_channel, and product code has one way to make one, from a TLS object that is ready. So
 * evidence that was made for another connection cannot be checked against this one by mistake.
 *
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LEAF_H
#define CONTRAST_LEAF_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

#define ATTEST_NONCE_SIZE 32
#define ATTEST_LEAF_SIZE SHA384_SIZE
#define ATTEST_REPORT_DATA_SIZE SHA512_SIZE

enum attest_purpose { ATTEST_SESSION = 1, ATTEST_DOCUMENT = 2 };
enum attest_side { ATTEST_CLIENT = 1, ATTEST_SERVER = 2 };
enum attest_kind { ATTEST_REPLICA = 1, ATTEST_WORKLOAD = 2 };

const char *attest_kind_name(enum attest_kind kind); /* "replica", "workload" */

/* A connection after its handshake, as this end sees it. Borrowed. */
struct attest_channel {
    void *data;
    void (*exporter)(void *data, uint8_t out[32]);
    void (*local_spki_sha384)(void *data, uint8_t out[48]);
    void (*peer_spki_sha384)(void *data, uint8_t out[48]);
    bool (*is_server)(void *data);
};

struct tls;
/* The channel of a TLS object that is ready; borrows it. */
struct attest_channel attest_channel_of_tls(struct tls *tls);

/* Who makes the evidence, seen from this end of the channel. */
enum attest_end { ATTEST_BY_US, ATTEST_BY_PEER };

/* The leaf of a session. Both ends get the same one: the attester with BY_US, its verifier with
 * BY_PEER. */
void attest_session_leaf(const struct attest_channel *channel, enum attest_end end,
                         enum attest_kind kind, const uint8_t nonce[ATTEST_NONCE_SIZE],
                         struct span statement, uint8_t out[ATTEST_LEAF_SIZE]);

/* The leaf of a document; `spki`: DER of the public key that the statement names. */
void attest_document_leaf(enum attest_kind kind, const uint8_t nonce[ATTEST_NONCE_SIZE],
                          struct span spki, struct span statement, uint8_t out[ATTEST_LEAF_SIZE]);

/* 1 <= leaf_count <= LIMIT_EVIDENCE_LEAVES. */
void attest_report_data(uint32_t leaf_count, const uint8_t root[SHA384_SIZE],
                        uint8_t out[ATTEST_REPORT_DATA_SIZE]);

#endif
