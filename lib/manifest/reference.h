/* Reference values: what a manifest says about the machines and guests that it trusts
 * ("ReferenceValues" in docs/manifest.md). Used by the manifest parser alone.
 *
 * Read by tables of fields (reader.h); then each set is held against itself: what no report can
 * satisfy is a problem, too, and not a set that denies for ever.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REFERENCE_H
#define CONTRAST_REFERENCE_H

#include "lib/manifest/manifest.h"
#include "lib/manifest/reader.h"

/* Fills references and reference_count of the struct manifest behind `target`; a field's `read`. */
void reference_read(struct reader *r, const json_t *value, void *target);

#endif
