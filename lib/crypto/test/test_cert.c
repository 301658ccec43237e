/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/cert.h"

#define NOW INT64_C(1763772669) /* 2025-11-22 */

static const uint8_t serial_one[] = {1};

struct fixture {
    struct key root_key;
    struct key mesh_key;
    struct key leaf_key;
    struct buf root;
    struct buf mesh;
    struct buf leaf;
};

static struct cert_spec ca_spec(const char *subject, int path_length) {
    return (struct cert_spec){.subject = subject,
                              .serial = SPAN(serial_one),
                              .not_before = NOW,
                              .not_after = NOW + 86400,
                              .is_ca = true,
                              .path_length = path_length,
                              .key_usage = CERT_USE_KEY_CERT_SIGN | CERT_USE_CRL_SIGN};
}

static const char *const leaf_sans[] = {"*", "web.example", "10.0.0.7", "2001:db8::1",
                                        "spiffe://cluster/ns/web"};
static const struct cert_extension claims = {
    "1.3.6.1.4.1.99999.1", {(const uint8_t *)"\x05", 2}, false};

static struct cert_spec leaf_spec(const struct fixture *f) {
    return (struct cert_spec){.subject = "web",
                              .issuer_certificate = buf_span(&f->mesh),
                              .serial = SPAN(serial_one),
                              .not_before = NOW,
                              .not_after = NOW + 3600,
                              .key_usage = CERT_USE_DIGITAL_SIGNATURE,
                              .extended_usage = CERT_EXT_SERVER_AUTH | CERT_EXT_CLIENT_AUTH,
                              .sans = leaf_sans,
                              .san_count = 5,
                              .extensions = &claims,
                              .extension_count = 1};
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_true(is_ok(key_generate(KEY_P384, &f->root_key, NULL)));
    assert_true(is_ok(key_generate(KEY_P256, &f->mesh_key, NULL)));
    assert_true(is_ok(key_generate(KEY_ED25519, &f->leaf_key, NULL)));
    struct cert_spec root = ca_spec("root", CERT_PATH_LENGTH_NONE);
    assert_true(is_ok(cert_build(&root, &f->root_key, &f->root_key, &f->root, NULL)));
    struct cert_spec mesh = ca_spec("mesh", 0);
    mesh.issuer_certificate = buf_span(&f->root);
    assert_true(is_ok(cert_build(&mesh, &f->mesh_key, &f->root_key, &f->mesh, NULL)));
    struct cert_spec leaf = leaf_spec(f);
    assert_true(is_ok(cert_build(&leaf, &f->leaf_key, &f->mesh_key, &f->leaf, NULL)));
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    key_deinit(&f->root_key);
    key_deinit(&f->mesh_key);
    key_deinit(&f->leaf_key);
    buf_deinit(&f->root);
    buf_deinit(&f->mesh);
    buf_deinit(&f->leaf);
    free(f);
    return 0;
}

static void test_the_chain_verifies_in_its_time(void **state) {
    struct fixture *f = *state;
    struct span mesh = buf_span(&f->mesh);
    struct span leaf = buf_span(&f->leaf);
    struct span root = buf_span(&f->root);
    struct err err;
    assert_true(is_ok(cert_verify_leaf(leaf, &mesh, 1, root, NOW + 10, &err)));
    assert_true(is_ok(cert_verify_leaf(leaf, NULL, 0, mesh, NOW + 10, &err)));
    assert_int_equal(cert_verify_leaf(leaf, NULL, 0, root, NOW + 10, &err).code, ERR_SIGNATURE);
    assert_int_equal(cert_verify_leaf(leaf, &mesh, 1, root, NOW - 10, &err).code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "not yet valid by the clock of this host"));
    assert_int_equal(cert_verify_leaf(leaf, &mesh, 1, root, NOW + 3700, &err).code, ERR_SIGNATURE);
    assert_string_equal(
        err.text, "certificate at depth 0: certificate has expired by the clock of this host: is "
                  "that right?");
}

