/* The key service's client against a service on loopback that is good, throttles, hangs, lies and
 * truncates.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "attest/endorse/kds.h"
#include "attest/endorse/test/kds_process.h"
#include "attest/snp_product.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"

#define IMPATIENT_MS 300 /* where the server hangs */
#define PATH_SIZE 512

static struct kds_process server;
static struct snp_fixture machine;
static struct snp_endorsement_key machine_key;
static int64_t clock_s = SNP_FIXTURE_NOW;

static uint64_t test_monotonic_ms(void *data) {
    (void)data;
    return host_monotonic_ms(&host_system);
}

static int64_t test_unix_s(void *data) {
    (void)data;
    return clock_s;
}

static void test_random(void *data, void *out, size_t size) {
    (void)data;
    host_random(&host_system, out, size);
}

static const struct host host = {NULL, test_monotonic_ms, test_unix_s, test_random};

static struct kds *open_base(const char *base, uint64_t total_ms) {
    const struct kds_config config = {.base = base,
                                      .extra_roots = (const uint8_t(*)[32])machine.root_digest,
                                      .extra_root_count = 1,
                                      .total_ms = total_ms,
                                      .host = &host};
    struct kds *k = NULL;
    struct err err = {0};
    if (!is_ok(kds_open(&config, &k, &err))) {
        fail_msg("%s", err.text);
    }
    return k;
}

static struct kds *open_mode(const char *mode) {
    return open_base(kds_process_base(&server, mode), 0);
}

/* ---- good ---- */

static void test_a_certificate(void **state) {
    (void)state;
    struct kds *k = open_mode("good");
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    uint64_t retry_ms = 9;
    unsigned before = kds_process_count(&server, "good");
    if (!is_ok(kds_fetch_vek(k, &machine_key, &der, &retry_ms, &err))) {
        fail_msg("%s", err.text);
    }
    assert_true(span_equal(buf_span(&der), buf_span(&machine.vcek)));
    assert_int_equal(retry_ms, 0);
    /* The simulated machine's chain is asked for, once. */
    assert_true(is_ok(kds_fetch_vek(k, &machine_key, &der, NULL, &err)));
    assert_int_equal(der.size, 2 * machine.vcek.size);
    assert_int_equal(kds_process_count(&server, "good"), before + 3);
    kds_close(k);
}

static void test_a_chain(void **state) {
    (void)state;
    struct kds *k = open_mode("good");
    struct kds_chain chain = {0};
    struct err err = {0};
    assert_true(is_ok(kds_fetch_chain(k, machine.product, SNP_KEY_VCEK, &chain, NULL, &err)));
    assert_int_equal(chain.count, 2);
    assert_true(span_equal(buf_span(&chain.items[0]), buf_span(&machine.ask)));
    assert_true(span_equal(buf_span(&chain.items[1]), buf_span(&machine.ark)));
    kds_chain_deinit(&chain);
    assert_int_equal(kds_fetch_chain(k, SNP_MILAN, SNP_KEY_VLEK, &chain, NULL, &err).code,
                     ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "AMD has this for every product"));
    assert_null(strstr(err.text, "CHIP_ID"));
    kds_close(k);
}

/* ---- what goes wrong ---- */

struct trouble {
    const char *mode;
    enum err_code code;
    uint64_t total_ms;
    uint64_t least_retry_ms;
    uint64_t most_retry_ms;
    const char *says;
};

static const struct trouble TROUBLES[] = {
    {"throttle", ERR_BUSY, 0, 7000, 7000, "ask again in 7 s"},
    {"throttle-date", ERR_BUSY, 0, 1000, 600000, "answered 503, it throttles"},
    {"throttle-words", ERR_BUSY, 0, 10000, 10000, "answered 429"},
    {"down", ERR_UNAVAILABLE, 0, 0, 0, "answered 500"},
    {"gone", ERR_UNAVAILABLE, 0, 0, 0, "answered 503"},
    {"missing", ERR_NOT_FOUND, 0, 0, 0, "AMD knows no such chip or TCB"},
    {"forbidden", ERR_MALFORMED, 0, 0, 0, "answered 403"},
    {"hang", ERR_UNAVAILABLE, IMPATIENT_MS, 0, 0, "no answer; try later"},
    {"hang-body", ERR_UNAVAILABLE, IMPATIENT_MS, 0, 0, "no answer; try later"},
    {"drip", ERR_UNAVAILABLE, IMPATIENT_MS, 0, 0, "no answer; try later"},
    {"truncated", ERR_UNAVAILABLE, 0, 0, 0, "no answer; try later"},
    {"reset", ERR_UNAVAILABLE, 0, 0, 0, "no answer; try later"},
    {"short-length", ERR_DENIED, 0, 0, 0, "SNP-CERT-FORMAT"},
    {"endless", ERR_MALFORMED, 0, 0, 0, "more than 4096 bytes"},
    {"headers", ERR_MALFORMED, 0, 0, 0, "bytes of headers"},
    {"noise", ERR_MALFORMED, 0, 0, 0, "http://127.0.0.1:"},
    {"garbage", ERR_DENIED, 0, 0, 0, "SNP-CERT-FORMAT"},
    {"empty", ERR_DENIED, 0, 0, 0, "SNP-CERT-FORMAT"},
    {"html", ERR_DENIED, 0, 0, 0, "SNP-CERT-FORMAT"},
    {"redirect", ERR_MALFORMED, 0, 0, 0, "redirects are not followed"},
};

