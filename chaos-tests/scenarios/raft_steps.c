/* Raft steps: a cluster of real nodes in virtual time that does what standard input says, a line at
 * a time, and answers each line with one: "ok NAME=VALUE ...", or "no WHY". The words are those of
 * a story ("elect 1 among 1 2 3"), so that a scenario in Python (raft.py) can be read as one.
 *
 *   without RULE              before start: R1..R7, P1..P8 or READ (docs/consensus.md) is out
 *   start VOTERS SEED         a new cluster; servers count from 1
 *   elect S SERVER...         only S may start an election, only the servers named hear each other
 *   lead                      until somebody leads; who
 *   connect SERVER... | heal | one-way FROM TO | flush
 *   crash S | pause S | resume S | join
 *   run MS                    virtual milliseconds
 *   submit S | add S ID | promote S ID | remove S ID | transfer S ID
 *   read S | answers          asks for a linearizable read; how all of them ended
 *   append FROM TO TERM PREV PREV_TERM COMMIT [TERM_OF_ENTRY | cTERM]...
 *                             a message made up here; cTERM: a change that adds server 9
 *   ack FROM TO TERM REJECTED LAST
 *   late-ack FROM TO TERM REJECTED LAST
 *                             of an older connection; whether the library saw it
 *   vote FROM TO TERM LAST LAST_TERM 0|1|2
 *                             1: a pre-vote, 2: for whoever was told to take over
 *   grant FROM TO TERM 0|1    1: of a pre-vote
 *   show S                    a server
 *   reply                     the last message that anybody sent
 *   same                      whether all logs and states are equal
 *   violation                 what the oracles of cluster.h saw first
 *
 * Ends at the end of input; exit 2 for a line that is none of these. A message made up here carries
 * the next sequence number, as its connection would. For tests alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/test/cluster.h"
#include "lib/base/err.h"

#define WORDS_MAX 64
#define LINE_MAX_SIZE 1024
#define RUN_MAX_MS 1000000

unsigned node_disabled_rules;

static struct cluster c; /* large: not on the stack */

/* A line, cut into words; `is_bad`: a word that should be a number is none. */
struct line {
    char *words[WORDS_MAX];
    size_t count;
    bool is_bad;
};

static uint64_t number(struct line *l, size_t i) {
    char *end = NULL;
    if (i >= l->count) {
        l->is_bad = true;
        return 0;
    }
    uint64_t n = strtoull(l->words[i], &end, 10);
    l->is_bad = l->is_bad || end == l->words[i] || *end != '\0' || l->words[i][0] == '-';
    return n;
}

/* The place of a live server. */
static size_t server(struct line *l, size_t i) {
    size_t at = cluster_place(&c, number(l, i));
    if (at == CLUSTER_MAX || c.machines[at].node == NULL) {
        l->is_bad = true;
        return 0;
    }
    return at;
}

static unsigned servers_from(struct line *l, size_t i) {
    unsigned mask = 0;
    for (; i < l->count; i++) {
        mask |= 1U << server(l, i);
    }
    return mask;
}

static void say(struct result r, const struct err *err) {
    if (is_ok(r)) {
        puts("ok");
    } else {
        printf("no %s: %s\n", err_name(r.code), err->text);
    }
}

static void ok(struct line *l) {
    if (!l->is_bad) {
        puts("ok");
    }
}

/* --- The cluster */

static void on_without(struct line *l) {
    static const char *const names[] = {
        [NODE_RULE_R1] = "R1", [NODE_RULE_R2] = "R2",    [NODE_RULE_R3] = "R3",
        [NODE_RULE_R4] = "R4", [NODE_RULE_R5] = "R5",    [NODE_RULE_R6] = "R6",
        [NODE_RULE_R7] = "R7", [NODE_RULE_P1] = "P1",    [NODE_RULE_P3] = "P3",
        [NODE_RULE_P5] = "P5", [NODE_RULE_P6] = "P6",    [NODE_RULE_P7] = "P7",
        [NODE_RULE_P8] = "P8", [NODE_RULE_READ] = "READ"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i] != NULL && strcmp(l->words[1], names[i]) == 0) {
            node_disabled_rules |= 1U << i;
            puts("ok");
            return;
        }
    }
    l->is_bad = true;
}

