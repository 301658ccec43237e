/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/session.h"
#include "coordinator/completion.h"

static const char ask[] = "an ASK";
static const char ark[] = "an ARK";

struct made {
    struct snp_report report;
    uint8_t bytes[SNP_REPORT_SIZE];
    struct evidence_certificate chain[LIMIT_EVIDENCE_CHAIN];
    struct evidence message;
    struct buf encoded;
    struct arena arena;
};

static int setup(void **state) {
    struct made *m = mem_zalloc(sizeof *m);
    m->report = (struct snp_report){.version = 3,
                                    .policy = SNP_POLICY_RESERVED_ONE,
                                    .signature_algo = SNP_SIGNATURE_ECDSA_P384_SHA384,
                                    .cpuid_family = 0x19,
                                    .cpuid_model = 0x11};
    memset(m->report.chip_id, 7, sizeof m->report.chip_id);
    m->report.reported_tcb[0] = 3;
    m->report.r[0] = m->report.s[0] = 1;
    m->message = (struct evidence){.leaf_count = 1, .kind = ATTEST_WORKLOAD};
    m->message.statement = span_str("a statement");
    *state = m;
    return 0;
}

static int teardown(void **state) {
    struct made *m = *state;
    buf_deinit(&m->encoded);
    arena_deinit(&m->arena);
    mem_free(m);
    return 0;
}

static struct span encode(struct made *m) {
    snp_report_encode(&m->report, m->bytes);
    m->message.report = SPAN(m->bytes);
    buf_clear(&m->encoded);
    wire_encode(&evidence_type, &m->message, &m->encoded);
    return buf_span(&m->encoded);
}

static struct completion read_well(struct made *m, struct span bytes) {
    struct completion c;
    struct err err;
    if (!is_ok(completion_read(bytes, &m->arena, &c, &err))) {
        fail_msg("%s", err.text);
    }
    return c;
}

static void test_the_report_names_its_key(void **state) {
    struct made *m = *state;
    struct completion c = read_well(m, encode(m));
    assert_false(c.has_vek);
    assert_false(c.has_crl);
    assert_int_equal(c.key_count, 1);
    assert_int_equal(c.keys[0].product, SNP_GENOA);
    assert_memory_equal(c.keys[0].chip_id, m->report.chip_id, 64);
    assert_memory_equal(c.keys[0].tcb, m->report.reported_tcb, 8);
    assert_int_equal(c.list.product, SNP_GENOA);
    assert_int_equal(c.list.signing, 0);
    assert_true(entry_endorsement_is_list(&c.list));
}

static void test_version_2_may_be_of_two_products(void **state) {
    struct made *m = *state;
    m->report.version = 2;
    m->report.cpuid_family = m->report.cpuid_model = 0;
    struct completion c = read_well(m, encode(m));
    assert_int_equal(c.key_count, 2);
    assert_int_not_equal(c.keys[0].product, c.keys[1].product);
    assert_int_equal(c.list.product, SNP_PRODUCT_UNKNOWN);
}

static void test_no_key_for_a_masked_chip_a_vlek_or_no_report(void **state) {
    struct made *m = *state;
    memset(m->report.chip_id, 0, sizeof m->report.chip_id);
    assert_int_equal(read_well(m, encode(m)).key_count, 0);
    m->report.key_info = SNP_KEY_VLEK << 2;
    struct completion c = read_well(m, encode(m));
    assert_int_equal(c.key_count, 0);
    assert_int_equal(c.list.signing, 1);
    (void)encode(m);
    m->message.report = span_str("no report");
    buf_clear(&m->encoded);
    wire_encode(&evidence_type, &m->message, &m->encoded);
    assert_int_equal(read_well(m, buf_span(&m->encoded)).key_count, 0);
}

/* Fills and decodes again. */
static struct evidence fill(struct made *m, const struct core_vek *vek, struct span crl) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct evidence e;
    assert_true(is_ok(completion_fill(encode(m), vek, crl, &out, NULL)));
    assert_true(is_ok(wire_decode(&evidence_type, buf_span(&out), &m->arena, &e, NULL)));
    assert_true(span_equal(e.report, m->message.report));
    assert_true(span_equal(e.statement, m->message.statement));
    assert_int_equal(e.kind, m->message.kind);
    assert_int_equal(e.leaf_count, m->message.leaf_count);
    return e;
}

static const struct core_vek simulated = {
    .der = {(const uint8_t *)"a VCEK", 6},
    .authority = {(const uint8_t *)ask, sizeof ask - 1},
    .root = {(const uint8_t *)ark, sizeof ark - 1},
};

static void test_what_lacks_is_put_in(void **state) {
    struct made *m = *state;
    struct evidence e = fill(m, &simulated, span_str("a list"));
    assert_true(span_equal(e.vek, span_str("a VCEK")));
    assert_true(span_equal(e.crl, span_str("a list")));
    assert_int_equal(e.chain.count, 2);
    e = fill(m, NULL, (struct span){0});
    assert_int_equal(e.vek.size + e.crl.size + e.chain.count, 0);
}

static void test_what_is_there_stays(void **state) {
    struct made *m = *state;
    m->message.vek = span_str("its own");
    m->message.crl = span_str("its own list");
    struct evidence e = fill(m, &simulated, span_str("a list"));
    assert_true(span_equal(e.vek, span_str("its own")));
    assert_true(span_equal(e.crl, span_str("its own list")));
    assert_int_equal(e.chain.count, 0);
}

static void test_the_chain_is_not_doubled_nor_overfull(void **state) {
    struct made *m = *state;
    m->chain[0].der = span_str(ask);
    m->message.chain = (struct wire_list){m->chain, 1};
    assert_int_equal(fill(m, &simulated, (struct span){0}).chain.count, 2);
    for (size_t i = 0; i < LIMIT_EVIDENCE_CHAIN; i++) {
        m->chain[i].der = span_str("another");
    }
    m->message.chain.count = LIMIT_EVIDENCE_CHAIN;
    assert_int_equal(fill(m, &simulated, (struct span){0}).chain.count, LIMIT_EVIDENCE_CHAIN);
}

static void test_every_prefix_is_refused(void **state) {
    struct made *m = *state;
    struct span whole = encode(m);
    for (size_t n = 0; n < whole.size; n++) {
        struct completion c;
        struct err err = {.text = ""};
        struct buf out = {0};
        assert_false(is_ok(completion_read(span_of(whole.data, n), &m->arena, &c, &err)));
        assert_string_not_equal(err.text, "");
        assert_false(is_ok(
            completion_fill(span_of(whole.data, n), &simulated, (struct span){0}, &out, &err)));
        assert_int_equal(out.size, 0);
    }
}

static void test_keys_go_both_ways(void **state) {
    struct made *m = *state;
    struct completion c = read_well(m, encode(m));
    struct snp_endorsement_key key;
    struct entry_endorsement back;
    completion_from_entry(&c.keys[0], &key);
    assert_int_equal(key.product, SNP_GENOA);
    completion_to_entry(&key, &back);
    assert_true(entry_endorsement_same(&back, &c.keys[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_the_report_names_its_key),
        T(test_version_2_may_be_of_two_products),
        T(test_no_key_for_a_masked_chip_a_vlek_or_no_report),
        T(test_what_lacks_is_put_in),
        T(test_what_is_there_stays),
        T(test_the_chain_is_not_doubled_nor_overfull),
        T(test_every_prefix_is_refused),
        T(test_keys_go_both_ways),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
