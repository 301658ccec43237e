/* RSA keys of share owners, judged by openssl(1).
 *
 * SPDX-License-Identifier: Apache-2.0 */
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
#include "lib/crypto/key.h"

#define FILE_MAX 65536

/* --- Fixture: a folder, and openssl(1) in it */

static int setup(void **state) {
    char *folder = strdup("/tmp/test_key_rsa-XXXXXX");
    assert_non_null(mkdtemp(folder));
    *state = folder;
    return 0;
}

static int run(const char *folder, const char *command) {
    char line[1024];
    int n = snprintf(line, sizeof line, "cd %s && (%s) >log 2>&1", folder, command);
    assert_true(n > 0 && (size_t)n < sizeof line);
    int status = system(line); // NOLINT(cert-env33-c): fixed commands
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void must(const char *folder, const char *command) {
    if (run(folder, command) != 0) {
        fail_msg("%s failed", command);
    }
}

static int teardown(void **state) {
    char *folder = *state;
    assert_int_equal(run(folder, "find . -type f -delete"), 0);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
    return 0;
}

static void put(const char *folder, const char *name, struct span bytes) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(is_ok(file_write(path, bytes, 0600, NULL)));
}

static void get(const char *folder, const char *name, struct buf *out) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_clear(out);
    assert_true(is_ok(file_read(path, FILE_MAX, out, NULL)));
}

static struct result read_pem_file(const char *folder, const char *name, struct key *out,
                                   struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    get(folder, name, &pem);
    return key_from_pem(buf_span(&pem), out, err);
}

static bool same_public(const struct key *a, const struct key *b) {
    uint8_t left[32];
    uint8_t right[32];
    key_digest(a, left);
    key_digest(b, right);
    return memcmp(left, right, sizeof left) == 0;
}

/* --- PSS */

#define PSS "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384 "

static void make_rsa(const char *folder, unsigned bits, struct key *key) {
    char command[128];
    snprintf(command, sizeof command,
             "openssl genrsa -out key.pem %u && openssl pkey -in key.pem -pubout -out pub.pem",
             bits);
    must(folder, command);
    assert_true(is_ok(read_pem_file(folder, "key.pem", key, NULL)));
}

static void test_openssl_verifies_our_pss(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    make_rsa(folder, 2048, &key);
    assert_true(is_ok(key_sign(&key, span_str("a recovery"), &signature, NULL)));
    assert_int_equal(signature.size, 256);
    put(folder, "sig", buf_span(&signature));
    put(folder, "message", span_str("a recovery"));
    put(folder, "other", span_str("A recovery"));
    must(folder, "openssl dgst -sha384 " PSS "-verify pub.pem -signature sig message");
    assert_int_not_equal(
        run(folder, "openssl dgst -sha384 " PSS "-verify pub.pem -signature sig other"), 0);
}

