/* Keys: P-256, P-384, Ed25519 and RSA key pairs and public keys, signatures, PEM and DER.
 *
 * A key owns its EVP_PKEY. Signatures: ECDSA in DER (Ecdsa-Sig-Value, RFC 3279) over SHA-256 for
 * P-256 and SHA-384 for P-384; Ed25519 (RFC 8032) over the message; RSA-PSS (RFC 8017 section 8.1)
 * with SHA-384, MGF1-SHA-384 and a salt of 48 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KEY_H
#define CONTRAST_KEY_H

#include <openssl/types.h>

#include "lib/base/bytes.h"
#include "lib/base/secret.h"

#define KEY_RSA_BITS_MIN 2048 /* of a share owner */
#define KEY_RSA_BITS_MAX 8192 /* LIMIT_RSA_SIGNATURE, LIMIT_PKCS1 */
#define KEY_LABEL_MAX 256     /* bytes */

enum key_kind { KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA, KEY_OTHER };

struct key {
    EVP_PKEY *pkey; /* owned; NULL in a zeroed struct */
};

void key_deinit(struct key *k);                         /* accepts zeroed */
void key_share(const struct key *from, struct key *to); /* one more owner of the same key */

/* A new random pair; KEY_RSA is 4096 bits. */
RESULT key_generate(enum key_kind kind, struct key *out, struct err *err);
enum key_kind key_kind_of(const struct key *k);
bool key_is_private(const struct key *k);

/* DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7); appended to `out`. */
void key_spki(const struct key *k, struct buf *out);
/* Exactly one SPKI, no trailing bytes; re-encoding must give the same bytes, with the curve by its
 * name and the point uncompressed (RFC 5480): one key has one digest. */
RESULT key_from_spki(struct span der, struct key *out, struct err *err);
/* SHA-256 of the SPKI: the identity of an owner key in a manifest. */
void key_digest(const struct key *k, uint8_t out[32]);

/* The public half of an RSA key as RSAPublicKey (PKCS#1, RFC 8017 appendix A.1.1); appended to
 * `out`. Not for other kinds. */
void key_pkcs1(const struct key *k, struct buf *out);
/* Exactly one RSAPublicKey in its one DER encoding, with a modulus of at least `bits_min` and at
 * most KEY_RSA_BITS_MAX bits; MALFORMED otherwise. */
RESULT key_from_pkcs1(struct span der, int bits_min, struct key *out, struct err *err);

/* PKCS#8 DER of the private key: secret bytes; the buf wipes itself. */
void key_private_der(const struct key *k, struct buf *out);
/* Exactly one private key: PKCS#8, or the older form of its kind; MALFORMED otherwise. */
RESULT key_from_private_der(struct span der, struct key *out, struct err *err);
/* "PRIVATE KEY" (PKCS#8) or "PUBLIC KEY" (SPKI) blocks; reading takes also "EC PRIVATE KEY".
 * No passphrases: an encrypted key is CONFIG. */
void key_to_pem(const struct key *k, bool with_private, struct buf *out);
RESULT key_from_pem(struct span pem, struct key *out, struct err *err);

/* Signs `message` as said above; appended to `out`. INVALID for other kinds, for RSA outside the
 * bounds above and for a public key. */
RESULT key_sign(const struct key *k, struct span message, struct buf *out, struct err *err);
/* SIGNATURE unless `signature` is valid. */
RESULT key_verify(const struct key *k, struct span message, struct span signature, struct err *err);

/* RSAES-OAEP (RFC 8017 section 7.1) with SHA-256, MGF1-SHA-256 and `label`
 * (at most KEY_LABEL_MAX bytes): for who has the private
 * key. Appended to `out`. INVALID for other kinds of keys and for a plaintext that does not fit. */
RESULT key_seal(const struct key *k, struct span label, struct span plaintext, struct buf *out,
                struct err *err);
/* The plaintext, at least one byte; the caller owns it. INVALID for a public key or another kind;
 * DENIED when it does not decrypt, without a reason: other key, other label and changed bytes
 * cannot be told apart. */
RESULT key_open(const struct key *k, struct span label, struct span sealed, struct secret **out,
                struct err *err);

#endif
