/* What becomes of volumes, host names, devices and names: the policy's data, field by field.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/policy_data.h"

static RESULT read_data(const char *yaml, const struct policy_inputs *inputs, json_t **out,
                        struct err *err) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct result r = yaml_parse("f.yaml", span_str(yaml), &file, err);
    if (is_ok(r)) {
        r = workload_find(&file, &list, err);
    }
    if (is_ok(r)) {
        assert_int_equal(list.count, 1);
        r = policy_data_make(&list.items[0], inputs, out, err);
    }
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    return r;
}

static json_t *data_of(const char *yaml) {
    static const struct policy_inputs none = {0};
    struct err err = {0};
    json_t *data = NULL;
    if (!is_ok(read_data(yaml, &none, &data, &err))) {
        fail_msg("%s", err.text);
    }
    return data;
}

static void assert_refused(const char *yaml, const char *want) {
    static const struct policy_inputs none = {0};
    struct err err = {0};
    json_t *data = NULL;
    struct result r = read_data(yaml, &none, &data, &err);
    if (r.code != ERR_INVALID || strncmp(err.text, want, strlen(want)) != 0) {
        fail_msg("want '%s', got '%s'", want, is_ok(r) ? "no error" : err.text);
    }
    assert_null(data);
}

static void assert_json(const json_t *value, const char *want) {
    char *text =
        value != NULL ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    assert_string_equal(text != NULL ? text : "none", want);
    mem_free(text);
}

/* The last container: the sandbox and init containers come first. */
static const json_t *last_of(const json_t *data) {
    const json_t *list = json_object_get(data, "containers");
    return json_array_get(list, json_array_size(list) - 1);
}

static void assert_mount(const char *yaml, const char *place, const char *want) {
    json_t *data = data_of(yaml);
    const json_t *list = json_object_get(last_of(data), "mounts");
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *mount = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(mount, "at")), place) == 0) {
            assert_null(found);
            found = mount;
        }
    }
    assert_json(found, want);
    json_decref(data);
}

/* --- Volumes */

#define POD(volume, mount)                                                                         \
    "kind: Pod\nmetadata: {name: p}\nspec:\n  volumes: [" volume "]\n"                             \
    "  containers:\n  - name: x\n    image: i\n    volumeMounts: [" mount "]\n"
#define GUEST(from, options)                                                                       \
    "{\"at\":\"/m\",\"from\":\"" from "\",\"options\":[\"rbind\"," options                         \
    "],\"type\":\"bind\",\"volume\":\"v\"}"
#define SHARED(at, name, options)                                                                  \
    "{\"at\":\"" at "\",\"from\":\"shared\",\"name\":\"" name "\",\"options\":[\"rbind\"," options \
    "],\"type\":\"bind\"}"
#define RW "\"rprivate\",\"rw\""
#define RO "\"rprivate\",\"ro\""

static void test_volumes_of_the_guest(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {POD("{name: v, emptyDir: {}}", "{name: v, mountPath: /m}"), GUEST("empty", RW)},
        {POD("{name: v}", "{name: v, mountPath: /m}"), GUEST("empty", RW)},
        {POD("{name: v, emptyDir: {medium: ''}}", "{name: v, mountPath: /m}"), GUEST("empty", RW)},
        {POD("{name: v, emptyDir: {medium: Memory}}", "{name: v, mountPath: /m, readOnly: true}"),
         GUEST("memory", RO)},
        {POD("{name: v, emptyDir: {medium: HugePages-2Mi}}", "{name: v, mountPath: /m}"),
         GUEST("hugepages", RW)},
        {POD("{name: v}", "{name: v, mountPath: /m, mountPropagation: HostToContainer}"),
         GUEST("empty", "\"rslave\",\"rw\"")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_mount(rows[i][0], "/m", rows[i][1]);
    }
}

static void test_volumes_that_are_copied(void **state) {
    (void)state;
    static const char *const readonly[] = {
        "configMap: {name: c}",
        "secret: {secretName: s, defaultMode: 0400}",
        "downwardAPI: {items: []}",
        "projected: {sources: [{serviceAccountToken: {path: t}}, {configMap: {name: c}}]}",
        "persistentVolumeClaim: {claimName: c, readOnly: true}",
        "cinder: {volumeID: x, readOnly: true}",
    };
    for (size_t i = 0; i < sizeof readonly / sizeof readonly[0]; i++) {
        char yaml[512];
        (void)snprintf(yaml, sizeof yaml, POD("{name: v, %s}", "{name: v, mountPath: /a/m}"),
                       readonly[i]);
        assert_mount(yaml, "/a/m", SHARED("/a/m", "m", RO));
    }
    assert_mount(
        POD("{name: v, persistentVolumeClaim: {claimName: c}}", "{name: v, mountPath: /m}"), "/m",
        SHARED("/m", "m", RW));
    assert_mount(POD("{name: v, secret: {secretName: s}}",
                     "{name: v, mountPath: /etc/app.conf, subPath: app.conf}"),
                 "/etc/app.conf", SHARED("/etc/app.conf", "app.conf", RO));
    assert_mount(POD("{name: v, csi: {driver: d}}", "{name: v, mountPath: data/}"), "/data/",
                 SHARED("/data/", "data", RW));
}

