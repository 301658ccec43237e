/* Issuer against a host that lies: a thread plays the machine on a real Unix socket and answers
 * each request with the bytes of the test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/issuer.h"
#include "attest/snp_certtable.h"
#include "lib/base/limits.h"

#define KEY_INFO 0x48
#define REPORT_DATA 0x50

struct fixture {
    char folder[64];
    char spec[128];
    char *path; /* inside spec */
    int listener;
    pthread_t host;
    struct buf answer;                    /* what the host will say */
    uint8_t request[ISSUER_REQUEST_SIZE]; /* what it was asked */
    struct issuer *issuer;
    struct issuer_evidence evidence;
    struct err err;
    uint8_t data[ISSUER_DATA_SIZE];
};

static void *play_host(void *data) {
    struct fixture *f = data;
    int fd = accept(f->listener, NULL, NULL);
    CHECK(fd >= 0);
    CHECK(recv(fd, f->request, sizeof f->request, MSG_WAITALL) == (ssize_t)sizeof f->request);
    if (f->answer.size > 0) {
        /* The other end may have given up on the answer half-way. */
        ssize_t sent = send(fd, f->answer.data, f->answer.size, MSG_NOSIGNAL);
        CHECK(sent <= (ssize_t)f->answer.size);
    }
    close(fd);
    return NULL;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->folder, "/tmp/contrast-issuer-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->spec, sizeof f->spec, "unix:%s/s", f->folder);
    f->path = f->spec + strlen("unix:");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", f->path);
    f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(f->listener, 4), 0);
    assert_true(is_ok(issuer_open(f->spec, &f->issuer, &f->err)));
    memset(f->data, 0x5A, sizeof f->data);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    issuer_close(f->issuer);
    issuer_evidence_deinit(&f->evidence);
    buf_deinit(&f->answer);
    close(f->listener);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static struct result ask(struct fixture *f) {
    assert_int_equal(pthread_create(&f->host, NULL, play_host, f), 0);
    struct result r = issuer_report(f->issuer, f->data, &f->evidence, &f->err);
    assert_int_equal(pthread_join(f->host, NULL), 0);
    return r;
}

static void add_status(struct fixture *f, uint32_t status) {
    buf_append_str(&f->answer, ISSUER_ANSWER_MAGIC);
    buf_append_u32be(&f->answer, status);
}

static void add_block(struct fixture *f, struct span bytes) {
    buf_append_u32be(&f->answer, (uint32_t)bytes.size);
    buf_append_span(&f->answer, bytes);
}

/* An honest answer; key_info 4 = signed by a VLEK. */
static void add_answer(struct fixture *f, uint8_t key_info, const struct snp_certtable *table) {
    uint8_t report[LIMIT_SNP_REPORT] = {0};
    report[KEY_INFO] = key_info;
    memcpy(report + REPORT_DATA, f->data, sizeof f->data);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    snp_certtable_encode(table, &bytes);
    add_status(f, ISSUER_STATUS_OK);
    add_block(f, SPAN(report));
    add_block(f, buf_span(&bytes));
}

static const struct snp_certtable all = {.vcek = {(const uint8_t *)"vcek", 4},
                                         .vlek = {(const uint8_t *)"vlek", 4},
                                         .ask = {(const uint8_t *)"ask", 3},
                                         .ark = {(const uint8_t *)"ark", 3}};

static void test_report_and_certificates(void **state) {
    struct fixture *f = *state;
    add_answer(f, 0, &all);
    assert_true(is_ok(ask(f)));
    assert_memory_equal(f->request, "SNPR\0\0\0\1", 8);
    assert_memory_equal(f->request + 8, f->data, sizeof f->data);
    assert_int_equal(f->evidence.report.size, LIMIT_SNP_REPORT);
    assert_true(span_equal(buf_span(&f->evidence.vek), span_str("vcek")));
    assert_int_equal(f->evidence.chain_count, 2);
    assert_true(span_equal(buf_span(&f->evidence.chain[0]), span_str("ask")));
    assert_true(span_equal(buf_span(&f->evidence.chain[1]), span_str("ark")));
}

