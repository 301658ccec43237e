/* Layer tar: the tar of a layer in, its hashes out. What layer.h does behind the decompression,
 * without threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LAYER_TAR_H
#define CONTRAST_LAYER_TAR_H

#include "cli/layer/layer.h"

struct layer_tar;

struct layer_tar *layer_tar_new(void);
void layer_tar_free(struct layer_tar *t); /* NULL is accepted */

/* Bytes that it holds, and what it will take to finish. */
size_t layer_tar_memory(const struct layer_tar *t);

/* The next bytes of the tar. `reserved`: bytes of LIMIT_LAYER_MEMORY that others hold. */
RESULT layer_tar_feed(struct layer_tar *t, struct span bytes, size_t reserved, struct err *err);
/* Sets what layer_result says of the tar; untouched on failure. Once. */
RESULT layer_tar_finish(struct layer_tar *t, struct layer_result *out, struct err *err);

#endif