/* The salt is 48 bytes, the digests are SHA-384: neither more nor less is taken. */
static void test_pss_of_openssl_verifies_and_nothing_else(void **state) {
    const char *folder = *state;
    static const struct {
        const char *options;
        enum err_code code;
    } rows[] = {
        {"-sha384 " PSS, ERR_OK},
        {"-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 ", ERR_SIGNATURE},
        {"-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:0 ", ERR_SIGNATURE},
        {"-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 "
         "-sigopt rsa_mgf1_md:sha256 ",
         ERR_SIGNATURE},
        {"-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 ", ERR_SIGNATURE},
        {"-sha384 ", ERR_SIGNATURE}, /* PKCS#1 v1.5 */
    };
    AUTO(key_deinit)
    struct key key = {0};
    make_rsa(folder, 2048, &key);
    put(folder, "message", span_str("a recovery"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf signature = {0};
        char command[256];
        snprintf(command, sizeof command, "openssl dgst %s-sign key.pem -out sig message",
                 rows[i].options);
        must(folder, command);
        get(folder, "sig", &signature);
        assert_int_equal(key_verify(&key, span_str("a recovery"), buf_span(&signature), NULL).code,
                         rows[i].code);
    }
}

static void test_changed_pss_is_refused(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf s = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct span message = span_str("a recovery");
    make_rsa(folder, 2048, &key);
    assert_true(is_ok(key_sign(&key, message, &s, NULL)));
    assert_true(is_ok(key_sign(&key, message, &again, NULL)));
    assert_false(span_equal(buf_span(&s), buf_span(&again))); /* salted */
    assert_true(is_ok(key_verify(&key, message, buf_span(&s), NULL)));
    for (size_t at = 0; at < s.size; at++) {
        s.data[at] ^= 1;
        assert_int_equal(key_verify(&key, message, buf_span(&s), NULL).code, ERR_SIGNATURE);
        s.data[at] ^= 1;
        assert_int_equal(key_verify(&key, message, span_of(s.data, at), NULL).code, ERR_SIGNATURE);
    }
    buf_append_u8(&s, 0);
    assert_int_equal(key_verify(&key, message, buf_span(&s), NULL).code, ERR_SIGNATURE);
}

static void test_the_public_half_neither_signs_nor_opens(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key public = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    struct secret *opened = NULL;
    struct err err;
    make_rsa(folder, 2048, &key);
    assert_true(is_ok(read_pem_file(folder, "pub.pem", &public, NULL)));
    assert_int_equal(key_sign(&public, span_str("x"), &out, &err).code, ERR_INVALID);
    assert_int_equal(out.size, 0);
    assert_true(is_ok(key_seal(&public, span_str("l"), span_str("x"), &out, NULL)));
    assert_int_equal(key_open(&public, span_str("l"), buf_span(&out), &opened, &err).code,
                     ERR_INVALID);
    assert_null(opened);
}

/* Too small, or with an exponent that makes everything its own signature. */
static void test_weak_rsa_keys_do_nothing(void **state) {
    const char *folder = *state;
    static const char *const commands[] = {
        "openssl genrsa -out key.pem 1024",
        "openssl genrsa -3 -out key.pem 2048",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(buf_deinit)
        struct buf out = {0};
        struct secret *opened = NULL;
        must(folder, commands[i]);
        assert_true(is_ok(read_pem_file(folder, "key.pem", &key, NULL)));
        assert_int_equal(key_sign(&key, span_str("x"), &out, NULL).code, ERR_INVALID);
        assert_int_equal(key_verify(&key, span_str("x"), span_str("y"), NULL).code, ERR_SIGNATURE);
        assert_int_equal(key_seal(&key, span_str("l"), span_str("x"), &out, NULL).code,
                         ERR_INVALID);
        assert_int_equal(key_open(&key, span_str("l"), span_str("y"), &opened, NULL).code,
                         ERR_INVALID);
        key_pkcs1(&key, &out);
        struct key none = {0};
        assert_int_equal(key_from_pkcs1(buf_span(&out), 2048, &none, NULL).code, ERR_MALFORMED);
        assert_null(none.pkey);
    }
}

/* RFC 8017 appendix A.1.1 over a modulus of all ones: n odd, of `bits`; e as given. */
static void test_exponents_of_public_keys(void **state) {
    const char *folder = *state;
    static const struct {
        const char *exponent;
        enum err_code code;
    } rows[] = {
        {"0x10001", ERR_OK},
        {"0x1", ERR_MALFORMED},
        {"0x3", ERR_MALFORMED},
        {"0xffff", ERR_MALFORMED},
        {"0x10000", ERR_MALFORMED}, /* even */
        {"0xffffffffffffffff", ERR_OK},
        {"0x10000000000000001", ERR_MALFORMED},
    };
    char n[513];
    memset(n, 'f', sizeof n - 1);
    n[sizeof n - 1] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(buf_deinit)
        struct buf der = {0};
        char config[1024];
        snprintf(config, sizeof config, "asn1=SEQUENCE:k\n[k]\nn=INTEGER:0x%s\ne=INTEGER:%s\n", n,
                 rows[i].exponent);
        put(folder, "asn1", span_str(config));
        must(folder, "openssl asn1parse -genconf asn1 -noout -out der");
        get(folder, "der", &der);
        assert_int_equal(key_from_pkcs1(buf_span(&der), 2048, &key, NULL).code, rows[i].code);
    }
}

