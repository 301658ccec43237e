/* contrast set, verify, status and history before they reach a Coordinator: what is wrong here is
 * said with exit code 2, and a Coordinator that does not answer with 1.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"

#define COMMAND_SIZE 4096
#define NOBODY "127.0.0.1:1" /* a port that nobody listens on */

static const char *program;
static char folder[] = "/tmp/test_cmd_set_XXXXXX";
static const char POLICY[] = "package agent_policy\n";

/* Runs the program in the folder; standard output, then standard error. */
static int run(const char *arguments, struct buf *output) {
    char command[COMMAND_SIZE];
    char chunk[4096];
    int size =
        snprintf(command, sizeof command, "cd %s && %s %s 2>stderr; s=$?; cat stderr; exit $s",
                 folder, program, arguments);
    assert_true(size > 0 && (size_t)size < sizeof command);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(pipe);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(output, chunk, n);
    }
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *arguments, int exit_code, const char *text) {
    AUTO(buf_deinit)
    struct buf output = {0};
    int actual = run(arguments, &output);
    if (actual != exit_code || strstr(buf_cstr(&output), text) == NULL) {
        fail_msg("contrast %s: want exit %d and '%s', have exit %d:\n%s", arguments, exit_code,
                 text, actual, buf_cstr(&output));
    }
}

static void put(const char *name, struct span bytes) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write(path, bytes, 0600, NULL).code, ERR_OK);
}

static void put_key(const char *name, enum key_kind kind, bool with_private, uint8_t digest[32]) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf pem = {0};
    assert_int_equal(key_generate(kind, &key, NULL).code, ERR_OK);
    key_digest(&key, digest);
    key_to_pem(&key, with_private, &pem);
    put(name, buf_span(&pem));
}

static void put_manifest(const char *name, const char *policy, const uint8_t owner[32]) {
    AUTO(buf_deinit)
    struct buf json = {0};
    char owner_hex[65];
    char measurement[97];
    memset(measurement, 'a', 96);
    measurement[96] = 0;
    hex_encode(span_of(owner, 32), owner_hex);
    buf_appendf(&json,
                "{\"Policies\": {\"%s\": {\"SANs\": [\"coordinator\"], \"WorkloadSecretID\": \"\", "
                "\"Role\": \"coordinator\"}}, \"ReferenceValues\": {\"snp\": [{\"ProductName\": "
                "\"Milan\", \"TrustedMeasurement\": \"%s\", \"MinimumTCB\": "
                "{\"BootloaderVersion\": 1, \"TEEVersion\": 1, \"SNPVersion\": 1, "
                "\"MicrocodeVersion\": 1}, "
                "\"GuestPolicy\": {\"ABIMinor\": 0, \"ABIMajor\": 0, \"SMT\": true, \"MigrateMA\": "
                "false, \"Debug\": false, \"SingleSocket\": false, \"CXLAllowed\": false, "
                "\"MemAES256XTS\": false, \"RAPLDis\": false, \"CipherTextHidingDRAM\": false, "
                "\"PageSwapDisable\": false}}]}, \"WorkloadOwnerKeyDigests\": [\"%s\"], "
                "\"SeedshareOwnerPubKeys\": []}\n",
                policy, measurement, owner_hex);
    put(name, buf_span(&json));
}

static void put_pod(const char *name) {
    AUTO(buf_deinit)
    struct buf yaml = {0};
    buf_append_str(&yaml, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: coordinator\n"
                          "  annotations:\n    io.katacontainers.config.agent.policy: ");
    base64_encode(span_str(POLICY), &yaml);
    buf_append_str(&yaml, "\nspec:\n  runtimeClassName: contrast-cc\n  containers:\n"
                          "    - name: c\n      image: i\n");
    put(name, buf_span(&yaml));
}

