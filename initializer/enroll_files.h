/* Enroll files: what a workload finds in its volume when the initializer is done.
 *
 *   tls-config/mesh-ca.pem              0444
 *   tls-config/coordinator-root-ca.pem  0444
 *   tls-config/certChain.pem            0444   leaf, intermediate
 *   secrets/workload-secret-seed        0400   hexadecimal; only when the manifest grants one
 *   tls-config/key.pem                  0400   PKCS#8, written last: when it is there, all is
 *
 * An old key is removed first, so a run that stops halfway never leaves a key beside a certificate
 * of another key. Each file appears whole.
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

RESULT enroll_files_write(const char *dir, const struct api_certificate_reply *reply,
                          const struct key *key, struct err *err);

#endif
