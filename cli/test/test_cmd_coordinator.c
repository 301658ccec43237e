/* contrast coordinator from the outside, and what contrast generate makes of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/test/command_fixture.h"

static const char *program;
static char example[4096]; /* path */

#define MEASUREMENT "222222222222222222222222222222222222222222222222"
#define REFERENCES                                                                                 \
    "[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" MEASUREMENT MEASUREMENT                \
    "\",\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"               \
    "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true}}]"

static int setup(void **state) {
    static struct command_fixture f;
    command_fixture_init(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    command_fixture_deinit(*state);
    return 0;
}

static void run(struct command_fixture *f, const char *arguments) {
    command_fixture_run(f, "'%s' coordinator %s", program, arguments);
}

static void expect(struct command_fixture *f, const char *arguments, int status, const char *text) {
    char line[1024];
    (void)snprintf(line, sizeof line, "'%s' coordinator %s", program, arguments);
    command_fixture_expect(f, line, status, text);
}

/* --- Text */

static void test_the_example_is_what_it_prints(void **state) {
    struct command_fixture *f = *state;
    struct buf want = command_fixture_get(f, example);
    run(f, "");
    assert_int_equal(f->status, 0);
    assert_string_equal(buf_cstr(&f->out), buf_cstr(&want));
    buf_deinit(&want);
    command_fixture_expect_documents(f, 5);
}

static void test_replicas(void **state) {
    struct command_fixture *f = *state;
    expect(f, "--replicas 1", 0, "value: coordinator-0.coordinator:7777\n");
    assert_non_null(strstr(buf_cstr(&f->out), "\n  replicas: 1\n"));
    assert_non_null(strstr(buf_cstr(&f->out), "\n  maxUnavailable: 0\n")); /* it would be lost */
    expect(f, "--replicas 3", 0, "\n  maxUnavailable: 1\n");
    expect(f, "--replicas 5", 0,
           "value: coordinator-0.coordinator:7777,coordinator-1.coordinator:7777,"
           "coordinator-2.coordinator:7777,coordinator-3.coordinator:7777,"
           "coordinator-4.coordinator:7777\n");
    assert_non_null(strstr(buf_cstr(&f->out), "\n  replicas: 5\n"));
    command_fixture_expect_documents(f, 5);
}

static void test_names(void **state) {
    struct command_fixture *f = *state;
    run(f, "-n shop --image registry:5000/a/b@sha256:ab --runtime-class contrast-cc-x");
    assert_int_equal(f->status, 0);
    assert_int_equal(command_fixture_count(f, "\n  namespace: shop\n"), 5);
    assert_int_equal(command_fixture_count(f, "\n          image: registry:5000/a/b@sha256:ab\n"),
                     1);
    assert_int_equal(command_fixture_count(f, "\n      runtimeClassName: contrast-cc-x\n"), 1);
    command_fixture_expect_documents(f, 5);
    run(f, "-n 123 --runtime-class null --image 1e3"); /* texts, not numbers */
    assert_int_equal(command_fixture_count(f, "\n  namespace: \"123\"\n"), 5);
    assert_int_equal(command_fixture_count(f, "runtimeClassName: \"null\"\n"), 1);
    assert_int_equal(command_fixture_count(f, "image: \"1e3\"\n"), 1);
    command_fixture_expect_documents(f, 5);
}

static void test_json_says_the_same(void **state) {
    struct command_fixture *f = *state;
    run(f, "--output json --namespace 123");
    assert_int_equal(f->status, 0);
    json_t *list = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    json_t *items = json_object_get(list, "items");
    assert_string_equal(json_string_value(json_object_get(list, "kind")), "List");
    assert_int_equal(json_array_size(items), 5);
    const char *namespace = NULL;
    int replicas = 0;
    int port = 0;
    int is_mounted = -1;
    assert_int_equal(json_unpack(json_array_get(items, 0),
                                 "{s:{s:s}, s:{s:i, s:{s:{s:b, s:[{s:[{s:i}]}]}}}}", "metadata",
                                 "namespace", &namespace, "spec", "replicas", &replicas, "template",
                                 "spec", "automountServiceAccountToken", &is_mounted, "containers",
                                 "ports", "containerPort", &port),
                     0);
    assert_string_equal(namespace, "123");
    assert_int_equal(replicas, 3);
    assert_int_equal(port, 1313);
    assert_int_equal(is_mounted, 0);
    json_decref(list);
}

/* --- Bad options */

#define LONG_LABEL "a234567890123456789012345678901234567890123456789012345678901234"

static void test_bad_options_are_refused(void **state) {
    static const struct {
        const char *arguments;
        const char *text;
    } table[] = {
        {"--replicas 2", "want 1, 3 or 5"},
        {"--replicas 4", "want 1, 3 or 5"},
        {"--replicas 7", "want 1, 3 or 5"},
        {"--replicas 0", "want 1, 3 or 5"},
        {"--replicas -1", "--replicas"},
        {"--replicas x", "--replicas"},
        {"--replicas", "needs a value"},
        {"--namespace ''", "--namespace: \"\" is no name"},
        {"--namespace Shop", "--namespace: \"Shop\" is no name"},
        {"--namespace a.b", "is no name"},
        {"--namespace -a", "is no name"},
        {"--namespace a-", "is no name"},
        {"--namespace " LONG_LABEL, "at most 63"},
        {"--namespace 'a\n  labels: {}'", "is no name"},
        {"--namespace 'a\n'", "is no name"},
        {"--namespace 'a #'", "is no name"},
        {"--runtime-class ''", "--runtime-class: \"\" is no name"},
        {"--runtime-class 'a: b'", "is no name"},
        {"--runtime-class 'a\n      hostPID: true'", "is no name"},
        {"--image ''", "--image: \"\" is no image"},
        {"--image a:", "is no image"},
        {"--image -a", "is no image"},
        {"--image 'a b'", "is no image"},
        {"--image 'a\n          tty: true'", "is no image"},
        {"--image 'a\"'", "is no image"},
        {"--image 'a#b'", "is no image"},
        {"--no-such", "unknown option --no-such"},
        {"word", "word"},
    };
    struct command_fixture *f = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char arguments[512];
        (void)snprintf(arguments, sizeof arguments, "%s 2>&1", table[i].arguments);
        expect(f, arguments, 2, table[i].text);
        assert_null(strstr(buf_cstr(&f->out), "apiVersion"));
    }
}

