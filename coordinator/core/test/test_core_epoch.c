/* Levels, owners who retire a member, and recoveries.
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

#include "coordinator/core/test/core_world.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

/* --- Fixture */

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

static void hash_of(const struct world *w, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    core_save(w->core, &bytes);
    sha256(buf_span(&bytes), out);
}

static void assert_result(const struct world *w, enum err_code code, const char *text) {
    if (w->result.code != code || strstr(w->result.text, text) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), text, err_name(w->result.code),
                 w->result.text);
    }
}

static void assert_refused(struct world *w, enum entry_type type, const void *body,
                           enum err_code code, const char *text) {
    size_t leaves = merkle_log_size(core_ledger(w->core));
    uint64_t level = core_level(w->core);
    uint64_t epoch = core_epoch(w->core);
    int64_t time = core_time(w->core);
    (void)world_apply(w, type, body);
    assert_result(w, code, text);
    assert_int_equal(merkle_log_size(core_ledger(w->core)), leaves);
    assert_int_equal(core_level(w->core), level);
    assert_int_equal(core_epoch(w->core), epoch);
    assert_int_equal(core_time(w->core), time);
}

static void assert_applied(struct world *w, enum entry_type type, const void *body) {
    if (world_apply(w, type, body) != ERR_OK) {
        fail_msg("%s: %s", err_name(w->result.code), w->result.text);
    }
}

static void start_with_versions(struct world *w, uint64_t first, uint64_t others) {
    for (size_t i = 0; i < WORLD_FOUNDERS; i++) {
        w->founders[i].version = i == 0 ? first : others;
    }
    world_start(w);
}

/* --- LEVEL */

static void test_the_level_is_the_least_that_founders_know(void **state) {
    struct world *w = *state;
    assert_int_equal(core_level(w->core), 0);
    assert_false(core_uses(w->core, ENTRY_ISSUE));
    start_with_versions(w, 2, 7);
    assert_int_equal(core_level(w->core), 2);
    assert_true(core_uses(w->core, ENTRY_COLLATERAL));
}

static void test_a_level_rises_when_every_member_knows_it(void **state) {
    struct world *w = *state;
    start_with_versions(w, 1, 2);
    struct entry_level l = world_level(w, 1);
    assert_refused(w, ENTRY_LEVEL, &l, ERR_DENIED, "level 1, the cluster uses 1 already");
    l = world_level(w, 2);
    char text[128];
    snprintf(text, sizeof text, "level 2: %s knows 1", w->founders[0].name);
    assert_refused(w, ENTRY_LEVEL, &l, ERR_DENIED, text);
    struct entry_admit a = world_admit(w, 10, w->founders[0].name, w->founders[0].id);
    a.request.proposer = w->founders[1].id;
    assert_applied(w, ENTRY_ADMIT, &a);
    l.request = (struct entry_request){w->founders[1].id, 100};
    assert_refused(w, ENTRY_LEVEL, &l, ERR_DENIED, text); /* it leaves, and is there still */
    struct entry_retire t = world_retire(w, w->founders[0].id, RETIRE_REMOVED);
    t.request = (struct entry_request){w->founders[1].id, 101};
    assert_applied(w, ENTRY_RETIRE, &t);
    l.request.sequence = 102;
    l.time = 0;
    assert_refused(w, ENTRY_LEVEL, &l, ERR_INVALID, "time 0");
    l.time = w->time;
    l.request.sequence = 103;
    size_t leaves = merkle_log_size(core_ledger(w->core));
    assert_applied(w, ENTRY_LEVEL, &l);
    assert_int_equal(core_level(w->core), 2);
    assert_int_equal(merkle_log_size(core_ledger(w->core)), leaves + 1);
}

static void test_who_knows_less_is_not_admitted(void **state) {
    struct world *w = *state;
    start_with_versions(w, 2, 2);
    struct entry_admit a = world_admit(w, 10, "newcomer", 0);
    a.member.version = 1;
    assert_refused(w, ENTRY_ADMIT, &a, ERR_DENIED,
                   "newcomer knows entries up to version 1, the cluster uses version 2");
    a = world_admit(w, 10, "newcomer", 0);
    a.member.version = 0;
    assert_refused(w, ENTRY_ADMIT, &a, ERR_INVALID, "entry version 0");
    a = world_admit(w, 10, "newcomer", 0);
    a.member.version = 256;
    assert_refused(w, ENTRY_ADMIT, &a, ERR_INVALID, "entry version 256");
    a = world_admit(w, 10, "newcomer", 0);
    a.member.version = 255;
    assert_applied(w, ENTRY_ADMIT, &a);
}

