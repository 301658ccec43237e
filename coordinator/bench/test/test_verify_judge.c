/* The generator believes nothing: what it saves is the signature of a report that it knows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/snp_cache.h"
#include "attest/test/snp_fixture.h"
#include "coordinator/bench/verify_judge.h"
#include "lib/crypto/key.h"
#include "lib/crypto/merkle.h"

#define AT SNP_FIXTURE_NOW

/* A machine, and one report of it over the leaves of two nonces. */
struct ground {
    struct snp_fixture machine;
    struct snp_cache *cache;
    struct buf statement;
    struct merkle_log tree;
    uint8_t nonces[2][ATTEST_NONCE_SIZE];
    uint8_t report[SNP_REPORT_SIZE];
};

static void fill_exporter(void *data, uint8_t out[32]) {
    (void)data;
    memset(out, 3, 32);
}

static void fill_local(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 4, 48);
}

static void fill_peer(void *data, uint8_t out[48]) {
    (void)data;
    memset(out, 5, 48);
}

static bool is_server(void *data) {
    (void)data;
    return false;
}

static const struct attest_channel channel = {NULL, fill_exporter, fill_local, fill_peer,
                                              is_server};

static void make_statement(struct ground *g) {
    struct key key = {0};
    struct buf spki = {0};
    assert_true(is_ok(key_generate(KEY_P256, &key, NULL)));
    key_spki(&key, &spki);
    struct replica_statement s = {.replica_id = statement_replica_id(buf_span(&spki)),
                                  .public_key = buf_span(&spki),
                                  .state = REPLICA_VOTER,
                                  .commit_index = 7,
                                  .has_confirmed = true,
                                  .confirmed_index = 7};
    wire_encode(&replica_statement_type, &s, &g->statement);
    buf_deinit(&spki);
    key_deinit(&key);
}

static void make_report(struct ground *g) {
    uint8_t leaf[ATTEST_LEAF_SIZE];
    uint8_t root[SHA384_SIZE];
    uint8_t report_data[ATTEST_REPORT_DATA_SIZE];
    const uint8_t host_data[32] = {1};
    struct snp_report report;
    for (size_t i = 0; i < 2; i++) {
        memset(g->nonces[i], (int)(i + 1), ATTEST_NONCE_SIZE);
        attest_session_leaf(&channel, ATTEST_BY_PEER, ATTEST_REPLICA, g->nonces[i],
                            buf_span(&g->statement), leaf);
        merkle_log_append(&g->tree, leaf);
    }
    merkle_log_root(&g->tree, root);
    attest_report_data(2, root, report_data);
    snp_fixture_fill(&g->machine, report_data, host_data, &report);
    snp_fixture_sign(&g->machine, &report, g->report);
}

static int set_up(void **state) {
    static struct ground ground;
    snp_fixture_init(&ground.machine, SNP_GENOA);
    ground.cache = snp_cache_new();
    make_statement(&ground);
    make_report(&ground);
    *state = &ground;
    return 0;
}

static int tear_down(void **state) {
    struct ground *g = *state;
    snp_cache_free(g->cache);
    snp_fixture_deinit(&g->machine);
    buf_deinit(&g->statement);
    merkle_log_deinit(&g->tree);
    return 0;
}

/* Judges answer `index` with this report to this nonce. */
static enum err_code judge(struct ground *g, struct verify_judge *j, size_t index,
                           const uint8_t *report, const uint8_t *nonce, enum attest_kind kind) {
    struct buf path = {0};
    struct buf message = {0};
    merkle_log_path(&g->tree, index, 2, &path);
    struct evidence_certificate chain[] = {{buf_span(&g->machine.ask)},
                                           {buf_span(&g->machine.ark)}};
    struct evidence e = {.report = span_of(report, SNP_REPORT_SIZE),
                         .vek = buf_span(&g->machine.vcek),
                         .chain = {chain, 2},
                         .leaf_count = 2,
                         .leaf_index = index,
                         .path = buf_span(&path),
                         .kind = (uint8_t)kind,
                         .statement = buf_span(&g->statement)};
    wire_encode(&evidence_type, &e, &message);
    struct err err;
    struct result r = verify_judge(j, &channel, nonce, buf_span(&message), AT, &err);
    buf_deinit(&path);
    buf_deinit(&message);
    return r.code;
}

static struct verify_judge new_judge(const struct ground *g) {
    return (struct verify_judge){
        .roots = (const uint8_t(*)[32])g->machine.root_digest, .root_count = 1, .cache = g->cache};
}

static void test_one_report_answers_two_and_is_judged_once(void **state) {
    struct ground *g = *state;
    struct verify_judge j = new_judge(g);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(judge(g, &j, i, g->report, g->nonces[i], ATTEST_REPLICA), ERR_OK);
    }
    assert_int_equal(j.report_count, 1);
    assert_int_equal(j.leaf_count, 2);
    assert_int_equal(j.confirmed_count, 2);
    assert_int_equal(j.leaf_count_most, 2);
    assert_true(j.judge_ns >= j.report_ns && j.report_ns > 0);
}

static void test_a_known_report_excuses_no_other_nonce(void **state) {
    struct ground *g = *state;
    struct verify_judge j = new_judge(g);
    assert_int_equal(judge(g, &j, 0, g->report, g->nonces[0], ATTEST_REPLICA), ERR_OK);
    assert_int_equal(judge(g, &j, 0, g->report, g->nonces[1], ATTEST_REPLICA), ERR_DIFFERS);
    assert_int_equal(j.leaf_count, 1);
}

static void test_a_false_signature_never_becomes_known(void **state) {
    struct ground *g = *state;
    struct verify_judge j = new_judge(g);
    uint8_t report[SNP_REPORT_SIZE];
    memcpy(report, g->report, sizeof report);
    report[0x90] ^= 1; /* MEASUREMENT */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(judge(g, &j, 0, report, g->nonces[0], ATTEST_REPLICA), ERR_DENIED);
    }
    assert_int_equal(j.report_count, 0);
    assert_int_equal(j.leaf_count, 0);
}

static void test_a_root_that_nobody_permitted_is_refused(void **state) {
    struct ground *g = *state;
    struct verify_judge j = {0};
    assert_int_equal(judge(g, &j, 0, g->report, g->nonces[0], ATTEST_REPLICA), ERR_DENIED);
}

static void test_a_workload_is_no_replica(void **state) {
    struct ground *g = *state;
    struct verify_judge j = new_judge(g);
    assert_int_equal(judge(g, &j, 0, g->report, g->nonces[0], ATTEST_WORKLOAD), ERR_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_report_answers_two_and_is_judged_once),
        cmocka_unit_test(test_a_known_report_excuses_no_other_nonce),
        cmocka_unit_test(test_a_false_signature_never_becomes_known),
        cmocka_unit_test(test_a_root_that_nobody_permitted_is_refused),
        cmocka_unit_test(test_a_workload_is_no_replica),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
