/* Arbitrary bytes as a snapshot: an error with a text, or a state that saves to the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct core *c = NULL;
    struct err err = {.text = ""};
    if (!is_ok(core_load(span_of(data, size), &c, &err))) {
        CHECK(err.text[0] != 0);
        return 0;
    }
    AUTO(buf_deinit)
    struct buf again = {0};
    core_save(c, &again);
    CHECK(span_equal(buf_span(&again), span_of(data, size)));
    core_free(c);
    return 0;
}
