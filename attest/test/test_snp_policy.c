/* Policy on reports that are taken as proven: every check of a set alone, good and bad; the nearest
 * set; what holds without sets; what is judged before certificates are there.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_crl_policy.h"
#include "attest/snp_policy.h"

#define NOW INT64_C(1784000000) /* 2026-07-14 */
#define DAY INT64_C(86400)
#define HOUR INT64_C(3600)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t REPORT_DATA[64] = {1, 2, 3};
static const uint8_t HOST_DATA[32] = {4, 5, 6};
static uint8_t ROOT[1][32] = {{7}};

/* A report and a set that fit each other in every field, until a test changes one. */
struct world {
    struct snp_report report;
    struct snp_vek claims;
    struct snp_subject subject;
    struct snp_reference set;
    struct snp_options options;
    uint8_t chips[2][64];
    uint8_t keys[2][48];
    char *csps[2];
    char csp_text[2][32];
    struct verdict verdict;
    struct err err;
};

static void fill_report(struct snp_report *r) {
    *r = (struct snp_report){.version = 5,
                             .policy = SNP_POLICY_RESERVED_ONE | 0x0137,
                             .platform_info = 0x25,
                             .cpuid_family = 0x19,
                             .cpuid_model = 1,
                             .current_firmware = {.build = 22, .minor = 55, .major = 1},
                             .committed_firmware = {.build = 22, .minor = 55, .major = 1},
                             .launch_mit_vector = 0x0B,
                             .current_mit_vector = 0x0F};
    memcpy(r->report_data, REPORT_DATA, sizeof REPORT_DATA);
    memcpy(r->host_data, HOST_DATA, sizeof HOST_DATA);
    memset(r->measurement, 0x4d, sizeof r->measurement);
    memset(r->report_id_ma, 0xff, sizeof r->report_id_ma);
    memset(r->chip_id, 0xc1, sizeof r->chip_id);
    memcpy(r->reported_tcb, "\x04\0\0\0\0\0\x18\xdb", 8);
    memcpy(r->committed_tcb, r->reported_tcb, 8);
    memcpy(r->current_tcb, r->reported_tcb, 8);
    memcpy(r->launch_tcb, r->reported_tcb, 8);
}

static void prepare(struct world *w) {
    const struct snp_tcb tcb = {.bootloader = 4, .snp = 24, .microcode = 219};
    *w = (struct world){.set = {.product = SNP_MILAN,
                                .minimum_tcb = tcb,
                                .platform_forbidden = ~SNP_PLATFORM_KNOWN},
                        .claims = {.tcb = tcb, .hwid_size = 64}};
    fill_report(&w->report);
    memcpy(w->set.measurement, w->report.measurement, sizeof w->set.measurement);
    memcpy(w->claims.hwid, w->report.chip_id, sizeof w->claims.hwid);
    w->subject = (struct snp_subject){.report = &w->report,
                                      .product = SNP_MILAN,
                                      .claims = &w->claims,
                                      .revocation = {.state = SNP_CRL_NONE}};
    w->options = (struct snp_options){.references = &w->set,
                                      .reference_count = 1,
                                      .report_data = REPORT_DATA,
                                      .host_data = HOST_DATA,
                                      .at = NOW};
    for (size_t i = 0; i < 2; i++) {
        w->csps[i] = w->csp_text[i];
    }
}

/* As snp_verify does: the four TCBs by the product that the chain proved. */
static struct result run(struct world *w) {
    struct snp_tcbs *t = &w->subject.tcbs;
    enum snp_product p = w->subject.product;
    assert_true(is_ok(snp_tcb_decode(p, w->report.reported_tcb, &t->reported, NULL)));
    assert_true(is_ok(snp_tcb_decode(p, w->report.committed_tcb, &t->committed, NULL)));
    assert_true(is_ok(snp_tcb_decode(p, w->report.current_tcb, &t->current, NULL)));
    assert_true(is_ok(snp_tcb_decode(p, w->report.launch_tcb, &t->launch, NULL)));
    verdict_init(&w->verdict);
    return snp_policy_check(&w->subject, &w->options, &w->verdict, &w->err);
}

static struct result run_unendorsed(struct world *w, enum snp_product product) {
    verdict_init(&w->verdict);
    return snp_policy_check_unendorsed(&w->report, product, &w->options, &w->verdict, &w->err);
}

/* How often a check stands in the verdict with this outcome. */
static size_t count_checks(const struct verdict *v, const char *name, bool ok) {
    size_t n = 0;
    for (size_t i = 0; i < v->check_count; i++) {
        n += (name == NULL || strcmp(v->checks[i].name, name) == 0) && v->checks[i].ok == ok;
    }
    return n;
}

static void expect(struct world *w, struct result r, const char *code) {
    if (strcmp(w->verdict.code, code) != 0) {
        fail_msg("want '%s', have '%s': %s", code, w->verdict.code, is_ok(r) ? "" : w->err.text);
    }
    assert_int_equal(is_ok(r), code[0] == '\0');
}

/* ---- changes: a row's `make_good` prepares what its check looks at, `make_bad` breaks it ---- */

#define CHANGE(name, ...)                                                                          \
    static void name(struct world *w) {                                                            \
        __VA_ARGS__                                                                                \
    }

