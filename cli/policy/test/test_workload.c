/* Workloads: which pods are found, which are ours, and what their names must be.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/test/inject_fixture.h"

static void test_names_are_strings(void **state) {
    (void)state;
    assert_refused("kind: Pod\nmetadata: {name: 123}\nspec: {containers: [{name: a}]}\n",
                   "f.yaml:2:18: metadata.name: must be a string; put the value in quotes");
    assert_refused("kind: Pod\nmetadata: {generateName: yes}\nspec: {containers: [{name: a}]}\n",
                   "metadata.generateName: must be a string");
    assert_refused("kind: Pod\nmetadata: {name: a, namespace: on}\nspec: {containers: [{}]}\n",
                   "metadata.namespace: must be a string");
    assert_refused("kind: Job\nmetadata: {name: a}\nspec: {template: {spec: {runtimeClassName: 1, "
                   "containers: [{name: a}]}}}\n",
                   "spec.template.spec.runtimeClassName: must be a string");
}

static void test_objects_without_kind(void **state) {
    (void)state;
    assert_refused("apiVersion: v1\nind: Pod\nmetadata: {name: a}\nspec: {containers: [{}]}\n",
                   "f.yaml:2:1: kind: this object has none; did you mean \"kind: Pod\" here?");
    assert_refused("a: 1\n---\nmetadata: {name: a}\n",
                   "f.yaml:3:1: kind: this object has none; add");
    assert_refused("kind:\nspec: {}\n", "f.yaml:1:1: kind: this object has none");
    assert_refused("- kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: a}]}\n",
                   "f.yaml:1:3: [0]: objects in a bare list; put them below \"items\"");
    assert_output(
        "apiVersion: v2\nname: chart\n---\n- 1\n---\n# nothing\n---\nresources: [a.yaml]\n",
        &fixture_config, "resources: [a.yaml]\n");
}

/* Items of a typed list need not say their kind. */
static void test_typed_lists(void **state) {
    (void)state;
    assert_output("kind: DeploymentList\nitems:\n- metadata: {name: a}\n  spec:\n    template:\n"
                  "      spec:\n        containers:\n        - name: w\n",
                  &fixture_config, "        - name: contrast-initializer\n");
    assert_output("kind: PodList\nitems:\n- kind: Service\n  metadata: {name: a}\n- metadata: "
                  "{name: b}\n  spec:\n    containers:\n    - name: w\n",
                  &fixture_config, "    - name: contrast-initializer\n");
    assert_output("kind: JobList\napiVersion: batch.volcano.sh/v1\nitems: [{metadata: {name: a}, "
                  "spec: {}}]\n",
                  &fixture_config, "spec: {}");
    assert_output("kind: ServiceList\nitems: [{metadata: {name: a}, spec: {}}]\n", &fixture_config,
                  "spec: {}");
}

static bool is_confidential(const char *text) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    assert_true(is_ok(yaml_parse("f", span_str(text), &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    assert_int_equal(list.count, 1);
    return list.items[0].is_confidential;
}

static void test_pods_that_are_not_ours(void **state) {
    (void)state;
    assert_true(is_confidential(POD("", WEB)));
    assert_true(is_confidential(POD("", "  runtimeClassName: contrast-cc\n" WEB)));
    assert_true(is_confidential(POD("", "  runtimeClassName: contrast-cc-x\n" WEB)));
    assert_true(is_confidential(POD("", "  runtimeClassName: kata-cc-isolation\n" WEB)));
    assert_false(is_confidential(POD("", "  runtimeClassName: contrast-ccx\n" WEB)));
    assert_false(is_confidential(POD("", "  runtimeClassName: runc\n" WEB)));
    assert_false(is_confidential(POD(NOTE("pod-role: contrast-node-installer"), WEB)));
    assert_refused(
        POD(NOTE("pod-role: contrast-node-installer"), "  runtimeClassName: contrast-cc\n" WEB),
        "f.yaml:6:41: pod-role: a contrast-node-installer prepares nodes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_strings),
        cmocka_unit_test(test_objects_without_kind),
        cmocka_unit_test(test_typed_lists),
        cmocka_unit_test(test_pods_that_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
