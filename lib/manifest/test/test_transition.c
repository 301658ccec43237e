/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crypto/digest.h"
#include "lib/manifest/transition.h"

#define H1 "1111111111111111111111111111111111111111111111111111111111111111"

/* Three manifests: the first names owner 0, the second owner 1, the third nobody. */
struct fixture {
    struct key owners[3];
    struct buf spki[3];
    struct buf json[3];
    struct buf signatures[3];
    struct transition_record records[3];
    struct manifest trusted; /* what the verifier has: the first manifest */
    uint8_t cluster[32];
    uint8_t head[32];
};

static void make_manifest(struct buf *out, const struct key *owner, unsigned number) {
    char hex[65] = "";
    if (owner != NULL) {
        uint8_t digest[32];
        key_digest(owner, digest);
        hex_encode(SPAN(digest), hex);
    }
    const char *quote = owner != NULL ? "\"" : "";
    buf_appendf(out,
                "{\"Policies\":{\"" H1 "\":{\"Role\":\"coordinator\"}},\"ReferenceValues\":{"
                "\"snp\":[{\"ProductName\":\"Milan\",\"TrustedMeasurement\":\"" H1
                "%032u\",\"MinimumTCB\":{\"BootloaderVersion\":0,\"TEEVersion\":0,"
                "\"SNPVersion\":0,\"MicrocodeVersion\":0},\"GuestPolicy\":{}}]},"
                "\"WorkloadOwnerKeyDigests\":[%s%s%s]}",
                number, quote, hex, quote);
}

/* Signs record `i` as the next after `previous`, which becomes its transition. */
static void sign_record(struct fixture *f, size_t i, const struct key *signer,
                        const struct buf *spki, uint8_t previous[32]) {
    struct manifest m = {0};
    assert_true(is_ok(manifest_parse(buf_span(&f->json[i]), &m, NULL)));
    struct transition t = {.epoch = 1, .generation = i + 1};
    memcpy(t.cluster, f->cluster, 32);
    memcpy(t.previous, previous, 32);
    memcpy(t.manifest_hash, m.hash, 32);
    manifest_policies_hash(&m, t.policies_hash);
    manifest_deinit(&m);
    transition_hash(&t, previous);
    buf_clear(&f->signatures[i]);
    assert_true(is_ok(transition_sign(previous, signer, &f->signatures[i], NULL)));
    f->records[i] = (struct transition_record){buf_span(&f->json[i]), buf_span(spki),
                                               buf_span(&f->signatures[i])};
}

static int setup(void **state) {
    static struct fixture f;
    f = (struct fixture){.cluster = {7}};
    for (size_t i = 0; i < 3; i++) {
        assert_true(is_ok(key_generate(i == 1 ? KEY_ED25519 : KEY_P384, &f.owners[i], NULL)));
        key_spki(&f.owners[i], &f.spki[i]);
    }
    make_manifest(&f.json[0], &f.owners[0], 1);
    make_manifest(&f.json[1], &f.owners[1], 2);
    make_manifest(&f.json[2], NULL, 3);
    sign_record(&f, 0, &f.owners[0], &f.spki[0], f.head);
    sign_record(&f, 1, &f.owners[0], &f.spki[0], f.head);
    sign_record(&f, 2, &f.owners[1], &f.spki[1], f.head);
    assert_true(is_ok(manifest_parse(buf_span(&f.json[0]), &f.trusted, NULL)));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        key_deinit(&f->owners[i]);
        buf_deinit(&f->spki[i]);
        buf_deinit(&f->json[i]);
        buf_deinit(&f->signatures[i]);
    }
    manifest_deinit(&f->trusted);
    return 0;
}

static struct transition_history history_of(const struct fixture *f, size_t count) {
    struct transition_history h = {.records = f->records, .count = count};
    memcpy(h.cluster, f->cluster, sizeof h.cluster);
    return h;
}

static void assert_chain_refused(struct fixture *f, size_t count, enum err_code code,
                                 const char *want) {
    struct manifest latest = {0};
    uint8_t head[32] = {0};
    uint64_t epoch = 0;
    struct err err;
    struct transition_history h = history_of(f, count);
    struct result r = transition_verify_chain(&h, &f->trusted, &latest, head, &epoch, &err);
    assert_int_equal(r.code, code);
    if (strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, err.text);
    }
    assert_int_equal(latest.policy_count, 0);
    assert_true(span_is_zero(SPAN(head)));
}

/* python3: hashlib.sha256(b"contrast-transition-v1\0" + bytes([1] * 32) + struct.pack(">QQ", 2, 3)
 *                         + bytes([4] * 32) + bytes([5] * 32) + bytes([6] * 32)).hexdigest() */
static void test_hash_golden(void **state) {
    (void)state;
    struct transition t = {.epoch = 2, .generation = 3};
    memset(t.cluster, 1, 32);
    memset(t.previous, 4, 32);
    memset(t.manifest_hash, 5, 32);
    memset(t.policies_hash, 6, 32);
    uint8_t hash[32];
    char hex[65];
    transition_hash(&t, hash);
    hex_encode(SPAN(hash), hex);
    assert_string_equal(hex, "eb06890d22616476d64ae102cafefadc16df2a2b513664ba80c3dd93eb73804c");
}

static void test_signed_bytes(void **state) {
    (void)state;
    uint8_t hash[32] = {0xab};
    AUTO(buf_deinit)
    struct buf out = {0};
    transition_signed_bytes(hash, &out);
    assert_int_equal(out.size, 16 + 32);
    assert_memory_equal(out.data, "contrast-set-v1\0\xab", 17);
}

