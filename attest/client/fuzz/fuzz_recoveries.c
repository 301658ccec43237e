/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/client/recoveries.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_items(const struct recoveries *r) {
    CHECK(r->count <= r->total && r->total <= LIMIT_EPOCHS);
    for (size_t i = 0; i < r->count; i++) {
        uint8_t hash[SHA256_SIZE];
        recovery_hash(&r->items[i].recovery, hash);
        CHECK(r->items[i].signature_count <= LIMIT_SHARE_OWNERS);
    }
}

/* Two pages of any bytes: the first byte says where the second begins. What they hold is no history
 * of a cluster without a manifest, whoever signed it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    size_t first = (size - 1) * data[0] / 255;
    struct arena arena = {0};
    struct recoveries r = {0};
    struct err err;
    bool done = false;
    const struct span pages[] = {{data + 1, first}, {data + 1 + first, size - 1 - first}};
    for (size_t i = 0; i < 2 && !done; i++) {
        size_t before = r.count;
        if (!is_ok(recoveries_take(&r, pages[i], &arena, &done, &err))) {
            CHECK(err.text[0] != '\0' && r.count == before && !done);
            break;
        }
        CHECK(r.count > before && done == (r.count == r.total));
        check_items(&r);
    }
    const struct manifest nobody = {0};
    for (size_t i = 0; i < r.count; i++) {
        const struct transition_recovery *t = &r.items[i];
        CHECK(!is_ok(
            recovery_verify(&t->recovery, t->signatures, t->signature_count, &nobody, &err)));
    }
    arena_deinit(&arena);
    return 0;
}
