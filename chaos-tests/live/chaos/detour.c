/* Detour: a line between two hosts that is slow, narrow, lossy or stalls, packet by packet.
 *
 *   detour --device NAME --out eth0 [--delay-ms N] [--jitter-ms N] [--loss P] [--reorder P]
 *          [--duplicate P] [--rate-kbit N] [--queue-kb N] [--swallow-kb N]
 *          [--stall-ms N --period-ms N] [--seed N]
 *
 * Makes the device NAME (tun). Packets that are routed into it wait in a queue, and leave through
 * the interface after --out, as they came: open connections go on, addresses stay. One direction;
 * the other one has a detour of its own. For kernels without netem.
 *
 *   delay, jitter   each packet waits delay - jitter to delay + jitter, in the order of arrival
 *   loss, ...       probabilities from 0 to 1; a reordered packet does not wait at all
 *   rate, queue     bits leave at this rate; what finds the queue full is dropped
 *   swallow         of each TCP connection so many bytes pass, what follows disappears
 *   stall, period   in each period nothing leaves for so long; then all that waited
 *
 * Prints "ready" when the device is there, and runs until it is killed; the device goes with it.
 * Bounds: PACKETS_MAX packets and --queue-kb wait, FLOWS_MAX connections are told apart. Exit 2 for
 * wrong options, 1 without the right to make a device. For tests alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "chaos-tests/live/chaos/detour.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

#define PACKET_MAX 2048 /* above the MTU of the device */
#define PACKETS_MAX 8192
#define QUEUE_KB 256
#define BURST 64 /* packets read before what is due is sent */

struct options {
    const char *device;
    const char *out;
    struct detour_line line;
};

struct packet {
    uint64_t due_us;
    uint64_t order; /* of arrival: packets that are due at once leave in it */
    size_t size;
    uint8_t data[];
};

struct detour {
    struct detour_state state;
    int tun;
    int raw;
    struct packet *heap[PACKETS_MAX]; /* earliest first */
    size_t count;
    uint64_t order;
};

static uint64_t now_us(void) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- the queue: a heap by time and order */

static bool is_before(const struct packet *a, const struct packet *b) {
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void swap(struct detour *d, size_t a, size_t b) {
    struct packet *kept = d->heap[a];
    d->heap[a] = d->heap[b];
    d->heap[b] = kept;
}

static void push(struct detour *d, const uint8_t *data, size_t size, uint64_t due_us) {
    if (d->count == PACKETS_MAX) {
        return; /* as a full queue does */
    }
    struct packet *p = mem_alloc(sizeof *p + size);
    *p = (struct packet){.due_us = due_us, .order = d->order++, .size = size};
    memcpy(p->data, data, size);
    d->state.queued += size;
    size_t at = d->count++;
    d->heap[at] = p;
    for (; at > 0 && is_before(d->heap[at], d->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        swap(d, at, (at - 1) / 2);
    }
}

static struct packet *pop(struct detour *d) {
    struct packet *first = d->heap[0];
    d->heap[0] = d->heap[--d->count];
    for (size_t at = 0; 2 * at + 1 < d->count;) {
        size_t child = 2 * at + 1;
        if (child + 1 < d->count && is_before(d->heap[child + 1], d->heap[child])) {
            child++;
        }
        if (!is_before(d->heap[child], d->heap[at])) {
            break;
        }
        swap(d, at, child);
        at = child;
    }
    d->state.queued -= first->size;
    return first;
}

/* --- packets */

static void send_packet(const struct detour *d, const struct packet *p) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, p->data + DETOUR_IP_TO, sizeof to.sin_addr);
    /* a packet that the interface does not take is lost, as on any line */
    ssize_t sent =
        sendto(d->raw, p->data, p->size, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    (void)sent;
}

static void send_due(struct detour *d, uint64_t now) {
    while (d->count > 0 && d->heap[0]->due_us <= now) {
        uint64_t wait = detour_stall_us(&d->state, now);
        if (wait > 0) {
            return;
        }
        struct packet *p = pop(d);
        send_packet(d, p);
        mem_free(p);
    }
}

static void take_packets(struct detour *d, uint64_t now) {
    uint8_t data[PACKET_MAX];
    for (int i = 0; i < BURST; i++) {
        ssize_t size = read(d->tun, data, sizeof data);
        if (size <= 0) {
            return;
        }
        struct detour_fate fate = detour_decide(&d->state, data, (size_t)size, now);
        for (unsigned copy = 0; copy < fate.copies; copy++) {
            push(d, data, (size_t)size, fate.due_us);
        }
    }
}

/* Until the first packet may leave; -1: until one comes. */
static int64_t wait_us(const struct detour *d, uint64_t now) {
    if (d->count == 0) {
        return -1;
    }
    uint64_t stall = detour_stall_us(&d->state, now);
    uint64_t due = d->heap[0]->due_us > now ? d->heap[0]->due_us - now : 0;
    return (int64_t)(stall > due ? stall : due);
}

static RESULT carry(struct detour *d, struct err *err) {
    for (;;) {
        int64_t wait = wait_us(d, now_us());
        struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        struct pollfd ready = {.fd = d->tun, .events = POLLIN};
        int n = ppoll(&ready, 1, wait < 0 ? NULL : &timeout, NULL);
        ENSURE(n >= 0 || errno == EINTR, err, IO, "poll: %s", strerror(errno));
        uint64_t now = now_us();
        take_packets(d, now);
        send_due(d, now);
    }
}

/* --- set-up */

static RESULT copy_name(const char *name, const char *option, char out[IFNAMSIZ], struct err *err) {
    ENSURE(name != NULL && strlen(name) > 0 && strlen(name) < IFNAMSIZ, err, USAGE,
           "%s: want a name of 1 to %d characters", option, IFNAMSIZ - 1);
    memcpy(out, name, strlen(name) + 1);
    return OK;
}

static RESULT open_device(const struct options *o, struct detour *d, struct err *err) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    TRY(copy_name(o->device, "--device", request.ifr_name, err));
    d->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    ENSURE(d->tun >= 0, err, IO, "/dev/net/tun: %s", strerror(errno));
    ENSURE(ioctl(d->tun, TUNSETIFF, &request) == 0, err, IO, "--device %s: %s", o->device,
           strerror(errno));
    return OK;
}

