/* Restart without people, the serving end: see session.h, restart.h.
 *
 *   API_RESTART_LOOK   -> what this replica holds of that cluster; nothing of it is secret
 *   API_RESTART_GIVE   -> evidence of the giver -> the share against the file's commitment -> kept
 *
 * Whoever gives a share has judged this replica before. Its own evidence is asked for all the same,
 * and judged by the file's manifest: only a Coordinator may make this replica hold anything.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/session.h"
#include "coordinator/restart_desk.h"
#include "coordinator/session.h"
#include "lib/base/log.h"

static struct restart_desk *desk_of(const struct session *s) {
    return worker_identity(s->worker)->restart;
}

static RESULT fill_standing(const struct session *s, struct arena *arena,
                            struct api_restart_standing *out, struct err *err) {
    struct api_restart_look ask;
    struct restart_offer offers[LIMIT_RESTART_FILES];
    uint8_t cluster[32];
    size_t count = 0;
    TRY(wire_decode(&api_restart_look_type, buf_span(&s->request), arena, &ask, err));
    TRY(restart_desk_offers(desk_of(s), cluster, offers, &count, err));
    ENSURE(memcmp(cluster, ask.cluster, sizeof cluster) == 0, err, NOT_FOUND,
           "this replica's restart file is of another deployment");
    struct api_restart_offer *items = arena_alloc(arena, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct api_restart_offer){.epoch = offers[i].epoch,
                                              .generation = offers[i].generation,
                                              .index = offers[i].index,
                                              .x = offers[i].x,
                                              .armed = offers[i].armed,
                                              .armed_for = offers[i].armed_for};
        memcpy(items[i].digest, offers[i].digest, sizeof items[i].digest);
        memcpy(items[i].head, offers[i].head, sizeof items[i].head);
        memcpy(items[i].voters, offers[i].voters, sizeof items[i].voters);
    }
    out->offers = (struct wire_list){items, count};
    return OK;
}

void session_restart_look(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_restart_standing standing;
    struct err err;
    if (session_try(s, fill_standing(s, &arena, &standing, &err), &err)) {
        session_reply(s, API_RESTART_STANDING, &api_restart_standing_type, &standing);
    }
}

struct result session_restart_policy(struct session *s, struct attest_policy *policy,
                                     struct err *err) {
    AUTO(buf_deinit)
    struct buf manifest = {0};
    TRY(restart_desk_manifest(desk_of(s), &manifest, err));
    manifest_deinit(&s->candidate);
    s->candidate = (struct manifest){0};
    TRY(err_wrap(manifest_parse(buf_span(&manifest), &s->candidate, err), err, "restart file"));
    worker_attest_policy(s->worker, &s->candidate, ATTEST_REPLICA, ROLE_COORDINATOR, policy);
    return OK;
}

void session_restart_give(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_restart_give give;
    struct api_empty taken = {0};
    struct err err;
    uint64_t from = s->peer.statement.replica.replica_id;
    struct result r =
        wire_decode(&api_restart_give_type, buf_span(&s->request), &arena, &give, &err);
    r = is_ok(r) ? restart_desk_take(desk_of(s), from, give.digest, give.epoch, give.share, &err)
                 : r;
    if (session_try(s, r, &err)) {
        log_info("restart: replica %llu handed its share over", (unsigned long long)from);
        session_reply(s, API_RESTART_TAKEN, &api_empty_type, &taken);
    }
}
