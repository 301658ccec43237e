/* Cases: requests to be judged, from a file.
 *
 *   [{"description": "...", "kind": "CopyFileRequest", "request": {...}, "allowed": true}, ...]
 *   {"cases": [...]}, or one case alone
 *   a request in each line, as agents log them at level debug:
 *       {"kind":"CopyFileRequest","request":{...}}     /tmp/policy.jsonl
 *       ["ep":"CopyFileRequest",{...}],                older agents, /tmp/policy.txt
 *
 * "description" and "allowed" (what is expected) may be absent. INVALID names the case or line.
 * Sources: kata-containers, src/agent/policy/src/policy.rs; genpolicy's testcases.json. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_CASES_H
#define CONTRAST_POLICY_CASES_H

#include <jansson.h>

#include "lib/base/bytes.h"

/* A new reference to a list of at least one checked case in *out; `name` stands in errors. */
RESULT policy_cases_read(const char *name, struct span text, json_t **out, struct err *err);

#endif
