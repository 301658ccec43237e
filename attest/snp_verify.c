/* SNP verification: see snp_verify.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_verify.h"

#include <stdio.h>
#include <string.h>

#include "attest/snp_cache.h"
#include "attest/snp_policy.h"

/* One verification. */
struct work {
    const struct snp_evidence *evidence;
    const struct snp_options *options;
    struct snp_report *report;
    struct verdict *verdict;
    struct err *err;
    enum snp_signing_key kind;
    enum snp_product product;
    struct snp_chain *chain; /* counted; NULL until it is proven */
    struct snp_tcbs tcbs;    /* once the product is known */
    struct snp_revocation revocation;
    bool simulated;
};

static const char *vek_label(const struct work *w) {
    return w->kind == SNP_KEY_VLEK ? "VLEK" : "VCEK";
}

static void passed(struct work *w, const char *check) {
    verdict_add_check(w->verdict, check, true);
}

/* ---- certificates ---- */

static struct result lack_vek(struct work *w, enum snp_product product) {
    char url[260];
    char remedy[480];
    snp_kds_vcek_url(product, w->report, url, sizeof url);
    if (w->kind == SNP_KEY_VLEK) {
        snprintf(remedy, sizeof remedy,
                 "pass the VLEK that the cloud provider hands to the guest with the report");
    } else {
        snprintf(remedy, sizeof remedy, "pass the chip's certificate, from %s", url);
    }
    const struct verdict_rule rule = {"leaf-present", "SNP-VEK-MISSING", vek_label(w), remedy};
    return verdict_lack(w->verdict, w->err, &rule, "the certificate of the signing key", "none");
}

/* Rule A.5 (6): the report names its product where it can, and then it must be one whose root is
 * known; the chain proves it. */
static struct result settle_product(struct work *w) {
    w->product = snp_product_of_report(w->report);
    static const struct verdict_rule rule = {
        "product-known", "SNP-PRODUCT", "CPUID",
        "this version has no root for this processor: update it, or run the guest on another"};
    if (w->product != SNP_PRODUCT_UNKNOWN || w->report->version < 3) {
        passed(w, rule.check);
        return OK;
    }
    char actual[80];
    snprintf(actual, sizeof actual, "family 0x%02X model 0x%02X", w->report->cpuid_family,
             w->report->cpuid_model);
    return verdict_deny(w->verdict, w->err, &rule, "Milan, Genoa or Turin", actual);
}

static bool permits_foreign_roots(const struct snp_options *o) {
    bool permits = o->extra_root_count > 0;
    for (size_t i = 0; !o->only_extra_roots && i < o->reference_count; i++) {
        permits = permits || o->references[i].simulated_root_count > 0;
    }
    return permits;
}

static struct result establish_chain(struct work *w) {
    const struct snp_chain_input input = {.vek = w->evidence->vek,
                                          .certificates = w->evidence->chain,
                                          .certificate_count = w->evidence->chain_count,
                                          .kind = w->kind,
                                          .by_report = w->product,
                                          .may_be_foreign = permits_foreign_roots(w->options)};
    TRY(snp_chain_establish(w->options->cache, &input, &w->chain, w->verdict, w->err));
    w->product = w->chain->product;
    return OK;
}

