/* Recoveries, alone and in a chain. Three share owners, two of whom are enough; the second manifest
 * has other share owners than the first.
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

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

#define H1 "1111111111111111111111111111111111111111111111111111111111111111"
#define OWNERS 4
#define GENERATIONS 3
#define MOST 8
#define PEM_MAX 8192

/* Share owners of generation 1: keys 0, 1, 2, of whom 2; of 2: keys 1, 2, 3, of whom 2, and it may
 * recover by itself; of 3: none. */
struct fixture {
    struct key share_keys[OWNERS];
    struct buf pkcs1[OWNERS];
    struct key owner;
    struct buf owner_spki;
    struct buf json[GENERATIONS];
    struct manifest manifests[GENERATIONS];
    struct buf signatures[GENERATIONS];
    struct transition_record records[GENERATIONS];
    uint8_t heads[GENERATIONS][32];
    uint8_t cluster[32];
    /* The history of one test */
    struct arena arena;
    struct transition_recovery recoveries[LIMIT_EPOCHS + 1];
    size_t recovery_count;
};

static void make_manifest(struct fixture *f, size_t i) {
    char owner[65];
    uint8_t digest[32];
    key_digest(&f->owner, digest);
    hex_encode(SPAN(digest), owner);
    buf_appendf(&f->json[i],
                "{\"Policies\":{\"" H1 "\":{\"Role\":\"coordinator\"}},\"ReferenceValues\":{"
                "\"snp\":[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" H1
                "%032zu\",\"MinimumTCB\":{\"BootloaderVersion\":0,\"TEEVersion\":0,"
                "\"SNPVersion\":0,\"MicrocodeVersion\":0},\"GuestPolicy\":{}}]},"
                "\"WorkloadOwnerKeyDigests\":[\"%s\"]",
                i, owner);
    for (size_t k = i; i < 2 && k < i + 3; k++) {
        char *hex = mem_alloc(2 * f->pkcs1[k].size + 1);
        hex_encode(buf_span(&f->pkcs1[k]), hex);
        buf_appendf(&f->json[i], "%s\"%s\"", k == i ? ",\"SeedshareOwnerPubKeys\":[" : ",", hex);
        mem_free(hex);
    }
    buf_append_str(&f->json[i], i == 0   ? "],\"SeedShareOwnerThreshold\":2}"
                                : i == 1 ? "],\"AutoRecovery\":true}"
                                         : "}");
    struct err err;
    if (!is_ok(manifest_parse(buf_span(&f->json[i]), &f->manifests[i], &err))) {
        fail_msg("%s", err.text);
    }
}

/* Signs every record with the epochs that the recoveries of this history give it. */
static void sign_records(struct fixture *f) {
    struct transition_history h = {.recoveries = f->recoveries,
                                   .recovery_count = f->recovery_count};
    for (size_t i = 0; i < GENERATIONS; i++) {
        struct transition t = {.epoch = transition_epoch_of(&h, i + 1), .generation = i + 1};
        memcpy(t.cluster, f->cluster, 32);
        if (i > 0) {
            memcpy(t.previous, f->heads[i - 1], 32);
        }
        memcpy(t.manifest_hash, f->manifests[i].hash, 32);
        manifest_policies_hash(&f->manifests[i], t.policies_hash);
        transition_hash(&t, f->heads[i]);
        buf_clear(&f->signatures[i]);
        assert_true(is_ok(transition_sign(f->heads[i], &f->owner, &f->signatures[i], NULL)));
        f->records[i] = (struct transition_record){buf_span(&f->json[i]), buf_span(&f->owner_spki),
                                                   buf_span(&f->signatures[i])};
    }
}

/* key_generate's 4096 bits take seconds. */
static void make_share_key(struct key *out) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    FILE *pipe = popen("openssl genrsa 2048 2>/dev/null", "r"); // NOLINT(cert-env33-c): fixed
    assert_non_null(pipe);
    size_t size = fread(buf_extend(&pem, PEM_MAX), 1, PEM_MAX, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_true(size < PEM_MAX);
    assert_true(is_ok(key_from_pem(span_of(pem.data, size), out, NULL)));
}

