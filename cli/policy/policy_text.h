/* Policy text: the document whose SHA-256 is the HOST_DATA of a pod's attestation report.
 *
 *   rules.rego LF "policy_data := " canonical JSON LF
 *
 * Canonical: sorted keys, one space of indentation, so that the same pod gives the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_TEXT_H
#define CONTRAST_POLICY_TEXT_H

#include "cli/policy/policy_data.h"

/* The rules that are compiled in. */
struct span policy_rules(void);

/* Appends the policy of the pod. INVALID as in policy_data_make, or over LIMIT_POLICY. */
RESULT policy_text_make(const struct workload *w, const struct policy_exceptions *allowed,
                        struct buf *out, struct err *err);

/* Appends the policy that the workload's annotation holds. NOT_FOUND when it has none. */
RESULT policy_text_decode(const struct workload *w, struct buf *out, struct err *err);

#endif
