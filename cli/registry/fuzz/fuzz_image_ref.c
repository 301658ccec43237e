/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/registry/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted can be said in full, and that means the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct image_ref ref = {0};
    struct image_ref again = {0};
    struct err err = {0};
    if (!is_ok(image_ref_parse(span_of(data, size), &ref, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    struct buf text = {0};
    image_ref_text(&ref, &text);
    CHECK(is_ok(image_ref_parse(buf_span(&text), &again, NULL)));
    CHECK(memcmp(&ref, &again, sizeof ref) == 0);
    buf_deinit(&text);
    return 0;
}
