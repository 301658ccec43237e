/* The machine room's evidence before the product's own verifier, issuer, attester and key service
 * client: what is good passes, each way of being false is refused by its name.
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
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <uv.h>

#include "attest/attester.h"
#include "attest/endorse/kds.h"
#include "attest/snp_cache.h"
#include "attest/snp_product.h"
#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/played/machine_room.h"
#include "chaos-tests/played/played_keys.h"
#include "chaos-tests/played/room_wait.h"
#include "lib/base/limits.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/manifest.h"

#define HOSTS 4
#define PATIENCE_MS 10000
#define MANY 20

struct world {
    struct machine_room *room;
    struct manifest manifest;
    uint8_t roots[1][32];
    struct pod_identity good;
};

static int64_t unix_now(void *data) {
    (void)data;
    return MACHINE_ROOM_EPOCH_S;
}

static uint64_t monotonic_now(void *data) {
    (void)data;
    return host_monotonic_ms(&host_system);
}

static void draw(void *data, void *out, size_t size) {
    (void)data;
    host_random(&host_system, out, size);
}

static const struct host clock_of_room = {NULL, monotonic_now, unix_now, draw};

static int setup(void **state) {
    struct world *w = mem_zalloc(sizeof *w);
    AUTO(buf_deinit)
    struct buf json = {0};
    struct err err;
    memset(w->good.host_data, 0xA1, sizeof w->good.host_data);
    struct room_policy policy = {.is_coordinator = true, .san = "coordinator"};
    memset(policy.hash, 0xA1, sizeof policy.hash);
    struct room_manifest manifest = {.policies = &policy, .policy_count = 1};
    w->room = machine_room_new(HOSTS);
    machine_room_root(w->roots[0]);
    machine_room_manifest(w->room, &manifest, &json);
    if (!is_ok(manifest_parse(buf_span(&json), &w->manifest, &err))) {
        fail_msg("%s", err.text);
    }
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    manifest_deinit(&w->manifest);
    machine_room_free(w->room);
    mem_free(w);
    return 0;
}

/* --- Verdicts */

static struct result judge(const struct world *w, const struct issuer_evidence *made,
                           const uint8_t *host_data, struct snp_cache *cache, struct err *err) {
    struct snp_report report;
    struct verdict verdict = {0};
    uint8_t data[64] = {7};
    struct snp_evidence evidence = {.report = buf_span(&made->report),
                                    .vek = buf_span(&made->vek),
                                    .chain_count = made->chain_count};
    for (size_t i = 0; i < made->chain_count; i++) {
        evidence.chain[i] = buf_span(&made->chain[i]);
    }
    struct snp_options options = {.references = w->manifest.references,
                                  .reference_count = w->manifest.reference_count,
                                  .report_data = data,
                                  .host_data = host_data,
                                  .extra_roots = (const uint8_t(*)[32])w->roots,
                                  .extra_root_count = 1,
                                  .only_extra_roots = true,
                                  .at = MACHINE_ROOM_EPOCH_S,
                                  .cache = cache};
    return snp_verify(&evidence, &options, &report, &verdict, err);
}

static struct result judge_pod(const struct world *w, unsigned host, const struct pod_identity *pod,
                               struct err *err) {
    char spec[MACHINE_ROOM_SPEC_SIZE];
    uint8_t data[64] = {7};
    struct issuer_evidence made = {0};
    machine_room_pod(w->room, host, pod, spec);
    assert_true(is_ok(machine_room_report(w->room, spec, data, &made, err)));
    struct result r = judge(w, &made, w->good.host_data, NULL, err);
    issuer_evidence_deinit(&made);
    return r;
}

static void test_a_good_pod_is_accepted_on_every_host(void **state) {
    const struct world *w = *state;
    struct err err = {0};
    for (unsigned host = 0; host < HOSTS; host++) {
        struct result r = judge_pod(w, host, &w->good, &err);
        assert_true(is_ok(r) || (print_error("%s\n", err.text), false));
    }
}

static void deny(const struct world *w, const struct pod_identity *pod, const char *code) {
    struct err err = {0};
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(judge_pod(w, host, pod, &err).code, ERR_DENIED);
        if (strncmp(err.text, code, strlen(code)) != 0) {
            fail_msg("want %s, got %s", code, err.text);
        }
    }
}

