/* What differs between manifests, line by line. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/manifest/manifest_diff.h"

#define H16(c) c c c c c c c c c c c c c c c c
#define H64(c) H16(c) H16(c) H16(c) H16(c)
#define SHORT(c) H16(c) "..."
#define M96 H64("1") H16("1") H16("1")
#define N96 H64("2") H16("2") H16("2")
#define COORDINATOR "\"" H64("c") "\":{\"Role\":\"coordinator\",\"SANs\":[\"coordinator\"]}"
#define WEB(hash, sans)                                                                            \
    "\"" hash "\":{\"SANs\":[" sans "],\"WorkloadSecretID\":\"d/Deployment/web\"}"
#define TCB                                                                                        \
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"                  \
    "\"MicrocodeVersion\":219}"
#define SET(measurement, more)                                                                     \
    "{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" measurement "\"," TCB                   \
    ",\"GuestPolicy\":{\"SMT\":true}" more "}"
#define MANIFEST(policies, sets, more)                                                             \
    "{\"Policies\":{" policies "},\"ReferenceValues\":{\"snp\":[" sets "]}" more "}"
#define OWNERS(list) ",\"WorkloadOwnerKeyDigests\":[" list "]"

static const char base[] = MANIFEST(COORDINATOR "," WEB(H64("a"), "\"web\",\"*\""), SET(M96, ""),
                                    OWNERS("\"" H64("e") "\""));

static void fill(const char *a, const char *b, struct manifest_change_list *list) {
    struct err err = {0};
    if (!is_ok(manifest_diff(span_str(a), span_str(b), list, &err))) {
        fail_msg("%s", err.text);
    }
}

/* The lines of the difference, joined by line feeds. */
static void expect(const char *a, const char *b, const char *want) {
    struct manifest_change_list list = {0};
    AUTO(buf_deinit)
    struct buf all = {0};
    fill(a, b, &list);
    for (size_t i = 0; i < list.count; i++) {
        buf_appendf(&all, "%s\n", list.items[i].text);
    }
    if (strcmp(buf_cstr(&all), want) != 0) {
        fail_msg("want:\n%sgot:\n%s", want, buf_cstr(&all));
    }
    manifest_change_list_deinit(&list);
}

#define WITH_WEB(entry) MANIFEST(COORDINATOR "," entry, SET(M96, ""), OWNERS("\"" H64("e") "\""))
#define WITH_SETS(sets)                                                                            \
    MANIFEST(COORDINATOR "," WEB(H64("a"), "\"web\",\"*\""), sets, OWNERS("\"" H64("e") "\""))
#define WITH_MORE(more) MANIFEST(COORDINATOR "," WEB(H64("a"), "\"web\",\"*\""), SET(M96, ""), more)

static void test_policies(void **state) {
    (void)state;
    expect(base, WITH_WEB(WEB(H64("b"), "\"web\",\"*\"")),
           "d/Deployment/web: policy " SHORT("a") " -> " SHORT("b") "\n");
    expect(base, WITH_WEB(WEB(H64("a"), "\"web\",\"shop.example\"")),
           "d/Deployment/web: +SAN shop.example\nd/Deployment/web: -SAN *\n");
    expect(base, WITH_WEB("\"" H64("a") "\":{\"SANs\":[\"web\",\"*\"],\"WorkloadSecretID\":\"x\"}"),
           "x: WorkloadSecretID d/Deployment/web -> x\n");
    expect(base, WITH_WEB("\"" H64("a") "\":{\"SANs\":[\"web\",\"*\"]}"),
           "web: WorkloadSecretID d/Deployment/web -> none\n");
    expect(base,
           WITH_WEB("\"" H64("a") "\":{\"SANs\":[\"web\",\"*\"],\"Role\":\"coordinator\","
                                  "\"WorkloadSecretID\":\"d/Deployment/web\"}"),
           "d/Deployment/web: Role workload -> coordinator\n");
}

static void test_policies_added_removed_and_paired_by_names(void **state) {
    (void)state;
    expect(base, WITH_WEB(WEB(H64("a"), "\"web\",\"*\"") ",\"" H64("d") "\":{\"SANs\":[\"*\"]}"),
           "+workload policy " SHORT("d") " (policy " SHORT("d") ")\n");
    expect(base, MANIFEST(COORDINATOR, SET(M96, ""), OWNERS("\"" H64("e") "\"")),
           "-workload d/Deployment/web (policy " SHORT("a") ")\n");
    expect(MANIFEST(COORDINATOR, SET(M96, ""), ""),
           MANIFEST("\"" H64("d") "\":{\"SANs\":[\"coordinator\"],\"Role\":\"coordinator\"}",
                    SET(M96, ""), ""),
           "coordinator: policy " SHORT("c") " -> " SHORT("d") "\n");
}

