/* What a recipient checks before it takes a state over, with real keys and signatures.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "coordinator/core/test/core_world.h"
#include "coordinator/revival.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"
#include "meshca/ca.h"

#define OWNERS 3

struct bench {
    struct world world;
    struct key owner;
    uint8_t owner_digest[1][32];
    struct key shares[OWNERS];
    struct buf share_keys[OWNERS];
    uint8_t digests[OWNERS][32];
    struct buf more; /* of manifests */
    struct buf spki; /* of the recipient */
    struct core *state;
    struct recovery recovery;
    uint8_t root_ca[SHA384_SIZE];
    struct buf signature_bytes[OWNERS];
    struct recovery_signature signatures[OWNERS];
    struct revival revival;
    struct err err;
};

/* RSA keys take their time: once for all tests. */
static int make_shares(void **state) {
    struct key *shares = mem_calloc(OWNERS, sizeof *shares);
    for (size_t i = 0; i < OWNERS; i++) {
        shares[i].pkey = EVP_RSA_gen(2048);
    }
    *state = shares;
    return 0;
}

static int free_shares(void **state) {
    struct key *shares = *state;
    for (size_t i = 0; i < OWNERS; i++) {
        key_deinit(&shares[i]);
    }
    mem_free(shares);
    return 0;
}

static void make_keys(struct bench *b, const struct key *shares) {
    assert_true(is_ok(key_generate(KEY_P384, &b->owner, &b->err)));
    key_digest(&b->owner, b->owner_digest[0]);
    buf_append_str(&b->more, ",\"SeedShareOwnerThreshold\":2,\"SeedshareOwnerPubKeys\":[");
    for (size_t i = 0; i < OWNERS; i++) {
        key_share(&shares[i], &b->shares[i]);
        key_pkcs1(&b->shares[i], &b->share_keys[i]);
        sha256(buf_span(&b->share_keys[i]), b->digests[i]);
        char *hex = mem_alloc(2 * b->share_keys[i].size + 1);
        hex_encode(buf_span(&b->share_keys[i]), hex);
        buf_appendf(&b->more, "%s\"%s\"", i == 0 ? "" : ",", hex);
        mem_free(hex);
    }
    buf_append_str(&b->more, "]");
    struct key recipient = {0};
    assert_true(is_ok(key_generate(KEY_P256, &recipient, &b->err)));
    key_spki(&recipient, &b->spki);
    key_deinit(&recipient);
}

/* A manifest with a real signature, and the first with a real CA. */
static void set_manifest(struct bench *b, unsigned number, const struct key *signer) {
    struct world *w = &b->world;
    char owner[65];
    AUTO(buf_deinit)
    struct buf spki = {0}, signature = {0}, key = {0};
    AUTO(ca_root_deinit)
    struct ca_root root = {0};
    struct entry_set_manifest e = world_set(w, 0xf, number);
    hex_encode(SPAN(b->owner_digest[0]), owner);
    e.manifest = world_manifest(w, 0xf, number, owner, buf_cstr(&b->more));
    struct manifest m = {0};
    assert_true(is_ok(manifest_parse(e.manifest, &m, &b->err)));
    struct transition t = {.epoch = core_epoch(w->core), .generation = e.generation};
    memcpy(t.cluster, core_cluster(w->core), 32);
    memcpy(t.previous, e.previous, 32);
    memcpy(t.manifest_hash, m.hash, 32);
    manifest_policies_hash(&m, t.policies_hash);
    manifest_deinit(&m);
    uint8_t hash[32];
    transition_hash(&t, hash);
    assert_true(is_ok(transition_sign(hash, signer, &signature, &b->err)));
    key_spki(signer, &spki);
    e.signer = buf_span(&spki);
    e.signature = buf_span(&signature);
    if (e.generation == 1) {
        assert_true(is_ok(ca_generate_root(&host_system, WORLD_TIME, &root, &b->err)));
        key_private_der(&root.key, &key);
        e.root_key = buf_span(&key);
        e.root_cert = buf_span(&root.cert);
    }
    assert_int_equal(world_apply(w, ENTRY_SET_MANIFEST, &e), ERR_OK);
}

static void sign_all(struct bench *b) {
    for (size_t i = 0; i < OWNERS; i++) {
        buf_clear(&b->signature_bytes[i]);
        assert_true(
            is_ok(recovery_sign(&b->recovery, &b->shares[i], &b->signature_bytes[i], &b->err)));
        b->signatures[i] = (struct recovery_signature){buf_span(&b->share_keys[i]),
                                                       buf_span(&b->signature_bytes[i])};
    }
}

