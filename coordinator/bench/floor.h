/* Floor: what the cryptography under one certificate costs a core, measured beside the load.
 *
 * A session that does nothing but its handshake and the two signatures of its reports needs one
 * handshake (both ends, mutual, P-256) and two P-384 verifications. The rate of that on one core is
 * the floor that the certificates per second stand beside. Everything runs in this thread over
 * memory, with the project's own TLS and keys; times are processor time, so a busy machine hardly
 * changes them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FLOOR_H
#define CONTRAST_FLOOR_H

#include "lib/base/err.h"

#include <stdint.h>

/* Processor nanoseconds of one operation, the median of all that fit the time. */
struct floor_cost {
    uint64_t handshake_ns; /* both ends of one mutual TLS 1.3 handshake */
    uint64_t verify_ns;    /* one P-384 signature */
    uint64_t sign_ns;
};

/* Measures each for `ms` milliseconds. Errors are those of OpenSSL. */
RESULT floor_measure(uint64_t ms, struct floor_cost *out, struct err *err);

/* Sessions a second of one core: 1 / (handshake + 2 verifications). */
double floor_sessions(const struct floor_cost *cost);

#endif
