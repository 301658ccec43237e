/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/core/test/core_world.h"
#include "coordinator/view.h"

#define READERS 4
#define ROUNDS 2000

/* --- Fixture: a world (core_world.h) with a manifest */

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void assert_text(struct span s, const char *text) {
    assert_true(span_equal(s, span_str(text)));
}

/* --- What a view says */

static void test_before_founding(void **state) {
    struct world *w = *state;
    struct view *v = view_new(w->core, (struct span){0});
    uint8_t zero[32] = {0};
    assert_false(v->is_founded);
    assert_int_equal(v->found.size, 0);
    assert_memory_equal(v->cluster, zero, sizeof zero);
    assert_memory_equal(v->head, zero, sizeof zero);
    assert_int_equal(v->generation, 0);
    assert_int_equal(v->member_count, 0);
    assert_null(v->root_key);
    assert_null(v->mesh_key);
    assert_null(v->workload_secret);
    assert_null(view_policy(v, w->hashes[0]).data);
    view_unref(v);
}

static void test_founded_without_a_manifest(void **state) {
    struct world *w = *state;
    struct entry_found f = world_found(w);
    assert_int_equal(world_apply(w, ENTRY_FOUND, &f), ERR_OK);
    struct view *v = view_new(w->core, span_str("the founding record"));
    assert_true(v->is_founded);
    assert_text(buf_span(&v->found), "the founding record");
    assert_memory_equal(v->cluster, f.cluster, sizeof f.cluster);
    assert_int_equal(v->epoch, 1);
    assert_int_equal(v->time, WORLD_TIME);
    assert_int_equal(v->generation, 0);
    assert_int_equal(v->member_count, WORLD_FOUNDERS);
    for (size_t i = 0; i < WORLD_FOUNDERS; i++) {
        assert_true(v->members[i].member.id == w->founders[i].id);
        assert_string_equal(v->members[i].member.name, w->founders[i].name);
        assert_string_equal(v->members[i].member.address, w->founders[i].address);
        assert_true(span_equal(v->members[i].member.spki, w->founders[i].spki));
    }
    assert_null(view_policy(v, w->hashes[0]).data);
    view_unref(v);
}

static void assert_key(const struct secret *s, enum world_key key, uint64_t generation) {
    struct span bytes = secret_span(s);
    assert_true(bytes.size > 0);
    for (size_t i = 0; i < bytes.size; i++) {
        assert_int_equal(bytes.data[i], world_key_byte(key, generation, i));
    }
}

/* The whole of generation 1, with the core gone: a view borrows nothing. */
static void test_a_view_outlives_the_core(void **state) {
    struct world *w = *state;
    world_start(w);
    struct view *v = view_new(w->core, (struct span){0});
    uint8_t head[32];
    memcpy(head, core_head(w->core), sizeof head);
    core_free(w->core);
    w->core = NULL;
    assert_int_equal(v->generation, 1);
    assert_memory_equal(v->head, head, sizeof head);
    assert_memory_equal(v->records[0].transition, head, sizeof head);
    assert_int_equal(v->manifest.policy_count, WORLD_POLICIES);
    assert_text(v->records[0].signer, "the owner's SubjectPublicKeyInfo");
    assert_text(v->records[0].signature, "a signature");
    assert_text(v->records[0].mesh_cert, "mesh certificate");
    assert_text(buf_span(&v->root_cert), "root certificate");
    assert_text(buf_span(&v->mesh_cert), "mesh certificate");
    assert_text(buf_span(&v->intermediate), "intermediate certificate");
    assert_key(v->root_key, WORLD_ROOT_KEY, 1);
    assert_key(v->mesh_key, WORLD_MESH_KEY, 1);
    assert_key(v->workload_secret, WORLD_SECRET, 1);
    view_unref(v);
}

static void test_policies_are_found_by_their_hash(void **state) {
    struct world *w = *state;
    uint8_t unknown[32] = {1};
    world_start(w);
    struct view *v = view_new(w->core, (struct span){0});
    for (size_t i = 0; i < WORLD_POLICIES; i++) {
        assert_true(span_equal(view_policy(v, w->hashes[i]), w->policies[i]));
    }
    assert_null(view_policy(v, unknown).data);
    view_unref(v);
}

