/* Issuer driver of configfs-tsm against the kernel's interface, played over FUSE (tsm_fuse.h): one
 * mount for all tests, each with a script of its own. Whatever happens, no entry may stay behind.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/snp_verify.h"
#include "attest/test/tsm_fuse.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define SKIPPED 77

static struct snp_fixture machine;
static struct tsm_fuse tsm;

struct tsm_world {
    struct tsm_fuse_script *script;
    struct tsm_fuse_seen *seen;
    char spec[128];
    struct issuer *issuer;
    struct issuer_evidence evidence;
    struct err err;
    uint8_t data[ISSUER_DATA_SIZE];
    char warnings[2048];
};

static void on_log(void *data, enum log_level level, const char *line) {
    struct tsm_world *w = data;
    if (level >= LOG_INFO) {
        size_t used = strlen(w->warnings);
        snprintf(w->warnings + used, sizeof w->warnings - used, "%s\n", line);
    }
}

static int set_up(void **state) {
    struct tsm_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->script = &tsm.shared->script;
    w->seen = &tsm.shared->seen;
    *w->script = (struct tsm_fuse_script){.provider = "sev_guest", .floor = "0"};
    *w->seen = (struct tsm_fuse_seen){0};
    snprintf(w->spec, sizeof w->spec, "configfs:%s", tsm.dir);
    memset(w->data, 0x3C, sizeof w->data);
    log_set_sink(on_log, w);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct tsm_world *w = *state;
    issuer_close(w->issuer);
    issuer_evidence_deinit(&w->evidence);
    assert_int_equal(w->seen->entries, 0);
    log_set_sink(NULL, NULL);
    free(w);
    return 0;
}

static void set_text(char out[TSM_FUSE_TEXT], const char *text) {
    snprintf(out, TSM_FUSE_TEXT, "%s", text);
}

static void open_issuer(struct tsm_world *w) {
    struct result r = issuer_open(w->spec, &w->issuer, &w->err);
    if (!is_ok(r)) {
        fail_msg("%s: %s", err_name(r.code), w->err.text);
    }
    *w->seen = (struct tsm_fuse_seen){0}; /* what opening it took is not counted */
}

static void expect_closed(struct tsm_world *w, enum err_code code, const char *text) {
    struct result r = issuer_open(w->spec, &w->issuer, &w->err);
    if (r.code != code || strstr(w->err.text, text) == NULL) {
        fail_msg("got %s '%s', want %s '%s'", err_name(r.code), w->err.text, err_name(code), text);
    }
    assert_null(w->issuer);
    assert_int_equal(w->seen->entries, 0);
}

static void expect_report(struct tsm_world *w) {
    issuer_evidence_deinit(&w->evidence);
    w->evidence = (struct issuer_evidence){0};
    struct result r = issuer_report(w->issuer, w->data, &w->evidence, &w->err);
    if (!is_ok(r)) {
        fail_msg("%s: %s", err_name(r.code), w->err.text);
    }
    assert_int_equal(w->evidence.report.size, LIMIT_SNP_REPORT);
    assert_int_equal(w->seen->entries, 0);
    assert_int_equal(w->seen->mkdirs, w->seen->rmdirs);
}

static void expect_error(struct tsm_world *w, enum err_code code, const char *text) {
    struct result r = issuer_report(w->issuer, w->data, &w->evidence, &w->err);
    if (r.code != code || strstr(w->err.text, text) == NULL) {
        fail_msg("got %s '%s', want %s '%s'", err_name(r.code), w->err.text, err_name(code), text);
    }
    assert_int_equal(w->evidence.report.size, 0);
    assert_int_equal(w->seen->entries, 0);
    assert_int_equal(w->seen->mkdirs, w->seen->rmdirs);
}

/* --- What a verifier gets */

static void test_a_verifier_accepts_it(void **state) {
    struct tsm_world *w = *state;
    struct snp_report report;
    struct verdict verdict;
    open_issuer(w);
    expect_report(w);
    struct snp_evidence evidence = {.report = buf_span(&w->evidence.report),
                                    .vek = buf_span(&w->evidence.vek),
                                    .chain_count = w->evidence.chain_count};
    for (size_t i = 0; i < evidence.chain_count; i++) {
        evidence.chain[i] = buf_span(&w->evidence.chain[i]);
    }
    struct snp_options options = {.references = &machine.reference,
                                  .reference_count = 1,
                                  .extra_roots = (const uint8_t(*)[32])machine.root_digest,
                                  .extra_root_count = 1,
                                  .report_data = w->data,
                                  .at = SNP_FIXTURE_NOW};
    struct result r = snp_verify(&evidence, &options, &report, &verdict, &w->err);
    if (!is_ok(r)) {
        fail_msg("%s", w->err.text);
    }
    assert_int_equal(w->seen->reports, 1);
    assert_int_equal(w->seen->levels, 1);
    assert_int_equal(w->seen->privlevel, 0);
}

