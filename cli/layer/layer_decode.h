/* Layer decode: gzip, zstd or nothing, told apart by the first bytes.
 *
 *   gzip  1f 8b (RFC 1952): members one after the other; CRC and size of each are checked
 *   zstd  28 b5 2f fd, or a skippable frame first (RFC 8878): frames one after the other
 *   else  the bytes as they are
 *
 * A stream that ends inside a member or frame is MALFORMED, and so are bytes behind the last one
 * that start no other: containerd refuses both. A zstd window beyond LIMIT_LAYER_WINDOW_LOG is
 * TOO_LARGE. How much comes out is bounded by the caller, who owns the output buffer. No I/O.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LAYER_DECODE_H
#define CONTRAST_LAYER_DECODE_H

#include "cli/layer/layer.h"

struct layer_decode;

struct layer_decode *layer_decode_new(void);
void layer_decode_free(struct layer_decode *d); /* NULL is accepted */

/* Decodes from *in, which shrinks by what was taken, into out[0..room). Call it again while *in
 * has bytes or *made is `room`. */
RESULT layer_decode_step(struct layer_decode *d, struct span *in, uint8_t *out, size_t room,
                         size_t *made, struct err *err);
/* No more input comes: as layer_decode_step with an empty *in, and once *made is less than `room`
 * the stream must be complete. */
RESULT layer_decode_end(struct layer_decode *d, uint8_t *out, size_t room, size_t *made,
                        struct err *err);

enum layer_coding layer_decode_coding(const struct layer_decode *d);
/* Bytes of memory that the stream made us hold. */
size_t layer_decode_memory(const struct layer_decode *d);

#endif
