/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/core/core_state.h"
#include "coordinator/core/test/core_world.h"

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -1;
    }
    world_init(w);
    world_start(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void assert_applied(struct world *w, const struct entry_collateral *e) {
    if (world_apply(w, ENTRY_COLLATERAL, e) != ERR_OK) {
        fail_msg("%s: %s", err_name(w->result.code), w->result.text);
    }
}

/* Refused, and nothing but the window of requests differs: what is asked again stays refused. */
static void assert_refused(struct world *w, const struct entry_collateral *e, enum err_code code,
                           const char *text) {
    int64_t time = core_time(w->core);
    size_t veks = 0;
    size_t veks_after = 0;
    size_t crls = 0;
    size_t crls_after = 0;
    struct bucket bucket = w->core->kds;
    size_t leases = w->core->lease_count;
    (void)core_veks(w->core, &veks);
    (void)core_crls(w->core, &crls);
    (void)world_apply(w, ENTRY_COLLATERAL, e);
    if (w->result.code != code || strstr(w->result.text, text) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), text, err_name(w->result.code),
                 w->result.text);
    }
    (void)core_veks(w->core, &veks_after);
    (void)core_crls(w->core, &crls_after);
    assert_int_equal(core_time(w->core), time);
    assert_int_equal(veks_after, veks);
    assert_int_equal(crls_after, crls);
    assert_int_equal(w->core->lease_count, leases);
    assert_int_equal(w->core->kds.taken, bucket.taken);
    assert_int_equal(w->core->kds.since_ms, bucket.since_ms);
    assert_false(w->result.crls_changed);
}

static void test_a_vcek_is_found_under_its_key_alone(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_vek(w, 7, "first");
    assert_null(core_find_vek(w->core, &e.key));
    assert_applied(w, &e);
    assert_false(w->result.already);
    const struct core_vek *v = core_find_vek(w->core, &e.key);
    assert_non_null(v);
    assert_true(span_equal(v->der, e.der));
    struct entry_endorsement other = e.key;
    other.tcb[7]++;
    assert_null(core_find_vek(w->core, &other));
    other = e.key;
    other.product = SNP_GENOA;
    assert_null(core_find_vek(w->core, &other));
    other = e.key;
    other.chip_id[63]++;
    assert_null(core_find_vek(w->core, &other));
}

static void test_the_same_again_is_already_another_edition_replaces(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_vek(w, 7, "first");
    assert_applied(w, &e);
    e = world_vek(w, 7, "first");
    assert_applied(w, &e);
    assert_true(w->result.already);
    e = world_vek(w, 7, "second");
    assert_applied(w, &e);
    assert_false(w->result.already);
    size_t count = 0;
    const struct core_vek *all = core_veks(w->core, &count);
    assert_int_equal(count, 1);
    assert_true(span_equal(all[0].der, e.der));
}

static void test_the_oldest_goes_and_what_is_stored_again_is_newest(void **state) {
    struct world *w = *state;
    for (unsigned i = 1; i <= LIMIT_COLLATERAL_VEKS; i++) {
        struct entry_collateral e = world_vek(w, i, "");
        assert_applied(w, &e);
    }
    struct entry_collateral first = world_vek(w, 1, "");
    assert_applied(w, &first);
    assert_true(w->result.already);
    struct entry_collateral e = world_vek(w, 5000, "");
    assert_applied(w, &e);
    size_t count = 0;
    (void)core_veks(w->core, &count);
    assert_int_equal(count, LIMIT_COLLATERAL_VEKS);
    assert_non_null(core_find_vek(w->core, &first.key));
    assert_non_null(core_find_vek(w->core, &e.key));
    e = world_vek(w, 2, "");
    assert_null(core_find_vek(w->core, &e.key));
    e = world_vek(w, 3, "");
    assert_non_null(core_find_vek(w->core, &e.key));
}

