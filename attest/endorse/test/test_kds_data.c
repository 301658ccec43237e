/* The key service with genuine certificates of the shared test data (CONTRAST_TESTDATA, by default
 * ../shared/testdata): addresses as AMD wants them, keys of reports and of certificates, and
 * answers that hold AMD's own certificates for the wrong question.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "attest/endorse/import.h"
#include "attest/endorse/kds.h"
#include "attest/endorse/test/kds_process.h"
#include "attest/snp_product.h"
#include "attest/snp_report.h"
#include "lib/base/file.h"

#define NOW INT64_C(1785000000)
#define PATH_SIZE 512

static char root[PATH_SIZE];
static struct kds_process server;

static uint64_t test_monotonic_ms(void *data) {
    (void)data;
    return host_monotonic_ms(&host_system);
}

static int64_t test_unix_s(void *data) {
    (void)data;
    return NOW;
}

static void test_random(void *data, void *out, size_t size) {
    (void)data;
    host_random(&host_system, out, size);
}

static const struct host host = {NULL, test_monotonic_ms, test_unix_s, test_random};

/* Reports and their certificates; the numbers are those of the samples' own table. */
static const struct sample {
    const char *report;
    const char *vek;
    enum snp_product product;
    struct snp_tcb tcb;
    const char *query;
} SAMPLES[] = {
    {"milan/gsg_report.bin",
     "milan/gsg_vcek.der",
     SNP_MILAN,
     {.bootloader = 2, .snp = 5, .microcode = 0x44},
     "?blSPL=02&teeSPL=00&snpSPL=05&ucodeSPL=68"},
    {"milan/virtee_report.bin",
     "milan/virtee_vcek.der",
     SNP_MILAN,
     {.bootloader = 3, .snp = 8, .microcode = 0x73},
     "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115"},
    {"milan/az_evidence_v1_report.bin",
     "milan/az_evidence_v1_vcek.der",
     SNP_MILAN,
     {.bootloader = 4, .snp = 24, .microcode = 0xdb},
     "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"},
    {"milan/tav_report.bin",
     "milan/tav_vcek.der",
     SNP_MILAN,
     {.bootloader = 4, .snp = 24, .microcode = 0xdb},
     "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"},
    {"genoa/trustee_e2e_report.bin",
     "genoa/trustee_e2e_vcek.der",
     SNP_GENOA,
     {.bootloader = 10, .snp = 23, .microcode = 0x19},
     "?blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=25"},
    {"turin/tav_report.bin",
     "turin/tav_vcek.der",
     SNP_TURIN,
     {.fmc = 1, .bootloader = 1, .tee = 1, .snp = 4, .microcode = 0x51},
     "?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"},
};
#define SAMPLE_COUNT (sizeof SAMPLES / sizeof SAMPLES[0])

static void load(const char *name, struct buf *out) {
    char path[PATH_SIZE + 128];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (!is_ok(file_read(path, 1024 * 1024, out, &err))) {
        fail_msg("%s", err.text);
    }
}

static struct result keep_key(void *data, const struct import_item *item, struct err *err) {
    struct snp_endorsement_key *key = data;
    (void)err;
    assert_true(item->has_key);
    *key = item->key;
    return OK;
}

/* The key of a sample: by its report and by its certificate, which must agree. */
static struct snp_endorsement_key key_of(const struct sample *s) {
    AUTO(buf_deinit)
    struct buf report_bytes = {0};
    AUTO(buf_deinit)
    struct buf vek = {0};
    struct snp_report report;
    struct snp_endorsement_key by_report[2];
    struct snp_endorsement_key by_certificate = {0};
    const struct import_hooks hooks = {.data = &by_certificate, .on_item = keep_key};
    load(s->report, &report_bytes);
    load(s->vek, &vek);
    assert_true(is_ok(snp_report_parse(buf_span(&report_bytes), &report, NULL, NULL)));
    assert_true(is_ok(import_bytes(s->vek, buf_span(&vek), &hooks, NULL, NULL)));
    size_t count = snp_endorsement_keys(&report, by_report);
    assert_int_equal(count, report.version >= 3 ? 1 : 2);
    assert_true(snp_endorsement_same(&by_report[0], &by_certificate));
    if (count == 2) {
        assert_int_equal(by_report[0].product, SNP_MILAN);
        assert_int_equal(by_report[1].product, SNP_GENOA);
    }
    return by_certificate;
}

