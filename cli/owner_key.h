/* Owner key: the workload owner's private key as a file of the workspace.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OWNER_KEY_H
#define CONTRAST_OWNER_KEY_H

#include "cli/workspace.h"
#include "lib/crypto/key.h"

/* Zeroed is valid for deinit. */
struct owner_key {
    struct workspace_path path; /* where it was read */
    struct key key;             /* private: P-384, P-256 or Ed25519 */
    struct buf spki;
    uint8_t digest[32];
};
void owner_key_deinit(struct owner_key *k);

/* Reads `given`, or workload-owner.pem in the workspace. CONFIG names the file and what it must
 * be. */
RESULT owner_key_load(const char *workspace, const char *given, struct owner_key *out,
                      struct err *err);

#endif
