/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/manifest.h"

#define H0 "0000000000000000000000000000000000000000000000000000000000000000"
#define H1 "1111111111111111111111111111111111111111111111111111111111111111"
#define H2 "2222222222222222222222222222222222222222222222222222222222222222"
#define HA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HB "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define M48 H1 "22222222222222222222222222222222"
#define N48 HA "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HALF1 "11111111111111111111111111111111"
#define HALF2 "22222222222222222222222222222222"
#define CHIP_TAIL H0 "000000000000000000000000000000000000000000000000"
#define ZERO48                                                                                     \
    "000000000000000000000000000000000000000000000000"                                             \
    "000000000000000000000000000000000000000000000000"

/* openssl genrsa | openssl rsa -RSAPublicKey_out -outform DER, 2048 and 1024 bits */
#define RSA_2048                                                                                   \
    "3082010a028201010096f90d09965e6e94667e482e25d8c2a5eba3543c4edc99"                             \
    "4655852d99b04dfaa426d0f8d5ca1846538ab9a9f9201ea09683a8c9aefbe55c"                             \
    "61fdea5291449308b382d7d612b801f9e288f772ea01890766401cee75b0d2f2"                             \
    "6bafcb22c0472a2b7bcb3af7f850fbccccd1d1ce6f8d6aa0a86640cec2603b2d"                             \
    "8bdfb2b3a12a0df05858316cf5f936d10bf8dbf0978e52498234dd51f6156d2b"                             \
    "87c64498c22819f9c1f351b32db220a8df4dd406c699d1c8d34f4adede347c7a"                             \
    "f39b84711ebfd944d178a303e8ed11c165a03793eb10b0e26b6562a3baebf4b1"                             \
    "96e84c91dcc98befe4470c417ed39fab2efa54e0ec51f76f5f6ec6e1d98895ac"                             \
    "100d22dc4fbed231dd0203010001"
#define RSA_1024                                                                                   \
    "308189028181009b3b40630af3068640032c71b8ace113bcadd7a835fb10416a"                             \
    "9977b7dcbd33fe1ee02e0ddb6dc873feb6ed50d569f81f4de8a1447a4719d5ce"                             \
    "67193a99ec541d50c46593f43714bd0c1455b8507c2106d2ac99245621088b35"                             \
    "2f58d809e566589cbf506085da540234c4257bd66524009697ead6981095c6fc"                             \
    "8957120ec63cbf0203010001"

#define COORDINATOR "\"" H1 "\":{\"Role\":\"coordinator\"}"
#define TCB                                                                                        \
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"                  \
    "\"MicrocodeVersion\":219}"
#define SNP_HEAD "\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" M48 "\","
#define SNP_BASE SNP_HEAD TCB ",\"GuestPolicy\":{\"SMT\":true}"
#define REFS "\"ReferenceValues\":{\"snp\":[{" SNP_BASE "}]}"
#define POLICIES "\"Policies\":{" COORDINATOR "}"
#define WITH_POLICIES(text) "{\"Policies\":{" text "}," REFS "}"
#define WITH_SNP(text) "{" POLICIES ",\"ReferenceValues\":{\"snp\":[{" text "}]}}"
#define WITH_MORE(text) "{" POLICIES "," REFS "," text "}"
#define WITH_GUEST(text) WITH_SNP(SNP_HEAD TCB ",\"GuestPolicy\":{" text "}")
#define WITH_SAN(text)                                                                             \
    WITH_POLICIES("\"" H1 "\":{\"Role\":\"coordinator\",\"SANs\":[\"" text "\"]}")

static struct result parse(const char *json, struct manifest *m, struct err *err) {
    return manifest_parse(span_str(json), m, err);
}

static void assert_refused(const char *json, const char *want) {
    struct manifest m = {0};
    struct err err;
    struct result r = parse(json, &m, &err);
    if (r.code != ERR_MANIFEST || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got %s '%s' for %.300s", want, err_name(r.code),
                 is_ok(r) ? "" : err.text, json);
    }
    assert_int_equal(m.policy_count, 0);
}

static void assert_accepted(const char *json) {
    struct manifest m = {0};
    struct err err;
    if (!is_ok(parse(json, &m, &err))) {
        fail_msg("%s for %.300s", err.text, json);
    }
    manifest_deinit(&m);
}

