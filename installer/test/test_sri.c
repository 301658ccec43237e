/* SRI: what is accepted, which digest counts, what is refused and how it is told.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/sri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* printf '' | openssl dgst -shaN -binary | base64 */
#define EMPTY_256 "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define EMPTY_384 "sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb"
#define EMPTY_512                                                                                  \
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+"                               \
    "DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="

static void test_the_strongest_counts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *counts;
        size_t size;
    } rows[] = {
        {EMPTY_256, EMPTY_256, 32},
        {EMPTY_384, EMPTY_384, 48},
        {EMPTY_512, EMPTY_512, 64},
        {"  " EMPTY_512 "  " EMPTY_256 " ", EMPTY_512, 64},
        {EMPTY_256 " " EMPTY_384, EMPTY_384, 48},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sri sri = {0};
        struct err err;
        AUTO(buf_deinit)
        struct buf text = {0};
        assert_true(is_ok(sri_parse(rows[i].text, &sri, &err)));
        assert_int_equal(sri.size, rows[i].size);
        sri_encode(&sri, &text);
        assert_string_equal(buf_cstr(&text), rows[i].counts);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"", "empty"},
        {"   ", "empty"},
        {"md5-1B2M2Y8AsgTpgAmY7PhCfg==", "want sha256-"},
        {"sha256", "want sha256-"},
        {"sha256-", "want sha256-"},
        {"SHA256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "want sha256-"},
        {"sha256-47DEQpj8HBSa", "want the base64 of 32 bytes"},
        {EMPTY_256 "?ct=text", "want the base64 of 32 bytes"},
        {EMPTY_256 " " EMPTY_256, "stands there twice"},
        {"sha384-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "want the base64 of 48 bytes"},
        {EMPTY_256 "\t" EMPTY_384, "want the base64 of 32 bytes"},
        {EMPTY_512 " nonsense", "want sha256-"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sri sri = {.size = 7};
        struct err err;
        struct result r = sri_parse(rows[i].text, &sri, &err);
        assert_int_equal(r.code, ERR_INVALID);
        assert_non_null(strstr(err.text, rows[i].says));
        assert_int_equal(sri.size, 7); /* untouched */
    }
}

static void test_every_prefix(void **state) {
    (void)state;
    char text[sizeof EMPTY_512];
    for (size_t size = 0; size < sizeof EMPTY_512 - 1; size++) {
        struct sri sri;
        struct err err;
        memcpy(text, EMPTY_512, size);
        text[size] = '\0';
        assert_false(is_ok(sri_parse(text, &sri, &err)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_strongest_counts),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
