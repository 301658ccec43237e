/* containerd's configuration with our runtimes in it, and without them again.
 *
 *   facts of the node (texts of files, version of the daemon)  ->  which file gets which bytes
 *
 *   containerd 1.x         config.toml, in place: 1.x replaces a whole plugin section by that of
 *                          an imported file, and runc is gone
 *   containerd >= 2.0      conf.d/<handler>.toml, and an import in config.toml if none matches
 *   k3s, RKE2 with 1.x     config.toml.tmpl: {{ template "base" . }} and new tables only
 *   k3s, RKE2 with >= 2.0  config-v3.toml.d/<handler>.toml when the rendered file imports that,
 *                          else a template
 *
 * Everything of ours is text with a mark; every other byte stays:
 *
 *   # contrast-node-installer: <handler> begin
 *   [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.<handler>]
 *   ...
 *   # contrast-node-installer: <handler> end <digest of the lines between>
 *
 *   # contrast-node-installer: was: disable_snapshot_annotations = true
 *   disable_snapshot_annotations = false # contrast-node-installer: set for <handler> <handler>
 *
 * A line that is "set for" several handlers goes with the last of them, and "was:" comes back. A
 * file that did not exist starts as `containerd config default` and says so in its first line;
 * removal of the last handler deletes it. What we wrote and somebody changed by hand is refused on
 * install and on removal (`discard_edits` overrides); what stands around it never matters.
 *
 * Failures: INVALID for a file that is no TOML, CONFIG for a node that cannot be served (with what
 * to do), EXISTS for a runtime of that name that is not ours, CHANGED for a hand edit inside our
 * text. Outputs are untouched then. Pure: no I/O, no clock, no environment.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_CONFIG_H
#define CONTRAST_CONTAINERD_CONFIG_H

#include "lib/base/bytes.h"

enum containerd_flavor { CONTAINERD_PLAIN, CONTAINERD_K3S, CONTAINERD_RKE2 };

struct containerd_version {
    unsigned major;
    unsigned minor;
    unsigned patch;
};

/* The files that hold, or may hold, text of ours. */
enum containerd_place {
    CONTAINERD_MAIN,        /* config.toml; that of k3s and RKE2 is rendered: read, never written */
    CONTAINERD_TEMPLATE,    /* k3s, RKE2: config.toml.tmpl, for containerd 1.x */
    CONTAINERD_TEMPLATE_V3, /* k3s, RKE2: config-v3.toml.tmpl, for containerd >= 2.0 */
    CONTAINERD_DROP_IN,     /* <handler>.toml in a folder that config.toml imports */
    CONTAINERD_PLACES,
};

struct containerd_file {
    bool exists;
    struct span text; /* borrowed */
};

struct containerd_facts {
    enum containerd_flavor flavor;
    struct containerd_version daemon; /* of the program that runs, not of the file */
    const char *path;                 /* of config.toml as containerd sees it, absolute */
    struct containerd_file files[CONTAINERD_PLACES]; /* at containerd_config_path() */
    struct span default_text; /* what `containerd config default` prints; empty: unknown. Needed
                               * only when config.toml does not exist. */
    bool accept_old_daemon;   /* a warning instead of a refusal when the daemon is too old for
                               * the snapshotter of a runtime */
    bool discard_edits;       /* overwrite, or remove, what was changed by hand inside our text */
};

struct containerd_runtime {
    const char *handler;             /* "contrast-cc-...": [a-z0-9-], at most LIMIT_HANDLER bytes */
    const char *runtime_type;        /* "io.containerd.contrast-cc.v2" */
    const char *runtime_path;        /* of the shim on the host, absolute */
    const char *config_path;         /* of Kata's configuration on the host, absolute */
    const char *snapshotter;         /* NULL: the node's own */
    const char *snapshotter_address; /* of its socket; NULL without a snapshotter */
    const char *const *pod_annotations; /* "io.katacontainers.*" */
    size_t pod_annotation_count;
};

struct containerd_edit {
    enum containerd_place place;
    char *path;       /* owned */
    bool is_deletion; /* of the whole file */
    struct buf text;  /* owned; all of the file's new bytes */
};

/* What to do, in this order: the node stays whole between any two edits. Nothing to do: count 0,
 * and no restart is needed. */
struct containerd_change {
    struct containerd_edit edits[CONTAINERD_PLACES];
    size_t count;
    char warning[256]; /* for the log; "" when there is none */
};
void containerd_change_deinit(struct containerd_change *change); /* accepts zeroed */

/* Where a place lies when config.toml is `main_path`: in its folder, or in one below that. NULL for
 * a place that the flavor does not have. The caller frees it (mem_free). */
char *containerd_config_path(enum containerd_flavor flavor, const char *main_path,
                             enum containerd_place place, const char *handler);

/* The version in what `containerd --version` or the CRI's Version call says: "containerd
 * github.com/containerd/containerd 1.6.20~ds1 ...", "v2.1.4-k3s1". INVALID. */
RESULT containerd_version_parse(const char *text, struct containerd_version *out, struct err *err);

/* The schema of a config.toml: 1 (no version), 2, 3 or 4. `name` stands in errors. INVALID, CONFIG
 * for a version that nobody knows. */
RESULT containerd_config_schema(const char *name, struct span text, int *out, struct err *err);

/* Puts the runtime in, or brings what is there up to date. */
RESULT containerd_config_install(const struct containerd_facts *facts,
                                 const struct containerd_runtime *runtime,
                                 struct containerd_change *out, struct err *err);

/* Takes the handler out of every file of the facts, whatever daemon it was installed for. */
RESULT containerd_config_remove(const struct containerd_facts *facts, const char *handler,
                                struct containerd_change *out, struct err *err);

/* The handlers of ours that a text (config.toml, a template or a drop-in) names, in its order, each
 * once. An unreadable text names those that its lines show: nothing is refused. */
struct containerd_handlers {
    char **names; /* owned */
    size_t count;
};
void containerd_config_handlers(struct span text, struct containerd_handlers *out);
void containerd_handlers_deinit(struct containerd_handlers *handlers);

#endif
