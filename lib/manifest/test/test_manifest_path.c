/* Each refusal of a manifest names its whole JSON path. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/limits.h"
#include "lib/manifest/manifest.h"

#define H16 "1111111111111111"
#define H64 H16 H16 H16 H16
#define COORDINATOR "\"" H64 "\":{\"Role\":\"coordinator\"}"
#define TCB(snp)                                                                                   \
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":" snp                 \
    ",\"MicrocodeVersion\":219}"
#define SET(tcb, more)                                                                             \
    "{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" H64 H16 H16 "\"," tcb                   \
    ",\"GuestPolicy\":{}" more "}"
#define MANIFEST(policies, references, more)                                                       \
    "{\"Policies\":{" policies "},\"ReferenceValues\":{" references "}" more "}"
#define GOOD_SETS "\"snp\":[" SET(TCB("24"), "") "]"
#define SETS(list) MANIFEST(COORDINATOR, "\"snp\":[" list "]", "")
#define POLICY(entry)                                                                              \
    MANIFEST(COORDINATOR ",\"2" H16 H16 H16 "111111111111111\":" entry, GOOD_SETS, "")
#define ENTRY "Policies.2" H16 H16 H16 "111111111111111"
#define MORE(text) MANIFEST(COORDINATOR, GOOD_SETS, "," text)

static const struct {
    const char *json;
    const char *problem; /* the whole text of the error */
} rows[] = {
    {SETS(SET(TCB("null"), "")), "ReferenceValues.snp[0].MinimumTCB.SNPVersion: must not be empty"},
    {SETS(SET(TCB("24"), "") "," SET(TCB("300"), "")),
     "ReferenceValues.snp[1].MinimumTCB.SNPVersion: must be an integer from 0 to 255"},
    {SETS(SET("\"MinimumTCB\":7", "")), "ReferenceValues.snp[0].MinimumTCB: must be an object"},
    {SETS(SET("\"minimumTCB\":{}", "")),
     "ReferenceValues.snp[0].minimumTCB: unknown field; did you mean \"MinimumTCB\"?; "
     "ReferenceValues.snp[0].MinimumTCB: must not be empty"},
    {SETS("null"), "ReferenceValues.snp[0]: must be an object"},
    {SETS(SET(TCB("24"), ",\"GuestSVN\":1")), "ReferenceValues.snp[0].GuestSVN: unknown field"},
    {SETS(SET(TCB("24"), ",\"Platform\":7")), "ReferenceValues.snp[0].Platform: must be a string"},
    {SETS(SET(TCB("24"), ",\"AllowedChipIDs\":[\"" H64 H64 "\",7]")),
     "ReferenceValues.snp[0].AllowedChipIDs[1]: must be a string"},
    {SETS(SET(TCB("24"), ",\"SimulatedRoots\":{}")),
     "ReferenceValues.snp[0].SimulatedRoots: must be a list"},
    {MANIFEST(COORDINATOR, GOOD_SETS ",\"sev\":[]", ""), "ReferenceValues.sev: unknown field"},
    {MANIFEST(COORDINATOR, GOOD_SETS ",\"tdx\":[{}]", ""),
     "ReferenceValues.tdx: TDX is not supported by this version; remove it"},
    {"{\"Policies\":{" COORDINATOR "},\"ReferenceValues\":[]}",
     "ReferenceValues: must be an object"},
    {POLICY("[]"), ENTRY ": must be an object"},
    {POLICY("{\"sans\":[]}"), ENTRY ".sans: unknown field; did you mean \"SANs\"?"},
    {POLICY("{\"SANs\":[\"a\",\"a b\"]}"),
     ENTRY ".SANs[1]: neither a DNS name, an IP address, a URI nor \"*\""},
    {POLICY("{\"SANs\":[\"a\",[]]}"), ENTRY ".SANs[1]: must be a string"},
    {POLICY("{\"WorkloadSecretID\":7}"), ENTRY ".WorkloadSecretID: must be a string"},
    {POLICY("{\"Role\":true}"), ENTRY ".Role: must be a string"},
    {POLICY("{\"Role\":\"Coordinator\"}"), ENTRY ".Role: must be \"coordinator\" or absent"},
    {MORE("\"WorkloadOwnerKeyDigests\":[7]"), "WorkloadOwnerKeyDigests[0]: must be a string"},
    {MORE("\"WorkloadOwnerKeyDigests\":7"), "WorkloadOwnerKeyDigests: must be a list"},
    {MORE("\"SeedshareOwnerPubKeys\":{}"), "SeedshareOwnerPubKeys: must be a list"},
    {MORE("\"SeedshareOwnerPubKeys\":[7]"), "SeedshareOwnerPubKeys[0]: must be a string"},
    {MORE("\"SeedshareOwnerPubkeys\":[]"),
     "SeedshareOwnerPubkeys: unknown field; did you mean \"SeedshareOwnerPubKeys\"?"},
    {MORE("\"SeedShareOwnerThreshold\":[]"),
     "SeedShareOwnerThreshold: must be an integer from 0 to 16"},
    {MORE("\"AutoRecovery\":null"), "AutoRecovery: must be true or false"},
};

static void test_paths(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manifest m = {0};
        struct err err = {0};
        struct result r = manifest_parse(span_str(rows[i].json), &m, &err);
        if (r.code != ERR_MANIFEST || strcmp(err.text, rows[i].problem) != 0) {
            fail_msg("want: %s\ngot:  %s", rows[i].problem, err.text);
        }
    }
}

static void test_lengths(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf json = {0};
    struct manifest m = {0};
    struct err err = {0};
    buf_append_str(&json, "{\"Policies\":{" COORDINATOR "},\"ReferenceValues\":{" GOOD_SETS
                          "},\"Policy\":\"");
    for (size_t i = 0; i < 600; i++) {
        buf_append_str(&json, "x");
    }
    buf_append_str(&json, "\"}");
    assert_int_equal(manifest_parse(buf_span(&json), &m, &err).code, ERR_MANIFEST);
    assert_string_equal(err.text, "Policy: unknown field");
    buf_clear(&json);
    buf_append_str(&json, "{\"Policies\":{\"" H64 "\":{\"Role\":\"coordinator\",\"SANs\":[\"a\"");
    for (size_t i = 0; i < LIMIT_SANS; i++) {
        buf_append_str(&json, ",\"a\"");
    }
    buf_append_str(&json, "]}},\"ReferenceValues\":{" GOOD_SETS "}}");
    assert_int_equal(manifest_parse(buf_span(&json), &m, &err).code, ERR_MANIFEST);
    assert_string_equal(err.text, "Policies." H64 ".SANs: 65 items, limit 64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
