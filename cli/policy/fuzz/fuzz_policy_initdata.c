/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_initdata.h"
#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What unpacks is bounded, and packs to a stream that unpacks to the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf out = {0};
    if (is_ok(policy_initdata_unpack(span_of(data, size), &out, NULL))) {
        CHECK(out.size <= LIMIT_POLICY);
        struct buf packed = {0};
        struct buf again = {0};
        policy_initdata_pack(buf_span(&out), &packed);
        CHECK(is_ok(policy_initdata_unpack(buf_span(&packed), &again, NULL)));
        CHECK(span_equal(buf_span(&again), buf_span(&out)));
        buf_deinit(&packed);
        buf_deinit(&again);
    }
    buf_deinit(&out);
    return 0;
}
