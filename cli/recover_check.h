/* Recover check: what a share owner's own machine demands before it signs a recovery.
 *
 * Pure: what the replica proposes, what this workspace remembers, and the file, in; a refusal that
 * says why, or OK, out. A replica is judged by its evidence elsewhere (trust.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RECOVER_CHECK_H
#define CONTRAST_RECOVER_CHECK_H

#include "cli/recoveries.h"
#include "cli/workspace.h"
#include "lib/wire/api.h"
#include "meshca/checkpoint.h"

/* The recovery that a reply proposes. */
struct recovery recover_check_fields(const struct api_recover_reply *reply);

/* What is known here. */
struct recover_memory {
    bool has_cluster;
    uint8_t cluster[32];
    bool has_last;
    struct position last;
    const struct recoveries *recoveries;
    bool has_root;         /* the root CA certificate of this deployment */
    uint8_t root_ca[48];   /* SHA-384 of its PEM */
    uint8_t recipient[32]; /* SHA-256 of the key that the replica's evidence names */
    uint8_t owner[32];     /* SHA-256 of this owner's PKCS#1 DER */
};

/* DIFFERS: another deployment, or a recipient that is not the replica that was judged. ROLLBACK: an
 * older generation or epoch than was seen here. FORK: another head in a generation that was seen,
 * or an epoch that was signed for something else. DENIED: an epoch far above all that is known
 * here. INVALID: this owner is not asked for.
 * *is_signed: this very recovery was signed from here before. */
RESULT recover_check_memory(const struct api_recover_reply *reply, const struct recover_memory *m,
                            bool *is_signed, struct err *err);

/* The root CA of what is to be recovered, as the file's header or the survivor's evidence names it:
 * DENIED unless it is the one that was seen here. A state with another one was made up by somebody
 * who has the public history alone. Before a share or signature is given, never after. */
RESULT recover_check_root(const uint8_t root_ca[48], const struct recover_memory *m,
                          struct err *err);

/* The session is of this very file: DIFFERS names the field. */
RESULT recover_check_header(const struct api_recover_reply *reply,
                            const struct checkpoint_header *header, struct err *err);

#endif
