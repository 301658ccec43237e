/* Room issuer: the driver behind "unix:" of attest/issuer.h, played by the machine room. It stands
 * in the place of attest/issuer_socket.c; issuer.c above it is the product's.
 *
 *   open("/room/N") -> pod N        fetch, derive -> latency -> as the host's port is set then
 *
 * BUSY, UNAVAILABLE and LOST as the port's mode says. A silent port keeps its caller until the mode
 * changes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/issuer.h"

#include "chaos-tests/played/machine_room.h"
#include "chaos-tests/played/room_wait.h"
#include "lib/base/mem.h"

/* As with a socket, whether anybody is there shows at the first request. */
static RESULT open_pod(const char *rest, void **state, struct err *err) {
    (void)err;
    *state = mem_strdup(rest);
    return OK;
}

static RESULT find_pod(const char *path, struct room_pod **out, struct err *err) {
    struct machine_room *room = machine_room__current();
    struct room_pod *pod = room == NULL ? NULL : machine_room__pod(room, path);
    ENSURE(pod != NULL, err, UNAVAILABLE, "%s: no such pod in the machine room", path);
    *out = pod;
    return OK;
}

static bool is_talking(void *data) {
    const struct room_port *port = data;
    return port->mode != ROOM_PORT_SILENT;
}

/* Time passes; then what the host says to every request. */
static RESULT ask_port(struct room_port *port, struct err *err) {
    port->requests++;
    room_wait(port->latency_ms, NULL, NULL);
    room_wait(ROOM_WAIT_FOREVER, is_talking, port);
    ENSURE(port->mode != ROOM_PORT_BUSY, err, BUSY, "the host throttles requests");
    ENSURE(port->mode != ROOM_PORT_REFUSES, err, UNAVAILABLE, "the host refused the request");
    ENSURE(port->mode != ROOM_PORT_LOST, err, LOST, ISSUER_LOST_TEXT);
    return OK;
}

static RESULT fetch(void *state, const uint8_t report_data[ISSUER_DATA_SIZE], struct buf *report,
                    struct buf *table, struct err *err) {
    struct room_pod *pod = NULL;
    TRY(find_pod(state, &pod, err));
    TRY(ask_port(machine_room__port_of(pod), err));
    return machine_room__make(pod, report_data, report, table, err);
}

static RESULT derive(void *state, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
                     uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct err *err) {
    struct room_pod *pod = NULL;
    TRY(find_pod(state, &pod, err));
    TRY(ask_port(machine_room__port_of(pod), err));
    machine_room__derive(pod, request, response);
    return OK;
}

static void close_pod(void *state) {
    mem_free(state);
}

const struct issuer_driver issuer_socket = {.prefix = "unix:",
                                            .usage = "unix:/room/N (of the machine room)",
                                            .open = open_pod,
                                            .fetch = fetch,
                                            .derive = derive,
                                            .close = close_pod};