static void test_each_malicious_pod_is_denied_by_its_name(void **state) {
    const struct world *w = *state;
    struct pod_identity pod = w->good;
    pod.host_data[0] ^= 1;
    deny(w, &pod, "SNP-HOST-DATA");
    pod = w->good;
    pod.policy = SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT | SNP_POLICY_DEBUG;
    deny(w, &pod, "SNP-POLICY-DEBUG");
    pod = w->good;
    pod.measurement[3] = 1;
    deny(w, &pod, "SNP-MEASUREMENT");
    pod = w->good;
    pod.vmpl = 1;
    deny(w, &pod, "SNP-VMPL");
    pod = w->good;
    pod.machine = ROOM_OLD_TCB;
    deny(w, &pod, "SNP-TCB");
    pod.machine = ROOM_UNLISTED;
    deny(w, &pod, "SNP-CHIP");
    pod.machine = ROOM_ROGUE;
    deny(w, &pod, "SNP-ROOT");
    pod = w->good;
    pod.has_false_signature = true;
    deny(w, &pod, "SNP-SIGNATURE");
}

static struct issuer_evidence make_good(const struct world *w, unsigned host) {
    char spec[MACHINE_ROOM_SPEC_SIZE];
    uint8_t data[64] = {7};
    struct issuer_evidence made = {0};
    struct err err;
    machine_room_pod(w->room, host, &w->good, spec);
    assert_true(is_ok(machine_room_report(w->room, spec, data, &made, &err)));
    return made;
}

/* Whatever was remembered before: every bit that is signed, of R and of S counts. */
static void test_a_changed_report_is_denied(void **state) {
    const struct world *w = *state;
    struct err err;
    struct snp_cache *cache = snp_cache_new();
    struct issuer_evidence made = make_good(w, 0);
    assert_true(is_ok(judge(w, &made, w->good.host_data, cache, &err)));
    for (size_t at = 0; at < SNP_REPORT_SIGNED_SIZE + 2 * 48; at += 37) {
        size_t where =
            at < SNP_REPORT_SIGNED_SIZE + 48 ? at : at + 24; /* S lies behind R's zeros */
        made.report.data[where] ^= 4;
        assert_false(is_ok(judge(w, &made, w->good.host_data, cache, &err)));
        made.report.data[where] ^= 4;
    }
    assert_true(is_ok(judge(w, &made, w->good.host_data, cache, &err)));
    issuer_evidence_deinit(&made);
    snp_cache_free(cache);
}

static void test_a_report_under_the_certificate_of_another_host_is_denied(void **state) {
    const struct world *w = *state;
    struct err err;
    struct issuer_evidence made = make_good(w, 0);
    struct issuer_evidence other = make_good(w, 2);
    buf_clear(&made.vek);
    buf_append_span(&made.vek, buf_span(&other.vek));
    assert_int_equal(judge(w, &made, w->good.host_data, NULL, &err).code, ERR_DENIED);
    issuer_evidence_deinit(&made);
    issuer_evidence_deinit(&other);
}

/* --- The issuer */

static struct result ask(const struct world *w, const char *spec, uint8_t first,
                         struct issuer_evidence *out, struct err *err) {
    (void)w;
    uint8_t data[64] = {first};
    struct issuer *issuer = NULL;
    TRY(issuer_open(spec, &issuer, err));
    struct result r = issuer_report(issuer, data, out, err);
    issuer_close(issuer);
    return r;
}

static void expect(const struct world *w, enum room_port_mode mode, uint8_t first, const char *spec,
                   enum err_code code) {
    struct issuer_evidence made = {0};
    struct err err = {0};
    machine_room_port(w->room, 0)->mode = mode;
    struct result r = ask(w, spec, first, &made, &err);
    issuer_evidence_deinit(&made);
    if (r.code != code) {
        fail_msg("mode %d: %s", (int)mode, err.text);
    }
}

