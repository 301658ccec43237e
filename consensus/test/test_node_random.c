/* Random: clusters under crashes, partitions, loss, membership churn and transfers, from seeds.
 *
 *   test_node_random [COUNT [FIRST]]    default: 200 seeds from 1
 *
 * Oracles: those of the cluster; every read that is confirmed covers all that was committed when it
 * was asked for; after the chaos a leader commits again and all members become equal.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/test/cluster.h"

#define CHAOS_MS 3000
#define READS_MAX 4096

static struct cluster c; /* large: not on the stack */
static size_t target;
static struct { uint64_t elections, commits, crashes, changes, installs, reads; } totals;

static struct node *at(size_t i) {
    return c.machines[i].node;
}

static uint64_t floors[READS_MAX];
static size_t floor_count;

static void on_read(void *data, struct result r, uint64_t index) {
    const uint64_t *floor = data;
    if (is_ok(r)) {
        totals.reads++;
        if (index < *floor) {
            cluster_violate(&c, "stale read: %" PRIu64 " below %" PRIu64, index, *floor);
        }
    }
}

static void read_somewhere(size_t i) {
    if (floor_count < READS_MAX) {
        floors[floor_count] = c.committed_max;
        if (is_ok(node_read(at(i), on_read, &floors[floor_count], NULL))) {
            floor_count++;
        }
    }
}

static void load(void) {
    for (size_t i = 0; i < c.count; i++) {
        if (at(i) != NULL && node_role(at(i)) == NODE_LEADER) {
            for (uint64_t n = cluster_random(&c, 4); n > 0; n--) {
                err_ignore(cluster_submit(&c, i, 8 + cluster_random(&c, 64)), "any outcome");
            }
            read_somewhere(i);
        }
    }
}

static bool is_alive(uint64_t id) {
    return at(cluster_place(&c, id)) != NULL;
}

static size_t find_stranger(const struct node_config *config) {
    for (size_t i = 0; i < c.count; i++) {
        if (at(i) != NULL && node_config_find(config, i + 1) == NULL &&
            !node_is_configured(at(i), i + 1)) {
            return i;
        }
    }
    return CLUSTER_MAX;
}

/* The next step towards `target` live voters, as a leader sees it. */
static void administer(size_t leader) {
    struct node_config config;
    node_config_from_raft(&at(leader)->raft.configuration, &config);
    struct result r = {ERR_UNAVAILABLE};
    for (size_t i = 0; i < config.count; i++) {
        const struct node_member *m = &config.members[i];
        if (!is_alive(m->id)) {
            r = node_remove(at(leader), m->id, NULL);
            goto out;
        }
        if (m->role == NODE_STANDBY) {
            r = node_promote(at(leader), m->id, NULL);
            goto out;
        }
    }
    size_t stranger = find_stranger(&config);
    if (config.count < target && stranger != CLUSTER_MAX) {
        r = node_add_standby(at(leader), stranger + 1, NULL);
    }
out:
    totals.changes += is_ok(r);
}

/* Any leader, an old one of a minority too. */
static void administer_somewhere(void) {
    size_t first = (size_t)cluster_random(&c, c.count);
    for (size_t i = 0; i < c.count; i++) {
        size_t place = (first + i) % c.count;
        if (at(place) != NULL && node_role(at(place)) == NODE_LEADER) {
            administer(place);
            return;
        }
    }
}

static void part(void) {
    size_t groups = 1 + (size_t)cluster_random(&c, 3);
    size_t group[CLUSTER_MAX];
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        group[i] = (size_t)cluster_random(&c, groups);
    }
    for (size_t i = 0; i < CLUSTER_MAX; i++) {
        for (size_t j = 0; j < CLUSTER_MAX; j++) {
            c.links[i][j] = group[i] == group[j];
        }
    }
}

/* A crash loses all memory: only with every voter alive and agreed on the members. */
static bool may_crash(const struct node *leader) {
    const struct raft *r = &leader->raft;
    if (r->configuration_uncommitted_index != 0 || node_config_voters(&leader->config) < 3) {
        return false;
    }
    for (size_t i = 0; i < leader->config.count; i++) {
        const struct node *n = at(cluster_place(&c, leader->config.members[i].id));
        if (n == NULL ||
            n->raft.configuration_committed_index != r->configuration_committed_index ||
            n->raft.configuration_uncommitted_index != 0) {
            return false;
        }
    }
    return true;
}

