/* Any bytes as the tar of a layer: a result or one error, the same in one piece and in two. What
 * fails is tried again with the checksum of each header made right, to get behind it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "cli/layer/layer_tar.h"
#include "lib/base/mem.h"

#define BLOCK 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool hash(const uint8_t *data, size_t size, size_t cut, struct layer_result *out) {
    struct layer_tar *t = layer_tar_new();
    bool is_good = is_ok(layer_tar_feed(t, span_of(data, cut), 0, NULL)) &&
                   is_ok(layer_tar_feed(t, span_of(data + cut, size - cut), 0, NULL)) &&
                   is_ok(layer_tar_finish(t, out, NULL));
    layer_tar_free(t);
    return is_good;
}

/* Checksums of all blocks with a magic number. */
static void mend(uint8_t *data, size_t size) {
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        uint8_t *p = data + at;
        unsigned sum = 0;
        if (memcmp(p + 257, "ustar", 5) != 0) {
            continue;
        }
        memset(p + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++) {
            sum += p[i];
        }
        for (size_t i = 0; i < 6; i++) {
            p[148 + i] = (uint8_t)('0' + (sum >> (15 - 3 * i) & 7));
        }
        p[154] = 0;
    }
}

static bool check(const uint8_t *data, size_t size) {
    struct layer_result whole = {0}, parts = {0};
    bool is_good = hash(data, size, size, &whole);
    CHECK(hash(data, size, size / 3, &parts) == is_good);
    if (is_good) {
        const struct layer_root *root = &whole.roots[LAYER_MSFT];
        CHECK(memcmp(whole.roots, parts.roots, sizeof whole.roots) == 0);
        CHECK(root->size % 4096 == 0 && root->size >= 8192 && root->inodes >= 1);
        CHECK(root->size > size + 32 * root->inodes);
    }
    layer_result_deinit(&whole);
    layer_result_deinit(&parts);
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!check(data, size)) {
        uint8_t *copy = mem_alloc(size + 1);
        memcpy(copy, data, size);
        mend(copy, size);
        check(copy, size);
        mem_free(copy);
    }
    return 0;
}
