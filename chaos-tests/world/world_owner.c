/* World, owners: people with a key who set manifests with `contrast set`, each in a workspace of
 * their own, at the same time. Whoever learns that another one was faster looks at what is active
 * (`contrast verify`) before the next try; an outcome that is unknown is looked up the same way.
 *
 *   IDLE -> SET --OK--> acknowledged    --CHANGED, unknown--> must look
 *   IDLE -> VERIFY (what is active) --OK--> may set again
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "chaos-tests/played/fixed_rand.h"
#include "chaos-tests/world/world.h"
#include "cli/cmd_recover.h"
#include "cli/cmd_set.h"
#include "cli/cmd_verify.h"
#include "cli/workspace.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"
#include "lib/crypto/key.h"

#define OWNER_PAUSE_MS 1500 /* between two commands of one owner, on average */

static const char *const policy_texts[2] = {"package coordinator", "package web"};

/* --- Keys */

static RESULT make_owner(struct world_people *p, unsigned i, struct err *err) {
    struct key key = {0};
    char label[32];
    snprintf(label, sizeof label, "owner %u", i);
    fixed_rand_begin(label); /* no world plays yet: else the keys follow from no seed */
    struct result r = key_generate(KEY_P256, &key, err);
    fixed_rand_end();
    TRY(r);
    key_digest(&key, p->owner_digest[i]);
    key_to_pem(&key, true, &p->owner_pem[i]);
    key_deinit(&key);
    return OK;
}

struct result world_people_init(struct world_people *p, struct err *err) {
    *p = (struct world_people){0};
    for (unsigned i = 0; i < WORLD_OWNERS; i++) {
        TRY(make_owner(p, i, err));
    }
    for (unsigned i = 0; i < WORLD_SHARES; i++) {
        struct key key = {0};
        fixed_rand_rsa(i, &key);
        key_pkcs1(&key, &p->share_pkcs1[i]);
        key_to_pem(&key, true, &p->share_pem[i]);
        key_deinit(&key);
    }
    return OK;
}

void world_people_deinit(struct world_people *p) {
    for (unsigned i = 0; i < WORLD_OWNERS; i++) {
        buf_deinit(&p->owner_pem[i]);
    }
    for (unsigned i = 0; i < WORLD_SHARES; i++) {
        buf_deinit(&p->share_pem[i]);
        buf_deinit(&p->share_pkcs1[i]);
    }
}

/* --- Files of a workspace */

static void write_file(struct world *w, const char *folder, const char *name, struct span bytes) {
    struct err err;
    if (!is_ok(workspace_write(folder, name, bytes, &err))) {
        world_fail(w, "%s", err.text);
    }
}

static void write_manifest(struct world *w, uint64_t number, const char *folder) {
    AUTO(buf_deinit)
    struct buf text = {0};
    char san[32];
    struct span shares[WORLD_SHARES];
    struct room_policy policies[2] = {{.is_coordinator = true, .san = "coordinator"},
                                      {.san = san, .secret_id = "web"}};
    const struct world_people *people = w->options->people;
    snprintf(san, sizeof san, "edition-%llu", (unsigned long long)number);
    memcpy(policies[0].hash, w->policies[0], sizeof policies[0].hash);
    memcpy(policies[1].hash, w->policies[1], sizeof policies[1].hash);
    for (unsigned i = 0; i < WORLD_SHARES; i++) {
        shares[i] = buf_span(&people->share_pkcs1[i]);
    }
    const struct room_manifest manifest = {.policies = policies,
                                           .policy_count = 2,
                                           .owner_digests = people->owner_digest,
                                           .owner_count = WORLD_OWNERS,
                                           .share_owners = shares,
                                           .share_owner_count = w->has_shares ? WORLD_SHARES : 0,
                                           .share_threshold = w->has_shares ? 2 : 0};
    machine_room_manifest(w->room, &manifest, &text);
    write_file(w, folder, "manifest.json", buf_span(&text));
}

void world_owner_copy(struct world *w, uint64_t generation, const char *folder) {
    CHECK(generation >= 1 && generation <= w->head_count);
    write_file(w, folder, "manifest.json", buf_span(&w->texts[generation - 1]));
}

