/* Challenges: see auth_challenge.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/auth_challenge.h"

#include <string.h>
#include <strings.h>

#include "lib/base/limits.h"

/* RFC 9110 section 5.6.2: tchar, and what token68 has besides. */
#define TOKEN_EXTRA "!#$%&'*+-.^_`|~"
#define TOKEN68_EXTRA "-._~+/"
#define NAME_SIZE 64

struct cursor {
    struct span rest;
};

static bool is_alnum(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_in(uint8_t c, const char *set) {
    return is_alnum(c) || (c != '\0' && strchr(set, c) != NULL);
}

static void skip(struct cursor *c, size_t n) {
    c->rest = span_of(c->rest.data + n, c->rest.size - n);
}

static bool at(const struct cursor *c, char ch) {
    return c->rest.size > 0 && c->rest.data[0] == (uint8_t)ch;
}

static void skip_space(struct cursor *c) {
    while (at(c, ' ') || at(c, '\t')) {
        skip(c, 1);
    }
}

static void skip_commas(struct cursor *c) {
    skip_space(c);
    while (at(c, ',')) {
        skip(c, 1);
        skip_space(c);
    }
}

static struct span take_run(struct cursor *c, const char *set) {
    size_t n = 0;
    while (n < c->rest.size && is_in(c->rest.data[n], set)) {
        n++;
    }
    struct span run = span_of(c->rest.data, n);
    skip(c, n);
    return run;
}

/* RFC 9110 section 5.6.4. */
static RESULT take_quoted(struct cursor *c, char *out, struct err *err) {
    size_t n = 0;
    skip(c, 1);
    while (c->rest.size > 0 && !at(c, '"')) {
        if (at(c, '\\')) {
            skip(c, 1);
        }
        ENSURE(c->rest.size > 0 && c->rest.data[0] >= ' ' && c->rest.data[0] != 0x7F, err,
               MALFORMED, "a quoted text of the challenge is cut or holds a control character");
        ENSURE(n + 1 < AUTH_CHALLENGE_TEXT, err, MALFORMED, "a text of the challenge is too long");
        out[n++] = (char)c->rest.data[0];
        skip(c, 1);
    }
    ENSURE(at(c, '"'), err, MALFORMED, "a quoted text of the challenge has no end");
    skip(c, 1);
    out[n] = '\0';
    return OK;
}

static RESULT take_value(struct cursor *c, char *out, struct err *err) {
    if (at(c, '"')) {
        return take_quoted(c, out, err);
    }
    struct span token = take_run(c, TOKEN_EXTRA);
    ENSURE(token.size > 0 && token.size < AUTH_CHALLENGE_TEXT, err, MALFORMED,
           "a parameter of the challenge has no value or a long one");
    memcpy(out, token.data, token.size);
    out[token.size] = '\0';
    return OK;
}

static bool is_named(struct span name, const char *text) {
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}

static char *slot_of(struct auth_challenge *into, struct span name) {
    return is_named(name, "realm")     ? into->realm
           : is_named(name, "service") ? into->service
           : is_named(name, "scope")   ? into->scope
                                       : NULL;
}

/* A parameter "name = value" here, and not the scheme of the next challenge. */
static bool is_parameter(struct cursor c) {
    struct span name = take_run(&c, TOKEN_EXTRA);
    skip_space(&c);
    return name.size > 0 && at(&c, '=');
}

static RESULT take_parameters(struct cursor *c, struct auth_challenge *into, struct err *err) {
    skip_commas(c);
    while (is_parameter(*c)) {
        char value[AUTH_CHALLENGE_TEXT];
        struct span name = take_run(c, TOKEN_EXTRA);
        skip_space(c);
        skip(c, 1);
        skip_space(c);
        TRY(take_value(c, value, err));
        char *slot = slot_of(into, name);
        if (slot != NULL) {
            memcpy(slot, value, strlen(value) + 1);
        }
        skip_space(c);
        ENSURE(c->rest.size == 0 || at(c, ','), err, MALFORMED,
               "something stands behind a parameter of the challenge");
        skip_commas(c);
    }
    return OK;
}

/* "Negotiate abc==" and the like: one text without a name. */
static void skip_token68(struct cursor *c) {
    struct cursor probe = *c;
    skip_space(&probe);
    struct span run = take_run(&probe, TOKEN68_EXTRA);
    while (at(&probe, '=')) {
        skip(&probe, 1);
    }
    skip_space(&probe);
    if (run.size > 0 && (probe.rest.size == 0 || at(&probe, ','))) {
        *c = probe;
    }
}

static RESULT take_challenge(struct cursor *c, struct auth_challenge *into, struct err *err) {
    struct span scheme = take_run(c, TOKEN_EXTRA);
    ENSURE(scheme.size > 0, err, MALFORMED, "the challenge names no scheme");
    into->scheme = is_named(scheme, "bearer")  ? AUTH_BEARER
                   : is_named(scheme, "basic") ? AUTH_BASIC
                                               : AUTH_NONE;
    ENSURE(c->rest.size == 0 || at(c, ' ') || at(c, '\t') || at(c, ','), err, MALFORMED,
           "the challenge's scheme is no token");
    skip_token68(c);
    return take_parameters(c, into, err);
}

struct result auth_challenge_parse(struct span header, struct auth_challenge *out,
                                   struct err *err) {
    struct cursor c = {header};
    struct auth_challenge best = *out;
    skip_commas(&c);
    for (size_t n = 0; c.rest.size > 0; n++) {
        struct auth_challenge next = {0};
        ENSURE(n < LIMIT_REGISTRY_CHALLENGES, err, MALFORMED, "more than %d challenges",
               LIMIT_REGISTRY_CHALLENGES);
        TRY(take_challenge(&c, &next, err));
        if (next.scheme > best.scheme) {
            best = next;
        }
    }
    *out = best;
    return OK;
}
