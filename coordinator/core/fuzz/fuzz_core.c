/* A log of arbitrary entries, each as size u32be and bytes: whatever it holds, applying returns,
 * refusals explain themselves, and the state survives a snapshot. A size of 0 with a manifest there
 * turns the state into its checkpoint, which a recovery may follow.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void become_checkpoint(struct core **c) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core *checkpoint = NULL;
    struct err err;
    core_save_checkpoint(*c, &bytes);
    CHECK(is_ok(core_load_checkpoint(buf_span(&bytes), &checkpoint, &err)));
    core_free(*c);
    *c = checkpoint;
}

static void check_snapshot(const struct core *c) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct core *copy = NULL;
    struct err err;
    core_save(c, &bytes);
    CHECK(is_ok(core_load(buf_span(&bytes), &copy, &err)));
    core_save(copy, &again);
    CHECK(span_equal(buf_span(&bytes), buf_span(&again)));
    uint8_t hash[32];
    uint8_t same[32];
    core_state_hash(c, hash);
    core_state_hash(copy, same);
    CHECK(memcmp(hash, same, sizeof hash) == 0);
    core_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct core *c = core_new();
    uint64_t index = 0;
    for (size_t at = 0; size - at >= 4;) {
        size_t n = load_u32be(data + at);
        at += 4;
        if (n == 0 && core_generation(c) > 0) {
            become_checkpoint(&c);
            continue;
        }
        n = n < size - at ? n : size - at;
        struct core_result result;
        core_apply(c, ++index, 1, span_of(data + at, n), &result);
        CHECK((result.code == ERR_OK) == (result.text[0] == 0));
        CHECK(result.must_freeze == (core_applied_index(c) < index));
        if (result.must_freeze) {
            break;
        }
        at += n;
    }
    check_snapshot(c);
    core_free(c);
    return 0;
}