static int set_up_world(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->cluster[0] = 7;
    for (size_t i = 0; i < OWNERS; i++) {
        make_share_key(&f->share_keys[i]);
        key_pkcs1(&f->share_keys[i], &f->pkcs1[i]);
    }
    assert_true(is_ok(key_generate(KEY_P384, &f->owner, NULL)));
    key_spki(&f->owner, &f->owner_spki);
    for (size_t i = 0; i < GENERATIONS; i++) {
        make_manifest(f, i);
    }
    *state = f;
    return 0;
}

static int tear_down_world(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < OWNERS; i++) {
        key_deinit(&f->share_keys[i]);
        buf_deinit(&f->pkcs1[i]);
    }
    for (size_t i = 0; i < GENERATIONS; i++) {
        buf_deinit(&f->json[i]);
        buf_deinit(&f->signatures[i]);
        manifest_deinit(&f->manifests[i]);
    }
    key_deinit(&f->owner);
    buf_deinit(&f->owner_spki);
    free(f);
    return 0;
}

static int set_up(void **state) {
    struct fixture *f = *state;
    f->recovery_count = 0;
    sign_records(f);
    return 0;
}

static int tear_down(void **state) {
    arena_deinit(&((struct fixture *)*state)->arena);
    return 0;
}

/* A recovery at `generation` that goes on from what the history has so far. */
static struct recovery next_recovery(const struct fixture *f, uint64_t generation, uint64_t epoch) {
    struct recovery r = {
        .epoch = epoch,
        .previous_epoch =
            f->recovery_count == 0 ? 1 : f->recoveries[f->recovery_count - 1].recovery.epoch,
        .mode = RECOVERY_CHECKPOINT,
        .generation = generation,
        .index = 10 * generation,
        .ledger_size = 5 * generation,
        .ledger_root = {1},
        .recipient = {2},
    };
    memcpy(r.cluster, f->cluster, 32);
    memcpy(r.head, f->heads[generation - 1], 32);
    return r;
}

/* `signers`: share keys by number, ended by -1. */
static struct recovery_signature *sign_by(struct fixture *f, const struct recovery *r,
                                          const int *signers, size_t *count) {
    struct recovery_signature *s = arena_alloc(&f->arena, MOST * sizeof *s);
    *count = 0;
    for (; *signers >= 0; signers++) {
        AUTO(buf_deinit)
        struct buf signature = {0};
        assert_true(is_ok(recovery_sign(r, &f->share_keys[*signers], &signature, NULL)));
        uint8_t *copy = arena_alloc(&f->arena, signature.size);
        memcpy(copy, signature.data, signature.size);
        s[(*count)++] = (struct recovery_signature){buf_span(&f->pkcs1[*signers]),
                                                    span_of(copy, signature.size)};
    }
    return s;
}

#define BY(...)                                                                                    \
    (const int[]) {                                                                                \
        __VA_ARGS__, -1                                                                            \
    }

static void add(struct fixture *f, const struct recovery *r, const int *signers) {
    struct transition_recovery *t = &f->recoveries[f->recovery_count++];
    t->recovery = *r;
    t->signatures = sign_by(f, r, signers, &t->signature_count);
}

/* A good recovery by the share owners of its generation; the generations after it are signed anew.
 */
static void add_good(struct fixture *f, uint64_t generation, uint64_t epoch) {
    struct recovery r = next_recovery(f, generation, epoch);
    add(f, &r, generation == 1 ? BY(0, 2) : BY(3, 1));
    sign_records(f);
}

static struct result verify(struct fixture *f, size_t count, uint64_t *epoch, struct err *err) {
    struct transition_history h = {.records = f->records,
                                   .count = count,
                                   .recoveries = f->recoveries,
                                   .recovery_count = f->recovery_count};
    struct manifest latest = {0};
    uint8_t head[32] = {0};
    memcpy(h.cluster, f->cluster, 32);
    *epoch = 0;
    struct result r = transition_verify_chain(&h, &f->manifests[0], &latest, head, epoch, err);
    if (is_ok(r)) {
        assert_memory_equal(latest.hash, f->manifests[count - 1].hash, 32);
        assert_memory_equal(head, f->heads[count - 1], 32);
    } else {
        assert_true(latest.policy_count == 0 && span_is_zero(SPAN(head)) && *epoch == 0);
    }
    manifest_deinit(&latest);
    return r;
}

