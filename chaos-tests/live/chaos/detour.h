/* Detour: what becomes of a packet on a bad line. Pure: time comes in, chance comes from the seed.
 * detour.c carries the packets.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DETOUR_H
#define CONTRAST_DETOUR_H

#include <stddef.h>
#include <stdint.h>

#define DETOUR_IP_TO 16 /* offset of the destination in an IPv4 head (RFC 791 section 3.1) */
#define DETOUR_FLOWS                                                                               \
    4096 /* connections that are told apart; a newer one takes an older one's place */

/* A line; zero: this does not happen. */
struct detour_line {
    uint64_t delay_us;
    uint64_t jitter_us;
    double loss; /* this and the two below: 0 to 1 */
    double reorder;
    double duplicate;
    uint64_t rate_kbit;
    uint64_t queue_size;   /* bytes that may wait */
    uint64_t swallow_size; /* bytes of each TCP connection that pass */
    uint64_t stall_us;     /* of each period_us */
    uint64_t period_us;
    uint64_t seed;
};

struct detour_flow {
    uint64_t key; /* 0: free */
    uint64_t passed;
};

struct detour_state {
    struct detour_line line;
    uint64_t start_us;
    uint64_t last_us; /* when the packet before is due */
    uint64_t free_us; /* when the line has sent what it took */
    uint64_t random;
    size_t queued; /* bytes; kept by whoever queues */
    struct detour_flow flows[DETOUR_FLOWS];
};

struct detour_fate {
    unsigned copies; /* 0: lost; 2: it comes twice */
    uint64_t due_us;
};

void detour_state_init(struct detour_state *s, const struct detour_line *line, uint64_t now_us);

/* What becomes of an IPv4 packet that comes now. Anything that is none is lost. */
struct detour_fate detour_decide(struct detour_state *s, const uint8_t *packet, size_t size,
                                 uint64_t now_us);

/* How long nothing leaves from now on; 0: the line is not stalled. */
uint64_t detour_stall_us(const struct detour_state *s, uint64_t now_us);

#endif
