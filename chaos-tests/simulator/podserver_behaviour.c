/* Pod server: the file that says how the security processor behaves; see podserver.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "chaos-tests/simulator/podserver.h"

static RESULT parse_number(const char **at, uint64_t most, char behind, uint64_t *out,
                           struct err *err) {
    char *end = NULL;
    unsigned long long value = strtoull(*at, &end, 10);
    ENSURE(**at >= '0' && **at <= '9' && value <= most && *end == behind, err, CONFIG,
           "want \"LATENCY_MS BUSY_PERCENT REFUSED_PERCENT\", numbers up to %llu here",
           (unsigned long long)most);
    *at = end + 1;
    *out = value;
    return OK;
}

struct result podserver_behaviour_parse(struct span text, struct podserver_behaviour *out,
                                        struct err *err) {
    char copy[PODSERVER_BEHAVIOUR_SIZE + 1] = {0};
    const char *at = copy;
    struct podserver_behaviour b;
    ENSURE(text.size > 0 && text.size < sizeof copy && memchr(text.data, 0, text.size) == NULL, err,
           CONFIG, "want a line of 1 to %zu characters", sizeof copy - 1);
    memcpy(copy, text.data, text.size);
    TRY(parse_number(&at, PODSERVER_LATENCY_MAX_MS, ' ', &b.latency_ms, err));
    TRY(parse_number(&at, 100, ' ', &b.busy_percent, err));
    TRY(parse_number(&at, 100, '\n', &b.refused_percent, err));
    ENSURE(*at == 0, err, CONFIG, "want nothing behind the line");
    *out = b;
    return OK;
}
