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

/* What a refused entry must not change. */
struct shape {
    size_t members, leaving, records, leaves;
    uint64_t issued;
    int64_t time;
    uint8_t head[32];
    bool has_blob[WORLD_POLICIES];
};

static struct shape shape_of(const struct world *w) {
    struct shape s;
    memset(&s, 0, sizeof s);
    const struct core_member *members = core_members(w->core, &s.members);
    for (size_t i = 0; i < s.members; i++) {
        s.leaving += members[i].state == CORE_LEAVING;
    }
    (void)core_records(w->core, &s.records);
    s.leaves = merkle_log_size(core_ledger(w->core));
    s.issued = core_issue_count(w->core);
    s.time = core_time(w->core);
    memcpy(s.head, core_head(w->core), sizeof s.head);
    for (size_t i = 0; i < WORLD_POLICIES; i++) {
        s.has_blob[i] = core_blob(w->core, w->hashes[i]).data != NULL;
    }
    return s;
}

static void assert_refused(struct world *w, enum entry_type type, const void *body,
                           enum err_code code, const char *text) {
    struct shape before = shape_of(w);
    (void)world_apply(w, type, body);
    if (w->result.code != code || strstr(w->result.text, text) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), text, err_name(w->result.code),
                 w->result.text);
    }
    struct shape after = shape_of(w);
    assert_memory_equal(&before, &after, sizeof before);
}

static void assert_applied(struct world *w, enum entry_type type, const void *body) {
    if (world_apply(w, type, body) != ERR_OK) {
        fail_msg("%s: %s", err_name(w->result.code), w->result.text);
    }
}

/* --- Entries */

static void test_cluster_id_and_serial_are_as_documented(void **state) {
    struct world *w = *state;
    struct buf list = {0};
    buf_append(&list, "contrast-cluster-v1", 20);
    buf_append_u32be(&list, 1);
    buf_append_u64be(&list, w->founders[0].id);
    const struct entry_member *m = &w->founders[0];
    struct span parts[] = {span_str(m->name), span_str(m->address), m->spki};
    for (size_t i = 0; i < 3; i++) {
        buf_append_u32be(&list, (uint32_t)parts[i].size);
        buf_append_span(&list, parts[i]);
    }
    uint8_t want[32];
    uint8_t got[32];
    sha256(buf_span(&list), want);
    entry_cluster_id(w->founders, 1, got);
    assert_memory_equal(want, got, 32);
    buf_clear(&list);
    buf_append(&list, "contrast-serial-v1", 19);
    buf_append(&list, got, 32);
    buf_append_u64be(&list, 1);
    buf_append_u64be(&list, 7);
    sha256(buf_span(&list), want);
    want[0] &= 0x7f;
    uint8_t serial[ENTRY_SERIAL_SIZE];
    entry_serial(got, 1, 7, serial);
    assert_memory_equal(want, serial, sizeof serial);
    buf_deinit(&list);
}

static void test_leaf_hides_secrets_and_nothing_else(void **state) {
    struct world *w = *state;
    struct entry e = {.type = ENTRY_SET_MANIFEST};
    e.set_manifest = world_set(w, 1, 0);
    uint8_t leaf[ENTRY_LEAF_SIZE];
    uint8_t again[ENTRY_LEAF_SIZE];
    entry_leaf(&e, 5, leaf);
    e.set_manifest.mesh_key = span_str("another");
    e.set_manifest.root_key = span_str("another");
    e.set_manifest.workload_secret = span_str("another");
    entry_leaf(&e, 5, again);
    assert_memory_equal(leaf, again, sizeof leaf);
    e.set_manifest.signature = span_str("another");
    entry_leaf(&e, 5, again);
    assert_memory_not_equal(leaf, again, sizeof leaf);
    assert_int_equal(leaf[0], ENTRY_SET_MANIFEST);
    assert_int_equal(leaf[1], entry_version_of(ENTRY_SET_MANIFEST));
    assert_int_equal(load_u64be(leaf + 2), 5);
}

