/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/limits.h"
#include "meshca/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a header that parsed promises to its users. */
static void check_header(const struct checkpoint_header *h, size_t before) {
    CHECK(before <= LIMIT_CHECKPOINT_HEADER && h->size <= LIMIT_SNAPSHOT);
    CHECK(h->epoch > 0 && h->generation > 0 && h->time >= 0);
    CHECK(h->shares.count > 0 && h->shares.count <= LIMIT_SHARE_OWNERS);
    CHECK(h->threshold > 0 && h->threshold <= h->shares.count);
    const struct checkpoint_share *shares = h->shares.items;
    uint8_t share[SHARES_SIZE] = {0};
    for (size_t i = 0; i < h->shares.count; i++) {
        CHECK(shares[i].sealed.size <= LIMIT_RSA_SIGNATURE);
        share[0] = (uint8_t)(i + 1);
        CHECK(checkpoint_check_share(h, shares[i].owner, SPAN(share), NULL).code == ERR_DENIED);
    }
}

/* Any bytes: a checkpoint, its header alone, or an error. None opens with made-up shares. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span file = {data, size};
    struct arena arena = {0};
    struct checkpoint_header h;
    struct span ciphertext;
    struct err err;
    size_t before = 0;
    if (is_ok(checkpoint_header_size(file, &before, NULL)) && before <= size &&
        is_ok(checkpoint_parse_header(span_of(data, before), &arena, &h, NULL))) {
        check_header(&h, before);
    }
    if (is_ok(checkpoint_parse(file, &arena, &h, &ciphertext, &err))) {
        check_header(&h, before);
        CHECK(ciphertext.data + ciphertext.size == data + size);
        CHECK(ciphertext.size == h.size + CHECKPOINT_TAG_SIZE);
        struct secret *share = secret_new(SHARES_SIZE);
        struct buf out = {0};
        const struct secret *const shares[] = {share};
        CHECK(!is_ok(checkpoint_open(file, shares, 1, &out, NULL)) && out.size == 0);
        secret_free(share);
    } else {
        CHECK(err.text[0] != '\0');
    }
    arena_deinit(&arena);
    return 0;
}
