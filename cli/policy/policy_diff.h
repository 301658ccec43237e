/* What differs between runtime policies, in the words of a pod.
 *
 *   web: container nginx: image changed nginx:1.25 -> nginx:1.27
 *   web: container nginx: +CAP_NET_ADMIN
 *   web: container nginx: env DB_HOST changed "a" -> "b"
 *
 * Documents are paired by kind and name; two lone ones are a pair, whatever their names. Fields
 * that have no words of their own are told as "field a -> b", also those of other tools' policies.
 * Nothing is left out: equal documents and only those give no change. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_DIFF_H
#define CONTRAST_POLICY_DIFF_H

#include "cli/policy/policy_read.h"

/* A new list of {"pod", "container"?, "field", "before"?, "after"?, "text"}. `text` is the whole
 * line; before and after are JSON values. */
json_t *policy_diff(const struct policy_document_list *before,
                    const struct policy_document_list *after);

#endif
