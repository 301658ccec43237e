/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/core/test/core_world.h"
#include "coordinator/endorser.h"
#include "coordinator/endorser_store.h"

#define ANSWERS 8

/* A cluster whose log commits at once, a service that answers when the test says so, one clock. */
struct bench {
    struct world world;
    struct host host;
    uint64_t ms;
    int64_t ahead_s; /* the host's clock, before the voters' */
    bool is_founded;
    bool may_propose;
    bool is_log_stuck; /* proposals are kept, not applied */
    uint64_t stuck_ticket;
    struct endorser *endorser;
    size_t proposed[4]; /* by enum entry_collateral_kind */
    size_t fetches;
    struct entry_endorsement fetched;
    size_t answers;
    uint64_t tickets[ANSWERS];
    enum err_code codes[ANSWERS];
    char texts[ANSWERS][480];
    uint64_t retries[ANSWERS];
    char ders[ANSWERS][64];
    size_t published;
    struct lists *lists;
};

static uint64_t on_ms(void *data) {
    return ((struct bench *)data)->ms;
}

static int64_t on_entry_time(void *data) {
    return WORLD_TIME + 100 + (int64_t)(((struct bench *)data)->ms / 1000);
}

static int64_t on_unix(void *data) {
    return on_entry_time(data) + ((struct bench *)data)->ahead_s;
}

static void on_random(void *data, void *out, size_t size) {
    (void)data;
    memset(out, 0, size);
}

static const struct core *on_core(void *data) {
    struct bench *b = data;
    return b->is_founded ? b->world.core : NULL;
}

static bool on_may_propose(void *data) {
    return ((struct bench *)data)->may_propose;
}

static void apply(struct bench *b, const struct entry_collateral *stamped) {
    struct entry_collateral e = *stamped;
    e.request = world_request(&b->world);
    (void)world_apply(&b->world, ENTRY_COLLATERAL, &e);
}

static void on_propose(void *data, uint64_t ticket, struct span bytes) {
    struct bench *b = data;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    assert_true(is_ok(entry_decode(bytes, &arena, &entry, NULL)));
    b->proposed[entry.collateral.kind]++;
    if (b->is_log_stuck) {
        b->stuck_ticket = ticket;
        return;
    }
    apply(b, &entry.collateral);
    const struct core_result *r = &b->world.result;
    endorser_result(b->endorser, ticket, r->code, r->already, r->wait_ms, r->text);
    if (r->code == ERR_OK) {
        endorser_applied(b->endorser);
    }
}

static struct result on_fetch(void *data, const struct entry_endorsement *key, struct err *err) {
    struct bench *b = data;
    (void)err;
    b->fetches++;
    b->fetched = *key;
    return OK;
}

static void on_reply(void *data, uint64_t ticket, const struct endorser_answer *a) {
    struct bench *b = data;
    size_t at = b->answers++ % ANSWERS;
    b->tickets[at] = ticket;
    b->codes[at] = a->code;
    b->retries[at] = a->retry_ms;
    snprintf(b->texts[at], sizeof b->texts[at], "%s", a->text == NULL ? "" : a->text);
    if (a->vek != NULL) {
        snprintf(b->ders[at], sizeof b->ders[at], "%.*s", (int)a->vek->der.size,
                 (const char *)a->vek->der.data);
    }
}

static void on_publish(void *data, struct lists *lists) {
    struct bench *b = data;
    b->published++;
    lists_unref(b->lists);
    b->lists = lists;
}

static void start_endorser(struct bench *b, bool has_service) {
    const struct endorser_io io = {b,        on_core,  on_may_propose, on_propose,
                                   on_fetch, on_reply, on_publish,     on_entry_time};
    endorser_free(b->endorser);
    b->endorser = endorser_new(&io, &b->host, has_service);
}

static int setup(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return -1;
    }
    b->host = (struct host){b, on_ms, on_unix, on_random};
    b->ms = 5000;
    world_init(&b->world);
    world_start(&b->world);
    b->is_founded = b->may_propose = true;
    start_endorser(b, true);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    endorser_free(b->endorser);
    lists_unref(b->lists);
    world_deinit(&b->world);
    free(b);
    return 0;
}

