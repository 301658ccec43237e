/* Any bytes as a file of requests: a list of checked cases, or an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *cases = NULL;
    struct err err = {0};
    if (!is_ok(policy_cases_read("fuzz", span_of(data, size), &cases, &err))) {
        CHECK(cases == NULL && err.text[0] != '\0');
        return 0;
    }
    CHECK(json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        CHECK(json_is_string(json_object_get(c, "kind")));
        CHECK(json_is_object(json_object_get(c, "request")));
    }
    json_decref(cases);
    return 0;
}