/* --- generate */

static void test_generate_gives_it_a_policy(void **state) {
    struct command_fixture *f = *state;
    command_fixture_put(f, "values.json", REFERENCES);
    command_fixture_run(f,
                        "'%s' coordinator -n shop --replicas 5 > c.yaml && '%s' generate "
                        "--skip-images --cache cache --reference-values values.json c.yaml 2>&1",
                        program, program);
    assert_int_equal(f->status, 0);
    struct buf made = command_fixture_get(f, "c.yaml");
    struct buf manifest = command_fixture_get(f, "manifest.json");
    assert_non_null(strstr(buf_cstr(&made), "io.katacontainers.config.agent.policy: "));
    assert_non_null(strstr(buf_cstr(&made), "CONTRAST_OWNER_KEY_DIGESTS"));
    assert_non_null(strstr(buf_cstr(&manifest), "\"Role\": \"coordinator\""));
    buf_deinit(&made);
    buf_deinit(&manifest);
    /* The policy lets its probe and its hook run, and nothing else. */
    command_fixture_run(f, "'%s' policy show c.yaml 2>&1", program);
    assert_int_equal(command_fixture_count(f, "--ready"), 1);
    assert_int_equal(command_fixture_count(f, "--safe-to-stop"), 1);
}

/* docs/deployment.md, "A new version of the Coordinator": the manifest names both for a while. */
static void test_an_update_names_both(void **state) {
    struct command_fixture *f = *state;
    command_fixture_put(f, "values.json", REFERENCES);
    static const char *const images[] = {"a:1", "a:2"};
    for (size_t i = 0; i < 2; i++) {
        command_fixture_run(f,
                            "'%s' coordinator --image %s > %zu.yaml && '%s' generate --skip-images "
                            "--cache cache --reference-values values.json %zu.yaml 2>&1",
                            program, images[i], i, program, i);
        assert_int_equal(f->status, 0);
    }
    command_fixture_run(f, "'%s' policy hash 0.yaml", program);
    char hash[65];
    assert_int_equal(sscanf(buf_cstr(&f->out), "%64s", hash), 1);
    struct buf text = command_fixture_get(f, "manifest.json");
    json_t *manifest = json_loadb((const char *)text.data, text.size, 0, NULL);
    buf_deinit(&text);
    json_object_set_new(
        json_object_get(manifest, "Policies"), hash,
        json_pack("{s:[s, s], s:s}", "SANs", "coordinator", "*", "Role", "coordinator"));
    char *both = json_dumps(manifest, JSON_INDENT(1));
    json_decref(manifest);
    command_fixture_put(f, "manifest.json", both);
    free(both);
    /* Exit 1: the files are right, and nobody listens there. */
    command_fixture_run(f, "'%s' set -c 127.0.0.1:1 0.yaml 1.yaml 2>&1", program);
    assert_int_equal(f->status, 1);
    command_fixture_run(f, "'%s' set -c 127.0.0.1:1 1.yaml 2>&1", program);
    assert_int_equal(f->status, 2);
    assert_int_equal(command_fixture_count(f, "is in the manifest and in no file"), 1);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    program = argv[1];
    char here[2048];
    assert_non_null(getcwd(here, sizeof here));
    (void)snprintf(example, sizeof example, "%s/deployments/examples/coordinator.yaml", here);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_example_is_what_it_prints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replicas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_says_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_options_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generate_gives_it_a_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_update_names_both, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
