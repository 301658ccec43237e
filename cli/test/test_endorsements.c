/* `contrast evidence verify` without --vek: from the workspace, from a key service on loopback that
 * is good, throttles, is down, hangs or lies, and not at all for a report that is false anyway. The
 * program's path is the first argument.
 *
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
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "attest/endorse/test/kds_process.h"
#include "attest/snp_product.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"

#define COMMAND_SIZE 4096
#define AT " --at 1767225600"
#define VERIFY "evidence verify --chain ask --trust-root ark" AT

static const char *program;
static struct snp_fixture machine;
static struct kds_process server;
static char folder[] = "/tmp/test_endorsements_XXXXXX";

static void shell(const char *command) {
    char line[COMMAND_SIZE];
    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    assert_int_equal(system(line), 0); // NOLINT(cert-env33-c): a fixed command of a test
}

/* Runs the program in the folder with this key service; its standard output, then the rest. */
static int run(const char *mode, const char *arguments, struct buf *output) {
    char command[COMMAND_SIZE];
    char chunk[4096];
    const char *url = strcmp(mode, "off") == 0 ? "off" : kds_process_base(&server, mode);
    assert_true((size_t)snprintf(command, sizeof command,
                                 "cd %s && CONTRAST_KDS_URL=%s %s %s 2>stderr; s=$?; echo; cat "
                                 "stderr; exit $s",
                                 folder, url, program, arguments) < sizeof command);
    FILE *pipe = popen(command, "r"); // NOLINT(cert-env33-c): a fixed command of a test
    assert_non_null(pipe);
    buf_clear(output);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(output, chunk, n);
    }
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *mode, const char *arguments, int exit_code, const char *text) {
    AUTO(buf_deinit)
    struct buf output = {0};
    int actual = run(mode, arguments, &output);
    if (actual != exit_code || strstr(buf_cstr(&output), text) == NULL) {
        fail_msg("%s: contrast %s: want exit %d and '%s', have exit %d:\n%s", mode, arguments,
                 exit_code, text, actual, buf_cstr(&output));
    }
}

/* ---- found ---- */

static void kept_path(char out[512]) {
    char chip[129];
    char tcb[17];
    uint8_t raw[8];
    hex_encode(span_of(machine.chip_id, 64), chip);
    snp_tcb_encode(machine.product, &machine.tcb, raw);
    hex_encode(SPAN(raw), tcb);
    snprintf(out, 512, "%s/endorsements/Milan-%s-%s.der", folder, chip, tcb);
}

