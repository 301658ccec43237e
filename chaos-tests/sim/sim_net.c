/* Links of the simulation: a pair is linked while both ends want each other, both live, and no
 * fault cuts it. What is sent into a cut waits for the cut to heal; after BREAK_MS the link breaks,
 * and what is on the way is lost. Within a connection messages come first in first out; only a
 * fault (SIM_LATE, SIM_TWICE) brings bytes of a connection that is gone, or the same ones twice.
 *
 * Messages lie in one heap, by time and number. Who is paused, or behind a cut, has them held.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"

#define CONNECT_MS 5
#define BREAK_MS 1500 /* a link that is cut in one direction breaks after this */
#define SICK_MS 1000  /* after a cut: messages that waited are not through yet */

/* --- Heap */

static bool is_before(const struct sim_message *a, const struct sim_message *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void swap(struct sim_message **x, struct sim_message **y) {
    struct sim_message *m = *x;
    *x = *y;
    *y = m;
}

static void sift_up(struct sim *s, size_t i) {
    for (; i > 0 && is_before(s->heap[i], s->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(&s->heap[i], &s->heap[(i - 1) / 2]);
    }
}

static void sift_down(struct sim *s, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->heap_count; child++) {
            least = is_before(s->heap[child], s->heap[least]) ? child : least;
        }
        if (least == i) {
            return;
        }
        swap(&s->heap[i], &s->heap[least]);
        i = least;
    }
}

static void add(struct sim_message ***list, size_t *count, size_t *capacity,
                struct sim_message *m) {
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 256 : 2 * *capacity;
        *list = mem_realloc(*list, *capacity * sizeof **list);
    }
    (*list)[(*count)++] = m;
}

static void push(struct sim *s, struct sim_message *m) {
    add(&s->heap, &s->heap_count, &s->heap_capacity, m);
    sift_up(s, s->heap_count - 1);
}

static struct sim_message *pop(struct sim *s) {
    struct sim_message *m = s->heap[0];
    s->heap[0] = s->heap[--s->heap_count];
    sift_down(s, 0);
    return m;
}

/* --- Up and down */

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

static void come_up_at(struct sim *s, struct sim_link *l, uint64_t at_ms) {
    s->net_watch = s->net_watch + (at_ms != 0) - (l->up_ms != 0);
    l->up_ms = at_ms;
}

static void set_cut(struct sim *s, struct sim_link *l, bool is_cut) {
    s->net_watch = s->net_watch + is_cut - l->is_cut;
    l->is_cut = is_cut;
}

static void take_down(struct sim *s, unsigned a, unsigned b) {
    struct sim_link *l = &s->links[a][b];
    bool was_up = l->is_up;
    l->is_up = false;
    l->connection++;
    come_up_at(s, l, 0);
    if (was_up && s->pods[a].replica != NULL) {
        replica_link(sim_pod_use(&s->pods[a]), s->pods[b].id, false);
    }
}

/* Whoever had a link with it may see that the process is gone, not only that it is silent. */
static void tell_gone(struct sim *s, unsigned slot, const bool *was_up) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (was_up[i] && p->replica != NULL && p->paused_ms == 0 &&
            sim_chance_hits(&s->chance, 500)) {
            replica_link_gone(sim_pod_use(p), s->pods[slot].id);
        }
    }
}

void sim_net_drop(struct sim *s, unsigned slot) {
    bool was_up[SIM_SLOTS] = {false};
    for (unsigned i = 0; i < s->pod_count; i++) {
        was_up[i] = s->links[i][slot].is_up;
        take_down(s, slot, i);
        take_down(s, i, slot);
        s->links[slot][i].heard_ms = 0;
    }
    tell_gone(s, slot, was_up);
}

void sim_net_reset(struct sim *s, unsigned a, unsigned b) {
    take_down(s, a, b);
    take_down(s, b, a);
    s->is_net_stale = true;
}

static void delay(struct sim *s, struct sim_message *m, unsigned a, unsigned b, uint64_t late_ms) {
    bool is_theirs = (m->from == a && m->to == b) || (m->from == b && m->to == a);
    if (is_theirs && m->connection == s->links[m->from][m->to].connection) {
        m->is_old = true;
        m->at_ms = s->now_ms + 1 + sim_chance_below(&s->links[a][b].chance, late_ms);
    }
}

void sim_net_reset_late(struct sim *s, unsigned a, unsigned b, uint64_t late_ms) {
    for (size_t i = 0; i < s->heap_count; i++) {
        delay(s, s->heap[i], a, b, late_ms);
    }
    for (size_t i = 0; i < s->held_count; i++) {
        delay(s, s->held[i], a, b, late_ms);
    }
    for (size_t i = s->heap_count / 2; i-- > 0;) {
        sift_down(s, i);
    }
    sim_net_reset(s, a, b);
}

