/* Checks of the simulation.
 *
 *   after each step   one leader a term; every ledger and every manifest history is a prefix of one
 *                     and the same; one mesh CA key a generation, none of them twice
 *   at each reply     nothing acknowledged is missing or came twice: a set's transition stands in
 *                     the one history; no issue index twice, none before its entry was applied; a
 *                     confirmation shows all that was acknowledged before it was asked for; no
 *                     more permissions to ask AMD than the cluster's budget has
 *   at rest           all members are equal, hold everything acknowledged, and take a new command
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "coordinator/replica_internal.h"

#define HEALTHY_MS 2000 /* beyond the time after which a silent member counts as dead */

/* --- One history */

static void check_ledger(struct sim *s, struct sim_pod *p, const struct core *core) {
    const struct merkle_log *log = core_ledger(core);
    size_t size = merkle_log_size(log);
    if (size < p->checked_leaves) {
        sim_fail(s, "pod %u: the ledger shrank from %llu to %zu", p->slot,
                 (unsigned long long)p->checked_leaves, size);
    }
    for (size_t n = p->checked_leaves + 1; n <= size; n++) {
        uint8_t root[48];
        merkle_log_root_at(log, n, root);
        if (n > s->root_count) {
            s->roots = mem_realloc(s->roots, n * sizeof *s->roots);
            memcpy(s->roots[s->root_count++], root, sizeof root);
        } else if (memcmp(s->roots[n - 1], root, sizeof root) != 0) {
            sim_fail(s, "pod %u: another ledger at size %zu", p->slot, n);
        }
    }
    p->checked_leaves = size;
}

static void check_history(struct sim *s, struct sim_pod *p, const struct core *core) {
    size_t count = 0;
    const struct core_record *records = core_records(core, &count);
    if (count < p->checked_records) {
        sim_fail(s, "pod %u: the history shrank", p->slot);
    }
    for (size_t i = p->checked_records; i < count; i++) {
        if (i >= s->head_count) {
            s->heads = mem_realloc(s->heads, (i + 1) * sizeof *s->heads);
            s->mesh_keys = mem_realloc(s->mesh_keys, (i + 1) * sizeof *s->mesh_keys);
            s->mesh_keys[i] = 0;
            memcpy(s->heads[s->head_count++], records[i].transition, 32);
        } else if (memcmp(s->heads[i], records[i].transition, 32) != 0) {
            sim_fail(s, "pod %u: another manifest in generation %zu", p->slot, i + 1);
        }
    }
    p->checked_records = count;
}

/* The bytes behind the mark differ from key to key; a recovery makes a key of its own. */
static void check_mesh_key(struct sim *s, struct sim_pod *p, const struct core *core) {
    uint64_t generation = core_generation(core);
    struct span key = core_ca(core).mesh_key;
    if (s->kill != NULL || generation == 0 || generation == p->checked_keys ||
        key.size < SIM_SECRET_MARK_SIZE + 8) {
        return;
    }
    uint64_t *known = &s->mesh_keys[generation - 1];
    uint64_t now = load_u64le(key.data + SIM_SECRET_MARK_SIZE) | 1;
    p->checked_keys = generation;
    if (generation > 1 && s->mesh_keys[generation - 2] == now) {
        sim_fail(s, "pod %u: generation %llu has the mesh CA key of the one before", p->slot,
                 (unsigned long long)generation);
    }
    if (*known != 0 && *known != now) {
        sim_fail(s, "pod %u: another mesh CA key in generation %llu", p->slot,
                 (unsigned long long)generation);
    }
    *known = now;
}

/* A list never gives way to an older one. */
static void check_list(struct sim *s, struct sim_pod *p, const struct core *core) {
    size_t count = 0;
    const struct core_crl *lists = core_crls(core, &count);
    uint64_t number = count == 0 ? 0 : lists[0].number;
    if (number < p->checked_list) {
        sim_fail(s, "pod %u: revocation list %llu after %llu", p->slot, (unsigned long long)number,
                 (unsigned long long)p->checked_list);
    }
    p->checked_list = number;
}

/* A minority of clocks that jump do not move the cluster's. Where one voter is left (others died,
 * the last one left), its clock is the majority. */