/* The refusal leaves no trace but `applied`, not even the request: who cannot read the entry does
 * not know it. The hash is that of a build that could not (test_core_v1.c). */
static void test_what_the_cluster_does_not_use_is_refused(void **state) {
    struct world *w = *state;
    start_with_versions(w, 1, 1);
    struct entry_collateral e = world_vek(w, 1, "first");
    assert_refused(w, ENTRY_COLLATERAL, &e, ERR_DENIED,
                   "entry of version 2, the cluster uses versions up to 1");
    assert_true(w->result.decoded);
    assert_false(w->result.must_freeze);
    uint8_t hash[32];
    char hex[65];
    core_state_hash(w->core, hash);
    hex_encode(SPAN(hash), hex);
    assert_string_equal(hex, WORLD_LEVEL_1_HASH);
}

static void test_what_nobody_here_knows_freezes(void **state) {
    struct world *w = *state;
    start_with_versions(w, 3, 3);
    struct entry_issue s = world_issue(w, 1, 2);
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(ENTRY_ISSUE, &s, &entry);
    entry.data[1] = 4; /* above the level: everybody refuses it */
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_DENIED);
    assert_int_equal(core_applied_index(w->core), w->index);
    entry.data[1] = 2; /* known, but not of this type */
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_MALFORMED);
    entry.data[1] = 3;
    uint64_t applied = core_applied_index(w->core);
    uint8_t before[32];
    uint8_t after[32];
    hash_of(w, before);
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_FROZEN);
    assert_true(w->result.must_freeze);
    assert_int_equal(core_applied_index(w->core), applied);
    hash_of(w, after);
    assert_memory_equal(before, after, 32);
    entry.data[1] = 1; /* known, but behind one that would be left out */
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_FROZEN);
    assert_true(w->result.must_freeze);
    assert_non_null(strstr(w->result.text, "before this is not known"));
    assert_int_equal(core_applied_index(w->core), applied);
}

/* --- RETIRE_OWNER */

static void test_an_owner_retires_a_member(void **state) {
    struct world *w = *state;
    world_start(w);
    uint64_t id = w->founders[1].id;
    struct entry_retire t = world_retire(w, id, RETIRE_OWNER);
    t.signer = span_str("somebody else");
    assert_refused(w, ENTRY_RETIRE, &t, ERR_SIGNATURE, "does not name the signer");
    t = world_retire(w, id, RETIRE_OWNER);
    t.signature.size = 0;
    assert_refused(w, ENTRY_RETIRE, &t, ERR_SIGNATURE, "not signed");
    t = world_retire(w, id, RETIRE_OWNER);
    t.signer.size = 0;
    assert_refused(w, ENTRY_RETIRE, &t, ERR_SIGNATURE, "not signed");
    for (unsigned reason = RETIRE_ASKED; reason <= RETIRE_REMOVED; reason++) {
        t = world_retire(w, id, RETIRE_OWNER);
        t.reason = (uint8_t)reason;
        assert_refused(w, ENTRY_RETIRE, &t, ERR_INVALID, "where no owner asks");
    }
    t = world_retire(w, id, RETIRE_OWNER);
    t.reason = 5;
    assert_refused(w, ENTRY_RETIRE, &t, ERR_INVALID, "unknown reason 5");
    t = world_retire(w, id, RETIRE_OWNER);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_int_equal(core_find_member(w->core, id)->state, CORE_LEAVING);
    t = world_retire(w, id, RETIRE_OWNER);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_true(w->result.already);
}

static void test_what_an_owner_signs_to_retire(void **state) {
    (void)state;
    uint8_t cluster[32];
    memset(cluster, 0xcc, sizeof cluster);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    entry_retire_signed_bytes(cluster, 2, 3, &bytes);
    assert_int_equal(bytes.size, 19 + 32 + 16);
    assert_memory_equal(bytes.data, "contrast-retire-v1", 19);
    assert_memory_equal(bytes.data + 19, cluster, 32);
    assert_int_equal(load_u64be(bytes.data + 51), 2);
    assert_int_equal(load_u64be(bytes.data + 59), 3);
}

