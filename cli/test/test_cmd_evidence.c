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

#include "attest/snp_certtable.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"

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
    /* either of them permits the root: the manifest that lists it, or who names it by hand */
    expect("evidence verify " GOOD " --manifest genuine.json", 0, "SIMULATED");
    expect("evidence verify --report report --vek vek.der --chain chain.pem --at 1767225600 "
           "--manifest genuine.json",
           3, "SNP-ROOT");
    expect("evidence verify --report report --vek vek.der --chain chain.pem --at 1767225600 "
           "--manifest good.json",
           0, "accepted (SIMULATED");
}

/* The checks of a JSON verdict that failed: at most one, named. */
static void expect_failed_check(const char *arguments, const char *code, const char *name) {
    json_t *document = expect_json(arguments, 3);
    size_t index = 0;
    const json_t *check = NULL;
    const char *failed = "";
    size_t count = 0;
    assert_string_equal(text_at(document, "code"), code);
    json_array_foreach(json_object_get(document, "checks"), index, check) {
        if (!json_is_true(json_object_get(check, "ok"))) {
            failed = text_at(check, "name");
            count++;
        }
    }
    assert_string_equal(failed, name);
    assert_int_equal(count, 1);
    json_decref(document);
}

static void test_the_failing_check_is_named(void **state) {
    (void)state;
    expect_failed_check("evidence verify --report short --output json", "SNP-LENGTH",
                        "report-length");
    expect_failed_check("evidence verify --output json --report report --vek vek.der --chain "
                        "chain.pem --at 1767225600",
                        "SNP-ROOT", "root");
    expect_failed_check("evidence verify --output json --report report --vek chain.pem "
                        "--trust-root ark.der --at 1767225600",
                        "SNP-VEK-KIND", "leaf-subject");
    expect_failed_check("evidence verify --output json " GOOD " --manifest other.json",
                        "SNP-MEASUREMENT", "measurement");
    expect_failed_check("evidence verify --output json " GOOD " --crl revoked.crl", "SNP-REVOKED",
                        "not-revoked");
}

#define JUDGED " --trust-root ark.der --at 1767225600"

static void test_forms_of_endorsements(void **state) {
    (void)state;
    expect("evidence verify --report report --vek bundle.pem" JUDGED, 0, "accepted");
    expect("evidence verify --report report --vek table" JUDGED, 0, "accepted");
    expect("evidence verify --report report --chain table" JUDGED, 0, "accepted");
    expect("evidence verify --report report --vek report" JUDGED, 2,
           "report: a report, want a certificate");
    expect("evidence verify --report report --vek revoked.crl" JUDGED, 2, "a revocation list");
    expect("evidence verify --report report --vek hex" JUDGED, 2, "xxd -r -p hex");
    expect("evidence verify --report report --vek long.der" JUDGED, 3, "SNP-CERT-FORMAT");
    expect("evidence verify --report report --vek table.cut" JUDGED, 2,
           "table.cut: certificate table: entry 2 (ARK): ends at");
    expect("evidence verify --report report --vek vek.der --chain chain.pem --trust-root vek.der",
           2, "vek.der: no root in it");
    expect("evidence verify --report report --vek vek.der --trust-root long.der", 2,
           "long.der: not a whole certificate");
}

static void test_forms_of_reports(void **state) {
    (void)state;
    expect("evidence verify --report blob --vek vek.der --chain chain.pem" JUDGED, 0,
           "source    Azure HCL blob, report at 0x20; its runtime data is what");
    expect("evidence verify --report blob.cut --vek vek.der" JUDGED, 2, "blob.cut: HCL blob: ");
    expect("evidence verify --report hex --vek vek.der" JUDGED, 2,
           "hex: hexadecimal text, want the bytes: convert it with `xxd -r -p hex`");
    expect("evidence verify --report base64 --vek vek.der" JUDGED, 2,
           "base64: base64 text, want the bytes: convert it with `base64 -d base64`");
    expect("evidence verify --report good.json --vek vek.der" JUDGED, 2, "a JSON document");
    expect("evidence verify --report vek.der --vek vek.der" JUDGED, 2, "a certificate, want");
    expect("evidence verify --report chain.pem --vek vek.der" JUDGED, 2, "PEM text, want");
    json_t *document = expect_json("evidence verify --output json --report blob --vek vek.der "
                                   "--chain chain.pem" JUDGED,
                                   0);
    const json_t *source = json_object_get(document, "source");
    assert_string_equal(text_at(source, "kind"), "hcl");
    assert_true(json_is_true(json_object_get(source, "runtimeDataBound")));
    json_decref(document);
}

