/* Checks of consensus, from inside every replica, after each event that touched it.
 *
 *   logs        an entry is its index and term: same payload, same term before it, wherever it is;
 *               what somebody knows to be committed is never another one, never truncated
 *   leaders     hold every entry that was known to be committed in an earlier term
 *   members     the configuration in force is the newest CHANGE of the log, or the committed one;
 *               no CHANGE by a leader that has committed nothing in its term
 *   the library stores no more than the log has; a follower's match never goes back in a term
 *   messages    nobody rejects a position that it has committed; who refuses a pre-vote tells its
 *               term; what is older than what was taken reaches no library
 *
 * Most of it is Raft's own (Ongaro's thesis, figure 3.2); the rest are invariants that libraft
 * documents (raft.h) or that reference/raft.md shows it to lack. In a recovery (sim_kill.h) a log
 * begins anew, and nothing of this is looked at.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "chaos-tests/sim/sim_kill.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"

static bool is_off(const struct sim *s) {
    return s->kill != NULL && s->kill->scenario == SIM_KILL_RECOVER;
}

static void grow(void *list_at, size_t *capacity, size_t count, size_t size) {
    void **list = list_at;
    if (count > *capacity) {
        size_t more = 2 * count > 256 ? 2 * count : 256;
        *list = mem_realloc(*list, more * size);
        memset((uint8_t *)*list + *capacity * size, 0, (more - *capacity) * size);
        *capacity = more;
    }
}

static struct sim_index *index_at(struct sim *s, uint64_t index) {
    grow(&s->indexes, &s->index_count, (size_t)index + 1, sizeof *s->indexes);
    return &s->indexes[index];
}

/* FNV-1a over whole words, then bytes: to compare, not to trust. */
static uint64_t hash_of(const struct node_entry *e) {
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)e->type;
    const uint8_t *p = e->payload->data;
    size_t size = e->payload->size;
    for (; size >= 8; size -= 8, p += 8) {
        h = (h ^ load_u64le(p)) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    for (; size > 0; size--, p++) {
        h = (h ^ *p) * UINT64_C(0x100000001b3);
    }
    return h | 1;
}

/* --- Logs */

static void check_match(struct sim *s, const struct sim_pod *p, uint64_t index,
                        const struct sim_entry *e) {
    struct sim_index *known = index_at(s, index);
    for (size_t i = 0; i < sizeof known->seen / sizeof known->seen[0]; i++) {
        struct sim_entry *seen = &known->seen[i];
        if (seen->term == 0) {
            *seen = *e;
            return;
        }
        if (seen->term == e->term) {
            bool is_same_past = seen->before == 0 || e->before == 0 || seen->before == e->before;
            if (seen->hash != e->hash || !is_same_past) {
                sim_fail(s, "pod %u: entry %llu of term %llu is another one elsewhere", p->slot,
                         (unsigned long long)index, (unsigned long long)e->term);
            }
            return;
        }
    }
}

/* The last index up to which the log is what it was when it was looked at. */
static uint64_t find_common(const struct sim_rule *rule, const struct node_log *log) {
    uint64_t i = node_log_last(log) < rule->last ? node_log_last(log) : rule->last;
    while (i >= log->first && rule->terms[i] != node_log_term(log, i)) {
        i--;
    }
    return i + 1 < log->first ? log->first - 1 : i;
}

static void check_change(struct sim *s, struct sim_pod *p, const struct node *node,
                         uint64_t index) {
    uint64_t term = node_log_term(&node->log, index);
    uint64_t commit = node_commit_index(node);
    p->rule.change = index;
    if (node_role(node) == NODE_LEADER && term == node_term(node) && index > 1 &&
        node_log_term(&node->log, commit) != term) {
        sim_fail(s, "leader %u changes the members before it committed anything in term %llu",
                 p->slot, (unsigned long long)term);
    }
}

static void check_log(struct sim *s, struct sim_pod *p, const struct node *node) {
    struct sim_rule *rule = &p->rule;
    const struct node_log *log = &node->log;
    uint64_t last = node_log_last(log);
    uint64_t common = find_common(rule, log);
    if (common < rule->commit && common < rule->last && common + 1 >= log->first) {
        sim_fail(s, "pod %u truncates entry %llu, which it has committed", p->slot,
                 (unsigned long long)common + 1);
    }
    rule->change = rule->change > common ? 0 : rule->change;
    rule->config_checked = common < rule->last ? 0 : rule->config_checked;
    grow(&rule->terms, &rule->capacity, (size_t)last + 1, sizeof *rule->terms);
    for (uint64_t i = common + 1; i <= last; i++) {
        const struct node_entry *e = node_log_get(log, i);
        struct sim_entry entry = {e->term, hash_of(e), node_log_term(log, i - 1)};
        rule->terms[i] = e->term;
        check_match(s, p, i, &entry);
        if (e->type == RAFT_CHANGE) {
            check_change(s, p, node, i);
        }
    }
    rule->last = last;
}

