/* Fuzz: the file that says how the simulated security processor behaves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/podserver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct podserver_behaviour b;
    struct err err = {0};
    if (is_ok(podserver_behaviour_parse(span_of(data, size), &b, &err))) {
        CHECK(b.latency_ms <= PODSERVER_LATENCY_MAX_MS);
        CHECK(b.busy_percent <= 100 && b.refused_percent <= 100);
    }
    return 0;
}
