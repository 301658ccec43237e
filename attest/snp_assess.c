/* Assessment: see snp_assess.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_assess.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/snp_crl_policy.h"

#define WEIGHT_PRODUCT 1000000
#define WEIGHT_FALSE 1000
#define WEIGHT_IMAGE 100 /* of two sets with as many false findings, the one of the same image */
#define WEIGHT_LACKS 1

/* What is compared, for the product that the report is of. */
struct scene {
    const struct snp_reference *set;
    const struct snp_subject *subject;
    const struct snp_report *report;
    struct snp_tcbs tcbs;
    bool is_vlek;
    bool is_masked; /* a VCEK's report that names no chip */
    struct snp_assessment *out;
};

/* One old firmware is below four floors, and that is one finding. */
static bool is_told(const struct snp_assessment *a, const char *code, enum snp_outcome outcome) {
    for (size_t i = 0; i < a->count; i++) {
        if (a->findings[i].outcome == outcome && strcmp(a->findings[i].rule.code, code) == 0) {
            return true;
        }
    }
    return false;
}

/* NULL when it holds; else what the texts go to. */
static struct snp_finding *judge(struct scene *s, const struct verdict_rule *rule,
                                 enum snp_outcome outcome) {
    static const size_t weights[] = {
        [SNP_HOLDS] = 0, [SNP_LACKS] = WEIGHT_LACKS, [SNP_FALSE] = WEIGHT_FALSE};
    struct snp_assessment *a = s->out;
    CHECK(a->count < SNP_FINDINGS_MAX);
    size_t weight = outcome == SNP_HOLDS || is_told(a, rule->code, outcome) ? 0 : weights[outcome];
    struct snp_finding *f = &a->findings[a->count++];
    f->rule = *rule;
    f->outcome = outcome;
    f->tcb = NULL;
    f->field[0] = f->expected[0] = f->actual[0] = '\0';
    a->distance += weight;
    return outcome == SNP_HOLDS ? NULL : f;
}

static struct snp_finding *judge_if(struct scene *s, const struct verdict_rule *rule, bool ok) {
    return judge(s, rule, ok ? SNP_HOLDS : SNP_FALSE);
}

static void put_hex(struct span bytes, char *out, size_t size) {
    CHECK(2 * bytes.size < size);
    hex_encode(bytes, out);
}

static void judge_bytes(struct scene *s, const struct verdict_rule *rule, struct span expected,
                        struct span actual) {
    struct snp_finding *f = judge_if(s, rule, span_equal(expected, actual));
    if (f != NULL) {
        put_hex(expected, f->expected, sizeof f->expected);
        put_hex(actual, f->actual, sizeof f->actual);
    }
}