/* --- RECOVER: refusals, one field at a time */

static void start_shared(struct world *w) {
    world_share(w, WORLD_SHARE_OWNERS, 2, false);
    world_start(w);
    struct entry_issue s = world_issue(w, 2, 2);
    assert_applied(w, ENTRY_ISSUE, &s);
}

typedef void change_cb(struct world *w, struct entry_recover *e);

static struct recovery_signature *signatures_of(struct entry_recover *e) {
    return e->signatures.items;
}

static void change_request(struct world *w, struct entry_recover *e) {
    e->request = world_request(w);
}
static void change_epoch(struct world *w, struct entry_recover *e) {
    (void)w;
    e->epoch = 1;
}
static void change_epoch_zero(struct world *w, struct entry_recover *e) {
    (void)w;
    e->epoch = 0;
}
static void change_epoch_huge(struct world *w, struct entry_recover *e) {
    (void)w;
    e->epoch = UINT64_MAX;
}
static void change_previous(struct world *w, struct entry_recover *e) {
    (void)w;
    e->previous_epoch = 0;
}
static void change_previous_high(struct world *w, struct entry_recover *e) {
    (void)w;
    e->previous_epoch = 2;
    e->epoch = 3;
}
static void change_mode(struct world *w, struct entry_recover *e) {
    (void)w;
    e->mode = 0;
}
static void change_mode_high(struct world *w, struct entry_recover *e) {
    (void)w;
    e->mode = 4;
}
static void change_automatic(struct world *w, struct entry_recover *e) {
    (void)w;
    e->mode = RECOVERY_AUTOMATIC;
    e->signatures.count = 0;
}
static void change_generation(struct world *w, struct entry_recover *e) {
    (void)w;
    e->generation++;
}
static void change_head(struct world *w, struct entry_recover *e) {
    (void)w;
    e->head[31] ^= 1;
}
static void change_index(struct world *w, struct entry_recover *e) {
    (void)w;
    e->index--;
}
static void change_index_high(struct world *w, struct entry_recover *e) {
    (void)w;
    e->index++;
}
static void change_ledger_size(struct world *w, struct entry_recover *e) {
    (void)w;
    e->ledger_size--;
    merkle_log_root_at(core_ledger(w->core), e->ledger_size, e->ledger_root);
}
static void change_ledger_root(struct world *w, struct entry_recover *e) {
    (void)w;
    e->ledger_root[0] ^= 1;
}
static void change_recipient(struct world *w, struct entry_recover *e) {
    e->recipient = world_member(w, 50, "coordinator-9", 2);
    e->mode = RECOVERY_CHECKPOINT;
}
static void change_recipient_key(struct world *w, struct entry_recover *e) {
    (void)w;
    e->recipient.spki = span_str("another key");
}
static void change_recipient_version(struct world *w, struct entry_recover *e) {
    (void)w;
    e->recipient.version = 1;
}
static void change_survivor(struct world *w, struct entry_recover *e) {
    e->recipient = world_member(w, 50, "coordinator-9", 0);
}
static void change_to_one_signature(struct world *w, struct entry_recover *e) {
    (void)w;
    e->signatures.count = 1;
}
static void change_to_none(struct world *w, struct entry_recover *e) {
    (void)w;
    e->signatures.count = 0;
}
static void change_to_twice(struct world *w, struct entry_recover *e) {
    (void)w;
    signatures_of(e)[1].key = signatures_of(e)[0].key;
}
static void change_to_stranger(struct world *w, struct entry_recover *e) {
    signatures_of(e)[1].key = world_share_owner(w, WORLD_SHARE_OWNERS);
}
static void change_signature(struct world *w, struct entry_recover *e) {
    (void)w;
    signatures_of(e)[1].signature.size = 0;
}
static void change_mesh_key(struct world *w, struct entry_recover *e) {
    (void)w;
    e->mesh_key.size = 0;
}
static void change_mesh_cert(struct world *w, struct entry_recover *e) {
    (void)w;
    e->mesh_cert.size = 0;
}
static void change_intermediate(struct world *w, struct entry_recover *e) {
    (void)w;
    e->intermediate.size = 0;
}
static void change_time(struct world *w, struct entry_recover *e) {
    (void)w;
    e->time = 0;
}
static void change_time_far(struct world *w, struct entry_recover *e) {
    (void)w;
    e->time = ENTRY_TIME_MAX + 1;
}

