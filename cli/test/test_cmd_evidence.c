/* `contrast evidence` as a user runs it, on evidence of a machine of our own. The program's path is
 * the first argument.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"

#define COMMAND_SIZE 4096
#define GOOD "--report report --vek vek.der --chain chain.pem --trust-root ark.der --at 1767225600"

static const char *program;
static struct snp_fixture machine;
static char folder[] = "/tmp/test_cmd_evidence_XXXXXX";

/* Runs the program in the folder; both outputs, standard output first. */
static int run(const char *arguments, struct buf *output) {
    char command[COMMAND_SIZE];
    char chunk[4096];
    assert_true((size_t)snprintf(command, sizeof command,
                                 "cd %s && %s %s 2>stderr; s=$?; echo; "
                                 "cat stderr; exit $s",
                                 folder, program, arguments) < sizeof command);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    buf_clear(output);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(output, chunk, n);
    }
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *arguments, int exit_code, const char *text) {
    struct buf output = {0};
    int actual = run(arguments, &output);
    if (actual != exit_code || strstr(buf_cstr(&output), text) == NULL) {
        fail_msg("contrast %s: want exit %d and '%s', have exit %d:\n%s", arguments, exit_code,
                 text, actual, buf_cstr(&output));
    }
    buf_deinit(&output);
}

/* The one document on standard output; the caller drops it. */
static json_t *expect_json(const char *arguments, int exit_code) {
    struct buf output = {0};
    assert_int_equal(run(arguments, &output), exit_code);
    json_t *document = json_loads(buf_cstr(&output), JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(document);
    buf_deinit(&output);
    return document;
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void test_exit_codes(void **state) {
    (void)state;
    expect("evidence verify " GOOD, 0, "accepted (SIMULATED");
    expect("evidence verify --report report --vek vek.der --chain chain.pem --at 1767225600", 3,
           "contrast evidence verify: SNP-ROOT: ");
    expect("evidence verify --report report --trust-root ark.der", 1, "SNP-VEK-MISSING");
    expect("evidence verify --report report --vek vek.der", 3, "needs that machine's ASK and ARK");
    expect("evidence verify --report short " GOOD, 2, "--report is given twice");
    expect("evidence verify --report short", 3, "SNP-LENGTH");
    expect("evidence verify --report absent", 2, "absent");
    expect("evidence verify", 2, "--report FILE is needed");
    expect("evidence verify --report", 2, "--report needs a value");
    expect("evidence verify --no-such", 2, "--no-such");
    expect("evidence verify --report report extra", 2, "'extra'");
    expect("evidence verify --report report --at soon", 2, "--at: 'soon'");
    expect("evidence verify --report report --output yaml", 2, "yaml");
    expect("evidence", 2, "'evidence' needs one of: verify, show");
    expect("no-such", 2, "unknown command 'no-such'");
    expect("", 2, "no command given");
}

static void test_help_and_version(void **state) {
    (void)state;
    expect("--version", 0, "contrast " CONTRAST_VERSION);
    expect("--help", 0, "evidence verify");
    expect("evidence verify --help", 0, "Examples:");
    expect("evidence show --help", 0, "Exit codes:");
}

static void test_verdict_document(void **state) {
    (void)state;
    json_t *good = expect_json("evidence verify " GOOD " --output json", 0);
    assert_string_equal(text_at(good, "verdict"), "accepted");
    assert_true(json_is_true(json_object_get(good, "simulated")));
    assert_true(json_is_null(json_object_get(good, "code")));
    assert_true(json_array_size(json_object_get(good, "checks")) > 10);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(good, "report"), "VERSION")), 3);
    json_decref(good);

    json_t *debug = expect_json("evidence verify --output json --report debug --vek vek.der "
                                "--chain chain.pem --trust-root ark.der --at 1767225600",
                                3);
    assert_string_equal(text_at(debug, "verdict"), "denied");
    assert_string_equal(text_at(debug, "code"), "SNP-POLICY-DEBUG");
    assert_string_equal(text_at(debug, "field"), "POLICY.DEBUG");
    assert_string_equal(text_at(debug, "actual"), "1");
    json_decref(debug);
}

static void test_error_document(void **state) {
    (void)state;
    json_t *document = expect_json("evidence verify --output json", 2);
    const json_t *error = json_object_get(document, "error");
    assert_string_equal(text_at(error, "code"), "USAGE");
    assert_true(text_at(error, "text")[0] != '\0');
    json_decref(document);
}