void sim_net_update(struct sim *s) {
    s->is_net_stale = false;
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = a + 1; b < s->pod_count; b++) {
            struct sim_link *l = &s->links[a][b];
            bool is_up = l->is_up || l->up_ms != 0;
            bool can = is_possible(s, a, b);
            if (!can && is_up) {
                take_down(s, a, b);
                take_down(s, b, a);
            } else if (can && !is_up) {
                come_up_at(s, l, s->now_ms + CONNECT_MS + sim_chance_below(&l->chance, CONNECT_MS));
            }
        }
    }
}

static void bring_up(struct sim *s, unsigned a, unsigned b) {
    come_up_at(s, &s->links[a][b], 0);
    s->links[a][b].is_up = true;
    s->links[b][a].is_up = true;
    sim_trace(s, "link", s->pods[a].id, s->pods[b].id);
    replica_link(sim_pod_use(&s->pods[a]), s->pods[b].id, true);
    if (s->pods[b].replica != NULL) {
        replica_link(sim_pod_use(&s->pods[b]), s->pods[a].id, true);
    }
}

/* --- Faults */

void sim_net_cut(struct sim *s, unsigned from, unsigned to, uint64_t heal_ms) {
    struct sim_link *l = &s->links[from][to];
    if (from == to) {
        return;
    }
    if (!l->is_cut) {
        set_cut(s, l, true);
        l->cut_ms = s->now_ms;
        l->heal_ms = heal_ms;
        s->is_net_stale = true;
    } else if (heal_ms > l->heal_ms) {
        l->heal_ms = heal_ms;
    }
}

static void heal(struct sim *s, unsigned from, unsigned to) {
    sim_trace(s, "heal", from, to);
    set_cut(s, &s->links[from][to], false);
    s->pods[from].sick_ms = s->pods[to].sick_ms = s->now_ms + SICK_MS;
    s->is_net_stale = true;
    sim_net_release(s);
}

void sim_net_heal(struct sim *s) {
    for (unsigned a = 0; a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            struct sim_link *l = &s->links[a][b];
            l->twice_ms = l->loss_ms = l->slow_ms = 0;
            if (l->is_cut) {
                heal(s, a, b);
            }
        }
    }
}

bool sim_net_is_healthy(const struct sim *s, unsigned slot) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_link *to = &s->links[slot][i];
        const struct sim_link *from = &s->links[i][slot];
        if (to->is_cut || from->is_cut || s->now_ms < to->loss_ms || s->now_ms < from->loss_ms ||
            s->now_ms < to->slow_ms || s->now_ms < from->slow_ms) {
            return false;
        }
    }
    return true;
}

/* --- Messages */

static struct sim_message *new_message(struct sim *s, unsigned from, unsigned to, uint8_t type,
                                       struct span body) {
    struct sim_message *m = mem_alloc(sizeof *m + body.size);
    *m = (struct sim_message){.number = ++s->next_message,
                              .from_id = s->pods[from].id,
                              .to_id = s->pods[to].id,
                              .connection = s->links[from][to].connection,
                              .from = (uint8_t)from,
                              .to = (uint8_t)to,
                              .type = type,
                              .size = body.size};
    memcpy(m->body, body.data, body.size);
    return m;
}

static void send_over(struct sim *s, struct sim_link *l, unsigned from, unsigned to, uint8_t type,
                      struct span body) {
    uint64_t ms = 1 + sim_chance_below(&l->chance, 4);
    ms += sim_chance_below(&l->chance, 50) == 0 ? sim_chance_below(&l->chance, 300) : 0;
    ms += s->now_ms < l->slow_ms ? sim_chance_below(&l->chance, l->slow_by_ms + 1) : 0;
    if (s->now_ms < l->loss_ms && sim_chance_hits(&l->chance, l->loss_permille)) {
        return;
    }
    struct sim_message *m = new_message(s, from, to, type, body);
    m->at_ms = s->now_ms + ms > l->last_ms ? s->now_ms + ms : l->last_ms;
    l->last_ms = m->at_ms;
    if (s->now_ms < l->twice_ms) {
        struct sim_message *again = new_message(s, from, to, type, body);
        again->is_old = true;
        again->at_ms = m->at_ms + 1 + sim_chance_below(&l->chance, l->twice_by_ms);
        push(s, again);
    }
    push(s, m);
}

