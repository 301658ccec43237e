/* Sim, the share owners: what people do when a cluster has lost its majority. See sim_kill.h.
 *
 *   nothing moves for a while -> the fittest survivor goes on, or else the checkpoint that a client
 *   kept, on an empty pod; each time in an epoch that was never signed before
 *
 * From then on history is what the owners decided on. They must never find less in a surviving
 * voter than two voters acknowledged. Keys and signatures are bytes without meaning.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "coordinator/replica_internal.h"

#define OWNERS 3
#define QUORUM_MS 6000 /* without a leader for so long: it is over with this epoch */
#define MODULUS_SIZE 256

/* RSAPublicKey (RFC 8017 A.1.1) with a modulus that nobody knows the factors of. */
static void share_owner(unsigned number, struct buf *out) {
    static const uint8_t head[] = {0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00};
    static const uint8_t exponent[] = {0x02, 0x03, 0x01, 0x00, 0x01};
    uint8_t modulus[MODULUS_SIZE];
    memset(modulus, 0x5b, sizeof modulus);
    modulus[0] = 0xc0;
    modulus[1] = (uint8_t)number;
    buf_append(out, head, sizeof head);
    buf_append(out, modulus, sizeof modulus);
    buf_append(out, exponent, sizeof exponent);
}

void sim_owner_write(struct buf *out) {
    buf_append_str(out, ",\"SeedShareOwnerThreshold\":2,\"SeedshareOwnerPubKeys\":[");
    for (unsigned i = 0; i < OWNERS; i++) {
        AUTO(buf_deinit)
        struct buf key = {0};
        char hex[2 * LIMIT_PKCS1 + 1];
        share_owner(i, &key);
        hex_encode(buf_span(&key), hex);
        buf_appendf(out, "%s\"%s\"", i > 0 ? "," : "", hex);
    }
    buf_append_str(out, "]");
}

bool sim_owner_is_stale(const struct sim *s, const struct sim_pod *p) {
    return s->kill != NULL && p->replica != NULL && core_is_founded(replica_core(p->replica)) &&
           replica_epoch(p->replica) < s->kill->epoch.begun;
}

/* The founding record that a recovered state gives newcomers has no evidence in it: until the
 * snapshot is there, their ledger is not the cluster's. */
bool sim_owner_is_on_its_way(const struct sim_pod *p) {
    return core_epoch(replica_core(p->replica)) < replica_epoch(p->replica);
}

static size_t count_voters(const struct sim_pod *p) {
    uint64_t ids[LIMIT_MEMBERS];
    return replica_voters(p->replica, ids);
}

/* A single voter that dies takes what it acknowledged alone with it; two or more do not. */
void sim_owner_acked(struct sim *s, const struct sim_op *op) {
    const struct sim_pod *p = &s->pods[op->slot];
    if (s->kill == NULL || s->kill->scenario != SIM_KILL_RECOVER) {
        return;
    }
    s->kill->epoch.is_certain = count_voters(p) > 1;
    if (op->kind == SIM_RECOVER) {
        s->kill->epoch.acked = op->generation;
        if (core_epoch(replica_core(p->replica)) != op->generation) {
            sim_fail(s, "pod %u acknowledged epoch %llu and is in %llu", p->slot,
                     (unsigned long long)op->generation,
                     (unsigned long long)core_epoch(replica_core(p->replica)));
        }
    }
}

/* The owners have decided where it goes on: what stood behind that is no history any more. */
static void cut_history(struct sim *s, const struct core *core) {
    size_t leaves = merkle_log_size(core_ledger(core));
    size_t issued = (size_t)core_issue_count(core) + 1;
    s->root_count = leaves < s->root_count ? leaves : s->root_count;
    s->acked_ledger = leaves < s->acked_ledger ? leaves : s->acked_ledger;
    uint64_t generation = core_generation(core);
    s->head_count = generation < s->head_count ? generation : s->head_count;
    s->acked_generation = generation < s->acked_generation ? generation : s->acked_generation;
    if (issued < s->issued_count) {
        memset(s->issued + issued, 0, s->issued_count - issued);
    }
    memset(s->terms, 0, sizeof s->terms);
}

static void fill_recover(struct sim *s, const struct sim_pod *p, const struct core *core,
                         struct arena *arena, struct entry_recover *e) {
    uint8_t *key = arena_alloc(arena, 32); /* one for each epoch */
    memset(key, 7, 32);
    store_u64be(key, ++s->kill->epoch.asked);
    *e = (struct entry_recover){
        .epoch = s->kill->epoch.asked,
        .previous_epoch = core_epoch(core),
        .generation = core_generation(core),
        .index = core_applied_index(core),
        .ledger_size = merkle_log_size(core_ledger(core)),
        .mesh_key = span_of(key, 32),
        .mesh_cert = span_str("recovered mesh certificate"),
        .intermediate = span_str("recovered intermediate certificate"),
        .time = host_unix_s(&p->host),
    };
    memcpy(e->head, core_head(core), sizeof e->head);
    merkle_log_root(core_ledger(core), e->ledger_root);
    sim_op_fill_member(s, p, arena, &e->recipient);
}

