/* contrast verify.
 *
 *   for each address: dial -> trust_judge (chain, evidence, statement, memory) -> same manifest?
 *   -> confirmed? -> its position is remembered for the next address
 *   then: policies of the active manifest -> verify/, all files, after every comparison
 *
 * A replica that is genuine but not confirmed proves nothing about what is current: exit 1. A later
 * replica must not lie behind an earlier one, because its round began after the earlier answer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/trust.h"
#include "lib/crypto/digest.h"

#define ROOT_CA_FILE "verify/coordinator-root-ca.pem"

/* What became of one address. */
struct verify_row {
    const struct dial_address *address;
    struct err err; /* code OK: verified */
    bool is_judged; /* the members below are true */
    bool simulated;
    bool is_confirmed;
    uint64_t id;
    const char *state;
    char name[LIMIT_NAME + 1]; /* and role: as the replica itself says; "" = not known */
    char role[16];
    uint64_t generation;
    uint64_t confirmed_index;
};

struct verify_run {
    struct cli *cli;
    struct dial_list addresses;
    bool is_all;
    struct trust trust; /* its last position moves on with each verified replica */
    struct dial *dial;  /* to the last verified replica: verify/ is written from it */
    struct remote remote;
    struct verify_row rows[LIMIT_MEMBERS];
    size_t row_count;
    size_t policy_count;
};

static void hang_up(struct verify_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

/* ---- the same manifest? ---- */

void verify_diff(struct span a, struct span b, struct buf *out) {
    json_t *x = json_loadb((const char *)a.data, a.size, 0, NULL);
    json_t *y = json_loadb((const char *)b.data, b.size, 0, NULL);
    const size_t before = out->size;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(x, key, value) {
        if (!json_equal(value, json_object_get(y, key))) {
            buf_appendf(out, "%s%.100s", out->size > before ? ", " : "", key);
        }
    }
    json_object_foreach(y, key, value) {
        if (json_object_get(x, key) == NULL) {
            buf_appendf(out, "%s%.100s", out->size > before ? ", " : "", key);
        }
    }
    if (out->size == before) {
        buf_append_str(out, json_is_object(x) && json_is_object(y) ? "formatting" : "not JSON");
    }
    json_decref(x);
    json_decref(y);
}

static RESULT compare_manifest(const struct verify_run *run, const struct client_history *h,
                               struct err *err) {
    AUTO(buf_deinit)
    struct buf diff = {0};
    struct span active = h->records[h->generation - 1].manifest;
    if (span_equal(active, buf_span(&run->trust.bytes))) {
        return OK;
    }
    verify_diff(buf_span(&run->trust.bytes), active, &diff);
    return err_set(err, ERR_DIFFERS,
                   "the active manifest (generation %" PRIu64 ") is not the expected one: %s",
                   h->generation, buf_cstr(&diff));
}

/* ---- one replica ---- */

static void fill_row(struct verify_row *row, const struct remote *r) {
    const struct replica_statement *s = remote_statement(r);
    row->is_judged = true;
    row->simulated = r->verdict.peer.verdict.simulated;
    row->is_confirmed = s->has_confirmed;
    row->id = s->replica_id;
    row->state = replica_state_name((enum replica_state)s->state);
    row->generation = r->history->generation;
    row->confirmed_index = s->confirmed_index;
}

static RESULT judge(const struct verify_run *run, struct verify_row *row, struct dial *dial,
                    struct remote *remote, struct err *err) {
    const struct client_history *h = dial_history(dial);
    ENSURE(h->generation > 0, err, NOT_FOUNDED, "%s: no manifest is set: run `contrast set`",
           row->address->text);
    struct result r = trust_judge(&run->trust, dial, TRUST_BY_OWN, remote, err);
    if (r.code == ERR_DENIED && !is_ok(compare_manifest(run, h, NULL))) {
        struct err cause = *err;
        return err_set(err, ERR_DENIED, "%.800s (it also shows another manifest than yours)",
                       cause.text);
    }
    TRY(r);
    fill_row(row, remote);
    bool is_confirmed = remote_statement(remote)->has_confirmed;
    r = compare_manifest(run, h, err);
    ENSURE(is_confirmed, err, UNVERIFIABLE,
           "%s: genuine, currency unknown: no quorum confirmed this state after the question%s",
           row->address->text, is_ok(r) ? "" : "; it shows another manifest than yours");
    TRY(err_wrap(r, err, "%s", row->address->text));
    return OK;
}

/* Name and role are for people: a replica that does not tell them is verified all the same. */
static void ask_labels(struct dial *dial, struct verify_row *row) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_empty empty = {0};
    struct api_status_reply status;
    struct dial_call call = {API_STATUS,       &api_empty_type,        &empty,
                             API_STATUS_REPLY, &api_status_reply_type, &status};
    if (!is_ok(dial_ask(dial, &call, &arena, NULL))) {
        return;
    }
    (void)snprintf(row->name, sizeof row->name, "%s", status.name);
    err_clean(row->name);
    const struct api_member *members = status.members.items;
    for (size_t i = 0; i < status.members.count; i++) {
        if (members[i].id == row->id) {
            (void)snprintf(row->role, sizeof row->role, "%.15s", members[i].role);
            err_clean(row->role);
        }
    }
}