static struct entry_endorsement key_of(struct bench *b, unsigned chip) {
    return world_fetch(&b->world, chip).key;
}

static void want(struct bench *b, uint64_t ticket, unsigned chip) {
    struct entry_endorsement key = key_of(b, chip);
    endorser_want(b->endorser, ticket, &key, 1, (struct span){0});
}

static void want_from(struct bench *b, uint8_t address, uint64_t ticket, unsigned chip) {
    struct entry_endorsement key = key_of(b, chip);
    uint8_t source[ENDORSER_SOURCE_SIZE] = {[15] = address};
    endorser_want(b->endorser, ticket, &key, 1, SPAN(source));
}

static void fetched(struct bench *b, unsigned chip) {
    struct entry_collateral c = world_vek(&b->world, chip, "fetched");
    endorser_fetched(b->endorser, &c);
}

static void failed(struct bench *b, unsigned chip, enum err_code code, uint64_t retry_ms) {
    struct entry_endorsement key = key_of(b, chip);
    endorser_failed(b->endorser, &key, code, "the service said no", retry_ms);
}

/* Goes on in time, from deadline to deadline. */
static void pass(struct bench *b, uint64_t ms) {
    uint64_t end = b->ms + ms;
    while (endorser_deadline(b->endorser) <= end) {
        uint64_t at = endorser_deadline(b->endorser);
        b->ms = at > b->ms ? at : b->ms + 1;
        endorser_tick(b->endorser);
    }
    b->ms = end;
}

static void assert_answer(struct bench *b, size_t at, uint64_t ticket, enum err_code code,
                          const char *text) {
    assert_true(b->answers > at);
    assert_int_equal(b->tickets[at], ticket);
    if (b->codes[at] != code || strstr(b->texts[at], text) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), text, err_name(b->codes[at]),
                 b->texts[at]);
    }
}

static void test_what_the_log_has_is_answered_at_once(void **state) {
    struct bench *b = *state;
    struct entry_collateral c = world_vek(&b->world, 1, "known");
    apply(b, &c);
    want(b, 7, 1);
    assert_answer(b, 0, 7, ERR_OK, "");
    assert_string_equal(b->ders[0], "VCEK of chip 1, known");
    assert_int_equal(b->fetches, 0);
}

static void test_one_permission_and_one_request_serve_all_who_wait(void **state) {
    struct bench *b = *state;
    want(b, 1, 3);
    want(b, 2, 3);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], 1);
    assert_int_equal(b->fetches, 1);
    assert_int_equal(b->answers, 0);
    fetched(b, 3);
    assert_int_equal(b->answers, 2);
    assert_int_equal(b->codes[0], ERR_OK);
    assert_string_equal(b->ders[1], "VCEK of chip 3, fetched");
    assert_int_equal(b->proposed[COLLATERAL_VEK], 1);
    struct entry_endorsement key = key_of(b, 3);
    assert_non_null(core_find_vek(b->world.core, &key));
}

static void test_nobody_waits_longer_than_the_limit_and_the_search_goes_on(void **state) {
    struct bench *b = *state;
    want(b, 1, 3);
    pass(b, LIMIT_ENDORSE_MS - 1);
    assert_int_equal(b->answers, 0);
    pass(b, 1);
    assert_answer(b, 0, 1, ERR_BUSY, "is being asked");
    assert_true(b->retries[0] > 0);
    fetched(b, 3);
    assert_int_equal(b->answers, 1);
    want(b, 2, 3);
    assert_answer(b, 1, 2, ERR_OK, "");
}

static void test_a_failure_is_told_with_its_next_try_and_tried_then(void **state) {
    struct bench *b = *state;
    want(b, 1, 3);
    failed(b, 3, ERR_BUSY, 30000);
    assert_answer(b, 0, 1, ERR_BUSY, "the service said no; next try in 31 s");
    want(b, 2, 3);
    assert_answer(b, 1, 2, ERR_BUSY, "the service said no");
    assert_int_equal(b->fetches, 1);
    pass(b, 29999);
    assert_int_equal(b->fetches, 1);
    pass(b, 1);
    assert_int_equal(b->fetches, 2);
}

