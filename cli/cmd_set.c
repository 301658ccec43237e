/* contrast set.
 *
 *   manifest, policies, key -> connection, judged -> no manifest yet: PREPARE, check, COMMIT
 *                                                 -> else:            SET after what was verified
 *   -> API_NEED -> policies -> API_SET_REPLY -> workspace
 *
 * The Coordinator must satisfy the manifest being set, or the active one of a chain that starts
 * with a key of the user's (an update of the Coordinator itself). A cluster id is kept before the
 * founding begins, so that a lost answer never leads to a second cluster unseen. Once the request
 * was sent, a lost connection says nothing: the head is read again, RESOLVE_TRIES times.
 *
 * Exit 2: local files are wrong. 3: refused by the server, or a server that is refused here. 1: the
 * rest; a second run is always safe, an identical set succeeds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_set.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/checkpoint_file.h"
#include "cli/deployment.h"
#include "cli/founding.h"
#include "cli/owner_key.h"
#include "cli/trust.h"

#define RESOLVE_TRIES 5
#define RESOLVE_PAUSE_S 2

struct set_options {
    const char *coordinators;
    const char *manifest;
    const char *key;
    const char *signature; /* made elsewhere, by */
    const char *signer;
    const char *transition;
    int64_t replicas;
    bool is_new;
    bool is_dry;
    struct cli_list paths;
};

struct set_run {
    struct cli *cli;
    struct set_options options;
    struct dial_list addresses;
    struct trust trust;
    struct deployment deployment;
    struct owner_key key;
    struct dial *dial;
    struct remote remote;
    uint8_t cluster[32]; /* of the transition */
    uint8_t previous[32];
    uint8_t transition[32];
    uint64_t generation;
    bool is_founding;
    bool is_sent;    /* COMMIT or SET is out */
    bool is_started; /* API_NEED came: from now on the server proposes it on its own */
    size_t next;     /* address to try first */
    size_t silent;   /* addresses at which nobody could be heard, or no quorum behind them */
    bool already;
    bool has_checkpoint; /* CHECKPOINT_FILE is of this set */
};

static void hang_up(struct set_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

static void free_run(struct set_run *run) {
    hang_up(run);
    trust_deinit(&run->trust);
    deployment_deinit(&run->deployment);
    owner_key_deinit(&run->key);
}

/* ---- local input ---- */

static RESULT parse_options(struct set_run *run, int argc, char **argv, struct err *err) {
    struct set_options *o = &run->options;
    o->replicas = 3;
    const struct cli_option table[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&o->coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&o->manifest},
        {"workload-owner-key", 0, CLI_STRING, (void *)&o->key},
        {"signature", 0, CLI_STRING, (void *)&o->signature},
        {"signer", 0, CLI_STRING, (void *)&o->signer},
        {"latest-transition", 0, CLI_STRING, (void *)&o->transition},
        {"replicas", 0, CLI_NUMBER, &o->replicas},
        {"new-deployment", 0, CLI_FLAG, &o->is_new},
        {"dry-run", 0, CLI_FLAG, &o->is_dry},
    };
    TRY(cli_parse(run->cli, table, sizeof table / sizeof table[0], argc, argv, &o->paths, err));
    TRY(dial_parse(o->coordinators, &run->addresses, err));
    ENSURE(o->replicas == 1 || o->replicas == 3 || o->replicas == 5, err, USAGE,
           "--replicas: %" PRId64 " is none of 1, 3 and 5", o->replicas);
    ENSURE(o->paths.count > 0, err, USAGE,
           "name the YAML files or folders of the deployment; see --help");
    if (o->transition != NULL) {
        struct result r = hex_decode(span_str(o->transition), run->previous, 32, NULL);
        ENSURE(is_ok(r), err, USAGE, "--latest-transition: want 64 hexadecimal digits");
    }
    return OK;
}

