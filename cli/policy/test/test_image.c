/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/image.h"

#define GOOD                                                                                       \
    "{\"config\": {\"User\": \"app:staff\", \"WorkingDir\": \"/w\", \"Env\": [\"A=b=c\"], "        \
    "\"Cmd\": [\"x\"], \"Entrypoint\": null, \"Volumes\": {\"/z\": {}, \"/a\": {}}}, \"os\": 1}"

static void make(const char *config, const char *passwd, const char *group, struct image *out) {
    struct err err = {0};
    if (!is_ok(image_read("i", span_str(config), out, &err))) {
        fail_msg("%s", err.text);
    }
    buf_append_str(&out->passwd, passwd);
    buf_append_str(&out->group, group);
}

static void test_reads_a_config(void **state) {
    (void)state;
    AUTO(image_deinit)
    struct image i = {0};
    make(GOOD, "", "", &i);
    assert_string_equal(image_string(&i, "WorkingDir"), "/w");
    assert_string_equal(json_string_value(json_array_get(image_list_of(&i, "Env"), 0)), "A=b=c");
    assert_int_equal(json_array_size(image_list_of(&i, "Entrypoint")), 0);
    assert_string_equal(json_string_value(json_array_get(image_list_of(&i, "Volumes"), 0)), "/a");
    AUTO(image_deinit)
    struct image empty = {0};
    make("{}", "", "", &empty);
    assert_string_equal(image_string(&empty, "User"), "");
}

static void test_refuses_bad_configs(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", "line 1"},
        {"[]", "config: must be an object"},
        {"{\"config\": []}", "config: must be an object"},
        {"{\"config\": {\"User\": 5}}", "config.User: must be a string"},
        {"{\"config\": {\"User\": \"a\\u0001\"}}", "config.User: must be a string"},
        {"{\"config\": {\"User\": \"a\\u0000\"}}", "line 1"},
        {"{\"config\": {\"User\": \"a\", \"User\": \"b\"}}", "line 1"},
        {"{\"config\": {\"Env\": \"A=b\"}}", "config.Env: must be a list"},
        {"{\"config\": {\"Env\": [\"A\"]}}", "config.Env[0]: must be NAME=VALUE"},
        {"{\"config\": {\"Env\": [\"=b\"]}}", "config.Env[0]: must be NAME=VALUE"},
        {"{\"config\": {\"Cmd\": [\"a\", 1]}}", "config.Cmd[1]: must be a string"},
        {"{\"config\": {\"Volumes\": [\"/a\"]}}", "config.Volumes: must be an object"},
        {"{\"config\": {\"Volumes\": {\"a\": {}}}}", "config.Volumes: a: must be an absolute path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct image image;
        struct err err = {0};
        struct result r = image_read("i", span_str(rows[i][0]), &image, &err);
        if (r.code != ERR_INVALID || strstr(err.text, rows[i][1]) == NULL) {
            fail_msg("row %zu: %s", i, err.text);
        }
        assert_null(image.config);
    }
}

static void test_every_prefix_is_refused(void **state) {
    (void)state;
    for (size_t size = 0; size < strlen(GOOD); size++) {
        struct image image;
        assert_int_equal(image_read("i", span_of(GOOD, size), &image, NULL).code, ERR_INVALID);
    }
}

#define PASSWD                                                                                     \
    "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:9:9:::\nbig:x:4294967296:0:::\n"                    \
    "app:x:1000:100:::\nold:x:1001:7\n"

static void test_users_of_configs(void **state) {
    (void)state;
    static const struct {
        const char *user;
        bool with_group;
        int64_t uid;
        int64_t gid;
        const char *error;
    } rows[] = {
        {"", false, 0, 0, NULL},
        {"1000", false, 1000, 100, NULL},
        {"1000:5", false, 1000, 100, NULL},
        {"1000:5", true, 1000, 5, NULL},
        {"app", false, 1000, 100, NULL},
        {"app:staff", true, 1000, 50, NULL},
        {"old", false, 1001, 7, NULL},
        {"77", false, 77, 0, NULL},
        {"nobody", false, 0, 0, "its user \"nobody\" is not in its etc/passwd"},
        {"big", false, 0, 0, "is not in its etc/passwd"},
        {"4294967296", false, 0, 0, "is not in its etc/passwd"},
        {"-1", false, 0, 0, "is not in its etc/passwd"},
        {"app:nogroup", true, 0, 0, "is not in its etc/group"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[128];
        (void)snprintf(config, sizeof config, "{\"config\": {\"User\": \"%s\"}}", rows[i].user);
        AUTO(image_deinit)
        struct image image = {0};
        make(config, PASSWD, "staff:x:50:\n", &image);
        struct image_user user = {0};
        struct err err = {0};
        struct result r = image_user_of_config(&image, rows[i].with_group, &user, &err);
        if (rows[i].error != NULL) {
            assert_int_equal(r.code, ERR_INVALID);
            assert_non_null(strstr(err.text, rows[i].error));
        } else {
            assert_true(is_ok(r));
            assert_int_equal(user.uid, rows[i].uid);
            assert_int_equal(user.gid, rows[i].gid);
        }
    }
}

static void add(void *context, int64_t gid) {
    *(int64_t *)context = *(int64_t *)context * 1000 + gid;
}

static void test_groups_of_members(void **state) {
    (void)state;
    AUTO(image_deinit)
    struct image image = {0};
    make("{}", PASSWD, "app:x:1:app\nwheel:x:10:root,app\nother:x:11:apple,ap\nlast:x:12:app",
         &image);
    int64_t sum = 0;
    image_each_group(&image, "app", add, &sum);
    assert_int_equal(sum, 10012);
    sum = 0;
    image_each_group(&image, "", add, &sum);
    assert_int_equal(sum, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_config),          cmocka_unit_test(test_refuses_bad_configs),
        cmocka_unit_test(test_every_prefix_is_refused), cmocka_unit_test(test_users_of_configs),
        cmocka_unit_test(test_groups_of_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