static void test_failures_wait_longer_each_time_up_to_the_limit(void **state) {
    struct bench *b = *state;
    uint64_t last = 0;
    want(b, 1, 3);
    for (size_t i = 1; i <= 12; i++) {
        uint64_t since = b->ms;
        failed(b, 3, ERR_UNAVAILABLE, 0);
        for (size_t k = 0; b->fetches == i && k < 1000; k++) {
            want(b, 1, 3);
            b->answers = 0;
            pass(b, 500);
        }
        assert_int_equal(b->fetches, i + 1);
        assert_true(b->ms - since >= last / 2);
        last = b->ms - since;
        assert_true(last <= LIMIT_KDS_BACKOFF_MAX_MS + LIMIT_KDS_PERIOD_MS + 2000);
    }
    assert_true(last >= LIMIT_KDS_BACKOFF_MAX_MS / 2);
}

static void test_what_the_service_does_not_have_is_not_asked_for_soon(void **state) {
    struct bench *b = *state;
    want(b, 1, 3);
    failed(b, 3, ERR_NOT_FOUND, 0);
    assert_answer(b, 0, 1, ERR_NOT_FOUND, "the service said no");
    pass(b, ENDORSER_UNKNOWN_MS - 1);
    assert_int_equal(b->fetches, 1);
    pass(b, 2);
    assert_int_equal(b->fetches, 2);
}

static void test_what_nobody_wants_any_more_is_given_up(void **state) {
    struct bench *b = *state;
    want(b, 1, 3);
    uint64_t end = b->ms + LIMIT_KDS_WANT_MS + LIMIT_KDS_BACKOFF_MAX_MS;
    for (size_t last = 0; b->ms < end;) {
        if (b->fetches > last) {
            last = b->fetches;
            failed(b, 3, ERR_UNAVAILABLE, 0);
        }
        pass(b, 1000);
    }
    size_t fetches = b->fetches;
    assert_true(fetches > 5);
    pass(b, LIMIT_KDS_WANT_MS);
    assert_int_equal(b->fetches, fetches);
}

static void test_another_replica_fetches_and_the_log_brings_it(void **state) {
    struct bench *b = *state;
    struct entry_collateral other = world_fetch(&b->world, 3);
    other.request = (struct entry_request){b->world.founders[1].id, 1};
    other.time = WORLD_TIME + 100;
    assert_int_equal(world_apply(&b->world, ENTRY_COLLATERAL, &other), ERR_OK);
    want(b, 1, 3);
    assert_int_equal(b->fetches, 0);
    assert_answer(b, 0, 1, ERR_BUSY, "another replica asks");
    struct entry_collateral c = world_vek(&b->world, 3, "theirs");
    apply(b, &c);
    endorser_applied(b->endorser);
    want(b, 2, 3);
    assert_answer(b, 1, 2, ERR_OK, "");
    pass(b, (LIMIT_KDS_LEASE_S + 10) * 1000);
    assert_int_equal(b->fetches, 0);
}

static void test_a_lease_that_ran_out_is_taken_over(void **state) {
    struct bench *b = *state;
    struct entry_collateral other = world_fetch(&b->world, 3);
    other.request = (struct entry_request){b->world.founders[1].id, 1};
    other.time = WORLD_TIME + 100;
    assert_int_equal(world_apply(&b->world, ENTRY_COLLATERAL, &other), ERR_OK);
    want(b, 1, 3);
    pass(b, (LIMIT_KDS_LEASE_S + 2) * 1000);
    assert_int_equal(b->fetches, 1);
}

static void test_the_cluster_keeps_amds_limit(void **state) {
    struct bench *b = *state;
    for (unsigned i = 0; i < LIMIT_KDS_BURST + 2; i++) {
        want(b, i, 10 + i);
    }
    assert_int_equal(b->fetches, LIMIT_KDS_BURST);
    pass(b, LIMIT_KDS_PERIOD_MS + 2000);
    assert_int_equal(b->fetches, LIMIT_KDS_BURST + 1);
}

