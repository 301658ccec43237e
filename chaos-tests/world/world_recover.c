/* World, recovery: the memory of a majority is gone, and two of three share owners bring the
 * deployment back with `contrast recover`, from a survivor or from the newest checkpoint. The host
 * gives an older checkpoint first: whoever has seen more must refuse it (exit 4).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "chaos-tests/world/world.h"
#include "cli/cli.h"
#include "cli/workspace.h"
#include "lib/base/limits.h"

#define SETTLE_MS 4000 /* until the rest has noticed that the majority is gone */
#define TRIES 6        /* of the two owners together */

/* --- What `contrast recover --output json` prints goes to whoever ran it, not to the terminal */

void __wrap_cli_print_json(struct cli *cli, json_t *document);

void __wrap_cli_print_json(struct cli *cli, json_t *document) {
    struct world_cli *c = (struct world_cli *)cli; /* its first member */
    const char *session = json_string_value(json_object_get(document, "session"));
    const char *address = json_string_value(json_object_get(document, "address"));
    snprintf(c->owner->session, sizeof c->owner->session, "%s", session == NULL ? "" : session);
    snprintf(c->owner->address, sizeof c->owner->address, "%s", address == NULL ? "" : address);
    json_decref(document);
}

int world_recover_words(const struct world_owner *o, char words[8][320]) {
    int n = 0;
    snprintf(words[n++], 320, "recover");
    snprintf(words[n++], 320, "-c");
    snprintf(words[n++], 320, "%s", o->address);
    if (o->command == WORLD_CONTRIBUTE) {
        snprintf(words[n++], 320, "--session=%s", o->session);
    } else if (o->file[0] != 0) {
        snprintf(words[n++], 320, "--checkpoint=%.300s", o->file);
    } else {
        snprintf(words[n++], 320, "--from-survivor");
    }
    snprintf(words[n++], 320, "--share-key=%.255s/share.pem", o->folder);
    snprintf(words[n++], 320, "--output=json");
    return n;
}

/* --- The loss */

static void lose(struct world *w, const struct world_pod *survivor) {
    for (unsigned i = 0; i < w->pod_count; i++) {
        if (&w->pods[i] != survivor && w->pods[i].process != NULL) {
            played_kill(w->pods[i].process);
        }
    }
}

static void keep_file(struct world *w, const struct world_owner *o, const char *name) {
    AUTO(buf_deinit)
    struct buf file = {0};
    struct err err = {.code = ERR_OK};
    bool found = false;
    struct result r =
        workspace_read(o->folder, "verify/checkpoint", LIMIT_CHECKPOINT, &file, &found, &err);
    r = is_ok(r) && found ? workspace_write(o->folder, name, buf_span(&file), &err) : r;
    if (!is_ok(r) || !found) {
        world_fail(w, "owner %u has no checkpoint although its set succeeded: %s", o->index,
                   err.text);
    }
}

static void ask(struct world_owner *o, enum world_command command) {
    world_owner_ask(o, command);
    world_owner_wait(o->world);
}

/* --- Bringing it back */

static void aim(struct world *w, struct world_owner *o, const char *file) {
    o->address[0] = 0;
    for (unsigned i = 0; i < (file == NULL ? w->pod_count : 1); i++) {
        size_t n = strlen(o->address);
        snprintf(o->address + n, sizeof o->address - n, "%scoordinator-%u:1313", i > 0 ? "," : "",
                 i);
    }
    snprintf(o->file, sizeof o->file, "%s%s%s", file == NULL ? "" : o->folder,
             file == NULL ? "" : "/", file == NULL ? "" : file);
}

static void refuse_older(struct world *w, struct world_owner *o) {
    aim(w, o, "older");
    ask(o, WORLD_RECOVER);
    int code = err_exit_code(o->outcome.code);
    if (code != 4 && code != 1) {
        world_fail(w, "owner %u takes a checkpoint from before what it has verified: %s: %s",
                   o->index, err_name(o->outcome.code), o->why.text);
    }
}

static bool try_once(struct world *w, const char *file) {
    struct world_owner *first = &w->owners[0];
    struct world_owner *second = &w->owners[1];
    aim(w, first, file);
    ask(first, WORLD_RECOVER);
    if (first->outcome.code != ERR_OK) {
        return false;
    }
    memcpy(second->session, first->session, sizeof second->session);
    memcpy(second->address, first->address, sizeof second->address);
    ask(second, WORLD_CONTRIBUTE);
    return second->outcome.code == ERR_OK;
}

static void judge(struct world *w, const struct world_owner *o) {
    int code = err_exit_code(o->outcome.code);
    if (code == 2 || code == 4) {
        world_fail(w, "owner %u recovers and is told %s: %s", o->index, err_name(o->outcome.code),
                   o->why.text);
    }
}

void world_recover_play(struct world *w) {
    const struct world_pod *survivor =
        world_below(w, 2) == 0 ? &w->pods[world_below(w, w->pod_count)] : NULL;
    const char *file = survivor == NULL ? "verify/checkpoint" : NULL;
    uint64_t epoch = w->epoch;
    keep_file(w, &w->owners[0], "older");
    uint64_t generation = w->acked_generation;
    w->owners[0].has_manifest = false;
    ask(&w->owners[0], WORLD_SET);
    bool is_newer = w->acked_generation > generation;
    ask(&w->owners[0], WORLD_VERIFY);
    ask(&w->owners[1], WORLD_VERIFY);
    lose(w, survivor);
    world_run_for(w, SETTLE_MS + world_below(w, SETTLE_MS));
    if (survivor == NULL && is_newer) {
        refuse_older(w, &w->owners[0]);
    }
    for (int i = 0; i < TRIES && w->result->is_good && w->epoch == epoch; i++) {
        bool is_done = try_once(w, file);
        judge(w, &w->owners[0]);
        judge(w, &w->owners[1]);
        w->result->recoveries += is_done ? 1 : 0;
        world_run_for(w, 1000);
    }
    if (w->epoch == epoch) {
        world_fail(w, "two share owners cannot recover: %s; %s", w->owners[0].why.text,
                   w->owners[1].why.text);
    }
}
