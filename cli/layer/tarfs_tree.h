/* Tarfs tree: what the entries of a tar leave behind, as tardev-snapshotter's tarindex sees it.
 *
 *   put      a file, folder, link or device at a path; what was there goes, with all below it
 *   ".wh.X"  a character device 0:0 at X;  ".wh..wh..opq"  the opaque flag of the folder
 *   link     one more name of a regular file: both names then share one inode for good
 *
 * Folders that no entry names get mode 0. A path is cut at '/', "" and "." are dropped, ".." goes
 * up; a path that leaves the root is refused by name. The quirks are kept, for the node's index has
 * them: a file may have children, an entry at the root replaces the root, a hard link to nothing
 * leaves the folders of its target behind.
 *
 * Nodes and names lie in arrays that only grow; a budget bounds them. The lookup is keyed with a
 * random number, which nothing that leaves this file depends on. Errors: TOO_LARGE (budget).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TARFS_TREE_H
#define CONTRAST_TARFS_TREE_H

#include "lib/base/bytes.h"

#define TARFS_NONE UINT32_MAX
#define TARFS_ROOT_MODE 0040555

/* An inode. */
struct tarfs_node {
    uint64_t size;
    uint64_t offset; /* data or link text in the tar; minor | major << 32; 0 = text kept apart */
    uint64_t mtime;  /* seconds */
    uint32_t uid, gid;
    uint32_t first; /* name: of its children, newest first, until the index sorts them */
    uint32_t count; /* children */
    uint32_t ino;   /* set by the index; 0 = none */
    uint16_t mode;  /* type and permissions, as st_mode; 0 = only a part of a path */
    bool is_opaque;
};

/* A name in a folder. */
struct tarfs_name {
    uint32_t parent, node;
    uint32_t next;       /* the next name of the parent */
    uint32_t chain;      /* the next name of the same bucket */
    uint32_t text, size; /* of the name, in texts */
};

struct tarfs_tree {
    struct tarfs_node *nodes; /* owned, all four */
    struct tarfs_name *names;
    uint8_t *texts;
    uint32_t *buckets;
    uint32_t node_count, node_capacity;
    uint32_t name_count, name_capacity;
    uint32_t text_size, text_capacity;
    uint32_t bucket_count; /* a power of two */
    uint32_t root;
    uint64_t key[2];
    struct span *parts; /* of the path at hand */
    size_t part_count, part_capacity;
};

enum tarfs_verdict {
    TARFS_DONE,
    TARFS_BAD_PATH,   /* it leaves the root */
    TARFS_BAD_TARGET, /* so does the target of a hard link */
    TARFS_NOT_FILE,   /* a hard link to something that is no regular file */
};

void tarfs_tree_init(struct tarfs_tree *t);
void tarfs_tree_deinit(struct tarfs_tree *t);
void tarfs_tree_copy(struct tarfs_tree *to, const struct tarfs_tree *from); /* `to` is fresh */
/* Bytes that the arrays take. */
uint64_t tarfs_tree_memory(const struct tarfs_tree *t);

/* `node` brings mode, size, offset, mtime, uid and gid. `budget`: bytes that the tree may take. */
RESULT tarfs_tree_put(struct tarfs_tree *t, struct span path, const struct tarfs_node *node,
                      uint64_t budget, enum tarfs_verdict *verdict, struct err *err);
RESULT tarfs_tree_link(struct tarfs_tree *t, struct span path, struct span target, uint64_t budget,
                       enum tarfs_verdict *verdict, struct err *err);

/* The child of a node, TARFS_NONE without one. */
uint32_t tarfs_tree_child(const struct tarfs_tree *t, uint32_t node, struct span name);
struct span tarfs_tree_text(const struct tarfs_tree *t, uint32_t name);
/* True when `path` means the file `name` in the folder `folder` of the root. */
bool tarfs_tree_means(struct tarfs_tree *t, struct span path, const char *folder, const char *name);

#endif
