/* AEAD: see aead.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/aead.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/mem.h"

void aead_seal(struct span key, const uint8_t nonce[AEAD_NONCE_SIZE], struct span extra,
               struct span plaintext, struct buf *out) {
    int size = 0;
    int more = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    CHECK(ctx != NULL && key.size == AEAD_KEY_SIZE);
    CHECK(extra.size <= INT_MAX && plaintext.size <= INT_MAX);
    CHECK(EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key.data, nonce, NULL) == 1);
    CHECK(extra.size == 0 || EVP_EncryptUpdate(ctx, NULL, &size, extra.data, (int)extra.size) == 1);
    size = 0;
    uint8_t *sealed = buf_extend(out, plaintext.size + AEAD_TAG_SIZE); /* `extra` may move now */
    CHECK(plaintext.size == 0 ||
          EVP_EncryptUpdate(ctx, sealed, &size, plaintext.data, (int)plaintext.size) == 1);
    CHECK(EVP_EncryptFinal_ex(ctx, sealed + size, &more) == 1);
    CHECK((size_t)size + (size_t)more == plaintext.size);
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, sealed + plaintext.size) ==
          1);
    EVP_CIPHER_CTX_free(ctx);
}

static bool decrypt(struct span key, const uint8_t nonce[AEAD_NONCE_SIZE], struct span extra,
                    struct span sealed, uint8_t *plaintext) {
    size_t payload = sealed.size - AEAD_TAG_SIZE;
    uint8_t tag[AEAD_TAG_SIZE];
    uint8_t none[1];
    int size = 0;
    int more = 0;
    memcpy(tag, sealed.data + payload, sizeof tag);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    CHECK(ctx != NULL && key.size == AEAD_KEY_SIZE);
    CHECK(EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key.data, nonce, NULL) == 1);
    CHECK(extra.size == 0 || EVP_DecryptUpdate(ctx, NULL, &size, extra.data, (int)extra.size) == 1);
    size = 0;
    CHECK(payload == 0 || EVP_DecryptUpdate(ctx, plaintext, &size, sealed.data, (int)payload) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, tag) == 1);
    bool is_authentic =
        EVP_DecryptFinal_ex(ctx, none, &more) == 1 && (size_t)size == payload && more == 0;
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return is_authentic;
}

bool aead_open(struct span key, const uint8_t nonce[AEAD_NONCE_SIZE], struct span extra,
               struct span sealed, struct buf *out) {
    if (sealed.size < AEAD_TAG_SIZE || sealed.size > INT_MAX || extra.size > INT_MAX) {
        return false;
    }
    size_t payload = sealed.size - AEAD_TAG_SIZE;
    size_t from = out->size;
    uint8_t *plaintext = buf_extend(out, payload);
    bool is_authentic = decrypt(key, nonce, extra, sealed, plaintext);
    if (!is_authentic) {
        mem_wipe(plaintext, payload);
        out->size = from;
    }
    return is_authentic;
}