static void test_lists(void **state) {
    (void)state;
    expect("evidence verify " GOOD " --crl good.crl", 0, "require: list 9");
    expect("evidence verify " GOOD " --crl good.crl.pem", 0, "require: list 9");
    expect("evidence verify " GOOD " --crl old.crl", 1, "SNP-CRL-DATE");
    expect("evidence verify " GOOD " --crl foreign.crl", 3, "SNP-CRL-SIGNATURE");
    expect("evidence verify " GOOD " --crl vek.der", 2, "a certificate, want a revocation list");
    expect("evidence verify " GOOD " --crl report", 2, "a report, want a revocation list");
    /* with a manifest its sets decide: these demand no list, but a revocation counts */
    expect("evidence verify " GOOD " --manifest good.json --crl old.crl", 0, "off: list 7");
    expect("evidence verify " GOOD " --manifest good.json --crl revoked.crl", 3, "SNP-REVOKED");
}

static void test_show_of_every_form(void **state) {
    (void)state;
    expect("evidence show blob", 0, "11 bytes, SHA-256 in REPORT_DATA: bound");
    expect("evidence show table", 0,
           "entry 0: VCEK, GUID 63da758d-e664-4564-adc5-f4b93be8accd, offset 96, ");
    expect("evidence show table", 0, "productName        Milan-B0");
    expect("evidence show table.cut", 2, "entry 2 (ARK): ends at");
    expect("evidence show revoked.crl", 0, "revoked            010001");
    expect("evidence show good.crl.pem", 0, "CRLNumber          09");
    expect("evidence show future", 0, "NOT A GOOD REPORT  SNP-VERSION");
    expect("evidence show old", 0, "version 2 does not tell Milan from Genoa");
    expect("evidence show old", 0, "snp 24, microcode 219");
    expect("evidence show hex", 2, "xxd -r -p");
    expect("evidence show long.der", 2, "DER that is neither");
    expect("evidence show report.empty", 2, "0 bytes: no report");
    json_t *document = expect_json("evidence show --output json table", 0);
    const json_t *entry = json_array_get(json_object_get(document, "entries"), 0);
    assert_string_equal(text_at(entry, "name"), "VCEK");
    assert_string_equal(text_at(json_object_get(entry, "certificate"), "kind"), "VCEK");
    json_decref(document);
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

static void add_pem(struct buf *pem, const struct buf *der, const char *label) {
    buf_appendf(pem, "-----BEGIN %s-----\n", label);
    struct buf text = {0};
    base64_encode(buf_span(der), &text);
    for (size_t at = 0; at < text.size; at += 64) {
        buf_append(pem, text.data + at, text.size - at < 64 ? text.size - at : 64);
        buf_append_u8(pem, '\n');
    }
    buf_appendf(pem, "-----END %s-----\n", label);
    buf_deinit(&text);
}

static void save_manifest(const char *name, char measurement_digit, bool lists_root) {
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
                "\"MicrocodeVersion\":219},\"GuestPolicy\":{\"SMT\":true}",
                1, measurement);
    if (lists_root) {
        buf_appendf(&text, ",\"SimulatedRoots\":[\"%s\"]", root);
    }
    buf_append_str(&text, "}]}}");
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

static void save_forms_of_reports(void) {
    static const uint8_t zero[64] = {0};
    uint8_t blob[0x4D4 + 11] = {0};
    struct span json = span_str("{\"keys\":[]}");
    uint8_t report_data[64] = {0};
    struct snp_report report;
    uint8_t bytes[SNP_REPORT_SIZE];
    memcpy(blob, "HCLA", 4);
    store_u32le(blob + 0x4C8, 2);
    store_u32le(blob + 0x4CC, 1);
    store_u32le(blob + 0x4D0, (uint32_t)json.size);
    memcpy(blob + 0x4D4, json.data, json.size);
    sha256(json, report_data);
    snp_fixture_fill(&machine, report_data, zero, &report);
    snp_fixture_sign(&machine, &report, blob + 0x20);
    save("blob", SPAN(blob));
    save("blob.cut", span_of(blob, sizeof blob - 1));
    snp_report_encode(&report, bytes);
    store_u32le(bytes, 6);
    save("future", SPAN(bytes));
    report.version = 2;
    report.cpuid_family = report.cpuid_model = report.cpuid_stepping = 0;
    snp_fixture_sign(&machine, &report, bytes);
    save("old", SPAN(bytes));
    struct buf text = {0};
    hex_encode(SPAN(bytes), (char *)buf_extend(&text, 2 * sizeof bytes + 1));
    text.data[text.size - 1] = '\n';
    save("hex", buf_span(&text));
    buf_clear(&text);
    base64_encode(SPAN(bytes), &text);
    save("base64", buf_span(&text));
    save("report.empty", (struct span){0});
    buf_deinit(&text);
}

static void save_list(const char *name, const struct snp_fixture_list *list) {
    struct buf der = {0};
    snp_fixture_make_list(&machine, list, &der);
    save(name, buf_span(&der));
    if (strcmp(name, "good.crl") == 0) {
        struct buf pem = {0};
        add_pem(&pem, &der, "X509 CRL");
        save("good.crl.pem", buf_span(&pem));
        buf_deinit(&pem);
    }
    buf_deinit(&der);
}

static void save_lists(void) {
    const int64_t from = SNP_FIXTURE_NOW - 86400;
    const int64_t to = SNP_FIXTURE_NOW + 86400;
    save_list("good.crl",
              &(struct snp_fixture_list){.this_update = from, .next_update = to, .number = 9});
    save_list("old.crl", &(struct snp_fixture_list){
                             .this_update = from - 86400, .next_update = from, .number = 7});
    save_list("foreign.crl", &(struct snp_fixture_list){.this_update = from,
                                                        .next_update = to,
                                                        .signer = machine.ask_key});
    save_list("revoked.crl", &(struct snp_fixture_list){.this_update = from,
                                                        .next_update = to,
                                                        .revoked = SNP_FIXTURE_ASK_SERIAL});
}

static void save_forms_of_endorsements(void) {
    struct buf bytes = {0};
    add_pem(&bytes, &machine.ark, "CERTIFICATE");
    add_pem(&bytes, &machine.ask, "CERTIFICATE");
    add_pem(&bytes, &machine.vcek, "CERTIFICATE");
    save("bundle.pem", buf_span(&bytes));
    buf_clear(&bytes);
    struct snp_certtable table = {.vcek = buf_span(&machine.vcek),
                                  .ask = buf_span(&machine.ask),
                                  .ark = buf_span(&machine.ark)};
    snp_certtable_encode(&table, &bytes);
    save("table", buf_span(&bytes));
    save("table.cut", span_of(bytes.data, bytes.size - 1));
    buf_clear(&bytes);
    buf_append_span(&bytes, buf_span(&machine.vcek));
    buf_append_u8(&bytes, 0);
    save("long.der", buf_span(&bytes));
    buf_deinit(&bytes);
}

static int make_files(void **state) {
    (void)state;
    struct buf chain = {0};
    assert_non_null(mkdtemp(folder));
    snp_fixture_init(&machine, SNP_MILAN);
    save_reports();
    save("vek.der", buf_span(&machine.vcek));
    save("ark.der", buf_span(&machine.ark));
    add_pem(&chain, &machine.ask, "CERTIFICATE");
    add_pem(&chain, &machine.ark, "CERTIFICATE");
    save("chain.pem", buf_span(&chain));
    save_manifest("good.json", '4', true);
    save_manifest("other.json", '5', true);
    save_manifest("genuine.json", '4', false);
    save_forms_of_reports();
    save_forms_of_endorsements();
    save_lists();
    buf_deinit(&chain);
    return 0;
}

static int drop_files(void **state) {
    static const char *const names[] = {
        "report",       "short",       "debug",        "vek.der",    "ark.der",     "chain.pem",
        "good.json",    "other.json",  "stderr",       "blob",       "blob.cut",    "future",
        "old",          "hex",         "base64",       "bundle.pem", "table",       "table.cut",
        "long.der",     "good.crl",    "good.crl.pem", "old.crl",    "foreign.crl", "revoked.crl",
        "report.empty", "genuine.json"};
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
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_verdict_document),
        cmocka_unit_test(test_error_document),
        cmocka_unit_test(test_manifest_judges),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_the_failing_check_is_named),
        cmocka_unit_test(test_forms_of_endorsements),
        cmocka_unit_test(test_forms_of_reports),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_show_of_every_form),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s PROGRAM\n", argv[0]);
        return 2;
    }
    setenv("CONTRAST_KDS_URL", "off", 1);
    program = argv[1];
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
