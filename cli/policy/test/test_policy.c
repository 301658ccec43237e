/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/inject.h"
#include "cli/policy/policy_text.h"

static const struct policy_inputs none = {0};

static void make(const char *yaml, const struct policy_inputs *inputs, struct buf *out) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct err err;
    if (!is_ok(yaml_parse("f.yaml", span_str(yaml), &file, &err)) ||
        !is_ok(workload_find(&file, &list, &err)) || list.count == 0 ||
        !is_ok(policy_text_make(&list.items[0], inputs, out, &err))) {
        fail_msg("%s", err.text);
    }
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
}

static void assert_refused(const char *yaml, const char *want) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    struct result r = yaml_parse("f.yaml", span_str(yaml), &file, &err);
    assert_true(is_ok(r));
    r = workload_find(&file, &list, &err);
    if (is_ok(r)) {
        r = policy_text_make(&list.items[0], &none, &out, &err);
    }
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, err.text);
    }
    assert_int_equal(out.size, 0);
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
}

static void assert_has(struct buf *text, const char *want) {
    if (strstr(buf_cstr(text), want) == NULL) {
        fail_msg("no '%s' in %s", want, strstr(buf_cstr(text), "\npolicy_data"));
    }
}

#define POD(containers) "kind: Pod\nmetadata: {name: a.b}\nspec:\n  containers:\n" containers

static void test_same_bytes_in_any_key_order(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf a = {0};
    AUTO(buf_deinit)
    struct buf b = {0};
    make(POD("  - name: x\n    image: i\n    command: [c]\n    env: [{name: A, value: 'b'}]\n"),
         &none, &a);
    make("spec: {containers: [{env: [{value: b, name: A}], tty: null, command: ['c'],\n"
         "  'image': \"i\", name: x}], nodeName: node}\nkind: Pod\nmetadata:\n  name: a.b # x\n",
         &none, &b);
    assert_string_equal(buf_cstr(&a), buf_cstr(&b));
    assert_memory_equal(a.data, policy_rules().data, policy_rules().size);
    assert_has(&a, "\npolicy_data := {\n \"containers\": [\n  {\n   \"args\": [\n    \"/pause\"");
    assert_has(&a, "  {\n   \"args\": [\n    \"c\"\n   ],");
    assert_has(&a, "\"namePattern\": \"^a\\\\.b$\"");
    assert_null(strstr(buf_cstr(&a), "\"namespace\":"));
}

static void test_knows_its_own_documents(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf plain = {0};
    AUTO(buf_deinit)
    struct buf wrapped = {0};
    make(POD("  - {name: x, image: i}\n"), &none, &plain);
    make("kind: Pod\nmetadata:\n  name: a\n  annotations:\n"
         "    contrast.edgeless.systems/policy-profile: initdata\n"
         "spec: {containers: [{name: x, image: 'i@sha256:00'}]}\n",
         &none, &wrapped);
    assert_true(policy_text_is_ours(buf_span(&plain)));
    assert_true(policy_text_is_ours(buf_span(&wrapped)));
    assert_memory_equal(wrapped.data, "version", 7);
    assert_false(policy_text_is_ours(span_of(plain.data + 1, plain.size - 1)));
    assert_false(policy_text_is_ours(span_of(wrapped.data, wrapped.size - 1)));
    assert_false(policy_text_is_ours(span_of(plain.data, 10)));
    assert_false(policy_text_is_ours(span_str("package agent_policy\n")));
    assert_false(policy_text_is_ours((struct span){0}));
}

/* Engines of older agents take "#" in a string for a comment, and no line over 1024 bytes. */
static void test_rules_suit_older_engines(void **state) {
    (void)state;
    const struct span all[] = {policy_rules(), policy_rules_initdata()};
    for (size_t k = 0; k < 2; k++) {
        size_t start = 0;
        for (size_t i = 0; i < all[k].size; i++) {
            start = all[k].data[i] == '\n' ? i + 1 : start;
            assert_true(i + 1 - start <= 1000);
            assert_true(all[k].data[i] != '#' || i == start);
        }
    }
}

