/* Fuzz: any bytes as an ID block (the first 96) and an ID authentication page (the rest, filled up
 * with zeros). What parses encodes to the same bytes; verifying says yes or no.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/launch/id_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_auth(const struct id_block *block, const uint8_t *bytes) {
    struct id_block_auth auth;
    uint8_t again[ID_BLOCK_AUTH_SIZE];
    if (!is_ok(id_block_auth_parse(span_of(bytes, ID_BLOCK_AUTH_SIZE), &auth, NULL))) {
        return;
    }
    id_block_auth_encode(&auth, again);
    CHECK(memcmp(again, bytes, sizeof again) == 0);
    struct result r = id_block_verify(block, &auth, NULL);
    CHECK(is_ok(r) || r.code == ERR_SIGNATURE);
    (void)id_block_is_synthetic(&auth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t all[ID_BLOCK_SIZE + ID_BLOCK_AUTH_SIZE] = {0};
    struct id_block block = {.guest_svn = 0};
    uint8_t again[ID_BLOCK_SIZE];
    memcpy(all, data, size < sizeof all ? size : sizeof all);
    if (is_ok(id_block_parse(span_of(all, ID_BLOCK_SIZE), &block, NULL))) {
        id_block_encode(&block, again);
        CHECK(memcmp(again, all, sizeof again) == 0);
    }
    CHECK(!is_ok(id_block_auth_parse(span_of(data, size), &(struct id_block_auth){0}, NULL)) ||
          size == ID_BLOCK_AUTH_SIZE);
    try_auth(&block, all + ID_BLOCK_SIZE);
    return 0;
}
