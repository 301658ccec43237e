/* Bad inputs of `contrast generate`: each is refused with a message that says what, where, and what
 * to do. One table per kind of input; here stand those that the library stages refuse, elsewhere:
 *
 *   input                                          test
 *   two objects with one kind, namespace, name     test_objects_twice, test_gen_files
 *   alias bombs, duplicate keys, tabs, not UTF-8,
 *   NUL, depth > 100, > 64 MiB, merge keys         test_text; test_yaml (test_merge_keys, _bombs)
 *   a template that nobody rendered                test_text
 *   booleans and numbers where strings are wanted  test_types
 *   variables: name, duplicate, circle, sources    test_variables
 *   ConfigMap and Secret: missing, optional,
 *   base64, UTF-8, binaryData, stringData          test_objects_for_variables
 *   downward API, resourceFieldRef                 test_fields_for_variables
 *   container names, twice, regular expressions    test_names
 *   users: range, runAsNonRoot, not in passwd      test_users
 *   lines of passwd and group that are none        test_image (they are passed over, as in libc)
 *   annotations > 256 KiB                          test_annotations_too_large
 *   fields: unknown, misspelt, hostPath, subPath,
 *   hostNetwork, shareProcessNamespace, ephemeral  test_pod_fields
 *   a policy annotation that is not ours           test_inject
 *   images: no linux/amd64, count of diff_ids,
 *   digest mismatch, bombs, cut streams            test_oci_manifest, test_oci_config,
 * test_registry files: missing, changed meanwhile, read-only   test_gen_files
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

#include "cli/gen_objects.h"
#include "cli/policy/policy_text.h"
#include "lib/base/limits.h"

/* --- The stages on one file */

static RESULT make_policies(const struct yaml_file *file, const struct image_list *images,
                            struct buf *out, struct err *err) {
    const struct policy_inputs inputs = {.images = images, .files = file, .file_count = 1};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    TRY(gen_objects_check_unique(file, 1, err));
    TRY(workload_find(file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        TRY(policy_text_make(&list.items[i], &inputs, out, err));
    }
    return OK;
}

static RESULT run(struct span yaml, const struct image_list *images, struct buf *out,
                  struct err *err) {
    struct yaml_file file = {0};
    TRY(yaml_parse("f.yaml", yaml, &file, err));
    struct result r = make_policies(&file, images, out, err);
    yaml_file_deinit(&file);
    return r;
}

static void assert_span_refused(struct span yaml, const struct image_list *images,
                                const char *want) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err = {0};
    struct result r = run(yaml, images, &out, &err);
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got %s '%s' of\n%.400s", want, err_name(r.code), err.text,
                 (const char *)yaml.data);
    }
}

static void assert_refused(const char *yaml, const char *want) {
    assert_span_refused(span_str(yaml), NULL, want);
}

/* The policy must have `want`. */
static void assert_taken(const char *yaml, const char *want) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err = {0};
    if (!is_ok(run(span_str(yaml), NULL, &out, &err))) {
        fail_msg("%s", err.text);
    }
    const char *data = strstr(buf_cstr(&out), "policy_data := ");
    if (data == NULL || strstr(data, want) == NULL) {
        fail_msg("no '%s' in %s", want, data);
    }
}

struct row {
    const char *text; /* what is put into the document */
    const char *want;
};

/* `before` and `after` stand around the text of each row. */
static void assert_rows(const char *before, const struct row *rows, size_t count,
                        const char *after) {
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_deinit)
        struct buf yaml = {0};
        buf_appendf(&yaml, "%s%s%s", before, rows[i].text, after);
        assert_refused(buf_cstr(&yaml), rows[i].want);
    }
}

#define ROWS(before, rows, after) assert_rows(before, rows, sizeof(rows) / sizeof(rows)[0], after)
#define POD "kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n"

/* --- Text */