CHANGE(nothing, (void)w;)
CHANGE(other_product, w->set.product = SNP_GENOA;)
CHANGE(list_root, w->subject.simulated_root = ROOT[0]; w->set.simulated_roots = ROOT;
       w->set.simulated_root_count = 1;)
CHANGE(unlist_root, w->set.simulated_root_count = 0;)
CHANGE(allow_smt, w->report.policy |= SNP_POLICY_SMT; w->set.policy_allowed = SNP_POLICY_SMT;)
CHANGE(allow_debug, w->report.policy |= SNP_POLICY_DEBUG; w->set.policy_allowed = SNP_POLICY_DEBUG;)
CHANGE(allow_cxl, w->report.policy |= SNP_POLICY_CXL_ALLOW;
       w->set.policy_allowed = SNP_POLICY_CXL_ALLOW;)
CHANGE(allow_agent, w->report.policy |= SNP_POLICY_MIGRATE_MA;
       w->set.policy_allowed = SNP_POLICY_MIGRATE_MA;)
CHANGE(allow_none, w->set.policy_allowed = 0;)
CHANGE(set_all_bits, w->report.policy |= SNP_POLICY_SINGLE_SOCKET | SNP_POLICY_MEM_AES_256_XTS |
                                         SNP_POLICY_RAPL_DIS | SNP_POLICY_CIPHERTEXT_HIDING |
                                         SNP_POLICY_PAGE_SWAP_DISABLE;
       w->set.policy_required = w->report.policy & ~UINT64_C(0x3FFFF);)
CHANGE(drop_socket, w->report.policy &= ~SNP_POLICY_SINGLE_SOCKET;)
CHANGE(drop_xts, w->report.policy &= ~SNP_POLICY_MEM_AES_256_XTS;)
CHANGE(drop_rapl, w->report.policy &= ~SNP_POLICY_RAPL_DIS;)
CHANGE(drop_hiding, w->report.policy &= ~SNP_POLICY_CIPHERTEXT_HIDING;)
CHANGE(drop_swap, w->report.policy &= ~SNP_POLICY_PAGE_SWAP_DISABLE;)
CHANGE(want_abi, w->set.policy_abi_major = 1; w->set.policy_abi_minor = 0x37;)
CHANGE(want_abi_minor, w->set.policy_abi_minor = 0x38;)
CHANGE(want_abi_major, w->set.policy_abi_major = 2; w->set.policy_abi_minor = 0;)
CHANGE(require_bits, w->set.platform_required = 0x25;)
CHANGE(drop_ecc, w->report.platform_info = 0x21;)
CHANGE(drop_two_bits, w->report.platform_info = 0x01;)
CHANGE(require_unknown, w->report.platform_info |= 0x200; w->set.platform_forbidden = 0;
       w->set.platform_required = 0x200;)
CHANGE(drop_unknown, w->report.platform_info = 0x25;)
CHANGE(forbid_bits, w->set.platform_forbidden |= 0x82;)
CHANGE(set_tsme, w->report.platform_info |= 0x02;)
CHANGE(set_unknown, w->report.platform_info |= UINT64_C(0x8000000000000100);)
CHANGE(permit_unknown, w->report.platform_info |= UINT64_C(0x8000000000000100);
       w->set.platform_forbidden = 0;)
CHANGE(forbid_unknown, w->set.platform_forbidden = UINT64_C(1) << 63;)
CHANGE(want_vmpl, w->report.vmpl = 2; w->set.vmpl = 2;)
CHANGE(other_vmpl, w->report.vmpl = 1;)
CHANGE(vmpl_zero, w->report.vmpl = 0;)
CHANGE(set_agent, w->report.report_id_ma[31] = 0;)
CHANGE(change_measurement, w->report.measurement[47] ^= 1;)
CHANGE(trust_key, memset(w->keys, 0x33, sizeof w->keys); w->keys[0][0] = 1;
       w->set.id_key_digests = w->keys; w->set.id_key_digest_count = 2;
       memset(w->report.id_key_digest, 0x33, 48);)
CHANGE(change_key, w->report.id_key_digest[47] ^= 1;)
CHANGE(drop_key, memset(w->report.id_key_digest, 0, 48);)
CHANGE(surprise_key, w->report.id_key_digest[0] = 0x94;)
CHANGE(trust_author, trust_key(w); w->set.author_key_digests = w->keys;
       w->set.author_key_digest_count = 2; memset(w->report.author_key_digest, 0x33, 48);
       w->report.key_info |= 1;)
CHANGE(change_author, w->report.author_key_digest[0] ^= 1;)
CHANGE(drop_author, w->report.key_info = 0; memset(w->report.author_key_digest, 0, 48);)
CHANGE(clear_author_flag, w->report.key_info = 0;)
CHANGE(surprise_author, w->report.key_info |= 1; w->report.author_key_digest[0] = 0x94;)
CHANGE(want_svn, w->report.guest_svn = 65547; w->set.minimum_guest_svn = 65547;)
CHANGE(lower_svn, w->report.guest_svn = 65546;)
CHANGE(want_family, w->set.has_family_id = true; memset(w->set.family_id, 0x22, 16);
       memset(w->report.family_id, 0x22, 16);)