static void test_asked_once_then_kept(void **state) {
    (void)state;
    char path[512];
    struct stat st;
    kept_path(path);
    expect("good", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    unsigned asked = kds_process_count(&server, "good");
    assert_true(asked > 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    expect("good", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    assert_int_equal(kds_process_count(&server, "good"), asked);
    expect("off", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    expect("down", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    /* What is damaged is not believed, and asked for again. */
    assert_true(is_ok(file_write(path, span_str("damaged"), 0644, NULL)));
    expect("off", VERIFY " --report good.bin", 1, "SNP-VEK-MISSING");
    expect("good", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    assert_true(kds_process_count(&server, "good") > asked);
    shell("rm -r endorsements");
}

static void test_from_a_file_of_any_name(void **state) {
    (void)state;
    shell("mkdir endorsements && cp vek endorsements/from-the-vendor.crt");
    expect("off", VERIFY " --report good.bin", 0, "accepted (SIMULATED");
    shell("rm -r endorsements");
    shell("mkdir elsewhere elsewhere/endorsements && cp vek elsewhere/endorsements/x");
    expect("off", VERIFY " --report good.bin --workspace elsewhere", 0, "accepted (SIMULATED");
    shell("rm -r elsewhere");
}

static void test_a_read_only_workspace(void **state) {
    (void)state;
    shell("echo x > file");
    expect("good", VERIFY " --report good.bin --workspace file", 0, "accepted (SIMULATED");
    expect("good", VERIFY " --report good.bin --workspace file", 0, "is not kept");
    shell("rm file");
}

/* ---- not found ---- */

static void test_what_the_service_answers(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        const char *text;
    } rows[] = {
        {"off", "SNP-VEK-MISSING"},
        {"throttle", "SNP-KDS-BUSY: VCEK"},
        {"throttle", "ask again in 7 s"},
        {"down", "SNP-KDS-UNAVAILABLE: VCEK"},
        {"down", "answered 500"},
        {"reset", "SNP-KDS-UNAVAILABLE: VCEK"},
        {"truncated", "SNP-KDS-UNAVAILABLE: VCEK"},
        {"missing", "SNP-KDS-UNKNOWN-CHIP: VCEK"},
        {"missing", "/vcek/v1/Milan/c1c1c1c1"},
        {"garbage", "SNP-KDS-ANSWER: VCEK"},
        {"redirect", "redirects are not followed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect(rows[i].mode, VERIFY " --report good.bin", 1, rows[i].text);
    }
    expect("any", VERIFY " --report other.bin", 1, "SNP-KDS-ANSWER: VCEK");
    expect("any", VERIFY " --report other.bin", 1, "SNP-CHIP-ID");
}

static void test_the_verdict_document(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf output = {0};
    assert_int_equal(run("throttle", VERIFY " --report good.bin --output json", &output), 1);
    json_t *document = json_loads(buf_cstr(&output), JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "verdict")), "unverifiable");
    assert_string_equal(json_string_value(json_object_get(document, "code")), "SNP-KDS-BUSY");
    assert_non_null(strstr(json_string_value(json_object_get(document, "actual")), "in 7 s"));
    assert_non_null(strstr(json_string_value(json_object_get(document, "remedy")), "--vek"));
    json_decref(document);
}

/* Whoever forges reports must not make us ask for them. */
static void test_a_false_report_is_not_asked_for(void **state) {
    (void)state;
    expect("forbidden", VERIFY " --report debug.bin", 3, "SNP-POLICY-DEBUG");
    assert_int_equal(kds_process_count(&server, "forbidden"), 0);
    expect("forbidden", VERIFY " --report good.bin", 1, "answered 403");
    assert_int_equal(kds_process_count(&server, "forbidden"), 1);
}

/* Version 2 does not say what it comes from: Milan is asked for first, then Genoa. */
static void test_version_2_asks_for_both(void **state) {
    (void)state;
    unsigned before = kds_process_count(&server, "missing");
    expect("missing", VERIFY " --report v2.bin", 1, "/vcek/v1/Genoa/c1c1c1c1");
    assert_int_equal(kds_process_count(&server, "missing"), before + 2);
    expect("good", VERIFY " --report v2.bin", 0, "accepted (SIMULATED");
    shell("rm -r endorsements");
}

static void test_bad_settings(void **state) {
    (void)state;
    setenv("CONTRAST_KDS_CA_FILE", "/nonexistent.pem", 1);
    expect("good", VERIFY " --report good.bin", 2, "/nonexistent.pem");
    unsetenv("CONTRAST_KDS_CA_FILE");
    expect("good?x=", VERIFY " --report good.bin", 2, "CONTRAST_KDS_URL");
}

/* ---- set-up ---- */

static void put(const char *name, struct span bytes) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(is_ok(file_write(path, bytes, 0600, NULL)));
}

static void put_report(const char *name, void (*change)(struct snp_report *report)) {
    static const uint8_t data[64] = {1};
    struct snp_report report;
    uint8_t bytes[SNP_REPORT_SIZE];
    snp_fixture_fill(&machine, data, data, &report);
    if (change != NULL) {
        change(&report);
    }
    snp_fixture_sign(&machine, &report, bytes);
    put(name, SPAN(bytes));
}

static void set_debug(struct snp_report *report) {
    report->policy |= SNP_POLICY_DEBUG;
}

static void set_chip(struct snp_report *report) {
    report->chip_id[0] ^= 1;
}

static void set_version_2(struct snp_report *report) {
    report->version = 2;
    report->cpuid_family = 0;
    report->cpuid_model = 0;
    report->cpuid_stepping = 0;
}

static int set_up(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    snp_fixture_init(&machine, SNP_MILAN);
    kds_process_start(&server, false);
    kds_process_put_machine(&server, &machine, NULL);
    put("vek", buf_span(&machine.vcek));
    put("ask", buf_span(&machine.ask));
    put("ark", buf_span(&machine.ark));
    put_report("good.bin", NULL);
    put_report("debug.bin", set_debug);
    put_report("other.bin", set_chip);
    put_report("v2.bin", set_version_2);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    shell("rm -f vek ask ark good.bin debug.bin other.bin v2.bin stderr");
    kds_process_stop(&server);
    snp_fixture_deinit(&machine);
    return rmdir(folder);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked_once_then_kept),
        cmocka_unit_test(test_from_a_file_of_any_name),
        cmocka_unit_test(test_a_read_only_workspace),
        cmocka_unit_test(test_what_the_service_answers),
        cmocka_unit_test(test_the_verdict_document),
        cmocka_unit_test(test_a_false_report_is_not_asked_for),
        cmocka_unit_test(test_version_2_asks_for_both),
        cmocka_unit_test(test_bad_settings),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: test_endorsements PROGRAM\n");
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
