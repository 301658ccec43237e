/* Keys, judged by openssl(1).
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
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"

#define FILE_MAX 65536

/* --- Fixture: a folder, and openssl(1) in it */

static int setup(void **state) {
    char *folder = strdup("/tmp/test_key-XXXXXX");
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

static const enum key_kind signing_kinds[] = {KEY_P256, KEY_P384, KEY_ED25519};

/* --- Round trips */

static void test_generated_keys_survive_pem_and_der(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(key_deinit)
        struct key from_pem = {0};
        AUTO(key_deinit)
        struct key from_der = {0};
        AUTO(buf_deinit)
        struct buf pem = {0};
        AUTO(buf_deinit)
        struct buf der = {0};
        assert_true(is_ok(key_generate(signing_kinds[i], &key, NULL)));
        assert_int_equal(key_kind_of(&key), signing_kinds[i]);
        assert_true(key_is_private(&key));
        key_to_pem(&key, true, &pem);
        assert_true(is_ok(key_from_pem(buf_span(&pem), &from_pem, NULL)));
        key_private_der(&key, &der);
        assert_true(is_ok(key_from_private_der(buf_span(&der), &from_der, NULL)));
        assert_true(key_is_private(&from_pem) && key_is_private(&from_der));
        assert_true(same_public(&key, &from_pem) && same_public(&key, &from_der));
    }
}

static void test_a_public_pem_holds_no_private_key(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(key_deinit)
        struct key again = {0};
        AUTO(buf_deinit)
        struct buf pem = {0};
        AUTO(buf_deinit)
        struct buf signature = {0};
        struct err err;
        assert_true(is_ok(key_generate(signing_kinds[i], &key, NULL)));
        key_to_pem(&key, false, &pem);
        assert_null(memmem(pem.data, pem.size, "PRIVATE", 7));
        assert_true(is_ok(key_from_pem(buf_span(&pem), &again, NULL)));
        assert_false(key_is_private(&again));
        assert_true(same_public(&key, &again));
        assert_int_equal(key_sign(&again, span_str("x"), &signature, &err).code, ERR_INVALID);
        assert_int_equal(signature.size, 0);
    }
}

static void test_a_key_from_its_spki_is_the_same_key(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(key_deinit)
        struct key again = {0};
        AUTO(buf_deinit)
        struct buf spki = {0};
        AUTO(buf_deinit)
        struct buf signature = {0};
        assert_true(is_ok(key_generate(signing_kinds[i], &key, NULL)));
        key_spki(&key, &spki);
        assert_true(is_ok(key_from_spki(buf_span(&spki), &again, NULL)));
        assert_int_equal(key_kind_of(&again), signing_kinds[i]);
        assert_false(key_is_private(&again));
        assert_true(same_public(&key, &again));
        assert_true(is_ok(key_sign(&key, span_str("x"), &signature, NULL)));
        assert_true(is_ok(key_verify(&again, span_str("x"), buf_span(&signature), NULL)));
    }
}

/* For one x there are two points, y and -y: with the lowest bit of y changed it is neither. */
static void test_a_point_beside_the_curve_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(key_deinit)
        struct key none = {0};
        AUTO(buf_deinit)
        struct buf spki = {0};
        assert_true(is_ok(key_generate(signing_kinds[i], &key, NULL)));
        key_spki(&key, &spki);
        spki.data[spki.size - 1] ^= 1;
        assert_int_equal(key_from_spki(buf_span(&spki), &none, NULL).code, ERR_MALFORMED);
        memset(spki.data + spki.size - 32, 0xff, 32); /* over the field's prime */
        assert_int_equal(key_from_spki(buf_span(&spki), &none, NULL).code, ERR_MALFORMED);
        assert_null(none.pkey);
    }
}

static void test_generated_keys_differ(void **state) {
    (void)state;
    AUTO(key_deinit)
    struct key a = {0};
    AUTO(key_deinit)
    struct key b = {0};
    assert_true(is_ok(key_generate(KEY_P256, &a, NULL)));
    assert_true(is_ok(key_generate(KEY_P256, &b, NULL)));
    assert_false(same_public(&a, &b));
}

