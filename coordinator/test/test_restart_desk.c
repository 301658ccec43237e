/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/restart_desk.h"

#define REPLICAS 5 /* processes: number i has the disk of voter i, and id 100 + i */
#define STATE_OF(point) ((point) == 1 ? "state at the first point" : "state at another point....")

/* --- Fixture: disks, processes, a clock */

static uint64_t clock_ms;

static uint64_t read_clock(void *data) {
    (void)data;
    return clock_ms;
}

static const struct host host = {.monotonic_ms = read_clock};

/* Which state a file is of. */
struct point {
    uint64_t epoch;
    uint64_t index;
    uint8_t head;
    size_t voters; /* voters 0..voters - 1 */
};

static const struct point now = {1, 700, 2, 3};
static const struct point before = {1, 500, 2, 3}; /* less of the record, the same manifest */
static const struct point older = {1, 400, 1, 3};  /* another manifest */
static const struct point of_five = {1, 700, 2, 5};
static const struct point alone = {2, 800, 2, 1};

static void make_file(const struct point *p, size_t voter, struct buf *out, struct secret **share) {
    struct restart_voter voters[LIMIT_VOTERS];
    char name[] = "coordinator";
    struct restart_header h = {
        .epoch = p->epoch, .index = p->index, .generation = p->head, .voters = {voters, p->voters}};
    struct arena arena = {0};
    struct restart_file file;
    struct secret *chip = secret_new(32);
    for (size_t i = 0; i < p->voters; i++) {
        voters[i] = (struct restart_voter){.id = i + 1, .name = name};
    }
    memset(h.head, p->head, sizeof h.head);
    memset(secret_data(chip), (int)voter, 32);
    struct span state = span_str(STATE_OF(p->head));
    assert_true(
        is_ok(restart_file_seal(&h, voter + 1, state, SPAN("workload secret"), chip, out, NULL)));
    assert_true(is_ok(restart_file_parse(buf_span(out), &arena, &file, NULL)));
    assert_true(is_ok(restart_file_unseal(&file, chip, share, NULL)));
    secret_free(chip);
    arena_deinit(&arena);
}

struct world {
    struct restart_desk *desks[REPLICAS];
    struct restart_peer seen[REPLICAS]; /* by everybody else */
    struct restart_plan plans[REPLICAS];
};

static void put(struct world *w, size_t replica, size_t voter, const struct point *p,
                uint64_t armed) {
    struct buf file = {0};
    struct secret *share = NULL;
    make_file(p, voter, &file, &share);
    assert_true(is_ok(restart_desk_put(w->desks[replica], &file, share, armed, armed, NULL)));
}

/* Replica i returned with this file of its own disk. */
static void returns(struct world *w, size_t i, const struct point *p) {
    put(w, i, i, p, 0);
}

static int setup(void **state) {
    struct world *w = mem_zalloc(sizeof *w);
    clock_ms = 1000000;
    for (size_t i = 0; i < REPLICAS; i++) {
        w->desks[i] = restart_desk_new(&host, 100 + i);
    }
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < REPLICAS; i++) {
        restart_desk_free(w->desks[i]);
    }
    mem_free(w);
    return 0;
}

/* Everybody looks at everybody, then plans. Who has no file is silent. */
static void look(struct world *w) {
    for (size_t i = 0; i < REPLICAS; i++) {
        struct restart_peer *p = &w->seen[i];
        uint8_t cluster[32];
        p->id = 100 + i;
        bool is_here =
            is_ok(restart_desk_offers(w->desks[i], cluster, p->offers, &p->offer_count, NULL));
        if (p->sight != RESTART_ALIVE) {
            p->sight = is_here ? RESTART_EMPTY : RESTART_SILENT;
        }
    }
    for (size_t i = 0; i < REPLICAS; i++) {
        struct restart_peer peers[REPLICAS];
        memcpy(peers, w->seen, sizeof peers);
        peers[i] = (struct restart_peer){.sight = RESTART_SILENT}; /* itself */
        restart_desk_plan(w->desks[i], peers, REPLICAS, &w->plans[i]);
    }
}

/* Does what GIVE says; returns the collector's answer. */
static enum err_code hand_over(struct world *w, size_t from) {
    const struct restart_plan *p = &w->plans[from];
    assert_int_equal(p->act, RESTART_GIVE);
    struct secret *share = restart_desk_give(w->desks[from], p->digest, p->collector, p->epoch);
    struct result r = restart_desk_take(w->desks[p->collector - 100], 100 + from, p->digest,
                                        p->epoch, secret_span(share), NULL);
    secret_free(share);
    return r.code;
}

