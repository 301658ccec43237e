/* World, pods: coordinators under a supervisor that starts each again when it ended, as Kubernetes
 * does; and strays, which are clones of a name or strangers with a machine of their own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "chaos-tests/world/world.h"
#include "consensus/node_internal.h"
#include "coordinator/replica_internal.h"
#include "coordinator/server_internal.h"

#define BACK_OFF_MS 300 /* before a pod that ended starts again, at least */

const struct replica *world_pod_replica(const struct world_pod *p) {
    return p->server == NULL ? NULL : p->server->replica;
}

/* --- One life */

static void on_due(void *data) {
    world_pod_start(data);
}

static void run(void *data) {
    struct world_pod *p = data;
    struct err err = {.code = ERR_OK};
    p->server = server_new(&p->config);
    struct result r = server_run(p->server, &err);
    p->end = err;
    p->end.code = r.code;
}

/* What a replica may end of: told to, left, removed or superseded; lapsed as a founder or learner.
 */
static bool is_allowed(enum err_code code) {
    return code == ERR_OK || code == ERR_CANCELED || code == ERR_TIMEOUT;
}

static void on_end(void *data, struct played_process *process, bool is_killed) {
    struct world_pod *p = data;
    struct world *w = p->world;
    (void)process;
    p->process = NULL;
    p->server = NULL;
    p->id = 0;
    if (p->is_stray) {
        return;
    }
    if (!is_killed && !is_allowed(p->end.code)) {
        world_fail(w, "%s ended: %s: %s", p->name, err_name(p->end.code), p->end.text);
    }
    w->result->restarts++;
    played_at(w->played, world_now(w) + BACK_OFF_MS + world_below(w, 1500), on_due, p);
}

void world_pod_start(struct world_pod *p) {
    if (p->process != NULL) {
        return;
    }
    char spec[MACHINE_ROOM_SPEC_SIZE];
    p->lives++;
    p->is_told = false;
    p->applied = p->leaves = p->records = p->epoch = 0;
    const struct played_program program = {
        .name = p->name, .host = p->host, .main = run, .data = p, .on_end = on_end};
    machine_room_pod(p->world->room, p->host, &p->identity, spec);
    snprintf(p->config.issuer, sizeof p->config.issuer, "%s", spec);
    p->process = played_spawn(p->world->played, &program);
}

/* --- Configuration */

static void configure(struct world *w, struct world_pod *p) {
    struct config *c = &p->config;
    snprintf(c->name, sizeof c->name, "%s", p->name);
    snprintf(c->listen, sizeof c->listen, "10.0.0.%u", p->host + 1);
    snprintf(c->address, sizeof c->address, "%s:7443", p->name);
    c->user_port = 1313;
    c->mesh_port = 7777;
    c->raft_port = 7443;
    for (unsigned i = 0; i < w->pod_count; i++) {
        snprintf(c->peers[i].host, sizeof c->peers[i].host, "coordinator-%u", i);
        c->peers[i].port = 7777;
    }
    c->peer_count = w->pod_count;
    c->owner_count = WORLD_OWNERS;
    memcpy(c->owner_digests, w->options->people->owner_digest,
           sizeof w->options->people->owner_digest);
    c->permitted_root_count = 1;
    machine_room_root(c->permitted_roots[0]);
    snprintf(c->kds_url, sizeof c->kds_url, "%s", MACHINE_ROOM_KDS_URL);
    c->session_threads = 1;
    c->leave_ms = 20000;
    c->log_level = w->options->is_verbose ? LOG_DEBUG : LOG_INFO;
}

void world_pod_init(struct world *w, unsigned index) {
    struct world_pod *p = &w->pods[index];
    *p = (struct world_pod){.world = w, .index = index, .host = index};
    snprintf(p->name, sizeof p->name, "coordinator-%u", index);
    memcpy(p->identity.host_data, w->policies[0], sizeof p->identity.host_data);
    played_name(w->played, p->name, p->host);
    configure(w, p);
}

void world_pod_move(struct world_pod *p, unsigned host) {
    p->host = host;
    snprintf(p->config.listen, sizeof p->config.listen, "10.0.0.%u", host + 1);
    played_name(p->world->played, p->name, host);
}

void world_pod_stray(struct world *w, const char *name, unsigned host,
                     const struct pod_identity *identity, bool is_bad) {
    CHECK(w->stray_count < WORLD_FAULTS);
    struct world_pod *p = &w->strays[w->stray_count++];
    *p = (struct world_pod){
        .world = w, .host = host, .is_stray = true, .is_bad = is_bad, .identity = *identity};
    snprintf(p->name, sizeof p->name, "%s", name);
    configure(w, p);
    world_pod_start(p);
}

/* --- May it die? As many faults as Raft bears, and no more: what lies beyond is recovery. */

static bool is_sound(const struct world *w, uint64_t id, const struct world_pod *victim) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        const struct world_pod *p = &w->pods[i];
        const struct replica *r = world_pod_replica(p);
        if (p != victim && r != NULL && p->server->identity.id == id) {
            enum replica_state state = replica_state_of(r);
            return replica_state_is_member(state) && state != REPLICA_LEAVING && !p->is_told;
        }
    }
    return false;
}

static bool has_majority(const struct world *w, const struct node_member *members, size_t count,
                         const struct world_pod *victim) {
    size_t voters = 0;
    size_t sound = 0;
    for (size_t i = 0; i < count; i++) {
        if (members[i].role == NODE_VOTER) {
            voters++;
            sound += is_sound(w, members[i].id, victim) ? 1 : 0;
        }
    }
    return voters == 0 || sound > voters / 2;
}

static bool can_spare(const struct world *w, const struct node *node,
                      const struct world_pod *victim) {
    struct node_config newest;
    node_config_from_raft(&node->raft.configuration, &newest);
    return has_majority(w, node->config.members, node->config.count, victim) &&
           has_majority(w, newest.members, newest.count, victim);
}

bool world_pod_may_die(const struct world *w, const struct world_pod *victim) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        const struct replica *r = world_pod_replica(&w->pods[i]);
        if (r != NULL && r->node != NULL && !can_spare(w, r->node, victim)) {
            return false;
        }
    }
    return true;
}
