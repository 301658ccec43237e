/* Endorsement keys: which certificates a report may need. That the right one is told from others is
 * tested where certificates come from (attest/endorse).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_endorsement.h"

/* A report of Milan, version 3; the tests change it. */
static struct snp_report report_of(uint32_t version, uint8_t family, uint8_t model) {
    struct snp_report r = {.version = version,
                           .cpuid_family = family,
                           .cpuid_model = model,
                           .reported_tcb = {4, 0, 0, 0, 0, 0, 24, 219}};
    memset(r.chip_id, 0xc1, sizeof r.chip_id);
    return r;
}

static size_t count_of(const struct snp_report *r) {
    struct snp_endorsement_key keys[2];
    return snp_endorsement_keys(r, keys);
}

static void test_one_product(void **state) {
    (void)state;
    struct snp_endorsement_key keys[2];
    struct snp_report milan = report_of(3, 0x19, 0x01);
    assert_int_equal(snp_endorsement_keys(&milan, keys), 1);
    assert_int_equal(keys[0].product, SNP_MILAN);
    assert_memory_equal(keys[0].chip_id, milan.chip_id, 64);
    assert_memory_equal(keys[0].tcb, milan.reported_tcb, 8);
    struct snp_report siena = report_of(5, 0x19, 0xa0);
    assert_int_equal(snp_endorsement_keys(&siena, keys), 1);
    assert_int_equal(keys[0].product, SNP_GENOA);
    struct snp_report venice = report_of(5, 0x1a, 0x50);
    assert_int_equal(count_of(&venice), 0);
}

static void test_version_2_is_of_either(void **state) {
    (void)state;
    struct snp_endorsement_key keys[2];
    struct snp_report r = report_of(2, 0, 0);
    assert_int_equal(snp_endorsement_keys(&r, keys), 2);
    assert_int_equal(keys[0].product, SNP_MILAN);
    assert_int_equal(keys[1].product, SNP_GENOA);
    assert_false(snp_endorsement_same(&keys[0], &keys[1]));
    memset(r.chip_id + 8, 0, 56);
    memcpy(r.reported_tcb, (uint8_t[]){1, 1, 1, 4, 0, 0, 0, 81}, 8);
    assert_int_equal(snp_endorsement_keys(&r, keys), 1);
    assert_int_equal(keys[0].product, SNP_TURIN);
}

static void test_turin_has_a_short_id(void **state) {
    (void)state;
    struct snp_report r = report_of(5, 0x1a, 0x02);
    memcpy(r.reported_tcb, (uint8_t[]){1, 1, 1, 4, 0, 0, 0, 81}, 8);
    assert_int_equal(count_of(&r), 0); /* bytes behind the id */
    memset(r.chip_id + 8, 0, 56);
    assert_int_equal(count_of(&r), 1);
    r.chip_id[63] = 1;
    assert_int_equal(count_of(&r), 0);
}

static void test_no_key(void **state) {
    (void)state;
    struct snp_report masked = report_of(3, 0x19, 0x01);
    memset(masked.chip_id, 0, sizeof masked.chip_id);
    assert_int_equal(count_of(&masked), 0);
    struct snp_report vlek = report_of(3, 0x19, 0x01);
    vlek.key_info = SNP_KEY_VLEK << 2;
    assert_int_equal(count_of(&vlek), 0);
    struct snp_report reserved = report_of(3, 0x19, 0x01);
    reserved.reported_tcb[3] = 1;
    assert_int_equal(count_of(&reserved), 0);
    reserved.version = 2;
    assert_int_equal(count_of(&reserved), 0);
}

static void test_same(void **state) {
    (void)state;
    struct snp_endorsement_key a = {.product = SNP_MILAN, .chip_id = {1}, .tcb = {2}};
    struct snp_endorsement_key b = a;
    assert_true(snp_endorsement_same(&a, &b));
    b.chip_id[63] = 1;
    assert_false(snp_endorsement_same(&a, &b));
    b = a;
    b.tcb[7] = 1;
    assert_false(snp_endorsement_same(&a, &b));
    b = a;
    b.product = SNP_GENOA;
    assert_false(snp_endorsement_same(&a, &b));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_product),
        cmocka_unit_test(test_version_2_is_of_either),
        cmocka_unit_test(test_turin_has_a_short_id),
        cmocka_unit_test(test_no_key),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