static void test_troubles(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof TROUBLES / sizeof TROUBLES[0]; i++) {
        const struct trouble *t = &TROUBLES[i];
        struct kds *k = open_base(kds_process_base(&server, t->mode), t->total_ms);
        AUTO(buf_deinit)
        struct buf der = {0};
        struct err err = {0};
        uint64_t retry_ms = 1;
        clock_s =
            strcmp(t->mode, "throttle-date") == 0 ? host_unix_s(&host_system) : SNP_FIXTURE_NOW;
        struct result r = kds_fetch_vek(k, &machine_key, &der, &retry_ms, &err);
        if (r.code != t->code || strstr(err.text, t->says) == NULL ||
            strstr(err.text, "http://127.0.0.1:") == NULL || retry_ms < t->least_retry_ms ||
            retry_ms > t->most_retry_ms || der.size != 0) {
            fail_msg("%s: %s, retry in %llu ms: %s", t->mode, err_name(r.code),
                     (unsigned long long)retry_ms, err.text);
        }
        kds_close(k);
    }
    clock_s = SNP_FIXTURE_NOW;
}

/* What a liar sent behind its answer is not the next answer. */
static void test_answers_do_not_mix(void **state) {
    (void)state;
    struct kds *k = open_mode("short-length");
    for (int i = 0; i < 3; i++) {
        AUTO(buf_deinit)
        struct buf der = {0};
        struct err err = {0};
        assert_int_equal(kds_fetch_vek(k, &machine_key, &der, NULL, &err).code, ERR_DENIED);
        assert_non_null(strstr(err.text, "SNP-CERT-FORMAT"));
    }
    kds_close(k);
}

