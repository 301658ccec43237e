/* Genuine and synthetic SEV-SNP evidence of the shared test data (CONTRAST_TESTDATA, by default
 * ../shared/testdata): what must be accepted is, what must not be is denied for the right reason.
 *
 * Every file of the folder is judged: each row notes the files that it reads, and a file that no
 * row has read fails the last test. One line for each verdict goes to standard output.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "attest/snp_cache.h"
#include "attest/snp_certtable.h"
#include "attest/snp_hcl.h"
#include "attest/snp_print.h"
#include "attest/snp_roots.h"
#include "attest/snp_verify.h"
#include "lib/base/file.h"
#include "lib/crypto/pem.h"

#define NOW INT64_C(1785000000)
#define IN_FEBRUARY_2025 INT64_C(1740000000)
#define IN_MARCH_2025 INT64_C(1741000000)
#define AWS_TABLE "milan/aws_auxblob_certtable.bin"
#define PATH_SIZE 512
#define FILES_MAX 1024
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char root[PATH_SIZE];
static struct snp_cache *cache;
static char *read_files[FILES_MAX]; /* relative to root */
static size_t read_count;

/* ---- files ---- */

static void path_of(const char *name, char *out) {
    assert_true((size_t)snprintf(out, PATH_SIZE, "%s/%s", root, name) < PATH_SIZE);
}

static bool exists(const char *name) {
    char path[PATH_SIZE];
    struct stat st;
    path_of(name, path);
    return stat(path, &st) == 0;
}

