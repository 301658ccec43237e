/* View: see view.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/view.h"

#include <string.h>

#include "lib/manifest/transition.h"

static struct span copy_span(struct arena *a, struct span s) {
    if (s.size == 0) {
        return (struct span){0};
    }
    return span_of(arena_strndup(a, (const char *)s.data, s.size), s.size);
}

static char *copy_text(struct arena *a, const char *text) {
    return text == NULL ? NULL : arena_strndup(a, text, strlen(text));
}

static void copy_members(struct view *v, const struct core *core) {
    const struct core_member *members = core_members(core, &v->member_count);
    v->members = arena_alloc(&v->arena, (v->member_count + 1) * sizeof *members);
    for (size_t i = 0; i < v->member_count; i++) {
        struct entry_member *to = &v->members[i].member;
        v->members[i] = members[i];
        to->name = copy_text(&v->arena, members[i].member.name);
        to->address = copy_text(&v->arena, members[i].member.address);
        to->user_address = copy_text(&v->arena, members[i].member.user_address);
        to->spki = copy_span(&v->arena, members[i].member.spki);
        to->evidence = copy_span(&v->arena, members[i].member.evidence);
    }
}

/* What the core shares is counted and does not change: taking it costs the same however long the
 * history is. */
static void share(struct view *v, const struct core *core) {
    v->history = core_share_history(core);
    v->records = v->history->records;
    v->recoveries = v->history->recoveries;
    v->recovery_count = v->history->recovery_count;
    v->active = core_share_active(core);
    v->keys = core_share_keys(core);
    if (v->active == NULL) {
        return;
    }
    struct core_ca ca = core_ca(core);
    v->manifest = v->active->manifest;
    v->root_key = v->keys->root_key;
    v->mesh_key = v->keys->mesh_key;
    v->workload_secret = v->keys->workload_secret;
    buf_append_span(&v->root_cert, ca.root_cert);
    buf_append_span(&v->mesh_cert, ca.mesh_cert);
    buf_append_span(&v->intermediate, ca.intermediate);
}

struct view *view_new(const struct core *core, struct span found) {
    struct view *v = mem_zalloc(sizeof *v);
    atomic_init(&v->refs, 1);
    v->is_founded = core_is_founded(core);
    buf_append_span(&v->found, found);
    memcpy(v->cluster, core_cluster(core), sizeof v->cluster);
    v->epoch = core_epoch(core);
    v->generation = core_generation(core);
    memcpy(v->head, core_head(core), sizeof v->head);
    v->time = core_time(core);
    share(v, core);
    copy_members(v, core);
    return v;
}

struct view *view_ref(struct view *v) {
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void view_unref(struct view *v) {
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    core_history_unref(v->history);
    core_active_unref(v->active);
    core_keys_unref(v->keys);
    buf_deinit(&v->found);
    buf_deinit(&v->root_cert);
    buf_deinit(&v->mesh_cert);
    buf_deinit(&v->intermediate);
    arena_deinit(&v->arena);
    mem_free(v);
}

void view_history(const struct view *v, struct arena *arena, struct transition_history *out) {
    size_t count = (size_t)v->generation;
    struct transition_record *records = arena_alloc(arena, (count + 1) * sizeof *records);
    struct transition_recovery *recoveries =
        arena_alloc(arena, (v->recovery_count + 1) * sizeof *recoveries);
    for (size_t i = 0; i < count; i++) {
        const struct core_record *r = &v->records[i];
        records[i] = (struct transition_record){r->manifest, r->signer, r->signature};
    }
    for (size_t i = 0; i < v->recovery_count; i++) {
        const struct core_recovery *r = &v->recoveries[i];
        recoveries[i] =
            (struct transition_recovery){r->recovery, r->signatures, r->signature_count};
    }
    *out = (struct transition_history){.records = records,
                                       .count = count,
                                       .recoveries = recoveries,
                                       .recovery_count = v->recovery_count};
    memcpy(out->cluster, v->cluster, sizeof out->cluster);
}

struct span view_policy(const struct view *v, const uint8_t hash[32]) {
    const struct policy_entry *policy =
        v->generation == 0 ? NULL : manifest_find_policy(&v->manifest, hash);
    if (policy == NULL) {
        return (struct span){0};
    }
    const struct core_bytes *document = v->active->policies[policy - v->manifest.policies];
    return span_of(document->data, document->size);
}
