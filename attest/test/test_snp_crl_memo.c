/* The memo of revocation lists: exact bytes, bounds, counting.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/x509.h>

#include "attest/snp_crl_memo.h"

/* The memo does not look at lists: any object is one, and any bytes are its bytes. */
static void keep(struct snp_crl_memo *m, uint8_t name) {
    X509_CRL *crl = X509_CRL_new();
    assert_non_null(crl);
    snp_crl_memo_keep(m, span_of(&name, 1), crl);
    X509_CRL_free(crl);
}

static bool knows(struct snp_crl_memo *m, uint8_t name) {
    X509_CRL *crl = snp_crl_memo_find(m, span_of(&name, 1));
    X509_CRL_free(crl);
    return crl != NULL;
}

static void test_the_same_bytes_are_found(void **state) {
    (void)state;
    struct snp_crl_memo m;
    snp_crl_memo_init(&m);
    assert_false(knows(&m, 1));
    keep(&m, 1);
    assert_true(knows(&m, 1));
    assert_false(knows(&m, 2));
    assert_null(snp_crl_memo_find(&m, (struct span){0}));
    snp_crl_memo_deinit(&m);
}

static void test_a_list_outlives_the_memo(void **state) {
    (void)state;
    struct snp_crl_memo m;
    uint8_t name = 1;
    snp_crl_memo_init(&m);
    keep(&m, name);
    X509_CRL *crl = snp_crl_memo_find(&m, span_of(&name, 1));
    snp_crl_memo_deinit(&m);
    assert_int_equal(X509_CRL_get_version(crl), 0);
    X509_CRL_free(crl);
}

static void fill(struct snp_crl_memo *m) {
    snp_crl_memo_init(m);
    for (uint8_t i = 0; i < SNP_CRL_MEMO_SIZE; i++) {
        keep(m, i);
    }
}

static void test_the_longest_unused_goes_first(void **state) {
    (void)state;
    struct snp_crl_memo m;
    fill(&m);
    assert_true(knows(&m, 0)); /* a use */
    keep(&m, 100);
    assert_true(knows(&m, 0));
    assert_false(knows(&m, 1));
    for (uint8_t i = 2; i < SNP_CRL_MEMO_SIZE; i++) {
        assert_true(knows(&m, i));
    }
    snp_crl_memo_deinit(&m);
}

static void test_a_known_list_takes_no_other_place(void **state) {
    (void)state;
    struct snp_crl_memo m;
    fill(&m);
    keep(&m, 3);
    for (uint8_t i = 0; i < SNP_CRL_MEMO_SIZE; i++) {
        assert_true(knows(&m, i));
    }
    snp_crl_memo_deinit(&m);
}

static void test_without_a_memo(void **state) {
    (void)state;
    keep(NULL, 1);
    assert_false(knows(NULL, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_bytes_are_found),
        cmocka_unit_test(test_a_list_outlives_the_memo),
        cmocka_unit_test(test_the_longest_unused_goes_first),
        cmocka_unit_test(test_a_known_list_takes_no_other_place),
        cmocka_unit_test(test_without_a_memo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
