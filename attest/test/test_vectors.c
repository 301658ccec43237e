/* Vectors: docs/vectors/{merkle,attest,transition,recovery}.json are what the code computes today.
 *
 * The files are committed and never change for one version of the protocol; check_vectors.py, which
 * shares no code with this program, computes every value in them again from the inputs. With
 * CONTRAST_WRITE_VECTORS=1 in the environment the files are written instead of compared.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/session.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/crypto/merkle.h"
#include "lib/manifest/transition.h"

#define FILE_MAX_SIZE (1024 * 1024)

/* --- JSON, one object a line */

static void add_hex(struct buf *b, const char *name, struct span value) {
    char *hex = mem_alloc(2 * value.size + 1);
    hex_encode(value, hex);
    buf_appendf(b, "%s%s%s\"%s\"", name == NULL ? "" : "\"", name == NULL ? "" : name,
                name == NULL ? "" : "\": ", hex);
    mem_free(hex);
}

static void add_comma(struct buf *b) {
    buf_append_str(b, ", ");
}

static void add_number(struct buf *b, const char *name, uint64_t value) {
    buf_appendf(b, "\"%s\": %llu, ", name, (unsigned long long)value);
}

static void check_or_write(const char *name, struct buf *text) {
    char path[128];
    snprintf(path, sizeof path, "docs/vectors/%s.json", name);
    struct err err = {0};
    if (getenv("CONTRAST_WRITE_VECTORS") != NULL) {
        assert_true(is_ok(file_write(path, buf_span(text), 0644, &err)));
        return;
    }
    AUTO(buf_deinit)
    struct buf committed = {0};
    if (!is_ok(file_read(path, FILE_MAX_SIZE, &committed, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(buf_cstr(&committed), buf_cstr(text));
}

/* 32 bytes that stand for something random. */
static struct span value_of(const char *label, uint8_t out[32]) {
    sha256(span_str(label), out);
    return span_of(out, 32);
}

/* --- merkle.json */

#define MOST_LEAVES 70

static void fill_log(struct merkle_log *log, struct buf *json) {
    buf_append_str(json, "{\n\"leaf_data\": [\n");
    for (size_t i = 0; i < MOST_LEAVES; i++) {
        uint8_t data[MOST_LEAVES];
        uint8_t leaf[MERKLE_HASH_SIZE];
        memset(data, (int)i, sizeof data);
        merkle_leaf(span_of(data, i), leaf);
        merkle_log_append(log, leaf);
        add_hex(json, NULL, span_of(data, i));
        buf_append_str(json, i + 1 < MOST_LEAVES ? ",\n" : "\n],\n");
    }
}

static void add_roots(const struct merkle_log *log, struct buf *json) {
    buf_append_str(json, "\"roots\": [\n");
    for (size_t n = 0; n <= MOST_LEAVES; n++) {
        uint8_t root[MERKLE_HASH_SIZE];
        merkle_log_root_at(log, n, root);
        add_hex(json, NULL, SPAN(root));
        buf_append_str(json, n < MOST_LEAVES ? ",\n" : "\n],\n");
    }
}

static void add_path(const struct merkle_log *log, size_t index, size_t size, struct buf *json) {
    AUTO(buf_deinit)
    struct buf path = {0};
    merkle_log_path(log, index, size, &path);
    buf_append_str(json, "{");
    add_number(json, "index", index);
    add_number(json, "size", size);
    add_hex(json, "path", buf_span(&path));
    buf_append_str(json, "}");
}

static void add_proof(const struct merkle_log *log, size_t old_size, size_t size,
                      struct buf *json) {
    AUTO(buf_deinit)
    struct buf proof = {0};
    merkle_log_consistency(log, old_size, size, &proof);
    buf_append_str(json, "{");
    add_number(json, "old_size", old_size);
    add_number(json, "size", size);
    add_hex(json, "proof", buf_span(&proof));
    buf_append_str(json, "}");
}

/* Every place of the small trees, and pairs spread over the larger ones. */
static void add_pairs(const struct merkle_log *log, struct buf *json, bool is_path) {
    const char *separator = "\n";
    for (size_t size = 1; size <= MOST_LEAVES; size++) {
        for (size_t at = 0; at < size; at += size <= 9 ? 1 : 1 + (size * 7 + at * 5) % 37) {
            buf_append_str(json, separator);
            separator = ",\n";
            if (is_path) {
                add_path(log, at, size, json);
            } else {
                add_proof(log, at + 1, size, json);
            }
        }
    }
}

static void test_merkle(void **state) {
    (void)state;
    AUTO(merkle_log_deinit)
    struct merkle_log log = {0};
    AUTO(buf_deinit)
    struct buf json = {0};
    fill_log(&log, &json);
    add_roots(&log, &json);
    buf_append_str(&json, "\"paths\": [");
    add_pairs(&log, &json, true);
    buf_append_str(&json, "\n],\n\"proofs\": [");
    add_pairs(&log, &json, false);
    buf_append_str(&json, "\n]\n}\n");
    check_or_write("merkle", &json);
}

/* --- attest.json */

/* A channel with given values: only for vectors and simulations. */
struct given_channel {
    uint8_t exporter[32];
    struct span spki;
    bool is_server;
};

static void on_exporter(void *data, uint8_t out[32]) {
    memcpy(out, ((struct given_channel *)data)->exporter, 32);
}

static void on_spki(void *data, uint8_t out[48]) {
    sha384(((struct given_channel *)data)->spki, out);
}

static void on_other_spki(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 0xee, 48);
}

static bool on_is_server(void *data) {
    return ((struct given_channel *)data)->is_server;
}

static void add_leaf(struct buf *json, unsigned number, struct span spki, struct span statement) {
    uint8_t nonce[32];
    struct given_channel given = {.spki = spki, .is_server = (number & 1) != 0};
    enum attest_kind kind = (number & 2) != 0 ? ATTEST_REPLICA : ATTEST_WORKLOAD;
    bool is_document = number >= 4;
    value_of("nonce", nonce);
    nonce[0] = (uint8_t)number;
    if (!is_document) {
        value_of("exporter", given.exporter);
    }
    uint8_t leaf[ATTEST_LEAF_SIZE];
    struct attest_channel channel = {&given, on_exporter, on_spki, on_other_spki, on_is_server};
    if (is_document) {
        attest_document_leaf(kind, nonce, spki, statement, leaf);
    } else {
        attest_session_leaf(&channel, ATTEST_BY_US, kind, nonce, statement, leaf);
    }
    buf_append_str(json, "{");
    add_number(json, "purpose", is_document ? 2 : 1);
    add_number(json, "side", is_document || given.is_server ? 2 : 1);
    add_number(json, "kind", kind);
    add_hex(json, "nonce", SPAN(nonce));
    add_comma(json);
    add_hex(json, "exporter", SPAN(given.exporter));
    add_comma(json);
    add_hex(json, "spki", spki);
    add_comma(json);
    add_hex(json, "statement", statement);
    add_comma(json);
    add_hex(json, "leaf", SPAN(leaf));
    buf_append_str(json, "}");
}

struct report_vector {
    struct buf *json;
    bool is_first;
};

static void on_place(void *data, void *ticket, const struct batch_place *place,
                     const struct err *err) {
    (void)err;
    struct report_vector *v = data;
    buf_append_str(v->json, v->is_first ? "" : ", ");
    v->is_first = false;
    buf_append_str(v->json, "{");
    add_number(v->json, "index", place->leaf_index);
    add_hex(v->json, "leaf", span_of(ticket, ATTEST_LEAF_SIZE));
    add_comma(v->json);
    add_hex(v->json, "path", place->path);
    buf_append_str(v->json, "}");
}

static void add_report(struct buf *json, size_t count) {
    uint8_t leaves[16][ATTEST_LEAF_SIZE];
    struct batch batch = {0};
    struct batch_round round = {0};
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++) {
        uint8_t seed[2] = {(uint8_t)count, (uint8_t)i};
        sha384(SPAN(seed), leaves[i]);
        assert_true(is_ok(batch_add(&batch, leaves[i], leaves[i], NULL)));
    }
    assert_true(batch_take(&batch, &round));
    buf_append_str(json, "{");
    add_number(json, "leaf_count", count);
    add_hex(json, "report_data", SPAN(round.report_data));
    buf_append_str(json, ", \"leaves\": [");
    struct report_vector v = {json, true};
    batch_round_finish(&round, on_place, &v);
    buf_append_str(json, "]}");
    batch_deinit(&batch);
}

/* A P-256 key of the RFC 6979 examples (appendix A.2.5) as SubjectPublicKeyInfo. */
static const char spki_hex[] = "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
                               "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                               "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

#define SPKI_SIZE ((sizeof spki_hex - 1) / 2)

static struct replica_statement example_replica(struct span spki) {
    struct replica_statement s = {
        .epoch = 1,
        .replica_id = statement_replica_id(spki),
        .public_key = spki,
        .term = 127,
        .commit_index = 128,
        .ledger_size = 65535,
        .generation = UINT64_C(4294967296),
        .state = REPLICA_VOTER,
        .has_confirmed = true,
        .confirmed_index = 100,
    };
    value_of("cluster", s.cluster);
    value_of("head", s.head);
    sha384(span_str("ledger"), s.ledger_root);
    sha384(span_str("root CA"), s.root_ca_digest);
    sha384(span_str("mesh CA"), s.mesh_ca_digest);
    return s;
}

static void add_replica(struct buf *json, const struct replica_statement *s, struct span encoded) {
    buf_append_str(json, "{\"kind\": 1, ");
    add_hex(json, "cluster", SPAN(s->cluster));
    add_comma(json);
    add_number(json, "epoch", s->epoch);
    add_number(json, "replica_id", s->replica_id);
    add_hex(json, "public_key", s->public_key);
    add_comma(json);
    add_number(json, "term", s->term);
    add_number(json, "commit_index", s->commit_index);
    add_number(json, "ledger_size", s->ledger_size);
    add_hex(json, "ledger_root", SPAN(s->ledger_root));
    add_comma(json);
    add_hex(json, "head", SPAN(s->head));
    add_comma(json);
    add_number(json, "generation", s->generation);
    add_hex(json, "root_ca_digest", SPAN(s->root_ca_digest));
    add_comma(json);
    add_hex(json, "mesh_ca_digest", SPAN(s->mesh_ca_digest));
    add_comma(json);
    add_number(json, "state", s->state);
    buf_appendf(json, "\"has_confirmed\": %s, ", s->has_confirmed ? "true" : "false");
    add_number(json, "confirmed_index", s->confirmed_index);
    add_hex(json, "encoded", encoded);
    buf_append_str(json, "}");
}

static void add_statements(struct buf *json, struct span spki, struct buf *replica) {
    struct workload_statement workload = {spki};
    struct replica_statement s = example_replica(spki);
    AUTO(buf_deinit)
    struct buf encoded = {0};
    wire_encode(&workload_statement_type, &workload, &encoded);
    wire_encode(&replica_statement_type, &s, replica);
    buf_append_str(json, "{\n\"statements\": [\n{\"kind\": 2, ");
    add_hex(json, "public_key", spki);
    add_comma(json);
    add_hex(json, "encoded", buf_span(&encoded));
    buf_append_str(json, "},\n");
    add_replica(json, &s, buf_span(replica));
    buf_append_str(json, "\n],\n");
}

/* Short stand-ins for the certificates: the encoding is what counts here. */
static void add_messages(struct buf *json, struct span statement) {
    struct attest_request request = {.purpose = ATTEST_SESSION};
    value_of("request", request.nonce);
    AUTO(buf_deinit)
    struct buf encoded = {0};
    wire_encode(&attest_request_type, &request, &encoded);
    buf_append_str(json, "\"requests\": [\n{\"purpose\": 1, ");
    add_hex(json, "nonce", SPAN(request.nonce));
    add_comma(json);
    add_hex(json, "encoded", buf_span(&encoded));
    buf_append_str(json, "}\n],\n\"evidence\": [\n{");
    struct attested attested = {
        .evidence = {.report = span_str("report"),
                     .vek = span_str("vek"),
                     .chain = {span_str("ask"), span_str("ark")},
                     .chain_count = 2},
        .place = {.leaf_count = 300, .leaf_index = 200, .path = span_str("path")},
    };
    buf_clear(&encoded);
    assert_true(
        is_ok(attest_evidence_encode(&attested, ATTEST_REPLICA, statement, &encoded, NULL)));
    add_hex(json, "report", attested.evidence.report);
    add_comma(json);
    add_hex(json, "vek", attested.evidence.vek);
    buf_append_str(json, ", \"chain\": [");
    add_hex(json, NULL, attested.evidence.chain[0]);
    add_comma(json);
    add_hex(json, NULL, attested.evidence.chain[1]);
    buf_append_str(json, "], \"crl\": \"\", \"leaf_count\": 300, \"leaf_index\": 200, ");
    add_hex(json, "path", attested.place.path);
    buf_append_str(json, ", \"kind\": 1, ");
    add_hex(json, "statement", statement);
    add_comma(json);
    add_hex(json, "encoded", buf_span(&encoded));
    buf_append_str(json, "}\n],\n");
}

static void test_attest(void **state) {
    (void)state;
    uint8_t spki_bytes[SPKI_SIZE];
    assert_true(is_ok(hex_decode(span_str(spki_hex), spki_bytes, SPKI_SIZE, NULL)));
    AUTO(buf_deinit)
    struct buf json = {0};
    AUTO(buf_deinit)
    struct buf replica = {0};
    add_statements(&json, SPAN(spki_bytes), &replica);
    add_messages(&json, buf_span(&replica));
    buf_append_str(&json, "\"leaves\": [\n");
    for (unsigned i = 0; i < 8; i++) {
        add_leaf(&json, i, SPAN(spki_bytes), i == 0 ? span_str("") : buf_span(&replica));
        buf_append_str(&json, i < 7 ? ",\n" : "\n],\n\"reports\": [\n");
    }
    static const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 16};
    for (size_t i = 0; i < 9; i++) {
        add_report(&json, counts[i]);
        buf_append_str(&json, i < 8 ? ",\n" : "\n]\n}\n");
    }
    check_or_write("attest", &json);
}

