/* Retry-After: how long an HTTP server asks to be left alone (RFC 9110 section 10.2.3).
 *
 *   "120"                              seconds
 *   "Sun, 06 Nov 1994 08:49:37 GMT"    or the two older forms of a date (section 5.6.7)
 *
 * Total: every value is a number of milliseconds or MALFORMED. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RETRY_AFTER_H
#define CONTRAST_RETRY_AFTER_H

#include "lib/base/bytes.h"

/* `now_s`: unix seconds that a date is held against. A date that has passed is 0; more than
 * LIMIT_KDS_RETRY_MS is LIMIT_KDS_RETRY_MS. */
RESULT retry_after_parse(struct span value, int64_t now_s, uint64_t *ms, struct err *err);

#endif
