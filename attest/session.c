/* Session: see session.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/session.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

static const struct wire_field request_fields[] = {
    WIRE_U8(struct attest_request, purpose),
    WIRE_FIXED(struct attest_request, nonce),
};
const struct wire_type attest_request_type = WIRE_TYPE(struct attest_request, request_fields);

static const struct wire_field certificate_fields[] = {
    WIRE_BYTES(struct evidence_certificate, der, LIMIT_CERT),
};
static const struct wire_type certificate_type =
    WIRE_TYPE(struct evidence_certificate, certificate_fields);

static const struct wire_field evidence_fields[] = {
    WIRE_BYTES(struct evidence, report, LIMIT_SNP_REPORT),
    WIRE_BYTES(struct evidence, vek, LIMIT_CERT),
    WIRE_LIST(struct evidence, chain, LIMIT_EVIDENCE_CHAIN, &certificate_type),
    WIRE_BYTES(struct evidence, crl, LIMIT_CRL),
    WIRE_U64(struct evidence, leaf_count),
    WIRE_U64(struct evidence, leaf_index),
    WIRE_BYTES(struct evidence, path, LIMIT_EVIDENCE_PATH *MERKLE_HASH_SIZE),
    WIRE_U8(struct evidence, kind),
    WIRE_BYTES(struct evidence, statement, LIMIT_STATEMENT),
};
const struct wire_type evidence_type = WIRE_TYPE(struct evidence, evidence_fields);

/* --- Attester */

static bool is_kind(unsigned kind) {
    return kind == ATTEST_REPLICA || kind == ATTEST_WORKLOAD;
}

RESULT attest_request_decode(struct span bytes, struct attest_request *out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct attest_request request = {0};
    TRY(wire_decode(&attest_request_type, bytes, &arena, &request, err));
    ENSURE(request.purpose == ATTEST_SESSION || request.purpose == ATTEST_DOCUMENT, err, MALFORMED,
           "attest_request.purpose: %u, want %d or %d", request.purpose, ATTEST_SESSION,
           ATTEST_DOCUMENT);
    *out = request;
    return OK;
}