CHANGE(change_family, w->report.family_id[15] ^= 1;)
CHANGE(want_image, w->set.has_image_id = true; memset(w->set.image_id, 0x22, 16);
       memset(w->report.image_id, 0x22, 16);)
CHANGE(change_image, w->report.image_id[0] ^= 1;)
CHANGE(lower_reported, w->report.reported_tcb[0] = 3;)
CHANGE(lower_committed, w->report.committed_tcb[6] = 23;)
CHANGE(lower_current, w->report.current_tcb[6] = 23; w->report.current_tcb[7] = 0xff;)
CHANGE(lower_launch, w->report.launch_tcb[7] = 0xda;)
CHANGE(want_firmware,
       w->set.minimum_firmware = (struct snp_firmware){.build = 22, .minor = 55, .major = 1};)
CHANGE(lower_current_build, w->report.current_firmware.build = 21;)
CHANGE(lower_committed_minor,
       w->report.committed_firmware = (struct snp_firmware){.build = 99, .minor = 54, .major = 1};)
CHANGE(newer_firmware, want_firmware(w);
       w->report.current_firmware = (struct snp_firmware){.build = 0, .minor = 56, .major = 1};
       w->report.committed_firmware = w->report.current_firmware;)
CHANGE(refuse_provisional, w->set.committed_is_current = true;)
CHANGE(raise_current, w->report.current_tcb[7] = 0xdc;)
CHANGE(raise_current_build, w->report.current_firmware.build = 23;)
CHANGE(raise_current_minor, w->report.current_firmware.minor = 56;)
CHANGE(raise_current_major, w->report.current_firmware.major = 2;)
CHANGE(want_mitigations, w->set.minimum_mitigation = 0x0B;)
CHANGE(drop_launch_bit, w->report.launch_mit_vector = 0x0F & ~UINT64_C(2);)
CHANGE(drop_current_bit, w->report.current_mit_vector = 0x07; w->report.launch_mit_vector = 0x0B;)
CHANGE(old_version, w->report.version = 3; w->report.launch_mit_vector = 0;)
CHANGE(mask_chip, memset(w->report.chip_id, 0, sizeof w->report.chip_id);
       w->set.masked_chip_allowed = true;)
CHANGE(refuse_masked, w->set.masked_chip_allowed = false;)
CHANGE(list_chip, w->set.chip_ids = w->chips; w->set.chip_id_count = 2; w->chips[0][0] = 9;
       memcpy(w->chips[1], w->claims.hwid, 64);)
CHANGE(change_listed_chip, w->chips[1][63] ^= 1;)
CHANGE(list_masked_chip, mask_chip(w); list_chip(w);)
CHANGE(become_vlek, w->report.key_info = SNP_KEY_VLEK << 2;
       memset(w->report.chip_id, 0, sizeof w->report.chip_id); w->claims.hwid_size = 0;
       strcpy(w->claims.csp_id, "CN=b"); strcpy(w->csp_text[0], "CN=a");
       strcpy(w->csp_text[1], "CN=b"); w->set.csp_ids = w->csps; w->set.csp_id_count = 2;)
CHANGE(list_no_csp, w->set.csp_id_count = 0;)
CHANGE(change_csp, strcpy(w->claims.csp_id, "CN=bb");)
CHANGE(list_chip_of_vlek, w->set.chip_ids = w->chips; w->set.chip_id_count = 2;)
CHANGE(require_list, w->set.crl = CRL_REQUIRE;
       w->subject.revocation = (struct snp_revocation){.state = SNP_CRL_CURRENT,
                                                       .this_update = NOW - DAY,
                                                       .next_update = NOW + DAY,
                                                       .number = 9};)
CHANGE(drop_list, w->subject.revocation = (struct snp_revocation){.state = SNP_CRL_NONE};)
CHANGE(stale_list, w->subject.revocation.state = SNP_CRL_STALE;
       w->subject.revocation.next_update = NOW - 1;)
CHANGE(future_list, w->subject.revocation.state = SNP_CRL_FUTURE;
       w->subject.revocation.this_update = NOW + 1;)
CHANGE(invalid_list, w->subject.revocation = (struct snp_revocation){.state = SNP_CRL_INVALID,
                                                                     .code = "SNP-CRL-SIGNATURE",
                                                                     .field = "CRL.signature"};)
CHANGE(grant_grace, require_list(w); w->set.crl = CRL_GRACE; w->set.crl_grace_hours = 48;
       w->subject.revocation.state = SNP_CRL_STALE;
       w->subject.revocation.next_update = NOW - 48 * HOUR;)
CHANGE(beyond_grace, w->subject.revocation.next_update--;)

#define HEX_4D                                                                                     \
    "4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d" \
    "4d"

struct row {
    const char *check;
    const char *code;
    const char *field;
    void (*make_good)(struct world *w);
    void (*make_bad)(struct world *w);
    const char *expected; /* how the text begins */
    const char *actual;
    bool needs_certificate; /* not checked before it is there */
};

