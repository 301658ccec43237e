/* Genuine and synthetic SEV-SNP evidence of the shared test data (CONTRAST_TESTDATA, by default
 * ../shared/testdata): what must be accepted is, what must not be is denied for the right reason.
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

#include "attest/snp_print.h"
#include "attest/snp_verify.h"
#include "lib/base/file.h"

#define NOW INT64_C(1785000000)
#define PATH_SIZE 512

static char root[PATH_SIZE];

static void path_of(const char *name, char *out) {
    assert_true((size_t)snprintf(out, PATH_SIZE, "%s/%s", root, name) < PATH_SIZE);
}

static bool exists(const char *name) {
    char path[PATH_SIZE];
    struct stat st;
    path_of(name, path);
    return stat(path, &st) == 0;
}

static void load(const char *name, struct buf *out) {
    char path[PATH_SIZE];
    struct err err = {0};
    path_of(name, path);
    if (!is_ok(file_read(path, 1024 * 1024, out, &err))) {
        fail_msg("%s", err.text);
    }
}

/* Files of one verification; `authority` and `ark` may be NULL: then AMD's of `product`. */
struct sample {
    const char *report;
    const char *vek;
    const char *authority;
    const char *ark;
    const char *crl;
    bool trusted; /* the root counts as an additional one */
    int64_t at;
    const char *code; /* expected; "" = accepted */
};

