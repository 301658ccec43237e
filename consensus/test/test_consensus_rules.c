/* Rules: each of R1..R7 and the pitfalls P1, P3, P5..P8 as a scenario that passes with the rule and
 * is noticed (an oracle, or a crash) without it; docs/consensus.md has the table. Each run is a
 * process of its own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consensus/test/cluster.h"

unsigned node_disabled_rules;

static struct cluster c; /* large: not on the stack */

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static void must(bool condition, const char *what) {
    if (!condition) {
        cluster_violate(&c, "%s", what);
    }
}

static struct node_wire_entry command(uint64_t term) {
    static const uint8_t text[] = "command";
    return (struct node_wire_entry){term, RAFT_COMMAND, SPAN(text)};
}

static struct result forge_append(uint64_t from, size_t to, struct node_append append,
                                  struct node_wire_entry *entries, size_t count) {
    struct node_message m = {.kind = NODE_KIND_APPEND};
    append.entries = (struct wire_list){entries, count};
    m.body.append = append;
    return cluster_forge(&c, from, to, &m);
}

/* A leader of term 2 appends a command and a CHANGE; one of term 3 overwrites the CHANGE. */
static void r1_change_is_rolled_back(void) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    cluster_init(&c, 3, 1);
    cluster_connect(&c, 0);
    struct node_config config = at(1)->config;
    config.members[config.count++] = (struct node_member){9, NODE_STANDBY};
    node_config_encode(&config, &bytes);
    struct node_wire_entry first[] = {command(2), {2, RAFT_CHANGE, buf_span(&bytes)}};
    struct node_wire_entry second[] = {command(3)};
    must(is_ok(forge_append(1, 1, (struct node_append){2, 1, 1, 1, 1, {0}}, first, 2)), "append");
    must(at(1)->raft.configuration.n == 4, "the CHANGE does not take effect when appended");
    must(is_ok(forge_append(3, 1, (struct node_append){3, 2, 2, 1, 1, {0}}, second, 1)), "append");
    must(at(1)->raft.configuration.n == 3 && at(1)->raft.configuration_uncommitted_index == 0,
         "keeps a configuration that is no longer in its log");
}

/* Ongaro's bug of single-server changes (raft-dev, 2015): S1 appends {1..5}, reaching S5 only; S2,
 * elected by the old majority, appends {2,3,4} and commits with S3; S1 wins with S4 and S5. */
static void r2_single_server_change(void) {
    cluster_init(&c, 4, 2);
    must(cluster_elect(&c, 0, 0xf), "S1 is elected");
    cluster_heal(&c);
    cluster_run(&c, 300);
    cluster_join(&c);
    must(cluster_change(&c, node_add_standby, 5), "S5 is added");
    must(node_promote(at(0), 5, NULL).code == ERR_UNAVAILABLE, "S5 catches up first");
    cluster_run(&c, 200);
    must(is_ok(node_promote(at(0), 5, NULL)), "S1 appends {1..5}");
    cluster_flush(&c);
    cluster_connect(&c, 0x11);
    cluster_run(&c, 70);
    must(node_last_index(at(4)) == node_last_index(at(0)), "S5 has it");
    must(node_last_index(at(1)) < node_last_index(at(0)), "S2 has it not");
    must(cluster_elect(&c, 1, 0xe), "S2 is elected");
    cluster_connect(&c, 0x6);
    for (int i = 0; i < 7 && !is_ok(node_remove(at(1), 1, NULL)); i++) {
        cluster_run(&c, 10);
    }
    err_ignore(cluster_submit(&c, 1, 16), "refused where S2 does not lead any more");
    cluster_run(&c, 70);
    cluster_elect(&c, 0, 0x19);
    cluster_heal(&c);
    cluster_run(&c, 2000);
    cluster_check_logs(&c);
}

