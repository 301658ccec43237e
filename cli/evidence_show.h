/* Evidence shown: what is in an evidence file, as one JSON document and as text.
 *
 *   report, HCL blob   {"kind", "report": {...}, "format": null | why parse refuses it,
 *                       "runtime": {...} for a blob}
 *   certificate, PEM   {"kind", "certificates": [...], "crls": [...]}
 *   revocation list    {"kind", "crl": {...}}
 *   certificate table  {"kind", "entries": [{"guid", "name", "offset", "size", "certificate" |
 *                       "crl" | "sha256", "error" for what cannot be read}]}
 *
 * Nothing is judged.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_EVIDENCE_SHOW_H
#define CONTRAST_EVIDENCE_SHOW_H

#include <jansson.h>

#include "cli/evidence_file.h"

/* The caller owns *out. INVALID says what the file is instead. */
RESULT evidence_show_json(const struct evidence_file *file, json_t **out, struct err *err);

/* The document as lines for a person, appended to `out`. */
void evidence_show_text(json_t *document, struct buf *out);

#endif