static bool was_read(const char *name) {
    for (size_t i = 0; i < read_count; i++) {
        if (strcmp(read_files[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void load(const char *name, struct buf *out) {
    char path[PATH_SIZE];
    struct err err = {0};
    path_of(name, path);
    if (!is_ok(file_read(path, 1024 * 1024, out, &err))) {
        fail_msg("%s", err.text);
    }
    if (!was_read(name)) {
        assert_true(read_count < FILES_MAX);
        read_files[read_count++] = strdup(name);
    }
}

static bool holds(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

/* A certificate, or the VLEK of the one genuine certificate table. */
static struct span leaf_of(const char *name, const struct buf *file) {
    struct snp_certtable table = {0};
    if (strcmp(name, AWS_TABLE) != 0) {
        return buf_span(file);
    }
    assert_true(is_ok(snp_certtable_parse(buf_span(file), &table, NULL)));
    assert_true(table.vlek.size > 0);
    return table.vlek;
}

/* ---- one verdict ---- */

/* Files of one verification; NULL where none is sent. */
struct sample {
    const char *report;
    const char *vek;
    const char *authority;
    const char *ark;
    const char *crl; /* judged with a list required when there is one */
    bool trusted;    /* the ARK counts as an additional root */
    int64_t at;
    const char *code; /* expected; "" = accepted */
};

static void print_row(const struct sample *s, const struct verdict *v) {
    printf("%-50s %-40s %-38s %lld %s %s%s\n", s->report, s->vek, s->crl != NULL ? s->crl : "-",
           (long long)s->at,
           s->ark == NULL ? "built-in"
           : s->trusted   ? "trusted "
                          : "sent    ",
           verdict_kind_name(v->kind)[0] == 'a' ? "accepted" : v->code,
           v->simulated ? " (simulated)" : "");
}

static void check_verdict(const struct sample *s, struct result r, const struct verdict *v,
                          const struct err *err) {
    bool lacks = holds(s->code, "SNP-CRL-");
    if (strcmp(v->code, s->code) != 0) {
        fail_msg("%s with %s: want '%s', have '%s': %s", s->report, s->vek, s->code, v->code,
                 err->text);
    }
    enum verdict_kind kind = s->code[0] == '\0' ? VERDICT_ACCEPTED
                             : lacks            ? VERDICT_UNVERIFIABLE
                                                : VERDICT_DENIED;
    assert_int_equal(v->kind, kind);
    assert_int_equal(is_ok(r), s->code[0] == '\0');
    assert_true(!is_ok(r) || v->simulated == s->trusted);
    size_t failed = 0;
    for (size_t i = 0; i < v->check_count; i++) {
        failed += v->checks[i].ok ? 0 : 1;
    }
    assert_int_equal(failed, is_ok(r) ? 0 : 1);
}

/* The ARK's key, where one is sent. */
static void digest_of(struct span ark, uint8_t out[32]) {
    struct snp_cert cert = {0};
    if (ark.size > 0) {
        assert_true(is_ok(snp_cert_parse(ark, "ARK", &cert, NULL, NULL)));
        memcpy(out, cert.spki_digest, 32);
        snp_cert_deinit(&cert);
    }
}

/* What came before, for other samples, must not change a verdict. */
static void judge_again(const struct snp_evidence *evidence, const struct snp_options *options,
                        const struct verdict *before) {
    struct snp_options again = *options;
    struct snp_report report;
    struct verdict v;
    again.cache = cache;
    for (int i = 0; i < 2; i++) {
        struct result r = snp_verify(evidence, &again, &report, &v, NULL);
        assert_int_equal(is_ok(r), before->kind == VERDICT_ACCEPTED);
        assert_int_equal(v.kind, before->kind);
        assert_string_equal(v.code, before->code);
        assert_string_equal(v.field, before->field);
        assert_int_equal(v.simulated, before->simulated);
        assert_int_equal(v.check_count, before->check_count);
        for (size_t k = 0; k < v.check_count; k++) {
            assert_string_equal(v.checks[k].name, before->checks[k].name);
            assert_int_equal(v.checks[k].ok, before->checks[k].ok);
        }
    }
}

static void judge(const struct sample *s) {
    const char *const names[] = {s->report, s->vek, s->authority, s->ark, s->crl};
    struct buf files[COUNT(names)] = {0};
    uint8_t anchor[1][32] = {{0}};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (names[i] != NULL) {
            load(names[i], &files[i]);
        }
    }
    digest_of(buf_span(&files[3]), anchor[0]);
    struct snp_evidence evidence = {.report = buf_span(&files[0]),
                                    .vek = leaf_of(s->vek, &files[1]),
                                    .chain = {buf_span(&files[2]), buf_span(&files[3])},
                                    .chain_count = s->ark != NULL ? 2 : 0,
                                    .crl = buf_span(&files[4])};
    struct snp_options options = {.extra_roots = (const uint8_t(*)[32])anchor,
                                  .extra_root_count = s->trusted ? 1 : 0,
                                  .at = s->at,
                                  .crl = s->crl != NULL ? CRL_REQUIRE : CRL_OFF};
    struct snp_report report;
    struct verdict verdict;
    struct err err = {0};
    struct result r = snp_verify(&evidence, &options, &report, &verdict, &err);
    print_row(s, &verdict);
    check_verdict(s, r, &verdict, &err);
    judge_again(&evidence, &options, &verdict);
    for (size_t i = 0; i < COUNT(names); i++) {
        buf_deinit(&files[i]);
    }
}

/* ---- genuine evidence ---- */

/* AMD's certificate for a leaf such as "milan/trustee_vlek.der". */
static void genuine_ca(const char *vek, bool is_root, char *out, size_t size) {
    const char *product = holds(vek, "turin") ? "turin" : holds(vek, "genoa") ? "genoa" : "milan";
    bool vlek = holds(vek, "vlek.der") || strcmp(vek, AWS_TABLE) == 0;
    const char *kind = is_root ? "ark" : vlek ? "asvk" : "ask";
    snprintf(out, size, "roots/%s_%s.der", product, kind);
}

/* With the authorities that are built in, and with AMD's files sent along. */
static void judge_genuine(const struct sample *s) {
    char authority[64];
    char ark[64];
    struct sample sent = *s;
    judge(s);
    genuine_ca(s->vek, false, authority, sizeof authority);
    genuine_ca(s->vek, true, ark, sizeof ark);
    sent.authority = s->authority != NULL ? s->authority : authority;
    sent.ark = ark;
    judge(&sent);
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
     .at = IN_MARCH_2025,
     .code = ""},
    {.report = "milan/trustee_vlek_report.bin",
     .vek = "milan/trustee_vlek.der",
     .at = NOW,
     .code = "SNP-CERT-DATE"},
    {.report = "milan/anolis_vlek_report.bin",
     .vek = "milan/anolis_vlek.der",
     .at = IN_FEBRUARY_2025,
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
    {.report = "milan/tav_report.bin",
     .vek = "milan/tav_vcek.der",
     .authority = "milan/tav_ask.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/tav_report.bin", /* before the certificate was issued */
     .vek = "milan/tav_vcek.der",
     .at = IN_MARCH_2025,
     .code = "SNP-CERT-DATE"},
    {.report = "milan/tav_crypto_report.bin",
     .vek = "milan/tav_crypto_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/tav_report.bin", /* reissued: other dates, the same key */
     .vek = "milan/tav_crypto_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "genoa/trustee_e2e_report.bin", /* Bergamo or Siena */
     .vek = "genoa/trustee_e2e_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "genoa/az_evidence_genoa_report.bin",
     .vek = "genoa/az_evidence_genoa_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "genoa/az_evidence_genoa_report.bin",
     .vek = "genoa/az_vcek.der",
     .at = NOW,
     .code = ""},
    {.report = "turin/tav_report.bin",
     .vek = "turin/tav_vcek.der",
     .authority = "turin/tav_ask.der",
     .at = NOW,
     .code = ""},
    {.report = "milan/tav_report.bin",
     .vek = "milan/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1784000000,
     .code = ""},
    {.report = "milan/tav_report.bin", /* after nextUpdate */
     .vek = "milan/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1795000000,
     .code = "SNP-CRL-DATE"},
    {.report = "milan/tav_report.bin", /* before thisUpdate */
     .vek = "milan/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1780000000,
     .code = "SNP-CRL-DATE"},
    {.report = "turin/tav_report.bin", /* the list of another product */
     .vek = "turin/tav_vcek.der",
     .crl = "crl/milan_vcek.crl",
     .at = 1784000000,
     .code = "SNP-CRL-MISSING"},
    {.report = "milan/trustee_report.bin",
     .vek = "bad/trustee_vcek_invalid_legacy.der",
     .at = NOW,
     .code = "SNP-CERT-SIGNATURE"},
    {.report = "milan/trustee_report.bin",
     .vek = "bad/trustee_vcek_invalid_new.der",
     .at = NOW,
     .code = "SNP-VEK-HWID"},
    /* genuine files that do not belong together */
    {.report = "genoa/trustee_e2e_report.bin",
     .vek = "milan/tav_vcek.der",
     .at = NOW,
     .code = "SNP-PRODUCT"},
    {.report = "turin/tav_report.bin",
     .vek = "turin/virtee_vcek.der",
     .at = NOW,
     .code = "SNP-SIGNATURE"},
    {.report = "milan/anolis_vlek_report.bin",
     .vek = "milan/trustee_vlek.der",
     .at = IN_MARCH_2025,
     .code = "SNP-SIGNATURE"},
    {.report = "milan/trustee_vlek_report.bin",
     .vek = "milan/tav_vcek.der",
     .at = NOW,
     .code = "SNP-VEK-KIND"},
    {.report = "milan/tav_report.bin", .vek = AWS_TABLE, .at = NOW, .code = "SNP-VEK-KIND"},
    {.report = "bad/mutated/milan_v5_vlek_s_negated.bin", /* another provider's region and TCB */
     .vek = "milan/trustee_vlek.der",
     .at = IN_MARCH_2025,
     .code = "SNP-SIGNATURE"},
};

static void test_genuine(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(GENUINE); i++) {
        judge_genuine(&GENUINE[i]);
    }
}

/* Other bytes in the place of AMD's authorities do not matter below AMD's own root. */
static void test_sent_authorities_do_not_matter(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"synthetic/milan_ask.der", "synthetic/milan_ark.der"},
        {"roots/genoa_ask.der", "roots/turin_ark.der"},
        {"bad/mismatch/az_kinvolk_ask.der", "bad/mismatch/az_kinvolk_ark.der"}};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        judge(&(struct sample){.report = "milan/tav_report.bin",
                               .vek = "milan/tav_vcek.der",
                               .authority = pairs[i][0],
                               .ark = pairs[i][1],
                               .at = NOW,
                               .code = ""});
    }
}

/* ---- files with an index ---- */

/* Part of a file's name -> code with the synthetic root trusted, and with it only sent. */
struct expectation {
    const char *part;
    const char *code;
    const char *untrusted; /* NULL: the same */
};

static const struct expectation *expected(const struct expectation *rows, const char *name) {
    for (; rows->part != NULL; rows++) {
        if (holds(name, rows->part)) {
            return rows;
        }
    }
    fail_msg("%s: nothing is expected of this file yet", name);
    return NULL;
}

static json_t *load_json(const char *name) {
    char path[PATH_SIZE];
    struct buf file = {0};
    load(name, &file);
    buf_deinit(&file);
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

/* The certificate that the index names; one of them is at hand inside the certificate table. */
static const char *cert_of(const json_t *entry) {
    const char *name = text_of(entry, "cert");
    return strcmp(name, "milan/aws_vlek.der") == 0 ? AWS_TABLE : name;
}

static void test_mutated(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"_tail", "SNP-RESERVED", NULL},
                                              {"_s_negated", "", NULL},
                                              {"_high24", "SNP-SIGNATURE-RANGE", NULL},
                                              {"_be_sig", "SNP-SIGNATURE", NULL},
                                              {"_debug_bit", "SNP-SIGNATURE", NULL},
                                              {"_report_data", "SNP-SIGNATURE", NULL},
                                              {"_keyinfo_vlek", "SNP-VEK-KIND", NULL},
                                              {"_short", "SNP-LENGTH", NULL},
                                              {"_long", "SNP-LENGTH", NULL},
                                              {NULL, NULL, NULL}};
    json_t *index = load_json("bad/mutated/index.json");
    const char *name = NULL;
    const json_t *entry = NULL;
    json_object_foreach(index, name, entry) {
        if (strcmp(name, "PAIRS") == 0) {
            continue; /* the next test */
        }
        char report[128];
        snprintf(report, sizeof report, "bad/mutated/%s", name);
        judge_genuine(&(struct sample){.report = report,
                                       .vek = cert_of(entry),
                                       .at = NOW,
                                       .code = expected(rows, name)->code});
    }
    json_decref(index);
}

