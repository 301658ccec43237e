/* Fuzz: any bytes as an HCL blob. What parses lies inside the input.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_hcl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct span part, const uint8_t *data, size_t size) {
    CHECK(part.data >= data && part.data + part.size <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snp_hcl hcl = {0};
    if (is_ok(snp_hcl_parse(span_of(data, size), &hcl, NULL))) {
        check_inside(hcl.report, data, size);
        check_inside(hcl.runtime, data, size);
        (void)snp_hcl_is_bound(&hcl);
    }
    return 0;
}
