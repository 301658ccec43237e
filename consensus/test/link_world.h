/* A world of links for tests: three sides on one loop, real sockets on loopback, and counters of
 * what each was told. Every wait is for an event.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LINK_WORLD_H
#define CONTRAST_LINK_WORLD_H

#include "consensus/link.h"

#define LINK_WORLD_SIDES 3

struct side {
    struct world *world;
    uint64_t id; /* 1 .. LINK_WORLD_SIDES */
    struct key key;
    struct buf certificate, spki;
    struct links *links; /* NULL: not open */
    unsigned ups, downs, gones, frames, refusals;
    enum err_code why; /* of the last refusal */
    uint64_t version;
    struct buf received;
};

struct world {
    uv_loop_t loop;
    struct side sides[LINK_WORLD_SIDES];
    uint64_t handshake_ms, hello_ms, silence_ms; /* of sides that are opened; 0: default */
};

/* Fixture of cmocka: *state is a struct world. */
int link_world_setup(void **state);
int link_world_teardown(void **state);

/* Opens its links, in the cluster whose id begins with this byte. */
void link_world_open(struct side *s, uint8_t cluster);
void link_world_open_in_epoch(struct side *s, uint8_t cluster, uint64_t epoch);
void link_world_close(struct side *s);                      /* accepts one that is not open */
void link_world_know(struct side *a, const struct side *b); /* a pins b */
void link_world_join(struct world *w, struct side *a, struct side *b); /* until both are up */
/* Runs the loop until the counter is at least `value`. */
void link_world_wait(struct world *w, const unsigned *counter, unsigned value);

#endif