/* A policy that only an earlier manifest names is no policy of the view. */
static void test_the_newest_manifest_decides(void **state) {
    struct world *w = *state;
    world_start(w);
    struct view *old = view_new(w->core, (struct span){0});
    struct entry_set_manifest s = world_set(w, 0x5, 1);
    assert_int_equal(world_apply(w, ENTRY_SET_MANIFEST, &s), ERR_OK);
    struct view *v = view_new(w->core, (struct span){0});
    assert_int_equal(v->generation, 2);
    assert_int_equal(v->manifest.policy_count, 2);
    assert_true(span_equal(v->records[1].manifest, s.manifest));
    assert_non_null(view_policy(v, w->hashes[2]).data);
    assert_null(view_policy(v, w->hashes[3]).data);
    assert_key(v->mesh_key, WORLD_MESH_KEY, 2);
    assert_key(v->root_key, WORLD_ROOT_KEY, 1);
    assert_int_equal(old->generation, 1); /* an old view stays what it was */
    assert_non_null(view_policy(old, w->hashes[3]).data);
    assert_key(old->mesh_key, WORLD_MESH_KEY, 1);
    view_unref(old);
    view_unref(v);
}

/* A member more: what belongs to the generation is shared, not copied. */
static void test_views_of_one_generation_share_it(void **state) {
    struct world *w = *state;
    world_start(w);
    struct view *old = view_new(w->core, (struct span){0});
    struct entry_admit a = world_admit(w, 10, "coordinator-10", 0);
    assert_int_equal(world_apply(w, ENTRY_ADMIT, &a), ERR_OK);
    struct view *v = view_new(w->core, (struct span){0});
    assert_int_equal(old->member_count, 3);
    assert_int_equal(v->member_count, 4);
    assert_ptr_equal(v->records, old->records);
    assert_ptr_equal(v->manifest.policies, old->manifest.policies);
    assert_ptr_equal(v->mesh_key, old->mesh_key);
    assert_ptr_equal(view_policy(v, w->hashes[0]).data, view_policy(old, w->hashes[0]).data);
    view_unref(old);
    view_unref(v);
}

/* A recovery changes the newest record and the mesh CA key: views of before keep theirs. */
static void test_a_recovery_leaves_old_views_alone(void **state) {
    struct world *w = *state;
    world_share(w, WORLD_SHARE_OWNERS, 2, false);
    world_start(w);
    struct view *old = view_new(w->core, (struct span){0});
    world_checkpoint(w);
    struct view *between = view_new(w->core, (struct span){0});
    struct entry_recover e = world_recover(w, RECOVERY_CHECKPOINT, 2);
    assert_int_equal(world_apply(w, ENTRY_RECOVER, &e), ERR_OK);
    struct view *v = view_new(w->core, (struct span){0});
    assert_null(between->mesh_key);
    assert_int_equal(v->epoch, 2);
    assert_int_equal(v->recovery_count, 1);
    assert_int_equal(between->recovery_count, 0);
    assert_text(between->records[0].mesh_cert, "mesh certificate");
    assert_text(v->records[0].mesh_cert, "recovered mesh certificate");
    assert_text(buf_span(&v->intermediate), "recovered intermediate");
    assert_key(old->mesh_key, WORLD_MESH_KEY, 1);
    assert_key(v->mesh_key, WORLD_MESH_KEY, 1001);
    assert_key(v->root_key, WORLD_ROOT_KEY, 1);
    view_unref(old);
    view_unref(between);
    view_unref(v);
}

/* --- Counting */

static void *read_view(void *data) {
    struct view *v = data;
    for (int i = 0; i < ROUNDS; i++) {
        struct view *mine = view_ref(v);
        CHECK(mine->generation == 1 && view_policy(mine, mine->manifest.policies[0].hash).size > 0);
        view_unref(mine);
    }
    view_unref(v); /* the reference that came with the thread */
    return NULL;
}

/* Who lets go last frees, on any thread; the sanitizers judge. */
static void test_many_threads_share_a_view(void **state) {
    struct world *w = *state;
    pthread_t threads[READERS];
    world_start(w);
    struct view *v = view_new(w->core, (struct span){0});
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_view, view_ref(v)), 0);
    }
    view_unref(v);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    view_unref(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_before_founding),
        T(test_founded_without_a_manifest),
        T(test_a_view_outlives_the_core),
        T(test_policies_are_found_by_their_hash),
        T(test_the_newest_manifest_decides),
        T(test_views_of_one_generation_share_it),
        T(test_a_recovery_leaves_old_views_alone),
        T(test_many_threads_share_a_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
