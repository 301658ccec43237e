/* SNP policy: see snp_policy.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FINDINGS_MAX 24
#define PRODUCT_WEIGHT 1000 /* a set of another product is never nearer than one of the same */

/* One check of one set. */
struct finding {
    struct verdict_rule rule; /* field points to static text or to `field` */
    char field[40];
    bool ok;
    char expected[200];
    char actual[200];
};

/* All checks of one set. */
struct assessment {
    struct finding findings[FINDINGS_MAX];
    size_t count;
    size_t distance; /* 0 = the set matches */
};

static struct finding *add(struct assessment *a, const struct verdict_rule *rule, bool ok) {
    CHECK(a->count < FINDINGS_MAX);
    struct finding *f = &a->findings[a->count++];
    *f = (struct finding){.rule = *rule, .ok = ok};
    a->distance += ok ? 0 : 1;
    return f;
}

static void add_hex(struct assessment *a, const struct verdict_rule *rule, struct span expected,
                    struct span actual) {
    struct finding *f = add(a, rule, span_equal(expected, actual));
    CHECK(2 * expected.size < sizeof f->expected && 2 * actual.size < sizeof f->actual);
    hex_encode(expected, f->expected);
    hex_encode(actual, f->actual);
}

/* ---- POLICY ---- */

struct bit_rule {
    uint64_t bit;
    struct verdict_rule rule;
};

/* Refused when set and not allowed. */
static const struct bit_rule PERMISSIONS[] = {
    {SNP_POLICY_SMT,
     {"policy-smt", "SNP-POLICY-SMT", "POLICY.SMT",
      "launch the guest with SMT forbidden, or allow SMT in GuestPolicy"}},
    {SNP_POLICY_MIGRATE_MA,
     {"policy-migrate-ma", "SNP-POLICY-MIGRATE-MA", "POLICY.MIGRATE_MA",
      "launch the guest without a migration agent"}},
    {SNP_POLICY_DEBUG,
     {"policy-debug", "SNP-POLICY-DEBUG", "POLICY.DEBUG",
      "the host can read this guest's memory: launch it without the debug bit in its policy"}},
    {SNP_POLICY_CXL_ALLOW,
     {"policy-cxl", "SNP-POLICY-CXL", "POLICY.CXL_ALLOW",
      "launch the guest with CXL forbidden, or allow CXL in GuestPolicy"}},
};

