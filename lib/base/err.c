/* Errors: see err.h. Pure but for err_check_failed.
 *
 * A text may quote a peer, and a limit may cut it in the middle of a character: it is cleaned, so
 * that it can be sent, logged and shown as it is.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bytes.h"

struct err_row {
    enum err_code code;
    enum err_class class;
    const char *name;
    const char *text;
};

static const struct err_row rows[] = {
#define X(name, number, class, text) {ERR_##name, ERR_CLASS_##class, #name, text},
    ERR_TABLE(X)
#undef X
};

static const struct err_row *find_row(unsigned number) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((unsigned)rows[i].code == number) {
            return &rows[i];
        }
    }
    return NULL;
}

static const struct err_row *row_of(enum err_code code) {
    const struct err_row *row = find_row((unsigned)code);
    CHECK(row != NULL);
    return row;
}

static bool is_control(const uint8_t *s) {
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

void err_clean(char *text) {
    const char *end = text + strlen(text);
    for (char *at = text; at < end;) {
        struct span rest = span_of(at, (size_t)(end - at));
        size_t size = utf8_size(rest);
        if (size == 0) {
            *at = '?';
            size = 1;
        } else if (is_control(rest.data)) {
            memset(at, ' ', size);
        }
        at += size;
    }
}

struct result err_set(struct err *err, enum err_code code, const char *format, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        err->retry_ms = 0;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        err_clean(err->text);
    }
    return (struct result){code};
}

void err_advise(struct err *err, uint64_t ms) {
    if (err != NULL) {
        err->retry_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    }
}

struct result err_wrap(struct result r, struct err *err, const char *format, ...) {
    if (err == NULL || is_ok(r)) {
        return r;
    }
    char inner[ERR_TEXT_SIZE];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used < sizeof err->text - 3) { /* a long chain is cut at the end */
        memcpy(err->text + used, ": ", 2);
        used += 2;
        size_t rest = sizeof err->text - 1 - used;
        size_t take = strnlen(inner, rest);
        memcpy(err->text + used, inner, take);
        err->text[used + take] = 0;
    }
    err_clean(err->text);
    return r;
}

void err_ignore(struct result r, const char *why) {
    (void)r;
    (void)why;
}

enum err_class err_class_of(enum err_code code) {
    return row_of(code)->class;
}

const char *err_name(enum err_code code) {
    return row_of(code)->name;
}

const char *err_text(enum err_code code) {
    return row_of(code)->text;
}

int err_exit_code(enum err_code code) {
    switch (err_class_of(code)) {
    case ERR_CLASS_NONE:
        return 0;
    case ERR_CLASS_RETRY:
    case ERR_CLASS_PEER:
    case ERR_CLASS_LOCAL:
        return 1;
    case ERR_CLASS_OPERATOR:
        return 2;
    case ERR_CLASS_DENIED:
        return 3;
    case ERR_CLASS_PROOF:
        return 4;
    }
    return 1;
}

enum err_code err_from_wire(unsigned number) {
    const struct err_row *row = find_row(number);
    return row == NULL ? ERR_INTERNAL : row->code;
}

void err_check_failed(const char *file, int line, const char *condition) {
    fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
    abort();
}