static void test_text(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key \"a\" stands in line 1 already"},
        {"a:\n\tb: 1\n", "f.yaml:2:1: a tab where YAML wants spaces; indent with spaces"},
        {"a: \xff\n", "f.yaml:1:4: not UTF-8; save the file as UTF-8"},
        {"a: \"\\0\"\n", "f.yaml:1:4: a NUL character in a value"},
        {"a: &a\n  b: *a\n", "f.yaml:2:6: an alias of a node that contains it"},
        {"a: {{ .Values.name }}\n", "f.yaml:1:5: this looks like a template; render it first"},
        {"port: {{port}}\n", "f.yaml:1:8: this looks like a template; render it first"},
        {"{{- if .Values.x }}\na: 1\n{{- end }}\n", "this looks like a template"},
        {"{% if x %}\na: 1\n", "this looks like a template"},
    };
    ROWS("", rows, "");
    assert_span_refused(span_of("a: \0\n", 5), NULL,
                        "f.yaml:1:4: a NUL byte; is this a text file?");
    assert_span_refused(span_of("", LIMIT_YAML_FILE + 1), NULL,
                        "f.yaml: 67108865 bytes, limit 67108864; split it into several files");
}

static void test_depth_and_aliases(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf deep = {0};
    for (int i = 0; i <= LIMIT_YAML_DEPTH; i++) {
        buf_append_str(&deep, "[");
    }
    assert_span_refused(buf_span(&deep), NULL, "nested deeper than this program reads");
    AUTO(buf_deinit)
    struct buf bomb = {0};
    buf_append_str(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buf_appendf(&bomb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_span_refused(buf_span(&bomb), NULL, "aliases expand to more nodes");
}

static void test_objects_twice(void **state) {
    (void)state;
    assert_refused(
        "kind: ConfigMap\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: a, "
        "namespace: default}\n",
        "f.yaml:4:1: ConfigMap default/a stands in f.yaml:1:1 already; keep one of them");
}

/* --- Types: what kubectl would send as a boolean or a number */

static void test_types(void **state) {
    (void)state;
    static const struct row values[] = {
        {"yes", "env[0].value: must be a string but \"yes\" is read differently by different"},
        {"off", "must be a string but \"off\""},
        {"y", "must be a string but \"y\""},
        {"true", "must be a string but \"true\" is a boolean; put it in quotes"},
        {"8080", "f.yaml:7:28: spec.containers[0].env[0].value: must be a string but \"8080\" is a "
                 "number; put it in quotes"},
        {"0x10", "must be a string but \"0x10\" is a number"},
        {"0644", "must be a string but \"0644\" is a number"},
        {"1e3", "must be a string but \"1e3\" is a number"},
        {"1_000", "must be a string but \"1_000\" is read differently"},
        {"[a]", "must be a string but is a list"},
        {"!!int '1'", "must be a string but \"1\" is read differently"},
    };
    ROWS(POD "    env: [{name: A, value: ", values, "}]\n");
    static const struct row fields[] = {
        {"    command: [sleep, 10]\n", "spec.containers[0].command[1]: must be a string"},
        {"    tty: yes\n", "spec.containers[0].tty: must be true or false"},
        {"    workingDir: 1\n", "workingDir: must be a string"},
        {"    securityContext: {runAsUser: '1'}\n", "runAsUser: must be an integer"},
        {"    securityContext: {runAsUser: 1.5}\n", "runAsUser: must be an integer"},
        {"  hostname: 12\n", "spec.hostname: must be a string"},
        {"  volumes: x\n", "spec.volumes: must be a list"},
    };
    ROWS(POD, fields, "");
    static const struct row names[] = {
        {"name: 123", "f.yaml:2:18: metadata.name: must be a string"},
        {"name: on", "metadata.name: must be a string"},
        {"name: p, labels: {a: 1}", "metadata.labels.a: must be a string"},
        {"name: p, namespace: 1", "metadata.namespace: must be a string"},
    };
    ROWS("kind: Pod\nmetadata: {", names, "}\nspec: {containers: [{name: c, image: i}]}\n");
}

/* --- Variables */

static void test_variables(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{name: '', value: a}", "f.yaml:7:11: spec.containers[0].env[0]: \"\" is no name"},
        {"{name: 1a, value: a}", "\"1a\" is no name of a variable: letters, digits"},
        {"{name: a b, value: a}", "\"a b\" is no name"},
        {"{name: A=B, value: a}", "\"A=B\" is no name"},
        {"{name: .., value: a}", "\"..\" is no name"},
        {"{name: A, value: a}, {name: A, value: a}", "env[1]: \"A\" is set above already"},
        {"{name: A, value: a, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
         "\"A\" has value and valueFrom; keep one"},
        {"{name: A, value: 'x$(A)'}", "env[0]: A refers to itself by $(NAME)"},
        {"{name: A, value: '$(B)'}, {name: B, value: '$(C)'}, {name: C, value: '$(A)'}",
         "env[0]: A refers to itself by $(NAME), perhaps through others; break the circle"},
        {"{name: A, valueFrom: {}}", "valueFrom: names no source; take fieldRef,"},
        {"{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, resourceFieldRef: "
         "{resource: limits.cpu}}}",
         "valueFrom: fieldRef beside resourceFieldRef; keep one of them"},
        {"{name: A, value: '$(KUBERNETES_SERVICE_HOST)'}",
         "$(KUBERNETES_SERVICE_HOST): the address of a Service, which only the cluster knows"},
        {"{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['k8s.io/a']\"}}}, {name: "
         "B, "
         "value: '$(A):1'}",
         "env[1]: $(A): a label or annotation, which only the cluster knows; write"},
    };
    ROWS(POD "    env: [", rows, "]\n");
    assert_refused(POD "    envFrom: [{prefix: A}]\n",
                   "envFrom[0]: must have one of configMapRef and secretRef");
    assert_refused(POD "    command: ['$(DB_PORT)']\n---\nkind: Service\nmetadata: {name: db}\n",
                   "command[0]: $(DB_PORT): the address of a Service");
    assert_taken(POD "    command: ['$(DB_PORT)']\n", "\"$(DB_PORT)\"");
    assert_taken(POD "    command: ['$(DB_PORT)']\n---\nkind: Service\nmetadata: {name: db}\n"
                     "spec: {clusterIP: None}\n",
                 "\"$(DB_PORT)\"");
}

