/* World, faults: drawn from the seed before anything happens, played at their time, undone at
 * theirs. What would take the majority's memory is left out when its time comes: beyond that Raft
 * promises nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "chaos-tests/world/world.h"
#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

#define PLAN_STREAM UINT64_C(0x66617565c0ffee01) /* apart from all other chance of the seed */
#define FAULT_GAP_MS 900                         /* between two, on average */
#define DAY_S 86400

struct fault_kind {
    const char *name;
    unsigned weight;
    uint64_t shortest_ms;
    uint64_t longest_ms;
    void (*begin)(struct world *w, const struct world_fault *f);
    void (*end)(struct world *w, const struct world_fault *f); /* NULL: it ends by itself */
};

static struct world_pod *pod_of(struct world *w, uint64_t n) {
    CHECK(w->pod_count > 0);
    return &w->pods[n % w->pod_count];
}

/* One in two faults hits whoever leads. */
static struct world_pod *victim(struct world *w, const struct world_fault *f) {
    for (unsigned i = 0; i < w->pod_count && f->b % 2 == 0; i++) {
        const struct replica *r = world_pod_replica(&w->pods[i]);
        if (r != NULL && replica_is_leader(r)) {
            return &w->pods[i];
        }
    }
    return pod_of(w, f->a);
}

/* --- Ends of processes and hosts */

static void begin_kill(struct world *w, const struct world_fault *f) {
    struct world_pod *p = victim(w, f);
    if (p->process != NULL && world_pod_may_die(w, p)) {
        played_kill(p->process);
    }
}

static void begin_term(struct world *w, const struct world_fault *f) {
    struct world_pod *p = victim(w, f);
    if (p->process != NULL && world_pod_may_die(w, p)) {
        p->is_told = true;
        played_signal(p->process, SIGTERM);
    }
}

static void begin_pause(struct world *w, const struct world_fault *f) {
    played_host_pause(w->played, victim(w, f)->host);
}

/* The leader of the beginning may not be that of the end: all are woken. */
static void end_pause(struct world *w, const struct world_fault *f) {
    (void)f;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        played_host_resume(w->played, i);
    }
}

static void begin_host_loss(struct world *w, const struct world_fault *f) {
    struct world_pod *p = victim(w, f);
    if (p->process != NULL && world_pod_may_die(w, p)) {
        played_host_kill(w->played, p->host);
    }
}

/* --- The network */

static const struct played_link whole = {.delay_min_ms = 1, .delay_max_ms = 3};

static void cut(struct world *w, unsigned from, unsigned to, bool is_cut) {
    struct played_link l = whole;
    l.is_cut = is_cut;
    played_link_set(w->played, from, to, &l);
}

static void begin_cut(struct world *w, const struct world_fault *f) {
    unsigned from = victim(w, f)->host;
    for (unsigned to = 0; to < WORLD_HOSTS; to++) {
        if (to != from && (f->c >> to & 1) != 0) {
            cut(w, from, to, true);
            if ((f->c >> 40 & 1) != 0) {
                cut(w, to, from, true);
            }
        }
    }
}

static void begin_partition(struct world *w, const struct world_fault *f) {
    for (unsigned a = 0; a < WORLD_HOSTS; a++) {
        for (unsigned b = 0; b < WORLD_HOSTS; b++) {
            if ((f->c >> a & 1) != (f->c >> b & 1)) {
                cut(w, a, b, true);
            }
        }
    }
}

static void end_links(struct world *w, const struct world_fault *f) {
    (void)f;
    for (unsigned a = 0; a < WORLD_HOSTS; a++) {
        for (unsigned b = 0; b < WORLD_HOSTS; b++) {
            played_link_set(w->played, a, b, &whole);
        }
    }
}

static void begin_reset(struct world *w, const struct world_fault *f) {
    played_link_reset(w->played, victim(w, f)->host, (unsigned)(f->c % WORLD_HOSTS));
}

static void begin_slow(struct world *w, const struct world_fault *f) {
    struct played_link slow = {.delay_min_ms = 1 + (uint32_t)(f->c % 50),
                               .delay_max_ms = 60 + (uint32_t)(f->c % 400),
                               .stall_permille = (uint32_t)(f->c >> 16) % 60,
                               .stall_max_ms = 800,
                               .bytes_per_ms = (f->c >> 32 & 1) != 0 ? 200 : 0};
    for (unsigned to = 0; to < WORLD_HOSTS; to++) {
        played_link_set(w->played, victim(w, f)->host, to, &slow);
    }
}