/* Else the cluster's time would stand still until the others' clocks get there, and with it the
 * budget and the leases of all. */
static void test_a_clock_that_runs_ahead_moves_no_entry(void **state) {
    struct bench *b = *state;
    b->ahead_s = LIMIT_CLOCK_AHEAD_S - 1;
    for (unsigned i = 0; i < LIMIT_KDS_BURST; i++) {
        want(b, i, 100 + i);
    }
    fetched(b, 100);
    assert_int_equal(b->fetches, LIMIT_KDS_BURST);
    assert_true(core_time(b->world.core) <= on_entry_time(b));
    b->ahead_s = 0;
    b->ms += LIMIT_KDS_PERIOD_MS + 1000;
    want(b, 99, 200);
    assert_int_equal(b->fetches, LIMIT_KDS_BURST + 1);
}

static void test_before_founding_there_is_no_log_to_ask(void **state) {
    struct bench *b = *state;
    b->is_founded = b->may_propose = false;
    want(b, 1, 3);
    assert_int_equal(b->fetches, 1);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], 0);
    fetched(b, 3);
    assert_answer(b, 0, 1, ERR_OK, "");
    b->is_founded = b->may_propose = true; /* what was learned before becomes everyone's */
    pass(b, 2000);
    struct entry_endorsement key = key_of(b, 3);
    assert_non_null(core_find_vek(b->world.core, &key));
    size_t proposed = b->proposed[COLLATERAL_VEK];
    pass(b, 120000);
    assert_int_equal(b->proposed[COLLATERAL_VEK], proposed);
}

static void test_without_a_service_files_serve(void **state) {
    struct bench *b = *state;
    start_endorser(b, false);
    want(b, 1, 3);
    assert_answer(b, 0, 1, ERR_UNAVAILABLE, "CONTRAST_ENDORSEMENTS");
    struct entry_collateral c = world_vek(&b->world, 3, "imported");
    endorser_learn(b->endorser, &c, true);
    want(b, 2, 3);
    assert_answer(b, 1, 2, ERR_OK, "");
    pass(b, 2000);
    assert_non_null(core_find_vek(b->world.core, &c.key));
    assert_int_equal(b->fetches, 0);
}

static void test_evidence_teaches_once(void **state) {
    struct bench *b = *state;
    struct entry_collateral c = world_vek(&b->world, 3, "sent");
    endorser_learn(b->endorser, &c, false);
    endorser_learn(b->endorser, &c, false);
    pass(b, 2000);
    endorser_learn(b->endorser, &c, false);
    pass(b, 120000);
    assert_int_equal(b->proposed[COLLATERAL_VEK], 1);
}

static void test_a_stuck_log_is_offered_the_same_again_later(void **state) {
    struct bench *b = *state;
    struct entry_collateral c = world_vek(&b->world, 3, "sent");
    b->is_log_stuck = true;
    endorser_learn(b->endorser, &c, false);
    pass(b, 25000);
    assert_int_equal(b->proposed[COLLATERAL_VEK], 1);
    b->is_log_stuck = false;
    pass(b, 10000);
    assert_int_equal(b->proposed[COLLATERAL_VEK], 2);
    assert_non_null(core_find_vek(b->world.core, &c.key));
}

static void test_no_quorum_is_tried_again(void **state) {
    struct bench *b = *state;
    b->is_log_stuck = true;
    want(b, 1, 3);
    b->is_log_stuck = false;
    endorser_result(b->endorser, b->stuck_ticket, ERR_NO_QUORUM, false, 0, "no quorum");
    assert_int_equal(b->fetches, 0);
    pass(b, 3000);
    assert_int_equal(b->fetches, 1);
}

