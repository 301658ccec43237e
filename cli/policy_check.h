/* Asks a policy what it says to requests, by the agent's own engine.
 *
 * The engine is in a program of its own, contrast-policy-judge (cli/policy/judge): it is looked for
 * in $CONTRAST_POLICY_JUDGE, beside this program, and in $PATH, in this order. It gets policy and
 * cases on its standard input and answers a line of JSON for each case. Its errors go to stderr.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_CHECK_H
#define CONTRAST_POLICY_CHECK_H

#include <jansson.h>

#include "lib/base/bytes.h"

/* The same rules with "partial" in their data: they take requests that leave out what containerd
 * always sends. Appends to `out`. INVALID for a policy without policy_data. */
RESULT policy_check_partial(struct span rego, struct buf *out, struct err *err);

/* Judges the cases (policy_cases.h) in their order; state carries over. *out: {"cases":
 * [{"description", "kind", "allowed", "expected", "why"}], "passed", "failed"}; `why` only where
 * denied. UNAVAILABLE without the judge, INVALID when it refuses the policy, TIMEOUT. */
RESULT policy_check_ask(struct span rego, const json_t *cases, json_t **out, struct err *err);

#endif