/* --- transition.json */

static void add_policies(struct buf *json, struct policy_entry *entries, size_t count) {
    buf_append_str(json, "\"policies\": [");
    for (size_t i = 0; i < count; i++) {
        /* ascending by construction: the first byte counts */
        value_of("policy", entries[i].hash);
        entries[i].hash[0] = (uint8_t)(i * 40);
        buf_append_str(json, i == 0 ? "" : ", ");
        add_hex(json, NULL, SPAN(entries[i].hash));
    }
    buf_append_str(json, "], ");
}

static void add_transition(struct buf *json, uint64_t generation, uint64_t epoch,
                           uint8_t head[32]) {
    struct policy_entry entries[4];
    struct manifest manifest = {.policies = entries, .policy_count = (size_t)generation};
    struct transition t = {.epoch = epoch, .generation = generation};
    struct span bytes = span_str("{\"stands\": \"for a manifest\"}");
    AUTO(buf_deinit)
    struct buf to_sign = {0};
    buf_append_str(json, "{");
    add_policies(json, entries, manifest.policy_count);
    value_of("cluster", t.cluster);
    memcpy(t.previous, head, sizeof t.previous);
    sha256(bytes, t.manifest_hash);
    manifest_policies_hash(&manifest, t.policies_hash);
    add_hex(json, "cluster", SPAN(t.cluster));
    add_comma(json);
    add_number(json, "epoch", epoch);
    add_number(json, "generation", generation);
    add_hex(json, "previous", SPAN(t.previous));
    add_comma(json);
    add_hex(json, "manifest", bytes);
    add_comma(json);
    transition_hash(&t, head);
    transition_signed_bytes(head, &to_sign);
    add_hex(json, "transition", span_of(head, 32));
    add_comma(json);
    add_hex(json, "signed_bytes", buf_span(&to_sign));
    buf_append_str(json, "}");
}