static RESULT verify_one(struct verify_run *run, const struct dial_address *address,
                         struct err *err) {
    struct verify_row *row = &run->rows[run->row_count++];
    struct dial *dial = NULL;
    struct remote remote = {0};
    row->address = address;
    struct result r = dial_open(address, &dial, err);
    r = is_ok(r) ? judge(run, row, dial, &remote, err) : r;
    if (!is_ok(r)) {
        row->err = *err;
        remote_deinit(&remote);
        dial_close(dial);
        return r;
    }
    if (run->is_all) {
        ask_labels(dial, row);
    }
    hang_up(run);
    run->dial = dial;
    run->remote = remote;
    run->trust.last = remote.position;
    run->trust.has_last = true;
    return OK;
}

/* ---- all replicas ---- */

/* Verifies each; the result is the worst. */
static RESULT verify_all(struct verify_run *run, struct err *err) {
    struct result worst = OK;
    for (size_t i = 0; i < run->addresses.count; i++) {
        struct err why;
        struct result r = verify_one(run, &run->addresses.items[i], &why);
        if (err_exit_code(r.code) > err_exit_code(worst.code)) {
            worst = r;
            *err = why;
        }
    }
    return worst;
}

static RESULT verify_any(struct verify_run *run, struct err *err) {
    struct result r = OK;
    for (size_t i = 0; i < run->addresses.count; i++) {
        r = verify_one(run, &run->addresses.items[i], err);
        if (err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < run->addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

/* ---- verify/ ---- */

static RESULT write_policies(struct verify_run *run, struct err *err) {
    const struct manifest *m = &run->remote.verdict.latest;
    for (size_t i = 0; i < m->policy_count; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        struct api_policy ask;
        struct api_policy_reply reply;
        struct dial_call call = {API_POLICY,       &api_policy_type,       &ask,
                                 API_POLICY_REPLY, &api_policy_reply_type, &reply};
        uint8_t hash[32];
        char hex[65];
        char name[96];
        memcpy(ask.hash, m->policies[i].hash, sizeof ask.hash);
        hex_encode(SPAN(ask.hash), hex);
        TRY(dial_ask(run->dial, &call, &arena, err));
        sha256(reply.policy, hash);
        ENSURE(memcmp(hash, ask.hash, sizeof hash) == 0, err, DIFFERS,
               "%s: the policy served as %s has another hash", dial_text(run->dial), hex);
        (void)snprintf(name, sizeof name, "verify/policy.%s.rego", hex);
        TRY(workspace_write(run->cli->workspace, name, reply.policy, err));
        run->policy_count++;
    }
    return OK;
}

static json_t *generation_to_json(const struct remote *r, size_t index) {
    const struct transition_record *record = &r->history->records[index];
    uint8_t digest[32];
    char transition[65];
    char manifest[65];
    char signer[65];
    hex_encode(span_of(r->heads[index], 32), transition);
    sha256(record->manifest, digest);
    hex_encode(SPAN(digest), manifest);
    sha256(record->spki, digest);
    hex_encode(SPAN(digest), signer);
    return json_pack("{s:I, s:s, s:s, s:s}", "generation", (json_int_t)index + 1, "transition",
                     transition, "manifest", manifest, "signer", signer);
}

static RESULT write_history(const struct verify_run *run, struct err *err) {
    const struct remote *r = &run->remote;
    json_t *list = json_array();
    struct result done = OK;
    for (size_t i = 0; i < r->history->count && is_ok(done); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "verify/manifest.%zu.json", i);
        json_array_append_new(list, generation_to_json(r, i));
        done = workspace_write(run->cli->workspace, name, r->history->records[i].manifest, err);
    }
    char *text = json_dumps(list, JSON_INDENT(2));
    if (is_ok(done)) {
        done = workspace_write(run->cli->workspace, "verify/history.json", span_str(text), err);
    }
    free(text); /* jansson's */
    json_decref(list);
    return done;
}

/* One deployment has one root CA for its whole life, in every epoch. `set` of a new deployment
 * removes the position. */
static RESULT check_root(const struct verify_run *run, struct err *err) {
    const char *dir = run->cli->workspace;
    AUTO(buf_deinit)
    struct buf root = {0};
    AUTO(buf_deinit)
    struct buf position = {0};
    bool was_verified = false;
    bool has_root = false;
    CHECK(run->remote.history != NULL);
    TRY(workspace_read(dir, WORKSPACE_POSITION, LIMIT_PEM, &position, &was_verified, err));
    TRY(workspace_read(dir, ROOT_CA_FILE, LIMIT_PEM, &root, &has_root, err));
    ENSURE(!was_verified || !has_root ||
               span_equal(buf_span(&root), span_str(run->remote.history->root_ca_pem)),
           err, DIFFERS,
           "%s: this deployment shows another root CA than the one in %s/%s, which was verified "
           "before: nothing is written, and no pod that got a certificate from it should be "
           "trusted",
           dial_text(run->dial), dir, ROOT_CA_FILE);
    return OK;
}

/* The position last: a run that stops halfway leaves the old one, which stays true. */
static RESULT write_all(struct verify_run *run, struct err *err) {
    const char *dir = run->cli->workspace;
    const struct remote *r = &run->remote;
    AUTO(buf_deinit)
    struct buf position = {0};
    position_encode(&r->position, &position);
    TRY(write_policies(run, err));
    TRY(write_history(run, err));
    TRY(trust_remember_epochs(&run->trust, r, err));
    TRY(workspace_write(dir, ROOT_CA_FILE, span_str(r->history->root_ca_pem), err));
    TRY(workspace_write(dir, "verify/mesh-ca.pem", span_str(r->history->mesh_ca_pem), err));
    TRY(workspace_write_cluster(dir, r->position.cluster, false, err));
    TRY(workspace_write_digest(dir, WORKSPACE_TRANSITION, r->position.head, err));
    return workspace_write(dir, WORKSPACE_POSITION, buf_span(&position), err);
}

/* ---- output ---- */

static const char *verdict_of(const struct verify_row *row) {
    switch (err_exit_code(row->err.code)) {
    case 0:
        return "verified";
    case 3:
        return "denied";
    case 4:
        return row->err.code == ERR_FORK ? "fork" : "rollback";
    default:
        return "unverifiable";
    }
}

static json_t *row_to_json(const struct verify_row *row) {
    json_t *o = json_pack("{s:s, s:s}", "address", row->address->text, "verdict", verdict_of(row));
    if (row->is_judged) {
        char id[24];
        (void)snprintf(id, sizeof id, "%" PRIu64, row->id);
        json_object_set_new(o, "simulated", json_boolean(row->simulated));
        json_object_set_new(o, "id", json_string(id));
        json_object_set_new(o, "state", json_string(row->state));
        json_object_set_new(o, "name", row->name[0] != 0 ? json_string(row->name) : json_null());
        json_object_set_new(o, "role", row->role[0] != 0 ? json_string(row->role) : json_null());
        json_object_set_new(o, "generation", json_integer((json_int_t)row->generation));
        json_object_set_new(o, "confirmed_index",
                            row->is_confirmed ? json_integer((json_int_t)row->confirmed_index)
                                              : json_null());
    }
    if (row->err.code != ERR_OK) {
        json_object_set_new(o, "code", json_string(err_name(row->err.code)));
        json_object_set_new(o, "text", json_string(row->err.text));
    }
    return o;
}

static json_t *run_to_json(const struct verify_run *run, bool is_written) {
    json_t *rows = json_array();
    bool simulated = false;
    const char *verdict = "verified";
    int worst = 0;
    for (size_t i = 0; i < run->row_count; i++) {
        const struct verify_row *row = &run->rows[i];
        simulated = simulated || row->simulated;
        if (err_exit_code(row->err.code) > worst && (run->is_all || !is_written)) {
            worst = err_exit_code(row->err.code);
            verdict = verdict_of(row);
        }
        json_array_append_new(rows, row_to_json(row));
    }
    json_t *o = json_pack("{s:s, s:b}", "verdict", verdict, "simulated", simulated);
    if (is_written) {
        const struct position *p = &run->remote.position;
        char cluster[65];
        char head[65];
        hex_encode(SPAN(p->cluster), cluster);
        hex_encode(SPAN(p->head), head);
        json_object_set_new(o, "cluster", json_string(cluster));
        json_object_set_new(o, "epoch", json_integer((json_int_t)p->epoch));
        json_object_set_new(o, "generation", json_integer((json_int_t)p->generation));
        json_object_set_new(o, "transition", json_string(head));
        json_object_set_new(o, "ledger_size", json_integer((json_int_t)p->ledger_size));
    }
    json_object_set_new(o, "replicas", rows);
    return o;
}

#define ROW_FORMAT "%-22s %-16s %-20s %-8s %-8s %4s %10s  %s%s\n"

static void append_row(struct buf *out, const struct verify_row *row) {
    char id[24] = "-";
    char generation[24] = "-";
    char confirmed[24] = "-";
    if (row->is_judged) {
        (void)snprintf(id, sizeof id, "%" PRIu64, row->id);
        (void)snprintf(generation, sizeof generation, "%" PRIu64, row->generation);
    }
    if (row->is_confirmed) {
        (void)snprintf(confirmed, sizeof confirmed, "%" PRIu64, row->confirmed_index);
    }
    buf_appendf(out, ROW_FORMAT, row->address->text, row->name[0] != 0 ? row->name : "-", id,
                row->is_judged ? row->state : "-", row->role[0] != 0 ? row->role : "-", generation,
                confirmed, verdict_of(row), row->simulated ? " (SIMULATED)" : "");
}

static void print_text(const struct verify_run *run, bool is_written) {
    AUTO(buf_deinit)
    struct buf out = {0};
    bool simulated = false;
    if (run->is_all) {
        buf_appendf(&out, ROW_FORMAT, "ADDRESS", "NAME", "ID", "STATE", "ROLE", "GEN", "CONFIRMED",
                    "VERDICT", "");
    }
    for (size_t i = 0; i < run->row_count; i++) {
        simulated = simulated || run->rows[i].simulated;
        if (run->is_all) {
            append_row(&out, &run->rows[i]);
        }
    }
    if (simulated) {
        buf_append_str(&out, "⚠ SIMULATED: the evidence ends in a root that is not AMD's. Your "
                             "manifest permits it; nothing here is confidential.\n");
    }
    if (is_written) {
        const struct position *p = &run->remote.position;
        char head[65];
        hex_encode(SPAN(p->head), head);
        buf_appendf(&out,
                    "✔ Verified the Coordinator at %s by the reference values of the "
                    "manifest\n",
                    dial_text(run->dial));
        buf_appendf(&out, "✔ The active manifest is the expected one (generation %" PRIu64 ")\n",
                    p->generation);
        if (p->epoch > 1) {
            buf_appendf(&out,
                        "✔ Epoch %" PRIu64 ": share owners brought the deployment back, see "
                        "`contrast history`\n",
                        p->epoch);
        }
        buf_appendf(&out, "✔ A quorum confirmed it at index %" PRIu64 "\n", p->confirmed_index);
        buf_appendf(&out,
                    "✔ Wrote %zu manifests, %zu policies and the CA certificates to %s/verify\n"
                    "  transition  %s\n  Please look at the history and the policies.\n",
                    run->remote.history->count, run->policy_count, run->cli->workspace, head);
    }
    if (out.size > 0) {
        cli_print_text(buf_span(&out));
    }
}

/* ---- the command ---- */

/* verify/ is written when a replica was verified and no other proves something worse. */
static bool may_write(const struct verify_run *run, enum err_code code) {
    return run->dial != NULL && err_exit_code(code) < 3;
}

static RESULT verify(struct verify_run *run, const char *coordinators, const char *manifest,
                     struct err *err) {
    TRY(dial_parse(coordinators, &run->addresses, err));
    TRY(trust_load(run->cli->workspace, manifest, true, &run->trust, err));
    struct result r = run->is_all ? verify_all(run, err) : verify_any(run, err);
    bool is_written = may_write(run, r.code);
    if (is_written) {
        TRY(check_root(run, err));
        TRY(write_all(run, err));
    }
    if (run->cli->json) {
        cli_print_json(run->cli, run_to_json(run, is_written));
    } else {
        print_text(run, is_written);
    }
    return r;
}

struct result cmd_verify(struct cli *cli, int argc, char **argv, struct err *err) {
    struct verify_run *run = mem_zalloc(sizeof *run);
    const char *coordinators = NULL;
    const char *manifest = NULL;
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&manifest},
        {"all", 0, CLI_FLAG, &run->is_all},
    };
    run->cli = cli;
    struct result r =
        cli_parse(cli, options, sizeof options / sizeof options[0], argc, argv, NULL, err);
    r = is_ok(r) ? verify(run, coordinators, manifest, err) : r;
    hang_up(run);
    trust_deinit(&run->trust);
    mem_free(run);
    return r;
}
