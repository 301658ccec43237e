/* Fetching images: many of them, with all their layers, in parallel.
 *
 *   workers:  open all images (manifest, config); then their layers, each that they have between
 *             them once
 *
 * What is misspelt or denied so shows before anything large is fetched, and of several such images
 * it is always the first one that is reported. A failure cancels the others. Memory:
 * LIMIT_FETCH_MEMORY for all layers together (fetch_budget.h), LIMIT_FETCH_KEPT for what is kept of
 * them, a few buffers for each worker; the allocator is told, for the whole process, to give large
 * blocks back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCH_IMAGES_H
#define CONTRAST_FETCH_IMAGES_H

#include "cli/registry/registry.h"

struct fetch_item {
    struct image_ref ref;
    const char *where;           /* begins errors; borrowed */
    struct registry_image image; /* filled; the caller's. Items share layers: free them together */
};

/* Processors that this process may use, at most LIMIT_FETCH_WORKERS. */
size_t fetch_images_workers(void);

/* Fills all images, or none. `workers`: threads, at most the registry's session_count. Errors as
 * registry_fetch_image's, of the first item that cannot be opened, else of one with a bad layer;
 * TOO_LARGE also when the images have too many layers, or too large configs, together. */
RESULT fetch_images(struct registry *r, struct fetch_item *items, size_t count, size_t workers,
                    struct fetch_progress *progress, struct err *err);

#endif
