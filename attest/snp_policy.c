/* SNP policy: see snp_policy.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/snp_assess.h"
#include "attest/snp_crl_policy.h"

#define MEASUREMENT_PREFIX 6 /* bytes of it that name a set */

static struct result deny_unless(bool ok, const struct verdict_rule *rule, const char *expected,
                                 const char *actual, struct verdict *v, struct err *err) {
    if (ok) {
        verdict_add_check(v, rule->check, true);
        return OK;
    }
    return verdict_deny(v, err, rule, expected, actual);
}

/* ---- without sets ---- */

static struct result check_unmasked(const struct snp_report *report, struct verdict *v,
                                    struct err *err) {
    static const struct verdict_rule rule = {
        "chip-unmasked", "SNP-CHIP-MASKED", "CHIP_ID",
        "ask the host to clear MaskChipId, or judge by reference values with AllowMaskedChips"};
    bool ok =
        snp_report_signing_key(report) == SNP_KEY_VLEK || !span_is_zero(SPAN(report->chip_id));
    return deny_unless(ok, &rule, "not zero", "zero", v, err);
}

static struct result check_known_bits(const struct snp_report *report, struct verdict *v,
                                      struct err *err) {
    static const struct verdict_rule rule = {
        "platform-unknown", "SNP-PLATFORM-RESERVED", "PLATFORM_INFO",
        "this version does not know what the bit says about the machine: use a newer one, or judge "
        "by reference values with PlatformInfoForbidden"};
    char actual[24];
    snprintf(actual, sizeof actual, "0x%" PRIx64, report->platform_info);
    return deny_unless((report->platform_info & ~SNP_PLATFORM_KNOWN) == 0, &rule, "bits 63:8 zero",
                       actual, v, err);
}

static struct result check_no_debug(const struct snp_report *report, struct verdict *v,
                                    struct err *err) {
    static const struct verdict_rule rule = {
        "policy-debug", "SNP-POLICY-DEBUG", "POLICY.DEBUG",
        "the host can read this guest's memory: launch it without the debug bit in its policy"};
    return deny_unless((report->policy & SNP_POLICY_DEBUG) == 0, &rule, "0", "1", v, err);
}

/* A list that is missing or too old proves nothing either way; one that is not the root's is
 * false. */
static struct result check_list(const struct snp_subject *subject,
                                const struct snp_options *options, struct verdict *v,
                                struct err *err) {
    const struct snp_crl_demand demand = {options->crl, options->crl_grace_hours, options->at};
    const struct snp_revocation *r = &subject->revocation;
    char want[200];
    char have[SNP_CRL_TEXT_SIZE];
    bool is_false = false;
    struct verdict_rule rule = snp_crl_policy_rule(r, &is_false);
    if (snp_crl_policy_holds(&demand, r)) {
        verdict_add_check(v, rule.check, true);
        return OK;
    }
    snp_crl_policy_want(&demand, want, sizeof want);
    snp_crl_policy_state(r, have, sizeof have);
    return is_false ? verdict_deny(v, err, &rule, want, have)
                    : verdict_lack(v, err, &rule, want, have);
}

static struct result check_alone(const struct snp_subject *subject,
                                 const struct snp_options *options, struct verdict *v,
                                 struct err *err) {
    TRY(check_unmasked(subject->report, v, err));
    TRY(check_known_bits(subject->report, v, err));
    TRY(check_no_debug(subject->report, v, err));
    return subject->is_unendorsed ? OK : check_list(subject, options, v, err);
}

/* ---- with sets ---- */

/* The finding that decides: what is false comes before what is missing. NULL when all hold. */
static const struct snp_finding *find_decisive(const struct snp_assessment *a) {
    const struct snp_finding *lacking = NULL;
    for (size_t i = 0; i < a->count; i++) {
        const struct snp_finding *f = &a->findings[i];
        if (f->outcome == SNP_FALSE) {
            return f;
        }
        if (f->outcome == SNP_LACKS && lacking == NULL) {
            lacking = f;
        }
    }
    return lacking;
}

