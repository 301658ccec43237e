/* Secrets of the simulation: lib/base/secret.h over plain memory, wiped.
 *
 * The product's own maps and locks pages for each secret, and every replica holds some: one tenth
 * of a run's time went into that. Linked in place of lib/base/secret.c.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/secret.h"

#include "chaos-tests/sim/sim.h"
#include "lib/base/mem.h"

struct secret {
    size_t size;
    uint8_t data[];
};

void sim_secret_link(void) {
}

struct secret *secret_new(size_t size) {
    CHECK(size > 0 && size < SIZE_MAX / 2);
    struct secret *s = mem_zalloc(sizeof *s + size);
    s->size = size;
    return s;
}

void secret_free(struct secret *s) {
    if (s != NULL) {
        mem_free_wiped(s, sizeof *s + s->size);
    }
}

uint8_t *secret_data(struct secret *s) {
    return s->data;
}

struct span secret_span(const struct secret *s) {
    return span_of(s->data, s->size);
}

bool secret_equal(const struct secret *a, const struct secret *b) {
    return span_equal_ct(secret_span(a), secret_span(b));
}