static void test_transition(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf json = {0};
    uint8_t head[32] = {0};
    buf_append_str(&json, "{\n\"transitions\": [\n");
    add_transition(&json, 1, 1, head);
    buf_append_str(&json, ",\n");
    add_transition(&json, 2, 1, head);
    buf_append_str(&json, ",\n");
    add_transition(&json, 3, UINT64_C(258), head);
    buf_append_str(&json, "\n]\n}\n");
    check_or_write("transition", &json);
}

/* --- recovery.json */

/* The first key of checkpoint.json, and openssl(1)'s signature by it over the second recovery
 * below: openssl dgst -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sign */
static const char share_owner_hex[] =
    "3082010a0282010100cb7bb67c406c96466182d9098f99dabd724a3431c398792a779885bfdf9852"
    "f245d0ba5b149f0572fa259b810cee1b4734509527c207e20fde75bb4051461a7eca32a0d7fd4e69"
    "504f33405f930eea710ca2ae5beccae7bb6757c96f9d9b1f60e477c1543094372126baa6142f190a"
    "fbf8d6fd19f494f8be4150c66f294c1b92e912f2758330e009ff7c2209443fb94b55f45307e6407a"
    "bd7e783f2a72ad02f62a1b46e8f8b04a68f6a81d9974e42c872ad3359afc4405755386466cbf00e2"
    "700ca511a044fc43136d76253e6385ebbf7cba068dd4e2b0e5bbf7139874b6488e40af4e0daaa9f1"
    "0ed093fee7632be3f45995022ff85f14d6c1801560e97e92f10203010001";