static void test_a_report_of_two_products_is_served_by_either(void **state) {
    struct bench *b = *state;
    struct entry_endorsement keys[2] = {key_of(b, 3), key_of(b, 3)};
    keys[1].product = SNP_GENOA;
    endorser_want(b->endorser, 1, keys, 2, (struct span){0});
    assert_int_equal(b->fetches, 2);
    failed(b, 3, ERR_NOT_FOUND, 0);
    assert_int_equal(b->answers, 0);
    struct entry_collateral c = world_vek(&b->world, 3, "Genoa's");
    c.key = keys[1];
    endorser_fetched(b->endorser, &c);
    assert_answer(b, 0, 1, ERR_OK, "");
}

static void test_chips_that_do_not_exist_keep_no_real_one_out(void **state) {
    struct bench *b = *state;
    b->is_founded = b->may_propose = false;
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE; i++) {
        want(b, 1, 100 + i);
    }
    size_t fetches = b->fetches;
    want(b, 1, 3);
    assert_int_equal(b->fetches, fetches); /* all are under way */
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE; i++) {
        failed(b, 100 + i, ERR_NOT_FOUND, 0);
    }
    want(b, 1, 3);
    assert_int_equal(b->fetches, fetches + 1);
}

/* The state of the queue: as many keys as fit, of 16 addresses, none ever served. */
static void flood(struct bench *b) {
    b->is_log_stuck = true;
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE; i++) {
        want_from(b, (uint8_t)(1 + i / LIMIT_KDS_ADDRESS), 100 + i, 100 + i);
    }
    assert_int_equal(b->answers, 0);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_QUEUE);
}

static void test_an_address_has_few_keys_at_a_time(void **state) {
    struct bench *b = *state;
    b->is_log_stuck = true;
    for (unsigned i = 0; i < LIMIT_KDS_ADDRESS; i++) {
        want_from(b, 1, 1, 100 + i);
    }
    want_from(b, 1, 2, 3);
    assert_answer(b, 0, 2, ERR_BUSY, "4 other chips are looked for on behalf of this address");
    assert_true(b->retries[0] > 0);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_ADDRESS);
    want_from(b, 1, 3, 100); /* what is looked for already costs nothing */
    want_from(b, 2, 4, 3);
    want(b, 5, 4);
    assert_int_equal(b->answers, 1);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_ADDRESS + 2);
    fetched(b, 100);
    b->answers = 0;
    want_from(b, 1, 6, 5);
    assert_int_equal(b->answers, 0);
}

static void test_what_failed_gives_way_to_its_addresss_next(void **state) {
    struct bench *b = *state;
    b->is_founded = b->may_propose = false;
    for (unsigned i = 0; i < LIMIT_KDS_ADDRESS; i++) {
        want_from(b, 1, 1, 100 + i);
        failed(b, 100 + i, ERR_NOT_FOUND, 0);
    }
    size_t fetches = b->fetches;
    want_from(b, 1, 2, 3);
    assert_int_equal(b->fetches, fetches + 1);
}

static void test_a_full_queue_has_room_for_an_address_with_fewer(void **state) {
    struct bench *b = *state;
    flood(b);
    want_from(b, 99, 1, 3);
    assert_int_equal(b->answers, 0);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_QUEUE + 1);
    want_from(b, 16, 2, 100 + LIMIT_KDS_QUEUE - 1); /* the newest gave way, and has its place */
    assert_answer(b, 0, 2, ERR_BUSY, "64 others are looked for already; try again later");
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE - 1; i++) {
        want_from(b, (uint8_t)(1 + i / LIMIT_KDS_ADDRESS), 3, 100 + i);
    }
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_QUEUE + 1); /* all others are there */
    want(b, 4, 4);
    assert_int_equal(b->proposed[COLLATERAL_FETCH], LIMIT_KDS_QUEUE + 2);
}

static void test_own_keys_never_give_way(void **state) {
    struct bench *b = *state;
    b->is_log_stuck = true;
    for (unsigned i = 0; i < LIMIT_KDS_QUEUE - 1; i++) {
        want(b, 1, 100 + i);
    }
    want_from(b, 1, 2, 3);
    want(b, 3, 3); /* ours, too, from now on */
    want_from(b, 2, 4, 4);
    assert_answer(b, 0, 4, ERR_BUSY, "others are looked for already");
    want(b, 5, 5);
    assert_answer(b, 1, 5, ERR_BUSY, "others are looked for already");
}