static void test_member_check_names_the_field(void **state) {
    struct world *w = *state;
    static const struct {
        const char *name, *address, *user_address, *text;
    } rows[] = {
        {"a", "a:1", "", NULL},           {"a", "[::1]:65535", "10.0.0.1:1313", NULL},
        {"", "a:1", "", "name"},          {"Upper", "a:1", "", "name"},
        {"-a", "a:1", "", "name"},        {"a\n", "a:1", "", "name"},
        {"a", "", "", "address"},         {"a", "a", "", "address"},
        {"a", ":1", "", "address"},       {"a", "a:", "", "address"},
        {"a", "a:0", "", "address"},      {"a", "a:65536", "", "address"},
        {"a", "a:000001", "", "address"}, {"a", "a b:1", "", "address"},
        {"a", "a:1x", "", "address"},     {"a", "a:1", "x", "user address"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {.text = ""};
        struct entry_member m = world_member(w, 1, "a", 0);
        m.name = arena_strndup(&w->arena, rows[i].name, strlen(rows[i].name));
        m.address = arena_strndup(&w->arena, rows[i].address, strlen(rows[i].address));
        m.user_address =
            arena_strndup(&w->arena, rows[i].user_address, strlen(rows[i].user_address));
        struct result r = entry_member_check(&m, &err);
        if (is_ok(r) != (rows[i].text == NULL) ||
            (rows[i].text != NULL && strstr(err.text, rows[i].text) == NULL)) {
            fail_msg("row %zu: %s", i, err.text);
        }
    }
}

/* --- FOUND */

static void test_found_makes_the_founders_members(void **state) {
    struct world *w = *state;
    struct entry_found f = world_found(w);
    assert_false(core_is_founded(w->core));
    assert_applied(w, ENTRY_FOUND, &f);
    assert_true(core_is_founded(w->core));
    assert_memory_equal(core_cluster(w->core), f.cluster, 32);
    size_t count = 0;
    const struct core_member *members = core_members(w->core, &count);
    assert_int_equal(count, 3);
    assert_string_equal(members[0].member.name, w->founders[0].name);
    assert_int_equal(members[2].admitted_index, 1);
    (void)core_simulated_roots(w->core, &count);
    assert_int_equal(count, 2);
    (void)core_founders(w->core, &count);
    assert_int_equal(count, 3);
    assert_int_equal(core_time(w->core), WORLD_TIME);
    assert_int_equal(merkle_log_size(core_ledger(w->core)), 1);
    assert_refused(w, ENTRY_FOUND, &f, ERR_FOUNDED, "FOUND: ");
}

static void test_found_refuses(void **state) {
    struct world *w = *state;
    struct entry_found f = world_found(w);
    f.founders.count = 2;
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "2 founders");
    f = world_found(w);
    f.cluster[5] ^= 1;
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "cluster id");
    f = world_found(w);
    f.request.proposer = 1;
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "proposer");
    f = world_found(w);
    f.time = 0;
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "time");
    f = world_found(w);
    ((struct entry_digest *)f.simulated_roots.items)[1].digest[0] = 1;
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "simulated roots");
    struct entry_member good = w->founders[1];
    w->founders[1].id++;
    f = world_found(w);
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "does not belong to its key");
    w->founders[1] = good;
    w->founders[1].name = w->founders[0].name;
    f = world_found(w);
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "two founders");
    w->founders[1] = w->founders[2];
    w->founders[2] = good;
    f = world_found(w);
    assert_refused(w, ENTRY_FOUND, &f, ERR_INVALID, "order of their ids");
}

static void test_nothing_before_founding(void **state) {
    struct world *w = *state;
    struct entry_blob b = world_blob(w, 0);
    assert_refused(w, ENTRY_BLOB, &b, ERR_NOT_FOUNDED, "BLOB before");
    struct entry_found f = world_found(w);
    assert_applied(w, ENTRY_FOUND, &f);
    struct entry_issue s = world_issue(w, 1, 2);
    assert_refused(w, ENTRY_ISSUE, &s, ERR_NOT_FOUNDED, "no manifest");
    struct entry_admit a = world_admit(w, 9, "coordinator-9", 0);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_NOT_FOUNDED, "no manifest");
}

