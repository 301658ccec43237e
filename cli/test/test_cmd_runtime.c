/* contrast runtime from the outside; the handler beside what the installer itself says; what
 * contrast generate makes of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cli/test/command_fixture.h"

static const char *program;
static const char *installer;

#define SRI "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define FILE_ROW(path, more)                                                                       \
    "{\"url\":\"file:///payload/" path "\",\"path\":\"@@runtimeBase@@/" path "\"" more "}"
#define HASH ",\"integrity\":\"" SRI "\""
#define QEMU_FILES(more)                                                                                                   \
    "[" FILE_ROW("bin/containerd-shim-contrast-cc-v2", more ",\"executable\":true") "," FILE_ROW(                          \
        "bin/qemu-system-x86_64", HASH                                                                                     \
        ",\"executable\":true") "," FILE_ROW("share/kata-kernel",                                                          \
                                             HASH) "," FILE_ROW("share/kata-initrd.zst",                                   \
                                                                HASH) "," FILE_ROW("share/"                                \
                                                                                   "kata-"                                 \
                                                                                   "containers."                           \
                                                                                   "img",                                  \
                                                                                   HASH) "," FILE_ROW("snp/share/OVMF.fd", \
                                                                                                      HASH) "]"
#define CLH_FILES                                                                                  \
    "[" FILE_ROW("bin/containerd-shim-contrast-cc-v2", HASH ",\"executable\":true") "," FILE_ROW(  \
        "bin/cloud-hypervisor-snp", HASH                                                           \
        ",\"executable\":true") "," FILE_ROW("share/kata-containers-igvm.img",                     \
                                             HASH) "," FILE_ROW("share/kata-containers.img",       \
                                                                HASH) "," FILE_ROW("bin/"          \
                                                                                   "tardev-"       \
                                                                                   "snapshotter",  \
                                                                                   HASH            \
                                                                                   ",\"executable" \
                                                                                   "\":true") "]"
#define QEMU(more) "{\"files\":" QEMU_FILES(HASH) more "}"
#define CLH(more) "{\"files\":" CLH_FILES more "}"
#define ON(platform) ",\"platform\":\"" platform "\""
#define NAMED(name) ",\"runtimeHandlerName\":\"" name "\""

static int setup(void **state) {
    static struct command_fixture f;
    command_fixture_init(&f);
    command_fixture_put(&f, "qemu.json", QEMU(ON("Metal-QEMU-SNP")));
    command_fixture_put(&f, "aks.json", CLH(ON("AKS-CLH-SNP")));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    command_fixture_deinit(*state);
    return 0;
}

static void run(struct command_fixture *f, const char *arguments) {
    command_fixture_run(f, "'%s' runtime --config %s", program, arguments);
}

static void expect(struct command_fixture *f, const char *arguments, int status, const char *text) {
    char line[1024];
    (void)snprintf(line, sizeof line, "'%s' runtime %s", program, arguments);
    command_fixture_expect(f, line, status, text);
}

static bool has(struct command_fixture *f, const char *text) {
    return command_fixture_count(f, text) > 0;
}

/* "handler: X" of the RuntimeClass in the output. */
static void take_handler(struct command_fixture *f, char out[64]) {
    const char *p = strstr(buf_cstr(&f->out), "\nhandler: ");
    assert_non_null(p);
    assert_int_equal(sscanf(p, "\nhandler: %63s", out), 1);
}

/* --- Text */

static void test_a_node_gets_what_it_needs(void **state) {
    struct command_fixture *f = *state;
    run(f, "qemu.json");
    assert_int_equal(f->status, 0);
    command_fixture_expect_documents(f, 3);
    static const char *const wanted[] = {
        "kind: RuntimeClass\n",
        "    memory: 640Mi\n", /* default_memory 512 and the hypervisor's own */
        "  namespace: kube-system\n",
        "hostPID: true",
        "maxUnavailable: 1\n",
        "        - operator: Exists\n",
        "args: [install, Metal-QEMU-SNP]\n",
        "terminationMessagePolicy: FallbackToLogsOnError\n",
        "httpGet: {path: /healthz, port: health}\n",
        "capabilities: {drop: [\"ALL\"]}\n",
        "contrast.edgeless.systems/pod-role: contrast-node-installer\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!has(f, wanted[i])) {
            fail_msg("no '%s' in\n%s", wanted[i], buf_cstr(&f->out));
        }
    }
    assert_int_equal(command_fixture_count(f, "privileged: true"), 1); /* the installer alone */
    assert_false(has(f, "tardev"));
    assert_false(has(f, "/target-config"));
}

