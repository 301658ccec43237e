/* View: see view.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/view.h"

#include <string.h>

static struct span copy_span(struct arena *a, struct span s) {
    if (s.size == 0) {
        return (struct span){0};
    }
    return span_of(arena_strndup(a, (const char *)s.data, s.size), s.size);
}

static char *copy_text(struct arena *a, const char *text) {
    return text == NULL ? NULL : arena_strndup(a, text, strlen(text));
}

static struct secret *copy_secret(struct span s) {
    struct secret *copy = secret_new(s.size);
    memcpy(secret_data(copy), s.data, s.size);
    return copy;
}

static void copy_records(struct view *v, const struct core *core) {
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    v->records = arena_alloc(&v->arena, (count + 1) * sizeof *records);
    for (size_t i = 0; i < count; i++) {
        struct core_record *to = &v->records[i];
        *to = records[i];
        to->manifest = copy_span(&v->arena, records[i].manifest);
        to->signer = copy_span(&v->arena, records[i].signer);
        to->signature = copy_span(&v->arena, records[i].signature);
        to->mesh_cert = copy_span(&v->arena, records[i].mesh_cert);
        to->intermediate = copy_span(&v->arena, records[i].intermediate);
        to->root_cert = copy_span(&v->arena, records[i].root_cert);
    }
}

static void copy_recoveries(struct view *v, const struct core *core) {
    const struct core_recovery *from = core_recoveries(core, &v->recovery_count);
    v->recoveries = arena_alloc(&v->arena, (v->recovery_count + 1) * sizeof *from);
    for (size_t i = 0; i < v->recovery_count; i++) {
        size_t count = from[i].signature_count;
        struct recovery_signature *to = arena_alloc(&v->arena, (count + 1) * sizeof *to);
        for (size_t k = 0; k < count; k++) {
            to[k].key = copy_span(&v->arena, from[i].signatures[k].key);
            to[k].signature = copy_span(&v->arena, from[i].signatures[k].signature);
        }
        v->recoveries[i] = from[i];
        v->recoveries[i].signatures = to;
    }
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

static void copy_manifest(struct view *v, const struct core *core) {
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    CHECK(is_ok(manifest_parse(records[count - 1].manifest, &v->manifest, NULL)));
    struct core_ca ca = core_ca(core);
    buf_append_span(&v->root_cert, ca.root_cert);
    buf_append_span(&v->mesh_cert, ca.mesh_cert);
    buf_append_span(&v->intermediate, ca.intermediate);
    v->root_key = copy_secret(ca.root_key);
    v->mesh_key = copy_secret(ca.mesh_key);
    v->workload_secret = copy_secret(ca.workload_secret);
    v->blobs = mem_calloc(v->manifest.policy_count, sizeof *v->blobs);
    for (size_t i = 0; i < v->manifest.policy_count; i++) {
        buf_append_span(&v->blobs[i], core_blob(core, v->manifest.policies[i].hash));
    }
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
    copy_records(v, core);
    copy_recoveries(v, core);
    copy_members(v, core);
    if (v->generation > 0) {
        copy_manifest(v, core);
    }
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
    for (size_t i = 0; v->blobs != NULL && i < v->manifest.policy_count; i++) {
        buf_deinit(&v->blobs[i]);
    }
    mem_free(v->blobs);
    manifest_deinit(&v->manifest);
    buf_deinit(&v->found);
    buf_deinit(&v->root_cert);
    buf_deinit(&v->mesh_cert);
    buf_deinit(&v->intermediate);
    secret_free(v->root_key);
    secret_free(v->mesh_key);
    secret_free(v->workload_secret);
    arena_deinit(&v->arena);
    mem_free(v);
}

struct span view_policy(const struct view *v, const uint8_t hash[32]) {
    const struct policy_entry *policy =
        v->generation == 0 ? NULL : manifest_find_policy(&v->manifest, hash);
    return policy == NULL ? (struct span){0} : buf_span(&v->blobs[policy - v->manifest.policies]);
}
