/* Variables, programs and users, step by step as kubelet and containerd make them: each row is a
 * container beside an image, and what the policy must say.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/policy_data.h"
#include "cli/policy/policy_env.h"

/* "i": everything set; "none": nothing set. */
static const char config_i[] = "{\"config\": {\"User\": \"web:staff\", \"WorkingDir\": \"/w\", "
                               "\"Entrypoint\": [\"/e\", \"$(A)\"], "
                               "\"Cmd\": [\"c\"], \"Env\": [\"A=image\", \"PATH=/bin\", "
                               "\"HOSTNAME=x\", \"TERM=vt100\", \"A=again\"]}}";
static const char passwd_i[] = "root:x:0:0::/root:/bin/sh\nbad\nweb:x:1000:1001::/:/bin/sh\n"
                               "other:x:2000:2001::/:/bin/sh\n";
static const char group_i[] = "web:x:1001:web\nstaff:x:50:web,other\nteam:x:60:other,web\n"
                              "games:x:70:x\nbad:line\n";

struct fixture {
    struct image images[3];
    struct image_list list;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    static const char *const names[] = {"i", "none", "empty"};
    static const char *const configs[] = {
        config_i, "{\"config\": {\"Cmd\": [\"sh\"]}}",
        "{\"config\": {\"Entrypoint\": [\"\"], \"Cmd\": [\"x\"]}}"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(is_ok(image_read(names[i], span_str(configs[i]), &f->images[i], NULL)));
    }
    buf_append_str(&f->images[0].passwd, passwd_i);
    buf_append_str(&f->images[0].group, group_i);
    f->list = (struct image_list){f->images, 3};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        image_deinit(&f->images[i]);
    }
    free(f);
    return 0;
}

/* The data of the pod whose container has the lines of `container` (indent 4) and whose spec has
 * those of `spec` (indent 2); other documents may follow these. */
static json_t *make(const struct fixture *f, const char *container, const char *spec) {
    AUTO(buf_deinit)
    struct buf yaml = {0};
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    struct err err;
    json_t *data = NULL;
    buf_appendf(
        &yaml,
        "kind: Pod\nmetadata:\n  name: p\n  labels: {a: b}\n  annotations: {x/y: z}\nspec:\n"
        "  containers:\n  - name: c\n%s%s",
        container, spec);
    struct result r = yaml_parse("f.yaml", buf_span(&yaml), &file, &err);
    if (is_ok(r)) {
        r = workload_find(&file, &list, &err);
    }
    const struct policy_inputs inputs = {.images = &f->list, .files = &file, .file_count = 1};
    if (is_ok(r)) {
        r = policy_data_make(&list.items[0], &inputs, &data, &err);
    }
    if (!is_ok(r)) {
        fail_msg("%s of\n%s", err.text, buf_cstr(&yaml));
    }
    yaml_file_deinit(&file);
    return data;
}

/* The container's fields must equal those of `want`, JSON; null = must be absent. */
static void assert_made(const struct fixture *f, const char *container, const char *spec,
                        const char *want) {
    json_t *data = make(f, container, spec);
    json_t *wanted = json_loads(want, 0, NULL);
    assert_non_null(wanted);
    const json_t *made = json_array_get(json_object_get(data, "containers"), 1);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(wanted, key, value) {
        json_t *got = json_object_get(made, key);
        bool is_same = json_is_null(value) ? got == NULL : got != NULL && json_equal(got, value);
        if (!is_same) {
            fail_msg("%s: want %s, got %s of\n%s%s", key, json_dumps(value, JSON_ENCODE_ANY),
                     got != NULL ? json_dumps(got, JSON_ENCODE_ANY) : "nothing", container, spec);
        }
    }
    json_decref(wanted);
    json_decref(data);
}

#define HOSTNAME "\"HOSTNAME=\\u0001host\\u0001\""
#define PATH "\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\""
#define NONE "    image: none\n"
#define ENV(list) NONE "    env: [" list "]\n"
/* What an image without ENV, and a container with these, give; sorted between the two others. */
#define HAS(texts) "{\"env\": [" texts HOSTNAME ", " PATH "], \"openEnv\": {}, \"oldEnv\": null}"