static bool is_listed(const uint8_t (*digests)[32], size_t count, const uint8_t digest[32]) {
    for (size_t i = 0; i < count; i++) {
        if (memcmp(digests[i], digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

/* Permitted by the owner's configuration or, unless that alone decides, by a reference value set of
 * this product. */
static bool is_permitted(const struct work *w, const uint8_t digest[32]) {
    const struct snp_options *o = w->options;
    if (is_listed(o->extra_roots, o->extra_root_count, digest)) {
        return true;
    }
    for (size_t i = 0; !o->only_extra_roots && i < o->reference_count; i++) {
        const struct snp_reference *set = &o->references[i];
        for (size_t k = 0; set->product == w->product && k < set->simulated_root_count; k++) {
            if (memcmp(set->simulated_roots[k], digest, 32) == 0) {
                return true;
            }
        }
    }
    return false;
}

static struct result check_root(struct work *w) {
    const uint8_t *pinned = snp_product_root(w->product);
    const uint8_t *actual = w->chain->root.spki_digest;
    w->simulated = memcmp(pinned, actual, 32) != 0;
    w->verdict->simulated = w->simulated && is_permitted(w, actual);
    if (!w->simulated || w->verdict->simulated) {
        passed(w, "root");
        return OK;
    }
    char want[65];
    char have[65];
    hex_encode(span_of(pinned, 32), want);
    hex_encode(span_of(actual, 32), have);
    const struct verdict_rule rule = {
        "root", "SNP-ROOT", "ARK.subjectPublicKeyInfo",
        "this root is not AMD's: do not trust the machine, unless the root is your own simulator's "
        "and your configuration names it"};
    return verdict_deny(w->verdict, w->err, &rule, want, have);
}

static struct result check_dates(struct work *w) {
    TRY(snp_cert_check_dates(&w->chain->root, w->options->at, w->verdict, w->err));
    TRY(snp_cert_check_dates(&w->chain->authority, w->options->at, w->verdict, w->err));
    TRY(snp_cert_check_dates(&w->chain->vek, w->options->at, w->verdict, w->err));
    passed(w, "certificate-dates");
    return OK;
}

/* ---- revocation ---- */

static struct result check_revocation(struct work *w) {
    struct span lists[SNP_CRLS_MAX];
    size_t count = 0;
    CHECK(w->options->crl_count < SNP_CRLS_MAX);
    for (size_t i = 0; i < w->options->crl_count; i++) {
        lists[count++] = w->options->crls[i];
    }
    if (w->evidence->crl.size > 0) {
        lists[count++] = w->evidence->crl;
    }
    snp_crl_judge(lists, count, &w->chain->root, &w->chain->authority, snp_chain_crls(w->chain),
                  w->options->at, &w->revocation);
    w->revocation.is_foreign = w->revocation.state == SNP_CRL_INVALID && w->options->crl_count == 0;
    if (!w->revocation.is_revoked) {
        passed(w, "not-revoked");
        return OK;
    }
    const struct verdict_rule rule = {"not-revoked", "SNP-REVOKED",
                                      snp_cert_kind_name(w->chain->authority.kind),
                                      "AMD revoked this authority: do not trust the machine"};
    return verdict_deny(w->verdict, w->err, &rule, "not revoked", "revoked");
}

/* ---- binding ---- */

/* Rule A.5 (4): true also for a VLEK, whose reports carry no chip. */
static bool is_same_chip(const struct work *w) {
    const uint8_t *id = w->report->chip_id;
    size_t used = w->chain->claims.hwid_size;
    return w->kind == SNP_KEY_VLEK ||
           (memcmp(id, w->chain->claims.hwid, used) == 0 &&
            span_is_zero(span_of(id + used, sizeof w->report->chip_id - used)));
}

/* What an honest mistake behind a bad signature would be. */
static const char *signature_remedy(const struct work *w) {
    bool masked = span_is_zero(SPAN(w->report->chip_id));
    if (!masked && !is_same_chip(w)) {
        return "the certificate is of another chip: get the one for this report's CHIP_ID";
    }
    if (!snp_tcb_equal(&w->tcbs.reported, &w->chain->claims.tcb, NULL)) {
        return "the certificate is of another TCB: get the one for this report's REPORTED_TCB";
    }
    return "the report was changed after it was signed, or another machine signed it";
}

static struct result check_signature(struct work *w) {
    struct span signed_bytes = span_of(w->evidence->report.data, SNP_REPORT_SIGNED_SIZE);
    if (snp_chain_verify(w->chain, signed_bytes, w->report->r, w->report->s)) {
        passed(w, "report-signature");
        return OK;
    }
    char expected[48];
    snprintf(expected, sizeof expected, "valid under the key of the %s", vek_label(w));
    const struct verdict_rule rule = {"report-signature", "SNP-SIGNATURE", "SIGNATURE",
                                      signature_remedy(w)};
    return verdict_deny(w->verdict, w->err, &rule, expected, "invalid");
}

static struct result deny_reserved(struct work *w, const char *field, const uint8_t raw[8]) {
    char hex[17];
    hex_encode(span_of(raw, 8), hex);
    const struct verdict_rule rule = {
        "tcb-reserved", "SNP-TCB-RESERVED", field,
        "take the report again, as the 1184 bytes that the firmware wrote"};
    w->verdict->tcbs.compared = field;
    return verdict_deny(w->verdict, w->err, &rule, "reserved bytes zero", hex);
}

static void show_tcbs(struct work *w) {
    struct verdict_tcbs *shown = &w->verdict->tcbs;
    snp_tcb_format(w->product, &w->tcbs.reported, shown->reported, sizeof shown->reported);
    snp_tcb_format(w->product, &w->tcbs.committed, shown->committed, sizeof shown->committed);
    snp_tcb_format(w->product, &w->tcbs.current, shown->current, sizeof shown->current);
    snp_tcb_format(w->product, &w->tcbs.launch, shown->launch, sizeof shown->launch);
    shown->is_known = true;
}

/* One of the four TCBs as it stands in the report. */
struct raw_tcb {
    const char *field;
    const uint8_t *bytes; /* 8 */
    struct snp_tcb *out;
};

/* Decodes and shows all four; false with *bad when reserved bytes of one are not zero. */
static bool decode_tcbs(struct work *w, struct raw_tcb *bad) {
    const struct raw_tcb all[] = {
        {"REPORTED_TCB", w->report->reported_tcb, &w->tcbs.reported},
        {"COMMITTED_TCB", w->report->committed_tcb, &w->tcbs.committed},
        {"CURRENT_TCB", w->report->current_tcb, &w->tcbs.current},
        {"LAUNCH_TCB", w->report->launch_tcb, &w->tcbs.launch},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!is_ok(snp_tcb_decode(w->product, all[i].bytes, all[i].out, NULL))) {
            *bad = all[i];
            return false;
        }
    }
    show_tcbs(w);
    return true;
}

/* What the reserved bytes are depends on the product, which only the chain settles: a report that
 * names another product than its certificate is refused for that before. */
static struct result check_tcb_bytes(struct work *w) {
    struct raw_tcb bad = {0};
    if (!w->verdict->tcbs.is_known && !decode_tcbs(w, &bad)) {
        return deny_reserved(w, bad.field, bad.bytes);
    }
    passed(w, "tcb-reserved");
    return OK;
}

static struct result deny_tcb(struct work *w, const struct verdict_rule *rule,
                              const struct snp_tcb *expected, const struct snp_tcb *actual) {
    char want[100];
    char have[100];
    w->verdict->tcbs.compared = rule->field;
    snp_tcb_format(w->product, expected, want, sizeof want);
    snp_tcb_format(w->product, actual, have, sizeof have);
    return verdict_deny(w->verdict, w->err, rule, want, have);
}

/* Rules A.5 (3) and (7); the order that a sane machine keeps is REPORTED <= COMMITTED <= CURRENT.
 */
static struct result check_tcb(struct work *w) {
    static const char remedy[] =
        "no firmware writes REPORTED above COMMITTED or COMMITTED above CURRENT: do not trust it";
    static const struct verdict_rule equal = {
        "tcb-of-certificate", "SNP-TCB-CERT", "REPORTED_TCB",
        "the certificate is of another TCB: get the one for this report's REPORTED_TCB"};
    static const struct verdict_rule committed = {"tcb-order", "SNP-TCB-ORDER", "COMMITTED_TCB",
                                                  remedy};
    static const struct verdict_rule current = {"tcb-order", "SNP-TCB-ORDER", "CURRENT_TCB",
                                                remedy};
    const struct snp_tcbs *t = &w->tcbs;
    const struct snp_tcb *vouched = &w->chain->claims.tcb;
    struct verdict_tcbs *shown = &w->verdict->tcbs;
    snp_tcb_format(w->product, vouched, shown->certificate, sizeof shown->certificate);
    if (!snp_tcb_equal(&t->reported, vouched, NULL)) {
        return deny_tcb(w, &equal, vouched, &t->reported);
    }
    passed(w, equal.check);
    if (!snp_tcb_at_least(&t->committed, &t->reported, NULL)) {
        return deny_tcb(w, &committed, &t->reported, &t->committed);
    }
    if (!snp_tcb_at_least(&t->current, &t->committed, NULL)) {
        return deny_tcb(w, &current, &t->committed, &t->current);
    }
    passed(w, current.check);
    return OK;
}

/* Rules A.5 (4) and (5). A masked CHIP_ID under a VCEK is left to the policy rules. */
static struct result check_chip(struct work *w) {
    bool masked = span_is_zero(SPAN(w->report->chip_id));
    char have[2 * 64 + 1];
    char want[2 * 64 + 1];
    hex_encode(SPAN(w->report->chip_id), have);
    hex_encode(span_of(w->chain->claims.hwid, w->chain->claims.hwid_size), want);
    if (w->kind == SNP_KEY_VLEK && !masked) {
        const struct verdict_rule rule = {
            "chip", "SNP-CHIP-ID", "CHIP_ID",
            "a report under a VLEK names no chip: do not trust this one"};
        return verdict_deny(w->verdict, w->err, &rule, "zero", have);
    }
    if (!masked && !is_same_chip(w)) {
        const struct verdict_rule rule = {
            "chip", "SNP-CHIP-ID", "CHIP_ID",
            "the certificate is of another chip: get the one for this report's CHIP_ID"};
        return verdict_deny(w->verdict, w->err, &rule, want, have);
    }
    passed(w, "chip");
    return OK;
}

/* What the sets must list: a root that is not AMD's. */
static const uint8_t *root_to_list(const struct work *w) {
    const struct snp_options *o = w->options;
    const uint8_t *digest = w->chain->root.spki_digest;
    bool is_settled =
        o->extra_roots_suffice && is_listed(o->extra_roots, o->extra_root_count, digest);
    return w->simulated && !is_settled ? digest : NULL;
}

static struct result check_policy(struct work *w) {
    const struct snp_subject subject = {.report = w->report,
                                        .product = w->product,
                                        .tcbs = w->tcbs,
                                        .simulated_root = root_to_list(w),
                                        .claims = &w->chain->claims,
                                        .revocation = w->revocation};
    return snp_policy_check(&subject, w->options, w->verdict, w->err);
}

/* Format and product: what both ways of judging begin with. The TCBs are shown from here on, if
 * they can be read already. */
static struct result read_report(struct work *w, struct span bytes) {
    struct raw_tcb bad = {0};
    TRY(snp_report_parse(bytes, w->report, w->verdict, w->err));
    w->kind = snp_report_signing_key(w->report);
    TRY(settle_product(w));
    (void)decode_tcbs(w, &bad);
    return OK;
}

/* The report alone, when its certificate is not there. */
static struct result check_unendorsed(struct work *w) {
    if (w->product != SNP_PRODUCT_UNKNOWN) {
        TRY(check_tcb_bytes(w));
    }
    return snp_policy_check_unendorsed(w->report, w->product, w->options, w->verdict, w->err);
}

static struct result run(struct work *w) {
    TRY(read_report(w, w->evidence->report));
    if (w->evidence->vek.size == 0) {
        TRY(check_unendorsed(w)); /* what is false without a certificate is false with any */
        return lack_vek(w, w->product);
    }
    TRY(establish_chain(w));
    TRY(check_tcb_bytes(w));
    TRY(check_root(w));
    TRY(check_dates(w));
    TRY(check_revocation(w));
    TRY(check_signature(w));
    TRY(check_tcb(w));
    TRY(check_chip(w));
    TRY(check_policy(w));
    w->verdict->tcbs.compared = "REPORTED_TCB";
    w->verdict->kind = VERDICT_ACCEPTED;
    snp_cache_keep(w->options->cache, w->chain);
    return OK;
}

struct result snp_verify(const struct snp_evidence *evidence, const struct snp_options *options,
                         struct snp_report *report, struct verdict *verdict, struct err *err) {
    struct work w = {
        .evidence = evidence, .options = options, .report = report, .verdict = verdict, .err = err};
    *report = (struct snp_report){0};
    verdict_init(verdict);
    struct result r = run(&w);
    snp_chain_unref(w.chain);
    return r;
}

struct result snp_verify_before_endorsement(struct span report_bytes,
                                            const struct snp_options *options,
                                            struct snp_report *report, struct verdict *verdict,
                                            struct err *err) {
    struct work w = {.options = options, .report = report, .verdict = verdict, .err = err};
    *report = (struct snp_report){0};
    verdict_init(verdict);
    TRY(read_report(&w, report_bytes));
    return check_unendorsed(&w);
}