static void test_manifest_judges(void **state) {
    (void)state;
    expect("evidence verify " GOOD " --manifest good.json", 0, "ReferenceValues.snp[0]");
    expect("evidence verify " GOOD " --manifest other.json", 3, "SNP-MEASUREMENT");
    expect("evidence verify " GOOD " --manifest report", 2, "report: ");
    /* the manifest alone permits the root that it lists */
    expect("evidence verify --report report --vek vek.der --chain chain.pem --at 1767225600 "
           "--manifest good.json",
           0, "accepted (SIMULATED");
}

static void test_show(void **state) {
    (void)state;
    expect("evidence show report", 0, "MEASUREMENT        4d4d4d");
    expect("evidence show vek.der", 0, "hwID               c1c1");
    expect("evidence show chain.pem", 0, "CN=ARK-Milan");
    expect("evidence show short", 2, "no report (1184 bytes)");
    expect("evidence show", 2, "one FILE is needed");
    json_t *document = expect_json("evidence show --output json chain.pem", 0);
    assert_int_equal(json_array_size(json_object_get(document, "certificates")), 2);
    json_decref(document);
}

/* ---- the files ---- */

static void save(const char *name, struct span bytes) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(is_ok(file_write(path, bytes, 0600, NULL)));
}

static void add_pem(struct buf *pem, const struct buf *der) {
    buf_append_str(pem, "-----BEGIN CERTIFICATE-----\n");
    struct buf text = {0};
    base64_encode(buf_span(der), &text);
    for (size_t at = 0; at < text.size; at += 64) {
        buf_append(pem, text.data + at, text.size - at < 64 ? text.size - at : 64);
        buf_append_u8(pem, '\n');
    }
    buf_append_str(pem, "-----END CERTIFICATE-----\n");
    buf_deinit(&text);
}

static void save_manifest(const char *name, char measurement_digit) {
    char root[65];
    char measurement[97];
    struct buf text = {0};
    hex_encode(SPAN(machine.root_digest[0]), root);
    hex_encode(SPAN(machine.measurement), measurement);
    measurement[0] = measurement_digit;
    buf_appendf(&text,
                "{\"Policies\":{\"%064d\":{\"Role\":\"coordinator\"}},\"ReferenceValues\":{\"snp\":"
                "[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"%s\",\"MinimumTCB\":"
                "{\"BootloaderVersion\":4,\"TEEVersion\":0,\"SNPVersion\":24,"
                "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true},"
                "\"SimulatedRoots\":[\"%s\"]}]}}",
                1, measurement, root);
    save(name, buf_span(&text));
    buf_deinit(&text);
}

static void save_reports(void) {
    static const uint8_t report_data[64] = {1};
    static const uint8_t host_data[32] = {2};
    struct snp_report report;
    uint8_t bytes[SNP_REPORT_SIZE];
    snp_fixture_fill(&machine, report_data, host_data, &report);
    snp_fixture_sign(&machine, &report, bytes);
    save("report", SPAN(bytes));
    save("short", span_of(bytes, sizeof bytes - 1));
    report.policy |= SNP_POLICY_DEBUG;
    snp_fixture_sign(&machine, &report, bytes);
    save("debug", SPAN(bytes));
}

static int make_files(void **state) {
    (void)state;
    struct buf chain = {0};
    assert_non_null(mkdtemp(folder));
    snp_fixture_init(&machine, SNP_MILAN);
    save_reports();
    save("vek.der", buf_span(&machine.vcek));
    save("ark.der", buf_span(&machine.ark));
    add_pem(&chain, &machine.ask);
    add_pem(&chain, &machine.ark);
    save("chain.pem", buf_span(&chain));
    save_manifest("good.json", '4');
    save_manifest("other.json", '5');
    buf_deinit(&chain);
    return 0;
}

static int drop_files(void **state) {
    static const char *const names[] = {"report",    "short",      "debug",
                                        "vek.der",   "ark.der",    "chain.pem",
                                        "good.json", "other.json", "stderr"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    snp_fixture_deinit(&machine);
    return rmdir(folder);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),       cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_verdict_document), cmocka_unit_test(test_error_document),
        cmocka_unit_test(test_manifest_judges),  cmocka_unit_test(test_show),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s PROGRAM\n", argv[0]);
        return 2;
    }
    setenv("CONTRAST_KDS_URL", "off", 1);
    program = argv[1];
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
