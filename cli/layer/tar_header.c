/* Tar headers: see tar_header.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/tar_header.h"

#include <string.h>

#define BINARY_BIT 0x80

/* ---- numbers ---- */

static struct span until_nul(const uint8_t *p, size_t size) {
    const uint8_t *end = memchr(p, 0, size);
    return span_of(p, end == NULL ? size : (size_t)(end - p));
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trim(struct span s) {
    while (s.size > 0 && is_space(s.data[0])) {
        s = span_of(s.data + 1, s.size - 1);
    }
    while (s.size > 0 && is_space(s.data[s.size - 1])) {
        s.size--;
    }
    return s;
}

/* Digits of `base` (8 or 10) with an optional '+', nothing else; valid when it fits 64 bits. */
static struct tar_number digits(struct span s, unsigned base) {
    struct tar_number none = {0}, n = {.is_valid = true};
    if (s.size > 1 && s.data[0] == '+') {
        s = span_of(s.data + 1, s.size - 1);
    }
    if (s.size == 0) {
        return none;
    }
    for (size_t i = 0; i < s.size; i++) {
        unsigned digit = (unsigned)(s.data[i] - '0');
        if (s.data[i] < '0' || digit >= base || n.value > (UINT64_MAX - digit) / base) {
            return none;
        }
        n.value = n.value * base + digit;
    }
    return n;
}

static struct tar_number octal(const uint8_t *p, size_t size) {
    return digits(trim(until_nul(p, size)), 8);
}

/* The last 8 bytes count; of a field of 8, without the marking bit. */
static uint64_t binary(const uint8_t *p, size_t size) {
    uint64_t n = 0;
    for (size_t i = size - 8; i < size; i++) {
        n = n << 8 | (i == 0 ? p[i] ^ BINARY_BIT : p[i]);
    }
    return n;
}

static struct tar_number number(const uint8_t *p, size_t size) {
    if ((p[0] & BINARY_BIT) != 0) {
        return (struct tar_number){true, binary(p, size)};
    }
    return octal(p, size);
}

/* ---- header ---- */

struct field {
    const char *name;
    size_t at, size;
    bool may_be_binary;
};

static const struct field NUMBERS[] = {
    {"mode", 100, 8, false}, {"uid", 108, 8, true},    {"gid", 116, 8, true},
    {"size", 124, 12, true}, {"mtime", 136, 12, true}, {"checksum", 148, 8, false},
};
static const struct field DEVICE[] = {{"major", 329, 8, false}, {"minor", 337, 8, false}};

bool tar_header_is_zero(const uint8_t block[TAR_BLOCK]) {
    return span_is_zero(span_of(block, TAR_BLOCK));
}

/* UTF-8 beyond ASCII may be a space to the crate; what is no UTF-8 is no number to it either. */
static RESULT check_ascii(const uint8_t *block, const struct field *f, struct err *err) {
    struct span s = until_nul(block + f->at, f->size);
    if (f->may_be_binary && s.size > 0 && (s.data[0] & BINARY_BIT) != 0) {
        return OK;
    }
    bool is_ascii = true;
    while (s.size > 0) {
        size_t n = utf8_size(s);
        if (n == 0) {
            return OK;
        }
        is_ascii = is_ascii && n == 1;
        s = span_of(s.data + n, s.size - n);
    }
    ENSURE(is_ascii, err, MALFORMED, "the field '%s' is not ASCII", f->name);
    return OK;
}

static RESULT check_fields(const uint8_t *block, bool has_device, struct err *err) {
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        TRY(check_ascii(block, &NUMBERS[i], err));
    }
    for (size_t i = 0; has_device && i < 2; i++) {
        TRY(check_ascii(block, &DEVICE[i], err));
    }
    return OK;
}

/* The sum of all bytes, the checksum's own counted as spaces. */
static uint32_t sum_of(const uint8_t *block) {
    uint32_t sum = 8 * ' ';
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += i >= 148 && i < 156 ? 0 : block[i];
    }
    return sum;
}

