/* The unit that runs containerd: since when it runs, and how it is restarted.
 *
 *   systemd over D-Bus:  HOST/run/systemd/private, else HOST/run/dbus/system_bus_socket
 *   else                 NODE_COMMAND systemctl restart UNIT   ("nsenter --target 1 --mount --")
 *   RESTART_COMMAND      in place of all of this
 *
 * Of several units (k3s.service, k3s-agent.service) the one that is loaded and active counts.
 * Source: org.freedesktop.systemd1(5): Manager.GetUnit, .RestartUnit, .Subscribe, JobRemoved,
 * Unit.ActiveState, .ActiveEnterTimestamp (microseconds since 1970).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_SERVICE_H
#define CONTRAST_NODE_SERVICE_H

#include <signal.h>

#include "installer/node_root.h"

#define NODE_UNITS_MAX 8

struct node_service_config {
    const struct node_root *root;      /* for the sockets of systemd and D-Bus */
    const char *units[NODE_UNITS_MAX]; /* in order of preference; NULL behind the last */
    const char *node_command;          /* prefix for programs of the host; "" = none */
    const char *restart_command;       /* NULL = none; run by /bin/sh -c */
    unsigned timeout_ms;               /* for each call and each program */
};

struct node_service {
    char unit[128];      /* chosen; "" when nobody could say */
    uint64_t started_ns; /* since 1970; 0 = unknown */
};

/* What runs. Nobody to ask is no error: an empty answer. */
RESULT node_service_look(const struct node_service_config *config, struct node_service *out,
                         struct err *err);

/* Restarts, and returns when that is done. The error says what was tried and what each said.
 * UNAVAILABLE, TIMEOUT, NOT_FOUND (no such unit). `stop` may be NULL. */
RESULT node_service_restart(const struct node_service_config *config,
                            const struct node_service *service, const volatile sig_atomic_t *stop,
                            struct err *err);

#endif
