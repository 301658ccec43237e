/* Core, active: what belongs to the newest generation, as counted objects that never change: the
 * parsed manifest with the policies that it names, and the keys. Any thread may let go; the keys
 * are wiped when the last one does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CORE_ACTIVE_H
#define CONTRAST_CORE_ACTIVE_H

#include "coordinator/core/core_bytes.h"
#include "lib/base/secret.h"
#include "lib/manifest/manifest.h"

struct core_active {
    atomic_uint refs;
    struct manifest manifest;
    struct core_bytes **policies; /* in the order of manifest.policies */
};

/* Takes *m over, which is empty then, and makes room for its policies: the caller puts a reference
 * into each place. */
struct core_active *core_active_new(struct manifest *m);
struct core_active *core_active_ref(struct core_active *a);
void core_active_unref(struct core_active *a); /* accepts NULL */

struct core_keys {
    atomic_uint refs;
    struct secret *root_key;        /* PKCS#8 DER */
    struct secret *mesh_key;        /* PKCS#8 DER; NULL in a checkpoint */
    struct secret *workload_secret; /* 32 bytes */
};

/* Copies; what is empty is taken from `before` (may be NULL then no more), but for the mesh key:
 * that stays NULL. */
struct core_keys *core_keys_new(const struct core_keys *before, struct span root_key,
                                struct span mesh_key, struct span workload_secret);
struct core_keys *core_keys_ref(struct core_keys *k);
void core_keys_unref(struct core_keys *k); /* wipes; accepts NULL */

#endif
