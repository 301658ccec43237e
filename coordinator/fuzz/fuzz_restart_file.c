/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restart_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a file that parsed promises to its users. */
static void check_file(const struct restart_file *f, struct span bytes) {
    const struct restart_header *h = &f->header;
    CHECK(h->voters.count >= 1 && h->voters.count <= LIMIT_VOTERS);
    CHECK(h->threshold > h->voters.count / 2 && h->threshold <= h->voters.count);
    CHECK(f->x >= 1 && f->x <= h->voters.count && h->epoch > 0 && h->generation > 0);
    CHECK(f->before.size + f->ciphertext.size + 1 + f->sealed.size == bytes.size);
    CHECK(f->sealed.data + f->sealed.size == bytes.data + bytes.size);
}

/* Any bytes: a restart file, or an error. None opens with a made-up key or share. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena = {0};
    struct restart_file f;
    struct err err;
    if (is_ok(restart_file_parse(span_of(data, size), &arena, &f, &err))) {
        struct secret *key = secret_new(SHARES_SIZE);
        struct secret *share = NULL;
        struct buf out = {0};
        const struct secret *const shares[] = {key, key, key};
        check_file(&f, span_of(data, size));
        CHECK(!is_ok(restart_file_unseal(&f, key, &share, NULL)) && share == NULL);
        CHECK(!is_ok(restart_file_open(&f, shares, 3, &out, NULL)) && out.size == 0);
        secret_free(key);
    } else {
        CHECK(err.text[0] != '\0');
    }
    arena_deinit(&arena);
    return 0;
}