static void load_state(struct bench *b) {
    AUTO(buf_deinit)
    struct buf saved = {0};
    core_save_checkpoint(b->world.core, &saved);
    core_free(b->state);
    b->state = NULL;
    assert_true(is_ok(core_load_checkpoint(buf_span(&saved), &b->state, &b->err)));
    revival_position(b->state, &b->recovery);
    b->recovery.epoch = b->recovery.previous_epoch + 1;
    b->recovery.mode = RECOVERY_CHECKPOINT;
    sha256(buf_span(&b->spki), b->recovery.recipient);
    sha384(core_ca(b->state).root_cert, b->root_ca);
    sign_all(b);
    b->revival = (struct revival){
        .recovery = &b->recovery,
        .signatures = b->signatures,
        .signature_count = 2,
        .share_owners = (const uint8_t(*)[32])b->digests,
        .share_owner_count = OWNERS,
        .threshold = 2,
        .root_ca = b->root_ca,
        .owner_digests = (const uint8_t(*)[32])b->owner_digest,
        .owner_count = 1,
        .spki = buf_span(&b->spki),
    };
}

static int set_up(void **state) {
    struct bench *b = mem_zalloc(sizeof *b);
    world_init(&b->world);
    make_keys(b, *state);
    struct entry_found found = world_found(&b->world);
    assert_int_equal(world_apply(&b->world, ENTRY_FOUND, &found), ERR_OK);
    for (unsigned i = 0; i < WORLD_POLICIES; i++) {
        struct entry_blob blob = world_blob(&b->world, i);
        assert_int_equal(world_apply(&b->world, ENTRY_BLOB, &blob), ERR_OK);
    }
    set_manifest(b, 0, &b->owner);
    set_manifest(b, 1, &b->owner);
    load_state(b);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    for (size_t i = 0; i < OWNERS; i++) {
        key_deinit(&b->shares[i]);
        buf_deinit(&b->share_keys[i]);
        buf_deinit(&b->signature_bytes[i]);
    }
    key_deinit(&b->owner);
    buf_deinit(&b->more);
    buf_deinit(&b->spki);
    core_free(b->state);
    world_deinit(&b->world);
    mem_free(b);
    return 0;
}

static enum err_code check(struct bench *b) {
    return revival_check(&b->revival, b->state, &b->err).code;
}

/* --- What passes */

static void test_a_good_state_goes_on_as_the_same_deployment(void **state) {
    struct bench *b = *state;
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_member self = world_member(&b->world, 77, "coordinator-7", 0);
    struct core_ca before = core_ca(b->world.core);
    assert_int_equal(check(b), ERR_OK);
    self.spki = buf_span(&b->spki);
    self.id = entry_replica_id(self.spki);
    assert_true(is_ok(
        revival_encode(&b->revival, b->state, &self, &host_system, WORLD_TIME, &entry, &b->err)));
    struct core_result *result = mem_zalloc(sizeof *result);
    core_apply(b->state, b->recovery.index + 2, 9, buf_span(&entry), result);
    assert_int_equal(result->code, ERR_OK);
    struct core_ca after = core_ca(b->state);
    assert_int_equal(core_epoch(b->state), 2);
    assert_true(span_equal(before.root_key, after.root_key));
    assert_true(span_equal(before.root_cert, after.root_cert));
    assert_true(span_equal(before.workload_secret, after.workload_secret));
    assert_false(span_equal(before.mesh_key, after.mesh_key));
    assert_memory_equal(core_head(b->state), core_head(b->world.core), 32);
    struct ca_mesh mesh = {0};
    assert_true(
        is_ok(ca_mesh_load(after.mesh_key, after.mesh_cert, after.intermediate, &mesh, &b->err)));
    ca_mesh_deinit(&mesh);
    mem_free(result);
}

static void test_more_than_enough_may_sign(void **state) {
    struct bench *b = *state;
    b->revival.signature_count = 3;
    assert_int_equal(check(b), ERR_OK);
}

/* --- Who signed, and for what */

static void test_too_few_or_the_same_owner_twice(void **state) {
    struct bench *b = *state;
    b->revival.signature_count = 1;
    assert_int_equal(check(b), ERR_SIGNATURE);
    b->revival.signature_count = 2;
    b->signatures[1] = b->signatures[0];
    assert_int_equal(check(b), ERR_SIGNATURE);
}

static void test_a_signature_over_something_else(void **state) {
    struct bench *b = *state;
    struct recovery other = b->recovery;
    other.epoch++;
    buf_clear(&b->signature_bytes[1]);
    assert_true(is_ok(recovery_sign(&other, &b->shares[1], &b->signature_bytes[1], &b->err)));
    b->signatures[1].signature = buf_span(&b->signature_bytes[1]);
    assert_int_equal(check(b), ERR_SIGNATURE);
}