/* --- Clocks: one at a time, for two of three would outvote the third; and what a voter said of its
 * clock counts for others a while longer */

static bool may_turn(const struct world *w, unsigned host) {
    bool is_forgotten =
        w->clock_right_ms == 0 || world_now(w) >= w->clock_right_ms + REPLICA_CLOCK_MS + 2000;
    return w->wrong_host == host || (!w->is_clock_wrong && is_forgotten);
}

static void turn(struct world *w, unsigned host, int64_t skew_s, int32_t ppm) {
    if (may_turn(w, host)) {
        w->wrong_host = host;
        w->is_clock_wrong = true;
        played_host_clock(w->played, host, skew_s, ppm);
    }
}

static void begin_clock(struct world *w, const struct world_fault *f) {
    static const int64_t steps[] = {600, -600, DAY_S, -DAY_S, 365 * (int64_t)DAY_S};
    turn(w, pod_of(w, f->a)->host, steps[f->c % 5], 0);
}

static void begin_drift(struct world *w, const struct world_fault *f) {
    turn(w, pod_of(w, f->a)->host, 0, (int32_t)(f->c % 40001) - 20000); /* 2 % */
}

static void end_clock(struct world *w, const struct world_fault *f) {
    (void)f;
    if (w->is_clock_wrong) {
        w->is_clock_wrong = false;
        w->clock_right_ms = world_now(w);
        played_host_clock(w->played, w->wrong_host, 0, 0);
    }
}

/* --- Security processors, AMD's key service, names */

static void begin_processor(struct world *w, const struct world_fault *f) {
    static const enum room_port_mode modes[] = {
        ROOM_PORT_ANSWERS, ROOM_PORT_BUSY,    ROOM_PORT_REFUSES,   ROOM_PORT_SILENT,
        ROOM_PORT_STALE,   ROOM_PORT_GARBAGE, ROOM_PORT_BAD_TABLE,
    };
    struct room_port *port = machine_room_port(w->room, pod_of(w, f->a)->host);
    port->mode = modes[f->c % (sizeof modes / sizeof modes[0])];
    port->latency_ms = 100 + (f->c >> 8) % 2000;
    w->has_liar = w->has_liar || port->mode >= ROOM_PORT_STALE;
    port->has_no_certificates = (f->c >> 40 & 1) != 0;
}

static void end_processor(struct world *w, const struct world_fault *f) {
    (void)f;
    w->lied_ms = w->has_liar ? world_now(w) : w->lied_ms;
    w->has_liar = false;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        struct room_port *port = machine_room_port(w->room, i);
        port->mode = ROOM_PORT_ANSWERS;
        port->latency_ms = 5;
        port->has_no_certificates = false;
    }
}

static void begin_kds(struct world *w, const struct world_fault *f) {
    struct room_kds *kds = machine_room_kds(w->room);
    kds->mode = (enum room_kds_mode)(f->c % (ROOM_KDS_TOO_MUCH + 1));
    kds->latency_ms = 50 + (f->c >> 8) % 3000;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) { /* now it is needed */
        machine_room_port(w->room, i)->has_no_certificates = (f->c >> (16 + i) & 1) != 0;
    }
}

static void end_kds(struct world *w, const struct world_fault *f) {
    struct room_kds *kds = machine_room_kds(w->room);
    (void)f;
    kds->mode = ROOM_KDS_UP;
    kds->latency_ms = 50;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        machine_room_port(w->room, i)->has_no_certificates = false;
    }
}

static void begin_names(struct world *w, const struct world_fault *f) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        bool is_wrong = (f->c >> i & 1) != 0;
        unsigned other = (f->c >> 20 & 1) != 0 ? UINT_MAX : w->pods[(i + 1) % w->pod_count].host;
        played_name(w->played, w->pods[i].name, is_wrong ? other : w->pods[i].host);
    }
}

static void end_names(struct world *w, const struct world_fault *f) {
    (void)f;
    for (unsigned i = 0; i < w->pod_count; i++) {
        played_name(w->played, w->pods[i].name, w->pods[i].host);
    }
}

/* --- Pods that move, clones, strangers */

static bool is_taken(const struct world *w, unsigned host) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        if (w->pods[i].host == host) {
            return true;
        }
    }
    return false;
}

