/* The cache of chains: it saves work and changes no verdict.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "attest/hotkey.h"
#include "attest/snp_cache.h"
#include "attest/snp_verify.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

#define DAY INT64_C(86400)

static struct snp_fixture machine;
static struct snp_fixture other; /* the same product, another root */
static const uint8_t REPORT_DATA[64] = {1, 2, 3};
static const uint8_t HOST_DATA[32] = {4, 5, 6};

/* One verification with a cache of its own, good until a test changes something. */
struct trial {
    struct snp_cache *cache;
    struct snp_evidence evidence;
    struct snp_options options;
    struct verdict verdict;
    struct err err;
    uint8_t bytes[SNP_REPORT_SIZE];
};

static void trial_use(struct trial *t, const struct snp_fixture *f) {
    struct snp_report report;
    snp_fixture_fill(f, REPORT_DATA, HOST_DATA, &report);
    snp_fixture_sign(f, &report, t->bytes);
    t->evidence = (struct snp_evidence){.report = SPAN(t->bytes),
                                        .vek = buf_span(&f->vcek),
                                        .chain = {buf_span(&f->ask), buf_span(&f->ark)},
                                        .chain_count = 2};
}

static void trial_init(struct trial *t) {
    *t = (struct trial){.cache = snp_cache_new()};
    t->options = (struct snp_options){.references = &machine.reference,
                                      .reference_count = 1,
                                      .report_data = REPORT_DATA,
                                      .at = SNP_FIXTURE_NOW,
                                      .cache = t->cache};
    trial_use(t, &machine);
}

static void trial_deinit(struct trial *t) {
    snp_cache_free(t->cache);
}

static void expect(struct trial *t, const char *code) {
    struct snp_report report;
    struct result r = snp_verify(&t->evidence, &t->options, &report, &t->verdict, &t->err);
    if (strcmp(t->verdict.code, code) != 0) {
        fail_msg("want '%s', have '%s': %s", code, t->verdict.code, t->err.text);
    }
    assert_int_equal(is_ok(r), code[0] == '\0');
}

static struct snp_cache_stats stats_of(const struct trial *t) {
    struct snp_cache_stats stats;
    snp_cache_stats(t->cache, &stats);
    return stats;
}

static void expect_stats(const struct trial *t, uint64_t hits, uint64_t misses, size_t chains) {
    struct snp_cache_stats stats = stats_of(t);
    assert_int_equal(stats.hits, hits);
    assert_int_equal(stats.misses, misses);
    assert_int_equal(stats.chains, chains);
    assert_int_equal(stats.authorities, chains == 0 ? 0 : 1);
}

/* ---- tests ---- */

static void test_a_hit_says_the_same(void **state) {
    (void)state;
    struct trial t;
    trial_init(&t);
    expect(&t, "");
    struct verdict cold = t.verdict;
    expect_stats(&t, 0, 1, 1);
    expect(&t, "");
    expect_stats(&t, 1, 1, 1);
    assert_int_equal(t.verdict.check_count, cold.check_count);
    for (size_t i = 0; i < cold.check_count; i++) {
        assert_string_equal(t.verdict.checks[i].name, cold.checks[i].name);
        assert_true(t.verdict.checks[i].ok);
    }
    assert_int_equal(t.verdict.simulated, cold.simulated);
    trial_deinit(&t);
}

static void test_nothing_refused_is_kept(void **state) {
    (void)state;
    static const uint8_t nonce[64] = {9};
    struct trial t;
    trial_init(&t);
    t.options.report_data = nonce;
    expect(&t, "SNP-REPORT-DATA");
    t.options.report_data = REPORT_DATA;
    t.options.at = SNP_FIXTURE_NOT_AFTER + 1;
    expect(&t, "SNP-CERT-DATE");
    t.options.at = SNP_FIXTURE_NOW;
    t.bytes[0x90] ^= 1;
    expect(&t, "SNP-SIGNATURE");
    trial_use(&t, &other);
    expect(&t, "SNP-ROOT");
    expect_stats(&t, 0, 4, 0);
    trial_deinit(&t);
}

static void test_other_bytes_do_not_hit(void **state) {
    (void)state;
    struct trial t;
    struct buf copies[3] = {0};
    const struct buf *originals[3] = {&machine.vcek, &machine.ask, &machine.ark};
    trial_init(&t);
    expect(&t, "");
    for (size_t i = 0; i < 3; i++) {
        buf_append_span(&copies[i], buf_span(originals[i]));
        copies[i].data[copies[i].size - 1] ^= 1; /* in the signature */
        struct span *changed = i == 0 ? &t.evidence.vek : &t.evidence.chain[i - 1];
        struct span before = *changed;
        *changed = buf_span(&copies[i]);
        expect(&t, "SNP-CERT-SIGNATURE");
        *changed = before;
        buf_deinit(&copies[i]);
    }
    expect_stats(&t, 0, 4, 1);
    expect(&t, "");
    expect_stats(&t, 1, 4, 1);
    trial_deinit(&t);
}

