/* Scan: see wire_scan.h. The first bytes of msgpack values, as far as messages use them:
 *
 *   00..7f integer   90..9f array   a0..bf str   c2 c3 boolean   c4 c5 c6 bin 8 16 32
 *   cc cd ce cf unsigned 8 16 32 64   d9 da db str 8 16 32   dc dd array 16 32
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_scan.h"

#include "lib/base/limits.h"

/* What the first byte of a value says. */
struct head {
    size_t number_size; /* bytes of the number behind the first byte */
    uint32_t number;    /* the number itself when number_size is 0 */
    bool is_array;      /* the number counts elements */
    bool is_data;       /* the number counts bytes that follow */
};

static RESULT read_marker(uint8_t marker, struct head *out, struct err *err) {
    *out = (struct head){0};
    if (marker <= 0x7f || marker == 0xc2 || marker == 0xc3) {
        return OK;
    }
    if (marker >= 0x90 && marker <= 0x9f) {
        *out = (struct head){.number = marker & 0x0f, .is_array = true};
    } else if (marker >= 0xa0 && marker <= 0xbf) {
        *out = (struct head){.number = marker & 0x1f, .is_data = true};
    } else if (marker >= 0xc4 && marker <= 0xc6) {
        *out = (struct head){.number_size = (size_t)1 << (marker - 0xc4), .is_data = true};
    } else if (marker >= 0xcc && marker <= 0xcf) {
        *out = (struct head){.number_size = (size_t)1 << (marker - 0xcc)};
    } else if (marker >= 0xd9 && marker <= 0xdb) {
        *out = (struct head){.number_size = (size_t)1 << (marker - 0xd9), .is_data = true};
    } else if (marker == 0xdc || marker == 0xdd) {
        *out = (struct head){.number_size = marker == 0xdc ? 2 : 4, .is_array = true};
    } else {
        return err_set(err, ERR_MALFORMED, "a value of type 0x%02x, which messages do not use",
                       marker);
    }
    return OK;
}

/* Reads one head (and its data); *elements is the count of an array, else 0. */
static RESULT skip_value(struct span bytes, size_t *at, uint64_t *elements, struct err *err) {
    ENSURE(*at < bytes.size, err, MALFORMED, "ends too early");
    struct head head;
    TRY(read_marker(bytes.data[*at], &head, err));
    size_t left = bytes.size - *at - 1;
    ENSURE(head.number_size <= left, err, MALFORMED, "ends too early");
    uint64_t number = head.number;
    for (size_t i = 0; i < head.number_size; i++) {
        number = number << 8 | bytes.data[*at + 1 + i];
    }
    left -= head.number_size;
    if (head.is_array || head.is_data) {
        ENSURE(number <= left, err, MALFORMED, "ends too early: %llu %s, %zu bytes left",
               (unsigned long long)number, head.is_array ? "elements" : "bytes", left);
    }
    *at += 1 + head.number_size + (head.is_data ? (size_t)number : 0);
    *elements = head.is_array ? number : 0;
    return OK;
}

struct result wire_scan_check(struct span bytes, struct err *err) {
    uint64_t left[LIMIT_WIRE_DEPTH + 1]; /* elements still to come, per level */
    size_t depth = 0;
    size_t at = 0;
    left[0] = 1;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                ENSURE(at == bytes.size, err, MALFORMED, "%zu bytes behind the message",
                       bytes.size - at);
                return OK;
            }
            depth--;
        }
        left[depth]--;
        uint64_t elements = 0;
        size_t offset = at;
        struct result r = skip_value(bytes, &at, &elements, err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "offset %zu", offset);
        }
        if (elements > 0) {
            ENSURE(depth < LIMIT_WIRE_DEPTH, err, MALFORMED, "offset %zu: nested over %d deep",
                   offset, LIMIT_WIRE_DEPTH);
            left[++depth] = elements;
        }
    }
}

bool wire_text_is_valid(struct span text) {
    for (size_t at = 0; at < text.size;) {
        size_t size = utf8_size(span_of(text.data + at, text.size - at));
        if (size == 0 || text.data[at] == 0) {
            return false;
        }
        at += size;
    }
    return true;
}