static void test_files_without_end_are_refused_not_swapped(void **state) {
    struct bench *b = *state;
    struct endorser_store store = {0};
    for (unsigned i = 1; i <= LIMIT_COLLATERAL_VEKS + 1; i++) {
        struct entry_collateral c = world_vek(&b->world, i, "");
        struct core_vek vek = {c.key, c.der, c.authority, c.root};
        assert_int_equal(endorser_store_put(&store, &vek, true), i <= LIMIT_COLLATERAL_VEKS);
        assert_int_equal(endorser_store_find(&store, &c.key) != NULL, i <= LIMIT_COLLATERAL_VEKS);
    }
    struct entry_collateral again = world_vek(&b->world, 1, "again");
    struct core_vek vek = {again.key, again.der, again.authority, again.root};
    assert_true(endorser_store_put(&store, &vek, true));
    assert_true(span_equal(endorser_store_find(&store, &again.key)->der, again.der));
    endorser_store_deinit(&store);
}

/* --- Lists */

static void demand_lists(struct bench *b) {
    struct entry_set_manifest s = world_set(&b->world, 0xf, 1);
    AUTO(buf_deinit)
    struct buf json = {0};
    const char *text = (const char *)s.manifest.data;
    const char *at = strstr(text, "\"GuestPolicy\":{}");
    assert_non_null(at);
    buf_append(&json, text, (size_t)(at - text));
    buf_append_str(&json, "\"CRL\":\"require\",");
    buf_append(&json, at, s.manifest.size - (size_t)(at - text));
    s.manifest = buf_span(&json);
    if (world_apply(&b->world, ENTRY_SET_MANIFEST, &s) != ERR_OK) {
        fail_msg("%s", b->world.result.text);
    }
}

static void test_lists_that_the_manifest_demands_are_kept_fresh(void **state) {
    struct bench *b = *state;
    pass(b, 5000);
    assert_int_equal(b->fetches, 0);
    demand_lists(b);
    pass(b, 2000);
    assert_int_equal(b->fetches, 1);
    assert_true(entry_endorsement_is_list(&b->fetched));
    struct entry_collateral c = world_crl(&b->world, 9, "nine");
    c.next_update = on_unix(b) + 30 * 86400;
    endorser_fetched(b->endorser, &c);
    size_t count = 0;
    (void)lists_spans(b->lists, &count);
    assert_int_equal(count, 1);
    pass(b, (ENDORSER_REFRESH_S - 60) * UINT64_C(1000));
    assert_int_equal(b->fetches, 1);
    pass(b, 120000);
    assert_int_equal(b->fetches, 2);
    size_t published = b->published;
    endorser_fetched(b->endorser, &c); /* the same again: seen now, nothing to publish */
    assert_int_equal(b->published, published);
    pass(b, (ENDORSER_REFRESH_S - 200) * UINT64_C(1000));
    assert_int_equal(b->fetches, 2);
}

static void test_a_list_about_to_end_is_fetched_sooner(void **state) {
    struct bench *b = *state;
    demand_lists(b);
    pass(b, 2000);
    struct entry_collateral c = world_crl(&b->world, 9, "nine");
    c.next_update = on_unix(b) + ENDORSER_LAST_S / 2;
    endorser_fetched(b->endorser, &c);
    pass(b, (ENDORSER_LAST_PACE_S + 10) * UINT64_C(1000));
    assert_int_equal(b->fetches, 2);
}

/* AMD was late, and nobody can be verified until the next try. */
static void test_a_list_that_ran_out_is_fetched_again_and_again(void **state) {
    struct bench *b = *state;
    demand_lists(b);
    pass(b, 2000);
    struct entry_collateral c = world_crl(&b->world, 9, "nine");
    c.next_update = on_unix(b) + 60;
    endorser_fetched(b->endorser, &c);
    pass(b, (ENDORSER_OUT_PACE_S - 10) * UINT64_C(1000));
    assert_int_equal(b->fetches, 1);
    pass(b, 20000);
    assert_int_equal(b->fetches, 2);
    endorser_fetched(b->endorser, &c);
    pass(b, (ENDORSER_OUT_PACE_S + 10) * UINT64_C(1000));
    assert_int_equal(b->fetches, 3);
}