static void test_a_forged_leaf_is_refused(void **state) {
    struct fixture *f = *state;
    f->leaf.data[f->leaf.size - 1] ^= 1;
    assert_int_equal(
        cert_verify_leaf(buf_span(&f->leaf), NULL, 0, buf_span(&f->mesh), NOW + 10, NULL).code,
        ERR_SIGNATURE);
}

static void test_parts_can_be_read_back(void **state) {
    struct fixture *f = *state;
    struct key key = {0};
    int64_t from = 0;
    int64_t until = 0;
    AUTO(buf_deinit)
    struct buf value = {0};
    AUTO(buf_deinit)
    struct buf a = {0};
    AUTO(buf_deinit)
    struct buf b = {0};
    struct span leaf = buf_span(&f->leaf);
    assert_true(is_ok(cert_validity(leaf, &from, &until, NULL)));
    assert_true(from == NOW && until == NOW + 3600);
    assert_true(is_ok(cert_extension_value(leaf, "1.3.6.1.4.1.99999.1", &value, NULL)));
    assert_true(span_equal(buf_span(&value), span_of("\x05", 2)));
    assert_int_equal(cert_extension_value(leaf, "1.2.3", &value, NULL).code, ERR_NOT_FOUND);
    assert_true(is_ok(cert_public_key(leaf, &key, NULL)));
    key_spki(&key, &a);
    key_spki(&f->leaf_key, &b);
    assert_true(span_equal(buf_span(&a), buf_span(&b)));
    key_deinit(&key);
}