static bool holds(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

/* AMD's certificate for a path such as "milan/trustee_vlek.der". */
static void genuine_ca(const char *vek, bool is_root, char *out, size_t size) {
    const char *product = holds(vek, "turin") ? "turin" : holds(vek, "genoa") ? "genoa" : "milan";
    const char *kind = is_root ? "ark" : holds(vek, "vlek.der") ? "asvk" : "ask";
    snprintf(out, size, "roots/%s_%s.der", product, kind);
}

static void judge(const struct sample *s) {
    struct buf files[5] = {0};
    char authority[64];
    char ark[64];
    genuine_ca(s->vek, false, authority, sizeof authority);
    genuine_ca(s->vek, true, ark, sizeof ark);
    load(s->report, &files[0]);
    load(s->vek, &files[1]);
    load(s->authority != NULL ? s->authority : authority, &files[2]);
    load(s->ark != NULL ? s->ark : ark, &files[3]);
    if (s->crl != NULL) {
        load(s->crl, &files[4]);
    }
    struct snp_cert anchor = {0};
    assert_true(is_ok(snp_cert_parse(buf_span(&files[3]), "ARK", &anchor, NULL, NULL)));
    struct snp_evidence evidence = {.report = buf_span(&files[0]),
                                    .vek = buf_span(&files[1]),
                                    .chain = {buf_span(&files[2]), buf_span(&files[3])},
                                    .chain_count = 2,
                                    .crl = buf_span(&files[4])};
    struct snp_options options = {.extra_roots = (const uint8_t(*)[32]) & anchor.spki_digest,
                                  .extra_root_count = s->trusted ? 1 : 0,
                                  .at = s->at};
    struct snp_report report;
    struct verdict verdict;
    struct err err = {0};
    struct result r = snp_verify(&evidence, &options, &report, &verdict, &err);
    if (strcmp(verdict.code, s->code) != 0) {
        fail_msg("%s with %s: want '%s', have '%s': %s", s->report, s->vek, s->code, verdict.code,
                 err.text);
    }
    assert_int_equal(is_ok(r), s->code[0] == '\0');
    assert_int_equal(verdict.kind == VERDICT_ACCEPTED, is_ok(r));
    assert_true(!is_ok(r) || verdict.simulated == s->trusted);
    snp_cert_deinit(&anchor);
    for (size_t i = 0; i < 5; i++) {
        buf_deinit(&files[i]);
    }
}

static const struct sample GENUINE[] = {
    {.report = "milan/gsg_report.bin",
     .vek = "milan/gsg_vcek.der",
     .at = NOW,
     .code = "SNP-POLICY-DEBUG"},
    {.report = "milan/virtee_report.bin", .vek = "milan/virtee_vcek.der", .at = NOW, .code = ""},
    {.report = "milan/trustee_report.bin", .vek = "milan/trustee_vcek.der", .at = NOW, .code = ""},
    {.report = "milan/trustee_vlek_report.bin",
     .vek = "milan/trustee_vlek.der",
     .at = 1741000000,
     .code = ""},
    {.report = "milan/trustee_vlek_report.bin",
     .vek = "milan/trustee_vlek.der",
     .at = NOW,
     .code = "SNP-CERT-DATE"},
    {.report = "milan/anolis_vlek_report.bin",
     .vek = "milan/anolis_vlek.der",
     .at = 1740000000,
     .code = ""},
    {.report = "milan/az_trustee_report.bin",
     .vek = "milan/az_trustee_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/az_evidence_v1_report.bin",
     .vek = "milan/az_evidence_v1_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/az_evidence_v2_report.bin",
     .vek = "milan/az_evidence_v2_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/tav_report.bin", .vek = "milan/tav_vcek.der", .at = NOW, .code = ""},
    {.report = "milan/tav_crypto_report.bin",
     .vek = "milan/tav_crypto_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/tav_report.bin", /* reissued: other dates, the same key */
     .vek = "milan/tav_crypto_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "genoa/trustee_e2e_report.bin",
     .vek = "genoa/trustee_e2e_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "genoa/az_evidence_genoa_report.bin",
     .vek = "genoa/az_evidence_genoa_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "turin/tav_report.bin", .vek = "turin/tav_vcek.der", .at = NOW, .code = ""},
    {.report = "milan/tav_report.bin",
     .vek = "milan/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1784000000,
     .code = ""},
    {.report = "milan/tav_report.bin",
     .vek = "milan/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1795000000,
     .code = "SNP-CRL-DATE"},
    {.report = "milan/trustee_report.bin",
     .vek = "bad/trustee_vcek_invalid_legacy.der",
     .at = NOW,
     .code = "SNP-CERT-SIGNATURE"},
    {.report = "milan/trustee_report.bin",
     .vek = "bad/trustee_vcek_invalid_new.der",
     .at = NOW,
     .code = "SNP-VEK-HWID"},
};

static void test_genuine(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof GENUINE / sizeof GENUINE[0]; i++) {
        judge(&GENUINE[i]);
    }
}

/* Part of a file name -> code. */
struct expectation {
    const char *part;
    const char *code;
};

static const char *expected_code(const struct expectation *rows, const char *name) {
    for (; rows->part != NULL; rows++) {
        if (holds(name, rows->part)) {
            return rows->code;
        }
    }
    fail_msg("%s: nothing is expected of this file yet", name);
    return NULL;
}

static json_t *load_json(const char *name) {
    char path[PATH_SIZE];
    path_of(name, path);
    json_t *document = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    return document;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static void test_mutated(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"_tail", "SNP-RESERVED"},
                                              {"_s_negated", ""},
                                              {"_high24", "SNP-SIGNATURE-RANGE"},
                                              {"_be_sig", "SNP-SIGNATURE"},
                                              {"_debug_bit", "SNP-SIGNATURE"},
                                              {"_report_data", "SNP-SIGNATURE"},
                                              {"_keyinfo_vlek", "SNP-VEK-KIND"},
                                              {"_short", "SNP-LENGTH"},
                                              {"_long", "SNP-LENGTH"},
                                              {NULL, NULL}};
    json_t *index = load_json("bad/mutated/index.json");
    const char *name = NULL;
    const json_t *entry = NULL;
    size_t judged = 0;
    json_object_foreach(index, name, entry) {
        if (strcmp(name, "PAIRS") == 0 || !exists(text_of(entry, "cert"))) {
            continue; /* not every certificate of the index could be had */
        }
        char report[128];
        snprintf(report, sizeof report, "bad/mutated/%s", name);
        judge(&(struct sample){.report = report,
                               .vek = text_of(entry, "cert"),
                               .at = NOW,
                               .code = expected_code(rows, name)});
        judged++;
    }
    assert_true(judged >= 22);
    json_decref(index);
}