static RESULT load_key(struct set_run *run, struct err *err) {
    struct owner_key *key = &run->key;
    const struct set_options *o = &run->options;
    ENSURE(o->signature != NULL || o->signer == NULL, err, USAGE, "--signer goes with --signature");
    ENSURE(o->signature == NULL || o->key == NULL, err, USAGE,
           "--signature and --workload-owner-key exclude each other");
    TRY(o->signature != NULL ? owner_key_load_detached(o->signature, o->signer, key, err)
                             : owner_key_load(run->cli->workspace, o->key, key, err));
    if (run->trust.own.owner_count == 0) {
        log_warn("the manifest names no owner key: no further update will be possible");
    } else if (!manifest_has_owner(&run->trust.own, key->digest)) {
        log_warn("%s is not among the owner keys of the manifest", key->path.text);
    }
    if (run->trust.own.auto_recovery) {
        log_warn("AutoRecovery: whoever controls the hosts of a majority of the replicas can bring "
                 "an older state back, and open it (docs/threat-model.md)");
    }
    return OK;
}

static RESULT load_local(struct set_run *run, struct err *err) {
    TRY(trust_load(run->cli->workspace, run->options.manifest, true, &run->trust, err));
    TRY(deployment_read(&run->options.paths, &run->deployment, err));
    TRY(deployment_check(&run->deployment, &run->trust.own, err));
    return load_key(run, err);
}

/* ---- a Coordinator ---- */

static RESULT connect_by(struct set_run *run, const struct dial_address *address, enum trust_by by,
                         struct err *err) {
    hang_up(run);
    TRY(dial_open(address, &run->dial, err));
    struct trust trust = run->trust;
    if (run->options.is_new) { /* what this workspace remembers is of another deployment */
        trust.cluster.is_known = false;
        trust.has_last = false;
    }
    return trust_judge(&trust, run->dial, by, &run->remote, err);
}

/* By the manifest being set; then, when the server has one, by its own. */
static RESULT connect_to(struct set_run *run, const struct dial_address *address, struct err *err) {
    struct result r = connect_by(run, address, TRUST_BY_OWN, err);
    if (r.code != ERR_DENIED || run->dial == NULL || dial_history(run->dial)->generation == 0) {
        return r;
    }
    log_info("%s does not satisfy the manifest being set; trying the active one", address->text);
    struct err second;
    if (is_ok(connect_by(run, address, TRUST_BY_NEWEST, &second))) {
        return OK;
    }
    log_info("%s", second.text);
    return r;
}

static bool may_try_next(enum err_code code) {
    enum err_class class = err_class_of(code);
    return class == ERR_CLASS_RETRY || class == ERR_CLASS_PEER;
}

/* The first replica that has a manifest; when none has one, the first that answers. */
static RESULT connect_any(struct set_run *run, struct err *err) {
    const struct dial_address *empty = NULL;
    struct result r = OK;
    for (size_t i = run->next; i < run->addresses.count; i++) {
        const struct dial_address *address = &run->addresses.items[i];
        run->next = i + 1;
        r = connect_to(run, address, err);
        if (is_ok(r) && run->remote.history->generation > 0) {
            return OK;
        }
        if (!is_ok(r) && !may_try_next(r.code)) {
            return r;
        }
        if (is_ok(r) && empty == NULL) {
            empty = address;
            if (run->addresses.count == 1) {
                return OK;
            }
        } else if (!is_ok(r)) {
            run->silent++;
            log_warn("%s", err->text);
        }
    }
    return empty != NULL ? connect_to(run, empty, err) : r;
}

/* ---- the transition ---- */

static RESULT sign(struct set_run *run, uint64_t epoch, struct buf *signature, struct err *err) {
    struct transition t = {.epoch = epoch, .generation = run->generation};
    memcpy(t.cluster, run->cluster, sizeof t.cluster);
    memcpy(t.previous, run->previous, sizeof t.previous);
    memcpy(t.manifest_hash, run->trust.own.hash, sizeof t.manifest_hash);
    manifest_policies_hash(&run->trust.own, t.policies_hash);
    transition_hash(&t, run->transition);
    AUTO(buf_deinit)
    struct buf message = {0};
    transition_signed_bytes(run->transition, &message);
    return owner_key_sign(&run->key, buf_span(&message), signature, err);
}

/* ---- founding ---- */

