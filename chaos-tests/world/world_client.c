/* World, clients: pods that want a certificate (the initializer's own code), sidecars that renew
 * it, people who verify (`contrast verify`), and pods that must be denied.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "chaos-tests/world/world.h"
#include "cli/cmd_verify.h"
#include "cli/workspace.h"
#include "initializer/renewal.h"

#define CLIENT_PAUSE_MS 700 /* between two that come, on average */

/* --- An initializer, as its main does it */

struct pod_program {
    struct world_client *client;
    uv_loop_t loop;
    uv_signal_t sigterm;
    struct attester *attester;
    struct renewal *renewal;
};

static void on_issued(void *data, const struct enroll_receipt *r) {
    struct pod_program *p = data;
    struct world_client *c = p->client;
    struct world *w = c->world;
    if (c->must_fail) {
        world_fail(w, "pod %u must be denied and has a certificate of generation %llu", c->index,
                   (unsigned long long)r->generation);
        return;
    }
    if (r->generation < c->floor) {
        world_fail(w, "pod %u has a certificate of generation %llu, %llu was set before it asked",
                   c->index, (unsigned long long)r->generation, (unsigned long long)c->floor);
    }
    world_check_issued(w, r->seen.epoch, r->issue_index);
    c->floor = r->generation; /* a sidecar's next one is not older */
    c->count++;
    w->result->certificates++;
}

static void on_done(void *data, const struct err *why) {
    struct pod_program *p = data;
    struct world_client *c = p->client;
    c->why = *why;
    c->outcome.code = why->code;
    uv_close((uv_handle_t *)&p->sigterm, NULL);
    attester_free(p->attester);
    renewal_free(p->renewal);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct pod_program *p = handle->data;
    (void)number;
    renewal_stop(p->renewal);
}

static RESULT enroll(struct pod_program *p, struct err *err) {
    struct world_client *c = p->client;
    struct issuer *issuer = NULL;
    CHECK(uv_loop_init(&p->loop) == 0);
    TRY(issuer_open(c->config.issuer, &issuer, err));
    TRY(attester_new(issuer, &p->attester, err));
    struct renewal_calls calls = {on_issued, on_done, p};
    TRY(renewal_new(&p->loop, &c->config, &host_system, p->attester, &calls, &p->renewal, err));
    CHECK(uv_signal_init(&p->loop, &p->sigterm) == 0);
    p->sigterm.data = p;
    CHECK(uv_signal_start(&p->sigterm, on_signal, SIGTERM) == 0);
    renewal_start(p->renewal);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    issuer_close(issuer);
    return c->outcome.code == ERR_OK ? OK : err_set(err, c->outcome.code, "%s", c->why.text);
}

static void run_pod(void *data) {
    struct world_client *c = data;
    struct pod_program *p = mem_zalloc(sizeof *p);
    struct err err = {.code = ERR_OK};
    p->client = c;
    c->outcome = enroll(p, &err);
    c->why = err;
    mem_free(p);
}

/* --- A verifier */

static void run_verifier(void *data) {
    struct world_client *c = data;
    struct cli cli = {.command = "verify", .workspace = c->folder, .log_level = LOG_INFO};
    char addresses[256] = "";
    char word[4][16] = {"verify", "--all", "-c", ""};
    char *argv[] = {word[0], word[1], word[2], addresses, NULL};
    for (unsigned i = 0; i < c->world->pod_count; i++) {
        size_t n = strlen(addresses);
        snprintf(addresses + n, sizeof addresses - n, "%scoordinator-%u:1313", i > 0 ? "," : "", i);
    }
    struct err err = {.code = ERR_OK};
    c->outcome = cmd_verify(&cli, 4, argv, &err);
    c->why = err;
}

/* --- Their ends */

static void judge_verifier(struct world_client *c) {
    struct world *w = c->world;
    switch (err_exit_code(c->outcome.code)) {
    case 0:
        if (c->expected < c->floor) {
            world_fail(w, "stale: verifier %u is told that generation %llu is active, %llu was set",
                       c->index, (unsigned long long)c->expected, (unsigned long long)c->floor);
        }
        c->count++;
        w->result->verifications++;
        break;
    case 4:
        world_fail(w, "verifier %u sees %s: %s", c->index, err_name(c->outcome.code), c->why.text);
        break;
    case 2:
        world_fail(w, "verifier %u: %s", c->index, c->why.text);
        break;
    case 3: /* its manifest is not the active one any more: true after a set */
        world_check_step(w);
        if ((c->outcome.code != ERR_DIFFERS || w->head_count == c->expected) &&
            !world_fault_is_excused(w, c->begun_ms)) {
            world_fail(w, "verifier %u, who expects generation %llu of %zu, is told %s: %s",
                       c->index, (unsigned long long)c->expected, w->head_count,
                       err_name(c->outcome.code), c->why.text);
        }
        break;
    default:
        break;
    }
}