static void check_time(struct sim *s, const struct sim_pod *p, const struct core *core) {
    uint64_t voters[LIMIT_MEMBERS];
    int64_t now = SIM_TIME_BASE + (int64_t)(s->now_ms / 1000);
    s->is_time_moot =
        s->is_time_moot || (s->now_ms < p->wrong_ms && replica_is_leader(p->replica) &&
                            replica_voters(p->replica, voters) == 1);
    if (!s->is_time_moot && core_time(core) > now + SIM_SKEW_S + LIMIT_CLOCK_AHEAD_S) {
        sim_fail(s, "pod %u: the cluster's time is %lld s ahead", p->slot,
                 (long long)(core_time(core) - now));
    }
}

static void check_leader(struct sim *s, const struct sim_pod *p) {
    if (!replica_is_leader(p->replica)) {
        return;
    }
    uint64_t term = replica_term(p->replica);
    uint64_t *leader = &s->terms[term % 4096];
    if (*leader == 0) {
        *leader = p->id;
        s->result->elections++;
    } else if (*leader != p->id) {
        sim_fail(s, "two leaders in term %llu", (unsigned long long)term);
    }
}

void sim_check_step(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->is_touched && p->replica != NULL && !sim_owner_is_stale(s, p) &&
            !sim_owner_is_on_its_way(p)) {
            const struct core *core = replica_core(p->replica);
            check_leader(s, p);
            check_ledger(s, p, core);
            check_history(s, p, core);
            check_mesh_key(s, p, core);
            check_list(s, p, core);
            check_time(s, p, core);
        }
    }
}

/* A leader that has committed in its term holds all that was acknowledged before that term. */
void sim_check_leaders(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        struct sim_pod *p = &s->pods[i];
        if (!p->is_touched || p->replica == NULL || !replica_is_leader(p->replica) ||
            sim_owner_is_stale(s, p)) {
            continue;
        }
        if (p->led_term != replica_term(p->replica)) {
            p->led_term = replica_term(p->replica);
            p->led_from = s->acked_ledger;
        }
        size_t leaves = merkle_log_size(core_ledger(replica_core(p->replica)));
        if (node_is_settled(p->replica->node) && leaves < p->led_from) {
            sim_fail(s, "leader %u of term %llu holds %zu of %llu acknowledged leaves", i,
                     (unsigned long long)p->led_term, leaves, (unsigned long long)p->led_from);
        }
    }
}

/* --- Replies */

static void check_set(struct sim *s, const struct sim_op *op, const struct core_result *r) {
    uint64_t generation = r->duplicate ? 0 : r->generation;
    if (r->duplicate) {
        return; /* known to be applied; which generation, the reply does not say */
    }
    if (generation == 0 || generation > s->head_count ||
        memcmp(s->heads[generation - 1], r->transition, 32) != 0) {
        sim_fail(s, "acknowledged generation %llu is not in the history",
                 (unsigned long long)generation);
    }
    if (generation != op->generation && !r->already) {
        sim_fail(s, "set of generation %llu acknowledged as %llu",
                 (unsigned long long)op->generation, (unsigned long long)generation);
    }
    if (generation > s->acked_generation) {
        s->acked_generation = generation;
    }
    s->result->sets++;
}

/* Every request is applied at most once: no more certificates than requests that came back with one
 * or whose outcome nobody knows. */
void sim_check_issues(struct sim *s, const struct core *core) {
    uint64_t most = s->result->issues + s->issues_unknown;
    for (const struct sim_op *op = s->ops; op != NULL; op = op->next) {
        most += op->kind == SIM_ISSUE ? 1 : 0;
    }
    if (core_issue_count(core) > most) {
        sim_fail(s, "%llu certificates were issued for at most %llu requests",
                 (unsigned long long)core_issue_count(core), (unsigned long long)most);
    }
}

static void check_issue(struct sim *s, const struct sim_op *op, const struct replica_reply *reply) {
    const struct core_issued *issued = &reply->result->issued[reply->issue];
    if (issued->code != ERR_OK) {
        return;
    }
    const struct core *core = replica_core(s->pods[op->slot].replica);
    if (issued->index == 0 || issued->index > core_issue_count(core)) {
        sim_fail(s, "certificate %llu before its entry was applied",
                 (unsigned long long)issued->index);
    }
    if (reply->result->generation != op->generation || op->generation < op->floor_generation) {
        sim_fail(s, "certificate under generation %llu, %llu was acknowledged before",
                 (unsigned long long)op->generation, (unsigned long long)op->floor_generation);
    }
    if (issued->index >= s->issued_count) {
        size_t count = issued->index + 256;
        s->issued = mem_realloc(s->issued, count);
        memset(s->issued + s->issued_count, 0, count - s->issued_count);
        s->issued_count = count;
    }
    if (s->issued[issued->index]++ != 0) {
        sim_fail(s, "issue index %llu was given twice", (unsigned long long)issued->index);
    }
    s->result->issues++;
}

