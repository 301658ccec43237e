/* Fuzz: evidence from a peer, through the whole verifier, as a session's or as a document.
 *
 *   byte 0   what the verifier wants (enum wish)
 *   byte 1.. the evidence message; with WISH_REQUEST an attest_request
 *
 * The cryptography is taken out, so that changed bytes get to the checks behind it and a run costs
 * microseconds: the linker puts the __wrap functions below in place of OpenSSL's verification of
 * certificates and lists, of the report's signature, and of reading a key or a certificate that was
 * read before (CMakeLists.txt). Each verification still refuses some input. Chains that were
 * accepted come from a cache, as in a process that judges many reports. With WISH_BOUND the
 * report's REPORT_DATA is first made the one of the leaf. The nonce is zero and the exporter fixed;
 * any root that the evidence brings along is permitted.
 *
 * Beyond "no crash": accepted evidence signs this leaf, came from another key than the verifier's
 * own, and is of the wanted role.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include <openssl/x509.h>

#include "attest/hotkey.h"
#include "attest/session.h"
#include "attest/snp_cache.h"
#include "lib/base/limits.h"
#include "lib/crypto/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
/* libFuzzer's own mutations; not there when a corpus is replayed. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
int __wrap_X509_verify(X509 *certificate, EVP_PKEY *key);
int __wrap_X509_CRL_verify(X509_CRL *list, EVP_PKEY *key);
bool __wrap_hotkey_verify(struct hotkey_pool *pool, struct hotkey *key, struct span message,
                          const uint8_t r[48], const uint8_t s[48]);
struct result __wrap_key_from_spki(struct span der, struct key *out, struct err *err);
struct result __real_key_from_spki(struct span der, struct key *out, struct err *err);
struct result __wrap_snp_cert_parse(struct span der, const char *label, struct snp_cert *out,
                                    struct verdict *verdict, struct err *err);
struct result __real_snp_cert_parse(struct span der, const char *label, struct snp_cert *out,
                                    struct verdict *verdict, struct err *err);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

#define NOW INT64_C(1767225600) /* 2026-01-01 */
#define REPORT_DATA_OFFSET 0x50 /* AMD 56860 table 23 */
#define MEASUREMENT_OFFSET 0x90
#define HOST_DATA_BYTE 0x10 /* all of them: the policy of the manifest */

enum wish {
    WISH_DOCUMENT = 1,    /* else a session */
    WISH_MANIFEST = 2,    /* else the cryptographic verdict */
    WISH_REFERENCES = 4,  /* a set with the report's own measurement */
    WISH_NO_CACHE = 8,    /* chains are read again, but by one size in 32 alone: that is slow */
    WISH_WORKLOAD = 16,   /* the policy of the manifest is a workload's */
    WISH_BOUND = 32,      /* REPORT_DATA becomes that of the leaf */
    WISH_REFLECTION = 64, /* the peer has the verifier's key */
    WISH_REQUEST = 128,   /* an attest_request instead */
};

/* --- Cryptography that says yes, most of the time */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */

int __wrap_X509_verify(X509 *certificate, EVP_PKEY *key) {
    const ASN1_BIT_STRING *signature = NULL;
    (void)key;
    X509_get0_signature(&signature, NULL, certificate);
    return ASN1_STRING_length(signature) > 1 && ASN1_STRING_get0_data(signature)[0] != 0;
}

int __wrap_X509_CRL_verify(X509_CRL *list, EVP_PKEY *key) {
    const ASN1_BIT_STRING *signature = NULL;
    (void)key;
    X509_CRL_get0_signature(list, &signature, NULL);
    return ASN1_STRING_length(signature) > 1 && ASN1_STRING_get0_data(signature)[0] != 0;
}