static bool establish(struct trial *t, enum snp_signing_key kind, enum snp_product by_report,
                      struct snp_chain **chain) {
    const struct snp_chain_input input = {.vek = t->evidence.vek,
                                          .certificates = t->evidence.chain,
                                          .certificate_count = t->evidence.chain_count,
                                          .kind = kind,
                                          .by_report = by_report};
    verdict_init(&t->verdict);
    return is_ok(snp_chain_establish(t->cache, &input, chain, &t->verdict, &t->err));
}

/* The kind that the report names and its product are part of what was proven. */
static void test_another_question_does_not_hit(void **state) {
    (void)state;
    struct trial t;
    struct snp_chain *chain = NULL;
    trial_init(&t);
    expect(&t, "");
    assert_false(establish(&t, SNP_KEY_VLEK, SNP_MILAN, &chain));
    assert_false(establish(&t, SNP_KEY_VCEK, SNP_GENOA, &chain));
    assert_true(establish(&t, SNP_KEY_VCEK, SNP_MILAN, &chain));
    expect_stats(&t, 1, 3, 1);
    snp_chain_unref(chain);
    trial_deinit(&t);
}

static void expect_with_list(struct trial *t, const struct snp_fixture_list *list,
                             const char *code) {
    struct buf der = {0};
    snp_fixture_make_list(&machine, list, &der);
    t->evidence.crl = buf_span(&der);
    expect(t, code);
    expect(t, code); /* from the memo */
    t->evidence.crl = (struct span){0};
    buf_deinit(&der);
}

/* What depends on the moment and on the verifier. */
static void test_a_hit_is_judged_anew(void **state) {
    (void)state;
    struct snp_fixture_list list = {.this_update = SNP_FIXTURE_NOW - DAY,
                                    .next_update = SNP_FIXTURE_NOW + DAY};
    struct trial t;
    trial_init(&t);
    expect(&t, "");
    t.options.at = SNP_FIXTURE_NOT_BEFORE - 1;
    expect(&t, "SNP-CERT-DATE");
    t.options.at = SNP_FIXTURE_NOT_AFTER + 1;
    expect(&t, "SNP-CERT-DATE");
    t.options.at = SNP_FIXTURE_NOW;
    t.options.only_extra_roots = true;
    expect(&t, "SNP-ROOT");
    t.options.only_extra_roots = false;
    expect_with_list(&t, &list, "");
    list.revoked = SNP_FIXTURE_ASK_SERIAL;
    expect_with_list(&t, &list, "SNP-REVOKED");
    t.bytes[0x90] ^= 1;
    expect(&t, "SNP-SIGNATURE");
    trial_use(&t, &machine);
    expect(&t, "");
    trial_deinit(&t);
}

static void test_a_hot_leaf(void **state) {
    (void)state;
    struct trial t;
    trial_init(&t);
    for (int i = 0; i < HOTKEY_AFTER + 1; i++) { /* the first one proves the chain */
        assert_int_equal(stats_of(&t).tables, 0);
        expect(&t, "");
    }
    assert_int_equal(stats_of(&t).tables, 1);
    expect(&t, "");
    assert_int_equal(stats_of(&t).table_hits, 1);
    t.bytes[0x90] ^= 1;
    expect(&t, "SNP-SIGNATURE");
    assert_false(stats_of(&t).tables_are_broken);
    trial_deinit(&t);
}

/* Sequences of ignored certificates make chains of different bytes: more than there is room for. */
static void list_variant(struct trial *t, size_t number) {
    const struct buf *kinds[3] = {&machine.vcek, &machine.ask, &machine.ark};
    t->evidence.chain_count = 2;
    for (; t->evidence.chain_count < SNP_CHAIN_MAX; number /= 3) {
        t->evidence.chain[t->evidence.chain_count++] = buf_span(kinds[number % 3]);
    }
}

