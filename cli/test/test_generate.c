/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cmd_generate.h"
#include "cli/cmd_policy.h"
#include "cli/policy/policy_text.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"

#define ROOT_HEX "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
#define M16 "1111111111111111"
static const char references[] =
    "[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" M16 M16 M16 M16 M16 M16 "\","
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"
    "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true},"
    "\"SimulatedRoots\":[\"" ROOT_HEX "\"]}]";

static const char coordinator_min[] =
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: coordinator}\nspec:\n  template:\n"
    "    metadata:\n      annotations:\n"
    "        contrast.edgeless.systems/pod-role: coordinator\n    spec:\n      containers:\n"
    "      - name: coordinator\n        image: c@sha256:" ROOT_HEX "\n        command: [c]\n";

/* A workspace in a temporary folder with reference values and a share owner's key. */
struct fixture {
    char dir[64];
    char share[96];
    struct err err;
};

static const char *path_in(const struct fixture *f, const char *name) {
    static char paths[8][256];
    static size_t next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", f->dir, name);
    return path;
}

static void put(const struct fixture *f, const char *name, const char *text) {
    assert_true(is_ok(file_write(path_in(f, name), span_str(text), 0644, NULL)));
}

static struct buf get(const struct fixture *f, const char *name) {
    struct buf text = {0};
    struct err err;
    if (!is_ok(file_read(path_in(f, name), LIMIT_YAML_FILE, &text, &err))) {
        fail_msg("%s", err.text);
    }
    return text;
}

static void copy_example(const struct fixture *f, const char *name) {
    char from[128];
    (void)snprintf(from, sizeof from, "deployments/examples/%s", name);
    AUTO(buf_deinit)
    struct buf text = {0};
    struct err err;
    if (!is_ok(file_read(from, LIMIT_YAML_FILE, &text, &err))) {
        fail_msg("%s", err.text);
    }
    put(f, name, buf_cstr(&text));
}

/* One RSA key for the whole program: making it takes a second. */
static struct buf share_pem;

static int setup(void **state) {
    static struct fixture f;
    f = (struct fixture){.dir = "/tmp/contrast-generate-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    if (share_pem.size == 0) {
        struct key key = {0};
        assert_true(is_ok(key_generate(KEY_RSA, &key, NULL)));
        key_to_pem(&key, true, &share_pem);
        key_deinit(&key);
    }
    put(&f, "seedshare-owner.pem", buf_cstr(&share_pem));
    put(&f, "refs.json", references);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {
        "seedshare-owner.pem", "workload-owner.pem", "refs.json", "manifest.json", "web.yaml",
        "backend.yaml",        "coordinator.yaml",   "bad.yaml",  "all.yaml",      "owner2.pem"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(path_in(f, names[i]));
    }
    assert_int_equal(rmdir(f->dir), 0);
    return 0;
}

static int free_share(void **state) {
    (void)state;
    buf_deinit(&share_pem);
    return 0;
}

#define ARGS_MAX 16
/* Runs generate in the workspace, without images; arguments end with NULL. */
static struct result run(struct fixture *f, const char *const *arguments) {
    char *argv[ARGS_MAX] = {0};
    int argc = 0;
    argv[argc++] = mem_strdup("generate");
    argv[argc++] = mem_strdup("--skip-images"); /* cli/test/e2e has registries */
    for (; *arguments != NULL; arguments++) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = mem_strdup(*arguments);
    }
    char *copies[ARGS_MAX];
    memcpy((void *)copies, (const void *)argv, sizeof copies);
    struct cli cli = {.command = "generate", .workspace = f->dir, .log_level = LOG_ERROR};
    f->err = (struct err){0};
    struct result r = cmd_generate(&cli, argc, argv, &f->err);
    for (int i = 0; i < argc; i++) {
        mem_free(copies[i]);
    }
    return r;
}

static void run_ok(struct fixture *f, const char *const *arguments) {
    if (!is_ok(run(f, arguments))) {
        fail_msg("%s", f->err.text);
    }
}

static void run_examples(struct fixture *f) {
    run_ok(f, (const char *const[]){"--reference-values", path_in(f, "refs.json"), "--log-level",
                                    "error", f->dir, NULL});
}

