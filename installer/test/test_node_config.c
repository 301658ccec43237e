/* Node configuration: a table of what is refused with its JSON path, what is accepted, the
 * handler's name, and the Kata configuration read back by installer/toml.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "installer/handler_name.h"
#include "installer/toml/toml.h"

#define SRI_TEXT "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define QEMU                                                                                       \
    "{\"url\":\"file:///p/qemu\",\"path\":\"@@runtimeBase@@/bin/qemu-system-x86_64\","             \
    "\"executable\":true}"
#define KATA "\"kernel\":\"\",\"initrd\":\"\",\"image\":\"\",\"firmware\":\"\""
#define FILES "\"files\":[" QEMU "]"
#define PLATFORM "\"platform\":\"Metal-QEMU-SNP\""
#define GOOD "{\"version\":1," PLATFORM "," FILES ",\"kata\":{" KATA "}}"
#define WITH_FILE(file) "{" PLATFORM ",\"files\":[" QEMU "," file "],\"kata\":{" KATA "}}"
#define WITH_KATA(more) "{" PLATFORM "," FILES ",\"kata\":{" KATA "," more "}}"

static struct result parse(const char *text, struct node_config *out, struct err *err) {
    return node_config_parse(span_of(text, strlen(text)), NULL, out, err);
}

static void test_good(void **state) {
    (void)state;
    AUTO(node_config_deinit)
    struct node_config c = {0};
    struct err err;
    assert_true(is_ok(parse(GOOD, &c, &err)));
    assert_string_equal(c.platform->name, "Metal-QEMU-SNP");
    assert_int_equal(c.file_count, 1);
    assert_string_equal(c.files[0].path, "bin/qemu-system-x86_64");
    assert_true(c.files[0].is_executable);
    assert_int_equal(c.files[0].integrity.size, 0);
    assert_null(c.handler);
    assert_non_null(node_config_file(&c, "bin/qemu-system-x86_64"));
    assert_null(node_config_file(&c, "bin/qemu"));
}

static void test_platform_of_the_command_line(void **state) {
    (void)state;
    static const char text[] = "{" FILES ",\"kata\":{" KATA "}}";
    AUTO(node_config_deinit)
    struct node_config c = {0};
    struct err err;
    assert_false(is_ok(parse(text, &c, &err)));
    assert_non_null(strstr(err.text, "platform: missing"));
    assert_true(is_ok(node_config_parse(span_of(text, sizeof text - 1), "k3s-qemu-snp", &c, &err)));
    assert_string_equal(c.platform->name, "K3s-QEMU-SNP");
    struct node_config other = {0};
    assert_false(
        is_ok(node_config_parse(span_of(GOOD, sizeof GOOD - 1), "K3s-QEMU-SNP", &other, &err)));
    assert_non_null(strstr(err.text, "the command line says"));
}

struct bad {
    const char *text;
    const char *says;
};

static const struct bad BAD[] = {
    {"", "line 1, column 0: "},
    {"{", "line 1, column 1: "},
    {"[]", "must be an object"},
    {"{\"files\":[],\"files\":[]}", "duplicate object key"},
    {"{" PLATFORM "}", "files: must not be empty"},
    {"{" PLATFORM ",\"files\":[],\"kata\":{}}", "files: must not be empty"},
    {"{" PLATFORM ",\"files\":7}", "files: "},
    {"{\"version\":2," PLATFORM "," FILES "}", "version: is newer than this installer"},
    {"{\"version\":0," PLATFORM "," FILES "}", "version: must be 1"},
    {"{\"version\":\"1\"," PLATFORM "," FILES "}", "version: "},
    {"{\"platform\":\"Metal-TDX\"," FILES "}", "there is no \"Metal-TDX\"; there are AKS-CLH-SNP"},
    {"{" PLATFORM "," FILES ",\"filez\":1,\"kata\":{" KATA "}}", "filez"},
    {"{" PLATFORM "," FILES ",\"debugRuntime\":1,\"kata\":{" KATA "}}", "debugRuntime: must be"},
    {"{" PLATFORM "," FILES ",\"kata\":{" KATA "},\"runtimeHandlerName\":\"../x\"}",
     "runtimeHandlerName: must be contrast-cc-"},
    {"{" PLATFORM "," FILES ",\"kata\":{" KATA "},\"runtimeHandlerName\":\"contrast-cc-A\"}",
     "runtimeHandlerName: must be contrast-cc-"},
    {"{" PLATFORM "," FILES "}", "kata.kernel: @@runtimeBase@@/share/kata-kernel is not among"},
    {WITH_FILE("{}"), "files[1].url: "},
    {WITH_FILE("{\"url\":\"ftp://x/y\",\"path\":\"@@runtimeBase@@/y\"}"),
     "files[1].url: must begin with file:///"},
    {WITH_FILE(
         "{\"url\":\"https://u:p@x/y\",\"path\":\"@@runtimeBase@@/y\",\"integrity\":\"" SRI_TEXT
         "\"}"),
     "files[1].url: must not hold a user"},
    {WITH_FILE("{\"url\":\"https://x/y z\",\"path\":\"@@runtimeBase@@/y\",\"integrity\":\"" SRI_TEXT
               "\"}"),
     "files[1].url: too long, or with a blank"},
    {WITH_FILE("{\"url\":\"http://x/y\",\"path\":\"@@runtimeBase@@/y\"}"),
     "files[1].integrity: needed for what comes over a network"},
    {WITH_FILE("{\"url\":\"https://x/y\",\"path\":\"@@runtimeBase@@/y\",\"integrity\":\"\"}"),
     "files[1].integrity: needed for what comes over a network"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/y\",\"integrity\":\"sha1-\"}"),
     "files[1].integrity: \"sha1-\": want sha256-"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"/etc/passwd\"}"),
     "files[1].path: must begin with @@runtimeBase@@/"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/../../../etc/passwd\"}"),
     "files[1].path: must be a plain path"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@//y\"}"),
     "files[1].path: must be a plain path"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/\"}"),
     "files[1].path: must be a plain path"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/a/./y\"}"),
     "files[1].path: must be a plain path"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/.y.contrast-new\"}"),
     "files[1].path: must not be named as the installer's"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/bin/qemu-system-x86_64\"}"),
     "files[1].path: another file has this path"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/bin\"}"),
     "files[1].path: another file has this path, or one above"},
    {WITH_FILE("{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/bin/qemu-system-x86_64/y\"}"),
     "files[1].path: another file has this path, or one above"},
    {WITH_FILE(
         "{\"url\":\"file:///y\",\"path\":\"@@runtimeBase@@/etc/configuration-qemu-snp.toml\"}"),
     "is written by the installer"},
    {WITH_KATA("\"kernal\":\"\""), "kata.kernal"},
    {WITH_KATA("\"path\":\"\""), "kata.path: must not be empty"},
    {WITH_KATA("\"path\":\"../sh\""), "kata.path: must be a path below"},
    {WITH_KATA("\"rootfs_type\":\"btrfs\""), "kata.rootfs_type: must be ext4, erofs or xfs"},
    {WITH_KATA("\"default_vcpus\":0"), "kata.default_vcpus: must be at least 1"},
    {WITH_KATA("\"default_memory\":1e9"), "kata.default_memory: "},
    {WITH_KATA("\"snp_guest_policy\":\"0xb0000\""), "kata.snp_guest_policy: bit 17"},
    {WITH_KATA("\"snp_guest_policy\":65536"), "kata.snp_guest_policy: bit 17"},
};

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct node_config c = {0};
        struct err err = {0};
        struct result r = parse(BAD[i].text, &c, &err);
        if (r.code != ERR_CONFIG || strstr(err.text, BAD[i].says) == NULL) {
            fail_msg("%s: code %d: %s; want %s", BAD[i].text, r.code, err.text, BAD[i].says);
        }
        assert_int_equal(c.file_count, 0);
    }
}

static void test_every_prefix(void **state) {
    (void)state;
    for (size_t size = 0; size < sizeof GOOD - 1; size++) {
        struct node_config c = {0};
        struct err err;
        assert_int_equal(node_config_parse(span_of(GOOD, size), NULL, &c, &err).code, ERR_CONFIG);
    }
}

/* --- The handler's name */