static void test_a_shared_key_outlives_its_first_owner(void **state) {
    (void)state;
    struct key a = {0};
    struct key b = {0};
    uint8_t before[32];
    uint8_t after[32];
    assert_true(is_ok(key_generate(KEY_P256, &a, NULL)));
    key_digest(&a, before);
    key_share(&a, &b);
    key_deinit(&a);
    key_deinit(&a); /* accepts zeroed */
    key_digest(&b, after);
    assert_memory_equal(before, after, sizeof before);
    key_deinit(&b);
}

/* --- openssl(1) reads what we write */

struct openssl_row {
    enum key_kind kind;
    const char *verify;
};

static const struct openssl_row openssl_rows[] = {
    {KEY_P256, "openssl dgst -sha256 -verify pub.pem -signature sig message"},
    {KEY_P384, "openssl dgst -sha384 -verify pub.pem -signature sig message"},
    {KEY_ED25519, "openssl pkeyutl -verify -pubin -inkey pub.pem -rawin -in message -sigfile sig"},
};

static void test_openssl_reads_our_keys_and_signatures(void **state) {
    const char *folder = *state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(buf_deinit)
        struct buf private = {0};
        AUTO(buf_deinit)
        struct buf public = {0};
        AUTO(buf_deinit)
        struct buf signature = {0};
        assert_true(is_ok(key_generate(openssl_rows[i].kind, &key, NULL)));
        key_to_pem(&key, true, &private);
        key_to_pem(&key, false, &public);
        assert_true(is_ok(key_sign(&key, span_str("a manifest"), &signature, NULL)));
        put(folder, "key.pem", buf_span(&private));
        put(folder, "pub.pem", buf_span(&public));
        put(folder, "sig", buf_span(&signature));
        put(folder, "message", span_str("a manifest"));
        must(folder, openssl_rows[i].verify);
        must(folder, "openssl pkey -in key.pem -check -noout && "
                     "openssl pkey -in key.pem -pubout -out again.pem");
        must(folder, "cmp pub.pem again.pem");
        put(folder, "message", span_str("another manifest"));
        assert_int_not_equal(run(folder, openssl_rows[i].verify), 0);
    }
}

static void test_the_digest_is_that_of_openssls_spki(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    char hex[65];
    uint8_t digest[32];
    assert_true(is_ok(key_generate(KEY_P384, &key, NULL)));
    key_to_pem(&key, false, &pem);
    put(folder, "pub.pem", buf_span(&pem));
    must(folder, "openssl pkey -pubin -in pub.pem -outform DER | openssl dgst -sha256 -r >digest");
    get(folder, "digest", &text);
    key_digest(&key, digest);
    hex_encode(SPAN(digest), hex);
    assert_true(text.size > 64 && memcmp(text.data, hex, 64) == 0);
}

/* --- We read what openssl(1) writes */

struct file_row {
    const char *make; /* writes key.pem, and pub.pem with the SubjectPublicKeyInfo */
    enum key_kind kind;
};

#define PUBLIC " && openssl pkey -in key.pem -pubout -out pub.pem"

static const struct file_row file_rows[] = {
    {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem" PUBLIC,
     KEY_P256},
    {"openssl ecparam -name secp384r1 -genkey -noout -out key.pem" PUBLIC, KEY_P384},
    {"openssl ecparam -name prime256v1 -genkey -out key.pem" PUBLIC, KEY_P256},
    {"openssl genpkey -algorithm ed25519 -out key.pem" PUBLIC, KEY_ED25519},
    {"openssl genrsa -traditional -out key.pem 2048" PUBLIC, KEY_RSA},
    {"openssl ecparam -name secp521r1 -genkey -noout -out key.pem" PUBLIC, KEY_OTHER},
};

