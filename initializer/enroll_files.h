/* Enroll files: what a workload finds in its volume when the initializer is done.
 *
 *   tls-config/mesh-ca.pem              0444
 *   tls-config/coordinator-root-ca.pem  0444
 *   tls-config/certChain.pem            0444   leaf, intermediate
 *   secrets/workload-secret-seed        0400   hexadecimal; only when the manifest grants one
 *   tls-config/key.pem                  0400   PKCS#8: when it is there, all is
 *
 * A whole new set takes the place of the old one at one moment (enroll_swap.h): nobody ever finds a
 * key beside a certificate of another key, and a run that stops halfway leaves the old set.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENROLL_FILES_H
#define CONTRAST_ENROLL_FILES_H

#include "attest/statement.h"
#include "lib/crypto/key.h"
#include "lib/wire/api.h"

/* Holds a reply against the key and what the Coordinator attested: the leaf is over `key`, it
 * verifies to the mesh CA and through the intermediate to the root, both CAs are the attested
 * bytes, the secret has 32 bytes or none. STALE_GENERATION when the manifest changed meanwhile,
 * DIFFERS and SIGNATURE when the reply is wrong. `at`: unix seconds. */
RESULT enroll_files_check(const struct api_certificate_reply *reply, const struct key *key,
                          const struct replica_statement *attested, int64_t at, struct err *err);

/* Replaces the set in the folder, which is made when it is missing. The set before stays readable
 * for those who have it open, until enroll_swap_sweep. IO, CONFIG: the old set is in place. */
RESULT enroll_files_write(const char *dir, const struct api_certificate_reply *reply,
                          const struct key *key, struct err *err);

/* The set that lies in a folder. */
struct enroll_present {
    uint8_t chain_digest[32]; /* SHA-256 of certChain.pem */
    uint8_t mesh_ca[48];      /* SHA-384 of mesh-ca.pem */
    int64_t not_before;       /* of the leaf, unix seconds */
    int64_t not_after;
};

/* NOT_FOUND without a set; IO, CONFIG and DIFFERS when it cannot be read or is none: the leaf is
 * over another key, or the mesh CA did not sign it. */
RESULT enroll_files_read(const char *dir, struct enroll_present *out, struct err *err);

#endif
