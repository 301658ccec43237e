/* Links of the simulation: a pair is linked while both ends want each other, both live, and no
 * fault cuts it. What is sent into a cut waits for the cut to heal; after BREAK_MS the link breaks.
 * What is on the way when a link breaks is lost (rule R6: never late, never twice).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_kill.h"

#define CONNECT_MS 5
#define BREAK_MS 1500 /* a link that is cut in one direction breaks after this */

static bool wants(const struct sim_pod *p, uint64_t id) {
    for (size_t i = 0; i < p->wanted_count; i++) {
        if (p->wanted[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_broken(const struct sim *s, unsigned a, unsigned b) {
    const struct sim_link *l = &s->links[a][b];
    return l->is_cut && (!l->is_up || s->now_ms >= l->cut_ms + BREAK_MS);
}

static bool is_possible(const struct sim *s, unsigned a, unsigned b) {
    const struct sim_pod *x = &s->pods[a];
    const struct sim_pod *y = &s->pods[b];
    return x->replica != NULL && y->replica != NULL && wants(x, y->id) && wants(y, x->id) &&
           !is_broken(s, a, b) && !is_broken(s, b, a);
}

static void clear(struct sim_link *l) {
    while (l->first != NULL) {
        struct sim_message *m = l->first;
        l->first = m->next;
        buf_deinit(&m->body);
        mem_free(m);
    }
    l->last = NULL;
}

static void take_down(struct sim *s, unsigned a, unsigned b) {
    struct sim_link *l = &s->links[a][b];
    bool was_up = l->is_up;
    l->is_up = false;
    l->up_ms = 0;
    clear(l);
    if (was_up && s->pods[a].replica != NULL) {
        replica_link(s->pods[a].replica, s->pods[b].id, false);
    }
}

/* Whoever had a link with it may see that the process is gone, not only that it is silent. */
static void tell_gone(struct sim *s, unsigned slot, const bool *was_up) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (was_up[i] && p->replica != NULL && p->paused_ms == 0 && sim_below(s, 2) == 0) {
            replica_link_gone(p->replica, s->pods[slot].id);
        }
    }
}

void sim_net_drop(struct sim *s, unsigned slot) {
    bool was_up[SIM_SLOTS] = {false};
    for (unsigned i = 0; i < s->pod_count; i++) {
        was_up[i] = s->links[i][slot].is_up;
        take_down(s, slot, i);
        take_down(s, i, slot);
    }
    tell_gone(s, slot, was_up);
}

void sim_net_reset(struct sim *s, unsigned a, unsigned b) {
    take_down(s, a, b);
    take_down(s, b, a);
    s->is_net_stale = true;
}

void sim_net_update(struct sim *s) {
    s->is_net_stale = false;
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = a + 1; b < s->pod_count; b++) {
            bool is_up = s->links[a][b].is_up || s->links[a][b].up_ms != 0;
            bool can = is_possible(s, a, b);
            if (!can && is_up) {
                take_down(s, a, b);
                take_down(s, b, a);
            } else if (can && !is_up) {
                s->links[a][b].up_ms = s->now_ms + CONNECT_MS + sim_below(s, CONNECT_MS);
            }
        }
    }
}

void sim_net_send(struct sim *s, unsigned from, uint64_t to_id, uint8_t type, struct span body) {
    for (unsigned to = 0; to < s->pod_count; to++) {
        struct sim_link *l = &s->links[from][to];
        if (s->pods[to].id != to_id || !l->is_up || s->pods[to].replica == NULL) {
            continue;
        }
        uint64_t delay = 1 + sim_below(s, 4) + (sim_below(s, 50) == 0 ? sim_below(s, 300) : 0);
        uint64_t at = s->now_ms + delay;
        struct sim_message *m = mem_zalloc(sizeof *m);
        m->at_ms = at > l->last_ms ? at : l->last_ms;
        m->type = type;
        buf_append_span(&m->body, body);
        l->last_ms = m->at_ms;
        if (l->last == NULL) {
            l->first = m;
        } else {
            l->last->next = m;
        }
        l->last = m;
    }
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t up_at(const struct sim *s, unsigned from, unsigned to) {
    uint64_t at = s->links[from][to].up_ms;
    return at == 0 ? UINT64_MAX : later(at, later(s->pods[from].paused_ms, s->pods[to].paused_ms));
}

static uint64_t due_at(const struct sim *s, unsigned from, unsigned to) {
    const struct sim_link *l = &s->links[from][to];
    uint64_t at = up_at(s, from, to);
    if (l->first != NULL && !l->is_cut) {
        uint64_t message = later(l->first->at_ms, s->pods[to].paused_ms);
        at = message < at ? message : at;
    }
    return at;
}

/* When a cut link breaks; the update notices. */
static uint64_t break_at(const struct sim_link *l) {
    return l->is_cut && l->is_up ? l->cut_ms + BREAK_MS : UINT64_MAX;
}

uint64_t sim_net_next(const struct sim *s) {
    uint64_t next = UINT64_MAX;
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            uint64_t at = due_at(s, a, b);
            uint64_t broken = break_at(&s->links[a][b]);
            at = broken < at ? broken : at;
            next = at < next ? at : next;
        }
    }
    return next;
}

static void bring_up(struct sim *s, unsigned a, unsigned b) {
    s->links[a][b].up_ms = 0;
    s->links[a][b].is_up = true;
    s->links[b][a].is_up = true;
    sim_trace(s, "link", s->pods[a].id, s->pods[b].id);
    replica_link(s->pods[a].replica, s->pods[b].id, true);
    if (s->pods[b].replica != NULL) {
        replica_link(s->pods[b].replica, s->pods[a].id, true);
    }
}

static void deliver(struct sim *s, unsigned from, unsigned to) {
    struct sim_link *l = &s->links[from][to];
    struct sim_message *m = l->first;
    l->first = m->next;
    l->last = l->first == NULL ? NULL : l->last;
    sim_trace(s, "message", s->pods[from].id ^ s->pods[to].id, m->body.size);
    replica_receive(s->pods[to].replica, s->pods[from].id, m->type, buf_span(&m->body));
    buf_deinit(&m->body);
    mem_free(m);
}

bool sim_net_deliver(struct sim *s) {
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            if (break_at(&s->links[a][b]) <= s->now_ms) {
                sim_net_update(s);
                return true;
            }
            if (due_at(s, a, b) > s->now_ms) {
                continue;
            }
            bool is_link = up_at(s, a, b) <= s->now_ms;
            if (sim_kill_before(s, b, is_link ? "link" : "message")) {
                return true;
            }
            if (is_link) {
                bring_up(s, a, b);
            } else {
                deliver(s, a, b);
            }
            return true;
        }
    }
    return false;
}

void sim_net_deinit(struct sim *s) {
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            clear(&s->links[a][b]);
        }
    }
}