static void test_a_list_that_is_wanted_is_there_when_the_answer_comes(void **state) {
    struct bench *b = *state;
    want(b, 1, 0);
    assert_int_equal(b->fetches, 1);
    size_t published = b->published;
    struct entry_collateral c = world_crl(&b->world, 9, "nine");
    endorser_fetched(b->endorser, &c);
    assert_answer(b, 0, 1, ERR_OK, "");
    assert_int_equal(b->published, published + 1);
    want(b, 2, 0);
    assert_answer(b, 1, 2, ERR_UNAVAILABLE, "a moment ago");
    assert_int_equal(b->fetches, 1);
}

static void test_lists_of_log_and_files_meet_the_newest_counts(void **state) {
    struct bench *b = *state;
    struct entry_collateral c = world_crl(&b->world, 9, "nine");
    endorser_learn(b->endorser, &c, true);
    struct entry_collateral ten = world_crl(&b->world, 10, "ten");
    apply(b, &ten);
    endorser_applied(b->endorser);
    size_t count = 0;
    const struct core_crl *rows = lists_rows(b->lists, &count);
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].number, 10);
    size_t published = b->published;
    pass(b, 60000); /* nine is not offered */
    assert_int_equal(b->proposed[COLLATERAL_CRL], 0);
    assert_int_equal(b->published, published);
}

static void test_the_status_says_what_lacks(void **state) {
    struct bench *b = *state;
    char text[300];
    endorser_status(b->endorser, text, sizeof text);
    assert_string_equal(text, "");
    want(b, 1, 3);
    failed(b, 3, ERR_UNAVAILABLE, 0);
    endorser_status(b->endorser, text, sizeof text);
    assert_non_null(strstr(text, "1 endorsements are missing, Milan chip 0000000300000000"));
    assert_non_null(strstr(text, "the service said no; next try in"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_what_the_log_has_is_answered_at_once),
        T(test_one_permission_and_one_request_serve_all_who_wait),
        T(test_nobody_waits_longer_than_the_limit_and_the_search_goes_on),
        T(test_a_failure_is_told_with_its_next_try_and_tried_then),
        T(test_failures_wait_longer_each_time_up_to_the_limit),
        T(test_what_the_service_does_not_have_is_not_asked_for_soon),
        T(test_what_nobody_wants_any_more_is_given_up),
        T(test_another_replica_fetches_and_the_log_brings_it),
        T(test_a_lease_that_ran_out_is_taken_over),
        T(test_the_cluster_keeps_amds_limit),
        T(test_a_clock_that_runs_ahead_moves_no_entry),
        T(test_before_founding_there_is_no_log_to_ask),
        T(test_without_a_service_files_serve),
        T(test_evidence_teaches_once),
        T(test_a_stuck_log_is_offered_the_same_again_later),
        T(test_no_quorum_is_tried_again),
        T(test_chips_that_do_not_exist_keep_no_real_one_out),
        T(test_an_address_has_few_keys_at_a_time),
        T(test_what_failed_gives_way_to_its_addresss_next),
        T(test_a_full_queue_has_room_for_an_address_with_fewer),
        T(test_own_keys_never_give_way),
        T(test_a_report_of_two_products_is_served_by_either),
        T(test_files_without_end_are_refused_not_swapped),
        T(test_lists_that_the_manifest_demands_are_kept_fresh),
        T(test_a_list_about_to_end_is_fetched_sooner),
        T(test_a_list_that_ran_out_is_fetched_again_and_again),
        T(test_a_list_that_is_wanted_is_there_when_the_answer_comes),
        T(test_lists_of_log_and_files_meet_the_newest_counts),
        T(test_the_status_says_what_lacks),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
