/* ID blocks: see id_block.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/id_block.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>

#include "lib/crypto/digest.h"

#define BLOCK_VERSION 1
#define ALGORITHM_P384 1 /* ECDSA P-384 with SHA-384 */
#define CURVE_P384 2
#define COORDINATE_SIZE 48 /* bytes of a number of P-384 */

/* Offsets in an ID block. */
#define BLOCK_FAMILY 48
#define BLOCK_IMAGE 64
#define BLOCK_AT_VERSION 80
#define BLOCK_SVN 84
#define BLOCK_POLICY 88

/* Offsets in an ID auth. */
#define AUTH_AUTHOR_ALGORITHM 4
#define AUTH_RESERVED 8
#define AUTH_SIGNATURE 0x40
#define AUTH_ID_KEY 0x240
#define AUTH_AUTHOR_SIGNATURE 0x680
#define AUTH_AUTHOR_KEY 0x880

/* Offsets in a key. */
#define KEY_X 4
#define KEY_Y (KEY_X + ID_BLOCK_NUMBER_SIZE)
#define KEY_END (KEY_Y + ID_BLOCK_NUMBER_SIZE)

/* A signer's numbers are uniform below 2^384: one below 2^256 happens once in 2^128. */
#define SYNTHETIC_BYTES 32

/* ---- the block ---- */

RESULT id_block_parse(struct span bytes, struct id_block *out, struct err *err) {
    ENSURE(bytes.size == ID_BLOCK_SIZE, err, MALFORMED, "ID block: %zu bytes, want %d", bytes.size,
           ID_BLOCK_SIZE);
    uint32_t version = load_u32le(bytes.data + BLOCK_AT_VERSION);
    ENSURE(version == BLOCK_VERSION, err, MALFORMED, "ID block: version %u, want 1", version);
    memcpy(out->launch_digest, bytes.data, sizeof out->launch_digest);
    memcpy(out->family_id, bytes.data + BLOCK_FAMILY, sizeof out->family_id);
    memcpy(out->image_id, bytes.data + BLOCK_IMAGE, sizeof out->image_id);
    out->guest_svn = load_u32le(bytes.data + BLOCK_SVN);
    out->policy = load_u64le(bytes.data + BLOCK_POLICY);
    return OK;
}

void id_block_encode(const struct id_block *block, uint8_t out[ID_BLOCK_SIZE]) {
    memcpy(out, block->launch_digest, sizeof block->launch_digest);
    memcpy(out + BLOCK_FAMILY, block->family_id, sizeof block->family_id);
    memcpy(out + BLOCK_IMAGE, block->image_id, sizeof block->image_id);
    store_u32le(out + BLOCK_AT_VERSION, BLOCK_VERSION);
    store_u32le(out + BLOCK_SVN, block->guest_svn);
    store_u64le(out + BLOCK_POLICY, block->policy);
}

/* ---- keys ---- */

static void reverse(uint8_t *out, const uint8_t *in, size_t size) {
    for (size_t i = 0; i < size; i++) {
        out[i] = in[size - 1 - i];
    }
}

/* True when the little-endian number at `p` is below 2^384. */
static bool is_number(const uint8_t *p) {
    return span_is_zero(span_of(p + COORDINATE_SIZE, ID_BLOCK_NUMBER_SIZE - COORDINATE_SIZE));
}

RESULT id_block_key_encode(const struct key *key, uint8_t out[ID_BLOCK_KEY_SIZE], struct err *err) {
    ENSURE(key_kind_of(key) == KEY_P384, err, INVALID,
           "not a P-384 key; make one with: openssl ecparam -name secp384r1 -genkey -noout");
    AUTO(buf_deinit)
    struct buf spki = {0};
    key_spki(key, &spki); /* ends with the point, x then y, both big-endian (RFC 5480) */
    CHECK(spki.size > (size_t)2 * COORDINATE_SIZE);
    const uint8_t *point = spki.data + spki.size - (size_t)2 * COORDINATE_SIZE;
    memset(out, 0, ID_BLOCK_KEY_SIZE);
    store_u32le(out, CURVE_P384);
    reverse(out + KEY_X, point, COORDINATE_SIZE);
    reverse(out + KEY_Y, point + COORDINATE_SIZE, COORDINATE_SIZE);
    return OK;
}

/* RFC 5480: SubjectPublicKeyInfo of a P-384 key, up to and with the 0x04 of its point. */
static const uint8_t SPKI_HEAD[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};

