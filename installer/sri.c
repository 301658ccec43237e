/* SRI: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/sri.h"

#include <string.h>

struct algorithm {
    const char *prefix;
    size_t size; /* bytes of the digest */
};

static const struct algorithm ALGORITHMS[] = {{"sha256-", 32}, {"sha384-", 48}, {"sha512-", 64}};
#define ALGORITHM_COUNT (sizeof ALGORITHMS / sizeof ALGORITHMS[0])

static const struct algorithm *find(struct span word) {
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        const char *prefix = ALGORITHMS[i].prefix;
        if (word.size > strlen(prefix) && memcmp(word.data, prefix, strlen(prefix)) == 0) {
            return &ALGORITHMS[i];
        }
    }
    return NULL;
}

static RESULT parse_word(struct span word, struct sri *best, struct err *err) {
    const struct algorithm *a = find(word);
    ENSURE(a != NULL, err, INVALID, "\"%.*s\": want sha256-, sha384- or sha512- and base64",
           (int)(word.size < 24 ? word.size : 24), (const char *)word.data);
    AUTO(buf_deinit)
    struct buf digest = {0};
    size_t prefix = strlen(a->prefix);
    struct err cause;
    bool is_base64 =
        is_ok(base64_decode(span_of(word.data + prefix, word.size - prefix), &digest, &cause));
    ENSURE(is_base64 && digest.size == a->size, err, INVALID,
           "%.6s: want the base64 of %zu bytes after the hyphen", a->prefix, a->size);
    ENSURE(a->size != best->size, err, INVALID, "%.6s stands there twice", a->prefix);
    if (a->size > best->size) {
        best->size = a->size;
        memcpy(best->digest, digest.data, digest.size);
    }
    return OK;
}

RESULT sri_parse(const char *text, struct sri *out, struct err *err) {
    struct sri best = {0};
    for (const char *p = text + strspn(text, " "); *p != '\0'; p += strspn(p, " ")) {
        size_t size = strcspn(p, " ");
        TRY(parse_word(span_of(p, size), &best, err));
        p += size;
    }
    ENSURE(best.size > 0, err, INVALID, "empty; want sha256-, sha384- or sha512- and base64");
    *out = best;
    return OK;
}

void sri_encode(const struct sri *sri, struct buf *out) {
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        if (ALGORITHMS[i].size == sri->size) {
            buf_append_str(out, ALGORITHMS[i].prefix);
            base64_encode(span_of(sri->digest, sri->size), out);
        }
    }
}