RESULT attest_leaf_for(const struct attest_channel *channel, enum attest_kind kind,
                       const struct attest_request *request, struct span statement,
                       uint8_t out[ATTEST_LEAF_SIZE], struct err *err) {
    if (request->purpose == ATTEST_SESSION) {
        ENSURE(channel != NULL, err, PROTOCOL, "a session is attested on its own connection only");
        attest_session_leaf(channel, ATTEST_BY_US, kind, request->nonce, statement, out);
        return OK;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct statement decoded;
    TRY(statement_decode(kind, statement, &arena, &decoded, err));
    attest_document_leaf(kind, request->nonce, statement_public_key(&decoded), statement, out);
    return OK;
}

static RESULT check_certificates(const struct snp_evidence *e, struct err *err) {
    ENSURE(e->vek.size <= LIMIT_CERT, err, TOO_LARGE, "VEK certificate: %zu bytes, limit %d",
           e->vek.size, LIMIT_CERT);
    ENSURE(e->chain_count <= LIMIT_EVIDENCE_CHAIN, err, TOO_LARGE, "%zu certificates, limit %d",
           e->chain_count, LIMIT_EVIDENCE_CHAIN);
    for (size_t i = 0; i < e->chain_count; i++) {
        ENSURE(e->chain[i].size <= LIMIT_CERT, err, TOO_LARGE,
               "certificate %zu of the chain: %zu bytes, limit %d", i, e->chain[i].size,
               LIMIT_CERT);
    }
    ENSURE(e->crl.size <= LIMIT_CRL, err, TOO_LARGE, "CRL: %zu bytes, limit %d", e->crl.size,
           LIMIT_CRL);
    return OK;
}

RESULT attest_evidence_encode(const struct attested *attested, enum attest_kind kind,
                              struct span statement, struct buf *out, struct err *err) {
    const struct snp_evidence *e = &attested->evidence;
    TRY(check_certificates(e, err));
    ENSURE(e->report.size <= LIMIT_SNP_REPORT, err, TOO_LARGE, "report: %zu bytes, limit %d",
           e->report.size, LIMIT_SNP_REPORT);
    ENSURE(statement.size <= LIMIT_STATEMENT, err, TOO_LARGE, "statement: %zu bytes, limit %d",
           statement.size, LIMIT_STATEMENT);
    struct evidence_certificate chain[LIMIT_EVIDENCE_CHAIN];
    for (size_t i = 0; i < e->chain_count; i++) {
        chain[i].der = e->chain[i];
    }
    struct evidence message = {
        .report = e->report,
        .vek = e->vek,
        .chain = {chain, e->chain_count},
        .crl = e->crl,
        .leaf_count = attested->place.leaf_count,
        .leaf_index = attested->place.leaf_index,
        .path = attested->place.path,
        .kind = (uint8_t)kind,
        .statement = statement,
    };
    wire_encode(&evidence_type, &message, out);
    return OK;
}

/* --- Verifier */

void attest_peer_deinit(struct attest_peer *peer) {
    arena_deinit(&peer->arena);
    *peer = (struct attest_peer){0};
}

void attest_verifier_begin(struct attest_verifier *v, const struct host *host,
                           struct attest_request *request) {
    host_random(host, v->nonce, sizeof v->nonce);
    v->has_nonce = true;
    request->purpose = ATTEST_SESSION;
    memcpy(request->nonce, v->nonce, sizeof v->nonce);
}

static const struct verdict_rule rule_reflection = {
    "reflection", "ATTEST-REFLECTION", "TLS key",
    "The peer answered with this end's own key: somebody sends our messages back. Check what is "
    "between the two ends."};
static const struct verdict_rule rule_kind = {
    "kind", "ATTEST-KIND", "kind",
    "The peer is a genuine pod of the other kind: check the address and port."};
static const struct verdict_rule rule_unknown = {
    "policy", "POLICY-UNKNOWN", "HOST_DATA",
    "The pod runs under a policy that the manifest does not name: deploy the YAML that `contrast "
    "generate` wrote for this manifest, or generate and set a manifest that names it."};
static const struct verdict_rule rule_role = {
    "policy", "POLICY-ROLE", "HOST_DATA",
    "The pod's policy is in the manifest, with another role: check the address, or the Role of "
    "this policy in the manifest."};

/* The decoded message, and what it is checked against. */
struct subject {
    struct evidence evidence;
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
    const struct attest_policy *policy;
    struct attest_peer *peer;
};

static RESULT decode(struct span bytes, struct subject *s, struct err *err) {
    struct evidence *e = &s->evidence;
    struct attest_peer *peer = s->peer;
    ENSURE(bytes.size <= LIMIT_EVIDENCE + LIMIT_CRL, err, TOO_LARGE,
           "evidence: %zu bytes, limit %d", bytes.size, LIMIT_EVIDENCE + LIMIT_CRL);
    TRY(wire_decode(&evidence_type, bytes, &peer->arena, e, err));
    ENSURE(is_kind(e->kind), err, MALFORMED, "evidence.kind: %u, want %d or %d", e->kind,
           ATTEST_REPLICA, ATTEST_WORKLOAD);
    ENSURE(e->leaf_count >= 1 && e->leaf_count <= LIMIT_EVIDENCE_LEAVES, err, MALFORMED,
           "evidence.leaf_count: %llu, want 1..%d", (unsigned long long)e->leaf_count,
           LIMIT_EVIDENCE_LEAVES);
    peer->kind = (enum attest_kind)e->kind;
    TRY(statement_decode(peer->kind, e->statement, &peer->arena, &peer->statement, err));
    peer->statement_bytes = e->statement;
    sha384(bytes, peer->evidence_digest);
    return OK;
}

/* What REPORT_DATA must be for this leaf at this place. */
static RESULT expect(struct subject *s, const uint8_t leaf[ATTEST_LEAF_SIZE], struct err *err) {
    const struct evidence *e = &s->evidence;
    uint8_t root[MERKLE_HASH_SIZE];
    struct result r = merkle_path_root(leaf, e->leaf_index, e->leaf_count, e->path, root, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "evidence");
    }
    attest_report_data((uint32_t)e->leaf_count, root, s->report_data);
    return OK;
}

static RESULT check_kind(struct subject *s, struct err *err) {
    enum attest_kind kind = s->peer->kind;
    if ((s->policy->kinds & ATTEST_KIND_BIT(kind)) == 0) {
        enum attest_kind other = kind == ATTEST_REPLICA ? ATTEST_WORKLOAD : ATTEST_REPLICA;
        return verdict_deny(&s->peer->verdict, err, &rule_kind, attest_kind_name(other),
                            attest_kind_name(kind));
    }
    return OK;
}

