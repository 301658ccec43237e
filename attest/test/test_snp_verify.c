/* Verification and policy on a machine of our own (snp_fixture): one thing wrong at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_policy.h"
#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"

static struct snp_fixture machine; /* Milan */
static struct snp_fixture other;   /* Turin */
static const uint8_t REPORT_DATA[64] = {1, 2, 3};
static const uint8_t HOST_DATA[32] = {4, 5, 6};

/* One verification, good until a test changes something. */
struct trial {
    struct snp_report report;
    struct snp_reference reference;
    struct snp_evidence evidence;
    struct snp_options options;
    struct verdict verdict;
    struct err err;
    uint8_t bytes[SNP_REPORT_SIZE];
};

static void prepare(struct trial *t, const struct snp_fixture *f) {
    *t = (struct trial){.reference = f->reference};
    snp_fixture_fill(f, REPORT_DATA, HOST_DATA, &t->report);
    t->evidence = (struct snp_evidence){.vek = buf_span(&f->vcek),
                                        .chain = {buf_span(&f->ask), buf_span(&f->ark)},
                                        .chain_count = 2};
    t->options = (struct snp_options){.references = &t->reference,
                                      .reference_count = 1,
                                      .report_data = REPORT_DATA,
                                      .host_data = HOST_DATA,
                                      .at = SNP_FIXTURE_NOW};
}

static void sign(struct trial *t, const struct snp_fixture *f) {
    snp_fixture_sign(f, &t->report, t->bytes);
    t->evidence.report = SPAN(t->bytes);
}

static struct result run(struct trial *t) {
    struct snp_report report;
    return snp_verify(&t->evidence, &t->options, &report, &t->verdict, &t->err);
}

static void expect_accepted(struct trial *t) {
    struct result r = run(t);
    if (!is_ok(r)) {
        print_error("%s\n", t->err.text);
    }
    assert_true(is_ok(r));
    assert_int_equal(t->verdict.kind, VERDICT_ACCEPTED);
    assert_string_equal(t->verdict.code, "");
}

static void expect_denied(struct trial *t, const char *code) {
    assert_int_equal(run(t).code, ERR_DENIED);
    assert_string_equal(t->verdict.code, code);
    assert_int_equal(t->verdict.kind, VERDICT_DENIED);
    assert_int_equal(strncmp(t->err.text, code, strlen(code)), 0);
}

static bool has_check(const struct trial *t, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < t->verdict.check_count; i++) {
        count += strcmp(t->verdict.checks[i].name, name) == 0 ? 1 : 0;
    }
    assert_true(count <= 1);
    return count == 1;
}

/* What a cryptographic verdict on a VCEK's report consists of. */
static const char *const CHECKS[] = {
    "report-length",
    "report-version",
    "report-algorithm",
    "report-vmpl",
    "report-key-info",
    "report-chip-key",
    "report-signing-key",
    "report-policy-reserved",
    "report-reserved",
    "report-cpuid-reserved",
    "report-mitigation-reserved",
    "report-signature-tail",
    "report-signature-range",
    "product-known",
    "tcb-reserved",
    "product",
    "leaf-version",
    "leaf-subject",
    "leaf-key",
    "leaf-extensions",
    "leaf-security-versions",
    "leaf-product",
    "leaf-hwid",
    "certificate-format",
    "certificate-authority",
    "certificate-issuer",
    "certificate-algorithm",
    "certificate-signature",
    "root",
    "certificate-dates",
    "not-revoked",
    "report-signature",
    "tcb-of-certificate",
    "tcb-order",
    "chip",
};

static void test_both_products_are_accepted_as_simulated(void **state) {
    (void)state;
    const struct snp_fixture *all[] = {&machine, &other};
    for (size_t i = 0; i < 2; i++) {
        struct trial t;
        prepare(&t, all[i]);
        sign(&t, all[i]);
        expect_accepted(&t);
        assert_true(t.verdict.simulated);
        assert_int_equal(t.verdict.reference, 0);
    }
}