static const char full[] =
    "{\"Policies\":{\"" H2 "\":{\"SANs\":[\"web\",\"*\",\"10.0.0.1\",\"spiffe://example.org/web\"],"
    "\"WorkloadSecretID\":\"default/Deployment/web\"}," COORDINATOR "},"
    "\"ReferenceValues\":{\"snp\":[{" SNP_HEAD TCB
    ",\"GuestPolicy\":{\"ABIMinor\":31,\"ABIMajor\":1,"
    "\"SMT\":true,\"SingleSocket\":true,\"CXLAllowed\":false,\"CipherTextHidingDRAM\":true},"
    "\"AllowedChipIDs\":[\"" H1 H2 "\"],\"SimulatedRoots\":[\"" HA "\"],"
    "\"Platform\":\"Metal-QEMU-SNP\",\"CPUs\":1,\"PlatformInfo\":{\"SMTEnabled\":true},"
    "\"MinimumMitigationVector\":\"0xf\",\"TrustedIDKeyDigests\":[\"" M48 "\"],"
    "\"MinimumFirmware\":{\"Major\":1,\"Minor\":55,\"Build\":1},\"CRL\":\"grace:48\"}],\"tdx\":[]},"
    "\"WorkloadOwnerKeyDigests\":[\"" HB "\",\"" HA "\"],"
    "\"SeedshareOwnerPubKeys\":[\"" RSA_2048 "\"]}\n";

static void test_reads_policies_in_hash_order(void **state) {
    (void)state;
    struct manifest m = {0};
    assert_true(is_ok(parse(full, &m, NULL)));
    assert_int_equal(m.policy_count, 2);
    assert_int_equal(m.policies[0].hash[0], 0x11);
    assert_int_equal(m.policies[0].role, ROLE_COORDINATOR);
    assert_string_equal(m.policies[0].workload_secret_id, "");
    const struct policy_entry *web = &m.policies[1];
    assert_int_equal(web->role, ROLE_WORKLOAD);
    assert_int_equal(web->san_count, 4);
    assert_string_equal(web->sans[3], "spiffe://example.org/web");
    assert_string_equal(web->workload_secret_id, "default/Deployment/web");
    assert_ptr_equal(manifest_find_policy(&m, web->hash), web);
    uint8_t other[32] = {9};
    assert_null(manifest_find_policy(&m, other));
    manifest_deinit(&m);
}

static void test_reads_reference_values(void **state) {
    (void)state;
    struct manifest m = {0};
    assert_true(is_ok(parse(full, &m, NULL)));
    assert_int_equal(m.reference_count, 1);
    const struct snp_reference *ref = &m.references[0];
    assert_int_equal(ref->product, SNP_MILAN);
    assert_int_equal(ref->measurement[47], 0x22);
    assert_int_equal(ref->minimum_tcb.bootloader, 4);
    assert_int_equal(ref->minimum_tcb.tee, 0);
    assert_int_equal(ref->minimum_tcb.snp, 24);
    assert_int_equal(ref->minimum_tcb.microcode, 219);
    assert_int_equal(ref->policy_allowed, 1 << 16);
    assert_int_equal(ref->policy_required, 1 << 20 | 1 << 24);
    assert_int_equal(ref->policy_abi_major, 1);
    assert_int_equal(ref->policy_abi_minor, 31);
    assert_int_equal(ref->chip_id_count, 1);
    assert_int_equal(ref->chip_ids[0][63], 0x22);
    assert_int_equal(ref->simulated_root_count, 1);
    assert_int_equal(ref->simulated_roots[0][0], 0xaa);
    manifest_deinit(&m);
}

static void test_reads_owners_sorted_and_hashes_exact_bytes(void **state) {
    (void)state;
    struct manifest m = {0};
    assert_true(is_ok(parse(full, &m, NULL)));
    assert_int_equal(m.owner_count, 2);
    assert_int_equal(m.owner_digests[0][0], 0xaa);
    assert_true(manifest_has_owner(&m, m.owner_digests[1]));
    uint8_t unknown[32] = {1};
    assert_false(manifest_has_owner(&m, unknown));
    assert_int_equal(m.share_owner_count, 1);
    assert_int_equal(m.share_owners[0].size, strlen(RSA_2048) / 2);
    uint8_t hash[32];
    sha256(span_str(full), hash);
    assert_memory_equal(m.hash, hash, 32);
    manifest_deinit(&m);
}

/* python3: hashlib.sha256(bytes([0x11] * 32 + [0x22] * 32)).hexdigest() */
static void test_policies_hash_golden(void **state) {
    (void)state;
    struct manifest m = {0};
    assert_true(is_ok(parse(full, &m, NULL)));
    uint8_t hash[32];
    manifest_policies_hash(&m, hash);
    char hex[65];
    hex_encode(SPAN(hash), hex);
    assert_string_equal(hex, "5189c77d29fe5d546a045ec46986852785fea5c13ac7da9c115ff5fb6edf817c");
    manifest_deinit(&m);
}

