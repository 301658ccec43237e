/* The TOML of initdata, as any tool writes it: what is needed of it, and no more.
 *
 * Statements of TOML 1.0 at the top and in [data], with strings of all four kinds as values. Other
 * values, dotted keys and other tables are refused: initdata has none of them (Confidential
 * Containers, "Initdata Specification"). Pure; MALFORMED with the line.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POLICY_TOML_H
#define CONTRAST_POLICY_TOML_H

#include "lib/base/bytes.h"

enum policy_toml_digest { POLICY_TOML_SHA256, POLICY_TOML_SHA384, POLICY_TOML_SHA512 };

/* Whether its first statement is one of initdata: a quick look, no check. */
bool policy_toml_is(struct span text);

/* Appends data."policy.rego" to `rego`; `digest` by "algorithm", spelled with or without "-". */
RESULT policy_toml_read(struct span text, enum policy_toml_digest *digest, struct buf *rego,
                        struct err *err);

#endif