static void test_each_report_is_over_its_own_data(void **state) {
    struct tsm_world *w = *state;
    char first[256];
    open_issuer(w);
    expect_report(w);
    memcpy(first, w->seen->name, sizeof first);
    w->data[63] ^= 1;
    expect_report(w);
    assert_int_equal(w->seen->reports, 2);
    assert_string_not_equal(w->seen->name, first);
    assert_int_equal(strncmp(first, "contrast-", 9), 0);
}

static void test_short_reads(void **state) {
    struct tsm_world *w = *state;
    w->script->read_most = 7;
    open_issuer(w);
    expect_report(w);
    assert_int_equal(w->evidence.chain_count, 2);
}

static void test_hosts_without_certificates(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->auxblob_error = ENODATA;
    expect_report(w);
    assert_int_equal(w->evidence.vek.size, 0);
    w->script->auxblob_error = 0;
    w->script->has_no_auxblob = true;
    expect_report(w);
    assert_int_equal(w->evidence.vek.size, 0);
}

/* --- Privilege levels */

static void test_a_kernel_without_privlevel(void **state) {
    struct tsm_world *w = *state;
    w->script->has_no_privlevel = true;
    w->script->floor[0] = 0;
    open_issuer(w);
    expect_report(w);
    assert_int_equal(w->seen->levels, 0);
}

static void test_a_guest_below_vmpl_0(void **state) {
    struct tsm_world *w = *state;
    set_text(w->script->floor, "2");
    open_issuer(w);
    assert_non_null(strstr(w->warnings, "below VMPL 0"));
    assert_non_null(strstr(w->warnings, "must say so"));
    expect_report(w);
    assert_int_equal(w->seen->privlevel, 2);
}

static void test_impossible_floors(void **state) {
    static const char *const floors[] = {
        "4", "-1", "x", "0x0", " 0", "1 2", "99999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof floors / sizeof floors[0]; i++) {
        struct tsm_world *w = *state;
        set_text(w->script->floor, floors[i]);
        expect_closed(w, ERR_MALFORMED, "privlevel_floor: want 0 to 3, got");
    }
}

static void test_a_level_that_is_refused(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->privlevel_error = EINVAL;
    expect_error(w, ERR_UNAVAILABLE, "privlevel: Invalid argument");
}

/* --- Other writers */

static void test_a_busy_kernel_is_asked_again(void **state) {
    static const int busy[] = {EBUSY, EWOULDBLOCK};
    struct tsm_world *w = *state;
    open_issuer(w);
    for (size_t i = 0; i < 2; i++) {
        w->script->outblob_error = busy[i];
        w->script->outblob_errors = LIMIT_ISSUER_TRIES - 1;
        expect_report(w);
        assert_int_equal(w->script->outblob_errors, 0);
    }
}

static void test_a_busy_kernel_is_given_up(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->outblob_error = EBUSY;
    w->script->outblob_errors = 100;
    expect_error(w, ERR_BUSY, "outblob: Device or resource busy");
    assert_int_equal(w->seen->mkdirs, LIMIT_ISSUER_TRIES);
}

/* The kernel has asked a throttling host for a minute by then: no more from us, now. */
static void test_a_throttled_host_is_not_asked_again(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->outblob_error = ETIMEDOUT;
    w->script->outblob_errors = 1;
    expect_error(w, ERR_BUSY, "outblob: Connection timed out");
    assert_int_equal(w->seen->mkdirs, 1);
}

/* The report that comes with it is over other data, and is never looked at. */
static void test_another_writer(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->foreign_writes = 2;
    expect_report(w);
    assert_int_equal(w->seen->reports, 3);
    w->script->foreign_writes = 100;
    issuer_evidence_deinit(&w->evidence);
    w->evidence = (struct issuer_evidence){0};
    expect_error(w, ERR_BUSY, "somebody else writes to contrast-");
}

/* inblob is taken when it is closed, and nobody hears that it was not. */
static void test_an_inblob_that_is_not_taken(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->inblobs_dropped = 1;
    expect_error(w, ERR_UNAVAILABLE, "outblob: Invalid argument");
    expect_report(w);
}

static void test_generations_that_are_no_numbers(void **state) {
    static const char *const texts[] = {
        "\n", "x\n", "-1\n", "1 \n", "0x1\n", "18446744073709551616\n", "1\n1\n"};
    struct tsm_world *w = *state;
    open_issuer(w);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        set_text(w->script->generation, texts[i]);
        expect_error(w, ERR_MALFORMED, "generation: want a decimal number");
    }
    set_text(w->script->generation, "7\n"); /* it never counts */
    expect_error(w, ERR_BUSY, "generation went from 7 to 7, our own writes are 2");
}