/* The length 0x0100 in two bytes can also be written in three: not DER. */
static void test_another_encoding_of_a_pkcs1_is_refused(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key again = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf ber = {0};
    make_rsa(folder, 2048, &key);
    key_pkcs1(&key, &der);
    assert_memory_equal(der.data, "\x30\x82", 2);
    buf_append(&ber, "\x30\x83\x00", 3);
    buf_append(&ber, der.data + 2, der.size - 2);
    assert_int_equal(key_from_pkcs1(buf_span(&ber), 2048, &again, NULL).code, ERR_MALFORMED);
    assert_true(is_ok(key_from_pkcs1(buf_span(&der), 2048, &again, NULL)));
}

/* --- RSA-OAEP */

#define OAEP                                                                                       \
    "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 "
#define LABEL "a label\0\xff"
#define LABEL_HEX "61206c6162656c00ff"

static struct span label(void) {
    return span_of(LABEL, sizeof LABEL - 1);
}

static void test_openssl_opens_what_we_seal(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf sealed = {0};
    AUTO(buf_deinit)
    struct buf plain = {0};
    make_rsa(folder, 2048, &key);
    assert_true(is_ok(key_seal(&key, label(), span_str("a share"), &sealed, NULL)));
    assert_int_equal(sealed.size, 256);
    put(folder, "sealed", buf_span(&sealed));
    must(folder, "openssl pkeyutl -decrypt -inkey key.pem -in sealed -out plain " OAEP
                 "-pkeyopt rsa_oaep_label:" LABEL_HEX);
    get(folder, "plain", &plain);
    assert_true(span_equal(buf_span(&plain), span_str("a share")));
    assert_int_not_equal(
        run(folder, "openssl pkeyutl -decrypt -inkey key.pem -in sealed -out plain " OAEP), 0);
}