/* `items`: `count` values of actual.size bytes each; any one will do. */
static bool is_among(const void *items, size_t count, struct span actual) {
    const uint8_t *p = items;
    for (size_t i = 0; i < count; i++) {
        if (memcmp(p + i * actual.size, actual.data, actual.size) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- product and root ---- */

static void assess_product(struct scene *s, bool is_readable) {
    static const struct verdict_rule rule = {
        "product-expected", "SNP-PRODUCT-EXPECTED", "product",
        "add a reference value set for this product, or run the guest on the expected one"};
    enum snp_product product = s->subject->product;
    bool is_open = product == SNP_PRODUCT_UNKNOWN && s->subject->is_unendorsed;
    struct snp_finding *f =
        judge_if(s, &rule, is_readable && (is_open || s->set->product == product));
    if (f != NULL) {
        s->out->distance += WEIGHT_PRODUCT;
        snprintf(f->expected, sizeof f->expected, "%s", snp_product_line(s->set->product));
        snprintf(f->actual, sizeof f->actual, "%s",
                 is_open ? "another: its TCBs are not of this one" : snp_product_line(product));
    }
}

static void assess_root(struct scene *s) {
    static const struct verdict_rule rule = {
        "root-permitted", "SNP-ROOT-SIMULATED", "ARK.subjectPublicKeyInfo",
        "run the guest on genuine hardware; only a test deployment lists SimulatedRoots"};
    const uint8_t *root = s->subject->simulated_root;
    bool ok = root == NULL ||
              is_among(s->set->simulated_roots, s->set->simulated_root_count, span_of(root, 32));
    struct snp_finding *f = judge_if(s, &rule, ok);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "AMD's root or one of %zu simulated ones",
                 s->set->simulated_root_count);
        put_hex(span_of(root, 32), f->actual, sizeof f->actual);
    }
}

/* ---- POLICY (AMD 56860 section 4.3) ---- */

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
#define RESTRICTION_REMEDY "launch the guest with this bit in its policy"
static const struct bit_rule RESTRICTIONS[] = {
    {SNP_POLICY_SINGLE_SOCKET,
     {"policy-single-socket", "SNP-POLICY-SINGLE-SOCKET", "POLICY.SINGLE_SOCKET",
      RESTRICTION_REMEDY}},
    {SNP_POLICY_MEM_AES_256_XTS,
     {"policy-xts", "SNP-POLICY-XTS", "POLICY.MEM_AES_256_XTS", RESTRICTION_REMEDY}},
    {SNP_POLICY_RAPL_DIS,
     {"policy-rapl", "SNP-POLICY-RAPL", "POLICY.RAPL_DIS", RESTRICTION_REMEDY}},
    {SNP_POLICY_CIPHERTEXT_HIDING,
     {"policy-ciphertext-hiding", "SNP-POLICY-CIPHERTEXT-HIDING", "POLICY.CIPHERTEXT_HIDING_DRAM",
      RESTRICTION_REMEDY}},
    {SNP_POLICY_PAGE_SWAP_DISABLE,
     {"policy-page-swap", "SNP-POLICY-PAGE-SWAP", "POLICY.PAGE_SWAP_DISABLE", RESTRICTION_REMEDY}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assess_bits(struct scene *s) {
    uint64_t policy = s->report->policy;
    uint64_t excess = policy & ~s->set->policy_allowed;
    uint64_t missing = s->set->policy_required & ~policy;
    for (size_t i = 0; i < COUNT(PERMISSIONS); i++) {
        struct snp_finding *f =
            judge_if(s, &PERMISSIONS[i].rule, (excess & PERMISSIONS[i].bit) == 0);
        if (f != NULL) {
            snprintf(f->expected, sizeof f->expected, "0");
            snprintf(f->actual, sizeof f->actual, "1");
        }
    }
    for (size_t i = 0; i < COUNT(RESTRICTIONS); i++) {
        struct snp_finding *f =
            judge_if(s, &RESTRICTIONS[i].rule, (missing & RESTRICTIONS[i].bit) == 0);
        if (f != NULL) {
            snprintf(f->expected, sizeof f->expected, "1");
            snprintf(f->actual, sizeof f->actual, "0");
        }
    }
}

static void assess_abi(struct scene *s) {
    static const struct verdict_rule rule = {
        "policy-abi", "SNP-POLICY-ABI", "POLICY.ABI",
        "launch the guest with a policy that demands at least this firmware ABI"};
    unsigned major = (unsigned)(s->report->policy >> 8) & 0xFF;
    unsigned minor = (unsigned)s->report->policy & 0xFF;
    bool ok = major > s->set->policy_abi_major ||
              (major == s->set->policy_abi_major && minor >= s->set->policy_abi_minor);
    struct snp_finding *f = judge_if(s, &rule, ok);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "at least %u.%u", s->set->policy_abi_major,
                 s->set->policy_abi_minor);
        snprintf(f->actual, sizeof f->actual, "%u.%u", major, minor);
    }
}

/* ---- PLATFORM_INFO (AMD 56860 table 24) ---- */

/* "ECC_EN, bit 9": as many as fit. */
static void name_bits(uint64_t bits, char *out, size_t size) {
    static const char *const names[] = {"SMT_EN",
                                        "TSME_EN",
                                        "ECC_EN",
                                        "RAPL_DIS",
                                        "CIPHERTEXT_HIDING_DRAM_EN",
                                        "ALIAS_CHECK_COMPLETE",
                                        "IOMMU_WRITE_SAFE",
                                        "TIO_EN"};
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < 64 && used + 32 < size; i++) {
        if ((bits >> i & 1) == 0) {
            continue;
        }
        const char *separator = used > 0 ? ", " : "";
        int n = i < COUNT(names) ? snprintf(out + used, size - used, "%s%s", separator, names[i])
                                 : snprintf(out + used, size - used, "%sbit %zu", separator, i);
        CHECK(n > 0);
        used += (size_t)n;
    }
}

static void judge_platform(struct scene *s, const struct verdict_rule *rule, uint64_t wrong,
                           const char *expected) {
    struct snp_finding *f = judge_if(s, rule, wrong == 0);
    if (f != NULL) {
        char names[160];
        name_bits(wrong, names, sizeof names);
        snprintf(f->expected, sizeof f->expected, "%s: %s", expected, names);
        snprintf(f->actual, sizeof f->actual, "0x%" PRIx64, s->report->platform_info);
    }
}

