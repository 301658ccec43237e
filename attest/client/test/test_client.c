/* The client against a server that lies: sessions, pages of a history, evidence and statement.
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

/* --- The good case */

static void test_an_honest_server_is_accepted(void **state) {
    client_world_accepted(*state);
}

static void test_a_history_in_pages_is_the_same(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    client_world_accepted(w);
    assert_int_equal(w->pages, GENERATIONS);
}

static void test_the_callers_own_manifest_decides(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    w->trust.manifest = &mine;
    client_world_accepted(w);
    manifest_deinit(&mine);
}

static void test_a_server_without_a_manifest(void **state) {
    struct world *w = *state;
    w->generations = 0;
    client_world_refused(w, ERR_NOT_FOUNDED, "contrast set");
}

/* --- Lies before the session is open */

static void test_another_frame_is_a_breach(void **state) {
    client_world_never_opens(*state, WRONG_FRAME, ERR_PROTOCOL, "in place of evidence");
}

static void test_an_error_is_passed_on(void **state) {
    struct world *w = *state;
    client_world_never_opens(w, ERROR_FRAME, ERR_BUSY, "too many sessions");
    assert_int_equal(w->why.retry_ms, 1234);
}

static void test_a_server_that_hangs_up(void **state) {
    client_world_never_opens(*state, HANG_UP, ERR_CLOSED, "");
}

static void test_an_empty_page_is_a_breach(void **state) {
    client_world_never_opens(*state, EMPTY_PAGE, ERR_PROTOCOL, "history ends early");
}

static void test_a_page_from_elsewhere_is_a_breach(void **state) {
    client_world_never_opens(*state, WRONG_PAGE, ERR_PROTOCOL, "history from 2, asked for 1");
}

static void test_the_cluster_cannot_change_between_pages(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    client_world_never_opens(w, OTHER_CLUSTER_LATER, ERR_PROTOCOL, "inside one history");
}

static void test_a_history_without_end_is_refused(void **state) {
    client_world_never_opens(*state, TOO_MANY_GENERATIONS, ERR_TOO_LARGE,
                             "history of 1001 manifests");
}

static void test_nobody_there(void **state) {
    struct world *w = *state;
    client_world_listen(w); /* for a port that nobody has in a moment */
    struct client_config config = client_world_config(w);
    net_listener_close(w->listener, NULL, NULL);
    w->listener = NULL;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
    assert_int_equal(w->open_count, 0);
    assert_int_equal(w->why.code, ERR_UNAVAILABLE);
}

static void test_closing_at_once_calls_back_once(void **state) {
    struct world *w = *state;
    client_world_listen(w);
    struct client_config config = client_world_config(w);
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    client_close(w->client);
    assert_int_equal(w->close_count, 0); /* never from inside */
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
    assert_int_equal(w->open_count, 0);
}

/* --- Lies that the judgement finds */

static void test_bytes_that_are_no_evidence(void **state) {
    struct world *w = *state;
    w->lie = NO_EVIDENCE_BYTES;
    client_world_refused(w, ERR_MALFORMED, "Coordinator's evidence");
}

static void test_a_later_page_cannot_lengthen_the_history(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    w->lie = HISTORY_LIES_COUNT;
    client_world_accepted(w);
}

/* What came after the first page is cut: the caller learns that it changed, and asks again. */
static void test_a_history_that_grows_while_it_is_read(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    w->lie = GROWS_MEANWHILE;
    w->statement.generation = GENERATIONS - 1;
    memcpy(w->statement.head, w->history.heads[GENERATIONS - 2], 32);
    client_world_run(w);
    assert_true(is_ok(w->judged));
    assert_int_equal(w->shown_count, GENERATIONS - 1);
    assert_memory_equal(w->verdict.head, w->history.heads[GENERATIONS - 2], 32);
}

static void test_an_owner_that_nobody_trusts(void **state) {
    struct world *w = *state;
    static const uint8_t other[1][32] = {{1}};
    w->trust.owner_digests = other;
    client_world_refused(w, ERR_DENIED,
                         "manifest history: generation 1: the history starts with key");
}

static void test_a_changed_manifest(void **state) {
    struct world *w = *state;
    w->history.json[1].data[w->history.json[1].size - 1] = ' ';
    w->history.json[1].data[w->history.json[1].size - 2] = '}';
    client_world_run(w);
    assert_false(is_ok(w->judged));
    assert_non_null(strstr(w->judged_err.text, "manifest history"));
    buf_clear(&w->history.json[1]);
    buf_clear(&w->history.signatures[1]);
    client_world_sign(w, 1);
}