static void test_without_permission_the_root_is_denied(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    t.reference.simulated_root_count = 0;
    expect_denied(&t, "SNP-ROOT");
    t.options.reference_count = 0;
    expect_denied(&t, "SNP-ROOT");
    t.options.extra_roots = (const uint8_t(*)[32])machine.root_digest;
    t.options.extra_root_count = 1;
    expect_accepted(&t);
    t.options.reference_count = 1; /* a set that does not list it */
    expect_denied(&t, "SNP-ROOT-SIMULATED");
    t.options.extra_roots_suffice = true;
    expect_accepted(&t);
    assert_true(t.verdict.simulated);
    t.options.extra_roots = (const uint8_t(*)[32])other.root_digest;
    expect_denied(&t, "SNP-ROOT");
}

/* A root listed for another product permits nothing. */
static void test_root_counts_for_its_product_only(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    t.reference.product = SNP_TURIN;
    expect_denied(&t, "SNP-ROOT");
}

struct policy_row {
    const char *code;
    void (*change)(struct trial *t);
};

static void set_debug(struct trial *t) {
    t->report.policy |= SNP_POLICY_DEBUG;
}
static void set_migrate(struct trial *t) {
    t->report.policy |= SNP_POLICY_MIGRATE_MA;
}
static void set_cxl(struct trial *t) {
    t->report.policy |= SNP_POLICY_CXL_ALLOW;
}
static void forbid_smt(struct trial *t) {
    t->reference.policy_allowed = 0;
}
static void require_socket(struct trial *t) {
    t->reference.policy_required = SNP_POLICY_SINGLE_SOCKET;
}
static void require_xts(struct trial *t) {
    t->reference.policy_required = SNP_POLICY_MEM_AES_256_XTS;
}
static void require_rapl(struct trial *t) {
    t->reference.policy_required = SNP_POLICY_RAPL_DIS;
}
static void require_hiding(struct trial *t) {
    t->reference.policy_required = SNP_POLICY_CIPHERTEXT_HIDING;
}
static void require_swap(struct trial *t) {
    t->reference.policy_required = SNP_POLICY_PAGE_SWAP_DISABLE;
}
static void require_abi(struct trial *t) {
    t->report.policy |= 0x0137;
    t->reference.policy_abi_major = 1;
    t->reference.policy_abi_minor = 0x38;
}
static void set_vmpl(struct trial *t) {
    t->report.vmpl = 1;
}
static void set_host_vmpl(struct trial *t) {
    t->report.vmpl = SNP_VMPL_HOST;
}
static void set_agent(struct trial *t) {
    t->report.report_id_ma[31] = 0;
}
static void change_measurement(struct trial *t) {
    t->report.measurement[47] ^= 1;
}
static void raise_floor(struct trial *t) {
    t->reference.minimum_tcb.snp++;
}
static void lower_launch(struct trial *t) {
    t->report.launch_tcb[7]--;
}
static void raise_reported(struct trial *t) {
    t->report.reported_tcb[7]++;
}
static void lower_current(struct trial *t) {
    t->report.current_tcb[7]--;
}
static void lower_committed(struct trial *t) {
    t->report.committed_tcb[6]--;
}
static void set_tcb_reserved(struct trial *t) {
    t->report.launch_tcb[3] = 1;
}
static void mask_chip(struct trial *t) {
    memset(t->report.chip_id, 0, sizeof t->report.chip_id);
}
static void change_chip(struct trial *t) {
    t->report.chip_id[63] ^= 1;
}
static void change_report_data(struct trial *t) {
    t->report.report_data[63] ^= 1;
}
static void change_host_data(struct trial *t) {
    t->report.host_data[0] ^= 1;
}
static void change_cpuid(struct trial *t) {
    t->report.cpuid_model = 0x11;
}
static void unknown_cpuid(struct trial *t) {
    t->report.cpuid_family = 0x1A;
    t->report.cpuid_model = 0x50;
}
static void become_vlek(struct trial *t) {
    t->report.key_info = SNP_KEY_VLEK << 2;
}
static void expect_other_product(struct trial *t) {
    t->options.extra_roots = (const uint8_t(*)[32])machine.root_digest;
    t->options.extra_root_count = 1;
    t->reference.product = SNP_GENOA;
}
static void too_early(struct trial *t) {
    t->options.at = SNP_FIXTURE_NOT_BEFORE - 1;
}
static void too_late(struct trial *t) {
    t->options.at = SNP_FIXTURE_NOT_AFTER + INT64_C(100) * 365 * 86400;
}

