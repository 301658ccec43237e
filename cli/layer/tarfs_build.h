/* Tarfs build: entries of a tar in, the trees of both dialects out, with the warnings that
 * tarindex prints, and the user files that a policy needs.
 *
 * One tree serves both dialects until the first link whose target does not stand whole in its
 * header: upstream leaves it out and says so, Microsoft's stores it. Only then the tree is copied.
 *
 * Errors: TOO_LARGE (budget: trees and long links together).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TARFS_BUILD_H
#define CONTRAST_TARFS_BUILD_H

#include "cli/layer/layer.h"
#include "cli/layer/tar_scan.h"
#include "cli/layer/tarfs_tree.h"

/* The newest body of one of the user files. */
struct tarfs_user_file {
    bool is_seen;
    bool is_whole;    /* not longer than LIMIT_LAYER_FILE */
    uint64_t data_at; /* where it stands in the tar: tells whether the tree still means it */
    struct buf content;
};

struct tarfs_build {
    struct tarfs_tree trees[LAYER_DIALECTS];
    bool is_split;    /* the second tree is in use */
    struct buf links; /* texts of long links, in the order of the tar */
    size_t link_count;
    struct layer_warning *warnings; /* owned */
    size_t warning_count;
    uint64_t warnings_dropped;
    struct tarfs_user_file passwd, group;
    struct tarfs_user_file *reading; /* whose body comes now */
    uint64_t budget;                 /* bytes of memory; may change between two entries */
};

void tarfs_build_init(struct tarfs_build *b);
void tarfs_build_deinit(struct tarfs_build *b);
/* A handler for tar_scan; `b` must stay where it is. */
struct tar_scan_handler tarfs_build_handler(struct tarfs_build *b);
uint64_t tarfs_build_memory(const struct tarfs_build *b);

/* What the tree says of etc/passwd and etc/group; moves the content out. */
void tarfs_build_users(struct tarfs_build *b, struct layer_file *passwd, struct layer_file *group);

#endif
