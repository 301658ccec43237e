/* contrast status and contrast members.
 *
 *   dial -> trust_judge when the workspace has a manifest -> API_STATUS -> text or JSON
 *
 * A replica without a quorum is asked as well: its answer says so, and the exit code is 1. Denied
 * evidence ends the command (3): what such a peer says is worth nothing. With --safe-to-stop the
 * exit code is the answer: 0 only when a quorum confirmed it a moment ago. With --ready as well:
 * before a founding a replica is ready when it answers, afterwards when it is up to date.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest/snp_product.h"
#include "cli/trust.h"
#include "lib/base/host.h"

#define TCB_TEXT 128 /* bytes of a TCB in words */

#define WAIT_MAX_S 3600 /* --wait */

struct status_run {
    struct cli *cli;
    struct dial_list addresses;
    struct trust trust;
    struct dial *dial;
    struct remote remote;
    bool is_verified;
    bool simulated;
    bool is_members_only;
    bool is_asked_to_stop; /* --safe-to-stop */
    bool is_asked_ready;   /* --ready */
    const char *stop_name; /* whom; NULL = the replica that answers */
    int64_t wait_s;        /* --wait: so long for a yes; 0 = one question */
    struct api_status_reply status;
    struct arena arena;
};

static void hang_up(struct status_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

/* ---- asking ---- */

static RESULT judge(struct status_run *run, struct err *err) {
    run->is_verified = run->trust.has_own || run->trust.has_pinned;
    if (!run->is_verified) {
        return OK;
    }
    TRY(trust_judge(&run->trust, run->dial, TRUST_BY_NEWEST, &run->remote, err));
    run->simulated = run->remote.verdict.peer.verdict.simulated;
    return OK;
}

/* What a replica says of itself is shown on a terminal, and need not be verified: one line each. */
static void clean(struct api_status_reply *s) {
    struct api_member *members = s->members.items;
    struct api_alarm *alarms = s->alarms.items;
    err_clean(s->state);
    err_clean(s->why);
    err_clean(s->name);
    err_clean(s->may_stop_why);
    for (size_t i = 0; i < s->members.count; i++) {
        err_clean(members[i].name);
        err_clean(members[i].address);
        err_clean(members[i].role);
        err_clean(members[i].product);
        err_clean(members[i].may_stop_why);
    }
    for (size_t i = 0; i < s->alarms.count; i++) {
        err_clean(alarms[i].name);
        err_clean(alarms[i].by);
        err_clean(alarms[i].code);
        err_clean(alarms[i].text);
    }
}

static RESULT ask(struct status_run *run, const struct dial_address *address, struct err *err) {
    struct api_empty empty = {0};
    struct dial_call call = {API_STATUS,       &api_empty_type,        &empty,
                             API_STATUS_REPLY, &api_status_reply_type, &run->status};
    hang_up(run);
    TRY(dial_open(address, &run->dial, err));
    TRY(judge(run, err));
    TRY(dial_ask(run->dial, &call, &run->arena, err));
    clean(&run->status);
    return OK;
}

static RESULT ask_any(struct status_run *run, struct err *err) {
    struct result r = OK;
    CHECK(run->addresses.count > 0); /* dial_parse */
    for (size_t i = 0; i < run->addresses.count; i++) {
        r = ask(run, &run->addresses.items[i], err);
        if (err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < run->addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

/* ---- numbers that a person wants ---- */

/* Voters that may fail while a quorum stays; negative: so many are missing. */
static int64_t margin(const struct api_status_reply *s) {
    return (int64_t)s->voters_connected - (int64_t)(s->voters / 2 + 1);
}

/* Entries that the member lacks, as the leader knows it; negative: not known here. */
static int64_t lag(const struct api_status_reply *s, const struct api_member *m) {
    if (s->leader != s->id && m->id != s->id) {
        return -1;
    }
    uint64_t at = m->id == s->id ? s->applied_index : m->match_index;
    return at >= s->commit_index ? 0 : (int64_t)(s->commit_index - at);
}

/* Whether this member's evidence is known to whoever answered. */
static bool has_evidence(const struct api_member *m) {
    static const uint8_t none[sizeof m->measurement];
    return m->product[0] != 0 && memcmp(m->measurement, none, sizeof none) != 0;
}

/* "bootloader 4, tee 0, ..." of REPORTED_TCB, or its bytes where the product is unknown. */
static void tcb_text(const struct api_member *m, char *out, size_t size) {
    struct snp_tcb tcb;
    enum snp_product product = snp_product_from_line(m->product, strlen(m->product));
    if (is_ok(snp_tcb_decode(product, m->tcb, &tcb, NULL))) {
        snp_tcb_format(product, &tcb, out, size);
    } else {
        CHECK(size >= 2 * sizeof m->tcb + 1);
        hex_encode(SPAN(m->tcb), out);
    }
}

/* ---- JSON ---- */

static json_t *id_to_json(uint64_t id) {
    return id == 0 ? json_null() : json_sprintf("%" PRIu64, id);
}

static json_t *hex_to_json(struct span s) {
    AUTO(buf_deinit)
    struct buf text = {0};
    hex_encode(s, (char *)buf_extend(&text, 2 * s.size + 1));
    return json_string((const char *)text.data);
}

/* null where the evidence is not known. */
static json_t *evidence_to_json(const struct api_member *m) {
    char tcb[TCB_TEXT];
    if (!has_evidence(m)) {
        return json_null();
    }
    tcb_text(m, tcb, sizeof tcb);
    return json_pack("{s:s, s:o, s:o, s:s, s:o}", "product", m->product, "measurement",
                     hex_to_json(SPAN(m->measurement)), "chip_id", hex_to_json(SPAN(m->chip_id)),
                     "reported_tcb", tcb, "reported_tcb_raw", hex_to_json(SPAN(m->tcb)));
}

static json_t *members_to_json(const struct api_status_reply *s) {
    json_t *list = json_array();
    const struct api_member *members = s->members.items;
    for (size_t i = 0; i < s->members.count; i++) {
        const struct api_member *m = &members[i];
        int64_t behind = lag(s, m);
        json_t *o = json_pack("{s:s, s:o, s:s, s:s, s:b, s:o, s:I}", "name", m->name, "id",
                              id_to_json(m->id), "address", m->address, "role", m->role,
                              "connected", m->is_connected || m->id == s->id, "lag",
                              behind < 0 ? json_null() : json_integer(behind), "last_contact_ms",
                              (json_int_t)m->last_contact_ms);
        json_object_update_new(o, json_pack("{s:I, s:b, s:s, s:o}", "entry_version",
                                            (json_int_t)m->version, "may_stop", m->may_stop,
                                            "may_stop_why", m->may_stop_why, "evidence",
                                            evidence_to_json(m)));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *alarms_to_json(const struct api_status_reply *s) {
    json_t *list = json_array();
    const struct api_alarm *alarms = s->alarms.items;
    for (size_t i = 0; i < s->alarms.count; i++) {
        const struct api_alarm *a = &alarms[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:s, s:I}", "name", a->name,
                                              "id", id_to_json(a->id), "by", a->by, "code", a->code,
                                              "text", a->text, "time", (json_int_t)a->time));
    }
    return list;
}

static void print_json(struct status_run *run) {
    const struct api_status_reply *s = &run->status;
    json_t *o = json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:o, s:o}", "address",
                          dial_text(run->dial), "verified", run->is_verified, "simulated",
                          run->simulated, "state", s->state, "why", s->why, "name", s->name, "id",
                          id_to_json(s->id), "leader", id_to_json(s->leader));
    json_object_update_new(
        o, json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:I, s:o}", "term", (json_int_t)s->term,
                     "commit_index", (json_int_t)s->commit_index, "applied_index",
                     (json_int_t)s->applied_index, "cluster", hex_to_json(SPAN(s->cluster)),
                     "epoch", (json_int_t)s->epoch, "generation", (json_int_t)s->generation,
                     "transition", hex_to_json(SPAN(s->head)), "ledger_size",
                     (json_int_t)s->ledger_size, "ledger_root", hex_to_json(SPAN(s->ledger_root))));
    json_object_update_new(
        o, json_pack("{s:I, s:I, s:I, s:b, s:b, s:s, s:o, s:o}", "voters", (json_int_t)s->voters,
                     "voters_connected", (json_int_t)s->voters_connected, "margin",
                     (json_int_t)margin(s), "confirmed", s->is_confirmed, "may_stop", s->may_stop,
                     "may_stop_why", s->may_stop_why, "members", members_to_json(s), "alarms",
                     alarms_to_json(s)));
    json_object_update_new(o, json_pack("{s:I, s:I, s:I, s:I}", "entry_level", (json_int_t)s->level,
                                        "entry_version", (json_int_t)s->version, "last_term",
                                        (json_int_t)s->last_term, "last_index",
                                        (json_int_t)s->last_index));
    cli_print_json(run->cli, o);
}