static void test_addresses(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const struct sample *s = &SAMPLES[i];
        struct snp_endorsement_key key = key_of(s);
        char url[LIMIT_KDS_URL];
        char want[LIMIT_KDS_URL];
        char chip[129];
        hex_encode(span_of(key.chip_id, s->product == SNP_TURIN ? 8 : 64), chip);
        snprintf(want, sizeof want, "https://kdsintf.amd.com/vcek/v1/%s/%s%s",
                 snp_product_line(s->product), chip, s->query);
        kds_vek_url(NULL, &key, url);
        assert_string_equal(url, want);
    }
}

/* A VLEK, a masked chip: no key can be named. */
static void test_no_key(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct snp_report report;
    struct snp_endorsement_key keys[2];
    load("milan/trustee_vlek_report.bin", &bytes);
    assert_true(is_ok(snp_report_parse(buf_span(&bytes), &report, NULL, NULL)));
    assert_int_equal(snp_endorsement_keys(&report, keys), 0);
    buf_clear(&bytes);
    load("milan/tav_report.bin", &bytes);
    assert_true(is_ok(snp_report_parse(buf_span(&bytes), &report, NULL, NULL)));
    memset(report.chip_id, 0, sizeof report.chip_id);
    assert_int_equal(snp_endorsement_keys(&report, keys), 0);
}

static struct kds *open_mode(const char *mode) {
    const struct kds_config config = {.base = kds_process_base(&server, mode), .host = &host};
    struct kds *k = NULL;
    struct err err = {0};
    if (!is_ok(kds_open(&config, &k, &err))) {
        fail_msg("%s", err.text);
    }
    return k;
}

/* Each under its own name, as the server reads AMD's addresses. */
static void serve_samples(void) {
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const struct sample *s = &SAMPLES[i];
        struct snp_endorsement_key key = key_of(s);
        AUTO(buf_deinit)
        struct buf vek = {0};
        load(s->vek, &vek);
        kds_process_put_vek(&server, s->product,
                            span_of(key.chip_id, s->product == SNP_TURIN ? 8 : 64), &s->tcb,
                            buf_span(&vek));
        kds_process_put(&server, "any.der", buf_span(&vek)); /* the last stays: Turin */
    }
}

static void test_genuine_answers(void **state) {
    (void)state;
    struct kds *k = open_mode("good");
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct snp_endorsement_key key = key_of(&SAMPLES[i]);
        AUTO(buf_deinit)
        struct buf der = {0};
        AUTO(buf_deinit)
        struct buf vek = {0};
        struct err err = {0};
        load(SAMPLES[i].vek, &vek);
        if (!is_ok(kds_fetch_vek(k, &key, &der, NULL, &err))) {
            fail_msg("%s: %s", SAMPLES[i].vek, err.text);
        }
        assert_true(span_equal(buf_span(&der), buf_span(&vek)));
    }
    kds_close(k);
}

/* Genuine, of AMD's, valid now, and not what was asked for. */
static void expect_denied(const char *served, const struct snp_endorsement_key *key,
                          const char *code) {
    AUTO(buf_deinit)
    struct buf vek = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    struct kds *k = open_mode("any");
    load(served, &vek);
    kds_process_put(&server, "any.der", buf_span(&vek));
    struct result r = kds_fetch_vek(k, key, &der, NULL, &err);
    if (r.code != ERR_DENIED || strstr(err.text, code) == NULL) {
        fail_msg("%s: want %s, have %s: %s", served, code, err_name(r.code), err.text);
    }
    kds_close(k);
}

