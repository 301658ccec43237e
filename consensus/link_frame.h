/* Link frames: HELLO, and which frame may come when.
 *
 *   HELLO ──> PING, and frames of the links' user, in any order
 *
 * Everything that is judged about a frame of a peer before its user sees it. Total: any bytes give
 * OK or an error of class PEER.
 *
 * Pure: no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LINK_FRAME_H
#define CONTRAST_LINK_FRAME_H

#include "lib/base/limits.h"
#include "lib/wire/wire.h"

#define LINK_FRAME_HELLO 1
#define LINK_FRAME_PING 2        /* no body */
#define LINK_FRAME_USER_FIRST 16 /* smaller types are the links' own */
#define LINK_IDENTITY_SIZE 32

struct link_hello {
    uint8_t identity[LINK_IDENTITY_SIZE]; /* of the cluster in its epoch */
    uint64_t id;                          /* the sender's */
    uint64_t connection;                  /* its number, counted by the dialer */
    uint64_t version;                     /* the highest entry version that the sender knows */
};
extern const struct wire_type link_hello_type;

/* SHA-256("contrast-link-v1\0" || cluster || epoch u64be). */
void link_frame_identity(const uint8_t cluster[LINK_IDENTITY_SIZE], uint64_t epoch,
                         uint8_t out[LINK_IDENTITY_SIZE]);

/* Whether this frame may come now: HELLO first and once, then no unknown type of ours. PROTOCOL;
 * MALFORMED for a PING with a body. */
RESULT link_frame_check(const struct frame *frame, bool is_up, struct err *err);

/* MALFORMED or TOO_LARGE. */
RESULT link_frame_parse_hello(struct span body, struct link_hello *out, struct err *err);

/* What the HELLO of one peer must say. */
struct link_expected {
    const uint8_t *identity; /* LINK_IDENTITY_SIZE bytes */
    uint64_t id;             /* of the peer's key */
    uint64_t connection;     /* the one dialed; else the newest that the peer has dialed */
    bool is_dialer;
};
/* DENIED: another cluster, epoch or id. PROTOCOL: an old connection. */
RESULT link_frame_check_hello(const struct link_hello *hello, const struct link_expected *want,
                              struct err *err);

#endif