bool __wrap_hotkey_verify(struct hotkey_pool *pool, struct hotkey *key, struct span message,
                          const uint8_t r[48], const uint8_t s[48]) {
    (void)pool;
    (void)key;
    (void)message;
    return r[0] != 0 && s[0] != 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* --- What was read before */

/* Of bytes that seldom change from run to run: what reading them gave. */
struct memo {
    uint8_t digest[SHA256_SIZE];
    bool is_good;
    struct err err;
    struct snp_cert cert; /* of a certificate that is good; owned */
    struct verdict verdict;
};
#define MEMO_COUNT 256
static struct memo certificates[MEMO_COUNT];
static struct memo keys[MEMO_COUNT];

/* The memo of these bytes; *is_new when it is of no bytes yet. */
static struct memo *find_memo(struct memo *memos, struct span bytes, bool *is_new) {
    uint8_t digest[SHA256_SIZE];
    sha256(bytes, digest);
    struct memo *memo = &memos[digest[0] % MEMO_COUNT];
    *is_new = memcmp(memo->digest, digest, sizeof digest) != 0;
    memcpy(memo->digest, digest, sizeof digest);
    return memo;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
/* The statement's reader wants to know whether there is a key, and drops it. */
struct result __wrap_key_from_spki(struct span der, struct key *out, struct err *err) {
    bool is_new = false;
    struct memo *memo = find_memo(keys, der, &is_new);
    if (is_new) {
        struct result r = __real_key_from_spki(der, out, &memo->err);
        memo->is_good = is_ok(r);
        return memo->is_good ? r : err_set(err, r.code, "%.900s", memo->err.text);
    }
    if (!memo->is_good) {
        return err_set(err, memo->err.code, "%.900s", memo->err.text);
    }
    *out = (struct key){0};
    return OK;
}

struct result __wrap_snp_cert_parse(struct span der, const char *label, struct snp_cert *out,
                                    struct verdict *verdict, struct err *err) {
    bool is_new = false;
    struct memo *memo = find_memo(certificates, der, &is_new);
    if (is_new) {
        snp_cert_deinit(&memo->cert);
        memo->cert = (struct snp_cert){0};
        verdict_init(&memo->verdict);
        memo->is_good =
            is_ok(__real_snp_cert_parse(der, label, &memo->cert, &memo->verdict, &memo->err));
    }
    if (!memo->is_good) {
        if (verdict != NULL) {
            *verdict = memo->verdict;
        }
        return err_set(err, memo->err.code, "%.900s", memo->err.text);
    }
    *out = memo->cert;
    CHECK(X509_up_ref(out->x509) == 1);
    return OK;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* --- The connection */

static void zero_exporter(void *data, uint8_t out[32]) {
    (void)data;
    memset(out, 0, 32);
}

static void local_spki(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 1, 48);
}

static void peer_spki(void *data, uint8_t out[48]) {
    const uint8_t *wish = data;
    memset(out, (*wish & WISH_REFLECTION) != 0 ? 1 : 2, 48);
}

static bool is_server(void *data) {
    (void)data;
    return false;
}

static struct attest_channel channel_for(uint8_t *wish) {
    return (struct attest_channel){wish, zero_exporter, local_spki, peer_spki, is_server};
}

/* --- Roots */

static size_t find_roots(const struct evidence *e, uint8_t roots[LIMIT_EVIDENCE_CHAIN][32]) {
    size_t count = 0;
    const struct evidence_certificate *chain = e->chain.items;
    for (size_t i = 0; i < e->chain.count; i++) {
        struct snp_cert cert = {0};
        if (is_ok(snp_cert_parse(chain[i].der, "chain", &cert, NULL, NULL))) {
            memcpy(roots[count++], cert.spki_digest, 32);
        }
        snp_cert_deinit(&cert);
    }
    return count;
}

/* --- Binding */

/* What REPORT_DATA must be for this evidence; false when there is no such leaf or place. */
static bool bind(uint8_t wish, const struct evidence *e, uint8_t out[ATTEST_REPORT_DATA_SIZE]) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct attest_channel channel = channel_for(&wish);
    struct statement statement;
    uint8_t leaf[ATTEST_LEAF_SIZE];
    uint8_t root[SHA384_SIZE];
    const uint8_t nonce[ATTEST_NONCE_SIZE] = {0};
    enum attest_kind kind = e->kind == ATTEST_WORKLOAD ? ATTEST_WORKLOAD : ATTEST_REPLICA;
    if ((wish & WISH_DOCUMENT) == 0) {
        attest_session_leaf(&channel, ATTEST_BY_PEER, kind, nonce, e->statement, leaf);
    } else if (is_ok(statement_decode(kind, e->statement, &arena, &statement, NULL))) {
        attest_document_leaf(kind, nonce, statement_public_key(&statement), e->statement, leaf);
    } else {
        return false;
    }
    if (!is_ok(merkle_path_root(leaf, e->leaf_index, e->leaf_count, e->path, root, NULL)) ||
        e->leaf_count > LIMIT_EVIDENCE_LEAVES || e->report.size != SNP_REPORT_SIZE) {
        return false;
    }
    attest_report_data((uint32_t)e->leaf_count, root, out);
    return true;
}

/* --- One input */

static void check_accepted(uint8_t wish, const struct evidence *e, const struct attest_peer *peer) {
    uint8_t expected[ATTEST_REPORT_DATA_SIZE];
    CHECK(peer->verdict.kind == VERDICT_ACCEPTED);
    CHECK(bind(wish, e, expected));
    CHECK(memcmp(peer->report.report_data, expected, sizeof expected) == 0);
    CHECK((wish & WISH_REFLECTION) == 0 || (wish & WISH_DOCUMENT) != 0);
    CHECK((wish & WISH_MANIFEST) == 0 || peer->policy != NULL);
}

static void verify(uint8_t wish, struct span bytes, const struct evidence *e,
                   const struct attest_policy *policy) {
    const uint8_t nonce[ATTEST_NONCE_SIZE] = {0};
    struct attest_channel channel = channel_for(&wish);
    struct attest_verifier v = {.has_nonce = true};
    struct attest_peer peer = {0};
    struct err err;
    struct result r;
    if ((wish & WISH_DOCUMENT) != 0) {
        r = attest_document_verify(nonce, bytes, policy, &peer, &err);
    } else {
        r = attest_verifier_finish(&v, &channel, bytes, policy, &peer, &err);
        CHECK(!v.has_nonce);
    }
    if (is_ok(r)) {
        check_accepted(wish, e, &peer);
    } else {
        CHECK(peer.verdict.kind != VERDICT_ACCEPTED && err.text[0] != 0);
    }
    attest_peer_deinit(&peer);
}

static void judge(uint8_t wish, struct span bytes, const struct evidence *e) {
    static struct snp_cache *cache; /* of all inputs, as a process keeps one */
    cache = cache == NULL ? snp_cache_new() : cache;
    bool is_cached = (wish & WISH_NO_CACHE) == 0 || bytes.size % 32 != 0;
    uint8_t roots[LIMIT_EVIDENCE_CHAIN][32];
    size_t root_count = find_roots(e, roots);
    struct snp_reference set = {.product = SNP_GENOA,
                                .policy_allowed = SNP_POLICY_SMT,
                                .simulated_roots = roots,
                                .simulated_root_count = root_count};
    if (e->report.size == SNP_REPORT_SIZE) {
        memcpy(set.measurement, e->report.data + MEASUREMENT_OFFSET, sizeof set.measurement);
    }
    enum policy_role role = (wish & WISH_WORKLOAD) != 0 ? ROLE_WORKLOAD : ROLE_COORDINATOR;
    struct policy_entry entry = {.role = role};
    memset(entry.hash, HOST_DATA_BYTE, sizeof entry.hash);
    size_t reference_count = (wish & WISH_REFERENCES) != 0 ? 1 : 0;
    struct manifest manifest = {.policies = &entry,
                                .policy_count = 1,
                                .references = &set,
                                .reference_count = reference_count};
    struct attest_policy policy = {
        .kinds = ATTEST_KIND_BIT(ATTEST_REPLICA) | ATTEST_KIND_BIT(ATTEST_WORKLOAD),
        .manifest = (wish & WISH_MANIFEST) != 0 ? &manifest : NULL,
        .role = ROLE_COORDINATOR,
        .references = &set,
        .reference_count = reference_count,
        .extra_roots = (const uint8_t(*)[32])roots,
        .extra_root_count = root_count,
        .at = NOW,
        .cache = is_cached ? cache : NULL,
    };
    verify(wish, bytes, e, &policy);
}

/* Copies the evidence with the REPORT_DATA that binds it; false when that cannot be. */
static bool rebind(uint8_t wish, const struct evidence *e, struct buf *out) {
    uint8_t report[SNP_REPORT_SIZE];
    struct evidence bound = *e;
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
    if (!bind(wish, e, report_data)) {
        return false;
    }
    memcpy(report, e->report.data, sizeof report);
    memcpy(report + REPORT_DATA_OFFSET, report_data, sizeof report_data);
    bound.report = SPAN(report);
    wire_encode(&evidence_type, &bound, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf bound = {0};
    struct span bytes = span_of(data + 1, size - 1);
    struct evidence e = {0};
    if ((data[0] & WISH_REQUEST) != 0) {
        struct attest_request request;
        err_ignore(attest_request_decode(bytes, &request, NULL), "any outcome is fine");
        return 0;
    }
    bool is_whole = is_ok(wire_decode(&evidence_type, bytes, &arena, &e, NULL));
    if (is_whole && (data[0] & WISH_BOUND) != 0 && rebind(data[0], &e, &bound)) {
        bytes = buf_span(&bound);
        CHECK(is_ok(wire_decode(&evidence_type, bytes, &arena, &e, NULL)));
    }
    judge(data[0], bytes, &e);
    return 0;
}

/* --- Changing one field at a time */

#define FIELD_MAX LIMIT_CERT /* bytes that a changed field may have */

struct field {
    struct span *bytes;
    size_t most;
};

static struct field choose_field(struct evidence *e, unsigned seed) {
    struct evidence_certificate *chain = e->chain.items;
    switch (seed % 8) {
    case 0:
    case 1:
        return (struct field){&e->report, LIMIT_SNP_REPORT};
    case 2:
        return (struct field){&e->vek, LIMIT_CERT};
    case 3:
        return (struct field){&e->crl, FIELD_MAX};
    case 4:
        return (struct field){&e->path, (size_t)LIMIT_EVIDENCE_PATH * SHA384_SIZE};
    case 5:
        if (e->chain.count > 0) {
            return (struct field){&chain[(seed / 8) % e->chain.count].der, LIMIT_CERT};
        }
        return (struct field){&e->vek, LIMIT_CERT};
    default:
        return (struct field){&e->statement, LIMIT_STATEMENT};
    }
}

static void change_numbers(struct evidence *e, unsigned seed) {
    switch (seed % 4) {
    case 0:
        e->leaf_count = (seed / 4) % 4;
        break;
    case 1:
        e->leaf_index = (seed / 4) % 4;
        break;
    case 2:
        e->kind = (uint8_t)(1 + (seed / 4) % 2);
        break;
    default:
        e->chain.count -= e->chain.count > 0 ? 1 : 0;
        break;
    }
}

/* Most changes keep the message whole; the others are libFuzzer's on the raw bytes. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    struct evidence e;
    if (seed % 5 == 0 || size < 2 || (data[0] & WISH_REQUEST) != 0 ||
        !is_ok(wire_decode(&evidence_type, span_of(data + 1, size - 1), &arena, &e, NULL))) {
        return LLVMFuzzerMutate(data, size, room);
    }
    uint8_t changed[FIELD_MAX];
    unsigned choice = seed / 5;
    buf_append_u8(&out, choice % 11 == 0 ? (uint8_t)(choice / 11 % 128) : data[0]);
    if (choice % 7 == 0) {
        change_numbers(&e, choice / 7);
    } else {
        struct field field = choose_field(&e, choice / 7);
        size_t now = field.bytes->size < sizeof changed ? field.bytes->size : sizeof changed;
        if (now > 0) {
            memcpy(changed, field.bytes->data, now);
        }
        *field.bytes = span_of(changed, LLVMFuzzerMutate(changed, now, field.most));
    }
    wire_encode(&evidence_type, &e, &out);
    if (out.size > room) {
        return LLVMFuzzerMutate(data, size, room);
    }
    memcpy(data, out.data, out.size);
    return out.size;
}
