/* Two manifests with a NUL between them, or one: what differs one way differs the other way, and
 * nothing differs from itself. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/manifest/manifest_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_self(struct span text) {
    struct manifest_change_list list = {0};
    if (is_ok(manifest_diff(text, text, &list, NULL))) {
        CHECK(list.count == 0);
    }
    manifest_change_list_deinit(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t first = nul != NULL ? (size_t)(nul - data) : size;
    struct span a = span_of(data, first);
    struct span b = nul != NULL ? span_of(nul + 1, size - first - 1) : a;
    struct manifest_change_list there = {0};
    struct manifest_change_list back = {0};
    if (is_ok(manifest_diff(a, b, &there, NULL))) {
        CHECK(is_ok(manifest_diff(b, a, &back, NULL)));
        CHECK((there.count == 0) == (back.count == 0));
        for (size_t i = 0; i < there.count; i++) {
            CHECK(there.items[i].text[0] != '\0' && there.items[i].path[0] != '\0');
        }
    }
    manifest_change_list_deinit(&there);
    manifest_change_list_deinit(&back);
    check_self(a);
    return 0;
}
