/* Sim, model: see sim_model.h.
 *
 * Entries are read from the logs as soon as one replica has applied them, and decided once more by
 * a core of our own, so that the trace says what was taken and what was refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/sim/sim_model.h"

#include <inttypes.h>
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"
#include "lib/crypto/digest.h"

#define KEYS 512
#define MEMBER_ENTRIES 512
#define GRAVE_ENTRIES 256
#define KEPT 2048
#define WELL_MS 4000 /* without trouble: nobody has a reason to take it for dead any more */

/* What a replica held when it died: it may have been counted for an entry. */
struct grave {
    uint64_t from; /* index of terms[0] */
    size_t count;
    uint64_t terms[GRAVE_ENTRIES];
};

struct life {
    uint64_t id;
    uint64_t name;
    uint64_t generation, epoch; /* that it was last seen to hold */
    unsigned key;
    uint64_t led_term;
    bool is_started, is_dead;
    struct grave grave;
};

/* An entry that some log held and that is not written yet: it may be compacted in the very event in
 * which it is applied. */
struct kept {
    uint64_t index;
    struct node_entry entry; /* with a reference of its own */
};

struct sim_model {
    FILE *out;
    bool is_full;
    struct life lives[SIM_MODEL_IDS];
    unsigned count;
    struct core *core; /* decides entries; NULL before the founding */
    struct core_result result;
    uint64_t seen; /* index of the last entry that was written */
    uint64_t epoch;
    struct node_config config;
    uint64_t member_entries[MEMBER_ENTRIES]; /* indexes since the epoch began */
    size_t member_count, member_base;
    uint8_t keys[KEYS][SHA256_SIZE];
    unsigned key_count;
    uint32_t well;
    unsigned leader;
    struct kept kept[KEPT];
    size_t kept_count;
};

/* --- Writing */

static struct sim_model *model_of(const struct sim *s) {
    return s->model == NULL || s->model->is_full ? NULL : s->model;
}

static PRINTF_LIKE(2, 3) void say(struct sim_model *m, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(m->out, format, args);
    va_end(args);
    fputc('\n', m->out);
}

static void stop_short(struct sim_model *m) {
    say(m, "FULL");
    m->is_full = true;
}

static unsigned find_life(const struct sim_model *m, uint64_t id) {
    unsigned i = 0;
    while (i < m->count && m->lives[i].id != id) {
        i++;
    }
    return i;
}

static unsigned number_of_key(struct sim_model *m, struct span key) {
    uint8_t digest[SHA256_SIZE];
    unsigned i = 0;
    if (key.size == 0) {
        return 0;
    }
    sha256(key, digest);
    while (i < m->key_count && memcmp(m->keys[i], digest, sizeof digest) != 0) {
        i++;
    }
    if (i == m->key_count && i < KEYS) {
        memcpy(m->keys[m->key_count++], digest, sizeof digest);
    }
    return i + 1;
}

/* --- Who is there */

static bool is_followed(const struct sim *s, const struct sim_pod *p) {
    return p->replica != NULL && !sim_owner_is_stale(s, p);
}

static void note_births(struct sim *s, struct sim_model *m) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (p->replica == NULL || find_life(m, p->id) < m->count) {
            continue;
        }
        if (m->count == SIM_MODEL_IDS) {
            stop_short(m);
            return;
        }
        m->lives[m->count++] = (struct life){.id = p->id, .name = p->slot};
        say(m, "BORN %u %u", m->count - 1, p->slot);
    }
}

static void note_founding(struct sim *s, struct sim_model *m) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        unsigned life = find_life(m, p->id);
        if (life == m->count || p->replica == NULL || m->lives[life].is_started ||
            replica_state_of(p->replica) != REPLICA_FOUNDER) {
            continue;
        }
        if (m->core == NULL) {
            m->core = core_new();
            core_apply(m->core, 1, 1, buf_span(&p->replica->found), &m->result);
            m->epoch = 1;
            size_t count = 0;
            uint32_t set = 0;
            const struct entry_member *founders = core_founders(m->core, &count);
            for (size_t k = 0; k < count; k++) {
                set |= UINT32_C(1) << find_life(m, founders[k].id);
            }
            say(m, "FOUND %" PRIu32, set);
        }
        m->lives[life].is_started = true;
        say(m, "START %u", life);
    }
}

static size_t held_members(const struct sim_model *m, uint64_t last) {
    size_t held = 0;
    while (held < m->member_count && m->member_entries[held] <= last) {
        held++;
    }
    return m->member_base + held;
}