static void test_platforms_with_a_snapshotter(void **state) {
    struct command_fixture *f = *state;
    char handler[64];
    char socket[160];
    run(f, "aks.json -n nodes --target-config mine --image registry:5000/installer:1");
    assert_int_equal(f->status, 0);
    command_fixture_expect_documents(f, 3);
    take_handler(f, handler);
    (void)snprintf(socket, sizeof socket, "/run/containerd/tardev-snapshotter-%s.sock\n", handler);
    assert_true(has(f, socket));
    assert_true(has(f, "mountPropagation: Bidirectional\n"));
    assert_int_equal(command_fixture_count(f, "kubernetes.azure.com/kata-cc-isolation: \"true\"\n"),
                     2);
    assert_int_equal(command_fixture_count(f, "  namespace: nodes\n"), 2);
    assert_int_equal(command_fixture_count(f, "image: registry:5000/installer:1\n"), 3);
    assert_int_equal(command_fixture_count(f, "mountPath: /target-config, readOnly: true"), 2);
    assert_int_equal(command_fixture_count(f, "configMap: {name: mine}\n"), 1);
}

static void test_the_uninstaller(void **state) {
    struct command_fixture *f = *state;
    run(f, "aks.json --uninstall");
    assert_int_equal(f->status, 0);
    command_fixture_expect_documents(f, 2);
    assert_true(has(f, "args: [uninstall, AKS-CLH-SNP]\n"));
    assert_int_equal(command_fixture_count(f, "-uninstaller\n"), 4);
    assert_false(has(f, "kind: RuntimeClass"));
    assert_false(has(f, "readinessProbe")); /* there is no runtime to be ready */
    assert_false(has(f, "tardev-snapshotter\n            - /var"));
}

static void test_nodes_are_chosen_by_labels(void **state) {
    struct command_fixture *f = *state;
    run(f, "qemu.json --node-selector example.com/snp=true --node-selector pool=");
    assert_int_equal(f->status, 0);
    assert_int_equal(command_fixture_count(f, "  example.com/snp: \"true\"\n"),
                     2); /* class and DaemonSet */
    assert_int_equal(command_fixture_count(f, "  pool: \"\"\n"), 2);
    assert_int_equal(command_fixture_count(f, "  kubernetes.io/arch: amd64\n"), 2);
}

/* The pods are made anew when the file behind a fixed name is another. */
static void test_another_file_is_another_pod(void **state) {
    struct command_fixture *f = *state;
    char sums[2][65];
    static const char *const files[] = {
        QEMU(ON("Metal-QEMU-SNP") NAMED("contrast-cc-x")),
        QEMU(ON("Metal-QEMU-SNP") NAMED("contrast-cc-x") ",\"debugRuntime\":true"),
    };
    for (size_t i = 0; i < 2; i++) {
        command_fixture_put(f, "i.json", files[i]);
        run(f, "i.json");
        const char *p = strstr(buf_cstr(&f->out), "checksum/config: ");
        assert_non_null(p);
        assert_int_equal(sscanf(p, "checksum/config: %64s", sums[i]), 1);
        assert_int_equal(strlen(sums[i]), 64);
    }
    assert_string_not_equal(sums[0], sums[1]);
}

/* What the ConfigMap holds is the file: the same JSON, whatever its white space and letters. */
static void test_the_file_arrives(void **state) {
    struct command_fixture *f = *state;
    static const char text[] =
        "{\n\t\"qemuExtraKernelParams\": \"a=\\\"b\\\"\\tc \xc3\xa9\\u2028 # |\",\r\n\"platform\": "
        "\"Metal-QEMU-SNP\", \"files\": " QEMU_FILES(HASH) "}\n";
    command_fixture_put(f, "i.json", text);
    run(f, "i.json --output json");
    assert_int_equal(f->status, 0);
    json_t *list = json_loadb((const char *)f->out.data, f->out.size, 0, NULL);
    const json_t *data = json_object_get(json_array_get(json_object_get(list, "items"), 1), "data");
    const char *file = json_string_value(json_object_get(data, "contrast-node-install.json"));
    json_t *want = json_loads(text, 0, NULL);
    json_t *got = json_loads(file, 0, NULL);
    assert_non_null(want);
    assert_true(json_equal(want, got));
    json_decref(want);
    json_decref(got);
    json_decref(list);
}