static void expect_acts(const struct world *w, size_t count, const enum restart_act *acts) {
    for (size_t i = 0; i < count; i++) {
        char why[RESTART_WHY_SIZE];
        restart_desk_why(w->desks[i], why);
        if (w->plans[i].act != acts[i]) {
            fail_msg("replica %zu: act %d, want %d; %s", i, (int)w->plans[i].act, (int)acts[i],
                     why);
        }
    }
}

#define EXPECT(w, ...)                                                                             \
    expect_acts(w, sizeof((enum restart_act[]){__VA_ARGS__}) / sizeof(enum restart_act),           \
                (const enum restart_act[]){__VA_ARGS__})

static void expect_why(const struct world *w, size_t i, const char *words) {
    char why[RESTART_WHY_SIZE];
    restart_desk_why(w->desks[i], why);
    if (strstr(why, words) == NULL) {
        fail_msg("'%s' lacks '%s'", why, words);
    }
}

static enum err_code open_state(struct world *w, size_t i) {
    struct buf state = {0};
    const struct restart_file *file = NULL;
    struct result r = restart_desk_open(w->desks[i], w->plans[i].digest, &state, &file, NULL);
    if (is_ok(r)) {
        assert_true(span_equal(buf_span(&state), span_str(STATE_OF(file->header.generation))));
    }
    buf_deinit(&state);
    return r.code;
}

/* --- Situations */

static void test_nothing(void **state) {
    struct world *w = *state;
    struct restart_offer offers[LIMIT_RESTART_FILES];
    uint8_t cluster[32];
    size_t count = 0;
    struct buf manifest = {0};
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_OFF);
    assert_int_equal(restart_desk_offers(w->desks[0], cluster, offers, &count, NULL).code,
                     ERR_NOT_FOUND);
    assert_int_equal(restart_desk_manifest(w->desks[0], &manifest, NULL).code, ERR_NOT_FOUND);
}

static void test_minority(void **state) {
    struct world *w = *state;
    returns(w, 1, &now);
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_WAIT, RESTART_OFF);
    expect_why(w, 1, "1 of 3 voters returned");
    expect_why(w, 1, "2 are needed");
}

static void test_majority(void **state) {
    struct world *w = *state;
    returns(w, 1, &now);
    returns(w, 2, &now);
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_WAIT, RESTART_GIVE);
    expect_why(w, 1, "1 of 2 shares");
    assert_int_equal(w->plans[2].collector, 101);
    assert_int_equal(open_state(w, 1), ERR_DENIED); /* not before */
    assert_int_equal(hand_over(w, 2), ERR_OK);
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_RUN, RESTART_WAIT);
    assert_int_equal(w->plans[1].epoch, 2);
    assert_int_equal(open_state(w, 1), ERR_OK);
    expect_why(w, 2, "handed over already");
}

static void test_a_share_twice(void **state) {
    struct world *w = *state;
    put(w, 0, 0, &of_five, 0);
    put(w, 1, 1, &of_five, 0);
    put(w, 2, 2, &of_five, 0);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE, RESTART_GIVE);
    assert_int_equal(hand_over(w, 1), ERR_OK);
    struct buf file = {0};
    struct secret *share = NULL;
    make_file(&of_five, 1, &file, &share);
    assert_true(is_ok(
        restart_desk_take(w->desks[0], 101, w->plans[1].digest, 2, secret_span(share), NULL)));
    secret_free(share);
    buf_deinit(&file);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_GIVE);
    expect_why(w, 0, "2 of 3 shares");
    assert_int_equal(open_state(w, 0), ERR_DENIED);
    assert_int_equal(hand_over(w, 2), ERR_OK);
    look(w);
    EXPECT(w, RESTART_RUN, RESTART_WAIT, RESTART_WAIT);
    assert_int_equal(open_state(w, 0), ERR_OK);
}

/* Two processes over copies of one disk are one voter; so is a giver with the collector's share. */
static void test_clones(void **state) {
    struct world *w = *state;
    put(w, 0, 1, &now, 0);
    put(w, 1, 1, &now, 0);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    expect_why(w, 0, "1 of 3 voters returned");
    returns(w, 2, &now);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE, RESTART_GIVE);
    assert_int_equal(hand_over(w, 1), ERR_OK);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(open_state(w, 0), ERR_DENIED);
}

static void test_different_manifests(void **state) {
    struct world *w = *state;
    returns(w, 0, &older);
    returns(w, 1, &now);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    expect_why(w, 0, "newer state");
    expect_why(w, 1, "1 returned with another state");
    clock_ms += 10 * LIMIT_RESTART_REARM_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    returns(w, 2, &now); /* now two have it; the one with the older file joins later */
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(w->plans[2].collector, 101);
}

