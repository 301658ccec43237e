/* Which entry of a manifest follows which pod. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/gen_keep.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct buf logged;
static char old_hash[65];

static void on_line(void *data, enum log_level level, const char *line) {
    (void)data;
    if (level >= LOG_WARN) {
        buf_appendf(&logged, "%s\n", line);
    }
}

static int setup(void **state) {
    (void)state;
    uint8_t digest[SHA256_SIZE];
    sha256(span_str("old"), digest);
    hex_encode(SPAN(digest), old_hash);
    buf_clear(&logged);
    log_set_sink(on_line, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    log_set_sink(NULL, NULL);
    buf_deinit(&logged);
    return 0;
}

/* Adds a Pod of this name, or generateName when it ends in a hyphen; `annotations` are lines of
 * YAML below metadata.annotations. */
static void add(json_t *pods, const char *hash, const char *name, const char *annotations) {
    AUTO(buf_deinit)
    struct buf text = {0};
    const char *key = name[strlen(name) - 1] == '-' ? "generateName" : "name";
    buf_appendf(&text, "kind: Pod\nmetadata:\n  %s: %s\n  annotations:\n    x: y\n%s", key, name,
                annotations);
    buf_append_str(&text, "spec: {containers: []}\n");
    struct yaml_file file = {0};
    struct workload_list list = {0};
    assert_true(is_ok(yaml_parse("p.yaml", buf_span(&text), &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    assert_int_equal(list.count, 1);
    gen_keep_add(pods, hash, &list.items[0]);
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
}

#define OLD_POLICY "    io.katacontainers.config.agent.policy: b2xk\n"

static json_t *before_with(const char *hash, const char *entry) {
    return json_pack("{s:o}", hash, json_loads(entry, JSON_REJECT_DUPLICATES, NULL));
}

static void expect(json_t *pods, json_t *before, const char *hash, const char *want) {
    json_t *entries = gen_keep_entries(pods, before);
    json_t *wanted = json_loads(want, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(json_object_get(entries, hash), wanted)) {
        fail_msg("%s", json_dumps(entries, JSON_INDENT(1)));
    }
    json_decref(wanted);
    json_decref(entries);
    json_decref(pods);
    json_decref(before);
}

#define EDITED "{\"SANs\":[\"web\",\"api.example\"],\"WorkloadSecretID\":\"db\"}"
#define FRESH(n) "{\"SANs\":[\"" n "\",\"*\"],\"WorkloadSecretID\":\"default/Pod/" n "\"}"

static void test_a_new_pod_has_defaults(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "web", "");
    expect(pods, NULL, HASH_A, FRESH("web"));
}

#define X21 "xxxxxxxxxxxxxxxxxxxxx"

/* Kubernetes permits names that are none for a certificate. */
static void test_names_that_are_no_dns_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *entry;
    } rows[] = {
        {"pi-", "{\"SANs\":[\"pi\",\"*\"],\"WorkloadSecretID\":\"default/Pod/pi-\"}"},
        {"a.b-", "{\"SANs\":[\"a.b\",\"*\"],\"WorkloadSecretID\":\"default/Pod/a.b-\"}"},
        {X21 X21 X21, FRESH(X21 X21 X21)},
        {X21 X21 X21 "x",
         "{\"SANs\":[\"*\"],\"WorkloadSecretID\":\"default/Pod/" X21 X21 X21 "x\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *pods = json_array();
        add(pods, HASH_A, rows[i].name, "");
        expect(pods, NULL, HASH_A, rows[i].entry);
    }
}

static void test_the_same_policy_keeps_its_entry(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "web", "");
    expect(pods, before_with(HASH_A, EDITED), HASH_A, EDITED);
    assert_int_equal(logged.size, 0);
}

static void test_the_old_annotation_finds_the_entry(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "web", OLD_POLICY);
    expect(pods, before_with(old_hash, EDITED), HASH_A, EDITED);
}

static void test_the_default_id_finds_the_entry(void **state) {
    (void)state;
    static const char entry[] =
        "{\"SANs\":[\"10.0.0.1\"],\"WorkloadSecretID\":\"default/Pod/web\"}";
    json_t *pods = json_array();
    add(pods, HASH_A, "web", "");
    expect(pods, before_with(HASH_B, entry), HASH_A, entry);
}

static void test_a_renamed_pod_keeps_its_entry(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "shop", OLD_POLICY);
    expect(pods, before_with(old_hash, EDITED), HASH_A, EDITED);
}

static void test_a_copy_does_not_get_the_secret(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *pods = json_array();
        add(pods, i == 0 ? HASH_A : HASH_B, "shop", OLD_POLICY);
        add(pods, i == 0 ? HASH_B : HASH_A, "web", OLD_POLICY);
        expect(pods, before_with(old_hash, EDITED), i == 0 ? HASH_A : HASH_B, FRESH("shop"));
    }
}

static void test_an_entry_without_pod_is_named(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "shop", "");
    expect(pods, before_with(HASH_B, EDITED), HASH_A, FRESH("shop"));
    assert_non_null(strstr(buf_cstr(&logged), "no pod has the policy bbbbbbbbbbbbbbbb"));
    assert_non_null(strstr(buf_cstr(&logged), "api.example"));
}

static void test_the_annotation_of_the_secret_wins(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "web", "    contrast.edgeless.systems/workload-secret-id: mine\n");
    expect(pods, before_with(HASH_A, EDITED), HASH_A,
           "{\"SANs\":[\"web\",\"api.example\"],\"WorkloadSecretID\":\"mine\"}");
    assert_non_null(strstr(buf_cstr(&logged), "it was \"db\""));
}

static void test_roles(void **state) {
    (void)state;
    static const char entry[] =
        "{\"SANs\":[\"c\"],\"WorkloadSecretID\":\"\",\"Role\":\"coordinator\"}";
    json_t *pods = json_array();
    add(pods, HASH_A, "c", "    contrast.edgeless.systems/pod-role: coordinator\n");
    expect(pods, before_with(HASH_A, "{\"SANs\":[\"c\"],\"WorkloadSecretID\":\"\"}"), HASH_A,
           entry);
    assert_int_equal(logged.size, 0);
    pods = json_array();
    add(pods, HASH_A, "c", "");
    expect(pods, before_with(HASH_A, entry), HASH_A, entry);
    assert_non_null(strstr(buf_cstr(&logged), "default/Pod/c keeps the role \"coordinator\""));
}

static void test_no_sans_and_no_id(void **state) {
    (void)state;
    json_t *pods = json_array();
    add(pods, HASH_A, "web", OLD_POLICY);
    expect(pods, before_with(old_hash, "{}"), HASH_A, "{}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_new_pod_has_defaults),
        TEST(names_that_are_no_dns_names),
        TEST(the_same_policy_keeps_its_entry),
        TEST(the_old_annotation_finds_the_entry),
        TEST(the_default_id_finds_the_entry),
        TEST(a_renamed_pod_keeps_its_entry),
        TEST(a_copy_does_not_get_the_secret),
        TEST(an_entry_without_pod_is_named),
        TEST(the_annotation_of_the_secret_wins),
        TEST(roles),
        TEST(no_sans_and_no_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