static void test_signing_key_chooses_the_certificate(void **state) {
    struct fixture *f = *state;
    add_answer(f, 4, &all);
    assert_true(is_ok(ask(f)));
    assert_true(span_equal(buf_span(&f->evidence.vek), span_str("vlek")));
}

static void test_host_without_certificates(void **state) {
    struct fixture *f = *state;
    struct snp_certtable none = {0};
    add_answer(f, 0, &none);
    assert_true(is_ok(ask(f)));
    assert_int_equal(f->evidence.vek.size, 0);
    assert_int_equal(f->evidence.chain_count, 0);
}

static void expect(struct fixture *f, enum err_code code, const char *text) {
    struct result r = ask(f);
    if (r.code != code || strstr(f->err.text, text) == NULL) {
        fail_msg("got %s '%s', want '%s'", err_name(r.code), f->err.text, text);
    }
    assert_int_equal(f->evidence.report.size, 0);
    assert_int_equal(f->evidence.chain_count, 0);
    buf_clear(&f->answer);
}

static void test_statuses(void **state) {
    struct fixture *f = *state;
    add_status(f, ISSUER_STATUS_BUSY);
    expect(f, ERR_BUSY, "throttles");
    add_status(f, ISSUER_STATUS_REFUSED);
    expect(f, ERR_UNAVAILABLE, "refused");
    add_status(f, 3);
    expect(f, ERR_MALFORMED, "unknown status 3");
}

static void test_garbage(void **state) {
    struct fixture *f = *state;
    buf_append_str(&f->answer, "HTTP/1.1 200 OK\r\n");
    expect(f, ERR_MALFORMED, "does not start with SNPA");
    add_status(f, ISSUER_STATUS_OK);
    buf_append_u32be(&f->answer, 0xFFFFFFFF);
    expect(f, ERR_TOO_LARGE, "the report has 4294967295 bytes, limit 1184");
    add_answer(f, 0, &all);
    store_u32be(f->answer.data + 8 + 4 + LIMIT_SNP_REPORT, LIMIT_SNP_CERTTABLE + 1);
    expect(f, ERR_TOO_LARGE, "the certificate table has 16385 bytes");
}

static void test_wrong_reports(void **state) {
    struct fixture *f = *state;
    uint8_t report[LIMIT_SNP_REPORT - 1] = {0};
    add_status(f, ISSUER_STATUS_OK);
    add_block(f, SPAN(report));
    add_block(f, span_of(NULL, 0));
    expect(f, ERR_MALFORMED, "has 1183 bytes, want 1184");
    add_answer(f, 0, &all);
    f->answer.data[8 + 4 + REPORT_DATA + 63] ^= 1;
    expect(f, ERR_MALFORMED, "not over the REPORT_DATA");
    add_answer(f, 0, &all);
    store_u32le(f->answer.data + 8 + 4 + LIMIT_SNP_REPORT + 4 + 16, 1);
    expect(f, ERR_MALFORMED, "certificate table: entry 0 (VCEK): offset 1");
}

static void test_every_prefix_is_an_error(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf whole = {0};
    add_answer(f, 0, &all);
    buf_append_span(&whole, buf_span(&f->answer));
    for (size_t n = 0; n < whole.size; n += n < 16 ? 1 : 97) {
        buf_clear(&f->answer);
        buf_append(&f->answer, whole.data, n);
        expect(f, ERR_UNAVAILABLE, "the host closed at byte");
    }
}

static void test_no_host(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    struct result r = issuer_report(f->issuer, f->data, &f->evidence, &f->err);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, f->path));
}

static void test_specs(void **state) {
    (void)state;
    struct issuer *issuer = NULL;
    struct err err;
    assert_int_equal(issuer_open("tcp:1.2.3.4", &issuer, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "known are: auto, configfs:[/DIR]"));
    assert_non_null(strstr(err.text, "sev-guest:[/PATH]"));
    assert_non_null(strstr(err.text, "unix:/PATH"));
    assert_int_equal(issuer_open("configfs:relative", &issuer, &err).code, ERR_CONFIG);
    assert_int_equal(issuer_open("sev-guest:relative", &issuer, &err).code, ERR_CONFIG);
    assert_int_equal(issuer_open("unix:relative", &issuer, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "absolute"));
    char spec[256] = "unix:/";
    memset(spec + strlen(spec), 'a', 120);
    assert_int_equal(issuer_open(spec, &issuer, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "121 bytes"));
    assert_null(issuer);
    issuer_close(NULL);
}

