/* Secrets: fixed-size key material in locked memory, wiped in free, without copy or formatter.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SECRET_H
#define CONTRAST_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bytes.h"

struct secret; /* owned by whoever called secret_new */

/* `size` bytes, zeroed, locked against swap and left out of core files where the system allows. */
struct secret *secret_new(size_t size);
void secret_free(struct secret *s); /* accepts NULL */
uint8_t *secret_data(struct secret *s);
struct span secret_span(const struct secret *s);
/* Constant time. */
bool secret_equal(const struct secret *a, const struct secret *b);

#endif
