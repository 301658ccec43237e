/* Settings: see setting.h. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/setting.h"

#include <stdlib.h>
#include <string.h>

struct result setting_text(const char *name, const char *value, char *out, size_t size,
                           struct err *err) {
    size_t n = strlen(value);
    ENSURE(n > 0 && n < size, err, CONFIG, "%s: want 1 to %zu bytes, got %zu", name, size - 1, n);
    memcpy(out, value, n + 1);
    return OK;
}

struct result setting_number(const char *name, const char *value, unsigned long least,
                             unsigned long most, unsigned long *out, struct err *err) {
    char *end = NULL;
    unsigned long v = strtoul(value, &end, 10);
    ENSURE(value[0] >= '0' && value[0] <= '9' && *end == 0 && v >= least && v <= most, err, CONFIG,
           "%s: want a number from %lu to %lu, got '%.40s'", name, least, most, value);
    *out = v;
    return OK;
}

struct result setting_digests(const char *name, const char *list, uint8_t (*out)[32], size_t limit,
                              size_t *count, struct err *err) {
    size_t n = 0;
    while (*list != 0) {
        size_t size = strcspn(list, ",");
        ENSURE(n < limit, err, CONFIG, "%s: more than %zu digests", name, limit);
        ENSURE(is_ok(hex_decode(span_of(list, size), out[n], 32, NULL)), err, CONFIG,
               "%s: want 64 hexadecimal digits, got '%.*s'", name, (int)(size < 80 ? size : 80),
               list);
        n++;
        list += size;
        if (*list == ',') {
            list++;
            ENSURE(*list != 0, err, CONFIG, "%s: ends in a comma", name);
        }
    }
    *count = n;
    return OK;
}