static const struct row ROWS[] = {
    {"product-expected", "SNP-PRODUCT-EXPECTED", "product", nothing, other_product, "Genoa",
     "Milan", false},
    {"root-permitted", "SNP-ROOT-SIMULATED", "ARK.subjectPublicKeyInfo", list_root, unlist_root,
     "AMD's root or one of 0", "0700", true},
    {"policy-smt", "SNP-POLICY-SMT", "POLICY.SMT", allow_smt, allow_none, "0", "1", false},
    {"policy-debug", "SNP-POLICY-DEBUG", "POLICY.DEBUG", allow_debug, allow_none, "0", "1", false},
    {"policy-cxl", "SNP-POLICY-CXL", "POLICY.CXL_ALLOW", allow_cxl, allow_none, "0", "1", false},
    {"policy-migrate-ma", "SNP-POLICY-MIGRATE-MA", "POLICY.MIGRATE_MA", allow_agent, allow_none,
     "0", "1", false},
    {"policy-single-socket", "SNP-POLICY-SINGLE-SOCKET", "POLICY.SINGLE_SOCKET", set_all_bits,
     drop_socket, "1", "0", false},
    {"policy-xts", "SNP-POLICY-XTS", "POLICY.MEM_AES_256_XTS", set_all_bits, drop_xts, "1", "0",
     false},
    {"policy-rapl", "SNP-POLICY-RAPL", "POLICY.RAPL_DIS", set_all_bits, drop_rapl, "1", "0", false},
    {"policy-ciphertext-hiding", "SNP-POLICY-CIPHERTEXT-HIDING", "POLICY.CIPHERTEXT_HIDING_DRAM",
     set_all_bits, drop_hiding, "1", "0", false},
    {"policy-page-swap", "SNP-POLICY-PAGE-SWAP", "POLICY.PAGE_SWAP_DISABLE", set_all_bits,
     drop_swap, "1", "0", false},
    {"policy-abi", "SNP-POLICY-ABI", "POLICY.ABI", want_abi, want_abi_minor, "at least 1.56",
     "1.55", false},
    {"policy-abi", "SNP-POLICY-ABI", "POLICY.ABI", want_abi, want_abi_major, "at least 2.0", "1.55",
     false},
    {"platform-required", "SNP-PLATFORM-REQUIRED", "PLATFORM_INFO", require_bits, drop_ecc,
     "set: ECC_EN", "0x21", false},
    {"platform-required", "SNP-PLATFORM-REQUIRED", "PLATFORM_INFO", require_bits, drop_two_bits,
     "set: ECC_EN, ALIAS_CHECK_COMPLETE", "0x1", false},
    {"platform-required", "SNP-PLATFORM-REQUIRED", "PLATFORM_INFO", require_unknown, drop_unknown,
     "set: bit 9", "0x25", false},
    {"platform-forbidden", "SNP-PLATFORM-FORBIDDEN", "PLATFORM_INFO", forbid_bits, set_tsme,
     "clear: TSME_EN", "0x27", false},
    {"platform-unknown", "SNP-PLATFORM-RESERVED", "PLATFORM_INFO", nothing, set_unknown,
     "clear: bit 8, bit 63", "0x8000000000000125", false},
    {"platform-unknown", "SNP-PLATFORM-RESERVED", "PLATFORM_INFO", permit_unknown, forbid_unknown,
     "clear: bit 63", "0x8000000000000125", false},
    {"vmpl", "SNP-VMPL", "VMPL", nothing, other_vmpl, "0", "1", false},
    {"vmpl", "SNP-VMPL", "VMPL", want_vmpl, other_vmpl, "2", "1", false},
    {"vmpl", "SNP-VMPL", "VMPL", want_vmpl, vmpl_zero, "2", "0", false},
    {"report-id-ma", "SNP-REPORT-ID-MA", "REPORT_ID_MA", nothing, set_agent, "ffff", "ffff", false},
    {"measurement", "SNP-MEASUREMENT", "MEASUREMENT", nothing, change_measurement, HEX_4D "4d",
     HEX_4D "4c", false},
    {"id-key", "SNP-ID-KEY", "ID_KEY_DIGEST", nothing, surprise_key, "zero: no such key", "9400",
     false},
    {"id-key", "SNP-ID-KEY", "ID_KEY_DIGEST", trust_key, change_key, "one of the 2 trusted keys",
     "3333", false},
    {"id-key", "SNP-ID-KEY", "ID_KEY_DIGEST", trust_key, drop_key, "one of the 2 trusted keys",
     "0000", false},
    {"author-key", "SNP-AUTHOR-KEY", "AUTHOR_KEY_DIGEST", nothing, surprise_author,
     "zero: no such key", "9400", false},
    {"author-key", "SNP-AUTHOR-KEY", "AUTHOR_KEY_DIGEST", trust_author, change_author,
     "one of the 2 trusted keys", "3233", false},
    {"author-key", "SNP-AUTHOR-KEY", "AUTHOR_KEY_DIGEST", trust_author, drop_author,
     "one of the 2 trusted keys", "0000", false},
    {"author-key-enabled", "SNP-AUTHOR-KEY-EN", "AUTHOR_KEY_DIGEST", trust_author,
     clear_author_flag, "zero, for KEY_INFO.AUTHOR_KEY_EN is 0", "3333", false},
    {"guest-svn", "SNP-GUEST-SVN", "GUEST_SVN", want_svn, lower_svn, "at least 65547", "65546",
     false},
    {"family-id", "SNP-FAMILY-ID", "FAMILY_ID", want_family, change_family, "2222", "2222", false},
    {"image-id", "SNP-IMAGE-ID", "IMAGE_ID", want_image, change_image, "2222", "2322", false},
    {"reported-tcb-floor", "SNP-TCB-FLOOR", "REPORTED_TCB.bootloader", nothing, lower_reported,
     "at least bootloader 4,", "bootloader 3,", false},
    {"committed-tcb-floor", "SNP-TCB-FLOOR", "COMMITTED_TCB.SNP", nothing, lower_committed,
     "at least bootloader 4,", "bootloader 4, TEE 0, SNP 23", false},
    {"current-tcb-floor", "SNP-TCB-FLOOR", "CURRENT_TCB.SNP", nothing, lower_current,
     "at least bootloader 4,", "bootloader 4, TEE 0, SNP 23, microcode 255", false},
    {"launch-tcb-floor", "SNP-TCB-FLOOR", "LAUNCH_TCB.microcode", nothing, lower_launch,
     "at least bootloader 4,", "bootloader 4, TEE 0, SNP 24, microcode 218", false},
    {"current-firmware-floor", "SNP-FIRMWARE-FLOOR", "CURRENT_VERSION", want_firmware,
     lower_current_build, "at least 1.55.22", "1.55.21", false},
    {"committed-firmware-floor", "SNP-FIRMWARE-FLOOR", "COMMITTED_VERSION", newer_firmware,
     lower_committed_minor, "at least 1.55.22", "1.54.99", false},
    {"committed-tcb", "SNP-TCB-PROVISIONAL", "COMMITTED_TCB", refuse_provisional, raise_current,
     "bootloader 4, TEE 0, SNP 24, microcode 220", "bootloader 4, TEE 0, SNP 24, microcode 219",
     false},
    {"committed-firmware", "SNP-FIRMWARE-PROVISIONAL", "COMMITTED_VERSION", refuse_provisional,
     raise_current_build, "1.55.23", "1.55.22", false},
    {"committed-firmware", "SNP-FIRMWARE-PROVISIONAL", "COMMITTED_VERSION", refuse_provisional,
     raise_current_minor, "1.56.22", "1.55.22", false},
    {"committed-firmware", "SNP-FIRMWARE-PROVISIONAL", "COMMITTED_VERSION", refuse_provisional,
     raise_current_major, "2.55.22", "1.55.22", false},
    {"launch-mitigations", "SNP-MIT-LAUNCH", "LAUNCH_MIT_VECTOR", want_mitigations, drop_launch_bit,
     "all of 0xb", "0xd", false},
    {"current-mitigations", "SNP-MIT-CURRENT", "CURRENT_MIT_VECTOR", want_mitigations,
     drop_current_bit, "all of 0xb", "0x7", false},
    {"launch-mitigations", "SNP-MIT-LAUNCH", "LAUNCH_MIT_VECTOR", want_mitigations, old_version,
     "all of 0xb", "0x0", false},
    {"chip-unmasked", "SNP-CHIP-MASKED", "CHIP_ID", mask_chip, refuse_masked, "not zero", "zero",
     false},
    {"chip-allowed", "SNP-CHIP-ALLOW", "CHIP_ID", list_chip, change_listed_chip,
     "one of the 2 chips", "c1c1", false},
    {"chip-allowed", "SNP-CHIP-ALLOW", "VCEK.hwID", list_masked_chip, change_listed_chip,
     "one of the 2 chips", "c1c1", true},
    {"chip-allowed", "SNP-CHIP-ALLOW", "CHIP_ID", become_vlek, list_chip_of_vlek,
     "one of the 2 chips", "0000", false},
    {"signing-key", "SNP-VLEK", "KEY_INFO.SIGNING_KEY", become_vlek, list_no_csp, "0 (VCEK)",
     "1 (VLEK)", false},
    {"csp-allowed", "SNP-CSPID", "VLEK.cspID", become_vlek, change_csp, "CN=a or another", "CN=bb",
     true},
    {"revocation", "SNP-CRL-MISSING", "CRL", require_list, drop_list, "a list valid on 2026-07-14",
     "no list", true},
    {"revocation", "SNP-CRL-DATE", "CRL.nextUpdate", require_list, stale_list, "a list valid on",
     "list 9 ran out on 2026-07-14", true},
    {"revocation", "SNP-CRL-DATE", "CRL.thisUpdate", require_list, future_list, "a list valid on",
     "list 9 begins only on 2026-07-14", true},
    {"revocation", "SNP-CRL-DATE", "CRL.nextUpdate", grant_grace, beyond_grace,
     "a list valid on 2026-07-14, or run out at most 48", "list 9 ran out on 2026-07-12", true},
    {"revocation", "SNP-CRL-SIGNATURE", "CRL.signature", require_list, invalid_list,
     "a list valid on", "a list that is not the root's (SNP-CRL-SIGNATURE)", true},
};