/* ---- text ---- */

static void append_summary(struct buf *out, const struct status_run *run) {
    const struct api_status_reply *s = &run->status;
    char head[65];
    char cluster[65];
    hex_encode(SPAN(s->head), head);
    hex_encode(SPAN(s->cluster), cluster);
    buf_appendf(out, "replica     %s (id %" PRIu64 ") at %s\n", s->name, s->id,
                dial_text(run->dial));
    buf_appendf(out, "state       %s%s%s\n", s->state, s->why[0] != 0 ? ": " : "", s->why);
    buf_appendf(out, "cluster     %s, epoch %" PRIu64 "\n", cluster, s->epoch);
    buf_appendf(out, "manifest    generation %" PRIu64 ", transition %s\n", s->generation, head);
    buf_appendf(out,
                "log         term %" PRIu64 ", commit %" PRIu64 ", applied %" PRIu64
                ", ledger %" PRIu64 "\n",
                s->term, s->commit_index, s->applied_index, s->ledger_size);
    buf_appendf(
        out, "quorum      %s, %" PRIu64 " of %" PRIu64 " voters connected, margin %" PRId64 "\n",
        s->is_confirmed ? "confirmed" : "NOT confirmed", s->voters_connected, s->voters, margin(s));
    buf_appendf(out, "entries     level %" PRIu64 ", this replica knows version %" PRIu64 "\n",
                s->level, s->version);
    buf_appendf(out, "safe to stop this replica?  %s%s%s\n", s->may_stop ? "yes" : "no",
                s->may_stop_why[0] != 0 ? ": " : "", s->may_stop_why);
}

