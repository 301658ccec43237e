/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/err.h"
#include "lib/crypto/crl.h"
#include "lib/crypto/der.h"

/* A list in DER that revokes these serial numbers; `edition` makes it another one. */
static struct span make_list(uint8_t out[128], const char *serials, uint8_t edition) {
    static const char algorithm[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05";
    static const char date[] = "\x17\x0d"
                               "260101000000Z";
    size_t count = strlen(serials);
    struct buf b = {0};
    CHECK(count <= 3);
    buf_append_u8(&b, 0x30);
    buf_append_u8(&b, (uint8_t)(2 + 35 + (count == 0 ? 0 : 2 + 20 * count) + 15 + 4));
    buf_append_u8(&b, 0x30);
    buf_append_u8(&b, (uint8_t)(35 + (count == 0 ? 0 : 2 + 20 * count)));
    buf_append(&b, "\x02\x01\x01", 3);
    buf_append(&b, algorithm, sizeof algorithm);
    buf_append(&b, "\x30\x00", 2);
    buf_append(&b, date, sizeof date - 1);
    if (count > 0) {
        buf_append_u8(&b, 0x30);
        buf_append_u8(&b, (uint8_t)(20 * count));
    }
    for (size_t i = 0; i < count; i++) {
        buf_append(&b, "\x30\x12\x02\x01", 4);
        buf_append_u8(&b, (uint8_t)serials[i]);
        buf_append(&b, date, sizeof date - 1);
    }
    buf_append(&b, algorithm, sizeof algorithm);
    buf_append(&b, "\x03\x02\x00", 3);
    buf_append_u8(&b, edition);
    CHECK(b.size <= 128);
    memcpy(out, b.data, b.size);
    struct span der = span_of(out, b.size);
    buf_deinit(&b);
    return der;
}

static bool covers(const char *by, const char *old) {
    uint8_t a[128];
    uint8_t b[128];
    struct span first = make_list(a, by, 1);
    struct span second = make_list(b, old, 2);
    assert_true(der_is_exact(first) && der_is_exact(second));
    return crl_covers(first, second);
}

static void test_what_is_revoked_must_stay_so(void **state) {
    (void)state;
    assert_true(covers("", ""));
    assert_true(covers("a", ""));
    assert_true(covers("a", "a"));
    assert_true(covers("abc", "cb"));
    assert_false(covers("", "a"));
    assert_false(covers("b", "a"));
    assert_false(covers("ab", "abc"));
}

static void test_what_is_no_list_revokes_nothing(void **state) {
    uint8_t bytes[128];
    struct span list = make_list(bytes, "a", 1);
    (void)state;
    assert_true(crl_covers(list, span_str("no list")));
    assert_true(crl_covers(span_str("no list"), (struct span){0}));
    assert_false(crl_covers(span_str("no list"), list));
    for (size_t n = 0; n < list.size; n++) {
        assert_false(crl_covers(span_of(bytes, n), list));
        assert_true(crl_covers(list, span_of(bytes, n)));
    }
    assert_true(crl_covers(list, list));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_revoked_must_stay_so),
        cmocka_unit_test(test_what_is_no_list_revokes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