static void note_commit(struct sim *s, const struct sim_pod *p, const struct node *node,
                        uint64_t index) {
    const struct node_entry *e = node_log_get(&node->log, index);
    struct sim_index *known = index_at(s, index);
    if (e == NULL) {
        return; /* came in a snapshot: the ledger's check compares what it says */
    }
    uint64_t hash = hash_of(e);
    if (known->term == 0) {
        known->term = e->term;
        known->hash = hash;
        known->commit_term = node_term(node);
        s->committed_max = index > s->committed_max ? index : s->committed_max;
    } else if (known->term != e->term || known->hash != hash) {
        sim_fail(s, "pod %u: committed entry %llu of term %llu is of term %llu elsewhere", p->slot,
                 (unsigned long long)index, (unsigned long long)e->term,
                 (unsigned long long)known->term);
    }
}

static void check_commit(struct sim *s, struct sim_pod *p, const struct node *node) {
    struct sim_rule *rule = &p->rule;
    uint64_t commit = node_commit_index(node);
    if (commit < rule->commit || commit > node_log_last(&node->log)) {
        sim_fail(s, "pod %u: commit index %llu after %llu, last %llu", p->slot,
                 (unsigned long long)commit, (unsigned long long)rule->commit,
                 (unsigned long long)node_log_last(&node->log));
        return;
    }
    for (uint64_t i = rule->commit + 1; i <= commit; i++) {
        note_commit(s, p, node, i);
    }
    rule->commit = commit;
}

/* --- Leaders */

static void check_completeness(struct sim *s, const struct sim_pod *p, const struct node *node) {
    uint64_t term = node_term(node);
    for (uint64_t i = s->committed_max; i > 0 && i >= node->log.first; i--) {
        const struct sim_index *known = index_at(s, i);
        if (known->term != 0 && known->commit_term < term &&
            node_log_term(&node->log, i) != known->term) {
            sim_fail(s, "leader %u of term %llu lacks committed entry %llu", p->slot,
                     (unsigned long long)term, (unsigned long long)i);
            return;
        }
    }
}

static uint64_t known_match(const struct sim_rule *rule, uint64_t id) {
    for (size_t i = 0; i < rule->match_count; i++) {
        if (rule->matches[i].id == id) {
            return rule->matches[i].match;
        }
    }
    return 0;
}

/* Who was removed and is added again begins anew. A single voter commits both in one event, and is
 * not looked at. */
static void check_matches(struct sim *s, struct sim_pod *p, const struct node *node) {
    struct sim_rule *rule = &p->rule;
    struct sim_rule next = {.match_term = node_term(node)};
    for (unsigned i = 0; i < node->raft.configuration.n && i < LIMIT_MEMBERS; i++) {
        uint64_t id = node->raft.configuration.servers[i].id;
        uint64_t before = rule->match_term == next.match_term ? known_match(rule, id) : 0;
        raft_index match = 0;
        if (raft_match_index(&node->raft, id, &match) != 0) {
            continue;
        }
        if (match < before && node_config_voters(&node->config) > 1) {
            sim_fail(s, "leader %u: what %llu has goes back from %llu to %llu in term %llu",
                     p->slot, (unsigned long long)id, (unsigned long long)before,
                     (unsigned long long)match, (unsigned long long)next.match_term);
        }
        next.matches[next.match_count].id = id;
        next.matches[next.match_count++].match = match;
    }
    rule->match_term = next.match_term;
    rule->match_count = next.match_count;
    memcpy(rule->matches, next.matches, sizeof rule->matches);
}

static void check_leader(struct sim *s, struct sim_pod *p, const struct node *node) {
    if (node_role(node) != NODE_LEADER) {
        return;
    }
    if (p->rule.led_term != node_term(node)) {
        p->rule.led_term = node_term(node);
        check_completeness(s, p, node);
    }
    check_matches(s, p, node);
}

/* --- Members */

static bool is_same(const struct node_config *a, const struct node_config *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = a->members[i].id == b->members[i].id && a->members[i].role == b->members[i].role;
    }
    return same;
}

