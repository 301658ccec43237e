/* Retiring a replica at its owner's word. See session.h.
 *
 *   API_RETIRE -> confirm -> the owner's signature, for this cluster and epoch -> RETIRE committed
 *   -> reply. The planner takes the member out of the configuration then.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "coordinator/session.h"
#include "lib/manifest/owner.h"

static void reply_retired(struct session *s, uint64_t index, bool already) {
    struct api_retire_reply reply = {.index = index, .already = already};
    session_reply(s, API_RETIRE_REPLY, &api_retire_reply_type, &reply);
}

static void on_retired(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (session_try(s, session_check(reply, &err), &err)) {
        reply_retired(s, reply->position.commit_index, false);
    }
}

static const struct core_member *find_member(const struct view *v, uint64_t id, size_t *staying) {
    const struct core_member *found = NULL;
    *staying = 0;
    for (size_t i = 0; i < v->member_count; i++) {
        found = v->members[i].member.id == id ? &v->members[i] : found;
        *staying += v->members[i].state == CORE_MEMBER && v->members[i].member.id != id ? 1 : 0;
    }
    return found;
}

static RESULT check_signature(const struct view *v, const struct api_retire *ask, struct err *err) {
    AUTO(buf_deinit)
    struct buf message = {0};
    owner_retire_bytes(v->cluster, v->epoch, ask->id, &message);
    return err_wrap(owner_verify(buf_span(&message), ask->spki, ask->signature, &v->manifest, err),
                    err, "retire replica %" PRIu64 " in epoch %" PRIu64, ask->id, v->epoch);
}

static RESULT propose(struct session *s, const struct api_retire *ask, struct err *err) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct entry_retire e = {.id = ask->id,
                             .reason = RETIRE_OWNER,
                             .signer = ask->spki,
                             .signature = ask->signature,
                             .time = worker_now(s->worker)};
    entry_encode(ENTRY_RETIRE, &e, &entry);
    return worker_ask(s->worker, CORE_PROPOSE, buf_span(&entry), s, on_retired, err);
}

/* *already: the member is leaving, or there is none with this id (any more). */
static RESULT judge(struct session *s, const struct api_retire *ask, bool *already,
                    struct err *err) {
    const struct view *v = worker_view(s->worker);
    size_t staying = 0;
    ENSURE(v != NULL && v->generation > 0, err, NOT_FOUNDED, "no manifest is set yet");
    TRY(check_signature(v, ask, err));
    const struct core_member *m = find_member(v, ask->id, &staying);
    ENSURE(m != NULL, err, NOT_FOUND,
           "replica %" PRIu64 " is no member: run `contrast members` for those who are", ask->id);
    *already = m->state == CORE_LEAVING;
    ENSURE(*already || staying > 0, err, DENIED,
           "%s is the only member left: without it the deployment ends", m->member.name);
    return OK;
}

static void on_confirmed(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_retire ask = {0};
    struct err err;
    bool already = false;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? wire_decode(&api_retire_type, buf_span(&s->request), &arena, &ask, &err) : r;
    r = is_ok(r) ? judge(s, &ask, &already, &err) : r;
    if (is_ok(r) && already) {
        reply_retired(s, reply->position.commit_index, true);
        return;
    }
    r = is_ok(r) ? propose(s, &ask, &err) : r;
    session_try(s, r, &err);
}

void session_retire(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_retire ask;
    struct err err;
    struct result r = wire_decode(&api_retire_type, buf_span(&s->request), &arena, &ask, &err);
    r = is_ok(r) ? worker_ask(s->worker, CORE_CONFIRM, (struct span){0}, s, on_confirmed, &err) : r;
    session_try(s, r, &err);
}
