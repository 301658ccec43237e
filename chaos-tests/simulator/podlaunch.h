/* Pod launch: starts a program as the process of a simulated pod.
 *
 * Reads the pod's YAML, hashes its policy into HOST_DATA, has the server launch the guest, and
 * replaces itself by the program with CONTRAST_SNP_SOCKET = path of the pod's socket. The control
 * connection stays open in the program as an inherited descriptor: the pod ends with the last
 * process that holds it. Nothing else of the YAML is applied.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PODLAUNCH_H
#define CONTRAST_PODLAUNCH_H

#include "lib/base/err.h"

#define PODLAUNCH_ENVIRONMENT "CONTRAST_SNP_SOCKET"

struct podlaunch_options {
    const char *socket;         /* of the server */
    const char *pod_file;       /* YAML */
    const char *name;           /* metadata.name of the workload; NULL when the file has one */
    char **program;             /* argv of the program, NULL-terminated */
    const uint8_t *measurement; /* MACHINE_MEASUREMENT_SIZE bytes, or NULL: the machine's */
    uint64_t guest_policy;      /* AMD 56860 table 10, or 0: the machine's */
};

/* Returns only on failure. INVALID and CONFIG for the file and the program, UNAVAILABLE for the
 * server, MALFORMED for an answer that is none. */
RESULT podlaunch_exec(const struct podlaunch_options *options, struct err *err);

#endif
