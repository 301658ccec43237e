/* The supplement beside a session thread that is played here: what it asks, when, and what evidence
 * goes out with.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attest/session.h"
#include "coordinator/completion.h"
#include "coordinator/supplement.h"
#include "coordinator/worker.h"

static const char vcek[] = "a VCEK";

/* In the place of worker.c. */
struct worker {
    struct server_identity identity;
    struct host host;
    uint64_t now_ms;
    struct supplement supplement;
    struct snp_report report; /* of the machine */
    void *owner;              /* of the question that waits */
    op_cb done;               /* NULL: none waits */
    struct entry_endorsement keys[2];
    size_t key_count;
    size_t asked;
    size_t sent;
    struct buf last; /* evidence that went out */
};

const struct server_identity *worker_identity(const struct worker *w) {
    return &w->identity;
}

struct view *worker_view(struct worker *w) {
    (void)w;
    return NULL;
}

struct lists *worker_lists(const struct worker *w) {
    (void)w;
    return NULL;
}

struct result worker_ask(struct worker *w, enum core_letter kind, struct span bytes, void *owner,
                         op_cb done, struct err *err) {
    struct entry_endorsement first;
    (void)err;
    assert_int_equal(kind, CORE_ENDORSE);
    memcpy(&first, bytes.data, sizeof first);
    if (entry_endorsement_is_list(&first)) { /* nobody waits for it */
        return OK;
    }
    assert_null(w->done);
    w->owner = owner;
    w->done = done;
    w->key_count = bytes.size / sizeof w->keys[0];
    assert_in_range(w->key_count, 1, 2);
    memcpy(w->keys, bytes.data, bytes.size);
    w->asked++;
    return OK;
}

static uint64_t on_ms(void *data) {
    const struct worker *w = data;
    return w->now_ms;
}

static void on_done(struct worker *w, struct letter *l) {
    buf_clear(&w->last);
    buf_append_span(&w->last, buf_span(&l->bytes));
    w->sent++;
    letter_free(l);
}

static int setup(void **state) {
    struct worker *w = mem_zalloc(sizeof *w);
    w->host = (struct host){.data = w, .monotonic_ms = on_ms};
    w->identity.host = &w->host;
    w->now_ms = 1000000;
    w->report = (struct snp_report){.version = 3,
                                    .policy = SNP_POLICY_RESERVED_ONE,
                                    .signature_algo = SNP_SIGNATURE_ECDSA_P384_SHA384,
                                    .cpuid_family = 0x19,
                                    .cpuid_model = 0x11};
    memset(w->report.chip_id, 7, sizeof w->report.chip_id);
    w->report.reported_tcb[0] = 3;
    w->report.r[0] = w->report.s[0] = 1;
    supplement_init(&w->supplement, w, on_done);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct worker *w = *state;
    supplement_deinit(&w->supplement);
    buf_deinit(&w->last);
    mem_free(w);
    return 0;
}

/* Evidence as the attester makes it on a host that hands out nothing. */
static void attest(struct worker *w) {
    uint8_t report[SNP_REPORT_SIZE];
    struct evidence e = {.leaf_count = 1, .kind = ATTEST_REPLICA};
    struct letter *l = letter_new(WORKER_REPLY, 1);
    snp_report_encode(&w->report, report);
    e.report = SPAN(report);
    e.statement = span_str("a statement");
    wire_encode(&evidence_type, &e, &l->bytes);
    supplement_start(&w->supplement, l);
}

static void reply(struct worker *w, struct letter *l) {
    op_cb done = w->done;
    assert_non_null(done);
    w->done = NULL;
    done(w->owner, l);
    letter_free(l);
}

static void refuse(struct worker *w, uint32_t retry_ms) {
    struct letter *l = letter_new(WORKER_REPLY, 1);
    l->code = ERR_UNAVAILABLE;
    l->retry_ms = retry_ms;
    reply(w, l);
}

static void give(struct worker *w, const struct entry_endorsement *key) {
    struct letter *l = letter_new(WORKER_REPLY, 1);
    struct entry_collateral e = {
        .kind = COLLATERAL_VEK, .key = *key, .der = span_str(vcek), .time = 1};
    entry_encode(ENTRY_COLLATERAL, &e, &l->bytes);
    reply(w, l);
}

static bool has_certificate(const struct worker *w) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct completion c;
    assert_true(is_ok(completion_read(buf_span(&w->last), &arena, &c, NULL)));
    assert_true(!c.has_vek || span_equal(c.vek, span_str(vcek)));
    return c.has_vek;
}

static void test_the_certificate_is_asked_for_once(void **state) {
    struct worker *w = *state;
    attest(w);
    assert_int_equal(w->sent, 0);
    give(w, &w->keys[0]);
    assert_int_equal(w->sent, 1);
    assert_true(has_certificate(w));
    attest(w);
    assert_int_equal(w->sent, 2);
    assert_true(has_certificate(w));
    assert_int_equal(w->asked, 1);
}

static void test_a_new_tcb_has_another_certificate(void **state) {
    struct worker *w = *state;
    attest(w);
    give(w, &w->keys[0]);
    w->report.reported_tcb[0] = 4;
    attest(w);
    assert_int_equal(w->asked, 2);
    assert_int_equal(w->keys[0].tcb[0], 4);
    refuse(w, 0);
    assert_false(has_certificate(w));
}

static void test_a_version_2_report_may_be_of_the_second_product(void **state) {
    struct worker *w = *state;
    w->report.version = 2;
    w->report.cpuid_family = w->report.cpuid_model = 0;
    attest(w);
    assert_int_equal(w->key_count, 2);
    give(w, &w->keys[1]);
    assert_true(has_certificate(w));
    attest(w);
    assert_true(has_certificate(w));
    assert_int_equal(w->asked, 1);
}

static void test_nobody_waits_for_what_was_refused_a_moment_ago(void **state) {
    struct worker *w = *state;
    attest(w);
    refuse(w, 0);
    assert_int_equal(w->sent, 1);
    assert_false(has_certificate(w));
    attest(w);
    assert_int_equal(w->sent, 2);
    assert_int_equal(w->asked, 1);
    w->now_ms += 1000;
    attest(w);
    assert_int_equal(w->asked, 2);
    refuse(w, 0);
}

/* A joiner that AMD did not answer learns its certificate from the cluster. */
static void test_a_new_state_of_the_cluster_is_asked_at_once(void **state) {
    struct worker *w = *state;
    attest(w);
    refuse(w, 3600000);
    attest(w);
    assert_int_equal(w->asked, 1);
    supplement_retry(&w->supplement);
    attest(w);
    assert_int_equal(w->asked, 2);
    give(w, &w->keys[0]);
    assert_true(has_certificate(w));
}

static void test_a_long_refusal_is_doubted_after_seconds(void **state) {
    struct worker *w = *state;
    attest(w);
    refuse(w, 3600000);
    w->now_ms += 4999;
    attest(w);
    assert_int_equal(w->asked, 1);
    w->now_ms += 1;
    attest(w);
    assert_int_equal(w->asked, 2);
    refuse(w, 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_the_certificate_is_asked_for_once),
        T(test_a_new_tcb_has_another_certificate),
        T(test_a_version_2_report_may_be_of_the_second_product),
        T(test_nobody_waits_for_what_was_refused_a_moment_ago),
        T(test_a_new_state_of_the_cluster_is_asked_at_once),
        T(test_a_long_refusal_is_doubted_after_seconds),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