RESULT tar_header_parse(const uint8_t block[TAR_BLOCK], struct tar_header *out, struct err *err) {
    struct tar_header h = {
        .type = block[156] == 0 ? '0' : (char)block[156],
        .is_ustar = memcmp(block + 257,
                           "ustar\0"
                           "00",
                           8) == 0,
        .is_gnu = memcmp(block + 257, "ustar  \0", 8) == 0,
        .mode = octal(block + 100, 8),
        .uid = number(block + 108, 8),
        .gid = number(block + 116, 8),
        .mtime = number(block + 136, 12),
        .name = until_nul(block, 100),
        .link = until_nul(block + TAR_LINK_AT, 100),
    };
    struct tar_number sum = octal(block + 148, 8), size = number(block + 124, 12);
    bool has_device = h.is_ustar || h.is_gnu;
    TRY(check_fields(block, has_device, err));
    ENSURE(sum.is_valid, err, MALFORMED, "the checksum is no octal number: this is no tar header");
    ENSURE((uint32_t)sum.value == sum_of(block), err, MALFORMED,
           "the checksum does not match: this is no tar header, or it was altered");
    ENSURE(size.is_valid, err, MALFORMED, "the size is no octal number");
    h.size = size.value;
    if (h.is_ustar) {
        h.prefix = until_nul(block + 345, 155);
    }
    if (has_device) {
        h.major = octal(block + 329, 8);
        h.minor = octal(block + 337, 8);
    }
    *out = h;
    return OK;
}

RESULT tar_header_sparse(const uint8_t *map, size_t index, struct tar_sparse *out,
                         struct err *err) {
    const uint8_t *p = map + 24 * index;
    struct tar_sparse s = {.is_empty = p[0] == 0 || p[12] == 0};
    if (!s.is_empty) {
        struct tar_number offset = octal(p, 12), size = octal(p + 12, 12);
        ENSURE(offset.is_valid && size.is_valid, err, MALFORMED,
               "piece %zu of a sparse file has no octal offset and size", index);
        s.offset = offset.value;
        s.size = size.value;
    }
    *out = s;
    return OK;
}

RESULT tar_header_real_size(const uint8_t block[TAR_BLOCK], uint64_t *out, struct err *err) {
    struct tar_number n = octal(block + 483, 12);
    ENSURE(n.is_valid, err, MALFORMED, "the real size of a sparse file is no octal number");
    *out = n.value;
    return OK;
}

/* ---- pax ---- */

struct record {
    struct span key, value;
};

/* "LENGTH KEY=VALUE" with the length of the line and its line feed. */
static bool parse_record(struct span line, struct record *out) {
    const uint8_t *space = memchr(line.data, ' ', line.size);
    if (space == NULL) {
        return false;
    }
    size_t head = (size_t)(space - line.data);
    struct tar_number size = digits(span_of(line.data, head), 10);
    struct span rest = span_of(space + 1, line.size - head - 1);
    const uint8_t *equals = rest.size > 0 ? memchr(rest.data, '=', rest.size) : NULL;
    if (!size.is_valid || size.value != line.size + 1 || equals == NULL) {
        return false;
    }
    size_t key = (size_t)(equals - rest.data);
    out->key = span_of(rest.data, key);
    out->value = span_of(equals + 1, rest.size - key - 1);
    return true;
}

/* Takes the next line off `text`; false at its end or at an empty line. */
static bool next_line(struct span *text, struct span *line) {
    if (text->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t n = end == NULL ? text->size : (size_t)(end - text->data);
    size_t taken = end == NULL ? n : n + 1;
    *line = span_of(text->data, n);
    *text = span_of(text->data + taken, text->size - taken);
    return n > 0;
}

bool tar_header_pax_find(struct span text, const char *key, struct span *value) {
    struct span line;
    struct record r;
    while (next_line(&text, &line)) {
        if (parse_record(line, &r) && span_equal(r.key, span_str(key))) {
            *value = r.value;
            return true;
        }
    }
    return false;
}

struct tar_number tar_header_pax_size(struct span text) {
    struct tar_number none = {0};
    struct span line;
    struct record r;
    while (next_line(&text, &line)) {
        if (!parse_record(line, &r)) {
            return none;
        }
        if (span_equal(r.key, span_str("size"))) {
            return digits(r.value, 10);
        }
    }
    return none;
}
