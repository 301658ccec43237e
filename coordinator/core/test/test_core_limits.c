/* A state that gets full: certificates stop first, manifests and members go on.
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

#include "coordinator/core/core_state.h"
#include "coordinator/core/test/core_world.h"
#include "lib/crypto/digest.h"

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -1;
    }
    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void assert_applied(struct world *w, enum entry_type type, const void *body) {
    if (world_apply(w, type, body) != ERR_OK) {
        fail_msg("%s: %s", err_name(w->result.code), w->result.text);
    }
    assert_int_equal(w->result.wait_ms, 0);
}

static void assert_busy(struct world *w, enum entry_type type, const void *body, const char *text) {
    assert_int_equal(world_apply(w, type, body), ERR_BUSY);
    assert_non_null(strstr(w->result.text, text));
    assert_int_equal(w->result.wait_ms, CORE_FULL_MS);
}

/* --- The ledger */

/* Leaves without their entries. */
static void grow_ledger(struct world *w, size_t size) {
    uint8_t leaf[MERKLE_HASH_SIZE] = {1};
    while (merkle_log_size(&w->core->ledger) < size) {
        merkle_log_append(&w->core->ledger, leaf);
    }
}

static bool can_issue(struct world *w) {
    struct entry_issue s = world_issue(w, 1, 2);
    return world_apply(w, ENTRY_ISSUE, &s) == ERR_OK;
}