/* raft.h, "Current membership configuration": scenarios 1 to 3. */
static void check_config(struct sim *s, struct sim_pod *p, const struct node *node) {
    uint64_t index = node->raft.configuration_uncommitted_index;
    struct node_config now;
    struct node_config want = node->config;
    if (p->rule.change > node_commit_index(node) && index != p->rule.change) {
        sim_fail(s, "pod %u: CHANGE %llu is in its log and not in force", p->slot,
                 (unsigned long long)p->rule.change);
    }
    if (p->rule.config_checked == index + 1) {
        return;
    }
    p->rule.config_checked = index + 1;
    node_config_from_raft(&node->raft.configuration, &now);
    if (index != 0) {
        const struct node_entry *e = node_log_get(&node->log, index);
        if (e == NULL || e->type != RAFT_CHANGE ||
            !node_config_parse(span_of(e->payload->data, e->payload->size), &want)) {
            sim_fail(s, "pod %u keeps configuration %llu, which is not in its log", p->slot,
                     (unsigned long long)index);
            return;
        }
    }
    if (!is_same(&now, &want)) {
        sim_fail(s, "pod %u: the configuration in force is not that of entry %llu", p->slot,
                 (unsigned long long)(index != 0 ? index : node->config_index));
    }
}

void sim_rule_step(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count && !is_off(s); i++) {
        struct sim_pod *p = &s->pods[i];
        const struct node *node = p->replica == NULL ? NULL : p->replica->node;
        if (!p->is_touched || node == NULL || node->health != ERR_OK) {
            continue;
        }
        check_log(s, p, node);
        check_commit(s, p, node);
        check_leader(s, p, node);
        check_config(s, p, node);
        if (node->raft.last_stored > node_log_last(&node->log)) {
            sim_fail(s, "pod %u: the library counts entry %llu as stored, the log ends at %llu",
                     p->slot, (unsigned long long)node->raft.last_stored,
                     (unsigned long long)node_log_last(&node->log));
        }
    }
}

/* --- Messages */

static void check_rejection(struct sim_pod *p, const struct node *node,
                            const struct node_append_result *r) {
    bool is_stale = node->append_term < node_term(node);
    if (r->rejected != 0 && !is_stale && r->rejected <= node_commit_index(node)) {
        sim_fail(p->sim, "pod %u rejects entry %llu, which it has committed", p->slot,
                 (unsigned long long)r->rejected);
    }
}

static void check_refusal(struct sim_pod *p, const struct node *node,
                          const struct node_vote_result *r) {
    if (r->pre_vote && !r->granted && r->term < node_term(node)) {
        sim_fail(p->sim, "pod %u refuses a pre-vote and tells term %llu, not %llu", p->slot,
                 (unsigned long long)r->term, (unsigned long long)node_term(node));
    }
}

void sim_rule_sent(struct sim_pod *p, uint8_t type, struct span body) {
    const struct node *node = p->replica == NULL ? NULL : p->replica->node;
    bool is_worth_it = type == REPLICA_RAFT && body.size > 0 && node != NULL &&
                       ((body.data[0] == NODE_KIND_APPEND_RESULT && node->rejected) ||
                        body.data[0] == NODE_KIND_VOTE_RESULT);
    if (!is_worth_it) {
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct node_message m;
    if (!is_ok(node_codec_decode_shape(body, &arena, &m, NULL))) {
        sim_fail(p->sim, "pod %u sends what cannot be decoded", p->slot);
    } else if (m.kind == NODE_KIND_APPEND_RESULT) {
        check_rejection(p, node, &m.body.append_result);
    } else {
        check_refusal(p, node, &m.body.vote_result);
    }
}

/* Rule R6: what is not newer than what this replica took from that one goes nowhere. */
void sim_rule_deliver(struct sim *s, const struct sim_message *m) {
    struct sim_pod *p = &s->pods[m->to];
    struct sim_link *l = &s->links[m->from][m->to];
    struct replica *r = sim_pod_use(p);
    bool is_raft = m->type == REPLICA_RAFT && m->size >= NODE_CODEC_HEADER_SIZE && r->node != NULL;
    uint64_t steps = r->node == NULL ? 0 : r->node->steps;
    uint64_t sequence = is_raft ? load_u64be(m->body + 1) : 0;
    bool is_stale = is_raft && l->taken_from == (m->from_id ^ m->to_id) && sequence <= l->taken;
    replica_receive(r, m->from_id, m->type, span_of(m->body, m->size));
    if (!is_raft || r->node == NULL) {
        return;
    }
    l->heard_ms = m->is_old ? l->heard_ms : s->now_ms;
    if (is_stale && r->node->steps != steps) {
        sim_fail(s, "an old message of pod %u reaches the library of pod %u", m->from, m->to);
    }
    if (!is_stale) {
        l->taken_from = m->from_id ^ m->to_id;
        l->taken = sequence;
    }
}

/* --- Lives */

void sim_rule_begin(struct sim_pod *p) {
    mem_free(p->rule.terms);
    p->rule = (struct sim_rule){0};
}

void sim_rule_deinit(struct sim *s) {
    mem_free(s->indexes);
}
