/* Injection: what a confidential pod needs, put into its YAML by splicing.
 *
 * A workload gets init containers (inject_pieces.h), the volume contrast-secrets, its mount at
 * /contrast in every container, and a runtime class. A Coordinator gets the verifier's environment
 * in its container and a runtime class. What says the same already is not touched, so that a second
 * run changes nothing; what an annotation brought goes when the annotation is gone
 * (docs/annotations.md). Names, places and policies that are the user's own are refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_H
#define CONTRAST_INJECT_H

#include "cli/policy/workload.h"
#include "lib/yaml/yaml_edit.h"

struct inject_config {
    const char *initializer_image;
    const char *service_mesh_image; /* of pods with an annotation servicemesh-... */
    const char *coordinator_host;   /* COORDINATOR_HOST; NULL = coordinator-ready */
    const char *runtime_class;      /* NULL = contrast-cc */
    const char *owner_digests;      /* comma separated hex: CONTRAST_OWNER_KEY_DIGESTS */
    const char *permitted_roots; /* comma separated hex, may be empty: CONTRAST_PERMITTED_ROOTS */
    bool skip_initializer;       /* as if every pod were annotated with it */
    bool force;                  /* replace a policy that is not ours */
};

/* Adds the edits of everything but the policy. INVALID with the position; USAGE for a runtime class
 * that workload_is_runtime_class does not know. */
RESULT inject_pod(const struct workload *w, const struct inject_config *config,
                  struct yaml_edits *edits, struct err *err);

/* What stands for an image reference, for as long as the edits are made: with its digest; NULL =
 * let it stand. */
typedef const char *inject_pin_cb(void *data, const char *reference);

/* Adds the edits that write digests into the images of containers and initContainers; quotes stay
 * as they are. INVALID with the position. */
RESULT inject_pins(const struct workload *w, inject_pin_cb *pin, void *data,
                   struct yaml_edits *edits, struct err *err);

/* Adds the edits of the annotation w->policy_key: `policy`, a document of policy_text_make. That of
 * the other profile goes. */
RESULT inject_policy(const struct workload *w, struct span policy, struct yaml_edits *edits,
                     struct err *err);

#endif