static int set_up(void **state) {
    (void)state;
    uint8_t owner[32];
    uint8_t other[32];
    uint8_t hash[32];
    char hex[65];
    char wrong[65];
    assert_non_null(mkdtemp(folder));
    put_key("workload-owner.pem", KEY_P384, true, owner);
    put_key("public.pem", KEY_P384, false, other);
    sha256(span_str(POLICY), hash);
    hex_encode(SPAN(hash), hex);
    put_manifest("manifest.json", hex, owner);
    memset(wrong, 'b', 64);
    wrong[64] = 0;
    put_manifest("other.json", wrong, owner);
    put_pod("pod.yaml");
    put("null.json", span_str("null\n"));
    put("empty.json", span_str(""));
    put("none.yaml", span_str("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"));
    return 0;
}

static void test_arguments_are_checked_first(void **state) {
    (void)state;
    expect("set pod.yaml", 2, "-c HOST:PORT is needed");
    expect("set -c nowhere pod.yaml", 2, "'nowhere' is no address");
    expect("set -c a:1,,b:2 pod.yaml", 2, "no address");
    expect("set -c " NOBODY, 2, "name the YAML files");
    expect("set -c " NOBODY " --replicas 4 pod.yaml", 2, "4 is none of 1, 3 and 5");
    expect("set -c " NOBODY " --latest-transition abc pod.yaml", 2, "64 hexadecimal digits");
    expect("verify", 2, "-c HOST:PORT is needed");
    expect("status", 2, "-c HOST:PORT is needed");
    expect("history -c a:1,b:2", 2, "one address");
    expect("verify -c " NOBODY " extra", 2, "unexpected argument");
}

static void test_manifests_are_refused_here(void **state) {
    (void)state;
    expect("set -c " NOBODY " -m null.json pod.yaml", 2, "null.json");
    expect("set -c " NOBODY " -m empty.json pod.yaml", 2, "empty.json");
    expect("set -c " NOBODY " -m missing.json pod.yaml", 2, "missing.json");
    expect("verify -c " NOBODY " -m null.json", 2, "null.json");
    AUTO(buf_deinit)
    struct buf large = {0};
    memset(buf_extend(&large, 17 * 1024 * 1024), ' ', 17 * 1024 * 1024);
    put("large.json", buf_span(&large));
    expect("set -c " NOBODY " -m large.json pod.yaml", 2, "larger than the limit");
}

static void test_policies_must_be_the_manifests(void **state) {
    (void)state;
    expect("set -c " NOBODY " -m other.json pod.yaml", 2, "is in the manifest and in no file");
    expect("set -c " NOBODY " -m other.json pod.yaml", 2,
           "(Pod/coordinator in pod.yaml) is not in");
    expect("set -c " NOBODY " none.yaml", 2, "contrast generate");
    expect("set -c " NOBODY " missing.yaml", 2, "missing.yaml");
}

static void test_owner_keys_must_sign(void **state) {
    (void)state;
    expect("set -c " NOBODY " --workload-owner-key none.pem pod.yaml", 2, "contrast generate");
    expect("set -c " NOBODY " --workload-owner-key public.pem pod.yaml", 2, "the private one");
    expect("set -c " NOBODY " --workload-owner-key null.json pod.yaml", 2, "null.json");
}

/* The bytes that `contrast sign --prepare` writes, for a transition of the test's own. */
static void put_prepared(const char *name) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    buf_append(&bytes, "contrast-set-v1", 16);
    memset(buf_extend(&bytes, 32), 7, 32);
    put(name, buf_span(&bytes));
}

static void openssl(const char *arguments) {
    char command[COMMAND_SIZE];
    (void)snprintf(command, sizeof command, "cd %s && openssl %s >openssl.out 2>&1", folder,
                   arguments);
    if (system(command) != 0) { /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
        fail_msg("openssl %s", arguments);
    }
}