/* --- containerd's part */

static void test_what_containerd_sets(void **state) {
    assert_made(*state, NONE, "", HAS(""));
    assert_made(*state, NONE "    tty: true\n", "",
                "{\"env\": [" HOSTNAME ", " PATH ", \"TERM=xterm\"], \"oldEnv\": null}");
}

static void test_image_goes_before_containerd(void **state) {
    assert_made(*state, "    image: i\n    tty: true\n", "",
                "{\"env\": [\"A=again\", \"HOSTNAME=x\", \"PATH=/bin\", \"TERM=vt100\"], "
                "\"oldEnv\": [\"A=image\"]}");
}

static void test_pod_goes_before_image(void **state) {
    assert_made(
        *state,
        "    image: i\n    env: [{name: A, value: pod}, {name: PATH, value: /p}, {name: TERM, "
        "value: t}, {name: HOSTNAME, value: h}]\n",
        "",
        "{\"env\": [\"A=pod\", \"HOSTNAME=h\", \"PATH=/p\", \"TERM=t\"], "
        "\"oldEnv\": [\"A=again\", \"A=image\", \"TERM=vt100\"]}");
}

/* --- The kubelet's part */

static void test_later_ones_see_earlier_ones(void **state) {
    assert_made(*state,
                ENV("{name: B, value: '$(A)'}, {name: A, value: a}, {name: C, value: '$(A)'}"), "",
                HAS("\"A=a\", \"B=$(A)\", \"C=a\", "));
    assert_made(*state, ENV("{name: A, value: '$(PATH)$(HOSTNAME)'}"), "",
                HAS("\"A=$(PATH)$(HOSTNAME)\", ")); /* not those of containerd */
    assert_made(*state, ENV("{name: A}, {name: B, value: null}, {name: C, value: ''}"), "",
                HAS("\"A=\", \"B=\", \"C=\", "));
}

static void test_dollars(void **state) {
    static const char *const rows[][2] = {
        {"$$(A)", "$(A)"},
        {"$$$(A)", "$a"},
        {"$$$$(A)", "$$(A)"},
        {"$(A", "$(A"},
        {"$A$", "$A$"},
        {"$(X)", "$(X)"},
        {"$()", "$()"},
        {"$(A)$(A)", "aa"},
        {"$", "$"},
        {"$(a b)", "$(a b)"},
        {"x$(A)y", "xay"},
        {"$($(A))", "$($(A))"},
        {"a$(P):1", "a\x01=P\x01:1"},
    };
    json_t *scope =
        json_pack("{s:s, s:{s:s}, s:{s:s}}", "A", "a", "O", "open", "any", "P", "open", "pod-ip");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf out = {0};
        AUTO(buf_deinit)
        struct buf stuck = {0};
        assert_true(policy_expand(scope, rows[i][0], &out, &stuck));
        assert_string_equal(buf_cstr(&out), rows[i][1]);
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    AUTO(buf_deinit)
    struct buf stuck = {0};
    assert_false(policy_expand(scope, "a$(O)", &out, &stuck));
    assert_string_equal(buf_cstr(&stuck), "O");
    json_decref(scope);
    (void)state;
}

#define MAP "---\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: 1a, b: '', 9x: v, A: from}\n"
#define SECRET                                                                                     \
    "---\nkind: Secret\nmetadata: {name: s, namespace: default}\ndata: {a: \"Zm\\n9v\\n\", k: "    \
    "YQ==}\n"                                                                                      \
    "stringData: {a: plain}\n"