static const struct {
    change_cb *change;
    enum err_code code;
    const char *text;
} deviations[] = {
    {change_request, ERR_INVALID, "a recovery has no proposer"},
    {change_epoch, ERR_DENIED, "epoch 1 does not follow epoch 1"},
    {change_epoch_zero, ERR_DENIED, "epoch 0 does not follow epoch 1"},
    {change_epoch_huge, ERR_DENIED, "does not follow epoch 1"},
    {change_previous, ERR_DIFFERS, "previous epoch 0, this state has 1"},
    {change_previous_high, ERR_DIFFERS, "previous epoch 2, this state has 1"},
    {change_mode, ERR_INVALID, "unknown mode 0"},
    {change_mode_high, ERR_INVALID, "unknown mode 4"},
    {change_automatic, ERR_DENIED, "does not permit a recovery without share owners"},
    {change_generation, ERR_DIFFERS, "generation 2, this state has 1"},
    {change_head, ERR_DIFFERS, "another head"},
    {change_index, ERR_DIFFERS, "index 6, this state has 7"},
    {change_index_high, ERR_DIFFERS, "index 8, this state has 7"},
    {change_ledger_size, ERR_DIFFERS, "ledger of 2 leaves, this state's has 3"},
    {change_ledger_root, ERR_DIFFERS, "another ledger"},
    {change_recipient, ERR_DENIED, "coordinator-9: its host data has not role coordinator"},
    {change_recipient_key, ERR_INVALID, "the id does not belong to its key"},
    {change_recipient_version, ERR_DENIED, "knows entries up to version 1"},
    {change_survivor, ERR_DENIED, "coordinator-9 is no survivor"},
    {change_to_one_signature, ERR_SIGNATURE, "1 share owners signed, 2 are needed"},
    {change_to_none, ERR_SIGNATURE, "0 share owners signed, 2 are needed"},
    {change_to_twice, ERR_SIGNATURE, "one share owner signed twice"},
    {change_to_stranger, ERR_SIGNATURE, "signature 1 is by nobody"},
    {change_signature, ERR_SIGNATURE, "signature 1 is empty"},
    {change_mesh_key, ERR_INVALID, "mesh CA key or certificates are missing"},
    {change_mesh_cert, ERR_INVALID, "mesh CA key or certificates are missing"},
    {change_intermediate, ERR_INVALID, "mesh CA key or certificates are missing"},
    {change_time, ERR_INVALID, "time 0"},
    {change_time_far, ERR_INVALID, "out of range"},
};

static void test_recover_is_of_exactly_its_state(void **state) {
    struct world *w = *state;
    start_shared(w);
    for (size_t i = 0; i < sizeof deviations / sizeof deviations[0]; i++) {
        w->index = core_applied_index(w->core);
        world_checkpoint(w);
        struct core *kept = core_copy(w->core);
        struct entry_recover e = world_recover(w, RECOVERY_SURVIVOR, 2);
        deviations[i].change(w, &e);
        assert_refused(w, ENTRY_RECOVER, &e, deviations[i].code, deviations[i].text);
        assert_true(core_is_checkpoint(w->core));
        core_free(w->core);
        w->core = kept;
    }
    w->index = core_applied_index(w->core);
    struct entry_recover e = world_recover(w, RECOVERY_SURVIVOR, 2);
    assert_applied(w, ENTRY_RECOVER, &e);
}