static void test_claim_templates_are_volumes(void **state) {
    (void)state;
#define SET(volumes, mode)                                                                         \
    "kind: StatefulSet\nmetadata: {name: s}\nspec:\n  volumeClaimTemplates:\n  - metadata: "       \
    "{name: "                                                                                      \
    "v}\n    spec: {volumeMode: " mode "}\n  template: {spec: {volumes: [" volumes                 \
    "], containers: [{name: x, image: i,\n"
    assert_mount(SET("", "Filesystem") "volumeMounts: [{name: v, mountPath: /m}]}]}}\n", "/m",
                 SHARED("/m", "m", RW));
    assert_mount(SET("{name: v}", "Filesystem") "volumeMounts: [{name: v, mountPath: /m}]}]}}\n",
                 "/m", SHARED("/m", "m", RW));
    assert_refused(SET("", "Block") "volumeMounts: [{name: v, mountPath: /m}]}]}}\n",
                   "f.yaml:8:16: spec.template.spec.containers[0].volumeMounts[0]: \"v\" has "
                   "volumeMode: Block; name it in volumeDevices");
    assert_refused(
        SET("", "Filesystem") "volumeDevices: [{name: v, devicePath: /d}]}]}}\n",
        "f.yaml:8:17: spec.template.spec.containers[0].volumeDevices[0]: the claim \"v\" "
        "needs volumeMode: Block");
    json_t *data =
        data_of(SET("{name: w, persistentVolumeClaim: {claimName: w}}",
                    "Block") "volumeDevices: [{name: w, devicePath: /dev/b}, {name: v, devicePath: "
                             "/dev/a}]}]}}\n");
    assert_json(json_object_get(last_of(data), "blocks"), "[\"/dev/a\",\"/dev/b\"]");
    json_decref(data);
}

static void test_volumes_that_cannot_be(void **state) {
    (void)state;
#define MOUNT "f.yaml:8:20: spec.containers[0].volumeMounts[0]: "
    assert_refused(POD("", "{name: v, mountPath: /m}"), MOUNT "the pod has no volume \"v\"");
    assert_refused(POD("{name: v}", "{name: v, mountPath: //}"), MOUNT "mountPath: \"//\" is no");
    assert_refused(POD("{name: v}", "{name: v}"), MOUNT "mountPath: \"\" is no");
    assert_refused(POD("{name: v}", "{name: v, mountPath: /m, subPath: a}"),
                   MOUNT "subPath is refused for an emptyDir");
    assert_refused(POD("{name: v}", "{name: v, mountPath: /m, subPathExpr: $(A)}"),
                   MOUNT "subPath is refused for an emptyDir");
    assert_refused(POD("{name: v, secret: {}}", "{name: v, mountPath: /m, subPath: a/../../b}"),
                   MOUNT "subPath: \"a/../../b\" leaves the volume");
    assert_refused(
        POD("{name: v}", "{name: v, mountPath: /m}, {name: v, mountPath: /m}"),
        "f.yaml:8:46: spec.containers[0].volumeMounts[1]: mountPath: \"/m\" has a mount");
    assert_refused(POD("{name: v}, {name: v}", ""),
                   "f.yaml:4:24: spec.volumes[1]: a second volume \"v\"");
    assert_refused(POD("{name: v, emptyDir: {}, secret: {}}", ""),
                   "f.yaml:4:13: spec.volumes[0]: \"v\" is of two kinds");
    assert_refused(POD("{emptyDir: {}}", ""), "f.yaml:4:13: spec.volumes[0]: the name \"\" must");
    assert_refused(POD("{name: ../v}", ""), "f.yaml:4:13: spec.volumes[0]: the name \"../v\" must");
    assert_refused(POD("{name: v, emptyDir: {medium: Disk}}", ""),
                   "f.yaml:4:13: spec.volumes[0]: emptyDir.medium: \"Disk\" is neither");
}

static void test_mounts_replace_those_of_containerd(void **state) {
    (void)state;
#define DEV POD("{name: v, emptyDir: {medium: Memory}}", "{name: v, mountPath: /dev}")
    assert_mount(DEV, "/dev/pts", "none");
    assert_mount(DEV, "/dev/shm",
                 "{\"at\":\"/dev/shm\",\"from\":\"/run/kata-containers/sandbox/shm\",\"options\":["
                 "\"rbind\"],\"type\":\"bind\"}");
    assert_mount(POD("{name: v, secret: {}}", "{name: v, mountPath: //etc//hosts/}"), "/etc/hosts",
                 "none");
    assert_mount(POD("", "]\n    terminationMessagePath: ''\n    command: ["),
                 "/dev/termination-log", SHARED("/dev/termination-log", "termination-log", RW));
}

