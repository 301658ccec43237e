/* Settings: the environment, the files of TARGET_CONFIG_DIR, and which containerd a host has.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_settings.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int set_up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/contrast-settings-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const char *text) {
    struct node_root root = {.fd = -1};
    struct err err;
    char path[128];
    assert_true(is_ok(node_root_open(folder, &root, &err)));
    (void)snprintf(path, sizeof path, "/%s", name);
    assert_true(is_ok(node_root_write(&root, path, span_of(text, strlen(text)), 0644, (uid_t)-1,
                                      (gid_t)-1, &err)));
    node_root_close(&root);
}

static void test_environment(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *says; /* NULL: accepted */
    } rows[] = {
        {"CONFIRM_TIMEOUT_S", "1", NULL},
        {"CONFIRM_TIMEOUT_S", "", NULL},
        {"CONFIRM_TIMEOUT_S", "0", "CONFIRM_TIMEOUT_S"},
        {"CONFIRM_TIMEOUT_S", "2m", "CONFIRM_TIMEOUT_S"},
        {"LOCK_TIMEOUT_S", "-1", "LOCK_TIMEOUT_S"},
        {"KEEP_RUNTIMES", "0", "KEEP_RUNTIMES"},
        {"KEEP_RUNTIMES", "33", "KEEP_RUNTIMES"},
        {"DISCARD_EDITS", "yes", "DISCARD_EDITS: want true or false, got \"yes\""},
        {"DISCARD_EDITS", "true", NULL},
        {"ACCEPT_OLD_CONTAINERD", "1", "ACCEPT_OLD_CONTAINERD: want true or false"},
        {"ACCEPT_OLD_CONTAINERD", "true", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node_settings s = {0};
        struct err err = {0};
        assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
        struct result r = node_settings_read(&s, &err);
        assert_int_equal(r.code, rows[i].says == NULL ? ERR_OK : ERR_CONFIG);
        assert_true(rows[i].says == NULL || strstr(err.text, rows[i].says) != NULL);
        assert_int_equal(unsetenv(rows[i].name), 0);
    }
    struct node_settings s = {0};
    struct err err;
    assert_true(is_ok(node_settings_read(&s, &err)));
    assert_string_equal(s.host_mount, "/host");
    assert_int_equal(s.confirm_ms, 120000);
    assert_int_equal(s.keep, 2);
    assert_false(s.accept_old_daemon);
}

static void test_target(void **state) {
    (void)state;
    struct node_settings s = {.target_folder = folder};
    struct err err;
    put("containerd-config-path", "/etc/containerd/other.toml\n");
    put("systemd-unit-name", "a.service, b.service\n");
    put("restart-systemd-unit", "false");
    put("kata-config-path", "/etc/kata");
    put("..data", "a ConfigMap's own");
    assert_true(is_ok(node_settings_read_target(&s, &err)));
    assert_string_equal(s.containerd_path, "/etc/containerd/other.toml");
    assert_true(s.no_restart);
    struct node_root root = {.fd = -1};
    struct node_place place = {0};
    assert_true(is_ok(node_root_open(folder, &root, &err)));
    assert_true(is_ok(node_place_find(&s, &root, NULL, &place, &err)));
    assert_string_equal(place.config, "/etc/containerd/other.toml");
    assert_string_equal(place.units[0], "a.service");
    assert_string_equal(place.units[1], "b.service");
    assert_null(place.units[2]);
    node_root_close(&root);
}

static void test_bad_target(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *says;
    } rows[] = {
        {"containerd-config-path", "", "containerd-config-path: empty; give it a value"},
        {"containerd-config-path", " \n", "containerd-config-path: empty"},
        {"containerd-config-path", "config.toml", "want the absolute path of a file"},
        {"containerd-config-path", "/etc/containerd/", "want the absolute path of a file"},
        {"containerd-config-path", "/etc/a\n/etc/b", "want one line"},
        {"restart-systemd-unit", "no", "want true or false, got \"no\""},
        {"containerd-config-pth", "/etc/a", "unknown; there are containerd-config-path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct node_settings s = {.target_folder = folder};
        struct err err = {0};
        char path[128];
        put(rows[i].name, rows[i].text);
        assert_int_equal(node_settings_read_target(&s, &err).code, ERR_CONFIG);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("%s; want %s", err.text, rows[i].says);
        }
        (void)snprintf(path, sizeof path, "%s/%s", folder, rows[i].name);
        assert_int_equal(unlink(path), 0);
    }
    struct node_settings s = {.target_folder = "/none/of/these"};
    struct err err;
    assert_true(is_ok(node_settings_read_target(&s, &err)));
}

/* By the configured path, by the platform, by what is there. */
static void test_flavor(void **state) {
    (void)state;
    static const char k3s[] = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
    struct node_settings s = {0};
    struct node_root root = {.fd = -1};
    struct node_place place = {0};
    struct err err;
    assert_true(is_ok(node_root_open(folder, &root, &err)));
    assert_true(is_ok(node_place_find(&s, &root, NULL, &place, &err)));
    assert_int_equal(place.flavor, CONTAINERD_PLAIN);
    assert_string_equal(place.socket, "/run/containerd/containerd.sock");
    assert_true(
        is_ok(node_place_find(&s, &root, kata_platform_find("RKE2-QEMU-SNP"), &place, &err)));
    assert_int_equal(place.flavor, CONTAINERD_RKE2);
    assert_string_equal(place.units[1], "rke2-agent.service");
    put(k3s + 1, "version = 2\n");
    assert_true(is_ok(node_place_find(&s, &root, NULL, &place, &err)));
    assert_int_equal(place.flavor, CONTAINERD_K3S);
    assert_string_equal(place.config, k3s);
    (void)snprintf(s.containerd_path, sizeof s.containerd_path, "%s.tmpl", k3s);
    assert_true(is_ok(node_place_find(&s, &root, NULL, &place, &err)));
    assert_string_equal(place.config, k3s); /* the template means what it renders */
    node_root_close(&root);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        T(test_target),
        T(test_bad_target),
        T(test_flavor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
