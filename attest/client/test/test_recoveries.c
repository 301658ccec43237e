/* Recoveries as a server shows them, and the epoch that they prove.
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

#include "attest/client/test/client_world.h"

static void test_a_recovered_cluster_is_accepted(void **state) {
    struct world *w = *state;
    client_world_recover(w, 1);
    client_world_accepted(w);
    assert_int_equal(w->verdict.epoch, 2);
    assert_int_equal(w->recovery_pages, 1);
}

static void test_recoveries_in_pages(void **state) {
    struct world *w = *state;
    client_world_recover(w, 3);
    w->trust.epoch_seen = 6;
    client_world_accepted(w);
    assert_int_equal(w->verdict.epoch, 6);
    assert_int_equal(w->recovery_pages, 3);
}

static void test_nobody_asks_for_recoveries_in_the_first_epoch(void **state) {
    struct world *w = *state;
    w->trust.epoch_seen = 1;
    client_world_accepted(w);
    assert_int_equal(w->verdict.epoch, 1);
    assert_int_equal(w->recovery_pages, 0);
}

static void test_a_recovery_that_no_share_owner_signed(void **state) {
    struct world *w = *state;
    client_world_recover(w, 2);
    w->signature_bytes[1].data[7] ^= 1;
    client_world_refused(w, ERR_SIGNATURE, "recovery to epoch 4: the signature of share owner");
}

static void test_a_superseded_replica_is_a_rollback(void **state) {
    struct world *w = *state;
    client_world_recover(w, 1);
    w->trust.epoch_seen = 4;
    client_world_refused(w, ERR_ROLLBACK,
                         "is at epoch 2, and epoch 4 of this cluster was seen before");
}

static void test_a_quorum_of_the_first_epoch_is_a_rollback(void **state) {
    struct world *w = *state;
    w->trust.epoch_seen = 2;
    w->trust.cluster_seen = w->history.cluster;
    client_world_refused(w, ERR_ROLLBACK,
                         "is at epoch 1, and epoch 2 of this cluster was seen before");
}

/* Another cluster counts its own epochs; that it is another one is the caller's business. */
static void test_an_epoch_of_another_cluster_says_nothing(void **state) {
    struct world *w = *state;
    static const uint8_t other[32] = {1};
    w->trust.epoch_seen = 2;
    w->trust.cluster_seen = other;
    client_world_accepted(w);
}

/* Without evidence that is accepted, an old epoch proves nothing. */
static void test_a_stranger_cannot_prove_a_rollback(void **state) {
    struct world *w = *state;
    w->trust.epoch_seen = 2;
    w->host_data[0] ^= 1;
    client_world_refused(w, ERR_DENIED, "Coordinator's evidence");
}

static void test_recoveries_kept_back(void **state) {
    struct world *w = *state;
    client_world_recover(w, 2);
    w->recovered = 1;
    client_world_refused(w, ERR_DIFFERS, "says epoch 4, its recoveries lead to 2");
}

static void test_recoveries_kept_back_consistently(void **state) {
    struct world *w = *state;
    client_world_recover(w, 2);
    w->recovered = 1;
    w->epoch = 2;
    client_world_refused(w, ERR_DIFFERS, "epoch 4 attested, 2 shown");
}

static void test_a_recovery_while_the_history_is_read(void **state) {
    struct world *w = *state;
    client_world_recover(w, 2);
    w->statement.epoch = 2;
    client_world_refused(w, ERR_STALE_GENERATION, "epoch 2 attested, 4 shown");
}

static void test_a_later_page_cannot_lengthen_the_recoveries(void **state) {
    struct world *w = *state;
    client_world_recover(w, 3);
    w->lie = RECOVERED_MEANWHILE;
    w->epoch = 4;
    w->statement.epoch = 4;
    client_world_accepted(w);
    assert_int_equal(w->verdict.epoch, 4);
}

static void test_no_recoveries_are_a_breach(void **state) {
    client_world_recover(*state, 2);
    client_world_never_opens(*state, NO_RECOVERIES, ERR_PROTOCOL, "no recovery that began it");
}

static void test_recoveries_that_end_early_are_a_breach(void **state) {
    client_world_recover(*state, 2);
    client_world_never_opens(*state, EMPTY_RECOVERIES, ERR_PROTOCOL, "the recoveries end early");
}

static void test_recoveries_from_elsewhere_are_a_breach(void **state) {
    client_world_recover(*state, 2);
    client_world_never_opens(*state, WRONG_RECOVERIES, ERR_PROTOCOL,
                             "recoveries from 1, asked for 0");
}

static void test_recoveries_without_end_are_refused(void **state) {
    client_world_recover(*state, 2);
    client_world_never_opens(*state, TOO_MANY_RECOVERIES, ERR_TOO_LARGE, "65 recoveries, limit 64");
}

static void test_another_frame_than_recoveries_is_a_breach(void **state) {
    client_world_recover(*state, 2);
    client_world_never_opens(*state, OTHER_FRAME_RECOVERIES, ERR_PROTOCOL,
                             "in place of recoveries");
}

#define T(f) cmocka_unit_test_setup_teardown(f, client_world_set_up, client_world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_a_recovered_cluster_is_accepted),
        T(test_recoveries_in_pages),
        T(test_nobody_asks_for_recoveries_in_the_first_epoch),
        T(test_a_recovery_that_no_share_owner_signed),
        T(test_a_superseded_replica_is_a_rollback),
        T(test_a_quorum_of_the_first_epoch_is_a_rollback),
        T(test_an_epoch_of_another_cluster_says_nothing),
        T(test_a_stranger_cannot_prove_a_rollback),
        T(test_recoveries_kept_back),
        T(test_recoveries_kept_back_consistently),
        T(test_a_recovery_while_the_history_is_read),
        T(test_a_later_page_cannot_lengthen_the_recoveries),
        T(test_no_recoveries_are_a_breach),
        T(test_recoveries_that_end_early_are_a_breach),
        T(test_recoveries_from_elsewhere_are_a_breach),
        T(test_recoveries_without_end_are_refused),
        T(test_another_frame_than_recoveries_is_a_breach),
    };
    return cmocka_run_group_tests(tests, client_world_init, client_world_deinit);
}
