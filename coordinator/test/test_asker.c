/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/asker.h"

static void assert_asker(const char *peer, const char *want) {
    uint8_t got[ENDORSER_SOURCE_SIZE];
    char hex[2 * sizeof got + 1];
    asker_parse(peer, got);
    hex_encode(SPAN(got), hex);
    assert_string_equal(hex, want);
}

static void test_whom_an_address_is(void **state) {
    (void)state;
    assert_asker("192.0.2.7:41000", "00000000000000000000ffffc0000207");
    assert_asker("192.0.2.7:9", "00000000000000000000ffffc0000207");
    assert_asker("192.0.2.8:9", "00000000000000000000ffffc0000208");
    assert_asker("[::ffff:192.0.2.7]:9", "00000000000000000000ffffc0000207");
    assert_asker("[2001:db8:0:1::99]:41000", "20010db8000000010000000000000000");
    assert_asker("[2001:db8:0:1:5::1]:1", "20010db8000000010000000000000000");
    assert_asker("[2001:db8:0:2::99]:41000", "20010db8000000020000000000000000");
}

static void test_what_is_no_address_is_one_asker(void **state) {
    (void)state;
    static const char *const bad[] = {"", "?", "192.0.2.7", "name:1", "[2001:db8::1:1", ":1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_asker(bad[i], "00000000000000000000000000000000");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whom_an_address_is),
        cmocka_unit_test(test_what_is_no_address_is_one_asker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
