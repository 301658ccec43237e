/* Policy initdata: TOML around the policy; gzip with stored blocks (RFC 1951 section 3.2.4).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_initdata.h"

#include <string.h>

#include "lib/base/limits.h"

#define HEADER_SIZE 10
#define TRAILER_SIZE 8
#define BLOCK_HEADER 5
#define BLOCK_MAX 65535

/* --- TOML */

#define TOML_HEAD "version = \"0.1.0\"\nalgorithm = \"sha256\"\n\n[data]\n\"policy.rego\" = '''\n"
#define TOML_TAIL "'''\n"

RESULT policy_initdata_make(const struct workload *w, struct span policy, struct buf *out,
                            struct err *err) {
    size_t quotes = 0;
    for (size_t i = 0; i < policy.size; i++) {
        uint8_t c = policy.data[i];
        quotes = c == '\'' ? quotes + 1 : 0;
        if (quotes == 3 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            return yaml_fail(w->file, w->spec, err,
                             "%s/%s: a text of the pod has ''' or a control character, which the "
                             "profile initdata cannot carry",
                             w->kind, w->name);
        }
    }
    buf_append_str(out, TOML_HEAD);
    buf_append_span(out, policy);
    buf_append_str(out, TOML_TAIL);
    return OK;
}

struct span policy_initdata_text(struct span document) {
    size_t head = sizeof TOML_HEAD - 1;
    size_t tail = sizeof TOML_TAIL - 1;
    if (document.size < head + tail || memcmp(document.data, TOML_HEAD, head) != 0 ||
        memcmp(document.data + document.size - tail, TOML_TAIL, tail) != 0) {
        return (struct span){0};
    }
    return span_of(document.data + head, document.size - head - tail);
}

/* --- gzip */

static const uint8_t header[HEADER_SIZE] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};

/* RFC 1952 section 8 */
static uint32_t crc32_of(struct span bytes) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0xedb88320) : 0);
        }
    }
    return ~crc;
}

static void append_block(struct span bytes, bool is_last, struct buf *out) {
    uint8_t head[BLOCK_HEADER] = {is_last ? 1 : 0};
    head[1] = (uint8_t)(bytes.size & 0xff);
    head[2] = (uint8_t)(bytes.size >> 8);
    head[3] = (uint8_t)~head[1];
    head[4] = (uint8_t)~head[2];
    buf_append(out, head, sizeof head);
    buf_append_span(out, bytes);
}

size_t policy_initdata_size(size_t size) {
    size_t blocks = size > 0 ? (size + BLOCK_MAX - 1) / BLOCK_MAX : 1;
    return HEADER_SIZE + blocks * BLOCK_HEADER + size + TRAILER_SIZE;
}

void policy_initdata_pack(struct span document, struct buf *out) {
    uint8_t trailer[TRAILER_SIZE];
    store_u32le(trailer, crc32_of(document));
    store_u32le(trailer + 4, (uint32_t)document.size);
    buf_append(out, header, sizeof header);
    size_t at = 0;
    do {
        size_t left = document.size - at;
        size_t size = left < BLOCK_MAX ? left : BLOCK_MAX;
        append_block(span_of(document.data + at, size), size == left, out);
        at += size;
    } while (at < document.size);
    buf_append(out, trailer, sizeof trailer);
}

/* Reads one block at *at; *is_last says whether others follow. */
static RESULT read_block(struct span packed, size_t *at, bool *is_last, struct buf *out,
                         struct err *err) {
    ENSURE(packed.size - *at >= BLOCK_HEADER, err, MALFORMED, "gzip: ends in a block");
    const uint8_t *p = packed.data + *at;
    size_t size = load_u16le(p + 1);
    ENSURE(p[0] <= 1 && (size ^ load_u16le(p + 3)) == 0xffff, err, MALFORMED,
           "gzip: byte %zu is no stored block; run contrast generate again", *at);
    ENSURE(packed.size - *at - BLOCK_HEADER >= size, err, MALFORMED, "gzip: ends in a block");
    ENSURE(out->size + size <= LIMIT_POLICY, err, TOO_LARGE, "over %d bytes", LIMIT_POLICY);
    buf_append(out, p + BLOCK_HEADER, size);
    *at += BLOCK_HEADER + size;
    *is_last = p[0] == 1;
    return OK;
}

RESULT policy_initdata_unpack(struct span packed, struct buf *out, struct err *err) {
    ENSURE(packed.size >= HEADER_SIZE && memcmp(packed.data, header, HEADER_SIZE) == 0, err,
           MALFORMED, "no gzip stream of contrast generate");
    AUTO(buf_deinit)
    struct buf document = {0};
    size_t at = HEADER_SIZE;
    bool is_last = false;
    while (!is_last) {
        TRY(read_block(packed, &at, &is_last, &document, err));
    }
    ENSURE(packed.size - at == TRAILER_SIZE, err, MALFORMED,
           "gzip: %zu bytes behind the last block", packed.size - at);
    ENSURE(load_u32le(packed.data + at) == crc32_of(buf_span(&document)) &&
               load_u32le(packed.data + at + 4) == document.size,
           err, MALFORMED, "gzip: the check sum is wrong");
    buf_append_span(out, buf_span(&document));
    return OK;
}
