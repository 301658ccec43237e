/* The registry client: an image's name in, what a policy needs of the image out.
 *
 *   reference -> digest -> [index -> linux/amd64] -> manifest -> config
 *                                                 \-> layers, each streamed once -> hashes
 *
 * Everything is checked on the way: documents against the digest that names them, blobs against
 * digest and size, the decompressed layer against the config's diff_id. What the cache knows is not
 * fetched: with a digest in the reference and all layers known, the network is not used. No
 * temporary file; memory is bounded by one layer's decoder and index (LIMIT_LAYER_MEMORY).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_H
#define CONTRAST_REGISTRY_H

#include "cli/layer/layer.h"
#include "cli/registry/fetch_progress.h"
#include "cli/registry/oci_config.h"
#include "cli/registry/registry_session.h"

struct registry;

/* Copied by registry_open. Zeroed is good. */
struct registry_config {
    struct registry_session_config session;
    const char *cache_folder; /* NULL = image_cache.h says where */
    bool no_cache;            /* neither read nor written */
    bool is_offline;          /* the cache alone; a tag is what it was when it was last resolved */
};

/* CONFIG: the cache, config.json, a mirror, or offline without a cache. */
RESULT registry_open(const struct registry_config *config, struct registry **out, struct err *err);
void registry_close(struct registry *r); /* accepts NULL */

struct registry_layer {
    uint8_t digest[SHA256_SIZE]; /* of the blob, as in the manifest */
    uint64_t size;               /* of the blob, bytes */
    bool is_cached;              /* not fetched in this run */
    struct layer_result result;  /* blob_sha256, blob_size and coding only when it was fetched */
};

struct registry_image {
    uint8_t digest[SHA256_SIZE];          /* that the reference has, or that its tag means now */
    uint8_t manifest_digest[SHA256_SIZE]; /* of linux/amd64; the same unless that was an index */
    struct buf config_text;               /* the config as it is stored; owned */
    struct oci_config config;
    struct registry_layer *layers; /* owned; bottom first, as config.diff_ids */
    size_t layer_count;
};
void registry_image_deinit(struct registry_image *i); /* accepts zeroed */

/* The digest to pin: of the index or manifest that the reference means now. Errors as below. */
RESULT registry_resolve(struct registry *r, const struct image_ref *ref,
                        uint8_t digest[SHA256_SIZE], struct err *err);

/* The image; `progress` may be NULL. Errors begin with the reference.
 * DIFFERS (exit 3): bytes that are not what their digest, size or diff_id says. NOT_FOUND: the
 * registry, or offline the cache, does not have it. INVALID: an image that is not for us. CONFIG:
 * credentials. UNAVAILABLE, BUSY, TLS, MALFORMED, TOO_LARGE: the registry. */
RESULT registry_fetch_image(struct registry *r, const struct image_ref *ref,
                            struct fetch_progress *progress, struct registry_image *out,
                            struct err *err);

#endif
