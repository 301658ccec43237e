/* Small tars for tests: see tar_make.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/test/tar_make.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 512

static void put(uint8_t *at, const char *text, size_t room) {
    size_t n = text == NULL ? 0 : strlen(text);
    CHECK(n <= room);
    if (n > 0) {
        memcpy(at, text, n);
    }
}

void tar_make_sum(struct buf *out, size_t at) {
    char text[8];
    unsigned sum = 0;
    uint8_t *p = out->data + at;
    memset(p + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += p[i];
    }
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(p + 148, text, 7);
}

void tar_make_header(struct buf *out, struct tar_make h) {
    char size[32];
    size_t at = out->size;
    uint8_t *p = buf_extend(out, BLOCK);
    memset(p, 0, BLOCK);
    snprintf(size, sizeof size, "%011" PRIo64, h.size);
    put(p, h.name, 100);
    put(p + 100, h.mode != NULL ? h.mode : "0000644", 8);
    put(p + 108, "0000000", 8);
    put(p + 116, "0000000", 8);
    put(p + 124, size, 12);
    put(p + 136, "00000000000", 12);
    p[156] = (uint8_t)(h.type == 0 ? '0' : h.type);
    put(p + 157, h.link, 100);
    if (!h.is_bare) {
        memcpy(p + 257,
               h.is_ustar ? "ustar\0"
                            "00"
                          : "ustar  \0",
               8);
    }
    put(p + 329, h.major, 8);
    put(p + 337, h.minor, 8);
    tar_make_sum(out, at);
}

void tar_make_entry(struct buf *out, struct tar_make h, struct span body) {
    h.size = body.size;
    tar_make_header(out, h);
    buf_append_span(out, body);
    size_t fill = (BLOCK - body.size % BLOCK) % BLOCK;
    memset(buf_extend(out, fill), 0, fill);
}

void tar_make_file(struct buf *out, const char *name, const char *text) {
    tar_make_entry(out, (struct tar_make){.name = name}, span_str(text));
}

void tar_make_end(struct buf *out) {
    memset(buf_extend(out, 2 * BLOCK), 0, 2 * BLOCK);
}

void tar_make_record(struct buf *out, const char *key, const char *value) {
    size_t rest = strlen(key) + strlen(value) + 3; /* space, '=', line feed */
    size_t size = rest + 1;
    while (size != rest + (size_t)snprintf(NULL, 0, "%zu", size)) {
        size++;
    }
    buf_appendf(out, "%zu %s=%s\n", size, key, value);
}