/* --- BLOB */

static void test_blob(void **state) {
    struct world *w = *state;
    struct entry_found f = world_found(w);
    assert_applied(w, ENTRY_FOUND, &f);
    struct entry_blob b = world_blob(w, 2);
    assert_applied(w, ENTRY_BLOB, &b);
    assert_false(w->result.already);
    assert_true(span_equal(core_blob(w->core, w->hashes[2]), w->policies[2]));
    b = world_blob(w, 2);
    assert_applied(w, ENTRY_BLOB, &b);
    assert_true(w->result.already);
    b = world_blob(w, 3);
    b.hash[0] ^= 1;
    assert_refused(w, ENTRY_BLOB, &b, ERR_INVALID, "hash");
    b = world_blob(w, 3);
    b.policy.size = 0;
    assert_refused(w, ENTRY_BLOB, &b, ERR_INVALID, "empty");
}

static void test_blobs_without_a_manifest_go_with_the_next_set(void **state) {
    struct world *w = *state;
    world_start(w);
    uint8_t hash[32];
    struct entry_blob b = {.request = world_request(w), .policy = span_str("nobody names this")};
    sha256(b.policy, b.hash);
    memcpy(hash, b.hash, sizeof hash);
    assert_applied(w, ENTRY_BLOB, &b);
    assert_non_null(core_blob(w->core, hash).data);
    struct entry_set_manifest s = world_set(w, 1, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    assert_null(core_blob(w->core, hash).data);
    assert_non_null(core_blob(w->core, w->hashes[3]).data); /* generation 1 names it */
}

/* --- SET_MANIFEST */

static void test_set_builds_the_chain(void **state) {
    struct world *w = *state;
    world_start(w);
    assert_int_equal(w->result.generation, 1);
    struct transition t = {.epoch = 1, .generation = 2};
    memcpy(t.cluster, core_cluster(w->core), 32);
    memcpy(t.previous, core_head(w->core), 32);
    struct entry_set_manifest s = world_set(w, 1, 1);
    sha256(s.manifest, t.manifest_hash);
    sha256(SPAN(w->hashes[0]), t.policies_hash);
    uint8_t want[32];
    transition_hash(&t, want);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    assert_memory_equal(w->result.transition, want, 32);
    assert_memory_equal(core_head(w->core), want, 32);
    assert_int_equal(w->result.generation, 2);
    size_t count = 0;
    const struct core_record *records = core_records(w->core, &count);
    assert_int_equal(count, 2);
    assert_true(span_equal(records[1].manifest, s.manifest));
    assert_true(span_equal(records[1].root_cert, records[0].root_cert));
    assert_int_equal(core_manifest(w->core)->policy_count, 1);
    struct core_ca ca = core_ca(w->core);
    assert_int_equal(ca.mesh_key.data[9], world_key_byte(WORLD_MESH_KEY, 2, 9));
    assert_int_equal(ca.root_key.data[9], world_key_byte(WORLD_ROOT_KEY, 1, 9));
    assert_int_equal(ca.workload_secret.data[9], world_key_byte(WORLD_SECRET, 1, 9));
}

static void test_a_root_can_be_rotated(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    s.root_key = span_str("new root key");
    s.root_cert = span_str("new root certificate");
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    size_t count = 0;
    const struct core_record *records = core_records(w->core, &count);
    assert_true(span_equal(core_ca(w->core).root_key, s.root_key));
    assert_true(span_equal(core_ca(w->core).root_cert, s.root_cert));
    assert_true(span_equal(records[0].root_cert, span_str("root certificate")));
    s = world_set(w, 1, 2);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    assert_true(span_equal(core_ca(w->core).root_cert, span_str("new root certificate")));
    assert_int_equal(core_ca(w->core).workload_secret.data[3], world_key_byte(WORLD_SECRET, 1, 3));
}

static void test_set_again_is_success_without_change(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    struct shape before = shape_of(w);
    s.request = world_request(w);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    assert_true(w->result.already);
    assert_int_equal(w->result.generation, 2);
    struct shape after = shape_of(w);
    assert_memory_equal(&before, &after, sizeof before);
}

typedef void set_change(struct world *w, struct entry_set_manifest *s);

static void old_head(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->previous[0] ^= 1;
}
static void jump(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->generation++;
}
static void no_mesh_key(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->mesh_key.size = 0;
}
static void half_a_root(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->root_cert = span_str("root");
}
static void second_secret(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->workload_secret = span_str("0123456789abcdef0123456789abcdef");
}
static void null_manifest(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->manifest = span_str("null");
}
static void stranger(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->signer = span_str("somebody else's key");
}
static void unsigned_set(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->signature.size = 0;
}
static void without_coordinators(struct world *w, struct entry_set_manifest *s) {
    s->manifest = world_set(w, 2 | 4, 1).manifest;
}
static void bad_time(struct world *w, struct entry_set_manifest *s) {
    (void)w;
    s->time = ENTRY_TIME_MAX + 1;
}
static void unknown_policy(struct world *w, struct entry_set_manifest *s) {
    w->hashes[3][0] ^= 1;
    s->manifest = world_set(w, 0xf, 1).manifest;
    w->hashes[3][0] ^= 1;
}

static void test_set_refuses(void **state) {
    struct world *w = *state;
    static const struct {
        set_change *change;
        enum err_code code;
        const char *text;
    } rows[] = {
        {old_head, ERR_CHANGED, "generation 1 is active"},
        {jump, ERR_CHANGED, "cannot follow"},
        {no_mesh_key, ERR_INVALID, "mesh CA"},
        {half_a_root, ERR_INVALID, "root CA"},
        {second_secret, ERR_INVALID, "workload secret"},
        {null_manifest, ERR_MANIFEST, "SET_MANIFEST"},
        {stranger, ERR_SIGNATURE, "does not name the signer"},
        {unsigned_set, ERR_SIGNATURE, "not signed"},
        {without_coordinators, ERR_DENIED, "coordinator-1"},
        {bad_time, ERR_INVALID, "time"},
        {unknown_policy, ERR_NOT_FOUND, "was not uploaded"},
    };
    world_start(w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct entry_set_manifest s = world_set(w, 1, 1);
        rows[i].change(w, &s);
        s.request = world_request(w);
        assert_refused(w, ENTRY_SET_MANIFEST, &s, rows[i].code, rows[i].text);
    }
    struct entry_set_manifest s = world_set(w, 1, 1);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
}

static void test_first_set_needs_root_and_secret(void **state) {
    struct world *w = *state;
    struct entry_found f = world_found(w);
    assert_applied(w, ENTRY_FOUND, &f);
    struct entry_blob b = world_blob(w, 0);
    assert_applied(w, ENTRY_BLOB, &b);
    struct entry_set_manifest s = world_set(w, 1, 1);
    s.workload_secret.size = 31;
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_INVALID, "31 bytes");
    s = world_set(w, 1, 1);
    s.root_key.size = 0;
    s.root_cert.size = 0;
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_INVALID, "without a root CA");
    s = world_set(w, 1, 1);
    s.signer = span_str("not named by the manifest itself");
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_SIGNATURE, "generation 1");
}

