/* Verity: see verity.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/verity.h"

#include <string.h>

static const uint8_t SALT[32];

void verity_init(struct verity *v, struct sha256_stream *sha) {
    memset(v, 0, sizeof *v);
    v->sha = sha;
}

static void hash_block(struct verity *v, const uint8_t *block, uint8_t out[SHA256_SIZE]) {
    sha256_stream_update(v->sha, SPAN(SALT));
    sha256_stream_update(v->sha, span_of(block, VERITY_BLOCK));
    sha256_stream_final(v->sha, out);
}

/* One hash for `level`; a block that is full goes up as a hash of its own. */
static void push(struct verity *v, size_t level, const uint8_t hash[SHA256_SIZE]) {
    uint8_t up[SHA256_SIZE];
    memcpy(up, hash, sizeof up);
    for (; level < VERITY_LEVELS; level++) {
        struct verity_level *l = &v->levels[level];
        memcpy(l->block + l->used, up, sizeof up);
        l->used += sizeof up;
        l->count++;
        if (l->used < VERITY_BLOCK) {
            return;
        }
        hash_block(v, l->block, up);
        l->used = 0;
    }
    CHECK(level < VERITY_LEVELS); /* more than 2^64 bytes */
}

static void push_data(struct verity *v, const uint8_t *block) {
    uint8_t hash[SHA256_SIZE];
    hash_block(v, block, hash);
    push(v, 0, hash);
}

void verity_update(struct verity *v, struct span bytes) {
    v->size += bytes.size;
    while (bytes.size > 0) {
        size_t room = VERITY_BLOCK - v->used;
        size_t n = bytes.size < room ? bytes.size : room;
        if (n == VERITY_BLOCK) {
            push_data(v, bytes.data);
        } else {
            memcpy(v->data + v->used, bytes.data, n);
            v->used += n;
        }
        if (v->used == VERITY_BLOCK) {
            push_data(v, v->data);
            v->used = 0;
        }
        bytes = span_of(bytes.data + n, bytes.size - n);
    }
}

void verity_finish(struct verity *v, uint8_t root[SHA256_SIZE]) {
    CHECK(v->size > 0);
    if (v->used > 0) {
        memset(v->data + v->used, 0, VERITY_BLOCK - v->used);
        push_data(v, v->data);
        v->used = 0;
    }
    for (size_t i = 0; i < VERITY_LEVELS; i++) {
        struct verity_level *l = &v->levels[i];
        if (l->count == 1) { /* the only hash of its level is the root */
            memcpy(root, l->block, SHA256_SIZE);
            return;
        }
        if (l->used > 0) {
            uint8_t hash[SHA256_SIZE];
            memset(l->block + l->used, 0, VERITY_BLOCK - l->used);
            hash_block(v, l->block, hash);
            l->used = 0;
            push(v, i + 1, hash);
        }
    }
    CHECK(false); /* a level with one hash ends every tree */
}