static void judge_pod(struct world_client *c) {
    int code = err_exit_code(c->outcome.code);
    if (c->must_fail) {
        c->world->result->denials += code == 3 ? 1 : 0;
    } else if (code == 4 || (code == 3 && !world_fault_is_excused(c->world, c->begun_ms))) {
        world_fail(c->world, "pod %u is told %s: %s", c->index, err_name(c->outcome.code),
                   c->why.text);
    }
}

static void on_end(void *data, struct played_process *process, bool is_killed) {
    struct world_client *c = data;
    (void)process;
    c->process = NULL;
    if (is_killed || c->outcome.code == ERR_CANCELED) {
        return;
    }
    if (c->kind == WORLD_VERIFIER) {
        judge_verifier(c);
    } else {
        judge_pod(c);
    }
}

/* --- Beginnings */

static void configure(struct world *w, struct world_client *c) {
    struct enroll_config *e = &c->config;
    snprintf(e->host, sizeof e->host, "coordinator-%u", (unsigned)world_below(w, w->pod_count));
    e->port = ENROLL_PORT;
    e->owner_count = w->pods[0].config.owner_count;
    memcpy(e->owner_digests, w->pods[0].config.owner_digests, sizeof e->owner_digests);
    e->permitted_root_count = w->pods[0].config.permitted_root_count;
    memcpy(e->permitted_roots, w->pods[0].config.permitted_roots, sizeof e->permitted_roots);
    snprintf(e->dir, sizeof e->dir, "%s", c->folder);
    e->log_level = LOG_INFO;
    e->is_renewing = c->kind == WORLD_SIDECAR;
    e->check_s = 2;
}

static void prepare_workspace(struct world_client *c) {
    struct world *w = c->world;
    c->expected = w->acked_generation;
    if (c->expected > 1 && world_below(w, 4) == 0) {
        c->expected--; /* has not heard of the newest: must not be told that this is current */
    }
    world_owner_copy(w, c->expected, c->folder);
}

struct world_client *world_client_start(struct world *w, enum world_client_kind kind) {
    if (w->client_count == WORLD_CLIENTS) {
        return NULL;
    }
    struct world_client *c = &w->clients[w->client_count];
    *c = (struct world_client){.world = w,
                               .kind = kind,
                               .index = (unsigned)w->client_count++,
                               .begun_ms = world_now(w),
                               .floor = w->acked_generation,
                               .must_fail = kind == WORLD_BAD_POD};
    snprintf(c->folder, sizeof c->folder, "%s/client-%u", w->options->folder, c->index);
    mkdir(c->folder, 0700);
    memcpy(c->identity.host_data, w->policies[1], sizeof c->identity.host_data);
    if (kind == WORLD_BAD_POD) {
        world_fault_spoil(world_random(w), &c->identity);
    }
    if (kind == WORLD_VERIFIER) {
        prepare_workspace(c);
    }
    configure(w, c);
    char name[32];
    snprintf(name, sizeof name, "client-%u", c->index);
    const struct played_program program = {
        .name = name,
        .host = kind == WORLD_BAD_POD ? WORLD_HOST_BAD : WORLD_HOST_WORK,
        .main = kind == WORLD_VERIFIER ? run_verifier : run_pod,
        .data = c,
        .on_end = on_end,
    };
    char spec[MACHINE_ROOM_SPEC_SIZE];
    machine_room_pod(w->room, program.host, &c->identity, spec);
    snprintf(c->config.issuer, sizeof c->config.issuer, "%s", spec);
    c->process = played_spawn(w->played, &program);
    return c;
}

void world_client_tend(struct world *w) {
    if (w->is_quiet || !w->is_founded || world_now(w) < w->next_client_ms) {
        return;
    }
    w->next_client_ms = world_now(w) + world_below(w, (uint64_t)2 * CLIENT_PAUSE_MS);
    uint64_t dice = world_below(w, 100);
    world_client_start(w, dice < 50   ? WORLD_INITIALIZER
                          : dice < 60 ? WORLD_SIDECAR
                          : dice < 90 ? WORLD_VERIFIER
                                      : WORLD_BAD_POD);
}

/* Sidecars live on. */
bool world_client_is_idle(const struct world *w) {
    for (size_t i = 0; i < w->client_count; i++) {
        const struct world_client *c = &w->clients[i];
        if (c->process != NULL && (c->kind == WORLD_INITIALIZER || c->kind == WORLD_VERIFIER)) {
            return false;
        }
    }
    return true;
}

void world_client_stop(struct world *w) {
    for (size_t i = 0; i < w->client_count; i++) {
        if (w->clients[i].process != NULL) {
            played_signal(w->clients[i].process, SIGTERM);
        }
    }
}