static void test_env_from(void **state) {
    assert_made(*state, NONE "    envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s}}]\n",
                MAP SECRET,
                "{\"env\": [\"A=from\", " HOSTNAME ", " PATH ", \"a=plain\", \"b=\", \"k=a\"], "
                "\"mayEnv\": [\"9x=v\"]}");
    assert_made(*state, NONE "    envFrom: [{secretRef: {name: s}}, {configMapRef: {name: m}}]\n",
                MAP SECRET,
                "{\"env\": [\"A=from\", " HOSTNAME ", " PATH ", \"a=1a\", \"b=\", \"k=a\"]}");
    assert_made(*state, NONE "    envFrom: [{prefix: P_, configMapRef: {name: m}}]\n", MAP,
                "{\"env\": [" HOSTNAME ", " PATH
                ", \"P_9x=v\", \"P_A=from\", \"P_a=1a\", \"P_b=\"], "
                "\"mayEnv\": null}");
    assert_made(*state, NONE "    envFrom: [{configMapRef: {name: x, optional: true}}]\n", MAP,
                HAS(""));
}

static void test_env_sees_env_from(void **state) {
    assert_made(*state,
                NONE
                "    envFrom: [{configMapRef: {name: m}}]\n    env: [{name: A, value: '<$(A)>'}, "
                "{name: b, value: '$(A)'}]\n",
                MAP, "{\"env\": [\"A=<from>\", " HOSTNAME ", " PATH ", \"a=1a\", \"b=<from>\"]}");
}

static void test_optional_keys(void **state) {
    assert_made(*state,
                NONE "    envFrom: [{configMapRef: {name: m}}]\n    env: [{name: A, valueFrom: "
                     "{secretKeyRef: {name: x, key: k, optional: true}}}, {name: M, valueFrom: "
                     "{configMapKeyRef: {name: m, key: x, optional: true}}}, {name: a, valueFrom: "
                     "{secretKeyRef: {name: s, key: a}}}]\n",
                MAP SECRET, "{\"env\": [\"A=from\", " HOSTNAME ", " PATH ", \"a=plain\", \"b=\"]}");
}

static void on_warning(void *context, const char *text) {
    buf_appendf(context, "%s\n", text);
}