static void test_we_open_what_openssl_seals(void **state) {
    const char *folder = *state;
    static const struct {
        const char *options;
        enum err_code code;
    } rows[] = {
        {OAEP "-pkeyopt rsa_oaep_label:" LABEL_HEX, ERR_OK},
        {OAEP "-pkeyopt rsa_oaep_label:61", ERR_DENIED},
        {OAEP, ERR_DENIED},
        {"-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_label:" LABEL_HEX, ERR_DENIED},
        {"-pkeyopt rsa_padding_mode:pkcs1", ERR_DENIED},
    };
    AUTO(key_deinit)
    struct key key = {0};
    make_rsa(folder, 2048, &key);
    put(folder, "plain", span_str("a share"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf sealed = {0};
        struct secret *opened = NULL;
        char command[512];
        snprintf(command, sizeof command,
                 "openssl pkeyutl -encrypt -pubin -inkey pub.pem -in plain -out sealed %s",
                 rows[i].options);
        must(folder, command);
        get(folder, "sealed", &sealed);
        struct result r = key_open(&key, label(), buf_span(&sealed), &opened, NULL);
        assert_int_equal(r.code, rows[i].code);
        assert_int_equal(opened != NULL, is_ok(r));
        if (is_ok(r)) {
            assert_true(span_equal(secret_span(opened), span_str("a share")));
        }
        secret_free(opened);
    }
}

/* One text for whatever is wrong. */
static void assert_closed(const struct key *key, struct span sealed) {
    struct secret *opened = NULL;
    struct err err;
    assert_int_equal(key_open(key, label(), sealed, &opened, &err).code, ERR_DENIED);
    assert_string_equal(err.text, "does not decrypt with this key");
    assert_null(opened);
}

static void test_changed_sealed_bytes_do_not_open(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key other = {0};
    AUTO(buf_deinit)
    struct buf sealed = {0};
    make_rsa(folder, 2048, &other);
    make_rsa(folder, 2048, &key);
    assert_true(is_ok(key_seal(&key, label(), span_str("a share"), &sealed, NULL)));
    for (size_t at = 0; at < sealed.size; at += 5) {
        sealed.data[at] ^= 1;
        assert_closed(&key, buf_span(&sealed));
        sealed.data[at] ^= 1;
        assert_closed(&key, span_of(sealed.data, at));
    }
    assert_closed(&other, buf_span(&sealed));
    buf_append_u8(&sealed, 0);
    assert_closed(&key, buf_span(&sealed));
}

/* RFC 8017 section 7.1.1: mLen <= k - 2 hLen - 2. */
static void test_what_does_not_fit_is_not_sealed(void **state) {
    const char *folder = *state;
    static const uint8_t plain[256 - 2 * 32 - 2 + 1] = {0};
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key p384 = {0};
    AUTO(buf_deinit)
    struct buf sealed = {0};
    make_rsa(folder, 2048, &key);
    assert_int_equal(key_seal(&key, label(), SPAN(plain), &sealed, NULL).code, ERR_INVALID);
    assert_int_equal(sealed.size, 0);
    assert_true(is_ok(key_seal(&key, label(), span_of(plain, sizeof plain - 1), &sealed, NULL)));
    assert_true(is_ok(key_generate(KEY_P384, &p384, NULL)));
    assert_int_equal(key_seal(&p384, label(), span_str("x"), &sealed, NULL).code, ERR_INVALID);
}

/* --- PKCS#1 */

static void test_pkcs1_is_that_of_openssl(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key again = {0};
    AUTO(buf_deinit)
    struct buf ours = {0};
    AUTO(buf_deinit)
    struct buf theirs = {0};
    must(folder, "openssl genrsa -out key.pem 2048 && "
                 "openssl rsa -in key.pem -RSAPublicKey_out -outform DER -out pkcs1");
    assert_true(is_ok(read_pem_file(folder, "key.pem", &key, NULL)));
    key_pkcs1(&key, &ours);
    get(folder, "pkcs1", &theirs);
    assert_true(span_equal(buf_span(&ours), buf_span(&theirs)));
    assert_true(is_ok(key_from_pkcs1(buf_span(&theirs), 2048, &again, NULL)));
    assert_int_equal(key_kind_of(&again), KEY_RSA);
    assert_true(same_public(&key, &again));
}

static void test_bad_pkcs1_is_refused(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key none = {0};
    AUTO(key_deinit)
    struct key p256 = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf spki = {0};
    struct err err;
    must(folder, "openssl genrsa -out key.pem 2048 && "
                 "openssl rsa -in key.pem -RSAPublicKey_out -outform DER -out pkcs1");
    get(folder, "pkcs1", &der);
    assert_int_equal(key_from_pkcs1(buf_span(&der), 2049, &none, &err).code, ERR_MALFORMED);
    assert_string_equal(err.text, "not a PKCS#1 RSA public key of 2049 to 8192 bits with an "
                                  "exponent above 2^16, in DER");
    assert_int_equal(key_from_pkcs1(span_of(der.data, der.size - 1), 2048, &none, NULL).code,
                     ERR_MALFORMED);
    buf_append_u8(&der, 0);
    assert_int_equal(key_from_pkcs1(buf_span(&der), 2048, &none, NULL).code, ERR_MALFORMED);
    assert_int_equal(key_from_pkcs1((struct span){0}, 2048, &none, NULL).code, ERR_MALFORMED);
    assert_true(is_ok(key_generate(KEY_P256, &p256, NULL)));
    key_spki(&p256, &spki);
    assert_int_equal(key_from_pkcs1(buf_span(&spki), 2048, &none, NULL).code, ERR_MALFORMED);
    assert_null(none.pkey);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_openssl_verifies_our_pss),
        T(test_pss_of_openssl_verifies_and_nothing_else),
        T(test_changed_pss_is_refused),
        T(test_the_public_half_neither_signs_nor_opens),
        T(test_weak_rsa_keys_do_nothing),
        T(test_exponents_of_public_keys),
        T(test_another_encoding_of_a_pkcs1_is_refused),
        T(test_openssl_opens_what_we_seal),
        T(test_we_open_what_openssl_seals),
        T(test_changed_sealed_bytes_do_not_open),
        T(test_what_does_not_fit_is_not_sealed),
        T(test_pkcs1_is_that_of_openssl),
        T(test_bad_pkcs1_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
