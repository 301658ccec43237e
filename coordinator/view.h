/* View: what the session threads know of the replicated state. Immutable once published, counted,
 * freed by whoever lets go last; its secrets are wiped then.
 *
 * The core thread makes a view when the manifest or the members change, and sends it to every
 * session thread ahead of the replies that depend on it, through the same mailbox.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_VIEW_H
#define CONTRAST_VIEW_H

#include <stdatomic.h>

#include "coordinator/core/core.h"
#include "coordinator/core/core_active.h"
#include "coordinator/core/core_history.h"
#include "lib/base/secret.h"

struct view {
    atomic_uint refs;
    bool is_founded;
    struct buf found; /* the FOUND entry */
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation; /* 0 = no manifest yet */
    uint8_t head[32];
    int64_t time;                           /* entry time of the newest entry at publication */
    struct manifest manifest;               /* valid when generation > 0; borrowed from `active` */
    const struct core_record *records;      /* generation count; of `history` */
    const struct core_recovery *recoveries; /* of `history` */
    size_t recovery_count;
    struct core_member *members; /* spans and strings into `arena` */
    size_t member_count;
    struct buf root_cert; /* PEM */
    struct buf mesh_cert;
    struct buf intermediate;
    const struct secret
        *root_key; /* PKCS#8 DER; of `keys`, as the next two; NULL without a manifest */
    const struct secret *mesh_key; /* NULL in a checkpoint, too: the cluster is being recovered */
    const struct secret *workload_secret;
    struct arena arena;
    struct core_history *history; /* shared with the core and other views, as the next two */
    struct core_active *active;   /* NULL without a manifest */
    struct core_keys *keys;       /* NULL without a manifest */
};

/* One reference. What does not change is shared with the core, counted; rows of members are copied:
 * some tens of microseconds, however many manifests there are. `found` is empty before founding. */
struct view *view_new(const struct core *core, struct span found);
struct view *view_ref(struct view *v);
void view_unref(struct view *v); /* accepts NULL */

/* The history as it is judged; what *out points to lies in the view and in `arena`. */
struct transition_history;
void view_history(const struct view *v, struct arena *arena, struct transition_history *out);

/* The document of a policy of the active manifest: data NULL when there is none. */
struct span view_policy(const struct view *v, const uint8_t hash[32]);

#endif