static void assert_epoch(struct fixture *f, size_t count, uint64_t wanted) {
    uint64_t epoch = 0;
    struct err err = {0};
    if (!is_ok(verify(f, count, &epoch, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(epoch, wanted);
}

static void assert_refused(struct fixture *f, size_t count, enum err_code code, const char *text) {
    uint64_t epoch = 0;
    struct err err = {0};
    struct result r = verify(f, count, &epoch, &err);
    if (r.code != code || strstr(err.text, text) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), text, err_name(r.code), err.text);
    }
}

/* --- The hash */

/* python3: hashlib.sha256(b"contrast-recovery-v1\0" + bytes([1] * 32) + struct.pack(">QQBQ", 5, 2,
 *     2, 3) + bytes([4] * 32) + struct.pack(">QQ", 6, 7) + bytes([8] * 48) + bytes([9] * 32)) */
static void test_hash_golden(void **state) {
    (void)state;
    struct recovery r = {.epoch = 5,
                         .previous_epoch = 2,
                         .mode = RECOVERY_CHECKPOINT,
                         .generation = 3,
                         .index = 6,
                         .ledger_size = 7};
    memset(r.cluster, 1, 32);
    memset(r.head, 4, 32);
    memset(r.ledger_root, 8, 48);
    memset(r.recipient, 9, 32);
    uint8_t hash[32];
    char hex[65];
    recovery_hash(&r, hash);
    hex_encode(SPAN(hash), hex);
    assert_string_equal(hex, "2fc482dd7fe01a13c1592e6944b5f1819acb6f42dd76fe9c0bbadaf611ddfdbc");
    AUTO(buf_deinit)
    struct buf message = {0};
    recovery_signed_bytes(&r, &message);
    assert_int_equal(message.size, 20 + 32);
    assert_memory_equal(message.data, "contrast-recover-v1", 20);
    assert_memory_equal(message.data + 20, hash, 32);
}

/* Every field counts. */
static void test_every_field_is_hashed(void **state) {
    (void)state;
    static const size_t places[] = {
        offsetof(struct recovery, cluster) + 31,
        offsetof(struct recovery, epoch),
        offsetof(struct recovery, previous_epoch),
        offsetof(struct recovery, mode),
        offsetof(struct recovery, generation),
        offsetof(struct recovery, head) + 31,
        offsetof(struct recovery, index),
        offsetof(struct recovery, ledger_size),
        offsetof(struct recovery, ledger_root) + 47,
        offsetof(struct recovery, recipient) + 31,
    };
    struct recovery r = {0};
    uint8_t first[32];
    recovery_hash(&r, first);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint8_t hash[32];
        uint8_t *byte = (uint8_t *)&r + places[i];
        *byte ^= 1;
        recovery_hash(&r, hash);
        assert_memory_not_equal(hash, first, 32);
        *byte ^= 1;
    }
}

/* --- One recovery */

static void test_one_signature(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    struct err err;
    size_t count = 0;
    struct recovery_signature *s = sign_by(f, &r, BY(0, 3), &count);
    assert_true(is_ok(recovery_verify_one(&r, &s[0], &f->manifests[0], &err)));
    assert_int_equal(recovery_verify_one(&r, &s[1], &f->manifests[0], &err).code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "not a share owner"));
    uint8_t digest[32];
    char hex[65];
    sha256(buf_span(&f->pkcs1[0]), digest);
    hex_encode(SPAN(digest), hex);
    r.index++;
    assert_int_equal(recovery_verify_one(&r, &s[0], &f->manifests[0], &err).code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, hex));
    r.index--;
    s[0].signature.size--;
    assert_int_equal(recovery_verify_one(&r, &s[0], &f->manifests[0], &err).code, ERR_SIGNATURE);
    s[0].signature.size = 0;
    assert_int_equal(recovery_verify_one(&r, &s[0], &f->manifests[0], &err).code, ERR_SIGNATURE);
}

static void test_a_key_that_is_not_rsa_signs_nothing(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    struct err err;
    AUTO(buf_deinit)
    struct buf signature = {0};
    assert_int_equal(recovery_sign(&r, &f->owner, &signature, &err).code, ERR_INVALID);
    assert_int_equal(signature.size, 0);
}

struct field_row {
    uint64_t epoch;
    uint64_t previous;
    uint64_t generation;
    uint8_t mode;
    const char *text;
};

