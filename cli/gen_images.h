/* Generate's images: from the `image` fields of pods to what their policies need to know.
 *
 *   add each reference -> fetch all (cache, registries) -> list for the policy, digests to pin
 *
 * Fetching runs in parallel, up to the number of processors, and a layer that several images share
 * is fetched once (cli/registry). Nothing of an image is believed before its digest, sizes and
 * diff_ids were checked; when one image cannot be had, there is no list at all.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_IMAGES_H
#define CONTRAST_GEN_IMAGES_H

#include "cli/cli.h"
#include "cli/layer/layer.h"
#include "cli/policy/image.h"
#include "cli/registry/fetch_progress.h"

/* Zeroed is good: the real registries, the user's cache, progress on standard error. */
struct gen_images_config {
    const struct cli_list *mirrors;  /* HOST=URL; NULL = none; borrowed until close, as all here */
    const struct cli_list *insecure; /* hosts that are spoken to over plain http; NULL = none */
    const char *ca_file;             /* PEM, in place of the system's authorities; NULL = those */
    const char *cache_folder;        /* NULL = the user's (image_cache.h) */
    bool is_offline;                 /* the cache alone */
    bool no_cache;                   /* neither read nor written */
    enum fetch_progress_mode mode;
    enum layer_dialect dialect; /* of the nodes' indexer: which root hashes a policy gets */
};

struct gen_images;

/* USAGE: a mirror that is not HOST=URL. CONFIG: credentials, the cache, offline without a cache. */
RESULT gen_images_open(const struct gen_images_config *config, struct gen_images **out,
                       struct err *err);
void gen_images_close(struct gen_images *g); /* accepts NULL */

/* Takes note of an image; `where` ("web.yaml:12:16: spec.containers[0].image") begins every error
 * and warning about it. A reference that was added before is not added again. INVALID for one that
 * breaks the grammar. Warns when a tag is missing or "latest". Both texts are copied. */
RESULT gen_images_add(struct gen_images *g, const char *reference, const char *where,
                      struct err *err);

/* Fetches all that were added; once, before the two below. Errors are those of registry.h, after
 * the image's `where`; of several failures the first in the order of adding. */
RESULT gen_images_fetch(struct gen_images *g, struct err *err);

/* One entry for each reference that was added, and one for what it is pinned to (policy_inputs).
 * Borrowed until close. */
const struct image_list *gen_images_list(const struct gen_images *g);

/* The reference with its digest, "nginx:1.25@sha256:...", as it is to stand in the YAML; NULL for
 * one that has a digest already, or was never added. Borrowed until close. */
const char *gen_images_pin(const struct gen_images *g, const char *reference);

#endif