static void test_recover_is_the_first_of_a_new_log(void **state) {
    struct world *w = *state;
    start_shared(w);
    struct entry_recover e = world_recover(w, RECOVERY_SURVIVOR, 2);
    assert_refused(w, ENTRY_RECOVER, &e, ERR_DENIED, "this cluster lives");
    world_checkpoint(w);
    struct entry_issue s = world_issue(w, 1, 2);
    assert_refused(w, ENTRY_ISSUE, &s, ERR_INVALID, "a checkpoint takes nothing but RECOVER");
    e = world_recover(w, RECOVERY_SURVIVOR, 2);
    assert_applied(w, ENTRY_RECOVER, &e);
    assert_false(core_is_checkpoint(w->core));
    e.epoch++;
    assert_refused(w, ENTRY_RECOVER, &e, ERR_DENIED, "this cluster lives");
}

static void test_without_share_owners_nobody_recovers(void **state) {
    struct world *w = *state;
    world_start(w);
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 0);
    assert_refused(w, ENTRY_RECOVER, &e, ERR_DENIED, "names no share owners");
}

static void test_an_automatic_recovery_has_no_signatures(void **state) {
    struct world *w = *state;
    world_share(w, 1, 1, true);
    world_start(w);
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, RECOVERY_AUTOMATIC, 1);
    assert_refused(w, ENTRY_RECOVER, &e, ERR_INVALID, "an automatic recovery with signatures");
    w->index = core_applied_index(w->core);
    e = world_recover(w, RECOVERY_AUTOMATIC, 0);
    assert_applied(w, ENTRY_RECOVER, &e);
}

/* --- RECOVER: what it does */

/* Everything that has to stay, as digests. */
struct stays {
    uint8_t root_key[32], root_cert[32], secret[32], head[32], history[32], blobs[32];
    uint64_t issued;
    size_t endorsements, crls;
};

static void digest_history(const struct core *c, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf all = {0};
    size_t count = 0;
    const struct core_record *records = core_records(c, &count);
    for (size_t i = 0; i < count; i++) {
        buf_append_span(&all, records[i].manifest);
        buf_append_span(&all, records[i].signer);
        buf_append_span(&all, records[i].signature);
        buf_append_span(&all, records[i].root_cert);
        buf_append(&all, records[i].transition, 32);
    }
    sha256(buf_span(&all), out);
}

static struct stays stays_of(const struct world *w) {
    struct stays s;
    memset(&s, 0, sizeof s);
    struct core_ca ca = core_ca(w->core);
    sha256(ca.root_key, s.root_key);
    sha256(ca.root_cert, s.root_cert);
    sha256(ca.workload_secret, s.secret);
    memcpy(s.head, core_head(w->core), 32);
    digest_history(w->core, s.history);
    struct span blobs[WORLD_POLICIES];
    for (size_t i = 0; i < WORLD_POLICIES; i++) {
        blobs[i] = core_blob(w->core, w->hashes[i]);
    }
    sha256_parts(blobs, WORLD_POLICIES, s.blobs);
    s.issued = core_issue_count(w->core);
    (void)core_veks(w->core, &s.endorsements);
    (void)core_crls(w->core, &s.crls);
    return s;
}

static void test_recover_keeps_what_has_to_stay(void **state) {
    struct world *w = *state;
    start_shared(w);
    struct entry_collateral v = world_vek(w, 1, "first");
    assert_applied(w, ENTRY_COLLATERAL, &v);
    struct stays before = stays_of(w);
    assert_int_equal(before.endorsements, 1);
    world_checkpoint(w);
    assert_int_equal(core_ca(w->core).mesh_key.size, 0);
    size_t leaves = merkle_log_size(core_ledger(w->core));
    uint8_t root[48];
    merkle_log_root(core_ledger(w->core), root);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    e.epoch = 5;
    assert_applied(w, ENTRY_RECOVER, &e);
    struct stays after = stays_of(w);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(core_epoch(w->core), 5);
    struct core_ca ca = core_ca(w->core);
    assert_true(span_equal(ca.mesh_key, e.mesh_key));
    assert_true(span_equal(ca.mesh_cert, e.mesh_cert));
    assert_true(span_equal(ca.intermediate, e.intermediate));
    size_t count = 0;
    const struct core_member *members = core_members(w->core, &count);
    assert_int_equal(count, 1);
    assert_int_equal(members[0].member.id, e.recipient.id);
    assert_int_equal(members[0].state, CORE_MEMBER);
    assert_int_equal(members[0].admitted_index, w->index);
    assert_int_equal(merkle_log_size(core_ledger(w->core)), leaves + 1);
    uint8_t now[48];
    merkle_log_root_at(core_ledger(w->core), leaves, now);
    assert_memory_equal(root, now, 48);
}