/* An AppendEntries that starts in what the follower has compacted. */
static void r3_compacted_position(void) {
    cluster_init(&c, 3, 3);
    for (size_t i = 0; i < 3; i++) {
        at(i)->options.snapshot_threshold = 20;
        at(i)->options.snapshot_trailing = 4;
    }
    size_t leader = cluster_wait_leader(&c);
    size_t follower = (leader + 1) % 3;
    for (int i = 0; i < 60; i++) {
        must(is_ok(cluster_submit(&c, leader, 8)), "submit");
        cluster_run(&c, 5);
    }
    cluster_run(&c, 200);
    must(at(follower)->log.first > 10, "nothing was compacted");
    uint64_t term = node_term(at(leader));
    struct node_append append = {term, 3, term, node_commit_index(at(leader)), 1, {0}};
    must(is_ok(forge_append(leader + 1, follower, append, NULL, 0)), "append");
    must(c.last.kind == NODE_KIND_APPEND_RESULT && c.last.body.append_result.rejected == 0,
         "rejects a position that it has committed");
}

/* Only S1 can be elected (S3 lacks a committed entry), and its term is far behind S3's. */
static void r4_pre_vote_reply(void) {
    struct node_message vote = {.kind = NODE_KIND_VOTE};
    cluster_init(&c, 3, 4);
    must(cluster_elect(&c, 0, 7), "S1 is elected");
    cluster_connect(&c, 3);
    cluster_run(&c, 40);
    must(is_ok(cluster_submit(&c, 0, 8)), "submit");
    cluster_run(&c, 60);
    must(c.machines[0].count == 1, "S1 and S2 commit");
    cluster_crash(&c, 1);
    uint64_t term = node_term(at(2)) + 5;
    vote.body.vote = (struct node_vote){term, 100, term - 1, 2, true, false};
    must(is_ok(cluster_forge(&c, 2, 2, &vote)), "S3 hears a later term of S2");
    must(node_term(at(2)) == term, "S3 takes the term");
    cluster_connect(&c, 0); /* S1 steps down before it can hear of the term as a leader */
    cluster_run(&c, 300);
    cluster_heal(&c);
    cluster_run(&c, 10000);
    must(cluster_leader(&c) == 0, "no leader although a majority is healthy");
}

/* Entries 2..5 of term 2, then 2 of term 3 in their place. */
static void r5_persist_at_once(void) {
    cluster_init(&c, 3, 5);
    cluster_connect(&c, 0);
    struct node_wire_entry first[] = {command(2), command(2), command(2), command(2)};
    struct node_wire_entry second[] = {command(3)};
    must(is_ok(forge_append(1, 1, (struct node_append){2, 1, 1, 1, 1, {0}}, first, 4)), "append");
    must(is_ok(forge_append(3, 1, (struct node_append){3, 1, 1, 1, 1, {0}}, second, 1)), "append");
    node_tick(at(1));
    must(node_last_index(at(1)) == 2 && at(1)->raft.last_stored == 2,
         "the library counts truncated entries as stored");
}

/* A message of an old connection comes late. */
static void r6_order(void) {
    cluster_init(&c, 3, 6);
    size_t leader = cluster_wait_leader(&c);
    must(is_ok(cluster_submit(&c, leader, 8)), "submit");
    cluster_run(&c, 300);
    struct node_message late = {.kind = NODE_KIND_APPEND_RESULT, .sequence = 1};
    late.body.append_result = (struct node_append_result){node_term(at(leader)), 1, 0, 0, 1};
    uint64_t steps = at(leader)->steps;
    must(is_ok(cluster_forge(&c, (leader + 1) % 3 + 1, leader, &late)), "receive");
    must(at(leader)->steps == steps, "a stale rejection reaches the library");
}

/* S4 is promoted and does not hear of it, then the leader is lost: its vote is the one that is
 * missing, and the leader that it names is dead. */
static void r7_promoted_unawares(void) {
    cluster_init(&c, 3, 8);
    must(cluster_elect(&c, 0, 0x7), "S1 is elected");
    cluster_heal(&c);
    cluster_run(&c, 300);
    cluster_join(&c);
    must(cluster_change(&c, node_add_standby, 4), "S4 is added");
    must(node_promote(at(0), 4, NULL).code == ERR_UNAVAILABLE, "S4 catches up first");
    cluster_run(&c, 200);
    cluster_flush(&c);
    cluster_connect(&c, 0x7);
    must(is_ok(node_promote(at(0), 4, NULL)), "S1 appends {1..4}");
    cluster_run(&c, 60);
    must(node_is_settled(at(0)) && node_config_voters(&at(1)->config) == 4, "S2 knows it");
    must(node_config_voters(&at(3)->config) == 3, "S4 does not know it");
    cluster_crash(&c, 0);
    cluster_heal(&c);
    cluster_run(&c, 5000);
    must(cluster_leader(&c) != CLUSTER_MAX, "no leader although a majority is healthy");
}

