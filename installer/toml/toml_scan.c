/* Scalars of TOML: strings, keys, numbers, booleans, dates; see the header.
 *
 * The text is valid UTF-8 before anything here runs (toml_parse). Numbers and dates are cut out as
 * one word and judged whole, so "1_", "0x" or "2020-02-30" never pass in part.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/toml/toml_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"

#define WORD_MAX 400 /* bytes of a number or a date, also when long zeros are written out */

int toml__peek(const struct toml_cursor *c, size_t ahead) {
    struct span text = c->file->text;
    return ahead < text.size - c->at ? text.data[c->at + ahead] : -1;
}

RESULT toml__fail_at(const struct toml_cursor *c, size_t offset, const char *what) {
    return toml_fail(c->file, offset, c->err, "%s", what);
}

RESULT toml__fail(const struct toml_cursor *c, const char *what) {
    return toml__fail_at(c, c->at, what);
}

bool toml__is_bare(int byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

static bool is_digit(int byte) {
    return byte >= '0' && byte <= '9';
}

static bool starts_with(const struct toml_cursor *c, const char *text) {
    size_t size = strlen(text);
    struct span all = c->file->text;
    return size <= all.size - c->at && memcmp(all.data + c->at, text, size) == 0;
}

/* --- Strings */

static void append_utf8(struct buf *out, uint32_t code) {
    if (code < 0x80) {
        buf_append_u8(out, (uint8_t)code);
    } else if (code < 0x800) {
        buf_append_u8(out, (uint8_t)(0xc0 | code >> 6));
        buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        buf_append_u8(out, (uint8_t)(0xe0 | code >> 12));
        buf_append_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        buf_append_u8(out, (uint8_t)(0xf0 | code >> 18));
        buf_append_u8(out, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
        buf_append_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

static int hex_value(int byte) {
    if (is_digit(byte)) {
        return byte - '0';
    }
    if (byte >= 'a' && byte <= 'f') {
        return byte - 'a' + 10;
    }
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* The cursor stands behind "\u" or "\U". */
static RESULT scan_code_point(struct toml_cursor *c, size_t digits, struct buf *out) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = hex_value(toml__peek(c, i));
        if (value < 0) {
            return toml__fail(c, "\\u takes 4 hexadecimal digits and \\U takes 8");
        }
        code = code << 4 | (uint32_t)value;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return toml__fail(c, "this escape stands for no character");
    }
    c->at += digits;
    append_utf8(out, code);
    return OK;
}

/* A backslash at the end of a line: the line end and all white space behind it vanish. */
static bool skip_line_escape(struct toml_cursor *c) {
    size_t i = 0;
    while (toml__peek(c, i) == ' ' || toml__peek(c, i) == '\t') {
        i++;
    }
    if (toml__peek(c, i) != '\n' && !(toml__peek(c, i) == '\r' && toml__peek(c, i + 1) == '\n')) {
        return false;
    }
    for (int byte = toml__peek(c, i); byte == ' ' || byte == '\t' || byte == '\n' ||
                                      (byte == '\r' && toml__peek(c, i + 1) == '\n');
         byte = toml__peek(c, i)) {
        i++;
    }
    c->at += i;
    return true;
}

/* The cursor stands behind the backslash. */
static RESULT scan_escape(struct toml_cursor *c, bool is_long, struct buf *out) {
    static const char names[] = "btnfr\"\\";
    static const char values[] = "\b\t\n\f\r\"\\";
    if (is_long && skip_line_escape(c)) {
        return OK;
    }
    int byte = toml__peek(c, 0);
    if (byte == 'u' || byte == 'U') {
        c->at++;
        return scan_code_point(c, byte == 'u' ? 4 : 8, out);
    }
    const char *found = byte > 0 ? strchr(names, byte) : NULL;
    if (found == NULL) {
        return toml__fail(c, "unknown escape; write \\\\ for a backslash or use 'single quotes'");
    }
    c->at++;
    buf_append(out, &values[found - names], 1);
    return OK;
}

/* One byte of a string that is no quote and no escape. */
static RESULT scan_plain_byte(struct toml_cursor *c, bool is_long, struct buf *out) {
    int byte = toml__peek(c, 0);
    if (byte < 0) {
        return toml__fail(c, "the file ends within a string; close its quotes");
    }
    if (byte == '\r' && toml__peek(c, 1) == '\n') {
        c->at++; /* a line end is a line feed, however it is written */
        byte = '\n';
    }
    if (byte == '\n' && !is_long) {
        return toml__fail(c, "the line ends within a string; close its quotes");
    }
    if ((byte < ' ' && byte != '\t' && byte != '\n') || byte == 0x7f) {
        return toml__fail(c, "a control character; write it as an escape");
    }
    buf_append_u8(out, (uint8_t)byte);
    c->at++;
    return OK;
}

/* Up to two quotes may stand right before the three that close a long string. */
static bool is_closed(struct toml_cursor *c, int quote, bool is_long, struct buf *out) {
    if (toml__peek(c, 0) != quote) {
        return false;
    }
    if (!is_long) {
        c->at++;
        return true;
    }
    if (toml__peek(c, 1) != quote || toml__peek(c, 2) != quote) {
        return false;
    }
    size_t quotes = 3;
    while (quotes < 5 && toml__peek(c, quotes) == quote) {
        buf_append_u8(out, (uint8_t)quote);
        quotes++;
    }
    c->at += quotes;
    return true;
}

/* Appends the content to `out`; the cursor stands on the first quote. */
static RESULT scan_quoted(struct toml_cursor *c, bool may_be_long, struct buf *out) {
    int quote = toml__peek(c, 0);
    bool is_long = may_be_long && toml__peek(c, 1) == quote && toml__peek(c, 2) == quote;
    c->at += is_long ? 3 : 1;
    if (is_long && starts_with(c, "\r\n")) {
        c->at += 2;
    } else if (is_long && starts_with(c, "\n")) {
        c->at++;
    }
    while (!is_closed(c, quote, is_long, out)) {
        if (quote == '"' && toml__peek(c, 0) == '\\') {
            c->at++;
            TRY(scan_escape(c, is_long, out));
        } else {
            TRY(scan_plain_byte(c, is_long, out));
        }
    }
    return OK;
}

static RESULT scan_into(struct toml_cursor *c, bool may_be_long, const char **text, size_t *size) {
    AUTO(buf_deinit)
    struct buf content = {0};
    TRY(scan_quoted(c, may_be_long, &content));
    *text = arena_strndup(&c->file->arena, (const char *)content.data, content.size);
    *size = content.size;
    return OK;
}

RESULT toml__scan_string(struct toml_cursor *c, struct toml_node *node) {
    node->kind = TOML_KIND_STRING;
    return scan_into(c, true, &node->string, &node->size);
}

RESULT toml__scan_key(struct toml_cursor *c, const char **text, size_t *size) {
    int byte = toml__peek(c, 0);
    if (byte == '"' || byte == '\'') {
        return scan_into(c, false, text, size);
    }
    size_t start = c->at;
    while (toml__is_bare(toml__peek(c, 0))) {
        c->at++;
    }
    if (c->at == start) {
        return toml__fail(c,
                          "a key is missing here; quote keys with other characters than letters, "
                          "digits, '_' and '-'");
    }
    *size = c->at - start;
    *text = arena_strndup(&c->file->arena, (const char *)c->file->text.data + start, *size);
    return OK;
}

/* --- Numbers. A word is NUL-terminated here. */

/* Digits of a base with single underscores between them; how many bytes, 0 when there are none. */
static size_t digits_size(const char *word, int base) {
    size_t i = 0;
    for (;;) {
        int value = hex_value((unsigned char)word[i]);
        if (value < 0 || value >= base) {
            return 0;
        }
        i++;
        value = hex_value((unsigned char)word[i]);
        if (word[i] == '_') {
            i++;
        } else if (value < 0 || value >= base) {
            return i;
        }
    }
}

static void drop_underscores(char *word) {
    char *out = word;
    for (const char *p = word; *p != '\0'; p++) {
        if (*p != '_') {
            *out++ = *p;
        }
    }
    *out = '\0';
}

static bool read_integer(char *word, int base, struct toml_node *node) {
    drop_underscores(word);
    errno = 0;
    long long value = strtoll(word, NULL, base);
    node->kind = TOML_KIND_INTEGER;
    node->integer = value;
    return errno == 0;
}

/* 0x, 0o, 0b: no sign. */
static bool scan_based(char *word, struct toml_node *node, bool *is_too_large) {
    int base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : word[1] == 'b' ? 2 : 0;
    if (word[0] != '0' || base == 0) {
        return false;
    }
    size_t size = digits_size(word + 2, base);
    if (size == 0 || word[2 + size] != '\0') {
        return false;
    }
    *is_too_large = !read_integer(word + 2, base, node);
    return true;
}

/* [+-]?(0|[1-9]...)(.digits)?([eE][+-]?digits)? */
static bool scan_decimal(char *word, struct toml_node *node, bool *is_too_large) {
    size_t sign = word[0] == '+' || word[0] == '-' ? 1 : 0;
    size_t size = digits_size(word + sign, 10);
    if (size == 0 || (word[sign] == '0' && size > 1)) {
        return false;
    }
    size_t at = sign + size;
    if (word[at] == '\0') {
        *is_too_large = !read_integer(word, 10, node);
        return true;
    }
    if (word[at] == '.') {
        size = digits_size(word + at + 1, 10);
        if (size == 0) {
            return false;
        }
        at += 1 + size;
    }
    if (word[at] == 'e' || word[at] == 'E') {
        at += word[at + 1] == '+' || word[at + 1] == '-' ? 2 : 1;
        size = digits_size(word + at, 10);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    if (word[at] != '\0') {
        return false;
    }
    drop_underscores(word);
    node->kind = TOML_KIND_FLOAT;
    node->number = strtod(word, NULL);
    return true;
}

static bool scan_name(const char *word, struct toml_node *node) {
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        node->kind = TOML_KIND_BOOL;
        node->boolean = word[0] == 't';
        return true;
    }
    bool has_sign = word[0] == '+' || word[0] == '-';
    const char *name = word + (has_sign ? 1 : 0);
    bool is_inf = strcmp(name, "inf") == 0;
    if (!is_inf && strcmp(name, "nan") != 0) {
        return false;
    }
    node->kind = TOML_KIND_FLOAT;
    double value = is_inf ? HUGE_VAL : (double)NAN;
    node->number = word[0] == '-' ? -value : value;
    return true;
}

/* --- Dates and times (RFC 3339, as TOML narrows it) */

static bool read_digits(const char **p, size_t count, unsigned least, unsigned most,
                        unsigned *out) {
    unsigned value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit((unsigned char)(*p)[i])) {
            return false;
        }
        value = value * 10 + (unsigned)((*p)[i] - '0');
    }
    *p += count;
    *out = value;
    return value >= least && value <= most;
}

static bool read_byte(const char **p, char byte) {
    if (**p != byte) {
        return false;
    }
    (*p)++;
    return true;
}

static bool scan_date(const char **p) {
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    if (!read_digits(p, 4, 1, 9999, &year) || !read_byte(p, '-') ||
        !read_digits(p, 2, 1, 12, &month) || !read_byte(p, '-') ||
        !read_digits(p, 2, 1, 31, &day)) {
        return false;
    }
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

static bool scan_time(const char **p) {
    unsigned value = 0;
    if (!read_digits(p, 2, 0, 23, &value) || !read_byte(p, ':') ||
        !read_digits(p, 2, 0, 59, &value) || !read_byte(p, ':') ||
        !read_digits(p, 2, 0, 59, &value)) {
        return false;
    }
    if (read_byte(p, '.')) {
        const char *start = *p;
        while (is_digit((unsigned char)**p)) {
            (*p)++;
        }
        return *p > start;
    }
    return true;
}

static bool scan_zone(const char **p) {
    unsigned value = 0;
    if (read_byte(p, 'Z') || read_byte(p, 'z')) {
        return true;
    }
    return (read_byte(p, '+') || read_byte(p, '-')) && read_digits(p, 2, 0, 23, &value) &&
           read_byte(p, ':') && read_digits(p, 2, 0, 59, &value);
}

static bool scan_moment(const char *word, struct toml_node *node) {
    const char *p = word;
    node->kind = TOML_KIND_TIME;
    if (word[0] != '\0' && word[1] != '\0' && word[2] == ':') {
        return scan_time(&p) && *p == '\0';
    }
    if (!scan_date(&p)) {
        return false;
    }
    if (*p == '\0') {
        return true;
    }
    if (!read_byte(&p, 'T') && !read_byte(&p, 't') && !read_byte(&p, ' ')) {
        return false;
    }
    return scan_time(&p) && (*p == '\0' || (scan_zone(&p) && *p == '\0'));
}

/* --- Words */

static bool is_word_byte(int byte) {
    return toml__is_bare(byte) || byte == '+' || byte == '.' || byte == ':';
}

/* "2020-01-01 10:00:00" is one word with a space in it. */
static bool is_date_space(const struct toml_cursor *c, size_t size) {
    return size == 10 && toml__peek(c, 4) == '-' && toml__peek(c, 10) == ' ' &&
           is_digit(toml__peek(c, 11)) && is_digit(toml__peek(c, 12)) && toml__peek(c, 13) == ':';
}

RESULT toml__scan_plain(struct toml_cursor *c, struct toml_node *node) {
    char word[WORD_MAX + 1];
    size_t size = 0;
    while (is_word_byte(toml__peek(c, size)) || is_date_space(c, size)) {
        if (size == WORD_MAX) {
            return toml__fail(c, "this value is too long");
        }
        word[size] = (char)toml__peek(c, size);
        size++;
    }
    word[size] = '\0';
    if (size == 0) {
        return toml__fail(c, "a value is missing here");
    }
    bool is_too_large = false;
    if (!scan_name(word, node) && !scan_based(word, node, &is_too_large) &&
        !scan_decimal(word, node, &is_too_large) && !scan_moment(word, node)) {
        return toml__fail(c, "no value of TOML; put text into quotes");
    }
    if (is_too_large) {
        return toml__fail(c, "a number beyond 64 bits");
    }
    c->at += size;
    return OK;
}