static void test_pairs(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"milan/tav_report", "SNP-SIGNATURE", NULL},
                                              {"az_kinvolk", "SNP-SIGNATURE", NULL},
                                              {NULL, NULL, NULL}};
    json_t *index = load_json("bad/mutated/index.json");
    const json_t *pair = NULL;
    size_t i = 0;
    size_t judged = 0;
    json_array_foreach(json_object_get(index, "PAIRS"), i, pair) {
        const char *report = text_of(pair, "report");
        const char *vek = cert_of(pair);
        if (!exists(report) || !exists(vek)) {
            printf("%-50s %-40s not in the data\n", report, vek);
            continue;
        }
        judge_genuine(&(struct sample){
            .report = report, .vek = vek, .at = NOW, .code = expected(rows, report)->code});
        judged++;
    }
    assert_true(judged >= 2);
    json_decref(index);
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
    static const struct expectation rows[] = {
        {"_good", "", "SNP-ROOT"},
        {"malleable_", "", "SNP-ROOT"},
        {"policy_reserved", "SNP-POLICY-RESERVED", NULL},
        {"signing_key_reserved", "SNP-SIGNING-KEY", NULL},
        {"keyinfo_reserved", "SNP-KEY-INFO", NULL},
        {"chip_other", "SNP-CHIP-ID", "SNP-ROOT"},
        {"fms_other_product", "SNP-PRODUCT", NULL},
        {"reserved_", "SNP-RESERVED", NULL},
        {"version6", "SNP-VERSION", NULL},
        {"algo2", "SNP-ALGO", NULL},
        {"platform_bit63", "SNP-PLATFORM-RESERVED", "SNP-ROOT"},
        {"mit_vector", "SNP-RESERVED", NULL},
        {"sig_r_", "SNP-SIGNATURE-RANGE", NULL},
        {"sig_s_", "SNP-SIGNATURE-RANGE", NULL},
        {"sig_tail", "SNP-RESERVED", NULL},
        {"meas_flip", "SNP-SIGNATURE", "SNP-ROOT"},
        {"short", "SNP-LENGTH", NULL},
        {"long", "SNP-LENGTH", NULL},
        {NULL, NULL, NULL}};
    json_t *index = load_json("synthetic/index.json");
    const char *name = NULL;
    const json_t *size = NULL;
    json_object_foreach(index, name, size) {
        if (!holds(name, ".bin")) {
            continue; /* certificates and lists: below */
        }
        const char *product = holds(name, "turin") ? "turin" : "milan";
        const struct expectation *e = expected(rows, name);
        judge_synthetic(product, name, NULL, true, e->code);
        judge_synthetic(product, name, NULL, false, e->untrusted != NULL ? e->untrusted : e->code);
    }
    json_decref(index);
}

