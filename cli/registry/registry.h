/* The registry client: an image's name in, what a policy needs of the image out.
 *
 *   reference -> digest -> [index -> linux/amd64] -> manifest -> config
 *                                                 \-> layers, each streamed once -> hashes
 *
 * Everything is checked on the way: documents against the digest that names them, blobs against
 * digest and size, the decompressed layer against the config's diff_id. What the cache knows is not
 * fetched: with a digest in the reference and all layers known, the network is not used. No
 * temporary file; memory is bounded by one layer's decoder and index (LIMIT_LAYER_MEMORY) for each
 * thread that fetches one, or for all of them together by a fetch_budget.
 *
 * Thread-safe but for open and close. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_H
#define CONTRAST_REGISTRY_H

#include "cli/layer/layer.h"
#include "cli/registry/fetch_budget.h"
#include "cli/registry/fetch_progress.h"
#include "cli/registry/oci_config.h"
#include "cli/registry/registry_session.h"

struct registry;

/* Copied by registry_open. Zeroed is good. */
struct registry_config {
    struct registry_session_config session; /* login, and wait when it is NULL, are filled in */
    size_t session_count;                   /* requests at a time; 0 = 1 */
    const char *docker_folder;              /* of config.json; NULL = docker_config.h says where */
    const char *cache_folder;               /* NULL = image_cache.h says where */
    bool no_cache;                          /* neither read nor written */
    bool is_offline; /* the cache alone; a tag is what it was when it was last resolved */
};

/* CONFIG: the cache, config.json, a mirror, or offline without a cache. */
RESULT registry_open(const struct registry_config *config, struct registry **out, struct err *err);
void registry_close(struct registry *r); /* accepts NULL */

/* Ends what is under way, and all that begins afterwards, with CANCELED. */
void registry_cancel(struct registry *r);

struct registry_layer {
    uint8_t digest[SHA256_SIZE]; /* of the blob, as in the manifest */
    uint64_t size;               /* of the blob, bytes */
    bool is_cached;              /* not fetched in this run */
    bool is_shared;             /* the result belongs to another image's layer, and lives with it */
    struct layer_result result; /* blob_sha256, blob_size and coding only when it was fetched */
};

struct registry_image {
    uint8_t digest[SHA256_SIZE];          /* that the reference has, or that its tag means now */
    uint8_t manifest_digest[SHA256_SIZE]; /* of linux/amd64; the same unless that was an index */
    struct oci_config config;
    struct registry_layer *layers; /* owned; bottom first, as config.diff_ids */
    size_t layer_count;
};
void registry_image_deinit(struct registry_image *i); /* accepts zeroed */

/* Digests, config, and the layers' digests and sizes; their results are empty. Errors as below.
 * A tag beside a digest is for readers: when it is seen to mean something else, a warning says so.
 */
RESULT registry_open_image(struct registry *r, const struct image_ref *ref,
                           struct registry_image *out, struct err *err);

/* How one layer is fetched. Zeroed is good. */
struct registry_watch {
    struct fetch_progress *progress; /* NULL = nobody watches */
    const char *name;                /* of the image, for progress */
    struct fetch_budget *budget;     /* NULL = nothing is shared */
    size_t order;                    /* in the budget */
};

/* Fills image->layers[index] of an image of registry_open_image for `ref`. Errors as below. */
RESULT registry_fetch_layer(struct registry *r, const struct image_ref *ref,
                            struct registry_image *image, size_t index,
                            const struct registry_watch *watch, struct err *err);

/* Both, layer by layer; `progress` may be NULL. Errors begin with the reference.
 * DIFFERS (exit 3): bytes that are not what their digest, size or diff_id says. NOT_FOUND: the
 * registry, or offline the cache, does not have it. INVALID: an image that is not for us. CONFIG:
 * credentials. UNAVAILABLE, BUSY, TLS, MALFORMED, TOO_LARGE: the registry. CANCELED. */
RESULT registry_fetch_image(struct registry *r, const struct image_ref *ref,
                            struct fetch_progress *progress, struct registry_image *out,
                            struct err *err);

/* The digest to pin: of the index or manifest that the reference means now. Errors as above. */
RESULT registry_resolve(struct registry *r, const struct image_ref *ref,
                        uint8_t digest[SHA256_SIZE], struct err *err);

#endif