/* What each member's evidence says; a chip by its first bytes, all of them stand in the JSON. */
static void append_evidence(struct buf *out, const struct api_member *m) {
    char measurement[97];
    char chip[129];
    char tcb[TCB_TEXT];
    if (!has_evidence(m)) {
        buf_appendf(out, "%-20s evidence not known here\n", m->name);
        return;
    }
    hex_encode(SPAN(m->measurement), measurement);
    hex_encode(SPAN(m->chip_id), chip);
    tcb_text(m, tcb, sizeof tcb);
    buf_appendf(out, "%-20s %-7s chip %.16s...  TCB %s\n%-20s measurement %s\n", m->name,
                m->product, chip, tcb, "", measurement);
}

static void append_alarms(struct buf *out, const struct api_status_reply *s) {
    const struct api_alarm *alarms = s->alarms.items;
    for (size_t i = 0; i < s->alarms.count; i++) {
        const struct api_alarm *a = &alarms[i];
        buf_appendf(out, "%sALARM %s: %s: about %s (id %" PRIu64 "), says %s\n", i == 0 ? "\n" : "",
                    a->code, a->text, a->name, a->id, a->by);
    }
}

static void append_member(struct buf *out, const struct api_status_reply *s,
                          const struct api_member *m) {
    char behind[24] = "-";
    char contact[32] = "-";
    bool is_self = m->id == s->id;
    if (lag(s, m) >= 0) {
        (void)snprintf(behind, sizeof behind, "%" PRId64, lag(s, m));
    }
    if (!is_self) {
        (void)snprintf(contact, sizeof contact, "%" PRIu64 " ms", m->last_contact_ms);
    }
    buf_appendf(out, "%-20s %-20" PRIu64 " %-8s %-9s %6s %12s  %s\n", m->name, m->id, m->role,
                is_self           ? "itself"
                : m->is_connected ? "yes"
                                  : "NO",
                behind, contact, m->address);
}