RESULT id_block_key_parse(const uint8_t bytes[ID_BLOCK_KEY_SIZE], struct key *out,
                          struct err *err) {
    uint32_t curve = load_u32le(bytes);
    ENSURE(curve == CURVE_P384, err, MALFORMED, "curve %u, want 2 (P-384)", curve);
    ENSURE(is_number(bytes + KEY_X) && is_number(bytes + KEY_Y) &&
               span_is_zero(span_of(bytes + KEY_END, ID_BLOCK_KEY_SIZE - KEY_END)),
           err, MALFORMED, "bytes that must be zero are not");
    uint8_t spki[sizeof SPKI_HEAD + 2 * COORDINATE_SIZE];
    memcpy(spki, SPKI_HEAD, sizeof SPKI_HEAD);
    reverse(spki + sizeof SPKI_HEAD, bytes + KEY_X, COORDINATE_SIZE);
    reverse(spki + sizeof SPKI_HEAD + COORDINATE_SIZE, bytes + KEY_Y, COORDINATE_SIZE);
    ENSURE(is_ok(key_from_spki(SPAN(spki), out, NULL)), err, MALFORMED, "not a point of P-384");
    return OK;
}

void id_block_key_digest(const uint8_t bytes[ID_BLOCK_KEY_SIZE], uint8_t out[48]) {
    sha384(span_of(bytes, ID_BLOCK_KEY_SIZE), out);
}

/* ---- the auth page ---- */

static RESULT read_signature(const uint8_t *at, const char *what, uint8_t *out, struct err *err) {
    ENSURE(is_number(at) && is_number(at + ID_BLOCK_NUMBER_SIZE) &&
               span_is_zero(span_of(at + ID_BLOCK_SIGNATURE_SIZE, 512 - ID_BLOCK_SIGNATURE_SIZE)),
           err, MALFORMED, "ID auth: %s: bytes that must be zero are not", what);
    memcpy(out, at, ID_BLOCK_SIGNATURE_SIZE);
    return OK;
}

static RESULT read_key(const uint8_t *at, const char *what, uint8_t *out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    struct result r = id_block_key_parse(at, &key, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "ID auth: %s", what);
    }
    memcpy(out, at, ID_BLOCK_KEY_SIZE);
    return OK;
}

RESULT id_block_auth_parse(struct span bytes, struct id_block_auth *out, struct err *err) {
    ENSURE(bytes.size == ID_BLOCK_AUTH_SIZE, err, MALFORMED, "ID auth: %zu bytes, want %d",
           bytes.size, ID_BLOCK_AUTH_SIZE);
    const uint8_t *p = bytes.data;
    uint32_t algorithm = load_u32le(p);
    uint32_t author = load_u32le(p + AUTH_AUTHOR_ALGORITHM);
    ENSURE(algorithm == ALGORITHM_P384, err, MALFORMED,
           "ID auth: the ID key's algorithm is %u, want 1 (ECDSA P-384)", algorithm);
    ENSURE(author <= ALGORITHM_P384, err, MALFORMED,
           "ID auth: the author key's algorithm is %u, want 0 or 1", author);
    ENSURE(span_is_zero(span_of(p + AUTH_RESERVED, AUTH_SIGNATURE - AUTH_RESERVED)) &&
               span_is_zero(span_of(p + AUTH_ID_KEY + ID_BLOCK_KEY_SIZE,
                                    AUTH_AUTHOR_SIGNATURE - AUTH_ID_KEY - ID_BLOCK_KEY_SIZE)) &&
               span_is_zero(span_of(p + AUTH_AUTHOR_KEY + ID_BLOCK_KEY_SIZE,
                                    ID_BLOCK_AUTH_SIZE - AUTH_AUTHOR_KEY - ID_BLOCK_KEY_SIZE)),
           err, MALFORMED, "ID auth: bytes that must be zero are not");
    struct id_block_auth auth = {.has_author = author != 0};
    TRY(read_signature(p + AUTH_SIGNATURE, "signature of the ID block", auth.signature, err));
    TRY(read_key(p + AUTH_ID_KEY, "ID key", auth.id_key, err));
    if (auth.has_author) {
        TRY(read_signature(p + AUTH_AUTHOR_SIGNATURE, "signature of the ID key",
                           auth.author_signature, err));
        TRY(read_key(p + AUTH_AUTHOR_KEY, "author key", auth.author_key, err));
    } else {
        ENSURE(span_is_zero(
                   span_of(p + AUTH_AUTHOR_SIGNATURE, ID_BLOCK_AUTH_SIZE - AUTH_AUTHOR_SIGNATURE)),
               err, MALFORMED, "ID auth: an author key without its algorithm");
    }
    *out = auth;
    return OK;
}

