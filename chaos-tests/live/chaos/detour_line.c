/* Detour: what becomes of a packet; see detour.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "chaos-tests/live/chaos/detour.h"

#define IP_HEAD_MIN 20
#define IP_PROTOCOL 9
#define IP_FROM 12
#define TCP 6
#define PORTS_SIZE 4

void detour_state_init(struct detour_state *s, const struct detour_line *line, uint64_t now_us) {
    memset(s, 0, sizeof *s);
    s->line = *line;
    s->start_us = s->last_us = s->free_us = now_us;
    s->random = line->seed;
}

/* splitmix64 */
static uint64_t draw(struct detour_state *s) {
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool happens(struct detour_state *s, double probability) {
    return probability > 0 && (double)(draw(s) >> 11) * 0x1p-53 < probability;
}

/* Addresses and ports of a TCP packet in one number that is not 0; 0 for anything else. */
static uint64_t key_of(const uint8_t *packet, size_t size) {
    size_t head = (size_t)(packet[0] & 15) * 4;
    if (packet[IP_PROTOCOL] != TCP || head < IP_HEAD_MIN || size < head + PORTS_SIZE) {
        return 0;
    }
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = IP_FROM; i < IP_HEAD_MIN; i++) {
        h = (h ^ packet[i]) * UINT64_C(0x100000001b3);
    }
    for (size_t i = head; i < head + PORTS_SIZE; i++) {
        h = (h ^ packet[i]) * UINT64_C(0x100000001b3);
    }
    return h | 1;
}

static bool is_swallowed(struct detour_state *s, const uint8_t *packet, size_t size) {
    uint64_t key = s->line.swallow_size > 0 ? key_of(packet, size) : 0;
    if (key == 0) {
        return false;
    }
    struct detour_flow *flow = &s->flows[(key >> 1) % DETOUR_FLOWS];
    if (flow->key != key) {
        *flow = (struct detour_flow){.key = key};
    }
    flow->passed += size;
    return flow->passed > s->line.swallow_size;
}

static uint64_t delay_of(struct detour_state *s) {
    uint64_t delay = s->line.delay_us;
    uint64_t jitter = s->line.jitter_us < delay ? s->line.jitter_us : delay;
    return jitter == 0 ? delay : delay - jitter + draw(s) % (2 * jitter + 1);
}

/* When it leaves: not before the one before it, and not before the line has sent that one. */
static uint64_t due_of(struct detour_state *s, size_t size, uint64_t now_us) {
    uint64_t due = now_us + delay_of(s);
    if (happens(s, s->line.reorder)) {
        return now_us;
    }
    due = due > s->last_us ? due : s->last_us;
    if (s->line.rate_kbit > 0) {
        uint64_t begin = due > s->free_us ? due : s->free_us;
        due = s->free_us = begin + size * 8000 / s->line.rate_kbit;
    }
    s->last_us = due;
    return due;
}

struct detour_fate detour_decide(struct detour_state *s, const uint8_t *packet, size_t size,
                                 uint64_t now_us) {
    struct detour_fate lost = {0};
    if (size < IP_HEAD_MIN || packet[0] >> 4 != 4) {
        return lost;
    }
    if (happens(s, s->line.loss) || is_swallowed(s, packet, size) ||
        s->queued + size > s->line.queue_size) {
        return lost;
    }
    unsigned copies = happens(s, s->line.duplicate) ? 2 : 1;
    return (struct detour_fate){.copies = copies, .due_us = due_of(s, size, now_us)};
}

uint64_t detour_stall_us(const struct detour_state *s, uint64_t now_us) {
    if (s->line.period_us == 0) {
        return 0;
    }
    uint64_t at = (now_us - s->start_us) % s->line.period_us;
    return at < s->line.stall_us ? s->line.stall_us - at : 0;
}
