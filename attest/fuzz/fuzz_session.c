/* Fuzz: evidence from a peer, through the whole verifier, as a session's and as a document.
 *
 * Any root that the evidence brings along is permitted, the nonce is zero and the exporter fixed,
 * so that the corpus reaches the last check; with a manifest and without.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "attest/session.h"
#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW INT64_C(1767225600) /* 2026-01-01 */

static void zero_exporter(void *data, uint8_t out[32]) {
    (void)data;
    memset(out, 0, 32);
}

static void local_spki(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 1, 48);
}

static void peer_spki(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 2, 48);
}

static bool is_server(void *data) {
    (void)data;
    return false;
}

/* Digests of all certificates that parse. */
static size_t find_roots(struct span bytes, uint8_t roots[LIMIT_EVIDENCE_CHAIN][32]) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct evidence e;
    size_t count = 0;
    if (!is_ok(wire_decode(&evidence_type, bytes, &arena, &e, NULL))) {
        return 0;
    }
    const struct evidence_certificate *chain = e.chain.items;
    for (size_t i = 0; i < e.chain.count; i++) {
        struct snp_cert cert = {0};
        if (is_ok(snp_cert_parse(chain[i].der, "chain", &cert, NULL, NULL))) {
            memcpy(roots[count++], cert.spki_digest, 32);
        }
        snp_cert_deinit(&cert);
    }
    return count;
}

static void verify(struct span bytes, const struct attest_policy *policy) {
    const uint8_t nonce[ATTEST_NONCE_SIZE] = {0};
    struct attest_channel channel = {NULL, zero_exporter, local_spki, peer_spki, is_server};
    struct attest_verifier v = {.has_nonce = true};
    struct attest_peer peer = {0};
    struct err err;
    struct result r = attest_verifier_finish(&v, &channel, bytes, policy, &peer, &err);
    err_ignore(r, "any outcome is fine");
    CHECK(is_ok(r) == (peer.verdict.kind == VERDICT_ACCEPTED));
    CHECK(!v.has_nonce);
    attest_peer_deinit(&peer);
    r = attest_document_verify(nonce, bytes, policy, &peer, &err);
    CHECK(is_ok(r) == (peer.verdict.kind == VERDICT_ACCEPTED));
    attest_peer_deinit(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span bytes = span_of(data, size);
    uint8_t roots[LIMIT_EVIDENCE_CHAIN][32];
    struct policy_entry entry = {.role = ROLE_COORDINATOR};
    struct manifest manifest = {.policies = &entry, .policy_count = 1};
    memset(entry.hash, 0x10, sizeof entry.hash);
    struct attest_policy policy = {
        .kinds = ATTEST_KIND_BIT(ATTEST_REPLICA) | ATTEST_KIND_BIT(ATTEST_WORKLOAD),
        .role = ROLE_COORDINATOR,
        .extra_roots = (const uint8_t(*)[32])roots,
        .extra_root_count = find_roots(bytes, roots),
        .at = NOW,
    };
    verify(bytes, &policy);
    policy.manifest = &manifest;
    verify(bytes, &policy);
    struct attest_request request;
    err_ignore(attest_request_decode(bytes, &request, NULL), "any outcome is fine");
    return 0;
}