/* The first that works, and a list of what was looked for when none does. */
static void test_first_of_several(void **state) {
    struct fixture *f = *state;
    const char *const specs[] = {"configfs:/nonexistent/report", "sev-guest:/nonexistent/device",
                                 f->spec};
    struct issuer *issuer = NULL;
    struct result r = issuer_open_first(specs, 2, &issuer, &f->err);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, "no source of attestation reports"));
    assert_non_null(strstr(f->err.text, "/nonexistent/report: No such file or directory"));
    assert_non_null(strstr(f->err.text, "/nonexistent/device: No such file or directory"));
    assert_non_null(strstr(f->err.text, "CONTRAST_ISSUER=unix:/PATH"));
    assert_null(issuer);
    assert_true(is_ok(issuer_open_first(specs, 3, &issuer, &f->err)));
    issuer_close(f->issuer);
    f->issuer = issuer;
    add_answer(f, 0, &all);
    assert_true(is_ok(ask(f)));
}

/* On a machine that is no SEV-SNP guest "auto" names both of the kernel's; on one that is, it
 * opens. */
static void test_auto(void **state) {
    struct fixture *f = *state;
    struct issuer *issuer = NULL;
    struct result r = issuer_open(ISSUER_AUTO, &issuer, &f->err);
    if (is_ok(r)) {
        issuer_close(issuer);
        return;
    }
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(f->err.text, "/sys/kernel/config/tsm/report"));
    assert_non_null(strstr(f->err.text, "/dev/sev-guest"));
}

static const char *variable_issuer;
static const char *variable_socket;

static const char *get(const char *name) {
    return strcmp(name, "CONTRAST_ISSUER") == 0       ? variable_issuer
           : strcmp(name, "CONTRAST_SNP_SOCKET") == 0 ? variable_socket
                                                      : NULL;
}

static void expect_spec(const char *issuer, const char *socket, const char *want) {
    char spec[32] = "untouched";
    struct err err;
    variable_issuer = issuer;
    variable_socket = socket;
    struct result r = issuer_spec_read(get, spec, sizeof spec, &err);
    assert_string_equal(spec, want == NULL ? "untouched" : want);
    assert_int_equal(r.code, want == NULL ? ERR_CONFIG : ERR_OK);
    if (want == NULL) {
        assert_non_null(
            strstr(err.text, issuer != NULL ? "CONTRAST_ISSUER" : "CONTRAST_SNP_SOCKET"));
    }
}

static void test_spec_of_the_environment(void **state) {
    (void)state;
    expect_spec(NULL, NULL, "auto");
    expect_spec("sev-guest:", NULL, "sev-guest:");
    expect_spec(NULL, "/run/snp.sock", "unix:/run/snp.sock");
    expect_spec("unix:/a", "/b", "unix:/a");
    expect_spec(NULL, "/2345678901234567890123456", "unix:/2345678901234567890123456");
    expect_spec(NULL, "/23456789012345678901234567", NULL);
    expect_spec(NULL, "", NULL);
    expect_spec(NULL, "relative", NULL);
    expect_spec("", "/b", NULL);
    expect_spec("unix:/45678901234567890123456789012", NULL, NULL);
}

#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HOST(test_report_and_certificates),
        WITH_HOST(test_signing_key_chooses_the_certificate),
        WITH_HOST(test_host_without_certificates),
        WITH_HOST(test_statuses),
        WITH_HOST(test_garbage),
        WITH_HOST(test_wrong_reports),
        WITH_HOST(test_every_prefix_is_an_error),
        WITH_HOST(test_no_host),
        WITH_HOST(test_first_of_several),
        WITH_HOST(test_auto),
        cmocka_unit_test(test_spec_of_the_environment),
        cmocka_unit_test(test_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
