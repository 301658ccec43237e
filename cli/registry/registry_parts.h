/* What the files of the registry client share; internal to cli/registry.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_REGISTRY_PARTS_H
#define CONTRAST_REGISTRY_PARTS_H

#include "cli/registry/image_cache.h"
#include "cli/registry/registry.h"

struct registry {
    struct image_cache *cache;          /* owned; NULL without */
    struct registry_login *login;       /* owned; NULL when offline */
    struct registry_session **sessions; /* owned, each too; none when offline */
    size_t session_count;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* of the monotonic clock */
    size_t idle_count;      /* guarded by mutex: the first so many sessions are nobody's */
    bool is_canceled;       /* guarded by mutex */
};

/* False: offline, there is only the cache. */
bool registry__is_online(const struct registry *r);

/* Waits for a session that nobody uses; it is the caller's until put_back. */
struct registry_session *registry__take_session(struct registry *r);
void registry__put_back(struct registry *r, struct registry_session *s);

/* Wraps the error in the image's name. */
RESULT registry__name_image(struct result r, const struct image_ref *ref, struct err *err);

#endif
