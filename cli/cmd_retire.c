/* contrast members retire.
 *
 *   owner's key -> verified replica -> API_STATUS, confirmed -> name to id -> signature
 *   -> API_RETIRE -> the entry is committed: the member leaves
 *
 * The signature covers cluster, epoch and id, and an id never comes again: sent twice it does
 * nothing twice. Nothing is sent while no quorum confirms who the members are. Exit 1: nobody
 * answers, no quorum, or the cluster could not spare the replica; 2: no such member; 3: refused.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_retire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/owner_key.h"
#include "cli/trust.h"
#include "lib/manifest/owner.h"

struct retire_run {
    struct cli *cli;
    const char *wanted; /* name or id */
    bool is_forced;
    struct dial_list addresses;
    struct trust trust;
    struct owner_key key;
    struct dial *dial;
    struct remote remote;
    struct api_status_reply status;
    const struct api_member *member; /* of status */
    struct api_retire_reply reply;
    struct arena arena;
};

static void hang_up(struct retire_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

/* ---- who is meant ---- */

static RESULT check_wanted(const struct api_member *m, const struct api_member *other,
                           const char *wanted, struct err *err) {
    ENSURE(m != NULL, err, NOT_FOUND, "no member has the name or id %s; see `contrast members`",
           wanted);
    ENSURE(other == NULL, err, INVALID,
           "two members are called %s: give the id, %" PRIu64 " or %" PRIu64, wanted, m->id,
           other == NULL ? 0 : other->id);
    return OK;
}

static RESULT find_member(struct retire_run *run, struct err *err) {
    const struct api_member *members = run->status.members.items;
    const struct api_member *found = NULL;
    const struct api_member *other = NULL;
    char *end = NULL;
    uint64_t id = strtoull(run->wanted, &end, 10);
    bool is_number = *end == '\0' && run->wanted[0] != '\0';
    for (size_t i = 0; i < run->status.members.count; i++) {
        if (strcmp(members[i].name, run->wanted) == 0 || (is_number && members[i].id == id)) {
            other = found;
            found = &members[i];
        }
    }
    TRY(check_wanted(found, other, run->wanted, err));
    CHECK(found != NULL);
    run->member = found;
    return OK;
}

/* A dead member may always go; a living one only if the others are enough. */
static RESULT check_spare(const struct retire_run *run, struct err *err) {
    const struct api_member *m = run->member;
    bool is_alive = m->is_connected || m->id == run->status.id;
    ENSURE(!is_alive || m->may_stop || run->is_forced, err, UNAVAILABLE,
           "%s cannot be spared now: %s; start another replica first, or --force", m->name,
           m->may_stop_why);
    return OK;
}

/* ---- asking ---- */

static RESULT contact(struct retire_run *run, const struct dial_address *address, struct err *err) {
    struct api_empty empty = {0};
    struct dial_call call = {API_STATUS,       &api_empty_type,        &empty,
                             API_STATUS_REPLY, &api_status_reply_type, &run->status};
    hang_up(run);
    TRY(dial_open(address, &run->dial, err));
    TRY(trust_judge(&run->trust, run->dial, TRUST_BY_NEWEST, &run->remote, err));
    TRY(dial_ask(run->dial, &call, &run->arena, err));
    ENSURE(run->status.is_confirmed, err, NO_QUORUM,
           "%s: no quorum confirms who the members are (%s)", address->text, run->status.why);
    return OK;
}

static RESULT contact_any(struct retire_run *run, struct err *err) {
    struct result r = OK;
    for (size_t i = 0; i < run->addresses.count; i++) {
        r = contact(run, &run->addresses.items[i], err);
        if (err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < run->addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

static RESULT retire(struct retire_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf message = {0};
    AUTO(buf_deinit)
    struct buf signature = {0};
    const struct client_history *h = run->remote.history;
    owner_retire_bytes(h->cluster, h->epoch, run->member->id, &message);
    TRY(owner_sign(&run->key.key, buf_span(&message), &signature, err));
    struct api_retire ask = {run->member->id, buf_span(&run->key.spki), buf_span(&signature)};
    struct dial_call call = {API_RETIRE,       &api_retire_type,       &ask,
                             API_RETIRE_REPLY, &api_retire_reply_type, &run->reply};
    return dial_ask(run->dial, &call, &run->arena, err);
}

static void print_result(struct retire_run *run) {
    const struct api_member *m = run->member;
    if (run->cli->json) {
        cli_print_json(run->cli,
                       json_pack("{s:b, s:s, s:o, s:b, s:I}", "retired", true, "name", m->name,
                                 "id", json_sprintf("%" PRIu64, m->id), "already",
                                 run->reply.already, "index", (json_int_t)run->reply.index));
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    buf_appendf(&out, "✔ %s (id %" PRIu64 ") %s\n", m->name, m->id,
                run->reply.already ? "was leaving already" : "is leaving the cluster");
    cli_print_text(buf_span(&out));
}

static RESULT run_retire(struct retire_run *run, int argc, char **argv, struct err *err) {
    const char *coordinators = NULL;
    const char *manifest = NULL;
    const char *key = NULL;
    struct cli_list names = {0};
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&manifest},
        {"workload-owner-key", 0, CLI_STRING, (void *)&key},
        {"force", 0, CLI_FLAG, &run->is_forced},
    };
    TRY(cli_parse(run->cli, options, sizeof options / sizeof options[0], argc, argv, &names, err));
    ENSURE(names.count == 1, err, USAGE, "want the name or the id of one member; see --help");
    run->wanted = names.items[0];
    TRY(dial_parse(coordinators, &run->addresses, err));
    TRY(trust_load(run->cli->workspace, manifest, true, &run->trust, err));
    TRY(owner_key_load(run->cli->workspace, key, &run->key, err));
    TRY(contact_any(run, err));
    TRY(find_member(run, err));
    TRY(check_spare(run, err));
    TRY(retire(run, err));
    print_result(run);
    return OK;
}

struct result cmd_retire(struct cli *cli, int argc, char **argv, struct err *err) {
    struct retire_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    struct result r = run_retire(run, argc, argv, err);
    hang_up(run);
    trust_deinit(&run->trust);
    owner_key_deinit(&run->key);
    arena_deinit(&run->arena);
    mem_free(run);
    return r;
}
