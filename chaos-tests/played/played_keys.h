/* Played keys: OpenSSL's signatures, as genuine and as strict as ever, but cheap where a simulation
 * makes and checks the same ones over and over.
 *
 *   EVP_DigestSign, X509_sign         P-384: ECDSA with a nonce whose point was computed before
 *   EVP_DigestVerify, X509_verify,    what was signed here, or accepted once by OpenSSL, is
 *   X509_CRL_verify                   remembered by key, message and signature; all else goes to
 *                                     OpenSSL; of a certificate its no is remembered, too
 *   hotkey_verify                     the first of these; tables of points would cost more
 *
 * The file defines these functions itself, so whatever is linked with it calls these instead of the
 * library's, which it asks for in turn. Every byte stays what a verifier anywhere accepts, every
 * check keeps its meaning: another key, another message or another signature is not remembered.
 * Nonces are shared by all keys, so a signature gives its key away: for simulations alone.
 *
 * Nothing here depends on what was remembered but the time it takes. Thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PLAYED_KEYS_H
#define CONTRAST_PLAYED_KEYS_H

#include <stdint.h>

/* How often each way was taken since the program began: for figures and tests. */
struct played_keys_counts {
    uint64_t cheap_signatures; /* by a nonce that was there */
    uint64_t remembered;       /* verifications answered from memory */
    uint64_t verified;         /* verifications that OpenSSL did */
};
void played_keys_count(struct played_keys_counts *out);

#endif