/* A leaf that names AMD's ASK, without the one that signed it. */
static void test_synthetic_leaves_alone(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"milan_v5_good.bin", "milan_vcek.der"},
                                           {"milan_v5_vlek_good.bin", "milan_vlek.der"},
                                           {"turin_v5_good.bin", "turin_vcek.der"},
                                           {"turin_v5_vlek_good.bin", "turin_vlek.der"}};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char report[64];
        char vek[64];
        snprintf(report, sizeof report, "synthetic/%s", pairs[i][0]);
        snprintf(vek, sizeof vek, "synthetic/%s", pairs[i][1]);
        judge(&(struct sample){
            .report = report, .vek = vek, .at = NOW, .code = "SNP-CERT-SIGNATURE"});
    }
}

static void test_synthetic_lists(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"crl_empty", "", NULL},
                                              {"crl_revokes_ask", "SNP-REVOKED", NULL},
                                              {"crl_expired", "SNP-CRL-DATE", NULL},
                                              {"crl_signed_by_ask", "SNP-CRL-ISSUER", NULL},
                                              {NULL, NULL, NULL}};
    json_t *index = load_json("synthetic/index.json");
    const char *name = NULL;
    const json_t *size = NULL;
    json_object_foreach(index, name, size) {
        if (!holds(name, "_crl_")) {
            continue;
        }
        char crl[128];
        snprintf(crl, sizeof crl, "synthetic/%s", name);
        bool turin = holds(name, "turin");
        judge_synthetic(turin ? "turin" : "milan",
                        turin ? "turin_v5_good.bin" : "milan_v5_good.bin", crl, true,
                        expected(rows, name)->code);
        judge_synthetic(turin ? "milan" : "turin",
                        turin ? "milan_v5_good.bin" : "turin_v5_good.bin", crl, true,
                        holds(name, "signed_by_ask") ? "SNP-CRL-ISSUER" : "SNP-CRL-MISSING");
    }
    judge_synthetic("milan", "milan_v5_vlek_good.bin", "synthetic/bad_milan_crl_revokes_ask.der",
                    true, ""); /* names the ASK, and this hangs from the ASVK */
    judge_synthetic("milan", "milan_v5_good.bin", "crl/milan_vcek.crl", true, "SNP-CRL-SIGNATURE");
    json_decref(index);
}