static void on_start(struct line *l) {
    uint64_t voters = number(l, 1);
    uint64_t seed = number(l, 2);
    l->is_bad = l->is_bad || c.count != 0 || voters == 0 || voters > LIMIT_VOTERS;
    if (!l->is_bad) {
        cluster_init(&c, (size_t)voters, seed);
        puts("ok");
    }
}

static void on_elect(struct line *l) {
    size_t at = server(l, 1);
    unsigned mask = servers_from(l, 2);
    if (!l->is_bad) {
        puts(cluster_elect(&c, at, mask) ? "ok" : "no it is not elected");
    }
}

static void on_lead(struct line *l) {
    (void)l;
    size_t at = cluster_wait_leader(&c);
    if (at == CLUSTER_MAX) {
        puts("no leader");
    } else {
        printf("ok leader=%zu\n", at + 1);
    }
}

static void on_connect(struct line *l) {
    unsigned mask = servers_from(l, 1);
    if (!l->is_bad) {
        cluster_connect(&c, mask);
    }
    ok(l);
}

static void on_heal(struct line *l) {
    cluster_heal(&c);
    ok(l);
}

static void on_one_way(struct line *l) {
    size_t from = server(l, 1);
    size_t to = server(l, 2);
    if (!l->is_bad) {
        c.links[from][to] = true;
        c.links[to][from] = false;
    }
    ok(l);
}

static void on_flush(struct line *l) {
    cluster_flush(&c);
    ok(l);
}

static void on_crash(struct line *l) {
    size_t at = server(l, 1);
    if (!l->is_bad) {
        cluster_crash(&c, at);
    }
    ok(l);
}

static void on_pause(struct line *l) {
    size_t at = server(l, 1);
    c.machines[at].paused = !l->is_bad;
    ok(l);
}

static void on_resume(struct line *l) {
    size_t at = server(l, 1);
    c.machines[at].paused = false;
    ok(l);
}

static void on_join(struct line *l) {
    l->is_bad = c.count == 0 || c.count == CLUSTER_MAX;
    if (!l->is_bad) {
        printf("ok server=%zu\n", cluster_join(&c) + 1);
    }
}

static void on_run(struct line *l) {
    uint64_t ms = number(l, 1);
    l->is_bad = l->is_bad || ms > RUN_MAX_MS;
    if (!l->is_bad) {
        cluster_run(&c, ms);
    }
    ok(l);
}

/* --- What its owner asks of a server */

static void on_submit(struct line *l) {
    size_t at = server(l, 1);
    if (!l->is_bad) {
        struct err err = {.text = "refused"};
        struct result r = cluster_submit(&c, at, 8);
        node_tick(c.machines[at].node); /* hands it over */
        say(r, &err);
    }
}

static struct {
    unsigned good, failed;
    uint64_t index; /* of the last good one */
} answers;

static void on_answer(void *data, struct result result, uint64_t index) {
    (void)data;
    answers.good += is_ok(result);
    answers.failed += !is_ok(result);
    answers.index = is_ok(result) ? index : answers.index;
}

static void on_read(struct line *l) {
    size_t at = server(l, 1);
    if (!l->is_bad) {
        struct err err = {0};
        say(node_read(c.machines[at].node, on_answer, NULL, &err), &err);
    }
}

static void on_answers(struct line *l) {
    (void)l;
    printf("ok good=%u failed=%u index=%" PRIu64 "\n", answers.good, answers.failed, answers.index);
}

static void change(struct line *l, cluster_change_fn call) {
    size_t at = server(l, 1);
    uint64_t id = number(l, 2);
    if (!l->is_bad) {
        struct err err = {0};
        struct result r = call(c.machines[at].node, id, &err);
        say(r, &err);
    }
}

