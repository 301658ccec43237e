/* A certificate reply: held against key and statement, then written.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "initializer/enroll_files.h"
#include "lib/base/file.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"

#define NOW INT64_C(1800000000)

static char folder[] = "/tmp/test_enroll_files_XXXXXX";
static uint8_t seed[32] = {0xde, 0xad};

/* Root <- intermediate (mesh key), mesh CA (the same key, self-signed) <- leaf. */
struct fixture {
    struct key root_key;
    struct key mesh_key;
    struct key leaf_key;
    struct buf root; /* PEM */
    struct buf mesh;
    struct buf chain;
    struct replica_statement attested;
    struct api_certificate_reply reply;
};
static struct fixture f;

static void build(const struct cert_spec *spec, const struct key *subject, const struct key *issuer,
                  struct buf *der) {
    struct err err;
    struct result r = cert_build(spec, subject, issuer, der, &err);
    if (!is_ok(r)) {
        fail_msg("%s", err.text);
    }
}

static struct cert_spec make_ca(const char *name, uint8_t *serial) {
    return (struct cert_spec){.subject = name,
                              .serial = span_of(serial, 1),
                              .not_before = NOW - 100,
                              .not_after = NOW + 100000,
                              .is_ca = true,
                              .path_length = CERT_PATH_LENGTH_NONE,
                              .key_usage = CERT_USE_KEY_CERT_SIGN};
}

static char *text_of(struct buf *b) {
    union {
        const char *in;
        char *out;
    } u = {buf_cstr(b)};
    return u.out;
}

static int set_up(void **state) {
    (void)state;
    uint8_t serials[4] = {1, 2, 3, 4};
    struct buf root = {0};
    struct buf mesh = {0};
    struct buf intermediate = {0};
    struct buf leaf = {0};
    assert_non_null(mkdtemp(folder));
    assert_int_equal(key_generate(KEY_P384, &f.root_key, NULL).code, ERR_OK);
    assert_int_equal(key_generate(KEY_P256, &f.mesh_key, NULL).code, ERR_OK);
    assert_int_equal(key_generate(KEY_P256, &f.leaf_key, NULL).code, ERR_OK);
    struct cert_spec spec = make_ca("root", &serials[0]);
    build(&spec, &f.root_key, &f.root_key, &root);
    spec = make_ca("mesh", &serials[1]);
    build(&spec, &f.mesh_key, &f.mesh_key, &mesh);
    spec = make_ca("mesh", &serials[2]);
    spec.issuer_certificate = buf_span(&root);
    build(&spec, &f.mesh_key, &f.root_key, &intermediate);
    spec = (struct cert_spec){.subject = "web",
                              .issuer_certificate = buf_span(&mesh),
                              .serial = span_of(&serials[3], 1),
                              .not_before = NOW - 100,
                              .not_after = NOW + 1000,
                              .key_usage = CERT_USE_DIGITAL_SIGNATURE,
                              .extended_usage = CERT_EXT_SERVER_AUTH | CERT_EXT_CLIENT_AUTH};
    build(&spec, &f.leaf_key, &f.mesh_key, &leaf);
    cert_to_pem(buf_span(&root), &f.root);
    cert_to_pem(buf_span(&mesh), &f.mesh);
    cert_to_pem(buf_span(&leaf), &f.chain);
    cert_to_pem(buf_span(&intermediate), &f.chain);
    buf_deinit(&root);
    buf_deinit(&mesh);
    buf_deinit(&intermediate);
    buf_deinit(&leaf);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    key_deinit(&f.root_key);
    key_deinit(&f.mesh_key);
    key_deinit(&f.leaf_key);
    buf_deinit(&f.root);
    buf_deinit(&f.mesh);
    buf_deinit(&f.chain);
    return 0;
}

/* A reply and a statement that fit each other. */
static int fill(void **state) {
    (void)state;
    f.reply = (struct api_certificate_reply){.chain_pem = text_of(&f.chain),
                                             .mesh_ca_pem = text_of(&f.mesh),
                                             .root_ca_pem = text_of(&f.root),
                                             .workload_secret = SPAN(seed),
                                             .generation = 7};
    f.attested = (struct replica_statement){.generation = 7};
    sha384(buf_span(&f.mesh), f.attested.mesh_ca_digest);
    sha384(buf_span(&f.root), f.attested.root_ca_digest);
    return 0;
}

static enum err_code check(const struct key *key, int64_t at) {
    struct err err;
    return enroll_files_check(&f.reply, key, &f.attested, at, &err).code;
}

static void test_a_good_reply_passes(void **state) {
    (void)state;
    assert_int_equal(check(&f.leaf_key, NOW), ERR_OK);
    f.reply.workload_secret = (struct span){0};
    assert_int_equal(check(&f.leaf_key, NOW), ERR_OK);
}

static void test_another_key_differs(void **state) {
    (void)state;
    assert_int_equal(check(&f.mesh_key, NOW), ERR_DIFFERS);
}

