/* A node in memory, for tests of plans: its files, and what a change makes of them. Names are short
 * because every line of these tests uses them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_NODE_H
#define CONTRAST_CONTAINERD_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "installer/containerd/containerd_config.h"

#define A "contrast-cc-aks-aaaaaaaa"
#define B "contrast-cc-aks-bbbbbbbb"
#define MAIN "/etc/containerd/config.toml"
#define GLOB "/etc/containerd/conf.d/contrast-cc-*.toml"
#define MARK "# contrast-node-installer: "
#define CRI "plugins.\"io.containerd.grpc.v1.cri\""
#define DEFAULT                                                                                    \
    "imports = []\nversion = 2\n[" CRI ".containerd.runtimes.runc]\nruntime_type = "               \
    "\"io.containerd.runc.v2\"\n"

#define V1_6 ((struct containerd_version){1, 6, 20})
#define V1_7 ((struct containerd_version){1, 7, 22})
#define V2_0 ((struct containerd_version){2, 0, 1})

/* The files of a node. A drop-in belongs to a handler: [0] to A, [1] to B. */
struct node {
    struct containerd_facts facts;
    char *texts[CONTAINERD_PLACES]; /* NULL: no such file */
    char *drop_ins[2];
};

void set_text(struct node *n, enum containerd_place place, const char *handler, const char *text);
struct node new_node(struct containerd_version daemon, const char *main_text);
struct node new_k3s(struct containerd_version daemon, const char *rendered);
void free_node(struct node *n);
const struct containerd_facts *look(struct node *n, const char *handler);
struct containerd_runtime runtime_of(const char *handler, const char *snapshotter);
/* Returns how many files changed. */
size_t apply(struct node *n, const char *handler, struct containerd_change *change);
size_t install_as(struct node *n, const char *handler, bool has_snapshotter);
/* With a snapshotter. */
size_t install(struct node *n, const char *handler);
size_t take_off(struct node *n, const char *handler);
void assert_same(struct node *n, struct node *want);
void assert_main(struct node *n, const char *want);
void assert_has(const char *text, const char *part);
void assert_lacks(const char *text, const char *part);
void assert_refused(struct node *n, const char *handler, enum err_code code, const char *want);
void assert_removal_refused(struct node *n, const char *handler, const char *want);

#endif
