/* Dial: one attested connection to a Coordinator, for commands that do one thing after the other.
 *
 *   dial_open -> (client_judge on dial_client) -> dial_send, dial_wait ... -> dial_close
 *
 * Each connection has an event loop, an ephemeral P-256 key and a self-signed certificate of its
 * own. The calls block, with a bound each: dial_open for DIAL_OPEN_MS, dial_wait for DIAL_WAIT_MS
 * of silence. Frames that arrive early are kept, DIAL_FRAMES_MAX at most. Until the caller has
 * judged the client, nothing that the server said is true.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DIAL_H
#define CONTRAST_DIAL_H

#include "attest/client/client.h"
#include "lib/base/limits.h"

#define DIAL_OPEN_MS 20000 /* connection, handshake, evidence and history */
#define DIAL_WAIT_MS 60000 /* for one reply */
#define DIAL_FRAMES_MAX 8

struct dial_address {
    char text[LIMIT_ADDRESS + 8]; /* as given: "host:port" */
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
};

struct dial_list {
    struct dial_address items[LIMIT_MEMBERS];
    size_t count;
};

/* "host:port[,host:port...]". USAGE quotes the part that is wrong; NULL is "not given". */
RESULT dial_parse(const char *text, struct dial_list *out, struct err *err);

struct dial;

/* Connects, and returns when evidence and history are in hand. UNAVAILABLE, TIMEOUT, TLS and the
 * server's own error, each with the address in front. */
RESULT dial_open(const struct dial_address *address, struct dial **out, struct err *err);
void dial_close(struct dial *d); /* accepts NULL */

struct client *dial_client(struct dial *d); /* NULL when the connection ended */
/* Stays where it is until dial_close, also when the connection ends before. */
const struct client_history *dial_history(const struct dial *d);
const char *dial_text(const struct dial *d); /* the address; lives as long as d */

/* Sends one message and waits until most of it is on its way. */
RESULT dial_send(struct dial *d, uint8_t type, const struct wire_type *wire_type,
                 const void *message, struct err *err);

/* A reply: `body` is borrowed until the next dial_wait. */
struct dial_reply {
    uint8_t type;
    struct span body;
};

/* The next frame that is no API_ERROR; an API_ERROR becomes *err. CLOSED, TIMEOUT and so on when
 * the connection ended: dial_is_lost tells these from an answer of the server. */
RESULT dial_wait(struct dial *d, struct dial_reply *out, struct err *err);
bool dial_is_lost(const struct dial *d);

/* Sends, waits and decodes the one reply of type `want` into *reply; the arena owns its parts. */
struct dial_call {
    uint8_t type;
    const struct wire_type *message_type;
    const void *message;
    uint8_t want;
    const struct wire_type *reply_type;
    void *reply;
};
RESULT dial_ask(struct dial *d, const struct dial_call *call, struct arena *arena, struct err *err);

#endif
