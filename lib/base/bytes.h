/* Bytes: read-only spans, growable buffers, hexadecimal and base64.
 *
 * A span borrows; whoever made the bytes owns them. A buf owns its bytes and wipes them on free and
 * when it grows, so key material that passes through one leaves nothing behind. Allocation failure
 * aborts through mem_alloc (mem.h): a replica keeps everything in memory and rejoins after a crash.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_BYTES_H
#define CONTRAST_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct span {
    const uint8_t *data; /* borrowed; may be NULL when size is 0 */
    size_t size;         /* bytes */
};

struct buf {
    uint8_t *data;   /* owned */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

#define SPAN(array) ((struct span){(const uint8_t *)(array), sizeof(array)})

static inline struct span span_of(const void *data, size_t size) {
    return (struct span){(const uint8_t *)data, size};
}
struct span span_str(const char *text); /* without the NUL */
static inline struct span buf_span(const struct buf *b) {
    return (struct span){b->data, b->size};
}
/* Not for secrets: returns early. */
bool span_equal(struct span a, struct span b);
/* For secrets: time depends on the sizes alone. */
bool span_equal_ct(struct span a, struct span b);
bool span_is_zero(struct span s);

/* A zeroed struct buf is a valid empty buffer. */
void buf_deinit(struct buf *b); /* wipes and frees; accepts zeroed */
void buf_clear(struct buf *b);  /* wipes, keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_span(struct buf *b, struct span s);
void buf_append_u8(struct buf *b, uint8_t v);
void buf_append_u32be(struct buf *b, uint32_t v);
void buf_append_u64be(struct buf *b, uint64_t v);
void buf_append_str(struct buf *b, const char *text); /* without the NUL */
void buf_appendf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Drops the first n bytes (n <= size). */
void buf_consume(struct buf *b, size_t n);
/* Adds n bytes for the caller to fill, returns where they start. */
uint8_t *buf_extend(struct buf *b, size_t n);
/* NUL-terminated view; valid until the next change. */
const char *buf_cstr(struct buf *b);

uint32_t load_u32be(const uint8_t *p);
uint64_t load_u64be(const uint8_t *p);
uint16_t load_u16le(const uint8_t *p);
uint32_t load_u32le(const uint8_t *p);
uint64_t load_u64le(const uint8_t *p);
void store_u32be(uint8_t *p, uint32_t v);
void store_u64be(uint8_t *p, uint64_t v);
void store_u32le(uint8_t *p, uint32_t v);
void store_u64le(uint8_t *p, uint64_t v);

/* Lower-case hexadecimal; `out` holds 2 * size + 1 bytes. */
void hex_encode(struct span in, char *out);
/* Exactly 2 * size hexadecimal digits, either case. */
RESULT hex_decode(struct span text, uint8_t *out, size_t size, struct err *err);

/* Bytes of the UTF-8 sequence at the start of `s` (size > 0), NUL included; 0 when it is none
 * (RFC 3629 section 4: no surrogates, nothing overlong, nothing above U+10FFFF). */
size_t utf8_size(struct span s);

/* RFC 4648 section 4, padded; appended to `out`. */
void base64_encode(struct span in, struct buf *out);
/* Strict: padding required, no white space, zero trailing bits. Appends to `out`. */
RESULT base64_decode(struct span text, struct buf *out, struct err *err);

#endif
