/* Fuzz target: a Retry-After header at a moment (first 8 bytes). What is taken stays in its bound,
 * and white space around it changes nothing. SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/retry_after.h"
#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8) {
        return 0;
    }
    int64_t now = (int64_t)(load_u64be(data) & 0xFFFFFFFFFFFF); /* to the year 8900000 */
    uint64_t ms = UINT64_MAX;
    uint64_t again = UINT64_MAX;
    struct span value = span_of(data + 8, size - 8);
    if (!is_ok(retry_after_parse(value, now, &ms, NULL))) {
        CHECK(ms == UINT64_MAX);
        return 0;
    }
    CHECK(ms <= LIMIT_KDS_RETRY_MS && ms % 1000 == 0);
    AUTO(buf_deinit)
    struct buf padded = {0};
    buf_appendf(&padded, "  %.*s \r\n", (int)value.size, (const char *)value.data);
    CHECK(is_ok(retry_after_parse(buf_span(&padded), now, &again, NULL)) && again == ms);
    return 0;
}