static void assert_unchanged(const struct fixture *f, const char *name, struct buf *before) {
    struct buf now = get(f, name);
    assert_string_equal(buf_cstr(&now), buf_cstr(before));
    buf_deinit(&now);
}

static struct manifest load_manifest(const struct fixture *f) {
    struct buf text = get(f, "manifest.json");
    struct manifest m = {0};
    struct err err;
    if (!is_ok(manifest_parse(buf_span(&text), &m, &err))) {
        fail_msg("%s", err.text);
    }
    buf_deinit(&text);
    return m;
}

/* The hash of the annotation's policy must stand in the manifest under the right name. */
static void assert_annotated(const struct fixture *f, const struct manifest *m, const char *name,
                             const char *secret_id, enum policy_role role) {
    char file_name[64];
    (void)snprintf(file_name, sizeof file_name, "%s.yaml", name);
    struct buf text = get(f, file_name);
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct buf policy = {0};
    assert_true(is_ok(yaml_parse(name, buf_span(&text), &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    assert_int_equal(list.count, 1);
    assert_true(is_ok(policy_text_decode(&list.items[0], &policy, NULL)));
    uint8_t hash[32];
    sha256(buf_span(&policy), hash);
    const struct policy_entry *entry = manifest_find_policy(m, hash);
    assert_non_null(entry);
    assert_int_equal(entry->role, role);
    assert_string_equal(entry->workload_secret_id, secret_id);
    assert_string_equal(entry->sans[0], name);
    assert_string_equal(entry->sans[1], "*");
    assert_non_null(strstr(buf_cstr(&policy), ROOT_HEX));
    buf_deinit(&policy);
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    buf_deinit(&text);
}

static void copy_examples(struct fixture *f) {
    copy_example(f, "web.yaml");
    copy_example(f, "backend.yaml");
    copy_example(f, "coordinator.yaml");
}

static void test_manifest_has_the_annotated_policies(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    run_examples(f);
    struct manifest m = load_manifest(f);
    assert_int_equal(m.policy_count, 3);
    assert_int_equal(m.owner_count, 1);
    assert_int_equal(m.share_owner_count, 1);
    assert_int_equal(m.reference_count, 1);
    assert_annotated(f, &m, "web", "default/Deployment/web", ROLE_WORKLOAD);
    assert_annotated(f, &m, "backend", "default/backend", ROLE_WORKLOAD);
    assert_annotated(f, &m, "coordinator", "default/StatefulSet/coordinator", ROLE_COORDINATOR);
    struct stat st;
    assert_int_equal(stat(path_in(f, "workload-owner.pem"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct buf pem = get(f, "workload-owner.pem");
    struct key key = {0};
    assert_true(is_ok(key_from_pem(buf_span(&pem), &key, NULL)));
    assert_int_equal(key_kind_of(&key), KEY_P384);
    uint8_t digest[32];
    key_digest(&key, digest);
    assert_true(manifest_has_owner(&m, digest));
    key_deinit(&key);
    buf_deinit(&pem);
    manifest_deinit(&m);
}

static void test_pods_get_their_pieces_and_keep_the_rest(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    run_examples(f);
    struct buf web = get(f, "web.yaml");
    static const char *const wanted[] = {
        "# Web front end: serves on 8080 and passes /api on to the backend.\n",
        "          # 1.27.1-alpine3.20\n",
        "            runAsUser: 101 # nginx\n",
        "      initContainers:\n      - name: contrast-initializer\n",
        "        - name: COORDINATOR_HOST\n          value: \"coordinator-ready\"\n",
        "          volumeMounts:\n            - name: contrast-secrets\n"
        "              mountPath: /contrast\n            - name: site\n",
        "      volumes:\n        - name: contrast-secrets\n          emptyDir:\n"
        "            medium: Memory\n        - name: site\n",
        "    location /api/ {\n        proxy_pass http://backend:80/;\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strstr(buf_cstr(&web), wanted[i]) == NULL) {
            fail_msg("no '%s' in\n%s", wanted[i], buf_cstr(&web));
        }
    }
    buf_deinit(&web);
    struct buf coordinator = get(f, "coordinator.yaml");
    assert_null(strstr(buf_cstr(&coordinator), "contrast-initializer"));
    assert_non_null(strstr(buf_cstr(&coordinator), "CONTRAST_PERMITTED_ROOTS\n              value:"
                                                   " \"" ROOT_HEX "\"\n            - name: "
                                                   "POD_NAME"));
    buf_deinit(&coordinator);
}

static void test_second_run_changes_nothing(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"web.yaml", "backend.yaml", "coordinator.yaml",
                                        "manifest.json", "workload-owner.pem"};
    copy_examples(f);
    run_examples(f);
    struct buf before[5];
    for (size_t i = 0; i < 5; i++) {
        before[i] = get(f, names[i]);
    }
    run_ok(f, (const char *const[]){f->dir, NULL}); /* reference values from the manifest */
    for (size_t i = 0; i < 5; i++) {
        assert_unchanged(f, names[i], &before[i]);
        buf_deinit(&before[i]);
    }
}

static void assert_nothing_written(struct fixture *f, enum err_code code, const char *want) {
    struct buf before = get(f, "web.yaml");
    struct result r =
        run(f, (const char *const[]){"--reference-values", path_in(f, "refs.json"), f->dir, NULL});
    if (r.code != code || strstr(f->err.text, want) == NULL) {
        fail_msg("want '%s', got %s '%s'", want, err_name(r.code), f->err.text);
    }
    assert_int_equal(err_exit_code(r.code), 2);
    assert_unchanged(f, "web.yaml", &before);
    assert_int_not_equal(access(path_in(f, "manifest.json"), F_OK), 0);
    assert_int_not_equal(access(path_in(f, "workload-owner.pem"), F_OK), 0);
    buf_deinit(&before);
}

static void test_failure_leaves_every_file(void **state) {
    struct fixture *f = *state;
    copy_example(f, "web.yaml");
    assert_nothing_written(f, ERR_NOT_FOUND, "No Coordinator resource found, did you forget");
    put(f, "coordinator.yaml", coordinator_min);
    put(f, "bad.yaml", "kind: Pod\n\tname: x\n");
    assert_nothing_written(f, ERR_INVALID, "bad.yaml:2:1: a tab where YAML wants spaces");
    put(f, "bad.yaml", "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: x, foo: 1}]}\n");
    assert_nothing_written(f, ERR_INVALID,
                           "bad.yaml:3:31: spec.containers[0].foo: this version does not know");
    put(f, "bad.yaml", "kind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - foo: 1\n");
    assert_nothing_written(f, ERR_INVALID, "bad.yaml:5:5: spec.containers[0].foo: this version");
    put(f, "bad.yaml", coordinator_min);
    assert_nothing_written(f, ERR_INVALID, "StatefulSet default/coordinator stands");
    (void)unlink(path_in(f, "bad.yaml"));
    put(f, "refs.json", "[{\"ProductName\":\"Milan\"}]");
    assert_nothing_written(f, ERR_MANIFEST, "ReferenceValues.snp[0].TrustedMeasurement: must not");
    put(f, "refs.json", "{}");
    assert_nothing_written(f, ERR_INVALID, "refs.json: must be a JSON list");
}

static void test_write_failure_rolls_back(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    struct buf before = get(f, "web.yaml");
    struct result r =
        run(f, (const char *const[]){"--reference-values", path_in(f, "refs.json"), "-m",
                                     path_in(f, "missing/manifest.json"), f->dir, NULL});
    assert_false(is_ok(r));
    assert_unchanged(f, "web.yaml", &before);
    assert_int_not_equal(access(path_in(f, "workload-owner.pem"), F_OK), 0);
    buf_deinit(&before);
}

/* Flow style, Windows line ends, a pod without metadata, a list without items. */
static void test_odd_layouts(void **state) {
    struct fixture *f = *state;
    put(f, "coordinator.yaml", coordinator_min);
    put(f, "web.yaml",
        "kind: Deployment\r\nmetadata:\r\n  name: web # c\r\nspec:\r\n  template:\r\n    spec:\r\n"
        "      initContainers: []\r\n      containers:\r\n      - {name: a, image: i, command: [c],"
        " volumeMounts: []}\r\n      - image: i\r\n        name: b");
    put(f, "backend.yaml",
        "{kind: Pod, metadata: {name: p}, spec: {containers: [{name: a}], "
        "runtimeClassName: kata-cc-isolation}}\n");
    run_examples(f);
    struct buf web = get(f, "web.yaml");
    assert_null(strstr(buf_cstr(&web), "\n\n"));
    for (const char *p = buf_cstr(&web); (p = strchr(p, '\n')) != NULL; p++) {
        assert_int_equal(p[-1], '\r');
    }
    assert_non_null(strstr(buf_cstr(&web), "  name: web # c\r\n"));
    buf_deinit(&web);
    struct buf pod = get(f, "backend.yaml");
    assert_non_null(strstr(buf_cstr(&pod), "runtimeClassName: contrast-cc}}"));
    buf_deinit(&pod);
    struct manifest m = load_manifest(f);
    assert_int_equal(m.policy_count, 3);
    manifest_deinit(&m);
}

static void test_own_init_containers_come_second(void **state) {
    struct fixture *f = *state;
    put(f, "coordinator.yaml", coordinator_min);
    put(f, "web.yaml",
        "kind: Pod\nmetadata:\n  name: p\nspec:\n  initContainers:\n  # first of ours\n"
        "  - name: prep\n    command: [c]\n  containers:\n  - name: a\n    command: [c]\n");
    run_examples(f);
    struct buf web = get(f, "web.yaml");
    struct yaml_file file = {0};
    assert_true(is_ok(yaml_parse("web", buf_span(&web), &file, NULL)));
    const struct yaml_node *spec = yaml_key(file.documents[0].root, "spec");
    assert_string_equal(yaml_get(spec, "initContainers[0].name")->value, "contrast-initializer");
    assert_string_equal(yaml_get(spec, "initContainers[1].name")->value, "prep");
    assert_string_equal(yaml_get(spec, "initContainers[1].volumeMounts[0].mountPath")->value,
                        "/contrast");
    assert_string_equal(yaml_get(spec, "containers[0].volumeMounts[0].name")->value,
                        "contrast-secrets");
    assert_string_equal(yaml_get(spec, "volumes[0].emptyDir.medium")->value, "Memory");
    yaml_file_deinit(&file);
    buf_deinit(&web);
    put(f, "web.yaml",
        "kind: Pod\nmetadata:\n  name: p\nspec:\n  initContainers:\n  - name: prep\n"
        "  - name: contrast-initializer\n  containers:\n  - name: a\n");
    assert_int_equal(run(f, (const char *const[]){f->dir, NULL}).code, ERR_INVALID);
    assert_non_null(strstr(f->err.text, "must be the first"));
}

/* The annotation adds the sidecar behind the init container, once, also before what is there. */
static void test_a_sidecar_that_renews(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    put(f, "web.yaml",
        "kind: Pod\nmetadata:\n  name: p\n  annotations:\n"
        "    contrast.edgeless.systems/renew-certificates: \"true\"\nspec:\n  initContainers:\n"
        "  - name: contrast-initializer\n  containers:\n  - name: a\n    image: a:1\n");
    run_examples(f);
    struct buf web = get(f, "web.yaml");
    const char *first = strstr(buf_cstr(&web), "name: contrast-initializer");
    const char *second = strstr(buf_cstr(&web), "name: contrast-renewer");
    assert_non_null(first);
    assert_true(first < second);
    buf_deinit(&web);
}

static void test_other_runtime_classes_and_skipping(void **state) {
    struct fixture *f = *state;
    put(f, "coordinator.yaml", coordinator_min);
    static const char other[] = "kind: Pod\nmetadata: {name: p}\nspec: {runtimeClassName: runc, "
                                "containers: [{name: a}]}\n";
    put(f, "web.yaml", other);
    put(f, "backend.yaml",
        "kind: Pod\nmetadata:\n  name: q\n  annotations:\n"
        "    contrast.edgeless.systems/skip-initializer: \"true\"\nspec:\n  containers:\n"
        "  - name: a\n");
    run_examples(f);
    struct buf web = get(f, "web.yaml");
    assert_string_equal(buf_cstr(&web), other);
    buf_deinit(&web);
    struct buf skipping = get(f, "backend.yaml");
    assert_null(strstr(buf_cstr(&skipping), "initializer:0"));
    assert_non_null(strstr(buf_cstr(&skipping), WORKLOAD_POLICY_ANNOTATION));
    buf_deinit(&skipping);
    struct manifest m = load_manifest(f);
    assert_int_equal(m.policy_count, 2);
    manifest_deinit(&m);
}

static void test_output_file_leaves_inputs(void **state) {
    struct fixture *f = *state;
    put(f, "coordinator.yaml", coordinator_min);
    copy_example(f, "web.yaml");
    struct buf before = get(f, "web.yaml");
    run_ok(f, (const char *const[]){"--reference-values", path_in(f, "refs.json"), "--output-file",
                                    path_in(f, "all.yaml"), path_in(f, "web.yaml"),
                                    path_in(f, "coordinator.yaml"), NULL});
    assert_unchanged(f, "web.yaml", &before);
    buf_deinit(&before);
    struct buf all = get(f, "all.yaml");
    struct yaml_file file = {0};
    assert_true(is_ok(yaml_parse("all", buf_span(&all), &file, NULL)));
    assert_int_equal(file.count, 4);
    yaml_file_deinit(&file);
    buf_deinit(&all);
}

static void test_another_owner_changes_every_policy(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    run_examples(f);
    struct manifest first = load_manifest(f);
    struct key key = {0};
    struct buf pem = {0};
    assert_true(is_ok(key_generate(KEY_ED25519, &key, NULL)));
    key_to_pem(&key, false, &pem);
    put(f, "owner2.pem", buf_cstr(&pem));
    run_ok(f, (const char *const[]){"--add-owner-key", path_in(f, "owner2.pem"), f->dir, NULL});
    struct manifest second = load_manifest(f);
    assert_int_equal(second.owner_count, 2);
    assert_int_equal(second.policy_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_null(manifest_find_policy(&second, first.policies[i].hash));
    }
    manifest_deinit(&first);
    manifest_deinit(&second);
    buf_deinit(&pem);
    key_deinit(&key);
}

/* The manifest names an owner already: a missing key file is no reason to make another owner. */
static void test_kept_owners_need_no_key_file(void **state) {
    struct fixture *f = *state;
    copy_examples(f);
    run_examples(f);
    struct buf before = get(f, "manifest.json");
    (void)unlink(path_in(f, "workload-owner.pem"));
    run_ok(f, (const char *const[]){f->dir, NULL});
    assert_unchanged(f, "manifest.json", &before);
    assert_int_not_equal(access(path_in(f, "workload-owner.pem"), F_OK), 0);
    buf_deinit(&before);
}

static void test_usage(void **state) {
    struct fixture *f = *state;
    assert_int_equal(run(f, (const char *const[]){NULL}).code, ERR_USAGE);
    copy_examples(f);
    assert_int_equal(run(f, (const char *const[]){f->dir, NULL}).code, ERR_USAGE);
    assert_non_null(strstr(f->err.text, "--reference-values"));
    assert_int_equal(run(f, (const char *const[]){"--reference-values", path_in(f, "refs.json"),
                                                  path_in(f, "none.yaml"), NULL})
                         .code,
                     ERR_NOT_FOUND);
}

static void share_owners_and_their_number_are_kept(void **state) {
    struct fixture *f = *state;
    copy_example(f, "coordinator.yaml");
    run_examples(f);
    struct manifest m = load_manifest(f);
    assert_int_equal(m.share_owner_count, 1);
    assert_int_equal(m.share_threshold, 1);
    manifest_deinit(&m);
    AUTO(buf_deinit)
    struct buf edited = get(f, "manifest.json");
    edited.size = (size_t)(strrchr(buf_cstr(&edited), '}') - (char *)edited.data);
    buf_append_str(&edited, ", \"AutoRecovery\": true, \"SeedShareOwnerThreshold\": 1}\n");
    put(f, "manifest.json", buf_cstr(&edited));
    run_examples(f);
    AUTO(buf_deinit)
    struct buf again = get(f, "manifest.json");
    assert_non_null(strstr(buf_cstr(&again), "\"AutoRecovery\": true"));
    assert_non_null(strstr(buf_cstr(&again), "\"SeedShareOwnerThreshold\": 1"));
    struct result r = run(f, (const char *const[]){"--seedshare-threshold", "2", f->dir, NULL});
    assert_int_not_equal(r.code, ERR_OK); /* there is one owner */
    assert_non_null(strstr(f->err.text, "SeedShareOwnerThreshold"));
    r = run(f, (const char *const[]){"--seedshare-threshold", "17", f->dir, NULL});
    assert_int_equal(r.code, ERR_USAGE);
}

/* Each option shows in what comes out. */
static void test_options_reach_the_pods(void **state) {
    struct fixture *f = *state;
    put(f, "coordinator.yaml", coordinator_min);
    put(f, "web.yaml",
        "kind: Pod\nmetadata:\n  name: p\n  annotations:\n"
        "    contrast.edgeless.systems/servicemesh-ingress: \"\"\nspec:\n  containers:\n"
        "  - name: a\n    image: a:1\n    command: [a]\n    newField: 1\n");
    const char *const unknown[] = {"--reference-values", path_in(f, "refs.json"), f->dir, NULL};
    assert_int_equal(run(f, unknown).code, ERR_INVALID);
    assert_non_null(strstr(f->err.text, "web.yaml:11:5: spec.containers[0].newField"));
    run_ok(f,
           (const char *const[]){"--reference-values", path_in(f, "refs.json"), "--allow-unknown",
                                 "spec.containers[].newField", "--initializer-image", "i:2",
                                 "--service-mesh-image", "m:3", "--coordinator-host", "c.example",
                                 "--runtime-class", "contrast-cc-x", f->dir, NULL});
    struct buf web = get(f, "web.yaml");
    static const char *const want[] = {"image: i:2\n", "image: m:3\n", "value: \"c.example\"\n",
                                       "runtimeClassName: contrast-cc-x\n", "newField: 1\n"};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        if (strstr(buf_cstr(&web), want[i]) == NULL) {
            fail_msg("no %s in\n%s", want[i], buf_cstr(&web));
        }
    }
    buf_deinit(&web);
    put(f, "web.yaml",
        "kind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n"
        "  - name: a\n    image: a:1\n    command: [a]\n");
    run_ok(f, (const char *const[]){"--skip-initializer", f->dir, NULL});
    web = get(f, "web.yaml");
    assert_non_null(strstr(buf_cstr(&web), "io.katacontainers.config.agent.policy"));
    assert_null(strstr(buf_cstr(&web), "contrast-initializer"));
    buf_deinit(&web);
}

/* The first argument of run() is --skip-images. */
static void test_options_that_contradict(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *arguments[3];
        const char *want;
    } rows[] = {
        {{"--offline", "x.yaml"}, "--skip-images reads no image"},
        {{"--registry-mirror", "a=http://b", "x.yaml"}, "--skip-images reads no image"},
        {{"--pause-image", "p:1", "x.yaml"}, "leave out --pause-image"},
        {{"--progress", "often", "x.yaml"}, "--progress: want auto or json or none"},
        {{"--layer-dialect", "other", "x.yaml"}, "--layer-dialect: want upstream or msft"},
        {{"--seedshare-threshold", "0x2", "x.yaml"}, "--seedshare-threshold"},
        {{"--seedshare-threshold", "17", "x.yaml"}, "want a number from 1 to 16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const *a = rows[i].arguments;
        struct result r = run(f, (const char *const[]){a[0], a[1], a[2], NULL});
        if (r.code != ERR_USAGE || strstr(f->err.text, rows[i].want) == NULL) {
            fail_msg("%s: want '%s', got %s '%s'", a[0], rows[i].want, err_name(r.code),
                     f->err.text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_manifest_has_the_annotated_policies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pods_get_their_pieces_and_keep_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_second_run_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_leaves_every_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_failure_rolls_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_layouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_init_containers_come_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sidecar_that_renews, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_runtime_classes_and_skipping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_file_leaves_inputs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_owner_changes_every_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_owners_need_no_key_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_reach_the_pods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_that_contradict, setup, teardown),
        cmocka_unit_test_setup_teardown(share_owners_and_their_number_are_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, free_share);
}
