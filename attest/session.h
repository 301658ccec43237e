/* Session: the exchange that makes a connection an attested one, and documents that outlive it.
 *
 *   verifier                                      attester
 *   attest_verifier_begin   -- attest_request ->  attest_leaf_for, attester_submit,
 *   attest_verifier_finish  <-   evidence    --   attest_evidence_encode
 *
 * It runs inside TLS 1.3 after the handshake, in either direction or in both, and is bound to that
 * connection by its exporter, the attester's key and side, and to a nonce of the verifier (leaf.h).
 * The verifier takes every expected value from its own policy, none from the peer.
 *
 * Refused, each with its own test: evidence of the verifier's own key (reflection), evidence of
 * another connection (relay), of another nonce (replay), of the other side or kind (confusion), a
 * document in place of a session, a statement, path, index or count other than what was attested,
 * a workload where a coordinator is wanted.
 *
 * Sans I/O: bytes in, bytes out. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SESSION_H
#define CONTRAST_SESSION_H

#include "attest/attester.h"
#include "attest/snp_verify.h"
#include "attest/statement.h"

/* --- Messages (docs/wire.md) */

struct attest_request {
    uint8_t purpose; /* enum attest_purpose */
    uint8_t nonce[ATTEST_NONCE_SIZE];
};

struct evidence_certificate {
    struct span der;
};

struct evidence {
    struct span report;     /* raw ATTESTATION_REPORT */
    struct span vek;        /* DER; empty = the host has none */
    struct wire_list chain; /* struct evidence_certificate: ASK or ASVK, ARK */
    struct span crl;        /* DER; empty = none */
    uint64_t leaf_count;
    uint64_t leaf_index;
    struct span path; /* nodes of 48 bytes, from the leaf up */
    uint8_t kind;     /* enum attest_kind */
    struct span statement;
};

extern const struct wire_type attest_request_type;
extern const struct wire_type evidence_type;

/* --- Attester */

/* Strict: MALFORMED for a purpose that this version does not know. */
RESULT attest_request_decode(struct span bytes, struct attest_request *out, struct err *err);

/* The leaf that answers a request on this channel. For a document the statement must decode (it
 * names the key); `channel` is not used then. Where there is no attested connection (HTTP) it is
 * NULL, and a request for a session is PROTOCOL. */
RESULT attest_leaf_for(const struct attest_channel *channel, enum attest_kind kind,
                       const struct attest_request *request, struct span statement,
                       uint8_t out[ATTEST_LEAF_SIZE], struct err *err);

/* Appends the evidence message: `attested` is what the attester gave for that leaf, `kind` and
 * `statement` are what the leaf was made of. TOO_LARGE when the host's certificates exceed
 * LIMIT_EVIDENCE or one of them LIMIT_CERT. */
RESULT attest_evidence_encode(const struct attested *attested, enum attest_kind kind,
                              struct span statement, struct buf *out, struct err *err);

/* --- Verifier */

#define ATTEST_KIND_BIT(kind) (1U << (kind))

/* Whom to accept. All borrowed; all the verifier's own. */
struct attest_policy {
    unsigned kinds; /* ATTEST_KIND_BIT of the permitted kinds */

    /* With a manifest: its reference values, and HOST_DATA must be one of its policies with this
     * role. */
    const struct manifest *manifest;
    enum policy_role role;

    /* Without one: these reference values (none = cryptographic verdict only), and this judges
     * HOST_DATA (NULL = any). */
    const struct snp_reference *references;
    size_t reference_count;
    RESULT (*accept_host_data)(void *data, const uint8_t host_data[32], struct err *err);
    void *data;

    /* Roots that are not AMD's and may be trusted at all: the verifier's own list. A manifest,
     * which may be the peer's, only chooses among them (snp_options, only_extra_roots). */
    const uint8_t (*extra_roots)[32];
    size_t extra_root_count;

    /* The verifier's own revocation lists (DER): the newest of these and the evidence's counts. */
    const struct span *crls;
    size_t crl_count;
    int64_t at; /* unix seconds */

    struct snp_cache *cache; /* of proven chains, thread-safe (snp_cache.h); NULL = none */

    /* For evidence without the certificate of its signing key: may set evidence->vek, to bytes that
     * last until the verifier is done. Its failure, with the report and the verdict that it
     * filled, is the verifier's. NULL: what is missing is named. May take its time. */
    RESULT(*endorse)
    (void *data, const struct snp_options *options, struct snp_evidence *evidence,
     struct snp_report *report, struct verdict *verdict, struct err *err);
    void *endorser; /* its `data` */
};

/* What a verifier knows about an accepted peer; after a refusal only report and verdict. */
struct attest_peer {
    struct snp_report report;
    struct verdict verdict;
    enum attest_kind kind;
    struct span statement_bytes; /* as attested; in the arena */
    struct statement statement;  /* decoded; points into the arena */
    uint8_t host_data[32];
    const struct policy_entry *policy; /* in the policy's manifest; NULL without one */
    uint8_t spki_sha384[SHA384_SIZE];  /* of the peer's TLS key; document: of the statement's key */
    uint8_t evidence_digest[SHA384_SIZE]; /* SHA-384 of the evidence message: a record of what was
                                             judged, never an identity or a key against replay,
                                             for anyone can write an ECDSA signature in a second
                                             valid form. Identity is the TLS key, freshness the
                                             nonce */
    struct arena arena;                   /* owned */
};
void attest_peer_deinit(struct attest_peer *peer); /* accepts zeroed */

/* One exchange. Zeroed is valid and has asked nothing. */
struct attest_verifier {
    bool has_nonce; /* asked, and not answered yet */
    uint8_t nonce[ATTEST_NONCE_SIZE];
};

/* Draws a fresh nonce and fills the request of a session. A nonce asked before is forgotten. */
void attest_verifier_begin(struct attest_verifier *v, const struct host *host,
                           struct attest_request *request);

/* Judges the answer; the nonce is used up whatever comes out. `channel` is the connection on which
 * the evidence arrived. *peer (zeroed) must be deinited in every case; its verdict is filled.
 *
 * PROTOCOL: nothing was asked. MALFORMED, TOO_LARGE: not evidence. DENIED: checked and false.
 * UNVERIFIABLE: certificates are missing. Codes in the verdict besides snp_verify's:
 * ATTEST-REFLECTION, ATTEST-KIND, POLICY-UNKNOWN, POLICY-ROLE. */
RESULT attest_verifier_finish(struct attest_verifier *v, const struct attest_channel *channel,
                              struct span evidence_bytes, const struct attest_policy *policy,
                              struct attest_peer *peer, struct err *err);

/* A document: evidence of purpose document over a nonce that both know (a fresh one, a cluster id,
 * the digest of a manifest). Authorizes nothing by itself. */
RESULT attest_document_verify(const uint8_t nonce[ATTEST_NONCE_SIZE], struct span evidence_bytes,
                              const struct attest_policy *policy, struct attest_peer *peer,
                              struct err *err);

#endif
