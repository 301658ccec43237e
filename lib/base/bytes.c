/* Bytes: see bytes.h. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

struct span span_str(const char *text) {
    return span_of(text, strlen(text));
}

bool span_equal(struct span a, struct span b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool span_equal_ct(struct span a, struct span b) {
    if (a.size != b.size) {
        return false;
    }
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < a.size; i++) {
        diff = (uint8_t)(diff | (a.data[i] ^ b.data[i]));
    }
    return diff == 0;
}

bool span_is_zero(struct span s) {
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] != 0) {
            return false;
        }
    }
    return true;
}

void buf_deinit(struct buf *b) {
    mem_free_wiped(b->data, b->capacity);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b) {
    mem_wipe(b->data, b->capacity);
    b->size = 0;
}

void buf_reserve(struct buf *b, size_t more) {
    CHECK(more <= SIZE_MAX / 2 - b->size);
    size_t need = b->size + more;
    if (need <= b->capacity) {
        return;
    }
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < need) {
        capacity *= 2;
    }
    uint8_t *data = mem_alloc(capacity);
    if (b->size > 0) {
        memcpy(data, b->data, b->size);
    }
    mem_free_wiped(b->data, b->capacity);
    b->data = data;
    b->capacity = capacity;
}

uint8_t *buf_extend(struct buf *b, size_t n) {
    buf_reserve(b, n);
    uint8_t *at = b->data + b->size;
    b->size += n;
    return at;
}

void buf_append(struct buf *b, const void *data, size_t size) {
    if (size > 0) {
        memcpy(buf_extend(b, size), data, size);
    }
}

void buf_append_span(struct buf *b, struct span s) {
    buf_append(b, s.data, s.size);
}

void buf_append_u8(struct buf *b, uint8_t v) {
    buf_append(b, &v, 1);
}

void buf_append_u32be(struct buf *b, uint32_t v) {
    store_u32be(buf_extend(b, 4), v);
}

void buf_append_u64be(struct buf *b, uint64_t v) {
    store_u64be(buf_extend(b, 8), v);
}

void buf_append_str(struct buf *b, const char *text) {
    buf_append(b, text, strlen(text));
}

void buf_appendf(struct buf *b, const char *format, ...) {
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    buf_reserve(b, (size_t)n + 1);
    vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
    va_end(again);
    b->size += (size_t)n;
}

void buf_consume(struct buf *b, size_t n) {
    CHECK(n <= b->size);
    if (n == 0) {
        return;
    }
    memmove(b->data, b->data + n, b->size - n);
    b->size -= n;
    mem_wipe(b->data + b->size, n);
}

const char *buf_cstr(struct buf *b) {
    buf_reserve(b, 1);
    b->data[b->size] = 0;
    return (const char *)b->data;
}

uint32_t load_u32be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t load_u64be(const uint8_t *p) {
    return (uint64_t)load_u32be(p) << 32 | load_u32be(p + 4);
}

uint16_t load_u16le(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t load_u32le(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

uint64_t load_u64le(const uint8_t *p) {
    return (uint64_t)load_u32le(p + 4) << 32 | load_u32le(p);
}

void store_u32be(uint8_t *p, uint32_t v) {
    for (int i = 3; i >= 0; i--, v >>= 8) {
        p[i] = (uint8_t)v;
    }
}

void store_u64be(uint8_t *p, uint64_t v) {
    store_u32be(p, (uint32_t)(v >> 32));
    store_u32be(p + 4, (uint32_t)v);
}

void store_u32le(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++, v >>= 8) {
        p[i] = (uint8_t)v;
    }
}

void store_u64le(uint8_t *p, uint64_t v) {
    store_u32le(p, (uint32_t)v);
    store_u32le(p + 4, (uint32_t)(v >> 32));
}

void hex_encode(struct span in, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.size; i++) {
        out[2 * i] = digits[in.data[i] >> 4];
        out[2 * i + 1] = digits[in.data[i] & 15];
    }
    out[2 * in.size] = 0;
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

struct result hex_decode(struct span text, uint8_t *out, size_t size, struct err *err) {
    ENSURE(text.size == 2 * size, err, MALFORMED, "want %zu hexadecimal digits, got %zu", 2 * size,
           text.size);
    for (size_t i = 0; i < text.size; i++) {
        ENSURE(hex_value(text.data[i]) >= 0, err, MALFORMED,
               "character %zu is not a hexadecimal digit", i + 1);
    }
    for (size_t i = 0; i < size; i++) {
        unsigned high = (unsigned)hex_value(text.data[2 * i]);
        out[i] = (uint8_t)(high << 4 | (unsigned)hex_value(text.data[2 * i + 1]));
    }
    return OK;
}

size_t utf8_size(struct span s) {
    uint8_t first = s.data[0];
    if (first < 0x80) {
        return 1;
    }
    size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || s.size < size) {
        return 0;
    }
    uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (s.data[1] < least || s.data[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((s.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct span in, struct buf *out) {
    for (size_t i = 0; i < in.size; i += 3) {
        size_t n = in.size - i < 3 ? in.size - i : 3;
        uint32_t v = (uint32_t)in.data[i] << 16;
        v |= n > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        v |= n > 2 ? in.data[i + 2] : 0;
        char quad[4] = {base64_digits[v >> 18], base64_digits[v >> 12 & 63],
                        n > 1 ? base64_digits[v >> 6 & 63] : '=',
                        n > 2 ? base64_digits[v & 63] : '='};
        buf_append(out, quad, sizeof quad);
    }
}

static int base64_value(uint8_t c) {
    const char *at = c == 0 ? NULL : strchr(base64_digits, c);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

struct result base64_decode(struct span text, struct buf *out, struct err *err) {
    ENSURE(text.size % 4 == 0, err, MALFORMED, "base64 length %zu is not a multiple of 4",
           text.size);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    for (size_t i = 0; i < text.size; i += 4) {
        const uint8_t *q = text.data + i;
        bool is_last = i + 4 == text.size;
        size_t pad = !is_last || q[3] != '=' ? 0 : q[2] == '=' ? 2 : 1;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : base64_value(q[k]);
            ENSURE(digit >= 0, err, MALFORMED, "character %zu is not base64", i + k + 1);
            v = v << 6 | (uint32_t)digit;
        }
        ENSURE(pad == 0 || (v & (pad == 1 ? 0xffU : 0xffffU)) == 0, err, MALFORMED,
               "base64 ends in non-zero spare bits");
        uint8_t triple[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        buf_append(&bytes, triple, 3 - pad);
    }
    buf_append_span(out, buf_span(&bytes));
    return OK;
}