static void print_text(const struct status_run *run) {
    AUTO(buf_deinit)
    struct buf out = {0};
    const struct api_status_reply *s = &run->status;
    const struct api_member *members = s->members.items;
    buf_appendf(&out, "%s\n",
                !run->is_verified ? "NOT VERIFIED: this workspace has no manifest to verify it by"
                : run->simulated  ? "verified (SIMULATED: the root is not AMD's)"
                                  : "verified");
    if (!run->is_members_only) {
        append_summary(&out, run);
    }
    if (s->members.count > 0) {
        buf_appendf(&out, "\n%-20s %-20s %-8s %-9s %6s %12s  %s\n", "NAME", "ID", "ROLE",
                    "CONNECTED", "LAG", "LAST CONTACT", "ADDRESS");
    }
    for (size_t i = 0; i < s->members.count; i++) {
        append_member(&out, s, &members[i]);
    }
    for (size_t i = 0; run->is_members_only && i < s->members.count; i++) {
        buf_append_str(&out, i == 0 ? "\n" : "");
        append_evidence(&out, &members[i]);
    }
    append_alarms(&out, s);
    cli_print_text(buf_span(&out));
}

/* ---- safe to stop? ---- */

/* Whose row answers: by name, or the replica that was asked. A leaving member's name may stand
 * twice: the one that is not leaving counts. */
static const struct api_member *find_stop(const struct status_run *run) {
    const struct api_status_reply *s = &run->status;
    const struct api_member *members = s->members.items;
    const struct api_member *best = NULL;
    for (size_t i = 0; i < s->members.count; i++) {
        const struct api_member *m = &members[i];
        bool is_it = run->stop_name == NULL ? m->id == s->id : strcmp(m->name, run->stop_name) == 0;
        if (is_it && (best == NULL || strcmp(best->role, "leaving") == 0)) {
            best = m;
        }
    }
    return best;
}

static void print_stop(struct status_run *run, const char *name, bool may_stop, const char *why) {
    if (run->cli->json) {
        cli_print_json(run->cli, json_pack("{s:s, s:b, s:s, s:b, s:b}", "name", name, "may_stop",
                                           may_stop, "why", why, "confirmed",
                                           run->status.is_confirmed, "verified", run->is_verified));
        return;
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    buf_appendf(&out, "%s: %s%s%s\n", name, may_stop ? "safe to stop" : "do not stop it now",
                why[0] != 0 ? ": " : "", why);
    cli_print_text(buf_span(&out));
}

static bool may_stop_now(const struct status_run *run) {
    const struct api_member *m = find_stop(run);
    bool is_outside = m == NULL && run->stop_name == NULL;
    return is_outside || (run->status.is_confirmed && m != NULL && m->may_stop);
}

/* Asks again, once a second, until the answer is yes or the time is over: no replica tells others
 * when a member caught up. */
static RESULT ask_until_safe(struct status_run *run, struct err *err) {
    uint64_t end_ms = host_monotonic_ms(&host_system) + (uint64_t)run->wait_s * 1000;
    for (;;) {
        struct result r = ask_any(run, err);
        bool is_over = host_monotonic_ms(&host_system) >= end_ms;
        if (is_over || (is_ok(r) && may_stop_now(run)) ||
            (!is_ok(r) && err_exit_code(r.code) != 1)) {
            return r;
        }
        arena_deinit(&run->arena);
        run->arena = (struct arena){0};
        run->status = (struct api_status_reply){0};
        (void)sleep(1);
    }
}

/* A replica that belongs to no cluster, or left it, may always go. */
static RESULT show_stop(struct status_run *run, struct err *err) {
    const struct api_status_reply *s = &run->status;
    const struct api_member *m = find_stop(run);
    bool is_outside = m == NULL && run->stop_name == NULL;
    const char *name = m != NULL ? m->name : is_outside ? s->name : run->stop_name;
    bool is_confirmed = s->is_confirmed || is_outside;
    bool may_stop = may_stop_now(run);
    const char *why = is_outside      ? s->state
                      : !is_confirmed ? "no quorum confirms the state of the cluster"
                      : m == NULL     ? ""
                                      : m->may_stop_why;
    ENSURE(m != NULL || is_outside, err, NOT_FOUND,
           "no member is called %s; see `contrast members`", run->stop_name);
    CHECK(why != NULL); /* the decoder fills every text */
    print_stop(run, name, may_stop, why);
    ENSURE(may_stop, err, UNAVAILABLE, "%s must not be stopped now: %s", name, why);
    return OK;
}

/* ---- the commands ---- */

/* What docs/ARCHITECTURE.md calls ready. */
static bool is_ready(const struct api_status_reply *s) {
    static const char *const before[] = {"empty", "prepared", "founder"};
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        if (strcmp(s->state, before[i]) == 0) {
            return true;
        }
    }
    return s->is_confirmed && (strcmp(s->state, "voter") == 0 || strcmp(s->state, "standby") == 0);
}