static void append_pod(struct buf *out, const char *name, const char *policy) {
    AUTO(buf_deinit)
    struct buf text = {0};
    base64_encode(span_str(policy), &text);
    buf_appendf(out,
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  annotations:\n"
                "    io.katacontainers.config.agent.policy: %s\nspec:\n  containers: []\n---\n",
                name, buf_cstr(&text));
}

void world_owner_init(struct world *w, unsigned index) {
    AUTO(buf_deinit)
    struct buf yaml = {0};
    struct world_owner *o = &w->owners[index];
    *o = (struct world_owner){.world = w, .index = index, .must_look = index > 0};
    snprintf(o->folder, sizeof o->folder, "%s/owner-%u", w->options->folder, index);
    mkdir(o->folder, 0700);
    append_pod(&yaml, "coordinator", policy_texts[0]);
    append_pod(&yaml, "web", policy_texts[1]);
    write_file(w, o->folder, "app.yaml", buf_span(&yaml));
    write_file(w, o->folder, "share.pem", buf_span(&w->options->people->share_pem[index]));
    write_file(w, o->folder, "workload-owner.pem", buf_span(&w->options->people->owner_pem[index]));
    o->next_ms = world_below(w, 2 * OWNER_PAUSE_MS);
}

void world_owner_policies(struct world *w) {
    for (unsigned i = 0; i < 2; i++) {
        sha256(span_str(policy_texts[i]), w->policies[i]);
    }
}

/* --- Commands */

static void name_replicas(struct world *w, char *out, size_t size) {
    unsigned first = (unsigned)world_below(w, w->pod_count);
    out[0] = 0;
    for (unsigned i = 0; i < w->pod_count; i++) {
        size_t n = strlen(out);
        snprintf(out + n, size - n, "%scoordinator-%u:1313", i > 0 ? "," : "",
                 (first + i) % w->pod_count);
    }
}

/* The words of `contrast set` and `contrast verify`; how many. */
static int choose_words(struct world_owner *o, char words[8][320]) {
    int n = 0;
    snprintf(words[n++], 320, "%s", o->command == WORLD_SET ? "set" : "verify");
    snprintf(words[n++], 320, "-c");
    name_replicas(o->world, words[n++], 320);
    if (o->command == WORLD_SET) {
        snprintf(words[n++], 320, "--replicas=%u", o->world->founder_count);
        snprintf(words[n++], 320, "%.255s/app.yaml", o->folder);
    }
    return n;
}

static RESULT call(struct cli *cli, enum world_command command, int argc, char **argv,
                   struct err *err) {
    switch (command) {
    case WORLD_SET:
        return cmd_set(cli, argc, argv, err);
    case WORLD_VERIFY:
        return cmd_verify(cli, argc, argv, err);
    case WORLD_RECOVER:
    case WORLD_CONTRIBUTE:
        return cmd_recover(cli, argc, argv, err);
    case WORLD_IDLE:
        break;
    }
    return err_set(err, ERR_INTERNAL, "no command");
}

static void run(void *data) {
    struct world_owner *o = data;
    char words[8][320];
    char *argv[9] = {NULL};
    struct err err = {.code = ERR_OK};
    bool is_recovery = o->command == WORLD_RECOVER || o->command == WORLD_CONTRIBUTE;
    int argc = is_recovery ? world_recover_words(o, words) : choose_words(o, words);
    for (int i = 0; i < argc; i++) {
        argv[i] = words[i];
    }
    struct world_cli c = {.cli = {.command = words[0],
                                  .workspace = o->folder,
                                  .log_level = LOG_INFO,
                                  .json = is_recovery},
                          .owner = o};
    o->outcome = call(&c.cli, o->command, argc, argv, &err);
    o->why = err;
}

/* --- Outcomes */