static void test_the_leaf_of_a_recovery_hides_its_key(void **state) {
    struct world *w = *state;
    start_shared(w);
    struct entry e = {.type = ENTRY_RECOVER};
    e.recover = world_recover(w, RECOVERY_CHECKPOINT, 2);
    uint8_t leaf[ENTRY_LEAF_SIZE];
    uint8_t again[ENTRY_LEAF_SIZE];
    entry_leaf(&e, 9, leaf);
    e.recover.mesh_key = span_str("another");
    entry_leaf(&e, 9, again);
    assert_memory_equal(leaf, again, sizeof leaf);
    e.recover.mesh_cert = span_str("another");
    entry_leaf(&e, 9, again);
    assert_memory_not_equal(leaf, again, sizeof leaf);
    assert_int_equal(leaf[0], 10);
    assert_int_equal(leaf[1], 1);
}

/* A checkpoint of a state whose leases and members are others': nothing of them goes on. */
static void test_leases_of_the_old_members_end(void **state) {
    struct world *w = *state;
    start_shared(w);
    struct entry_collateral f = world_fetch(w, 1);
    assert_applied(w, ENTRY_COLLATERAL, &f);
    f = world_fetch(w, 1);
    f.request = (struct entry_request){w->founders[1].id, 1};
    assert_refused(w, ENTRY_COLLATERAL, &f, ERR_EXISTS, "another replica asks");
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    assert_applied(w, ENTRY_RECOVER, &e);
    f.request = (struct entry_request){e.recipient.id, 1};
    assert_applied(w, ENTRY_COLLATERAL, &f);
}

/* --- RECOVER: going on */

/* From now on the recipient proposes. */
static void go_on_as(struct world *w, const struct entry_recover *e) {
    w->founders[0] = e->recipient;
    w->sequence = 0;
}

static void recover(struct world *w, enum recovery_mode mode) {
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, mode, 2);
    assert_applied(w, ENTRY_RECOVER, &e);
    go_on_as(w, &e);
}

static void test_serial_numbers_differ_by_epoch(void **state) {
    struct world *w = *state;
    start_shared(w);
    struct core *old = core_copy(w->core);
    recover(w, RECOVERY_CHECKPOINT);
    struct entry_issue s = world_issue(w, 1, 2);
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_int_equal(w->result.issued[0].index, 3);
    uint8_t want[ENTRY_SERIAL_SIZE];
    entry_serial(core_cluster(w->core), 2, 3, want);
    assert_memory_equal(w->result.issued[0].serial, want, sizeof want);
    entry_serial(core_cluster(w->core), 1, 3, want);
    assert_memory_not_equal(w->result.issued[0].serial, want, sizeof want);
    core_free(old);
}