/* A pod is started again on another node: same name, another address. */
static void begin_move(struct world *w, const struct world_fault *f) {
    struct world_pod *p = victim(w, f);
    if (p->process == NULL || is_taken(w, WORLD_HOST_SPARE) || !world_pod_may_die(w, p)) {
        return;
    }
    world_pod_move(p, WORLD_HOST_SPARE);
    played_kill(p->process);
}

/* The host starts the same image once more under the name of a pod that runs. */
static void begin_clone(struct world *w, const struct world_fault *f) {
    const struct world_pod *p = pod_of(w, f->a);
    world_pod_stray(w, p->name, WORLD_HOST_BAD, &p->identity, false);
}

/* A stranger's image, guest or machine. */
void world_fault_spoil(uint64_t dice, struct pod_identity *id) {
    switch (dice % 7) {
    case 0:
        id->host_data[0] ^= 1;
        break;
    case 1:
        id->measurement[0] = 1;
        break;
    case 2:
        id->policy = SNP_POLICY_SMT | SNP_POLICY_RESERVED_ONE | SNP_POLICY_DEBUG;
        break;
    case 3:
        id->vmpl = 1;
        break;
    case 4:
        id->machine = ROOM_OLD_TCB;
        break;
    case 5:
        id->machine = ROOM_UNLISTED;
        break;
    default:
        id->machine = ROOM_ROGUE;
        break;
    }
}

static void begin_stranger(struct world *w, const struct world_fault *f) {
    struct pod_identity id = {0};
    char name[32];
    memcpy(id.host_data, w->policies[0], sizeof id.host_data);
    world_fault_spoil(f->c, &id);
    snprintf(name, sizeof name, "coordinator-%u",
             (unsigned)((f->c >> 8 & 1) != 0 ? f->a % w->pod_count : w->pod_count + f->a % 3));
    world_pod_stray(w, name, WORLD_HOST_BAD, &id, true);
}

static void end_strays(struct world *w, const struct world_fault *f) {
    (void)f;
    for (size_t i = 0; i < w->stray_count; i++) {
        if (w->strays[i].process != NULL) {
            played_kill(w->strays[i].process);
        }
    }
}

static void begin_starve(struct world *w, const struct world_fault *f) {
    static const uint64_t most_ms[] = {3, 20, 100, 500};
    played_host_slow(w->played, victim(w, f)->host, most_ms[f->c % 4]);
}

static void end_starve(struct world *w, const struct world_fault *f) {
    (void)f;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        played_host_slow(w->played, i, 0);
    }
}

static void begin_resolver(struct world *w, const struct world_fault *f) {
    played_name_service(w->played, 1 + f->c % 4000, (f->c >> 20) % 2 == 0);
}

static void end_resolver(struct world *w, const struct world_fault *f) {
    (void)f;
    played_name_service(w->played, 0, false);
}

static const struct fault_kind kinds[WORLD_FAULT_KINDS] = {
    [WORLD_KILL] = {"kill", 14, 0, 0, begin_kill, NULL},
    [WORLD_TERM] = {"term", 8, 0, 0, begin_term, NULL},
    [WORLD_PAUSE] = {"pause", 12, 100, 20000, begin_pause, end_pause},
    [WORLD_HOST_LOSS] = {"host-loss", 4, 0, 0, begin_host_loss, NULL},
    [WORLD_CUT] = {"cut", 12, 200, 6000, begin_cut, end_links},
    [WORLD_PARTITION] = {"partition", 8, 200, 8000, begin_partition, end_links},
    [WORLD_RESET] = {"reset", 6, 0, 0, begin_reset, NULL},
    [WORLD_SLOW] = {"slow", 8, 500, 6000, begin_slow, end_links},
    [WORLD_CLOCK] = {"clock", 5, 1000, 30000, begin_clock, end_clock},
    [WORLD_DRIFT] = {"drift", 3, 1000, 30000, begin_drift, end_clock},
    [WORLD_PROCESSOR] = {"processor", 7, 500, 20000, begin_processor, end_processor},
    [WORLD_KDS] = {"kds", 4, 500, 20000, begin_kds, end_kds},
    [WORLD_NAMES] = {"names", 4, 500, 8000, begin_names, end_names},
    [WORLD_MOVE] = {"move", 4, 0, 0, begin_move, NULL},
    [WORLD_CLONE] = {"clone", 4, 500, 9000, begin_clone, end_strays},
    [WORLD_STRANGER] = {"stranger", 5, 500, 9000, begin_stranger, end_strays},
    [WORLD_STARVE] = {"starve", 6, 500, 9000, begin_starve, end_starve},
    [WORLD_RESOLVER] = {"resolver", 4, 500, 9000, begin_resolver, end_resolver},
};

