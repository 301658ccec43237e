/* Docker's config.json and credential helpers: who is found, what is refused, helpers that hang,
 * flood, fail and lie.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/registry/docker_config.h"
#include "lib/base/file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char folder[] = "/tmp/test_docker_config_XXXXXX";

static void put(const char *name, const char *text, mode_t mode) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(is_ok(file_write(path, span_str(text), mode, NULL)));
}

static const struct {
    const char *text;
    const char *host;
    const char *user; /* NULL: refused */
    const char *password;
    const char *identity;
    const char *helper;
} FOUND[] = {
    {"{}", "ghcr.io", "", "", "", NULL},
    {"{\"auths\":{\"ghcr.io\":{\"auth\":\"YTpi\"}}}", "ghcr.io", "a", "b", "", NULL},
    {"{\"auths\":{\"https://ghcr.io/v2/\":{\"auth\":\"YTpiOmM=\"}}}", "ghcr.io", "a", "b:c", "",
     NULL},
    {"{\"auths\":{\"ghcr.io.evil\":{\"auth\":\"YTpi\"}}}", "ghcr.io", "", "", "", NULL},
    {"{\"auths\":{\"ghcr.io\":{\"auth\":\"YTpi\"}}}", "ghcr.io:443", "", "", "", NULL},
    {"{\"auths\":{\"http://ghcr.io\":{\"auth\":\"eDp5\"},\"ghcr.io\":{\"auth\":\"YTpi\"}}}",
     "ghcr.io", "a", "b", "", NULL},
    {"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}}}", "docker.io", "a", "b", "",
     NULL},
    {"{\"auths\":{\"docker.io\":{\"username\":\"u\",\"password\":\"p\"}}}", "docker.io", "u", "p",
     "", NULL},
    {"{\"auths\":{\"g\":{\"auth\":\"\",\"identitytoken\":\"t\"}}}", "g", "", "", "t", NULL},
    {"{\"auths\":{\"g\":{}}}", "g", "", "", "", NULL},
    {"{\"credsStore\":\"pass\",\"auths\":{\"g\":{\"auth\":\"YTpi\"}}}", "g", "", "", "", "pass"},
    {"{\"credsStore\":\"pass\",\"credHelpers\":{\"g\":\"gcloud\"}}", "g", "", "", "", "gcloud"},
    {"{\"credsStore\":\"\",\"credHelpers\":{\"h\":\"gcloud\"}}", "g", "", "", "", NULL},
    {"{\"auths\":{\"g\":{\"auth\":\"YQ==\"}}}", "g", NULL, "", "", NULL},
    {"{\"auths\":{\"g\":{\"auth\":\"*\"}}}", "g", NULL, "", "", NULL},
    {"{\"auths\":{\"g\":{\"auth\":7}}}", "g", NULL, "", "", NULL},
    {"{\"auths\":{\"g\":7}}", "g", NULL, "", "", NULL},
    {"{\"credHelpers\":{\"g\":7}}", "g", NULL, "", "", NULL},
};

static void test_found(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(FOUND); i++) {
        struct docker_config *c = NULL;
        struct cred cred = {0};
        const char *helper = NULL;
        struct err err = {0};
        assert_true(is_ok(docker_config_parse(span_str(FOUND[i].text), &c, &err)));
        struct result r = docker_config_find(c, FOUND[i].host, &helper, &cred, &err);
        if (r.code != (FOUND[i].user != NULL ? ERR_OK : ERR_CONFIG)) {
            fail_msg("row %zu: %s", i, err.text);
        }
        if (is_ok(r)) {
            assert_string_equal(buf_cstr(&cred.user), FOUND[i].user);
            assert_string_equal(buf_cstr(&cred.password), FOUND[i].password);
            assert_string_equal(buf_cstr(&cred.identity), FOUND[i].identity);
            assert_int_equal(helper != NULL, FOUND[i].helper != NULL);
            assert_string_equal(helper != NULL ? helper : "",
                                FOUND[i].helper != NULL ? FOUND[i].helper : "");
        }
        cred_deinit(&cred);
        docker_config_free(c);
    }
}

static void test_not_a_config(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "[]", "{\"auths\":7}", "{\"credHelpers\":[]}", "{\"auths\"", "{\"credsStore\":7}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct docker_config *c = NULL;
        assert_int_equal(docker_config_parse(span_str(bad[i]), &c, NULL).code, ERR_CONFIG);
        assert_null(c);
    }
    struct docker_config *c = NULL;
    struct err err = {0};
    put("config.json", "{", 0600);
    assert_int_equal(docker_config_read(folder, &c, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "config.json"));
    assert_true(is_ok(docker_config_read("/nonexistent", &c, &err)));
    docker_config_free(c);
}