void id_block_auth_encode(const struct id_block_auth *auth, uint8_t out[ID_BLOCK_AUTH_SIZE]) {
    memset(out, 0, ID_BLOCK_AUTH_SIZE);
    store_u32le(out, ALGORITHM_P384);
    store_u32le(out + AUTH_AUTHOR_ALGORITHM, auth->has_author ? ALGORITHM_P384 : 0);
    memcpy(out + AUTH_SIGNATURE, auth->signature, ID_BLOCK_SIGNATURE_SIZE);
    memcpy(out + AUTH_ID_KEY, auth->id_key, ID_BLOCK_KEY_SIZE);
    if (auth->has_author) {
        memcpy(out + AUTH_AUTHOR_SIGNATURE, auth->author_signature, ID_BLOCK_SIGNATURE_SIZE);
        memcpy(out + AUTH_AUTHOR_KEY, auth->author_key, ID_BLOCK_KEY_SIZE);
    }
}

/* ---- signatures ---- */

/* r and s, little-endian -> Ecdsa-Sig-Value, which key_verify takes. */
static void signature_to_der(const uint8_t raw[ID_BLOCK_SIGNATURE_SIZE], struct buf *out) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_lebin2bn(raw, ID_BLOCK_NUMBER_SIZE, NULL);
    BIGNUM *s = BN_lebin2bn(raw + ID_BLOCK_NUMBER_SIZE, ID_BLOCK_NUMBER_SIZE, NULL);
    CHECK(sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1);
    unsigned char *der = NULL;
    int size = i2d_ECDSA_SIG(sig, &der);
    CHECK(size > 0);
    buf_append(out, der, (size_t)size);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
}

static void signature_from_der(struct span der, uint8_t raw[ID_BLOCK_SIGNATURE_SIZE]) {
    const unsigned char *at = der.data;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.size);
    CHECK(sig != NULL); /* key_sign made it */
    CHECK(BN_bn2lebinpad(ECDSA_SIG_get0_r(sig), raw, ID_BLOCK_NUMBER_SIZE) > 0);
    CHECK(BN_bn2lebinpad(ECDSA_SIG_get0_s(sig), raw + ID_BLOCK_NUMBER_SIZE, ID_BLOCK_NUMBER_SIZE) >
          0);
    ECDSA_SIG_free(sig);
}

static RESULT verify_one(const uint8_t *key_bytes, struct span message, const uint8_t *signature,
                         const char *what, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf der = {0};
    struct result r = id_block_key_parse(key_bytes, &key, err);
    if (is_ok(r)) {
        signature_to_der(signature, &der);
        r = key_verify(&key, message, buf_span(&der), err);
    }
    return is_ok(r) ? r : err_wrap(r, err, "%s", what);
}

RESULT id_block_verify(const struct id_block *block, const struct id_block_auth *auth,
                       struct err *err) {
    uint8_t bytes[ID_BLOCK_SIZE];
    id_block_encode(block, bytes);
    TRY(verify_one(auth->id_key, SPAN(bytes), auth->signature, "the ID block under the ID key",
                   err));
    if (auth->has_author) {
        TRY(verify_one(auth->author_key, SPAN(auth->id_key), auth->author_signature,
                       "the ID key under the author key", err));
    }
    return OK;
}

static bool is_small(const uint8_t *number) {
    return span_is_zero(span_of(number + SYNTHETIC_BYTES, ID_BLOCK_NUMBER_SIZE - SYNTHETIC_BYTES));
}

bool id_block_is_synthetic(const struct id_block_auth *auth) {
    return is_small(auth->signature) || is_small(auth->signature + ID_BLOCK_NUMBER_SIZE);
}

static RESULT sign_one(const struct key *key, struct span message, uint8_t *out, const char *what,
                       struct err *err) {
    ENSURE(key_is_private(key), err, INVALID, "the %s key has no private half", what);
    AUTO(buf_deinit)
    struct buf der = {0};
    TRY(key_sign(key, message, &der, err));
    signature_from_der(buf_span(&der), out);
    return OK;
}

RESULT id_block_sign(const struct id_block *block, const struct key *id, const struct key *author,
                     struct id_block_auth *out, struct err *err) {
    struct id_block_auth auth = {.has_author = author != NULL};
    uint8_t bytes[ID_BLOCK_SIZE];
    id_block_encode(block, bytes);
    TRY(id_block_key_encode(id, auth.id_key, err));
    TRY(sign_one(id, SPAN(bytes), auth.signature, "ID", err));
    if (author != NULL) {
        TRY(id_block_key_encode(author, auth.author_key, err));
        TRY(sign_one(author, SPAN(auth.id_key), auth.author_signature, "author", err));
    }
    *out = auth;
    return OK;
}