static void test_each_port_mode_is_an_error_of_its_own(void **state) {
    const struct world *w = *state;
    char spec[MACHINE_ROOM_SPEC_SIZE];
    machine_room_pod(w->room, 0, &w->good, spec);
    machine_room_port(w->room, 0)->latency_ms = 0;
    expect(w, ROOM_PORT_ANSWERS, 1, spec, ERR_OK);
    expect(w, ROOM_PORT_BUSY, 2, spec, ERR_BUSY);
    expect(w, ROOM_PORT_REFUSES, 3, spec, ERR_UNAVAILABLE);
    expect(w, ROOM_PORT_LOST, 4, spec, ERR_LOST);
    expect(w, ROOM_PORT_STALE, 5, spec, ERR_OK); /* the first one is what was asked for */
    expect(w, ROOM_PORT_STALE, 6, spec, ERR_MALFORMED);
    expect(w, ROOM_PORT_GARBAGE, 7, spec, ERR_MALFORMED);
    expect(w, ROOM_PORT_BAD_TABLE, 8, spec, ERR_MALFORMED);
    expect(w, ROOM_PORT_ANSWERS, 9, spec, ERR_OK);
    expect(w, ROOM_PORT_ANSWERS, 9, "unix:/room/4000", ERR_UNAVAILABLE);
    expect(w, ROOM_PORT_ANSWERS, 9, "unix:/tmp/socket", ERR_UNAVAILABLE);
}

static void test_a_host_without_certificates_hands_out_the_report(void **state) {
    const struct world *w = *state;
    struct issuer_evidence made = {0};
    struct err err = {0};
    char spec[MACHINE_ROOM_SPEC_SIZE];
    machine_room_pod(w->room, 1, &w->good, spec);
    machine_room_port(w->room, 1)->has_no_certificates = true;
    assert_true(is_ok(ask(w, spec, 7, &made, &err)));
    assert_int_equal(made.vek.size, 0);
    assert_int_equal(judge(w, &made, w->good.host_data, NULL, &err).code, ERR_UNVERIFIABLE);
    issuer_evidence_deinit(&made);
}

static void test_keys_are_the_guests_own(void **state) {
    const struct world *w = *state;
    struct issuer_key_spec spec = {.fields = ISSUER_FIELD_MEASUREMENT};
    struct secret *keys[3];
    struct err err = {0};
    for (unsigned i = 0; i < 3; i++) {
        char text[MACHINE_ROOM_SPEC_SIZE];
        struct issuer *issuer = NULL;
        machine_room_pod(w->room, i == 2 ? 1 : 0, &w->good, text);
        assert_true(is_ok(issuer_open(text, &issuer, &err)));
        keys[i] = secret_new(ISSUER_KEY_SIZE);
        assert_true(is_ok(issuer_derive_key(issuer, &spec, keys[i], &err)));
        issuer_close(issuer);
    }
    assert_true(secret_equal(keys[0], keys[1]));
    assert_false(secret_equal(keys[0], keys[2]));
    for (unsigned i = 0; i < 3; i++) {
        secret_free(keys[i]);
    }
}

/* --- The attester */

struct asked {
    uv_sem_t done;
    _Atomic size_t good;
    _Atomic unsigned code;
    _Atomic unsigned leaf_count;
};

static void on_attested(void *data, const struct attested *attested, const struct err *err) {
    struct asked *asked = data;
    asked->good += attested != NULL;
    if (attested == NULL) {
        asked->code = (unsigned)err->code;
    } else {
        asked->leaf_count = attested->place.leaf_count;
    }
    uv_sem_post(&asked->done);
}

static struct issuer *open_pod(const struct world *w, unsigned host) {
    char spec[MACHINE_ROOM_SPEC_SIZE];
    struct issuer *issuer = NULL;
    struct err err;
    machine_room_pod(w->room, host, &w->good, spec);
    assert_true(is_ok(issuer_open(spec, &issuer, &err)));
    return issuer;
}

static void submit(struct attester *a, struct asked *asked, uint8_t first) {
    uint8_t leaf[ATTEST_LEAF_SIZE] = {first};
    struct err err;
    assert_true(is_ok(attester_submit(a, leaf, on_attested, asked, &err)));
}

static bool is_asked(void *data) {
    const struct room_port *port = data;
    return port->requests > 0;
}

/* One is under way with a silent host; who asks meanwhile shares the next report. */
static void test_the_attester_batches_behind_a_silent_host(void **state) {
    const struct world *w = *state;
    struct room_port *port = machine_room_port(w->room, 0);
    struct asked asked = {0};
    struct attester *a = NULL;
    struct err err;
    struct issuer *issuer = open_pod(w, 0);
    assert_int_equal(uv_sem_init(&asked.done, 0), 0);
    assert_true(is_ok(attester_new(issuer, &a, &err)));
    port->mode = ROOM_PORT_SILENT;
    submit(a, &asked, 1);
    assert_true(room_wait(PATIENCE_MS, is_asked, port));
    for (uint8_t i = 0; i < MANY; i++) {
        submit(a, &asked, (uint8_t)(2 + i));
    }
    port->mode = ROOM_PORT_ANSWERS;
    for (unsigned i = 0; i < MANY + 1; i++) {
        uv_sem_wait(&asked.done);
    }
    assert_int_equal(asked.good, MANY + 1);
    assert_int_equal(asked.leaf_count, MANY);
    assert_int_equal(port->requests, 2);
    attester_free(a);
    issuer_close(issuer);
    uv_sem_destroy(&asked.done);
}