static void test_a_manifest_without_owners_is_the_last(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    s.manifest = world_manifest(w, 1, 1, NULL, "");
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    s = world_set(w, 1, 2);
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_DENIED, "names no owner");
}

static void test_the_authority_is_the_manifest_before(void **state) {
    struct world *w = *state;
    world_start(w);
    uint8_t digest[32];
    char hex[65];
    sha256(span_str("new owner"), digest);
    hex_encode(SPAN(digest), hex);
    struct entry_set_manifest s = world_set(w, 1, 1);
    s.manifest = world_manifest(w, 1, 1, hex, "");
    s.signer = span_str("new owner");
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_SIGNATURE, "generation 1");
    s.request = world_request(w);
    s.signer = world_owner();
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
    s = world_set(w, 1, 2);
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_SIGNATURE, "generation 2");
}

/* openssl genrsa 2048 | openssl rsa -RSAPublicKey_out -outform DER */
#define SHARE_OWNER                                                                                \
    "3082010a0282010100bc69918781bee2c10fc246151463e8f367e015ebedb331"                             \
    "38ece908dd13db45028e3836faefd9317e2e20c925ed35f4fb72c8cd95836cfa"                             \
    "eff2e7cb1121f6232ae6f48a9e0accc524835c8d4eb677c980855488f28a65c7"                             \
    "ac69b17d917ea78a01def5c8c2d0e3ddae24ec2db398b5978725bcf2e7b345fb"                             \
    "def93495b457333c9e7f650ea7da026f0b586db27e8d41f61e11960768c481b5"                             \
    "a3c9503277e640f71b33c67132357ee81940ddd7b03440ce70c115abfef5196d"                             \
    "29bbc3505d966c6708eed6ab936c5ac4e1478693bd2663b259dd4ab18581c918"                             \
    "b6e9d1ca11fc485c05396d971042e08634242cdb49ec68adb126cfa1776d4301"                             \
    "2caaf0a79139ab3f8d0203010001"