static void note_leaders(struct sim *s, struct sim_model *m) {
    uint64_t newest = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (!is_followed(s, p) || !replica_is_leader(p->replica)) {
            continue;
        }
        unsigned life = find_life(m, p->id);
        uint64_t term = replica_term(p->replica);
        if (life < m->count && term > m->lives[life].led_term) {
            m->lives[life].led_term = term;
            say(m, "LEAD %u %" PRIu64 " %zu", life, term,
                held_members(m, node_last_index(p->replica->node)));
        }
        if (term > newest) {
            newest = term;
            m->leader = life;
        }
    }
}

static bool is_well(const struct sim *s, const struct sim_pod *p) {
    return is_followed(s, p) && sim_pod_is_settled(p) && !p->is_gone && !p->is_expelled &&
           p->paused_ms == 0 && s->now_ms >= p->sick_ms && s->now_ms >= p->trouble_ms + WELL_MS;
}

static void note_well(struct sim *s, struct sim_model *m) {
    uint32_t well = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        unsigned life = find_life(m, s->pods[i].id);
        well |= life < m->count && is_well(s, &s->pods[i]) ? UINT32_C(1) << life : 0;
    }
    if (well != m->well) {
        m->well = well;
        say(m, "WELL %" PRIu32, well);
    }
}

/* --- The log */

static uint64_t applied_by(const struct sim_pod *p) {
    const struct node *node = p->replica->node;
    uint64_t applied = node == NULL ? 0 : node_applied_index(node);
    uint64_t core = core_applied_index(replica_core(p->replica));
    return core > applied ? core : applied;
}

static bool is_kept(const struct sim_model *m, uint64_t index, uint64_t term) {
    for (size_t i = 0; i < m->kept_count; i++) {
        if (m->kept[i].index == index && m->kept[i].entry.term == term) {
            return true;
        }
    }
    return false;
}

static void keep_log(struct sim_model *m, const struct node_log *log) {
    uint64_t from = log->first > m->seen ? log->first : m->seen + 1;
    for (uint64_t i = from; i <= node_log_last(log) && m->kept_count < KEPT; i++) {
        const struct node_entry *e = node_log_get(log, i);
        if (e != NULL && !is_kept(m, i, e->term)) {
            m->kept[m->kept_count] = (struct kept){i, *e};
            if (e->payload != NULL) {
                node_payload_ref(e->payload);
            }
            m->kept_count++;
        }
    }
}

/* All of them that stand at or before `index`. */
static void let_go(struct sim_model *m, uint64_t index) {
    size_t left = 0;
    for (size_t i = 0; i < m->kept_count; i++) {
        if (m->kept[i].index > index) {
            m->kept[left++] = m->kept[i];
        } else if (m->kept[i].entry.payload != NULL) {
            node_payload_unref(m->kept[i].entry.payload);
        }
    }
    m->kept_count = left;
}

static void keep_logs(struct sim *s, struct sim_model *m) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (is_followed(s, p) && p->replica->node != NULL &&
            replica_epoch(p->replica) == m->epoch) {
            keep_log(m, &p->replica->node->log);
        }
    }
}

static const struct node_entry *find_kept(const struct sim_model *m, uint64_t index) {
    const struct node_entry *found = NULL;
    for (size_t i = 0; i < m->kept_count; i++) {
        const struct node_entry *e = &m->kept[i].entry;
        if (m->kept[i].index == index && (found == NULL || e->term > found->term)) {
            found = e;
        }
    }
    return found;
}

static const struct node_entry *find_entry(const struct sim *s, const struct sim_model *m,
                                           uint64_t index) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (is_followed(s, p) && p->replica->node != NULL &&
            replica_epoch(p->replica) == m->epoch && applied_by(p) >= index) {
            const struct node_entry *e = node_log_get(&p->replica->node->log, index);
            if (e != NULL) {
                return e;
            }
        }
    }
    return find_kept(m, index);
}

static bool holds(const struct sim_pod *p, uint64_t index, uint64_t term) {
    return p->replica->node != NULL &&
           (applied_by(p) >= index || node_log_term(&p->replica->node->log, index) == term);
}

static uint32_t stored_by(const struct sim *s, const struct sim_model *m, uint64_t index,
                          uint64_t term) {
    uint32_t set = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        unsigned life = find_life(m, p->id);
        if (life < m->count && is_followed(s, p) && holds(p, index, term)) {
            set |= UINT32_C(1) << life;
        }
    }
    for (unsigned i = 0; i < m->count; i++) {
        const struct grave *g = &m->lives[i].grave;
        if (m->lives[i].is_dead && index >= g->from && index - g->from < g->count &&
            g->terms[index - g->from] == term) {
            set |= UINT32_C(1) << i;
        }
    }
    return set;
}