static void test_genuine_and_wrong(void **state) {
    (void)state;
    struct snp_endorsement_key key = key_of(&SAMPLES[3]);
    expect_denied("milan/az_evidence_v2_vcek.der", &key, "SNP-CHIP-ID");
    expect_denied("genoa/trustee_e2e_vcek.der", &key, "SNP-PRODUCT");
    expect_denied("milan/trustee_vlek.der", &key, "SNP-VEK-");
    expect_denied("roots/milan_ask.der", &key, "SNP-");
    expect_denied("bad/trustee_vcek_invalid_legacy.der", &key, "SNP-CERT-SIGNATURE");
    expect_denied("synthetic/milan_vcek.der", &key, "SNP-CERT-SIGNATURE");
    key.tcb[7]--;
    expect_denied("milan/tav_vcek.der", &key, "SNP-TCB-CERT");
}

static void put_as(const char *file, const char *name) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    load(file, &bytes);
    kds_process_put(&server, name, buf_span(&bytes));
}

static void test_lists(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf list = {0};
    struct err err = {0};
    struct kds *k = open_mode("good");
    put_as("crl/milan_vcek.crl", "Milan-vcek-crl.der");
    put_as("crl/milan_vcek.crl", "Genoa-vcek-crl.der");
    put_as("synthetic/milan_crl_empty.der", "Milan-vlek-crl.der");
    if (!is_ok(kds_fetch_crl(k, SNP_MILAN, SNP_KEY_VCEK, &list, NULL, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(list.size, 866);
    assert_int_equal(kds_fetch_crl(k, SNP_GENOA, SNP_KEY_VCEK, &list, NULL, &err).code, ERR_DENIED);
    assert_non_null(strstr(err.text, "SNP-CRL-ISSUER"));
    assert_int_equal(kds_fetch_crl(k, SNP_MILAN, SNP_KEY_VLEK, &list, NULL, &err).code, ERR_DENIED);
    assert_non_null(strstr(err.text, "SNP-CRL-SIGNATURE"));
    assert_int_equal(kds_fetch_crl(k, SNP_TURIN, SNP_KEY_VCEK, &list, NULL, &err).code,
                     ERR_NOT_FOUND);
    assert_int_equal(list.size, 866);
    kds_close(k);
}

static void test_chains(void **state) {
    (void)state;
    struct kds_chain chain = {0};
    struct err err = {0};
    struct kds *k = open_mode("good");
    put_as("roots/turin_vcek_cert_chain.pem", "Turin-vcek-cert_chain.pem");
    put_as("roots/turin_vlek_cert_chain.pem", "Turin-vlek-cert_chain.pem");
    put_as("roots/turin_vlek_cert_chain.pem", "Milan-vlek-cert_chain.pem");
    for (int kind = SNP_KEY_VCEK; kind <= SNP_KEY_VLEK; kind++) {
        assert_true(
            is_ok(kds_fetch_chain(k, SNP_TURIN, (enum snp_signing_key)kind, &chain, NULL, &err)));
        assert_int_equal(chain.count, 2);
        kds_chain_deinit(&chain);
    }
    assert_int_equal(kds_fetch_chain(k, SNP_MILAN, SNP_KEY_VLEK, &chain, NULL, &err).code,
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "of product Turin"));
    put_as("roots/turin_vlek_cert_chain.pem", "Turin-vcek-cert_chain.pem");
    assert_int_equal(kds_fetch_chain(k, SNP_TURIN, SNP_KEY_VCEK, &chain, NULL, &err).code,
                     ERR_DENIED);
    kds_close(k);
}

static int set_up(void **state) {
    (void)state;
    kds_process_start(&server, false);
    serve_samples();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kds_process_stop(&server);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),       cmocka_unit_test(test_no_key),
        cmocka_unit_test(test_genuine_answers), cmocka_unit_test(test_genuine_and_wrong),
        cmocka_unit_test(test_lists),           cmocka_unit_test(test_chains),
    };
    const char *data = getenv("CONTRAST_TESTDATA");
    const char *ci = getenv("CI");
    struct stat st;
    snprintf(root, sizeof root, "%s/snp", data != NULL ? data : "../shared/testdata");
    if (stat(root, &st) != 0) {
        printf("the shared test data is not at %s: nothing to do\n", root);
        return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
