/* Fuzz: packets of any content on a line with every fault. The fate stays within its bounds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

#include "chaos-tests/live/chaos/detour.h"
#include "lib/base/err.h"

#define NOW 1000000
#define PACKET 60

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct detour_state state;
    struct detour_line line = {.delay_us = 1000,
                               .jitter_us = 500,
                               .loss = 0.1,
                               .reorder = 0.1,
                               .duplicate = 0.1,
                               .rate_kbit = 1000,
                               .queue_size = 1 << 16,
                               .swallow_size = 200,
                               .stall_us = 10,
                               .period_us = 100};
    detour_state_init(&state, &line, NOW);
    for (size_t at = 0; at < size; at += PACKET) {
        size_t part = size - at < PACKET ? size - at : PACKET;
        struct detour_fate fate = detour_decide(&state, data + at, part, NOW + at);
        CHECK(fate.copies <= 2);
        CHECK(fate.copies == 0 || fate.due_us >= NOW + at);
        CHECK(detour_stall_us(&state, NOW + at) <= line.stall_us);
    }
    return 0;
}
