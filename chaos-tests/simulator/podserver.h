/* Pod server: the simulated machine at work: launches pods, signs their reports, derives their
 * keys.
 *
 *   control socket S      one connection per pod; the pod lives as long as the connection
 *     launch  "SNPL"  u32 version 1    host_data[32]
 *                     measurement[48] (zeros: the machine's)   u64 guest policy (0: the machine's)
 *     answer  "SNPP"  u32 status (0 ok, 2 refused)    after 0: u32 size, path of the pod's socket
 *   pod socket S.pod-<16 hex>      reports and keys of this pod alone, protocol of attest/issuer.h
 *
 * Integers big-endian. One libuv loop. One security processor: requests of all pods queue and are
 * served one at a time, each after the latency of the options, while the sockets stay responsive; a
 * part of the requests can be answered busy at once, as a throttling host does. Whoever breaks the
 * protocol is answered "refused", or cut off when it sends out of turn. From SIGUSR1 to SIGUSR2 all
 * are busy; at SIGHUP it takes the behaviour from a file. SIGTERM and SIGINT end the server and
 * remove its sockets; sockets that a killed server left behind are replaced.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PODSERVER_H
#define CONTRAST_PODSERVER_H

#include "chaos-tests/simulator/machine.h"

#define PODSERVER_LAUNCH_MAGIC "SNPL"
#define PODSERVER_POD_MAGIC "SNPP"
#define PODSERVER_MAGIC_SIZE 4
#define PODSERVER_VERSION 1
#define PODSERVER_LAUNCH_MEASUREMENT (PODSERVER_MAGIC_SIZE + 4 + MACHINE_HOST_DATA_SIZE)
#define PODSERVER_LAUNCH_POLICY (PODSERVER_LAUNCH_MEASUREMENT + MACHINE_MEASUREMENT_SIZE)
#define PODSERVER_LAUNCH_SIZE (PODSERVER_LAUNCH_POLICY + 8) /* bytes */
#define PODSERVER_STATUS_OK 0
#define PODSERVER_STATUS_REFUSED 2

#define PODSERVER_LATENCY_MAX_MS 60000
#define PODSERVER_BEHAVIOUR_SIZE 64 /* bytes of its file */
#define PODSERVER_LINKS_MAX 512     /* open connections; the rest is closed at once */
#define PODSERVER_PODS_MAX 256
#define PODSERVER_QUEUE_MAX 1024 /* requests at the processor; the rest is answered busy */

/* How the security processor behaves. */
struct podserver_behaviour {
    uint64_t latency_ms;      /* of one report or key, 0..PODSERVER_LATENCY_MAX_MS */
    uint64_t busy_percent;    /* 0..100 of the requests are answered busy */
    uint64_t refused_percent; /* 0..100 of the others are refused, and the connection closed */
};

/* Reads "LATENCY_MS BUSY_PERCENT REFUSED_PERCENT\n". CONFIG says what does not fit. */
RESULT podserver_behaviour_parse(struct span text, struct podserver_behaviour *out,
                                 struct err *err);

struct podserver_options {
    const char *socket;                   /* path of the control socket */
    const char *settings;                 /* file that is read at SIGHUP; see podserver_behaviour */
    struct podserver_behaviour behaviour; /* at the start */
    bool no_certificates;                 /* the host hands out an empty certificate table */
};

/* Serves until a signal. Prints "listening on SOCKET" on stdout once connections are taken. CONFIG
 * when the socket cannot be made, EXISTS when another server answers on it. */
RESULT podserver_run(const struct machine *machine, const struct podserver_options *options,
                     struct err *err);

#endif