static RESULT check_may_found(const struct set_run *run, struct err *err) {
    char hex[65];
    hex_encode(SPAN(run->trust.cluster.id), hex);
    bool is_known = run->trust.cluster.is_known && !run->options.is_new;
    ENSURE(!is_known || run->silent == 0, err, UNAVAILABLE,
           "%s has no manifest, and %zu of the named replicas could not be heard or had no quorum: "
           "they may belong to cluster %s as this workspace does. Run the same again in a while",
           dial_text(run->dial), run->silent, hex);
    ENSURE(!is_known, err, FOUNDED,
           "this workspace belongs to cluster %s%s, and the Coordinator has no manifest: it "
           "restarted or is another one. Look at the other replicas, recover the cluster, or found "
           "a new one with --new-deployment",
           hex, run->trust.cluster.is_pending ? " (its founding had no answer)" : "");
    ENSURE(run->options.transition == NULL, err, CHANGED,
           "--latest-transition is given, and the Coordinator has no manifest");
    ENSURE(!run->key.is_detached, err, USAGE,
           "the first set founds the cluster: what is signed names founders who wait for half a "
           "minute only, so it needs the owner's key here, not --signature");
    return OK;
}

static RESULT prepare(struct set_run *run, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_prepare ask = {buf_span(&run->trust.bytes), (uint64_t)run->options.replicas};
    struct api_prepare_reply reply;
    struct dial_call call = {API_PREPARE,       &api_prepare_type,       &ask,
                             API_PREPARE_REPLY, &api_prepare_reply_type, &reply};
    TRY(check_may_found(run, err));
    TRY(dial_ask(run->dial, &call, &arena, err));
    TRY(err_wrap(founding_check(&reply, ask.replicas, err), err, "%s", dial_text(run->dial)));
    memcpy(run->cluster, reply.cluster, sizeof run->cluster);
    run->is_founding = true;
    run->generation = 1;
    const struct api_founder *founders = reply.founders.items;
    for (size_t i = 0; i < reply.founders.count; i++) {
        log_info("founder %s at %s", founders[i].name, founders[i].address);
    }
    return OK;
}

static RESULT commit(struct set_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf signature = {0};
    TRY(sign(run, 1, &signature, err));
    TRY(workspace_write_cluster(run->cli->workspace, run->cluster, true, err));
    struct api_commit ask = {.manifest = buf_span(&run->trust.bytes),
                             .spki = buf_span(&run->key.spki),
                             .signature = buf_span(&signature)};
    memcpy(ask.cluster, run->cluster, sizeof ask.cluster);
    run->is_sent = true;
    return dial_send(run->dial, API_COMMIT, &api_commit_type, &ask, err);
}

/* ---- setting ---- */

static RESULT choose_previous(struct set_run *run, struct err *err) {
    bool found = run->options.transition != NULL;
    if (!found) {
        TRY(workspace_read_digest(run->cli->workspace, WORKSPACE_TRANSITION, run->previous, &found,
                                  err));
    }
    ENSURE(found, err, CONFIG,
           "the Coordinator has a manifest already, and this workspace does not say which one was "
           "seen last: run `contrast verify` first, or give --latest-transition");
    run->generation = run->remote.history->generation + 1;
    memcpy(run->cluster, run->remote.history->cluster, sizeof run->cluster);
    return OK;
}

/* What is signed names the generation behind `previous`. A replica that lags may not have that one
 * yet, and may have it when it judges the signature. */
static RESULT place_previous(struct set_run *run, struct err *err) {
    const struct client_history *h = run->remote.history;
    for (size_t i = 0; i < h->generation; i++) {
        if (memcmp(run->remote.heads[i], run->previous, 32) == 0) {
            run->generation = i + 2;
            return OK;
        }
    }
    ENSURE(remote_statement(&run->remote)->has_confirmed, err, UNAVAILABLE,
           "%s does not know the transition that this workspace saw last, and no quorum confirms "
           "what it shows: it lags, or belongs to those who were left behind",
           dial_text(run->dial));
    return OK; /* the server says what stands there instead */
}

