/* Node configuration: what is to be installed, from contrast-node-install.json.
 *
 *   {
 *     "version": 1,
 *     "platform": "Metal-QEMU-SNP",
 *     "files": [{"url": "file:///payload/shim", "executable": true,
 *                "path": "@@runtimeBase@@/bin/containerd-shim-contrast-cc-v2",
 *                "integrity": "sha256-..."}],
 *     "kata": {"default_memory": 512},
 *     "runtimeHandlerName": "contrast-cc-metal-qemu-snp-0a1b2c3d",
 *     "qemuExtraKernelParams": "",
 *     "debugRuntime": false
 *   }
 *
 * Paths are absolute below @@runtimeBase@@ (/opt/edgeless/<handler>), without "..", and unique;
 * @@runtimeName@@ is the handler. Without integrity only file:// is allowed. Unknown members are
 * refused, and so is a version that this program does not know; every problem is told at once, with
 * its JSON path. docs/installer.md has the members of "kata".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_CONFIG_H
#define CONTRAST_NODE_CONFIG_H

#include "installer/kata_config.h"
#include "installer/sri.h"
#include "lib/base/mem.h"

#define NODE_CONFIG_VERSION 1
#define NODE_RUNTIME_ROOT "/opt/edgeless"

struct node_file {
    const char *url;
    const char *path;     /* below the runtime's folder, no slash in front: "bin/shim" */
    struct sri integrity; /* size 0: none given */
    bool is_executable;
};

struct node_config {
    struct arena arena;                   /* owns the texts and lists */
    const struct kata_platform *platform; /* a row of kata_config's table */
    struct node_file *files;
    size_t file_count;
    struct kata_settings kata;
    const char *handler; /* as configured; NULL: handler_name.h makes it */
};

/* Parses the document. `platform` is what the command line says; NULL or the same as the
 * document's. CONFIG lists the problems. A zeroed config is valid for deinit. */
RESULT node_config_parse(struct span json, const char *platform, struct node_config *out,
                         struct err *err);
void node_config_deinit(struct node_config *c);

/* The file of the config whose path is `path`; NULL = none. */
const struct node_file *node_config_file(const struct node_config *c, const char *path);

#endif