/* --- Hostile and broken hosts */

static void test_sizes(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->outblob_size = LIMIT_SNP_REPORT + 1;
    expect_error(w, ERR_TOO_LARGE, "outblob: more than 1184 bytes");
    w->script->outblob_size = 1 << 20;
    expect_error(w, ERR_TOO_LARGE, "outblob: more than 1184 bytes");
    w->script->outblob_size = LIMIT_SNP_REPORT - 1;
    expect_error(w, ERR_MALFORMED, "has 1183 bytes, want 1184");
    w->script->outblob_size = 0;
    w->script->auxblob_size = LIMIT_SNP_CERTTABLE + 1;
    expect_error(w, ERR_TOO_LARGE, "auxblob: more than 16384 bytes");
    w->script->auxblob_size = LIMIT_SNP_CERTTABLE;
    expect_report(w);
}

static void test_errors_are_named(void **state) {
    struct tsm_world *w = *state;
    open_issuer(w);
    w->script->outblob_error = EIO;
    w->script->outblob_errors = 1;
    expect_error(w, ERR_UNAVAILABLE, "outblob: Input/output error");
    w->script->auxblob_error = EIO;
    expect_error(w, ERR_UNAVAILABLE, "auxblob: Input/output error");
    w->script->mkdir_error = ENOSPC;
    expect_error(w, ERR_UNAVAILABLE, "mkdir: No space left on device");
}

static void test_lost_for_ever(void **state) {
    static const int errors[] = {ENOTTY, ENODEV};
    struct tsm_world *w = *state;
    for (size_t i = 0; i < 2; i++) {
        open_issuer(w);
        w->script->outblob_error = errors[i];
        w->script->outblob_errors = 1;
        expect_error(w, ERR_LOST, ISSUER_LOST_TEXT);
        unsigned before = w->seen->mkdirs;
        expect_error(w, ERR_LOST, "restart the pod");
        assert_int_equal(w->seen->mkdirs, before); /* at once */
        issuer_close(w->issuer);
        w->issuer = NULL;
    }
}

/* --- What is there */

static bool is_there(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

static void test_other_providers(void **state) {
    struct tsm_world *w = *state;
    set_text(w->script->provider, "tdx_guest");
    expect_closed(w, ERR_UNAVAILABLE, "the provider is 'tdx_guest', want 'sev_guest'");
    set_text(w->script->provider, "sev_guest2");
    expect_closed(w, ERR_UNAVAILABLE, "the provider is 'sev_guest2'");
    set_text(w->script->provider, "sev");
    expect_closed(w, ERR_UNAVAILABLE, "the provider is 'sev'");
    w->script->provider_error = EIO;
    expect_closed(w, ERR_UNAVAILABLE, "provider: Input/output error");
}

static void test_no_provider(void **state) {
    struct tsm_world *w = *state;
    w->script->mkdir_error = ENXIO;
    expect_closed(w, ERR_UNAVAILABLE, "the kernel has no provider of reports");
    w->script->mkdir_error = EACCES;
    expect_closed(w, ERR_UNAVAILABLE, "mkdir: Permission denied");
}

static void test_automatic_choice(void **state) {
    struct tsm_world *w = *state;
    const char *const specs[] = {w->spec, "sev-guest:/dev/null"};
    assert_true(is_ok(issuer_open_first(specs, 2, &w->issuer, &w->err)));
    assert_non_null(strstr(w->warnings, "attestation reports come from configfs:"));
    expect_report(w);
    issuer_close(w->issuer);
    w->issuer = NULL;
    set_text(w->script->provider, "tdx_guest");
    assert_true(is_ok(issuer_open_first(specs, 2, &w->issuer, &w->err)));
    assert_non_null(strstr(w->warnings, "attestation reports come from sev-guest:/dev/null"));
    assert_int_equal(issuer_open_first(specs, 1, &w->issuer, &w->err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(w->err.text, "tdx_guest"));
}

/* configfs-tsm derives no keys: the text names the device that does. */
static void test_keys_need_the_device(void **state) {
    struct tsm_world *w = *state;
    struct issuer_key_spec spec = {.fields = ISSUER_FIELD_MEASUREMENT};
    if (is_there("/dev/sev-guest")) {
        skip(); /* it would ask the real one */
    }
    open_issuer(w);
    struct secret *key = secret_new(ISSUER_KEY_SIZE);
    struct result r = issuer_derive_key(w->issuer, &spec, key, &w->err);
    secret_free(key);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(w->err.text, "configfs: derives no keys"));
    assert_non_null(strstr(w->err.text, "/dev/sev-guest: No such file or directory"));
    expect_report(w); /* reports go on */
}

/* --- Entries of ended processes */

static void make_entry(const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", tsm.dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static unsigned long long own_namespace(void) {
    struct stat s;
    assert_int_equal(stat("/proc/self/ns/pid", &s), 0);
    return (unsigned long long)s.st_ino;
}

/* The id of a process that is no more. */
static int ended_pid(void) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return (int)pid;
}