/* AMD answers for any TCB of a genuine chip. */
static void test_many_tcbs_of_one_chip_push_out_no_other(void **state) {
    struct world *w = *state;
    for (unsigned i = 1; i < LIMIT_COLLATERAL_VEKS; i++) {
        struct entry_collateral e = world_vek(w, i, "");
        assert_applied(w, &e);
    }
    struct entry_collateral e = world_vek(w, 500, "");
    for (unsigned i = 0; i < 100; i++) {
        struct entry_collateral other = world_vek(w, 500, "");
        other.key.tcb[0] = (uint8_t)(e.key.tcb[0] + 1 + i);
        assert_applied(w, &other);
        assert_non_null(core_find_vek(w->core, &other.key));
    }
    size_t count = 0;
    (void)core_veks(w->core, &count);
    assert_int_equal(count, LIMIT_COLLATERAL_VEKS);
    for (unsigned i = 1; i < LIMIT_COLLATERAL_VEKS; i++) {
        e = world_vek(w, i, "");
        assert_true(i == 500 || core_find_vek(w->core, &e.key) != NULL);
    }
}

static void test_a_list_gives_way_to_a_higher_number_alone(void **state) {
    struct world *w = *state;
    struct entry_collateral nine = world_crl(w, 9, "nine");
    assert_applied(w, &nine);
    assert_true(w->result.crls_changed);
    struct entry_collateral e = world_crl(w, 9, "nine");
    assert_applied(w, &e);
    assert_true(w->result.already);
    assert_false(w->result.crls_changed);
    size_t count = 0;
    assert_int_equal(core_crls(w->core, &count)[0].seen, core_time(w->core));
    e = world_crl(w, 9, "another nine");
    e.this_update = nine.this_update;
    assert_refused(w, &e, ERR_EXISTS, "9 is not newer");
    e = world_crl(w, 8, "eight");
    e.this_update = nine.this_update;
    assert_refused(w, &e, ERR_EXISTS, "list 9 is known, 8 is not newer");
    e = world_crl(w, 10, "ten");
    assert_applied(w, &e);
    const struct core_crl *all = core_crls(w->core, &count);
    assert_int_equal(count, 1);
    assert_int_equal(all[0].number, 10);
    assert_true(span_equal(all[0].der, span_str("ten")));
}

