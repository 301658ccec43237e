/* Policy initdata: the document of the profile "initdata", and how the annotation carries it.
 *
 *   version = "0.1.0"
 *   algorithm = "sha256"
 *
 *   [data]
 *   "policy.rego" = '''
 *   <the text>'''
 *
 * HOST_DATA is the SHA-256 of these bytes. The annotation is base64(gzip(document)); the gzip
 * stream (RFC 1952) has stored blocks and no time, so that it too depends on the document alone.
 * Source: Confidential Containers, "Initdata Specification"; kata-containers,
 * kata-types/initdata.rs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_INITDATA_H
#define CONTRAST_POLICY_INITDATA_H

#include "cli/policy/workload.h"

/* Appends the document. INVALID for a text that a TOML literal cannot hold: three quotes in a row,
 * or control characters other than tab and line feed. */
RESULT policy_initdata_make(const struct workload *w, struct span policy, struct buf *out,
                            struct err *err);

/* The policy in a document of policy_initdata_make; empty for any other bytes. */
struct span policy_initdata_text(struct span document);

/* Bytes of the gzip stream of `size` bytes. */
size_t policy_initdata_size(size_t size);

/* Appends the gzip stream of any bytes. */
void policy_initdata_pack(struct span document, struct buf *out);

/* Appends the document of a stream that policy_initdata_pack wrote. MALFORMED for all others,
 * compressed ones, too; TOO_LARGE over LIMIT_POLICY. */
RESULT policy_initdata_unpack(struct span packed, struct buf *out, struct err *err);

#endif