static const struct policy_row ROWS[] = {
    {"SNP-POLICY-DEBUG", set_debug},
    {"SNP-POLICY-MIGRATE-MA", set_migrate},
    {"SNP-POLICY-CXL", set_cxl},
    {"SNP-POLICY-SMT", forbid_smt},
    {"SNP-POLICY-SINGLE-SOCKET", require_socket},
    {"SNP-POLICY-XTS", require_xts},
    {"SNP-POLICY-RAPL", require_rapl},
    {"SNP-POLICY-CIPHERTEXT-HIDING", require_hiding},
    {"SNP-POLICY-PAGE-SWAP", require_swap},
    {"SNP-POLICY-ABI", require_abi},
    {"SNP-VMPL", set_vmpl},
    {"SNP-VMPL-HOST", set_host_vmpl},
    {"SNP-REPORT-ID-MA", set_agent},
    {"SNP-MEASUREMENT", change_measurement},
    {"SNP-TCB-FLOOR", raise_floor},
    {"SNP-TCB-FLOOR", lower_launch},
    {"SNP-TCB-CERT", raise_reported},
    {"SNP-TCB-ORDER", lower_current},
    {"SNP-TCB-ORDER", lower_committed},
    {"SNP-TCB-RESERVED", set_tcb_reserved},
    {"SNP-CHIP-MASKED", mask_chip},
    {"SNP-CHIP-ID", change_chip},
    {"SNP-REPORT-DATA", change_report_data},
    {"SNP-HOST-DATA", change_host_data},
    {"SNP-PRODUCT", change_cpuid},
    {"SNP-PRODUCT", unknown_cpuid},
    {"SNP-PRODUCT-EXPECTED", expect_other_product},
    {"SNP-VEK-KIND", become_vlek},
    {"SNP-CERT-DATE", too_early},
    {"SNP-CERT-DATE", too_late},
};

static void test_each_rule_denies_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct trial t;
        prepare(&t, &machine);
        ROWS[i].change(&t);
        sign(&t, &machine);
        expect_denied(&t, ROWS[i].code);
        assert_true(t.verdict.field[0] != '\0' && t.verdict.remedy[0] != '\0');
    }
}

/* Every byte that is signed; the rest is refused by the format. */
static void test_every_flipped_byte_is_denied(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    for (size_t at = 0; at < SNP_REPORT_SIZE; at += 7) {
        t.bytes[at] ^= 0x01;
        assert_int_equal(run(&t).code, ERR_DENIED);
        t.bytes[at] ^= 0x01;
    }
    expect_accepted(&t);
}

static void test_debug_is_denied_without_references(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    t.options.reference_count = 0;
    t.options.extra_roots = (const uint8_t(*)[32])machine.root_digest;
    t.options.extra_root_count = 1;
    t.report.vmpl = 1;
    sign(&t, &machine);
    expect_accepted(&t); /* shown in the table, not judged */
    set_debug(&t);
    sign(&t, &machine);
    expect_denied(&t, "SNP-POLICY-DEBUG");
    assert_string_equal(t.verdict.expected, "0");
    assert_string_equal(t.verdict.actual, "1");
}

static void test_a_set_may_allow_debugging(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    set_debug(&t);
    t.reference.policy_allowed |= SNP_POLICY_DEBUG;
    sign(&t, &machine);
    expect_accepted(&t);
}

/* Everything of a VLEK's report fits, but for the key that signed it. */
static void test_a_providers_key_satisfies_no_set(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    struct snp_tcb tcb = t.reference.minimum_tcb;
    const struct snp_subject subject = {.report = &t.report,
                                        .product = t.reference.product,
                                        .tcbs = {tcb, tcb, tcb, tcb},
                                        .simulated_root = machine.root_digest[0]};
    verdict_init(&t.verdict);
    assert_true(is_ok(snp_policy_check(&subject, &t.options, &t.verdict, NULL)));
    t.report.key_info = SNP_KEY_VLEK << 2;
    memset(t.report.chip_id, 0, sizeof t.report.chip_id);
    verdict_init(&t.verdict);
    assert_int_equal(snp_policy_check(&subject, &t.options, &t.verdict, NULL).code, ERR_DENIED);
    assert_string_equal(t.verdict.code, "SNP-VLEK");
    t.options.reference_count = 0; /* a cryptographic verdict is possible */
    verdict_init(&t.verdict);
    assert_true(is_ok(snp_policy_check(&subject, &t.options, &t.verdict, NULL)));
}