static bool is_lack(const char *code) {
    return strcmp(code, "SNP-CRL-MISSING") == 0 || strcmp(code, "SNP-CRL-DATE") == 0;
}

static bool begins(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static void expect_row(struct world *w, const struct row *row, struct result r) {
    const struct verdict *v = &w->verdict;
    expect(w, r, row->code);
    assert_int_equal(v->kind, is_lack(row->code) ? VERDICT_UNVERIFIABLE : VERDICT_DENIED);
    assert_int_equal(r.code, is_lack(row->code) ? ERR_UNVERIFIABLE : ERR_DENIED);
    assert_string_equal(v->field, row->field);
    if (!begins(v->expected, row->expected) || !begins(v->actual, row->actual)) {
        fail_msg("%s: expected '%s', actual '%s'", row->code, v->expected, v->actual);
    }
    assert_int_equal(count_checks(v, row->check, false), 1);
    assert_int_equal(count_checks(v, NULL, false), 1); /* nothing else fails with it */
    assert_non_null(strstr(v->remedy, " (ReferenceValues.snp[0], measurement 4d4d4d4d4d4d...)"));
    assert_true(begins(w->err.text, row->code));
}

static void test_each_check_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct world w;
        prepare(&w);
        ROWS[i].make_good(&w);
        expect(&w, run(&w), "");
        assert_int_equal(count_checks(&w.verdict, NULL, false), 0);
        assert_int_equal(w.verdict.reference, 0);
        ROWS[i].make_bad(&w);
        expect_row(&w, &ROWS[i], run(&w));
    }
}