void sim_net_send(struct sim *s, unsigned from, uint64_t to_id, uint8_t type, struct span body) {
    for (unsigned to = 0; to < s->pod_count; to++) {
        struct sim_link *l = &s->links[from][to];
        if (s->pods[to].id == to_id && l->is_up && s->pods[to].replica != NULL) {
            send_over(s, l, from, to, type, body);
        }
    }
}

enum verdict { TAKE, HOLD, DROP };

static enum verdict judge(const struct sim *s, const struct sim_message *m) {
    const struct sim_link *l = &s->links[m->from][m->to];
    const struct sim_pod *p = &s->pods[m->to];
    bool is_there = p->replica != NULL && p->id == m->to_id;
    if (!is_there || (!m->is_old && (!l->is_up || l->connection != m->connection))) {
        return DROP;
    }
    return p->paused_ms != 0 || l->is_cut ? HOLD : TAKE;
}

/* They go in again in the order in which they were sent. */
void sim_net_release(struct sim *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->held_count; i++) {
        struct sim_message *m = s->held[i];
        switch (judge(s, m)) {
        case HOLD:
            s->held[kept++] = m;
            break;
        case DROP:
            mem_free(m);
            break;
        case TAKE:
            m->at_ms = m->at_ms > s->now_ms ? m->at_ms : s->now_ms;
            push(s, m);
        }
    }
    s->held_count = kept;
}

/* --- What is next */

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t up_at(const struct sim *s, unsigned from, unsigned to) {
    uint64_t at = s->links[from][to].up_ms;
    return at == 0 ? UINT64_MAX : later(at, later(s->pods[from].paused_ms, s->pods[to].paused_ms));
}

/* When a cut link breaks (the update notices), or heals. */
static uint64_t cut_at(const struct sim_link *l) {
    if (!l->is_cut) {
        return UINT64_MAX;
    }
    return l->is_up ? earlier(l->cut_ms + BREAK_MS, l->heal_ms) : l->heal_ms;
}

uint64_t sim_net_next(const struct sim *s) {
    uint64_t next = s->heap_count == 0 ? UINT64_MAX : s->heap[0]->at_ms;
    for (unsigned a = 0; s->net_watch > 0 && a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            next = earlier(next, earlier(up_at(s, a, b), cut_at(&s->links[a][b])));
        }
    }
    return next;
}

/* True: something happened to this link. */
static bool tend_link(struct sim *s, unsigned a, unsigned b) {
    struct sim_link *l = &s->links[a][b];
    if (l->is_cut && l->heal_ms <= s->now_ms) {
        heal(s, a, b);
        return true;
    }
    if (cut_at(l) <= s->now_ms) {
        sim_net_update(s);
        return true;
    }
    if (up_at(s, a, b) > s->now_ms) {
        return false;
    }
    if (!sim_kill_before(s, b, "link")) {
        bring_up(s, a, b);
    }
    return true;
}

static bool tend_links(struct sim *s) {
    for (unsigned a = 0; s->net_watch > 0 && a < s->pod_count; a++) {
        for (unsigned b = 0; b < s->pod_count; b++) {
            if (tend_link(s, a, b)) {
                return true;
            }
        }
    }
    return false;
}

static void deliver(struct sim *s) {
    struct sim_message *m = pop(s);
    sim_trace(s, "message", m->from_id ^ m->to_id, m->size);
    s->result->old_messages += m->is_old ? 1 : 0;
    sim_rule_deliver(s, m);
    mem_free(m);
}

bool sim_net_deliver(struct sim *s) {
    if (tend_links(s)) {
        return true;
    }
    while (s->heap_count > 0 && s->heap[0]->at_ms <= s->now_ms) {
        enum verdict v = judge(s, s->heap[0]);
        if (v == DROP) {
            mem_free(pop(s));
        } else if (v == HOLD) {
            add(&s->held, &s->held_count, &s->held_capacity, pop(s));
        } else {
            if (!sim_kill_before(s, s->heap[0]->to, "message")) {
                deliver(s);
            }
            return true;
        }
    }
    return false;
}

void sim_net_init(struct sim *s) {
    for (unsigned a = 0; a < SIM_SLOTS; a++) {
        for (unsigned b = 0; b < SIM_SLOTS; b++) {
            sim_chance_seed(&s->links[a][b].chance, s->options->seed,
                            SIM_STREAM_LINK + a * SIM_SLOTS + b);
        }
    }
}

void sim_net_deinit(struct sim *s) {
    while (s->heap_count > 0) {
        mem_free(s->heap[--s->heap_count]);
    }
    while (s->held_count > 0) {
        mem_free(s->held[--s->held_count]);
    }
    mem_free(s->heap);
    mem_free(s->held);
}