static void test_pairs(void **state) {
    (void)state;
    static const struct expectation rows[] = {
        {"milan/tav_report", "SNP-SIGNATURE"}, {"az_kinvolk", "SNP-SIGNATURE"}, {NULL, NULL}};
    json_t *index = load_json("bad/mutated/index.json");
    const json_t *pair = NULL;
    size_t i = 0;
    size_t judged = 0;
    json_array_foreach(json_object_get(index, "PAIRS"), i, pair) {
        const char *report = text_of(pair, "report");
        const char *vek = text_of(pair, "cert");
        if (exists(report) && exists(vek)) {
            judge(&(struct sample){
                .report = report, .vek = vek, .at = NOW, .code = expected_code(rows, report)});
            judged++;
        }
    }
    assert_true(judged >= 2);
    json_decref(index);
    judge(&(struct sample){.report = "genoa/trustee_e2e_report.bin",
                           .vek = "milan/tav_vcek.der",
                           .at = NOW,
                           .code = "SNP-PRODUCT"});
    judge(&(struct sample){.report = "turin/tav_report.bin",
                           .vek = "turin/virtee_vcek.der",
                           .at = NOW,
                           .code = "SNP-SIGNATURE"});
    judge(&(struct sample){.report = "milan/anolis_vlek_report.bin",
                           .vek = "milan/trustee_vlek.der",
                           .at = 1741000000,
                           .code = "SNP-SIGNATURE"});
}

static void judge_synthetic(const char *product, const char *report, const char *crl, bool trusted,
                            const char *code) {
    bool vlek = holds(report, "vlek");
    char names[4][64];
    snprintf(names[0], sizeof names[0], "synthetic/%s", report);
    snprintf(names[1], sizeof names[1], "synthetic/%s_%s.der", product, vlek ? "vlek" : "vcek");
    snprintf(names[2], sizeof names[2], "synthetic/%s_%s.der", product, vlek ? "asvk" : "ask");
    snprintf(names[3], sizeof names[3], "synthetic/%s_ark.der", product);
    judge(&(struct sample){.report = names[0],
                           .vek = names[1],
                           .authority = names[2],
                           .ark = names[3],
                           .crl = crl,
                           .trusted = trusted,
                           .at = NOW,
                           .code = code});
}

static void test_synthetic_reports(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"_good", ""},
                                              {"malleable_", ""},
                                              {"policy_reserved", "SNP-POLICY-RESERVED"},
                                              {"signing_key_reserved", "SNP-SIGNING-KEY"},
                                              {"keyinfo_reserved", "SNP-KEY-INFO"},
                                              {"chip_other", "SNP-CHIP-ID"},
                                              {"fms_other_product", "SNP-PRODUCT"},
                                              {"reserved_", "SNP-RESERVED"},
                                              {"version6", "SNP-VERSION"},
                                              {"algo2", "SNP-ALGO"},
                                              {"platform_bit63", "SNP-PLATFORM-RESERVED"},
                                              {"mit_vector", "SNP-RESERVED"},
                                              {"sig_r_", "SNP-SIGNATURE-RANGE"},
                                              {"sig_s_", "SNP-SIGNATURE-RANGE"},
                                              {"sig_tail", "SNP-RESERVED"},
                                              {"meas_flip", "SNP-SIGNATURE"},
                                              {"short", "SNP-LENGTH"},
                                              {"long", "SNP-LENGTH"},
                                              {NULL, NULL}};
    json_t *index = load_json("synthetic/index.json");
    const char *name = NULL;
    const json_t *size = NULL;
    json_object_foreach(index, name, size) {
        if (!holds(name, ".bin")) {
            continue;
        }
        const char *product = holds(name, "turin") ? "turin" : "milan";
        const char *code = expected_code(rows, name);
        judge_synthetic(product, name, NULL, true, code);
        if (code[0] == '\0') { /* the genuine name of a root is not a root */
            judge_synthetic(product, name, NULL, false, "SNP-ROOT");
        }
    }
    json_decref(index);
}

static void test_synthetic_lists(void **state) {
    (void)state;
    judge_synthetic("milan", "milan_v5_good.bin", "synthetic/milan_crl_empty.der", true, "");
    judge_synthetic("milan", "milan_v5_good.bin", "synthetic/bad_milan_crl_revokes_ask.der", true,
                    "SNP-REVOKED");
    judge_synthetic("turin", "turin_v5_good.bin", "synthetic/bad_turin_crl_revokes_ask.der", true,
                    "SNP-REVOKED");
    judge_synthetic("milan", "milan_v5_good.bin", "synthetic/bad_milan_crl_expired.der", true,
                    "SNP-CRL-DATE");
    judge_synthetic("milan", "milan_v5_good.bin", "synthetic/bad_milan_crl_signed_by_ask.der", true,
                    "SNP-CRL-ISSUER");
    judge_synthetic("milan", "milan_v5_good.bin", "synthetic/turin_crl_empty.der", true,
                    "SNP-CRL-ISSUER");
    judge_synthetic("milan", "milan_v5_good.bin", "crl/milan_vcek.crl", true, "SNP-CRL-SIGNATURE");
}