static void test_fields_for_variables(void **state) {
    (void)state;
    static const struct row fields[] = {
        {"", "env[0]: fieldPath \"\": variables take metadata.name"},
        {"spec.restartPolicy", "fieldPath \"spec.restartPolicy\": variables take metadata.name"},
        {"metadata.labels", "fieldPath \"metadata.labels\": variables take"},
        {"\"metadata.labels['']\"", "fieldPath \"metadata.labels['']\": variables take"},
        {"\"metadata.labels['a'\"", "fieldPath \"metadata.labels['a'\": variables take"},
        {"\"metadata.annotations['io.katacontainers.config.agent.policy']\"",
         "but not the policy itself"},
    };
    ROWS(POD "    env: [{name: A, valueFrom: {fieldRef: {fieldPath: ", fields, "}}}]\n");
    static const struct row resources[] = {
        {"resource: cpu", "resourceFieldRef: there is no resource \"cpu\"; take limits.X or"},
        {"resource: limits.gpu", "there is no resource \"limits.gpu\""},
        {"resource: limits.cpu, containerName: d", "no container is called \"d\""},
        {"resource: limits.memory, divisor: 1x", "cannot divide \"64Mi\" by \"1x\"; write"},
        {"resource: limits.cpu", "cannot divide \"-1\" by \"1\""},
        {"resource: requests.cpu", "cannot divide \"1e99\" by \"1\""},
        {"resource: requests.memory", "cannot divide \"99999999999Gi\" by \"1\""},
    };
    ROWS(POD "    resources: {limits: {cpu: -1, memory: 64Mi}, requests: {cpu: 1e99, memory: "
             "99999999999Gi}}\n    env: [{name: A, valueFrom: {resourceFieldRef: {",
         resources, "}}}]\n");
}

#define KEY_REF(kind)                                                                              \
    POD "    env: [{name: A, valueFrom: {" kind ": {name: m, key: k, optional: false}}}]\n---\n"