static void test_a_key_that_the_manifest_does_not_name(void **state) {
    struct bench *b = *state;
    AUTO(buf_deinit)
    struct buf spare = {0}, signature = {0};
    struct key stranger = {EVP_RSA_gen(2048)};
    key_pkcs1(&stranger, &spare);
    assert_true(is_ok(recovery_sign(&b->recovery, &stranger, &signature, &b->err)));
    b->signatures[1] = (struct recovery_signature){buf_span(&spare), buf_span(&signature)};
    assert_int_equal(check(b), ERR_SIGNATURE);
    key_deinit(&stranger);
}

static void test_a_file_for_other_share_owners_than_the_manifests(void **state) {
    struct bench *b = *state;
    b->digests[2][0] ^= 1;
    assert_int_equal(check(b), ERR_DENIED);
    b->digests[2][0] ^= 1;
    b->revival.share_owner_count = 2;
    assert_int_equal(check(b), ERR_DENIED);
    b->revival.share_owner_count = 3;
    b->revival.threshold = 1;
    assert_int_equal(check(b), ERR_DENIED);
}

static void test_the_recovery_is_for_another_replica(void **state) {
    struct bench *b = *state;
    b->recovery.recipient[5] ^= 1;
    sign_all(b);
    assert_int_equal(check(b), ERR_DENIED);
    assert_non_null(strstr(b->err.text, "another replica"));
}

/* --- The state */

static void deny_position(struct bench *b, const char *word) {
    sign_all(b); /* whoever made this up has the owners' help */
    assert_int_equal(check(b), ERR_DENIED);
    assert_non_null(strstr(b->err.text, word));
    load_state(b);
    assert_int_equal(check(b), ERR_OK);
}

static void test_the_state_is_not_the_one_that_was_signed(void **state) {
    struct bench *b = *state;
    b->recovery.cluster[0] ^= 1;
    deny_position(b, "deployment");
    b->recovery.previous_epoch = 0;
    deny_position(b, "epoch");
    b->recovery.generation--;
    deny_position(b, "transition");
    b->recovery.head[31] ^= 1;
    deny_position(b, "transition");
    b->recovery.index++;
    deny_position(b, "entry");
    b->recovery.ledger_size--;
    deny_position(b, "ledger");
    b->recovery.ledger_root[0] ^= 1;
    deny_position(b, "ledger");
    b->recovery.epoch = b->recovery.previous_epoch;
    deny_position(b, "not above");
}

/* Everything of it is public and signed, but for its secrets. */
static void test_a_state_with_another_root_ca_than_the_owners_saw(void **state) {
    struct bench *b = *state;
    b->root_ca[47] ^= 1;
    assert_int_equal(check(b), ERR_DENIED);
    assert_non_null(strstr(b->err.text, "another root CA"));
    b->revival.root_ca = NULL; /* a survivor has no header */
    assert_int_equal(check(b), ERR_OK);
}

static void test_a_deployment_of_somebody_else(void **state) {
    struct bench *b = *state;
    b->owner_digest[0][0] ^= 1; /* this replica's environment names another owner */
    assert_int_equal(check(b), ERR_DENIED);
    assert_non_null(strstr(b->err.text, "CONTRAST_OWNER_KEY_DIGESTS"));
}

/* The core does no public-key work: a state may hold what nobody signed. */
static void test_a_history_with_a_forged_signature(void **state) {
    struct bench *b = *state;
    struct world *w = &b->world;
    struct entry_set_manifest e = world_set(w, 0xf, 2);
    char owner[65];
    AUTO(buf_deinit)
    struct buf spki = {0};
    hex_encode(SPAN(b->owner_digest[0]), owner);
    e.manifest = world_manifest(w, 0xf, 2, owner, buf_cstr(&b->more));
    key_spki(&b->owner, &spki);
    e.signer = buf_span(&spki);
    e.signature = span_str("not the owner's");
    assert_int_equal(world_apply(w, ENTRY_SET_MANIFEST, &e), ERR_OK);
    load_state(b);
    assert_int_equal(check(b), ERR_SIGNATURE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_state_goes_on_as_the_same_deployment),
        TEST(more_than_enough_may_sign),
        TEST(too_few_or_the_same_owner_twice),
        TEST(a_signature_over_something_else),
        TEST(a_key_that_the_manifest_does_not_name),
        TEST(a_file_for_other_share_owners_than_the_manifests),
        TEST(the_recovery_is_for_another_replica),
        TEST(the_state_is_not_the_one_that_was_signed),
        TEST(a_state_with_another_root_ca_than_the_owners_saw),
        TEST(a_deployment_of_somebody_else),
        TEST(a_history_with_a_forged_signature),
    };
    return cmocka_run_group_tests(tests, make_shares, free_shares);
}