static void assess_platform(struct scene *s) {
    static const struct verdict_rule required = {
        "platform-required", "SNP-PLATFORM-REQUIRED", "PLATFORM_INFO",
        "have the machine's firmware settings changed, run the guest on another machine, or ask "
        "for less in PlatformInfo"};
    static const struct verdict_rule forbidden = {
        "platform-forbidden", "SNP-PLATFORM-FORBIDDEN", "PLATFORM_INFO",
        "have the machine's firmware settings changed, run the guest on another machine, or "
        "permit it in PlatformInfo"};
    static const struct verdict_rule unknown = {
        "platform-unknown", "SNP-PLATFORM-RESERVED", "PLATFORM_INFO",
        "this version does not know what the bit says about the machine: use a newer one, or say "
        "in PlatformInfoForbidden which bits you refuse"};
    uint64_t info = s->report->platform_info;
    uint64_t excess = info & s->set->platform_forbidden;
    judge_platform(s, &required, s->set->platform_required & ~info, "set");
    judge_platform(s, &forbidden, excess & SNP_PLATFORM_KNOWN, "clear");
    judge_platform(s, &unknown, excess & ~SNP_PLATFORM_KNOWN, "clear");
}

/* ---- the guest ---- */

static void assess_vmpl(struct scene *s) {
    static const struct verdict_rule rule = {
        "vmpl", "SNP-VMPL", "VMPL",
        "ask for the report at the VMPL of the reference values (0 unless they say another; tools "
        "such as snpguest ask for 1 by default)"};
    struct snp_finding *f = judge_if(s, &rule, s->report->vmpl == s->set->vmpl);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "%" PRIu32, s->set->vmpl);
        snprintf(f->actual, sizeof f->actual, "%" PRIu32, s->report->vmpl);
    }
}

/* Without permission to migrate there is no agent whose report could be named. */
static void assess_migration(struct scene *s) {
    static const struct verdict_rule rule = {"report-id-ma", "SNP-REPORT-ID-MA", "REPORT_ID_MA",
                                             "launch the guest without a migration agent"};
    if ((s->set->policy_allowed & SNP_POLICY_MIGRATE_MA) != 0) {
        return;
    }
    uint8_t none[sizeof s->report->report_id_ma];
    memset(none, 0xFF, sizeof none);
    judge_bytes(s, &rule, SPAN(none), SPAN(s->report->report_id_ma));
}

static void assess_measurement(struct scene *s) {
    static const struct verdict_rule rule = {
        "measurement", "SNP-MEASUREMENT", "MEASUREMENT",
        "the guest image is another one: deploy the expected one, or add its launch digest to "
        "ReferenceValues"};
    if (!span_equal(SPAN(s->set->measurement), SPAN(s->report->measurement))) {
        s->out->distance += WEIGHT_IMAGE;
    }
    judge_bytes(s, &rule, SPAN(s->set->measurement), SPAN(s->report->measurement));
}

/* A listed key, or, with an empty list, none at all: a digest that nobody expects is refused. */
static void judge_key(struct scene *s, const struct verdict_rule *rule, const uint8_t (*keys)[48],
                      size_t count, struct span digest) {
    bool ok = count == 0 ? span_is_zero(digest) : is_among(keys, count, digest);
    struct snp_finding *f = judge_if(s, rule, ok);
    if (f != NULL) {
        if (count == 0) {
            snprintf(f->expected, sizeof f->expected, "zero: no such key");
        } else {
            snprintf(f->expected, sizeof f->expected, "one of the %zu trusted keys", count);
        }
        put_hex(digest, f->actual, sizeof f->actual);
    }
}

/* KEY_INFO bit 0 says whether an author key signed the ID key (AMD 56860 table 23). */
static void assess_author_flag(struct scene *s) {
    static const struct verdict_rule rule = {
        "author-key-enabled", "SNP-AUTHOR-KEY-EN", "AUTHOR_KEY_DIGEST",
        "no firmware reports the digest of an author key that it did not use: do not trust it"};
    bool is_enabled = (s->report->key_info & 1) != 0;
    struct snp_finding *f =
        judge_if(s, &rule, is_enabled || span_is_zero(SPAN(s->report->author_key_digest)));
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "zero, for KEY_INFO.AUTHOR_KEY_EN is 0");
        put_hex(SPAN(s->report->author_key_digest), f->actual, sizeof f->actual);
    }
}