static void check_confirm(struct sim *s, const struct sim_op *op) {
    const struct core *core = replica_core(s->pods[op->slot].replica);
    if (core_generation(core) < op->floor_generation ||
        merkle_log_size(core_ledger(core)) < op->floor_ledger) {
        sim_fail(s,
                 "stale read at pod %u: generation %llu, ledger %zu; acknowledged before: %llu, "
                 "%llu",
                 op->slot, (unsigned long long)core_generation(core),
                 merkle_log_size(core_ledger(core)), (unsigned long long)op->floor_generation,
                 (unsigned long long)op->floor_ledger);
    }
    s->result->confirms++;
}

/* What was granted and nobody heard of makes the budget smaller, never larger. */
static void check_grant(struct sim *s, const struct core_result *r) {
    bool is_first = s->grants++ == 0; /* answers may come in another order than the entries */
    s->first_grant_s = is_first || r->time < s->first_grant_s ? r->time : s->first_grant_s;
    s->last_grant_s = is_first || r->time > s->last_grant_s ? r->time : s->last_grant_s;
    uint64_t passed_ms = (uint64_t)(s->last_grant_s - s->first_grant_s) * 1000;
    uint64_t most = LIMIT_KDS_BURST + 1 + passed_ms / LIMIT_KDS_PERIOD_MS;
    if (s->grants > most) {
        sim_fail(s, "%llu requests to AMD's key service were allowed, the budget is %llu",
                 (unsigned long long)s->grants, (unsigned long long)most);
    }
}

static void check_endorsement(struct sim *s, const struct sim_op *op, const struct core_result *r) {
    const struct core *core = replica_core(s->pods[op->slot].replica);
    s->result->endorsements++;
    if (op->collateral == COLLATERAL_CRL) {
        s->acked_list = op->number > s->acked_list ? op->number : s->acked_list;
    } else if (op->collateral == COLLATERAL_FETCH) {
        if (!r->duplicate && !r->already) {
            check_grant(s, r);
        }
    } else if (core_find_vek(core, &op->key) == NULL) {
        sim_fail(s, "pod %u: an acknowledged certificate is not there", op->slot);
    } else {
        size_t i = 0;
        while (i < s->acked_chip_count && !entry_endorsement_same(&s->acked_chips[i], &op->key)) {
            i++;
        }
        s->acked_chips[i] = op->key;
        s->acked_chip_count += i == s->acked_chip_count ? 1 : 0;
    }
}

void sim_check_reply(struct sim *s, const struct sim_op *op, const struct replica_reply *reply) {
    sim_check_step(s); /* what was applied on the way to this reply is known first */
    if (reply->code != ERR_OK) {
        bool is_known = reply->code == ERR_STALE_GENERATION;
        s->issues_unknown += op->kind == SIM_ISSUE && !is_known ? 1 : 0;
        return;
    }
    switch (op->kind) {
    case SIM_SET:
        check_set(s, op, reply->result);
        break;
    case SIM_ISSUE:
        check_issue(s, op, reply);
        break;
    case SIM_CONFIRM:
        check_confirm(s, op);
        break;
    case SIM_STATUS:
        if (!reply->status->is_confirmed) {
            return;
        }
        check_confirm(s, op);
        break;
    case SIM_ENDORSE:
        check_endorsement(s, op, reply->result);
        break;
    case SIM_BLOB:
    case SIM_ADMIT:
    case SIM_CLAIM:
    case SIM_RETIREMENT:
    case SIM_RECOVER:
        break;
    }
    sim_owner_acked(s, op);
    size_t ledger = merkle_log_size(core_ledger(replica_core(s->pods[op->slot].replica)));
    if (ledger > s->acked_ledger) {
        s->acked_ledger = ledger;
    }
}

/* --- At rest */

static void check_equal(struct sim *s, const struct sim_pod *p, const struct sim_pod *q) {
    const struct core *a = replica_core(p->replica);
    const struct core *b = replica_core(q->replica);
    uint8_t x[32];
    uint8_t y[32];
    core_state_hash(a, x);
    core_state_hash(b, y);
    if (core_applied_index(a) != core_applied_index(b) || memcmp(x, y, sizeof x) != 0) {
        sim_fail(s, "pods %u and %u differ at rest: applied %llu and %llu", p->slot, q->slot,
                 (unsigned long long)core_applied_index(a),
                 (unsigned long long)core_applied_index(b));
    }
}

