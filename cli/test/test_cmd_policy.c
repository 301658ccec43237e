/* The program itself: contrast generate and contrast policy from the outside.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/policy/policy_text.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

static const char *program;

struct fixture {
    char dir[64];
    struct buf out; /* standard output of the last command */
    int status;     /* its exit code */
};

static void run(struct fixture *f, const char *format, ...) PRINTF_LIKE(2, 3);

/* Runs `contrast ARGUMENTS` in the fixture's folder. */
static void run(struct fixture *f, const char *format, ...) {
    char arguments[512];
    char command[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    (void)snprintf(command, sizeof command, "cd %s && '%s' %s 2>stderr", f->dir, program,
                   arguments);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(pipe);
    buf_clear(&f->out);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(&f->out, chunk, n);
    }
    f->status = WEXITSTATUS(pclose(pipe));
}

static void put(const struct fixture *f, const char *name, struct span text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_true(is_ok(file_write(path, text, 0644, NULL)));
}

static struct buf get(const struct fixture *f, const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    struct buf text = {0};
    assert_true(is_ok(file_read(path, LIMIT_YAML_FILE, &text, NULL)));
    return text;
}

static const char pods[] =
    "kind: Pod\nmetadata:\n  name: boss\n  annotations:\n"
    "    contrast.edgeless.systems/pod-role: coordinator\nspec:\n  containers:\n"
    "  - {name: b, image: i, command: [c]}\n---\nkind: Pod\nmetadata:\n  name: worker\nspec:\n"
    "  containers:\n  - {name: w, image: i, command: [c]}\n";

#define M16 "1111111111111111"
static const char references[] =
    "[{\"ProductName\":\"Genoa\",\"TrustedMeasurement\":\"" M16 M16 M16 M16 M16 M16 "\","
    "\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"
    "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true}}]";

static int setup(void **state) {
    static struct fixture f;
    f = (struct fixture){.dir = "/tmp/contrast-policy-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    put(&f, "pods.yaml", span_str(pods));
    put(&f, "refs.json", span_str(references));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {"pods.yaml",  "refs.json",          "manifest.json",
                                        "rules.rego", "workload-owner.pem", "seedshare-owner.pem",
                                        "stderr"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    buf_deinit(&f->out);
    assert_int_equal(rmdir(f->dir), 0);
    return 0;
}

static void test_rules_and_hash_of_a_document(void **state) {
    struct fixture *f = *state;
    run(f, "policy rules");
    assert_int_equal(f->status, 0);
    assert_true(span_equal(buf_span(&f->out), policy_rules()));
    put(f, "rules.rego", policy_rules());
    uint8_t digest[32];
    char want[128];
    sha256(policy_rules(), digest);
    hex_encode(SPAN(digest), want);
    (void)snprintf(want + 64, sizeof want - 64, "  document/rules.rego\n");
    run(f, "policy hash rules.rego");
    assert_string_equal(buf_cstr(&f->out), want);
}

/* generate's report, policy hash and the manifest name the same hashes. */
static void test_hashes_agree(void **state) {
    struct fixture *f = *state;
    run(f, "generate --skip-images --log-level error --output json --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 0);
    json_t *report = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    struct buf text = get(f, "manifest.json");
    json_t *manifest = json_loadb((const char *)text.data, text.size, 0, NULL);
    run(f, "policy hash --output json pods.yaml");
    json_t *hashes = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    for (size_t i = 0; i < 2; i++) {
        const json_t *a = json_array_get(json_object_get(report, "policies"), i);
        const json_t *b = json_array_get(json_object_get(hashes, "policies"), i);
        const char *hash = json_string_value(json_object_get(a, "hash"));
        assert_string_equal(hash, json_string_value(json_object_get(b, "hash")));
        assert_non_null(json_object_get(json_object_get(manifest, "Policies"), hash));
        assert_string_equal(json_string_value(json_object_get(a, "kind")), "Pod");
        assert_string_equal(json_string_value(json_object_get(a, "file")), "pods.yaml");
    }
    assert_int_equal(json_object_size(json_object_get(manifest, "Policies")), 2);
    json_decref(report);
    json_decref(hashes);
    json_decref(manifest);
    buf_deinit(&text);
    run(f, "policy show pods.yaml");
    assert_non_null(strstr(buf_cstr(&f->out), "# Pod/worker "));
    assert_non_null(strstr(buf_cstr(&f->out), "\npolicy_data := {\n"));
}

static void test_mistakes_exit_2_with_the_place(void **state) {
    struct fixture *f = *state;
    put(f, "pods.yaml", span_str("kind: Pod\nspec: [1\nmetadata: x\n"));
    run(f, "generate --reference-values refs.json pods.yaml");
    assert_int_equal(f->status, 2);
    struct buf text = get(f, "stderr");
    assert_non_null(strstr(buf_cstr(&text), "contrast generate: pods.yaml:"));
    buf_deinit(&text);
    put(f, "pods.yaml", span_str(pods));
    run(f, "policy show pods.yaml");
    assert_int_equal(f->status, 2);
    run(f, "policy hash");
    assert_int_equal(f->status, 2);
    run(f, "generate pods.yaml");
    assert_int_equal(f->status, 2);
    struct buf now = get(f, "pods.yaml");
    assert_string_equal(buf_cstr(&now), pods);
    buf_deinit(&now);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rules_and_hash_of_a_document, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hashes_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_exit_2_with_the_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
