/* Initdata's TOML: a cursor over the text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_toml.h"

#include <string.h>

#include "lib/base/mem.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    size_t line;
};

static bool is_end(const struct cursor *c) {
    return c->at == c->end;
}

static uint8_t peek(const struct cursor *c) {
    return is_end(c) ? 0 : *c->at;
}

static bool starts(const struct cursor *c, const char *word) {
    size_t size = strlen(word);
    return (size_t)(c->end - c->at) >= size && memcmp(c->at, word, size) == 0;
}

static void skip(struct cursor *c, size_t count) {
    for (; count > 0; count--) {
        c->line += *c->at++ == '\n' ? 1 : 0;
    }
}

static void skip_blanks(struct cursor *c) {
    while (peek(c) == ' ' || peek(c) == '\t') {
        skip(c, 1);
    }
}

/* Blanks, comments and ends of lines. */
static void skip_lines(struct cursor *c) {
    for (;;) {
        skip_blanks(c);
        if (peek(c) == '#') {
            while (!is_end(c) && peek(c) != '\n') {
                skip(c, 1);
            }
        } else if (peek(c) == '\n' || starts(c, "\r\n")) {
            skip(c, peek(c) == '\n' ? 1 : 2);
        } else {
            return;
        }
    }
}

bool policy_toml_is(struct span text) {
    struct cursor c = {text.data, text.data + text.size, 1};
    if (text.size == 0) {
        return false;
    }
    skip_lines(&c);
    if (starts(&c, "[data]")) {
        return true;
    }
    if (!starts(&c, "version") && !starts(&c, "algorithm")) {
        return false;
    }
    skip(&c, starts(&c, "version") ? 7 : 9);
    skip_blanks(&c);
    return peek(&c) == '=';
}

/* --- Strings */

static RESULT append_code(struct cursor *c, size_t digits, struct buf *out, struct err *err) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        static const char hex[] = "0123456789abcdef";
        uint8_t lower = (uint8_t)(peek(c) >= 'A' && peek(c) <= 'F' ? peek(c) + 32 : peek(c));
        const char *digit = lower != 0 ? strchr(hex, lower) : NULL;
        ENSURE(digit != NULL, err, MALFORMED, "TOML: line %zu: want %zu hexadecimal digits",
               c->line, digits);
        code = code << 4 | (uint32_t)(digit - hex);
        skip(c, 1);
    }
    bool is_scalar = code != 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
    ENSURE(is_scalar, err, MALFORMED, "TOML: line %zu: no character has this code", c->line);
    if (code < 0x80) {
        buf_append_u8(out, (uint8_t)code);
        return OK;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_append_u8(out, (uint8_t)(lead[more] | code >> (6 * more)));
    while (more-- > 0) {
        buf_append_u8(out, (uint8_t)(0x80 | ((code >> (6 * more)) & 0x3f)));
    }
    return OK;
}

/* Behind the backslash. */
static RESULT append_escape(struct cursor *c, bool is_multi, struct buf *out, struct err *err) {
    static const char from[] = "btnfr\"\\";
    static const char to[] = "\b\t\n\f\r\"\\";
    uint8_t letter = peek(c);
    const char *found = letter != 0 ? strchr(from, letter) : NULL;
    if (found != NULL) {
        buf_append_u8(out, (uint8_t)to[found - from]);
        skip(c, 1);
        return OK;
    }
    if (letter == 'u' || letter == 'U') {
        skip(c, 1);
        return append_code(c, letter == 'u' ? 4 : 8, out, err);
    }
    bool is_break = letter == '\n' || letter == ' ' || letter == '\t' || starts(c, "\r\n");
    ENSURE(is_multi && is_break, err, MALFORMED, "TOML: line %zu: no such escape", c->line);
    while (peek(c) == ' ' || peek(c) == '\t' || peek(c) == '\n' || peek(c) == '\r') {
        skip(c, 1);
    }
    return OK;
}

/* Between three quotes: up to two more may end the text. */
static bool ends_multi(struct cursor *c, const char *quotes, struct buf *out) {
    if (!starts(c, quotes)) {
        return false;
    }
    skip(c, 3);
    for (int i = 0; i < 2 && peek(c) == (uint8_t)quotes[0]; i++) {
        buf_append_u8(out, (uint8_t)quotes[0]);
        skip(c, 1);
    }
    return true;
}

static RESULT read_multi(struct cursor *c, const char *quotes, struct buf *out, struct err *err) {
    size_t line = c->line;
    skip(c, 3);
    if (peek(c) == '\n' || starts(c, "\r\n")) {
        skip(c, peek(c) == '\n' ? 1 : 2);
    }
    while (!ends_multi(c, quotes, out)) {
        ENSURE(!is_end(c), err, MALFORMED, "TOML: line %zu: the string has no end", line);
        bool is_escape = peek(c) == '\\' && quotes[0] == '"';
        uint8_t byte = peek(c);
        skip(c, 1);
        if (is_escape) {
            TRY(append_escape(c, true, out, err));
        } else {
            buf_append_u8(out, byte);
        }
    }
    return OK;
}

