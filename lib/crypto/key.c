/* Keys: see key.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/key.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define KEY_PSS_SALT 48 /* bytes: the size of SHA-384 */
void key_deinit(struct key *k) {
    EVP_PKEY_free(k->pkey);
    k->pkey = NULL;
}

void key_share(const struct key *from, struct key *to) {
    CHECK(from->pkey != NULL && EVP_PKEY_up_ref(from->pkey) == 1);
    to->pkey = from->pkey;
}

struct result key_generate(enum key_kind kind, struct key *out, struct err *err) {
    EVP_PKEY *pkey = NULL;
    switch (kind) {
    case KEY_P256:
        pkey = EVP_EC_gen("P-256");
        break;
    case KEY_P384:
        pkey = EVP_EC_gen("P-384");
        break;
    case KEY_ED25519:
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case KEY_RSA:
        pkey = EVP_RSA_gen(4096);
        break;
    case KEY_OTHER:
        break;
    }
    ENSURE(pkey != NULL, err, INTERNAL, "could not make a key");
    out->pkey = pkey;
    return OK;
}

enum key_kind key_kind_of(const struct key *k) {
    if (EVP_PKEY_is_a(k->pkey, "ED25519")) {
        return KEY_ED25519;
    }
    if (EVP_PKEY_is_a(k->pkey, "RSA")) {
        return KEY_RSA;
    }
    char group[32] = "";
    if (!EVP_PKEY_is_a(k->pkey, "EC") ||
        EVP_PKEY_get_group_name(k->pkey, group, sizeof group, NULL) != 1) {
        return KEY_OTHER;
    }
    if (strcmp(group, "prime256v1") == 0) {
        return KEY_P256;
    }
    return strcmp(group, "secp384r1") == 0 ? KEY_P384 : KEY_OTHER;
}

bool key_is_private(const struct key *k) {
    unsigned char *der = NULL;
    int n = i2d_PrivateKey(k->pkey, &der);
    if (n > 0) {
        OPENSSL_clear_free(der, (size_t)n);
    }
    ERR_clear_error();
    return n > 0;
}

/* The form in which a key is written: the curve by its name, the point uncompressed (RFC 5480
 * sections 2.1.1 and 2.2). A key read in another form keeps it otherwise, and has another digest.
 */
static void normalize(EVP_PKEY *pkey) {
    struct key key = {pkey};
    enum key_kind kind = key_kind_of(&key);
    if (kind == KEY_P256 || kind == KEY_P384) {
        CHECK(EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING,
                                             OSSL_PKEY_EC_ENCODING_GROUP) == 1);
        CHECK(EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                             OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) ==
              1);
    }
}

void key_spki(const struct key *k, struct buf *out) {
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(k->pkey, &der);
    CHECK(n > 0);
    buf_append(out, der, (size_t)n);
    OPENSSL_free(der);
}

/* RFC 5480 section 2.1.1: all that stands before the point in the canonical SubjectPublicKeyInfo of
 * a named curve, up to and with the 0x04 of the uncompressed point. */
static const uint8_t p256_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t p384_prefix[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                      0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                      0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};

/* The point behind such a prefix, or NULL. Nothing of the encoding is left open then. */
static const char *find_point(struct span der, size_t *size) {
    static const struct {
        struct span prefix;
        size_t size;
        const char *group;
    } curves[] = {{{p256_prefix, sizeof p256_prefix}, 65, "P-256"},
                  {{p384_prefix, sizeof p384_prefix}, 97, "P-384"}};
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        size_t before = curves[i].prefix.size - 1; /* the 0x04 is part of the point */
        if (der.size == before + curves[i].size &&
            memcmp(der.data, curves[i].prefix.data, curves[i].prefix.size) == 0) {
            *size = curves[i].size;
            return curves[i].group;
        }
    }
    return NULL;
}

/* An elliptic key in its canonical form, without the library's general decoder, which takes ten
 * times as long and is called several times a session. NULL: another form, or no point of the
 * curve. */
static EVP_PKEY *read_point(struct span der) {
    size_t size = 0;
    const char *group = find_point(der, &size);
    if (group == NULL) {
        return NULL;
    }
    union {
        const char *in;
        char *out;
    } name = {group};
    union {
        const uint8_t *in;
        uint8_t *out;
    } point = {der.data + der.size - size};
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.out, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.out, size),
        OSSL_PARAM_construct_end()}; /* read only */
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    CHECK(ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return pkey;
}

struct result key_from_spki(struct span der, struct key *out, struct err *err) {
    ENSURE(der.size > 0 && der.size < 4096, err, MALFORMED, "public key of %zu bytes", der.size);
    EVP_PKEY *point = read_point(der);
    if (point != NULL) {
        out->pkey = point;
        return OK;
    }
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.size);
    ERR_clear_error();
    ENSURE(pkey != NULL, err, MALFORMED, "not a SubjectPublicKeyInfo");
    normalize(pkey);
    struct key key = {pkey};
    AUTO(buf_deinit)
    struct buf again = {0};
    key_spki(&key, &again);
    if (!span_equal(buf_span(&again), der)) {
        key_deinit(&key);
        return err_set(err, ERR_MALFORMED, "SubjectPublicKeyInfo is not in its canonical form");
    }
    *out = key;
    return OK;
}