static void test_nobody_listens(void **state) {
    (void)state;
    struct kds *k = open_base("http://127.0.0.1:1", 0);
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    assert_int_equal(kds_fetch_vek(k, &machine_key, &der, NULL, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1/vcek/v1/"));
    kds_close(k);
}

/* ---- lies ---- */

static void expect_lie(const char *mode, const struct snp_endorsement_key *key, const char *code,
                       const char *says) {
    struct kds *k = open_mode(mode);
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    struct result r = kds_fetch_vek(k, key, &der, NULL, &err);
    if (r.code != ERR_DENIED || strstr(err.text, code) == NULL || strstr(err.text, says) == NULL ||
        der.size != 0) {
        fail_msg("%s: %s: %s", mode, err_name(r.code), err.text);
    }
    kds_close(k);
}

static void test_the_certificate_of_another_chip(void **state) {
    (void)state;
    struct snp_endorsement_key key = machine_key;
    key.chip_id[0] ^= 1;
    expect_lie("any", &key, "SNP-CHIP-ID", "c1c1c1c1c1c1c1c1");
}

static void test_the_certificate_of_another_tcb(void **state) {
    (void)state;
    struct snp_endorsement_key key = machine_key;
    key.tcb[7]--;
    expect_lie("any", &key, "SNP-TCB-CERT", "microcode 219");
}

static void test_a_certificate_that_is_over(void **state) {
    (void)state;
    clock_s = SNP_FIXTURE_NOT_AFTER + 1;
    expect_lie("good", &machine_key, "SNP-CERT-DATE", "2032-01-01");
    clock_s = SNP_FIXTURE_NOT_BEFORE - 1;
    expect_lie("good", &machine_key, "SNP-CERT-DATE", "2025-01-01");
    clock_s = SNP_FIXTURE_NOW;
}

static void test_a_root_that_nobody_permitted(void **state) {
    (void)state;
    const uint8_t other[1][32] = {{1}};
    const struct kds_config configs[] = {{.base = kds_process_base(&server, "good"), .host = &host},
                                         {.base = kds_process_base(&server, "good"),
                                          .host = &host,
                                          .extra_roots = other,
                                          .extra_root_count = 1}};
    static const char *const codes[] = {"SNP-CERT-SIGNATURE", "SNP-ROOT"};
    for (size_t i = 0; i < 2; i++) {
        struct kds *k = NULL;
        AUTO(buf_deinit)
        struct buf der = {0};
        struct err err = {0};
        assert_true(is_ok(kds_open(&configs[i], &k, &err)));
        assert_int_equal(kds_fetch_vek(k, &machine_key, &der, NULL, &err).code, ERR_DENIED);
        assert_non_null(strstr(err.text, codes[i]));
        kds_close(k);
    }
}

/* ---- TLS ---- */

static struct result fetch_tls(const char *host_name, const char *ca_file, struct err *err) {
    char base[128];
    char path[PATH_SIZE];
    snprintf(base, sizeof base, "https://%s:%d/good", host_name, server.tls_port);
    snprintf(path, sizeof path, "%s/%s", server.folder, ca_file == NULL ? "" : ca_file);
    const struct kds_config config = {.base = base,
                                      .ca_file = ca_file == NULL ? NULL : path,
                                      .extra_roots = (const uint8_t(*)[32])machine.root_digest,
                                      .extra_root_count = 1,
                                      .host = &host};
    struct kds *k = NULL;
    AUTO(buf_deinit)
    struct buf der = {0};
    TRY(kds_open(&config, &k, err));
    struct result r = kds_fetch_vek(k, &machine_key, &der, NULL, err);
    kds_close(k);
    return r;
}

static void test_tls(void **state) {
    (void)state;
    struct err err = {0};
    if (!is_ok(fetch_tls("127.0.0.1", "tls.pem", &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(fetch_tls("127.0.0.1", NULL, &err).code, ERR_TLS);
    assert_non_null(strstr(err.text, "who answers is not the key service"));
    assert_int_equal(fetch_tls("localhost", "tls.pem", &err).code, ERR_TLS);
    assert_int_equal(fetch_tls("127.0.0.1", "none.pem", &err).code, ERR_CONFIG);
    assert_int_equal(fetch_tls("127.0.0.1", "any.der", &err).code, ERR_CONFIG);
}

/* ---- addresses ---- */

static void test_bad_addresses(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "kdsintf.amd.com",
                                      "ftp://kdsintf.amd.com",
                                      "file:///etc/passwd",
                                      "https://",
                                      "https:///path",
                                      "https://user@host",
                                      "https://host/?a=b",
                                      "https://host/#a",
                                      "https://ho st",
                                      "https://host\r\nX: y",
                                      "HTTPS://host"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct kds_config config = {.base = bad[i]};
        struct kds *k = NULL;
        struct err err = {0};
        if (kds_open(&config, &k, &err).code != ERR_CONFIG) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    char url[LIMIT_KDS_URL];
    struct kds *k = open_base("http://127.0.0.1:1///", 0);
    kds_close(k);
    kds_vek_url("http://mirror/amd//", &machine_key, url);
    assert_int_equal(strncmp(url, "http://mirror/amd/vcek/v1/Turin/c1c1c1c1c1c1c1c1?", 49), 0);
}

static const char MILAN_URL[] = "https://kdsintf.amd.com/vcek/v1/Milan/"
                                "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
                                "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
                                "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219";
static const char TURIN_URL[] = "https://kdsintf.amd.com/vcek/v1/Turin/0011223344556677"
                                "?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81";

static void test_addresses(void **state) {
    (void)state;
    char url[LIMIT_KDS_URL];
    struct snp_endorsement_key key = {.product = SNP_MILAN, .tcb = {4, 0, 0, 0, 0, 0, 0x18, 0xdb}};
    for (size_t i = 0; i < sizeof key.chip_id; i++) {
        key.chip_id[i] = (uint8_t)(0x11 * (i % 16));
    }
    kds_vek_url(NULL, &key, url);
    assert_string_equal(url, MILAN_URL);
    struct snp_endorsement_key turin = {.product = SNP_TURIN, .tcb = {1, 1, 1, 4, 0, 0, 0, 0x51}};
    memcpy(turin.chip_id, key.chip_id, 8);
    kds_vek_url(NULL, &turin, url);
    assert_string_equal(url, TURIN_URL);
}

/* ---- cancel ---- */

static void *cancel(void *data) {
    struct kds *k = data;
    while (kds_process_count(&server, "hang") == 0) {
    }
    kds_cancel(k);
    return NULL;
}

/* The server hangs for a minute; the test's own limit would end it, were it not for cancel. */
static void test_cancel(void **state) {
    (void)state;
    struct kds *k = open_base(kds_process_base(&server, "hang"), 3600000);
    AUTO(buf_deinit)
    struct buf der = {0};
    struct err err = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel, k), 0);
    assert_int_equal(kds_fetch_vek(k, &machine_key, &der, NULL, &err).code, ERR_CANCELED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(kds_fetch_vek(k, &machine_key, &der, NULL, &err).code, ERR_CANCELED);
    kds_close(k);
}

static int set_up(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_TURIN);
    kds_process_start(&server, true);
    kds_process_put_machine(&server, &machine, &machine_key);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kds_process_stop(&server);
    snp_fixture_deinit(&machine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel), /* first: it counts requests that hang */
        cmocka_unit_test(test_a_certificate),
        cmocka_unit_test(test_a_chain),
        cmocka_unit_test(test_troubles),
        cmocka_unit_test(test_answers_do_not_mix),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_the_certificate_of_another_chip),
        cmocka_unit_test(test_the_certificate_of_another_tcb),
        cmocka_unit_test(test_a_certificate_that_is_over),
        cmocka_unit_test(test_a_root_that_nobody_permitted),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
