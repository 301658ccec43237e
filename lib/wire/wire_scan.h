/* Scan: a look at msgpack bytes that allocates nothing, before anything is allocated for them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_WIRE_SCAN_H
#define CONTRAST_WIRE_SCAN_H

#include "lib/base/bytes.h"

/* OK if `bytes` is exactly one msgpack value of the kinds that messages use (unsigned integer,
 * boolean, str, bin, array), whole, nested at most LIMIT_WIRE_DEPTH deep; so no array has more
 * elements than there are bytes. MALFORMED names the offset. */
RESULT wire_scan_check(struct span bytes, struct err *err);

/* UTF-8 (RFC 3629: shortest form, no surrogates, at most U+10FFFF) without NUL. */
bool wire_text_is_valid(struct span text);

#endif
