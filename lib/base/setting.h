/* Settings: values of environment variables, read strictly. Every error is CONFIG and names the
 * variable, what is wanted and what was found.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SETTING_H
#define CONTRAST_SETTING_H

#include "lib/base/bytes.h"

/* Copies a text of 1 to size - 1 bytes and its NUL. */
RESULT setting_text(const char *name, const char *value, char *out, size_t size, struct err *err);

/* Decimal digits alone, least..most. */
RESULT setting_number(const char *name, const char *value, unsigned long least, unsigned long most,
                      unsigned long *out, struct err *err);

/* Comma-separated SHA-256 digests of 64 hexadecimal digits each, at most `limit`; "" is none. */
RESULT setting_digests(const char *name, const char *list, uint8_t (*out)[32], size_t limit,
                       size_t *count, struct err *err);

#endif
