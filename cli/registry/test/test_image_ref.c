/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/registry/image_ref.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "@sha256:" HEX
#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *text;
    const char *full;
} GOOD[] = {
    {"nginx", "docker.io/library/nginx:latest"},
    {"nginx:1.25", "docker.io/library/nginx:1.25"},
    {"nginx:1.25" DIGEST, "docker.io/library/nginx:1.25" DIGEST},
    {"nginx" DIGEST, "docker.io/library/nginx" DIGEST},
    {"a/b", "docker.io/a/b:latest"},
    {"docker.io/nginx", "docker.io/library/nginx:latest"},
    {"index.docker.io/a/b", "docker.io/a/b:latest"},
    {"registry-1.docker.io/nginx:x", "docker.io/library/nginx:x"},
    {"localhost/x", "localhost/x:latest"},
    {"localhost:5000/x", "localhost:5000/x:latest"},
    {"HOST/x", "HOST/x:latest"},
    {"127.0.0.1:5000/a/b/c:T_a-g.1", "127.0.0.1:5000/a/b/c:T_a-g.1"},
    {"[::1]:5000/a", "[::1]:5000/a:latest"},
    {"[2001:db8::1]/a", "[2001:db8::1]/a:latest"},
    {"ghcr.io/a--b/c__d/e.f/g_h", "ghcr.io/a--b/c__d/e.f/g_h:latest"},
    {"localhost/" HEX, "localhost/" HEX ":latest"},
    {"mcr.example:65535/a", "mcr.example:65535/a:latest"},
};

static const struct {
    const char *text;
    const char *why;
} BAD[] = {
    {"", "it is empty"},
    {"Nginx", "lower-case"},
    {"a/B", "lower-case"},
    {"a//b", "lower-case"},
    {"a/", "lower-case"},
    {"a b", "lower-case"},
    {"a___b", "lower-case"},
    {"a..b", "lower-case"},
    {"a._b", "lower-case"},
    {"-a", "lower-case"},
    {"a-", "lower-case"},
    {"a/../b", "lower-case"},
    {"a\n", "lower-case"},
    {"https://a.example/b", "registry"},
    {"a.example:0/b", "registry"},
    {"a.example:65536/b", "registry"},
    {"a.example:/b", "registry"},
    {"a.example:8x/b", "registry"},
    {".example/b", "registry"},
    {"a..example/b", "registry"},
    {"-a.example/b", "registry"},
    {"user@a.example/b", "digest"},
    {"[::1/a", "registry"},
    {"[1]/a", "registry"},
    {"[::g]/a", "registry"},
    {"a:", "a tag has"},
    {"a:-x", "a tag has"},
    {"a:.x", "a tag has"},
    {"a:x y", "a tag has"},
    {"a:" A50 A50 A50, "a tag has"},
    {"a@", "digest"},
    {"a@sha256:", "digest"},
    {"a@sha256:" HEX "0", "digest"},
    {"a@sha512:" HEX, "digest"},
    {"a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "digest"},
    {"a@sha256:0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef", "digest"},
    {HEX, "id of an image"},
    {A50 A50 A50 A50 A50 "/b", "255 bytes"},
};

static void test_good(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(GOOD); i++) {
        struct image_ref ref;
        struct err err = {0};
        AUTO(buf_deinit)
        struct buf full = {0};
        if (!is_ok(image_ref_parse(span_str(GOOD[i].text), &ref, &err))) {
            fail_msg("%s: %s", GOOD[i].text, err.text);
        }
        image_ref_text(&ref, &full);
        assert_string_equal(buf_cstr(&full), GOOD[i].full);
        /* What it says in full means the same. */
        struct image_ref again;
        assert_true(is_ok(image_ref_parse(buf_span(&full), &again, &err)));
        assert_string_equal(again.host, ref.host);
        assert_string_equal(again.name, ref.name);
        assert_string_equal(again.tag, ref.tag);
    }
}

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct image_ref ref = {.tag = "untouched"};
        struct err err = {0};
        struct result r = image_ref_parse(span_str(BAD[i].text), &ref, &err);
        if (r.code != ERR_INVALID || strstr(err.text, BAD[i].why) == NULL) {
            fail_msg("%s: want '%s', have '%s'", BAD[i].text, BAD[i].why, err.text);
        }
        assert_string_equal(ref.tag, "untouched");
    }
}

static void test_nul_is_no_letter(void **state) {
    (void)state;
    struct image_ref ref;
    assert_false(is_ok(image_ref_parse(span_of("a\0b", 3), &ref, NULL)));
    assert_false(is_ok(image_ref_parse(span_of("a:x\0", 4), &ref, NULL)));
}

static void test_pin(void **state) {
    (void)state;
    uint8_t digest[SHA256_SIZE];
    assert_true(is_ok(hex_decode(span_str(HEX), digest, sizeof digest, NULL)));
    static const char *const texts[] = {"nginx:1", "nginx:1@sha256:" A50};
    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO(buf_deinit)
        struct buf out = {0};
        image_ref_pin(span_str(texts[i]), digest, &out);
        assert_string_equal(buf_cstr(&out), "nginx:1" DIGEST);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_nul_is_no_letter),
        cmocka_unit_test(test_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
