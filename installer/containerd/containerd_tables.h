/* Tables: the text of a runtime for each schema of containerd's configuration. Private to this
 * folder. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_CONTAINERD_TABLES_H
#define CONTRAST_CONTAINERD_TABLES_H

#include "installer/containerd/containerd_config.h"

/* The plugin that holds the runtimes, and the one that holds the images, under [plugins]. The same
 * until schema 3 split it. */
const char *containerd_tables_runtimes(int schema);
const char *containerd_tables_images(int schema);

enum containerd_table_form {
    CONTAINERD_TABLE_1X,      /* read by containerd 1.x */
    CONTAINERD_TABLE_2X,      /* by 2.x, within a file of its base */
    CONTAINERD_TABLE_DROP_IN, /* a file for 2.x: with the version of the file that imports it, and
                               * the flags that every runtime with a snapshotter needs */
};

/* Appends the tables of a runtime, LF between lines and none at the end. */
void containerd_tables_encode(int schema, const struct containerd_runtime *runtime,
                              enum containerd_table_form form, struct buf *out);
/* runc, for a file of containerd 1.x that names no runtime: ours would displace the default. */
void containerd_tables_runc(int schema, struct buf *out);

#endif
