/* Founding: what an owner checks before signing the first transition of a new cluster.
 *
 *   cluster id = SHA-256( "contrast-cluster-v1\0" || founder count u32be
 *                         || for each founder, by rising id:
 *                            id u64be || size u32be, name || size u32be, address
 *                            || size u32be, SPKI )
 *
 * The Coordinator that was asked attested the founders; the owner's signature covers their list
 * through the cluster id, which is computed here from the list itself. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FOUNDING_H
#define CONTRAST_FOUNDING_H

#include "lib/wire/api.h"

/* `founders` by rising id. */
void founding_cluster_id(const struct api_founder *founders, size_t count, uint8_t out[32]);

/* DIFFERS: not `replicas` founders, not by rising id, an id that is not its key's, or a cluster id
 * that is not the list's. */
RESULT founding_check(const struct api_prepare_reply *reply, uint64_t replicas, struct err *err);

#endif
