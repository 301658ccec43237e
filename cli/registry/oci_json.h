/* JSON of registries: strict reading for the parsers of this folder.
 *
 * Duplicate keys, text that is no UTF-8, NUL and more than LIMIT_REGISTRY_ITEMS values are refused
 * before anything is looked at. The errors are MALFORMED and name the key.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_OCI_JSON_H
#define CONTRAST_OCI_JSON_H

#include <jansson.h>

#include "lib/base/bytes.h"

/* An object of at most `limit` bytes; `what` names it in errors. The caller owns *out. */
RESULT oci_json_parse(struct span text, size_t limit, const char *what, json_t **out,
                      struct err *err);
void oci_json_free(json_t **root); /* for AUTO */

/* The text at `key`; *out is borrowed, NULL when the key is absent or null. */
RESULT oci_json_text(const json_t *object, const char *key, const char **out, struct err *err);

#endif