static const char pss_hex[] =
    "955965a0795a514bf13b7181b774862d9e0c2c6544dd90c47359866011c5eb03ab944933f4af82d4"
    "29330db3fcfb03501feb886a7241cf6a235360ab799594053dbf8b9adb9cbcee320d8b0447e3f5b0"
    "ab7a3012c546deae534e46d77cdc27365fe2bb254e321193fbcf165f3b2fb491d7034bcf60841e7e"
    "3f727d7ed1e4d0f83dd929d6f3e41eefe71193a69d15af853480654c113d1ec88a0980938d049faa"
    "6a0774366b73b834117743f337eb2d8965cb88e3d42c67bac6b18dd3e273836d35c101cb2c1b01fb"
    "9c4ac62d5822e582fffc008d502db7bb2bffdf706a11841bdecb87bb4a81f549e403e31116696e8c"
    "6a5f89e9e5c30b0d502676b958f4c2fe";

static struct span decode(const char *hex, struct buf *out) {
    size_t size = strlen(hex) / 2;
    assert_true(is_ok(hex_decode(span_str(hex), buf_extend(out, size), size, NULL)));
    return buf_span(out);
}

static struct recovery example_recovery(uint64_t epoch, uint8_t mode) {
    struct recovery r = {
        .epoch = epoch,
        .previous_epoch = epoch == UINT64_MAX ? UINT64_C(258) : 1,
        .mode = mode,
        .generation = 3,
        .index = 400,
        .ledger_size = 5,
    };
    value_of("cluster", r.cluster);
    value_of("head", r.head);
    value_of("recipient", r.recipient);
    sha384(span_str("root"), r.ledger_root);
    return r;
}