static RESULT read_single(struct cursor *c, struct buf *out, struct err *err) {
    uint8_t quote = peek(c);
    skip(c, 1);
    while (peek(c) != quote) {
        uint8_t byte = peek(c);
        ENSURE(!is_end(c) && byte != '\n', err, MALFORMED, "TOML: line %zu: the string has no end",
               c->line);
        skip(c, 1);
        if (byte == '\\' && quote == '"') {
            TRY(append_escape(c, false, out, err));
        } else {
            buf_append_u8(out, byte);
        }
    }
    skip(c, 1);
    return OK;
}

static RESULT read_string(struct cursor *c, struct buf *out, struct err *err) {
    if (starts(c, "'''") || starts(c, "\"\"\"")) {
        return read_multi(c, peek(c) == '"' ? "\"\"\"" : "'''", out, err);
    }
    ENSURE(peek(c) == '"' || peek(c) == '\'', err, MALFORMED, "TOML: line %zu: want a string",
           c->line);
    return read_single(c, out, err);
}

/* --- Statements */

static bool is_bare(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static RESULT read_key(struct cursor *c, struct buf *out, struct err *err) {
    if (peek(c) == '"' || peek(c) == '\'') {
        return read_single(c, out, err);
    }
    while (is_bare(peek(c))) {
        buf_append_u8(out, peek(c));
        skip(c, 1);
    }
    ENSURE(out->size > 0, err, MALFORMED, "TOML: line %zu: want a key or [data]", c->line);
    return OK;
}

struct found {
    struct buf algorithm;
    struct buf rego;
    bool has_rego;
    bool has_algorithm;
    bool is_data; /* below [data] */
};

static void found_deinit(struct found *f) {
    buf_deinit(&f->algorithm);
    buf_deinit(&f->rego);
}

static RESULT read_pair(struct cursor *c, struct found *f, struct err *err) {
    AUTO(buf_deinit)
    struct buf key = {0};
    AUTO(buf_deinit)
    struct buf value = {0};
    size_t line = c->line;
    TRY(read_key(c, &key, err));
    skip_blanks(c);
    ENSURE(peek(c) == '=', err, MALFORMED, "TOML: line %zu: want \"=\" behind the key", c->line);
    skip(c, 1);
    skip_blanks(c);
    TRY(read_string(c, &value, err));
    bool is_rego = f->is_data && strcmp(buf_cstr(&key), "policy.rego") == 0;
    bool is_algorithm = !f->is_data && strcmp(buf_cstr(&key), "algorithm") == 0;
    ENSURE(!(is_rego && f->has_rego) && !(is_algorithm && f->has_algorithm), err, MALFORMED,
           "TOML: line %zu: the key stands twice", line);
    if (is_rego || is_algorithm) {
        buf_append_span(is_rego ? &f->rego : &f->algorithm, buf_span(&value));
        f->has_rego = f->has_rego || is_rego;
        f->has_algorithm = f->has_algorithm || is_algorithm;
    }
    return OK;
}

static RESULT read_statement(struct cursor *c, struct found *f, struct err *err) {
    if (peek(c) == '[') {
        ENSURE(starts(c, "[data]") && !f->is_data, err, MALFORMED,
               "TOML: line %zu: want one table [data] and no other", c->line);
        skip(c, strlen("[data]"));
        f->is_data = true;
    } else {
        TRY(read_pair(c, f, err));
    }
    skip_blanks(c);
    ENSURE(is_end(c) || peek(c) == '\n' || peek(c) == '#' || starts(c, "\r\n"), err, MALFORMED,
           "TOML: line %zu: something stands behind the value", c->line);
    return OK;
}

static RESULT read_digest(struct found *f, enum policy_toml_digest *out, struct err *err) {
    static const char *const names[] = {"sha256", "sha384", "sha512"};
    static const char *const dashed[] = {"sha-256", "sha-384", "sha-512"};
    const char *name = buf_cstr(&f->algorithm);
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0 || strcmp(name, dashed[i]) == 0) {
            *out = (enum policy_toml_digest)i;
            return OK;
        }
    }
    return err_set(err, ERR_MALFORMED,
                   "TOML: algorithm: \"%.20s\" is none of sha256, sha384 and sha512", name);
}

RESULT policy_toml_read(struct span text, enum policy_toml_digest *digest, struct buf *rego,
                        struct err *err) {
    struct cursor c = {text.data, text.data + text.size, 1};
    AUTO(found_deinit)
    struct found f = {0};
    for (skip_lines(&c); !is_end(&c); skip_lines(&c)) {
        TRY(read_statement(&c, &f, err));
    }
    ENSURE(f.has_rego, err, MALFORMED, "TOML: no \"policy.rego\" below [data]");
    enum policy_toml_digest kind = POLICY_TOML_SHA256;
    TRY(read_digest(&f, &kind, err));
    *digest = kind;
    buf_append_span(rego, buf_span(&f.rego));
    return OK;
}
