/* The image cache: what was learned of images, under the digests of what it was learned from.
 *
 *   DIR/v1/documents/HEX   a manifest or config; HEX is its SHA-256
 *   DIR/v1/layers/HEX      the hashes of a layer (cli/layer); HEX is its diff_id
 *   DIR/v1/tags/HEX        "sha256:..." that a tag had last, and when (seconds since 1970); HEX is
 *                          the SHA-256 of host/name:tag
 *
 * One file each, written beside its place and renamed: runs may share a cache without locks. Each
 * file proves itself when it is read (its own hash, format, key); one that does not is removed,
 * named in the log and never used. Whoever can write the folder can choose the hashes in a policy:
 * a folder or file that others own or may write is refused. Failing to write is a warning, no
 * failure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IMAGE_CACHE_H
#define CONTRAST_IMAGE_CACHE_H

#include "cli/layer/layer.h"
#include "cli/registry/image_ref.h"

struct image_cache;

/* NULL: $XDG_CACHE_HOME/contrast/images, else ~/.cache/contrast/images. Makes the folder. CONFIG
 * when it cannot be had or is not ours alone. */
RESULT image_cache_open(const char *folder, struct image_cache **out, struct err *err);
void image_cache_close(struct image_cache *c); /* accepts NULL */

/* All below: true when it is there and proved itself; *out is filled then, and the caller's. */
bool image_cache_get_document(struct image_cache *c, const uint8_t digest[SHA256_SIZE],
                              struct buf *out);
bool image_cache_get_layer(struct image_cache *c, const uint8_t diff_id[SHA256_SIZE],
                           struct layer_result *out); /* without blob_sha256, size and coding */
bool image_cache_get_tag(struct image_cache *c, const struct image_ref *ref,
                         uint8_t digest[SHA256_SIZE], int64_t *unix_s); /* when it was put */

void image_cache_put_document(struct image_cache *c, struct span text);
void image_cache_put_layer(struct image_cache *c, const struct layer_result *layer);
void image_cache_put_tag(struct image_cache *c, const struct image_ref *ref,
                         const uint8_t digest[SHA256_SIZE], int64_t unix_s);

/* A tag's file: "sha256:HEX SECONDS", at most 12 digits. */
bool image_cache_parse_tag(struct span text, uint8_t digest[SHA256_SIZE], int64_t *unix_s);

/* The bytes of a layer's file, and back. MALFORMED also when it is about another layer. */
void image_cache_encode(const struct layer_result *layer, struct buf *out);
RESULT image_cache_parse(struct span file, const uint8_t diff_id[SHA256_SIZE],
                         struct layer_result *out, struct err *err);

#endif
