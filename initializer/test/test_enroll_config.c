/* The initializer's environment. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "initializer/enroll_config.h"

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define DIGEST_2 "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct variable {
    const char *name;
    const char *value; /* NULL: not set */
};

static struct variable environment[] = {
    {"COORDINATOR_HOST", "coordinator-ready"},
    {"CONTRAST_OWNER_KEY_DIGESTS", DIGEST},
    {"CONTRAST_PERMITTED_ROOTS", NULL},
    {"CONTRAST_ISSUER", NULL},
    {"CONTRAST_SNP_SOCKET", "/run/snp.sock"},
    {"CONTRAST_DIR", NULL},
    {"CONTRAST_TERMINATION_LOG", NULL},
    {"CONTRAST_LOG_LEVEL", NULL},
    {"CONTRAST_RENEW", NULL},
    {"CONTRAST_RENEW_CHECK_S", NULL},
};
#define COUNT (sizeof environment / sizeof environment[0])

static const char *get(const char *name) {
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(environment[i].name, name) == 0) {
            return environment[i].value;
        }
    }
    return NULL;
}

/* Reads with one variable changed; its old value is back afterwards. */
static enum err_code read_with(const char *name, const char *value, struct enroll_config *out,
                               struct err *err) {
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(environment[i].name, name) == 0) {
            const char *old = environment[i].value;
            environment[i].value = value;
            struct result r = enroll_config_read(get, out, err);
            environment[i].value = old;
            return r.code;
        }
    }
    fail_msg("no variable %s", name);
    return ERR_INTERNAL;
}

static void test_defaults(void **state) {
    (void)state;
    struct enroll_config c;
    assert_int_equal(enroll_config_read(get, &c, NULL).code, ERR_OK);
    assert_string_equal(c.host, "coordinator-ready");
    assert_int_equal(c.port, 7777);
    assert_string_equal(c.issuer, "unix:/run/snp.sock");
    assert_string_equal(c.dir, "/contrast");
    assert_string_equal(c.termination_log, "");
    assert_int_equal(c.owner_count, 1);
    assert_int_equal(c.owner_digests[0][1], 0x11);
    assert_int_equal(c.permitted_root_count, 0);
    assert_int_equal(c.log_level, LOG_INFO);
    assert_false(c.is_renewing);
    assert_int_equal(c.check_s, 60);
}

static void test_renewal(void **state) {
    (void)state;
    struct enroll_config c;
    assert_int_equal(read_with("CONTRAST_RENEW", "true", &c, NULL), ERR_OK);
    assert_true(c.is_renewing);
    assert_int_equal(read_with("CONTRAST_RENEW", "false", &c, NULL), ERR_OK);
    assert_false(c.is_renewing);
    assert_int_equal(read_with("CONTRAST_RENEW_CHECK_S", "1", &c, NULL), ERR_OK);
    assert_int_equal(c.check_s, 1);
    assert_int_equal(read_with("CONTRAST_RENEW_CHECK_S", "86400", &c, NULL), ERR_OK);
    assert_int_equal(c.check_s, 86400);
}

static void test_hosts(void **state) {
    (void)state;
    static const struct {
        const char *value;
        const char *host;
        uint16_t port;
    } good[] = {
        {"c:1234", "c", 1234},
        {"192.0.2.1", "192.0.2.1", 7777},
        {"[2001:db8::1]", "2001:db8::1", 7777},
        {"[2001:db8::1]:99", "2001:db8::1", 99},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct enroll_config c;
        assert_int_equal(read_with("COORDINATOR_HOST", good[i].value, &c, NULL), ERR_OK);
        assert_string_equal(c.host, good[i].host);
        assert_int_equal(c.port, good[i].port);
    }
}

static void test_issuers(void **state) {
    (void)state;
    struct enroll_config c;
    assert_int_equal(read_with("CONTRAST_SNP_SOCKET", NULL, &c, NULL), ERR_OK);
    assert_string_equal(c.issuer, "auto");
    assert_int_equal(read_with("CONTRAST_ISSUER", "sev-guest:", &c, NULL), ERR_OK);
    assert_string_equal(c.issuer, "sev-guest:");
}

static void test_lists(void **state) {
    (void)state;
    struct enroll_config c;
    assert_int_equal(read_with("CONTRAST_OWNER_KEY_DIGESTS", DIGEST "," DIGEST_2, &c, NULL),
                     ERR_OK);
    assert_int_equal(c.owner_count, 2);
    assert_int_equal(c.owner_digests[1][0], 0xff);
    assert_int_equal(read_with("CONTRAST_PERMITTED_ROOTS", DIGEST_2, &c, NULL), ERR_OK);
    assert_int_equal(c.permitted_root_count, 1);
    assert_int_equal(read_with("CONTRAST_PERMITTED_ROOTS", "", &c, NULL), ERR_OK);
    assert_int_equal(c.permitted_root_count, 0);
}

static void test_bad_values_name_the_variable(void **state) {
    (void)state;
    static const struct variable bad[] = {
        {"COORDINATOR_HOST", NULL},
        {"COORDINATOR_HOST", ""},
        {"COORDINATOR_HOST", "c:"},
        {"COORDINATOR_HOST", "c:0"},
        {"COORDINATOR_HOST", "c:65536"},
        {"COORDINATOR_HOST", ":7777"},
        {"CONTRAST_OWNER_KEY_DIGESTS", NULL},
        {"CONTRAST_OWNER_KEY_DIGESTS", ""},
        {"CONTRAST_OWNER_KEY_DIGESTS", "0011"},
        {"CONTRAST_OWNER_KEY_DIGESTS", DIGEST ","},
        {"CONTRAST_OWNER_KEY_DIGESTS", DIGEST ",," DIGEST},
        {"CONTRAST_PERMITTED_ROOTS", "," DIGEST},
        {"CONTRAST_SNP_SOCKET", ""},
        {"CONTRAST_ISSUER", ""},
        {"CONTRAST_DIR", ""},
        {"CONTRAST_LOG_LEVEL", "loud"},
        {"CONTRAST_RENEW", ""},
        {"CONTRAST_RENEW", "True"},
        {"CONTRAST_RENEW", "1"},
        {"CONTRAST_RENEW_CHECK_S", ""},
        {"CONTRAST_RENEW_CHECK_S", "0"},
        {"CONTRAST_RENEW_CHECK_S", "-1"},
        {"CONTRAST_RENEW_CHECK_S", "1.5"},
        {"CONTRAST_RENEW_CHECK_S", "86401"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct enroll_config c;
        struct err err;
        enum err_code code = read_with(bad[i].name, bad[i].value, &c, &err);
        assert_int_equal(err_exit_code(code), 2);
        assert_non_null(strstr(err.text, bad[i].name));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_hosts),    cmocka_unit_test(test_issuers),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_bad_values_name_the_variable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