static void crash(void) {
    size_t leader = cluster_leader(&c);
    if (leader == CLUSTER_MAX || c.count == CLUSTER_MAX || !may_crash(at(leader))) {
        return;
    }
    const struct node_config *config = &at(leader)->config;
    uint64_t victim = config->members[cluster_random(&c, config->count)].id;
    cluster_crash(&c, cluster_place(&c, victim));
    if (cluster_random(&c, 2) == 0) {
        cluster_report_gone(&c, cluster_place(&c, victim), (unsigned)cluster_random(&c, 50));
    }
    cluster_join(&c);
    totals.crashes++;
}

static void disturb(void) {
    uint64_t x = cluster_random(&c, 100);
    size_t leader = cluster_leader(&c);
    if (x < 25) {
        part();
    } else if (x < 50) {
        cluster_heal(&c);
    } else if (x < 70) {
        crash();
    } else if (x < 78 && leader != CLUSTER_MAX) {
        err_ignore(node_transfer(at(leader), 0, NULL), "any outcome");
    } else if (x < 82) { /* its links break, one or all, and it lives */
        cluster_report_gone(&c, (size_t)cluster_random(&c, c.count),
                            (unsigned)cluster_random(&c, 50));
    } else if (x < 88) {
        size_t i = (size_t)cluster_random(&c, c.count);
        c.machines[i].paused = !c.machines[i].paused;
    } else {
        c.loss_percent = (unsigned)cluster_random(&c, 30);
        c.delay_ms = 1 + (unsigned)cluster_random(&c, 30);
    }
}

static void start(uint64_t seed) {
    target = 3 + 2 * (seed % 2);
    cluster_init(&c, target, seed * 7919);
    floor_count = 0;
    c.snapshot_padding = seed % 5 == 0 ? 3 * LIMIT_SNAPSHOT_CHUNK : 100;
    c.options.max_inflight = c.options.snapshot_trailing = 16;
    c.options.snapshot_threshold = 60;
    for (size_t i = 0; i < c.count; i++) {
        at(i)->options = c.options;
        raft_set_max_inflight_entries(&at(i)->raft, c.options.max_inflight);
    }
}

static void heal(void) {
    cluster_heal(&c);
    c.loss_percent = 0;
    c.delay_ms = 2;
    for (size_t i = 0; i < c.count; i++) {
        c.machines[i].paused = false;
    }
}

static void count_up(void) {
    totals.commits += c.committed_max;
    for (size_t i = 0; i < CLUSTER_TERMS; i++) {
        totals.elections += c.leaders[i] != 0;
    }
    for (size_t i = 0; i < c.count; i++) {
        totals.installs += c.machines[i].loads;
    }
}

static bool run(uint64_t seed) {
    start(seed);
    while (c.now < CHAOS_MS && c.violation[0] == '\0') {
        cluster_run(&c, 1 + cluster_random(&c, 20));
        load();
        if (cluster_random(&c, 3) == 0) {
            administer_somewhere();
        }
        if (cluster_random(&c, 6) == 0) {
            disturb();
        }
    }
    heal();
    uint64_t before = c.committed_max;
    for (int i = 0; i < 150 && c.violation[0] == '\0'; i++) {
        cluster_run(&c, 20);
        load();
        administer_somewhere();
    }
    if (c.committed_max < before + 20) {
        cluster_violate(&c, "stuck: %" PRIu64 " commits after healing", c.committed_max - before);
    }
    for (int i = 0; i < 20 && !cluster_is_converged(&c); i++) {
        cluster_run(&c, 200);
    }
    if (!cluster_is_converged(&c)) {
        cluster_violate(&c, "the members do not become equal");
    }
    count_up();
    bool good = c.violation[0] == '\0';
    if (!good) {
        printf("seed %" PRIu64 " at %" PRIu64 " ms: %s\n", seed, c.now, c.violation);
    }
    cluster_deinit(&c);
    return good;
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint64_t failures = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        failures += !run(seed);
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed: %" PRIu64 " elections, %" PRIu64
           " commits, %" PRIu64 " crashes, %" PRIu64 " changes, %" PRIu64 " snapshots, %" PRIu64
           " reads\n",
           count, failures, totals.elections, totals.commits, totals.crashes, totals.changes,
           totals.installs, totals.reads);
    return failures == 0 && totals.installs > 0 && totals.crashes > 0 && totals.reads > 0 ? 0 : 1;
}
