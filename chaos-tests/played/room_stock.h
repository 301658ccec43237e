/* Room stock: machines of simulated hosts with their certificates, and revocation lists, made once
 * a program and the same in every run.
 *
 *   room_stock_machine(host, kind)    -> chip, TCB, VCEK, ASK, ARK
 *   room_stock_list(product, number)  -> a list of the genuine root, or of the rogue one
 *
 * Making one costs some milliseconds of RSA-4096: call from outside of simulated processes. What is
 * returned lives as long as the program. For one thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ROOM_STOCK_H
#define CONTRAST_ROOM_STOCK_H

#include "chaos-tests/simulator/machine.h"

#define ROOM_STOCK_HOSTS 16
#define ROOM_STOCK_BORN_S INT64_C(1767312000) /* 2026-01-02: certificates are a day older */

enum room_machine {
    ROOM_GENUINE,  /* the host's own */
    ROOM_OLD_TCB,  /* the same chip before an update: below every reference value */
    ROOM_UNLISTED, /* of the same root, but on no list of chips */
    ROOM_ROGUE,    /* below a root that nobody permits, with the genuine one's chip id */
    ROOM_MACHINES
};

/* Even hosts are Milan, odd ones Genoa. */
enum snp_product room_stock_product(unsigned host);
const struct machine *room_stock_machine(unsigned host, enum room_machine kind);

/* SHA-256 of the root key's SubjectPublicKeyInfo: the same for both products. */
void room_stock_root(bool is_rogue, uint8_t out[32]);

/* A list of number 1..ROOM_STOCK_LISTS, out as many weeks after ROOM_STOCK_BORN_S and due to be
 * followed after a year; revokes the product's ASK when `revokes`. */
#define ROOM_STOCK_LISTS 4
struct span room_stock_list(enum snp_product product, unsigned number, bool is_rogue, bool revokes);

#endif