static void test_bad_certificates(void **state) {
    (void)state;
    static const struct expectation rows[] = {{"hwid_other", "SNP-CHIP-ID", "SNP-ROOT"},
                                              {"ucode_octet", "SNP-VEK-SPL", NULL},
                                              {"ucode_trailing", "SNP-VEK-SPL", NULL},
                                              {"_missing", "SNP-VEK-EXTENSION", NULL},
                                              {"fmc_present", "SNP-VEK-EXTENSION", NULL},
                                              {"fmc_other", "SNP-TCB-CERT", "SNP-ROOT"},
                                              {"issuer_name", "SNP-CERT-ISSUER", NULL},
                                              {"signed_by_asvk", "SNP-CERT-SIGNATURE", NULL},
                                              {"pss_salt32", "SNP-CERT-ALGORITHM", NULL},
                                              {"ca_true", "SNP-VEK-EXTENSION", NULL},
                                              {"critical_unknown", "SNP-VEK-EXTENSION", NULL},
                                              {"_key.der", "SNP-VEK-KEY", NULL},
                                              {"der_trailing", "SNP-CERT-FORMAT", NULL},
                                              {"hwid_octet_string", "SNP-VEK-HWID", NULL},
                                              {"hwid_padded", "SNP-VEK-HWID", NULL},
                                              {"cspid_and_hwid", "SNP-VEK-EXTENSION", NULL},
                                              {"cn_vlek", "SNP-VEK-KIND", NULL},
                                              {"expired", "SNP-CERT-DATE", "SNP-ROOT"},
                                              {NULL, NULL, NULL}};
    json_t *index = load_json("synthetic/badcerts/index.json");
    const char *name = NULL;
    const json_t *entry = NULL;
    json_object_foreach(index, name, entry) {
        char vek[128];
        char files[3][128];
        static const char *const keys[] = {"report", "ica", "ark"};
        snprintf(vek, sizeof vek, "synthetic/badcerts/%s", name);
        for (size_t i = 0; i < 3; i++) { /* "../milan_v5_good.bin" */
            const char *path = text_of(entry, keys[i]);
            assert_int_equal(strncmp(path, "../", 3), 0);
            snprintf(files[i], sizeof files[i], "synthetic/%s", path + 3);
        }
        const struct expectation *e = expected(rows, name);
        struct sample s = {.report = files[0],
                           .vek = vek,
                           .authority = files[1],
                           .ark = files[2],
                           .trusted = true,
                           .at = NOW,
                           .code = e->code};
        judge(&s);
        s.trusted = false;
        s.code = e->untrusted != NULL ? e->untrusted : e->code;
        judge(&s);
    }
    json_decref(index);
}

