/* Digests: SHA-2 in one call or in pieces, HMAC-based key derivation. Over OpenSSL's EVP.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DIGEST_H
#define CONTRAST_DIGEST_H

#include "lib/base/bytes.h"

#define SHA256_SIZE 32
#define SHA384_SIZE 48
#define SHA512_SIZE 64

/* FIPS 180-4. `out` holds the size in the name. Never fail: a broken libcrypto aborts. */
void sha256(struct span in, uint8_t out[SHA256_SIZE]);
void sha384(struct span in, uint8_t out[SHA384_SIZE]);
void sha512(struct span in, uint8_t out[SHA512_SIZE]);

/* The digest of the concatenation of `count` parts. */
void sha256_parts(const struct span *parts, size_t count, uint8_t out[SHA256_SIZE]);
void sha384_parts(const struct span *parts, size_t count, uint8_t out[SHA384_SIZE]);
void sha512_parts(const struct span *parts, size_t count, uint8_t out[SHA512_SIZE]);

/* In pieces, for streams and for many digests in a row: final restarts it. `out` holds the size of
 * the kind. */
enum digest_kind { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };
struct digest_stream;
struct digest_stream *digest_stream_new(enum digest_kind kind);
void digest_stream_update(struct digest_stream *s, struct span bytes);
void digest_stream_final(struct digest_stream *s, uint8_t *out);
void digest_stream_free(struct digest_stream *s); /* NULL is accepted */

/* The same for SHA-256 alone. */
struct sha256_stream;
struct sha256_stream *sha256_stream_new(void);
void sha256_stream_update(struct sha256_stream *s, struct span bytes);
void sha256_stream_final(struct sha256_stream *s, uint8_t out[SHA256_SIZE]);
void sha256_stream_free(struct sha256_stream *s); /* NULL is accepted */

/* HKDF-SHA-256, RFC 5869; `out_size` bytes. */
void hkdf_sha256(struct span key, struct span salt, struct span info, uint8_t *out,
                 size_t out_size);

#endif