/* The leader of two voters removes itself. */
static void p1_leader_stays(void) {
    cluster_init(&c, 2, 7);
    must(cluster_elect(&c, 1, 3), "S2 is elected");
    cluster_run(&c, 100);
    c.links[0][1] = false;
    bool removed = is_ok(node_remove(at(1), 2, NULL));
    c.machines[1].deaf_to_time = removed;
    cluster_run(&c, 400);
    must(!removed || node_role(at(0)) != NODE_LEADER || node_role(at(1)) != NODE_LEADER ||
             node_term(at(0)) != node_term(at(1)),
         "two leaders in one term");
}

static void check_deadlines(void) {
    for (size_t j = 0; j < c.count; j++) {
        uint64_t want = raft_timeout(&at(j)->raft);
        want = want > at(j)->now_ms + 1 ? want : at(j)->now_ms + 1;
        must(at(j)->raft_deadline_ms == want, "the deadline is not the library's");
    }
}

static void p3_with_seed(uint64_t seed) {
    cluster_init(&c, 5, seed);
    size_t leader = cluster_wait_leader(&c);
    size_t joiner = cluster_join(&c);
    must(is_ok(node_add_standby(at(leader), joiner + 1, NULL)), "a standby is added");
    c.loss_percent = 20;
    c.delay_ms = 20;
    for (int i = 0; i < 8000 && c.violation[0] == '\0'; i++) {
        leader = cluster_leader(&c);
        if (leader != CLUSTER_MAX) {
            err_ignore(cluster_submit(&c, leader, 8), "any outcome");
            node_tick(at(leader)); /* hands it over */
            check_deadlines();
            err_ignore(node_promote(at(leader), joiner + 1, NULL), "any outcome");
            check_deadlines();
        }
        c.links[i % 5][(i / 300) % 5] = i % 3 != 0;
        cluster_run(&c, 1 + cluster_random(&c, 5));
        check_deadlines();
    }
}

/* The moments that matter are rare: a run of one seed may have none. */
static void p3_deadline(void) {
    for (uint64_t seed = 14; seed < 19 && c.violation[0] == '\0'; seed++) {
        cluster_deinit(&c);
        p3_with_seed(seed);
    }
}

static void p5_catch_up(void) {
    cluster_init(&c, 3, 9);
    size_t leader = cluster_wait_leader(&c);
    must(node_promote(at(leader), (leader + 1) % 3 + 1, NULL).code == ERR_EXISTS,
         "a catch-up of a voter starts");
}

static void p6_late_vote(void) {
    struct node_message late = {.kind = NODE_KIND_VOTE_RESULT};
    cluster_init(&c, 3, 10);
    size_t leader = cluster_wait_leader(&c);
    late.body.vote_result = (struct node_vote_result){node_term(at(leader)), 0, 2, true, false};
    uint64_t steps = at(leader)->steps;
    must(is_ok(cluster_forge(&c, (leader + 1) % 3 + 1, leader, &late)), "receive");
    must(at(leader)->steps == steps, "a vote reaches the library of a leader");
}

/* Leaves a pattern where the library's next call has its locals. */
static __attribute__((noinline)) void stain_stack(void) {
    volatile uint8_t stain[16384];
    for (size_t i = 0; i < sizeof stain; i++) {
        stain[i] = 0xa5;
    }
}

static void p7_stale_reply(void) {
    cluster_init(&c, 3, 11);
    size_t leader = cluster_wait_leader(&c);
    cluster_run(&c, 200);
    size_t follower = (leader + 1) % 3;
    struct node_append stale = {node_term(at(follower)) - 1, 0, 0, 0, 1, {0}};
    stain_stack();
    must(is_ok(forge_append(leader + 1, follower, stale, NULL, 0)), "append");
    must(c.last.kind == NODE_KIND_APPEND_RESULT && c.last.body.append_result.last_index == 0,
         "a reply to a stale term carries uninitialised bytes");
}