static RESULT report_of(void *data, const uint8_t report_data[ISSUER_DATA_SIZE],
                        struct issuer_evidence *out, struct err *err) {
    return issuer_report(data, report_data, out, err);
}

/* With little patience: the code that whoever asks gets. */
static unsigned code_of(const struct world *w, enum room_port_mode mode) {
    static const struct attester_patience little = {.busy_ms = 1, .answer_ms = 300};
    struct asked asked = {0};
    struct attester *a = NULL;
    struct err err;
    struct issuer *issuer = open_pod(w, 0);
    struct attester_source source = {.data = issuer, .report = report_of};
    assert_int_equal(uv_sem_init(&asked.done, 0), 0);
    assert_true(is_ok(attester_new_from(&source, &little, &clock_of_room, &a, &err)));
    machine_room_port(w->room, 0)->mode = mode;
    submit(a, &asked, 1);
    uv_sem_wait(&asked.done);
    machine_room_port(w->room, 0)->mode = ROOM_PORT_ANSWERS;
    attester_free(a);
    issuer_close(issuer);
    uv_sem_destroy(&asked.done);
    return asked.code;
}

static void test_the_attester_gives_up_on_a_host(void **state) {
    const struct world *w = *state;
    assert_int_equal(code_of(w, ROOM_PORT_BUSY), ERR_BUSY);
    assert_int_equal(code_of(w, ROOM_PORT_SILENT), ERR_UNAVAILABLE);
    assert_int_equal(code_of(w, ROOM_PORT_LOST), ERR_LOST);
    assert_int_equal(code_of(w, ROOM_PORT_GARBAGE), ERR_MALFORMED);
    assert_int_equal(code_of(w, ROOM_PORT_ANSWERS), ERR_OK);
}

/* --- The key service */

static struct result fetch_vek(const struct world *w, unsigned host, struct err *err) {
    const struct machine *m = room_stock_machine(host, ROOM_GENUINE);
    struct snp_endorsement_key key = {.product = m->product};
    struct kds_config config = {.base = MACHINE_ROOM_KDS_URL,
                                .extra_roots = (const uint8_t(*)[32])w->roots,
                                .extra_root_count = 1,
                                .total_ms = 1000,
                                .host = &clock_of_room};
    AUTO(buf_deinit)
    struct buf der = {0};
    struct kds *kds = NULL;
    memcpy(key.chip_id, m->chip_id, sizeof key.chip_id);
    snp_tcb_encode(m->product, &m->tcb, key.tcb);
    TRY(kds_open(&config, &kds, err));
    struct result r = kds_fetch_vek(kds, &key, &der, NULL, err);
    kds_close(kds);
    assert_true(!is_ok(r) || span_equal(buf_span(&der), buf_span(&m->vek_der)));
    return r;
}

static struct result fetch_list(const struct world *w, struct buf *der, struct err *err) {
    struct kds_config config = {.base = MACHINE_ROOM_KDS_URL,
                                .extra_roots = (const uint8_t(*)[32])w->roots,
                                .extra_root_count = 1,
                                .total_ms = 1000,
                                .host = &clock_of_room};
    struct kds *kds = NULL;
    TRY(kds_open(&config, &kds, err));
    struct result r = kds_fetch_crl(kds, SNP_GENOA, SNP_KEY_VCEK, der, NULL, err);
    kds_close(kds);
    return r;
}

static void test_the_key_service_serves_what_it_has(void **state) {
    const struct world *w = *state;
    struct room_kds *kds = machine_room_kds(w->room);
    AUTO(buf_deinit)
    struct buf list = {0};
    struct err err = {0};
    for (unsigned host = 0; host < HOSTS; host++) {
        assert_true(is_ok(fetch_vek(w, host, &err)));
        assert_int_equal(kds->chip_requests[host], 1);
    }
    assert_true(is_ok(fetch_list(w, &list, &err)));
    assert_true(span_equal(buf_span(&list), room_stock_list(SNP_GENOA, 2, false, false)));
}

