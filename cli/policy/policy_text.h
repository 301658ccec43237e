/* Policy text: the document whose SHA-256 is the HOST_DATA of a pod's attestation report.
 *
 *   profile "annotation": rules, LF, "policy_data := ", canonical JSON, LF
 *   profile "initdata":   a TOML document with that text as "policy.rego" (policy_initdata.h)
 *
 * Canonical: sorted keys, sets sorted, one value per line, one space of indentation, lines of at
 * most LIMIT_POLICY_LINE bytes: the same pod gives the same bytes. The workload says the profile.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_TEXT_H
#define CONTRAST_POLICY_TEXT_H

#include "cli/policy/policy_data.h"

/* The rules that are compiled in, by profile: of the annotation, of initdata. */
struct span policy_rules(void);
struct span policy_rules_initdata(void);

/* Appends the document. INVALID as in policy_data_make, for a document over LIMIT_POLICY, a line or
 * nesting that agents refuse, and annotations over LIMIT_POD_ANNOTATIONS in all. */
RESULT policy_text_make(const struct workload *w, const struct policy_inputs *inputs,
                        struct buf *out, struct err *err);

/* Appends what the annotation w->policy_key is to hold, for a document of policy_text_make. */
void policy_text_encode(const struct workload *w, struct span document, struct buf *out);

/* Whether a document (decoded) is one of ours, of either profile and any version: its rules begin
 * with the line POLICY_TEXT_FIRST_LINE. */
#define POLICY_TEXT_FIRST_LINE "# contrast-ha runtime policy\n"
bool policy_text_is_ours(struct span document);

/* Appends the document that the workload's annotation holds. NOT_FOUND when it has none. */
RESULT policy_text_decode(const struct workload *w, struct buf *out, struct err *err);

#endif