static RESULT check_report(struct subject *s, struct err *err) {
    const struct evidence *e = &s->evidence;
    const struct attest_policy *policy = s->policy;
    const struct manifest *m = policy->manifest;
    struct snp_evidence evidence = {
        .report = e->report, .vek = e->vek, .chain_count = e->chain.count, .crl = e->crl};
    const struct evidence_certificate *chain = e->chain.items;
    for (size_t i = 0; i < e->chain.count; i++) {
        evidence.chain[i] = chain[i].der;
    }
    struct snp_options options = {
        .references = m == NULL ? policy->references : m->references,
        .reference_count = m == NULL ? policy->reference_count : m->reference_count,
        .extra_roots = policy->extra_roots,
        .extra_root_count = policy->extra_root_count,
        .only_extra_roots = true,
        .report_data = s->report_data,
        .crls = policy->crls,
        .crl_count = policy->crl_count,
        .at = policy->at,
        .cache = policy->cache,
    };
    struct snp_report *report = &s->peer->report;
    struct result r = OK;
    if (evidence.vek.size == 0 && policy->endorse != NULL) {
        r = policy->endorse(policy->endorser, &options, &evidence, report, &s->peer->verdict, err);
    }
    r = is_ok(r) ? snp_verify(&evidence, &options, report, &s->peer->verdict, err) : r;
    memcpy(s->peer->host_data, s->peer->report.host_data, sizeof s->peer->host_data);
    return r;
}

static const char *role_name(enum policy_role role) {
    return role == ROLE_COORDINATOR ? "coordinator" : "workload";
}

/* "web (0123456789ab)": what people call a policy. */
static void name_policy(const struct policy_entry *entry, char *out, size_t size) {
    const char *name = "unnamed";
    if (entry->san_count > 0) {
        name = entry->sans[0];
    } else if (entry->workload_secret_id != NULL && entry->workload_secret_id[0] != '\0') {
        name = entry->workload_secret_id;
    }
    char hex[13];
    hex_encode(span_of(entry->hash, 6), hex);
    snprintf(out, size, "%.40s (%s)", name, hex);
}

/* How many leading bits two hashes share: orders the candidates for a person. */
static unsigned common_bits(const uint8_t a[32], const uint8_t b[32]) {
    unsigned bits = 0;
    while (bits < 256 && ((a[bits / 8] ^ b[bits / 8]) >> (7 - bits % 8) & 1) == 0) {
        bits++;
    }
    return bits;
}

#define CANDIDATES_MAX 3

/* The policies with the wanted role that are nearest to the actual hash, best first. */
static size_t find_candidates(const struct attest_policy *policy, const uint8_t hash[32],
                              const struct policy_entry *best[CANDIDATES_MAX], size_t *total) {
    size_t count = 0;
    *total = 0;
    for (size_t i = 0; i < policy->manifest->policy_count; i++) {
        const struct policy_entry *entry = &policy->manifest->policies[i];
        if (entry->role != policy->role) {
            continue;
        }
        ++*total;
        size_t at = count < CANDIDATES_MAX ? count++ : CANDIDATES_MAX;
        while (at > 0 && common_bits(entry->hash, hash) > common_bits(best[at - 1]->hash, hash)) {
            if (at < CANDIDATES_MAX) {
                best[at] = best[at - 1];
            }
            at--;
        }
        if (at < CANDIDATES_MAX) {
            best[at] = entry;
        }
    }
    return count;
}

static RESULT deny_unknown(struct subject *s, struct err *err) {
    const struct policy_entry *best[CANDIDATES_MAX];
    size_t total;
    size_t count = find_candidates(s->policy, s->peer->host_data, best, &total);
    AUTO(buf_deinit)
    struct buf expected = {0};
    buf_appendf(&expected, "%s", count == 0 ? "no policy has role " : "one of ");
    buf_append_str(&expected, count == 0 ? role_name(s->policy->role) : "");
    for (size_t i = 0; i < count; i++) {
        char name[64];
        name_policy(best[i], name, sizeof name);
        buf_appendf(&expected, "%s%s", i == 0 ? "" : ", ", name);
    }
    if (total > count) {
        buf_appendf(&expected, " and %zu more", total - count);
    }
    char actual[65];
    hex_encode(SPAN(s->peer->host_data), actual);
    return verdict_deny(&s->peer->verdict, err, &rule_unknown, buf_cstr(&expected), actual);
}

