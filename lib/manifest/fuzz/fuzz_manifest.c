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
    for (size_t i = 0; i < m.reference_count; i++) {
        const struct snp_reference *set = &m.references[i];
        CHECK((set->platform_required & set->platform_forbidden) == 0);
        CHECK(set->vmpl <= 3 && (set->chip_id_count == 0 || set->csp_id_count == 0));
        CHECK((set->crl == CRL_GRACE) == (set->crl_grace_hours > 0));
        for (size_t k = 0; k < set->csp_id_count; k++) {
            CHECK(set->csp_ids[k] != NULL);
        }
    }
    uint8_t hash[32];
    manifest_policies_hash(&m, hash);
    manifest_deinit(&m);
    return 0;
}
