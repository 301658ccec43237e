/* Verify judge: see verify_judge.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bench/verify_judge.h"

#include <string.h>

#include "coordinator/bench/samples.h"
#include "lib/base/limits.h"
#include "lib/crypto/merkle.h"

#define REPORT_DATA_OFFSET 0x50 /* AMD 56860 table 23 */

static bool is_known(const struct verify_judge *j, const uint8_t digest[SHA384_SIZE]) {
    for (size_t i = 0; i < j->known_count; i++) {
        size_t at = (j->next + VERIFY_REPORTS - 1 - i) % VERIFY_REPORTS; /* newest first */
        if (memcmp(j->known[at], digest, SHA384_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void remember(struct verify_judge *j, const uint8_t digest[SHA384_SIZE]) {
    memcpy(j->known[j->next], digest, SHA384_SIZE);
    j->next = (j->next + 1) % VERIFY_REPORTS;
    j->known_count += j->known_count < VERIFY_REPORTS ? 1 : 0;
    j->report_count++;
}

/* Format, certificates, root and signature. */
static RESULT judge_report(struct verify_judge *j, const struct evidence *e, int64_t at,
                           struct err *err) {
    struct snp_evidence evidence = {
        .report = e->report, .vek = e->vek, .chain_count = e->chain.count, .crl = e->crl};
    const struct evidence_certificate *chain = e->chain.items;
    for (size_t i = 0; i < e->chain.count; i++) {
        evidence.chain[i] = chain[i].der;
    }
    struct snp_options options = {
        .extra_roots = j->roots, .extra_root_count = j->root_count, .at = at, .cache = j->cache};
    struct snp_report report;
    struct verdict verdict;
    return snp_verify(&evidence, &options, &report, &verdict, err);
}

static RESULT check_report(struct verify_judge *j, const struct evidence *e, int64_t at,
                           struct err *err) {
    uint8_t digest[SHA384_SIZE];
    sha384(e->report, digest);
    if (is_known(j, digest)) {
        return OK;
    }
    uint64_t start = samples_thread_ns();
    TRY(judge_report(j, e, at, err));
    j->report_ns += samples_thread_ns() - start;
    remember(j, digest);
    return OK;
}

static RESULT check_binding(const struct attest_channel *channel,
                            const uint8_t nonce[ATTEST_NONCE_SIZE], const struct evidence *e,
                            struct err *err) {
    uint8_t leaf[ATTEST_LEAF_SIZE];
    uint8_t root[MERKLE_HASH_SIZE];
    uint8_t expected[ATTEST_REPORT_DATA_SIZE];
    attest_session_leaf(channel, ATTEST_BY_PEER, ATTEST_REPLICA, nonce, e->statement, leaf);
    TRY(merkle_path_root(leaf, e->leaf_index, e->leaf_count, e->path, root, err));
    attest_report_data((uint32_t)e->leaf_count, root, expected);
    ENSURE(e->report.size == LIMIT_SNP_REPORT &&
               memcmp(e->report.data + REPORT_DATA_OFFSET, expected, sizeof expected) == 0,
           err, DIFFERS, "the report does not sign this connection and nonce");
    return OK;
}

static RESULT judge(struct verify_judge *j, const struct attest_channel *channel,
                    const uint8_t *nonce, struct span bytes, int64_t at, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct evidence e;
    struct replica_statement statement;
    TRY(wire_decode(&evidence_type, bytes, &arena, &e, err));
    ENSURE(e.kind == ATTEST_REPLICA && e.leaf_count >= 1 && e.leaf_count <= LIMIT_EVIDENCE_LEAVES,
           err, MALFORMED, "evidence of kind %u, leaf count %llu", e.kind,
           (unsigned long long)e.leaf_count);
    TRY(replica_statement_decode(e.statement, &arena, &statement, err));
    TRY(check_binding(channel, nonce, &e, err));
    TRY(check_report(j, &e, at, err));
    j->leaf_count++;
    j->confirmed_count += statement.has_confirmed ? 1 : 0;
    j->leaf_count_most = e.leaf_count > j->leaf_count_most ? e.leaf_count : j->leaf_count_most;
    return OK;
}

struct result verify_judge(struct verify_judge *j, const struct attest_channel *channel,
                           const uint8_t nonce[ATTEST_NONCE_SIZE], struct span evidence, int64_t at,
                           struct err *err) {
    uint64_t start = samples_thread_ns();
    struct result r = judge(j, channel, nonce, evidence, at, err);
    j->judge_ns += samples_thread_ns() - start;
    return r;
}