void key_digest(const struct key *k, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf spki = {0};
    key_spki(k, &spki);
    sha256(buf_span(&spki), out);
}

void key_pkcs1(const struct key *k, struct buf *out) {
    CHECK(key_kind_of(k) == KEY_RSA);
    unsigned char *der = NULL;
    int n = i2d_PublicKey(k->pkey, &der);
    CHECK(n > 0);
    buf_append(out, der, (size_t)n);
    OPENSSL_free(der);
}

/* FIPS 186-5 section 5.1: 2^16 < e < 2^256, odd. With e = 1 everything is its own signature. The
 * upper bound here is OpenSSL's own for large moduli: 64 bits. */
static bool is_sound_rsa(const EVP_PKEY *pkey, int bits_min) {
    int bits = EVP_PKEY_get_bits(pkey);
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    bool is_sound = bits >= bits_min && bits <= KEY_RSA_BITS_MAX &&
                    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(n) &&
                    BN_is_odd(e) && BN_num_bits(e) > 16 && BN_num_bits(e) <= 64;
    BN_free(n);
    BN_free(e);
    return is_sound;
}

static bool is_pkcs1_of(const EVP_PKEY *pkey, struct span der) {
    unsigned char *again = NULL;
    int n = i2d_PublicKey(pkey, &again);
    bool is_same = n > 0 && span_equal(span_of(again, (size_t)n), der);
    OPENSSL_free(again);
    return is_same;
}

struct result key_from_pkcs1(struct span der, int bits_min, struct key *out, struct err *err) {
    ENSURE(der.size > 0 && der.size <= LIMIT_PKCS1, err, MALFORMED, "RSA public key of %zu bytes",
           der.size);
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)der.size);
    bool is_good = pkey != NULL && is_sound_rsa(pkey, bits_min) && is_pkcs1_of(pkey, der);
    ERR_clear_error();
    if (!is_good) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_MALFORMED,
                       "not a PKCS#1 RSA public key of %d to %d bits with an exponent above 2^16, "
                       "in DER",
                       bits_min, KEY_RSA_BITS_MAX);
    }
    out->pkey = pkey;
    return OK;
}

static void append_bio(BIO *bio, struct buf *out) {
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    CHECK(n > 0);
    buf_append(out, data, (size_t)n);
    OPENSSL_cleanse(data, (size_t)n);
    BIO_free(bio);
}

void key_private_der(const struct key *k, struct buf *out) {
    BIO *bio = BIO_new(BIO_s_secmem());
    CHECK(bio != NULL && i2d_PKCS8PrivateKey_bio(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1);
    append_bio(bio, out);
}

struct result key_from_private_der(struct span der, struct key *out, struct err *err) {
    ENSURE(der.size > 0 && der.size < 8192, err, MALFORMED, "private key of %zu bytes", der.size);
    const unsigned char *at = der.data;
    EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &at, (long)der.size);
    ERR_clear_error();
    if (pkey == NULL || at != der.data + der.size) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_MALFORMED, "not a PKCS#8 private key");
    }
    normalize(pkey);
    out->pkey = pkey;
    return OK;
}

void key_to_pem(const struct key *k, bool with_private, struct buf *out) {
    BIO *bio = BIO_new(BIO_s_secmem());
    CHECK(bio != NULL);
    if (with_private) {
        CHECK(PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1);
    } else {
        CHECK(PEM_write_bio_PUBKEY(bio, k->pkey) == 1);
    }
    append_bio(bio, out);
}

/* Answers OpenSSL's question for a passphrase with "none". */
static int no_passphrase(char *out, int size, int writing, void *data) {
    (void)out;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

struct result key_from_pem(struct span pem, struct key *out, struct err *err) {
    ENSURE(pem.size > 0 && pem.size < 65536, err, CONFIG, "key file of %zu bytes", pem.size);
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    CHECK(bio != NULL);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (pkey == NULL) {
        CHECK(BIO_reset(bio) >= 0);
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    ENSURE(pkey != NULL, err, CONFIG,
           "not an unencrypted PEM key (want a block PRIVATE KEY, EC PRIVATE KEY or PUBLIC KEY)");
    normalize(pkey);
    out->pkey = pkey;
    return OK;
}

static const EVP_MD *digest_of(const struct key *k, bool *is_known) {
    *is_known = true;
    switch (key_kind_of(k)) {
    case KEY_P256:
        return EVP_sha256();
    case KEY_P384:
        return EVP_sha384();
    case KEY_ED25519:
        return NULL;
    case KEY_RSA:
        *is_known = is_sound_rsa(k->pkey, KEY_RSA_BITS_MIN);
        return EVP_sha384();
    case KEY_OTHER:
        break;
    }
    *is_known = false;
    return NULL;
}

/* PSS where the key is RSA: the digest of MGF1 is that of the message by default (RFC 8017 section
 * 9.1.1), but said here all the same. */
static bool set_padding(const struct key *k, EVP_PKEY_CTX *ctx) {
    return key_kind_of(k) != KEY_RSA ||
           (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha384()) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, KEY_PSS_SALT) == 1);
}