static void assert_shm(const char *medium, size_t want) {
    char yaml[512];
    (void)snprintf(yaml, sizeof yaml,
                   POD("{name: v, emptyDir: {medium: '%s'}}", "{name: v, mountPath: /dev/shm/}"),
                   medium);
    json_t *data = data_of(yaml);
    const json_t *list = json_object_get(last_of(data), "mounts");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *from = json_string_value(json_object_get(json_array_get(list, i), "from"));
        count += strcmp(from, "/run/kata-containers/sandbox/shm") == 0 ? 1 : 0;
    }
    assert_int_equal(count, want);
    json_decref(data);
}

static void test_shared_memory_of_the_sandbox_stays(void **state) {
    (void)state;
    assert_shm("", 1);
    assert_shm("Memory", 0);
}

static void test_propagation_reaches_the_root(void **state) {
    (void)state;
    json_t *data = data_of(POD("{name: v}, {name: w}",
                               "{name: v, mountPath: /v, mountPropagation: Bidirectional}, "
                               "{name: w, mountPath: /w, mountPropagation: HostToContainer}"));
    assert_json(json_object_get(last_of(data), "rootPropagation"), "\"rshared\"");
    json_decref(data);
    data = data_of(POD("{name: v}", "{name: v, mountPath: /v, mountPropagation: None}"));
    assert_json(json_object_get(last_of(data), "rootPropagation"), "none");
    json_decref(data);
}

/* --- Warnings */

static void collect(void *context, const char *text) {
    buf_appendf(context, "%.60s\n", text);
}

static void test_copied_disks_are_told_of_once(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf told = {0};
    const struct policy_inputs inputs = {.warner = {collect, &told}};
    struct err err = {0};
    json_t *data = NULL;
    assert_true(is_ok(read_data(
        POD("{name: v, persistentVolumeClaim: {claimName: c}}, {name: w, persistentVolumeClaim: "
            "{claimName: c}}, {name: s, secret: {}}",
            "{name: v, mountPath: /m}, {name: v, mountPath: /n}, {name: s, mountPath: /s}]\n"
            "    resources: {limits: {cpu: 1, nvidia.com/gpu: 1, a.b/c: 1}}\n"
            "    volumeDevices: [{name: w, devicePath: /d}"),
        &inputs, &data, &err)));
    assert_string_equal(buf_cstr(&told),
                        "f.yaml:6:5: spec.containers[0].resources.limits: a.b/c: if a\n"
                        "f.yaml:4:13: spec.volumes[0].persistentVolumeClaim: the node\n");
    json_decref(data);
    buf_clear(&told);
    assert_true(
        is_ok(read_data(SET("", "Filesystem") "volumeMounts: [{name: v, mountPath: /m}]}]}}\n",
                        &inputs, &data, &err)));
    assert_string_equal(buf_cstr(&told),
                        "f.yaml:5:5: spec.volumeClaimTemplates[0]: the node reads it,\n");
    json_decref(data);
}

/* --- Names */

#define R "[bcdfghjklmnpqrstvwxz2456789]"
#define N10 "abcdefghij"
#define N50 N10 N10 N10 N10 N10
#define ANY_POD "template: {spec: {containers: [{name: x, image: i}]}}"