static void test_keys_of_openssl_are_read(void **state) {
    const char *folder = *state;
    for (size_t i = 0; i < sizeof file_rows / sizeof file_rows[0]; i++) {
        AUTO(key_deinit)
        struct key private = {0};
        AUTO(key_deinit)
        struct key public = {0};
        must(folder, file_rows[i].make);
        assert_true(is_ok(read_pem_file(folder, "key.pem", &private, NULL)));
        assert_true(is_ok(read_pem_file(folder, "pub.pem", &public, NULL)));
        assert_int_equal(key_kind_of(&private), file_rows[i].kind);
        assert_true(key_is_private(&private));
        assert_false(key_is_private(&public));
        assert_true(same_public(&private, &public));
    }
}

static void test_a_signature_of_openssl_verifies(void **state) {
    const char *folder = *state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    put(folder, "message", span_str("a manifest"));
    must(folder, "openssl ecparam -name secp384r1 -genkey -noout -out key.pem && "
                 "openssl dgst -sha384 -sign key.pem -out sig message");
    assert_true(is_ok(read_pem_file(folder, "key.pem", &key, NULL)));
    get(folder, "sig", &signature);
    assert_true(is_ok(key_verify(&key, span_str("a manifest"), buf_span(&signature), NULL)));
}

/* --- What is refused */

static void test_an_encrypted_key_is_refused_without_a_question(void **state) {
    const char *folder = *state;
    static const char *const commands[] = {
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc "
        "-pass pass:secret -out key.pem",
        "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes256 -passout pass:secret "
        "-out key.pem",
    };
    for (size_t i = 0; i < 2; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        struct err err;
        must(folder, commands[i]);
        assert_int_equal(read_pem_file(folder, "key.pem", &key, &err).code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "unencrypted"));
        assert_null(key.pkey);
    }
}

static void test_other_text_is_no_key(void **state) {
    const char *folder = *state;
    static const char *const texts[] = {
        "", "hello\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    (void)folder;
    for (size_t i = 0; i < 4; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        assert_int_equal(key_from_pem(span_str(texts[i]), &key, NULL).code, ERR_CONFIG);
        assert_null(key.pkey);
    }
}

static void test_every_prefix_of_a_private_der_is_refused(void **state) {
    (void)state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    assert_true(is_ok(key_generate(KEY_P256, &key, NULL)));
    key_private_der(&key, &der);
    for (size_t size = 0; size < der.size; size++) {
        AUTO(key_deinit)
        struct key none = {0};
        assert_int_equal(key_from_private_der(span_of(der.data, size), &none, NULL).code,
                         ERR_MALFORMED);
        assert_null(none.pkey);
    }
    AUTO(key_deinit)
    struct key none = {0};
    buf_append_u8(&der, 0);
    assert_int_equal(key_from_private_der(buf_span(&der), &none, NULL).code, ERR_MALFORMED);
}

static void test_every_prefix_of_an_spki_is_refused(void **state) {
    (void)state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key again = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    assert_true(is_ok(key_generate(KEY_P256, &key, NULL)));
    key_spki(&key, &der);
    assert_true(is_ok(key_from_spki(buf_span(&der), &again, NULL)));
    buf_append_u8(&der, 0); /* one byte too many is the last case */
    for (size_t size = 0; size <= der.size; size++) {
        AUTO(key_deinit)
        struct key none = {0};
        if (size != der.size - 1) {
            assert_int_equal(key_from_spki(span_of(der.data, size), &none, NULL).code,
                             ERR_MALFORMED);
        }
    }
}

/* The point may stand compressed or hybrid and the curve be spelled out: other bytes, the same key,
 * and so another digest. All are refused. */
static void test_other_encodings_of_the_same_key_are_refused(void **state) {
    const char *folder = *state;
    static const char *const forms[] = {"-conv_form compressed", "-conv_form hybrid",
                                        "-param_enc explicit"};
    must(folder, "openssl ecparam -name prime256v1 -genkey -noout -out key.pem");
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(buf_deinit)
        struct buf spki = {0};
        char command[256];
        snprintf(command, sizeof command,
                 "openssl ec -in key.pem -pubout %s -outform DER -out spki", forms[i]);
        must(folder, command);
        get(folder, "spki", &spki);
        assert_int_equal(key_from_spki(buf_span(&spki), &key, NULL).code, ERR_MALFORMED);
        assert_null(key.pkey);
    }
}

