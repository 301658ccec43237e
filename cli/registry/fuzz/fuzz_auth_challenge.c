/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/registry/registry_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct auth_challenge c = {0};
    struct buf token = {0};
    if (is_ok(auth_challenge_parse(span_of(data, size), &c, NULL))) {
        CHECK(strlen(c.realm) < sizeof c.realm && strlen(c.scope) < sizeof c.scope);
    }
    if (is_ok(registry_auth_parse_token(span_of(data, size), &token, NULL))) {
        CHECK(token.size > 0 && memchr(token.data, '\n', token.size) == NULL);
    }
    buf_deinit(&token);
    return 0;
}