static void add_recovery(struct buf *json, const struct recovery *r) {
    uint8_t hash[32];
    AUTO(buf_deinit)
    struct buf to_sign = {0};
    recovery_hash(r, hash);
    recovery_signed_bytes(r, &to_sign);
    buf_append_str(json, "{");
    add_hex(json, "cluster", SPAN(r->cluster));
    add_comma(json);
    add_number(json, "epoch", r->epoch);
    add_number(json, "previous_epoch", r->previous_epoch);
    add_number(json, "mode", r->mode);
    add_number(json, "generation", r->generation);
    add_hex(json, "head", SPAN(r->head));
    add_comma(json);
    add_number(json, "index", r->index);
    add_number(json, "ledger_size", r->ledger_size);
    add_hex(json, "ledger_root", SPAN(r->ledger_root));
    add_comma(json);
    add_hex(json, "recipient", SPAN(r->recipient));
    add_comma(json);
    add_hex(json, "recovery", SPAN(hash));
    add_comma(json);
    add_hex(json, "signed_bytes", buf_span(&to_sign));
    buf_append_str(json, "}");
}

static void add_signature(struct buf *json, const struct recovery *r) {
    AUTO(buf_deinit)
    struct buf key = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    struct recovery_signature s = {decode(share_owner_hex, &key), decode(pss_hex, &signature)};
    struct manifest authority = {
        .share_owners = &s.key, .share_owner_count = 1, .share_threshold = 1};
    struct err err = {0};
    if (!is_ok(recovery_verify(r, &s, 1, &authority, &err))) {
        fail_msg("%s", err.text);
    }
    AUTO(buf_deinit)
    struct buf signed_bytes = {0};
    recovery_signed_bytes(r, &signed_bytes);
    buf_append_str(json, "{");
    add_hex(json, "key", s.key);
    add_comma(json);
    add_hex(json, "signed_bytes", buf_span(&signed_bytes));
    add_comma(json);
    add_hex(json, "signature", s.signature);
    buf_append_str(json, "}");
}

