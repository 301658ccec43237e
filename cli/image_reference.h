/* Image references: what an IGVM file says about the guests that start from it, as fields of a set
 * of reference values (lib/manifest).
 *
 * The file gives TrustedMeasurement and GuestPolicy; with a signed ID block also the key digests,
 * MinimumGuestSVN, FamilyID and ImageID. Product and minimum TCB are a matter of the machines and
 * in no image.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_IMAGE_REFERENCE_H
#define CONTRAST_IMAGE_REFERENCE_H

#include <jansson.h>

#include "attest/launch/igvm.h"

/* Measures the file at `path`; `mask` as in igvm_measure. INVALID (exit 2) with path, header and
 * rule for a file that breaks the format; IO when it cannot be read or changes meanwhile; DIFFERS
 * (exit 3) when its ID block was made for another digest: *out is filled then too. */
RESULT image_reference_measure(const char *path, uint32_t mask, struct igvm_measurement *out,
                               struct err *err);

/* True when the file at `path` begins as an IGVM file does; false also when it cannot be read. */
bool image_reference_is_igvm(const char *path);

/* An object with the fields above; the caller owns it. */
json_t *image_reference_make(const struct igvm_measurement *m);
/* GuestPolicy of a POLICY (AMD 56860, table "Guest Policy"); the caller owns it. */
json_t *image_reference_policy(uint64_t policy);
/* A list of sentences on what a user of the digest must know; the caller owns it. */
json_t *image_reference_warnings(const struct igvm_measurement *m);

/* Turns what a parser says of a peer's bytes (MALFORMED: exit 1) into what it means of a file that
 * a person named (INVALID: exit 2), with the path in front. INVALID, DIFFERS and SIGNATURE get the
 * path too; what says where it failed already (IO) stays. */
RESULT image_reference_blame(struct result r, struct err *err, const char *path);

#endif
