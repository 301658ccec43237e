/* Settings: what the installer's environment and its two ConfigMaps say about this node.
 *
 * Environment variables (see --help for the defaults): HOST_MOUNT, CONFIG_DIR, TARGET_CONFIG_DIR,
 * NODE_COMMAND, RESTART_COMMAND, CRI_SOCKET, HEALTH_ADDRESS, TERMINATION_LOG, CONFIRM_TIMEOUT_S,
 * LOCK_TIMEOUT_S, KEEP_RUNTIMES, DISCARD_EDITS, ACCEPT_OLD_CONTAINERD.
 *
 * Files of TARGET_CONFIG_DIR, each a value of one line: containerd-config-path, systemd-unit-name
 * (comma separated), restart-systemd-unit (true, false), kata-config-path (accepted, not used). An
 * empty or unknown file is an error: a typing mistake must not change another file of the host.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_SETTINGS_H
#define CONTRAST_NODE_SETTINGS_H

#include "installer/containerd/containerd_config.h"
#include "installer/kata_config.h"
#include "installer/node_root.h"
#include "installer/node_service.h"

struct node_settings {
    const char *host_mount;
    const char *config_folder;
    const char *target_folder;
    const char *node_command;
    const char *restart_command; /* NULL = none */
    const char *cri_socket;      /* on the host; NULL: by the flavor */
    const char *health_address;  /* NULL = none */
    const char *termination_log; /* "" = none */
    unsigned confirm_ms;
    unsigned lock_s;
    size_t keep;
    bool discard_edits;
    bool accept_old_daemon;         /* of 1.6, which ignores the snapshotter of a runtime */
    char containerd_path[PATH_MAX]; /* as configured; "" = by the flavor */
    char units[512];                /* as configured; "" = by the flavor */
    bool no_restart;                /* restart-systemd-unit: false */
};

/* The environment. CONFIG names the variable. */
RESULT node_settings_read(struct node_settings *out, struct err *err);
/* The files of target_folder; no such folder: nothing is changed. CONFIG names the file. */
RESULT node_settings_read_target(struct node_settings *s, struct err *err);

/* What containerd is on this node, and where. */
struct node_place {
    enum containerd_flavor flavor;
    char config[PATH_MAX];             /* config.toml on the host */
    char socket[PATH_MAX];             /* of CRI, on the host */
    char unit_names[512];              /* what `units` point into */
    const char *units[NODE_UNITS_MAX]; /* NULL behind the last */
};
/* By the configured path, the platform's name, or what the host has. `out` must not be moved: its
 * units point into it. CONFIG for more units than NODE_UNITS_MAX - 1. */
RESULT node_place_find(const struct node_settings *s, const struct node_root *root,
                       const struct kata_platform *platform, struct node_place *out,
                       struct err *err);

/* For node_service.h; borrows all three. */
struct node_service_config node_place_service(const struct node_settings *s,
                                              const struct node_root *root,
                                              const struct node_place *place, unsigned timeout_ms);

#endif