static void test_each_lie_and_failure_of_the_key_service_is_refused(void **state) {
    static const struct {
        enum room_kds_mode mode;
        enum err_code vek;
        enum err_code list;
    } all[] = {{ROOM_KDS_DOWN, ERR_UNAVAILABLE, ERR_UNAVAILABLE},
               {ROOM_KDS_SILENT, ERR_UNAVAILABLE, ERR_UNAVAILABLE},
               {ROOM_KDS_THROTTLES, ERR_BUSY, ERR_BUSY},
               {ROOM_KDS_FAILS, ERR_UNAVAILABLE, ERR_UNAVAILABLE},
               {ROOM_KDS_UNKNOWN, ERR_NOT_FOUND, ERR_NOT_FOUND},
               {ROOM_KDS_OTHER_CHIP, ERR_DENIED, ERR_OK},
               {ROOM_KDS_ROGUE, ERR_DENIED, ERR_DENIED},
               {ROOM_KDS_GARBAGE, ERR_DENIED, ERR_MALFORMED},
               {ROOM_KDS_TOO_MUCH, ERR_MALFORMED, ERR_MALFORMED},
               {ROOM_KDS_UP, ERR_OK, ERR_OK}};
    const struct world *w = *state;
    struct err err = {0};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        AUTO(buf_deinit)
        struct buf list = {0};
        machine_room_kds(w->room)->mode = all[i].mode;
        if (fetch_vek(w, 1, &err).code != all[i].vek) {
            fail_msg("mode %d: certificate: %s", (int)all[i].mode, err.text);
        }
        if (fetch_list(w, &list, &err).code != all[i].list) {
            fail_msg("mode %d: list: %s", (int)all[i].mode, err.text);
        }
    }
}

/* The revoking list is genuine, so its word counts. */
static void test_a_list_that_revokes_is_obeyed(void **state) {
    const struct world *w = *state;
    struct issuer_evidence made = make_good(w, 1);
    struct snp_report report;
    struct verdict verdict = {0};
    struct err err;
    struct span list = room_stock_list(SNP_GENOA, 3, false, true);
    struct snp_evidence evidence = {.report = buf_span(&made.report),
                                    .vek = buf_span(&made.vek),
                                    .chain = {buf_span(&made.chain[0]), buf_span(&made.chain[1])},
                                    .chain_count = 2};
    struct snp_options options = {.references = w->manifest.references,
                                  .reference_count = w->manifest.reference_count,
                                  .crls = &list,
                                  .crl_count = 1,
                                  .at = MACHINE_ROOM_EPOCH_S};
    assert_int_equal(snp_verify(&evidence, &options, &report, &verdict, &err).code, ERR_DENIED);
    assert_int_equal(strncmp(err.text, "SNP-REVOKED", 11), 0);
    issuer_evidence_deinit(&made);
}

/* --- Keys */

/* By a function of OpenSSL that is its own. */
static bool library_accepts(EVP_PKEY *key, struct span message, struct span signature) {
    uint8_t digest[SHA384_SIZE];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_non_null(ctx);
    sha384(message, digest);
    int verdict = EVP_PKEY_verify_init(ctx) == 1
                      ? EVP_PKEY_verify(ctx, signature.data, signature.size, digest, sizeof digest)
                      : -1;
    EVP_PKEY_CTX_free(ctx);
    return verdict == 1;
}

static void test_cheap_signatures_are_genuine(void **state) {
    (void)state;
    struct key key = {0};
    struct err err;
    struct played_keys_counts before;
    struct played_keys_counts after;
    assert_true(is_ok(key_generate(KEY_P384, &key, &err)));
    played_keys_count(&before);
    for (uint8_t i = 0; i < 40; i++) {
        AUTO(buf_deinit)
        struct buf signature = {0};
        assert_true(is_ok(key_sign(&key, span_of(&i, 1), &signature, &err)));
        assert_true(library_accepts(key.pkey, span_of(&i, 1), buf_span(&signature)));
    }
    played_keys_count(&after);
    assert_int_equal(after.cheap_signatures - before.cheap_signatures, 40);
    key_deinit(&key);
}