/* Refused when clear and required. */
static const struct bit_rule RESTRICTIONS[] = {
    {SNP_POLICY_SINGLE_SOCKET,
     {"policy-single-socket", "SNP-POLICY-SINGLE-SOCKET", "POLICY.SINGLE_SOCKET",
      "launch the guest with this bit in its policy"}},
    {SNP_POLICY_MEM_AES_256_XTS,
     {"policy-xts", "SNP-POLICY-XTS", "POLICY.MEM_AES_256_XTS",
      "launch the guest with this bit in its policy"}},
    {SNP_POLICY_RAPL_DIS,
     {"policy-rapl", "SNP-POLICY-RAPL", "POLICY.RAPL_DIS",
      "launch the guest with this bit in its policy"}},
    {SNP_POLICY_CIPHERTEXT_HIDING,
     {"policy-ciphertext-hiding", "SNP-POLICY-CIPHERTEXT-HIDING", "POLICY.CIPHERTEXT_HIDING_DRAM",
      "launch the guest with this bit in its policy"}},
    {SNP_POLICY_PAGE_SWAP_DISABLE,
     {"policy-page-swap", "SNP-POLICY-PAGE-SWAP", "POLICY.PAGE_SWAP_DISABLE",
      "launch the guest with this bit in its policy"}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static const struct verdict_rule *const DEBUG_RULE = &PERMISSIONS[2].rule;

static void assess_bits(const struct snp_reference *set, uint64_t policy, struct assessment *a) {
    for (size_t i = 0; i < COUNT(PERMISSIONS); i++) {
        uint64_t bit = PERMISSIONS[i].bit;
        struct finding *f =
            add(a, &PERMISSIONS[i].rule, (policy & bit & ~set->policy_allowed) == 0);
        snprintf(f->expected, sizeof f->expected, "0");
        snprintf(f->actual, sizeof f->actual, "%d", (policy & bit) != 0);
    }
    for (size_t i = 0; i < COUNT(RESTRICTIONS); i++) {
        uint64_t bit = RESTRICTIONS[i].bit;
        struct finding *f =
            add(a, &RESTRICTIONS[i].rule, (set->policy_required & bit & ~policy) == 0);
        snprintf(f->expected, sizeof f->expected, "1");
        snprintf(f->actual, sizeof f->actual, "%d", (policy & bit) != 0);
    }
}

static void assess_abi(const struct snp_reference *set, uint64_t policy, struct assessment *a) {
    static const struct verdict_rule rule = {
        "policy-abi", "SNP-POLICY-ABI", "POLICY.ABI",
        "launch the guest with a policy that demands at least this firmware ABI"};
    unsigned major = (unsigned)(policy >> 8) & 0xFF;
    unsigned minor = (unsigned)policy & 0xFF;
    bool ok = major > set->policy_abi_major ||
              (major == set->policy_abi_major && minor >= set->policy_abi_minor);
    struct finding *f = add(a, &rule, ok);
    snprintf(f->expected, sizeof f->expected, "at least %u.%u", set->policy_abi_major,
             set->policy_abi_minor);
    snprintf(f->actual, sizeof f->actual, "%u.%u", major, minor);
}

/* ---- machine ---- */

static void assess_floor(const struct snp_reference *set, enum snp_product product,
                         const char *name, const struct snp_tcb *tcb, struct assessment *a) {
    static const struct verdict_rule rule = {
        "tcb-floor", "SNP-TCB-FLOOR", "",
        "update the machine's firmware and start the guest again, or lower MinimumTCB knowingly"};
    const char *component = "";
    struct finding *f = add(a, &rule, snp_tcb_at_least(tcb, &set->minimum_tcb, &component));
    snprintf(f->field, sizeof f->field, "%s.%s", name, component);
    char text[160];
    snp_tcb_format(product, &set->minimum_tcb, text, sizeof text);
    snprintf(f->expected, sizeof f->expected, "at least %s", text);
    snp_tcb_format(product, tcb, f->actual, sizeof f->actual);
}

static void assess_tcbs(const struct snp_reference *set, const struct snp_subject *subject,
                        struct assessment *a) {
    const struct snp_tcbs *t = &subject->tcbs;
    assess_floor(set, subject->product, "REPORTED_TCB", &t->reported, a);
    assess_floor(set, subject->product, "COMMITTED_TCB", &t->committed, a);
    assess_floor(set, subject->product, "CURRENT_TCB", &t->current, a);
    assess_floor(set, subject->product, "LAUNCH_TCB", &t->launch, a);
}

static void assess_chip(const struct snp_reference *set, const struct snp_report *report,
                        struct assessment *a) {
    static const struct verdict_rule rule = {
        "chip-allowed", "SNP-CHIP-ALLOW", "CHIP_ID",
        "run the guest on a listed machine, or add this chip to AllowedChipIDs"};
    bool ok = set->chip_id_count == 0;
    for (size_t i = 0; i < set->chip_id_count; i++) {
        ok = ok || memcmp(set->chip_ids[i], report->chip_id, sizeof report->chip_id) == 0;
    }
    struct finding *f = add(a, &rule, ok);
    snprintf(f->expected, sizeof f->expected, "one of the %zu chips of AllowedChipIDs",
             set->chip_id_count);
    hex_encode(SPAN(report->chip_id), f->actual);
}

static void assess_product(const struct snp_reference *set, enum snp_product product,
                           struct assessment *a) {
    static const struct verdict_rule rule = {
        "product-expected", "SNP-PRODUCT-EXPECTED", "product",
        "add a reference value set for this product, or run the guest on the expected one"};
    struct finding *f = add(a, &rule, set->product == product);
    snprintf(f->expected, sizeof f->expected, "%s", snp_product_line(set->product));
    snprintf(f->actual, sizeof f->actual, "%s", snp_product_line(product));
    a->distance += f->ok ? 0 : PRODUCT_WEIGHT;
}

static void assess_root(const struct snp_reference *set, const uint8_t *root,
                        struct assessment *a) {
    static const struct verdict_rule rule = {
        "root-permitted", "SNP-ROOT-SIMULATED", "ARK.subjectPublicKeyInfo",
        "run the guest on genuine hardware; only a test deployment lists SimulatedRoots"};
    bool ok = root == NULL;
    for (size_t i = 0; i < set->simulated_root_count; i++) {
        ok = ok || memcmp(set->simulated_roots[i], root, 32) == 0;
    }
    struct finding *f = add(a, &rule, ok);
    snprintf(f->expected, sizeof f->expected, "AMD's root or one of %zu simulated ones",
             set->simulated_root_count);
    if (root != NULL) {
        hex_encode(span_of(root, 32), f->actual);
    }
}

static void assess_vmpl(uint32_t vmpl, struct assessment *a) {
    static const struct verdict_rule rule = {
        "vmpl", "SNP-VMPL", "VMPL", "ask for the report at VMPL 0 (the kernel's default is not 0)"};
    struct finding *f = add(a, &rule, vmpl == 0);
    snprintf(f->expected, sizeof f->expected, "0");
    snprintf(f->actual, sizeof f->actual, "%" PRIu32, vmpl);
}

/* Without permission to migrate there is no agent whose report could be named. */
static void assess_migration(const struct snp_reference *set, const struct snp_report *report,
                             struct assessment *a) {
    static const struct verdict_rule rule = {"report-id-ma", "SNP-REPORT-ID-MA", "REPORT_ID_MA",
                                             "launch the guest without a migration agent"};
    if ((set->policy_allowed & SNP_POLICY_MIGRATE_MA) != 0) {
        return;
    }
    uint8_t none[sizeof report->report_id_ma];
    memset(none, 0xFF, sizeof none);
    add_hex(a, &rule, SPAN(none), SPAN(report->report_id_ma));
}

/* A VLEK proves "some machine of this provider": no set can name the provider or the machine, so
 * none is satisfied by it. */
static void assess_signing_key(const struct snp_report *report, struct assessment *a) {
    static const struct verdict_rule rule = {
        "signing-key", "SNP-VLEK", "KEY_INFO.SIGNING_KEY",
        "a provider's key names no machine: ask the provider for reports signed with the VCEK"};
    bool is_vlek = snp_report_signing_key(report) == SNP_KEY_VLEK;
    struct finding *f = add(a, &rule, !is_vlek);
    snprintf(f->expected, sizeof f->expected, "0 (VCEK)");
    snprintf(f->actual, sizeof f->actual, is_vlek ? "1 (VLEK)" : "0 (VCEK)");
}

static void assess(const struct snp_reference *set, const struct snp_subject *subject,
                   struct assessment *a) {
    static const struct verdict_rule measurement = {
        "measurement", "SNP-MEASUREMENT", "MEASUREMENT",
        "the guest image is another one: deploy the expected one, or add its launch digest to "
        "ReferenceValues"};
    const struct snp_report *report = subject->report;
    a->count = 0;
    a->distance = 0;
    assess_product(set, subject->product, a);
    assess_root(set, subject->simulated_root, a);
    assess_bits(set, report->policy, a);
    assess_abi(set, report->policy, a);
    assess_vmpl(report->vmpl, a);
    assess_migration(set, report, a);
    add_hex(a, &measurement, SPAN(set->measurement), SPAN(report->measurement));
    assess_tcbs(set, subject, a);
    assess_chip(set, report, a);
    assess_signing_key(report, a);
}

/* ---- revocation ---- */

static bool is_list_good(enum crl_policy policy, uint32_t grace_hours, int64_t at,
                         const struct snp_revocation *r) {
    switch (policy) {
    case CRL_OFF:
        return true;
    case CRL_REQUIRE:
        return r->state == SNP_CRL_CURRENT;
    case CRL_GRACE:
        return r->state == SNP_CRL_CURRENT ||
               (r->state == SNP_CRL_STALE && at - r->next_update <= INT64_C(3600) * grace_hours);
    }
    return false;
}

/* A list that is missing or too old proves nothing either way; one that is not AMD's is false. */
static struct result check_list(const struct snp_subject *subject, enum crl_policy policy,
                                uint32_t grace_hours, int64_t at, struct verdict *v,
                                struct err *err) {
    static const char remedy[] = "get the CRL of this product from AMD's key service again";
    static const struct verdict_rule old = {"revocation", "SNP-CRL-DATE", "CRL.nextUpdate", remedy};
    const struct snp_revocation *r = &subject->revocation;
    if (is_list_good(policy, grace_hours, at, r)) {
        verdict_add_check(v, "revocation", true);
        return OK;
    }
    if (r->state == SNP_CRL_INVALID) {
        const struct verdict_rule invalid = {"revocation", r->code, r->field, remedy};
        return verdict_deny(v, err, &invalid, "AMD's list, signed by the ARK", "another");
    }
    if (r->state == SNP_CRL_NONE) {
        static const struct verdict_rule none = {"revocation", "SNP-CRL-MISSING", "CRL", remedy};
        return verdict_lack(v, err, &none, "a current list", "none");
    }
    return verdict_lack(v, err, &old, "a list that is current at the time of judging",
                        "one of another time");
}

/* ---- conclusions ---- */

/* `nearest`: which of several sets this is, behind the remedy; empty for a single one. */
static struct result conclude(const struct assessment *a, const char *nearest, struct verdict *v,
                              struct err *err) {
    struct result r = OK;
    char remedy[400];
    for (size_t i = 0; i < a->count; i++) {
        const struct finding *f = &a->findings[i];
        if (f->ok || !is_ok(r)) {
            verdict_add_check(v, f->rule.check, f->ok);
            continue;
        }
        struct verdict_rule rule = f->rule;
        rule.field = f->field[0] != '\0' ? f->field : rule.field;
        snprintf(remedy, sizeof remedy, "%s%s", f->rule.remedy, nearest);
        rule.remedy = remedy;
        r = verdict_deny(v, err, &rule, f->expected, f->actual);
    }
    return r;
}

static struct result check_sets(const struct snp_subject *subject,
                                const struct snp_options *options, struct verdict *v,
                                struct err *err) {
    struct assessment best = {0};
    struct assessment next = {0};
    for (size_t i = 0; i < options->reference_count; i++) {
        assess(&options->references[i], subject, &next);
        if (i == 0 || next.distance < best.distance) {
            best = next;
            v->reference = (int)i;
        }
    }
    char nearest[80] = "";
    if (options->reference_count > 1) {
        snprintf(nearest, sizeof nearest, " (nearest of %zu sets: ReferenceValues.snp[%d])",
                 options->reference_count, v->reference);
    }
    return conclude(&best, nearest, v, err);
}

static struct result deny_unless(bool ok, const struct verdict_rule *rule, const char *expected,
                                 const char *actual, struct verdict *v, struct err *err) {
    if (ok) {
        verdict_add_check(v, rule->check, true);
        return OK;
    }
    return verdict_deny(v, err, rule, expected, actual);
}

static struct result check_always(const struct snp_subject *subject,
                                  const struct snp_options *options, struct verdict *v,
                                  struct err *err) {
    static const struct verdict_rule host = {
        "guest-requested", "SNP-VMPL-HOST", "VMPL",
        "the host asked for this report, not the guest: take it inside the guest"};
    static const struct verdict_rule chip = {
        "chip-unmasked", "SNP-CHIP-MASKED", "CHIP_ID",
        "ask the host to clear MaskChipId: a masked chip cannot be told from another"};
    const struct snp_report *report = subject->report;
    TRY(deny_unless(report->vmpl != SNP_VMPL_HOST, &host, "0 to 3", "0xFFFFFFFF", v, err));
    bool vlek = snp_report_signing_key(report) == SNP_KEY_VLEK;
    TRY(deny_unless(vlek || !span_is_zero(SPAN(report->chip_id)), &chip, "not zero", "zero", v,
                    err));
    if (options->reference_count > 0) {
        return OK; /* a set may allow debugging, or a bit that this version does not know */
    }
    static const struct verdict_rule platform = {
        "platform-unknown", "SNP-PLATFORM-RESERVED", "PLATFORM_INFO",
        "this version does not know what the bit says about the machine: use a newer one"};
    char actual[24];
    snprintf(actual, sizeof actual, "0x%" PRIx64, report->platform_info);
    TRY(deny_unless((report->platform_info & ~SNP_PLATFORM_KNOWN) == 0, &platform, "bits 63:8 zero",
                    actual, v, err));
    return deny_unless((report->policy & SNP_POLICY_DEBUG) == 0, DEBUG_RULE, "0", "1", v, err);
}

static struct result check_bytes(const struct verdict_rule *rule, const uint8_t *expected,
                                 struct span actual, struct verdict *v, struct err *err) {
    if (expected == NULL) {
        return OK;
    }
    struct span want = span_of(expected, actual.size);
    char want_hex[2 * 64 + 1];
    char have_hex[2 * 64 + 1];
    hex_encode(want, want_hex);
    hex_encode(actual, have_hex);
    return deny_unless(span_equal(want, actual), rule, want_hex, have_hex, v, err);
}

struct result snp_policy_check(const struct snp_subject *subject, const struct snp_options *options,
                               struct verdict *verdict, struct err *err) {
    static const struct verdict_rule report_data = {
        "report-data", "SNP-REPORT-DATA", "REPORT_DATA",
        "the report is not for this session and nonce: take a fresh one on this connection"};
    static const struct verdict_rule host_data = {
        "host-data", "SNP-HOST-DATA", "HOST_DATA",
        "the pod runs another policy: deploy what the manifest names, or set the new manifest"};
    const struct snp_report *report = subject->report;
    TRY(check_always(subject, options, verdict, err));
    TRY(check_bytes(&report_data, options->report_data, SPAN(report->report_data), verdict, err));
    TRY(check_bytes(&host_data, options->host_data, SPAN(report->host_data), verdict, err));
    if (options->reference_count > 0) {
        return check_sets(subject, options, verdict, err);
    }
    return check_list(subject, options->crl, options->crl_grace_hours, options->at, verdict, err);
}