/* A majority with an older manifest does not undo a set that one of them has seen. */
static void test_an_older_majority(void **state) {
    struct world *w = *state;
    returns(w, 0, &older);
    returns(w, 1, &older);
    returns(w, 2, &now);
    look(w);
    clock_ms += 10 * LIMIT_RESTART_REARM_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_WAIT);
}

static void test_halves(void **state) {
    static const struct point two[] = {{1, 700, 2, 2}, {1, 700, 3, 2}};
    struct world *w = *state;
    returns(w, 0, &two[0]);
    returns(w, 1, &two[1]);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
}

/* Only the end of the record differs: the common file is used, after a pause for who has more. */
static void test_the_end_of_the_record(void **state) {
    struct world *w = *state;
    returns(w, 0, &before);
    returns(w, 0, &now);
    returns(w, 1, &before);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    expect_why(w, 0, "waits 5 s");
    clock_ms += LIMIT_RESTART_SETTLE_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE);
    returns(w, 2, &now); /* before anything was handed over: the newer one after all */
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(hand_over(w, 2), ERR_OK);
    look(w);
    EXPECT(w, RESTART_RUN);
    assert_int_equal(open_state(w, 0), ERR_OK);
}

/* Fewer voters once decided alone; those who came later may have decided since. */
static void test_other_voters(void **state) {
    static const struct point fewer = {1, 500, 2, 3};
    struct world *w = *state;
    returns(w, 0, &fewer);
    returns(w, 0, &of_five);
    returns(w, 1, &fewer);
    look(w);
    clock_ms += 10 * LIMIT_RESTART_REARM_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    expect_why(w, 0, "1 of 5 voters returned");
}

static void test_a_living_member(void **state) {
    struct world *w = *state;
    returns(w, 0, &now);
    returns(w, 1, &now);
    w->seen[4] = (struct restart_peer){.sight = RESTART_ALIVE, .id = 104, .epoch = 2};
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    expect_why(w, 0, "replica 104 of this deployment lives, in epoch 2");
}

/* Who returns later does not take the collecting over once a share is there. */
static void test_a_late_comer(void **state) {
    struct world *w = *state;
    put(w, 1, 1, &of_five, 0);
    put(w, 2, 2, &of_five, 0);
    put(w, 3, 3, &of_five, 0);
    look(w);
    assert_int_equal(w->plans[2].collector, 101);
    assert_int_equal(hand_over(w, 2), ERR_OK);
    put(w, 0, 0, &of_five, 0);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(w->plans[3].collector, 100); /* two collect, neither has enough */
    assert_int_equal(hand_over(w, 3), ERR_OK);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    clock_ms += LIMIT_RESTART_REARM_MS; /* both shares are worth nothing any more */
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE, RESTART_GIVE, RESTART_GIVE);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(w->plans[i].collector, 100);
        assert_int_equal(hand_over(w, i), ERR_OK);
    }
    look(w);
    EXPECT(w, RESTART_RUN, RESTART_WAIT, RESTART_WAIT, RESTART_WAIT);
    assert_int_equal(w->plans[0].epoch, 3); /* 101 may have begun epoch 2 */
}

static void test_the_collector_dies(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        returns(w, i, &now);
    }
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE, RESTART_GIVE);
    assert_int_equal(hand_over(w, 1), ERR_OK);
    restart_desk_end(w->desks[0], "dead");
    look(w); /* 1 must not arm a second collector now; 2 may still give */
    EXPECT(w, RESTART_OFF, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(hand_over(w, 2), ERR_BUSY);
    clock_ms += LIMIT_RESTART_REARM_MS - 1;
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_WAIT, RESTART_WAIT);
    clock_ms += 1;
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(hand_over(w, 2), ERR_OK);
    look(w);
    EXPECT(w, RESTART_OFF, RESTART_RUN, RESTART_WAIT);
}

static void test_shares_lapse(void **state) {
    struct world *w = *state;
    returns(w, 0, &now);
    returns(w, 1, &now);
    look(w);
    assert_int_equal(hand_over(w, 1), ERR_OK);
    clock_ms += LIMIT_RESTART_ARMED_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_WAIT);
    assert_int_equal(open_state(w, 0), ERR_DENIED);
}

/* An earlier process handed the share over, and died: this one waits, too, and asks for a higher
 * epoch. */
static void test_a_mark_on_disk(void **state) {
    struct world *w = *state;
    put(w, 0, 0, &now, 2);
    returns(w, 1, &now);
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE);
    assert_int_equal(w->plans[1].epoch, 3);
    assert_int_equal(hand_over(w, 1), ERR_BUSY);
    clock_ms += LIMIT_RESTART_REARM_MS;
    look(w);
    EXPECT(w, RESTART_WAIT, RESTART_GIVE);
}