/* A list in DER that revokes these serial numbers; `edition` makes it another one. */
static struct span make_list(uint8_t out[128], const char *serials, uint8_t edition) {
    static const char algorithm[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05";
    static const char date[] = "\x17\x0d"
                               "260101000000Z";
    size_t count = strlen(serials);
    struct buf b = {0};
    CHECK(count <= 3);
    buf_append_u8(&b, 0x30);
    buf_append_u8(&b, (uint8_t)(2 + 35 + (count == 0 ? 0 : 2 + 20 * count) + 15 + 4));
    buf_append_u8(&b, 0x30);
    buf_append_u8(&b, (uint8_t)(35 + (count == 0 ? 0 : 2 + 20 * count)));
    buf_append(&b, "\x02\x01\x01", 3);
    buf_append(&b, algorithm, sizeof algorithm);
    buf_append(&b, "\x30\x00", 2);
    buf_append(&b, date, sizeof date - 1);
    if (count > 0) {
        buf_append_u8(&b, 0x30);
        buf_append_u8(&b, (uint8_t)(20 * count));
    }
    for (size_t i = 0; i < count; i++) {
        buf_append(&b, "\x30\x12\x02\x01", 4);
        buf_append_u8(&b, (uint8_t)serials[i]);
        buf_append(&b, date, sizeof date - 1);
    }
    buf_append(&b, algorithm, sizeof algorithm);
    buf_append(&b, "\x03\x02\x00", 3);
    buf_append_u8(&b, edition);
    CHECK(b.size <= 128);
    memcpy(out, b.data, b.size);
    struct span der = span_of(out, b.size);
    buf_deinit(&b);
    return der;
}

static struct entry_collateral list_of(struct world *w, uint64_t number, struct span der) {
    struct entry_collateral e = world_crl(w, number, "");
    e.der = der;
    return e;
}

/* A service gave the VLEK list for the VCEK list: numbered apart, and nothing revoked in it. */
static void test_no_list_hides_what_another_one_revokes(void **state) {
    struct world *w = *state;
    uint8_t bytes[5][128];
    size_t count = 0;
    struct entry_collateral e = list_of(w, 10, make_list(bytes[0], "a", 1));
    assert_applied(w, &e);
    e = list_of(w, 100, make_list(bytes[1], "", 2));
    assert_applied(w, &e);
    const struct core_crl *all = core_crls(w->core, &count);
    assert_int_equal(count, 2);
    assert_int_equal(all[0].number, 100);
    assert_int_equal(all[1].number, 10);
    e = list_of(w, 11, make_list(bytes[2], "ab", 3)); /* a lower number than the other's */
    assert_applied(w, &e);
    e = list_of(w, 101, make_list(bytes[3], "", 4));
    assert_applied(w, &e);
    all = core_crls(w->core, &count);
    assert_int_equal(count, 2);
    assert_int_equal(all[0].number, 101);
    assert_int_equal(all[1].number, 11);
    e = list_of(w, 102, make_list(bytes[4], "abc", 5)); /* knows all that they know */
    assert_applied(w, &e);
    all = core_crls(w->core, &count);
    assert_int_equal(count, 1);
    assert_int_equal(all[0].number, 102);
}

static void test_a_snapshot_keeps_lists_beside_each_other(void **state) {
    struct world *w = *state;
    uint8_t bytes[2][128];
    size_t count = 0;
    struct core *copy = NULL;
    struct err err;
    struct buf saved = {0};
    struct entry_collateral e = list_of(w, 100, make_list(bytes[0], "", 1));
    assert_applied(w, &e);
    e = list_of(w, 10, make_list(bytes[1], "a", 2));
    assert_applied(w, &e);
    core_save(w->core, &saved);
    assert_true(is_ok(core_load(buf_span(&saved), &copy, &err)));
    (void)core_crls(copy, &count);
    assert_int_equal(count, 2);
    core_free(copy);
    buf_deinit(&saved);
}

static void test_lists_of_other_roots_and_products_stand_beside(void **state) {
    struct world *w = *state;
    for (unsigned i = 0; i < LIMIT_COLLATERAL_CRLS; i++) {
        struct entry_collateral e = world_crl(w, 9, "nine");
        e.anchor[0] = (uint8_t)(200 - i);
        e.key.product = (uint8_t)(SNP_TURIN - i % 3);
        e.key.signing = i % 2;
        assert_applied(w, &e);
    }
    struct entry_collateral e = world_crl(w, 9, "nine");
    assert_refused(w, &e, ERR_BUSY, "no room");
    size_t count = 0;
    const struct core_crl *all = core_crls(w->core, &count);
    assert_int_equal(count, LIMIT_COLLATERAL_CRLS);
    for (size_t i = 1; i < count; i++) {
        assert_true(all[i - 1].key.product <= all[i].key.product);
    }
}

static void test_time_is_never_below_a_list(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_crl(w, 9, "nine");
    e.this_update = e.time + 100000;
    e.next_update = e.this_update + 1;
    assert_applied(w, &e);
    assert_int_equal(core_time(w->core), e.this_update);
}

/* The test that a cluster behind one address keeps AMD's limit, whoever asks. */
static void test_permissions_come_from_one_bucket(void **state) {
    struct world *w = *state;
    for (unsigned i = 0; i < LIMIT_KDS_BURST; i++) {
        struct entry_collateral e = world_fetch(w, i + 1);
        e.time = w->time = WORLD_TIME + 10;
        assert_applied(w, &e);
    }
    struct entry_collateral e = world_fetch(w, 100);
    e.request.proposer = w->founders[1].id;
    e.time = WORLD_TIME + 11;
    assert_refused(w, &e, ERR_BUSY, "ask again in 9 s");
    assert_int_equal(w->result.wait_ms, LIMIT_KDS_PERIOD_MS - 1000);
    e.request.sequence++;
    e.time = WORLD_TIME + 10 + LIMIT_KDS_PERIOD_MS / 1000;
    assert_applied(w, &e);
    e.request.sequence++;
    e.key.chip_id[9]++;
    assert_refused(w, &e, ERR_BUSY, "ask again in 10 s");
}

static void test_a_key_is_asked_for_by_one_replica(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_fetch(w, 1);
    assert_applied(w, &e);
    struct entry_collateral other = world_fetch(w, 1);
    other.request = (struct entry_request){w->founders[1].id, 1};
    assert_refused(w, &other, ERR_EXISTS, "another replica asks");
    assert_int_equal(w->result.wait_ms, (LIMIT_KDS_LEASE_S - 1) * 1000);
    e = world_fetch(w, 1); /* the holder may, for another token */
    assert_applied(w, &e);
    assert_int_equal(w->core->lease_count, 1);
    other.request.sequence++;
    other.time = e.time + LIMIT_KDS_LEASE_S;
    assert_applied(w, &other);
    assert_int_equal(w->core->lease_count, 1);
    assert_int_equal(w->core->leases[0].proposer, w->founders[1].id);
}

static void test_what_arrived_needs_no_permission(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_fetch(w, 1);
    assert_applied(w, &e);
    e = world_vek(w, 1, "");
    assert_applied(w, &e);
    assert_int_equal(w->core->lease_count, 0);
    uint32_t taken = w->core->kds.taken;
    e = world_fetch(w, 1);
    assert_applied(w, &e);
    assert_true(w->result.already);
    assert_int_equal(w->core->kds.taken, taken);
    assert_int_equal(w->core->lease_count, 0);
}

static void test_a_list_that_is_known_may_be_fetched_again(void **state) {
    struct world *w = *state;
    struct entry_collateral e = world_crl(w, 9, "nine");
    assert_applied(w, &e);
    e = world_fetch(w, 0);
    assert_applied(w, &e);
    assert_false(w->result.already);
    assert_int_equal(w->core->lease_count, 1);
    e = world_crl(w, 9, "nine");
    assert_applied(w, &e);
    assert_int_equal(w->core->lease_count, 0);
}

static void test_endorsements_are_no_leaves(void **state) {
    struct world *w = *state;
    size_t leaves = merkle_log_size(core_ledger(w->core));
    struct entry_collateral all[] = {world_vek(w, 1, ""), world_crl(w, 1, "a"), world_fetch(w, 2)};
    for (size_t i = 0; i < 3; i++) {
        assert_applied(w, &all[i]);
    }
    assert_int_equal(merkle_log_size(core_ledger(w->core)), leaves);
}

/* Each row changes one thing of a good entry. */
enum change {
    NO_PRODUCT,
    PRODUCT_4,
    SIGNING_2,
    VLEK_CHIP,
    VEK_NO_CHIP,
    VEK_EMPTY,
    VEK_LARGE,
    VEK_HALF_CHAIN,
    VEK_NUMBER,
    CRL_CHIP,
    CRL_TCB,
    CRL_EMPTY,
    CRL_NO_ANCHOR,
    CRL_NO_TIME,
    CRL_REVERSED,
    CRL_CHAIN,
    FETCH_DER,
    FETCH_ANCHOR,
    KIND_0,
    KIND_4,
    TIME_0,
    TIME_FAR,
};

static const struct {
    enum change change;
    uint8_t kind;
    const char *text;
} bad[] = {
    {NO_PRODUCT, COLLATERAL_VEK, "product 0"},
    {PRODUCT_4, COLLATERAL_CRL, "product 4"},
    {PRODUCT_4, COLLATERAL_FETCH, "product 4"},
    {SIGNING_2, COLLATERAL_CRL, "signing key 2"},
    {VLEK_CHIP, COLLATERAL_VEK, "names no chip"},
    {VLEK_CHIP, COLLATERAL_FETCH, "names no chip"},
    {VEK_NO_CHIP, COLLATERAL_VEK, "a TCB without a chip"},
    {VEK_NO_CHIP, COLLATERAL_FETCH, "a TCB without a chip"},
    {VEK_EMPTY, COLLATERAL_VEK, "VCEK of 0 bytes"},
    {VEK_LARGE, COLLATERAL_VEK, "VCEK of 4097 bytes"},
    {VEK_HALF_CHAIN, COLLATERAL_VEK, "come together"},
    {VEK_NUMBER, COLLATERAL_VEK, "fields of a list"},
    {CRL_CHIP, COLLATERAL_CRL, "of one chip"},
    {CRL_TCB, COLLATERAL_CRL, "a TCB without a chip"},
    {CRL_EMPTY, COLLATERAL_CRL, "list is empty"},
    {CRL_NO_ANCHOR, COLLATERAL_CRL, "without its root"},
    {CRL_NO_TIME, COLLATERAL_CRL, "time 0"},
    {CRL_REVERSED, COLLATERAL_CRL, "ends before it begins"},
    {CRL_CHAIN, COLLATERAL_CRL, "with certificates"},
    {FETCH_DER, COLLATERAL_FETCH, "with an answer in it"},
    {FETCH_ANCHOR, COLLATERAL_FETCH, "with an answer in it"},
    {KIND_0, COLLATERAL_VEK, "unknown kind 0"},
    {KIND_4, COLLATERAL_VEK, "unknown kind 4"},
    {TIME_0, COLLATERAL_VEK, "time 0"},
    {TIME_FAR, COLLATERAL_FETCH, "out of range"},
};

static void change_key(struct entry_collateral *e, enum change change) {
    if (change == NO_PRODUCT || change == PRODUCT_4) {
        e->key.product = change == NO_PRODUCT ? 0 : 4;
    } else if (change == SIGNING_2 || change == VLEK_CHIP) {
        e->key.signing = change == VLEK_CHIP ? 1 : 2;
    } else if (change == VEK_NO_CHIP) {
        memset(e->key.chip_id, 0, sizeof e->key.chip_id);
    } else if (change == CRL_CHIP) {
        e->key.chip_id[0] = 1;
    } else if (change == CRL_TCB) {
        e->key.tcb[0] = 1;
    } else if (change == KIND_0 || change == KIND_4) {
        e->kind = change == KIND_0 ? 0 : 4;
    }
}

static void change_content(struct entry_collateral *e, enum change change) {
    static const uint8_t large[LIMIT_CERT + 1] = {1};
    if (change == VEK_EMPTY || change == CRL_EMPTY) {
        e->der = span_of(NULL, 0);
    } else if (change == VEK_LARGE || change == FETCH_DER) {
        e->der = SPAN(large);
    } else if (change == VEK_HALF_CHAIN || change == CRL_CHAIN) {
        e->root = span_of(large, 1);
    } else if (change == VEK_NUMBER) {
        e->number = 1;
    } else if (change == CRL_NO_ANCHOR || change == FETCH_ANCHOR) {
        e->anchor[0] = change == FETCH_ANCHOR ? 1 : 0;
    } else if (change == CRL_NO_TIME) {
        e->this_update = 0;
    } else if (change == CRL_REVERSED) {
        e->next_update = e->this_update - 1;
    } else if (change == TIME_0 || change == TIME_FAR) {
        e->time = change == TIME_0 ? 0 : ENTRY_TIME_MAX + 1;
    }
}

static void test_bad_entries_change_nothing(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct entry_collateral e = bad[i].kind == COLLATERAL_VEK   ? world_vek(w, 1, "")
                                    : bad[i].kind == COLLATERAL_CRL ? world_crl(w, 1, "a")
                                                                    : world_fetch(w, 1);
        change_key(&e, bad[i].change);
        change_content(&e, bad[i].change);
        assert_refused(w, &e, ERR_INVALID, bad[i].text);
    }
}

