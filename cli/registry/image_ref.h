/* Image references: the names that a pod's `image` field gives to images.
 *
 *   [HOST[:PORT]/]PATH[:TAG][@sha256:HEX]       as the CNCF distribution project's grammar has it
 *
 *   nginx                      docker.io, library/nginx, tag latest
 *   ghcr.io/a/b:1@sha256:...   the digest wins; the tag is for readers
 *
 * Pure: no allocation but in image_ref_text and image_ref_pin.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IMAGE_REF_H
#define CONTRAST_IMAGE_REF_H

#include "lib/base/bytes.h"
#include "lib/crypto/digest.h"

#define IMAGE_REF_HOST "docker.io" /* where names without a host belong */
#define IMAGE_REF_NAME_MAX 255     /* host and path together, bytes */
#define IMAGE_REF_TAG_MAX 128

struct image_ref {
    char host[IMAGE_REF_NAME_MAX + 1]; /* with ":port" when given; "docker.io" for its aliases */
    char name[IMAGE_REF_NAME_MAX + 1]; /* the repository, "library/" added where it belongs */
    char tag[IMAGE_REF_TAG_MAX + 1];   /* "" when there is a digest and no tag */
    bool has_digest;
    uint8_t digest[SHA256_SIZE];
};

/* INVALID with the rule that `text` breaks; *out is untouched then. */
RESULT image_ref_parse(struct span text, struct image_ref *out, struct err *err);

/* "host/name:tag@sha256:hex" in full, appended. */
void image_ref_text(const struct image_ref *ref, struct buf *out);

/* `text` as the user wrote it, with "@sha256:" and the digest behind it; a digest that it has
 * already is replaced. Appended. */
void image_ref_pin(struct span text, const uint8_t digest[SHA256_SIZE], struct buf *out);

/* "sha256:" and 64 lower-case digits, as a digest stands in manifests and addresses. INVALID. */
RESULT image_ref_digest(struct span text, uint8_t out[SHA256_SIZE], struct err *err);

#define IMAGE_REF_DIGEST_TEXT (7 + 2 * SHA256_SIZE + 1) /* with the NUL */
/* The text of a digest; returns `out`. */
const char *image_ref_digest_text(const uint8_t digest[SHA256_SIZE],
                                  char out[IMAGE_REF_DIGEST_TEXT]);

#endif