static void test_names_of_pods(void **state) {
    (void)state;
    static const struct {
        const char *head;
        const char *spec;
        const char *want;
    } rows[] = {
        {"kind: Deployment\nmetadata: {name: a}", ANY_POD, "^a-" R "+-" R "+$"},
        {"kind: Deployment\nmetadata: {name: " N50 "}", ANY_POD, "^" N50 "-(" R "+-?)?" R "+$"},
        {"kind: Deployment\nmetadata: {name: " N50 N10 "}", ANY_POD, "^" N50 "abcdefgh" R "+$"},
        {"kind: ReplicaSet\nmetadata: {name: a}", ANY_POD, "^a-" R "+$"},
        {"kind: StatefulSet\nmetadata: {name: a.b}", ANY_POD, "^a\\.b-[0-9]+$"},
        {"kind: Job\nmetadata: {name: a}", ANY_POD, "^a-" R "+$"},
        {"kind: Job\nmetadata: {generateName: a-}", ANY_POD, "^a-" R "+-" R "+$"},
        {"kind: Job\nmetadata: {name: a}", "completionMode: Indexed, " ANY_POD,
         "^a-[0-9]+-" R "+$"},
        {"kind: Job\nmetadata: {name: " N50 "}", "completionMode: Indexed, " ANY_POD,
         "^" N10 N10 N10 N10 "abcdef[-.a-z0-9]*-[0-9]+-" R "+$"},
        {"kind: CronJob\nmetadata: {name: a}", "jobTemplate: {spec: {" ANY_POD "}}",
         "^a-[0-9]+-" R "+$"},
        {"kind: CronJob\nmetadata: {name: a}",
         "jobTemplate: {spec: {completionMode: Indexed, " ANY_POD "}}", "^a-[0-9]+-[0-9]+-" R "+$"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[512];
        (void)snprintf(yaml, sizeof yaml, "%s\nspec: {%s}\n", rows[i].head, rows[i].spec);
        json_t *data = data_of(yaml);
        assert_string_equal(json_string_value(json_object_get(data, "namePattern")), rows[i].want);
        json_decref(data);
    }
}

static void test_host_names(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        const char *hostname;
        const char *fqdn;
        const char *indexed;
    } rows[] = {
        {POD("", "]\n  hostname: h\n  x: ["), "\"h\"", "none", "none"},
        {POD("", "]\n  hostname: ''\n  x: ["), "none", "none", "none"},
        {POD("", "]\n  hostname: h\n  subdomain: d\n  setHostnameAsFQDN: true\n  x: ["), "\"h\"",
         "\"d\"", "none"},
        {POD("", "]\n  subdomain: d\n  x: ["), "none", "none", "none"},
        {"kind: StatefulSet\nmetadata: {name: s}\nspec:\n  serviceName: d\n  template: {spec: "
         "{hostname: h, subdomain: e, setHostnameAsFQDN: true, containers: [{name: x}]}}\n",
         "none", "\"d\"", "none"},
        {"kind: Job\nmetadata: {name: s}\nspec:\n  completionMode: Indexed\n  template: {spec: "
         "{hostname: h, containers: [{name: x}]}}\n",
         "none", "none", "true"},
    };
    static const char *const paths[] = {"spec.x"};
    const struct policy_inputs inputs = {.allowed = {paths, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        json_t *data = NULL;
        if (!is_ok(read_data(rows[i].yaml, &inputs, &data, &err))) {
            fail_msg("%zu: %s", i, err.text);
        }
        assert_json(json_object_get(data, "hostname"), rows[i].hostname);
        assert_json(json_object_get(data, "fqdn"), rows[i].fqdn);
        assert_json(json_object_get(data, "indexed"), rows[i].indexed);
        json_decref(data);
    }
}

static void test_indexed_jobs_know_their_index(void **state) {
    (void)state;
    json_t *data =
        data_of("kind: Job\nmetadata: {name: j}\nspec: {completionMode: Indexed, " ANY_POD "}\n");
    assert_json(json_object_get(last_of(data), "openEnv"), "{\"JOB_COMPLETION_INDEX\":\"number\"}");
    json_decref(data);
}

/* --- Security */

static void test_profiles_and_settings(void **state) {
    (void)state;
    json_t *data = data_of(
        "kind: Pod\nmetadata: {name: p, annotations: "
        "{container.apparmor.security.beta.kubernetes.io/w: localhost/old}}\nspec:\n"
        "  securityContext: {sysctls: [{name: net/ipv4/conf/eth0.1/x, value: 1}, {name: a.b/c, "
        "value: '2'}]}\n"
        "  containers:\n  - {name: x, securityContext: {appArmorProfile: {type: Localhost, "
        "localhostProfile: mine}}}\n  - {name: w}\n");
    const json_t *list = json_object_get(data, "containers");
    assert_json(json_object_get(json_array_get(list, 1), "apparmor"), "\"mine\"");
    assert_json(json_object_get(json_array_get(list, 2), "apparmor"), "\"old\"");
    assert_json(json_object_get(json_array_get(list, 0), "sysctls"),
                "{\"a.b/c\":\"2\",\"net.ipv4.conf.eth0/1.x\":\"1\"}");
    json_decref(data);
    assert_refused("kind: Pod\nmetadata: {name: p}\nspec:\n  initContainers: [{name: x}]\n"
                   "  containers: [{name: x}]\n",
                   "f.yaml:5:15: spec.containers: two containers are called \"x\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes_of_the_guest),
        cmocka_unit_test(test_volumes_that_are_copied),
        cmocka_unit_test(test_claim_templates_are_volumes),
        cmocka_unit_test(test_volumes_that_cannot_be),
        cmocka_unit_test(test_mounts_replace_those_of_containerd),
        cmocka_unit_test(test_shared_memory_of_the_sandbox_stays),
        cmocka_unit_test(test_propagation_reaches_the_root),
        cmocka_unit_test(test_copied_disks_are_told_of_once),
        cmocka_unit_test(test_names_of_pods),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_indexed_jobs_know_their_index),
        cmocka_unit_test(test_profiles_and_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
