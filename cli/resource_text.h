/* Resource text: Kubernetes YAML that a command prints, or the same as JSON.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RESOURCE_TEXT_H
#define CONTRAST_RESOURCE_TEXT_H

#include "cli/cli.h"
#include "lib/base/mem.h"

/* Prints `yaml` (one or more documents, our own) as it is; with --output json as one
 * {"apiVersion": "v1", "kind": "List", "items": [...]}, which kubectl takes as well. */
RESULT resource_text_print(struct cli *cli, struct span yaml, struct err *err);

/* RFC 1123 label (`is_label`) or subdomain: names of namespaces, runtime classes. USAGE names the
 * option. */
RESULT resource_text_check_name(const char *option, const char *name, bool is_label,
                                struct err *err);
/* "KEY=VALUE", a label as Kubernetes has it: KEY is a name of at most 63 bytes, or a subdomain, a
 * slash and such a name; VALUE is empty or like a name. USAGE names the option. */
RESULT resource_text_check_label(const char *option, const char *text, struct err *err);
/* An image reference: no blank, no quote. USAGE names the option. */
RESULT resource_text_check_image(const char *option, const char *image, struct err *err);

/* A checked name or image as a YAML scalar: "shop" as it is, "123" in quotes. Lives in the arena.
 */
const char *resource_text_scalar(struct arena *arena, const char *text);

#endif