static void say_member(struct sim_model *m, const char *what, uint64_t index, uint64_t id,
                       uint32_t by) {
    unsigned life = find_life(m, id);
    if (life == m->count || m->member_count == MEMBER_ENTRIES) {
        stop_short(m);
        return;
    }
    m->member_entries[m->member_count++] = index;
    if (strcmp(what, "ADMIT") == 0) {
        say(m, "ADMIT %u %u %" PRIu64 " %" PRIu32, m->leader, life, m->lives[life].name, by);
    } else {
        say(m, "%s %u %u %" PRIu32, what, m->leader, life, by);
    }
}

static void note_command(struct sim_model *m, uint64_t index, const struct node_entry *e,
                         uint32_t by) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    struct span bytes = span_of(e->payload->data, e->payload->size);
    core_apply(m->core, index, e->term, bytes, &m->result);
    const struct core_result *r = &m->result;
    if (!r->decoded || r->duplicate || r->already ||
        !is_ok(entry_decode(bytes, &arena, &entry, NULL))) {
        return;
    }
    bool is_taken = r->code == ERR_OK;
    if (r->type == ENTRY_SET_MANIFEST) {
        say(m, "SET %" PRIu64 " %u %d", entry.set_manifest.generation,
            number_of_key(m, entry.set_manifest.mesh_key), is_taken);
    } else if (r->type == ENTRY_ISSUE) {
        say(m, "ISSUE %" PRIu64 " %d", entry.issue.generation, is_taken);
    } else if (r->type == ENTRY_ADMIT && is_taken) {
        say_member(m, "ADMIT", index, entry.admit.member.id, by);
    } else if (r->type == ENTRY_RETIRE && is_taken) {
        say_member(m, entry.retire.reason == RETIRE_REMOVED ? "DROP" : "RETIRE", index,
                   entry.retire.id, by);
    }
}

static void note_change(struct sim_model *m, uint64_t index, const struct node_entry *e,
                        uint32_t by) {
    struct node_config next;
    if (!node_config_parse(span_of(e->payload->data, e->payload->size), &next)) {
        stop_short(m);
        return;
    }
    for (size_t i = 0; i < next.count; i++) {
        const struct node_member *old = node_config_find(&m->config, next.members[i].id);
        bool is_first = m->config.count == 0; /* as the founding record says */
        if (old == NULL && !is_first) {
            say_member(m, "ADD", index, next.members[i].id, by);
        } else if (old != NULL && old->role != next.members[i].role) {
            say_member(m, "PROMOTE", index, next.members[i].id, by);
        }
    }
    for (size_t i = 0; i < m->config.count; i++) {
        if (node_config_find(&next, m->config.members[i].id) == NULL) {
            say_member(m, "REMOVE", index, m->config.members[i].id, by);
        }
    }
    m->config = next;
}

static void note_entry(struct sim *s, struct sim_model *m, uint64_t index) {
    const struct node_entry *e = find_entry(s, m, index);
    if (e == NULL) {
        say(m, "GAP %" PRIu64, index);
        m->is_full = true;
        return;
    }
    uint32_t by = stored_by(s, m, index, e->term);
    if (e->type == RAFT_COMMAND) {
        note_command(m, index, e, by);
    } else if (e->type == RAFT_CHANGE) {
        note_change(m, index, e, by);
    }
}

static void note_entries(struct sim *s, struct sim_model *m) {
    uint64_t last = m->seen;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (is_followed(s, p) && replica_epoch(p->replica) == m->epoch &&
            core_epoch(replica_core(p->replica)) == m->epoch) {
            uint64_t applied = applied_by(p);
            last = applied > last ? applied : last;
        }
    }
    while (m->core != NULL && m->seen < last && !m->is_full) {
        note_entry(s, m, m->seen + 1);
        m->seen++;
    }
    let_go(m, m->seen);
}

/* --- Epochs */

static void begin_epoch(struct sim *s, struct sim_model *m, const struct sim_pod *p) {
    const struct core *core = replica_core(p->replica);
    unsigned life = find_life(m, p->id);
    uint64_t previous = m->epoch;
    let_go(m, UINT64_MAX);
    core_free(m->core);
    m->core = core_copy(core);
    m->epoch = core_epoch(core);
    m->seen = applied_by(p);
    m->member_base += m->member_count + 1; /* with RECOVER */
    m->member_count = 0;
    m->config = (struct node_config){.count = 1, .members = {{p->id, NODE_VOTER}}};
    for (unsigned i = 0; i < m->count; i++) {
        m->lives[i].grave.count = 0;
    }
    say(m, "RECOVER %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %u", life, m->epoch, previous,
        core_generation(core), number_of_key(m, core_ca(core).mesh_key));
    m->leader = life;
    m->lives[life].led_term = replica_term(p->replica);
    (void)s;
}