static void test_bad_certificates(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"hwid_other", "SNP-CHIP-ID"},
                                              {"ucode_octet", "SNP-VEK-SPL"},
                                              {"ucode_trailing", "SNP-VEK-SPL"},
                                              {"_missing", "SNP-VEK-EXTENSION"},
                                              {"fmc_present", "SNP-VEK-EXTENSION"},
                                              {"fmc_other", "SNP-TCB-CERT"},
                                              {"issuer_name", "SNP-CERT-ISSUER"},
                                              {"signed_by_asvk", "SNP-CERT-SIGNATURE"},
                                              {"pss_salt32", "SNP-CERT-ALGORITHM"},
                                              {"ca_true", "SNP-VEK-EXTENSION"},
                                              {"critical_unknown", "SNP-VEK-EXTENSION"},
                                              {"_key.der", "SNP-VEK-KEY"},
                                              {"der_trailing", "SNP-CERT-FORMAT"},
                                              {"hwid_octet_string", "SNP-VEK-HWID"},
                                              {"hwid_padded", "SNP-VEK-HWID"},
                                              {"cspid_and_hwid", "SNP-VEK-EXTENSION"},
                                              {"cn_vlek", "SNP-VEK-KIND"},
                                              {"expired", "SNP-CERT-DATE"},
                                              {NULL, NULL}};
    json_t *index = load_json("synthetic/badcerts/index.json");
    const char *name = NULL;
    const json_t *entry = NULL;
    json_object_foreach(index, name, entry) {
        char vek[128];
        char report[128];
        char authority[128];
        char ark[128];
        snprintf(vek, sizeof vek, "synthetic/badcerts/%s", name);
        snprintf(report, sizeof report, "synthetic/badcerts/%s", text_of(entry, "report"));
        snprintf(authority, sizeof authority, "synthetic/badcerts/%s", text_of(entry, "ica"));
        snprintf(ark, sizeof ark, "synthetic/badcerts/%s", text_of(entry, "ark"));
        judge(&(struct sample){.report = report,
                               .vek = vek,
                               .authority = authority,
                               .ark = ark,
                               .trusted = true,
                               .at = NOW,
                               .code = expected_code(rows, name)});
    }
    json_decref(index);
}

/* The pinned digests against AMD's own certificates. */
static void test_roots_are_the_pinned_ones(void **state) {
    (void)state;
    static const struct {
        const char *file;
        enum snp_product product;
    } roots[] = {{"roots/milan_ark.der", SNP_MILAN},
                 {"roots/genoa_ark.der", SNP_GENOA},
                 {"roots/turin_ark.der", SNP_TURIN}};
    for (size_t i = 0; i < 3; i++) {
        struct buf der = {0};
        struct snp_cert cert = {0};
        load(roots[i].file, &der);
        assert_true(is_ok(snp_cert_parse(buf_span(&der), "ARK", &cert, NULL, NULL)));
        assert_int_equal(cert.kind, SNP_CERT_ARK);
        assert_int_equal(cert.product, roots[i].product);
        assert_memory_equal(cert.spki_digest, snp_product_root(roots[i].product), 32);
        snp_cert_deinit(&cert);
        buf_deinit(&der);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_the_pinned_ones),
        cmocka_unit_test(test_genuine),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_synthetic_reports),
        cmocka_unit_test(test_synthetic_lists),
        cmocka_unit_test(test_bad_certificates),
    };
    const char *data = getenv("CONTRAST_TESTDATA");
    const char *ci = getenv("CI");
    snprintf(root, sizeof root, "%s/snp", data != NULL ? data : "../shared/testdata");
    if (!exists("index.json")) {
        printf("the shared test data is not at %s: nothing to do\n", root);
        return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