static void assess_keys(struct scene *s) {
    static const struct verdict_rule id = {
        "id-key", "SNP-ID-KEY", "ID_KEY_DIGEST",
        "launch the guest with an ID block of a trusted key (without one where none is trusted), "
        "or list this digest in TrustedIDKeyDigests"};
    static const struct verdict_rule author = {
        "author-key", "SNP-AUTHOR-KEY", "AUTHOR_KEY_DIGEST",
        "launch the guest with an ID key that a trusted author key signed (without author key "
        "where none is trusted), or list this digest in TrustedAuthorKeyDigests"};
    const struct snp_reference *set = s->set;
    judge_key(s, &id, (const uint8_t(*)[48])set->id_key_digests, set->id_key_digest_count,
              SPAN(s->report->id_key_digest));
    assess_author_flag(s);
    judge_key(s, &author, (const uint8_t(*)[48])set->author_key_digests,
              set->author_key_digest_count, SPAN(s->report->author_key_digest));
}

static void assess_id_block(struct scene *s) {
    static const struct verdict_rule svn = {
        "guest-svn", "SNP-GUEST-SVN", "GUEST_SVN",
        "the guest image is older than allowed: deploy a newer one, or lower MinimumGuestSVN"};
    static const struct verdict_rule family = {
        "family-id", "SNP-FAMILY-ID", "FAMILY_ID",
        "launch the guest with the ID block of this image family, or mend FamilyID"};
    static const struct verdict_rule image = {
        "image-id", "SNP-IMAGE-ID", "IMAGE_ID",
        "launch the guest with the ID block of this image, or mend ImageID"};
    struct snp_finding *f = judge_if(s, &svn, s->report->guest_svn >= s->set->minimum_guest_svn);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "at least %" PRIu32, s->set->minimum_guest_svn);
        snprintf(f->actual, sizeof f->actual, "%" PRIu32, s->report->guest_svn);
    }
    if (s->set->has_family_id) {
        judge_bytes(s, &family, SPAN(s->set->family_id), SPAN(s->report->family_id));
    }
    if (s->set->has_image_id) {
        judge_bytes(s, &image, SPAN(s->set->image_id), SPAN(s->report->image_id));
    }
}

/* ---- firmware ---- */

static void assess_floor(struct scene *s, const char *check, const char *name,
                         const struct snp_tcb *tcb) {
    const struct verdict_rule rule = {
        check, "SNP-TCB-FLOOR", "",
        "update the machine's firmware and start the guest again, or lower MinimumTCB knowingly"};
    const char *component = "";
    bool ok = snp_tcb_at_least(tcb, &s->set->minimum_tcb, &component);
    struct snp_finding *f = judge_if(s, &rule, ok);
    if (f != NULL) {
        char text[160];
        f->tcb = name;
        snprintf(f->field, sizeof f->field, "%s.%s", name, component);
        snp_tcb_format(s->set->product, &s->set->minimum_tcb, text, sizeof text);
        snprintf(f->expected, sizeof f->expected, "at least %s", text);
        snp_tcb_format(s->set->product, tcb, f->actual, sizeof f->actual);
    }
}

static void assess_firmware(struct scene *s, const char *check, const char *name,
                            const struct snp_firmware *v) {
    const struct verdict_rule rule = {
        check, "SNP-FIRMWARE-FLOOR", name,
        "update the machine's firmware, or lower MinimumFirmware knowingly"};
    const struct snp_firmware *min = &s->set->minimum_firmware;
    unsigned have = (unsigned)v->major << 16 | (unsigned)v->minor << 8 | v->build;
    unsigned want = (unsigned)min->major << 16 | (unsigned)min->minor << 8 | min->build;
    struct snp_finding *f = judge_if(s, &rule, have >= want);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "at least %u.%u.%u", min->major, min->minor,
                 min->build);
        snprintf(f->actual, sizeof f->actual, "%u.%u.%u", v->major, v->minor, v->build);
    }
}

#define PROVISIONAL_REMEDY                                                                         \
    "the host can still go back to the committed firmware: have it commit the current one, or "    \
    "permit that with PermitProvisionalFirmware"

