/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/kind_note.h"

static void add(void *context, const char *text) {
    buf_appendf(context, "%s\n", text);
}

static void notes_of(const char *yaml, struct buf *out) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    struct err err = {0};
    if (!is_ok(yaml_parse("f.yaml", span_str(yaml), &file, &err))) {
        fail_msg("%s", err.text);
    }
    kind_note_each(&file, add, out);
}

static void test_built_in_kinds_are_silent(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    notes_of(
        "kind: Service\napiVersion: v1\n---\nkind: Deployment\napiVersion: extensions/v1beta1\n"
        "---\nkind: Role\napiVersion: rbac.authorization.k8s.io/v1\n---\n---\nkind: List\n"
        "items: [{kind: Secret}, {kind: Ingress, apiVersion: networking.k8s.io/v1}]\n---\n"
        "kind: PodList\nitems: [{metadata: {name: a}}]\n---\nkind: ServiceList\nitems: []\n---\n",
        &out);
    assert_string_equal(buf_cstr(&out), "");
}

static void test_documents_without_a_kind(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    notes_of("just: text\n--- [1]\n--- ~\n---\nkind: [Pod]\n---\nkind: List\nitems: [{a: b}]\n",
             &out);
    assert_string_equal(buf_cstr(&out),
                        "f.yaml:1:1: no kind: this is no Kubernetes resource and stays as it is\n"
                        "f.yaml:2:5: no kind: this is no Kubernetes resource and stays as it is\n"
                        "f.yaml:5:1: no kind: this is no Kubernetes resource and stays as it is\n"
                        "f.yaml:8:9: no kind: this is no Kubernetes resource and stays as it is\n");
}

static void test_other_kinds_are_told_of(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    notes_of("kind: Certificate\napiVersion: cert-manager.io/v1\nmetadata: {name: c}\n---\n"
             "kind: Service\napiVersion: serving.knative.dev/v1\nmetadata: {name: k}\n"
             "spec: {a: [1, {template: {spec: {containers: [{image: i}]}}}]}\n---\n"
             "kind: List\nitems:\n- {kind: ServiceMonitor, apiVersion: monitoring.coreos.com/v1}\n",
             &out);
    assert_string_equal(
        buf_cstr(&out),
        "f.yaml:1:1: Certificate/c (cert-manager.io/v1) stays as it is: this version does not know "
        "the kind. If it makes pods, they have no policy\n"
        "f.yaml:5:1: Service/k (serving.knative.dev/v1) stays as it is: this version does not know "
        "the kind. It has containers at spec.a[1].template.spec: pods made from them have no "
        "policy, and a Coordinator does not know them\n"
        "f.yaml:12:3: ServiceMonitor/? (monitoring.coreos.com/v1) stays as it is: this version "
        "does "
        "not know the kind. If it makes pods, they have no policy\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_kinds_are_silent),
        cmocka_unit_test(test_documents_without_a_kind),
        cmocka_unit_test(test_other_kinds_are_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