/* A cluster that was being rebuilt: one voter's file must not outvote who came after it. */
static void test_one_voter(void **state) {
    struct world *w = *state;
    returns(w, 0, &alone);
    look(w);
    EXPECT(w, RESTART_WAIT);
    expect_why(w, 0, "cluster of one voter");
    struct restart_peer peers[3] = {
        {.sight = RESTART_SILENT}, {.sight = RESTART_EMPTY, .id = 101}, {.sight = RESTART_SILENT}};
    restart_desk_plan(w->desks[0], peers, 3, &w->plans[0]);
    EXPECT(w, RESTART_RUN);
    restart_desk_plan(w->desks[0], peers, 1, &w->plans[0]); /* a deployment of one replica */
    EXPECT(w, RESTART_RUN);
    assert_int_equal(open_state(w, 0), ERR_OK);
}

/* --- Bad input */

static void test_wrong_shares(void **state) {
    struct world *w = *state;
    uint8_t none[32] = {0};
    uint8_t share[SHARES_SIZE] = {2};
    returns(w, 0, &now);
    look(w);
    const struct restart_offer *o = &w->seen[0].offers[0];
    struct restart_desk *d = w->desks[0];
    assert_int_equal(restart_desk_take(d, 1, none, 2, SPAN(share), NULL).code, ERR_NOT_FOUND);
    assert_int_equal(restart_desk_take(d, 1, o->digest, 2, SPAN(share), NULL).code, ERR_DENIED);
    assert_int_equal(restart_desk_take(d, 1, o->digest, 2, span_of(share, 32), NULL).code,
                     ERR_DENIED);
    assert_int_equal(restart_desk_take(d, 1, o->digest, 2, span_of(share, 0), NULL).code,
                     ERR_DENIED);
    share[0] = 200;
    assert_int_equal(restart_desk_take(d, 1, o->digest, 2, SPAN(share), NULL).code, ERR_DENIED);
}

/* A peer may claim what it likes: it neither starts nor lowers anything. */
static void test_claims(void **state) {
    struct world *w = *state;
    returns(w, 0, &now);
    look(w);
    struct restart_peer liar = w->seen[0];
    liar.id = 7;
    liar.offers[0].x = 200;
    restart_desk_plan(w->desks[0], &liar, 1, &w->plans[0]);
    EXPECT(w, RESTART_WAIT);
    liar.offers[0].x = 2;
    liar.offers[0].armed = UINT64_MAX;
    restart_desk_plan(w->desks[0], &liar, 1, &w->plans[0]);
    EXPECT(w, RESTART_GIVE);
    assert_int_equal(w->plans[0].epoch, 2);
    liar.offers[0].epoch = UINT64_MAX;
    restart_desk_plan(w->desks[0], &liar, 1, &w->plans[0]);
    EXPECT(w, RESTART_WAIT);
}

static void test_wrong_files(void **state) {
    struct world *w = *state;
    struct buf file = {0};
    struct secret *share = secret_new(SHARES_SIZE);
    assert_int_equal(restart_desk_put(w->desks[0], &file, share, 0, 0, NULL).code, ERR_MALFORMED);
    make_file(&now, 0, &file, &share);
    secret_data(share)[5] ^= 1;
    assert_int_equal(restart_desk_put(w->desks[0], &file, share, 0, 0, NULL).code, ERR_DENIED);
    assert_false(restart_desk_is_armed(w->desks[0]));
    returns(w, 0, &now);
    make_file(&now, 0, &file, &share);
    assert_int_equal(restart_desk_put(w->desks[0], &file, share, 0, 0, NULL).code, ERR_INVALID);
}

/* Who belongs to a cluster holds nothing, also what is read from the disk too late. */
static void test_closed(void **state) {
    struct world *w = *state;
    struct buf file = {0};
    struct secret *share = NULL;
    returns(w, 0, &now);
    restart_desk_close(w->desks[0]);
    assert_false(restart_desk_is_armed(w->desks[0]));
    make_file(&now, 0, &file, &share);
    assert_int_equal(restart_desk_put(w->desks[0], &file, share, 0, 0, NULL).code, ERR_CANCELED);
    restart_desk_end(w->desks[0], "too late");
    char why[RESTART_WHY_SIZE];
    restart_desk_why(w->desks[0], why);
    assert_string_equal(why, "");
    look(w);
    EXPECT(w, RESTART_OFF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_minority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_majority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_share_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_different_manifests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_older_majority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_voters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_living_member, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_comer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_collector_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares_lapse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_voter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