static void name_of(const char *text, char out[HANDLER_NAME_SIZE]) {
    AUTO(node_config_deinit)
    struct node_config c = {0};
    struct err err;
    assert_true(is_ok(parse(text, &c, &err)));
    struct sri digests[4] = {0};
    for (size_t i = 0; i < c.file_count; i++) {
        assert_true(is_ok(sri_parse(SRI_TEXT, &digests[i], &err)));
    }
    handler_name_make(&c, digests, out);
}

#define X(path) "{\"url\":\"file:///" path "\",\"path\":\"@@runtimeBase@@/" path "\"}"
#define TWO(a, b) "{" PLATFORM ",\"files\":[" QEMU "," a "," b "],\"kata\":{" KATA "}}"

static void test_name(void **state) {
    (void)state;
    char name[HANDLER_NAME_SIZE];
    char other[HANDLER_NAME_SIZE];
    name_of(GOOD, name);
    assert_string_equal(name, "contrast-cc-metal-qemu-snp-8e2f0bfe");
    name_of(TWO(X("a"), X("b")), name);
    name_of(TWO(X("b"), X("a")), other);
    assert_string_equal(name, other); /* the order of the list does not matter */
    static const char *const different[] = {
        TWO(X("a"), X("c")), WITH_KATA("\"default_memory\":1000"),
        "{" PLATFORM "," FILES ",\"kata\":{" KATA "},\"debugRuntime\":true}",
        "{" PLATFORM "," FILES ",\"kata\":{" KATA "},\"qemuExtraKernelParams\":\"quiet\"}",
        "{\"platform\":\"K3s-QEMU-SNP\"," FILES ",\"kata\":{" KATA "}}"};
    name_of(GOOD, name);
    for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) {
        name_of(different[i], other);
        assert_string_not_equal(name, other);
    }
    name_of("{" PLATFORM "," FILES ",\"kata\":{" KATA
            "},\"runtimeHandlerName\":\"contrast-cc-mine\"}",
            name);
    assert_string_equal(name, "contrast-cc-mine");
}