static void test_a_root_that_nobody_permits(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    mine.references[0].simulated_root_count = 0;
    w->trust.manifest = &mine;
    w->trust.permitted_root_count = 0;
    client_world_refused(w, ERR_DENIED, "Coordinator's evidence");
    manifest_deinit(&mine);
}

/* The newest manifest comes from the server: what it names is permitted by the caller alone. */
static void test_the_servers_manifest_permits_no_root(void **state) {
    struct world *w = *state;
    w->trust.permitted_root_count = 0;
    client_world_refused(w, ERR_DENIED, "SNP-ROOT");
}

static void test_a_policy_that_is_no_coordinators(void **state) {
    struct world *w = *state;
    w->host_data[0] ^= 1;
    client_world_refused(w, ERR_DENIED, "Coordinator's evidence");
}

static void test_a_history_of_another_cluster(void **state) {
    struct world *w = *state;
    w->statement.cluster[0] ^= 1;
    client_world_refused(w, ERR_DIFFERS, "another cluster");
}

/* It was empty when it attested, and a member when it was asked for the history. */
static void test_a_server_that_joined_meanwhile(void **state) {
    struct world *w = *state;
    memset(w->statement.cluster, 0, sizeof w->statement.cluster);
    w->statement.generation = 0;
    client_world_refused(w, ERR_STALE_GENERATION, "joined its cluster while it was read");
}

static void test_another_head_is_no_history_of_this_server(void **state) {
    struct world *w = *state;
    w->statement.head[0] ^= 1;
    client_world_refused(w, ERR_DIFFERS, "another transition");
}

static void test_an_older_head_means_that_it_changed_meanwhile(void **state) {
    struct world *w = *state;
    w->statement.generation = GENERATIONS - 1;
    memcpy(w->statement.head, w->history.heads[GENERATIONS - 2], 32);
    client_world_refused(w, ERR_STALE_GENERATION, "changed while it was read");
}

static void test_a_history_cut_short(void **state) {
    struct world *w = *state;
    w->generations = GENERATIONS - 1;
    client_world_refused(w, ERR_DIFFERS, "attested generation 3 and shows 2");
}

static void test_another_epoch(void **state) {
    struct world *w = *state;
    w->statement.epoch = 2;
    client_world_refused(w, ERR_DIFFERS, "epoch 2 attested, 1 shown");
}

static void test_another_root_certificate(void **state) {
    struct world *w = *state;
    w->root_ca = "another root certificate\n";
    client_world_refused(w, ERR_DIFFERS, "root CA");
}

static void test_a_changed_transition_chain_cannot_hide_behind_the_callers_manifest(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    static const uint8_t other[1][32] = {{1}};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    w->trust.manifest = &mine;
    w->trust.owner_digests = other;
    client_world_refused(w, ERR_DENIED,
                         "manifest history: generation 1: the history starts with key");
    manifest_deinit(&mine);
}

#define T(f) cmocka_unit_test_setup_teardown(f, client_world_set_up, client_world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_an_honest_server_is_accepted),
        T(test_a_history_in_pages_is_the_same),
        T(test_the_callers_own_manifest_decides),
        T(test_a_server_without_a_manifest),
        T(test_another_frame_is_a_breach),
        T(test_an_error_is_passed_on),
        T(test_a_server_that_hangs_up),
        T(test_an_empty_page_is_a_breach),
        T(test_a_page_from_elsewhere_is_a_breach),
        T(test_the_cluster_cannot_change_between_pages),
        T(test_a_history_without_end_is_refused),
        T(test_nobody_there),
        T(test_closing_at_once_calls_back_once),
        T(test_bytes_that_are_no_evidence),
        T(test_a_later_page_cannot_lengthen_the_history),
        T(test_a_history_that_grows_while_it_is_read),
        T(test_an_owner_that_nobody_trusts),
        T(test_a_changed_manifest),
        T(test_a_root_that_nobody_permits),
        T(test_the_servers_manifest_permits_no_root),
        T(test_a_policy_that_is_no_coordinators),
        T(test_a_history_of_another_cluster),
        T(test_another_head_is_no_history_of_this_server),
        T(test_a_server_that_joined_meanwhile),
        T(test_an_older_head_means_that_it_changed_meanwhile),
        T(test_a_history_cut_short),
        T(test_another_epoch),
        T(test_another_root_certificate),
        T(test_a_changed_transition_chain_cannot_hide_behind_the_callers_manifest),
    };
    return cmocka_run_group_tests(tests, client_world_init, client_world_deinit);
}