static void check_durable(struct sim *s, const struct sim_pod *p) {
    const struct core *core = replica_core(p->replica);
    if (core_generation(core) < s->acked_generation ||
        merkle_log_size(core_ledger(core)) < s->acked_ledger) {
        sim_fail(s, "pod %u lost what was acknowledged: generation %llu of %llu", p->slot,
                 (unsigned long long)core_generation(core),
                 (unsigned long long)s->acked_generation);
    }
}

static void check_endorsements(struct sim *s, const struct sim_pod *p) {
    const struct core *core = replica_core(p->replica);
    size_t count = 0;
    const struct core_crl *lists = core_crls(core, &count);
    uint64_t number = count == 0 ? 0 : lists[0].number;
    for (size_t i = 0; i < s->acked_chip_count; i++) {
        if (core_find_vek(core, &s->acked_chips[i]) == NULL) {
            sim_fail(s, "pod %u lost a certificate that was acknowledged", p->slot);
        }
    }
    if (number < s->acked_list) {
        sim_fail(s, "pod %u has revocation list %llu, %llu was acknowledged", p->slot,
                 (unsigned long long)number, (unsigned long long)s->acked_list);
    }
}

static size_t count_voters(const struct sim_pod *p, size_t *members_count) {
    struct node_member members[LIMIT_MEMBERS];
    size_t count = node_members(p->replica->node, members);
    size_t voters = 0;
    for (size_t i = 0; i < count; i++) {
        voters += members[i].role == NODE_VOTER ? 1 : 0;
    }
    *members_count = count;
    return voters;
}

static void check_voters(struct sim *s, const struct sim_pod *p) {
    size_t count = 0;
    size_t voters = count_voters(p, &count);
    size_t rows = 0;
    core_members(replica_core(p->replica), &rows);
    if (voters != s->founder_count || count != s->pod_count || rows != s->pod_count) {
        sim_fail(s, "pod %u at rest: %zu voters, want %u; %zu members and %zu rows, want %u",
                 p->slot, voters, s->founder_count, count, rows, s->pod_count);
    }
}

bool sim_check_is_healthy(const struct sim_pod *p) {
    const struct sim *s = p->sim;
    uint64_t since = p->trouble_ms > p->sick_ms ? p->trouble_ms : p->sick_ms;
    return s->now_ms > since + s->plan.dead_ms + HEALTHY_MS && sim_net_is_healthy(s, p->slot);
}

/* Worth the full check: cheap, and says nothing of why not. */
bool sim_check_is_resting(const struct sim *s) {
    if (s->ops != NULL) {
        return false;
    }
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (!sim_pod_is_settled(p) || replica_leader(p->replica) == 0) {
            return false;
        }
        size_t count = 0;
        size_t rows = 0;
        core_members(replica_core(p->replica), &rows);
        if (count_voters(p, &count) != s->founder_count || count != s->pod_count ||
            rows != s->pod_count ||
            replica_applied(p->replica) != replica_applied(s->pods[0].replica)) {
            return false;
        }
    }
    return true;
}

void sim_check_rest(struct sim *s) {
    const struct sim_pod *first = NULL;
    if (s->ops != NULL) {
        sim_fail(s, "request %llu of kind %d at pod %u was never answered",
                 (unsigned long long)s->ops->ticket, (int)s->ops->kind, s->ops->slot);
    }
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (!sim_pod_is_settled(p)) {
            sim_fail(s, "pod %u is %s at rest", i,
                     p->replica == NULL ? "down"
                                        : replica_state_name(replica_state_of(p->replica)));
            return;
        }
        if (replica_leader(p->replica) == 0) {
            sim_fail(s, "pod %u knows no leader at rest", i);
            return;
        }
        check_durable(s, p);
        check_endorsements(s, p);
        sim_check_issues(s, replica_core(p->replica));
        check_voters(s, p);
        if (first == NULL) {
            first = p;
        } else {
            check_equal(s, first, p);
        }
    }
}

void sim_check_deinit(struct sim *s) {
    mem_free(s->roots);
    mem_free(s->heads);
    mem_free(s->mesh_keys);
    mem_free(s->issued);
}