static RESULT show_ready(struct status_run *run, struct err *err) {
    const struct api_status_reply *s = &run->status;
    CHECK(s->state != NULL); /* the decoder fills every text */
    bool ready = is_ready(s);
    if (run->cli->json) {
        cli_print_json(run->cli, json_pack("{s:s, s:b, s:s, s:b, s:b}", "name", s->name, "ready",
                                           ready, "state", s->state, "confirmed", s->is_confirmed,
                                           "verified", run->is_verified));
    } else {
        AUTO(buf_deinit)
        struct buf out = {0};
        buf_appendf(&out, "%s: %s (%s)\n", s->name, ready ? "ready" : "not ready", s->state);
        cli_print_text(buf_span(&out));
    }
    ENSURE(ready, err, UNAVAILABLE, "%s is not ready: it is %s%s%s%s", s->name, s->state,
           s->is_confirmed ? "" : ", and no quorum confirms its state", s->why[0] != 0 ? ": " : "",
           s->why);
    return OK;
}

static RESULT show(struct status_run *run, struct err *err) {
    const struct api_status_reply *s = &run->status;
    if (run->is_asked_to_stop) {
        return show_stop(run, err);
    }
    if (run->is_asked_ready) {
        return show_ready(run, err);
    }
    if (run->cli->json) {
        print_json(run);
    } else {
        print_text(run);
    }
    ENSURE(s->is_confirmed, err, NO_QUORUM, "%s: no quorum confirms this state (replica is %s)",
           dial_text(run->dial), s->state);
    return OK;
}

static RESULT run_status(struct status_run *run, int argc, char **argv, struct err *err) {
    const char *coordinators = NULL;
    const char *manifest = NULL;
    const struct cli_option options[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&manifest},
        {"safe-to-stop", 0, CLI_FLAG, &run->is_asked_to_stop},
        {"ready", 0, CLI_FLAG, &run->is_asked_ready},
        {"wait", 0, CLI_NUMBER, &run->wait_s},
    };
    struct cli_list names = {0};
    TRY(cli_parse(run->cli, options, sizeof options / sizeof options[0], argc, argv, &names, err));
    ENSURE(names.count == 0 || (run->is_asked_to_stop && names.count == 1), err, USAGE,
           "unexpected argument %s: only --safe-to-stop takes the name of one replica",
           names.items[0]);
    run->stop_name = names.count == 0 ? NULL : names.items[0];
    ENSURE(run->wait_s >= 0 && run->wait_s <= WAIT_MAX_S, err, USAGE,
           "--wait: want seconds, at most %d", WAIT_MAX_S);
    ENSURE(run->wait_s == 0 || run->is_asked_to_stop, err, USAGE,
           "--wait belongs to --safe-to-stop");
    ENSURE(!run->is_asked_ready || !run->is_asked_to_stop, err, USAGE,
           "--ready and --safe-to-stop are two questions: ask one");
    TRY(dial_parse(coordinators, &run->addresses, err));
    TRY(trust_load(run->cli->workspace, manifest, false, &run->trust, err));
    TRY(run->is_asked_to_stop ? ask_until_safe(run, err) : ask_any(run, err));
    return show(run, err);
}

static RESULT run_command(struct cli *cli, bool is_members_only, int argc, char **argv,
                          struct err *err) {
    struct status_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    run->is_members_only = is_members_only;
    struct result r = run_status(run, argc, argv, err);
    hang_up(run);
    trust_deinit(&run->trust);
    arena_deinit(&run->arena);
    mem_free(run);
    return r;
}

struct result cmd_status(struct cli *cli, int argc, char **argv, struct err *err) {
    return run_command(cli, false, argc, argv, err);
}

struct result cmd_members(struct cli *cli, int argc, char **argv, struct err *err) {
    return run_command(cli, true, argc, argv, err);
}