static void test_chain_accepts(void **state) {
    struct fixture *f = *state;
    for (size_t count = 1; count <= 3; count++) {
        struct manifest latest = {0};
        uint8_t head[32];
        uint64_t epoch = 0;
        struct transition_history h = history_of(f, count);
        assert_true(is_ok(transition_verify_chain(&h, &f->trusted, &latest, head, &epoch, NULL)));
        assert_int_equal(epoch, 1);
        assert_memory_equal(latest.references[0].measurement + 47, &(uint8_t){(uint8_t)count}, 1);
        assert_int_equal(memcmp(head, f->head, 32) == 0, count == 3);
        manifest_deinit(&latest);
    }
}

static void test_chain_refuses_tampering(void **state) {
    struct fixture *f = *state;
    f->signatures[1].data[10] ^= 1;
    assert_chain_refused(f, 3, ERR_SIGNATURE, "generation 2: ");
    f->signatures[1].data[10] ^= 1;
    f->cluster[0] ^= 1;
    assert_chain_refused(f, 3, ERR_SIGNATURE, "generation 1: ");
    f->cluster[0] ^= 1;
    f->records[1].manifest = buf_span(&f->json[2]);
    assert_chain_refused(f, 3, ERR_SIGNATURE, "generation 2: ");
    f->records[2].manifest.size--;
    assert_chain_refused(f, 0, ERR_DENIED, "empty");
}

static void test_chain_refuses_reordering_and_gaps(void **state) {
    struct fixture *f = *state;
    struct transition_record second = f->records[1];
    f->records[1] = f->records[2];
    f->records[2] = second;
    assert_chain_refused(f, 3, ERR_SIGNATURE, "generation 2: ");
    assert_chain_refused(f, 2, ERR_SIGNATURE, "generation 2: ");
    f->records[0] = second;
    assert_chain_refused(f, 1, ERR_SIGNATURE, "generation 1: ");
}

/* Owner 1 is named by manifest 2 only: it may not sign generation 2 itself. */
static void test_chain_refuses_the_wrong_authority(void **state) {
    struct fixture *f = *state;
    uint8_t previous[32] = {0};
    sign_record(f, 0, &f->owners[0], &f->spki[0], previous);
    sign_record(f, 1, &f->owners[1], &f->spki[1], previous);
    assert_chain_refused(f, 3, ERR_SIGNATURE, "generation 2: signed by key");
}

/* A host founds its own cluster with its own key: consistent, but not the verifier's. */
static void test_chain_refuses_a_foreign_first_key(void **state) {
    struct fixture *f = *state;
    buf_clear(&f->json[0]);
    make_manifest(&f->json[0], &f->owners[2], 1);
    uint8_t previous[32] = {0};
    sign_record(f, 0, &f->owners[2], &f->spki[2], previous);
    assert_chain_refused(f, 1, ERR_DENIED, "which your manifest does not name");
}

static void test_chain_refuses_a_first_key_that_its_manifest_lacks(void **state) {
    struct fixture *f = *state;
    buf_clear(&f->json[0]);
    make_manifest(&f->json[0], &f->owners[2], 1);
    uint8_t previous[32] = {0};
    sign_record(f, 0, &f->owners[0], &f->spki[0], previous);
    assert_chain_refused(f, 1, ERR_SIGNATURE, "not an owner of this manifest");
}

static void test_no_owners_end_the_chain(void **state) {
    struct fixture *f = *state;
    struct manifest last = {0};
    assert_true(is_ok(manifest_parse(buf_span(&f->json[2]), &last, NULL)));
    struct err err;
    AUTO(buf_deinit)
    struct buf signature = {0};
    assert_true(is_ok(transition_sign(f->head, &f->owners[1], &signature, NULL)));
    assert_int_equal(
        transition_verify(f->head, buf_span(&f->spki[1]), buf_span(&signature), &last, &err).code,
        ERR_SIGNATURE);
    manifest_deinit(&last);
}

/* RSA keys are share owners': even where a manifest names one among its owners, it signs nothing.
 */
static void test_an_rsa_key_signs_no_manifest(void **state) {
    struct fixture *f = *state;
    AUTO(key_deinit)
    struct key rsa = {0};
    AUTO(buf_deinit)
    struct buf spki = {0};
    AUTO(buf_deinit)
    struct buf message = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    struct err err;
    uint8_t digest[1][32];
    assert_true(is_ok(key_generate(KEY_RSA, &rsa, NULL)));
    key_spki(&rsa, &spki);
    key_digest(&rsa, digest[0]);
    const struct manifest authority = {.owner_digests = digest, .owner_count = 1};
    assert_int_equal(transition_sign(f->head, &rsa, &signature, &err).code, ERR_INVALID);
    assert_int_equal(signature.size, 0);
    transition_signed_bytes(f->head, &message);
    assert_true(is_ok(key_sign(&rsa, buf_span(&message), &signature, NULL)));
    assert_int_equal(
        transition_verify(f->head, buf_span(&spki), buf_span(&signature), &authority, &err).code,
        ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "unknown kind of key"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_golden),
        cmocka_unit_test(test_signed_bytes),
        cmocka_unit_test_setup_teardown(test_chain_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_refuses_tampering, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_refuses_reordering_and_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_refuses_the_wrong_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_refuses_a_foreign_first_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_refuses_a_first_key_that_its_manifest_lacks,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_owners_end_the_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_rsa_key_signs_no_manifest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