static struct result explain(const struct snp_finding *f, const char *which, struct verdict *v,
                             struct err *err) {
    char remedy[480];
    struct verdict_rule rule = f->rule;
    snprintf(remedy, sizeof remedy, "%s (%s)", f->rule.remedy, which);
    rule.remedy = remedy;
    if (f->field[0] != '\0') {
        rule.field = f->field;
    }
    if (f->tcb != NULL) {
        v->tcbs.compared = f->tcb;
    }
    return f->outcome == SNP_FALSE ? verdict_deny(v, err, &rule, f->expected, f->actual)
                                   : verdict_lack(v, err, &rule, f->expected, f->actual);
}

/* Every finding becomes a check; `which` names the set behind the remedy. */
static struct result conclude(const struct snp_assessment *a, const char *which, struct verdict *v,
                              struct err *err) {
    const struct snp_finding *decisive = find_decisive(a);
    struct result r = OK;
    for (size_t i = 0; i < a->count; i++) {
        const struct snp_finding *f = &a->findings[i];
        if (f == decisive) {
            r = explain(f, which, v, err);
        } else {
            verdict_add_check(v, f->rule.check, f->outcome == SNP_HOLDS);
        }
    }
    return r;
}

/* "nearest of 3 sets: ReferenceValues.snp[1], measurement 4d4d4d4d4d4d..." */
static void name_set(const struct snp_options *options, int index, char *out, size_t size) {
    char prefix[2 * MEASUREMENT_PREFIX + 1];
    char count[48] = "";
    hex_encode(span_of(options->references[index].measurement, MEASUREMENT_PREFIX), prefix);
    if (options->reference_count > 1) {
        snprintf(count, sizeof count, "nearest of %zu sets: ", options->reference_count);
    }
    snprintf(out, size, "%sReferenceValues.snp[%d], measurement %s...", count, index, prefix);
}

static void show_set(const struct snp_subject *subject, const struct snp_reference *set, int64_t at,
                     struct verdict *v) {
    const struct snp_crl_demand demand = {set->crl, set->crl_grace_hours, at};
    if (subject->is_unendorsed) {
        return;
    }
    snp_tcb_format(set->product, &set->minimum_tcb, v->tcbs.minimum, sizeof v->tcbs.minimum);
    snp_crl_policy_text(&demand, &subject->revocation, v->revocation, sizeof v->revocation);
}

static struct result check_sets(const struct snp_subject *subject,
                                const struct snp_options *options, struct verdict *v,
                                struct err *err) {
    struct snp_assessment room[2];
    struct snp_assessment *best = &room[0];
    struct snp_assessment *next = &room[1];
    snp_assess(&options->references[0], subject, options->at, best);
    v->reference = 0;
    for (size_t i = 1; i < options->reference_count && best->distance > 0; i++) {
        snp_assess(&options->references[i], subject, options->at, next);
        if (next->distance < best->distance) {
            struct snp_assessment *old = best;
            best = next;
            next = old;
            v->reference = (int)i;
        }
    }
    char which[128];
    name_set(options, v->reference, which, sizeof which);
    show_set(subject, &options->references[v->reference], options->at, v);
    return conclude(best, which, v, err);
}

/* ---- always ---- */

static struct result check_requester(const struct snp_report *report, struct verdict *v,
                                     struct err *err) {
    static const struct verdict_rule rule = {
        "guest-requested", "SNP-VMPL-HOST", "VMPL",
        "the host asked for this report, not the guest: take it inside the guest"};
    return deny_unless(report->vmpl != SNP_VMPL_HOST, &rule, "0 to 3", "0xFFFFFFFF", v, err);
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
    if (!subject->is_unendorsed) { /* a set's own policy replaces it */
        const struct snp_crl_demand demand = {options->crl, options->crl_grace_hours, options->at};
        snp_crl_policy_text(&demand, &subject->revocation, verdict->revocation,
                            sizeof verdict->revocation);
    }
    TRY(check_requester(report, verdict, err));
    TRY(check_bytes(&report_data, options->report_data, SPAN(report->report_data), verdict, err));
    TRY(check_bytes(&host_data, options->host_data, SPAN(report->host_data), verdict, err));
    return options->reference_count > 0 ? check_sets(subject, options, verdict, err)
                                        : check_alone(subject, options, verdict, err);
}

struct result snp_policy_check_unendorsed(const struct snp_report *report, enum snp_product product,
                                          const struct snp_options *options,
                                          struct verdict *verdict, struct err *err) {
    const struct snp_subject subject = {
        .report = report, .product = product, .is_unendorsed = true};
    return snp_policy_check(&subject, options, verdict, err);
}