/* ---- files that are not evidence by themselves ---- */

/* The built-in authorities are AMD's files. */
static void test_roots_are_the_built_in_ones(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum snp_product product;
    } lines[] = {{"milan", SNP_MILAN}, {"genoa", SNP_GENOA}, {"turin", SNP_TURIN}};
    static const struct {
        const char *name;
        enum snp_cert_kind kind;
    } kinds[] = {{"ark", SNP_CERT_ARK}, {"ask", SNP_CERT_ASK}, {"asvk", SNP_CERT_ASVK}};
    for (size_t i = 0; i < 9; i++) {
        char name[64];
        struct buf der = {0};
        snprintf(name, sizeof name, "roots/%s_%s.der", lines[i / 3].name, kinds[i % 3].name);
        load(name, &der);
        struct span own = snp_roots_der(lines[i / 3].product, kinds[i % 3].kind);
        assert_true(span_equal(buf_span(&der), own));
        buf_deinit(&der);
    }
}

/* What a PEM file must consist of, in order. */
struct wanted {
    const char *files[2]; /* DER; NULL = no more */
    size_t next;
};

static struct result on_block(void *data, struct span der, struct err *err) {
    struct wanted *w = data;
    struct buf file = {0};
    (void)err;
    assert_true(w->next < 2 && w->files[w->next] != NULL);
    load(w->files[w->next++], &file);
    assert_true(span_equal(der, buf_span(&file)));
    buf_deinit(&file);
    return OK;
}

static void check_pem(const char *name, const char *first, const char *second) {
    struct wanted wanted = {.files = {first, second}};
    struct buf file = {0};
    size_t count = 0;
    load(name, &file);
    assert_true(pem_is_text(buf_span(&file)));
    assert_true(is_ok(pem_each(buf_span(&file), "CERTIFICATE", on_block, &wanted, &count, NULL)));
    assert_int_equal(count, second != NULL ? 2 : 1);
    buf_deinit(&file);
}

static void test_pem_files_are_the_same_certificates(void **state) {
    (void)state;
    static const char *const lines[] = {"milan", "genoa", "turin"};
    static const char *const kinds[] = {"ark", "ask", "asvk"};
    for (size_t i = 0; i < 3; i++) {
        char pem[64];
        char der[3][64];
        for (size_t k = 0; k < 3; k++) {
            snprintf(der[k], sizeof der[k], "roots/%s_%s.der", lines[i], kinds[k]);
            snprintf(pem, sizeof pem, "roots/%s_%s.pem", lines[i], kinds[k]);
            check_pem(pem, der[k], NULL);
        }
        snprintf(pem, sizeof pem, "roots/%s_vcek_cert_chain.pem", lines[i]);
        check_pem(pem, der[1], der[0]);
        snprintf(pem, sizeof pem, "roots/%s_vlek_cert_chain.pem", lines[i]);
        check_pem(pem, der[2], der[0]);
    }
}