/* Ours: of an ended process, and of a process whose number another one has by now. */
static void test_stale_entries_are_removed(void **state) {
    struct tsm_world *w = *state;
    char name[256];
    char ended[512];
    char reused[512];
    snprintf(name, sizeof name, "contrast-%llu-%d-123-0", own_namespace(), ended_pid());
    make_entry(name, ended);
    snprintf(name, sizeof name, "contrast-%llu-%d-1-0", own_namespace(), (int)getpid());
    make_entry(name, reused);
    open_issuer(w);
    assert_false(is_there(ended));
    assert_false(is_there(reused));
    assert_non_null(strstr(w->warnings, "which an ended process left"));
    w->seen->entries = 0;
}

/* Not ours, or nobody can tell. */
static void test_other_entries_are_left_alone(void **state) {
    struct tsm_world *w = *state;
    char names[8][256];
    char paths[8][512];
    unsigned long long own = own_namespace();
    int pid = ended_pid();
    snprintf(names[0], 256, "contrast-%llu-%d-123-0", own + 1, pid); /* another namespace */
    snprintf(names[1], 256, "contrast-%llu-%d-123", own, pid);
    snprintf(names[2], 256, "contrast-%llu-%d-123-0-0", own, pid);
    snprintf(names[3], 256, "contrast-%llu-%d-123-", own, pid);
    snprintf(names[4], 256, "contrast-%llu-+%d-123-0", own, pid);
    snprintf(names[5], 256, "contrast-%llu-0-123-0", own);
    snprintf(names[6], 256, "contrast-%llu-99999999999999999999-123-0", own);
    snprintf(names[7], 256, "report0");
    for (size_t i = 0; i < 8; i++) {
        make_entry(names[i], paths[i]);
    }
    open_issuer(w);
    for (size_t i = 0; i < 8; i++) {
        assert_true(is_there(paths[i]));
        assert_int_equal(rmdir(paths[i]), 0);
    }
    w->seen->entries = 0;
}

/* An entry that is in use, by us: a second issuer of the same process does not take it away. */
static void test_entries_in_use_are_left_alone(void **state) {
    struct tsm_world *w = *state;
    char path[512];
    open_issuer(w);
    expect_report(w);
    issuer_evidence_deinit(&w->evidence);
    w->evidence = (struct issuer_evidence){0};
    make_entry(w->seen->name, path);
    struct issuer *second = NULL;
    assert_true(is_ok(issuer_open(w->spec, &second, &w->err)));
    assert_true(is_there(path));
    assert_true(is_ok(issuer_report(second, w->data, &w->evidence, &w->err)));
    issuer_close(second);
    assert_int_equal(rmdir(path), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int run(void) {
    const struct CMUnitTest tests[] = {
        T(test_a_verifier_accepts_it),
        T(test_each_report_is_over_its_own_data),
        T(test_short_reads),
        T(test_hosts_without_certificates),
        T(test_a_kernel_without_privlevel),
        T(test_a_guest_below_vmpl_0),
        T(test_impossible_floors),
        T(test_a_level_that_is_refused),
        T(test_a_busy_kernel_is_asked_again),
        T(test_a_busy_kernel_is_given_up),
        T(test_a_throttled_host_is_not_asked_again),
        T(test_another_writer),
        T(test_an_inblob_that_is_not_taken),
        T(test_generations_that_are_no_numbers),
        T(test_sizes),
        T(test_errors_are_named),
        T(test_lost_for_ever),
        T(test_other_providers),
        T(test_no_provider),
        T(test_automatic_choice),
        T(test_keys_need_the_device),
        T(test_stale_entries_are_removed),
        T(test_other_entries_are_left_alone),
        T(test_entries_in_use_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    const char *why = "";
    const char *ci = getenv("CI");
    snp_fixture_init(&machine, SNP_GENOA);
    if (!tsm_fuse_start(&tsm, &machine, &why)) {
        bool must = ci != NULL && strcmp(ci, "true") == 0;
        fprintf(stderr, "issuer_tsm: %s: %s\n", must ? "FAILED" : "skipped", why);
        snp_fixture_deinit(&machine);
        return must ? 1 : SKIPPED;
    }
    int failed = run();
    tsm_fuse_stop(&tsm);
    snp_fixture_deinit(&machine);
    return failed;
}