static void test_a_key_file_in_another_form_has_the_usual_digest(void **state) {
    const char *folder = *state;
    static const char *const commands[] = {
        "openssl ec -in key.pem -conv_form compressed -out other.pem",
        "openssl ec -in key.pem -param_enc explicit -out other.pem",
        "openssl ec -in key.pem -pubout -conv_form hybrid -out other.pem",
    };
    AUTO(key_deinit)
    struct key key = {0};
    must(folder, "openssl ecparam -name secp384r1 -genkey -noout -out key.pem");
    assert_true(is_ok(read_pem_file(folder, "key.pem", &key, NULL)));
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key other = {0};
        must(folder, commands[i]);
        assert_true(is_ok(read_pem_file(folder, "other.pem", &other, NULL)));
        assert_true(same_public(&key, &other));
    }
}

/* The length of the outer SEQUENCE in two bytes where one does: BER, not DER. */
static void test_a_ber_spki_is_refused(void **state) {
    (void)state;
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(key_deinit)
    struct key again = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf ber = {0};
    assert_true(is_ok(key_generate(KEY_P256, &key, NULL)));
    key_spki(&key, &der);
    assert_true(der.size < 128 + 2);
    buf_append_u8(&ber, der.data[0]);
    buf_append_u8(&ber, 0x81);
    buf_append(&ber, der.data + 1, der.size - 1);
    assert_int_equal(key_from_spki(buf_span(&ber), &again, NULL).code, ERR_MALFORMED);
}

static void test_changed_signatures_and_messages_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(key_deinit)
        struct key key = {0};
        AUTO(key_deinit)
        struct key other = {0};
        AUTO(buf_deinit)
        struct buf s = {0};
        struct span message = span_str("a manifest");
        assert_true(is_ok(key_generate(signing_kinds[i], &key, NULL)));
        assert_true(is_ok(key_generate(signing_kinds[i], &other, NULL)));
        assert_true(is_ok(key_sign(&key, message, &s, NULL)));
        assert_true(s.size <= LIMIT_SIGNATURE);
        assert_true(is_ok(key_verify(&key, message, buf_span(&s), NULL)));
        assert_int_equal(key_verify(&other, message, buf_span(&s), NULL).code, ERR_SIGNATURE);
        assert_int_equal(key_verify(&key, span_str("A manifest"), buf_span(&s), NULL).code,
                         ERR_SIGNATURE);
        for (size_t at = 0; at < s.size; at++) {
            s.data[at] ^= 1;
            assert_int_equal(key_verify(&key, message, buf_span(&s), NULL).code, ERR_SIGNATURE);
            s.data[at] ^= 1;
            assert_int_equal(key_verify(&key, message, span_of(s.data, at), NULL).code,
                             ERR_SIGNATURE);
        }
        buf_append_u8(&s, 0);
        assert_int_equal(key_verify(&key, message, buf_span(&s), NULL).code, ERR_SIGNATURE);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_generated_keys_survive_pem_and_der),
        T(test_a_public_pem_holds_no_private_key),
        T(test_a_key_from_its_spki_is_the_same_key),
        T(test_a_point_beside_the_curve_is_refused),
        T(test_generated_keys_differ),
        T(test_a_shared_key_outlives_its_first_owner),
        T(test_openssl_reads_our_keys_and_signatures),
        T(test_the_digest_is_that_of_openssls_spki),
        T(test_keys_of_openssl_are_read),
        T(test_a_signature_of_openssl_verifies),
        T(test_an_encrypted_key_is_refused_without_a_question),
        T(test_other_text_is_no_key),
        T(test_every_prefix_of_a_private_der_is_refused),
        T(test_every_prefix_of_an_spki_is_refused),
        T(test_other_encodings_of_the_same_key_are_refused),
        T(test_a_key_file_in_another_form_has_the_usual_digest),
        T(test_a_ber_spki_is_refused),
        T(test_changed_signatures_and_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