/* What is not committed can be rolled back by the host (AMD 56860, SNP_COMMIT). */
static void assess_provisional(struct scene *s) {
    static const struct verdict_rule tcb = {"committed-tcb", "SNP-TCB-PROVISIONAL", "COMMITTED_TCB",
                                            PROVISIONAL_REMEDY};
    static const struct verdict_rule version = {"committed-firmware", "SNP-FIRMWARE-PROVISIONAL",
                                                "COMMITTED_VERSION", PROVISIONAL_REMEDY};
    const struct snp_firmware *current = &s->report->current_firmware;
    const struct snp_firmware *committed = &s->report->committed_firmware;
    if (!s->set->committed_is_current) {
        return;
    }
    bool same = snp_tcb_equal(&s->tcbs.committed, &s->tcbs.current, NULL);
    struct snp_finding *f = judge_if(s, &tcb, same);
    if (f != NULL) {
        f->tcb = "COMMITTED_TCB";
        snp_tcb_format(s->set->product, &s->tcbs.current, f->expected, sizeof f->expected);
        snp_tcb_format(s->set->product, &s->tcbs.committed, f->actual, sizeof f->actual);
    }
    same = current->major == committed->major && current->minor == committed->minor &&
           current->build == committed->build;
    f = judge_if(s, &version, same);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "%u.%u.%u", current->major, current->minor,
                 current->build);
        snprintf(f->actual, sizeof f->actual, "%u.%u.%u", committed->major, committed->minor,
                 committed->build);
    }
}

static void assess_mitigation(struct scene *s, const char *check, const char *code,
                              const char *field, uint64_t vector) {
    const struct verdict_rule rule = {
        check, code, field,
        s->report->version < 5
            ? "reports below version 5 have no mitigation vector: have the machine's firmware "
              "updated, or take MinimumMitigationVector out"
            : "have the machine's firmware updated and start the guest again (a running guest "
              "keeps its launch vector), or ask for less in MinimumMitigationVector"};
    struct snp_finding *f = judge_if(s, &rule, (s->set->minimum_mitigation & ~vector) == 0);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "all of 0x%" PRIx64, s->set->minimum_mitigation);
        snprintf(f->actual, sizeof f->actual, "0x%" PRIx64, vector);
    }
}

static void assess_machine(struct scene *s) {
    const struct snp_report *r = s->report;
    assess_floor(s, "reported-tcb-floor", "REPORTED_TCB", &s->tcbs.reported);
    assess_floor(s, "committed-tcb-floor", "COMMITTED_TCB", &s->tcbs.committed);
    assess_floor(s, "current-tcb-floor", "CURRENT_TCB", &s->tcbs.current);
    assess_floor(s, "launch-tcb-floor", "LAUNCH_TCB", &s->tcbs.launch);
    assess_firmware(s, "current-firmware-floor", "CURRENT_VERSION", &r->current_firmware);
    assess_firmware(s, "committed-firmware-floor", "COMMITTED_VERSION", &r->committed_firmware);
    assess_provisional(s);
    assess_mitigation(s, "launch-mitigations", "SNP-MIT-LAUNCH", "LAUNCH_MIT_VECTOR",
                      r->launch_mit_vector);
    assess_mitigation(s, "current-mitigations", "SNP-MIT-CURRENT", "CURRENT_MIT_VECTOR",
                      r->current_mit_vector);
}

/* ---- who signed ---- */

static void assess_masked(struct scene *s) {
    static const struct verdict_rule rule = {
        "chip-unmasked", "SNP-CHIP-MASKED", "CHIP_ID",
        "ask the host to clear MaskChipId, or set AllowMaskedChips: then the certificate alone "
        "names the machine"};
    struct snp_finding *f = judge_if(s, &rule, !s->is_masked || s->set->masked_chip_allowed);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "not zero");
        snprintf(f->actual, sizeof f->actual, "zero");
    }
}

/* The machine by its CHIP_ID or, when that is masked, by the hwID that AMD certified: the signature
 * binds the report to it. A VLEK names none. */
static void assess_chip(struct scene *s) {
    static const struct verdict_rule rule = {
        "chip-allowed", "SNP-CHIP-ALLOW", "CHIP_ID",
        "run the guest on a listed machine, or add this chip to AllowedChipIDs"};
    uint8_t id[64] = {0};
    const struct snp_vek *claims = s->subject->claims;
    if (s->is_masked && s->subject->is_unendorsed) {
        return;
    }
    memcpy(id, s->report->chip_id, sizeof id);
    if (s->is_masked && claims != NULL) {
        memcpy(id, claims->hwid, claims->hwid_size);
    }
    bool ok = s->set->chip_id_count == 0 ||
              (!s->is_vlek && is_among(s->set->chip_ids, s->set->chip_id_count, SPAN(id)));
    struct snp_finding *f = judge_if(s, &rule, ok);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "one of the %zu chips of AllowedChipIDs",
                 s->set->chip_id_count);
        snprintf(f->field, sizeof f->field, "%s", s->is_masked ? "VCEK.hwID" : "CHIP_ID");
        put_hex(SPAN(id), f->actual, sizeof f->actual);
    }
}