static void acknowledge(struct world_owner *o) {
    struct world *w = o->world;
    uint8_t head[32];
    bool found = false;
    world_check_step(w);
    if (!is_ok(workspace_read_digest(o->folder, WORKSPACE_TRANSITION, head, &found, NULL)) ||
        !found) {
        world_fail(w, "owner %u: set succeeded and left no transition", o->index);
        return;
    }
    for (size_t i = 0; i < w->head_count; i++) {
        if (memcmp(w->heads[i], head, sizeof head) == 0) {
            w->acked_generation = i + 1 > w->acked_generation ? i + 1 : w->acked_generation;
            w->result->sets++;
            w->is_founded = true;
            return;
        }
    }
    world_fail(w, "owner %u was told of a transition that is in no replica's history", o->index);
}

static void judge_set(struct world_owner *o) {
    if (o->outcome.code == ERR_OK) {
        o->has_manifest = false;
        o->is_racing = false;
        o->must_look = false;
        acknowledge(o);
        return;
    }
    int code = err_exit_code(o->outcome.code);
    o->must_look = o->is_racing || o->world->is_founded;
    if (o->is_racing) {
        o->is_racing = false;
        return;
    }
    bool is_strange = code == 3 && o->outcome.code != ERR_CHANGED;
    if (code == 4 || code == 2 || (is_strange && !world_fault_is_excused(o->world, o->begun_ms))) {
        world_fail(o->world, "owner %u sets and is told %s: %s", o->index,
                   err_name(o->outcome.code), o->why.text);
    }
}

static void judge_look(struct world_owner *o) {
    int code = err_exit_code(o->outcome.code);
    if (code == 0) {
        o->must_look = false;
        o->world->result->verifications++;
        return;
    }
    world_check_step(o->world);
    bool is_changed = o->outcome.code == ERR_DIFFERS && o->world->head_count > o->expected;
    if (code == 4 || code == 2 ||
        (code == 3 && !is_changed && !world_fault_is_excused(o->world, o->begun_ms))) {
        world_fail(o->world, "owner %u verifies and is told %s: %s", o->index,
                   err_name(o->outcome.code), o->why.text);
    }
}

static void on_end(void *data, struct played_process *process, bool is_killed) {
    struct world_owner *o = data;
    enum world_command command = o->command;
    (void)process;
    o->process = NULL;
    o->command = WORLD_IDLE;
    o->next_ms = world_now(o->world) + world_below(o->world, 2 * OWNER_PAUSE_MS);
    if (is_killed) {
        o->must_look = true;
    } else if (command == WORLD_SET) {
        judge_set(o);
    } else if (command == WORLD_VERIFY) {
        judge_look(o);
    }
}

/* A manifest that was sent and is not known to be active is sent again before a new one is made. */
void world_owner_ask(struct world_owner *o, enum world_command command) {
    struct world *w = o->world;
    if (o->process != NULL) {
        return;
    }
    o->command = command;
    o->begun_ms = world_now(w);
    if (command == WORLD_VERIFY) {
        o->expected = w->head_count;
        world_owner_copy(w, w->head_count, o->folder);
        o->has_manifest = false;
    } else if (command == WORLD_SET && !o->has_manifest) {
        write_manifest(w, ++w->manifests, o->folder);
        o->has_manifest = true;
    }
    char name[32];
    snprintf(name, sizeof name, "owner-%u", o->index);
    const struct played_program program = {
        .name = name, .host = WORLD_HOST_OWNER, .main = run, .data = o, .on_end = on_end};
    o->process = played_spawn(w->played, &program);
}

void world_owner_tend(struct world *w) {
    for (unsigned i = 0; i < WORLD_OWNERS && w->is_founded && !w->is_quiet; i++) {
        struct world_owner *o = &w->owners[i];
        if (o->process == NULL && world_now(w) >= o->next_ms) {
            bool looks = o->must_look || world_below(w, 4) == 0;
            world_owner_ask(o, looks ? WORLD_VERIFY : WORLD_SET);
        }
    }
}

bool world_owner_is_idle(const struct world *w) {
    for (unsigned i = 0; i < WORLD_OWNERS; i++) {
        if (w->owners[i].process != NULL) {
            return false;
        }
    }
    return true;
}

void world_owner_wait(struct world *w) {
    uint64_t end = world_now(w) + w->options->rest_ms;
    while (w->result->is_good && !world_owner_is_idle(w) && world_now(w) < end) {
        world_run_for(w, 50);
    }
}