/* --- The handler */

/* containerd of a node, as far as a dry run asks it. */
static void make_node(struct command_fixture *f) {
    command_fixture_run(f, "mkdir -p host/etc/containerd host/run/lock bin");
    assert_int_equal(f->status, 0);
    command_fixture_put(f, "host/etc/containerd/config.toml", "version = 2\n");
    command_fixture_put(f, "bin/containerd",
                        "#!/bin/sh\necho containerd github.com/containerd/containerd v1.7.2 0\n");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/bin/containerd", f->dir);
    assert_int_equal(chmod(path, 0755), 0);
}

static void expect_handler_of_installer(struct command_fixture *f, const char *config) {
    char handler[64];
    char want[128];
    run(f, config);
    assert_int_equal(f->status, 0);
    take_handler(f, handler);
    (void)snprintf(want, sizeof want, "\"handler\": \"%s\"", handler);
    command_fixture_run(f,
                        "mkdir -p c && cp %s c/contrast-node-install.json && env "
                        "PATH=$PWD/bin:$PATH HOST_MOUNT=host CONFIG_DIR=c NODE_COMMAND= "
                        "TERMINATION_LOG= '%s' --dry-run --output json 2>&1",
                        config, installer);
    if (f->status != 3 || !has(f, want)) { /* 3: it would install */
        fail_msg("exit %d, want 3 and %s in\n%s", f->status, want, buf_cstr(&f->out));
    }
}

static void test_the_handler_is_the_installers(void **state) {
    struct command_fixture *f = *state;
    make_node(f);
    expect_handler_of_installer(f, "qemu.json");
    expect_handler_of_installer(f, "aks.json");
    command_fixture_put(f, "k.json", QEMU(ON("Metal-QEMU-SNP") ",\"kata\":{\"default_vcpus\":2}"));
    expect_handler_of_installer(f, "k.json");
    command_fixture_put(f, "n.json", QEMU(ON("Metal-QEMU-SNP") NAMED("contrast-cc-mine-1")));
    expect_handler_of_installer(f, "n.json");
}

/* --- Bad options and files */

#define H49 "contrast-cc-3456789012345678901234567890123456789"

static void test_bad_files_are_refused(void **state) {
    static const struct {
        const char *text;
        const char *want;
    } table[] = {
        {"", "i.json"},
        {"{", "i.json: "},
        {"[]", "i.json: "},
        {"{}", "files"},
        {QEMU(""), "platform: missing"},
        {QEMU(ON("Metal-QEMU-TDX")), "there is no \"Metal-QEMU-TDX\"; there are AKS-CLH-SNP"},
        {QEMU(ON("Metal-QEMU-SNP") ",\"version\":2"), "newer than this installer"},
        {QEMU(ON("Metal-QEMU-SNP") ",\"colour\":1"), "colour"},
        {CLH(ON("Metal-QEMU-SNP")), "is not among the files"},
        {"{\"files\":" QEMU_FILES("") ON("Metal-QEMU-SNP") "}",
         "i.json: files[0].integrity: needed here"},
        {"{\"files\":" QEMU_FILES(",\"integrity\":\"sha256-x\"") ON("Metal-QEMU-SNP") "}",
         "files[0].integrity"},
        {QEMU(ON("Metal-QEMU-SNP") NAMED("kata")), "runtimeHandlerName: must be contrast-cc-"},
        {QEMU(ON("Metal-QEMU-SNP") NAMED("contrast-cc-a\\nb")), "runtimeHandlerName"},
        {QEMU(ON("Metal-QEMU-SNP") NAMED(H49 "0")), "runtimeHandlerName: at most 49 characters"},
    };
    struct command_fixture *f = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        command_fixture_put(f, "i.json", table[i].text);
        expect(f, "--config i.json 2>&1", 2, table[i].want);
        assert_false(has(f, "apiVersion"));
    }
    expect(f, "--config qemu.json --platform AKS-CLH-SNP 2>&1", 2, "the command line says");
    expect(f, "--config none.json 2>&1", 2, "none.json");
}

static void test_every_prefix_of_a_file_is_refused(void **state) {
    static const char whole[] = QEMU(ON("Metal-QEMU-SNP"));
    struct command_fixture *f = *state;
    for (size_t size = 0; size < sizeof whole - 1; size += 97) { /* each starts a process */
        char part[sizeof whole];
        memcpy(part, whole, size);
        part[size] = '\0';
        command_fixture_put(f, "i.json", part);
        expect(f, "--config i.json 2>&1", 2, "i.json");
    }
}