/* Whatever needs no certificate is found before there is one; the rest is left to later. */
static void test_each_check_before_the_certificate(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct world w;
        prepare(&w);
        ROWS[i].make_good(&w);
        expect(&w, run_unendorsed(&w, SNP_MILAN), "");
        ROWS[i].make_bad(&w);
        struct result r = run_unendorsed(&w, SNP_MILAN);
        if (ROWS[i].needs_certificate) {
            expect(&w, r, "");
            assert_int_equal(w.verdict.kind, VERDICT_UNVERIFIABLE); /* nothing is proven yet */
        } else {
            expect(&w, r, ROWS[i].code);
        }
    }
}

/* Version 2 of Milan and Genoa does not say which it is, but its TCBs are not Turin's. */
static void test_unknown_product_before_the_certificate(void **state) {
    (void)state;
    struct world w;
    prepare(&w);
    expect(&w, run_unendorsed(&w, SNP_PRODUCT_UNKNOWN), "");
    w.set.product = SNP_GENOA;
    expect(&w, run_unendorsed(&w, SNP_PRODUCT_UNKNOWN), "");
    w.set.product = SNP_TURIN;
    expect(&w, run_unendorsed(&w, SNP_PRODUCT_UNKNOWN), "SNP-PRODUCT-EXPECTED");
    assert_non_null(strstr(w.verdict.actual, "not of this one"));
    w.set.product = SNP_MILAN;
    w.report.launch_tcb[6]--;
    expect(&w, run_unendorsed(&w, SNP_PRODUCT_UNKNOWN), "SNP-TCB-FLOOR");
}

static void test_report_and_host_data(void **state) {
    (void)state;
    for (int sets = 0; sets < 2; sets++) {
        struct world w;
        prepare(&w);
        w.options.reference_count = (size_t)sets;
        w.report.report_data[63] ^= 1;
        expect(&w, run(&w), "SNP-REPORT-DATA");
        expect(&w, run_unendorsed(&w, SNP_MILAN), "SNP-REPORT-DATA");
        w.options.report_data = NULL;
        expect(&w, run(&w), "");
        w.report.host_data[31] ^= 1;
        expect(&w, run(&w), "SNP-HOST-DATA");
        expect(&w, run_unendorsed(&w, SNP_MILAN), "SNP-HOST-DATA");
        w.options.host_data = NULL;
        expect(&w, run(&w), "");
    }
}

static void test_the_hosts_own_report_is_denied(void **state) {
    (void)state;
    for (int sets = 0; sets < 2; sets++) {
        struct world w;
        prepare(&w);
        w.options.reference_count = (size_t)sets;
        w.report.vmpl = SNP_VMPL_HOST;
        expect(&w, run(&w), "SNP-VMPL-HOST");
        expect(&w, run_unendorsed(&w, SNP_MILAN), "SNP-VMPL-HOST");
    }
}

static void set_debug(struct world *w) {
    w->report.policy |= SNP_POLICY_DEBUG;
}

static void zero_chip(struct world *w) {
    memset(w->report.chip_id, 0, sizeof w->report.chip_id);
}

static void test_without_sets(void **state) {
    (void)state;
    static const struct {
        void (*change)(struct world *w);
        const char *code;
    } rows[] = {
        {nothing, ""},
        {set_debug, "SNP-POLICY-DEBUG"},
        {zero_chip, "SNP-CHIP-MASKED"},
        {set_unknown, "SNP-PLATFORM-RESERVED"},
        {other_vmpl, ""}, /* shown, not judged */
        {surprise_key, ""},
        {become_vlek, ""}, /* names no chip by its nature */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        prepare(&w);
        w.options.reference_count = 0;
        rows[i].change(&w);
        expect(&w, run(&w), rows[i].code);
        assert_int_equal(w.verdict.reference, VERDICT_NO_REFERENCE);
        expect(&w, run_unendorsed(&w, SNP_MILAN), rows[i].code);
    }
}