/* What the server will decide, decided early: for --dry-run and for a better message. */
static RESULT check_head(struct set_run *run, struct err *err) {
    const struct client_history *h = run->remote.history;
    run->already = span_equal(h->records[h->generation - 1].manifest, buf_span(&run->trust.bytes));
    char head[65];
    hex_encode(SPAN(run->remote.verdict.head), head);
    bool is_current = remote_statement(&run->remote)->has_confirmed; /* else the server decides */
    ENSURE(run->already || !is_current || memcmp(run->remote.verdict.head, run->previous, 32) == 0,
           err, CHANGED,
           "changed since you looked: the active transition is %s (generation %" PRIu64
           "); run `contrast verify`, look at what changed, then set again",
           head, h->generation);
    if (!run->already && !manifest_has_owner(&run->remote.verdict.latest, run->key.digest)) {
        log_warn("the key is not among the owners of the active manifest");
    }
    return OK;
}

static RESULT send_set(struct set_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf signature = {0};
    TRY(sign(run, run->remote.history->epoch, &signature, err));
    struct api_set ask = {.manifest = buf_span(&run->trust.bytes),
                          .spki = buf_span(&run->key.spki),
                          .signature = buf_span(&signature)};
    memcpy(ask.previous, run->previous, sizeof ask.previous);
    run->is_sent = true;
    return dial_send(run->dial, API_SET, &api_set_type, &ask, err);
}

/* ---- policies and the answer ---- */

static RESULT send_policies(struct set_run *run, struct span body, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_need need;
    TRY(wire_decode(&api_need_type, body, &arena, &need, err));
    const struct api_hash *hashes = need.hashes.items;
    for (size_t i = 0; i < need.hashes.count; i++) {
        const struct deployment_policy *p = deployment_find(&run->deployment, hashes[i].hash);
        ENSURE(p != NULL, err, PROTOCOL, "asked for a policy that the manifest does not have");
        struct api_put_policy put = {buf_span(&p->text)};
        TRY(dial_send(run->dial, API_PUT_POLICY, &api_put_policy_type, &put, err));
    }
    log_info("%zu policies sent", need.hashes.count);
    return OK;
}

struct set_answer {
    char *root_ca_pem; /* in an arena of the caller's */
    char *mesh_ca_pem;
};

static RESULT take_answer(struct set_run *run, struct span body, struct arena *arena,
                          struct set_answer *out, struct err *err) {
    struct api_set_reply reply;
    TRY(wire_decode(&api_set_reply_type, body, arena, &reply, err));
    ENSURE(reply.already || memcmp(reply.transition, run->transition, 32) == 0, err, DIFFERS,
           "the Coordinator answers with another transition than the signed one");
    memcpy(run->transition, reply.transition, sizeof run->transition);
    run->generation = reply.generation;
    run->already = reply.already;
    *out = (struct set_answer){reply.root_ca_pem, reply.mesh_ca_pem};
    return OK;
}

static RESULT await_answer(struct set_run *run, struct arena *arena, struct set_answer *out,
                           struct err *err) {
    for (bool has_needed = false;;) {
        struct dial_reply reply;
        TRY(dial_wait(run->dial, &reply, err));
        if (reply.type == API_SET_REPLY) {
            return take_answer(run, reply.body, arena, out, err);
        }
        ENSURE(reply.type == API_NEED && !has_needed, err, PROTOCOL, "unexpected frame %u",
               reply.type);
        has_needed = true;
        run->is_started = true;
        TRY(send_policies(run, reply.body, err));
    }
}

/* ---- unknown outcomes ---- */

/* Nothing is proposed before the policies are there, and a founding always lacks some. A set may
 * lack none: then only an error that the server answered says that it did not happen. */
static bool is_outcome_unknown(const struct set_run *run, enum err_code code) {
    bool is_unsure = run->is_started && err_class_of(code) == ERR_CLASS_RETRY;
    bool is_lost = dial_is_lost(run->dial) && (run->is_started || !run->is_founding);
    return run->is_sent && (is_unsure || is_lost);
}