static void test_chip_allow_list(void **state) {
    (void)state;
    struct trial t;
    uint8_t chips[2][64] = {{9}};
    prepare(&t, &machine);
    sign(&t, &machine);
    t.reference.chip_ids = chips;
    t.reference.chip_id_count = 2;
    expect_denied(&t, "SNP-CHIP-ALLOW");
    memcpy(chips[1], machine.chip_id, 64);
    expect_accepted(&t);
}

static void test_any_set_is_enough_and_the_nearest_explains(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    struct snp_reference sets[3] = {machine.reference, machine.reference, machine.reference};
    sets[0].product = SNP_TURIN; /* far */
    sets[1].policy_allowed = 0;  /* two failures */
    sets[1].measurement[0] ^= 1;
    sets[2].minimum_tcb.microcode++; /* three: the four TCBs are one */
    sets[2].minimum_firmware.major = 255;
    sets[2].vmpl = 1;
    t.options.references = sets;
    t.options.reference_count = 3;
    expect_denied(&t, "SNP-POLICY-SMT");
    assert_int_equal(t.verdict.reference, 1);
    assert_non_null(strstr(t.err.text, "ReferenceValues.snp[1]"));
    sets[2] = machine.reference;
    expect_accepted(&t);
    assert_int_equal(t.verdict.reference, 2);
}

static void prepare_vlek(struct trial *t, const struct snp_fixture *f) {
    prepare(t, f);
    t->report.key_info = SNP_KEY_VLEK << 2;
    memset(t->report.chip_id, 0, sizeof t->report.chip_id);
    t->evidence.vek = buf_span(&f->vlek);
    t->evidence.chain[0] = buf_span(&f->asvk);
    t->options.reference_count = 0;
    t->options.extra_roots = (const uint8_t(*)[32])f->root_digest;
    t->options.extra_root_count = 1;
}

static void test_a_missing_leaf_is_unverifiable(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    t.evidence.vek = (struct span){0};
    assert_int_equal(run(&t).code, ERR_UNVERIFIABLE);
    assert_string_equal(t.verdict.code, "SNP-VEK-MISSING");
    assert_string_equal(t.verdict.field, "VCEK");
    assert_non_null(strstr(t.verdict.remedy, "blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"));
    assert_int_equal(t.verdict.kind, VERDICT_UNVERIFIABLE);
    prepare_vlek(&t, &machine);
    sign(&t, &machine);
    t.evidence.vek = (struct span){0};
    assert_int_equal(run(&t).code, ERR_UNVERIFIABLE);
    assert_string_equal(t.verdict.field, "VLEK");
}

/* What is false whatever the certificate says, is denied without one. */
static void test_before_the_endorsement(void **state) {
    (void)state;
    static const struct {
        const char *code;
        void (*change)(struct trial *t);
    } rows[] = {{"SNP-MEASUREMENT", change_measurement}, {"SNP-REPORT-DATA", change_report_data},
                {"SNP-HOST-DATA", change_host_data},     {"SNP-POLICY-DEBUG", set_debug},
                {"SNP-TCB-RESERVED", set_tcb_reserved},  {"SNP-PRODUCT", unknown_cpuid},
                {"SNP-TCB-FLOOR", raise_floor},          {"SNP-VMPL-HOST", set_host_vmpl}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trial t;
        struct snp_report report;
        prepare(&t, &machine);
        sign(&t, &machine);
        t.evidence.vek = (struct span){0};
        assert_true(is_ok(snp_verify_before_endorsement(t.evidence.report, &t.options, &report,
                                                        &t.verdict, &t.err)));
        assert_int_equal(report.version, 3);
        rows[i].change(&t);
        sign(&t, &machine);
        assert_int_equal(snp_verify_before_endorsement(t.evidence.report, &t.options, &report,
                                                       &t.verdict, &t.err)
                             .code,
                         ERR_DENIED);
        assert_string_equal(t.verdict.code, rows[i].code);
        expect_denied(&t, rows[i].code);
    }
}

