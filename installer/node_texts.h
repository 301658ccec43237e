/* Texts: containerd's files as they are on the host, and as they will be.
 *
 *   load (I/O) -> change by change, in memory -> what differs is what there is to do
 *
 * One set holds the places of all handlers that a run deals with (config.toml is one for all, a
 * drop-in belongs to one), so that taking out an old handler and putting in a new one is one edit
 * of each file and one restart.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_TEXTS_H
#define CONTRAST_NODE_TEXTS_H

#include "installer/containerd/containerd_config.h"
#include "installer/node_root.h"

struct node_text {
    char *path;            /* owned; on the host */
    struct node_stat stat; /* of the file as it was read */
    struct buf before;     /* owned; empty when it does not exist */
    bool exists;           /* will */
    struct buf after;      /* owned */
};

struct node_texts {
    struct node_text *items; /* owned; in the order in which they are to be written */
    size_t count;
    enum containerd_flavor flavor;
    const char *main_path; /* borrowed; of config.toml, on the host */
};

void node_texts_deinit(struct node_texts *texts); /* accepts zeroed */

/* Reads the places of a handler that are not in the set yet. */
RESULT node_texts_load(struct node_texts *texts, const struct node_root *root, const char *handler,
                       struct err *err);

/* Fills flavor, path and files of `facts` with the texts as they will be; borrowed until the next
 * change. */
void node_texts_facts(const struct node_texts *texts, const char *handler,
                      struct containerd_facts *facts);

/* Makes the change in memory. */
void node_texts_apply(struct node_texts *texts, const struct containerd_change *change);

bool node_text_differs(const struct node_text *text);

#endif
