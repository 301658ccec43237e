/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/registry/image_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input stands behind its right checksum: fuzzing does not find one. What is accepted survives
 * a round trip. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t diff_id[SHA256_SIZE] = {0};
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    struct buf file = {0};
    struct buf again = {0};
    struct layer_result layer = {0};
    sha256(span_of(data, size), digest);
    hex_encode(SPAN(digest), hex);
    buf_appendf(&file, "%s\n", hex);
    buf_append(&file, data, size);
    if (is_ok(image_cache_parse(buf_span(&file), diff_id, &layer, NULL))) {
        image_cache_encode(&layer, &again);
        layer_result_deinit(&layer);
        layer = (struct layer_result){0};
        CHECK(is_ok(image_cache_parse(buf_span(&again), diff_id, &layer, NULL)));
        layer_result_deinit(&layer);
    }
    int64_t unix_s = 0;
    if (image_cache_parse_tag(span_of(data, size), digest, &unix_s)) {
        CHECK(unix_s >= 0 && unix_s < INT64_C(1000000000000));
    }
    buf_deinit(&file);
    buf_deinit(&again);
    return 0;
}
