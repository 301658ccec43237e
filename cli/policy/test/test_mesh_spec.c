/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/mesh_spec.h"
#include "lib/base/limits.h"

typedef RESULT check_fn(const char *text, struct err *err);

struct bad {
    const char *text;
    const char *want;
};

static void assert_bad(check_fn *check, const struct bad *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        struct result r = check(rows[i].text, &err);
        if (r.code != ERR_INVALID || strstr(err.text, rows[i].want) == NULL) {
            fail_msg("%s: want '%s', got '%s'", rows[i].text, rows[i].want, err.text);
        }
    }
}

static void test_good(void **state) {
    (void)state;
    static const char *const ingress[] = {"", "web#8080#false", "a#1#true##b#65535#false",
                                          "A-b_c.9#80#true"};
    static const char *const egress[] = {
        "db#127.137.0.1:5432#db:5432",
        "a#127.0.0.1:1#a.b-c.example:65535##b#127.0.0.2:1#10.0.0.1:80",
        "a#127.255.255.255:80#0.example:1"};
    for (size_t i = 0; i < sizeof ingress / sizeof ingress[0]; i++) {
        assert_true(is_ok(mesh_spec_check_ingress(ingress[i], NULL)));
    }
    for (size_t i = 0; i < sizeof egress / sizeof egress[0]; i++) {
        assert_true(is_ok(mesh_spec_check_egress(egress[i], NULL)));
    }
}

static void test_bad_ingress(void **state) {
    (void)state;
    static const char port[] = "the port must be a number from 1 to 65535";
    static const struct bad rows[] = {
        {"web", "entry 1 \"web\": want name#port#true or name#port#false"},
        {"web#80", "want name#port#true"},
        {"#", "want name#port#true"},
        {"##", "entry 1 \"\": want name#port#true"},
        {"#80#true", "the name must have 1 to 63 letters"},
        {"a b#80#true", "the name must have"},
        {"$(X)#80#true", "the name must have"},
        {"w#0#true", port},
        {"w#65536#true", port},
        {"w#131152#true", port},
        {"w#-1#true", port},
        {"w#+80#true", port},
        {"w#080#true", port},
        {"w#http#true", port},
        {"w##true", "want name#port#true"},
        {"w#80#True", "want \"true\" (no TLS here)"},
        {"w#80#", "want \"true\""},
        {"w#80#true#", "want \"true\""},
        {"w#80#true ", "want \"true\""},
        {"w#80#true##", "entry 2 \"\": want name#port#true"},
        {"w#80#true##w#81#true", "entry 2 \"w#81#true\": entry 1 has this name already"},
        {"w#80#true##x#80#false", "entry 2 \"x#80#false\": entry 1 has this port already"},
        {"w#80#true###x#81#true", "the name must have"},
        {"w#15006#false", "port 15006 is the proxy's own"},
        {"w#15007#false", "port 15007 is the proxy's own"},
    };
    assert_bad(mesh_spec_check_ingress, rows, sizeof rows / sizeof rows[0]);
}

static void test_bad_egress(void **state) {
    (void)state;
    static const char listener[] = "the listener must be an address in 127.0.0.0/8";
    static const char remote[] = "the remote end must be a DNS name or an IPv4 address";
    static const struct bad rows[] = {
        {"", "is empty"},
        {"a#127.0.0.1:80", "want name#127.x.x.x:port#host:port"},
        {"a#128.0.0.1:80#b:80", listener},
        {"a#0.0.0.0:80#b:80", listener},
        {"a#localhost:80#b:80", listener},
        {"a#127.0.0:80#b:80", listener},
        {"a#127.0.0.1.1:80#b:80", listener},
        {"a#127.0.0.256:80#b:80", listener},
        {"a#127.0.0.01:80#b:80", listener},
        {"a#127.0.0.1:65536#b:80", listener},
        {"a#127.0.0.1#b:80", listener},
        {"a#[::1]:80#b:80", listener},
        {"a#127.0.0.1:15006#b:80", "proxy's own"},
        {"a#127.0.0.1:80#b", remote},
        {"a#127.0.0.1:80#b:0", remote},
        {"a#127.0.0.1:80#b:65536", remote},
        {"a#127.0.0.1:80#:80", remote},
        {"a#127.0.0.1:80#-b:80", remote},
        {"a#127.0.0.1:80#b..c:80", remote},
        {"a#127.0.0.1:80#b_c:80", remote},
        {"a#127.0.0.1:80#10.0.0.300:80", remote},
        {"a#127.0.0.1:80#[::1]:80", remote},
        {"a#127.0.0.1:80#b:80#c", remote},
        {"a#127.0.0.1:80#b:80##a#127.0.0.1:81#b:80", "entry 1 has this name"},
        {"a#127.0.0.1:80#b:80##c#127.0.0.1:80#b:80", "entry 1 has this port"},
    };
    assert_bad(mesh_spec_check_egress, rows, sizeof rows / sizeof rows[0]);
}

static void test_admin(void **state) {
    (void)state;
    struct err err = {0};
    uint16_t port = 0;
    assert_true(is_ok(mesh_spec_check_admin("9901", "a#127.0.0.1:80#b:80", &port, &err)));
    assert_int_equal(port, 9901);
    static const char *const bad[] = {"", "0", "65536", "9901 ", "x", "15007"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mesh_spec_check_admin(bad[i], NULL, &port, &err).code, ERR_INVALID);
    }
    assert_false(is_ok(mesh_spec_check_admin("80", "a#127.0.0.1:80#b:81", &port, &err)));
    assert_non_null(strstr(err.text, "entry 1 of servicemesh-egress listens on port 80"));
}

static void test_at_most_so_many(void **state) {
    (void)state;
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    for (int i = 1; i <= LIMIT_MESH_ENTRIES; i++) {
        buf_appendf(&text, "%sn%d#%d#true", i > 1 ? "##" : "", i, i);
    }
    assert_true(is_ok(mesh_spec_check_ingress(buf_cstr(&text), &err)));
    buf_append_str(&text, "##one#9999#true");
    assert_false(is_ok(mesh_spec_check_ingress(buf_cstr(&text), &err)));
    assert_non_null(strstr(err.text, "more than 64 entries"));
}

/* A prefix is an annotation of fewer entries, or refused. */
static void test_prefixes(void **state) {
    (void)state;
    static const char good[] = "a#8080#true##b#81#false";
    for (size_t size = 1; size < sizeof good - 1; size++) {
        char prefix[sizeof good] = {0};
        memcpy(prefix, good, size);
        struct result r = mesh_spec_check_ingress(prefix, NULL);
        assert_int_equal(is_ok(r), strcmp(prefix, "a#8080#true") == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad_ingress),
        cmocka_unit_test(test_bad_egress),
        cmocka_unit_test(test_admin),
        cmocka_unit_test(test_at_most_so_many),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
