/* Peers that this replica's own log does not know yet. See replica.h.
 *
 * A member that was cut off while another one was admitted has no link with it. Were that one to
 * lead now, the log could never reach this replica. So whoever is ahead sends the rows of members
 * admitted since (PEER), the evidence with them: it is judged here as for an ADMIT, and a link is
 * opened. Nothing of the replicated state changes: the row is dropped when the log brings it, or
 * when nobody has spoken of it for REPLICA_TOLD_MS.
 *
 * And peers that the log does not know any more. Whoever was retired by others, or lost its name,
 * may not have heard of it: paused, behind, or cut off. Its row is kept for REPLICA_TOLD_MS after
 * it left the table, so that there is a link over which it can be told (replica_members.c); without
 * one it would hold itself for a member for ever.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_frames.h"
#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

/* --- Telling */

static void send_row(struct replica *r, uint64_t peer, const struct entry_member *member) {
    AUTO(buf_deinit)
    struct buf body = {0};
    struct replica_peer_row row = {replica_applied(r), *member};
    replica_peer_row_encode(&row, &body);
    r->io.send(r->io.data, peer, REPLICA_PEER, buf_span(&body));
}

static struct link_state *link_of(struct replica *r, uint64_t peer) {
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].id == peer) {
            return &r->links[i];
        }
    }
    return NULL;
}

void replica__peer_is_at(struct replica *r, uint64_t peer, uint64_t applied) {
    struct link_state *link = link_of(r, peer);
    uint64_t now = replica_now(r);
    size_t count = 0;
    const struct core_member *members = core_members(r->core, &count);
    if (link == NULL || (link->told_ms != 0 && now - link->told_ms < REPLICA_TELL_MS)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].member.id;
        if (members[i].admitted_index > applied && members[i].state == CORE_MEMBER &&
            id != r->options.id && id != peer) {
            link->told_ms = now;
            send_row(r, peer, &members[i].member);
        }
    }
}

/* --- Being told */

static struct told_member *find_told(const struct replica *r, uint64_t id) {
    for (size_t i = 0; i < r->told_count; i++) {
        if (r->told[i]->member.id == id) {
            return r->told[i];
        }
    }
    return NULL;
}

const struct entry_member *replica_find_member(const struct replica *r, uint64_t id) {
    const struct core_member *m = core_find_member(r->core, id);
    const struct told_member *told = find_told(r, id);
    return m != NULL ? &m->member : told == NULL ? NULL : &told->member;
}

static void free_told(struct told_member *t) {
    arena_deinit(&t->arena);
    mem_free(t);
}

static void drop_told(struct replica *r, size_t at) {
    free_told(r->told[at]);
    r->told_count--;
    memmove(&r->told[at], &r->told[at + 1], (r->told_count - at) * sizeof r->told[0]);
}

void replica__forget_told(struct replica *r) {
    while (r->told_count > 0) {
        drop_told(r, r->told_count - 1);
    }
}

/* The body lives no longer than the call: the row's memory is its own. */
static RESULT read_row(struct span body, struct told_member *t, uint64_t *applied,
                       struct err *err) {
    struct replica_peer_row row;
    struct span copy =
        span_of(arena_strndup(&t->arena, (const char *)body.data, body.size), body.size);
    TRY(replica_peer_row_decode(copy, &t->arena, &row, err));
    t->member = row.member;
    *applied = row.applied;
    return OK;
}

static bool is_wanted(const struct replica *r, const struct told_member *t, uint64_t applied) {
    return applied > replica_applied(r) && t->member.id != r->options.id &&
           core_find_member(r->core, t->member.id) == NULL;
}

static void take(struct replica *r, struct told_member *t) {
    struct told_member *old = find_told(r, t->member.id);
    t->heard_ms = replica_now(r);
    if (old != NULL) {
        old->heard_ms = t->heard_ms;
        free_told(t);
        return;
    }
    if (r->told_count == LIMIT_MEMBERS) {
        drop_told(r, 0);
    }
    r->told[r->told_count++] = t;
    log_info("member %s id=%llu was admitted while this replica was cut off", t->member.name,
             (unsigned long long)t->member.id);
    replica__set_peers(r);
}

void replica__peer_received(struct replica *r, uint64_t peer, struct span body) {
    struct err err;
    uint64_t applied = 0;
    if (!replica_state_is_member(r->state)) {
        return;
    }
    struct told_member *t = mem_zalloc(sizeof *t);
    if (!is_ok(read_row(body, t, &applied, &err))) {
        replica__complain(r, peer, "member's row", &err);
        free_told(t);
    } else if (!is_wanted(r, t, applied)) {
        free_told(t);
    } else {
        take(r, t);
    }
}

static void keep_row(struct replica *r, const struct entry_member *member) {
    AUTO(buf_deinit)
    struct buf body = {0};
    uint64_t applied = 0;
    struct told_member *t = mem_zalloc(sizeof *t);
    replica_peer_row_encode(&(struct replica_peer_row){replica_applied(r), *member}, &body);
    CHECK(is_ok(read_row(buf_span(&body), t, &applied, NULL)));
    t->is_leaving = true;
    t->heard_ms = replica_now(r);
    if (r->told_count == LIMIT_MEMBERS) {
        drop_told(r, 0);
    }
    r->told[r->told_count++] = t;
}

/* Who asked to leave waits for the end of that by itself. */
void replica__keep_leaving(struct replica *r, uint64_t id) {
    const struct core_member *m = id == 0 ? NULL : core_find_member(r->core, id);
    if (m != NULL && m->state == CORE_LEAVING && id != r->options.id && find_told(r, id) == NULL) {
        keep_row(r, &m->member);
    }
}

/* A row that stands in the table, and not because it was kept from there. */
static bool is_known(struct replica *r, struct told_member *t) {
    bool is_in_table = core_find_member(r->core, t->member.id) != NULL;
    if (is_in_table && t->is_leaving) {
        t->heard_ms = replica_now(r);
    }
    return is_in_table && !t->is_leaving;
}

/* What the log has brought meanwhile, and what nobody speaks of. True: something was dropped. */
static bool drop_stale(struct replica *r) {
    bool is_changed = false;
    for (size_t i = r->told_count; i > 0; i--) {
        struct told_member *t = r->told[i - 1];
        if (is_known(r, t) || replica_now(r) - t->heard_ms >= REPLICA_TOLD_MS) {
            drop_told(r, i - 1);
            is_changed = true;
        }
    }
    return is_changed;
}

void replica__told_tick(struct replica *r) {
    if (drop_stale(r)) {
        replica__set_peers(r);
    }
}