static void test_a_name_of_49_characters_fits(void **state) {
    struct command_fixture *f = *state;
    static const char name[50] = H49;
    char text[4096];
    (void)snprintf(
        text, sizeof text,
        "{\"files\":" QEMU_FILES("") ON("Metal-QEMU-SNP") ",\"runtimeHandlerName\":\"%s\"}", name);
    command_fixture_put(f, "i.json", text); /* a name given: no integrity is needed for it */
    run(f, "i.json");
    assert_int_equal(f->status, 0);
    assert_true(has(f, name));
}

static void test_bad_options_are_refused(void **state) {
    static const struct {
        const char *arguments;
        const char *text;
    } table[] = {
        {"", "--config FILE is needed"},
        {"--config", "needs a value"},
        {"--config qemu.json --namespace A", "--namespace: \"A\" is no name"},
        {"--config qemu.json --namespace 'a\nb'", "is no name"},
        {"--config qemu.json --target-config 'a b'", "--target-config: \"a b\" is no name"},
        {"--config qemu.json --image 'a\n          tty: true'", "is no image"},
        {"--config qemu.json --platform Other", "platform: "},
        {"--config qemu.json --node-selector a", "want KEY=VALUE"},
        {"--config qemu.json --node-selector =a", "is no label"},
        {"--config qemu.json --node-selector a=b=c", "is no label"},
        {"--config qemu.json --node-selector 'a=b c'", "is no label"},
        {"--config qemu.json --node-selector 'a=\"'", "is no label"},
        {"--config qemu.json --node-selector 'a\nb=c'", "is no label"},
        {"--config qemu.json --node-selector A.b/=c", "is no label"},
        {"--config qemu.json --node-selector A/b=c", "is no label"},
        {"--config qemu.json --node-selector a/b/c=d", "is no label"},
        {"--config qemu.json --node-selector -a=b", "is no label"},
        {"--config qemu.json --node-selector a=b --node-selector a=c", "is there already"},
        {"--config qemu.json --node-selector kubernetes.io/arch=arm64", "is there already"},
        {"--config qemu.json --uninstall=yes", "--uninstall"},
        {"--config qemu.json word", "word"},
    };
    struct command_fixture *f = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char arguments[512];
        (void)snprintf(arguments, sizeof arguments, "%s 2>&1", table[i].arguments);
        expect(f, arguments, 2, table[i].text);
        assert_false(has(f, "apiVersion"));
    }
}

/* --- generate */

static void test_generate_leaves_it_alone(void **state) {
    static const char values[] =
        "[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\""
        "2222222222222222222222222222222222222222222222222222222222222222222222222222222222222222"
        "22222222\",\"MinimumTCB\":{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"
        "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true}}]";
    struct command_fixture *f = *state;
    command_fixture_put(f, "values.json", values);
    static const char *const rows[] = {"qemu.json", "aks.json", "aks.json --uninstall"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command_fixture_run(f, "'%s' runtime --config %s > r.yaml && '%s' coordinator > c.yaml",
                            program, rows[i], program);
        assert_int_equal(f->status, 0);
        struct buf before = command_fixture_get(f, "r.yaml");
        command_fixture_run(f,
                            "'%s' generate --skip-images --cache cache --reference-values "
                            "values.json r.yaml c.yaml 2>&1",
                            program);
        assert_int_equal(f->status, 0);
        assert_true(has(f, "1 polic"));
        struct buf after = command_fixture_get(f, "r.yaml");
        assert_string_equal(buf_cstr(&after), buf_cstr(&before));
        buf_deinit(&before);
        buf_deinit(&after);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    program = argv[1];
    installer = argv[2];
    const struct CMUnitTest tests[] = {
        TEST(test_a_node_gets_what_it_needs),
        TEST(test_platforms_with_a_snapshotter),
        TEST(test_the_uninstaller),
        TEST(test_nodes_are_chosen_by_labels),
        TEST(test_another_file_is_another_pod),
        TEST(test_the_file_arrives),
        TEST(test_the_handler_is_the_installers),
        TEST(test_bad_files_are_refused),
        TEST(test_every_prefix_of_a_file_is_refused),
        TEST(test_a_name_of_49_characters_fits),
        TEST(test_bad_options_are_refused),
        TEST(test_generate_leaves_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