static void test_secrets_are_told_of(void **state) {
    (void)state;
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(buf_deinit)
    struct buf told = {0};
    json_t *data = NULL;
    assert_true(is_ok(yaml_parse(
        "f.yaml",
        span_str("kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: x, env: "
                 "[{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}], envFrom: "
                 "[{configMapRef: {name: m}}]}]}\n" MAP SECRET),
        &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    const struct policy_inputs inputs = {
        .files = &file, .file_count = 1, .warner = {on_warning, &told}};
    assert_true(is_ok(policy_data_make(&list.items[0], &inputs, &data, NULL)));
    const char *at = strstr(buf_cstr(&told), "spec.containers[0].env[0]: the Secret \"s\" becomes");
    assert_non_null(at);
    assert_null(strstr(at, "f.yaml")); /* once, and nothing of the ConfigMap */
    json_decref(data);
    yaml_file_deinit(&file);
}

static void test_objects_of_other_namespaces(void **state) {
    const char *take = ENV("{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}");
    const char *theirs =
        "---\nkind: ConfigMap\nmetadata: {name: m, namespace: other}\ndata: {k: t}\n";
    const char *ours =
        "---\nkind: ConfigMap\nmetadata: {name: m, namespace: default}\ndata: {k: o}\n";
    char both[512];
    (void)snprintf(both, sizeof both, "%s%s", theirs, ours);
    assert_made(*state, take, both, HAS("\"A=o\", "));
    assert_made(*state, take, theirs, HAS("\"A=t\", ")); /* the pod names none: kubectl -n other */
}

static void test_fields(void **state) {
    static const char *const rows[][2] = {
        {"metadata.name", "\\u0001name\\u0001"},
        {"metadata.namespace", "\\u0001namespace\\u0001"},
        {"metadata.uid", "\\u0001uid\\u0001"},
        {"spec.serviceAccountName", "default"},
        {"metadata.labels['a']", "b"},
        {"metadata.labels['c']", ""},
        {"metadata.annotations['x/y']", "z"},
        {"metadata.annotations['x/z']", ""},
        {"metadata.labels['statefulset.kubernetes.io/pod-name']", "\\u0001name\\u0001"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char container[256];
        char want[512];
        (void)snprintf(container, sizeof container,
                       ENV("{name: A, valueFrom: {fieldRef: {fieldPath: \"%s\"}}}"), rows[i][0]);
        (void)snprintf(want, sizeof want, HAS("\"A=%s\", "), rows[i][1]);
        assert_made(*state, container, "", want);
    }
}

static void test_open_fields(void **state) {
    static const char *const rows[][2] = {
        {"status.podIP", "pod-ip"},
        {"status.podIPs", "pod-ips"},
        {"status.hostIP", "host-ip"},
        {"status.hostIPs", "host-ips"},
        {"spec.nodeName", "node"},
        {"metadata.labels['pod-template-hash']", "any"},
        {"metadata.annotations['k8s.v1.cni.cncf.io/network-status']", "any"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char container[256];
        char want[128];
        (void)snprintf(container, sizeof container,
                       ENV("{name: A, valueFrom: {fieldRef: {fieldPath: \"%s\"}}}"), rows[i][0]);
        (void)snprintf(want, sizeof want, "{\"openEnv\": {\"A\": \"%s\"}}", rows[i][1]);
        assert_made(*state, container, "", want);
    }
    assert_made(*state,
                ENV("{name: A, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}"),
                "  serviceAccount: old\n", HAS("\"A=old\", "));
}

static void test_resources(void **state) {
    static const char *const rows[][2] = {
        {"limits.cpu", "1"},
        {"limits.cpu, divisor: 1m", "250"},
        {"requests.cpu, divisor: 1m", "100"},
        {"limits.memory", "67108864"},
        {"limits.memory, divisor: 1Mi", "64"},
        {"limits.memory, divisor: 1M", "68"},
        {"limits.memory, divisor: 1Gi", "1"},
        {"limits.memory, divisor: '0'", "67108864"},
        {"requests.memory, divisor: 1Ki", "65536"}, /* the limit */
        {"limits.ephemeral-storage", "1500"},
        {"limits.hugepages-2Mi, divisor: 2Mi", "3"},
        {"limits.memory, containerName: c, divisor: 1k", "67109"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char container[512];
        char want[512];
        (void)snprintf(container, sizeof container,
                       NONE
                       "    resources:\n      limits: {cpu: 250m, memory: 64Mi, ephemeral-storage: "
                       "1.5e3, hugepages-2Mi: 6Mi}\n      requests: {cpu: '0.1'}\n    env: "
                       "[{name: A, valueFrom: {resourceFieldRef: {resource: %s}}}]\n",
                       rows[i][0]);
        (void)snprintf(want, sizeof want, HAS("\"A=%s\", "), rows[i][1]);
        assert_made(*state, container, "", want);
    }
    assert_made(*state, ENV("{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}"), "",
                "{\"openEnv\": {\"A\": \"number\"}}");
}

/* --- Programs */

static void test_programs(void **state) {
    assert_made(*state, "    image: i\n", "", "{\"args\": [\"/e\", \"$(A)\", \"c\"]}");
    assert_made(*state, "    image: i\n    args: [x]\n", "",
                "{\"args\": [\"/e\", \"$(A)\", \"x\"]}");
    assert_made(*state, "    image: i\n    command: [x]\n", "", "{\"args\": [\"x\"]}");
    assert_made(*state, "    image: i\n    command: []\n    args: []\n", "",
                "{\"args\": [\"/e\", \"$(A)\", \"c\"]}");
    assert_made(*state, "    image: none\n", "", "{\"args\": [\"sh\"]}");
    assert_made(*state, "    image: empty\n", "", "{\"args\": [\"x\"]}");
    assert_made(*state, "    image: unknown\n    args: [x]\n", "", "{\"args\": null}");
    assert_made(*state, "    image: unknown\n    command: [z]\n    args: [x]\n", "",
                "{\"args\": [\"z\", \"x\"]}");
}

static void test_programs_see_the_pods_variables(void **state) {
    assert_made(
        *state,
        NONE
        "    command: ['$(A)', '$(B)', '$$(A)', '$(PATH)']\n    args: ['<$(A)>']\n    env: "
        "[{name: A, value: a}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n",
        "", "{\"args\": [\"a\", \"\\u0001name\\u0001\", \"$(A)\", \"$(PATH)\", \"<a>\"]}");
}

static void test_probes_see_what_is_written(void **state) {
    assert_made(
        *state,
        NONE "    env: [{name: A, value: a}, {name: B, value: '$(A)'}, {name: C, valueFrom: "
             "{fieldRef: {fieldPath: status.podIP}}}]\n"
             "    livenessProbe: {exec: {command: ['$(A)', '$(B)', '<$(C)>', '$$(A)', '$(X)']}}\n"
             "    lifecycle: {preStop: {exec: {command: ['$(A)', '$$']}}}\n",
        "", "{\"commands\": [[\"a\", \"$(A)\", \"<>\", \"$(A)\", \"$(X)\"], [\"$(A)\", \"$$\"]]}");
}

/* --- Users */

static void test_users(void **state) {
    static const char *const rows[][4] = {
        /* container, spec, uid and gid, gids */
        {"", "", "1000, \"gid\": 1001", "50, 60, 1001"}, /* not the group behind the colon */
        {"{runAsUser: 2000}", "", "2000, \"gid\": 2001", "50, 60, 2001"},
        {"{runAsUser: 3000}", "", "3000, \"gid\": 0", "0"},
        {"{runAsUser: 0}", "", "0, \"gid\": 0", "0"},
        {"{runAsGroup: 7}", "", "1000, \"gid\": 7", "7, 50, 60"},
        {"", "{runAsUser: 2000}", "2000, \"gid\": 2001", "50, 60, 2001"},
        {"{runAsUser: 0}", "{runAsUser: 2000, runAsGroup: 9}", "0, \"gid\": 9", "9"},
        {"{runAsGroup: 5}", "{runAsUser: 3000, runAsGroup: 9}", "3000, \"gid\": 5", "5"},
        {"{runAsUser: 3000}", "{fsGroup: 4, supplementalGroups: [9, 1, 9]}", "3000, \"gid\": 0",
         "0, 1, 4, 9"},
        {"", "{supplementalGroups: [9], supplementalGroupsPolicy: Strict}", "1000, \"gid\": 1001",
         "9, 1001"},
        {"{runAsNonRoot: true, runAsUser: 1}", "", "1, \"gid\": 0", "0"},
        {"{runAsNonRoot: false}", "{runAsNonRoot: true, runAsUser: 0}", "0, \"gid\": 0", "0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char container[128];
        char spec[128];
        char want[128];
        (void)snprintf(container, sizeof container, "    image: i\n    securityContext: %s\n",
                       rows[i][0]);
        (void)snprintf(spec, sizeof spec, "  securityContext: %s\n", rows[i][1]);
        (void)snprintf(want, sizeof want, "{\"uid\": %s, \"gids\": [%s]}", rows[i][2], rows[i][3]);
        assert_made(*state, container, spec, want);
    }
}

static void test_users_of_unknown_images(void **state) {
    assert_made(*state, "    image: x\n    securityContext: {runAsUser: 5}\n", "",
                "{\"uid\": 5, \"gid\": null, \"gids\": null}");
    assert_made(*state, "    image: x\n", "", "{\"uid\": null, \"gid\": null, \"gids\": null}");
    assert_made(*state, "    image: none\n", "", "{\"uid\": 0, \"gid\": 0, \"gids\": [0]}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_containerd_sets),
        cmocka_unit_test(test_image_goes_before_containerd),
        cmocka_unit_test(test_pod_goes_before_image),
        cmocka_unit_test(test_later_ones_see_earlier_ones),
        cmocka_unit_test(test_dollars),
        cmocka_unit_test(test_env_from),
        cmocka_unit_test(test_env_sees_env_from),
        cmocka_unit_test(test_optional_keys),
        cmocka_unit_test(test_secrets_are_told_of),
        cmocka_unit_test(test_objects_of_other_namespaces),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_open_fields),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_programs_see_the_pods_variables),
        cmocka_unit_test(test_probes_see_what_is_written),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_users_of_unknown_images),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