static void expect_lacking(struct trial *t, const char *code, const char *field) {
    assert_int_equal(run(t).code, ERR_UNVERIFIABLE);
    assert_int_equal(t->verdict.kind, VERDICT_UNVERIFIABLE);
    assert_string_equal(t->verdict.code, code);
    assert_string_equal(t->verdict.field, field);
}

/* AMD's own authorities are there without being sent, and they did not sign this leaf. Who permits
 * another root lacks its authorities; who does not, has proof that the leaf is false. */
static void test_without_its_authorities_a_leaf_is_not_amds(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    t.evidence.chain_count = 1; /* the ASK */
    expect_lacking(&t, "SNP-CHAIN-MISSING", "ARK");
    t.evidence.chain_count = 0;
    expect_lacking(&t, "SNP-CHAIN-MISSING", "ASK");
    t.evidence.chain[0] = buf_span(&machine.ark);
    t.evidence.chain_count = 1;
    expect_lacking(&t, "SNP-CHAIN-MISSING", "ASK");
    t.reference.simulated_root_count = 0;
    t.options.extra_root_count = 0;
    expect_denied(&t, "SNP-CERT-SIGNATURE");
    t.evidence.chain_count = 0;
    expect_denied(&t, "SNP-CERT-SIGNATURE");
    assert_string_equal(t.verdict.field, "VCEK.signature");
}

static void test_chain_of_another_product_is_not_used(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    t.evidence.chain[0] = buf_span(&other.ask);
    t.evidence.chain[1] = buf_span(&other.ark);
    expect_lacking(&t, "SNP-CHAIN-MISSING", "ASK");
    t.evidence.chain[2] = buf_span(&machine.ark); /* any order, others in between */
    t.evidence.chain[3] = buf_span(&machine.ask);
    t.evidence.chain_count = 4;
    expect_accepted(&t);
    t.evidence.vek = buf_span(&other.vcek);
    expect_denied(&t, "SNP-PRODUCT");
    t.evidence.vek = buf_span(&machine.ask);
    expect_denied(&t, "SNP-VEK-KIND");
}

/* ---- VLEK ---- */

static void test_a_providers_key_is_verified(void **state) {
    (void)state;
    const struct snp_fixture *all[] = {&machine, &other};
    for (size_t i = 0; i < 2; i++) {
        struct trial t;
        prepare_vlek(&t, all[i]);
        sign(&t, all[i]);
        expect_accepted(&t);
        assert_true(has_check(&t, "leaf-csp-id") && !has_check(&t, "leaf-hwid"));
        t.report.chip_id[0] = 1;
        sign(&t, all[i]);
        expect_denied(&t, "SNP-CHIP-ID");
        assert_string_equal(t.verdict.expected, "zero");
    }
}

/* Kind of the report, of the leaf and of the authority: they must agree. */
static void test_kinds_are_not_mixed(void **state) {
    (void)state;
    struct trial t;
    prepare_vlek(&t, &machine);
    sign(&t, &machine);
    t.evidence.vek = buf_span(&machine.vcek);
    expect_denied(&t, "SNP-VEK-KIND");
    t.evidence.vek = buf_span(&machine.vlek);
    t.evidence.chain[0] = buf_span(&machine.ask);
    expect_lacking(&t, "SNP-CHAIN-MISSING", "ASVK");
    prepare_vlek(&t, &machine);
    t.report.key_info = SNP_KEY_VCEK << 2;
    sign(&t, &machine);
    expect_denied(&t, "SNP-VEK-KIND");
}

/* ---- what stands in a verdict ---- */

static void test_every_check_is_named_once(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    sign(&t, &machine);
    expect_accepted(&t);
    for (size_t i = 0; i < sizeof CHECKS / sizeof CHECKS[0]; i++) {
        if (!has_check(&t, CHECKS[i])) {
            fail_msg("no check '%s'", CHECKS[i]);
        }
    }
}