static void on_add(struct line *l) {
    change(l, node_add_standby);
}

static void on_promote(struct line *l) {
    change(l, node_promote);
}

static void on_remove(struct line *l) {
    change(l, node_remove);
}

static void on_transfer(struct line *l) {
    change(l, node_transfer);
}

/* --- Messages that nobody sent */

static void forge(struct line *l, struct node_message *m) {
    uint64_t from = number(l, 1);
    size_t to = server(l, 2);
    if (!l->is_bad) {
        struct err err = {.text = "refused"};
        say(cluster_forge(&c, from, to, m), &err);
    }
}

/* As a leader would encode it: the configuration that the server has now, and server 9. */
static void encode_change(size_t at, struct buf *out) {
    struct node_config config = c.machines[at].node->config;
    config.members[config.count++] = (struct node_member){9, NODE_STANDBY};
    node_config_encode(&config, out);
}

static void on_append(struct line *l) {
    static const uint8_t text[] = "command";
    AUTO(buf_deinit)
    struct buf config = {0};
    struct node_wire_entry entries[WORDS_MAX];
    struct node_message m = {.kind = NODE_KIND_APPEND};
    size_t count = 0;
    m.body.append = (struct node_append){.term = number(l, 3),
                                         .prev_index = number(l, 4),
                                         .prev_term = number(l, 5),
                                         .commit = number(l, 6),
                                         .version = 1};
    encode_change(server(l, 2), &config);
    for (size_t i = 7; i < l->count; i++) {
        bool is_change = l->words[i][0] == 'c';
        l->words[i] += is_change;
        uint64_t term = number(l, i);
        entries[count++] = is_change
                               ? (struct node_wire_entry){term, RAFT_CHANGE, buf_span(&config)}
                               : (struct node_wire_entry){term, RAFT_COMMAND, SPAN(text)};
    }
    m.body.append.entries = (struct wire_list){entries, count};
    forge(l, &m);
}

static void on_ack(struct line *l) {
    struct node_message m = {.kind = NODE_KIND_APPEND_RESULT};
    m.body.append_result = (struct node_append_result){
        .term = number(l, 3), .rejected = number(l, 4), .last_index = number(l, 5), .version = 1};
    forge(l, &m);
}

/* With the first number that its sender ever used. */
static void on_late_ack(struct line *l) {
    struct node_message m = {.kind = NODE_KIND_APPEND_RESULT, .sequence = 1};
    m.body.append_result = (struct node_append_result){
        .term = number(l, 3), .rejected = number(l, 4), .last_index = number(l, 5), .version = 1};
    uint64_t from = number(l, 1);
    size_t to = server(l, 2);
    if (!l->is_bad) {
        uint64_t before = c.machines[to].node->steps;
        err_ignore(cluster_forge(&c, from, to, &m), "what counts is whether the library saw it");
        printf("ok taken=%d\n", c.machines[to].node->steps != before);
    }
}

static void on_vote(struct line *l) {
    struct node_message m = {.kind = NODE_KIND_VOTE};
    m.body.vote = (struct node_vote){.term = number(l, 3),
                                     .last_index = number(l, 4),
                                     .last_term = number(l, 5),
                                     .version = 2,
                                     .disrupt_leader = number(l, 6) == 2,
                                     .pre_vote = number(l, 6) == 1};
    forge(l, &m);
}

static void on_grant(struct line *l) {
    struct node_message m = {.kind = NODE_KIND_VOTE_RESULT};
    m.body.vote_result = (struct node_vote_result){
        .term = number(l, 3), .version = 2, .granted = true, .pre_vote = number(l, 4) != 0};
    forge(l, &m);
}

/* --- What is seen */