/* True when this replica shows the manifest as active, in the cluster that was meant. */
static bool is_set_at(struct set_run *run, const struct dial_address *address, struct arena *arena,
                      struct set_answer *out) {
    struct err err;
    if (!is_ok(connect_to(run, address, &err))) {
        log_info("%s", err.text);
        return false;
    }
    const struct client_history *h = run->remote.history;
    if (h->generation == 0 || memcmp(h->cluster, run->cluster, 32) != 0 ||
        !span_equal(h->records[h->generation - 1].manifest, buf_span(&run->trust.bytes))) {
        return false;
    }
    memcpy(run->transition, run->remote.verdict.head, 32);
    run->generation = h->generation;
    *out = (struct set_answer){
        arena_strndup(arena, h->root_ca_pem, strlen(h->root_ca_pem)),
        arena_strndup(arena, h->mesh_ca_pem, strlen(h->mesh_ca_pem)),
    };
    return true;
}

static RESULT resolve(struct set_run *run, struct arena *arena, struct set_answer *out,
                      struct err *err) {
    struct err cause = *err;
    log_warn("%s; reading the manifest again", cause.text);
    for (int i = 0; i < RESOLVE_TRIES; i++) {
        for (size_t k = 0; k < run->addresses.count; k++) {
            if (is_set_at(run, &run->addresses.items[k], arena, out)) {
                return OK;
            }
        }
        sleep(RESOLVE_PAUSE_S); /* a cluster elects a leader meanwhile */
    }
    return err_set(
        err, ERR_OUTCOME_UNKNOWN, "%.500s; the manifest is not active so far: %s", cause.text,
        run->is_founding
            ? "run `contrast verify` in a minute; if no replica has it then, nothing was "
              "founded: set again with --new-deployment"
            : "it may become so; run the same `contrast set` again, which is safe");
}

/* A founding that was refused, as far as one can know, leaves no cluster behind. */
static void forget_founding(const struct set_run *run, enum err_code code) {
    enum err_class class = err_class_of(code);
    if (run->is_founding && run->is_sent &&
        (!run->is_started || class == ERR_CLASS_DENIED || class == ERR_CLASS_OPERATOR)) {
        err_ignore(workspace_remove(run->cli->workspace, WORKSPACE_CLUSTER, NULL),
                   "it stays pending, and says so next time");
    }
}

/* ---- the result ---- */

static RESULT write_result(const struct set_run *run, const struct set_answer *a, struct err *err) {
    const char *dir = run->cli->workspace;
    if (run->is_founding) { /* what verify/ remembers is of an earlier deployment */
        TRY(workspace_remove(dir, WORKSPACE_POSITION, err));
        TRY(workspace_remove(dir, WORKSPACE_FIRST_MANIFEST, err));
    }
    TRY(workspace_write(dir, "coordinator-root-ca.pem", span_str(a->root_ca_pem), err));
    TRY(workspace_write(dir, "mesh-ca.pem", span_str(a->mesh_ca_pem), err));
    TRY(workspace_write_digest(dir, WORKSPACE_TRANSITION, run->transition, err));
    return workspace_write_cluster(dir, run->cluster, false, err);
}

/* ---- the checkpoint ---- */

static RESULT keep_checkpoint(struct set_run *run, const struct dial_address *address,
                              struct err *err) {
    AUTO(checkpoint_file_deinit)
    struct checkpoint_file file = {0};
    TRY(connect_by(run, address, TRUST_BY_NEWEST, err));
    TRY(trust_remember_epochs(&run->trust, &run->remote, err));
    TRY(checkpoint_file_fetch(run->dial, &run->remote, &file, err));
    return checkpoint_file_keep(&file, run->cli->workspace, err);
}

/* The manifest is set: that a checkpoint is missing fails nothing, but must be known. */
static void fetch_checkpoint(struct set_run *run) {
    struct err err = {0};
    if (run->options.is_dry) {
        return;
    }
    if (run->trust.own.share_owner_count == 0) {
        log_warn("the manifest names no share owners: this deployment cannot be recovered when all "
                 "replicas are lost (`contrast generate --add-seedshare-owner-key`)");
        return;
    }
    run->options.is_new = false;
    run->trust.has_last = run->trust.has_last && !run->is_founding;
    run->trust.cluster.is_known = true;
    memcpy(run->trust.cluster.id, run->cluster, sizeof run->cluster);
    for (size_t i = 0; i < run->addresses.count; i++) {
        if (is_ok(keep_checkpoint(run, &run->addresses.items[i], &err))) {
            run->has_checkpoint = true;
            return;
        }
    }
    log_warn("no checkpoint was fetched (%s): run `contrast backup` as soon as you can, the one in "
             "%s is older",
             err.text, CHECKPOINT_FILE);
}