static void note_epochs(struct sim *s, struct sim_model *m) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (is_followed(s, p) && m->core != NULL && find_life(m, p->id) < m->count &&
            core_epoch(replica_core(p->replica)) > m->epoch) {
            begin_epoch(s, m, p);
        }
    }
}

static void note_holders(struct sim *s, struct sim_model *m) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        unsigned life = find_life(m, p->id);
        if (life == m->count || !is_followed(s, p)) {
            continue;
        }
        struct life *l = &m->lives[life];
        const struct core *core = replica_core(p->replica);
        unsigned key = number_of_key(m, core_ca(core).mesh_key);
        uint64_t generation = core_generation(core);
        if (key != 0 && (generation != l->generation || key != l->key)) {
            l->generation = generation;
            l->key = key;
            say(m, "HOLDS %u %" PRIu64 " %u %" PRIu64, life, generation, key, core_epoch(core));
        }
    }
}

/* --- Hooks */

void sim_model_step(struct sim *s) {
    struct sim_model *m = model_of(s);
    if (m == NULL) {
        return;
    }
    note_births(s, m);
    note_founding(s, m);
    note_epochs(s, m);
    note_leaders(s, m);
    note_well(s, m);
    keep_logs(s, m);
    note_entries(s, m);
    note_holders(s, m);
}

void sim_model_asked(struct sim *s, const struct sim_op *op) {
    struct sim_model *m = model_of(s);
    if (m != NULL) {
        say(m, "ASK %" PRIu64, op->ticket);
    }
}

static void note_reply(struct sim_model *m, const struct sim *s, const struct sim_op *op,
                       const struct replica_reply *reply) {
    const struct core *core = replica_core(s->pods[op->slot].replica);
    switch (op->kind) {
    case SIM_SET:
        if (!reply->result->duplicate) {
            bool is_own =
                !reply->result->already && reply->result->generation == core_generation(core);
            say(m, "ACK %" PRIu64 " %u", reply->result->generation,
                is_own ? number_of_key(m, core_ca(core).mesh_key) : 0);
        }
        break;
    case SIM_ISSUE:
        if (reply->result->issued[reply->issue].code == ERR_OK) {
            say(m, "CERT %" PRIu64 " %" PRIu64, op->ticket, op->generation);
        }
        break;
    case SIM_CONFIRM:
        say(m, "READ %" PRIu64 " %" PRIu64, op->ticket, core_generation(core));
        break;
    case SIM_BLOB:
    case SIM_STATUS:
    case SIM_ADMIT:
    case SIM_ENDORSE:
    case SIM_CLAIM:
    case SIM_RETIREMENT:
    case SIM_RECOVER:
        break;
    }
}

void sim_model_replied(struct sim *s, const struct sim_op *op, const struct replica_reply *reply) {
    sim_model_step(s);
    struct sim_model *m = model_of(s);
    if (m != NULL && reply->code == ERR_OK && is_followed(s, &s->pods[op->slot])) {
        note_reply(m, s, op, reply);
    }
}

/* The entries of its log that are not known to be committed. */
static void dig(struct sim_model *m, const struct sim_pod *p, struct grave *g) {
    const struct node *node = p->replica->node;
    g->from = m->seen + 1;
    if (node == NULL || replica_epoch(p->replica) != m->epoch) {
        return;
    }
    for (uint64_t i = g->from; i <= node_last_index(node) && g->count < GRAVE_ENTRIES; i++) {
        g->terms[g->count++] = node_log_term(&node->log, i);
    }
}

void sim_model_gone(struct sim *s, const struct sim_pod *p) {
    sim_model_step(s);
    struct sim_model *m = model_of(s);
    unsigned life = m == NULL ? 0 : find_life(m, p->id);
    if (m == NULL || life == m->count || m->lives[life].is_dead) {
        return;
    }
    m->lives[life].is_dead = true;
    if (is_followed(s, p)) {
        dig(m, p, &m->lives[life].grave);
    }
    say(m, "GONE %u", life);
}

void sim_model_begin(struct sim *s) {
    if (s->options->model_trace != NULL) {
        s->model = mem_zalloc(sizeof *s->model);
        s->model->out = s->options->model_trace;
        say(s->model, "RUN %" PRIu64 " %d", s->options->seed,
            s->kill == NULL ? 0 : (int)s->kill->scenario);
    }
}

void sim_model_end(struct sim *s) {
    struct sim_model *m = s->model;
    if (m != NULL) {
        if (!m->is_full) {
            say(m, "END");
        }
        let_go(m, UINT64_MAX);
        core_free(m->core);
        mem_free(m);
        s->model = NULL;
    }
}