static void on_show(struct line *l) {
    static const char *const roles[] = {"follower", "candidate", "leader"};
    const struct machine *m = &c.machines[server(l, 1)];
    if (l->is_bad) {
        return;
    }
    printf("ok role=%s term=%" PRIu64 " last=%" PRIu64 " last_term=%" PRIu64 " commit=%" PRIu64
           " applied=%" PRIu64 " commands=%" PRIu64 " stored=%llu members=%u uncommitted=%llu"
           " settled=%d first=%" PRIu64 "\n",
           roles[node_role(m->node)], node_term(m->node), node_last_index(m->node),
           node_last_term(m->node), node_commit_index(m->node), node_applied_index(m->node),
           m->count, (unsigned long long)m->node->raft.last_stored, m->node->raft.configuration.n,
           (unsigned long long)m->node->raft.configuration_uncommitted_index,
           node_is_settled(m->node), m->node->log.first);
}

static void on_reply(struct line *l) {
    const struct node_message *m = &c.last;
    (void)l;
    if (m->kind == NODE_KIND_APPEND_RESULT) {
        const struct node_append_result *r = &m->body.append_result;
        printf("ok kind=ack term=%" PRIu64 " rejected=%" PRIu64 " last=%" PRIu64 "\n", r->term,
               r->rejected, r->last_index);
    } else if (m->kind == NODE_KIND_VOTE_RESULT) {
        const struct node_vote_result *r = &m->body.vote_result;
        printf("ok kind=grant term=%" PRIu64 " granted=%d pre=%d\n", r->term, r->granted,
               r->pre_vote);
    } else {
        printf("ok kind=%d\n", (int)m->kind);
    }
}

static void on_same(struct line *l) {
    (void)l;
    puts(cluster_is_converged(&c) ? "ok" : "no they differ");
}

static void on_violation(struct line *l) {
    (void)l;
    if (c.violation[0] == '\0') {
        puts("ok");
    } else {
        printf("no %s\n", c.violation);
    }
}

static const struct command {
    const char *word;
    size_t arguments; /* at least */
    void (*run)(struct line *l);
    bool is_early; /* needs no cluster */
} commands[] = {
    {"without", 1, on_without, true},
    {"start", 2, on_start, true},
    {"elect", 2, on_elect, false},
    {"lead", 0, on_lead, false},
    {"connect", 0, on_connect, false},
    {"heal", 0, on_heal, false},
    {"one-way", 2, on_one_way, false},
    {"flush", 0, on_flush, false},
    {"crash", 1, on_crash, false},
    {"pause", 1, on_pause, false},
    {"resume", 1, on_resume, false},
    {"join", 0, on_join, false},
    {"run", 1, on_run, false},
    {"submit", 1, on_submit, false},
    {"add", 2, on_add, false},
    {"promote", 2, on_promote, false},
    {"remove", 2, on_remove, false},
    {"transfer", 2, on_transfer, false},
    {"read", 1, on_read, false},
    {"answers", 0, on_answers, false},
    {"append", 6, on_append, false},
    {"ack", 5, on_ack, false},
    {"late-ack", 5, on_late_ack, false},
    {"vote", 6, on_vote, false},
    {"grant", 4, on_grant, false},
    {"show", 1, on_show, false},
    {"reply", 0, on_reply, false},
    {"same", 0, on_same, false},
    {"violation", 0, on_violation, false},
};

static bool obey(struct line *l) {
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(l->words[0], commands[i].word) == 0) {
            if (l->count <= commands[i].arguments || (c.count == 0 && !commands[i].is_early)) {
                return false;
            }
            commands[i].run(l);
            return !l->is_bad;
        }
    }
    return false;
}

int main(void) {
    char text[LINE_MAX_SIZE];
    while (fgets(text, sizeof text, stdin) != NULL) {
        struct line l = {0};
        char *rest = NULL;
        for (char *w = strtok_r(text, " \n", &rest); w != NULL && l.count < WORDS_MAX;
             w = strtok_r(NULL, " \n", &rest)) {
            l.words[l.count++] = w;
        }
        if (l.count == 0 || !obey(&l)) {
            fprintf(stderr, "raft-steps: no such step, or with other arguments: %s\n",
                    l.count == 0 ? "(empty)" : l.words[0]);
            return 2;
        }
        fflush(stdout);
    }
    cluster_deinit(&c);
    return 0;
}
