/* Resource text: Kubernetes YAML that a command prints, or the same as JSON.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESOURCE_TEXT_H
#define CONTRAST_RESOURCE_TEXT_H

#include "cli/cli.h"

/* Prints `yaml` (one or more documents, our own) as it is; with --output json as one
 * {"apiVersion": "v1", "kind": "List", "items": [...]}, which kubectl takes as well. */
RESULT resource_text_print(struct cli *cli, struct span yaml, struct err *err);

/* RFC 1123 label (`is_label`) or subdomain: names of namespaces, runtime classes. USAGE names the
 * option. */
RESULT resource_text_check_name(const char *option, const char *name, bool is_label,
                                struct err *err);
/* An image reference as one YAML plain scalar: no blank, no quote. USAGE names the option. */
RESULT resource_text_check_image(const char *option, const char *image, struct err *err);

#endif