static void test_recovery(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf json = {0};
    struct recovery survivor = example_recovery(2, RECOVERY_SURVIVOR);
    struct recovery checkpoint = example_recovery(2, RECOVERY_CHECKPOINT);
    struct recovery automatic = example_recovery(UINT64_MAX, RECOVERY_AUTOMATIC);
    buf_append_str(&json, "{\n\"recoveries\": [\n");
    add_recovery(&json, &survivor);
    buf_append_str(&json, ",\n");
    add_recovery(&json, &checkpoint);
    buf_append_str(&json, ",\n");
    add_recovery(&json, &automatic);
    buf_append_str(&json, "\n],\n\"signatures\": [\n");
    add_signature(&json, &checkpoint);
    buf_append_str(&json, "\n]\n}\n");
    check_or_write("recovery", &json);
}

/* --- The committed evidence: what verified once verifies for ever */

#define EVIDENCE_NOW INT64_C(1767225600) /* 2026-01-01, inside the certificates' dates */

static enum err_code verify_committed(struct span bytes, const uint8_t (*root)[32]) {
    const uint8_t nonce[ATTEST_NONCE_SIZE] = {0};
    struct attest_policy policy = {.kinds = ATTEST_KIND_BIT(ATTEST_REPLICA),
                                   .extra_roots = root,
                                   .extra_root_count = 1,
                                   .at = EVIDENCE_NOW};
    struct attest_peer peer = {0};
    struct err err = {0};
    struct result r = attest_document_verify(nonce, bytes, &policy, &peer, &err);
    assert_int_equal(is_ok(r), peer.verdict.kind == VERDICT_ACCEPTED);
    attest_peer_deinit(&peer);
    return r.code;
}

static void digest_of_root(struct span bytes, uint8_t out[32]) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct evidence e;
    struct snp_cert ark = {0};
    assert_true(is_ok(wire_decode(&evidence_type, bytes, &arena, &e, NULL)));
    assert_int_equal(e.chain.count, 2);
    const struct evidence_certificate *chain = e.chain.items;
    assert_true(is_ok(snp_cert_parse(chain[1].der, "ARK", &ark, NULL, NULL)));
    memcpy(out, ark.spki_digest, 32);
    snp_cert_deinit(&ark);
}

static void test_committed_evidence(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    uint8_t root[1][32];
    assert_true(
        is_ok(file_read("attest/fuzz/corpus/session/document", FILE_MAX_SIZE, &bytes, NULL)));
    buf_consume(&bytes, 1); /* what the fuzz target's verifier wants; the message follows */
    digest_of_root(buf_span(&bytes), root[0]);
    assert_int_equal(verify_committed(buf_span(&bytes), (const uint8_t(*)[32])root), ERR_OK);
    /* no single changed byte is accepted */
    for (size_t i = 0; i < bytes.size; i += 31) {
        bytes.data[i] ^= 0x04;
        assert_int_not_equal(verify_committed(buf_span(&bytes), (const uint8_t(*)[32])root),
                             ERR_OK);
        bytes.data[i] ^= 0x04;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merkle),
        cmocka_unit_test(test_attest),
        cmocka_unit_test(test_transition),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_committed_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
