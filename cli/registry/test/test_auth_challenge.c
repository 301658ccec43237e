/* Challenges of registries, and the answers of token servers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/registry/registry_auth.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *header;
    enum auth_scheme scheme;
    const char *realm;
    const char *service;
    const char *scope;
} GOOD[] = {
    {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull\"", AUTH_BEARER,
     "https://a/t", "s", "repository:a/b:pull"},
    {"bearer REALM = \"x\" , unknown=y , service = z", AUTH_BEARER, "x", "z", ""},
    {"Basic realm=\"my \\\"own\\\" registry\"", AUTH_BASIC, "my \"own\" registry", "", ""},
    {"Basic", AUTH_BASIC, "", "", ""},
    {"Basic realm=b, Bearer realm=\"t\"", AUTH_BEARER, "t", "", ""},
    {"Bearer realm=\"t\", Basic realm=b", AUTH_BEARER, "t", "", ""},
    {"Negotiate abc==, Basic realm=b", AUTH_BASIC, "b", "", ""},
    {", ,Basic realm=b,,", AUTH_BASIC, "b", "", ""},
    {"Digest realm=\"d\",nonce=\"n\"", AUTH_NONE, "", "", ""},
    {"", AUTH_NONE, "", "", ""},
};

static const char *const BAD[] = {
    "Bearer realm=\"x",      "Bearer realm=\"x\" junk",
    "Bearer realm=\"x\\",    "Bearer a=b,realm=,c=d",
    "Bearer realm=\"\001\"", "=x",
    "Bearer\"x\"",           "@",
    "a,a,a,a,a,a,a,a,a",     "Bearer realm=@",
};

static void test_good(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(GOOD); i++) {
        struct auth_challenge c = {0};
        struct err err = {0};
        if (!is_ok(auth_challenge_parse(span_str(GOOD[i].header), &c, &err))) {
            fail_msg("%s: %s", GOOD[i].header, err.text);
        }
        assert_int_equal(c.scheme, GOOD[i].scheme);
        assert_string_equal(c.realm, GOOD[i].realm);
        assert_string_equal(c.service, GOOD[i].service);
        assert_string_equal(c.scope, GOOD[i].scope);
    }
}

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct auth_challenge c = {0};
        struct err err = {0};
        if (auth_challenge_parse(span_str(BAD[i]), &c, &err).code != ERR_MALFORMED) {
            fail_msg("taken: %s", BAD[i]);
        }
        assert_int_equal(c.scheme, AUTH_NONE);
    }
}

static void test_too_long(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct auth_challenge c = {0};
    buf_append_str(&text, "Bearer realm=\"");
    memset(buf_extend(&text, AUTH_CHALLENGE_TEXT), 'a', AUTH_CHALLENGE_TEXT);
    buf_append_str(&text, "\"");
    assert_int_equal(auth_challenge_parse(buf_span(&text), &c, NULL).code, ERR_MALFORMED);
}

static void test_several_headers(void **state) {
    (void)state;
    struct auth_challenge c = {0};
    assert_true(is_ok(auth_challenge_parse(span_str("Bearer realm=t"), &c, NULL)));
    assert_true(is_ok(auth_challenge_parse(span_str("Basic realm=b"), &c, NULL)));
    assert_int_equal(c.scheme, AUTH_BEARER);
    assert_string_equal(c.realm, "t");
}

static void test_tokens(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        const char *token; /* NULL: refused */
    } rows[] = {
        {"{\"token\":\"a.b\"}", "a.b"},
        {"{\"access_token\":\"c\",\"expires_in\":300}", "c"},
        {"{\"token\":\"\",\"access_token\":\"c\"}", "c"},
        {"{\"token\":\"a\",\"access_token\":\"c\"}", "a"},
        {"{\"token\":\"a\\r\\nX: y\"}", NULL},
        {"{\"token\":\"a b\"}", NULL},
        {"{\"token\":7}", NULL},
        {"{}", NULL},
        {"<html>", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_deinit)
        struct buf token = {0};
        struct result r = registry_auth_parse_token(span_str(rows[i].answer), &token, NULL);
        assert_int_equal(is_ok(r), rows[i].token != NULL);
        assert_string_equal(buf_cstr(&token), rows[i].token != NULL ? rows[i].token : "");
    }
}

static void test_ranges(void **state) {
    (void)state;
    uint64_t from = 0;
    uint64_t size = 0;
    assert_true(registry_http_parse_range("bytes 5-9/10", &from, &size));
    assert_int_equal(from, 5);
    assert_int_equal(size, 10);
    assert_true(registry_http_parse_range("Bytes 0-0/*", &from, &size));
    assert_true(size == UINT64_MAX);
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes 5-4/10",
                                      "bytes 5-10/10",
                                      "bytes -9/10",
                                      "bytes 5-9/",
                                      "bytes 5-9",
                                      "items 5-9/10",
                                      "bytes 5-9/1x",
                                      "bytes */10",
                                      "bytes 5-99999999999999999999/*"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(registry_http_parse_range(bad[i], &from, &size));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_several_headers),
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