static void print_result(struct set_run *run) {
    char transition[65];
    char cluster[65];
    hex_encode(SPAN(run->transition), transition);
    hex_encode(SPAN(run->cluster), cluster);
    if (run->cli->json) {
        cli_print_json(run->cli,
                       json_pack("{s:b, s:b, s:b, s:s, s:I, s:s, s:b}", "set", !run->options.is_dry,
                                 "dry_run", run->options.is_dry, "already", run->already, "cluster",
                                 cluster, "generation", (json_int_t)run->generation, "transition",
                                 transition, "checkpoint", run->has_checkpoint));
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "✔ %s\n",
                run->options.is_dry ? "Everything is in order; nothing was changed (--dry-run)"
                : run->already      ? "Manifest set successfully (it was active before)"
                                    : "Manifest set successfully");
    buf_appendf(&text, "  generation  %" PRIu64 "\n  transition  %s\n  cluster     %s\n",
                run->generation, transition, cluster);
    if (run->has_checkpoint) {
        buf_appendf(&text, "  checkpoint  %s\n", CHECKPOINT_FILE);
    }
    cli_print_text(buf_span(&text));
}

static RESULT check_dry(struct set_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf signature = {0};
    uint64_t epoch = run->is_founding ? 1 : run->remote.history->epoch;
    if (run->already) {
        memcpy(run->transition, run->remote.verdict.head, 32);
        run->generation = run->remote.history->generation;
        return OK;
    }
    return sign(run, epoch, &signature, err);
}

static RESULT ready(struct set_run *run, struct err *err) {
    TRY(connect_any(run, err));
    if (run->remote.history->generation == 0) {
        return prepare(run, err);
    }
    TRY(choose_previous(run, err));
    TRY(place_previous(run, err));
    return check_head(run, err);
}

static RESULT apply(struct set_run *run, struct arena *arena, struct set_answer *answer,
                    struct err *err) {
    run->is_sent = false;
    run->is_started = false;
    struct result r = run->is_founding ? commit(run, err) : send_set(run, err);
    r = is_ok(r) ? await_answer(run, arena, answer, err) : r;
    if (!is_ok(r) && is_outcome_unknown(run, r.code)) {
        r = resolve(run, arena, answer, err);
    }
    if (!is_ok(r)) {
        forget_founding(run, r.code);
        return r;
    }
    return write_result(run, answer, err);
}

/* Nothing was proposed, and another replica may do better. */
static bool may_go_on(const struct set_run *run, enum err_code code) {
    return run->dial != NULL && !run->is_founding && run->next < run->addresses.count &&
           code != ERR_OUTCOME_UNKNOWN && err_class_of(code) == ERR_CLASS_RETRY;
}

static RESULT set_somewhere(struct set_run *run, struct arena *arena, struct err *err) {
    for (;;) {
        struct set_answer answer = {0};
        struct result r = ready(run, err);
        if (is_ok(r)) {
            r = run->options.is_dry ? check_dry(run, err) : apply(run, arena, &answer, err);
        }
        if (is_ok(r) || !may_go_on(run, r.code)) {
            return r;
        }
        run->silent++;
        log_warn("%s; trying the next replica", err->text);
    }
}

static RESULT set(struct set_run *run, int argc, char **argv, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    TRY(parse_options(run, argc, argv, err));
    TRY(load_local(run, err));
    TRY(set_somewhere(run, &arena, err));
    fetch_checkpoint(run);
    print_result(run);
    return OK;
}

struct result cmd_set(struct cli *cli, int argc, char **argv, struct err *err) {
    struct set_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    struct result r = set(run, argc, argv, err);
    free_run(run);
    mem_free(run);
    return r;
}