static void encode_recover(struct sim *s, const struct sim_pod *p, const struct core *core,
                           enum recovery_mode mode, struct buf *out) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf first = {0};
    AUTO(buf_deinit)
    struct buf second = {0};
    share_owner(0, &first);
    share_owner(1, &second);
    struct recovery_signature list[] = {
        {buf_span(&first), span_str("a signature")},
        {buf_span(&second), span_str("a signature")},
    };
    struct entry_recover e;
    fill_recover(s, p, core, &arena, &e);
    e.mode = (uint8_t)mode;
    e.signatures = (struct wire_list){list, 2};
    entry_encode(ENTRY_RECOVER, &e, out);
}

/* Asks pod `p` to go on with `state`. */
static void begin_epoch(struct sim *s, struct sim_pod *p, struct span state,
                        enum recovery_mode mode) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    struct core *core = NULL;
    struct err err;
    if (!is_ok(core_load_checkpoint(state, &core, &err))) {
        sim_fail(s, "a state to recover from cannot be read: %s", err.text);
        return;
    }
    encode_recover(s, p, core, mode, &entry);
    if (!sim_kill_before(s, p->slot, "recover")) {
        struct sim_op *op = sim_op_new(s, SIM_RECOVER, p->slot);
        op->generation = s->kill->epoch.asked;
        struct result r =
            replica_recover(sim_pod_use(p), state, buf_span(&entry), op->ticket, &err);
        if (is_ok(r)) {
            s->kill->epoch.begun = s->kill->epoch.asked;
            s->kill->epoch.count++;
            cut_history(s, core);
            s->is_net_stale = true;
        } else {
            sim_fail(s, "pod %u does not begin epoch %llu: %s", p->slot,
                     (unsigned long long)s->kill->epoch.asked, err.text);
        }
    }
    core_free(core);
}

void sim_owner_survivor(struct sim *s, struct sim_pod *p) {
    AUTO(buf_deinit)
    struct buf state = {0};
    struct recovery position;
    uint64_t last_term = 0;
    struct err err;
    if (!is_ok(replica_survey(sim_pod_use(p), &state, &position, &last_term, &err))) {
        sim_fail(s, "pod %u cannot be surveyed: %s", p->slot, err.text);
        return;
    }
    if (s->kill->epoch.is_certain && replica_state_of(p->replica) == REPLICA_VOTER &&
        position.ledger_size < s->acked_ledger) {
        sim_fail(s, "survivor %u holds %llu of %llu acknowledged leaves", p->slot,
                 (unsigned long long)position.ledger_size, (unsigned long long)s->acked_ledger);
    }
    begin_epoch(s, p, buf_span(&state), RECOVERY_SURVIVOR);
}

/* Of the newest epoch, with the newest log: voters first, the rest may lag. */
static bool is_fitter(const struct sim_pod *p, uint64_t term, uint64_t index,
                      const struct sim_pod *than, uint64_t than_term, uint64_t than_index) {
    if (than == NULL || replica_epoch(p->replica) != replica_epoch(than->replica)) {
        return than == NULL || replica_epoch(p->replica) > replica_epoch(than->replica);
    }
    bool votes = replica_state_of(p->replica) == REPLICA_VOTER;
    if (votes != (replica_state_of(than->replica) == REPLICA_VOTER)) {
        return votes;
    }
    return term != than_term ? term > than_term : index > than_index;
}

static struct sim_pod *fittest_survivor(struct sim *s) {
    struct sim_pod *best = NULL;
    uint64_t best_term = 0;
    uint64_t best_index = 0;
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        AUTO(buf_deinit)
        struct buf state = {0};
        struct recovery position;
        uint64_t term = 0;
        if (p->replica != NULL &&
            is_ok(replica_survey(sim_pod_use(p), &state, &position, &term, NULL)) &&
            is_fitter(p, term, position.index, best, best_term, best_index)) {
            best = p;
            best_term = term;
            best_index = position.index;
        }
    }
    return best;
}

static bool has_quorum(const struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (p->replica != NULL && !sim_owner_is_stale(s, p) &&
            (replica_is_leader(p->replica) || replica_state_of(p->replica) == REPLICA_RECOVERING)) {
            return true;
        }
    }
    return false;
}

/* What the owners do when nothing moves any more: the best survivor, or else the checkpoint. */
static void rescue(struct sim *s) {
    struct sim_pod *p = fittest_survivor(s);
    if (p != NULL) {
        sim_owner_survivor(s, p);
        return;
    }
    for (unsigned i = 0; i < s->pod_count; i++) {
        p = &s->pods[i];
        if (p->replica != NULL && replica_state_of(p->replica) == REPLICA_EMPTY) {
            begin_epoch(s, p, buf_span(&s->kill->epoch.checkpoint), RECOVERY_CHECKPOINT);
            return;
        }
    }
}

/* Whoever sees the newer epoch, as the program's looking around does, is superseded. */
static void supersede(struct sim *s) {
    static const uint8_t hash[32] = {0x5e};
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (sim_owner_is_stale(s, p) && s->kill->epoch.acked == s->kill->epoch.begun) {
            p->is_expelled = true;
            replica_superseded(sim_pod_use(p), s->kill->epoch.acked, hash);
        }
    }
}

void sim_owner_tend(struct sim *s) {
    struct sim_kill *k = s->kill;
    if (k == NULL || k->scenario != SIM_KILL_RECOVER || k->epoch.asked == 0) {
        return;
    }
    supersede(s);
    if (has_quorum(s)) {
        k->epoch.quiet_ms = s->now_ms;
    } else if (s->now_ms > k->epoch.quiet_ms + QUORUM_MS) {
        k->epoch.quiet_ms = s->now_ms;
        rescue(s);
    }
}