static RESULT open_out(const struct options *o, struct detour *d, struct err *err) {
    char name[IFNAMSIZ];
    TRY(copy_name(o->out, "--out", name, err));
    d->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW); /* with the packets' own head */
    ENSURE(d->raw >= 0, err, IO, "raw socket: %s", strerror(errno));
    ENSURE(setsockopt(d->raw, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) == 0, err,
           IO, "--out %s: %s", name, strerror(errno));
    return OK;
}

/* A number from 0 to `most`. */
static RESULT parse(const char *text, const char *name, double most, double *out, struct err *err) {
    char *end = NULL;
    double value = strtod(text, &end);
    ENSURE(text[0] >= '0' && text[0] <= '9' && *end == 0 && value <= most, err, USAGE,
           "--%s %.40s: want a number from 0 to %.0f", name, text, most);
    *out = value;
    return OK;
}

static RESULT parse_options(int argc, char **argv, struct options *out, struct err *err) {
    static const struct option table[] = {
        {"delay-ms", 1, NULL, 0},  {"jitter-ms", 1, NULL, 1},  {"loss", 1, NULL, 2},
        {"reorder", 1, NULL, 3},   {"duplicate", 1, NULL, 4},  {"rate-kbit", 1, NULL, 5},
        {"queue-kb", 1, NULL, 6},  {"swallow-kb", 1, NULL, 7}, {"stall-ms", 1, NULL, 8},
        {"period-ms", 1, NULL, 9}, {"seed", 1, NULL, 10},      {"device", 1, NULL, 11},
        {"out", 1, NULL, 12},      {NULL, 0, NULL, 0}};
    static const double most[] = {60000, 60000, 1, 1, 1, 1e7, 1e5, 1e6, 60000, 60000, 4294967295.0};
    double values[sizeof most / sizeof most[0]] = {[6] = QUEUE_KB};
    int index = 0;
    opterr = 0;
    for (int c = getopt_long(argc, argv, "", table, &index); c != -1;
         c = getopt_long(argc, argv, "", table, &index)) {
        ENSURE(c != '?', err, USAGE, "'%s' is unknown or lacks its value", argv[optind - 1]);
        if (c == 11) {
            out->device = optarg;
        } else if (c == 12) {
            out->out = optarg;
        } else {
            TRY(parse(optarg, table[c].name, most[c], &values[c], err));
        }
    }
    ENSURE(optind == argc, err, USAGE, "'%s' is no option", argv[optind]);
    ENSURE(values[8] <= values[9], err, USAGE, "--stall-ms must not be above --period-ms");
    out->line = (struct detour_line){.delay_us = (uint64_t)(values[0] * 1000),
                                     .jitter_us = (uint64_t)(values[1] * 1000),
                                     .loss = values[2],
                                     .reorder = values[3],
                                     .duplicate = values[4],
                                     .rate_kbit = (uint64_t)values[5],
                                     .queue_size = (uint64_t)(values[6] * 1024),
                                     .swallow_size = (uint64_t)(values[7] * 1024),
                                     .stall_us = (uint64_t)(values[8] * 1000),
                                     .period_us = (uint64_t)(values[9] * 1000),
                                     .seed = (uint64_t)values[10]};
    return OK;
}

static RESULT run(int argc, char **argv, struct detour *d, struct err *err) {
    struct options o = {0};
    TRY(parse_options(argc, argv, &o, err));
    detour_state_init(&d->state, &o.line, now_us());
    TRY(open_device(&o, d, err));
    TRY(open_out(&o, d, err));
    puts("ready");
    fflush(stdout);
    return carry(d, err);
}

int main(int argc, char **argv) {
    struct err err = {0};
    struct detour *d = mem_zalloc(sizeof *d);
    struct result r = run(argc, argv, d, &err);
    fprintf(stderr, "detour: %s\n", err.text);
    mem_free(d);
    return err_exit_code(r.code);
}
