/* Core, active: see core_active.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/core_active.h"

#include <string.h>

#include "lib/base/mem.h"

/* --- Manifest and policies */

struct core_active *core_active_new(struct manifest *m) {
    struct core_active *a = mem_zalloc(sizeof *a);
    atomic_init(&a->refs, 1);
    a->manifest = *m;
    *m = (struct manifest){0};
    a->policies = mem_calloc(a->manifest.policy_count, sizeof(struct core_bytes *));
    return a;
}

struct core_active *core_active_ref(struct core_active *a) {
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void core_active_unref(struct core_active *a) {
    if (a == NULL || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < a->manifest.policy_count; i++) {
        core_bytes_unref(a->policies[i]);
    }
    mem_free(a->policies);
    manifest_deinit(&a->manifest);
    mem_free(a);
}

/* --- Keys */

static struct secret *dup(struct span s, const struct secret *before) {
    struct span from = s.size > 0 ? s : before != NULL ? secret_span(before) : s;
    if (from.size == 0) {
        return NULL;
    }
    struct secret *copy = secret_new(from.size);
    memcpy(secret_data(copy), from.data, from.size);
    return copy;
}

struct core_keys *core_keys_new(const struct core_keys *before, struct span root_key,
                                struct span mesh_key, struct span workload_secret) {
    struct core_keys *k = mem_zalloc(sizeof *k);
    atomic_init(&k->refs, 1);
    k->root_key = dup(root_key, before == NULL ? NULL : before->root_key);
    k->mesh_key = dup(mesh_key, NULL);
    k->workload_secret = dup(workload_secret, before == NULL ? NULL : before->workload_secret);
    return k;
}

struct core_keys *core_keys_ref(struct core_keys *k) {
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void core_keys_unref(struct core_keys *k) {
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    secret_free(k->root_key);
    secret_free(k->mesh_key);
    secret_free(k->workload_secret);
    mem_free(k);
}
