/* DER: see der.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/der.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/limits.h"

#define CONSTRUCTED 0x20
#define CLASS 0xC0
#define CLASS_UNIVERSAL 0x00
#define NUMBER 0x1F
#define NUMBER_LONG 0x1F /* the tag goes on in the next byte */

enum universal {
    TAG_BOOLEAN = 1,
    TAG_INTEGER = 2,
    TAG_BIT_STRING = 3,
    TAG_NULL = 5,
    TAG_OID = 6,
    TAG_SEQUENCE = 16,
    TAG_SET = 17,
    TAG_UTC_TIME = 23,
    TAG_GENERALIZED_TIME = 24
};

#define UTC_TIME_SIZE 13         /* YYMMDDHHMMSSZ */
#define GENERALIZED_TIME_SIZE 15 /* YYYYMMDDHHMMSSZ */

/* One value; `at` is behind its length. */
struct value {
    uint8_t tag;
    size_t at;
    size_t size;
};

/* ---- contents ---- */

static bool is_true(struct span v) {
    return v.size == 1 && v.data[0] == 0xFF;
}

/* No leading byte that the sign alone would give (X.690 section 8.3.2). */
static bool is_short_integer(struct span v) {
    if (v.size < 2) {
        return v.size == 1;
    }
    bool negative = (v.data[1] & 0x80) != 0;
    return v.data[0] != (negative ? 0xFF : 0x00);
}

/* Unused bits are fewer than eight and zero (X.690 sections 8.6.2 and 11.2.1). */
static bool is_bit_string(struct span v) {
    if (v.size == 0 || v.data[0] > 7 || (v.size == 1 && v.data[0] != 0)) {
        return false;
    }
    return v.size == 1 || (v.data[v.size - 1] & ((1U << v.data[0]) - 1)) == 0;
}

/* Each arc begins with other than zero bits and ends (X.690 section 8.19.2). */
static bool is_oid(struct span v) {
    bool begins = true;
    for (size_t i = 0; i < v.size; i++) {
        if (begins && v.data[i] == 0x80) {
            return false;
        }
        begins = (v.data[i] & 0x80) == 0;
    }
    return v.size > 0 && begins;
}

static bool is_time(struct span v, size_t size) {
    if (v.size != size || v.data[size - 1] != 'Z') {
        return false;
    }
    for (size_t i = 0; i + 1 < size; i++) {
        if (v.data[i] < '0' || v.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool is_good_primitive(uint8_t tag, struct span v) {
    if ((tag & CLASS) != CLASS_UNIVERSAL) {
        return true;
    }
    switch (tag & NUMBER) {
    case TAG_BOOLEAN:
        return is_true(v);
    case TAG_INTEGER:
        return is_short_integer(v);
    case TAG_BIT_STRING:
        return is_bit_string(v);
    case TAG_NULL:
        return v.size == 0;
    case TAG_OID:
        return is_oid(v);
    case TAG_UTC_TIME:
        return is_time(v, UTC_TIME_SIZE);
    case TAG_GENERALIZED_TIME:
        return is_time(v, GENERALIZED_TIME_SIZE);
    case TAG_SEQUENCE:
    case TAG_SET:
        return false;
    default:
        return true;
    }
}

/* ---- tag and length ---- */

static bool may_be_constructed(uint8_t tag) {
    int number = tag & NUMBER;
    return (tag & CLASS) != CLASS_UNIVERSAL || number == TAG_SEQUENCE || number == TAG_SET;
}

/* The length at *at, which moves behind it (X.690 sections 8.1.3 and 10.1). */
static bool read_length(struct span bytes, size_t *at, size_t *out) {
    if (*at == bytes.size) {
        return false;
    }
    uint8_t first = bytes.data[(*at)++];
    size_t count = first & 0x7F;
    if (first < 0x80) {
        *out = first;
        return true;
    }
    if (count == 0 || count > 4 || bytes.size - *at < count || bytes.data[*at] == 0) {
        return false;
    }
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size = size << 8 | bytes.data[(*at)++];
    }
    *out = size;
    return size >= 0x80;
}

/* The head of the value at `at`, which ends at `end` at the latest. */
static bool read_head(struct span bytes, size_t at, size_t end, struct value *out) {
    struct span outer = span_of(bytes.data, end);
    if (at == end || (bytes.data[at] & NUMBER) == NUMBER_LONG) {
        return false;
    }
    out->tag = bytes.data[at++];
    if (!read_length(outer, &at, &out->size) || end - at < out->size) {
        return false;
    }
    out->at = at;
    return true;
}

bool der_is_exact(struct span bytes) {
    size_t ends[LIMIT_DER_DEPTH]; /* of the constructed values around `at` */
    size_t depth = 0;
    size_t at = 0;
    do {
        struct value v;
        if (!read_head(bytes, at, depth == 0 ? bytes.size : ends[depth - 1], &v)) {
            return false;
        }
        at = v.at;
        if ((v.tag & CONSTRUCTED) != 0) {
            if (!may_be_constructed(v.tag) || depth == LIMIT_DER_DEPTH) {
                return false;
            }
            ends[depth++] = at + v.size;
        } else if (is_good_primitive(v.tag, span_of(bytes.data + at, v.size))) {
            at += v.size;
        } else {
            return false;
        }
        while (depth > 0 && ends[depth - 1] == at) {
            depth--;
        }
    } while (depth > 0);
    return at == bytes.size;
}