#define MILAN "reference values Milan " SHORT("1") ": "

static void test_reference_values(void **state) {
    (void)state;
    expect(base, WITH_SETS(SET(N96, "")),
           "reference values Milan " SHORT("2") ": TrustedMeasurement " SHORT("1") " -> " SHORT(
               "2") "\n");
    expect(base, WITH_SETS(SET(M96, "") "," SET(N96, "")),
           "+reference values Milan " SHORT("2") "\n");
    expect(WITH_SETS(SET(M96, "") "," SET(N96, "")), base,
           "-reference values Milan " SHORT("2") "\n");
    expect(base, WITH_SETS(SET(M96, ",\"VMPL\":2,\"CRL\":\"require\"")),
           MILAN "VMPL raised 0 -> 2\n" MILAN "CRL the default -> require\n");
    expect(WITH_SETS(SET(M96, ",\"VMPL\":2")), base, MILAN "VMPL lowered 2 -> 0\n");
    expect(base, WITH_SETS(SET(M96, ",\"PlatformInfo\":{\"SMTEnabled\":true}")),
           MILAN "PlatformInfo the default -> true\n" MILAN
                 "PlatformInfo.SMTEnabled the default -> true\n");
    expect(base, WITH_SETS(SET(M96, ",\"PermitProvisionalFirmware\":false")),
           MILAN "PermitProvisionalFirmware the default -> false\n");
    expect(base, WITH_SETS(SET(M96, ",\"TrustedIDKeyDigests\":[\"" N96 "\"]")),
           MILAN "+TrustedIDKeyDigests " SHORT("2") "\n");
}

static void test_keys(void **state) {
    (void)state;
    expect(base, WITH_MORE(OWNERS("\"" H64("f") "\"")),
           "+owner key " SHORT("f") "\n-owner key " SHORT("e") "\n");
    expect(base, WITH_MORE(OWNERS("\"" H64("e") "\"") ",\"AutoRecovery\":true"),
           "AutoRecovery false -> true\n");
}

static void test_what_is_no_difference(void **state) {
    (void)state;
    expect(base, base, "");
    expect(base, WITH_WEB(WEB(H64("a"), "\"*\",\"web\"")), "");
    expect(base,
           MANIFEST(WEB(H64("a"), "\"web\",\"*\"") " , " COORDINATOR, SET(M96, ""),
                    OWNERS("\"" H64("e") "\"")),
           "");
    expect(
        base,
        WITH_SETS(SET(
            M96,
            ",\"VMPL\":0,\"CRL\":\"off\",\"PlatformInfoRequired\":\"0x0\","
            "\"PermitProvisionalFirmware\":true,\"AllowedChipIDs\":[],\"AllowMaskedChips\":false")),
        "");
    expect(WITH_SETS(SET(M96, ",\"PlatformInfoRequired\":37")),
           WITH_SETS(SET(M96, ",\"PlatformInfoRequired\":\"0x25\"")), "");
    expect(WITH_SETS(SET(M96, "") "," SET(N96, "")), WITH_SETS(SET(N96, "") "," SET(M96, "")), "");
    expect(base, WITH_MORE(OWNERS("\"" H64("e") "\"") ",\"AutoRecovery\":false"), "");
}

static void test_values_and_paths(void **state) {
    (void)state;
    struct manifest_change_list list = {0};
    fill(base, WITH_SETS(SET(N96, "") "," SET(M96, ",\"VMPL\":1")), &list);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].path, "ReferenceValues.snp[1].VMPL");
    assert_null(list.items[0].before);
    assert_string_equal(list.items[0].after, "1");
    assert_string_equal(list.items[1].path, "ReferenceValues.snp[0]");
    manifest_change_list_deinit(&list);
}

static void test_a_bad_manifest_is_refused(void **state) {
    (void)state;
    struct manifest_change_list list = {0};
    struct err err;
    assert_int_equal(manifest_diff(span_str(base), span_str("{}"), &list, &err).code, ERR_MANIFEST);
    assert_int_equal(manifest_diff(span_str("null"), span_str(base), &list, &err).code,
                     ERR_MANIFEST);
    assert_int_equal(list.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_policies_added_removed_and_paired_by_names),
        cmocka_unit_test(test_reference_values),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_what_is_no_difference),
        cmocka_unit_test(test_values_and_paths),
        cmocka_unit_test(test_a_bad_manifest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