static void test_refuses_what_is_not_an_object(void **state) {
    (void)state;
    assert_refused("", "empty");
    assert_refused("null", "JSON null");
    assert_refused("[]", "not a JSON object");
    assert_refused("7", "not a JSON object");
    assert_refused("{", "line 1");
    assert_refused("{} {}", "end of file expected");
    assert_refused("{\"Policies\":{},\"Policies\":{}}", "duplicate");
    assert_refused("{\"a\":\"\\u0000\"}", "line 1");
    assert_refused("\xff", "line 1");
    assert_refused("{}", "Policies: must not be empty; ReferenceValues: must not be empty");
}

static void test_refuses_before_parsing_what_is_too_large(void **state) {
    (void)state;
    size_t size = LIMIT_MANIFEST_SET + 1;
    char *text = calloc(1, size);
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, full, strlen(full));
    struct manifest m = {0};
    struct err err;
    assert_true(is_ok(manifest_parse(span_of(text, size - 1), &m, &err)));
    manifest_deinit(&m);
    assert_int_equal(manifest_parse(span_of(text, size), &m, &err).code, ERR_MANIFEST);
    assert_non_null(strstr(err.text, "limit 524288"));
    free(text);
}

static void test_refuses_bad_policies(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {WITH_POLICIES(""), "Policies: must be an object with at least one"},
        {WITH_POLICIES("\"" H1 "\":{}"), "Policies: no policy has the role"},
        {WITH_POLICIES("\"" H1 "\":null"), H1 ": must be an object"},
        {WITH_POLICIES("\"11\":{}," COORDINATOR), "Policies.11: must be 64 lower-case"},
        {WITH_POLICIES("\"" HA "\":{\"Role\":\"admin\"}," COORDINATOR), HA ".Role: must be"},
        {WITH_POLICIES("\"" HA "\":{\"Rolle\":\"\"}," COORDINATOR), HA ".Rolle: unknown field"},
        {WITH_POLICIES("\"" HA "\":{\"SANs\":[7]}," COORDINATOR), HA ".SANs[0]: must be a string"},
        {WITH_POLICIES("\"" HA "\":{\"SANs\":{}}," COORDINATOR), HA ".SANs: must be a list"},
        {WITH_POLICIES("\"" HA "\":{\"WorkloadSecretID\":\"a\\n\"}," COORDINATOR), "control"},
        {WITH_POLICIES("\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                       "\":{}," COORDINATOR),
         "must be 64 lower-case"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void test_san_forms(void **state) {
    (void)state;
    static const char *const good[] = {
        WITH_SAN("web"),     WITH_SAN("web.default.svc"),   WITH_SAN("*"),
        WITH_SAN("*.web.a"), WITH_SAN("10.0.0.1"),          WITH_SAN("fe80::1"),
        WITH_SAN("a-b.C9"),  WITH_SAN("spiffe://t.org/ns"), WITH_SAN("https://x.y/?q=%41"),
    };
    static const char *const bad[] = {
        WITH_SAN(""),      WITH_SAN("-a"),     WITH_SAN("a-"),   WITH_SAN("a..b"),
        WITH_SAN("a."),    WITH_SAN("a b"),    WITH_SAN("**"),   WITH_SAN("a.*"),
        WITH_SAN("1.2.3"), WITH_SAN("a_b"),    WITH_SAN("://x"), WITH_SAN("1x://y"),
        WITH_SAN("*."),    WITH_SAN("x:// y"), WITH_SAN("x://"), WITH_SAN("gr\xc3\xbc\xc3\x9f"),
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_accepted(good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(bad[i], ".SANs[0]: neither a DNS name");
    }
}

static void test_refuses_bad_reference_values(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{" POLICIES ",\"ReferenceValues\":{\"snp\":[]}}", "ReferenceValues: must hold at least"},
        {"{" POLICIES ",\"ReferenceValues\":{}}", "ReferenceValues: must hold at least"},
        {"{" POLICIES ",\"ReferenceValues\":{\"snp\":[{" SNP_BASE "}],\"tdx\":[{}]}}",
         "ReferenceValues.tdx: TDX is not supported"},
        {WITH_SNP("\"ProductName\":\"Rome\""), "snp[0].ProductName: must be"},
        {WITH_SNP(SNP_BASE ",\"AllowedChipIDs\":[\"ab\"]"), "AllowedChipIDs[0]: must be 128"},
        {WITH_SNP(SNP_BASE ",\"AllowedChipIDs\":[\"" H1 H2 "\",\"" H0 H0 "\"]"),
         "AllowedChipIDs[1]: is all zero"},
        {WITH_SNP(SNP_BASE ",\"SimulatedRoots\":[\"ab\"]"), "SimulatedRoots[0]: must be 64"},
        {WITH_SNP(SNP_BASE ",\"CPUs\":1.5"), "CPUs: must be a whole number"},
        {WITH_SNP("\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" ZERO48 "\"," TCB
                  ",\"GuestPolicy\":{}"),
         "TrustedMeasurement: is all zero"},
        {WITH_SNP(SNP_HEAD TCB), "snp[0].GuestPolicy: must not be empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

/* A manifest whose only set is good but for what `text` adds; the caller deinits. */
static struct manifest set_with(const char *product, const char *text) {
    char json[2048];
    struct manifest m = {0};
    struct err err;
    snprintf(json, sizeof json,
             "{" POLICIES ",\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"%s\","
             "\"TrustedMeasurement\":\"" M48 "\",\"MinimumTCB\":{\"BootloaderVersion\":4,"
             "\"TEEVersion\":0,\"SNPVersion\":24,\"MicrocodeVersion\":219%s},"
             "\"GuestPolicy\":{\"SMT\":true}%s}]}}",
             product, strcmp(product, "Turin") == 0 ? ",\"FMCVersion\":1" : "", text);
    if (!is_ok(parse(json, &m, &err))) {
        fail_msg("%s for %s", err.text, text);
    }
    return m;
}

static void test_defaults_of_a_set(void **state) {
    (void)state;
    struct manifest m = set_with("Milan", "");
    const struct snp_reference *ref = &m.references[0];
    assert_true(ref->platform_forbidden == ~SNP_PLATFORM_KNOWN && ref->platform_required == 0);
    assert_true(ref->minimum_mitigation == 0);
    assert_int_equal(ref->vmpl, 0);
    assert_int_equal(ref->minimum_guest_svn, 0);
    assert_false(ref->has_family_id || ref->has_image_id);
    assert_int_equal(ref->id_key_digest_count + ref->author_key_digest_count, 0);
    assert_int_equal(ref->csp_id_count + ref->chip_id_count, 0);
    assert_false(ref->committed_is_current || ref->masked_chip_allowed);
    assert_int_equal(ref->crl, CRL_OFF);
    manifest_deinit(&m);
}

static void test_platform_info(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t required;
        uint64_t forbidden;
    } rows[] = {
        {",\"PlatformInfo\":null", 0, ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{}", 0, 0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"SMTEnabled\":true}", 0, 0x82 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"TSMEEnabled\":true}", 0, 0x81 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"TIOEnabled\":true,\"SMTEnabled\":false}", 0,
         0x03 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"ECCEnabled\":true}", 0x04, 0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"RAPLDisabled\":true}", 0x08, 0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"CiphertextHidingDRAMEnabled\":true}", 0x10,
         0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"AliasCheckComplete\":true}", 0x20, 0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfo\":{\"IOMMUWriteSafe\":true,\"ECCEnabled\":false}", 0x40,
         0x83 | ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfoRequired\":36", 0x24, ~SNP_PLATFORM_KNOWN},
        {",\"PlatformInfoRequired\":\"0x200\"", 0x200, ~SNP_PLATFORM_KNOWN & ~UINT64_C(0x200)},
        {",\"PlatformInfoForbidden\":2", 0, 2},
        {",\"PlatformInfoForbidden\":\"0xFFFFFFFFFFFFFF02\"", 0, UINT64_C(0xFFFFFFFFFFFFFF02)},
        {",\"PlatformInfo\":{\"SMTEnabled\":true,\"AliasCheckComplete\":true},"
         "\"PlatformInfoRequired\":1,\"PlatformInfoForbidden\":8",
         0x21, 0x8A},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manifest m = set_with("Milan", rows[i].text);
        if (m.references[0].platform_required != rows[i].required ||
            m.references[0].platform_forbidden != rows[i].forbidden) {
            fail_msg("row %zu: %s", i, rows[i].text);
        }
        manifest_deinit(&m);
    }
}

static void test_numbers_and_identities_of_a_set(void **state) {
    (void)state;
    struct manifest m = set_with(
        "Milan", ",\"MinimumMitigationVector\":\"0xffffffffffffffff\",\"VMPL\":2,"
                 "\"MinimumGuestSVN\":4294967295,\"FamilyID\":\"" HALF1 "\",\"ImageID\":\"" HALF2
                 "\",\"TrustedIDKeyDigests\":[\"" M48 "\",\"" N48 "\"],"
                 "\"TrustedAuthorKeyDigests\":[\"" N48 "\"]");
    const struct snp_reference *ref = &m.references[0];
    assert_true(ref->minimum_mitigation == UINT64_MAX);
    assert_int_equal(ref->vmpl, 2);
    assert_true(ref->minimum_guest_svn == UINT32_MAX);
    assert_true(ref->has_family_id && ref->has_image_id);
    assert_int_equal(ref->family_id[15], 0x11);
    assert_int_equal(ref->image_id[15], 0x22);
    assert_int_equal(ref->id_key_digest_count, 2);
    assert_int_equal(ref->id_key_digests[1][47], 0xbb);
    assert_int_equal(ref->author_key_digest_count, 1);
    assert_int_equal(ref->author_key_digests[0][0], 0xaa);
    manifest_deinit(&m);
    m = set_with("Milan", ",\"MinimumMitigationVector\":15");
    assert_true(m.references[0].minimum_mitigation == 15);
    manifest_deinit(&m);
}

static void test_machine_of_a_set(void **state) {
    (void)state;
    struct manifest m = set_with(
        "Milan", ",\"MinimumFirmware\":{\"Major\":1,\"Minor\":55,\"Build\":22},"
                 "\"PermitProvisionalFirmware\":false,\"AllowMaskedChips\":true,"
                 "\"AllowedCSPIDs\":[\"CN=cc-us-east-2.amazonaws.com\",\"b\"],\"CRL\":\"require\"");
    const struct snp_reference *ref = &m.references[0];
    assert_int_equal(ref->minimum_firmware.major, 1);
    assert_int_equal(ref->minimum_firmware.minor, 55);
    assert_int_equal(ref->minimum_firmware.build, 22);
    assert_true(ref->committed_is_current && ref->masked_chip_allowed);
    assert_int_equal(ref->csp_id_count, 2);
    assert_string_equal(ref->csp_ids[0], "CN=cc-us-east-2.amazonaws.com");
    assert_int_equal(ref->crl, CRL_REQUIRE);
    manifest_deinit(&m);
    m = set_with("Turin", ",\"PermitProvisionalFirmware\":true,\"AllowMaskedChips\":false,"
                          "\"AllowedCSPIDs\":[],\"AllowedChipIDs\":[\"1111111111111111" CHIP_TAIL
                          "\"],\"CRL\":\"grace:8760\"");
    ref = &m.references[0];
    assert_false(ref->committed_is_current || ref->masked_chip_allowed);
    assert_int_equal(ref->csp_id_count, 0);
    assert_int_equal(ref->chip_id_count, 1);
    assert_int_equal(ref->crl, CRL_GRACE);
    assert_int_equal(ref->crl_grace_hours, 8760);
    manifest_deinit(&m);
    m = set_with("Genoa", ",\"CRL\":\"off\"");
    assert_int_equal(m.references[0].crl, CRL_OFF);
    manifest_deinit(&m);
}

#define WITH_SET(text) WITH_SNP(SNP_BASE "," text)

static void test_refuses_bad_platform_info(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {WITH_SET("\"PlatformInfo\":7"), "snp[0].PlatformInfo: must be an object"},
        {WITH_SET("\"PlatformInfo\":{\"SMT\":true}"), "PlatformInfo.SMT: unknown field"},
        {WITH_SET("\"PlatformInfo\":{\"SMTEnabled\":1}"), "SMTEnabled: must be true or false"},
        {WITH_SET("\"PlatformInfo\":{\"TSMEEnabled\":\"\"}"), "TSMEEnabled: must be true or"},
        {WITH_SET("\"PlatformInfo\":{\"TIOEnabled\":null}"), "TIOEnabled: must be true or false"},
        {WITH_SET("\"PlatformInfo\":{\"ECCEnabled\":0}"), "ECCEnabled: must be true or false"},
        {WITH_SET("\"PlatformInfo\":{\"RAPLDisabled\":0}"), "RAPLDisabled: must be true or false"},
        {WITH_SET("\"PlatformInfo\":{\"CiphertextHidingDRAMEnabled\":0}"), "DRAMEnabled: must be"},
        {WITH_SET("\"PlatformInfo\":{\"AliasCheckComplete\":0}"), "AliasCheckComplete: must be"},
        {WITH_SET("\"PlatformInfo\":{\"IOMMUWriteSafe\":0}"), "IOMMUWriteSafe: must be true or"},
        {WITH_SET("\"PlatformInfoRequired\":-1"), "PlatformInfoRequired: must be a whole number"},
        {WITH_SET("\"PlatformInfoRequired\":\"24\""), "PlatformInfoRequired: must be a whole"},
        {WITH_SET("\"PlatformInfoForbidden\":\"0x\""), "PlatformInfoForbidden: must be a whole"},
        {WITH_SET("\"PlatformInfoForbidden\":\"0x10000000000000000\""), "at most 64 bits"},
        {WITH_SET("\"PlatformInfoForbidden\":\"0x1g\""), "PlatformInfoForbidden: must be a whole"},
        {WITH_SET("\"PlatformInfoRequired\":6,\"PlatformInfoForbidden\":12"),
         "PlatformInfoForbidden: bits 0x4 stand in PlatformInfoRequired, too"},
        {WITH_SET("\"PlatformInfo\":{\"ECCEnabled\":true,\"SMTEnabled\":true},"
                  "\"PlatformInfoForbidden\":5"),
         "PlatformInfoForbidden: bits 0x5 are true in PlatformInfo"},
        {WITH_SET("\"PlatformInfo\":{\"TSMEEnabled\":false},\"PlatformInfoRequired\":2"),
         "PlatformInfoRequired: bits 0x2 are false in PlatformInfo"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void test_refuses_bad_guest_identities(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {WITH_SET("\"MinimumMitigationVector\":1.5"), "MinimumMitigationVector: must be a whole"},
        {WITH_SET("\"MinimumMitigationVector\":null"), "MinimumMitigationVector: must be a whole"},
        {WITH_SET("\"MinimumMitigationVector\":18446744073709551615"), "too big integer"},
        {WITH_SET("\"VMPL\":4"), "VMPL: must be an integer from 0 to 3"},
        {WITH_SET("\"VMPL\":-1"), "VMPL: must be an integer from 0 to 3"},
        {WITH_SET("\"VMPL\":null"), "VMPL: must not be empty"},
        {WITH_SET("\"MinimumGuestSVN\":4294967296"), "MinimumGuestSVN: must be an integer from 0"},
        {WITH_SET("\"MinimumGuestSVN\":\"1\""), "MinimumGuestSVN: must be an integer from 0"},
        {WITH_SET("\"MinimumGuestSVN\":1"), "MinimumGuestSVN: comes from an ID block"},
        {WITH_SET("\"FamilyID\":\"11\""), "FamilyID: must be 32 lower-case"},
        {WITH_SET("\"FamilyID\":7"), "FamilyID: must be a string"},
        {WITH_SET("\"FamilyID\":\"" HALF1 "\""), "FamilyID: comes from an ID block"},
        {WITH_SET("\"ImageID\":\"" HALF1 "1\""), "ImageID: must be 32 lower-case"},
        {WITH_SET("\"ImageID\":\"" HALF1 "\""), "ImageID: comes from an ID block"},
        {WITH_SET("\"TrustedIDKeyDigests\":[\"" H1 "\"]"), "IDKeyDigests[0]: must be 96 lower"},
        {WITH_SET("\"TrustedIDKeyDigests\":[\"" M48 "\",\"" ZERO48 "\"]"),
         "TrustedIDKeyDigests[1]: is all zero"},
        {WITH_SET("\"TrustedIDKeyDigests\":\"" M48 "\""), "TrustedIDKeyDigests: must be a list"},
        {WITH_SET("\"TrustedAuthorKeyDigests\":[7]"), "AuthorKeyDigests[0]: must be a string"},
        {WITH_SET("\"TrustedIDKeyDigests\":[\"" M48 "\"],\"TrustedAuthorKeyDigests\":[\"" ZERO48
                  "\"]"),
         "TrustedAuthorKeyDigests[0]: is all zero"},
        {WITH_SET("\"TrustedAuthorKeyDigests\":[\"" M48 "\"]"),
         "TrustedAuthorKeyDigests: comes from an ID block, so it needs TrustedIDKeyDigests"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void test_refuses_bad_machines(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {WITH_SET("\"MinimumFirmware\":\"1.55.22\""), "MinimumFirmware: must be an object"},
        {WITH_SET("\"MinimumFirmware\":{\"Major\":1,\"Minor\":55}"), "Firmware.Build: must not be"},
        {WITH_SET("\"MinimumFirmware\":{\"Major\":1,\"Minor\":256,\"Build\":1}"),
         "MinimumFirmware.Minor: must be an integer from 0 to 255"},
        {WITH_SET("\"MinimumFirmware\":{\"Major\":-1,\"Minor\":2,\"Build\":1}"), "Major: must be"},
        {WITH_SET("\"PermitProvisionalFirmware\":0"), "PermitProvisionalFirmware: must be true or"},
        {WITH_SET("\"AllowMaskedChips\":\"no\""), "AllowMaskedChips: must be true or false"},
        {WITH_SET("\"AllowedCSPIDs\":[\"\"]"), "AllowedCSPIDs[0]: must be 1 to 127 printable"},
        {WITH_SET("\"AllowedCSPIDs\":[\"a\\tb\"]"), "AllowedCSPIDs[0]: must be 1 to 127 printable"},
        {WITH_SET("\"AllowedCSPIDs\":[\"" H1 H1 "\"]"), "AllowedCSPIDs[0]: must be 1 to 127"},
        {WITH_SET("\"AllowedCSPIDs\":[\"a\",7]"), "AllowedCSPIDs[1]: must be a string"},
        {WITH_SET("\"AllowedCSPIDs\":\"a\""), "AllowedCSPIDs: must be a list"},
        {WITH_SET("\"AllowedChipIDs\":[\"" H1 H2 "\"],\"AllowedCSPIDs\":[\"a\"]"),
         "AllowedCSPIDs: a VLEK names no chip"},
        {WITH_SET("\"CRL\":true"), "CRL: must be a string"},
        {WITH_SET("\"CRL\":\"required\""), "CRL: must be \"off\", \"require\" or \"grace:<hours>"},
        {WITH_SET("\"CRL\":\"\""), "CRL: must be \"off\""},
        {WITH_SET("\"CRL\":\"grace:0\""), "CRL: must be \"off\""},
        {WITH_SET("\"CRL\":\"grace:8761\""), "1 to 8760 hours"},
        {WITH_SET("\"CRL\":\"grace:048\""), "CRL: must be \"off\""},
        {WITH_SET("\"CRL\":\"grace:-1\""), "CRL: must be \"off\""},
        {WITH_SET("\"CRL\":\"grace:4h\""), "CRL: must be \"off\""},
        {WITH_SET("\"CRL\":\"grace:99999\""), "CRL: must be \"off\""},
        {WITH_SNP("\"ProductName\":\"Turin\",\"AllowedChipIDs\":[\"" H1 H2 "\"]"),
         "AllowedChipIDs[0]: on product Turin only the first 16 digits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

/* One line about each problem, not only the first. */
static void test_every_problem_of_a_set_is_named(void **state) {
    (void)state;
    static const char json[] = WITH_SET("\"VMPL\":9,\"CRL\":\"x\",\"MinimumGuestSVN\":1");
    assert_refused(json, "snp[0].VMPL: ");
    assert_refused(json, "snp[0].CRL: ");
    assert_refused(json, "snp[0].MinimumGuestSVN: comes from");
}

static void test_refuses_bad_tcb(void **state) {
    (void)state;
#define WITH_TCB(product, text)                                                                    \
    WITH_SNP("\"ProductName\":\"" product "\",\"TrustedMeasurement\":\"" M48                       \
             "\",\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0," text                   \
             "\"MicrocodeVersion\":219},\"GuestPolicy\":{}")
    assert_refused(WITH_TCB("Milan", "\"SNPVersion\":null,"), "SNPVersion: must not be empty");
    assert_refused(WITH_TCB("Milan", ""), "MinimumTCB.SNPVersion: must not be empty");
    assert_refused(WITH_TCB("Milan", "\"SNPVersion\":256,"), "SNPVersion: must be an integer");
    assert_refused(WITH_TCB("Milan", "\"SNPVersion\":-1,"), "SNPVersion: must be an integer");
    assert_refused(WITH_TCB("Milan", "\"SNPVersion\":1.0,"), "SNPVersion: must be an integer");
    assert_refused(WITH_TCB("Milan", "\"SNPVersion\":1,\"FMCVersion\":1,"), "FMCVersion: exists");
    assert_refused(WITH_TCB("Turin", "\"SNPVersion\":1,"), "FMCVersion: must not be empty");
    assert_accepted(WITH_TCB("Turin", "\"SNPVersion\":1,\"FMCVersion\":1,"));
    assert_accepted(WITH_TCB("Genoa", "\"SNPVersion\":255,"));
}

static void test_guest_policy_bits(void **state) {
    (void)state;
    assert_refused(WITH_GUEST("\"Debug\":true"), "GuestPolicy.Debug: must be false");
    assert_refused(WITH_GUEST("\"MigrateMA\":true"), "GuestPolicy.MigrateMA: must be false");
    assert_refused(WITH_GUEST("\"SMT\":1"), "GuestPolicy.SMT: must be true or false");
    assert_refused(WITH_GUEST("\"ABIMinor\":300"), "GuestPolicy.ABIMinor: must be an integer");
    assert_accepted(WITH_GUEST("\"Debug\":false"));
    struct manifest m = {0};
    assert_true(is_ok(parse(WITH_GUEST("\"CXLAllowed\":true,\"MemAES256XTS\":true,"
                                       "\"RAPLDis\":true,\"PageSwapDisable\":true"),
                            &m, NULL)));
    assert_int_equal(m.references[0].policy_allowed, 1 << 21);
    assert_int_equal(m.references[0].policy_required, 1 << 22 | 1 << 23 | 1 << 25);
    manifest_deinit(&m);
}

static void test_owner_keys(void **state) {
    (void)state;
#define DIGESTS(text) WITH_MORE("\"WorkloadOwnerKeyDigests\":" text)
#define SHARES(text) WITH_MORE("\"SeedshareOwnerPubKeys\":" text)
    assert_accepted(DIGESTS("null"));
    assert_accepted(DIGESTS("[]"));
    assert_accepted(SHARES("[]"));
    assert_accepted(SHARES("[\"" RSA_2048 "\"]"));
    assert_refused(DIGESTS("[\"" HA "\",\"" HB "\",\"" HA "\"]"), "names one key twice");
    assert_refused(DIGESTS("[\"aa\"]"), "WorkloadOwnerKeyDigests[0]: must be 64");
    assert_refused(DIGESTS("\"" HA "\""), "WorkloadOwnerKeyDigests: must be a list");
    assert_refused(SHARES("[\"" RSA_1024 "\"]"), "of 2048 to 8192 bits");
    assert_refused(SHARES("[\"" RSA_2048 "00\"]"), "SeedshareOwnerPubKeys[0]: not a PKCS#1");
    assert_refused(SHARES("[\"" RSA_2048 "\",\"" RSA_2048 "\"]"), "PubKeys[1]: stands here twice");
    assert_refused(SHARES("[\"\"]"), "PKCS#1");
    assert_refused(WITH_MORE("\"Extra\":1"), "Extra: unknown field");
}

#define THRESHOLD(keys, text) SHARES("[" keys "],\"SeedShareOwnerThreshold\":" text)

static void assert_threshold(const char *json, size_t threshold) {
    struct manifest m = {0};
    struct err err;
    if (!is_ok(parse(json, &m, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(m.share_threshold, threshold);
    manifest_deinit(&m);
}

static void test_share_threshold(void **state) {
    (void)state;
    assert_threshold(SHARES("[]"), 0);
    assert_threshold(SHARES("[\"" RSA_2048 "\"]"), 1);
    assert_threshold(THRESHOLD("\"" RSA_2048 "\"", "1"), 1);
    assert_refused(THRESHOLD("\"" RSA_2048 "\"", "0"), "SeedShareOwnerThreshold: must be from 1");
    assert_refused(THRESHOLD("\"" RSA_2048 "\"", "2"), "PubKeys, which is 1");
    assert_refused(THRESHOLD("\"" RSA_2048 "\"", "17"), "SeedShareOwnerThreshold: must be an int");
    assert_refused(THRESHOLD("\"" RSA_2048 "\"", "\"1\""), "must be an integer");
    assert_refused(THRESHOLD("", "1"), "PubKeys, which is 0");
    assert_refused(WITH_MORE("\"SeedShareOwnerThreshold\":1"), "PubKeys, which is 0");
}

static void test_auto_recovery(void **state) {
    (void)state;
    struct manifest m = {0};
    assert_true(is_ok(parse(WITH_MORE("\"AutoRecovery\":true"), &m, NULL)));
    assert_true(m.auto_recovery);
    manifest_deinit(&m);
    assert_true(is_ok(parse(WITH_MORE("\"AutoRecovery\":false"), &m, NULL)));
    assert_false(m.auto_recovery);
    manifest_deinit(&m);
    assert_refused(WITH_MORE("\"AutoRecovery\":1"), "AutoRecovery: must be true or false");
}

static void test_too_many_share_owners(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf list = {0};
    AUTO(buf_deinit)
    struct buf json = {0};
    for (size_t i = 0; i <= LIMIT_SHARE_OWNERS; i++) {
        buf_appendf(&list, "%s\"" RSA_2048 "\"", i > 0 ? "," : "");
    }
    buf_appendf(&json, SHARES("[%s]"), buf_cstr(&list));
    assert_refused(buf_cstr(&json), "SeedshareOwnerPubKeys: 17 items, limit 16");
}

static void test_every_prefix_is_refused(void **state) {
    (void)state;
    for (size_t size = 0; size < strlen(full) - 1; size++) {
        struct manifest m = {0};
        struct err err;
        assert_int_equal(manifest_parse(span_of(full, size), &m, &err).code, ERR_MANIFEST);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_policies_in_hash_order),
        cmocka_unit_test(test_reads_reference_values),
        cmocka_unit_test(test_reads_owners_sorted_and_hashes_exact_bytes),
        cmocka_unit_test(test_policies_hash_golden),
        cmocka_unit_test(test_refuses_what_is_not_an_object),
        cmocka_unit_test(test_refuses_before_parsing_what_is_too_large),
        cmocka_unit_test(test_refuses_bad_policies),
        cmocka_unit_test(test_san_forms),
        cmocka_unit_test(test_refuses_bad_reference_values),
        cmocka_unit_test(test_defaults_of_a_set),
        cmocka_unit_test(test_platform_info),
        cmocka_unit_test(test_numbers_and_identities_of_a_set),
        cmocka_unit_test(test_machine_of_a_set),
        cmocka_unit_test(test_refuses_bad_platform_info),
        cmocka_unit_test(test_refuses_bad_guest_identities),
        cmocka_unit_test(test_refuses_bad_machines),
        cmocka_unit_test(test_every_problem_of_a_set_is_named),
        cmocka_unit_test(test_refuses_bad_tcb),
        cmocka_unit_test(test_guest_policy_bits),
        cmocka_unit_test(test_owner_keys),
        cmocka_unit_test(test_share_threshold),
        cmocka_unit_test(test_auto_recovery),
        cmocka_unit_test(test_too_many_share_owners),
        cmocka_unit_test(test_every_prefix_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
