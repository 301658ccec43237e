/* Certificates: X.509 v3 (RFC 5280) built from a plain description, read, converted, checked.
 *
 * Everything of a certificate but its signature follows from the cert_spec: no clock, no random
 * number, no default that depends on the host. Subject and Authority Key Identifier (RFC 5280
 * section 4.2.1.2 method 1) are always included.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CERT_H
#define CONTRAST_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/crypto/key.h"

#define CERT_SERIAL_MAX 20 /* bytes, RFC 5280 section 4.1.2.2 */
#define CERT_PATH_LENGTH_NONE (-1)

/* Key usage, RFC 5280 section 4.2.1.3; 0: no extension. */
enum cert_key_usage {
    CERT_USE_DIGITAL_SIGNATURE = 1,
    CERT_USE_KEY_ENCIPHERMENT = 2,
    CERT_USE_KEY_AGREEMENT = 4,
    CERT_USE_KEY_CERT_SIGN = 8,
    CERT_USE_CRL_SIGN = 16,
};

/* Extended key usage, RFC 5280 section 4.2.1.12; 0: no extension. */
enum cert_extended_usage {
    CERT_EXT_SERVER_AUTH = 1,
    CERT_EXT_CLIENT_AUTH = 2,
};

struct cert_extension {
    const char *oid;   /* dotted text */
    struct span value; /* the DER inside the extension's OCTET STRING */
    bool is_critical;
};

/* Everything is borrowed. */
struct cert_spec {
    const char *subject;            /* common name, UTF-8, 1..64 bytes (RFC 5280 appendix A.1) */
    const char *issuer;             /* common name; NULL: from issuer_certificate, else subject */
    struct span issuer_certificate; /* DER; empty: none; its subject and SKI are taken over */
    struct span serial;             /* big-endian, 1..CERT_SERIAL_MAX bytes, not all zero; a set top
                                       bit costs one more byte of the 20 */
    int64_t not_before;             /* unix seconds, 1970..9999 */
    int64_t not_after;              /* unix seconds, > not_before */
    bool is_ca;                     /* basicConstraints is critical, and there for leaves too */
    int path_length;                /* CAs only; CERT_PATH_LENGTH_NONE: unlimited */
    unsigned key_usage;             /* cert_key_usage bits; critical */
    unsigned extended_usage;        /* cert_extended_usage bits */
    const char *const *sans;        /* an IP address if it parses as one, a URI if it has a scheme
                                       "x://", else a DNS name; "*" is a DNS name */
    size_t san_count;
    const struct cert_extension *extensions; /* added after all others, in order */
    size_t extension_count;
};

/* Signs a certificate over the public half of `subject_key` with `issuer_key` (private; P-256 with
 * SHA-256, P-384 with SHA-384 or Ed25519); its DER is appended to `der`. INVALID names what is
 * wrong: a bad serial or time, a CN too long, an unknown OID, a SAN that is none, an issuer
 * certificate that is not of issuer_key. */
RESULT cert_build(const struct cert_spec *spec, const struct key *subject_key,
                  const struct key *issuer_key, struct buf *der, struct err *err);

/* The ephemeral certificate of a TLS key: CN "contrast", random serial, valid from yesterday for
 * ten years (nobody checks it: the peer's key is what is judged). Appended to `der`. */
RESULT cert_self_signed(const struct key *key, struct buf *der, struct err *err);

/* One "CERTIFICATE" block with 64-column base64 (RFC 7468); appended to `pem`. */
void cert_to_pem(struct span der, struct buf *pem);

/* Reads exactly `count` blocks, each one X.509 certificate in DER of at most LIMIT_CERT bytes;
 * nothing but white space may stand between or around them. der[i] are appended to. CONFIG names
 * the block. */
RESULT cert_from_pem(struct span pem, size_t count, struct buf *der, struct err *err);

/* The SubjectPublicKeyInfo of exactly one DER certificate, as it stands there; appended. */
RESULT cert_spki(struct span der, struct buf *spki, struct err *err);
/* The same as a key, whose encoding is checked (key_from_spki). */
RESULT cert_public_key(struct span der, struct key *out, struct err *err);

/* Appends the DER value (inside the OCTET STRING) of the extension; NOT_FOUND without it. */
RESULT cert_extension_value(struct span der, const char *oid, struct buf *value, struct err *err);

/* notBefore and notAfter as unix seconds. */
RESULT cert_validity(struct span der, int64_t *not_before, int64_t *not_after, struct err *err);

/* The chain leaf <- intermediates <- ca is valid at `at` (unix seconds) under RFC 5280 section 6
 * with `ca` as the only trust anchor (which need not be self-signed). SIGNATURE says why not. */
RESULT cert_verify_leaf(struct span leaf, const struct span *intermediates,
                        size_t intermediate_count, struct span ca, int64_t at, struct err *err);

#endif