/* The manifest with one more simulated root in its reference values; in `out`. */
static struct span with_root(struct span manifest, const char *root, struct buf *out) {
    static const char end[] = "\"GuestPolicy\":{}";
    const char *text = (const char *)manifest.data;
    const char *at = memmem(text, manifest.size, end, sizeof end - 1);
    assert_non_null(at);
    size_t head = (size_t)(at - text) + sizeof end - 1;
    buf_append(out, text, head);
    buf_appendf(out, ",\"SimulatedRoots\":[\"%s%062u\"]", root, 0U);
    buf_append(out, text + head, manifest.size - head);
    return buf_span(out);
}

/* What the founding did not name can never be trusted, whoever signs it. */
static void test_simulated_roots_are_the_founding_ones(void **state) {
    struct world *w = *state;
    world_start(w);
    AUTO(buf_deinit)
    struct buf text = {0};
    struct entry_set_manifest s = world_set(w, 1, 1);
    struct span manifest = s.manifest;
    s.manifest = with_root(manifest, "03", &text);
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_DENIED, "SimulatedRoots[0]");
    buf_clear(&text);
    s.request = world_request(w);
    s.manifest = with_root(manifest, "02", &text);
    assert_applied(w, ENTRY_SET_MANIFEST, &s);
}

static void test_share_owners_stay(void **state) {
    struct world *w = *state;
    world_start(w);
    uint8_t digest[32];
    char hex[65];
    sha256(world_owner(), digest);
    hex_encode(SPAN(digest), hex);
    struct entry_set_manifest s = world_set(w, 1, 1);
    s.manifest = world_manifest(w, 1, 1, hex, ",\"SeedshareOwnerPubKeys\":[\"" SHARE_OWNER "\"]");
    assert_refused(w, ENTRY_SET_MANIFEST, &s, ERR_DENIED, "SeedshareOwnerPubKeys");
}

/* --- ADMIT and RETIRE */

static void test_admit_and_take_over_a_name(void **state) {
    struct world *w = *state;
    world_start(w);
    uint64_t old = w->founders[1].id;
    struct entry_admit a = world_admit(w, 10, w->founders[1].name, 0);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_EXISTS, "belongs to member");
    a = world_admit(w, 10, w->founders[1].name, w->founders[2].id);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_INVALID, "does not take over");
    a = world_admit(w, 10, w->founders[1].name, old);
    assert_applied(w, ENTRY_ADMIT, &a);
    assert_int_equal(core_find_member(w->core, old)->state, CORE_LEAVING);
    assert_int_equal(core_find_member(w->core, a.member.id)->state, CORE_MEMBER);
    a.request = world_request(w);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_EXISTS, "admitted already");
    struct entry_retire t = world_retire(w, old, RETIRE_REMOVED);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_null(core_find_member(w->core, old));
}