static void test_every_relevant_field_changes_the_policy(void **state) {
    (void)state;
    const char *const a_job = "kind: Job\nmetadata: {name: a.b}\nspec: {template: {spec: "
                              "{containers: [{name: x, image: i}]}}}\n";
    const char *const pods[] = {
        POD("  - {name: x, image: i}\n"),
        POD("  - {name: x, image: j}\n"),
        POD("  - {name: x, image: i, command: [a], args: [b]}\n"),
        POD("  - {name: x, image: i, command: [a]}\n"),
        POD("  - {name: x, image: i, env: [{name: A}]}\n"),
        POD("  - {name: x, image: i, env: [{name: A, value: b}]}\n"),
        POD("  - {name: x, image: i, securityContext: {privileged: true}}\n"),
        POD("  - {name: x, image: i, volumeMounts: [{name: v, mountPath: /v}]}\n"
            "  volumes: [{name: v, secret: {secretName: s}}]\n"),
        POD("  - {name: x, image: i}\n  - {name: z, image: i}\n"),
        POD("  - {name: x, image: i}\n  hostname: h\n"),
        POD("  - {name: x, image: i}\n  securityContext: {fsGroup: 1}\n"),
        POD("  - {name: x, image: i, volumeMounts: [{name: v, mountPath: /v}]}\n"
            "  volumes: [{name: v, emptyDir: {}}]\n"),
        a_job,
    };
    const size_t count = sizeof pods / sizeof pods[0];
    struct buf texts[sizeof pods / sizeof pods[0]] = {0};
    for (size_t i = 0; i < count; i++) {
        make(pods[i], &none, &texts[i]);
        for (size_t k = 0; k < i; k++) {
            assert_false(span_equal(buf_span(&texts[i]), buf_span(&texts[k])));
        }
    }
    for (size_t i = 0; i < count; i++) {
        buf_deinit(&texts[i]);
    }
}

static void test_refuses_what_it_cannot_cover(void **state) {
    (void)state;
    assert_refused(POD("  - name: x\n    surprise: 1\n"),
                   "f.yaml:6:5: spec.containers[0].surprise: this version does not know the field");
    assert_refused(POD("  - {name: x}\n  volumes: [{name: h, hostPath: {path: /}}]\n"),
                   "f.yaml:6:23: spec.volumes[0].hostPath: refused: a file or folder of the node");
    assert_refused(POD("  - name: x\n    tty: 'yes'\n"),
                   "f.yaml:6:10: spec.containers[0].tty: must be true or false");
    assert_refused(POD("  - name: x\n    command: [1]\n"),
                   "f.yaml:6:15: spec.containers[0].command[0]: must be a string");
    assert_refused(POD("  - name: x\n    command: c\n"), "command: must be a list");
    assert_refused(POD("  - name: x\n    command: [c]\n    args: ['$(A)']\n    "
                       "env: [{name: A, "
                       "valueFrom: {fieldRef: "
                       "{fieldPath: \"metadata.labels['k8s.io/a']\"}}}]\n"),
                   "args[0]: $(A): a label or annotation, which only the cluster knows");
    assert_refused(POD("    []\n"), "spec.containers: Pod/a.b has none");
    assert_refused("kind: Pod\nmetadata: {}\nspec: {a: b}\n", "f.yaml:1:1: metadata.name");
    assert_refused("kind: Pod\nmetadata: {name: A_b}\nspec: {a: b}\n",
                   "f.yaml:2:18: metadata.name: \"A_b\" must be lower-case letters, digits");
    assert_refused("kind: Pod\nmetadata: {generateName: '-a-'}\nspec: {a: b}\n",
                   "f.yaml:2:26: metadata.generateName: \"-a-\" must be");
    assert_refused("kind: Pod\nmetadata: {name: a, namespace: '{{ .x }}'}\nspec: {a: b}\n",
                   "with a letter or digit at both ends; this looks like a template: render it");
    assert_refused(
        "kind: Pod\nmetadata: {name: p, annotations: {contrast.edgeless.systems/pod-role: "
        "boss}}\nspec: {a: b}\n",
        "f.yaml:2:71: pod-role: must be");
    assert_refused("kind: Deployment\nmetadata: {name: d}\nspec: {}\n",
                   "spec.template.spec: Deployment/d has no pod spec");
}

