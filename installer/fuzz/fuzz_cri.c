/* Answers of CRI: whatever comes, the handlers are few, each once, and texts end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/cri.h"

#include <string.h>

#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct cri_answer a = {0};
    if (is_ok(cri_parse_version(span_of(data, size), &a, &err))) {
        CHECK(a.version[0] != '\0' && strlen(a.version) < sizeof a.version);
        CHECK(strlen(a.runtime) < sizeof a.runtime);
    }
    if (is_ok(cri_parse_status(span_of(data, size), &a, &err))) {
        CHECK(a.handler_count <= LIMIT_CRI_HANDLERS);
        for (size_t i = 0; i < a.handler_count; i++) {
            for (size_t j = 0; j < i; j++) {
                CHECK(strcmp(a.handlers[i], a.handlers[j]) != 0);
            }
        }
    }
    cri_answer_deinit(&a);
    return 0;
}
