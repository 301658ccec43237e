/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes: a manifest or an error; a manifest that parses has what its users count on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct manifest m = {0};
    struct err err;
    if (!is_ok(manifest_parse(span_of(data, size), &m, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    CHECK(m.policy_count > 0 && m.reference_count > 0);
    for (size_t i = 0; i < m.policy_count; i++) {
        CHECK(manifest_find_policy(&m, m.policies[i].hash) == &m.policies[i]);
    }
    uint8_t hash[32];
    manifest_policies_hash(&m, hash);
    manifest_deinit(&m);
    return 0;
}