static void test_allowed_unknown_fields(void **state) {
    (void)state;
    static const char *const paths[] = {"spec.containers[].surprise", "spec.extra"};
    const struct policy_inputs allowed = {.allowed = {paths, 2}};
    AUTO(buf_deinit)
    struct buf with = {0};
    AUTO(buf_deinit)
    struct buf without = {0};
    make(POD("  - {name: x, surprise: 1}\n  extra: 2\n"), &allowed, &with);
    make(POD("  - {name: x}\n"), &none, &without);
    assert_string_equal(buf_cstr(&with), buf_cstr(&without));
}

static void test_dollars_and_long_strings(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf yaml = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&yaml, POD("  - name: x\n    command: ['$$(A) $5', '%02000d\"']\n"), 0);
    make(buf_cstr(&yaml), &none, &text);
    assert_has(&text, "\"$(A) $5\"");
    const char *line = strstr(buf_cstr(&text), "policy_data");
    while (*line != '\0') {
        size_t size = strcspn(line, "\n");
        assert_true(size <= 1000);
        line += size + 1;
    }
}

static void test_variables_expand_as_in_the_kubelet(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    make(POD("  - name: x\n    command: ['<$(A)>', '<$(C)>', '<$(date)>', '<$(A', '<$$(A)>', "
             "'<$A>']\n"
             "    env: [{name: A, value: '1$(B)'}, {name: B, value: '2'}, {name: C, value: "
             "'$(A)$$(B)$(B)'}]\n"),
         &none, &text);
    assert_has(&text, "\"<1$(B)>\",\n    \"<1$(B)$(B)2>\",\n    \"<$(date)>\",\n    \"<$(A\",\n  "
                      "  \"<$(A)>\",\n    \"<$A>\"");
    assert_has(&text, "\"A=1$(B)\"");
    assert_has(&text, "\"C=1$(B)$(B)2\"");
}

static void test_name_patterns(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"Deployment", "^a-[bcdfghjklmnpqrstvwxz2456789]+-[bcdfghjklmnpqrstvwxz2456789]+$"},
        {"StatefulSet", "^a-[0-9]+$"},
        {"DaemonSet", "^a-[bcdfghjklmnpqrstvwxz2456789]+$"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml,
                       "kind: %s\nmetadata: {name: a, namespace: ns}\nspec: {template: {spec: "
                       "{containers: [{name: x}]}}}\n",
                       rows[i][0]);
        AUTO(buf_deinit)
        struct buf text = {0};
        make(yaml, &none, &text);
        assert_has(&text, rows[i][1]);
        assert_has(&text, "\"namespace\": \"ns\"");
    }
}

static void test_list_and_other_kinds(void **state) {
    (void)state;
    struct yaml_file file = {0};
    struct workload_list list = {0};
    assert_true(is_ok(yaml_parse("f",
                                 span_str("kind: List\nitems:\n- kind: Service\n- kind: Pod\n"
                                          "  metadata: {name: p}\n  spec: {containers: []}\n"
                                          "---\nkind: Secret\n---\nkind: Job\n"
                                          "apiVersion: batch.volcano.sh/v1alpha1\n"),
                                 &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].name, "p");
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_in_any_key_order),
        cmocka_unit_test(test_knows_its_own_documents),
        cmocka_unit_test(test_rules_suit_older_engines),
        cmocka_unit_test(test_every_relevant_field_changes_the_policy),
        cmocka_unit_test(test_refuses_what_it_cannot_cover),
        cmocka_unit_test(test_allowed_unknown_fields),
        cmocka_unit_test(test_dollars_and_long_strings),
        cmocka_unit_test(test_variables_expand_as_in_the_kubelet),
        cmocka_unit_test(test_name_patterns),
        cmocka_unit_test(test_list_and_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