static void test_tcbs_are_shown(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &other);
    t.report.launch_tcb[3]--;
    sign(&t, &other);
    t.options.reference_count = 0;
    t.options.extra_roots = (const uint8_t(*)[32])other.root_digest;
    t.options.extra_root_count = 1;
    expect_accepted(&t);
    const struct verdict_tcbs *tcbs = &t.verdict.tcbs;
    assert_true(tcbs->is_known);
    assert_string_equal(tcbs->reported, "FMC 1, bootloader 4, TEE 0, SNP 24, microcode 219");
    assert_string_equal(tcbs->certificate, tcbs->reported);
    assert_string_equal(tcbs->launch, "FMC 1, bootloader 4, TEE 0, SNP 23, microcode 219");
    assert_string_equal(tcbs->compared, "REPORTED_TCB");
    t.report.committed_tcb[7]--;
    sign(&t, &other);
    expect_denied(&t, "SNP-TCB-ORDER");
    assert_string_equal(tcbs->compared, "COMMITTED_TCB");
}

/* Version 2 does not name its product: the chain does, and the reserved bytes wait for it. */
static void test_version_2_learns_its_product_from_the_chain(void **state) {
    (void)state;
    struct trial t;
    prepare(&t, &machine);
    t.report.version = 2;
    t.report.cpuid_family = t.report.cpuid_model = t.report.cpuid_stepping = 0;
    sign(&t, &machine);
    expect_accepted(&t);
    assert_true(t.verdict.tcbs.is_known);
    t.report.current_tcb[4] = 1;
    sign(&t, &machine);
    expect_denied(&t, "SNP-TCB-RESERVED");
    assert_string_equal(t.verdict.field, "CURRENT_TCB");
    assert_true(has_check(&t, "leaf-product"));
    prepare(&t, &other); /* eight bytes of CHIP_ID: Turin */
    t.report.version = 2;
    t.report.cpuid_family = t.report.cpuid_model = t.report.cpuid_stepping = 0;
    sign(&t, &other);
    expect_accepted(&t);
    t.evidence.vek = buf_span(&machine.vcek);
    expect_denied(&t, "SNP-PRODUCT");
}

/* Every certificate, every 11th byte: never accepted, never a crash. */
static void test_flipped_certificates_are_refused(void **state) {
    (void)state;
    const struct buf *all[] = {&machine.vcek, &machine.ask, &machine.ark};
    for (size_t which = 0; which < 3; which++) {
        for (size_t at = 0; at < all[which]->size; at += 11) {
            struct trial t;
            prepare(&t, &machine);
            sign(&t, &machine);
            struct buf copy = {0};
            buf_append_span(&copy, buf_span(all[which]));
            copy.data[at] ^= 0x01;
            *(which == 0 ? &t.evidence.vek : &t.evidence.chain[which - 1]) = buf_span(&copy);
            assert_false(is_ok(run(&t)));
            buf_deinit(&copy);
        }
    }
}

static int make_machines(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_MILAN);
    snp_fixture_init(&other, SNP_TURIN);
    snp_fixture_add_vlek(&machine, "CN=cloud.example");
    snp_fixture_add_vlek(&other, "CN=cloud.example");
    return 0;
}

static int drop_machines(void **state) {
    (void)state;
    snp_fixture_deinit(&machine);
    snp_fixture_deinit(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_products_are_accepted_as_simulated),
        cmocka_unit_test(test_without_permission_the_root_is_denied),
        cmocka_unit_test(test_root_counts_for_its_product_only),
        cmocka_unit_test(test_each_rule_denies_alone),
        cmocka_unit_test(test_every_flipped_byte_is_denied),
        cmocka_unit_test(test_debug_is_denied_without_references),
        cmocka_unit_test(test_a_set_may_allow_debugging),
        cmocka_unit_test(test_a_providers_key_satisfies_no_set),
        cmocka_unit_test(test_chip_allow_list),
        cmocka_unit_test(test_any_set_is_enough_and_the_nearest_explains),
        cmocka_unit_test(test_a_missing_leaf_is_unverifiable),
        cmocka_unit_test(test_before_the_endorsement),
        cmocka_unit_test(test_without_its_authorities_a_leaf_is_not_amds),
        cmocka_unit_test(test_a_providers_key_is_verified),
        cmocka_unit_test(test_kinds_are_not_mixed),
        cmocka_unit_test(test_every_check_is_named_once),
        cmocka_unit_test(test_tcbs_are_shown),
        cmocka_unit_test(test_version_2_learns_its_product_from_the_chain),
        cmocka_unit_test(test_chain_of_another_product_is_not_used),
        cmocka_unit_test(test_flipped_certificates_are_refused),
    };
    return cmocka_run_group_tests(tests, make_machines, drop_machines);
}
