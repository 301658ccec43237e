/* Reference values from files: JSON lists of sets, and images whose values are computed.
 *
 *   JSON set with TrustedMeasurement       taken as it is
 *   JSON set without it, times each image  a set: the image's fields (image_reference.h) where the
 *                                          JSON has none, ProductName and MinimumTCB from the JSON
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_REFERENCES_H
#define CONTRAST_GEN_REFERENCES_H

#include <jansson.h>

#include "cli/cli.h"

/* Appends the sets of all files to `list`. INVALID (exit 2) with the path for a file that is
 * neither a list of objects nor an IGVM file, for an image without a set to complete, and for an
 * image that no manifest accepts; DIFFERS (exit 3) for one whose ID block is another image's. The
 * fields themselves are judged with the whole manifest. `list` is unspecified on failure. */
RESULT gen_references_read(json_t *list, const struct cli_list *paths, struct err *err);

#endif