static void fill(struct world *w) {
    struct entry_collateral all[] = {
        world_vek(w, 3, ""),     world_vek(w, 1, ""), world_crl(w, 4, "four"),
        world_crl(w, 9, "vlek"), world_fetch(w, 2),
    };
    all[0].authority = span_str("an ASK");
    all[0].root = span_str("an ARK");
    all[3].key.signing = 1;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_applied(w, &all[i]);
    }
}

static void test_a_snapshot_keeps_endorsements_leases_and_budget(void **state) {
    struct world *w = *state;
    fill(w);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct core *copy = NULL;
    struct err err;
    core_save(w->core, &bytes);
    if (!is_ok(core_load(buf_span(&bytes), &copy, &err))) {
        fail_msg("%s", err.text);
    }
    core_save(copy, &again);
    assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
    core_free(w->core);
    w->core = copy;
    struct entry_collateral e = world_fetch(w, 2);
    e.request.proposer = w->founders[1].id;
    assert_refused(w, &e, ERR_EXISTS, "another replica asks");
    e = world_vek(w, 3, "");
    assert_true(span_equal(core_find_vek(w->core, &e.key)->root, span_str("an ARK")));
}

/* What no log can have led to. */
enum damage {
    VEK_TWICE,
    VEK_WITHOUT_CHIP,
    CRL_ORDER,
    CRL_LATER,
    CRL_UNSEEN,
    LEASE_TWICE,
    LEASE_LATE,
    LEASE_NO_PRODUCT,
    BUCKET_OVER,
    BUCKET_LATER,
};

