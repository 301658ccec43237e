/* Enroll swap: a whole new set of files in the place of the old one, at one moment.
 *
 *   /contrast/..v-k3Jx9a/tls-config/...   one set, complete before anybody sees it
 *   /contrast/..data      -> ..v-k3Jx9a   replaced by one rename(2)
 *   /contrast/tls-config  -> ..data/tls-config
 *   /contrast/secrets     -> ..data/secrets     only while there is a secret
 *
 * This is how Kubernetes' own volumes change, so what watches those (inotify on the folder, for
 * `..data`) works here. A reader that opens the folder tls-config once and reads key and chain from
 * it has one set, whatever happens meanwhile: the set before stays until enroll_swap_sweep.
 *
 * The swap is a table of steps. Whoever stops after any of them leaves the old set or the new one,
 * complete; the next swap begins from the start and clears away what was left.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENROLL_SWAP_H
#define CONTRAST_ENROLL_SWAP_H

#include "lib/base/bytes.h"

#define ENROLL_SWAP_LINK "..data"
#define ENROLL_SWAP_PREFIX "..v-"

/* All borrowed; the last two are secret bytes. */
struct enroll_set {
    struct span mesh_ca; /* PEM */
    struct span root_ca;
    struct span chain;
    struct span secret; /* hexadecimal; empty = none */
    struct span key;
};

extern const size_t enroll_swap_steps;

/* Puts the set into the folder, which exists: the first `steps` of enroll_swap_steps, which are all
 * but in a test that stops halfway. IO; CONFIG when something else lies in the way. After a failure
 * the old set is in place. */
RESULT enroll_swap_run(const char *dir, const struct enroll_set *set, size_t steps,
                       struct err *err);

/* Removes every set but the present one. IO, CONFIG. */
RESULT enroll_swap_sweep(const char *dir, struct err *err);

#endif