static void test_openssl_agrees_with_sign(void **state) {
    (void)state;
    uint8_t digest[32];
    put_prepared("next.bin");
    expect("sign --out next.sig next.bin", 0, "next.sig");
    openssl("pkey -in workload-owner.pem -pubout -out owner-pub.pem");
    openssl("dgst -sha384 -verify owner-pub.pem -signature next.sig next.bin");
    put_key("ed.pem", KEY_ED25519, true, digest);
    expect("sign --out ed.sig --workload-owner-key ed.pem next.bin", 0, "ed.sig");
    openssl("pkeyutl -verify -rawin -inkey ed.pem -in next.bin -sigfile ed.sig");
}

static void test_sign_says_what_is_wrong(void **state) {
    (void)state;
    put_prepared("next.bin");
    expect("sign", 2, "either --prepare or --out");
    expect("sign --prepare a --out b", 2, "either --prepare or --out");
    expect("sign --prepare a -c " NOBODY, 1, NOBODY);
    expect("sign --prepare a next.bin -c " NOBODY, 2, "takes no key");
    expect("sign --out b", 2, "the one file");
    expect("sign --out b missing.bin", 2, "missing.bin: no such file");
    expect("sign --out b null.json", 2, "null.json: is not what");
    expect("sign --out b pod.yaml", 2, "pod.yaml: is not what");
    expect("sign --out b --workload-owner-key public.pem next.bin", 2, "the private one");
    expect("set -c " NOBODY " --signature x pod.yaml", 2, "--signer");
    expect("set -c " NOBODY " --signer x pod.yaml", 2, "goes with --signature");
    expect("set -c " NOBODY " --signature x --signer missing.pem pod.yaml", 2, "missing.pem");
    expect("set -c " NOBODY " --signature x --signer public.pem pod.yaml", 2, "x: no such file");
    expect("set -c " NOBODY " --signature x --signer public.pem --workload-owner-key y pod.yaml", 2,
           "exclude each other");
}

static void test_retire_says_what_is_wrong(void **state) {
    (void)state;
    expect("members retire -c " NOBODY, 2, "the name or the id of one member");
    expect("members retire -c " NOBODY " a b", 2, "one member");
    expect("members retire a", 2, "-c HOST:PORT is needed");
    expect("members retire -c " NOBODY " --workload-owner-key public.pem a", 2, "the private one");
    expect("members retire -c " NOBODY " a", 1, NOBODY);
    expect("status -c " NOBODY " a", 2, "only --safe-to-stop");
    expect("status -c " NOBODY " --safe-to-stop a b", 2, "only --safe-to-stop");
    expect("status -c " NOBODY " --safe-to-stop a", 1, NOBODY);
    expect("status -c " NOBODY " --ready", 1, NOBODY);
    expect("status -c " NOBODY " --ready --safe-to-stop", 2, "two questions");
}

static void test_nobody_there_is_exit_1(void **state) {
    (void)state;
    expect("set -c " NOBODY " pod.yaml", 1, NOBODY);
    expect("verify -c " NOBODY, 1, NOBODY);
    expect("verify --all -c " NOBODY "," NOBODY, 1, "unverifiable");
    expect("status -c " NOBODY, 1, NOBODY);
    expect("members -c " NOBODY, 1, NOBODY);
    expect("history -c " NOBODY, 1, NOBODY);
    expect("verify -c " NOBODY " --output json", 1, "\"verdict\": \"unverifiable\"");
    expect("set -c " NOBODY " --output json pod.yaml", 1, "\"code\": \"UNAVAILABLE\"");
}

static void test_nothing_is_written_without_success(void **state) {
    (void)state;
    char path[256];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/verify", folder);
    assert_int_not_equal(stat(path, &status), 0);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_are_checked_first),
        cmocka_unit_test(test_manifests_are_refused_here),
        cmocka_unit_test(test_policies_must_be_the_manifests),
        cmocka_unit_test(test_owner_keys_must_sign),
        cmocka_unit_test(test_openssl_agrees_with_sign),
        cmocka_unit_test(test_sign_says_what_is_wrong),
        cmocka_unit_test(test_retire_says_what_is_wrong),
        cmocka_unit_test(test_nobody_there_is_exit_1),
        cmocka_unit_test(test_nothing_is_written_without_success),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
