/* Restart file: what a voter keeps on disk where the manifest permits a restart without people
 * (docs/recovery.md): the state, sealed for a majority of the voters together, and this voter's own
 * share of the key, sealed for guests of its own chip and image.
 *
 *   0: "RSTF"   4: u32be version 1   8: u32be size of the header   12: header, a message
 *   then ciphertext || tag[16]      the same bytes at every voter; their SHA-256 is the digest
 *   then x u8 || sealed share || tag[16]                                        this voter's own
 *
 *   id      = SHA-256( "contrast-restart-v1\0" || header, id and commitments zero
 *                      || SHA-256(state) )
 *   key     = HKDF( workload secret root, salt = id, "contrast-restart-key-v1\0" )
 *   shares  = Shamir (shares.h) of key; coefficients HKDF( the same, "contrast-restart-shares-v1\0"
 * ) share x is sealed under HKDF( chip key, salt = digest, "contrast-restart-own-v1\0" || x )
 *
 * All is AES-256-GCM with the nonce zero: no two messages share a key, because a key depends on
 * all that it protects. So all voters write the same file for the same state without a word between
 * them, and nobody who lacks the state or a majority of shares can make one.
 *
 * What a file says is authentic once restart_file_unseal has succeeded, as coming from a guest of
 * this image on this chip; the state inside is checked by its own chain of signatures (revival.h).
 * An older file is just as authentic: whoever rolls a disk back revives it.
 *
 * Failure: MALFORMED, TOO_LARGE for what is no such file, INVALID for wrong use, DENIED for a wrong
 * key or share or changed bytes. Pure: no I/O, no clock, no randomness.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESTART_FILE_H
#define CONTRAST_RESTART_FILE_H

#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/crypto/aead.h"
#include "lib/wire/wire.h"
#include "meshca/shares.h"

#define RESTART_PREFIX_SIZE 12                             /* bytes before the header */
#define RESTART_OWN_SIZE (1 + SHARES_SIZE + AEAD_TAG_SIZE) /* x, the sealed share, its tag */

/* Share number = place in the list, from 1. */
struct restart_voter {
    uint64_t id;
    char *name;             /* a label */
    uint8_t commitment[32]; /* SHA-256("contrast-restart-share-v1\0" || file id || share) */
};

struct restart_header {
    uint8_t id[32]; /* of the file, see above */
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t index; /* applied */
    uint64_t term;  /* of that entry */
    int64_t time;   /* unix seconds, as the cluster counts them */
    uint64_t generation;
    uint8_t head[32]; /* its transition */
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    struct span manifest;    /* the newest one, exact bytes */
    uint64_t threshold;      /* a majority of the voters */
    struct wire_list voters; /* struct restart_voter, by rising id, 1..LIMIT_VOTERS */
    uint64_t size;           /* bytes of the state */
};

struct restart_file {
    struct restart_header header;
    uint8_t digest[32];     /* of all that is the same everywhere */
    uint8_t voters[32];     /* SHA-256 over the voters' ids */
    struct span before;     /* all before the ciphertext */
    struct span ciphertext; /* with its tag */
    uint8_t x;              /* number of this voter's share */
    struct span sealed;     /* the share, with its tag */
};

/* Appends a file. Of `fields`: cluster to manifest, and the voters' ids and names; the rest is made
 * here. `own` is the id of the voter who writes it. `workload_secret` is the replicated root of the
 * workload secrets, `chip_key` of ISSUER_KEY_SIZE bytes. INVALID: the voters are none, too many,
 * out of order, or `own` is none of them; TOO_LARGE: the state or the manifest. */
RESULT restart_file_seal(const struct restart_header *fields, uint64_t own, struct span state,
                         struct span workload_secret, const struct secret *chip_key,
                         struct buf *out, struct err *err);

/* A whole file, at most LIMIT_RESTART_FILE. Spans point into `file`, the header's into `arena`.
 * Nothing is authenticated. */
RESULT restart_file_parse(struct span file, struct arena *arena, struct restart_file *out,
                          struct err *err);

/* This voter's own share, SHARES_SIZE bytes; the caller frees it. DENIED: another chip, another
 * image or guest policy, or changed bytes: which of them cannot be told. */
RESULT restart_file_unseal(const struct restart_file *f, const struct secret *chip_key,
                           struct secret **share, struct err *err);

/* Whether this is share x of the file, x its first byte: DENIED. Constant time. */
RESULT restart_file_check(const struct restart_file *f, struct span share, struct err *err);

/* Appends the state, secret, to `out`. At least `threshold` different shares, each checked first.
 * DENIED: too few, one twice, a wrong one, or header or payload were changed. */
RESULT restart_file_open(const struct restart_file *f, const struct secret *const *shares,
                         size_t count, struct buf *out, struct err *err);

#endif