static void p8_checks(void) {
    cluster_init(&c, 3, 12);
    cluster_connect(&c, 0);
    struct node_append bad = {2, 5, 0, 1, 1, {0}};
    must(forge_append(1, 1, bad, NULL, 0).code == ERR_MALFORMED, "index 5 of term 0 gets through");
    cluster_heal(&c);
    size_t leader = cluster_wait_leader(&c);
    if (leader == CLUSTER_MAX) {
        return;
    }
    struct node_append second = {node_term(at(leader)), 0, 0, 0, 1, {0}};
    must(forge_append((leader + 1) % 3 + 1, leader, second, NULL, 0).code == ERR_PROTOCOL,
         "a second leader of the term gets through");
}

/* --- Figure 8 of the Raft paper: safe in this library; kept so that it stays so. --- */

static bool drop_third(struct cluster *cluster, size_t from, size_t to,
                       const struct node_message *m) {
    (void)cluster;
    (void)from;
    (void)to;
    const struct node_append *a = &m->body.append;
    return m->kind != NODE_KIND_APPEND || a->prev_index + a->entries.count < 3;
}

static void figure8(void) {
    cluster_init(&c, 5, 13);
    for (size_t i = 0; i < 5; i++) {
        raft_set_max_inflight_entries(&at(i)->raft, 1);
    }
    must(cluster_elect(&c, 0, 0x1f), "(a) S1 is elected");
    cluster_flush(&c); /* its barrier, index 2, goes to S2 alone */
    cluster_connect(&c, 0x3);
    cluster_run(&c, 70);
    must(node_last_index(at(1)) == 2 && node_last_index(at(2)) == 1, "(a) 2 is on S1 and S2");
    must(cluster_elect(&c, 4, 0x1c), "(b) S5 is elected by S3 and S4");
    cluster_flush(&c);
    c.filter = drop_third;
    must(cluster_elect(&c, 0, 0x7), "(c) S1 is elected again");
    for (int i = 0; i < 90 && node_last_index(at(2)) < 2; i++) {
        cluster_run(&c, 1);
    }
    must(node_last_index(at(2)) >= 2 && node_last_term(at(2)) < node_term(at(0)),
         "(c) the old entry is on a majority");
    must(node_commit_index(at(0)) == 1, "(c) the old entry is committed by counting");
    c.filter = NULL;
    cluster_elect(&c, 4, 0x1e);
    cluster_heal(&c);
    cluster_run(&c, 3000);
    must(cluster_is_converged(&c), "(d) the logs do not converge");
}

static const struct scenario {
    const char *name;
    void (*run)(void);
    int rule; /* -1: none to take out */
} scenarios[] = {
    {"R1 split", r1_change_is_rolled_back, NODE_RULE_R1},
    {"R2 gate", r2_single_server_change, NODE_RULE_R2},
    {"R3 fast-forward", r3_compacted_position, NODE_RULE_R3},
    {"R4 pre-vote reply", r4_pre_vote_reply, NODE_RULE_R4},
    {"R5 persist", r5_persist_at_once, NODE_RULE_R5},
    {"R6 order", r6_order, NODE_RULE_R6},
    {"R7 promoted unawares", r7_promoted_unawares, NODE_RULE_R7},
    {"P1 leader stays", p1_leader_stays, NODE_RULE_P1},
    {"P3 deadline", p3_deadline, NODE_RULE_P3},
    {"P5 catch-up", p5_catch_up, NODE_RULE_P5},
    {"P6 late vote", p6_late_vote, NODE_RULE_P6},
    {"P7 stale reply", p7_stale_reply, NODE_RULE_P7},
    {"P8 checks", p8_checks, NODE_RULE_P8},
    {"figure 8", figure8, -1},
};

/* True when the scenario ended without a violation. */
static bool passes(const struct scenario *s, unsigned disabled) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        node_disabled_rules = disabled;
        s->run();
        printf("  %s: %s\n", disabled == 0 ? "with   " : "without",
               c.violation[0] == '\0' ? "nothing seen" : c.violation);
        fflush(stdout);
        _exit(c.violation[0] == '\0' ? 0 : 1);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("fork");
        exit(1);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void) {
    int failures = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        const struct scenario *s = &scenarios[i];
        printf("%s\n", s->name);
        bool good = passes(s, 0);
        bool noticed = s->rule < 0 || !passes(s, 1U << s->rule);
        printf("  %s\n", !good ? "FAILED" : noticed ? "ok" : "NOT NOTICED when taken out");
        failures += !good || !noticed;
    }
    return failures == 0 ? 0 : 1;
}
