/* Manifests: what a registry serves under a name (OCI image spec 1.1, "Image Manifest" and "Image
 * Index"; Docker's image manifest version 2, schema 2 and its manifest list).
 *
 *   index:    the one entry for linux/amd64          -> another document
 *   manifest: a config, and layers from bottom to top -> blobs
 *
 * One platform is chosen as containerd does on an amd64 node: linux/amd64 without a variant (or
 * v1), the first that fits. An entry without a platform counts when it is the only one. Entries for
 * linux/amd64 v2 and above are not chosen: nodes would not choose them either.
 *
 * Refused: schema 1; layers that lie elsewhere (foreign, nondistributable, urls); kinds that are no
 * image; a document that is a manifest and an index at the same time.
 *
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OCI_MANIFEST_H
#define CONTRAST_OCI_MANIFEST_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

/* All that we can read, as a request's Accept has it. */
#define OCI_MANIFEST_ACCEPT                                                                        \
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "        \
    "application/vnd.docker.distribution.manifest.list.v2+json, "                                  \
    "application/vnd.docker.distribution.manifest.v2+json"

struct oci_descriptor {
    uint8_t digest[SHA256_SIZE];
    uint64_t size; /* bytes of the blob as it is served */
};

struct oci_manifest {
    bool is_index;
    struct oci_descriptor chosen;  /* of an index: the manifest, or index, of the platform */
    struct oci_descriptor config;  /* of a manifest */
    struct oci_descriptor *layers; /* of a manifest, owned; bottom first */
    size_t layer_count;
};

/* `content_type` is the answer's header, or NULL when it is not known. MALFORMED, TOO_LARGE;
 * INVALID for an image that is well formed and not for us (platform, schema 1, foreign layers). */
RESULT oci_manifest_parse(struct span text, const char *content_type, struct oci_manifest *out,
                          struct err *err);
void oci_manifest_deinit(struct oci_manifest *m); /* accepts zeroed */

#endif