/* What another program says about the certificate. */
static void describe(struct span der, struct buf *text) {
    char path[] = "/tmp/contrast-cert-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, der.data, der.size), der.size);
    close(fd);
    char command[256];
    snprintf(command, sizeof command, "openssl x509 -inform DER -in %s -noout -text", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = 0;
    uint8_t chunk[4096];
    while ((n = fread(chunk, 1, sizeof chunk, pipe)) > 0) {
        buf_append(text, chunk, n);
    }
    assert_int_equal(pclose(pipe), 0);
    unlink(path);
}

static void test_openssl_reads_what_was_meant(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf leaf = {0};
    AUTO(buf_deinit)
    struct buf mesh = {0};
    describe(buf_span(&f->leaf), &leaf);
    describe(buf_span(&f->mesh), &mesh);
    static const char *const of_leaf[] = {
        "Version: 3",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: CN = mesh",
        "Subject: CN = web",
        "CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "DNS:*, DNS:web.example, IP Address:10.0.0.7, IP Address:2001:DB8:0:0:0:0:0:1, URI:spiffe:",
        "URI:spiffe://cluster/ns/web\n",
        "1.3.6.1.4.1.99999.1",
        "X509v3 Authority Key Identifier"};
    for (size_t i = 0; i < sizeof of_leaf / sizeof of_leaf[0]; i++) {
        assert_non_null(strstr(buf_cstr(&leaf), of_leaf[i]));
    }
    static const char *const of_mesh[] = {
        "Signature Algorithm: ecdsa-with-SHA384", "X509v3 Basic Constraints: critical",
        "CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "X509v3 Subject Key Identifier"};
    for (size_t i = 0; i < sizeof of_mesh / sizeof of_mesh[0]; i++) {
        assert_non_null(strstr(buf_cstr(&mesh), of_mesh[i]));
    }
}

/* All but the signature follows from the description (Ed25519 signs the same way each time). */
static void test_building_is_deterministic(void **state) {
    struct fixture *f = *state;
    struct cert_spec spec = ca_spec("again", 1);
    AUTO(buf_deinit)
    struct buf a = {0};
    AUTO(buf_deinit)
    struct buf b = {0};
    assert_true(is_ok(cert_build(&spec, &f->leaf_key, &f->leaf_key, &a, NULL)));
    assert_true(is_ok(cert_build(&spec, &f->leaf_key, &f->leaf_key, &b, NULL)));
    assert_true(span_equal(buf_span(&a), buf_span(&b)));
}

static void test_bad_specs_are_named(void **state) {
    struct fixture *f = *state;
    static const uint8_t zero[2] = {0};
    static const uint8_t negative[20] = {0x80};
    static const char *const bad_san[] = {"a b"};
    static const struct cert_extension bad_oid = {"serverAuth", {(const uint8_t *)"", 0}, false};
    struct cert_spec specs[8];
    for (size_t i = 0; i < 8; i++) {
        specs[i] = leaf_spec(f);
    }
    specs[0].serial = SPAN(zero);
    specs[1].serial = SPAN(negative);
    specs[2].not_after = specs[2].not_before;
    specs[3].subject = "";
    specs[4].sans = bad_san;
    specs[4].san_count = 1;
    specs[5].extensions = &bad_oid;
    specs[6].issuer_certificate = buf_span(&f->root);
    specs[7].subject = "\xff";
    static const char *const want[] = {"serial of 2 bytes, want 1..20 and not zero",
                                       "serial is negative or over 20 bytes in DER",
                                       "validity from 1763772669 to 1763772669",
                                       "subject: common name of 0 bytes, want 1..64",
                                       "subject alternative name 1: a character that no name has",
                                       "extension \"serverAuth\": not a dotted OID",
                                       "the issuer certificate is not of the issuer key",
                                       "subject: common name is not UTF-8"};
    for (size_t i = 0; i < 8; i++) {
        struct err err;
        AUTO(buf_deinit)
        struct buf der = {0};
        assert_int_equal(cert_build(&specs[i], &f->leaf_key, &f->mesh_key, &der, &err).code,
                         ERR_INVALID);
        assert_string_equal(err.text, want[i]);
        assert_int_equal(der.size, 0);
    }
}

static void test_pem_round_trips_and_counts(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf pem = {0};
    struct buf back[2] = {{0}, {0}};
    struct err err;
    cert_to_pem(buf_span(&f->root), &pem);
    cert_to_pem(buf_span(&f->mesh), &pem);
    assert_int_equal(cert_from_pem(buf_span(&pem), 1, back, &err).code, ERR_CONFIG);
    assert_string_equal(err.text, "more than 1 certificates, or text behind them");
    assert_int_equal(back[0].size, 0);
    assert_true(is_ok(cert_from_pem(buf_span(&pem), 2, back, &err)));
    assert_true(span_equal(buf_span(&back[1]), buf_span(&f->mesh)));
    buf_append_str(&pem, "x");
    assert_int_equal(cert_from_pem(buf_span(&pem), 2, back, &err).code, ERR_CONFIG);
    pem.data[100] = '!';
    assert_int_equal(cert_from_pem(buf_span(&pem), 2, back, &err).code, ERR_CONFIG);
    assert_string_equal(err.text, "certificate 1 of 2: not base64");
    buf_deinit(&back[0]);
    buf_deinit(&back[1]);
}

static void test_every_prefix_is_refused(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf spki = {0};
    for (size_t size = 0; size < f->leaf.size; size++) {
        struct span prefix = span_of(f->leaf.data, size);
        assert_int_equal(cert_spki(prefix, &spki, NULL).code, ERR_MALFORMED);
    }
    buf_append_u8(&f->leaf, 0);
    assert_int_equal(cert_spki(buf_span(&f->leaf), &spki, NULL).code, ERR_MALFORMED);
    assert_int_equal(spki.size, 0);
}

static void test_ephemeral_certificates_differ(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf a = {0};
    AUTO(buf_deinit)
    struct buf b = {0};
    assert_true(is_ok(cert_self_signed(&f->leaf_key, &a, NULL)));
    assert_true(is_ok(cert_self_signed(&f->leaf_key, &b, NULL)));
    assert_false(span_equal(buf_span(&a), buf_span(&b)));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_the_chain_verifies_in_its_time), T(test_a_forged_leaf_is_refused),
        T(test_parts_can_be_read_back),         T(test_openssl_reads_what_was_meant),
        T(test_building_is_deterministic),      T(test_bad_specs_are_named),
        T(test_pem_round_trips_and_counts),     T(test_every_prefix_is_refused),
        T(test_ephemeral_certificates_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