static void check_binding(enum key_kind kind) {
    struct key key = {0};
    struct key other = {0};
    struct err err;
    AUTO(buf_deinit)
    struct buf signature = {0};
    struct span message = span_str("message");
    assert_true(is_ok(key_generate(kind, &key, &err)) && is_ok(key_generate(kind, &other, &err)));
    assert_true(is_ok(key_sign(&key, message, &signature, &err)));
    assert_true(is_ok(key_verify(&key, message, buf_span(&signature), &err)));
    assert_false(is_ok(key_verify(&other, message, buf_span(&signature), &err)));
    assert_false(is_ok(key_verify(&key, span_str("messagf"), buf_span(&signature), &err)));
    for (size_t i = 0; i < signature.size; i++) {
        signature.data[i] ^= 1;
        assert_false(is_ok(key_verify(&key, message, buf_span(&signature), &err)));
        signature.data[i] ^= 1;
    }
    assert_true(is_ok(key_verify(&key, message, buf_span(&signature), &err)));
    key_deinit(&key);
    key_deinit(&other);
}

static void test_a_signature_is_of_one_key_and_one_message(void **state) {
    (void)state;
    check_binding(KEY_P256);
    check_binding(KEY_P384);
    check_binding(KEY_ED25519);
}

/* What was signed, and the signature, of an object that nobody shares. */
static bool library_accepts_cert(EVP_PKEY *key, const struct buf *der) {
    const unsigned char *at = der->data;
    const ASN1_BIT_STRING *bits = NULL;
    unsigned char *tbs = NULL;
    X509 *cert = X509_new();
    assert_non_null(d2i_X509(&cert, &at, (long)der->size));
    int size = i2d_re_X509_tbs(cert, &tbs);
    X509_get0_signature(&bits, NULL, cert);
    assert_true(size > 0);
    bool is_good =
        library_accepts(key, span_of(tbs, (size_t)size), span_of(bits->data, (size_t)bits->length));
    OPENSSL_free(tbs);
    X509_free(cert);
    return is_good;
}

static void test_a_certificate_of_a_cheap_root_is_genuine(void **state) {
    (void)state;
    struct key root = {0};
    struct key leaf = {0};
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf root_der = {0};
    AUTO(buf_deinit)
    struct buf leaf_der = {0};
    uint8_t serial[2] = {1, 2};
    struct cert_spec spec = {.subject = "root",
                             .serial = SPAN(serial),
                             .not_before = MACHINE_ROOM_EPOCH_S,
                             .not_after = MACHINE_ROOM_EPOCH_S + 1000,
                             .is_ca = true,
                             .path_length = CERT_PATH_LENGTH_NONE,
                             .key_usage = CERT_USE_KEY_CERT_SIGN};
    assert_true(is_ok(key_generate(KEY_P384, &root, &err)));
    assert_true(is_ok(key_generate(KEY_P256, &leaf, &err)));
    assert_true(is_ok(cert_build(&spec, &root, &root, &root_der, &err)));
    spec = (struct cert_spec){.subject = "leaf",
                              .issuer_certificate = buf_span(&root_der),
                              .serial = SPAN(serial),
                              .not_before = MACHINE_ROOM_EPOCH_S,
                              .not_after = MACHINE_ROOM_EPOCH_S + 1000,
                              .path_length = CERT_PATH_LENGTH_NONE,
                              .key_usage = CERT_USE_DIGITAL_SIGNATURE};
    assert_true(is_ok(cert_build(&spec, &leaf, &root, &leaf_der, &err)));
    int64_t at = MACHINE_ROOM_EPOCH_S + 1;
    assert_true(library_accepts_cert(root.pkey, &root_der));
    assert_true(library_accepts_cert(root.pkey, &leaf_der));
    assert_true(
        is_ok(cert_verify_leaf(buf_span(&leaf_der), NULL, 0, buf_span(&root_der), at, &err)));
    leaf_der.data[leaf_der.size - 1] ^= 1;
    assert_false(
        is_ok(cert_verify_leaf(buf_span(&leaf_der), NULL, 0, buf_span(&root_der), at, &err)));
    key_deinit(&root);
    key_deinit(&leaf);
}