/* Room for one of each kind: the last ISSUE, then ADMIT, RETIRE, and all others to the end. */
static void test_the_ledger_keeps_room_for_manifests_and_members(void **state) {
    struct world *w = *state;
    world_share(w, 1, 1, false);
    world_start(w);
    assert_int_equal(CORE_LEDGER_ISSUE, LIMIT_LEDGER / 10 * 8);
    grow_ledger(w, CORE_LEDGER_ISSUE - 1);
    assert_true(can_issue(w));
    struct entry_issue i = world_issue(w, 1, 2);
    assert_busy(w, ENTRY_ISSUE, &i, "the ledger has 800000 leaves of 1000000, no room for this");
    struct entry_admit a = world_admit(w, 10, "coordinator-10", 0);
    assert_applied(w, ENTRY_ADMIT, &a);
    grow_ledger(w, CORE_LEDGER_ADMIT);
    a = world_admit(w, 11, "coordinator-11", 0);
    assert_busy(w, ENTRY_ADMIT, &a, "no room for this");
    assert_int_equal(CORE_LEDGER_RETIRE - CORE_LEDGER_ADMIT, 2 * LIMIT_MEMBERS); /* all may go */
    struct entry_retire t = world_retire(w, w->founders[1].id, RETIRE_ASKED);
    assert_applied(w, ENTRY_RETIRE, &t);
    grow_ledger(w, CORE_LEDGER_RETIRE);
    t = world_retire(w, w->founders[1].id, RETIRE_REMOVED);
    assert_busy(w, ENTRY_RETIRE, &t, "no room for this");
    assert_true(LIMIT_LEDGER - CORE_LEDGER_RETIRE >= LIMIT_HISTORY + LIMIT_EPOCHS);
    struct entry_set_manifest s = world_set(w, 0xf, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    grow_ledger(w, LIMIT_LEDGER);
    s = world_set(w, 0xf, 2);
    assert_busy(w, ENTRY_SET_MANIFEST, &s, "no room for this");
    struct entry_level l = world_level(w, 3);
    for (size_t k = 0; k < w->core->member_count; k++) {
        w->core->members[k].member.version = 3;
    }
    assert_busy(w, ENTRY_LEVEL, &l, "no room for this");
    w->core->is_checkpoint = true;
    struct entry_recover e = world_recover(w, RECOVERY_SURVIVOR, 1);
    e.recipient.version = 3;
    assert_busy(w, ENTRY_RECOVER, &e, "no room for this");
}

/* --- Manifests and policies: no limit of theirs stops certificates or members */

static void assert_others_go_on(struct world *w) {
    assert_true(can_issue(w));
    struct entry_admit a = world_admit(w, 10, "coordinator-10", 0);
    assert_applied(w, ENTRY_ADMIT, &a);
    struct entry_retire t = world_retire(w, a.member.id, RETIRE_DEAD);
    assert_applied(w, ENTRY_RETIRE, &t);
}

static void test_a_full_history_stops_manifests_alone(void **state) {
    struct world *w = *state;
    world_start(w);
    for (unsigned i = 1; i < LIMIT_HISTORY; i++) {
        struct entry_set_manifest s = world_set(w, 0xf, i);
        assert_applied(w, ENTRY_SET_MANIFEST, &s);
    }
    struct entry_set_manifest s = world_set(w, 0xf, LIMIT_HISTORY);
    assert_int_equal(world_apply(w, ENTRY_SET_MANIFEST, &s), ERR_TOO_LARGE);
    assert_non_null(strstr(w->result.text, "history is full (1000 manifests"));
    assert_others_go_on(w);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct core *copy = NULL;
    core_save(w->core, &bytes);
    assert_true(is_ok(core_load(buf_span(&bytes), &copy, NULL)));
    core_free(copy);
}

static struct entry_blob numbered_blob(struct world *w, unsigned number) {
    char text[32];
    struct entry_blob b = {.request = world_request(w)};
    int size = snprintf(text, sizeof text, "package number_%u", number);
    b.policy = span_of(arena_strndup(&w->arena, text, (size_t)size), (size_t)size);
    sha256(b.policy, b.hash);
    return b;
}

static void test_full_policies_stop_policies_alone(void **state) {
    struct world *w = *state;
    world_start(w);
    for (unsigned i = 0; i < LIMIT_BLOBS - WORLD_POLICIES; i++) {
        struct entry_blob b = numbered_blob(w, i);
        assert_applied(w, ENTRY_BLOB, &b);
    }
    struct entry_blob b = numbered_blob(w, LIMIT_BLOBS);
    assert_busy(w, ENTRY_BLOB, &b, "no room");
    assert_others_go_on(w);
    struct entry_set_manifest s = world_set(w, 0xf, 1); /* drops those that nobody named */
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    b.request = world_request(w);
    assert_applied(w, ENTRY_BLOB, &b);
}

static void test_full_bytes_of_policies(void **state) {
    struct world *w = *state;
    world_start(w);
    static uint8_t large[LIMIT_POLICY];
    while (LIMIT_BLOB_BYTES - w->core->blob_size >= sizeof large) {
        struct entry_blob b = {.request = world_request(w), .policy = SPAN(large)};
        store_u64be(large, w->sequence);
        sha256(b.policy, b.hash);
        assert_applied(w, ENTRY_BLOB, &b);
    }
    struct entry_blob b = {.request = world_request(w), .policy = SPAN(large)};
    store_u64be(large, w->sequence);
    sha256(b.policy, b.hash);
    assert_busy(w, ENTRY_BLOB, &b, "no room");
    assert_others_go_on(w);
}

/* --- All of it at once fits a snapshot */

static void test_a_full_state_fits_a_snapshot(void **state) {
    (void)state;
    size_t member =
        ENTRY_EVIDENCE + LIMIT_SPKI + 2 * LIMIT_ADDRESS + LIMIT_NAME + LIMIT_REQUEST_WINDOW + 128;
    size_t vek = 3 * LIMIT_CERT + 128;
    size_t recovery = LIMIT_SHARE_OWNERS * (LIMIT_PKCS1 + LIMIT_RSA_SIGNATURE + 16) + 256;
    size_t all = LIMIT_HISTORY_BYTES + LIMIT_HISTORY * (size_t)128 + LIMIT_BLOB_BYTES +
                 LIMIT_BLOBS * (size_t)64 + LIMIT_LEDGER * (size_t)MERKLE_HASH_SIZE +
                 (LIMIT_MEMBERS + LIMIT_VOTERS) * member + LIMIT_COLLATERAL_VEKS * vek +
                 LIMIT_COLLATERAL_CRLS * (LIMIT_CRL + (size_t)128) + LIMIT_EPOCHS * recovery +
                 LIMIT_KDS_LEASES * (size_t)128 + LIMIT_REFERENCE_VALUES * (size_t)40 +
                 3 * (size_t)ENTRY_KEY + 1024;
    assert_true(all <= LIMIT_SNAPSHOT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_ledger_keeps_room_for_manifests_and_members),
        TEST(test_a_full_history_stops_manifests_alone),
        TEST(test_full_policies_stop_policies_alone),
        TEST(test_full_bytes_of_policies),
        TEST(test_a_full_state_fits_a_snapshot),
    };
    return cmocka_run_group_tests_name("core_limits", tests, NULL, NULL);
}
