/* Pair: two TLS engines in memory with a connection between them, for tests of sessions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PAIR_H
#define CONTRAST_PAIR_H

#include "attest/leaf.h"
#include "lib/crypto/key.h"
#include "lib/tls/tls.h"

/* Who may stand at an end: a fresh key, and what it needs to be client or server. */
struct pair_end {
    struct key key;
    struct buf spki;
    struct tls_context *client;
    struct tls_context *server;
};

/* A connection that is ready. */
struct pair {
    struct tls *client;
    struct tls *server;
    struct attest_channel client_channel;
    struct attest_channel server_channel;
};

/* Both fail the running test when TLS does; deinit frees what init made. */
void pair_end_init(struct pair_end *e);
void pair_end_deinit(struct pair_end *e);

/* Connects; the ends must outlive the pair. */
void pair_init(struct pair *l, struct pair_end *client, struct pair_end *server);
void pair_deinit(struct pair *l);

#endif