static void test_fields_that_make_no_sense(void **state) {
    struct fixture *f = *state;
    static const struct field_row rows[] = {
        {2, 1, 1, 0, "unknown mode 0"}, {2, 1, 1, 4, "unknown mode 4"},
        {2, 2, 1, 1, "does not rise"},  {1, 2, 1, 1, "does not rise"},
        {2, 0, 1, 1, "does not rise"},  {2, 1, 0, 2, "without a manifest"},
        {2, 1, 1, 3, "AutoRecovery"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recovery r = next_recovery(f, 1, rows[i].epoch);
        r.previous_epoch = rows[i].previous;
        r.generation = rows[i].generation;
        r.mode = rows[i].mode;
        struct err err;
        size_t count = 0;
        struct recovery_signature *s = sign_by(f, &r, BY(0, 1), &count);
        assert_int_equal(recovery_verify(&r, s, count, &f->manifests[0], &err).code, ERR_DENIED);
        if (strstr(err.text, rows[i].text) == NULL) {
            fail_msg("%s", err.text);
        }
    }
}

/* --- In a chain */

static void test_a_chain_without_recoveries(void **state) {
    assert_epoch(*state, 3, 1);
}

static void test_a_recovery_between_generations(void **state) {
    struct fixture *f = *state;
    add_good(f, 1, 2);
    assert_epoch(f, 1, 2);
    assert_epoch(f, 2, 2);
    assert_epoch(f, 3, 2);
}

static void test_several_recoveries(void **state) {
    struct fixture *f = *state;
    add_good(f, 1, 2);
    add_good(f, 1, 9); /* two at one generation, and not by one */
    add_good(f, 2, 10);
    assert_epoch(f, 3, 10);
    struct transition_history h = {.recoveries = f->recoveries, .recovery_count = 3};
    assert_int_equal(transition_epoch_of(&h, 1), 1);
    assert_int_equal(transition_epoch_of(&h, 2), 9);
    assert_int_equal(transition_epoch_of(&h, 3), 10);
}

static void test_a_recovery_at_the_end(void **state) {
    struct fixture *f = *state;
    add_good(f, 2, 2);
    assert_epoch(f, 2, 2);
}

/* Without the recovery, the generation after it was signed for nobody. */
static void test_a_missing_recovery(void **state) {
    struct fixture *f = *state;
    add_good(f, 1, 2);
    f->recovery_count = 0;
    assert_refused(f, 3, ERR_SIGNATURE, "generation 2: ");
    assert_epoch(f, 1, 1); /* the caller compares this with what is attested */
}

static void test_a_recovery_that_the_generations_after_it_do_not_know(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    add(f, &r, BY(0, 1));
    assert_refused(f, 3, ERR_SIGNATURE, "generation 2: ");
    assert_epoch(f, 1, 2);
}

static void test_epochs_must_rise(void **state) {
    struct fixture *f = *state;
    add_good(f, 1, 5);
    struct recovery r = next_recovery(f, 1, 5);
    add(f, &r, BY(0, 1));
    assert_refused(f, 1, ERR_DENIED, "recovery to epoch 5: epoch 5 does not rise above epoch 5");
    f->recovery_count--;
    r.epoch = 4;
    add(f, &r, BY(0, 1));
    assert_refused(f, 1, ERR_DENIED, "does not rise");
    f->recovery_count--;
    r.epoch = 6;
    r.previous_epoch = 4;
    add(f, &r, BY(0, 1));
    assert_refused(f, 1, ERR_DENIED, "from epoch 4, this history is at 5");
}

static void test_too_few_share_owners(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    add(f, &r, BY(1));
    assert_refused(f, 1, ERR_SIGNATURE, "signed by 1 share owners, the manifest wants 2");
    f->recoveries[0].signature_count = 0;
    assert_refused(f, 1, ERR_SIGNATURE, "signed by 0");
}

static void test_one_share_owner_twice(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    add(f, &r, BY(1, 1));
    assert_refused(f, 1, ERR_SIGNATURE, "signed twice");
    f->recovery_count = 0;
    add(f, &r, BY(0, 1, 0));
    assert_refused(f, 1, ERR_SIGNATURE, "signed twice");
}

static void test_more_than_enough(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    add(f, &r, BY(2, 1, 0));
    assert_epoch(f, 1, 2);
}

/* Key 0 was a share owner of generation 1, key 3 is one of generation 2 alone. */
static void test_share_owners_of_another_manifest(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 2, 2);
    add(f, &r, BY(1, 0));
    assert_refused(f, 2, ERR_SIGNATURE, "not a share owner of the manifest of generation 2");
    f->recovery_count = 0;
    r = next_recovery(f, 1, 2);
    add(f, &r, BY(1, 3));
    assert_refused(f, 1, ERR_SIGNATURE, "not a share owner of the manifest of generation 1");
}