/* Transitions by the rule of lib/manifest, hashed here once more. */
static void test_each_generation_has_the_epoch_before_it(void **state) {
    struct world *w = *state;
    start_shared(w);
    recover(w, RECOVERY_SURVIVOR);
    recover(w, RECOVERY_CHECKPOINT);
    struct entry_set_manifest s = world_set(w, 0xf, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    recover(w, RECOVERY_CHECKPOINT);
    s = world_set(w, 0xf, 2);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    static const uint64_t epochs[] = {1, 3, 4};
    size_t count = 0;
    const struct core_record *records = core_records(w->core, &count);
    assert_int_equal(count, 3);
    uint8_t previous[32] = {0};
    for (size_t i = 0; i < count; i++) {
        struct transition t = {.epoch = epochs[i], .generation = i + 1};
        AUTO(manifest_deinit)
        struct manifest m = {0};
        assert_true(is_ok(manifest_parse(records[i].manifest, &m, NULL)));
        memcpy(t.cluster, core_cluster(w->core), 32);
        memcpy(t.previous, previous, 32);
        memcpy(t.manifest_hash, m.hash, 32);
        manifest_policies_hash(&m, t.policies_hash);
        transition_hash(&t, previous);
        assert_memory_equal(previous, records[i].transition, 32);
    }
    const struct core_recovery *recoveries = core_recoveries(w->core, &count);
    assert_int_equal(count, 3);
    assert_int_equal(recoveries[0].recovery.generation, 1);
    assert_int_equal(recoveries[1].recovery.generation, 1);
    assert_int_equal(recoveries[2].recovery.generation, 2);
    assert_int_equal(recoveries[2].recovery.epoch, 4);
    assert_int_equal(recoveries[2].signature_count, 2);
    assert_true(span_equal(recoveries[2].signatures[1].key, world_share_owner(w, 1)));
}

static void test_the_cluster_grows_again_after_a_recovery(void **state) {
    struct world *w = *state;
    start_shared(w);
    recover(w, RECOVERY_CHECKPOINT);
    struct entry_admit a = world_admit(w, 60, "coordinator-1", 0);
    assert_applied(w, ENTRY_ADMIT, &a);
    struct entry_issue s = world_issue(w, 3, 2);
    assert_applied(w, ENTRY_ISSUE, &s);
    struct entry_issue old = world_issue(w, 3, 2);
    old.request.proposer = w->founders[1].id;
    assert_refused(w, ENTRY_ISSUE, &old, ERR_DENIED, "is not a member");
}

static void test_the_history_holds_so_many_recoveries(void **state) {
    struct world *w = *state;
    start_shared(w);
    for (unsigned i = 0; i < LIMIT_EPOCHS; i++) {
        recover(w, RECOVERY_CHECKPOINT);
    }
    assert_int_equal(core_epoch(w->core), LIMIT_EPOCHS + 1);
    world_checkpoint(w);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    assert_refused(w, ENTRY_RECOVER, &e, ERR_TOO_LARGE, "was recovered 64 times");
}

static void test_share_owners_and_their_threshold_stay(void **state) {
    struct world *w = *state;
    start_shared(w);
    world_share(w, WORLD_SHARE_OWNERS, 1, false);
    struct entry_set_manifest s = world_set(w, 0xf, 1);
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_DENIED, "SeedShareOwnerThreshold is 1");
    world_share(w, WORLD_SHARE_OWNERS, 2, true);
    s = world_set(w, 0xf, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
}

/* --- Determinism */

static void test_the_same_recovery_gives_the_same_bytes(void **state) {
    struct world *w = *state;
    start_shared(w);
    world_checkpoint(w);
    struct core *other = core_copy(w->core);
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    AUTO(buf_deinit)
    struct buf entry = {0};
    AUTO(buf_deinit)
    struct buf left = {0};
    AUTO(buf_deinit)
    struct buf right = {0};
    entry_encode(ENTRY_RECOVER, &e, &entry);
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_OK);
    struct core_result result;
    core_apply(other, w->index, 1, buf_span(&entry), &result);
    assert_memory_equal(&result, &w->result, sizeof result);
    core_save(w->core, &left);
    core_save(other, &right);
    assert_true(span_equal(buf_span(&left), buf_span(&right)));
    core_free(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_level_is_the_least_that_founders_know),
        TEST(test_a_level_rises_when_every_member_knows_it),
        TEST(test_who_knows_less_is_not_admitted),
        TEST(test_what_the_cluster_does_not_use_is_refused),
        TEST(test_what_nobody_here_knows_freezes),
        TEST(test_an_owner_retires_a_member),
        TEST(test_what_an_owner_signs_to_retire),
        TEST(test_recover_is_of_exactly_its_state),
        TEST(test_recover_is_the_first_of_a_new_log),
        TEST(test_without_share_owners_nobody_recovers),
        TEST(test_an_automatic_recovery_has_no_signatures),
        TEST(test_recover_keeps_what_has_to_stay),
        TEST(test_the_leaf_of_a_recovery_hides_its_key),
        TEST(test_leases_of_the_old_members_end),
        TEST(test_serial_numbers_differ_by_epoch),
        TEST(test_each_generation_has_the_epoch_before_it),
        TEST(test_the_cluster_grows_again_after_a_recovery),
        TEST(test_the_history_holds_so_many_recoveries),
        TEST(test_share_owners_and_their_threshold_stay),
        TEST(test_the_same_recovery_gives_the_same_bytes),
    };
    return cmocka_run_group_tests_name("core_epoch", tests, NULL, NULL);
}
