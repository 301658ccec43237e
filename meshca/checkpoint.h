/* Checkpoints: the state of a cluster in one sealed file that k of n share owners open together
 * (docs/wire.md).
 *
 *   0: "CHKP"   4: u32be version 1   8: u32be size of the header   12: header, a message
 *   then ciphertext || tag[16]: AES-256-GCM with a fresh key and nonce for each file, everything
 *   before the ciphertext as additional data
 *
 * The key is split (shares.h). Share i belongs to owner i, is encrypted to that owner's RSA key
 * (RSA-OAEP-SHA256, label "contrast-share-v1\0" || file id) and has a commitment in the header:
 * SHA-256("contrast-share-v1\0" || file id[16] || x u8 || share[32]). So a bad share is named
 * before anything is decrypted.
 *
 * What a header says is authentic only once checkpoint_open has succeeded, and even then only as
 * coming from somebody who knew the owners' public keys: a reader compares the state inside with
 * signatures (chain of transitions, recovery). Neither of them says which secrets are the right
 * ones: the digest of the root CA certificate does. An owner compares it with the root CA that was
 * verified before, and gives no share for another one; the recipient compares it with the state,
 * whose root key must fit that certificate.
 *
 * Failure: MALFORMED for what is no such file, TOO_LARGE over a limit, INVALID for wrong use,
 * DENIED for a wrong key or share or changed bytes. No I/O, no clock; randomness is the host's.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CHECKPOINT_H
#define CONTRAST_CHECKPOINT_H

#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/crypto/key.h"
#include "lib/wire/wire.h"
#include "meshca/shares.h"

#define CHECKPOINT_FILE_ID_SIZE 16
#define CHECKPOINT_PREFIX_SIZE 12 /* bytes before the header */
#define CHECKPOINT_TAG_SIZE 16

/* Share number = place in the list, from 1. */
struct checkpoint_share {
    uint8_t owner[32]; /* SHA-256 of the PKCS#1 DER */
    uint8_t commitment[32];
    struct span sealed; /* x || share */
};

struct checkpoint_header {
    uint8_t file_id[CHECKPOINT_FILE_ID_SIZE]; /* random */
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t index; /* applied */
    uint64_t term;  /* of that entry */
    int64_t time;   /* unix seconds, as the cluster counts them */
    uint64_t generation;
    uint8_t head[32]; /* its transition */
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint64_t threshold;
    struct wire_list shares; /* struct checkpoint_share, by rising x */
    uint8_t nonce[12];
    uint64_t size;       /* bytes of the plaintext */
    uint8_t root_ca[48]; /* SHA-384 of the root CA certificate inside, PEM */
};

/* Appends a whole file to `out`. Of `fields`: cluster to threshold, and root_ca; the others are
 * made here. `owners`: PKCS#1 DER, in the manifest's order. INVALID for a threshold that is
 * not 1..count, no or too many owners, one owner twice, a key that does not parse; TOO_LARGE for a
 * plaintext over LIMIT_SNAPSHOT. */
RESULT checkpoint_seal(const struct host *host, const struct checkpoint_header *fields,
                       const struct span *owners, size_t count, struct span plaintext,
                       struct buf *out, struct err *err);

/* A whole file, at most LIMIT_CHECKPOINT. The header's spans lie in `arena`; `ciphertext` is the
 * part of `file` behind the header, with its tag. Nothing is authenticated. */
RESULT checkpoint_parse(struct span file, struct arena *arena, struct checkpoint_header *out,
                        struct span *ciphertext, struct err *err);

/* The same from exactly the bytes before the ciphertext. */
RESULT checkpoint_parse_header(struct span prefix, struct arena *arena,
                               struct checkpoint_header *out, struct err *err);

/* Bytes before the ciphertext, from at least the first CHECKPOINT_PREFIX_SIZE of a file; at most
 * LIMIT_CHECKPOINT_HEADER. */
RESULT checkpoint_header_size(struct span file, size_t *out, struct err *err);

/* An owner's share, SHARES_SIZE bytes; the caller frees it. NOT_FOUND when this key has none in the
 * file, INVALID for a public key, DENIED when it does not decrypt or is not what the file committed
 * to. Every text names the owner; it is for the owner's own machine, not for a peer. */
RESULT checkpoint_open_share(const struct checkpoint_header *h, const struct key *owner,
                             struct secret **share, struct err *err);

/* Whether `share` is the one that this owner (SHA-256 of the PKCS#1 DER) has: NOT_FOUND or DENIED,
 * naming the owner. Constant time. */
RESULT checkpoint_check_share(const struct checkpoint_header *h, const uint8_t owner[32],
                              struct span share, struct err *err);

/* Decrypts: at least `threshold` different shares, each checked as above first. Appends the
 * plaintext, secret, to `out` (a buf wipes itself). DENIED for too few, a wrong one (named), or a
 * header or payload that was changed: which of both cannot be told. */
RESULT checkpoint_open(struct span file, const struct secret *const *shares, size_t count,
                       struct buf *out, struct err *err);

#endif