static void test_objects_for_variables(void **state) {
    (void)state;
    static const struct row maps[] = {
        {"kind: ConfigMap\nmetadata: {name: n}\ndata: {k: v}\n",
         "f.yaml:7:11: spec.containers[0].env[0]: the ConfigMap \"m\" is in none of the files; add "
         "its YAML, or say \"optional: true\""},
        {"kind: ConfigMap\nmetadata: {name: m}\ndata: {l: v}\n",
         "the ConfigMap \"m\" (f.yaml:9) has no key \"k\"; add it, or say"},
        {"kind: ConfigMap\nmetadata: {name: m}\nbinaryData: {k: AA==}\n",
         "the key \"k\" of the ConfigMap \"m\" is binaryData, which no variable takes"},
        {"kind: ConfigMap\nmetadata: {name: m}\ndata: {k: 1}\n",
         "f.yaml:11:11: must be a string but \"1\" is a number; put it in quotes"},
        {"kind: ConfigMap\nmetadata: {name: m}\ndata: {k: yes}\n",
         "f.yaml:11:11: must be a string"},
        {"kind: ConfigMap\nmetadata: {name: m}\ndata: [k]\n",
         "f.yaml:11:7: data: must be a mapping"},
        {"kind: ConfigMap\nmetadata: {name: m}\ndata: {k: \"a\\x01\"}\n",
         "f.yaml:11:11: a variable takes it, but it is no UTF-8 text"},
    };
    ROWS(KEY_REF("configMapKeyRef"), maps, "");
    static const struct row secrets[] = {
        {"data: {k: 'a b'}\n", "f.yaml:11:11: not base64 ("},
        {"data: {k: YQ}\n", "encode it, or put the plain text under stringData"},
        {"data: {k: /w==}\n", "f.yaml:11:11: a variable takes it, but it is no UTF-8 text"},
        {"data: {k: AA==}\n", "f.yaml:11:11: a variable takes it, but it is no UTF-8 text"},
        {"stringData: {k: 1}\n", "f.yaml:11:17: must be a string but \"1\" is a number"},
        {"type: Opaque\n", "the Secret \"m\" (f.yaml:9) has no key \"k\""},
    };
    ROWS(KEY_REF("secretKeyRef") "kind: Secret\nmetadata: {name: m}\n", secrets, "");
    assert_refused(POD "    envFrom: [{secretRef: {name: m}}]\n",
                   "envFrom[0]: the Secret \"m\" is in none of the files");
    assert_refused(POD "    envFrom: [{configMapRef: {name: m}}]\n---\nkind: ConfigMap\nmetadata: "
                       "{name: m}\ndata: {yes: a}\n",
                   "f.yaml:11:8: the key \"yes\" is no string; put it in quotes");
}

/* --- Names */

static void test_names(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"A", "f.yaml:5:11: spec.containers[0].name: \"A\" must be lower-case letters, digits"},
        {"a.b", "\"a.b\" must be lower-case letters"},
        {"-a", "\"-a\" must be lower-case letters"},
        {"a-", "\"a-\" must be lower-case letters"},
        {"''", "\"\" must be lower-case letters"},
        {"a123456789a123456789a123456789a123456789a123456789a123456789abcd", "at most 63"},
    };
    ROWS("kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: ", rows,
         "\n    image: i\n");
    assert_refused(POD "  - {name: c, image: i}\n", "two containers are called \"c\"; rename one");
    assert_refused(POD "  initContainers: [{name: c, image: i}]\n",
                   "two containers are called \"c\"");
    assert_taken("kind: Pod\nmetadata: {name: a.b-c}\nspec: {containers: [{name: c, image: i}]}\n",
                 "\"namePattern\": \"^a\\\\.b-c$\"");
}

/* --- Users */