static void test_related(void **state) {
    (void)state;
    assert_true(handler_name_is_related("contrast-cc-a-1", "contrast-cc-a-2"));
    assert_false(handler_name_is_related("contrast-cc-a-1", "contrast-cc-a-b-1"));
    assert_false(handler_name_is_related("contrast-cc-a-1", "contrast-cc-b-1"));
    assert_true(handler_name_is_related("x", "x"));
}

/* --- Kata's configuration */

static void make_kata(const char *text, struct buf *out) {
    AUTO(node_config_deinit)
    struct node_config c = {0};
    struct err err = {0};
    if (!is_ok(parse(text, &c, &err))) {
        fail_msg("%s", err.text);
    }
    kata_config_make(c.platform, &c.kata, "/opt/edgeless/h", out);
}

static void test_kata_read_back(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    make_kata(WITH_KATA("\"kernel_params\":\"a=\\\"b\\\\c\\\" \\u0001\\u00e9\","
                        "\"default_memory\":777,\"snp_id_block\":\"QUI=\",\"snp_id_auth\":\"QUE=\","
                        "\"snp_guest_policy\":\"0x30000\",\"experimental_force_guest_pull\":false"),
              &text);
    AUTO(toml_file_deinit)
    struct toml_file file = {0};
    struct err err;
    assert_true(is_ok(toml_parse("kata", buf_span(&text), &file, &err)));
    const struct toml_node *qemu =
        toml_get(file.root, (const char *const[]){"hypervisor", "qemu", NULL});
    assert_string_equal(toml_string(toml_key(qemu, "path")),
                        "/opt/edgeless/h/bin/qemu-system-x86_64");
    assert_string_equal(toml_string(toml_key(qemu, "kernel_params")), "a=\"b\\c\" \x01\xc3\xa9");
    assert_int_equal(toml_key(qemu, "default_memory")->integer, 777);
    assert_int_equal(toml_key(qemu, "snp_guest_policy")->integer, 0x30000);
    assert_string_equal(toml_string(toml_key(qemu, "snp_id_block")), "QUI=");
    assert_string_equal(toml_string(toml_key(qemu, "shared_fs")), "none");
    assert_true(toml_key(qemu, "confidential_guest")->boolean);
    assert_null(toml_key(qemu, "kernel"));
    const struct toml_node *runtime = toml_key(file.root, "runtime");
    assert_false(toml_key(runtime, "experimental_force_guest_pull")->boolean);
    assert_int_equal(toml_key(runtime, "create_container_timeout")->integer, 120);
}

#define CLH_FILE(path) "{\"url\":\"file:///f\",\"path\":\"@@runtimeBase@@/" path "\"}"

static void test_kata_clh(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    make_kata(
        "{\"platform\":\"AKS-CLH-SNP\",\"files\":[" CLH_FILE("bin/cloud-hypervisor-snp") "," CLH_FILE(
            "share/kata-containers-igvm.img") "," CLH_FILE("share/kata-containers.img") "]}",
        &text);
    AUTO(toml_file_deinit)
    struct toml_file file = {0};
    struct err err;
    assert_true(is_ok(toml_parse("kata", buf_span(&text), &file, &err)));
    const struct toml_node *clh =
        toml_get(file.root, (const char *const[]){"hypervisor", "clh", NULL});
    assert_string_equal(toml_string(toml_key(clh, "igvm")),
                        "/opt/edgeless/h/share/kata-containers-igvm.img");
    assert_int_equal(toml_key(clh, "snp_guest_policy")->integer, 196608);
    assert_string_equal(toml_string(toml_key(clh, "kernel_params")), "");
    assert_int_equal(toml_key(clh, "enable_annotations")->count, 0);
    assert_null(toml_key(toml_key(file.root, "hypervisor"), "qemu"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_platform_of_the_command_line),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_related),
        cmocka_unit_test(test_kata_read_back),
        cmocka_unit_test(test_kata_clh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