/* --- The plan */

static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static enum world_fault_kind choose_kind(uint64_t dice) {
    unsigned total = 0;
    for (unsigned i = 0; i < WORLD_FAULT_KINDS; i++) {
        total += kinds[i].weight;
    }
    unsigned at = (unsigned)(dice % total);
    unsigned kind = 0;
    while (at >= kinds[kind].weight) {
        at -= kinds[kind++].weight;
    }
    return (enum world_fault_kind)kind;
}

static bool is_wanted(const struct world_options *o, uint64_t number) {
    for (size_t i = 0; i < o->only_count; i++) {
        if (o->only[i] == number) {
            return true;
        }
    }
    return o->only == NULL;
}

size_t world_plan(const struct world_options *o, struct world_fault out[WORLD_FAULTS]) {
    uint64_t state = o->seed ^ PLAN_STREAM;
    uint64_t at = 0;
    size_t count = 0;
    for (uint64_t number = 1; number <= WORLD_FAULTS; number++) {
        struct world_fault f = {.number = number};
        at += draw(&state) % ((uint64_t)2 * FAULT_GAP_MS);
        f.at_ms = at;
        f.kind = choose_kind(draw(&state));
        const struct fault_kind *k = &kinds[f.kind];
        uint64_t span = k->longest_ms - k->shortest_ms + 1;
        uint64_t length = draw(&state);
        length =
            length % 4 == 0 ? length / 4 % span : length / 4 % (span / 4 + 1); /* mostly short */
        f.duration_ms = k->shortest_ms + length;
        f.a = draw(&state) >> 8;
        f.b = draw(&state) >> 8;
        f.c = draw(&state) >> 8;
        if (at < o->chaos_ms && is_wanted(o, number)) {
            out[count++] = f;
        }
    }
    return count;
}

void world_plan_print(const struct world_fault *f, char out[WORLD_TEXT]) {
    snprintf(out, WORLD_TEXT, "%3llu  at %6llu ms  %-10s for %5llu ms  a=%llu b=%llu c=%llu",
             (unsigned long long)f->number, (unsigned long long)f->at_ms, kinds[f->kind].name,
             (unsigned long long)f->duration_ms, (unsigned long long)(f->a % WORLD_HOSTS),
             (unsigned long long)(f->b % 2), (unsigned long long)f->c);
}

/* --- Playing it */

struct due {
    struct world *world;
    const struct world_fault *fault;
};

static void on_end(void *data) {
    struct due *d = data;
    struct world *w = d->world;
    if (!w->is_quiet) {
        log_info("fault %llu %s ends", (unsigned long long)d->fault->number,
                 kinds[d->fault->kind].name);
        kinds[d->fault->kind].end(w, d->fault);
    }
    mem_free(d);
}

static void on_begin(void *data) {
    struct due *d = data;
    struct world *w = d->world;
    const struct fault_kind *k = &kinds[d->fault->kind];
    if (w->is_quiet) {
        mem_free(d);
        return;
    }
    log_info("fault %llu %s", (unsigned long long)d->fault->number, k->name);
    w->result->faults++;
    k->begin(w, d->fault);
    if (k->end != NULL) {
        played_at(w->played, world_now(w) + d->fault->duration_ms, on_end, d);
    } else {
        mem_free(d);
    }
}

void world_fault_schedule(struct world *w) {
    uint64_t begin = world_now(w);
    for (size_t i = 0; i < w->plan_count; i++) {
        struct due *d = mem_zalloc(sizeof *d);
        *d = (struct due){w, &w->plan[i]};
        played_at(w->played, begin + w->plan[i].at_ms, on_begin, d);
    }
}

void world_fault_heal(struct world *w) {
    log_info("everything heals");
    for (unsigned i = 0; i < WORLD_FAULT_KINDS; i++) {
        if (kinds[i].end != NULL) {
            kinds[i].end(w, NULL);
        }
    }
}

bool world_fault_is_excused(const struct world *w, uint64_t begun_ms) {
    return w->has_liar || (w->lied_ms != 0 && begun_ms <= w->lied_ms);
}