static RESULT check_manifest_policy(struct subject *s, struct err *err) {
    struct attest_peer *peer = s->peer;
    const struct policy_entry *entry = manifest_find_policy(s->policy->manifest, peer->host_data);
    if (entry == NULL) {
        return deny_unknown(s, err);
    }
    if (entry->role != s->policy->role) {
        char name[64];
        char actual[96];
        name_policy(entry, name, sizeof name);
        snprintf(actual, sizeof actual, "%s %s", role_name(entry->role), name);
        return verdict_deny(&peer->verdict, err, &rule_role, role_name(s->policy->role), actual);
    }
    peer->policy = entry;
    return OK;
}

static RESULT check_policy(struct subject *s, struct err *err) {
    const struct attest_policy *policy = s->policy;
    if (policy->manifest != NULL) {
        TRY(check_manifest_policy(s, err));
    } else if (policy->accept_host_data != NULL) {
        struct err reason = {0};
        struct result r = policy->accept_host_data(policy->data, s->peer->host_data, &reason);
        if (!is_ok(r)) {
            char actual[65];
            hex_encode(SPAN(s->peer->host_data), actual);
            return verdict_deny(&s->peer->verdict, err, &rule_unknown, reason.text, actual);
        }
    }
    verdict_add_check(&s->peer->verdict, "policy", true);
    return OK;
}

/* From a leaf that this end computed to the verdict. */
static RESULT judge(struct subject *s, const uint8_t leaf[ATTEST_LEAF_SIZE], struct err *err) {
    TRY(expect(s, leaf, err));
    TRY(check_kind(s, err));
    struct result r = check_report(s, err);
    if (r.code == ERR_UNVERIFIABLE) {
        TRY(check_policy(s, err)); /* refused with any certificate: no reason to look for one */
    }
    TRY(r);
    verdict_add_check(&s->peer->verdict, "kind", true);
    return check_policy(s, err);
}

static RESULT check_reflection(const struct attest_channel *channel, struct attest_peer *peer,
                               struct err *err) {
    uint8_t own[SHA384_SIZE];
    channel->local_spki_sha384(channel->data, own);
    channel->peer_spki_sha384(channel->data, peer->spki_sha384);
    if (memcmp(own, peer->spki_sha384, sizeof own) == 0) {
        char actual[2 * SHA384_SIZE + 1];
        hex_encode(SPAN(own), actual);
        return verdict_deny(&peer->verdict, err, &rule_reflection, "a key of the peer's", actual);
    }
    return OK;
}

RESULT attest_verifier_finish(struct attest_verifier *v, const struct attest_channel *channel,
                              struct span evidence_bytes, const struct attest_policy *policy,
                              struct attest_peer *peer, struct err *err) {
    verdict_init(&peer->verdict);
    ENSURE(v->has_nonce, err, PROTOCOL, "evidence that was not asked for");
    uint8_t nonce[ATTEST_NONCE_SIZE];
    memcpy(nonce, v->nonce, sizeof nonce);
    *v = (struct attest_verifier){0};
    struct subject s = {.policy = policy, .peer = peer};
    TRY(check_reflection(channel, peer, err));
    TRY(decode(evidence_bytes, &s, err));
    uint8_t leaf[ATTEST_LEAF_SIZE];
    attest_session_leaf(channel, ATTEST_BY_PEER, peer->kind, nonce, peer->statement_bytes, leaf);
    TRY(judge(&s, leaf, err));
    verdict_add_check(&peer->verdict, "reflection", true);
    return OK;
}

RESULT attest_document_verify(const uint8_t nonce[ATTEST_NONCE_SIZE], struct span evidence_bytes,
                              const struct attest_policy *policy, struct attest_peer *peer,
                              struct err *err) {
    verdict_init(&peer->verdict);
    struct subject s = {.policy = policy, .peer = peer};
    TRY(decode(evidence_bytes, &s, err));
    struct span spki = statement_public_key(&peer->statement);
    sha384(spki, peer->spki_sha384);
    uint8_t leaf[ATTEST_LEAF_SIZE];
    attest_document_leaf(peer->kind, nonce, spki, peer->statement_bytes, leaf);
    return judge(&s, leaf, err);
}