static void test_bounds(void **state) {
    (void)state;
    struct trial t;
    trial_init(&t);
    for (size_t i = 0; i < LIMIT_SNP_CACHE; i++) {
        list_variant(&t, i);
        expect(&t, "");
    }
    list_variant(&t, 0);
    expect(&t, ""); /* used again: the second one is the longest unused */
    expect_stats(&t, 1, LIMIT_SNP_CACHE, LIMIT_SNP_CACHE);
    list_variant(&t, LIMIT_SNP_CACHE);
    expect(&t, "");
    list_variant(&t, 0);
    expect(&t, "");
    expect_stats(&t, 2, LIMIT_SNP_CACHE + 1, LIMIT_SNP_CACHE);
    list_variant(&t, 1);
    expect(&t, "");
    expect_stats(&t, 2, LIMIT_SNP_CACHE + 2, LIMIT_SNP_CACHE);
    trial_deinit(&t);
}

static void test_a_chain_outlives_the_cache(void **state) {
    (void)state;
    struct trial t;
    struct snp_chain *chain = NULL;
    struct snp_report report;
    trial_init(&t);
    expect(&t, "");
    assert_true(establish(&t, SNP_KEY_VCEK, SNP_MILAN, &chain));
    assert_true(is_ok(snp_report_parse(SPAN(t.bytes), &report, NULL, &t.err)));
    trial_deinit(&t);
    struct span text = span_of(t.bytes, SNP_REPORT_SIGNED_SIZE);
    for (int i = 0; i < 2 * HOTKEY_AFTER; i++) {
        assert_true(snp_chain_verify(chain, text, report.r, report.s));
    }
    assert_memory_equal(chain->root.spki_digest, machine.root_digest[0], 32);
    snp_chain_unref(chain);
}

static void *judge_many(void *data) {
    const struct trial *shared = data;
    struct trial own = *shared;
    own.evidence.report = SPAN(own.bytes);
    for (int i = 0; i < 4 * HOTKEY_AFTER; i++) {
        struct snp_report report;
        own.verdict.kind = VERDICT_UNVERIFIABLE;
        err_ignore(snp_verify(&own.evidence, &own.options, &report, &own.verdict, &own.err),
                   "the verdict says it");
        if (own.verdict.kind != VERDICT_ACCEPTED) {
            return mem_strdup(own.err.text);
        }
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct trial t;
    pthread_t threads[4];
    trial_init(&t);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, judge_many, &t), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *why = NULL;
        assert_int_equal(pthread_join(threads[i], &why), 0);
        assert_null(why);
    }
    struct snp_cache_stats stats = stats_of(&t);
    assert_int_equal(stats.chains, 1);
    assert_int_equal(stats.authorities, 1);
    assert_int_equal(stats.hits + stats.misses, 4 * 4 * HOTKEY_AFTER);
    trial_deinit(&t);
}

/* ---- genuine evidence ---- */

static void load(const char *name, struct buf *out) {
    char path[512];
    struct err err;
    const char *data = getenv("CONTRAST_TESTDATA");
    snprintf(path, sizeof path, "%s/snp/%s", data != NULL ? data : "../shared/testdata", name);
    if (!is_ok(file_read(path, 64 * 1024, out, &err))) {
        const char *ci = getenv("CI");
        assert_false(ci != NULL && strcmp(ci, "true") == 0);
        printf("the shared test data is not there: %s\n", err.text);
        skip();
    }
}

/* AMD's own authorities decide: what the host puts beside the leaf makes no second chain. */
static void test_genuine_chains_are_one(void **state) {
    (void)state;
    struct buf report = {0};
    struct buf vek = {0};
    struct trial t;
    load("milan/virtee_report.bin", &report);
    load("milan/virtee_vcek.der", &vek);
    trial_init(&t);
    t.options = (struct snp_options){.at = 1785000000, .cache = t.cache};
    t.evidence = (struct snp_evidence){.report = buf_span(&report), .vek = buf_span(&vek)};
    expect(&t, "");
    t.evidence.chain_count = 2;
    t.evidence.chain[0] = buf_span(&machine.ask);
    t.evidence.chain[1] = SPAN("damaged");
    expect(&t, "");
    expect_stats(&t, 1, 1, 1);
    trial_deinit(&t);
    buf_deinit(&report);
    buf_deinit(&vek);
}

static int set_up(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_MILAN);
    snp_fixture_init(&other, SNP_MILAN);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    snp_fixture_deinit(&machine);
    snp_fixture_deinit(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hit_says_the_same),
        cmocka_unit_test(test_nothing_refused_is_kept),
        cmocka_unit_test(test_other_bytes_do_not_hit),
        cmocka_unit_test(test_another_question_does_not_hit),
        cmocka_unit_test(test_a_hit_is_judged_anew),
        cmocka_unit_test(test_a_hot_leaf),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_a_chain_outlives_the_cache),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_genuine_chains_are_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