static void test_the_fixed_pairs_are_of_two_primes(void **state) {
    (void)state;
    for (unsigned i = 0; i < FIXED_RAND_RSA; i++) {
        struct key key = {0};
        fixed_rand_rsa(i, &key);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key.pkey, NULL);
        assert_int_equal(EVP_PKEY_get_bits(key.pkey), 4096);
        assert_int_equal(EVP_PKEY_pairwise_check(ctx), 1);
        const char *const names[] = {OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2};
        for (unsigned k = 0; k < 2; k++) {
            BIGNUM *prime = NULL;
            assert_int_equal(EVP_PKEY_get_bn_param(key.pkey, names[k], &prime), 1);
            assert_int_equal(BN_check_prime(prime, NULL, NULL), 1);
            BN_free(prime);
        }
        EVP_PKEY_CTX_free(ctx);
        key_deinit(&key);
    }
}

/* Bytes that were read before give the same object, other bytes never. */
static void test_what_was_parsed_is_shared_by_its_bytes_alone(void **state) {
    (void)state;
    const struct machine *m = room_stock_machine(0, ROOM_GENUINE);
    AUTO(buf_deinit)
    struct buf der = {0};
    buf_append_span(&der, buf_span(&m->vek_der));
    buf_append_u8(&der, 0);
    const unsigned char *first = m->vek_der.data;
    const unsigned char *second = der.data;
    X509 *a = d2i_X509(NULL, &first, (long)m->vek_der.size);
    X509 *b = d2i_X509(NULL, &second, (long)m->vek_der.size);
    assert_ptr_equal(a, b);
    assert_ptr_equal(first, m->vek_der.data + m->vek_der.size);
    X509_free(b);
    second = der.data;
    b = d2i_X509(NULL, &second, (long)der.size); /* a byte behind it */
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(second, der.data + m->vek_der.size);
    X509_free(b);
    der.data[der.size - 3] ^= 1; /* in the signature */
    second = der.data;
    b = d2i_X509(NULL, &second, (long)m->vek_der.size);
    assert_ptr_not_equal(a, b);
    const unsigned char *ask_der = m->ask_der.data;
    X509 *ask = d2i_X509(NULL, &ask_der, (long)m->ask_der.size);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(X509_verify(a, X509_get0_pubkey(ask)), 1);
        assert_int_equal(X509_verify(b, X509_get0_pubkey(ask)), 0);
    }
    X509_free(ask);
    X509_free(a);
    X509_free(b);
}

/* As the library writes and reads it. */
static void test_public_keys_are_written_as_the_library_does(void **state) {
    static const enum key_kind kinds[] = {KEY_P256, KEY_P384, KEY_ED25519};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct key key = {0};
        struct key again = {0};
        struct err err;
        AUTO(buf_deinit)
        struct buf spki = {0};
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        assert_true(is_ok(key_generate(kinds[i], &key, &err)));
        key_spki(&key, &spki);
        assert_true(is_ok(key_from_spki(buf_span(&spki), &again, &err)));
        assert_int_equal(EVP_PKEY_eq(key.pkey, again.pkey), 1);
        OSSL_ENCODER_CTX *encoder = OSSL_ENCODER_CTX_new_for_pkey(
            key.pkey, EVP_PKEY_PUBLIC_KEY, "DER", "SubjectPublicKeyInfo", NULL);
        assert_int_equal(OSSL_ENCODER_to_bio(encoder, bio), 1);
        long size = BIO_get_mem_data(bio, &text);
        assert_int_equal(size, spki.size);
        assert_memory_equal(text, spki.data, spki.size);
        OSSL_ENCODER_CTX_free(encoder);
        BIO_free(bio);
        key_deinit(&key);
        key_deinit(&again);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_good_pod_is_accepted_on_every_host),
        T(test_each_malicious_pod_is_denied_by_its_name),
        T(test_a_changed_report_is_denied),
        T(test_a_report_under_the_certificate_of_another_host_is_denied),
        T(test_each_port_mode_is_an_error_of_its_own),
        T(test_a_host_without_certificates_hands_out_the_report),
        T(test_keys_are_the_guests_own),
        T(test_the_attester_batches_behind_a_silent_host),
        T(test_the_attester_gives_up_on_a_host),
        T(test_the_key_service_serves_what_it_has),
        T(test_each_lie_and_failure_of_the_key_service_is_refused),
        T(test_a_list_that_revokes_is_obeyed),
        T(test_cheap_signatures_are_genuine),
        T(test_a_signature_is_of_one_key_and_one_message),
        T(test_a_certificate_of_a_cheap_root_is_genuine),
        T(test_what_was_parsed_is_shared_by_its_bytes_alone),
        T(test_public_keys_are_written_as_the_library_does),
        T(test_the_fixed_pairs_are_of_two_primes),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
