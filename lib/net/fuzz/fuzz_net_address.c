/* Fuzz: any text as "host:port".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = mem_strndup((const char *)data, size);
    char host[LIMIT_ADDRESS + 1] = "";
    uint16_t port = 0;
    struct err err;
    if (is_ok(net_address_parse(text, host, &port, &err))) {
        CHECK(port > 0 && host[0] != '\0' && strlen(host) <= LIMIT_ADDRESS);
    } else {
        CHECK(host[0] == '\0' && port == 0);
    }
    mem_free(text);
    return 0;
}