static void test_a_manifest_without_share_owners(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 3, 2);
    add(f, &r, BY(0, 1));
    assert_refused(f, 3, ERR_SIGNATURE, "names no share owners");
    f->recoveries[0].signature_count = 0;
    assert_refused(f, 3, ERR_SIGNATURE, "names no share owners");
}

static void test_of_another_cluster_or_head(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    r.cluster[31] ^= 1;
    add(f, &r, BY(0, 1));
    assert_refused(f, 1, ERR_DENIED, "another cluster");
    f->recovery_count = 0;
    r = next_recovery(f, 1, 2);
    memcpy(r.head, f->heads[1], 32);
    add(f, &r, BY(0, 1));
    assert_refused(f, 1, ERR_DENIED, "another transition");
}

static void test_a_changed_field_breaks_the_signatures(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 1, 2);
    add(f, &r, BY(0, 1));
    struct recovery *shown = &f->recoveries[0].recovery;
    shown->recipient[0] ^= 1;
    assert_refused(f, 1, ERR_SIGNATURE, "is not valid");
    shown->recipient[0] ^= 1;
    shown->epoch = 3;
    assert_refused(f, 1, ERR_SIGNATURE, "is not valid");
    shown->epoch = 2;
    shown->mode = RECOVERY_SURVIVOR;
    assert_refused(f, 1, ERR_SIGNATURE, "is not valid");
}

static void test_automatic(void **state) {
    struct fixture *f = *state;
    struct recovery r = next_recovery(f, 2, 2);
    r.mode = RECOVERY_AUTOMATIC;
    add(f, &r, (const int[]){-1});
    assert_epoch(f, 2, 2);
    f->recovery_count = 0;
    add(f, &r, BY(1));
    assert_refused(f, 2, ERR_DENIED, "automatic recovery with signatures");
    f->recovery_count = 0;
    r = next_recovery(f, 1, 2);
    r.mode = RECOVERY_AUTOMATIC;
    add(f, &r, (const int[]){-1});
    assert_refused(f, 1, ERR_DENIED, "which the manifest does not permit (AutoRecovery)");
}

static void test_recoveries_without_a_place(void **state) {
    struct fixture *f = *state;
    add_good(f, 2, 2);
    assert_refused(f, 1, ERR_DENIED, "recovery to epoch 2 stands at generation 2");
    f->recovery_count = 0;
    sign_records(f);
    add_good(f, 2, 2);
    struct recovery r = next_recovery(f, 1, 3); /* out of order */
    add(f, &r, BY(0, 1));
    assert_refused(f, 3, ERR_DENIED, "recovery to epoch 3 stands at generation 1");
    f->recovery_count = 0;
    sign_records(f);
    add_good(f, 1, 2);
    f->recoveries[0].recovery.generation = 0;
    assert_refused(f, 1, ERR_DENIED, "stands at generation 0");
}

static void test_too_many_recoveries(void **state) {
    struct fixture *f = *state;
    f->recovery_count = LIMIT_EPOCHS + 1;
    assert_refused(f, 1, ERR_DENIED, "65 recoveries, limit 64");
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_golden),
        cmocka_unit_test(test_every_field_is_hashed),
        T(test_one_signature),
        T(test_a_key_that_is_not_rsa_signs_nothing),
        T(test_fields_that_make_no_sense),
        T(test_a_chain_without_recoveries),
        T(test_a_recovery_between_generations),
        T(test_several_recoveries),
        T(test_a_recovery_at_the_end),
        T(test_a_missing_recovery),
        T(test_a_recovery_that_the_generations_after_it_do_not_know),
        T(test_epochs_must_rise),
        T(test_too_few_share_owners),
        T(test_one_share_owner_twice),
        T(test_more_than_enough),
        T(test_share_owners_of_another_manifest),
        T(test_a_manifest_without_share_owners),
        T(test_of_another_cluster_or_head),
        T(test_a_changed_field_breaks_the_signatures),
        T(test_automatic),
        T(test_recoveries_without_a_place),
        T(test_too_many_recoveries),
    };
    return cmocka_run_group_tests(tests, set_up_world, tear_down_world);
}
