/* Retry-After: seconds, the three forms of a date, and everything that is neither.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest/endorse/retry_after.h"
#include "lib/base/limits.h"

#define NOW INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT: the date of RFC 9110 */

static const struct {
    const char *text;
    uint64_t ms;
} GOOD[] = {
    {"0", 0},
    {"7", 7000},
    {" 120 ", 120000},
    {"120\r\n", 120000},
    {"00000000000000000000000030", 30000},
    {"3600", LIMIT_KDS_RETRY_MS},
    {"3601", LIMIT_KDS_RETRY_MS},
    {"99999999999999999999999999999999", LIMIT_KDS_RETRY_MS},
    {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
    {"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
    {"Sun Nov  6 08:49:47 1994", 10000},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
    {"Sun, 06 Nov 1994 08:49:36 GMT", 0},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Sun, 06 Nov 1994 08:59:60 GMT", 623000},
    {"Mon, 07 Nov 1994 08:49:37 GMT", LIMIT_KDS_RETRY_MS},
    {"Sunday, 06-Nov-44 08:49:47 GMT", LIMIT_KDS_RETRY_MS}, /* 2044 */
    {"Sunday, 06-Nov-45 08:49:47 GMT", 0},                  /* 1945 */
};

static void test_good(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        uint64_t ms = UINT64_MAX;
        struct err err = {0};
        if (!is_ok(retry_after_parse(span_str(GOOD[i].text), NOW, &ms, &err)) || ms != GOOD[i].ms) {
            fail_msg("'%s': %llu ms, want %llu: %s", GOOD[i].text, (unsigned long long)ms,
                     (unsigned long long)GOOD[i].ms, err.text);
        }
    }
}

static const char *const BAD[] = {
    "",
    " ",
    "-1",
    "+1",
    "1.5",
    "1 2",
    "0x10",
    "soon",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 GMT+1",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Wed, 29 Feb 1995 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    ", 06 Nov 1994 08:49:37 GMT",
    "Sun 06 Nov 1994 08:49:37 GMT",
    "Sun Nov 06 08:49:37 94",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
};

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        uint64_t ms = 5;
        struct err err = {0};
        struct result r = retry_after_parse(span_str(BAD[i]), NOW, &ms, &err);
        if (r.code != ERR_MALFORMED || ms != 5) {
            fail_msg("'%s' was taken for %llu ms", BAD[i], (unsigned long long)ms);
        }
    }
}

/* A prefix of a date is no date. */
static void test_prefixes(void **state) {
    (void)state;
    static const char *const dates[] = {"Sun, 06 Nov 1994 08:49:47 GMT",
                                        "Sunday, 06-Nov-94 08:49:47 GMT",
                                        "Sun Nov  6 08:49:47 1994"};
    for (size_t i = 0; i < 3; i++) {
        struct span whole = span_str(dates[i]);
        for (size_t n = 0; n < whole.size; n++) {
            uint64_t ms = 0;
            struct err err = {0};
            assert_false(is_ok(retry_after_parse(span_of(whole.data, n), NOW, &ms, &err)));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