static void test_what_was_not_attested_differs(void **state) {
    (void)state;
    f.attested.mesh_ca_digest[0] ^= 1;
    assert_int_equal(check(&f.leaf_key, NOW), ERR_DIFFERS);
    fill(NULL);
    f.attested.root_ca_digest[47] ^= 1;
    assert_int_equal(check(&f.leaf_key, NOW), ERR_DIFFERS);
}

static void test_another_generation_is_tried_again(void **state) {
    (void)state;
    f.reply.generation = 8;
    assert_int_equal(check(&f.leaf_key, NOW), ERR_STALE_GENERATION);
}

static void test_chains_must_verify(void **state) {
    (void)state;
    assert_int_equal(check(&f.leaf_key, NOW + 1001), ERR_SIGNATURE);
    f.reply.mesh_ca_pem = text_of(&f.root); /* attested, and not the leaf's issuer */
    sha384(buf_span(&f.root), f.attested.mesh_ca_digest);
    assert_int_equal(check(&f.leaf_key, NOW), ERR_SIGNATURE);
    fill(NULL);
    f.reply.root_ca_pem = text_of(&f.mesh);
    f.reply.chain_pem = text_of(&f.mesh); /* one certificate where two belong */
    sha384(buf_span(&f.mesh), f.attested.root_ca_digest);
    assert_int_not_equal(check(&f.leaf_key, NOW), ERR_OK);
}

static void test_secrets_have_32_bytes_or_none(void **state) {
    (void)state;
    f.reply.workload_secret.size = 31;
    assert_int_equal(check(&f.leaf_key, NOW), ERR_DIFFERS);
}

static void expect_file(const char *name, mode_t mode, const char *text) {
    char path[256];
    struct stat status;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, mode);
    assert_int_equal(file_read(path, 65536, &bytes, NULL).code, ERR_OK);
    if (text != NULL) {
        assert_string_equal(buf_cstr(&bytes), text);
    } else {
        assert_non_null(strstr(buf_cstr(&bytes), "BEGIN PRIVATE KEY"));
    }
}

static void test_files_have_their_modes(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) { /* a second run replaces the first one's */
        assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    }
    expect_file("tls-config/mesh-ca.pem", 0444, text_of(&f.mesh));
    expect_file("tls-config/coordinator-root-ca.pem", 0444, text_of(&f.root));
    expect_file("tls-config/certChain.pem", 0444, text_of(&f.chain));
    expect_file("tls-config/key.pem", 0400, NULL);
    expect_file("secrets/workload-secret-seed", 0400,
                "dead000000000000000000000000000000000000000000000000000000000000");
}

static bool is_there(const char *name) {
    char path[256];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &status) == 0;
}

static void test_a_secret_that_is_granted_no_longer_goes(void **state) {
    (void)state;
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    assert_true(is_there("secrets/workload-secret-seed"));
    f.reply.workload_secret = (struct span){0};
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    assert_false(is_there("secrets"));
    assert_true(is_there("tls-config/key.pem"));
}

static void test_what_was_written_is_read_back(void **state) {
    (void)state;
    struct enroll_present p;
    uint8_t digest[32];
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    assert_int_equal(enroll_files_read(folder, &p, NULL).code, ERR_OK);
    assert_int_equal(p.not_before, NOW - 100);
    assert_int_equal(p.not_after, NOW + 1000);
    sha256(buf_span(&f.chain), digest);
    assert_memory_equal(p.chain_digest, digest, sizeof digest);
    assert_memory_equal(p.mesh_ca, f.attested.mesh_ca_digest, sizeof p.mesh_ca);
}

static enum err_code read_back(void) {
    struct enroll_present p;
    struct err err;
    return enroll_files_read(folder, &p, &err).code;
}

static void test_a_set_that_is_none_is_not_read(void **state) {
    (void)state;
    struct enroll_present p;
    struct err err;
    assert_int_equal(enroll_files_read("/tmp/nothing-is-here", &p, &err).code, ERR_NOT_FOUND);
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.root_key, NULL).code, ERR_OK);
    assert_int_equal(read_back(), ERR_DIFFERS); /* the key of another certificate */
    f.reply.mesh_ca_pem = text_of(&f.root);
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    assert_int_equal(read_back(), ERR_SIGNATURE); /* another CA than the leaf's */
    f.reply.chain_pem = text_of(&f.mesh);
    assert_int_equal(enroll_files_write(folder, &f.reply, &f.leaf_key, NULL).code, ERR_OK);
    assert_int_equal(read_back(), ERR_CONFIG); /* one certificate where two belong */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_good_reply_passes, fill),
        cmocka_unit_test_setup(test_another_key_differs, fill),
        cmocka_unit_test_setup(test_what_was_not_attested_differs, fill),
        cmocka_unit_test_setup(test_another_generation_is_tried_again, fill),
        cmocka_unit_test_setup(test_chains_must_verify, fill),
        cmocka_unit_test_setup(test_secrets_have_32_bytes_or_none, fill),
        cmocka_unit_test_setup(test_files_have_their_modes, fill),
        cmocka_unit_test_setup(test_a_secret_that_is_granted_no_longer_goes, fill),
        cmocka_unit_test_setup(test_what_was_written_is_read_back, fill),
        cmocka_unit_test_setup(test_a_set_that_is_none_is_not_read, fill),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