/* Azure's blobs hold the reports that were judged above, bound to their runtime data. */
static void test_blobs_hold_the_reports(void **state) {
    (void)state;
    static const char *const stems[] = {"milan/az_trustee", "milan/az_evidence_v1",
                                        "milan/az_evidence_v2", "genoa/az_evidence_genoa",
                                        "bad/mismatch/az_kinvolk"};
    for (size_t i = 0; i < COUNT(stems); i++) {
        char name[64];
        struct buf blob = {0};
        struct buf report = {0};
        struct snp_hcl hcl = {0};
        snprintf(name, sizeof name, "%s_hcl.bin", stems[i]);
        load(name, &blob);
        snprintf(name, sizeof name, "%s_report.bin", stems[i]);
        load(name, &report);
        assert_true(is_ok(snp_hcl_parse(buf_span(&blob), &hcl, NULL)));
        assert_true(span_equal(hcl.report, buf_span(&report)));
        assert_true(snp_hcl_is_bound(&hcl));
        buf_deinit(&blob);
        buf_deinit(&report);
    }
}

/* The throwaway keys belong to the synthetic certificates. */
static void test_keys_fit_their_certificates(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"test_ark_rsa", "milan_ark"},   {"test_ask_rsa", "milan_ask"},
        {"test_asvk_rsa", "milan_asvk"}, {"test_vcek_ec", "milan_vcek"},
        {"test_vlek_ec", "milan_vlek"},  {"test_turin_vcek_ec", "turin_vcek"}};
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char name[64];
        struct buf pem = {0};
        struct buf der = {0};
        struct snp_cert cert = {0};
        snprintf(name, sizeof name, "synthetic/%s.key.pem", pairs[i][0]);
        load(name, &pem);
        snprintf(name, sizeof name, "synthetic/%s.der", pairs[i][1]);
        load(name, &der);
        BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        assert_non_null(key);
        assert_true(is_ok(snp_cert_parse(buf_span(&der), "certificate", &cert, NULL, NULL)));
        assert_int_equal(X509_check_private_key(cert.x509, key), 1);
        snp_cert_deinit(&cert);
        EVP_PKEY_free(key);
        BIO_free(bio);
        buf_deinit(&pem);
        buf_deinit(&der);
    }
}

/* ---- nothing is left out ---- */

static size_t missed;

static int on_file(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    const char *name = path + strlen(root) + 1;
    (void)st;
    (void)ftw;
    if (type != FTW_F || strncmp(name, "vectors/", 8) == 0 || strcmp(name, "index.json") == 0 ||
        strcmp(name, "README.md") == 0) {
        return 0; /* vectors: of launch digests and of ID blocks, not evidence */
    }
    if (!was_read(name)) {
        print_error("%s: nothing is expected of this file yet\n", name);
        missed++;
    }
    return 0;
}

static void test_every_file_was_judged(void **state) {
    (void)state;
    missed = 0;
    assert_int_equal(nftw(root, on_file, 16, FTW_PHYS), 0);
    assert_int_equal(missed, 0);
    assert_true(read_count > 180);
}

static int drop_all(void **state) {
    (void)state;
    for (size_t i = 0; i < read_count; i++) {
        free(read_files[i]);
    }
    snp_cache_free(cache);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_the_built_in_ones),
        cmocka_unit_test(test_pem_files_are_the_same_certificates),
        cmocka_unit_test(test_blobs_hold_the_reports),
        cmocka_unit_test(test_keys_fit_their_certificates),
        cmocka_unit_test(test_genuine),
        cmocka_unit_test(test_sent_authorities_do_not_matter),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_synthetic_reports),
        cmocka_unit_test(test_synthetic_leaves_alone),
        cmocka_unit_test(test_synthetic_lists),
        cmocka_unit_test(test_bad_certificates),
        cmocka_unit_test(test_every_file_was_judged),
    };
    const char *data = getenv("CONTRAST_TESTDATA");
    const char *ci = getenv("CI");
    snprintf(root, sizeof root, "%s/snp", data != NULL ? data : "../shared/testdata");
    if (!exists("index.json")) {
        printf("the shared test data is not at %s: nothing to do\n", root);
        return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
    }
    cache = snp_cache_new();
    return cmocka_run_group_tests(tests, NULL, drop_all);
}