static void test_admit_refuses(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_admit a = world_admit(w, 10, "coordinator-9", 0);
    memcpy(a.member.host_data, w->hashes[2], 32);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_DENIED, "role coordinator");
    a = world_admit(w, 10, "coordinator-9", 77);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_INVALID, "take over");
    a = world_admit(w, 10, "coordinator-9", 0);
    a.member.evidence.size = 0;
    assert_refused(w, ENTRY_ADMIT, &a, ERR_INVALID, "no evidence");
    for (unsigned i = 0; i < LIMIT_MEMBERS - WORLD_FOUNDERS; i++) {
        char name[32];
        snprintf(name, sizeof name, "standby-%u", i);
        a = world_admit(w, 20 + i, name, 0);
        assert_applied(w, ENTRY_ADMIT, &a);
    }
    a = world_admit(w, 10, "coordinator-9", 0);
    assert_refused(w, ENTRY_ADMIT, &a, ERR_BUSY, "no room");
}

static void test_retire(void **state) {
    struct world *w = *state;
    world_start(w);
    uint64_t id = w->founders[2].id;
    struct entry_retire t = world_retire(w, 77, RETIRE_ASKED);
    assert_refused(w, ENTRY_RETIRE, &t, ERR_NOT_FOUND, "not known");
    t = world_retire(w, id, RETIRE_REMOVED);
    assert_refused(w, ENTRY_RETIRE, &t, ERR_INVALID, "not leaving");
    t = world_retire(w, id, 0);
    assert_refused(w, ENTRY_RETIRE, &t, ERR_INVALID, "unknown reason");
    t = world_retire(w, id, RETIRE_ASKED);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_false(w->result.already);
    t = world_retire(w, id, RETIRE_DEAD);
    assert_applied(w, ENTRY_RETIRE, &t);
    assert_true(w->result.already);
}

/* --- ISSUE */

static void test_issue_counts_and_numbers(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_issue s = world_issue(w, 3, 2);
    struct entry_issue_request *requests = s.requests.items;
    memset(requests[1].policy_hash, 9, 32);
    requests[2].validity_s = 60;
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_int_equal(w->result.issued_count, 3);
    assert_int_equal(w->result.issued[0].index, 1);
    assert_int_equal(w->result.issued[0].validity_s, 24 * 3600);
    assert_int_equal(w->result.issued[1].code, ERR_NOT_FOUND);
    assert_int_equal(w->result.issued[1].index, 0);
    assert_int_equal(w->result.issued[2].index, 2);
    assert_int_equal(w->result.issued[2].validity_s, 60);
    uint8_t serial[ENTRY_SERIAL_SIZE];
    entry_serial(core_cluster(w->core), 1, 2, serial);
    assert_memory_equal(serial, w->result.issued[2].serial, sizeof serial);
    assert_int_equal(core_issue_count(w->core), 2);
    assert_int_equal(w->result.time, s.time);
}

static void test_issue_refuses(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_issue s = world_issue(w, 1, 2);
    s.generation = 0;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_STALE_GENERATION, "active is 1");
    s = world_issue(w, 1, 2);
    s.requests.count = 0;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_INVALID, "no requests");
    s = world_issue(w, 1, 2);
    ((struct entry_issue_request *)s.requests.items)->validity_s = LIMIT_LEAF_VALIDITY_S + 1;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_INVALID, "validity");
    s = world_issue(w, 1, 2);
    ((struct entry_issue_request *)s.requests.items)->spki.size = 0;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_INVALID, "request 0: no public key");
}

