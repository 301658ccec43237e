/* Owner key: the workload owner's private key as a file of the workspace, or a signature that was
 * made elsewhere (an HSM) with its public key.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OWNER_KEY_H
#define CONTRAST_OWNER_KEY_H

#include "cli/workspace.h"
#include "lib/crypto/key.h"

/* Zeroed is valid for deinit. */
struct owner_key {
    struct workspace_path path; /* where it was read */
    struct key key;             /* P-384, P-256 or Ed25519; private unless is_detached */
    struct buf spki;
    uint8_t digest[32];
    bool is_detached;
    struct buf signature; /* made elsewhere, raw */
};
void owner_key_deinit(struct owner_key *k);

/* Reads `given`, or workload-owner.pem in the workspace. CONFIG names the file and what it must
 * be. */
RESULT owner_key_load(const char *workspace, const char *given, struct owner_key *out,
                      struct err *err);
/* The file of a raw signature (DER of ECDSA, or 64 bytes of Ed25519) and a PEM file with the
 * signer's public key. CONFIG names the file. */
RESULT owner_key_load_detached(const char *signature, const char *signer, struct owner_key *out,
                               struct err *err);
/* Appends the signature over `message`. SIGNATURE when a detached one is not over this. */
RESULT owner_key_sign(const struct owner_key *k, struct span message, struct buf *signature,
                      struct err *err);

#endif