static void test_every_prefix(void **state) {
    (void)state;
    const char *text = FOUND[11].text;
    for (size_t n = 0; n < strlen(text); n++) {
        struct docker_config *c = NULL;
        assert_false(is_ok(docker_config_parse(span_of(text, n), &c, NULL)));
    }
}

/* ---- helpers ---- */

static const struct {
    const char *script;
    enum err_code code;
    const char *why;
    const char *user;
} HELPERS[] = {
    {"read s; echo \"{\\\"Username\\\":\\\"$1\\\",\\\"Secret\\\":\\\"$s\\\"}\"", ERR_OK, "", "get"},
    {"echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}'", ERR_OK, "", "u"},
    {"echo 'credentials not found in native keychain'; exit 1", ERR_OK, "", ""},
    {"echo 'the keychain is locked'; exit 1", ERR_CONFIG, "the keychain is locked", ""},
    {"echo '{\"Username\":\"u\",\"Secret\":\"s\"}'; exit 1", ERR_CONFIG, "failed", ""},
    {"kill -9 $$", ERR_CONFIG, "failed", ""},
    {"echo '{\"Username\":\"u\"}'", ERR_CONFIG, "no Secret", ""},
    {"echo '{\"Username\":\"a:b\",\"Secret\":\"s\"}'", ERR_CONFIG, "colon", ""},
    {"echo hello", ERR_CONFIG, "line 1", ""},
    {"", ERR_CONFIG, "credential", ""},
    {"while :; do echo 0123456789012345678901234567890123456789; done", ERR_CONFIG,
     "says more than", ""},
    {"exec sleep 60", ERR_TIMEOUT, "does not answer", ""},
    {"exec >&- <&-; exec sleep 60", ERR_TIMEOUT, "does not end", ""},
};

static void test_helpers(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(HELPERS); i++) {
        char script[512];
        struct cred cred = {0};
        struct err err = {0};
        uint64_t timeout_ms = HELPERS[i].code == ERR_TIMEOUT ? 200 : 60000;
        snprintf(script, sizeof script, "#!/bin/sh\n%s\n", HELPERS[i].script);
        put("docker-credential-test", script, 0700);
        struct result r = cred_helper_get("test", "server.example", timeout_ms, &cred, &err);
        if (r.code != HELPERS[i].code || strstr(err.text, HELPERS[i].why) == NULL) {
            fail_msg("row %zu: %s '%s'", i, err_name(r.code), err.text);
        }
        assert_string_equal(buf_cstr(&cred.user), HELPERS[i].user);
        cred_deinit(&cred);
    }
}

static void test_identity(void **state) {
    (void)state;
    struct cred cred = {0};
    assert_true(is_ok(
        cred_helper_parse(span_str("{\"Username\":\"<token>\",\"Secret\":\"t\"}"), &cred, NULL)));
    assert_string_equal(buf_cstr(&cred.identity), "t");
    assert_int_equal(cred.user.size, 0);
    cred_deinit(&cred);
}

static void test_no_such_helper(void **state) {
    (void)state;
    struct cred cred = {0};
    struct err err = {0};
    static const char *const names[] = {"", "../x", "a/b", "a b", "absent"};
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(cred_helper_get(names[i], "s", 1000, &cred, &err).code, ERR_CONFIG);
    }
    assert_non_null(strstr(err.text, "docker-credential-absent"));
}

/* Docker Hub goes by its old address. */
static void test_hub_key(void **state) {
    (void)state;
    struct docker_config *c = NULL;
    struct cred cred = {0};
    put("docker-credential-test",
        "#!/bin/sh\nread -r s; echo \"{\\\"Username\\\":\\\"u\\\",\\\"Secret\\\":\\\"$s\\\"}\"\n",
        0700);
    assert_true(is_ok(docker_config_parse(span_str("{\"credsStore\":\"test\"}"), &c, NULL)));
    assert_true(is_ok(docker_config_cred(c, "docker.io", &cred, NULL)));
    assert_string_equal(buf_cstr(&cred.password), "https://index.docker.io/v1/");
    cred_deinit(&cred);
    docker_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),        cmocka_unit_test(test_not_a_config),
        cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_identity),     cmocka_unit_test(test_no_such_helper),
        cmocka_unit_test(test_hub_key),
    };
    char path[4096];
    const char *old = getenv("PATH");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s:%s", folder, old != NULL ? old : "/usr/bin:/bin");
    setenv("PATH", path, 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(path, sizeof path, "%s/docker-credential-test", folder);
    (void)unlink(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
