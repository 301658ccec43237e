/* Asker: see asker.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/asker.h"

#include <string.h>

#include <uv.h>

#include "lib/net/net.h"

#define NETWORK_SIZE 8 /* a /64 */

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void asker_parse(const char *peer, uint8_t out[ENDORSER_SOURCE_SIZE]) {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port = 0;
    uint8_t v4[4];
    uint8_t v6[ENDORSER_SOURCE_SIZE];
    memset(out, 0, ENDORSER_SOURCE_SIZE);
    if (!is_ok(net_address_parse(peer, host, &port, NULL))) {
        return;
    }
    if (uv_inet_pton(AF_INET, host, v4) == 0) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + sizeof mapped, v4, sizeof v4);
    } else if (uv_inet_pton(AF_INET6, host, v6) == 0) {
        bool is_mapped = memcmp(v6, mapped, sizeof mapped) == 0;
        memcpy(out, v6, is_mapped ? sizeof v6 : NETWORK_SIZE);
    }
}
