/* Digests: see digest.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "lib/base/mem.h"

static void digest_parts(const EVP_MD *md, const struct span *parts, size_t count, uint8_t *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1);
    for (size_t i = 0; i < count; i++) {
        CHECK(EVP_DigestUpdate(ctx, parts[i].data, parts[i].size) == 1);
    }
    CHECK(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

void sha256_parts(const struct span *parts, size_t count, uint8_t out[SHA256_SIZE]) {
    digest_parts(EVP_sha256(), parts, count, out);
}

void sha384_parts(const struct span *parts, size_t count, uint8_t out[SHA384_SIZE]) {
    digest_parts(EVP_sha384(), parts, count, out);
}

void sha512_parts(const struct span *parts, size_t count, uint8_t out[SHA512_SIZE]) {
    digest_parts(EVP_sha512(), parts, count, out);
}

void sha256(struct span in, uint8_t out[SHA256_SIZE]) {
    sha256_parts(&in, 1, out);
}

void sha384(struct span in, uint8_t out[SHA384_SIZE]) {
    sha384_parts(&in, 1, out);
}

void sha512(struct span in, uint8_t out[SHA512_SIZE]) {
    sha512_parts(&in, 1, out);
}

struct digest_stream {
    EVP_MD_CTX *ctx; /* owned */
};

struct digest_stream *digest_stream_new(enum digest_kind kind) {
    const EVP_MD *md = kind == DIGEST_SHA256   ? EVP_sha256()
                       : kind == DIGEST_SHA384 ? EVP_sha384()
                                               : EVP_sha512();
    struct digest_stream *s = mem_alloc(sizeof *s);
    s->ctx = EVP_MD_CTX_new();
    CHECK(s->ctx != NULL && EVP_DigestInit_ex(s->ctx, md, NULL) == 1);
    return s;
}

void digest_stream_update(struct digest_stream *s, struct span bytes) {
    CHECK(EVP_DigestUpdate(s->ctx, bytes.data, bytes.size) == 1);
}

void digest_stream_final(struct digest_stream *s, uint8_t *out) {
    CHECK(EVP_DigestFinal_ex(s->ctx, out, NULL) == 1);
    CHECK(EVP_DigestInit_ex(s->ctx, NULL, NULL) == 1); /* the same algorithm, fetched once */
}

void digest_stream_free(struct digest_stream *s) {
    if (s != NULL) {
        EVP_MD_CTX_free(s->ctx);
        mem_free(s);
    }
}

struct sha256_stream {
    struct digest_stream *any; /* owned */
};

struct sha256_stream *sha256_stream_new(void) {
    struct sha256_stream *s = mem_alloc(sizeof *s);
    s->any = digest_stream_new(DIGEST_SHA256);
    return s;
}

void sha256_stream_update(struct sha256_stream *s, struct span bytes) {
    digest_stream_update(s->any, bytes);
}

void sha256_stream_final(struct sha256_stream *s, uint8_t out[SHA256_SIZE]) {
    digest_stream_final(s->any, out);
}

void sha256_stream_free(struct sha256_stream *s) {
    if (s != NULL) {
        digest_stream_free(s->any);
        mem_free(s);
    }
}

static OSSL_PARAM octets(const char *name, struct span value) {
    static uint8_t none;
    union {
        const uint8_t *in;
        void *out;
    } borrowed = {value.size == 0 ? &none : value.data}; /* OpenSSL reads it only */
    return OSSL_PARAM_construct_octet_string(name, borrowed.out, value.size);
}

void hkdf_sha256(struct span key, struct span salt, struct span info, uint8_t *out,
                 size_t out_size) {
    char md[] = "SHA256";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0),
                           octets(OSSL_KDF_PARAM_KEY, key), octets(OSSL_KDF_PARAM_SALT, salt),
                           octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
    CHECK(ctx != NULL && EVP_KDF_derive(ctx, out, out_size, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}