static void test_users(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"  securityContext: {runAsUser: -1}\n",
         "f.yaml:7:32: spec.securityContext.runAsUser: -1 is out of range; Kubernetes takes 0 to"},
        {"  securityContext: {runAsUser: 4294967296}\n", "4294967296 is out of range"},
        {"  securityContext: {runAsUser: 2147483648}\n", "2147483648 is out of range"},
        {"  securityContext: {fsGroup: -5}\n", "spec.securityContext.fsGroup: -5 is out of range"},
        {"  securityContext: {supplementalGroups: [1, -1]}\n",
         "f.yaml:7:45: spec.securityContext.supplementalGroups[1]: -1 is out of range"},
        {"    securityContext: {runAsGroup: 99999999999}\n",
         "f.yaml:7:35: spec.containers[0].securityContext.runAsGroup: 99999999999 is out of range"},
        {"  securityContext: {runAsNonRoot: true, runAsUser: 0}\n",
         "spec.containers[0]: runAsNonRoot, but the user is 0: the kubelet would not start it; "
         "set"},
        {"    securityContext: {runAsNonRoot: true}\n  securityContext: {runAsUser: 0}\n",
         "runAsNonRoot, but the user is 0"},
        {"  securityContext: {runAsNonRoot: true}\n  initContainers:\n"
         "  - {name: contrast-initializer, image: i, securityContext: {runAsUser: 0}}\n",
         "f.yaml: Pod/p: spec.securityContext.runAsNonRoot: contrast-initializer, which generate "
         "adds, would run as its image's user 0: set runAsUser beside it"},
    };
    ROWS(POD, rows, "");
}

static void test_users_of_images(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"web", "", "image i: its user \"web\" is not in its etc/passwd; set runAsUser"},
        {"web:1", "", "its user \"web:1\" is not in its etc/passwd"},
        {"5000000000", "", "its user \"5000000000\" is not in its etc/passwd"},
        {"", "    securityContext: {runAsNonRoot: true}\n", "runAsNonRoot, but the user is 0"},
        {"bin", "    securityContext: {runAsNonRoot: true}\n",
         "runAsNonRoot, but the image's user \"bin\" is a name, of which the kubelet knows no "
         "number; "
         "set runAsUser: 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf config = {0};
        AUTO(buf_deinit)
        struct buf yaml = {0};
        struct image image = {0};
        buf_appendf(&config, "{\"config\": {\"User\": \"%s\", \"Cmd\": [\"a\"]}}", rows[i][0]);
        assert_true(is_ok(image_read("i", buf_span(&config), &image, NULL)));
        buf_append_str(&image.passwd, "bad line\nx:y:z\n:x:1:1:::\nbin:x:2:1::/:/bin/sh\n");
        const struct image_list images = {&image, 1};
        buf_appendf(&yaml, POD "%s", rows[i][1]);
        assert_span_refused(buf_span(&yaml), &images, rows[i][2]);
        image_deinit(&image);
    }
}

/* --- Sizes */

static void test_annotations_too_large(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf yaml = {0};
    buf_append_str(&yaml, "kind: Pod\nmetadata:\n  name: p\n  annotations:\n    a: '");
    for (int i = 0; i < 26 * 1024; i++) {
        buf_append_str(&yaml, "0123456789");
    }
    buf_append_str(&yaml, "'\nspec: {containers: [{name: c, image: i}]}\n");
    assert_span_refused(buf_span(&yaml), NULL, "the annotations of Pod/p would have");
}

static void test_variables_too_large(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf yaml = {0};
    buf_append_str(&yaml, POD "    env:\n    - {name: A0, value: '0123456789'}\n");
    for (int i = 1; i < 9; i++) {
        buf_appendf(&yaml, "    - {name: A%d, value: '", i);
        for (int k = 0; k < 8; k++) {
            buf_appendf(&yaml, "$(A%d)", i - 1);
        }
        buf_append_str(&yaml, "'}\n");
    }
    assert_span_refused(buf_span(&yaml), NULL, "variables that expand to over 262144 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_depth_and_aliases),
        cmocka_unit_test(test_objects_twice),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_fields_for_variables),
        cmocka_unit_test(test_objects_for_variables),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_users_of_images),
        cmocka_unit_test(test_annotations_too_large),
        cmocka_unit_test(test_variables_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