static void damage_state(struct core *c, enum damage d) {
    struct core_crl crl = c->crls[0];
    switch (d) {
    case VEK_TWICE:
        c->veks[0].key = c->veks[1].key;
        break;
    case VEK_WITHOUT_CHIP:
        memset(&c->veks[1].key.chip_id, 0, 64);
        break;
    case CRL_ORDER:
        c->crls[0] = c->crls[1];
        c->crls[1] = crl;
        break;
    case CRL_LATER:
        c->crls[0].this_update = c->time + 1;
        break;
    case CRL_UNSEEN:
        c->crls[0].seen = 0;
        break;
    case LEASE_TWICE:
        c->leases[c->lease_count++] = c->leases[0];
        break;
    case LEASE_LATE:
        c->leases[0].until = c->time + LIMIT_KDS_LEASE_S + 1;
        break;
    case LEASE_NO_PRODUCT:
        c->leases[0].key.product = 9;
        break;
    case BUCKET_OVER:
        c->kds.taken = LIMIT_KDS_BURST + 1;
        break;
    case BUCKET_LATER:
        c->kds.since_ms = (uint64_t)c->time * 1000 + 1;
        break;
    }
}

static void test_a_damaged_snapshot_is_refused(void **state) {
    struct world *w = *state;
    static const char *const texts[] = {
        "two VCEKs",  "a TCB without a chip", "not in rising order", "a later time", "a later time",
        "two leases", "ends too late",        "product 9",           "5 taken",      "taken",
    };
    fill(w);
    AUTO(buf_deinit)
    struct buf good = {0};
    core_save(w->core, &good);
    for (size_t d = VEK_TWICE; d <= BUCKET_LATER; d++) {
        struct core *c = NULL;
        struct core *loaded = NULL;
        struct err err;
        struct buf bytes = {0};
        assert_true(is_ok(core_load(buf_span(&good), &c, NULL)));
        damage_state(c, (enum damage)d);
        core_save(c, &bytes);
        core_free(c);
        if (is_ok(core_load(buf_span(&bytes), &loaded, &err)) ||
            strstr(err.text, texts[d]) == NULL) {
            fail_msg("damage %zu: '%s'", d, loaded == NULL ? err.text : "accepted");
        }
        buf_deinit(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_a_vcek_is_found_under_its_key_alone),
        T(test_the_same_again_is_already_another_edition_replaces),
        T(test_the_oldest_goes_and_what_is_stored_again_is_newest),
        T(test_many_tcbs_of_one_chip_push_out_no_other),
        T(test_a_list_gives_way_to_a_higher_number_alone),
        T(test_no_list_hides_what_another_one_revokes),
        T(test_a_snapshot_keeps_lists_beside_each_other),
        T(test_lists_of_other_roots_and_products_stand_beside),
        T(test_time_is_never_below_a_list),
        T(test_permissions_come_from_one_bucket),
        T(test_a_key_is_asked_for_by_one_replica),
        T(test_what_arrived_needs_no_permission),
        T(test_a_list_that_is_known_may_be_fetched_again),
        T(test_endorsements_are_no_leaves),
        T(test_bad_entries_change_nothing),
        T(test_a_snapshot_keeps_endorsements_leases_and_budget),
        T(test_a_damaged_snapshot_is_refused),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