struct result key_sign(const struct key *k, struct span message, struct buf *out, struct err *err) {
    bool is_known = false;
    const EVP_MD *md = digest_of(k, &is_known);
    ENSURE(is_known, err, INVALID,
           "cannot sign with this kind of key: want P-256, P-384, Ed25519 or RSA of %d to %d bits",
           KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
    uint8_t signature[LIMIT_RSA_SIGNATURE];
    size_t size = sizeof signature;
    EVP_PKEY_CTX *of_key = NULL; /* the EVP_MD_CTX's */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    bool is_signed = EVP_DigestSignInit(ctx, &of_key, md, NULL, k->pkey) == 1 &&
                     set_padding(k, of_key) &&
                     EVP_DigestSign(ctx, signature, &size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    ENSURE(is_signed, err, INVALID, "signing failed: is this a private key?");
    buf_append(out, signature, size);
    return OK;
}

struct result key_verify(const struct key *k, struct span message, struct span signature,
                         struct err *err) {
    bool is_known = false;
    const EVP_MD *md = digest_of(k, &is_known);
    ENSURE(is_known, err, SIGNATURE, "signature of an unknown kind of key");
    EVP_PKEY_CTX *of_key = NULL; /* the EVP_MD_CTX's */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    int verdict =
        EVP_DigestVerifyInit(ctx, &of_key, md, NULL, k->pkey) == 1 && set_padding(k, of_key)
            ? EVP_DigestVerify(ctx, signature.data, signature.size, message.data, message.size)
            : 0;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    ENSURE(verdict == 1, err, SIGNATURE, "the signature is not valid");
    return OK;
}

/* --- Sealing */

/* The context takes over a copy of the label, which the library frees. */
static bool set_label(EVP_PKEY_CTX *ctx, struct span label) {
    if (label.size == 0) {
        return true;
    }
    CHECK(label.size <= KEY_LABEL_MAX);
    void *copy = OPENSSL_memdup(label.data, label.size);
    if (copy == NULL || EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, copy, (int)label.size) != 1) {
        OPENSSL_free(copy);
        return false;
    }
    return true;
}

static bool set_oaep(EVP_PKEY_CTX *ctx, struct span label) {
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 && set_label(ctx, label);
}

static RESULT check_rsa(const struct key *k, struct err *err) {
    ENSURE(key_kind_of(k) == KEY_RSA && is_sound_rsa(k->pkey, KEY_RSA_BITS_MIN), err, INVALID,
           "want an RSA key of %d to %d bits with an exponent above 2^16", KEY_RSA_BITS_MIN,
           KEY_RSA_BITS_MAX);
    return OK;
}

struct result key_seal(const struct key *k, struct span label, struct span plaintext,
                       struct buf *out, struct err *err) {
    TRY(check_rsa(k, err));
    uint8_t sealed[LIMIT_RSA_SIGNATURE]; /* the size of the modulus, too */
    size_t size = sizeof sealed;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    CHECK(ctx != NULL);
    bool is_sealed = EVP_PKEY_encrypt_init(ctx) == 1 && set_oaep(ctx, label) &&
                     EVP_PKEY_encrypt(ctx, sealed, &size, plaintext.data, plaintext.size) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    ENSURE(is_sealed, err, INVALID, "%zu bytes do not fit this RSA key", plaintext.size);
    buf_append(out, sealed, size);
    return OK;
}

static bool decrypt(const struct key *k, struct span label, struct span sealed, uint8_t *plain,
                    size_t *size) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    CHECK(ctx != NULL);
    bool is_open = EVP_PKEY_decrypt_init(ctx) == 1 && set_oaep(ctx, label) &&
                   EVP_PKEY_decrypt(ctx, plain, size, sealed.data, sealed.size) == 1 && *size > 0;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return is_open;
}

struct result key_open(const struct key *k, struct span label, struct span sealed,
                       struct secret **out, struct err *err) {
    TRY(check_rsa(k, err));
    ENSURE(key_is_private(k), err, INVALID, "opening needs the private key, this is a public one");
    struct secret *room = secret_new(LIMIT_RSA_SIGNATURE);
    size_t size = LIMIT_RSA_SIGNATURE;
    bool is_open = decrypt(k, label, sealed, secret_data(room), &size);
    if (is_open) {
        *out = secret_new(size);
        memcpy(secret_data(*out), secret_data(room), size);
    }
    secret_free(room);
    ENSURE(is_open, err, DENIED, "does not decrypt with this key");
    return OK;
}