/* --- Requests that come twice, time */

static void test_a_request_is_applied_once(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_issue s = world_issue(w, 2, 2);
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_true(w->result.duplicate);
    assert_int_equal(w->result.issued_count, 0);
    assert_int_equal(core_issue_count(w->core), 2);
    struct entry_blob b = world_blob(w, 3);
    b.hash[0] ^= 1;
    assert_refused(w, ENTRY_BLOB, &b, ERR_INVALID, "hash");
    assert_refused(w, ENTRY_BLOB, &b, ERR_INVALID, "refused before");
    assert_true(w->result.duplicate);
}

static void test_requests_may_come_out_of_order_within_the_window(void **state) {
    struct world *w = *state;
    world_start(w);
    uint64_t base = w->sequence;
    struct entry_issue s = world_issue(w, 1, 2);
    s.request.sequence = base + LIMIT_REQUEST_WINDOW;
    assert_applied(w, ENTRY_ISSUE, &s);
    s.request.sequence = base + 1;
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_false(w->result.duplicate);
    assert_int_equal(core_issue_count(w->core), 2);
    s.request.sequence = base;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_CANCELED, "too old");
    s.request.sequence = UINT64_MAX;
    assert_applied(w, ENTRY_ISSUE, &s);
    s.request.sequence = 0;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_INVALID, "sequence 0");
    s.request.proposer = 5;
    assert_refused(w, ENTRY_ISSUE, &s, ERR_DENIED, "not a member");
}

static void test_time_never_goes_back(void **state) {
    struct world *w = *state;
    world_start(w);
    int64_t before = core_time(w->core);
    struct entry_issue s = world_issue(w, 1, 2);
    s.time = 1000;
    assert_applied(w, ENTRY_ISSUE, &s);
    assert_int_equal(w->result.time, before);
}

static void test_damaged_entries_change_nothing_or_apply(void **state) {
    struct world *w = *state;
    world_start(w);
    struct entry_set_manifest s = world_set(w, 1, 1);
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(ENTRY_SET_MANIFEST, &s, &entry);
    for (size_t size = 0; size < entry.size; size++) {
        struct shape before = shape_of(w);
        assert_int_not_equal(world_apply_bytes(w, span_of(entry.data, size)), ERR_OK);
        assert_false(w->result.decoded);
        struct shape after = shape_of(w);
        assert_memory_equal(&before, &after, sizeof before);
    }
    entry.data[1] = 2;
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_MALFORMED);
    assert_non_null(strstr(w->result.text, "version 2"));
    entry.data[0] = 99;
    assert_int_equal(world_apply_bytes(w, buf_span(&entry)), ERR_MALFORMED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_cluster_id_and_serial_are_as_documented),
        TEST(test_leaf_hides_secrets_and_nothing_else),
        TEST(test_member_check_names_the_field),
        TEST(test_found_makes_the_founders_members),
        TEST(test_found_refuses),
        TEST(test_nothing_before_founding),
        TEST(test_blob),
        TEST(test_blobs_without_a_manifest_go_with_the_next_set),
        TEST(test_set_builds_the_chain),
        TEST(test_a_root_can_be_rotated),
        TEST(test_set_again_is_success_without_change),
        TEST(test_set_refuses),
        TEST(test_first_set_needs_root_and_secret),
        TEST(test_a_manifest_without_owners_is_the_last),
        TEST(test_the_authority_is_the_manifest_before),
        TEST(test_simulated_roots_are_the_founding_ones),
        TEST(test_share_owners_stay),
        TEST(test_admit_and_take_over_a_name),
        TEST(test_admit_refuses),
        TEST(test_retire),
        TEST(test_issue_counts_and_numbers),
        TEST(test_issue_refuses),
        TEST(test_a_request_is_applied_once),
        TEST(test_requests_may_come_out_of_order_within_the_window),
        TEST(test_time_never_goes_back),
        TEST(test_damaged_entries_change_nothing_or_apply),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
