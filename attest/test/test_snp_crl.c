/* Revocation lists of a machine of our own: what counts, what does not, and which of several.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/snp_crl.h"
#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"

#define DAY INT64_C(86400)
#define NOW SNP_FIXTURE_NOW

static struct snp_fixture machine;
static struct snp_cert ark;
static struct snp_cert ask;
static struct snp_cert asvk;

static const struct snp_fixture_list GOOD = {
    .this_update = NOW - 10 * DAY, .next_update = NOW + 37 * DAY, .number = 9};

/* What these lists say of an authority. */
static struct snp_revocation judge_of(const struct snp_cert *ca,
                                      const struct snp_fixture_list *lists, size_t count) {
    struct buf der[4] = {0};
    struct span spans[4] = {0};
    struct snp_revocation out;
    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++) {
        snp_fixture_make_list(&machine, &lists[i], &der[i]);
        spans[i] = buf_span(&der[i]);
    }
    snp_crl_judge(spans, count, &ark, ca, NULL, NOW, &out);
    for (size_t i = 0; i < count; i++) {
        buf_deinit(&der[i]);
    }
    return out;
}

static struct snp_revocation judge(const struct snp_fixture_list *lists, size_t count) {
    return judge_of(&ask, lists, count);
}

static void test_a_good_list_is_read(void **state) {
    (void)state;
    struct snp_revocation r = judge(&GOOD, 1);
    assert_int_equal(r.state, SNP_CRL_CURRENT);
    assert_false(r.is_revoked);
    assert_int_equal(r.number, 9);
    assert_int_equal(r.this_update, GOOD.this_update);
    assert_int_equal(r.next_update, GOOD.next_update);
    r = judge(NULL, 0);
    assert_int_equal(r.state, SNP_CRL_NONE);
}

/* Both ends of the window belong to it. */
static void test_dates(void **state) {
    (void)state;
    static const struct {
        int64_t from;
        int64_t to;
        enum snp_crl_state state;
    } rows[] = {{NOW, NOW + DAY, SNP_CRL_CURRENT},
                {NOW - DAY, NOW, SNP_CRL_CURRENT},
                {NOW + 1, NOW + DAY, SNP_CRL_FUTURE},
                {NOW - DAY, NOW - 1, SNP_CRL_STALE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_fixture_list list = {.this_update = rows[i].from, .next_update = rows[i].to};
        assert_int_equal(judge(&list, 1).state, rows[i].state);
    }
}

/* ---- lists that are not this root's ---- */

static void add_extension(X509_CRL *crl, const char *oid, bool critical, const char *bytes,
                          int size) {
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes, size), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, object, critical ? 1 : 0, value);
    assert_int_equal(X509_CRL_add_ext(crl, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}
static void make_delta(X509_CRL *crl) {
    add_extension(crl, "2.5.29.27", false, "\x02\x01\x01", 3);
}
static void make_critical_delta(X509_CRL *crl) {
    add_extension(crl, "2.5.29.27", true, "\x02\x01\x01", 3);
}
static void make_critical(X509_CRL *crl) {
    add_extension(crl, "1.3.6.1.4.1.99999.7", true, "\x05\x00", 2);
}
static void make_partial(X509_CRL *crl) { /* onlyContainsUserCerts */
    add_extension(crl, "2.5.29.28", false, "\x30\x03\x81\x01\xff", 5);
}
static void make_version_1(X509_CRL *crl) {
    X509_EXTENSION_free(X509_CRL_delete_ext(crl, 0));
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_1), 1);
}
static void make_indirect(X509_CRL *crl) {
    X509_REVOKED *entry = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 0);
    ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
    assert_int_equal(ASN1_ENUMERATED_set(reason, 1), 1);
    assert_int_equal(X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 1, 0), 1);
    ASN1_ENUMERATED_free(reason);
}

/* Signed, but not DER (RFC 5280 section 5.1.2.4). */
static void make_date_of_a_zone(X509_CRL *crl) {
    ASN1_TIME *date = ASN1_STRING_dup(X509_CRL_get0_lastUpdate(crl));
    assert_int_equal(ASN1_STRING_set(date, "250101000000+0100", -1), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, date), 1);
    ASN1_STRING_free(date);
}