static void test_lists_without_sets(void **state) {
    (void)state;
    static const struct {
        enum crl_policy policy;
        void (*change)(struct world *w);
        const char *code;
        const char *text;
    } rows[] = {
        {CRL_OFF, drop_list, "", "off: no list"},
        {CRL_OFF, invalid_list, "", "off: a list that is not the root's (SNP-CRL-SIGNATURE)"},
        {CRL_OFF, stale_list, "", "off: list 9 ran out on 2026-07-14"},
        {CRL_REQUIRE, nothing, "", "require: list 9 of 2026-07-13, valid to 2026-07-15"},
        {CRL_REQUIRE, drop_list, "SNP-CRL-MISSING", "require: no list"},
        {CRL_REQUIRE, stale_list, "SNP-CRL-DATE", "require: list 9 ran out on 2026-07-14"},
        {CRL_REQUIRE, future_list, "SNP-CRL-DATE", "require: list 9 begins only on 2026-07-14"},
        {CRL_REQUIRE, invalid_list, "SNP-CRL-SIGNATURE",
         "require: a list that is not the root's (SNP-CRL-SIGNATURE)"},
        {CRL_GRACE, stale_list, "", "grace:2: list 9 ran out on 2026-07-14"},
        {CRL_GRACE, drop_list, "SNP-CRL-MISSING", "grace:2: no list"},
        {CRL_GRACE, future_list, "SNP-CRL-DATE", "grace:2: list 9 begins only on 2026-07-14"},
        {CRL_GRACE, grant_grace, "SNP-CRL-DATE", "grace:2: list 9 ran out on 2026-07-12"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        prepare(&w);
        require_list(&w);
        w.options.reference_count = 0;
        w.options.crl = rows[i].policy;
        w.options.crl_grace_hours = 2;
        rows[i].change(&w);
        expect(&w, run(&w), rows[i].code);
        assert_string_equal(w.verdict.revocation, rows[i].text);
        assert_int_equal(w.verdict.kind == VERDICT_DENIED,
                         rows[i].change == invalid_list && rows[i].policy != CRL_OFF);
    }
}

static void test_lists_without_number_or_date(void **state) {
    (void)state;
    const struct snp_crl_demand demand = {CRL_REQUIRE, 0, INT64_MAX};
    struct snp_revocation r = {.state = SNP_CRL_CURRENT, .this_update = NOW, .next_update = NOW};
    char text[SNP_CRL_TEXT_SIZE];
    snp_crl_policy_state(&r, text, sizeof text);
    assert_string_equal(text, "list of 2026-07-14, valid to 2026-07-14");
    snp_crl_policy_want(&demand, text, sizeof text);
    assert_string_equal(text, "a list valid on an unreadable date");
}

static void test_a_turin_chip_by_its_certificate(void **state) {
    (void)state;
    struct world w;
    prepare(&w);
    w.subject.product = w.set.product = SNP_TURIN;
    memcpy(w.report.reported_tcb, "\x01\x04\0\x18\0\0\0\xdb", 8);
    memcpy(w.report.committed_tcb, w.report.reported_tcb, 8);
    memcpy(w.report.current_tcb, w.report.reported_tcb, 8);
    memcpy(w.report.launch_tcb, w.report.reported_tcb, 8);
    w.claims.hwid_size = 8;
    mask_chip(&w);
    w.set.chip_ids = w.chips;
    w.set.chip_id_count = 1;
    memset(w.chips[0], 0xc1, 8);
    expect(&w, run(&w), "");
    w.chips[0][8] = 0xc1; /* behind the eight bytes stand zeros */
    expect(&w, run(&w), "SNP-CHIP-ALLOW");
}

static void test_old_versions_are_told_of_mitigations(void **state) {
    (void)state;
    struct world w;
    prepare(&w);
    want_mitigations(&w);
    drop_launch_bit(&w);
    expect(&w, run(&w), "SNP-MIT-LAUNCH");
    assert_null(strstr(w.verdict.remedy, "below version 5"));
    old_version(&w);
    expect(&w, run(&w), "SNP-MIT-LAUNCH");
    assert_non_null(strstr(w.verdict.remedy, "below version 5 have no mitigation vector"));
}

static void test_a_tcb_that_decides_is_shown(void **state) {
    (void)state;
    struct world w;
    prepare(&w);
    expect(&w, run(&w), "");
    assert_string_equal(w.verdict.tcbs.minimum, "bootloader 4, TEE 0, SNP 24, microcode 219");
    assert_null(w.verdict.tcbs.compared);
    lower_launch(&w);
    expect(&w, run(&w), "SNP-TCB-FLOOR");
    assert_string_equal(w.verdict.tcbs.compared, "LAUNCH_TCB");
    assert_string_equal(w.verdict.tcbs.minimum, "bootloader 4, TEE 0, SNP 24, microcode 219");
}

/* Sets beside one another. */
struct sets {
    struct world w;
    struct snp_reference all[3];
};

static void prepare_sets(struct sets *s) {
    prepare(&s->w);
    for (size_t i = 0; i < 3; i++) {
        s->all[i] = s->w.set;
    }
    s->w.options.references = s->all;
    s->w.options.reference_count = 3;
}

static void test_any_set_is_enough(void **state) {
    (void)state;
    for (int good = 0; good < 3; good++) {
        struct sets s;
        prepare_sets(&s);
        for (int i = 0; i < 3; i++) {
            s.all[i].measurement[0] = i == good ? 0x4d : 0;
        }
        expect(&s.w, run(&s.w), "");
        assert_int_equal(s.w.verdict.reference, good);
    }
}

static void test_the_nearest_set_explains(void **state) {
    (void)state;
    struct sets s;
    prepare_sets(&s);
    s.all[0].product = SNP_GENOA; /* one failure, but another product */
    s.all[1].measurement[0] = 0;  /* three failures */
    s.all[1].vmpl = 1;
    s.all[1].policy_required = SNP_POLICY_RAPL_DIS;
    s.all[2].vmpl = 3; /* two */
    s.all[2].minimum_firmware.major = 2;
    s.w.report.committed_firmware.major = 2;
    expect(&s.w, run(&s.w), "SNP-VMPL");
    const struct verdict *v = &s.w.verdict;
    assert_int_equal(v->reference, 2);
    assert_string_equal(v->expected, "3");
    assert_non_null(strstr(v->remedy, "(nearest of 3 sets: ReferenceValues.snp[2], measurement "
                                      "4d4d4d4d4d4d...)"));
    assert_int_equal(count_checks(v, NULL, false), 2); /* all findings of it, of no other */
    assert_int_equal(count_checks(v, "vmpl", false), 1);
    assert_int_equal(count_checks(v, "current-firmware-floor", false), 1);
    assert_int_equal(count_checks(v, "measurement", true), 1);
    s.all[0].product = SNP_MILAN;
    s.all[0].measurement[0] = 0;
    expect(&s.w, run(&s.w), "SNP-MEASUREMENT");
    assert_int_equal(s.w.verdict.reference, 0);
}

/* A floor that all four TCBs miss is one finding, and the set of the same image explains it better
 * than one of another image, wherever they stand. */
static void test_old_firmware_is_not_another_image(void **state) {
    (void)state;
    for (int same = 0; same < 3; same++) {
        struct sets s;
        prepare_sets(&s);
        for (int i = 0; i < 3; i++) {
            s.all[i].measurement[0] = i == same ? 0x4d : 0;
        }
        s.all[same].minimum_tcb.snp = UINT8_MAX;
        expect(&s.w, run(&s.w), "SNP-TCB-FLOOR");
        assert_int_equal(s.w.verdict.reference, same);
    }
}

/* The same number of findings: the first stays. */
static void test_equally_near_sets(void **state) {
    (void)state;
    struct sets s;
    prepare_sets(&s);
    s.all[0].vmpl = s.all[1].vmpl = s.all[2].vmpl = 1;
    expect(&s.w, run(&s.w), "SNP-VMPL");
    assert_int_equal(s.w.verdict.reference, 0);
}

static void test_a_missing_list_counts_less_than_a_false_field(void **state) {
    (void)state;
    struct sets s;
    prepare_sets(&s);
    s.all[0].vmpl = 1;
    s.all[1].crl = CRL_REQUIRE;
    s.all[2].crl = CRL_REQUIRE;
    s.all[2].vmpl = 2;
    struct result r = run(&s.w);
    expect(&s.w, r, "SNP-CRL-MISSING");
    assert_int_equal(r.code, ERR_UNVERIFIABLE);
    assert_int_equal(s.w.verdict.reference, 1);
    assert_string_equal(s.w.verdict.revocation, "require: no list");
    s.all[1].vmpl = 3; /* false beside lacking: the false finding decides */
    s.all[0].vmpl = 3;
    s.all[0].crl = CRL_REQUIRE;
    r = run(&s.w);
    expect(&s.w, r, "SNP-VMPL");
    assert_int_equal(r.code, ERR_DENIED);
    assert_int_equal(count_checks(&s.w.verdict, "revocation", false), 1);
    s.all[2] = s.w.set; /* one that needs no list */
    expect(&s.w, run(&s.w), "");
    assert_int_equal(s.w.verdict.reference, 2);
    assert_string_equal(s.w.verdict.revocation, "off: no list");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_check_alone),
        cmocka_unit_test(test_each_check_before_the_certificate),
        cmocka_unit_test(test_unknown_product_before_the_certificate),
        cmocka_unit_test(test_report_and_host_data),
        cmocka_unit_test(test_the_hosts_own_report_is_denied),
        cmocka_unit_test(test_without_sets),
        cmocka_unit_test(test_lists_without_sets),
        cmocka_unit_test(test_lists_without_number_or_date),
        cmocka_unit_test(test_a_turin_chip_by_its_certificate),
        cmocka_unit_test(test_old_versions_are_told_of_mitigations),
        cmocka_unit_test(test_a_tcb_that_decides_is_shown),
        cmocka_unit_test(test_any_set_is_enough),
        cmocka_unit_test(test_the_nearest_set_explains),
        cmocka_unit_test(test_old_firmware_is_not_another_image),
        cmocka_unit_test(test_equally_near_sets),
        cmocka_unit_test(test_a_missing_list_counts_less_than_a_false_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