/* A VLEK proves "some machine of this provider", and only for a provider that the set names. */
static void assess_signing_key(struct scene *s) {
    static const struct verdict_rule key = {
        "signing-key", "SNP-VLEK", "KEY_INFO.SIGNING_KEY",
        "a provider's key names no machine: ask the provider for reports signed with the VCEK, or "
        "name the provider in AllowedCSPIDs"};
    static const struct verdict_rule csp = {
        "csp-allowed", "SNP-CSPID", "VLEK.cspID",
        "run the guest at a listed provider, or add this one to AllowedCSPIDs"};
    const struct snp_reference *set = s->set;
    struct snp_finding *f = judge_if(s, &key, !s->is_vlek || set->csp_id_count > 0);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "0 (VCEK)");
        snprintf(f->actual, sizeof f->actual, "1 (VLEK)");
    }
    if (!s->is_vlek || set->csp_id_count == 0 || s->subject->is_unendorsed) {
        return;
    }
    const char *actual = s->subject->claims != NULL ? s->subject->claims->csp_id : "";
    bool ok = false;
    for (size_t i = 0; i < set->csp_id_count; i++) {
        ok = ok || strcmp(set->csp_ids[i], actual) == 0;
    }
    f = judge_if(s, &csp, ok);
    if (f != NULL) {
        snprintf(f->expected, sizeof f->expected, "%s%s", set->csp_ids[0],
                 set->csp_id_count > 1 ? " or another of AllowedCSPIDs" : "");
        snprintf(f->actual, sizeof f->actual, "%s", actual);
    }
}

static void assess_revocation(struct scene *s, int64_t at) {
    const struct snp_revocation *r = &s->subject->revocation;
    const struct snp_crl_demand demand = {s->set->crl, s->set->crl_grace_hours, at};
    bool is_false = false;
    struct verdict_rule rule = snp_crl_policy_rule(r, &is_false);
    bool ok = snp_crl_policy_holds(&demand, r);
    struct snp_finding *f = judge(s, &rule, ok ? SNP_HOLDS : is_false ? SNP_FALSE : SNP_LACKS);
    if (f != NULL) {
        snp_crl_policy_want(&demand, f->expected, sizeof f->expected);
        snp_crl_policy_state(r, f->actual, sizeof f->actual);
    }
}

/* ---- all of it ---- */

/* False when the report's TCBs are not those of the set's product. */
static bool decode_tcbs(struct scene *s) {
    const struct snp_report *r = s->report;
    if (!s->subject->is_unendorsed) {
        s->tcbs = s->subject->tcbs;
        return true;
    }
    enum snp_product p = s->set->product;
    return is_ok(snp_tcb_decode(p, r->reported_tcb, &s->tcbs.reported, NULL)) &&
           is_ok(snp_tcb_decode(p, r->committed_tcb, &s->tcbs.committed, NULL)) &&
           is_ok(snp_tcb_decode(p, r->current_tcb, &s->tcbs.current, NULL)) &&
           is_ok(snp_tcb_decode(p, r->launch_tcb, &s->tcbs.launch, NULL));
}

void snp_assess(const struct snp_reference *set, const struct snp_subject *subject, int64_t at,
                struct snp_assessment *out) {
    const struct snp_report *report = subject->report;
    bool is_vlek = snp_report_signing_key(report) == SNP_KEY_VLEK;
    struct scene s = {.set = set,
                      .subject = subject,
                      .report = report,
                      .is_vlek = is_vlek,
                      .is_masked = !is_vlek && span_is_zero(SPAN(report->chip_id)),
                      .out = out};
    out->count = 0;
    out->distance = 0;
    assess_product(&s, decode_tcbs(&s));
    if (!subject->is_unendorsed) {
        assess_root(&s);
    }
    assess_bits(&s);
    assess_abi(&s);
    assess_platform(&s);
    assess_vmpl(&s);
    assess_migration(&s);
    assess_measurement(&s);
    assess_keys(&s);
    assess_id_block(&s);
    assess_machine(&s);
    assess_masked(&s);
    assess_chip(&s);
    assess_signing_key(&s);
    if (!subject->is_unendorsed) {
        assess_revocation(&s, at);
    }
}