static void test_faults(void **state) {
    (void)state;
    const struct {
        const char *code;
        const char *field;
        struct snp_fixture_list list;
    } rows[] = {
        {"SNP-CRL-ISSUER", "CRL.issuer", {.issuer = "ARK-Rome"}},
        {"SNP-CRL-ISSUER", "CRL.issuer", {.issuer = "ark-milan"}}, /* byte for byte */
        {"SNP-CRL-ISSUER", "CRL.issuer", {.issuer = "SEV-Milan", .signer = machine.ask_key}},
        {"SNP-CRL-SIGNATURE", "CRL.signature", {.signer = machine.ask_key}},
        {"SNP-CRL-SIGNATURE", "CRL.signatureAlgorithm", {.salt = 32}},
        {"SNP-CRL-FORMAT", "CRL.extensions", {.change = make_delta}},
        {"SNP-CRL-FORMAT", "CRL.extensions", {.change = make_critical_delta}},
        {"SNP-CRL-FORMAT", "CRL.extensions", {.change = make_critical}},
        {"SNP-CRL-FORMAT", "CRL.extensions", {.change = make_partial}},
        {"SNP-CRL-FORMAT", "CRL.extensions", {.revoked = 7, .change = make_indirect}},
        {"SNP-CRL-FORMAT", "CRL.version", {.change = make_version_1}},
        {"SNP-CRL-FORMAT", "CRL", {.change = make_date_of_a_zone}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_fixture_list list = rows[i].list;
        list.this_update = GOOD.this_update;
        list.next_update = GOOD.next_update;
        struct snp_revocation r = judge(&list, 1);
        assert_int_equal(r.state, SNP_CRL_INVALID);
        assert_string_equal(r.code, rows[i].code);
        assert_string_equal(r.field, rows[i].field);
    }
}

/* It neither counts nor condemns, alone or beside another. */
static void test_a_list_of_another_product_says_nothing(void **state) {
    (void)state;
    const struct snp_fixture_list lists[] = {
        {.issuer = "ARK-Genoa", .this_update = GOOD.this_update, .next_update = GOOD.next_update},
        GOOD,
        {.issuer = "ARK-Rome", .this_update = GOOD.this_update, .next_update = GOOD.next_update}};
    assert_int_equal(judge(lists, 1).state, SNP_CRL_NONE);
    assert_int_equal(judge(lists, 2).state, SNP_CRL_CURRENT);
    assert_int_equal(judge(lists + 2, 1).state, SNP_CRL_INVALID);
}

static void test_dates_must_be_there_and_in_order(void **state) {
    (void)state;
    static const struct snp_fixture_list rows[] = {{.this_update = NOW - DAY},
                                                   {.this_update = NOW, .next_update = NOW - DAY}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_revocation r = judge(&rows[i], 1);
        assert_int_equal(r.state, SNP_CRL_INVALID);
        assert_string_equal(r.code, "SNP-CRL-FORMAT");
        assert_string_equal(r.field, "CRL.nextUpdate");
    }
}

static const char *code_of(struct span der) {
    struct snp_revocation out;
    snp_crl_judge(&der, 1, &ark, &ask, NULL, NOW, &out);
    return out.state == SNP_CRL_INVALID ? out.code : "";
}

static void test_every_prefix_and_a_byte_more_are_refused(void **state) {
    (void)state;
    struct buf der = {0};
    snp_fixture_make_list(&machine, &GOOD, &der);
    assert_string_equal(code_of(buf_span(&der)), "");
    for (size_t n = 0; n < der.size; n++) {
        uint8_t *exact = malloc(n + 1); /* the sanitizer sees a read behind the end */
        memcpy(exact, der.data, n);
        assert_string_equal(code_of(span_of(exact, n)), "SNP-CRL-FORMAT");
        free(exact);
    }
    buf_append_u8(&der, 0);
    assert_string_equal(code_of(buf_span(&der)), "SNP-CRL-FORMAT");
    buf_deinit(&der);
}

/* Every 5th byte: never valid, never a crash. */
static void test_flipped_bytes_are_refused(void **state) {
    (void)state;
    struct buf der = {0};
    struct snp_crl_facts facts;
    snp_fixture_make_list(&machine, &GOOD, &der);
    for (size_t at = 0; at < der.size; at += 5) {
        der.data[at] ^= 0x01;
        assert_int_equal(snp_crl_check(buf_span(&der), &ark, &facts, NULL).code, ERR_DENIED);
        der.data[at] ^= 0x01;
    }
    assert_true(is_ok(snp_crl_check(buf_span(&der), &ark, &facts, NULL)));
    assert_int_equal(facts.number, 9);
    buf_deinit(&der);
}

/* ---- several lists ---- */

static void test_the_best_list_counts(void **state) {
    (void)state;
    const struct snp_fixture_list stale = {
        .this_update = NOW - 90 * DAY, .next_update = NOW - 40 * DAY, .number = 7};
    const struct snp_fixture_list newer = {
        .this_update = NOW - DAY, .next_update = NOW + DAY, .number = 10};
    const struct snp_fixture_list future = {
        .this_update = NOW + DAY, .next_update = NOW + 2 * DAY, .number = 11};
    const struct snp_fixture_list foreign = {
        .this_update = NOW - DAY, .next_update = NOW + DAY, .number = 12, .salt = 32};
    const struct snp_fixture_list rows[][4] = {{stale, GOOD, newer, future},
                                               {future, newer, GOOD, stale},
                                               {foreign, newer, stale, foreign}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct snp_revocation r = judge(rows[i], 4);
        assert_int_equal(r.state, SNP_CRL_CURRENT);
        assert_int_equal(r.number, 10);
    }
    const struct snp_fixture_list old[] = {future, stale};
    assert_int_equal(judge(old, 2).state, SNP_CRL_STALE);
}

/* Whatever the state of the list that names it. */
static void test_any_valid_list_revokes(void **state) {
    (void)state;
    static const struct {
        long serial;
        bool ask;
        bool asvk;
    } serials[] = {{SNP_FIXTURE_ASK_SERIAL, true, false},
                   {SNP_FIXTURE_ARK_SERIAL, true, true},
                   {SNP_FIXTURE_ASVK_SERIAL, false, true}};
    static const int64_t starts[] = {NOW - 90 * DAY, NOW - DAY, NOW + DAY};
    for (size_t i = 0; i < 9; i++) {
        struct snp_fixture_list lists[] = {GOOD,
                                           {.this_update = starts[i % 3],
                                            .next_update = starts[i % 3] + 2 * DAY,
                                            .revoked = serials[i / 3].serial}};
        assert_int_equal(judge_of(&ask, lists, 2).is_revoked, serials[i / 3].ask);
        assert_int_equal(judge_of(&asvk, lists, 2).is_revoked, serials[i / 3].asvk);
        lists[1].salt = 32; /* not AMD's list: it revokes nothing */
        assert_false(judge(lists, 2).is_revoked);
    }
}

/* ---- in a verification ---- */

static struct result verify(const struct buf *crl, bool own, enum crl_policy policy,
                            struct verdict *verdict) {
    static const uint8_t zero[64] = {0};
    uint8_t bytes[SNP_REPORT_SIZE];
    struct snp_report report;
    snp_fixture_fill(&machine, zero, zero, &report);
    snp_fixture_sign(&machine, &report, bytes);
    struct span list = buf_span(crl);
    struct snp_evidence evidence = {.report = SPAN(bytes),
                                    .vek = buf_span(&machine.vcek),
                                    .chain = {buf_span(&machine.ask), buf_span(&machine.ark)},
                                    .chain_count = 2};
    struct snp_options options = {.extra_roots = (const uint8_t(*)[32])machine.root_digest,
                                  .extra_root_count = 1,
                                  .at = NOW,
                                  .crl = policy};
    if (own) {
        options.crls = &list;
        options.crl_count = 1;
    } else {
        evidence.crl = list;
    }
    return snp_verify(&evidence, &options, &report, verdict, NULL);
}

static void test_revocation_is_denied_under_every_policy(void **state) {
    (void)state;
    static const enum crl_policy policies[] = {CRL_OFF, CRL_REQUIRE, CRL_GRACE};
    struct snp_fixture_list list = GOOD;
    list.revoked = SNP_FIXTURE_ASK_SERIAL;
    struct buf crl = {0};
    snp_fixture_make_list(&machine, &list, &crl);
    for (size_t i = 0; i < 6; i++) {
        struct verdict verdict;
        assert_int_equal(verify(&crl, i % 2 == 0, policies[i / 2], &verdict).code, ERR_DENIED);
        assert_string_equal(verdict.code, "SNP-REVOKED");
        assert_string_equal(verdict.field, "ASK");
    }
    buf_deinit(&crl);
}

static void test_a_required_list_may_come_from_either_side(void **state) {
    (void)state;
    struct buf crl = {0};
    const struct buf none = {0};
    struct verdict verdict;
    snp_fixture_make_list(&machine, &GOOD, &crl);
    assert_true(is_ok(verify(&crl, true, CRL_REQUIRE, &verdict)));
    assert_true(is_ok(verify(&crl, false, CRL_REQUIRE, &verdict)));
    assert_true(is_ok(verify(&none, false, CRL_OFF, &verdict)));
    assert_int_equal(verify(&none, false, CRL_REQUIRE, &verdict).code, ERR_UNVERIFIABLE);
    assert_string_equal(verdict.code, "SNP-CRL-MISSING");
    buf_deinit(&crl);
}

/* What the host adds proves nothing false of the machine; the verifier's own list must be right. */
static void test_a_bad_list_counts_by_who_brought_it(void **state) {
    (void)state;
    struct snp_fixture_list list = GOOD;
    list.signer = machine.ask_key;
    struct buf crl = {0};
    struct verdict verdict;
    snp_fixture_make_list(&machine, &list, &crl);
    assert_int_equal(verify(&crl, true, CRL_REQUIRE, &verdict).code, ERR_DENIED);
    assert_string_equal(verdict.code, "SNP-CRL-SIGNATURE");
    assert_int_equal(verify(&crl, false, CRL_REQUIRE, &verdict).code, ERR_UNVERIFIABLE);
    assert_string_equal(verdict.code, "SNP-CRL-SIGNATURE");
    buf_clear(&crl);
    buf_append_str(&crl, "no list");
    assert_int_equal(verify(&crl, false, CRL_REQUIRE, &verdict).code, ERR_UNVERIFIABLE);
    assert_string_equal(verdict.code, "SNP-CRL-FORMAT");
    assert_true(is_ok(verify(&crl, false, CRL_OFF, &verdict)));
    buf_deinit(&crl);
}

static int make_machine(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_MILAN);
    snp_fixture_add_vlek(&machine, "CN=cloud.example");
    CHECK(is_ok(snp_cert_parse(buf_span(&machine.ark), "ARK", &ark, NULL, NULL)));
    CHECK(is_ok(snp_cert_parse(buf_span(&machine.ask), "ASK", &ask, NULL, NULL)));
    CHECK(is_ok(snp_cert_parse(buf_span(&machine.asvk), "ASVK", &asvk, NULL, NULL)));
    return 0;
}

static int drop_machine(void **state) {
    (void)state;
    snp_cert_deinit(&ark);
    snp_cert_deinit(&ask);
    snp_cert_deinit(&asvk);
    snp_fixture_deinit(&machine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_list_is_read),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_a_list_of_another_product_says_nothing),
        cmocka_unit_test(test_dates_must_be_there_and_in_order),
        cmocka_unit_test(test_every_prefix_and_a_byte_more_are_refused),
        cmocka_unit_test(test_flipped_bytes_are_refused),
        cmocka_unit_test(test_the_best_list_counts),
        cmocka_unit_test(test_any_valid_list_revokes),
        cmocka_unit_test(test_revocation_is_denied_under_every_policy),
        cmocka_unit_test(test_a_required_list_may_come_from_either_side),
        cmocka_unit_test(test_a_bad_list_counts_by_who_brought_it),
    };
    return cmocka_run_group_tests(tests, make_machine, drop_machine);
}
